//! The client of DHCP: RFC 2131, RFC 2132, RFC 3397, RFC 3442, RFC 4702.

use std::net::Ipv4Addr;
use std::time::Duration;

use ioth_stack::net::{InterfaceId, Testing};
use ioth_stack::snapshot::Snapshot;
use ioth_stack::{Origin, Standing};

use crate::dhcp_server::{
    ACK, DECLINE, DISCOVER, GIVEN, Heard4, OFFER, RELEASE, REQUEST, SERVER, Say4, heard4, say4,
};
use crate::wire::{Host, Wire, frames};

const ETH: InterfaceId = InterfaceId::new(2);
const SECOND: Duration = Duration::from_secs(1);
const FOREVER: u32 = u32::MAX;

/// A host that has asked.
fn asking() -> (Wire, Host) {
    let mut wire = Wire::new();
    let host = wire.host(1, Default::default(), &[]);
    let now = wire.now();
    wire[host].set_host_name(Some("red.example"));
    wire[host].start_dhcp4(now, ETH);
    wire.settle();
    (wire, host)
}

/// One that has heard an offer, and then what `ack` says.
fn bound(ack: &Say4) -> (Wire, Host) {
    let (mut wire, host) = asking();
    accept(&mut wire, host, ack);
    (wire, host)
}

fn accept(wire: &mut Wire, host: Host, ack: &Say4) {
    let offer = Say4 { kind: OFFER, ..ack.clone() }.with(53, &[OFFER]);
    let question = last(wire, host);
    assert_eq!(question.kind(), DISCOVER);
    offer.to(wire, host, &question);
    let question = last(wire, host);
    assert_eq!(question.kind(), REQUEST);
    ack.to(wire, host, &question);
    wire.record.clear();
}

fn last(wire: &Wire, host: Host) -> Heard4 {
    heard4(wire, host).pop().unwrap()
}

fn shown(wire: &Wire, host: Host) -> Snapshot {
    wire[host].snapshot(wire.now())
}

fn leased(wire: &Wire, host: Host) -> Vec<String> {
    let all = shown(wire, host).addresses;
    all.iter().filter(|known| known.origin == Origin::Leased).map(|known| known.cidr.to_string()).collect()
}

/// Routes with a gateway or from the server, as `destination@gateway metric`.
fn routes(wire: &Wire, host: Host) -> Vec<String> {
    let all = shown(wire, host).routes;
    let learned = all.iter().filter(|route| route.metric != 0);
    let text = |route: &ioth_stack::snapshot::Route| {
        let gateway = route.gateway.map_or_else(String::new, |gateway| format!("@{gateway}"));
        format!("{}{gateway} {}", route.destination, route.metric)
    };
    learned.map(text).collect()
}

