//! ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2) and IPv6 (RFC 4443): echo both ways, errors both ways.

use std::net::IpAddr;
use std::time::Duration;

use super::ip::{self, Packet};
use super::mac::Mac;
use super::route::InterfaceId;
use super::{checksum, ethernet, ndp, pmtu};
use crate::engine::Engine;
use crate::engine::output::Outgoing;
use crate::error::Error;
use crate::time::Instant;

/// Message types of ICMP for IPv4 (RFC 792).
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;

/// Message types of ICMPv6 (RFC 4443).
const V6_UNREACHABLE: u8 = 1;
const V6_TOO_BIG: u8 = 2;
const V6_PARAMETER_PROBLEM: u8 = 4;
const V6_ECHO_REQUEST: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;

/// Type, code, checksum and four bytes that depend on the type.
pub(crate) const HEADER_LEN: usize = 8;
/// Errors quote so much that they fit the smallest MTU: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
const MOST_V4: usize = 576;
const MOST_V6: usize = 1280;

/// What cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    Protocol,
    Port,
}

/// Limits the errors that are sent (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)): a token bucket.
#[derive(Debug)]
pub(crate) struct RateLimit {
    tokens: u32,
    filled: Instant,
}

impl RateLimit {
    /// As Linux: `icmp_msgs_per_sec` and `icmp_msgs_burst`.
    const PER_SECOND: u32 = 1000;
    const BURST: u32 = 50;

    fn allow(&mut self, now: Instant) -> bool {
        let step = Duration::from_secs(1) / Self::PER_SECOND;
        let steps = (now - self.filled).as_nanos() / step.as_nanos();
        if steps > 0 {
            self.filled = now;
            self.tokens =
                Self::BURST.min(self.tokens.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX)));
        }
        self.tokens = match self.tokens.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { tokens: Self::BURST, filled: Instant::ZERO }
    }
}

