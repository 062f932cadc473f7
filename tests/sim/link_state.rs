//! An interface that is set down and up again: what is forgotten, what stays, and what comes back by itself.

use std::net::IpAddr;
use std::time::Duration;

use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::{Error, Family, Kind};

use crate::wire::{Host, Wire};

const ETH: InterfaceId = InterfaceId::new(2);

fn set_up(wire: &mut Wire, host: Host, up: bool) {
    let now = wire.now();
    wire[host].set_enabled(now, ETH, up).unwrap();
    wire.settle();
}

fn addresses(wire: &Wire, host: Host) -> Vec<String> {
    wire[host].addresses(ETH).iter().map(ToString::to_string).collect()
}

fn routes(wire: &Wire, host: Host) -> Vec<String> {
    let seen = wire[host].snapshot(wire.now());
    let mut all: Vec<_> = seen.routes.iter().map(|route| route.destination.to_string()).collect();
    all.sort();
    all
}

#[test]
fn what_is_forgotten_and_what_comes_back() {
    let (mut wire, a, _) = Wire::pair();
    let gateway: IpAddr = "10.0.0.2".parse().unwrap();
    wire[a].add_route("192.0.2.0/24".parse().unwrap(), Some(gateway), None, 0).unwrap();
    wire[a].add_neighbour(ETH, gateway, Mac::new([2, 0, 0, 0, 0, 9])).unwrap();
    assert_eq!(routes(&wire, a), ["10.0.0.0/24", "192.0.2.0/24", "fd00::/64", "fe80::/64"]);
    set_up(&mut wire, a, false);
    assert_eq!(addresses(&wire, a), ["10.0.0.1/24"]);
    assert!(routes(&wire, a).is_empty());
    assert!(wire[a].snapshot(wire.now()).neighbours.is_empty());
    assert_eq!(wire[a].way_to(gateway, None), Err(Error::NetworkUnreachable));
    set_up(&mut wire, a, true);
    assert_eq!(addresses(&wire, a), ["10.0.0.1/24", "fe80::ff:fe00:101/64"]);
    assert_eq!(routes(&wire, a), ["10.0.0.0/24", "fe80::/64"]);
    assert_eq!(wire[a].way_to(gateway, None).map(|(interface, ..)| interface), Ok(ETH));
}

#[test]
fn an_address_of_one_that_is_down_has_its_route_once_it_is_up() {
    let (mut wire, a, _) = Wire::pair();
    set_up(&mut wire, a, false);
    wire[a].add_address(ETH, "10.9.0.1/24".parse().unwrap()).unwrap();
    assert!(routes(&wire, a).is_empty());
    set_up(&mut wire, a, true);
    assert_eq!(routes(&wire, a), ["10.0.0.0/24", "10.9.0.0/24", "fe80::/64"]);
}

#[test]
fn a_connection_outlives_it() {
    let (mut wire, a, b) = Wire::pair();
    let (one, two) = wire.connected(a, b, "10.0.0.2:80");
    set_up(&mut wire, a, false);
    let sent = wire.record.len();
    assert_eq!(wire.send(a, one, b"later"), Ok(5));
    wire.run(Duration::from_secs(5));
    assert_eq!(wire.record.len(), sent);
    set_up(&mut wire, a, true);
    wire.run(Duration::from_secs(10));
    assert_eq!(wire.recv(b, two), Ok(b"later".to_vec()));
    assert!(wire.echoes([(a, one), (b, two)]));
}

#[test]
fn new_ones_find_no_way() {
    let (mut wire, a, _) = Wire::pair();
    set_up(&mut wire, a, false);
    let id = wire[a].open(Kind::Stream, Family::V4);
    let now = wire.now();
    assert_eq!(wire[a].connect(now, id, "10.0.0.2:80".parse().unwrap()), Err(Error::NetworkUnreachable));
    // Its own address is reached over loopback.
    let id = wire[a].open(Kind::Datagram, Family::V4);
    assert_eq!(wire[a].connect(now, id, "10.0.0.1:80".parse().unwrap()), Ok(()));
}

#[test]
fn routers_are_asked_again() {
    let (mut wire, a, _) = Wire::pair();
    let now = wire.now();
    wire[a].start_discovery(now, ETH, false);
    wire.run(Duration::from_secs(60));
    let asked = |wire: &Wire| {
        wire.sent_by(a).filter(|sent| sent.bytes[12..14] == [0x86, 0xdd] && sent.bytes[54] == 133).count()
    };
    let before = asked(&wire);
    assert!(before > 0);
    set_up(&mut wire, a, false);
    wire.run(Duration::from_secs(60));
    assert_eq!(asked(&wire), before);
    set_up(&mut wire, a, true);
    wire.run(Duration::from_secs(5));
    assert!(asked(&wire) > before);
    // Unless that was not wanted any more meanwhile.
    set_up(&mut wire, a, false);
    let (now, before) = (wire.now(), asked(&wire));
    wire[a].stop_discovery(now, ETH);
    set_up(&mut wire, a, true);
    wire.run(Duration::from_secs(5));
    assert_eq!(asked(&wire), before);
}
