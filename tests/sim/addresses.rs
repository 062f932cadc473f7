//! Addresses that come, are tested, grow old and go: RFC 4862, RFC 4429, RFC 5227, RFC 6724.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ioth_stack::net::{InterfaceId, Mac, RouteKind, Testing};
use ioth_stack::{Assignment, Error, Family, Kind, Origin, Standing};

use crate::wire::{Host, Wire, frames};

const ETH: InterfaceId = InterfaceId::new(2);
const SECOND: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn configured(text: &str) -> Assignment {
    Assignment::configured(text.parse().unwrap())
}

fn assign(wire: &mut Wire, host: Host, assignment: Assignment) {
    let now = wire.now();
    wire[host].assign(now, ETH, assignment).unwrap();
    wire.settle();
}

/// A host whose interface is tested in that way, on a wire with nobody else.
fn alone(testing: Testing) -> (Wire, Host) {
    let mut wire = Wire::new();
    let host = wire.host(1, Default::default(), &[]);
    let now = wire.now();
    wire[host].set_testing(now, ETH, testing);
    wire.run(10 * SECOND);
    wire.record.clear();
    (wire, host)
}

/// ARP frames that were sent: (sender, target) protocol addresses.
fn arps(wire: &Wire) -> Vec<([u8; 4], [u8; 4])> {
    let arps = wire.record.iter().filter(|sent| sent.bytes[12..14] == [8, 6]);
    let address = |bytes: &[u8], at: usize| bytes[at..at + 4].try_into().unwrap();
    arps.map(|sent| (address(&sent.bytes, 28), address(&sent.bytes, 38))).collect()
}

/// An ARP packet from station 9.
fn arp(operation: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend(STRANGER);
    bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    bytes.extend(STRANGER);
    bytes.extend(sender);
    bytes.extend([0; 6]);
    bytes.extend(target);
    bytes
}

const STRANGER: [u8; 6] = [2, 9, 9, 9, 9, 9];

/// A neighbour advertisement of `target` from station 9 to all nodes.
fn advertisement(target: &str) -> Vec<u8> {
    let target: Ipv6Addr = target.parse().unwrap();
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(STRANGER);
    let all_nodes = "ff02::1".parse().unwrap();
    let mut frame =
        frames::ipv6([0x33, 0x33, 0, 0, 0, 1], "fe80::9".parse().unwrap(), all_nodes, 58, 255, &message);
    frame[6..12].copy_from_slice(&STRANGER);
    frame
}

/// A solicitation of `target` from station 9.
fn solicitation(source: &str, target: &str) -> Vec<u8> {
    let target: Ipv6Addr = target.parse().unwrap();
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let mut frame =
        frames::ipv6([0x33, 0x33, 0xff, a, b, c], source.parse().unwrap(), group, 58, 255, &message);
    frame[6..12].copy_from_slice(&STRANGER);
    frame
}

/// One without a source.
fn probe(target: &str) -> Vec<u8> {
    solicitation("::", target)
}

#[test]
fn a_strict_ipv4_address_is_asked_for_three_times_and_announced_twice_rfc_5227_2_1_1_2_3() {
    let (mut wire, a) = alone(Testing::Strict);
    assign(&mut wire, a, configured("10.0.0.1/24"));
    let start = wire.now();
    assert_eq!(wire[a].standing(ETH, ip("10.0.0.1")), Some(Standing::Tentative));
    let socket = wire[a].open(Kind::Datagram, Family::V4);
    assert_eq!(wire[a].bind(socket, "10.0.0.1:0".parse().unwrap()), Err(Error::AddressNotAvailable));
    // Nobody gets an answer meanwhile.
    wire.inject_bytes(a, &arp(1, [10, 0, 0, 9], [10, 0, 0, 1]));
    wire.run(20 * SECOND);
    let (probe, announcement) = (([0; 4], [10, 0, 0, 1]), ([10, 0, 0, 1], [10, 0, 0, 1]));
    assert_eq!(arps(&wire), [probe, probe, probe, announcement, announcement]);
    let times: Vec<_> = wire.record.iter().map(|sent| sent.at - start).collect();
    let gap = |at: usize| times[at] - times[at - 1];
    assert!(times[0] <= SECOND, "PROBE_WAIT: {times:?}");
    assert!(
        [gap(1), gap(2)].iter().all(|gap| (SECOND..=2 * SECOND).contains(gap)),
        "PROBE_MIN, PROBE_MAX: {times:?}"
    );
    assert_eq!((gap(3), gap(4)), (2 * SECOND, 2 * SECOND), "ANNOUNCE_WAIT, ANNOUNCE_INTERVAL");
    assert_eq!(wire[a].standing(ETH, ip("10.0.0.1")), Some(Standing::Preferred));
}

