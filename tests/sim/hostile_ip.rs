//! Packets that attack: headers of IPv4 and IPv6 that lie, and fragments.
//!
//! What must hold whatever they do, [`siege`](crate::siege) says. What they are answered is tested elsewhere: fragments in
//! `fragments`, extension headers in `extension_headers`, packets that are to be forwarded in `forwarding::hostile` and
//! `forwarding::refused`.

use std::net::{IpAddr, Ipv6Addr};

use crate::feed::checksum::{fix, sum};
use crate::siege::{Scene, attacks};
use crate::wire::frames::{self, ACK, Part, SYN, Tcp};

const TCP: u8 = 6;
const UDP: u8 = 17;
const OWN: [u8; 4] = [10, 0, 0, 2];
const STRANGER: [u8; 4] = [10, 0, 0, 77];
const PING: [u8; 8] = [8, 0, 0, 0, 0, 1, 0, 1];
const PING6: [u8; 8] = [128, 0, 0, 0, 0, 1, 0, 1];

fn own_v6() -> Ipv6Addr {
    "fd00::2".parse().unwrap()
}

fn stranger_v6() -> Ipv6Addr {
    "fd00::77".parse().unwrap()
}

/// Corrects the checksum of the first 20 bytes of an IPv4 header, and of what its length says of it as far as that is there.
fn fix_header(bytes: &mut [u8]) {
    let end = (14 + usize::from(bytes[14] & 15) * 4).clamp(34, bytes.len());
    bytes[24..26].fill(0);
    let check = !sum(&bytes[14..end]);
    bytes[24..26].copy_from_slice(&check.to_be_bytes());
}

/// An echo request, its header changed; with the right checksum for what it says.
fn lies(scene: &mut Scene, change: impl FnOnce(&mut [u8])) {
    let mut bytes = scene.packet(STRANGER.into(), 1, &[&PING[..], &[7; 64]].concat());
    change(&mut bytes);
    fix_header(&mut bytes);
    scene.throws(&bytes);
}

/// The same with these options, in words of four bytes.
fn options(scene: &mut Scene, options: &[u8]) {
    for (protocol, payload) in
        [(1, PING.to_vec()), (TCP, vec![0, 9, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, SYN])]
    {
        let payload = [options, &payload, &[0; 6]].concat();
        let mut bytes = scene.packet(STRANGER.into(), 253, &payload);
        bytes[14] = 0x45 + (options.len() / 4) as u8;
        bytes[23] = protocol;
        fix(&mut bytes);
        scene.throws(&bytes);
    }
}

#[test]
fn headers_of_ipv4_that_lie() {
    attacks(&[
        ("IHL below 5", |scene, round| lies(scene, |bytes| bytes[14] = 0x40 | (round % 5) as u8)),
        ("IHL past the packet", |scene, round| {
            lies(scene, |bytes| {
                bytes[14] = 0x46 + (round % 10) as u8;
                bytes[16..18].copy_from_slice(&(20 + (round % 5) as u16).to_be_bytes());
            });
        }),
        ("total length past the frame, or below the header", |scene, round| {
            for len in [0, 19, 20, 93, 1500, 65_535 - round as u16] {
                lies(scene, |bytes| bytes[16..18].copy_from_slice(&len.to_be_bytes()));
            }
        }),
        ("versions of nobody", |scene, round| lies(scene, |bytes| bytes[14] = (round * 16) as u8 | 5)),
        ("option length 0", |scene, round| {
            options(
                scene,
                &[[7, 0, 4, 0], [68, 0, 5, 0], [148, 0, 0, 0], [131, 0, 4, 0]][round as usize % 4],
            );
        }),
        ("option overrun", |scene, round| {
            let option = [[7, 40, 4, 0], [68, 255, 5, 0], [148, 5, 0, 0], [131, 39, 4, 0], [1, 1, 1, 7]]
                [round as usize % 5];
            options(scene, &option);
            options(scene, &option.repeat(10));
        }),
        ("source route", |scene, round| {
            let kind = [131, 137][round as usize % 2];
            options(scene, &[&[kind, 11, 4][..], &[10, 0, 0, 1], &STRANGER, &[0]].concat());
            options(scene, &[&[kind, 7, 8][..], &[10, 0, 0, 1], &[0]].concat());
        }),
        ("source own, broadcast, multicast, loopback, nobody", |scene, round| {
            for source in
                [OWN, [10, 0, 0, 255], [255; 4], [224, 0, 0, 1], [127, 0, 0, 1], [0; 4], [240, 0, 0, 1]]
            {
                let ping = scene.packet(source.into(), 1, &PING);
                let datagram = scene.packet(source.into(), UDP, &[0, 7, 0, round as u8, 0, 8, 0, 0]);
                let syn = Tcp { flags: SYN, seq: round, window: 500, ..Tcp::default() };
                let mac = scene.wire.mac(scene.victim);
                for bytes in [ping, datagram, syn.in_frame(mac, (source, 80), (OWN, 80))] {
                    scene.throws(&bytes);
                    let mut to_all = bytes.clone();
                    to_all[..6].fill(0xff);
                    scene.throws(&to_all);
                }
            }
        }),
        ("land", |scene, round| {
            let mac = scene.wire.mac(scene.victim);
            for flags in [SYN, ACK, SYN | ACK] {
                for port in [22, 80] {
                    let tcp = Tcp { flags, seq: round, window: 500, ..Tcp::default() };
                    scene.throws(&tcp.in_frame(mac, (OWN, port), (OWN, port)));
                    scene.throws(&tcp.in_frame(mac, (own_v6(), port), (own_v6(), port)));
                    scene.throws(&tcp.in_frame(mac, ([127, 0, 0, 1], port), ([127, 0, 0, 1], port)));
                }
            }
        }),
        ("protocols of nobody", |scene, round| {
            let bytes = scene.packet(STRANGER.into(), round as u8, &[round as u8; 100]);
            scene.throws(&bytes);
            let bytes = scene.packet(stranger_v6().into(), round as u8, &[round as u8; 100]);
            scene.throws(&bytes);
        }),
    ]);
}

