//! Neighbour Discovery (RFC 4861) for IPv6 over Ethernet: solicitations and advertisements.

use std::net::{IpAddr, Ipv6Addr};

use super::ip::Packet;
use super::mac::Mac;
use super::neighbour::Evidence;
use super::route::InterfaceId;
use super::{checksum, ethernet};
use crate::engine::Engine;
use crate::engine::interface::solicited_node;
use crate::engine::output::{Hop, Outgoing};
use crate::slaac::discovery::ALL_ROUTERS;
use crate::time::Instant;

/// Message types (RFC 4861 section 4).
pub(crate) const SOLICITATION: u8 = 135;
pub(crate) const ADVERTISEMENT: u8 = 136;
const ROUTER_SOLICITATION: u8 = 133;
pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
pub(super) const REDIRECT: u8 = 137;

/// Options (RFC 4861 section 4.6).
const SOURCE_LINK_ADDRESS: u8 = 1;
pub(super) const TARGET_LINK_ADDRESS: u8 = 2;
pub(super) const REDIRECTED_HEADER: u8 = 4;

/// Flags of an advertisement (RFC 4861 section 4.4).
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// RFC 4291 section 2.7.1.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What is sent carries this hop limit, and nothing else is believed (RFC 4861 sections 7.1.1, 7.1.2).
pub(super) const HOP_LIMIT: u8 = 255;
/// Type, code, checksum, flags, target address.
const HEADER_LEN: usize = 24;
/// With one link-layer address option.
const MESSAGE_LEN: usize = HEADER_LEN + 8;

/// The link-layer address option of that kind; `Err` if the options are malformed.
pub(super) fn link_address(mut options: &[u8], wanted: u8) -> Result<Option<Mac>, ()> {
    let mut found = None;
    while let [kind, len, ..] = *options {
        // RFC 4861 section 4.6: an option of length 0 makes the whole packet invalid.
        let len = usize::from(len) * 8;
        if len == 0 || len > options.len() {
            return Err(());
        }
        if kind == wanted
            && let Some(&mac) = options[2..len].first_chunk()
        {
            found = Some(Mac::new(mac));
        }
        options = &options[len..];
    }
    if options.is_empty() { Ok(found) } else { Err(()) }
}

