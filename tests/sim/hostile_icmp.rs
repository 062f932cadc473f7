//! Messages of ICMP that attack: forged errors, and what is wrong with them (RFC 5927).
//!
//! What must hold whatever they do, [`siege`](crate::siege) says. What is believed is tested elsewhere: what was too long
//! in `path_mtu` and `long_datagrams`, redirects in `forwarding::redirects`, that an error is never answered, how many
//! are sent, and what everybody is asked in `echo`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ioth_stack::EndpointId;

use crate::siege::{Scene, attacks};
use crate::wire::{Host, frames};

const TCP: u8 = 6;
const UDP: u8 = 17;
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe);

/// A packet as it may be quoted: 1500 bytes long, of which the first ones are there.
fn quoted(from: IpAddr, to: IpAddr, protocol: u8, ports: (u16, u16), number: u32) -> Vec<u8> {
    let transport =
        [&ports.0.to_be_bytes()[..], &ports.1.to_be_bytes(), &number.to_be_bytes(), &[0; 12]].concat();
    let (mut packet, at) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (frames::ipv4([0; 6], from, to, protocol, &transport)[14..].to_vec(), 2)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            (frames::ipv6([0; 6], from, to, protocol, 64, &transport)[14..].to_vec(), 4)
        }
        _ => panic!("two families"),
    };
    packet[at..at + 2].copy_from_slice(&1500u16.to_be_bytes());
    packet
}

/// Type, code and the word behind the checksum, in front of a packet, from a router.
fn complains(scene: &mut Scene, (kind, code): (u8, u8), word: u32, quoted: &[u8]) {
    let message = [&[kind, code, 0, 0][..], &word.to_be_bytes(), quoted].concat();
    let v6 = quoted.first().is_some_and(|first| first >> 4 == 6);
    let from = if v6 { ROUTER_V6.into() } else { IpAddr::V4(ROUTER) };
    let bytes = scene.packet(from, if v6 { 58 } else { 1 }, &message);
    scene.throws(&bytes);
}

/// The victim has something under way to the attacker; gives a segment of that, so far behind what was acknowledged.
fn under_way(scene: &mut Scene, ahead: u32) -> Vec<u8> {
    let _ = scene.wire.send(scene.victim, scene.id, &[7; 20_000]);
    quoted(OWN.into(), STRANGER.into(), TCP, (80, 5000), scene.next.ack.wrapping_add(ahead))
}

/// The addresses of a transfer, as the victim sends it.
fn of_flow(scene: &Scene, flow: usize) -> (IpAddr, u16, IpAddr, u16) {
    let (host, id): (Host, EndpointId) = scene.flows[flow][1].from;
    let (own, peer) = (scene.wire[host].local_address(id), scene.wire[host].peer_address(id));
    let (own, peer) = (own.unwrap(), peer.unwrap());
    (own.ip(), own.port(), peer.ip(), peer.port())
}

/// The victim talks to anybody, by datagrams.
fn talks(scene: &mut Scene, round: u32) {
    if round == 0 {
        let _ = scene.wire.datagram(scene.victim, "10.0.0.2:53");
        let _ = scene.wire.datagram(scene.victim, "[fd00::2]:53");
    }
}

/// A datagram that it may have sent.
fn datagram(number: u32, to: IpAddr) -> Vec<u8> {
    let own = if to.is_ipv4() { OWN.into() } else { IpAddr::V6(OWN_V6) };
    quoted(own, to, UDP, (53, 9), number)
}

#[test]
fn errors_that_are_forged() {
    attacks(&[
        ("fragmentation needed with MTU 0 or 68", |scene, round| {
            let sent = under_way(scene, 0);
            complains(scene, (3, 4), [0, 68, 1, 67, 575, 0xffff][round as usize % 6], &sent);
            talks(scene, round);
            let sent = datagram(round, STRANGER.into());
            complains(scene, (3, 4), [0, 68][round as usize % 2], &sent);
        }),
        ("packet too big below 1280", |scene, round| {
            talks(scene, round);
            for said in [0, 68, 1279, 1280, u32::MAX] {
                let sent = datagram(round, ROUTER_V6.into());
                complains(scene, (2, 0), said, &sent);
            }
        }),
        ("too long to everywhere", |scene, round| {
            talks(scene, round);
            for at in 0..100 {
                let [_, x, y, z] = (round * 100 + at).to_be_bytes();
                let sent = datagram(1, [11, x, y, z].into());
                complains(scene, (3, 4), 600, &sent);
                let low = u16::from_be_bytes([y, z]);
                let to = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, u16::from(x), low);
                let sent = datagram(1, to.into());
                complains(scene, (2, 0), 1280, &sent);
            }
        }),
        ("errors with a sequence number outside the window (RFC 5927)", |scene, round| {
            for flow in [0, 1] {
                let (own, port, peer, peer_port) = of_flow(scene, flow);
                for code in 0..16 {
                    let sent =
                        quoted(own, peer, TCP, (port, peer_port), (round * 16 + u32::from(code)) << 20);
                    complains(scene, (3, code), if code == 4 { 552 } else { 0 }, &sent);
                }
            }
        }),
        ("hard errors about what is under way (RFC 5927 section 5.2)", |scene, _| {
            for code in (0..16).filter(|code| *code != 4) {
                let sent = under_way(scene, 0);
                complains(scene, (3, code), 0, &sent);
            }
            for (kind, code) in [(4, 0), (11, 0), (11, 1), (12, 0), (5, 1)] {
                let sent = under_way(scene, 0);
                complains(scene, (kind, code), 0, &sent);
            }
        }),
        ("errors about connections of others, and about nothing", |scene, round| {
            for (from, to) in [(STRANGER, OWN), (STRANGER, ROUTER), (OWN, OWN), (Ipv4Addr::LOCALHOST, OWN)] {
                for protocol in [TCP, UDP, 1, 58, 4, 253] {
                    let sent = quoted(from.into(), to.into(), protocol, (80, 5000), round);
                    complains(scene, (3, (round % 16) as u8), 0, &sent);
                }
            }
        }),
    ]);
}

