//! Routes: the longest prefix wins, then the lowest metric (RFC 1812 section 5.2.4.3).

use std::net::IpAddr;

use super::cidr::Cidr;
use crate::error::Error;

/// Names one interface of one stack. It is never used again for another interface of that stack.
///
/// Inside it is the place among the interfaces of its stack, which counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub(crate) u32);

impl InterfaceId {
    /// The loopback interface of every stack: the first, as on Linux.
    pub const LOOPBACK: Self = Self(0);

    /// The interface with this index, as `if_nametoindex(3)` has it: loopback is 1, the first link 2. No stack has one with
    /// index 0, which means none.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index.wrapping_sub(1))
    }

    /// The index.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0.wrapping_add(1)
    }

    /// The interface at a place among those of its stack.
    pub(crate) fn at(place: usize) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// That place.
    pub(crate) const fn place(self) -> usize {
        self.0 as usize
    }
}

/// Where packets for some destinations go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations. The table keeps it without host bits.
    pub destination: Cidr,
    /// Who forwards them; `None` if they are on the link.
    pub gateway: Option<IpAddr>,
    /// The interface that reaches them.
    pub interface: InterfaceId,
    /// Among prefixes of equal length, the lower is preferred.
    pub metric: u32,
    /// What becomes of packets.
    pub kind: RouteKind,
}

/// What becomes of packets on a route, as ip-route(8) has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// They are sent.
    #[default]
    Unicast,
    /// They are dropped without a word; a sender here hears `EINVAL`.
    Blackhole,
    /// The host is called unreachable; a sender here hears `EHOSTUNREACH`.
    Unreachable,
    /// That is called forbidden; a sender here hears `EACCES`.
    Prohibit,
}

impl std::fmt::Display for RouteKind {
    /// The name that ip-route(8) has for it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Unicast => "unicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
        })
    }
}

impl Route {
    /// A route to what is on the link of an interface.
    #[must_use]
    pub const fn on_link(destination: Cidr, interface: InterfaceId) -> Self {
        Self { destination, gateway: None, interface, metric: 0, kind: RouteKind::Unicast }
    }
}

/// The routes of a stack, both families.
///
/// They are kept in the order of preference, so that a lookup is a scan that ends at the first match.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    /// Interfaces that are down: their routes are not used.
    suspended: Vec<InterfaceId>,
}

impl RouteTable {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self { routes: Vec::new(), suspended: Vec::new() }
    }

    /// Adds a route; false if that very route is there already. Among equals the first added is used.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the gateway is of another family than the destination.
    pub fn add(&mut self, route: Route) -> Result<bool, Error> {
        let route = route.normalized();
        if route.gateway.is_some_and(|gateway| gateway.is_ipv4() != route.destination.address().is_ipv4()) {
            return Err(Error::Invalid);
        }
        if self.routes.contains(&route) {
            return Ok(false);
        }
        let place = self.routes.partition_point(|other| other.preference() <= route.preference());
        self.routes.insert(place, route);
        Ok(true)
    }

    /// Removes a route; false if that very route is not there.
    pub fn remove(&mut self, route: &Route) -> bool {
        let route = route.normalized();
        let Some(place) = self.routes.iter().position(|other| *other == route) else { return false };
        self.routes.remove(place);
        true
    }

    /// Removes every route of an interface.
    pub fn remove_interface(&mut self, interface: InterfaceId) {
        self.routes.retain(|route| route.interface != interface);
    }

    /// The route to `destination`: the longest prefix, then the lowest metric. `scope` leaves the routes
    /// of one interface only, as `SO_BINDTODEVICE` and link-local destinations want, and those that lead nowhere.
    #[must_use]
    pub fn lookup(&self, destination: IpAddr, scope: Option<InterfaceId>) -> Option<&Route> {
        self.routes.iter().find(|route| {
            scope.is_none_or(|interface| route.interface == interface || route.kind != RouteKind::Unicast)
                && route.destination.contains(destination)
                && !self.is_suspended(route)
        })
    }

    /// Whether the routes of an interface are used.
    pub fn suspend(&mut self, interface: InterfaceId, suspended: bool) {
        self.suspended.retain(|known| *known != interface);
        if suspended {
            self.suspended.push(interface);
        }
    }

    fn is_suspended(&self, route: &Route) -> bool {
        self.suspended.contains(&route.interface)
    }

    /// The routes in the order of preference.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}

impl Route {
    /// The order of the table: longest prefix first, then lowest metric.
    fn preference(&self) -> (u8, u32) {
        (u8::MAX - self.destination.prefix_len(), self.metric)
    }

