//! The calls that move bytes, one buffer or several.

use crate::boundary::{call, fail, length};
use crate::memory::{Room, address, check, descriptor, input, output, read, write};
use ioth::any;
use std::ffi::c_void;
use std::io::{self, IoSlice, IoSliceMut};
use std::slice;

/// As many parts may one call have: `UIO_MAXIOV`.
pub(crate) const MOST_PARTS: usize = 1024;

/// read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_read(fd: i32, buffer: *mut c_void, len: usize) -> isize {
    // SAFETY: the caller has room for so many bytes.
    call(|| ioth::read(descriptor(fd)?, unsafe { output(buffer, len) }?).map(length))
}

/// write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_write(fd: i32, data: *const c_void, len: usize) -> isize {
    // SAFETY: the caller has so many bytes.
    call(|| ioth::write(descriptor(fd)?, unsafe { input(data, len) }?).map(length))
}

/// readv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_readv(fd: i32, parts: *const libc::iovec, count: i32) -> isize {
    call(|| {
        let fd = descriptor(fd)?;
        if !is_own(fd)? {
            // SAFETY: readv checks all of it.
            return system(unsafe { libc::readv(std::os::fd::AsRawFd::as_raw_fd(&fd), parts, count) });
        }
        let count = usize::try_from(count).map_or_else(|_| fail(libc::EINVAL), Ok)?;
        // SAFETY: the caller has so many parts there, and room where they lead.
        unsafe { with_outputs(parts, count, libc::EINVAL, |parts| ioth::readv(fd, parts)) }.map(length)
    })
}

/// writev(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_writev(fd: i32, parts: *const libc::iovec, count: i32) -> isize {
    call(|| {
        let fd = descriptor(fd)?;
        if !is_own(fd)? {
            // SAFETY: writev checks all of it.
            return system(unsafe { libc::writev(std::os::fd::AsRawFd::as_raw_fd(&fd), parts, count) });
        }
        let count = usize::try_from(count).map_or_else(|_| fail(libc::EINVAL), Ok)?;
        // SAFETY: the caller has so many parts there, and bytes where they lead.
        unsafe { with_inputs(parts, count, libc::EINVAL, |parts| ioth::writev(fd, parts)) }.map(length)
    })
}

/// Whether it is a socket of ours; what is no socket is the kernel's.
fn is_own(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<bool> {
    match ioth::is_own(fd) {
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => Ok(false),
        known => known,
    }
}

/// The result of a call of the C library that moves bytes.
pub(crate) fn system(result: isize) -> io::Result<isize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// sendfile(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_sendfile(out: i32, file: i32, offset: *mut libc::off_t, count: usize) -> isize {
    call(|| {
        let (out, file) = (descriptor(out)?, descriptor(file)?);
        if offset.is_null() {
            return ioth::sendfile(out, file, None, count).map(length);
        }
        // SAFETY: the caller has an offset there.
        let at = unsafe { read(offset.cast_const()) }?;
        let mut at = u64::try_from(at).map_or_else(|_| fail(libc::EINVAL), Ok)?;
        let sent = ioth::sendfile(out, file, Some(&mut at), count);
        // SAFETY: it was read there. Also what failed may have moved it.
        unsafe { write(offset, libc::off_t::try_from(at).unwrap_or(libc::off_t::MAX)) }?;
        sent.map(length)
    })
}

/// recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_recv(fd: i32, buffer: *mut c_void, len: usize, flags: i32) -> isize {
    // SAFETY: the caller has room for so many bytes.
    call(|| ioth::recv(descriptor(fd)?, unsafe { output(buffer, len) }?, flags).map(length))
}

