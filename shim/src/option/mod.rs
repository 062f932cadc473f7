//! Socket options, one file per level. What a socket of ours shows comes from its own table, never
//! from the pair behind its descriptor.
//!
//! | level | option | |
//! |---|---|---|
//! | `SOL_SOCKET` | `SO_REUSEADDR`, `SO_REUSEPORT`, `SO_BROADCAST`, `SO_RCVBUF`, `SO_SNDBUF`, `SO_RCVTIMEO`, `SO_SNDTIMEO` | has effect |
//! | | `SO_TYPE`, `SO_DOMAIN`, `SO_PROTOCOL`, `SO_ACCEPTCONN`, `SO_ERROR` | to be read |
//! | | `SO_LINGER` | on with 0 seconds: close sends a reset; with more: close waits for the peer so long |
//! | | `SO_KEEPALIVE`, `SO_OOBINLINE` | has effect |
//! | | `SO_TIMESTAMP`, `SO_TIMESTAMPNS`, `SO_RXQ_OVFL` | has effect on datagrams, see [`Control`](crate::Control) |
//! | `IPPROTO_UDP` | `UDP_SEGMENT` | has effect: what is sent is cut into datagrams |
//! | `IPPROTO_IP` | `IP_TTL`, `IP_TOS` | has effect; TCP keeps the bits of ECN to itself |
//! | | `IP_MTU` | to be read, of what is connected |
//! | | `IP_MTU_DISCOVER`, `IP_RECVERR` | has effect on datagrams |
//! | | `IP_RECVTTL`, `IP_RECVTOS`, `IP_PKTINFO` | has effect on datagrams, see [`Control`](crate::Control) |
//! | | `IP_MULTICAST_TTL`, `IP_MULTICAST_LOOP`, `IP_MULTICAST_IF`, `IP_MULTICAST_ALL` | has effect on datagrams |
//! | | `IP_ADD_MEMBERSHIP`, `IP_DROP_MEMBERSHIP`, `IP_ADD_SOURCE_MEMBERSHIP`, `IP_DROP_SOURCE_MEMBERSHIP`, `IP_BLOCK_SOURCE`, `IP_UNBLOCK_SOURCE` | to be set, on datagram sockets |
//! | both | `MCAST_JOIN_GROUP`, `MCAST_LEAVE_GROUP`, `MCAST_JOIN_SOURCE_GROUP`, `MCAST_LEAVE_SOURCE_GROUP`, `MCAST_BLOCK_SOURCE`, `MCAST_UNBLOCK_SOURCE` | to be set, on datagram sockets |
//! | `IPPROTO_TCP` | `TCP_NODELAY`, `TCP_CORK`, `TCP_QUICKACK` | has effect |
//! | | `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT`, `TCP_USER_TIMEOUT` | has effect |
//! | | `TCP_SYNCNT`, `TCP_DEFER_ACCEPT`, `TCP_LINGER2` | has effect |
//! | | `TCP_MAXSEG` | has effect on connections that are made later, as on Linux; shows what holds |
//! | | `TCP_CONGESTION` | has effect: "cubic" or "reno" |
//! | `IPPROTO_IPV6` | `IPV6_V6ONLY` | has effect |
//! | | `IPV6_UNICAST_HOPS`, `IPV6_TCLASS` | has effect; TCP keeps the bits of ECN to itself |
//! | | `IPV6_MTU_DISCOVER`, `IPV6_DONTFRAG`, `IPV6_RECVERR`, `IPV6_MTU` | has effect on datagrams; the last shows the path's |
//! | | `IPV6_RECVHOPLIMIT`, `IPV6_RECVTCLASS`, `IPV6_RECVPKTINFO` | has effect on datagrams, see [`Control`](crate::Control) |
//! | | `IPV6_MULTICAST_HOPS`, `IPV6_MULTICAST_LOOP`, `IPV6_MULTICAST_IF`, `IPV6_MULTICAST_ALL` | has effect on datagrams |
//! | | `IPV6_ADD_MEMBERSHIP`, `IPV6_DROP_MEMBERSHIP` | to be set, on datagram sockets |
//! | `SOL_NETLINK` | `NETLINK_ADD_MEMBERSHIP`, `NETLINK_DROP_MEMBERSHIP`, `NETLINK_LIST_MEMBERSHIPS`, `NETLINK_EXT_ACK`, `NETLINK_CAP_ACK`, `NETLINK_GET_STRICT_CHK`, `NETLINK_NO_ENOBUFS` | has effect |
//! | any other | | `ENOPROTOOPT`; reading at a level that the socket does not have: `EOPNOTSUPP` for IPv4 |
//!
//! The rings of a connection grow by themselves, to [`MAX_BUFFER`] at most, unless their size was set.
//!
//! As on Linux, `SO_RCVBUF` and `SO_SNDBUF` show twice what was set, within bounds: at least 2304 and
//! 4608, at most twice [`MAX_BUFFER`] (the kernel's bound is the sysctl `net.core.rmem_max`).

mod ip;
mod ipv6;
mod multicast;
mod settings;
mod socket;
mod tcp;
mod udp;

