//! The sending side of a connection: which bytes leave next, and when. Windows and silly ones (RFC 9293 section 3.8.6),
//! Nagle's algorithm (section 3.7.4), what is held back and what is asked for. Losses are the matter of
//! [`Recovery`]; the bytes themselves are in the send ring of the connection.
//!
//! Positions count bytes from the initial sequence number and never wrap: the SYN stands at 0, data begins at 1, the
//! FIN stands behind the last byte.

use std::ops::Range;
use std::time::Duration;

use super::recovery::{CongestionControl, Heard, Recovery};
use super::segment::{Offer, Segment, after};
use crate::time::Instant;

/// Where data begins: behind the SYN.
const FIRST: u64 = 1;
/// How long part of a segment waits for the rest under `TCP_CORK`, tcp(7).
const CORKED: Duration = Duration::from_millis(200);
/// RFC 9293 section 3.8.6.1: the pauses between two questions for a window double up to a bound, here that of Linux.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// The smallest segments that a peer can ask for: `tcp_min_snd_mss` of Linux.
const LEAST_MSS: u64 = 48;
/// Timeouts in a row after which full segments are suspected not to fit the path (`tcp_retries1` of Linux).
const SUSPICIOUS: u32 = 3;

/// When small segments leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manners {
    /// `TCP_NODELAY`: at once.
    pub(crate) nodelay: bool,
    /// `TCP_CORK`: not until there is more, or the cork is taken out.
    pub(crate) cork: bool,
}

/// What is to leave next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// These bytes, or a FIN.
    Send(Piece),
    /// A question for the window: a segment without data that was acknowledged already.
    Ask,
    /// Where the urgent data ends, for which there is no window.
    Tell,
    /// Nothing, until then unless something changes.
    Wait(Option<Instant>),
}

/// A stretch of the stream to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Position of the first byte.
    pub(crate) start: u64,
    /// Bytes of data.
    pub(crate) len: usize,
    /// A FIN follows.
    pub(crate) fin: bool,
    /// It was sent before.
    pub(crate) again: bool,
    /// There is nothing behind it yet.
    pub(crate) push: bool,
}

impl Piece {
    fn range(&self) -> Range<u64> {
        self.start..self.start + self.len as u64 + u64::from(self.fin)
    }
}

/// The sending side.
#[derive(Debug)]
pub(crate) struct Sender {
    isn: u32,
    /// Everything below is acknowledged (SND.UNA).
    una: u64,
    /// The end of what was sent (SND.NXT).
    next: u64,
    /// The end of what the application wrote.
    written: u64,
    /// The application writes no more: a FIN follows.
    finished: bool,
    /// Where the peer's window ends, and how large it was at most.
    edge: u64,
    largest: u64,
    /// The segment that gave the window (SND.WL1).
    window_seq: u32,
    window: u64,
    shift: u8,
    /// Bytes of data in a full segment, and in a full frame.
    mss: u64,
    frame: u64,
    offered_mss: u64,
    /// Bytes of options in every segment.
    options: u64,
    manners: Manners,
    /// The end of the last segment that was not full.
    small_end: u64,
    recovery: Recovery,
    /// When the peer is asked for its window, and the pause before.
    asks_at: Option<(Instant, Duration)>,
    corked_since: Option<Instant>,
    /// `MSG_MORE`: as a cork, until the next write.
    more: bool,
    /// What was written is not held back by the cork.
    pushed: bool,
    /// The end of the last urgent byte (SND.UP), and of the last one that the peer was told of.
    urgent: u64,
    told: u64,
    /// Segments and bytes that were sent again.
    again: (u64, u64),
    /// Timeouts that nobody has counted yet.
    timeouts: u64,
}

