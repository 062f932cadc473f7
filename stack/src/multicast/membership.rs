//! Who is a member of which group on which interface: endpoints, as ip(7) and ipv6(7) have it, and the stack itself.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::filter::{Filter, SourceChange, Wish};
use super::host::Host;
use super::{igmp, mld};
use crate::engine::Engine;
use crate::engine::endpoint::{EndpointId, Kind};
use crate::engine::interface::{Interface, LOOPBACK, all_routers, solicited_node};
use crate::error::Error;
use crate::link::Frame;
use crate::net::route::{InterfaceId, RouteKind};
use crate::time::Instant;

/// Which interface a membership is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The one that datagrams to the group leave by.
    Routes,
    /// This one.
    Interface(InterfaceId),
    /// The one that has this address. For IPv4 only.
    Address(Ipv4Addr),
}

/// A membership of an endpoint.
#[derive(Debug)]
struct Membership {
    group: IpAddr,
    interface: InterfaceId,
    /// As it was asked for.
    via: Via,
    wish: Wish,
}

/// All memberships of a stack.
#[derive(Debug, Default)]
pub(crate) struct Multicast {
    of: HashMap<EndpointId, Vec<Membership>>,
    members: HashMap<(InterfaceId, IpAddr), Vec<EndpointId>>,
    /// By number of the interface.
    pub(super) links: Vec<Link>,
    /// When something is to be said.
    pub(super) deadline: Option<Instant>,
    /// Whether nobody is told of them.
    silent: bool,
    /// The last time that is known, for calls that come without one.
    pub(crate) clock: Instant,
    /// Copies of what endpoints sent to groups, for the members of this stack.
    pub(crate) looped: VecDeque<(InterfaceId, Frame)>,
}

/// The memberships of an interface.
#[derive(Debug)]
pub(super) struct Link {
    /// IPv4, IPv6.
    pub(super) hosts: [Host; 2],
    /// Whether what was said last had no address of a sender yet.
    pub(super) anonymous: [bool; 2],
    /// What the stack itself has to hear.
    own: BTreeSet<IpAddr>,
}

impl Multicast {
    /// The memberships of an interface.
    pub(super) fn link_mut(&mut self, interface: InterfaceId) -> &mut Link {
        let index = interface.0 as usize;
        if self.links.len() <= index {
            self.links.resize_with(index + 1, || Link {
                hosts: [Host::new(), Host::new()],
                anonymous: [false; 2],
                own: BTreeSet::new(),
            });
        }
        &mut self.links[index]
    }

    /// When [`Engine::continue_multicast`] is due.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// The groups of which somebody on an interface is a member, the stack itself or so many endpoints.
    pub(super) fn heard_on(&self, interface: InterfaceId) -> impl Iterator<Item = (IpAddr, usize)> {
        let own = self.links.get(interface.0 as usize).into_iter().flat_map(|link| &link.own);
        let of_endpoints = self.members.iter().filter(move |((known, _), _)| *known == interface);
        let of_endpoints = of_endpoints.map(|((_, group), ids)| (*group, ids.len()));
        own.map(|group| (*group, 1)).chain(of_endpoints)
    }

