//! What a router does to the header of a packet on its way: one hop less, and fragments where IPv4 allows them.

use std::net::IpAddr;

use super::checksum;
use super::ethernet;
use super::ip::{self, Packet};
use crate::link::Frame;

/// Fields of the IPv4 header (RFC 791 section 3.1), and of the IPv6 one (RFC 8200 section 3).
const FRAGMENT: usize = 6;
const TTL: usize = 8;
const CHECK: usize = 10;
const V6_HOP_LIMIT: usize = 7;

const DONT_FRAGMENT: u8 = 0x40;
const MORE_FRAGMENTS: u16 = 0x2000;

/// Options of one byte, and those that lead a packet along a way of its own (RFC 791 section 3.1).
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
/// The bit of an option that every fragment has.
const COPIED: u8 = 0x80;

/// Takes one hop from the packet in a frame, which has two at least, and corrects the checksum of an IPv4 header.
pub(crate) fn take_hop(frame: &mut [u8]) {
    let header = &mut frame[ethernet::HEADER_LEN..];
    if header[0] >> 4 == 6 {
        header[V6_HOP_LIMIT] -= 1;
        return;
    }
    let word = |header: &[u8], at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (check, before) = (word(header, CHECK), word(header, TTL));
    header[TTL] -= 1;
    let check = checksum::update(check, before, word(header, TTL));
    header[CHECK..CHECK + 2].copy_from_slice(&check.to_be_bytes());
}

/// Whether the packet in a frame may not be cut by routers: IPv4 that says so, and IPv6 (RFC 8200 section 5).
pub(crate) fn dont_fragment(frame: &[u8], packet: &Packet) -> bool {
    packet.source.is_ipv6() || frame[packet.header + FRAGMENT] & DONT_FRAGMENT != 0
}

/// Whether a packet asks to be led along a way of its own, which is a way around filters, too (RFC 7126 sections 4.3 and
/// 4.4). Options that contradict themselves may be anything.
pub(crate) fn is_source_routed(frame: &[u8], packet: &Packet) -> bool {
    if packet.source.is_ipv6() {
        return false;
    }
    let header = &frame[packet.header + ip::V4_HEADER_LEN..packet.payload];
    let mut options = Options(header);
    options.any(|option| {
        matches!(option.map(|option| option[0]), Err(_) | Ok(LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE))
    })
}

/// The fragments, each of `mtu` bytes at most, of the IPv4 packet in a frame, which may be a fragment already. `None` when
/// its header leaves no room for any data.
pub(crate) fn cut(frame: &[u8], mtu: usize) -> Option<Vec<Frame>> {
    let packet = Packet::parse_v4(frame).ok()?;
    let (mut at, more) = packet.part.map_or((0, false), |part| (usize::from(part.offset), part.more));
    let mut data = &frame[packet.payload..packet.end];
    let mut header = frame[packet.header..packet.payload].to_vec();
    let mut fragments = Vec::with_capacity(data.len() / mtu + 1);
    while !data.is_empty() {
        let room = mtu.checked_sub(header.len())?;
        // Parts are counted in words of eight bytes.
        let len = if data.len() <= room { data.len() } else { room & !7 };
        let (part, rest) = data.split_at(len);
        if part.is_empty() {
            return None;
        }
        fragments.push(fragment(&header, part, at, more || !rest.is_empty()));
        if at == packet.part.map_or(0, |part| part.offset.into()) {
            header = header_of_others(&header);
        }
        at += part.len();
        data = rest;
    }
    Some(fragments)
}

fn fragment(header: &[u8], part: &[u8], at: usize, more: bool) -> Frame {
    let len = header.len() + part.len();
    let mut frame = Frame::with_capacity(ethernet::HEADER_LEN + len);
    frame.set_len(ethernet::HEADER_LEN + len);
    let (front, data) = frame.bytes_mut()[ethernet::HEADER_LEN..].split_at_mut(header.len());
    data.copy_from_slice(part);
    front.copy_from_slice(header);
    front[2..4].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    let more = if more { MORE_FRAGMENTS } else { 0 };
    let word = u16::try_from(at / 8).unwrap_or(u16::MAX) | more;
    front[FRAGMENT..FRAGMENT + 2].copy_from_slice(&word.to_be_bytes());
    front[CHECK..CHECK + 2].fill(0);
    let sum = checksum::of(front);
    front[CHECK..CHECK + 2].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The header of all fragments but the first: some options are in that one only.
fn header_of_others(header: &[u8]) -> Vec<u8> {
    let (fixed, options) = header.split_at(ip::V4_HEADER_LEN);
    let mut others = fixed.to_vec();
    for option in Options(options).map_while(Result::ok).filter(|option| option[0] & COPIED != 0) {
        others.extend_from_slice(option);
    }
    others.resize(others.len().next_multiple_of(4), END_OF_OPTIONS);
    others[0] = 0x40 | u8::try_from(others.len() / 4).unwrap_or(0);
    others
}

/// The options of an IPv4 header but for the paddings; an error is the last.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<&'a [u8], ()>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((&NO_OPERATION, rest)) = self.0.split_first() {
            self.0 = rest;
        }
        let all = std::mem::take(&mut self.0);
        match *all {
            [] | [END_OF_OPTIONS, ..] => None,
            [_, len, ..] if len >= 2 && usize::from(len) <= all.len() => {
                let (option, rest) = all.split_at(len.into());
                self.0 = rest;
                Some(Ok(option))
            }
            _ => Some(Err(())),
        }
    }
}