#[test]
fn whoever_has_or_wants_it_too_takes_it_from_us_rfc_5227_2_1_1() {
    let claims = [
        arp(2, [10, 0, 0, 1], [10, 0, 0, 1]),
        arp(1, [10, 0, 0, 1], [10, 0, 0, 7]),
        arp(1, [0; 4], [10, 0, 0, 1]),
    ];
    for claim in claims {
        let (mut wire, a) = alone(Testing::Strict);
        assign(&mut wire, a, configured("10.0.0.1/24"));
        wire.run(3 * SECOND);
        wire.inject_bytes(a, &claim);
        wire.run(20 * SECOND);
        assert_eq!(wire[a].standing(ETH, ip("10.0.0.1")), Some(Standing::Duplicate));
        assert!(arps(&wire).iter().all(|(sender, _)| *sender == [0; 4]), "it is not announced");
        assert_eq!(wire[a].counters().address_conflicts, 1);
    }
}

#[test]
fn an_address_in_use_is_defended_once_in_ten_seconds_rfc_5227_2_4() {
    let (mut wire, a) = alone(Testing::Optimistic);
    assign(&mut wire, a, configured("10.0.0.1/24"));
    wire.run(5 * SECOND);
    assert_eq!(arps(&wire), [([10, 0, 0, 1], [10, 0, 0, 1]); 2], "announced, usable at once");
    wire.record.clear();
    let claim = arp(1, [10, 0, 0, 1], [10, 0, 0, 7]);
    for (wait, defences) in [(1, 1), (9, 1), (1, 2)] {
        wire.inject_bytes(a, &claim);
        wire.run(wait * SECOND);
        assert_eq!(arps(&wire).len(), defences);
    }
    // What the user gave stays.
    assert_eq!(wire[a].standing(ETH, ip("10.0.0.1")), Some(Standing::Preferred));
    // Nor is the claimer entered as a neighbour.
    assert!(wire[a].snapshot(wire.now()).neighbours.is_empty());
}

#[test]
fn what_was_lent_is_let_go_when_it_is_claimed_again_rfc_5227_2_4() {
    let (mut wire, a) = alone(Testing::Optimistic);
    assign(&mut wire, a, Assignment { origin: Origin::Leased, ..configured("10.0.0.1/24") });
    // Strict for a lease, whatever the interface has.
    assert_eq!(wire[a].standing(ETH, ip("10.0.0.1")), Some(Standing::Tentative));
    wire.run(12 * SECOND);
    assert_eq!(wire[a].standing(ETH, ip("10.0.0.1")), Some(Standing::Preferred));
    let claim = arp(1, [10, 0, 0, 1], [10, 0, 0, 7]);
    wire.inject_bytes(a, &claim);
    wire.run(SECOND);
    assert_eq!(wire[a].standing(ETH, ip("10.0.0.1")), Some(Standing::Preferred));
    wire.inject_bytes(a, &claim);
    wire.settle();
    assert_eq!(wire[a].standing(ETH, ip("10.0.0.1")), Some(Standing::Duplicate));
}

