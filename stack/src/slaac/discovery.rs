//! Router discovery, the host's side (RFC 4861 sections 6.3.4 to 6.3.7): routers are asked for, and what they say holds for
//! as long as they say.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::advertisement::{Advertisement, Information, Lifetime, Preference};
use super::prefix::Addresses;
use crate::engine::Engine;
use crate::engine::configuration::Teller;
use crate::net::cidr::Cidr;
use crate::net::mac::Mac;
use crate::net::route::{InterfaceId, Route};
use crate::time::Instant;

/// What an interface knows from its routers.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// When they are asked next, and how long was waited for the last answer.
    solicit: Option<Instant>,
    waited: Duration,
    routers: Vec<Router>,
    /// What is on the link, and routes (RFC 4191).
    routes: Vec<(Route, Option<Instant>)>,
    servers: Vec<(IpAddr, Option<Instant>)>,
    domains: Vec<(String, Option<Instant>)>,
    pub(super) addresses: Addresses,
    /// When something is to be done.
    deadline: Option<Instant>,
}

/// A default router.
#[derive(Clone, Copy, Debug)]
struct Router {
    address: Ipv6Addr,
    until: Instant,
    preference: Preference,
    /// It did not answer: others are preferred (RFC 4861 section 6.3.6).
    suspect: bool,
}

impl Router {
    fn route(&self, interface: InterfaceId) -> Option<Route> {
        let metric = metric(self.preference) + if self.suspect { SUSPECT } else { 0 };
        let gateway = Some(self.address.into());
        let all = Cidr::new(Ipv6Addr::UNSPECIFIED.into(), 0)?;
        Some(Route { gateway, metric, ..Route::on_link(all, interface) })
    }
}

impl Discovery {
    /// Whether there are addresses that change (RFC 8981).
    pub(crate) const fn is_temporary(&self) -> bool {
        self.addresses.are_temporary()
    }
}

impl Engine {
    /// Lets an interface learn from routers: prefixes for its addresses, routes, name servers, the MTU. With `temporary`
    /// it also has addresses that change (RFC 8981), and sends from these.
    pub fn start_discovery(&mut self, now: Instant, interface: InterfaceId, temporary: bool) {
        let draw = self.draw(now, IpAddr::V6(ALL_ROUTERS));
        let Some(own) = self.interfaces.get_mut(interface.0 as usize).filter(|own| !own.removed) else {
            return;
        };
        // RFC 4861 section 6.3.7: hosts that start together do not ask together.
        let delay = Duration::from_nanos(draw % MAX_RTR_SOLICITATION_DELAY);
        own.discovery = Some(Box::new(Discovery {
            solicit: Some(now + delay),
            waited: Duration::ZERO,
            routers: Vec::new(),
            routes: Vec::new(),
            servers: Vec::new(),
            domains: Vec::new(),
            addresses: Addresses::new(temporary),
            deadline: Some(now + delay),
        }));
    }

    /// Whether servers of DHCPv6 are asked when a router says that there are any (RFC 4861 section 4.2, the flags M and O).
    pub fn follow_routers(&mut self, interface: InterfaceId, follow: bool) {
        if let Some(own) = self.interfaces.get_mut(interface.0 as usize) {
            own.follows = follow;
        }
    }

    /// Forgets what was learned, with the addresses made from it.
    pub fn stop_discovery(&mut self, now: Instant, interface: InterfaceId) {
        let own = self.interfaces.get_mut(interface.0 as usize);
        let Some(own) = own else { return };
        let Some(discovery) = own.discovery.take() else {
            own.rediscover = None;
            return;
        };
        for route in discovery.routers.iter().filter_map(|router| router.route(interface)) {
            self.routes.remove(&route);
        }
        for (route, _) in &discovery.routes {
            self.routes.remove(route);
        }
        for address in discovery.addresses.all() {
            let _ = self.remove_address(now, interface, address.into());
        }
        self.set_resolvers(interface, Teller::Router, Vec::new(), Vec::new());
        self.forget_parameters(interface);
        self.routes_changed();
    }

