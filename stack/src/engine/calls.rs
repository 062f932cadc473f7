//! The calls that make, connect and end endpoints, in the shape of the BSD calls. None waits: what would
//! have to says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::endpoint::{Accepted, EndpointId, Family, Kind, Options, Shutdown};
use super::{Endpoint, Engine, Role};
use crate::datagram::{Datagram, protocol, scope_of};
use crate::error::Error;
use crate::ports::{Binding, Protocol};
use crate::tcp::connection::{Connection, Phase, Tuple};
use crate::tcp::listener::Listener;
use crate::time::Instant;

impl Engine {
    /// Makes an endpoint, as socket(2).
    pub fn open(&mut self, kind: Kind, family: Family) -> EndpointId {
        let role = match kind {
            Kind::Stream => Role::Fresh,
            Kind::Datagram | Kind::Echo | Kind::Raw(_) => Role::Datagram(Box::default()),
            Kind::Packet(_) => Role::Datagram(Box::new(Datagram::of_packets())),
        };
        let id = self.endpoints.insert(Endpoint {
            kind,
            family,
            options: Options::default(),
            binding: None,
            bound: None,
            any_port: false,
            error: None,
            notified: false,
            role,
        });
        match kind {
            Kind::Raw(protocol) => self.open_raw(id, protocol),
            Kind::Packet(_) => self.packets.add(id),
            Kind::Stream | Kind::Datagram | Kind::Echo => {}
        }
        id
    }

    /// Gives an endpoint a local address, as bind(2); port 0 asks for any free one.
    ///
    /// # Errors
    /// [`Error::AddressFamily`], [`Error::AddressNotAvailable`] (not an address of this stack),
    /// [`Error::AddressInUse`], [`Error::Invalid`] (bound already).
    pub fn bind(&mut self, id: EndpointId, address: SocketAddr) -> Result<(), Error> {
        if self.has_failed(id) {
            self.renew(id);
            self.unbind_any_port(id);
        }
        let endpoint = self.endpoint(id)?;
        match endpoint.kind {
            Kind::Raw(_) => return self.bind_raw(id, address),
            // Its address is none of IP: bind_packet.
            Kind::Packet(_) => return Err(Error::Invalid),
            Kind::Stream | Kind::Datagram | Kind::Echo => {}
        }
        // One that has an address and no port yet may have others.
        let has_port = endpoint.bound.is_some_and(|(_, port)| port != 0);
        if has_port || !matches!(endpoint.role, Role::Fresh | Role::Datagram(_)) {
            return Err(Error::Invalid);
        }
        let family = endpoint.family;
        let local = canonical(family, endpoint.options.v6_only, address)?;
        let anywhere = endpoint.options.ip.free_bind || endpoint.options.ip.transparent;
        if !anywhere && !self.may_be_bound(local.ip(), endpoint.kind != Kind::Stream) {
            return Err(Error::AddressNotAvailable);
        }
        if local.port() == 0 && endpoint.options.ip.late_port {
            self.endpoint_mut(id)?.bound = Some((local.ip(), 0));
            return Ok(());
        }
        self.bind_canonical(id, local)
    }

    /// Whether it is a local address, the wildcard, or for datagrams a group or a broadcast address.
    pub(crate) fn may_be_bound(&self, ip: IpAddr, datagrams: bool) -> bool {
        ip.is_unspecified() || self.is_local(ip) || datagrams && (ip.is_multicast() || self.is_broadcast(ip))
    }

