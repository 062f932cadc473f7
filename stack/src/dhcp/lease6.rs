//! What the engine does for a client of DHCPv6: carries its messages, and uses what it was given.

use std::net::{IpAddr, Ipv6Addr};

use super::chance::Chance;
use super::client6::{Action, Client6};
use super::lease4::datagram;
use super::message6::Given;
use crate::engine::Engine;
use crate::engine::address::{Assignment, Origin};
use crate::engine::configuration::Teller;
use crate::engine::output::{Hop, Outgoing};
use crate::link::Frame;
use crate::net::checksum;
use crate::net::cidr::Cidr;
use crate::net::ip::{self, Packet};
use crate::net::route::InterfaceId;
use crate::time::Instant;

/// RFC 8415 sections 7.1 and 7.2.
const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;

/// A client and what came from it.
#[derive(Debug)]
pub(crate) struct Leased6 {
    client: Client6,
    addresses: Vec<Ipv6Addr>,
    /// Whether a server has told of settings.
    informed: bool,
}

impl Leased6 {
    /// Whether no address is asked for.
    pub(crate) const fn is_stateless(&self) -> bool {
        self.client.stateless
    }
}

impl Engine {
    /// Asks DHCPv6 servers for addresses and settings of an interface, or, `stateless`, for settings alone, until
    /// [`stop_dhcp6`](Self::stop_dhcp6). Where that is being done nothing changes.
    pub fn start_dhcp6(&mut self, now: Instant, interface: InterfaceId, stateless: bool) {
        let known = self.interfaces.get(interface.0 as usize).filter(|own| !own.removed);
        let Some(own) = known else { return };
        let mac = own.mac;
        if let Some(leased) = &own.leased6 {
            if leased.client.stateless == stateless {
                return;
            }
            self.stop_dhcp6(now, interface);
        }
        let chance = Chance::new(self.secret, mac, self.draw(now, ALL_SERVERS.into()));
        let client = Client6::new(now, mac, interface.0, stateless, chance);
        let leased = Leased6 { client, addresses: Vec::new(), informed: false };
        self.interfaces[interface.0 as usize].leased6 = Some(Box::new(leased));
    }

    /// Gives the addresses back, if there are any, with everything that came with them.
    pub fn stop_dhcp6(&mut self, now: Instant, interface: InterfaceId) {
        let own = self.interfaces.get_mut(interface.0 as usize);
        let Some(mut leased) = own.and_then(|own| own.leased6.take()) else { return };
        leased.client.release(now);
        self.obey6(now, interface, &mut leased);
        if leased.client.is_asking() {
            self.interfaces[interface.0 as usize].returned6 = Some(leased);
        }
    }

    /// Whether a server has not said yet that it has a lease back.
    #[must_use]
    pub fn is_releasing(&self) -> bool {
        self.interfaces.iter().any(|own| own.returned6.is_some())
    }

    /// Does what is due for the clients of DHCPv6.
    pub(crate) fn continue_dhcp6(&mut self, now: Instant) {
        for index in 1..self.interfaces.len() {
            let due = |leased: &Leased6| leased.client.poll_timeout().is_some_and(|at| at <= now);
            let interface = InterfaceId::at(index);
            if let Some(mut leased) = self.interfaces[index].leased6.take_if(|leased| due(leased)) {
                leased.client.set_host_name(self.host_name.as_deref());
                leased.client.handle_timeout(now);
                self.obey6(now, interface, &mut leased);
                self.interfaces[index].leased6 = Some(leased);
            }
            if let Some(mut leased) = self.interfaces[index].returned6.take_if(|leased| due(leased)) {
                leased.client.handle_timeout(now);
                self.obey6(now, interface, &mut leased);
                self.interfaces[index].returned6 = Some(leased).filter(|leased| leased.client.is_asking());
            }
        }
    }

    /// When [`continue_dhcp6`](Self::continue_dhcp6) has something to do.
    pub(crate) fn dhcp6_deadline(&self) -> Option<Instant> {
        let all = self.interfaces.iter().flat_map(|own| [&own.leased6, &own.returned6]);
        all.filter_map(|leased| leased.as_ref()?.client.poll_timeout()).min()
    }

