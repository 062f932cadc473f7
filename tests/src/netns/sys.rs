//! The one unsafe call of the harness.
#![expect(unsafe_code, reason = "unshare(2) is unsafe in rustix for the sake of CLONE_FILES")]

use rustix::io;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread to a new network namespace.
pub(super) fn new_network() -> io::Result<()> {
    // SAFETY: only CLONE_FILES, which is not among the flags, has a condition.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Moves the process to new user and network namespaces; EINVAL when it has more than one thread.
pub(super) fn new_user_and_network() -> io::Result<()> {
    // SAFETY: only CLONE_FILES, which is not among the flags, has a condition.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) }
}
