//! Waiting for several descriptors, of any stacks and any others: poll(2), select(2), epoll(7). While they wait, these run
//! the stacks of the sockets among them.

use crate::boundary::{call, checked, fail};
use crate::memory::{check, descriptor, read, write};
use ioth::{FdSet, epoll_event, pollfd, sigset_t};
use std::io;
use std::os::fd::IntoRawFd;
use std::ptr;
use std::slice;
use std::time::{Duration, Instant};

/// poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_poll(fds: *mut pollfd, count: libc::nfds_t, timeout: i32) -> i32 {
    // SAFETY: the caller has so many of them there.
    call(|| number(ioth::poll(unsafe { places(fds, limited(count)?) }?, timeout)?))
}

/// ppoll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_ppoll(
    fds: *mut pollfd,
    count: libc::nfds_t,
    timeout: *const libc::timespec,
    mask: *const sigset_t,
) -> i32 {
    call(|| {
        // SAFETY: the caller has a time there, or NULL.
        let timeout = unsafe { time(timeout) }?;
        // SAFETY: the caller has a set of signals there, or NULL.
        let mask = unsafe { given(mask) }?;
        // SAFETY: the caller has so many of them there.
        number(ioth::ppoll(unsafe { places(fds, limited(count)?) }?, timeout, mask.as_ref())?)
    })
}

/// No more than the process may have descriptors, as do_sys_poll asks: nobody has memory for 2^60 of them.
fn limited(count: libc::nfds_t) -> io::Result<usize> {
    // It is an unsigned int to the kernel.
    let count = count as u32 as usize;
    if count > 1024 && count as u64 > open_files()?.rlim_cur {
        return fail(libc::EINVAL);
    }
    Ok(count)
}

/// select(2). As on Linux, what is left of the time is written back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_select(
    count: i32,
    readable: *mut libc::fd_set,
    writable: *mut libc::fd_set,
    exceptional: *mut libc::fd_set,
    timeout: *mut libc::timeval,
) -> i32 {
    call(|| {
        // SAFETY: the caller has a time there, or NULL.
        let limit = match unsafe { given(timeout.cast_const()) }? {
            None => None,
            Some(time) => match (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec)) {
                // poll_select_set_timeout: more than a second of microseconds counts as that.
                (Ok(seconds), Ok(micros)) => {
                    Some(Duration::from_secs(seconds.min(LONGEST)) + Duration::from_micros(micros))
                }
                _ => return fail(libc::EINVAL),
            },
        };
        let begun = Instant::now();
        // SAFETY: the caller has sets of so many descriptors there, or NULL.
        let result = unsafe { selected(count, [readable, writable, exceptional], limit, None) };
        if let Some(limit) = limit {
            let left = limit.saturating_sub(begun.elapsed());
            let left = libc::timeval {
                tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
                tv_usec: left.subsec_micros().into(),
            };
            // SAFETY: it was read there.
            unsafe { write(timeout, left) }?;
        }
        result
    })
}

/// pselect(2). The time is not changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_pselect(
    count: i32,
    readable: *mut libc::fd_set,
    writable: *mut libc::fd_set,
    exceptional: *mut libc::fd_set,
    timeout: *const libc::timespec,
    mask: *const sigset_t,
) -> i32 {
    call(|| {
        // SAFETY: the caller has a time there, or NULL.
        let timeout = unsafe { time(timeout) }?;
        // SAFETY: the caller has a set of signals there, or NULL.
        let mask = unsafe { given(mask) }?;
        // SAFETY: the caller has sets of so many descriptors there, or NULL.
        unsafe { selected(count, [readable, writable, exceptional], timeout, mask.as_ref()) }
    })
}

unsafe fn selected(
    count: i32,
    places: [*mut libc::fd_set; 3],
    timeout: Option<Duration>,
    mask: Option<&sigset_t>,
) -> io::Result<i32> {
    if count < 0 {
        return fail(libc::EINVAL);
    }
    // core_sys_select: no more than the table of the process has room for, in whole words.
    let most = usize::try_from(open_files()?.rlim_max).unwrap_or(usize::MAX);
    let words = most.min(count.unsigned_abs() as usize).div_ceil(WORD);
    let mut sets = [None, None, None];
    for (set, place) in sets.iter_mut().zip(places) {
        if !place.is_null() {
            // SAFETY: the caller has so many words there.
            *set = Some(unsafe { set_at(place.cast(), words) }?);
        }
    }
    let [readable, writable, exceptional] = &mut sets;
    let ready =
        ioth::pselect(count, readable.as_mut(), writable.as_mut(), exceptional.as_mut(), timeout, mask)?;
    for (set, place) in sets.iter().zip(places) {
        let Some(set) = set else { continue };
        for at in 0..words {
            let bits = (0..WORD).filter(|bit| set.contains((at * WORD + bit) as i32));
            let word = bits.fold(0, |word, bit| word | 1u64 << bit);
            // SAFETY: a word was read there.
            unsafe { write(place.cast::<u64>().wrapping_add(at), word) }?;
        }
    }
    number(ready)
}

