//! Groups: options, memberships and who gets what, of ip(7), ipv6(7) and RFC 3678.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::Result;
use ioth::{
    IP_ADD_MEMBERSHIP, IP_ADD_SOURCE_MEMBERSHIP, IP_BLOCK_SOURCE, IP_DROP_MEMBERSHIP,
    IP_DROP_SOURCE_MEMBERSHIP, IP_MULTICAST_ALL, IP_MULTICAST_IF, IP_MULTICAST_LOOP, IP_MULTICAST_TTL,
    IP_RECVTTL, IP_UNBLOCK_SOURCE, IPPROTO_IP, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP,
    IPV6_MULTICAST_ALL, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_IF, IPV6_MULTICAST_LOOP, IPV6_RECVHOPLIMIT,
    MCAST_BLOCK_SOURCE, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_GROUP,
    MCAST_LEAVE_SOURCE_GROUP, MCAST_UNBLOCK_SOURCE, SO_REUSEADDR, SOL_SOCKET,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, NOTHING, option, patient};
use crate::messages::receive;
use crate::world::{Family, Host, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        numbers_of_groups,
        lengths_of_values_of_groups,
        the_interface_of_groups,
        joining_and_leaving,
        limits_of_memberships,
        filters_of_sources,
        members_get_copies,
        filters_are_heeded,
        hops_to_a_group,
        who_is_told_of_a_group,
    ]
}

const GROUP: &str = "239.1.2.3";
const GROUP_V6: &str = "ff15::1:2:3";

pub(crate) fn group(w: &World) -> IpAddr {
    if w.family == Family::V4 { GROUP } else { GROUP_V6 }.parse().expect("a literal")
}

pub(crate) const fn level(w: &World) -> i32 {
    if matches!(w.family, Family::V4) { IPPROTO_IP } else { IPPROTO_IPV6 }
}

