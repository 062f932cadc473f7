//! What the engine does for a client of DHCP: carries its messages, and uses what it was given.

use std::net::{IpAddr, Ipv4Addr};

use super::Lifetime;
use super::chance::Chance;
use super::client4::{Action, Client4};
use super::message4::{Answer, Terms, is_answer};
use crate::engine::Engine;
use crate::engine::address::{Assignment, Origin};
use crate::engine::configuration::Teller;
use crate::engine::output::{Hop, Outgoing};
use crate::link::Frame;
use crate::net::checksum;
use crate::net::cidr::Cidr;
use crate::net::ip::{self, Packet};
use crate::net::mac::Mac;
use crate::net::neighbour::Evidence;
use crate::net::route::{InterfaceId, Route};
use crate::time::Instant;

/// RFC 2131 section 4.1.
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// Routes from a server come behind those of the user, as those from routers.
const METRIC: u32 = 1024;

/// A client and what came from it.
#[derive(Debug)]
pub(crate) struct Leased4 {
    client: Client4,
    used: Option<Used>,
    /// The station that the last lease came from.
    station: Option<(IpAddr, Mac)>,
}

/// What of a lease is in use.
#[derive(Debug)]
struct Used {
    cidr: Cidr,
    /// Whether the interface has the address from here.
    assigned: bool,
    routes: Vec<Route>,
    /// The MTU from before, and the one in place of it.
    mtu: Option<(u16, u16)>,
}

impl Engine {
    /// Asks DHCP servers for an address and settings of an interface, and keeps the lease alive, until
    /// [`stop_dhcp4`](Self::stop_dhcp4).
    pub fn start_dhcp4(&mut self, now: Instant, interface: InterfaceId) {
        let seed = self.draw(now, Ipv4Addr::BROADCAST.into());
        let secret = self.secret;
        let host_name = self.host_name.clone();
        let Some(own) = self.interfaces.get_mut(interface.0 as usize).filter(|own| !own.removed) else {
            return;
        };
        if own.leased4.is_some() {
            return;
        }
        let mut client = Client4::new(now, own.mac, own.mtu, Chance::new(secret, own.mac, seed));
        client.set_host_name(host_name.as_deref());
        own.leased4 = Some(Box::new(Leased4 { client, used: None, station: None }));
        self.continue_dhcp4(now);
    }

    /// Gives the lease back, if there is one, with everything that came with it.
    pub fn stop_dhcp4(&mut self, now: Instant, interface: InterfaceId) {
        let own = self.interfaces.get_mut(interface.0 as usize);
        let Some(mut leased) = own.and_then(|own| own.leased4.take()) else { return };
        leased.client.release(now);
        self.obey4(now, interface, &mut leased);
    }

    /// Does what is due for the clients of DHCP.
    pub(crate) fn continue_dhcp4(&mut self, now: Instant) {
        for index in 1..self.interfaces.len() {
            let due = |leased: &Leased4| leased.client.poll_timeout().is_some_and(|at| at <= now);
            let interface = InterfaceId::at(index);
            if let Some(mut leased) = self.interfaces[index].leased4.take_if(|leased| due(leased)) {
                leased.client.set_host_name(self.host_name.as_deref());
                leased.client.handle_timeout(now);
                self.obey4(now, interface, &mut leased);
                self.interfaces[index].leased4 = Some(leased);
            }
        }
    }

    /// When [`continue_dhcp4`](Self::continue_dhcp4) has something to do.
    pub(crate) fn dhcp4_deadline(&self) -> Option<Instant> {
        self.interfaces.iter().filter_map(|own| own.leased4.as_ref()?.client.poll_timeout()).min()
    }

    /// Takes in a packet if it is an answer that a client waits for. It may have any destination: the address that it gives is
    /// not ours yet (RFC 2131 section 4.1).
    pub(crate) fn hear_dhcp4(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &Frame,
        sender: Option<Mac>,
    ) -> bool {
        let Some(bytes) = self.answer4(interface, packet, frame) else { return false };
        // RFC 768: zero is "no checksum".
        let unsummed = frame.bytes()[packet.payload + 6..packet.payload + 8] == [0, 0];
        let whole = Packet { end: packet.payload + UDP_HEADER_LEN + bytes.len(), ..*packet };
        if !unsummed && !self.checksum_ok(&whole, frame) {
            return true;
        }
        let Some(answer) = Answer::parse(bytes) else {
            self.counters.malformed += 1;
            return true;
        };
        if let Some(mut leased) = self.interfaces[interface.0 as usize].leased4.take() {
            leased.client.hear(now, answer);
            if leased.client.transaction().is_none() {
                leased.station = sender.map(|mac| (packet.source, mac));
            }
            self.obey4(now, interface, &mut leased);
            self.interfaces[interface.0 as usize].leased4 = Some(leased);
        }
        true
    }

