//! ioctl(2) on sockets: how much waits, tcp(7) and udp(7), and what netdevice(7) asks about interfaces. The argument is
//! the bytes of the C structure.

mod interface;
mod route;

use crate::datagram;
use crate::errno::fail;
use crate::pair;
use crate::stack::Home;
use crate::state::{Phase, Shared};
use crate::sys::constants::MSG_DONTWAIT;
use crate::sys::ioctl as raw;
use crate::table::{self, Found, Socket};
use ioth_stack::{Family, Kind};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// `include/uapi/asm-generic/ioctls.h`: how many bytes, or of a datagram how long the next is.
pub const FIONREAD: u32 = 0x541b;
/// Whether calls do not wait, as `O_NONBLOCK`.
pub const FIONBIO: u32 = 0x5421;
/// `include/uapi/asm-generic/sockios.h`: whether the next byte is the urgent one.
pub const SIOCATMARK: u32 = 0x8905;
/// `include/uapi/linux/sockios.h`: bytes that were not acknowledged.
pub const SIOCOUTQ: u32 = 0x5411;
/// Bytes that were not sent.
pub const SIOCOUTQNSD: u32 = 0x894b;
/// Adds a route: a `struct rtentry` without the name of an interface, or a `struct in6_rtmsg`.
pub const SIOCADDRT: u32 = 0x890b;
/// Removes one.
pub const SIOCDELRT: u32 = 0x890c;
/// The name of an interface by its index.
pub const SIOCGIFNAME: u32 = 0x8910;
/// The flags of an interface.
pub const SIOCGIFFLAGS: u32 = 0x8913;
/// Sets them: whether it is up; the others are not kept.
pub const SIOCSIFFLAGS: u32 = 0x8914;
/// The first IPv4 address of an interface.
pub const SIOCGIFADDR: u32 = 0x8915;
/// Sets it; the class of the address says how long its prefix is, and 0.0.0.0 takes away what there is.
pub const SIOCSIFADDR: u32 = 0x8916;
/// The address of the other end, on a link without one the same.
pub const SIOCGIFDSTADDR: u32 = 0x8917;
/// Its broadcast address.
pub const SIOCGIFBRDADDR: u32 = 0x8919;
/// The mask of its prefix.
pub const SIOCGIFNETMASK: u32 = 0x891b;
/// Sets it.
pub const SIOCSIFNETMASK: u32 = 0x891c;
/// The metric of an interface: 0.
pub const SIOCGIFMETRIC: u32 = 0x891d;
/// Its MTU.
pub const SIOCGIFMTU: u32 = 0x8921;
/// Sets it.
pub const SIOCSIFMTU: u32 = 0x8922;
/// Gives it another name.
pub const SIOCSIFNAME: u32 = 0x8923;
/// Sets its station.
pub const SIOCSIFHWADDR: u32 = 0x8924;
/// Its station.
pub const SIOCGIFHWADDR: u32 = 0x8927;
/// Its index by its name.
pub const SIOCGIFINDEX: u32 = 0x8933;
/// How many frames wait for its link at most: 1000.
pub const SIOCGIFTXQLEN: u32 = 0x8942;

