//! What the network says of packets that we sent, and who is told: icmp(7), udp(7), ip(7), RFC 1122 section 4.1.3.3.

use std::net::{IpAddr, SocketAddr};

use super::endpoint::{Arrival, EndpointId};
use super::error_queue::{ErrorReport, Reporter};
use super::{Endpoint, Engine, Role};
use crate::error::Error;
use crate::net::checksum;
use crate::net::icmp;
use crate::net::ip::Packet;
use crate::time::Instant;

/// An ICMP error about a packet of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saying {
    /// The errno that it comes to.
    pub(crate) error: Error,
    /// Whether it will not go away by itself.
    hard: bool,
    reporter: Reporter,
    kind: u8,
    code: u8,
    pub(crate) info: u32,
    offender: IpAddr,
    /// How the message arrived that says it.
    arrival: Option<Arrival>,
}

impl Saying {
    /// What an ICMP message of IPv4 comes to; `word` is its second. The table is `icmp_err_convert` of Linux, see icmp(7).
    /// `None` for what is no error.
    pub(crate) fn of_icmp(offender: IpAddr, kind: u8, code: u8, word: u32) -> Option<Self> {
        let (error, hard, info) = match (kind, code) {
            (icmp::UNREACHABLE, _) => {
                let (error, hard) = match code {
                    0 | 11 => (Error::NetworkUnreachable, false),
                    1 | 12 => (Error::HostUnreachable, false),
                    2 => (Error::ProtocolUnreachable, true),
                    3 => (Error::ConnectionRefused, true),
                    // RFC 1191 section 4.
                    4 => (Error::MessageTooLong, false),
                    5 => (Error::NotSupported, false),
                    6 | 9 => (Error::NetworkUnreachable, true),
                    7 => (Error::HostUnknown, true),
                    8 => (Error::Isolated, true),
                    10 | 13..=15 => (Error::HostUnreachable, true),
                    _ => return None,
                };
                (error, hard, if code == 4 { word & 0xffff } else { 0 })
            }
            (icmp::TIME_EXCEEDED, _) => (Error::HostUnreachable, false, 0),
            (icmp::PARAMETER_PROBLEM, _) => (Error::Protocol, true, word >> 24),
            _ => return None,
        };
        Some(Self { error, hard, reporter: Reporter::Icmp, kind, code, info, offender, arrival: None })
    }

    /// The same for ICMPv6: `icmpv6_err_convert` of Linux.
    pub(crate) fn of_icmp6(offender: IpAddr, kind: u8, code: u8, word: u32) -> Option<Self> {
        let (error, hard) = match (kind, code) {
            (icmp::V6_UNREACHABLE, 0) => (Error::NetworkUnreachable, false),
            (icmp::V6_UNREACHABLE, 1 | 5 | 6) => (Error::AccessDenied, true),
            (icmp::V6_UNREACHABLE, 4) => (Error::ConnectionRefused, true),
            (icmp::V6_UNREACHABLE, code) => (Error::HostUnreachable, code > 6),
            (icmp::V6_TOO_BIG, _) => (Error::MessageTooLong, false),
            (icmp::V6_TIME_EXCEEDED, _) => (Error::HostUnreachable, false),
            (icmp::V6_PARAMETER_PROBLEM, _) => (Error::Protocol, true),
            _ => return None,
        };
        Some(Self { error, hard, reporter: Reporter::Icmp6, kind, code, info: word, offender, arrival: None })
    }

    /// The same, by a message that arrived so.
    pub(crate) const fn heard(self, arrival: Arrival) -> Self {
        Self { arrival: Some(arrival), ..self }
    }

    /// The next hop of a packet of ours does not answer: as if a router had said so, which is our own host.
    pub(crate) fn of_neighbour(sent: &Packet) -> Option<Self> {
        const HOST: u8 = 1;
        const ADDRESS: u8 = 3;
        match sent.source {
            IpAddr::V4(_) => Self::of_icmp(sent.source, icmp::UNREACHABLE, HOST, 0),
            IpAddr::V6(_) => Self::of_icmp6(sent.source, icmp::V6_UNREACHABLE, ADDRESS, 0),
        }
    }
}

impl Engine {
    /// Tells the endpoint that sent a packet (`sent`, its transport header in front of `transport`) what the network said
    /// about it.
    pub(crate) fn report(&mut self, now: Instant, sent: &Packet, transport: &[u8], saying: Saying) {
        let Some((source, destination)) = ports(sent, transport) else { return };
        match sent.protocol {
            checksum::TCP => {
                // RFC 5927 section 4.1: who reports it must know a number that is under way.
                let Some(&[_, _, _, _, s0, s1, s2, s3]) = transport.first_chunk() else { return };
                let seq = u32::from_be_bytes([s0, s1, s2, s3]);
                let Some(id) = self.connection_of_sent(sent, source, destination) else { return };
                if self.connection_mut(id).is_some_and(|connection| connection.hear_of(seq, saying.error)) {
                    self.settle(now, id);
                }
            }
            protocol => {
                let Some(id) = self.datagram_of_sent(sent, source, destination) else { return };
                // What is quoted of an echo request starts at its ICMP header, icmp(7).
                let header = if protocol == checksum::UDP { 8 } else { 0 };
                let payload = transport.get(header..).unwrap_or(&[]);
                self.report_datagram(
                    now,
                    id,
                    SocketAddr::new(sent.destination, destination),
                    payload,
                    saying,
                );
            }
        }
    }

