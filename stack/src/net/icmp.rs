//! ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2) and IPv6 (RFC 4443): echo both ways, and the errors that arrive.

use std::net::IpAddr;

use super::ip::{self, Packet};
use super::mac::Mac;
use super::route::InterfaceId;
use super::{checksum, ethernet, extension, ndp, pmtu};
use crate::engine::Engine;
use crate::engine::endpoint::Arrival;
use crate::engine::output::Outgoing;
use crate::engine::report::Saying;
use crate::error::Error;
use crate::multicast::mld;
use crate::time::Instant;

/// Message types of ICMP for IPv4 (RFC 792).
pub(super) const ECHO_REPLY: u8 = 0;
pub(crate) const UNREACHABLE: u8 = 3;
pub(super) const REDIRECT: u8 = 5;
const ECHO_REQUEST: u8 = 8;
pub(crate) const TIME_EXCEEDED: u8 = 11;
pub(crate) const PARAMETER_PROBLEM: u8 = 12;

/// Message types of ICMPv6 (RFC 4443).
pub(crate) const V6_UNREACHABLE: u8 = 1;
pub(crate) const V6_TOO_BIG: u8 = 2;
pub(crate) const V6_TIME_EXCEEDED: u8 = 3;
pub(crate) const V6_PARAMETER_PROBLEM: u8 = 4;
const V6_ECHO_REQUEST: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;

/// Type, code, checksum and four bytes that depend on the type.
pub(crate) const HEADER_LEN: usize = 8;

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
        self.counters.icmp_in.messages += 1;
        if message.len() < HEADER_LEN {
            self.counters.malformed += 1;
            self.counters.icmp_errors += 1;
            return;
        }
        if checksum::of(message) != 0 {
            self.count_icmp_checksum();
            return;
        }
        self.counters.icmp_in.count_kind(false, message[0]);
        match *message {
            // RFC 1122 section 3.2.2.6: an echo request to many may be ignored.
            [ECHO_REQUEST, 0, ..] if to_one => self.answer_echo(now, interface, packet, message, ECHO_REPLY),
            [ECHO_REPLY, 0, _, _, i0, i1, ..] => {
                self.deliver_echo(now, interface, packet, u16::from_be_bytes([i0, i1]), frame);
            }
            [kind @ (UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM), code, _, _, w0, w1, w2, w3, ..] => {
                let word = u32::from_be_bytes([w0, w1, w2, w3]);
                if let Some(saying) = Saying::of_icmp(packet.source, kind, code, word) {
                    let arrival = arrival_of(now, interface, packet, frame);
                    self.handle_icmp_error(now, message, saying.heard(arrival));
                }
            }
            [REDIRECT, 0..=3, ..] if to_one => self.handle_redirect(interface, packet, message),
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
        self.counters.icmp_in.messages += 1;
        if message.len() < HEADER_LEN {
            self.counters.malformed += 1;
            self.counters.icmp_errors += 1;
            return;
        }
        if !checksum::verify(packet.source, packet.destination, checksum::ICMP6, message) {
            self.count_icmp_checksum();
            return;
        }
        self.counters.icmp_in.count_kind(true, message[0]);
        match *message {
            // RFC 4443 section 4.2: an echo request to a group, or to any router, is answered from our own address.
            [V6_ECHO_REQUEST, 0, ..]
                if to_one || packet.destination.is_multicast() || self.is_anycast(packet.destination) =>
            {
                self.answer_echo(now, interface, packet, message, V6_ECHO_REPLY);
            }
            [V6_ECHO_REPLY, 0, _, _, i0, i1, ..] => {
                self.deliver_echo(now, interface, packet, u16::from_be_bytes([i0, i1]), frame);
            }
            [ndp::ROUTER_ADVERTISEMENT, ..] if sender.is_some() => {
                self.handle_router_advertisement(now, interface, (packet.source, packet.ttl), message);
            }
            [mld::QUERY | mld::OLDER_REPORT, 0, ..] if sender.is_some() => {
                self.handle_mld(now, interface, packet, frame);
            }
            [ndp::SOLICITATION | ndp::ADVERTISEMENT, ..] => {
                if let Some(sender) = sender {
                    self.handle_ndp(now, interface, packet, message, sender);
                }
            }
            [ndp::REDIRECT, 0, ..] if to_one && sender.is_some() => {
                self.handle_redirect_v6(now, interface, packet, message);
            }
            [
                kind @ (V6_UNREACHABLE | V6_TOO_BIG | V6_TIME_EXCEEDED | V6_PARAMETER_PROBLEM),
                code,
                _,
                _,
                w0,
                w1,
                w2,
                w3,
                ..,
            ] => {
                let word = u32::from_be_bytes([w0, w1, w2, w3]);
                if let Some(saying) = Saying::of_icmp6(packet.source, kind, code, word) {
                    let arrival = arrival_of(now, interface, packet, frame);
                    self.handle_icmp_error(now, message, saying.heard(arrival));
                }
            }
            _ => {}
        }
    }

    const fn count_icmp_checksum(&mut self) {
        self.counters.bad_checksum += 1;
        self.counters.icmp_bad_checksum += 1;
        self.counters.icmp_errors += 1;
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
        let source = if self.is_local(packet.destination) { packet.destination } else { hop.source };
        let protocol = packet.protocol;
        let fill = |message: &mut [u8]| {
            message.copy_from_slice(request);
            message[0] = reply;
        };
        let ttl = self.usual_hops(hop);
        let packet = Outgoing { hop, source, destination: packet.source, protocol, ttl };
        self.send_packet(now, packet, request.len(), fill);
    }

    /// The network says that a packet of ours did not arrive; `message` quotes it.
    fn handle_icmp_error(&mut self, now: Instant, message: &[u8], saying: Saying) {
        let Some(quoted) = message.get(HEADER_LEN..) else { return };
        let Some((sent, transport)) = parse_quoted(quoted) else { return };
        if !self.is_local(sent.source) {
            return;
        }
        // That it was too long is an error for datagrams only.
        if saying.error == Error::MessageTooLong {
            self.handle_too_long(now, quoted, &sent, transport, saying.info);
            if sent.protocol == checksum::TCP {
                self.report_raw(now, &sent, quoted, saying);
                return;
            }
        }
        self.report_raw(now, &sent, quoted, saying);
        self.report(now, &sent, transport, saying);
    }

    /// A packet of ours, `sent`, was too long for the path (RFC 1191, RFC 8201). Believed is who knows a sequence number
    /// that is under way (RFC 5927 section 7.2).
    fn handle_too_long(&mut self, now: Instant, quoted: &[u8], sent: &Packet, transport: &[u8], said: u32) {
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
        let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        if sent.protocol != checksum::TCP {
            // There is no number to know; the ports must be those of an endpoint that believes it. What is sent next is cut
            // to fit.
            let ports = if sent.protocol == checksum::UDP {
                (source, destination)
            } else {
                (u16::from_be_bytes([q0, q1]), 0)
            };
            if self.believes_report(sent, ports) {
                self.datagram_mtus.learn(now, sent.destination, mtu);
            }
            return;
        }
        if let Some(id) = self.connection_of_sent(sent, source, destination)
            && let Some(connection) = self.connection_mut(id)
            && connection.path_is_narrow(u32::from_be_bytes([q0, q1, q2, q3]), mtu)
        {
            self.path_mtus.learn(now, sent.destination, mtu);
            self.want_transmit(id);
        }
    }
}

