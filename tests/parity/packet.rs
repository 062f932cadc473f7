//! Packet sockets: packet(7). A host's frames are seen by everybody there, so that the worlds take turns.

use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use ioth::{
    AF_PACKET, ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, LinkAddr, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, SO_DOMAIN,
    SO_PROTOCOL, SO_TYPE, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_PACKET, SOL_SOCKET, SockAddr,
    any,
};
use ioth_tests::netns::Test;

use crate::calls::{OUT, option, patient, send};
use crate::world::{Family, Host, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![alone:
        what_a_packet_socket_is,
        which_types_there_are,
        names_of_packet_sockets,
        bind_says_what_is_seen,
        what_passes,
        frames_by_hand,
        payloads_by_hand,
        what_cannot_be_sent,
        lengths_of_what_is_seen,
        the_sender_does_not_see_it,
        the_loopback_interface_alone,
        frames_by_plain_calls,
    ]
}

/// For experiments (IEEE 802.1): nobody here answers it.
pub(crate) const PROTOCOL: u16 = 0x88b5;

pub(crate) fn ethertype(w: &World) -> i32 {
    if w.family == Family::V4 { ETH_P_IP } else { ETH_P_IPV6 }
}

pub(crate) fn packet(host: &Host, kind: i32, protocol: i32) -> Result<OwnedFd> {
    let protocol = i32::from((protocol as u16).to_be());
    let fd = host.socket(AF_PACKET, kind | SOCK_CLOEXEC, protocol)?;
    patient(&fd)?;
    Ok(fd)
}

/// The interface of a host: the kernel says so, or the snapshot of ours.
pub(crate) fn interface(host: &Host) -> Result<u32> {
    if host.is_kernel() {
        let shown = host.within(|_| std::fs::read_to_string("/proc/thread-self/net/if_inet6"))?;
        let line = shown.lines().find(|line| !line.ends_with(" lo")).context("an interface")?;
        return Ok(u32::from_str_radix(line.split(' ').nth(1).context("an index")?, 16)?);
    }
    let snapshot = host.stack.snapshot().context("a stack of ours")?;
    let known = snapshot.interfaces.iter().find(|known| !known.is_loopback());
    Ok(known.context("an interface")?.index.index())
}

pub(crate) fn at(host: &Host, protocol: i32) -> Result<SockAddr> {
    Ok(LinkAddr { protocol: protocol as u16, interface: interface(host)?, ..LinkAddr::default() }.into())
}

/// One that sees what passes over the interface of a host.
pub(crate) fn seeing(host: &Host, kind: i32, protocol: i32) -> Result<OwnedFd> {
    let fd = packet(host, kind, 0)?;
    any::bind(&fd, &at(host, protocol)?)?;
    Ok(fd)
}

/// The station of a host's interface.
pub(crate) fn station(host: &Host) -> Result<[u8; 6]> {
    let fd = seeing(host, SOCK_RAW, 0)?;
    match any::getsockname(&fd)? {
        SockAddr::Link(link) => Ok(*link.station.first_chunk().context("it is longer")?),
        _ => anyhow::bail!("no station"),
    }
}

pub(crate) fn show(from: Option<&SockAddr>) -> String {
    match from {
        Some(SockAddr::Link(link)) => format!(
            "type {:x} hardware {} kind {} length {} interface {} station {}",
            link.protocol,
            link.hardware,
            link.kind,
            link.len,
            link.interface != 0,
            link.station != [0; 8]
        ),
        other => format!("{other:?}"),
    }
}

/// The next frame of that type, and where it came from.
pub(crate) fn next(fd: &OwnedFd, protocol: u16) -> io::Result<(Vec<u8>, SockAddr)> {
    let mut room = vec![0; 70_000];
    loop {
        let (len, from) = any::recvfrom(fd, &mut room, 0)?;
        if let Some(SockAddr::Link(link)) = from
            && link.protocol == protocol
        {
            return Ok((room[..len].to_vec(), link.into()));
        }
    }
}

pub(crate) fn silent(fd: &OwnedFd) -> io::Result<usize> {
    std::thread::sleep(crate::world::MOMENT);
    ioth::recv(fd, &mut [0; 100], MSG_DONTWAIT)
}

/// A frame from the client to the server.
pub(crate) fn frame(w: &World, data: &[u8]) -> Result<Vec<u8>> {
    let (to, from) = (station(&w.server)?, station(&w.client)?);
    Ok([&to[..], &from, &PROTOCOL.to_be_bytes(), data].concat())
}

