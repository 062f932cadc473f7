//! fork(2), which Rust cannot vouch for.
#![expect(unsafe_code)]

use std::io;

/// Makes a child process; `None` in the child.
///
/// The caller has no other threads of its own that hold locks. Those of the library are seen to by the
/// library, with pthread_atfork(3).
pub(crate) fn fork() -> io::Result<Option<libc::pid_t>> {
    // SAFETY: fork takes no pointers. What a child may do is limited when other threads held locks at that
    // moment: this program has one thread, and the library releases its locks in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some(child)),
    }
}