/// The address of a host.
fn address(w: &World, host: &Host) -> IpAddr {
    if host.same_as(&w.server) { w.at().ip() } else { w.here().ip() }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A `sockaddr_storage`.
pub(crate) fn storage(address: IpAddr) -> Vec<u8> {
    let mut bytes = match address {
        IpAddr::V4(_) => 2u16.to_ne_bytes().to_vec(),
        IpAddr::V6(_) => 10u16.to_ne_bytes().to_vec(),
    };
    bytes.extend(if address.is_ipv4() { &[0; 2][..] } else { &[0; 6] });
    bytes.extend(octets(address));
    bytes.resize(128, 0);
    bytes
}

/// Joins or leaves by the family's own options, on the interface of a host.
pub(crate) fn member(
    w: &World,
    fd: &OwnedFd,
    host: &Host,
    group: IpAddr,
    joins: bool,
) -> std::io::Result<()> {
    let interface = match address(w, host) {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    let name = match (w.family, joins) {
        (Family::V4, true) => IP_ADD_MEMBERSHIP,
        (Family::V4, false) => IP_DROP_MEMBERSHIP,
        (Family::V6, true) => IPV6_ADD_MEMBERSHIP,
        (Family::V6, false) => IPV6_DROP_MEMBERSHIP,
    };
    ioth::setsockopt(fd, level(w), name, &[octets(group), interface.to_vec()].concat())
}

/// A socket of a host on the port of this behaviour, which may be shared.
pub(crate) fn hearing(w: &World, host: &Host) -> Result<OwnedFd> {
    let fd = w.datagram(host)?;
    ioth::setsockopt_int(&fd, SOL_SOCKET, SO_REUSEADDR, 1)?;
    ioth::bind(&fd, &w.any(w.port))?;
    patient(&fd)?;
    Ok(fd)
}

/// A socket of the client whose datagrams to groups leave by its interface.
pub(crate) fn sending(w: &World) -> Result<OwnedFd> {
    let fd = w.datagram(&w.client)?;
    if let IpAddr::V4(v4) = w.here().ip() {
        ioth::setsockopt(&fd, IPPROTO_IP, IP_MULTICAST_IF, &v4.octets())?;
    }
    Ok(fd)
}

pub(crate) fn send(w: &World, fd: &OwnedFd) {
    w.note("sendto", ioth::sendto(fd, b"word", 0, &SocketAddr::new(group(w), w.port)));
}

fn numbers_of_groups(w: &World) -> Result<()> {
    let options = match w.family {
        Family::V4 => [IP_MULTICAST_TTL, IP_MULTICAST_LOOP, IP_MULTICAST_ALL],
        Family::V6 => [IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_MULTICAST_ALL],
    };
    for fd in [w.stream()?, w.datagram(&w.client)?] {
        for name in options {
            w.note("at first", option(&fd, level(w), name));
            for value in [0, 1, 2, 255, 256, -1, -2] {
                w.note(&format!("{name} {value}"), ioth::setsockopt_int(&fd, level(w), name, value));
                w.note("shows", option(&fd, level(w), name));
            }
        }
    }
    Ok(())
}

fn lengths_of_values_of_groups(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    let options = [
        (IPPROTO_IP, IP_MULTICAST_TTL),
        (IPPROTO_IP, IP_MULTICAST_LOOP),
        (IPPROTO_IP, IP_MULTICAST_ALL),
        (IPPROTO_IP, IP_MULTICAST_IF),
        (IPPROTO_IP, IP_ADD_MEMBERSHIP),
        (IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP),
        (IPPROTO_IP, MCAST_JOIN_GROUP),
        (IPPROTO_IP, MCAST_BLOCK_SOURCE),
        (IPPROTO_IPV6, IPV6_MULTICAST_HOPS),
        (IPPROTO_IPV6, IPV6_MULTICAST_LOOP),
        (IPPROTO_IPV6, IPV6_MULTICAST_ALL),
        (IPPROTO_IPV6, IPV6_MULTICAST_IF),
        (IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP),
        (IPPROTO_IPV6, MCAST_JOIN_GROUP),
        (IPPROTO_IPV6, MCAST_BLOCK_SOURCE),
    ];
    for (level, name) in options {
        for len in [0, 1, 3, 4, 7, 8, 12, 13, 19, 20, 135, 136, 263, 264] {
            w.note(
                &format!("{level} {name}, {len} bytes"),
                ioth::setsockopt(&fd, level, name, &vec![0; len]),
            );
        }
        let mut value = [0xaa; 8];
        for len in [0, 1, 4, 8] {
            w.note("get", ioth::getsockopt(&fd, level, name, &mut value[..len]));
            w.note("value", format!("{value:?}"));
        }
    }
    Ok(())
}

fn the_interface_of_groups(w: &World) -> Result<()> {
    for fd in [w.stream()?, w.datagram(&w.client)?] {
        if w.family == Family::V6 {
            for index in [999, -1, 0] {
                let set = ioth::setsockopt_int(&fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
                w.note(&format!("IPV6_MULTICAST_IF {index}"), set);
                w.note("shows", option(&fd, IPPROTO_IPV6, IPV6_MULTICAST_IF));
            }
            continue;
        }
        let (own, none) = (octets(w.here().ip()), vec![0; 4]);
        let values = [
            own.clone(),
            vec![10, 0, 0, 77],
            [&none[..], &own].concat(),
            [&none[..], &none].concat(),
            [&none[..], &own, &none].concat(),
            [&none[..], &none, &999u32.to_ne_bytes()].concat(),
            own,
            none,
        ];
        for value in values {
            w.note("IP_MULTICAST_IF", ioth::setsockopt(&fd, IPPROTO_IP, IP_MULTICAST_IF, &value));
            let mut shown = [0; 4];
            let len = ioth::getsockopt(&fd, IPPROTO_IP, IP_MULTICAST_IF, &mut shown);
            // The clients' addresses differ.
            w.note("shows", (len, if shown == [0; 4] { 0 } else { 1 }));
        }
    }
    Ok(())
}

fn joining_and_leaving(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    let (group, other) = (group(w), w.at().ip());
    for (what, address, joins) in [
        ("leave before", group, false),
        ("join", group, true),
        ("join again", group, true),
        ("leave", group, false),
        ("leave again", group, false),
        ("join no group", other, true),
        ("leave no group", other, false),
    ] {
        w.note(what, member(w, &fd, &w.client, address, joins));
    }
    // The same by the calls that know both families. The kernel has no route to a group of IPv4.
    let joins = |what: &str, index: u32, address: IpAddr, name| {
        let value = [&index.to_ne_bytes()[..], &[0; 4], &storage(address)].concat();
        w.note(what, ioth::setsockopt(&fd, level(w), name, &value));
    };
    if w.family == Family::V6 {
        joins("join", 0, group, MCAST_JOIN_GROUP);
        joins("join again", 0, group, MCAST_JOIN_GROUP);
        joins("leave", 0, group, MCAST_LEAVE_GROUP);
        joins("leave again", 0, group, MCAST_LEAVE_GROUP);
    }
    joins("no such interface", 999, group, MCAST_JOIN_GROUP);
    joins("no such interface", 999, group, MCAST_LEAVE_GROUP);
    let wrong = if w.family == Family::V4 { GROUP_V6 } else { GROUP };
    joins("the other family", 0, wrong.parse()?, MCAST_JOIN_GROUP);
    let stream = w.stream()?;
    w.note("a stream", member(w, &stream, &w.client, group, true));
    // As an IPv6 socket does it that speaks IPv4.
    if w.family == Family::V4 {
        let dual = w.with(Family::V6).datagram(&w.client)?;
        w.note("dual", member(w, &dual, &w.client, group, true));
        w.note("dual again", member(w, &dual, &w.client, group, true));
    }
    Ok(())
}

fn limits_of_memberships(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    // That of IPv6 is the kernel's memory.
    if w.family == Family::V6 {
        w.note("join", member(w, &fd, &w.client, group(w), true));
        return Ok(());
    }
    for last in 1..=21 {
        w.note("join", member(w, &fd, &w.client, [239, 7, 7, last].into(), true));
    }
    let own = octets(w.here().ip());
    for last in 1..=11 {
        let value = [&[239, 7, 7, 1][..], &own, &[10, 0, 1, last]].concat();
        w.note("block", ioth::setsockopt(&fd, IPPROTO_IP, IP_BLOCK_SOURCE, &value));
    }
    Ok(())
}

fn filters_of_sources(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    let own = octets(w.here().ip());
    let value = |last: u8| match w.family {
        Family::V4 => [&octets(group(w))[..], &own, &[10, 0, 9, last]].concat(),
        Family::V6 => {
            let source = IpAddr::from([0xfd00, 0, 0, 9, 0, 0, 0, last.into()]);
            [vec![0; 8], storage(group(w)), storage(source)].concat()
        }
    };
    let names = match w.family {
        Family::V4 => {
            [IP_ADD_SOURCE_MEMBERSHIP, IP_DROP_SOURCE_MEMBERSHIP, IP_BLOCK_SOURCE, IP_UNBLOCK_SOURCE]
        }
        Family::V6 => {
            [MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_SOURCE_GROUP, MCAST_BLOCK_SOURCE, MCAST_UNBLOCK_SOURCE]
        }
    };
    // Join, leave, block, unblock.
    let steps = |steps: &[(char, u8)]| {
        for (what, last) in steps {
            let name = names["jlbu".find(*what).expect("one of them")];
            w.note(&format!("{what} {last}"), ioth::setsockopt(&fd, level(w), name, &value(*last)));
        }
    };
    let all = |joins| w.note("all", member(w, &fd, &w.client, group(w), joins));
    steps(&[
        ('b', 1),
        ('l', 1),
        ('j', 1),
        ('j', 1),
        ('j', 2),
        ('b', 3),
        ('l', 3),
        ('l', 1),
        ('l', 2),
        ('l', 2),
    ]);
    all(true);
    steps(&[('u', 1), ('b', 1), ('b', 1), ('j', 2), ('u', 1), ('u', 1), ('j', 2)]);
    all(false);
    all(true);
    steps(&[('j', 1), ('l', 1), ('l', 1)]);
    Ok(())
}

fn members_get_copies(w: &World) -> Result<()> {
    let sender = sending(w)?;
    let (first, second) = (hearing(w, &w.server)?, hearing(w, &w.server)?);
    w.note("join", member(w, &first, &w.server, group(w), true));
    w.note("join", member(w, &second, &w.server, group(w), true));
    send(w, &sender);
    for fd in [&first, &second] {
        w.poll("a copy", fd, IN);
        w.note("recvfrom", receive(fd, 10, 0));
        w.poll("no more", fd, NOTHING);
    }
    w.note("leave", member(w, &first, &w.server, group(w), false));
    let all = if w.family == Family::V4 { IP_MULTICAST_ALL } else { IPV6_MULTICAST_ALL };
    w.note("only its own", ioth::setsockopt_int(&first, level(w), all, 0));
    send(w, &sender);
    w.poll("a copy", &second, IN);
    w.poll("none", &first, NOTHING);
    Ok(())
}

fn filters_are_heeded(w: &World) -> Result<()> {
    let (sender, fd) = (sending(w)?, hearing(w, &w.server)?);
    w.note("join", member(w, &fd, &w.server, group(w), true));
    let (name, undo, value) = match (w.family, address(w, &w.server)) {
        (Family::V4, own) => {
            let value = [octets(group(w)), octets(own), octets(w.here().ip())].concat();
            (IP_BLOCK_SOURCE, IP_UNBLOCK_SOURCE, value)
        }
        (Family::V6, _) => {
            let value = [vec![0; 8], storage(group(w)), storage(w.here().ip())].concat();
            (MCAST_BLOCK_SOURCE, MCAST_UNBLOCK_SOURCE, value)
        }
    };
    w.note("block", ioth::setsockopt(&fd, level(w), name, &value));
    send(w, &sender);
    w.poll("blocked", &fd, NOTHING);
    w.note("unblock", ioth::setsockopt(&fd, level(w), undo, &value));
    send(w, &sender);
    w.poll("heard", &fd, IN);
    Ok(())
}

fn hops_to_a_group(w: &World) -> Result<()> {
    let (sender, fd) = (sending(w)?, hearing(w, &w.server)?);
    w.note("join", member(w, &fd, &w.server, group(w), true));
    let (hops, told) = match w.family {
        Family::V4 => (IP_MULTICAST_TTL, IP_RECVTTL),
        Family::V6 => (IPV6_MULTICAST_HOPS, IPV6_RECVHOPLIMIT),
    };
    ioth::setsockopt_int(&fd, level(w), told, 1)?;
    send(w, &sender);
    w.note("at first", receive(&fd, 10, 0));
    for number in [7, 255, -1] {
        w.note("set", ioth::setsockopt_int(&sender, level(w), hops, number));
        send(w, &sender);
        w.note("received", receive(&fd, 10, 0));
    }
    Ok(())
}

fn who_is_told_of_a_group(w: &World) -> Result<()> {
    let (sender, fd) = (sending(w)?, hearing(w, &w.client)?);
    send(w, &sender);
    w.poll("no member", &fd, NOTHING);
    w.note("join", member(w, &fd, &w.client, group(w), true));
    send(w, &sender);
    w.poll("the sender's own host", &fd, IN);
    w.note("recvfrom", receive(&fd, 10, 0));
    let (back, loops) = match w.family {
        Family::V4 => (IP_MULTICAST_LOOP, 0),
        Family::V6 => (IPV6_MULTICAST_LOOP, 0),
    };
    w.note("not back", ioth::setsockopt_int(&sender, level(w), back, loops));
    send(w, &sender);
    w.poll("not back", &fd, NOTHING);
    // Connected, and by the plain call.
    w.note("back", ioth::setsockopt_int(&sender, level(w), back, 1));
    w.note("connect", ioth::connect(&sender, &SocketAddr::new(group(w), w.port)));
    w.note("send", crate::calls::send(&sender, "word"));
    w.poll("connected", &fd, IN);
    Ok(())
}