pub(crate) fn to(w: &World, station: [u8; 6], protocol: u16) -> Result<SockAddr> {
    let [s0, s1, s2, s3, s4, s5] = station;
    let station = [s0, s1, s2, s3, s4, s5, 0, 0];
    let interface = interface(&w.client)?;
    Ok(LinkAddr { protocol, interface, len: 6, station, ..LinkAddr::default() }.into())
}

fn what_a_packet_socket_is(w: &World) -> Result<()> {
    for kind in [SOCK_RAW, SOCK_DGRAM] {
        let fd = packet(&w.client, kind, 0)?;
        for (name, number) in [("type", SO_TYPE), ("domain", SO_DOMAIN), ("protocol", SO_PROTOCOL)] {
            w.note(name, option(&fd, SOL_SOCKET, number));
        }
        w.note("own", any::getsockname(&fd).map(|own| show(Some(&own))));
        w.note("peer", any::getpeername(&fd).map(|own| show(Some(&own))));
        w.note("as an address of IP", ioth::getsockname(&fd));
        w.poll("fresh", &fd, OUT);
        w.note("recv", ioth::recv(&fd, &mut [0; 10], MSG_DONTWAIT));
        w.note("oob", ioth::recv(&fd, &mut [0; 10], MSG_DONTWAIT | ioth::MSG_OOB));
        w.note("send", send(&fd, [0; 60]));
        w.note("connect", any::connect(&fd, &at(&w.client, 3)?));
        w.note("listen", ioth::listen(&fd, 1));
        w.note("accept", ioth::accept(&fd));
        w.note("shutdown", ioth::shutdown(&fd, ioth::SHUT_RD));
        w.note("bind to IP", ioth::bind(&fd, &w.here()));
        w.note("level of IP", option(&fd, ioth::IPPROTO_IP, ioth::IP_TTL));
        w.note("set", ioth::setsockopt_int(&fd, ioth::IPPROTO_IP, ioth::IP_TTL, 1));
        w.note("another option", option(&fd, SOL_PACKET, 77));
    }
    Ok(())
}

fn which_types_there_are(w: &World) -> Result<()> {
    for kind in [SOCK_STREAM, SOCK_RAW, SOCK_DGRAM, 4, 5, 11] {
        let made = w.client.socket(AF_PACKET, kind | SOCK_CLOEXEC, 0);
        w.note(&format!("type {kind}"), made);
    }
    Ok(())
}

fn names_of_packet_sockets(w: &World) -> Result<()> {
    let fd = packet(&w.client, SOCK_RAW, ETH_P_IP)?;
    let shown = |fd: &OwnedFd| any::getsockname(fd).map(|own| show(Some(&own)));
    w.note("fresh", shown(&fd));
    w.note("bind", any::bind(&fd, &at(&w.client, ETH_P_IPV6)?));
    w.note("bound", shown(&fd));
    w.note("bind without a type", any::bind(&fd, &at(&w.client, 0)?));
    w.note("bound", shown(&fd));
    let all: SockAddr = LinkAddr { protocol: 3, ..LinkAddr::default() }.into();
    w.note("to all", any::bind(&fd, &all));
    w.note("bound", shown(&fd));
    let none: SockAddr = LinkAddr { protocol: 3, interface: 999, ..LinkAddr::default() }.into();
    w.note("to none", any::bind(&fd, &none));
    w.note("bound", shown(&fd));
    w.note("too short", any::bind(&fd, &SockAddr::Other(vec![17, 0, 0, 3])));
    Ok(())
}

fn bind_says_what_is_seen(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        // A host has no link to itself.
        w.note("alone", 0);
        return Ok(());
    }
    let here = seeing(&w.client, SOCK_RAW, 0)?;
    let all = seeing(&w.server, SOCK_RAW, ETH_P_ALL)?;
    let one = seeing(&w.server, SOCK_RAW, PROTOCOL.into())?;
    let other = seeing(&w.server, SOCK_RAW, 0x88b6)?;
    let none = seeing(&w.server, SOCK_RAW, 0)?;
    let anywhere = packet(&w.server, SOCK_RAW, PROTOCOL.into())?;
    w.note("send", send(&here, frame(w, b"seen")?));
    for (what, fd) in [("all", &all), ("one", &one), ("anywhere", &anywhere)] {
        let (frame, from) = next(fd, PROTOCOL)?;
        w.note(what, show(Some(&from)));
        w.note("it", frame.ends_with(b"seen"));
    }
    w.note("another", silent(&other));
    w.note("none", silent(&none));
    Ok(())
}

