//! Interface identifiers: the low 64 bits of addresses that a host makes itself.

use std::net::Ipv6Addr;

use crate::net::cidr::Cidr;
use crate::tcp::isn::{Purpose, Secret};

/// The address on `prefix` that is the same every time, and tells nothing about the ones on other prefixes (RFC 7217 section
/// 5). `interface` tells the interfaces of one host apart, `counter` counts the addresses that others had already.
pub(crate) fn stable(secret: &Secret, prefix: Cidr, interface: &str, counter: u8) -> Option<Ipv6Addr> {
    choose(secret, Purpose::StableIdentifier, prefix, &[interface.as_bytes(), &[0, counter]].concat())
}

/// A random address on `prefix` (RFC 8981 section 3.3.2). `draw` is another number for each.
pub(crate) fn temporary(secret: &Secret, prefix: Cidr, draw: u64) -> Option<Ipv6Addr> {
    choose(secret, Purpose::TemporaryIdentifier, prefix, &draw.to_be_bytes())
}

fn choose(secret: &Secret, purpose: Purpose, prefix: Cidr, rest: &[u8]) -> Option<Ipv6Addr> {
    let std::net::IpAddr::V6(network) = prefix.network().address() else { return None };
    if prefix.prefix_len() != 64 {
        return None;
    }
    // Reserved ones are a handful in 2^64: the next try gives another.
    let mut tries =
        (0..8u8).map(|again| secret.hash_bytes(purpose, &[&network.octets(), rest, &[again]].concat()));
    let identifier = tries.find(|identifier| !is_reserved(*identifier))?;
    Some(Ipv6Addr::from_bits(network.to_bits() | u128::from(identifier)))
}

/// Those that no host may take (RFC 5453, and the IANA registry that it made).
const fn is_reserved(identifier: u64) -> bool {
    // The subnet-router anycast address, those of the Ethernet block for IANA, and the subnet anycast addresses.
    identifier == 0
        || (identifier >= 0x0200_5eff_fe00_0000 && identifier <= 0x0200_5eff_feff_ffff)
        || (identifier >= 0xfdff_ffff_ffff_ff80 && identifier <= 0xfdff_ffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn a_stable_one_depends_on_everything_rfc_7217_5() {
        let of = |secret: u64, prefix: &str, interface: &str, counter| {
            stable(&Secret::from_seed(secret), cidr(prefix), interface, counter).unwrap()
        };
        let one = of(1, "2001:db8::/64", "eth0", 0);
        assert_eq!(one, of(1, "2001:db8::/64", "eth0", 0));
        assert!(cidr("2001:db8::/64").contains(one.into()));
        let others = [
            of(2, "2001:db8::/64", "eth0", 0),
            of(1, "2001:db8:0:1::/64", "eth0", 0),
            of(1, "2001:db8::/64", "eth1", 0),
            of(1, "2001:db8::/64", "eth0", 1),
        ];
        let low = |address: Ipv6Addr| address.to_bits() as u64;
        assert!(others.iter().all(|other| low(*other) != low(one)));
    }

    #[test]
    fn prefixes_of_other_lengths_have_none_rfc_4862_5_5_3() {
        assert_eq!(stable(&Secret::from_seed(1), cidr("2001:db8::/48"), "eth0", 0), None);
        assert_eq!(stable(&Secret::from_seed(1), cidr("10.0.0.0/24"), "eth0", 0), None);
    }

    #[test]
    fn reserved_ones_rfc_5453() {
        for reserved in [0, 0x0200_5eff_fe00_5212, 0xfdff_ffff_ffff_ff80, 0xfdff_ffff_ffff_ffff] {
            assert!(is_reserved(reserved));
        }
        assert!(!is_reserved(1));
    }
}
