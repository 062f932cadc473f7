//! Stacks that are routers (RFC 1812 section 5, RFC 8200 sections 3 and 5): a chain of three between two hosts.

mod chain;
mod hostile;
mod redirects;
mod refused;
mod super_frames;

use std::time::Duration;

use ioth_stack::Kind;
use ioth_stack::net::RouteKind;

use self::chain::{Chain, Error, V4, V6, errors};
use crate::wire::{Port, Wire};

#[test]
fn streams_and_datagrams_pass_three_routers_both_ways() {
    for (own, far) in [("10.0.0.1:9", "10.3.0.1:9"), ("[fd00::1]:9", "[fd00:3::1]:9")] {
        let Chain { mut wire, a, b, routers } = Chain::new();
        let (one, other) = wire.connected(a, b, &far.replace(":9", ":80"));
        assert!(wire.echoes([(a, one), (b, other)]));
        assert_eq!(wire.send(a, one, &[7; 300_000]), Ok(300_000));
        let mut received = 0;
        assert!(wire.run_until(Duration::from_secs(10), |wire| {
            received += wire.try_recv(b, other).map_or(0, |data| data.len());
            received == 300_000
        }));
        let (ours, theirs) = (wire.datagram(a, own), wire.datagram(b, far));
        let now = wire.now();
        let _ = wire[a].send_to(now, ours, b"there", Some(far.parse().unwrap())).unwrap();
        wire.settle();
        assert_eq!(wire.received(b, theirs), b"there");
        let _ = wire[b].send_to(now, theirs, b"back", Some(own.parse().unwrap())).unwrap();
        wire.settle();
        assert_eq!(wire.received(a, ours), b"back");
        for router in routers {
            assert!(wire[router].counters().forwarded > 206);
            assert_eq!(wire[router].counters().not_for_us, 0);
        }
    }
}

#[test]
fn every_router_takes_a_hop_and_says_so_when_there_was_none_rfc_1812_5_3_1_rfc_4443_3_3() {
    for net in [V4, V6] {
        let mut chain = Chain::new();
        // A port where nobody listens ends the way of a traceroute.
        for (hops, from) in (1..=4).zip(["1.254", "2.2", "3.2", ""]) {
            chain.wire.record.clear();
            chain.probe(net, hops, b"probe");
            let host = if hops < 4 { chain.routers[usize::from(hops) - 1] } else { chain.b };
            let said = errors(&chain.wire, host);
            let [Error { kind, code, source, quoted, .. }] = &said[..] else { panic!("{said:?}") };
            assert!(quoted.ends_with(b"probe"));
            let expected = match (hops < 4, net) {
                (true, V4) => (11, 0),
                (true, V6) => (3, 0),
                (false, V4) => (3, 3),
                (false, V6) => (1, 4),
            };
            assert_eq!((*kind, *code), expected, "{from}");
            assert_eq!(*source, chain::speaker(net, hops));
            // It arrives, over the routers in between.
            let last = chain.wire.record.last().unwrap();
            assert_eq!((last.segment, &last.bytes[..6]), (0, &chain.wire.mac(chain.a)[..]));
        }
        assert_eq!(chain.wire[chain.routers[0]].counters().header_errors, 1);
    }
}

#[test]
fn a_host_forwards_nothing() {
    let mut chain = Chain::new();
    let router = chain.routers[0];
    chain.wire[router].set_forwarding(false);
    for net in [V4, V6] {
        chain.probe(net, 9, b"probe");
    }
    assert!(chain.wire.record.is_empty());
    assert_eq!(chain.wire[router].counters().not_for_us, 2);
}

#[test]
fn what_is_padding_on_one_link_is_none_on_the_next() {
    let mut chain = Chain::new();
    let mut frame = chain.packet(V4, 9, b"x");
    frame.extend([0xee; 17]);
    chain.wire.inject_bytes(chain.routers[0], &frame);
    chain.wire.settle();
    let sent = chain.wire.sent_by(chain.routers[0]).find(|sent| sent.bytes.ends_with(b"x")).unwrap();
    assert_eq!(sent.bytes.len(), frame.len() - 17);
}

