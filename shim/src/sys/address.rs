//! The calls that take or give a socket address, for kernel sockets of any family; rustix knows only some families.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Room for any socket address: `struct sockaddr_storage`.
const ROOM: usize = size_of::<libc::sockaddr_storage>();

/// The bytes of an address that the kernel wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    bytes: [u8; ROOM],
    len: libc::socklen_t,
}

impl Written {
    const NONE: Self = Self { bytes: [0; ROOM], len: ROOM as libc::socklen_t };

    /// They.
    pub(crate) fn bytes(&self) -> &[u8] {
        // The length is the whole one, also of an address that was cut.
        &self.bytes[..(self.len as usize).min(ROOM)]
    }
}

/// bind(2).
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: bind reads the address for its length: it is a slice of that length. The descriptor is open while it is
    // borrowed.
    check(unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr().cast(), len(address)) }).map(drop)
}

/// connect(2).
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: as for bind.
    check(unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr().cast(), len(address)) }).map(drop)
}

/// accept4(2).
pub(crate) fn accept(fd: BorrowedFd<'_>, flags: i32) -> io::Result<(OwnedFd, Written)> {
    let mut peer = Written::NONE;
    // SAFETY: accept4 writes an address of up to the given length, and its length: both are a local's. The descriptor is open
    // while it is borrowed.
    let accepted = check(unsafe {
        libc::accept4(fd.as_raw_fd(), peer.bytes.as_mut_ptr().cast(), &raw mut peer.len, flags)
    })?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    Ok((unsafe { OwnedFd::from_raw_fd(accepted) }, peer))
}

/// getsockname(2).
pub(crate) fn own(fd: BorrowedFd<'_>) -> io::Result<Written> {
    let mut name = Written::NONE;
    // SAFETY: as for accept4.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), name.bytes.as_mut_ptr().cast(), &raw mut name.len) })?;
    Ok(name)
}

/// getpeername(2).
pub(crate) fn peer(fd: BorrowedFd<'_>) -> io::Result<Written> {
    let mut name = Written::NONE;
    // SAFETY: as for accept4.
    check(unsafe { libc::getpeername(fd.as_raw_fd(), name.bytes.as_mut_ptr().cast(), &raw mut name.len) })?;
    Ok(name)
}

fn len(bytes: &[u8]) -> libc::socklen_t {
    libc::socklen_t::try_from(bytes.len()).unwrap_or(libc::socklen_t::MAX)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
