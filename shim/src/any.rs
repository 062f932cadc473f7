//! The calls that carry addresses, for sockets of every family: those of the crate's root take and give IP addresses
//! only, these a [`SockAddr`].
//!
//! ```
//! use ioth::{AF_INET, SOCK_DGRAM, SockAddr, any};
//! let stack = ioth::Stack::new("switch://any", "ip=10.0.0.1/24")?;
//! let fd = ioth::msocket(&stack, AF_INET, SOCK_DGRAM, 0)?;
//! let echo: SockAddr = "10.0.0.2:7".parse::<std::net::SocketAddr>().expect("an address").into();
//! any::connect(&fd, &echo)?;
//! assert_eq!(any::getpeername(&fd)?, echo);
//! any::connect(&fd, &SockAddr::unspecified())?;
//! assert!(any::getpeername(&fd).is_err());
//! # Ok::<(), std::io::Error>(())
//! ```

use crate::control::{self, Control};
use crate::errno::fail;
use crate::message::{self, Message};
use crate::netlink;
use crate::packet;
use crate::sockaddr::{self, SockAddr};
use crate::socket;
use crate::state::Shared;
use crate::sys::constants::{AF_INET, AF_INET6};
use crate::sys::{address, message as raw};
use crate::table::{self, Found};
use ioth_stack::{Family, Kind};
use rustix::io::Errno;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};

/// As [`bind`](crate::bind()).
///
/// # Errors
/// As there, and `EINVAL` for an address that is too short.
pub fn bind(fd: impl AsFd, address: &SockAddr) -> io::Result<()> {
    let fd = fd.as_fd();
    match &table::find(fd)? {
        Found::Kernel => address::bind(fd, &address.to_bytes()),
        Found::Ours(socket) if packet::is_one(&socket.shared) => packet::bind(socket, address),
        Found::Netlink(socket) => netlink::calls::bind(socket, address),
        found @ (Found::Ours(_) | Found::Plain(_)) => {
            let family = found.shared().map_or(AF_INET, family_of);
            socket::bind_found(found, fd, &address.for_socket_of(family)?)
        }
    }
}

/// As [`connect`](crate::connect()); `AF_UNSPEC` takes the peer away, as [`disconnect`](crate::disconnect()).
///
/// # Errors
/// As there, and `EINVAL` for an address that is too short.
pub fn connect(fd: impl AsFd, address: &SockAddr) -> io::Result<()> {
    let fd = fd.as_fd();
    match &table::find(fd)? {
        Found::Kernel => address::connect(fd, &address.to_bytes()),
        Found::Ours(socket) if packet::is_one(&socket.shared) => fail(Errno::OPNOTSUPP),
        Found::Netlink(socket) => netlink::calls::connect(socket, address),
        Found::Ours(_) | Found::Plain(_) if address.is_unspecified() => crate::disconnect(fd),
        found @ (Found::Ours(_) | Found::Plain(_)) => {
            let family = found.shared().map_or(AF_INET, family_of);
            // Linux asks for a family before anything else.
            if address.to_bytes().len() < 2 {
                return fail(Errno::INVAL);
            }
            socket::connect_found(found, fd, &address.for_socket_of(family)?)
        }
    }
}

/// As [`accept4`](crate::accept4()).
///
/// # Errors
/// As there.
pub fn accept4(fd: impl AsFd, flags: i32) -> io::Result<(OwnedFd, SockAddr)> {
    let fd = fd.as_fd();
    match &table::find(fd)? {
        Found::Kernel => {
            let (accepted, peer) = address::accept(fd, flags)?;
            Ok((accepted, SockAddr::from_bytes(peer.bytes())))
        }
        found => socket::accept_found(found, fd, flags).map(|(accepted, peer)| (accepted, peer.into())),
    }
}

/// As [`getsockname`](crate::getsockname()).
///
/// # Errors
/// As there, but for the families.
pub fn getsockname(fd: impl AsFd) -> io::Result<SockAddr> {
    let fd = fd.as_fd();
    match &table::find(fd)? {
        Found::Kernel => Ok(SockAddr::given(address::own(fd)?.bytes())),
        Found::Ours(socket) if packet::is_one(&socket.shared) => packet::name(socket),
        Found::Netlink(socket) => Ok(netlink::calls::own(socket)),
        found => Ok(socket::getsockname_found(found, fd)?.into()),
    }
}

