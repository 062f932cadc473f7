//! What a TCP segment costs: two engines in memory, one sends, the other receives, frames handed from one to the other.
//!
//! `cargo bench -p ioth-stack --bench segments` prints nanoseconds for each data segment, both ends and all
//! acknowledgements together. `-- once` makes one transfer of each kind, for callgrind, which counts instructions.

use std::time::Instant as Clock;

use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::{EndpointId, Engine, Error, Family, Instant, InterfaceSettings, Kind, Secret};

const ETH0: InterfaceId = InterfaceId::new(2);
const SEGMENTS: usize = 20_000;
const MSS: usize = 1460;
const ROUNDS: usize = 15;

struct Pair {
    now: Instant,
    engines: [Engine; 2],
    ends: [EndpointId; 2],
    data: Vec<u8>,
    buffer: Vec<u8>,
}

impl Pair {
    fn new(offload: bool) -> Result<Self, Error> {
        let now = Instant::from_millis(1000);
        let mut engines = [1, 2].map(|number: u8| {
            let mut engine = Engine::new(Secret::from_seed(number.into()));
            let mac = Mac::new([2, 0, 0, 0, 0, number]);
            let eth0 = InterfaceSettings { name: "eth0".to_owned(), mac, mtu: 1500, offload };
            let id = engine.add_interface(eth0).expect("a first interface");
            let address = format!("10.0.0.{number}/24").parse().expect("an address");
            engine.add_address(id, address).expect("a first address");
            engine
        });
        let address = ([10, 0, 0, 2], 80).into();
        let listener = engines[1].open(Kind::Stream, Family::V4);
        engines[1].bind(listener, address)?;
        engines[1].listen(listener, 1)?;
        let one = engines[0].open(Kind::Stream, Family::V4);
        let _ = engines[0].connect(now, one, address);
        let mut pair =
            Self { now, engines, ends: [one, one], data: vec![7; 1 << 16], buffer: vec![0; 1 << 16] };
        pair.carry();
        pair.ends[1] = pair.engines[1].accept(listener)?.id;
        Ok(pair)
    }

    /// Hands frames over until both are silent.
    fn carry(&mut self) {
        loop {
            let mut moved = false;
            for at in 0..2 {
                while let Some(transmit) = self.engines[at].poll_transmit(self.now) {
                    self.engines[1 - at].handle_frame(self.now, ETH0, transmit.frame);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn transfer(&mut self, amount: usize) {
        let (mut sent, mut received) = (0, 0);
        while received < amount {
            let now = self.now;
            while sent < amount
                && let Ok(len) =
                    self.engines[0].send(now, self.ends[0], &self.data[..self.data.len().min(amount - sent)])
            {
                sent += len;
            }
            self.carry();
            while let Ok(len) = self.engines[1].recv(now, self.ends[1], &mut self.buffer) {
                received += len;
            }
            self.now += std::time::Duration::from_micros(100);
            let now = self.now;
            self.engines.iter_mut().for_each(|engine| engine.handle_timeout(now));
        }
    }
}

fn main() -> Result<(), Error> {
    let once = std::env::args().any(|argument| argument == "once");
    for (name, offload) in [("segments of 1460 bytes", false), ("super-frames", true)] {
        let mut pair = Pair::new(offload)?;
        let mut nanos: Vec<f64> = (0..if once { 1 } else { ROUNDS })
            .map(|_| {
                let start = Clock::now();
                pair.transfer(SEGMENTS * MSS);
                start.elapsed().as_nanos() as f64 / SEGMENTS as f64
            })
            .collect();
        nanos.sort_by(f64::total_cmp);
        println!("{name}: {:.0} ns for 1460 bytes (fastest {:.0})", nanos[nanos.len() / 2], nanos[0]);
    }
    Ok(())
}
