//! Paths with a smaller MTU than their first link (RFC 1191), and who says so (RFC 5927).

use std::net::Ipv4Addr;
use std::time::Duration;

use ioth_stack::EndpointId;

use crate::wire::frames::{ACK, Tcp, ipv4};
use crate::wire::{Fate, Host, Stranger, Wire};

/// An MSS of 1460.
const MSS: [u8; 4] = [2, 4, 5, 180];
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

/// A connection that a stranger has opened to host b with full segments under way, and the first of them.
fn sending() -> (Wire, Host, Stranger, EndpointId, Tcp) {
    let (mut wire, _, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    let stranger = Stranger::new(&mut wire, b, 5000, 80);
    let (id, next) = stranger.connects(&mut wire, listener, &MSS, 65_535);
    assert_eq!(wire.send(b, id, &[7; 20_000]), Ok(20_000));
    let first = stranger.hears(&mut wire).remove(0);
    assert_eq!((first.seq, first.payload.len()), (next.ack, 1460));
    (wire, b, stranger, id, first)
}

/// A router says that a segment of that number was too long.
fn complain(wire: &mut Wire, host: Host, seq: u32, mtu: u16) {
    let mut quoted = vec![0x45, 0, 5, 220, 0, 0, 0x40, 0, 63, 6, 0, 0];
    quoted.extend(OWN.octets());
    quoted.extend(PEER.octets());
    quoted.extend([0, 80, 5000u16.to_be_bytes()[0], 5000u16.to_be_bytes()[1]]);
    quoted.extend(seq.to_be_bytes());
    let mut message = vec![3, 4, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(quoted);
    let mac = wire.mac(host);
    wire.inject_bytes(host, &ipv4(mac, Ipv4Addr::new(10, 0, 0, 254), OWN, 1, &message));
}

/// Payload lengths of what the engine says within a millisecond.
fn lengths(wire: &mut Wire, stranger: &Stranger) -> Vec<(u32, usize)> {
    stranger.hears(wire).iter().map(|tcp| (tcp.seq, tcp.payload.len())).collect()
}

#[test]
fn what_was_too_long_is_sent_again_at_once_and_shorter_rfc_1191_4() {
    let (mut wire, b, stranger, id, first) = sending();
    complain(&mut wire, b, first.seq, 1000);
    let again = lengths(&mut wire, &stranger);
    assert_eq!(again.first(), Some(&(first.seq, 960)), "{again:?}");
    // All of it arrives in such pieces.
    let mut ack = first.seq;
    for _ in 0..100 {
        stranger.says(&mut wire, &Tcp { flags: ACK, seq: 1000, ack, window: 65_535, ..Tcp::default() });
        wire.record.clear();
        wire.run(Duration::from_secs(2));
        for tcp in wire.sent_by(b).filter_map(|sent| Tcp::parse(&sent.bytes)) {
            assert!(tcp.payload.len() <= 960, "{}", tcp.payload.len());
            if tcp.seq == ack {
                ack = ack.wrapping_add(tcp.payload.len() as u32);
            }
        }
    }
    assert_eq!(ack, first.seq.wrapping_add(20_000));
    assert_eq!(wire[b].send_queue(id), 0);
}

#[test]
fn who_does_not_know_what_is_under_way_is_not_believed_rfc_5927_7_2() {
    let (mut wire, b, stranger, _, first) = sending();
    for seq in [first.seq.wrapping_sub(1), first.seq.wrapping_add(100_000), 0] {
        complain(&mut wire, b, seq, 1000);
        assert_eq!(lengths(&mut wire, &stranger), []);
    }
    // Nor is what cannot be.
    complain(&mut wire, b, first.seq, 1500);
    assert_eq!(lengths(&mut wire, &stranger), []);
    let ack =
        Tcp { flags: ACK, seq: 1000, ack: first.seq.wrapping_add(1460), window: 65_535, ..Tcp::default() };
    let next = stranger.asks(&mut wire, &ack);
    assert_eq!(next[0].payload.len(), 1460);
}

#[test]
fn no_path_is_narrower_than_linux_believes() {
    let (mut wire, b, stranger, _, first) = sending();
    complain(&mut wire, b, first.seq, 68);
    assert_eq!(lengths(&mut wire, &stranger)[0], (first.seq, 512));
}

#[test]
fn the_next_connection_knows_rfc_1191_6() {
    let (mut wire, b, _, _, first) = sending();
    complain(&mut wire, b, first.seq, 1000);
    wire.settle();
    wire.record.clear();
    let _ = wire.connect(b, "10.0.0.77:7");
    wire.settle();
    let syn = wire.sent_by(b).filter_map(|sent| Tcp::parse(&sent.bytes)).last().unwrap();
    assert_eq!(syn.options[..4], [2, 4, 3, 192], "an MSS of 960");
}

/// RFC 8899 section 4.3, RFC 2923 section 2.1: long packets vanish, and nobody says so.
#[test]
fn where_long_packets_vanish_shorter_ones_are_tried_rfc_8899_4_3() {
    for (address, widest, narrowed) in
        [("10.0.0.2:80", 1400, 1280), ("10.0.0.2:80", 600, 576), ("[fd00::2]:80", 1400, 1280)]
    {
        let (mut wire, a, b) = Wire::pair();
        let (one, other) = wire.connected(a, b, address);
        wire.weather =
            Box::new(move |frame| if frame.len() > 14 + widest { Fate::Lost } else { Fate::Arrives });
        wire.record.clear();
        assert_eq!(wire.send(a, one, &[7; 200_000]), Ok(200_000));
        let mut received = 0;
        let start = wire.now();
        assert!(wire.run_until(Duration::from_secs(60), |wire| {
            received += wire.try_recv(b, other).map_or(0, |data| data.len());
            received == 200_000
        }));
        let took = wire.now() - start;
        assert!(took < Duration::from_secs(20), "{took:?}");
        // Once the path is known, nothing more is lost.
        let last = wire.sent_by(a).last().unwrap().at;
        let late: Vec<_> = wire.sent_by(a).filter(|sent| sent.at == last).collect();
        assert!(late.iter().all(|sent| sent.bytes.len() <= 14 + narrowed), "{}", late.len());
    }
}

/// A silence alone is no reason: what is short vanishes, too.
#[test]
fn a_dead_path_is_no_narrow_one() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.weather = Box::new(|_| Fate::Lost);
    wire.record.clear();
    assert_eq!(wire.send(a, one, &[7; 100]), Ok(100));
    wire.run(Duration::from_secs(30));
    wire.weather = Box::new(|_| Fate::Arrives);
    assert_eq!(wire.recv(b, other).unwrap().len(), 100);
    assert_eq!(wire.send(a, one, &[7; 20_000]), Ok(20_000));
    wire.record.clear();
    wire.settle();
    let longest = wire.sent_by(a).map(|sent| sent.bytes.len()).max();
    assert_eq!(longest, Some(1514));
}
