//! Urgent data (RFC 9293 section 3.8.5, RFC 6093): what the header says of it, and what the engine makes of what a peer
//! says.

use std::time::Duration;

use ioth_stack::{EndpointId, Options};

use crate::wire::frames::{ACK, SYN, Tcp, URG};
use crate::wire::{Fate, Host, Port, Stranger, Wire};

/// The segments with data, or about urgent data, that a host sent: where each begins and where it says that urgent
/// data ends, both counted from `first`.
fn pointers(wire: &Wire, host: Host, first: u32) -> Vec<(u32, usize, Option<u32>)> {
    wire.sent_by(host)
        .filter_map(|sent| Tcp::parse(&sent.bytes))
        .filter(|tcp| !tcp.payload.is_empty() || tcp.flags & URG != 0)
        .map(|tcp| {
            let start = tcp.seq.wrapping_sub(first);
            let end = (tcp.flags & URG != 0).then(|| start + u32::from(tcp.urgent));
            assert!(end.is_some() || tcp.urgent == 0);
            (start, tcp.payload.len(), end)
        })
        .collect()
}

/// Sends with the last byte marked, from within the run of the engine.
fn send_urgent(wire: &mut Wire, host: Host, id: EndpointId, data: &[u8]) {
    assert_eq!(wire.send(host, id, data), Ok(data.len()));
    wire[host].mark_urgent(id).unwrap();
}

/// A connection between two engines, and the number of its first byte to come.
fn connected(port: Port) -> (Wire, (Host, EndpointId), (Host, EndpointId), u32) {
    let (mut wire, a, b) = Wire::pair_on(port, port);
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.run(Duration::from_secs(1));
    let syns = wire.sent_by(a).filter_map(|sent| Tcp::parse(&sent.bytes)).find(|tcp| tcp.flags == SYN);
    let first = syns.unwrap().seq.wrapping_add(1);
    wire.record.clear();
    (wire, (a, one), (b, other), first)
}

#[test]
fn the_pointer_points_behind_the_last_urgent_byte_rfc_9293_3_8_5() {
    let (mut wire, (a, one), (b, other), first) = connected(Port::default());
    wire.send(a, one, b"one").unwrap();
    wire.settle();
    send_urgent(&mut wire, a, one, b"two!");
    wire.settle();
    assert_eq!(pointers(&wire, a, first), [(0, 3, None), (3, 4, Some(7))]);
    assert_eq!(wire[b].urgent_mark(other), Some(6));
    // Nothing is urgent any more once it was acknowledged.
    wire.run(Duration::from_millis(100));
    wire.send(a, one, b"three").unwrap();
    wire.settle();
    assert_eq!(pointers(&wire, a, first)[2..], [(7, 5, None)]);
    assert_eq!(wire.recv(b, other).unwrap(), b"onetwo!three");
    assert_eq!(wire[b].urgent_mark(other), None);
}

#[test]
fn urgent_data_does_not_wait_for_company() {
    let (mut wire, (a, one), (b, other), _) = connected(Port::default());
    for options in [Options::default(), Options { cork: true, ..Options::default() }] {
        wire[a].set_options(one, options).unwrap();
        // Without an acknowledgement of the first one Nagle's algorithm would keep the second.
        wire.weather = Box::new(|_| Fate::Late(Duration::from_millis(300)));
        let before = wire.sent_by(a).count();
        send_urgent(&mut wire, a, one, b"!");
        send_urgent(&mut wire, a, one, b"?");
        wire.settle();
        send_urgent(&mut wire, a, one, b"!");
        wire.settle();
        assert_eq!(wire.sent_by(a).count() - before, 2, "{}", wire.show());
        wire.run(Duration::from_secs(2));
        assert_eq!(wire.recv(b, other).unwrap(), b"!?!");
        wire.run(Duration::from_secs(1));
    }
}

#[test]
fn a_mark_far_away_is_told_in_every_segment_in_front_of_it() {
    for port in [Port::default(), Port { offload: true, ..Port::default() }] {
        let (mut wire, (a, one), (b, other), first) = connected(port);
        send_urgent(&mut wire, a, one, &[1; 100_000]);
        let mut received = 0;
        assert!(wire.run_until(Duration::from_secs(30), |wire| {
            received += wire.try_recv(b, other).map_or(0, |data| data.len());
            received == 100_000
        }));
        let said = pointers(&wire, a, first);
        for (start, _, end) in &said {
            // RFC 9293 section 3.1: it has 16 bits.
            assert_eq!(*end, Some((start + 65_535).min(100_000)));
        }
        assert_eq!(said.iter().map(|(_, len, _)| len).sum::<usize>(), 100_000);
        assert!(wire.sent_by(a).all(|sent| sent.bytes.len() <= 14 + usize::from(port.mtu)));
    }
}

