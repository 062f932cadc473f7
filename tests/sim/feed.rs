//! Feeds one engine with whatever bytes say: the body of the fuzz target `frames`, and of a seeded test.
//!
//! The bytes are a list of steps. Most of them are frames, from random ones to segments that fit the
//! connections of the engine, so that deep code is reached; the others are calls of the application
//! and passing time. Nothing the bytes say may make the engine panic or send without end.

#[path = "checksum.rs"]
pub(crate) mod checksum;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ioth_stack::link::{Checksum, Frame};
use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::{
    EndpointId, Engine, Family, Instant, InterfaceSettings, IpOptions, Kind, Options, Secret, Shutdown,
    SourceChange, Via,
};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const LISTENER: u16 = 80;
const DATAGRAM: u16 = 53;
const PEER_PORT: u16 = 4000;
/// MSS 1460, NOP, window scale 7, NOP, NOP, SACK permitted.
const OPTIONS: [u8; 12] = [2, 4, 5, 180, 1, 3, 3, 7, 1, 1, 4, 2];
/// Frames that the engine may send between two steps: what the rings hold in the smallest segments, twice.
const MOST_FRAMES: usize = 40_000;

/// Runs the steps in `data`. Panics if the engine does, or if it does not come to rest.
pub(crate) fn run(data: &[u8]) {
    let mut subject = Subject::new();
    let mut data = Input(data);
    while let Some(step) = data.byte() {
        subject.step(step, &mut data);
        // Several frames may come in before the next goes out.
        if step & 0x30 != 0 {
            subject.drain();
        }
    }
    subject.end();
}

/// The bytes that say what happens; behind their end there are zeros.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn number(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    pub(crate) fn word(&mut self) -> u32 {
        u32::from_be_bytes(std::array::from_fn(|_| self.number()))
    }

    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// An engine at 10.0.0.1 and fd00::1, with one interface.
pub(crate) fn engine() -> Engine {
    let mut engine = Engine::new(Secret::from_seed(1));
    let settings =
        InterfaceSettings { name: "eth0".to_owned(), mac: Mac::new(MAC), mtu: 1500, offload: false };
    let id = engine.add_interface(settings).unwrap();
    for address in ["10.0.0.1/24", "fd00::1/64"] {
        engine.add_address(id, address.parse().unwrap()).unwrap();
    }
    engine
}

/// The peer asks for our address, so that answers to it leave.
pub(crate) fn introduction() -> Vec<u8> {
    let mut arp = [&[0xff; 6][..], &PEER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &PEER_MAC].concat();
    arp.extend(PEER.octets());
    arp.extend([0; 6]);
    arp.extend(OWN.octets());
    arp
}

/// An IPv4 packet from the peer.
pub(crate) fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&MAC, &PEER_MAC, &[8, 0, 0x45, 0][..]].concat();
    bytes.extend(((20 + payload.len()) as u16).to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    bytes.extend(PEER.octets());
    bytes.extend(OWN.octets());
    bytes.extend(payload);
    checksum::fix(&mut bytes);
    bytes
}

