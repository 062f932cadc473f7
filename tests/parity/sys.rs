//! The calls that no safe binding has: select, and a descriptor that is none.
#![expect(unsafe_code, reason = "select(2) has conditions that only the caller knows")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Result, ensure};

/// A descriptor number that no process has open.
pub(crate) fn never_open() -> BorrowedFd<'static> {
    // SAFETY: it is not -1, and RLIMIT_NOFILE never goes that far: no call can reach anything by it.
    unsafe { BorrowedFd::borrow_raw(i32::MAX) }
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