/// RFC 791 section 3.2: a router cuts what is longer than the next link takes; the last router cuts once more.
#[test]
fn what_may_be_cut_is_cut_rfc_791_3_2() {
    let mut chain = Chain::with(|segment| Port { mtu: [1500, 1000, 996, 500][segment], ..Port::default() });
    let id = chain.wire.datagram(chain.b, "10.3.0.1:53");
    let data: Vec<u8> = (0..1400).map(|at| (at % 251) as u8).collect();
    let mut frame = chain.packet(V4, 9, &data);
    // Without "don't fragment"; the sum of the header counts that bit.
    assert_eq!(frame[20], 0x40);
    (frame[20], frame[24]) = (0, frame[24].wrapping_add(0x40));
    let wrapped = frame[24] < 0x40;
    frame[25] = frame[25].wrapping_add(u8::from(wrapped));
    chain.wire.inject_bytes(chain.routers[0], &frame);
    chain.wire.settle();
    assert_eq!(chain.wire.received(chain.b, id), data);
    let counters = chain.wire[chain.routers[0]].counters();
    assert_eq!((counters.fragment_oks, counters.fragment_creates, counters.forwarded), (1, 2, 1));
    assert_eq!(counters.reassembly_requests, 0);
}

#[test]
fn what_may_not_be_cut_is_too_long_and_the_sender_adapts_rfc_1191_4_rfc_4443_3_2() {
    for (net, far, mtu) in [(V4, "10.3.0.1:80", 1000), (V6, "[fd00:3::1]:80", 1300)] {
        let mut chain =
            Chain::with(|segment| Port { mtu: if segment == 2 { mtu } else { 1500 }, ..Port::default() });
        chain.probe(net, 9, &[7; 1400]);
        let said = errors(&chain.wire, chain.routers[1]);
        let [Error { kind, code, word, quoted, .. }] = &said[..] else { panic!("{said:?}") };
        assert_eq!((*kind, *code, *word), if net == V4 { (3, 4, mtu.into()) } else { (2, 0, mtu.into()) });
        assert_eq!(quoted.len(), if net == V4 { 576 - 28 } else { 1280 - 48 });
        assert_eq!(chain.wire[chain.routers[1]].counters().too_big, 1);

        let Chain { mut wire, a, b, .. } = chain;
        let listener = wire.listen(b, far, 8);
        let one = wire.connect(a, far);
        let other = wire.accept(b, listener);
        assert_eq!(wire.send(a, one, &[7; 50_000]), Ok(50_000));
        let mut received = 0;
        assert!(wire.run_until(Duration::from_secs(2), |wire| {
            received += wire.try_recv(b, other).map_or(0, |data| data.len());
            received == 50_000
        }));
    }
}

/// RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f): 50 at once and one each millisecond.
#[test]
fn errors_are_limited_in_number() {
    for net in [V4, V6] {
        let mut chain = Chain::new();
        // Both neighbours are known.
        chain.probe(net, 9, b"hello");
        chain.wire.record.clear();
        let frame = chain.packet(net, 1, b"probe");
        for _ in 0..500 {
            chain.wire.inject_bytes(chain.routers[0], &frame);
        }
        chain.wire.settle();
        let count = errors(&chain.wire, chain.routers[0]).len();
        // To one host; to all together ten times as many (tests/sim/icmp_limits.rs).
        assert_eq!(count, 6);
    }
}

#[test]
fn a_dead_next_hop_is_reported_and_delays_nobody_rfc_1812_5_2_7_1() {
    for (net, dead, code) in [(V4, "10.3.0.99:9", 1), (V6, "[fd00:3::99]:9", 3)] {
        let mut chain = Chain::new();
        let dead = chain.packet_to(net, dead.parse::<std::net::SocketAddr>().unwrap().ip(), 9, b"dead");
        chain.wire.inject_bytes(chain.routers[0], &dead);
        chain.wire.inject_bytes(chain.routers[0], &chain.packet(net, 9, b"alive"));
        chain.wire.settle();
        assert!(chain.wire.sent_by(chain.routers[2]).any(|sent| sent.bytes.ends_with(b"alive")));
        chain.wire.record.clear();
        chain.wire.run(Duration::from_secs(4));
        let said = errors(&chain.wire, chain.routers[2]);
        let [Error { kind, code: told, quoted, .. }] = &said[..] else { panic!("{said:?}") };
        assert_eq!((*kind, *told), (if net == V4 { 3 } else { 1 }, code));
        assert!(quoted.ends_with(b"dead"));
    }
}

