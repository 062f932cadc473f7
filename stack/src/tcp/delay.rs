//! When an acknowledgement waits for company, and when it leaves at once: as Linux decides it (`net/ipv4/tcp_input.c`,
//! `TCP_QUICKACK` of tcp(7)).
//!
//! A sender that has just begun, or that was silent for long, grows its window with every acknowledgement, so the first
//! ones leave at once. An application that answers what it receives makes the connection *interactive*: then its answers
//! carry the acknowledgements, until one has waited in vain.

use std::time::Duration;

use crate::time::Instant;

/// How long an acknowledgement waits at most (RFC 9293 section 3.8.6.3: below half a second).
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(10);
/// An answer that comes this soon makes the connection interactive: `TCP_ATO_MIN` of Linux.
const SOON: Duration = Duration::from_millis(40);
/// Acknowledgements in a row that leave at once, at most: `TCP_MAX_QUICKACKS` of Linux.
const MOST_QUICK: usize = 16;
/// A full segment of the peer is taken for so long, in bytes, until there was a longer one: what every host takes
/// (RFC 9293 section 3.7.1).
const LEAST_SEGMENT: usize = 536;

/// Data that arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Bytes of data.
    pub(crate) len: usize,
    /// The peer says nothing behind it.
    pub(crate) fin: bool,
    /// Bytes of data in a segment of the peer, at most: several may come in a super-frame.
    pub(crate) most: usize,
    /// Bytes of the receive window.
    pub(crate) window: usize,
    /// How long a sender waits for an answer.
    pub(crate) timeout: Duration,
}

/// The acknowledgements of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckDelay {
    /// Bytes that arrived since a segment left.
    owed: usize,
    /// When the acknowledgement that waits has waited long enough.
    due: Option<Instant>,
    /// It leaves now.
    at_once: bool,
    /// So many more leave at once.
    quick: usize,
    /// The application answers what it receives.
    interactive: bool,
    /// When data arrived last.
    heard: Option<Instant>,
    /// The longest segment of the peer.
    segment: usize,
}

impl AckDelay {
    /// Of a fresh connection, which begins as interactive unless `quick`.
    pub(crate) const fn new(quick: bool) -> Self {
        Self {
            owed: 0,
            due: None,
            at_once: false,
            quick: 0,
            interactive: !quick,
            heard: None,
            segment: LEAST_SEGMENT,
        }
    }

    /// Takes note of what has come in order.
    pub(crate) fn arrived(&mut self, now: Instant, arrival: &Arrival) {
        let Arrival { len, fin, most, window, timeout } = *arrival;
        if len > 0 {
            self.segment = self.segment.max(len).min(most);
            // Behind a silence the sender begins anew (RFC 5681 section 4.1).
            if self.heard.is_none_or(|heard| now - heard > timeout) {
                self.quick = self.quick.max((window / (2 * self.segment)).clamp(2, MOST_QUICK));
            }
            self.heard = Some(now);
            self.owed += len;
        }
        // The answer to the end of something is likely to be the other end.
        self.interactive |= fin;
        // RFC 9293 section 3.8.6.3: at least every second full-sized segment.
        self.at_once |= self.owed >= 2 * self.segment || len == 0 || (self.is_quick() && self.quick > 0);
        self.due.get_or_insert(now + ACK_DELAY);
    }

    /// An acknowledgement has left, alone or with data.
    pub(crate) fn left(&mut self, now: Instant) {
        if self.owed > 0 {
            self.quick = self.quick.saturating_sub(1);
        }
        if self.due.is_some_and(|due| due <= now) {
            self.interactive = false;
        }
        (self.owed, self.due, self.at_once) = (0, None, false);
    }

