//! The ICMP echo socket, icmp(7): requests out, replies in, without privilege.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Result;
use ioth::{
    IPPROTO_ICMP, IPPROTO_ICMPV6, MSG_DONTWAIT, SO_DOMAIN, SO_ERROR, SO_PROTOCOL, SO_TYPE, SOCK_CLOEXEC,
    SOCK_DGRAM, SOL_SOCKET,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, OUT, option, patient, send};
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        what_an_echo_socket_is,
        echo_there_and_back,
        echo_when_connected,
        echoes_of_any_length,
        no_echo_request
    ]
}

/// Types of requests and replies: RFC 792, RFC 4443 section 4.
const fn types(w: &World) -> (u8, u8) {
    match w.family {
        Family::V4 => (8, 0),
        Family::V6 => (128, 129),
    }
}

fn echo(w: &World) -> Result<OwnedFd> {
    let protocol = if w.family == Family::V4 { IPPROTO_ICMP } else { IPPROTO_ICMPV6 };
    let fd = w.client.socket(w.domain(), SOCK_DGRAM | SOCK_CLOEXEC, protocol)?;
    patient(&fd)?;
    Ok(fd)
}

/// The server's address; an echo socket has no port to send to.
fn server(w: &World) -> SocketAddr {
    SocketAddr::new(w.at().ip(), 0)
}

/// A request; the stack fills in checksum and identifier.
fn request(w: &World, sequence: u8, data: &[u8]) -> Vec<u8> {
    [&[types(w).0, 0, 0, 0, 0, 0, 0, sequence][..], data].concat()
}

/// A reply without checksum, and with what the socket says of its identifier.
fn reply(w: &World, fd: &OwnedFd) -> Result<String> {
    let mut room = [0; 100];
    let (len, from) = ioth::recvfrom(fd, &mut room, 0)?;
    let own = ioth::getsockname(fd)?.port().to_be_bytes();
    let from = from.is_some_and(|from| from == server(w));
    let [kind, code, _, _, id @ .., _, _] = *room.first_chunk::<8>().expect("it is longer");
    let rest = String::from_utf8_lossy(&room[6..len]).into_owned();
    Ok(format!("{len} bytes, {kind}/{code}, from the server: {from}, own: {}, {rest:?}", id == own))
}

fn what_an_echo_socket_is(w: &World) -> Result<()> {
    let fd = echo(w)?;
    for (name, number) in
        [("type", SO_TYPE), ("domain", SO_DOMAIN), ("protocol", SO_PROTOCOL), ("error", SO_ERROR)]
    {
        w.note(name, option(&fd, SOL_SOCKET, number));
    }
    w.note("own", ioth::getsockname(&fd));
    w.note("peer", ioth::getpeername(&fd));
    w.poll("fresh", &fd, OUT);
    w.note("recv", ioth::recv(&fd, &mut [0; 10], MSG_DONTWAIT));
    w.note("send", send(&fd, request(w, 1, b"")));
    w.note("listen", ioth::listen(&fd, 1));
    w.note("accept", ioth::accept(&fd));
    Ok(())
}

fn echo_there_and_back(w: &World) -> Result<()> {
    let fd = echo(w)?;
    for (sequence, data) in [(1, "a word"), (2, ""), (3, "another")] {
        w.note("sendto", ioth::sendto(&fd, &request(w, sequence, data.as_bytes()), 0, &server(w)));
        w.poll("answered", &fd, IN | OUT);
        w.note("reply", reply(w, &fd)?);
    }
    w.note("no more", ioth::recv(&fd, &mut [0; 100], MSG_DONTWAIT));
    Ok(())
}

fn echo_when_connected(w: &World) -> Result<()> {
    let (fd, other) = (echo(w)?, echo(w)?);
    w.note("connect", ioth::connect(&fd, &server(w)));
    w.note("peer", ioth::getpeername(&fd));
    w.note("send", send(&fd, request(w, 7, b"mine")));
    w.note("reply", reply(w, &fd)?);
    w.poll("not the other's", &other, OUT);
    Ok(())
}

fn echoes_of_any_length(w: &World) -> Result<()> {
    let fd = echo(w)?;
    let most = if w.family == Family::V4 { 65_515 } else { 65_535 };
    // While the kernel resolves a neighbour, few fragments wait for the answer.
    for len in [8, 1480, 1481, 8008, 20_000, most] {
        let request = request(w, 3, &ioth_tests::pattern::stream(len as u64 - 8));
        w.note(&format!("sendto {len}"), ioth::sendto(&fd, &request, 0, &server(w)));
        let mut room = vec![0; 70_000];
        let (got, _) = ioth::recvfrom(&fd, &mut room, 0)?;
        w.note("whole", room[8..got] == request[8..]);
    }
    w.note("beyond", ioth::sendto(&fd, &request(w, 3, &vec![0; most - 7]), 0, &server(w)));
    Ok(())
}

fn no_echo_request(w: &World) -> Result<()> {
    let fd = echo(w)?;
    w.note("connect", ioth::connect(&fd, &server(w)));
    w.note("too short", send(&fd, [types(w).0; 7]));
    w.note("a reply", send(&fd, [types(w).1, 0, 0, 0, 0, 0, 0, 1]));
    w.note("a code", send(&fd, [types(w).0, 1, 0, 0, 0, 0, 0, 1]));
    w.note("the other family", ioth::connect(&fd, &w.with(other(w.family)).at()));
    Ok(())
}

const fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}
