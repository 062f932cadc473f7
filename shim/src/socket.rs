//! The BSD calls, one function per libc function.
//!
//! Flags, levels and names are libc's integers; an error carries the errno that the kernel's call
//! would give. Every function takes any descriptor: on one that is no socket of a stack it makes the
//! plain system call.

mod data;

pub(crate) use self::data::{known_flags, known_recv_flags, recv_found, send_found};
pub use self::data::{read, recv, recvfrom, send, sendto, sockatmark, write};

use crate::connect::Patience;
use crate::errno::fail;
use crate::join::join;
use crate::pair::{self, Pair};
use crate::plain::{how as direction, pending};
use crate::stack::{Stack, default_stack};
use crate::state::{Phase, Shared};
use crate::sys::constants::{
    AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP,
    NETLINK_ROUTE, SO_ERROR, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, SOCK_STREAM, SOL_SOCKET,
};
use crate::table::{self, Found, Socket};
use crate::{address, connect as connecting, datagram, listener, netlink, option, packet};
use ioth_stack::{Family, Kind};
use rustix::io::{Errno, FdFlags};
use rustix::net::{self, AddressFamily, Protocol, SocketFlags, SocketType};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Makes a socket on this thread's default stack ([`set_default_stack`](crate::set_default_stack)),
/// see socket(2).
///
/// # Errors
/// As [`msocket`].
pub fn socket(domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    msocket(&default_stack(), domain, kind, protocol)
}

/// Makes a socket on `stack`, see socket(2). `kind` takes `SOCK_NONBLOCK` and `SOCK_CLOEXEC` too.
/// Families other than `AF_INET`, `AF_INET6`, `AF_PACKET` and `AF_NETLINK` with `NETLINK_ROUTE` are the kernel's, whatever the
/// stack.
///
/// # Errors
/// `EPROTONOSUPPORT` for a protocol that does not fit, `ESOCKTNOSUPPORT` or `EINVAL` for a type that
/// is not `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_RAW`, `EMFILE` and `ENFILE` without descriptors left (a socket needs
/// two), `ENETDOWN` on a stack of the parent process.
///
/// ```
/// use ioth::{AF_INET, SOCK_STREAM};
/// let fd = ioth::msocket(&ioth::Stack::kernel(), AF_INET, SOCK_STREAM, 0)?;
/// assert_eq!(ioth::getsockname(&fd)?.to_string(), "0.0.0.0:0");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn msocket(stack: &Stack, domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    if let (AF_NETLINK, NETLINK_ROUTE, Some(home)) = (domain, protocol, stack.home()) {
        return netlink::open(home, kind, protocol);
    }
    let family = match domain {
        AF_INET => Family::V4,
        AF_INET6 => Family::V6,
        // Its addresses are of no family of IP; what has one is taken as of IPv4.
        AF_PACKET => Family::V4,
        _ => return of_kernel(domain, kind, protocol),
    };
    if let Some(namespace) = stack.namespace() {
        return namespace.within(|| of_kernel(domain, kind, protocol));
    }
    let Some(home) = stack.home() else { return of_kernel(domain, kind, protocol) };
    // sys/socket.h: the type is below the flags.
    const TYPES: i32 = 0xf;
    let flags = kind & !TYPES;
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return fail(Errno::INVAL);
    }
    if domain == AF_PACKET {
        let kind = packet::kind(kind & TYPES)?;
        return finish(home, family, kind, flags, |socket| packet::start(socket, protocol));
    }
    let kind = match (kind & TYPES, protocol) {
        // Linux: types from SOCK_MAX (11) and protocols from IPPROTO_MAX (263) on.
        (11.., _) | (_, ..0 | 263..) => return fail(Errno::INVAL),
        (SOCK_STREAM, 0 | IPPROTO_TCP) => Kind::Stream,
        (SOCK_DGRAM, 0 | IPPROTO_UDP) => Kind::Datagram,
        (SOCK_DGRAM, IPPROTO_ICMP) if family == Family::V4 => Kind::Echo,
        (SOCK_DGRAM, IPPROTO_ICMPV6) if family == Family::V6 => Kind::Echo,
        (SOCK_STREAM | SOCK_DGRAM, _) => return fail(Errno::PROTONOSUPPORT),
        (SOCK_RAW, protocol) => match u8::try_from(protocol) {
            Ok(protocol @ 1..) => Kind::Raw(protocol),
            _ => return fail(Errno::PROTONOSUPPORT),
        },
        _ => return fail(Errno::SOCKTNOSUPPORT),
    };
    finish(home, family, kind, flags, |_| Ok(()))
}

