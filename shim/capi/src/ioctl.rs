//! ioctl(2) and fcntl(2): what concerns the descriptor, and interfaces by netdevice(7).

use crate::boundary::{call, checked, fail};
use crate::memory::{check, descriptor, output, read, write};
use ioth::Stack;
use std::collections::HashMap;
use std::ffi::c_void;
use std::io;

/// ioctl(2). On a socket of a stack: those of the descriptor, those of ip(7), tcp(7) and udp(7), and those of netdevice(7)
/// about the interfaces of the stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_ioctl(fd: i32, request: libc::c_ulong, argument: *mut c_void) -> i32 {
    call(|| {
        let borrowed = descriptor(fd)?;
        let own = match ioth::is_own(borrowed) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => false,
            known => known?,
        };
        // What means the same on any descriptor.
        let plain = matches!(
            request,
            libc::FIOASYNC | libc::FIOCLEX | libc::FIONCLEX | FIOSETOWN | FIOGETOWN | SIOCSPGRP | SIOCGPGRP
        );
        if !own || plain {
            // SAFETY: what the kernel does with the argument, the caller has chosen by the request; it checks where it
            // leads.
            return checked(unsafe { libc::ioctl(fd, request, argument) });
        }
        // The kernel looks at 32 bits.
        let request = request as u32;
        if request == SIOCGIFCONF {
            let Some(stack) = Stack::of(borrowed)? else { return fail(libc::ENOTTY) };
            // SAFETY: the caller has a list of interfaces there.
            return unsafe { list(&stack, argument.cast()) };
        }
        let Some(len) = length(request) else { return fail(libc::ENOTTY) };
        // SAFETY: the caller has what belongs to the request there, an integer or a `struct ifreq`.
        ioth::ioctl(borrowed, request, unsafe { output(argument, len) }?)
    })
}

/// Bytes of the argument of a request that stacks of ours know.
const fn length(request: u32) -> Option<usize> {
    match request {
        ioth::FIONREAD | ioth::FIONBIO | ioth::SIOCATMARK | ioth::SIOCOUTQ | ioth::SIOCOUTQNSD => Some(4),
        ioth::SIOCGIFNAME..=ioth::SIOCSIFHWADDR
        | ioth::SIOCGIFHWADDR
        | ioth::SIOCGIFINDEX
        | ioth::SIOCGIFTXQLEN => Some(size_of::<libc::ifreq>()),
        _ => None,
    }
}

/// `SIOCGIFCONF`: name and IPv4 address of every interface that has one, as inet_gifconf of Linux gives them; without a
/// place, how long that is.
unsafe fn list(stack: &Stack, argument: *mut libc::ifconf) -> io::Result<i32> {
    // SAFETY: the caller has such a structure there.
    let mut conf = unsafe { read(argument) }?;
    // SAFETY: both members are pointers.
    let place = unsafe { conf.ifc_ifcu.ifcu_buf }.cast::<c_void>();
    let entries = entries(stack)?;
    const ENTRY: usize = size_of::<libc::ifreq>();
    let count = if place.is_null() {
        entries.len()
    } else {
        let room = usize::try_from(conf.ifc_len).unwrap_or(0) / ENTRY;
        let shown = &entries[..entries.len().min(room)];
        check(place, shown.len() * ENTRY)?;
        for (at, entry) in shown.iter().enumerate() {
            // SAFETY: the caller has room for as many as its length says.
            unsafe { output(place.wrapping_byte_add(at * ENTRY), ENTRY) }?.copy_from_slice(entry);
        }
        shown.len()
    };
    conf.ifc_len = i32::try_from(count * ENTRY).unwrap_or(0);
    // SAFETY: it was read there.
    unsafe { write(argument, conf) }.map(|()| 0)
}

fn entries(stack: &Stack) -> io::Result<Vec<[u8; size_of::<libc::ifreq>()]>> {
    let order: HashMap<String, u32> =
        ioth::if_nameindex(stack)?.into_iter().map(|(index, name)| (name, index)).collect();
    let mut known: Vec<_> = ioth::getifaddrs(stack)?
        .into_iter()
        .filter_map(|known| {
            let address = known.address.filter(|address| address.family() == libc::AF_INET)?;
            Some((order.get(&known.name).copied(), known.name, address.to_bytes()))
        })
        .collect();
    // Each interface with all of its addresses, as by the kernel.
    known.sort_by_key(|(index, ..)| *index);
    let entry = |(_, name, address): (_, String, Vec<u8>)| {
        let mut entry = [0; size_of::<libc::ifreq>()];
        let len = name.len().min(libc::IFNAMSIZ - 1);
        entry[..len].copy_from_slice(&name.as_bytes()[..len]);
        entry[libc::IFNAMSIZ..libc::IFNAMSIZ + address.len()].copy_from_slice(&address);
        entry
    };
    Ok(known.into_iter().map(entry).collect())
}

// asm-generic/sockios.h and linux/sockios.h; libc lacks them.
const FIOSETOWN: libc::c_ulong = 0x8901;
const SIOCSPGRP: libc::c_ulong = 0x8902;
const FIOGETOWN: libc::c_ulong = 0x8903;
const SIOCGPGRP: libc::c_ulong = 0x8904;
const SIOCGIFCONF: u32 = 0x8912;

/// fcntl(2), always with a third argument.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_fcntl(fd: i32, command: i32, argument: libc::c_long) -> i32 {
    // SAFETY: as of ioctl. A descriptor of ours is one of the kernel's, and what it does here holds for both.
    call(|| checked(unsafe { libc::fcntl(fd, command, argument) }))
}
