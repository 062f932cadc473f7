//! listen(2) and accept(2).

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use ioth::{SO_ACCEPTCONN, SO_RCVTIMEO, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET};
use ioth_tests::netns::Test;
use rustix::fs::OFlags;
use rustix::io::FdFlags;

use crate::calls::{ERR, HUP, IN, NOTHING, OUT, option, pending, recv, send, set_timeout};
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        listen_unbound,
        listen_twice,
        listen_on_the_connected,
        listen_on_a_port_in_use,
        accept_on_what_does_not_listen,
        accept_without_waiting,
        accept_with_a_timeout,
        flags_of_accept,
        accept_gives_what_was_sent_before,
        accept_keeps_the_order,
        accept_after_the_client_closed,
        accept_after_the_client_reset,
        calls_on_a_listener,
        shutdown_of_a_listener,
        close_of_a_listener_refuses,
        connections_that_wait_are_reset,
        poll_of_a_listener,
        a_backlog_of_one,
    ]
}

fn stream(w: &World) -> Result<OwnedFd> {
    Ok(w.server.socket(w.domain(), SOCK_STREAM | SOCK_CLOEXEC, 0)?)
}

fn listen_unbound(w: &World) -> Result<()> {
    let fd = stream(w)?;
    w.note("listen", ioth::listen(&fd, 5));
    let name = ioth::getsockname(&fd)?;
    w.note("name", name);
    let ours = w.stream()?;
    let mut to = w.at();
    to.set_port(name.port());
    w.note("connect", ioth::connect(&ours, &to));
    w.note("accept", ioth::accept4(&fd, SOCK_CLOEXEC));
    Ok(())
}

fn listen_twice(w: &World) -> Result<()> {
    let fd = w.listener()?;
    w.note("again", ioth::listen(&fd, 1));
    w.note("negative", ioth::listen(&fd, -1));
    w.note("zero", ioth::listen(&fd, 0));
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("accept", ioth::accept4(&fd, SOCK_CLOEXEC));
    Ok(())
}

fn listen_on_the_connected(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("connected", ioth::listen(&ours, 1));
    w.note("accepted", ioth::listen(&theirs, 1));
    w.note("still connected", send(&ours, "word"));
    w.note("received", recv(&theirs, 10, 0));
    let datagram = w.datagram(&w.client)?;
    w.note("datagrams", ioth::listen(&datagram, 1));
    Ok(())
}

fn listen_on_a_port_in_use(w: &World) -> Result<()> {
    let (one, two) = (stream(w)?, stream(w)?);
    for fd in [&one, &two] {
        ioth::setsockopt_int(fd, SOL_SOCKET, ioth::SO_REUSEADDR, 1)?;
        w.note("bind", ioth::bind(fd, &w.at()));
    }
    w.note("one listens", ioth::listen(&one, 1));
    w.note("two listens", ioth::listen(&two, 1));
    w.note("two's name", ioth::getsockname(&two));
    Ok(())
}

fn accept_on_what_does_not_listen(w: &World) -> Result<()> {
    let fd = stream(w)?;
    w.note("fresh", ioth::accept(&fd));
    ioth::bind(&fd, &w.at())?;
    w.note("bound", ioth::accept(&fd));
    w.note("strange flags", ioth::accept4(&fd, 1));
    let datagram = w.server.socket(w.domain(), SOCK_DGRAM, 0)?;
    w.note("datagrams", ioth::accept(&datagram));
    ioth::close(fd)?;
    let (ours, theirs) = w.pair()?;
    w.note("connected", ioth::accept(&ours));
    w.note("accepted", ioth::accept(&theirs));
    Ok(())
}

fn accept_without_waiting(w: &World) -> Result<()> {
    let listener = w.listener()?;
    ioth::set_nonblocking(&listener, true)?;
    w.note("nobody", ioth::accept(&listener));
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.poll("one waits", &listener, IN);
    w.note("one", ioth::accept4(&listener, SOCK_CLOEXEC));
    w.poll("taken", &listener, NOTHING);
    w.note("nobody again", ioth::accept(&listener));
    Ok(())
}

fn accept_with_a_timeout(w: &World) -> Result<()> {
    let listener = w.listener()?;
    set_timeout(&listener, SO_RCVTIMEO, Duration::from_millis(50))?;
    let began = std::time::Instant::now();
    w.note("nobody", ioth::accept(&listener));
    w.note("it waited", began.elapsed() >= Duration::from_millis(45));
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    set_timeout(&listener, SO_RCVTIMEO, Duration::from_secs(9))?;
    let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    let mut value = [0; 16];
    w.note("the option's length", ioth::getsockopt(&theirs, SOL_SOCKET, SO_RCVTIMEO, &mut value));
    w.note("inherited", value.iter().any(|byte| *byte != 0));
    Ok(())
}

fn flags_of_accept(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for listener_waits in [true, false] {
        ioth::set_nonblocking(&listener, !listener_waits)?;
        for flags in [0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC] {
            let ours = w.stream()?;
            ioth::connect(&ours, &w.at())?;
            w.settle(&listener, IN);
            let (theirs, _) = ioth::accept4(&listener, flags)?;
            let nonblocking = rustix::fs::fcntl_getfl(&theirs)?.contains(OFlags::NONBLOCK);
            let closes = rustix::io::fcntl_getfd(&theirs)?.contains(FdFlags::CLOEXEC);
            w.note(&format!("accept4 with {flags:#x}: does not wait, closes"), (nonblocking, closes));
        }
    }
    w.note("strange flags", ioth::accept4(&listener, 1));
    Ok(())
}