/// A datagram of IP, seen at both ends.
fn what_passes(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        // A host has no link to itself.
        w.note("alone", 0);
        return Ok(());
    }
    let ends: Vec<_> = [&w.client, &w.server]
        .into_iter()
        .map(|host| seeing(host, SOCK_RAW, ETH_P_ALL))
        .collect::<Result<_>>()?;
    let payloads = seeing(&w.server, SOCK_DGRAM, ethertype(w))?;
    let there = w.datagram_server()?;
    patient(&there)?;
    let here = w.datagram(&w.client)?;
    w.note("sendto", ioth::sendto(&here, b"a datagram that is seen", 0, &w.at()));
    w.note("received", crate::calls::recv(&there, 100, 0));
    for (what, fd) in ["out", "in"].into_iter().zip(&ends).chain([("payload", &payloads)]) {
        let (frame, from) = loop {
            let (frame, from) = next(fd, ethertype(w) as u16)?;
            if frame.ends_with(b"that is seen") {
                break (frame, from);
            }
        };
        w.note(what, format!("{} {}", frame.len(), show(Some(&from))));
    }
    Ok(())
}

fn frames_by_hand(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        // A host has no link to itself.
        w.note("alone", 0);
        return Ok(());
    }
    let (here, there) = (packet(&w.client, SOCK_RAW, 0)?, seeing(&w.server, SOCK_RAW, PROTOCOL.into())?);
    for (what, station, data) in [
        ("to it", station(&w.server)?, &b"one"[..]),
        ("to all", [0xff; 6], b"two"),
        ("to a group", [3, 0, 0, 0, 0, 1], b"three"),
        ("to another", [2, 0, 0, 0, 0, 99], b"four"),
    ] {
        let mut frame = frame(w, data)?;
        frame[..6].copy_from_slice(&station);
        w.note(what, any::sendto(&here, &frame, 0, &to(w, [0; 6], 0)?));
        let (seen, from) = next(&there, PROTOCOL)?;
        w.note("seen", show(Some(&from)));
        w.note("the same", seen == frame);
    }
    Ok(())
}

fn payloads_by_hand(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        // A host has no link to itself.
        w.note("alone", 0);
        return Ok(());
    }
    let (here, there) = (packet(&w.client, SOCK_DGRAM, 0)?, seeing(&w.server, SOCK_RAW, PROTOCOL.into())?);
    w.note("sendto", any::sendto(&here, b"a payload", 0, &to(w, station(&w.server)?, PROTOCOL)?));
    let (seen, from) = next(&there, PROTOCOL)?;
    w.note("seen", show(Some(&from)));
    w.note("as a frame", seen == frame(w, b"a payload")?);
    w.note("bind", any::bind(&here, &at(&w.client, PROTOCOL.into())?));
    w.note("nobody is meant", send(&here, b"a payload"));
    Ok(())
}

fn what_cannot_be_sent(w: &World) -> Result<()> {
    let here = packet(&w.client, SOCK_RAW, 0)?;
    let plain = frame(w, &[0; 2000])?;
    w.note("by no interface", any::sendto(&here, &plain[..60], 0, &LinkAddr::default().into()));
    let unknown = LinkAddr { interface: 999, ..LinkAddr::default() };
    w.note("by one that is not there", any::sendto(&here, &plain[..60], 0, &unknown.into()));
    let to = to(w, [0; 6], 0)?;
    w.note("too short", any::sendto(&here, &plain[..13], 0, &to));
    w.note("a header", any::sendto(&here, &plain[..14], 0, &to));
    w.note("full", any::sendto(&here, &plain[..1514], 0, &to));
    w.note("too long", any::sendto(&here, &plain[..1515], 0, &to));
    let mut tagged = plain;
    tagged[12..14].copy_from_slice(&[0x81, 0]);
    w.note("with a tag", any::sendto(&here, &tagged[..1518], 0, &to));
    w.note("too long with it", any::sendto(&here, &tagged[..1519], 0, &to));
    w.note("too short an address", any::sendto(&here, &tagged[..60], 0, &SockAddr::Other(vec![17, 0, 0, 3])));
    let payloads = packet(&w.client, SOCK_DGRAM, 0)?;
    w.note("full", any::sendto(&payloads, &[0; 1500], 0, &to));
    w.note("too long", any::sendto(&payloads, &[0; 1501], 0, &to));
    Ok(())
}