/// recvfrom(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_recvfrom(
    fd: i32,
    buffer: *mut c_void,
    len: usize,
    flags: i32,
    from: *mut libc::sockaddr,
    from_len: *mut libc::socklen_t,
) -> isize {
    call(|| {
        let fd = descriptor(fd)?;
        // SAFETY: the caller has room for so many bytes.
        let buffer = unsafe { output(buffer, len) }?;
        if from.is_null() {
            return ioth::recv(fd, buffer, flags).map(length);
        }
        let (len, source) = any::recvfrom(fd, buffer, flags)?;
        // SAFETY: the caller has room for an address and its length there.
        if let Some(room) = unsafe { Room::new(from, from_len) }? {
            // A connection has no address to tell: its length is 0.
            let bytes = source.map(|source| source.to_bytes()).unwrap_or_default();
            // SAFETY: the room is the caller's.
            unsafe { room.fill(&bytes) }?;
        }
        Ok(length(len))
    })
}

/// send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_send(fd: i32, data: *const c_void, len: usize, flags: i32) -> isize {
    // SAFETY: the caller has so many bytes.
    call(|| ioth::send(descriptor(fd)?, unsafe { input(data, len) }?, flags).map(length))
}

/// sendto(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_sendto(
    fd: i32,
    data: *const c_void,
    len: usize,
    flags: i32,
    to: *const libc::sockaddr,
    to_len: libc::socklen_t,
) -> isize {
    call(|| {
        let fd = descriptor(fd)?;
        // SAFETY: the caller has so many bytes.
        let data = unsafe { input(data, len) }?;
        if to.is_null() {
            return ioth::send(fd, data, flags).map(length);
        }
        // SAFETY: the caller has an address of that length there.
        any::sendto(fd, data, flags, &unsafe { address(to, to_len) }?).map(length)
    })
}

unsafe fn parts<'a>(parts: *const libc::iovec, count: usize, too_many: i32) -> io::Result<&'a [libc::iovec]> {
    if count > MOST_PARTS {
        return fail(too_many);
    }
    if count == 0 {
        return Ok(&[]);
    }
    check(parts, count * size_of::<libc::iovec>())?;
    if !parts.is_aligned() {
        return fail(libc::EFAULT);
    }
    // SAFETY: the caller has so many of them there, which nobody writes during the call.
    let parts = unsafe { slice::from_raw_parts(parts, count) };
    // As the kernel: each length is signed.
    if parts.iter().any(|part| isize::try_from(part.iov_len).is_err()) {
        fail(libc::EINVAL)
    } else {
        Ok(parts)
    }
}

/// As many parts need no memory of their own: `UIO_FASTIOV`.
const FEW: usize = 8;

/// Runs `f` on what is to be sent, in parts. `too_many`: the errno for more than [`MOST_PARTS`].
pub(crate) unsafe fn with_inputs<R>(
    list: *const libc::iovec,
    count: usize,
    too_many: i32,
    f: impl FnOnce(&[IoSlice<'_>]) -> io::Result<R>,
) -> io::Result<R> {
    // SAFETY: the same conditions.
    let parts = unsafe { parts(list, count, too_many) }?;
    // SAFETY: the caller has so many bytes at each of them.
    let slices = parts.iter().map(|part| Ok(IoSlice::new(unsafe { input(part.iov_base, part.iov_len) }?)));
    if parts.len() > FEW {
        return f(&slices.collect::<io::Result<Vec<_>>>()?);
    }
    let mut few = [IoSlice::new(&[]); FEW];
    for (place, slice) in few.iter_mut().zip(slices) {
        *place = slice?;
    }
    f(&few[..parts.len()])
}

/// Runs `f` on the room for what is received, in parts.
pub(crate) unsafe fn with_outputs<R>(
    list: *const libc::iovec,
    count: usize,
    too_many: i32,
    f: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<R>,
) -> io::Result<R> {
    // SAFETY: the same conditions.
    let parts = unsafe { parts(list, count, too_many) }?;
    let slices = parts.iter().map(|part| {
        // SAFETY: the caller has room for so many bytes at each of them, and they do not overlap.
        Ok(IoSliceMut::new(unsafe { output(part.iov_base, part.iov_len) }?))
    });
    if parts.len() > FEW {
        return f(&mut slices.collect::<io::Result<Vec<_>>>()?);
    }
    let mut few: [_; FEW] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
    for (place, slice) in few.iter_mut().zip(slices) {
        *place = slice?;
    }
    f(&mut few[..parts.len()])
}