    /// The stack has become a router, or is none any more. As on Linux a router forgets its default routers, and what it
    /// has of prefixes grows old; a host asks anew.
    pub(crate) fn role_changed(&mut self) {
        let clock = self.multicast.clock;
        for index in 1..self.interfaces.len() {
            let interface = InterfaceId::at(index);
            let learns = self.learns(interface);
            let Some(discovery) = self.interfaces[index].discovery.as_mut() else { continue };
            let gone = if learns { Vec::new() } else { std::mem::take(&mut discovery.routers) };
            if learns {
                discovery.waited = Duration::ZERO;
                discovery.solicit = Some(clock);
                discovery.deadline = discovery.solicit;
            }
            for route in gone.iter().filter_map(|router| router.route(interface)) {
                self.routes.remove(&route);
            }
        }
    }

    /// The name of an interface that learns from routers and has no address from it yet.
    #[must_use]
    pub fn undiscovered(&self) -> Option<&str> {
        let waits = self.interfaces.iter().find(|own| {
            !own.is_served()
                && (!self.forwarding || own.learns_as_router)
                && own.discovery.as_ref().is_some_and(|discovery| {
                    !discovery.addresses.all().any(|address| own.has(address.into()))
                })
        });
        waits.map(|own| own.name.as_str())
    }

    /// Takes in a router advertisement whose checksum was verified.
    pub(crate) fn handle_router_advertisement(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        (source, hop_limit): (IpAddr, u8),
        message: &[u8],
    ) {
        // RFC 4861 section 6.1.2: from the link itself.
        let router = match source {
            IpAddr::V6(source) if source.is_unicast_link_local() && hop_limit == 255 => source,
            _ => {
                self.counters.malformed += 1;
                return;
            }
        };
        let Some(said) = Advertisement::parse(message) else {
            self.counters.malformed += 1;
            return;
        };
        if !self.learns(interface) {
            return;
        }
        let Some(mut discovery) = self.interfaces[interface.0 as usize].discovery.take() else { return };
        // RFC 7559 section 2.1: a default router is what was asked for.
        if !said.lifetime.is_zero() {
            discovery.solicit = None;
        }
        self.hear_parameters(now, interface, &said);
        self.hear_router(now, interface, &mut discovery, router, &said);
        let (managed, other) = (said.managed, said.other);
        for information in said.information {
            self.hear_information(now, interface, &mut discovery, router, information);
        }
        self.tell_resolvers(interface, &discovery);
        self.routes_changed();
        self.keep(interface, discovery);
        // RFC 4861 section 4.2: what else there is, and where.
        if self.interfaces[interface.0 as usize].follows && (managed || other) {
            self.start_dhcp6(now, interface, !managed);
        }
    }

    /// RFC 4861 section 6.3.4: the router itself.
    fn hear_router(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        discovery: &mut Discovery,
        address: Ipv6Addr,
        said: &Advertisement,
    ) {
        let at = discovery.routers.iter().position(|router| router.address == address);
        if let Some(known) =
            at.map(|at| discovery.routers.remove(at)).and_then(|known| known.route(interface))
        {
            self.routes.remove(&known);
        }
        if said.lifetime.is_zero() || discovery.routers.len() >= MOST_ROUTERS {
            return;
        }
        let router = Router {
            address,
            until: now + said.lifetime,
            preference: said.preference,
            // What it says shows that it is there, not that it answers.
            suspect: false,
        };
        let _ = router.route(interface).map(|route| self.routes.add(route));
        discovery.routers.push(router);
    }

