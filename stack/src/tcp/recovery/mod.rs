//! Loss recovery and congestion control of a connection's sender: what was lost, what may be sent, and when to act
//! if nothing is heard. Pure: no I/O, no clock, no bytes, and nothing of smoltcp.
//!
//! Selective acknowledgements (RFC 2018, RFC 6675) go into the scoreboard, time decides what is lost
//! (RACK-TLP, RFC 8985), CUBIC or Reno how much may be under way, proportional rate reduction how that
//! shrinks, and duplicates that the peer reports (RFC 2883) undo what was no loss (RFC 3708). The timeout is that of RFC
//! 6298, and a spurious one is noticed (F-RTO, RFC 5682).

mod congestion;
mod cubic;
mod hystart;
mod prr;
mod rack;
mod rtt;
mod scoreboard;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Duration;

pub use self::congestion::CongestionControl;
use self::congestion::{Before, Congestion, Progress};
use self::prr::Prr;
use self::rack::{DUPLICATES, Rack};
use self::rtt::RoundTrips;
use self::scoreboard::{Delivered, Scoreboard, State};
use crate::time::Instant;

/// RFC 8985 section 7.2: how long a peer may keep an acknowledgement of a single segment back.
const DELAYED_ACKNOWLEDGEMENT: Duration = Duration::from_millis(200);
/// Of an early estimate of the round trip, before there is one (RFC 8985 section 7.2).
const FIRST_PROBE: Duration = Duration::from_secs(1);

/// What the sender does about losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing is known to be lost.
    Open,
    /// Losses are repaired until `end` is acknowledged (fast recovery, RFC 6675).
    Repair { end: u64 },
    /// A timeout has expired: slow start until `end` is acknowledged (RFC 5681 section 3.1). `since` is when, as long as
    /// it may turn out to have been spurious.
    Timeout { end: u64, since: Option<Instant> },
}

/// How to undo a reduction.
#[derive(Clone, Copy, Debug)]
struct Undo {
    before: Before,
    /// Bytes sent again that are not known to have been in vain.
    repeated: u64,
    /// Bytes known to have been sent again in vain that the peer will report as duplicates.
    awaited: u64,
}

/// A probe of the tail (RFC 8985 section 7).
#[derive(Clone, Copy, Debug)]
struct Probe {
    end: u64,
    /// It repeats what was sent before.
    again: bool,
}

/// What arrived from the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    /// It has everything below.
    pub(crate) ack: u64,
    /// What else it has, as it said it, and what arrived twice.
    pub(crate) blocks: &'a [Range<u64>],
    /// The segment had no data and left the window as it was: it may be a duplicate (RFC 5681 section 2).
    pub(crate) bare: bool,
}

/// Loss recovery of one connection. Positions count bytes from the initial sequence number and never wrap.
#[derive(Debug)]
pub(crate) struct Recovery {
    board: Scoreboard,
    trips: RoundTrips,
    rack: Rack,
    congestion: Congestion,
    prr: Option<Prr>,
    mode: Mode,
    undo: Option<Undo>,
    probe: Option<Probe>,
    /// A probe of the tail is to be sent.
    probe_due: bool,
    mss: u64,
    /// Whether the peer acknowledges selectively.
    selective: bool,
    duplicates: u64,
    /// Everything below is acknowledged.
    una: u64,
    /// The end of what was sent.
    next: u64,
    last_sent: Option<Instant>,
    /// The window held the sender back when so much was sent.
    limited_at: Option<u64>,
    /// The timers: of reordering, of the tail; and since when the timeout runs at the earliest.
    reorder_at: Option<Instant>,
    probe_at: Option<Instant>,
    timeout_since: Instant,
}

impl Recovery {
    /// Of a connection whose first byte of data stands at `first`, in segments of `mss` bytes.
    pub(crate) fn new(control: CongestionControl, first: u64, mss: u64, selective: bool) -> Self {
        Self {
            board: Scoreboard::default(),
            trips: RoundTrips::new(),
            rack: Rack::new(),
            congestion: Congestion::new(control, mss),
            prr: None,
            mode: Mode::Open,
            undo: None,
            probe: None,
            probe_due: false,
            mss,
            selective,
            duplicates: 0,
            una: first,
            next: first,
            last_sent: None,
            limited_at: None,
            reorder_at: None,
            probe_at: None,
            timeout_since: Instant::ZERO,
        }
    }

    /// Takes the round trip of the handshake in.
    pub(crate) fn handshake(&mut self, now: Instant, measured: Duration) {
        self.trips.sample(now, measured, measured);
    }

    /// Segments are of another size from now on.
    pub(crate) const fn set_mss(&mut self, mss: u64) {
        self.mss = mss;
        self.congestion.set_mss(mss);
    }

