//! if_nameindex(3) and getifaddrs(3) of the C library, for stacks of the kernel.

#![allow(unsafe_code)]

use crate::interfaces::InterfaceAddress;
use crate::sockaddr::SockAddr;
use std::ffi::{CStr, c_char};
use std::io;
use std::ptr;
use std::slice;

/// Index and name of every interface.
pub(crate) fn indices() -> io::Result<Vec<(u32, String)>> {
    // SAFETY: if_nameindex has no conditions.
    let list = unsafe { libc::if_nameindex() };
    if list.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    for at in 0.. {
        // SAFETY: the array ends with an entry whose name is null, and nothing behind that is looked at.
        let entry = unsafe { list.add(at) };
        // SAFETY: it is an entry of the array, as above.
        let entry = unsafe { &*entry };
        if entry.if_name.is_null() {
            break;
        }
        found.push((entry.if_index, text(entry.if_name)));
    }
    // SAFETY: the array is the one of if_nameindex, and nothing refers to it any more.
    unsafe { libc::if_freenameindex(list) };
    Ok(found)
}

/// The addresses of all interfaces.
pub(crate) fn addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut list = ptr::null_mut();
    // SAFETY: getifaddrs writes the list through the pointer, a local.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: each entry is valid until freeifaddrs, and the last points to null.
    while let Some(entry) = unsafe { next.as_ref() } {
        found.push(InterfaceAddress {
            name: text(entry.ifa_name),
            flags: entry.ifa_flags,
            address: address(entry.ifa_addr),
            netmask: address(entry.ifa_netmask),
            broadcast: address(entry.ifa_ifu),
        });
        next = entry.ifa_next;
    }
    // SAFETY: the list is the one of getifaddrs, and nothing refers to it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

fn text(name: *const c_char) -> String {
    // SAFETY: the names of both lists are strings that end with NUL and live as long as their list.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

fn address(address: *const libc::sockaddr) -> Option<SockAddr> {
    // SAFETY: getifaddrs gives null or a socket address, whose family says how long it is.
    let family = i32::from(unsafe { address.as_ref() }?.sa_family);
    let len = match family {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        libc::AF_PACKET => size_of::<libc::sockaddr_ll>(),
        _ => return None,
    };
    // SAFETY: the address is of that length by its family, and lives as long as the list.
    let bytes = unsafe { slice::from_raw_parts(address.cast::<u8>(), len) };
    Some(SockAddr::from_bytes(bytes))
}
