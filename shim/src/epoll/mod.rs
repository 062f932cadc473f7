//! epoll(7) over any mix of descriptors. The descriptor is an epoll of the kernel, in which everything is registered as
//! the caller says, so duplicates, nesting, other processes and plain calls work as they do; a [`set::Set`] beside it
//! knows which sockets of stacks are in it, runs those stacks while it waits and reports what is in their rings.
//!
//! What must be reported to one thread only, `EPOLLONESHOT` and `EPOLLEXCLUSIVE`, is left to the kernel altogether: what
//! arrives for such a socket goes through its pair.

mod registry;
mod set;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use libc::sigset_t;
pub use libc::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP,
    EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLRDNORM, EPOLLWAKEUP, EPOLLWRNORM,
    epoll_event,
};
pub(crate) use registry::{Held, hold};

use crate::readiness::{self, Members};
use crate::sys;
use crate::table::Found;
use crate::waiting;

/// Makes an epoll, see epoll_create1(2); the flag is `EPOLL_CLOEXEC`.
///
/// # Errors
/// `EINVAL` for another flag, `EMFILE`, `ENFILE`.
///
/// ```
/// use ioth::{EPOLL_CTL_ADD, EPOLLIN, epoll_event};
///
/// let stack = ioth::Stack::new("switch://epoll-doc", "ip=10.0.0.1/24")?;
/// let socket = ioth::msocket(&stack, ioth::AF_INET, ioth::SOCK_DGRAM, 0)?;
/// ioth::bind(&socket, &"10.0.0.1:7".parse()?)?;
/// let epoll = ioth::epoll_create1(ioth::EPOLL_CLOEXEC)?;
/// let mut event = epoll_event { events: EPOLLIN as u32, u64: 42 };
/// ioth::epoll_ctl(&epoll, EPOLL_CTL_ADD, &socket, Some(&mut event))?;
/// ioth::sendto(&socket, b"to itself", 0, &"10.0.0.1:7".parse()?)?;
/// let mut events = [epoll_event { events: 0, u64: 0 }; 8];
/// assert_eq!(ioth::epoll_wait(&epoll, &mut events, -1)?, 1);
/// assert_eq!({ events[0].u64 }, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn epoll_create1(flags: i32) -> io::Result<OwnedFd> {
    let epoll = sys::wait::epoll_create(flags)?;
    registry::renew(epoll.as_raw_fd());
    Ok(epoll)
}

/// Adds, changes or removes a descriptor, see epoll_ctl(2): `EPOLL_CTL_ADD`, `EPOLL_CTL_MOD`, `EPOLL_CTL_DEL`. What is
/// reported for it by [`epoll_wait`] has the data of `event`.
///
/// # Errors
/// `EEXIST`, `ENOENT`, `EPERM`, `ELOOP` and the others of epoll_ctl(2).
pub fn epoll_ctl(
    epoll: impl AsFd,
    operation: i32,
    fd: impl AsFd,
    event: Option<&mut epoll_event>,
) -> io::Result<()> {
    let (epoll, fd) = (epoll.as_fd().as_raw_fd(), fd.as_fd().as_raw_fd());
    match readiness::find(fd) {
        Found::Ours(socket) => {
            let set = if operation == EPOLL_CTL_ADD {
                // What is refused leaves nothing behind.
                registry::find_or_make(epoll)
            } else {
                registry::find(epoll)
            };
            match set {
                Some(set) => set.control(epoll, operation, fd, &socket, event),
                None => sys::wait::epoll_ctl(epoll, operation, fd, event),
            }
        }
        Found::Plain(_) | Found::Netlink(_) => sys::wait::epoll_ctl(epoll, operation, fd, event),
        Found::Kernel => {
            sys::wait::epoll_ctl(epoll, operation, fd, event)?;
            if operation == EPOLL_CTL_ADD
                && let Some(inner) = registry::find(fd)
            {
                // Whoever waits on the outer one sees what the kernel shows of the inner one.
                inner.expose();
                if let Some(outer) = registry::find_or_make(epoll) {
                    outer.adopt(&inner);
                }
            }
            Ok(())
        }
    }
}

/// Waits for events, see epoll_wait(2), and runs the stacks of the sockets meanwhile: how many of `events` were filled.
/// `timeout` is in milliseconds; a negative one waits for ever.
///
/// # Errors
/// `EINVAL` for what is no epoll or without room for events, `EINTR` after a signal.
pub fn epoll_wait(epoll: impl AsFd, events: &mut [epoll_event], timeout: i32) -> io::Result<usize> {
    epoll_pwait(epoll, events, timeout, None)
}

/// The same with signals that are kept back while it waits, see epoll_pwait(2).
///
/// # Errors
/// As [`epoll_wait`].
pub fn epoll_pwait(
    epoll: impl AsFd,
    events: &mut [epoll_event],
    timeout: i32,
    mask: Option<&sigset_t>,
) -> io::Result<usize> {
    let epoll = epoll.as_fd().as_raw_fd();
    match registry::find(epoll) {
        Some(set) if !events.is_empty() => {
            let mut wait = set::Wait::new(&set, epoll, events);
            waiting::wait(&mut wait, set.inbox(), waiting::milliseconds(timeout), mask)?;
            Ok(wait.count())
        }
        _ => sys::wait::epoll_wait(epoll, events, timeout, mask),
    }
}

/// What a descriptor that is waited for adds to the wait if it is an epoll: its stacks. The kernel shows what is ready
/// in it.
pub(crate) fn inside(fd: RawFd, members: &mut Members) {
    if fd >= 0
        && let Some(set) = registry::find(fd)
    {
        set.expose();
        for home in set.homes() {
            members.home(&home);
        }
    }
}
