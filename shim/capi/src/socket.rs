//! Sockets: made, named, connected, asked, closed. Descriptors of the kernel are taken as well.

use crate::boundary::{call, checked, fail};
use crate::memory::{Room, address, descriptor, input, output, probe, read, write};
use crate::registry::{self, Ioth};
use ioth::{SockAddr, any};
use std::ffi::c_void;
use std::io;
use std::mem;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

/// Makes a socket on a stack; NULL is the kernel's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_msocket(stack: *mut Ioth, domain: i32, kind: i32, protocol: i32) -> i32 {
    call(|| Ok(ioth::msocket(&registry::find(stack)?, domain, kind, protocol)?.into_raw_fd()))
}

/// Makes a socket on the default stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_socket(domain: i32, kind: i32, protocol: i32) -> i32 {
    call(|| Ok(ioth::msocket(&registry::default_stack()?, domain, kind, protocol)?.into_raw_fd()))
}

/// close(2), on any descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_close(fd: i32) -> i32 {
    call(|| {
        is_open(fd)?;
        // SAFETY: it is open, and by its call the caller gives it away.
        ioth::close(unsafe { OwnedFd::from_raw_fd(fd) })?;
        Ok(0)
    })
}

fn is_open(fd: i32) -> io::Result<()> {
    // SAFETY: fcntl takes any number; F_GETFD has no third argument.
    checked(unsafe { libc::fcntl(fd, libc::F_GETFD) }).map(|_| ())
}

/// bind(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_bind(fd: i32, own: *const libc::sockaddr, len: libc::socklen_t) -> i32 {
    call(|| {
        let fd = known(fd)?;
        probe(own, short(len)?)?;
        // SAFETY: the caller has an address of that length there.
        any::bind(fd, &unsafe { address(own, len) }?)?;
        Ok(0)
    })
}

/// connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_connect(fd: i32, peer: *const libc::sockaddr, len: libc::socklen_t) -> i32 {
    call(|| {
        let fd = known(fd)?;
        probe(peer, short(len)?)?;
        // SAFETY: the caller has an address of that length there.
        any::connect(fd, &unsafe { address(peer, len) }?)?;
        Ok(0)
    })
}

/// The length of an address that is given: no longer than any there is.
fn short(len: libc::socklen_t) -> io::Result<usize> {
    if len as usize > size_of::<libc::sockaddr_storage>() { fail(libc::EINVAL) } else { Ok(len as usize) }
}

/// The descriptor, which is a socket: the kernel says that it is none before it looks at addresses.
fn known<'a>(fd: i32) -> io::Result<std::os::fd::BorrowedFd<'a>> {
    let fd = descriptor(fd)?;
    ioth::is_own(fd)?;
    Ok(fd)
}

/// listen(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_listen(fd: i32, backlog: i32) -> i32 {
    call(|| ioth::listen(descriptor(fd)?, backlog).map(|()| 0))
}

/// accept(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_accept(fd: i32, peer: *mut libc::sockaddr, len: *mut libc::socklen_t) -> i32 {
    // SAFETY: the same conditions.
    call(|| unsafe { accept(fd, peer, len, 0) })
}

/// accept4(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_accept4(
    fd: i32,
    peer: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    flags: i32,
) -> i32 {
    // SAFETY: the same conditions.
    call(|| unsafe { accept(fd, peer, len, flags) })
}

unsafe fn accept(
    fd: i32,
    peer: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    flags: i32,
) -> io::Result<i32> {
    if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
        return fail(libc::EINVAL);
    }
    let (accepted, from) = any::accept4(descriptor(fd)?, flags)?;
    // As the kernel: the connection is gone when there is no place for its address.
    // SAFETY: the caller has room for an address and its length there, or NULL.
    if let Some(room) = unsafe { Room::new(peer, len) }? {
        // SAFETY: the room is the caller's.
        unsafe { room.fill(&from.to_bytes()) }?;
    }
    Ok(accepted.into_raw_fd())
}

/// getsockname(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_getsockname(
    fd: i32,
    own: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> i32 {
    call(|| {
        let name = any::getsockname(descriptor(fd)?)?;
        let mut bytes = name.to_bytes();
        if let SockAddr::Link(link) = name {
            // packet_getname: a `sockaddr_ll` ends with the station's address, which may be none.
            bytes.truncate(mem::offset_of!(libc::sockaddr_ll, sll_addr) + usize::from(link.len));
        }
        // SAFETY: the caller has room for an address and its length there.
        unsafe { show(&bytes, own, len) }
    })
}

/// getpeername(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_getpeername(
    fd: i32,
    peer: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> i32 {
    // SAFETY: the caller has room for an address and its length there.
    call(|| unsafe { show(&any::getpeername(descriptor(fd)?)?.to_bytes(), peer, len) })
}

unsafe fn show(shown: &[u8], place: *mut libc::sockaddr, len: *mut libc::socklen_t) -> io::Result<i32> {
    // The length is looked at first, as by the kernel.
    probe(len, size_of::<libc::socklen_t>())?;
    // SAFETY: the caller has a length there.
    let room = unsafe { read(len) }?;
    // SAFETY: the caller has as much room as it says.
    match unsafe { Room::new(place, len) }? {
        // SAFETY: the same.
        Some(place) => unsafe { place.fill(shown) }?,
        None if room == 0 => {
            // SAFETY: a length was read there.
            unsafe { write(len, libc::socklen_t::try_from(shown.len()).unwrap_or(0)) }?;
        }
        None => return fail(libc::EFAULT),
    }
    Ok(0)
}

/// setsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_setsockopt(
    fd: i32,
    level: i32,
    name: i32,
    value: *const c_void,
    len: libc::socklen_t,
) -> i32 {
    call(|| {
        let fd = known(fd)?;
        let len =
            i32::try_from(len).map_or_else(|_| fail(libc::EINVAL), |len| Ok(len.unsigned_abs() as usize))?;
        probe(value, len)?;
        // SAFETY: the caller has a value of that length there.
        ioth::setsockopt(fd, level, name, unsafe { input(value, len) }?)?;
        Ok(0)
    })
}

/// getsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_getsockopt(
    fd: i32,
    level: i32,
    name: i32,
    value: *mut c_void,
    len: *mut libc::socklen_t,
) -> i32 {
    call(|| {
        let fd = known(fd)?;
        probe(len, size_of::<libc::socklen_t>())?;
        // SAFETY: the caller has a length there.
        let room = unsafe { read(len) }?;
        let room =
            i32::try_from(room).map_or_else(|_| fail(libc::EINVAL), |len| Ok(len.unsigned_abs() as usize))?;
        probe(value, room)?;
        // SAFETY: the caller has room for a value of that length there.
        let shown = ioth::getsockopt(fd, level, name, unsafe { output(value, room) }?)?;
        // SAFETY: a length was read there.
        unsafe { write(len, libc::socklen_t::try_from(shown).unwrap_or(0)) }?;
        Ok(0)
    })
}

/// shutdown(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_shutdown(fd: i32, how: i32) -> i32 {
    call(|| ioth::shutdown(descriptor(fd)?, how).map(|()| 0))
}
