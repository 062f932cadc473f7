//! Stations that attack the link: Ethernet, ARP, Neighbour Discovery, and floods of the neighbour table.
//!
//! What must hold whatever they do, [`siege`](crate::siege) says. What they are answered is tested elsewhere: truncated
//! frames of every kind in `hostile`, lies of ARP and claims of our address in `arp` and `addresses`, options of length 0
//! and hop limits in `ndp`, advertisements of routers in `slaac`, redirects in `forwarding::redirects`, super-frames that
//! contradict themselves in `udp_super_frames` and `forwarding::hostile`.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ioth_stack::Assignment;
use ioth_stack::net::{InterfaceId, Testing};

use crate::siege::{Scene, attacks};
use crate::wire::{Host, Wire, frames};

const ETH: InterfaceId = InterfaceId::new(2);
const OWN_V4: [u8; 4] = [10, 0, 0, 2];
const ALL: [u8; 6] = [0xff; 6];
/// Who talks to the victim from 10.0.0.77.
const STRANGER: [u8; 4] = [10, 0, 0, 77];

fn own_v6() -> Ipv6Addr {
    "fd00::2".parse().unwrap()
}

/// A station of its own for each number.
fn mac(number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [2, 0xee, a, b, c, d]
}

/// Addresses that ARP may come from, as many as are wanted, none of them of anybody else here.
fn on_link_v4(number: u32) -> [u8; 4] {
    let [_, x, y, z] = number.to_be_bytes();
    [10, x + 1, y, z]
}

/// Addresses on the link, as many as are wanted.
fn on_link(number: u32) -> Ipv6Addr {
    let [high, low] = [(number >> 16) as u16, number as u16];
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0xbad, high, low)
}

/// An Ethernet frame.
fn frame(to: [u8; 6], from: [u8; 6], ethertype: u16, rest: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), rest].concat()
}

/// ARP: the sender's two addresses, and who is asked for or told.
fn arp(operation: u8, sender_mac: [u8; 6], sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let rest = [&[0, 1, 8, 0, 6, 4, 0, operation][..], &sender_mac, &sender, &[0; 6], &target].concat();
    frame(ALL, sender_mac, 0x0806, &rest)
}

/// A message of Neighbour Discovery from the station `number`, to the victim.
fn discovery(scene: &Scene, source: Ipv6Addr, number: u32, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let to = scene.wire.mac(scene.victim);
    let mut bytes = frames::ipv6(to, source, own_v6(), 58, hop_limit, message);
    bytes[6..12].copy_from_slice(&mac(number));
    bytes
}

/// A solicitation or an advertisement for `target`, with the link-layer address of the station `number`.
fn named(kind: u8, flags: u8, target: Ipv6Addr, number: u32) -> Vec<u8> {
    let option = if kind == 135 { 1 } else { 2 };
    [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &target.octets(), &[option, 1], &mac(number)].concat()
}

/// Asks the victim for its address in the name of somebody.
fn solicits(scene: &mut Scene, source: Ipv6Addr, number: u32) {
    let bytes = discovery(scene, source, number, 255, &named(135, 0, own_v6(), number));
    scene.throws(&bytes);
}

