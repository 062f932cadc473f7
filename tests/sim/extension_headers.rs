//! IPv6 extension headers (RFC 8200 section 4), and what is said about those that are wrong (RFC 4443 section 3.4).

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::wire::frames::{self, Tcp};
use crate::wire::{Host, Wire};

const PEER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const OWN: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const ALL: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// An echo request.
const PING: [u8; 8] = [128, 0, 0, 0, 0, 0, 0, 0];

/// Host b, which knows host a.
fn scene() -> (Wire, Host) {
    let (mut wire, a, b) = Wire::pair();
    let id = wire.datagram(b, "[fd00::2]:53");
    let _ = wire.datagram(a, "[fd00::1]:9");
    let now = wire.now();
    let _ = wire[b].send_to(now, id, b"hello", Some("[fd00::1]:9".parse().unwrap())).unwrap();
    wire.settle();
    (wire, b)
}

/// Sends a packet with these headers in front of an echo request, and gives type, code and the word behind the checksum
/// of the answers.
fn answers(
    wire: &mut Wire,
    host: Host,
    destination: Ipv6Addr,
    first: u8,
    headers: &[u8],
) -> Vec<(u8, u8, u32)> {
    let ping = &frames::ipv6([0; 6], PEER, destination, 58, 64, &PING)[54..];
    answers_to(wire, host, destination, first, &[headers, ping].concat())
}

fn answers_to(
    wire: &mut Wire,
    host: Host,
    destination: Ipv6Addr,
    first: u8,
    rest: &[u8],
) -> Vec<(u8, u8, u32)> {
    wire.record.clear();
    let mac = if destination.is_multicast() { [0x33, 0x33, 0, 0, 0, 1] } else { wire.mac(host) };
    let mut frame = frames::ipv6(mac, PEER, destination, 59, 64, rest);
    frame[20] = first;
    wire.inject_bytes(host, &frame);
    wire.settle();
    let sent = wire.sent_by(host).filter(|sent| sent.bytes[20] == 58 && sent.bytes[54] < 135);
    sent.map(|sent| {
        let [kind, code, _, _, word @ ..] = sent.bytes[54..].first_chunk::<8>().unwrap();
        // An error quotes the packet.
        assert!(*kind >= 128 || sent.bytes[62..].starts_with(&frame[14..]));
        (*kind, *code, u32::from_be_bytes(*word))
    })
    .collect()
}

const REPLY: (u8, u8, u32) = (129, 0, 0);

#[test]
fn known_headers_are_passed_over_rfc_8200_4_1() {
    let (mut wire, b) = scene();
    let padding = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next: u8| [next, 0, 0, 0, 0, 0, 0, 0];
    for (first, headers) in [
        (0, padding(58).to_vec()),
        (60, padding(58).to_vec()),
        (43, routing(58).to_vec()),
        (0, [padding(60), padding(43), routing(60), padding(58)].concat()),
        // A whole datagram in one fragment.
        (44, vec![58, 0, 0, 0, 0, 0, 0, 7]),
    ] {
        assert_eq!(answers(&mut wire, b, OWN, first, &headers), [REPLY], "{first} {headers:?}");
    }
}

#[test]
fn an_unknown_header_is_named_rfc_8200_4() {
    let (mut wire, b) = scene();
    let padding = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    // A number of nobody, ESP, AH, mobility, ICMP of the other family; hop-by-hop options at the wrong place.
    for next in [99, 50, 51, 135, 1] {
        // So many errors a host gets.
        wire.run(Duration::from_secs(2));
        assert_eq!(answers_to(&mut wire, b, OWN, next, &[0; 8]), [(4, 1, 6)]);
        assert_eq!(answers(&mut wire, b, OWN, 60, &padding(next)), [(4, 1, 40)]);
    }
    assert_eq!(answers(&mut wire, b, OWN, 60, &[padding(0), padding(58)].concat()), [(4, 1, 40)]);
    // Nobody is told when it was to many (RFC 4443 section 2.4 (e)), or when nothing follows (RFC 8200 section 4.7).
    assert_eq!(answers(&mut wire, b, ALL, 60, &padding(99)), []);
    assert_eq!(answers(&mut wire, b, OWN, 60, &padding(59)), []);
    assert_eq!(answers_to(&mut wire, b, OWN, 59, &[]), []);
}

#[test]
fn unknown_options_say_what_to_do_rfc_8200_4_2() {
    let (mut wire, b) = scene();
    for first in [0, 60] {
        let options = |kind: u8| [58, 0, 1, 0, kind, 2, 0, 0];
        assert_eq!(answers(&mut wire, b, OWN, first, &options(0x1e)), [REPLY]);
        assert_eq!(answers(&mut wire, b, OWN, first, &options(0x5e)), []);
        assert_eq!(answers(&mut wire, b, OWN, first, &options(0x9e)), [(4, 2, 44)]);
        assert_eq!(answers(&mut wire, b, OWN, first, &options(0xde)), [(4, 2, 44)]);
        // To many: told of the third kind only.
        assert_eq!(answers(&mut wire, b, ALL, first, &options(0x9e)), [(4, 2, 44)]);
        assert_eq!(answers(&mut wire, b, ALL, first, &options(0xde)), []);
    }
    // Never about an error: this packet says that a port is unreachable.
    assert_eq!(answers_to(&mut wire, b, OWN, 60, &[58, 0, 1, 0, 0x9e, 2, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0]), []);
}

#[test]
fn nobody_routes_by_the_sender_s_wish_rfc_5095() {
    let (mut wire, b) = scene();
    let mut header = vec![58, 2, 0, 1, 0, 0, 0, 0];
    header.extend(PEER.octets());
    assert_eq!(answers(&mut wire, b, OWN, 43, &header), [(4, 0, 42)]);
    assert_eq!(answers(&mut wire, b, ALL, 43, &header), []);
}

#[test]
fn chains_without_end_and_lengths_that_lie() {
    let (mut wire, b) = scene();
    let link = [60, 0, 1, 4, 0, 0, 0, 0];
    assert_eq!(answers(&mut wire, b, OWN, 60, &link.repeat(100)), []);
    assert_eq!(answers(&mut wire, b, OWN, 0, &[58, 9, 1, 4, 0, 0, 0, 0]), []);
    assert_eq!(answers(&mut wire, b, OWN, 0, &[58, 0, 1, 5, 0, 0, 0, 0]), []);
    assert_eq!(answers(&mut wire, b, OWN, 43, &[58, 200, 0, 0, 0, 0, 0, 0]), []);
    assert_eq!(answers_to(&mut wire, b, OWN, 44, &[58, 0, 0, 1]), []);
    assert_eq!(wire[b].counters().malformed, 5);
}

#[test]
fn a_connection_behind_headers() {
    let (mut wire, b) = scene();
    let _ = wire.listen(b, "[fd00::2]:80", 1);
    let syn = Tcp { flags: 2, seq: 7, window: 1000, ..Tcp::default() };
    let segment = &syn.in_frame([0; 6], (PEER, 4000), (OWN, 80))[54..];
    let _ = answers_to(&mut wire, b, OWN, 0, &[&[6, 0, 1, 4, 0, 0, 0, 0], segment].concat());
    let answer = wire.sent_by(b).find_map(|sent| Tcp::parse(&sent.bytes)).unwrap();
    assert_eq!((answer.flags, answer.ack), (18, 8));
}
