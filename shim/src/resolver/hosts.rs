//! Names that no server is asked for: those of the configuration, those of a file as hosts(5), and the loopback names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Addresses and their names, in the order in which they were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts(Vec<(IpAddr, Vec<String>)>);

/// A file beyond this is not read: it would be read again for every name.
const LONGEST: u64 = 4 << 20;

impl Hosts {
    /// Adds one address with its names.
    pub(super) fn add(&mut self, address: IpAddr, names: impl IntoIterator<Item = String>) {
        self.0.push((address, names.into_iter().map(|name| plain(&name)).collect()));
    }

    /// Adds those of a file. Lines that make no sense are left out, as everybody does.
    pub(super) fn read(&mut self, file: &Path) -> io::Result<()> {
        if std::fs::metadata(file)?.len() > LONGEST {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} is too long", file.display()),
            ));
        }
        let text = std::fs::read(file)?;
        self.parse(&String::from_utf8_lossy(&text));
        Ok(())
    }

    fn parse(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let address = words.next().and_then(|word| word.split('%').next()?.parse().ok());
            if let Some(address) = address {
                self.add(address, words.map(str::to_owned));
            }
        }
    }

    /// The addresses of a name and its own name, if any address has it.
    pub(super) fn addresses(&self, name: &str) -> Option<(String, Vec<IpAddr>)> {
        let name = plain(name);
        let of_name = || self.0.iter().filter(|(_, names)| names.contains(&name));
        if let Some((_, names)) = of_name().next() {
            return Some((names.first()?.clone(), of_name().map(|(address, _)| *address).collect()));
        }
        // RFC 6761 section 6.3: never asked for outside.
        let loopback = || vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
        (name == "localhost" || name.ends_with(".localhost")).then(|| (name, loopback()))
    }

    /// The name of an address.
    pub(super) fn name(&self, address: IpAddr) -> Option<String> {
        let of_address = self.0.iter().find(|(known, names)| *known == address && !names.is_empty());
        match of_address {
            Some((_, names)) => names.first().cloned(),
            None => address.is_loopback().then(|| "localhost".to_owned()),
        }
    }
}

/// In lower case, without a dot at the end.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_as_hosts_5() {
        let mut hosts = Hosts::default();
        hosts.parse("# all\n10.0.0.9\tPrinter.lab printer # by the door\n\nfd00::9 printer.lab\nnonsense x\n10.0.0.8\nfe80::1%eth0 near");
        let printer: Vec<IpAddr> = vec![[10, 0, 0, 9].into(), "fd00::9".parse().unwrap()];
        assert_eq!(hosts.addresses("PRINTER.lab."), Some(("printer.lab".to_owned(), printer.clone())));
        assert_eq!(hosts.addresses("printer").unwrap().1, printer[..1]);
        assert_eq!(hosts.addresses("x"), None);
        assert_eq!(hosts.addresses("near").unwrap().1, ["fe80::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(hosts.name([10, 0, 0, 9].into()).as_deref(), Some("printer.lab"));
        assert_eq!(hosts.name([10, 0, 0, 8].into()), None);
    }

    #[test]
    fn loopback_names_rfc_6761_6_3() {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.addresses("a.localhost").unwrap().1.len(), 2);
        assert_eq!(hosts.addresses("notlocalhost"), None);
        assert_eq!(hosts.name(Ipv6Addr::LOCALHOST.into()).as_deref(), Some("localhost"));
        hosts.add([127, 0, 0, 1].into(), ["localhost".to_owned()]);
        assert_eq!(hosts.addresses("localhost").unwrap().1, [IpAddr::from([127, 0, 0, 1])]);
    }
}
