//! What a router does not forward, and of what it does not speak.

use std::net::IpAddr;

use super::chain::{Chain, V4, V6, errors, packet};
use crate::wire::frames;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// RFC 1812 sections 4.2.2.11, 5.3.7 and 5.3.8, RFC 2644, RFC 3927 section 7, RFC 4291 sections 2.5.2 and 2.5.3.
#[test]
fn addresses_that_nobody_behind_a_router_has() {
    const NEAR: &str = "10.0.0.1";
    const FAR: &str = "10.3.0.1";
    const NEAR6: &str = "fd00::1";
    const FAR6: &str = "fd00:3::1";
    for (from, to) in [
        ("127.0.0.1", FAR),
        ("0.0.0.0", FAR),
        ("0.1.2.3", FAR),
        ("169.254.1.1", FAR),
        ("224.0.0.1", FAR),
        ("240.0.0.1", FAR),
        ("255.255.255.255", FAR),
        ("10.0.0.255", FAR),
        ("10.1.0.255", FAR),
        // Its own.
        ("10.0.0.2", FAR),
        ("10.1.0.254", FAR),
        (NEAR, "127.0.0.1"),
        (NEAR, "0.0.0.0"),
        (NEAR, "169.254.1.1"),
        (NEAR, "224.0.1.1"),
        (NEAR, "240.0.0.1"),
        (NEAR, "10.1.0.255"),
        ("::", FAR6),
        ("::1", FAR6),
        ("ff02::1", FAR6),
        ("fd00::2", FAR6),
        (NEAR6, "::1"),
        (NEAR6, "::"),
        (NEAR6, "fe80::99"),
        (NEAR6, "ff05::2"),
    ] {
        let mut chain = Chain::new();
        let router = chain.routers[0];
        let frame = packet(chain.wire.mac(router), ip(from), ip(to), 9, b"x");
        chain.wire.inject_bytes(router, &frame);
        chain.wire.settle();
        assert!(chain.wire.record.is_empty(), "{from} to {to}");
        assert_eq!(chain.wire[router].counters().not_for_us, 1, "{from} to {to}");
    }
}

/// RFC 4443 section 3.1: of IPv6 the sender is told.
#[test]
fn a_link_local_source_stays_on_its_link_rfc_4291_2_5_6() {
    let mut chain = Chain::new();
    let router = chain.routers[0];
    let link_local = chain.wire[chain.a].snapshot(chain.wire.now()).addresses;
    let source =
        link_local.iter().map(|own| own.cidr.address()).find(|ip| ip.to_string().starts_with("fe80"));
    let frame = packet(chain.wire.mac(router), source.unwrap(), ip("fd00:3::1"), 9, b"x");
    chain.wire.inject_bytes(router, &frame);
    chain.wire.settle();
    let said = errors(&chain.wire, router);
    assert_eq!(said.iter().map(|error| (error.kind, error.code)).collect::<Vec<_>>(), [(1, 2)]);
    assert_eq!(chain.wire[router].counters().forwarded, 0);
}

/// RFC 1812 section 5.3.4.
#[test]
fn what_came_to_many_is_for_nobody_else() {
    for net in [V4, V6] {
        let mut chain = Chain::new();
        let mut frame = chain.packet(net, 1, b"x");
        frame[..6].fill(0xff);
        chain.wire.inject_bytes(chain.routers[0], &frame);
        chain.wire.settle();
        assert!(chain.wire.record.is_empty());
    }
}

#[test]
fn damaged_headers_are_dropped() {
    let mut chain = Chain::new();
    let good = chain.packet(V4, 9, b"data");
    // Checksum, length, version; a header that is cut.
    let mut bad = vec![good.clone(), good.clone(), good.clone(), good[..30].to_vec(), good[..18].to_vec()];
    bad[0][24] ^= 1;
    bad[1][17] += 1;
    bad[2][14] = 0x55;
    let six = chain.packet(V6, 9, b"data");
    bad.extend([six.clone(), six[..50].to_vec()]);
    let last = bad.len() - 2;
    bad[last][19] += 1;
    for frame in &bad {
        chain.wire.inject_bytes(chain.routers[0], frame);
    }
    chain.wire.settle();
    assert!(chain.wire.record.is_empty());
    let counters = chain.wire[chain.routers[0]].counters();
    assert_eq!((counters.header_errors, counters.forwarded), (bad.len() as u64, 0));
}

/// RFC 7126 sections 4.3 and 4.4.
#[test]
fn nobody_leads_a_packet_along_a_way_of_its_own() {
    let mut chain = Chain::new();
    let routed = |option: u8| {
        let mut frame = chain.packet(V4, 9, b"data");
        frame.splice(34..34, [option, 7, 4, 10, 3, 0, 1, 0]);
        frame[14] = 0x47;
        frame[17] += 8;
        frame[24..26].fill(0);
        let sum = !crate::feed::checksum::sum(&frame[14..42]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let frames = [131, 137, 7].map(routed);
    for (frame, forwarded) in frames.iter().zip([0, 0, 1]) {
        chain.wire.inject_bytes(chain.routers[0], frame);
        assert_eq!(chain.wire[chain.routers[0]].counters().forwarded, forwarded);
    }
}

/// RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e).
#[test]
fn errors_fragments_and_nobody_are_not_spoken_to() {
    let mut chain = Chain::new();
    let router = chain.routers[0];
    let mac = chain.wire.mac(router);
    let (near, far) = ([10, 0, 0, 1].into(), [10, 3, 0, 1].into());
    let quoted = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &chain.packet(V4, 9, b"quoted")[14..]].concat();
    let mut error = frames::ipv4(mac, near, far, 1, &quoted);
    let rest = frames::Part { identification: 7, offset: 1480, more: false };
    let mut rest = frames::fragment(mac, (near.into(), far.into()), 17, rest, b"the rest");
    for frame in [&mut error, &mut rest] {
        frame[22] = 1;
        frame[24..26].fill(0);
        let sum = !crate::feed::checksum::sum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    let (near, far) = ("fd00::1".parse().unwrap(), "fd00:3::1".parse().unwrap());
    let error6 = frames::ipv6(mac, near, far, 58, 1, &[&[1, 4, 0, 0, 0, 0, 0, 0][..], &[0; 40]].concat());
    let redirect6 =
        frames::ipv6(mac, near, far, 58, 1, &[&[137, 0, 0, 0, 0, 0, 0, 0][..], &[0; 40]].concat());
    for frame in [error, rest, error6, redirect6] {
        chain.wire.inject_bytes(router, &frame);
    }
    chain.wire.settle();
    assert!(chain.wire.record.is_empty());
    assert_eq!(chain.wire[router].counters().header_errors, 4);
    // They are forwarded, though.
    let error = frames::ipv4(mac, [10, 0, 0, 1].into(), [10, 3, 0, 1].into(), 1, &quoted);
    chain.wire.inject_bytes(router, &error);
    assert_eq!(chain.wire[router].counters().forwarded, 1);
}