/// Bits of a word of a set.
const WORD: usize = 64;

unsafe fn set_at(place: *const u64, words: usize) -> io::Result<FdSet> {
    let mut set = FdSet::new();
    for at in 0..words {
        // SAFETY: the caller has so many words there.
        let mut word = unsafe { read(place.wrapping_add(at)) }?;
        while word != 0 {
            set.insert((at * WORD) as i32 + word.trailing_zeros() as i32);
            word &= word - 1;
        }
    }
    Ok(set)
}

/// How many descriptors the process may have.
fn open_files() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it writes to a local.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit)
}

/// epoll_create(2): the size only has to be one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_epoll_create(size: i32) -> i32 {
    call(|| if size > 0 { Ok(ioth::epoll_create1(0)?.into_raw_fd()) } else { fail(libc::EINVAL) })
}

/// epoll_create1(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_epoll_create1(flags: i32) -> i32 {
    call(|| Ok(ioth::epoll_create1(flags)?.into_raw_fd()))
}

/// epoll_ctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_epoll_ctl(epoll: i32, operation: i32, fd: i32, event: *mut epoll_event) -> i32 {
    call(|| {
        // As the kernel: the event is read first, unless there is to be none.
        let mut event = match operation {
            libc::EPOLL_CTL_DEL => None,
            // SAFETY: the caller has an event there.
            _ => Some(unsafe { read(event.cast_const()) }?),
        };
        ioth::epoll_ctl(descriptor(epoll)?, operation, descriptor(fd)?, event.as_mut()).map(|()| 0)
    })
}

/// epoll_wait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_epoll_wait(
    epoll: i32,
    events: *mut epoll_event,
    most: i32,
    timeout: i32,
) -> i32 {
    // SAFETY: the same conditions.
    call(|| unsafe { waited(epoll, events, most, timeout, ptr::null()) })
}

/// epoll_pwait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_epoll_pwait(
    epoll: i32,
    events: *mut epoll_event,
    most: i32,
    timeout: i32,
    mask: *const sigset_t,
) -> i32 {
    // SAFETY: the same conditions.
    call(|| unsafe { waited(epoll, events, most, timeout, mask) })
}

unsafe fn waited(
    epoll: i32,
    events: *mut epoll_event,
    most: i32,
    timeout: i32,
    mask: *const sigset_t,
) -> io::Result<i32> {
    // EP_MAX_EVENTS of fs/eventpoll.c.
    const MOST: usize = i32::MAX as usize / size_of::<epoll_event>();
    let count = usize::try_from(most).ok().filter(|count| (1..=MOST).contains(count));
    let count = count.map_or_else(|| fail(libc::EINVAL), Ok)?;
    // SAFETY: the caller has a set of signals there, or NULL.
    let mask = unsafe { given(mask) }?;
    // SAFETY: the caller has room for so many there.
    let events = unsafe { places(events, count) }?;
    number(ioth::epoll_pwait(descriptor(epoll)?, events, timeout, mask.as_ref())?)
}

/// Longer no clock counts.
const LONGEST: u64 = 1 << 40;

/// What is there, `None` for NULL.
unsafe fn given<T: Copy>(place: *const T) -> io::Result<Option<T>> {
    // SAFETY: the caller has one there, or NULL.
    if place.is_null() { Ok(None) } else { Ok(Some(unsafe { read(place) }?)) }
}

/// A time limit, `None` for NULL.
unsafe fn time(place: *const libc::timespec) -> io::Result<Option<Duration>> {
    // SAFETY: the caller has a time there, or NULL.
    let Some(time) = unsafe { given(place) }? else { return Ok(None) };
    match (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        (Ok(seconds), Ok(nanos @ ..1_000_000_000)) => Ok(Some(Duration::new(seconds.min(LONGEST), nanos))),
        _ => fail(libc::EINVAL),
    }
}

/// So many structures that are read and written.
unsafe fn places<'a, T>(place: *mut T, count: usize) -> io::Result<&'a mut [T]> {
    if count == 0 {
        return Ok(&mut []);
    }
    check(place, count * size_of::<T>())?;
    if !place.is_aligned() {
        return fail(libc::EFAULT);
    }
    // SAFETY: the caller has so many of them there, which nobody else looks at during the call.
    Ok(unsafe { slice::from_raw_parts_mut(place, count) })
}

fn number(count: usize) -> io::Result<i32> {
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}
