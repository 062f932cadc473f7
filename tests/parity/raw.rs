//! Raw sockets: raw(7), ipv6(7), icmp(7). A host hears every packet of a protocol, so that the worlds take turns.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Result;
use ioth::{
    Control, ICMP_FILTER, ICMP6_FILTER, IP_HDRINCL, IP_PKTINFO, IP_RECVERR, IP_RECVTTL, IP_TTL, IPPROTO_ICMP,
    IPPROTO_ICMPV6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, IPV6_RECVERR, IPV6_RECVHOPLIMIT,
    IPV6_RECVPKTINFO, IPV6_UNICAST_HOPS, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, SO_DOMAIN,
    SO_PROTOCOL, SO_TYPE, SOCK_CLOEXEC, SOCK_RAW, SOL_RAW, SOL_SOCKET,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, OUT, option, patient, pending, send};
use crate::messages::receive;
use crate::raw_headers::by_hand;
use crate::world::{Family, Host, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![alone:
        what_a_raw_socket_is,
        which_protocols_there_are,
        packets_there_and_back,
        everybody_gets_a_copy,
        bound_and_connected_ones_hear_less,
        bind_and_connect,
        lengths_of_packets,
        ping_by_hand,
        filters_of_types,
        nobody_speaks_the_protocol,
        others_are_heard_beside_their_protocol,
        errors_are_queued,
        beside_a_packet,
        packets_by_plain_calls,
    ]
}

/// For experiments (RFC 3692 section 2.1).
pub(crate) const PROTOCOL: i32 = 253;

pub(crate) fn raw(w: &World, host: &Host, protocol: i32) -> Result<OwnedFd> {
    let fd = host.socket(w.domain(), SOCK_RAW | SOCK_CLOEXEC, protocol)?;
    patient(&fd)?;
    Ok(fd)
}

pub(crate) fn server(w: &World) -> SocketAddr {
    SocketAddr::new(w.at().ip(), 0)
}

/// What is behind the IP header of what was received, and whether there was one.
pub(crate) fn payload(w: &World, packet: &[u8]) -> String {
    if w.family == Family::V6 {
        return text(packet);
    }
    let header = usize::from(packet[0] & 0xf) * 4;
    let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    format!(
        "header {header}, its length fits: {}, offset {:x}, tos {}, protocol {}, {}",
        len == packet.len(),
        u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff,
        packet[1],
        packet[9],
        text(&packet[header..])
    )
}

pub(crate) fn text(bytes: &[u8]) -> String {
    crate::calls::text(bytes)
}

pub(crate) fn hear(w: &World, fd: &OwnedFd) -> io::Result<String> {
    let mut room = vec![0; 70_000];
    let (len, from) = ioth::recvfrom(fd, &mut room, 0)?;
    let from = from.map_or_else(String::new, |from| crate::transcript::Show::show(&from, w));
    Ok(format!("{} from {from}", payload(w, &room[..len])))
}

pub(crate) fn silent(fd: &OwnedFd) -> io::Result<usize> {
    std::thread::sleep(crate::world::MOMENT);
    ioth::recv(fd, &mut [0; 100], MSG_DONTWAIT)
}

fn what_a_raw_socket_is(w: &World) -> Result<()> {
    let fd = raw(w, &w.client, PROTOCOL)?;
    for (name, number) in [("type", SO_TYPE), ("domain", SO_DOMAIN), ("protocol", SO_PROTOCOL)] {
        w.note(name, option(&fd, SOL_SOCKET, number));
    }
    w.note("own", ioth::getsockname(&fd).map(|own| own.to_string()));
    w.note("peer", ioth::getpeername(&fd));
    w.poll("fresh", &fd, OUT);
    w.note("recv", ioth::recv(&fd, &mut [0; 10], MSG_DONTWAIT));
    w.note("oob", ioth::recv(&fd, &mut [0; 10], ioth::MSG_OOB));
    w.note("send", send(&fd, b"nowhere"));
    w.note("listen", ioth::listen(&fd, 1));
    w.note("accept", ioth::accept(&fd));
    w.note("shutdown", ioth::shutdown(&fd, ioth::SHUT_RD));
    w.note("no reports", ioth::recv(&fd, &mut [0; 10], MSG_ERRQUEUE));
    Ok(())
}

fn which_protocols_there_are(w: &World) -> Result<()> {
    for protocol in [0, 1, 6, 17, 58, 254, 255, -1, 263] {
        let made = w.client.socket(w.domain(), SOCK_RAW | SOCK_CLOEXEC, protocol);
        w.note(&format!("protocol {protocol}"), made);
    }
    Ok(())
}

