//! What goes between a stack and the routers, switches and other hosts of a link about memberships.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::host::{Delays, Said};
use super::igmp::{self, Heard};
use super::mld;
use crate::engine::Engine;
use crate::engine::interface::LOOPBACK;
use crate::net::ip::{Packet, V4_HEADER_LEN};
use crate::net::route::InterfaceId;
use crate::net::{checksum, ethernet};
use crate::tcp::isn::{Purpose, Secret};
use crate::time::Instant;

impl Engine {
    /// Takes in a message of IGMP.
    pub(crate) fn handle_igmp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &[u8],
    ) {
        let message = &frame[packet.payload..packet.end];
        if checksum::of(message) != 0 {
            self.counters.bad_checksum += 1;
            return;
        }
        let alert = igmp::has_alert(&frame[packet.header + V4_HEADER_LEN..packet.payload]);
        if let Some(heard) = igmp::parse(message, packet.destination, alert) {
            self.hear(now, interface, false, heard);
        }
    }

    /// Takes in a message of MLD whose checksum was verified.
    pub(crate) fn handle_mld(&mut self, now: Instant, interface: InterfaceId, packet: &Packet, frame: &[u8]) {
        // RFC 3810 section 6.2, RFC 2710 section 3: from the link itself, and marked so that switches see it.
        let IpAddr::V6(source) = packet.source else { return };
        let of_link = source.is_unicast_link_local() && packet.ttl == 1;
        if of_link
            && mld::has_alert(&frame[packet.header..packet.end])
            && let Some(heard) = mld::parse(&frame[packet.payload..packet.end])
        {
            self.hear(now, interface, true, heard);
        }
    }

    fn hear(&mut self, now: Instant, interface: InterfaceId, v6: bool, heard: Heard) {
        if interface == LOOPBACK {
            return;
        }
        let delays = delays(self.secret, now, interface);
        let host = &mut self.multicast.link_mut(interface).hosts[usize::from(v6)];
        match heard {
            Heard::Query(query) => {
                self.counters.group_queries_in += 1;
                host.handle_query(now, query, &delays);
            }
            Heard::Member(group) => host.handle_member(now, group),
        }
        self.reports_changed(now);
    }

    /// Says what is due.
    pub(crate) fn continue_multicast(&mut self, now: Instant) {
        self.multicast.clock = now;
        if self.multicast.deadline.is_none_or(|at| at > now) {
            return;
        }
        for index in 0..self.multicast.links.len() {
            let interface = InterfaceId::at(index);
            let delays = delays(self.secret, now, interface);
            for v6 in [false, true] {
                let host = &mut self.multicast.links[index].hosts[usize::from(v6)];
                if host.poll_timeout().is_some_and(|at| at <= now) {
                    for said in host.handle_timeout(now, &delays) {
                        self.say(interface, v6, said);
                    }
                }
            }
        }
        self.multicast.refresh_deadline();
    }

    /// What is said, and when, may be other than before.
    pub(super) fn reports_changed(&mut self, now: Instant) {
        self.multicast.refresh_deadline();
        // While a stack is set up there is no time yet: then it waits for the first timeout.
        if now > Instant::ZERO {
            self.continue_multicast(now);
        }
    }

    fn say(&mut self, interface: InterfaceId, v6: bool, said: Said) {
        let Some(own) = self.interfaces.get(interface.0 as usize).filter(|own| own.is_running()) else {
            return;
        };
        let mtu = own.mtu_of(v6).into();
        let source = self.reporter(interface, v6);
        self.multicast.links[interface.0 as usize].anonymous[usize::from(v6)] |= source.is_none();
        let frames = match source {
            Some(IpAddr::V4(source)) => igmp::emit(said, Some(source), mtu),
            Some(IpAddr::V6(source)) => mld::emit(said, Some(source), mtu),
            None if v6 => mld::emit(said, None, mtu),
            None => igmp::emit(said, None, mtu),
        };
        for (to, frame) in frames {
            if let Some(mac) = ethernet::multicast_mac(to) {
                self.counters.group_reports_out += 1;
                let (protocol, message) =
                    if v6 { (checksum::ICMP6, mld::MESSAGE) } else { (igmp::PROTOCOL, 0) };
                self.count_sent(protocol, &frame.bytes()[message..]);
                self.transmit_to(interface, mac, ethernet::ethertype(to), frame);
            }
        }
    }

    /// The address that reports come from (RFC 3376 section 4.2.13, RFC 3810 section 5.2.13): a link-local one for IPv6.
    pub(super) fn reporter(&self, interface: InterfaceId, v6: bool) -> Option<IpAddr> {
        self.interfaces.get(interface.0 as usize)?.usable().find(|own| match own {
            IpAddr::V4(_) => !v6,
            IpAddr::V6(own) => v6 && own.is_unicast_link_local(),
        })
    }
}

impl super::Multicast {
    fn refresh_deadline(&mut self) {
        let hosts = self.links.iter().flat_map(|link| &link.hosts);
        self.deadline = hosts.filter_map(super::host::Host::poll_timeout).min();
    }
}

/// Delays that nobody else can know.
fn delays(secret: Secret, now: Instant, interface: InterfaceId) -> impl Delays {
    move |group, most: Duration| {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        if most == 0 {
            return Duration::ZERO;
        }
        let port = u16::try_from(interface.0).unwrap_or(u16::MAX);
        let draw = secret.hash(Purpose::Delay, &[SocketAddr::new(group, port)], now.as_nanos());
        Duration::from_nanos(1 + draw % most)
    }
}
