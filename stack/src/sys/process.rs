//! What a process that forks needs.
#![expect(unsafe_code, reason = "descriptors across fork(2)")]

use std::os::fd::RawFd;

/// Closes a descriptor of the parent in a forked child.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: the descriptor was open at fork, and its owner, copied from the parent, is never dropped and
    // never used in the child: nobody else closes it, nobody sees it reused.
    unsafe { rustix::io::close(fd) };
}
