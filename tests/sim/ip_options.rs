//! What applications say about the headers of packets (RFC 791, RFC 8200), how datagrams say how they came, and who of
//! several on one port hears them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ioth_stack::net::InterfaceId;
use ioth_stack::{DatagramOptions, EndpointId, Error, IpOptions, Kind, Options};

use crate::wire::frames::{Tcp, ipv4, ipv6};
use crate::wire::{Host, Wire};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Time to live and type of service of an IPv4 packet, hop limit and traffic class of an IPv6 one.
fn numbers(frame: &[u8]) -> (u8, u8) {
    match frame[14] >> 4 {
        4 => (frame[22], frame[15]),
        _ => (frame[21], frame[14] << 4 | frame[15] >> 4),
    }
}

/// With numbers for both families.
fn marked(ttl: u8, tos: u8) -> Options {
    let (ttl, hop_limit) = (Some(ttl), Some(ttl));
    Options {
        ip: IpOptions { ttl, hop_limit, tos, traffic_class: tos, ..IpOptions::default() },
        ..Options::default()
    }
}

/// The wire's own eyes check the sum of every header.
#[test]
fn numbers_stand_in_every_packet() {
    for (own, peer) in [("10.0.0.1:1", "10.0.0.2:2"), ("[fd00::1]:1", "[fd00::2]:2")] {
        let (mut wire, a, b) = Wire::pair();
        let (x, y) = (wire.datagram(a, own), wire.datagram(b, peer));
        wire[a].set_options(x, marked(7, 0xb9)).unwrap();
        // The last one leaves in fragments.
        for len in [0, 1000, 5000] {
            wire.record.clear();
            let now = wire.now();
            let _ = wire[a].send_to(now, x, &vec![7; len], Some(address(peer))).unwrap();
            wire.settle();
            let packets: Vec<_> = wire
                .sent_by(a)
                .filter(|sent| !is_question(&sent.bytes))
                .map(|sent| numbers(&sent.bytes))
                .collect();
            assert!(
                !packets.is_empty() && packets.iter().all(|numbers| *numbers == (7, 0xb9)),
                "{packets:?}"
            );
            let arrival = wire[b].recv_from(y, &mut [], false).unwrap().arrival.unwrap();
            assert_eq!((arrival.ttl, arrival.tos), (7, 0xb9));
            assert_eq!((arrival.destination, arrival.interface), (address(peer).ip(), InterfaceId::new(2)));
        }
        // One datagram has its own.
        let one = DatagramOptions { ttl: Some(9), tos: Some(1), ..DatagramOptions::default() };
        let now = wire.now();
        let _ = wire[a].send_message(now, x, b"x", Some(address(peer)), &one).unwrap();
        wire.settle();
        assert_eq!(numbers(&wire.sent_by(a).last().unwrap().bytes), (9, 1));
    }
}

/// ARP or Neighbour Discovery.
fn is_question(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6] || (frame[14] >> 4 == 6 && frame[20] == 58)
}

#[test]
fn tcp_has_them_but_for_the_bits_of_ecn_rfc_3168_6_1() {
    for own in ["10.0.0.2:80", "[fd00::2]:80"] {
        let (mut wire, a, b) = Wire::pair();
        let listener = wire.listen(b, own, 4);
        wire[b].set_options(listener, marked(33, 0x2b)).unwrap();
        let one = wire.connect(a, own);
        wire[a].set_options(one, marked(44, 0xff)).unwrap();
        let other = wire.accept(b, listener);
        assert_eq!(wire[a].connect_result(one), Ok(()));
        assert!(wire.echoes([(a, one), (b, other)]));
        for (host, expected) in [(a, (44, 0xfc)), (b, (33, 0x28))] {
            let segments: Vec<_> = wire
                .sent_by(host)
                .filter(|sent| Tcp::parse(&sent.bytes).is_some())
                .map(|sent| numbers(&sent.bytes))
                .collect();
            assert!(
                segments.len() > 2 && segments.iter().all(|numbers| *numbers == expected),
                "{segments:?}"
            );
        }
    }
}

