//! How much data a segment carries: what a host announces, what it is told, and `TCP_MAXSEG` of tcp(7), with the kernel
//! as the oracle.

use std::time::Duration;

use ioth_stack::{EndpointId, Error, Kind, Options};

use crate::wire::frames::{ACK, SYN, Tcp};
use crate::wire::{Host, Port, Wire};

/// MSS of 1460 (RFC 9293 section 3.7.1).
const MSS_1460: [u8; 4] = [2, 4, 5, 180];

fn limited(max_segment: u16) -> Options {
    Options { max_segment: Some(max_segment), ..Options::default() }
}

/// A connection from a, whose socket has these options, to b, whose listener has those.
fn connected(address: &str, one: Options, other: Options) -> (Wire, (Host, EndpointId), (Host, EndpointId)) {
    let port = Port { offload: true, ..Port::default() };
    let (mut wire, a, b) = Wire::pair_on(port, port);
    let listener = wire.listen(b, address, 8);
    wire[b].set_options(listener, other).unwrap();
    let address = address.parse().unwrap();
    let id = wire.open(a, Kind::Stream, address);
    wire[a].set_options(id, one).unwrap();
    let now = wire.now();
    assert_eq!(wire[a].connect(now, id, address), Err(Error::InProgress));
    let accepted = wire.accept(b, listener);
    (wire, (a, id), (b, accepted))
}

/// The segment sizes that a host announced.
fn announced(wire: &Wire, host: Host) -> Vec<u16> {
    let segments = wire.sent_by(host).filter_map(|sent| Tcp::parse(&sent.bytes));
    let syns = segments.filter(|tcp| tcp.flags & SYN != 0);
    // It is the first option.
    syns.map(|tcp| u16::from_be_bytes([tcp.options[2], tcp.options[3]])).collect()
}

/// Whether the segments of a host that had much to send were of this size, super-frames of several.
fn sends(wire: &mut Wire, (from, id): (Host, EndpointId), (to, peer): (Host, EndpointId), size: usize) {
    assert_eq!(wire[from].segment_size(id), size);
    wire.record.clear();
    assert_eq!(wire.send(from, id, &vec![7; 40 * size]), Ok(40 * size));
    let mut left = 40 * size;
    while left > 0 {
        left -= wire.recv(to, peer).unwrap().len();
    }
    let lengths: Vec<_> = wire
        .sent_by(from)
        .filter_map(|sent| Tcp::parse(&sent.bytes))
        .map(|tcp| tcp.payload.len())
        .filter(|len| *len > 0)
        .collect();
    assert!(lengths.iter().all(|len| len % size == 0), "{lengths:?}");
}

#[test]
fn each_side_says_what_fits_and_keeps_to_what_the_other_says_rfc_9293_3_7_1() {
    for (address, size) in [("10.0.0.2:80", 1460), ("[fd00::2]:80", 1440)] {
        let (mut wire, one, other) = connected(address, Options::default(), Options::default());
        assert_eq!((announced(&wire, one.0), announced(&wire, other.0)), (vec![size], vec![size]));
        sends(&mut wire, one, other, size.into());
    }
}

#[test]
fn a_limit_is_announced_and_kept_by_both_sides_tcp_7() {
    for address in ["10.0.0.2:80", "[fd00::2]:80"] {
        let (mut wire, one, other) = connected(address, limited(1000), Options::default());
        assert_eq!(announced(&wire, one.0), [1000]);
        sends(&mut wire, one, other, 1000);
        sends(&mut wire, other, one, 1000);
    }
}

#[test]
fn a_limit_of_the_listener_holds_for_its_connections_tcp_7() {
    let (mut wire, one, other) = connected("10.0.0.2:80", Options::default(), limited(88));
    assert_eq!((announced(&wire, one.0), announced(&wire, other.0)), (vec![1460], vec![88]));
    sends(&mut wire, one, other, 88);
    sends(&mut wire, other, one, 88);
}

#[test]
fn a_limit_beyond_the_mtu_has_no_effect_tcp_7() {
    let (mut wire, one, other) = connected("10.0.0.2:80", limited(32_767), limited(1461));
    assert_eq!((announced(&wire, one.0), announced(&wire, other.0)), (vec![1460], vec![1460]));
    sends(&mut wire, one, other, 1460);
    sends(&mut wire, other, one, 1460);
}

#[test]
fn a_limit_set_on_a_connection_comes_too_late() {
    // As Linux: it is remembered, and changes nothing.
    let (mut wire, one, other) = connected("10.0.0.2:80", Options::default(), Options::default());
    wire[one.0].set_options(one.1, limited(500)).unwrap();
    sends(&mut wire, one, other, 1460);
}

#[test]
fn a_cookie_announces_the_limit_of_the_listener() {
    let (mut wire, _, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 1);
    wire[b].set_options(listener, limited(700)).unwrap();
    for port in 0..20 {
        let stranger = crate::wire::Stranger::new(&mut wire, b, 5000 + port, 80);
        let syn_ack = stranger.opens(&mut wire, &MSS_1460);
        assert_eq!((syn_ack.flags, &syn_ack.options[..4]), (SYN | ACK, &[2, 4, 2, 188][..]));
    }
    assert!(wire[b].counters().syn_cookies_sent > 5);
}

#[test]
fn what_is_shown_before_and_behind_a_connection() {
    let (mut wire, a, b) = Wire::pair();
    let address = "10.0.0.2:80".parse().unwrap();
    let id = wire.open(a, Kind::Stream, address);
    assert_eq!(wire[a].segment_size(id), 536);
    wire[a].set_options(id, limited(87)).unwrap();
    assert_eq!(wire[a].segment_size(id), 536, "out of range");
    wire[a].set_options(id, limited(2000)).unwrap();
    assert_eq!(wire[a].segment_size(id), 2000);
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    let now = wire.now();
    assert_eq!(wire[a].connect(now, id, address), Err(Error::InProgress));
    assert_eq!(wire[a].segment_size(id), 1460, "what fits");
    let accepted = wire.accept(b, listener);
    assert_eq!(wire[a].segment_size(id), 1460);
    wire[b].abort(now, accepted);
    wire.run(Duration::from_millis(5));
    assert_eq!(wire[a].segment_size(id), 2000, "over");
    let other = wire.connect(a, "10.0.0.2:81");
    assert_eq!(wire[a].segment_size(other), 536, "nobody has said anything");
}