fn part(identification: u32, offset: usize, more: bool) -> Part {
    Part { identification, offset, more }
}

/// A fragment from the stranger, in each family.
fn fragments(scene: &mut Scene, protocol: u8, part: Part, payload: &[u8]) {
    let mac = scene.wire.mac(scene.victim);
    for addresses in [(STRANGER.into(), OWN.into()), (stranger_v6().into(), own_v6().into())] {
        scene.throws(&frames::fragment(mac, addresses, protocol, part, payload));
    }
}

#[test]
fn fragments_that_attack() {
    attacks(&[
        ("ping of death", |scene, round| {
            for at in 0..45 {
                fragments(scene, 1, part(round, 1480 * at, true), &[8; 1480]);
            }
            fragments(scene, 1, part(round, 65_528, false), &[8; 1000]);
        }),
        ("teardrop overlap", |scene, round| {
            fragments(scene, UDP, part(round, 0, true), &[7; 40]);
            fragments(scene, UDP, part(round, 24, false), &[7; 8]);
        }),
        ("overlaps of every kind (RFC 5722)", |scene, round| {
            for (at, end) in [(0, 1400), (1392, 2800), (8, 16), (0, 4008), (1400, 2800), (2800, 4000)] {
                fragments(scene, UDP, part(round % 4, at, round % 3 > 0), &vec![round as u8; end - at]);
            }
        }),
        ("1-byte fragments", |scene, round| {
            for at in 0..100 {
                fragments(scene, UDP, part(round, 8 * at, true), &[7]);
                fragments(scene, UDP, part(round + 1000, 8 * at, at < 99), &[7; 8]);
            }
            fragments(scene, UDP, part(round, 800, false), &[7]);
        }),
        ("a flood of fragments never completed", |scene, round| {
            for at in 0..100 {
                fragments(scene, UDP, part(round * 100 + at, 8 * at as usize, true), &[7; 1440]);
            }
        }),
        ("the same from everywhere", |scene, round| {
            let mac = scene.wire.mac(scene.victim);
            for at in 0..100 {
                let [_, x, y, z] = (round * 100 + at).to_be_bytes();
                let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 1, u16::from(x), u16::from_be_bytes([y, z]));
                for addresses in [([10, x, y, z].into(), OWN.into()), (v6.into(), own_v6().into())] {
                    scene.throws(&frames::fragment(mac, addresses, UDP, part(7, 0, true), &[7; 1440]));
                }
            }
        }),
        ("a fragmented TCP header", |scene, round| {
            let syn = Tcp { flags: SYN, seq: round, window: 500, ..Tcp::default() };
            let mac = scene.wire.mac(scene.victim);
            let whole = syn.in_frame(mac, (STRANGER, 6000 + round as u16), (OWN, 80));
            for (at, end) in [(0, 8), (8, 16), (16, 20)] {
                fragments(scene, TCP, part(round, at, end < 20), &whole[34 + at..34 + end]);
            }
            // The flags once more, as RFC 3128 has it.
            fragments(scene, TCP, part(round, 8, true), &[0; 8]);
        }),
        ("fragments of the attacker's connection", |scene, round| {
            let frame = scene.next.in_frame([0; 6], (STRANGER, 5000), (OWN, 80));
            fragments(scene, TCP, part(round, 0, true), &frame[34..50]);
            fragments(scene, TCP, part(round, 16, false), &frame[50..]);
        }),
        ("fragments to everybody", |scene, round| {
            for (to, mac) in [([10, 0, 0, 255], [0xff; 6]), ([224, 0, 0, 1], [1, 0, 0x5e, 0, 0, 1])] {
                let addresses: (IpAddr, IpAddr) = (STRANGER.into(), to.into());
                scene.throws(&frames::fragment(mac, addresses, UDP, part(round, 0, true), &[7; 800]));
                scene.throws(&frames::fragment(mac, addresses, UDP, part(round, 800, false), &[7; 100]));
            }
        }),
    ]);
}

