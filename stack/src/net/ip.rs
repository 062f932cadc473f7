//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, parsed from a frame and written in front of a segment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::extension::{self, Fault, Problem};
use super::{checksum, ethernet};
use crate::raw::Summing;

/// Length of an IPv4 header without options.
pub(crate) const V4_HEADER_LEN: usize = 20;
/// Length of the fixed IPv6 header.
pub(crate) const V6_HEADER_LEN: usize = 40;
/// The largest number in a length field: of the whole packet (IPv4), of what is behind the fixed header (IPv6).
pub(crate) const MAX_LEN: usize = 65_535;
/// Time to live of what we send (RFC 1122 section 3.2.1.7, IANA default).
pub(crate) const DEFAULT_TTL: u8 = 64;

/// Where the field stands that names what follows the header.
const V4_PROTOCOL: u16 = 9;
pub(super) const V6_NEXT_HEADER: usize = 6;
/// In the second word of an IPv4 header (RFC 791 section 3.1).
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// Where the parts of a packet lie in its frame, and who sent it to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Transport protocol (IANA number).
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    /// Offset of the IP header in the frame.
    pub(crate) header: usize,
    /// Offset of the transport header in the frame.
    pub(crate) payload: usize,
    /// Offset of the end of the packet in the frame; what lies behind is padding.
    pub(crate) end: usize,
    /// Where the header field stands that says `protocol`, counted from the IP header.
    pub(crate) named_at: usize,
    /// `Some` makes it a fragment, whose payload is a part of the datagram's.
    pub(crate) part: Option<Part>,
    /// Whether it has the header of a fragment, being whole (RFC 6946).
    pub(crate) atomic: bool,
}

/// Which part of a datagram a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where it belongs in the datagram, in bytes: a multiple of 8.
    pub(crate) offset: u16,
    /// Whether more follows.
    pub(crate) more: bool,
    pub(crate) identification: u32,
    /// Where the header field stands that names the fragment header (IPv6), counted from the IP header.
    pub(crate) named_at: u16,
}

/// Why a packet was not parsed; each has its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A header field contradicts the frame or itself.
    Header,
    /// The IPv4 header checksum is wrong.
    Checksum,
    /// An option of IPv6 that is not known, and wants to be discarded without a word.
    Option,
    /// The sender is to be told what is wrong with its extension headers.
    Problem(Packet, Problem),
}

