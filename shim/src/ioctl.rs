//! ioctl(2) on sockets: how much waits, tcp(7) and udp(7), and what netdevice(7) asks about interfaces. The argument is
//! the bytes of the C structure.

mod route;

use crate::datagram;
use crate::errno::fail;
use crate::interfaces::{ARPHRD_ETHER, ARPHRD_LOOPBACK, flags, is_loopback, mask};
use crate::pair;
use crate::sockaddr;
use crate::stack::Stack;
use crate::state::{Phase, Shared};
use crate::sys::constants::MSG_DONTWAIT;
use crate::sys::ioctl as raw;
use crate::table::{self, Found, Socket};
use ioth_stack::net::{Cidr, InterfaceId};
use ioth_stack::{Family, Kind, LinkChange, Snapshot};
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
/// Sets them: `IFF_UP` says whether it is up, the others stay.
pub const SIOCSIFFLAGS: u32 = 0x8914;
/// The first IPv4 address of an interface.
pub const SIOCGIFADDR: u32 = 0x8915;
/// Sets it.
pub const SIOCSIFADDR: u32 = 0x8916;
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
/// Its station.
pub const SIOCGIFHWADDR: u32 = 0x8927;
/// Its index by its name.
pub const SIOCGIFINDEX: u32 = 0x8933;

/// Bytes of a name in `struct ifreq`, and of the whole.
const NAME: usize = 16;
const REQUEST: usize = 40;

/// Asks or changes something about a socket, or about an interface of its stack, see ioctl(2). `argument` is the C
/// structure: an `int`, or a `struct ifreq`.
///
/// # Errors
/// `EINVAL` for an argument that is too short, and for the queues of a listener, `ENODEV` for an interface that does not
/// exist, `EADDRNOTAVAIL` for one without an IPv4 address, `ENOTTY` for a request that means nothing.
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
    let socket = match &found {
        Found::Ours(socket) => socket,
        // Of a pair alone: what is in it.
        Found::Plain(_) | Found::Netlink(_) | Found::Kernel => return raw::call(fd, request, argument),
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
        SIOCGIFNAME..=SIOCSIFMTU | SIOCGIFHWADDR | SIOCGIFINDEX => {
            return interface(socket, request, argument);
        }
        _ => return fail(Errno::NOTTY),
    };
    *number = i32::try_from(answer).unwrap_or(i32::MAX).to_ne_bytes();
    Ok(0)
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

/// A request about an interface.
fn interface(socket: &Socket, request: u32, argument: &mut [u8]) -> io::Result<i32> {
    let Some(argument) = argument.first_chunk_mut::<REQUEST>() else { return fail(Errno::INVAL) };
    let seen = socket.home.reach()?.snapshot();
    if request == SIOCGIFNAME {
        let index = u32::from_ne_bytes(*argument[NAME..].first_chunk().unwrap_or(&[0; 4]));
        let known = seen.interfaces.iter().find(|known| known.index.index() == index);
        let name = known.map_or_else(|| fail(Errno::NODEV), |known| Ok(known.name.as_bytes()))?;
        argument[..NAME].fill(0);
        let len = name.len().min(NAME - 1);
        argument[..len].copy_from_slice(&name[..len]);
        return Ok(0);
    }
    let asked = argument[..NAME - 1].split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let known = seen.interfaces.iter().find(|known| known.name.as_bytes() == asked);
    let known = known.map_or_else(|| fail(Errno::NODEV), Ok)?;
    if (SIOCGIFADDR..=SIOCSIFNETMASK).contains(&request) && socket.shared.family == Family::V6 {
        return fail(Errno::NOTTY);
    }
    let room = &mut argument[NAME..];
    let mut give = |bytes: &[u8]| room[..bytes.len()].copy_from_slice(bytes);
    match request {
        SIOCGIFFLAGS => give(&(flags(&seen, known.index) as u16).to_ne_bytes()),
        SIOCGIFINDEX => give(&known.index.index().to_ne_bytes()),
        SIOCGIFMTU => give(&i32::from(known.mtu).to_ne_bytes()),
        SIOCGIFMETRIC => give(&[0; 4]),
        SIOCGIFHWADDR => {
            let kind = if is_loopback(known.index) { ARPHRD_LOOPBACK } else { ARPHRD_ETHER };
            give(&kind.to_ne_bytes());
            room[2..8].copy_from_slice(&known.mac.octets());
        }
        SIOCGIFADDR | SIOCGIFBRDADDR | SIOCGIFNETMASK => {
            let cidr = first_v4(&seen, known.index).map_or_else(|| fail(Errno::ADDRNOTAVAIL), Ok)?;
            let shown = match request {
                SIOCGIFADDR => cidr.address(),
                SIOCGIFNETMASK => mask(&cidr),
                _ => cidr.broadcast().map_or_else(|| IpAddr::from([0; 4]), IpAddr::V4),
            };
            give(&sockaddr::encode(&SocketAddr::new(shown, 0)));
        }
        SIOCSIFADDR | SIOCSIFNETMASK | SIOCSIFMTU | SIOCSIFFLAGS => {
            let stack = Stack::at(Arc::clone(&socket.home));
            return change(&stack, socket.home.reach()?, &seen, (known.index, &known.name), request, room);
        }
        _ => return fail(Errno::OPNOTSUPP),
    }
    Ok(0)
}