    fn hear_information(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        discovery: &mut Discovery,
        router: Ipv6Addr,
        information: Information,
    ) {
        match information {
            Information::Router(mac) => self.learn_router(now, interface, router, mac),
            Information::Prefix { prefix, on_link, autonomous, valid, preferred } => {
                if on_link {
                    let metric = PREFIX_METRIC;
                    let route = Route { metric, ..Route::on_link(prefix, interface) };
                    self.hear_route(now, discovery, route, valid);
                }
                if autonomous {
                    self.hear_prefix(now, interface, &mut discovery.addresses, prefix, (valid, preferred));
                }
            }
            // Section 6.3.4: between the least of IPv6 and what the link has.
            Information::Mtu(mtu) => {
                let own = self.interfaces[interface.0 as usize].mtu;
                if let Ok(mtu) = u16::try_from(mtu)
                    && (1280..=own).contains(&mtu)
                {
                    self.set_mtu_v6(interface, mtu);
                }
            }
            // RFC 4191 section 3.1: this router is one of the ways there.
            Information::Route { destination, preference, lifetime } => {
                let gateway = Some(router.into());
                let metric = metric(preference);
                let route = Route { gateway, metric, ..Route::on_link(destination, interface) };
                let same = |known: &Route| known.destination == destination && known.gateway == gateway;
                let gone: Vec<_> = discovery.routes.extract_if(.., |(known, _)| same(known)).collect();
                for (known, _) in &gone {
                    self.routes.remove(known);
                }
                self.hear_route(now, discovery, route, lifetime);
            }
            Information::Servers { servers, lifetime } => {
                for server in servers {
                    remember(now, &mut discovery.servers, server.into(), lifetime);
                }
            }
            Information::Domains { domains, lifetime } => {
                for domain in domains {
                    remember(now, &mut discovery.domains, domain, lifetime);
                }
            }
        }
    }

    fn hear_route(&mut self, now: Instant, discovery: &mut Discovery, route: Route, lifetime: Lifetime) {
        let known = discovery.routes.iter().any(|(known, _)| *known == route);
        remember(now, &mut discovery.routes, route, lifetime);
        let kept = discovery.routes.iter().any(|(known, _)| *known == route);
        if kept && !known {
            let _ = self.routes.add(route);
        } else if known && !kept {
            self.routes.remove(&route);
        }
    }

    /// A router did not answer: others come first from now on (RFC 4861 section 6.3.6).
    pub(crate) fn suspect_router(&mut self, interface: InterfaceId, address: IpAddr) {
        self.judge_router(interface, address, true);
    }

    /// It is there after all.
    pub(crate) fn trust_router(&mut self, interface: InterfaceId, address: IpAddr) {
        self.judge_router(interface, address, false);
    }

    fn judge_router(&mut self, interface: InterfaceId, address: IpAddr, suspect: bool) {
        let own = self.interfaces.get_mut(interface.0 as usize);
        let routers = own.and_then(|own| own.discovery.as_mut()).map(|discovery| &mut discovery.routers);
        let mut routers = routers.into_iter().flatten();
        let Some(router) = routers.find(|router| address == router.address && router.suspect != suspect)
        else {
            return;
        };
        let before = router.route(interface);
        router.suspect = suspect;
        let after = router.route(interface);
        if let Some(route) = before {
            self.routes.remove(&route);
        }
        let _ = after.map(|route| self.routes.add(route));
        self.routes_changed();
    }

    /// Asks for routers, lets go of what they do not say any more, and makes new temporary addresses.
    pub(crate) fn continue_discovery(&mut self, now: Instant) {
        for index in 1..self.interfaces.len() {
            let known = self.interfaces[index].discovery.as_ref().and_then(|discovery| discovery.deadline);
            if known.is_none_or(|at| at > now) {
                continue;
            }
            let interface = InterfaceId::at(index);
            let Some(mut discovery) = self.interfaces[index].discovery.take() else { continue };
            if discovery.solicit.is_some_and(|at| at <= now) {
                // RFC 4861 section 6.2.8: routers do not ask.
                if self.learns(interface) {
                    self.solicit_routers(now, interface);
                }
                // RFC 7559 section 2: for ever, ever more seldom, none as often as another.
                let waited =
                    if discovery.waited.is_zero() { RTR_SOLICITATION_INTERVAL } else { discovery.waited * 2 };
                discovery.waited = waited.min(LONGEST_INTERVAL);
                let spread = self.draw(now, ALL_ROUTERS.into()) % 200;
                discovery.solicit = Some(now + discovery.waited.mul_f64(0.9 + spread as f64 / 1000.0));
            }
            let gone = discovery.routers.extract_if(.., |router| router.until <= now);
            let gone: Vec<Route> = gone.filter_map(|router| router.route(interface)).collect();
            let over = |until: &Option<Instant>| until.is_some_and(|until| until <= now);
            let others = discovery.routes.extract_if(.., |(_, until)| over(until));
            let gone: Vec<Route> = others.map(|(route, _)| route).chain(gone).collect();
            if !gone.is_empty() {
                for route in &gone {
                    self.routes.remove(route);
                }
                self.routes_changed();
            }
            let before = (discovery.servers.len(), discovery.domains.len());
            discovery.servers.retain(|(_, until)| !over(until));
            discovery.domains.retain(|(_, until)| !over(until));
            if before != (discovery.servers.len(), discovery.domains.len()) {
                self.tell_resolvers(interface, &discovery);
            }
            self.renew_temporary(now, interface, &mut discovery.addresses);
            self.keep(interface, discovery);
        }
    }