    fn bind_canonical(&mut self, id: EndpointId, local: SocketAddr) -> Result<(), Error> {
        let endpoint = self.endpoints.get(id).ok_or(Error::BadEndpoint)?;
        let (kind, family, options) = (endpoint.kind, endpoint.family, endpoint.options);
        let transport = match kind {
            Kind::Stream => Protocol::Tcp,
            Kind::Datagram => Protocol::Udp,
            Kind::Echo => Protocol::Echo,
            // They have no ports.
            Kind::Raw(_) | Kind::Packet(_) => return Ok(()),
        };
        let dual = kind != Kind::Echo
            && family == Family::V6
            && !options.v6_only
            && local.ip() == Ipv6Addr::UNSPECIFIED;
        let wanted =
            if dual { Binding::dual(transport, local.port()) } else { Binding::at(transport, local) };
        let wanted = wanted.reuse(options.reuse_address).reuse_port(options.reuse_port);
        let binding = self.ports.bind(wanted.on(options.ip.device).within(options.ip.local_ports))?;
        let port = self.ports.binding(binding).map_or(0, |binding| binding.port);
        let endpoint = self.endpoints.get_mut(id).ok_or(Error::BadEndpoint)?;
        endpoint.binding = Some(binding);
        endpoint.bound = Some((local.ip(), port));
        endpoint.any_port = local.port() == 0;
        if kind != Kind::Stream {
            self.datagrams.entry((protocol(kind), port)).or_default().push(id);
        }
        Ok(())
    }

