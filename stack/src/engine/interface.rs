//! An interface of a stack: addresses, MTU and neighbours. The loopback interface is the first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;

use super::address::{Address, Origin};
use crate::dhcp::{Leased4, Leased6};
use crate::net::dad::Testing;
use crate::net::mac::Mac;
use crate::net::neighbour::NeighbourTable;
use crate::net::route::InterfaceId;
use crate::net::source::{self, Candidate};
use crate::slaac::discovery::{ALL_ROUTERS, Discovery};
use crate::time::Instant;

/// The loopback interface.
pub(crate) const LOOPBACK: InterfaceId = InterfaceId::LOOPBACK;
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

/// What went over an interface since it was made; a super-frame counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames that arrived.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames that were sent.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
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
    /// Whether the user wants it to be used (`IFF_UP` of netdevice(7)).
    pub(crate) enabled: bool,
    pub(crate) traffic: Traffic,
    pub(crate) addresses: Vec<Address>,
    /// When something happens to one of them by itself.
    pub(crate) address_deadline: Option<Instant>,
    pub(crate) testing: Testing,
    /// What routers say of packets of IPv6 (RFC 4861 section 4.6.4).
    pub(crate) mtu_v6: Option<u16>,
    /// The hop limit of packets of IPv6, if they say one.
    pub(crate) hop_limit: Option<NonZeroU8>,
    /// While it learns from routers.
    pub(crate) discovery: Option<Box<Discovery>>,
    /// Whether it learns from routers again once it is up, and makes temporary addresses then.
    pub(crate) rediscover: Option<bool>,
    /// Whether DHCPv6 is asked when routers say that there is a server.
    pub(crate) follows: bool,
    /// Whether it learns from routers while the stack is one, too.
    pub(crate) learns_as_router: bool,
    /// While it has a lease, or asks for one.
    pub(crate) leased4: Option<Box<Leased4>>,
    pub(crate) leased6: Option<Box<Leased6>>,
    /// While a lease is being given back.
    pub(crate) returned6: Option<Box<Leased6>>,
    /// Whether it was taken from the stack: it only keeps its number from being given again.
    pub(crate) removed: bool,
    pub(crate) neighbours: NeighbourTable,
}

impl Interface {
    /// One without addresses.
    pub(crate) fn new(settings: InterfaceSettings) -> Self {
        let InterfaceSettings { name, mac, mtu, offload } = settings;
        Self {
            name,
            mac,
            mtu,
            offload,
            up: true,
            enabled: true,
            traffic: Traffic::default(),
            addresses: Vec::new(),
            address_deadline: None,
            testing: Testing::Off,
            mtu_v6: None,
            hop_limit: None,
            discovery: None,
            rediscover: None,
            follows: false,
            learns_as_router: false,
            leased4: None,
            leased6: None,
            returned6: None,
            removed: false,
            neighbours: NeighbourTable::new(),
        }
    }

    /// Whether frames go in and out.
    pub(crate) const fn is_running(&self) -> bool {
        self.up && self.enabled
    }

    /// The address to send from when the next hop is `next_hop` and the packet goes to `destination`.
    pub(crate) fn source_for(&self, next_hop: IpAddr, destination: IpAddr) -> Option<IpAddr> {
        let candidates = self.addresses.iter().filter(|address| address.is_usable());
        let candidates = candidates.map(|address| Candidate {
            cidr: address.cidr,
            deprecated: address.deprecated,
            temporary: address.origin == Origin::Temporary,
        });
        source::choose(candidates, next_hop, destination)
    }

    /// The largest packet of a family, in bytes.
    pub(crate) fn mtu_of(&self, v6: bool) -> u16 {
        self.mtu_v6.filter(|_| v6).map_or(self.mtu, |mtu| mtu.min(self.mtu))
    }

    /// The addresses that it may use.
    pub(crate) fn usable(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(|address| address.is_usable()).map(Address::ip)
    }

    /// Whether it is configured by whoever is there, and somebody was.
    pub(crate) fn is_served(&self) -> bool {
        let lent = |origin| matches!(origin, Origin::Leased | Origin::Advertised | Origin::Temporary);
        self.follows && self.addresses.iter().any(|own| own.is_usable() && lent(own.origin))
    }

    /// Whether `address` is one of ours.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.usable().any(|own| own == address)
    }

    /// Whether `address` is the broadcast address of one of our networks, or the limited one.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast() || self.addresses.iter().any(|own| own.broadcast() == Some(address))
    }

    /// Whether the group is one that every host hears (RFC 1112 section 7.2, RFC 4291 section 2.8).
    pub(crate) fn hears_group(&self, group: IpAddr) -> bool {
        match group {
            IpAddr::V4(group) => group == Ipv4Addr::new(224, 0, 0, 1),
            IpAddr::V6(group) => {
                group == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)
                    || self.addresses.iter().any(|own| match own.ip() {
                        IpAddr::V6(address) => solicited_node(address) == group,
                        IpAddr::V4(_) => false,
                    })
            }
        }
    }
}

/// The groups of all routers on the link (RFC 1112, IANA; RFC 4291 section 2.7.1).
pub(crate) fn all_routers() -> [IpAddr; 2] {
    [Ipv4Addr::new(224, 0, 0, 2).into(), ALL_ROUTERS.into()]
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
