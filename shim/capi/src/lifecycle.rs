//! How stacks are made from the strings of libioth, and end.

use crate::boundary::{call, fail};
use crate::memory::{check, required, string};
use crate::registry::{self, Ioth};
use ioth::Stack;
use std::ffi::c_char;
use std::io;

/// What a program is licensed under. Here every licence may be linked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_set_license(_spdx: *const c_char) {}

/// Makes a stack with one interface, or none where `vnl` is NULL. See ioth_newstack(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_newstack(stack: *const c_char, vnl: *const c_char) -> *mut Ioth {
    call(|| {
        // SAFETY: the caller has a string there, or NULL.
        let stack = unsafe { string(stack) }?;
        // SAFETY: the same.
        let vnl = unsafe { string(vnl) }?;
        make(stack, vnl.as_slice())
    })
}

/// Makes a stack with an interface for each string of a list that ends with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_newstackv(stack: *const c_char, vnlv: *const *const c_char) -> *mut Ioth {
    // SAFETY: the same conditions.
    unsafe { newstackv(stack, vnlv) }
}

/// The same, for calls from inside: no other library can put itself in between.
pub(crate) unsafe extern "C" fn newstackv(stack: *const c_char, vnlv: *const *const c_char) -> *mut Ioth {
    call(|| {
        // SAFETY: the caller has a string there.
        let stack = unsafe { string(stack) }?;
        // SAFETY: the caller has such a list there.
        make(stack, &unsafe { list(vnlv) }?)
    })
}

/// Ends a stack. See ioth_delstack(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_delstack(stack: *mut Ioth) -> i32 {
    call(|| delete(stack))
}

/// Sets the default stack of the process: of every thread that has none of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_set_defstack(stack: *mut Ioth) {
    // libioth has no result here: what is no stack changes nothing.
    call(|| registry::set_default(stack).map(|()| 0));
}

/// Sets the default stack of the calling thread; NULL: the one of the process again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_set_defstack_thread(stack: *mut Ioth) -> i32 {
    call(|| registry::set_default_here(stack).map(|()| 0))
}

/// The default stack of the calling thread; NULL is the kernel's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_get_defstack() -> *mut Ioth {
    call(|| Ok(registry::default_pointer()))
}

/// Makes a stack from `name[,options]` and `[ifname:]VNL`s.
pub(crate) fn make(stack: Option<&str>, vnls: &[&str]) -> io::Result<*mut Ioth> {
    let stack = stack.unwrap_or_default();
    let (name, config) = stack.split_once(',').unwrap_or((stack, ""));
    let stack = match (name, vnls) {
        ("" | "kernel", []) => Stack::new("kernel:", config)?,
        // What is no interface but another stack of the kernel.
        ("" | "kernel", [vnl])
            if *vnl == "kernel" || vnl.starts_with("kernel:") || vnl.starts_with("netns:") =>
        {
            Stack::new(vnl, config)?
        }
        // The kernel has its interfaces.
        ("" | "kernel", _) => return fail(libc::EINVAL),
        ("smoltcp" | "ioth", vnls) => build(vnls, config)?,
        _ => return fail(libc::ENOENT),
    };
    Ok(registry::add(stack))
}

/// Makes a stack of ours.
pub(crate) fn build(vnls: &[&str], config: &str) -> io::Result<Stack> {
    let named = vnls.iter().fold(Stack::builder(), |builder, vnl| builder.interface("", vnl));
    Ok(named.config(config).build()?)
}

/// Strings up to NULL.
pub(crate) unsafe fn list<'a>(list: *const *const c_char) -> io::Result<Vec<&'a str>> {
    let mut strings = Vec::new();
    if list.is_null() {
        return Ok(strings);
    }
    loop {
        let at = list.wrapping_add(strings.len());
        check(at, size_of::<*const c_char>())?;
        // SAFETY: nothing before it was NULL, so the list of the caller goes on to here.
        let item = unsafe { at.read_unaligned() };
        if item.is_null() {
            return Ok(strings);
        }
        // SAFETY: the caller has strings there.
        strings.push(unsafe { required(item) }?);
    }
}

/// Forgets a stack that has no sockets.
pub(crate) fn delete(stack: *mut Ioth) -> io::Result<i32> {
    if stack.is_null() {
        return fail(libc::EINVAL);
    }
    if registry::find(stack)?.open_sockets() > 0 {
        return fail(libc::EBUSY);
    }
    registry::remove(stack);
    Ok(0)
}
