//! The calls on a netlink socket, with the errnos of `net/netlink/af_netlink.c`.

use super::notice::group_of;
use super::socket::Socket;
use crate::errno::fail;
use crate::message::Message;
use crate::sockaddr::SockAddr;
use crate::sys::constants::{MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_TRUNC};
use crate::sys::message as raw;
use rustix::io::Errno;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

/// Reads what a `sockaddr_nl` says.
fn names(address: &SockAddr) -> io::Result<(u32, u32)> {
    match address {
        SockAddr::Netlink { port, groups } => Ok((*port, *groups)),
        _ => fail(Errno::INVAL),
    }
}

/// Gives it a port, 0 for a free one, and takes it into groups.
pub(crate) fn bind(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    let (port, groups) = names(address)?;
    let own = socket.state()?.port;
    if own != 0 {
        if port != own {
            return fail(Errno::INVAL);
        }
    } else {
        socket.take_port(port)?;
    }
    socket.change_groups(|known| {
        known.retain(|group| *group > 32);
        known.extend((1..=32).filter(|group| groups & 1 << (group - 1) != 0));
    })
}

/// Gives it a default destination, of which there is but one: the stack.
pub(crate) fn connect(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    if address.is_unspecified() {
        socket.state()?.peer = (0, 0);
        return Ok(());
    }
    let peer = names(address)?;
    socket.bind_if_unbound()?;
    socket.state()?.peer = peer;
    Ok(())
}

/// Its own address.
pub(crate) fn own(socket: &Socket) -> SockAddr {
    let (port, groups, _) = socket.names();
    SockAddr::Netlink { port, groups }
}

/// Its peer's: the stack, unless it was connected to somebody else.
pub(crate) fn peer(socket: &Socket) -> SockAddr {
    let (_, _, (port, groups)) = socket.names();
    SockAddr::Netlink { port, groups }
}

/// Sends requests; they are answered when this returns.
pub(crate) fn send(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    flags: i32,
    to: Option<&SockAddr>,
) -> io::Result<usize> {
    if flags & MSG_OOB != 0 {
        return fail(Errno::OPNOTSUPP);
    }
    if parts.iter().all(|part| part.is_empty()) {
        return fail(Errno::NODATA);
    }
    let (port, _) = match to {
        Some(to) => names(to)?,
        None => socket.names().2,
    };
    if port != 0 {
        // Nobody but the stack is there.
        return fail(Errno::CONNREFUSED);
    }
    if socket.inherited() {
        return raw::send(fd, &[], parts, &[], flags);
    }
    socket.bind_if_unbound()?;
    let sent = match raw::send(fd, &[], parts, &[], flags | MSG_DONTWAIT) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            socket.process();
            raw::send(fd, &[], parts, &[], flags)?
        }
        sent => sent?,
    };
    socket.process();
    Ok(sent)
}

/// Receives an answer or a notification, and says who it is from.
pub(crate) fn receive(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
    flags: i32,
) -> io::Result<(Message, Option<SockAddr>)> {
    if flags & MSG_OOB != 0 {
        return fail(Errno::OPNOTSUPP);
    }
    if !socket.inherited() && std::mem::take(&mut socket.state()?.overrun) {
        return fail(Errno::NOBUFS);
    }
    let received = match raw::receive(fd, &mut [], parts, &mut [], 0, flags | MSG_DONTWAIT) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            if let Ok(stack) = socket.home.reach() {
                // Whatever has arrived may change the configuration.
                stack.run_fresh(|_| ());
            }
            raw::receive(fd, &mut [], parts, &mut [], 0, flags)?
        }
        received => received?,
    };
    if flags & MSG_PEEK == 0 && !socket.inherited() {
        socket.flush();
    }
    // Enough to tell what it is.
    let head: Vec<u8> =
        parts.iter().flat_map(|part| part.iter().copied()).take(received.len.min(20)).collect();
    let group = group_of(&head);
    let groups = if (1..=32).contains(&group) { 1 << (group - 1) } else { 0 };
    let message =
        Message { len: received.len, from: None, controls: Vec::new(), flags: received.flags & MSG_TRUNC };
    Ok((message, Some(SockAddr::Netlink { port: 0, groups })))
}
