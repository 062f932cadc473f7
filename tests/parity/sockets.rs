//! socket(2), bind(2), the names of sockets, and descriptors that are none.

use std::net::SocketAddr;

use anyhow::Result;
use ioth::{
    AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SO_REUSEADDR, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK,
    SOCK_STREAM, SOL_SOCKET,
};
use ioth_tests::netns::Test;
use rustix::fs::OFlags;
use rustix::io::FdFlags;

use crate::sys;
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        arguments_of_socket,
        flags_of_socket,
        a_fresh_socket,
        bind_to_every_kind_of_address,
        bind_twice,
        bind_of_the_wrong_family,
        bind_to_an_address_in_use,
        bind_beside_the_wildcard,
        bind_again_while_listening,
        bind_again_after_a_connection,
        port_zero,
        names_through_a_connection,
        bad_descriptors,
        no_sockets,
    ]
}

fn arguments_of_socket(w: &World) -> Result<()> {
    const RAW: i32 = 3;
    const SEQPACKET: i32 = 5;
    for (domain, kind, protocol) in [
        (w.domain(), SOCK_STREAM, 0),
        (w.domain(), SOCK_STREAM, IPPROTO_TCP),
        (w.domain(), SOCK_STREAM, IPPROTO_UDP),
        (w.domain(), SOCK_STREAM, 255),
        (w.domain(), SOCK_STREAM, 256),
        (w.domain(), SOCK_STREAM, -1),
        (w.domain(), SOCK_DGRAM, 0),
        (w.domain(), SOCK_DGRAM, IPPROTO_UDP),
        (w.domain(), SOCK_DGRAM, IPPROTO_TCP),
        (w.domain(), 0, 0),
        (w.domain(), RAW, 0),
        (w.domain(), 4, 0),
        (w.domain(), SEQPACKET, 0),
        // Not 10: with AF_INET the kernel takes it for the old name of packet sockets.
        (w.domain(), 11, 0),
        (w.domain(), 15, 0),
        (w.domain(), -1, 0),
        (w.domain(), SOCK_STREAM | 0x10_0000, 0),
        (w.domain(), SOCK_STREAM | 0x10, 0),
        (0, SOCK_STREAM, 0),
        (44, SOCK_STREAM, 0),
        (9999, SOCK_STREAM, 0),
        (-1, SOCK_STREAM, 0),
    ] {
        w.note(&format!("socket({domain}, {kind:#x}, {protocol})"), w.client.socket(domain, kind, protocol));
    }
    Ok(())
}

fn flags_of_socket(w: &World) -> Result<()> {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        for flags in [0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC] {
            let fd = w.client.socket(w.domain(), kind | flags, 0)?;
            let nonblocking = rustix::fs::fcntl_getfl(&fd)?.contains(OFlags::NONBLOCK);
            let closes = rustix::io::fcntl_getfd(&fd)?.contains(FdFlags::CLOEXEC);
            w.note(&format!("{kind} with {flags:#x} does not wait, closes"), (nonblocking, closes));
        }
    }
    Ok(())
}

fn a_fresh_socket(w: &World) -> Result<()> {
    let fd = w.stream()?;
    w.note("getsockname", ioth::getsockname(&fd));
    w.note("getpeername", ioth::getpeername(&fd));
    w.note("recv", crate::calls::recv(&fd, 10, 0));
    w.note("recv nothing", crate::calls::recv(&fd, 0, 0));
    w.note("send", crate::calls::send(&fd, "x"));
    w.note("send nothing", crate::calls::send(&fd, ""));
    w.note("sendto", ioth::sendto(&fd, b"x", ioth::MSG_NOSIGNAL, &w.at()));
    w.note("accept", ioth::accept(&fd));
    for how in [ioth::SHUT_RD, ioth::SHUT_WR, ioth::SHUT_RDWR] {
        w.note(&format!("shutdown {how}"), ioth::shutdown(&fd, how));
    }
    for how in [-1, 3] {
        w.note(&format!("shutdown {how}"), ioth::shutdown(&fd, how));
    }
    w.note("SO_ERROR", crate::calls::pending(&fd));
    Ok(())
}

