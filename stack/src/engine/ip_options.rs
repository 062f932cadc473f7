//! What an endpoint has to say about the IP headers of what it sends: ip(7), ipv6(7). An endpoint of IPv6 has both
//! halves, because it may speak IPv4 through mapped addresses.

use std::net::IpAddr;

use crate::net::ip::Marks;
use crate::net::route::InterfaceId;

/// Switches and numbers of IP; a part of [`Options`](crate::Options).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpOptions {
    /// `IP_TTL`: the time to live of packets to one host; `None` for what the system has, 64.
    pub ttl: Option<u8>,
    /// `IP_TOS`: the differentiated services field (RFC 2474) with the two bits of ECN, which TCP keeps to itself.
    pub tos: u8,
    /// `IP_MTU_DISCOVER`.
    pub discovery: MtuDiscovery,
    /// `IP_RECVERR`: everything that the network says of datagrams is queued, and told, whether there is a peer or not.
    pub queue_errors: bool,
    /// `IPV6_UNICAST_HOPS`: the same for the hop limit; `None` for what the system has, 64.
    pub hop_limit: Option<u8>,
    /// `IPV6_TCLASS`: the traffic class.
    pub traffic_class: u8,
    /// `IPV6_MTU_DISCOVER`.
    pub discovery_v6: MtuDiscovery,
    /// `IPV6_RECVERR`.
    pub queue_errors_v6: bool,
    /// `IPV6_MTU`: packets of IPv6 are no longer than this, 1280 at least.
    pub mtu_v6: Option<u16>,
    /// `IPV6_DONTFRAG`: a datagram that does not fit is refused, not sent in fragments (RFC 3542 section 11.2).
    pub dont_fragment_v6: bool,
    /// `SO_BINDTODEVICE`: what is sent leaves by this interface, and what comes by others is not heard.
    pub device: Option<InterfaceId>,
    /// `SO_DONTROUTE`: over no router.
    pub on_link: bool,
    /// `IP_UNICAST_IF`, `IPV6_UNICAST_IF`: the interface that datagrams leave by, unless something else says which.
    pub unicast_interface: Option<InterfaceId>,
    /// `IP_FREEBIND`: the address to bind to need not be there.
    pub free_bind: bool,
    /// `IP_TRANSPARENT`: nor be of this stack at all.
    pub transparent: bool,
    /// `IP_BIND_ADDRESS_NO_PORT`: bind to an address and any port takes no port; what needs one later does.
    pub late_port: bool,
    /// `IP_LOCAL_PORT_RANGE`: the first and the last port that bind and connect choose; 0 for what the system has.
    pub local_ports: (u16, u16),
    /// `SO_NO_CHECK`: datagrams of UDP over IPv4 leave without a checksum.
    pub no_checksum: bool,
    /// `UDP_NO_CHECK6_TX`: the same over IPv6 (RFC 6935).
    pub no_checksum_v6: bool,
    /// `UDP_NO_CHECK6_RX`: such datagrams over IPv6 are heard.
    pub hears_unsummed_v6: bool,
    /// `IP_MINTTL`: segments of IPv4 with less are dropped (RFC 5082 section 3).
    pub least_ttl: u8,
    /// `IPV6_MINHOPCOUNT`: the same for IPv6.
    pub least_hop_limit: u8,
}

/// What becomes of a datagram that is longer than its path takes, ip(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MtuDiscovery {
    /// `IP_PMTUDISC_DONT`: routers may cut it.
    Never,
    /// `IP_PMTUDISC_WANT`: it leaves in fragments that fit what is known of the path; what fits is not to be cut on its way.
    #[default]
    Wanted,
    /// `IP_PMTUDISC_DO`: it is refused, and nothing is to be cut.
    Always,
    /// `IP_PMTUDISC_PROBE`: the same, by the MTU of the interface, not that of the path.
    Probe,
    /// `IP_PMTUDISC_INTERFACE`: refused by the MTU of the interface; what the network says of the path is not believed.
    Interface,
    /// `IP_PMTUDISC_OMIT`: the same, and not refused.
    Omit,
}

