//! The addresses of interfaces: who gave them, for how long, and whether they may be used (RFC 4862 section 5.5.4).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::Engine;
use crate::error::Error;
use crate::net::cidr::Cidr;
use crate::net::dad::{Test, Testing};
use crate::net::route::{InterfaceId, Route};
use crate::time::Instant;

/// Who gave an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The user.
    Configured,
    /// The interface itself: IPv6 link-local.
    LinkLocal,
    /// A DHCP server.
    Leased,
    /// A prefix that a router advertises, with an identifier that stays the same there (RFC 7217).
    Advertised,
    /// A prefix that a router advertises, with a random identifier for some time (RFC 8981).
    Temporary,
}

/// What an address may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Nothing: it is being tested whether somebody else has it (RFC 4862 section 5.4, RFC 5227 section 2.1).
    Tentative,
    /// Everything, while that is being tested (RFC 4429).
    Optimistic,
    /// Everything.
    Preferred,
    /// What uses it already; new connections take others (RFC 4862 section 5.5.4).
    Deprecated,
    /// Nothing: somebody else has it.
    Duplicate,
}

/// An address for an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The address and the length of its prefix.
    pub cidr: Cidr,
    /// Who gives it.
    pub origin: Origin,
    /// For how long it is used for new connections; `None`: always.
    pub preferred: Option<Duration>,
    /// For how long the interface has it; `None`: always.
    pub valid: Option<Duration>,
    /// Whether the other addresses of the prefix are on the link, so that there is a route to them.
    pub on_link: bool,
}

impl Assignment {
    /// An address that the user gives for good, on a network on the link.
    #[must_use]
    pub const fn configured(cidr: Cidr) -> Self {
        Self { cidr, origin: Origin::Configured, preferred: None, valid: None, on_link: true }
    }
}

/// An address of an interface.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) cidr: Cidr,
    pub(crate) origin: Origin,
    pub(crate) preferred_until: Option<Instant>,
    pub(crate) valid_until: Option<Instant>,
    /// Whether the preferred lifetime is over.
    pub(crate) deprecated: bool,
    /// Under way while it has one.
    pub(crate) test: Option<Test>,
    pub(crate) duplicate: bool,
    /// When somebody else's claim was last answered (RFC 5227 section 2.4).
    pub(crate) defended: Option<Instant>,
    on_link: bool,
    /// The broadcast address of its network, where a server has said another than the last one.
    pub(crate) broadcast: Option<Ipv4Addr>,
}

impl Address {
    /// One that is always there and needs no test.
    pub(crate) const fn permanent(cidr: Cidr) -> Self {
        Self {
            cidr,
            origin: Origin::Configured,
            preferred_until: None,
            valid_until: None,
            deprecated: false,
            test: None,
            duplicate: false,
            defended: None,
            on_link: true,
            broadcast: None,
        }
    }

    /// The broadcast address of its network, if that has one.
    pub(crate) fn broadcast(&self) -> Option<Ipv4Addr> {
        self.broadcast.or_else(|| self.cidr.broadcast())
    }

    pub(crate) const fn ip(&self) -> IpAddr {
        self.cidr.address()
    }

    /// Whether packets may be sent from it and are taken for it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.duplicate && !self.test.as_ref().is_some_and(Test::is_tentative)
    }

    /// Whether the others of its prefix are on the link.
    pub(super) const fn is_on_link(&self) -> bool {
        self.on_link
    }

    pub(crate) const fn standing(&self) -> Standing {
        match &self.test {
            _ if self.duplicate => Standing::Duplicate,
            Some(test) if test.is_tentative() => Standing::Tentative,
            Some(test) if test.is_optimistic() => Standing::Optimistic,
            _ if self.deprecated => Standing::Deprecated,
            _ => Standing::Preferred,
        }
    }

    /// When something happens to it by itself.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let preferred = self.preferred_until.filter(|until| *until > now);
        let test = self.test.as_ref().map(Test::next);
        preferred.into_iter().chain(self.valid_until).chain(test).min()
    }
}

impl Engine {
    /// Gives an interface an address and the route to its network; it is not tested. To be announced by
    /// [`announce`](Self::announce).
    ///
    /// # Errors
    /// As [`assign`](Self::assign).
    pub fn add_address(&mut self, interface: InterfaceId, cidr: Cidr) -> Result<(), Error> {
        self.enter(Instant::ZERO, interface, Assignment::configured(cidr), None)
    }

