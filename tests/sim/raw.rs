//! Raw endpoints: raw(7), ipv6(7), RFC 3542 section 3.

use std::net::IpAddr;

use ioth_stack::{Family, Kind, Options};

use crate::wire::{Dice, Host, Wire, frames};

/// For experiments (RFC 3692 section 2.1).
const PROTOCOL: u8 = 253;

fn addresses(family: Family) -> (IpAddr, IpAddr) {
    let of = |text: &str| text.parse().unwrap();
    match family {
        Family::V4 => (of("10.0.0.1"), of("10.0.0.2")),
        Family::V6 => (of("fd00::1"), of("fd00::2")),
    }
}

/// A packet from a to b.
fn packet(mac: [u8; 6], family: Family, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match addresses(family) {
        (IpAddr::V4(from), IpAddr::V4(to)) => frames::ipv4(mac, from, to, protocol, payload),
        (IpAddr::V6(from), IpAddr::V6(to)) => frames::ipv6(mac, from, to, protocol, 64, payload),
        _ => unreachable!("both are of one family"),
    }
}

fn known(wire: &mut Wire, a: Host) {
    // Both have each other as neighbours.
    let id = wire[a].open(Kind::Echo, Family::V4);
    let now = wire.now();
    let to = Some("10.0.0.2:0".parse().unwrap());
    let _ = wire[a].send_to(now, id, &[8, 0, 0, 0, 0, 0, 0, 1], to).unwrap();
    wire.settle();
    wire.close(a, id);
    wire.record.clear();
}

#[test]
fn whoever_took_it_speaks_the_protocol_rfc_1122_3_2_2_1() {
    for family in [Family::V4, Family::V6] {
        let (mut wire, a, b) = Wire::pair();
        known(&mut wire, a);
        let bytes = packet(wire.mac(b), family, PROTOCOL, b"anybody?");
        let id = wire[b].open(Kind::Raw(PROTOCOL), family);
        wire.inject_bytes(b, &bytes);
        wire.settle();
        assert!(wire.record.is_empty(), "{}", wire.show());
        assert!(wire.received(b, id).ends_with(b"anybody?"));
        wire.close(b, id);
        wire.inject_bytes(b, &bytes);
        wire.settle();
        // Refused, or the question who is to be told.
        assert!(!wire.record.is_empty());
        assert_eq!((wire[b].counters().unknown_protocols, wire[b].counters().raw_in), (1, 1));
    }
}

#[test]
fn fragments_arrive_as_one_packet_rfc_791_3_2() {
    for family in [Family::V4, Family::V6] {
        let (mut wire, _, b) = Wire::pair();
        let id = wire[b].open(Kind::Raw(PROTOCOL), family);
        let data: Vec<u8> = (0..=255).collect();
        for (offset, more) in [(128, false), (0, true)] {
            let part = frames::Part { identification: 7, offset, more };
            let bytes =
                frames::fragment(wire.mac(b), addresses(family), PROTOCOL, part, &data[offset..offset + 128]);
            wire.inject_bytes(b, &bytes);
        }
        let heard = wire.received(b, id);
        match family {
            Family::V6 => assert_eq!(heard, data),
            Family::V4 => {
                assert_eq!((&heard[..4], &heard[6..8]), (&[0x45, 0, 1, 20][..], &[0, 0][..]));
                assert_eq!(heard[20..], data);
            }
        }
        assert_eq!(wire.try_received(b, id), None);
    }
}

#[test]
fn a_queue_is_bounded_and_counts_what_it_drops() {
    let (mut wire, _, b) = Wire::pair();
    let id = wire[b].open(Kind::Raw(PROTOCOL), Family::V4);
    let options = wire[b].options(id).unwrap();
    wire[b].set_options(id, Options { recv_buffer: 8192, ..options }).unwrap();
    let bytes = packet(wire.mac(b), Family::V4, PROTOCOL, &[0; 1000]);
    for _ in 0..100 {
        wire.inject_bytes(b, &bytes);
    }
    let (heard, lost) = (wire[b].counters().raw_in, wire[b].counters().raw_overflows);
    assert_eq!(heard + lost, 100);
    assert!((5..=8).contains(&heard), "{heard}");
    let mut count = 0;
    while wire.try_received(b, id).is_some() {
        count += 1;
    }
    assert_eq!(count, heard);
}

#[test]
fn a_wrong_checksum_of_icmpv6_is_dropped_rfc_3542_3_1() {
    let (mut wire, _, b) = Wire::pair();
    let id = wire[b].open(Kind::Raw(58), Family::V6);
    let mut bytes = packet(wire.mac(b), Family::V6, 58, &[200, 0, 0, 0, 1, 2, 3, 4]);
    wire.inject_bytes(b, &bytes);
    assert_eq!(wire.received(b, id)[4..], [1, 2, 3, 4]);
    bytes[61] ^= 1;
    wire.inject_bytes(b, &bytes);
    assert_eq!(wire.try_received(b, id), None);
}

#[test]
fn whatever_arrives_nothing_breaks() {
    let (mut wire, _, b) = Wire::pair();
    let mut dice = Dice::new(7);
    let ids: Vec<_> = [0, 1, 17, 58, PROTOCOL]
        .into_iter()
        .flat_map(|protocol| [Family::V4, Family::V6].map(|family| (protocol, family)))
        .map(|(protocol, family)| wire[b].open(Kind::Raw(protocol), family))
        .collect();
    for round in 0..20_000u32 {
        let family = if round % 2 == 0 { Family::V4 } else { Family::V6 };
        let payload: Vec<u8> = (0..dice.below(40)).map(|_| dice.below(256) as u8).collect();
        let protocol = [1, 17, 58, PROTOCOL][dice.below(4)];
        let mut bytes = packet(wire.mac(b), family, protocol, &payload);
        for _ in 0..dice.below(3) {
            let at = 14 + dice.below(bytes.len() - 14);
            bytes[at] = dice.below(256) as u8;
        }
        bytes.truncate(14 + dice.below(bytes.len() - 13));
        wire.inject_bytes(b, &bytes);
        for id in &ids {
            let _ = wire.try_received(b, *id);
        }
    }
}

#[test]
fn whatever_header_is_sent_nothing_breaks() {
    let (mut wire, a, _) = Wire::pair();
    let mut dice = Dice::new(9);
    for (family, own) in [(Family::V4, "10.0.0.1:0"), (Family::V6, "[fd00::1]:0")] {
        let (raw, heard) = (wire[a].open(Kind::Raw(255), family), wire[a].open(Kind::Raw(PROTOCOL), family));
        for _ in 0..5000 {
            let mut data: Vec<u8> = (0..dice.below(80)).map(|_| dice.below(256) as u8).collect();
            if let Some(first) = data.first_mut()
                && dice.below(2) == 0
            {
                *first = if family == Family::V4 { 0x45 } else { 0x60 };
            }
            let now = wire.now();
            let _ = wire[a].send_to(now, raw, &data, Some(own.parse().unwrap()));
            // It stays inside; what it causes may leave.
            while wire[a].poll_transmit(now).is_some() {}
            let _ = wire.try_received(a, heard);
        }
    }
}
