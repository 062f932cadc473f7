//! How often a SYN or a SYN-ACK is sent again, and how long that takes: the first time after a second (RFC 6298 section
//! 2.1), then after twice as long each time, two minutes at most, as Linux has it.

use std::time::Duration;

/// A number of retransmissions in a handshake. It stands for a time, too: that until the last of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retries(u8);

impl Retries {
    /// Of a SYN: `tcp_syn_retries` of Linux, tcp(7).
    pub const SYN: Self = Self(6);
    /// Of a SYN-ACK: `tcp_synack_retries` of Linux, tcp(7).
    pub const SYN_ACK: Self = Self(5);
    /// The pauses, in seconds.
    const FIRST: u64 = 1;
    const LONGEST: u64 = 120;

    /// So many.
    #[must_use]
    pub const fn new(count: u8) -> Self {
        Self(count)
    }

    /// The fewest that take at least so many seconds, 255 at most; none if there are no seconds.
    #[must_use]
    pub const fn lasting(seconds: i32) -> Self {
        let mut retries = Self(0);
        while seconds > 0
            && retries.0 < u8::MAX
            && retries.duration().as_secs() < seconds.unsigned_abs() as u64
        {
            retries.0 += 1;
        }
        retries
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.0
    }

    /// From the first transmission to the last.
    #[must_use]
    pub const fn duration(self) -> Duration {
        let (mut seconds, mut pause, mut left) = (0, Self::FIRST, self.0);
        while left > 0 {
            seconds += pause;
            pause = if pause * 2 < Self::LONGEST { pause * 2 } else { Self::LONGEST };
            left -= 1;
        }
        Duration::from_secs(seconds)
    }

    /// From the first transmission until the last has gone without an answer.
    #[must_use]
    pub const fn patience(self) -> Duration {
        Self(self.0.saturating_add(1)).duration()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_given_up_when_linux_gives_them_up_tcp_7() {
        assert_eq!(Retries::SYN.patience(), Duration::from_secs(127));
        assert_eq!(Retries::SYN_ACK.patience(), Duration::from_secs(63));
    }

    #[test]
    fn seconds_are_rounded_up_to_retransmissions() {
        let shown = |seconds| Retries::lasting(seconds).duration().as_secs();
        // What TCP_DEFER_ACCEPT shows on Linux.
        for (set, seconds) in
            [(0, 0), (-1, 0), (1, 1), (2, 3), (3, 3), (4, 7), (30, 31), (64, 127), (200, 247)]
        {
            assert_eq!(shown(set), seconds, "{set}");
        }
        assert_eq!(shown(i32::MAX), 29_887);
        assert_eq!(Retries::lasting(i32::MAX).count(), 255);
    }
}
