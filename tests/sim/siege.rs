//! The oracle of hostile input: somebody attacks, frame by frame, while others move their bytes.
//!
//! Whatever an attack does: nothing panics, memory stays bounded, a bystander of the same stack is as fast as without it,
//! and so is a neighbour on the attacked link; the stack answers within a second afterwards, and another stack in the
//! process notices nothing. What an attack is answered is for tests of the protocol in question.

use std::net::IpAddr;
use std::time::Duration;

use ioth_stack::{EndpointId, Options};

use crate::feed::checksum::fix;
use crate::sys;
use crate::tcp_bulk::Flow;
use crate::wire::frames::{self, SYN, Tcp};
use crate::wire::{Host, Port, Stranger, Wire};

/// Bytes of every transfer each way, and rounds of an attack, a millisecond each.
const AMOUNT: usize = 1 << 20;
const ROUNDS: u32 = 300;
/// What an attack may make the test hold in memory, in bytes: 17 MiB of them are buffers kept for later (`link/pool.rs`),
/// two times four are fragments, and there are a thousand neighbours with what waits for them.
const MEMORY: isize = 48 << 20;

/// What is done in one round, which has a number.
pub(crate) type Attack = fn(&mut Scene, u32);

/// Three links: the attacker, the victim and a neighbour at one, the victim and its bystander, two who have nothing to do
/// with it.
pub(crate) struct Scene {
    pub(crate) wire: Wire,
    /// 10.0.0.2 and fd00::2.
    pub(crate) victim: Host,
    pub(crate) stranger: Stranger,
    listener: EndpointId,
    /// The attacker's connection, and the next segment in it.
    pub(crate) id: EndpointId,
    pub(crate) next: Tcp,
    /// At 10.0.0.1 and fd00::1.
    neighbour: Host,
    bystander: Host,
    pub(crate) flows: [[Flow; 2]; 3],
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (mut wire, neighbour, victim) = Wire::pair();
        wire.latency = Duration::from_millis(1);
        let on = |segment| Port { segment, ..Port::default() };
        wire.attach(victim, on(1), &["192.168.0.2/24"]);
        let bystander = wire.host(3, on(1), &["192.168.0.3/24"]);
        let (c, d) = (wire.host(4, on(2), &["10.1.0.1/24"]), wire.host(5, on(2), &["10.1.0.2/24"]));
        let mut flows = |one, other, address| {
            let (a, b) = wire.connected(one, other, address);
            let (a, b) = ((one, a), (other, b));
            [Flow::new(a, b, AMOUNT, 0), Flow::new(b, a, AMOUNT, 0x5a)]
        };
        let flows = [
            flows(bystander, victim, "192.168.0.2:22"),
            flows(neighbour, victim, "10.0.0.2:22"),
            flows(c, d, "10.1.0.2:22"),
        ];
        let listener = wire.listen(victim, "10.0.0.2:80", 8);
        let stranger = Stranger::new(&mut wire, victim, 5000, 80);
        // MSS 1460, window scale 7, SACK permitted.
        let options = [2, 4, 5, 180, 1, 3, 3, 7, 1, 1, 4, 2];
        let (id, next) = stranger.connects(&mut wire, listener, &options, 500);
        Self { wire, victim, stranger, listener, id, next, neighbour, bystander, flows }
    }

    /// The attacker says a segment in its connection, changed.
    pub(crate) fn says(&mut self, change: impl FnOnce(&mut Tcp)) {
        let mut segment = self.next.clone();
        change(&mut segment);
        self.stranger.says(&mut self.wire, &segment);
    }

    /// The same, with bytes changed behind the addresses; the checksum is right again.
    pub(crate) fn says_raw(&mut self, change: impl FnOnce(&mut [u8])) {
        let mut frame = self.stranger.frame(&self.wire, &self.next);
        change(&mut frame[34..]);
        fix(&mut frame);
        self.wire.inject_bytes(self.victim, &frame);
    }

    /// A SYN from another port.
    pub(crate) fn knocks(&mut self, round: u32, options: &[u8], payload: &[u8]) {
        let port = 6000 + (round % 1000) as u16;
        let mut stranger = self.stranger;
        stranger.port = port;
        let (options, payload) = (options.to_vec(), payload.to_vec());
        let syn = Tcp { flags: SYN, seq: round, window: 500, options, payload, ..Tcp::default() };
        stranger.says(&mut self.wire, &syn);
    }

    /// Puts bytes on the attacked link in front of the victim.
    pub(crate) fn throws(&mut self, bytes: &[u8]) {
        self.wire.inject_bytes(self.victim, bytes);
    }

    /// A packet to the victim, of either family, with right checksums.
    pub(crate) fn packet(&self, source: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mac = self.wire.mac(self.victim);
        match source {
            IpAddr::V4(source) => frames::ipv4(mac, source, [10, 0, 0, 2].into(), protocol, payload),
            IpAddr::V6(source) => {
                frames::ipv6(mac, source, "fd00::2".parse().unwrap(), protocol, 64, payload)
            }
        }
    }

    /// How long the transfers take beside an attack that has gone on for a while.
    fn times(&mut self, attack: Attack) -> [Duration; 3] {
        let mut start = self.wire.now();
        let mut times = [None; 3];
        let memory = sys::taken();
        for round in 0.. {
            if round == ROUNDS / 2 {
                start = self.wire.now();
            }
            if round < ROUNDS {
                attack(self, round);
            } else if times.iter().all(Option::is_some) {
                break;
            }
            let flows = &mut self.flows;
            let _ = self.wire.run_until(Duration::from_millis(1), |wire| {
                for (time, [there, back]) in times.iter_mut().zip(flows.iter_mut()) {
                    if round < ROUNDS / 2 {
                        continue;
                    }
                    let (one, other) = (there.run(wire), back.run(wire));
                    if one && other {
                        time.get_or_insert(wire.now() - start);
                    }
                }
                false
            });
            self.wire.record.clear();
            let grown = sys::taken() - memory;
            assert!(grown < MEMORY, "{grown} bytes more in round {round}");
            assert!(self.wire[self.victim].recv_queue(self.listener) <= 9);
            assert!(self.wire[self.victim].recv_queue(self.id) <= Options::DEFAULT_BUFFER);
            assert!(round < 20_000, "the transfers do not end");
        }
        times.map(Option::unwrap)
    }

    /// The stack answers whoever comes now, and says nothing without end.
    fn is_well(&mut self) {
        assert_eq!(self.wire[self.victim].counters().contained_panics, 0);
        for (host, address) in [
            (self.bystander, "192.168.0.2:81"),
            (self.neighbour, "10.0.0.2:81"),
            (self.neighbour, "[fd00::2]:81"),
        ] {
            let listener = self.wire.listen(self.victim, address, 1);
            let start = self.wire.now();
            let one = self.wire.connect(host, address);
            let other = self.wire.accept(self.victim, listener);
            assert!(self.wire.echoes([(host, one), (self.victim, other)]));
            assert!(self.wire.now() - start < Duration::from_secs(1), "{address}");
        }
        // Fragments that came last are given up after a minute, and who sent them is told.
        self.wire.run(Duration::from_secs(90));
        self.wire.record.clear();
        self.wire.run(Duration::from_secs(60));
        assert!(self.wire.record.len() < 100, "{}", self.wire.show());
    }
}

/// Runs every attack of a table beside the transfers, and compares with transfers beside nothing.
pub(crate) fn attacks(table: &[(&str, Attack)]) {
    let quiet = Scene::new().times(|_, _| {});
    for (name, attack) in table {
        println!("{name}");
        let mut scene = Scene::new();
        let [bystander, neighbour, others] = scene.times(*attack);
        assert!(
            bystander <= quiet[0].mul_f64(1.1),
            "{name}, the bystander: {bystander:?} instead of {:?}",
            quiet[0]
        );
        assert!(
            neighbour <= quiet[1].mul_f64(1.1),
            "{name}, the neighbour: {neighbour:?} instead of {:?}",
            quiet[1]
        );
        assert_eq!(others, quiet[2], "{name}");
        scene.is_well();
    }
}
