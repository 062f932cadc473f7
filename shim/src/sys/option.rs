//! getsockopt(2) and setsockopt(2) with any level and name, for kernel sockets; rustix has them only
//! one function per option.

#![allow(unsafe_code)]

use crate::filter::INSTRUCTION_LEN;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads an option of a kernel socket into `value`; says how many bytes the kernel wrote, or instructions of
/// `SO_GET_FILTER`.
pub(crate) fn read(fd: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
    // SO_GET_FILTER, socket(7): its length counts instructions, not bytes.
    let unit = if (level, name) == (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER) { INSTRUCTION_LEN } else { 1 };
    let mut len = libc::socklen_t::try_from(value.len() / unit).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: getsockopt needs `value` writable for `len` bytes, or instructions of SO_GET_FILTER: it is an exclusive slice
    // of at least that length. It needs `len` writable: it is a local. The descriptor is open while it is borrowed.
    let result =
        unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len) };
    if result == 0 { Ok(len as usize) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option of a kernel socket.
pub(crate) fn write(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let len = libc::socklen_t::try_from(value.len()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: setsockopt needs `value` readable for `len` bytes: it is a slice of at least that length.
    // The descriptor is open while it is borrowed.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
