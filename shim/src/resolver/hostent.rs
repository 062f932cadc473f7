//! gethostbyname(3) and gethostbyaddr(3), which programs from before getaddrinfo(3) use.

use super::addrinfo::{Hints, getaddrinfo};
use super::gai::GaiError;
use super::nameinfo::getnameinfo;
use crate::stack::Stack;
use crate::sys::constants::{AF_INET, AI_CANONNAME, NI_NAMEREQD, SOCK_STREAM};
use std::net::{IpAddr, SocketAddr};

/// A host: `struct hostent` of gethostbyname(3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostEntry {
    /// Its name, at the end of the aliases.
    pub name: String,
    /// Its other names, as far as they are known: the one that was asked for.
    pub aliases: Vec<String>,
    /// Its addresses, in the order in which to try them.
    pub addresses: Vec<IpAddr>,
}

/// The IPv4 addresses of a host, see gethostbyname(3): [`getaddrinfo`] with less to ask for.
///
/// ```
/// let stack = ioth::Stack::new("switch://hostent-doc", "ip=10.0.0.1/24,host=10.0.0.9 printer")?;
/// assert_eq!(ioth::gethostbyname(&stack, "printer")?.addresses, ["10.0.0.9".parse::<std::net::IpAddr>()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`getaddrinfo`].
pub fn gethostbyname(stack: &Stack, name: &str) -> Result<HostEntry, GaiError> {
    gethostbyname2(stack, name, AF_INET)
}

/// The addresses of a host in one family, [`AF_INET`] or [`AF_INET6`](crate::AF_INET6), see gethostbyname2(3).
///
/// # Errors
/// As [`getaddrinfo`].
pub fn gethostbyname2(stack: &Stack, name: &str, family: i32) -> Result<HostEntry, GaiError> {
    let hints = Hints { flags: AI_CANONNAME, family, socktype: SOCK_STREAM, protocol: 0 };
    let found = getaddrinfo(stack, Some(name), None, &hints)?;
    let canonical = found.iter().find_map(|entry| entry.canonical.clone());
    let canonical = canonical.unwrap_or_else(|| name.to_owned());
    let aliases = if canonical.eq_ignore_ascii_case(name) { Vec::new() } else { vec![name.to_owned()] };
    let addresses = found.iter().map(|entry| entry.address.ip()).collect();
    Ok(HostEntry { name: canonical, aliases, addresses })
}

/// The host with an address, see gethostbyaddr(3): [`getnameinfo`] with less to ask for.
///
/// # Errors
/// As [`getnameinfo`]; [`GaiError::NoName`] when the address has no name.
pub fn gethostbyaddr(stack: &Stack, address: IpAddr) -> Result<HostEntry, GaiError> {
    let (name, _) = getnameinfo(stack, &SocketAddr::new(address, 0), NI_NAMEREQD)?;
    Ok(HostEntry { name, aliases: Vec::new(), addresses: vec![address] })
}
