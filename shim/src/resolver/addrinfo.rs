//! getaddrinfo(3) on any stack. The order of its checks and its errors are glibc's.

use super::failure::Failure;
use super::gai::GaiError;
use super::literal::{self, Literal};
use super::names::addresses;
use super::question::Kind;
use super::services::Services;
use crate::stack::{Home, Stack};
use crate::sys::constants::{
    AF_INET, AF_INET6, AF_UNSPEC, AI_ADDRCONFIG, AI_ALL, AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICSERV,
    AI_PASSIVE, AI_V4MAPPED, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM,
};
use crate::sys::names as host;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// What is wanted of [`getaddrinfo`]: the `hints` of getaddrinfo(3). The default is anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// [`AI_PASSIVE`] and the others, combined.
    pub flags: i32,
    /// [`AF_INET`], [`AF_INET6`], or 0 for both.
    pub family: i32,
    /// [`SOCK_STREAM`], [`SOCK_DGRAM`], or 0 for all.
    pub socktype: i32,
    /// The protocol, or 0 for any.
    pub protocol: i32,
}

/// What a socket needs to connect or bind: one of the results of [`getaddrinfo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrInfo {
    /// For [`msocket`](crate::msocket).
    pub family: i32,
    /// For [`msocket`](crate::msocket).
    pub socktype: i32,
    /// For [`msocket`](crate::msocket).
    pub protocol: i32,
    /// For [`connect`](crate::connect()) or [`bind`](crate::bind).
    pub address: SocketAddr,
    /// In the first result, with `AI_CANONNAME`: the name at the end of the aliases.
    pub canonical: Option<String>,
}

/// The addresses of a name and a service for sockets of `stack`, in the order in which to try them, see getaddrinfo(3).
/// Names are looked up as [`Stack::resolve`] does, services in `/etc/services`. On a stack of the kernel this is the C
/// library's.
///
/// `AI_ADDRCONFIG` leaves out a family of which the stack has no address besides those of loopback and, for IPv6, of a link.
///
/// ```
/// use ioth::{AddrInfo, Hints, SOCK_STREAM};
///
/// let stack = ioth::Stack::new("switch://getaddrinfo-doc", "ip=10.0.0.1/24,host=10.0.0.9 printer")?;
/// let hints = Hints { socktype: SOCK_STREAM, ..Hints::default() };
/// let found = ioth::getaddrinfo(&stack, Some("printer"), Some("631"), &hints)?;
/// assert_eq!(found[0].address, "10.0.0.9:631".parse().unwrap());
/// let fd = ioth::msocket(&stack, found[0].family, found[0].socktype, found[0].protocol)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// [`GaiError`].
pub fn getaddrinfo(
    stack: &Stack,
    node: Option<&str>,
    service: Option<&str>,
    hints: &Hints,
) -> Result<Vec<AddrInfo>, GaiError> {
    let Some(home) = stack.home() else {
        let ask = || host::addresses(node, service, hints);
        return match stack.namespace() {
            None => ask(),
            Some(namespace) => namespace.within(|| Ok(ask()))?,
        };
    };
    let Hints { flags, family, .. } = *hints;
    // As glibc: a star stands for none.
    let [node, service] = [node, service].map(|text| text.filter(|text| *text != "*"));
    if node.is_none() && service.is_none() {
        return Err(GaiError::NoName);
    }
    if flags & !KNOWN != 0 || flags & AI_CANONNAME != 0 && node.is_none() {
        return Err(GaiError::BadFlags);
    }
    if ![AF_UNSPEC, AF_INET, AF_INET6].contains(&family) {
        return Err(GaiError::Family);
    }
    let uses = uses(service, hints)?;
    let (addresses, canonical) = match node {
        None => (of_nobody(flags), None),
        Some(node) => of_node(stack, home, node, hints)?,
    };
    let addresses =
        addresses.into_iter().filter(|address| family == AF_UNSPEC || family_of(address) == family);
    let mut found: Vec<_> = addresses
        .flat_map(|address| {
            uses.iter().map(move |&(transport, port)| {
                let mut address = address;
                address.set_port(port);
                let Transport { socktype, protocol, .. } = transport;
                AddrInfo { family: family_of(&address), socktype, protocol, address, canonical: None }
            })
        })
        .collect();
    if flags & AI_CANONNAME != 0
        && let Some(first) = found.first_mut()
    {
        first.canonical = canonical;
    }
    Ok(found)
}

const KNOWN: i32 =
    AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_NUMERICSERV | AI_ADDRCONFIG | AI_V4MAPPED | AI_ALL;

/// What a socket may be.
#[derive(Clone, Copy, Debug)]
struct Transport {
    socktype: i32,
    protocol: i32,
    /// Its name in services(5), if it has ports.
    name: Option<&'static str>,
}

/// As glibc has them, `gaih_inet_typeproto`, without what no stack has.
const TRANSPORTS: [Transport; 3] = [
    Transport { socktype: SOCK_STREAM, protocol: IPPROTO_TCP, name: Some("tcp") },
    Transport { socktype: SOCK_DGRAM, protocol: IPPROTO_UDP, name: Some("udp") },
    Transport { socktype: SOCK_RAW, protocol: IPPROTO_IP, name: None },
];

