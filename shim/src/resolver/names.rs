//! From a name to addresses and back: the calls on a stack.

use super::addrinfo::{Hints, getaddrinfo};
use super::answer::Content;
use super::failure::Failure;
use super::hosts::Hosts;
use super::nameinfo::getnameinfo;
use super::question::Kind;
use super::{Found, Lookup, literal, search};
use crate::stack::{Home, Stack};
use crate::sys::constants::{NI_NAMEREQD, NI_NUMERICSERV, SOCK_STREAM};
use hickory_proto::rr::Name;
use std::io;
use std::net::{IpAddr, SocketAddr};

impl Stack {
    /// The addresses of a host, in the order in which to try them (RFC 6724). Names that the configuration has (`host=`,
    /// `hosts=`) are known; the others are asked for over the stack, at its name servers (`dns=`), with the search domains
    /// and options of `domain=` and `resolve=`. On a stack of the kernel the host's resolver is asked.
    ///
    /// Answers are kept as long as they say. Waits for at most attempts × timeout × servers, and as long again if answers
    /// are too long for UDP: see `resolve=`.
    ///
    /// ```
    /// let stack = ioth::Stack::new("switch://resolve-doc", "ip=10.0.0.1/24,host=10.0.0.9 printer.lab printer")?;
    /// assert_eq!(stack.resolve("printer")?, [std::net::IpAddr::from([10, 0, 0, 9])]);
    /// assert_eq!(stack.reverse([10, 0, 0, 9].into())?, "printer.lab");
    /// let error = stack.resolve("www.lab").unwrap_err();
    /// assert_eq!(error.to_string(), "cannot look up www.lab: the stack knows no name server; name one with dns=ADDRESS");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) when there is no such name or it has no address,
    /// [`TimedOut`](io::ErrorKind::TimedOut) when no server answered, [`InvalidInput`](io::ErrorKind::InvalidInput) for what
    /// is no name, `ENETDOWN` in a forked child.
    pub fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let Some(home) = self.home() else {
            let hints = Hints { socktype: SOCK_STREAM, ..Hints::default() };
            let found = getaddrinfo(self, Some(name), None, &hints)?;
            return Ok(found.into_iter().map(|info| info.address.ip()).collect());
        };
        if let Some(literal) = literal::parse(name) {
            return Ok(vec![literal.address]);
        }
        let found = addresses(self, home, name, &[Kind::Aaaa, Kind::A]);
        found.map(|found| found.addresses).map_err(|failure| failure.about(name))
    }

    /// The name of a host by its address: of the configuration, or what the name servers have for it (`PTR`). Nothing makes
    /// sure that the name has the address.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn reverse(&self, address: IpAddr) -> io::Result<String> {
        let Some(home) = self.home() else {
            let flags = NI_NAMEREQD | NI_NUMERICSERV;
            return Ok(getnameinfo(self, &SocketAddr::new(address, 0), flags)?.0);
        };
        name_of(self, home, address).map_err(|failure| failure.about(&address.to_string()))
    }
}

/// The addresses of a name, those of each kind in the order of the answers, then sorted.
pub(super) fn addresses(stack: &Stack, home: &Home, text: &str, kinds: &[Kind]) -> Result<Found, Failure> {
    let of_kinds = |address: &IpAddr| kinds.contains(if address.is_ipv4() { &Kind::A } else { &Kind::Aaaa });
    let engine = home.reach()?;
    let config = engine.config();
    let mut found = if let Some((canonical, mut addresses)) = hosts(&config)?.addresses(text) {
        addresses.retain(of_kinds);
        if addresses.is_empty() {
            return Err(Failure::NoData);
        }
        Found { canonical, addresses }
    } else {
        let lookup = Lookup { stack, memory: &home.resolver.0, config: &config };
        lookup.search(text, kinds)?
    };
    engine.run(|cx| cx.engine.sort_destinations(&mut found.addresses));
    Ok(found)
}