/// A packet with these headers in front of an echo request.
fn headers(scene: &mut Scene, first: u8, headers: &[u8]) {
    let mut bytes = scene.packet(stranger_v6().into(), 59, &[headers, &PING6].concat());
    bytes[20] = first;
    scene.throws(&bytes);
}

#[test]
fn headers_of_ipv6_that_lie() {
    attacks(&[
        ("long extension-header chains", |scene, round| {
            headers(scene, 60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(1 + round as usize % 170));
            headers(scene, 0, &[0, 0, 1, 4, 0, 0, 0, 0].repeat(100));
            headers(scene, 43, &[43, 0, 0, 0, 0, 0, 0, 0].repeat(100));
        }),
        ("nested and atomic fragments", |scene, round| {
            headers(scene, 44, &[44, 0, 0, 0, 0, 0, 0, round as u8].repeat(1 + round as usize % 100));
            headers(scene, 44, &[58, 0, 0, 0, 0, 0, 0, round as u8]);
            headers(scene, 44, &[&[44, 0, 0, 1, 0, 0, 0, 9][..], &[58, 0, 0, 1, 0, 0, 0, 9]].concat());
        }),
        ("hop-by-hop overrun", |scene, round| {
            headers(scene, 0, &[58, round as u8, 1, 4, 0, 0, 0, 0]);
            headers(scene, 0, &[58, 0, 1, (5 + round % 250) as u8, 0, 0, 0, 0]);
            headers(scene, 0, &[58, 0, 0, 0, 0, 0, 0, 1]);
        }),
        ("unknown option action bits", |scene, round| {
            for first in [0, 60] {
                headers(scene, first, &[58, 0, 1, 0, round as u8, 2, 0, 0]);
            }
        }),
        ("options without end", |scene, _| {
            // The largest header, full of padding of no length.
            headers(scene, 60, &[&[58, 160][..], &[0; 1286]].concat());
            headers(scene, 60, &[&[58, 160][..], &[1, 0].repeat(643)].concat());
        }),
        ("RH0", |scene, round| {
            let to = own_v6().octets();
            headers(scene, 43, &[&[58, 20, 0, (round % 30) as u8, 0, 0, 0, 0][..], &to.repeat(10)].concat());
        }),
        ("payload-length lies", |scene, round| {
            for len in [0, 7, 9, 1500, 65_535 - round as u16] {
                let mut bytes = scene.packet(stranger_v6().into(), 58, &PING6);
                bytes[18..20].copy_from_slice(&len.to_be_bytes());
                scene.throws(&bytes);
            }
        }),
        ("jumbo", |scene, round| {
            for jumbo in [0, 65_535, 65_536, u32::MAX, round] {
                let option = [&[58, 0, 0xc2, 4][..], &jumbo.to_be_bytes()].concat();
                headers(scene, 0, &option);
                let mut bytes = scene.packet(stranger_v6().into(), 59, &[&option[..], &PING6].concat());
                bytes[20] = 0;
                bytes[18..20].fill(0);
                scene.throws(&bytes);
            }
        }),
        ("source own, multicast, loopback, nobody, of IPv4", |scene, round| {
            for source in ["fd00::2", "ff02::1", "::1", "::", "::ffff:10.0.0.2", "::10.0.0.77", "fe80::1"] {
                let source: Ipv6Addr = source.parse().unwrap();
                let ping = scene.packet(source.into(), 58, &PING6);
                scene.throws(&ping);
                let datagram = scene.packet(source.into(), UDP, &[0, 7, 0, round as u8, 0, 8, 0, 0]);
                scene.throws(&datagram);
                let syn = Tcp { flags: SYN, seq: round, window: 500, ..Tcp::default() };
                scene.throws(&syn.in_frame(scene.wire.mac(scene.victim), (source, 80), (own_v6(), 81)));
            }
        }),
    ]);
}
