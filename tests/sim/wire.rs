//! A virtual Ethernet in virtual time: any number of engines, any number of segments.
//!
//! Every frame that leaves an engine is checked by other eyes (etherparse) and recorded. What the
//! network does to frames, [`Wire::weather`] says.

mod check;
mod dice;
pub(crate) mod frames;
mod offload;
mod stranger;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use ioth_stack::link::{Checksum, Frame};
use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::{EndpointId, Engine, Error, Family, Instant, InterfaceSettings, Kind, Secret};

pub(crate) use self::dice::Dice;
pub(crate) use self::stranger::Stranger;

/// Names one engine on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host(usize);

/// What becomes of a frame on its way to one station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    Lost,
    Twice,
    /// Arrives so much later, behind others.
    Late(Duration),
}

/// Decides about every frame.
type Weather = Box<dyn FnMut(&[u8]) -> Fate>;

/// A frame as it left an engine.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) from: Host,
    pub(crate) segment: usize,
    pub(crate) bytes: Vec<u8>,
}

/// How an interface is attached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) segment: usize,
    pub(crate) mtu: u16,
    pub(crate) offload: bool,
}

impl Default for Port {
    fn default() -> Self {
        Self { segment: 0, mtu: 1500, offload: false }
    }
}

struct Station {
    engine: Engine,
    /// The port of each interface, the first being interface 1.
    ports: Vec<Port>,
}

struct Flying {
    to: usize,
    interface: InterfaceId,
    frame: Frame,
}

