//! `SIOCADDRT`, `SIOCDELRT`: routes by ioctl(2), as route(8) sets them. The argument is a `struct rtentry` on a socket of
//! IPv4 and a `struct in6_rtmsg` on one of IPv6.

use crate::errno::fail;
use crate::sockaddr;
use ioth_stack::net::{Cidr, InterfaceId, Route, RouteKind};
use ioth_stack::snapshot::Snapshot;
use ioth_stack::{Error, Family, Stack};
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the two structures on a machine of 64 bits.
const ENTRY: usize = 120;
const MESSAGE: usize = 80;
/// `linux/route.h`: what is said of a route.
const GATEWAY: u32 = 0x2;
const HOST: u32 = 0x4;
const REJECT: u32 = 0x200;
/// `IP6_RT_PRIO_USER` of Linux: the metric of a route of IPv6 that is given none.
const METRIC_V6: u32 = 1024;

/// What a request says of a route.
struct Said {
    destination: Cidr,
    gateway: Option<IpAddr>,
    interface: Option<InterfaceId>,
    /// `None`: any, or the usual one.
    metric: Option<u32>,
    reject: bool,
}

/// Adds a route, or removes one.
pub(super) fn change(
    stack: &Stack,
    seen: &Snapshot,
    family: Family,
    add: bool,
    argument: &[u8],
) -> io::Result<i32> {
    let said = match family {
        Family::V4 => said_v4(argument, add)?,
        Family::V6 => said_v6(argument)?,
    };
    if add { enter(stack, seen, &said) } else { remove(stack, seen, &said) }
}

/// `rtentry_to_fib_config`.
fn said_v4(argument: &[u8], add: bool) -> io::Result<Said> {
    let Some(entry) = argument.first_chunk::<ENTRY>() else { return fail(Errno::INVAL) };
    let address = |at: usize| match sockaddr::decode(&entry[at..at + 16]) {
        Some(SocketAddr::V4(v4)) => Some(*v4.ip()),
        _ => None,
    };
    let Some(destination) = address(8) else { return fail(Errno::AFNOSUPPORT) };
    let flags = u32::from(u16::from_ne_bytes([entry[56], entry[57]]));
    let prefix_len = if flags & HOST != 0 {
        32
    } else {
        // route(8) leaves the family of a mask away where it is 0.
        let mask = match address(40) {
            Some(mask) => u32::from(mask),
            None if entry[40..48] == [0; 8] => 0,
            None => return fail(Errno::AFNOSUPPORT),
        };
        if mask.leading_ones() + mask.trailing_zeros() < 32 || u32::from(destination) & !mask != 0 {
            return fail(Errno::INVAL);
        }
        mask.leading_ones() as u8
    };
    // The name of an interface stands behind a pointer, which is not followed.
    if entry[88..96] != [0; 8] {
        return fail(Errno::OPNOTSUPP);
    }
    let gateway = address(24).filter(|gateway| *gateway != Ipv4Addr::UNSPECIFIED).map(IpAddr::V4);
    let reject = flags & REJECT != 0;
    if add && !reject && flags & GATEWAY != 0 && gateway.is_none() {
        return fail(Errno::INVAL);
    }
    let metric = i16::from_ne_bytes([entry[80], entry[81]]);
    let destination = Cidr::new(destination.into(), prefix_len).map_or_else(|| fail(Errno::INVAL), Ok)?;
    Ok(Said {
        destination,
        gateway,
        interface: None,
        metric: u32::try_from(i32::from(metric) - 1).ok(),
        reject,
    })
}

/// `rtmsg_to_fib6_config`.
fn said_v6(argument: &[u8]) -> io::Result<Said> {
    let Some(message) = argument.first_chunk::<MESSAGE>() else { return fail(Errno::INVAL) };
    let address = |at: usize| {
        message[at..].first_chunk::<16>().map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
    };
    let word = |at: usize| u32::from_ne_bytes(*message[at..].first_chunk().unwrap_or(&[0; 4]));
    let prefix_len = u8::try_from(u16::from_ne_bytes([message[52], message[53]]));
    let destination = prefix_len.ok().and_then(|len| Cidr::new(address(0).into(), len));
    let gateway = (word(72) & GATEWAY != 0).then(|| address(32).into());
    Ok(Said {
        destination: destination.map_or_else(|| fail(Errno::INVAL), Ok)?.network(),
        gateway,
        interface: Some(word(76)).filter(|index| *index != 0).map(InterfaceId::new),
        metric: Some(word(56)).filter(|metric| *metric != 0),
        reject: word(72) & REJECT != 0,
    })
}

fn enter(stack: &Stack, seen: &Snapshot, said: &Said) -> io::Result<i32> {
    let v6 = said.destination.address().is_ipv6();
    let metric = said.metric.unwrap_or(if v6 { METRIC_V6 } else { 0 });
    let route = if said.reject {
        let barrier = Route::on_link(said.destination, InterfaceId::LOOPBACK);
        Route { kind: RouteKind::Unreachable, metric, ..barrier }
    } else {
        let interface = match (said.interface, said.gateway) {
            (Some(interface), _) => interface,
            (None, None) => return fail(Errno::NODEV),
            (None, Some(gateway)) => {
                let best = seen.routes.iter().find(|route| route.destination.contains(gateway));
                let best = best.filter(|best| best.gateway.is_none() && best.kind == RouteKind::Unicast);
                let missing = if v6 { Errno::HOSTUNREACH } else { Errno::NETUNREACH };
                best.map_or_else(|| fail(missing), |best| Ok(best.interface))?
            }
        };
        let known = seen.interfaces.iter().find(|known| known.index == interface);
        if !known.map_or_else(|| fail(Errno::NODEV), Ok)?.enabled {
            return fail(Errno::NETDOWN);
        }
        Route { gateway: said.gateway, metric, ..Route::on_link(said.destination, interface) }
    };
    match stack.give_route(route) {
        Err(Error::AddressInUse) => fail(Errno::EXIST),
        other => Ok(other.map(|()| 0)?),
    }
}

fn remove(stack: &Stack, seen: &Snapshot, said: &Said) -> io::Result<i32> {
    let found = seen.routes.iter().find(|known| {
        known.destination == said.destination.network()
            && said.gateway.is_none_or(|gateway| known.gateway == Some(gateway))
            && said.interface.is_none_or(|interface| known.interface == interface)
            && said.metric.is_none_or(|metric| known.metric == metric)
            && (!said.reject || known.kind == RouteKind::Unreachable)
    });
    let found = found.map_or_else(|| fail(Errno::SRCH), Ok)?;
    let link = Route::on_link(found.destination, found.interface);
    stack.take_route(&Route { gateway: found.gateway, metric: found.metric, kind: found.kind, ..link })?;
    Ok(0)
}
