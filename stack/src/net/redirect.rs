//! Redirects: a router tells a host of a shorter way (RFC 792, RFC 1812 section 5.2.7.2, RFC 4861 section 8), and a host
//! believes the router that it sends to (RFC 1122 section 3.2.2.2).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::icmp::{self, parse_quoted};
use super::icmp_error::{Complaint, MOST_V6, is_error};
use super::ip::{self, Packet};
use super::neighbour::Evidence;
use super::route::{InterfaceId, Route};
use super::{checksum, ndp};
use crate::engine::Engine;
use crate::engine::interface::is_link_local;
use crate::engine::output::{Hop, Outgoing};
use crate::engine::report;
use crate::time::Instant;

/// Redirects that were believed, and when some were sent.
#[derive(Debug, Default)]
pub(crate) struct Redirects {
    believed: HashMap<IpAddr, Detour>,
    /// Who was told of which destination.
    said: HashMap<(IpAddr, IpAddr), Instant>,
}

/// The first hop to one destination.
#[derive(Clone, Copy, Debug)]
struct Detour {
    /// The route that it is in place of.
    interface: InterfaceId,
    gateway: IpAddr,
    next: IpAddr,
}

impl Redirects {
    /// The first hop that somebody has told of, in place of that of the route.
    pub(crate) fn next_hop(&self, destination: IpAddr, route: &Route) -> Option<IpAddr> {
        let detour = self.believed.get(&destination)?;
        (Some(detour.gateway) == route.gateway && detour.interface == route.interface).then_some(detour.next)
    }

    /// Forgets all that was believed.
    pub(crate) fn clear(&mut self) {
        self.believed.clear();
    }

    fn believe(&mut self, destination: IpAddr, detour: Detour) {
        // When too many are known, all are forgotten: whoever is still right says so again.
        if self.believed.len() >= MOST && !self.believed.contains_key(&destination) {
            self.believed.clear();
        }
        self.believed.insert(destination, detour);
    }

    /// Whether the sender may be told of the destination (again).
    fn may_say(&mut self, now: Instant, sender: IpAddr, destination: IpAddr) -> bool {
        let fresh = |at: &Instant| now - *at < PAUSE;
        if self.said.get(&(sender, destination)).is_some_and(fresh) {
            return false;
        }
        if self.said.len() >= MOST {
            self.said.retain(|_, at| fresh(at));
        }
        let room = self.said.len() < MOST;
        if room {
            self.said.insert((sender, destination), now);
        }
        room
    }
}

impl Engine {
    /// Tells the sender of a packet that is sent on over the link that it came from, if the next hop is on that for the
    /// sender, too.
    pub(crate) fn redirect(&mut self, now: Instant, packet: &Packet, frame: &[u8], hop: Hop) {
        let own = &self.interfaces[hop.interface.0 as usize];
        let near = match hop.next {
            // RFC 1812 section 5.2.7.2: both are on one subnet.
            IpAddr::V4(next) => own
                .addresses
                .iter()
                .any(|own| own.cidr.contains(packet.source) && own.cidr.contains(next.into())),
            // RFC 4861 section 8.2: the sender is a neighbour, and routers are named by their link-local addresses.
            IpAddr::V6(next) => {
                let route = self.routes.lookup(packet.source, None);
                route.is_some_and(|route| route.gateway.is_none() && route.interface == hop.interface)
                    && (next == packet.destination || is_link_local(next.into()))
            }
        };
        let arrived = &frame[packet.header..packet.end];
        if !near || is_error(arrived) || !self.redirects.may_say(now, packet.source, packet.destination) {
            return;
        }
        match hop.next {
            IpAddr::V4(next) => {
                self.complain(now, hop.interface, packet, frame, Complaint::Redirect(next));
            }
            IpAddr::V6(next) => self.redirect_v6(now, packet, arrived, hop.interface, next),
        }
    }

    /// RFC 4861 section 4.5.
    fn redirect_v6(
        &mut self,
        now: Instant,
        packet: &Packet,
        arrived: &[u8],
        interface: InterfaceId,
        target: Ipv6Addr,
    ) {
        let (IpAddr::V6(destination), true) = (packet.destination, self.icmp_limit.allow(now)) else {
            return;
        };
        let own = &self.interfaces[interface.0 as usize];
        let link_local = own.usable().find(|ip| ip.is_ipv6() && is_link_local(*ip));
        let Some(source) = link_local else { return };
        let mac = own.neighbours.mac_of(target.into());
        let link_address = if mac.is_some() { 8 } else { 0 };
        // The header of the option that quotes is as long as a word.
        let room = MOST_V6 - ip::V6_HEADER_LEN - V6_LEN - link_address - 8;
        let quoted = &arrived[..arrived.len().min(room) & !7];
        let fill = |message: &mut [u8]| {
            message.fill(0);
            message[0] = ndp::REDIRECT;
            message[8..24].copy_from_slice(&target.octets());
            message[24..40].copy_from_slice(&destination.octets());
            let mut options = &mut message[V6_LEN..];
            if let Some(mac) = mac {
                options[..2].copy_from_slice(&[ndp::TARGET_LINK_ADDRESS, 1]);
                options[2..8].copy_from_slice(&mac.octets());
                options = &mut options[8..];
            }
            options[..2]
                .copy_from_slice(&[ndp::REDIRECTED_HEADER, u8::try_from(quoted.len() / 8 + 1).unwrap_or(0)]);
            options[8..].copy_from_slice(quoted);
        };
        let len = V6_LEN + link_address + 8 + quoted.len();
        let outgoing = Outgoing {
            hop: Hop { interface, next: packet.source, source },
            source,
            destination: packet.source,
            protocol: checksum::ICMP6,
            ttl: ndp::HOP_LIMIT,
        };
        self.send_packet(now, outgoing, len, fill);
    }

