//! Socket addresses as the system has them, as bytes and as values: `sockaddr_in` of ip(7), `sockaddr_in6` of ipv6(7),
//! `sockaddr_ll` of packet(7), `sockaddr_nl` of netlink(7).

use crate::errno::fail;
use crate::sys::constants::{AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNSPEC};
use rustix::io::Errno;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Length of a `sockaddr_in`.
pub(crate) const V4_LEN: usize = 16;
/// Length of a `sockaddr_in6`.
pub(crate) const V6_LEN: usize = 28;
/// Length of a `sockaddr_in6` without the scope, which the kernel takes too (RFC 2133).
const V6_OLD_LEN: usize = 24;
/// Length of a `sockaddr_ll` with an address of eight bytes.
const LINK_LEN: usize = 20;
/// Length of a `sockaddr_nl`.
const NETLINK_LEN: usize = 12;

/// Room for any socket address: `struct sockaddr_storage`.
pub(crate) const ROOM: usize = 128;

/// A socket address of any family, as the calls of [`any`](crate::any) take and give them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SockAddr {
    /// `AF_INET` and `AF_INET6`: ip(7), ipv6(7).
    Ip(SocketAddr),
    /// `AF_PACKET`: a station of an interface, packet(7).
    Link(LinkAddr),
    /// `AF_NETLINK`: netlink(7).
    Netlink {
        /// Which socket (`nl_pid`); 0 is the stack itself.
        port: u32,
        /// Groups of notifications, one bit each.
        groups: u32,
    },
    /// Any other family, and what is too short for its family: the bytes as the system has them, the family in front.
    Other(Vec<u8>),
}

/// `sockaddr_ll` of packet(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkAddr {
    /// The Ethernet type, in the byte order of the machine (`sll_protocol` has the network's).
    pub protocol: u16,
    /// Index of the interface; 0 for any.
    pub interface: u32,
    /// `ARPHRD_ETHER` (1) and the like.
    pub hardware: u16,
    /// `PACKET_HOST`, `PACKET_BROADCAST`, `PACKET_MULTICAST`, `PACKET_OTHERHOST`, `PACKET_OUTGOING`.
    pub kind: u8,
    /// Length of the station's address, 8 bytes at most.
    pub len: u8,
    /// The station's address.
    pub station: [u8; 8],
}

impl SockAddr {
    /// `AF_UNSPEC`: takes the peer away in a connect.
    #[must_use]
    pub fn unspecified() -> Self {
        Self::Other((AF_UNSPEC as u16).to_ne_bytes().to_vec())
    }

    /// Reads the bytes of a C program. What is too short for its family, or of another one, is [`SockAddr::Other`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::known(bytes).unwrap_or_else(|| Self::Other(bytes.to_vec()))
    }

    fn known(bytes: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        match i32::from(half(0)?) {
            AF_INET if bytes.len() < V4_LEN => None,
            AF_INET | AF_INET6 => decode(bytes).map(Self::Ip),
            AF_PACKET => Some(Self::Link(LinkAddr {
                protocol: u16::from_be(half(2)?),
                interface: word(4)?,
                hardware: half(8)?,
                kind: *bytes.get(10)?,
                len: *bytes.get(11)?,
                station: *bytes.get(12..)?.first_chunk()?,
            })),
            AF_NETLINK => Some(Self::Netlink { port: word(4)?, groups: word(8)? }),
            _ => None,
        }
    }

    /// The bytes as a C program has them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Ip(address) => encode(address),
            Self::Link(link) => {
                let mut bytes = Vec::with_capacity(LINK_LEN);
                bytes.extend((AF_PACKET as u16).to_ne_bytes());
                bytes.extend(link.protocol.to_be_bytes());
                bytes.extend(link.interface.to_ne_bytes());
                bytes.extend(link.hardware.to_ne_bytes());
                bytes.extend([link.kind, link.len]);
                bytes.extend(link.station);
                bytes
            }
            Self::Netlink { port, groups } => {
                let mut bytes = Vec::with_capacity(NETLINK_LEN);
                bytes.extend((AF_NETLINK as u16).to_ne_bytes());
                bytes.extend([0; 2]);
                bytes.extend(port.to_ne_bytes());
                bytes.extend(groups.to_ne_bytes());
                bytes
            }
            Self::Other(bytes) => bytes.clone(),
        }
    }

    /// The family, `AF_INET` and the like; `AF_UNSPEC` for what is too short to have one.
    #[must_use]
    pub fn family(&self) -> i32 {
        match self {
            Self::Ip(SocketAddr::V4(_)) => AF_INET,
            Self::Ip(SocketAddr::V6(_)) => AF_INET6,
            Self::Link(_) => AF_PACKET,
            Self::Netlink { .. } => AF_NETLINK,
            Self::Other(bytes) => {
                bytes.first_chunk().map_or(AF_UNSPEC, |family| u16::from_ne_bytes(*family).into())
            }
        }
    }

    /// The IP address and port, if it has those.
    #[must_use]
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            _ => None,
        }
    }

    /// The address that a call of the kernel wrote into `room`, if it wrote one.
    pub(crate) fn written(room: &[u8], len: usize) -> Option<Self> {
        let bytes = room.get(..len.min(room.len()))?;
        (!bytes.is_empty()).then(|| Self::given(bytes))
    }

    /// The same as a call gives it: a `sockaddr_ll` ends with the station's address, which may be none.
    pub(crate) fn given(bytes: &[u8]) -> Self {
        const FRONT: usize = 12;
        let mut whole = bytes.to_vec();
        if bytes.len() >= FRONT && bytes[..2] == (AF_PACKET as u16).to_ne_bytes() {
            whole.resize(LINK_LEN.max(bytes.len()), 0);
        }
        Self::from_bytes(&whole)
    }

    /// Whether it takes a peer away: `AF_UNSPEC`.
    pub(crate) fn is_unspecified(&self) -> bool {
        matches!(self, Self::Other(bytes) if bytes.len() >= 2) && self.family() == AF_UNSPEC
    }

    /// The address that a socket of IPv4 or IPv6 is to be bound or connected to, with the errno of Linux.
    pub(crate) fn for_socket_of(&self, family: i32) -> io::Result<SocketAddr> {
        let bytes = match self {
            Self::Ip(address) => return Ok(*address),
            Self::Other(bytes) => bytes.as_slice(),
            _ => &[],
        };
        let least = if family == AF_INET6 { V6_OLD_LEN } else { V4_LEN };
        // inet_bind: for IPv4 without a family, the wildcard address is an address.
        if family == AF_INET && self.is_unspecified() && bytes.len() >= V4_LEN && bytes[4..8] == [0; 4] {
            return Ok(
                SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, u16::from_be_bytes([bytes[2], bytes[3]])).into()
            );
        }
        if !bytes.is_empty() && bytes.len() < least { fail(Errno::INVAL) } else { fail(Errno::AFNOSUPPORT) }
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<&SocketAddr> for SockAddr {
    fn from(address: &SocketAddr) -> Self {
        Self::Ip(*address)
    }
}

