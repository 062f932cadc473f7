//! What arrives: from the Ethernet header to the protocol that takes it.

use std::net::IpAddr;

use super::Engine;
use super::interface::LOOPBACK;
use super::report::Saying;
use crate::link::{Checksum, Frame};
use crate::multicast::IGMP;
use crate::net::extension::NO_NEXT_HEADER;
use crate::net::icmp_error::Complaint;
use crate::net::ip::{Malformed, Packet};
use crate::net::mac::Mac;
use crate::net::route::InterfaceId;
use crate::net::{checksum, ethernet, ndp};
use crate::packet::Way;
use crate::time::Instant;

impl Engine {
    /// Takes in a frame that arrived on an interface. Anything may be in it.
    pub fn handle_frame(&mut self, now: Instant, interface: InterfaceId, frame: Frame) {
        self.counters.frames_in += 1;
        let known = self.interfaces.get_mut(interface.0 as usize).filter(|known| known.enabled);
        let Some(own) = known else { return };
        own.traffic.frames_in += 1;
        own.traffic.bytes_in += frame.len() as u64;
        if self.packets.are_used() {
            self.show(now, interface, &frame, Way::In, None);
        }
        let Some(own) = self.interfaces.get(interface.0 as usize) else { return };
        let Some(header) = ethernet::Header::parse(frame.bytes()) else {
            self.counters.malformed += 1;
            return;
        };
        if header.destination != own.mac && !header.destination.is_multicast() {
            self.counters.not_for_us += 1;
            return;
        }
        if matches!(header.ethertype, ethernet::IPV4 | ethernet::IPV6) {
            self.counters.ip_in += 1;
        }
        match header.ethertype {
            ethernet::ARP => self.handle_arp(now, interface, frame.bytes()),
            // RFC 1812 section 5.3.4: what came to many is not forwarded.
            ethernet::IPV4 | ethernet::IPV6
                if !header.destination.is_multicast()
                    && self.is_transit(frame.bytes())
                    && !self.is_answer4(interface, &frame) =>
            {
                self.forward(now, interface, frame);
            }
            ethernet::IPV4 | ethernet::IPV6 => {
                let unicast = !header.destination.is_multicast();
                self.handle_packet(now, interface, &frame, unicast, Some(header.source));
            }
            _ => self.counters.not_for_us += 1,
        }
    }

    /// Takes in a frame that this stack sent to itself.
    pub(crate) fn handle_local(&mut self, now: Instant, frame: &Frame) {
        self.counters.ip_in += 1;
        let own = &mut self.interfaces[LOOPBACK.0 as usize];
        if !own.enabled {
            return;
        }
        own.traffic.frames_in += 1;
        own.traffic.bytes_in += frame.len() as u64;
        own.traffic.frames_out = own.traffic.frames_in;
        own.traffic.bytes_out = own.traffic.bytes_in;
        self.handle_packet(now, LOOPBACK, frame, true, None);
    }

    /// Takes in a packet to a group that this stack sent over an interface, for its own members there.
    pub(super) fn handle_looped(&mut self, now: Instant, interface: InterfaceId, frame: &Frame) {
        if let Ok(packet) = Packet::parse(frame.bytes()) {
            self.dispatch(now, interface, &packet, frame, false, None);
        }
    }

    /// Takes in the packet in a frame. `unicast`: its Ethernet destination is this host alone.
    fn handle_packet(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        frame: &Frame,
        unicast: bool,
        sender: Option<Mac>,
    ) {
        let packet = match Packet::parse(frame.bytes()) {
            Ok(packet) => packet,
            Err(malformed) => {
                self.refuse_packet(now, interface, frame.bytes(), unicast, malformed);
                return;
            }
        };
        if self.hear_dhcp4(now, interface, &packet, frame, sender) {
            return;
        }
        if !self.is_plausible(interface, &packet) && !self.is_rival(interface, &packet, frame.bytes()) {
            self.counters.not_for_us += 1;
            // RFC 4293: the destination was not valid to be received here. Of sources that lie it says nothing.
            self.counters.address_errors += u64::from(!self.is_to_us(interface, &packet));
            return;
        }
        let to_one = unicast && self.is_local(packet.destination);
        // As Linux counts it: a fragment that came, and all that was wanted.
        self.counters.reassembly_requests += u64::from(packet.atomic);
        self.counters.reassembly_oks += u64::from(packet.atomic);
        match packet.part {
            Some(part) => self.handle_fragment(now, interface, &packet, part, frame, to_one),
            None => self.dispatch(now, interface, &packet, frame, to_one, sender),
        }
    }

    /// Counts a packet that cannot be understood, and tells its sender if that is to be told.
    pub(super) fn refuse_packet(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        frame: &[u8],
        unicast: bool,
        malformed: Malformed,
    ) {
        let counter = match malformed {
            Malformed::Header | Malformed::Problem(..) => &mut self.counters.malformed,
            Malformed::Checksum => &mut self.counters.bad_checksum,
            Malformed::Option => &mut self.counters.not_for_us,
        };
        *counter += 1;
        self.counters.header_errors += 1;
        if let Malformed::Problem(packet, problem) = malformed
            && self.is_plausible(interface, &packet)
            && (problem.of_groups || (unicast && self.is_local(packet.destination)))
        {
            self.complain(now, interface, &packet, frame, Complaint::Problem(problem));
        }
    }