fn accept_gives_what_was_sent_before(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("send", send(&ours, "early"));
    w.note("shut down", ioth::shutdown(&ours, ioth::SHUT_WR));
    w.poll("waits", &listener, IN);
    let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.poll("accepted", &theirs, IN | crate::calls::RDHUP);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("end", recv(&theirs, 10, 0));
    Ok(())
}

fn accept_keeps_the_order(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let clients: Vec<_> = (0..10)
        .map(|number: u8| {
            let fd = w.stream()?;
            ioth::connect(&fd, &w.at())?;
            send(&fd, [b'a' + number])?;
            Ok(fd)
        })
        .collect::<Result<_>>()?;
    for client in &clients {
        let (theirs, from) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
        w.note("the next", from == ioth::getsockname(client)?);
        w.note("says", recv(&theirs, 10, 0));
    }
    Ok(())
}

fn accept_after_the_client_closed(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let ours = w.stream()?;
    ioth::connect(&ours, &w.at())?;
    send(&ours, "gone")?;
    ioth::close(ours)?;
    w.poll("waits", &listener, IN);
    let (theirs, from) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.note("from", from);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("end", recv(&theirs, 10, 0));
    Ok(())
}

fn accept_after_the_client_reset(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let ours = w.stream()?;
    ioth::connect(&ours, &w.at())?;
    w.settle(&listener, IN);
    ioth::setsockopt(&ours, SOL_SOCKET, ioth::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0])?;
    ioth::close(ours)?;
    std::thread::sleep(crate::world::MOMENT);
    w.poll("still waits", &listener, IN);
    let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.poll("accepted", &theirs, IN | ERR | HUP);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("recv again", recv(&theirs, 10, 0));
    Ok(())
}

fn calls_on_a_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    w.note("SO_ACCEPTCONN", option(&listener, SOL_SOCKET, SO_ACCEPTCONN));
    w.note("recv", recv(&listener, 10, 0));
    w.note("send", send(&listener, "x"));
    w.note("connect", ioth::connect(&listener, &w.at()));
    w.note("getpeername", ioth::getpeername(&listener));
    w.note("bind", ioth::bind(&listener, &w.any(w.port + 1)));
    w.note("SO_ERROR", pending(&listener));
    w.note("shutdown writing", ioth::shutdown(&listener, ioth::SHUT_WR));
    w.poll("listens on", &listener, NOTHING);
    let ours = w.stream()?;
    w.note("connect to it", ioth::connect(&ours, &w.at()));
    w.note("accept", ioth::accept4(&listener, SOCK_CLOEXEC));
    Ok(())
}

fn shutdown_of_a_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    w.note("shutdown", ioth::shutdown(&listener, ioth::SHUT_RD));
    w.note("accept", ioth::accept(&listener));
    w.note("SO_ACCEPTCONN", option(&listener, SOL_SOCKET, SO_ACCEPTCONN));
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("shutdown again", ioth::shutdown(&listener, ioth::SHUT_RD));
    w.note("listen again", ioth::listen(&listener, 1));
    w.note("SO_ACCEPTCONN", option(&listener, SOL_SOCKET, SO_ACCEPTCONN));
    let ours = w.stream()?;
    w.note("connect then", ioth::connect(&ours, &w.at()));
    w.note("accept then", ioth::accept4(&listener, SOCK_CLOEXEC));
    Ok(())
}

fn close_of_a_listener_refuses(w: &World) -> Result<()> {
    let listener = w.listener()?;
    w.note("close", ioth::close(listener));
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    Ok(())
}

fn connections_that_wait_are_reset(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let clients = [w.stream()?, w.stream()?];
    for client in &clients {
        w.note("connect", ioth::connect(client, &w.at()));
    }
    w.settle(&listener, IN);
    w.note("close", ioth::close(listener));
    for client in &clients {
        w.poll("reset", client, IN | ERR | HUP);
        w.note("recv", recv(client, 10, 0));
        w.note("then", recv(client, 10, 0));
        w.note("send", send(client, "x"));
    }
    Ok(())
}

fn poll_of_a_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    w.poll("nobody", &listener, NOTHING);
    let clients = [w.stream()?, w.stream()?];
    for client in &clients {
        ioth::connect(client, &w.at())?;
    }
    w.poll("two", &listener, IN);
    w.note("accept", ioth::accept4(&listener, SOCK_CLOEXEC));
    w.poll("one", &listener, IN);
    w.note("accept", ioth::accept4(&listener, SOCK_CLOEXEC));
    w.poll("none", &listener, NOTHING);
    for client in &clients {
        w.poll("client", client, OUT);
    }
    Ok(())
}

fn a_backlog_of_one(w: &World) -> Result<()> {
    let listener = stream(w)?;
    ioth::bind(&listener, &w.at())?;
    w.note("listen", ioth::listen(&listener, 1));
    let (one, two) = (w.stream()?, w.stream()?);
    w.note("one", ioth::connect(&one, &w.at()));
    w.note("two", ioth::connect(&two, &w.at()));
    w.note("accept", ioth::accept4(&listener, SOCK_CLOEXEC));
    w.note("accept", ioth::accept4(&listener, SOCK_CLOEXEC));
    Ok(())
}
