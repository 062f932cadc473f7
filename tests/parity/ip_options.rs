//! Options of IP: ip(7), ipv6(7).

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Result;
use ioth::{
    Control, IP_MTU, IP_MTU_DISCOVER, IP_PKTINFO, IP_PMTUDISC_DO, IP_PMTUDISC_DONT, IP_PMTUDISC_INTERFACE,
    IP_PMTUDISC_OMIT, IP_PMTUDISC_PROBE, IP_PMTUDISC_WANT, IP_RECVERR, IP_RECVTOS, IP_RECVTTL, IP_TOS,
    IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IPV6_DONTFRAG, IPV6_MTU, IPV6_MTU_DISCOVER, IPV6_RECVERR,
    IPV6_RECVHOPLIMIT, IPV6_RECVPKTINFO, IPV6_RECVTCLASS, IPV6_TCLASS, IPV6_UNICAST_HOPS, MSG_DONTWAIT,
    MSG_ERRQUEUE, UDP_SEGMENT,
};
use ioth_tests::netns::Test;

use crate::calls::{option, patient, pending, recv, send};
use crate::messages::{receive, transmit};
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        numbers_of_ip,
        switches_of_ip,
        lengths_of_values_of_ip,
        numbers_of_ipv6,
        switches_of_ipv6,
        options_of_ip_on_an_ipv6_socket,
        options_of_ip_are_inherited,
        numbers_leave,
        the_mtu_of_a_path,
        what_does_not_fit,
        what_does_not_fit_by_ipv6_dontfrag,
        what_does_not_fit_by_ipv6_mtu,
        what_does_not_fit_is_queued,
        the_option_of_segments,
        one_call_many_datagrams,
        segments_that_do_not_fit,
    ]
}

/// The sockets that have the options: a name and a descriptor.
fn sockets(w: &World) -> Result<Vec<(&'static str, OwnedFd)>> {
    Ok(vec![("stream", w.stream()?), ("datagram", w.datagram(&w.client)?)])
}

/// Sets each value and looks at what shows then.
fn try_values(w: &World, fd: &OwnedFd, level: i32, (name, number): (&str, i32), values: &[i32]) {
    w.note(name, option(fd, level, number));
    for value in values {
        w.note(&format!("set {value}"), ioth::setsockopt_int(fd, level, number, *value));
        w.note("shows", option(fd, level, number));
    }
}

fn numbers_of_ip(w: &World) -> Result<()> {
    for (what, fd) in sockets(w)? {
        w.note(what, 0);
        try_values(w, &fd, IPPROTO_IP, ("IP_TTL", IP_TTL), &[1, 255, 0, 256, -1, -2, 77]);
        try_values(w, &fd, IPPROTO_IP, ("IP_TOS", IP_TOS), &[0x10, 0x13, 0xff, 0x102, -1, 0]);
        let discover = ("IP_MTU_DISCOVER", IP_MTU_DISCOVER);
        try_values(w, &fd, IPPROTO_IP, discover, &[0, 1, 2, 3, 4, 5, 6, -1]);
        try_values(w, &fd, IPPROTO_IP, ("IP_MTU", IP_MTU), &[1500]);
        try_values(w, &fd, IPPROTO_IP, ("none", 199), &[1]);
    }
    Ok(())
}

fn switches_of_ip(w: &World) -> Result<()> {
    let switches = [
        ("IP_RECVTTL", IP_RECVTTL),
        ("IP_RECVTOS", IP_RECVTOS),
        ("IP_PKTINFO", IP_PKTINFO),
        ("IP_RECVERR", IP_RECVERR),
    ];
    for (what, fd) in sockets(w)? {
        w.note(what, 0);
        for switch in switches {
            try_values(w, &fd, IPPROTO_IP, switch, &[1, 7, 0, -1]);
        }
    }
    Ok(())
}

fn lengths_of_values_of_ip(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    for (level, number) in [
        (IPPROTO_IP, IP_TTL),
        (IPPROTO_IP, IP_TOS),
        (IPPROTO_IP, IP_RECVTTL),
        (IPPROTO_IPV6, IPV6_UNICAST_HOPS),
        (IPPROTO_IPV6, IPV6_TCLASS),
        (IPPROTO_IPV6, IPV6_RECVHOPLIMIT),
    ] {
        w.note("option", number);
        for len in [0, 1, 3, 4, 8] {
            w.note(
                &format!("set {len}"),
                ioth::setsockopt(&fd, level, number, &[9, 0, 0, 0, 1, 1, 1, 1][..len]),
            );
            let mut value = [0xaa; 8];
            let got = ioth::getsockopt(&fd, level, number, &mut value[..len]);
            w.note(&format!("get {len}"), got);
            w.note("value", format!("{value:?}"));
        }
    }
    Ok(())
}