    fn memberships(&self, id: EndpointId) -> &[Membership] {
        self.of.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Whether an endpoint wants datagrams from a source to a group. Of a group that it is no member of on that interface it
    /// has what others are members of, if it takes all (`IP_MULTICAST_ALL`).
    pub(crate) fn admits(
        &self,
        id: EndpointId,
        interface: InterfaceId,
        group: IpAddr,
        source: IpAddr,
        all: bool,
    ) -> bool {
        let of_group = |known: &&Membership| known.group == group && known.interface == interface;
        let membership = self.memberships(id).iter().find(of_group);
        membership.map_or(all, |membership| membership.wish.filter().admits(source))
    }

    /// Whether anybody on an interface is a member of a group; with a source, one that wants to hear it.
    fn hears(&self, interface: InterfaceId, group: IpAddr, source: Option<IpAddr>) -> bool {
        let own = self.links.get(interface.0 as usize).is_some_and(|link| link.own.contains(&group));
        let wants = |id: &EndpointId| match source {
            Some(source) => self.admits(*id, interface, group, source, false),
            None => true,
        };
        own || self.members.get(&(interface, group)).is_some_and(|ids| ids.iter().any(wants))
    }

    /// What everybody on an interface wants of a group.
    fn filter(&self, interface: InterfaceId, group: IpAddr) -> Filter {
        let own = self.links.get(interface.0 as usize).is_some_and(|link| link.own.contains(&group));
        let ids = self.members.get(&(interface, group)).into_iter().flatten();
        let memberships = ids.flat_map(|id| self.memberships(*id));
        let wishes = memberships
            .filter(|known| known.group == group && known.interface == interface)
            .map(|known| known.wish.filter());
        Filter::merge(wishes.chain(own.then_some(&Filter::EVERYTHING)))
    }
}

impl Engine {
    /// Makes an endpoint a member of a group, as `IP_ADD_MEMBERSHIP`, `IPV6_ADD_MEMBERSHIP` and `MCAST_JOIN_GROUP`.
    ///
    /// # Errors
    /// [`Error::Invalid`] (no group), [`Error::NoInterface`], [`Error::AddressInUse`] (it is one already),
    /// [`Error::NoBuffers`] (of 20 groups of IPv4), [`Error::OutOfMemory`] (of 256 groups of IPv6),
    /// [`Error::NotSupported`] (of frames).
    pub fn join_group(&mut self, now: Instant, id: EndpointId, group: IpAddr, via: Via) -> Result<(), Error> {
        self.enter_group(now, id, group, via, Wish::everything())
    }

    fn enter_group(
        &mut self,
        now: Instant,
        id: EndpointId,
        group: IpAddr,
        via: Via,
        wish: Wish,
    ) -> Result<(), Error> {
        if matches!(self.endpoint(id)?.kind, Kind::Packet(_)) {
            return Err(Error::NotSupported);
        }
        if !group.is_multicast() {
            return Err(Error::Invalid);
        }
        let known = self.multicast.memberships(id);
        // As Linux: with IPv6 no interface is any interface.
        if group.is_ipv6() && via == Via::Routes && known.iter().any(|known| known.group == group) {
            return Err(Error::AddressInUse);
        }
        let interface = self.interface_via(group, via).ok_or(Error::NoInterface)?;
        if known.iter().any(|known| known.group == group && known.interface == interface) {
            return Err(Error::AddressInUse);
        }
        let count = known.iter().filter(|known| known.group.is_ipv4() == group.is_ipv4()).count();
        match group {
            IpAddr::V4(_) if count >= MOST_GROUPS => return Err(Error::NoBuffers),
            IpAddr::V6(_) if count >= MOST_GROUPS_V6 => return Err(Error::OutOfMemory),
            _ => {}
        }
        self.multicast.of.entry(id).or_default().push(Membership { group, interface, via, wish });
        self.multicast.members.entry((interface, group)).or_default().push(id);
        self.wanted_changed(now, interface, group);
        Ok(())
    }

