//! Datagrams to groups: who gets them, how far they go, and where they come from (RFC 1112, RFC 3678).

use std::net::{IpAddr, SocketAddr};

use ioth_stack::net::InterfaceId;
use ioth_stack::{EndpointId, Engine, Error, Family, Kind, MulticastOptions, Options, SourceChange, Via};

use crate::wire::{Host, Port, Wire};

/// The same in both families.
struct Scene {
    group: &'static str,
    other: &'static str,
    wildcard: &'static str,
    peer: &'static str,
}

const SCENES: [Scene; 2] = [
    Scene { group: "239.1.2.3", other: "239.1.2.4", wildcard: "0.0.0.0", peer: "10.0.0.1" },
    Scene { group: "ff15::1:2:3", other: "ff15::1:2:4", wildcard: "::", peer: "fd00::1" },
];

const PORT: u16 = 5000;

impl Scene {
    fn group(&self) -> IpAddr {
        self.group.parse().unwrap()
    }

    fn peer(&self) -> IpAddr {
        self.peer.parse().unwrap()
    }

    /// A member of the group, bound as programs do it.
    fn member(&self, wire: &mut Wire, host: Host) -> EndpointId {
        let id = self.listener(wire, host);
        let now = wire.now();
        wire[host].join_group(now, id, self.group(), Via::Routes).unwrap();
        id
    }

    /// A socket on the port that is no member.
    fn listener(&self, wire: &mut Wire, host: Host) -> EndpointId {
        let address = SocketAddr::new(self.wildcard.parse().unwrap(), PORT);
        let id = wire.open(host, Kind::Datagram, address);
        wire[host].set_options(id, Options { reuse_address: true, ..Options::default() }).unwrap();
        wire[host].bind(id, address).unwrap();
        id
    }

    fn sender(&self, wire: &mut Wire, host: Host) -> EndpointId {
        wire.open(host, Kind::Datagram, SocketAddr::new(self.peer(), 0))
    }

    fn send(&self, wire: &mut Wire, host: Host, id: EndpointId, data: &[u8]) {
        let now = wire.now();
        let to = SocketAddr::new(self.group(), PORT);
        assert_eq!(wire[host].send_to(now, id, data, Some(to)), Ok(data.len()));
        wire.settle();
    }
}

fn set(engine: &mut Engine, id: EndpointId, change: impl FnOnce(&mut MulticastOptions)) {
    let mut options = engine.options(id).unwrap();
    change(&mut options.multicast);
    engine.set_options(id, options).unwrap();
}

#[test]
fn every_member_on_every_host_gets_a_copy_rfc_1112_7_2() {
    for scene in SCENES {
        let (mut wire, a, b) = Wire::pair();
        let c = wire.host(3, Port::default(), &["10.0.0.3/24", "fd00::3/64"]);
        let x = scene.sender(&mut wire, a);
        let members: Vec<_> = [b, b, c].map(|host| (host, scene.member(&mut wire, host))).to_vec();
        scene.send(&mut wire, a, x, b"to all");
        for (host, id) in members {
            assert_eq!(wire.received(host, id), b"to all");
            assert_eq!(wire.try_received(host, id), None);
        }
    }
}

#[test]
fn a_host_without_members_hears_nothing_rfc_1112_7_2() {
    for scene in SCENES {
        let (mut wire, a, b) = Wire::pair();
        let (x, y) = (scene.sender(&mut wire, a), scene.listener(&mut wire, b));
        scene.send(&mut wire, a, x, b"nobody");
        assert_eq!((wire.try_received(b, y), wire[b].counters().not_for_us), (None, 1));
        // A member of another group does not change that.
        let now = wire.now();
        wire[b].join_group(now, y, scene.other.parse().unwrap(), Via::Routes).unwrap();
        scene.send(&mut wire, a, x, b"nobody");
        assert_eq!((wire.try_received(b, y), wire[b].counters().not_for_us), (None, 2));
    }
}

#[test]
fn who_is_no_member_hears_what_others_joined_unless_told_otherwise_ip_7() {
    for scene in SCENES {
        let (mut wire, a, b) = Wire::pair();
        let x = scene.sender(&mut wire, a);
        let (member, all, own) =
            (scene.member(&mut wire, b), scene.listener(&mut wire, b), scene.listener(&mut wire, b));
        set(&mut wire[b], own, |options| (options.all, options.all_v6) = (false, false));
        scene.send(&mut wire, a, x, b"data");
        let got = [member, all, own].map(|id| wire.try_received(b, id).is_some());
        assert_eq!(got, [true, true, false]);
    }
}

#[test]
fn who_left_hears_nothing_and_so_does_who_is_gone() {
    for scene in SCENES {
        let (mut wire, a, b) = Wire::pair();
        let (x, y, z) = (scene.sender(&mut wire, a), scene.member(&mut wire, b), scene.member(&mut wire, b));
        let now = wire.now();
        wire[b].leave_group(now, y, scene.group(), Via::Routes).unwrap();
        let again = wire[b].leave_group(now, y, scene.group(), Via::Routes);
        assert_eq!(again, Err(Error::AddressNotAvailable));
        // Another's membership is enough for it.
        scene.send(&mut wire, a, x, b"one");
        assert_eq!(wire.received(b, y), b"one");
        wire.close(b, z);
        scene.send(&mut wire, a, x, b"two");
        assert_eq!(wire.try_received(b, y), None);
    }
}

