//! The calls that move data, and the one that looks where it is urgent.

use crate::errno::fail;
use crate::plain::{recv_flags, send_flags};
use crate::sockaddr::SockAddr;
use crate::state::{Phase, Shared};
use crate::sys::constants::{
    MSG_CMSG_CLOEXEC, MSG_CONFIRM, MSG_DONTROUTE, MSG_DONTWAIT, MSG_EOR, MSG_ERRQUEUE, MSG_FASTOPEN,
    MSG_MORE, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_PROBE, MSG_TRUNC, MSG_WAITALL,
};
use crate::sys::mark;
use crate::table::{self, Found};
use crate::{cork, datagram, netlink, packet, plain, transfer, urgent};
use ioth_stack::{DatagramOptions, Family, Kind};
use rustix::io::Errno;
use rustix::net;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// Sends on a connected socket, see send(2). Waits until all of it is taken unless the descriptor or
/// `MSG_DONTWAIT` says otherwise. `flags`: `MSG_DONTWAIT`, `MSG_NOSIGNAL`, `MSG_MORE` (part of a segment waits for what is
/// sent next, and the parts of a datagram become one), on a stream `MSG_OOB` (the last byte is urgent) and `MSG_FASTOPEN`
/// (connects first), on datagrams `MSG_DONTROUTE`, `MSG_PROBE`. As on Linux, others are not looked at.
///
/// # Errors
/// `EAGAIN`, `EPIPE` (with SIGPIPE unless `MSG_NOSIGNAL`) when sending is over or was never possible,
/// `ECONNRESET`, `ETIMEDOUT`, `EDESTADDRREQ` on a datagram socket without peer, `EMSGSIZE`,
/// `EOPNOTSUPP` for `MSG_OOB` on a datagram socket of IPv4.
pub fn send(fd: impl AsFd, data: &[u8], flags: i32) -> io::Result<usize> {
    let fd = fd.as_fd();
    send_found(&table::find(fd)?, fd, data, flags, None)
}

/// Sends a datagram to an address, see sendto(2). On a stream socket the address is not looked at.
///
/// # Errors
/// As [`send`], and `EACCES` for a broadcast without `SO_BROADCAST`, `ENETUNREACH`, `EHOSTUNREACH`,
/// `EAFNOSUPPORT`.
pub fn sendto(fd: impl AsFd, data: &[u8], flags: i32, to: &SocketAddr) -> io::Result<usize> {
    let fd = fd.as_fd();
    send_found(&table::find(fd)?, fd, data, flags, Some(to))
}

pub(crate) fn send_found(
    found: &Found,
    fd: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    to: Option<&SocketAddr>,
) -> io::Result<usize> {
    let flags = found.shared().map_or(Ok(flags), |shared| known_flags(shared, flags))?;
    match (found, to) {
        (Found::Netlink(socket), to) => {
            let to = to.map(SockAddr::from);
            netlink::calls::send(socket, fd, &[IoSlice::new(data)], flags, to.as_ref())
        }
        (Found::Kernel, None) => Ok(net::send(fd, data, send_flags(flags))?),
        (Found::Kernel, Some(to)) => Ok(net::sendto(fd, data, send_flags(flags), to)?),
        (Found::Ours(socket), to) if socket.shared.kind == Kind::Stream => {
            if flags & MSG_FASTOPEN != 0 {
                connect_first(found, fd, to)?;
            }
            transfer::transmit(socket, fd, data, flags & !MSG_FASTOPEN)
        }
        (Found::Ours(socket), to) if packet::is_one(&socket.shared) => {
            packet::transmit(found, fd, data, flags, to.map(SockAddr::from).as_ref())
        }
        (Found::Ours(socket), to) => {
            cork::transmit(socket, fd, data, flags & !MSG_OOB, to, &DatagramOptions::default())
        }
        (Found::Plain(shared), _) if shared.kind == Kind::Stream => plain::transmit(shared, fd, data, flags),
        (Found::Plain(shared), to) => cork::transmit_plain(shared, fd, data, flags & !MSG_OOB, to),
    }
}

