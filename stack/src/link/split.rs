//! Software segmentation: a super-frame as the frames that a wire would carry, with complete checksums.

use super::{Checksum, Frame, MAX_DATAGRAMS, SegmentKind, Segmentation};
use crate::net::ip::Packet;
use crate::net::{checksum, ip};

/// Flags that only the last segment has (RFC 9293 section 3.1), and the one that only the first has (RFC 3168).
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
/// Lengths of a TCP header at least, and of a UDP header.
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// Offsets in the TCP header.
const SEQ: usize = 4;
const FLAGS: usize = 13;

/// The frames of a super-frame; an ordinary one with its checksum completed. What contradicts itself is
/// dropped, as a network card would do.
pub(crate) fn split(mut frame: Frame) -> Vec<Frame> {
    let Some(Segmentation { kind, size, header_len }) = frame.segmentation.take() else {
        return if complete(&mut frame) { vec![frame] } else { Vec::new() };
    };
    let (size, headers) = (usize::from(size), usize::from(header_len));
    let Some(packet) = parse(frame.bytes()) else { return Vec::new() };
    let fits = match kind {
        SegmentKind::Udp => packet.protocol == checksum::UDP && packet.payload + UDP_HEADER == headers,
        _ => packet.protocol == checksum::TCP && packet.payload + TCP_HEADER <= headers,
    };
    if size == 0 || !fits || headers > packet.end {
        return Vec::new();
    }
    let payload = packet.end - headers;
    let count = payload.div_ceil(size).max(1);
    if kind == SegmentKind::Udp && count > MAX_DATAGRAMS {
        return Vec::new();
    }
    let cut = |index| segment(&frame, &packet, (kind, headers), index, size, index + 1 == count);
    (0..count).map(cut).collect()
}

/// The segment with that index of a super-frame.
fn segment(
    whole: &Frame,
    packet: &Packet,
    (kind, headers): (SegmentKind, usize),
    index: usize,
    size: usize,
    last: bool,
) -> Frame {
    let bytes = whole.bytes();
    let start = headers + index * size;
    let payload = &bytes[start..packet.end.min(start + size)];
    let mut frame = Frame::with_capacity(headers + payload.len());
    frame.set_len(headers + payload.len());
    let out = frame.bytes_mut();
    out[..headers].copy_from_slice(&bytes[..headers]);
    out[headers..].copy_from_slice(payload);
    set_length(out, packet);
    if packet.source.is_ipv4() {
        set_identification(&mut out[packet.header..packet.payload], index);
    }
    let tcp = &mut out[packet.payload..];
    if kind == SegmentKind::Udp {
        finish_datagram(packet, tcp, whole.checksum);
        return frame;
    }
    if let Some(seq) = tcp[SEQ..].first_chunk_mut::<4>() {
        // Modulo 2^32, as sequence numbers are.
        *seq = u32::from_be_bytes(*seq).wrapping_add((index * size) as u32).to_be_bytes();
    }
    if !last {
        tcp[FLAGS] &= !(FIN | PSH);
    }
    if index > 0 {
        tcp[FLAGS] &= !CWR;
    }
    checksum::fill(packet.source, packet.destination, checksum::TCP, tcp);
    frame
}

/// Gives a datagram that was cut out of a super-frame its length and checksum.
fn finish_datagram(packet: &Packet, datagram: &mut [u8], checksum: Checksum) {
    let len = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
    datagram[4..6].copy_from_slice(&len.to_be_bytes());
    // RFC 768: a sender that made none.
    let unsummed = datagram[6..8] == [0, 0] && !matches!(checksum, Checksum::Partial { .. });
    if !unsummed {
        checksum::fill(packet.source, packet.destination, checksum::UDP, datagram);
    }
}

