//! The same stacks as a plugin of libioth: under the name `ioth_smoltcp-r.so` this library has the symbols that libioth
//! looks up there. It may be loaded once for any number of stacks (`-r`), and says by itself which stack a socket is of:
//! all calls but `socket` are those of the library.

use crate::boundary::{call, fail};
use crate::lifecycle;
use crate::memory::{read, string};
use crate::registry::{self, Ioth};
use crate::{data, ioctl, message, socket};
use std::ffi::{c_char, c_void};
use std::os::fd::IntoRawFd;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// The first member of `struct ioth_functions`: what the others hold, libioth finds by their names.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct IothFunctions {
    getstackdata: Option<unsafe extern "C" fn() -> *mut c_void>,
}

/// `getstackdata` of the libioth that has loaded this.
static GET_STACK_DATA: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// A pointer to a string, as a C variable has it.
#[derive(Debug)]
#[repr(transparent)]
pub struct License(*const c_char);

// SAFETY: nobody writes it or the string.
unsafe impl Sync for License {}

/// What libioth compares with the licence of the program.
#[unsafe(no_mangle)]
pub static ioth_smoltcp_license: License = License(c"SPDX-License-Identifier: MIT OR Apache-2.0".as_ptr());

/// Makes a stack with an interface for each string of a list that ends with NULL. `options` is its configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_smoltcp_newstack(
    vnlv: *const *const c_char,
    options: *const c_char,
    functions: *mut IothFunctions,
) -> *mut c_void {
    call(|| {
        // SAFETY: libioth has such a list there, or NULL.
        let vnls = unsafe { lifecycle::list(vnlv) }?;
        // SAFETY: libioth has a string there, or NULL.
        let options = unsafe { string(options) }?.unwrap_or_default();
        // SAFETY: libioth has its functions there.
        let known = unsafe { read(functions) }?.getstackdata;
        let known = known.map_or_else(|| fail(libc::EINVAL), Ok)?;
        let stack = lifecycle::build(&vnls, options)?;
        GET_STACK_DATA.store(known as *mut c_void, Relaxed);
        Ok(registry::add(stack).cast())
    })
}

/// Ends a stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_smoltcp_delstack(stack: *mut c_void) -> i32 {
    call(|| lifecycle::delete(stack.cast()))
}

/// Makes a socket on the stack that libioth says the call is for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_smoltcp_socket(domain: i32, kind: i32, protocol: i32) -> i32 {
    call(|| {
        let known = GET_STACK_DATA.load(Relaxed);
        if known.is_null() {
            return fail(libc::EINVAL);
        }
        // SAFETY: newstack, and nobody else, has stored such a function there.
        let known =
            unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *mut c_void>(known) };
        // SAFETY: libioth gives it to be called, for the stack of the call that is under way.
        let stack = unsafe { known() }.cast::<Ioth>();
        // NULL would be the kernel's, which libioth does not ask a plugin for.
        if stack.is_null() {
            return fail(libc::EINVAL);
        }
        Ok(ioth::msocket(&registry::find(stack)?, domain, kind, protocol)?.into_raw_fd())
    })
}

/// The other calls under the names of a plugin.
macro_rules! forward {
    ($($name:ident = $module:ident::$call:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        #[doc = concat!("As `", stringify!($call), "`.")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            // SAFETY: the same conditions.
            unsafe { $module::$call($($argument),*) }
        }
    )*};
}

type Address = *mut libc::sockaddr;
type Given = *const libc::sockaddr;
type Len = libc::socklen_t;

forward! {
    ioth_smoltcp_close = socket::ioth_close(fd: i32) -> i32;
    ioth_smoltcp_bind = socket::ioth_bind(fd: i32, own: Given, len: Len) -> i32;
    ioth_smoltcp_connect = socket::ioth_connect(fd: i32, peer: Given, len: Len) -> i32;
    ioth_smoltcp_listen = socket::ioth_listen(fd: i32, backlog: i32) -> i32;
    ioth_smoltcp_accept = socket::ioth_accept(fd: i32, peer: Address, len: *mut Len) -> i32;
    ioth_smoltcp_getsockname = socket::ioth_getsockname(fd: i32, own: Address, len: *mut Len) -> i32;
    ioth_smoltcp_getpeername = socket::ioth_getpeername(fd: i32, peer: Address, len: *mut Len) -> i32;
    ioth_smoltcp_setsockopt =
        socket::ioth_setsockopt(fd: i32, level: i32, name: i32, value: *const c_void, len: Len) -> i32;
    ioth_smoltcp_getsockopt =
        socket::ioth_getsockopt(fd: i32, level: i32, name: i32, value: *mut c_void, len: *mut Len) -> i32;
    ioth_smoltcp_shutdown = socket::ioth_shutdown(fd: i32, how: i32) -> i32;
    ioth_smoltcp_ioctl = ioctl::ioth_ioctl(fd: i32, request: libc::c_ulong, argument: *mut c_void) -> i32;
    ioth_smoltcp_fcntl = ioctl::ioth_fcntl(fd: i32, command: i32, argument: libc::c_long) -> i32;
    ioth_smoltcp_read = data::ioth_read(fd: i32, buffer: *mut c_void, len: usize) -> isize;
    ioth_smoltcp_readv = data::ioth_readv(fd: i32, parts: *const libc::iovec, count: i32) -> isize;
    ioth_smoltcp_recv = data::ioth_recv(fd: i32, buffer: *mut c_void, len: usize, flags: i32) -> isize;
    ioth_smoltcp_recvfrom = data::ioth_recvfrom(
        fd: i32, buffer: *mut c_void, len: usize, flags: i32, from: Address, from_len: *mut Len
    ) -> isize;
    ioth_smoltcp_recvmsg = message::ioth_recvmsg(fd: i32, message: *mut libc::msghdr, flags: i32) -> isize;
    ioth_smoltcp_write = data::ioth_write(fd: i32, data: *const c_void, len: usize) -> isize;
    ioth_smoltcp_writev = data::ioth_writev(fd: i32, parts: *const libc::iovec, count: i32) -> isize;
    ioth_smoltcp_send = data::ioth_send(fd: i32, data: *const c_void, len: usize, flags: i32) -> isize;
    ioth_smoltcp_sendto = data::ioth_sendto(
        fd: i32, data: *const c_void, len: usize, flags: i32, to: Given, to_len: Len
    ) -> isize;
    ioth_smoltcp_sendmsg = message::ioth_sendmsg(fd: i32, message: *const libc::msghdr, flags: i32) -> isize;
}
