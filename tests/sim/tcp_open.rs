//! TCP connections are made (RFC 9293 section 3.5) and carry bytes.

use std::time::Duration;

use ioth_stack::{Error, Family, Kind, Options};

use crate::wire::{Fate, Wire};

#[test]
fn connect_accept_echo_close() {
    for address in ["10.0.0.2:80", "[fd00::2]:80"] {
        let (mut wire, a, b) = Wire::pair();
        let (one, other) = wire.connected(a, b, address);
        assert!(wire.echoes([(a, one), (b, other)]));
        wire.close(a, one);
        assert_eq!(wire.recv(b, other), Ok(vec![]));
        wire.close(b, other);
        wire.settle();
        assert!(wire[a].is_flushed() && wire[b].is_flushed());
        assert!(!wire[a].has_orphans() && !wire[b].has_orphans());
    }
}

#[test]
fn a_port_without_a_listener_refuses_rfc_9293_3_10_7_1() {
    for address in ["10.0.0.2:80", "[fd00::2]:80"] {
        let (mut wire, a, b) = Wire::pair();
        let id = wire.connect(a, address);
        assert!(wire[a].readiness(id).connecting);
        assert_eq!(wire.connect_result(a, id), Err(Error::ConnectionRefused));
        assert_eq!(wire[b].counters().tcp_resets_out, 1);
        let ready = wire[a].readiness(id);
        assert!(ready.read_closed && ready.write_closed && !ready.connecting);
        assert_eq!(wire.send(a, id, b"x"), Err(Error::BrokenPipe));
        assert_eq!(wire.try_recv(a, id), Ok(vec![]));
    }
}

#[test]
fn an_unanswered_open_is_given_up_tcp_7() {
    let (mut wire, a, b) = Wire::pair();
    let _ = wire.connected(a, b, "10.0.0.2:80");
    wire.weather = Box::new(|_| Fate::Lost);
    // The neighbour is probed and lost as well: keep it out of this.
    wire.weather = Box::new(|bytes| if bytes[12..14] == [8, 6] { Fate::Arrives } else { Fate::Lost });
    let start = wire.now();
    wire.record.clear();
    let id = wire.connect(a, "10.0.0.2:81");
    assert_eq!(wire.connect_result(a, id), Err(Error::TimedOut));
    let took = wire.now() - start;
    assert!((Duration::from_secs(120)..Duration::from_secs(135)).contains(&took), "{took:?}");
    let syns = wire.sent_by(a).filter(|sent| sent.bytes.get(47) == Some(&2)).count();
    assert!((6..9).contains(&syns), "{syns}");
}

#[test]
fn a_lost_handshake_segment_is_sent_again() {
    for lost in 0..3 {
        let (mut wire, a, b) = Wire::pair();
        let listener = wire.listen(b, "10.0.0.2:80", 1);
        let mut number = 0;
        wire.weather = Box::new(move |bytes| {
            let tcp = bytes[12..14] == [8, 0];
            number += usize::from(tcp);
            if tcp && number == lost + 1 { Fate::Lost } else { Fate::Arrives }
        });
        let one = wire.connect(a, "10.0.0.2:80");
        let other = wire.accept(b, listener);
        assert!(wire.echoes([(a, one), (b, other)]), "lost {lost}");
    }
}

#[test]
fn both_may_open_at_once_rfc_9293_3_5() {
    let (mut wire, a, b) = Wire::pair();
    let _ = wire.connected(a, b, "10.0.0.2:80");
    let (one, other) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:2000".parse().unwrap());
    let (x, y) = (wire[a].open(Kind::Stream, Family::V4), wire[b].open(Kind::Stream, Family::V4));
    wire[a].bind(x, one).unwrap();
    wire[b].bind(y, other).unwrap();
    let now = wire.now();
    assert_eq!(wire[a].connect(now, x, other), Err(Error::InProgress));
    assert_eq!(wire[b].connect(now, y, one), Err(Error::InProgress));
    assert_eq!(wire.connect_result(a, x), Ok(()));
    assert_eq!(wire.connect_result(b, y), Ok(()));
    assert!(wire.echoes([(a, x), (b, y)]));
}

#[test]
fn a_dual_stack_listener_takes_both_families_rfc_3493_3_7() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "[::]:80", 8);
    let one = wire.connect(a, "10.0.0.2:80");
    let accepted = wire.accept(b, listener);
    let local = wire[a].local_address(one).unwrap();
    let std::net::IpAddr::V4(address) = local.ip() else { panic!("IPv6") };
    let mapped = (address.to_ipv6_mapped(), local.port()).into();
    assert_eq!(wire[b].peer_address(accepted), Ok(mapped));
    assert_eq!(wire[b].local_address(accepted), Ok("[::ffff:10.0.0.2]:80".parse().unwrap()));
    assert!(wire.echoes([(a, one), (b, accepted)]));
    let six = wire.connect(a, "[fd00::2]:80");
    let accepted = wire.accept(b, listener);
    assert!(wire.echoes([(a, six), (b, accepted)]));
    // Out as well.
    let listener = wire.listen(b, "10.0.0.2:81", 1);
    let id = wire[a].open(Kind::Stream, Family::V6);
    let now = wire.now();
    let _ = wire[a].connect(now, id, "[::ffff:10.0.0.2]:81".parse().unwrap());
    let accepted = wire.accept(b, listener);
    assert!(wire.echoes([(a, id), (b, accepted)]));
}

#[test]
fn a_v6_only_listener_does_not_rfc_3493_5_3() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire[b].open(Kind::Stream, Family::V6);
    wire[b].set_options(listener, Options { v6_only: true, ..Options::default() }).unwrap();
    wire[b].bind(listener, "[::]:80".parse().unwrap()).unwrap();
    wire[b].listen(listener, 8).unwrap();
    let four = wire.connect(a, "10.0.0.2:80");
    assert_eq!(wire.connect_result(a, four), Err(Error::ConnectionRefused));
    let six = wire.connect(a, "[fd00::2]:80");
    assert_eq!(wire.connect_result(a, six), Ok(()));
    // So another may have the IPv4 side.
    let _ = wire.listen(b, "0.0.0.0:80", 1);
}

#[test]
fn the_listener_with_the_address_comes_before_the_wildcard() {
    let (mut wire, a, b) = Wire::pair();
    let reuse = Options { reuse_address: true, ..Options::default() };
    let mut listeners = Vec::new();
    for address in ["0.0.0.0:80", "10.0.0.2:80"] {
        let id = wire[b].open(Kind::Stream, Family::V4);
        wire[b].set_options(id, reuse).unwrap();
        wire[b].bind(id, address.parse().unwrap()).unwrap();
        listeners.push(id);
    }
    // Only one of them may listen, as on Linux.
    wire[b].listen(listeners[1], 1).unwrap();
    assert_eq!(wire[b].listen(listeners[0], 1), Err(Error::AddressInUse));
    let one = wire.connect(a, "10.0.0.2:80");
    let other = wire.accept(b, listeners[1]);
    assert!(wire.echoes([(a, one), (b, other)]));
}

#[test]
fn a_closed_attempt_leaves_nothing() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 4);
    let id = wire.connect(a, "10.0.0.2:80");
    wire.close(a, id);
    wire.run(Duration::from_secs(1));
    assert_eq!(wire[b].accept(listener).err(), Some(Error::WouldBlock));
    assert_eq!(wire[a].connect_result(id), Err(Error::BadEndpoint));
    assert!(!wire[a].has_orphans());
}
