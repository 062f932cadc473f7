//! The interfaces of a stack as the C library shows them: if_nametoindex(3), if_indextoname(3), if_nameindex(3),
//! getifaddrs(3).

use crate::errno::fail;
use crate::sockaddr::{LinkAddr, SockAddr};
use crate::stack::Stack;
use crate::sys::interfaces as raw;
use ioth_stack::Snapshot;
use ioth_stack::net::{Cidr, InterfaceId};
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address of an interface, or its station, as getifaddrs(3) gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceAddress {
    /// Name of the interface.
    pub name: String,
    /// `IFF_UP` and the like, netdevice(7).
    pub flags: u32,
    /// The address, or the station: [`SockAddr::Link`].
    pub address: Option<SockAddr>,
    /// The mask of its prefix.
    pub netmask: Option<SockAddr>,
    /// The broadcast address.
    pub broadcast: Option<SockAddr>,
}

/// The index of the interface of that name, see if_nametoindex(3). The loopback interface has 1, the first
/// link 2, as on Linux; 0 stands for none.
///
/// # Errors
/// `ENODEV` if there is none.
///
/// ```
/// let stack = ioth::Stack::new("eth0:switch://interfaces-doc", "ip=10.0.0.1/24")?;
/// let index = ioth::if_nametoindex(&stack, "eth0")?;
/// assert_eq!(ioth::if_indextoname(&stack, index)?, "eth0");
/// assert!(ioth::getifaddrs(&stack)?.iter().any(|known| known.name == "eth0"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn if_nametoindex(stack: &Stack, name: &str) -> io::Result<u32> {
    let indices = if_nameindex(stack)?;
    let found = indices.into_iter().find(|(_, known)| known == name);
    found.map_or_else(|| fail(Errno::NODEV), |(index, _)| Ok(index))
}

/// The name of the interface with that index, see if_indextoname(3).
///
/// # Errors
/// `ENXIO` if there is none.
pub fn if_indextoname(stack: &Stack, index: u32) -> io::Result<String> {
    let indices = if_nameindex(stack)?;
    let found = indices.into_iter().find(|(known, _)| *known == index);
    found.map_or_else(|| fail(Errno::NXIO), |(_, name)| Ok(name))
}

/// Index and name of every interface, see if_nameindex(3).
///
/// # Errors
/// `ENETDOWN` in a forked child.
pub fn if_nameindex(stack: &Stack) -> io::Result<Vec<(u32, String)>> {
    if stack.is_kernel() {
        return of_kernel(stack, raw::indices);
    }
    let known = stack.snapshot()?.interfaces.into_iter();
    Ok(known.map(|interface| (interface.index.index(), interface.name)).collect())
}

/// The stations of all interfaces, then their addresses, IPv4 first, see getifaddrs(3).
///
/// # Errors
/// `ENETDOWN` in a forked child.
pub fn getifaddrs(stack: &Stack) -> io::Result<Vec<InterfaceAddress>> {
    if stack.is_kernel() {
        return of_kernel(stack, raw::addresses);
    }
    let seen = stack.snapshot()?;
    let mut all: Vec<_> = seen
        .interfaces
        .iter()
        .map(|known| {
            let link = |station: [u8; 6]| {
                let mut bytes = [0; 8];
                bytes[..6].copy_from_slice(&station);
                let hardware = if is_loopback(known.index) { ARPHRD_LOOPBACK } else { ARPHRD_ETHER };
                let interface = known.index.index();
                let address = LinkAddr { interface, hardware, len: 6, station: bytes, ..LinkAddr::default() };
                Some(SockAddr::Link(address))
            };
            InterfaceAddress {
                name: known.name.clone(),
                flags: flags(&seen, known.index),
                address: link(known.mac.octets()),
                netmask: None,
                broadcast: link(if is_loopback(known.index) { [0; 6] } else { [0xff; 6] }),
            }
        })
        .collect();
    for v6 in [false, true] {
        let of_family = seen.addresses.iter().filter(|known| known.cidr.address().is_ipv6() == v6);
        all.extend(of_family.map(|known| InterfaceAddress {
            name: seen.interface_name(known.interface).to_owned(),
            flags: flags(&seen, known.interface),
            address: Some(scoped(known.cidr.address(), known.interface).into()),
            netmask: Some(SocketAddr::new(mask(&known.cidr), 0).into()),
            broadcast: known.cidr.broadcast().map(|all| SocketAddr::from((all, 0)).into()),
        }));
    }
    Ok(all)
}

/// Asks the kernel, in the namespace of the stack.
fn of_kernel<T: Send>(stack: &Stack, ask: fn() -> io::Result<T>) -> io::Result<T> {
    match stack.namespace() {
        Some(namespace) => namespace.within(ask),
        None => ask(),
    }
}

/// The flags of an interface, netdevice(7).
pub(crate) fn flags(seen: &Snapshot, interface: InterfaceId) -> u32 {
    // IFF_LOWER_UP of netdevice(7), which the C library's header does not name.
    const CARRIER: u32 = libc_flag(libc::IFF_RUNNING) | 0x10000;
    let known = seen.interfaces.iter().find(|known| known.index == interface);
    let up = if known.is_some_and(|known| known.enabled) { libc_flag(libc::IFF_UP) } else { 0 };
    let carrier = if known.is_some_and(|known| known.up) { CARRIER } else { 0 };
    let kind = if is_loopback(interface) {
        libc_flag(libc::IFF_LOOPBACK)
    } else {
        libc_flag(libc::IFF_BROADCAST) | libc_flag(libc::IFF_MULTICAST)
    };
    kind | up | carrier
}

const fn libc_flag(flag: i32) -> u32 {
    flag.cast_unsigned()
}

pub(crate) fn is_loopback(interface: InterfaceId) -> bool {
    interface == InterfaceId::LOOPBACK
}

/// The mask of a prefix as an address.
pub(crate) fn mask(cidr: &Cidr) -> IpAddr {
    let len = u32::from(cidr.prefix_len());
    match cidr.address() {
        IpAddr::V4(_) => Ipv4Addr::from(u32::MAX.checked_shl(32 - len).unwrap_or(0)).into(),
        IpAddr::V6(_) => Ipv6Addr::from(u128::MAX.checked_shl(128 - len).unwrap_or(0)).into(),
    }
}

/// The address, a link-local one with its interface.
fn scoped(address: IpAddr, interface: InterfaceId) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, 0, 0, interface.index()).into(),
        _ => SocketAddr::new(address, 0),
    }
}

/// `include/uapi/linux/if_arp.h`.
pub(crate) const ARPHRD_ETHER: u16 = 1;
pub(crate) const ARPHRD_LOOPBACK: u16 = 772;
