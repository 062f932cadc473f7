//! Datagrams in fragments: those that arrive are put together, those that are too long leave so.

use super::Engine;
use super::output::Outgoing;
use crate::link::Frame;
use crate::net::icmp_error::Complaint;
use crate::net::ip::{self, Malformed, Marks, Packet, Part};
use crate::net::reassembly::{Fragment, Outcome};
use crate::net::route::InterfaceId;
use crate::net::{ethernet, extension};
use crate::time::Instant;

impl Engine {
    /// Takes in a fragment, and what it completes.
    pub(super) fn handle_fragment(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        part: Part,
        frame: &Frame,
        to_one: bool,
    ) {
        self.counters.reassembly_requests += 1;
        let frame = frame.bytes();
        let v6 = packet.source.is_ipv6();
        if v6
            && let Err(problem) = extension::check_fragment(
                &frame[packet.header..packet.end],
                packet.payload - packet.header,
                packet.protocol,
                part,
            )
        {
            self.refuse_packet(now, interface, frame, to_one, Malformed::Problem(*packet, problem));
            return;
        }
        let waiting = &mut self.reassembly[usize::from(v6)];
        let outcome = waiting.insert(now, &Fragment { packet, part, frame, interface, to_one });
        self.counters.reassembly_fails += waiting.take_evicted();
        match outcome {
            Outcome::Kept => {}
            Outcome::Failed => self.counters.reassembly_fails += 1,
            Outcome::Whole(datagram) => {
                self.counters.reassembly_oks += 1;
                let to_one = datagram.to_one;
                let Some(frame) = datagram.into_frame() else { return };
                match Packet::parse(frame.bytes()) {
                    // No sender: Neighbour Discovery does not come in fragments (RFC 6980 section 5).
                    Ok(whole) if whole.part.is_none() => {
                        self.dispatch(now, interface, &whole, &frame, to_one, None);
                    }
                    // A fragment in fragments.
                    Ok(_) => self.counters.malformed += 1,
                    Err(malformed) => self.refuse_packet(now, interface, frame.bytes(), to_one, malformed),
                }
            }
        }
    }

    /// Sends `len` bytes of a transport protocol, written by `fill`, in fragments of at most `mtu` bytes.
    pub(super) fn send_fragments(
        &mut self,
        now: Instant,
        packet: Outgoing,
        marks: Marks,
        mtu: usize,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let Outgoing { hop, source, destination, protocol, .. } = packet;
        let mut whole = Frame::with_capacity(len);
        whole.set_len(len);
        fill(whole.bytes_mut());
        self.count_sent(protocol, whole.bytes());
        // The sum is that of the whole, and no link completes it.
        marks.summing.write(source, destination, protocol, whole.bytes_mut());
        let identification = self.identifications.next(&self.secret, source, destination);
        let header = ip::fragment_header_len(destination);
        // Parts are counted in words of eight bytes.
        let room = (mtu.saturating_sub(header) & !7).max(8);
        let front = ethernet::HEADER_LEN + header;
        for (at, data) in whole.bytes().chunks(room).enumerate() {
            let offset = at * room;
            let mut frame = Frame::with_capacity(front + data.len());
            frame.set_len(front + data.len());
            let bytes = frame.bytes_mut();
            bytes[front..].copy_from_slice(data);
            let part = Part {
                offset: u16::try_from(offset).unwrap_or(u16::MAX),
                more: offset + data.len() < len,
                identification,
                named_at: 0,
            };
            ip::emit_fragment(
                &mut bytes[ethernet::HEADER_LEN..],
                source,
                destination,
                protocol,
                (marks.ttl, part),
            );
            if marks.tos != 0 {
                marks.write(&mut bytes[ethernet::HEADER_LEN..], 0);
            }
            self.counters.fragment_creates += 1;
            self.transmit_packet(now, hop, frame);
        }
        self.counters.fragment_oks += 1;
    }

    /// Gives up datagrams whose time is over, and says so to the sender if there is something to quote: the first
    /// fragment (RFC 1122 section 3.3.2, RFC 8200 section 4.5).
    pub(super) fn expire_fragments(&mut self, now: Instant) {
        for family in 0..self.reassembly.len() {
            while let Some(datagram) = self.reassembly[family].expire(now) {
                self.counters.reassembly_timeouts += 1;
                self.counters.reassembly_fails += 1;
                if let Some((packet, frame)) = datagram.first().filter(|_| datagram.to_one) {
                    self.complain(now, datagram.interface, &packet, &frame, Complaint::ReassemblyTime);
                }
            }
        }
    }
}
