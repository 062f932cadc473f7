//! Raw sockets that write headers by hand, and programs that choose what is heard; raw(7), socket(7).

use std::net::IpAddr;

use anyhow::Result;
use ioth::*;
use ioth_tests::netns::Test;

use crate::calls::option;
use crate::raw::{PROTOCOL, hear, payload, raw, server, silent, text};
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![alone:
        headers_by_hand,
        headers_that_are_wrong,
        the_header_s_options,
        sums_of_ipv6,
        programs_choose_packets,
        locked_programs,
    ]
}

/// A packet with nothing filled in that a stack fills in.
pub(crate) fn by_hand(w: &World, protocol: u8, data: &[u8]) -> Vec<u8> {
    match (w.here().ip(), w.at().ip()) {
        (IpAddr::V4(_), IpAddr::V4(to)) => {
            [&[0x45, 0x08, 0, 0, 0, 0, 0, 0, 9, protocol, 0, 0, 0, 0, 0, 0], &to.octets()[..], data].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let len = (data.len() as u16).to_be_bytes();
            let fixed = [0x60, 0, 0, 0, len[0], len[1], protocol, 9];
            [&fixed[..], &from.octets(), &to.octets(), data].concat()
        }
        _ => Vec::new(),
    }
}

fn headers_by_hand(w: &World) -> Result<()> {
    let here = raw(w, &w.client, IPPROTO_RAW)?;
    let there = raw(w, &w.server, PROTOCOL)?;
    w.note("sendto", sendto(&here, &by_hand(w, PROTOCOL as u8, b"made"), 0, &server(w)));
    let mut room = [0; 100];
    let (len, from) = recvfrom(&there, &mut room, 0)?;
    w.note("heard", payload(w, &room[..len]));
    w.note("from", from);
    if w.family == Family::V4 {
        w.note("hops", u32::from(room[8]));
        w.note("a number", room[4..6] != [0; 2]);
        w.note("source", room[12..16] != [0; 4]);
        let mut numbered = by_hand(w, PROTOCOL as u8, b"7");
        numbered[4..6].copy_from_slice(&[0x12, 0x34]);
        w.note("sendto", sendto(&here, &numbered, 0, &server(w)));
        let _ = recv(&there, &mut room, 0)?;
        w.note("its number", room[4..6] == [0x12, 0x34]);
    }
    // Behind a header that is asked for.
    let asked = raw(w, &w.client, PROTOCOL)?;
    let (level, name) =
        if w.family == Family::V4 { (IPPROTO_IP, IP_HDRINCL) } else { (IPPROTO_IPV6, IPV6_HDRINCL) };
    w.note("set", setsockopt_int(&asked, level, name, 1));
    w.note("sendto", sendto(&asked, &by_hand(w, PROTOCOL as u8, b"asked"), 0, &server(w)));
    w.note("heard", hear(w, &there));
    Ok(())
}

fn headers_that_are_wrong(w: &World) -> Result<()> {
    let here = raw(w, &w.client, IPPROTO_RAW)?;
    let v4 = w.family == Family::V4;
    w.note("too short", sendto(&here, &[0x45; 19], 0, &server(w)));
    w.note("nothing", sendto(&here, &[], 0, &server(w)));
    if v4 {
        let long = [0x4f; 40];
        w.note("a header beyond the end", sendto(&here, &long, 0, &server(w)));
    } else {
        w.note("too short", sendto(&here, &[0x60; 39], 0, &server(w)));
    }
    if !w.client.same_as(&w.server) {
        let front = by_hand(w, PROTOCOL as u8, &[]).len();
        w.note("full", sendto(&here, &by_hand(w, 253, &vec![0; 1500 - front]), 0, &server(w)));
        w.note("no fragments", sendto(&here, &by_hand(w, 253, &vec![0; 1501 - front]), 0, &server(w)));
    }
    Ok(())
}

fn the_header_s_options(w: &World) -> Result<()> {
    for (what, protocol) in [("any", PROTOCOL), ("raw", IPPROTO_RAW)] {
        let fd = raw(w, &w.client, protocol)?;
        w.note(what, 0);
        for (level, name) in [
            (IPPROTO_IP, IP_HDRINCL),
            (IPPROTO_IPV6, IPV6_HDRINCL),
            (IPPROTO_IPV6, IPV6_CHECKSUM),
            (SOL_RAW, IPV6_CHECKSUM),
            (SOL_RAW, ICMP_FILTER),
            (IPPROTO_ICMPV6, ICMP6_FILTER),
            (IPPROTO_TCP, 1),
            (IPPROTO_UDP, 103),
        ] {
            let mixed = w.family == Family::V6 && level == IPPROTO_IP;
            if mixed {
                continue;
            }
            w.note(&format!("{level} {name}"), option(&fd, level, name));
            w.note("set", setsockopt_int(&fd, level, name, 1));
            w.note("shows", option(&fd, level, name));
        }
        w.note("IP_TTL", option(&fd, IPPROTO_IP, IP_TTL));
    }
    let stream = w.stream()?;
    if w.family == Family::V4 {
        w.note("on a stream", setsockopt_int(&stream, IPPROTO_IP, IP_HDRINCL, 1));
    }
    Ok(())
}

