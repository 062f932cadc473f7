//! An interface set up and down, renamed, and given another Ethernet address while the stack runs.

use std::net::IpAddr;

use super::Engine;
use super::interface::LOOPBACK;
use crate::error::Error;
use crate::net::cidr::Cidr;
use crate::net::mac::Mac;
use crate::net::route::{InterfaceId, Route};
use crate::time::Instant;

impl Engine {
    /// Sets an interface up or down (`IFF_UP` of netdevice(7)). One that is down takes and sends no frames, and its routes are
    /// not used; its addresses and routes stay.
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
        let addresses: Vec<_> = known.addresses.iter().map(super::Address::ip).collect();
        // Routes that lead nowhere are held by loopback, which has no others.
        if interface != LOOPBACK {
            self.routes.suspend(interface, !on);
        }
        self.routes_changed();
        if on {
            addresses.into_iter().for_each(|address| self.announce_address(now, interface, address));
        }
        Ok(())
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
        Some(InterfaceId(u32::try_from(at).ok()?))
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
