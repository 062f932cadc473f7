//! What the groups of rtnetlink(7) hear: the difference between two looks at the configuration, whoever changed it.

use super::address::{self, family_of};
use super::constants::{
    RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH,
    RTM_NEWROUTE, V4,
};
use super::{link, neighbour, route};
use ioth_stack::Instant;
use ioth_stack::snapshot::{Address, Interface, Neighbour, Snapshot, Traffic};
use libc::{
    RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK,
    RTNLGRP_NEIGH,
};

/// One notification.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// `RTNLGRP_LINK` and the like.
    pub(super) group: u32,
    pub(super) message: Vec<u8>,
}

/// Notifications come from the stack itself.
const FROM: (u32, u32) = (0, 0);

/// What became of the one on the way to the other: what is gone first, as far as it hangs on something that is gone.
pub(super) fn between(old: &Snapshot, new: &Snapshot) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut say = |group, message| notices.push(Notice { group, message });
    let (old_routes, new_routes) = (route::shown(old), route::shown(new));
    // Linux is silent about routes of IPv4 that go with their interface.
    let down = |route: &&route::Shown| {
        let own = |known: &&Interface| Some(known.index) == route.interface() && !known.enabled;
        !route::is_v6(route) && new.interfaces.iter().any(|known| own(&known))
    };
    let gone = old_routes.iter().filter(|route| !new_routes.contains(route) && !down(route));
    for gone in gone {
        say(route_group(gone), route::message(gone, RTM_DELROUTE, FROM));
    }
    for gone in &old.neighbours {
        if !new
            .neighbours
            .iter()
            .any(|known| (known.interface, known.address) == (gone.interface, gone.address))
        {
            say(RTNLGRP_NEIGH, neighbour::message(gone, RTM_DELNEIGH, FROM));
        }
    }
    for gone in &old.addresses {
        if !new.addresses.iter().any(|known| same_address(known, gone)) {
            say(address_group(gone), address::message(old, gone, RTM_DELADDR, FROM));
        }
    }
    for gone in &old.interfaces {
        if !new.interfaces.iter().any(|known| known.index == gone.index) {
            say(RTNLGRP_LINK, link::message(gone, RTM_DELLINK, FROM));
        }
    }
    for known in &new.interfaces {
        if !old.interfaces.iter().any(|other| like_link(other) == like_link(known)) {
            say(RTNLGRP_LINK, link::message(known, RTM_NEWLINK, FROM));
        }
    }
    for known in &new.addresses {
        let unchanged = |other: &Address| {
            same_address(other, known)
                && other.standing == known.standing
                && ends(old, other) == ends(new, known)
        };
        if !old.addresses.iter().any(unchanged) {
            say(address_group(known), address::message(new, known, RTM_NEWADDR, FROM));
        }
    }
    for known in new_routes.iter().filter(|route| !old_routes.contains(route)) {
        say(route_group(known), route::message(known, RTM_NEWROUTE, FROM));
    }
    for known in &new.neighbours {
        let unchanged = |other: &Neighbour| like_neighbour(other) == like_neighbour(known);
        if !old.neighbours.iter().any(unchanged) {
            say(RTNLGRP_NEIGH, neighbour::message(known, RTM_NEWNEIGH, FROM));
        }
    }
    notices
}

fn same_address(one: &Address, other: &Address) -> bool {
    one.interface == other.interface && one.cidr == other.cidr
}

/// When its lifetimes end, which does not change while time passes.
fn ends(seen: &Snapshot, known: &Address) -> (Option<Instant>, Option<Instant>) {
    (known.preferred_for.map(|left| seen.at + left), known.valid_for.map(|left| seen.at + left))
}

/// An interface without its traffic.
fn like_link(known: &Interface) -> Interface {
    let mut like = known.clone();
    like.traffic = Traffic::default();
    like
}

const fn like_neighbour(known: &Neighbour) -> Neighbour {
    let mut like = *known;
    like.waiting = 0;
    like
}

fn address_group(known: &Address) -> u32 {
    if family_of(known.cidr.address()) == V4 { RTNLGRP_IPV4_IFADDR } else { RTNLGRP_IPV6_IFADDR }
}

fn route_group(route: &route::Shown) -> u32 {
    if route::is_v6(route) { RTNLGRP_IPV6_ROUTE } else { RTNLGRP_IPV4_ROUTE }
}

/// The group that a notification came from, by what it says; 0 for what answers a request.
pub(super) fn group_of(message: &[u8]) -> u32 {
    let answers = message.get(8..16).is_none_or(|numbers| numbers != [0; 8]);
    if answers {
        return 0;
    }
    let v4 = message.get(16) == Some(&V4);
    match super::codec::half(message, 4) {
        RTM_NEWLINK | RTM_DELLINK => RTNLGRP_LINK,
        RTM_NEWADDR | RTM_DELADDR if v4 => RTNLGRP_IPV4_IFADDR,
        RTM_NEWADDR | RTM_DELADDR => RTNLGRP_IPV6_IFADDR,
        RTM_NEWROUTE | RTM_DELROUTE if v4 => RTNLGRP_IPV4_ROUTE,
        RTM_NEWROUTE | RTM_DELROUTE => RTNLGRP_IPV6_ROUTE,
        RTM_NEWNEIGH | RTM_DELNEIGH => RTNLGRP_NEIGH,
        _ => 0,
    }
}