pub(crate) use settings::{Flag, IpNumber, Number, Settings};
pub use socket::MAX_BUFFER;

use crate::errno::fail;
use crate::netlink;
use crate::state::Shared;
use crate::sys::constants::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, SOL_SOCKET};
use crate::sys::option as raw;
use crate::table::{Found, Socket};
use ioth_stack::{EndpointId, Engine, Family, Kind, Options};
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;

/// getsockopt(2) on whatever the descriptor is.
pub(crate) fn read(
    found: &Found,
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &mut [u8],
) -> io::Result<usize> {
    let (socket, shared) = match found {
        Found::Kernel => return raw::read(fd, level, name, value),
        Found::Netlink(socket) => return netlink::read(socket, fd, level, name, value),
        Found::Ours(socket) => (Some(&**socket), &*socket.shared),
        Found::Plain(shared) => (None, &**shared),
    };
    let target = Target { socket, shared, fd };
    match level {
        SOL_SOCKET => socket::read(&target, name, value),
        IPPROTO_TCP if shared.kind == Kind::Stream => tcp::read(&target, name, value),
        IPPROTO_IP => ip::read(&target, name, value),
        IPPROTO_IPV6 if shared.family == Family::V6 => ipv6::read(&target, name, value),
        IPPROTO_UDP if shared.kind == Kind::Datagram => udp::read(&target, name, value),
        IPPROTO_UDP if shared.kind == Kind::Echo => fail(Errno::NOPROTOOPT),
        // As Linux: reading at a level that an IPv4 socket does not have is another error.
        _ if shared.family == Family::V4 => fail(Errno::OPNOTSUPP),
        _ => fail(Errno::NOPROTOOPT),
    }
}

/// setsockopt(2) on whatever the descriptor is.
pub(crate) fn write(
    found: &Found,
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &[u8],
) -> io::Result<()> {
    let (socket, shared) = match found {
        Found::Kernel => return raw::write(fd, level, name, value),
        Found::Netlink(socket) => return netlink::write(socket, fd, level, name, value),
        Found::Ours(socket) => (Some(&**socket), &*socket.shared),
        Found::Plain(shared) => (None, &**shared),
    };
    let target = Target { socket, shared, fd };
    match level {
        SOL_SOCKET => socket::write(&target, name, value),
        IPPROTO_TCP if shared.kind == Kind::Stream => tcp::write(&target, name, value),
        IPPROTO_UDP if shared.kind == Kind::Datagram => udp::write(&target, name, value),
        IPPROTO_IP => ip::write(&target, name, value),
        IPPROTO_IPV6 if shared.family == Family::V6 => ipv6::write(&target, name, value),
        _ => fail(Errno::NOPROTOOPT),
    }
}

/// The socket that an option is about.
struct Target<'a> {
    /// While its engine is in reach.
    socket: Option<&'a Socket>,
    shared: &'a Shared,
    fd: BorrowedFd<'a>,
}

impl Target<'_> {
    /// Sets a flag here and in the engine.
    fn set(&self, flag: Flag, on: bool, tell: impl FnOnce(&mut Options)) -> io::Result<()> {
        self.tell(tell)?;
        self.shared.settings.set(flag, on);
        Ok(())
    }

    /// Asks the engine, if there still is an endpoint.
    fn ask<T>(&self, question: impl FnOnce(&mut Engine, EndpointId) -> T) -> Option<T> {
        let socket = self.socket?;
        let stack = socket.home.reach().ok()?;
        Some(stack.run(|cx| question(cx.engine, socket.id)))
    }

    /// `IP_MTU` and `IPV6_MTU`: what is known of the path to the peer.
    fn path_mtu(&self) -> io::Result<i32> {
        let socket = self.socket.map_or_else(|| fail(Errno::NOTCONN), Ok)?;
        let mtu = socket.home.reach()?.run(|cx| cx.engine.path_mtu(cx.now, socket.id))?;
        Ok(i32::try_from(mtu).unwrap_or(i32::MAX))
    }

    /// Changes the engine's options, if there still is an endpoint.
    fn tell(&self, change: impl FnOnce(&mut Options)) -> io::Result<()> {
        let Some(socket) = self.socket else { return Ok(()) };
        socket.home.reach()?.run(|cx| {
            let mut options = cx.engine.options(socket.id)?;
            change(&mut options);
            cx.engine.set_options(socket.id, options)
        })?;
        Ok(())
    }
}

/// The integer in an option value; `EINVAL` if it is too short.
fn integer(value: &[u8]) -> io::Result<i32> {
    match value.first_chunk() {
        Some(bytes) => Ok(i32::from_ne_bytes(*bytes)),
        None => fail(Errno::INVAL),
    }
}

/// Gives an option value, cut to what the caller has room for; says how much that is.
fn show(value: &mut [u8], bytes: &[u8]) -> usize {
    let len = bytes.len().min(value.len());
    value[..len].copy_from_slice(&bytes[..len]);
    len
}

/// Gives an integer.
fn show_integer(value: &mut [u8], integer: i32) -> usize {
    show(value, &integer.to_ne_bytes())
}
