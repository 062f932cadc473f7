//! Round trips and the retransmission timeout (RFC 6298), and the shortest round trip of late.

use std::time::Duration;

use crate::time::Instant;

/// RFC 6298 section 2.1.
const FIRST: Duration = Duration::from_secs(1);
/// The least that is added to the smoothed round trip, as Linux has it (RFC 6298 section 2.4 says 1 s for the sum).
const LEAST_VARIATION: Duration = Duration::from_millis(200);
/// RFC 6298 section 2.5: a bound of at least 60 s is allowed; 120 s as in Linux.
const LONGEST: Duration = Duration::from_secs(120);
/// How long a shortest round trip counts: paths change (`tcp_min_rtt_wlen` of Linux).
const SHORTEST_COUNTS: Duration = Duration::from_secs(300);

/// What is known about the time a segment and its acknowledgement take.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrips {
    smoothed: Option<Duration>,
    variation: Duration,
    shortest: Option<(Duration, Instant)>,
    /// Timeouts without an answer.
    backoff: u32,
}

impl RoundTrips {
    pub(super) const fn new() -> Self {
        Self { smoothed: None, variation: Duration::ZERO, shortest: None, backoff: 0 }
    }

    /// Takes a measurement in (RFC 6298 section 2.2 and 2.3), and how quick the quickest answer in it was.
    pub(super) fn sample(&mut self, now: Instant, measured: Duration, quick: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(measured);
                self.variation = measured / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(measured)) / 4;
                self.smoothed = Some((smoothed * 7 + measured) / 8);
            }
        }
        let stale = |(shortest, at): (Duration, Instant)| quick <= shortest || now - at > SHORTEST_COUNTS;
        if self.shortest.is_none_or(stale) {
            self.shortest = Some((quick, now));
        }
    }

    pub(super) const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    pub(super) const fn variation(&self) -> Duration {
        self.variation
    }

    pub(super) fn shortest(&self) -> Option<Duration> {
        self.shortest.map(|(shortest, _)| shortest)
    }

    /// The retransmission timeout.
    pub(super) fn timeout(&self) -> Duration {
        let base =
            self.smoothed.map_or(FIRST, |smoothed| smoothed + (self.variation * 4).max(LEAST_VARIATION));
        (base * 2u32.saturating_pow(self.backoff.min(10))).min(LONGEST)
    }

    /// The timer has expired: twice as long the next time (RFC 6298 section 5.5).
    pub(super) const fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The peer acknowledged something new.
    pub(super) const fn progress(&mut self) {
        self.backoff = 0;
    }

    /// Timeouts since the peer acknowledged something new.
    pub(super) const fn timeouts(&self) -> u32 {
        self.backoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_timeout_follows_the_round_trips_rfc_6298_2() {
        let mut trips = RoundTrips::new();
        assert_eq!(trips.timeout(), FIRST);
        trips.sample(Instant::ZERO, ms(100), ms(100));
        // SRTT + 4 * RTTVAR, RTTVAR being half of the first one; then with 3/4 and 7/8 of what was.
        assert_eq!(trips.timeout(), ms(300));
        trips.sample(Instant::ZERO, ms(180), ms(180));
        assert_eq!((trips.smoothed(), trips.timeout()), (Some(ms(110)), ms(110 + 4 * (150 + 80) / 4)));
        for _ in 0..100 {
            trips.sample(Instant::ZERO, ms(50), ms(50));
        }
        assert!(trips.timeout().abs_diff(ms(250)) < ms(1), "{:?}", trips.timeout());
    }

    #[test]
    fn it_doubles_until_there_is_an_answer_rfc_6298_5_5() {
        let mut trips = RoundTrips::new();
        trips.sample(Instant::ZERO, ms(100), ms(100));
        let mut seen = Vec::new();
        for _ in 0..11 {
            seen.push(trips.timeout().as_millis());
            trips.back_off();
        }
        assert_eq!(seen, [300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 76_800, 120_000, 120_000]);
        assert_eq!(trips.timeouts(), 11);
        trips.progress();
        assert_eq!(trips.timeout(), ms(300));
    }

    #[test]
    fn the_shortest_is_forgotten_after_a_while() {
        let mut trips = RoundTrips::new();
        trips.sample(Instant::ZERO, ms(10), ms(10));
        trips.sample(Instant::from_millis(1000), ms(20), ms(20));
        assert_eq!(trips.shortest(), Some(ms(10)));
        trips.sample(Instant::from_millis(301_000), ms(20), ms(20));
        assert_eq!(trips.shortest(), Some(ms(20)));
    }
}
