//! The options of TCP that do more than to be stored, tcp(7).

use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use ioth::{
    IPPROTO_TCP, SHUT_WR, SOCK_CLOEXEC, SOCK_STREAM, TCP_CONGESTION, TCP_CORK, TCP_DEFER_ACCEPT, TCP_LINGER2,
    TCP_MAXSEG, TCP_NODELAY, TCP_QUICKACK, TCP_SYNCNT,
};
use ioth_tests::netns::Test;

use crate::calls::{HUP, IN, NOTHING, drain, option, recv, recv_exactly, send};
use crate::world::{MOMENT, SOON, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        numbers_with_bounds,
        congestion_control_by_name,
        congestion_control_of_a_connection,
        segment_size_without_a_connection,
        segment_size_of_a_connection,
        segment_size_of_a_listeners_connections,
        segment_size_set_too_late,
        quickack_without_a_connection,
        quickack_of_a_listener,
        quickack_ends_with_an_answer,
        cork_holds_back,
        cork_lets_go_at_the_end,
        cork_and_nodelay,
        defer_accept_until_there_is_data,
        defer_accept_until_the_time_is_over,
        what_an_accepted_socket_has_of_its_listener,
        no_time_for_the_peers_end,
    ]
}

fn set(fd: &OwnedFd, name: i32, value: i32) -> std::io::Result<()> {
    ioth::setsockopt_int(fd, IPPROTO_TCP, name, value)
}

fn get(fd: &OwnedFd, name: i32) -> std::io::Result<i32> {
    option(fd, IPPROTO_TCP, name)
}

fn numbers_with_bounds(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for (what, fd) in
        [("fresh", w.stream()?), ("listener", w.listener_beside()?), ("connected", w.pair_of(&listener)?.0)]
    {
        for (name, number) in
            [("TCP_SYNCNT", TCP_SYNCNT), ("TCP_LINGER2", TCP_LINGER2), ("TCP_DEFER_ACCEPT", TCP_DEFER_ACCEPT)]
        {
            w.note(&format!("{what} {name}"), get(&fd, number));
            for value in [
                1,
                2,
                3,
                7,
                8,
                30,
                59,
                60,
                63,
                64,
                119,
                120,
                121,
                127,
                128,
                200,
                1000,
                100_000,
                0,
                -1,
                -7,
                i32::MAX,
                i32::MIN,
            ] {
                w.note(&format!("set {value}"), set(&fd, number, value));
                w.note("shows", get(&fd, number));
            }
            w.note("too short", ioth::setsockopt(&fd, IPPROTO_TCP, number, &[1; 3]));
            w.note("room for 2", ioth::getsockopt(&fd, IPPROTO_TCP, number, &mut [0; 2]));
        }
    }
    Ok(())
}

/// The name, with the zeros behind it.
fn control(fd: &OwnedFd, room: usize) -> std::io::Result<String> {
    let mut value = vec![0xff; room];
    let len = ioth::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, &mut value)?;
    Ok(format!("{len} bytes: {:?}", String::from_utf8_lossy(&value[..len])))
}

fn congestion_control_by_name(w: &World) -> Result<()> {
    let fd = w.stream()?;
    for name in [
        &b"cubic"[..],
        b"reno\0",
        b"cubic\0behind it",
        b"reno",
        b"",
        b"\0",
        b"x",
        b"cubi",
        b"Cubic",
        b"cubic ",
        b"nobody",
        b"cubic-with-a-name-that-is-too-long",
        b"\xff\xfe",
    ] {
        let what = format!("set {:?}", String::from_utf8_lossy(name));
        w.note(&what, ioth::setsockopt(&fd, IPPROTO_TCP, TCP_CONGESTION, name));
        // What a fresh one has is the system's to say.
        w.note("shows", control(&fd, 16));
    }
    for room in [0, 1, 4, 5, 8, 16, 32] {
        w.note(&format!("room for {room}"), control(&fd, room));
    }
    Ok(())
}

fn congestion_control_of_a_connection(w: &World) -> Result<()> {
    let listener = w.listener()?;
    ioth::setsockopt(&listener, IPPROTO_TCP, TCP_CONGESTION, b"reno")?;
    let (ours, theirs) = w.pair_of(&listener)?;
    w.note("inherited", control(&theirs, 16));
    for name in [&b"cubic"[..], b"reno", b"cubic"] {
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            w.note("set", ioth::setsockopt(from, IPPROTO_TCP, TCP_CONGESTION, name));
            w.note("shows", control(from, 16));
            w.note("sent", send(from, vec![7; 50_000]));
            w.note("received", recv_exactly(to, 50_000)?.len());
        }
    }
    Ok(())
}

