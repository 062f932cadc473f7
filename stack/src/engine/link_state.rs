//! An interface set up and down, renamed, and given another Ethernet address while the stack runs.

use std::net::IpAddr;

use super::Engine;
use super::address::{Assignment, Origin};
use super::interface::{LOOPBACK, link_local};
use crate::error::Error;
use crate::net::cidr::Cidr;
use crate::net::mac::Mac;
use crate::net::route::{InterfaceId, Route};
use crate::time::Instant;

impl Engine {
    /// Sets an interface up or down (`IFF_UP` of netdevice(7)). One that is down takes and sends no frames; its routes, its
    /// neighbours and its addresses of IPv6 are forgotten, as on Linux. Once it is up again, it has a new link-local address,
    /// the routes to the networks of its addresses, and asks routers and servers anew. Connections over it go on, if that is
    /// soon enough.
    ///
    /// # Errors
    /// [`Error::NoInterface`] where there is none.
    pub fn set_enabled(&mut self, now: Instant, interface: InterfaceId, on: bool) -> Result<(), Error> {
        let known = self.interfaces.get_mut(interface.0 as usize).filter(|known| !known.removed);
        let known = known.ok_or(Error::NoInterface)?;
        if known.enabled == on {
            return Ok(());
        }
        known.enabled = on;
        match (interface, on) {
            // Routes that lead nowhere are held by loopback, which has no others, and its addresses are of every stack.
            (LOOPBACK, _) => self.routes_changed(),
            (_, true) => self.take_up(now, interface),
            (_, false) => self.take_down(now, interface),
        }
        Ok(())
    }

    /// `fib_disable_ip`, `addrconf_ifdown`, `neigh_ifdown` of Linux.
    fn take_down(&mut self, now: Instant, interface: InterfaceId) {
        let known = &mut self.interfaces[interface.place()];
        known.rediscover = known.discovery.as_ref().map(|discovery| discovery.is_temporary());
        self.stop_discovery(now, interface);
        let known = &mut self.interfaces[interface.place()];
        known.neighbours.clear();
        let gone: Vec<_> = known.addresses.iter().map(super::Address::ip).filter(IpAddr::is_ipv6).collect();
        for address in gone {
            let _ = self.remove_address(now, interface, address);
        }
        self.routes.remove_interface(interface);
        // What is added meanwhile is not used.
        self.routes.suspend(interface, true);
        self.routes_changed();
        self.packets_down(interface);
    }

    /// `fib_add_ifaddr`, `addrconf_dev_config`.
    fn take_up(&mut self, now: Instant, interface: InterfaceId) {
        self.routes.suspend(interface, false);
        let known = &mut self.interfaces[interface.place()];
        let (mac, rediscover) = (known.mac, known.rediscover.take());
        let lends = (known.leased4.is_some(), known.leased6.as_ref().map(|leased| leased.is_stateless()));
        for address in known.addresses.iter().filter(|address| address.is_on_link()) {
            let _ = self.routes.add(Route::on_link(address.cidr.network(), interface));
        }
        let addresses: Vec<_> = known.addresses.iter().map(super::Address::ip).collect();
        self.routes_changed();
        if let Some(cidr) = Cidr::new(link_local(mac).into(), 64) {
            let own = Assignment { origin: Origin::LinkLocal, ..Assignment::configured(cidr) };
            let _ = self.assign(now, interface, own);
        }
        addresses.into_iter().for_each(|address| self.announce_address(now, interface, address));
        if let Some(temporary) = rediscover {
            self.start_discovery(now, interface, temporary);
        }
        // It may be another network now: what was lent is given back, and asked for again.
        if lends.0 {
            self.stop_dhcp4(now, interface);
            self.start_dhcp4(now, interface);
        }
        if let Some(stateless) = lends.1 {
            self.stop_dhcp6(now, interface);
            self.start_dhcp6(now, interface, stateless);
        }
    }

    /// Gives an interface another Ethernet address, which its neighbours are told.
    ///
    /// # Errors
    /// [`Error::NoInterface`] where there is none, [`Error::NotSupported`] for loopback,
    /// [`Error::AddressNotAvailable`] for an address of no single station, as Linux.
    pub fn set_mac(&mut self, now: Instant, interface: InterfaceId, mac: Mac) -> Result<(), Error> {
        let known = self.interfaces.get_mut(interface.0 as usize).filter(|known| !known.removed);
        let known = known.ok_or(Error::NoInterface)?;
        if interface == LOOPBACK {
            return Err(Error::NotSupported);
        }
        if !mac.is_unicast() {
            return Err(Error::AddressNotAvailable);
        }
        known.mac = mac;
        let addresses: Vec<_> = known.addresses.iter().map(super::Address::ip).collect();
        self.configuration_changed();
        addresses.into_iter().for_each(|address| self.announce_address(now, interface, address));
        Ok(())
    }

    /// Gives an interface another name.
    ///
    /// # Errors
    /// [`Error::NoInterface`] where there is none, [`Error::AddressInUse`] if another has the name.
    pub fn rename(&mut self, interface: InterfaceId, name: &str) -> Result<(), Error> {
        if let Some(other) = self.named(name) {
            return if other == interface { Ok(()) } else { Err(Error::AddressInUse) };
        }
        let known = self.interfaces.get_mut(interface.0 as usize).filter(|known| !known.removed);
        known.ok_or(Error::NoInterface)?.name = name.to_owned();
        self.configuration_changed();
        Ok(())
    }

    /// The interface of that name, loopback among them.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<InterfaceId> {
        let at = self.interfaces.iter().position(|known| !known.removed && known.name == name)?;
        Some(InterfaceId::at(at))
    }

    /// Adds exactly this route; see [`add_route`](Self::add_route).
    ///
    /// # Errors
    /// As [`add_route`](Self::add_route) and [`add_barrier`](Self::add_barrier).
    pub fn add_exact_route(&mut self, route: Route) -> Result<(), Error> {
        if !self.routes.add(route)? {
            return Err(Error::AddressInUse);
        }
        self.routes_changed();
        Ok(())
    }

    /// Removes exactly this route.
    ///
    /// # Errors
    /// [`Error::NoSuchRoute`] if there is none.
    pub fn remove_exact_route(&mut self, route: &Route) -> Result<(), Error> {
        if !self.routes.remove(route) {
            return Err(Error::NoSuchRoute);
        }
        self.routes_changed();
        Ok(())
    }

    /// The way that packets to an address take: interface, next hop, source address.
    ///
    /// # Errors
    /// As sending there.
    pub fn way_to(
        &self,
        destination: IpAddr,
        scope: Option<InterfaceId>,
    ) -> Result<(InterfaceId, IpAddr, IpAddr), Error> {
        let hop = self.route(destination, scope)?;
        Ok((hop.interface, hop.next, hop.source))
    }

    /// Changes until when an address of an interface is preferred and valid; `None` for ever.
    ///
    /// # Errors
    /// [`Error::AddressNotAvailable`] if the interface does not have it.
    pub fn set_lifetimes(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        cidr: Cidr,
        preferred: Option<std::time::Duration>,
        valid: Option<std::time::Duration>,
    ) -> Result<(), Error> {
        let known = self.interfaces.get_mut(interface.0 as usize).ok_or(Error::NoInterface)?;
        let address = known.addresses.iter_mut().find(|known| known.cidr == cidr);
        let address = address.ok_or(Error::AddressNotAvailable)?;
        address.preferred_until = preferred.map(|time| now + time);
        address.valid_until = valid.map(|time| now + time);
        self.addresses_changed(now, interface);
        Ok(())
    }
}
