//! What is said in place of smoltcp to the peer, or in place of the peer to smoltcp.

use super::{Connection, Phase, Tuple};
use crate::error::Error;
use crate::link::Frame;
use crate::net::{ethernet, ip};
use crate::tcp::adapter::{Adapter, Outbound, Panicked, Path, State};
use crate::tcp::keepalive::Step;
use crate::tcp::segment::{self, ACK, FIN, after};
use crate::time::Instant;

/// RFC 5681 section 3.2: three duplicates of an acknowledgement have a segment sent again.
const DUPLICATES: usize = 1 + 3;

impl Connection {
    /// Shows smoltcp a segment without data that the peer did not send, or not now.
    pub(super) fn hear(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
        seq: u32,
        flags: u8,
    ) -> Result<Option<Outbound>, Panicked> {
        const FRONT: usize = ip::V4_HEADER_LEN;
        let mut bytes = [0; FRONT + segment::HEADER_LEN];
        let ack = self.una().or_else(|| self.guard.sent()).unwrap_or(0);
        let window = self.guard.offered();
        let Tuple { local_port, remote_port, .. } = self.tuple;
        segment::emit(&mut bytes[FRONT..], remote_port, local_port, seq, ack, flags, window);
        let answer =
            self.tcb.ingress(adapter, now, &mut bytes, FRONT).map_err(|panicked| self.broke(panicked))?;
        if let Some(answer) = &answer {
            self.left(answer);
        }
        Ok(answer)
    }

    /// A segment without data that smoltcp does not send by itself.
    fn say(&self, seq: u32, flags: u8) -> Outbound {
        let front = ethernet::HEADER_LEN + ip::header_len(self.tuple.remote);
        let mut frame = Frame::with_capacity(front + segment::HEADER_LEN);
        frame.set_len(front + segment::HEADER_LEN);
        let (ack, window) = self.guard.advertised();
        let Tuple { local_port, remote_port, .. } = self.tuple;
        segment::emit(
            &mut frame.bytes_mut()[front..],
            local_port,
            remote_port,
            seq,
            ack.unwrap_or(0),
            flags,
            window,
        );
        Outbound { frame, segment_size: None }
    }

    /// Whether something is to be sent or acknowledged: it may not depend on the peer alone.
    pub(super) fn is_unfinished(&self) -> bool {
        match self.tcb.state() {
            State::Established | State::CloseWait => self.tcb.send_queue() > 0,
            State::FinWait1 | State::Closing | State::LastAck => true,
            _ => false,
        }
    }

    /// Gets a connection going again that smoltcp has no timer for: has it send again what is under way, or does
    /// that with a FIN, and asks the peer for its window (as RFC 9293 section 3.8.4 does to see whether it is
    /// there).
    pub(super) fn revive(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
    ) -> Result<Option<Outbound>, Panicked> {
        let (Some(sent), Some(una)) = (self.guard.sent(), self.una()) else {
            return Ok(None);
        };
        if !after(sent, una) || self.tcb.send_queue() > 0 {
            self.have_sent_again(adapter, now)?;
            return Ok(Some(self.say(una.wrapping_sub(1), ACK)));
        }
        Ok(Some(self.say(sent.wrapping_sub(1), FIN | ACK)))
    }

    /// Has smoltcp send the first segment again that is under way.
    pub(super) fn have_sent_again(&mut self, adapter: &mut Adapter, now: Instant) -> Result<(), Panicked> {
        let Some(next) = self.expected() else { return Ok(()) };
        for _ in 0..DUPLICATES {
            self.hear(adapter, now, next, ACK)?;
        }
        Ok(())
    }

    /// The network says that the segment with that number was too long for a path whose MTU is `mtu`. False if that
    /// is no news, or not about something under way.
    pub(crate) fn path_is_narrow(&mut self, seq: u32, mtu: u16) -> bool {
        let (Some(sent), Some(una)) = (self.guard.sent(), self.una()) else { return false };
        let path = self.tcb.path();
        if mtu >= path.mtu || after(una, seq) || !after(sent, seq) {
            return false;
        }
        let path = Path { mtu, ..path };
        self.tcb.set_path(path);
        (self.mss, self.super_payload) = (path.mss(), path.super_payload());
        self.too_long = true;
        true
    }

    /// When the peer has been silent for so long that it is asked whether it is there: only while nothing else
    /// is to be answered by it.
    pub(super) fn asks_at(&self) -> Option<Instant> {
        let idle = matches!(self.tcb.state(), State::Established | State::CloseWait | State::FinWait2);
        if idle && !self.is_unfinished() { self.prober.due(&self.settings.keepalive) } else { None }
    }

    /// The question, when it is due. After too many without an answer the connection is over.
    pub(super) fn ask_if_silent(&mut self, now: Instant) -> Option<Outbound> {
        if self.asks_at().is_none_or(|at| now < at) {
            return None;
        }
        match self.prober.step(now, &self.settings.keepalive, self.settings.user_timeout) {
            Step::Wait => None,
            Step::Ask => {
                let una = self.una()?;
                // RFC 9293 section 3.8.4: what was acknowledged before is acknowledged again.
                Some(self.say(una.wrapping_sub(1), ACK))
            }
            Step::GiveUp => {
                self.abort((self.phase != Phase::Over).then_some(Error::TimedOut));
                None
            }
        }
    }
}
