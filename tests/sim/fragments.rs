//! Datagrams in fragments that arrive (RFC 791, RFC 815, RFC 1122 section 3.3.2, RFC 5722, RFC 6946, RFC 8200 section
//! 4.5), and the attacks that are made of such.

use std::net::IpAddr;
use std::time::Duration;

use ioth_stack::EndpointId;

use crate::wire::frames::{self, Part, Tcp};
use crate::wire::{Dice, Host, Wire};

mod ecn;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Host b, who has a UDP endpoint at port 53, and who sends fragments to it in the name of host a.
struct Scene {
    wire: Wire,
    host: Host,
    id: EndpointId,
    addresses: (IpAddr, IpAddr),
}

impl Scene {
    fn new(v6: bool) -> Self {
        let (mut wire, a, host) = Wire::pair();
        let (own, peer, source) = if v6 {
            ("[fd00::2]:53", "[fd00::1]:9", "fd00::1")
        } else {
            ("10.0.0.2:53", "10.0.0.1:9", "10.0.0.1")
        };
        let (id, other) = (wire.datagram(host, own), wire.datagram(a, peer));
        // Both know each other, so that errors leave at once.
        let now = wire.now();
        let _ = wire[host].send_to(now, id, b"hello", Some(peer.parse().unwrap())).unwrap();
        wire.settle();
        assert_eq!(wire.received(a, other), b"hello");
        wire.record.clear();
        let own: std::net::SocketAddr = own.parse().unwrap();
        Self { wire, host, id, addresses: (source.parse().unwrap(), own.ip()) }
    }

    fn families() -> [Self; 2] {
        [false, true].map(Self::new)
    }

    fn v6(&self) -> bool {
        self.addresses.0.is_ipv6()
    }

    /// A UDP datagram to port 53 with so many bytes of payload, each a function of its place and `salt`.
    fn datagram(&self, len: usize, salt: u8) -> Vec<u8> {
        let mut bytes = [9u16, 53, len as u16 + 8, 0].map(u16::to_be_bytes).concat();
        bytes.extend((0..len).map(|at| (at % 251) as u8 ^ salt));
        let frame = match self.addresses {
            (IpAddr::V4(from), IpAddr::V4(to)) => frames::ipv4([0; 6], from, to, UDP, &bytes)[34..].to_vec(),
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                frames::ipv6([0; 6], from, to, UDP, 64, &bytes)[54..].to_vec()
            }
            _ => unreachable!(),
        };
        assert_eq!(frame.len(), len + 8);
        frame
    }

    fn frame(&self, protocol: u8, identification: u32, offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
        let part = Part { identification, offset, more };
        frames::fragment(self.wire.mac(self.host), self.addresses, protocol, part, data)
    }

    fn says(&mut self, identification: u32, offset: usize, more: bool, data: &[u8]) {
        let frame = self.frame(UDP, identification, offset, more, data);
        self.wire.inject_bytes(self.host, &frame);
    }

    /// A datagram in frames with so many bytes of it in each.
    fn cut(&self, identification: u32, datagram: &[u8], size: usize) -> Vec<Vec<u8>> {
        let count = datagram.len().div_ceil(size);
        let pieces = datagram.chunks(size).enumerate();
        pieces.map(|(at, data)| self.frame(UDP, identification, at * size, at + 1 < count, data)).collect()
    }

    fn inject(&mut self, frames: &[Vec<u8>]) {
        for frame in frames {
            self.wire.inject_bytes(self.host, frame);
        }
    }

    fn received(&mut self) -> Option<Vec<u8>> {
        self.wire.settle();
        self.wire.try_received(self.host, self.id)
    }

    /// Type, code, and what is behind the checksum of every ICMP message that the host has sent since the last question.
    fn complaints(&mut self) -> Vec<(u8, u8, Vec<u8>)> {
        self.wire.settle();
        let icmp = self.wire.sent_by(self.host).filter_map(|sent| match sent.bytes[12..14] {
            [8, 0] if sent.bytes[23] == 1 => sent.bytes.get(34..),
            [0x86, 0xdd] if sent.bytes[20] == 58 && sent.bytes[54] < 135 => sent.bytes.get(54..),
            _ => None,
        });
        let complaints = icmp.map(|icmp| (icmp[0], icmp[1], icmp[4..].to_vec())).collect();
        self.wire.record.clear();
        complaints
    }

    /// A datagram in fragments still arrives, and the host answers a call within a second.
    fn is_well(&mut self) {
        while self.received().is_some() {}
        let datagram = self.datagram(4000, 0x5a);
        let frames = self.cut(0xffff, &datagram, 1400);
        self.inject(&frames);
        assert_eq!(self.received().as_deref(), Some(&datagram[8..]));
        assert_eq!(self.wire[self.host].counters().contained_panics, 0);
    }
}