    /// Gives a port back that nobody asked for.
    fn unbind_any_port(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id).filter(|endpoint| endpoint.any_port)
            && let Some(binding) = endpoint.binding.take()
        {
            endpoint.bound = None;
            self.ports.release(binding);
        }
    }

    /// Takes any port unless it has one, at the wildcard unless it has an address.
    pub(super) fn bind_if_unbound(&mut self, id: EndpointId) -> Result<(), Error> {
        let endpoint = self.endpoints.get(id).ok_or(Error::BadEndpoint)?;
        match endpoint.bound {
            Some((address, 0)) => self.bind_canonical(id, SocketAddr::new(address, 0)),
            Some(_) => Ok(()),
            None => self.bind_canonical(id, wildcard(endpoint.family)),
        }
    }

    fn is_broadcast(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.interfaces.iter().any(|interface| interface.is_broadcast(ip)),
            IpAddr::V6(_) => false,
        }
    }

    /// Makes a stream endpoint a listener, or changes its backlog, as listen(2).
    ///
    /// # Errors
    /// [`Error::AddressInUse`], [`Error::NotSupported`] (no stream), [`Error::Invalid`] (connected).
    pub fn listen(&mut self, id: EndpointId, backlog: usize) -> Result<(), Error> {
        if self.has_failed(id) {
            self.renew(id);
        }
        match &mut self.endpoint_mut(id)?.role {
            Role::Listener(listener) => {
                *listener = std::mem::take(listener).with_backlog(backlog);
                return Ok(());
            }
            Role::Fresh => {}
            Role::Connection(_) => return Err(Error::Invalid),
            Role::Datagram(_) => return Err(Error::NotSupported),
        }
        self.bind_if_unbound(id)?;
        let endpoint = self.endpoints.get_mut(id).ok_or(Error::BadEndpoint)?;
        if let Some(binding) = endpoint.binding {
            self.ports.set_listening(binding)?;
        }
        endpoint.role = Role::Listener(Listener::new(backlog));
        // As Linux: what was said before concerned another kind of socket.
        endpoint.options.quick_ack = true;
        if let Some((_, port)) = endpoint.bound {
            self.listeners.entry(port).or_default().push(id);
        }
        Ok(())
    }

    /// Starts a connection (stream) or sets the peer (datagram), as connect(2).
    ///
    /// # Errors
    /// A stream says [`Error::InProgress`] once its SYN is under way. [`Error::AlreadyInProgress`],
    /// [`Error::AlreadyConnected`], [`Error::AddressFamily`], [`Error::NetworkUnreachable`],
    /// [`Error::AddressNotAvailable`] (no port or no fitting address), [`Error::NotSupported`] (a listener).
    pub fn connect(&mut self, now: Instant, id: EndpointId, peer: SocketAddr) -> Result<(), Error> {
        let endpoint = self.endpoint(id)?;
        match &endpoint.role {
            Role::Listener(_) => return Err(Error::AlreadyConnected),
            Role::Connection(connection) => {
                return Err(match connection.phase {
                    Phase::Connecting => Error::AlreadyInProgress,
                    // As Linux: one that failed and was told may try again.
                    Phase::Over if !connection.was_established() => match self.renew(id) {
                        Some(error) => error,
                        None => return self.connect(now, id, peer),
                    },
                    _ => Error::AlreadyConnected,
                });
            }
            Role::Fresh | Role::Datagram(_) => {}
        }
        if matches!(endpoint.kind, Kind::Packet(_)) {
            return Err(Error::NotSupported);
        }
        let mut remote = canonical(endpoint.family, endpoint.is_v6_only(), peer)?;
        let (options, ip) = (endpoint.options.multicast, endpoint.options.ip);
        let bound = endpoint.bound.map(|bound| bound.0);
        let from = bound.unwrap_or_else(|| wildcard(endpoint.family).ip());
        let scope = ip.device.or_else(|| scope_of(&peer));
        let scope = scope.or_else(|| self.group_scope(&options, from, remote.ip()));
        let hop = self.route_out(remote.ip(), scope)?;
        if ip.on_link && hop.is_routed(remote.ip()) {
            return Err(Error::NetworkUnreachable);
        }
        if remote.ip().is_unspecified() {
            remote.set_ip(hop.next);
        }
        if self.endpoints.get(id).is_some_and(|endpoint| endpoint.kind == Kind::Stream) {
            self.connect_stream(now, id, remote, hop)
        } else {
            let permitted = self.endpoints.get(id).is_some_and(|endpoint| endpoint.options.broadcast);
            if !permitted && (remote.ip() == Ipv4Addr::BROADCAST || self.is_broadcast(remote.ip())) {
                return Err(Error::AccessDenied);
            }
            self.bind_if_unbound(id)?;
            let endpoint = self.endpoints.get_mut(id).ok_or(Error::BadEndpoint)?;
            endpoint.error = None;
            if let Role::Datagram(datagram) = &mut endpoint.role {
                datagram.peer = Some(with_scope(remote, &peer));
            }
            Ok(())
        }
    }

    /// Whether its connect failed and somebody was told.
    fn has_failed(&self, id: EndpointId) -> bool {
        match self.endpoints.get(id).map(|endpoint| &endpoint.role) {
            Some(Role::Connection(connection)) => {
                connection.phase == Phase::Over && !connection.was_established() && connection.error.is_none()
            }
            _ => false,
        }
    }

    /// Makes an endpoint whose connect failed a fresh one: a port that connect took goes back, one that
    /// bind gave stays. Gives the error that nobody was told.
    fn renew(&mut self, id: EndpointId) -> Option<Error> {
        let endpoint = self.endpoints.get_mut(id)?;
        let role = std::mem::replace(&mut endpoint.role, Role::Fresh);
        let Role::Connection(connection) = role else { return None };
        endpoint.bound = connection.bound_before;
        if connection.bound_before.is_none_or(|(_, port)| port == 0)
            && let Some(binding) = endpoint.binding.take()
        {
            self.ports.release(binding);
        }
        if self.connections.get(&connection.tuple) == Some(&id) {
            self.connections.remove(&connection.tuple);
        }
        connection.error
    }

    fn connect_stream(
        &mut self,
        now: Instant,
        id: EndpointId,
        remote: SocketAddr,
        hop: super::output::Hop,
    ) -> Result<(), Error> {
        if remote.port() == 0 || remote.ip().is_multicast() || self.is_broadcast(remote.ip()) {
            return Err(if remote.port() == 0 {
                Error::ConnectionRefused
            } else {
                Error::NetworkUnreachable
            });
        }
        let endpoint = self.endpoints.get(id).ok_or(Error::BadEndpoint)?;
        let (bound, options) = (endpoint.bound, endpoint.options);
        let local = match bound {
            Some((address, _)) if !address.is_unspecified() => address,
            _ => hop.source,
        };
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(Error::NetworkUnreachable);
        }
        let (connections, time_wait) = (&self.connections, &self.time_wait);
        let tuple_of =
            |port| Tuple { local, local_port: port, remote: remote.ip(), remote_port: remote.port() };
        let taken = |port| connections.contains_key(&tuple_of(port)) || time_wait.contains(&tuple_of(port));
        let mut fresh_binding = None;
        let port = match bound {
            Some((_, port)) if port != 0 && taken(port) => return Err(Error::AddressNotAvailable),
            Some((_, port)) if port != 0 => port,
            _ => {
                let wanted = Binding::at(Protocol::Tcp, SocketAddr::new(local, 0));
                let wanted = wanted.on(options.ip.device).within(options.ip.local_ports);
                let binding = self.ports.connect(wanted, remote, taken)?;
                fresh_binding = Some(binding);
                self.ports.binding(binding).map_or(0, |binding| binding.port)
            }
        };
        let tuple = tuple_of(port);
        let isn = self.initial_sequence_number(now, &tuple);
        let mut connection = Connection::connect(
            now,
            tuple,
            self.path(now, &hop, remote.ip()),
            self.settings(&options, &tuple),
            isn,
        );
        connection.hop = Some((hop, self.routes_version));
        connection.bound_before = bound;
        let endpoint = self.endpoints.get_mut(id).ok_or(Error::BadEndpoint)?;
        endpoint.binding = endpoint.binding.or(fresh_binding);
        endpoint.bound = Some((local, port));
        endpoint.role = Role::Connection(Box::new(connection));
        self.connections.insert(tuple, id);
        self.counters.tcp_active_opens += 1;
        self.want_transmit(id);
        Err(Error::InProgress)
    }

    /// Takes the peer of a datagram endpoint away, as connect(2) with `AF_UNSPEC`.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for a stream.
    pub fn disconnect(&mut self, id: EndpointId) -> Result<(), Error> {
        match &mut self.endpoint_mut(id)?.role {
            Role::Datagram(datagram) => {
                datagram.peer = None;
                Ok(())
            }
            _ => Err(Error::NotSupported),
        }
    }

    /// Takes a stream back to where it was before connect or listen, as connect(2) with `AF_UNSPEC`: its connection is
    /// reset, and it can be used again. A port that bind gave stays.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for datagrams.
    pub fn disconnect_stream(&mut self, now: Instant, id: EndpointId) -> Result<(), Error> {
        let endpoint = self.endpoint_mut(id)?;
        match &endpoint.role {
            Role::Fresh => return Ok(()),
            Role::Datagram(_) => return Err(Error::NotSupported),
            Role::Listener(_) => {
                self.stop_listening(now, id);
                return Ok(());
            }
            Role::Connection(_) => {}
        }
        let Role::Connection(mut connection) = std::mem::replace(&mut endpoint.role, Role::Fresh) else {
            return Ok(());
        };
        let before = connection.bound_before;
        let (kind, family, options) = (endpoint.kind, endpoint.family, endpoint.options);
        let bound = std::mem::replace(&mut endpoint.bound, before);
        let fresh = before.is_none_or(|(_, port)| port == 0);
        let binding = if fresh { endpoint.binding.take() } else { None };
        (connection.deadline, connection.listed) = (None, false);
        let tuple = connection.tuple;
        // The rest of it goes on as one whose application is gone.
        let role = Role::Connection(connection);
        let (error, notified, any_port) = (None, false, false);
        let rest = Endpoint { kind, family, options, binding, bound, error, notified, any_port, role };
        let rest = self.endpoints.insert(rest);
        if self.connections.get(&tuple) == Some(&id) {
            self.connections.insert(tuple, rest);
        }
        self.finish(now, rest, true);
        self.notify(id);
        Ok(())
    }

    /// What became of a connect.
    ///
    /// # Errors
    /// [`Error::InProgress`] while it goes on; what ended it, once; then [`Error::ConnectionAborted`].
    pub fn connect_result(&mut self, id: EndpointId) -> Result<(), Error> {
        let endpoint = self.endpoint_mut(id)?;
        match &mut endpoint.role {
            Role::Connection(connection) => match connection.phase {
                Phase::Connecting | Phase::Embryonic => Err(Error::InProgress),
                Phase::Over if !connection.was_established() => {
                    Err(connection.error.take().unwrap_or(Error::ConnectionAborted))
                }
                Phase::Open | Phase::Over => Ok(()),
            },
            Role::Datagram(_) => Ok(()),
            _ => Err(Error::NotConnected),
        }
    }

    /// Takes the first connection of a listener's accept queue, as accept(2).
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if there is none, [`Error::Invalid`] if it does not listen,
    /// [`Error::NotSupported`] for datagrams.
    pub fn accept(&mut self, id: EndpointId) -> Result<Accepted, Error> {
        let endpoint = self.endpoint_mut(id)?;
        let (family, listening) = (endpoint.family, endpoint.binding);
        let accepted = match &mut endpoint.role {
            Role::Listener(listener) => listener.accept().ok_or(Error::WouldBlock)?,
            Role::Datagram(_) => return Err(Error::NotSupported),
            Role::Fresh | Role::Connection(_) => return Err(Error::Invalid),
        };
        // What is in the queue exists until it is taken out.
        let Some(Endpoint { role: Role::Connection(connection), binding, .. }) =
            self.endpoints.get_mut(accepted)
        else {
            return Err(Error::WouldBlock);
        };
        connection.listener = None;
        let tuple = connection.tuple;
        *binding = listening.and_then(|listener| self.ports.accept(listener, tuple.local).ok());
        Ok(Accepted { id: accepted, peer: self.present_scoped(family, accepted, tuple.remote_address()) })
    }

    /// Shuts one or both directions down, as shutdown(2).
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub fn shutdown(&mut self, now: Instant, id: EndpointId, how: Shutdown) -> Result<(), Error> {
        let (read, write) = (how != Shutdown::Write, how != Shutdown::Read);
        match &mut self.endpoint_mut(id)?.role {
            Role::Connection(connection) if connection.phase == Phase::Over => {
                return Err(Error::NotConnected);
            }
            Role::Connection(connection) => {
                if read {
                    connection.shutdown_read();
                }
                if write {
                    connection.shutdown_write(now);
                }
            }
            Role::Datagram(datagram) => {
                datagram.read_shutdown |= read;
                datagram.write_shutdown |= write;
                if datagram.peer.is_none() {
                    self.notify(id);
                    return Err(Error::NotConnected);
                }
            }
            // Linux: shutting a listener's reading side down ends the listening.
            Role::Listener(_) if read => self.stop_listening(now, id),
            Role::Listener(_) => {}
            Role::Fresh => return Err(Error::NotConnected),
        }
        self.want_transmit(id);
        self.notify(id);
        Ok(())
    }

    fn stop_listening(&mut self, now: Instant, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(id) else { return };
        let Role::Listener(mut listener) = std::mem::replace(&mut endpoint.role, Role::Fresh) else { return };
        if let Some((_, port)) = endpoint.bound
            && let Some(ids) = self.listeners.get_mut(&port)
        {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.listeners.remove(&port);
            }
        }
        if let Some(binding) = endpoint.binding {
            self.ports.clear_listening(binding);
        }
        for child in listener.drain() {
            self.finish(now, child, true);
        }
        self.notify(id);
    }

    /// The application is gone: the endpoint is dead. The engine finishes alone: FIN behind what is
    /// queued, RST if received data was left unread (RFC 2525 section 2.17).
    pub fn close(&mut self, now: Instant, id: EndpointId) {
        self.finish(now, id, false);
    }

    /// The same at once, with RST.
    pub fn abort(&mut self, now: Instant, id: EndpointId) {
        self.finish(now, id, true);
    }

    fn finish(&mut self, now: Instant, id: EndpointId, reset: bool) {
        self.leave_all_groups(now, id);
        match self.endpoints.get_mut(id).map(|endpoint| &mut endpoint.role) {
            Some(Role::Connection(connection)) => {
                connection.close(now);
                if reset {
                    connection.abort(None);
                }
                connection.listener = None;
                self.want_transmit(id);
                self.settle(now, id);
            }
            Some(Role::Listener(_)) => {
                self.stop_listening(now, id);
                self.forget(id);
            }
            Some(Role::Datagram(_)) => {
                match self.endpoints.get(id).map(|endpoint| endpoint.kind) {
                    Some(Kind::Raw(protocol)) => self.close_raw(id, protocol),
                    Some(Kind::Packet(_)) => self.packets.remove(id),
                    _ => {}
                }
                if let Some(Endpoint { bound: Some((_, port)), kind, .. }) = self.endpoints.get(id) {
                    let key = (protocol(*kind), *port);
                    if let Some(ids) = self.datagrams.get_mut(&key) {
                        ids.retain(|other| *other != id);
                        if ids.is_empty() {
                            self.datagrams.remove(&key);
                        }
                    }
                }
                self.forget(id);
            }
            Some(Role::Fresh) => self.forget(id),
            None => {}
        }
    }

    pub(crate) fn endpoint(&self, id: EndpointId) -> Result<&Endpoint, Error> {
        if self.down {
            return Err(Error::NetworkDown);
        }
        self.endpoints.get(id).ok_or(Error::BadEndpoint)
    }

    pub(crate) fn endpoint_mut(&mut self, id: EndpointId) -> Result<&mut Endpoint, Error> {
        if self.down {
            return Err(Error::NetworkDown);
        }
        self.endpoints.get_mut(id).ok_or(Error::BadEndpoint)
    }

    /// The connection of a stream endpoint; `otherwise` if it has none.
    pub(super) fn stream_mut(&mut self, id: EndpointId, otherwise: Error) -> Result<&mut Connection, Error> {
        match &mut self.endpoint_mut(id)?.role {
            Role::Connection(connection) => Ok(connection),
            Role::Fresh | Role::Listener(_) => Err(otherwise),
            Role::Datagram(_) => Err(Error::NotSupported),
        }
    }

    /// The address in the family of the endpoint; a link-local one with the interface of the connection.
    pub(super) fn present_scoped(&self, family: Family, id: EndpointId, address: SocketAddr) -> SocketAddr {
        let hop = self.connection(id).and_then(|connection| connection.hop);
        match (address, hop) {
            (SocketAddr::V6(v6), Some((hop, _))) if v6.ip().is_unicast_link_local() => {
                SocketAddrV6::new(*v6.ip(), v6.port(), 0, hop.interface.index()).into()
            }
            _ => present(family, address),
        }
    }
}

