//! When acknowledgements leave: at once, or with an answer of the application (RFC 9293 section 3.8.6.3, and Linux).

use std::time::Duration;

use ioth_stack::{EndpointId, Error, Kind, Options};

use crate::wire::{Host, Stranger, Wire, frames::Tcp};

const LATENCY: Duration = Duration::from_millis(20);

/// A fresh connection; its sides are 20 ms apart.
fn pair() -> (Wire, (Host, EndpointId), (Host, EndpointId)) {
    let (mut wire, a, b) = Wire::pair();
    wire.latency = LATENCY;
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.run(Duration::from_secs(1));
    wire.record.clear();
    (wire, (a, one), (b, other))
}

/// One that has carried questions and answers.
fn interactive() -> (Wire, (Host, EndpointId), (Host, EndpointId)) {
    let (mut wire, one, other) = pair();
    for _ in 0..2 {
        assert!(wire.echoes([one, other]));
    }
    assert!(!wire[one.0].quick_ack(one.1) && !wire[other.0].quick_ack(other.1));
    wire.run(Duration::from_millis(100));
    // The last answer had none, and waited for one.
    assert!(wire[one.0].quick_ack(one.1));
    wire.record.clear();
    (wire, one, other)
}

/// When a host sent segments without data, counted from `start`.
fn bare(wire: &Wire, host: Host, start: ioth_stack::Instant) -> Vec<Duration> {
    wire.sent_by(host)
        .filter(|sent| Tcp::parse(&sent.bytes).is_some_and(|tcp| tcp.payload.is_empty()))
        .map(|sent| sent.at - start)
        .collect()
}

/// How many of these, of 100 bytes each, are acknowledged at once.
fn acknowledged_at_once(wire: &mut Wire, one: (Host, EndpointId), other: (Host, EndpointId)) -> usize {
    let mut count = 0;
    for _ in 0..20 {
        wire.record.clear();
        let start = wire.now();
        assert_eq!(wire.send(one.0, one.1, &[1; 100]), Ok(100));
        wire.run(Duration::from_millis(60));
        let acks = bare(wire, other.0, start);
        assert_eq!(acks.len(), 1, "{}", wire.show());
        count += usize::from(acks[0] == LATENCY);
    }
    count
}

#[test]
fn an_acknowledgement_waits_10_ms_at_most_rfc_9293_3_8_6_3() {
    let (mut wire, (a, one), (b, _)) = interactive();
    let start = wire.now();
    assert_eq!(wire.send(a, one, b"x"), Ok(1));
    wire.run(Duration::from_secs(1));
    let acks = bare(&wire, b, start);
    assert_eq!(acks.len(), 1);
    let delay = acks[0] - LATENCY;
    assert!((Duration::from_millis(9)..Duration::from_millis(12)).contains(&delay), "{delay:?}");
}

#[test]
fn every_second_full_segment_is_acknowledged_at_once_rfc_9293_3_8_6_3() {
    let (mut wire, (a, one), (b, other)) = interactive();
    // Until the congestion window has room for more than one.
    assert_eq!(wire.send(a, one, &[0; 10_000]), Ok(10_000));
    wire.run(Duration::from_secs(1));
    assert_eq!(wire.recv(b, other).unwrap().len(), 10_000);
    wire.record.clear();
    wire[b].set_quick_ack(other, false).unwrap();
    let start = wire.now();
    assert_eq!(wire.send(a, one, &[0; 2 * 1460]), Ok(2920));
    wire.run(Duration::from_secs(1));
    assert_eq!(bare(&wire, b, start), [LATENCY]);
}

#[test]
fn every_second_full_segment_is_one_of_what_the_peer_sends() {
    let (mut wire, a, b) = Wire::pair();
    wire.latency = LATENCY;
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    let limited = Options { max_segment: Some(600), ..Options::default() };
    wire[b].set_options(listener, limited).unwrap();
    let one = wire.connect(a, "10.0.0.2:80");
    let other = wire.accept(b, listener);
    wire[b].set_quick_ack(other, false).unwrap();
    wire.run(Duration::from_secs(1));
    wire.record.clear();
    let start = wire.now();
    assert_eq!(wire.send(a, one, &[0; 2 * 600]), Ok(1200));
    wire.run(Duration::from_millis(100));
    assert_eq!(bare(&wire, b, start), [LATENCY]);
}

#[test]
fn an_answer_carries_the_acknowledgement() {
    let (mut wire, (a, one), (b, other)) = interactive();
    assert_eq!(wire.send(a, one, b"question"), Ok(8));
    assert_eq!(wire.recv(b, other), Ok(b"question".to_vec()));
    assert_eq!(wire.send(b, other, b"answer"), Ok(6));
    wire.run(Duration::from_millis(5));
    assert_eq!(wire.sent_by(b).count(), 1);
}