/// As [`getpeername`](crate::getpeername()).
///
/// # Errors
/// As there, but for the families.
pub fn getpeername(fd: impl AsFd) -> io::Result<SockAddr> {
    let fd = fd.as_fd();
    match &table::find(fd)? {
        Found::Kernel => Ok(SockAddr::given(address::peer(fd)?.bytes())),
        Found::Netlink(socket) => Ok(netlink::calls::peer(socket)),
        found => Ok(socket::getpeername_found(found, fd)?.into()),
    }
}

/// As [`sendto`](crate::sendto()).
///
/// # Errors
/// As there, and `EINVAL` for an address that is too short.
pub fn sendto(fd: impl AsFd, data: &[u8], flags: i32, to: &SockAddr) -> io::Result<usize> {
    sendmsg(fd, &[IoSlice::new(data)], &[], flags, Some(to))
}

/// As [`recvfrom`](crate::recvfrom()).
///
/// # Errors
/// As there.
pub fn recvfrom(fd: impl AsFd, buffer: &mut [u8], flags: i32) -> io::Result<(usize, Option<SockAddr>)> {
    let fd = fd.as_fd();
    match &table::find(fd)? {
        Found::Kernel => {
            let mut name = [0; sockaddr::ROOM];
            let got = raw::receive(fd, &mut name, &mut [IoSliceMut::new(buffer)], &mut [], 0, flags)?;
            Ok((got.len, SockAddr::written(&name, got.name)))
        }
        Found::Ours(socket) if packet::is_one(&socket.shared) => {
            let (message, from) = packet::receive(socket, fd, buffer, flags)?;
            Ok((message.len, from))
        }
        Found::Netlink(socket) => {
            let parts = &mut [IoSliceMut::new(buffer)];
            let (message, from) = netlink::calls::receive(socket, fd, parts, flags)?;
            Ok((message.len, from))
        }
        found => {
            let (len, from) = socket::recv_found(found, fd, buffer, flags)?;
            Ok((len, from.map(SockAddr::Ip)))
        }
    }
}

/// As [`sendmsg`](crate::sendmsg()).
///
/// # Errors
/// As there, and `EINVAL` for an address that is too short.
pub fn sendmsg(
    fd: impl AsFd,
    parts: &[IoSlice<'_>],
    controls: &[Control],
    flags: i32,
    to: Option<&SockAddr>,
) -> io::Result<usize> {
    let fd = fd.as_fd();
    let found = table::find(fd)?;
    if let Found::Netlink(socket) = &found {
        return netlink::calls::send(socket, fd, parts, flags, to);
    }
    let Some(shared) = found.shared() else {
        let name = to.map(SockAddr::to_bytes).unwrap_or_default();
        return raw::send(fd, &name, parts, &control::encode_all(controls), flags);
    };
    if packet::is_one(shared) {
        let whole = parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>();
        return packet::transmit(&found, fd, &whole, flags, to);
    }
    let to = match to {
        None => None,
        // As Linux: TCP does not look at it, and without a family a datagram of IPv6 goes to the peer.
        Some(_) if shared.kind == Kind::Stream => None,
        Some(to) if shared.family == Family::V6 && to.is_unspecified() => None,
        Some(to) => Some(to.for_socket_of(family_of(shared))?),
    };
    message::send_parts(&found, fd, parts, controls, flags, to.as_ref())
}

/// As [`recvmsg`](crate::recvmsg()), and where it came from, whatever the family.
///
/// # Errors
/// As there.
pub fn recvmsg(
    fd: impl AsFd,
    parts: &mut [IoSliceMut<'_>],
    flags: i32,
) -> io::Result<(Message, Option<SockAddr>)> {
    let fd = fd.as_fd();
    let found = table::find(fd)?;
    match &found {
        Found::Kernel => return message::receive_from_kernel(fd, parts, flags),
        Found::Netlink(socket) => return netlink::calls::receive(socket, fd, parts, flags),
        Found::Ours(_) | Found::Plain(_) => {}
    }
    if let Found::Ours(socket) = &found
        && packet::is_one(&socket.shared)
    {
        let mut station = None;
        let message = message::receive_into(parts, false, |buffer| {
            let (message, from) = packet::receive(socket, fd, buffer, flags)?;
            station = from;
            Ok(message)
        })?;
        return Ok((message, station));
    }
    let message = message::receive_parts(&found, fd, parts, flags)?;
    let from = message.from.map(SockAddr::Ip);
    Ok((message, from))
}

fn family_of(shared: &Shared) -> i32 {
    match shared.family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}
