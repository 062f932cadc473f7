//! The messages of MLD (RFC 3810 section 5, RFC 2710 section 3), which are ICMPv6, and the packets around them.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::host::{Query, Said, Version};
use super::igmp::Heard;
use super::record::{self, Record};
use crate::link::Frame;
use crate::net::ip::V6_HEADER_LEN;
use crate::net::{checksum, ethernet, ip};

/// Who hears that a group is left (RFC 2710 section 5).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Who hears reports of the current version (RFC 3810 section 5.2.14).
const REPORTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// All nodes on the link, whose membership nobody reports.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Message types (IANA).
pub(crate) const QUERY: u8 = 130;
pub(crate) const OLDER_REPORT: u8 = 131;
const DONE: u8 = 132;
const REPORT: u8 = 143;

/// Length of a message of the older version.
const OLDER_LEN: usize = 24;
/// Where the sources start in a query.
const SOURCES: usize = 28;
/// Where the records start in a report.
const RECORDS: usize = 8;
/// Hop-by-hop options: routers look at the packet (RFC 2711), and padding.
const OPTIONS: [u8; 8] = [checksum::ICMP6, 0, ROUTER_ALERT, 2, 0, 0, 1, 0];
/// Where a message that is written starts in its frame.
pub(super) const MESSAGE: usize = ethernet::HEADER_LEN + V6_HEADER_LEN + OPTIONS.len();
const ROUTER_ALERT: u8 = 5;
const HOP_BY_HOP: u8 = 0;

/// Parses a message whose checksum was verified.
pub(crate) fn parse(message: &[u8]) -> Option<Heard> {
    let group = address(message.get(8..)?)?;
    let named = group.is_multicast();
    match message[0] {
        QUERY if named || group.is_unspecified() => {}
        OLDER_REPORT if named => return Some(Heard::Member(group.into())),
        _ => return None,
    }
    let code = u16::from_be_bytes([message[4], message[5]]);
    let mut query = Query {
        version: Version::Older,
        group: named.then_some(group.into()),
        sources: Vec::new(),
        response: Duration::from_millis(code.into()),
        robustness: None,
        interval: None,
    };
    // RFC 3810 section 8.1: the length says which version it is.
    match message.len() {
        OLDER_LEN => {}
        SOURCES.. => {
            query.version = Version::Current;
            query.response = Duration::from_millis(record::decode(code.into(), 12).into());
            query.robustness = Some(message[24] & 7).filter(|robustness| *robustness > 0);
            let interval = Duration::from_secs(record::decode(message[25].into(), 4).into());
            query.interval = Some(interval).filter(|interval| !interval.is_zero());
            let count = usize::from(u16::from_be_bytes([message[26], message[27]]));
            let sources = message[SOURCES..].get(..count * 16)?;
            if named {
                query.sources = sources.chunks_exact(16).filter_map(address).map(IpAddr::from).collect();
            }
        }
        _ => return None,
    }
    Some(Heard::Query(query))
}

/// Whether a packet, which starts at its IPv6 header and was parsed, has the option Router Alert.
pub(crate) fn has_alert(packet: &[u8]) -> bool {
    if packet[6] != HOP_BY_HOP {
        return false;
    }
    let end = V6_HEADER_LEN + (usize::from(packet[V6_HEADER_LEN + 1]) + 1) * 8;
    let mut options = packet.get(V6_HEADER_LEN + 2..end).unwrap_or_default();
    loop {
        match *options {
            [] => return false,
            [0, ref rest @ ..] => options = rest,
            [ROUTER_ALERT, ..] => return true,
            [_, len, ref rest @ ..] => options = rest.get(usize::from(len)..).unwrap_or_default(),
            [_] => return false,
        }
    }
}

/// The frames that say so, with room for the Ethernet header, and where each goes.
pub(crate) fn emit(said: Said, source: Option<Ipv6Addr>, mtu: usize) -> Vec<(IpAddr, Frame)> {
    let older = |kind: u8, group: IpAddr| match group {
        IpAddr::V6(group) => [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &group.octets()].concat(),
        IpAddr::V4(_) => Vec::new(),
    };
    let messages: Vec<(IpAddr, Vec<u8>)> = match said {
        Said::Records(records) => {
            let report = |records: Vec<Record>| (REPORTS.into(), record::report(REPORT, &records));
            let room = mtu.saturating_sub(V6_HEADER_LEN + OPTIONS.len() + RECORDS);
            record::divide(records, room).into_iter().map(report).collect()
        }
        Said::Member(_, group) => vec![(group, older(OLDER_REPORT, group))],
        Said::Done(group) => vec![(ALL_ROUTERS.into(), older(DONE, group))],
    };
    let source = IpAddr::V6(source.unwrap_or(Ipv6Addr::UNSPECIFIED));
    messages.into_iter().map(|(to, message)| (to, packet(source, to, &message))).collect()
}

fn packet(source: IpAddr, to: IpAddr, message: &[u8]) -> Frame {
    let front = ethernet::HEADER_LEN + V6_HEADER_LEN;
    let len = front + OPTIONS.len() + message.len();
    let mut frame = Frame::with_capacity(len);
    frame.set_len(len);
    let bytes = frame.bytes_mut();
    bytes[front..front + OPTIONS.len()].copy_from_slice(&OPTIONS);
    let behind = &mut bytes[front + OPTIONS.len()..];
    behind.copy_from_slice(message);
    checksum::fill(source, to, checksum::ICMP6, behind);
    ip::emit(&mut bytes[ethernet::HEADER_LEN..], source, to, HOP_BY_HOP, 1);
    frame
}

fn address(bytes: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_says_the_version_rfc_3810_8_1() {
        let version = |len: usize| {
            let message = [&[QUERY, 0, 0, 0, 0x80, 0, 0, 0][..], &[0; 20]].concat();
            match parse(&message[..len]) {
                Some(Heard::Query(query)) => Some((query.version, query.response.as_millis())),
                _ => None,
            }
        };
        assert_eq!(version(24), Some((Version::Older, 32_768)));
        assert_eq!(version(28), Some((Version::Current, 32_768)));
        assert_eq!([23, 25, 27].map(version), [None; 3]);
    }

    #[test]
    fn a_query_about_sources() {
        let (group, source): (Ipv6Addr, Ipv6Addr) = ("ff05::1".parse().unwrap(), "fd00::1".parse().unwrap());
        let message =
            [&[QUERY, 0, 0, 0, 0x03, 0xe8, 0, 0][..], &group.octets(), &[0x0a, 125, 0, 1], &source.octets()]
                .concat();
        let Some(Heard::Query(query)) = parse(&message) else { panic!("no query") };
        assert_eq!((query.group, query.robustness), (Some(group.into()), Some(2)));
        assert_eq!(query.sources, [IpAddr::from(source)]);
        assert_eq!(query.response, Duration::from_secs(1));
        assert_eq!(parse(&message[..30]), None);
    }

    #[test]
    fn what_is_written_has_the_option() {
        let group: IpAddr = "ff05::1".parse().unwrap();
        for (_, frame) in emit(Said::Member(Version::Older, group), None, 1500) {
            assert!(has_alert(&frame.bytes()[ethernet::HEADER_LEN..]));
        }
    }
}
