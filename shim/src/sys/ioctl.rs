//! ioctl(2) with requests whose argument is so many bytes that are read and written in place.

#![allow(unsafe_code)]

use crate::errno::fail;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes the call, if its argument is known to be no longer than `argument`, and to have no pointer in it: `EINVAL`
/// otherwise.
pub(crate) fn call(fd: BorrowedFd<'_>, request: u32, argument: &mut [u8]) -> io::Result<i32> {
    if length(request).is_none_or(|len| argument.len() < len) || has_pointer(request, argument) {
        return fail(Errno::INVAL);
    }
    // SAFETY: the request reads and writes no more than `length` bytes, which the exclusive slice has, and follows no pointer
    // in them. The descriptor is open while it is borrowed.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request.into(), argument.as_mut_ptr()) };
    if result >= 0 { Ok(result) } else { Err(io::Error::last_os_error()) }
}

/// Whether a `struct rtentry` points to the name of an interface.
fn has_pointer(request: u32, argument: &[u8]) -> bool {
    matches!(request, 0x890b | 0x890c) && argument.get(88..96) != Some(&[0; 8])
}

/// Bytes of the argument of a request: an integer, a `struct timeval`, a `struct ifreq`. Of the last, those with a pointer
/// in it are left out.
const fn length(request: u32) -> Option<usize> {
    match request {
        // FIONREAD, FIONBIO, FIOASYNC, TIOCOUTQ, SIOCATMARK, FIOSETOWN to SIOCGPGRP, SIOCOUTQNSD.
        0x541b | 0x5421 | 0x5452 | 0x5411 | 0x8901..=0x8905 | 0x894b => Some(4),
        // SIOCADDRT, SIOCDELRT: `struct rtentry` or, shorter, `struct in6_rtmsg`.
        0x890b | 0x890c => Some(120),
        // SIOCGSTAMP, SIOCGSTAMPNS.
        0x8906 | 0x8907 => Some(16),
        // SIOCGIFNAME; SIOCGIFFLAGS to SIOCSIFMTU without SIOCSIFLINK; SIOCGIFHWADDR; SIOCGIFINDEX; SIOCGIFTXQLEN.
        0x8910 | 0x8913..=0x8922 | 0x8927 | 0x8933 | 0x8942 => Some(40),
        _ => None,
    }
}
