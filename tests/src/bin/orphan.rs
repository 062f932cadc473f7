//! A process with two stacks and a connection between them, which forks a child and then ends: it returns from main, or is
//! aborted. The child goes on with the sockets, and writes down what it sees.
//!
//! `orphan return|abort`

use std::io::{self, Write};
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use ioth::net::{TcpListener, TcpStream, UdpSocket};
use ioth::{MSG_NOSIGNAL, Stack};
use ioth_tests::child::Child;

fn main() -> Result<()> {
    let how = std::env::args().nth(1).context("usage: orphan return|abort")?;
    let red = Stack::new("switch://orphan", "ip=10.0.0.1/24")?;
    let blue = Stack::new("switch://orphan", "ip=10.0.0.2/24")?;
    let listener = TcpListener::bind(&red, "10.0.0.1:80")?;
    let ours = TcpStream::connect(&blue, "10.0.0.1:80")?;
    let (theirs, _) = listener.accept()?;
    let datagrams = UdpSocket::bind(&red, "10.0.0.1:7")?;
    ioth::send(&theirs, b"words", 0)?;
    let (here, there) = rustix::pipe::pipe()?;
    let child = Child::start(|| {
        let show = |what: &str, result: io::Result<usize>| {
            let told = result.map_or_else(|error| error.to_string(), |len| len.to_string());
            writeln!(io::stdout(), "{what}: {told}").is_ok()
        };
        let receive = |fd: &dyn AsFd| ioth::recv(fd.as_fd(), &mut [0; 10], 0);
        show("recv", receive(&ours))
            && rustix::io::write(&there, b"!").is_ok()
            // From here on nothing can come but the parent's end.
            && show("recv", receive(&ours))
            && show("recv", receive(&ours))
            && show("send", ioth::send(&ours, b"more", MSG_NOSIGNAL))
            && show("the peer's recv", receive(&theirs))
            && show("accept", ioth::accept(&listener).map(|_| 0))
            && show("a datagram's recv", receive(&datagrams))
            && show("sendto", ioth::sendto(&datagrams, b"word", 0, &([10, 0, 0, 2], 7).into()))
            && show("socket", ioth::msocket(&red, ioth::AF_INET, ioth::SOCK_STREAM, 0).map(|_| 0))
    })?;
    // It is under way.
    rustix::io::read(&here, &mut [0; 1])?;
    match &*how {
        "return" => Ok(()),
        "abort" => std::process::abort(),
        _ => bail!("it cannot end by {how} before {child:?}"),
    }
}
