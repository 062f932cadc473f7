//! getaddrinfo(3) and what belongs to it, on any stack. Memory is of the C library's allocator.

use crate::boundary::{call, number};
use crate::memory::{check, read, string, write};
use crate::registry::{self, Ioth};
use ioth::{AddrInfo, GaiError, Hints, SockAddr};
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// getaddrinfo(3) on the default stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    found: *mut *mut libc::addrinfo,
) -> i32 {
    // SAFETY: the same conditions.
    unsafe { ioth_mgetaddrinfo(registry::default_pointer(), node, service, hints, found) }
}

/// getaddrinfo(3) on a stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_mgetaddrinfo(
    stack: *mut Ioth,
    node: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    found: *mut *mut libc::addrinfo,
) -> i32 {
    code(|| {
        let stack = registry::find(stack)?;
        // SAFETY: the caller has a string there, or NULL.
        let node = unsafe { string(node) }?;
        // SAFETY: the same.
        let service = unsafe { string(service) }?;
        let hints = match hints.is_null() {
            true => Hints { flags: libc::AI_V4MAPPED | libc::AI_ADDRCONFIG, ..Hints::default() },
            false => {
                // SAFETY: the caller has one there.
                let hints = unsafe { read(hints) }?;
                let libc::addrinfo { ai_flags, ai_family, ai_socktype, ai_protocol, .. } = hints;
                Hints { flags: ai_flags, family: ai_family, socktype: ai_socktype, protocol: ai_protocol }
            }
        };
        check(found, size_of::<*mut libc::addrinfo>())?;
        let infos = ioth::getaddrinfo(&stack, node, service, &hints)?;
        let mut first = ptr::null_mut();
        for info in infos.iter().rev() {
            let next = first;
            first = allocate(info, hints.flags, next).ok_or_else(|| {
                // SAFETY: they are of this function.
                unsafe { ioth_freeaddrinfo(next) };
                GaiError::Memory
            })?;
        }
        // SAFETY: the caller has room for a pointer there.
        unsafe { write(found, first) }?;
        Ok(())
    })
}

/// One block: the structure, and behind it the address.
fn allocate(info: &AddrInfo, flags: i32, next: *mut libc::addrinfo) -> Option<*mut libc::addrinfo> {
    let address = SockAddr::from(info.address).to_bytes();
    // SAFETY: calloc takes any size.
    let block = unsafe { libc::calloc(1, size_of::<libc::addrinfo>() + address.len()) };
    if block.is_null() {
        return None;
    }
    let place = block.cast::<libc::addrinfo>();
    let behind = place.wrapping_add(1).cast::<u8>();
    let canonical = match info.canonical.as_deref().map(CString::new) {
        // SAFETY: strdup takes a string.
        Some(Ok(name)) => unsafe { libc::strdup(name.as_ptr()) },
        _ => ptr::null_mut(),
    };
    let value = libc::addrinfo {
        ai_flags: flags,
        ai_family: info.family,
        ai_socktype: info.socktype,
        ai_protocol: info.protocol,
        ai_addrlen: address.len() as libc::socklen_t,
        ai_addr: behind.cast(),
        ai_canonname: canonical,
        ai_next: next,
    };
    // SAFETY: the block is as long as both, new, and aligned for anything.
    unsafe { place.write(value) };
    // SAFETY: the same.
    unsafe { ptr::copy_nonoverlapping(address.as_ptr(), behind, address.len()) };
    Some(place)
}

/// freeaddrinfo(3), for what [`ioth_getaddrinfo`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_freeaddrinfo(mut found: *mut libc::addrinfo) {
    while !found.is_null() {
        // SAFETY: the caller gives a list of ours that nobody uses any more.
        let info = unsafe { found.read() };
        // SAFETY: strdup made it, or it is NULL.
        unsafe { libc::free(info.ai_canonname.cast()) };
        // SAFETY: calloc made it.
        unsafe { libc::free(found.cast()) };
        found = info.ai_next;
    }
}

/// gai_strerror(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_gai_strerror(code: i32) -> *const c_char {
    // SAFETY: it takes any number.
    unsafe { libc::gai_strerror(code) }
}

/// getnameinfo(3) on the default stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_getnameinfo(
    address: *const libc::sockaddr,
    len: libc::socklen_t,
    host: *mut c_char,
    host_len: libc::socklen_t,
    service: *mut c_char,
    service_len: libc::socklen_t,
    flags: i32,
) -> i32 {
    code(|| {
        let stack = registry::default_stack()?;
        // SAFETY: the caller has an address of that length there.
        let address = unsafe { crate::memory::address(address, len) }?.ip().ok_or(GaiError::Family)?;
        let wants = |text: *mut c_char, len| !text.is_null() && len > 0;
        let (name, port) = ioth::getnameinfo(&stack, &address, flags)?;
        for (text, place, len) in [(name, host, host_len), (port, service, service_len)] {
            if !wants(place, len) {
                continue;
            }
            if text.len() >= len as usize {
                return Err(GaiError::Overflow);
            }
            // SAFETY: the caller has room for so many bytes.
            let room = unsafe { crate::memory::output(place.cast(), text.len() + 1) }?;
            room[..text.len()].copy_from_slice(text.as_bytes());
            room[text.len()] = 0;
        }
        Ok(())
    })
}

/// Runs the body of a function that returns an `EAI_…`; with `EAI_SYSTEM` errno says more.
fn code(body: impl FnOnce() -> Result<(), GaiError>) -> i32 {
    let done = catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(GaiError::Fail));
    let Err(error) = done else { return 0 };
    if let GaiError::System(cause) = &error {
        let errno = number(cause);
        call::<i32>(|| crate::boundary::fail(errno));
    }
    error.code()
}
