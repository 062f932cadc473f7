//! What was sent and is not acknowledged yet, and what became of it as far as is known (RFC 6675 section 3).
//!
//! Positions count the bytes of a connection from its initial sequence number and never wrap. Neighbours in the
//! same state are one stretch: a super-frame is one, until the peer has selectively acknowledged a part of it.

use std::collections::VecDeque;
use std::ops::Range;

use crate::time::Instant;

/// What is known about a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Under way, as far as anybody knows.
    Flying,
    /// Deemed lost, and to be sent again.
    Lost,
    /// Selectively acknowledged. It stays here until it is acknowledged for good (RFC 2018 section 8).
    Sacked,
}

/// Bytes next to each other that share a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) end: u64,
    /// When it was sent last.
    pub(super) sent: Instant,
    pub(super) state: State,
    /// Whether it was sent more than once.
    pub(super) again: bool,
}

impl Stretch {
    const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether `next`, which follows, can be part of it.
    fn goes_on_in(&self, next: &Self) -> bool {
        let alike = self.state == next.state && self.again == next.again;
        alike && (self.state != State::Flying || self.sent == next.sent)
    }
}

/// What an acknowledgement says that was not known before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivered {
    /// Bytes acknowledged for the first time, selectively or for good.
    pub(super) bytes: u64,
    /// Of them, those that the peer has in order.
    pub(super) in_order: u64,
    /// Among what was delivered, the stretch that was sent last: when, its end, whether it was sent again.
    pub(super) newest: Option<(Instant, u64, bool)>,
    /// When the oldest of what was sent once only had left.
    pub(super) oldest: Option<Instant>,
    /// Something was delivered, as it was sent first, behind which something had been delivered before.
    pub(super) overtaken: bool,
    /// What was sent again later than this cannot have been answered yet: it is the first transmission that arrived.
    pub(super) too_soon: Option<Instant>,
    /// Bytes of which that is so: they had been late, not lost.
    pub(super) late: u64,
}

impl Delivered {
    fn note(&mut self, stretch: &Stretch, highest: u64) {
        self.bytes += stretch.len();
        if stretch.again && self.too_soon.is_some_and(|too_soon| stretch.sent > too_soon) {
            self.late += stretch.len();
            self.overtaken |= stretch.end < highest;
            return;
        }
        let this = (stretch.sent, stretch.end, stretch.again);
        if self.newest.is_none_or(|newest| (newest.0, newest.1) < (this.0, this.1)) {
            self.newest = Some(this);
        }
        if !stretch.again {
            self.oldest = Some(self.oldest.map_or(stretch.sent, |oldest| oldest.min(stretch.sent)));
            self.overtaken |= stretch.end < highest;
        }
    }
}

/// The scoreboard.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    stretches: VecDeque<Stretch>,
    /// Bytes in these states; the selectively acknowledged are the rest.
    flying: u64,
    lost: u64,
    /// End of what was delivered that lies highest.
    highest: u64,
    /// Nothing lost lies below.
    lost_from: u64,
    /// Nothing that was sent again lies at or above.
    again_to: u64,
}

impl Scoreboard {
    /// Bytes under way (the pipe of RFC 6675 section 4).
    pub(super) const fn flying(&self) -> u64 {
        self.flying
    }

    /// Bytes to be sent again.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Where it begins and ends.
    pub(super) fn span(&self) -> Option<Range<u64>> {
        Some(self.stretches.front()?.start..self.stretches.back()?.end)
    }

    /// Whether something lies selectively acknowledged behind a hole.
    pub(super) fn has_holes(&self) -> bool {
        self.stretches.front().is_some_and(|first| first.start < self.highest)
    }

    /// Bytes that are selectively acknowledged.
    pub(super) fn sacked(&self) -> u64 {
        self.span().map_or(0, |span| span.end - span.start - self.flying - self.lost)
    }