/// Makes it, with the flags of socket(2).
fn finish(
    home: &Arc<crate::stack::Home>,
    family: Family,
    kind: Kind,
    flags: i32,
    start: impl FnOnce(&Socket) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let (fd, socket) = open(home, family, kind, flags & SOCK_NONBLOCK != 0)?;
    start(&socket)?;
    if flags & SOCK_CLOEXEC == 0 {
        rustix::io::fcntl_setfd(&fd, FdFlags::empty())?;
    }
    Ok(fd)
}

/// Makes two sockets that are connected with each other, see socketpair(2). They are the kernel's: the Internet has no such
/// pairs.
///
/// # Errors
/// Those of socketpair(2): `EOPNOTSUPP` for `AF_INET` and `AF_INET6`.
pub fn socketpair(domain: i32, kind: i32, protocol: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let Ok(family) = u16::try_from(domain) else { return fail(Errno::AFNOSUPPORT) };
    let flags = SocketFlags::from_bits_truncate(kind.cast_unsigned());
    let kind = SocketType::from_raw(kind.cast_unsigned() & !flags.bits());
    let protocol = std::num::NonZero::new(protocol.cast_unsigned()).map(Protocol::from_raw);
    Ok(net::socketpair(AddressFamily::from_raw(family), kind, flags, protocol)?)
}

/// Makes a socket of ours, close-on-exec.
pub(crate) fn open(
    home: &Arc<crate::stack::Home>,
    family: Family,
    kind: Kind,
    nonblocking: bool,
) -> io::Result<(OwnedFd, Arc<Socket>)> {
    let stack = home.reach()?;
    let pair = Pair::new(kind, nonblocking)?;
    stack.run(|cx| {
        let id = cx.engine.open(kind, family);
        join(cx, home, id, kind, family, pair, nonblocking).inspect_err(|_| cx.engine.abort(cx.now, id))
    })
}

fn of_kernel(domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    let Ok(family) = u16::try_from(domain) else { return fail(Errno::AFNOSUPPORT) };
    let flags = SocketFlags::from_bits_truncate(kind.cast_unsigned());
    let kind = SocketType::from_raw(kind.cast_unsigned() & !flags.bits());
    let protocol = std::num::NonZero::new(protocol.cast_unsigned()).map(Protocol::from_raw);
    Ok(net::socket_with(AddressFamily::from_raw(family), kind, flags, protocol)?)
}

/// Gives a socket its own address, see bind(2). Port 0 takes a free one.
///
/// # Errors
/// `EADDRINUSE`, `EADDRNOTAVAIL` for an address that the stack does not have, `EINVAL` when the socket
/// has an address, `EAFNOSUPPORT` for the wrong family.
pub fn bind(fd: impl AsFd, address: &SocketAddr) -> io::Result<()> {
    let fd = fd.as_fd();
    bind_found(&table::find(fd)?, fd, address)
}

pub(crate) fn bind_found(found: &Found, fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    match found {
        Found::Kernel => Ok(net::bind(fd, address)?),
        Found::Netlink(socket) => netlink::calls::bind(socket, &address.into()),
        Found::Plain(_) => fail(Errno::INVAL),
        Found::Ours(socket) if packet::is_one(&socket.shared) => fail(Errno::INVAL),
        Found::Ours(socket) => {
            let address = match (socket.shared.family, address) {
                (Family::V6, SocketAddr::V4(_)) => return fail(Errno::INVAL),
                (Family::V4, SocketAddr::V6(_)) => return fail(Errno::AFNOSUPPORT),
                // What IPV6_V6ONLY takes away.
                (Family::V6, SocketAddr::V6(v6))
                    if v6.ip().to_ipv4_mapped().is_some()
                        && socket.shared.settings.has(option::Flag::V6Only) =>
                {
                    return fail(Errno::INVAL);
                }
                _ => *address,
            };
            socket.home.reach()?.run(|cx| {
                cx.engine.bind(socket.id, address)?;
                if let SocketAddr::V6(v6) = address
                    && !v6.ip().is_unspecified()
                    && v6.ip().to_ipv4_mapped().is_none()
                    && !matches!(socket.shared.kind, Kind::Raw(_))
                {
                    // As Linux: it cannot speak IPv4 any more.
                    socket.shared.settings.set(option::Flag::V6Only, true);
                }
                socket.shared.set_names(cx.engine.local_address(socket.id).ok(), socket.shared.names().peer);
                Ok(())
            })
        }
    }
}

