//! Timestamps (RFC 7323 section 3): each side says what time it is and repeats what the other said last. So a sender knows
//! which of two transmissions was answered, and what was under way for too long is recognised: protection against
//! wrapped sequence numbers (PAWS, section 5).

use std::time::Duration;

use super::segment::{self, TIMESTAMPS_LEN, after};
use crate::time::Instant;

/// A peer that was silent for so long may begin anew (section 5.5).
const OUTDATED: Duration = Duration::from_secs(24 * 24 * 3600);

/// The timestamps of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timestamps {
    /// What is added to the clock, so that it does not tell how long this host has run (section 5.4); `None` if none are
    /// offered.
    offset: Option<u32>,
    /// What the peer said last in order (TS.Recent), and when; `None` until both sides have offered.
    recent: Option<(u32, Instant)>,
}

impl Timestamps {
    pub(crate) const fn new(offset: Option<u32>) -> Self {
        Self { offset, recent: None }
    }

    /// The peer has said this in its SYN, or nothing (section 2.2).
    pub(crate) fn agree(&mut self, now: Instant, said: Option<u32>) {
        if self.offset.is_some() && self.recent.is_none() {
            self.recent = said.map(|said| (said, now));
        }
    }

    /// Whether every segment has them.
    pub(crate) const fn are_on(&self) -> bool {
        self.recent.is_some()
    }

    /// Whether a SYN offers them, or answers such an offer.
    pub(crate) const fn are_offered(&self, answer: bool) -> bool {
        if answer { self.are_on() } else { self.offset.is_some() }
    }

    /// Bytes that they take in every segment.
    pub(crate) const fn len(&self) -> usize {
        if self.are_on() { TIMESTAMPS_LEN } else { 0 }
    }

    /// Writes the option behind the header in front of `bytes`, which has room for it.
    pub(crate) fn write(&self, now: Instant, bytes: &mut [u8]) {
        // In milliseconds; it wraps.
        let clock = (now.as_nanos() / 1_000_000) as u32;
        let echo = self.recent.map_or(0, |(said, _)| said);
        segment::add_timestamps(bytes, clock.wrapping_add(self.offset.unwrap_or(0)), echo);
    }

    /// Whether a segment that says this is one of long ago (section 5.3, R1).
    pub(crate) fn is_old(&self, now: Instant, said: u32) -> bool {
        self.recent.is_some_and(|(recent, at)| after(recent, said) && now - at < OUTDATED)
    }

    /// An acceptable segment has said this that begins no later than what was acknowledged last (section 4.3).
    pub(crate) fn heard(&mut self, now: Instant, said: u32) {
        if self.are_on() && !self.is_old(now, said) {
            self.recent = Some((said, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(5_000_000);

    fn on(said: u32) -> Timestamps {
        let mut stamps = Timestamps::new(Some(7));
        stamps.agree(NOW, Some(said));
        stamps
    }

    #[test]
    fn both_sides_have_to_offer_rfc_7323_2_2() {
        for (offset, said, agreed) in
            [(None, Some(1), false), (Some(1), None, false), (Some(1), Some(1), true)]
        {
            let mut stamps = Timestamps::new(offset);
            stamps.agree(NOW, said);
            assert_eq!((stamps.are_on(), stamps.len() > 0), (agreed, agreed));
        }
    }

    #[test]
    fn the_clock_ticks_in_milliseconds_from_an_offset_and_the_peers_is_repeated_rfc_7323_3_2() {
        let mut bytes = [0; 32];
        bytes[12] = 5 << 4;
        on(0x0102_0304).write(NOW, &mut bytes);
        assert_eq!(bytes[12], 8 << 4);
        assert_eq!(bytes[20..24], [1, 1, 8, 10]);
        assert_eq!(bytes[24..28], 5_000_007u32.to_be_bytes());
        assert_eq!(bytes[28..], [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_older_than_the_last_is_old_unless_that_is_long_ago_rfc_7323_5_5() {
        let mut stamps = on(100);
        assert!(stamps.is_old(NOW, 99) && !stamps.is_old(NOW, 100) && !stamps.is_old(NOW, 101));
        stamps.heard(NOW, 99);
        assert!(stamps.is_old(NOW, 99));
        stamps.heard(NOW, u32::MAX / 2 + 50);
        assert!(stamps.is_old(NOW, 101));
        assert!(!stamps.is_old(NOW + OUTDATED, 101));
    }
}
