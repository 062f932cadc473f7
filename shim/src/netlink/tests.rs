//! Netlink sockets on stacks of switches: what the configuration and the groups have of it.

use super::codec::{Writer, half, requests, word};
use super::constants::{
    IFA_LOCAL, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO, NLM_F_ACK, NLM_F_CREATE,
    NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_ERROR, RTA_DST, RTM_DELADDR, RTM_DELLINK, RTM_GETROUTE,
    RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE, RTM_SETLINK, RTN_BLACKHOLE,
};
use crate::net::UdpSocket;
use crate::sys::constants::{
    AF_NETLINK, MSG_DONTWAIT, NETLINK_ADD_MEMBERSHIP, NETLINK_ROUTE, SO_RCVBUF, SOCK_RAW, SOL_NETLINK,
    SOL_SOCKET,
};
use crate::{SockAddr, Stack, any};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

fn stack(name: &str, config: &str) -> Stack {
    Stack::new(&format!("eth0:switch://{name}"), config).expect("a stack")
}

fn socket(stack: &Stack) -> OwnedFd {
    crate::msocket(stack, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE).expect("a socket")
}

fn message(kind: u16, flags: i32, fixed: &[u8], fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new(kind, flags | NLM_F_REQUEST | NLM_F_ACK, (1, 0));
    writer.put(fixed);
    fill(&mut writer);
    writer.finish()
}

/// Gives the errno that a request was answered.
fn ask(fd: &OwnedFd, bytes: &[u8]) -> u32 {
    crate::send(fd, bytes, 0).expect("sent");
    acknowledged(fd, MSG_DONTWAIT)
}

fn acknowledged(fd: &OwnedFd, flags: i32) -> u32 {
    let mut room = [0; 8192];
    let len = crate::recv(fd, &mut room, flags).expect("an answer");
    assert_eq!(i32::from(half(&room[..len], 4)), NLMSG_ERROR);
    0u32.wrapping_sub(word(&room, 16))
}

/// A request about 10.0.0.N/24 on an interface.
fn address(kind: u16, index: u8, last: u8) -> Vec<u8> {
    message(kind, NLM_F_CREATE | NLM_F_EXCL, &[2, 24, 0, 0, index, 0, 0, 0], |writer| {
        writer.attribute(IFA_LOCAL, &[10, 0, 0, last]);
    })
}

fn link(kind: u16, index: u8, up: Option<bool>, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let (flags, mask) = up.map_or((0, 0), |up| (u8::from(up), 1));
    let fixed = [0, 0, 0, 0, index, 0, 0, 0, flags, 0, 0, 0, mask, 0, 0, 0];
    message(kind, NLM_F_CREATE, &fixed, fill)
}

fn has(stack: &Stack, address: &str) -> bool {
    let address: std::net::IpAddr = address.parse().expect("an address");
    stack.snapshot().expect("a snapshot").addresses.iter().any(|known| known.cidr.address() == address)
}

fn route(third: u8) -> Vec<u8> {
    let fixed = [2, 24, 0, 0, 254, 3, 0, RTN_BLACKHOLE, 0, 0, 0, 0];
    message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &fixed, |writer| {
        writer.attribute(RTA_DST, &[10, 77, third, 0]);
    })
}

#[test]
fn the_configuration_keeps_in_step() {
    let stack = stack("netlink-step", "ip=10.0.0.1/24");
    let fd = socket(&stack);
    // What netlink adds, configure removes, and can add again.
    assert_eq!(ask(&fd, &address(RTM_NEWADDR, 2, 2)), 0);
    assert!(has(&stack, "10.0.0.2"));
    stack.configure("-ip=10.0.0.2/24").expect("it is known");
    assert!(!has(&stack, "10.0.0.2"));
    stack.configure("ip=10.0.0.2/24").expect("it is gone");
    // And the reverse, of the interface without a name, too.
    assert_eq!(ask(&fd, &address(RTM_DELADDR, 2, 1)), 0);
    assert_eq!(ask(&fd, &address(RTM_DELADDR, 2, 2)), 0);
    assert!(!has(&stack, "10.0.0.1") && !has(&stack, "10.0.0.2"));
    stack.configure("ip=10.0.0.1/24").expect("it is gone");
    assert!(has(&stack, "10.0.0.1"));
    assert_eq!(ask(&fd, &route(1)), 0);
    stack.configure("-route=10.77.1.0/24@blackhole").expect("it is known");
    assert_eq!(ask(&fd, &route(1)), 0);
    let twice = stack.configure("route=10.77.1.0/24@blackhole");
    assert!(twice.is_ok(), "{twice:?}");
}