#[test]
fn in_any_order_and_more_than_once_rfc_791_3_2_rfc_8200_4_5() {
    for mut scene in Scene::families() {
        let datagram = scene.datagram(5000, 0);
        let mut dice = Dice::new(1);
        for round in 0..200 {
            let mut frames = scene.cut(round, &datagram, [8, 64, 1400, 2504][dice.below(4)]);
            match round {
                0 => {}
                1 => frames.reverse(),
                _ => {
                    // Some of them twice, but not the last to arrive: behind it they begin another datagram.
                    let last = frames.len() - 1;
                    for _ in 0..dice.below(5) {
                        let twice = frames[frames.len() - 1 - last + dice.below(last)].clone();
                        frames.insert(0, twice);
                    }
                    let last = frames.len() - 1;
                    for at in 1..last {
                        frames.swap(at, 1 + dice.below(at));
                    }
                }
            }
            scene.inject(&frames);
            assert_eq!(scene.received().as_deref(), Some(&datagram[8..]), "round {round}");
        }
        let counters = *scene.wire[scene.host].counters();
        assert_eq!((counters.reassembly_oks, counters.reassembly_fails), (200, 0));
        assert!(counters.reassembly_requests > 400);
        assert_eq!(scene.complaints(), []);
    }
}

#[test]
fn the_largest_in_the_smallest_pieces_rfc_791_3_1() {
    for mut scene in Scene::families() {
        let most = if scene.v6() { 65_527 } else { 65_507 };
        let datagram = scene.datagram(most, 1);
        for size in [8, 1480] {
            let frames = scene.cut(size, &datagram, size as usize);
            scene.inject(&frames);
            assert_eq!(scene.received().as_deref(), Some(&datagram[8..]));
        }
    }
}

#[test]
fn datagrams_do_not_mix_rfc_791_3_2() {
    for mut scene in Scene::families() {
        let datagrams: Vec<_> = (0..20).map(|salt| scene.datagram(3000, salt)).collect();
        let cut: Vec<_> = datagrams.iter().zip(0..).map(|(bytes, id)| scene.cut(id, bytes, 1400)).collect();
        for at in 0..3 {
            for frames in &cut {
                scene.inject(&frames[at..=at]);
            }
        }
        for datagram in &datagrams {
            assert_eq!(scene.received().as_deref(), Some(&datagram[8..]));
        }
        // Another source, and with IPv4 another protocol, is another datagram.
        let mut other = Scene::new(scene.v6());
        other.addresses.0 = if scene.v6() { "fd00::9" } else { "10.0.0.9" }.parse().unwrap();
        let frames = scene.cut(7, &datagrams[7], 1400);
        scene.inject(&frames[..2]);
        scene.inject(&[other.frame(UDP, 7, 2800, false, &datagrams[7][2800..])]);
        if !scene.v6() {
            scene.inject(&[scene.frame(TCP, 7, 2800, false, &datagrams[7][2800..])]);
        }
        assert_eq!(scene.received(), None);
        scene.inject(&frames[2..]);
        assert_eq!(scene.received().as_deref(), Some(&datagrams[7][8..]));
    }
}