/// Somebody has that address, and somebody wants it.
fn claims(scene: &mut Scene, target: Ipv6Addr, number: u32) {
    for (source, message) in [
        ("fe80::bad".parse().unwrap(), named(136, 0x20, target, number)),
        (Ipv6Addr::UNSPECIFIED, named(135, 0, target, number)[..24].to_vec()),
    ] {
        let mut bytes = discovery(scene, source, number, 255, &message);
        bytes[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
        scene.throws(&bytes);
    }
}

/// An echo request in the name of somebody, who is to be answered.
fn pings(scene: &mut Scene, source: impl Into<IpAddr>, len: usize) {
    let source = source.into();
    let kind = if source.is_ipv4() { 8 } else { 128 };
    let message = [&[kind, 0, 0, 0, 0, 1, 0, 1][..], &vec![7; len]].concat();
    let bytes = scene.packet(source, if source.is_ipv4() { 1 } else { 58 }, &message);
    scene.throws(&bytes);
}

#[test]
fn frames_that_are_hard_to_parse() {
    attacks(&[
        ("runts", |scene, round| {
            let mac = scene.wire.mac(scene.victim);
            for ethertype in [0x0800, 0x0806, 0x86dd, 0x8100] {
                let whole = frame(mac, self::mac(round), ethertype, &[0x45; 60]);
                scene.throws(&whole[..round as usize % whole.len()]);
            }
        }),
        ("802.1Q noise", |scene, round| {
            let inner = scene.packet(STRANGER.into(), 1, &[8, 0, 0, 0, 0, 1, 0, 1]);
            for (ethertype, tags) in [(0x8100, 1), (0x88a8, 1), (0x8100, 2), (0x9100, 7), (0x8100, 300)] {
                // Priority only, any VLAN, the reserved one.
                let identifier = [0, round, 4095][round as usize % 3];
                let tag = [&(identifier as u16).to_be_bytes()[..], &[0x81, 0]].concat().repeat(tags - 1);
                let last = (identifier as u16 | 0xe000).to_be_bytes();
                let rest = [&tag[..], &last, &inner[12..]].concat();
                let bytes = frame(scene.wire.mac(scene.victim), mac(round), ethertype, &rest);
                scene.throws(&bytes[..bytes.len().min(1518)]);
            }
        }),
        ("lengths of 802.3 and types of nobody", |scene, round| {
            let mac = scene.wire.mac(scene.victim);
            let bytes = frame(mac, self::mac(round), (round * 219) as u16, &[0xaa; 100]);
            scene.throws(&bytes);
        }),
        ("giants", |scene, round| {
            for ethertype in [0x0800, 0x0806, 0x86dd] {
                let rest = vec![[0x45, 0x60, 0][round as usize % 3]; 60_000 + round as usize];
                scene.throws(&frame(scene.wire.mac(scene.victim), mac(round), ethertype, &rest));
            }
        }),
        ("from a group, from ourselves, to others", |scene, round| {
            let own = scene.wire.mac(scene.victim);
            let whole = scene.packet(STRANGER.into(), 1, &[8, 0, 0, 0, 0, 1, 0, 1]);
            for (to, from) in [(own, ALL), (own, own), (ALL, own), (mac(round), mac(1)), (own, [1; 6])] {
                scene.throws(&frame(to, from, 0x0800, &whole[14..]));
            }
        }),
    ]);
}

#[test]
fn arp_that_lies() {
    attacks(&[
        ("hlen and plen lies", |scene, round| {
            let whole = arp(1 + (round % 2) as u8, mac(round), STRANGER, OWN_V4);
            for (at, value) in [(18, 0), (18, 255), (19, 0), (19, 16), (14, 6), (16, 0x86), (20, 9), (21, 0)]
            {
                let mut bytes = whole.clone();
                bytes[at] = value;
                scene.throws(&bytes);
                scene.throws(&bytes[..14 + round as usize % 28]);
            }
        }),
        ("unsolicited overwrite of a neighbour", |scene, round| {
            scene.throws(&arp(2, mac(round), STRANGER, STRANGER));
            scene.throws(&arp(1, mac(round + 1), STRANGER, OWN_V4));
            pings(scene, STRANGER, 100);
        }),
        ("addresses that no station has", |scene, _| {
            for from in [ALL, [0; 6], [1, 0, 0x5e, 0, 0, 1], scene.wire.mac(scene.victim)] {
                for sender in [STRANGER, [10, 0, 0, 255], [255; 4], [224, 0, 0, 1], [127, 0, 0, 1], [0; 4]] {
                    scene.throws(&arp(1, from, sender, OWN_V4));
                    scene.throws(&arp(2, from, sender, OWN_V4));
                }
            }
        }),
        ("claims of our address", |scene, round| {
            scene.throws(&arp(2, mac(round), OWN_V4, OWN_V4));
            scene.throws(&arp(1, mac(round), OWN_V4, OWN_V4));
            scene.throws(&arp(1, mac(round), [0; 4], OWN_V4));
        }),
        ("senders against the neighbour table", |scene, round| {
            for at in 0..300 {
                let number = round * 300 + at;
                scene.throws(&arp(1, mac(number), on_link_v4(number), OWN_V4));
            }
        }),
    ]);
}

/// The victim also learns from routers.
fn listens_to_routers(scene: &mut Scene, round: u32) {
    if round == 0 {
        let now = scene.wire.now();
        scene.wire[scene.victim].start_discovery(now, ETH, true);
    }
}

fn router(lifetime: u16, options: &[u8]) -> Vec<u8> {
    let [l0, l1] = lifetime.to_be_bytes();
    [&[134, 0, 0, 0, 64, 0, l0, l1, 0, 0, 0, 1, 0, 0, 0, 1][..], options].concat()
}

#[test]
fn neighbour_discovery_that_lies() {
    attacks(&[
        ("option of length 0", |scene, round| {
            listens_to_routers(scene, round);
            let from = "fe80::bad".parse().unwrap();
            for kind in [134, 135, 136, 137] {
                for option in [&[1, 0, 0, 0, 0, 0, 0, 0][..], &[2, 0], &[1], &[1, 2, 0, 0, 0, 0, 0, 0]] {
                    let own = own_v6().octets();
                    let whole = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &own, &own, option].concat();
                    let bytes = discovery(scene, from, round, 255, &whole);
                    scene.throws(&bytes);
                }
            }
        }),
        ("hop limit other than 255", |scene, round| {
            listens_to_routers(scene, round);
            let from = "fe80::bad".parse().unwrap();
            for message in [router(1800, &[]), named(135, 0, own_v6(), round), named(136, 0x60, from, round)]
            {
                let bytes = discovery(scene, from, round, (round % 255) as u8, &message);
                scene.throws(&bytes);
            }
        }),
        ("a flood of router advertisements", |scene, round| {
            listens_to_routers(scene, round);
            for at in 0..50 {
                let number = round * 50 + at;
                let [x, y] = [(number >> 8) as u8, number as u8];
                let prefix = |kind, words| [kind, words, 64, 0xc0, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff];
                let mut options = prefix(3, 4).to_vec();
                options.extend([0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, x, y, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                options.extend([24, 2, 48, 0, 0, 0, 0, 9, 0x20, 1, 0xd, 0xb8, x, y, 0, 0]);
                // Name servers, many of them, and an MTU.
                options.extend([25, 61, 0, 0, 0, 0, 0, 9]);
                options.extend([&[0x20, 1, 0xd, 0xb8, x, y][..], &[at as u8; 10]].concat().repeat(30));
                options.extend([5, 1, 0, 0, 0, 0, x, y]);
                let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xbad, number as u16);
                let bytes = discovery(scene, from, number, 255, &router(1800, &options));
                scene.throws(&bytes);
            }
        }),
        ("DAD conflict", |scene, round| {
            let now = scene.wire.now();
            if round == 0 {
                scene.wire[scene.victim].set_testing(now, ETH, Testing::Optimistic);
            }
            let fresh = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 7, round as u16);
            let wanted = Assignment::configured(format!("{fresh}/64").parse().unwrap());
            scene.wire[scene.victim].assign(now, ETH, wanted).unwrap();
            claims(scene, fresh, round);
        }),
        ("claims of our address", |scene, round| claims(scene, own_v6(), round)),
        ("redirects", |scene, round| {
            let via = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xbad, round as u16);
            for destination in [on_link(round), "fd00::1".parse().unwrap(), via] {
                let head = [137, 0, 0, 0, 0, 0, 0, 0];
                let message =
                    [&head[..], &via.octets(), &destination.octets(), &[2, 1], &mac(round)].concat();
                let bytes = discovery(scene, "fe80::bad".parse().unwrap(), round, 255, &message);
                scene.throws(&bytes);
            }
            let quoted =
                [&[0x45, 0, 0, 32, 0, 0, 0x40, 0, 63, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1][..], &[0; 8]];
            let message = [&[5, 1, 0, 0, 10, 0, 0, round as u8][..], &quoted.concat()].concat();
            for from in [[10, 0, 0, 1], STRANGER] {
                let bytes = scene.packet(from.into(), 1, &message);
                scene.throws(&bytes);
            }
        }),
        ("unsolicited overwrite of a neighbour", |scene, round| {
            let somebody = on_link(0);
            solicits(scene, somebody, 0);
            let message = named(136, 0x20, somebody, round);
            let bytes = discovery(scene, somebody, round, 255, &message);
            scene.throws(&bytes);
            pings(scene, somebody, 100);
        }),
        ("solicitations against the neighbour table", |scene, round| {
            for at in 0..300 {
                solicits(scene, on_link(round * 300 + at), round * 300 + at);
            }
        }),
        ("pings of stations that do not exist", |scene, round| {
            for at in 0..200 {
                // Each of them often: what waits for one neighbour is bounded, and so is what waits for all.
                pings(scene, on_link((round * 200 + at) % 900), 1400);
            }
        }),
    ]);
}

