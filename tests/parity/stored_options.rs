//! Options that are a number each: what they show, take and refuse, at every level and for every kind of socket.

use anyhow::Result;
use ioth::*;
use ioth_tests::netns::Test;
use std::os::fd::OwnedFd;

use crate::calls::{option, patient, recv, send, set_timeout};
use crate::messages::receive;
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        every_number_of_a_socket,
        every_number_of_ipv4,
        every_number_of_ipv6,
        every_number_of_tcp,
        every_number_of_udp,
        options_of_others,
        numbers_by_one_byte,
        what_accepted_sockets_have,
        what_cannot_be_set,
        where_a_datagram_was_sent,
        stamped_by_software,
        from_too_far,
    ]
}

/// Names with their numbers.
macro_rules! names {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), $name)),*] };
}

/// Sets every option to every value, and writes down what it shows.
fn try_all(w: &World, fd: &OwnedFd, what: &str, level: i32, names: &[(&str, i32)], values: &[i32]) {
    for (name, number) in names {
        w.note(&format!("{what} {name}"), option(fd, level, *number));
        for value in values {
            w.note(&format!("set {value}"), setsockopt_int(fd, level, *number, *value));
            w.note("shows", option(fd, level, *number));
        }
        w.note("too short", setsockopt(fd, level, *number, &[1; 3]));
        w.note("nothing", setsockopt(fd, level, *number, &[]));
        w.note("room for 8", getsockopt(fd, level, *number, &mut [0; 8]));
        w.note("room for 2", getsockopt(fd, level, *number, &mut [0; 2]));
    }
}

fn kinds(w: &World) -> Result<[(&'static str, OwnedFd); 2]> {
    Ok([("stream", w.stream()?), ("datagram", w.datagram(&w.client)?)])
}

const VALUES: [i32; 8] = [1, 0, 2, 5, 255, 256, -1, i32::MAX];

fn every_number_of_a_socket(w: &World) -> Result<()> {
    for (what, fd) in &kinds(w)? {
        let names = names![
            SO_BSDCOMPAT,
            SO_DONTROUTE,
            SO_INCOMING_CPU,
            SO_INCOMING_NAPI_ID,
            SO_LOCK_FILTER,
            SO_NOFCS,
            SO_NO_CHECK,
            SO_SELECT_ERR_QUEUE,
            SO_SNDLOWAT,
            SO_WIFI_STATUS,
        ];
        try_all(w, fd, what, SOL_SOCKET, &names, &VALUES);
        try_all(w, fd, what, SOL_SOCKET, &names![SO_PRIORITY], &[1, 0, 6, 3]);
        try_all(w, fd, what, SOL_SOCKET, &names![SO_RCVLOWAT], &[1, 0, 100, 7]);
        try_all(w, fd, what, SOL_SOCKET, &names![SO_MARK], &[7, 0, -1]);
        try_all(w, fd, what, SOL_SOCKET, &names![SO_BUSY_POLL], &[0, -1]);
        w.note("room for a name", getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, &mut [0; 16]));
        w.note("no number", option(fd, SOL_SOCKET, SO_BINDTOIFINDEX));
    }
    Ok(())
}

fn every_number_of_ipv4(w: &World) -> Result<()> {
    for (what, fd) in &kinds(w)? {
        let names = names![
            IP_BIND_ADDRESS_NO_PORT,
            IP_CHECKSUM,
            IP_FREEBIND,
            IP_MINTTL,
            IP_PASSSEC,
            IP_RECVERR_RFC4884,
            IP_RECVFRAGSIZE,
            IP_RECVOPTS,
            IP_RECVORIGDSTADDR,
            IP_RETOPTS,
            IP_TRANSPARENT,
        ];
        try_all(w, fd, what, IPPROTO_IP, &names, &VALUES);
        try_all(w, fd, what, IPPROTO_IP, &names![IP_UNICAST_IF], &[0, 77 << 24, 0]);
        try_all(
            w,
            fd,
            what,
            IPPROTO_IP,
            &names![IP_LOCAL_PORT_RANGE],
            &[0, 0x4000_3000, 0x3000_4000, 5, 5 << 16],
        );
        try_all(w, fd, what, IPPROTO_IP, &names![IP_HDRINCL, IP_NODEFRAG, IP_ROUTER_ALERT], &[1]);
        w.note("IP_PROTOCOL", option(fd, IPPROTO_IP, IP_PROTOCOL));
        w.note("IP_OPTIONS", getsockopt(fd, IPPROTO_IP, IP_OPTIONS, &mut [0; 40]));
        w.note("no options", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, &[]));
        w.note("bad options", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, &[7, 200, 4, 0]));
    }
    Ok(())
}