fn segment_size_without_a_connection(w: &World) -> Result<()> {
    for fd in [w.stream()?, w.listener_beside()?] {
        w.note("at first", get(&fd, TCP_MAXSEG));
        for value in [88, 87, 536, 1460, 32_767, 32_768, 0, -1, 1, 70_000, 1000, i32::MAX, i32::MIN] {
            w.note(&format!("set {value}"), set(&fd, TCP_MAXSEG, value));
            w.note("shows", get(&fd, TCP_MAXSEG));
        }
        w.note("too short", ioth::setsockopt(&fd, IPPROTO_TCP, TCP_MAXSEG, &[1; 3]));
    }
    Ok(())
}

/// A connection whose client has this limit.
fn limited(w: &World, listener: &OwnedFd, size: i32) -> Result<(OwnedFd, OwnedFd)> {
    let ours = w.stream()?;
    set(&ours, TCP_MAXSEG, size)?;
    ioth::connect(&ours, &w.at())?;
    let (theirs, _) = ioth::accept4(listener, SOCK_CLOEXEC)?;
    Ok((ours, theirs))
}

fn segment_size_of_a_connection(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for size in [88, 536, 1000] {
        let (ours, theirs) = limited(w, &listener, size)?;
        w.note("ours", get(&ours, TCP_MAXSEG));
        w.note("theirs", get(&theirs, TCP_MAXSEG));
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            w.note("sent", send(from, vec![7; 50_000]));
            w.note("received", recv_exactly(to, 50_000)?.len());
        }
        ioth::close(ours)?;
        w.poll("closed", &theirs, IN);
    }
    Ok(())
}

fn segment_size_of_a_listeners_connections(w: &World) -> Result<()> {
    let listener = w.listener()?;
    w.note("set", set(&listener, TCP_MAXSEG, 700));
    let (ours, theirs) = w.pair_of(&listener)?;
    w.note("ours", get(&ours, TCP_MAXSEG));
    w.note("theirs", get(&theirs, TCP_MAXSEG));
    w.note("sent", send(&ours, vec![7; 50_000]));
    w.note("received", recv_exactly(&theirs, 50_000)?.len());
    Ok(())
}

fn segment_size_set_too_late(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (ours, theirs) = limited(w, &listener, 1000)?;
    for value in [500, 87, 0, 2000] {
        w.note("set", set(&ours, TCP_MAXSEG, value));
        w.note("ours", get(&ours, TCP_MAXSEG));
        w.note("theirs", get(&theirs, TCP_MAXSEG));
    }
    Ok(())
}

fn quickack_without_a_connection(w: &World) -> Result<()> {
    let fd = w.server.socket(w.domain(), SOCK_STREAM | SOCK_CLOEXEC, 0)?;
    w.note("at first", get(&fd, TCP_QUICKACK));
    w.note("set", set(&fd, TCP_QUICKACK, 0));
    w.note("shows", get(&fd, TCP_QUICKACK));
    ioth::bind(&fd, &w.at())?;
    w.note("bound", get(&fd, TCP_QUICKACK));
    ioth::listen(&fd, 5)?;
    w.note("listening", get(&fd, TCP_QUICKACK));
    w.note("set", set(&fd, TCP_QUICKACK, 0));
    w.note("shows", get(&fd, TCP_QUICKACK));
    w.note("listening again", ioth::listen(&fd, 6));
    w.note("shows", get(&fd, TCP_QUICKACK));
    Ok(())
}

fn quickack_of_a_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for value in [1, 0] {
        w.note("set", set(&listener, TCP_QUICKACK, value));
        let (ours, theirs) = w.pair_of(&listener)?;
        w.note("ours", get(&ours, TCP_QUICKACK));
        w.note("theirs", get(&theirs, TCP_QUICKACK));
    }
    Ok(())
}

fn quickack_ends_with_an_answer(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("ours", get(&ours, TCP_QUICKACK));
    w.note("theirs", get(&theirs, TCP_QUICKACK));
    // An answer makes a connection interactive that comes within 40 ms, which a loaded machine may need itself.
    let becomes_interactive = || -> Result<bool> {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            send(&ours, "question")?;
            recv_exactly(&theirs, 8)?;
            send(&theirs, "answer")?;
            recv_exactly(&ours, 6)?;
            if get(&theirs, TCP_QUICKACK)? == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    };
    w.note("interactive", becomes_interactive()?);
    w.note("set", set(&theirs, TCP_QUICKACK, 1));
    w.note("shows", get(&theirs, TCP_QUICKACK));
    w.note("interactive again", becomes_interactive()?);
    Ok(())
}

