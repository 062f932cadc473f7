//! Anything may arrive: nothing panics, and everybody else is still served.

use std::time::Duration;

use ioth_stack::{EndpointId, Family, Kind};
use proptest::prelude::*;

use crate::feed;
use crate::peer;
use crate::routers;
use crate::wire::{Dice, Host, Port, Wire};

/// An engine under attack on one link, with a bystander on another.
struct Victim {
    wire: Wire,
    host: Host,
    bystander: Host,
    ends: (EndpointId, EndpointId),
}

impl Victim {
    fn new() -> Self {
        let (mut wire, a, b) = Wire::pair();
        let side = Port { segment: 1, ..Port::default() };
        wire.attach(b, side, &["192.168.0.2/24"]);
        let c = wire.host(3, side, &["192.168.0.3/24"]);
        let ends = wire.connected(c, b, "192.168.0.2:22");
        wire.listen(b, "[::]:80", 8);
        wire.datagram(b, "10.0.0.2:53");
        let _ = wire.connect(b, "10.0.0.1:80");
        let _ = wire.connect(a, "10.0.0.2:80");
        wire.settle();
        Self { wire, host: b, bystander: c, ends }
    }

    fn attack(&mut self, frame: &[u8]) {
        self.wire.inject_bytes(self.host, frame);
    }

    /// The bystander is still served, within a second.
    fn is_well(&mut self) {
        let start = self.wire.now();
        self.wire.settle();
        let (one, other) = self.ends;
        assert!(self.wire.echoes([(self.bystander, one), (self.host, other)]));
        let id = self.wire[self.bystander].open(Kind::Echo, Family::V4);
        let now = self.wire.now();
        let to = Some("192.168.0.2:0".parse().unwrap());
        let _ = self.wire[self.bystander].send_to(now, id, &[8, 0, 0, 0, 0, 0, 0, 1], to).unwrap();
        self.wire.settle();
        assert!(self.wire[self.bystander].readiness(id).readable);
        assert!(self.wire.now() - start < Duration::from_secs(1));
        assert_eq!(self.wire[self.host].counters().contained_panics, 0);
    }
}

/// One of every kind of frame, to host b of a pair.
fn valid_frames() -> Vec<Vec<u8>> {
    let (mut wire, a, b) = Wire::pair();
    for (listen, own, peer, echo, family) in [
        ("10.0.0.2:80", "10.0.0.1:9", "10.0.0.2:53", 8, Family::V4),
        ("[fd00::2]:80", "[fd00::1]:9", "[fd00::2]:53", 128, Family::V6),
    ] {
        let (one, other) = wire.connected(a, b, listen);
        assert!(wire.echoes([(a, one), (b, other)]));
        let datagram = wire.datagram(a, own);
        let now = wire.now();
        let _ = wire[a].send_to(now, datagram, b"datagram", Some(peer.parse().unwrap())).unwrap();
        // In two fragments.
        let _ = wire[a].send_to(now, datagram, &[7; 1500], Some(peer.parse().unwrap())).unwrap();
        let id = wire[a].open(Kind::Echo, family);
        let _ = wire[a].send_to(now, id, &[echo, 0, 0, 0, 0, 0, 0, 0], Some(peer.parse().unwrap())).unwrap();
        // An ICMP error to b as well.
        let id = wire.datagram(b, if family == Family::V4 { "10.0.0.2:99" } else { "[fd00::2]:99" });
        let closed = own.replace(":9", ":1").parse().unwrap();
        let _ = wire[b].send_to(now, id, b"nobody", Some(closed)).unwrap();
        wire.close(a, one);
        wire.settle();
        let now = wire.now();
        wire[b].abort(now, other);
        wire.settle();
    }
    let frames: Vec<_> = wire.sent_by(a).map(|sent| sent.bytes.clone()).collect();
    assert!(frames.len() > 15, "{}", frames.len());
    frames
}

#[test]
fn every_truncation_of_every_kind_of_frame() {
    let mut victim = Victim::new();
    for frame in valid_frames() {
        for len in 0..frame.len() {
            victim.attack(&frame[..len]);
            // With right checksums over what is left.
            let mut cut = frame[..len].to_vec();
            feed::checksum::fix(&mut cut);
            victim.attack(&cut);
            // And with lengths that fit it.
            if len > 34 && cut[12..14] == [8, 0] {
                cut[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
            } else if len > 54 && cut[12..14] == [0x86, 0xdd] {
                cut[18..20].copy_from_slice(&((len - 54) as u16).to_be_bytes());
            }
            feed::checksum::fix(&mut cut);
            victim.attack(&cut);
        }
    }
    victim.is_well();
}

#[test]
fn every_byte_of_every_kind_of_frame_changed() {
    let mut victim = Victim::new();
    for frame in valid_frames() {
        for at in 0..frame.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = frame.clone();
                changed[at] = value;
                victim.attack(&changed);
                feed::checksum::fix(&mut changed);
                victim.attack(&changed);
            }
        }
        victim.wire.settle();
    }
    victim.is_well();
}

