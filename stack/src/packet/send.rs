//! How packet endpoints send: whole frames, or what goes behind an Ethernet header.

use super::{Way, framing};
use crate::engine::endpoint::{EndpointId, Framing};
use crate::engine::{Engine, Transmit};
use crate::error::Error;
use crate::link::Frame;
use crate::net::ethernet;
use crate::net::mac::Mac;
use crate::net::route::InterfaceId;
use crate::time::Instant;

/// Where a frame is to go: `sockaddr_ll` of packet(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTo {
    /// The interface.
    pub interface: InterfaceId,
    /// The Ethernet type, where the frame does not say it.
    pub protocol: u16,
    /// The station, where the frame does not say it.
    pub station: Mac,
}

/// Ethernet type of a tag (IEEE 802.1Q), which makes a frame longer by so many bytes.
const TAG: u16 = 0x8100;
const TAG_LEN: usize = 4;

impl Engine {
    /// Sends a frame as it is, or what goes behind its header; without `to` over the interface that the endpoint is bound to.
    ///
    /// # Errors
    /// [`Error::NoSuchDevice`], [`Error::NetworkDown`] (it is down, or its link is gone), [`Error::MessageTooLong`], [`Error::Invalid`]
    /// (shorter than a header, or nothing says which station is meant), [`Error::NotSupported`] (no packet endpoint).
    pub fn send_frame(
        &mut self,
        now: Instant,
        id: EndpointId,
        data: &[u8],
        to: Option<FrameTo>,
    ) -> Result<usize, Error> {
        let framing = framing(self.endpoint(id)?.kind);
        let bound = self.tap(id)?.interface;
        let interface = to.map(|to| to.interface).or(bound).ok_or(Error::NoSuchDevice)?;
        let own = self.interfaces.get(interface.place()).filter(|own| !own.removed);
        let own = own.ok_or(Error::NoSuchDevice)?;
        if !own.is_running() {
            return Err(Error::NetworkDown);
        }
        let mtu = usize::from(own.mtu);
        let (header, payload) = match framing {
            Framing::Frames => {
                let header = ethernet::Header::parse(data);
                let tag = if header.is_some_and(|header| header.ethertype == TAG) { TAG_LEN } else { 0 };
                if data.len() > mtu + ethernet::HEADER_LEN + tag {
                    return Err(Error::MessageTooLong);
                }
                (header.ok_or(Error::Invalid)?, &data[ethernet::HEADER_LEN..])
            }
            Framing::Payloads => {
                if data.len() > mtu {
                    return Err(Error::MessageTooLong);
                }
                let to = to.ok_or(Error::Invalid)?;
                let FrameTo { station: destination, protocol: said, .. } = to;
                (ethernet::Header { destination, source: own.mac, ethertype: said }, data)
            }
        };
        let len = ethernet::HEADER_LEN + payload.len();
        let mut frame = Frame::with_capacity(len);
        frame.set_len(len);
        let bytes = frame.bytes_mut();
        header.emit(bytes);
        bytes[ethernet::HEADER_LEN..].copy_from_slice(payload);
        self.show(now, interface, &frame, Way::Out, Some(id));
        self.counters.frames_out += 1;
        self.packets.send(Transmit { interface, frame });
        Ok(data.len())
    }
}
