//! getsockopt(2) and setsockopt(2).

use std::time::Duration;

use anyhow::Result;
use ioth::{
    IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, IPV6_V6ONLY, SO_ACCEPTCONN, SO_BROADCAST, SO_DOMAIN, SO_ERROR,
    SO_KEEPALIVE, SO_LINGER, SO_PROTOCOL, SO_RCVBUF, SO_RCVTIMEO, SO_REUSEADDR, SO_SNDBUF, SO_SNDTIMEO,
    SO_TYPE, SOL_SOCKET, TCP_CORK, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_NODELAY, TCP_QUICKACK,
    TCP_USER_TIMEOUT,
};
use ioth_tests::netns::Test;

use crate::calls::{option, set_timeout};
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        what_a_socket_is,
        flags_are_stored,
        read_only_options,
        buffer_sizes,
        numbers_of_tcp,
        timeouts,
        strange_timeouts,
        linger,
        lengths_of_values,
        unknown_options,
        levels_of_the_other_kind,
        options_of_an_accepted_socket,
        ipv6_only_once_bound,
    ]
}

fn what_a_socket_is(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let listener = w.with(w.family).stream()?;
    let datagram = w.datagram(&w.client)?;
    for (what, fd) in [("fresh", &listener), ("ours", &ours), ("theirs", &theirs), ("datagram", &datagram)] {
        for (name, number) in [
            ("SO_TYPE", SO_TYPE),
            ("SO_DOMAIN", SO_DOMAIN),
            ("SO_PROTOCOL", SO_PROTOCOL),
            ("SO_ACCEPTCONN", SO_ACCEPTCONN),
            ("SO_ERROR", SO_ERROR),
        ] {
            w.note(&format!("{what} {name}"), option(fd, SOL_SOCKET, number));
        }
    }
    Ok(())
}