#[test]
fn the_sum_is_that_of_the_whole_rfc_768() {
    for mut scene in Scene::families() {
        let mut datagram = scene.datagram(5000, 0);
        datagram[4000] ^= 1;
        let frames = scene.cut(1, &datagram, 1400);
        scene.inject(&frames);
        assert_eq!(scene.received(), None);
        assert_eq!(scene.wire[scene.host].counters().bad_checksum, 1);
    }
}

#[test]
fn what_overlaps_is_dropped_in_silence_rfc_5722_4() {
    // The second fragment of the list overlaps another: by a word, inside, around, with other bytes.
    for (start, end) in [(1392, 2800), (8, 16), (0, 1408), (1400, 4008), (0, 8), (1400, 2800)] {
        for mut scene in Scene::families() {
            let datagram = scene.datagram(4000, 0);
            let other = scene.datagram(4000, 0xaa);
            let frames = scene.cut(1, &datagram, 1400);
            scene.inject(&frames[..2]);
            let last = end == datagram.len();
            scene.says(1, start, !last, &other[start..end]);
            assert_eq!(scene.received(), None);
            assert_eq!(scene.wire[scene.host].counters().reassembly_fails, 1, "{start} to {end}");
            // The third alone completes nothing, and is no first fragment to be quoted.
            scene.inject(&frames[2..]);
            assert_eq!(scene.received(), None);
            scene.wire.run(Duration::from_secs(100));
            assert_eq!(scene.complaints(), []);
            scene.is_well();
        }
    }
}

#[test]
fn a_hole_is_not_waited_for_rfc_1122_3_3_2_rfc_8200_4_5() {
    for mut scene in Scene::families() {
        let datagram = scene.datagram(5000, 0);
        let frames = scene.cut(1, &datagram, 1400);
        let (lifetime, kind) = if scene.v6() { (60, 3) } else { (30, 11) };
        scene.inject(&[frames[0].clone(), frames[1].clone(), frames[3].clone()]);
        scene.wire.run(Duration::from_secs(lifetime - 1));
        assert_eq!(scene.complaints(), []);
        scene.wire.run(Duration::from_secs(2));
        let complaints = scene.complaints();
        let [(said, code, rest)] = &*complaints else { panic!("{complaints:?}") };
        assert_eq!((*said, *code, &rest[..4]), (kind, 1, &[0; 4][..]));
        // The first fragment is quoted, with its headers.
        let quoted = rest.len() - 4;
        assert_eq!(rest[4..], frames[0][14..14 + quoted]);
        assert!(quoted >= 28);
        // The missing one comes too late.
        scene.inject(&[frames[2].clone()]);
        assert_eq!(scene.received(), None);
        let counters = *scene.wire[scene.host].counters();
        assert_eq!((counters.reassembly_timeouts, counters.reassembly_fails), (1, 1));
        scene.wire.run(Duration::from_secs(100));
        // Without the first nothing can be quoted.
        assert_eq!(scene.complaints(), []);
        assert_eq!(scene.wire[scene.host].counters().reassembly_timeouts, 2);
    }
}

#[test]
fn nobody_is_told_of_groups_and_errors_rfc_1122_3_2_2() {
    for mut scene in Scene::families() {
        let own = scene.addresses.1;
        let groups: &[&str] =
            if scene.v6() { &["ff02::1"] } else { &["10.0.0.255", "255.255.255.255", "224.0.0.1"] };
        for group in groups {
            scene.addresses.1 = group.parse().unwrap();
            scene.says(1, 0, true, &[0; 64]);
        }
        scene.addresses.1 = own;
        // To this host, but with the MAC of everybody.
        let mut all = scene.frame(UDP, 2, 0, true, &[0; 64]);
        all[..6].fill(0xff);
        // An error.
        let error = scene.frame(if scene.v6() { 58 } else { 1 }, 3, 0, true, &[3; 64]);
        scene.inject(&[all, error]);
        scene.wire.run(Duration::from_secs(100));
        assert_eq!(scene.complaints(), []);
        assert_eq!(scene.wire[scene.host].counters().reassembly_timeouts, groups.len() as u64 + 2);
    }
}

