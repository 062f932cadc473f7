//! The ICMP errors that we send: RFC 792, RFC 1122 section 3.2.2, RFC 4443.

use std::net::{IpAddr, Ipv4Addr};

use super::checksum;
use super::extension::{self, Problem};
use super::icmp::{
    HEADER_LEN, REDIRECT, TIME_EXCEEDED, UNREACHABLE, V6_PARAMETER_PROBLEM, V6_TIME_EXCEEDED, V6_TOO_BIG,
    V6_UNREACHABLE,
};
use super::icmp_limit::Refusal;
use super::ip::{self, Marks, Packet};
use super::ndp;
use super::route::InterfaceId;
use crate::engine::Engine;
use crate::engine::interface::LOOPBACK;
use crate::engine::output::Outgoing;
use crate::time::Instant;

/// Precedence 6, and the bits of the type of service (RFC 1349 section 3).
const CONTROL: u8 = 0xc0;
const TYPE_OF_SERVICE: u8 = 0x1e;
/// Errors quote so much that they fit the smallest MTU: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
const MOST_V4: usize = 576;
pub(super) const MOST_V6: usize = 1280;

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// Its protocol is not spoken here.
    Protocol,
    /// Nobody listens on its port.
    Port,
    /// It is the first fragment of a datagram whose others did not come in time.
    ReassemblyTime,
    /// Its IPv6 headers.
    Problem(Problem),
    /// It has no hop left (RFC 1812 section 5.3.1, RFC 4443 section 3.3).
    Hops,
    /// No route leads to its destination (RFC 1812 section 5.2.7.1).
    NoRoute,
    /// The next hop does not answer.
    Host,
    /// It may not go there (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).
    Prohibited,
    /// It is longer than the next link takes (RFC 1191 section 4, RFC 4443 section 3.2).
    TooLong(u16),
    /// It would leave the scope of its source (IPv6, RFC 4443 section 3.1).
    BeyondScope,
    /// There is a shorter way for it (IPv4, RFC 1812 section 5.2.7.2).
    Redirect(Ipv4Addr),
}

impl Complaint {
    /// Type, code and the word behind the checksum.
    fn message(self, about: &Packet) -> (u8, u8, u32) {
        let named_at = u32::try_from(about.named_at).unwrap_or(0);
        match (about.source, self) {
            (IpAddr::V4(_), Self::Protocol) => (UNREACHABLE, 2, 0),
            (IpAddr::V4(_), Self::Port) => (UNREACHABLE, 3, 0),
            (IpAddr::V4(_), Self::ReassemblyTime) => (TIME_EXCEEDED, 1, 0),
            // RFC 4443 section 3.4: the word is the offset of the field that is not understood.
            (IpAddr::V6(_), Self::Protocol) => (V6_PARAMETER_PROBLEM, 1, named_at),
            (IpAddr::V6(_), Self::Port) => (V6_UNREACHABLE, 4, 0),
            (IpAddr::V6(_), Self::ReassemblyTime) => (V6_TIME_EXCEEDED, 1, 0),
            (IpAddr::V4(_), Self::Hops) => (TIME_EXCEEDED, 0, 0),
            (IpAddr::V4(_), Self::NoRoute) => (UNREACHABLE, 0, 0),
            (IpAddr::V4(_), Self::Host) => (UNREACHABLE, 1, 0),
            (IpAddr::V4(_), Self::Prohibited) => (UNREACHABLE, 13, 0),
            (IpAddr::V4(_), Self::TooLong(mtu)) => (UNREACHABLE, 4, mtu.into()),
            (IpAddr::V6(_), Self::Hops) => (V6_TIME_EXCEEDED, 0, 0),
            (IpAddr::V6(_), Self::NoRoute) => (V6_UNREACHABLE, 0, 0),
            (IpAddr::V6(_), Self::Host) => (V6_UNREACHABLE, 3, 0),
            (IpAddr::V6(_), Self::Prohibited) => (V6_UNREACHABLE, 1, 0),
            // RFC 8200 section 5: a link of IPv6 has 1280 at least.
            (IpAddr::V6(_), Self::TooLong(mtu)) => (V6_TOO_BIG, 0, mtu.max(1280).into()),
            (_, Self::BeyondScope) => (V6_UNREACHABLE, 2, 0),
            (_, Self::Redirect(to)) => (REDIRECT, 1, to.to_bits()),
            (_, Self::Problem(Problem { code, pointer, .. })) => (V6_PARAMETER_PROBLEM, code, pointer),
        }
    }
}

