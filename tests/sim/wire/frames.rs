//! Frames made by hand, with correct checksums.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::feed::checksum::{fix, fold};

/// Flags of a TCP header (RFC 9293 section 3.1).
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;
pub(crate) const URG: u8 = 32;

/// Somebody on the wire who is no engine.
const STRANGER: [u8; 6] = [2, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa];

/// An IPv4 packet to `mac`. The checksum of TCP, UDP and ICMP is filled in unless it is set.
pub(crate) fn ipv4(
    mac: [u8; 6],
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = ethernet(mac, [8, 0]);
    let len = (20 + payload.len()) as u16;
    bytes.extend([0x45, 0]);
    bytes.extend(len.to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend(payload);
    fix(&mut bytes);
    bytes
}

/// An IPv6 packet to `mac`, with checksums as above.
pub(crate) fn ipv6(
    mac: [u8; 6],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = ethernet(mac, [0x86, 0xdd]);
    bytes.extend([0x60, 0, 0, 0]);
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([protocol, hop_limit]);
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend(payload);
    fix(&mut bytes);
    bytes
}

/// Which part of a datagram a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) identification: u32,
    pub(crate) offset: usize,
    pub(crate) more: bool,
}

/// A fragment of a datagram to `mac`. Nothing in its payload is filled in.
pub(crate) fn fragment(
    mac: [u8; 6],
    (source, destination): (IpAddr, IpAddr),
    protocol: u8,
    part: Part,
    payload: &[u8],
) -> Vec<u8> {
    let Part { identification, offset, more } = part;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            // A protocol without a checksum, at first.
            let mut bytes = ipv4(mac, source, destination, 253, payload);
            bytes[18..20].copy_from_slice(&(identification as u16).to_be_bytes());
            bytes[20..22].copy_from_slice(&((offset / 8) as u16 | u16::from(more) << 13).to_be_bytes());
            fix(&mut bytes);
            bytes[23] = protocol;
            // The checksum of the header counts one protocol in place of the other.
            let check = u16::from_be_bytes([bytes[24], bytes[25]]);
            let check = fold(u32::from(check) + 253 + u32::from(!u16::from(protocol)));
            bytes[24..26].copy_from_slice(&check.to_be_bytes());
            bytes
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut bytes = vec![protocol, 0];
            bytes.extend((offset as u16 & !7 | u16::from(more)).to_be_bytes());
            bytes.extend(identification.to_be_bytes());
            bytes.extend(payload);
            ipv6(mac, source, destination, 44, 64, &bytes)
        }
        _ => panic!("two families"),
    }
}

fn ethernet(mac: [u8; 6], ethertype: [u8; 2]) -> Vec<u8> {
    [&mac[..], &STRANGER, &ethertype].concat()
}

/// A TCP segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// The urgent pointer.
    pub(crate) urgent: u16,
    /// A multiple of four bytes.
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Tcp {
    /// The segment in a frame that an engine sent.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let sliced = etherparse::SlicedPacket::from_ethernet(bytes).ok()?;
        let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { return None };
        Some(Self {
            source: tcp.source_port(),
            destination: tcp.destination_port(),
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            flags: tcp.slice()[13] & 0x3f,
            window: tcp.window_size(),
            urgent: tcp.urgent_pointer(),
            options: tcp.options().to_vec(),
            payload: tcp.payload().to_vec(),
        })
    }

    /// Its bytes in a frame to `mac`, from and to these addresses.
    pub(crate) fn in_frame(
        &self,
        mac: [u8; 6],
        (source, source_port): (impl Into<IpAddr>, u16),
        (destination, destination_port): (impl Into<IpAddr>, u16),
    ) -> Vec<u8> {
        let mut bytes = [source_port.to_be_bytes(), destination_port.to_be_bytes()].concat();
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([((5 + self.options.len() / 4) << 4) as u8, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(&self.options);
        bytes.extend(&self.payload);
        match (source.into(), destination.into()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4(mac, source, destination, 6, &bytes),
            (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6(mac, source, destination, 6, 64, &bytes),
            _ => panic!("two families"),
        }
    }
}

/// Whether a frame is a message of IGMP or MLD.
pub(crate) fn is_of_memberships(frame: &[u8]) -> bool {
    match frame[14] >> 4 {
        4 => frame[12..14] == [8, 0] && frame[23] == 2,
        // Behind hop-by-hop options.
        6 => frame[20] == 0 && frame[54] == 58 && matches!(frame[62], 130..=132 | 143),
        _ => false,
    }
}
