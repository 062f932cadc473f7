//! Addresses of interfaces, and routes, with the errnos that rtnetlink(7) has for them.

use crate::boundary::{call, fail};
use crate::link::{interface, stack_at};
use crate::memory::input;
use crate::netlink::{self, Change};
use ioth::Stack;
use ioth::snapshot::Snapshot;
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
    call(|| {
        let stack = stack_at(stack)?;
        if stack.is_kernel() {
            // SAFETY: the caller has an address of that family there.
            let address = unsafe { self::address(family, address) }?;
            let index = u32::try_from(index).map_or_else(|_| fail(libc::ENODEV), Ok)?;
            return netlink::address(&stack, Change::Add, address, within(address, prefix)?, index)
                .map(|()| 0);
        }
        // SAFETY: the caller has an address of that family there.
        let wanted = unsafe { Wanted::new(&stack, family, address, prefix, index) }?;
        if wanted.is_there() {
            return fail(libc::EEXIST);
        }
        stack.configure(&format!("iface={},ip={}", wanted.name, wanted.cidr))?;
        Ok(0)
    })
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
    call(|| {
        let stack = stack_at(stack)?;
        if stack.is_kernel() {
            // SAFETY: the caller has an address of that family there.
            let address = unsafe { self::address(family, address) }?;
            let index = u32::try_from(index).map_or_else(|_| fail(libc::ENODEV), Ok)?;
            return netlink::address(&stack, Change::Remove, address, within(address, prefix)?, index)
                .map(|()| 0);
        }
        // SAFETY: the caller has an address of that family there.
        let wanted = unsafe { Wanted::new(&stack, family, address, prefix, index) }?;
        if !wanted.is_there() {
            return fail(libc::EADDRNOTAVAIL);
        }
        // It was given under the name of the interface, or without one, to the first.
        let Wanted { name, cidr, .. } = &wanted;
        either(&stack, &[format!("iface={name},-ip={cidr}"), format!("-ip={cidr}")])
    })
}

/// An address that an interface is to have or not to have.
struct Wanted {
    snapshot: Snapshot,
    name: String,
    cidr: String,
}

impl Wanted {
    unsafe fn new(
        stack: &Stack,
        family: i32,
        address: *const c_void,
        prefix: i32,
        index: i32,
    ) -> io::Result<Self> {
        // SAFETY: the caller has an address of that family there.
        let address = unsafe { self::address(family, address) }?;
        let snapshot = stack.snapshot()?;
        let index = u32::try_from(index).map_or_else(|_| fail(libc::ENODEV), Ok)?;
        let name = interface(&snapshot, index)?.name.clone();
        Ok(Self { snapshot, name, cidr: format!("{address}/{}", within(address, prefix)?) })
    }

    fn is_there(&self) -> bool {
        let of = |index| {
            self.snapshot.interfaces.iter().any(|known| known.index == index && known.name == self.name)
        };
        self.snapshot.addresses.iter().any(|known| of(known.interface) && known.cidr.to_string() == self.cidr)
    }
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
    call(|| {
        let stack = stack_at(stack)?;
        if stack.is_kernel() {
            // SAFETY: the caller has addresses of that family there, or NULL.
            let (to, via) = unsafe { ends(family, destination, prefix, gateway) }?;
            let index = u32::try_from(index).map_or_else(|_| fail(libc::ENODEV), Ok)?;
            return netlink::route(&stack, Change::Add, to, via, index).map(|()| 0);
        }
        // SAFETY: the caller has addresses of that family there, or NULL.
        let route = unsafe { Route::new(&stack, family, destination, prefix, gateway, index) }?;
        let snapshot = stack.snapshot()?;
        if route.is_in(&snapshot) {
            return fail(libc::EEXIST);
        }
        stack.configure(&route.strings()[0]).map_err(|error| {
            // The one reason that is left, unless the string is at fault.
            let known = route.gateway.is_some() && !reaches(&snapshot, route.gateway);
            if known { io::Error::from_raw_os_error(libc::ENETUNREACH) } else { error.into() }
        })?;
        Ok(0)
    })
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
    call(|| {
        let stack = stack_at(stack)?;
        if stack.is_kernel() {
            // SAFETY: the caller has addresses of that family there, or NULL.
            let (to, via) = unsafe { ends(family, destination, prefix, gateway) }?;
            let index = u32::try_from(index).map_or_else(|_| fail(libc::ENODEV), Ok)?;
            return netlink::route(&stack, Change::Remove, to, via, index).map(|()| 0);
        }
        // SAFETY: the caller has addresses of that family there, or NULL.
        let route = unsafe { Route::new(&stack, family, destination, prefix, gateway, index) }?;
        if !route.is_in(&stack.snapshot()?) {
            return fail(libc::ESRCH);
        }
        let undo: Vec<String> = route.strings().iter().map(|string| format!("-{string}")).collect();
        either(&stack, &undo)
    })
}

/// A route that is to be or not to be.
struct Route {
    destination: String,
    default: bool,
    gateway: Option<IpAddr>,
    interface: Option<String>,
}

impl Route {
    unsafe fn new(
        stack: &Stack,
        family: i32,
        destination: *const c_void,
        prefix: i32,
        gateway: *const c_void,
        index: i32,
    ) -> io::Result<Self> {
        // SAFETY: the caller has addresses of that family there, or NULL.
        let ((destination, prefix), gateway) = unsafe { ends(family, destination, prefix, gateway) }?;
        let snapshot = stack.snapshot()?;
        let interface = match u32::try_from(index) {
            Ok(0) | Err(_) => None,
            Ok(index) => Some(interface(&snapshot, index)?.name.clone()),
        };
        if gateway.is_none() && interface.is_none() {
            return fail(libc::ENODEV);
        }
        Ok(Self { destination: format!("{destination}/{prefix}"), default: prefix == 0, gateway, interface })
    }

    /// How a configuration string may say it.
    fn strings(&self) -> Vec<String> {
        let destination = &self.destination;
        match (&self.gateway, &self.interface) {
            (Some(gateway), _) if self.default => {
                vec![format!("gw={gateway}"), format!("route={destination}@{gateway}")]
            }
            (Some(gateway), _) => vec![format!("route={destination}@{gateway}")],
            (None, Some(name)) => vec![format!("route={destination}@{name}"), format!("route={destination}")],
            (None, None) => Vec::new(),
        }
    }

    fn is_in(&self, snapshot: &Snapshot) -> bool {
        snapshot.routes.iter().any(|known| {
            let named = |name: &String| {
                snapshot.interfaces.iter().any(|own| own.index == known.interface && own.name == *name)
            };
            known.destination.to_string() == self.destination
                && known.gateway == self.gateway
                && self.interface.as_ref().is_none_or(named)
        })
    }
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

/// Whether an interface has an address on the network of a gateway.
fn reaches(snapshot: &Snapshot, gateway: Option<IpAddr>) -> bool {
    snapshot.addresses.iter().any(|own| gateway.is_some_and(|gateway| own.cidr.contains(gateway)))
}

/// Does the first of them that can be done.
fn either(stack: &Stack, strings: &[String]) -> io::Result<i32> {
    let mut result = fail(libc::EINVAL);
    for string in strings {
        result = stack.configure(string).map_err(Into::into);
        if result.is_ok() {
            break;
        }
    }
    result.map(|()| 0)
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
