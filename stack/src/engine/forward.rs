//! Forwarding: what arrives for somebody else leaves towards its destination (RFC 1812 section 5, RFC 8200 section 3).
//!
//! A packet is changed as little as a router must: its time to live, and where IPv4 allows it, its cut into fragments.
//! Fragments are not put together, and extension headers are not looked at. A super-frame stays one where the next link
//! takes them; what counts against the MTU is each of its segments.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Engine;
use super::interface::is_link_local;
use super::output::Hop;
use crate::link::{Checksum, Frame, split};
use crate::net::icmp_error::Complaint;
use crate::net::ip::Packet;
use crate::net::route::{InterfaceId, RouteKind};
use crate::net::{ethernet, transit};
use crate::time::Instant;

impl Engine {
    /// Whether ICMP errors that a host causes are limited by their number, on unless this says otherwise:
    /// `net.ipv4.icmp_ratelimit` of Linux, which is off at 0.
    pub fn limit_icmp_errors(&mut self, on: bool) {
        self.limits_icmp_by_host = on;
    }

    /// Whether packets for others are forwarded, off unless this says otherwise: `net.ipv4.ip_forward` and
    /// `net.ipv6.conf.all.forwarding` of Linux in one. A router follows no redirects (RFC 1122 section 3.2.2.2 is about
    /// hosts) and configures itself from no advertisement unless it is [told to](Self::learn_as_router); it says what it is
    /// in its neighbour advertisements (RFC 4861 section 4.4).
    pub fn set_forwarding(&mut self, on: bool) {
        if self.forwarding != on {
            self.forwarding = on;
            self.role_changed();
        }
        self.redirects.clear();
        self.routes_version += 1;
        // A router is a member of the groups of routers.
        for index in 1..self.interfaces.len() {
            self.own_groups_changed(Instant::ZERO, InterfaceId::at(index));
        }
    }

    /// Whether a router takes a packet that came to it alone for one to be forwarded: its destination is one station, and
    /// not this one. What a router may not forward is transit, too, if it is the source that forbids it.
    pub(super) fn is_transit(&self, frame: &[u8]) -> bool {
        if !self.forwarding {
            return false;
        }
        let Some(destination) = transit::destination(frame) else { return false };
        is_forwardable(destination)
            && !is_link_local(destination)
            && !self.is_anycast(destination)
            // Those that are still being tested are nobody else's, either.
            && !self.interfaces.iter().any(|own| own.addresses.iter().any(|own| own.ip() == destination))
            // RFC 2644: a broadcast on a network of ours is for nobody who is not on it.
            && !matches!(destination, IpAddr::V4(to) if self.is_any_broadcast(to))
    }

    /// Sends a packet on its way, or tells its sender why not.
    pub(super) fn forward(&mut self, now: Instant, arrived: InterfaceId, mut frame: Frame) {
        let packet = match Packet::parse_transit(frame.bytes()) {
            Ok(packet) => packet,
            Err(malformed) => {
                // Whoever sent it would have to be told at an address that may be wrong itself.
                self.refuse_packet(now, arrived, frame.bytes(), false, malformed);
                return;
            }
        };
        if !self.may_be_forwarded(&packet) || transit::is_source_routed(frame.bytes(), &packet) {
            self.counters.not_for_us += 1;
            return;
        }
        if is_link_local(packet.source) {
            self.counters.not_for_us += 1;
            // RFC 3927 section 7: IPv4 has no word for it.
            if packet.source.is_ipv6() {
                self.refuse_transit(now, arrived, &packet, frame, Complaint::BeyondScope);
            }
            return;
        }
        let hop = match self.way(packet.destination) {
            Ok(hop) => hop,
            Err(complaint) => {
                self.counters.no_routes += 1;
                if let Some(complaint) = complaint {
                    self.refuse_transit(now, arrived, &packet, frame, complaint);
                }
                return;
            }
        };
        // RFC 1812 section 5.3.1, RFC 8200 section 3.
        if packet.ttl <= 1 {
            self.counters.header_errors += 1;
            self.refuse_transit(now, arrived, &packet, frame, Complaint::Hops);
            return;
        }
        let mtu = self.interfaces[hop.interface.0 as usize].mtu_of(packet.destination.is_ipv6());
        let mtu = usize::from(mtu);
        let too_long = longest(&frame, &packet) > mtu;
        if too_long && transit::dont_fragment(frame.bytes(), &packet) {
            self.counters.too_big += 1;
            let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            self.refuse_transit(now, arrived, &packet, frame, Complaint::TooLong(mtu));
            return;
        }
        if hop.interface == arrived {
            self.redirect(now, &packet, frame.bytes(), hop);
        }
        // RFC 1812 section 5.2.1.1: what lies behind the packet was padding of the link that it came over.
        frame.set_len(packet.end);
        transit::take_hop(frame.bytes_mut());
        self.counters.forwarded += 1;
        self.send_on(now, hop, frame, too_long.then_some(mtu));
    }