/// A fragment from the peer, of one of four datagrams of each family; `how` says which, and where it belongs.
fn fragment(protocol: u8, how: u32, payload: &[u8]) -> Vec<u8> {
    let [flags, identification, o0, o1] = how.to_be_bytes();
    // Mostly near the start, so that pieces meet.
    let word = if flags & 2 == 0 { u16::from(o1 & 31) } else { u16::from_be_bytes([o0, o1]) };
    if flags & 4 == 0 {
        let mut bytes = packet(253, payload);
        bytes[18..20].copy_from_slice(&[0, identification & 3]);
        bytes[20..22].copy_from_slice(&(word & 0x1fff | u16::from(flags & 1) << 13).to_be_bytes());
        bytes[23] = protocol;
        bytes[24..26].fill(0);
        let check = !checksum::sum(&bytes[14..34]);
        bytes[24..26].copy_from_slice(&check.to_be_bytes());
        return bytes;
    }
    let mut bytes = [&MAC, &PEER_MAC, &[0x86, 0xdd, 0x60, 0, 0, 0][..]].concat();
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([44, 64]);
    for last in [2, 1] {
        bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    bytes.extend([protocol, 0]);
    bytes.extend((word << 3 | u16::from(flags & 1)).to_be_bytes());
    bytes.extend([0, 0, 0, identification & 3]);
    bytes.extend(payload);
    bytes
}

/// A message of Neighbour Discovery from the link, with a hop limit that counts.
fn discovery(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = [&MAC, &PEER_MAC, &[0x86, 0xdd, 0x60, 0, 0, 0][..]].concat();
    bytes.extend((4 + rest.len() as u16).to_be_bytes());
    bytes.extend([58, 255]);
    // Of four routers.
    bytes.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, kind >> 6]);
    bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend([[134, 134, 135, 136, 137][usize::from(kind % 5)], 0, 0, 0]);
    bytes.extend(rest);
    bytes
}

/// A message of IGMP or MLD about a group, marked and summed as it should be.
fn query(kind: u8, group: IpAddr, rest: &[u8]) -> Vec<u8> {
    let code = rest.first().copied().unwrap_or(0);
    match group {
        IpAddr::V4(group) => {
            let group = if kind & 8 == 0 { Ipv4Addr::UNSPECIFIED } else { group };
            let kind = [0x11, 0x11, 0x11, 0x12, 0x16, 0x17, 0x22, 0x11][usize::from(kind & 7)];
            let mut message = [&[kind, code, 0, 0][..], &group.octets(), rest].concat();
            let sum = !checksum::sum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            let mut bytes = packet(2, &[&[0x94, 4, 0, 0], &message[..]].concat());
            bytes[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 1]);
            bytes[14] = 0x46;
            bytes[22] = 1;
            bytes[30..34].copy_from_slice(&[224, 0, 0, 1]);
            bytes[24..26].fill(0);
            let sum = !checksum::sum(&bytes[14..38]);
            bytes[24..26].copy_from_slice(&sum.to_be_bytes());
            bytes
        }
        IpAddr::V6(group) => {
            let group = if kind & 8 == 0 { Ipv6Addr::UNSPECIFIED } else { group };
            let kind = [130, 130, 130, 131, 132, 143, 130, 130][usize::from(kind & 7)];
            let message = [&[kind, 0, 0, 0, 0, code, 0, 0][..], &group.octets(), rest].concat();
            let mut summed = to_all_nodes(58, &message);
            checksum::fix(&mut summed);
            to_all_nodes(0, &[&[58, 0, 5, 2, 0, 0, 1, 0], &summed[54..]].concat())
        }
    }
}

/// An IPv6 packet from the link.
fn to_all_nodes(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&[0x33, 0x33, 0, 0, 0, 1], &PEER_MAC, &[0x86, 0xdd, 0x60, 0, 0, 0][..]].concat();
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([protocol, 1]);
    bytes.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    bytes.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend(payload);
    bytes
}

/// Makes a packet one for the network behind the engine.
fn forwarded(bytes: &mut [u8]) {
    if bytes[14] >> 4 == 6 {
        bytes[43] = 1;
        return;
    }
    bytes[31] = 1;
    bytes[24..26].fill(0);
    let check = !checksum::sum(&bytes[14..34]);
    bytes[24..26].copy_from_slice(&check.to_be_bytes());
}

struct Subject {
    engine: Engine,
    now: Instant,
    streams: Vec<EndpointId>,
    listener: EndpointId,
    datagram: EndpointId,
    /// Of the last segment that left: ports, and the numbers that its peer would use next.
    last: Option<(u16, u16, u32, u32)>,
}

