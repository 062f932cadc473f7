//! The calls that move data, none of which waits.

use std::net::SocketAddr;

use super::calls::{canonical, present, wildcard, with_scope};
use super::endpoint::{EndpointId, Kind, Received};
use super::ip_options::DatagramOptions;
use super::{Engine, Role};
use crate::error::Error;
use crate::time::Instant;

impl Engine {
    /// Queues stream data, as send(2). Returns how much was taken, at least one byte.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] while there is no room, [`Error::BrokenPipe`] when sending is over or was never
    /// possible, what ended the connection (once).
    pub fn send(&mut self, now: Instant, id: EndpointId, data: &[u8]) -> Result<usize, Error> {
        if matches!(self.endpoint(id)?.role, Role::Datagram(_)) {
            return self.send_to(now, id, data, None);
        }
        let sent = self.stream_mut(id, Error::BrokenPipe)?.send(now, data)?;
        self.want_transmit_data(id);
        Ok(sent)
    }

    /// Lets `f` fill a contiguous free part of the send ring and say how much it wrote.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with(
        &mut self,
        now: Instant,
        id: EndpointId,
        f: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize, Error> {
        let sent = self.stream_mut(id, Error::BrokenPipe)?.send_with(now, f)?;
        self.want_transmit_data(id);
        Ok(sent)
    }

    /// Marks the last byte that was sent as urgent, as send(2) with `MSG_OOB`: the peer is told so at once (RFC 9293
    /// section 3.8.5). A later mark takes the place of an earlier one.
    ///
    /// # Errors
    /// [`Error::BrokenPipe`] without a connection.
    pub fn mark_urgent(&mut self, id: EndpointId) -> Result<(), Error> {
        self.stream_mut(id, Error::BrokenPipe)?.mark_urgent();
        self.want_transmit(id);
        Ok(())
    }

    /// Says whether part of a segment waits for what is sent next, 200 ms at most, as send(2) with `MSG_MORE`; what is
    /// sent without takes that back.
    ///
    /// # Errors
    /// [`Error::BrokenPipe`] without a connection.
    pub fn set_more(&mut self, id: EndpointId, more: bool) -> Result<(), Error> {
        self.stream_mut(id, Error::BrokenPipe)?.set_more(more);
        Ok(())
    }

    /// Takes stream data, as recv(2). 0 is the end of the stream.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] while there is none, [`Error::NotConnected`], what ended the connection (once).
    pub fn recv(&mut self, now: Instant, id: EndpointId, buffer: &mut [u8]) -> Result<usize, Error> {
        let received = self.stream_mut(id, Error::NotConnected)?.recv(now, buffer)?;
        self.want_transmit(id);
        Ok(received)
    }

    /// Copies stream data and leaves it there, as recv(2) with `MSG_PEEK`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn peek(&mut self, id: EndpointId, buffer: &mut [u8]) -> Result<usize, Error> {
        self.stream_mut(id, Error::NotConnected)?.peek(buffer)
    }

    /// Lets `f` take from the contiguous front of the receive ring and say how much it took. 0 without a
    /// call of `f` is the end of the stream.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_with(
        &mut self,
        now: Instant,
        id: EndpointId,
        f: impl FnOnce(&[u8]) -> usize,
    ) -> Result<usize, Error> {
        let received = self.stream_mut(id, Error::NotConnected)?.recv_with(now, f)?;
        self.want_transmit(id);
        Ok(received)
    }

    /// Sends a datagram, as sendto(2); without `to` it goes to the peer of connect.
    ///
    /// # Errors
    /// [`Error::DestinationRequired`], [`Error::MessageTooLong`] (no packet is so long, not even one in fragments),
    /// [`Error::AccessDenied`] (broadcast without permission), [`Error::NetworkUnreachable`], an error that
    /// the network reported earlier (once).
    pub fn send_to(
        &mut self,
        now: Instant,
        id: EndpointId,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Error> {
        self.send_message(now, id, data, to, &DatagramOptions::default())
    }

    /// The same with what this datagram has instead of the options of the endpoint, as sendmsg(2). A stream has no use for it.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), [`Error::NetworkUnreachable`] and for IPv6 [`Error::Invalid`] (the source is no address
    /// of this stack), [`Error::NoInterface`].
    pub fn send_message(
        &mut self,
        now: Instant,
        id: EndpointId,
        data: &[u8],
        to: Option<SocketAddr>,
        own: &DatagramOptions,
    ) -> Result<usize, Error> {
        let endpoint = self.endpoint_mut(id)?;
        let (family, kind) = (endpoint.family, endpoint.kind);
        let v6_only = endpoint.is_v6_only();
        let Role::Datagram(datagram) = &endpoint.role else { return self.send(now, id, data) };
        if datagram.write_shutdown {
            return Err(Error::BrokenPipe);
        }
        if let Some(error) = endpoint.error.take() {
            return Err(error);
        }
        if matches!(kind, Kind::Packet(_)) {
            return self.send_frame(now, id, data, None);
        }
        let peer = datagram.peer;
        let to = match to {
            Some(to) => with_scope(canonical(family, v6_only, to)?, &to),
            None => peer.ok_or(Error::DestinationRequired)?,
        };
        if to.port() == 0 && kind == Kind::Datagram {
            return Err(Error::Invalid);
        }
        self.bind_if_unbound(id)?;
        self.send_datagram(now, id, data, to, own)
    }

    /// Takes the next datagram, or looks at it, as recvfrom(2).
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if there is none, an error that the network reported (once).
    pub fn recv_from(&mut self, id: EndpointId, buffer: &mut [u8], peek: bool) -> Result<Received, Error> {
        let endpoint = self.endpoint_mut(id)?;
        let family = endpoint.family;
        if let Some(error) = endpoint.error.take() {
            return Err(error);
        }
        let Role::Datagram(datagram) = &mut endpoint.role else { return Err(Error::NotSupported) };
        match datagram.recv(buffer, peek) {
            Some(received) => Ok(Received { from: present(family, received.from), ..received }),
            None if datagram.read_shutdown => {
                Ok(Received { copied: 0, len: 0, from: wildcard(family), arrival: None })
            }
            None => Err(Error::WouldBlock),
        }
    }
}
