//! `RTM_GETROUTE`, `RTM_NEWROUTE`, `RTM_DELROUTE`: routes, see rtnetlink(7). There are two tables: `main`, and `local`,
//! which follows from the addresses.

use super::address::{address_in, family_of, octets};
use super::codec::{Attributes, Writer};
use super::constants::{
    NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, RT_SCOPE_HOST, RT_SCOPE_LINK, RT_SCOPE_NOWHERE,
    RT_SCOPE_UNIVERSE, RT_TABLE_LOCAL, RT_TABLE_MAIN, RTA_CACHEINFO, RTA_DST, RTA_GATEWAY, RTA_IIF,
    RTA_METRICS, RTA_MULTIPATH, RTA_OIF, RTA_PREF, RTA_PREFSRC, RTA_PRIORITY, RTA_TABLE, RTM_F_CLONED,
    RTM_NEWROUTE, RTN_BLACKHOLE, RTN_BROADCAST, RTN_LOCAL, RTN_PROHIBIT, RTN_UNICAST, RTN_UNREACHABLE,
    RTN_UNSPEC, RTNH_F_DEAD, RTPROT_KERNEL, RTPROT_STATIC, V4, V6,
};
use super::fault::Fault;
use super::request::Work;
use ioth_stack::Error;
use ioth_stack::net::{Cidr, InterfaceId, Route, RouteKind};
use ioth_stack::snapshot::{self, Snapshot, Standing};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of `struct rtmsg`.
const FIXED: usize = 12;
/// `IP6_RT_PRIO_USER` of Linux: the metric of a route of IPv6 that is given none.
const METRIC_V6: u32 = 1024;
/// The interface of routes that lead nowhere.
const NOWHERE: InterfaceId = InterfaceId::LOOPBACK;

/// What is said of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    destination: Cidr,
    gateway: Option<IpAddr>,
    interface: Option<InterfaceId>,
    source: Option<IpAddr>,
    metric: u32,
    table: u8,
    protocol: u8,
    scope: u8,
    kind: u8,
    flags: u32,
}

impl Shown {
    /// Whether it follows from an address.
    pub(super) const fn follows(&self) -> bool {
        self.protocol == RTPROT_KERNEL
    }

    pub(super) const fn interface(&self) -> Option<InterfaceId> {
        self.interface
    }
}

/// The routes of both tables and families: IPv4 first, in the order of the tables.
pub(super) fn shown(seen: &Snapshot) -> Vec<Shown> {
    let main = seen.routes.iter().map(|route| show(seen, route));
    let local = seen
        .addresses
        .iter()
        .filter(|known| !matches!(known.standing, Standing::Tentative | Standing::Duplicate));
    let local = local.flat_map(|known| {
        let address = known.cidr.address();
        let own = |destination: IpAddr, kind, scope| Shown {
            destination: Cidr::host(destination),
            gateway: None,
            interface: Some(known.interface),
            source: address.is_ipv4().then_some(address),
            metric: 0,
            table: RT_TABLE_LOCAL,
            protocol: RTPROT_KERNEL,
            scope,
            kind,
            flags: 0,
        };
        let host = if address.is_ipv4() { RT_SCOPE_HOST } else { RT_SCOPE_UNIVERSE };
        let broadcast = known.cidr.broadcast().filter(|_| !address.is_loopback());
        let broadcast = broadcast.map(|broadcast| own(broadcast.into(), RTN_BROADCAST, RT_SCOPE_LINK));
        [Some(own(address, RTN_LOCAL, host)), broadcast].into_iter().flatten()
    });
    let mut all: Vec<_> = main.chain(local).collect();
    all.sort_by_key(|route| route.destination.address().is_ipv6());
    all
}

fn show(seen: &Snapshot, route: &snapshot::Route) -> Shown {
    let unicast = route.kind == RouteKind::Unicast;
    let v4 = route.destination.address().is_ipv4();
    let on = |known: &&snapshot::Address| known.interface == route.interface;
    let own = seen.addresses.iter().filter(on).find(|known| known.cidr.network() == route.destination);
    let own = own.filter(|_| unicast && route.gateway.is_none() && route.metric == 0);
    let interface = seen.interfaces.iter().find(|known| known.index == route.interface);
    let dead = unicast && interface.is_some_and(|known| !known.up);
    Shown {
        destination: route.destination,
        gateway: route.gateway,
        interface: unicast.then_some(route.interface),
        source: own.filter(|_| v4).map(|known| known.cidr.address()),
        metric: route.metric,
        table: RT_TABLE_MAIN,
        protocol: if own.is_some() { RTPROT_KERNEL } else { RTPROT_STATIC },
        scope: if v4 && unicast && route.gateway.is_none() { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE },
        kind: kind_of(route.kind),
        flags: if dead { RTNH_F_DEAD } else { 0 },
    }
}

