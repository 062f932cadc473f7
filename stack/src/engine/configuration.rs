//! Interfaces and routes, added and removed while connections run.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::Engine;
use super::address::Assignment;
use super::endpoint::{EndpointId, Family, Kind};
use super::interface::{Interface, InterfaceSettings, LOOPBACK, is_link_local, link_local};
use crate::engine::address::Origin;
use crate::error::Error;
use crate::net::cidr::Cidr;
use crate::net::mac::Mac;
use crate::net::neighbour::NeighbourTable;
use crate::net::route::{InterfaceId, Route, RouteKind};
use crate::tcp::isn::Secret;
use crate::time::Instant;

/// Who told of name servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Teller {
    /// A DHCP server (RFC 2132 sections 3.8, 3.17; RFC 3397).
    Dhcp4,
    /// A DHCPv6 server (RFC 3646).
    Dhcp6,
    /// A router's advertisement (RFC 8106).
    Router,
}

/// Name servers and search domains that the network told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolvers(BTreeMap<(InterfaceId, Teller), (Vec<IpAddr>, Vec<String>)>);

impl Engine {
    /// Notes the name servers and search domains that somebody on an interface tells of, in place of what it told before.
    pub fn set_resolvers(
        &mut self,
        interface: InterfaceId,
        teller: Teller,
        servers: Vec<IpAddr>,
        domains: Vec<String>,
    ) {
        if servers.is_empty() && domains.is_empty() {
            self.resolvers.0.remove(&(interface, teller));
        } else {
            self.resolvers.0.insert((interface, teller), (servers, domains));
        }
        self.configuration_changed();
    }

    /// Name servers that the network told of, each once.
    #[must_use]
    pub fn learned_nameservers(&self) -> Vec<IpAddr> {
        each_once(self.resolvers.0.values().flat_map(|(servers, _)| servers))
    }

    /// The same with a port, and where the address means something on the interface only from which it came, with that
    /// (RFC 4007 section 6; RFC 8106 section 5.1 allows link-local ones).
    #[must_use]
    pub fn learned_nameserver_addresses(&self, port: u16) -> Vec<SocketAddr> {
        let scoped = |interface: InterfaceId, address: IpAddr| match address {
            IpAddr::V6(v6) if is_link_local(address) => {
                SocketAddrV6::new(v6, port, 0, interface.index()).into()
            }
            _ => SocketAddr::new(address, port),
        };
        let all = self.resolvers.0.iter().flat_map(|(&(interface, _), (servers, _))| {
            servers.iter().map(move |server| scoped(interface, *server))
        });
        each_once(all.collect::<Vec<_>>().iter())
    }

    /// Search domains that the network told of, each once.
    #[must_use]
    pub fn learned_domains(&self) -> Vec<String> {
        each_once(self.resolvers.0.values().flat_map(|(_, domains)| domains))
    }

    /// Adds an interface, which makes its IPv6 link-local address itself.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] if there is one of that name.
    pub fn add_interface(&mut self, settings: InterfaceSettings) -> Result<InterfaceId, Error> {
        if self.interfaces.iter().any(|known| !known.removed && known.name == settings.name) {
            return Err(Error::AddressInUse);
        }
        let id = InterfaceId(u32::try_from(self.interfaces.len()).map_err(|_| Error::NoBuffers)?);
        let address = link_local(settings.mac);
        self.interfaces.push(Interface::new(settings));
        if let Some(cidr) = Cidr::new(address.into(), 64) {
            let own = Assignment { origin: Origin::LinkLocal, ..Assignment::configured(cidr) };
            self.assign(Instant::ZERO, id, own)?;
        }
        Ok(id)
    }

    /// Takes an interface from the stack, with its addresses, neighbours and routes; its number is not given again.
    /// Connections that ran over it find another way, or none.
    ///
    /// # Errors
    /// [`Error::Invalid`] for loopback and where there is none.
    pub fn remove_interface(&mut self, now: Instant, interface: InterfaceId) -> Result<(), Error> {
        let known = self.interfaces.get_mut(interface.0 as usize);
        let known = known.filter(|known| interface != LOOPBACK && !known.removed).ok_or(Error::Invalid)?;
        known.removed = true;
        known.up = false;
        known.addresses.clear();
        known.discovery = None;
        known.leased4 = None;
        known.leased6 = None;
        known.returned6 = None;
        known.neighbours = NeighbourTable::new();
        self.routes.remove_interface(interface);
        self.resolvers.0.retain(|(from, _), _| *from != interface);
        self.addresses_changed(now, interface);
        Ok(())
    }

