//! Addresses of interfaces, and routes, with the errnos that rtnetlink(7) has for them.

use crate::boundary::{call, fail};
use crate::link::stack_at;
use crate::memory::input;
use crate::netlink::{self, Change};
use std::ffi::c_void;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Gives an interface an address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_ipaddr_add(
    stack: *mut c_void,
    family: i32,
    address: *mut c_void,
    prefix: i32,
    index: i32,
) -> i32 {
    // SAFETY: the same conditions.
    call(|| unsafe { change_address(Change::Add, stack, family, address, prefix, index) })
}

/// Takes an address from an interface.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_ipaddr_del(
    stack: *mut c_void,
    family: i32,
    address: *mut c_void,
    prefix: i32,
    index: i32,
) -> i32 {
    // SAFETY: the same conditions.
    call(|| unsafe { change_address(Change::Remove, stack, family, address, prefix, index) })
}

unsafe fn change_address(
    change: Change,
    stack: *const c_void,
    family: i32,
    address: *const c_void,
    prefix: i32,
    index: i32,
) -> io::Result<i32> {
    let stack = stack_at(stack)?;
    // SAFETY: the caller has an address of that family there.
    let address = unsafe { self::address(family, address) }?;
    netlink::address(&stack, change, address, within(address, prefix)?, number(index)?).map(|()| 0)
}

/// Adds a route; `destination` NULL and 0: the default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_iproute_add(
    stack: *mut c_void,
    family: i32,
    destination: *mut c_void,
    prefix: i32,
    gateway: *mut c_void,
    index: i32,
) -> i32 {
    // SAFETY: the same conditions.
    call(|| unsafe { change_route(Change::Add, stack, family, (destination, prefix), gateway, index) })
}

/// Takes a route away.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_iproute_del(
    stack: *mut c_void,
    family: i32,
    destination: *mut c_void,
    prefix: i32,
    gateway: *mut c_void,
    index: i32,
) -> i32 {
    // SAFETY: the same conditions.
    call(|| unsafe { change_route(Change::Remove, stack, family, (destination, prefix), gateway, index) })
}

unsafe fn change_route(
    change: Change,
    stack: *const c_void,
    family: i32,
    (destination, prefix): (*const c_void, i32),
    gateway: *const c_void,
    index: i32,
) -> io::Result<i32> {
    let stack = stack_at(stack)?;
    // SAFETY: the caller has addresses of that family there, or NULL.
    let (to, via) = unsafe { ends(family, destination, prefix, gateway) }?;
    netlink::route(&stack, change, to, via, number(index)?).map(|()| 0)
}

/// The number of an interface.
fn number(index: i32) -> io::Result<u32> {
    u32::try_from(index).map_or_else(|_| fail(libc::ENODEV), Ok)
}

/// Where a route leads, and its gateway.
unsafe fn ends(
    family: i32,
    destination: *const c_void,
    prefix: i32,
    gateway: *const c_void,
) -> io::Result<((IpAddr, i32), Option<IpAddr>)> {
    let any = match family {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return fail(libc::EAFNOSUPPORT),
    };
    let destination = match destination.is_null() {
        true => any,
        // SAFETY: the caller has an address of that family there.
        false => unsafe { address(family, destination) }?,
    };
    let prefix = within(destination, prefix)?;
    let gateway = match gateway.is_null() {
        true => None,
        // SAFETY: the caller has an address of that family there.
        false => Some(unsafe { address(family, gateway) }?),
    };
    Ok(((destination, prefix), gateway))
}

/// `in_addr` or `in6_addr`.
unsafe fn address(family: i32, address: *const c_void) -> io::Result<IpAddr> {
    let len = match family {
        libc::AF_INET => 4,
        libc::AF_INET6 => 16,
        _ => return fail(libc::EAFNOSUPPORT),
    };
    // SAFETY: the caller has an address of that family there.
    let bytes = unsafe { input(address, len) }?;
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).map_or_else(|_| fail(libc::EINVAL), Ok)
}

/// A prefix length that an address may have.
fn within(address: IpAddr, prefix: i32) -> io::Result<i32> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    if (0..=most).contains(&prefix) { Ok(prefix) } else { fail(libc::EINVAL) }
}
