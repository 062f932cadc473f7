//! The receiving side of a connection: what waits for the application, what window is offered, and how the ring grows.

use std::time::Duration;

use super::received::Received;
use super::ring::Ring;
use super::segment::{FIN, Segment, after, distance};
use super::urgent::Mark;
use crate::time::Instant;

/// A round trip is taken for so long while nobody has measured one.
const LONG_TRIP: Duration = Duration::from_millis(100);

/// What became of the data of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intake {
    /// Bytes that came in order.
    pub(crate) len: usize,
    /// It was not what was expected, or not all of it, or filled a gap: the peer is told at once (RFC 5681 section 4.2).
    pub(crate) odd: bool,
}

/// The receiving side. Sequence numbers are those of the peer.
#[derive(Debug)]
pub(crate) struct Receiver {
    ring: Ring,
    /// The ring does not grow beyond so many bytes.
    limit: usize,
    /// The window is never wider.
    clamp: usize,
    /// What waits behind a gap.
    ahead: Received,
    /// Bytes that came in order, modulo 2^32.
    count: u32,
    /// Whether the peer's FIN has come, and all in front of it.
    finished: bool,
    /// Where a FIN stands that came before the data in front of it.
    early_fin: Option<u32>,
    urgent: Mark,
    /// What the application has taken since then.
    pace: (Instant, usize),
}

impl Receiver {
    /// With a ring of `capacity` bytes, which may grow to `limit`.
    pub(crate) fn new(now: Instant, capacity: usize, limit: usize) -> Self {
        Self {
            ring: Ring::new(capacity),
            limit: limit.max(capacity),
            clamp: usize::MAX,
            ahead: Received::default(),
            count: 0,
            finished: false,
            early_fin: None,
            urgent: Mark::default(),
            pace: (now, 0),
        }
    }

    /// Bytes that wait.
    pub(crate) const fn queue(&self) -> usize {
        self.ring.len()
    }

    /// Bytes that came in order, modulo 2^32.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Bytes that it may hold now, and at most.
    pub(crate) fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Gives memory back that is not used; see [`Ring::rest`].
    pub(crate) fn rest(&mut self) {
        self.ring.rest();
    }

