//! The calls that no safe binding has: select, the urgent mark and its signal, handlers of signals, and a
//! descriptor that is none.
#![expect(unsafe_code, reason = "these calls have conditions that only the caller knows")]

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, ensure};

/// A descriptor number that no process has open.
pub(crate) fn never_open() -> BorrowedFd<'static> {
    // SAFETY: it is not -1, and RLIMIT_NOFILE never goes that far: no call can reach anything by it.
    unsafe { BorrowedFd::borrow_raw(i32::MAX) }
}

/// The bare number of a descriptor, which may be closed and be somebody else's when it is used.
pub(crate) fn number(fd: impl AsFd) -> BorrowedFd<'static> {
    // SAFETY: it is not -1. What a call does with a number that is closed meanwhile is what its tests ask.
    unsafe { BorrowedFd::borrow_raw(fd.as_fd().as_raw_fd()) }
}

/// select(2) on one descriptor: whether it is readable, writable.
pub(crate) fn select(fd: impl AsFd, timeout: Duration) -> Result<(bool, bool)> {
    let [readable, writable, _] = select_in(fd, timeout, [true, true, false])?;
    Ok((readable, writable))
}

/// select(2) on one descriptor: whether there is an exceptional condition.
pub(crate) fn select_exception(fd: impl AsFd, timeout: Duration) -> Result<bool> {
    Ok(select_in(fd, timeout, [false, false, true])?[2])
}

/// select(2) on one descriptor in the sets for reading, writing and exceptions that are asked for: which it is in then.
fn select_in(fd: impl AsFd, timeout: Duration, asked: [bool; 3]) -> Result<[bool; 3]> {
    let fd = fd.as_fd().as_raw_fd();
    ensure!(usize::try_from(fd)? < libc::FD_SETSIZE, "descriptor {fd} is too high for select");
    // SAFETY: a set of descriptors is an array of integers; zeroes are the empty one.
    let mut sets: [libc::fd_set; 3] = unsafe { std::mem::zeroed() };
    for (set, _) in sets.iter_mut().zip(asked).filter(|(_, asked)| *asked) {
        // SAFETY: the descriptor is below FD_SETSIZE.
        unsafe { libc::FD_SET(fd, &raw mut *set) };
    }
    let mut time = libc::timeval {
        tv_sec: i64::try_from(timeout.as_secs())?,
        tv_usec: i64::from(timeout.subsec_micros()),
    };
    let [read, write, exceptional] = &mut sets;
    // SAFETY: the four pointers are to values that live through the call; an empty set is as good as none.
    let ready = unsafe {
        libc::select(fd + 1, &raw mut *read, &raw mut *write, &raw mut *exceptional, &raw mut time)
    };
    ensure!(ready >= 0, "select: {}", io::Error::last_os_error());
    // SAFETY: the descriptor is below FD_SETSIZE.
    Ok(sets.map(|set| unsafe { libc::FD_ISSET(fd, &raw const set) }))
}

/// sockatmark(3) of the system.
pub(crate) fn sockatmark(fd: impl AsFd) -> io::Result<bool> {
    let mut answer: libc::c_int = 0;
    // SAFETY: SIOCATMARK writes an integer: it is a local.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), 0x8905, &raw mut answer) };
    if result == 0 { Ok(answer != 0) } else { Err(io::Error::last_os_error()) }
}

/// Who owns a descriptor, fcntl(2).
pub(crate) fn owner(fd: impl AsFd) -> i32 {
    // SAFETY: F_GETOWN takes no argument.
    unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETOWN) }
}

/// A signal that this thread does not let in while this lives.
pub(crate) struct Blocked {
    signal: i32,
    set: libc::sigset_t,
    before: libc::sigset_t,
}

impl Blocked {
    pub(crate) fn of(signal: i32) -> Result<Self> {
        // SAFETY: a set of signals is an array of integers; zeroes are the empty one.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        let mut before = set;
        // SAFETY: the set is initialized, and lives through the call.
        ensure!(unsafe { libc::sigaddset(&raw mut set, signal) } == 0, "no signal {signal}");
        // SAFETY: both sets live through the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) };
        Ok(Self { signal, set, before })
    }

    /// Whether it comes in time.
    pub(crate) fn wait(&self, time: Duration) -> Result<bool> {
        let time = libc::timespec {
            tv_sec: i64::try_from(time.as_secs())?,
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        // SAFETY: both pointers are to values that live through the call.
        let signal =
            unsafe { libc::sigtimedwait(&raw const self.set, std::ptr::null_mut(), &raw const time) };
        Ok(signal == self.signal)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set is the one that the thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// The signal of one descriptor, to this thread, which does not let it in while this lives: SIGURG, or the one of O_ASYNC.
pub(crate) struct Urge(Blocked);

impl Urge {
    /// SIGURG.
    pub(crate) fn to_this_thread(fd: impl AsFd) -> Result<Self> {
        Self::new(fd, libc::SIGURG)
    }

    /// Another one, when there is something to receive: O_ASYNC of fcntl(2), with F_SETSIG.
    pub(crate) fn of_arrivals(fd: impl AsFd, signal: libc::c_int) -> Result<Self> {
        // asm-generic/fcntl.h.
        const F_SETSIG: i32 = 10;
        let urge = Self::new(&fd, signal)?;
        for (command, value) in [(F_SETSIG, signal), (libc::F_SETFL, libc::O_ASYNC | libc::O_RDWR)] {
            // SAFETY: both commands take an integer.
            let result = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), command, value) };
            ensure!(result == 0, "fcntl: {}", io::Error::last_os_error());
        }
        Ok(urge)
    }

