//! What becomes of a segment: of the handshake, which smoltcp has to see, and of an established connection, of which it
//! hears only the ends.

use std::time::Duration;

use super::{Connection, Phase, reset_error};
use crate::tcp::adapter::{Adapter, FRONT, Outbound, Panicked, State};
use crate::tcp::delay::Arrival;
use crate::tcp::segment::{self, ACK, Arrived, FIN, RST, SYN, Segment, after};
use crate::time::Instant;

/// Segments that are out of place, without data, are answered no more often than this (`tcp_invalid_ratelimit` of Linux,
/// RFC 5961 section 7): two that do not agree would answer each other for ever.
const ANSWER_INTERVAL: Duration = Duration::from_millis(500);

impl Connection {
    /// A segment of the handshake: smoltcp sees its header.
    pub(super) fn shake(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
        arrived: &Arrived<'_>,
    ) -> Result<Option<Outbound>, Panicked> {
        let seg = arrived.seg;
        let before = self.tcb.state();
        let mut bytes = arrived.header(FRONT);
        if let Some(next) = self.expected()
            && seg.flags & (SYN | RST) == 0
            && self.guard.is_in_window(&seg, next)
        {
            // What stands in front of its data may have been lost.
            segment::set_seq(&mut bytes[FRONT..], next);
        }
        let answer = self.tcb.ingress(adapter, now, &mut bytes);
        let mut answer = answer.map_err(|panicked| self.broke(panicked))?;
        self.agree(now);
        self.follow(before, seg.has(RST).then(|| reset_error(before)));
        if self.phase == Phase::Open && !self.established {
            self.open(now, &seg);
            if seg.has(SYN) {
                // smoltcp believes that its acknowledgement has left; ours will.
                self.tcb.egress(adapter, now).map_err(|panicked| self.broke(panicked))?;
                self.acks.set_at_once();
            } else {
                return self.receive(adapter, now, arrived);
            }
        }
        if let Some(answer) = &mut answer {
            self.dress(now, answer);
            self.left(now, answer);
        }
        Ok(answer)
    }

    /// A segment of an established connection that is no reset.
    pub(super) fn receive(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
        arrived: &Arrived<'_>,
    ) -> Result<Option<Outbound>, Panicked> {
        let seg = arrived.seg;
        let Some(next) = self.expected().filter(|_| self.may_speak()) else { return Ok(None) };
        let edge = self.edge(next);
        let stamped = self.stamps.are_on();
        let stamp = if stamped { segment::timestamp(&arrived.bytes[arrived.tcp..], &seg) } else { None };
        if stamp.is_some_and(|said| self.stamps.is_old(now, said)) {
            return Ok(self.refuse(now, &seg));
        }
        if seg.has(ACK) && self.guard.is_recent(&seg, next) {
            self.acknowledged(adapter, now, arrived)?;
        }
        if !self.is_acceptable(&seg, next, edge) {
            return Ok(self.refuse(now, &seg));
        }
        if let Some(said) = stamp
            && !self.guard.acknowledged().is_some_and(|acknowledged| after(seg.seq, acknowledged))
        {
            self.stamps.heard(now, said);
        }
        self.receiver.heard_urgent(&seg, next);
        let data = &arrived.bytes[arrived.tcp + seg.header_len..][..seg.payload_len];
        let intake = self.receiver.take_in(&seg, data, next, edge);
        let next = next.wrapping_add(intake.len as u32);
        let fin = self.receiver.take_fin(&seg, next, edge);
        if fin {
            let before = self.tcb.state();
            self.hear(adapter, now, FIN | ACK)?;
            self.receiver.finish();
            self.follow(before, None);
        }
        if intake.len > 0 || fin {
            let arrival = Arrival {
                len: intake.len,
                fin,
                most: self.largest_segment(),
                window: self.receiver.capacity() - self.receiver.queue(),
                timeout: self.sender.timeout(),
            };
            self.acks.arrived(now, &arrival);
        }
        Ok(intake.odd.then(|| self.acknowledge(now)))
    }

    /// Tells the sending side what a segment acknowledges, and smoltcp if it was our FIN.
    fn acknowledged(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
        arrived: &Arrived<'_>,
    ) -> Result<(), Panicked> {
        let una = self.sender.una();
        let (blocks, count) = segment::blocks(&arrived.bytes[arrived.tcp..], &arrived.seg);
        let acknowledged = self.sender.heard(now, &arrived.seg, &blocks[..count]);
        self.outgoing.discard(acknowledged);
        if self.sender.una() != una {
            self.progress_at = now;
            self.said = None;
        }
        if self.blocked {
            self.grow_outgoing();
        }
        let before = self.tcb.state();
        if self.sender.is_finished() && matches!(before, State::FinWait1 | State::Closing | State::LastAck) {
            self.hear(adapter, now, ACK)?;
            self.follow(before, None);
        }
        Ok(())
    }

    /// RFC 9293 section 3.10.7.4, first; as Linux from what was acknowledged last, so that what was overtaken is not
    /// answered.
    fn is_acceptable(&self, seg: &Segment, next: u32, edge: u32) -> bool {
        let from = self.guard.acknowledged().unwrap_or(next);
        !after(from, seg.end()) && !after(seg.seq, edge)
    }

    /// The answer to what is not acceptable: at once if it has data or ends the stream, for then it is sent again or asks
    /// for the window.
    fn refuse(&mut self, now: Instant, seg: &Segment) -> Option<Outbound> {
        if seg.sequence_len() == 0 {
            return self.challenge(now);
        }
        let next = self.expected()?;
        self.receiver.came_twice(seg, next);
        Some(self.acknowledge(now))
    }

    /// An acknowledgement that shows an honest peer where this side stands, now and then.
    pub(super) fn challenge(&mut self, now: Instant) -> Option<Outbound> {
        if self.challenged_at.is_some_and(|at| now - at < ANSWER_INTERVAL) {
            return None;
        }
        self.challenged_at = Some(now);
        Some(self.acknowledge(now))
    }
}
