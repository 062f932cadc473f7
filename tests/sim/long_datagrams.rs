//! Datagrams that are longer than a frame leave in fragments (RFC 791 section 3.2, RFC 8200 section 4.5).

use std::collections::HashSet;
use std::net::SocketAddr;

use ioth_stack::{Error, Family, Kind};

use crate::wire::frames::{ipv4, ipv6};
use crate::wire::{Fate, Port, Wire};

/// Addresses of both hosts, and the longest payload.
const UDP: [(&str, &str, usize); 2] =
    [("10.0.0.1:1", "10.0.0.2:2", 65_507), ("[fd00::1]:1", "[fd00::2]:2", 65_527)];

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// What the headers of a fragment say: identification, offset, more, bytes of payload; and Don't Fragment (IPv4).
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    identification: u32,
    offset: usize,
    more: bool,
    len: usize,
    fixed: bool,
}

fn seen(frame: &[u8]) -> Option<Seen> {
    let half = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    match frame[12..14] {
        [8, 0] => Some(Seen {
            identification: half(18).into(),
            offset: usize::from(half(20) & 0x1fff) * 8,
            more: half(20) & 0x2000 != 0,
            len: frame.len() - 34,
            fixed: half(20) & 0x4000 != 0,
        }),
        [0x86, 0xdd] if frame[20] == 44 => Some(Seen {
            identification: u32::from(half(58)) << 16 | u32::from(half(60)),
            offset: (half(56) & !7).into(),
            more: half(56) & 1 != 0,
            len: frame.len() - 62,
            fixed: false,
        }),
        _ => None,
    }
}

#[test]
fn of_any_length_up_to_the_largest_udp_7() {
    for (one, other, most) in UDP {
        for offload in [false, true] {
            let port = Port { offload, ..Port::default() };
            let (mut wire, a, b) = Wire::pair_on(port, port);
            let (x, y) = (wire.datagram(a, one), wire.datagram(b, other));
            let to: Option<SocketAddr> = Some(other.parse().unwrap());
            for len in [1452, 1453, 1472, 1473, 2952, 8000, 20_000, most] {
                let now = wire.now();
                assert_eq!(wire[a].send_to(now, x, &bytes(len), to), Ok(len));
                wire.settle();
                assert_eq!(wire.received(b, y), bytes(len));
            }
            for len in [most + 1, 70_000] {
                let now = wire.now();
                assert_eq!(wire[a].send_to(now, x, &bytes(len), to), Err(Error::MessageTooLong));
            }
            let (sent, heard) = (*wire[a].counters(), *wire[b].counters());
            assert_eq!((sent.fragment_fails, sent.fragment_creates), (2, heard.reassembly_requests));
            assert_eq!((sent.fragment_oks, heard.reassembly_fails), (heard.reassembly_oks, 0));
            assert_eq!(sent.fragment_oks, if most == 65_507 { 5 } else { 7 });
        }
    }
}

#[test]
fn a_host_sends_them_to_itself() {
    let (mut wire, a, _) = Wire::pair();
    for (own, most) in [("127.0.0.1:5", 65_507), ("10.0.0.1:6", 65_507), ("[::1]:7", 65_527)] {
        let id = wire.datagram(a, own);
        for len in [20_000, most] {
            let now = wire.now();
            assert_eq!(wire[a].send_to(now, id, &bytes(len), Some(own.parse().unwrap())), Ok(len));
            wire.settle();
            assert_eq!(wire.received(a, id), bytes(len));
        }
    }
    assert!(wire.record.is_empty());
}

#[test]
fn fragments_follow_each_other_and_are_full_rfc_791_3_2_rfc_8200_4_5() {
    for (one, other, _) in UDP {
        let (mut wire, a, b) = Wire::pair();
        let (x, y) = (wire.datagram(a, one), wire.datagram(b, other));
        let mut identifications = HashSet::new();
        for _ in 0..100 {
            let now = wire.now();
            let _ = wire[a].send_to(now, x, &bytes(8000), Some(other.parse().unwrap())).unwrap();
            wire.settle();
            assert_eq!(wire.received(b, y), bytes(8000));
            let seen: Vec<_> = wire.sent_by(a).filter_map(|sent| seen(&sent.bytes)).collect();
            let identification = seen[0].identification;
            // The largest multiple of 8 that fits.
            let full = if one.starts_with('[') { 1448 } else { 1480 };
            for (at, fragment) in seen.iter().enumerate() {
                let offset = at * full;
                let len = full.min(8008 - offset);
                let more = offset + len < 8008;
                // Routers may cut them further: no Don't Fragment.
                assert_eq!(*fragment, Seen { identification, offset, more, len, fixed: false });
            }
            assert_eq!(seen.len(), 6);
            identifications.insert(identification);
            wire.record.clear();
        }
        assert_eq!(identifications.len(), 100);
    }
}

#[test]
fn what_fits_is_not_cut_rfc_6864_4_1() {
    let (mut wire, a, b) = Wire::pair();
    let (x, _y) = (wire.datagram(a, "10.0.0.1:1"), wire.datagram(b, "10.0.0.2:2"));
    let now = wire.now();
    let _ = wire[a].send_to(now, x, &bytes(1472), Some("10.0.0.2:2".parse().unwrap())).unwrap();
    wire.settle();
    let whole = Seen { identification: 0, offset: 0, more: false, len: 1480, fixed: true };
    assert_eq!(wire.sent_by(a).filter_map(|sent| seen(&sent.bytes)).last(), Some(whole));
}

