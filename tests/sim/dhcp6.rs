//! The client of DHCPv6: RFC 8415, RFC 3646, RFC 4704.

use std::net::Ipv6Addr;
use std::time::Duration;

use ioth_stack::net::{InterfaceId, Testing};
use ioth_stack::{Origin, Standing};

use crate::dhcp_server::{
    ADVERTISE, DECLINE6, Heard6, INFORMATION, REBIND, RELEASE6, RENEW, REPLY, REQUEST6, SERVER_DUID, SOLICIT,
    Say6, heard6,
};
use crate::wire::{Host, Wire};

const ETH: InterfaceId = InterfaceId::new(2);
const SECOND: Duration = Duration::from_secs(1);
const GIVEN: &str = "2001:db8:9::50";
/// T1, T2, preferred, valid.
const TIMES: [u32; 4] = [100, 160, 200, 300];

fn asking(stateless: bool) -> (Wire, Host) {
    let mut wire = Wire::new();
    let host = wire.host(1, Default::default(), &[]);
    let now = wire.now();
    wire[host].set_host_name(Some("red.example"));
    wire[host].start_dhcp6(now, ETH, stateless);
    next(&mut wire, host);
    (wire, host)
}

/// What it says next, within twelve minutes, and nothing before that.
fn next(wire: &mut Wire, host: Host) -> Heard6 {
    wire.record.clear();
    assert!(wire.run_until(720 * SECOND, |wire| !heard6(wire, host).is_empty()));
    last(wire, host)
}

fn last(wire: &Wire, host: Host) -> Heard6 {
    heard6(wire, host).pop().unwrap()
}

fn bound(times: [u32; 4]) -> (Wire, Host) {
    let (mut wire, host) = asking(false);
    let question = last(&wire, host);
    Say6::new(ADVERTISE).gives(GIVEN, times).with(7, &[255]).to(&mut wire, host, &question);
    let request = last(&wire, host);
    assert_eq!(request.kind, REQUEST6);
    Say6::new(REPLY).gives(GIVEN, times).with(23, &server_address()).to(&mut wire, host, &request);
    (wire, host)
}

fn server_address() -> [u8; 16] {
    "2001:db8:9::53".parse::<Ipv6Addr>().unwrap().octets()
}

/// Addresses from the server with what they may be used for.
fn leased(wire: &Wire, host: Host) -> Vec<(String, Standing)> {
    let all = wire[host].snapshot(wire.now()).addresses;
    let given = all.iter().filter(|known| known.origin == Origin::Leased);
    given.map(|known| (known.cidr.to_string(), known.standing)).collect()
}

fn preferred() -> Vec<(String, Standing)> {
    vec![(format!("{GIVEN}/128"), Standing::Preferred)]
}

