//! Interfaces: their numbers, what they are set to, and how they come and go. Stacks of ours are asked and told directly,
//! those of the kernel by netlink.

use crate::boundary::{call, fail};
use crate::memory::{check, input, output, read, required, string};
use crate::netlink;
use crate::registry::{self, Ioth};
use ioth::Stack;
use ioth::snapshot::{Interface, Snapshot};
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
        if stack.is_kernel() {
            return Ok(netlink::look(&stack, Some(name), 0)?.0);
        }
        let snapshot = stack.snapshot()?;
        let known = snapshot.interfaces.iter().find(|known| known.name == name);
        known.map_or_else(|| fail(libc::ENODEV), |known| Ok(known.index.index()))
    })
}

/// Whether an interface is up. Those of our stacks always are: `EOPNOTSUPP` for 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linksetupdown(stack: *mut c_void, index: u32, up: i32) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        if stack.is_kernel() {
            return netlink::change(&stack, index, Some(up != 0), &[]).map(|()| 0);
        }
        interface(&stack.snapshot()?, index)?;
        if up == 0 { fail(libc::EOPNOTSUPP) } else { Ok(0) }
    })
}

/// Sets the Ethernet address of an interface: it has it from its beginning, `EOPNOTSUPP` for another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linksetaddr(stack: *mut c_void, index: u32, mac: *mut c_void) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        // SAFETY: the caller has six bytes there.
        let wanted = unsafe { input(mac, 6) }?;
        if stack.is_kernel() {
            return netlink::change(&stack, index, None, &[(libc::IFLA_ADDRESS, wanted)]).map(|()| 0);
        }
        let snapshot = stack.snapshot()?;
        if interface(&snapshot, index)?.mac.octets() == wanted { Ok(0) } else { fail(libc::EOPNOTSUPP) }
    })
}

/// The Ethernet address of an interface: six bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linkgetaddr(stack: *mut c_void, index: u32, mac: *mut c_void) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        let octets = if stack.is_kernel() {
            netlink::look(&stack, None, index)?.1.map_or_else(|| fail(libc::EOPNOTSUPP), Ok)?
        } else {
            interface(&stack.snapshot()?, index)?.mac.octets()
        };
        // SAFETY: the caller has room for six bytes there.
        unsafe { output(mac, 6) }?.copy_from_slice(&octets);
        Ok(0)
    })
}

/// Sets the largest packet of an interface.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linksetmtu(stack: *mut c_void, index: u32, mtu: u32) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        if stack.is_kernel() {
            return netlink::change(&stack, index, None, &[(libc::IFLA_MTU, &mtu.to_ne_bytes())]).map(|()| 0);
        }
        let snapshot = stack.snapshot()?;
        stack.configure(&format!("iface={},mtu={mtu}", interface(&snapshot, index)?.name))?;
        Ok(0)
    })
}

/// Adds an interface on the VNL that is in `data`; `kind`: "vde", or NULL. Gives its number; `index` is not chosen. For the
/// kernel, a link of that kind with those parameters.
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
        if stack.is_kernel() {
            // SAFETY: the caller has so many parameters there.
            let data = unsafe { parameters(data, count) }?;
            let index = netlink::add(&stack, name, index, kind.unwrap_or_default(), &data)?;
            return Ok(i32::try_from(index).unwrap_or(0));
        }
        if !matches!(kind, None | Some("vde")) {
            return fail(libc::EOPNOTSUPP);
        }
        if count < 1 {
            return fail(libc::EINVAL);
        }
        // SAFETY: the caller has at least one there.
        let NlIplinkData { len, data, .. } = unsafe { read(data) }?;
        let len = usize::try_from(len).map_or_else(|_| fail(libc::EINVAL), Ok)?;
        // SAFETY: the caller has so many bytes there.
        let vnl = unsafe { input(data, len) }?;
        // The zero behind it counts, or does not.
        let vnl =
            str::from_utf8(vnl).map_or_else(|_| fail(libc::EINVAL), |vnl| Ok(vnl.trim_end_matches('\0')))?;
        if stack.snapshot()?.interfaces.iter().any(|known| known.name == name) {
            return fail(libc::EEXIST);
        }
        let name = stack.add_interface(name, vnl, "")?;
        let snapshot = stack.snapshot()?;
        let known = snapshot.interfaces.iter().find(|known| known.name == name);
        Ok(known.and_then(|known| known.index.index().try_into().ok()).unwrap_or(0))
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
        if stack.is_kernel() {
            return netlink::remove(&stack, name, index).map(|()| 0);
        }
        let snapshot = stack.snapshot()?;
        let name = match name {
            Some(name) => name,
            None => &interface(&snapshot, index)?.name,
        };
        if !snapshot.interfaces.iter().any(|known| !known.is_loopback() && known.name == name) {
            return fail(libc::ENODEV);
        }
        stack.remove_interface(name)?;
        Ok(0)
    })
}

/// The stack of a call whose first argument is `void *`, as in libioth.
pub(crate) fn stack_at(stack: *const c_void) -> io::Result<Stack> {
    registry::find(stack.cast::<Ioth>())
}

/// The interface with that number; what is on loopback is not configured.
pub(crate) fn interface(snapshot: &Snapshot, index: u32) -> io::Result<&Interface> {
    let known = snapshot.interfaces.iter().find(|known| !known.is_loopback() && known.index.index() == index);
    known.map_or_else(|| fail(libc::ENODEV), Ok)
}