/// Changes an interface; as on Linux, one address takes the place of the one before.
fn change(
    stack: &Stack,
    own: &ioth_stack::Stack,
    seen: &Snapshot,
    (index, name): (InterfaceId, &str),
    request: u32,
    value: &[u8],
) -> io::Result<i32> {
    let before = first_v4(seen, index);
    let configure = |what: String| {
        let whole = format!("iface={name},{what}");
        stack.configure(&whole).map(|()| 0).or_else(|_| fail(Errno::INVAL))
    };
    let address = || match sockaddr::decode(value) {
        Some(SocketAddr::V4(v4)) => Ok(*v4.ip()),
        _ => fail(Errno::INVAL),
    };
    let replace = |next: String| match before {
        Some(before) if before.to_string() == next => Ok(0),
        Some(before) => configure(format!("-ip={before},ip={next}")),
        None => configure(format!("ip={next}")),
    };
    match request {
        SIOCSIFFLAGS => {
            // Nothing else of it can be said here.
            let wanted = u16::from_ne_bytes(*value.first_chunk().unwrap_or(&[0; 2]));
            let up = i32::from(wanted) & libc::IFF_UP != 0;
            let change = LinkChange { up: Some(up), ..LinkChange::default() };
            Ok(own.change_link(index, &change).map(|()| 0)?)
        }
        SIOCSIFMTU => {
            let mtu = i32::from_ne_bytes(*value.first_chunk().unwrap_or(&[0; 4]));
            configure(format!("mtu={mtu}"))
        }
        SIOCSIFADDR => {
            let address = address()?;
            if address.is_unspecified() {
                // As Linux: none takes the place of the one before.
                return before.map_or(Ok(0), |before| configure(format!("-ip={before}")));
            }
            // The class of an address says how long its prefix is, as long as nobody else does.
            let class = match address.octets()[0] {
                ..128 => 8,
                128..192 => 16,
                _ => 24,
            };
            replace(format!("{address}/{class}"))
        }
        _ => {
            let mask = u32::from(address()?);
            let before = before.map_or_else(|| fail(Errno::ADDRNOTAVAIL), Ok)?;
            if mask.leading_ones() + mask.trailing_zeros() != 32 {
                return fail(Errno::INVAL);
            }
            replace(format!("{}/{}", before.address(), mask.leading_ones()))
        }
    }
}

/// The first IPv4 address of an interface.
fn first_v4(seen: &Snapshot, index: InterfaceId) -> Option<Cidr> {
    let mut of = seen.addresses.iter().filter(|known| known.interface == index);
    of.find(|known| known.cidr.address().is_ipv4()).map(|known| known.cidr)
}
