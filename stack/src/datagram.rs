//! Datagram endpoints: UDP (RFC 768) and ICMP echo, which work alike with the identifier as port.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::engine::endpoint::{EndpointId, Kind, Received};
use crate::engine::output::{Hop, Outgoing};
use crate::engine::{Endpoint, Engine, Role};
use crate::error::Error;
use crate::link::Frame;
use crate::net::icmp_error::Complaint;
use crate::net::ip::{self, Packet};
use crate::net::route::InterfaceId;
use crate::net::{checksum, icmp};
use crate::time::Instant;

/// Length of the UDP header.
const HEADER_LEN: usize = 8;
/// What a queued datagram costs besides its bytes, against many empty ones.
const OVERHEAD: usize = 256;

/// A received datagram.
#[derive(Debug)]
struct Queued {
    from: SocketAddr,
    data: Vec<u8>,
}

/// The protocol's part of a datagram endpoint.
#[derive(Debug, Default)]
pub(crate) struct Datagram {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) read_shutdown: bool,
    pub(crate) write_shutdown: bool,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
}

impl Datagram {
    pub(crate) fn is_ready(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Bytes of the next datagram, as FIONREAD tells for UDP.
    pub(crate) fn next_len(&self) -> usize {
        self.queue.front().map_or(0, |next| next.data.len())
    }

    /// Bytes of data in the whole queue.
    pub(crate) fn queued(&self) -> usize {
        self.queued_bytes - self.queue.len() * OVERHEAD
    }

    fn push(&mut self, from: SocketAddr, data: &[u8], limit: usize) -> bool {
        if self.queued_bytes + data.len() + OVERHEAD > limit {
            return false;
        }
        self.queued_bytes += data.len() + OVERHEAD;
        self.queue.push_back(Queued { from, data: data.to_vec() });
        true
    }

    /// Copies the next datagram out, and takes it unless it is only looked at.
    pub(crate) fn recv(&mut self, buffer: &mut [u8], peek: bool) -> Option<Received> {
        let next = self.queue.front()?;
        let copied = buffer.len().min(next.data.len());
        buffer[..copied].copy_from_slice(&next.data[..copied]);
        let received = Received { copied, len: next.data.len(), from: next.from };
        if !peek {
            self.queued_bytes -= next.data.len() + OVERHEAD;
            self.queue.pop_front();
        }
        Some(received)
    }
}

/// The protocol number under which a kind of endpoint is found.
pub(crate) const fn protocol(kind: Kind) -> u8 {
    match kind {
        Kind::Stream => checksum::TCP,
        Kind::Datagram => checksum::UDP,
        Kind::Echo => checksum::ICMP,
    }
}

impl Engine {
    /// Takes in a UDP datagram.
    pub(crate) fn handle_udp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &Frame,
        to_one: bool,
    ) {
        let bytes = &frame.bytes()[packet.payload..packet.end];
        let Some(&[s0, s1, d0, d1, l0, l1, c0, c1]) = bytes.first_chunk() else {
            self.counters.malformed += 1;
            self.counters.udp_errors += 1;
            return;
        };
        let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if len < HEADER_LEN || len > bytes.len() {
            self.counters.malformed += 1;
            self.counters.udp_errors += 1;
            return;
        }
        // RFC 768: zero is "no checksum", over IPv4 only (RFC 8200 section 8.1).
        let unsummed = [c0, c1] == [0, 0];
        if unsummed && packet.destination.is_ipv6() {
            self.counters.bad_checksum += 1;
            self.count_udp_checksum();
            return;
        }
        if !unsummed && !self.checksum_ok(&Packet { end: packet.payload + len, ..*packet }, frame) {
            return;
        }
        let from = self.scoped(interface, packet.source, source);
        let payload = &bytes[HEADER_LEN..len];
        let takers = self.takers(checksum::UDP, packet.destination, destination, from);
        if takers.is_empty() {
            self.counters.udp_no_port += 1;
            if to_one {
                self.complain(now, interface, packet, frame.bytes(), Complaint::Port);
            }
            return;
        }
        // A datagram to many goes to every socket that hears it, one to this host to the best match.
        let all = if to_one { 1 } else { takers.len() };
        for &id in &takers[..all] {
            self.deliver(id, from, payload);
        }
    }