fn sums_of_ipv6(w: &World) -> Result<()> {
    if w.family == Family::V4 {
        w.note("not here", 0);
        return Ok(());
    }
    let (here, there) = (raw(w, &w.client, PROTOCOL)?, raw(w, &w.server, PROTOCOL)?);
    for value in [3, 4, -1, -7, 2, 0] {
        w.note(&format!("set {value}"), setsockopt_int(&here, IPPROTO_IPV6, IPV6_CHECKSUM, value));
        w.note("shows", option(&here, IPPROTO_IPV6, IPV6_CHECKSUM));
    }
    w.note("no room for it", sendto(&here, b"x", 0, &server(w)));
    let mut room = [0; 20];
    w.note("sendto", sendto(&here, &[1, 2, 3, 4, 5, 6], 0, &server(w)));
    let len = recv(&there, &mut room, 0)?;
    w.note("a sum", format!("{:?} {}", &room[2..len], room[..2] != [1, 2]));
    w.note("look", setsockopt_int(&there, IPPROTO_IPV6, IPV6_CHECKSUM, 2));
    w.note("sendto", sendto(&here, &[1, 2, 3, 4, 5, 6], 0, &server(w)));
    w.note("right there, too", recv(&there, &mut room, 0));
    let bare = raw(w, &w.client, PROTOCOL)?;
    w.note("sendto", sendto(&bare, &[1, 2, 3, 4, 5, 6], 0, &server(w)));
    w.note("a wrong one", silent(&there));
    let icmp = raw(w, &w.client, IPPROTO_ICMPV6)?;
    w.note("of ICMPv6", option(&icmp, IPPROTO_IPV6, IPV6_CHECKSUM));
    w.note("not to be set", setsockopt_int(&icmp, IPPROTO_IPV6, IPV6_CHECKSUM, 4));
    w.note("but here", setsockopt_int(&icmp, SOL_RAW, IPV6_CHECKSUM, 2));
    Ok(())
}

fn programs_choose_packets(w: &World) -> Result<()> {
    let (here, there) = (raw(w, &w.client, PROTOCOL)?, raw(w, &w.server, PROTOCOL)?);
    let at = if w.family == Family::V4 { 20 } else { 0 };
    let one = |code, jt, jf, k| FilterInstruction { code, jt, jf, k };
    // What begins with a y, and two bytes of that.
    let program =
        [one(0x30, 0, 0, at), one(0x15, 0, 1, b'y'.into()), one(0x06, 0, 0, at + 2), one(0x06, 0, 0, 0)];
    w.note("attach", attach_filter(&there, &program));
    w.note("sendto", sendto(&here, b"no", 0, &server(w)));
    w.note("sendto", sendto(&here, b"yes", 0, &server(w)));
    let mut room = [0; 100];
    let len = recv(&there, &mut room, 0)?;
    w.note("chosen", text(&room[at as usize..len]));
    w.note("attach", attach_filter(&there, &program[..3]));
    w.note("no end", attach_filter(&there, &program[..2]));
    w.note("none", attach_filter(&there, &[]));
    w.note("backwards", attach_filter(&there, &[one(0x05, 0, 0, u32::MAX), one(0x06, 0, 0, 1)]));
    w.note("detach", setsockopt_int(&there, SOL_SOCKET, SO_DETACH_FILTER, 0));
    w.note("again", setsockopt_int(&there, SOL_SOCKET, SO_DETACH_FILTER, 0));
    // As a C program does it: a number of instructions, and where they are.
    let bytes: Vec<u8> = program
        .iter()
        .flat_map(|one| [&one.code.to_ne_bytes()[..], &[one.jt, one.jf], &one.k.to_ne_bytes()].concat())
        .collect();
    let fprog =
        |count: u16, address: usize| [&count.to_ne_bytes()[..], &[0; 6], &address.to_ne_bytes()].concat();
    let set = |value: &[u8]| setsockopt(&there, SOL_SOCKET, SO_ATTACH_FILTER, value);
    w.note("at its address", set(&fprog(4, bytes.as_ptr().addr())));
    w.note("at none", set(&fprog(4, 8)));
    w.note("too short", set(&fprog(4, bytes.as_ptr().addr())[..12]));
    w.note("of nothing", set(&fprog(0, bytes.as_ptr().addr())));
    Ok(())
}

fn locked_programs(w: &World) -> Result<()> {
    let fd = raw(w, &w.server, PROTOCOL)?;
    let one = |code, jt, jf, k| FilterInstruction { code, jt, jf, k };
    let program = [one(0x30, 0, 0, 0), one(0x15, 0, 0, 7), one(0x06, 0, 0, 4)];
    let read = |what: &str, room: usize| {
        let mut value = vec![0; room];
        w.note(what, getsockopt(&fd, SOL_SOCKET, SO_GET_FILTER, &mut value));
        w.note("is", value.iter().map(|byte| i32::from(*byte)).collect::<Vec<_>>());
    };
    read("none", 0);
    w.note("attach", attach_filter(&fd, &program));
    read("how many", 0);
    read("too little room", 16);
    read("all", 24);
    read("more room", 40);
    w.note("locked", setsockopt_int(&fd, SOL_SOCKET, SO_LOCK_FILTER, 1));
    w.note("attach", attach_filter(&fd, &program[2..]));
    w.note("detach", setsockopt_int(&fd, SOL_SOCKET, SO_DETACH_FILTER, 0));
    w.note("unlocked", setsockopt_int(&fd, SOL_SOCKET, SO_LOCK_FILTER, 0));
    read("as before", 24);
    Ok(())
}