fn packets_there_and_back(w: &World) -> Result<()> {
    let (here, there) = (raw(w, &w.client, PROTOCOL)?, raw(w, &w.server, PROTOCOL)?);
    for data in ["a packet", "", "another"] {
        w.note("sendto", ioth::sendto(&here, data.as_bytes(), 0, &server(w)));
        w.poll("arrived", &there, IN | OUT);
        w.note("peek", ioth::recv(&there, &mut [0; 5], MSG_PEEK | MSG_TRUNC));
        w.note("heard", hear(w, &there));
        if w.client.same_as(&w.server) {
            w.note("here, too", hear(w, &here));
        }
    }
    w.note("back", ioth::sendto(&there, b"back", 0, &w.here()));
    w.note("heard", hear(w, &here));
    Ok(())
}

fn everybody_gets_a_copy(w: &World) -> Result<()> {
    let here = raw(w, &w.client, PROTOCOL)?;
    let all = [raw(w, &w.server, PROTOCOL)?, raw(w, &w.server, PROTOCOL)?, raw(w, &w.server, PROTOCOL - 1)?];
    w.note("sendto", ioth::sendto(&here, b"for all", 0, &server(w)));
    w.note("first", hear(w, &all[0]));
    w.note("second", hear(w, &all[1]));
    w.note("of another protocol", silent(&all[2]));
    Ok(())
}

fn bound_and_connected_ones_hear_less(w: &World) -> Result<()> {
    let here = raw(w, &w.client, PROTOCOL)?;
    let there = raw(w, &w.server, PROTOCOL)?;
    w.note("bind", ioth::bind(&there, &server(w)));
    w.note("sendto", ioth::sendto(&here, b"one", 0, &server(w)));
    w.note("bound to it", hear(w, &there));
    w.note("connect", ioth::connect(&there, &w.nobody()));
    w.note("sendto", ioth::sendto(&here, b"two", 0, &server(w)));
    w.note("connected to another", silent(&there));
    w.note("connect", ioth::connect(&there, &w.here()));
    w.note("sendto", ioth::sendto(&here, b"three", 0, &server(w)));
    w.note("connected to it", hear(w, &there));
    w.note("send", send(&there, b"four"));
    while let Ok(heard) = hear(w, &here) {
        w.note("heard", heard.contains("four"));
        if heard.contains("four") {
            break;
        }
    }
    Ok(())
}

fn bind_and_connect(w: &World) -> Result<()> {
    let fd = raw(w, &w.client, PROTOCOL)?;
    w.note("bind", ioth::bind(&fd, &w.here()));
    w.note("own", ioth::getsockname(&fd).map(|own| own.port()).map(u32::from));
    w.note("again, to any", ioth::bind(&fd, &w.any(9)));
    w.note("own", ioth::getsockname(&fd).map(|own| own.port()).map(u32::from));
    w.note("not ours", ioth::bind(&fd, &w.nobody()));
    w.note("connect", ioth::connect(&fd, &server(w)));
    w.note("own", ioth::getsockname(&fd).map(|own| own.ip() == w.here().ip()));
    w.note("peer", ioth::getpeername(&fd));
    w.note("bind", ioth::bind(&fd, &w.here()));
    w.note("to a port", ioth::connect(&fd, &w.at()));
    w.note("peer", ioth::getpeername(&fd));
    w.note("nowhere", ioth::connect(&fd, &w.nowhere()));
    w.note("a port that is none of it", ioth::sendto(&fd, b"x", 0, &w.at()));
    w.note("the protocol", ioth::sendto(&fd, b"x", 0, &SocketAddr::new(w.at().ip(), PROTOCOL as u16)));
    Ok(())
}

fn lengths_of_packets(w: &World) -> Result<()> {
    let (here, there) = (raw(w, &w.client, PROTOCOL)?, raw(w, &w.server, PROTOCOL)?);
    let most = if w.family == Family::V4 { 65_515 } else { 65_535 };
    for len in [1, 1480, 1481, 8000, 20_000, most] {
        let data = ioth_tests::pattern::stream(len as u64);
        w.note(&format!("sendto {len}"), ioth::sendto(&here, &data, 0, &server(w)));
        let mut room = vec![0; 70_000];
        let got = ioth::recv(&there, &mut room, 0)?;
        w.note("whole", room[..got].ends_with(&data));
        w.note("header", payload(w, &room[..got]));
        if w.client.same_as(&w.server) {
            let _ = ioth::recv(&here, &mut room, 0);
        }
    }
    for len in [most + 1, 70_000] {
        w.note("beyond", ioth::sendto(&here, &vec![0; len], 0, &server(w)));
    }
    Ok(())
}

