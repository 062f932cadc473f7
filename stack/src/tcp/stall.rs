//! A timer for what smoltcp has no timer for: there is something to be acknowledged, and nothing would happen
//! any more if the peer did not speak.
//!
//! smoltcp stops its retransmission timer when a window closes, and starts no other for a window that shrinks on
//! data under way, for data that a partial acknowledgement with a closed window left behind, or for a FIN that
//! three duplicate acknowledgements were about.

use std::time::Duration;

use crate::time::Instant;

/// RFC 6298 section 2.1: the timeout as long as nothing is known; section 5.5: it doubles.
const FIRST: Duration = Duration::from_secs(1);
/// RFC 9293 section 3.8.6.1, RFC 6298 section 2.5: a bound of 60 seconds at least is allowed.
const LONGEST: Duration = Duration::from_secs(60);

/// The timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stall {
    due: Option<Instant>,
    interval: Duration,
}

impl Stall {
    pub(crate) const fn new() -> Self {
        Self { due: None, interval: FIRST }
    }

    /// Nothing goes on by itself from now on: when to do something about it.
    pub(crate) fn watch(&mut self, now: Instant) -> Instant {
        *self.due.get_or_insert(now + self.interval)
    }

    /// Something goes on by itself, or there is nothing to do.
    pub(crate) const fn rest(&mut self) {
        self.due = None;
    }

    /// The peer acknowledged something new: the intervals begin anew.
    pub(crate) const fn progress(&mut self) {
        *self = Self::new();
    }

    /// Whether it is time; each time the next interval is twice as long.
    pub(crate) fn fires(&mut self, now: Instant) -> bool {
        let fires = self.due.take_if(|at| *at <= now).is_some();
        if fires {
            self.interval = (self.interval * 2).min(LONGEST);
        }
        fires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_double_up_to_a_minute_until_there_is_progress() {
        let mut stall = Stall::new();
        let mut now = Instant::ZERO;
        let mut intervals = Vec::new();
        for _ in 0..8 {
            let at = stall.watch(now);
            assert_eq!(stall.watch(now + Duration::from_millis(1)), at, "once set it stays");
            assert!(
                !stall.fires(Instant::from_nanos(at.as_nanos() - 1)) && stall.fires(at) && !stall.fires(at)
            );
            intervals.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(intervals, [1, 2, 4, 8, 16, 32, 60, 60]);
        stall.progress();
        assert_eq!(stall.watch(now) - now, FIRST);
        stall.rest();
        assert!(!stall.fires(now + LONGEST));
    }
}
