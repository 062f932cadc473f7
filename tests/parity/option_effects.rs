//! Options that change what a socket does, beyond what they show: ports, checksums, windows and what a connection tells of
//! itself.

use std::net::SocketAddr;

use anyhow::Result;
use ioth::*;
use ioth_tests::netns::Test;

use crate::calls::{IN, OUT, option, patient, recv, send};
use crate::packet::interface;
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        ports_within_a_range,
        ports_of_connections_within_a_range,
        an_address_and_no_port,
        no_port_and_refused,
        one_port_on_two_interfaces,
        datagrams_without_checksums,
        clamped_windows,
        what_a_connection_counts,
        what_is_known_of_the_path,
        preferences_of_addresses,
        connected_to_itself,
    ]
}

/// Two ports that no other behaviour has, among those that are given to whoever asks for any.
fn own_range(w: &World) -> (u16, i32) {
    let first = 33_000 + w.port % 20_000;
    (first, i32::from(first) | i32::from(first + 1) << 16)
}

fn ports_within_a_range(w: &World) -> Result<()> {
    let (first, range) = own_range(w);
    let mut kept = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..3 {
        let fd = w.datagram(&w.client)?;
        w.note("set", setsockopt_int(&fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, range));
        w.note("bind", bind(&fd, &w.here()));
        ports.push(getsockname(&fd)?.port());
        kept.push(fd);
    }
    ports.sort_unstable();
    w.note(
        "both, and none",
        ports.iter().map(|port| i32::from(port.saturating_sub(first))).collect::<Vec<_>>(),
    );
    // A bound out of the range of all does not count.
    let fd = w.datagram(&w.client)?;
    w.note("set", setsockopt_int(&fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, 5 | 6 << 16));
    w.note("bind", bind(&fd, &w.here()));
    w.note("an usual one", getsockname(&fd)?.port() >= 32_768);
    Ok(())
}

fn ports_of_connections_within_a_range(w: &World) -> Result<()> {
    let (first, range) = own_range(w);
    let listener = w.listener()?;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let fd = w.stream()?;
        setsockopt_int(&fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, range)?;
        let connected = connect(&fd, &w.at());
        w.note("within", getsockname(&fd)?.port().wrapping_sub(first) < 2);
        w.note("connect", connected);
        kept.push(fd);
    }
    drop(listener);
    Ok(())
}

fn an_address_and_no_port(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let late = || -> Result<_> {
        let fd = w.stream()?;
        setsockopt_int(&fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)?;
        w.note("bind", bind(&fd, &w.here()));
        w.note("no port", getsockname(&fd)?.port() == 0);
        w.note("the address", getsockname(&fd)?.ip() == w.here().ip());
        Ok(fd)
    };
    let fd = late()?;
    w.note("connect", connect(&fd, &w.at()));
    w.note("a port", getsockname(&fd)?.port() >= 32_768);
    w.note("from there", accept(&listener)?.1.ip() == w.here().ip());
    let fd = late()?;
    w.note("listen", listen(&fd, 1));
    w.note("a port", getsockname(&fd)?.port() >= 32_768);
    let fd = late()?;
    w.note("again", bind(&fd, &w.here()));
    let mut named = w.here();
    named.set_port(own_range(w).0);
    w.note("with a port", bind(&fd, &named));
    w.note("that one", getsockname(&fd)? == named);
    w.note("no more", bind(&fd, &w.here()));
    let fd = w.datagram(&w.client)?;
    setsockopt_int(&fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)?;
    w.note("bind", bind(&fd, &w.here()));
    w.note("no port", getsockname(&fd)?.port() == 0);
    w.note("sendto", sendto(&fd, b"word", 0, &w.at()));
    w.note("a port", getsockname(&fd)?.port() >= 32_768);
    Ok(())
}