/// What one datagram has instead of the options of its endpoint; control messages of sendmsg(2). `None` for what the
/// endpoint has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramOptions {
    /// `IP_TTL` or `IPV6_HOPLIMIT`.
    pub ttl: Option<u8>,
    /// `IP_TOS` or `IPV6_TCLASS`.
    pub tos: Option<u8>,
    /// `IP_PKTINFO` or `IPV6_PKTINFO`: the address that it comes from.
    pub source: Option<IpAddr>,
    /// The interface that it leaves by.
    pub interface: Option<InterfaceId>,
    /// `IPV6_DONTFRAG`.
    pub dont_fragment: Option<bool>,
    /// `UDP_SEGMENT`: bytes of each of the datagrams that it is cut into; 0 for one datagram.
    pub datagram_size: Option<u16>,
    /// `MSG_DONTROUTE`: over no router.
    pub on_link: bool,
    /// `MSG_PROBE`: it is only looked at whether it could be sent.
    pub probe: bool,
}

impl IpOptions {
    /// Whether a segment has so many hops left as are asked for.
    pub(crate) const fn is_near(&self, v6: bool, hops: u8) -> bool {
        hops >= if v6 { self.least_hop_limit } else { self.least_ttl }
    }
}

impl MtuDiscovery {
    /// Whether the path counts, and not the interface alone.
    pub(crate) const fn heeds_path(self) -> bool {
        matches!(self, Self::Never | Self::Wanted | Self::Always)
    }

    /// Whether reports that a packet was too long for its path are believed.
    pub(crate) const fn believes_reports(self) -> bool {
        !matches!(self, Self::Interface | Self::Omit)
    }

    /// Whether what is too long leaves in fragments.
    pub(crate) const fn fragments(self) -> bool {
        matches!(self, Self::Never | Self::Wanted | Self::Omit)
    }

    /// Whether routers may cut what fits (RFC 791 section 3.1, Don't Fragment).
    pub(crate) const fn may_be_cut(self) -> bool {
        matches!(self, Self::Never | Self::Interface | Self::Omit)
    }
}

impl IpOptions {
    /// What the headers of packets to `destination` say, with `usual` hops where nothing was set.
    pub(crate) fn marks(&self, destination: IpAddr, usual: u8) -> Marks {
        // As Linux: these numbers are for one host; a group has one of its own.
        let (set, tos) = match destination {
            IpAddr::V4(_) => (self.ttl, self.tos),
            IpAddr::V6(_) => (self.hop_limit, self.traffic_class),
        };
        let ttl = set.filter(|_| !destination.is_multicast()).unwrap_or(usual);
        let may_be_cut = self.discovery(destination).may_be_cut();
        Marks { ttl, tos, may_be_cut, ..Marks::USUAL }
    }

    /// The same for a segment of TCP, whose bits of ECN are its own (RFC 3168 section 6.1).
    pub(crate) fn segment_marks(&self, destination: IpAddr, usual: u8) -> Marks {
        const ECN: u8 = 0b11;
        let marks = self.marks(destination, usual);
        Marks { tos: marks.tos & !ECN, may_be_cut: false, ..marks }
    }

    /// Whether datagrams of UDP to `destination` leave without a checksum.
    pub(crate) const fn leaves_unsummed(&self, destination: IpAddr) -> bool {
        match destination {
            IpAddr::V4(_) => self.no_checksum,
            IpAddr::V6(_) => self.no_checksum_v6,
        }
    }

    /// What becomes of what is too long, on the way to `destination`.
    pub(crate) const fn discovery(&self, destination: IpAddr) -> MtuDiscovery {
        match destination {
            IpAddr::V4(_) => self.discovery,
            IpAddr::V6(_) => self.discovery_v6,
        }
    }

    /// Whether everything is told that the network says of packets to `destination`.
    pub(crate) const fn queues_errors(&self, destination: IpAddr) -> bool {
        match destination {
            IpAddr::V4(_) => self.queue_errors,
            IpAddr::V6(_) => self.queue_errors_v6,
        }
    }
}
