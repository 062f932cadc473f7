//! The servers of the tests of DHCP: what they hear, and what they say, byte by byte.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ioth_stack::Instant;

use crate::wire::{Host, Wire, frames};

pub(crate) const DISCOVER: u8 = 1;
pub(crate) const OFFER: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const DECLINE: u8 = 4;
pub(crate) const ACK: u8 = 5;
pub(crate) const NAK: u8 = 6;
pub(crate) const RELEASE: u8 = 7;

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const GIVEN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 50);

/// A message of a client of DHCP.
#[derive(Clone, Debug)]
pub(crate) struct Heard4 {
    pub(crate) at: Instant,
    /// Destination of the frame, addresses of the packet.
    pub(crate) station: [u8; 6],
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    /// From `op` on.
    pub(crate) bytes: Vec<u8>,
    pub(crate) options: BTreeMap<u8, Vec<u8>>,
}

impl Heard4 {
    pub(crate) fn kind(&self) -> u8 {
        self.options[&53][0]
    }

    pub(crate) fn xid(&self) -> [u8; 4] {
        self.bytes[4..8].try_into().unwrap()
    }

    /// `ciaddr`.
    pub(crate) fn own(&self) -> Ipv4Addr {
        <[u8; 4]>::try_from(&self.bytes[12..16]).unwrap().into()
    }

    pub(crate) fn address(&self, option: u8) -> Option<Ipv4Addr> {
        self.options.get(&option).map(|value| <[u8; 4]>::try_from(&value[..]).unwrap().into())
    }
}

/// What a host has said to servers of DHCP since the record was cleared.
pub(crate) fn heard4(wire: &Wire, host: Host) -> Vec<Heard4> {
    let to_server = wire.sent_by(host).filter(|sent| {
        sent.bytes[12..14] == [8, 0] && sent.bytes[23] == 17 && sent.bytes[34..38] == [0, 68, 0, 67]
    });
    let parse = |sent: &crate::wire::Sent| {
        let ip = |at: usize| <[u8; 4]>::try_from(&sent.bytes[at..at + 4]).unwrap().into();
        let bytes = sent.bytes[42..].to_vec();
        assert_eq!(bytes[236..240], [99, 130, 83, 99]);
        let mut options = BTreeMap::new();
        let mut rest = &bytes[240..];
        while rest[0] != 255 {
            let len = usize::from(rest[1]);
            options.insert(rest[0], rest[2..2 + len].to_vec());
            rest = &rest[2 + len..];
        }
        let station = sent.bytes[..6].try_into().unwrap();
        Heard4 { at: sent.at, station, source: ip(26), destination: ip(30), bytes, options }
    };
    to_server.map(parse).collect()
}

/// An answer of a server of DHCP.
#[derive(Clone, Debug)]
pub(crate) struct Say4 {
    pub(crate) kind: u8,
    pub(crate) given: Ipv4Addr,
    /// Code and value, in this order; the end follows.
    pub(crate) options: Vec<(u8, Vec<u8>)>,
}

impl Say4 {
    /// A lease of so many seconds of 10.9.0.50/24, from 10.9.0.1, which is also the router.
    pub(crate) fn lease(kind: u8, seconds: u32) -> Self {
        let options = vec![
            (53, vec![kind]),
            (54, SERVER.octets().to_vec()),
            (51, seconds.to_be_bytes().to_vec()),
            (1, vec![255, 255, 255, 0]),
            (3, SERVER.octets().to_vec()),
        ];
        Self { kind, given: GIVEN, options }
    }

    pub(crate) fn refusal() -> Self {
        let options = vec![(53, vec![NAK]), (54, SERVER.octets().to_vec())];
        Self { kind: NAK, given: Ipv4Addr::UNSPECIFIED, options }
    }

    /// With another option, or another value of one that is there.
    pub(crate) fn with(mut self, code: u8, value: &[u8]) -> Self {
        self.options.retain(|(known, _)| *known != code);
        self.options.push((code, value.to_vec()));
        self
    }

    pub(crate) fn without(mut self, code: u8) -> Self {
        self.options.retain(|(known, _)| *known != code);
        self
    }

    /// As the answer to a question, from `op` on.
    pub(crate) fn bytes(&self, to: &Heard4) -> Vec<u8> {
        let mut bytes = vec![0; 240];
        bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&to.xid());
        bytes[16..20].copy_from_slice(&self.given.octets());
        bytes[28..44].copy_from_slice(&to.bytes[28..44]);
        bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
        for (code, value) in &self.options {
            bytes.extend([*code, value.len() as u8]);
            bytes.extend(value);
        }
        bytes.push(255);
        bytes
    }

    /// Says it to the host, broadcast.
    pub(crate) fn to(&self, wire: &mut Wire, host: Host, question: &Heard4) {
        say4(wire, host, Ipv4Addr::BROADCAST, &self.bytes(question));
    }
}

