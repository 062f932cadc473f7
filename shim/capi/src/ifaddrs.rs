//! getifaddrs(3) on a stack: its interfaces, then their addresses. Each entry is one block of the C library's allocator.

use crate::boundary::{call, fail};
use crate::link::stack_at;
use crate::memory::{check, write};
use ioth::{InterfaceAddress, SockAddr};
use std::ffi::c_void;
use std::io;
use std::ptr;

/// getifaddrs(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_getifaddrs(stack: *mut c_void, found: *mut *mut libc::ifaddrs) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        check(found, size_of::<*mut libc::ifaddrs>())?;
        let list = chain(&ioth::getifaddrs(&stack)?)?;
        // SAFETY: the caller has room for a pointer there.
        unsafe { write(found, list) }.map(|()| 0)
    })
}

/// freeifaddrs(3), for what [`ioth_getifaddrs`] gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_freeifaddrs(mut list: *mut libc::ifaddrs) {
    while !list.is_null() {
        // SAFETY: the caller gives a list of ours that nobody uses any more.
        let next = unsafe { list.read() }.ifa_next;
        // SAFETY: calloc made it.
        unsafe { libc::free(list.cast()) };
        list = next;
    }
}

fn chain(entries: &[InterfaceAddress]) -> io::Result<*mut libc::ifaddrs> {
    let mut first = ptr::null_mut();
    for entry in entries.iter().rev() {
        let Some(block) = allocate(entry, first) else {
            // SAFETY: what there is was made here.
            unsafe { ioth_freeifaddrs(first) };
            return fail(libc::ENOMEM);
        };
        first = block;
    }
    Ok(first)
}

/// One block: the structure, behind it the addresses, then the name.
fn allocate(entry: &InterfaceAddress, next: *mut libc::ifaddrs) -> Option<*mut libc::ifaddrs> {
    const HEAD: usize = size_of::<libc::ifaddrs>();
    let mut bytes = vec![0; HEAD];
    let mut put = |part: &[u8]| {
        // Aligned for what is read there.
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let at = bytes.len();
        bytes.extend(part);
        (!part.is_empty()).then_some(at)
    };
    let bytes_of = |address: &Option<SockAddr>| address.as_ref().map(SockAddr::to_bytes).unwrap_or_default();
    let places = [&entry.address, &entry.netmask, &entry.broadcast].map(|address| put(&bytes_of(address)));
    let name = put(&[entry.name.as_bytes(), &[0]].concat());
    // SAFETY: calloc takes any size.
    let block = unsafe { libc::calloc(1, bytes.len()) }.cast::<u8>();
    if block.is_null() {
        return None;
    }
    let at = |place: Option<usize>| place.map_or(ptr::null_mut(), |place| block.wrapping_add(place));
    let [address, mask, broadcast] = places.map(at);
    let head = libc::ifaddrs {
        ifa_next: next,
        ifa_name: at(name).cast(),
        ifa_flags: entry.flags,
        ifa_addr: address.cast(),
        ifa_netmask: mask.cast(),
        ifa_ifu: broadcast.cast(),
        ifa_data: ptr::null_mut(),
    };
    // SAFETY: the block is new, and as long.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), block, bytes.len()) };
    // SAFETY: the same; calloc aligns for anything.
    unsafe { block.cast::<libc::ifaddrs>().write(head) };
    Some(block.cast())
}
