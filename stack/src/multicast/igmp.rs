//! The messages of IGMP (RFC 3376 section 4, RFC 2236 section 2, RFC 1112 appendix I), and the packets around them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::host::{Query, Said, Version};
use super::record::{self, Record};
use crate::link::Frame;
use crate::net::{checksum, ethernet};

/// Protocol number (IANA).
pub(crate) const PROTOCOL: u8 = 2;
/// All systems on the link (RFC 1112 section 4), whose membership nobody reports.
pub(super) const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Who hears that a group is left (RFC 2236 section 9).
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Who hears reports of the current version (RFC 3376 section 4.2.14).
const REPORTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

/// Message types.
const QUERY: u8 = 0x11;
const OLDEST_REPORT: u8 = 0x12;
const OLDER_REPORT: u8 = 0x16;
const LEAVE: u8 = 0x17;
const REPORT: u8 = 0x22;

/// Length of a message of an older version.
const OLDER_LEN: usize = 8;
/// Where the sources start in a query.
const SOURCES: usize = 12;
/// The IPv4 header with its one option: routers look at the packet (RFC 2113).
const HEADER_LEN: usize = 24;
const ROUTER_ALERT: [u8; 4] = [0x94, 4, 0, 0];
/// Internetwork control (RFC 3376 section 4).
const TOS: u8 = 0xc0;
/// The delay of an answer to the oldest routers, who do not name one (RFC 3376 section 4.1.1): 10 s.
const OLDEST_RESPONSE: Duration = Duration::from_secs(10);

/// What a host hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Query(Query),
    /// Another host, to a router of an older version.
    Member(IpAddr),
}

/// Parses a message whose checksum was verified. `alert`: the packet has the option Router Alert.
pub(crate) fn parse(message: &[u8], destination: IpAddr, alert: bool) -> Option<Heard> {
    let &[kind, code, _, _, g0, g1, g2, g3] = message.first_chunk::<OLDER_LEN>()?;
    let group = Ipv4Addr::new(g0, g1, g2, g3);
    match kind {
        QUERY => {}
        OLDEST_REPORT | OLDER_REPORT if group.is_multicast() => return Some(Heard::Member(group.into())),
        _ => return None,
    }
    // RFC 3376 section 7.1: the length and the code say which version it is.
    let version = match (message.len(), code) {
        (OLDER_LEN, 0) => Version::Oldest,
        (OLDER_LEN, _) => Version::Older,
        (SOURCES.., _) => Version::Current,
        _ => return None,
    };
    // RFC 3376 section 9.1: questions that were not meant for this link are not answered.
    let stray = group.is_unspecified() && destination != ALL_SYSTEMS;
    if version != Version::Oldest && (!alert || stray) || !(group.is_unspecified() || group.is_multicast()) {
        return None;
    }
    let mut query = Query {
        version,
        group: (!group.is_unspecified()).then_some(group.into()),
        sources: Vec::new(),
        // In tenths of a second.
        response: Duration::from_millis(u64::from(code) * 100),
        robustness: None,
        interval: None,
    };
    match version {
        // RFC 1112 appendix I: whatever the group field says, all groups are meant.
        Version::Oldest => (query.group, query.response) = (None, OLDEST_RESPONSE),
        Version::Older => {}
        Version::Current => {
            let seconds = |code: u8| record::decode(code.into(), 4);
            query.response = Duration::from_millis(u64::from(seconds(code)) * 100);
            query.robustness = Some(message[8] & 7).filter(|robustness| *robustness > 0);
            query.interval = Some(Duration::from_secs(seconds(message[9]).into())).filter(|it| !it.is_zero());
            let count = usize::from(u16::from_be_bytes([message[10], message[11]]));
            let sources = message[SOURCES..].get(..count * 4)?;
            if query.group.is_some() {
                query.sources =
                    sources.chunks_exact(4).map(|it| [it[0], it[1], it[2], it[3]].into()).collect();
            }
        }
    }
    Some(Heard::Query(query))
}

/// Whether the option Router Alert is among the options of an IPv4 header.
pub(crate) fn has_alert(mut options: &[u8]) -> bool {
    loop {
        match *options {
            [] | [0, ..] => return false,
            [1, ref rest @ ..] => options = rest,
            [kind, ..] if kind == ROUTER_ALERT[0] => return true,
            [_, len, ..] if len >= 2 => options = options.get(usize::from(len)..).unwrap_or_default(),
            _ => return false,
        }
    }
}

