//! Megabytes arrive whole and in order, whatever the wire does.

use std::time::Duration;

use ioth_stack::{EndpointId, Error};

use crate::wire::{Dice, Fate, Host, Port, Wire};

/// The byte at a position of the stream that goes in direction `salt`.
const fn pattern(position: usize, salt: u8) -> u8 {
    (position ^ (position >> 8) ^ (position >> 16)) as u8 ^ salt
}

/// One direction of a transfer.
pub(crate) struct Flow {
    pub(crate) from: (Host, EndpointId),
    to: (Host, EndpointId),
    data: Vec<u8>,
    sent: usize,
    received: usize,
}

impl Flow {
    pub(crate) fn new(from: (Host, EndpointId), to: (Host, EndpointId), amount: usize, salt: u8) -> Self {
        let data = (0..amount).map(|position| pattern(position, salt)).collect();
        Self { from, to, data, sent: 0, received: 0 }
    }

    /// Does what both applications can do now; true when all has arrived.
    pub(crate) fn run(&mut self, wire: &mut Wire) -> bool {
        while self.sent < self.data.len() {
            match wire.send(self.from.0, self.from.1, &self.data[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(Error::WouldBlock) => break,
                Err(error) => panic!("{error} after {} bytes", self.sent),
            }
        }
        while self.received < self.data.len() {
            match wire.try_recv(self.to.0, self.to.1) {
                Ok(data) => {
                    assert!(!data.is_empty(), "the end after {} bytes", self.received);
                    assert_eq!(data, self.data[self.received..self.received + data.len()]);
                    self.received += data.len();
                }
                Err(Error::WouldBlock) => break,
                Err(error) => panic!("{error} after {} bytes", self.received),
            }
        }
        self.received == self.data.len()
    }
}

/// Sends `amount` bytes each way between two ends and checks every one of them.
pub(crate) fn both_ways(wire: &mut Wire, ends: [(Host, EndpointId); 2], amount: usize, limit: Duration) {
    let mut there = Flow::new(ends[0], ends[1], amount, 0);
    let mut back = Flow::new(ends[1], ends[0], amount, 0x5a);
    let done = wire.run_until(limit, |wire| {
        let (one, other) = (there.run(wire), back.run(wire));
        one && other
    });
    assert!(done, "stuck: {} and {} of {amount} bytes arrived", there.received, back.received);
}

const AMOUNT: usize = 4 << 20;

fn transfer(one: Port, other: Port, address: &str) {
    let (mut wire, a, b) = Wire::pair_on(one, other);
    let ends = wire.connected(a, b, address);
    both_ways(&mut wire, [(a, ends.0), (b, ends.1)], AMOUNT, Duration::from_secs(20));
    wire.close(a, ends.0);
    assert_eq!(wire.recv(b, ends.1), Ok(vec![]));
    wire.close(b, ends.1);
    wire.run(Duration::from_millis(100));
    assert!(wire[a].is_flushed() && wire[b].is_flushed());
}

fn port(mtu: u16, offload: bool) -> Port {
    Port { mtu, offload, ..Port::default() }
}

#[test]
fn over_ipv4_without_offload() {
    for mtu in [576, 1280, 1500, 9000] {
        transfer(port(mtu, false), port(mtu, false), "10.0.0.2:80");
    }
}

#[test]
fn over_ipv6_without_offload() {
    for mtu in [1280, 1500, 9000] {
        transfer(port(mtu, false), port(mtu, false), "[fd00::2]:80");
    }
}

#[test]
fn over_ipv4_with_offload() {
    for mtu in [576, 1280, 1500, 9000] {
        transfer(port(mtu, true), port(mtu, true), "10.0.0.2:80");
    }
}

#[test]
fn over_ipv6_with_offload() {
    for mtu in [1280, 1500, 9000] {
        transfer(port(mtu, true), port(mtu, true), "[fd00::2]:80");
    }
}

#[test]
fn with_offload_on_one_side_only() {
    for address in ["10.0.0.2:80", "[fd00::2]:80"] {
        transfer(port(1500, true), port(1500, false), address);
    }
}

#[test]
fn between_different_mtus() {
    for (one, other) in [(9000, 1500), (1280, 9000)] {
        // The wire carries what the sender's own MTU lets out; the MSS option keeps it to the smaller.
        transfer(port(one, false), port(other, false), "10.0.0.2:80");
        transfer(port(one, true), port(other, true), "[fd00::2]:80");
    }
}

#[test]
fn with_one_percent_loss_however_slowly() {
    for (seed, address, offload) in [
        (1, "10.0.0.2:80", false),
        (2, "[fd00::2]:80", false),
        (3, "10.0.0.2:80", true),
        (4, "[fd00::2]:80", true),
    ] {
        let (mut wire, a, b) = Wire::pair_on(port(1500, offload), port(1500, offload));
        let ends = wire.connected(a, b, address);
        let mut dice = Dice::new(seed);
        wire.weather = Box::new(move |_| if dice.one_in(100) { Fate::Lost } else { Fate::Arrives });
        both_ways(&mut wire, [(a, ends.0), (b, ends.1)], AMOUNT, Duration::from_secs(6000));
    }
}

#[test]
fn with_duplicates_and_reordering() {
    for (seed, address) in [(1, "10.0.0.2:80"), (2, "[fd00::2]:80")] {
        let (mut wire, a, b) = Wire::pair();
        let ends = wire.connected(a, b, address);
        let mut dice = Dice::new(seed);
        wire.weather = Box::new(move |_| match dice.below(50) {
            0 => Fate::Twice,
            1 => Fate::Late(Duration::from_micros(300)),
            _ => Fate::Arrives,
        });
        both_ways(&mut wire, [(a, ends.0), (b, ends.1)], AMOUNT, Duration::from_secs(600));
    }
}

#[test]
fn over_a_long_way() {
    let (mut wire, a, b) = Wire::pair();
    wire.latency = Duration::from_millis(100);
    let ends = wire.connected(a, b, "10.0.0.2:80");
    both_ways(&mut wire, [(a, ends.0), (b, ends.1)], 1 << 20, Duration::from_secs(30));
}

#[test]
fn through_small_rings() {
    for size in [4096, 60_000, 65_536, 100_000] {
        let (mut wire, a, b) = Wire::pair();
        let options = ioth_stack::Options { recv_buffer: size, send_buffer: size, ..Default::default() };
        let listener = wire.listen(b, "10.0.0.2:80", 1);
        wire[b].set_options(listener, options).unwrap();
        let one = wire.open(a, ioth_stack::Kind::Stream, "10.0.0.1:0".parse().unwrap());
        wire[a].set_options(one, options).unwrap();
        let now = wire.now();
        let _ = wire[a].connect(now, one, "10.0.0.2:80".parse().unwrap());
        let other = wire.accept(b, listener);
        both_ways(&mut wire, [(a, one), (b, other)], 1 << 20, Duration::from_secs(60));
    }
}