/// Somebody real, in a flood: who talks to the victim all the time, and who is only now resolved.
fn a_real_neighbour_goes_on_beside(flood: fn(&mut Wire, Host, u32), v6: bool) {
    let (mut wire, real, victim) = Wire::pair();
    let newcomer = wire.host(7, Default::default(), &["10.0.0.9/24", "fd00::9/64"]);
    let (address, other) = if v6 { ("[fd00::2]:80", "[fd00::9]:80") } else { ("10.0.0.2:80", "10.0.0.9:80") };
    let (one, two) = wire.connected(real, victim, address);
    let mut worst = Duration::ZERO;
    let mut new = None;
    for round in 0..1000 {
        for at in 0..100 {
            flood(&mut wire, victim, round * 100 + at);
        }
        if round % 100 == 50 {
            // Longer than a neighbour counts as reachable without a word from it.
            wire.run(Duration::from_secs(40));
            flood(&mut wire, victim, round);
        }
        let start = wire.now();
        assert!(wire.echoes([(real, one), (victim, two)]), "round {round}");
        worst = worst.max(wire.now() - start);
        if round == 500 {
            let listener = wire.listen(newcomer, other, 1);
            let id = wire.connect(victim, other);
            // As fast as a TAP can be written to.
            for at in 0..1000 {
                flood(&mut wire, victim, 200_000 + at);
                wire.run(Duration::from_micros(4));
            }
            assert_eq!(wire[victim].connect_result(id), Ok(()), "4 ms are enough");
            new = Some((id, wire.accept(newcomer, listener)));
        }
        wire.record.clear();
    }
    // A round trip each way, without a second for a neighbour that is asked again.
    assert!(worst < Duration::from_millis(1), "an echo took {worst:?}");
    let (id, accepted) = new.unwrap();
    assert!(wire.echoes([(victim, id), (newcomer, accepted)]));
    let shown = wire[victim].snapshot(wire.now());
    assert!(shown.neighbours.len() <= 2 * 1024, "{} neighbours", shown.neighbours.len());
}