    fn normalized(self) -> Self {
        Self { destination: self.destination.network(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn route(destination: &str, gateway: &str, interface: u32, metric: u32) -> Route {
        Route {
            destination: destination.parse().unwrap(),
            gateway: (!gateway.is_empty()).then(|| ip(gateway)),
            interface: InterfaceId::new(interface),
            metric,
            kind: RouteKind::Unicast,
        }
    }

    fn table(routes: &[Route]) -> RouteTable {
        let mut table = RouteTable::new();
        for route in routes {
            assert_eq!(table.add(*route), Ok(true));
        }
        table
    }

    fn via(table: &RouteTable, destination: &str) -> Option<u32> {
        table.lookup(ip(destination), None).map(|route| route.interface.index())
    }

    #[test]
    fn longest_prefix_wins_whatever_the_order_rfc_1812_5_2_4_3() {
        let routes = [
            route("0.0.0.0/0", "10.0.0.1", 1, 0),
            route("10.1.0.0/16", "10.0.0.9", 2, 900),
            route("10.1.2.0/24", "", 3, 1000),
            route("::/0", "fd00::1", 4, 0),
        ];
        let mut backwards = routes;
        backwards.reverse();
        for table in [table(&routes), table(&backwards)] {
            assert_eq!(via(&table, "10.1.2.3"), Some(3));
            assert_eq!(via(&table, "10.1.3.3"), Some(2));
            assert_eq!(via(&table, "8.8.8.8"), Some(1));
            assert_eq!(via(&table, "2001:db8::1"), Some(4));
        }
    }

    #[test]
    fn lowest_metric_then_first_added() {
        let table = table(&[
            route("0.0.0.0/0", "10.0.0.1", 1, 100),
            route("0.0.0.0/0", "10.0.0.2", 2, 50),
            route("0.0.0.0/0", "10.0.0.3", 3, 50),
        ]);
        assert_eq!(via(&table, "8.8.8.8"), Some(2));
    }

    #[test]
    fn scope_leaves_one_interface() {
        let table = table(&[route("10.0.0.0/24", "", 1, 0), route("0.0.0.0/0", "10.9.0.1", 2, 0)]);
        let scoped = |interface| table.lookup(ip("10.0.0.7"), Some(InterfaceId::new(interface))).copied();
        assert_eq!(scoped(1), Some(route("10.0.0.0/24", "", 1, 0)));
        assert_eq!(scoped(2), Some(route("0.0.0.0/0", "10.9.0.1", 2, 0)));
        assert_eq!(scoped(3), None);
    }

    #[test]
    fn no_route_is_none() {
        assert_eq!(via(&table(&[route("10.0.0.0/8", "", 1, 0)]), "11.0.0.1"), None);
        assert_eq!(via(&table(&[route("0.0.0.0/0", "10.0.0.1", 1, 0)]), "fd00::1"), None);
    }

    #[test]
    fn add_refuses_duplicates_and_mixed_families() {
        let mut table = table(&[route("10.0.0.0/24", "", 1, 0)]);
        assert_eq!(table.add(route("10.0.0.77/24", "", 1, 0)), Ok(false));
        assert_eq!(table.add(route("10.0.0.0/24", "", 2, 0)), Ok(true));
        assert_eq!(table.add(route("10.0.0.0/24", "fd00::1", 1, 0)), Err(Error::Invalid));
        assert_eq!(table.add(route("fd00::/64", "10.0.0.1", 1, 0)), Err(Error::Invalid));
        assert_eq!(table.iter().count(), 2);
    }

    #[test]
    fn remove_takes_one_or_an_interface() {
        let mut table = table(&[
            route("10.0.0.0/24", "", 1, 0),
            route("10.0.1.0/24", "", 1, 0),
            route("10.0.0.0/24", "", 2, 5),
        ]);
        assert!(table.remove(&route("10.0.0.0/24", "", 1, 0)));
        assert!(!table.remove(&route("10.0.0.0/24", "", 1, 0)));
        assert_eq!(via(&table, "10.0.0.1"), Some(2));
        table.remove_interface(InterfaceId::new(1));
        assert_eq!(via(&table, "10.0.1.1"), None);
        assert_eq!(via(&table, "10.0.0.1"), Some(2));
    }

    proptest! {
        /// The first match of the sorted table is the best of all matches.
        #[test]
        fn lookup_agrees_with_the_definition(
            routes in prop::collection::vec((any::<u32>(), 0u8..=32, 0u32..4, 0u32..3), 0..40),
            destination: u32,
        ) {
            let mut table = RouteTable::new();
            for (bits, prefix_len, interface, metric) in routes {
                // Near the destination, or nothing would ever match.
                let address = IpAddr::from((destination ^ (bits >> prefix_len.min(31))).to_be_bytes());
                let destination = Cidr::new(address, prefix_len).unwrap();
                let route = Route { metric, ..Route::on_link(destination, InterfaceId(interface)) };
                table.add(route).unwrap();
            }
            let destination = IpAddr::from(destination.to_be_bytes());
            let best = table
                .iter()
                .filter(|route| route.destination.contains(destination))
                .map(Route::preference)
                .min();
            prop_assert_eq!(table.lookup(destination, None).map(Route::preference), best);
        }
    }
}
