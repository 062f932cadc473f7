//! Raw endpoints: IP packets of one protocol, with their header for IPv4 and without for IPv6; raw(7), ipv6(7).
//!
//! Each that matches gets a copy, beside what the protocol itself does with the packet. Their port is the number of the
//! protocol, as getsockname(2) shows it on Linux. Queue, peer, errors and groups are those of datagram endpoints.

use std::net::{IpAddr, SocketAddr};

use crate::engine::calls::canonical;
use crate::engine::endpoint::{Arrival, EndpointId, Family, Kind};
use crate::engine::output::Hop;
use crate::engine::report::Saying;
use crate::engine::{Endpoint, Engine, Role};
use crate::error::Error;
use crate::filter::Subject;
use crate::link::{Checksum, Frame};
use crate::net::ip::{self, Packet};
use crate::net::route::InterfaceId;
use crate::net::{checksum, ethernet};
use crate::time::Instant;

/// `IPPROTO_RAW`: whoever sends so writes the headers, raw(7).
pub(crate) const RAW: u8 = 255;
/// Mobility headers, whose checksum stands in their fifth byte (RFC 6275 section 6.1.1).
const MOBILITY: u8 = 135;

/// Switches of raw endpoints; a part of [`Options`](crate::Options).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawOptions {
    /// `IP_HDRINCL`, `IPV6_HDRINCL`: what is sent begins with an IP header.
    pub header_included: bool,
    /// `ICMP_FILTER` of raw(7): a bit for each type, 0 to 31, that is not received.
    pub icmp_filter: u32,
    /// `ICMP6_FILTER` (RFC 3542 section 3.2): the same for all types, in the layout of `struct icmp6_filter`.
    pub icmp6_filter: [u32; 8],
    /// `IPV6_CHECKSUM` (RFC 3542 section 3.1): where in what is sent a checksum is written, and in what is received looked at.
    pub checksum_at: Option<u16>,
}

impl RawOptions {
    /// Those of a fresh endpoint.
    pub(crate) fn new(family: Family, protocol: u8) -> Self {
        let checksum_at = match protocol {
            checksum::ICMP6 => Some(2),
            MOBILITY => Some(4),
            _ => None,
        };
        Self {
            header_included: protocol == RAW,
            checksum_at: checksum_at.filter(|_| family == Family::V6),
            ..Self::default()
        }
    }

    /// Whether the filter of types lets a packet through.
    fn lets_through(&self, packet: &Packet, frame: &[u8]) -> bool {
        // As Linux: what is too short for a header is dropped by those of ICMP, by ICMPv6 what has no type.
        let message = &frame[packet.payload..packet.end];
        match (packet.protocol, packet.destination) {
            (checksum::ICMP, IpAddr::V4(_)) => match message.get(..8) {
                Some(header) => header[0] >= 32 || self.icmp_filter >> header[0] & 1 == 0,
                None => false,
            },
            (checksum::ICMP6, IpAddr::V6(_)) => message
                .first()
                .is_some_and(|kind| self.icmp6_filter[usize::from(kind >> 5)] >> (kind & 31) & 1 == 0),
            _ => true,
        }
    }

    /// Whether the checksum that it looks at is right.
    fn is_sum_right(&self, packet: &Packet, frame: &Frame) -> bool {
        let segment = &frame.bytes()[packet.payload..packet.end];
        self.checksum_at.is_none()
            || packet.destination.is_ipv4()
            || !matches!(frame.checksum, Checksum::Unverified)
            || checksum::verify(packet.source, packet.destination, packet.protocol, segment)
    }
}

/// Who writes the checksum of what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Summing {
    /// The stack, where the protocol has it.
    #[default]
    OfProtocol,
    /// The application.
    Done,
    /// The stack, at this place.
    At(u16),
}

impl Summing {
    /// Writes it.
    pub(crate) fn write(self, source: IpAddr, destination: IpAddr, protocol: u8, segment: &mut [u8]) {
        match self {
            Self::OfProtocol => checksum::fill(source, destination, protocol, segment),
            Self::Done => {}
            Self::At(at) => checksum::fill_at(source, destination, protocol, segment, at.into()),
        }
    }
}