impl Engine {
    /// Tells the sender of a packet what is wrong with it, but never of an error (RFC 1122 section 3.2.2, RFC 4443
    /// section 2.4 (e)). That it was not to many the caller knows.
    pub(crate) fn complain(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &[u8],
        complaint: Complaint,
    ) {
        let arrived = &frame[packet.header..packet.end];
        if packet.source.is_unspecified() || is_error(arrived) {
            return;
        }
        let Ok(hop) = self.route_back(interface, packet.source) else { return };
        // As Linux: without those who find out about a path it goes on as before, and this host does not flood itself.
        let limited = match complaint {
            Complaint::TooLong(_) | Complaint::Redirect(_) => {
                self.icmp_limit.allow(now).then_some(()).ok_or(Refusal::All)
            }
            _ if hop.interface == LOOPBACK || !self.limits_icmp_by_host => Ok(()),
            _ => self.icmp_limit.allow_to(now, packet.source),
        };
        match limited {
            Ok(()) => {}
            Err(Refusal::All) => return self.counters.icmp_limited += 1,
            Err(Refusal::Host) => return self.counters.icmp_limited_host += 1,
        }
        let (kind, code, word) = complaint.message(packet);
        let (protocol, most) = match packet.source {
            IpAddr::V4(_) => (checksum::ICMP, MOST_V4),
            IpAddr::V6(_) => (checksum::ICMP6, MOST_V6),
        };
        let room = most - ip::header_len(packet.source) - HEADER_LEN;
        let quoted = &arrived[..arrived.len().min(room)];
        let fill = |message: &mut [u8]| {
            message[..4].copy_from_slice(&[kind, code, 0, 0]);
            message[4..HEADER_LEN].copy_from_slice(&word.to_be_bytes());
            message[HEADER_LEN..].copy_from_slice(quoted);
        };
        let len = HEADER_LEN + quoted.len();
        let source = if self.is_local(packet.destination) { packet.destination } else { hop.source };
        let ttl = self.usual_hops(hop);
        let outgoing = Outgoing { hop, source, destination: packet.source, protocol, ttl };
        // RFC 1812 section 4.3.2.5: internetwork control, and the type of service of what it is about.
        let tos = match packet.source {
            IpAddr::V4(_) => CONTROL | arrived[1] & TYPE_OF_SERVICE,
            IpAddr::V6(_) => 0,
        };
        let (mtu, marks) = (self.mtu_to(now, hop, packet.source), Marks { ttl, tos, ..Marks::USUAL });
        self.send_marked(now, outgoing, marks, mtu, len, fill);
    }
}

/// Whether a packet is an ICMP error, or an IPv4 fragment that may be the rest of one.
pub(super) fn is_error(packet: &[u8]) -> bool {
    let kind = |at: usize| packet.get(at).copied();
    match packet.first().map(|first| first >> 4) {
        Some(4) => match packet.first_chunk().and_then(ip::upper_layer_v4) {
            Some((checksum::ICMP, at)) => !matches!(kind(at), Some(0 | 8 | 13..=18)),
            Some(_) => false,
            None => true,
        },
        Some(6) => match extension::upper_layer(packet, packet[ip::V6_NEXT_HEADER], ip::V6_HEADER_LEN) {
            // RFC 4443 section 2.1: errors have the high bit clear; and a redirect is as good as one.
            Some((checksum::ICMP6, at)) => kind(at).is_none_or(|kind| kind < 128 || kind == ndp::REDIRECT),
            _ => false,
        },
        _ => true,
    }
}