#[test]
fn an_interface_that_is_down_carries_nothing() {
    let red = stack("netlink-down", "ip=10.0.0.1/24");
    let blue = stack("netlink-down", "ip=10.0.0.2/24");
    let sender = UdpSocket::bind(&red, "10.0.0.1:7").expect("bound");
    let receiver = UdpSocket::bind(&blue, "10.0.0.2:7").expect("bound");
    let fd = socket(&red);
    assert_eq!(ask(&fd, &link(RTM_SETLINK, 2, Some(false), |_| ())), 0);
    let refused = sender.send_to(b"lost", "10.0.0.2:7").expect_err("no route");
    assert_eq!(refused.raw_os_error(), Some(libc::ENETUNREACH));
    assert!(has(&red, "10.0.0.1"));
    assert_eq!(ask(&fd, &link(RTM_SETLINK, 2, Some(true), |_| ())), 0);
    sender.send_to(b"found", "10.0.0.2:7").expect("a route");
    let mut room = [0; 9];
    assert_eq!(receiver.recv_from(&mut room).expect("a datagram").0, 5);
    // Down on the other side: what comes in is not taken.
    let other = socket(&blue);
    assert_eq!(ask(&other, &link(RTM_SETLINK, 2, Some(false), |_| ())), 0);
    let traffic = || blue.snapshot().expect("a snapshot").interfaces[1].traffic;
    let before = traffic();
    sender.send_to(b"lost", "10.0.0.2:7").expect("sent");
    // A call that finds nothing takes in first what has arrived.
    assert!(crate::recv(&other, &mut room, MSG_DONTWAIT).is_err());
    assert_eq!(traffic(), before);
    assert_eq!(ask(&other, &link(RTM_SETLINK, 2, Some(true), |_| ())), 0);
    sender.send_to(b"again", "10.0.0.2:7").expect("sent");
    let (len, _) = receiver.recv_from(&mut room).expect("a datagram");
    assert_eq!(&room[..len], b"again");
}

#[test]
fn a_neighbour_that_the_network_changes_is_heard_of() {
    let red = stack("netlink-neighbour", "ip=10.0.0.1/24");
    let blue = stack("netlink-neighbour", "ip=10.0.0.2/24");
    let fd = socket(&red);
    any::bind(&fd, &SockAddr::Netlink { port: 0, groups: 0x4 }).expect("bound");
    let sender = UdpSocket::bind(&red, "10.0.0.1:7").expect("bound");
    let receiver = UdpSocket::bind(&blue, "10.0.0.2:7").expect("bound");
    sender.send_to(b"word", "10.0.0.2:7").expect("sent");
    assert_eq!(receiver.recv_from(&mut [0; 9]).expect("a datagram").0, 4);
    let mut room = [0; 500];
    let (len, from) = any::recvfrom(&fd, &mut room, 0).expect("a notification");
    assert_eq!(from, Some(SockAddr::Netlink { port: 0, groups: 0x4 }));
    // RTM_NEWNEIGH without a cause, of 10.0.0.2, which has answered.
    assert_eq!((half(&room, 4), word(&room, 8), word(&room, 12)), (28, 0, 0));
    assert!(room[16..len].windows(4).any(|bytes| bytes == [10, 0, 0, 2]));
    assert_eq!(half(&room, 24), libc::NUD_REACHABLE);
}

#[test]
fn a_link_is_added_and_removed() {
    let red = stack("netlink-add", "");
    let blue = stack("netlink-second", "ip=10.0.0.2/24");
    let fd = socket(&red);
    let new = link(RTM_NEWLINK, 0, Some(true), |writer| {
        writer.text(IFLA_IFNAME, "lan");
        writer.nested(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "vde");
            info.nested(IFLA_INFO_DATA, |data| data.text(1, "switch://netlink-second"));
        });
    });
    assert_eq!(ask(&fd, &new), 0);
    assert_eq!(ask(&fd, &address(RTM_NEWADDR, 3, 1)), 0);
    let receiver = UdpSocket::bind(&blue, "10.0.0.2:7").expect("bound");
    UdpSocket::bind(&red, "10.0.0.1:0").expect("bound").send_to(b"hello", "10.0.0.2:7").expect("sent");
    assert_eq!(receiver.recv_from(&mut [0; 9]).expect("a datagram").0, 5);
    assert_eq!(ask(&fd, &link(RTM_DELLINK, 3, None, |_| ())), 0);
    assert_eq!(ask(&fd, &link(RTM_DELLINK, 3, None, |_| ())), libc::ENODEV.cast_unsigned());
    let wrong = link(RTM_NEWLINK, 0, Some(true), |writer| {
        writer.nested(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "vde");
            info.nested(IFLA_INFO_DATA, |data| data.text(1, "nothing://there"));
        });
    });
    assert_eq!(ask(&fd, &wrong), libc::EINVAL.cast_unsigned());
}

