//! Socket addresses as bytes, for what travels through a pair: in front of a datagram, and beside an
//! accepted connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Length of an encoded address.
pub(crate) const LEN: usize = 32;

/// Marks the bytes as ours, so that a stray plain write is not taken for an address.
const MAGIC: [u8; 4] = *b"ioth";

/// Writes `address` in [`LEN`] bytes: magic, family, port, address, scope, flow information, all in
/// network byte order.
pub(crate) fn encode(address: &SocketAddr) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[6..8].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes[4] = 4;
            bytes[8..12].copy_from_slice(&v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            bytes[4] = 6;
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            bytes[24..28].copy_from_slice(&v6.scope_id().to_be_bytes());
            bytes[28..32].copy_from_slice(&v6.flowinfo().to_be_bytes());
        }
    }
    bytes
}

/// Reads what [`encode`] wrote; `None` for anything else.
pub(crate) fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    let bytes: &[u8; LEN] = bytes.get(..LEN)?.try_into().ok()?;
    if bytes[..4] != MAGIC {
        return None;
    }
    let port = u16::from_be_bytes([bytes[6], bytes[7]]);
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    match bytes[4] {
        4 => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(word(8))), port)),
        6 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&bytes[8..24]);
            Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(octets), port, word(28), word(24))))
        }
        _ => None,
    }
}

/// The wildcard address and port 0 of IPv4: what stands where a kernel socket has no IP address.
pub(crate) const NONE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way() {
        for text in ["10.0.0.1:80", "[2001:db8::1]:65535", "0.0.0.0:0"] {
            let address = text.parse().expect("a literal");
            assert_eq!(decode(&encode(&address)), Some(address));
        }
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().expect("a literal"), 7, 3, 9));
        assert_eq!(decode(&encode(&scoped)), Some(scoped));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(decode(b"ioth"), None);
        assert_eq!(decode(&[0; LEN]), None);
        let mut bytes = encode(&NONE);
        bytes[4] = 5;
        assert_eq!(decode(&bytes), None);
    }
}
