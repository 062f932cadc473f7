//! Names of ports: services(5).

use std::io;

/// The file that has them (services(5)).
const FILE: &str = "/etc/services";

/// Names of ports of one host.
#[derive(Debug, Default)]
pub(super) struct Services(Vec<Service>);

#[derive(Debug)]
struct Service {
    names: Vec<String>,
    port: u16,
    protocol: String,
}

impl Services {
    /// Those of the host; none where there is no such file.
    pub(super) fn read() -> io::Result<Self> {
        match std::fs::read(FILE) {
            Ok(text) => Ok(Self::parse(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Self {
        let service = |line: &str| {
            let mut words = line.split('#').next()?.split_whitespace();
            let name = words.next()?.to_owned();
            let (port, protocol) = words.next()?.split_once('/')?;
            let (port, protocol) = (port.parse().ok()?, protocol.to_owned());
            let names = std::iter::once(name).chain(words.map(str::to_owned)).collect();
            Some(Service { names, port, protocol })
        };
        Self(text.lines().filter_map(service).collect())
    }

    /// The port of a service.
    pub(super) fn port(&self, name: &str, protocol: &str) -> Option<u16> {
        let mut all = self.0.iter().filter(|service| service.protocol == protocol);
        all.find(|service| service.names.iter().any(|known| known == name)).map(|service| service.port)
    }

    /// The service of a port.
    pub(super) fn name(&self, port: u16, protocol: &str) -> Option<&str> {
        let mut all = self.0.iter().filter(|service| service.protocol == protocol);
        all.find(|service| service.port == port)?.names.first().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_as_services_5() {
        let services = Services::parse(
            "# all\ndomain\t53/tcp\ndomain 53/udp\nhttp  80/tcp  www # WorldWideWeb\nnonsense\nbad x/tcp\nlate 70000/tcp",
        );
        assert_eq!(services.port("www", "tcp"), Some(80));
        assert_eq!(services.port("www", "udp"), None);
        assert_eq!(services.port("late", "tcp"), None);
        assert_eq!(services.name(80, "tcp"), Some("http"));
        assert_eq!(services.name(53, "udp"), Some("domain"));
    }
}