    fn new(fd: impl AsFd, signal: libc::c_int) -> Result<Self> {
        // asm-generic/fcntl.h.
        const F_SETOWN_EX: i32 = 15;
        const F_OWNER_TID: i32 = 0;
        let urge = Self(Blocked::of(signal)?);
        let owner = [F_OWNER_TID, rustix::thread::gettid().as_raw_nonzero().get()];
        // SAFETY: F_SETOWN_EX reads two integers, the first of them F_OWNER_TID.
        let result = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), F_SETOWN_EX, owner.as_ptr()) };
        ensure!(result == 0, "F_SETOWN_EX: {}", io::Error::last_os_error());
        Ok(urge)
    }

    /// Whether it comes in time.
    pub(crate) fn wait(&self, time: Duration) -> Result<bool> {
        self.0.wait(time)
    }
}

/// Gives a signal a handler that counts.
pub(crate) fn handle(signal: i32, restarts: bool) -> Result<()> {
    // SAFETY: zeroes are an action without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = if restarts { libc::SA_RESTART } else { 0 };
    // SAFETY: the action lives through the call; its handler adds to an integer and does nothing else.
    let result = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    ensure!(result == 0, "sigaction: {}", io::Error::last_os_error());
    Ok(())
}

thread_local! {
    static HANDLED: Cell<Option<&'static AtomicUsize>> = const { Cell::new(None) };
}

extern "C" fn count(_: libc::c_int) {
    if let Some(handled) = HANDLED.get() {
        handled.fetch_add(1, Relaxed);
    }
}

/// A thread that is sent signals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    thread: i32,
    handled: &'static AtomicUsize,
}

impl Target {
    /// The calling thread.
    pub(crate) fn this_thread() -> Self {
        let handled = Box::leak(Box::default());
        HANDLED.set(Some(handled));
        Self { thread: rustix::thread::gettid().as_raw_nonzero().get(), handled }
    }

    /// Waits until it has slept for a moment.
    pub(crate) fn wait_until_asleep(&self) -> Result<()> {
        let mut asleep = 0;
        while asleep < 10 {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.thread))?;
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            asleep = if state == Some('S') { asleep + 1 } else { 0 };
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Sends it a signal, and waits until the handler has run.
    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        let before = self.handled.load(Relaxed);
        let process = rustix::process::getpid().as_raw_nonzero().get();
        // SAFETY: tgkill takes three integers; a thread that has ended is an error.
        let result = unsafe { libc::syscall(libc::SYS_tgkill, process, self.thread, signal) };
        ensure!(result == 0, "tgkill: {}", io::Error::last_os_error());
        let end = std::time::Instant::now() + crate::world::SOON;
        while self.handled.load(Relaxed) == before {
            ensure!(std::time::Instant::now() < end, "the handler did not run");
            std::thread::yield_now();
        }
        Ok(())
    }
}

/// A signal to this thread that only interrupts.
pub(crate) struct Alarm {
    thread: libc::pthread_t,
}

impl Alarm {
    pub(crate) fn of_this_thread() -> Result<Self> {
        extern "C" fn nothing(_: libc::c_int) {}
        // SAFETY: zeroes are no flags and the empty set.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        // SAFETY: the handler does nothing, so it may run at any place of any thread.
        let result = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
        ensure!(result == 0, "sigaction: {}", io::Error::last_os_error());
        // SAFETY: it has no conditions.
        Ok(Self { thread: unsafe { libc::pthread_self() } })
    }

    /// Sends it a moment after `call` has begun.
    pub(crate) fn within<T>(&self, call: impl FnOnce() -> T) -> Result<T> {
        let thread = self.thread;
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || {
                std::thread::sleep(crate::world::MOMENT);
                // SAFETY: that thread waits for this one, so it lives.
                unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }
            });
            let result = call();
            ensure!(sender.join().expect("no panic") == 0, "pthread_kill");
            Ok(result)
        })
    }

    /// Sends it, kept back by this thread, before `call`, which is to let it in.
    pub(crate) fn blocked<T>(&self, call: impl FnOnce() -> T) -> Result<T> {
        let (set, mut before) = (self.mask(), Self::nothing());
        // SAFETY: both sets live through the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) };
        // SAFETY: it is this thread.
        let sent = unsafe { libc::pthread_kill(self.thread, libc::SIGUSR1) };
        let result = call();
        // SAFETY: the set is the one that the thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
        ensure!(sent == 0, "pthread_kill");
        Ok(result)
    }

    /// The set of it alone.
    #[expect(clippy::unused_self, reason = "there is no such set without a handler")]
    pub(crate) fn mask(&self) -> libc::sigset_t {
        let mut set = Self::nothing();
        // SAFETY: the set is initialized, and lives through the call.
        unsafe { libc::sigaddset(&raw mut set, libc::SIGUSR1) };
        set
    }

    /// The empty set.
    pub(crate) fn nothing() -> libc::sigset_t {
        // SAFETY: a set of signals is an array of integers; zeroes are the empty one.
        unsafe { std::mem::zeroed() }
    }
}