impl Engine {
    /// Takes in a solicitation or an advertisement; `message` starts at the ICMPv6 header and its
    /// checksum was verified.
    pub(crate) fn handle_ndp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        message: &[u8],
        sender: Mac,
    ) {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination) else {
            return;
        };
        let valid = packet.ttl == HOP_LIMIT && message.len() >= HEADER_LEN && message[1] == 0;
        let Some(target) = message.get(8..24).and_then(|octets| <[u8; 16]>::try_from(octets).ok()) else {
            return;
        };
        let target = Ipv6Addr::from(target);
        if !valid || target.is_multicast() {
            self.counters.malformed += 1;
            return;
        }
        let options = &message[HEADER_LEN..];
        if message[0] == SOLICITATION {
            self.handle_solicitation(now, interface, (source, sender), target, options);
        } else {
            self.handle_advertisement(now, interface, (destination, sender), target, message[4], options);
        }
    }

    /// RFC 4861 section 7.2.3.
    fn handle_solicitation(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        (source, sender): (Ipv6Addr, Mac),
        target: Ipv6Addr,
        options: &[u8],
    ) {
        let Ok(mac) = link_address(options, SOURCE_LINK_ADDRESS) else {
            self.counters.malformed += 1;
            return;
        };
        // RFC 4862 section 5.4.3: whoever asks without an address wants this one, too.
        let probe = source.is_unspecified();
        let claimer = mac.unwrap_or(sender);
        if probe && self.is_claimed(now, interface, target.into(), claimer, true) {
            return;
        }
        let own = &self.interfaces[interface.0 as usize];
        // RFC 4861 section 7.2.7: of an address that others have, too, none of the answers overrides another.
        let anycast = !own.has(target.into()) && self.forwarding && own.anycast().any(|any| any == target);
        if !anycast && !own.has(target.into()) {
            return;
        }
        if let Some(mac) = mac
            && !probe
        {
            self.learn(now, interface, source, mac, Evidence::Request);
        }
        let to = if probe { ALL_NODES } else { source };
        // Section 7.2.4; RFC 4429 section 3.3: what is still being tested overrides nobody.
        let override_ = if anycast || self.is_optimistic(interface, target.into()) { 0 } else { OVERRIDE };
        let flags = if probe { override_ } else { SOLICITED | override_ };
        let from = self.interfaces[interface.0 as usize].source_for(to.into(), to.into()).filter(|_| anycast);
        let hop = Hop { interface, next: to.into(), source: from.unwrap_or_else(|| target.into()) };
        if probe || !claimer.is_unicast() {
            self.send_ndp(now, hop, to, ADVERTISEMENT, flags, target);
            return;
        }
        // It goes to where the question came from, as with ARP: who only asks is no neighbour that is used, has no claim
        // on room among those that are, and is asked nothing in turn.
        let (packet, len, fill) = self.ndp_message(hop, to, ADVERTISEMENT, flags, target);
        let frame = self.make_packet(packet, len, fill);
        self.transmit_to(interface, claimer, ethernet::IPV6, frame);
    }

    /// RFC 4861 section 7.2.5.
    fn handle_advertisement(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        (destination, sender): (Ipv6Addr, Mac),
        target: Ipv6Addr,
        flags: u8,
        options: &[u8],
    ) {
        let solicited = flags & SOLICITED != 0;
        let Ok(mac) = link_address(options, TARGET_LINK_ADDRESS) else {
            self.counters.malformed += 1;
            return;
        };
        // Section 7.1.2: an advertisement to a group is never solicited. One of our own address is
        // somebody else's claim, which we do not follow.
        if (solicited && destination.is_multicast())
            || self.is_claimed(now, interface, target.into(), mac.unwrap_or(sender), false)
            || self.is_local(target.into())
        {
            return;
        }
        if let Some(mac) = mac {
            if solicited {
                self.trust_router(interface, target.into());
            }
            let evidence = Evidence::Reply { solicited, override_: flags & OVERRIDE != 0 };
            self.learn(now, interface, target, mac, evidence);
        }
    }

    /// Enters a neighbour and sends what waited for it.
    pub(crate) fn learn(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        ip: Ipv6Addr,
        mac: Mac,
        evidence: Evidence,
    ) {
        let neighbours = &mut self.interfaces[interface.0 as usize].neighbours;
        for frame in neighbours.learn(now, ip.into(), mac, evidence) {
            self.transmit_to(interface, mac, ethernet::IPV6, frame);
        }
    }

    /// Advertises an address of ours to all nodes without having been asked.
    pub(crate) fn advertise(&mut self, now: Instant, interface: InterfaceId, ip: Ipv6Addr) {
        let hop = Hop { interface, next: ALL_NODES.into(), source: ip.into() };
        self.send_ndp(now, hop, ALL_NODES, ADVERTISEMENT, OVERRIDE, ip);
    }

    /// Sends a solicitation (RFC 4861 section 7.2.2): to the group, or to `target` alone.
    pub(crate) fn solicit_v6(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        ip: Ipv6Addr,
        target: Option<Mac>,
    ) {
        let own = &self.interfaces[interface.0 as usize];
        let Some(source) = own.source_for(ip.into(), ip.into()) else { return };
        // A unicast probe goes to a neighbour we have just asked the table about: its address resolves.
        let to = if target.is_some() { ip } else { solicited_node(ip) };
        let hop = Hop { interface, next: to.into(), source };
        self.send_ndp(now, hop, to, SOLICITATION, 0, ip);
    }

    /// Asks for an address that we want, from no address (RFC 4862 section 5.4.2).
    pub(crate) fn probe_v6(&mut self, now: Instant, interface: InterfaceId, ip: Ipv6Addr) {
        let to = solicited_node(ip);
        let hop = Hop { interface, next: to.into(), source: Ipv6Addr::UNSPECIFIED.into() };
        self.send_ndp(now, hop, to, SOLICITATION, 0, ip);
    }

    /// Asks all routers (RFC 4861 section 4.1). The link-layer address goes with an address that was tested only.
    pub(crate) fn solicit_routers(&mut self, now: Instant, interface: InterfaceId) {
        let own = &self.interfaces[interface.0 as usize];
        let to = IpAddr::V6(ALL_ROUTERS);
        let source = own.source_for(to, to).unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let mac = own.mac;
        let bare = source.is_unspecified() || self.is_optimistic(interface, source);
        let fill = |message: &mut [u8]| {
            message[..8].copy_from_slice(&[ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
            if let Some(option) = message.get_mut(8..16) {
                option[..2].copy_from_slice(&[SOURCE_LINK_ADDRESS, 1]);
                option[2..].copy_from_slice(&mac.octets());
            }
        };
        let hop = Hop { interface, next: to, source };
        let packet = Outgoing { hop, source, destination: to, protocol: checksum::ICMP6, ttl: HOP_LIMIT };
        self.send_packet(now, packet, if bare { 8 } else { 16 }, fill);
    }

    fn send_ndp(&mut self, now: Instant, hop: Hop, to: Ipv6Addr, kind: u8, flags: u8, target: Ipv6Addr) {
        let (packet, len, fill) = self.ndp_message(hop, to, kind, flags, target);
        self.send_packet(now, packet, len, fill);
    }

    /// A solicitation or an advertisement: how it travels, how long it is, and what writes it.
    fn ndp_message(
        &self,
        hop: Hop,
        to: Ipv6Addr,
        kind: u8,
        flags: u8,
        target: Ipv6Addr,
    ) -> (Outgoing, usize, impl FnOnce(&mut [u8]) + use<>) {
        let mac = self.interfaces[hop.interface.place()].mac;
        let option = if kind == SOLICITATION { SOURCE_LINK_ADDRESS } else { TARGET_LINK_ADDRESS };
        let flags = if kind == ADVERTISEMENT && self.forwarding { flags | ROUTER } else { flags };
        let fill = move |message: &mut [u8]| {
            message[..8].copy_from_slice(&[kind, 0, 0, 0, flags, 0, 0, 0]);
            message[8..24].copy_from_slice(&target.octets());
            if let Some(at) = message.get_mut(HEADER_LEN..MESSAGE_LEN) {
                at[..2].copy_from_slice(&[option, 1]);
                at[2..].copy_from_slice(&mac.octets());
            }
        };
        let packet = Outgoing {
            hop,
            source: hop.source,
            destination: to.into(),
            protocol: checksum::ICMP6,
            ttl: HOP_LIMIT,
        };
        // RFC 4861 section 4.3. RFC 4429 section 3.3 would leave it out of what an optimistic address asks, too; but Linux
        // answers no question to a group without it, and nobody on the link could be reached for a second.
        let bare = kind == SOLICITATION && hop.source.is_unspecified();
        let len = if bare { HEADER_LEN } else { MESSAGE_LEN };
        (packet, len, fill)
    }
}