fn numbers_of_ipv6(w: &World) -> Result<()> {
    for (what, fd) in sockets(w)? {
        w.note(what, 0);
        let hops = ("IPV6_UNICAST_HOPS", IPV6_UNICAST_HOPS);
        try_values(w, &fd, IPPROTO_IPV6, hops, &[1, 0, 255, 256, -1, -2, 77]);
        let class = ("IPV6_TCLASS", IPV6_TCLASS);
        try_values(w, &fd, IPPROTO_IPV6, class, &[0x10, 0x13, 255, 256, -1, -2, 0]);
        let discover = ("IPV6_MTU_DISCOVER", IPV6_MTU_DISCOVER);
        try_values(w, &fd, IPPROTO_IPV6, discover, &[0, 1, 2, 3, 4, 5, 6, -1]);
        try_values(w, &fd, IPPROTO_IPV6, ("IPV6_MTU", IPV6_MTU), &[1280, 1279, -1, 0]);
        try_values(w, &fd, IPPROTO_IPV6, ("none", 199), &[1]);
    }
    Ok(())
}

fn switches_of_ipv6(w: &World) -> Result<()> {
    let switches = [
        ("IPV6_RECVHOPLIMIT", IPV6_RECVHOPLIMIT),
        ("IPV6_RECVTCLASS", IPV6_RECVTCLASS),
        ("IPV6_RECVPKTINFO", IPV6_RECVPKTINFO),
        ("IPV6_RECVERR", IPV6_RECVERR),
        ("IPV6_DONTFRAG", IPV6_DONTFRAG),
    ];
    for (what, fd) in sockets(w)? {
        w.note(what, 0);
        for switch in switches {
            try_values(w, &fd, IPPROTO_IPV6, switch, &[1, 7, 0, -1]);
        }
    }
    Ok(())
}

fn options_of_ip_on_an_ipv6_socket(w: &World) -> Result<()> {
    let fd = w.with(Family::V6).datagram(&w.client)?;
    try_values(w, &fd, IPPROTO_IP, ("IP_TTL", IP_TTL), &[5]);
    try_values(w, &fd, IPPROTO_IPV6, ("IPV6_UNICAST_HOPS", IPV6_UNICAST_HOPS), &[6]);
    w.note("IP_TTL", option(&fd, IPPROTO_IP, IP_TTL));
    Ok(())
}