    /// Gives an interface an address, tests it as the interface says ([`set_testing`](Self::set_testing)) and announces it.
    /// For one that it has already, only the lifetimes change.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] if the interface has it from somebody else; [`Error::Invalid`] for a multicast, broadcast or
    /// unspecified address or an interface that does not exist.
    pub fn assign(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        assignment: Assignment,
    ) -> Result<(), Error> {
        let known = self.interfaces.get_mut(interface.0 as usize).ok_or(Error::Invalid)?;
        if let Some(address) = known.addresses.iter_mut().find(|known| {
            known.cidr == assignment.cidr
                && known.origin == assignment.origin
                && assignment.origin != Origin::Configured
        }) {
            address.preferred_until = assignment.preferred.map(|time| now + time);
            address.valid_until = assignment.valid.map(|time| now + time);
            self.addresses_changed(now, interface);
            return Ok(());
        }
        let v4 = assignment.cidr.address().is_ipv4();
        // Nobody asks the network before an address that a server has just given is known to be free (RFC 2131 section
        // 2.2); all others may be used meanwhile, unless the user wants to be sure.
        let testing = match (known.testing, assignment.origin) {
            (Testing::Off, _) => None,
            (_, Origin::Leased) if v4 => Some(Testing::Strict),
            (testing, _) => Some(testing),
        };
        let draw = self.draw(now, assignment.cidr.address());
        let test = testing.map(|testing| Test::new(now, testing, v4, draw));
        self.enter(now, interface, assignment, test)?;
        self.continue_tests(now);
        Ok(())
    }

    fn enter(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        assignment: Assignment,
        test: Option<Test>,
    ) -> Result<(), Error> {
        let Assignment { cidr, origin, preferred, valid, on_link } = assignment;
        let address = cidr.address();
        let broadcast = IpAddr::V4(Ipv4Addr::BROADCAST);
        if address.is_multicast() || address.is_unspecified() || address == broadcast {
            return Err(Error::Invalid);
        }
        let known = self.interfaces.get_mut(interface.0 as usize).filter(|known| !known.removed);
        let known = known.ok_or(Error::Invalid)?;
        if known.addresses.iter().any(|other| other.ip() == address) {
            return Err(Error::AddressInUse);
        }
        known.addresses.push(Address {
            origin,
            preferred_until: preferred.map(|time| now + time),
            valid_until: valid.map(|time| now + time),
            test,
            on_link,
            ..Address::permanent(cidr)
        });
        // Linux adds the route once the interface is up.
        if on_link && known.enabled {
            // Two addresses on one network share the route.
            let _ = self.routes.add(Route::on_link(cidr.network(), interface));
        }
        self.addresses_changed(now, interface);
        Ok(())
    }

    /// Takes an address from an interface, and the route to its network if no other address is on it. Connections that use
    /// it stay, and go on when the interface gets it again in time, as on Linux.
    ///
    /// # Errors
    /// [`Error::AddressNotAvailable`] if the interface does not have it.
    pub fn remove_address(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        address: IpAddr,
    ) -> Result<(), Error> {
        let known = self.interfaces.get_mut(interface.0 as usize).ok_or(Error::AddressNotAvailable)?;
        let at = known.addresses.iter().position(|known| known.ip() == address);
        let removed = known.addresses.remove(at.ok_or(Error::AddressNotAvailable)?);
        let network = removed.cidr.network();
        let shared = known.addresses.iter().any(|other| other.on_link && other.cidr.network() == network);
        if removed.on_link && !shared {
            self.routes.remove(&Route::on_link(network, interface));
        }
        self.addresses_changed(now, interface);
        Ok(())
    }

    /// The addresses of an interface, with those that may not be used.
    #[must_use]
    pub fn addresses(&self, interface: InterfaceId) -> Vec<Cidr> {
        let known = self.interfaces.get(interface.0 as usize);
        known.map_or_else(Vec::new, |known| known.addresses.iter().map(|address| address.cidr).collect())
    }

    /// What an address of an interface may be used for, `None` if the interface does not have it.
    #[must_use]
    pub fn standing(&self, interface: InterfaceId, address: IpAddr) -> Option<Standing> {
        let known = self.interfaces.get(interface.0 as usize)?;
        known.addresses.iter().find(|known| known.ip() == address).map(Address::standing)
    }

    /// Lets go of what was valid for some time only.
    pub(super) fn expire_addresses(&mut self, now: Instant) {
        for index in 0..self.interfaces.len() {
            if self.interfaces[index].address_deadline.is_none_or(|at| at > now) {
                continue;
            }
            let interface = InterfaceId::at(index);
            let expired = |address: &&Address| address.valid_until.is_some_and(|until| until <= now);
            while let Some(address) = self.interfaces[index].addresses.iter().find(expired).map(Address::ip) {
                let _ = self.remove_address(now, interface, address);
            }
            // A preferred lifetime may be over: other sources from now on.
            self.addresses_changed(now, interface);
        }
    }

    /// Something about the addresses of an interface is other than before.
    pub(crate) fn addresses_changed(&mut self, now: Instant, interface: InterfaceId) {
        self.routes_version += 1;
        if let Some(known) = self.interfaces.get_mut(interface.0 as usize) {
            for address in &mut known.addresses {
                address.deprecated = address.preferred_until.is_some_and(|until| until <= now);
            }
            known.address_deadline = known.addresses.iter().filter_map(|address| address.deadline(now)).min();
        }
        self.own_groups_changed(now, interface);
        self.configuration_changed();
    }
}