    /// Adds a route. Without an interface, the one that reaches the gateway is taken.
    ///
    /// # Errors
    /// [`Error::NetworkUnreachable`] if no interface reaches the gateway, [`Error::Invalid`] if the families
    /// differ or there is no such interface, [`Error::AddressInUse`] if there is such a route.
    pub fn add_route(
        &mut self,
        destination: Cidr,
        gateway: Option<IpAddr>,
        interface: Option<InterfaceId>,
        metric: u32,
    ) -> Result<(), Error> {
        let interface = match (interface, gateway) {
            (Some(interface), _) => interface,
            (None, Some(gateway)) => {
                let route = self.routes.lookup(gateway, None).filter(|route| route.gateway.is_none());
                route.ok_or(Error::NetworkUnreachable)?.interface
            }
            (None, None) => return Err(Error::Invalid),
        };
        let known = self.interfaces.get(interface.0 as usize);
        if interface == LOOPBACK || known.is_none_or(|known| known.removed) {
            return Err(Error::Invalid);
        }
        let route = Route { gateway, metric, ..Route::on_link(destination, interface) };
        self.enter_route(route)
    }

    /// Adds a route on which nothing is sent.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] if there is such a route, [`Error::Invalid`] for [`RouteKind::Unicast`].
    pub fn add_barrier(&mut self, destination: Cidr, kind: RouteKind, metric: u32) -> Result<(), Error> {
        if kind == RouteKind::Unicast {
            return Err(Error::Invalid);
        }
        self.enter_route(Route { kind, metric, ..Route::on_link(destination, LOOPBACK) })
    }

    fn enter_route(&mut self, route: Route) -> Result<(), Error> {
        if !self.routes.add(route)? {
            return Err(Error::AddressInUse);
        }
        self.routes_changed();
        Ok(())
    }

    /// Removes the best route to exactly that destination which is of the given kind, and, where they are given, has that
    /// gateway and metric.
    ///
    /// # Errors
    /// [`Error::NoSuchRoute`] if there is none.
    pub fn remove_route(
        &mut self,
        destination: Cidr,
        kind: RouteKind,
        gateway: Option<IpAddr>,
        metric: Option<u32>,
    ) -> Result<(), Error> {
        let network = destination.network();
        let wanted = |route: &&Route| {
            route.destination == network
                && route.kind == kind
                && (gateway.is_none() || route.gateway == gateway)
                && metric.is_none_or(|metric| route.metric == metric)
        };
        let route = self.routes.iter().find(wanted).copied().ok_or(Error::NoSuchRoute)?;
        self.routes.remove(&route);
        self.routes_changed();
        Ok(())
    }

    /// Sets a neighbour that nothing from the network changes.
    ///
    /// # Errors
    /// [`Error::Invalid`] where there is no such interface, or for an address that no single station can have.
    pub fn add_neighbour(&mut self, interface: InterfaceId, address: IpAddr, mac: Mac) -> Result<(), Error> {
        let known = self.interfaces.get_mut(interface.0 as usize);
        let known = known.filter(|known| interface != LOOPBACK && !known.removed).ok_or(Error::Invalid)?;
        if !mac.is_unicast() || address.is_multicast() || address.is_unspecified() {
            return Err(Error::Invalid);
        }
        let waiting = known.neighbours.add_static(address, mac);
        for frame in waiting {
            self.transmit_to(interface, mac, crate::net::ethernet::ethertype(address), frame);
        }
        self.configuration_changed();
        Ok(())
    }

    /// Forgets a neighbour, however it is known.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not known.
    pub fn remove_neighbour(&mut self, interface: InterfaceId, address: IpAddr) -> Result<(), Error> {
        let known = self.interfaces.get_mut(interface.0 as usize).ok_or(Error::Invalid)?;
        let removed = known.neighbours.remove(address);
        self.configuration_changed();
        if removed { Ok(()) } else { Err(Error::Invalid) }
    }