/// The network and everybody on it.
pub(crate) struct Wire {
    now: Instant,
    /// From one station to another.
    pub(crate) latency: Duration,
    pub(crate) weather: Weather,
    /// Whether hosts that are added say what groups they are members of. Most tests are about something else.
    pub(crate) memberships: bool,
    /// Every frame that left an engine.
    pub(crate) record: Vec<Sent>,
    stations: Vec<Station>,
    flying: BinaryHeap<Reverse<(Instant, u64)>>,
    frames: std::collections::HashMap<u64, Flying>,
    serial: u64,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::from_millis(1000),
            latency: Duration::from_micros(50),
            weather: Box::new(|_| Fate::Arrives),
            memberships: false,
            record: Vec::new(),
            stations: Vec::new(),
            flying: BinaryHeap::new(),
            frames: std::collections::HashMap::new(),
            serial: 0,
        }
    }

    /// Two ordinary hosts, 10.0.0.1 and fd00::1, 10.0.0.2 and fd00::2.
    pub(crate) fn pair() -> (Self, Host, Host) {
        Self::pair_on(Port::default(), Port::default())
    }

    pub(crate) fn pair_on(one: Port, other: Port) -> (Self, Host, Host) {
        let mut wire = Self::new();
        let a = wire.host(1, one, &["10.0.0.1/24", "fd00::1/64"]);
        let b = wire.host(2, other, &["10.0.0.2/24", "fd00::2/64"]);
        (wire, a, b)
    }

    /// Adds an engine with one interface, whose secret follows from `seed`.
    pub(crate) fn host(&mut self, seed: u64, port: Port, addresses: &[&str]) -> Host {
        let host = Host(self.stations.len());
        let mut engine = Engine::new(Secret::from_seed(seed));
        // So that full segments have round numbers.
        engine.set_timestamps(false);
        engine.set_group_reports(self.memberships);
        self.stations.push(Station { engine, ports: Vec::new() });
        self.attach(host, port, addresses);
        host
    }

    /// Adds an interface to an engine.
    pub(crate) fn attach(&mut self, host: Host, port: Port, addresses: &[&str]) -> InterfaceId {
        let station = &mut self.stations[host.0];
        station.ports.push(port);
        let number = station.ports.len();
        let mac = Mac::new([2, 0, 0, 0, host.0 as u8 + 1, number as u8]);
        let settings =
            InterfaceSettings { name: format!("eth{number}"), mac, mtu: port.mtu, offload: port.offload };
        let id = station.engine.add_interface(settings).unwrap();
        for address in addresses {
            station.engine.add_address(id, address.parse().unwrap()).unwrap();
        }
        id
    }

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// The MAC of a host's interface 1.
    pub(crate) fn mac(&self, host: Host) -> [u8; 6] {
        [2, 0, 0, 0, host.0 as u8 + 1, 1]
    }

    /// Puts a frame in front of a host's interface 1, as if it came from the wire.
    pub(crate) fn inject(&mut self, to: Host, frame: Frame) {
        self.stations[to.0].engine.handle_frame(self.now, InterfaceId::new(2), frame);
    }

    /// Puts bytes in front of a host's interface 1.
    pub(crate) fn inject_bytes(&mut self, to: Host, bytes: &[u8]) {
        self.inject(to, Frame::from_slice(bytes));
    }

    /// What left an engine since the record was cleared.
    pub(crate) fn sent_by(&self, host: Host) -> impl Iterator<Item = &Sent> {
        self.record.iter().filter(move |sent| sent.from == host)
    }

    /// Goes on until `done`, false if that takes more than `limit` or nothing is going to happen.
    #[must_use]
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.flush();
            if done(self) {
                return true;
            }
            self.flush();
            match self.next_event() {
                Some(at) if at <= end => self.advance(at),
                _ => {
                    self.now = self.now.max(end);
                    return done(self);
                }
            }
        }
    }

    /// Lets so much time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let _ = self.run_until(time, |_| false);
    }

    /// Lets everything that is due now happen, frames in flight included, and not time pass.
    pub(crate) fn settle(&mut self) {
        self.run(Duration::from_millis(1));
    }

    /// Takes all frames from the engines.
    fn flush(&mut self) {
        for from in 0..self.stations.len() {
            let mut count = 0;
            while let Some(transmit) = self.stations[from].engine.poll_transmit(self.now) {
                count += 1;
                assert!(count < 100_000, "host {from} sends without end");
                let port = self.stations[from].ports[transmit.interface.index() as usize - 2];
                self.carry(from, port, &transmit.frame);
            }
        }
    }

    fn carry(&mut self, from: usize, port: Port, frame: &Frame) {
        check::frame(frame, port.mtu, port.offload);
        self.record.push(Sent {
            at: self.now,
            from: Host(from),
            segment: port.segment,
            bytes: frame.bytes().to_vec(),
        });
        for to in 0..self.stations.len() {
            for at in 0..self.stations[to].ports.len() {
                let own = to == from;
                let other = self.stations[to].ports[at];
                if own || other.segment != port.segment {
                    continue;
                }
                let interface = InterfaceId::new(at as u32 + 2);
                if other.offload {
                    self.launch(to, interface, frame.duplicate());
                } else {
                    for piece in offload::pieces(frame) {
                        check::frame(&piece, port.mtu, false);
                        self.launch(to, interface, piece);
                    }
                }
            }
        }
    }

    fn launch(&mut self, to: usize, interface: InterfaceId, frame: Frame) {
        match (self.weather)(frame.bytes()) {
            Fate::Lost => {}
            Fate::Arrives => self.launch_at(self.now + self.latency, to, interface, frame),
            Fate::Late(delay) => self.launch_at(self.now + self.latency + delay, to, interface, frame),
            Fate::Twice => {
                self.launch_at(self.now + self.latency, to, interface, frame.duplicate());
                self.launch_at(self.now + self.latency, to, interface, frame);
            }
        }
    }

    fn launch_at(&mut self, at: Instant, to: usize, interface: InterfaceId, frame: Frame) {
        self.serial += 1;
        self.flying.push(Reverse((at, self.serial)));
        self.frames.insert(self.serial, Flying { to, interface, frame });
    }

    fn next_event(&self) -> Option<Instant> {
        let timers = self.stations.iter().filter_map(|station| station.engine.poll_timeout());
        let arrival = self.flying.peek().map(|Reverse((at, _))| *at);
        timers.chain(arrival).min()
    }

    fn advance(&mut self, at: Instant) {
        self.now = self.now.max(at);
        while let Some(&Reverse((due, serial))) = self.flying.peek()
            && due <= self.now
        {
            self.flying.pop();
            let Some(Flying { to, interface, frame }) = self.frames.remove(&serial) else { continue };
            self.stations[to].engine.handle_frame(self.now, interface, frame);
        }
        for station in &mut self.stations {
            if station.engine.poll_timeout().is_some_and(|due| due <= self.now) {
                station.engine.handle_timeout(self.now);
                let again = station.engine.poll_timeout();
                assert!(again.is_none_or(|again| again > self.now), "a timeout that stays due: {again:?}");
            }
        }
    }
}

/// Calls on endpoints, as an application makes them.
impl Wire {
    /// A listener on `address`.
    pub(crate) fn listen(&mut self, host: Host, address: &str, backlog: usize) -> EndpointId {
        let address: SocketAddr = address.parse().unwrap();
        let id = self.open(host, Kind::Stream, address);
        self[host].bind(id, address).unwrap();
        self[host].listen(id, backlog).unwrap();
        id
    }

    /// A datagram endpoint bound to `address`.
    pub(crate) fn datagram(&mut self, host: Host, address: &str) -> EndpointId {
        let address: SocketAddr = address.parse().unwrap();
        let id = self.open(host, Kind::Datagram, address);
        self[host].bind(id, address).unwrap();
        id
    }