#[test]
fn sources_are_chosen_and_blocked_rfc_3678() {
    for scene in SCENES {
        let (mut wire, a, b) = Wire::pair();
        let (x, y) = (scene.sender(&mut wire, a), scene.listener(&mut wire, b));
        let stranger = if scene.peer().is_ipv4() { "10.0.0.9" } else { "fd00::9" }.parse().unwrap();
        let change = |wire: &mut Wire, source: IpAddr, change: SourceChange| {
            let now = wire.now();
            wire[b].change_source(now, y, scene.group(), Via::Routes, source, change)
        };
        let heard = |wire: &mut Wire| {
            scene.send(wire, a, x, b"data");
            wire.try_received(b, y).is_some()
        };
        assert_eq!(change(&mut wire, scene.peer(), SourceChange::Block), Err(Error::Invalid));
        assert_eq!(change(&mut wire, stranger, SourceChange::Join), Ok(()));
        assert!(!heard(&mut wire));
        assert_eq!(change(&mut wire, scene.peer(), SourceChange::Join), Ok(()));
        assert!(heard(&mut wire));
        assert_eq!(change(&mut wire, scene.peer(), SourceChange::Leave), Ok(()));
        assert!(!heard(&mut wire));
        // The last one: the membership is over.
        assert_eq!(change(&mut wire, stranger, SourceChange::Leave), Ok(()));
        assert_eq!(change(&mut wire, stranger, SourceChange::Leave), Err(Error::Invalid));
        let now = wire.now();
        wire[b].join_group(now, y, scene.group(), Via::Routes).unwrap();
        assert!(heard(&mut wire));
        assert_eq!(change(&mut wire, scene.peer(), SourceChange::Block), Ok(()));
        assert!(!heard(&mut wire));
        assert_eq!(change(&mut wire, scene.peer(), SourceChange::Unblock), Ok(()));
        assert!(heard(&mut wire));
    }
}

#[test]
fn one_members_filter_is_not_anothers_rfc_3376_3_2() {
    for scene in SCENES {
        let (mut wire, a, b) = Wire::pair();
        let (x, all, none) =
            (scene.sender(&mut wire, a), scene.member(&mut wire, b), scene.member(&mut wire, b));
        let now = wire.now();
        let (group, peer) = (scene.group(), scene.peer());
        wire[b].change_source(now, none, group, Via::Routes, peer, SourceChange::Block).unwrap();
        scene.send(&mut wire, a, x, b"data");
        assert_eq!(wire.received(b, all), b"data");
        assert_eq!(wire.try_received(b, none), None);
    }
}

#[test]
fn members_on_the_sending_host_have_it_too_unless_told_otherwise_rfc_1112_6_1() {
    for scene in SCENES {
        let (mut wire, a, b) = Wire::pair();
        let (x, own, other) =
            (scene.sender(&mut wire, a), scene.member(&mut wire, a), scene.member(&mut wire, b));
        // A long one, which leaves in fragments, is one to the sender's own host.
        for len in [4, 4000] {
            scene.send(&mut wire, a, x, &vec![7; len]);
            for (host, id) in [(a, own), (b, other)] {
                assert_eq!(wire.received(host, id).len(), len);
                assert_eq!(wire.try_received(host, id), None);
            }
        }
        set(&mut wire[a], x, |options| (options.loops, options.loops_v6) = (false, false));
        scene.send(&mut wire, a, x, b"data");
        assert_eq!(wire.try_received(a, own), None);
        assert_eq!(wire.received(b, other), b"data");
    }
}

#[test]
fn one_hop_unless_told_otherwise_rfc_1112_6_1_rfc_3493_5_2() {
    for scene in SCENES {
        let (mut wire, a, _) = Wire::pair();
        let (x, own) = (scene.sender(&mut wire, a), scene.member(&mut wire, a));
        let at = if scene.peer().is_ipv4() { 22 } else { 21 };
        let sent = |wire: &mut Wire, hops: Option<u8>| {
            if let Some(hops) = hops {
                set(&mut wire[a], x, |options| (options.ttl, options.hop_limit) = (hops, hops));
            }
            wire.record.clear();
            scene.send(wire, a, x, b"data");
            assert_eq!(wire.received(a, own), b"data");
            wire.sent_by(a).map(|sent| sent.bytes[at]).next()
        };
        assert_eq!(sent(&mut wire, None), Some(1));
        assert_eq!(sent(&mut wire, Some(9)), Some(9));
        // With none it stays on the host.
        assert_eq!(sent(&mut wire, Some(0)), None);
    }
}

