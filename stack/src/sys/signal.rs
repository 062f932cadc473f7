//! Signals of the calling thread: which of them have handlers, and sleeping so that none is missed.
#![expect(
    unsafe_code,
    reason = "sigaction(2), pthread_sigmask(3), epoll_pwait2(2) and signalfd(2) have no safe bindings"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::event::Timespec;
use rustix::event::epoll::Event;
use rustix::io::Errno;

/// A set of signals as the kernel has it: signal `n` is bit `n - 1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set(u64);

/// Signals that a fault of the thread itself raises: blocked, they would kill the process (signal(7)). With them
/// those that nobody can block and the two that glibc keeps for itself (nptl(7)).
const NEVER_BLOCKED: Set = Set::of(&[
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
    libc::SIGKILL,
    libc::SIGSTOP,
    32,
    33,
]);

impl Set {
    const fn of(signals: &[libc::c_int]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < signals.len() {
            set |= 1 << (signals[index] - 1);
            index += 1;
        }
        Self(set)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// All signals that a thread can keep out without harm.
pub(crate) const ALL: Set = Set(!NEVER_BLOCKED.0);

/// Which signals have handlers, by what they mean for a call that waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handlers {
    /// Those with `SA_RESTART`: the call goes on after them.
    pub(crate) restarting: Set,
    /// Those without.
    pub(crate) interrupting: Set,
}

/// The handlers that the process has now, without those of faults. Some sixty short system calls.
pub(crate) fn handlers() -> Handlers {
    let mut found = Handlers::default();
    for signal in 1..=libc::SIGRTMAX() {
        let set = Set::of(&[signal]);
        if ALL.without(set) == ALL {
            continue;
        }
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: without a new action, sigaction only writes the present one, for which there is room.
        if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
            continue;
        }
        // SAFETY: it succeeded, so it has been written.
        let action = unsafe { action.assume_init() };
        if action.sa_sigaction == libc::SIG_DFL || action.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        let kind = if action.sa_flags & libc::SA_RESTART == 0 {
            &mut found.interrupting
        } else {
            &mut found.restarting
        };
        *kind = kind.or(set);
    }
    found
}

/// Blocks signals in this thread beside those that are, and gives the mask of before.
pub(crate) fn block(set: Set) -> Set {
    change(libc::SIG_BLOCK, set)
}

/// The signals that wait for this thread because it has them blocked.
pub(crate) fn pending() -> Set {
    let mut pending = Set::default();
    // SAFETY: rt_sigpending writes a set of the size given, which lives through the call.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut pending, size_of::<Set>()) };
    pending
}

/// Blocks exactly these signals in this thread.
pub(crate) fn set_mask(set: Set) {
    change(libc::SIG_SETMASK, set);
}

fn change(how: libc::c_int, set: Set) -> Set {
    let mut before = Set::default();
    // The kernel's own call: the C library has larger sets, and would look for its signals in them.
    // SAFETY: rt_sigprocmask reads and writes sets of the size given, which live through the call.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const set, &raw mut before, size_of::<Set>())
    };
    before
}

/// epoll_pwait2(2): waits, with this mask of signals instead of the thread's.
pub(crate) fn wait<'a>(
    epoll: impl AsFd,
    room: &'a mut [MaybeUninit<Event>],
    timeout: Option<&Timespec>,
    mask: Option<Set>,
) -> rustix::io::Result<&'a mut [Event]> {
    const { assert!(size_of::<Event>() == size_of::<libc::epoll_event>()) };
    let timeout = timeout.map(|time| libc::timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec });
    // SAFETY: events are written into the room, at most as many as it has place for, and rustix lays them out as the
    // kernel does; time and set are read, live through the call, and the set has the size given.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_fd().as_raw_fd(),
            room.as_mut_ptr(),
            room.len(),
            timeout.as_ref().map_or(ptr::null(), ptr::from_ref),
            mask.as_ref().map_or(ptr::null(), ptr::from_ref),
            size_of::<Set>(),
        )
    };
    let Ok(count) = usize::try_from(count) else {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
    };
    // SAFETY: the kernel has written so many of them.
    Ok(unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast(), count) })
}

/// signalfd(2): a descriptor that polls readable while one of these signals waits for the thread that polls.
pub(crate) fn descriptor(set: Set) -> io::Result<OwnedFd> {
    // SAFETY: it reads a set of the size given, which lives through the call.
    let fd = unsafe {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        libc::syscall(libc::SYS_signalfd4, -1, &raw const set, size_of::<Set>(), flags)
    };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel just made it, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