impl Sender {
    /// Of a connection that begins with `isn`; segments carry `mss` bytes, frames `frame`.
    pub(crate) fn new(
        isn: u32,
        mss: usize,
        frame: usize,
        manners: Manners,
        control: CongestionControl,
    ) -> Self {
        let (mss, frame) = (mss as u64, frame as u64);
        Self {
            isn,
            una: FIRST,
            next: FIRST,
            written: FIRST,
            finished: false,
            edge: FIRST,
            largest: 0,
            window_seq: 0,
            window: 0,
            shift: 0,
            mss,
            frame,
            offered_mss: u64::MAX,
            options: 0,
            manners,
            small_end: FIRST,
            recovery: Recovery::new(control, FIRST, mss, false),
            asks_at: None,
            corked_since: None,
            more: false,
            pushed: false,
            urgent: FIRST,
            told: FIRST,
            again: (0, 0),
            timeouts: 0,
        }
    }

    /// The handshake is over: `offer` is what the peer said in its SYN, `window` what it offers, in bytes, by the
    /// segment with number `seq`; `measured` is the round trip. Every segment has so many bytes of `options`.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        offer: &Offer,
        (seq, window): (u32, u64),
        measured: Option<Duration>,
        options: usize,
    ) {
        self.options = options as u64;
        self.offered_mss = u64::from(offer.mss).max(LEAST_MSS);
        self.shift = offer.shift.unwrap_or(0);
        (self.window_seq, self.window, self.largest) = (seq, window, window);
        self.edge = self.una + window;
        let (mss, frame) = (self.mss, self.frame);
        let control = self.recovery.control();
        let carried = mss.min(self.offered_mss) - self.options;
        self.recovery = Recovery::new(control, FIRST, carried, offer.selective);
        self.set_sizes(mss as usize, frame as usize);
        if let Some(measured) = measured {
            self.recovery.handshake(now, measured);
        }
    }

    /// Segments carry at most `mss` bytes from now on, and frames `frame`, options included.
    pub(crate) fn set_sizes(&mut self, mss: usize, frame: usize) {
        self.mss = (mss as u64).min(self.offered_mss) - self.options;
        // Whole segments only: a short tail would be a runt on the wire.
        let segments = if frame > mss { (frame as u64 - self.options) / self.mss } else { 1 };
        self.frame = segments.max(1) * self.mss;
        self.recovery.set_mss(self.mss);
    }

    /// Small segments leave like this from now on. tcp(7): `TCP_NODELAY` is remembered while `TCP_CORK` is set, and has
    /// effect once that is not, but what was written before leaves at once.
    pub(crate) const fn set_manners(&mut self, manners: Manners) {
        self.manners = manners;
        self.pushed |= manners.nodelay;
    }

    /// Says with each write whether part of a segment waits for the next one.
    pub(crate) const fn set_more(&mut self, more: bool) {
        self.more = more;
    }

    /// Bytes that were acknowledged, that were sent at least once, and that were written.
    pub(crate) fn progress(&self) -> [u64; 3] {
        [self.una, self.next, self.written].map(|position| position.saturating_sub(FIRST))
    }

    /// Segments and bytes that were sent again.
    pub(crate) const fn again(&self) -> (u64, u64) {
        self.again
    }

    /// Bytes that the peer takes behind what it acknowledged.
    pub(crate) const fn window(&self) -> u64 {
        self.edge.saturating_sub(self.una)
    }

    pub(crate) const fn set_control(&mut self, control: CongestionControl) {
        self.recovery.set_control(control);
    }

    /// The shortest round trip of late, if one was measured.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.recovery.round_trip()
    }

    /// What it knows about the path.
    pub(crate) const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Bytes that may be under way.
    pub(crate) const fn congestion_window(&self) -> usize {
        self.recovery.window() as usize
    }

    /// How long an answer of the peer is waited for.
    pub(crate) fn timeout(&self) -> Duration {
        self.recovery.timeout()
    }

    /// Bytes of data in a full segment.
    pub(crate) const fn mss(&self) -> usize {
        self.mss as usize
    }

    /// The sequence number at a position.
    pub(crate) const fn seq(&self, position: u64) -> u32 {
        self.isn.wrapping_add(position as u32)
    }

    /// The position of a sequence number that is not far from what is under way.
    fn position(&self, seq: u32) -> Option<u64> {
        let distance = seq.wrapping_sub(self.seq(self.una)) as i32;
        self.una.checked_add_signed(distance.into())
    }

    /// The first number that is not acknowledged (SND.UNA).
    pub(crate) const fn una(&self) -> u32 {
        self.seq(self.una)
    }

    /// The number behind what was sent (SND.NXT).
    pub(crate) const fn next(&self) -> u32 {
        self.seq(self.next)
    }

    /// Bytes that the application wrote and the peer has not acknowledged.
    pub(crate) const fn queued(&self) -> usize {
        self.written.saturating_sub(self.una) as usize
    }

    /// Where `position` stands among the queued bytes.
    pub(crate) const fn offset(&self, position: u64) -> usize {
        (position - self.una) as usize
    }

    /// Notes that the application wrote so much.
    pub(crate) const fn write(&mut self, len: usize) {
        self.written += len as u64;
        self.pushed = false;
    }

    /// The last byte that was written is urgent.
    pub(crate) const fn mark_urgent(&mut self) {
        self.urgent = self.written;
    }

    /// Whether urgent data is to be sent or acknowledged.
    const fn is_urgent(&self) -> bool {
        self.urgent > self.una
    }

    /// The urgent pointer of a segment with that number, if it has one: it points behind the urgent data, or as far as it
    /// can (RFC 9293 section 3.8.5).
    pub(crate) fn urgent_pointer(&self, seq: u32) -> Option<u16> {
        let ahead =
            self.urgent.checked_sub(self.position(seq)?).filter(|ahead| self.is_urgent() && *ahead > 0)?;
        Some(u16::try_from(ahead).unwrap_or(u16::MAX))
    }

    /// Notes that the peer was told where the urgent data ends.
    pub(crate) const fn told(&mut self) {
        self.told = self.urgent;
    }

    /// The application writes no more.
    pub(crate) const fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether something is to be sent or acknowledged.
    pub(crate) const fn is_unfinished(&self) -> bool {
        self.una < self.end()
    }

    /// Whether the FIN was acknowledged.
    pub(crate) const fn is_finished(&self) -> bool {
        self.finished && self.una > self.written
    }

    /// Whether something is under way.
    pub(crate) const fn is_flying(&self) -> bool {
        self.next > self.una
    }

    /// The position behind everything, FIN included.
    const fn end(&self) -> u64 {
        self.written + if self.finished { 1 } else { 0 }
    }

    /// Takes the acknowledgement and the window of an acceptable segment in. Gives how many bytes of data are
    /// acknowledged now that were not before.
    pub(crate) fn heard(&mut self, now: Instant, seg: &Segment, blocks: &[(u32, u32)]) -> usize {
        let Some(ack) = self.position(seg.ack).filter(|ack| (self.una..=self.next).contains(ack)) else {
            // An old one says nothing new.
            return 0;
        };
        let window = u64::from(seg.window) << self.shift;
        let moved = ack > self.una;
        let same = window == self.window;
        if moved || after(seg.seq, self.window_seq) || (seg.seq == self.window_seq && window > self.window) {
            (self.window_seq, self.window) = (seg.seq, window);
            self.largest = self.largest.max(window);
            self.edge = ack + window;
        } else if seg.seq == self.window_seq && ack == self.una {
            // It may shrink, against all advice (RFC 9293 section 3.8.6.2.1).
            self.window = window;
            self.edge = ack + window;
        }
        let acknowledged = ack.min(self.written) - self.una.min(self.written);
        let mut positions = [const { 0..0 }; 4];
        let mut count = 0;
        for &(left, right) in blocks.iter().take(positions.len()) {
            if let (Some(left), Some(right)) = (self.position(left), self.position(right))
                && left < right
            {
                positions[count] = left..right;
                count += 1;
            }
        }
        self.una = ack;
        let bare = seg.payload_len == 0 && same;
        self.recovery.heard(now, &Heard { ack, blocks: &positions[..count], bare });
        if moved || self.edge > self.next {
            self.asks_at = None;
        }
        usize::try_from(acknowledged).unwrap_or(usize::MAX)
    }

    /// What is to leave now.
    pub(crate) fn plan(&mut self, now: Instant) -> Plan {
        if self.recovery.is_probe_due() {
            if let Some(piece) = self.probe() {
                return Plan::Send(piece);
            }
            self.recovery.no_probe();
        }
        if let Some(lost) = self.recovery.next_lost() {
            return match self.repair(lost) {
                Some(piece) => Plan::Send(piece),
                None => Plan::Wait(None),
            };
        }
        self.fresh(now)
    }

    /// A probe of the tail: a new segment if there is one (RFC 8985 section 7.3).
    fn probe(&self) -> Option<Piece> {
        let len =
            self.mss.min(self.written.saturating_sub(self.next)).min(self.edge.saturating_sub(self.next));
        if len > 0 {
            return Some(self.piece(self.next..self.next + len, false));
        }
        Some(self.piece(self.recovery.tail()?, true))
    }

    /// The next part of what was lost, as far as the windows let it.
    fn repair(&self, lost: Range<u64>) -> Option<Piece> {
        let whole = lost.end - lost.start;
        let room = self.recovery.room();
        // The first one goes out in any case: it asks for the window (RFC 9293 section 3.8.6.1).
        let least = if lost.start == self.una { self.mss } else { 0 };
        let window = self.edge.saturating_sub(lost.start).max(least);
        let mut len = whole.min(self.longest()).min(window);
        if len > room {
            len = room / self.mss * self.mss;
            if len == 0 && self.recovery.flying() == 0 {
                len = whole.min(self.mss).min(window);
            }
        }
        (len > 0).then(|| self.piece(lost.start..lost.start + len, true))
    }

    /// New data, or the FIN.
    fn fresh(&mut self, now: Instant) -> Plan {
        if self.next >= self.end() {
            return Plan::Wait(None);
        }
        let available = self.written - self.next;
        let room = self.recovery.room();
        let window = self.edge.saturating_sub(self.next);
        if window < available.min(self.mss).max(1) && window < self.largest.div_ceil(2).max(1) {
            // RFC 9293 section 3.8.6.2.1: a silly window is not used, at least not at once.
            return self.ask(now, window);
        }
        let mut len = available.min(window).min(self.longest());
        let whole = len / self.mss * self.mss;
        let runt = match (len < available, whole) {
            // Of what goes on behind it, whole segments, if there are any.
            (true, 1..) => false,
            (true, 0) => !self.is_corked(now),
            (false, _) => !self.is_corked(now) && self.may_be_small(),
        };
        if !runt {
            len = whole;
        }
        if len == 0 && available > 0 {
            let until =
                self.corked_since.filter(|_| self.manners.cork || self.more).map(|since| since + CORKED);
            return Plan::Wait(until);
        }
        if len.max(1) > room {
            len = room / self.mss * self.mss;
            self.recovery.held_back();
            if len == 0 && self.is_flying() {
                return Plan::Wait(None);
            }
            len = len.max(self.mss.min(available));
        }
        Plan::Send(self.piece(self.next..self.next + len, false))
    }

    /// Bytes in a frame at most. What is urgent travels in segments, each with its own pointer.
    const fn longest(&self) -> u64 {
        if self.is_urgent() { self.mss } else { self.frame }
    }

    /// Whether less than a full segment may leave: nobody who waits for an answer is kept waiting, and no more than one
    /// small segment is under way (Nagle's algorithm, as Minshall mended it).
    const fn may_be_small(&self) -> bool {
        self.manners.nodelay || self.finished || self.is_urgent() || self.small_end <= self.una
    }

    fn is_corked(&mut self, now: Instant) -> bool {
        if !(self.manners.cork || self.more) || self.finished || self.pushed || self.is_urgent() {
            self.corked_since = None;
            return false;
        }
        now - *self.corked_since.get_or_insert(now) < CORKED
    }

    /// There is something to send and no window for it. While something is under way its answer is waited for; otherwise
    /// the peer is asked, with longer and longer pauses.
    fn ask(&mut self, now: Instant, window: u64) -> Plan {
        if self.told < self.urgent {
            return Plan::Tell;
        }
        if self.is_flying() {
            return Plan::Wait(None);
        }
        let (at, _) = *self.asks_at.get_or_insert_with(|| {
            let pause = self.recovery.timeout();
            (now + pause, pause)
        });
        if now < at {
            return Plan::Wait(Some(at));
        }
        if window == 0 {
            return Plan::Ask;
        }
        let len = window.min(self.written - self.next);
        Plan::Send(self.piece(self.next..self.next + len, false))
    }

    /// The FIN belongs to what ends where it stands, and fits the window.
    fn piece(&self, range: Range<u64>, again: bool) -> Piece {
        let data = range.end.min(self.written).saturating_sub(range.start);
        let all = range.start + data == self.written;
        let fits = data == 0 || range.start + data < self.edge;
        let fin = self.finished && all && if again { range.end > self.written } else { fits };
        Piece { start: range.start, len: data as usize, fin, again, push: all }
    }

    /// Notes that a piece has left.
    pub(crate) fn sent(&mut self, now: Instant, piece: &Piece) {
        let range = piece.range();
        if range.start < self.urgent {
            self.told();
        }
        if piece.again {
            self.again.0 += (piece.len as u64).div_ceil(self.mss).max(1);
            self.again.1 += piece.len as u64;
            self.recovery.sent_again(now, range);
            return;
        }
        self.next = range.end;
        if !(piece.len as u64).is_multiple_of(self.mss) {
            self.small_end = range.end;
        }
        self.corked_since = None;
        self.recovery.sent(now, range);
    }

    /// Notes that the peer was asked for its window.
    pub(crate) fn asked(&mut self, now: Instant) {
        // With the next question it is told again where the urgent data ends.
        self.told = self.una;
        if let Some((at, pause)) = &mut self.asks_at {
            *pause = (*pause * 2).min(LONGEST_PAUSE);
            *at = now + *pause;
        }
    }

    /// Whether new data is held back because it does not fill a frame: a super-frame costs much the same whatever is in
    /// it. As Nagle's algorithm for segments, this is for senders that have much under way: the next
    /// acknowledgement lets it go, or the next millisecond.
    pub(crate) fn waits_for_more(&self) -> bool {
        if self.manners.nodelay || self.finished || self.is_urgent() || self.frame == self.mss {
            return false;
        }
        let unsent = self.written - self.next;
        (1..self.frame).contains(&unsent) && self.next - self.una >= self.frame
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.recovery.poll_timeout()
    }

    /// Does what is due. True if full segments seem not to fit the path: nothing was acknowledged for several timeouts
    /// (RFC 8899, RFC 4821 section 7.7).
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let expired = self.recovery.handle_timeout(now);
        self.timeouts += u64::from(expired);
        expired && self.recovery.timeouts() >= SUSPICIOUS && self.next - self.una >= self.mss
    }

    /// Timeouts since this was asked last.
    pub(crate) const fn take_timeouts(&mut self) -> u64 {
        std::mem::replace(&mut self.timeouts, 0)
    }

    /// What is under way is too long for the path.
    pub(crate) fn too_long(&mut self) {
        self.recovery.lose_all();
    }
}
