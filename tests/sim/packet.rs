//! Packet endpoints: packet(7).

use ioth_stack::filter::{Instruction, Program};
use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::packet::{ALL, FrameTo, Passage, Passing};
use ioth_stack::{EndpointId, Error, Family, Framing, Kind, Options};

use crate::wire::{Dice, Host, Port, Wire};

fn open(wire: &mut Wire, host: Host, protocol: u16) -> EndpointId {
    let id = wire[host].open(Kind::Packet(Framing::Frames), Family::V4);
    wire[host].bind_packet(id, None, protocol).unwrap();
    id
}

fn next(wire: &mut Wire, host: Host, id: EndpointId) -> Option<(Vec<u8>, Passage)> {
    let mut room = vec![0; 70_000];
    let received = wire[host].recv_from(id, &mut room, false).ok()?;
    room.truncate(received.copied);
    Some((room, received.arrival.unwrap().link.unwrap()))
}

fn all(wire: &mut Wire, host: Host, id: EndpointId) -> Vec<(Vec<u8>, Passage)> {
    std::iter::from_fn(|| next(wire, host, id)).collect()
}

/// A frame of an experimental type (IEEE 802).
fn frame(to: [u8; 6], data: &[u8]) -> Vec<u8> {
    [&to[..], &[2, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0x88, 0xb5], data].concat()
}

#[test]
fn what_leaves_and_what_comes_is_seen() {
    let (mut wire, a, b) = Wire::pair();
    let (here, there, other) = (open(&mut wire, a, ALL), open(&mut wire, b, ALL), open(&mut wire, b, 0x86dd));
    let (one, two) = (wire.datagram(a, "10.0.0.1:5"), wire.datagram(b, "10.0.0.2:5"));
    let now = wire.now();
    let _ = wire[a].send_to(now, one, b"seen", Some("10.0.0.2:5".parse().unwrap())).unwrap();
    wire.settle();
    assert_eq!(wire.received(b, two), b"seen");
    let sent: Vec<_> = wire.record.iter().map(|sent| (sent.from == a, sent.bytes.clone())).collect();
    assert_eq!(sent.len(), 3, "ARP both ways, the datagram");
    for (host, id, own) in [(a, here, true), (b, there, false)] {
        let seen = all(&mut wire, host, id);
        let bytes: Vec<_> = seen.iter().map(|(bytes, _)| bytes).collect();
        assert_eq!(bytes, sent.iter().map(|(_, bytes)| bytes).collect::<Vec<_>>());
        for ((_, passage), (of_a, _)) in seen.iter().zip(&sent) {
            assert_eq!(passage.kind == Passing::Outgoing, *of_a == own);
        }
    }
    assert_eq!(next(&mut wire, b, other), None);
    assert_eq!(wire[b].counters().packets_shown, 3);
}

#[test]
fn a_super_frame_is_one_long_frame() {
    let port = Port { offload: true, ..Port::default() };
    let (mut wire, a, b) = Wire::pair_on(port, port);
    let (one, two) = wire.connected(a, b, "10.0.0.2:80");
    let (here, there) = (open(&mut wire, a, ALL), open(&mut wire, b, ALL));
    assert_eq!(wire.send(a, one, &[7; 10_000]), Ok(10_000));
    wire.settle();
    assert!(wire.recv(b, two).is_ok());
    for (host, id) in [(a, here), (b, there)] {
        let seen = all(&mut wire, host, id);
        let long: Vec<_> = seen.iter().filter(|(bytes, _)| bytes.len() > 1514).collect();
        assert!(!long.is_empty());
        for (bytes, passage) in long {
            assert!(passage.status.super_frame && passage.len as usize == bytes.len());
            assert!(passage.status.checksum_missing);
        }
    }
}

#[test]
fn the_loopback_interface_shows_both_ways() {
    let (mut wire, a, _) = Wire::pair();
    let here = open(&mut wire, a, ALL);
    let one = wire.datagram(a, "127.0.0.1:5");
    let now = wire.now();
    let _ = wire[a].send_to(now, one, b"self", Some("127.0.0.1:5".parse().unwrap())).unwrap();
    wire.settle();
    let kinds: Vec<_> = all(&mut wire, a, here).into_iter().map(|(_, passage)| passage.kind).collect();
    assert_eq!(kinds, [Passing::Outgoing, Passing::Host]);
    assert_eq!(wire.received(a, one), b"self");
}