/// The transports that fit, with the port of the service.
fn uses(service: Option<&str>, hints: &Hints) -> Result<Vec<(Transport, u16)>, GaiError> {
    let Hints { socktype, protocol, .. } = *hints;
    let service = service.filter(|service| !service.is_empty());
    let number = service.filter(|service| service.bytes().all(|byte| byte.is_ascii_digit()));
    if service.is_some() && number.is_none() && hints.flags & AI_NUMERICSERV != 0 {
        return Err(GaiError::NoName);
    }
    let mut fitting = TRANSPORTS.iter().copied().filter(|transport| {
        (socktype == 0 || socktype == transport.socktype)
            && (protocol == 0 || transport.name.is_none() || protocol == transport.protocol)
    });
    let fitting: Vec<_> = if socktype == 0 && protocol == 0 {
        fitting.collect()
    } else {
        // With a wish, the first that fits it, and it must have services.
        let Some(mut first) = fitting.next() else {
            return Err(if socktype != 0 { GaiError::SockType } else { GaiError::Service });
        };
        if first.name.is_none() {
            if service.is_some() {
                return Err(GaiError::Service);
            }
            first.protocol = protocol;
        }
        vec![first]
    };
    let with = |port| fitting.iter().map(|transport| (*transport, port)).collect();
    match (service, number) {
        (None, _) => Ok(with(0)),
        (_, Some(number)) => number.parse().map(with).map_err(|_| GaiError::Service),
        (Some(name), None) => {
            let services = Services::read()?;
            let port = |transport: &Transport| services.port(name, transport.name?);
            let known = fitting.iter().filter_map(|transport| Some((*transport, port(transport)?)));
            let known: Vec<_> = known.collect();
            if known.is_empty() { Err(GaiError::Service) } else { Ok(known) }
        }
    }
}

/// The addresses without a name: to bind to, or to talk to oneself.
fn of_nobody(flags: i32) -> Vec<SocketAddr> {
    let addresses: [IpAddr; 2] = if flags & AI_PASSIVE != 0 {
        [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
    } else {
        [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
    };
    addresses.map(|address| SocketAddr::new(address, 0)).into()
}

fn of_node(
    stack: &Stack,
    home: &Home,
    node: &str,
    hints: &Hints,
) -> Result<(Vec<SocketAddr>, Option<String>), GaiError> {
    let Hints { flags, family, .. } = *hints;
    let maps = family == AF_INET6 && flags & AI_V4MAPPED != 0;
    if let Some(literal) = literal::parse(node) {
        let mut address = scoped(home, literal)?;
        if let IpAddr::V4(v4) = address.ip()
            && maps
        {
            address.set_ip(v4.to_ipv6_mapped().into());
        }
        if family != AF_UNSPEC && family != family_of(&address) {
            return Err(GaiError::AddrFamily);
        }
        return Ok((vec![address], Some(node.to_owned())));
    }
    if flags & AI_NUMERICHOST != 0 {
        return Err(GaiError::NoName);
    }
    let mut kinds = match family {
        AF_INET => vec![Kind::A],
        AF_INET6 if !maps => vec![Kind::Aaaa],
        _ => vec![Kind::Aaaa, Kind::A],
    };
    if flags & AI_ADDRCONFIG != 0 {
        let engine = home.reach()?;
        kinds.retain(|kind| engine.run(|cx| cx.engine.has_family(*kind == Kind::Aaaa)));
    }
    if kinds.is_empty() {
        return Err(GaiError::NoName);
    }
    let mut found = addresses(stack, home, node, &kinds).map_err(|failure| match failure {
        Failure::NoData if family != AF_UNSPEC => GaiError::AddrFamily,
        failure => failure.into(),
    })?;
    if maps {
        let v6 = found.addresses.iter().any(IpAddr::is_ipv6);
        if v6 && flags & AI_ALL == 0 {
            found.addresses.retain(IpAddr::is_ipv6);
        }
        for address in &mut found.addresses {
            if let IpAddr::V4(v4) = address {
                *address = v4.to_ipv6_mapped().into();
            }
        }
    }
    let addresses = found.addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
    Ok((addresses, Some(found.canonical)))
}

/// The address with the number of the interface that its zone names.
fn scoped(home: &Home, literal: Literal) -> Result<SocketAddr, GaiError> {
    let Literal { address, zone } = literal;
    match (address, zone) {
        (IpAddr::V6(address), Some(zone)) => {
            let engine = home.reach()?;
            let named = engine.run(|cx| cx.engine.interface_by_name(&zone));
            let index = named.map(ioth_stack::net::InterfaceId::index).or_else(|| zone.parse().ok());
            let index = index.ok_or(GaiError::NoName)?;
            Ok(SocketAddrV6::new(address, 0, 0, index).into())
        }
        (address, _) => Ok(SocketAddr::new(address, 0)),
    }
}

pub(super) const fn family_of(address: &SocketAddr) -> i32 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

#[cfg(test)]
mod tests;