#[test]
fn messages_that_are_hard_to_parse() {
    attacks(&[
        ("truncated inner header", |scene, round| {
            let sent = under_way(scene, 0);
            let len = round as usize % sent.len();
            for code in [1, 3, 4] {
                complains(scene, (3, code), 576, &sent[..len]);
            }
            talks(scene, round);
            let sent = datagram(round, ROUTER_V6.into());
            let len = 1 + round as usize % (sent.len() - 1);
            for kind in 1..5 {
                complains(scene, (kind, 0), 1280, &sent[..len]);
            }
        }),
        ("inner headers that lie", |scene, round| {
            let mut sent = under_way(scene, 0);
            sent[0] = 0x40 | (round % 16) as u8;
            complains(scene, (3, 4), 576, &sent);
            sent[0] = 0x45;
            sent[2..4].copy_from_slice(&(round as u16).to_be_bytes());
            complains(scene, (3, 4), 0, &sent);
            // Extension headers up to the end of the quoted part.
            let mut sent = quoted(OWN_V6.into(), ROUTER_V6.into(), 60, (53, 9), round);
            sent.extend([60, (round % 4) as u8, 1, 4, 0, 0, 0, 0].repeat(round as usize % 100));
            complains(scene, (2, 0), 1280, &sent);
        }),
        ("an error about an error", |scene, round| {
            let inner = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &under_way(scene, 0)].concat();
            let mut sent = quoted(OWN.into(), STRANGER.into(), 1, (0x0301, 0), round);
            sent.truncate(20);
            sent.extend(&inner);
            complains(scene, (3, 1), 0, &sent);
            // And of one that nobody has heard of: no answer, or it would go on for ever.
            for kind in 0..=255 {
                complains(scene, (kind, round as u8), 0, &sent);
            }
        }),
        ("types and codes of nobody", |scene, round| {
            for from in [IpAddr::V4(STRANGER), ROUTER_V6.into()] {
                let protocol = if from.is_ipv4() { 1 } else { 58 };
                for kind in (0..=255).step_by(3) {
                    let message = [&[kind, round as u8, 0, 0][..], &[0; 24]].concat();
                    for len in [0, 1, 4, 7, 8, 24] {
                        let bytes = scene.packet(from, protocol, &message[..len]);
                        scene.throws(&bytes);
                    }
                }
            }
        }),
        ("ICMP of the other family", |scene, _| {
            for message in [[8, 0, 0, 0, 0, 1, 0, 1], [128, 0, 0, 0, 0, 1, 0, 1]] {
                let bytes = scene.packet(STRANGER.into(), 58, &message);
                scene.throws(&bytes);
                let bytes = scene.packet(ROUTER_V6.into(), 1, &message);
                scene.throws(&bytes);
            }
        }),
    ]);
}

#[test]
fn questions_without_end() {
    attacks(&[
        ("smurf", |scene, round| {
            for (to, mac) in
                [([10, 0, 0, 255], [0xff; 6]), ([255; 4], [0xff; 6]), ([224, 0, 0, 1], [1, 0, 94, 0, 0, 1])]
            {
                for kind in [8, 10, 13, 15, 17] {
                    let message = [&[kind, 0, 0, 0, 0, round as u8, 0, 1][..], &[7; 1000]].concat();
                    // In the name of one who would be buried.
                    scene.throws(&frames::ipv4(mac, [10, 0, 0, 1].into(), to.into(), 1, &message));
                }
            }
        }),
        ("a flood of echo requests", |scene, _| {
            for from in [IpAddr::V4(STRANGER), ROUTER_V6.into()] {
                let (protocol, kind) = if from.is_ipv4() { (1, 8) } else { (58, 128) };
                let message = [&[kind, 0, 0, 0, 0, 1, 0, 1][..], &[7; 1400]].concat();
                let bytes = scene.packet(from, protocol, &message);
                for _ in 0..100 {
                    scene.throws(&bytes);
                }
            }
        }),
        ("answers that nobody asked for", |scene, round| {
            for at in 0..100 {
                let identifier = (round * 100 + at) as u16;
                let [i0, i1] = identifier.to_be_bytes();
                let bytes = scene.packet(STRANGER.into(), 1, &[0, 0, 0, 0, i0, i1, 0, 1]);
                scene.throws(&bytes);
            }
        }),
        ("what calls for an error", |scene, round| {
            for at in 0..100u32 {
                let [_, _, x, y] = (round * 100 + at).to_be_bytes();
                let closed = [0, 9, 0x40 | x, y, 0, 8, 0, 0];
                let bytes = scene.packet(STRANGER.into(), UDP, &closed);
                scene.throws(&bytes);
                let bytes = scene.packet(STRANGER.into(), 99, &closed);
                scene.throws(&bytes);
                let bytes = scene.packet(ROUTER_V6.into(), 99, &closed);
                scene.throws(&bytes);
            }
        }),
    ]);
}