    fn tell_resolvers(&mut self, interface: InterfaceId, discovery: &Discovery) {
        let servers = discovery.servers.iter().map(|(server, _)| *server).collect();
        let domains = discovery.domains.iter().map(|(domain, _)| domain.clone()).collect();
        self.set_resolvers(interface, Teller::Router, servers, domains);
    }

    /// Gives an interface its state back.
    fn keep(&mut self, interface: InterfaceId, mut discovery: Box<Discovery>) {
        let routers = discovery.routers.iter().map(|router| router.until);
        let routes = discovery.routes.iter().filter_map(|(_, until)| *until);
        let servers = discovery.servers.iter().filter_map(|(_, until)| *until);
        let domains = discovery.domains.iter().filter_map(|(_, until)| *until);
        let times = routers.chain(routes).chain(servers).chain(domains).chain(discovery.solicit);
        discovery.deadline = times.chain(discovery.addresses.deadline()).min();
        self.interfaces[interface.0 as usize].discovery = Some(discovery);
    }

    /// When [`continue_discovery`](Self::continue_discovery) has something to do.
    pub(crate) fn discovery_deadline(&self) -> Option<Instant> {
        self.interfaces.iter().filter_map(|own| own.discovery.as_ref()?.deadline).min()
    }

    /// Enters the station of a router (RFC 4861 section 6.3.4).
    fn learn_router(&mut self, now: Instant, interface: InterfaceId, router: Ipv6Addr, mac: Mac) {
        self.learn(now, interface, router, mac, crate::net::neighbour::Evidence::Request);
    }
}

/// Notes until when something holds; with a lifetime of zero it does not.
fn remember<T: PartialEq>(now: Instant, list: &mut Vec<(T, Option<Instant>)>, item: T, lifetime: Lifetime) {
    let at = list.iter().position(|(known, _)| *known == item);
    let until = lifetime.map(|time| now + time);
    match at {
        Some(at) if lifetime.is_some_and(|time| time.is_zero()) => drop(list.remove(at)),
        Some(at) => list[at].1 = until,
        None if lifetime.is_some_and(|time| time.is_zero()) || list.len() >= MOST_ITEMS => {}
        None => list.push((item, until)),
    }
}

/// Routes from routers come behind those of the user; `ip6_route_add` of Linux has 1024, too.
const fn metric(preference: Preference) -> u32 {
    match preference {
        Preference::High => 1023,
        Preference::Medium => 1024,
        Preference::Low => 1025,
    }
}

/// What is added for a router that does not answer.
const SUSPECT: u32 = 1024;
/// As Linux.
const PREFIX_METRIC: u32 = 256;
/// RFC 4291 section 2.7.1.
pub(crate) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// RFC 4861 section 10, in nanoseconds.
const MAX_RTR_SOLICITATION_DELAY: u64 = 1_000_000_000;
const RTR_SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
/// RFC 7559 section 2: MRT.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
/// Anybody on the link can say that there are any number of them.
const MOST_ROUTERS: usize = 16;
/// Routes, servers, domains.
const MOST_ITEMS: usize = 64;
