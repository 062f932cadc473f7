//! Socket addresses as the system has them: `sockaddr_in` of ip(7) and `sockaddr_in6` of ipv6(7), as bytes.

use crate::sys::constants::{AF_INET, AF_INET6};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Length of a `sockaddr_in`.
pub(crate) const V4_LEN: usize = 16;
/// Length of a `sockaddr_in6`.
pub(crate) const V6_LEN: usize = 28;

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
            Some(SocketAddrV6::new(Ipv6Addr::from(octets), port, word(4)?, word(24)?).into())
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
}
