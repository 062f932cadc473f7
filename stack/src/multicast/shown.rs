//! The groups that are heard on an interface, as ip-maddress(8) shows them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::engine::Engine;
use crate::engine::interface::LOOPBACK;
use crate::engine::snapshot::Group;
use crate::net::route::InterfaceId;

/// RFC 1112 section 4, RFC 4291 section 2.7.1: every host is a member.
const ALL: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1))];

impl Engine {
    /// The groups of an interface in their order, each with the number of its members.
    pub(crate) fn shown_groups(&self, interface: InterfaceId) -> Vec<Group> {
        let of_all = ALL.into_iter().filter(|_| interface != LOOPBACK).map(|group| (group, 1));
        let mut users: BTreeMap<IpAddr, usize> = of_all.collect();
        for (group, count) in self.multicast.heard_on(interface) {
            *users.entry(group).or_default() += count;
        }
        users.into_iter().map(|(group, users)| Group { interface, group, users }).collect()
    }
}