/// The options of the family.
fn names(w: &World) -> (i32, [(&'static str, i32); 3]) {
    match w.family {
        Family::V4 => {
            (IPPROTO_IP, [("IP_TTL", IP_TTL), ("IP_TOS", IP_TOS), ("IP_MTU_DISCOVER", IP_MTU_DISCOVER)])
        }
        Family::V6 => (
            IPPROTO_IPV6,
            [
                ("IPV6_UNICAST_HOPS", IPV6_UNICAST_HOPS),
                ("IPV6_TCLASS", IPV6_TCLASS),
                ("IPV6_MTU_DISCOVER", IPV6_MTU_DISCOVER),
            ],
        ),
    }
}

fn options_of_ip_are_inherited(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (level, names) = names(w);
    for ((_, number), value) in names.into_iter().zip([9, 0x20, 2]) {
        ioth::setsockopt_int(&listener, level, number, value)?;
    }
    let (ours, theirs) = w.pair_of(&listener)?;
    for (name, number) in names {
        w.note(name, (option(&listener, level, number), option(&theirs, level, number)));
    }
    send(&ours, "word")?;
    w.note("recv", recv(&theirs, 10, 0));
    w.note("back", send(&theirs, "back"));
    w.note("recv", recv(&ours, 10, 0));
    Ok(())
}

fn numbers_leave(w: &World) -> Result<()> {
    let (ours, theirs) = (w.datagram(&w.client)?, w.datagram_server()?);
    patient(&theirs)?;
    let (level, [(_, ttl), (_, tos), _]) = names(w);
    let told = match w.family {
        Family::V4 => [IP_RECVTTL, IP_RECVTOS],
        Family::V6 => [IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS],
    };
    for name in told {
        ioth::setsockopt_int(&theirs, level, name, 1)?;
    }
    for (one, other) in [(3, 0x2e), (255, 0xff), (-1, 0)] {
        w.note("ttl", ioth::setsockopt_int(&ours, level, ttl, one));
        w.note("tos", ioth::setsockopt_int(&ours, level, tos, other));
        w.note("sendto", ioth::sendto(&ours, b"word", 0, &w.at()));
        w.note("recvmsg", receive(&theirs, 10, 0));
    }
    Ok(())
}

fn the_mtu_of_a_path(w: &World) -> Result<()> {
    let (level, name) = match w.family {
        Family::V4 => (IPPROTO_IP, IP_MTU),
        Family::V6 => (IPPROTO_IPV6, IPV6_MTU),
    };
    // Loopback interfaces differ: 65 536 and 65 520.
    let shown = |fd: &OwnedFd| option(fd, level, name).map(|mtu| if mtu > 60_000 { 60_000 } else { mtu });
    let _theirs = w.datagram_server()?;
    let ours = w.datagram(&w.client)?;
    w.note("fresh", shown(&ours));
    ioth::sendto(&ours, b"word", 0, &w.at())?;
    w.note("unconnected", shown(&ours));
    ioth::connect(&ours, &w.at())?;
    w.note("connected", shown(&ours));
    ioth::disconnect(&ours)?;
    w.note("disconnected", shown(&ours));
    let listener = w.listener()?;
    w.note("listener", shown(&listener));
    w.note("stream", shown(&w.stream()?));
    let (ours, theirs) = w.pair_of(&listener)?;
    w.note("connection", (shown(&ours), shown(&theirs)));
    Ok(())
}

/// What comes of datagrams around the MTU.
fn lengths(w: &World, fd: &OwnedFd, to: &SocketAddr) {
    let headers = if w.family == Family::V4 { 28 } else { 48 };
    for len in [1280 - headers, 1281 - headers, 1500 - headers, 1501 - headers, 5000, 66_000] {
        w.note(&format!("send {len}"), ioth::sendto(fd, &vec![7; len], 0, to));
    }
}

fn what_does_not_fit(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        w.note("the loopback interface is another", 0);
        return Ok(());
    }
    let _theirs = w.datagram_server()?;
    let (level, [.., (_, discover)]) = names(w);
    for how in [
        IP_PMTUDISC_DONT,
        IP_PMTUDISC_WANT,
        IP_PMTUDISC_DO,
        IP_PMTUDISC_PROBE,
        IP_PMTUDISC_INTERFACE,
        IP_PMTUDISC_OMIT,
    ] {
        let ours = w.datagram(&w.client)?;
        w.note(&format!("{how}"), ioth::setsockopt_int(&ours, level, discover, how));
        lengths(w, &ours, &w.at());
        w.note("nothing pends", pending(&ours));
    }
    Ok(())
}

fn what_does_not_fit_by_ipv6_dontfrag(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        w.note("the loopback interface is another", 0);
        return Ok(());
    }
    let _theirs = w.datagram_server()?;
    let ours = w.datagram(&w.client)?;
    w.note("set", ioth::setsockopt_int(&ours, IPPROTO_IPV6, IPV6_DONTFRAG, 1));
    lengths(w, &ours, &w.at());
    for on in [0, 1] {
        w.note(
            &format!("this one {on}"),
            transmit(&ours, &[7; 5000], &[Control::DontFragment(on)], Some(&w.at())),
        );
    }
    Ok(())
}

fn what_does_not_fit_by_ipv6_mtu(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        w.note("the loopback interface is another", 0);
        return Ok(());
    }
    let _theirs = w.datagram_server()?;
    let ours = w.datagram(&w.client)?;
    w.note("set", ioth::setsockopt_int(&ours, IPPROTO_IPV6, IPV6_MTU, 1280));
    w.note(
        "never in fragments",
        ioth::setsockopt_int(&ours, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO),
    );
    lengths(w, &ours, &w.at());
    Ok(())
}