fn arp_flood(wire: &mut Wire, victim: Host, number: u32) {
    wire.inject_bytes(victim, &arp(1, mac(number), on_link_v4(number), OWN_V4));
}

fn solicitation_flood(wire: &mut Wire, victim: Host, number: u32) {
    let message = named(135, 0, own_v6(), number);
    let mut bytes = frames::ipv6(wire.mac(victim), on_link(number), own_v6(), 58, 255, &message);
    bytes[6..12].copy_from_slice(&mac(number));
    wire.inject_bytes(victim, &bytes);
}

/// They say who they are, and then want an answer.
fn ping_flood(wire: &mut Wire, victim: Host, number: u32) {
    solicitation_flood(wire, victim, number);
    let ping = [128, 0, 0, 0, 0, 1, 0, 1];
    let bytes = frames::ipv6(wire.mac(victim), on_link(number), own_v6(), 58, 64, &ping);
    wire.inject_bytes(victim, &bytes);
}

/// They only want an answer, and nobody is there.
fn ghost_flood(wire: &mut Wire, victim: Host, number: u32) {
    let ping = [128, 0, 0, 0, 0, 1, 0, 1];
    let bytes = frames::ipv6(wire.mac(victim), on_link(number), own_v6(), 58, 64, &ping);
    wire.inject_bytes(victim, &bytes);
}

#[test]
fn a_hundred_thousand_senders_of_arp_change_nothing_for_a_real_one() {
    a_real_neighbour_goes_on_beside(arp_flood, false);
}

#[test]
fn a_hundred_thousand_solicitations_change_nothing_for_a_real_one() {
    a_real_neighbour_goes_on_beside(solicitation_flood, true);
}

#[test]
fn a_hundred_thousand_who_want_answers_change_nothing_for_a_real_one() {
    a_real_neighbour_goes_on_beside(ping_flood, true);
}

#[test]
fn a_hundred_thousand_who_are_not_there_change_nothing_for_a_real_one() {
    a_real_neighbour_goes_on_beside(ghost_flood, true);
}

/// RFC 4861 section 7.2.4: whoever asks says where the answer goes; it needs no place in the table, and nobody is asked
/// in turn.
#[test]
fn a_solicitation_makes_the_host_ask_nobody() {
    let (mut wire, _, victim) = Wire::pair();
    for number in 0..100 {
        solicitation_flood(&mut wire, victim, number);
    }
    wire.run(Duration::from_secs(30));
    let kinds: Vec<u8> = wire.sent_by(victim).map(|sent| sent.bytes[54]).collect();
    assert_eq!(kinds, [136; 100]);
}