#[test]
fn solicit_advertise_request_reply_rfc_8415_18_2() {
    let (mut wire, a) = asking(false);
    let solicit = last(&wire, a);
    assert_eq!(solicit.kind, SOLICIT);
    assert!(solicit.source.is_unicast_link_local());
    assert_eq!(solicit.destination, "ff02::1:2".parse::<Ipv6Addr>().unwrap());
    // DUID-LL (section 11.4), an empty association named after the interface, rapid commit, what is wanted (21.7).
    let duid = [&[0, 3, 0, 1][..], &wire.mac(a)].concat();
    assert_eq!(solicit.options[&1], duid);
    assert_eq!(solicit.options[&3], [1u32.to_be_bytes(), [0; 4], [0; 4]].concat());
    assert!(solicit.options[&14].is_empty() && solicit.options[&8] == [0, 0]);
    assert_eq!(solicit.options[&6], [0, 23, 0, 24, 0, 82]);
    assert_eq!(solicit.options[&39], b"\x01\x03red\x07example\0");

    // Section 18.2.1: other servers get their chance, the one with the highest preference is asked.
    Say6::new(ADVERTISE).gives("2001:db8:9::1", TIMES).with(7, &[1]).to(&mut wire, a, &solicit);
    let mut better = Say6::new(ADVERTISE).gives(GIVEN, TIMES).with(7, &[2]);
    better.options[0].1 = vec![0, 3, 0, 1, 7];
    better.to(&mut wire, a, &solicit);
    Say6::new(ADVERTISE).gives("2001:db8:9::2", TIMES).to(&mut wire, a, &solicit);
    let request = next(&mut wire, a);
    assert_eq!((request.kind, &request.options[&2]), (REQUEST6, &vec![0, 3, 0, 1, 7]));
    assert_eq!(request.addresses(), [GIVEN.parse::<Ipv6Addr>().unwrap()]);
    assert!((Duration::from_millis(900)..=Duration::from_millis(1100)).contains(&(request.at - solicit.at)));
    assert_eq!(wire[a].unleased6(), Some(("eth1", false)));

    // Another server's reply does not count.
    let reply =
        Say6::new(REPLY).gives(GIVEN, TIMES).with(24, b"\x03lab\x07example\0").with(23, &server_address());
    reply.to(&mut wire, a, &request);
    assert!(leased(&wire, a).is_empty());
    let reply =
        Say6 { options: [better.options[..1].to_vec(), reply.options[1..].to_vec()].concat(), ..reply };
    reply.to(&mut wire, a, &request);
    assert_eq!(leased(&wire, a), preferred());
    assert_eq!(wire[a].learned_nameservers(), ["2001:db8:9::53".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(wire[a].learned_domains(), ["lab.example"]);
    assert_eq!(wire[a].unleased6(), None);
    // What is on the link is for routers to say: no route.
    let routes = wire[a].snapshot(wire.now()).routes;
    assert!(!routes.iter().any(|route| route.destination.to_string().starts_with("2001:")));
}

#[test]
fn rapid_commit_takes_two_messages_rfc_8415_18_2_1() {
    let (mut wire, a) = asking(false);
    let solicit = last(&wire, a);
    Say6::new(REPLY).gives(GIVEN, TIMES).to(&mut wire, a, &solicit);
    assert!(leased(&wire, a).is_empty(), "without the option it does not count");
    Say6::new(REPLY).gives(GIVEN, TIMES).with(14, &[]).to(&mut wire, a, &solicit);
    assert_eq!(leased(&wire, a), preferred());
}

#[test]
fn questions_are_repeated_ever_more_seldom_rfc_8415_15() {
    let (mut wire, a) = asking(false);
    let first = last(&wire, a);
    wire.run(130 * SECOND);
    let asked = heard6(&wire, a);
    let times: Vec<_> = asked.iter().map(|message| message.at).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert!((1.0..=1.1).contains(&gaps[0]), "the first is no shorter than a second: {gaps:?}");
    for pair in gaps.windows(2) {
        assert!((1.9..=2.1).contains(&(pair[1] / pair[0])), "{gaps:?}");
    }
    assert!(asked.iter().all(|message| message.xid == first.xid));
    // Section 21.9: hundredths of a second.
    let elapsed = u16::from_be_bytes(asked[3].options[&8][..].try_into().unwrap());
    assert_eq!(u128::from(elapsed), (times[3] - times[0]).as_millis() / 10);
    // Section 18.2.1: now the first is taken at once.
    let question = last(&wire, a);
    Say6::new(ADVERTISE).gives(GIVEN, TIMES).to(&mut wire, a, &question);
    assert_eq!(last(&wire, a).kind, REQUEST6);
    // Ten requests, then everything anew (section 18.2.2).
    let mut requests = 1;
    while next(&mut wire, a).kind == REQUEST6 {
        requests += 1;
    }
    assert_eq!((requests, last(&wire, a).kind), (10, SOLICIT));
}

#[test]
fn a_lease_is_renewed_then_rebound_then_lost_rfc_8415_18_2() {
    let (mut wire, a) = bound(TIMES);
    let start = wire.now();
    assert_eq!(leased(&wire, a), preferred());
    let renew = next(&mut wire, a);
    assert_eq!((renew.kind, &renew.options[&2][..]), (RENEW, &SERVER_DUID[..]));
    assert!(((renew.at - start).as_secs_f64() - 100.0).abs() < 1.0);
    Say6::new(REPLY).gives(GIVEN, TIMES).to(&mut wire, a, &renew);
    // Nobody answers now: it is said again, then to any server, without an identifier of one.
    let start = wire.now();
    let again = next(&mut wire, a);
    assert!(((again.at - start).as_secs_f64() - 100.0).abs() < 1.0);
    let repeated = next(&mut wire, a);
    assert_eq!((repeated.kind, repeated.xid), (RENEW, again.xid));
    let gap = (repeated.at - again.at).as_secs_f64();
    assert!((9.0..=11.0).contains(&gap), "{gap}");
    wire.record.clear();
    wire.run(start + 165 * SECOND - wire.now());
    let rebind = last(&wire, a);
    assert_eq!((rebind.kind, rebind.options.get(&2)), (REBIND, None));
    assert_eq!(rebind.addresses(), [GIVEN.parse::<Ipv6Addr>().unwrap()]);
    // It grows old, and ends.
    wire.run(start + 210 * SECOND - wire.now());
    assert_eq!(leased(&wire, a), [(format!("{GIVEN}/128"), Standing::Deprecated)]);
    wire.run(start + 301 * SECOND - wire.now());
    assert!(leased(&wire, a).is_empty() && wire[a].learned_nameservers().is_empty());
    assert_eq!(next(&mut wire, a).kind, SOLICIT);
}

#[test]
fn rebinding_takes_any_server() {
    let (mut wire, a) = bound(TIMES);
    wire.run(165 * SECOND);
    let rebind = last(&wire, a);
    let mut reply = Say6::new(REPLY).gives(GIVEN, TIMES);
    reply.options[0].1 = vec![0, 3, 0, 1, 8];
    reply.to(&mut wire, a, &rebind);
    assert_eq!(leased(&wire, a), preferred());
    assert_eq!(next(&mut wire, a).options[&2], [0, 3, 0, 1, 8]);
}

#[test]
fn times_of_zero_are_for_the_client_to_choose_rfc_8415_14_2() {
    let (mut wire, a) = bound([0, 0, 200, 300]);
    let start = wire.now();
    let renew = next(&mut wire, a);
    assert!(renew.kind == RENEW && ((renew.at - start).as_secs_f64() - 100.0).abs() < 1.0);
    assert!(wire.run_until(80 * SECOND, |wire| last(wire, a).kind == REBIND));
    assert!(((last(&wire, a).at - start).as_secs_f64() - 160.0).abs() < 1.0);
    // For ever: never asked again.
    let (mut wire, a) = bound([u32::MAX; 4]);
    wire.record.clear();
    wire.run(400 * 86_400 * SECOND);
    assert!(heard6(&wire, a).is_empty() && leased(&wire, a) == preferred());
}

#[test]
fn a_server_that_forgot_is_asked_for_the_address_rfc_8415_18_2_10_1() {
    let (mut wire, a) = bound(TIMES);
    let renew = next(&mut wire, a);
    let mut association = [1u32.to_be_bytes(), [0; 4], [0; 4]].concat();
    association.extend([0, 13, 0, 2, 0, 3]);
    Say6::new(REPLY).with(3, &association).to(&mut wire, a, &renew);
    let request = last(&wire, a);
    assert_eq!((request.kind, request.addresses()), (REQUEST6, vec![GIVEN.parse().unwrap()]));
    // It has it meanwhile, and loses it when the server has none.
    assert_eq!(leased(&wire, a), preferred());
    association[17] = 2;
    Say6::new(REPLY).with(3, &association).to(&mut wire, a, &request);
    assert_eq!(next(&mut wire, a).kind, SOLICIT);
}

#[test]
fn the_addresses_are_what_the_last_reply_says() {
    let (mut wire, a) = bound(TIMES);
    let renew = next(&mut wire, a);
    // The old one with lifetimes of zero.
    let mut both = Say6::new(REPLY).gives("2001:db8:9::51", TIMES);
    both.options[1].1.extend([0, 5, 0, 24]);
    both.options[1].1.extend(GIVEN.parse::<Ipv6Addr>().unwrap().octets());
    both.options[1].1.extend([0; 8]);
    both.to(&mut wire, a, &renew);
    assert_eq!(leased(&wire, a), [("2001:db8:9::51/128".to_owned(), Standing::Preferred)]);
}

#[test]
fn an_address_that_somebody_has_is_declined_rfc_8415_18_2_8() {
    let mut wire = Wire::new();
    let a = wire.host(1, Default::default(), &[]);
    let _b = wire.host(2, Default::default(), &["2001:db8:9::50/64"]);
    let now = wire.now();
    wire[a].set_testing(now, ETH, Testing::Optimistic);
    wire[a].start_dhcp6(now, ETH, false);
    let solicit = next(&mut wire, a);
    Say6::new(REPLY).gives(GIVEN, TIMES).with(14, &[]).to(&mut wire, a, &solicit);
    let decline = last(&wire, a);
    assert_eq!((decline.kind, &decline.options[&2][..]), (DECLINE6, &SERVER_DUID[..]));
    assert_eq!(decline.addresses(), [GIVEN.parse::<Ipv6Addr>().unwrap()]);
    assert!(leased(&wire, a).is_empty());
    // Said again until it is answered.
    let again = next(&mut wire, a);
    assert_eq!((again.kind, again.xid), (DECLINE6, decline.xid));
    Say6::new(REPLY).with(13, &[0, 0]).to(&mut wire, a, &again);
    assert_eq!(next(&mut wire, a).kind, SOLICIT);
}

#[test]
fn addresses_are_given_back_rfc_8415_18_2_7() {
    let (mut wire, a) = bound(TIMES);
    let now = wire.now();
    wire[a].stop_dhcp6(now, ETH);
    wire.settle();
    let release = last(&wire, a);
    assert_eq!((release.kind, &release.options[&2][..]), (RELEASE6, &SERVER_DUID[..]));
    assert_eq!(release.addresses(), [GIVEN.parse::<Ipv6Addr>().unwrap()]);
    assert!(leased(&wire, a).is_empty() && wire[a].learned_nameservers().is_empty());
    // Nobody answers: it is said four times, with the same number (section 15: REL_TIMEOUT, REL_MAX_RC).
    assert!(wire[a].is_releasing());
    wire.record.clear();
    wire.run(1000 * SECOND);
    let again = heard6(&wire, a);
    assert!(again.iter().all(|said| said.kind == RELEASE6 && said.xid == release.xid), "{again:?}");
    let gaps: Vec<_> = again.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64().round()).collect();
    assert_eq!((again.len(), gaps), (3, vec![2.0, 4.0]));
    assert!(!wire[a].is_releasing());
}

#[test]
fn a_release_that_is_answered_is_not_said_again_rfc_8415_18_2_7() {
    let (mut wire, a) = bound(TIMES);
    let now = wire.now();
    wire[a].stop_dhcp6(now, ETH);
    // Another lease is asked for meanwhile; each hears its own answer.
    wire[a].start_dhcp6(now, ETH, false);
    wire.settle();
    let release = last(&wire, a);
    assert_eq!(release.kind, RELEASE6);
    Say6::new(REPLY).to(&mut wire, a, &release);
    assert!(!wire[a].is_releasing());
    wire.record.clear();
    wire.run(100 * SECOND);
    let said = heard6(&wire, a);
    assert!(!said.is_empty() && said.iter().all(|said| said.kind == SOLICIT), "{said:?}");
}

#[test]
fn information_alone_rfc_8415_18_2_6() {
    let (mut wire, a) = asking(true);
    let question = last(&wire, a);
    assert_eq!(question.kind, INFORMATION);
    assert!(!question.options.contains_key(&3));
    assert_eq!(question.options[&6], [0, 23, 0, 24, 0, 32, 0, 83]);
    assert_eq!(wire[a].unleased6(), Some(("eth1", true)));
    let reply = Say6::new(REPLY).with(23, &server_address()).with(32, &1000u32.to_be_bytes());
    reply.to(&mut wire, a, &question);
    assert_eq!((wire[a].learned_nameservers().len(), wire[a].unleased6()), (1, None));
    // RFC 8415 section 21.23: asked again after that time.
    wire.record.clear();
    assert!(wire.run_until(1100 * SECOND, |wire| !heard6(wire, a).is_empty()));
    let again = last(&wire, a);
    assert!(((again.at - question.at).as_secs_f64() - 1000.0).abs() < 2.0);
    // Not more often than every ten minutes, however short it is.
    Say6::new(REPLY).with(32, &1u32.to_be_bytes()).to(&mut wire, a, &again);
    assert!(wire[a].learned_nameservers().is_empty());
    let third = next(&mut wire, a);
    assert!(third.at - again.at > 599 * SECOND);
}
