//! IPv6 sockets that speak IPv4: IPV6_V6ONLY, mapped addresses and their names.
//!
//! The family of the world is the client's; the server's socket is an IPv6 one.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::Result;
use ioth::{AF_INET, AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM};
use ioth_tests::netns::Test;

use crate::calls::{patient, recv, send};
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        a_listener_for_both_families,
        a_listener_for_ipv6_only,
        connect_to_a_mapped_address,
        bind_to_a_mapped_address,
        both_families_on_one_port,
        one_port_for_both_is_taken,
        datagrams_for_both_families,
        datagrams_to_a_mapped_address,
    ]
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn server(w: &World, kind: i32, only: i32) -> Result<OwnedFd> {
    let fd = w.server.socket(AF_INET6, kind | SOCK_CLOEXEC, 0)?;
    ioth::setsockopt_int(&fd, IPPROTO_IPV6, IPV6_V6ONLY, only)?;
    Ok(fd)
}

fn a_listener_for_both_families(w: &World) -> Result<()> {
    let listener = server(w, SOCK_STREAM, 0)?;
    w.note("bind", ioth::bind(&listener, &w.with(Family::V6).any(w.port)));
    w.note("listen", ioth::listen(&listener, 5));
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    let (theirs, from) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
    w.note("from", from);
    w.note("names", (ioth::getsockname(&theirs), ioth::getpeername(&theirs)));
    w.note("client's names", (ioth::getsockname(&ours), ioth::getpeername(&ours)));
    w.note("send", send(&ours, "word"));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn a_listener_for_ipv6_only(w: &World) -> Result<()> {
    let listener = server(w, SOCK_STREAM, 1)?;
    ioth::bind(&listener, &w.with(Family::V6).any(w.port))?;
    ioth::listen(&listener, 5)?;
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    Ok(())
}

fn connect_to_a_mapped_address(w: &World) -> Result<()> {
    let _listener = w.listener()?;
    for only in [0, 1] {
        let ours = w.client.socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)?;
        ioth::setsockopt_int(&ours, IPPROTO_IPV6, IPV6_V6ONLY, only)?;
        w.note(&format!("connect, IPv6 only {only}"), ioth::connect(&ours, &mapped(w.at())));
        w.note("names", (ioth::getsockname(&ours)?.ip().is_unspecified(), ioth::getpeername(&ours)));
    }
    Ok(())
}

fn bind_to_a_mapped_address(w: &World) -> Result<()> {
    for only in [0, 1] {
        // Another port each time: the first one is left in TIME-WAIT.
        let mut at = w.at();
        at.set_port(w.port + u16::from(only == 1));
        let fd = server(w, SOCK_STREAM, only)?;
        w.note(&format!("bind, IPv6 only {only}"), ioth::bind(&fd, &mapped(at)));
        w.note("name", ioth::getsockname(&fd)?.ip().is_unspecified());
        if only == 0 {
            w.note("listen", ioth::listen(&fd, 5));
            let ours = w.stream()?;
            w.note("connect", ioth::connect(&ours, &at));
            let (_theirs, from) = ioth::accept4(&fd, SOCK_CLOEXEC)?;
            w.note("from", from);
        }
    }
    Ok(())
}

fn both_families_on_one_port(w: &World) -> Result<()> {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let six = server(w, kind, 1)?;
        w.note("IPv6", ioth::bind(&six, &w.with(Family::V6).any(w.port)));
        let four = w.server.socket(AF_INET, kind | SOCK_CLOEXEC, 0)?;
        w.note("IPv4", ioth::bind(&four, &w.with(Family::V4).any(w.port)));
    }
    Ok(())
}

fn one_port_for_both_is_taken(w: &World) -> Result<()> {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let both = server(w, kind, 0)?;
        w.note("both", ioth::bind(&both, &w.with(Family::V6).any(w.port)));
        let four = w.server.socket(AF_INET, kind | SOCK_CLOEXEC, 0)?;
        w.note("IPv4", ioth::bind(&four, &w.with(Family::V4).any(w.port)));
        w.note("IPv4's own", ioth::bind(&four, &w.with(Family::V4).at()));
        ioth::close(both)?;
        w.note("IPv4 alone", ioth::bind(&four, &w.with(Family::V4).any(w.port)));
        let both = server(w, kind, 0)?;
        w.note("both then", ioth::bind(&both, &w.with(Family::V6).any(w.port)));
    }
    Ok(())
}

fn datagrams_for_both_families(w: &World) -> Result<()> {
    let theirs = server(w, SOCK_DGRAM, 0)?;
    ioth::bind(&theirs, &w.with(Family::V6).any(w.port))?;
    patient(&theirs)?;
    let ours = w.datagram(&w.client)?;
    patient(&ours)?;
    w.note("sendto", ioth::sendto(&ours, b"word", 0, &w.at()));
    let mut room = [0; 10];
    let (got, from) = ioth::recvfrom(&theirs, &mut room, 0)?;
    w.note("recvfrom", (got, from));
    if let Some(from) = from {
        w.note("answer", ioth::sendto(&theirs, b"answer", 0, &from));
        w.note("recv", recv(&ours, 10, 0));
    }
    Ok(())
}

fn datagrams_to_a_mapped_address(w: &World) -> Result<()> {
    let theirs = w.datagram_server()?;
    patient(&theirs)?;
    let ours = w.client.socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)?;
    w.note("sendto", ioth::sendto(&ours, b"word", 0, &mapped(w.at())));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("to an IPv4 one", ioth::sendto(&ours, b"word", 0, &w.with(Family::V4).at()));
    w.note("connect", ioth::connect(&ours, &mapped(w.at())));
    w.note("peer", ioth::getpeername(&ours));
    Ok(())
}
