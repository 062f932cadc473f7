//! Neighbour Discovery (RFC 4861) and the addresses that hosts make themselves.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use ioth_stack::net::InterfaceId;
use ioth_stack::{Error, Family, Kind};

use crate::wire::{Wire, frames};

/// The link-local address of a host's interface 1 (RFC 4291 appendix A).
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

#[test]
fn a_neighbour_is_solicited_at_its_group_rfc_4861_7_2_2() {
    let (mut wire, a, b) = Wire::pair();
    let _ = wire.connected(a, b, "[fd00::2]:80");
    let first = &wire.record[0].bytes;
    assert_eq!(first[..6], [0x33, 0x33, 0xff, 0, 0, 2]);
    assert_eq!((first[20], first[21], first[54]), (58, 255, 135));
}

#[test]
fn a_dead_neighbour_is_asked_three_times_and_connect_fails_rfc_4861_7_2_2() {
    let (mut wire, a, _) = Wire::pair();
    let start = wire.now();
    let id = wire.connect(a, "[fd00::9]:80");
    assert_eq!(wire.connect_result(a, id), Err(Error::HostUnreachable));
    let took = wire.now() - start;
    assert!((Duration::from_millis(2900)..Duration::from_millis(3200)).contains(&took), "{took:?}");
    assert_eq!(wire.record.iter().filter(|sent| sent.bytes[54] == 135).count(), 3);
}

/// The prefix of its network is an address of every router on it.
#[test]
fn a_router_has_the_subnet_router_anycast_address_rfc_4291_2_6_1() {
    let (mut wire, a, router) = Wire::pair();
    wire[router].set_forwarding(true);
    let own = wire.datagram(router, "[::]:9");
    let id = wire[a].open(Kind::Datagram, Family::V6);
    let now = wire.now();
    wire[a].send_to(now, id, b"to any", Some("[fd00::]:9".parse().unwrap())).unwrap();
    wire.settle();
    assert_eq!(wire.received(router, own), b"to any");
    // RFC 4861 section 7.2.7: solicited, of a router, and no override.
    let answer = wire.sent_by(router).find(|sent| sent.bytes[54] == 136).unwrap();
    assert_eq!(answer.bytes[58], 0xc0);
    assert_eq!(answer.bytes[22..38], "fd00::2".parse::<Ipv6Addr>().unwrap().octets());
    // An echo is answered from an address of its own.
    let echo = wire[a].open(Kind::Echo, Family::V6);
    wire[a].send_to(now, echo, &[128, 0, 0, 0, 0, 0, 0, 1], Some("[fd00::]:0".parse().unwrap())).unwrap();
    wire.settle();
    let from = wire[a].recv_from(echo, &mut [0; 100], false).unwrap().from;
    assert_eq!(from.ip(), "fd00::2".parse::<Ipv6Addr>().unwrap());
    // No connection is made with it.
    let _listener = wire.listen(router, "[::]:80", 8);
    let stream = wire.connect(a, "[fd00::]:80");
    assert_eq!(wire.connect_result(a, stream), Err(Error::TimedOut));
}

#[test]
fn a_host_has_none_nor_has_a_router_on_a_line_between_two_rfc_6164_5() {
    let mut wire = Wire::new();
    let a = wire.host(1, Default::default(), &["fd00::1/64", "fd00:1::1/127"]);
    let b = wire.host(2, Default::default(), &["fd00::2/64"]);
    let c = wire.host(3, Default::default(), &["fd00:1::3/127", "fd00:1::1:3/112"]);
    wire[c].set_forwarding(true);
    for (to, reached) in [("[fd00::]:9", false), ("[fd00:1::2]:9", false), ("[fd00:1::1:0]:9", true)] {
        let now = wire.now();
        wire[a].add_route("fd00:1::/112".parse().unwrap(), None, Some(InterfaceId::new(2)), 0).ok();
        wire[a].add_route("fd00:1::1:0/112".parse().unwrap(), None, Some(InterfaceId::new(2)), 0).ok();
        let id = wire[a].open(Kind::Datagram, Family::V6);
        wire.record.clear();
        wire[a].send_to(now, id, b"x", Some(to.parse().unwrap())).unwrap();
        wire.run(Duration::from_secs(4));
        let answered = wire.sent_by(b).chain(wire.sent_by(c)).any(|sent| sent.bytes[54] == 136);
        assert_eq!(answered, reached, "{to}");
    }
}