    /// Changes the largest packet of an interface, in bytes. Connections over it shorten their segments.
    ///
    /// # Errors
    /// [`Error::Invalid`] below 68 and where there is no such interface.
    pub fn set_mtu(&mut self, interface: InterfaceId, mtu: u16) -> Result<(), Error> {
        let known = self.interfaces.get_mut(interface.0 as usize).filter(|known| !known.removed);
        // RFC 791 section 3.2.
        known.filter(|_| mtu >= 68).ok_or(Error::Invalid)?.mtu = mtu;
        self.narrow_connections(interface, |_| mtu);
        self.routes_changed();
        Ok(())
    }

    /// Changes the largest packet of IPv6 on an interface.
    pub(crate) fn set_mtu_v6(&mut self, interface: InterfaceId, mtu: u16) {
        if let Some(known) = self.interfaces.get_mut(interface.0 as usize)
            && known.mtu_v6 != Some(mtu)
        {
            known.mtu_v6 = Some(mtu);
            self.narrow_connections(interface, |v6| if v6 { mtu } else { u16::MAX });
            self.routes_changed();
        }
    }

    /// What is under way on the connections over an interface is sent again in segments that fit.
    fn narrow_connections(&mut self, interface: InterfaceId, mtu: impl Fn(bool) -> u16) {
        let ids: Vec<_> = self.connections.values().copied().collect();
        for id in ids {
            if let Some(connection) = self.connection_mut(id)
                && let Some((hop, _)) = connection.hop
                && hop.interface == interface
                && connection.link_is_narrow(mtu(hop.next.is_ipv6()))
            {
                self.want_transmit(id);
            }
        }
    }

    /// The name of an interface, unless it is gone.
    #[must_use]
    pub fn interface_name(&self, interface: InterfaceId) -> Option<String> {
        let known = self.interfaces.get(interface.0 as usize).filter(|known| !known.removed)?;
        Some(known.name.clone())
    }

    /// The interface of that name.
    #[must_use]
    pub fn interface_by_name(&self, name: &str) -> Option<InterfaceId> {
        let at = self.interfaces.iter().position(|known| !known.removed && known.name == name)?;
        Some(InterfaceId::at(at))
    }

    /// What stable addresses follow from (RFC 7217): with the same text, the same network and the same name of the interface they
    /// are the same in every run. Without it they are the same while the stack lives.
    pub fn set_identity(&mut self, text: &str) {
        self.identity = (!text.is_empty()).then(|| Secret::from_text(text));
    }

    /// What DHCP servers are told as the name of the host, from the next message on.
    pub fn set_host_name(&mut self, name: Option<&str>) {
        self.host_name = name.map(str::to_owned);
    }

    /// The names of the interfaces but loopback, in order.
    #[must_use]
    pub fn interface_names(&self) -> Vec<String> {
        let known = self.interfaces[1..].iter().filter(|known| !known.removed);
        known.map(|known| known.name.clone()).collect()
    }

    /// From now on the endpoint has an event whenever an address, a route or a neighbour was set, or an address was found
    /// to be good or a duplicate. Until it is closed.
    pub fn watch_configuration(&mut self, id: EndpointId) {
        self.watchers.push(id);
    }

    /// An endpoint that does nothing else. It does not show among the sockets.
    pub fn open_watcher(&mut self) -> EndpointId {
        let id = self.open(Kind::Datagram, Family::V4);
        self.watch_configuration(id);
        id
    }

    /// Whether it is one that watches the configuration.
    pub(super) fn only_watches(&self, id: EndpointId) -> bool {
        self.watchers.contains(&id)
    }

    pub(crate) fn routes_changed(&mut self) {
        self.routes_version += 1;
        self.configuration_changed();
    }

    /// Tells those who watch of neighbours that the network has changed.
    pub(super) fn notice_neighbours(&mut self) {
        let changed =
            self.interfaces.iter_mut().filter_map(|own| own.neighbours.take_changed().then_some(()));
        if changed.count() > 0 {
            self.configuration_changed();
        }
    }

    /// Tells those who watch.
    pub(crate) fn configuration_changed(&mut self) {
        let mut watchers = std::mem::take(&mut self.watchers);
        watchers.retain(|id| self.endpoints.contains_key(*id));
        watchers.iter().for_each(|id| self.notify(*id));
        self.watchers = watchers;
    }
}

fn each_once<'a, T: PartialEq + Clone + 'a>(all: impl Iterator<Item = &'a T>) -> Vec<T> {
    let mut unique = Vec::new();
    for item in all {
        if !unique.contains(item) {
            unique.push(item.clone());
        }
    }
    unique
}
