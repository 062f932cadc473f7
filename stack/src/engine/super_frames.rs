//! Datagrams of UDP in super-frames: what one call sends leaves as one frame where the link takes it, and what arrives as
//! one frame is cut only for sockets that do not want it whole (`UDP_SEGMENT` and `UDP_GRO` of udp(7)).
//!
//! The length in the UDP header of such a frame is that of all of its datagrams, and its checksum is always unfinished.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use super::endpoint::{Arrival, EndpointId};
use super::output::Outgoing;
use super::{Endpoint, Engine};
use crate::link::split::split;
use crate::link::{Frame, MAX_DATAGRAMS, MAX_SUPER_FRAME, SegmentKind, Segmentation};
use crate::net::ip::{self, Marks};
use crate::net::{checksum, ethernet};
use crate::raw::Summing;
use crate::time::Instant;

/// Length of the UDP header.
const UDP_HEADER: usize = 8;

impl Engine {
    /// Sends `len` bytes that `fill` writes, a header and data: one datagram, in fragments if it is longer than `mtu`, or
    /// with `size` several with so many bytes of the data each, which fit.
    pub(crate) fn send_datagrams(
        &mut self,
        now: Instant,
        (packet, marks): (Outgoing, Marks),
        mtu: usize,
        (len, size): (usize, Option<NonZeroU16>),
        fill: impl FnOnce(&mut [u8]),
    ) {
        let Outgoing { hop, destination, .. } = packet;
        if size.is_none() && ip::header_len(destination) + len > mtu {
            self.send_fragments(now, packet, marks, mtu, len, fill);
            return;
        }
        let frame = self.make_datagrams(packet, marks, (len, size), fill);
        let whole = self.interfaces[hop.interface.0 as usize].offload && frame.len() <= MAX_SUPER_FRAME;
        if size.is_none() || whole {
            self.transmit_packet(now, hop, frame);
            return;
        }
        for piece in split(frame) {
            self.transmit_packet(now, hop, piece);
        }
    }

    /// The frame of that; its Ethernet header is still to be written.
    pub(crate) fn make_datagrams(
        &mut self,
        packet: Outgoing,
        marks: Marks,
        (len, size): (usize, Option<NonZeroU16>),
        fill: impl FnOnce(&mut [u8]),
    ) -> Frame {
        let Outgoing { hop, source, destination, protocol, .. } = packet;
        let partial = (size.is_some() || self.interfaces[hop.interface.0 as usize].offload)
            && protocol == checksum::UDP
            && marks.summing == Summing::OfProtocol;
        let mut frame = self.make_summed(packet, marks, len, partial, fill);
        if let Some(size) = size {
            let headers = ethernet::HEADER_LEN + ip::header_len(destination) + UDP_HEADER;
            frame.segmentation = Some(Segmentation {
                kind: SegmentKind::Udp,
                size: size.get(),
                header_len: u16::try_from(headers).unwrap_or(u16::MAX),
            });
            if marks.may_be_cut {
                // Each piece has a number of its own (RFC 6864 section 4.2).
                let others = (len - UDP_HEADER).div_ceil(usize::from(size.get())) - 1;
                self.identifications.skip(&self.secret, source, destination, others);
            }
        }
        frame
    }

    /// Hands data that arrived in one frame, `size` bytes in each datagram, to an endpoint: whole or one by one.
    pub(crate) fn deliver_datagrams(
        &mut self,
        id: EndpointId,
        from: SocketAddr,
        arrival: Arrival,
        data: &[u8],
        size: Option<NonZeroU16>,
    ) {
        let Some(size) = size else {
            self.deliver(id, from, arrival, data);
            return;
        };
        let whole = |endpoint: &Endpoint| {
            endpoint.options.whole_super_frames.then_some(Arrival { size: Some(size), ..arrival })
        };
        if let Some(arrival) = self.endpoints.get(id).and_then(whole) {
            self.deliver(id, from, arrival, data);
            return;
        }
        for datagram in data.chunks(size.get().into()) {
            self.deliver(id, from, arrival, datagram);
        }
    }
}

/// How many bytes of data each of the datagrams in a frame has, if there are several. An error for what no honest sender
/// says of `len` bytes of data.
pub(crate) fn datagram_size(frame: &Frame, len: usize) -> Result<Option<NonZeroU16>, ()> {
    let Some(Segmentation { kind, size, .. }) = frame.segmentation else { return Ok(None) };
    let size = NonZeroU16::new(size).filter(|_| kind == SegmentKind::Udp).ok_or(())?;
    let each = usize::from(size.get());
    if len > each * MAX_DATAGRAMS { Err(()) } else { Ok((len > each).then_some(size)) }
}
