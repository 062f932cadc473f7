//! The handshake: when a SYN or SYN-ACK is said again, and what `TCP_DEFER_ACCEPT` of tcp(7) makes of its last
//! acknowledgement.
//!
//! smoltcp says the first one. What it would repeat is not used, for it repeats once a minute at least: the first one is
//! said again, when Linux would.
//!
//! A connection whose acceptance is deferred stays half open until data comes. The bare acknowledgement is not shown to
//! smoltcp, and the SYN-ACK is not said again, until the time is over: then it is said once more, and what answers it
//! opens the connection, as in Linux.

use std::time::Duration;

use super::{Connection, Phase};
use crate::link::Frame;
use crate::tcp::adapter::Outbound;
use crate::tcp::retries::Retries;
use crate::tcp::segment::{ACK, FIN, RST, SYN, Segment};
use crate::time::Instant;

/// A SYN or SYN-ACK that has left.
#[derive(Debug)]
pub(super) struct Opening {
    /// It, with room for the headers in front.
    frame: Vec<u8>,
    flags: u8,
    since: Instant,
    /// Whether it is the first thing that was said, and so its answer is nothing else's.
    first: bool,
    /// Pauses without an answer.
    timeouts: u8,
    /// The peer has acknowledged the SYN-ACK, but that is not enough.
    deferred: bool,
}

impl Opening {
    /// When the next pause is over.
    fn due(&self) -> Instant {
        self.since + Retries::new(self.timeouts.saturating_add(1)).duration()
    }
}

impl Connection {
    /// How long the peer may leave the handshake unfinished.
    pub(super) fn handshake_patience(&self) -> Duration {
        self.retries().patience()
    }

    /// How often the SYN or SYN-ACK is said again.
    fn retries(&self) -> Retries {
        let usual = if self.phase == Phase::Connecting { Retries::SYN } else { Retries::SYN_ACK };
        let retries = self.settings.syn_retries.unwrap_or(usual);
        let deferred = self.opening.as_ref().is_some_and(|opening| opening.deferred);
        if deferred { retries.max(self.settings.defer_accept) } else { retries }
    }

    /// Takes what smoltcp says. False if it repeats what was said.
    pub(super) fn says_syn(&mut self, now: Instant, out: &Outbound, seg: &Segment) -> bool {
        if self.opening.as_ref().is_some_and(|opening| opening.flags == seg.flags) {
            return false;
        }
        self.opening = Some(Opening {
            frame: out.frame.bytes().to_vec(),
            flags: seg.flags,
            since: now,
            first: self.opening.is_none(),
            timeouts: 0,
            deferred: false,
        });
        true
    }

    /// When [`say_syn_again`](Self::say_syn_again) is due.
    pub(super) fn says_syn_at(&self) -> Option<Instant> {
        let half_open = matches!(self.phase, Phase::Connecting | Phase::Embryonic);
        let opening = self.opening.as_ref().filter(|_| half_open)?;
        (opening.timeouts < self.retries().count()).then(|| opening.due())
    }

    /// The SYN or SYN-ACK once more, when it is due.
    pub(super) fn say_syn_again(&mut self, now: Instant) -> Option<Outbound> {
        let mut says = false;
        while self.says_syn_at().is_some_and(|at| at <= now) {
            let opening = self.opening.as_mut()?;
            opening.timeouts += 1;
            says |= !opening.deferred || opening.timeouts >= self.settings.defer_accept.count();
        }
        let opening = self.opening.as_ref().filter(|_| says)?;
        let out = Outbound { again: true, ..Outbound::new(Frame::from_slice(&opening.frame)) };
        self.left(now, &out);
        Some(out)
    }

    /// Whether a segment is the bare acknowledgement of a handshake that data is to finish.
    pub(super) fn defers(&mut self, seg: &Segment, next: Option<u32>) -> bool {
        let bare =
            seg.flags & (SYN | RST | FIN | ACK) == ACK && seg.payload_len == 0 && next == Some(seg.seq);
        if !bare || self.phase != Phase::Embryonic || self.guard.sent() != Some(seg.ack) {
            return false;
        }
        let Some(opening) = &mut self.opening else { return false };
        let defers = opening.timeouts < self.settings.defer_accept.count();
        opening.deferred |= defers;
        if defers {
            self.patience = Some(self.handshake_patience());
        }
        defers
    }

    /// The handshake is over with this segment.
    pub(super) fn open(&mut self, now: Instant, seg: &Segment) {
        self.established = true;
        // Not if that might be the answer to another, nor if it was the application that took its time.
        let opening = self.opening.take();
        let measured = opening
            .filter(|opening| opening.first && opening.timeouts == 0 && !opening.deferred)
            .map(|opening| now - opening.since);
        let Some(offer) = self.guard.offer() else { return };
        // RFC 7323 section 2.2: in a SYN-ACK it is not scaled.
        let shift = if seg.has(SYN) { 0 } else { offer.shift.unwrap_or(0) };
        let window = u64::from(seg.window) << shift;
        self.sender.open(now, &offer, (seg.seq, window), measured, self.stamps.len());
    }
}
