//! Datagram endpoints: UDP (RFC 768) and ICMP echo, which work alike with the identifier as port.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use crate::engine::endpoint::{Arrival, EndpointId, Family, Kind, Received};
use crate::engine::error_queue::{ErrorQueue, ErrorReport};
use crate::engine::ip_options::DatagramOptions;
use crate::engine::output::Outgoing;
use crate::engine::super_frames::datagram_size;
use crate::engine::{Endpoint, Engine, Role};
use crate::error::Error;
use crate::filter::Program;
use crate::link::{Frame, MAX_DATAGRAMS, MAX_SUPER_FRAME};
use crate::multicast::sending::stays_here;
use crate::net::icmp_error::Complaint;
use crate::net::ip::{self, Marks, Packet};
use crate::net::route::InterfaceId;
use crate::net::{checksum, icmp};
use crate::packet::Tap;
use crate::raw::{Summing, protocol_of, protocol_to};
use crate::tcp::isn::Purpose;
use crate::time::Instant;

/// Length of the UDP header.
const HEADER_LEN: usize = 8;
/// What a queued datagram costs besides its bytes, against many empty ones.
const OVERHEAD: usize = 256;

/// A received datagram.
#[derive(Debug)]
struct Queued {
    from: SocketAddr,
    arrival: Arrival,
    data: Data,
}

/// The bytes of a received datagram.
#[derive(Debug)]
enum Data {
    Exact(Vec<u8>),
    /// In a buffer of the pool, which is used again: the allocator gives memory of that size back to the system.
    Pooled(Frame),
}

impl Data {
    /// Those of a buffer are at least half of what it holds, so that a queue takes no more than twice of what it counts.
    const POOLED_FROM: usize = MAX_SUPER_FRAME / 2;

    fn new(bytes: &[u8]) -> Self {
        if bytes.len() < Self::POOLED_FROM {
            Self::Exact(bytes.to_vec())
        } else {
            Self::Pooled(Frame::from_slice(bytes))
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Exact(bytes) => bytes,
            Self::Pooled(frame) => frame.bytes(),
        }
    }
}

/// The protocol's part of a datagram endpoint.
#[derive(Debug, Default)]
pub(crate) struct Datagram {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) read_shutdown: bool,
    pub(crate) write_shutdown: bool,
    /// What says which packets are received: `SO_ATTACH_FILTER` of socket(7), on raw and packet endpoints.
    pub(crate) filter: Option<Program>,
    /// Which frames a packet endpoint sees.
    pub(crate) tap: Option<Box<Tap>>,
    /// What the network said, if that is to be kept.
    pub(crate) errors: ErrorQueue,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// Datagrams that there was no room for.
    drops: u32,
}

impl Datagram {
    /// That of a packet endpoint.
    pub(crate) fn of_packets() -> Self {
        Self { tap: Some(Box::default()), ..Self::default() }
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Bytes of the next datagram, as FIONREAD tells for UDP.
    pub(crate) fn next_len(&self) -> usize {
        self.queue.front().map_or(0, |next| next.data.bytes().len())
    }

    /// Bytes of data in the whole queue.
    pub(crate) fn queued(&self) -> usize {
        self.queued_bytes - self.queue.len() * OVERHEAD
    }

    pub(crate) fn push(&mut self, from: SocketAddr, mut arrival: Arrival, data: &[u8], limit: usize) -> bool {
        if self.queued_bytes + self.errors.bytes() + data.len() + OVERHEAD > limit {
            self.drops = self.drops.wrapping_add(1);
            return false;
        }
        arrival.drops = self.drops;
        self.queued_bytes += data.len() + OVERHEAD;
        self.queue.push_back(Queued { from, arrival, data: Data::new(data) });
        true
    }

    /// Keeps an error, if there is room beside the datagrams.
    pub(crate) fn queue_error(&mut self, report: ErrorReport, quoted: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.queued_bytes + self.errors.bytes());
        self.errors.push(report, quoted, room);
    }