/// The destination of the packet in a frame, whatever else is in it.
pub(crate) fn destination(frame: &[u8]) -> Option<IpAddr> {
    const V4: usize = ethernet::HEADER_LEN + 16;
    const V6: usize = ethernet::HEADER_LEN + 24;
    match frame.get(ethernet::HEADER_LEN)? >> 4 {
        4 => frame.get(V4..)?.first_chunk().map(|octets: &[u8; 4]| (*octets).into()),
        6 => frame.get(V6..)?.first_chunk().map(|octets: &[u8; 16]| (*octets).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet with these options, a multiple of four bytes, and so much data that counts up.
    fn packet(options: &[u8], word: u16, data: usize) -> Vec<u8> {
        let header_len = 20 + options.len();
        let mut bytes = vec![0; ethernet::HEADER_LEN];
        bytes.extend([0x40 | (header_len / 4) as u8, 0]);
        bytes.extend(((header_len + data) as u16).to_be_bytes());
        bytes.extend([0x12, 0x34]);
        bytes.extend(word.to_be_bytes());
        bytes.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 1, 1]);
        bytes.extend(options);
        let sum = checksum::of(&bytes[14..]);
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        bytes.extend((0..data).map(|at| (at % 251) as u8));
        bytes
    }

    /// The data of the fragments at their places, after the rules for each were checked.
    fn checked(fragments: &[Frame], mtu: usize, from: usize, more: bool) -> Vec<u8> {
        let mut data = Vec::new();
        for (index, frame) in fragments.iter().enumerate() {
            let packet = Packet::parse(frame.bytes()).unwrap();
            assert!(frame.len() - ethernet::HEADER_LEN <= mtu);
            assert_eq!(packet.end, frame.len());
            let part = packet.part.unwrap();
            assert_eq!((usize::from(part.offset), part.identification), (from + data.len(), 0x1234));
            assert_eq!(part.more, more || index + 1 < fragments.len());
            data.extend(&frame.bytes()[packet.payload..]);
        }
        data
    }

    #[test]
    fn some_options_are_in_every_fragment_rfc_791_3_1() {
        // A padding, a record route (in the first only), a security option (in all).
        let options = [1, 7, 7, 4, 0, 0, 0, 0, 130, 3, 9, 0];
        let fragments = cut(&packet(&options, 0, 400), 200).unwrap();
        assert_eq!(checked(&fragments, 200, 0, false).len(), 400);
        let headers: Vec<_> = fragments.iter().map(|frame| frame.bytes()[14] & 15).collect();
        assert_eq!(headers, [8, 6, 6]);
        assert_eq!(fragments[0].bytes()[34..46], options);
        assert_eq!(fragments[1].bytes()[34..38], [130, 3, 9, 0]);
    }

    #[test]
    fn a_hop_less_and_a_good_checksum_rfc_1624() {
        for low in 0..=u16::MAX {
            let mut bytes = packet(&[], 0x4000, 0);
            bytes[18..20].copy_from_slice(&low.to_be_bytes());
            bytes[24..26].fill(0);
            let sum = checksum::of(&bytes[14..34]);
            bytes[24..26].copy_from_slice(&sum.to_be_bytes());
            take_hop(&mut bytes);
            assert_eq!((bytes[22], checksum::of(&bytes[14..34])), (63, 0), "{low:#x}");
        }
    }

    #[test]
    fn packets_with_a_way_of_their_own_are_known() {
        let routed = |options: &[u8]| {
            let bytes = packet(options, 0, 8);
            is_source_routed(&bytes, &Packet::parse(&bytes).unwrap())
        };
        assert!(routed(&[1, 131, 7, 4, 10, 0, 0, 9]));
        assert!(routed(&[7, 3, 4, 137, 3, 4, 0, 0]));
        assert!(routed(&[7, 9, 0, 0]), "a lie");
        assert!(routed(&[1, 1, 1, 68]), "a lie");
        assert!(routed(&[68, 0, 0, 0]), "a lie");
        assert!(!routed(&[]));
        assert!(!routed(&[148, 4, 0, 0]), "router alert");
        assert!(!routed(&[0, 131, 3, 4]), "behind the end");
    }

    proptest! {
        #[test]
        fn fragments_are_the_packet(data in 1_usize..4000, mtu in 68_usize..1500, from in 0_u16..200, more: bool) {
            let word = from | if more { MORE_FRAGMENTS } else { 0 };
            let data = if more { data.next_multiple_of(8) } else { data };
            let whole = packet(&[], word, data);
            let fragments = cut(&whole, mtu).unwrap();
            prop_assume!(fragments.len() > 1 || word != 0);
            prop_assert_eq!(&checked(&fragments, mtu, usize::from(from) * 8, more)[..], &whole[34..]);
        }

        #[test]
        fn any_options_can_be_cut(options in proptest::collection::vec(any::<u8>(), 0..=10)) {
            let options: Vec<u8> = options.iter().flat_map(|byte| [*byte, byte % 5, 3, 130]).collect();
            let fragments = cut(&packet(&options, 0, 100), 68).unwrap();
            prop_assert_eq!(checked(&fragments, 68, 0, false).len(), 100);
        }
    }
}
