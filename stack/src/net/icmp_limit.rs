//! How many ICMP errors are sent (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)): so many in all, and fewer to each host.
//! What a host has had too much of costs the others nothing, so that a flood from one silences the errors for that one only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Instant;

/// Both limits.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    all: All,
    /// Hosts that had some lately.
    hosts: HashMap<IpAddr, Host>,
}

/// Why an error is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are too many.
    All,
    /// The host has had too many.
    Host,
}

/// A token bucket in time: how much of it one host has saved, when that was counted.
#[derive(Clone, Copy, Debug)]
struct Host {
    saved: Duration,
    counted: Instant,
}

/// A token bucket for all.
#[derive(Debug)]
struct All {
    tokens: u32,
    filled: Instant,
}

impl Limits {
    /// Whether one more may be sent at all.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        self.all.allow(now)
    }

    /// Whether one more may be sent to `host`.
    pub(super) fn allow_to(&mut self, now: Instant, host: IpAddr) -> Result<(), Refusal> {
        let known = self.hosts.get(&host);
        let saved = known.map_or(BURST, |known| (known.saved + (now - known.counted)).min(BURST));
        let left = saved.checked_sub(PAUSE).ok_or(Refusal::Host)?;
        if !self.all.allow(now) {
            return Err(Refusal::All);
        }
        if self.hosts.len() >= MOST_HOSTS && known.is_none() {
            // Who has saved everything again is as good as unknown.
            self.hosts.retain(|_, known| known.saved + (now - known.counted) < BURST);
        }
        // Of forged sources there are any number: those that are too many have the limit of all only.
        if self.hosts.len() < MOST_HOSTS || self.hosts.contains_key(&host) {
            self.hosts.insert(host, Host { saved: left, counted: now });
        }
        Ok(())
    }
}

impl All {
    /// As Linux: `icmp_msgs_per_sec` and `icmp_msgs_burst`.
    const PER_SECOND: u32 = 1000;
    const BURST: u32 = 50;

    fn allow(&mut self, now: Instant) -> bool {
        let step = Duration::from_secs(1) / Self::PER_SECOND;
        let steps = (now - self.filled).as_nanos() / step.as_nanos();
        if steps > 0 {
            self.filled = now;
            self.tokens =
                Self::BURST.min(self.tokens.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX)));
        }
        self.tokens = match self.tokens.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}

impl Default for All {
    fn default() -> Self {
        Self { tokens: Self::BURST, filled: Instant::ZERO }
    }
}

/// As Linux: `icmp_ratelimit`, and six of them at once (`inet_peer_xrlim_allow`).
const PAUSE: Duration = Duration::from_secs(1);
const BURST: Duration = Duration::from_secs(6);
/// Hosts that are remembered.
const MOST_HOSTS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn a_host_has_six_at_once_and_one_each_second() {
        let mut limits = Limits::default();
        let mut now = Instant::from_millis(1000);
        let mut sent =
            |now: Instant, host: IpAddr| (0..20).filter(|_| limits.allow_to(now, host).is_ok()).count();
        assert_eq!(sent(now, host(1)), 6);
        assert_eq!(sent(now, host(2)), 6, "another has its own");
        now += Duration::from_millis(2500);
        assert_eq!(sent(now, host(1)), 2);
        now += Duration::from_secs(60);
        assert_eq!(sent(now, host(1)), 6);
    }

    #[test]
    fn what_a_host_does_not_get_is_not_taken_from_all() {
        let mut limits = Limits::default();
        let now = Instant::from_millis(1000);
        let refused = (0..1000).filter(|_| limits.allow_to(now, host(1)) == Err(Refusal::Host)).count();
        assert_eq!(refused, 994);
        let others = (2..100).filter(|number| limits.allow_to(now, host(*number)).is_ok()).count();
        assert_eq!(others, 44, "of the fifty of all");
        assert_eq!(limits.allow_to(now, host(100)), Err(Refusal::All));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut limits = Limits::default();
        for number in 0..5000 {
            // The rate of all bounds them first; what they have had is forgotten in time.
            let _ = limits.allow_to(Instant::from_millis(1000 + u64::from(number)), host(number));
            assert!(limits.hosts.len() <= MOST_HOSTS);
        }
        assert!(limits.hosts.len() > MOST_HOSTS / 2);
    }
}