#[test]
fn discover_offer_request_ack_rfc_2131_3_1() {
    let (mut wire, a) = asking();
    let discover = last(&wire, a);
    assert_eq!(discover.kind(), DISCOVER);
    // Section 4.1: from 0.0.0.0 to everybody, from port 68 to 67.
    assert_eq!((discover.station, discover.source), ([0xff; 6], Ipv4Addr::UNSPECIFIED));
    assert_eq!(discover.destination, Ipv4Addr::BROADCAST);
    let mac = wire.mac(a);
    assert_eq!(discover.bytes[..4], [1, 1, 6, 0]);
    assert_eq!(discover.bytes[28..34], mac);
    // It takes frames to an address that it does not have yet: no broadcast flag.
    assert_eq!(discover.bytes[10..12], [0, 0]);
    assert!(discover.bytes.len() >= 300, "RFC 1542 section 2.1");
    assert_eq!(discover.options[&61], [&[1][..], &mac].concat());
    // RFC 3442: classless routes before routers.
    let wanted = &discover.options[&55];
    let place = |code| wanted.iter().position(|wanted| *wanted == code);
    assert!(place(121).unwrap() < place(3).unwrap());
    assert!([1, 6, 15, 26, 119].iter().all(|code| wanted.contains(code)), "{wanted:?}");
    assert_eq!(discover.options[&57], [1500u16.to_be_bytes()].concat());
    // RFC 4702 section 2: flags, two zeros, the name in the form of RFC 1035.
    assert_eq!(discover.options[&81], b"\x05\0\0\x03red\x07example\0");

    Say4::lease(OFFER, 3600).to(&mut wire, a, &discover);
    let request = last(&wire, a);
    assert_eq!((request.kind(), request.xid()), (REQUEST, discover.xid()));
    assert_eq!((request.address(50), request.address(54)), (Some(GIVEN), Some(SERVER)));
    assert_eq!((request.own(), request.source), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED));
    assert_eq!(request.options[&61], discover.options[&61]);
    assert_eq!(leased(&wire, a).len(), 0, "not before the server has acknowledged it");
    assert_eq!(wire[a].unleased4(), Some("eth1"));

    let ack = Say4::lease(ACK, 3600).with(6, &[10, 9, 0, 53, 10, 9, 0, 54]).with(15, b"lab.example\0");
    ack.to(&mut wire, a, &request);
    assert_eq!(leased(&wire, a), ["10.9.0.50/24"]);
    assert_eq!(wire[a].unleased4(), None);
    assert_eq!(routes(&wire, a), ["0.0.0.0/0@10.9.0.1 1024"]);
    let servers: Vec<_> = wire[a].learned_nameservers().iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.9.0.53", "10.9.0.54"]);
    assert_eq!(wire[a].learned_domains(), ["lab.example"]);
    let valid = shown(&wire, a).addresses.iter().find_map(|known| known.valid_for);
    assert!(valid.is_some_and(|valid| valid > 3590 * SECOND && valid <= 3600 * SECOND), "{valid:?}");
}

#[test]
fn a_server_may_name_another_broadcast_address_rfc_2132_5_3() {
    for (said, counts) in [([10, 9, 0, 127], true), ([10, 9, 0, 50], false), ([10, 8, 0, 255], false)] {
        let (mut wire, a) = asking();
        let discover = last(&wire, a);
        assert!(discover.options[&55].contains(&28));
        Say4::lease(OFFER, 3600).to(&mut wire, a, &discover);
        let request = last(&wire, a);
        Say4::lease(ACK, 3600).with(28, &said).to(&mut wire, a, &request);
        let own = shown(&wire, a)
            .addresses
            .iter()
            .find_map(|known| known.broadcast.filter(|_| known.interface == ETH));
        let expected = if counts { said } else { [10, 9, 0, 255] };
        assert_eq!(own, Some(expected.into()));
        let id = wire.datagram(a, "0.0.0.0:9");
        let udp = [&[0, 9, 0, 9, 0, 12, 0, 0][..], b"data"].concat();
        let frame = frames::ipv4([0xff; 6], Ipv4Addr::new(10, 9, 0, 1), expected.into(), 17, &udp);
        wire.inject_bytes(a, &frame);
        assert_eq!(wire.received(a, id), b"data");
    }
}

#[test]
fn questions_are_repeated_ever_more_seldom_rfc_2131_4_1() {
    let (mut wire, a) = asking();
    wire.run(300 * SECOND);
    let asked = heard4(&wire, a);
    let gaps: Vec<_> = asked.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect();
    for (gap, wanted) in gaps.iter().zip([4.0, 8.0, 16.0, 32.0, 64.0, 64.0]) {
        assert!((wanted - 1.0..=wanted + 1.0).contains(gap), "{gaps:?}");
    }
    assert!(gaps.iter().any(|gap| (gap - gap.round()).abs() > 0.001), "with some chance: {gaps:?}");
    assert!(asked.iter().all(|message| message.xid() == asked[0].xid()));
    // Seconds since it began.
    let elapsed = u16::from_be_bytes(asked[3].bytes[8..10].try_into().unwrap());
    assert_eq!(u64::from(elapsed), (asked[3].at - asked[0].at).as_secs());
}