fn no_port_and_refused(w: &World) -> Result<()> {
    let fd = w.stream()?;
    setsockopt_int(&fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)?;
    w.note("bind", bind(&fd, &w.here()));
    w.note("refused", connect(&fd, &w.at()));
    let listener = w.listener()?;
    w.note("connect", connect(&fd, &w.at()));
    w.note("from there", accept(&listener)?.1.ip() == w.here().ip());
    Ok(())
}

fn one_port_on_two_interfaces(w: &World) -> Result<()> {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let open = || w.server.socket(w.domain(), kind | SOCK_CLOEXEC, 0);
        let (near, far, third, everywhere) = (open()?, open()?, open()?, open()?);
        let index = i32::try_from(interface(&w.server)?)?;
        w.note("lo", setsockopt(&near, SOL_SOCKET, SO_BINDTODEVICE, b"lo"));
        w.note("the other", setsockopt_int(&far, SOL_SOCKET, SO_BINDTOIFINDEX, index));
        w.note("the other", setsockopt_int(&third, SOL_SOCKET, SO_BINDTOIFINDEX, index));
        w.note("bind", bind(&near, &w.any(w.port)));
        w.note("bind", bind(&far, &w.any(w.port)));
        w.note("the same twice", bind(&third, &w.any(w.port)));
        w.note("on all", bind(&everywhere, &w.any(w.port)));
        if kind == SOCK_STREAM {
            w.note("listen", listen(&near, 1));
            w.note("listen", listen(&far, 1));
            let ours = w.stream()?;
            w.note("connect", connect(&ours, &w.at()));
            // Even if a host sends it to itself: the address is of that interface.
            patient(&far)?;
            w.note("accept", accept(&far).map(drop));
            set_nonblocking(&near, true)?;
            w.note("nothing", accept(&near).map(drop));
        }
    }
    Ok(())
}

fn datagrams_without_checksums(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    let v6 = w.family == Family::V6;
    let (level, name) = if v6 { (IPPROTO_UDP, UDP_NO_CHECK6_TX) } else { (SOL_SOCKET, SO_NO_CHECK) };
    w.note("set", setsockopt_int(&ours, level, name, 1));
    w.note("sendto", sendto(&ours, b"unsummed", 0, &w.at()));
    if v6 {
        // RFC 8200 section 8.1: it is dropped, unless somebody asks for it.
        w.poll("nothing comes", &theirs, OUT);
        w.note("set", setsockopt_int(&theirs, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1));
        w.note("sendto", sendto(&ours, b"unsummed", 0, &w.at()));
    }
    w.note("recv", recv(&theirs, 20, 0));
    w.note("in fragments", sendto(&ours, &[b'x'; 4000], 0, &w.at()));
    w.note("recv", recv(&theirs, 5000, 0));
    w.note("cut", setsockopt_int(&ours, IPPROTO_UDP, UDP_SEGMENT, 4));
    w.note("sendto", sendto(&ours, b"two of them", 0, &w.at()));
    w.note("set", setsockopt_int(&ours, level, name, 0));
    w.note("sendto", sendto(&ours, b"summed", 0, &w.at()));
    w.note("recv", recv(&theirs, 20, 0));
    Ok(())
}

fn clamped_windows(w: &World) -> Result<()> {
    let fd = w.stream()?;
    w.note("at first", option(&fd, IPPROTO_TCP, TCP_WINDOW_CLAMP));
    for value in [1, 0, 1152, 5000, i32::MAX] {
        w.note(&format!("set {value}"), setsockopt_int(&fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, value));
        w.note("shows", option(&fd, IPPROTO_TCP, TCP_WINDOW_CLAMP));
    }
    let listener = w.listener()?;
    w.note("set", setsockopt_int(&listener, IPPROTO_TCP, TCP_WINDOW_CLAMP, 4000));
    let (ours, theirs) = w.pair_of(&listener)?;
    w.note("not taken away", setsockopt_int(&theirs, IPPROTO_TCP, TCP_WINDOW_CLAMP, 0));
    patient(&theirs)?;
    // More than the window takes at once comes all the same.
    let data = vec![b'x'; 100_000];
    let sender = std::thread::spawn(move || send(&ours, &data).map(|sent| (sent, ours)));
    w.note("recv", ioth::recv(&theirs, &mut vec![0; 100_000], MSG_WAITALL));
    w.note("sent", sender.join().expect("no panic")?.0);
    Ok(())
}

