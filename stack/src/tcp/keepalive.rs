//! Keep-alive (RFC 9293 section 3.8.4): asks a silent peer whether it is still there, and gives up when it does
//! not answer, as tcp(7) has it.

use std::time::Duration;

use crate::time::Instant;

/// `SO_KEEPALIVE` of socket(7) and its times, tcp(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Whether the peer is asked at all.
    pub on: bool,
    /// Silence after which it is asked first, `TCP_KEEPIDLE`: 1 to 32767 seconds.
    pub idle: Duration,
    /// Time between two questions, `TCP_KEEPINTVL`: 1 to 32767 seconds.
    pub interval: Duration,
    /// Questions without an answer after which the connection is over, `TCP_KEEPCNT`: 1 to 127.
    pub count: u8,
}

impl Default for KeepAlive {
    /// RFC 9293 section 3.8.4: off, and two hours at least. The others are those of Linux.
    fn default() -> Self {
        Self { on: false, idle: Duration::from_secs(7200), interval: Duration::from_secs(75), count: 9 }
    }
}

/// What to do about the silence of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing yet.
    Wait,
    /// Ask it.
    Ask,
    /// It is gone.
    GiveUp,
}

/// The questions that were asked since the peer was heard last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prober {
    heard: Instant,
    asked: u8,
    last: Instant,
}

impl Prober {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { heard: now, asked: 0, last: now }
    }

    /// The peer said something.
    pub(crate) const fn heard(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// When [`step`](Self::step) has something to do.
    pub(crate) fn due(&self, settings: &KeepAlive) -> Option<Instant> {
        let pause = if self.asked == 0 { settings.idle } else { settings.interval };
        settings.on.then(|| self.last + pause)
    }

    /// What is due. With a user timeout that counts, not the number of questions, as in Linux.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        settings: &KeepAlive,
        user_timeout: Option<Duration>,
    ) -> Step {
        if self.due(settings).is_none_or(|at| now < at) {
            return Step::Wait;
        }
        let over = match user_timeout {
            Some(timeout) => self.asked > 0 && now - self.heard >= timeout,
            None => self.asked >= settings.count,
        };
        if over {
            return Step::GiveUp;
        }
        self.asked = self.asked.saturating_add(1);
        self.last = now;
        Step::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a peer that says nothing is asked, and when it is given up, in seconds.
    fn course(settings: KeepAlive, user_timeout: Option<u64>) -> (Vec<u64>, u64) {
        let mut prober = Prober::new(Instant::ZERO);
        let mut asked = Vec::new();
        loop {
            let at = prober.due(&settings).expect("it is on");
            assert_eq!(prober.step(Instant::from_nanos(at.as_nanos() - 1), &settings, None), Step::Wait);
            let seconds = at.as_nanos() / 1_000_000_000;
            match prober.step(at, &settings, user_timeout.map(Duration::from_secs)) {
                Step::Ask => asked.push(seconds),
                Step::GiveUp => return (asked, seconds),
                Step::Wait => panic!("it was due"),
            }
        }
    }

    fn settings(idle: u64, interval: u64, count: u8) -> KeepAlive {
        KeepAlive {
            on: true,
            idle: Duration::from_secs(idle),
            interval: Duration::from_secs(interval),
            count,
        }
    }

    #[test]
    fn a_silent_peer_is_asked_and_given_up_tcp_7() {
        assert_eq!(course(settings(10, 3, 2), None), (vec![10, 13], 16));
        let (asked, over) = course(KeepAlive { on: true, ..KeepAlive::default() }, None);
        assert_eq!((asked.len(), asked[0], over), (9, 7200, 7200 + 9 * 75));
        assert_eq!(Prober::new(Instant::ZERO).due(&KeepAlive::default()), None, "off by default");
    }

    #[test]
    fn with_a_user_timeout_that_counts_tcp_7() {
        assert_eq!(course(settings(10, 3, 2), Some(20)), (vec![10, 13, 16, 19], 22));
        assert_eq!(course(settings(10, 3, 200), Some(5)), (vec![10], 13));
    }

    #[test]
    fn an_answer_begins_it_anew() {
        let settings = settings(10, 3, 1);
        let mut prober = Prober::new(Instant::ZERO);
        assert_eq!(prober.step(Instant::from_millis(10_000), &settings, None), Step::Ask);
        prober.heard(Instant::from_millis(10_001));
        assert_eq!(prober.due(&settings), Some(Instant::from_millis(20_001)));
    }
}