#[test]
fn a_request_is_repeated_for_a_minute_rfc_2131_3_1_5() {
    let (mut wire, a) = asking();
    let question = last(&wire, a);
    Say4::lease(OFFER, 3600).to(&mut wire, a, &question);
    wire.record.clear();
    wire.run(70 * SECOND);
    let said: Vec<_> = heard4(&wire, a).iter().map(Heard4::kind).collect();
    assert_eq!(said[..4], [REQUEST, REQUEST, REQUEST, DISCOVER]);
}

#[test]
fn a_lease_is_renewed_then_rebound_then_lost_rfc_2131_4_4_5() {
    let (mut wire, a) = bound(&Say4::lease(ACK, 1000).with(6, &[10, 9, 0, 53]));
    let start = wire.now();
    // T1: half of it, to the server alone, with the address as our own and nothing else of it (section 4.3.2).
    wire.run(505 * SECOND);
    let renew = last(&wire, a);
    assert!((renew.at - start).as_secs_f64() > 470.0, "{:?}", renew.at - start);
    assert_eq!((renew.kind(), renew.own(), renew.source), (REQUEST, GIVEN, GIVEN));
    assert_eq!((renew.destination, renew.address(50), renew.address(54)), (SERVER, None, None));
    wire.record.clear();
    wire.run(400 * SECOND);
    let rebind = heard4(&wire, a).into_iter().find(|message| message.destination.is_broadcast()).unwrap();
    assert!(((rebind.at - start).as_secs_f64() - 875.0).abs() < 1.0, "{:?}", rebind.at - start);
    assert_eq!((rebind.own(), rebind.source, rebind.station), (GIVEN, GIVEN, [0xff; 6]));
    // The end: everything goes, and it begins anew.
    wire.run(80 * SECOND);
    assert_eq!(leased(&wire, a).len(), 1);
    wire.record.clear();
    wire.run(30 * SECOND);
    assert_eq!((leased(&wire, a).len(), routes(&wire, a).len()), (0, 0));
    assert!(wire[a].learned_nameservers().is_empty());
    let discover = heard4(&wire, a).into_iter().find(|message| message.kind() == DISCOVER).unwrap();
    assert!(discover.source.is_unspecified() && discover.own().is_unspecified());
    assert!(((discover.at - start).as_secs_f64() - 1000.0).abs() < 1.0, "{:?}", discover.at - start);
    accept(&mut wire, a, &Say4::lease(ACK, 1000));
    assert_eq!(leased(&wire, a).len(), 1);
}

#[test]
fn a_renewal_is_a_new_lease() {
    let (mut wire, a) = bound(&Say4::lease(ACK, 1000).with(58, &100u32.to_be_bytes()));
    let start = wire.now();
    for _ in 0..20 {
        wire.record.clear();
        assert!(wire.run_until(101 * SECOND, |wire| !heard4(wire, a).is_empty()), "T1 as the server says");
        let question = last(&wire, a);
        Say4::lease(ACK, 1000).with(58, &100u32.to_be_bytes()).to(&mut wire, a, &question);
    }
    assert!(wire.now() - start > 1800 * SECOND);
    assert_eq!(leased(&wire, a), ["10.9.0.50/24"]);
    // Other settings come with it, in place of those before.
    wire.record.clear();
    assert!(wire.run_until(101 * SECOND, |wire| !heard4(wire, a).is_empty()));
    let question = last(&wire, a);
    let other = Say4::lease(ACK, 1000).with(3, &[10, 9, 0, 2]).with(1, &[255, 255, 0, 0]);
    other.to(&mut wire, a, &question);
    assert_eq!(leased(&wire, a), ["10.9.0.50/16"]);
    assert_eq!(routes(&wire, a), ["0.0.0.0/0@10.9.0.2 1024"]);
}

