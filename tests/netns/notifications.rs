//! What a netlink socket hears when the network changes a stack: addresses and routes from routers and servers.

use std::os::fd::OwnedFd;

use anyhow::{Result, ensure};
use ioth::{
    AF_NETLINK, MSG_DONTWAIT, NETLINK_ADD_MEMBERSHIP, NETLINK_ROUTE, SOCK_CLOEXEC, SOCK_RAW, SOL_NETLINK,
    Stack,
};
use ioth_tests::netns::{Net, Test};
use libc::{
    RTM_NEWADDR, RTM_NEWNEIGH, RTM_NEWROUTE, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR,
    RTNLGRP_IPV6_ROUTE, RTNLGRP_NEIGH,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{advertisements, leases};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![what_a_router_says_is_heard, what_a_server_lends_is_heard]
}

/// A socket in these groups.
fn watcher(stack: &Stack, groups: &[u32]) -> Result<OwnedFd> {
    let fd = ioth::msocket(stack, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)?;
    ioth::any::bind(&fd, &ioth::SockAddr::Netlink { port: 0, groups: 0 })?;
    for group in groups {
        ioth::setsockopt_int(&fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, i32::try_from(*group)?)?;
    }
    Ok(fd)
}

/// Waits for a notification of that kind with these bytes in it, and without a cause.
fn hears(fd: &OwnedFd, kind: u16, part: &[u8]) -> Result<()> {
    let mut room = [0; 8192];
    loop {
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit))?;
        ensure!(ready == 1, "no notification {kind} of {part:x?}");
        let len = ioth::recv(fd, &mut room, MSG_DONTWAIT)?;
        let message = &room[..len];
        if message[4..6] == kind.to_ne_bytes()
            && message[8..16] == [0; 8]
            && message[16..].windows(part.len()).any(|bytes| bytes == part)
        {
            return Ok(());
        }
    }
}

fn what_a_router_says_is_heard(home: &Net) -> Result<()> {
    let radvd = advertisements::Router::start(home, "heard")?;
    let stack = Stack::new("eth0:tap://t0", "")?;
    let addresses = watcher(&stack, &[RTNLGRP_IPV6_IFADDR])?;
    let routes = watcher(&stack, &[RTNLGRP_IPV6_ROUTE])?;
    let neighbours = watcher(&stack, &[RTNLGRP_NEIGH])?;
    stack.configure("slaac")?;
    // 2001:db8:1::/64, of 2001:db8:2::/48, and the router itself.
    hears(&addresses, RTM_NEWADDR, &[0x20, 1, 0xd, 0xb8, 0, 1, 0, 0])?;
    hears(&routes, RTM_NEWROUTE, &[0x20, 1, 0xd, 0xb8, 0, 2, 0, 0])?;
    hears(&neighbours, RTM_NEWNEIGH, &[0xfe, 0x80, 0, 0, 0, 0, 0, 0])?;
    radvd.end()
}

fn what_a_server_lends_is_heard(home: &Net) -> Result<()> {
    leases::network(home)?;
    let (_server, _leases) = leases::dnsmasq(
        home,
        "heard",
        "--dhcp-range=10.9.0.50,10.9.0.50,2m --dhcp-option=option:router,10.9.0.1",
    )?;
    let stack = Stack::new("eth0:tap://t0", "")?;
    let addresses = watcher(&stack, &[RTNLGRP_IPV4_IFADDR])?;
    let routes = watcher(&stack, &[RTNLGRP_IPV4_ROUTE])?;
    stack.configure("dhcp")?;
    hears(&addresses, RTM_NEWADDR, &[10, 9, 0, 50])?;
    hears(&routes, RTM_NEWROUTE, &[10, 9, 0, 1])
}