/// The wildcard address of a family with port 0.
pub(crate) const fn wildcard(family: Family) -> SocketAddr {
    match family {
        Family::V4 => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        Family::V6 => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
    }
}

/// The address as the engine has it: IPv4-mapped ones are IPv4 (RFC 4291 section 2.5.5.2).
pub(crate) fn canonical(family: Family, v6_only: bool, address: SocketAddr) -> Result<SocketAddr, Error> {
    let ip = address.ip().to_canonical();
    match (family, address) {
        (Family::V4, SocketAddr::V6(_)) | (Family::V6, SocketAddr::V4(_)) => Err(Error::AddressFamily),
        (Family::V6, _) if ip.is_ipv4() && v6_only => Err(Error::NetworkUnreachable),
        _ => Ok(SocketAddr::new(ip, address.port())),
    }
}

/// The address as the application has it: in the family of the endpoint.
pub(super) fn present(family: Family, address: SocketAddr) -> SocketAddr {
    match (family, address.ip()) {
        (Family::V6, IpAddr::V4(v4)) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

/// `address` with the scope that the application gave.
pub(super) fn with_scope(address: SocketAddr, given: &SocketAddr) -> SocketAddr {
    match (address, given) {
        (SocketAddr::V6(v6), SocketAddr::V6(given)) => {
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, given.scope_id()).into()
        }
        _ => address,
    }
}