    /// Takes in a packet if it is an answer that a client waits for.
    pub(crate) fn hear_dhcp6(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &Frame,
    ) -> bool {
        let Some(own) = self.interfaces.get(interface.0 as usize) else { return false };
        let asking =
            [&own.leased6, &own.returned6].map(|leased| leased.as_ref().map(|leased| &leased.client));
        if !asking.iter().flatten().any(|client| client.is_asking()) {
            return false;
        }
        // Section 5.1: to our link-local address.
        if packet.protocol != checksum::UDP || packet.part.is_some() || !own.has(packet.destination) {
            return false;
        }
        let Some((CLIENT_PORT, bytes)) = datagram(packet, frame).filter(|_| packet.destination.is_ipv6())
        else {
            return false;
        };
        // The number of the question says whose answer it is.
        let answers = asking.map(|client| client.and_then(|client| client.parse(bytes)));
        if answers.iter().all(Option::is_none) {
            return false;
        }
        let whole = Packet { end: packet.payload + 8 + bytes.len(), ..*packet };
        if !self.checksum_ok(&whole, frame) {
            return true;
        }
        let [answer, of_return] = answers;
        if let Some(answer) = answer
            && let Some(mut leased) = self.interfaces[interface.0 as usize].leased6.take()
        {
            leased.client.hear(now, answer);
            self.obey6(now, interface, &mut leased);
            self.interfaces[interface.0 as usize].leased6 = Some(leased);
        }
        if let Some(answer) = of_return
            && let Some(mut leased) = self.interfaces[interface.0 as usize].returned6.take()
        {
            leased.client.hear(now, answer);
            self.interfaces[interface.0 as usize].returned6 =
                Some(leased).filter(|leased| leased.client.is_asking());
        }
        true
    }

    /// An address that a server gave is somebody else's.
    pub(crate) fn decline6(&mut self, now: Instant, interface: InterfaceId, address: Ipv6Addr) {
        let leased = &mut self.interfaces[interface.0 as usize].leased6;
        if let Some(mut leased) = leased.take_if(|leased| leased.addresses.contains(&address)) {
            leased.client.decline(now, address);
            self.obey6(now, interface, &mut leased);
            self.interfaces[interface.0 as usize].leased6 = Some(leased);
        }
    }

    /// The name of an interface that has asked servers of DHCPv6 and has nothing from them that it can use, and whether it
    /// wants no more than information.
    #[must_use]
    pub fn unleased6(&self) -> Option<(&str, bool)> {
        let waits = self.interfaces.iter().find(|own| {
            !own.is_served()
                && own.leased6.as_ref().is_some_and(|leased| {
                    !leased.informed
                        || !(leased.client.stateless
                            || leased.addresses.iter().any(|address| own.has((*address).into())))
                })
        });
        waits.map(|own| {
            let stateless = own.leased6.as_ref().is_some_and(|leased| leased.client.stateless);
            (own.name.as_str(), stateless)
        })
    }

    /// Does what a client says.
    fn obey6(&mut self, now: Instant, interface: InterfaceId, leased: &mut Leased6) {
        while let Some(action) = leased.client.poll_action() {
            match action {
                Action::Send(message) => {
                    let to = IpAddr::V6(ALL_SERVERS);
                    // Without an address for it the message is lost, and said again.
                    if let Some(source) = self.interfaces[interface.0 as usize].source_for(to, to) {
                        let hop = Hop { interface, next: to, source };
                        let (destination, protocol) = (to, checksum::UDP);
                        let packet = Outgoing { hop, source, destination, protocol, ttl: ip::DEFAULT_TTL };
                        self.send_from_port(now, packet, (CLIENT_PORT, SERVER_PORT), &message);
                    }
                }
                Action::Acquired(given) => self.use6(now, interface, leased, &given),
                Action::Informed(servers, domains) => {
                    leased.informed = true;
                    let servers = servers.into_iter().map(IpAddr::V6).collect();
                    self.set_resolvers(interface, Teller::Dhcp6, servers, domains);
                    // Whoever waits until the stack is ready looks again, also when nothing came with it.
                    self.configuration_changed();
                }
            }
        }
    }

    /// The addresses are these, and no others.
    fn use6(&mut self, now: Instant, interface: InterfaceId, leased: &mut Leased6, given: &[Given]) {
        let gone = |address: &mut Ipv6Addr| !given.iter().any(|given| given.address == *address);
        let gone: Vec<_> = leased.addresses.extract_if(.., gone).collect();
        for address in gone {
            // It may be over by itself.
            let _ = self.remove_address(now, interface, address.into());
        }
        for &Given { address, preferred, valid } in given {
            // RFC 8415 section 18.2.10.1: what else is on the link is for routers to say.
            let cidr = Cidr::host(address.into());
            let origin = Origin::Leased;
            let assignment = Assignment { cidr, origin, preferred, valid, on_link: false };
            let is_new =
                self.assign(now, interface, assignment).is_ok() && !leased.addresses.contains(&address);
            if is_new {
                leased.addresses.push(address);
            }
        }
    }
}