    /// Copies the next datagram out, and takes it unless it is only looked at.
    pub(crate) fn recv(&mut self, buffer: &mut [u8], peek: bool) -> Option<Received> {
        let next = self.queue.front()?;
        let data = next.data.bytes();
        let (len, copied) = (data.len(), buffer.len().min(data.len()));
        buffer[..copied].copy_from_slice(&data[..copied]);
        let received = Received { copied, len, from: next.from, arrival: Some(next.arrival) };
        if !peek {
            self.queued_bytes -= len + OVERHEAD;
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
        Kind::Raw(protocol) => protocol,
        Kind::Packet(_) => 0,
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
        // RFC 768: zero is "no checksum", over IPv6 only for those who ask for it (RFC 8200 section 8.1, RFC 6935).
        let unsummed = [c0, c1] == [0, 0];
        let forbidden = unsummed && packet.destination.is_ipv6();
        if !unsummed && !self.checksum_ok(&Packet { end: packet.payload + len, ..*packet }, frame) {
            return;
        }
        let from = self.scoped(interface, packet.source, source);
        let payload = &bytes[HEADER_LEN..len];
        let Ok(size) = datagram_size(frame, payload.len()) else {
            self.counters.malformed += 1;
            self.counters.udp_errors += 1;
            return;
        };
        let mut takers = self.takers(checksum::UDP, packet.destination, destination, from);
        takers.retain(|(_, id)| self.hears(*id, interface, packet.destination));
        if packet.destination.is_multicast() {
            takers.retain(|(_, id)| self.wants_of_group(*id, interface, packet));
        }
        if forbidden {
            let asks = |id| self.endpoints.get(id).is_some_and(|known| known.options.ip.hears_unsummed_v6);
            takers.retain(|(_, id)| asks(*id));
            if takers.is_empty() {
                self.counters.bad_checksum += 1;
                self.count_udp_checksum();
                return;
            }
        }
        if takers.is_empty() {
            self.counters.udp_no_port += 1;
            if to_one {
                self.complain(now, interface, packet, frame.bytes(), Complaint::Port);
            }
            return;
        }
        let tos = ip::tos(frame.bytes());
        let Packet { destination: to, ttl, .. } = *packet;
        let arrival =
            Arrival { destination: to, interface, ttl, tos, at: now, drops: 0, size: None, link: None };
        // A datagram to many goes to every socket that hears it, one to this host to the best match.
        if to_one {
            takers = vec![self.choose(&takers, packet.destination, destination, from)];
        }
        for (_, id) in takers {
            self.deliver_datagrams(id, from, arrival, payload, size);
        }
    }

    /// Counts a datagram with a wrong checksum.
    pub(crate) const fn count_udp_checksum(&mut self) {
        self.counters.udp_bad_checksum += 1;
        self.counters.udp_errors += 1;
    }

    /// Takes in an echo reply; `message` starts at its ICMP header.
    pub(crate) fn deliver_echo(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        identifier: u16,
        frame: &[u8],
    ) {
        let from = SocketAddr::new(packet.source, 0);
        let wanted = if packet.destination.is_ipv4() { Family::V4 } else { Family::V6 };
        let takers = self.takers(checksum::ICMP, packet.destination, identifier, from);
        let taker = takers
            .into_iter()
            .filter(|(_, id)| self.hears(*id, interface, packet.destination))
            .find(|(_, id)| self.endpoints.get(*id).is_some_and(|endpoint| endpoint.family == wanted));
        if let Some((_, id)) = taker {
            let (destination, ttl, tos) = (packet.destination, packet.ttl, ip::tos(frame));
            let arrival =
                Arrival { destination, interface, ttl, tos, at: now, drops: 0, size: None, link: None };
            self.deliver(id, from, arrival, &frame[packet.payload..packet.end]);
        }
    }

    /// The peer's address; a link-local one carries the interface as its scope (RFC 4007 section 6).
    pub(crate) fn scoped(&self, interface: InterfaceId, address: IpAddr, port: u16) -> SocketAddr {
        match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                std::net::SocketAddrV6::new(v6, port, 0, interface.index()).into()
            }
            _ => SocketAddr::new(address, port),
        }
    }

    /// The endpoints that hear datagrams to this address and port, the best match first: connected to the sender, bound to
    /// the address, bound to the wildcard, for IPv4 one of IPv4; among equals, as on Linux, the one that was bound last.
    fn takers(
        &self,
        protocol: u8,
        destination: IpAddr,
        port: u16,
        from: SocketAddr,
    ) -> Vec<(Rank, EndpointId)> {
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
            let mapped = destination.is_ipv4() && endpoint.family == Family::V6;
            hears.then_some((!connected, address.is_unspecified(), mapped))
        };
        let Some(candidates) = self.datagrams.get(&(protocol, port)) else { return Vec::new() };
        let mut takers: Vec<_> = candidates.iter().rev().filter_map(|id| Some((rank(id)?, *id))).collect();
        takers.sort_by_key(|(rank, _)| *rank);
        takers
    }

    /// The best match of some; among those that share a port (`SO_REUSEPORT`) a keyed hash of both ends says which, so that
    /// one peer is served by one of them and nobody can choose whose queue is filled.
    fn choose(
        &self,
        takers: &[(Rank, EndpointId)],
        destination: IpAddr,
        port: u16,
        from: SocketAddr,
    ) -> (Rank, EndpointId) {
        let shares = |id| self.endpoints.get(id).is_some_and(|endpoint| endpoint.options.reuse_port);
        let best = takers[0];
        let (unconnected, ..) = best.0;
        if takers.len() == 1 || !unconnected || !shares(best.1) {
            return best;
        }
        let group: Vec<_> = takers.iter().filter(|(rank, id)| *rank == best.0 && shares(*id)).collect();
        let hash = self.secret.hash(Purpose::Balance, &[SocketAddr::new(destination, port), from], 0);
        *group[(hash % group.len() as u64) as usize]
    }

    pub(crate) fn deliver(&mut self, id: EndpointId, from: SocketAddr, arrival: Arrival, data: &[u8]) {
        let Some(Endpoint { role: Role::Datagram(datagram), kind, options, .. }) = self.endpoints.get_mut(id)
        else {
            return;
        };
        if datagram.read_shutdown {
            return;
        }
        // Answers to echo requests are no datagrams of UDP.
        let udp = u64::from(*kind == Kind::Datagram);
        if datagram.push(from, arrival, data, options.recv_buffer) {
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
        own: &DatagramOptions,
    ) -> Result<usize, Error> {
        let endpoint = self.endpoints.get(id).ok_or(Error::BadEndpoint)?;
        let (kind, options) = (endpoint.kind, endpoint.options);
        let (bound, port) = endpoint.bound.ok_or(Error::Invalid)?;
        let scope = own.interface.or(options.ip.device).or_else(|| scope_of(&to));
        let scope = scope.or_else(|| options.ip.unicast_interface.filter(|_| !to.ip().is_multicast()));
        let scope =
            scope.or_else(|| self.group_scope(&options.multicast, own.source.unwrap_or(bound), to.ip()));
        if scope.is_some_and(|scope| scope.place() >= self.interfaces.len()) {
            return Err(Error::NoInterface);
        }
        let destination = to.ip();
        let hop = self.route_out(destination, scope)?;
        if (own.on_link || options.ip.on_link) && hop.is_routed(destination) {
            return Err(Error::NetworkUnreachable);
        }
        let via = &self.interfaces[hop.interface.0 as usize];
        if let IpAddr::V4(v4) = destination
            && via.is_broadcast(v4)
            && !options.broadcast
        {
            return Err(Error::AccessDenied);
        }
        let destination = if destination.is_unspecified() { hop.next } else { destination };
        let source = match own.source {
            Some(IpAddr::V4(source)) if !self.is_local(source.into()) => {
                return Err(Error::NetworkUnreachable);
            }
            Some(source) if !self.is_local(source) => return Err(Error::Invalid),
            Some(source) => source,
            // Who is bound to a group has no address by that.
            None if bound.is_unspecified() || bound.is_multicast() => {
                options.multicast.source_to(destination).unwrap_or(hop.source)
            }
            None => bound,
        };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(Error::NetworkUnreachable);
        }
        if protocol_of(kind).is_some() && options.raw.header_included {
            return self.send_with_header(
                now,
                id,
                data,
                (hop, source, SocketAddr::new(destination, to.port())),
            );
        }
        let len = data.len() + if kind == Kind::Datagram { HEADER_LEN } else { 0 };
        let discovery = options.ip.discovery(destination);
        let mut mtu: usize =
            if discovery.heeds_path() { self.mtu_to(now, hop, destination) } else { via.mtu.into() };
        let mut fragments = discovery.fragments();
        if destination.is_ipv6() {
            mtu = options.ip.mtu_v6.map_or(mtu, |most| mtu.min(most.into()));
            fragments &= !own.dont_fragment.unwrap_or(options.ip.dont_fragment_v6);
        }
        // UDP_SEGMENT, udp(7): each of the datagrams has to fit, and as on Linux there are not too many.
        let size = match own.datagram_size {
            Some(size) => usize::from(size),
            None => options.datagram_size.map_or(0, |size| size.get().into()),
        };
        let size = if kind == Kind::Datagram { size } else { 0 };
        fragments &= size == 0;
        // What does not fit leaves in fragments, if it may, and unless no length field could say it.
        let longest = if size == 0 { len } else { len.min(HEADER_LEN + size) };
        let fits = ip::header_len(destination) + longest <= mtu;
        if !(fits || fragments) || len > ip::most_payload(destination) {
            self.counters.fragment_fails += 1;
            // As Linux, which does not queue what no packet of IPv4 could say.
            if size == 0 && (destination.is_ipv6() || data.len() <= ip::MAX_LEN) {
                self.report_local(now, id, SocketAddr::new(destination, to.port()), mtu);
            }
            return Err(Error::MessageTooLong);
        }
        // As Linux: what is cut is summed.
        let unsummed = kind == Kind::Datagram && options.ip.leaves_unsummed(destination);
        if size > 0 && (data.len() > size * MAX_DATAGRAMS || unsummed && data.len() > size) {
            return Err(Error::Invalid);
        }
        if own.probe {
            return Ok(data.len());
        }
        let marks = options.ip.marks(destination, self.usual_hops(hop));
        let usual = options.multicast.hops_to(destination).unwrap_or(marks.ttl);
        let marks = Marks { ttl: own.ttl.unwrap_or(usual), tos: own.tos.unwrap_or(marks.tos), ..marks };
        let protocol = match kind {
            Kind::Echo => echo_protocol(destination, data)?,
            Kind::Raw(protocol) => protocol_to(protocol, &to)?,
            _ => checksum::UDP,
        };
        let summing = match (protocol_of(kind), options.raw.checksum_at) {
            (None, _) if unsummed => Summing::Done,
            (None, _) => Summing::OfProtocol,
            (Some(_), Some(at)) if usize::from(at) + 2 > len => return Err(Error::Invalid),
            (Some(_), Some(at)) => Summing::At(at),
            (Some(_), None) => Summing::Done,
        };
        let marks = Marks { summing, ..marks };
        let packet = Outgoing { hop, source, destination, protocol, ttl: marks.ttl };
        let fill = |bytes: &mut [u8]| {
            if kind != Kind::Datagram {
                bytes.copy_from_slice(data);
            }
            if kind == Kind::Echo {
                // The identifier is the endpoint's port, icmp(7).
                bytes[4..6].copy_from_slice(&port.to_be_bytes());
            }
            if kind != Kind::Datagram {
                return;
            }
            bytes[..2].copy_from_slice(&port.to_be_bytes());
            bytes[2..4].copy_from_slice(&to.port().to_be_bytes());
            let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
            // Until it is summed, if it is: RFC 768, zero is "no checksum".
            bytes[6..8].fill(0);
            bytes[HEADER_LEN..].copy_from_slice(data);
        };
        let size = u16::try_from(size).ok().filter(|size| data.len() > usize::from(*size));
        let len = (len, size.and_then(NonZeroU16::new));
        self.loop_back(&options.multicast, packet, marks, len, fill);
        if !stays_here(hop.interface, destination, marks.ttl) {
            self.send_datagrams(now, (packet, marks), mtu, len, fill);
        }
        // As Linux: once for all that leave in one frame, or would where the link takes it.
        self.counters.udp_out += u64::from(kind == Kind::Datagram);
        Ok(data.len())
    }

    /// The endpoint that sent a datagram which the network reports back: the one that would hear an answer.
    pub(crate) fn datagram_of_sent(
        &self,
        sent: &Packet,
        source: u16,
        destination: u16,
    ) -> Option<EndpointId> {
        let protocol = if sent.protocol == checksum::UDP { checksum::UDP } else { checksum::ICMP };
        let peer = SocketAddr::new(sent.destination, destination);
        let takers = self.takers(protocol, sent.source, source, peer);
        (!takers.is_empty()).then(|| self.choose(&takers, sent.source, source, peer).1)
    }

    /// Whether the endpoint that sent a datagram believes a report that it was too long.
    pub(crate) fn believes_report(&self, sent: &Packet, (source, destination): (u16, u16)) -> bool {
        let id = self.datagram_of_sent(sent, source, destination);
        if self.raw_believes_report(sent) {
            return true;
        }
        id.and_then(|id| self.endpoints.get(id))
            .is_some_and(|endpoint| endpoint.options.ip.discovery(sent.destination).believes_reports())
    }
}

/// How well an endpoint matches, the less the better: it is not connected, not bound to the address, not of the family.
type Rank = (bool, bool, bool);

/// The protocol of an echo request, which is all that may be sent: `data` is the ICMP message, icmp(7).
fn echo_protocol(destination: IpAddr, data: &[u8]) -> Result<u8, Error> {
    const ECHO_REQUEST: u8 = 8;
    const V6_ECHO_REQUEST: u8 = 128;
    let (kind, protocol) = match destination {
        IpAddr::V4(_) => (ECHO_REQUEST, checksum::ICMP),
        IpAddr::V6(_) => (V6_ECHO_REQUEST, checksum::ICMP6),
    };
    if data.len() < icmp::HEADER_LEN || data[..2] != [kind, 0] {
        return Err(Error::Invalid);
    }
    Ok(protocol)
}

/// The interface that a link-local address is scoped to.
pub(crate) fn scope_of(address: &SocketAddr) -> Option<InterfaceId> {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(InterfaceId::new(v6.scope_id())),
        _ => None,
    }
}
