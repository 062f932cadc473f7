//! The types like those of the standard library.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use anyhow::Result;
use ioth::net::{TcpListener, TcpStream, UdpSocket};
use ioth_tests::netns::Test;

use crate::transcript::Show;
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        streams_echo,
        addresses_of_types,
        timeouts_of_types,
        a_timeout_of_zero,
        clones_share_the_connection,
        peek_of_types,
        nonblocking_types,
        incoming_connections,
        connect_within_a_time,
        refused_within_a_time,
        nobody_within_a_time,
        shutdown_of_types,
        options_of_types,
        times_to_live_of_types,
        errors_of_types,
        datagram_types,
    ]
}

/// A listener of the server, and a stream to it.
fn listener(w: &World) -> Result<TcpListener> {
    Ok(w.server.within(|stack| TcpListener::bind(stack, w.at()))?)
}

fn stream(w: &World) -> std::io::Result<TcpStream> {
    w.client.within(|stack| TcpStream::connect(stack, w.at()))
}

fn pair(w: &World) -> Result<(TcpStream, TcpStream)> {
    let listener = listener(w)?;
    let ours = stream(w)?;
    Ok((ours, listener.accept()?.0))
}

fn times_to_live_of_types(w: &World) -> Result<()> {
    let listener = listener(w)?;
    let ours = stream(w)?;
    let socket = w.client.within(|stack| UdpSocket::bind(stack, w.here()))?;
    w.note("at first", (listener.ttl(), (ours.ttl(), socket.ttl())));
    for ttl in [1, 0, 255, 256] {
        w.note(&format!("set {ttl}"), (listener.set_ttl(ttl), (ours.set_ttl(ttl), socket.set_ttl(ttl))));
        w.note("shows", (listener.ttl(), (ours.ttl(), socket.ttl())));
    }
    Ok(())
}

fn streams_echo(w: &World) -> Result<()> {
    let (mut ours, mut theirs) = pair(w)?;
    w.note("write", ours.write_all(b"some words"));
    let mut word = [0; 10];
    w.note("read", theirs.read_exact(&mut word));
    w.note("it is", &word);
    w.note("answer", theirs.write(b"answer"));
    drop(theirs);
    let mut rest = String::new();
    w.note("read to the end", ours.read_to_string(&mut rest));
    w.note("it is", rest);
    Ok(())
}

fn addresses_of_types(w: &World) -> Result<()> {
    let listener = listener(w)?;
    w.note("listener", listener.local_addr());
    let ours = stream(w)?;
    let (theirs, from) = listener.accept()?;
    w.note("accepted", from);
    w.note("ours", (ours.local_addr(), ours.peer_addr()));
    w.note("theirs", (theirs.local_addr(), theirs.peer_addr()));
    Ok(())
}

fn timeouts_of_types(w: &World) -> Result<()> {
    let (ours, mut theirs) = pair(w)?;
    w.note("at first", theirs.read_timeout()?.is_none() && theirs.write_timeout()?.is_none());
    w.note("set", theirs.set_read_timeout(Some(Duration::from_millis(60))));
    w.note("set writing", theirs.set_write_timeout(Some(Duration::from_secs(3))));
    w.note("shows", (theirs.read_timeout()?, theirs.write_timeout()?));
    let began = Instant::now();
    w.note("read", theirs.read(&mut [0; 1]));
    w.note("it waited", began.elapsed() >= Duration::from_millis(55));
    w.note("clear", theirs.set_read_timeout(None));
    w.note("shows", theirs.read_timeout()?);
    drop(ours);
    w.note("read", theirs.read(&mut [0; 1]));
    Ok(())
}

fn a_timeout_of_zero(w: &World) -> Result<()> {
    let (ours, _theirs) = pair(w)?;
    let kind = |result: std::io::Result<()>| format!("{:?}", result.map_err(|error| error.kind()));
    w.note("reading", kind(ours.set_read_timeout(Some(Duration::ZERO))));
    w.note("writing", kind(ours.set_write_timeout(Some(Duration::ZERO))));
    Ok(())
}

fn clones_share_the_connection(w: &World) -> Result<()> {
    let (mut ours, mut theirs) = pair(w)?;
    let mut clone = ours.try_clone()?;
    w.note("write", clone.write(b"cloned"));
    drop(clone);
    let mut word = [0; 6];
    w.note("read", theirs.read_exact(&mut word));
    w.note("still open", ours.write(b"more"));
    w.note("read", theirs.read(&mut word));
    Ok(())
}

fn peek_of_types(w: &World) -> Result<()> {
    let (mut ours, mut theirs) = pair(w)?;
    ours.write_all(b"peeked")?;
    let mut word = [0; 6];
    w.note("peek", theirs.peek(&mut word));
    w.note("read", theirs.read(&mut word));
    w.note("it is", &word);
    Ok(())
}

