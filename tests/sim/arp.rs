//! ARP (RFC 826) and what waits for it.

use std::time::Duration;

use ioth_stack::{Error, IpOptions, Options};

use crate::wire::Wire;

const ARP: [u8; 2] = [0x08, 0x06];

fn requests_for(wire: &Wire, last: u8) -> usize {
    let asks = |bytes: &[u8]| bytes[12..14] == ARP && bytes[21] == 1 && bytes[38..42] == [10, 0, 0, last];
    wire.record.iter().filter(|sent| asks(&sent.bytes)).count()
}

#[test]
fn a_neighbour_is_asked_once_and_both_learn_rfc_826() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = (wire.datagram(a, "10.0.0.1:1"), wire.datagram(b, "10.0.0.2:2"));
    let now = wire.now();
    let _ = wire[a].send_to(now, one, b"x", Some("10.0.0.2:2".parse().unwrap())).unwrap();
    wire.settle();
    assert_eq!(wire.received(b, other), b"x");
    let now = wire.now();
    let _ = wire[b].send_to(now, other, b"y", Some("10.0.0.1:1".parse().unwrap())).unwrap();
    wire.settle();
    assert_eq!(wire.received(a, one), b"y");
    assert_eq!((requests_for(&wire, 2), requests_for(&wire, 1)), (1, 0));
}

#[test]
fn a_dead_neighbour_is_asked_three_times_and_connect_fails_rfc_4861_7_2_2() {
    let (mut wire, a, _) = Wire::pair();
    let start = wire.now();
    let id = wire.connect(a, "10.0.0.9:80");
    assert_eq!(wire.connect_result(a, id), Err(Error::HostUnreachable));
    let took = wire.now() - start;
    assert!((Duration::from_millis(2900)..Duration::from_millis(3200)).contains(&took), "{took:?}");
    assert_eq!(requests_for(&wire, 9), 3);
    // The error is told once.
    assert_eq!(wire[a].connect_result(id), Err(Error::ConnectionAborted));
    // Nothing is left behind.
    wire.close(a, id);
    wire.run(Duration::from_secs(300));
    assert_eq!(requests_for(&wire, 9), 3);
}

#[test]
fn a_dead_neighbour_delays_nobody() {
    let (mut wire, a, b) = Wire::pair();
    let _dead: Vec<_> = (100..110).map(|last| wire.connect(a, &format!("10.0.0.{last}:80"))).collect();
    let start = wire.now();
    let _ = wire.connected(a, b, "10.0.0.2:80");
    assert!(wire.now() - start < Duration::from_millis(2));
}

#[test]
fn what_waits_for_a_neighbour_is_bounded() {
    let (mut wire, a, _) = Wire::pair();
    let id = wire.datagram(a, "10.0.0.1:1");
    let (late, mut count) = ("10.0.0.9:9".parse().unwrap(), 0);
    for number in 0..200u8 {
        let now = wire.now();
        count += wire[a].send_to(now, id, &[number], Some(late)).unwrap();
    }
    assert_eq!(count, 200);
    wire.settle();
    let b = wire.host(9, crate::wire::Port::default(), &["10.0.0.9/24"]);
    let other = wire.datagram(b, "10.0.0.9:9");
    wire.run(Duration::from_secs(2));
    // The newest survive (RFC 4861 section 7.2.2).
    let heard: Vec<u8> = std::iter::from_fn(|| wire.try_received(b, other)).map(|data| data[0]).collect();
    assert_eq!(heard, (136..200).collect::<Vec<u8>>());
}

/// As Linux, ip(7): that may go away by itself, so only who asks for all errors is told.
#[test]
fn a_datagram_endpoint_that_asks_hears_of_a_dead_neighbour_ip_7() {
    for (own, peer) in [("10.0.0.1:1", "10.0.0.9:9"), ("[fd00::1]:1", "[fd00::9]:9")] {
        for asks in [false, true] {
            let (mut wire, a, _) = Wire::pair();
            let id = wire.datagram(a, own);
            let ip = IpOptions { queue_errors: asks, queue_errors_v6: asks, ..IpOptions::default() };
            wire[a].set_options(id, Options { ip, ..Options::default() }).unwrap();
            let now = wire.now();
            wire[a].connect(now, id, peer.parse().unwrap()).unwrap();
            assert_eq!(wire.send(a, id, b"x"), Ok(1));
            wire.run(Duration::from_secs(4));
            assert_eq!(wire[a].take_error(id), asks.then_some(Error::HostUnreachable));
        }
    }
}

#[test]
fn an_address_of_ours_is_not_given_away_rfc_5227_2_4() {
    let (mut wire, a, b) = Wire::pair();
    let ends = wire.connected(a, b, "10.0.0.2:80");
    // Somebody claims 10.0.0.2, to its owner.
    let mut claim = [0; 42];
    claim[..14].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 9, 9, 9, 9, 9, 8, 6]);
    claim[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    claim[22..32].copy_from_slice(&[2, 9, 9, 9, 9, 9, 10, 0, 0, 2]);
    claim[38..42].copy_from_slice(&[10, 0, 0, 2]);
    wire.inject_bytes(b, &claim);
    assert!(wire.echoes([(a, ends.0), (b, ends.1)]));
}