#[test]
fn what_is_sent_again_is_still_urgent() {
    let (mut wire, (a, one), (b, other), first) = connected(Port::default());
    wire.weather = Box::new(|_| Fate::Lost);
    send_urgent(&mut wire, a, one, b"help!");
    wire.settle();
    wire.weather = Box::new(|_| Fate::Arrives);
    assert_eq!(wire.recv(b, other).unwrap(), b"help!");
    assert!(pointers(&wire, a, first).len() > 1);
    assert!(pointers(&wire, a, first).iter().all(|said| *said == (0, 5, Some(5))));
}

/// RFC 9293 section 3.10.7.4: urgent pointers are processed when the window is closed, too.
#[test]
fn a_closed_window_does_not_keep_the_news_rfc_9293_3_10_7_4() {
    let (mut wire, (a, one), (b, other), first) = connected(Port::default());
    let mut sent = 0;
    assert!(!wire.run_until(Duration::from_secs(5), |wire| {
        while let Ok(len) = wire.send(a, one, &[7; 10_000]) {
            sent += len;
        }
        false
    }));
    // The peer does not read. Make room in the ring, not in the window.
    let waiting = wire[b].recv_queue(other);
    wire[a].mark_urgent(one).unwrap();
    assert_eq!(wire[b].urgent_mark(other), None);
    wire.record.clear();
    wire.settle();
    assert_eq!(wire[b].urgent_mark(other), Some(waiting + 65_534));
    let told = pointers(&wire, a, first);
    assert_eq!(told.len(), 1, "{}", wire.show());
    assert!(told[0].0 as usize == waiting && told[0].1 == 0);
    // Nor does the loss of it.
    wire.run(Duration::from_secs(300));
    let again = pointers(&wire, a, first)
        .iter()
        .filter(|(start, len, _)| (*start as usize, *len) == (waiting, 0))
        .count();
    assert!(again > 2, "{again}");
    let mut received = 0;
    assert!(wire.run_until(Duration::from_secs(300), |wire| {
        received += wire.try_recv(b, other).map_or(0, |data| data.len());
        received == sent
    }));
    assert_eq!(wire[b].urgent_mark(other), None);
}

/// A connection with somebody who says what the test wants, and the next segment in it.
fn stranger() -> (Wire, Stranger, Host, EndpointId, Tcp) {
    let (mut wire, _, victim) = Wire::pair();
    let listener = wire.listen(victim, "10.0.0.2:80", 8);
    let stranger = Stranger::new(&mut wire, victim, 5000, 80);
    let (id, next) = stranger.connects(&mut wire, listener, &[], 65_535);
    (wire, stranger, victim, id, next)
}

#[test]
fn every_pointer_gives_a_mark_and_takes_no_byte_rfc_6093_6() {
    for (pointer, mark) in [(0, 0), (1, 0), (3, 2), (4, 3), (65_535, 65_534)] {
        let (mut wire, stranger, victim, id, next) = stranger();
        let says = Tcp { flags: ACK | URG, urgent: pointer, payload: b"abc".to_vec(), ..next.clone() };
        stranger.says(&mut wire, &says);
        assert_eq!(wire[victim].urgent_mark(id), Some(mark), "{pointer}");
        // Once more, and an earlier one: the mark stays.
        stranger.says(&mut wire, &says);
        stranger.says(&mut wire, &Tcp { urgent: 1, ..says });
        assert_eq!(wire[victim].urgent_mark(id), Some(mark), "{pointer}");
        assert_eq!(wire.recv(victim, id).unwrap(), b"abc");
        assert_eq!(wire[victim].urgent_mark(id), mark.checked_sub(3), "{pointer}");
        // A later one takes its place.
        stranger.says(&mut wire, &Tcp { flags: ACK | URG, urgent: 65_535, seq: 1003, ..next });
        assert_eq!(wire[victim].urgent_mark(id), Some(65_534));
    }
}

#[test]
fn what_is_not_acceptable_marks_nothing_rfc_9293_3_10_7_4() {
    let (mut wire, stranger, victim, id, next) = stranger();
    let marks = Tcp { flags: ACK | URG, urgent: 1, ..next.clone() };
    for (what, segment) in [
        ("a SYN", Tcp { flags: SYN | URG, ..marks.clone() }),
        ("behind the window", Tcp { seq: marks.seq.wrapping_add(0x1000_0000), ..marks.clone() }),
        ("of long ago", Tcp { seq: marks.seq.wrapping_sub(0x1000_0000), ..marks.clone() }),
        ("an acknowledgement of what was not sent", Tcp { ack: marks.ack.wrapping_add(9), ..marks.clone() }),
        ("without the flag", Tcp { flags: ACK, ..marks.clone() }),
    ] {
        stranger.says(&mut wire, &segment);
        assert_eq!(wire[victim].urgent_mark(id), None, "{what}");
    }
    // What was received is not marked any more.
    stranger.says(&mut wire, &Tcp { payload: b"abc".to_vec(), ..next });
    stranger.says(&mut wire, &Tcp { urgent: 3, ..marks.clone() });
    assert_eq!(wire[victim].urgent_mark(id), None);
    stranger.says(&mut wire, &Tcp { seq: 1003, urgent: 1, ..marks });
    assert_eq!(wire[victim].urgent_mark(id), Some(3));
}
