//! getaddrinfo(3) and getnameinfo(3) of the C library, for stacks of the kernel.

#![allow(unsafe_code)]

use crate::resolver::{AddrInfo, GaiError, Hints};
use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrArg;
use std::ffi::{CStr, CString};
use std::net::SocketAddr;
use std::ptr;

/// netdb.h: a name has up to so many bytes.
const HOST: usize = libc::NI_MAXHOST as usize;
/// netdb.h: NI_MAXSERV.
const SERVICE: usize = 32;

/// The addresses of a name, as the host's resolver has them.
pub(crate) fn addresses(
    node: Option<&str>,
    service: Option<&str>,
    hints: &Hints,
) -> Result<Vec<AddrInfo>, GaiError> {
    let text = |text: Option<&str>| text.map(CString::new).transpose().map_err(|_| GaiError::NoName);
    let (node, service) = (text(node)?, text(service)?);
    let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    let wanted = libc::addrinfo {
        ai_flags: hints.flags,
        ai_family: hints.family,
        ai_socktype: hints.socktype,
        ai_protocol: hints.protocol,
        ai_addrlen: 0,
        ai_addr: ptr::null_mut(),
        ai_canonname: ptr::null_mut(),
        ai_next: ptr::null_mut(),
    };
    let mut list = ptr::null_mut();
    // SAFETY: getaddrinfo needs NUL-terminated strings or null: they are `CString`s that live until the end of this function.
    // It needs hints whose other fields are zero: they are. It writes the list through the last pointer, a local.
    let code =
        unsafe { libc::getaddrinfo(pointer(&node), pointer(&service), &raw const wanted, &raw mut list) };
    check(code)?;
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: the list is what getaddrinfo wrote; each entry is valid until freeaddrinfo, and the last points to null.
    while let Some(entry) = unsafe { next.as_ref() } {
        found.extend(read(entry));
        next = entry.ai_next;
    }
    // SAFETY: freeaddrinfo needs a list of getaddrinfo that is used no more: nothing borrows from it now.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

/// An entry, unless it is of a family without IP addresses.
fn read(entry: &libc::addrinfo) -> Option<AddrInfo> {
    // SAFETY: the entry has a socket address of that length, which getaddrinfo has initialised.
    let address = unsafe { SocketAddrAny::read(entry.ai_addr.cast(), entry.ai_addrlen) };
    let canonical = (!entry.ai_canonname.is_null()).then(|| {
        // SAFETY: the name ends with NUL and is valid as long as the entry.
        let name = unsafe { CStr::from_ptr(entry.ai_canonname) };
        name.to_string_lossy().into_owned()
    });
    Some(AddrInfo {
        family: entry.ai_family,
        socktype: entry.ai_socktype,
        protocol: entry.ai_protocol,
        address: address.try_into().ok()?,
        canonical,
    })
}

/// The name of an address and of its port, as the host's resolver has them.
pub(crate) fn names(address: &SocketAddr, flags: i32) -> Result<(String, String), GaiError> {
    let (mut host, mut service) = ([0u8; HOST], [0u8; SERVICE]);
    let call = |address: *const rustix::net::addr::SocketAddrOpaque, len| {
        let (host, host_len) = (host.as_mut_ptr().cast(), HOST as libc::socklen_t);
        let (service, service_len) = (service.as_mut_ptr().cast(), SERVICE as libc::socklen_t);
        // SAFETY: getnameinfo needs a socket address of the given length, which is what the closure is given, and two
        // buffers that it may write, of the given lengths: they are locals that outlive the call.
        unsafe { libc::getnameinfo(address.cast(), len, host, host_len, service, service_len, flags) }
    };
    // SAFETY: the closure relies on no more than what with_sockaddr says: a pointer to an address of that length.
    let code = unsafe { address.with_sockaddr(call) };
    check(code)?;
    let text = |bytes: &[u8]| {
        let text = CStr::from_bytes_until_nul(bytes).map_err(|_| GaiError::Overflow)?;
        Ok::<_, GaiError>(text.to_string_lossy().into_owned())
    };
    Ok((text(&host)?, text(&service)?))
}

fn check(code: i32) -> Result<(), GaiError> {
    if code == 0 { Ok(()) } else { Err(GaiError::from_code(code)) }
}
