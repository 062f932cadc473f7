//! `SIOCATMARK` of ioctl(2), which rustix does not have.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// asm-generic/sockios.h.
const SIOCATMARK: libc::Ioctl = 0x8905;

/// Whether the next byte to be read is the one that was sent last with `MSG_OOB`, sockatmark(3).
pub(crate) fn is_next(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut answer: libc::c_int = 0;
    // SAFETY: SIOCATMARK needs a pointer to an integer that it may write: it is a local. The descriptor is open while it
    // is borrowed.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), SIOCATMARK, &raw mut answer) };
    if result == 0 { Ok(answer != 0) } else { Err(io::Error::last_os_error()) }
}