impl Subject {
    fn new() -> Self {
        let mut engine = engine();
        engine.start_discovery(Instant::ZERO, InterfaceId::new(2), true);
        let mac = Mac::new([2, 0, 0, 0, 0, 3]);
        let behind = InterfaceSettings { name: "eth1".to_owned(), mac, mtu: 600, offload: false };
        let behind = engine.add_interface(behind).unwrap();
        for address in ["10.1.0.254/24", "fd00:0:1::254/64"] {
            engine.add_address(behind, address.parse().unwrap()).unwrap();
        }
        let now = Instant::from_millis(1000);
        engine.handle_timeout(now);
        let listener = engine.open(Kind::Stream, Family::V6);
        // Small and large rings: with and without scaled windows.
        engine
            .set_options(listener, Options { recv_buffer: 200_000, recv_limit: 0, ..Options::default() })
            .unwrap();
        engine.bind(listener, SocketAddr::new("::".parse().unwrap(), LISTENER)).unwrap();
        engine.listen(listener, 4).unwrap();
        let datagram = engine.open(Kind::Datagram, Family::V6);
        let ip = IpOptions { queue_errors: true, queue_errors_v6: true, ..IpOptions::default() };
        engine.set_options(datagram, Options { recv_buffer: 20_000, ip, ..Options::default() }).unwrap();
        engine.bind(datagram, SocketAddr::new("::".parse().unwrap(), DATAGRAM)).unwrap();
        let mut subject = Self { engine, now, streams: Vec::new(), listener, datagram, last: None };
        subject.introduce();
        subject.connect();
        subject
    }

    fn introduce(&mut self) {
        self.arrive(Frame::from_slice(&introduction()));
    }

    fn connect(&mut self) {
        if self.streams.len() > 16 {
            return;
        }
        let id = self.engine.open(Kind::Stream, Family::V4);
        let _ = self.engine.connect(self.now, id, SocketAddr::new(PEER.into(), PEER_PORT));
        self.streams.push(id);
    }

    fn arrive(&mut self, frame: Frame) {
        self.engine.handle_frame(self.now, InterfaceId::new(2), frame);
    }

    fn step(&mut self, step: u8, data: &mut Input<'_>) {
        match step % 16 {
            // A frame of which nothing is known.
            0 => {
                let len = usize::from(data.number());
                self.arrive(Frame::from_slice(data.take(len)));
            }
            // A frame for us, with right checksums as far as it has any.
            1..=3 => {
                let ethertype = [[8, 0], [0x86, 0xdd], [8, 6]][usize::from(step % 16) - 1];
                let len = usize::from(data.number());
                let mut bytes = [&MAC, &PEER_MAC, &ethertype[..], data.take(len)].concat();
                checksum::fix(&mut bytes);
                self.arrive(Frame::from_slice(&bytes));
            }
            // A packet from the peer, of any protocol, or a fragment of one, for us or for somebody behind us; or a message
            // of Neighbour Discovery.
            4 => {
                let (protocol, len) = (data.number(), usize::from(data.number()));
                let payload = data.take(len).to_vec();
                let mut bytes = match step & 0x60 {
                    0x60 => discovery(protocol, &payload),
                    0x40 => fragment(protocol, data.word(), &payload),
                    _ => packet(protocol, &payload),
                };
                match step & 0xe0 {
                    0x60 | 0xe0 => checksum::fix(&mut bytes),
                    0x80 | 0xa0 | 0xc0 => forwarded(&mut bytes),
                    _ => {}
                }
                self.arrive(Frame::from_slice(&bytes));
            }
            // A segment of the connection that spoke last, near its numbers.
            5..=8 => {
                if let Some((own, peer, seq, ack)) = self.last {
                    let (seq_off, ack_off) = (self.near(data), self.near(data));
                    self.segment(peer, own, seq.wrapping_add(seq_off), ack.wrapping_add(ack_off), data);
                }
            }
            // A new connection to the listener.
            9 => {
                let (port, seq) = (u16::from(data.number()) + 5000, data.word());
                let mut syn = [port.to_be_bytes(), LISTENER.to_be_bytes()].concat();
                syn.extend(seq.to_be_bytes());
                syn.extend([0, 0, 0, 0, 0x80, 2, data.number(), data.number(), 0, 0, 0, 0]);
                syn.extend(OPTIONS);
                self.packet(6, &syn, false);
            }
            // A segment of any connection, with any numbers.
            10 => {
                let newest = self.streams.last().and_then(|id| self.engine.local_address(*id).ok());
                let ports = [LISTENER, PEER_PORT, DATAGRAM, newest.map_or(1, |address| address.port())];
                let (one, other) = (data.number(), data.number());
                let (seq, ack) = (data.word(), data.word());
                let port = |number: u8| ports[usize::from(number) % 4];
                self.segment(port(one), port(other), seq, ack, data);
            }
            11 => {
                let time = Duration::from_millis(1) * u32::from(data.number()).pow(2);
                self.now += time;
                self.engine.handle_timeout(self.now);
            }
            12 => {
                let len = usize::from(data.number()) * 100;
                for id in &self.streams {
                    let _ = self.engine.send(self.now, *id, &vec![7; len]);
                }
            }
            13 => {
                let mut buffer = vec![0; usize::from(data.number()) * 300];
                for id in &self.streams {
                    let _ = self.engine.recv(self.now, *id, &mut buffer);
                    let _ = self.engine.readiness(*id);
                }
                let _ = self.engine.recv_from(self.datagram, &mut buffer, false);
                let _ = self.engine.recv_error(self.datagram, &mut buffer);
            }
            14 => {
                if let Ok(accepted) = self.engine.accept(self.listener) {
                    self.streams.push(accepted.id);
                } else {
                    self.connect();
                }
            }
            _ if step & 0xe0 == 0xc0 => self.of_groups(data),
            _ if step & 0xe0 == 0xe0 => self.engine.set_forwarding(step & 0x10 != 0),
            _ => self.end_one(data.number()),
        }
    }