impl Engine {
    pub(crate) fn handle_icmp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &[u8],
        to_one: bool,
    ) {
        let message = &frame[packet.payload..packet.end];
        if message.len() < HEADER_LEN {
            self.counters.malformed += 1;
            return;
        }
        if checksum::of(message) != 0 {
            self.counters.bad_checksum += 1;
            return;
        }
        match *message {
            // RFC 1122 section 3.2.2.6: an echo request to many may be ignored.
            [ECHO_REQUEST, 0, ..] if to_one => self.answer_echo(now, interface, packet, message, ECHO_REPLY),
            [ECHO_REPLY, 0, _, _, i0, i1, ..] => {
                self.deliver_echo(packet, u16::from_be_bytes([i0, i1]), message);
            }
            [UNREACHABLE, code, ..] => {
                let error = match code {
                    2 | 3 => Error::ConnectionRefused,
                    0 | 5 | 6 | 9 | 11 => Error::NetworkUnreachable,
                    // RFC 1191 section 4: the MTU of the next hop stands in the second half of the second word.
                    4 => {
                        let said = message
                            .first_chunk()
                            .map_or(0, |&[.., m0, m1]: &[u8; HEADER_LEN]| u16::from_be_bytes([m0, m1]));
                        return self.handle_too_long(now, message, said.into());
                    }
                    _ => Error::HostUnreachable,
                };
                self.handle_icmp_error(now, message, error);
            }
            _ => {}
        }
    }

    pub(crate) fn handle_icmp6(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &[u8],
        to_one: bool,
        sender: Option<Mac>,
    ) {
        let message = &frame[packet.payload..packet.end];
        if message.len() < HEADER_LEN {
            self.counters.malformed += 1;
            return;
        }
        if !checksum::verify(packet.source, packet.destination, checksum::ICMP6, message) {
            self.counters.bad_checksum += 1;
            return;
        }
        match *message {
            // RFC 4443 section 4.2: an echo request to a group is answered from our own address.
            [V6_ECHO_REQUEST, 0, ..] if to_one || packet.destination.is_multicast() => {
                self.answer_echo(now, interface, packet, message, V6_ECHO_REPLY);
            }
            [V6_ECHO_REPLY, 0, _, _, i0, i1, ..] => {
                self.deliver_echo(packet, u16::from_be_bytes([i0, i1]), message);
            }
            [ndp::SOLICITATION | ndp::ADVERTISEMENT, ..] if sender.is_some() => {
                self.handle_ndp(now, interface, packet, message);
            }
            [V6_UNREACHABLE, code, ..] => {
                let error = match code {
                    1 => Error::AccessDenied,
                    0 | 5 | 6 => Error::NetworkUnreachable,
                    4 => Error::ConnectionRefused,
                    _ => Error::HostUnreachable,
                };
                self.handle_icmp_error(now, message, error);
            }
            // RFC 4443 section 3.2.
            [V6_TOO_BIG, _, _, _, m0, m1, m2, m3, ..] => {
                self.handle_too_long(now, message, u32::from_be_bytes([m0, m1, m2, m3]));
            }
            [V6_PARAMETER_PROBLEM, 1, ..] => self.handle_icmp_error(now, message, Error::ConnectionRefused),
            _ => {}
        }
    }

    /// Sends an echo request back to where it came from.
    fn answer_echo(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        request: &[u8],
        reply: u8,
    ) {
        let Ok(hop) = self.route_back(interface, packet.source) else { return };
        // A request longer than the way back takes came in pieces, or from a super-frame: not honest.
        let mtu = usize::from(self.interfaces[hop.interface.0 as usize].mtu);
        if ip::header_len(packet.source) + request.len() > mtu {
            return;
        }
        let source = if self.is_local(packet.destination) { packet.destination } else { hop.source };
        let protocol = packet.protocol;
        let fill = |message: &mut [u8]| {
            message.copy_from_slice(request);
            message[0] = reply;
        };
        let packet = Outgoing { hop, source, destination: packet.source, protocol, ttl: ip::DEFAULT_TTL };
        self.send_packet(now, packet, request.len(), fill);
    }

    /// The network says that a packet of ours did not arrive; `message` quotes it.
    fn handle_icmp_error(&mut self, now: Instant, message: &[u8], error: Error) {
        let Some(quoted) = message.get(HEADER_LEN..) else { return };
        if let Some((sent, transport)) = parse_quoted(quoted)
            && self.is_local(sent.source)
        {
            self.report(now, &sent, transport, error);
        }
    }

    /// The network says that a packet of ours is too long for the path (RFC 1191, RFC 8201); `message` quotes it.
    /// Believed is who knows a sequence number that is under way (RFC 5927 section 7.2).
    fn handle_too_long(&mut self, now: Instant, message: &[u8], said: u32) {
        let Some(quoted) = message.get(HEADER_LEN..) else { return };
        let Some((sent, transport)) = parse_quoted(quoted) else { return };
        let v6 = sent.source.is_ipv6();
        let at = if v6 { 4 } else { 2 };
        let (Some(&[s0, s1, d0, d1, q0, q1, q2, q3]), Some(&len)) =
            (transport.first_chunk(), quoted[at..].first_chunk())
        else {
            return;
        };
        let own = if v6 { ip::V6_HEADER_LEN } else { 0 };
        let len = u16::from_be_bytes(len).saturating_add(u16::try_from(own).unwrap_or(0));
        let Some(mtu) = pmtu::of_report(said, len, v6).filter(|mtu| *mtu < len) else { return };
        if sent.protocol != checksum::TCP || !self.is_local(sent.source) {
            return;
        }
        let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        if let Some(id) = self.connection_of_sent(&sent, source, destination)
            && let Some(connection) = self.connection_mut(id)
            && connection.path_is_narrow(u32::from_be_bytes([q0, q1, q2, q3]), mtu)
        {
            self.path_mtus.learn(now, sent.destination, mtu);
            self.want_transmit(id);
        }
    }

    /// Tells the sender of a packet that nobody takes it. Never about groups, broadcasts or errors
    /// (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)): the caller passes unicast packets of other
    /// protocols than ICMP only.
    pub(crate) fn send_unreachable(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &[u8],
        what: Unreachable,
    ) {
        if packet.source.is_unspecified() || !self.icmp_limit.allow(now) {
            return;
        }
        let Ok(hop) = self.route_back(interface, packet.source) else { return };
        let (protocol, kind, code, most) = match (packet.source, what) {
            (IpAddr::V4(_), Unreachable::Protocol) => (checksum::ICMP, UNREACHABLE, 2, MOST_V4),
            (IpAddr::V4(_), Unreachable::Port) => (checksum::ICMP, UNREACHABLE, 3, MOST_V4),
            (IpAddr::V6(_), Unreachable::Protocol) => (checksum::ICMP6, V6_PARAMETER_PROBLEM, 1, MOST_V6),
            (IpAddr::V6(_), Unreachable::Port) => (checksum::ICMP6, V6_UNREACHABLE, 4, MOST_V6),
        };
        let room = most - ip::header_len(packet.source) - HEADER_LEN;
        let quoted = &frame[packet.header..packet.end.min(packet.header + room)];
        let fill = |message: &mut [u8]| {
            message[..HEADER_LEN].fill(0);
            message[0] = kind;
            message[1] = code;
            // RFC 4443 section 3.4: the offset of the next header field that is not understood.
            if kind == V6_PARAMETER_PROBLEM && protocol == checksum::ICMP6 {
                message[7] = 6;
            }
            message[HEADER_LEN..].copy_from_slice(quoted);
        };
        let len = HEADER_LEN + quoted.len();
        let (source, destination) = (packet.destination, packet.source);
        let packet = Outgoing { hop, source, destination, protocol, ttl: ip::DEFAULT_TTL };
        self.send_packet(now, packet, len, fill);
    }
}

/// The packet of ours that an error quotes, and the start of its transport header. It may be cut, and its
/// lengths are those of the whole packet.
fn parse_quoted(quoted: &[u8]) -> Option<(Packet, &[u8])> {
    let mut address = [0; 16];
    let (source, destination, protocol, header_len): (IpAddr, IpAddr, u8, usize) = match quoted.first()? >> 4
    {
        4 => {
            let header: &[u8; ip::V4_HEADER_LEN] = quoted.first_chunk()?;
            let v4 = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
            (v4(12).into(), v4(16).into(), header[9], usize::from(header[0] & 0x0f) * 4)
        }
        6 => {
            let header: &[u8; ip::V6_HEADER_LEN] = quoted.first_chunk()?;
            address.copy_from_slice(&header[8..24]);
            let source = address.into();
            address.copy_from_slice(&header[24..40]);
            (source, address.into(), header[6], ip::V6_HEADER_LEN)
        }
        _ => return None,
    };
    let transport = quoted.get(header_len..)?;
    let packet = Packet {
        source,
        destination,
        protocol,
        ttl: 0,
        header: ethernet::HEADER_LEN,
        payload: ethernet::HEADER_LEN + header_len,
        end: ethernet::HEADER_LEN + quoted.len(),
    };
    Some((packet, transport))
}