/// The frames that say so, with room for the Ethernet header, and where each goes.
pub(crate) fn emit(said: Said, source: Option<Ipv4Addr>, mtu: usize) -> Vec<(IpAddr, Frame)> {
    let older = |kind: u8, group: IpAddr| match group {
        IpAddr::V4(group) => [&[kind, 0, 0, 0][..], &group.octets()].concat(),
        IpAddr::V6(_) => Vec::new(),
    };
    let messages: Vec<(IpAddr, Vec<u8>)> = match said {
        Said::Records(records) => {
            let report = |records: Vec<Record>| (REPORTS.into(), record::report(REPORT, &records));
            let room = mtu.saturating_sub(HEADER_LEN + OLDER_LEN);
            record::divide(records, room).into_iter().map(report).collect()
        }
        Said::Member(Version::Oldest, group) => vec![(group, older(OLDEST_REPORT, group))],
        Said::Member(_, group) => vec![(group, older(OLDER_REPORT, group))],
        Said::Done(group) => vec![(ALL_ROUTERS.into(), older(LEAVE, group))],
    };
    let source = source.unwrap_or(Ipv4Addr::UNSPECIFIED);
    messages.into_iter().map(|(to, message)| (to, packet(source, to, message))).collect()
}

fn packet(source: Ipv4Addr, to: IpAddr, mut message: Vec<u8>) -> Frame {
    let sum = checksum::of(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let front = ethernet::HEADER_LEN + HEADER_LEN;
    let mut frame = Frame::with_capacity(front + message.len());
    frame.set_len(front + message.len());
    let packet = &mut frame.bytes_mut()[ethernet::HEADER_LEN..];
    packet[HEADER_LEN..].copy_from_slice(&message);
    crate::net::ip::emit(packet, source.into(), to, PROTOCOL, 1);
    let header = &mut packet[..HEADER_LEN];
    header[0] = 0x46;
    header[1] = TOS;
    header[20..].copy_from_slice(&ROUTER_ALERT);
    header[10..12].fill(0);
    let sum = checksum::of(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(message: &[u8]) -> Option<Heard> {
        parse(message, ALL_SYSTEMS.into(), true)
    }

    fn query(message: &[u8]) -> Query {
        match heard(message) {
            Some(Heard::Query(query)) => query,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_length_says_the_version_rfc_3376_7_1() {
        let version = |len: usize, code: u8| {
            let message = [&[QUERY, code][..], &[0; 10]].concat();
            match heard(&message[..len]) {
                Some(Heard::Query(query)) => Some((query.version, query.response.as_millis())),
                _ => None,
            }
        };
        assert_eq!(version(8, 0), Some((Version::Oldest, 10_000)));
        assert_eq!(version(8, 100), Some((Version::Older, 10_000)));
        assert_eq!(version(12, 0x8a), Some((Version::Current, 20_800)));
        assert_eq!([7, 9, 10, 11].map(|len| version(len, 1)), [None; 4]);
    }

    #[test]
    fn a_query_about_sources() {
        let message = [QUERY, 10, 0, 0, 239, 1, 2, 3, 0x0b, 60, 0, 2, 10, 0, 0, 1, 10, 0, 0, 2];
        let query = query(&message);
        assert_eq!((query.group, query.robustness), (Some([239, 1, 2, 3].into()), Some(3)));
        assert_eq!(query.sources, [IpAddr::from([10, 0, 0, 1]), [10, 0, 0, 2].into()]);
        assert_eq!(query.interval, Some(Duration::from_secs(60)));
        // More are said than there are.
        assert_eq!(heard(&message[..16]), None);
    }

    #[test]
    fn strays_are_not_answered_rfc_3376_9_1() {
        let general = [&[QUERY, 10][..], &[0; 10]].concat();
        assert!(parse(&general, ALL_SYSTEMS.into(), true).is_some());
        assert_eq!(parse(&general, ALL_SYSTEMS.into(), false), None);
        assert_eq!(parse(&general, [224, 0, 0, 5].into(), true), None);
        let of_one = [&[QUERY, 10, 0, 0, 10, 0, 0, 1][..], &[0; 4]].concat();
        assert_eq!(heard(&of_one), None);
    }

    #[test]
    fn the_option_is_found_among_others() {
        assert!(has_alert(&ROUTER_ALERT));
        assert!(has_alert(&[1, 1, 7, 3, 0, 0x94, 4, 0, 0]));
        for options in [&[][..], &[0, 0x94, 4, 0, 0], &[7, 0, 0x94, 4], &[7, 9, 0x94, 4], &[7]] {
            assert!(!has_alert(options), "{options:?}");
        }
    }
}