    /// Ends a membership, as `IP_DROP_MEMBERSHIP`, `IPV6_DROP_MEMBERSHIP` and `MCAST_LEAVE_GROUP`.
    ///
    /// # Errors
    /// [`Error::AddressNotAvailable`] (it is no member), [`Error::NoInterface`], and for IPv6 [`Error::Invalid`] (no group).
    pub fn leave_group(
        &mut self,
        now: Instant,
        id: EndpointId,
        group: IpAddr,
        via: Via,
    ) -> Result<(), Error> {
        self.endpoint(id)?;
        if group.is_ipv6() && !group.is_multicast() {
            return Err(Error::Invalid);
        }
        let interface = self.interface_via(group, via);
        let is_meant = |known: &Membership| match (group, via, interface) {
            (IpAddr::V6(_), Via::Routes, _) => true,
            (_, Via::Interface(named), _) => known.interface == named,
            (_, _, Some(interface)) => known.interface == interface,
            (..) => known.via == via,
        };
        if group.is_ipv4() && via == Via::Routes && interface.is_none() {
            return Err(Error::NoInterface);
        }
        let known = self.multicast.memberships(id);
        let at = known.iter().position(|known| known.group == group && is_meant(known));
        self.end_membership(now, id, at.ok_or(Error::AddressNotAvailable)?);
        Ok(())
    }

    /// Changes which sources of a group an endpoint hears, as `IP_ADD_SOURCE_MEMBERSHIP`, `MCAST_BLOCK_SOURCE` and the like.
    ///
    /// # Errors
    /// [`Error::Invalid`] (no group, no member of it, or its filter is of the other mode), [`Error::NoInterface`],
    /// [`Error::AddressNotAvailable`] (nothing changes), [`Error::NoBuffers`] (10 sources of IPv4, 64 of IPv6), and those of
    /// [`join_group`](Self::join_group).
    pub fn change_source(
        &mut self,
        now: Instant,
        id: EndpointId,
        group: IpAddr,
        via: Via,
        source: IpAddr,
        change: SourceChange,
    ) -> Result<(), Error> {
        if change == SourceChange::Join {
            match self.enter_group(now, id, group, via, Wish::nothing()) {
                Ok(()) | Err(Error::AddressInUse) => {}
                Err(error) => return Err(error),
            }
        }
        self.endpoint(id)?;
        if !group.is_multicast() {
            return Err(Error::Invalid);
        }
        let interface = self.interface_via(group, via).ok_or(Error::NoInterface)?;
        let any = group.is_ipv6() && via == Via::Routes;
        let is_meant = |known: &Membership| known.group == group && (any || known.interface == interface);
        let known = self.multicast.of.get_mut(&id).ok_or(Error::Invalid)?;
        let at = known.iter().position(is_meant).ok_or(Error::Invalid)?;
        let most = if group.is_ipv4() { MOST_SOURCES } else { MOST_SOURCES_V6 };
        let interface = known[at].interface;
        let changed = known[at].wish.change(change, source, most);
        if changed == Ok(true) {
            self.end_membership(now, id, at);
        } else {
            // The mode may be another even if the source was refused.
            self.wanted_changed(now, interface, group);
        }
        changed.map(|_| ())
    }

    /// Replaces which sources of a group an endpoint hears, as `IP_MSFILTER` and `MCAST_MSFILTER`: only `sources`, or with
    /// `exclude` all but those. Only none ends the membership.
    ///
    /// # Errors
    /// [`Error::Invalid`] (no group, or no member of it), [`Error::NoInterface`], and those of
    /// [`leave_group`](Self::leave_group).
    pub fn set_sources(
        &mut self,
        now: Instant,
        id: EndpointId,
        group: IpAddr,
        via: Via,
        sources: BTreeSet<IpAddr>,
        exclude: bool,
    ) -> Result<(), Error> {
        self.endpoint(id)?;
        if !group.is_multicast() {
            return Err(Error::Invalid);
        }
        let interface = self.interface_via(group, via).ok_or(Error::NoInterface)?;
        if sources.is_empty() && !exclude {
            return self.leave_group(now, id, group, via);
        }
        let known = self.multicast.of.get_mut(&id).ok_or(Error::Invalid)?;
        let is_meant = |known: &&mut Membership| known.group == group && known.interface == interface;
        let known = known.iter_mut().find(is_meant).ok_or(Error::Invalid)?;
        known.wish = Wish::exactly(if exclude { Filter::Exclude(sources) } else { Filter::Include(sources) });
        self.wanted_changed(now, interface, group);
        Ok(())
    }

