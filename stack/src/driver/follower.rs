//! A caller that waits while another leads. It sleeps on a futex, because the kernel treats signals there as a blocked
//! socket call does (signal(7)): without a time limit the sleep goes on after a handler with `SA_RESTART`, with one it
//! never does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex;

use super::signals::Signals;
use crate::sys::signal::Set;

/// Where one of them sleeps.
#[derive(Debug, Default)]
pub(super) struct Follower {
    woken: AtomicU32,
}

/// Nobody has woken it yet; its endpoint had an event; nobody leads any more.
const ASLEEP: u32 = 0;
const EVENT: u32 = 1;
const LEAD: u32 = 2;

/// How long sleeps without a limit that every signal may end.
const LONG: Duration = Duration::from_secs(1 << 30);
/// Who is woken sooner than this is passed over by others that lead, and keeps its signals blocked meanwhile.
const SHORT: Duration = Duration::from_millis(1);

/// Why a follower woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woke {
    /// It was woken, or perhaps for nothing: look again.
    Look,
    /// These signals wait to be let in.
    Waiting(Set),
    /// By a signal handler that ends the call.
    Interrupted,
}

impl Follower {
    /// Sleeps until it is woken or the deadline has passed. `restarts`: goes on after a handler with `SA_RESTART`.
    /// Nothing may be locked meanwhile.
    pub(super) fn sleep(&self, deadline: Option<Instant>, restarts: bool, signals: &mut Signals) -> Woke {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if signals.are_blocked() {
            if self.wait(Some(left.map_or(SHORT, |left| left.min(SHORT)))) != Err(Errno::TIMEDOUT) {
                return self.woke(signals);
            }
            let waiting = signals.waiting();
            if !waiting.is_empty() {
                return Woke::Waiting(waiting);
            }
            signals.unblock();
        }
        match self.wait(left.or_else(|| (!restarts).then_some(LONG))) {
            Err(Errno::INTR) => Woke::Interrupted,
            _ => self.woke(signals),
        }
    }

    fn wait(&self, limit: Option<Duration>) -> rustix::io::Result<()> {
        let limit = limit.and_then(|limit| limit.min(LONG).try_into().ok());
        futex::wait(&self.woken, futex::Flags::PRIVATE, ASLEEP, limit.as_ref())
    }

    fn woke(&self, signals: &mut Signals) -> Woke {
        // Somebody else may lead before it has the lock, and then it sleeps again: no signal is to pass meanwhile.
        if self.woken.load(Ordering::Relaxed) == LEAD {
            signals.block();
        }
        Woke::Look
    }

    /// Wakes it for an event.
    pub(super) fn wake(&self) {
        self.wake_with(EVENT);
    }

    /// Wakes it because nobody leads any more.
    pub(super) fn wake_to_lead(&self) {
        self.wake_with(LEAD);
    }

    fn wake_with(&self, reason: u32) {
        self.woken.store(reason, Ordering::Relaxed);
        // It cannot fail: the address is one of this process.
        let _ = futex::wake(&self.woken, futex::Flags::PRIVATE, 1);
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) != ASLEEP
    }
}
