//! getnameinfo(3) on any stack.

use super::failure::Failure;
use super::gai::GaiError;
use super::names::name_of;
use super::services::Services;
use crate::stack::{Home, Stack};
use crate::sys::constants::{NI_DGRAM, NI_NAMEREQD, NI_NOFQDN, NI_NUMERICHOST, NI_NUMERICSERV};
use crate::sys::names as host;
use std::net::SocketAddr;

/// The name of a host and of a service by their address and port, see getnameinfo(3): names where there are some, else
/// numbers. `flags`: `NI_NAMEREQD` makes it an error when the host has no name, `NI_NUMERICHOST` and `NI_NUMERICSERV` ask for
/// numbers, `NI_DGRAM` for the service of UDP, `NI_NOFQDN` for the first part only of a name in a search domain.
///
/// ```
/// let stack = ioth::Stack::new("switch://getnameinfo-doc", "ip=10.0.0.1/24,host=10.0.0.9 printer.lab,domain=lab")?;
/// let address = "10.0.0.9:631".parse().unwrap();
/// let names = ioth::getnameinfo(&stack, &address, ioth::NI_NOFQDN | ioth::NI_NUMERICSERV)?;
/// assert_eq!(names, ("printer".to_owned(), "631".to_owned()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// [`GaiError`]: `NoName` with `NI_NAMEREQD`, `Again` when no server answers, `BadFlags`.
pub fn getnameinfo(stack: &Stack, address: &SocketAddr, flags: i32) -> Result<(String, String), GaiError> {
    const KNOWN: i32 = NI_NAMEREQD | NI_NUMERICHOST | NI_NUMERICSERV | NI_DGRAM | NI_NOFQDN;
    let Some(home) = stack.home() else {
        let ask = || host::names(address, flags);
        return match stack.namespace() {
            None => ask(),
            Some(namespace) => namespace.within(|| Ok(ask()))?,
        };
    };
    if flags & !KNOWN != 0 {
        return Err(GaiError::BadFlags);
    }
    // As glibc: there is no name that would be a number.
    if flags & NI_NAMEREQD != 0 && flags & NI_NUMERICHOST != 0 {
        return Err(GaiError::NoName);
    }
    Ok((host_name(stack, home, address, flags)?, service_name(address.port(), flags)?))
}

fn host_name(stack: &Stack, home: &Home, address: &SocketAddr, flags: i32) -> Result<String, GaiError> {
    if flags & NI_NUMERICHOST != 0 {
        return Ok(number(home, address));
    }
    match name_of(stack, home, address.ip()) {
        Ok(name) if flags & NI_NOFQDN != 0 => Ok(short(stack, name)),
        Ok(name) => Ok(name),
        // As glibc: only that there may be a name later is an error.
        Err(failure @ (Failure::Silent(_) | Failure::Later | Failure::System(_))) => Err(failure.into()),
        Err(_) if flags & NI_NAMEREQD != 0 => Err(GaiError::NoName),
        Err(_) => Ok(number(home, address)),
    }
}

/// The name without the search domain it is in.
fn short(stack: &Stack, name: String) -> String {
    let domains = stack.search_domains();
    let rest = |domain: &String| {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        name.strip_suffix(&domain)?.strip_suffix('.')
    };
    domains.iter().find_map(rest).map(str::to_owned).unwrap_or(name)
}

/// The address as a number; with the name of its interface if it has a scope.
fn number(home: &Home, address: &SocketAddr) -> String {
    let SocketAddr::V6(v6) = address else { return address.ip().to_string() };
    if v6.scope_id() == 0 {
        return v6.ip().to_string();
    }
    let interfaces = home.reach().map(|engine| engine.snapshot().interfaces).unwrap_or_default();
    let own = interfaces.into_iter().find(|own| own.index.index() == v6.scope_id());
    let name = own.map(|own| own.name);
    format!("{}%{}", v6.ip(), name.unwrap_or_else(|| v6.scope_id().to_string()))
}

fn service_name(port: u16, flags: i32) -> Result<String, GaiError> {
    let protocol = if flags & NI_DGRAM != 0 { "udp" } else { "tcp" };
    if flags & NI_NUMERICSERV == 0
        && let Some(name) = Services::read()?.name(port, protocol)
    {
        return Ok(name.to_owned());
    }
    Ok(port.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_errors_as_the_c_library() {
        let ours = Stack::new("switch://nameinfo", "ip=192.0.2.1/24").unwrap();
        let numeric = NI_NUMERICHOST | NI_NUMERICSERV;
        let addresses = ["10.0.0.1:80", "[2001:db8::1]:0", "[::ffff:10.0.0.1]:65535", "[fe80::1%4711]:7"];
        for address in addresses.map(|text| text.parse().unwrap()) {
            for flags in [numeric, numeric | NI_DGRAM, numeric | NI_NAMEREQD, numeric | 1 << 30] {
                let [ours, theirs] = [&ours, &Stack::kernel()]
                    .map(|stack| format!("{:?}", getnameinfo(stack, &address, flags)));
                assert_eq!(ours, theirs, "{address} {flags:#x}");
            }
        }
    }

    #[test]
    fn a_scope_shows_as_the_name_of_its_interface() {
        let ours = Stack::builder()
            .interface("lan", "switch://nameinfo-scope")
            .config("ip=192.0.2.1/24")
            .build()
            .unwrap();
        let address = "[fe80::1%2]:7".parse().unwrap();
        let names = getnameinfo(&ours, &address, NI_NUMERICHOST | NI_NUMERICSERV).unwrap();
        assert_eq!(names.0, "fe80::1%lan");
        let hints = crate::Hints { socktype: crate::SOCK_DGRAM, ..Default::default() };
        assert_eq!(crate::getaddrinfo(&ours, Some(&names.0), Some("7"), &hints).unwrap()[0].address, address);
    }
}
