//! What leaves: from the route to the Ethernet header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::interface::{Interface, LOOPBACK, is_link_local};
use super::{Engine, Transmit};
use crate::error::Error;
use crate::link::{Checksum, Frame};
use crate::net::ip::{self, Marks};
use crate::net::mac::Mac;
use crate::net::neighbour::Resolution;
use crate::net::route::{InterfaceId, RouteKind};
use crate::net::{checksum, ethernet};
use crate::raw::Summing;
use crate::time::Instant;

/// Where packets to a destination go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) interface: InterfaceId,
    pub(crate) next: IpAddr,
    /// The address to send from, unless the endpoint is bound to another.
    pub(crate) source: IpAddr,
}

impl Hop {
    /// Whether a router is the next.
    pub(crate) fn is_routed(&self, destination: IpAddr) -> bool {
        self.interface != LOOPBACK && self.next != destination
    }
}

/// A packet that the engine makes itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) hop: Hop,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Transport protocol (IANA number).
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
}

impl Engine {
    /// Finds the way to `destination`; `scope` is the interface a link-local address belongs to.
    pub(crate) fn route(&self, destination: IpAddr, scope: Option<InterfaceId>) -> Result<Hop, Error> {
        if destination.is_unspecified() {
            // As Linux has it: "this host".
            let source = match destination {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            return Ok(Hop { interface: LOOPBACK, next: source, source });
        }
        // `ip_route_output_key`: one that is named and down leads nowhere, not even home.
        let named = scope.and_then(|scope| self.interfaces.get(scope.place()));
        if scope != Some(LOOPBACK) && named.is_some_and(|named| !named.enabled) {
            return Err(Error::NetworkUnreachable);
        }
        if self.is_local(destination) {
            let own = self.interfaces.iter().any(|interface| interface.has(destination));
            let source = if own { destination } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
            return Ok(Hop { interface: LOOPBACK, next: destination, source });
        }
        let (interface, next) = if destination.is_multicast() {
            let interface = scope.or_else(|| self.group_interface(destination));
            (interface.ok_or(Error::NetworkUnreachable)?, destination)
        } else if destination == IpAddr::V4(Ipv4Addr::BROADCAST) {
            let usable = |interface: &Interface| {
                interface.enabled
                    && interface.usable().any(|address| address.is_ipv4() == destination.is_ipv4())
            };
            let first = (1..self.interfaces.len()).find(|&at| usable(&self.interfaces[at]));
            let first = first.and_then(|at| u32::try_from(at).ok()).map(InterfaceId);
            (scope.or(first).ok_or(Error::NetworkUnreachable)?, destination)
        } else {
            let route = self.routes.lookup(destination, scope).ok_or(Error::NetworkUnreachable)?;
            match route.kind {
                RouteKind::Unicast => {
                    let next = self.redirects.next_hop(destination, route).or(route.gateway);
                    (route.interface, next.unwrap_or(destination))
                }
                RouteKind::Blackhole => return Err(Error::Invalid),
                RouteKind::Unreachable => return Err(Error::HostUnreachable),
                RouteKind::Prohibit => return Err(Error::AccessDenied),
            }
        };
        let via = self.interfaces.get(interface.place()).filter(|via| via.enabled);
        let via = via.ok_or(Error::NetworkUnreachable)?;
        // An interface without an address of its own sends from another's, as on Linux, unless the scope forbids it.
        let others = || self.interfaces[1..].iter().filter(|_| !is_link_local(destination));
        let source = via.source_for(next, destination);
        let source = source.or_else(|| others().find_map(|other| other.source_for(next, destination)));
        let source = source.ok_or(Error::AddressNotAvailable)?;
        Ok(Hop { interface, next, source })
    }

    /// The same for what an application sends; that there is none is counted.
    pub(crate) fn route_out(
        &mut self,
        destination: IpAddr,
        scope: Option<InterfaceId>,
    ) -> Result<Hop, Error> {
        let hop = self.route(destination, scope);
        self.counters.out_no_routes += u64::from(hop == Err(Error::NetworkUnreachable));
        hop
    }

    /// Finds the way back to the sender of a packet that arrived on `interface`: over that interface if the
    /// sender is known there only (RFC 4007 section 6), otherwise by the routes, as Linux has it.
    pub(crate) fn route_back(&self, interface: InterfaceId, sender: IpAddr) -> Result<Hop, Error> {
        let scope = (interface != LOOPBACK && is_link_local(sender)).then_some(interface);
        self.route(sender, scope)
    }

    /// Sends a packet whose Ethernet header is still to be written.
    pub(crate) fn transmit_packet(&mut self, now: Instant, hop: Hop, mut frame: Frame) {
        if hop.interface == LOOPBACK {
            self.local.push_back(frame);
            return;
        }
        let index = hop.interface.0 as usize;
        let mac = match self.link_destination(index, hop.next) {
            Some(mac) => mac,
            None => match self.interfaces[index].neighbours.resolve(now, hop.next, frame) {
                Resolution::Known { mac, frame: resolved } => {
                    frame = resolved;
                    mac
                }
                Resolution::Queued { solicit } => {
                    if solicit {
                        self.solicit(now, hop.interface, hop.next, None);
                    }
                    return;
                }
            },
        };
        self.transmit_to(hop.interface, mac, ethernet::ethertype(hop.next), frame);
    }

    /// The group or broadcast MAC of a destination, `None` if a neighbour is to be asked.
    fn link_destination(&self, index: usize, next: IpAddr) -> Option<Mac> {
        if let IpAddr::V4(next) = next
            && self.interfaces[index].is_broadcast(next)
        {
            return Some(Mac::BROADCAST);
        }
        ethernet::multicast_mac(next)
    }

    /// Writes the Ethernet header and queues the frame for the link.
    pub(crate) fn transmit_to(
        &mut self,
        interface: InterfaceId,
        destination: Mac,
        ethertype: u16,
        mut frame: Frame,
    ) {
        let known = &mut self.interfaces[interface.0 as usize];
        if !known.enabled {
            self.counters.frames_lost += 1;
            return;
        }
        known.traffic.frames_out += 1;
        known.traffic.bytes_out += frame.len() as u64;
        let source = known.mac;
        ethernet::Header { destination, source, ethertype }.emit(frame.bytes_mut());
        self.counters.frames_out += 1;
        self.out.push_back(Transmit { interface, frame });
    }

    /// The largest packet that gets over `hop` to `destination` in one piece, as far as is known.
    pub(crate) fn mtu_to(&self, now: Instant, hop: Hop, destination: IpAddr) -> usize {
        let own = self.interfaces[hop.interface.0 as usize].mtu_of(destination.is_ipv6());
        let said = [&self.path_mtus, &self.datagram_mtus].map(|paths| paths.of(now, destination));
        said.into_iter().flatten().fold(own, u16::min).into()
    }

    /// Sends `len` bytes of a transport protocol, written by `fill`, with their checksum: as one packet, or in
    /// fragments if that would be too long.
    pub(crate) fn send_packet(
        &mut self,
        now: Instant,
        packet: Outgoing,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let mtu = self.mtu_to(now, packet.hop, packet.destination);
        self.send_marked(now, packet, Marks { ttl: packet.ttl, ..Marks::USUAL }, mtu, len, fill);
    }

    /// The same with what an application says about the headers, and about the length of packets.
    pub(crate) fn send_marked(
        &mut self,
        now: Instant,
        packet: Outgoing,
        marks: Marks,
        mtu: usize,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let Outgoing { hop, destination, .. } = packet;
        if ip::header_len(destination) + len > mtu {
            self.send_fragments(now, packet, marks, mtu, len, fill);
            return;
        }
        let frame = self.make_marked(packet, marks, len, fill);
        self.transmit_packet(now, hop, frame);
    }

    /// A packet with `len` bytes of a transport protocol, written by `fill`; its Ethernet header is still to be written.
    pub(crate) fn make_packet(
        &mut self,
        packet: Outgoing,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Frame {
        self.make_marked(packet, Marks { ttl: packet.ttl, ..Marks::USUAL }, len, fill)
    }

    /// The same with what an application says about the headers.
    pub(crate) fn make_marked(
        &mut self,
        packet: Outgoing,
        marks: Marks,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Frame {
        self.make_summed(packet, marks, len, false, fill)
    }

    /// The same; with `partial` the checksum, of UDP, is left to whoever puts the frame on a wire.
    pub(super) fn make_summed(
        &mut self,
        packet: Outgoing,
        marks: Marks,
        len: usize,
        partial: bool,
        fill: impl FnOnce(&mut [u8]),
    ) -> Frame {
        const UDP_CHECKSUM: u16 = 6;
        let Outgoing { hop, source, destination, protocol, .. } = packet;
        let front = ethernet::HEADER_LEN + ip::header_len(destination);
        let mut frame = Frame::with_capacity(front + len);
        frame.set_len(front + len);
        let bytes = frame.bytes_mut();
        fill(&mut bytes[front..]);
        self.count_sent(protocol, &bytes[front..]);
        let transport = &mut bytes[front..];
        if partial {
            checksum::fill_partial(source, destination, protocol, transport, UDP_CHECKSUM.into());
        } else {
            marks.summing.write(source, destination, protocol, transport);
        }
        let header = &mut bytes[ethernet::HEADER_LEN..];
        ip::emit(header, source, destination, protocol, marks.ttl);
        if marks.tos != 0 || marks.may_be_cut {
            let identification = self.identifications.next(&self.secret, source, destination);
            marks.write(header, identification as u16);
        }
        // Traffic inside the stack is not summed twice.
        let vouched = hop.interface == LOOPBACK && marks.summing == Summing::OfProtocol;
        frame.checksum = if partial {
            Checksum::Partial { start: u16::try_from(front).unwrap_or(u16::MAX), offset: UDP_CHECKSUM }
        } else if vouched {
            Checksum::Verified
        } else {
            Checksum::Unverified
        };
        frame
    }

    /// A number for a packet that may be cut (RFC 6864 section 4.3).
    pub(crate) fn next_identification(&mut self, source: IpAddr, destination: IpAddr) -> u16 {
        self.identifications.next(&self.secret, source, destination) as u16
    }

    /// Counts a packet that this host sends.
    pub(crate) fn count_sent(&mut self, protocol: u8, transport: &[u8]) {
        self.counters.ip_out += 1;
        let v6 = protocol == checksum::ICMP6;
        if (v6 || protocol == checksum::ICMP)
            && let Some(&kind) = transport.first()
        {
            self.counters.icmp_out.messages += 1;
            self.counters.icmp_out.count_kind(v6, kind);
        }
    }
}