#[test]
fn a_lost_fragment_loses_the_datagram_and_nothing_else() {
    for (one, other, _) in UDP {
        let (mut wire, a, b) = Wire::pair();
        let (x, y) = (wire.datagram(a, one), wire.datagram(b, other));
        for lost in [0, 1448, 1480, 2896, 2960] {
            wire.weather = Box::new(move |frame| match seen(frame) {
                Some(seen) if seen.offset == lost && (seen.more || lost > 0) => Fate::Lost,
                _ => Fate::Arrives,
            });
            let now = wire.now();
            let _ = wire[a].send_to(now, x, &bytes(20_000), Some(other.parse().unwrap())).unwrap();
            let _ = wire[a].send_to(now, x, b"next", Some(other.parse().unwrap())).unwrap();
            wire.settle();
            wire.weather = Box::new(|_| Fate::Arrives);
            while wire.try_received(b, y).is_some_and(|got| got != b"next") {}
            let now = wire.now();
            let _ = wire[a].send_to(now, x, &bytes(20_000), Some(other.parse().unwrap())).unwrap();
            wire.settle();
            assert_eq!(wire.received(b, y), bytes(20_000));
        }
    }
}

#[test]
fn echoes_of_any_length_rfc_1122_3_2_2_6_rfc_4443_4_2() {
    for (address, family, kind, most) in
        [("10.0.0.2:0", Family::V4, 8, 65_515), ("[fd00::2]:0", Family::V6, 128, 65_535)]
    {
        let (mut wire, a, _) = Wire::pair();
        let id = wire[a].open(Kind::Echo, family);
        for len in [1500, 8008, most] {
            let request = [&[kind, 0, 0, 0, 0, 0, 0, 7][..], &bytes(len - 8)].concat();
            let now = wire.now();
            assert_eq!(wire[a].send_to(now, id, &request, Some(address.parse().unwrap())), Ok(len));
            wire.settle();
            assert_eq!(wire.received(a, id)[8..], request[8..]);
        }
        let request = [&[kind, 0, 0, 0, 0, 0, 0, 7][..], &bytes(most - 7)].concat();
        let now = wire.now();
        let to = Some(address.parse().unwrap());
        assert_eq!(wire[a].send_to(now, id, &request, to), Err(Error::MessageTooLong));
    }
}

#[test]
fn a_router_says_that_the_path_is_narrower_rfc_1191_3_rfc_8201_4() {
    let router = ("10.0.0.1", "fd00::1");
    for v6 in [false, true] {
        let (mut wire, a, b) = Wire::pair();
        let (one, other, _) = UDP[usize::from(v6)];
        let (x, y) = (wire.datagram(a, one), wire.datagram(b, other));
        let (to, mtu) = (Some(one.parse().unwrap()), if v6 { 1280 } else { 1000 });
        let now = wire.now();
        let _ = wire[b].send_to(now, y, &bytes(1400), to).unwrap();
        wire.settle();
        assert_eq!(wire.received(a, x), bytes(1400));
        let whole = wire.sent_by(b).last().unwrap().bytes[14..300].to_vec();
        let complain = |wire: &mut Wire, quoted: &[u8]| {
            let mac = wire.mac(b);
            let frame = if v6 {
                let message = [&[2, 0, 0, 0, 0, 0, 5, 0][..], quoted].concat();
                let (from, to) = (router.1.parse().unwrap(), "fd00::2".parse().unwrap());
                ipv6(mac, from, to, 58, 64, &message)
            } else {
                let message = [&[3, 4, 0, 0, 0, 0, 3, 232][..], quoted].concat();
                ipv4(mac, router.0.parse().unwrap(), "10.0.0.2".parse().unwrap(), 1, &message)
            };
            wire.inject_bytes(b, &frame);
        };
        let longest = |wire: &mut Wire| {
            wire.record.clear();
            let now = wire.now();
            let _ = wire[b].send_to(now, y, &bytes(1400), to).unwrap();
            wire.settle();
            assert_eq!(wire.received(a, x), bytes(1400));
            wire.sent_by(b).map(|sent| sent.bytes.len() - 14).max().unwrap()
        };
        // Who does not know the port is not believed (RFC 5927 section 7.2).
        let mut guess = whole.clone();
        guess[if v6 { 41 } else { 21 }] ^= 1;
        complain(&mut wire, &guess);
        assert_eq!(longest(&mut wire), 1400 + if v6 { 48 } else { 28 });
        complain(&mut wire, &whole);
        let longest = longest(&mut wire);
        assert!((mtu - 8..=mtu).contains(&longest), "{longest}");
        // Connections want better evidence: a number that is under way.
        let (id, _) = wire.connected(b, a, if v6 { "[fd00::1]:80" } else { "10.0.0.1:80" });
        wire.record.clear();
        assert_eq!(wire.send(b, id, &bytes(5000)), Ok(5000));
        wire.settle();
        assert_eq!(wire.sent_by(b).map(|sent| sent.bytes.len()).max(), Some(1514));
    }
}