    /// Tells a datagram endpoint. As Linux: without `IP_RECVERR` only one with a peer is told, and only what will not go
    /// away by itself.
    pub(crate) fn report_datagram(
        &mut self,
        now: Instant,
        id: EndpointId,
        destination: SocketAddr,
        payload: &[u8],
        saying: Saying,
    ) {
        let Some(Endpoint { role: Role::Datagram(datagram), options, error, .. }) =
            self.endpoints.get_mut(id)
        else {
            return;
        };
        let Saying { error: said, reporter, kind, code, info, offender, arrival, .. } = saying;
        let too_long = said == Error::MessageTooLong;
        let discovery = options.ip.discovery(destination.ip());
        // Linux: who does not want to discover is not told, but for IPv6 with a queue.
        if too_long && reporter == Reporter::Icmp && discovery == super::MtuDiscovery::Never {
            return;
        }
        if too_long && reporter == Reporter::Icmp6 && !discovery.believes_reports() {
            return;
        }
        let hard = saying.hard || (too_long && discovery != super::MtuDiscovery::Never);
        if options.ip.queues_errors(destination.ip()) {
            let report = ErrorReport {
                error: said,
                reporter,
                kind,
                code,
                info,
                offender: Some(SocketAddr::new(offender, 0)),
                destination,
                at: now,
                arrival,
            };
            datagram.queue_error(report, payload, options.recv_buffer);
        } else if !hard || datagram.peer.is_none() {
            return;
        }
        *error = Some(said);
        self.notify(id);
    }

    /// A datagram was refused here for its length: with `IP_RECVERR` that is queued with the MTU, ip(7).
    pub(crate) fn report_local(&mut self, now: Instant, id: EndpointId, destination: SocketAddr, mtu: usize) {
        let Some(Endpoint { role: Role::Datagram(datagram), options, .. }) = self.endpoints.get_mut(id)
        else {
            return;
        };
        if !options.ip.queues_errors(destination.ip()) {
            return;
        }
        // As Linux: with IPv4 the port is that of the peer, if there is one.
        let port = match destination {
            SocketAddr::V4(_) => datagram.peer.map_or(0, |peer| peer.port()),
            SocketAddr::V6(v6) => v6.port(),
        };
        let report = ErrorReport {
            error: Error::MessageTooLong,
            reporter: Reporter::Local,
            kind: 0,
            code: 0,
            info: u32::try_from(mtu).unwrap_or(u32::MAX),
            offender: None,
            destination: SocketAddr::new(destination.ip(), port),
            at: now,
            arrival: None,
        };
        datagram.queue_error(report, &[], options.recv_buffer);
        self.notify(id);
    }
}

/// The ports of a packet of ours that was reported, own and peer's; the identifier of an echo is its own.
pub(crate) fn ports(sent: &Packet, transport: &[u8]) -> Option<(u16, u16)> {
    let half = |at: usize| Some(u16::from_be_bytes(*transport.get(at..)?.first_chunk()?));
    match sent.protocol {
        checksum::TCP | checksum::UDP => Some((half(0)?, half(2)?)),
        checksum::ICMP | checksum::ICMP6 => Some((half(4)?, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_icmp_are_those_of_linux() {
        // Errno and whether it is hard: icmp_err_convert of net/ipv4/icmp.c.
        let table = [
            (libc::ENETUNREACH, false),
            (libc::EHOSTUNREACH, false),
            (libc::ENOPROTOOPT, true),
            (libc::ECONNREFUSED, true),
            (libc::EMSGSIZE, false),
            (libc::EOPNOTSUPP, false),
            (libc::ENETUNREACH, true),
            (libc::EHOSTDOWN, true),
            (libc::ENONET, true),
            (libc::ENETUNREACH, true),
            (libc::EHOSTUNREACH, true),
            (libc::ENETUNREACH, false),
            (libc::EHOSTUNREACH, false),
            (libc::EHOSTUNREACH, true),
            (libc::EHOSTUNREACH, true),
            (libc::EHOSTUNREACH, true),
        ];
        let router = IpAddr::from([10, 0, 0, 254]);
        let of = |kind, code| Saying::of_icmp(router, kind, code, 0x0102_05dc);
        for (code, (errno, hard)) in (0..).zip(table) {
            let saying = of(3, code).unwrap();
            assert_eq!((saying.error.errno(), saying.hard), (errno, hard), "code {code}");
            assert_eq!(saying.info, if code == 4 { 1500 } else { 0 });
        }
        assert_eq!(of(3, 16), None);
        assert_eq!(
            of(11, 0).map(|saying| (saying.error.errno(), saying.hard)),
            Some((libc::EHOSTUNREACH, false))
        );
        let problem = of(12, 0).unwrap();
        assert_eq!((problem.error.errno(), problem.hard, problem.info), (libc::EPROTO, true, 1));
        // A source quench (RFC 6633) and a redirect are no errors.
        assert_eq!([of(4, 0), of(5, 1)], [None, None]);
    }

    #[test]
    fn errors_of_icmpv6_are_those_of_linux() {
        let router = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 254]);
        for (kind, code, errno, hard) in [
            (1, 0, libc::ENETUNREACH, false),
            (1, 1, libc::EACCES, true),
            (1, 2, libc::EHOSTUNREACH, false),
            (1, 3, libc::EHOSTUNREACH, false),
            (1, 4, libc::ECONNREFUSED, true),
            (1, 5, libc::EACCES, true),
            (1, 6, libc::EACCES, true),
            (1, 7, libc::EHOSTUNREACH, true),
            (2, 0, libc::EMSGSIZE, false),
            (3, 0, libc::EHOSTUNREACH, false),
            (4, 1, libc::EPROTO, true),
        ] {
            let saying = Saying::of_icmp6(router, kind, code, 0).unwrap();
            assert_eq!((saying.error.errno(), saying.hard), (errno, hard), "{kind}/{code}");
        }
        assert_eq!(Saying::of_icmp6(router, 129, 0, 0), None);
    }
}