#[test]
fn a_group_of_this_host_stays_on_it_rfc_4291_2_7() {
    let (mut wire, a, _) = Wire::pair();
    let id = wire.datagram(a, "[::]:5000");
    let (now, group) = (wire.now(), "ff01::5".parse().unwrap());
    wire[a].join_group(now, id, group, Via::Routes).unwrap();
    let _ = wire[a].send_to(now, id, b"here", Some((group, PORT).into())).unwrap();
    wire.settle();
    assert_eq!(wire.received(a, id), b"here");
    assert_eq!(wire.sent_by(a).count(), 0);
}

#[test]
fn the_interface_is_chosen_by_option_address_or_route_ip_7() {
    let mut wire = Wire::new();
    let a = wire.host(1, Port::default(), &["10.0.0.1/24", "fd00::1/64"]);
    wire.attach(a, Port { segment: 1, ..Port::default() }, &["10.0.1.1/24", "fd00:0:0:1::1/64"]);
    let second = InterfaceId::new(3);
    for scene in SCENES {
        let x = scene.sender(&mut wire, a);
        let sent = |wire: &mut Wire, id| {
            wire.record.clear();
            scene.send(wire, a, id, b"data");
            wire.record.iter().map(|sent| sent.segment).collect::<Vec<_>>()
        };
        assert_eq!(sent(&mut wire, x), [0]);
        set(&mut wire[a], x, |options| {
            (options.interface, options.interface_v6) = (Some(second), Some(second));
        });
        assert_eq!(sent(&mut wire, x), [1]);
        let y = scene.sender(&mut wire, a);
        let network = if scene.peer().is_ipv4() { "224.0.0.0/4" } else { "ff00::/8" }.parse().unwrap();
        wire[a].add_route(network, None, Some(second), 0).unwrap();
        assert_eq!(sent(&mut wire, y), [1]);
    }
    // For IPv4 the address that it is bound to says it, before any route.
    let bound = wire.datagram(a, "10.0.0.1:6000");
    wire.record.clear();
    SCENES[0].send(&mut wire, a, bound, b"data");
    assert_eq!(wire.record[0].segment, 0);
}

#[test]
fn a_membership_is_of_one_interface_rfc_1112_7_1() {
    for scene in SCENES {
        let mut wire = Wire::new();
        let both = wire.host(1, Port::default(), &["10.0.0.1/24", "fd00::1/64"]);
        wire.attach(both, Port { segment: 1, ..Port::default() }, &["10.0.1.1/24", "fd00:0:0:1::1/64"]);
        let near = wire.host(2, Port::default(), &["10.0.0.2/24", "fd00::2/64"]);
        let far = wire.host(3, Port { segment: 1, ..Port::default() }, &["10.0.1.3/24", "fd00:0:0:1::3/64"]);
        let id = scene.listener(&mut wire, both);
        let now = wire.now();
        wire[both].join_group(now, id, scene.group(), Via::Interface(InterfaceId::new(3))).unwrap();
        for (host, heard) in [(near, false), (far, true)] {
            let x = scene.sender(&mut wire, host);
            scene.send(&mut wire, host, x, b"data");
            assert_eq!(wire.try_received(both, id).is_some(), heard);
        }
    }
}

#[test]
fn memberships_are_limited_and_refused_as_on_linux_ip_7() {
    let (mut wire, a, _) = Wire::pair();
    let id = wire.datagram(a, "0.0.0.0:5000");
    let (now, at) = (wire.now(), |last: u8| IpAddr::from([239, 0, 0, last]));
    for last in 0..20 {
        assert_eq!(wire[a].join_group(now, id, at(last), Via::Routes), Ok(()));
    }
    assert_eq!(wire[a].join_group(now, id, at(20), Via::Routes), Err(Error::NoBuffers));
    assert_eq!(wire[a].join_group(now, id, at(0), Via::Routes), Err(Error::AddressInUse));
    assert_eq!(wire[a].join_group(now, id, [10, 0, 0, 9].into(), Via::Routes), Err(Error::Invalid));
    let nowhere = Via::Address([10, 9, 9, 9].into());
    assert_eq!(wire[a].join_group(now, id, at(21), nowhere), Err(Error::NoInterface));
    let nowhere = Via::Interface(InterfaceId::new(8));
    assert_eq!(wire[a].join_group(now, id, at(21), nowhere), Err(Error::NoInterface));
    let stream = wire[a].open(Kind::Stream, Family::V4);
    // As Linux: a stream may be a member, too.
    assert_eq!(wire[a].join_group(now, stream, at(0), Via::Routes), Ok(()));
    for last in 0..10 {
        let source = [10, 0, 1, last].into();
        let blocked = wire[a].change_source(now, id, at(0), Via::Routes, source, SourceChange::Block);
        assert_eq!(blocked, Ok(()));
    }
    let source = [10, 0, 1, 10].into();
    let blocked = wire[a].change_source(now, id, at(0), Via::Routes, source, SourceChange::Block);
    assert_eq!(blocked, Err(Error::NoBuffers));
}
