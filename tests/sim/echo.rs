//! ICMP echo and errors (RFC 792, RFC 4443).

use ioth_stack::{Error, Family, Kind};

use crate::wire::{Host, Wire, frames};

fn ping(wire: &mut Wire, from: Host, address: &str, family: Family) -> Vec<u8> {
    let id = wire[from].open(Kind::Echo, family);
    let to = address.parse().unwrap();
    let kind = if family == Family::V4 { 8 } else { 128 };
    let now = wire.now();
    let request = [&[kind, 0, 0xde, 0xad, 0, 0, 0, 7][..], b"payload"].concat();
    assert_eq!(wire[from].send_to(now, id, &request, Some(to)), Ok(request.len()));
    wire.settle();
    let reply = wire.try_received(from, id).unwrap_or_default();
    let now = wire.now();
    wire[from].close(now, id);
    reply
}

#[test]
fn both_sides_answer_in_both_families() {
    let (mut wire, a, b) = Wire::pair();
    for (from, four, six) in [(a, "10.0.0.2:0", "[fd00::2]:0"), (b, "10.0.0.1:0", "[fd00::1]:0")] {
        let reply = ping(&mut wire, from, four, Family::V4);
        assert_eq!((reply[0], &reply[6..]), (0, &b"\0\x07payload"[..]));
        let reply = ping(&mut wire, from, six, Family::V6);
        assert_eq!((reply[0], &reply[6..]), (129, &b"\0\x07payload"[..]));
    }
}

#[test]
fn a_host_answers_itself() {
    let (mut wire, a, _) = Wire::pair();
    for (address, family) in
        [("127.0.0.1:0", Family::V4), ("10.0.0.1:0", Family::V4), ("[::1]:0", Family::V6)]
    {
        assert!(!ping(&mut wire, a, address, family).is_empty(), "{address}");
    }
    assert!(wire.record.is_empty());
}

#[test]
fn the_identifier_is_the_port_icmp_7() {
    let (mut wire, a, _) = Wire::pair();
    let id = wire[a].open(Kind::Echo, Family::V4);
    wire[a].bind(id, "10.0.0.1:4242".parse().unwrap()).unwrap();
    let now = wire.now();
    let to = Some("10.0.0.2:0".parse().unwrap());
    let _ = wire[a].send_to(now, id, &[8, 0, 0, 0, 1, 1, 0, 1], to).unwrap();
    wire.settle();
    assert_eq!(wire.received(a, id)[4..8], [0x10, 0x92, 0, 1]);
}

#[test]
fn an_echo_to_all_is_ignored_rfc_1122_3_2_2_6() {
    let (mut wire, a, b) = Wire::pair();
    let _ = ping(&mut wire, a, "10.0.0.2:0", Family::V4);
    wire.record.clear();
    for destination in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        let request = [8, 0, 0, 0, 0, 1, 0, 1];
        let source = "10.0.0.1".parse().unwrap();
        let bytes = frames::ipv4([0xff; 6], source, destination.parse().unwrap(), 1, &request);
        wire.inject_bytes(b, &bytes);
    }
    wire.settle();
    assert!(wire.record.is_empty(), "{}", wire.show());
}

#[test]
fn nobody_answers_to_a_broadcast_source_rfc_1122_3_2_1_3() {
    let (mut wire, _, b) = Wire::pair();
    let mac = wire.mac(b);
    for source in ["10.0.0.255", "255.255.255.255", "224.0.0.1", "127.0.0.1", "10.0.0.2", "0.0.0.0"] {
        let (source, own) = (source.parse().unwrap(), "10.0.0.2".parse().unwrap());
        wire.inject_bytes(b, &frames::ipv4(mac, source, own, 1, &[8, 0, 0, 0, 0, 1, 0, 1]));
        wire.inject_bytes(b, &frames::ipv4(mac, source, own, 17, &[0, 9, 0, 9, 0, 8, 0, 0]));
        wire.inject_bytes(b, &frames::ipv4(mac, source, own, 99, &[0; 8]));
    }
    wire.settle();
    assert!(wire.record.is_empty(), "{}", wire.show());
}

#[test]
fn a_closed_port_refuses_a_connected_endpoint_rfc_1122_4_1_3_3() {
    let (mut wire, a, _) = Wire::pair();
    for (own, peer) in [("10.0.0.1:5", "10.0.0.2:9"), ("[fd00::1]:5", "[fd00::2]:9")] {
        let id = wire.datagram(a, own);
        let now = wire.now();
        wire[a].connect(now, id, peer.parse().unwrap()).unwrap();
        assert_eq!(wire.send(a, id, b"x"), Ok(1));
        wire.settle();
        assert!(wire[a].readiness(id).error);
        assert_eq!(wire.send(a, id, b"x"), Err(Error::ConnectionRefused));
        // Told once.
        assert_eq!(wire.send(a, id, b"x"), Ok(1));
        wire.close(a, id);
    }
}

#[test]
fn an_unconnected_endpoint_is_not_told_udp_7() {
    let (mut wire, a, _) = Wire::pair();
    let id = wire.datagram(a, "10.0.0.1:5");
    let now = wire.now();
    let _ = wire[a].send_to(now, id, b"x", Some("10.0.0.2:9".parse().unwrap())).unwrap();
    wire.settle();
    assert_eq!(wire[a].take_error(id), None);
}

#[test]
fn an_error_is_never_answered_with_an_error_rfc_1122_3_2_2() {
    let (mut wire, _, b) = Wire::pair();
    let mac = wire.mac(b);
    let quoted = frames::ipv4(mac, "10.0.0.2".parse().unwrap(), "10.0.0.7".parse().unwrap(), 17, &[0; 8]);
    let error = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted[14..]].concat();
    wire.inject_bytes(
        b,
        &frames::ipv4(mac, "10.0.0.7".parse().unwrap(), "10.0.0.2".parse().unwrap(), 1, &error),
    );
    wire.settle();
    assert!(wire.record.is_empty());
}

#[test]
fn errors_are_limited_rfc_1812_4_3_2_8() {
    let (mut wire, _, b) = Wire::pair();
    let mac = wire.mac(b);
    for port in 0..1000u16 {
        let [high, low] = port.to_be_bytes();
        let datagram = [0, 9, high, low, 0, 8, 0, 0];
        let bytes =
            frames::ipv4(mac, "10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), 17, &datagram);
        wire.inject_bytes(b, &bytes);
    }
    wire.settle();
    assert!(wire.sent_by(b).filter(|sent| sent.bytes[12..14] == [8, 0]).count() <= 52);
    assert_eq!(wire[b].counters().udp_no_port, 1000);
}