#[test]
fn plain_calls_are_answered_by_the_driver() {
    let stack = stack("netlink-plain", "");
    let fd = socket(&stack);
    rustix::io::write(&fd, &address(RTM_NEWADDR, 2, 3)).expect("written");
    let mut room = [0; 4096];
    let len = rustix::io::read(&fd, &mut room).expect("an answer");
    assert_eq!((len, word(&room, 16)), (36, 0));
    assert!(has(&stack, "10.0.0.3"));
    // One that the driver is to answer although the descriptor is closed at once.
    let mut watcher = PollFd::new(&fd, PollFlags::IN);
    let second = socket(&stack);
    rustix::io::write(&second, &address(RTM_NEWADDR, 2, 4)).expect("written");
    crate::close(second).expect("closed");
    let _ = poll(std::slice::from_mut(&mut watcher), Some(&Timespec::default()));
    while !has(&stack, "10.0.0.4") {
        std::thread::yield_now();
    }
}

#[test]
fn groups_hear_whatever_changes_and_what_they_lose() {
    let stack = stack("netlink-groups", "");
    let fd = socket(&stack);
    any::bind(&fd, &SockAddr::Netlink { port: 0, groups: 0x10 }).expect("bound");
    let quiet = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec::default()));
    assert_eq!(quiet, Ok(0));
    stack.configure("ip=10.0.0.9/24").expect("configured");
    let mut polled = [PollFd::new(&fd, PollFlags::IN)];
    assert_eq!(poll(&mut polled, None), Ok(1));
    let mut room = [0; 4096];
    let (len, from) = any::recvfrom(&fd, &mut room, 0).expect("a notification");
    assert_eq!(from, Some(SockAddr::Netlink { port: 0, groups: 0x10 }));
    assert_eq!(half(&room[..len], 4), RTM_NEWADDR);
    // With little room, most are lost, which is said once.
    let group = i32::try_from(libc::RTNLGRP_IPV4_ROUTE).expect("small");
    crate::setsockopt_int(&fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group).expect("joined");
    crate::setsockopt_int(&fd, SOL_SOCKET, SO_RCVBUF, 1).expect("set");
    let other = socket(&stack);
    for third in 0..100 {
        assert_eq!(ask(&other, &route(third)), 0);
    }
    let lost = crate::recv(&fd, &mut room, MSG_DONTWAIT).expect_err("an overflow");
    assert_eq!(lost.raw_os_error(), Some(Errno::NOBUFS.raw_os_error()));
    let mut heard = 0;
    while crate::recv(&fd, &mut room, MSG_DONTWAIT).is_ok() {
        heard += 1;
    }
    assert!((1..100).contains(&heard), "{heard}");
}

#[test]
fn a_long_dump_waits_for_its_reader() {
    let stack = stack("netlink-long", "");
    let fd = socket(&stack);
    let other = socket(&stack);
    for second in 0..40u8 {
        let routes: Vec<String> =
            (0..250).map(|third| format!("route=10.{second}.{third}.0/24@blackhole")).collect();
        stack.configure(&routes.join(",")).expect("routes");
    }
    let dump = message(RTM_GETROUTE, NLM_F_DUMP, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], |_| ());
    crate::send(&fd, &dump, 0).expect("sent");
    assert_eq!(ask(&other, &address(RTM_NEWADDR, 2, 5)), 0);
    let (mut routes, mut room) = (0, vec![0; 1 << 16]);
    // Plain reads: the driver has to bring the rest.
    loop {
        let len = rustix::io::read(&fd, &mut room).expect("a part");
        let kinds: Vec<_> = requests(&room[..len]).map(|message| message.kind).collect();
        routes += kinds.iter().filter(|kind| **kind == RTM_NEWROUTE).count();
        if kinds.contains(&3) {
            break;
        }
    }
    assert!(routes >= 10_000, "{routes}");
}