/// The packet of ours that an error quotes, and the start of its transport header. It may be cut, and its
/// lengths are those of the whole packet. `None` for a fragment that is not the first.
pub(super) fn parse_quoted(quoted: &[u8]) -> Option<(Packet, &[u8])> {
    let mut address = [0; 16];
    let (source, destination, protocol, header_len): (IpAddr, IpAddr, u8, usize) = match quoted.first()? >> 4
    {
        4 => {
            let header: &[u8; ip::V4_HEADER_LEN] = quoted.first_chunk()?;
            let v4 = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
            let (protocol, header_len) = ip::upper_layer_v4(header)?;
            (v4(12).into(), v4(16).into(), protocol, header_len)
        }
        6 => {
            let header: &[u8; ip::V6_HEADER_LEN] = quoted.first_chunk()?;
            address.copy_from_slice(&header[8..24]);
            let source = address.into();
            address.copy_from_slice(&header[24..40]);
            let (protocol, offset) =
                extension::upper_layer(quoted, header[ip::V6_NEXT_HEADER], ip::V6_HEADER_LEN)?;
            (source, address.into(), protocol, offset)
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
        named_at: ip::V6_NEXT_HEADER,
        part: None,
        atomic: false,
    };
    Some((packet, transport))
}

/// How a message arrived, for who asks beside an error that it tells of.
fn arrival_of(now: Instant, interface: InterfaceId, packet: &Packet, frame: &[u8]) -> Arrival {
    let Packet { destination, ttl, .. } = *packet;
    Arrival { destination, interface, ttl, tos: ip::tos(frame), at: now, drops: 0, size: None, link: None }
}
