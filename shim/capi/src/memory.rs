//! Arguments that are pointers. What cannot be memory of a program gets `EFAULT`, as from the kernel: NULL, the first
//! page, and what lies or ends beyond the addresses of programs; in calls that move no data, also what nothing is mapped
//! at. To ask the system for that takes half a microsecond, too much for those that do: there any other wild pointer ends
//! the program, as it does in the C library.

use crate::boundary::{checked, fail};
use ioth::SockAddr;
use std::ffi::{CStr, c_char, c_void};
use std::io;
use std::os::fd::BorrowedFd;
use std::slice;

/// The kernel moves no more by one call: `MAX_RW_COUNT`, see read(2).
const MOST: usize = 0x7fff_f000;
/// Nothing is mapped below (`vm.mmap_min_addr` is not smaller than a page), nor above: programs have 56 bits at most, on
/// x86_64 with five levels of pages.
const LOWEST: usize = 4096;
const HIGHEST: usize = (1 << 56) - 4096;

/// Refuses what cannot be memory of a program.
pub(crate) fn check<T>(pointer: *const T, len: usize) -> io::Result<()> {
    let at = pointer.addr();
    match at.checked_add(len) {
        Some(end) if at >= LOWEST && end <= HIGHEST => Ok(()),
        _ => fail(libc::EFAULT),
    }
}

/// Refuses where nothing is mapped, too: one system call.
pub(crate) fn probe<T>(pointer: *const T, len: usize) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    check(pointer, len)?;
    let page = pointer.map_addr(|at| at & !(LOWEST - 1));
    let len = pointer.addr() - page.addr() + len;
    // SAFETY: msync takes any range; with MS_ASYNC it does nothing but say whether all of it is mapped.
    let mapped = checked(unsafe { libc::msync(page.cast_mut().cast(), len, libc::MS_ASYNC) });
    match mapped {
        // Where pages are larger, EINVAL may come, and says nothing.
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => fail(libc::EFAULT),
        _ => Ok(()),
    }
}

/// Bytes to read.
pub(crate) unsafe fn input<'a>(data: *const c_void, len: usize) -> io::Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    check(data, len)?;
    // SAFETY: the caller has `len` bytes there, which nobody writes during the call; there are not more than isize::MAX.
    Ok(unsafe { slice::from_raw_parts(data.cast(), len.min(MOST)) })
}

/// Bytes to write.
pub(crate) unsafe fn output<'a>(buffer: *mut c_void, len: usize) -> io::Result<&'a mut [u8]> {
    if len == 0 {
        return Ok(&mut []);
    }
    check(buffer, len)?;
    // SAFETY: the caller has room for `len` bytes there, which nobody else uses during the call. They are only written, or
    // are handed to system calls that write them, so it does not matter what they hold.
    Ok(unsafe { slice::from_raw_parts_mut(buffer.cast(), len.min(MOST)) })
}

/// A value that a pointer leads to.
pub(crate) unsafe fn read<T: Copy>(pointer: *const T) -> io::Result<T> {
    check(pointer, size_of::<T>())?;
    // SAFETY: the caller has a value there; C may have put it anywhere.
    Ok(unsafe { pointer.read_unaligned() })
}

/// Writes a value.
pub(crate) unsafe fn write<T>(pointer: *mut T, value: T) -> io::Result<()> {
    check(pointer, size_of::<T>())?;
    // SAFETY: the caller has room for a value there.
    unsafe { pointer.write_unaligned(value) };
    Ok(())
}

/// A string; `None` for NULL.
pub(crate) unsafe fn string<'a>(text: *const c_char) -> io::Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    probe(text, 1)?;
    // SAFETY: the caller has a string with a zero behind it there, which nobody writes during the call.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_or_else(|_| fail(libc::EINVAL), |text| Ok(Some(text)))
}

/// A string that must be there.
pub(crate) unsafe fn required<'a>(text: *const c_char) -> io::Result<&'a str> {
    // SAFETY: the same.
    unsafe { string(text) }?.map_or_else(|| fail(libc::EFAULT), Ok)
}

/// A descriptor that the caller says is open.
pub(crate) fn descriptor<'a>(fd: i32) -> io::Result<BorrowedFd<'a>> {
    if fd < 0 {
        return fail(libc::EBADF);
    }
    // SAFETY: it is not -1. Whether it is open the first system call on it tells, and no call closes it.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// A socket address that was given.
pub(crate) unsafe fn address(address: *const libc::sockaddr, len: libc::socklen_t) -> io::Result<SockAddr> {
    // As move_addr_to_kernel: no longer than a sockaddr_storage.
    let len = len as usize;
    if len > size_of::<libc::sockaddr_storage>() {
        return fail(libc::EINVAL);
    }
    // SAFETY: the caller has `len` bytes of an address there.
    Ok(SockAddr::from_bytes(unsafe { input(address.cast(), len) }?))
}

/// Where an address is to be written: the room there, asked for before anything happens.
pub(crate) struct Room {
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    room: usize,
}

impl Room {
    /// `None` if the caller wants no address.
    pub(crate) unsafe fn new(
        address: *mut libc::sockaddr,
        len: *mut libc::socklen_t,
    ) -> io::Result<Option<Self>> {
        if address.is_null() {
            return Ok(None);
        }
        probe(len, size_of::<libc::socklen_t>())?;
        // SAFETY: the caller has a length there.
        let room = unsafe { read(len) }?;
        // It is a signed integer to the kernel.
        let room = i32::try_from(room).map_or_else(|_| fail(libc::EINVAL), Ok)?;
        Ok(Some(Self { address, len, room: room.unsigned_abs() as usize }))
    }

    /// Writes as much as there is room for, and the length that the address has.
    pub(crate) unsafe fn fill(&self, bytes: &[u8]) -> io::Result<()> {
        let shown = bytes.len().min(self.room);
        probe(self.address, shown)?;
        // SAFETY: the caller has room for as many bytes as it said.
        unsafe { output(self.address.cast(), shown) }?.copy_from_slice(&bytes[..shown]);
        // SAFETY: a length was read there.
        unsafe { write(self.len, libc::socklen_t::try_from(bytes.len()).unwrap_or(0)) }
    }
}