const fn kind_of(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Unicast => RTN_UNICAST,
        RouteKind::Blackhole => RTN_BLACKHOLE,
        RouteKind::Unreachable => RTN_UNREACHABLE,
        RouteKind::Prohibit => RTN_PROHIBIT,
    }
}

/// All routes of a family, or of both.
pub(super) fn dump(work: &Work<'_>) -> Vec<Vec<u8>> {
    let family = work.family();
    let fixed = work.request.fixed::<FIXED>().copied().unwrap_or_default();
    let attributes = work.request.attributes(FIXED);
    let table = attributes.integer(RTA_TABLE).ok().flatten().unwrap_or_else(|| fixed[4].into());
    let interface = attributes.integer(RTA_OIF).ok().flatten();
    // Linux filters only for whoever has said that it checks strictly.
    let wanted = |route: &&Shown| {
        (family == 0 || family_of(route.destination.address()) == family)
            && (!work.strict
                || (table == 0 || u32::from(route.table) == table)
                    && (fixed[5] == 0 || route.protocol == fixed[5])
                    && (fixed[7] == 0 || route.kind == fixed[7])
                    && interface.is_none_or(|index| route.interface.map(InterfaceId::index) == Some(index)))
    };
    shown(&work.seen()).iter().filter(wanted).map(|route| message(route, RTM_NEWROUTE, work.to)).collect()
}

/// The way to one destination, as `ip route get` asks for it.
pub(super) fn one(work: &Work<'_>) -> Result<Vec<u8>, Fault> {
    let family = work.family();
    work.request.fixed::<FIXED>()?;
    let attributes = work.request.attributes(FIXED);
    if !matches!(family, V4 | V6) {
        return Err(Fault::new(Errno::OPNOTSUPP));
    }
    if attributes.find(RTA_IIF).is_some() {
        return Err(Fault::because(Errno::OPNOTSUPP, "Only what this stack sends is looked up"));
    }
    let destination = address_in(attributes.find(RTA_DST), family)?.unwrap_or_else(|| any(family));
    let scope = attributes.integer(RTA_OIF)?.filter(|index| *index != 0).map(InterfaceId::new);
    let seen = work.seen();
    if let Some(scope) = scope
        && !seen.interfaces.iter().any(|known| known.index == scope)
    {
        return Err(Fault::new(Errno::NODEV));
    }
    let (interface, next, source) = work.stack.run(|cx| cx.engine.way_to(destination, scope))?;
    let local = seen.interfaces.iter().any(|known| known.index == interface && known.is_loopback());
    let shown = Shown {
        destination: Cidr::host(destination),
        gateway: (next != destination && !local).then_some(next),
        interface: Some(interface),
        source: Some(source),
        metric: 0,
        table: if local { RT_TABLE_LOCAL } else { RT_TABLE_MAIN },
        protocol: 0,
        scope: RT_SCOPE_UNIVERSE,
        kind: if local { RTN_LOCAL } else { RTN_UNICAST },
        flags: RTM_F_CLONED,
    };
    Ok(message(&shown, RTM_NEWROUTE, work.to))
}

/// What a request says of a route.
#[derive(Clone, Copy, Debug)]
struct Said {
    family: u8,
    destination: Cidr,
    /// `None` for any.
    kind: Option<RouteKind>,
    gateway: Option<IpAddr>,
    interface: Option<u32>,
    metric: Option<u32>,
    table: u32,
    scope: u8,
}

