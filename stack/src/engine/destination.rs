//! In which order the addresses of a name are tried: RFC 6724 section 6.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

use super::Engine;
use crate::net::source::{GLOBAL, LINK, policy, scope};

/// What a destination is judged by: where packets to it would be sent from.
#[derive(Clone, Copy, Debug)]
struct Source {
    address: IpAddr,
    prefix_len: u8,
    deprecated: bool,
}

impl Engine {
    /// Puts the addresses that a name has into the order in which to try them (RFC 6724 section 6). Those that are equally
    /// good stay in their order.
    pub fn sort_destinations(&self, addresses: &mut [IpAddr]) {
        addresses.sort_by_cached_key(|&destination| Reverse(rank(destination, self.source_to(destination))));
    }

    /// Whether there is an address of the family besides those of loopback and, for IPv6, of links: what `AI_ADDRCONFIG` asks
    /// for (RFC 3493 section 6.1).
    #[must_use]
    pub fn has_family(&self, v6: bool) -> bool {
        let all = self.interfaces.iter().flat_map(|interface| interface.usable());
        all.into_iter().any(|address| match address {
            IpAddr::V4(address) => !v6 && !address.is_loopback(),
            IpAddr::V6(address) => v6 && !address.is_loopback() && !address.is_unicast_link_local(),
        })
    }

    fn source_to(&self, destination: IpAddr) -> Option<Source> {
        let address = self.route(destination, None).ok()?.source;
        let known = self.interfaces.iter().flat_map(|interface| &interface.addresses);
        let own = known.into_iter().find(|own| own.ip() == address);
        let (prefix_len, deprecated) =
            own.map_or((128, false), |own| (own.cidr.prefix_len(), own.deprecated));
        Some(Source { address, prefix_len, deprecated })
    }
}

/// How good a destination is, rule by rule; the larger the better. Nobody is mobile (rule 4), nothing is encapsulated
/// (rule 7).
type Rank = (bool, bool, bool, bool, u8, Reverse<u8>, u32);

fn rank(destination: IpAddr, source: Option<Source>) -> Rank {
    let (to, scope) = (policy(mapped(destination)), scope_of(destination));
    let Some(source) = source else {
        return (false, false, false, false, to.precedence, Reverse(scope), 0);
    };
    let common = match (source.address, destination) {
        (IpAddr::V6(source_address), IpAddr::V6(destination)) => {
            let equal = (source_address.to_bits() ^ destination.to_bits()).leading_zeros();
            equal.min(source.prefix_len.into())
        }
        // Among IPv4 addresses it would undo the order that servers rotate to spread the load.
        _ => 0,
    };
    (
        true,
        scope == scope_of(source.address),
        !source.deprecated,
        to.label == policy(mapped(source.address)).label,
        to.precedence,
        Reverse(scope),
        common,
    )
}

/// RFC 6724 sections 2.1 and 3.2: IPv4 addresses are looked up as mapped ones.
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// RFC 6724 sections 3.1 and 3.2.
fn scope_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) if address.is_loopback() || address.is_link_local() => LINK,
        IpAddr::V4(_) => GLOBAL,
        IpAddr::V6(address) => scope(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sorts destinations, each with the source that packets to it would have: `2001:db8::1 from fe80::1/64 old`.
    fn sorted(texts: &[&str]) -> Vec<String> {
        let parse = |text: &&str| {
            let mut words = text.split(' ');
            let destination: IpAddr = words.next().unwrap().parse().unwrap();
            let source = words.nth(1).map(|source| {
                let (address, prefix_len) = source.split_once('/').unwrap_or((source, "64"));
                Source {
                    address: address.parse().unwrap(),
                    prefix_len: prefix_len.parse().unwrap(),
                    deprecated: text.ends_with("old"),
                }
            });
            (destination, source)
        };
        let mut all: Vec<_> = texts.iter().map(parse).collect();
        all.sort_by_cached_key(|(destination, source)| Reverse(rank(*destination, *source)));
        all.iter().map(|(destination, _)| destination.to_string()).collect()
    }

    /// The examples of RFC 6724 section 10.2, and one for each rule that they leave out; each in the order that is wanted.
    #[test]
    fn rules_of_rfc_6724_section_6() {
        let cases: [[&str; 2]; 14] = [
            ["2001:db8:1::1 from 2001:db8:1::2", "198.51.100.121 from 169.254.13.78/16"],
            ["198.51.100.121 from 198.51.100.117/24", "2001:db8:1::1 from fe80::1"],
            ["2001:db8:1::1 from 2001:db8:1::2", "10.1.2.3 from 10.1.2.4/24"],
            ["fe80::1 from fe80::2", "2001:db8:1::1 from 2001:db8:1::2"],
            ["2001:db8:1::1 from 2001:db8:1::2", "2001:db8:3ffe::1 from 2001:db8:3f44::2"],
            ["2002:c633:6401::1 from 2002:c633:6401::2", "2001:db8:1::1 from 2002:c633:6401::2"],
            ["2001:db8:1::1 from 2001:db8:1::2", "2002:c633:6401::1 from 2002:c633:6401::2"],
            // Rule 1, unusable; rule 3, from a deprecated address.
            ["10.1.2.3 from 10.1.2.4/24", "2001:db8::1"],
            ["10.1.2.3 from 10.1.2.4/24", "2001:db8::1 from 2001:db8::2 old"],
            // Rule 6 between families, and for what is private.
            ["10.1.2.3 from 10.1.2.4/24", "fd00::1 from fd00::2"],
            ["::1 from ::1/128", "127.0.0.1 from 127.0.0.1/8"],
            // Rule 8.
            ["169.254.0.1 from 169.254.0.2/16", "192.0.2.1 from 192.0.2.2/24"],
            // Rule 10: what is equal stays, also IPv4 (no rule 9).
            ["192.0.2.1 from 10.0.0.1/8", "10.0.0.9 from 10.0.0.1/8"],
            // Bits behind the prefix do not count (section 2.2).
            ["2001:db8::9:2 from 2001:db8::8:1", "2001:db8::8:2 from 2001:db8::8:1"],
        ];
        for case in cases {
            let wanted = case.map(|text| text.split(' ').next().unwrap().to_owned());
            assert_eq!(sorted(&case), wanted, "{case:?}");
            let [first, second] = case;
            let equal = first.starts_with("192.0.2.1 from 10") || first.starts_with("2001:db8::9:2");
            if !equal {
                assert_eq!(sorted(&[second, first]), wanted, "{case:?} the other way round");
            }
        }
    }
}
