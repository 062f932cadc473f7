//! sendmsg(2) and recvmsg(2) with any control messages, for kernel sockets; rustix has only a few of those.

#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What recvmsg(2) gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// What it returned.
    pub(crate) len: usize,
    /// Bytes of the name.
    pub(crate) name: usize,
    /// Bytes of control messages.
    pub(crate) controls: usize,
    /// The flags that came back.
    pub(crate) flags: i32,
}

/// Sends; an empty name is none.
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    name: &[u8],
    parts: &[IoSlice<'_>],
    controls: &[u8],
    flags: i32,
) -> io::Result<usize> {
    // SAFETY: a msghdr is integers and pointers; zeroes and null are an empty message.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    if !name.is_empty() {
        message.msg_name = name.as_ptr().cast_mut().cast();
        message.msg_namelen = libc::socklen_t::try_from(name.len()).unwrap_or(0);
    }
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    if !controls.is_empty() {
        message.msg_control = controls.as_ptr().cast_mut().cast();
        message.msg_controllen = controls.len() as _;
    }
    // SAFETY: sendmsg reads the name, the control messages and what the parts refer to, each for its length: they are
    // slices that live through the call. An `IoSlice` is laid out as an iovec. The descriptor is open while it is borrowed.
    let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives, with room for a name and so many bytes of control messages.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    name: &mut [u8],
    parts: &mut [IoSliceMut<'_>],
    controls: &mut [u64],
    room: usize,
    flags: i32,
) -> io::Result<Received> {
    // SAFETY: as above.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = libc::socklen_t::try_from(name.len()).unwrap_or(0);
    message.msg_iov = parts.as_mut_ptr().cast();
    message.msg_iovlen = parts.len() as _;
    message.msg_control = controls.as_mut_ptr().cast();
    message.msg_controllen = room.min(size_of_val(controls)) as _;
    // SAFETY: recvmsg writes to the name, the control messages and what the parts refer to, each for its length: they are
    // exclusive slices that live through the call. An `IoSliceMut` is laid out as an iovec. The descriptor is open while it
    // is borrowed.
    let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) };
    let len = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    let (name, controls) = (message.msg_namelen as usize, message.msg_controllen as usize);
    Ok(Received { len, name, controls, flags: message.msg_flags })
}