    /// Notes new data in segments of `mss` bytes, which follows what is here.
    pub(super) fn push(&mut self, now: Instant, range: Range<u64>, mss: u64) {
        let stretch =
            Stretch { start: range.start, end: range.end, sent: now, state: State::Flying, again: false };
        self.flying += stretch.len();
        match self.stretches.back_mut() {
            // Segments are counted from where a stretch begins.
            Some(last) if last.goes_on_in(&stretch) && last.len().is_multiple_of(mss) => {
                last.end = stretch.end;
            }
            _ => self.stretches.push_back(stretch),
        }
    }

    /// Notes that a part of what is here was sent again.
    pub(super) fn push_again(&mut self, now: Instant, range: Range<u64>) {
        self.again_to = self.again_to.max(range.end);
        self.change(range, |stretch| {
            if stretch.state != State::Sacked {
                (stretch.state, stretch.sent, stretch.again) = (State::Flying, now, true);
            }
        });
    }

    /// Takes out what lies below `ack`.
    pub(super) fn acknowledge(&mut self, ack: u64, delivered: &mut Delivered) {
        while let Some(first) = self.stretches.front_mut()
            && first.start < ack
        {
            let part = Stretch { end: first.end.min(ack), ..*first };
            if part.end == first.end {
                self.stretches.pop_front();
            } else {
                first.start = ack;
            }
            self.count(&part, false);
            if part.state != State::Sacked {
                delivered.in_order += part.len();
                delivered.note(&part, self.highest);
            }
        }
        self.highest = self.highest.max(ack);
    }

    /// Notes a selective acknowledgement. It counts from the first whole segment of `mss` bytes to the last,
    /// counted from where a stretch begins: nobody cuts this table into crumbs.
    pub(super) fn acknowledge_selectively(&mut self, range: Range<u64>, mss: u64, delivered: &mut Delivered) {
        let Some(span) = self.span() else { return };
        let (mut at, end) = (range.start.max(span.start), range.end.min(span.end));
        let mut highest = self.highest;
        while at < end {
            let index = self.index_of(at);
            let Some(&stretch) = self.stretches.get(index) else { break };
            if stretch.state == State::Sacked {
                at = stretch.end;
                continue;
            }
            let first = stretch.start + (at - stretch.start).next_multiple_of(mss);
            let last = if end >= stretch.end { stretch.end } else { end - (end - stretch.start) % mss };
            at = stretch.end;
            if first >= last {
                continue;
            }
            let part = Stretch { start: first, end: last, ..stretch };
            delivered.note(&part, self.highest);
            highest = highest.max(last);
            self.change(first..last, |stretch| stretch.state = State::Sacked);
        }
        self.highest = highest;
    }

    /// Deems everything lost that is not delivered and for which `is_lost` says so; `below` bounds where that may be.
    /// The answer says how much is newly lost.
    pub(super) fn lose(&mut self, below: u64, mut is_lost: impl FnMut(&Stretch) -> bool) -> u64 {
        let mut lost = 0;
        let mut index = 0;
        let below = below.max(self.again_to);
        while let Some(stretch) = self.stretches.get_mut(index)
            && stretch.start < below
        {
            if stretch.state == State::Flying && is_lost(stretch) {
                stretch.state = State::Lost;
                lost += stretch.len();
                self.lost_from = self.lost_from.min(stretch.start);
                if index > 0 && self.merge(index - 1) {
                    continue;
                }
            }
            index += 1;
        }
        self.flying -= lost;
        self.lost += lost;
        lost
    }

    /// Deems lost what is under way below `end`, and nothing else.
    pub(super) fn lose_first(&mut self, end: u64) -> u64 {
        let Some(first) = self.stretches.front() else { return 0 };
        let (start, before) = (first.start, self.lost);
        self.lost_from = self.lost_from.min(start);
        self.change(start..end, |stretch| {
            if stretch.state == State::Flying {
                stretch.state = State::Lost;
            }
        });
        self.lost - before
    }

    /// Nothing is deemed lost any more.
    pub(super) fn find_all(&mut self) {
        for stretch in &mut self.stretches {
            if stretch.state == State::Lost {
                stretch.state = State::Flying;
            }
        }
        self.flying += std::mem::take(&mut self.lost);
    }