#[test]
fn a_datagram_has_the_source_that_is_asked_for() {
    let (mut wire, a, b) = Wire::pair();
    wire[a].add_address(InterfaceId::new(2), "10.0.0.7/24".parse().unwrap()).unwrap();
    let (x, y) = (wire.datagram(a, "0.0.0.0:1"), wire.datagram(b, "10.0.0.2:2"));
    for (source, interface, from) in [
        (Some("10.0.0.7"), None, Ok("10.0.0.7:1")),
        (None, Some(2), Ok("10.0.0.1:1")),
        (Some("127.0.0.1"), None, Ok("127.0.0.1:1")),
        (Some("10.0.0.9"), None, Err(Error::NetworkUnreachable)),
        (None, Some(9), Err(Error::NoInterface)),
    ] {
        let own = DatagramOptions {
            source: source.map(|source| source.parse().unwrap()),
            interface: interface.map(InterfaceId::new),
            ..DatagramOptions::default()
        };
        let now = wire.now();
        let sent = wire[a].send_message(now, x, b"word", Some(address("10.0.0.2:2")), &own);
        wire.settle();
        assert_eq!(sent, from.map(|_| 4));
        if let Ok(from) = from
            && !from.starts_with("127")
        {
            assert_eq!(wire[b].recv_from(y, &mut [], false).unwrap().from, address(from));
        }
    }
    // Nobody takes what comes from the loopback network (RFC 1122 section 3.2.1.3).
    assert!(!wire[b].readiness(y).readable);
}

#[test]
fn ipv6_refuses_what_is_not_to_be_cut_rfc_3542_11_2() {
    let (mut wire, a, b) = Wire::pair();
    let (x, _y) = (wire.datagram(a, "[fd00::1]:1"), wire.datagram(b, "[fd00::2]:2"));
    let to = Some(address("[fd00::2]:2"));
    for (set, own, refused) in
        [(false, None, false), (true, None, true), (true, Some(false), false), (false, Some(true), true)]
    {
        let ip = IpOptions { dont_fragment_v6: set, ..IpOptions::default() };
        wire[a].set_options(x, Options { ip, ..Options::default() }).unwrap();
        let own = DatagramOptions { dont_fragment: own, ..DatagramOptions::default() };
        let now = wire.now();
        let sent = wire[a].send_message(now, x, &[7; 1453], to, &own);
        assert_eq!(sent, if refused { Err(Error::MessageTooLong) } else { Ok(1453) });
        assert_eq!(wire[a].send_message(now, x, &[7; 1452], to, &own), Ok(1452));
    }
    // IPV6_MTU: a packet is no longer.
    let ip = IpOptions { mtu_v6: Some(1280), ..IpOptions::default() };
    wire[a].set_options(x, Options { ip, ..Options::default() }).unwrap();
    wire.settle();
    wire.record.clear();
    let now = wire.now();
    let _ = wire[a].send_to(now, x, &[7; 1452], to).unwrap();
    wire.settle();
    assert!(wire.sent_by(a).all(|sent| sent.bytes.len() <= 1294) && wire.sent_by(a).count() == 2);
}