/// Whether something that was written is held back by the cork: a machine that stands still for 200 ms lets it go.
fn holds_back(ours: &OwnedFd, theirs: &OwnedFd) -> Result<bool> {
    for _ in 0..20 {
        let start = Instant::now();
        send(ours, "held")?;
        thread::sleep(MOMENT);
        let arrived = recv(theirs, 4, ioth::MSG_DONTWAIT).is_ok();
        if !arrived {
            return Ok(true);
        }
        if start.elapsed() < Duration::from_millis(150) {
            return Ok(false);
        }
    }
    Ok(false)
}

fn cork_holds_back(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("set", set(&ours, TCP_CORK, 1));
    w.note("held back", holds_back(&ours, &theirs)?);
    // In the end it leaves.
    w.note("received", recv(&theirs, 10, 0));
    w.note("held back", holds_back(&ours, &theirs)?);
    let start = Instant::now();
    w.note("set", set(&ours, TCP_CORK, 0));
    w.note("received", recv(&theirs, 10, 0));
    w.note("at once", start.elapsed() < SOON);
    w.note("sent", send(&ours, "more"));
    w.note("received", recv(&theirs, 10, 0));
    Ok(())
}

fn cork_lets_go_at_the_end(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("set", set(&ours, TCP_CORK, 1));
    w.note("held back", holds_back(&ours, &theirs)?);
    w.note("shut down", ioth::shutdown(&ours, SHUT_WR));
    let (bytes, end) = drain(&theirs);
    w.note("received", bytes.len());
    w.note("end", end);
    Ok(())
}

fn cork_and_nodelay(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("cork", set(&ours, TCP_CORK, 1));
    w.note("held back", holds_back(&ours, &theirs)?);
    w.note("no delay", set(&ours, TCP_NODELAY, 1));
    w.note("received", recv(&theirs, 10, 0));
    w.note("held back", holds_back(&ours, &theirs)?);
    for name in [TCP_CORK, TCP_NODELAY] {
        w.note("shows", get(&ours, name));
    }
    Ok(())
}

fn defer_accept_until_there_is_data(w: &World) -> Result<()> {
    let listener = w.listener()?;
    w.note("set", set(&listener, TCP_DEFER_ACCEPT, 10));
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.poll("connected", &listener, NOTHING);
    w.note("sent", send(&ours, "data"));
    w.poll("data", &listener, IN);
    let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.note("received", recv(&theirs, 10, ioth::MSG_DONTWAIT));
    w.note("sent", send(&theirs, "answer"));
    w.note("received", recv(&ours, 10, 0));
    Ok(())
}

fn defer_accept_until_the_time_is_over(w: &World) -> Result<()> {
    let listener = w.listener()?;
    w.note("set", set(&listener, TCP_DEFER_ACCEPT, 1));
    let (ours, start) = (w.stream()?, Instant::now());
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.poll("connected", &listener, NOTHING);
    let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.note("a second later", start.elapsed() > Duration::from_millis(900));
    w.note("sent", send(&theirs, "first"));
    w.note("received", recv(&ours, 10, 0));
    w.note("sent", send(&ours, "second"));
    w.note("received", recv(&theirs, 10, 0));
    Ok(())
}

fn what_an_accepted_socket_has_of_its_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let options = [
        ("TCP_CORK", TCP_CORK, 1),
        ("TCP_SYNCNT", TCP_SYNCNT, 3),
        ("TCP_LINGER2", TCP_LINGER2, 7),
        ("TCP_DEFER_ACCEPT", TCP_DEFER_ACCEPT, 1),
    ];
    for (name, number, value) in options {
        w.note(name, set(&listener, number, value));
    }
    let ours = w.stream()?;
    ioth::connect(&ours, &w.at())?;
    send(&ours, "data")?;
    let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    for (name, number, _) in options {
        w.note(name, get(&theirs, number));
    }
    Ok(())
}

fn no_time_for_the_peers_end(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("set", set(&ours, TCP_LINGER2, -1));
    w.note("sent", send(&ours, "last"));
    w.note("close", ioth::close(ours));
    // The reset is behind the end of the stream.
    w.note("reset", w.settle(&theirs, HUP).contains(HUP));
    w.note("received", recv(&theirs, 10, 0));
    w.note("received", recv(&theirs, 10, 0));
    Ok(())
}
