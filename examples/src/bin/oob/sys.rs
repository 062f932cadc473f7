//! SIGURG, for which no safe binding has all calls.
#![expect(unsafe_code, reason = "these calls have conditions that only the caller knows")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

/// Waits for the signal of one descriptor.
pub(crate) struct Urgent(libc::sigset_t);

impl Urgent {
    /// Has the signal sent to this process, which is alone and does not let it in.
    pub(crate) fn of(fd: &OwnedFd) -> io::Result<Self> {
        // SAFETY: a set of signals is integers; zeroes are the empty one.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: the set lives through the call.
        unsafe { libc::sigaddset(&raw mut set, libc::SIGURG) };
        // SAFETY: the set lives through the call; where the old one would go is null.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        // SAFETY: F_SETOWN takes an integer, here the number of this process.
        let owned = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETOWN, std::process::id().cast_signed()) };
        if owned == 0 { Ok(Self(set)) } else { Err(io::Error::last_os_error()) }
    }

    /// Until it comes.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let mut signal = 0;
        // SAFETY: the set and the number live through the call.
        match unsafe { libc::sigwait(&raw const self.0, &raw mut signal) } {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
