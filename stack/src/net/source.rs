//! Which address a packet is sent from: RFC 6724 section 5, and for IPv4 what Linux does.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

use super::cidr::Cidr;

/// An address that a packet may be sent from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) cidr: Cidr,
    pub(crate) deprecated: bool,
    pub(crate) temporary: bool,
}

/// The address to send from when the next hop is `next_hop` and the packet goes to `destination`; among equals the first.
pub(crate) fn choose(
    candidates: impl DoubleEndedIterator<Item = Candidate>,
    next_hop: IpAddr,
    destination: IpAddr,
) -> Option<IpAddr> {
    let fitting = candidates.filter(|candidate| candidate.cidr.address().is_ipv4() == destination.is_ipv4());
    // Of equal ones the last counts.
    let best = fitting.rev().max_by_key(|candidate| match (candidate.cidr.address(), destination) {
        (IpAddr::V6(address), IpAddr::V6(destination)) => v6(*candidate, address, destination),
        (address, _) => v4(*candidate, address, next_hop, destination),
    });
    best.map(|candidate| candidate.cidr.address())
}

/// How well a candidate fits, rule by rule; the larger the better.
type Rank = (bool, (bool, Reverse<u8>, u8), bool, bool, bool, u32);

/// RFC 6724 section 5. The candidates are those of the outgoing interface (rule 5); nobody is mobile (rule 4).
fn v6(candidate: Candidate, address: Ipv6Addr, destination: Ipv6Addr) -> Rank {
    let common = (address.to_bits() ^ destination.to_bits()).leading_zeros();
    (
        address == destination,
        scope_rank(scope(address), scope(destination)),
        !candidate.deprecated,
        policy(address).label == policy(destination).label,
        candidate.temporary,
        common.min(candidate.cidr.prefix_len().into()),
    )
}

/// The scope of the destination, then the network of the next hop, then the order in which they were given.
fn v4(candidate: Candidate, address: IpAddr, next_hop: IpAddr, destination: IpAddr) -> Rank {
    let link_local = |address: IpAddr| matches!(address, IpAddr::V4(address) if address.is_link_local());
    let scope = |address: IpAddr| if link_local(address) { LINK } else { GLOBAL };
    let on_link = candidate.cidr.contains(next_hop);
    let scopes = scope_rank(scope(address), scope(destination));
    (address == destination, scopes, !candidate.deprecated, on_link, false, 0)
}

/// Rule 2: the smallest scope that is not smaller than that of the destination; else the largest.
const fn scope_rank(own: u8, wanted: u8) -> (bool, Reverse<u8>, u8) {
    if own >= wanted { (true, Reverse(own), 0) } else { (false, Reverse(0), own) }
}

pub(crate) const LINK: u8 = 2;
pub(crate) const GLOBAL: u8 = 14;

/// RFC 6724 section 3.1, RFC 4291 section 2.7.
pub(crate) const fn scope(address: Ipv6Addr) -> u8 {
    if address.is_multicast() {
        return address.octets()[1] & 0x0f;
    }
    if address.is_loopback() || address.is_unicast_link_local() {
        return LINK;
    }
    // Site-local, which is deprecated (RFC 3879).
    if address.segments()[0] & 0xffc0 == 0xfec0 { 5 } else { GLOBAL }
}

/// How much a destination is liked, the more the better, and which label source and destination should share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) precedence: u8,
    pub(crate) label: u8,
}