impl Engine {
    /// Makes a fresh endpoint one that hears of its protocol.
    pub(crate) fn open_raw(&mut self, id: EndpointId, protocol: u8) {
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            let any = crate::engine::calls::wildcard(endpoint.family).ip();
            endpoint.bound = Some((any, protocol.into()));
            endpoint.options.raw = RawOptions::new(endpoint.family, protocol);
        }
        self.raw.entry(protocol).or_default().push(id);
    }

    /// Ends that.
    pub(crate) fn close_raw(&mut self, id: EndpointId, protocol: u8) {
        if let Some(ids) = self.raw.get_mut(&protocol) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.raw.remove(&protocol);
            }
        }
    }

    /// Gives it an address, as often as anybody likes while it has no peer.
    pub(crate) fn bind_raw(&mut self, id: EndpointId, address: SocketAddr) -> Result<(), Error> {
        let endpoint = self.endpoint(id)?;
        if matches!(&endpoint.role, Role::Datagram(datagram) if datagram.peer.is_some()) {
            return Err(Error::Invalid);
        }
        let family = endpoint.family;
        let local = canonical(family, false, address)?.ip();
        let fits = local.is_ipv4() == (family == Family::V4);
        if !fits || !self.may_be_bound(local, true) {
            return Err(Error::AddressNotAvailable);
        }
        let endpoint = self.endpoints.get_mut(id).ok_or(Error::BadEndpoint)?;
        endpoint.bound = endpoint.bound.map(|(_, protocol)| (local, protocol));
        Ok(())
    }

    /// Gives a packet to every endpoint that hears of it; whether there was one.
    pub(crate) fn hear_raw(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &Frame,
    ) -> bool {
        let Some(ids) = self.raw.get(&packet.protocol) else { return false };
        let takers: Vec<_> = ids
            .iter()
            .copied()
            .filter(|id| self.raw_matches(*id, packet.destination, packet.source))
            .collect();
        let heard = !takers.is_empty();
        let many = packet.destination.is_multicast();
        for id in takers {
            if !many || self.wants_of_group(id, interface, packet) {
                self.give_raw(now, id, interface, packet, frame);
            }
        }
        heard
    }

    /// Whether an endpoint is of the family, and bound to nothing else, connected to nobody else.
    fn raw_matches(&self, id: EndpointId, own: IpAddr, other: IpAddr) -> bool {
        let Some(endpoint) = self.endpoints.get(id) else { return false };
        let Role::Datagram(datagram) = &endpoint.role else { return false };
        let family = if own.is_ipv4() { Family::V4 } else { Family::V6 };
        endpoint.family == family
            && endpoint.bound.is_none_or(|(bound, _)| bound.is_unspecified() || bound == own)
            && datagram.peer.is_none_or(|peer| peer.ip() == other)
    }

    fn give_raw(
        &mut self,
        now: Instant,
        id: EndpointId,
        interface: InterfaceId,
        packet: &Packet,
        frame: &Frame,
    ) {
        let from = self.scoped(interface, packet.source, 0);
        let Some(Endpoint { role: Role::Datagram(datagram), options, .. }) = self.endpoints.get_mut(id)
        else {
            return;
        };
        let bytes = frame.bytes();
        let raw = &options.raw;
        if datagram.read_shutdown || !raw.lets_through(packet, bytes) || !raw.is_sum_right(packet, frame) {
            return;
        }
        let start = if packet.destination.is_ipv4() { packet.header } else { packet.payload };
        let kept = datagram.filter.as_ref().map_or(u32::MAX, |filter| {
            filter.run(&Subject {
                frame: &bytes[..packet.end],
                start,
                network: packet.header,
                protocol: ethernet::ethertype(packet.destination),
                kind: 0,
                hardware: 1,
                interface: interface.index(),
                vlan: None,
            })
        });
        if kept == 0 {
            return;
        }
        let end = packet.end.min(start.saturating_add(usize::try_from(kept).unwrap_or(usize::MAX)));
        let (destination, ttl, tos) = (packet.destination, packet.ttl, ip::tos(bytes));
        let arrival = Arrival { destination, interface, ttl, tos, at: now, drops: 0, size: None, link: None };
        if datagram.push(from, arrival, &bytes[start..end], options.recv_buffer) {
            self.counters.raw_in += 1;
            self.notify(id);
        } else {
            self.counters.raw_overflows += 1;
        }
    }

    /// Sends a packet whose header the application wrote. What stands there as nothing is filled in: length and checksum
    /// always, identification and source where they are zero (raw(7)). Where it goes first does not depend on it.
    pub(crate) fn send_with_header(
        &mut self,
        now: Instant,
        id: EndpointId,
        data: &[u8],
        (hop, source, to): (Hop, IpAddr, SocketAddr),
    ) -> Result<usize, Error> {
        let mtu = self.interfaces[hop.interface.0 as usize].mtu.into();
        if data.len() > mtu {
            self.report_local(now, id, to, mtu);
            return Err(Error::MessageTooLong);
        }
        let v4 = to.is_ipv4();
        let header_len = match (v4, data.first()) {
            (true, Some(first)) if data.len() >= ip::V4_HEADER_LEN => usize::from(first & 0x0f) * 4,
            (false, Some(_)) if data.len() >= ip::V6_HEADER_LEN => 0,
            _ => return Err(Error::Invalid),
        };
        if header_len > data.len() {
            return Err(Error::Invalid);
        }
        let mut frame = Frame::with_capacity(ethernet::HEADER_LEN + data.len());
        frame.set_len(ethernet::HEADER_LEN + data.len());
        frame.bytes_mut()[ethernet::HEADER_LEN..].copy_from_slice(data);
        if v4 && header_len >= ip::V4_HEADER_LEN {
            self.complete_header(&mut frame.bytes_mut()[ethernet::HEADER_LEN..], header_len, source, to.ip());
        }
        self.counters.ip_out += 1;
        self.transmit_packet(now, hop, frame);
        Ok(data.len())
    }

    fn complete_header(&mut self, packet: &mut [u8], header_len: usize, source: IpAddr, to: IpAddr) {
        let len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        if packet[4..6] == [0; 2] {
            let identification = self.next_identification(source, to);
            packet[4..6].copy_from_slice(&identification.to_be_bytes());
        }
        if let IpAddr::V4(source) = source
            && packet[12..16] == [0; 4]
        {
            packet[12..16].copy_from_slice(&source.octets());
        }
        packet[10..12].fill(0);
        let sum = checksum::of(&packet[..header_len]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }

    /// Tells the raw endpoints that may have sent a packet, `quoted` from its IP header, what the network said about it.
    pub(crate) fn report_raw(&mut self, now: Instant, sent: &Packet, quoted: &[u8], saying: Saying) {
        const LEAST: usize = 8;
        let Some(ids) = self.raw.get(&sent.protocol) else { return };
        // As Linux, which wants eight bytes of what is behind the header (RFC 792).
        let Some(behind) = quoted.get(sent.payload - sent.header..).filter(|rest| rest.len() >= LEAST) else {
            return;
        };
        let tellable: Vec<_> =
            ids.iter().copied().filter(|id| self.raw_matches(*id, sent.source, sent.destination)).collect();
        for id in tellable {
            let whole = self.endpoints.get(id).is_some_and(|known| known.options.raw.header_included);
            let destination = SocketAddr::new(sent.destination, 0);
            self.report_datagram(now, id, destination, if whole { quoted } else { behind }, saying);
        }
    }

    /// Whether there is a raw endpoint that may have sent a packet.
    pub(crate) fn raw_may_have_sent(&self, sent: &Packet) -> bool {
        let ids = self.raw.get(&sent.protocol);
        ids.is_some_and(|ids| ids.iter().any(|id| self.raw_matches(*id, sent.source, sent.destination)))
    }

    /// Whether a raw endpoint that may have sent a packet believes a report that it was too long.
    pub(crate) fn raw_believes_report(&self, sent: &Packet) -> bool {
        self.raw.get(&sent.protocol).is_some_and(|ids| {
            ids.iter().any(|id| {
                let discovery = |endpoint: &Endpoint| endpoint.options.ip.discovery(sent.destination);
                self.raw_matches(*id, sent.source, sent.destination)
                    && self.endpoints.get(*id).is_some_and(|known| discovery(known).believes_reports())
            })
        })
    }
}

/// The protocol of a packet from a raw endpoint to an address, whose port may say it, too: ipv6(7).
pub(crate) fn protocol_to(protocol: u8, to: &SocketAddr) -> Result<u8, Error> {
    match (to, to.port()) {
        (SocketAddr::V4(_), _) | (_, 0) => Ok(protocol),
        (_, port) if port == protocol.into() => Ok(protocol),
        (_, port) if protocol == RAW => u8::try_from(port).map_err(|_| Error::Invalid),
        _ => Err(Error::Invalid),
    }
}

/// The protocol of a raw endpoint.
pub(crate) const fn protocol_of(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Raw(protocol) => Some(protocol),
        _ => None,
    }
}