#[test]
fn a_strict_ipv6_address_is_asked_for_once_rfc_4862_5_4_2() {
    let (mut wire, a) = alone(Testing::Strict);
    assign(&mut wire, a, configured("fd00::1/64"));
    let start = wire.now();
    wire.run(900 * SECOND / 1000);
    assert_eq!(wire[a].standing(ETH, ip("fd00::1")), Some(Standing::Tentative));
    // Section 5.4.3: a question of a host that has an address is not answered.
    wire.inject_bytes(a, &solicitation("fd00::9", "fd00::1"));
    wire.run(5 * SECOND);
    let sent = &wire.record;
    assert_eq!(sent.len(), 2, "a question and an advertisement");
    assert!(sent[0].at - start <= SECOND);
    assert_eq!((sent[0].bytes[54], &sent[0].bytes[22..38]), (135, &[0; 16][..]), "from nowhere");
    assert_eq!(sent[0].bytes.len(), 78, "and without a link-layer address (RFC 4861 section 4.3)");
    assert_eq!((sent[1].bytes[54], sent[1].at - sent[0].at), (136, SECOND));
    assert_eq!(wire[a].standing(ETH, ip("fd00::1")), Some(Standing::Preferred));
}

#[test]
fn a_tentative_ipv6_address_is_lost_to_whoever_has_or_wants_it_rfc_4862_5_4_3_5_4_4() {
    for testing in [Testing::Strict, Testing::Optimistic] {
        for claim in [advertisement("fd00::1"), probe("fd00::1")] {
            let (mut wire, a) = alone(testing);
            assign(&mut wire, a, configured("fd00::1/64"));
            wire.inject_bytes(a, &claim);
            wire.run(5 * SECOND);
            assert_eq!(wire[a].standing(ETH, ip("fd00::1")), Some(Standing::Duplicate), "{testing:?}");
            assert!(wire.record.iter().all(|sent| sent.bytes[54] == 135), "it is not advertised");
        }
    }
}

#[test]
fn an_optimistic_address_works_at_once_and_overrides_nobody_rfc_4429() {
    let (mut wire, a) = alone(Testing::Optimistic);
    let b = wire.host(2, Default::default(), &["fd00::2/64"]);
    assign(&mut wire, a, configured("fd00::1/64"));
    assert_eq!(wire[a].standing(ETH, ip("fd00::1")), Some(Standing::Optimistic));
    let start = wire.now();
    let (x, y) = wire.connected(a, b, "[fd00::2]:80");
    assert!(wire.now() - start < SECOND / 2, "no second is waited");
    assert!(wire.echoes([(a, x), (b, y)]));
    // Section 3.3: no Override flag.
    let question = solicitation("fd00::2", "fd00::1");
    wire.record.clear();
    wire.inject_bytes(a, &question);
    wire.settle();
    assert_eq!((wire.record[0].bytes[54], wire.record[0].bytes[58] & 0x20), (136, 0));
    wire.run(3 * SECOND);
    assert_eq!(wire[a].standing(ETH, ip("fd00::1")), Some(Standing::Preferred));
}

