//! The virtio-net header in front of each frame of a TAP: checksum and segmentation left to do.
//!
//! Virtio 1.2, 5.1.6 (`struct virtio_net_hdr_v1`), in the byte order of the machine.

use super::{Checksum, MAX_DATAGRAMS, SegmentKind, Segmentation};

/// Length of the header, in bytes.
pub(super) const HEADER_LEN: usize = 12;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
pub(super) const GSO_UDP: u8 = 5;
/// Or'ed to a type: the first segment carries CWR. Segments are cut by whoever sends them on, so
/// nothing is lost by forgetting it.
const GSO_ECN: u8 = 0x80;

const ETHERNET: usize = 14;
const TCP_MIN: usize = 20;
const UDP_HEADER: usize = 8;
/// Offset of the checksum in the UDP header.
const UDP_CHECKSUM: u16 = 6;
/// The smallest segment of an honest super-frame: `TCP_MIN_GSO_SIZE` of Linux. Every piece costs a buffer.
const SEGMENT_MIN: u16 = 8;
/// The longest headers of one, which every piece repeats: Ethernet, and IPv6 with room for extensions, and TCP.
const HEADERS_MAX: usize = 512;

/// What the header says about the frame behind it. `None` for a header that contradicts the frame or
/// asks for what nobody announced to understand; such a frame is to be dropped.
///
/// Offsets in the result lie within the frame.
pub(super) fn parse(header: &[u8; HEADER_LEN], frame: &[u8]) -> Option<(Checksum, Option<Segmentation>)> {
    let [flags, gso_type, ..] = *header;
    let field = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    // The length field at 2 is a hint only: from Linux it counts what happens to be in the first buffer.
    let (gso_size, csum_start, csum_offset) = (field(4), field(6), field(8));

    let checksum = if flags & NEEDS_CSUM != 0 {
        let end = usize::from(csum_start) + usize::from(csum_offset) + 2;
        if usize::from(csum_start) < ETHERNET || end > frame.len() {
            return None;
        }
        Checksum::Partial { start: csum_start, offset: csum_offset }
    } else if flags & DATA_VALID != 0 {
        Checksum::Verified
    } else {
        Checksum::Unverified
    };

    let kind = match gso_type & !GSO_ECN {
        GSO_NONE => return Some((checksum, None)),
        GSO_TCPV4 => SegmentKind::Tcp4,
        GSO_TCPV6 => SegmentKind::Tcp6,
        GSO_UDP => SegmentKind::Udp,
        _ => return None,
    };
    let transport = match checksum {
        Checksum::Partial { start, .. } => usize::from(start),
        Checksum::Verified | Checksum::Unverified => transport_offset(kind, frame)?,
    };
    let (len, least) = match (kind, checksum) {
        // As Linux, which refuses any other place.
        (SegmentKind::Udp, Checksum::Partial { offset, .. }) if offset != UDP_CHECKSUM => return None,
        (SegmentKind::Udp, _) => (UDP_HEADER, 1),
        _ => (tcp_header_len(frame.get(transport..)?)?, SEGMENT_MIN),
    };
    let header_len = transport + len;
    if gso_size < least || header_len > frame.len().min(HEADERS_MAX) {
        return None;
    }
    // One byte in each datagram is honest; thousands of datagrams are not.
    let most = usize::from(gso_size) * MAX_DATAGRAMS;
    if kind == SegmentKind::Udp && frame.len() - header_len > most {
        return None;
    }
    let header_len = u16::try_from(header_len).ok()?;
    Some((checksum, Some(Segmentation { kind, size: gso_size, header_len })))
}

