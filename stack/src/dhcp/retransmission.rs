//! When messages are said again: exponentially more seldom, none as often as another.

use std::time::Duration;

use super::chance::Chance;
use crate::time::Instant;

/// How often and how long a message of DHCPv6 is repeated (RFC 8415 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// IRT.
    pub(super) first: Duration,
    /// MRT; zero: none.
    pub(super) longest: Duration,
    /// MRC; zero: none.
    pub(super) most: u32,
}

/// A message that is said until it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeated {
    schedule: Schedule,
    wait: Duration,
    count: u32,
    /// When it was said first.
    pub(super) since: Instant,
    /// When it is due again, or given up.
    pub(super) next: Instant,
}

impl Repeated {
    /// One that is due at `start`.
    pub(super) const fn new(schedule: Schedule, start: Instant) -> Self {
        Self { schedule, wait: Duration::ZERO, count: 0, since: start, next: start }
    }

    /// Notes that it is said at `now`; false if that was often enough.
    pub(super) fn say(&mut self, now: Instant, chance: &mut Chance, solicit: bool) -> bool {
        if self.schedule.most != 0 && self.count >= self.schedule.most {
            return false;
        }
        // Section 18.2.1: the first wait for advertisements is no shorter than IRT.
        let least = if solicit && self.count == 0 { 0.0 } else { -0.1 };
        let random = chance.between(least, 0.1);
        let Schedule { first, longest, .. } = self.schedule;
        self.wait =
            if self.count == 0 { first.mul_f64(1.0 + random) } else { self.wait.mul_f64(2.0 + random) };
        if !longest.is_zero() && self.wait > longest {
            self.wait = longest.mul_f64(1.0 + random);
        }
        self.count += 1;
        self.next = now + self.wait;
        true
    }

    /// How often it was said.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// The longest wait is another from now on.
    pub(super) const fn set_longest(&mut self, longest: Duration) {
        self.schedule.longest = longest;
    }

    /// Hundredths of a second since it was said first (section 21.9).
    pub(super) fn elapsed(&self, now: Instant) -> u16 {
        u16::try_from((now - self.since).as_millis() / 10).unwrap_or(u16::MAX)
    }
}

/// How long an answer is waited for that a message of DHCP got for the `count`th time, counted from zero: 4 s, 8 s, to
/// 64 s, give or take a second (RFC 2131 section 4.1).
pub(super) fn backoff(count: u32, chance: &mut Chance) -> Duration {
    let seconds = f64::from(4u32 << count.min(4));
    Duration::from_secs_f64(seconds + chance.between(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::mac::Mac;
    use crate::tcp::isn::Secret;

    fn chance() -> Chance {
        Chance::new(Secret::from_seed(1), Mac::new([2, 0, 0, 0, 0, 1]), 0)
    }

    #[test]
    fn it_doubles_to_the_longest_and_ends_rfc_8415_15() {
        let schedule = Schedule { first: Duration::from_secs(1), longest: Duration::from_secs(30), most: 10 };
        let (mut message, mut chance) = (Repeated::new(schedule, Instant::ZERO), chance());
        let mut now = Instant::ZERO;
        let mut waits = Vec::new();
        while message.say(now, &mut chance, false) {
            waits.push((message.next - now).as_secs_f64());
            now = message.next;
        }
        assert_eq!(waits.len(), 10);
        assert!((0.9..=1.1).contains(&waits[0]));
        for pair in waits.windows(2) {
            assert!(
                (1.9..=2.1).contains(&(pair[1] / pair[0])) || (27.0..=33.0).contains(&pair[1]),
                "{waits:?}"
            );
        }
    }

    #[test]
    fn four_seconds_to_sixty_four_rfc_2131_4_1() {
        let mut chance = chance();
        for (count, wanted) in [4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0].into_iter().enumerate() {
            let wait = backoff(count as u32, &mut chance).as_secs_f64();
            assert!((wanted - 1.0..=wanted + 1.0).contains(&wait), "{count}: {wait}");
        }
    }
}
