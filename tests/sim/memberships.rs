//! What hosts tell routers and switches of their memberships: IGMP (RFC 3376, RFC 2236) and MLD (RFC 3810, RFC 2710).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ioth_stack::net::{InterfaceId, Testing};
use ioth_stack::{EndpointId, Kind, SourceChange, Via};

use crate::feed::checksum;
use crate::wire::{Host, Port, Wire, frames};

const ETH: InterfaceId = InterfaceId::new(2);
const GROUP: &str = "239.1.2.3";
const GROUP_V6: &str = "ff15::1:2:3";
/// What the interface gives itself.
const LINK_LOCAL: &str = "fe80::ff:fe00:101";
const SECOND: Duration = Duration::from_secs(1);

/// Kinds of records (RFC 3376 section 4.2.12).
const IS_INCLUDE: u8 = 1;
const IS_EXCLUDE: u8 = 2;
const TO_INCLUDE: u8 = 3;
const TO_EXCLUDE: u8 = 4;
const ALLOW: u8 = 5;

/// A host whose first reports, those of its addresses, are over.
fn host(addresses: &[&str]) -> (Wire, Host) {
    let mut wire = Wire::new();
    wire.memberships = true;
    let host = wire.host(1, Port::default(), addresses);
    wire.run(5 * SECOND);
    wire.record.clear();
    (wire, host)
}

fn both() -> (Wire, Host) {
    host(&["10.0.0.1/24"])
}

fn join(wire: &mut Wire, host: Host, group: &str) -> EndpointId {
    let group: IpAddr = group.parse().unwrap();
    let id = wire.open(host, Kind::Datagram, SocketAddr::new(group, 0));
    let now = wire.now();
    wire[host].join_group(now, id, group, Via::Routes).unwrap();
    wire.settle();
    id
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// Kind, group and sources of each record.
    Records(Vec<(u8, IpAddr, Vec<IpAddr>)>),
    /// Type and group.
    Older(u8, IpAddr),
}

/// A message with what is around it.
#[derive(Debug)]
struct Message {
    source: IpAddr,
    destination: IpAddr,
    said: Said,
}

/// Takes a frame with a message apart, and looks at what is always the same: TTL, options, addresses of Ethernet.
fn parse(bytes: &[u8]) -> Option<Message> {
    if !frames::is_of_memberships(bytes) {
        return None;
    }
    let v6 = bytes[14] >> 4 == 6;
    let address = |at: usize| -> IpAddr {
        if v6 {
            Ipv6Addr::from(*bytes[at..].first_chunk::<16>().unwrap()).into()
        } else {
            Ipv4Addr::from(*bytes[at..].first_chunk::<4>().unwrap()).into()
        }
    };
    let (source, destination, message, len) =
        if v6 { (address(22), address(38), 62, 16) } else { (address(26), address(30), 38, 4) };
    if v6 {
        assert_eq!(bytes[21], 1, "hop limit");
        assert_eq!(bytes[54..62], [58, 0, 5, 2, 0, 0, 1, 0], "Router Alert, RFC 2711");
        assert_eq!(bytes[..2], [0x33, 0x33]);
    } else {
        assert_eq!((bytes[14], bytes[15], bytes[22]), (0x46, 0xc0, 1), "options, TOS, TTL");
        assert_eq!(bytes[34..38], [0x94, 4, 0, 0], "Router Alert, RFC 2113");
        assert_eq!(bytes[..3], [1, 0, 0x5e]);
    }
    let said = match bytes[message] {
        kind @ (0x11 | 0x12 | 0x16 | 0x17 | 130..=132) => {
            Said::Older(kind, address(message + if v6 { 8 } else { 4 }))
        }
        _ => {
            let count = u16::from_be_bytes([bytes[message + 6], bytes[message + 7]]);
            let mut at = message + 8;
            let records = (0..count).map(|_| {
                let sources = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
                let addresses = (0..=sources).map(|number| address(at + 4 + number * len));
                let addresses: Vec<_> = addresses.collect();
                let kind = bytes[at];
                at += 4 + addresses.len() * len;
                (kind, addresses[0], addresses[1..].to_vec())
            });
            let records = records.collect();
            assert_eq!(at, bytes.len());
            Said::Records(records)
        }
    };
    Some(Message { source, destination, said })
}

