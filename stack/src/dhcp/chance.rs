//! What is left to chance: transaction identifiers, which whoever wants to answer in place of the server must not guess, and
//! times, so that clients that start together do not ask together.

use std::time::Duration;

use crate::net::mac::Mac;
use crate::tcp::isn::{Purpose, Secret};

/// A sequence of numbers that nobody else can know.
#[derive(Debug)]
pub(super) struct Chance {
    secret: Secret,
    station: Mac,
    drawn: u64,
}

impl Chance {
    /// One for a client at `station` that starts with the number `seed`, another for each.
    pub(super) const fn new(secret: Secret, station: Mac, seed: u64) -> Self {
        Self { secret, station, drawn: seed }
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let bytes = [&self.station.octets()[..], &self.drawn.to_be_bytes()].concat();
        self.secret.hash_bytes(Purpose::Dhcp, &bytes)
    }

    /// A number from `least` to `most`.
    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * (self.draw() as f64 / u64::MAX as f64)
    }

    /// A time up to `most`.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.between(0.0, 1.0))
    }
}
