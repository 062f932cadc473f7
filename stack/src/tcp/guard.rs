//! What stands between the wire and a connection: who may reset it, acknowledge for it, or start it, and what was told to
//! the peer. What gets past it is the peer's, or somebody's who sees its segments.

use super::segment::{ACK, Offer, RST, SYN, Segment, after};

/// What to do with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Hand it on.
    Pass,
    /// Drop it silently.
    Drop,
    /// Drop it, and acknowledge what is there, so that an honest sender shows that it knows the exact numbers.
    Challenge,
}

/// What the guard of one connection remembers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    /// Bytes of the largest window.
    capacity: u32,
    /// Scale of the windows we advertise, 0 until both sides have offered scaling.
    shift: u8,
    /// The scale we offer.
    offered_shift: u8,
    /// Sequence number of the peer's SYN.
    irs: Option<u32>,
    /// Whether our SYN or SYN-ACK has left.
    syn_left: bool,
    /// Whether the last segment that left had no SYN.
    synchronized: bool,
    /// End of what left so far, in our sequence space.
    sent: Option<u32>,
    /// The last acknowledgement that left.
    acknowledged: Option<u32>,
    /// Right edge of the window we advertised, in the peer's sequence space.
    edge: Option<u32>,
    /// What the peer said in its SYN.
    offer: Option<Offer>,
    v6: bool,
    /// The largest window that it ever offered, in bytes (MAX.SND.WND of RFC 5961 section 5.2).
    largest_offered: u32,
}

impl Guard {
    /// The guard of a fresh connection that never offers more than `capacity` bytes.
    pub(crate) fn new(capacity: usize, v6: bool) -> Self {
        // RFC 7323 section 2.3.
        let bits = usize::BITS - capacity.leading_zeros();
        Self {
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
            shift: 0,
            offered_shift: u8::try_from(bits.saturating_sub(16)).map_or(14, |shift| shift.min(14)),
            irs: None,
            syn_left: false,
            synchronized: false,
            sent: None,
            acknowledged: None,
            edge: None,
            offer: None,
            v6,
            largest_offered: 0,
        }
    }

    /// Looks at a segment from the peer. `next` is the sequence number that is expected next (RCV.NXT), `una` the one that is
    /// to be acknowledged next (SND.UNA), as far as there are any.
    pub(crate) fn inbound(
        &mut self,
        bytes: &[u8],
        seg: &Segment,
        next: Option<u32>,
        una: Option<u32>,
    ) -> Verdict {
        if let Some(next) = next
            && self.sent.is_some()
            && (seg.has(RST) || (seg.has(SYN) && self.synchronized))
        {
            // RFC 5961 sections 3.2 and 4.2: the sender has to show that it knows the exact number.
            return if seg.has(RST) && !seg.has(SYN) && seg.seq == next {
                Verdict::Pass
            } else {
                self.challenge(seg, next)
            };
        }
        if seg.has(SYN) {
            // smoltcp subtracts past zero when it hears a bare SYN before its own has left.
            if !self.syn_left && self.irs.is_none() && self.sent.is_some() {
                return Verdict::Drop;
            }
            // RFC 9293 section 3.10.7.3: a SYN-ACK of something else teaches nothing.
            let acceptable = !seg.has(ACK) || self.sent == Some(seg.ack);
            if self.irs.is_none() && !seg.has(RST) && acceptable {
                self.irs = Some(seg.seq);
                let offer = Offer::parse(bytes, seg, self.v6);
                if offer.shift.is_some() {
                    self.shift = self.offered_shift;
                }
                self.offer = Some(offer);
                self.largest_offered = seg.window.into();
            }
            return Verdict::Pass;
        }
        // RFC 9293 section 3.10.7.4: an acknowledgement of what was never sent is not acceptable.
        if seg.has(ACK)
            && let Some(sent) = self.sent
            && self.irs.is_some()
            && after(seg.ack, sent)
            && self.synchronized
            && !seg.has(RST)
        {
            return Verdict::Drop;
        }
        if let (Some(next), Some(una)) = (next, una)
            && !self.acknowledges(seg, next, una)
        {
            return Verdict::Challenge;
        }
        Verdict::Pass
    }

