//! TIME-WAIT (RFC 9293 section 3.6.1) as small records: the rings and smoltcp's block are freed at once.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::connection::Tuple;
use super::segment::{RST, SYN, Segment, after};
use crate::ports::BindingId;
use crate::time::Instant;

/// Twice the maximum segment lifetime, as Linux has it.
const LENGTH: Duration = Duration::from_secs(60);
/// Records kept at most; the oldest goes first.
const MOST: usize = 65_536;

/// What a closed connection leaves behind.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// Next sequence number of ours.
    seq: u32,
    /// Next sequence number of the peer.
    ack: u32,
    expires: Instant,
    /// The port that the connection keeps.
    binding: Option<BindingId>,
}

/// What to do with a segment for a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Nothing.
    Ignore,
    /// Acknowledge again, with these sequence and acknowledgement numbers.
    Acknowledge { seq: u32, ack: u32 },
    /// The record is gone: treat the segment as the SYN of a new connection.
    Reopen,
}

/// All records of a stack.
#[derive(Debug, Default)]
pub(crate) struct TimeWait {
    records: HashMap<Tuple, Record>,
    /// In the order of expiry. A record may have been renewed since.
    order: VecDeque<(Instant, Tuple)>,
    /// Ports of records that have gone.
    released: Vec<BindingId>,
}

impl TimeWait {
    /// Enters a connection. `ends` are the next sequence numbers, ours and the peer's.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        tuple: Tuple,
        ends: (u32, u32),
        binding: Option<BindingId>,
    ) {
        let expires = now + LENGTH;
        let (seq, ack) = ends;
        let earlier = self.records.insert(tuple, Record { seq, ack, expires, binding });
        self.released.extend(earlier.and_then(|earlier| earlier.binding));
        self.order.push_back((expires, tuple));
        while self.order.len() > MOST {
            self.drop_oldest();
        }
    }

    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.records.contains_key(tuple)
    }

    /// A segment for `tuple`; `None` if it is not in TIME-WAIT.
    pub(crate) fn inbound(&mut self, tuple: &Tuple, seg: &Segment) -> Option<Reaction> {
        let record = *self.records.get(tuple)?;
        // RFC 1337: a reset does not end TIME-WAIT.
        if seg.has(RST) {
            return Some(Reaction::Ignore);
        }
        // RFC 9293 section 3.6.1: a newer SYN may open the connection again.
        if seg.has(SYN) {
            if after(seg.seq, record.ack) {
                self.records.remove(tuple);
                self.released.extend(record.binding);
                return Some(Reaction::Reopen);
            }
            return Some(Reaction::Acknowledge { seq: record.seq, ack: record.ack });
        }
        if seg.sequence_len() == 0 {
            return Some(Reaction::Ignore);
        }
        Some(Reaction::Acknowledge { seq: record.seq, ack: record.ack })
    }

    /// Forgets what has expired.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(expires, _)| *expires <= now) {
            self.drop_oldest();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.order.front().map(|(expires, _)| *expires)
    }

    /// Every record, with the time at which it expires, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Tuple, Instant)> {
        self.records.iter().map(|(tuple, record)| (tuple, record.expires))
    }

    fn drop_oldest(&mut self) {
        if let Some((expires, tuple)) = self.order.pop_front()
            && self.records.get(&tuple).is_some_and(|record| record.expires <= expires)
        {
            self.released.extend(self.records.remove(&tuple).and_then(|record| record.binding));
        }
    }

    /// A port that no record keeps any more.
    pub(crate) fn pop_released(&mut self) -> Option<BindingId> {
        self.released.pop()
    }
}
