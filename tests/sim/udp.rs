//! UDP (RFC 768).

use ioth_stack::{Error, Family, Kind, Options};

use crate::wire::Wire;

#[test]
fn datagrams_go_both_ways_with_their_sender() {
    for (one, other) in [("10.0.0.1:1000", "10.0.0.2:2000"), ("[fd00::1]:1000", "[fd00::2]:2000")] {
        let (mut wire, a, b) = Wire::pair();
        let (x, y) = (wire.datagram(a, one), wire.datagram(b, other));
        let now = wire.now();
        assert_eq!(wire[a].send_to(now, x, b"question", Some(other.parse().unwrap())), Ok(8));
        wire.settle();
        let mut buffer = [0; 5];
        let received = wire[b].recv_from(y, &mut buffer, true).unwrap();
        assert_eq!((received.copied, received.len, received.from), (5, 8, one.parse().unwrap()));
        assert_eq!(wire.received(b, y), b"question");
        let now = wire.now();
        assert_eq!(wire[b].send_to(now, y, b"", Some(received.from)), Ok(0));
        wire.settle();
        assert!(wire[a].readiness(x).readable);
        assert_eq!(wire.received(a, x), b"");
        assert_eq!(wire[a].recv_from(x, &mut buffer, false), Err(Error::WouldBlock));
    }
}

#[test]
fn a_connected_endpoint_hears_its_peer_only() {
    let (mut wire, a, b) = Wire::pair();
    let x = wire.datagram(a, "10.0.0.1:1000");
    let (right, wrong) = (wire.datagram(b, "10.0.0.2:2000"), wire.datagram(b, "10.0.0.2:2001"));
    let now = wire.now();
    wire[a].connect(now, x, "10.0.0.2:2000".parse().unwrap()).unwrap();
    for (id, data) in [(wrong, b"wrong"), (right, b"right")] {
        let now = wire.now();
        let _ = wire[b].send_to(now, id, data, Some("10.0.0.1:1000".parse().unwrap())).unwrap();
    }
    wire.settle();
    assert_eq!(wire.received(a, x), b"right");
    assert!(!wire[a].readiness(x).readable);
}

#[test]
fn broadcast_needs_permission_socket_7() {
    let (mut wire, a, b) = Wire::pair();
    let x = wire.datagram(a, "10.0.0.1:1000");
    let (first, second) = (wire.datagram(b, "10.0.0.255:2000"), wire.datagram(b, "10.0.0.2:2000"));
    for to in ["10.0.0.255:2000", "255.255.255.255:2000"] {
        let now = wire.now();
        assert_eq!(wire[a].send_to(now, x, b"all", Some(to.parse().unwrap())), Err(Error::AccessDenied));
    }
    wire[a].set_options(x, Options { broadcast: true, ..Options::default() }).unwrap();
    let now = wire.now();
    assert_eq!(wire[a].send_to(now, x, b"all", Some("10.0.0.255:2000".parse().unwrap())), Ok(3));
    wire.settle();
    assert_eq!(wire.record.last().unwrap().bytes[..6], [0xff; 6]);
    assert_eq!(wire.received(b, first), b"all");
    assert!(!wire[b].readiness(second).readable);
}

#[test]
fn a_datagram_to_all_reaches_everybody_who_listens() {
    let (mut wire, a, b) = Wire::pair();
    let x = wire.datagram(a, "10.0.0.1:1000");
    let listeners: Vec<_> = (0..3)
        .map(|_| {
            let id = wire[b].open(Kind::Datagram, Family::V4);
            wire[b].set_options(id, Options { reuse_address: true, ..Options::default() }).unwrap();
            wire[b].bind(id, "0.0.0.0:2000".parse().unwrap()).unwrap();
            id
        })
        .collect();
    wire[a].set_options(x, Options { broadcast: true, ..Options::default() }).unwrap();
    let now = wire.now();
    let _ = wire[a].send_to(now, x, b"all", Some("255.255.255.255:2000".parse().unwrap())).unwrap();
    wire.settle();
    for id in listeners {
        assert_eq!(wire.received(b, id), b"all");
    }
}

#[test]
fn nobody_hears_an_unheard_broadcast_and_nobody_complains_rfc_1122_4_1_3_1() {
    let (mut wire, a, b) = Wire::pair();
    let x = wire.datagram(a, "10.0.0.1:1000");
    wire[a].set_options(x, Options { broadcast: true, ..Options::default() }).unwrap();
    let now = wire.now();
    let _ = wire[a].send_to(now, x, b"all", Some("10.0.0.255:2000".parse().unwrap())).unwrap();
    wire.settle();
    assert_eq!(wire.sent_by(b).count(), 0);
}

#[test]
fn a_full_queue_drops_and_counts() {
    let (mut wire, a, b) = Wire::pair();
    let (x, y) = (wire.datagram(a, "10.0.0.1:1"), wire.datagram(b, "10.0.0.2:2"));
    wire[b].set_options(y, Options { recv_buffer: 4096, ..Options::default() }).unwrap();
    for _ in 0..10 {
        let now = wire.now();
        let _ = wire[a].send_to(now, x, &[7; 1000], Some("10.0.0.2:2".parse().unwrap())).unwrap();
        wire.settle();
    }
    let counters = *wire[b].counters();
    assert_eq!((counters.udp_in, counters.udp_overflows), (3, 7));
    assert_eq!(std::iter::from_fn(|| wire.try_received(b, y)).count(), 3);
}

#[test]
fn a_dual_stack_endpoint_speaks_ipv4_rfc_3493_3_7() {
    let (mut wire, a, b) = Wire::pair();
    let (x, y) = (wire.datagram(a, "10.0.0.1:1000"), wire.datagram(b, "[::]:2000"));
    let now = wire.now();
    let _ = wire[a].send_to(now, x, b"four", Some("10.0.0.2:2000".parse().unwrap())).unwrap();
    wire.settle();
    let received = wire[b].recv_from(y, &mut [0; 4], false).unwrap();
    assert_eq!(received.from, "[::ffff:10.0.0.1]:1000".parse().unwrap());
    let now = wire.now();
    assert_eq!(wire[b].send_to(now, y, b"back", Some(received.from)), Ok(4));
    wire.settle();
    assert_eq!(wire.received(a, x), b"back");
}

#[test]
fn a_wrong_checksum_is_dropped_and_counted_rfc_1122_4_1_3_4() {
    let (mut wire, a, b) = Wire::pair();
    let (x, y) = (wire.datagram(a, "10.0.0.1:1"), wire.datagram(b, "10.0.0.2:2"));
    let now = wire.now();
    let _ = wire[a].send_to(now, x, b"data", Some("10.0.0.2:2".parse().unwrap())).unwrap();
    wire.settle();
    let mut bytes = wire.record.last().unwrap().bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    wire.inject_bytes(b, &bytes);
    assert_eq!(wire[b].counters().bad_checksum, 1);
    assert_eq!(wire.received(b, y), b"data");
    assert!(!wire[b].readiness(y).readable);
}

#[test]
fn shutdown_ends_a_direction() {
    let (mut wire, a, _) = Wire::pair();
    let x = wire.datagram(a, "10.0.0.1:1");
    let now = wire.now();
    wire[a].connect(now, x, "10.0.0.2:2".parse().unwrap()).unwrap();
    wire[a].shutdown(now, x, ioth_stack::Shutdown::Both).unwrap();
    assert_eq!(wire.send(a, x, b"x"), Err(Error::BrokenPipe));
    assert_eq!(wire[a].recv_from(x, &mut [0; 1], false).map(|received| received.len), Ok(0));
}