fn nonblocking_types(w: &World) -> Result<()> {
    let listener = listener(w)?;
    listener.set_nonblocking(true)?;
    w.note("accept", listener.accept().map(|_| ()));
    let ours = stream(w)?;
    ours.set_nonblocking(true)?;
    w.note("read", (&ours).read(&mut [0; 1]));
    listener.set_nonblocking(false)?;
    let (mut theirs, _) = listener.accept()?;
    theirs.write_all(b"x")?;
    w.poll("readable", &ours, crate::calls::IN);
    w.note("read", (&ours).read(&mut [0; 1]));
    Ok(())
}

fn incoming_connections(w: &World) -> Result<()> {
    let listener = listener(w)?;
    let clients = [stream(w)?, stream(w)?, stream(w)?];
    for (client, accepted) in clients.iter().zip(listener.incoming()) {
        let accepted = accepted?;
        w.note("in order", accepted.peer_addr()? == client.local_addr()?);
    }
    Ok(())
}

fn connect_within_a_time(w: &World) -> Result<()> {
    let _listener = listener(w)?;
    let to = w.at();
    let ours = w.client.within(|stack| TcpStream::connect_timeout(stack, &to, Duration::from_secs(5)));
    w.note("connect", ours.as_ref().map(|_| ()).map_err(std::io::Error::kind).is_ok());
    w.note("peer", ours?.peer_addr());
    Ok(())
}

fn refused_within_a_time(w: &World) -> Result<()> {
    let to = w.at();
    let ours = w.client.within(|stack| TcpStream::connect_timeout(stack, &to, Duration::from_secs(5)));
    w.note("connect", ours.map(|_| ()));
    Ok(())
}

fn nobody_within_a_time(w: &World) -> Result<()> {
    let to = w.nobody();
    let ours = w.client.within(|stack| TcpStream::connect_timeout(stack, &to, Duration::from_millis(60)));
    w.note("connect", format!("{:?}", ours.map(|_| ()).map_err(|error| error.kind())));
    Ok(())
}

fn shutdown_of_types(w: &World) -> Result<()> {
    let (mut ours, mut theirs) = pair(w)?;
    w.note("shutdown", ours.shutdown(Shutdown::Write));
    w.note("write", ours.write(b"x"));
    w.note("the end", theirs.read(&mut [0; 1]));
    w.note("answer", theirs.write(b"answer"));
    drop(theirs);
    let mut all = Vec::new();
    w.note("read", ours.read_to_end(&mut all));
    Ok(())
}

fn options_of_types(w: &World) -> Result<()> {
    let (ours, _theirs) = pair(w)?;
    w.note("nodelay", ours.nodelay());
    w.note("set", ours.set_nodelay(true));
    w.note("nodelay", ours.nodelay());
    w.note("error", ours.take_error()?.map(|error| error.show(w)));
    Ok(())
}

fn errors_of_types(w: &World) -> Result<()> {
    w.note("refused", stream(w).map(|_| ()));
    let _listener = listener(w)?;
    w.note("in use", w.server.within(|stack| TcpListener::bind(stack, w.at())).map(|_| ()));
    let foreign = w.nobody();
    w.note("foreign", w.server.within(|stack| TcpListener::bind(stack, foreign)).map(|_| ()));
    w.note("foreign datagrams", w.server.within(|stack| UdpSocket::bind(stack, foreign)).map(|_| ()));
    Ok(())
}

fn datagram_types(w: &World) -> Result<()> {
    let theirs = w.server.within(|stack| UdpSocket::bind(stack, w.at()))?;
    let ours = w.client.within(|stack| UdpSocket::bind(stack, w.here()))?;
    for socket in [&theirs, &ours] {
        socket.set_read_timeout(Some(crate::world::SOON))?;
    }
    w.note("send_to", ours.send_to(b"word", w.at()));
    let mut room = [0; 10];
    w.note("peek_from", theirs.peek_from(&mut room));
    let (got, from) = theirs.recv_from(&mut room)?;
    w.note("recv_from", (got, from));
    w.note("send without a peer", ours.send(b"x"));
    w.note("connect", ours.connect(w.at()));
    w.note("names", (ours.local_addr(), ours.peer_addr()));
    w.note("answer", theirs.send_to(b"answer", from));
    w.note("peek", ours.peek(&mut room));
    w.note("recv", ours.recv(&mut room));
    w.note("broadcast", ours.broadcast());
    w.note("set", ours.set_broadcast(true));
    w.note("broadcast", ours.broadcast());
    let clone = ours.try_clone()?;
    drop(ours);
    w.note("send by the clone", clone.send(b"x"));
    Ok(())
}
