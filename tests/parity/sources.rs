//! `IP_MSFILTER` and `MCAST_MSFILTER` (RFC 3678): all sources of a group at once; and memberships of streams.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use ioth::{
    IP_MSFILTER, IPPROTO_IP, IPPROTO_IPV6, MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP, MCAST_MSFILTER, SOCK_CLOEXEC,
    SOCK_RAW,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, NOTHING, patient};
use crate::messages::receive;
use crate::multicast::{group, hearing, level, member, octets, send, sending, storage};
use crate::packet::interface;
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        all_sources_at_once,
        all_sources_as_ipv4_has_them,
        sources_at_once_are_heeded,
        groups_of_streams,
        groups_of_raw_sockets,
    ]
}

/// A `struct group_filter`.
fn filter(w: &World, group: IpAddr, mode: u32, count: u32, sources: &[IpAddr]) -> Result<Vec<u8>> {
    let mut bytes = interface(&w.server)?.to_ne_bytes().to_vec();
    bytes.resize(8, 0);
    bytes.extend(storage(group));
    bytes.extend([mode.to_ne_bytes(), count.to_ne_bytes()].concat());
    bytes.extend(sources.iter().flat_map(|source| storage(*source)));
    Ok(bytes)
}

/// Addresses of the family, in order.
fn strangers(w: &World, count: u8) -> Vec<IpAddr> {
    let one = |last: u8| match w.family {
        Family::V4 => IpAddr::from([10, 0, 0, last]),
        Family::V6 => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]),
    };
    (100..100 + count).map(one).collect()
}

fn all_sources_at_once(w: &World) -> Result<()> {
    let fd = hearing(w, &w.server)?;
    let (group, three) = (group(w), strangers(w, 3));
    let set = |value: &[u8]| ioth::setsockopt(&fd, level(w), MCAST_MSFILTER, value);
    let read = |what: &str, room: u32, sources: usize| -> Result<()> {
        let mut value = filter(w, group, 7, room, &strangers(w, 9)[..sources])?;
        let len = ioth::getsockopt(&fd, level(w), MCAST_MSFILTER, &mut value);
        w.note(what, len);
        w.note("mode", i32::from(value[136]));
        w.note("count", i32::from(value[140]));
        let of_source =
            |at: usize| value[144 + at * 128..][..24].iter().map(|byte| i32::from(*byte)).collect();
        w.note("sources", (0..sources).flat_map(|at| -> Vec<i32> { of_source(at) }).collect::<Vec<_>>());
        Ok(())
    };
    w.note("no member", set(&filter(w, group, 1, 1, &three[..1])?));
    read("no member", 0, 0)?;
    w.note("join", member(w, &fd, &w.server, group, true));
    read("joined", 4, 4)?;
    w.note("only three", set(&filter(w, group, 1, 3, &three)?));
    read("all of them", 3, 3)?;
    read("one of them", 1, 1)?;
    read("how many", 0, 0)?;
    w.note("all but two", set(&filter(w, group, 0, 2, &three)?));
    read("two", 2, 2)?;
    w.note("a mode that is none", set(&filter(w, group, 2, 2, &three)?));
    w.note("more than there are", set(&filter(w, group, 1, 4, &three)?));
    w.note("too many", set(&filter(w, group, 1, 65, &strangers(w, 65))?));
    w.note("no group", set(&filter(w, three[0], 1, 1, &three)?));
    let other: IpAddr = if w.family == Family::V4 { "ff15::9" } else { "239.9.9.9" }.parse()?;
    w.note("another family", set(&filter(w, other, 1, 1, &three)?));
    w.note("a source of it", set(&filter(w, group, 1, 1, &[other])?));
    w.note("too short", set(&filter(w, group, 1, 0, &[])?[..143]));
    w.note("nothing", set(&[]));
    w.note("nothing", ioth::getsockopt(&fd, level(w), MCAST_MSFILTER, &mut []));
    read("as before", 2, 2)?;
    w.note("none", set(&filter(w, group, 1, 0, &[])?));
    read("no member", 0, 0)?;
    w.note("left already", member(w, &fd, &w.server, group, false));
    Ok(())
}