/// An echo request with a checksum, but for IPv6, where the stack writes it.
fn request(w: &World, sequence: u8) -> Vec<u8> {
    let kind = if w.family == Family::V4 { 8 } else { 128 };
    let mut message = vec![kind, 0, 0, 0, 0x4d, 0x2e, 0, sequence, b'h', b'i'];
    if w.family == Family::V4 {
        let sum: u32 = message.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

fn icmp(w: &World) -> i32 {
    if w.family == Family::V4 { IPPROTO_ICMP } else { IPPROTO_ICMPV6 }
}

/// The type and the rest of the next echo message of ours; others pass.
fn echo(w: &World, fd: &OwnedFd) -> Result<String> {
    let mut room = [0; 200];
    loop {
        let len = ioth::recv(fd, &mut room, 0)?;
        let at = if w.family == Family::V4 { usize::from(room[0] & 0xf) * 4 } else { 0 };
        let message = &room[at..len];
        if message.get(4..6) == Some(&[0x4d, 0x2e]) {
            return Ok(format!("type {} sequence {} {}", message[0], message[7], text(&message[8..])));
        }
    }
}

fn ping_by_hand(w: &World) -> Result<()> {
    let (here, there) = (raw(w, &w.client, icmp(w))?, raw(w, &w.server, icmp(w))?);
    w.note("sendto", ioth::sendto(&here, &request(w, 1), 0, &server(w)));
    w.note("the request", echo(w, &there)?);
    if w.client.same_as(&w.server) {
        w.note("the request here", echo(w, &here)?);
    }
    w.note("the reply", echo(w, &here)?);
    Ok(())
}

fn filters_of_types(w: &World) -> Result<()> {
    let here = raw(w, &w.client, icmp(w))?;
    let (level, name, blocked, len) = if w.family == Family::V4 {
        (SOL_RAW, ICMP_FILTER, (1u32 << 8).to_ne_bytes().to_vec(), 4)
    } else {
        // All but replies.
        let mut words = [u32::MAX; 8];
        words[129 / 32] &= !(1 << (129 % 32));
        (IPPROTO_ICMPV6, ICMP6_FILTER, words.map(u32::to_ne_bytes).concat(), 32)
    };
    let mut room = [9; 40];
    w.note("at first", ioth::getsockopt(&here, level, name, &mut room));
    w.note("nothing", room[..len] == [0; 32][..len]);
    w.note("set", ioth::setsockopt(&here, level, name, &blocked));
    w.note("get", ioth::getsockopt(&here, level, name, &mut room));
    w.note("the same", room[..len] == blocked[..]);
    w.note("sendto", ioth::sendto(&here, &request(w, 2), 0, &server(w)));
    w.note("the reply only", echo(w, &here)?);
    w.note("longer", ioth::setsockopt(&here, level, name, &[0xff; 40]));
    w.note("sendto", ioth::sendto(&here, &request(w, 3), 0, &server(w)));
    w.note("nothing", silent(&here));
    w.note("shorter", ioth::setsockopt(&here, level, name, &[0; 2]));
    w.note("get", ioth::getsockopt(&here, level, name, &mut room[..3]));
    w.note("the rest stays", format!("{:?}", &room[..3]));
    Ok(())
}

/// Has the kernel say what it says of a protocol that nobody speaks.
fn nobody_speaks_the_protocol(w: &World) -> Result<()> {
    if w.family == Family::V6 {
        // A parameter problem, which is no error that a raw socket hears of as one here.
        w.note("not here", 0);
        return Ok(());
    }
    let here = raw(w, &w.client, PROTOCOL)?;
    if w.client.same_as(&w.server) {
        w.note("not here", 0);
        return Ok(());
    }
    w.note("connect", ioth::connect(&here, &server(w)));
    w.note("send", send(&here, b"is anybody there?"));
    let refused = loop {
        match ioth::recv(&here, &mut [0; 100], MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            other => break other,
        }
    };
    w.note("refused", refused);
    let there = raw(w, &w.server, PROTOCOL)?;
    w.note("send", send(&here, b"is somebody there?"));
    w.note("heard", hear(w, &there));
    std::thread::sleep(crate::world::MOMENT);
    w.note("not refused", pending(&here));
    Ok(())
}

fn others_are_heard_beside_their_protocol(w: &World) -> Result<()> {
    let (udp, tcp) = (raw(w, &w.server, IPPROTO_UDP)?, raw(w, &w.server, IPPROTO_TCP)?);
    let there = w.datagram_server()?;
    patient(&there)?;
    let here = w.datagram(&w.client)?;
    w.note("sendto", ioth::sendto(&here, b"twice", 0, &w.at()));
    w.note("datagram", crate::calls::recv(&there, 100, 0));
    let mut room = [0; 200];
    let len = ioth::recv(&udp, &mut room, 0)?;
    w.note("raw", room[..len].ends_with(b"twice"));
    let (_ours, _theirs) = w.pair()?;
    let at = if w.family == Family::V4 { 20 } else { 0 };
    // What is left of connections before this may come first.
    let len = loop {
        let len = ioth::recv(&tcp, &mut room, 0)?;
        if room[at + 13] == 2 && room[at + 2..at + 4] == w.port.to_be_bytes() {
            break len;
        }
    };
    w.note("with options", len > at + 20);
    Ok(())
}

fn errors_are_queued(w: &World) -> Result<()> {
    if w.family == Family::V6 || w.client.same_as(&w.server) {
        w.note("not here", 0);
        return Ok(());
    }
    let here = raw(w, &w.client, PROTOCOL)?;
    let _ = IPV6_RECVERR;
    w.note("set", ioth::setsockopt_int(&here, IPPROTO_IP, IP_RECVERR, 1));
    w.note("sendto", ioth::sendto(&here, b"is anybody there?", 0, &server(w)));
    while let 0 = ioth::getsockopt_int(&here, SOL_SOCKET, ioth::SO_ERROR)? {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let mut room = [0; 100];
    let message = ioth::recvmsg(&here, &mut [io::IoSliceMut::new(&mut room)], MSG_ERRQUEUE)?;
    w.note("quoted", text(&room[..message.len]));
    w.note("to", message.from);
    let Some(Control::Error(error)) = message.controls.iter().find(|one| matches!(one, Control::Error(_)))
    else {
        anyhow::bail!("no error");
    };
    w.note("error", format!("{} {} {}", error.errno, error.kind, error.code));
    // With a header of its own that is quoted, too.
    w.note("set", ioth::setsockopt_int(&here, IPPROTO_IP, IP_HDRINCL, 1));
    w.note("sendto", ioth::sendto(&here, &by_hand(w, PROTOCOL as u8, b"is anybody there?"), 0, &server(w)));
    while let 0 = ioth::getsockopt_int(&here, SOL_SOCKET, ioth::SO_ERROR)? {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let message = ioth::recvmsg(&here, &mut [io::IoSliceMut::new(&mut room)], MSG_ERRQUEUE)?;
    w.note("quoted", payload(w, &room[..message.len]));
    Ok(())
}

fn beside_a_packet(w: &World) -> Result<()> {
    let (here, there) = (raw(w, &w.client, PROTOCOL)?, raw(w, &w.server, PROTOCOL)?);
    let v4 = w.family == Family::V4;
    let (level, hops, asked) = if v4 {
        (IPPROTO_IP, IP_TTL, [IP_RECVTTL, IP_PKTINFO])
    } else {
        (IPPROTO_IPV6, IPV6_UNICAST_HOPS, [IPV6_RECVHOPLIMIT, IPV6_RECVPKTINFO])
    };
    for option in asked {
        w.note("ask", ioth::setsockopt_int(&there, level, option, 1));
    }
    w.note("hops", ioth::setsockopt_int(&here, level, hops, 7));
    w.note("sendto", ioth::sendto(&here, b"x", 0, &server(w)));
    let received = receive(&there, 100, 0).map(|(_, message)| message);
    // The index of the interface is the stack's.
    w.note("received", received);
    Ok(())
}

fn packets_by_plain_calls(w: &World) -> Result<()> {
    let (here, there) = (raw(w, &w.client, PROTOCOL)?, raw(w, &w.server, PROTOCOL)?);
    w.note("connect", ioth::connect(&here, &server(w)));
    w.note("connect", ioth::connect(&there, &w.here()));
    w.note("write", rustix::io::write(&here, b"plain"));
    w.poll("arrived", &there, IN | OUT);
    let mut room = [0; 100];
    let len = rustix::io::read(&there, &mut room)?;
    w.note("read", payload(w, &room[..len]));
    Ok(())
}