#[test]
fn an_address_grows_old_and_goes_rfc_4862_5_5_4() {
    let (mut wire, a) = alone(Testing::Off);
    let b = wire.host(2, Default::default(), &["fd00::2/64"]);
    let lent = Assignment {
        origin: Origin::Advertised,
        preferred: Some(10 * SECOND),
        valid: Some(20 * SECOND),
        ..configured("fd00::1/64")
    };
    assign(&mut wire, a, lent);
    let (x, y) = wire.connected(a, b, "[fd00::2]:80");
    assign(&mut wire, a, configured("fd00::7/64"));
    let source = |wire: &mut Wire| {
        let id = wire.connect(a, "[fd00::2]:81");
        wire[a].local_address(id).unwrap().ip()
    };
    assert_eq!(source(&mut wire), ip("fd00::1"));
    wire.run(11 * SECOND);
    assert_eq!(wire[a].standing(ETH, ip("fd00::1")), Some(Standing::Deprecated));
    assert_eq!(source(&mut wire), ip("fd00::7"), "new connections take another");
    assert!(wire.echoes([(a, x), (b, y)]), "old ones go on");
    // Renewed in time it is preferred again.
    assign(&mut wire, a, lent);
    assert_eq!(source(&mut wire), ip("fd00::1"));
    wire.run(21 * SECOND);
    assert_eq!(wire[a].standing(ETH, ip("fd00::1")), None);
    assert_eq!(source(&mut wire), ip("fd00::7"));
}

#[test]
fn a_connection_outlives_its_address() {
    let (mut wire, a, b) = Wire::pair();
    let (x, y) = wire.connected(a, b, "10.0.0.2:80");
    let now = wire.now();
    wire[a].remove_address(now, ETH, ip("10.0.0.1")).unwrap();
    assert_eq!(wire[a].remove_address(now, ETH, ip("10.0.0.1")), Err(Error::AddressNotAvailable));
    wire.record.clear();
    wire[a].send(now, x, b"lost for now").unwrap();
    wire.run(SECOND);
    assert!(wire.sent_by(a).all(|sent| sent.bytes[12..14] != [8, 0]), "nothing leaves from it");
    let now = wire.now();
    wire[a].add_address(ETH, "10.0.0.1/24".parse().unwrap()).unwrap();
    wire[a].announce(now);
    wire.run(10 * SECOND);
    let mut buffer = [0; 100];
    let now = wire.now();
    assert_eq!(wire[b].recv(now, y, &mut buffer).unwrap(), 12);
    assert!(wire.echoes([(a, x), (b, y)]));
}

#[test]
fn the_route_to_a_network_goes_with_the_last_address_on_it() {
    let (mut wire, a, _) = Wire::pair();
    let now = wire.now();
    let network = |wire: &Wire| {
        let routes = wire[a].snapshot(wire.now()).routes;
        routes.iter().any(|route| route.destination.to_string() == "10.0.0.0/24")
    };
    wire[a].add_address(ETH, "10.0.0.7/24".parse().unwrap()).unwrap();
    wire[a].remove_address(now, ETH, ip("10.0.0.1")).unwrap();
    assert!(network(&wire));
    wire[a].remove_address(now, ETH, ip("10.0.0.7")).unwrap();
    assert!(!network(&wire));
}

#[test]
fn routes_that_lead_nowhere_say_so() {
    let (mut wire, a, _) = Wire::pair();
    let gateway = Some(ip("10.0.0.2"));
    wire[a].add_route("0.0.0.0/0".parse().unwrap(), gateway, None, 0).unwrap();
    let kinds = [
        (RouteKind::Blackhole, Error::Invalid),
        (RouteKind::Unreachable, Error::HostUnreachable),
        (RouteKind::Prohibit, Error::AccessDenied),
    ];
    for (kind, error) in kinds {
        let network: ioth_stack::net::Cidr = "192.0.2.0/24".parse().unwrap();
        wire[a].add_barrier(network, kind, 0).unwrap();
        assert_eq!(wire[a].add_barrier(network, kind, 0), Err(Error::AddressInUse));
        let now = wire.now();
        let socket = wire[a].open(Kind::Datagram, Family::V4);
        assert_eq!(wire[a].send_to(now, socket, b"x", Some("192.0.2.1:9".parse().unwrap())), Err(error));
        assert!(wire[a].send_to(now, socket, b"x", Some("192.0.3.1:9".parse().unwrap())).is_ok());
        wire[a].remove_route(network, kind, None, None).unwrap();
        assert_eq!(wire[a].remove_route(network, kind, None, None), Err(Error::NoSuchRoute));
        assert!(wire[a].send_to(now, socket, b"x", Some("192.0.2.1:9".parse().unwrap())).is_ok());
    }
}