/// Says anything to a client of DHCP.
pub(crate) fn say4(wire: &mut Wire, host: Host, destination: Ipv4Addr, bytes: &[u8]) {
    let mac = wire.mac(host);
    let frame = frames::ipv4(mac, SERVER, destination, 17, &udp(67, 68, bytes));
    wire.inject_bytes(host, &frame);
    wire.settle();
}

pub(crate) const SOLICIT: u8 = 1;
pub(crate) const ADVERTISE: u8 = 2;
pub(crate) const REQUEST6: u8 = 3;
pub(crate) const RENEW: u8 = 5;
pub(crate) const REBIND: u8 = 6;
pub(crate) const REPLY: u8 = 7;
pub(crate) const RELEASE6: u8 = 8;
pub(crate) const DECLINE6: u8 = 9;
pub(crate) const INFORMATION: u8 = 11;
pub(crate) const SERVER_DUID: [u8; 10] = [0, 3, 0, 1, 2, 9, 9, 9, 9, 9];

/// A message of a client of DHCPv6.
#[derive(Clone, Debug)]
pub(crate) struct Heard6 {
    pub(crate) at: Instant,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) kind: u8,
    pub(crate) xid: [u8; 3],
    pub(crate) options: BTreeMap<u16, Vec<u8>>,
}

impl Heard6 {
    /// The addresses of its identity association.
    pub(crate) fn addresses(&self) -> Vec<Ipv6Addr> {
        let inside = &self.options[&3][12..];
        let all = inside.chunks(28).inspect(|option| assert_eq!(option[..4], [0, 5, 0, 24]));
        all.map(|option| <[u8; 16]>::try_from(&option[4..20]).unwrap().into()).collect()
    }
}

/// What a host has said to servers of DHCPv6 since the record was cleared.
pub(crate) fn heard6(wire: &Wire, host: Host) -> Vec<Heard6> {
    let to_server = wire.sent_by(host).filter(|sent| {
        sent.bytes[12..14] == [0x86, 0xdd] && sent.bytes[20] == 17 && sent.bytes[54..58] == [2, 34, 2, 35]
    });
    let parse = |sent: &crate::wire::Sent| {
        let ip = |at: usize| <[u8; 16]>::try_from(&sent.bytes[at..at + 16]).unwrap().into();
        let bytes = &sent.bytes[62..];
        let mut options = BTreeMap::new();
        let mut rest = &bytes[4..];
        while let [c0, c1, l0, l1, behind @ ..] = rest {
            let (value, behind) = behind.split_at(usize::from(u16::from_be_bytes([*l0, *l1])));
            options.insert(u16::from_be_bytes([*c0, *c1]), value.to_vec());
            rest = behind;
        }
        let xid = bytes[1..4].try_into().unwrap();
        Heard6 { at: sent.at, source: ip(22), destination: ip(38), kind: bytes[0], xid, options }
    };
    to_server.map(parse).collect()
}

/// An answer of a server of DHCPv6.
#[derive(Clone, Debug)]
pub(crate) struct Say6 {
    pub(crate) kind: u8,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

impl Say6 {
    /// With the identifiers of the server alone.
    pub(crate) fn new(kind: u8) -> Self {
        Self { kind, options: vec![(2, SERVER_DUID.to_vec())] }
    }

    pub(crate) fn with(mut self, code: u16, value: &[u8]) -> Self {
        self.options.push((code, value.to_vec()));
        self
    }

    /// With an address, and the times of its identity association: T1, T2, preferred, valid.
    pub(crate) fn gives(self, address: &str, times: [u32; 4]) -> Self {
        let [t1, t2, preferred, valid] = times;
        let mut value = [1u32.to_be_bytes(), t1.to_be_bytes(), t2.to_be_bytes()].concat();
        value.extend([0, 5, 0, 24]);
        value.extend(address.parse::<Ipv6Addr>().unwrap().octets());
        value.extend([preferred.to_be_bytes(), valid.to_be_bytes()].concat());
        self.with(3, &value)
    }

    /// As the answer to a question.
    pub(crate) fn bytes(&self, to: &Heard6) -> Vec<u8> {
        let mut bytes = vec![self.kind];
        bytes.extend(to.xid);
        let client = (1, to.options[&1].clone());
        for (code, value) in [&[client][..], &self.options].concat() {
            bytes.extend(code.to_be_bytes());
            bytes.extend((value.len() as u16).to_be_bytes());
            bytes.extend(value);
        }
        bytes
    }

    pub(crate) fn to(&self, wire: &mut Wire, host: Host, question: &Heard6) {
        say6(wire, host, question, &self.bytes(question));
    }
}

/// Says anything to a client of DHCPv6.
pub(crate) fn say6(wire: &mut Wire, host: Host, to: &Heard6, bytes: &[u8]) {
    let mac = wire.mac(host);
    let server = "fe80::9".parse().unwrap();
    let frame = frames::ipv6(mac, server, to.source, 17, 64, &udp(547, 546, bytes));
    wire.inject_bytes(host, &frame);
    wire.settle();
}

fn udp(source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = [source, destination, data.len() as u16 + 8, 0].map(u16::to_be_bytes).concat();
    bytes.extend(data);
    bytes
}
