//! Interfaces: their numbers, what they are set to, and how they come and go. Stacks of ours are asked and told directly;
//! for those of the kernel there is ip(8): `EOPNOTSUPP`.

use crate::boundary::{call, fail};
use crate::memory::{input, output, read, required, string};
use crate::registry::{self, Ioth};
use ioth::Stack;
use ioth::snapshot::{Interface, Snapshot};
use std::ffi::{CString, c_char, c_void};
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
            let name = CString::new(name).map_or_else(|_| fail(libc::EINVAL), Ok)?;
            // SAFETY: it takes a string.
            let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
            return if index == 0 { Err(io::Error::last_os_error()) } else { Ok(index) };
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
        interface(&stack_at(stack)?.snapshot()?, index)?;
        if up == 0 { fail(libc::EOPNOTSUPP) } else { Ok(0) }
    })
}

/// Sets the Ethernet address of an interface: it has it from its beginning, `EOPNOTSUPP` for another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linksetaddr(stack: *mut c_void, index: u32, mac: *mut c_void) -> i32 {
    call(|| {
        let snapshot = stack_at(stack)?.snapshot()?;
        // SAFETY: the caller has six bytes there.
        let wanted = unsafe { input(mac, 6) }?;
        if interface(&snapshot, index)?.mac.octets() == wanted { Ok(0) } else { fail(libc::EOPNOTSUPP) }
    })
}

/// The Ethernet address of an interface: six bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linkgetaddr(stack: *mut c_void, index: u32, mac: *mut c_void) -> i32 {
    call(|| {
        let snapshot = stack_at(stack)?.snapshot()?;
        // SAFETY: the caller has room for six bytes there.
        unsafe { output(mac, 6) }?.copy_from_slice(&interface(&snapshot, index)?.mac.octets());
        Ok(0)
    })
}

/// Sets the largest packet of an interface.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_linksetmtu(stack: *mut c_void, index: u32, mtu: u32) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        let snapshot = stack.snapshot()?;
        stack.configure(&format!("iface={},mtu={mtu}", interface(&snapshot, index)?.name))?;
        Ok(0)
    })
}

/// Adds an interface on the VNL that is in `data`; `kind`: "vde", or NULL. Gives its number; `index` is not chosen.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_iplink_add(
    stack: *mut c_void,
    name: *const c_char,
    _index: u32,
    kind: *const c_char,
    data: *const NlIplinkData,
    count: i32,
) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        // SAFETY: the caller has a string there, or NULL.
        let name = unsafe { string(name) }?.unwrap_or_default();
        // SAFETY: the same.
        if !matches!(unsafe { string(kind) }?, None | Some("vde")) {
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

/// Takes an interface away, by its name or, where that is NULL, by its number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_iplink_del(stack: *mut c_void, name: *const c_char, index: u32) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        let snapshot = stack.snapshot()?;
        // SAFETY: the caller has a string there, or NULL.
        let name = match unsafe { string(name) }? {
            Some(name) => name,
            None => &interface(&snapshot, index)?.name,
        };
        if !snapshot.interfaces.iter().any(|known| known.index.index() != 0 && known.name == name) {
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
    let known = snapshot.interfaces.iter().find(|known| index != 0 && known.index.index() == index);
    known.map_or_else(|| fail(libc::ENODEV), Ok)
}