fn said(work: &Work<'_>) -> Result<Said, Fault> {
    let [family, destination_len, source_len, _, table, _, scope, kind, ..] =
        *work.request.fixed::<FIXED>()?;
    let attributes = work.request.attributes(FIXED);
    if !matches!(family, V4 | V6) {
        return Err(Fault::new(Errno::OPNOTSUPP));
    }
    if source_len != 0 {
        return Err(Fault::because(Errno::INVAL, "Routes for some sources only are not supported"));
    }
    if attributes.find(RTA_MULTIPATH).is_some() {
        return Err(Fault::because(Errno::OPNOTSUPP, "Routes with several next hops are not supported"));
    }
    let address = address_in(attributes.find(RTA_DST), family)?.unwrap_or_else(|| any(family));
    let destination = Cidr::new(address, destination_len);
    let destination = destination.ok_or(Fault::because(Errno::INVAL, "Invalid prefix length"))?;
    if family == V4 && destination.network() != destination {
        return Err(Fault::because(Errno::INVAL, "Invalid prefix for given prefix length"));
    }
    let kind = match kind {
        RTN_UNSPEC => None,
        RTN_UNICAST => Some(RouteKind::Unicast),
        RTN_BLACKHOLE => Some(RouteKind::Blackhole),
        RTN_UNREACHABLE => Some(RouteKind::Unreachable),
        RTN_PROHIBIT => Some(RouteKind::Prohibit),
        // RTN_MAX.
        12.. => return Err(Fault::because(Errno::INVAL, "Invalid route type")),
        _ => return Err(Fault::because(Errno::OPNOTSUPP, "Routes of this type follow from the addresses")),
    };
    Ok(Said {
        family,
        destination: destination.network(),
        kind,
        gateway: address_in(attributes.find(RTA_GATEWAY), family)?,
        interface: attributes.integer(RTA_OIF)?.filter(|index| *index != 0),
        metric: attributes.integer(RTA_PRIORITY)?.filter(|metric| *metric != 0),
        table: attributes.integer(RTA_TABLE)?.unwrap_or_else(|| table.into()),
        scope,
    })
}

impl Said {
    /// Whether the request means that route.
    fn means(&self, route: &snapshot::Route) -> bool {
        route.destination == self.destination
            && self.kind.is_none_or(|kind| route.kind == kind)
            && self.gateway.is_none_or(|gateway| route.gateway == Some(gateway))
            && self.interface.is_none_or(|index| route.interface.index() == index)
            && self.metric.is_none_or(|metric| route.metric == metric)
            && (self.family == V6
                || self.scope == RT_SCOPE_NOWHERE
                || self.gateway.is_some()
                || (self.scope == RT_SCOPE_LINK)
                    == (route.gateway.is_none() && route.kind == RouteKind::Unicast)
                || self.kind.is_none())
    }
}

/// Adds a route, or replaces one.
pub(super) fn create(work: &Work<'_>) -> Result<(), Fault> {
    let said = said(work)?;
    let has = |flag| work.request.has(flag);
    let seen = work.seen();
    if !matches!(said.table, 0 | 254) {
        return Err(Fault::because(Errno::OPNOTSUPP, "There are no tables but main"));
    }
    let route = route(&said, &seen)?;
    check_extras(work, &seen, &route)?;
    let alike =
        |known: &&snapshot::Route| known.destination == route.destination && known.metric == route.metric;
    let first = seen.routes.iter().find(alike);
    if first.is_some() && has(NLM_F_EXCL) {
        return Err(Fault::new(Errno::EXIST));
    }
    if first.is_none() && !has(NLM_F_CREATE) && (said.family == V4 || has(NLM_F_REPLACE)) {
        return Err(Fault::new(Errno::NOENT));
    }
    if let Some(first) = first
        && has(NLM_F_REPLACE)
    {
        let old = plain(first);
        if old == route {
            return Ok(());
        }
        work.stack.take_route(&old)?;
        return work.stack.give_route(route).map_err(|error| {
            // What was there comes back.
            let _ = work.stack.give_route(old);
            added(error)
        });
    }
    if first.is_some() && said.family == V4 && !has(NLM_F_CREATE) && !has(NLM_F_APPEND) {
        return Err(Fault::new(Errno::EXIST));
    }
    work.stack.give_route(route).map_err(added)
}

fn added(error: Error) -> Fault {
    match error {
        Error::AddressInUse => Fault::new(Errno::EXIST),
        other => other.into(),
    }
}

/// The route that is to be, with the errnos of Linux for one that cannot be.
fn route(said: &Said, seen: &Snapshot) -> Result<Route, Fault> {
    let default = if said.family == V4 { 0 } else { METRIC_V6 };
    let metric = said.metric.unwrap_or(default);
    let kind = said.kind.unwrap_or(RouteKind::Unicast);
    if kind != RouteKind::Unicast {
        return Ok(Route { kind, metric, ..Route::on_link(said.destination, NOWHERE) });
    }
    let named = match said.interface {
        None => None,
        Some(index) => {
            let known = seen.interfaces.iter().find(|known| known.index.index() == index);
            Some(known.ok_or(Fault::new(Errno::NODEV))?)
        }
    };
    let interface = match (named, said.gateway) {
        (Some(named), _) => named.index,
        (None, None) => return Err(Fault::new(Errno::NODEV)),
        (None, Some(gateway)) => reaches(seen, gateway, None).ok_or_else(|| unreachable(said.family))?,
    };
    if let Some(gateway) = said.gateway
        && named.is_some()
        && reaches(seen, gateway, Some(interface)).is_none()
    {
        return Err(unreachable(said.family));
    }
    if seen.interfaces.iter().any(|known| known.index == interface && !known.enabled) {
        return Err(Fault::because(Errno::NETDOWN, "Device for nexthop is not up"));
    }
    // Linux looks for the gateway of IPv4 in the table main alone, where its own addresses are not.
    if said.family == V6 && seen.addresses.iter().any(|known| Some(known.cidr.address()) == said.gateway) {
        return Err(Fault::because(Errno::INVAL, "Nexthop has invalid gateway"));
    }
    Ok(Route { gateway: said.gateway, metric, ..Route::on_link(said.destination, interface) })
}