    pub(crate) const fn control(&self) -> CongestionControl {
        self.congestion.control()
    }

    pub(crate) const fn set_control(&mut self, control: CongestionControl) {
        self.congestion.set_control(control);
    }

    /// Bytes that may be sent now.
    pub(crate) const fn room(&self) -> u64 {
        self.congestion.window().saturating_sub(self.board.flying())
    }

    /// The congestion window, in bytes.
    pub(crate) const fn window(&self) -> u64 {
        self.congestion.window()
    }

    /// The shortest round trip of late, if one was measured.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.trips.shortest()
    }

    /// The smoothed round trip and its variation (RFC 6298 section 2: SRTT, RTTVAR), if one was measured.
    pub(crate) fn smoothed(&self) -> Option<(Duration, Duration)> {
        self.trips.smoothed().map(|smoothed| (smoothed, self.trips.variation()))
    }

    /// The window kept the sender from sending.
    pub(crate) const fn held_back(&mut self) {
        self.limited_at = Some(self.next);
    }

    /// Bytes that nobody knows to have arrived or to be lost.
    pub(crate) const fn flying(&self) -> u64 {
        self.board.flying()
    }

    /// Bytes that are to be sent again.
    pub(crate) const fn lost(&self) -> u64 {
        self.board.lost()
    }

    /// Bytes that the peer has behind a gap.
    pub(crate) fn sacked(&self) -> u64 {
        self.board.sacked()
    }

    /// The window at which slow start ends, once a loss has set it.
    pub(crate) fn threshold(&self) -> Option<u64> {
        Some(self.congestion.threshold()).filter(|threshold| *threshold != u64::MAX)
    }

    /// Timeouts since the peer acknowledged something new.
    pub(crate) const fn timeouts(&self) -> u32 {
        self.trips.timeouts()
    }

    /// How long to wait for an answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.trips.timeout()
    }

    /// What is to be sent again, if the window lets it.
    pub(crate) fn next_lost(&mut self) -> Option<Range<u64>> {
        self.board.next_lost()
    }

    /// Whether a probe of the tail is due, whatever the window says: new data, or [what was sent last](Self::tail).
    pub(crate) const fn is_probe_due(&self) -> bool {
        self.probe_due
    }

    /// What a probe repeats.
    pub(crate) fn tail(&self) -> Option<Range<u64>> {
        self.board.tail(self.mss)
    }

    /// Nothing can be sent as a probe.
    pub(crate) const fn no_probe(&mut self) {
        self.probe_due = false;
    }

    /// Notes that something was sent for the first time: it follows what was sent before.
    pub(crate) fn sent(&mut self, now: Instant, range: Range<u64>) {
        if self.board.is_empty() {
            if let Some(last) = self.last_sent {
                self.congestion.idle(now - last, self.trips.timeout());
            }
            self.timeout_since = now;
        }
        let len = range.end - range.start;
        self.next = range.end;
        self.board.push(now, range, self.mss);
        self.left(now, len, false);
    }

    /// Notes that something was sent again.
    pub(crate) fn sent_again(&mut self, now: Instant, range: Range<u64>) {
        let len = range.end - range.start;
        self.board.push_again(now, range);
        if let Some(undo) = &mut self.undo {
            undo.repeated += len;
        }
        self.left(now, len, true);
    }

    fn left(&mut self, now: Instant, len: u64, again: bool) {
        self.last_sent = Some(now);
        if let Some(prr) = &mut self.prr {
            prr.sent(len);
        }
        if std::mem::take(&mut self.probe_due) {
            self.probe = Some(Probe { end: self.next, again });
            self.timeout_since = now;
        }
        self.arm_probe(now);
    }

    /// Takes an acknowledgement in.
    pub(crate) fn heard(&mut self, now: Instant, heard: &Heard<'_>) {
        let Heard { ack, blocks, bare } = *heard;
        let ack = ack.min(self.next);
        let moved = ack > self.una;
        let too_soon = self.trips.shortest().and_then(|shortest| now.checked_sub(shortest));
        let mut delivered = Delivered { too_soon, ..Delivered::default() };
        let duplicate = self.duplicate_in(ack, blocks);
        if moved {
            if !self.selective {
                // What duplicates stood for is not known any more.
                self.board.forget_selective();
            }
            self.board.acknowledge(ack, &mut delivered);
            self.una = ack;
            self.duplicates = 0;
        }
        if self.selective {
            for block in blocks.iter().skip(usize::from(duplicate.is_some())) {
                self.board.acknowledge_selectively(block.clone(), self.mss, &mut delivered);
            }
        } else if bare && !moved && self.board.flying() > 0 {
            self.another_duplicate(&mut delivered);
        }
        if delivered.bytes == 0 && duplicate.is_none() {
            return;
        }
        let measured = self.measure(now, &delivered);
        if delivered.in_order > 0 {
            self.trips.progress();
            self.timeout_since = now;
        }
        if let Some(duplicate) = &duplicate {
            self.rack.duplicate(ack, self.next);
            self.undo_if_repeated(duplicate);
        }
        self.undo_if_late(delivered.late);
        self.undo_if_spurious(&delivered);
        self.end_probe(ack, duplicate.as_ref());
        let lost = self.detect(now);
        self.follow(now, &delivered, measured, lost);
        self.arm_probe(now);
    }

    /// The block that says that something arrived twice (RFC 2883 section 4): it is the first, and lies below the
    /// acknowledgement or inside the second.
    fn duplicate_in(&self, ack: u64, blocks: &[Range<u64>]) -> Option<Range<u64>> {
        let first = blocks.first()?;
        let inside = blocks.get(1).is_some_and(|next| next.start <= first.start && first.end <= next.end);
        (self.selective && first.start < first.end && (first.end <= ack || inside)).then(|| first.clone())
    }

    /// A duplicate of the last acknowledgement of a peer that says no more: something behind the hole has arrived.
    fn another_duplicate(&mut self, delivered: &mut Delivered) {
        self.duplicates += 1;
        let from = self.una + self.duplicates * self.mss;
        self.board.acknowledge_selectively(from..from + self.mss, self.mss, delivered);
    }

    fn measure(&mut self, now: Instant, delivered: &Delivered) -> Option<Duration> {
        let newest = delivered.newest?;
        // Karn: nobody knows which of several was answered (RFC 6298 section 3).
        let quick = (!newest.2).then(|| now - newest.0);
        if let Some(oldest) = delivered.oldest {
            let slow = now - oldest;
            self.trips.sample(now, slow, quick.unwrap_or(slow));
        }
        self.rack.delivered(now, newest, self.trips.shortest(), delivered.overtaken);
        quick
    }

    /// Looks for losses; gives how much is newly lost.
    fn detect(&mut self, now: Instant) -> u64 {
        if !self.selective {
            let due = self.duplicates == DUPLICATES
                || (self.duplicates == 0 && matches!(self.mode, Mode::Repair { end } if self.una < end));
            let head = self.una + self.mss;
            // NewReno (RFC 6582): what is acknowledged in part shows the next hole.
            return if due { self.board.lose_first(head) } else { 0 };
        }
        let sacked = self.board.sacked() / self.mss;
        let repairing = self.mode != Mode::Open;
        let (lost, again) = self.rack.detect(now, &mut self.board, &self.trips, repairing, sacked);
        self.reorder_at = again;
        lost
    }

    /// Draws the conclusions for the window.
    fn follow(&mut self, now: Instant, delivered: &Delivered, measured: Option<Duration>, lost: u64) {
        match self.mode {
            Mode::Open if lost > 0 => self.begin_repair(),
            Mode::Repair { end } | Mode::Timeout { end, .. } if self.una >= end => {
                if self.prr.take().is_some() {
                    self.congestion.settle();
                }
                self.rack.recovered();
                // Duplicates of what was sent again may still be reported.
                self.mode = Mode::Open;
                if lost > 0 {
                    self.begin_repair();
                }
            }
            _ => {}
        }
        match (&mut self.prr, self.mode) {
            (Some(prr), Mode::Repair { .. }) => {
                let safe = delivered.in_order > 0 && lost == 0;
                let pipe = self.board.flying();
                let window = prr.window(delivered.bytes, pipe, self.congestion.threshold(), self.mss, safe);
                self.congestion.set_window(window);
            }
            _ => {
                let limited = self.limited_at.is_some_and(|at| self.una <= at)
                    || matches!(self.mode, Mode::Timeout { .. });
                self.congestion.acknowledged(
                    now,
                    &Progress {
                        bytes: delivered.in_order,
                        ack: self.una,
                        next: self.next,
                        measured,
                        smoothed: self.trips.smoothed(),
                        limited,
                    },
                );
            }
        }
    }

    fn begin_repair(&mut self) {
        let before = self.congestion.reduce();
        self.undo = Some(Undo { before, repeated: 0, awaited: 0 });
        self.prr = Some(Prr::new(self.board.flying() + self.board.lost()));
        self.mode = Mode::Repair { end: self.next };
        (self.probe, self.probe_due, self.probe_at) = (None, false, None);
    }

    /// When every repair has turned out to be in vain, nothing had been lost: the peer reports duplicates (RFC 3708).
    fn undo_if_repeated(&mut self, duplicate: &Range<u64>) {
        let Some(undo) = &mut self.undo else { return };
        let reported = duplicate.end - duplicate.start;
        let known = reported.min(undo.awaited);
        undo.awaited -= known;
        self.in_vain(reported - known);
    }

    /// The same, when the first transmission arrives before the second one can have (RFC 3522 in spirit, by the clock).
    fn undo_if_late(&mut self, late: u64) {
        if let Some(undo) = &mut self.undo {
            undo.awaited += late;
            self.in_vain(late);
        }
    }

    fn in_vain(&mut self, bytes: u64) {
        let Some(undo) = &mut self.undo else { return };
        if undo.repeated > 0 && bytes > 0 {
            undo.repeated = undo.repeated.saturating_sub(bytes);
            if undo.repeated == 0 {
                let before = undo.before;
                self.take_back(before);
            }
        }
    }

    /// Behind a timeout, what had left before it and was not sent again has arrived (F-RTO, RFC 5682 section 3).
    fn undo_if_spurious(&mut self, delivered: &Delivered) {
        if let Mode::Timeout { since: Some(since), .. } = self.mode
            && let Some(undo) = self.undo
            && delivered.oldest.is_some_and(|sent| sent < since)
        {
            self.take_back(undo.before);
        }
    }

    fn take_back(&mut self, before: Before) {
        self.congestion.undo(before);
        self.board.find_all();
        (self.mode, self.undo, self.prr) = (Mode::Open, None, None);
    }

    /// What an acknowledgement says about a probe of the tail (RFC 8985 section 7.4).
    fn end_probe(&mut self, ack: u64, duplicate: Option<&Range<u64>>) {
        let Some(probe) = self.probe else { return };
        if ack < probe.end {
            return;
        }
        let arrived_twice = duplicate.is_some_and(|duplicate| duplicate.end == probe.end);
        if !probe.again || arrived_twice {
            self.probe = None;
        } else if ack > probe.end {
            // The probe repaired a loss that nothing else has shown.
            self.probe = None;
            if self.mode == Mode::Open {
                self.congestion.reduce();
                self.congestion.settle();
            }
        }
    }

    fn arm_probe(&mut self, now: Instant) {
        let quiet = self.mode == Mode::Open && self.probe.is_none() && !self.board.has_holes();
        self.probe_at = (quiet && self.selective && self.board.flying() > 0).then(|| {
            let Some(smoothed) = self.trips.smoothed() else { return now + FIRST_PROBE };
            let alone = self.board.flying() <= self.mss;
            now + smoothed * 2 + if alone { DELAYED_ACKNOWLEDGEMENT } else { Duration::from_millis(2) }
        });
    }

    /// When the timeout expires.
    fn timeout_at(&self) -> Option<Instant> {
        let first = self.board.first()?;
        Some(first.sent.max(self.timeout_since) + self.trips.timeout())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timeout = self.timeout_at();
        let probe = self.probe_at.filter(|_| !self.probe_due);
        timeout.into_iter().chain(probe).chain(self.reorder_at).min()
    }

    /// Does what is due. True if the timeout has expired.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.timeout_at().is_some_and(|at| at <= now) {
            self.time_out(now);
            return true;
        }
        if self.reorder_at.take_if(|at| *at <= now).is_some() {
            let lost = self.detect(now);
            self.follow(now, &Delivered::default(), None, lost);
        }
        if self.probe_at.take_if(|at| *at <= now).is_some() {
            self.probe_due = true;
        }
        false
    }

    /// RFC 6298 section 5.4 to 5.7, RFC 8985 section 6.3.
    fn time_out(&mut self, now: Instant) {
        self.trips.back_off();
        self.timeout_since = now;
        let Some(first) = self.board.first().copied() else { return };
        if first.state == State::Sacked {
            self.board.forget_selective();
        }
        let fresh =
            self.mode == Mode::Open || matches!(self.mode, Mode::Timeout { end, .. } if self.una >= end);
        if fresh {
            let before = self.congestion.reduce();
            self.undo = Some(Undo { before, repeated: 0, awaited: 0 });
        }
        let rack = self.rack;
        self.board.lose(self.next, |stretch| stretch.start == first.start || rack.is_late(now, stretch));
        self.congestion.set_window(self.board.flying() + self.mss);
        (self.prr, self.probe, self.probe_due) = (None, None, false);
        (self.probe_at, self.reorder_at, self.duplicates) = (None, None, 0);
        let since = (fresh && !first.again).then_some(now);
        self.mode = Mode::Timeout { end: self.next, since };
    }

    /// What is under way was too long for the path: it is sent again without a verdict about the window (RFC 1191
    /// section 6.5).
    pub(crate) fn lose_all(&mut self) {
        self.board.lose(self.next, |_| true);
    }
}
