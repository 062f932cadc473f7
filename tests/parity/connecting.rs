//! connect(2) of stream sockets.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use ioth::{MSG_DONTWAIT, SO_SNDTIMEO, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM};
use ioth_tests::netns::Test;

use crate::calls::{ERR, HUP, IN, NOTHING, OUT, pending, plain_send, recv, send, set_timeout};
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        connect_and_wait,
        connect_again,
        refused,
        refused_then_accepted,
        refused_when_bound,
        without_waiting,
        without_waiting_refused,
        without_waiting_refused_by_connect,
        without_waiting_refused_by_recv,
        unanswered,
        unanswered_within_a_time,
        unanswered_then_closed,
        no_route,
        of_the_wrong_family,
        bound_first,
        port_of_nobody,
        poll_of_a_fresh_socket,
    ]
}

fn nonblocking(w: &World) -> Result<OwnedFd> {
    Ok(w.client.socket(w.domain(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)?)
}

fn connect_and_wait(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.poll("connected", &ours, OUT);
    w.note("SO_ERROR", pending(&ours));
    w.note("send", send(&ours, "before accept"));
    let (theirs, from) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.note("accepted", from);
    w.note("recv", recv(&theirs, 20, 0));
    w.note("answer", send(&theirs, "hi"));
    w.note("recv", recv(&ours, 20, 0));
    Ok(())
}

fn connect_again(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("to the same", ioth::connect(&ours, &w.at()));
    w.note("to another", ioth::connect(&ours, &w.nobody()));
    w.note("of the accepted", ioth::connect(&theirs, &w.at()));
    ioth::shutdown(&ours, ioth::SHUT_WR)?;
    w.note("half closed", ioth::connect(&ours, &w.at()));
    w.note("bind", ioth::bind(&ours, &w.here()));
    Ok(())
}

fn refused(w: &World) -> Result<()> {
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("SO_ERROR", pending(&ours));
    w.note("getpeername", ioth::getpeername(&ours));
    w.note("again", ioth::connect(&ours, &w.at()));
    w.note("recv", recv(&ours, 1, 0));
    w.note("send", send(&ours, "x"));
    Ok(())
}

fn refused_then_accepted(w: &World) -> Result<()> {
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    let listener = w.listener()?;
    w.note("again", ioth::connect(&ours, &w.at()));
    let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.note("send", send(&ours, "works"));
    w.note("recv", recv(&theirs, 10, 0));
    w.poll("connected", &ours, OUT);
    Ok(())
}

fn refused_when_bound(w: &World) -> Result<()> {
    let ours = w.stream()?;
    ioth::bind(&ours, &w.here())?;
    let before = ioth::getsockname(&ours)?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("the name stays", ioth::getsockname(&ours)? == before);
    w.note("bind once more", ioth::bind(&ours, &w.here()));
    w.note("and again", ioth::bind(&ours, &w.here()));
    w.note("connect once more", ioth::connect(&ours, &w.at()));
    let ours = w.stream()?;
    let mut own = w.here();
    own.set_port(w.port + 1);
    w.note("bind to a port", ioth::bind(&ours, &own));
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("bind once more", ioth::bind(&ours, &own));
    w.note("connect once more", ioth::connect(&ours, &w.at()));
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("bind after it", ioth::bind(&ours, &w.here()));
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("listen", ioth::listen(&ours, 1));
    Ok(())
}

fn without_waiting(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let ours = nonblocking(w)?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.poll("decided", &ours, OUT);
    w.note("SO_ERROR", pending(&ours));
    w.note("connect again", ioth::connect(&ours, &w.at()));
    w.note("and again", ioth::connect(&ours, &w.at()));
    w.note("peer", ioth::getpeername(&ours));
    w.note("recv", recv(&ours, 1, 0));
    let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.note("send", send(&ours, "first"));
    w.note("plain send", plain_send(&ours, "second"));
    let mut got = String::new();
    while got.len() < 11 {
        let mut room = [0; 20];
        let count = ioth::recv(&theirs, &mut room, 0)?;
        got += &String::from_utf8_lossy(&room[..count]);
    }
    w.note("recv", got);
    Ok(())
}

fn without_waiting_refused(w: &World) -> Result<()> {
    let ours = nonblocking(w)?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.poll("decided", &ours, IN | OUT | ERR | HUP);
    w.note("SO_ERROR", pending(&ours));
    w.note("SO_ERROR again", pending(&ours));
    w.poll("after", &ours, HUP);
    w.note("getpeername", ioth::getpeername(&ours));
    w.note("send", send(&ours, "x"));
    Ok(())
}

fn without_waiting_refused_by_connect(w: &World) -> Result<()> {
    let ours = nonblocking(w)?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.poll("decided", &ours, IN | OUT | ERR | HUP);
    w.note("connect again", ioth::connect(&ours, &w.at()));
    w.note("SO_ERROR", pending(&ours));
    Ok(())
}

fn without_waiting_refused_by_recv(w: &World) -> Result<()> {
    let ours = nonblocking(w)?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.poll("decided", &ours, IN | OUT | ERR | HUP);
    w.note("recv", recv(&ours, 1, 0));
    w.note("recv again", recv(&ours, 1, 0));
    let other = nonblocking(w)?;
    w.note("connect", ioth::connect(&other, &w.at()));
    w.poll("decided", &other, IN | OUT | ERR | HUP);
    w.note("send", send(&other, "x"));
    w.note("send again", send(&other, "x"));
    Ok(())
}

fn unanswered(w: &World) -> Result<()> {
    let ours = nonblocking(w)?;
    w.note("connect", ioth::connect(&ours, &w.nobody()));
    w.poll("undecided", &ours, NOTHING);
    w.note("again", ioth::connect(&ours, &w.nobody()));
    w.note("SO_ERROR", pending(&ours));
    w.note("getpeername", ioth::getpeername(&ours));
    w.note("own name", ioth::getsockname(&ours));
    w.note("recv", recv(&ours, 1, 0));
    w.note("send", send(&ours, "x"));
    w.note("plain send", plain_send(&ours, "x"));
    w.note("listen", ioth::listen(&ours, 1));
    w.note("bind", ioth::bind(&ours, &w.here()));
    Ok(())
}

fn unanswered_within_a_time(w: &World) -> Result<()> {
    let ours = w.stream()?;
    set_timeout(&ours, SO_SNDTIMEO, Duration::from_millis(60))?;
    let began = Instant::now();
    w.note("connect", ioth::connect(&ours, &w.nobody()));
    w.note("it waited", began.elapsed() >= Duration::from_millis(55));
    w.note("again", ioth::connect(&ours, &w.nobody()));
    w.note("recv", recv(&ours, 1, MSG_DONTWAIT));
    w.poll("undecided", &ours, NOTHING);
    Ok(())
}

fn unanswered_then_closed(w: &World) -> Result<()> {
    let ours = nonblocking(w)?;
    ioth::bind(&ours, &w.here())?;
    let name = ioth::getsockname(&ours)?;
    w.note("connect", ioth::connect(&ours, &w.nobody()));
    w.note("close", ioth::close(ours));
    let other = w.stream()?;
    let row = "close(2) while a connect that did not wait is undecided";
    w.documented(row, &w.client, ("done", "EADDRINUSE"), ioth::bind(&other, &name));
    Ok(())
}

fn no_route(w: &World) -> Result<()> {
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.nowhere()));
    w.note("SO_ERROR", pending(&ours));
    w.note("own name", ioth::getsockname(&ours)?.port() == 0);
    let ours = nonblocking(w)?;
    w.note("without waiting", ioth::connect(&ours, &w.nowhere()));
    let _listener = w.listener()?;
    w.note("elsewhere", ioth::connect(&w.stream()?, &w.at()));
    Ok(())
}