#[test]
fn a_probe_of_an_address_of_ours_is_answered_to_all_nodes_rfc_4861_7_2_4() {
    let (mut wire, _, b) = Wire::pair();
    let target: Ipv6Addr = "fd00::2".parse().unwrap();
    let group = "ff02::1:ff00:2".parse().unwrap();
    let mut probe = vec![135, 0, 0, 0, 0, 0, 0, 0];
    probe.extend(target.octets());
    let probe = frames::ipv6(wire.mac(b), Ipv6Addr::UNSPECIFIED, group, 58, 255, &probe);
    wire.inject_bytes(b, &probe);
    wire.settle();
    let answer = &wire.record.last().unwrap().bytes;
    assert_eq!(answer[..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(answer[54], 136);
    // Not solicited, and it overrides.
    assert_eq!(answer[58], 0x20);
    assert_eq!(answer[62..78], target.octets());
}

#[test]
fn what_was_forwarded_is_not_believed_rfc_4861_7_1_1() {
    let (mut wire, _, b) = Wire::pair();
    let mut solicitation = vec![135, 0, 0, 0, 0, 0, 0, 0];
    solicitation.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
    let source = "fd00::7".parse().unwrap();
    let bytes = frames::ipv6(wire.mac(b), source, "fd00::2".parse().unwrap(), 58, 254, &solicitation);
    wire.inject_bytes(b, &bytes);
    wire.settle();
    assert!(wire.record.is_empty());
    assert_eq!(wire[b].counters().malformed, 1);
}

#[test]
fn an_option_of_length_zero_invalidates_the_message_rfc_4861_4_6() {
    let (mut wire, _, b) = Wire::pair();
    let mut solicitation = vec![135, 0, 0, 0, 0, 0, 0, 0];
    solicitation.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
    solicitation.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    let source = "fd00::7".parse().unwrap();
    let bytes = frames::ipv6(wire.mac(b), source, "fd00::2".parse().unwrap(), 58, 255, &solicitation);
    wire.inject_bytes(b, &bytes);
    wire.settle();
    assert!(wire.record.is_empty());
}

#[test]
fn an_interface_makes_its_link_local_address_itself_rfc_4291_appendix_a() {
    let (wire, a, _) = Wire::pair();
    let own: std::net::IpAddr = link_local(wire.mac(a)).into();
    assert_eq!(wire[a].addresses(InterfaceId::new(2))[0].address(), own);
}

#[test]
fn a_link_local_peer_is_reached_over_the_interface_of_its_scope_rfc_4007_6() {
    let mut wire = Wire::new();
    let a = wire.host(1, Default::default(), &[]);
    let second = wire.attach(a, crate::wire::Port { segment: 1, ..Default::default() }, &[]);
    let b = wire.host(2, crate::wire::Port { segment: 1, ..Default::default() }, &[]);
    let peer = SocketAddr::from(SocketAddrV6::new(link_local(wire.mac(b)), 80, 0, second.index()));
    let listener = wire.listen(b, "[::]:80", 1);
    let id = wire[a].open(Kind::Stream, Family::V6);
    let now = wire.now();
    assert_eq!(wire[a].connect(now, id, peer), Err(Error::InProgress));
    let accepted = wire.accept(b, listener);
    assert!(wire.echoes([(a, id), (b, accepted)]));
    assert_eq!(wire[a].peer_address(id), Ok(peer));
    // The scope of the other end is its own interface.
    let SocketAddr::V6(seen) = wire[b].peer_address(accepted).unwrap() else { panic!("IPv4") };
    assert_eq!(seen.scope_id(), 2);
    assert!(wire.sent_by(a).all(|sent| sent.segment == 1));
}

#[test]
fn a_refusal_goes_back_over_the_link_it_came_from() {
    let mut wire = Wire::new();
    let b = wire.host(2, Default::default(), &[]);
    wire.attach(b, crate::wire::Port { segment: 1, ..Default::default() }, &[]);
    let a = wire.host(1, crate::wire::Port { segment: 1, ..Default::default() }, &[]);
    let second = [2, 0, 0, 0, 1, 2];
    let peer = SocketAddr::from(SocketAddrV6::new(link_local(second), 80, 0, 2));
    let id = wire[a].open(Kind::Stream, Family::V6);
    let now = wire.now();
    assert_eq!(wire[a].connect(now, id, peer), Err(Error::InProgress));
    assert_eq!(wire.connect_result(a, id), Err(Error::ConnectionRefused));
    // An ICMP error too.
    let id = wire[a].open(Kind::Datagram, Family::V6);
    let now = wire.now();
    wire[a].connect(now, id, peer).unwrap();
    assert_eq!(wire.send(a, id, b"x"), Ok(1));
    wire.settle();
    assert_eq!(wire[a].take_error(id), Some(Error::ConnectionRefused));
}