#[test]
fn ends_that_contradict_each_other() {
    for mut scene in Scene::families() {
        let datagram = scene.datagram(4000, 0);
        for (id, lies) in [
            // Two ends; one behind the end; an end before what was there; nothing at all.
            [(2800, false, &[0; 16][..]), (2816, false, &[0; 8])],
            [(2800, false, &[0; 16]), (2816, true, &[0; 8])],
            [(2800, true, &[0; 16]), (1400, false, &[0; 8])],
            [(1400, true, &[]), (1408, false, &[])],
        ]
        .into_iter()
        .enumerate()
        {
            let id = id as u32;
            scene.says(id, 0, true, &datagram[..1400]);
            for (offset, more, data) in lies {
                scene.says(id, offset, more, data);
            }
            scene.says(id, 1400, true, &datagram[1400..2800]);
            scene.says(id, 2800, false, &datagram[2800..]);
            assert_eq!(scene.received(), None);
        }
        scene.is_well();
    }
}

#[test]
fn no_datagram_is_longer_than_its_length_field_can_say() {
    for mut scene in Scene::families() {
        let v6 = scene.v6();
        // "Ping of death": the last fragment ends behind 65 535.
        scene.says(1, 0, true, &[0; 1400]);
        scene.says(1, 65_528, false, &[0; 1000]);
        scene.says(2, 65_528, true, &[0; 8]);
        let complaints = scene.complaints();
        if v6 {
            // RFC 8200 section 4.5: a parameter problem at the offset.
            assert_eq!(complaints.len(), 2);
            assert!(complaints.iter().all(|(kind, code, rest)| (*kind, *code, rest[3]) == (4, 0, 42)));
        } else {
            assert_eq!(complaints, []);
        }
        // Each fits for itself, but not with the header of the first (IPv4 only: IPv6 does not count it).
        if !v6 {
            let datagram = scene.datagram(65_507, 0);
            let frames = scene.cut(3, &datagram, 1480);
            let mut first = scene.frame(UDP, 3, 0, true, &[&[1; 4], &datagram[..1480]].concat());
            first[14] = 0x46;
            crate::feed::checksum::fix(&mut first);
            first[34..].copy_from_slice(&[&[1; 4], &datagram[..1480]].concat());
            scene.inject(&frames[1..]);
            scene.inject(&[first]);
            assert_eq!(scene.received(), None);
            assert_eq!(scene.wire[scene.host].counters().reassembly_oks, 0);
        }
        scene.is_well();
    }
}

#[test]
fn odd_lengths_in_the_middle() {
    let [mut four, mut six] = Scene::families();
    // Linux takes what makes whole words.
    let datagram = four.datagram(96, 0);
    four.says(1, 0, true, &datagram[..71]);
    four.says(1, 64, false, &datagram[64..]);
    assert_eq!(four.received().as_deref(), Some(&datagram[8..]));
    // And quotes that.
    four.says(2, 0, true, &datagram[..71]);
    four.wire.run(Duration::from_secs(31));
    let complaints = four.complaints();
    assert_eq!((complaints.len(), &complaints[0].2[24..]), (1, &datagram[..64]));
    // RFC 8200 section 4.5: a parameter problem at the payload length.
    six.says(1, 0, true, &datagram[..71]);
    let complaints = six.complaints();
    assert_eq!(
        (complaints.len(), complaints[0].0, complaints[0].1, &complaints[0].2[..4]),
        (1, 4, 0, &[0, 0, 0, 4][..])
    );
    assert_eq!(six.wire[six.host].counters().malformed, 1);
}

