//! A TCP peer that does whatever bytes say: the body of the fuzz target `peer`, and of a seeded test.
//!
//! The peer opens connections and is connected to, and speaks segments near the right numbers, between the calls of
//! the application and the passing of time. What it may not do is make the engine panic, send without end, keep
//! more than it has room for, give the application what the peer did not send, send what the application did not,
//! or fail a bystander: the engine's connection with itself.

#[path = "peer/stream.rs"]
mod stream;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ioth_stack::link::{Checksum, Frame};
use ioth_stack::net::InterfaceId;
use ioth_stack::{EndpointId, Engine, Family, Instant, Kind, Options, Shutdown};

use self::stream::{Stream, bytes_at};
use crate::feed::{self, Input};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;

const LISTENER: u16 = 80;
const PEER_PORT: u16 = 4000;
const RECV_RING: usize = 100_000;
const SEND_RING: usize = 20_000;
/// What they may grow to.
const MOST_RECV: usize = 4 * RECV_RING;
const MOST_SEND: usize = 4 * SEND_RING;
const BACKLOG: usize = 4;
/// Handshakes that may be under way with such a backlog.
const HANDSHAKES: usize = 9;
/// Streams that the application holds at a time.
const MOST_STREAMS: usize = 8;
/// Frames between two steps: what the send rings hold, in the smallest segments, twice.
const MOST_FRAMES: usize = 20_000;
/// Timers that fire in a minute: one every few milliseconds at the very most.
const MOST_TIMERS: usize = 20_000;

/// Runs the steps in `data`. Panics when the engine does something that it must not do.
pub(crate) fn run(data: &[u8]) {
    let mut table = Table::new();
    let mut data = Input(data);
    while let Some(step) = data.byte() {
        table.step(step, &mut data);
    }
    table.end();
}

/// What the peer knows of a connection.
#[derive(Clone, Debug, Default)]
struct Flow {
    /// Ports, the engine's and the peer's.
    ports: (u16, u16),
    /// The engine's initial sequence number, the end of what it sent, and what the peer acknowledged of it.
    iss: u32,
    sent: u32,
    una: u32,
    /// What the engine expects next.
    expected: u32,
    /// Where the peer said that its stream ends, and the ends of the data it sent.
    fins: Vec<u32>,
    ends: Vec<u32>,
}

/// The engine, its application, and the peer.
struct Table {
    engine: Engine,
    now: Instant,
    listener: EndpointId,
    streams: Vec<Stream>,
    flows: Vec<Flow>,
    /// Behind every SYN of the peer.
    beginnings: Vec<u32>,
    bystander: (EndpointId, EndpointId),
}

