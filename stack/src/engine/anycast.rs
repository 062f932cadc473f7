//! The subnet-router anycast address (RFC 4291 section 2.6.1): a router answers to the prefix of each network it is on, with
//! nothing behind it. Many have that address, so nothing is sent from it, and no connection is made with it, as on Linux.

use std::net::{IpAddr, Ipv6Addr};

use super::Engine;
use super::interface::{Interface, LOOPBACK};

/// From this length of a prefix on there is no such address (RFC 6164 section 5).
const POINT_TO_POINT: u8 = 127;

impl Interface {
    /// The subnet-router anycast addresses of its networks.
    pub(crate) fn anycast(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.addresses.iter().filter(|own| own.is_usable()).filter_map(|own| {
            match own.cidr.network().address() {
                IpAddr::V6(prefix) if own.cidr.prefix_len() < POINT_TO_POINT => {
                    Some(prefix).filter(|prefix| !prefix.is_unspecified())
                }
                _ => None,
            }
        })
    }
}

impl Engine {
    /// Whether a packet to that address is for this stack as it is for any router of the network.
    pub(crate) fn is_anycast(&self, address: IpAddr) -> bool {
        let IpAddr::V6(address) = address else { return false };
        let others = self.interfaces.iter().skip(LOOPBACK.0 as usize + 1);
        self.forwarding && others.flat_map(Interface::anycast).any(|own| own == address)
    }
}