    /// It grows to so many bytes at most from now on, and to no more than was said before.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.clamp(self.capacity(), self.limit);
    }

    /// The number that is expected next (RCV.NXT), when the stream begins at `first`.
    pub(crate) const fn next(&self, first: u32) -> u32 {
        first.wrapping_add(self.count).wrapping_add(self.finished as u32)
    }

    /// Whether the peer will say nothing more.
    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// The data of an acceptable segment, where `next` is expected and the window ends at `edge`.
    pub(crate) fn take_in(&mut self, seg: &Segment, data: &[u8], next: u32, edge: u32) -> Intake {
        if self.finished || data.is_empty() {
            // What stands behind the peer's FIN is nobody's (RFC 9293 section 3.10.7.4, seventh: ignore the segment text).
            return Intake {
                len: 0,
                odd: seg.sequence_len() > 0 && self.finished && !after(seg.end(), next),
            };
        }
        self.ahead.compare(seg, next);
        if after(seg.seq, next) {
            self.ahead.keep(seg, data, edge);
            return Intake { len: 0, odd: true };
        }
        let old = (next.wrapping_sub(seg.seq) as usize).min(data.len());
        let fresh = &data[old..(old + distance(next, edge)).min(data.len())];
        let mut len = self.ring.write(fresh);
        let odd = old > 0 || len < data.len() - old || self.ahead.has_gaps();
        while let Some(bytes) = self.ahead.take(next.wrapping_add(len as u32)) {
            len += self.ring.write(&bytes);
        }
        self.count = self.count.wrapping_add(len as u32);
        Intake { len, odd }
    }

    /// Notes that a segment came twice, where `next` is expected.
    pub(crate) fn came_twice(&mut self, seg: &Segment, next: u32) {
        self.ahead.compare(seg, next);
    }

    /// Notes the FIN of an acceptable segment. True if it is its turn: nothing is missing in front of it, where `next` is
    /// expected. One behind the window is not taken.
    pub(crate) fn take_fin(&mut self, seg: &Segment, next: u32, edge: u32) -> bool {
        let at = seg.end().wrapping_sub(1);
        if seg.has(FIN) && !self.finished && !after(at, edge) {
            self.early_fin = Some(at);
        }
        self.early_fin.take_if(|at| *at == next).is_some()
    }

    /// The peer's FIN counts.
    pub(crate) const fn finish(&mut self) {
        self.finished = true;
    }

    /// What acknowledgements say of what waits behind gaps and of what came twice; see [`Received::blocks`].
    pub(crate) fn blocks(&mut self) -> ([(u32, u32); 4], usize) {
        self.ahead.blocks()
    }

    /// Bounds the window; what was offered already stays.
    pub(crate) fn set_clamp(&mut self, most: Option<usize>) {
        self.clamp = most.unwrap_or(usize::MAX);
    }

    /// What a SYN offers.
    pub(crate) fn first_window(&self) -> u16 {
        u16::try_from(self.capacity().min(self.clamp)).unwrap_or(u16::MAX)
    }

    /// The window to offer, in bytes, where the one that was offered last has `left` bytes left. It opens by a full segment
    /// or half of the ring, not by less (RFC 9293 section 3.8.6.2.2), and never shrinks.
    pub(crate) fn window(&self, left: usize, segment: usize) -> usize {
        let room = self.ring.room().min(self.clamp);
        if room.saturating_sub(left) >= segment.min(self.capacity().min(self.clamp) / 2) {
            room
        } else {
            left
        }
    }

    /// Whether the window has opened so much that the peer is told without being asked: to twice of what it knows, as
    /// Linux.
    pub(crate) fn has_opened(&self, left: usize, segment: usize) -> bool {
        left <= self.capacity() / 2 && self.window(left, segment) >= (2 * left).max(1)
    }

    /// Takes an urgent pointer in; see [`Mark::heard`].
    pub(crate) fn heard_urgent(&mut self, seg: &Segment, next: u32) {
        self.urgent.heard(seg, next);
    }

    /// How many bytes stand in front of the urgent one, when the stream begins at `first`.
    pub(crate) fn urgent_mark(&self, first: u32) -> Option<usize> {
        self.urgent.distance(self.waiting(first))
    }

    /// The number of the first byte that waits.
    const fn waiting(&self, first: u32) -> u32 {
        first.wrapping_add(self.count).wrapping_sub(self.ring.len() as u32)
    }

    /// Copies out what waits and leaves it there.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> usize {
        self.ring.copy(0, buffer)
    }

    /// Lets `f` take from the contiguous front of what waits.
    pub(crate) fn take_with(&mut self, f: impl FnOnce(&[u8]) -> usize) -> usize {
        self.ring.take_with(f)
    }

    /// Takes what waits out.
    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> usize {
        self.ring.take(buffer)
    }

    /// Notes that the application took so much of a stream that begins at `first`; `trip` is a round trip to the peer. The
    /// ring grows to twice of what the application takes in one, so that the window is not what limits the peer, even while
    /// it repairs a loss.
    pub(crate) fn taken(&mut self, now: Instant, len: usize, first: u32, trip: Option<Duration>) {
        self.urgent.taken(self.waiting(first));
        self.pace.1 += len;
        let (trip, passed) = (trip.unwrap_or(LONG_TRIP), now - self.pace.0);
        if self.limit <= self.capacity() || passed < trip {
            return;
        }
        let taken = self.pace.1 as f64 * trip.as_secs_f64() / passed.as_secs_f64().max(f64::MIN_POSITIVE);
        self.pace = (now, 0);
        let wanted = 2 * taken as usize;
        if wanted > self.capacity() {
            self.ring.grow(wanted.next_power_of_two().min(self.limit));
        }
    }
}