/// Writes the header of a frame to be sent.
pub(super) fn emit(header: &mut [u8; HEADER_LEN], checksum: Checksum, segmentation: Option<Segmentation>) {
    *header = [0; HEADER_LEN];
    let mut field = |at: usize, value: u16| header[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    if let Checksum::Partial { start, offset } = checksum {
        field(6, start);
        field(8, offset);
    }
    if let Some(segmentation) = segmentation {
        field(2, segmentation.header_len);
        field(4, segmentation.size);
        header[1] = match segmentation.kind {
            SegmentKind::Tcp4 => GSO_TCPV4,
            SegmentKind::Tcp6 => GSO_TCPV6,
            SegmentKind::Udp => GSO_UDP,
        };
    }
    // DATA_VALID is for the direction to us only (virtio 1.2, 5.1.6.2).
    header[0] = if matches!(checksum, Checksum::Partial { .. }) { NEEDS_CSUM } else { 0 };
}

/// Where the transport header begins in a frame with a tag at most and without extension headers, which is what gets here
/// without a partial checksum (from receive offload of a network card).
fn transport_offset(kind: SegmentKind, frame: &[u8]) -> Option<usize> {
    const IPV6_HEADER: usize = 40;
    const TAGGED: [u8; 2] = [0x81, 0x00];
    let front = if frame.get(ETHERNET - 2..ETHERNET)? == TAGGED { ETHERNET + 4 } else { ETHERNET };
    let ip = frame.get(front..)?;
    let (version, header_len, protocol) = match kind {
        SegmentKind::Tcp4 => (4, usize::from(ip.first()? & 0x0f) * 4, *ip.get(9)?),
        SegmentKind::Udp if ip.first()? >> 4 == 4 => (4, usize::from(ip.first()? & 0x0f) * 4, *ip.get(9)?),
        SegmentKind::Tcp6 | SegmentKind::Udp => (6, IPV6_HEADER, *ip.get(6)?),
    };
    let wanted = if kind == SegmentKind::Udp { libc::IPPROTO_UDP } else { libc::IPPROTO_TCP };
    let matches = ip.first()? >> 4 == version && i32::from(protocol) == wanted;
    matches.then_some(front + header_len)
}

fn tcp_header_len(tcp: &[u8]) -> Option<usize> {
    let len = usize::from(tcp.get(12)? >> 4) * 4;
    (len >= TCP_MIN).then_some(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUPER: Segmentation = Segmentation { kind: SegmentKind::Tcp4, size: 1460, header_len: 54 };

    /// A frame of TCP over IPv4, all zero but for what the parser looks at.
    fn tcp4(payload: usize) -> Vec<u8> {
        let mut frame = vec![0; 54 + payload];
        frame[14] = 0x45;
        frame[23] = 6;
        frame[46] = 5 << 4;
        frame
    }

    #[test]
    fn what_is_emitted_is_parsed() {
        let frame = tcp4(5000);
        let partial = Checksum::Partial { start: 34, offset: 16 };
        for (checksum, segmentation) in [
            (Checksum::Unverified, None),
            (partial, None),
            (partial, Some(SUPER)),
            (Checksum::Unverified, Some(SUPER)),
        ] {
            let mut header = [0xff; HEADER_LEN];
            emit(&mut header, checksum, segmentation);
            assert_eq!(parse(&header, &frame), Some((checksum, segmentation)));
        }
    }

    #[test]
    fn ecn_is_masked_and_the_header_length_is_our_own() {
        let mut header = [0; HEADER_LEN];
        emit(&mut header, Checksum::Partial { start: 34, offset: 16 }, Some(SUPER));
        header[1] |= GSO_ECN;
        header[2..4].copy_from_slice(&9999_u16.to_ne_bytes());
        let (_, segmentation) = parse(&header, &tcp4(5000)).expect("a good header");
        assert_eq!(segmentation, Some(SUPER));
    }

    #[test]
    fn a_tag_is_passed_over() {
        let mut header = [0; HEADER_LEN];
        emit(&mut header, Checksum::Unverified, Some(SUPER));
        let mut frame = tcp4(5000);
        frame.splice(12..12, [0x81, 0, 0, 42]);
        let (_, segmentation) = parse(&header, &frame).expect("a good header");
        assert_eq!(segmentation, Some(Segmentation { header_len: 58, ..SUPER }));
    }

    #[test]
    fn data_valid_is_verified() {
        let mut header = [0; HEADER_LEN];
        header[0] = DATA_VALID;
        assert_eq!(parse(&header, &[0; 60]), Some((Checksum::Verified, None)));
    }

    #[test]
    fn contradictions_are_refused() {
        let frame = tcp4(100);
        let mut good = [0; HEADER_LEN];
        emit(&mut good, Checksum::Partial { start: 34, offset: 16 }, Some(SUPER));
        let refused = |at: usize, bytes: &[u8]| {
            let mut header = good;
            header[at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(parse(&header, &frame), None, "{bytes:?} at {at}");
        };
        assert!(parse(&good, &frame).is_some());
        refused(1, &[3]); // UDP fragmentation
        refused(1, &[5]); // UDP segmentation with the checksum of TCP
        refused(1, &[6]);
        refused(4, &0_u16.to_ne_bytes());
        refused(4, &(SEGMENT_MIN - 1).to_ne_bytes());
        refused(6, &0_u16.to_ne_bytes());
        refused(6, &150_u16.to_ne_bytes());
        refused(8, &u16::MAX.to_ne_bytes());
        assert_eq!(parse(&good, &frame[..53]), None);
    }

    /// A frame of UDP over IPv4, and what is said of it.
    fn udp4(payload: usize) -> Vec<u8> {
        let mut frame = vec![0; 42 + payload];
        frame[14] = 0x45;
        frame[23] = 17;
        frame
    }

    #[test]
    fn datagrams_in_one_frame() {
        let said = Segmentation { kind: SegmentKind::Udp, size: 1, header_len: 42 };
        let partial = Checksum::Partial { start: 34, offset: UDP_CHECKSUM };
        for checksum in [partial, Checksum::Unverified] {
            let mut header = [0xff; HEADER_LEN];
            emit(&mut header, checksum, Some(said));
            assert_eq!(header[1], 5);
            assert_eq!(parse(&header, &udp4(MAX_DATAGRAMS)), Some((checksum, Some(said))));
            assert_eq!(parse(&header, &udp4(MAX_DATAGRAMS + 1)), None, "more than anybody sends");
            assert_eq!(parse(&header, &udp4(0)[..41]), None);
            header[4..6].fill(0);
            assert_eq!(parse(&header, &udp4(10)), None, "without a size");
        }
        let mut header = [0; HEADER_LEN];
        emit(&mut header, Checksum::Unverified, Some(said));
        assert_eq!(parse(&header, &tcp4(100)), None, "TCP inside");
    }

    proptest! {
        #[test]
        fn any_header_gives_offsets_in_range_or_nothing(
            header in any::<[u8; HEADER_LEN]>(),
            start in 0_u16..80,
            typed in any::<bool>(),
            frame in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut header = header;
            if typed {
                header[1] &= 0x85;
                header[6..8].copy_from_slice(&start.to_ne_bytes());
                let offset = if header[1] & 5 == GSO_UDP { UDP_CHECKSUM } else { 16 };
                header[8..10].copy_from_slice(&offset.to_ne_bytes());
            }
            if let Some((checksum, segmentation)) = parse(&header, &frame) {
                if let Checksum::Partial { start, offset } = checksum {
                    prop_assert!(usize::from(start) + usize::from(offset) + 2 <= frame.len());
                }
                if let Some(segmentation) = segmentation {
                    prop_assert!(segmentation.size > 0);
                    prop_assert!(usize::from(segmentation.header_len) <= frame.len());
                    let udp = segmentation.kind == SegmentKind::Udp;
                    let least = ETHERNET + if udp { UDP_HEADER } else { TCP_MIN };
                    prop_assert!(usize::from(segmentation.header_len) >= least);
                }
            }
        }
    }
}
