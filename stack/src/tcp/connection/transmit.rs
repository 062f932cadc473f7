//! What leaves a connection: data as the sending side plans it, and what smoltcp says: handshakes, acknowledgements and
//! resets.

use super::{Connection, Phase};
use crate::error::Error;
use crate::net::ethernet;
use crate::tcp::adapter::{Adapter, Outbound, Panicked, State};
use crate::tcp::delay::ACK_DELAY;
use crate::tcp::segment::{self, ACK, FIN, PSH, RST, SYN, Segment};
use crate::tcp::sender::{Piece, Plan};
use crate::time::Instant;

impl Connection {
    /// The next segment to send, if any, and whether the application should look.
    pub(crate) fn outbound(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
    ) -> Result<(Option<Outbound>, bool), Panicked> {
        if self.dead || self.is_resting() {
            return Ok((None, false));
        }
        if self.only_data && self.phase == Phase::Open && self.sender.waits_for_more() {
            return Ok((None, false));
        }
        let before = self.standing();
        if before.state != State::Closed && self.gives_up_at().is_some_and(|at| at <= now) {
            self.abort((self.phase != Phase::Over).then_some(Error::TimedOut));
            // As Linux, without a word: what the peer still sends is answered with a reset.
            self.dead |= match before.state {
                State::FinWait2 => self.settings.fin_timeout.is_some(),
                state => state == State::SynReceived,
            };
        }
        if self.dead {
            return Ok((None, before != self.standing()));
        }
        let mut out = self.ask_if_silent(now).or_else(|| self.say_syn_again(now));
        if out.is_none() && self.may_send_data() {
            out = self.data(adapter, now)?;
        }
        if out.is_none() {
            out = self.egress(adapter, now)?;
        }
        // smoltcp may still wait.
        if out.is_none() && self.acks.take_at_once() && self.expected() != self.guard.acknowledged() {
            out = Some(self.say_what_waits(adapter, now)?);
        }
        self.follow(before.state, None);
        Ok((out, before != self.standing()))
    }

    /// When [`outbound`](Self::outbound) is due again.
    pub(crate) fn poll_at(&mut self, adapter: &mut Adapter, now: Instant) -> Option<Instant> {
        if self.dead || self.is_resting() {
            return None;
        }
        let gives_up = self.gives_up_at().filter(|_| self.tcb.has_peer());
        let data = self.may_send_data().then(|| match self.sender.plan(now) {
            Plan::Wait(until) => [self.sender.poll_timeout(), until],
            // It is held back for the rest of a super-frame.
            Plan::Send(_) | Plan::Ask | Plan::Tell => [Some(now), None],
        });
        let others = [self.tcb.poll_at(adapter, now), gives_up, self.asks_at(), self.says_syn_at()];
        others.into_iter().chain(data.into_iter().flatten()).flatten().min()
    }

    /// Whether the sending side has anything to do: between the handshake and the end.
    fn may_send_data(&self) -> bool {
        self.established && self.tcb.state() != State::Closed
    }

    /// smoltcp forgets unread data when TIME-WAIT ends, so it does not end before the data was taken. The
    /// peer's FIN is acknowledged first.
    fn is_resting(&self) -> bool {
        let unread = self.tcb.recv_queue() > 0 && !self.orphan;
        unread && self.tcb.state() == State::TimeWait && self.has_acknowledged_fin()
    }

    /// Asks for a transmission: for new data alone, or for whatever there is.
    pub(crate) const fn ask(&mut self, only_data: bool) {
        // A request for whatever there is stays one until it was served.
        self.only_data = only_data && (self.only_data || !self.listed);
        self.listed = true;
    }

    /// What the sending side has to say.
    fn data(&mut self, adapter: &mut Adapter, now: Instant) -> Result<Option<Outbound>, Panicked> {
        if self.sender.handle_timeout(now) {
            self.suspect_path();
        }
        match self.sender.plan(now) {
            Plan::Send(piece) => self.piece(adapter, now, &piece).map(Some),
            Plan::Ask => {
                self.sender.asked(now);
                Ok(Some(self.say(self.sender.una().wrapping_sub(1), ACK)))
            }
            Plan::Tell => {
                self.sender.told();
                self.say_what_waits(adapter, now).map(Some)
            }
            Plan::Wait(_) => Ok(None),
        }
    }