#[test]
fn without_a_route_the_sender_is_told_rfc_1812_5_2_7_1_rfc_4443_3_1() {
    for (net, far) in [(V4, "192.0.2.7"), (V6, "2001:db8::7")] {
        let mut chain = Chain::new();
        let frame = chain.packet_to(net, far.parse().unwrap(), 9, b"lost");
        chain.wire.inject_bytes(chain.routers[0], &frame);
        chain.wire.settle();
        let said = errors(&chain.wire, chain.routers[0]);
        let [Error { kind, code, .. }] = &said[..] else { panic!("{said:?}") };
        assert_eq!((*kind, *code), (if net == V4 { 3 } else { 1 }, 0));
        assert_eq!(chain.wire[chain.routers[0]].counters().no_routes, 1);
    }
}

/// RFC 1812 section 5.2.7.1, RFC 4443 section 3.1, ip-route(8).
#[test]
fn a_route_that_leads_nowhere_says_so_or_nothing() {
    for (net, to, far) in [(V4, "192.0.2.0/24", "192.0.2.7"), (V6, "2001:db8::/32", "2001:db8::7")] {
        for (barrier, said_v4, said_v6) in [
            (RouteKind::Blackhole, None, None),
            (RouteKind::Unreachable, Some((3, 1)), Some((1, 3))),
            (RouteKind::Prohibit, Some((3, 13)), Some((1, 1))),
        ] {
            let mut chain = Chain::new();
            let router = chain.routers[0];
            chain.wire[router].add_barrier(to.parse().unwrap(), barrier, 0).unwrap();
            let frame = chain.packet_to(net, far.parse().unwrap(), 9, b"lost");
            chain.wire.inject_bytes(router, &frame);
            chain.wire.settle();
            let said: Vec<_> =
                errors(&chain.wire, router).iter().map(|error| (error.kind, error.code)).collect();
            assert_eq!(said.first().copied(), if net == V4 { said_v4 } else { said_v6 }, "{barrier}");
            assert_eq!(chain.wire[router].counters().no_routes, 1);
        }
    }
}

/// RFC 4861 section 4.4: the Router flag, asked or not; RFC 4291 section 2.8: the group of all routers.
#[test]
fn a_router_says_what_it_is_rfc_4861_4_4() {
    let mut wire = Wire::new();
    let a = wire.host(1, Port::default(), &["fd00::1/64"]);
    let b = wire.host(2, Port::default(), &["fd00::2/64"]);
    for (router, group_answers) in [(false, 0), (true, 1)] {
        wire[b].set_forwarding(router);
        wire.record.clear();
        let now = wire.now();
        wire[b].announce(now);
        let id = wire[a].open(Kind::Datagram, ioth_stack::Family::V6);
        let _ = wire[a].send_to(now, id, b"x", Some("[fd00::2]:9".parse().unwrap())).unwrap();
        wire.run(Duration::from_secs(20));
        let told = wire.sent_by(b).filter(|sent| sent.bytes[54] == 136);
        let flags: Vec<_> = told.map(|sent| sent.bytes[58] & 0x80).collect();
        assert!(
            flags.len() >= 2 && flags.iter().all(|flag| *flag == if router { 0x80 } else { 0 }),
            "{flags:?}"
        );
        wire.record.clear();
        let (source, group) = ("fd00::1".parse().unwrap(), "ff02::2".parse().unwrap());
        let echo = crate::wire::frames::ipv6(wire.mac(b), source, group, 58, 1, &[128, 0, 0, 0, 0, 1, 0, 1]);
        wire.inject_bytes(b, &echo);
        wire.settle();
        assert_eq!(wire.sent_by(b).filter(|sent| sent.bytes[54] == 129).count(), group_answers);
    }
}