    /// Which sources of a group an endpoint hears: only those, or all but those, which the second says.
    ///
    /// # Errors
    /// [`Error::Invalid`] (no group), [`Error::NoInterface`], [`Error::AddressNotAvailable`] (no member of it).
    pub fn sources(&self, id: EndpointId, group: IpAddr, via: Via) -> Result<(Vec<IpAddr>, bool), Error> {
        self.endpoint(id)?;
        if !group.is_multicast() {
            return Err(Error::Invalid);
        }
        let interface = self.interface_via(group, via).ok_or(Error::NoInterface)?;
        let known = self.multicast.memberships(id).iter();
        let mut known = known.filter(|known| known.group == group && known.interface == interface);
        let filter = known.next().ok_or(Error::AddressNotAvailable)?.wish.filter();
        Ok((filter.sources().iter().copied().collect(), filter.is_exclude()))
    }

    /// The endpoint is gone, and its memberships with it.
    pub(crate) fn leave_all_groups(&mut self, now: Instant, id: EndpointId) {
        while let Some(last) = self.multicast.memberships(id).len().checked_sub(1) {
            self.end_membership(now, id, last);
        }
        self.multicast.of.remove(&id);
    }

    fn end_membership(&mut self, now: Instant, id: EndpointId, at: usize) {
        let Some(known) = self.multicast.of.get_mut(&id).filter(|known| at < known.len()) else { return };
        let Membership { group, interface, .. } = known.remove(at);
        if let Some(ids) = self.multicast.members.get_mut(&(interface, group)) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.multicast.members.remove(&(interface, group));
            }
        }
        self.wanted_changed(now, interface, group);
    }

    /// What the stack itself has to hear may have changed: the addresses of an interface, or whether it is a router's.
    pub(crate) fn own_groups_changed(&mut self, now: Instant, interface: InterfaceId) {
        let now = now.max(self.multicast.clock);
        let Some(known) = self.interfaces.get(interface.0 as usize).filter(|_| interface != LOOPBACK) else {
            return;
        };
        let mut own = BTreeSet::new();
        // RFC 4862 section 5.4.2: hosts that start together do not say together that they are members, either. What was said
        // is not taken back when an address is tested again.
        let links = &self.multicast.links;
        let said = links.get(interface.0 as usize).filter(|_| self.multicast.clock > Instant::ZERO);
        for address in known.addresses.iter().filter(|address| !address.duplicate) {
            let delayed = address.test.is_some_and(|test| test.is_delayed());
            if let IpAddr::V6(address) = address.ip() {
                let group = IpAddr::V6(solicited_node(address));
                if !delayed || said.is_some_and(|link| link.own.contains(&group)) {
                    own.insert(group);
                }
            }
        }
        if self.forwarding && !known.removed {
            own.extend(all_routers());
            own.extend(known.anycast().map(solicited_node).map(IpAddr::V6));
        }
        let link = self.multicast.link_mut(interface);
        let before = std::mem::replace(&mut link.own, own);
        let changed: Vec<_> = before.symmetric_difference(&link.own).copied().collect();
        for group in changed {
            self.note_wanted(now, interface, group);
        }
        for v6 in [false, true] {
            // RFC 3590 section 4: routers did not believe what was said without an address.
            let link = &self.multicast.links[interface.0 as usize];
            if link.anonymous[usize::from(v6)] && self.reporter(interface, v6).is_some() {
                let link = self.multicast.link_mut(interface);
                link.anonymous[usize::from(v6)] = false;
                link.hosts[usize::from(v6)].restate(now);
            }
        }
        self.reports_changed(now);
    }

    /// Whether routers and switches are told of memberships that begin and end later, on unless this says otherwise: for links
    /// that have neither.
    pub const fn set_group_reports(&mut self, on: bool) {
        self.multicast.silent = !on;
    }

    fn wanted_changed(&mut self, now: Instant, interface: InterfaceId, group: IpAddr) {
        self.note_wanted(now, interface, group);
        self.reports_changed(now);
    }

    fn note_wanted(&mut self, now: Instant, interface: InterfaceId, group: IpAddr) {
        if interface == LOOPBACK || !is_reported(group) || self.multicast.silent {
            return;
        }
        let filter = self.multicast.filter(interface, group);
        // While a stack is set up nobody is told anything.
        let unsaid = self.multicast.clock == Instant::ZERO && filter.is_nothing();
        let host = &mut self.multicast.link_mut(interface).hosts[usize::from(group.is_ipv6())];
        if unsaid {
            host.retract(group);
        } else {
            host.set(now, group, filter);
        }
    }

    /// The interface that has an address.
    #[must_use]
    pub fn interface_of(&self, address: IpAddr) -> Option<InterfaceId> {
        let at = self.interfaces.iter().position(|known| known.has(address))?;
        Some(InterfaceId::at(at))
    }

    /// Whether there is an interface of that number.
    #[must_use]
    pub fn has_interface(&self, interface: InterfaceId) -> bool {
        self.interfaces.get(interface.0 as usize).is_some_and(|known| !known.removed)
    }

    /// The interface that is meant, if there is one.
    fn interface_via(&self, group: IpAddr, via: Via) -> Option<InterfaceId> {
        let found = match via {
            Via::Routes => self.group_interface(group),
            Via::Interface(interface) => Some(interface),
            Via::Address(address) => self.interface_of(address.into()),
        };
        found.filter(|found| self.has_interface(*found))
    }

    /// The interface that datagrams to a group leave by: where the routes say nothing, the first that has an address of the
    /// family, or the first.
    pub(crate) fn group_interface(&self, group: IpAddr) -> Option<InterfaceId> {
        let route = self.routes.lookup(group, None).filter(|route| route.kind == RouteKind::Unicast);
        if let Some(route) = route {
            return Some(route.interface);
        }
        let usable = |known: &Interface| {
            known.enabled && known.usable().any(|address| address.is_ipv4() == group.is_ipv4())
        };
        let first = |wanted: &dyn Fn(&Interface) -> bool| {
            let at = (1..self.interfaces.len()).find(|&at| wanted(&self.interfaces[at]))?;
            Some(InterfaceId::at(at))
        };
        first(&usable).or_else(|| first(&|known| !known.removed))
    }

    /// Whether a packet to a group that arrived on an interface is for somebody here. What is about memberships itself is
    /// not subject to them.
    pub(crate) fn hears_group(
        &self,
        interface: InterfaceId,
        group: IpAddr,
        source: IpAddr,
        protocol: u8,
    ) -> bool {
        let known = &self.interfaces[interface.0 as usize];
        let control = [super::IGMP, crate::net::checksum::ICMP6].contains(&protocol);
        known.hears_group(group) || self.multicast.hears(interface, group, (!control).then_some(source))
    }
}

/// Whether routers and switches are told of members (RFC 3376 section 5, RFC 3810 section 6).
fn is_reported(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group != igmp::ALL_SYSTEMS,
        IpAddr::V6(group) => group != mld::ALL_NODES && scope(group) > 1,
    }
}

/// How far datagrams to a group go (RFC 4291 section 2.7): 0 is reserved, 1 is this host.
pub(crate) const fn scope(group: Ipv6Addr) -> u8 {
    group.octets()[1] & 0x0f
}

/// `igmp_max_memberships` of Linux.
const MOST_GROUPS: usize = 20;
/// Linux takes as many as fit into `net.core.optmem_max`.
const MOST_GROUPS_V6: usize = 256;
/// `igmp_max_msf` of Linux.
const MOST_SOURCES: usize = 10;
/// `mld_max_msf` of Linux.
const MOST_SOURCES_V6: usize = 64;