    /// The datagram endpoint joins, leaves or filters a group, or a router asks about one.
    fn of_groups(&mut self, data: &mut Input<'_>) {
        let (what, which) = (data.number(), data.number());
        let last = which & 3;
        let group: IpAddr = match which & 4 {
            0 => Ipv4Addr::new(239, 0, 0, last).into(),
            _ => Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, last.into()).into(),
        };
        let source = match which >> 6 {
            0 if group.is_ipv4() => PEER.into(),
            number if group.is_ipv4() => Ipv4Addr::new(10, 0, 0, number).into(),
            number => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()).into(),
        };
        let changes = [SourceChange::Join, SourceChange::Leave, SourceChange::Block, SourceChange::Unblock];
        let (now, id) = (self.now, self.datagram);
        match what % 8 {
            0 => drop(self.engine.join_group(now, id, group, Via::Routes)),
            1 => drop(self.engine.leave_group(now, id, group, Via::Routes)),
            2 | 3 => {
                let change = changes[usize::from(what >> 6)];
                let _ = self.engine.change_source(now, id, group, Via::Routes, source, change);
            }
            _ => {
                let len = usize::from(data.number());
                self.arrive(Frame::from_slice(&query(what >> 4, group, data.take(len))));
            }
        }
    }

    fn end_one(&mut self, how: u8) {
        let Some(id) = self.streams.get(usize::from(how >> 2) % self.streams.len().max(1)).copied() else {
            return;
        };
        match how % 4 {
            0 => {
                let _ = self.engine.shutdown(self.now, id, Shutdown::Write);
                return;
            }
            1 => self.engine.abort(self.now, id),
            _ => self.engine.close(self.now, id),
        }
        self.streams.retain(|stream| *stream != id);
    }

    /// Mostly nothing, or a little more or less, or just behind a window.
    fn near(&self, data: &mut Input<'_>) -> u32 {
        match data.number() {
            0..=100 => 0,
            101..=150 => u32::from(data.number()),
            151..=200 => u32::from(data.number()).wrapping_neg(),
            201..=230 => 65_536u32.wrapping_sub(u32::from(data.number())),
            231..=240 => 200_000u32.wrapping_sub(u32::from(data.number())),
            241..=250 => u32::from(data.number()) * 4096,
            _ => data.word(),
        }
    }

    fn segment(&mut self, from: u16, to: u16, seq: u32, ack: u32, data: &mut Input<'_>) {
        // SYN-ACK, ACK, PSH ACK, FIN ACK, SYN, RST half of the time, otherwise any combination.
        let flags = match data.number() {
            number @ 0..128 => [0x12, 0x10, 0x18, 0x11, 0x10, 0x02, 0x10, 0x04][usize::from(number % 8)],
            number => number & 0x3f,
        };
        let window = data.word();
        let options = match data.number() {
            0..128 => &OPTIONS,
            number => data.take(usize::from(number % 11) * 4),
        };
        let padded = options.len().next_multiple_of(4);
        let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
        bytes.extend(seq.to_be_bytes());
        bytes.extend(ack.to_be_bytes());
        bytes.extend([((5 + padded / 4) << 4) as u8, flags]);
        bytes.extend((window as u16).to_be_bytes());
        bytes.extend([0, 0, (window >> 24) as u8, (window >> 16) as u8]);
        bytes.extend(options);
        bytes.resize(20 + padded, 1);
        let len = usize::from(data.number());
        // A super-frame now and then.
        let len = if len > 250 { 60_000 } else { len * 8 };
        bytes.resize(bytes.len() + len, 0x61);
        self.packet(6, &bytes, len > 1460);
    }

    fn packet(&mut self, protocol: u8, payload: &[u8], vouched: bool) {
        let mut frame = Frame::from_slice(&packet(protocol, payload));
        if vouched {
            frame.checksum = Checksum::Verified;
        }
        self.arrive(frame);
    }

    /// Takes what the engine sends, and notes what the peer of the last segment would say next.
    fn drain(&mut self) {
        for count in 0.. {
            assert!(count < MOST_FRAMES, "the engine sends without end");
            let Some(transmit) = self.engine.poll_transmit(self.now) else { break };
            let bytes = transmit.frame.bytes();
            assert!(bytes.len() <= 1514, "{} bytes", bytes.len());
            if bytes[12..14] == [8, 0] && bytes[23] == 6 && bytes[30..34] == PEER.octets() {
                let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
                let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
                let controls = u32::from(bytes[47] & 1) + u32::from(bytes[47] >> 1 & 1);
                let len = (bytes.len() - 34 - usize::from(bytes[46] >> 4) * 4) as u32 + controls;
                let next = word(38).wrapping_add(len);
                self.last = Some((half(34), half(36), word(42), next));
            }
        }
        while self.engine.poll_event().is_some() {}
    }

    /// Afterwards the engine still answers, nothing has panicked inside, and no timer is stuck.
    fn end(mut self) {
        assert_eq!(self.engine.counters().contained_panics, 0, "smoltcp panicked");
        self.introduce();
        self.drain();
        self.packet(1, &[8, 0, 0, 0, 0x77, 0x77, 0, 1], false);
        let mut answered = false;
        while let Some(transmit) = self.engine.poll_transmit(self.now) {
            answered |=
                transmit.frame.bytes().get(34) == Some(&0) && transmit.frame.bytes()[38..40] == [0x77; 2];
        }
        assert!(answered, "no answer to an echo request");
        self.engine.close_all(self.now);
        for _ in 0..2000 {
            self.drain();
            let Some(at) = self.engine.poll_timeout() else { break };
            assert!(at >= self.now || at + Duration::from_secs(1) > self.now, "a timer in the past");
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
        }
        assert!(!self.engine.has_orphans(), "a connection that never ends");
        assert!(self.engine.local_address(self.listener).is_err());
        let own: Vec<IpAddr> =
            self.engine.addresses(InterfaceId::new(2)).iter().map(ioth_stack::net::Cidr::address).collect();
        assert!(own.contains(&OWN.into()));
    }
}