    /// The next hop, or what the sender is told instead, if it is told anything.
    fn way(&self, destination: IpAddr) -> Result<Hop, Option<Complaint>> {
        let route = self.routes.lookup(destination, None).ok_or(Some(Complaint::NoRoute))?;
        match route.kind {
            RouteKind::Unicast if !self.interfaces[route.interface.0 as usize].is_running() => {
                Err(Some(Complaint::NoRoute))
            }
            RouteKind::Unicast => {
                let next = route.gateway.unwrap_or(destination);
                Ok(Hop { interface: route.interface, next, source: next })
            }
            RouteKind::Blackhole => Err(None),
            RouteKind::Unreachable => Err(Some(Complaint::Host)),
            RouteKind::Prohibit => Err(Some(Complaint::Prohibited)),
        }
    }

    /// Hands a packet to the next hop in the form in which its link takes it; with `cut_to`, in fragments.
    fn send_on(&mut self, now: Instant, hop: Hop, mut frame: Frame, cut_to: Option<usize>) {
        let offload = self.interfaces[hop.interface.0 as usize].offload;
        if cut_to.is_none() && (offload || is_plain(&frame)) {
            if let Some(segmentation) = frame.segmentation
                && usize::from(segmentation.header_len) > frame.len()
            {
                self.counters.malformed += 1;
                return;
            }
            if !offload {
                // Who hears it next knows nothing of this link.
                frame.checksum = Checksum::Unverified;
            }
            self.transmit_packet(now, hop, frame);
            return;
        }
        let pieces = split::split(frame);
        if pieces.is_empty() {
            self.counters.malformed += 1;
        }
        for piece in pieces {
            match cut_to {
                Some(mtu) if piece.len() - ethernet::HEADER_LEN > mtu => {
                    let Some(fragments) = transit::cut(piece.bytes(), mtu) else {
                        self.counters.fragment_fails += 1;
                        continue;
                    };
                    self.counters.fragment_oks += 1;
                    for fragment in fragments {
                        self.counters.fragment_creates += 1;
                        self.transmit_packet(now, hop, fragment);
                    }
                }
                _ => self.transmit_packet(now, hop, piece),
            }
        }
    }

    /// A frame did not reach its next hop, which does not answer: tells whoever sent it, an endpoint or somebody else
    /// (RFC 1812 section 5.2.7.1, RFC 4861 section 7.2.2).
    pub(super) fn give_up(&mut self, now: Instant, frame: Frame) {
        let Ok(packet) = Packet::parse_transit(frame.bytes()) else { return };
        if !self.forwarding || self.is_local(packet.source) {
            self.undeliverable(now, &frame);
            return;
        }
        // Who the sender is does not depend on where it came from: link-local ones are not forwarded.
        self.refuse_transit(now, super::interface::LOOPBACK, &packet, frame, Complaint::Host);
    }

    /// Tells the sender what is wrong. What is quoted is what a wire would have carried.
    fn refuse_transit(
        &mut self,
        now: Instant,
        arrived: InterfaceId,
        packet: &Packet,
        frame: Frame,
        complaint: Complaint,
    ) {
        if is_plain(&frame) {
            self.complain(now, arrived, packet, frame.bytes(), complaint);
        } else if let Some(first) = split::split(frame).into_iter().next() {
            self.complain(now, arrived, &Packet { end: first.len(), ..*packet }, first.bytes(), complaint);
        }
    }

    /// Whether the source of a packet is one that a router believes (RFC 1812 section 5.3.7, RFC 4291 section 2.5).
    fn may_be_forwarded(&self, packet: &Packet) -> bool {
        let broadcast = matches!(packet.source, IpAddr::V4(from) if self.is_any_broadcast(from));
        // A packet from one of our addresses comes from us or is forged.
        is_forwardable(packet.source) && !self.is_local(packet.source) && !broadcast
    }

    fn is_any_broadcast(&self, address: Ipv4Addr) -> bool {
        self.interfaces.iter().any(|interface| interface.is_broadcast(address))
    }
}

/// Whether it is the address of one station that may be behind a router (RFC 1812 sections 4.2.3.1 and 5.3.7, RFC 4291
/// sections 2.5.2 and 2.5.3). Link-local ones may not, but what is said about them differs.
fn is_forwardable(address: IpAddr) -> bool {
    match address {
        // "This network", and class E with the limited broadcast in it.
        IpAddr::V4(v4) => !matches!(v4.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(v6) => v6 != Ipv6Addr::UNSPECIFIED && v6 != Ipv6Addr::LOCALHOST && !v6.is_multicast(),
    }
}

/// Whether a link without offload could have carried it.
const fn is_plain(frame: &Frame) -> bool {
    frame.segmentation.is_none() && !matches!(frame.checksum, Checksum::Partial { .. })
}

/// The length of the packet, or of the longest of the packets that a super-frame stands for.
fn longest(frame: &Frame, packet: &Packet) -> usize {
    let end = match frame.segmentation {
        Some(segmentation) => {
            packet.end.min(usize::from(segmentation.header_len) + usize::from(segmentation.size))
        }
        None => packet.end,
    };
    end.saturating_sub(packet.header)
}