    /// Counts a datagram with a wrong checksum.
    pub(crate) const fn count_udp_checksum(&mut self) {
        self.counters.udp_bad_checksum += 1;
        self.counters.udp_errors += 1;
    }

    /// Takes in an echo reply; `message` starts at its ICMP header.
    pub(crate) fn deliver_echo(&mut self, packet: &Packet, identifier: u16, message: &[u8]) {
        let from = SocketAddr::new(packet.source, 0);
        let wanted = packet.destination.is_ipv4();
        let takers = self.takers(checksum::ICMP, packet.destination, identifier, from);
        let taker = takers.into_iter().find(|id| {
            let family = self.endpoints.get(*id).map(|endpoint| endpoint.family);
            family
                == Some(if wanted {
                    crate::engine::endpoint::Family::V4
                } else {
                    crate::engine::endpoint::Family::V6
                })
        });
        if let Some(id) = taker {
            self.deliver(id, from, message);
        }
    }

    /// The peer's address; a link-local one carries the interface as its scope (RFC 4007 section 6).
    fn scoped(&self, interface: InterfaceId, address: IpAddr, port: u16) -> SocketAddr {
        match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                std::net::SocketAddrV6::new(v6, port, 0, interface.0).into()
            }
            _ => SocketAddr::new(address, port),
        }
    }

    /// The endpoints that hear datagrams to this address and port, the best match first: connected to the
    /// sender, bound to the address, bound to the wildcard.
    fn takers(&self, protocol: u8, destination: IpAddr, port: u16, from: SocketAddr) -> Vec<EndpointId> {
        let rank = |id: &EndpointId| {
            let endpoint = self.endpoints.get(*id)?;
            let Role::Datagram(datagram) = &endpoint.role else { return None };
            let address = endpoint.bound?.0;
            let hears = match address {
                address if address == destination => true,
                IpAddr::V4(address) => address.is_unspecified() && destination.is_ipv4(),
                IpAddr::V6(address) => {
                    address.is_unspecified() && (destination.is_ipv6() || !endpoint.options.v6_only)
                }
            };
            let connected = match datagram.peer {
                Some(peer)
                    if peer.ip() == from.ip()
                        && (peer.port() == from.port() || protocol == checksum::ICMP) =>
                {
                    true
                }
                Some(_) => return None,
                None => false,
            };
            hears.then_some((!connected, address.is_unspecified()))
        };
        let Some(candidates) = self.datagrams.get(&(protocol, port)) else { return Vec::new() };
        let mut takers: Vec<_> = candidates.iter().filter_map(|id| Some((rank(id)?, *id))).collect();
        takers.sort_by_key(|(rank, _)| *rank);
        takers.into_iter().map(|(_, id)| id).collect()
    }

    fn deliver(&mut self, id: EndpointId, from: SocketAddr, data: &[u8]) {
        let Some(Endpoint { role: Role::Datagram(datagram), kind, options, .. }) = self.endpoints.get_mut(id)
        else {
            return;
        };
        if datagram.read_shutdown {
            return;
        }
        // Answers to echo requests are no datagrams of UDP.
        let udp = u64::from(*kind == Kind::Datagram);
        if datagram.push(from, data, options.recv_buffer) {
            self.counters.udp_in += udp;
            self.notify(id);
        } else {
            self.counters.udp_overflows += udp;
        }
    }

    /// Sends a datagram from an endpoint that is bound.
    pub(crate) fn send_datagram(
        &mut self,
        now: Instant,
        id: EndpointId,
        data: &[u8],
        to: SocketAddr,
    ) -> Result<usize, Error> {
        let endpoint = self.endpoints.get(id).ok_or(Error::BadEndpoint)?;
        let (kind, options) = (endpoint.kind, endpoint.options);
        let (bound, port) = endpoint.bound.ok_or(Error::Invalid)?;
        let scope = scope_of(&to);
        let destination = to.ip();
        let hop = self.route_out(destination, scope)?;
        let own = &self.interfaces[hop.interface.0 as usize];
        if let IpAddr::V4(v4) = destination
            && own.is_broadcast(v4)
            && !options.broadcast
        {
            return Err(Error::AccessDenied);
        }
        // What does not fit the link leaves in fragments, unless no length field could say it.
        let header = if kind == Kind::Echo { 0 } else { HEADER_LEN };
        if data.len() + header > ip::most_payload(destination) {
            self.counters.fragment_fails += 1;
            return Err(Error::MessageTooLong);
        }
        let destination = if destination.is_unspecified() { hop.next } else { destination };
        let source = if bound.is_unspecified() { hop.source } else { bound };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(Error::NetworkUnreachable);
        }
        match kind {
            Kind::Echo => self.send_echo(now, hop, source, destination, port, data)?,
            _ => {
                let fill = |bytes: &mut [u8]| {
                    bytes[..2].copy_from_slice(&port.to_be_bytes());
                    bytes[2..4].copy_from_slice(&to.port().to_be_bytes());
                    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                    bytes[4..6].copy_from_slice(&len.to_be_bytes());
                    bytes[HEADER_LEN..].copy_from_slice(data);
                };
                let len = HEADER_LEN + data.len();
                let packet =
                    Outgoing { hop, source, destination, protocol: checksum::UDP, ttl: ip::DEFAULT_TTL };
                self.send_packet(now, packet, len, fill);
                self.counters.udp_out += 1;
            }
        }
        Ok(data.len())
    }

    /// Sends an echo request: `data` is the ICMP message, whose identifier is the endpoint's port, icmp(7).
    fn send_echo(
        &mut self,
        now: Instant,
        hop: Hop,
        source: IpAddr,
        destination: IpAddr,
        identifier: u16,
        data: &[u8],
    ) -> Result<(), Error> {
        const ECHO_REQUEST: u8 = 8;
        const V6_ECHO_REQUEST: u8 = 128;
        let v4 = destination.is_ipv4();
        let kind = if v4 { ECHO_REQUEST } else { V6_ECHO_REQUEST };
        if data.len() < icmp::HEADER_LEN || data[0] != kind || data[1] != 0 {
            return Err(Error::Invalid);
        }
        let protocol = if v4 { checksum::ICMP } else { checksum::ICMP6 };
        let fill = |bytes: &mut [u8]| {
            bytes.copy_from_slice(data);
            bytes[4..6].copy_from_slice(&identifier.to_be_bytes());
        };
        let packet = Outgoing { hop, source, destination, protocol, ttl: ip::DEFAULT_TTL };
        self.send_packet(now, packet, data.len(), fill);
        Ok(())
    }

    /// Whether there is an endpoint that can have sent a datagram.
    pub(crate) fn may_have_sent(&self, sent: &Packet, source: u16, destination: u16) -> bool {
        let peer = SocketAddr::new(sent.destination, destination);
        !self.takers(checksum::UDP, sent.source, source, peer).is_empty()
    }

    /// The endpoint that sent a datagram which the network reports back. As the kernel, only a connected
    /// one is told (udp(7)).
    pub(crate) fn datagram_of_sent(
        &self,
        sent: &Packet,
        source: u16,
        destination: u16,
    ) -> Option<EndpointId> {
        let peer = SocketAddr::new(sent.destination, destination);
        let takers = self.takers(checksum::UDP, sent.source, source, peer);
        takers.into_iter().find(|id| match self.endpoints.get(*id).map(|endpoint| &endpoint.role) {
            Some(Role::Datagram(datagram)) => datagram.peer.is_some(),
            _ => false,
        })
    }
}

/// The interface that a link-local address is scoped to.
pub(crate) fn scope_of(address: &SocketAddr) -> Option<InterfaceId> {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(InterfaceId(v6.scope_id())),
        _ => None,
    }
}
