//! Which station is behind which port, learnt from source addresses.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

/// Stations remembered at most. Beyond, frames for unknown ones are flooded. An entry costs about
/// 32 bytes.
pub(super) const MAX_STATIONS: usize = 4096;

/// Seconds without a frame after which a station is forgotten (IEEE 802.1Q, 8.8.3: 300 recommended).
pub(super) const MAX_AGE: u64 = 300;

/// The table. Times are in seconds.
#[derive(Default)]
pub(super) struct Stations {
    /// Keyed hash: the addresses are chosen by whoever sends.
    entries: HashMap<Mac, Entry>,
    /// When aged entries were last looked for.
    swept: u64,
}

struct Entry {
    port: usize,
    /// Written under the read lock, hence atomic; a lost update costs one second of age.
    seen: AtomicU64,
}

impl Stations {
    /// Learns that the station is behind the port, if there is room.
    pub(super) fn learn(&mut self, station: Mac, port: usize, now: u64) {
        if self.is_full() && !self.entries.contains_key(&station) {
            // At most once a second, or strangers could make every frame walk the table.
            self.swept = now;
            self.entries.retain(|_, entry| now.saturating_sub(*entry.seen.get_mut()) <= MAX_AGE);
            if self.is_full() {
                return;
            }
        }
        self.entries.insert(station, Entry { port, seen: AtomicU64::new(now) });
    }

    /// Forgets everybody behind a port.
    pub(super) fn forget(&mut self, port: usize) {
        self.entries.retain(|_, entry| entry.port != port);
    }

    /// Whether [`learn`](Self::learn) would change nothing. Notes that the station is alive.
    pub(super) fn knows(&self, station: Mac, port: usize, now: u64) -> bool {
        match self.entries.get(&station) {
            Some(entry) => {
                // Only a changed value is stored: the cache line stays shared between the ports.
                if entry.port == port && entry.seen.load(Ordering::Relaxed) != now {
                    entry.seen.store(now, Ordering::Relaxed);
                }
                entry.port == port
            }
            None => is_group(station) || (self.is_full() && self.swept == now),
        }
    }

    /// The port the station is behind; `None` for groups and strangers.
    pub(super) fn port_of(&self, station: Mac, now: u64) -> Option<usize> {
        if is_group(station) {
            return None;
        }
        let entry = self.entries.get(&station)?;
        let age = now.saturating_sub(entry.seen.load(Ordering::Relaxed));
        (age <= MAX_AGE).then_some(entry.port)
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_STATIONS
    }
}

/// Whether the address is that of a group, as broadcast is.
fn is_group(station: Mac) -> bool {
    station[0] & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(number: usize) -> Mac {
        let [a, b, ..] = number.to_le_bytes();
        [2, 0, 0, 0, a, b]
    }

    #[test]
    fn stations_move_age_and_leave_with_their_port() {
        let mut stations = Stations::default();
        assert!(!stations.knows(mac(1), 7, 0));
        stations.learn(mac(1), 7, 0);
        assert!(stations.knows(mac(1), 7, 0));
        assert!(!stations.knows(mac(1), 8, 0), "it moved");
        assert_eq!(stations.port_of(mac(1), MAX_AGE), Some(7));
        assert_eq!(stations.port_of(mac(1), MAX_AGE + 1), None);
        assert!(stations.knows(mac(1), 7, 200), "alive");
        assert_eq!(stations.port_of(mac(1), 200 + MAX_AGE), Some(7));
        stations.forget(7);
        assert_eq!(stations.port_of(mac(1), 200), None);
    }

    #[test]
    fn groups_are_not_learnt() {
        let stations = Stations::default();
        assert!(stations.knows([0xff; 6], 1, 0));
        assert_eq!(stations.port_of([1, 0, 0x5e, 0, 0, 1], 0), None);
    }

    #[test]
    fn a_full_table_learns_again_when_entries_have_aged() {
        let mut stations = Stations::default();
        for number in 0..MAX_STATIONS {
            stations.learn(mac(number), 0, 10);
        }
        let stranger = mac(MAX_STATIONS);
        stations.learn(stranger, 1, 20);
        assert_eq!(stations.port_of(stranger, 20), None);
        assert!(stations.knows(stranger, 1, 20), "no second sweep in the same second");
        assert!(!stations.knows(stranger, 1, 21));
        stations.learn(mac(5), 3, 20);
        assert_eq!(stations.port_of(mac(5), 20), Some(3), "moves are always learnt");
        stations.learn(stranger, 1, 11 + MAX_AGE);
        assert_eq!(stations.port_of(stranger, 11 + MAX_AGE), Some(1));
        assert_eq!(stations.entries.len(), 2);
    }
}
