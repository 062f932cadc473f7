//! Identifications of datagrams that leave in fragments: whoever sees one cannot tell those of other destinations
//! (RFC 7739 section 5.3).
//!
//! A keyed hash of both ends says where the numbers of a destination start, and counters say how far they are. There are
//! fewer counters than destinations, and another keyed hash says who shares one: numbers to one destination grow, so that
//! none comes again soon, and what their gaps say about others nobody can choose.

use std::net::IpAddr;

use crate::tcp::isn::{Purpose, Secret};

/// The counters.
#[derive(Debug)]
pub(crate) struct Identifications([u32; COUNTERS]);

impl Identifications {
    /// The number of the next datagram from `source` to `destination`. IPv4 has room for its low half.
    pub(crate) fn next(&mut self, secret: &Secret, source: IpAddr, destination: IpAddr) -> u32 {
        let ends = [(source, 0).into(), (destination, 0).into()];
        let hash = |which| secret.hash(Purpose::Identification, &ends, which);
        let counter = &mut self.0[hash(COUNTER) as usize % COUNTERS];
        *counter = counter.wrapping_add(1);
        (hash(START) as u32).wrapping_add(*counter)
    }

    /// Leaves out the next `count` numbers, which somebody else counts.
    pub(crate) fn skip(&mut self, secret: &Secret, source: IpAddr, destination: IpAddr, count: usize) {
        let ends = [(source, 0).into(), (destination, 0).into()];
        let counter = secret.hash(Purpose::Identification, &ends, COUNTER) as usize % COUNTERS;
        // Modulo 2^32, as they are.
        self.0[counter] = self.0[counter].wrapping_add(count as u32);
    }
}

impl Default for Identifications {
    fn default() -> Self {
        Self([0; COUNTERS])
    }
}

const COUNTERS: usize = 1024;
/// What the two hashes are told apart by.
const START: u64 = 0;
const COUNTER: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_and_say_nothing_about_others_rfc_7739_5_3() {
        let mut ids = Identifications::default();
        let secret = Secret::from_seed(1);
        let source = IpAddr::from([10, 0, 0, 1]);
        let of = |ids: &mut Identifications, last| ids.next(&secret, source, IpAddr::from([10, 0, 0, last]));
        let first = of(&mut ids, 2);
        assert_eq!([of(&mut ids, 2), of(&mut ids, 2)], [first.wrapping_add(1), first.wrapping_add(2)]);
        let others: Vec<u32> = (3..=255).map(|last| of(&mut ids, last)).collect();
        assert!(others.windows(2).all(|pair| pair[1].abs_diff(pair[0]) > 100));
        ids.skip(&secret, source, IpAddr::from([10, 0, 0, 2]), 40);
        assert_eq!(of(&mut ids, 2), first.wrapping_add(43));
        // Other secrets, other numbers.
        assert_ne!(Identifications::default().next(&Secret::from_seed(2), source, source), {
            Identifications::default().next(&secret, source, source)
        });
    }
}
