//! Leaves slow start before the path overflows: HyStart++ (RFC 9406).

use std::time::Duration;

/// RFC 9406 section 4.3: the constants.
const LEAST_THRESHOLD: Duration = Duration::from_millis(4);
const MOST_THRESHOLD: Duration = Duration::from_millis(16);
const DIVISOR: u32 = 8;
const SAMPLES: usize = 8;
/// Growth while it is being careful is divided by this (`CSS_GROWTH_DIVISOR`).
pub(super) const CAREFUL: u64 = 4;
/// Careful rounds before slow start ends (`CSS_ROUNDS`).
const CAREFUL_ROUNDS: u32 = 5;

/// What slow start knows about its rounds.
///
/// RFC 9406 looks at the shortest of a round's round trips so far, which shows a queue a round after it began, when the
/// window has doubled once more. Here it is the shortest of the last eight: it shows the queue while it builds.
#[derive(Clone, Copy, Debug)]
pub(super) struct HyStart {
    /// The round ends when this position is acknowledged.
    round_end: u64,
    /// The shortest of the last round, and of this one.
    last: Option<Duration>,
    current: Option<Duration>,
    /// The latest ones.
    recent: [Duration; SAMPLES],
    count: usize,
    /// Conservative slow start: the shortest round trip when it began, and the rounds so far.
    careful: Option<(Duration, u32)>,
}

impl HyStart {
    pub(super) const fn new() -> Self {
        Self {
            round_end: 0,
            last: None,
            current: None,
            recent: [Duration::ZERO; SAMPLES],
            count: 0,
            careful: None,
        }
    }

    /// Whether growth is to be divided by [`CAREFUL`].
    pub(super) const fn is_careful(&self) -> bool {
        self.careful.is_some()
    }

    /// Follows an acknowledgement of everything below `ack`; `next` is the end of what was sent. True when slow start
    /// is over.
    pub(super) fn acknowledged(&mut self, ack: u64, next: u64, measured: Option<Duration>) -> bool {
        if let Some(measured) = measured {
            self.current = Some(self.current.map_or(measured, |current| current.min(measured)));
            self.recent[self.count % SAMPLES] = measured;
            self.count += 1;
            if self.count >= SAMPLES {
                self.judge(self.recent.into_iter().fold(measured, Duration::min));
            }
        }
        if ack < self.round_end {
            return false;
        }
        self.round_end = next;
        self.last = self.current.take().or(self.last);
        if let Some((_, rounds)) = &mut self.careful {
            *rounds += 1;
            return *rounds > CAREFUL_ROUNDS;
        }
        false
    }

    fn judge(&mut self, shortest: Duration) {
        match self.careful {
            None => {
                if let Some(last) = self.last
                    && shortest >= last + (last / DIVISOR).clamp(LEAST_THRESHOLD, MOST_THRESHOLD)
                {
                    self.careful = Some((shortest, 0));
                }
            }
            // The delay was a passing one.
            Some((baseline, _)) if shortest < baseline => self.careful = None,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a round of ten acknowledgements with that round trip.
    fn round(hystart: &mut HyStart, number: u64, millis: u64) -> bool {
        (0..10).fold(false, |over, at| {
            let measured = Some(Duration::from_millis(millis));
            over | hystart.acknowledged(number * 10 + at, number * 10 + 10, measured)
        })
    }

    #[test]
    fn a_lasting_delay_ends_slow_start_rfc_9406_4_2() {
        let mut hystart = HyStart::new();
        assert!(!round(&mut hystart, 0, 40) && !round(&mut hystart, 1, 44));
        assert!(!hystart.is_careful());
        assert!(!round(&mut hystart, 2, 50));
        assert!(hystart.is_careful());
        let over = (3..20).position(|number| round(&mut hystart, number, 60));
        assert_eq!(over, Some(5));
    }

    #[test]
    fn a_passing_delay_does_not_rfc_9406_4_2() {
        let mut hystart = HyStart::new();
        round(&mut hystart, 0, 40);
        round(&mut hystart, 1, 60);
        assert!(hystart.is_careful());
        round(&mut hystart, 2, 40);
        assert!(!hystart.is_careful());
    }
}