    /// An endpoint of the family of `address`.
    pub(crate) fn open(&mut self, host: Host, kind: Kind, address: SocketAddr) -> EndpointId {
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        self[host].open(kind, family)
    }

    /// A connection under way to `address`.
    pub(crate) fn connect(&mut self, host: Host, address: &str) -> EndpointId {
        let address: SocketAddr = address.parse().unwrap();
        let id = self.open(host, Kind::Stream, address);
        let now = self.now;
        assert_eq!(self[host].connect(now, id, address), Err(Error::InProgress));
        id
    }

    /// An established connection from `client` to `address`, where `server` comes to listen.
    pub(crate) fn connected(
        &mut self,
        client: Host,
        server: Host,
        address: &str,
    ) -> (EndpointId, EndpointId) {
        let listener = self.listen(server, address, 8);
        let one = self.connect(client, address);
        let other = self.accept(server, listener);
        assert_eq!(self[client].connect_result(one), Ok(()));
        let now = self.now;
        self[server].close(now, listener);
        (one, other)
    }

    /// The next connection of a listener, waiting up to 30 s.
    pub(crate) fn accept(&mut self, host: Host, listener: EndpointId) -> EndpointId {
        let mut accepted = Err(Error::WouldBlock);
        assert!(self.run_until(Duration::from_secs(30), |wire| {
            accepted = wire[host].accept(listener);
            accepted.is_ok()
        }));
        accepted.unwrap().id
    }

    /// Waits up to 200 s for the end of a connect and gives its result.
    pub(crate) fn connect_result(&mut self, host: Host, id: EndpointId) -> Result<(), Error> {
        let mut result = Err(Error::InProgress);
        let _ = self.run_until(Duration::from_secs(200), |wire| {
            result = wire[host].connect_result(id);
            result != Err(Error::InProgress)
        });
        result
    }

    pub(crate) fn send(&mut self, host: Host, id: EndpointId, data: &[u8]) -> Result<usize, Error> {
        let now = self.now;
        self[host].send(now, id, data)
    }

    /// Receives what there is at once.
    pub(crate) fn try_recv(&mut self, host: Host, id: EndpointId) -> Result<Vec<u8>, Error> {
        let mut buffer = vec![0; 65_536];
        let now = self.now;
        let len = self[host].recv(now, id, &mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    }

    /// Receives, waiting up to 30 s.
    pub(crate) fn recv(&mut self, host: Host, id: EndpointId) -> Result<Vec<u8>, Error> {
        let mut received = Err(Error::WouldBlock);
        let _ = self.run_until(Duration::from_secs(30), |wire| {
            received = wire.try_recv(host, id);
            received != Err(Error::WouldBlock)
        });
        received
    }

    /// Takes the next datagram if there is one.
    pub(crate) fn try_received(&mut self, host: Host, id: EndpointId) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let received = self[host].recv_from(id, &mut buffer, false).ok()?;
        buffer.truncate(received.copied);
        Some(buffer)
    }

    /// Takes the next datagram, which is there.
    pub(crate) fn received(&mut self, host: Host, id: EndpointId) -> Vec<u8> {
        self.try_received(host, id).unwrap()
    }

    pub(crate) fn close(&mut self, host: Host, id: EndpointId) {
        let now = self.now;
        self[host].close(now, id);
    }

    /// Whether a connection still carries bytes both ways.
    pub(crate) fn echoes(&mut self, ends: [(Host, EndpointId); 2]) -> bool {
        let [(one, a), (other, b)] = ends;
        self.send(one, a, b"ping") == Ok(4)
            && self.recv(other, b) == Ok(b"ping".to_vec())
            && self.send(other, b, b"pong") == Ok(4)
            && self.recv(one, a) == Ok(b"pong".to_vec())
    }
}

impl Index<Host> for Wire {
    type Output = Engine;

    fn index(&self, host: Host) -> &Engine {
        &self.stations[host.0].engine
    }
}

impl IndexMut<Host> for Wire {
    fn index_mut(&mut self, host: Host) -> &mut Engine {
        &mut self.stations[host.0].engine
    }
}

/// Whether the transport checksum of a frame is complete.
const fn is_complete(frame: &Frame) -> bool {
    !matches!(frame.checksum, Checksum::Partial { .. })
}

impl Wire {
    /// The record, one line per frame.
    pub(crate) fn show(&self) -> String {
        self.record
            .iter()
            .map(|sent| format!("{:?} {:?} {}\n", sent.at, sent.from, check::show(&sent.bytes)))
            .collect()
    }
}