/// The default policy table (RFC 6724 section 2.1).
pub(crate) fn policy(address: Ipv6Addr) -> Policy {
    let [first, second, ..] = address.segments();
    let (precedence, label) = match address {
        Ipv6Addr::LOCALHOST => (50, 0),
        _ if address.to_ipv4_mapped().is_some() => (35, 4),
        _ if address.to_bits() >> 32 == 0 => (1, 3),
        _ if first == 0x2001 && second == 0 => (5, 5),
        _ if first == 0x2002 => (30, 2),
        _ if first == 0x3ffe => (1, 12),
        _ if first & 0xffc0 == 0xfec0 => (1, 11),
        _ if first & 0xfe00 == 0xfc00 => (3, 13),
        _ => (40, 1),
    };
    Policy { precedence, label }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(text: &str) -> Candidate {
        let mut words = text.split(' ');
        let cidr = words.next().unwrap().parse().unwrap();
        let flags: Vec<_> = words.collect();
        Candidate { cidr, deprecated: flags.contains(&"old"), temporary: flags.contains(&"temporary") }
    }

    fn chosen(addresses: &[&str], destination: &str) -> String {
        let destination = destination.parse().unwrap();
        let candidates = addresses.iter().map(|text| candidate(text));
        choose(candidates, destination, destination).unwrap().to_string()
    }

    /// The examples of RFC 6724 section 10.1, and one for each rule that they leave out.
    #[test]
    fn rules_of_rfc_6724_section_5() {
        let cases: [(&[&str], &str, &str); 11] = [
            (&["2001:db8:3::1/64", "fe80::1/64"], "2001:db8:1::1", "2001:db8:3::1"),
            (&["2001:db8:3::1/64", "fe80::1/64"], "ff05::1", "2001:db8:3::1"),
            (&["2001:db8:1::1/64 old", "2001:db8:2::1/64"], "2001:db8:1::1", "2001:db8:1::1"),
            (&["fe80::1/64 old", "2001:db8:1::1/64"], "fe80::2", "fe80::1"),
            (&["2001:db8:1::2/64", "2001:db8:3::2/64"], "2001:db8:1::d5e3", "2001:db8:1::2"),
            (
                &["2002:c633:6401::d5e3:7953:13eb:22e8/64 temporary", "2001:db8:1::2/64"],
                "2001:db8:1::d5e3",
                "2001:db8:1::2",
            ),
            (
                &["2002:c633:6401::d5e3/64 temporary", "2001:db8::2/64"],
                "2002:c633:6401::d5e3",
                "2002:c633:6401::d5e3",
            ),
            (&["2001:db8::1/64", "2001:db8::2/64 temporary"], "2001:db8:9::1", "2001:db8::2"),
            (&["2001:db8::1/64 old", "2001:db8:ffff::2/64"], "2001:db8::9", "2001:db8:ffff::2"),
            (&["2001:db8::1/64", "fd00::1/64"], "fd11::1", "fd00::1"),
            (&["fd00::1/64", "fd00::2/64"], "fd00::9", "fd00::1"),
        ];
        for (addresses, destination, wanted) in cases {
            assert_eq!(chosen(addresses, destination), wanted, "{addresses:?} to {destination}");
        }
    }

    #[test]
    fn common_bits_count_within_the_prefix_only_rfc_6724_section_2_2() {
        // 2001:db8::8:1 has more bits in common with the destination, but not of its prefix.
        assert_eq!(chosen(&["2001:db8::1/64", "2001:db8::8:1/64"], "2001:db8::8:2"), "2001:db8::1");
    }

    #[test]
    fn the_network_of_the_next_hop_counts_for_ipv4() {
        let candidates = ["10.0.0.1/24", "10.1.0.1/24", "169.254.0.1/16"];
        let of = |next_hop: &str, destination: &str| {
            let candidates = candidates.iter().map(|text| candidate(text));
            choose(candidates, next_hop.parse().unwrap(), destination.parse().unwrap()).unwrap().to_string()
        };
        assert_eq!(of("10.1.0.254", "8.8.8.8"), "10.1.0.1");
        assert_eq!(of("10.9.0.254", "8.8.8.8"), "10.0.0.1");
        assert_eq!(of("169.254.0.9", "169.254.0.9"), "169.254.0.1");
        assert_eq!(of("10.0.0.9", "10.0.0.9"), "10.0.0.1");
    }
}
