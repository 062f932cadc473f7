//! An interface of a stack: addresses, MTU and neighbours. The loopback interface is number 0.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::cidr::Cidr;
use crate::net::mac::Mac;
use crate::net::neighbour::NeighbourTable;
use crate::net::route::InterfaceId;

/// Number of the loopback interface.
pub(crate) const LOOPBACK: InterfaceId = InterfaceId(0);
/// MTU of the loopback interface: the largest packet that a super-frame holds.
pub(crate) const LOOPBACK_MTU: u16 = 65_520;

/// What an interface is made from.
#[derive(Clone, Debug)]
pub struct InterfaceSettings {
    /// Its name, unique in the stack, such as `eth0`.
    pub name: String,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Largest IP packet in bytes, 1280 at least for IPv6.
    pub mtu: u16,
    /// Whether its link takes super-frames and partial checksums.
    pub offload: bool,
}

/// An interface.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) mac: Mac,
    pub(crate) mtu: u16,
    pub(crate) offload: bool,
    /// Whether it still has its link.
    pub(crate) up: bool,
    pub(crate) addresses: Vec<Cidr>,
    pub(crate) neighbours: NeighbourTable,
}

impl Interface {
    /// The address to send from when the next hop is `next_hop` and the packet goes to `destination`:
    /// of the same scope, on the same prefix if there is one (a part of RFC 6724 section 5).
    pub(crate) fn source_for(&self, next_hop: IpAddr, destination: IpAddr) -> Option<IpAddr> {
        let fits = |address: &IpAddr| {
            address.is_ipv4() == destination.is_ipv4()
                && is_link_local(*address) == is_link_local(destination)
        };
        let on_prefix = self.addresses.iter().find(|cidr| cidr.contains(next_hop) && fits(&cidr.address()));
        let any_scope = || self.addresses.iter().find(|cidr| fits(&cidr.address()));
        let any = || self.addresses.iter().find(|cidr| cidr.address().is_ipv4() == destination.is_ipv4());
        on_prefix.or_else(any_scope).or_else(any).map(Cidr::address)
    }

    /// Whether `address` is one of ours.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|cidr| cidr.address() == address)
    }

    /// Whether `address` is the broadcast address of one of our networks, or the limited one.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast() || self.addresses.iter().any(|cidr| cidr.broadcast() == Some(address))
    }

    /// Whether the group is one that every host hears (RFC 1112 section 7.2, RFC 4291 section 2.8).
    pub(crate) fn hears_group(&self, group: IpAddr) -> bool {
        match group {
            IpAddr::V4(group) => group == Ipv4Addr::new(224, 0, 0, 1),
            IpAddr::V6(group) => {
                group == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)
                    || self.addresses.iter().any(|cidr| match cidr.address() {
                        IpAddr::V6(address) => solicited_node(address) == group,
                        IpAddr::V4(_) => false,
                    })
            }
        }
    }
}

/// Whether an address is valid on its link only.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || (address.is_multicast() && address.octets()[1] & 0x0f == 2)
        }
    }
}

/// The solicited-node group of an address (RFC 4291 section 2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The link-local address that an interface gives itself (RFC 4291 appendix A).
pub(crate) fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.octets();
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}