fn every_number_of_ipv6(w: &World) -> Result<()> {
    for (what, fd) in &kinds(w)? {
        let names = names![
            IPV6_2292DSTOPTS,
            IPV6_2292HOPLIMIT,
            IPV6_2292HOPOPTS,
            IPV6_2292PKTINFO,
            IPV6_2292RTHDR,
            IPV6_AUTOFLOWLABEL,
            IPV6_FLOWINFO,
            IPV6_FLOWINFO_SEND,
            IPV6_FREEBIND,
            IPV6_MINHOPCOUNT,
            IPV6_RECVDSTOPTS,
            IPV6_RECVERR_RFC4884,
            IPV6_RECVFRAGSIZE,
            IPV6_RECVHOPOPTS,
            IPV6_RECVORIGDSTADDR,
            IPV6_RECVPATHMTU,
            IPV6_RECVRTHDR,
            IPV6_TRANSPARENT,
        ];
        try_all(w, fd, what, IPPROTO_IPV6, &names, &VALUES);
        try_all(w, fd, what, IPPROTO_IPV6, &names![IPV6_UNICAST_IF], &[0, 77 << 24, 0]);
        try_all(w, fd, what, IPPROTO_IPV6, &names![IPV6_CHECKSUM, IPV6_ROUTER_ALERT, IPV6_ADDRFORM], &[1]);
    }
    Ok(())
}

fn every_number_of_tcp(w: &World) -> Result<()> {
    let (ours, _theirs) = w.pair()?;
    for (what, fd) in [("fresh", w.stream()?), ("connected", ours)] {
        let names =
            names![TCP_INQ, TCP_NOTSENT_LOWAT, TCP_SAVE_SYN, TCP_THIN_DUPACK, TCP_THIN_LINEAR_TIMEOUTS];
        try_all(w, &fd, what, IPPROTO_TCP, &names, &VALUES);
        w.note("TCP_ULP", getsockopt(&fd, IPPROTO_TCP, TCP_ULP, &mut [0; 16]));
        w.note("no such ULP", setsockopt(&fd, IPPROTO_TCP, TCP_ULP, b"none"));
        w.note("TCP_INFO in part", getsockopt(&fd, IPPROTO_TCP, TCP_INFO, &mut [0; 104]));
        let mut state = [0; 1];
        w.note("TCP_INFO of a byte", getsockopt(&fd, IPPROTO_TCP, TCP_INFO, &mut state));
        w.note("state", i32::from(state[0]));
        w.note("set TCP_INFO", setsockopt_int(&fd, IPPROTO_TCP, TCP_INFO, 1));
        w.note("TCP_TIMESTAMP", option(&fd, IPPROTO_TCP, TCP_TIMESTAMP).is_ok());
    }
    Ok(())
}

fn every_number_of_udp(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    try_all(w, &fd, "datagram", IPPROTO_UDP, &names![UDP_CORK, UDP_NO_CHECK6_RX, UDP_NO_CHECK6_TX], &VALUES);
    w.note("no such encapsulation", setsockopt_int(&fd, IPPROTO_UDP, UDP_ENCAP, 99));
    w.note("UDP_ENCAP", option(&fd, IPPROTO_UDP, UDP_ENCAP));
    Ok(())
}

fn options_of_others(w: &World) -> Result<()> {
    for (what, fd) in &kinds(w)? {
        let mut user = [9; 12];
        w.note(&format!("{what} SO_PEERCRED"), getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &mut user));
        w.note("who", user.map(i32::from).to_vec());
        w.note("set SO_PEERCRED", setsockopt_int(fd, SOL_SOCKET, SO_PEERCRED, 1));
        for (name, number) in names![SO_PASSCRED, SO_PASSSEC, SO_PEERSEC, SO_ACCEPTCONN] {
            w.note(name, option(fd, SOL_SOCKET, number));
            w.note("set", setsockopt_int(fd, SOL_SOCKET, number, 1));
        }
        w.note("SO_COOKIE", getsockopt(fd, SOL_SOCKET, SO_COOKIE, &mut [0; 8]));
        w.note("too short", getsockopt(fd, SOL_SOCKET, SO_COOKIE, &mut [0; 4]));
        w.note("no filter", setsockopt_int(fd, SOL_SOCKET, SO_DETACH_FILTER, 0));
    }
    Ok(())
}

