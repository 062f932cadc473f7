//! What the application does with a connection: send, receive, shut down, ask.

use std::time::Duration;

use super::{Connection, DATA_TIMEOUT, Phase, heard_fin};
use crate::engine::endpoint::{Options, Readiness};
use crate::error::Error;
use crate::tcp::segment;
use crate::time::Instant;

impl Connection {
    pub(crate) fn shutdown_write(&mut self, now: Instant) {
        if self.write_shutdown {
            return;
        }
        self.write_shutdown = true;
        if self.phase == Phase::Connecting {
            self.abort(None);
            return;
        }
        self.wait_for_peer(now, self.data_timeout());
        self.sender.finish();
    }

    pub(crate) fn shutdown_read(&mut self) {
        self.read_shutdown = true;
    }

    pub(crate) fn set_options(&mut self, options: &Options) {
        self.settings.keepalive = options.keepalive;
        self.settings.user_timeout = options.user_timeout;
        self.settings.fin_timeout = options.fin_timeout;
        if options.syn_retries != self.settings.syn_retries {
            self.settings.syn_retries = options.syn_retries;
            if self.phase == Phase::Connecting {
                self.patience = Some(self.handshake_patience());
            }
        }
        self.receiver.set_limit(options.recv_limit);
        self.receiver.set_clamp(options.window_clamp);
        self.settings.send.1 = options.send_limit;
        self.sender.set_manners(options.manners());
        self.sender.set_control(options.congestion_control);
    }

    /// `TCP_QUICKACK`: acknowledges at once for the time being, or waits for answers. True if an acknowledgement leaves
    /// that waited.
    pub(crate) const fn set_quick_ack(&mut self, quick: bool) -> bool {
        self.acks.set_quick(quick)
    }

    pub(crate) const fn quick_ack(&self) -> bool {
        self.acks.is_quick()
    }

    /// Bytes of data in a full segment, as far as that is known: the peer has yet to say what it takes.
    pub(crate) fn segment_size(&self) -> usize {
        if self.established {
            return self.sender.mss();
        }
        let usual = segment::usual_mss(self.tcb.path().v6);
        self.largest_segment().min(self.settings.max_segment.unwrap_or(usual).into())
    }

    /// Bytes of data in the segments of both sides at most, whatever the peer takes.
    pub(super) fn largest_segment(&self) -> usize {
        self.tcb.path().mss_within(self.settings.max_segment)
    }

    /// How long what was sent may go without an answer.
    fn data_timeout(&self) -> Duration {
        self.settings.user_timeout.unwrap_or(DATA_TIMEOUT)
    }

    pub(crate) fn recv_queue(&self) -> usize {
        self.receiver.queue()
    }

    pub(crate) fn send_queue(&self) -> usize {
        self.sender.queued()
    }

    /// Bytes that a send would take now. After a send that found the ring full nothing is taken until
    /// half of it is free: many small refills would make small segments.
    pub(crate) fn send_room(&self) -> usize {
        let free = self.outgoing.room();
        if self.blocked && free < self.outgoing.capacity() / 2 { 0 } else { free }
    }

    /// The ring is what limits the sender: it grows to twice of what may be under way, as in Linux.
    pub(super) fn grow_outgoing(&mut self) {
        let wanted = 2 * self.sender.congestion_window();
        let (capacity, limit) = (self.outgoing.capacity(), self.settings.send.1);
        if wanted > capacity && capacity < limit {
            self.outgoing.grow(wanted.next_power_of_two().min(limit));
        }
    }

    /// Whether a send would be let in at all; the error it gets otherwise.
    fn check_send(&mut self, now: Instant) -> Result<(), Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.write_shutdown || self.phase == Phase::Over {
            return Err(Error::BrokenPipe);
        }
        if self.phase != Phase::Open {
            return Err(Error::WouldBlock);
        }
        if self.send_room() == 0 {
            self.blocked = true;
            return Err(Error::WouldBlock);
        }
        if !self.outgoing.prepare() {
            return Err(Error::OutOfMemory);
        }
        self.blocked = false;
        self.wait_for_peer(now, self.data_timeout());
        Ok(())
    }

    pub(crate) fn send(&mut self, now: Instant, data: &[u8]) -> Result<usize, Error> {
        self.check_send(now)?;
        let sent = self.outgoing.write(data);
        self.sender.write(sent);
        self.blocked = sent < data.len();
        Ok(sent)
    }

    /// `MSG_MORE`: part of a segment waits for what is written next.
    pub(crate) const fn set_more(&mut self, more: bool) {
        self.sender.set_more(more);
    }

    pub(crate) fn send_with(
        &mut self,
        now: Instant,
        f: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize, Error> {
        self.check_send(now)?;
        let sent = self.outgoing.write_with(f);
        self.sender.write(sent);
        if self.outgoing.room() == 0 {
            self.blocked = true;
        }
        Ok(sent)
    }

    pub(crate) fn recv(&mut self, now: Instant, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.receiver.queue() == 0 {
            return self.end_of_stream();
        }
        let taken = self.receiver.take(buffer);
        self.note_taken(now, taken);
        Ok(taken)
    }

    pub(crate) fn peek(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.receiver.queue() > 0 { Ok(self.receiver.peek(buffer)) } else { self.end_of_stream() }
    }

    pub(crate) fn recv_with(&mut self, now: Instant, f: impl FnOnce(&[u8]) -> usize) -> Result<usize, Error> {
        if self.receiver.queue() == 0 {
            return self.end_of_stream();
        }
        let taken = self.receiver.take_with(f);
        self.note_taken(now, taken);
        Ok(taken)
    }

    /// Follows what the application took: the ring may grow, and the peer may send more.
    fn note_taken(&mut self, now: Instant, len: usize) {
        let Some(first) = self.first() else { return };
        self.receiver.taken(now, len, first, self.sender.round_trip());
        if self.established && !self.receiver.is_finished() && self.phase == Phase::Open {
            let (left, segment) = (self.window_left(), self.largest_segment());
            if self.receiver.has_opened(left, segment) {
                self.acks.set_at_once();
            }
        }
    }

    /// How many bytes stand in front of the one that the peer marked urgent last, until that is taken.
    pub(crate) fn urgent_mark(&self) -> Option<usize> {
        self.receiver.urgent_mark(self.first()?)
    }

    /// The last byte that was sent is urgent.
    pub(crate) const fn mark_urgent(&mut self) {
        self.sender.mark_urgent();
    }

    /// What a receive without data says.
    fn end_of_stream(&mut self) -> Result<usize, Error> {
        // As Linux: behind the peer's FIN there is the end, not the error that came later.
        if !self.receiver.is_finished()
            && let Some(error) = self.error.take()
        {
            return Err(error);
        }
        if self.at_end() { Ok(0) } else { Err(Error::WouldBlock) }
    }

    /// Whether nothing will arrive behind what waits.
    fn at_end(&self) -> bool {
        let peer_done = self.phase == Phase::Open && heard_fin(self.tcb.state());
        self.read_shutdown || self.phase == Phase::Over || peer_done
    }

    /// Timeouts of data since this was asked last.
    pub(crate) const fn take_timeouts(&mut self) -> u64 {
        self.sender.take_timeouts()
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let read_closed = self.at_end();
        let write_closed = self.write_shutdown || self.phase == Phase::Over;
        Readiness {
            readable: self.receiver.queue() > 0,
            writable: !write_closed && self.phase == Phase::Open && self.send_room() > 0,
            read_closed,
            write_closed,
            error: self.error.is_some(),
            connecting: self.phase == Phase::Connecting,
            peer_finished: self.receiver.is_finished(),
        }
    }
}