fn bind_to_every_kind_of_address(w: &World) -> Result<()> {
    let mut foreign = w.nobody();
    foreign.set_port(0);
    let broadcast: SocketAddr = match w.family {
        Family::V4 => ([10, 0, 0, 255], 0).into(),
        Family::V6 => ([0xff02, 0, 0, 0, 0, 0, 0, 1], 0).into(),
    };
    let loopback: SocketAddr = match w.family {
        Family::V4 => ([127, 0, 0, 1], 0).into(),
        Family::V6 => ([0, 0, 0, 0, 0, 0, 0, 1], 0).into(),
    };
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        for (what, address) in [
            ("its own", w.here()),
            ("any", w.any(0)),
            ("any with a port", w.any(w.port)),
            ("nobody's", foreign),
            ("loopback", loopback),
            ("nowhere", w.nowhere()),
        ] {
            let fd = w.client.socket(w.domain(), kind | SOCK_CLOEXEC, 0)?;
            w.note(&format!("{kind} bind to {what}"), ioth::bind(&fd, &address));
            w.note("bound", ioth::getsockname(&fd)?.port() != 0);
        }
    }
    let fd = w.stream()?;
    let of_kernel = if w.family == Family::V4 { "done" } else { "EINVAL" };
    let row = "bind(2) of a stream socket to a broadcast or multicast address";
    w.documented(row, &w.client, (of_kernel, "EADDRNOTAVAIL"), ioth::bind(&fd, &broadcast));
    Ok(())
}

fn bind_twice(w: &World) -> Result<()> {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = w.server.socket(w.domain(), kind | SOCK_CLOEXEC, 0)?;
        w.note("bind", ioth::bind(&fd, &w.at()));
        w.note("again", ioth::bind(&fd, &w.at()));
        w.note("to another", ioth::bind(&fd, &w.any(w.port + 1)));
        w.note("name", ioth::getsockname(&fd));
    }
    let fd = w.server.socket(w.domain(), SOCK_STREAM | SOCK_CLOEXEC, 0)?;
    w.note("port 0", ioth::bind(&fd, &w.any(0)));
    w.note("then a port", ioth::bind(&fd, &w.any(w.port)));
    Ok(())
}

fn bind_of_the_wrong_family(w: &World) -> Result<()> {
    let (v4, v6) = (w.with(Family::V4).here(), w.with(Family::V6).here());
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = w.client.socket(AF_INET, kind, 0)?;
        w.note("IPv4 to IPv6", ioth::bind(&fd, &v6));
        let fd = w.client.socket(AF_INET6, kind, 0)?;
        w.note("IPv6 to IPv4", ioth::bind(&fd, &v4));
    }
    Ok(())
}

fn bind_to_an_address_in_use(w: &World) -> Result<()> {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let socket = || w.server.socket(w.domain(), kind | SOCK_CLOEXEC, 0);
        let first = socket()?;
        w.note("first", ioth::bind(&first, &w.at()));
        let second = socket()?;
        w.note("second", ioth::bind(&second, &w.at()));
        w.note("second's name", ioth::getsockname(&second));
        w.note("another port", ioth::bind(&second, &w.any(w.port + 1)));
        let third = socket()?;
        ioth::setsockopt_int(&third, SOL_SOCKET, SO_REUSEADDR, 1)?;
        w.note("third reuses", ioth::bind(&third, &w.at()));
        ioth::setsockopt_int(&first, SOL_SOCKET, SO_REUSEADDR, 1)?;
        w.note("all reuse", ioth::bind(&third, &w.at()));
        drop((first, third));
        // A dropped descriptor is noticed a moment later.
        let fourth = socket()?;
        let end = std::time::Instant::now() + crate::world::SOON;
        let mut freed = ioth::bind(&fourth, &w.at());
        while freed.is_err() && std::time::Instant::now() < end {
            std::thread::sleep(crate::world::MOMENT);
            freed = ioth::bind(&fourth, &w.at());
        }
        w.note("once free", freed);
    }
    Ok(())
}

fn bind_beside_the_wildcard(w: &World) -> Result<()> {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        for reuse in [0, 1] {
            let socket = || -> Result<_> {
                let fd = w.server.socket(w.domain(), kind | SOCK_CLOEXEC, 0)?;
                ioth::setsockopt_int(&fd, SOL_SOCKET, SO_REUSEADDR, reuse)?;
                Ok(fd)
            };
            let any = socket()?;
            w.note("any", ioth::bind(&any, &w.any(w.port)));
            let one = socket()?;
            w.note(&format!("one of them, reuse {reuse}"), ioth::bind(&one, &w.at()));
            ioth::close(any)?;
            ioth::close(one)?;
            let one = socket()?;
            w.note("one", ioth::bind(&one, &w.at()));
            let any = socket()?;
            w.note(&format!("any, reuse {reuse}"), ioth::bind(&any, &w.any(w.port)));
            ioth::close(any)?;
            ioth::close(one)?;
        }
    }
    Ok(())
}