impl Packet {
    /// Parses the packet behind the Ethernet header of `frame`, by its version.
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        match frame.get(ethernet::HEADER_LEN).map(|first| first >> 4) {
            Some(4) => Self::parse_v4(frame),
            Some(6) => Self::parse_v6(frame),
            _ => Err(Malformed::Header),
        }
    }

    /// Parses the IPv4 packet behind the Ethernet header of `frame`.
    pub(crate) fn parse_v4(frame: &[u8]) -> Result<Self, Malformed> {
        let header = ethernet::HEADER_LEN;
        let bytes = frame.get(header..).ok_or(Malformed::Header)?;
        let fixed: &[u8; V4_HEADER_LEN] = bytes.first_chunk().ok_or(Malformed::Header)?;
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if fixed[0] >> 4 != 4
            || header_len < V4_HEADER_LEN
            || total_len < header_len
            || total_len > bytes.len()
        {
            return Err(Malformed::Header);
        }
        if checksum::of(&bytes[..header_len]) != 0 {
            return Err(Malformed::Checksum);
        }
        // More Fragments, or an offset: part of a datagram (RFC 791 section 3.1).
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & (MORE_FRAGMENTS | OFFSET);
        let part = (fragment != 0).then(|| Part {
            offset: (fragment & OFFSET) * 8,
            more: fragment & MORE_FRAGMENTS != 0,
            identification: u16::from_be_bytes([fixed[4], fixed[5]]).into(),
            named_at: V4_PROTOCOL,
        });
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
        Ok(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            protocol: fixed[9],
            ttl: fixed[8],
            header,
            payload: header + header_len,
            end: header + total_len,
            named_at: V4_PROTOCOL.into(),
            part,
            atomic: false,
        })
    }

    /// Parses the packet behind the Ethernet header of `frame` as one that is for somebody else: the extension headers of
    /// IPv6 are not looked at, and are payload (RFC 8200 section 4).
    pub(crate) fn parse_transit(frame: &[u8]) -> Result<Self, Malformed> {
        match frame.get(ethernet::HEADER_LEN).map(|first| first >> 4) {
            Some(4) => Self::parse_v4(frame),
            Some(6) => Self::parse_v6_fixed(frame),
            _ => Err(Malformed::Header),
        }
    }

    /// Parses the fixed header of the IPv6 packet behind the Ethernet header of `frame`.
    fn parse_v6_fixed(frame: &[u8]) -> Result<Self, Malformed> {
        let header = ethernet::HEADER_LEN;
        let bytes = frame.get(header..).ok_or(Malformed::Header)?;
        let fixed: &[u8; V6_HEADER_LEN] = bytes.first_chunk().ok_or(Malformed::Header)?;
        let payload_len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let end = V6_HEADER_LEN + payload_len;
        if fixed[0] >> 4 != 6 || end > bytes.len() {
            return Err(Malformed::Header);
        }
        let address = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&fixed[at..at + 16]);
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        Ok(Self {
            source: address(8),
            destination: address(24),
            protocol: fixed[V6_NEXT_HEADER],
            ttl: fixed[7],
            header,
            payload: header + V6_HEADER_LEN,
            end: header + end,
            named_at: V6_NEXT_HEADER,
            part: None,
            atomic: false,
        })
    }

    /// Parses the IPv6 packet behind the Ethernet header of `frame`, walking over its extension headers.
    pub(crate) fn parse_v6(frame: &[u8]) -> Result<Self, Malformed> {
        let mut packet = Self::parse_v6_fixed(frame)?;
        match extension::walk(&frame[packet.header..packet.end]) {
            Ok(chain) => {
                packet.protocol = chain.protocol;
                packet.payload = packet.header + chain.offset;
                packet.named_at = chain.named_at;
                packet.part = chain.part;
                packet.atomic = chain.atomic;
                Ok(packet)
            }
            Err(Fault::Header) => Err(Malformed::Header),
            Err(Fault::Option) => Err(Malformed::Option),
            Err(Fault::Problem(problem)) => Err(Malformed::Problem(packet, problem)),
        }
    }
}

/// The upper layer's number and where its header starts, `None` in a fragment that is not the first.
pub(crate) fn upper_layer_v4(header: &[u8; V4_HEADER_LEN]) -> Option<(u8, usize)> {
    let offset = u16::from_be_bytes([header[6], header[7]]) & OFFSET;
    (offset == 0).then_some((header[usize::from(V4_PROTOCOL)], usize::from(header[0] & 0x0f) * 4))
}

/// Length of the header that [`emit`] writes for packets to `address`.
pub(crate) const fn header_len(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => V4_HEADER_LEN,
        IpAddr::V6(_) => V6_HEADER_LEN,
    }
}

/// The longest payload of a packet to `address`: IPv6 does not count its own header.
pub(crate) const fn most_payload(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => MAX_LEN - V4_HEADER_LEN,
        IpAddr::V6(_) => MAX_LEN,
    }
}

/// Writes an IP header into the first [`header_len`] bytes of `packet`, whose rest is the payload.
///
/// IPv4 goes with Don't Fragment and identification 0 (RFC 6864 section 4.1: atomic datagrams).
pub(crate) fn emit(packet: &mut [u8], source: IpAddr, destination: IpAddr, protocol: u8, ttl: u8) {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
            let header = &mut packet[..V4_HEADER_LEN];
            header[0] = 0x45;
            header[1] = 0;
            header[2..4].copy_from_slice(&len.to_be_bytes());
            header[4..8].copy_from_slice(&[0, 0, 0x40, 0]);
            header[8] = ttl;
            header[9] = protocol;
            header[10..12].fill(0);
            header[12..16].copy_from_slice(&source.octets());
            header[16..20].copy_from_slice(&destination.octets());
            let sum = checksum::of(header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let len = u16::try_from(packet.len() - V6_HEADER_LEN).unwrap_or(u16::MAX);
            let header = &mut packet[..V6_HEADER_LEN];
            header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
            header[4..6].copy_from_slice(&len.to_be_bytes());
            header[6] = protocol;
            header[7] = ttl;
            header[8..24].copy_from_slice(&source.octets());
            header[24..40].copy_from_slice(&destination.octets());
        }
        _ => unreachable!("source and destination of a packet are of one family"),
    }
}