fn flags_are_stored(w: &World) -> Result<()> {
    let (stream, datagram) = (w.stream()?, w.datagram(&w.client)?);
    for (what, fd) in [("stream", &stream), ("datagram", &datagram)] {
        for (name, level, number) in [
            ("SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR),
            ("SO_BROADCAST", SOL_SOCKET, SO_BROADCAST),
            ("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE),
            ("TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY),
            ("TCP_CORK", IPPROTO_TCP, TCP_CORK),
            ("TCP_QUICKACK", IPPROTO_TCP, TCP_QUICKACK),
            ("IPV6_V6ONLY", IPPROTO_IPV6, IPV6_V6ONLY),
        ] {
            // The kernel asks the datagram socket's own level: see levels_of_the_other_kind.
            if what == "datagram" && level == IPPROTO_TCP {
                continue;
            }
            w.note(&format!("{what} {name}"), option(fd, level, number));
            for value in [1, 7, 0, -1] {
                w.note(&format!("set {value}"), ioth::setsockopt_int(fd, level, number, value));
                w.note("shows", option(fd, level, number));
            }
        }
    }
    Ok(())
}

fn read_only_options(w: &World) -> Result<()> {
    let fd = w.stream()?;
    for number in [SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, SO_ERROR] {
        w.note(&format!("set {number}"), ioth::setsockopt_int(&fd, SOL_SOCKET, number, 1));
    }
    Ok(())
}

fn buffer_sizes(w: &World) -> Result<()> {
    for fd in [w.stream()?, w.datagram(&w.client)?] {
        // Above net.core.rmem_max (212 992 by default) the bounds differ, see ioth::option.
        for value in [0, 1, 2000, 10_000, 65_536, 200_000] {
            for number in [SO_RCVBUF, SO_SNDBUF] {
                w.note(
                    &format!("set {number} to {value}"),
                    ioth::setsockopt_int(&fd, SOL_SOCKET, number, value),
                );
                w.note("shows", option(&fd, SOL_SOCKET, number));
            }
        }
    }
    Ok(())
}

fn numbers_of_tcp(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for (what, fd) in [("fresh", w.stream()?), ("connected", w.pair_of(&listener)?.0)] {
        for (name, number) in [
            ("TCP_KEEPIDLE", TCP_KEEPIDLE),
            ("TCP_KEEPINTVL", TCP_KEEPINTVL),
            ("TCP_KEEPCNT", TCP_KEEPCNT),
            ("TCP_USER_TIMEOUT", TCP_USER_TIMEOUT),
        ] {
            w.note(&format!("{what} {name}"), option(&fd, IPPROTO_TCP, number));
            for value in [1, 127, 128, 32_767, 32_768, 0, -1, i32::MAX] {
                w.note(&format!("set {value}"), ioth::setsockopt_int(&fd, IPPROTO_TCP, number, value));
                w.note("shows", option(&fd, IPPROTO_TCP, number));
            }
            w.note("too short", ioth::setsockopt(&fd, IPPROTO_TCP, number, &[1; 3]));
        }
    }
    // What a listener has, its connections have.
    ioth::setsockopt_int(&listener, IPPROTO_TCP, TCP_KEEPIDLE, 77)?;
    ioth::setsockopt_int(&listener, IPPROTO_TCP, TCP_USER_TIMEOUT, 7777)?;
    let (_ours, theirs) = w.pair_of(&listener)?;
    w.note("inherited", option(&theirs, IPPROTO_TCP, TCP_KEEPIDLE));
    w.note("inherited", option(&theirs, IPPROTO_TCP, TCP_USER_TIMEOUT));
    Ok(())
}

fn timeouts(w: &World) -> Result<()> {
    let fd = w.stream()?;
    for number in [SO_RCVTIMEO, SO_SNDTIMEO] {
        let shows = || -> Result<String> {
            let mut value = [0; 16];
            let len = ioth::getsockopt(&fd, SOL_SOCKET, number, &mut value)?;
            let word = |at: usize| i64::from_ne_bytes(value[at..at + 8].try_into().expect("8 bytes"));
            Ok(format!("{len} bytes: {} s {} us", word(0), word(8)))
        };
        w.note("at first", shows()?);
        for time in [Duration::from_millis(1500), Duration::from_secs(3), Duration::ZERO] {
            w.note(&format!("set {time:?}"), set_timeout(&fd, number, time));
            w.note("shows", shows()?);
        }
    }
    Ok(())
}

fn strange_timeouts(w: &World) -> Result<()> {
    let fd = w.stream()?;
    let value = |seconds: i64, micros: i64| [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat();
    for (seconds, micros) in [(0, 1_000_000), (0, -1), (-1, 0), (1, 999_999)] {
        let set = ioth::setsockopt(&fd, SOL_SOCKET, SO_RCVTIMEO, &value(seconds, micros));
        w.note(&format!("set {seconds} s {micros} us"), set);
    }
    w.note("too short", ioth::setsockopt(&fd, SOL_SOCKET, SO_RCVTIMEO, &[0; 8]));
    w.note("much too short", ioth::setsockopt(&fd, SOL_SOCKET, SO_RCVTIMEO, &[0; 2]));
    Ok(())
}

fn linger(w: &World) -> Result<()> {
    let fd = w.stream()?;
    for (on, seconds) in [(0, 0), (1, 0), (1, 5), (7, 9), (0, 3)] {
        let value = [i32::to_ne_bytes(on), i32::to_ne_bytes(seconds)].concat();
        w.note(&format!("set {on}, {seconds}"), ioth::setsockopt(&fd, SOL_SOCKET, SO_LINGER, &value));
        let mut shown = [0; 8];
        w.note("length", ioth::getsockopt(&fd, SOL_SOCKET, SO_LINGER, &mut shown));
        w.note("on", i32::from(shown[0]));
        // While off, those that were set before.
        w.note("seconds", i32::from(shown[4]));
    }
    w.note("too short", ioth::setsockopt(&fd, SOL_SOCKET, SO_LINGER, &[1, 0, 0, 0]));
    Ok(())
}

fn lengths_of_values(w: &World) -> Result<()> {
    let fd = w.stream()?;
    for (level, number) in [(SOL_SOCKET, SO_REUSEADDR), (IPPROTO_TCP, TCP_NODELAY), (SOL_SOCKET, SO_RCVBUF)] {
        w.note("set 2 bytes", ioth::setsockopt(&fd, level, number, &[1, 0]));
        w.note("set 8 bytes", ioth::setsockopt(&fd, level, number, &[1, 0, 0, 0, 0, 0, 0, 0]));
        for len in [0, 1, 4, 8] {
            w.note(&format!("room for {len}"), ioth::getsockopt(&fd, level, number, &mut vec![0; len]));
        }
    }
    Ok(())
}

fn unknown_options(w: &World) -> Result<()> {
    let (stream, datagram) = (w.stream()?, w.datagram(&w.client)?);
    for fd in [&stream, &datagram] {
        w.note("get of SOL_SOCKET", option(fd, SOL_SOCKET, 9999));
        w.note("set of SOL_SOCKET", ioth::setsockopt_int(fd, SOL_SOCKET, 9999, 1));
    }
    w.note("get of TCP", option(&stream, IPPROTO_TCP, 9999));
    w.note("set of TCP", ioth::setsockopt_int(&stream, IPPROTO_TCP, 9999, 1));
    w.note("get of UDP", option(&datagram, IPPROTO_UDP, 9999));
    w.note("set of UDP", ioth::setsockopt_int(&datagram, IPPROTO_UDP, 9999, 1));
    Ok(())
}

fn levels_of_the_other_kind(w: &World) -> Result<()> {
    let (stream, datagram) = (w.stream()?, w.datagram(&w.client)?);
    w.note("get TCP of datagrams", option(&datagram, IPPROTO_TCP, TCP_NODELAY));
    w.note("set TCP of datagrams", ioth::setsockopt_int(&datagram, IPPROTO_TCP, TCP_NODELAY, 1));
    w.note("get UDP of a stream", option(&stream, IPPROTO_UDP, 1));
    w.note("set UDP of a stream", ioth::setsockopt_int(&stream, IPPROTO_UDP, 1, 1));
    w.note("get level 9999", option(&stream, 9999, 1));
    w.note("set level 9999", ioth::setsockopt_int(&stream, 9999, 1, 1));
    Ok(())
}

fn options_of_an_accepted_socket(w: &World) -> Result<()> {
    let listener = w.listener()?;
    ioth::setsockopt_int(&listener, IPPROTO_TCP, TCP_NODELAY, 1)?;
    ioth::setsockopt_int(&listener, SOL_SOCKET, SO_KEEPALIVE, 1)?;
    ioth::setsockopt_int(&listener, SOL_SOCKET, SO_RCVBUF, 50_000)?;
    ioth::setsockopt_int(&listener, SOL_SOCKET, SO_SNDBUF, 60_000)?;
    ioth::setsockopt(&listener, SOL_SOCKET, SO_LINGER, &[1, 0, 0, 0, 9, 0, 0, 0])?;
    let (_ours, theirs) = w.pair_of(&listener)?;
    for (name, level, number) in [
        ("TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY),
        ("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE),
        ("SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR),
        ("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF),
        ("SO_SNDBUF", SOL_SOCKET, SO_SNDBUF),
        ("SO_LINGER", SOL_SOCKET, SO_LINGER),
    ] {
        w.note(name, option(&theirs, level, number));
    }
    Ok(())
}

fn ipv6_only_once_bound(w: &World) -> Result<()> {
    let fd = w.stream()?;
    ioth::bind(&fd, &w.here())?;
    w.note("get", option(&fd, IPPROTO_IPV6, IPV6_V6ONLY));
    w.note("set", ioth::setsockopt_int(&fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    Ok(())
}