    /// Puts a piece of the stream into a frame.
    fn piece(&mut self, adapter: &mut Adapter, now: Instant, piece: &Piece) -> Result<Outbound, Panicked> {
        if piece.fin && !piece.again {
            self.tcb.close();
        }
        self.acknowledge_along(adapter, now, piece.fin)?;
        let flags = ACK | if piece.fin { FIN } else { 0 } | if piece.push { PSH } else { 0 };
        let mut frame = self.compose(self.sender.seq(piece.start), flags, piece.len);
        let payload = &mut frame.bytes_mut()[self.front() + segment::HEADER_LEN..];
        self.tcb.copy_queued(self.sender.offset(piece.start), payload);
        let mss = self.sender.mss();
        let segment_size = if piece.len > mss { u16::try_from(mss).ok() } else { None };
        self.sender.sent(now, piece);
        let out = Outbound { frame, segment_size, again: piece.again };
        self.left(now, &out, false);
        if piece.len > 0 {
            self.acks.answered(now);
        }
        Ok(out)
    }

    /// What is to be acknowledged goes along with data: smoltcp hands out what it would say, and takes it for said.
    fn acknowledge_along(&mut self, adapter: &mut Adapter, now: Instant, fin: bool) -> Result<(), Panicked> {
        if !fin && self.expected() == self.guard.acknowledged() {
            return Ok(());
        }
        // By then its patience with an acknowledgement is over.
        let said = self.tcb.egress(adapter, now + ACK_DELAY).map_err(|panicked| self.broke(panicked))?;
        if let Some(seg) = said.and_then(|said| self.parse(&said)) {
            // It knows neither the numbers of the sending side nor when a FIN is due.
            let seg = Segment { seq: self.sender.next(), flags: seg.flags & !FIN, ..seg };
            self.note(now, &seg, true);
        }
        Ok(())
    }

    /// An acknowledgement at once, with what waits behind a gap and what arrived twice.
    pub(super) fn say_what_waits(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
    ) -> Result<Outbound, Panicked> {
        self.acknowledge_along(adapter, now, false)?;
        let mut out = self.say(self.sender.next(), ACK);
        self.label(&mut out);
        self.left(now, &out, false);
        Ok(out)
    }

    /// What smoltcp has to say.
    fn egress(&mut self, adapter: &mut Adapter, now: Instant) -> Result<Option<Outbound>, Panicked> {
        let Some(mut out) = self.tcb.egress(adapter, now).map_err(|panicked| self.broke(panicked))? else {
            return Ok(None);
        };
        let mut news = self.label(&mut out);
        if let Some(seg) = self.parse(&out)
            && seg.has(SYN)
        {
            news = self.says_syn(now, &out, &seg);
        }
        self.left(now, &out, true);
        Ok(news.then_some(out))
    }

    /// Gives what smoltcp says the numbers of the sending side, of which it does not know, and the selective
    /// acknowledgements, of which it knows a part. A FIN is not its to send. False if it says nothing that has not been
    /// said.
    pub(super) fn label(&mut self, out: &mut Outbound) -> bool {
        let Some(seg) = self.parse(out) else { return true };
        let at = self.front();
        if seg.has(SYN)
            && let Some(most) = self.settings.max_segment
        {
            segment::limit_mss(&mut out.frame.bytes_mut()[at..], &seg, most);
        }
        if seg.has(SYN) || !self.established {
            return true;
        }
        if seg.has(RST) {
            segment::set_seq(&mut out.frame.bytes_mut()[at..], self.sender.next());
            return true;
        }
        let selective = self.guard.offer().is_some_and(|offer| offer.selective);
        let (blocks, count) = if selective { self.received.blocks() } else { Default::default() };
        let len = segment::sack_len(count);
        out.frame.set_len(at + segment::HEADER_LEN + len);
        let bytes = &mut out.frame.bytes_mut()[at..];
        let (local, remote) = (self.tuple.local_port, self.tuple.remote_port);
        let seq = self.sender.next();
        segment::emit(bytes, local, remote, seq, seg.ack, ACK, seg.window);
        segment::set_sack(bytes, &blocks[..count]);
        self.point_at_urgent(bytes, seq);
        let (acknowledged, window) = self.guard.advertised();
        acknowledged != Some(seg.ack) || window != seg.window || count > 0
    }

    /// Notes what a leaving segment says, one of smoltcp's or one of ours.
    pub(super) fn left(&mut self, now: Instant, out: &Outbound, smoltcps: bool) {
        if let Some(seg) = self.parse(out) {
            self.note(now, &seg, smoltcps);
        }
    }

    fn note(&mut self, now: Instant, seg: &Segment, smoltcps: bool) {
        self.acks.left(now);
        self.guard.outbound(seg, smoltcps);
    }

    /// Where the TCP header stands in a frame.
    pub(super) fn front(&self) -> usize {
        ethernet::HEADER_LEN + self.tcb.path().header_len()
    }

    fn parse(&self, out: &Outbound) -> Option<Segment> {
        Segment::parse(out.frame.bytes().get(self.front()..)?)
    }
}