/// `MSG_FASTOPEN` of tcp(7), towards a server that never gave a cookie: the connection is made, then the data sent.
fn connect_first(found: &Found, fd: BorrowedFd<'_>, to: Option<&SocketAddr>) -> io::Result<()> {
    match to {
        Some(to) => super::connect_found(found, fd, to),
        None if found.shared().is_some_and(|shared| shared.phase() == Phase::Fresh) => fail(Errno::INVAL),
        None => fail(Errno::ISCONN),
    }
}

/// The flags of send(2) that mean something. As Linux: those that mean nothing are not looked at.
pub(crate) fn known_flags(shared: &Shared, flags: i32) -> io::Result<i32> {
    const ANY: i32 = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_OOB | MSG_MORE;
    const DATAGRAM: i32 = ANY | MSG_PROBE | MSG_DONTROUTE | MSG_CONFIRM | MSG_EOR;
    match (shared.kind, shared.family) {
        (Kind::Stream, _) => Ok(flags & (ANY | MSG_FASTOPEN)),
        // Linux does not ask about it in a datagram of IPv6.
        (Kind::Datagram, Family::V6) => Ok(flags & DATAGRAM),
        (Kind::Datagram | Kind::Echo | Kind::Raw(_), _) if flags & MSG_OOB != 0 => fail(Errno::OPNOTSUPP),
        (Kind::Datagram | Kind::Echo | Kind::Raw(_), _) => Ok(flags & DATAGRAM),
        (Kind::Packet(_), _) => Ok(flags),
    }
}

/// The same of recv(2).
pub(crate) fn known_recv_flags(shared: &Shared, flags: i32) -> io::Result<i32> {
    const KNOWN: i32 = MSG_PEEK
        | MSG_DONTWAIT
        | MSG_WAITALL
        | MSG_TRUNC
        | MSG_CMSG_CLOEXEC
        | MSG_NOSIGNAL
        | MSG_ERRQUEUE
        | MSG_OOB;
    if let Kind::Packet(_) = shared.kind {
        packet::refuse_recv_flags(flags)?;
    } else if matches!(shared.kind, Kind::Echo | Kind::Raw(_)) && flags & MSG_OOB != 0 {
        return fail(Errno::OPNOTSUPP);
    }
    Ok(flags & KNOWN)
}

/// Receives, see recv(2). 0 is the end of the stream, or an empty datagram. `flags`: `MSG_PEEK`,
/// `MSG_DONTWAIT`, `MSG_WAITALL`, `MSG_TRUNC` (a datagram's whole length is returned; what a stream received is thrown
/// away, and `buffer` says only how much), on a stream `MSG_OOB`: the byte that the peer marked urgent last, without
/// waiting. As on Linux, others are not looked at.
///
/// # Errors
/// `EAGAIN`, `ENOTCONN`, `ECONNRESET`, `ETIMEDOUT`, `ECONNREFUSED` on a datagram socket whose peer
/// said so, `EINVAL` for `MSG_OOB` when nothing is urgent, it was taken or `SO_OOBINLINE` is set.
pub fn recv(fd: impl AsFd, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    let fd = fd.as_fd();
    let found = table::find(fd)?;
    Ok(recv_found(&found, fd, buffer, flags)?.0)
}

/// Receives, with the source of a datagram, see recvfrom(2).
///
/// # Errors
/// As [`recv`].
pub fn recvfrom(fd: impl AsFd, buffer: &mut [u8], flags: i32) -> io::Result<(usize, Option<SocketAddr>)> {
    let fd = fd.as_fd();
    let found = table::find(fd)?;
    recv_found(&found, fd, buffer, flags)
}