impl From<LinkAddr> for SockAddr {
    fn from(address: LinkAddr) -> Self {
        Self::Link(address)
    }
}

/// Its bytes.
pub(crate) fn encode(address: &SocketAddr) -> Vec<u8> {
    let mut bytes = vec![0; if address.is_ipv4() { V4_LEN } else { V6_LEN }];
    let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
    bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => bytes[4..8].copy_from_slice(&v4.ip().octets()),
        SocketAddr::V6(v6) => {
            // std keeps the flow information as the system does, in network byte order.
            bytes[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// Reads them; `None` for any other family, and for what is too short.
pub(crate) fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    match family {
        AF_INET => {
            let octets: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(octets), port).into())
        }
        AF_INET6 => {
            let octets: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
            let scope = if bytes.len() < V6_LEN { 0 } else { word(24)? };
            Some(SocketAddrV6::new(Ipv6Addr::from(octets), port, word(4)?, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_system() {
        let v4 = "10.0.0.1:80".parse().expect("a literal");
        assert_eq!(encode(&v4), [&2u16.to_ne_bytes()[..], &[0, 80, 10, 0, 0, 1], &[0; 8]].concat());
        let v6 = SocketAddrV6::new("fe80::1".parse().expect("a literal"), 7, 3, 9).into();
        for address in [v4, v6] {
            assert_eq!(decode(&encode(&address)), Some(address));
            assert_eq!(decode(&encode(&address)[..7]), None);
        }
        assert_eq!(decode(&[0; 16]), None);
    }

    #[test]
    fn every_family_survives_the_way() {
        let link = LinkAddr { protocol: 0x0800, interface: 3, hardware: 1, kind: 4, len: 6, station: [7; 8] };
        let all = [
            SockAddr::Ip("10.0.0.1:80".parse().expect("a literal")),
            SockAddr::Ip("[fd00::1]:80".parse().expect("a literal")),
            SockAddr::Link(link),
            SockAddr::Netlink { port: 5, groups: 0x11 },
            SockAddr::unspecified(),
            SockAddr::Other(vec![1, 0, b'/', b'x']),
        ];
        for address in all {
            assert_eq!(SockAddr::from_bytes(&address.to_bytes()), address);
            // Whatever is cut off, nothing panics, and it is passed on as it is.
            for end in 0..address.to_bytes().len() {
                let bytes = &address.to_bytes()[..end];
                let cut = SockAddr::from_bytes(bytes);
                assert!(matches!(cut, SockAddr::Ip(_)) || cut.to_bytes() == bytes, "{address:?} {end}");
            }
        }
        // Linux gives no more than the station's address has.
        let given = SockAddr::given(&SockAddr::Link(LinkAddr { station: [0; 8], ..link }).to_bytes()[..12]);
        assert_eq!(given, SockAddr::Link(LinkAddr { station: [0; 8], ..link }));
        // sll_protocol is in network byte order, sll_ifindex is not.
        assert_eq!(SockAddr::Link(link).to_bytes()[..8], [17, 0, 8, 0, 3, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_address_for_a_socket_has_the_errno_of_linux() {
        let errno = |bytes: &[u8], family| {
            SockAddr::from_bytes(bytes).for_socket_of(family).err().and_then(|error| error.raw_os_error())
        };
        let (invalid, unsupported) =
            (Some(Errno::INVAL.raw_os_error()), Some(Errno::AFNOSUPPORT.raw_os_error()));
        assert_eq!(errno(&[2, 0, 0, 80], AF_INET), invalid);
        assert_eq!(errno(&[0; 16], AF_INET), None);
        assert_eq!(errno(&[0, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], AF_INET), unsupported);
        assert_eq!(errno(&[1; 16], AF_INET6), invalid);
        assert_eq!(errno(&[0; 28], AF_INET6), unsupported);
    }
}
