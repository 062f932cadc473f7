//! Socket options, one file per level. What a socket of ours shows comes from its own table, never
//! from the pair behind its descriptor.
//!
//! [`TABLE`] has all of them, each with what it does; `docs/options.md` is made from it. Any other is refused with
//! `ENOPROTOOPT`; reading at a level that the socket does not have says `EOPNOTSUPP` for IPv4.
//!
//! The rings of a connection grow by themselves, to [`MAX_BUFFER`] at most, unless their size was set.
//!
//! As on Linux, `SO_RCVBUF` and `SO_SNDBUF` show twice what was set, within bounds: at least 2304 and
//! 4608, at most twice [`MAX_BUFFER`] (the kernel's bound is the sysctl `net.core.rmem_max`).

mod device;
mod info;
mod ip;
mod ipv6;
mod multicast;
mod packet;
mod raw;
mod settings;
mod socket;
mod sources;
mod stored;
mod table;
mod tcp;
mod udp;

pub(crate) use settings::{Flag, IpNumber, Number, Settings};
pub use socket::MAX_BUFFER;
pub use table::{Row, Support, TABLE, markdown};

use crate::errno::fail;
use crate::netlink;
use crate::packet::is_one as is_packet;
use crate::state::Shared;
use crate::sys::constants::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, SOL_PACKET, SOL_SOCKET};
use crate::sys::option as of_kernel;
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
        Found::Kernel => return of_kernel::read(fd, level, name, value),
        Found::Netlink(socket) => return netlink::read(socket, fd, level, name, value),
        Found::Ours(socket) => (Some(&**socket), &*socket.shared),
        Found::Plain(shared) => (None, &**shared),
    };
    let target = Target { socket, shared, fd };
    if let Some(done) = raw::read(&target, level, name, value) {
        return done;
    }
    match level {
        SOL_SOCKET => socket::read(&target, name, value),
        SOL_PACKET if is_packet(shared) => packet::read(&target, name, value),
        _ if is_packet(shared) => fail(Errno::NOPROTOOPT),
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
        Found::Kernel => return of_kernel::write(fd, level, name, value),
        Found::Netlink(socket) => return netlink::write(socket, fd, level, name, value),
        Found::Ours(socket) => (Some(&**socket), &*socket.shared),
        Found::Plain(shared) => (None, &**shared),
    };
    let target = Target { socket, shared, fd };
    if let Some(done) = raw::write(&target, level, name, value) {
        return done;
    }
    match level {
        SOL_SOCKET => socket::write(&target, name, value),
        SOL_PACKET if is_packet(shared) => packet::write(&target, name, value),
        _ if is_packet(shared) => fail(Errno::NOPROTOOPT),
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
