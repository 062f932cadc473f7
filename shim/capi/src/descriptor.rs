//! What concerns the descriptor: ioctl(2), fcntl(2), and waiting for several.

use crate::boundary::{call, checked, fail};
use crate::memory::{descriptor, read, write};
use std::ffi::c_void;

/// ioctl(2). On a socket of a stack: those of the descriptor, `FIONBIO`, `FIONREAD`, `TIOCOUTQ`, `SIOCATMARK`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_ioctl(fd: i32, request: libc::c_ulong, argument: *mut c_void) -> i32 {
    call(|| {
        let borrowed = descriptor(fd)?;
        let own = match ioth::is_own(borrowed) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => false,
            known => known?,
        };
        match request {
            _ if !own => {}
            libc::FIONBIO => {
                // SAFETY: the caller has an integer there.
                let on = unsafe { read(argument.cast::<i32>()) }?;
                return ioth::set_nonblocking(borrowed, on != 0).map(|()| 0);
            }
            SIOCATMARK => {
                let next = ioth::sockatmark(borrowed)?;
                // SAFETY: the caller has room for an integer there.
                return unsafe { write(argument.cast(), i32::from(next)) }.map(|()| 0);
            }
            libc::FIONREAD | libc::TIOCOUTQ | libc::FIOASYNC | libc::FIOCLEX | libc::FIONCLEX => {}
            FIOSETOWN | FIOGETOWN | SIOCSPGRP | SIOCGPGRP => {}
            // To the kernel the descriptor is one of AF_UNIX: of interfaces it would tell its own.
            _ => return fail(libc::ENOTTY),
        }
        // SAFETY: what the kernel does with the argument, the caller has chosen by the request; it checks where it leads.
        checked(unsafe { libc::ioctl(fd, request, argument) })
    })
}

// asm-generic/sockios.h; libc lacks them.
const FIOSETOWN: libc::c_ulong = 0x8901;
const SIOCSPGRP: libc::c_ulong = 0x8902;
const FIOGETOWN: libc::c_ulong = 0x8903;
const SIOCGPGRP: libc::c_ulong = 0x8904;
const SIOCATMARK: libc::c_ulong = 0x8905;

/// fcntl(2), always with a third argument.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_fcntl(fd: i32, command: i32, argument: libc::c_long) -> i32 {
    // SAFETY: as of ioctl. A descriptor of ours is one of the kernel's, and what it does here holds for both.
    call(|| checked(unsafe { libc::fcntl(fd, command, argument) }))
}

/// poll(2), on sockets of any stack and any other descriptors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: i32) -> i32 {
    // SAFETY: poll checks where the pointer leads.
    call(|| checked(unsafe { libc::poll(fds, count, timeout) }))
}

/// select(2), on sockets of any stack and any other descriptors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_select(
    count: i32,
    readable: *mut libc::fd_set,
    writable: *mut libc::fd_set,
    exceptional: *mut libc::fd_set,
    timeout: *mut libc::timeval,
) -> i32 {
    if count < 0 {
        return call::<i32>(|| fail(libc::EINVAL));
    }
    call(|| {
        // SAFETY: select checks where the pointers lead.
        checked(unsafe { libc::select(count, readable, writable, exceptional, timeout) })
    })
}