/// Makes a stream socket a listener, see listen(2). `backlog` bounds the connections that wait to be
/// accepted; at most 4096.
///
/// # Errors
/// `EINVAL` when the socket is connected, `EADDRINUSE`, `EOPNOTSUPP` on a datagram socket.
pub fn listen(fd: impl AsFd, backlog: i32) -> io::Result<()> {
    let fd = fd.as_fd();
    listen_found(&table::find(fd)?, fd, backlog)
}

pub(crate) fn listen_found(found: &Found, fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    match found {
        Found::Kernel => Ok(net::listen(fd, backlog)?),
        Found::Netlink(_) => fail(Errno::OPNOTSUPP),
        Found::Ours(socket) => listener::listen(socket, fd, backlog),
        Found::Plain(_) => fail(Errno::INVAL),
    }
}

/// Takes a connection from a listener, see accept(2).
///
/// # Errors
/// As [`accept4`].
pub fn accept(fd: impl AsFd) -> io::Result<(OwnedFd, SocketAddr)> {
    accept4(fd, 0)
}

/// Takes a connection from a listener, with `SOCK_NONBLOCK` and `SOCK_CLOEXEC` for the new descriptor,
/// see accept4(2). With it comes the peer's address; `0.0.0.0:0` for a kernel socket of a family
/// without IP addresses.
///
/// # Errors
/// `EAGAIN` when the descriptor does not wait or `SO_RCVTIMEO` is over, `EINVAL` when the socket does
/// not listen, `EOPNOTSUPP` on a datagram socket, `EMFILE` and `ENFILE`: the connection stays in the
/// queue.
pub fn accept4(fd: impl AsFd, flags: i32) -> io::Result<(OwnedFd, SocketAddr)> {
    let fd = fd.as_fd();
    accept_found(&table::find(fd)?, fd, flags)
}

pub(crate) fn accept_found(
    found: &Found,
    fd: BorrowedFd<'_>,
    flags: i32,
) -> io::Result<(OwnedFd, SocketAddr)> {
    match found {
        Found::Kernel => {
            let (fd, peer) = net::acceptfrom_with(fd, SocketFlags::from_bits_retain(flags.cast_unsigned()))?;
            Ok((fd, peer.and_then(|peer| peer.try_into().ok()).unwrap_or(address::NONE)))
        }
        Found::Netlink(_) => fail(Errno::OPNOTSUPP),
        Found::Ours(socket) => listener::accept(socket, fd, flags),
        Found::Plain(shared) => listener::accept_plain(shared, fd, flags),
    }
}

/// Connects a socket, see connect(2). A datagram socket gets a default destination, and receives from
/// there only.
///
/// # Errors
/// `EINPROGRESS` when the descriptor does not wait or `SO_SNDTIMEO` is over (then `POLLOUT` says that
/// it is decided and `SO_ERROR` how), `EALREADY`, `EISCONN`, `ECONNREFUSED`, `ETIMEDOUT`,
/// `ENETUNREACH`, `EHOSTUNREACH`, `EADDRNOTAVAIL`, `EAFNOSUPPORT`.
pub fn connect(fd: impl AsFd, address: &SocketAddr) -> io::Result<()> {
    let fd = fd.as_fd();
    connect_found(&table::find(fd)?, fd, address)
}

pub(crate) fn connect_found(found: &Found, fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    match found {
        Found::Kernel => Ok(net::connect(fd, address)?),
        Found::Netlink(socket) => netlink::calls::connect(socket, &address.into()),
        Found::Ours(socket) => connecting::connect(socket, fd, address, Patience::OfDescriptor),
        Found::Plain(shared) => Err(pending(shared).unwrap_or_else(|| {
            if shared.phase() == Phase::Connected { Errno::ISCONN.into() } else { Errno::NETDOWN.into() }
        })),
    }
}

/// Takes the default destination from a datagram socket, or resets the connection of a stream socket, which can then be
/// used again: connect(2) with `AF_UNSPEC`.
///
/// # Errors
/// `EOPNOTSUPP` on a stream socket of ours that listens, or one of whose directions is over.
pub fn disconnect(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    match table::find(fd)? {
        Found::Kernel => Ok(net::connect_unspec(fd)?),
        Found::Netlink(socket) => netlink::calls::connect(&socket, &crate::SockAddr::unspecified()),
        Found::Ours(socket) if socket.shared.kind != Kind::Stream && !packet::is_one(&socket.shared) => {
            datagram::connect(&socket, fd, None)
        }
        Found::Ours(socket) if socket.shared.kind == Kind::Stream => connecting::disconnect(&socket, fd),
        Found::Ours(_) | Found::Plain(_) => fail(Errno::OPNOTSUPP),
    }
}