pub(crate) fn recv_found(
    found: &Found,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<(usize, Option<SocketAddr>)> {
    let flags = found.shared().map_or(Ok(flags), |shared| known_recv_flags(shared, flags))?;
    let room = buffer.len();
    let shown = |taken: datagram::Taken| Ok((taken.shown(room, flags), taken.from));
    let of_stream = found.shared().is_some_and(|shared| shared.kind == Kind::Stream);
    if of_stream && flags & MSG_TRUNC != 0 {
        // tcp(7): the bytes are thrown away.
        return recv_found(found, fd, &mut vec![0; room], flags & !MSG_TRUNC);
    }
    // Nothing is urgent about a datagram, as on Linux.
    let of_datagram = flags & !MSG_OOB;
    match found {
        Found::Ours(socket) if flags & MSG_ERRQUEUE != 0 && !packet::is_one(&socket.shared) => {
            let (received, _) = datagram::receive_error(socket, buffer)?;
            Ok((received.copied, Some(received.report.destination)))
        }
        Found::Netlink(socket) => {
            let parts = &mut [IoSliceMut::new(buffer)];
            Ok((netlink::calls::receive(socket, fd, parts, flags)?.0.len, None))
        }
        Found::Plain(_) | Found::Ours(_) if flags & MSG_ERRQUEUE != 0 => fail(Errno::AGAIN),
        Found::Kernel => {
            let (_, len, from) = net::recvfrom(fd, buffer, recv_flags(flags))?;
            Ok((len, from.and_then(|from| from.try_into().ok())))
        }
        Found::Ours(socket) if socket.shared.kind == Kind::Stream => {
            let receive = if flags & MSG_OOB == 0 { transfer::receive } else { urgent::receive };
            Ok((receive(socket, fd, buffer, flags)?, None))
        }
        Found::Ours(socket) => shown(datagram::receive(socket, fd, buffer, of_datagram)?),
        Found::Plain(shared) if shared.kind == Kind::Stream => {
            let receive = if flags & MSG_OOB == 0 { plain::receive } else { urgent::receive_plain };
            Ok((receive(shared, fd, buffer, flags)?, None))
        }
        Found::Plain(shared) => shown(datagram::receive_plain(shared, fd, buffer, of_datagram)?),
    }
}

/// Whether the next byte of a stream socket is the one that the peer marked urgent last, see sockatmark(3). Receiving
/// stops there, so that a loop can look.
///
/// # Errors
/// `ENOTTY` on a datagram socket.
pub fn sockatmark(fd: impl AsFd) -> io::Result<bool> {
    let fd = fd.as_fd();
    match table::find(fd)? {
        Found::Ours(socket) if socket.shared.kind == Kind::Stream => urgent::at_mark(&socket, fd),
        Found::Plain(shared) if shared.kind == Kind::Stream => mark::is_next(fd),
        Found::Kernel => mark::is_next(fd),
        Found::Ours(_) | Found::Plain(_) | Found::Netlink(_) => fail(Errno::NOTTY),
    }
}

/// Reads, see read(2): [`recv`] without flags; on what is no socket the plain call.
///
/// # Errors
/// As [`recv`].
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let fd = fd.as_fd();
    match table::find(fd) {
        Ok(Found::Kernel) => Ok(rustix::io::read(fd, buffer)?),
        Ok(found) => Ok(recv_found(&found, fd, buffer, 0)?.0),
        Err(error) if no_socket(&error) => Ok(rustix::io::read(fd, buffer)?),
        Err(error) => Err(error),
    }
}

/// Writes, see write(2): [`send`] without flags; on what is no socket the plain call.
///
/// # Errors
/// As [`send`].
pub fn write(fd: impl AsFd, data: &[u8]) -> io::Result<usize> {
    let fd = fd.as_fd();
    match table::find(fd) {
        Ok(Found::Kernel) => Ok(rustix::io::write(fd, data)?),
        Ok(found) => send_found(&found, fd, data, 0, None),
        Err(error) if no_socket(&error) => Ok(rustix::io::write(fd, data)?),
        Err(error) => Err(error),
    }
}

fn no_socket(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOTSOCK.raw_os_error())
}