    /// Forgets all selective acknowledgements: the peer may have forgotten them too (RFC 2018 section 8).
    pub(super) fn forget_selective(&mut self) {
        for stretch in &mut self.stretches {
            if stretch.state == State::Sacked {
                stretch.state = State::Flying;
                self.flying += stretch.len();
            }
        }
        self.highest = self.stretches.front().map_or(self.highest, |first| first.start);
    }

    /// The first stretch that is to be sent again.
    pub(super) fn next_lost(&mut self) -> Option<Range<u64>> {
        if self.lost == 0 {
            return None;
        }
        let mut index = self.index_of(self.lost_from);
        while let Some(stretch) = self.stretches.get(index) {
            if stretch.state == State::Lost {
                self.lost_from = stretch.start;
                return Some(stretch.start..stretch.end);
            }
            index += 1;
        }
        None
    }

    /// The end of the stretch under way that lies highest, `len` bytes of it at most: what a probe repeats.
    pub(super) fn tail(&self, len: u64) -> Option<Range<u64>> {
        let last = self.stretches.iter().rev().find(|stretch| stretch.state == State::Flying)?;
        // Segments are counted from where the stretch begins.
        let start = last.start + (last.len() - 1) / len * len;
        Some(start..last.end)
    }

    /// The first stretch.
    pub(super) fn first(&self) -> Option<&Stretch> {
        self.stretches.front()
    }

    /// Where the stretch is that has `position`, or the first behind it.
    fn index_of(&self, position: u64) -> usize {
        self.stretches.partition_point(|stretch| stretch.end <= position)
    }

    /// Lets `f` change the state of exactly `range`.
    fn change(&mut self, range: Range<u64>, f: impl Fn(&mut Stretch)) {
        self.split(range.start);
        self.split(range.end);
        let first = self.index_of(range.start);
        let mut index = first;
        while let Some(stretch) = self.stretches.get_mut(index)
            && stretch.start < range.end
        {
            let before = *stretch;
            f(stretch);
            let after = *stretch;
            self.count(&before, false);
            self.count(&after, true);
            if index == first || !self.merge(index - 1) {
                index += 1;
            }
        }
        // What lies on both sides may be alike now.
        if index > 0 {
            self.merge(index - 1);
        }
        if first > 0 {
            self.merge(first - 1);
        }
    }

    /// Joins a stretch with the one behind it, if they are alike.
    fn merge(&mut self, index: usize) -> bool {
        let (Some(&one), Some(&next)) = (self.stretches.get(index), self.stretches.get(index + 1)) else {
            return false;
        };
        let alike = one.goes_on_in(&next);
        if alike {
            self.stretches[index].end = next.end;
            self.stretches.remove(index + 1);
        }
        alike
    }

    /// Cuts the stretch that has `position` inside.
    fn split(&mut self, position: u64) {
        let index = self.index_of(position);
        if let Some(stretch) = self.stretches.get_mut(index)
            && stretch.start < position
        {
            let front = Stretch { end: position, ..*stretch };
            stretch.start = position;
            self.stretches.insert(index, front);
        }
    }