    /// Data has left: an answer, if it was soon enough.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.interactive |= self.heard.is_some_and(|heard| now - heard < SOON);
    }

    /// `TCP_QUICKACK`, for the time being. True if an acknowledgement leaves that waited.
    pub(crate) const fn set_quick(&mut self, quick: bool) -> bool {
        self.interactive = !quick;
        self.at_once |= quick && self.owed > 0;
        self.at_once
    }

    /// One leaves now, whatever there is to acknowledge.
    pub(crate) const fn set_at_once(&mut self) {
        self.at_once = true;
    }

    /// Whether one is to leave now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.at_once || self.due.is_some_and(|due| due <= now)
    }

    /// When one is to leave that waits.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What `TCP_QUICKACK` shows: acknowledgements do not wait for answers of the application.
    pub(crate) const fn is_quick(&self) -> bool {
        !self.interactive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000_000 + millis)
    }

    /// Whether the acknowledgement of so many bytes leaves at once; if so it has left.
    fn hears(delay: &mut AckDelay, now: Instant, len: usize) -> bool {
        let arrival = Arrival { len, fin: false, most: 1460, window: 100_000, timeout: SECOND };
        delay.arrived(now, &arrival);
        let at_once = delay.is_due(now);
        if at_once {
            delay.left(now);
        }
        at_once
    }

    /// How many segments in a row, far apart enough to be acknowledged one by one, are acknowledged at once.
    fn count_quick(delay: &mut AckDelay, from: u64, len: usize) -> usize {
        (0..100).take_while(|number| hears(delay, at(from + number * 20), len)).count()
    }

    #[test]
    fn the_first_ones_leave_at_once() {
        assert_eq!(count_quick(&mut AckDelay::new(true), 0, 1460), 16);
        assert_eq!(count_quick(&mut AckDelay::new(false), 0, 1460), 0);
    }

    #[test]
    fn no_more_of_them_than_the_window_is_worth() {
        let mut delay = AckDelay::new(true);
        for (window, count) in [(0, 2), (8760, 3), (1 << 20, 16)] {
            delay = AckDelay { heard: None, quick: 0, ..delay };
            let arrival = Arrival { len: 1460, fin: false, most: 1460, window, timeout: SECOND };
            delay.arrived(at(0), &arrival);
            assert!(delay.is_due(at(0)));
            assert_eq!(delay.quick, count, "{window}");
            delay.left(at(0));
        }
    }

    #[test]
    fn every_second_full_segment_is_acknowledged_rfc_9293_3_8_6_3() {
        for len in [1460, 700] {
            let mut delay = AckDelay::new(false);
            let at_once: Vec<_> = (0..6).map(|number| hears(&mut delay, at(number), len)).collect();
            assert_eq!(at_once, [false, true, false, true, false, true], "{len}");
        }
        // A super-frame is many.
        assert!(hears(&mut AckDelay::new(false), at(0), 2920));
    }

    #[test]
    fn answers_make_a_connection_interactive() {
        let mut delay = AckDelay::new(true);
        assert!(hears(&mut delay, at(0), 10));
        delay.answered(at(39));
        assert!(!delay.is_quick());
        for number in 1..100 {
            assert!(!hears(&mut delay, at(number * 100), 10));
            delay.left(at(number * 100 + 5));
            delay.answered(at(number * 100 + 5));
        }
    }

    #[test]
    fn late_answers_do_not() {
        let mut delay = AckDelay::new(true);
        delay.answered(at(0));
        assert!(hears(&mut delay, at(0), 10));
        delay.answered(at(40));
        assert!(delay.is_quick());
    }

    #[test]
    fn one_that_waited_in_vain_ends_that() {
        let mut delay = AckDelay::new(false);
        assert!(!hears(&mut delay, at(0), 10));
        delay.left(at(9));
        assert!(!hears(&mut delay, at(20), 10));
        delay.left(at(30));
        assert!(delay.is_quick());
        // What was begun goes on: 16 less the two.
        assert_eq!(count_quick(&mut delay, 50, 10), 14);
    }

    #[test]
    fn behind_a_silence_they_leave_at_once_again() {
        let mut delay = AckDelay::new(true);
        assert_eq!(count_quick(&mut delay, 0, 10), 16);
        delay.left(at(330));
        assert_eq!(count_quick(&mut delay, 1300, 10), 0);
        delay.left(at(1310));
        assert_eq!(count_quick(&mut delay, 2301, 10), 16);
    }

    #[test]
    fn the_end_waits_for_the_other_end() {
        let mut delay = AckDelay::new(true);
        let arrival = Arrival { len: 10, fin: true, most: 1460, window: 100_000, timeout: SECOND };
        delay.arrived(at(0), &arrival);
        assert!(!delay.is_due(at(0)) && delay.is_due(at(10)));
        // When nothing came with it, it does not.
        delay.arrived(at(1), &Arrival { len: 0, ..arrival });
        assert!(delay.is_due(at(1)));
    }
}