#[test]
fn a_question_and_its_answer_are_two_frames() {
    let (mut wire, one, other) = pair();
    wire.latency = Duration::from_micros(50);
    assert!(wire.echoes([one, other]));
    // One acknowledgement alone of each side: the first data it heard might have begun a long transfer.
    assert_eq!(wire.record.len(), 4, "{}", wire.show());
    wire.record.clear();
    for _ in 0..1000 {
        assert!(wire.echoes([one, other]));
        wire.run(Duration::from_millis(5));
    }
    assert_eq!(wire.record.len(), 2000);
}

#[test]
fn the_first_16_are_acknowledged_at_once_as_linux_has_it() {
    let (mut wire, one, other) = pair();
    assert_eq!(acknowledged_at_once(&mut wire, one, other), 16);
    assert_eq!(acknowledged_at_once(&mut wire, one, other), 0);
    // Behind a silence the peer's window grows anew.
    wire.run(Duration::from_secs(5));
    assert_eq!(acknowledged_at_once(&mut wire, one, other), 16);
}

#[test]
fn quickack_lets_the_one_go_that_waits_tcp_7() {
    let (mut wire, one, (b, other)) = interactive();
    let start = wire.now();
    assert_eq!(wire.send(one.0, one.1, b"x"), Ok(1));
    wire.run(LATENCY + Duration::from_millis(3));
    assert_eq!(bare(&wire, b, start), []);
    assert_eq!(wire[b].set_quick_ack(other, true), Ok(true));
    wire.run(Duration::from_secs(1));
    assert_eq!(bare(&wire, b, start), [LATENCY + Duration::from_millis(3)]);
    assert_eq!(wire[b].set_quick_ack(other, true), Ok(false), "none waits");
}

#[test]
fn quickack_is_not_for_good_tcp_7() {
    let (mut wire, one, other) = interactive();
    wire[other.0].set_quick_ack(other.1, true).unwrap();
    let start = wire.now();
    assert_eq!(wire.send(one.0, one.1, b"question"), Ok(8));
    assert_eq!(wire.recv(other.0, other.1), Ok(b"question".to_vec()));
    assert_eq!(bare(&wire, other.0, start), [LATENCY]);
    assert_eq!(wire.send(other.0, other.1, b"answer"), Ok(6));
    wire.run(Duration::ZERO);
    assert!(!wire[other.0].quick_ack(other.1));
}

#[test]
fn without_quickack_the_first_ones_wait_too_tcp_7() {
    let (mut wire, one, other) = pair();
    wire[other.0].set_quick_ack(other.1, false).unwrap();
    wire.record.clear();
    let start = wire.now();
    assert_eq!(wire.send(one.0, one.1, b"x"), Ok(1));
    wire.run(LATENCY + Duration::from_millis(9));
    assert_eq!(bare(&wire, other.0, start), []);
}

#[test]
fn quickack_of_a_listener_is_how_its_connections_begin() {
    // As Linux: listen(2) forgets what was said before.
    let (mut wire, a, b) = Wire::pair();
    let address = "10.0.0.2:80".parse().unwrap();
    let listener = wire.open(b, Kind::Stream, address);
    wire[b].set_quick_ack(listener, false).unwrap();
    assert!(!wire[b].quick_ack(listener));
    wire[b].bind(listener, address).unwrap();
    wire[b].listen(listener, 8).unwrap();
    assert!(wire[b].quick_ack(listener));
    for quick in [true, false] {
        wire[b].set_quick_ack(listener, quick).unwrap();
        let _one = wire.connect(a, "10.0.0.2:80");
        let other = wire.accept(b, listener);
        assert_eq!(wire[b].quick_ack(other), quick);
    }
    let gone = wire.open(b, Kind::Stream, address);
    let now = wire.now();
    wire[b].close(now, gone);
    assert_eq!(wire[b].set_quick_ack(gone, true), Err(Error::BadEndpoint));
}

#[test]
fn what_is_over_is_not_acknowledged_any_more() {
    let (mut wire, _, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 1);
    wire[b].set_options(listener, Options { quick_ack: false, ..Options::default() }).unwrap();
    let stranger = Stranger::new(&mut wire, b, 5000, 80);
    let (id, next) = stranger.connects(&mut wire, listener, &[], 65_535);
    stranger.says(&mut wire, &Tcp { payload: vec![7; 10], ..next.clone() });
    stranger.says(&mut wire, &Tcp { flags: 4, seq: 1010, ..next });
    wire.record.clear();
    wire.run(Duration::from_secs(1));
    assert_eq!(wire.sent_by(b).count(), 0, "{}", wire.show());
    assert_eq!(wire.recv(b, id), Ok(vec![7; 10]));
    assert_eq!(wire.recv(b, id), Err(Error::ConnectionReset));
}
