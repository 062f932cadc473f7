//! getifaddrs(3) on a stack: its interfaces, then their addresses. Each entry is one block of the C library's allocator.

use crate::boundary::{call, checked, fail};
use crate::link::stack_at;
use crate::memory::{check, write};
use ioth::snapshot::Snapshot;
use ioth::{LinkAddr, SockAddr, Stack};
use std::ffi::c_void;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::ptr;

/// What an entry holds.
struct Entry {
    name: String,
    flags: u32,
    address: Vec<u8>,
    mask: Vec<u8>,
    broadcast: Vec<u8>,
}

/// getifaddrs(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_getifaddrs(stack: *mut c_void, found: *mut *mut libc::ifaddrs) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        check(found, size_of::<*mut libc::ifaddrs>())?;
        if stack.is_kernel() {
            // Of another namespace the C library would tell the wrong ones.
            if stack.name() != Stack::kernel().name() {
                return fail(libc::EOPNOTSUPP);
            }
            let mut list = ptr::null_mut();
            // SAFETY: it takes room for a pointer.
            checked(unsafe { libc::getifaddrs(&raw mut list) })?;
            let entries = copies(list);
            // SAFETY: getifaddrs made it, and nothing refers to it any more.
            unsafe { libc::freeifaddrs(list) };
            // SAFETY: the caller has room for a pointer there.
            return unsafe { write(found, chain(&entries?)?) }.map(|()| 0);
        }
        // SAFETY: the caller has room for a pointer there.
        unsafe { write(found, chain(&entries(&stack.snapshot()?))?) }.map(|()| 0)
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

/// What the kernel's list holds, to be freed by the same call as ours.
fn copies(mut list: *mut libc::ifaddrs) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    while !list.is_null() {
        // SAFETY: getifaddrs made the list.
        let entry = unsafe { list.read() };
        // SAFETY: so has it the name.
        let name = unsafe { std::ffi::CStr::from_ptr(entry.ifa_name) }.to_string_lossy().into_owned();
        // SAFETY: and the addresses, which are as long as their family says.
        let bytes = |address: *const libc::sockaddr| unsafe { copy(address) };
        entries.push(Entry {
            name,
            flags: entry.ifa_flags,
            address: bytes(entry.ifa_addr)?,
            mask: bytes(entry.ifa_netmask)?,
            broadcast: bytes(entry.ifa_ifu)?,
        });
        list = entry.ifa_next;
    }
    Ok(entries)
}

/// The bytes of an address; none for NULL.
unsafe fn copy(address: *const libc::sockaddr) -> io::Result<Vec<u8>> {
    if address.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the caller has an address there.
    let len = match i32::from(unsafe { address.read_unaligned() }.sa_family) {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        libc::AF_PACKET => size_of::<libc::sockaddr_ll>(),
        _ => size_of::<libc::sockaddr>(),
    };
    // SAFETY: it is as long as its family says.
    unsafe { crate::memory::input(address.cast(), len) }.map(<[u8]>::to_vec)
}

/// The number of the loopback interface.
const LOOPBACK: u32 = 1;

/// Interfaces and addresses of a stack of ours.
fn entries(snapshot: &Snapshot) -> Vec<Entry> {
    let flags = |index: u32, up| {
        let up = if up { libc::IFF_UP | libc::IFF_RUNNING } else { 0 };
        let kind =
            if index == LOOPBACK { libc::IFF_LOOPBACK } else { libc::IFF_BROADCAST | libc::IFF_MULTICAST };
        (up | kind).cast_unsigned()
    };
    let links = snapshot.interfaces.iter().map(|own| {
        let index = own.index.index();
        let mut link =
            LinkAddr { interface: index, hardware: libc::ARPHRD_ETHER, len: 6, ..LinkAddr::default() };
        link.hardware = if index == LOOPBACK { libc::ARPHRD_LOOPBACK } else { libc::ARPHRD_ETHER };
        link.station[..6].copy_from_slice(&own.mac.octets());
        let mut broadcast = link;
        broadcast.station[..6].fill(if index == LOOPBACK { 0 } else { 0xff });
        Entry {
            name: own.name.clone(),
            flags: flags(index, own.up),
            address: SockAddr::from(link).to_bytes(),
            mask: Vec::new(),
            broadcast: SockAddr::from(broadcast).to_bytes(),
        }
    });
    let addresses = snapshot.addresses.iter().filter_map(|known| {
        let own = snapshot.interfaces.iter().find(|own| own.index == known.interface)?;
        let index = own.index.index();
        let bytes = |address: IpAddr| {
            let address = match address {
                // ipv6(7): an address of a link has a scope.
                IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, 0, 0, index).into(),
                other => SocketAddr::new(other, 0),
            };
            SockAddr::from(address).to_bytes()
        };
        Some(Entry {
            name: own.name.clone(),
            flags: flags(index, own.up),
            address: bytes(known.cidr.address()),
            mask: bytes(mask(known.cidr.address(), known.cidr.prefix_len())),
            broadcast: known.cidr.broadcast().map(|all| bytes(all.into())).unwrap_or_default(),
        })
    });
    links.chain(addresses).collect()
}

/// The mask of a prefix.
fn mask(like: IpAddr, prefix: u8) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4((!u32::MAX.checked_shr(prefix.into()).unwrap_or(0)).into()),
        IpAddr::V6(_) => IpAddr::V6((!u128::MAX.checked_shr(prefix.into()).unwrap_or(0)).into()),
    }
}

fn chain(entries: &[Entry]) -> io::Result<*mut libc::ifaddrs> {
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
fn allocate(entry: &Entry, next: *mut libc::ifaddrs) -> Option<*mut libc::ifaddrs> {
    const HEAD: usize = size_of::<libc::ifaddrs>();
    let mut bytes = vec![0; HEAD];
    let mut put = |part: &[u8]| {
        // Aligned for what is read there.
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let at = bytes.len();
        bytes.extend(part);
        (!part.is_empty()).then_some(at)
    };
    let places = [&entry.address, &entry.mask, &entry.broadcast].map(|part| put(part));
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
