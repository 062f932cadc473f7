//! What an endpoint has to say about datagrams to groups, and about which of them it gets: ip(7), ipv6(7).

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use super::membership::scope;
use crate::engine::Engine;
use crate::engine::endpoint::EndpointId;
use crate::engine::interface::LOOPBACK;
use crate::engine::output::Outgoing;
use crate::net::ip::{Marks, Packet};
use crate::net::route::InterfaceId;

/// Switches and numbers of multicast; a part of [`Options`](crate::Options). An endpoint of IPv6 has both halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MulticastOptions {
    /// `IP_MULTICAST_TTL`: time to live, 1 unless this says otherwise; with 0 nothing leaves the stack.
    pub ttl: u8,
    /// `IP_MULTICAST_LOOP`: members on this stack have what is sent, too.
    pub loops: bool,
    /// `IP_MULTICAST_ALL`: it also gets what other endpoints are members of.
    pub all: bool,
    /// `IP_MULTICAST_IF`: the interface that datagrams leave by.
    pub interface: Option<InterfaceId>,
    /// `IP_MULTICAST_IF`: the address that they come from.
    pub source: Option<Ipv4Addr>,
    /// `IPV6_MULTICAST_HOPS`, as `ttl`.
    pub hop_limit: u8,
    /// `IPV6_MULTICAST_LOOP`.
    pub loops_v6: bool,
    /// `IPV6_MULTICAST_ALL`.
    pub all_v6: bool,
    /// `IPV6_MULTICAST_IF`.
    pub interface_v6: Option<InterfaceId>,
}

impl Default for MulticastOptions {
    fn default() -> Self {
        Self {
            // RFC 1112 section 6.1.
            ttl: 1,
            loops: true,
            all: true,
            interface: None,
            source: None,
            // RFC 3493 section 5.2.
            hop_limit: 1,
            loops_v6: true,
            all_v6: true,
            interface_v6: None,
        }
    }
}

impl MulticastOptions {
    /// The hops of datagrams to `destination`, if that is a group.
    pub(crate) fn hops_to(&self, destination: IpAddr) -> Option<u8> {
        let hops = if destination.is_ipv4() { self.ttl } else { self.hop_limit };
        destination.is_multicast().then_some(hops)
    }

    /// The address that datagrams to `destination` come from, if that is a group and the address was chosen.
    pub(crate) fn source_to(&self, destination: IpAddr) -> Option<IpAddr> {
        let chosen = destination.is_multicast() && destination.is_ipv4();
        self.source.filter(|_| chosen).map(IpAddr::V4)
    }
}

impl Engine {
    /// The interface that datagrams of an endpoint to `destination` leave by, if that is a group and something says which:
    /// an option, or for IPv4 the address that they come from, as on Linux.
    pub(crate) fn group_scope(
        &self,
        options: &MulticastOptions,
        from: IpAddr,
        destination: IpAddr,
    ) -> Option<InterfaceId> {
        if !destination.is_multicast() {
            return None;
        }
        if destination.is_ipv6() {
            return options.interface_v6;
        }
        let of_sender = || {
            let from = if from.is_unspecified() || from.is_multicast() {
                options.source_to(destination)?
            } else {
                from
            };
            self.interface_of(from)
        };
        options.interface.or_else(of_sender)
    }

    /// Whether an endpoint wants a datagram that was sent to a group.
    pub(crate) fn wants_of_group(&self, id: EndpointId, interface: InterfaceId, packet: &Packet) -> bool {
        let Some(endpoint) = self.endpoints.get(id) else { return false };
        let options = &endpoint.options.multicast;
        let all = if packet.destination.is_ipv4() { options.all } else { options.all_v6 };
        self.multicast.admits(id, interface, packet.destination, packet.source, all)
    }

    /// Sends a packet to the members of a group on this stack, if there are any on the interface that it leaves by; what goes
    /// over the loopback interface comes back by itself. `len` is that of header and data, and of each datagram if there are
    /// several.
    pub(crate) fn loop_back(
        &mut self,
        options: &MulticastOptions,
        packet: Outgoing,
        marks: Marks,
        len: (usize, Option<NonZeroU16>),
        fill: impl FnOnce(&mut [u8]),
    ) {
        let Outgoing { hop, source, destination, protocol, .. } = packet;
        let wanted = if destination.is_ipv4() { options.loops } else { options.loops_v6 };
        if destination.is_multicast()
            && wanted
            && hop.interface != LOOPBACK
            && self.hears_group(hop.interface, destination, source, protocol)
        {
            let mut frame = self.make_datagrams(packet, marks, len, fill);
            frame.checksum = crate::link::Checksum::Verified;
            self.multicast.looped.push_back((hop.interface, frame));
        }
    }
}

/// Whether a packet with so many hops stays on this stack, being for a group that does not go further (RFC 1112 section 6.1,
/// RFC 4291 section 2.7).
pub(crate) fn stays_here(interface: InterfaceId, destination: IpAddr, hops: u8) -> bool {
    let near = match destination {
        IpAddr::V4(_) => hops == 0,
        IpAddr::V6(group) => hops == 0 || scope(group) <= 1,
    };
    destination.is_multicast() && interface != LOOPBACK && near
}
