//! Which way packets go (RFC 1122 section 3.3.1).

use ioth_stack::net::InterfaceId;
use ioth_stack::{Error, Family, Kind};

use crate::wire::{Port, Wire};

fn on(segment: usize) -> Port {
    Port { segment, ..Port::default() }
}

#[test]
fn the_longest_prefix_wins() {
    let mut wire = Wire::new();
    let a = wire.host(1, on(0), &["10.0.0.1/8"]);
    wire.attach(a, on(1), &["10.1.0.1/16"]);
    let near = wire.host(2, on(1), &["10.1.0.2/16"]);
    let far = wire.host(3, on(0), &["10.2.0.2/8"]);
    let _ = wire.connected(a, near, "10.1.0.2:80");
    assert!(wire.sent_by(a).all(|sent| sent.segment == 1));
    wire.record.clear();
    let (id, _) = wire.connected(a, far, "10.2.0.2:80");
    assert!(wire.sent_by(a).all(|sent| sent.segment == 0));
    assert_eq!(wire[a].local_address(id).unwrap().ip().to_string(), "10.0.0.1");
}

#[test]
fn a_gateway_gets_what_is_not_on_the_link() {
    let (mut wire, a, b) = Wire::pair();
    for (default, gateway, far) in
        [("0.0.0.0/0", "10.0.0.2", "192.0.2.7:9"), ("::/0", "fd00::2", "[2001:db8::7]:9")]
    {
        wire[a].add_route(default.parse().unwrap(), Some(gateway.parse().unwrap()), None, 0).unwrap();
        let id = wire.open(a, Kind::Datagram, far.parse().unwrap());
        let now = wire.now();
        let _ = wire[a].send_to(now, id, b"far", Some(far.parse().unwrap())).unwrap();
        wire.settle();
        let last = wire.sent_by(a).last().unwrap();
        assert_eq!(last.bytes[..6], wire.mac(b));
        assert!(last.bytes.ends_with(b"far"));
        // Hosts do not forward.
        assert_eq!(wire[b].counters().not_for_us, if far.starts_with('[') { 2 } else { 1 });
    }
}

#[test]
fn without_a_route_the_network_is_unreachable() {
    let (mut wire, a, _) = Wire::pair();
    let now = wire.now();
    for (kind, family, far) in [
        (Kind::Stream, Family::V4, "192.0.2.7:9"),
        (Kind::Datagram, Family::V4, "192.0.2.7:9"),
        (Kind::Stream, Family::V6, "[2001:db8::7]:9"),
    ] {
        let id = wire[a].open(kind, family);
        assert_eq!(wire[a].connect(now, id, far.parse().unwrap()), Err(Error::NetworkUnreachable));
        // The same endpoint may try again.
        assert_eq!(wire[a].connect(now, id, far.parse().unwrap()), Err(Error::NetworkUnreachable));
    }
    let id = wire[a].open(Kind::Datagram, Family::V4);
    let to = Some("192.0.2.7:9".parse().unwrap());
    assert_eq!(wire[a].send_to(now, id, b"x", to), Err(Error::NetworkUnreachable));
    assert!(wire.record.is_empty());
}

#[test]
fn a_gateway_that_is_not_on_a_link_is_refused() {
    let (mut wire, a, _) = Wire::pair();
    let far = Some("192.0.2.1".parse().unwrap());
    let default = "0.0.0.0/0".parse().unwrap();
    assert_eq!(wire[a].add_route(default, far, None, 0), Err(Error::NetworkUnreachable));
    let six = Some("fd00::2".parse().unwrap());
    assert_eq!(wire[a].add_route(default, six, None, 0), Err(Error::Invalid));
    let unknown = Some(InterfaceId::new(10));
    assert!(wire[a].add_route(default, None, unknown, 0).is_err());
}

#[test]
fn two_networks_may_use_the_same_addresses() {
    let mut wire = Wire::new();
    let hosts: Vec<_> = (0..2)
        .map(|segment| {
            let client = wire.host(10 + segment as u64, on(segment), &["10.0.0.1/24"]);
            let server = wire.host(20 + segment as u64, on(segment), &["10.0.0.2/24"]);
            (client, server)
        })
        .collect();
    let ends: Vec<_> = hosts.iter().map(|(a, b)| wire.connected(*a, *b, "10.0.0.2:80")).collect();
    for (&(a, b), &(one, other)) in hosts.iter().zip(&ends) {
        assert!(wire.echoes([(a, one), (b, other)]));
    }
    wire.settle();
    assert_eq!(wire[hosts[0].1].counters().tcp_in, wire[hosts[1].1].counters().tcp_in);
}

#[test]
fn a_packet_for_a_foreign_address_is_not_taken() {
    let (mut wire, _, b) = Wire::pair();
    let bytes = crate::wire::frames::ipv4(
        wire.mac(b),
        "10.0.0.1".parse().unwrap(),
        "10.0.0.77".parse().unwrap(),
        1,
        &[8, 0, 0, 0, 0, 0, 0, 0],
    );
    wire.inject_bytes(b, &bytes);
    wire.settle();
    assert!(wire.record.is_empty());
    assert_eq!(wire[b].counters().not_for_us, 1);
}
