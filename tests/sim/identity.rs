//! Sequence numbers (RFC 6528) and ports (RFC 6056) on the wire.

use std::collections::HashSet;
use std::time::Duration;

use crate::wire::{Port, Wire, frames};

/// Ports and sequence numbers of the first ten connects of a host with that secret.
fn starts(seed: u64) -> Vec<(u16, u32)> {
    let mut wire = Wire::new();
    let a = wire.host(seed, Port::default(), &["10.0.0.1/24"]);
    let b = wire.host(99, Port::default(), &["10.0.0.2/24"]);
    for _ in 0..10 {
        let id = wire.connect(a, "10.0.0.2:80");
        assert!(wire.connect_result(a, id).is_err());
    }
    assert!(wire.sent_by(b).count() > 9);
    let syns =
        wire.sent_by(a).filter_map(|sent| frames::Tcp::parse(&sent.bytes)).filter(|tcp| tcp.flags == 2);
    syns.map(|tcp| (tcp.source, tcp.seq)).collect()
}

#[test]
fn two_stacks_never_start_alike() {
    let (one, other) = (starts(1), starts(2));
    assert_eq!((one.len(), other.len()), (10, 10));
    let ports: HashSet<u16> = one.iter().chain(&other).map(|(port, _)| *port).collect();
    let numbers: HashSet<u32> = one.iter().chain(&other).map(|(_, seq)| *seq).collect();
    assert!(ports.len() >= 19 && numbers.len() == 20);
    assert_eq!(starts(1), one);
}

#[test]
fn the_number_of_a_four_tuple_follows_the_clock_rfc_6528_3() {
    let (mut wire, a, b) = Wire::pair();
    let mut numbers = Vec::new();
    for _ in 0..3 {
        wire.record.clear();
        let id = wire[a].open(ioth_stack::Kind::Stream, ioth_stack::Family::V4);
        wire[a].bind(id, "10.0.0.1:5000".parse().unwrap()).unwrap();
        let now = wire.now();
        let _ = wire[a].connect(now, id, "10.0.0.2:80".parse().unwrap());
        assert!(wire.connect_result(a, id).is_err());
        wire.close(a, id);
        let syn = wire.sent_by(a).filter_map(|sent| frames::Tcp::parse(&sent.bytes)).next().unwrap();
        numbers.push((now, syn.seq));
        wire.run(Duration::from_secs(1));
    }
    for pair in numbers.windows(2) {
        let [(earlier, one), (later, other)] = pair else { continue };
        let ticks = (later.as_nanos() / 4000) - (earlier.as_nanos() / 4000);
        assert_eq!(u64::from(other.wrapping_sub(*one)), ticks);
    }
    assert!(wire.sent_by(b).next().is_some());
}

#[test]
fn a_listener_numbers_its_connections_by_their_four_tuples() {
    let (mut wire, a, b) = Wire::pair();
    let _listener = wire.listen(b, "10.0.0.2:80", 8);
    for _ in 0..5 {
        wire.connect(a, "10.0.0.2:80");
    }
    wire.settle();
    let replies = wire.sent_by(b).filter_map(|sent| frames::Tcp::parse(&sent.bytes));
    let numbers: HashSet<u32> = replies.filter(|tcp| tcp.flags == 0x12).map(|tcp| tcp.seq).collect();
    assert_eq!(numbers.len(), 5);
}