#[test]
fn an_interface_is_taken_away_and_another_serves_rfc_1122_3_3_4() {
    let mut wire = Wire::new();
    let a = wire.host(1, Default::default(), &["10.0.0.1/24"]);
    let second = wire.attach(a, crate::wire::Port { segment: 1, ..Default::default() }, &["10.1.0.1/24"]);
    let b = wire.host(2, Default::default(), &["10.0.0.2/24"]);
    wire.attach(b, crate::wire::Port { segment: 1, ..Default::default() }, &["10.1.0.2/24"]);
    let (x, y) = wire.connected(a, b, "10.1.0.2:80");
    let (kept, other) = wire.connected(a, b, "10.0.0.2:81");
    let now = wire.now();
    wire[a].remove_interface(now, second).unwrap();
    assert_eq!(wire[a].remove_interface(now, second), Err(Error::Invalid));
    assert_eq!(wire[a].interface_by_name("eth2"), None);
    assert!(wire.echoes([(a, kept), (b, other)]));
    let socket = wire[a].open(Kind::Datagram, Family::V4);
    let now = wire.now();
    assert_eq!(
        wire[a].send_to(now, socket, b"x", Some("10.1.0.2:9".parse().unwrap())),
        Err(Error::NetworkUnreachable)
    );
    let _ = (x, y);
}

#[test]
fn a_static_neighbour_needs_no_question_and_changes_by_nobody() {
    let (mut wire, a, b) = Wire::pair();
    let mac = wire.mac(b);
    wire[a].add_neighbour(ETH, ip("10.0.0.2"), Mac::new(mac)).unwrap();
    // Somebody says otherwise.
    wire.inject_bytes(a, &arp(2, [10, 0, 0, 2], [10, 0, 0, 1]));
    wire.record.clear();
    let (x, y) = wire.connected(a, b, "10.0.0.2:80");
    assert!(wire.echoes([(a, x), (b, y)]));
    assert!(wire.sent_by(a).all(|sent| sent.bytes[12..14] == [8, 0] || sent.bytes[20..22] == [0, 2]));
    assert_eq!(wire[a].remove_neighbour(ETH, ip("10.0.0.2")), Ok(()));
    assert_eq!(wire[a].remove_neighbour(ETH, ip("10.0.0.2")), Err(Error::Invalid));
}

#[test]
fn a_link_that_shrinks_shortens_segments() {
    let (mut wire, a, b) = Wire::pair();
    let (x, y) = wire.connected(a, b, "10.0.0.2:80");
    wire[a].set_mtu(ETH, 600).unwrap();
    wire.record.clear();
    let data = vec![7; 20_000];
    let now = wire.now();
    assert_eq!(wire[a].send(now, x, &data), Ok(data.len()));
    wire.settle();
    assert!(wire.sent_by(a).all(|sent| sent.bytes.len() <= 614));
    let mut buffer = vec![0; 30_000];
    let now = wire.now();
    assert_eq!(wire[b].recv(now, y, &mut buffer), Ok(20_000));
}

#[test]
fn a_rival_says_so_from_the_address_itself_rfc_4861_7_2_4() {
    let mut wire = Wire::new();
    let a = wire.host(1, Default::default(), &[]);
    let _rival = wire.host(2, Default::default(), &["fd00::9/64"]);
    let now = wire.now();
    wire[a].set_testing(now, InterfaceId::new(2), Testing::Optimistic);
    let taken = Assignment::configured("fd00::9/64".parse().unwrap());
    wire[a].assign(now, InterfaceId::new(2), taken).unwrap();
    wire.settle();
    assert_eq!(wire[a].standing(InterfaceId::new(2), taken.cidr.address()), Some(Standing::Duplicate));
}