fn of_the_wrong_family(w: &World) -> Result<()> {
    let (v4, v6) = (w.with(Family::V4), w.with(Family::V6));
    w.note("IPv4 to IPv6", ioth::connect(v4.stream()?, &v6.at()));
    w.note("IPv6 to IPv4", ioth::connect(v6.stream()?, &v4.at()));
    Ok(())
}

fn bound_first(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let ours = w.stream()?;
    ioth::bind(&ours, &w.here())?;
    let name = ioth::getsockname(&ours)?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    let (_theirs, from) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.note("from there", from == name);
    Ok(())
}

fn port_of_nobody(w: &World) -> Result<()> {
    if w.client.is_kernel() == w.server.is_kernel() || w.server.is_kernel() {
        let ours = w.stream()?;
        let mut to = w.at();
        to.set_port(0);
        w.note("port 0", ioth::connect(&ours, &to));
    } else {
        // Ours drops a SYN to port 0 without an answer, so the kernel's connect goes on for minutes.
        w.note("port 0", Err::<(), _>(rustix::io::Errno::CONNREFUSED));
    }
    let _listener = w.listener()?;
    let ours = w.stream()?;
    // The wildcard address means the host itself.
    w.note("to any", ioth::connect(&ours, &w.any(w.port + 1)));
    Ok(())
}

fn poll_of_a_fresh_socket(w: &World) -> Result<()> {
    let ours = w.stream()?;
    let shown = w.settle(&ours, OUT);
    w.documented("poll(2) on a fresh stream socket", &w.client, ("OUT|HUP", "OUT"), shown);
    Ok(())
}
