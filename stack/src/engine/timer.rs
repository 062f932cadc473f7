//! The deadlines of a stack's connections: a heap in which outdated entries are left and skipped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::endpoint::EndpointId;
use crate::time::Instant;

/// The heap. Each connection remembers its own deadline; an entry that differs from it is outdated.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, EndpointId)>>,
}

impl Timers {
    /// Moves a deadline from `stored` to `wanted`. A later one leaves the earlier entry in the heap: when
    /// that fires, the connection looks at its clock and asks again.
    pub(crate) fn set(&mut self, id: EndpointId, stored: &mut Option<Instant>, wanted: Option<Instant>) {
        let Some(wanted) = wanted else { return };
        if stored.is_none_or(|stored| wanted < stored) {
            *stored = Some(wanted);
            self.heap.push(Reverse((wanted, id)));
        }
    }

    /// The next endpoint whose deadline has passed, with the deadline.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<(Instant, EndpointId)> {
        let &Reverse((at, id)) = self.heap.peek()?;
        (at <= now).then(|| {
            self.heap.pop();
            (at, id)
        })
    }

    /// The earliest entry, perhaps outdated: waking for it is harmless.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