impl Table {
    fn new() -> Self {
        let mut engine = feed::engine();
        let now = Instant::from_millis(1000);
        let mut listen = |port| {
            let id = engine.open(Kind::Stream, Family::V4);
            engine.set_options(id, options()).unwrap();
            engine.bind(id, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)).unwrap();
            engine.listen(id, BACKLOG).unwrap();
            id
        };
        let (listener, local) = (listen(LISTENER), listen(22));
        let one = engine.open(Kind::Stream, Family::V4);
        let _ = engine.connect(now, one, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 22));
        while engine.poll_transmit(now).is_some() {}
        let bystander = (one, engine.accept(local).unwrap().id);
        let mut table =
            Self { engine, now, listener, streams: vec![], flows: vec![], beginnings: vec![], bystander };
        table.arrive(&feed::introduction(), false);
        table
    }

    fn arrive(&mut self, bytes: &[u8], vouched: bool) {
        let mut frame = Frame::from_slice(bytes);
        if vouched {
            frame.checksum = Checksum::Verified;
        }
        self.engine.handle_frame(self.now, InterfaceId::new(2), frame);
    }

    fn step(&mut self, step: u8, data: &mut Input<'_>) {
        match step % 16 {
            0..=5 => self.speak(data),
            // The peer is honest for once: it acknowledges all it has heard and shows a window.
            6 | 7 => {
                if let Some(mut flow) = self.flow(data) {
                    flow.una = flow.sent;
                    self.say(&flow, flow.expected, ACK, 65_000, &[], 0, 0);
                }
            }
            // It sends the next bytes.
            8 => {
                let len = usize::from(data.number()) * 16;
                if let Some(flow) = self.flow(data) {
                    self.say(&flow, flow.expected, ACK, 65_000, &[], 0, len);
                }
            }
            9 => self.opens(data),
            10 => self.connects(),
            11 => self.accepts(),
            12 => {
                let len = usize::from(data.number()).pow(2);
                let Some(stream) = pick(&mut self.streams, data.number()) else { return };
                if let Ok(sent) = self.engine.send(self.now, stream.id, &bytes_at(stream.sent, len.max(1))) {
                    stream.sent = stream.sent.wrapping_add(sent as u32);
                    if sent % 3 == 0 {
                        assert_eq!(self.engine.mark_urgent(stream.id), Ok(()));
                    }
                }
            }
            13 => {
                let len = usize::from(data.number()).pow(2);
                if let Some(stream) = pick(&mut self.streams, data.number()) {
                    stream.recv(&mut self.engine, self.now, len, &self.beginnings);
                }
            }
            14 => self.pass(Duration::from_millis(1) * u32::from(data.number()).pow(2)),
            _ => self.ends(data.number()),
        }
        // Several segments may come in before the next goes out.
        if step & 0x30 != 0 {
            self.drain();
        }
    }

    /// One of the last connections.
    fn flow(&self, data: &mut Input<'_>) -> Option<Flow> {
        let from_last = usize::from(data.number() >> 5).saturating_sub(4);
        self.flows.iter().rev().nth(from_last).or_else(|| self.flows.last()).cloned()
    }

    /// A segment near the right numbers.
    fn speak(&mut self, data: &mut Input<'_>) {
        let Some(mut flow) = self.flow(data) else { return };
        let flags = match data.number() {
            number @ 0..192 => [ACK, ACK, ACK | 8, ACK | FIN, SYN | ACK, SYN, RST, RST | ACK, ACK | URG]
                [usize::from(number % 9)],
            number => number & 0x3f,
        };
        let seq = near(flow.expected, data);
        // Near the end of what was sent, or near what was acknowledged before.
        flow.una = if data.number() < 200 { near(flow.sent, data) } else { near(flow.una, data) };
        let window = match data.number() {
            0..64 => 65_535,
            64..96 => 0,
            96..128 => 1,
            _ => data.word() as u16,
        };
        let urgent = if flags & URG == 0 { 0 } else { data.word() as u16 };
        let options = some_options(&flow, data);
        let len = match data.number() {
            0..100 => 0,
            number @ 100..250 => usize::from(number - 99) * 10,
            250..=253 => 1,
            // A super-frame.
            _ => 60_000,
        };
        self.say(&flow, seq, flags, window, &options, urgent, len);
    }

    /// A new connection to the listener.
    fn opens(&mut self, data: &mut Input<'_>) {
        let ports = (LISTENER, 5000 + u16::from(data.number() % 16));
        let flow = Flow { ports, ..Flow::default() };
        let seq = if data.number() < 128 { data.word() } else { u32::MAX - u32::from(data.number()) };
        let options = some_options(&flow, data);
        let len = usize::from(data.number().saturating_sub(200));
        self.say(&flow, seq, SYN, data.word() as u16, &options, 0, len);
    }

    fn connects(&mut self) {
        if self.streams.len() >= MOST_STREAMS {
            return;
        }
        let id = self.engine.open(Kind::Stream, Family::V4);
        self.engine.set_options(id, options()).unwrap();
        let _ = self.engine.connect(self.now, id, SocketAddr::new(feed::PEER.into(), PEER_PORT));
        self.streams.push(Stream::new(id));
    }

    fn accepts(&mut self) {
        // The accept queue is looked at when a SYN comes: handshakes under way then may still be completed.
        assert!(self.engine.recv_queue(self.listener) <= BACKLOG + 1 + HANDSHAKES, "more than the backlog");
        if self.streams.len() < MOST_STREAMS
            && let Ok(accepted) = self.engine.accept(self.listener)
        {
            self.streams.push(Stream::new(accepted.id));
        }
    }

    fn ends(&mut self, how: u8) {
        let Some(stream) = pick(&mut self.streams, how >> 2) else { return };
        let id = stream.id;
        match how % 4 {
            0 | 1 => {
                let _ = self.engine.shutdown(self.now, id, Shutdown::Write);
                return;
            }
            2 => self.engine.abort(self.now, id),
            _ => self.engine.close(self.now, id),
        }
        self.streams.retain(|stream| stream.id != id);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a header")]
    fn say(
        &mut self,
        flow: &Flow,
        seq: u32,
        flags: u8,
        window: u16,
        options: &[u8],
        urgent: u16,
        len: usize,
    ) {
        let begin = seq.wrapping_add(u32::from(flags & SYN != 0));
        // The peer contradicts itself in everything but where its stream ends: what would stand behind is nobody's.
        let ahead = |position: &&u32| position.wrapping_sub(flow.expected.wrapping_sub(1)) < 1 << 31;
        let limits = flow.fins.iter().filter(ahead).map(|fin| fin.wrapping_sub(begin));
        let len = limits.map(|left| if left < 1 << 31 { left as usize } else { 0 }).fold(len, usize::min);
        let end = begin.wrapping_add(len as u32);
        let behind = |known: &u32| end.wrapping_sub(*known) < 1 << 31;
        let flags = if flow.ends.iter().filter(ahead).all(behind) { flags } else { flags & !FIN };
        let padded = options.len().next_multiple_of(4).min(40);
        let mut bytes = [flow.ports.1.to_be_bytes(), flow.ports.0.to_be_bytes()].concat();
        bytes.extend(seq.to_be_bytes());
        bytes.extend(flow.una.to_be_bytes());
        bytes.extend([((5 + padded / 4) << 4) as u8, flags]);
        bytes.extend([window, 0, urgent].map(u16::to_be_bytes).concat());
        bytes.extend(options);
        bytes.resize(20 + padded, 0);
        bytes.extend(bytes_at(begin, len));
        if flags & SYN != 0 {
            self.beginnings.push(begin);
        }
        if let Some(known) = self.flows.iter_mut().find(|known| known.ports == flow.ports) {
            known.una = flow.una;
            if flags & FIN != 0 {
                known.fins.push(end);
            }
            if len > 0 {
                known.ends.push(end);
            }
        }
        self.arrive(&feed::packet(6, &bytes), len > 1460);
    }

    /// Lets time pass, and everything happen that is due until then.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for count in 0.. {
            assert!(count < MOST_TIMERS, "timers without end");
            self.drain();
            let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Takes what the engine sends, and looks at it.
    fn drain(&mut self) {
        for count in 0.. {
            assert!(count < MOST_FRAMES, "the engine sends without end");
            let Some(transmit) = self.engine.poll_transmit(self.now) else { break };
            let bytes = transmit.frame.bytes();
            assert!(bytes.len() <= 1514, "{} bytes", bytes.len());
            if bytes[12..14] == [8, 0] && bytes[23] == 6 && bytes[30..34] == feed::PEER.octets() {
                self.hear(&bytes[34..]);
            }
        }
        while self.engine.poll_event().is_some() {}
    }

    /// A segment of the engine's.
    fn hear(&mut self, bytes: &[u8]) {
        let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
        let (ports, seq, ack, flags) = ((half(0), half(2)), word(4), word(8), bytes[13]);
        if flags & RST != 0 {
            return;
        }
        let payload = &bytes[usize::from(bytes[12] >> 4) * 4..];
        let controls = u32::from(flags & FIN) + u32::from(flags >> 1 & 1);
        let end = seq.wrapping_add(payload.len() as u32).wrapping_add(controls);
        if flags & SYN != 0 {
            let flow = self.flows.iter().position(|flow| flow.ports == ports && flow.iss != seq);
            if let Some(at) = flow {
                self.flows.remove(at);
            }
            if self.flows.iter().all(|flow| flow.ports != ports) {
                self.flows.push(Flow {
                    ports,
                    iss: seq,
                    sent: end,
                    una: seq,
                    expected: ack,
                    ..Flow::default()
                });
            }
        }
        let Some(flow) = self.flows.iter_mut().find(|flow| flow.ports == ports) else { return };
        let position = seq.wrapping_sub(flow.iss).wrapping_sub(1);
        assert!(payload == bytes_at(position, payload.len()), "wrong bytes at {position}");
        if end.wrapping_sub(flow.sent) < 1 << 31 {
            flow.sent = end;
        }
        if flags & ACK != 0 {
            flow.expected = ack;
        }
    }

    /// Afterwards the bystander is served, and when the applications are gone so is everything else.
    fn end(mut self) {
        self.drain();
        for stream in &mut self.streams {
            assert!(self.engine.recv_queue(stream.id) <= MOST_RECV);
            assert!(self.engine.send_queue(stream.id) <= MOST_SEND);
            stream.recv(&mut self.engine, self.now, MOST_RECV, &self.beginnings);
        }
        assert_eq!(self.engine.counters().contained_panics, 0, "smoltcp panicked");
        let (one, other) = self.bystander;
        for (from, to) in [(one, other), (other, one)] {
            assert_eq!(self.engine.send(self.now, from, b"still here"), Ok(10));
            self.pass(Duration::from_secs(1));
            let mut buffer = [0; 20];
            assert_eq!(self.engine.recv(self.now, to, &mut buffer), Ok(10), "the bystander");
        }
        self.engine.close_all(self.now);
        self.pass(Duration::from_secs(2000));
        assert!(!self.engine.has_orphans(), "a connection that never ends");
        assert_eq!(self.engine.poll_timeout(), None, "a timer of nobody's");
        assert_eq!(self.engine.counters().contained_panics, 0, "smoltcp panicked");
    }
}