/// The name of an address.
pub(super) fn name_of(stack: &Stack, home: &Home, address: IpAddr) -> Result<String, Failure> {
    let address = address.to_canonical();
    let config = home.reach()?.config();
    if let Some(name) = hosts(&config)?.name(address) {
        return Ok(name);
    }
    let lookup = Lookup { stack, memory: &home.resolver.0, config: &config };
    // RFC 1035 section 3.5, RFC 3596 section 2.5.
    let answers = lookup.ask(&Name::from(address), &[Kind::Ptr])?;
    match answers.into_iter().next().map(|answer| answer.content) {
        Some(Content::Names(names)) => names.first().map(search::show).ok_or(Failure::NoName),
        Some(Content::Nothing) => Err(Failure::NoData),
        _ => Err(Failure::NoName),
    }
}

fn hosts(config: &ioth_stack::Config) -> io::Result<Hosts> {
    let mut hosts = Hosts::default();
    for host in &config.hosts {
        hosts.add(host.address, host.names.iter().cloned());
    }
    if let Some(file) = &config.hosts_file {
        hosts.read(file)?;
    }
    Ok(hosts)
}

impl Lookup<'_> {
    /// Tries a name in the search domains until it is found.
    fn search(&self, text: &str, kinds: &[Kind]) -> Result<Found, Failure> {
        let ndots = self.config.resolve.unwrap_or_default().ndots;
        let candidates = search::candidates(text, &self.stack.search_domains(), ndots)?;
        // As glibc: that a name exists in some domain is more than that it does not in another, and that a server cannot
        // tell about one does not keep from asking about the next.
        let mut outcome = Failure::NoName;
        for name in candidates {
            match self.ask(&name, kinds) {
                Ok(answers) => {
                    if let Some(canonical) =
                        answers.iter().find(|answer| matches!(answer.content, Content::Addresses(_)))
                    {
                        let canonical = search::show(&canonical.canonical);
                        let addresses = answers.into_iter().flat_map(|answer| match answer.content {
                            Content::Addresses(addresses) => addresses,
                            _ => Vec::new(),
                        });
                        return Ok(Found { canonical, addresses: addresses.collect() });
                    }
                    if answers.iter().any(|answer| answer.content == Content::Nothing) {
                        outcome = Failure::NoData;
                    }
                }
                Err(failure @ (Failure::Later | Failure::Never)) => {
                    if matches!(outcome, Failure::NoName) {
                        outcome = failure;
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_of_the_kernel_asks_the_host() {
        let kernel = Stack::kernel();
        let found = kernel.resolve("localhost").unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert_eq!(kernel.resolve("127.1").unwrap(), [IpAddr::from([127, 0, 0, 1])]);
        let error = kernel.resolve("a..b").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }

    #[test]
    fn nobody_is_asked_for_what_is_known() {
        let stack = Stack::new("switch://names-known", "ip=10.0.0.1/24,host=10.0.0.9 nine.lab nine").unwrap();
        assert_eq!(stack.resolve("Nine").unwrap(), [IpAddr::from([10, 0, 0, 9])]);
        assert_eq!(stack.resolve("0x0a000009").unwrap(), [IpAddr::from([10, 0, 0, 9])]);
        assert_eq!(stack.reverse("::ffff:10.0.0.9".parse().unwrap()).unwrap(), "nine.lab");
        assert!(stack.resolve("x.localhost").unwrap().iter().all(IpAddr::is_loopback));
        assert_eq!(stack.resolve("a..b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let file = std::env::temp_dir().join(format!("ioth-hosts-{}", std::process::id()));
        std::fs::write(&file, "10.0.0.8 eight.lab\n").unwrap();
        stack.configure(&format!("hosts={}", file.display())).unwrap();
        let found = stack.resolve("eight.lab");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(found.unwrap(), [IpAddr::from([10, 0, 0, 8])]);
        assert!(stack.resolve("eight.lab").is_err(), "the file is gone");
    }
}