/// What a host said, and since when it was so quiet, in seconds.
fn said(wire: &Wire, host: Host) -> Vec<Said> {
    wire.sent_by(host).filter_map(|sent| parse(&sent.bytes)).map(|message| message.said).collect()
}

fn of_one(kind: u8, group: &str, sources: &[&str]) -> Said {
    let sources = sources.iter().map(|source| source.parse().unwrap()).collect();
    Said::Records(vec![(kind, group.parse().unwrap(), sources)])
}

fn older(kind: u8, group: &str) -> Said {
    Said::Older(kind, group.parse().unwrap())
}

/// A message of IGMP from 10.0.0.254; its checksum is filled in.
fn igmp(destination: &str, alert: bool, mut message: Vec<u8>) -> Vec<u8> {
    let sum = !checksum::sum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let destination: Ipv4Addr = destination.parse().unwrap();
    let [_, b, c, d] = destination.octets();
    let mac = [1, 0, 0x5e, b & 0x7f, c, d];
    let options: &[u8] = if alert { &[0x94, 4, 0, 0] } else { &[1, 1, 1, 0] };
    let mut frame = frames::ipv4(mac, [10, 0, 0, 254].into(), destination, 2, &[options, &message].concat());
    frame[14] = 0x46;
    frame[22] = 1;
    frame[24..26].fill(0);
    let sum = !checksum::sum(&frame[14..38]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// A message of MLD; its checksum is filled in.
fn mld(source: &str, destination: &str, hop_limit: u8, mut message: Vec<u8>) -> Vec<u8> {
    let (source, destination): (Ipv6Addr, Ipv6Addr) = (source.parse().unwrap(), destination.parse().unwrap());
    // The sum is made as if there were no options.
    let plain = frames::ipv6([0; 6], source, destination, 58, 1, &message);
    message[2..4].copy_from_slice(&plain[56..58]);
    let [.., a, b, c, d] = destination.octets();
    let options = [58, 0, 5, 2, 0, 0, 1, 0];
    frames::ipv6(
        [0x33, 0x33, a, b, c, d],
        source,
        destination,
        0,
        hop_limit,
        &[&options, &message[..]].concat(),
    )
}

/// A query of IGMPv3, answered within a second.
fn query(group: &str, sources: &[&str]) -> Vec<u8> {
    let address: Ipv4Addr = group.parse().unwrap();
    let mut message = [&[0x11, 10, 0, 0][..], &address.octets(), &[2, 125, 0, sources.len() as u8]].concat();
    sources.iter().for_each(|source| message.extend(source.parse::<Ipv4Addr>().unwrap().octets()));
    igmp(if address.is_unspecified() { "224.0.0.1" } else { group }, true, message)
}

/// One of an older version, to all hosts or to the group.
fn older_query(tenths: u8, group: &str) -> Vec<u8> {
    let address: Ipv4Addr = group.parse().unwrap();
    let message = [&[0x11, tenths, 0, 0][..], &address.octets()].concat();
    igmp(if address.is_unspecified() { "224.0.0.1" } else { group }, true, message)
}

/// A query of MLDv2, answered within a second.
fn query_v6(group: &str) -> Vec<u8> {
    let address: Ipv6Addr = group.parse().unwrap();
    let message = [&[130, 0, 0, 0, 0x03, 0xe8, 0, 0][..], &address.octets(), &[2, 125, 0, 0]].concat();
    mld("fe80::fe", if address.is_unspecified() { "ff02::1" } else { group }, 1, message)
}

#[test]
fn joining_and_leaving_are_said_twice_within_a_second_rfc_3376_5_1_rfc_3810_6_1() {
    for (group, to, source) in [(GROUP, "224.0.0.22", "10.0.0.1"), (GROUP_V6, "ff02::16", LINK_LOCAL)] {
        let (mut wire, a) = both();
        let id = join(&mut wire, a, group);
        assert_eq!(said(&wire, a), [of_one(TO_EXCLUDE, group, &[])]);
        let first = parse(&wire.record[0].bytes).unwrap();
        assert_eq!((first.source, first.destination), (source.parse().unwrap(), to.parse().unwrap()));
        wire.run(SECOND);
        assert_eq!(said(&wire, a), [of_one(TO_EXCLUDE, group, &[]), of_one(TO_EXCLUDE, group, &[])]);
        wire.run(10 * SECOND);
        wire.record.clear();
        // Whoever is gone has left.
        wire.close(a, id);
        wire.run(10 * SECOND);
        assert_eq!(said(&wire, a), [of_one(TO_INCLUDE, group, &[]), of_one(TO_INCLUDE, group, &[])]);
    }
}

#[test]
fn a_second_member_is_nobodys_business_but_a_wider_filter_is_rfc_3376_3_2() {
    let (mut wire, a) = both();
    let first = wire.open(a, Kind::Datagram, "0.0.0.0:0".parse().unwrap());
    let now = wire.now();
    let (group, source) = (GROUP.parse().unwrap(), "10.0.0.9".parse().unwrap());
    wire[a].change_source(now, first, group, Via::Routes, source, SourceChange::Join).unwrap();
    wire.run(5 * SECOND);
    assert_eq!(said(&wire, a), [of_one(ALLOW, GROUP, &["10.0.0.9"]), of_one(ALLOW, GROUP, &["10.0.0.9"])]);
    wire.record.clear();
    let second = join(&mut wire, a, GROUP);
    assert_eq!(said(&wire, a), [of_one(TO_EXCLUDE, GROUP, &[])]);
    wire.run(5 * SECOND);
    wire.record.clear();
    let _third = join(&mut wire, a, GROUP);
    wire.close(a, second);
    wire.run(5 * SECOND);
    assert_eq!(said(&wire, a), []);
}

#[test]
fn questions_are_answered_after_a_random_delay_rfc_3376_5_2_rfc_3810_6_2() {
    for (group, general, specific) in
        [(GROUP, query("0.0.0.0", &[]), query(GROUP, &[])), (GROUP_V6, query_v6("::"), query_v6(GROUP_V6))]
    {
        let mut delays = std::collections::BTreeSet::new();
        let (mut wire, a) = both();
        join(&mut wire, a, group);
        wire.run(5 * SECOND);
        for question in [&general, &specific, &specific, &specific] {
            wire.record.clear();
            let asked = wire.now();
            wire.inject_bytes(a, question);
            wire.run(SECOND);
            let records: Vec<_> = said(&wire, a)
                .into_iter()
                .flat_map(|said| match said {
                    Said::Records(records) => records,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(records.contains(&(IS_EXCLUDE, group.parse().unwrap(), vec![])), "{records:?}");
            delays.insert(wire.record[0].at - asked);
        }
        assert!(delays.len() == 4 && delays.iter().all(|delay| *delay > Duration::ZERO), "{delays:?}");
        assert_eq!(wire[a].counters().group_queries_in, 4);
    }
}

#[test]
fn a_question_about_sources_is_answered_for_these_rfc_3376_5_2() {
    let (mut wire, a) = both();
    join(&mut wire, a, GROUP);
    wire.run(5 * SECOND);
    wire.record.clear();
    wire.inject_bytes(a, &query(GROUP, &["10.0.0.7", "10.0.0.8"]));
    wire.run(5 * SECOND);
    assert_eq!(said(&wire, a), [of_one(IS_INCLUDE, GROUP, &["10.0.0.7", "10.0.0.8"])]);
}

#[test]
fn forged_questions_are_not_answered_rfc_3376_9_1_rfc_3810_6_2() {
    let (mut wire, a) = both();
    join(&mut wire, a, GROUP);
    join(&mut wire, a, GROUP_V6);
    wire.run(5 * SECOND);
    wire.record.clear();
    let general = [&[0x11, 10][..], &[0; 6], &[2, 125, 0, 0]].concat();
    wire.inject_bytes(a, &igmp("224.0.0.1", false, general.clone()));
    wire.inject_bytes(a, &igmp(GROUP, true, general));
    let mut damaged = query("0.0.0.0", &[]);
    damaged[39] ^= 1;
    wire.inject_bytes(a, &damaged);
    let general = [&[130, 0, 0, 0, 0x03, 0xe8, 0, 0][..], &[0; 16], &[2, 125, 0, 0]].concat();
    wire.inject_bytes(a, &mld("fd00::fe", "ff02::1", 1, general.clone()));
    wire.inject_bytes(a, &mld("fe80::fe", "ff02::1", 2, general.clone()));
    let group = "ff02::1".parse().unwrap();
    wire.inject_bytes(
        a,
        &frames::ipv6([0x33, 0x33, 0, 0, 0, 1], "fe80::fe".parse().unwrap(), group, 58, 1, &general),
    );
    wire.run(20 * SECOND);
    assert_eq!((said(&wire, a), wire[a].counters().group_queries_in), (vec![], 0));
}

#[test]
fn an_igmpv2_router_is_told_in_its_version_rfc_3376_7_2() {
    let (mut wire, a) = both();
    let id = join(&mut wire, a, GROUP);
    wire.inject_bytes(a, &older_query(100, "0.0.0.0"));
    wire.record.clear();
    wire.run(10 * SECOND);
    assert_eq!(said(&wire, a), [older(0x16, GROUP)]);
    let report = parse(&wire.record[0].bytes).unwrap();
    assert_eq!(report.destination, GROUP.parse::<IpAddr>().unwrap());
    wire.record.clear();
    wire.close(a, id);
    wire.run(10 * SECOND);
    assert_eq!(said(&wire, a), [older(0x17, GROUP)]);
    assert_eq!(parse(&wire.record[0].bytes).unwrap().destination, Ipv4Addr::new(224, 0, 0, 2));
    // After it was silent for two intervals and a response it is not reckoned with any more.
    wire.run(250 * SECOND);
    wire.record.clear();
    join(&mut wire, a, GROUP);
    assert_eq!(said(&wire, a), [of_one(TO_EXCLUDE, GROUP, &[])]);
}

#[test]
fn an_igmpv1_router_is_told_in_its_version_rfc_2236_4() {
    let (mut wire, a) = both();
    wire.inject_bytes(a, &older_query(0, "0.0.0.0"));
    let id = join(&mut wire, a, GROUP);
    assert_eq!(said(&wire, a), [older(0x12, GROUP)]);
    wire.run(10 * SECOND);
    assert_eq!(said(&wire, a), [older(0x12, GROUP), older(0x12, GROUP)]);
    wire.record.clear();
    wire.close(a, id);
    wire.run(10 * SECOND);
    assert_eq!(said(&wire, a), []);
}

#[test]
fn a_report_of_another_is_enough_for_an_igmpv2_router_rfc_2236_3() {
    let (mut wire, a) = both();
    join(&mut wire, a, GROUP);
    wire.inject_bytes(a, &older_query(100, GROUP));
    wire.record.clear();
    let group: Ipv4Addr = GROUP.parse().unwrap();
    wire.inject_bytes(a, &igmp(GROUP, true, [&[0x16, 0, 0, 0][..], &group.octets()].concat()));
    wire.run(20 * SECOND);
    assert_eq!(said(&wire, a), []);
}

#[test]
fn an_mldv1_router_is_told_in_its_version_rfc_3810_8_2() {
    let (mut wire, a) = both();
    let general = [&[130, 0, 0, 0, 0x27, 0x10, 0, 0][..], &[0; 16]].concat();
    wire.inject_bytes(a, &mld("fe80::fe", "ff02::1", 1, general));
    wire.run(20 * SECOND);
    wire.record.clear();
    let id = join(&mut wire, a, GROUP_V6);
    wire.run(20 * SECOND);
    wire.close(a, id);
    wire.run(20 * SECOND);
    assert_eq!(said(&wire, a), [older(131, GROUP_V6), older(131, GROUP_V6), older(132, GROUP_V6)]);
    let to: Vec<_> = wire.record.iter().map(|sent| parse(&sent.bytes).unwrap().destination).collect();
    let [group, routers]: [IpAddr; 2] = [GROUP_V6.parse().unwrap(), "ff02::2".parse().unwrap()];
    assert_eq!(to, [group, group, routers]);
}

#[test]
fn solicited_node_groups_are_reported_so_that_switches_pass_solicitations_rfc_4861_7_2_1() {
    let mut wire = Wire::new();
    wire.memberships = true;
    let a = wire.host(1, Port::default(), &["fd00::3:4/64"]);
    wire.settle();
    let groups = ["ff02::1:ff00:101", "ff02::1:ff03:4"].map(|group| group.parse().unwrap());
    let both = Said::Records(groups.map(|group| (TO_EXCLUDE, group, vec![])).to_vec());
    assert_eq!(said(&wire, a), [both]);
    wire.run(5 * SECOND);
    wire.record.clear();
    let now = wire.now();
    wire[a].remove_address(now, ETH, "fd00::3:4".parse().unwrap()).unwrap();
    wire.settle();
    assert_eq!(said(&wire, a), [of_one(TO_INCLUDE, "ff02::1:ff03:4", &[])]);
}

#[test]
fn while_an_address_is_tested_reports_come_from_none_and_are_said_again_rfc_3590_4() {
    let mut wire = Wire::new();
    wire.memberships = true;
    let a = wire.host(1, Port::default(), &[]);
    let now = wire.now();
    wire[a].set_testing(now, ETH, Testing::Strict);
    wire.run(10 * SECOND);
    let sources: Vec<_> =
        wire.sent_by(a).filter_map(|sent| parse(&sent.bytes)).map(|message| message.source).collect();
    let [none, own]: [IpAddr; 2] = ["::".parse().unwrap(), LINK_LOCAL.parse().unwrap()];
    assert!(sources.starts_with(&[none]) && sources.ends_with(&[own, own]), "{sources:?}");
    // A switch has to know the group before anybody is asked for the address.
    assert!(parse(&wire.sent_by(a).next().unwrap().bytes).is_some());
}

/// Hosts that start together say neither that they are members nor that they want an address at the same time, but the one
/// before the other.
#[test]
fn the_first_report_waits_as_the_first_solicitation_does_rfc_4862_5_4_2() {
    let first = |seed: u64| {
        let mut wire = Wire::new();
        wire.memberships = true;
        let a = wire.host(seed, Port::default(), &[]);
        let start = wire.now();
        wire[a].set_testing(start, ETH, Testing::Strict);
        wire.run(5 * SECOND);
        let report = wire.sent_by(a).find(|sent| parse(&sent.bytes).is_some()).unwrap().at;
        let question = wire.sent_by(a).find(|sent| sent.bytes[54] == 135).unwrap().at;
        assert!(report <= question && question - report < Duration::from_millis(1));
        question - start
    };
    let delays: Vec<_> = (1..20).map(first).collect();
    // MAX_RTR_SOLICITATION_DELAY.
    assert!(delays.iter().all(|delay| *delay <= SECOND), "{delays:?}");
    let early = delays.iter().filter(|delay| **delay < SECOND / 2).count();
    assert!((3..17).contains(&early), "{delays:?}");
}

#[test]
fn groups_that_everybody_hears_are_not_reported_rfc_3376_5_rfc_3810_6() {
    let (mut wire, a) = both();
    for group in ["224.0.0.1", "ff02::1", "ff01::9"] {
        join(&mut wire, a, group);
    }
    wire.inject_bytes(a, &query("0.0.0.0", &[]));
    wire.run(5 * SECOND);
    assert_eq!(said(&wire, a), []);
    // Those of a link are.
    join(&mut wire, a, "224.0.0.251");
    assert_eq!(said(&wire, a), [of_one(TO_EXCLUDE, "224.0.0.251", &[])]);
}

#[test]
fn a_router_is_a_member_of_the_groups_of_routers_rfc_4291_2_8() {
    let (mut wire, a) = both();
    wire[a].set_forwarding(true);
    wire.settle();
    let said = said(&wire, a);
    assert!(said.contains(&of_one(TO_EXCLUDE, "224.0.0.2", &[])), "{said:?}");
    // And of that of the subnet-router anycast address (section 2.6.1).
    let groups = ["ff02::2", "ff02::1:ff00:0"].map(|group| (TO_EXCLUDE, group.parse().unwrap(), vec![]));
    assert!(said.contains(&Said::Records(groups.to_vec())), "{said:?}");
}