/// What a sender may say in the header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Time to live, or hop limit.
    pub(crate) ttl: u8,
    /// Type of service, or traffic class.
    pub(crate) tos: u8,
    /// Whether routers may cut it; with IPv6 they never do.
    pub(crate) may_be_cut: bool,
    /// Who writes the checksum of what is behind the header.
    pub(crate) summing: Summing,
}

impl Marks {
    /// What is said unless an application says otherwise.
    pub(crate) const USUAL: Self =
        Self { ttl: DEFAULT_TTL, tos: 0, may_be_cut: false, summing: Summing::OfProtocol };

    /// Writes them into a header that [`emit`] or [`emit_fragment`] wrote. `identification` is for what may be cut
    /// (RFC 6864 section 4.3).
    pub(crate) fn write(self, packet: &mut [u8], identification: u16) {
        let Some(&first) = packet.first() else { return };
        if first >> 4 == 6 {
            packet[0] = 0x60 | self.tos >> 4;
            packet[1] = self.tos << 4 | packet[1] & 0x0f;
            packet[7] = self.ttl;
            return;
        }
        let header = &mut packet[..V4_HEADER_LEN];
        header[1] = self.tos;
        header[8] = self.ttl;
        if self.may_be_cut && header[6..8] == DONT_FRAGMENT.to_be_bytes() {
            header[4..6].copy_from_slice(&identification.to_be_bytes());
            header[6..8].fill(0);
        }
        header[10..12].fill(0);
        let sum = checksum::of(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Type of service, or traffic class, of the packet behind the Ethernet header of `frame`, which was parsed.
pub(crate) fn tos(frame: &[u8]) -> u8 {
    match frame.get(ethernet::HEADER_LEN..ethernet::HEADER_LEN + 2) {
        Some(&[first, second]) if first >> 4 == 6 => first << 4 | second >> 4,
        Some(&[_, tos]) => tos,
        _ => 0,
    }
}

/// Length of the headers that [`emit_fragment`] writes for packets to `address`.
pub(crate) const fn fragment_header_len(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => V4_HEADER_LEN,
        IpAddr::V6(_) => V6_HEADER_LEN + extension::FRAGMENT_LEN,
    }
}

/// Writes the headers of a fragment into the first [`fragment_header_len`] bytes of `packet`, whose rest is its part
/// of the datagram. With IPv4 routers may cut it further.
pub(crate) fn emit_fragment(
    packet: &mut [u8],
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    (ttl, part): (u8, Part),
) {
    if destination.is_ipv4() {
        emit(packet, source, destination, protocol, ttl);
        let header = &mut packet[..V4_HEADER_LEN];
        let [.., i0, i1] = part.identification.to_be_bytes();
        header[4..6].copy_from_slice(&[i0, i1]);
        let more = if part.more { MORE_FRAGMENTS } else { 0 };
        header[6..8].copy_from_slice(&((part.offset / 8) | more).to_be_bytes());
        header[10..12].fill(0);
        let sum = checksum::of(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        emit(packet, source, destination, extension::FRAGMENT, ttl);
        let header = &mut packet[V6_HEADER_LEN..];
        header[..2].copy_from_slice(&[protocol, 0]);
        header[2..4].copy_from_slice(&(part.offset | u16::from(part.more)).to_be_bytes());
        header[4..8].copy_from_slice(&part.identification.to_be_bytes());
    }
}
