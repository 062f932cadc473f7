//! The calls that ask an endpoint something, and those that change its switches.

use std::net::{IpAddr, SocketAddr};

use super::calls::{present, wildcard};
use super::endpoint::{EndpointId, Options, Readiness};
use super::interface::LOOPBACK;
use super::snapshot::{State, Tcp};
use super::{Engine, Role};
use crate::datagram::scope_of;
use crate::error::Error;
use crate::net::route::InterfaceId;
use crate::tcp::connection::{Connection, Phase};
use crate::tcp::segment;
use crate::time::Instant;

impl Engine {
    /// The local address, as getsockname(2): the wildcard and port 0 while unbound.
    ///
    /// # Errors
    /// [`Error::BadEndpoint`].
    pub fn local_address(&self, id: EndpointId) -> Result<SocketAddr, Error> {
        let endpoint = self.endpoint(id)?;
        let local = match (&endpoint.role, endpoint.bound) {
            (Role::Connection(connection), _) => connection.tuple.local_address(),
            (_, None) => wildcard(endpoint.family),
            // As Linux: a connected datagram socket has the address it sends from.
            (Role::Datagram(datagram), Some((address, port))) if address.is_unspecified() => {
                let from = datagram.peer.and_then(|peer| self.route(peer.ip(), scope_of(&peer)).ok());
                SocketAddr::new(from.map_or(address, |hop| hop.source), port)
            }
            (_, Some((address, port))) => SocketAddr::new(address, port),
        };
        Ok(self.present_scoped(endpoint.family, id, local))
    }

    /// The peer's address, as getpeername(2).
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub fn peer_address(&self, id: EndpointId) -> Result<SocketAddr, Error> {
        let endpoint = self.endpoint(id)?;
        match &endpoint.role {
            Role::Connection(connection) if connection.phase == Phase::Open => {
                Ok(self.present_scoped(endpoint.family, id, connection.tuple.remote_address()))
            }
            Role::Datagram(datagram) => {
                datagram.peer.map(|peer| present(endpoint.family, peer)).ok_or(Error::NotConnected)
            }
            _ => Err(Error::NotConnected),
        }
    }

    /// Whether an endpoint hears what comes by this interface to an address: it is not bound to another
    /// (`SO_BINDTODEVICE`). As Linux: what this stack sends to itself counts as come by the interface of the address.
    pub(crate) fn hears(&self, id: EndpointId, interface: InterfaceId, destination: IpAddr) -> bool {
        let Some(device) = self.endpoints.get(id).and_then(|endpoint| endpoint.options.ip.device) else {
            return true;
        };
        let of_address = if interface == LOOPBACK { self.interface_of(destination) } else { None };
        device == of_address.unwrap_or(interface)
    }

    /// What an endpoint is ready for, as poll(2). One that does not exist is at its end in every way.
    #[must_use]
    pub fn readiness(&self, id: EndpointId) -> Readiness {
        let gone = Readiness { read_closed: true, write_closed: true, error: true, ..Readiness::default() };
        let Some(endpoint) = self.endpoints.get(id) else { return gone };
        match &endpoint.role {
            Role::Fresh | Role::Listener(_) if self.down => gone,
            Role::Fresh => Readiness { read_closed: true, write_closed: true, ..Readiness::default() },
            Role::Listener(listener) => Readiness {
                readable: listener.is_ready(),
                read_closed: self.down,
                write_closed: self.down,
                ..Readiness::default()
            },
            Role::Connection(connection) => connection.readiness(),
            Role::Datagram(datagram) => Readiness {
                readable: datagram.is_ready(),
                writable: !datagram.write_shutdown,
                read_closed: datagram.read_shutdown || self.down,
                write_closed: datagram.write_shutdown || self.down,
                error: endpoint.error.is_some() || self.down,
                ..Readiness::default()
            },
        }
    }

    /// Takes the pending error, as `SO_ERROR`.
    pub fn take_error(&mut self, id: EndpointId) -> Option<Error> {
        let endpoint = self.endpoints.get_mut(id)?;
        let pending = match &mut endpoint.role {
            Role::Connection(connection) => connection.error.take(),
            _ => endpoint.error.take(),
        };
        pending.or_else(|| self.down.then_some(Error::NetworkDown))
    }

    /// Bytes that wait to be received (stream), or bytes of the next datagram, as `FIONREAD`; for a
    /// listener the length of its accept queue.
    #[must_use]
    pub fn recv_queue(&self, id: EndpointId) -> usize {
        match self.endpoints.get(id).map(|endpoint| &endpoint.role) {
            Some(Role::Connection(connection)) => connection.recv_queue(),
            Some(Role::Datagram(datagram)) => datagram.next_len(),
            Some(Role::Listener(listener)) => listener.ready_len(),
            _ => 0,
        }
    }

    /// How many bytes of a stream stand in front of the one that the peer marked urgent last, until that is taken, too:
    /// tcp(7), `SIOCATMARK`. It may not have arrived yet. Receiving does not stop there.
    #[must_use]
    pub fn urgent_mark(&self, id: EndpointId) -> Option<usize> {
        self.connection(id).and_then(Connection::urgent_mark)
    }

    /// Bytes to be sent or acknowledged, as `SIOCOUTQ`.
    #[must_use]
    pub fn send_queue(&self, id: EndpointId) -> usize {
        self.connection(id).map_or(0, Connection::send_queue)
    }

    /// Has [`poll_event`](Self::poll_event) tell of a stream until its end, after it was closed, too: for a close that waits,
    /// `SO_LINGER` of socket(7).
    pub fn watch(&mut self, id: EndpointId) {
        if let Some(connection) = self.connection_mut(id) {
            connection.watched = true;
        }
    }