#[test]
fn the_first_fragment_has_all_headers_rfc_8200_4_5_rfc_7112_5() {
    let mut scene = Scene::new(true);
    for (protocol, data) in
        [(TCP, &[0; 16][..]), (60, &[17, 0, 0, 0, 0, 0, 0, 0]), (60, &[17, 2, 0, 0, 0, 0, 0, 0])]
    {
        let frame = scene.frame(protocol, 1, 0, true, data);
        scene.inject(&[frame]);
        let complaints = scene.complaints();
        assert_eq!(
            (complaints.len(), complaints[0].0, complaints[0].1, &complaints[0].2[..4]),
            (1, 4, 3, &[0; 4][..])
        );
    }
    assert_eq!(scene.wire[scene.host].poll_timeout(), None);
}

#[test]
fn one_fragment_alone_is_a_datagram_rfc_6946_4() {
    let mut scene = Scene::new(true);
    let (long, short) = (scene.datagram(2000, 0), scene.datagram(100, 1));
    let frames = scene.cut(1, &long, 1400);
    scene.inject(&frames[..1]);
    scene.says(1, 0, false, &short);
    assert_eq!(scene.received().as_deref(), Some(&short[8..]));
    scene.inject(&frames[1..]);
    assert_eq!(scene.received().as_deref(), Some(&long[8..]));
    // As Linux counts it: it came as a fragment, and is whole.
    let counters = scene.wire[scene.host].counters();
    assert_eq!((counters.reassembly_requests, counters.reassembly_oks), (3, 2));
}

#[test]
fn what_does_not_come_in_fragments() {
    let mut scene = Scene::new(true);
    // Fragments in fragments.
    let datagram = scene.datagram(200, 0);
    let inner = [&[UDP, 0, 0, 1, 0, 0, 0, 9][..], &datagram[..104]].concat();
    let frames: Vec<_> = [(0, true, &inner[..64]), (64, false, &inner[64..])]
        .map(|(at, more, data)| scene.frame(44, 1, at, more, data))
        .into();
    scene.inject(&frames);
    assert_eq!(scene.wire[scene.host].counters().malformed, 1);
    // RFC 6980 section 5: Neighbour Discovery.
    let mut message =
        [&[135, 0, 0, 0, 0, 0, 0, 0][..], &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]].concat();
    message.extend([1, 1, 2, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa]);
    let (IpAddr::V6(from), IpAddr::V6(to)) = scene.addresses else { unreachable!() };
    let whole = frames::ipv6([0; 6], from, to, 58, 255, &message);
    let mut frames: Vec<_> = [(0, true, &whole[54..70]), (16, false, &whole[70..])]
        .map(|(at, more, data)| scene.frame(58, 2, at, more, data))
        .into();
    frames.iter_mut().for_each(|frame| frame[21] = 255);
    scene.inject(&frames);
    scene.wire.settle();
    assert_eq!(scene.wire[scene.host].counters().reassembly_oks, 2);
    assert_eq!(scene.wire.sent_by(scene.host).count(), 0);
}

#[test]
fn a_segment_in_crumbs_is_a_segment() {
    // RFC 1858: whoever filters cannot see its flags; the host sees all of it.
    let mut scene = Scene::new(false);
    let listener = scene.wire.listen(scene.host, "10.0.0.2:80", 1);
    let syn = Tcp { flags: 2, seq: 7, window: 1000, ..Tcp::default() };
    let (from, to) = scene.addresses;
    let whole = syn.in_frame([0; 6], (from, 4000), (to, 80));
    let frames: Vec<_> = [(0, true, 34..42), (8, true, 42..50), (16, false, 50..54)]
        .map(|(at, more, range)| scene.frame(TCP, 1, at, more, &whole[range]))
        .into();
    scene.inject(&frames);
    scene.wire.settle();
    let answers: Vec<_> = scene.wire.sent_by(scene.host).filter_map(|sent| Tcp::parse(&sent.bytes)).collect();
    assert_eq!((answers[0].flags, answers[0].ack), (18, 8));
    scene.wire.close(scene.host, listener);
}