fn what_a_connection_counts(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&ours)?;
    patient(&theirs)?;
    for word in ["one", "two", "three"] {
        send(&ours, word)?;
        w.note("recv", recv(&theirs, 10, 0));
        send(&theirs, word)?;
        w.note("recv", recv(&ours, 10, 0));
    }
    for (what, fd) in [("ours", &ours), ("theirs", &theirs)] {
        let mut info = [0; 248];
        w.note(what, getsockopt(fd, IPPROTO_TCP, TCP_INFO, &mut info)? >= 232);
        let word = |at: usize| info[at..].first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
        let long = |at: usize| info[at..].first_chunk().map(|bytes| u64::from_ne_bytes(*bytes) as usize);
        w.note("state", i32::from(info[0]));
        w.note("timestamps, SACK, scales", i32::from(info[5] & 7));
        w.note("both scale", info[6] & 0xf > 0 && info[6] >> 4 > 0);
        w.note("sacked", word(28));
        w.note("lost", word(32));
        w.note("retransmitted", word(36));
        w.note("ssthresh", word(76));
        w.note("total_retrans", word(100));
        w.note("bytes_received", long(128));
        w.note("data_segs_in", word(152));
        w.note("data_segs_out", word(156));
        w.note("segs_in", word(140) >= word(152));
        w.note("segs_out", word(136) >= word(156));
        w.note("min_rtt", word(148) > Some(0));
        w.note("bytes_retrans", long(208));
    }
    Ok(())
}

fn what_is_known_of_the_path(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    let mut info = [1; 32];
    w.note("not connected", getsockopt(&fd, IPPROTO_IPV6, IPV6_PATHMTU, &mut info));
    w.note("connect", connect(&fd, &w.at()));
    w.note("too short", getsockopt(&fd, IPPROTO_IPV6, IPV6_PATHMTU, &mut [0; 31]));
    w.note("connected", getsockopt(&fd, IPPROTO_IPV6, IPV6_PATHMTU, &mut info));
    if w.family == Family::V6 && !w.client.same_as(&w.server) {
        w.note("what it is", info.map(i32::from).to_vec());
    }
    w.note("not to be set", setsockopt(&fd, IPPROTO_IPV6, IPV6_PATHMTU, &info));
    Ok(())
}

fn preferences_of_addresses(w: &World) -> Result<()> {
    for fd in [w.stream()?, w.datagram(&w.client)?] {
        w.note("at first", option(&fd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES));
        for flags in [0, 1, 2, 4, 0x400, 4, 1, 6, 0x100, 8, 0x800, 0x808, 3, 0x404, 0x1000, -1, 0x401] {
            w.note(
                &format!("set {flags:x}"),
                setsockopt_int(&fd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, flags),
            );
            w.note("shows", option(&fd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES));
        }
        w.note("too short", setsockopt(&fd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, &[1; 3]));
    }
    Ok(())
}

/// RFC 9293 section 3.5, figure 7: both ends send a SYN. The one way to have that without fail is to be both ends.
fn connected_to_itself(w: &World) -> Result<()> {
    let fd = w.stream()?;
    let own = SocketAddr::new(w.here().ip(), w.port);
    w.note("bind", bind(&fd, &own));
    w.note("connect", connect(&fd, &own));
    w.note("peer", getpeername(&fd)? == own);
    patient(&fd)?;
    w.note("send", send(&fd, "word"));
    w.note("recv", recv(&fd, 10, 0));
    w.poll("room", &fd, OUT);
    w.note("shutdown", shutdown(&fd, SHUT_WR));
    w.poll("the end", &fd, IN);
    w.note("recv", recv(&fd, 10, 0));
    Ok(())
}