#[test]
fn the_loopback_interface_can_be_seen_alone() {
    let (mut wire, a, b) = Wire::pair();
    let here = open(&mut wire, a, ALL);
    wire[a].bind_packet(here, Some(InterfaceId::LOOPBACK), 0).unwrap();
    let link = open(&mut wire, a, ALL);
    wire[a].bind_packet(link, Some(InterfaceId::new(2)), 0).unwrap();
    let one = wire.datagram(a, "127.0.0.1:5");
    let _ = wire.datagram(b, "10.0.0.2:5");
    let two = wire.datagram(a, "10.0.0.1:6");
    let now = wire.now();
    let _ = wire[a].send_to(now, one, b"self", Some("127.0.0.1:5".parse().unwrap())).unwrap();
    let _ = wire[a].send_to(now, two, b"over the link", Some("10.0.0.2:5".parse().unwrap())).unwrap();
    wire.settle();
    let seen = all(&mut wire, a, here);
    assert_eq!(
        seen.iter().map(|(_, passage)| passage.kind).collect::<Vec<_>>(),
        [Passing::Outgoing, Passing::Host]
    );
    assert!(seen.iter().all(|(bytes, passage)| passage.hardware == 772 && bytes[..12] == [0; 12]));
    let seen = all(&mut wire, a, link);
    assert!(!seen.is_empty() && seen.iter().all(|(_, passage)| passage.hardware == 1));
}

#[test]
fn what_is_sent_over_loopback_comes_back() {
    let (mut wire, a, _) = Wire::pair();
    let receiver = wire.datagram(a, "10.0.0.1:5");
    let sender = wire.datagram(a, "10.0.0.1:6");
    let seeing = open(&mut wire, a, ALL);
    let now = wire.now();
    let _ = wire[a].send_to(now, sender, b"again", Some("10.0.0.1:5".parse().unwrap())).unwrap();
    wire.settle();
    assert_eq!(wire.received(a, receiver), b"again");
    let (mut bytes, _) = all(&mut wire, a, seeing).pop().unwrap();
    // A sum that nobody has completed; none at all is allowed (RFC 768).
    bytes[40..42].fill(0);
    let to = FrameTo { interface: InterfaceId::LOOPBACK, protocol: 0, station: Mac::new([0; 6]) };
    for (source, taken) in [(1, None), (9, Some(b"again".to_vec()))] {
        // RFC 1624: the sum in the header follows.
        let sum = u16::from_be_bytes([bytes[24], bytes[25]]);
        let (less, borrowed) = sum.overflowing_sub(u16::from(source - bytes[29]));
        bytes[24..26].copy_from_slice(&(less - u16::from(borrowed)).to_be_bytes());
        bytes[29] = source;
        let now = wire.now();
        assert_eq!(wire[a].send_frame(now, seeing, &bytes, Some(to)), Ok(bytes.len()));
        wire.settle();
        // From an address of its own, it is not believed.
        assert_eq!(wire.try_received(a, receiver), taken);
        // Its sender sees it come, not leave.
        let kinds: Vec<_> = all(&mut wire, a, seeing).into_iter().map(|(_, passage)| passage.kind).collect();
        assert_eq!(kinds, [Passing::Host]);
    }
    let for_others = frame([2, 0, 0, 0, 0, 9], b"for nobody");
    let now = wire.now();
    assert_eq!(wire[a].send_frame(now, seeing, &for_others, Some(to)), Ok(for_others.len()));
    wire.settle();
    assert_eq!(next(&mut wire, a, seeing).map(|(_, passage)| passage.kind), Some(Passing::OtherHost));
}

#[test]
fn frames_of_one_endpoint_are_shown_to_the_others() {
    let (mut wire, a, b) = Wire::pair();
    let (here, beside, there) =
        (open(&mut wire, a, ALL), open(&mut wire, a, ALL), open(&mut wire, b, 0x88b5));
    let bytes = frame(wire.mac(b), b"by hand");
    let to = FrameTo { interface: InterfaceId::new(2), protocol: 0, station: Mac::new([0; 6]) };
    let now = wire.now();
    assert_eq!(wire[a].send_frame(now, here, &bytes, Some(to)), Ok(bytes.len()));
    // Whoever sent it may be gone by then.
    wire.close(a, here);
    // The wire takes frames of known types only.
    let sent = wire[a].poll_transmit(now).unwrap();
    assert_eq!(sent.frame.bytes(), bytes);
    wire.inject(b, sent.frame);
    assert_eq!(next(&mut wire, a, beside).map(|(seen, _)| seen), Some(bytes.clone()));
    assert_eq!(next(&mut wire, b, there).map(|(seen, _)| seen), Some(bytes.clone()));
    assert_eq!(wire[a].send_frame(now, beside, &bytes, None), Err(Error::NoSuchDevice));
    let nowhere = FrameTo { interface: InterfaceId::new(10), ..to };
    assert_eq!(wire[a].send_frame(now, beside, &bytes, Some(nowhere)), Err(Error::NoSuchDevice));
    assert_eq!(wire[a].send_frame(now, beside, &bytes[..13], Some(to)), Err(Error::Invalid));
}