    /// Hands a whole packet to its protocol.
    pub(super) fn dispatch(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &Frame,
        to_one: bool,
        sender: Option<Mac>,
    ) {
        self.counters.ip_delivered += 1;
        let heard = !self.raw.is_empty() && self.hear_raw(now, interface, packet, frame);
        match packet.protocol {
            checksum::UDP if self.hear_dhcp6(now, interface, packet, frame) => {}
            checksum::TCP if to_one => self.handle_tcp(now, interface, packet, frame),
            // RFC 9293 section 3.10.7: a SYN to many is nobody's.
            checksum::TCP => self.counters.not_for_us += 1,
            checksum::UDP => self.handle_udp(now, interface, packet, frame, to_one),
            IGMP if packet.destination.is_ipv4() => self.handle_igmp(now, interface, packet, frame.bytes()),
            checksum::ICMP if packet.destination.is_ipv4() => {
                self.handle_icmp(now, interface, packet, frame.bytes(), to_one);
            }
            checksum::ICMP6 if packet.destination.is_ipv6() => {
                self.handle_icmp6(now, interface, packet, frame.bytes(), to_one, sender);
            }
            // raw(7): whoever took it speaks the protocol.
            _ if heard => {}
            _ => {
                self.counters.not_for_us += 1;
                self.counters.ip_delivered -= 1;
                self.counters.unknown_protocols += 1;
                if to_one && packet.protocol != NO_NEXT_HEADER {
                    self.complain(now, interface, packet, frame.bytes(), Complaint::Protocol);
                }
            }
        }
    }

    /// Whether a packet may be what it says: for an address of ours or a group we hear, and not from an
    /// address that nobody sends from (RFC 1122 section 3.2.1.3).
    fn is_plausible(&self, interface: InterfaceId, packet: &Packet) -> bool {
        let own = &self.interfaces[interface.0 as usize];
        let source_ok = match packet.source {
            IpAddr::V4(source) => {
                !source.is_multicast()
                    && !own.is_broadcast(source)
                    && (!source.is_loopback() || interface == LOOPBACK)
            }
            IpAddr::V6(source) => !source.is_multicast() && (!source.is_loopback() || interface == LOOPBACK),
        };
        // A packet from one of our addresses comes from us or is forged.
        let forged = interface != LOOPBACK && self.is_local(packet.source);
        source_ok && !forged && self.is_to_us(interface, packet)
    }

    /// Whether a packet is sent to this host, alone or among others.
    fn is_to_us(&self, interface: InterfaceId, packet: &Packet) -> bool {
        let own = &self.interfaces[interface.0 as usize];
        match packet.destination {
            destination if interface != LOOPBACK && destination.is_loopback() => false,
            destination if destination.is_multicast() => {
                self.hears_group(interface, destination, packet.source, packet.protocol)
            }
            IpAddr::V4(destination) if own.is_broadcast(destination) => true,
            destination => self.is_local(destination) || self.is_anycast(destination),
        }
    }

    /// Whether a packet from one of our addresses is said by somebody who has it, too, and defends it: an advertisement, which
    /// comes from that address (RFC 4861 section 7.2.4), to all nodes. Who said it is judged later.
    fn is_rival(&self, interface: InterfaceId, packet: &Packet, frame: &[u8]) -> bool {
        interface != LOOPBACK
            && packet.protocol == checksum::ICMP6
            && frame.get(packet.payload) == Some(&ndp::ADVERTISEMENT)
            && self.interfaces[interface.0 as usize].has(packet.source)
            && self.interfaces[interface.0 as usize].hears_group(packet.destination)
    }

    /// Whether a packet to `address` stays inside the stack.
    pub(crate) fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.interfaces.iter().any(|interface| interface.has(address))
    }

    /// Whether the transport checksum is right, or vouched for by the link.
    pub(crate) fn checksum_ok(&mut self, packet: &Packet, frame: &Frame) -> bool {
        let ok = match frame.checksum {
            Checksum::Verified | Checksum::Partial { .. } => true,
            Checksum::Unverified => {
                let segment = &frame.bytes()[packet.payload..packet.end];
                checksum::verify(packet.source, packet.destination, packet.protocol, segment)
            }
        };
        if !ok {
            self.counters.bad_checksum += 1;
            match packet.protocol {
                checksum::TCP => {
                    self.counters.tcp_bad_checksum += 1;
                    self.counters.tcp_errors += 1;
                }
                _ => self.count_udp_checksum(),
            }
        }
        ok
    }

    /// A frame could not be delivered because its next hop does not answer: tells the endpoint that sent it.
    pub(super) fn undeliverable(&mut self, now: Instant, frame: &Frame) {
        if let Ok(packet) = Packet::parse(frame.bytes())
            && packet.part.is_none_or(|part| part.offset == 0)
        {
            let transport = &frame.bytes()[packet.payload..packet.end];
            if let Some(saying) = Saying::of_neighbour(&packet) {
                self.report_raw(now, &packet, &frame.bytes()[packet.header..packet.end], saying);
                self.report(now, &packet, transport, saying);
            }
        }
    }
}