fn options() -> Options {
    Options {
        recv_buffer: RECV_RING,
        send_buffer: SEND_RING,
        recv_limit: MOST_RECV,
        send_limit: MOST_SEND,
        ..Options::default()
    }
}

fn pick<T>(from: &mut [T], number: u8) -> Option<&mut T> {
    let count = from.len().max(1);
    from.get_mut(usize::from(number) % count)
}

/// Mostly the number itself, or a little more or less, or about a window away, or anything.
fn near(number: u32, data: &mut Input<'_>) -> u32 {
    let offset = match data.number() {
        0..=110 => 0,
        111..=150 => u32::from(data.number()),
        151..=190 => u32::from(data.number()).wrapping_neg(),
        191..=210 => u32::from(data.number()) * 100,
        211..=230 => 65_535u32.wrapping_sub(u32::from(data.number())),
        231..=240 => (RECV_RING as u32).wrapping_sub(u32::from(data.number())),
        241..=245 => (1 << 31) + u32::from(data.number()),
        _ => data.word(),
    };
    number.wrapping_add(offset)
}

/// Options that mean something, blocks of SACK above all (RFC 2018, RFC 2883), or any bytes.
fn some_options(flow: &Flow, data: &mut Input<'_>) -> Vec<u8> {
    let sack = |data: &mut Input<'_>, blocks: u8| {
        let mut option = vec![1, 1, 5, 2 + 8 * blocks];
        for _ in 0..blocks {
            option.extend(near(flow.una, data).to_be_bytes());
            option.extend(near(flow.sent, data).to_be_bytes());
        }
        option
    };
    match data.number() {
        0..64 => Vec::new(),
        // What an ordinary SYN has: MSS, window scale, SACK permitted.
        64..112 => vec![2, 4, 5, 180, 1, 3, 3, 7, 1, 1, 4, 2],
        // With a hostile MSS and scale.
        112..128 => vec![2, 4, 0, data.number(), 1, 3, 3, data.number(), 1, 1, 4, 2],
        number @ 128..224 => sack(data, 1 + number % 4),
        // RFC 7323 section 3.2.
        224..232 => [&[1, 1, 8, 10][..], &data.word().to_be_bytes(), &data.word().to_be_bytes()].concat(),
        number => data.take(usize::from(number - 231)).to_vec(),
    }
}