    /// Whether a frame, with a packet that a router would forward, is an answer that a client waits for.
    pub(crate) fn is_answer4(&self, interface: InterfaceId, frame: &Frame) -> bool {
        Packet::parse(frame.bytes()).is_ok_and(|packet| self.answer4(interface, &packet, frame).is_some())
    }

    /// The message in a packet, if it says that a client waits for it.
    fn answer4<'a>(&self, interface: InterfaceId, packet: &Packet, frame: &'a Frame) -> Option<&'a [u8]> {
        let own = self.interfaces.get(interface.0 as usize)?;
        let xid = own.leased4.as_ref()?.client.transaction()?;
        let is_datagram =
            packet.protocol == checksum::UDP && packet.part.is_none() && packet.destination.is_ipv4();
        let (port, bytes) = datagram(packet, frame).filter(|_| is_datagram)?;
        (port == CLIENT_PORT && is_answer(bytes, xid, own.mac)).then_some(bytes)
    }

    /// The address that a server gave is somebody else's.
    pub(crate) fn decline4(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) {
        let leased = &mut self.interfaces[interface.0 as usize].leased4;
        let given = |leased: &mut Box<Leased4>| {
            leased.used.as_ref().is_some_and(|used| used.assigned && used.cidr.address() == address)
        };
        if let Some(mut leased) = leased.take_if(given) {
            leased.client.decline(now);
            self.obey4(now, interface, &mut leased);
            self.interfaces[interface.0 as usize].leased4 = Some(leased);
        }
    }

    /// The name of an interface that has asked for a lease and has none that it can use.
    #[must_use]
    pub fn unleased4(&self) -> Option<&str> {
        let waits = self.interfaces.iter().find(|own| {
            !own.is_served()
                && own.leased4.as_ref().is_some_and(|leased| {
                    leased.used.as_ref().is_none_or(|used| !own.has(used.cidr.address()))
                })
        });
        waits.map(|own| own.name.as_str())
    }

    /// Does what a client says.
    fn obey4(&mut self, now: Instant, interface: InterfaceId, leased: &mut Leased4) {
        while let Some(action) = leased.client.poll_action() {
            match action {
                Action::Broadcast { message, from } => {
                    let from = from.filter(|from| self.interfaces[interface.0 as usize].has((*from).into()));
                    let to = IpAddr::V4(Ipv4Addr::BROADCAST);
                    let source = IpAddr::V4(from.unwrap_or(Ipv4Addr::UNSPECIFIED));
                    self.ask_server(now, Hop { interface, next: to, source }, to, &message);
                }
                Action::Unicast { message, from, server } => {
                    let (from, server) = (IpAddr::V4(from), IpAddr::V4(server));
                    // While the address is still being tested nobody hears of it; rebinding comes later.
                    let usable = self.interfaces[interface.0 as usize].has(from);
                    if let Ok(hop) = self.route(server, Some(interface))
                        && usable
                    {
                        self.recall_station(now, interface, leased.station, hop.next);
                        self.ask_server(now, Hop { source: from, ..hop }, server, &message);
                    }
                }
                Action::Acquired { terms, valid } => {
                    let used = self.use4(now, interface, leased.used.take(), *terms, valid);
                    leased.used = Some(used);
                }
                Action::Lost => {
                    if let Some(used) = leased.used.take() {
                        self.disuse4(now, interface, &used);
                    }
                }
            }
        }
    }

    /// What goes to the server that the lease came from need not wait for ARP: a stack that ends does not.
    fn recall_station(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        station: Option<(IpAddr, Mac)>,
        next: IpAddr,
    ) {
        let neighbours = &mut self.interfaces[interface.0 as usize].neighbours;
        if let Some((address, mac)) = station
            && address == next
            && !neighbours.iter(now).any(|known| known.ip == next)
        {
            let waiting = neighbours.learn(now, address, mac, Evidence::Request);
            debug_assert!(waiting.is_empty(), "nothing waits for a neighbour that is not known");
        }
    }

    fn ask_server(&mut self, now: Instant, hop: Hop, to: IpAddr, message: &[u8]) {
        let packet = Outgoing {
            hop,
            source: hop.source,
            destination: to,
            protocol: checksum::UDP,
            ttl: ip::DEFAULT_TTL,
        };
        self.send_from_port(now, packet, (CLIENT_PORT, SERVER_PORT), message);
    }

    /// Sends a datagram that no endpoint sends.
    pub(super) fn send_from_port(
        &mut self,
        now: Instant,
        packet: Outgoing,
        (own, peer): (u16, u16),
        data: &[u8],
    ) {
        self.counters.udp_out += 1;
        self.send_packet(now, packet, UDP_HEADER_LEN + data.len(), |bytes| {
            let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            bytes[..2].copy_from_slice(&own.to_be_bytes());
            bytes[2..4].copy_from_slice(&peer.to_be_bytes());
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
            bytes[UDP_HEADER_LEN..].copy_from_slice(data);
        });
    }

    /// Uses what a server gave, in place of what it gave before.
    fn use4(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        before: Option<Used>,
        terms: Terms,
        valid: Lifetime,
    ) -> Used {
        let Terms { cidr, broadcast, routes, servers, domains, mtu, .. } = terms;
        let before = before.filter(|before| {
            let stays = before.cidr == cidr;
            if !stays {
                self.disuse4(now, interface, before);
            }
            stays
        });
        let assignment = Assignment { cidr, origin: Origin::Leased, preferred: None, valid, on_link: true };
        // The user may have given it the address.
        let assigned = self.assign(now, interface, assignment).is_ok();
        let own = &mut self.interfaces[interface.place()].addresses;
        if let Some(own) = own.iter_mut().find(|own| assigned && own.cidr == cidr) {
            own.broadcast = broadcast;
        }
        let route = |(destination, gateway): (Cidr, _)| Route {
            gateway,
            metric: METRIC,
            ..Route::on_link(destination, interface)
        };
        let wanted: Vec<Route> = routes.into_iter().map(route).collect();
        let (mut known, mtu_before) = before.map_or_else(Default::default, |used| (used.routes, used.mtu));
        for gone in known.extract_if(.., |route| !wanted.contains(route)) {
            self.routes.remove(&gone);
        }
        for route in wanted {
            if !known.contains(&route) && self.routes.add(route) == Ok(true) {
                known.push(route);
            }
        }
        self.routes_changed();
        self.set_resolvers(interface, Teller::Dhcp4, servers, domains);
        let mtu = self.lower_mtu(interface, mtu_before, mtu);
        Used { cidr, assigned, routes: known, mtu }
    }

    /// A server may make the MTU of an interface smaller than its link allows, not larger.
    fn lower_mtu(
        &mut self,
        interface: InterfaceId,
        before: Option<(u16, u16)>,
        wanted: Option<u16>,
    ) -> Option<(u16, u16)> {
        let now = self.interfaces[interface.0 as usize].mtu;
        // What the user has set since is the user's.
        let own = before.filter(|(_, set)| *set == now).map_or(now, |(own, _)| own);
        let mtu = wanted.filter(|mtu| *mtu <= own).unwrap_or(own);
        if mtu != now {
            let _ = self.set_mtu(interface, mtu);
        }
        (mtu != own).then_some((own, mtu))
    }

    fn disuse4(&mut self, now: Instant, interface: InterfaceId, used: &Used) {
        for route in &used.routes {
            self.routes.remove(route);
        }
        if used.assigned {
            // It may be over by itself.
            let _ = self.remove_address(now, interface, used.cidr.address());
        }
        self.lower_mtu(interface, used.mtu, None);
        self.set_resolvers(interface, Teller::Dhcp4, Vec::new(), Vec::new());
        self.routes_changed();
    }
}

/// The destination port and the data of a datagram, unless its lengths lie.
pub(super) fn datagram<'a>(packet: &Packet, frame: &'a Frame) -> Option<(u16, &'a [u8])> {
    let bytes = &frame.bytes()[packet.payload..packet.end];
    let &[_, _, p0, p1, l0, l1, _, _] = bytes.first_chunk::<UDP_HEADER_LEN>()?;
    let data = bytes.get(UDP_HEADER_LEN..usize::from(u16::from_be_bytes([l0, l1])))?;
    Some((u16::from_be_bytes([p0, p1]), data))
}

const UDP_HEADER_LEN: usize = 8;
