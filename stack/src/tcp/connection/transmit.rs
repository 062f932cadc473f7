//! What leaves a connection: data as the sending side plans it, and what smoltcp says: handshakes, acknowledgements and
//! resets.

use super::{Connection, Phase};
use crate::error::Error;
use crate::net::ethernet;
use crate::tcp::adapter::{Adapter, Outbound, Panicked, State};
use crate::tcp::segment::{self, ACK, FIN, PSH, RST, SYN, Segment, distance};
use crate::tcp::sender::{Piece, Plan};
use crate::time::Instant;

impl Connection {
    /// The next segment to send, if any, and whether the application should look.
    pub(crate) fn outbound(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
    ) -> Result<(Option<Outbound>, bool), Panicked> {
        if self.dead {
            return Ok((None, false));
        }
        if self.only_data && self.phase == Phase::Open && self.sender.waits_for_more() {
            return Ok((None, false));
        }
        let before = self.standing();
        if before.state != State::Closed && self.gives_up_at().is_some_and(|at| at <= now) {
            let why = self.said.unwrap_or(Error::TimedOut);
            self.abort((self.phase != Phase::Over).then_some(why));
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
        if out.is_none() && self.may_speak() {
            out = self.data(adapter, now)?;
        }
        if out.is_none() {
            out = self.egress(adapter, now)?;
        }
        if out.is_none() && self.may_speak() && self.acks.is_due(now) {
            out = Some(self.acknowledge(now));
        }
        self.follow(before.state, None);
        Ok((out, before != self.standing()))
    }

    /// When [`outbound`](Self::outbound) is due again.
    pub(crate) fn poll_at(&mut self, adapter: &mut Adapter, now: Instant) -> Option<Instant> {
        if self.dead {
            return None;
        }
        let gives_up = self.gives_up_at().filter(|_| self.tcb.has_peer());
        let data = self.may_speak().then(|| match self.sender.plan(now) {
            Plan::Wait(until) => [self.sender.poll_timeout(), until],
            // It is held back for the rest of a super-frame.
            Plan::Send(_) | Plan::Ask | Plan::Tell => [Some(now), None],
        });
        let acknowledges = self.acks.due().filter(|_| self.may_speak());
        let rests = self.rest(now);
        let others = [
            self.tcb.poll_at(adapter, now),
            gives_up,
            self.asks_at(),
            self.says_syn_at(),
            acknowledges,
            rests,
        ];
        others.into_iter().chain(data.into_iter().flatten()).flatten().min()
    }

    /// Whether the two sides may be spoken for: between the handshake and the end.
    pub(super) fn may_speak(&self) -> bool {
        self.established && self.tcb.state() != State::Closed
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
                Ok(Some(self.say(now, self.sender.una().wrapping_sub(1), ACK)))
            }
            Plan::Tell => {
                self.sender.told();
                Ok(Some(self.acknowledge(now)))
            }
            Plan::Wait(_) => Ok(None),
        }
    }

    /// Puts a piece of the stream into a frame.
    fn piece(&mut self, adapter: &mut Adapter, now: Instant, piece: &Piece) -> Result<Outbound, Panicked> {
        if piece.fin && !piece.again {
            // smoltcp believes that its own has left.
            self.tcb.close();
            self.tcb.egress(adapter, now).map_err(|panicked| self.broke(panicked))?;
        }
        let flags = ACK | if piece.fin { FIN } else { 0 } | if piece.push { PSH } else { 0 };
        let mut frame = self.compose(now, self.sender.seq(piece.start), flags, piece.len);
        let payload = &mut frame.bytes_mut()[self.front() + self.header_len()..];
        let copied = self.outgoing.copy(self.sender.offset(piece.start), payload);
        debug_assert_eq!(copied, piece.len, "what is to be sent is in the ring");
        let mss = self.sender.mss();
        let segment_size = if piece.len > mss { u16::try_from(mss).ok() } else { None };
        self.sender.sent(now, piece);
        let out = Outbound { frame, segment_size, again: piece.again };
        self.left(now, &out);
        if piece.len > 0 {
            self.acks.answered(now);
        }
        Ok(out)
    }

    /// An acknowledgement at once, with what waits behind a gap and what came twice.
    pub(super) fn acknowledge(&mut self, now: Instant) -> Outbound {
        let selective = self.guard.offer().is_some_and(|offer| offer.selective);
        let (blocks, count) = if selective { self.receiver.blocks() } else { Default::default() };
        // There is no room for all four beside timestamps.
        let blocks = &blocks[..count.min(segment::blocks_beside(self.stamps.len()))];
        let mut frame = self.compose(now, self.sender.next(), ACK, segment::sack_len(blocks.len()));
        segment::add_sack(&mut frame.bytes_mut()[self.front()..], blocks);
        let out = Outbound::new(frame);
        self.left(now, &out);
        out
    }

    /// What smoltcp has to say: SYNs and resets. What it acknowledges, and ends, is not its to say.
    fn egress(&mut self, adapter: &mut Adapter, now: Instant) -> Result<Option<Outbound>, Panicked> {
        let Some(mut out) = self.tcb.egress(adapter, now).map_err(|panicked| self.broke(panicked))? else {
            return Ok(None);
        };
        let Some(seg) = self.dress(now, &mut out) else { return Ok(None) };
        let news = if seg.has(SYN) { self.says_syn(now, &out, &seg) } else { true };
        if !news || (self.established && !seg.has(RST)) {
            return Ok(None);
        }
        self.left(now, &out);
        Ok(Some(out))
    }

    /// Gives what smoltcp says the numbers and the windows of the two sides, of which it does not know.
    pub(super) fn dress(&self, now: Instant, out: &mut Outbound) -> Option<Segment> {
        let seg = self.parse(out)?;
        let stamped = seg.has(SYN) && self.stamps.are_offered(seg.has(ACK));
        if stamped {
            out.frame.set_len(out.frame.len() + segment::TIMESTAMPS_LEN);
        }
        let bytes = &mut out.frame.bytes_mut()[self.front()..];
        if seg.has(SYN) {
            segment::set_offer(bytes, &seg, self.receiver.first_window(), self.guard.offered_shift());
            if let Some(most) = self.settings.max_segment {
                segment::limit_mss(bytes, &seg, most);
            }
            if stamped {
                self.stamps.write(now, bytes);
            }
        } else if seg.has(RST) && self.established {
            segment::set_seq(bytes, self.sender.next());
            if seg.has(ACK) {
                segment::set_ack(bytes, self.expected()?);
            }
        }
        Segment::parse(bytes)
    }

    /// Notes what a leaving segment says.
    pub(super) fn left(&mut self, now: Instant, out: &Outbound) {
        if let Some(seg) = self.parse(out) {
            self.acks.left(now);
            self.guard.outbound(&seg);
            self.traffic.sent.add(seg.payload_len, self.segment_size());
        }
    }

    /// Bytes that are left of the window that was offered last.
    pub(super) fn window_left(&self) -> usize {
        self.expected().map_or(0, |next| distance(next, self.edge(next)))
    }

    /// Where the TCP header stands in a frame.
    pub(super) fn front(&self) -> usize {
        ethernet::HEADER_LEN + self.tcb.path().header_len()
    }

    fn parse(&self, out: &Outbound) -> Option<Segment> {
        Segment::parse(out.frame.bytes().get(self.front()..)?)
    }
}