/// The interface whose link has a gateway.
fn reaches(seen: &Snapshot, gateway: IpAddr, on: Option<InterfaceId>) -> Option<InterfaceId> {
    let on_link = seen.routes.iter().filter(|route| {
        route.destination.contains(gateway) && on.is_none_or(|interface| route.interface == interface)
    });
    let best = on_link.into_iter().next()?;
    (best.gateway.is_none() && best.kind == RouteKind::Unicast).then_some(best.interface).or_else(|| {
        // A link-local gateway is on the link of whichever interface is named.
        on.filter(|_| matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local()))
    })
}

/// `fib_check_nh`, `ip6_route_check_nh`.
const fn unreachable(family: u8) -> Fault {
    if family == V4 {
        Fault::because(Errno::NETUNREACH, "Nexthop has invalid gateway")
    } else {
        Fault::new(Errno::HOSTUNREACH)
    }
}

/// What a route may say besides, and a stack decides itself.
fn check_extras(work: &Work<'_>, seen: &Snapshot, route: &Route) -> Result<(), Fault> {
    let attributes: Attributes<'_> = work.request.attributes(FIXED);
    if let Some(source) = address_in(attributes.find(RTA_PREFSRC), work.family())? {
        let own = |known: &snapshot::Address| known.cidr.address() == source;
        if !seen.addresses.iter().any(own) {
            return Err(Fault::because(Errno::INVAL, "Invalid prefsrc address"));
        }
        let one = seen.addresses.iter().filter(|known| {
            known.interface == route.interface && family_of(known.cidr.address()) == work.family()
        });
        if one.clone().count() != 1 || !one.into_iter().any(own) {
            return Err(Fault::because(Errno::OPNOTSUPP, "The stack chooses the source address itself"));
        }
    }
    if attributes.within(RTA_METRICS).each().next().is_some() {
        return Err(Fault::because(Errno::OPNOTSUPP, "Metrics of a route are not supported"));
    }
    Ok(())
}

/// Removes a route.
pub(super) fn delete(work: &Work<'_>) -> Result<(), Fault> {
    let said = said(work)?;
    let seen = work.seen();
    let found = seen.routes.iter().find(|known| matches!(said.table, 0 | 254) && said.means(known));
    Ok(work.stack.take_route(&plain(found.ok_or(Fault::new(Errno::SRCH))?))?)
}

fn plain(route: &snapshot::Route) -> Route {
    let &snapshot::Route { destination, gateway, interface, metric, kind, .. } = route;
    Route { gateway, metric, kind, ..Route::on_link(destination, interface) }
}

fn any(family: u8) -> IpAddr {
    if family == V4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// What is said of a route.
pub(super) fn message(route: &Shown, kind: u16, to: (u32, u32)) -> Vec<u8> {
    let address = route.destination.address();
    let mut fixed = vec![
        family_of(address),
        route.destination.prefix_len(),
        0,
        0,
        route.table,
        route.protocol,
        route.scope,
        route.kind,
    ];
    fixed.extend(route.flags.to_ne_bytes());
    let mut writer = Writer::new(kind, 0, to);
    writer.put(&fixed);
    writer.integer(RTA_TABLE, route.table.into());
    if route.destination.prefix_len() != 0 {
        writer.attribute(RTA_DST, &octets(address));
    }
    if route.metric != 0 {
        writer.integer(RTA_PRIORITY, route.metric);
    }
    if let Some(source) = route.source {
        writer.attribute(RTA_PREFSRC, &octets(source));
    }
    if let Some(gateway) = route.gateway {
        writer.attribute(RTA_GATEWAY, &octets(gateway));
    }
    if let Some(interface) = route.interface {
        writer.integer(RTA_OIF, interface.index());
    }
    if address.is_ipv6() {
        // struct rta_cacheinfo: nothing of it is kept.
        writer.attribute(RTA_CACHEINFO, &[0; 32]);
        writer.attribute(RTA_PREF, &[0]);
    }
    writer.finish()
}

/// The group that hears of it.
pub(super) fn is_v6(route: &Shown) -> bool {
    route.destination.address().is_ipv6()
}
