//! ppoll(2), pselect(2) and epoll(7) with bare numbers: what is waited for may be closed meanwhile, which these calls
//! report, and a set of signals, which rustix does not take.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use libc::{epoll_event, pollfd, sigset_t, timespec};

/// `SO_COOKIE` of a descriptor, see [`table`](crate::table).
pub(crate) fn cookie(fd: RawFd) -> io::Result<u64> {
    let (mut value, mut len) = (0u64, size_of::<u64>() as libc::socklen_t);
    // SAFETY: the value and its length are locals, and the length is that of the value. A number that is no socket is
    // refused.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_COOKIE, (&raw mut value).cast(), &raw mut len)
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// ppoll(2).
pub(crate) fn poll(
    fds: &mut [pollfd],
    timeout: Option<Duration>,
    mask: Option<&sigset_t>,
) -> io::Result<usize> {
    let timeout = timeout.map(time);
    // SAFETY: the descriptors are an exclusive slice of that length; time and mask live through the call.
    let ready = unsafe {
        libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, pointer(timeout.as_ref()), pointer(mask))
    };
    count(ready)
}

/// pselect(2). Every set has room for `nfds` descriptors.
pub(crate) fn select(
    nfds: i32,
    sets: &mut [Option<Vec<u64>>; 3],
    timeout: Option<Duration>,
    mask: Option<&sigset_t>,
) -> io::Result<usize> {
    let timeout = timeout.map(time);
    let words = usize::try_from(nfds).unwrap_or(0).div_ceil(64);
    let [read, write, except] = sets.each_mut().map(|set| match set {
        Some(set) => {
            set.resize(words.max(set.len()).max(1), 0);
            set.as_mut_ptr().cast::<libc::fd_set>()
        }
        None => ptr::null_mut(),
    });
    // SAFETY: the kernel reads and writes as many whole words of 64 bits of each set as hold `nfds` bits: they have been
    // made so long. Time and mask live through the call.
    let ready = unsafe { libc::pselect(nfds, read, write, except, pointer(timeout.as_ref()), pointer(mask)) };
    let ready = count(ready)?;
    leave(sets, ready);
    Ok(ready)
}

/// Takes the highest descriptors out of the sets until `count` are left: those beyond the table of the process, which the
/// kernel neither looks at nor takes out.
fn leave(sets: &mut [Option<Vec<u64>>; 3], count: usize) {
    let ones = |set: &Vec<u64>| set.iter().map(|word| word.count_ones() as usize).sum::<usize>();
    let mut beyond = sets.iter().flatten().map(ones).sum::<usize>().saturating_sub(count);
    while beyond > 0 {
        let highest = sets.iter().flatten().filter_map(|set| {
            let word = set.iter().rposition(|word| *word != 0)?;
            Some(word * 64 + set[word].ilog2() as usize)
        });
        let Some(highest) = highest.max() else { return };
        for word in sets.iter_mut().flatten().filter_map(|set| set.get_mut(highest / 64)) {
            beyond -= usize::from(*word & 1 << (highest % 64) != 0);
            *word &= !(1 << (highest % 64));
        }
    }
}

/// epoll_create1(2).
pub(crate) fn epoll_create(flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: epoll_create1 has no conditions.
    let fd = unsafe { libc::epoll_create1(flags) };
    count(fd)?;
    // SAFETY: the descriptor is open and new, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// epoll_ctl(2).
pub(crate) fn epoll_ctl(
    epoll: RawFd,
    operation: i32,
    fd: RawFd,
    event: Option<&mut epoll_event>,
) -> io::Result<()> {
    let event = event.map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: the event lives through the call, or is a null pointer, which is looked at only to be refused.
    count(unsafe { libc::epoll_ctl(epoll, operation, fd, event) }).map(|_| ())
}

/// epoll_pwait(2); the timeout is in milliseconds.
pub(crate) fn epoll_wait(
    epoll: RawFd,
    events: &mut [epoll_event],
    timeout: i32,
    mask: Option<&sigset_t>,
) -> io::Result<usize> {
    let room = i32::try_from(events.len()).unwrap_or(i32::MAX);
    // SAFETY: the events are an exclusive slice with that room; the mask lives through the call.
    count(unsafe { libc::epoll_pwait(epoll, events.as_mut_ptr(), room, timeout, pointer(mask)) })
}

fn count(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn pointer<T>(value: Option<&T>) -> *const T {
    value.map_or(ptr::null(), ptr::from_ref)
}

fn time(time: Duration) -> timespec {
    timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