/// Writes the length of a packet that ends with its frame into its IP header.
fn set_length(frame: &mut [u8], packet: &Packet) {
    let len = |from: usize| u16::try_from(frame.len() - from).unwrap_or(u16::MAX).to_be_bytes();
    if packet.source.is_ipv4() {
        let total = len(packet.header);
        let header = &mut frame[packet.header..packet.payload];
        header[2..4].copy_from_slice(&total);
        header[10..12].fill(0);
        let sum = checksum::of(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        let payload = len(packet.header + ip::V6_HEADER_LEN);
        frame[packet.header + 4..packet.header + 6].copy_from_slice(&payload);
    }
}

/// Gives the segment with that index a number of its own if it may be cut further (RFC 6864 section 4.2).
fn set_identification(header: &mut [u8], index: usize) {
    const DONT_FRAGMENT: u8 = 0x40;
    if header[6] & DONT_FRAGMENT != 0 {
        return;
    }
    let (before, check) =
        (u16::from_be_bytes([header[4], header[5]]), u16::from_be_bytes([header[10], header[11]]));
    // Modulo 2^16, as Linux counts them.
    let after = before.wrapping_add(index as u16);
    header[4..6].copy_from_slice(&after.to_be_bytes());
    header[10..12].copy_from_slice(&checksum::update(check, before, after).to_be_bytes());
}

/// Completes a partial checksum (virtio 1.2, 5.1.6.2); false when it lies outside of the frame.
fn complete(frame: &mut Frame) -> bool {
    let Checksum::Partial { start, offset } = frame.checksum else {
        return true;
    };
    let Some(transport) = frame.bytes_mut().get_mut(usize::from(start)..) else { return false };
    let sum = match checksum::of(transport) {
        // RFC 768: zero means "no checksum" for UDP, and the other zero is as good for TCP.
        0 => 0xffff,
        sum => sum,
    };
    let Some(field) = transport.get_mut(usize::from(offset)..).and_then(<[u8]>::first_chunk_mut::<2>) else {
        return false;
    };
    *field = sum.to_be_bytes();
    frame.checksum = Checksum::Unverified;
    true
}

fn parse(frame: &[u8]) -> Option<Packet> {
    Packet::parse(frame).ok().filter(|packet| packet.part.is_none())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::link::SegmentKind;
    use crate::net::ethernet;

    const FIN_PSH_CWR: u8 = FIN | PSH | CWR;

    /// A super-frame with `payload` bytes that count up, segments of `size`, and a partial checksum.
    fn super_frame(source: &str, destination: &str, payload: usize, size: u16) -> Frame {
        let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        let transport = ethernet::HEADER_LEN + ip::header_len(source);
        let headers = transport + 20;
        let mut frame = Frame::with_capacity(headers + payload);
        frame.set_len(headers + payload);
        let bytes = frame.bytes_mut();
        bytes.fill(0);
        for (at, byte) in bytes[headers..].iter_mut().enumerate() {
            *byte = (at % 251) as u8;
        }
        ip::emit(&mut bytes[ethernet::HEADER_LEN..], source, destination, checksum::TCP, 64);
        bytes[transport + 4..transport + 8].copy_from_slice(&u32::MAX.to_be_bytes());
        bytes[transport + 12] = 5 << 4;
        bytes[transport + 13] = FIN_PSH_CWR;
        checksum::fill_partial(source, destination, checksum::TCP, &mut bytes[transport..], 16);
        frame.checksum = Checksum::Partial { start: transport as u16, offset: 16 };
        let kind = if source.is_ipv4() { SegmentKind::Tcp4 } else { SegmentKind::Tcp6 };
        frame.segmentation = Some(Segmentation { kind, size, header_len: headers as u16 });
        frame
    }

    fn check(payload: usize, size: u16, source: &str, destination: &str) {
        let frames = split(super_frame(source, destination, payload, size));
        let mut seq = u32::MAX;
        let mut all = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            assert_eq!((frame.checksum, frame.segmentation), (Checksum::Unverified, None));
            let bytes = frame.bytes();
            let packet = parse(bytes).expect("a good IP header");
            assert_eq!(packet.end, bytes.len());
            let tcp = &bytes[packet.payload..];
            assert!(checksum::verify(packet.source, packet.destination, checksum::TCP, tcp));
            assert_eq!(tcp[4..8], seq.to_be_bytes());
            let mut flags = if index + 1 == frames.len() { FIN | PSH } else { 0 };
            flags |= if index == 0 { CWR } else { 0 };
            assert_eq!(tcp[13], flags);
            assert!(tcp.len() - 20 == usize::from(size) || index + 1 == frames.len());
            seq = seq.wrapping_add(tcp.len() as u32 - 20);
            all.extend_from_slice(&tcp[20..]);
        }
        assert!(all.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
        assert_eq!(all.len(), payload);
    }

    /// The same of UDP.
    fn datagrams(source: &str, destination: &str, payload: usize, size: u16) -> Frame {
        let mut frame = super_frame(source, destination, payload.max(12) - 12, size);
        let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        let transport = ethernet::HEADER_LEN + ip::header_len(source);
        frame.set_len(transport + 8 + payload);
        let bytes = frame.bytes_mut();
        ip::emit(&mut bytes[ethernet::HEADER_LEN..], source, destination, checksum::UDP, 64);
        for (at, byte) in bytes[transport + 8..].iter_mut().enumerate() {
            *byte = (at % 251) as u8;
        }
        bytes[transport..transport + 4].copy_from_slice(&[1, 2, 3, 4]);
        let len = (8 + payload) as u16;
        bytes[transport + 4..transport + 6].copy_from_slice(&len.to_be_bytes());
        checksum::fill_partial(source, destination, checksum::UDP, &mut bytes[transport..], 6);
        frame.checksum = Checksum::Partial { start: transport as u16, offset: 6 };
        frame.segmentation =
            Some(Segmentation { kind: SegmentKind::Udp, size, header_len: (transport + 8) as u16 });
        frame
    }

    #[test]
    fn datagrams_have_lengths_of_their_own() {
        for (source, destination) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let frames = split(datagrams(source, destination, 3500, 1000));
            let mut all = Vec::new();
            for frame in &frames {
                let packet = parse(frame.bytes()).expect("a good IP header");
                let datagram = &frame.bytes()[packet.payload..packet.end];
                assert!(checksum::verify(packet.source, packet.destination, checksum::UDP, datagram));
                assert_eq!(datagram[..4], [1, 2, 3, 4]);
                assert_eq!(datagram[4..6], (datagram.len() as u16).to_be_bytes());
                assert!(frame.len() == packet.end && frame.segmentation.is_none());
                all.push(datagram.len() - 8);
            }
            assert_eq!(all, [1000, 1000, 1000, 500]);
            assert_eq!(split(datagrams(source, destination, 128, 1)).len(), 128);
            assert!(split(datagrams(source, destination, 129, 1)).is_empty(), "more than anybody sends");
        }
    }

    #[test]
    fn a_sender_without_checksums_is_left_so_rfc_768() {
        let mut frame = datagrams("10.0.0.1", "10.0.0.2", 3500, 1000);
        frame.checksum = Checksum::Verified;
        frame.bytes_mut()[40..42].fill(0);
        assert!(split(frame).iter().all(|frame| frame.bytes()[40..42] == [0, 0]));
    }

    #[test]
    fn one_protocol_is_not_cut_as_the_other() {
        for (kind, protocol) in [(SegmentKind::Udp, checksum::TCP), (SegmentKind::Tcp4, checksum::UDP)] {
            let mut frame = if protocol == checksum::TCP {
                super_frame("10.0.0.1", "10.0.0.2", 5000, 1460)
            } else {
                datagrams("10.0.0.1", "10.0.0.2", 5000, 1460)
            };
            let segmentation = frame.segmentation.as_mut().unwrap();
            segmentation.kind = kind;
            segmentation.header_len = if kind == SegmentKind::Udp { 42 } else { 54 };
            assert!(split(frame).is_empty());
        }
    }

    #[test]
    fn what_contradicts_itself_is_dropped() {
        for change in [
            |segmentation: &mut Segmentation| segmentation.size = 0,
            |segmentation: &mut Segmentation| segmentation.header_len = 20,
            |segmentation: &mut Segmentation| segmentation.header_len = 60_000,
        ] {
            let mut frame = super_frame("10.0.0.1", "10.0.0.2", 5000, 1460);
            change(frame.segmentation.as_mut().unwrap());
            assert!(split(frame).is_empty());
        }
        let mut short = Frame::from_slice(&[0; 20]);
        short.checksum = Checksum::Partial { start: 19, offset: 16 };
        assert!(split(short).is_empty());
    }

    #[test]
    fn segments_that_may_be_cut_have_numbers_rfc_6864_4_2() {
        for (flags, numbers) in [(0x40, [0xffff, 0xffff, 0xffff]), (0, [0xffff, 0, 1])] {
            let mut whole = super_frame("10.0.0.1", "10.0.0.2", 4000, 1460);
            let header = &mut whole.bytes_mut()[14..34];
            header[4..8].copy_from_slice(&[0xff, 0xff, flags, 0]);
            header[10..12].fill(0);
            let sum = checksum::of(header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            let frames = split(whole);
            let number = |frame: &Frame| u16::from_be_bytes([frame.bytes()[18], frame.bytes()[19]]);
            assert_eq!(frames.iter().map(number).collect::<Vec<_>>(), numbers);
            assert!(frames.iter().all(|frame| checksum::of(&frame.bytes()[14..34]) == 0));
        }
    }

    #[test]
    fn an_ordinary_frame_gets_its_checksum() {
        let mut frame = super_frame("10.0.0.1", "10.0.0.2", 100, 1460);
        frame.segmentation = None;
        let frame = split(frame).pop().expect("one");
        let packet = parse(frame.bytes()).expect("good");
        assert_eq!(frame.checksum, Checksum::Unverified);
        let tcp = &frame.bytes()[packet.payload..];
        assert!(checksum::verify(packet.source, packet.destination, checksum::TCP, tcp));
    }

    proptest! {
        #[test]
        fn segments_are_the_super_frame(payload in 0usize..60_000, size in 100u16..9000) {
            check(payload, size, "10.0.0.1", "10.0.0.2");
            check(payload, size, "fd00::1", "fd00::2");
        }
    }
}