/// Ends one or both directions, see shutdown(2): `SHUT_RD`, `SHUT_WR`, `SHUT_RDWR`.
///
/// # Errors
/// `ENOTCONN`, `EINVAL` for another `how`.
pub fn shutdown(fd: impl AsFd, how: i32) -> io::Result<()> {
    let fd = fd.as_fd();
    shutdown_found(&table::find(fd)?, fd, how)
}

pub(crate) fn shutdown_found(found: &Found, fd: BorrowedFd<'_>, how: i32) -> io::Result<()> {
    let Some(how) = direction(how) else { return fail(Errno::INVAL) };
    let socket = match found {
        Found::Ours(socket) => socket,
        Found::Plain(shared) if shared.is_over() => return fail(Errno::NOTCONN),
        Found::Plain(_) | Found::Kernel => return Ok(net::shutdown(fd, how)?),
        Found::Netlink(_) => return fail(Errno::OPNOTSUPP),
    };
    let shared = &socket.shared;
    let reads = matches!(how, net::Shutdown::Read | net::Shutdown::Both);
    socket.home.reach()?.run(|cx| {
        match (shared.kind, shared.phase()) {
            (Kind::Packet(_), _) => return fail(Errno::OPNOTSUPP),
            (_, Phase::Fresh) => return fail(Errno::NOTCONN),
            // A datagram socket has no end to tell the peer: the endpoint answers from then on.
            (Kind::Datagram | Kind::Echo | Kind::Raw(_), Phase::Connected) => {
                let how = match how {
                    net::Shutdown::Read => ioth_stack::Shutdown::Read,
                    net::Shutdown::Write => ioth_stack::Shutdown::Write,
                    net::Shutdown::Both => ioth_stack::Shutdown::Both,
                };
                return Ok(cx.engine.shutdown(cx.now, socket.id, how)?);
            }
            _ => {}
        }
        if reads && matches!(shared.phase(), Phase::Connected | Phase::Listening) {
            shared.read_shut.store(true, Relaxed);
            cx.engine.shutdown(cx.now, socket.id, ioth_stack::Shutdown::Read)?;
        }
        if !matches!(how, net::Shutdown::Read) && shared.phase() == Phase::Connected {
            // Whoever waits to send gives up; what was taken before still goes out.
            shared.write_shut.store(true, Relaxed);
            cx.wake(socket.id);
        }
        // The pair carries it to the engine behind what plain calls wrote; poll shows it at once.
        net::shutdown(fd, how)?;
        shared.look.store(true, Relaxed);
        cx.pump(socket.id);
        Ok(())
    })
}

/// The socket's own address, see getsockname(2).
///
/// # Errors
/// `EAFNOSUPPORT` for a kernel socket of a family without IP addresses.
pub fn getsockname(fd: impl AsFd) -> io::Result<SocketAddr> {
    let fd = fd.as_fd();
    getsockname_found(&table::find(fd)?, fd)
}

pub(crate) fn getsockname_found(found: &Found, fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    match found {
        Found::Ours(socket) if packet::is_one(&socket.shared) => fail(Errno::AFNOSUPPORT),
        Found::Kernel => Ok(net::getsockname(fd)?.try_into()?),
        Found::Netlink(_) => fail(Errno::AFNOSUPPORT),
        Found::Plain(shared) => Ok(local_of(shared)),
        Found::Ours(socket) => {
            let current = socket.home.reach()?.run(|cx| cx.engine.local_address(socket.id));
            Ok(current.unwrap_or_else(|_| local_of(&socket.shared)))
        }
    }
}

fn local_of(shared: &Shared) -> SocketAddr {
    shared.names().local.unwrap_or_else(|| match shared.family {
        Family::V4 => address::NONE,
        Family::V6 => SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), 0),
    })
}

/// The address of the peer, see getpeername(2).
///
/// # Errors
/// `ENOTCONN`; `EAFNOSUPPORT` for a kernel socket of a family without IP addresses.
pub fn getpeername(fd: impl AsFd) -> io::Result<SocketAddr> {
    let fd = fd.as_fd();
    getpeername_found(&table::find(fd)?, fd)
}

