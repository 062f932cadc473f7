//! Which segments are lost, by the time at which others were delivered that left later: RACK (RFC 8985 section 6).

use std::time::Duration;

use super::rtt::RoundTrips;
use super::scoreboard::{Scoreboard, State, Stretch};
use crate::time::Instant;

/// RFC 8985 section 6.2.4: how many recoveries a wider window for reordering lasts.
const PERSIST: u8 = 16;
/// Segments that have arrived behind a hole, or duplicate acknowledgements of a peer that says no more, that are enough
/// without waiting (DupThresh of RFC 5681 section 3.2).
pub(super) const DUPLICATES: u64 = 3;

/// What was delivered last, and how far the path has reordered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rack {
    /// Of all that was delivered, the one that left last: when, and its end.
    newest: Option<(Instant, u64)>,
    /// Its round trip.
    rtt: Duration,
    reordered: bool,
    /// Quarters of the shortest round trip that a segment may be late.
    quarters: u32,
    persist: u8,
    /// No duplicate counts until this is acknowledged: one a round trip.
    round_end: u64,
}

impl Rack {
    pub(super) const fn new() -> Self {
        Self { newest: None, rtt: Duration::ZERO, reordered: false, quarters: 1, persist: 0, round_end: 0 }
    }

    /// Notes what was delivered (section 6.2, steps 1 to 3).
    pub(super) fn delivered(
        &mut self,
        now: Instant,
        (sent, end, again): (Instant, u64, bool),
        shortest: Option<Duration>,
        overtaken: bool,
    ) {
        self.reordered |= overtaken;
        let rtt = now - sent;
        // It is the first transmission that arrived, not the one that left last.
        if again && shortest.is_some_and(|shortest| rtt < shortest) {
            return;
        }
        if self.newest.is_none_or(|newest| newest < (sent, end)) {
            self.newest = Some((sent, end));
            self.rtt = rtt;
        }
    }

    /// The peer said that something arrived twice (section 6.2, step 4): segments were late, not lost.
    pub(super) fn duplicate(&mut self, ack: u64, next: u64) {
        if ack >= self.round_end {
            self.round_end = next;
            self.quarters = (self.quarters + 1).min(20);
            self.persist = PERSIST;
        }
    }

    /// A recovery is over.
    pub(super) const fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.quarters = 1;
        }
    }

    /// How late a segment may be (section 6.2, step 4).
    fn window(&self, trips: &RoundTrips, repairing: bool, sacked: u64) -> Duration {
        if !self.reordered && (repairing || sacked >= DUPLICATES) {
            return Duration::ZERO;
        }
        let wanted = trips.shortest().unwrap_or(Duration::ZERO) * self.quarters / 4;
        trips.smoothed().map_or(wanted, |smoothed| wanted.min(smoothed))
    }

    /// Deems lost what left so long before the newest that was delivered (section 6.2, step 5). Gives how much that is,
    /// and when to look again. `sacked` counts segments.
    pub(super) fn detect(
        &self,
        now: Instant,
        board: &mut Scoreboard,
        trips: &RoundTrips,
        repairing: bool,
        sacked: u64,
    ) -> (u64, Option<Instant>) {
        let Some(newest) = self.newest else { return (0, None) };
        let patience = self.rtt + self.window(trips, repairing, sacked);
        let mut again = None;
        let lost = board.lose(newest.1, |stretch| {
            if (stretch.sent, stretch.end) >= newest {
                return false;
            }
            let due = stretch.sent + patience;
            if due <= now {
                return true;
            }
            again = Some(again.map_or(due, |again: Instant| again.max(due)));
            false
        });
        (lost, again)
    }

    /// Whether a stretch has been under way for so long that a timeout may deem it lost (section 6.3).
    pub(super) fn is_late(&self, now: Instant, stretch: &Stretch) -> bool {
        stretch.state == State::Flying && stretch.sent + self.rtt <= now
    }
}
