//! What the groups of rtnetlink(7) hear: the difference between two looks at the configuration, whoever changed it.

use super::address::{self, family_of};
use super::codec::{add_flags, half};
use super::constants::{
    NLM_F_CREATE, NLM_F_MULTI, RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELROUTE, RTM_NEWADDR,
    RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWROUTE, V4,
};
use super::{link, neighbour, route};
use ioth_stack::Instant;
use ioth_stack::net::neighbour::State;
use ioth_stack::snapshot::{Address, Interface, Neighbour, Snapshot, Traffic};
use libc::{
    RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK,
    RTNLGRP_NEIGH,
};
use std::cell::Cell;

/// One notification.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// `RTNLGRP_LINK` and the like.
    pub(super) group: u32,
    pub(super) message: Vec<u8>,
}

/// Notifications come from the stack itself, unless a request is their cause.
const FROM: (u32, u32) = (0, 0);

thread_local! {
    /// Sequence number and port of the request that this thread works on, which holds the stack's lock when others are told.
    static CAUSE: Cell<(u32, u32)> = const { Cell::new(FROM) };
}

/// Does what a request asks for; what others are told of it has its sequence number and port.
pub(super) fn caused<R>(by: (u32, u32), f: impl FnOnce() -> R) -> R {
    let before = CAUSE.replace(by);
    let result = f();
    CAUSE.set(before);
    result
}

/// The numbers and flags of what is said of a route: those that follow from addresses have no request (`fib_magic`).
fn of_route(route: &route::Shown) -> ((u32, u32), i32) {
    if route.follows() || CAUSE.get() == FROM { (FROM, 0) } else { (CAUSE.get(), CREATED) }
}

/// `inet6_ifa_notify` has no request to name.
fn of_address(known: &Address) -> (u32, u32) {
    if family_of(known.cidr.address()) == V4 { CAUSE.get() } else { FROM }
}

/// What `rtmsg_fib` says of a route that a request has added.
const CREATED: i32 = NLM_F_CREATE;

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
        say(route_group(gone), route::message(gone, RTM_DELROUTE, of_route(gone).0));
    }
    for gone in &old.neighbours {
        if !new
            .neighbours
            .iter()
            .any(|known| (known.interface, known.address) == (gone.interface, gone.address))
        {
            say(RTNLGRP_NEIGH, neighbour::message(gone, RTM_DELNEIGH, (0, CAUSE.get().1)));
        }
    }
    for gone in &old.addresses {
        if !new.addresses.iter().any(|known| same_address(known, gone)) {
            say(address_group(gone), address::message(old, gone, RTM_DELADDR, of_address(gone)));
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
            say(address_group(known), address::message(new, known, RTM_NEWADDR, of_address(known)));
        }
    }
    for known in new_routes.iter().filter(|route| !old_routes.contains(route)) {
        let (from, flags) = of_route(known);
        let mut message = route::message(known, RTM_NEWROUTE, from);
        add_flags(&mut message, flags);
        say(route_group(known), message);
    }
    for known in &new.neighbours {
        let unchanged = |other: &Neighbour| like_neighbour(other) == like_neighbour(known);
        // As Linux: that one is asked for, or about to be, is not said.
        let said = !matches!(known.state, State::Incomplete | State::Delay);
        if said && !old.neighbours.iter().any(unchanged) {
            say(RTNLGRP_NEIGH, neighbour::message(known, RTM_NEWNEIGH, (0, CAUSE.get().1)));
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
    let Some(numbers) = message.get(8..16) else { return 0 };
    let (kind, flags) = (half(message, 4), i32::from(half(message, 6)));
    let v4 = message.get(16) == Some(&V4);
    // Answers have numbers. So has what a request has caused, but by it one can be told from an answer.
    let caused = match kind {
        RTM_NEWADDR => v4,
        RTM_NEWROUTE => flags & CREATED != 0,
        RTM_NEWNEIGH => numbers[..4] == [0; 4],
        RTM_DELADDR | RTM_DELROUTE | RTM_DELNEIGH => true,
        _ => false,
    };
    if flags & NLM_F_MULTI != 0 || (numbers != [0; 8] && !caused) {
        return 0;
    }
    match kind {
        RTM_NEWLINK | RTM_DELLINK => RTNLGRP_LINK,
        RTM_NEWADDR | RTM_DELADDR if v4 => RTNLGRP_IPV4_IFADDR,
        RTM_NEWADDR | RTM_DELADDR => RTNLGRP_IPV6_IFADDR,
        RTM_NEWROUTE | RTM_DELROUTE if v4 => RTNLGRP_IPV4_ROUTE,
        RTM_NEWROUTE | RTM_DELROUTE => RTNLGRP_IPV6_ROUTE,
        RTM_NEWNEIGH | RTM_DELNEIGH => RTNLGRP_NEIGH,
        _ => 0,
    }
}
