//! What a receiver offers, and how the rings grow.

use std::time::Duration;

use ioth_stack::{EndpointId, Options};

use crate::loss::{Bad, RING};
use crate::wire::frames::Tcp;
use crate::wire::{Host, Wire};

/// 100 Mbit/s and a round trip of 100 ms: 1.25 MB are under way.
const FAR: &str = "rate:100mbit,delay:50ms,queue:1200k";

/// Mbit/s between an application that sends and one that receives with these options.
fn goodput(sender: Options, receiver: Options) -> f64 {
    let mut bad = Bad::new(FAR);
    let ends = bad.connect_with(80, [sender, receiver]);
    // Slow start takes its time.
    bad.pump(&[ends], Duration::from_secs(5));
    bad.pump(&[ends], Duration::from_secs(10))[0] as f64 * 8.0 / 10e6
}

/// Rings that need not grow.
fn fixed() -> Options {
    Options { recv_buffer: RING, send_buffer: RING, recv_limit: 0, send_limit: 0, ..Options::default() }
}

#[test]
fn a_receive_ring_grows_with_what_the_application_takes() {
    let grown = goodput(fixed(), Options::default());
    let fixed = goodput(fixed(), Options { recv_limit: 0, ..Options::default() });
    assert!(grown > 85.0, "{grown}");
    // 512 KiB in 100 ms.
    assert!(fixed < 45.0, "{fixed}");
}

#[test]
fn a_send_ring_grows_with_what_may_be_under_way() {
    let grown = goodput(Options::default(), fixed());
    let fixed = goodput(Options { send_limit: 0, ..Options::default() }, fixed());
    assert!(grown > 80.0, "{grown}");
    assert!(fixed < 45.0, "{fixed}");
}

#[test]
fn a_ring_does_not_grow_for_an_application_that_takes_little() {
    let mut bad = Bad::new(FAR);
    let (one, other) = bad.connect_with(80, [fixed(), Options::default()]);
    let data = vec![7; 1 << 16];
    for _ in 0..30 {
        let now = bad.now();
        while bad.engine(0).send(now, one, &data).is_ok() {}
        let _ = bad.engine(1).recv(now, other, &mut [0; 10_000]);
        let end = now + Duration::from_secs(1);
        while bad.step(end) {}
        assert!(bad.engine(1).recv_queue(other) <= Options::DEFAULT_BUFFER);
    }
    assert!(bad.engine(1).recv_queue(other) > Options::DEFAULT_BUFFER - 2000);
}

#[test]
fn a_set_size_stays() {
    let mut bad = Bad::new(FAR);
    let (one, other) = bad.connect_with(80, [fixed(), Options::default()]);
    let set = Options { recv_limit: 0, ..bad.engine(1).options(other).unwrap() };
    bad.engine(1).set_options(other, set).unwrap();
    bad.pump(&[(one, other)], Duration::from_secs(5));
    let reached = bad.pump(&[(one, other)], Duration::from_secs(10))[0] as f64 * 8.0 / 10e6;
    assert!(reached < 45.0, "{reached}");
}

/// A sender and a receiver whose ring has so many bytes; the peer's window has been filled.
fn filled(ring: usize) -> (Wire, (Host, EndpointId), (Host, EndpointId)) {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 1);
    wire[b]
        .set_options(listener, Options { recv_buffer: ring, recv_limit: 0, ..Options::default() })
        .unwrap();
    let one = wire.connect(a, "10.0.0.2:80");
    let other = wire.accept(b, listener);
    assert_eq!(wire.send(a, one, &[7; 200_000]), Ok(200_000));
    // The last bit goes out when the peer is asked for more.
    wire.run(Duration::from_secs(2));
    assert_eq!(wire[b].recv_queue(other), ring);
    wire.record.clear();
    (wire, (a, one), (b, other))
}

/// Where the windows end that a host has offered, in the order in which it did.
fn edges(wire: &Wire, host: Host) -> Vec<u32> {
    let offers = wire.sent_by(host).filter_map(|sent| Tcp::parse(&sent.bytes));
    offers.map(|tcp| tcp.ack.wrapping_add(tcp.window.into())).collect()
}

#[test]
fn a_window_opens_by_a_segment_or_half_of_the_ring_rfc_9293_3_8_6_2_2() {
    for (ring, least) in [(20_000, 1460), (4096, 1460), (65_000, 1460)] {
        let (mut wire, (a, _), (b, other)) = filled(ring);
        let (mut taken, mut small) = (0, 0);
        while taken < 100_000 {
            let now = wire.now();
            taken += wire[b].recv(now, other, &mut [0; 100]).unwrap();
            wire.run(Duration::from_millis(1));
        }
        let edges = edges(&wire, b);
        for pair in edges.windows(2) {
            let step = pair[1].wrapping_sub(pair[0]);
            assert!(step == 0 || step >= least, "{step} of {ring}");
            small += usize::from(step == 0);
        }
        assert!(edges.len() > 20 && small < edges.len());
        let sent = wire.sent_by(a).filter_map(|sent| Tcp::parse(&sent.bytes));
        let lengths: Vec<_> = sent.map(|tcp| tcp.payload.len()).filter(|len| *len > 0).collect();
        let crumbs = lengths.iter().filter(|len| **len < 1000).count();
        assert!(crumbs * 10 < lengths.len(), "{crumbs} of {}", lengths.len());
    }
}

#[test]
fn the_peer_hears_at_once_that_a_closed_window_has_opened() {
    let (mut wire, _, (b, other)) = filled(20_000);
    let now = wire.now();
    assert_eq!(wire[b].recv(now, other, &mut [0; 1459]), Ok(1459));
    wire.settle();
    assert_eq!(edges(&wire, b).len(), 0);
    assert_eq!(wire[b].recv(now, other, &mut [0; 1]), Ok(1));
    wire.settle();
    assert!(!edges(&wire, b).is_empty());
    assert_eq!(wire[b].recv_queue(other), 20_000);
}