#[test]
fn every_combination_of_tcp_flags_in_every_state() {
    for flags in 0..64 {
        let mut victim = Victim::new();
        for frame in valid_frames().iter().filter(|frame| frame[12..14] == [8, 0] && frame[23] == 6) {
            let mut frame = frame.clone();
            victim.attack(&frame);
            frame[47] = flags;
            feed::checksum::fix(&mut frame);
            victim.attack(&frame);
        }
        victim.is_well();
    }
}

#[test]
fn a_flood_of_neighbours() {
    let mut victim = Victim::new();
    let mac = victim.wire.mac(victim.host);
    for number in 0..100_000u32 {
        let [_, x, y, z] = number.to_be_bytes();
        let mut arp =
            [&mac[..], &[2, 1, 1, x, y, z], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &[2, 1, 1, x, y, z]].concat();
        arp.extend([10, x, y, z]);
        arp.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
        victim.attack(&arp);
        if number % 1000 == 0 {
            victim.wire.record.clear();
            victim.wire.settle();
        }
    }
    victim.is_well();
}

#[test]
fn an_ack_storm_does_not_start() {
    // Both engines of a pair are told nonsense about their connection: they do not go on alone.
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    assert!(wire.echoes([(a, one), (b, other)]));
    let frames: Vec<_> = wire.record.iter().map(|sent| (sent.from, sent.bytes.clone())).collect();
    for offset in [0u32, 1000, 70_000, 1 << 31] {
        for (from, frame) in &frames {
            if frame[12..14] != [8, 0] {
                continue;
            }
            let mut frame = frame.clone();
            let seq = u32::from_be_bytes(frame[38..42].try_into().unwrap()).wrapping_add(offset);
            frame[38..42].copy_from_slice(&seq.to_be_bytes());
            feed::checksum::fix(&mut frame);
            wire.inject_bytes(if *from == a { b } else { a }, &frame);
        }
    }
    wire.run(Duration::from_secs(5));
    wire.record.clear();
    wire.run(Duration::from_secs(60));
    let tcp = wire.record.iter().filter(|sent| sent.bytes[12..14] == [8, 0]).count();
    assert!(tcp < 5, "{}", wire.show());
}

#[test]
fn what_the_fuzzer_does() {
    let mut dice = Dice::new(1);
    for _ in 0..10_000 {
        let data: Vec<u8> = (0..dice.below(2000)).map(|_| dice.next() as u8).collect();
        feed::run(&data);
    }
}

#[test]
fn what_the_fuzzer_of_peers_does() {
    let mut dice = Dice::new(2);
    for _ in 0..2000 {
        let data: Vec<u8> = (0..dice.below(2000)).map(|_| dice.next() as u8).collect();
        peer::run(&data);
    }
}

#[test]
fn what_the_fuzzer_of_routers_does() {
    let mut dice = Dice::new(3);
    for _ in 0..2000 {
        let data: Vec<u8> = (0..dice.below(2000)).map(|_| dice.next() as u8).collect();
        routers::run(&data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..50)) {
        let mut victim = Victim::new();
        for frame in frames {
            victim.attack(&frame);
            // Behind an Ethernet header for the victim.
            let mac = victim.wire.mac(victim.host);
            for ethertype in [[8, 0], [8, 6], [0x86, 0xdd]] {
                let mut framed = [&mac[..], &[2, 0, 0, 0, 9, 9], &ethertype, &frame].concat();
                victim.attack(&framed);
                feed::checksum::fix(&mut framed);
                victim.attack(&framed);
            }
        }
        victim.is_well();
    }

    #[test]
    fn random_mutations(seed: u64) {
        let mut victim = Victim::new();
        let mut dice = Dice::new(seed);
        let frames = valid_frames();
        for _ in 0..200 {
            let mut frame = frames[dice.below(frames.len())].clone();
            for _ in 0..=dice.below(4) {
                let at = dice.below(frame.len());
                frame[at] = dice.next() as u8;
            }
            if dice.one_in(2) {
                feed::checksum::fix(&mut frame);
            }
            victim.attack(&frame);
            if dice.one_in(10) {
                victim.wire.settle();
            }
        }
        victim.is_well();
    }
}
