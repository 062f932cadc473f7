//! An address with the length of its prefix, such as `10.0.0.2/24`.

use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and how many of its first bits name the network (RFC 4632 section 3.1, RFC 4291
/// section 2.3). The other bits are kept: it serves as an interface address and as a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix_len: u8,
}

/// Why a string is no address with a prefix length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseCidrError {
    /// There is no `/`.
    #[error("a prefix length is missing, as in 10.0.0.2/24 or fd00::2/64")]
    NoPrefixLength,
    /// What is before the `/` is no address.
    #[error("invalid address: {0}")]
    Address(#[from] AddrParseError),
    /// What is behind the `/` is no length for that address.
    #[error("the prefix length is not a number from 0 to {max}")]
    PrefixLength {
        /// The longest prefix of that family.
        max: u8,
    },
}

impl Cidr {
    /// The address with a prefix of `prefix_len` bits, `None` if that is more than the address has
    /// (32 for IPv4, 128 for IPv6).
    #[must_use]
    pub const fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        if prefix_len <= max_prefix_len(address) { Some(Self { address, prefix_len }) } else { None }
    }

    /// The address alone: a prefix of all its bits.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        Self { address, prefix_len: max_prefix_len(address) }
    }

    /// The address, with its host bits.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits of the prefix.
    #[must_use]
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Whether `address` is of the same family and has the same prefix.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()) & mask4(self.prefix_len) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()) & mask6(self.prefix_len) == 0
            }
            _ => false,
        }
    }

    /// The same prefix with all host bits zero.
    #[must_use]
    pub fn network(&self) -> Self {
        let address = match self.address {
            IpAddr::V4(own) => Ipv4Addr::from_bits(own.to_bits() & mask4(self.prefix_len)).into(),
            IpAddr::V6(own) => Ipv6Addr::from_bits(own.to_bits() & mask6(self.prefix_len)).into(),
        };
        Self { address, prefix_len: self.prefix_len }
    }

    /// The directed broadcast address (RFC 1122 section 3.2.1.3 (d)). A /31 (RFC 3021) and a /32 have
    /// none, nor has IPv6.
    #[must_use]
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(own) if self.prefix_len < 31 => {
                Some(Ipv4Addr::from_bits(own.to_bits() | !mask4(self.prefix_len)))
            }
            _ => None,
        }
    }
}

const fn max_prefix_len(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn mask4(prefix_len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0)
}

fn mask6(prefix_len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0)
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, ParseCidrError> {
        let (address, prefix_len) = text.split_once('/').ok_or(ParseCidrError::NoPrefixLength)?;
        let address: IpAddr = address.parse()?;
        let error = ParseCidrError::PrefixLength { max: max_prefix_len(address) };
        // u8 parsing takes a plus sign.
        if !prefix_len.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error);
        }
        prefix_len.parse().ok().and_then(|prefix_len| Self::new(address, prefix_len)).ok_or(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn contains_its_network_only() {
        let four = cidr("10.0.0.2/24");
        assert!(four.contains(ip("10.0.0.255")) && four.contains(ip("10.0.0.0")));
        assert!(!four.contains(ip("10.0.1.0")) && !four.contains(ip("::ffff:10.0.0.2")));
        let six = cidr("fd00::2/64");
        assert!(six.contains(ip("fd00::ffff:1")) && !six.contains(ip("fd00:0:0:1::2")));
        assert!(
            cidr("10.0.0.2/25").contains(ip("10.0.0.127")) && !cidr("10.0.0.2/25").contains(ip("10.0.0.128"))
        );
    }

    #[test]
    fn the_shortest_and_the_longest_prefix() {
        assert!(cidr("1.2.3.4/0").contains(ip("255.1.1.1")) && !cidr("1.2.3.4/0").contains(ip("::")));
        assert!(cidr("::/0").contains(ip("ffff::")));
        assert!(cidr("1.2.3.4/32").contains(ip("1.2.3.4")) && !cidr("1.2.3.4/32").contains(ip("1.2.3.5")));
        assert_eq!(Cidr::host(ip("fd00::1")), cidr("fd00::1/128"));
        assert_eq!(Cidr::new(ip("1.2.3.4"), 33), None);
        assert_eq!(Cidr::new(ip("::1"), 129), None);
    }

    #[test]
    fn network_clears_the_host_bits() {
        assert_eq!(cidr("10.1.2.3/20").network(), cidr("10.1.0.0/20"));
        assert_eq!(cidr("fd00::1:2:3:4/64").network(), cidr("fd00::/64"));
        assert_eq!(cidr("10.1.2.3/0").network(), cidr("0.0.0.0/0"));
    }

    #[test]
    fn broadcast_by_rfc_1122_3_2_1_3_and_rfc_3021() {
        assert_eq!(cidr("10.0.0.2/24").broadcast(), Some(Ipv4Addr::new(10, 0, 0, 255)));
        assert_eq!(cidr("10.0.0.2/30").broadcast(), Some(Ipv4Addr::new(10, 0, 0, 3)));
        assert_eq!(cidr("10.0.0.2/31").broadcast(), None);
        assert_eq!(cidr("10.0.0.2/32").broadcast(), None);
        assert_eq!(cidr("fd00::2/64").broadcast(), None);
    }

    #[test]
    fn refuses_with_a_reason() {
        assert_eq!("10.0.0.2".parse::<Cidr>(), Err(ParseCidrError::NoPrefixLength));
        assert!(matches!("10.0.0/8".parse::<Cidr>(), Err(ParseCidrError::Address(_))));
        for bad in ["10.0.0.2/33", "10.0.0.2/", "10.0.0.2/+8", "10.0.0.2/-1", "10.0.0.2/8/8", "10.0.0.2/256"]
        {
            assert_eq!(bad.parse::<Cidr>(), Err(ParseCidrError::PrefixLength { max: 32 }), "{bad}");
        }
        assert_eq!("::1/129".parse::<Cidr>(), Err(ParseCidrError::PrefixLength { max: 128 }));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", near in "[0-9a-f.:]{0,20}/[0-9+/-]{0,4}") {
            let _ = text.parse::<Cidr>();
            let _ = near.parse::<Cidr>();
        }

        #[test]
        fn printed_ones_parse_back(address: IpAddr, prefix_len: u8) {
            if let Some(cidr) = Cidr::new(address, prefix_len) {
                prop_assert_eq!(cidr.to_string().parse(), Ok(cidr));
                prop_assert!(cidr.contains(address) && cidr.network().contains(address));
                prop_assert_eq!(cidr.network().network(), cidr.network());
            }
        }
    }
}