/// Asks or changes something about a socket, or about an interface of its stack, see ioctl(2). `argument` is the C
/// structure: an `int`, or a `struct ifreq`.
///
/// # Errors
/// `EINVAL` for an argument that is too short, and for the queues of a listener, `ENODEV` for an interface that does not
/// exist, `EADDRNOTAVAIL` for one without an IPv4 address, `ENOTTY` for a request that means nothing, `ENETDOWN` for
/// interfaces of a stack that is gone or the parent process's.
///
/// ```
/// let stack = ioth::Stack::new("switch://ioctl-doc", "ip=10.0.0.1/24")?;
/// let fd = ioth::msocket(&stack, ioth::AF_INET, ioth::SOCK_DGRAM, 0)?;
/// let mut waiting = [0; 4];
/// ioth::ioctl(&fd, ioth::FIONREAD, &mut waiting)?;
/// assert_eq!(waiting, [0; 4]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ioctl(fd: impl AsFd, request: u32, argument: &mut [u8]) -> io::Result<i32> {
    let fd = fd.as_fd();
    let found = match table::find(fd) {
        Err(error) if error.raw_os_error() == Some(Errno::NOTSOCK.raw_os_error()) => Found::Kernel,
        found => found?,
    };
    let is_about_interface =
        matches!(request, SIOCGIFNAME..=SIOCSIFHWADDR | SIOCGIFHWADDR | SIOCGIFINDEX | SIOCGIFTXQLEN);
    // To the kernel the descriptor is one of AF_UNIX: it would tell and change the interfaces of the host.
    let socket = match &found {
        Found::Kernel => return raw::call(fd, request, argument),
        Found::Ours(socket) if is_about_interface => {
            return interface::ask(&socket.home, socket.shared.family == Family::V4, request, argument);
        }
        Found::Plain(shared) if is_about_interface => {
            let home = home(shared.cookie)?;
            return interface::ask(&home, shared.family == Family::V4, request, argument);
        }
        Found::Netlink(socket) if is_about_interface => {
            return interface::ask(&socket.home(), false, request, argument);
        }
        Found::Ours(socket) => socket,
        // Of a pair alone: what is in it.
        Found::Plain(_) if matches!(request, FIONREAD | SIOCOUTQ | FIONBIO) => {
            return raw::call(fd, request, argument);
        }
        Found::Netlink(_) if request == FIONBIO => return raw::call(fd, request, argument),
        Found::Plain(_) | Found::Netlink(_) => return fail(Errno::NOTTY),
    };
    let Some(number) = argument.first_chunk_mut::<4>() else { return fail(Errno::INVAL) };
    let answer = match request {
        FIONREAD => waiting(socket, fd)?,
        SIOCOUTQ | SIOCOUTQNSD => unsent(socket, request == SIOCOUTQ)?,
        SIOCATMARK => usize::from(crate::sockatmark(fd)?),
        FIONBIO => {
            crate::set_nonblocking(fd, *number != [0; 4])?;
            return Ok(0);
        }
        SIOCADDRT | SIOCDELRT => {
            let stack = socket.home.reach()?;
            let add = request == SIOCADDRT;
            return route::change(stack, &stack.snapshot(), socket.shared.family, add, argument);
        }
        _ => return fail(Errno::NOTTY),
    };
    *number = i32::try_from(answer).unwrap_or(i32::MAX).to_ne_bytes();
    Ok(0)
}

/// The stack of a socket that has ended, or is the parent process's.
fn home(cookie: u64) -> io::Result<Arc<Home>> {
    table::home(cookie).map_or_else(|| fail(Errno::NETDOWN), Ok)
}

/// What a receive would find, in the pair and behind it.
fn waiting(socket: &Socket, fd: BorrowedFd<'_>) -> io::Result<usize> {
    let shared = &*socket.shared;
    if shared.phase() == Phase::Listening {
        return fail(Errno::INVAL);
    }
    socket.home.reach()?.run_fresh(|cx| {
        if shared.kind != Kind::Stream {
            return Ok(next_in_pair(shared, fd).unwrap_or_else(|| cx.engine.recv_queue(socket.id)));
        }
        let connected = matches!(shared.phase(), Phase::Connected | Phase::Ended);
        let held = if connected { rustix::io::ioctl_fionread(fd)? } else { 0 };
        Ok(usize::try_from(held).unwrap_or(usize::MAX) + cx.engine.recv_queue(socket.id))
    })
}

/// The length of the next datagram in the pair.
fn next_in_pair(shared: &Shared, fd: BorrowedFd<'_>) -> Option<usize> {
    use crate::sys::constants::MSG_PEEK;
    if shared.held.load(Relaxed) == 0 {
        return None;
    }
    let taken = datagram::receive_plain(shared, fd, &mut [], MSG_PEEK | MSG_DONTWAIT).ok()?;
    Some(taken.len)
}

/// What was written and not acknowledged, or not sent, in the engine and in front of it.
fn unsent(socket: &Socket, all: bool) -> io::Result<usize> {
    let shared = &*socket.shared;
    if shared.kind != Kind::Stream {
        return if all { Ok(0) } else { fail(Errno::NOTTY) };
    }
    if shared.phase() == Phase::Listening {
        return fail(Errno::INVAL);
    }
    socket.home.reach()?.run_fresh(|cx| {
        let written = shared.engine_end().filter(|_| shared.phase() == Phase::Connected);
        let written = written.map_or(0, |end| pair::written(end.as_fd()));
        let (_, tcp) = cx.engine.figures(socket.id);
        let unsent = tcp.map_or(0, |tcp| usize::try_from(tcp.unsent).unwrap_or(usize::MAX));
        Ok(written + if all { cx.engine.send_queue(socket.id) } else { unsent })
    })
}
