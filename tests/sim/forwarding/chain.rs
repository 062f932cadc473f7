//! The network of these tests: host a, three routers in a row, host b.

use std::net::IpAddr;

use crate::wire::{Host, Port, Wire, frames};

pub(super) const V4: Net = Net::V4;
pub(super) const V6: Net = Net::V6;

/// The family of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Net {
    V4,
    V6,
}

/// Network n is segment n, 10.n.0.0/24 and fd00:n::/64. Host a is 1 in the first, host b in the last; router n is 2 in the
/// network before it (the first router 254), and 254 in the one behind it.
pub(super) struct Chain {
    pub(super) wire: Wire,
    pub(super) a: Host,
    pub(super) b: Host,
    pub(super) routers: [Host; 3],
}

impl Chain {
    pub(super) fn new() -> Self {
        Self::with(|_| Port::default())
    }

    /// With ports of that kind in the networks, by their number.
    pub(super) fn with(port: impl Fn(usize) -> Port) -> Self {
        let port = |segment| Port { segment, ..port(segment) };
        let mut wire = Wire::new();
        let a = wire.host(1, port(0), &["10.0.0.1/24", "fd00::1/64"]);
        let routers = [0, 1, 2].map(|n| {
            let near = [format!("10.{n}.0.2/24"), format!("fd00:{n}::2/64")];
            let far = [format!("10.{}.0.254/24", n + 1), format!("fd00:{}::254/64", n + 1)];
            let router = wire.host(10 + n as u64, port(n), &near.each_ref().map(String::as_str));
            wire.attach(router, port(n + 1), &far.each_ref().map(String::as_str));
            wire[router].set_forwarding(true);
            router
        });
        let b = wire.host(2, port(3), &["10.3.0.1/24", "fd00:3::1/64"]);
        let mut route = |host: Host, to: &str, via: &str| {
            wire[host].add_route(to.parse().unwrap(), Some(via.parse().unwrap()), None, 0).unwrap();
        };
        route(a, "0.0.0.0/0", "10.0.0.2");
        route(a, "::/0", "fd00::2");
        route(b, "0.0.0.0/0", "10.3.0.254");
        route(b, "::/0", "fd00:3::254");
        for (n, &router) in routers.iter().enumerate() {
            for m in (0..4).filter(|m| *m != n && *m != n + 1) {
                let (link, last) = if m < n { (n, "254") } else { (n + 1, "2") };
                route(router, &format!("10.{m}.0.0/24"), &format!("10.{link}.0.{last}"));
                route(router, &format!("fd00:{m}::/64"), &format!("fd00:{link}::{last}"));
            }
        }
        Self { wire, a, b, routers }
    }

    /// A UDP datagram from host a to port 53 of host b, in a frame for the first router.
    pub(super) fn packet(&self, net: Net, hops: u8, data: &[u8]) -> Vec<u8> {
        let to = match net {
            Net::V4 => IpAddr::from([10, 3, 0, 1]),
            Net::V6 => IpAddr::from([0xfd00, 3, 0, 0, 0, 0, 0, 1]),
        };
        self.packet_to(net, to, hops, data)
    }

    pub(super) fn packet_to(&self, net: Net, to: IpAddr, hops: u8, data: &[u8]) -> Vec<u8> {
        let from = match net {
            Net::V4 => IpAddr::from([10, 0, 0, 1]),
            Net::V6 => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
        };
        packet(self.wire.mac(self.routers[0]), from, to, hops, data)
    }

    /// Has such a packet arrive at the first router, and lets what follows happen.
    pub(super) fn probe(&mut self, net: Net, hops: u8, data: &[u8]) {
        let frame = self.packet(net, hops, data);
        self.wire.inject_bytes(self.routers[0], &frame);
        self.wire.settle();
    }
}

/// A UDP datagram to port 53.
pub(super) fn packet(mac: [u8; 6], from: IpAddr, to: IpAddr, hops: u8, data: &[u8]) -> Vec<u8> {
    let mut udp = [9, 53, data.len() as u16 + 8, 0].map(u16::to_be_bytes).concat();
    udp.extend(data);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut frame = frames::ipv4(mac, from, to, 17, &udp);
            set_ttl(&mut frame, hops);
            frame
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => frames::ipv6(mac, from, to, 17, hops, &udp),
        _ => panic!("two families"),
    }
}

/// Another time to live, with the checksum of the header.
fn set_ttl(frame: &mut [u8], ttl: u8) {
    frame[22] = ttl;
    frame[24..26].fill(0);
    let sum = !crate::feed::checksum::sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// The address that the n-th on the way speaks from to host a.
pub(super) fn speaker(net: Net, n: u8) -> IpAddr {
    let (link, last) = if n == 4 { (3, 1) } else { (n - 1, 2) };
    match net {
        Net::V4 => IpAddr::from([10, link, 0, last]),
        Net::V6 => IpAddr::from([0xfd00, link.into(), 0, 0, 0, 0, 0, last.into()]),
    }
}

/// An ICMP error or a redirect of IPv4.
#[derive(Clone, Debug)]
pub(super) struct Error {
    pub(super) source: IpAddr,
    pub(super) kind: u8,
    pub(super) code: u8,
    pub(super) word: u32,
    pub(super) quoted: Vec<u8>,
}

/// Those that left a host, as their speaker; not those that it forwarded.
pub(super) fn errors(wire: &Wire, host: Host) -> Vec<Error> {
    let own = wire[host].snapshot(wire.now()).addresses;
    let parsed = wire.sent_by(host).filter_map(|sent| parse(&sent.bytes));
    parsed.filter(|error| own.iter().any(|own| own.cidr.address() == error.source)).collect()
}

fn parse(frame: &[u8]) -> Option<Error> {
    let (source, at) = match frame[14] >> 4 {
        4 if frame[23] == 1 => (IpAddr::from(<[u8; 4]>::try_from(&frame[26..30]).ok()?), 34),
        6 if frame[20] == 58 => (IpAddr::from(<[u8; 16]>::try_from(&frame[22..38]).ok()?), 54),
        _ => return None,
    };
    let (message, quoted) = frame[at..].split_at(8);
    let kind = message[0];
    let error = if at == 34 { !matches!(kind, 0 | 8) } else { kind < 128 };
    let word = u32::from_be_bytes(message[4..].try_into().ok()?);
    error.then(|| Error { source, kind, code: message[1], word, quoted: quoted.to_vec() })
}
