//! Neighbours that did not answer, for display: FAILED of ip-neighbour(8). They are no entries of the table, so that the next
//! frame for one asks anew.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Instant;

/// When they failed.
#[derive(Debug, Default)]
pub(super) struct Failed(BTreeMap<IpAddr, Instant>);

impl Failed {
    /// Notes one; when there are too many, the one that failed first is forgotten.
    pub(super) fn note(&mut self, now: Instant, ip: IpAddr) {
        if self.0.len() >= MOST && !self.0.contains_key(&ip) {
            let first = self.0.iter().min_by_key(|(_, at)| **at).map(|(ip, _)| *ip);
            first.and_then(|ip| self.0.remove(&ip));
        }
        self.0.insert(ip, now);
    }

    /// It is being asked for again, or known.
    pub(super) fn forget(&mut self, ip: IpAddr) {
        if !self.0.is_empty() {
            self.0.remove(&ip);
        }
    }

    /// Those that failed lately.
    pub(super) fn iter(&self, now: Instant) -> impl Iterator<Item = IpAddr> {
        self.0.iter().filter(move |(_, at)| now - **at < SHOWN).map(|(ip, _)| *ip)
    }
}

/// As long as Linux at least, which looks for what can go now and then (`gc_stale_time`).
const SHOWN: Duration = Duration::from_secs(60);
/// A scan of a network is not worth more of them.
const MOST: usize = 64;
