//! A connection that nobody uses gives the memory of its rings back, so that a program may have many of them.

use std::time::Duration;

use super::Connection;
use crate::time::Instant;

/// How often is looked. A ring that was not written to for as long, and is empty, has no memory afterwards.
const INTERVAL: Duration = Duration::from_secs(1);

impl Connection {
    /// Gives memory back that was not used for a while, and says when to look again. The application's next receive, or the
    /// peer's next acknowledgement, asks anew for what is not empty now.
    pub(super) fn rest(&mut self, now: Instant) -> Option<Instant> {
        if self.rests_at.is_some_and(|at| at <= now) {
            self.outgoing.rest();
            self.receiver.rest();
            self.rests_at = None;
        }
        let idle =
            [&self.outgoing, self.receiver.ring()].iter().any(|ring| ring.has_memory() && ring.len() == 0);
        if !idle {
            self.rests_at = None;
        } else if self.rests_at.is_none() {
            self.rests_at = Some(now + INTERVAL);
        }
        self.rests_at
    }

    /// How many of the two rings have memory.
    #[cfg(test)]
    pub(crate) fn rings_in_memory(&self) -> usize {
        [&self.outgoing, self.receiver.ring()].iter().filter(|ring| ring.has_memory()).count()
    }
}