#[test]
fn a_refusal_ends_a_lease_at_once_rfc_2131_4_4_5() {
    let (mut wire, a) = bound(&Say4::lease(ACK, 1000));
    wire.run(505 * SECOND);
    let question = last(&wire, a);
    Say4::refusal().to(&mut wire, a, &question);
    assert_eq!(leased(&wire, a).len(), 0);
    wire.record.clear();
    wire.run(3 * SECOND);
    assert_eq!(last(&wire, a).kind(), DISCOVER);
    // A refusal of the request, again and again: ever more seldom asked.
    for _ in 0..6 {
        let question = last(&wire, a);
        Say4::lease(OFFER, 1000).to(&mut wire, a, &question);
        let request = last(&wire, a);
        assert_eq!(request.kind(), REQUEST);
        Say4::refusal().to(&mut wire, a, &request);
        wire.record.clear();
        assert!(wire.run_until(70 * SECOND, |wire| !heard4(wire, a).is_empty()));
    }
    assert!(wire.now() - question.at > 60 * SECOND);
}

#[test]
fn a_lease_without_end_is_not_renewed_rfc_2131_3_3() {
    let (mut wire, a) = bound(&Say4::lease(ACK, FOREVER));
    wire.run(400 * 86_400 * SECOND);
    assert_eq!(leased(&wire, a), ["10.9.0.50/24"]);
    assert!(heard4(&wire, a).is_empty());
}

#[test]
fn an_address_that_somebody_has_is_declined_rfc_2131_4_4_4() {
    let mut wire = Wire::new();
    let a = wire.host(1, Default::default(), &[]);
    let b = wire.host(2, Default::default(), &["10.9.0.50/24"]);
    let now = wire.now();
    wire[a].set_testing(now, ETH, Testing::Optimistic);
    wire[a].start_dhcp4(now, ETH);
    wire.settle();
    accept(&mut wire, a, &Say4::lease(ACK, 1000));
    // Section 2.2, RFC 5227: nothing leaves from it before it is tested.
    assert_eq!(wire[a].standing(ETH, GIVEN.into()), Some(Standing::Tentative));
    assert!(wire.run_until(5 * SECOND, |wire| !heard4(wire, a).is_empty()));
    let decline = last(&wire, a);
    assert_eq!(
        (decline.kind(), decline.source, decline.own()),
        (DECLINE, Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED)
    );
    assert_eq!((decline.address(50), decline.address(54)), (Some(GIVEN), Some(SERVER)));
    assert!(decline.destination.is_broadcast() && !decline.options.contains_key(&55));
    assert_eq!((leased(&wire, a).len(), routes(&wire, a).len()), (0, 0));
    // Ten seconds at least (section 3.1 step 5).
    wire.record.clear();
    assert!(wire.run_until(20 * SECOND, |wire| !heard4(wire, a).is_empty()));
    let next = last(&wire, a);
    assert_eq!(next.kind(), DISCOVER);
    assert!(next.at - decline.at >= 10 * SECOND);
    // Another one is kept.
    let other = Say4 { given: Ipv4Addr::new(10, 9, 0, 51), ..Say4::lease(ACK, 1000) };
    accept(&mut wire, a, &other);
    wire.run(10 * SECOND);
    assert_eq!(wire[a].standing(ETH, other.given.into()), Some(Standing::Preferred));
    let _ = b;
}

#[test]
fn a_lease_is_given_back_rfc_2131_4_4_6() {
    let (mut wire, a) = bound(&Say4::lease(ACK, 1000).with(6, &[10, 9, 0, 53]));
    let now = wire.now();
    wire[a].stop_dhcp4(now, ETH);
    wire.settle();
    let release = last(&wire, a);
    assert_eq!((release.kind(), release.own(), release.source), (RELEASE, GIVEN, GIVEN));
    assert_eq!((release.destination, release.address(54), release.address(50)), (SERVER, Some(SERVER), None));
    // At once, to the station that gave it.
    assert_eq!(release.station, [2, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa]);
    assert_eq!((leased(&wire, a).len(), routes(&wire, a).len()), (0, 0));
    assert!(wire[a].learned_nameservers().is_empty());
    wire.record.clear();
    wire.run(5000 * SECOND);
    assert!(heard4(&wire, a).is_empty());
}