    /// Takes in a redirect of IPv4; one for a network counts for the host only (RFC 1122 section 3.2.2.2). It quotes a packet,
    /// and whoever does not know one that an endpoint or the stack sends is not believed: its source is easily forged.
    pub(super) fn handle_redirect(&mut self, interface: InterfaceId, packet: &Packet, message: &[u8]) {
        let (Some(&[_, _, _, _, a, b, c, d]), Some(quoted)) =
            (message.first_chunk(), message.get(icmp::HEADER_LEN..))
        else {
            return;
        };
        let next = Ipv4Addr::new(a, b, c, d);
        let Some((sent, transport)) = parse_quoted(quoted) else { return };
        let Some(&[s0, s1, d0, d1]) = transport.first_chunk() else { return };
        let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        let known = match sent.protocol {
            checksum::TCP => self.connection_of_sent(&sent, source, destination).is_some(),
            checksum::UDP => self.datagram_of_sent(&sent, source, destination).is_some(),
            // As Linux (icmp_err): of answers to echo requests nothing is kept by which one could be recognised.
            checksum::ICMP if transport[0] == icmp::ECHO_REPLY => true,
            checksum::ICMP => report::ports(&sent, transport)
                .is_some_and(|(id, none)| self.datagram_of_sent(&sent, id, none).is_some()),
            _ => false,
        } || self.raw_may_have_sent(&sent);
        let own = &self.interfaces[interface.0 as usize];
        // A gateway that is not on the network that the redirect came over is not one.
        let near = own.addresses.iter().any(|own| own.cidr.contains(next.into())) && !own.is_broadcast(next);
        if known && near && self.is_local(sent.source) {
            self.take_redirect(interface, packet.source, sent.destination, next.into());
        }
    }

    /// Takes in a redirect of IPv6, whose checksum was verified (RFC 4861 sections 8.1 and 8.3).
    pub(super) fn handle_redirect_v6(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        message: &[u8],
    ) {
        let address = |at: usize| {
            let octets: Option<&[u8; 16]> = message.get(at..).and_then(<[u8]>::first_chunk);
            octets.map(|octets| Ipv6Addr::from(*octets))
        };
        let (Some(target), Some(destination), true) =
            (address(8), address(24), packet.ttl == ndp::HOP_LIMIT && is_link_local(packet.source))
        else {
            self.counters.malformed += 1;
            return;
        };
        let Ok(mac) = ndp::link_address(&message[V6_LEN..], ndp::TARGET_LINK_ADDRESS) else {
            self.counters.malformed += 1;
            return;
        };
        let plausible = target == destination || target.is_unicast_link_local();
        if destination.is_multicast()
            || !plausible
            || !self.take_redirect(interface, packet.source, destination.into(), target.into())
        {
            return;
        }
        if let Some(mac) = mac {
            // RFC 4861 section 8.3: it makes an entry, or changes one, as a solicitation does.
            self.learn(now, interface, target, mac, Evidence::Request);
        }
    }

    /// Sends what is for `destination` to `next` from now on, if the sender of the redirect is the one that it went to.
    fn take_redirect(
        &mut self,
        interface: InterfaceId,
        sender: IpAddr,
        destination: IpAddr,
        next: IpAddr,
    ) -> bool {
        let Some(route) = self.routes.lookup(destination, None) else { return false };
        let Some(gateway) = route.gateway else { return false };
        let current = self.redirects.next_hop(destination, route).unwrap_or(gateway);
        if self.forwarding || self.is_local(next) || current != sender || route.interface != interface {
            return false;
        }
        self.redirects.believe(destination, Detour { interface, gateway, next });
        self.routes_version += 1;
        true
    }

    /// A neighbour does not answer: what was to go there takes the route again (RFC 1122 section 3.3.1.4).
    pub(crate) fn forget_redirects(&mut self, next: IpAddr) {
        let before = self.redirects.believed.len();
        self.redirects.believed.retain(|_, detour| detour.next != next);
        if self.redirects.believed.len() != before {
            self.routes_version += 1;
        }
    }
}

/// Type, code, checksum, a reserved word, target and destination (RFC 4861 section 4.5).
const V6_LEN: usize = 40;
/// Destinations that are remembered, either way.
const MOST: usize = 1024;
/// Between two redirects about one destination to one sender (RFC 4861 section 8.2). It may need a second one: Linux only
/// looks for the new router when it hears the first.
const PAUSE: Duration = Duration::from_secs(1);