/// RFC 768: zero is "no checksum"; RFC 8200 section 8.1: not over IPv6, where RFC 6936 is for tunnels.
#[test]
fn a_datagram_without_a_checksum_is_for_ipv4_only() {
    let (mut wire, _, b) = Wire::pair();
    let (four, six) = (wire.datagram(b, "10.0.0.2:2"), wire.datagram(b, "[fd00::2]:2"));
    let mac = wire.mac(b);
    let datagram = [0, 1, 0, 2, 0, 12, 0, 0, b'w', b'o', b'r', b'd'];
    // Another protocol keeps the sum from being filled in.
    let unsummed = |mut bytes: Vec<u8>, at: usize| {
        bytes[at] = 17;
        if at == 23 {
            let check = u16::from_be_bytes([bytes[24], bytes[25]]);
            // The sum of the header counts one protocol in place of the other.
            let sum = u32::from(!check) + 17 + u32::from(!253u16);
            let sum = (sum & 0xffff) + (sum >> 16);
            bytes[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        }
        bytes
    };
    let v4 = ipv4(mac, "10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), 253, &datagram);
    let v6 = ipv6(mac, "fd00::1".parse().unwrap(), "fd00::2".parse().unwrap(), 253, 64, &datagram);
    wire.inject_bytes(b, &unsummed(v4, 23));
    wire.inject_bytes(b, &unsummed(v6, 20));
    assert_eq!(wire.try_received(b, four), Some(b"word".to_vec()));
    assert_eq!(wire.try_received(b, six), None);
    assert_eq!(wire[b].counters().bad_checksum, 1);
}

/// Several on one port.
fn group(wire: &mut Wire, host: Host, kind: Kind, at: &str, count: usize) -> Vec<EndpointId> {
    let add = |_| {
        let id = wire.open(host, kind, address(at));
        wire[host].set_options(id, Options { reuse_port: true, ..Options::default() }).unwrap();
        wire[host].bind(id, address(at)).unwrap();
        id
    };
    (0..count).map(add).collect()
}

#[test]
fn a_shared_port_serves_each_peer_by_one_and_all_alike_socket_7() {
    for (own, peer) in [("10.0.0.1", "10.0.0.2:2"), ("fd00::1", "[fd00::2]:2")] {
        let (mut wire, a, b) = Wire::pair();
        let all = group(&mut wire, b, Kind::Datagram, peer, 4);
        let mut counts: HashMap<EndpointId, u32> = HashMap::new();
        let own: IpAddr = own.parse().unwrap();
        for port in 1..=200 {
            let x = wire.datagram(a, &SocketAddr::new(own, port).to_string());
            let mut takers: Vec<EndpointId> = Vec::new();
            for _ in 0..3 {
                let now = wire.now();
                let _ = wire[a].send_to(now, x, b"word", Some(address(peer))).unwrap();
                wire.settle();
                takers.extend(all.iter().copied().filter(|id| wire.try_received(b, *id).is_some()));
            }
            assert!(takers.len() == 3 && takers.iter().all(|taker| *taker == takers[0]));
            *counts.entry(takers[0]).or_insert(0) += 1;
            wire.close(a, x);
        }
        assert!(counts.len() == 4 && counts.values().all(|count| (25..=80).contains(count)), "{counts:?}");
    }
}

#[test]
fn listeners_share_a_port_too() {
    let (mut wire, a, b) = Wire::pair();
    let all = group(&mut wire, b, Kind::Stream, "0.0.0.0:80", 3);
    for id in &all {
        wire[b].listen(*id, 100).unwrap();
    }
    let ids: Vec<_> = (0..60).map(|_| wire.connect(a, "10.0.0.2:80")).collect();
    wire.run(std::time::Duration::from_secs(2));
    let counts: Vec<_> =
        all.iter().map(|id| std::iter::from_fn(|| wire[b].accept(*id).ok()).count()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 60);
    assert!(counts.iter().all(|count| (8..=36).contains(count)), "{counts:?}");
    assert!(ids.into_iter().all(|id| wire[a].connect_result(id) == Ok(())));
    // When one goes the others serve all.
    wire.close(b, all[0]);
    let late: Vec<_> = (0..20).map(|_| wire.connect(a, "10.0.0.2:80")).collect();
    wire.run(std::time::Duration::from_secs(2));
    assert!(late.into_iter().all(|id| wire[a].connect_result(id) == Ok(())));
}

#[test]
fn a_full_queue_says_how_many_it_dropped() {
    let (mut wire, a, b) = Wire::pair();
    let (x, y) = (wire.datagram(a, "10.0.0.1:1"), wire.datagram(b, "10.0.0.2:2"));
    wire[b].set_options(y, Options { recv_buffer: 4096, ..Options::default() }).unwrap();
    let send = |wire: &mut Wire| {
        let now = wire.now();
        let _ = wire[a].send_to(now, x, &[7; 1000], Some(address("10.0.0.2:2"))).unwrap();
        wire.settle();
    };
    let drops = |wire: &mut Wire| {
        let received = wire[b].recv_from(y, &mut [], false).ok()?;
        received.arrival.map(|arrival| arrival.drops)
    };
    (0..5).for_each(|_| send(&mut wire));
    assert_eq!([drops(&mut wire), drops(&mut wire)], [Some(0); 2]);
    send(&mut wire);
    assert_eq!([drops(&mut wire), drops(&mut wire), drops(&mut wire)], [Some(0), Some(2), None]);
}

#[test]
fn an_arrival_knows_its_scope() {
    let (mut wire, a, b) = Wire::pair();
    let y = wire.datagram(b, "[::]:2");
    let x = wire.datagram(a, "[::]:1");
    let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let now = wire.now();
    let _ = wire[a].send_to(now, x, b"all", Some(SocketAddr::new(to.into(), 2))).unwrap();
    wire.settle();
    let arrival = wire[b].recv_from(y, &mut [], false).unwrap().arrival.unwrap();
    assert_eq!((arrival.destination, arrival.interface), (to.into(), InterfaceId::new(2)));
}
