//! Ethernet II framing (RFC 894, RFC 2464).

use std::net::IpAddr;

use super::mac::Mac;

/// Length of the header: destination, source, type.
pub(crate) const HEADER_LEN: usize = 14;

/// Ethernet types (IANA).
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV6: u16 = 0x86dd;

/// A parsed header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) destination: Mac,
    pub(crate) source: Mac,
    pub(crate) ethertype: u16,
}

impl Header {
    /// The header in front of `frame`, `None` for a runt.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_LEN] = frame.first_chunk()?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        Some(Self {
            destination: Mac::new([d0, d1, d2, d3, d4, d5]),
            source: Mac::new([s0, s1, s2, s3, s4, s5]),
            ethertype: u16::from_be_bytes([t0, t1]),
        })
    }

    /// Writes the header in front of `frame`, which is at least [`HEADER_LEN`] long.
    pub(crate) fn emit(&self, frame: &mut [u8]) {
        frame[..6].copy_from_slice(&self.destination.octets());
        frame[6..12].copy_from_slice(&self.source.octets());
        frame[12..14].copy_from_slice(&self.ethertype.to_be_bytes());
    }
}

/// The Ethernet type that carries packets to `address`.
pub(crate) const fn ethertype(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => IPV4,
        IpAddr::V6(_) => IPV6,
    }
}

/// The group MAC of a multicast address (RFC 1112 section 6.4, RFC 2464 section 7), `None` for unicast.
pub(crate) fn multicast_mac(address: IpAddr) -> Option<Mac> {
    match address {
        IpAddr::V4(address) if address.is_multicast() => {
            let [_, b, c, d] = address.octets();
            Some(Mac::new([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(address) if address.is_multicast() => {
            let [.., a, b, c, d] = address.octets();
            Some(Mac::new([0x33, 0x33, a, b, c, d]))
        }
        _ => None,
    }
}