fn what_does_not_fit_is_queued(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        w.note("the loopback interface is another", 0);
        return Ok(());
    }
    let _theirs = w.datagram_server()?;
    let (level, [.., (_, discover)]) = names(w);
    let errors = if w.family == Family::V4 { IP_RECVERR } else { IPV6_RECVERR };
    for how in [IP_PMTUDISC_WANT, IP_PMTUDISC_DO] {
        for connected in [false, true] {
            let ours = w.datagram(&w.client)?;
            ioth::setsockopt_int(&ours, level, discover, how)?;
            ioth::setsockopt_int(&ours, level, errors, 1)?;
            if connected {
                ioth::connect(&ours, &w.at())?;
            }
            for len in [5000, 65_530, 66_000] {
                w.note(&format!("send {len}"), ioth::sendto(&ours, &vec![7; len], 0, &w.at()));
                w.note("the error", receive(&ours, 10, MSG_ERRQUEUE));
                w.note("and no other", receive(&ours, 10, MSG_ERRQUEUE));
                w.note("nothing pends", pending(&ours));
                w.note("recv", recv(&ours, 10, MSG_DONTWAIT));
            }
        }
    }
    Ok(())
}

fn the_option_of_segments(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    try_values(w, &fd, IPPROTO_UDP, ("UDP_SEGMENT", UDP_SEGMENT), &[1, 1200, 65_535, 65_536, -1, 0]);
    w.note("too short", ioth::setsockopt(&fd, IPPROTO_UDP, UDP_SEGMENT, &[1; 2]));
    w.note("on a stream", ioth::setsockopt_int(w.stream()?, IPPROTO_UDP, UDP_SEGMENT, 1));
    Ok(())
}

/// Everything that comes within a moment.
fn lengths_received(w: &World, fd: &OwnedFd) -> Vec<usize> {
    let mut lengths = Vec::new();
    w.settle(fd, crate::calls::IN);
    std::thread::sleep(crate::world::MOMENT);
    while let Ok(len) = ioth::recv(fd, &mut [0; 2000], MSG_DONTWAIT) {
        lengths.push(len);
    }
    lengths
}

fn one_call_many_datagrams(w: &World) -> Result<()> {
    let (ours, theirs) = (w.datagram(&w.client)?, w.datagram_server()?);
    ioth::connect(&ours, &w.at())?;
    send(&ours, "are you there?")?;
    w.note("first", lengths_received(w, &theirs));
    let data = ioth_tests::pattern::stream(5000);
    w.note("by control message", transmit(&ours, &data, &[Control::DatagramSize(1200)], None));
    w.note("recv", lengths_received(w, &theirs));
    w.note("by option", ioth::setsockopt_int(&ours, IPPROTO_UDP, UDP_SEGMENT, 1000));
    for len in [0, 1, 999, 1000, 1001, 5000] {
        w.note(&format!("send {len}"), send(&ours, &data[..len]));
        w.note("recv", lengths_received(w, &theirs));
    }
    w.note("one for once", transmit(&ours, &data[..1400], &[Control::DatagramSize(0)], None));
    w.note("recv", lengths_received(w, &theirs));
    // The bytes are in their order.
    w.note("send", send(&ours, &data[..3000]));
    let mut got: Vec<u8> = Vec::new();
    patient(&theirs)?;
    for _ in 0..3 {
        let mut room = [0; 2000];
        let len = ioth::recv(&theirs, &mut room, 0)?;
        got.extend_from_slice(&room[..len]);
    }
    w.note("in order", got == data[..3000]);
    Ok(())
}

fn segments_that_do_not_fit(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        w.note("the loopback interface is another", 0);
        return Ok(());
    }
    let (ours, _theirs) = (w.datagram(&w.client)?, w.datagram_server()?);
    ioth::connect(&ours, &w.at())?;
    let most = if w.family == Family::V4 { 1472 } else { 1452 };
    for (size, len) in
        [(most, 5000), (most + 1, 5000), (most + 1, most), (10, 1280), (10, 1281), (1400, 65_536)]
    {
        let size = Control::DatagramSize(u16::try_from(size)?);
        let data = vec![7; usize::from(u16::try_from(len.min(65_535))?) + usize::from(len > 65_535)];
        w.note(&format!("{size:?} of {len}"), transmit(&ours, &data, &[size], None));
    }
    let strange = Control::Other { level: IPPROTO_UDP, kind: UDP_SEGMENT, data: vec![1; 4] };
    w.note("an integer", transmit(&ours, b"word", &[strange], None));
    Ok(())
}
