//! Servers of DHCP that lie, and those that only say they are servers: nothing panics, nothing grows, a bystander's connection
//! carries on, and an honest server is heard afterwards.

use std::net::Ipv4Addr;
use std::time::Duration;

use ioth_stack::net::InterfaceId;
use ioth_stack::{EndpointId, Origin};
use proptest::prelude::*;

use crate::dhcp_server::{
    ACK, ADVERTISE, Heard4, Heard6, OFFER, REPLY, SERVER, Say4, Say6, heard4, heard6, say4, say6,
};
use crate::wire::{Dice, Host, Port, Wire};

const ETH: InterfaceId = InterfaceId::new(2);
const SECOND: Duration = Duration::from_secs(1);

/// A host that asks on one link and has a connection on another.
struct Victim {
    wire: Wire,
    host: Host,
    bystander: Host,
    ends: (EndpointId, EndpointId),
}

impl Victim {
    fn new() -> Self {
        let mut wire = Wire::new();
        let host = wire.host(1, Port::default(), &[]);
        let side = Port { segment: 1, ..Port::default() };
        wire.attach(host, side, &["192.168.0.2/24"]);
        let bystander = wire.host(2, side, &["192.168.0.3/24"]);
        let ends = wire.connected(bystander, host, "192.168.0.2:22");
        let now = wire.now();
        wire[host].start_dhcp4(now, ETH);
        wire[host].start_dhcp6(now, ETH, false);
        wire.run(2 * SECOND);
        Self { wire, host, bystander, ends }
    }

    fn question4(&self) -> Heard4 {
        heard4(&self.wire, self.host).pop().unwrap()
    }

    fn question6(&self) -> Heard6 {
        heard6(&self.wire, self.host).pop().unwrap()
    }

    fn leased(&self) -> Vec<String> {
        let all = self.wire[self.host].snapshot(self.wire.now()).addresses;
        let given = all.iter().filter(|known| known.origin == Origin::Leased);
        given.map(|known| known.cidr.to_string()).collect()
    }

    /// Says something of DHCP at every step of the exchange; `change` gets what an honest server would say.
    fn attack4(&mut self, change: &dyn Fn(Say4, &Heard4) -> Vec<u8>) {
        for (kind, seconds) in [(OFFER, 1000), (ACK, 1000), (ACK, 1000)] {
            let question = self.question4();
            let bytes = change(Say4::lease(kind, seconds), &question);
            say4(&mut self.wire, self.host, Ipv4Addr::BROADCAST, &bytes);
            // An honest offer brings it to the request.
            if kind == OFFER && self.question4().kind() == crate::dhcp_server::DISCOVER {
                Say4::lease(OFFER, 1000).to(&mut self.wire, self.host, &question);
            }
        }
    }

    fn attack6(&mut self, change: &dyn Fn(Say6, &Heard6) -> Vec<u8>) {
        for kind in [ADVERTISE, REPLY, REPLY] {
            let question = self.question6();
            let honest =
                Say6::new(kind).gives("2001:db8::9", [100, 160, 200, 300]).with(7, &[255]).with(14, &[]);
            let bytes = change(honest, &question);
            say6(&mut self.wire, self.host, &question, &bytes);
        }
    }

    /// Little is kept, and the bystander is served.
    fn is_well(&mut self) {
        let shown = self.wire[self.host].snapshot(self.wire.now());
        assert!(shown.routes.len() < 80, "{} routes", shown.routes.len());
        assert!(shown.addresses.len() < 20, "{} addresses", shown.addresses.len());
        assert!(self.wire[self.host].learned_nameservers().len() <= 128);
        assert!(self.wire[self.host].learned_domains().len() <= 128);
        let (one, other) = self.ends;
        assert!(self.wire.echoes([(self.bystander, one), (self.host, other)]));
    }