fn lengths_of_what_is_seen(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        // A host has no link to itself.
        w.note("alone", 0);
        return Ok(());
    }
    let (here, there) = (seeing(&w.client, SOCK_RAW, 0)?, seeing(&w.server, SOCK_RAW, PROTOCOL.into())?);
    w.note("send", send(&here, frame(w, &[7; 100])?));
    let mut room = [0; 20];
    w.note("cut", ioth::recv(&there, &mut room, MSG_PEEK));
    w.note("its length", ioth::recv(&there, &mut room, MSG_PEEK | MSG_TRUNC));
    let (message, from) = any::recvmsg(&there, &mut [IoSliceMut::new(&mut room)], 0)?;
    w.note("message", format!("{} {:#x} {}", message.len, message.flags, show(from.as_ref())));
    w.note("no more", silent(&there));
    Ok(())
}

fn the_sender_does_not_see_it(w: &World) -> Result<()> {
    let (here, beside) = (seeing(&w.client, SOCK_RAW, ETH_P_ALL)?, seeing(&w.client, SOCK_RAW, ETH_P_ALL)?);
    let of_type = seeing(&w.client, SOCK_RAW, PROTOCOL.into())?;
    let frame = [&[2, 0, 0, 0, 0, 9][..], &station(&w.client)?, &PROTOCOL.to_be_bytes(), &[1; 60]].concat();
    w.note("send", send(&here, &frame));
    let (seen, from) = next(&beside, PROTOCOL)?;
    w.note("beside", show(Some(&from)));
    w.note("the same", seen == frame);
    w.note("one type is what comes", silent(&of_type));
    let mut own = false;
    let mut room = [0; 100];
    while let Ok((_, Some(SockAddr::Link(link)))) = any::recvfrom(&here, &mut room, MSG_DONTWAIT) {
        own |= link.protocol == PROTOCOL;
    }
    w.note("its own", own);
    Ok(())
}

fn the_loopback_interface_alone(w: &World) -> Result<()> {
    let fd = packet(&w.client, SOCK_RAW, 0)?;
    let lo = LinkAddr { protocol: ETH_P_ALL as u16, interface: 1, ..LinkAddr::default() };
    w.note("bind", any::bind(&fd, &lo.into()));
    w.note("own", any::getsockname(&fd).map(|own| show(Some(&own))));
    let theirs = w.datagram(&w.client)?;
    ioth::bind(&theirs, &w.here())?;
    patient(&theirs)?;
    let own = ioth::getsockname(&theirs)?;
    let ours = w.datagram(&w.client)?;
    w.note("send", ioth::sendto(&ours, b"word", 0, &own));
    let mut kept = Vec::new();
    for way in ["out", "in"] {
        let (bytes, from) = next(&fd, ethertype(w) as u16)?;
        w.note(way, (show(Some(&from)), bytes.len()));
        w.note("nobody is named", bytes[..12] == [0; 12]);
        kept = bytes;
    }
    w.note("no more", silent(&fd));
    w.note("recv", ioth::recv(&theirs, &mut [0; 10], 0));
    if w.family == Family::V4 {
        // A sum that nobody has completed; none at all is allowed (RFC 768).
        kept[40..42].fill(0);
        w.note("by hand", send(&fd, &kept));
        w.note("comes back", next(&fd, ethertype(w) as u16).map(|(_, from)| show(Some(&from))));
        // From an address of its own, it is not believed.
        w.note("not taken", silent(&theirs));
    }
    w.note("no more", silent(&fd));
    Ok(())
}

fn frames_by_plain_calls(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        // A host has no link to itself.
        w.note("alone", 0);
        return Ok(());
    }
    let (here, there) = (seeing(&w.client, SOCK_RAW, 0)?, seeing(&w.server, SOCK_RAW, PROTOCOL.into())?);
    let frame = frame(w, b"plain")?;
    w.note("write", rustix::io::write(&here, &frame));
    w.poll("arrived", &there, crate::calls::IN | OUT);
    let mut room = [0; 100];
    let len = rustix::io::read(&there, &mut room)?;
    w.note("read", room[..len] == frame);
    w.note("write", rustix::io::write(&here, &frame));
    w.poll("arrived", &there, crate::calls::IN | OUT);
    // What the pair holds already keeps its source.
    let (seen, from) = next(&there, PROTOCOL)?;
    w.note("from", show(Some(&from)));
    w.note("the same", seen == frame);
    Ok(())
}
