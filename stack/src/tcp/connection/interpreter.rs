//! What is said in place of smoltcp to the peer, or in place of the peer to smoltcp.

use super::{Connection, Phase, Tuple};
use crate::error::Error;
use crate::link::Frame;
use crate::tcp::adapter::{Adapter, FRONT, Outbound, Panicked, Path, State};
use crate::tcp::keepalive::Step;
use crate::tcp::segment::{self, ACK, after};
use crate::time::Instant;

/// Packets that pass nearly everywhere, in bytes, when the network does not say what does (RFC 8899 section 5.1.2), and
/// what every host takes (RFC 9293 section 3.7.1): where to look when long ones vanish.
const SAFE_MTUS: [u16; 2] = [1280, 576];

impl Connection {
    /// What smoltcp is told that the peer acknowledges: it knows of a SYN and a FIN only.
    pub(super) fn shown_ack(&self) -> u32 {
        self.sender.seq(if self.sender.is_finished() { 2 } else { 1 })
    }

    /// Shows smoltcp a segment in place of the peer's, which begins where smoltcp believes that the peer has come: it knows
    /// of a SYN and a FIN only. What it answers is not used.
    pub(super) fn hear(&mut self, adapter: &mut Adapter, now: Instant, flags: u8) -> Result<(), Panicked> {
        let Some(first) = self.first() else { return Ok(()) };
        let seq = first.wrapping_add(self.receiver.is_finished().into());
        let mut bytes = [0; FRONT + segment::HEADER_LEN];
        let Tuple { local_port, remote_port, .. } = self.tuple;
        let header = &mut bytes[FRONT..];
        segment::emit(header, remote_port, local_port, seq, self.shown_ack(), flags, u16::MAX);
        self.tcb.ingress(adapter, now, &mut bytes).map_err(|panicked| self.broke(panicked))?;
        Ok(())
    }

    /// A frame for so many bytes of data, which are still to be written, with a header that acknowledges and offers what
    /// there is.
    pub(super) fn compose(&self, now: Instant, seq: u32, flags: u8, len: usize) -> Frame {
        let front = self.front();
        let end = front + self.header_len() + len;
        let mut frame = Frame::with_capacity(end);
        frame.set_len(end);
        let ack = self.expected().unwrap_or(0);
        let window = self.receiver.window(self.window_left(), self.largest_segment()) >> self.guard.shift();
        let window = u16::try_from(window).unwrap_or(u16::MAX);
        let Tuple { local_port, remote_port, .. } = self.tuple;
        let header = &mut frame.bytes_mut()[front..];
        segment::emit(header, local_port, remote_port, seq, ack, flags, window);
        if let Some(pointer) = self.sender.urgent_pointer(seq) {
            segment::set_urgent(header, pointer);
        }
        if self.stamps.are_on() {
            self.stamps.write(now, header);
        }
        frame
    }

    /// Length of the header of every segment.
    pub(super) fn header_len(&self) -> usize {
        segment::HEADER_LEN + self.stamps.len()
    }

    /// A segment without data that smoltcp does not send by itself.
    pub(super) fn say(&self, now: Instant, seq: u32, flags: u8) -> Outbound {
        Outbound::new(self.compose(now, seq, flags, 0))
    }

    /// The network says that the segment with that number was too long for a path whose MTU is `mtu`. False if that
    /// is no news, or not about something under way.
    pub(crate) fn path_is_narrow(&mut self, seq: u32, mtu: u16) -> bool {
        let (Some(sent), Some(una)) = (self.guard.sent(), self.una()) else { return false };
        let path = self.tcb.path();
        if mtu >= path.mtu || after(una, seq) || !after(sent, seq) {
            return false;
        }
        self.narrow(mtu);
        true
    }

    /// The link takes packets of this size only, from now on. Says whether something is to be sent in shorter segments.
    pub(crate) fn link_is_narrow(&mut self, mtu: u16) -> bool {
        let narrower = mtu < self.tcb.path().mtu;
        if narrower {
            self.narrow(mtu);
        }
        narrower
    }

    /// Long packets vanish, and nobody says why: shorter ones may pass (RFC 8899 section 4.3, RFC 2923 section 2.1).
    pub(super) fn suspect_path(&mut self) {
        let mtu = self.tcb.path().mtu;
        if let Some(safe) = SAFE_MTUS.into_iter().find(|safe| *safe < mtu) {
            self.narrow(safe);
        }
    }

    /// What is under way is sent again in shorter packets.
    fn narrow(&mut self, mtu: u16) {
        let path = Path { mtu, ..self.tcb.path() };
        self.tcb.set_path(path);
        self.sender.set_sizes(self.largest_segment(), path.frame_payload());
        self.sender.too_long();
    }

    /// When the peer has been silent for so long that it is asked whether it is there: only while nothing else
    /// is to be answered by it.
    pub(super) fn asks_at(&self) -> Option<Instant> {
        let idle = matches!(self.tcb.state(), State::Established | State::CloseWait | State::FinWait2);
        if idle && !self.sender.is_unfinished() { self.prober.due(&self.settings.keepalive) } else { None }
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
                Some(self.say(now, una.wrapping_sub(1), ACK))
            }
            Step::GiveUp => {
                self.abort((self.phase != Phase::Over).then_some(Error::TimedOut));
                None
            }
        }
    }
}