    /// Follows what the segment acknowledges and offers. False if it is older than any honest one (RFC 5961 section 5.2).
    fn acknowledges(&mut self, seg: &Segment, next: u32, una: u32) -> bool {
        if !seg.has(ACK) || seg.has(RST) {
            return true;
        }
        if after(una, seg.ack) {
            return una.wrapping_sub(seg.ack) <= self.largest_offered;
        }
        if self.is_in_window(seg, next) && self.sent.is_some_and(|sent| !after(seg.ack, sent)) {
            self.largest_offered = self.largest_offered.max(u32::from(seg.window) << self.peer_shift());
        }
        true
    }

    /// Whether a segment is one of the peer's of late: in the window, or overtaken by others. Its acknowledgement counts
    /// (RFC 9293 section 3.10.7.4; as Linux, which looks from the edge of the window it gave last).
    pub(crate) fn is_recent(&self, seg: &Segment, next: u32) -> bool {
        // Behind the byte of a probe when the window is closed, too.
        self.is_in_window(seg, next) || next.wrapping_add(1).wrapping_sub(seg.seq) <= self.capacity
    }

    /// Whether some of a segment lies in the window (RFC 9293 section 3.10.7.4, the table of acceptability).
    pub(crate) fn is_in_window(&self, seg: &Segment, next: u32) -> bool {
        let edge = self.edge.unwrap_or_else(|| next.wrapping_add(self.capacity.min(65_535)));
        let begins = !after(next, seg.seq) && (after(edge, seg.seq) || seg.seq == next);
        begins || (after(seg.end(), next) && !after(seg.seq, next))
    }

    /// What lies outside the window, or carries data, is not worth an answer.
    fn challenge(&self, seg: &Segment, next: u32) -> Verdict {
        if seg.payload_len > 0 || (seg.has(RST) && seg.seq.wrapping_sub(next) > self.capacity) {
            Verdict::Drop
        } else {
            Verdict::Challenge
        }
    }

    /// What the peer said in its SYN, once it has.
    pub(crate) const fn offer(&self) -> Option<Offer> {
        self.offer
    }

    /// Scale of the peer's windows, 0 until both sides have offered scaling.
    fn peer_shift(&self) -> u8 {
        self.offer.and_then(|offer| offer.shift).unwrap_or(0)
    }

    /// Sequence number of the peer's SYN.
    pub(crate) const fn irs(&self) -> Option<u32> {
        self.irs
    }

    /// End of what left so far, in our sequence space.
    pub(crate) const fn sent(&self) -> Option<u32> {
        self.sent
    }

    /// The last acknowledgement that left.
    pub(crate) const fn acknowledged(&self) -> Option<u32> {
        self.acknowledged
    }

    /// Where the window that we gave ends, in the peer's sequence space.
    pub(crate) const fn edge(&self) -> Option<u32> {
        self.edge
    }

    /// How the windows are scaled that we give in anything but a SYN, and how we offer to.
    pub(crate) const fn shift(&self) -> u8 {
        self.shift
    }

    pub(crate) const fn offered_shift(&self) -> u8 {
        self.offered_shift
    }

    /// Notes that a connect was started: the SYN has yet to leave.
    pub(crate) fn connecting(&mut self, isn: u32) {
        self.sent = Some(isn);
    }

    /// Notes a segment that leaves.
    pub(crate) fn outbound(&mut self, seg: &Segment) {
        if seg.has(RST) {
            return;
        }
        let end = seg.end();
        if self.sent.is_none_or(|sent| after(end, sent)) {
            self.sent = Some(end);
        }
        let syn = seg.has(SYN);
        self.synchronized = !syn;
        self.syn_left |= syn;
        if seg.has(ACK) {
            // RFC 7323 section 2.2: in a SYN-ACK it is not scaled.
            let shift = if syn { 0 } else { self.shift };
            self.acknowledged = Some(seg.ack);
            // What is lost by the scale is not taken back.
            let edge = seg.ack.wrapping_add(u32::from(seg.window) << shift);
            if self.edge.is_none_or(|before| after(edge, before)) {
                self.edge = Some(edge);
            }
        }
    }
}