    fn count(&mut self, stretch: &Stretch, more: bool) {
        let sum = match stretch.state {
            State::Flying => &mut self.flying,
            State::Lost => &mut self.lost,
            State::Sacked => return,
        };
        *sum = if more { *sum + stretch.len() } else { *sum - stretch.len() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1000;

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// Ten segments, sent at once.
    fn ten() -> Scoreboard {
        let mut board = Scoreboard::default();
        board.push(ms(0), 1..10_001, MSS);
        board
    }

    fn sack(board: &mut Scoreboard, range: Range<u64>) -> Delivered {
        let mut delivered = Delivered::default();
        board.acknowledge_selectively(range, MSS, &mut delivered);
        delivered
    }

    /// Every stretch, with F, L or S for its state.
    fn show(board: &Scoreboard) -> String {
        let mut sums = [0, 0, 0];
        let mut text = String::new();
        for stretch in &board.stretches {
            sums[stretch.state as usize] += stretch.len();
            let again = if stretch.again { "'" } else { "" };
            text += &format!("{:?}{again} {}-{} ", stretch.state, stretch.start, stretch.end).replacen(
                &format!("{:?}", stretch.state)[1..],
                "",
                1,
            );
        }
        assert_eq!(sums, [board.flying, board.lost, board.sacked()], "{text}");
        text.trim_end().to_owned()
    }

    #[test]
    fn a_selective_acknowledgement_cuts_a_stretch_rfc_2018_3() {
        let mut board = ten();
        let delivered = sack(&mut board, 2001..4001);
        assert_eq!((delivered.bytes, delivered.in_order), (2000, 0));
        assert_eq!(show(&board), "F 1-2001 S 2001-4001 F 4001-10001");
        assert_eq!(sack(&mut board, 2001..4001).bytes, 0, "nothing new");
        assert_eq!(sack(&mut board, 3001..6001).bytes, 2000);
        assert_eq!(show(&board), "F 1-2001 S 2001-6001 F 6001-10001");
        let mut delivered = Delivered::default();
        board.acknowledge(4001, &mut delivered);
        assert_eq!((delivered.bytes, delivered.in_order), (2000, 2000));
        assert_eq!(show(&board), "S 4001-6001 F 6001-10001");
    }

    #[test]
    fn crumbs_and_lies_change_nothing() {
        let mut board = ten();
        for range in [1..500, 1500..2400, 0..1, 10_001..20_000, 5000..5000] {
            assert_eq!(sack(&mut board, range.clone()).bytes, 0, "{range:?}");
        }
        assert_eq!(show(&board), "F 1-10001");
        // Whole segments inside count, and so does a short last one.
        assert_eq!(sack(&mut board, 500..2600).bytes, 1000);
        board.push(ms(0), 10_001..10_101, MSS);
        assert_eq!(sack(&mut board, 10_001..99_999).bytes, 100);
        assert_eq!(show(&board), "F 1-1001 S 1001-2001 F 2001-10001 S 10001-10101");
    }

    #[test]
    fn what_was_lost_is_sent_again_in_order() {
        let mut board = ten();
        sack(&mut board, 2001..3001);
        sack(&mut board, 5001..6001);
        assert_eq!(board.lose(5001, |stretch| stretch.end <= 5001), 4000);
        assert_eq!(show(&board), "L 1-2001 S 2001-3001 L 3001-5001 S 5001-6001 F 6001-10001");
        assert_eq!(board.next_lost(), Some(1..2001));
        board.push_again(ms(5), 1..1001);
        assert_eq!(board.next_lost(), Some(1001..2001));
        board.push_again(ms(5), 1001..2001);
        assert_eq!(board.next_lost(), Some(3001..5001));
        board.push_again(ms(6), 3001..5001);
        assert_eq!(board.next_lost(), None);
        assert_eq!(show(&board), "F' 1-2001 S 2001-3001 F' 3001-5001 S 5001-6001 F 6001-10001");
        // Lost once more.
        assert_eq!(board.lose(0, |stretch| stretch.sent <= ms(5)), 2000);
        assert_eq!(board.next_lost(), Some(1..2001));
    }

    #[test]
    fn the_tail_is_the_last_segment_that_may_still_arrive() {
        let mut board = ten();
        assert_eq!(board.tail(MSS), Some(9001..10_001));
        board.push(ms(0), 10_001..10_050, MSS);
        assert_eq!(board.tail(MSS), Some(10_001..10_050));
        sack(&mut board, 9001..10_050);
        assert_eq!(board.tail(MSS), Some(8001..9001));
    }

    #[test]
    fn a_peer_that_takes_its_word_back_rfc_2018_8() {
        let mut board = ten();
        sack(&mut board, 1..2001);
        board.forget_selective();
        assert_eq!((board.flying(), board.sacked(), board.has_holes()), (10_000, 0, false));
    }
}