    /// Whether everything that a stream sent, its end included, was acknowledged, or it is over.
    #[must_use]
    pub fn has_delivered(&self, id: EndpointId) -> bool {
        self.connection(id).is_none_or(Connection::is_flushed)
    }

    /// Bytes that a send would take now.
    #[must_use]
    pub fn send_room(&self, id: EndpointId) -> usize {
        self.connection(id).map_or(0, Connection::send_room)
    }

    /// Bytes of data in a full segment, as `TCP_MAXSEG` shows them, tcp(7): without a connection what was set, or what
    /// holds if nobody says anything (RFC 9293 section 3.7.1).
    #[must_use]
    pub fn segment_size(&self, id: EndpointId) -> usize {
        let Some(endpoint) = self.endpoints.get(id) else { return 0 };
        let set = endpoint.options.max_segment.map(usize::from);
        match &endpoint.role {
            Role::Connection(connection) if connection.phase == Phase::Over => {
                set.unwrap_or_else(|| connection.segment_size())
            }
            Role::Connection(connection) => connection.segment_size(),
            _ => set.unwrap_or_else(|| segment::usual_mss(false).into()),
        }
    }

    /// The state of a stream and, of a connection, what it knows about its path, as `TCP_INFO` of tcp(7).
    #[must_use]
    pub fn figures(&self, id: EndpointId) -> (State, Option<Tcp>) {
        match self.endpoints.get(id).map(|endpoint| &endpoint.role) {
            Some(Role::Connection(connection)) => {
                (connection.shown_state(), Some(connection.shown_figures()))
            }
            Some(Role::Listener(_)) => (State::Listen, None),
            _ => (State::Closed, None),
        }
    }

    /// Has a stream acknowledge at once what arrives, or wait for answers to carry the acknowledgements, as
    /// `TCP_QUICKACK` of tcp(7): not for good, the connection goes on to decide by what the application does. True if an
    /// acknowledgement leaves that waited.
    ///
    /// # Errors
    /// [`Error::BadEndpoint`].
    pub fn set_quick_ack(&mut self, id: EndpointId, quick: bool) -> Result<bool, Error> {
        let endpoint = self.endpoints.get_mut(id).ok_or(Error::BadEndpoint)?;
        endpoint.options.quick_ack = quick;
        let leaves = match &mut endpoint.role {
            Role::Connection(connection) => connection.set_quick_ack(quick),
            _ => false,
        };
        self.want_transmit(id);
        Ok(leaves)
    }

    /// What `TCP_QUICKACK` shows: whether acknowledgements do not wait for answers of the application.
    #[must_use]
    pub fn quick_ack(&self, id: EndpointId) -> bool {
        match self.connection(id) {
            Some(connection) => connection.quick_ack(),
            None => self.endpoints.get(id).is_none_or(|endpoint| endpoint.options.quick_ack),
        }
    }

    /// Switches and sizes of an endpoint.
    ///
    /// # Errors
    /// [`Error::BadEndpoint`].
    pub fn options(&self, id: EndpointId) -> Result<Options, Error> {
        self.endpoints.get(id).map(|endpoint| endpoint.options).ok_or(Error::BadEndpoint)
    }

    /// Changes them. Buffer sizes are brought into their range; those of a stream count for connections
    /// that are made later. A segment size out of its range is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `v6_only` is changed after bind.
    pub fn set_options(&mut self, id: EndpointId, options: Options) -> Result<(), Error> {
        let endpoint = self.endpoints.get_mut(id).ok_or(Error::BadEndpoint)?;
        if options.v6_only != endpoint.options.v6_only && endpoint.bound.is_some() {
            return Err(Error::Invalid);
        }
        let queued = endpoint.options.ip;
        let stops_queueing = (queued.queue_errors && !options.ip.queue_errors)
            || (queued.queue_errors_v6 && !options.ip.queue_errors_v6);
        let fit = |size: usize| size.clamp(Options::LEAST_BUFFER, Options::MOST_BUFFER);
        endpoint.options = Options {
            recv_buffer: fit(options.recv_buffer),
            send_buffer: fit(options.send_buffer),
            recv_limit: fit(options.recv_limit.max(options.recv_buffer)),
            send_limit: fit(options.send_limit.max(options.send_buffer)),
            max_segment: options.max_segment.filter(|size| Options::MAX_SEGMENTS.contains(size)),
            ..options
        };
        if let Some(binding) = endpoint.binding {
            self.ports.set_reuse(binding, options.reuse_address);
            self.ports.set_reuse_port(binding, options.reuse_port);
            self.ports.set_device(binding, options.ip.device);
        }
        match &mut endpoint.role {
            Role::Connection(connection) => {
                let options = endpoint.options;
                connection.set_options(&options);
                self.want_transmit(id);
            }
            // As Linux: who does not want errors any more is not told of older ones.
            Role::Datagram(datagram) if stops_queueing => datagram.errors.clear(),
            _ => {}
        }
        Ok(())
    }

    /// The MTU of the path to the peer as far as it is known, as `IP_MTU` and `IPV6_MTU`, in bytes.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub fn path_mtu(&self, now: Instant, id: EndpointId) -> Result<usize, Error> {
        match &self.endpoint(id)?.role {
            Role::Connection(connection) if connection.phase != Phase::Over => {
                Ok(connection.path_mtu().into())
            }
            Role::Datagram(datagram) => {
                let peer = datagram.peer.ok_or(Error::NotConnected)?;
                let hop = self.route(peer.ip(), scope_of(&peer)).map_err(|_| Error::NotConnected)?;
                Ok(self.mtu_to(now, hop, peer.ip()))
            }
            _ => Err(Error::NotConnected),
        }
    }
}
