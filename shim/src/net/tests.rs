//! The types on the kernel's stack, where they must be what std's are.

use super::*;
use crate::Stack;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

#[test]
fn streams_on_the_kernel() -> io::Result<()> {
    let kernel = Stack::kernel();
    let listener = TcpListener::bind(&kernel, "127.0.0.1:0")?;
    let mut ours = TcpStream::connect_timeout(&kernel, &listener.local_addr()?, Duration::from_secs(5))?;
    let (mut theirs, peer) = listener.accept()?;
    assert_eq!(peer, ours.local_addr()?);
    assert_eq!(theirs.peer_addr()?, peer);
    ours.set_nodelay(true)?;
    assert!(ours.nodelay()?);
    ours.set_read_timeout(Some(Duration::from_millis(20)))?;
    assert_eq!(ours.read_timeout()?, Some(Duration::from_millis(20)));
    assert_eq!(ours.read(&mut [0; 4]).expect_err("nothing was sent").kind(), io::ErrorKind::WouldBlock);
    theirs.write_all(b"word")?;
    assert_eq!(ours.peek(&mut [0; 4])?, 4);
    theirs.shutdown(std::net::Shutdown::Write)?;
    let mut all = String::new();
    ours.read_to_string(&mut all)?;
    assert_eq!(all, "word");
    let fd = OwnedFd::from(ours);
    assert_eq!(crate::getsockopt_int(&fd, crate::SOL_SOCKET, crate::SO_TYPE)?, crate::SOCK_STREAM);
    crate::close(fd)
}

#[test]
fn datagrams_on_the_kernel() -> io::Result<()> {
    let kernel = Stack::kernel();
    let one = UdpSocket::bind(&kernel, "127.0.0.1:0")?;
    let two = UdpSocket::bind(&kernel, "127.0.0.1:0")?;
    one.send_to(b"word", two.local_addr()?)?;
    let mut room = [0; 9];
    assert_eq!(two.recv_from(&mut room)?, (4, one.local_addr()?));
    two.connect(one.local_addr()?)?;
    two.send(b"answer")?;
    assert_eq!(one.recv(&mut room)?, 6);
    assert_eq!(two.peer_addr()?, one.local_addr()?);
    assert!(!two.broadcast()?);
    Ok(())
}

#[test]
fn a_namespace_that_is_not_there_is_named() {
    let error = Stack::new("netns:no-such-namespace", "").expect_err("it does not exist");
    let text = io::Error::from(error).to_string();
    assert!(text.contains("/run/netns/no-such-namespace"), "{text}");
    let error = Stack::new("kernel:", "ip=10.0.0.1/24").expect_err("it is configured by the host");
    assert!(error.to_string().contains("takes no configuration"), "{error}");
}