fn bind_again_while_listening(w: &World) -> Result<()> {
    let _listener = w.listener()?;
    let second = w.server.socket(w.domain(), SOCK_STREAM | SOCK_CLOEXEC, 0)?;
    w.note("second", ioth::bind(&second, &w.at()));
    ioth::setsockopt_int(&second, SOL_SOCKET, SO_REUSEADDR, 1)?;
    w.note("second reuses", ioth::bind(&second, &w.at()));
    w.note("any", ioth::bind(&second, &w.any(w.port)));
    w.note("listens unbound", ioth::listen(&second, 1));
    Ok(())
}

fn bind_again_after_a_connection(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (ours, theirs) = w.pair_of(&listener)?;
    ioth::close(listener)?;
    let again = w.server.socket(w.domain(), SOCK_STREAM | SOCK_CLOEXEC, 0)?;
    w.note("without reuse", ioth::bind(&again, &w.at()));
    ioth::setsockopt_int(&again, SOL_SOCKET, SO_REUSEADDR, 1)?;
    w.note("with reuse", ioth::bind(&again, &w.at()));
    w.note("listen", ioth::listen(&again, 1));
    let more = w.stream()?;
    w.note("connect", ioth::connect(&more, &w.at()));
    w.note("accept", ioth::accept4(&again, SOCK_CLOEXEC));
    w.note("the old one sends", crate::calls::send(&ours, "old"));
    w.note("and receives", crate::calls::recv(&theirs, 10, 0));
    Ok(())
}

fn port_zero(w: &World) -> Result<()> {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let socket = || w.client.socket(w.domain(), kind | SOCK_CLOEXEC, 0);
        let (one, two) = (socket()?, socket()?);
        w.note("bind one", ioth::bind(&one, &w.here()));
        w.note("bind two", ioth::bind(&two, &w.here()));
        let (one, two) = (ioth::getsockname(&one)?, ioth::getsockname(&two)?);
        w.note("ports differ", one.port() != two.port());
        w.note("names", (one, two));
    }
    Ok(())
}

fn names_through_a_connection(w: &World) -> Result<()> {
    let listener = w.listener()?;
    w.note("listener", (ioth::getsockname(&listener), ioth::getpeername(&listener)));
    let ours = w.stream()?;
    ioth::bind(&ours, &w.any(0))?;
    w.note("bound", (ioth::getsockname(&ours), ioth::getpeername(&ours)));
    w.note("connect", ioth::connect(&ours, &w.at()));
    let (theirs, from) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.note("connected", (ioth::getsockname(&ours), ioth::getpeername(&ours)));
    w.note("accepted", (ioth::getsockname(&theirs), ioth::getpeername(&theirs)));
    w.note("they are each other's", from == ioth::getsockname(&ours)? && from == ioth::getpeername(&theirs)?);
    w.note("shut down", ioth::shutdown(&ours, ioth::SHUT_WR));
    w.poll("told", &theirs, crate::calls::RDHUP);
    w.note("half closed", (ioth::getpeername(&ours), ioth::getpeername(&theirs)));
    w.note("close", ioth::close(theirs));
    w.poll("over", &ours, crate::calls::HUP);
    w.note("peer at the end", ioth::getpeername(&ours));
    w.note("its own name then", ioth::getsockname(&ours));
    Ok(())
}

/// Every call on a descriptor that is open nowhere, or no socket.
fn try_all(w: &World, fd: impl std::os::fd::AsFd) {
    w.note("bind", ioth::bind(&fd, &w.here()));
    w.note("listen", ioth::listen(&fd, 1));
    w.note("accept", ioth::accept(&fd));
    w.note("connect", ioth::connect(&fd, &w.at()));
    w.note("recv", crate::calls::recv(&fd, 1, 0));
    w.note("send", crate::calls::send(&fd, "x"));
    w.note("sendto", ioth::sendto(&fd, b"x", 0, &w.at()));
    w.note("shutdown", ioth::shutdown(&fd, ioth::SHUT_WR));
    w.note("getsockname", ioth::getsockname(&fd));
    w.note("getpeername", ioth::getpeername(&fd));
    w.note("getsockopt", crate::calls::pending(&fd));
    w.note("setsockopt", ioth::setsockopt_int(&fd, SOL_SOCKET, SO_REUSEADDR, 1));
}

fn bad_descriptors(w: &World) -> Result<()> {
    let fd = sys::never_open();
    try_all(w, fd);
    w.note("read", ioth::read(fd, &mut [0; 1]));
    w.note("write", ioth::write(fd, b"x"));
    Ok(())
}

fn no_sockets(w: &World) -> Result<()> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    try_all(w, &reader);
    w.note("write", ioth::write(&writer, b"pipe"));
    let mut word = [0; 4];
    w.note("read", ioth::read(&reader, &mut word));
    w.note("it is", &word);
    Ok(())
}