fn all_sources_as_ipv4_has_them(w: &World) -> Result<()> {
    let fd = hearing(w, &w.server)?;
    let IpAddr::V4(own) = w.at().ip() else {
        w.note("no such option", ioth::setsockopt(&fd, IPPROTO_IPV6, IP_MSFILTER, &[0; 16]));
        return Ok(());
    };
    let value = |mode: u32, count: u32, sources: &[IpAddr]| {
        let words = [mode.to_ne_bytes(), count.to_ne_bytes()].concat();
        let sources = sources.iter().flat_map(|source| octets(*source)).collect();
        [octets(group(w)), own.octets().to_vec(), words, sources].concat()
    };
    let set = |value: &[u8]| ioth::setsockopt(&fd, IPPROTO_IP, IP_MSFILTER, value);
    let read = |room: u32| {
        let mut value = value(7, room, &strangers(w, 4));
        w.note("read", ioth::getsockopt(&fd, IPPROTO_IP, IP_MSFILTER, &mut value));
        w.note("is", value[8..].iter().map(|byte| i32::from(*byte)).collect::<Vec<_>>());
    };
    let three = strangers(w, 3);
    w.note("no member", set(&value(1, 1, &three)));
    w.note("join", member(w, &fd, &w.server, group(w), true));
    read(4);
    w.note("only three", set(&value(1, 3, &three)));
    read(4);
    read(2);
    w.note("more than there are", set(&value(1, 4, &three)));
    w.note("too many", set(&value(1, 11, &strangers(w, 11))));
    w.note("too short", set(&value(1, 0, &[])[..15]));
    w.note("none", set(&value(1, 0, &[])));
    w.note("left already", member(w, &fd, &w.server, group(w), false));
    Ok(())
}

fn sources_at_once_are_heeded(w: &World) -> Result<()> {
    let (hearer, sender) = (hearing(w, &w.server)?, sending(w)?);
    w.note("join", member(w, &hearer, &w.server, group(w), true));
    let set = |mode, sources: &[IpAddr]| -> Result<_> {
        let value = filter(w, group(w), mode, u32::try_from(sources.len())?, sources)?;
        Ok(ioth::setsockopt(&hearer, level(w), MCAST_MSFILTER, &value))
    };
    w.note("only strangers", set(1, &strangers(w, 3))?);
    send(w, &sender);
    w.poll("nothing", &hearer, NOTHING);
    w.note("the sender, too", set(1, &[strangers(w, 1), vec![w.here().ip()]].concat())?);
    send(w, &sender);
    w.poll("it comes", &hearer, IN);
    w.note("recv", receive(&hearer, 10, 0).map(|(text, _)| text));
    w.note("all but the sender", set(0, &[w.here().ip()])?);
    send(w, &sender);
    w.poll("nothing", &hearer, NOTHING);
    Ok(())
}

fn groups_of_streams(w: &World) -> Result<()> {
    let fd = w.server.socket(w.domain(), ioth::SOCK_STREAM | SOCK_CLOEXEC, 0)?;
    let mut request = interface(&w.server)?.to_ne_bytes().to_vec();
    request.resize(8, 0);
    request.extend(storage(group(w)));
    let set = |name| ioth::setsockopt(&fd, level(w), name, &request);
    w.note("of its own options", member(w, &fd, &w.server, group(w), true));
    w.note("join", set(MCAST_JOIN_GROUP));
    w.note("again", set(MCAST_JOIN_GROUP));
    w.note("of its own options", member(w, &fd, &w.server, group(w), false));
    w.note("leave", set(MCAST_LEAVE_GROUP));
    w.note("again", set(MCAST_LEAVE_GROUP));
    w.note("join", set(MCAST_JOIN_GROUP));
    drop(fd);
    Ok(())
}

/// For experiments (RFC 3692 section 2.1).
const PROTOCOL: i32 = 254;

fn groups_of_raw_sockets(w: &World) -> Result<()> {
    let hearer = w.server.socket(w.domain(), SOCK_RAW | SOCK_CLOEXEC, PROTOCOL)?;
    let sender = w.client.socket(w.domain(), SOCK_RAW | SOCK_CLOEXEC, PROTOCOL)?;
    patient(&hearer)?;
    if let IpAddr::V4(v4) = w.here().ip() {
        ioth::setsockopt(&sender, IPPROTO_IP, ioth::IP_MULTICAST_IF, &v4.octets())?;
    }
    let say = || w.note("sendto", ioth::sendto(&sender, b"word", 0, &SocketAddr::new(group(w), 0)));
    let header = if w.family == Family::V4 { 20 } else { 0 };
    w.note("join", member(w, &hearer, &w.server, group(w), true));
    say();
    let mut room = [0; 100];
    let len = ioth::recv(&hearer, &mut room, 0)?;
    w.note("heard", crate::calls::text(&room[header..len]));
    w.note("leave", member(w, &hearer, &w.server, group(w), false));
    w.note("again", member(w, &hearer, &w.server, group(w), false));
    Ok(())
}