#[test]
fn a_flood_of_first_fragments_from_many_sources() {
    for mut scene in Scene::families() {
        let own = scene.addresses.0;
        let datagram = scene.datagram(4000, 9);
        let mut frames = scene.cut(1, &datagram, 1400).into_iter();
        for number in 0..30_000u32 {
            let [_, x, y, z] = number.to_be_bytes();
            scene.addresses.0 = match own {
                IpAddr::V4(_) => [10, 1 + x, y, z].into(),
                IpAddr::V6(_) => [0xfd00, 0, 0, 0, 0, 1, u16::from(y), u16::from(z)].into(),
            };
            scene.says(number, 0, true, &[0; 1400]);
            // A datagram whose fragments are a part of what is kept apart.
            if number % 500 == 250 {
                scene.inject(&frames.next().map_or_else(Vec::new, |frame| vec![frame]));
            }
        }
        scene.addresses.0 = own;
        assert_eq!(scene.received().as_deref(), Some(&datagram[8..]));
        scene.wire.run(Duration::from_secs(100));
        let counters = *scene.wire[scene.host].counters();
        // No more than a table full of them was still there at the end.
        assert!((100..=1024).contains(&counters.reassembly_timeouts), "{counters:?}");
        assert_eq!(counters.reassembly_fails, 30_000);
        assert!(scene.complaints().len() <= 50);
        scene.is_well();
    }
}

#[test]
fn a_flood_from_one_source_costs_nobody_else_anything() {
    for mut scene in Scene::families() {
        let datagram = scene.datagram(60_000, 9);
        let frames = scene.cut(1, &datagram, 1400);
        scene.inject(&frames[1..]);
        let own = scene.addresses.0;
        scene.addresses.0 = if scene.v6() { "fd00::9" } else { "10.0.0.9" }.parse().unwrap();
        for number in 0..20_000 {
            scene.says(number, 8 * (number as usize % 100), number % 3 > 0, &[0; 1400]);
        }
        scene.addresses.0 = own;
        scene.inject(&frames[..1]);
        assert_eq!(scene.received().as_deref(), Some(&datagram[8..]));
        scene.is_well();
    }
}

#[test]
fn attacks_that_have_names() {
    for mut scene in Scene::families() {
        for id in 0..200u32 {
            // Teardrop, and Nestea with a header in between: the second lies inside the first.
            scene.says(6 * id, 0, true, &[0; 40]);
            scene.says(6 * id, 24, false, &[0; 8]);
            scene.says(6 * id, 0, true, &[0; 400]);
            // Bonk and Boink: the second begins behind the end, or far behind the first.
            scene.says(6 * id + 1, 0, true, &[0; 32]);
            scene.says(6 * id + 1, 40, false, &[0; 8]);
            // Rose: the first and the last, and nothing between.
            scene.says(6 * id + 2, 0, true, &[0; 32]);
            scene.says(6 * id + 2, 64_800, false, &[0; 32]);
            // Jolt and ping of death: one longer than any can be.
            for at in 0..45 {
                scene.says(6 * id + 3, 1480 * at, true, &[0; 1480]);
            }
            // Opentear, fragments without a first one and without a last.
            scene.says(6 * id + 4, 16, true, &[0; 8]);
            // Syndrop: overlaps in TCP.
            for (at, more, len) in [(0, true, 24), (16, false, 8), (8, true, 24)] {
                let frame = scene.frame(TCP, 6 * id + 5, at, more, &[0; 24][..len]);
                scene.inject(&[frame]);
            }
        }
        assert_eq!(scene.received(), None);
        assert_eq!(scene.wire[scene.host].counters().reassembly_oks, 0);
        scene.is_well();
        scene.wire.run(Duration::from_secs(100));
        scene.is_well();
        assert_eq!(scene.wire[scene.host].poll_timeout().filter(|at| *at < scene.wire.now()), None);
    }
}
