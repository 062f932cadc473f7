//! Frames as a TAP hands them over, with anything in their headers: the body of a fuzz target, and of a seeded test.

use super::vnet_header::{self, GSO_UDP, HEADER_LEN};
use super::{Checksum, Frame, MAX_DATAGRAMS, SegmentKind, split};
use crate::net::ip::Packet;
use crate::net::{checksum, ethernet, ip};

/// Reads a virtio-net header and a frame from `data`, and cuts the frame as a link without offload needs it. Panics if what
/// the header is taken to say does not fit the frame, or the pieces are not what was in it.
pub fn run(data: &[u8]) {
    let Some((header, rest)) = data.split_first_chunk::<HEADER_LEN>() else { return };
    let Some((&how, rest)) = rest.split_first() else { return };
    let bytes = match how & 1 {
        0 => rest.to_vec(),
        _ if header[1] & 0x7f == GSO_UDP => udp(how, rest),
        _ => tcp(how, rest),
    };
    let Some((sum, segmentation)) = vnet_header::parse(header, &bytes) else { return };
    if let Checksum::Partial { start, offset } = sum {
        assert!(usize::from(start) + usize::from(offset) + 2 <= bytes.len());
    }
    if let Some(segmentation) = segmentation {
        assert!(segmentation.size > 0 && usize::from(segmentation.header_len) <= bytes.len());
    }
    // Written for the next one it says the same, but that whoever gets it need not verify it.
    let mut written = [0xff; HEADER_LEN];
    vnet_header::emit(&mut written, sum, segmentation);
    let said = if sum == Checksum::Verified { Checksum::Unverified } else { sum };
    assert_eq!(vnet_header::parse(&written, &bytes), Some((said, segmentation)));

    let mut frame = Frame::from_slice(&bytes);
    (frame.checksum, frame.segmentation) = (sum, segmentation);
    let pieces = split::split(frame);
    for piece in &pieces {
        assert!(piece.segmentation.is_none() && !matches!(piece.checksum, Checksum::Partial { .. }));
        assert!(piece.len() <= bytes.len());
    }
    if let Some(segmentation) = segmentation
        && !pieces.is_empty()
    {
        assert!(segmentation.kind != SegmentKind::Udp || pieces.len() <= MAX_DATAGRAMS);
        check_pieces(&bytes, usize::from(segmentation.header_len), &pieces);
    }
}

/// The pieces have what was in the super-frame, in order, each with right lengths and checksums.
fn check_pieces(whole: &[u8], headers: usize, pieces: &[Frame]) {
    let Ok(packet) = Packet::parse(whole) else { panic!("a packet that contradicts itself was cut") };
    let mut payload = Vec::new();
    for piece in pieces {
        let bytes = piece.bytes();
        let Ok(own) = Packet::parse(bytes) else { panic!("a piece contradicts itself: {bytes:02x?}") };
        assert_eq!(
            (own.source, own.destination, own.payload),
            (packet.source, packet.destination, packet.payload)
        );
        assert_eq!(own.end, bytes.len());
        let transport = &bytes[own.payload..];
        // RFC 768: a sender of UDP that makes no checksums.
        let unsummed = own.protocol == checksum::UDP && transport[6..8] == [0, 0];
        assert!(unsummed || checksum::verify(own.source, own.destination, own.protocol, transport));
        payload.extend_from_slice(&bytes[headers..]);
    }
    assert_eq!(payload, whole[headers..packet.end]);
}

/// The same of UDP.
fn udp(how: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = tcp(how, rest);
    let Ok(packet) = Packet::parse(&bytes) else { return bytes };
    let len = u16::try_from(bytes.len() - packet.payload).unwrap_or(u16::MAX);
    bytes[packet.payload + 4..packet.payload + 6].copy_from_slice(&len.to_be_bytes());
    ip::emit(&mut bytes[ethernet::HEADER_LEN..], packet.source, packet.destination, checksum::UDP, 64);
    bytes
}

/// A segment of TCP with right lengths, and as much payload as `how` says, whose headers have `rest` in them.
fn tcp(how: u8, rest: &[u8]) -> Vec<u8> {
    let (source, destination) = if how & 2 == 0 {
        ([10, 0, 0, 1].into(), [10, 0, 0, 2].into())
    } else {
        let [source, destination] =
            [1, 2].map(|last| std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
        (source.into(), destination.into())
    };
    let front = ethernet::HEADER_LEN + ip::header_len(destination);
    let mut bytes = vec![0; front + 20 + usize::from(how >> 2) * 1000];
    for (to, from) in bytes[front..].iter_mut().zip(rest.iter().cycle()) {
        *to = *from;
    }
    // Mostly without options.
    if how & 4 == 0 {
        bytes[front + 12] = 5 << 4;
    }
    bytes[12..14].copy_from_slice(&ethernet::ethertype(destination).to_be_bytes());
    ip::emit(&mut bytes[ethernet::HEADER_LEN..], source, destination, checksum::TCP, 64);
    bytes
}

#[cfg(test)]
mod tests {
    /// The next number of a sequence that looks drawn.
    fn drawn(seed: &mut u64) -> u8 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 56) as u8
    }

    #[test]
    fn what_the_fuzzer_does() {
        let mut seed = 1;
        for round in 0..3000u32 {
            let len = 13 + usize::from(drawn(&mut seed));
            let mut data: Vec<u8> = (0..len).map(|_| drawn(&mut seed)).collect();
            // Half of them say what a kernel would say, so that they are cut.
            if round % 2 == 0 {
                let v6 = data[12] & 2 != 0;
                let start: u16 = if v6 { 54 } else { 34 };
                data[..2].copy_from_slice(&[1, if v6 { 4 } else { 1 }]);
                data[6..8].copy_from_slice(&start.to_ne_bytes());
                data[8..10].copy_from_slice(&16u16.to_ne_bytes());
                data[12] |= 1;
                data[5] = 5;
                if round % 4 == 0 {
                    data[1] = 5;
                    data[8..10].copy_from_slice(&6u16.to_ne_bytes());
                }
            }
            super::run(&data);
        }
    }
}
