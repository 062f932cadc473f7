//! Interfaces: their numbers, what they are set to, and how they come and go. Every stack is asked and told by netlink.

use crate::boundary::{call, fail};
use crate::memory::{check, input, output, read, required, string};
use crate::netlink;
use crate::registry::{self, Ioth};
use ioth::Stack;
use std::ffi::{c_char, c_void};
use std::io;

/// A parameter of a link that is to be made, as libioth has it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct NlIplinkData {
    tag: i32,
    len: i32,
    data: *const c_void,
}

/// if_nametoindex(3) on a stack: 0 when there is no such interface.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_if_nametoindex(stack: *mut c_void, name: *const c_char) -> u32 {
    call(|| {
        let stack = stack_at(stack)?;
        // SAFETY: the caller has a string there.
        let name = unsafe { required(name) }?;
        ioth::if_nametoindex(&stack, name)
    })
}

/// Sets an interface up or down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linksetupdown(stack: *mut c_void, index: u32, up: i32) -> i32 {
    call(|| netlink::change(&stack_at(stack)?, index, Some(up != 0), &[]).map(|()| 0))
}

/// Sets the Ethernet address of an interface.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linksetaddr(stack: *mut c_void, index: u32, mac: *mut c_void) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        // SAFETY: the caller has six bytes there.
        let wanted = unsafe { input(mac, 6) }?;
        netlink::change(&stack, index, None, &[(libc::IFLA_ADDRESS, wanted)]).map(|()| 0)
    })
}

/// The Ethernet address of an interface: six bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linkgetaddr(stack: *mut c_void, index: u32, mac: *mut c_void) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        let octets = netlink::look(&stack, None, index)?.1.map_or_else(|| fail(libc::EOPNOTSUPP), Ok)?;
        // SAFETY: the caller has room for six bytes there.
        unsafe { output(mac, 6) }?.copy_from_slice(&octets);
        Ok(0)
    })
}

/// Sets the largest packet of an interface.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linksetmtu(stack: *mut c_void, index: u32, mtu: u32) -> i32 {
    call(|| {
        let change = (libc::IFLA_MTU, &mtu.to_ne_bytes()[..]);
        netlink::change(&stack_at(stack)?, index, None, &[change]).map(|()| 0)
    })
}

/// Adds a link of that kind with those parameters, which is down until it is set up, and gives its number. On stacks of
/// ours the kind is "vde", or NULL, and the VNL a parameter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_iplink_add(
    stack: *mut c_void,
    name: *const c_char,
    index: u32,
    kind: *const c_char,
    data: *const NlIplinkData,
    count: i32,
) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        // SAFETY: the caller has a string there, or NULL.
        let name = unsafe { string(name) }?.unwrap_or_default();
        // SAFETY: the same.
        let kind = unsafe { string(kind) }?;
        // SAFETY: the caller has so many parameters there.
        let data = unsafe { parameters(data, count) }?;
        let kind = kind.unwrap_or_else(|| if stack.is_kernel() { "" } else { "vde" });
        // To libioth -1 is any.
        let index = if index == u32::MAX { 0 } else { index };
        let index = netlink::add(&stack, name, index, kind, &data)?;
        Ok(i32::try_from(index).unwrap_or(0))
    })
}

/// Types and data of parameters.
unsafe fn parameters<'a>(data: *const NlIplinkData, count: i32) -> io::Result<Vec<(u16, &'a [u8])>> {
    let count = usize::try_from(count).map_or_else(|_| fail(libc::EINVAL), Ok)?;
    let at = (0..count).map(|at| {
        let place = data.wrapping_add(at);
        check(place, size_of::<NlIplinkData>())?;
        // SAFETY: the caller has so many there.
        let NlIplinkData { tag, len, data } = unsafe { read(place) }?;
        let len = usize::try_from(len).map_or_else(|_| fail(libc::EINVAL), Ok)?;
        let tag = u16::try_from(tag).map_or_else(|_| fail(libc::EINVAL), Ok)?;
        // SAFETY: the caller has so many bytes there.
        Ok((tag, unsafe { input(data, len) }?))
    });
    at.collect()
}

/// Takes an interface away, by its name or, where that is NULL, by its number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_iplink_del(stack: *mut c_void, name: *const c_char, index: u32) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        // SAFETY: the caller has a string there, or NULL.
        let name = unsafe { string(name) }?;
        netlink::remove(&stack, name, index).map(|()| 0)
    })
}

/// The stack of a call whose first argument is `void *`, as in libioth.
pub(crate) fn stack_at(stack: *const c_void) -> io::Result<Stack> {
    registry::find(stack.cast::<Ioth>())
}