    /// An honest server is heard, whatever was before.
    fn gets_a_lease(&mut self) {
        let now = self.wire.now();
        self.wire[self.host].stop_dhcp4(now, ETH);
        self.wire[self.host].stop_dhcp6(now, ETH);
        self.wire.record.clear();
        self.wire[self.host].start_dhcp4(now, ETH);
        self.wire[self.host].start_dhcp6(now, ETH, false);
        self.wire.run(2 * SECOND);
        for kind in [OFFER, ACK] {
            let question = self.question4();
            Say4::lease(kind, 1000).to(&mut self.wire, self.host, &question);
        }
        let question = self.question6();
        let reply = Say6::new(REPLY).gives("2001:db8::9", [100, 160, 200, 300]).with(14, &[]);
        reply.to(&mut self.wire, self.host, &question);
        assert_eq!(self.leased(), ["10.9.0.50/24", "2001:db8::9/128"]);
        self.is_well();
    }
}

/// What a server of DHCP says instead, and whether an address may come of it.
type Lie4 = (&'static str, bool, fn(Say4, &Heard4) -> Vec<u8>);

const LIES4: &[Lie4] = &[
    ("nothing", false, |_, _| Vec::new()),
    ("a header only", false, |say, to| say.bytes(to)[..240].to_vec()),
    ("half a header", false, |say, to| say.bytes(to)[..120].to_vec()),
    // The options.
    ("an option longer than the message", true, |say, to| {
        let mut bytes = say.bytes(to);
        let end = bytes.len() - 1;
        bytes[end..].copy_from_slice(&[6]);
        bytes.extend([200, 10, 9, 0, 1]);
        bytes
    }),
    ("the first option longer than the message", false, |say, to| {
        let mut bytes = say.bytes(to);
        bytes[241] = 255;
        bytes
    }),
    ("no end", true, |say, to| {
        let mut bytes = say.bytes(to);
        bytes.pop();
        bytes
    }),
    ("a code without a length at the end", true, |say, to| {
        let mut bytes = say.bytes(to);
        *bytes.last_mut().unwrap() = 6;
        bytes
    }),
    ("padding only", false, |say, to| [&say.bytes(to)[..240], &[0; 300]].concat()),
    ("a mask of length 0", true, |say, to| say.with(1, &[]).bytes(to)),
    ("a mask of length 3", true, |say, to| say.with(1, &[255, 255, 255]).bytes(to)),
    ("a type of length 0", false, |say, to| say.with(53, &[]).bytes(to)),
    ("a type that does not exist", false, |say, to| say.with(53, &[99]).bytes(to)),
    ("no type", false, |say, to| say.without(53).bytes(to)),
    ("a server of length 0", false, |say, to| say.with(54, &[]).bytes(to)),
    ("no server", false, |say, to| say.without(54).bytes(to)),
    ("a server that nobody is", false, |say, to| say.with(54, &[224, 0, 0, 1]).bytes(to)),
    ("another server than was asked", false, |say, to| {
        if say.kind == OFFER { say.without(53).bytes(to) } else { say.with(54, &[10, 9, 0, 99]).bytes(to) }
    }),
    ("routers of length 5", true, |say, to| say.with(3, &[10, 9, 0, 1, 10]).bytes(to)),
    ("a name of length 0", true, |say, to| say.with(81, &[]).bytes(to)),
    ("a name of length 2", true, |say, to| say.with(81, &[0, 0]).bytes(to)),
    ("a domain that is no text", true, |say, to| say.with(15, &[0xff, 0xfe, 0]).bytes(to)),
    ("a domain for a shell", true, |say, to| say.with(15, b"$(reboot)\nnameserver 1.1.1.1").bytes(to)),
    ("a search list that goes round", true, |say, to| say.with(119, b"\x03lab\xc0\x00").bytes(to)),
    ("a search list that points behind itself", true, |say, to| say.with(119, b"\xc0\x7f").bytes(to)),
    ("every option empty", true, |mut say, to| {
        say.options
            .extend((2..=254).filter(|code| ![3, 51, 53, 54].contains(code)).map(|code| (code, vec![])));
        say.bytes(to)
    }),
    ("every option of one byte", true, |mut say, to| {
        let codes = (2..=254).filter(|code| ![3, 51, 52, 53, 54].contains(code));
        say.options.extend(codes.map(|code| (code, vec![1])));
        say.bytes(to)
    }),
    // Overload.
    ("overload with nothing there", true, |say, to| say.with(52, &[3]).bytes(to)),
    ("overload with itself inside", true, |say, to| {
        let mut bytes = say.with(52, &[3]).bytes(to);
        bytes[44..47].copy_from_slice(&[52, 1, 3]);
        bytes[108..111].copy_from_slice(&[52, 1, 3]);
        bytes
    }),
    ("overload with options over the end", true, |say, to| {
        let mut bytes = say.with(52, &[3]).bytes(to);
        bytes[100..108].copy_from_slice(&[0, 0, 0, 0, 0, 6, 200, 1]);
        bytes[44..100].fill(0);
        bytes[108..236].fill(0xee);
        bytes
    }),
    ("overload of length 0", true, |say, to| say.with(52, &[]).bytes(to)),
    // The header.
    ("a question", false, |say, to| {
        let mut bytes = say.bytes(to);
        bytes[0] = 1;
        bytes
    }),
    ("another transaction", false, |say, to| {
        let mut bytes = say.bytes(to);
        bytes[7] ^= 1;
        bytes
    }),
    ("another station", false, |say, to| {
        let mut bytes = say.bytes(to);
        bytes[33] ^= 1;
        bytes
    }),
    ("a station of another length", false, |say, to| {
        let mut bytes = say.bytes(to);
        bytes[2] = 255;
        bytes
    }),
    ("another cookie", false, |say, to| {
        let mut bytes = say.bytes(to);
        bytes[236] = 0;
        bytes
    }),
    // The lease.
    ("no lease", false, |say, to| say.without(51).bytes(to)),
    ("a lease of nothing", false, |say, to| say.with(51, &[0; 4]).bytes(to)),
    ("a lease of a second", true, |say, to| say.with(51, &[0, 0, 0, 1]).bytes(to)),
    ("a lease of three bytes", false, |say, to| say.with(51, &[0, 1, 0]).bytes(to)),
    ("times after the end", true, |say, to| say.with(58, &[0xff; 4]).with(59, &[0xff; 4]).bytes(to)),
    ("times of nothing", true, |say, to| say.with(58, &[0; 4]).with(59, &[0; 4]).bytes(to)),
    // Addresses.
    ("no address", false, |say, to| Say4 { given: Ipv4Addr::UNSPECIFIED, ..say }.bytes(to)),
    ("a loopback address", false, |say, to| Say4 { given: Ipv4Addr::LOCALHOST, ..say }.bytes(to)),
    ("a group", false, |say, to| Say4 { given: Ipv4Addr::new(224, 0, 0, 1), ..say }.bytes(to)),
    ("everybody", false, |say, to| Say4 { given: Ipv4Addr::BROADCAST, ..say }.bytes(to)),
    ("a reserved address", false, |say, to| Say4 { given: Ipv4Addr::new(240, 0, 0, 1), ..say }.bytes(to)),
    ("the network itself", false, |say, to| Say4 { given: Ipv4Addr::new(10, 9, 0, 0), ..say }.bytes(to)),
    ("everybody there", false, |say, to| Say4 { given: Ipv4Addr::new(10, 9, 0, 255), ..say }.bytes(to)),
    ("a mask with a hole", false, |say, to| say.with(1, &[255, 0, 255, 0]).bytes(to)),
    ("a mask of nothing", false, |say, to| say.with(1, &[0; 4]).bytes(to)),
    ("a router that nobody is", true, |say, to| {
        say.with(3, &[0, 0, 0, 0, 127, 0, 0, 1, 224, 0, 0, 1]).bytes(to)
    }),
    ("the host as its router", true, |say, to| say.with(3, &[10, 9, 0, 50]).bytes(to)),
    ("name servers that nobody is", true, |say, to| say.with(6, &[0, 0, 0, 0, 255, 255, 255, 255]).bytes(to)),
    // Routes.
    ("a prefix of 33 bits", true, |say, to| say.with(121, &[33, 10, 0, 0, 0, 10, 9, 0, 1]).bytes(to)),
    ("a route cut off", true, |say, to| say.with(121, &[24, 10, 1, 1, 10, 9]).bytes(to)),
    ("routes to loopback and groups", true, |say, to| {
        say.with(121, &[8, 127, 10, 9, 0, 1, 4, 224, 10, 9, 0, 1]).bytes(to)
    }),
    ("ten thousand routes", true, |mut say, to| {
        for first in 0..40u8 {
            let routes = (0..40).flat_map(|second| [24, 11, first, second, 10, 9]);
            say.options.push((121, routes.collect()));
        }
        say.bytes(to)
    }),
];

#[test]
fn servers_of_dhcp_that_lie() {
    for (name, may_lease, lie) in LIES4 {
        println!("{name}");
        let mut victim = Victim::new();
        victim.attack4(lie);
        let leased = victim.leased();
        assert!(leased.is_empty() || *may_lease, "{name}: {leased:?}");
        victim.is_well();
        victim.wire.run(20 * SECOND);
        victim.is_well();
        victim.gets_a_lease();
    }
}

#[test]
fn what_may_come_of_a_lie_makes_sense() {
    let with = |change: &dyn Fn(Say4, &Heard4) -> Vec<u8>| {
        let mut victim = Victim::new();
        victim.attack4(change);
        let routes = victim.wire[victim.host].snapshot(victim.wire.now()).routes;
        let gateways = routes.iter().filter_map(|route| route.gateway).count();
        (victim.leased(), gateways, victim.wire[victim.host].learned_domains().len())
    };
    // The mask of its class; no router.
    assert_eq!(with(&|say, to| say.with(1, &[]).bytes(to)), (vec!["10.9.0.50/8".to_owned()], 1, 0));
    let one = || vec!["10.9.0.50/24".to_owned()];
    assert_eq!(with(&|say, to| say.with(3, &[10, 9, 0, 50]).bytes(to)), (one(), 0, 0));
    assert_eq!(with(&|say, to| say.with(3, &[0, 0, 0, 0, 10, 9, 0, 7]).bytes(to)), (one(), 1, 0));
    assert_eq!(with(&|say, to| say.with(15, b"$(reboot)").bytes(to)), (one(), 1, 0));
    // RFC 2131 section 4.1: what stands in `file` and `sname` counts.
    let overloaded = |say: Say4, to: &Heard4| {
        let mut bytes = say.without(3).with(52, &[3]).bytes(to);
        bytes[44..51].copy_from_slice(&[3, 4, 10, 9, 0, 1, 255]);
        bytes[108..114].copy_from_slice(&[15, 3, b'l', b'a', b'b', 255]);
        bytes
    };
    assert_eq!(with(&overloaded), (one(), 1, 1));
}

/// What a server of DHCPv6 says instead, and whether an address may come of it.
type Lie6 = (&'static str, bool, fn(Say6, &Heard6) -> Vec<u8>);

/// The association with its options replaced.
fn inside(say: &Say6, options: &[u8]) -> Say6 {
    let mut say = say.clone();
    let association = say.options.iter_mut().find(|(code, _)| *code == 3).unwrap();
    association.1.truncate(12);
    association.1.extend(options);
    say
}

/// An address option.
fn address(address: &str, preferred: u32, valid: u32) -> Vec<u8> {
    let mut bytes = vec![0, 5, 0, 24];
    bytes.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    bytes.extend([preferred.to_be_bytes(), valid.to_be_bytes()].concat());
    bytes
}

const LIES6: &[Lie6] = &[
    ("nothing", false, |_, _| Vec::new()),
    ("a header only", false, |say, to| say.bytes(to)[..4].to_vec()),
    ("another transaction", false, |say, to| {
        let mut bytes = say.bytes(to);
        bytes[3] ^= 1;
        bytes
    }),
    ("another client", false, |say, to| {
        let mut bytes = say.bytes(to);
        bytes[10] ^= 1;
        bytes
    }),
    ("a type that does not exist", false, |say, to| Say6 { kind: 200, ..say }.bytes(to)),
    ("a relayed message", false, |say, to| Say6 { kind: 13, ..say }.bytes(to)),
    ("no server", false, |mut say, to| {
        say.options.remove(0);
        say.bytes(to)
    }),
    ("a server of length 0", false, |mut say, to| {
        say.options[0].1.clear();
        say.bytes(to)
    }),
    ("a server of 200 bytes", false, |mut say, to| {
        say.options[0].1 = vec![7; 200];
        say.bytes(to)
    }),
    ("an option longer than the message", true, |say, to| {
        [&say.bytes(to)[..], &[0, 23, 0xff, 0xff, 1]].concat()
    }),
    ("half an option", true, |say, to| [&say.bytes(to)[..], &[0, 23, 0]].concat()),
    ("a status of one byte", true, |say, to| say.with(13, &[0]).bytes(to)),
    ("a status of no byte", true, |say, to| say.with(13, &[]).bytes(to)),
    ("a status with no text", true, |say, to| say.with(13, &[0, 0, 0xff, 0xfe]).bytes(to)),
    ("a failure", false, |say, to| say.with(13, &[0, 1]).bytes(to)),
    ("a status that does not exist", false, |say, to| say.with(13, &[0xff, 0xff]).bytes(to)),
    ("vendors of no byte", true, |say, to| say.with(16, &[]).with(17, &[]).with(11, &[]).bytes(to)),
    ("every option empty", true, |mut say, to| {
        let codes = (6..=140).filter(|code| ![7, 14].contains(code));
        say.options.extend(codes.map(|code| (code, vec![])));
        say.bytes(to)
    }),
    ("an association of 11 bytes", false, |mut say, to| {
        say.options[1].1.truncate(11);
        say.bytes(to)
    }),
    ("another association", false, |mut say, to| {
        say.options[1].1[0] = 1;
        say.bytes(to)
    }),
    ("T1 behind T2", false, |mut say, to| {
        say.options[1].1[4..12].copy_from_slice(&[0, 0, 0, 9, 0, 0, 0, 8]);
        say.bytes(to)
    }),
    ("an association without addresses", false, |say, to| inside(&say, &[]).bytes(to)),
    ("an address of 23 bytes", false, |say, to| {
        inside(&say, &[&[0, 5, 0, 23][..], &[0x20; 23]].concat()).bytes(to)
    }),
    ("preferred for longer than valid", false, |say, to| {
        inside(&say, &address("2001:db8::9", 9, 8)).bytes(to)
    }),
    ("valid for nothing", false, |say, to| inside(&say, &address("2001:db8::9", 0, 0)).bytes(to)),
    ("valid for a second", true, |say, to| inside(&say, &address("2001:db8::9", 1, 1)).bytes(to)),
    ("a group", false, |say, to| inside(&say, &address("ff02::1", 100, 200)).bytes(to)),
    ("no address", false, |say, to| inside(&say, &address("::", 100, 200)).bytes(to)),
    ("a loopback address", false, |say, to| inside(&say, &address("::1", 100, 200)).bytes(to)),
    ("a hundred addresses", true, |say, to| {
        let all: Vec<u8> =
            (1..=100).flat_map(|last| address(&format!("2001:db8::{last}"), 100, 200)).collect();
        inside(&say, &all).bytes(to)
    }),
    ("options inside options without end", true, |say, to| {
        let mut bytes = say.bytes(to);
        while bytes.len() < 60_000 {
            let rest = 60_000 - bytes.len();
            bytes.extend([&[0, 3][..], &(rest as u16).to_be_bytes(), &[0; 12]].concat());
        }
        bytes
    }),
    ("options inside options, as many as are looked at", true, |say, to| {
        let mut bytes = say.bytes(to);
        while bytes.len() + 16 <= 4096 {
            let rest = 4096 - bytes.len() - 4;
            bytes.extend([&[0, 3][..], &(rest as u16).to_be_bytes(), &[0; 12]].concat());
        }
        bytes
    }),
    ("name servers of 17 bytes", true, |say, to| say.with(23, &[0x20; 17]).bytes(to)),
    ("two hundred name servers", true, |say, to| say.with(23, &[0x20; 3200]).bytes(to)),
    ("names cut off", true, |say, to| say.with(24, b"\x09lab").bytes(to)),
    ("a waiting time of nothing", true, |say, to| say.with(82, &[0; 4]).with(83, &[0; 4]).bytes(to)),
];

#[test]
fn servers_of_dhcpv6_that_lie() {
    for (name, may_lease, lie) in LIES6 {
        println!("{name}");
        let mut victim = Victim::new();
        victim.attack6(lie);
        let leased = victim.leased();
        assert!(leased.is_empty() || *may_lease, "{name}: {leased:?}");
        victim.is_well();
        victim.wire.run(20 * SECOND);
        victim.is_well();
        victim.gets_a_lease();
    }
}

#[test]
fn lies_about_where_it_came_from() {
    let mut victim = Victim::new();
    let question = victim.question4();
    let offer = Say4::lease(OFFER, 1000).bytes(&question);
    let mac = victim.wire.mac(victim.host);
    let udp = |source: u16, destination: u16, len: usize| {
        let mut bytes = [source, destination, len as u16, 0].map(u16::to_be_bytes).concat();
        bytes.extend(&offer);
        bytes
    };
    let len = offer.len() + 8;
    for (source, datagram) in [
        (SERVER, udp(67, 67, len)),
        (SERVER, udp(67, 68, 7)),
        (SERVER, udp(67, 68, 0)),
        (SERVER, udp(67, 68, len + 1)),
    ] {
        let frame = crate::wire::frames::ipv4(mac, source, Ipv4Addr::BROADCAST, 17, &datagram);
        victim.wire.inject_bytes(victim.host, &frame);
    }
    // A wrong checksum.
    let mut frame = crate::wire::frames::ipv4(mac, SERVER, Ipv4Addr::BROADCAST, 17, &udp(67, 68, len));
    frame[41] ^= 1;
    victim.wire.inject_bytes(victim.host, &frame);
    victim.wire.settle();
    assert_eq!(victim.question4().kind(), crate::dhcp_server::DISCOVER);
    victim.gets_a_lease();
}

#[test]
fn what_the_fuzzer_of_leases_does() {
    let mut dice = Dice::new(3);
    for _ in 0..2000 {
        let data: Vec<u8> = (0..dice.below(2000)).map(|_| dice.next() as u8).collect();
        crate::lies::run(&data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes(seed: u64) {
        let mut victim = Victim::new();
        let start = seed;
        let change = |bytes: Vec<u8>, salt: u64| {
            let mut dice = Dice::new(start ^ salt);
            let mut bytes = bytes;
            for _ in 0..=dice.below(4) {
                let at = dice.below(bytes.len());
                bytes[at] = dice.next() as u8;
            }
            bytes.truncate(bytes.len() - dice.below(3));
            bytes
        };
        for round in 0..10 {
            victim.attack4(&|say, to| {
                change(say.with(121, &[8, 11, 10, 9, 0, 1]).with(119, b"\x03lab\0").bytes(to), round)
            });
            victim.attack6(&|say, to| change(say.with(24, b"\x03lab\0").with(13, &[0, 0]).bytes(to), !round));
            victim.wire.run(2 * SECOND);
        }
        victim.is_well();
        victim.gets_a_lease();
    }
}