#[test]
fn classless_routes_in_place_of_routers_rfc_3442() {
    // 10.0.0.0/8 by the router, 10.7.128.0/17 on the link, everything by another one.
    let option = [8, 10, 10, 9, 0, 1, 17, 10, 7, 128, 0, 0, 0, 0, 0, 10, 9, 0, 3];
    let (mut wire, a) = bound(&Say4::lease(ACK, 1000).with(121, &option));
    let expected = ["10.7.128.0/17 1024", "10.0.0.0/8@10.9.0.1 1024", "0.0.0.0/0@10.9.0.3 1024"];
    assert_eq!(routes(&wire, a), expected);
    // An empty one says that there are none.
    let now = wire.now();
    wire[a].stop_dhcp4(now, ETH);
    let (wire, a) = bound(&Say4::lease(ACK, 1000).with(121, &[32, 10, 1, 1, 1, 10, 9, 0, 1]));
    assert_eq!(routes(&wire, a), ["10.1.1.1/32@10.9.0.1 1024"]);
}

#[test]
fn a_search_list_is_compressed_and_split_rfc_3397() {
    // "eng.lab.example", and "marketing" in front of the end of it; in two parts (RFC 3396).
    let list = b"\x03eng\x03lab\x07example\0\x09marketing\xc0\x04";
    let mut ack = Say4::lease(ACK, 1000).with(15, b"other.example").with(119, &list[..9]);
    ack.options.push((6, vec![10, 9, 0, 53]));
    ack.options.push((119, list[9..].to_vec()));
    let (wire, a) = bound(&ack);
    assert_eq!(wire[a].learned_domains(), ["eng.lab.example", "marketing.lab.example"]);
    assert_eq!(wire[a].learned_nameservers().len(), 1);
}

#[test]
fn a_smaller_mtu_holds_as_long_as_the_lease_rfc_2132_5_1() {
    let mtu = |wire: &Wire, a| shown(wire, a).interfaces[1].mtu;
    let (mut wire, a) = bound(&Say4::lease(ACK, 1000).with(26, &1400u16.to_be_bytes()));
    assert_eq!(mtu(&wire, a), 1400);
    wire.run(1001 * SECOND);
    assert_eq!(mtu(&wire, a), 1500);
    // Not a larger one than the link has, nor one that breaks everything.
    for said in [9000u16, 575, 68, 0] {
        let (wire, a) = bound(&Say4::lease(ACK, 1000).with(26, &said.to_be_bytes()));
        assert_eq!(mtu(&wire, a), 1500, "{said}");
    }
}

#[test]
fn answers_may_come_to_an_address_that_is_not_there_yet_rfc_2131_4_1() {
    let (mut wire, a) = asking();
    let question = last(&wire, a);
    say4(&mut wire, a, GIVEN, &Say4::lease(OFFER, 1000).bytes(&question));
    let request = last(&wire, a);
    assert_eq!(request.kind(), REQUEST);
    say4(&mut wire, a, GIVEN, &Say4::lease(ACK, 1000).bytes(&request));
    assert_eq!(leased(&wire, a).len(), 1);
    // Also where packets to others are forwarded.
    let (mut router, r) = asking();
    router[r].set_forwarding(true);
    let question = last(&router, r);
    say4(&mut router, r, GIVEN, &Say4::lease(OFFER, 1000).bytes(&question));
    assert_eq!(last(&router, r).kind(), REQUEST);
    // What nobody waits for goes where it always did.
    let before = wire[a].counters().udp_no_port;
    say4(&mut wire, a, GIVEN, &Say4::lease(ACK, 1000).bytes(&request));
    assert_eq!(wire[a].counters().udp_no_port, before + 1);
}