pub(crate) fn getpeername_found(found: &Found, fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let shared = match found {
        Found::Kernel => {
            let peer = net::getpeername(fd)?;
            return peer.map_or_else(|| fail(Errno::NOTCONN), |peer| Ok(peer.try_into()?));
        }
        Found::Netlink(_) => return fail(Errno::AFNOSUPPORT),
        Found::Plain(shared) => shared,
        Found::Ours(socket) => &socket.shared,
    };
    if packet::is_one(shared) {
        return fail(Errno::OPNOTSUPP);
    }
    match (shared.phase(), shared.names().peer) {
        // As Linux: whoever has no port, as an echo socket's peer, does not count.
        (Phase::Connected | Phase::Ended, Some(peer)) if !shared.is_over() && peer.port() != 0 => Ok(peer),
        _ => fail(Errno::NOTCONN),
    }
}

/// Reads an option into `value` and says how many bytes it has, see getsockopt(2) and
/// [`option`](mod@option); of `SO_GET_FILTER` how many instructions.
///
/// # Errors
/// `ENOPROTOOPT` for an option that the socket does not have.
pub fn getsockopt(fd: impl AsFd, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let fd = fd.as_fd();
    option::read(&table::find(fd)?, fd, level, name, value)
}

/// Sets an option, see setsockopt(2) and [`option`](mod@option).
///
/// # Errors
/// `ENOPROTOOPT` for an option that the socket does not have, `EINVAL` for a value that is too short,
/// `EDOM` for a time out of range.
pub fn setsockopt(fd: impl AsFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let fd = fd.as_fd();
    option::write(&table::find(fd)?, fd, level, name, value)
}

/// Reads an option that is an integer.
///
/// # Errors
/// As [`getsockopt`].
pub fn getsockopt_int(fd: impl AsFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value = [0; 4];
    getsockopt(fd, level, name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

/// Sets an option that is an integer.
///
/// # Errors
/// As [`setsockopt`].
pub fn setsockopt_int(fd: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    setsockopt(fd, level, name, &value.to_ne_bytes())
}

/// Sets or clears `O_NONBLOCK`, see fcntl(2). A plain fcntl on the descriptor does as well.
///
/// # Errors
/// Those of fcntl(2).
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> io::Result<()> {
    let fd = fd.as_fd();
    rustix::io::ioctl_fionbio(fd, on)?;
    if let Ok(Found::Ours(socket)) = table::find(fd) {
        socket.shared.nonblocking.store(on, Relaxed);
    }
    Ok(())
}

/// Whether a descriptor is a socket of a stack of ours, also one that a forked child inherited.
///
/// # Errors
/// `EBADF`, and `ENOTSOCK` for what is no socket.
pub fn is_own(fd: impl AsFd) -> io::Result<bool> {
    Ok(!matches!(table::find(fd.as_fd())?, Found::Kernel))
}

/// The pending error of a socket, taken: `SO_ERROR`.
pub(crate) fn take_error_found(found: &Found, fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    let mut value = [0; 4];
    option::read(found, fd, SOL_SOCKET, SO_ERROR, &mut value)?;
    let errno = i32::from_ne_bytes(value);
    Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
}

/// Connects within a time, whatever the descriptor's flags say.
pub(crate) fn connect_until(
    found: &Found,
    fd: BorrowedFd<'_>,
    peer: &SocketAddr,
    deadline: Instant,
) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    match found {
        Found::Ours(socket) => connecting::connect(socket, fd, peer, Patience::Until(deadline)),
        Found::Plain(_) | Found::Netlink(_) => connect_found(found, fd, peer),
        Found::Kernel => {
            let before = pair::is_nonblocking(fd);
            rustix::io::ioctl_fionbio(fd, true)?;
            let mut result = connect_found(found, fd, peer);
            if let Err(error) = &result
                && error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error())
            {
                let left = deadline.saturating_duration_since(Instant::now());
                let timeout = Timespec::try_from(left).ok();
                let ready = poll(&mut [PollFd::new(&fd, PollFlags::OUT)], timeout.as_ref())?;
                result = match take_error_found(found, fd)? {
                    _ if ready == 0 => fail(Errno::TIMEDOUT),
                    Some(error) => Err(error),
                    None => Ok(()),
                };
            }
            rustix::io::ioctl_fionbio(fd, before)?;
            result
        }
    }
}
