//! The calls that no safe binding has: fork, select, and a descriptor that is none.
#![expect(unsafe_code, reason = "fork(2) and select(2) have conditions that only the caller knows")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use anyhow::{Result, ensure};

/// A descriptor number that no process has open.
pub(crate) fn never_open() -> BorrowedFd<'static> {
    // SAFETY: it is not -1, and RLIMIT_NOFILE never goes that far: no call can reach anything by it.
    unsafe { BorrowedFd::borrow_raw(i32::MAX) }
}

/// A forked child.
#[derive(Debug)]
pub(crate) struct Child(libc::pid_t);

impl Child {
    /// Forks. The child runs `body` and ends; it takes what it needs by reference, so that nothing is
    /// dropped in it.
    pub(crate) fn start(body: impl FnOnce() -> bool) -> Result<Self> {
        // SAFETY: the child of a process with threads runs code of this program and glibc's malloc,
        // which glibc makes usable after fork; it takes no lock another thread may hold, and ends by
        // _exit, so no destructor or exit handler of the parent's state runs.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let good = catch_unwind(AssertUnwindSafe(body)).unwrap_or(false);
            // SAFETY: it takes any status and does not return.
            unsafe { libc::_exit(i32::from(!good)) }
        }
        ensure!(pid > 0, "fork: {}", std::io::Error::last_os_error());
        Ok(Self(pid))
    }

    /// Waits for its end; whether it was good.
    pub(crate) fn wait(self) -> Result<bool> {
        let pid = rustix::process::Pid::from_raw(self.0);
        let status = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())?;
        Ok(status.is_some_and(|(_, status)| status.exit_status() == Some(0)))
    }
}

/// select(2) on one descriptor: whether it is readable, writable.
pub(crate) fn select(fd: impl AsFd, timeout: Duration) -> Result<(bool, bool)> {
    let fd = fd.as_fd().as_raw_fd();
    ensure!(usize::try_from(fd)? < libc::FD_SETSIZE, "descriptor {fd} is too high for select");
    // SAFETY: a set of descriptors is an array of integers; zeroes are the empty one.
    let mut read: libc::fd_set = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is below FD_SETSIZE.
    unsafe { libc::FD_SET(fd, &raw mut read) };
    let mut write = read;
    let mut time = libc::timeval {
        tv_sec: i64::try_from(timeout.as_secs())?,
        tv_usec: i64::from(timeout.subsec_micros()),
    };
    // SAFETY: the three pointers are to values that live through the call; no other set is passed.
    let ready =
        unsafe { libc::select(fd + 1, &raw mut read, &raw mut write, std::ptr::null_mut(), &raw mut time) };
    ensure!(ready >= 0, "select: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is below FD_SETSIZE.
    let readable = unsafe { libc::FD_ISSET(fd, &raw const read) };
    // SAFETY: as above.
    let writable = unsafe { libc::FD_ISSET(fd, &raw const write) };
    Ok((readable, writable))
}