#[test]
fn they_are_shown_as_ss_does() {
    let (mut wire, a, _) = Wire::pair();
    let _all = open(&mut wire, a, ALL);
    let one = wire[a].open(Kind::Packet(Framing::Payloads), Family::V4);
    wire[a].bind_packet(one, Some(InterfaceId::new(2)), 0x0800).unwrap();
    let _raw = wire[a].open(Kind::Raw(253), Family::V4);
    let text = wire[a].snapshot(wire.now()).to_string();
    let rows: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [
        ["p_raw", "UNCONN", "0", "0", "*:*", "*"],
        ["p_dgr", "UNCONN", "0", "0", "[0x800]:eth1", "*"],
        ["raw", "UNCONN", "0", "0", "0.0.0.0:253", "0.0.0.0:*"],
    ] {
        assert!(rows.contains(&row.to_vec()), "{row:?} {text}");
    }
}

#[test]
fn a_queue_is_bounded_and_statistics_tell() {
    let (mut wire, _, b) = Wire::pair();
    let id = open(&mut wire, b, 0x88b5);
    let options = wire[b].options(id).unwrap();
    wire[b].set_options(id, Options { recv_buffer: 8192, ..options }).unwrap();
    let bytes = frame(wire.mac(b), &[0; 1000]);
    for _ in 0..100 {
        wire.inject_bytes(b, &bytes);
    }
    let seen = all(&mut wire, b, id).len() as u32;
    let statistics = wire[b].take_statistics(id).unwrap();
    assert_eq!((statistics.packets, statistics.drops), (100, 100 - seen));
    assert!((5..=8).contains(&seen), "{seen}");
    assert_eq!(wire[b].counters().packet_overflows, u64::from(statistics.drops));
    assert_eq!(wire[b].take_statistics(id).unwrap().packets, 0);
}

#[test]
fn a_tag_stands_beside_the_frame_ieee_802_1q() {
    let (mut wire, _, b) = Wire::pair();
    let id = open(&mut wire, b, 0x88b5);
    let plain = frame(wire.mac(b), b"tagged");
    let mut tagged = plain.clone();
    tagged.splice(12..12, [0x81, 0, 0x20, 5]);
    wire.inject_bytes(b, &tagged);
    let (seen, passage) = next(&mut wire, b, id).unwrap();
    assert_eq!((seen, passage.vlan, passage.protocol), (plain, Some((0x2005, 0x8100)), 0x88b5));
}

#[test]
fn whatever_arrives_nothing_breaks() {
    let (mut wire, _, b) = Wire::pair();
    let mut dice = Dice::new(5);
    let (frames, payloads) =
        (open(&mut wire, b, ALL), wire[b].open(Kind::Packet(Framing::Payloads), Family::V4));
    wire[b].bind_packet(payloads, None, ALL).unwrap();
    let one = |code, k| Instruction { code, jt: 0, jf: 0, k };
    let program = [one(0xb1, 0), one(0x40, 2), one(0x04, 1), one(0x16, 0)];
    wire[b].attach_filter(payloads, Some(Program::new(&program).unwrap())).unwrap();
    for _ in 0..20_000 {
        let len = dice.below(70);
        let mut bytes: Vec<u8> = (0..len).map(|_| dice.below(256) as u8).collect();
        if dice.below(2) == 0 && len >= 14 {
            bytes[12..14].copy_from_slice(&[0x81, 0]);
        }
        wire.inject_bytes(b, &bytes);
        let shown = next(&mut wire, b, frames);
        assert_eq!(shown.is_some(), len >= 14);
        let _ = next(&mut wire, b, payloads);
    }
}