fn numbers_by_one_byte(w: &World) -> Result<()> {
    for (what, fd) in &kinds(w)? {
        for (name, number) in names![IP_FREEBIND, IP_MINTTL, IP_RECVOPTS, IP_BIND_ADDRESS_NO_PORT] {
            w.note(&format!("{what} {name}"), setsockopt(fd, IPPROTO_IP, number, &[1]));
            let mut value = [0];
            w.note("length", getsockopt(fd, IPPROTO_IP, number, &mut value));
            w.note("shows", i32::from(value[0]));
        }
    }
    Ok(())
}

fn what_accepted_sockets_have(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let set = names![SO_PRIORITY, SO_MARK, SO_RCVLOWAT, SO_DONTROUTE];
    for (_, number) in set {
        setsockopt_int(&listener, SOL_SOCKET, number, 1)?;
    }
    setsockopt_int(&listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 7000)?;
    setsockopt_int(&listener, IPPROTO_IP, IP_MINTTL, 2)?;
    let (_ours, theirs) = w.pair_of(&listener)?;
    for (name, number) in set {
        w.note(name, option(&theirs, SOL_SOCKET, number));
    }
    w.note("TCP_NOTSENT_LOWAT", option(&theirs, IPPROTO_TCP, TCP_NOTSENT_LOWAT));
    w.note("IP_MINTTL", option(&theirs, IPPROTO_IP, IP_MINTTL));
    Ok(())
}

fn what_cannot_be_set(w: &World) -> Result<()> {
    if w.family == Family::V4 {
        let fd = w.stream()?;
        w.note("IPv6 of IPv4", setsockopt_int(&fd, IPPROTO_IPV6, IPV6_RECVPATHMTU, 1));
        w.note("shown", option(&fd, IPPROTO_IPV6, IPV6_RECVPATHMTU));
    } else {
        let fd = w.stream()?;
        w.note("not connected", setsockopt_int(&fd, IPPROTO_IPV6, IPV6_ADDRFORM, AF_INET));
    }
    let fd = w.datagram(&w.client)?;
    w.note("TCP of UDP", setsockopt_int(&fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1));
    Ok(())
}

fn where_a_datagram_was_sent(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    let (level, name) = match w.family {
        Family::V4 => (IPPROTO_IP, IP_RECVORIGDSTADDR),
        Family::V6 => (IPPROTO_IPV6, IPV6_RECVORIGDSTADDR),
    };
    setsockopt_int(&theirs, level, name, 1)?;
    sendto(&ours, b"word", 0, &w.at())?;
    let (_, message) = receive(&theirs, 10, 0)?;
    for control in &message.controls {
        let (level, kind, data) = control.encode();
        w.note("level and type", (level, kind));
        w.note("where", SockAddr::from_bytes(&data).ip());
    }
    Ok(())
}

fn stamped_by_software(w: &World) -> Result<()> {
    /// SOF_TIMESTAMPING_RX_SOFTWARE and SOF_TIMESTAMPING_SOFTWARE.
    const BOTH: i32 = 0x18;
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    w.note("set", setsockopt_int(&theirs, SOL_SOCKET, SO_TIMESTAMPING, BOTH));
    w.note("shows", option(&theirs, SOL_SOCKET, SO_TIMESTAMPING));
    // The kernel begins to stamp a moment after somebody asked for it.
    let mut controls = Vec::new();
    while controls.is_empty() {
        sendto(&ours, b"word", 0, &w.at())?;
        controls = receive(&theirs, 10, 0)?.1.controls;
    }
    for control in &controls {
        let (level, kind, data) = control.encode();
        w.note("level and type", (level, kind));
        w.note("length", data.len());
        w.note("a time", data.iter().take(8).any(|byte| *byte != 0));
        w.note("no others", data.iter().skip(16).all(|byte| *byte == 0));
    }
    Ok(())
}

fn from_too_far(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let (level, name) = match w.family {
        Family::V4 => (IPPROTO_IP, IP_MINTTL),
        Family::V6 => (IPPROTO_IPV6, IPV6_MINHOPCOUNT),
    };
    setsockopt_int(&theirs, level, name, 255)?;
    set_timeout(&theirs, SO_RCVTIMEO, std::time::Duration::from_millis(60))?;
    send(&ours, "far")?;
    w.note("is dropped", recv(&theirs, 10, 0));
    setsockopt_int(&theirs, level, name, 0)?;
    patient(&theirs)?;
    w.note("comes again", recv(&theirs, 10, 0));
    Ok(())
}
