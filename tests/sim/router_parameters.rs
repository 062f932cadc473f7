//! What routers say of the link as a whole, RFC 4861 section 6.3.4: hops, and how long answers are waited for. And that
//! routers do not configure themselves, RFC 4862 section 1.

use std::net::Ipv6Addr;
use std::time::Duration;

use ioth_stack::net::{InterfaceId, Testing};
use ioth_stack::{Family, Kind};

use crate::wire::{Host, Sent, Wire, frames};

const ETH: InterfaceId = InterfaceId::new(2);
const SECOND: Duration = Duration::from_secs(1);

/// An advertisement of fe80::1, a default router, with the prefix 2001:db8::/64.
fn advertisement(hop_limit: u8, retransmission: u32) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, hop_limit, 0, 7, 8, 0, 0, 0, 0];
    message.extend(retransmission.to_be_bytes());
    message.extend([3, 4, 64, 0xc0, 0, 0, 0xe, 0x10, 0, 0, 7, 8, 0, 0, 0, 0]);
    message.extend("2001:db8::".parse::<Ipv6Addr>().unwrap().octets());
    let (router, group) = ("fe80::1".parse().unwrap(), "ff02::1".parse().unwrap());
    frames::ipv6([0x33, 0x33, 0, 0, 0, 1], router, group, 58, 255, &message)
}

fn hear(wire: &mut Wire, host: Host, hop_limit: u8, retransmission: u32) {
    wire.inject_bytes(host, &advertisement(hop_limit, retransmission));
    wire.settle();
}

fn listening(wire: &mut Wire, seed: u64) -> Host {
    let host =
        wire.host(seed, Default::default(), &[&format!("fd00::{seed}/64"), &format!("10.0.0.{seed}/24")]);
    let now = wire.now();
    wire[host].start_discovery(now, ETH, false);
    wire.settle();
    host
}

fn kind(sent: &Sent) -> Option<u8> {
    (sent.bytes[12..14] == [0x86, 0xdd] && sent.bytes[20] == 58).then(|| sent.bytes[54])
}

/// Hop limits of what a host sends to another: an echo reply, a port unreachable, a datagram, a segment, a refusal of one.
fn hops(wire: &mut Wire, a: Host, b: Host) -> Vec<u8> {
    wire.record.clear();
    let now = wire.now();
    let echo = wire[b].open(Kind::Echo, Family::V6);
    wire[b].send_to(now, echo, &[128, 0, 0, 0, 0, 0, 0, 1], Some("[fd00::1]:0".parse().unwrap())).unwrap();
    for (from, to) in [(a, "[fd00::2]:9"), (b, "[fd00::1]:9")] {
        let socket = wire[from].open(Kind::Datagram, Family::V6);
        wire[from].send_to(now, socket, b"x", Some(to.parse().unwrap())).unwrap();
    }
    wire.connect(a, "[fd00::2]:80");
    wire.connect(b, "[fd00::1]:80");
    wire.run(Duration::from_millis(500));
    let of_ndp = |sent: &&Sent| matches!(kind(sent), Some(133..=137));
    let mut hops: Vec<_> = wire.sent_by(a).filter(|sent| !of_ndp(sent)).map(|sent| sent.bytes[21]).collect();
    assert!(hops.len() >= 5, "{}", wire.show());
    hops.dedup();
    hops
}

#[test]
fn the_hop_limit_is_that_of_routers_rfc_4861_6_3_4() {
    let mut wire = Wire::new();
    let a = listening(&mut wire, 1);
    let b = wire.host(2, Default::default(), &["fd00::2/64", "10.0.0.2/24"]);
    assert_eq!(hops(&mut wire, a, b), [64]);
    hear(&mut wire, a, 17, 0);
    assert_eq!(hops(&mut wire, a, b), [17]);
    // Zero is unspecified: nothing changes.
    hear(&mut wire, a, 0, 0);
    assert_eq!(hops(&mut wire, a, b), [17]);
    // What the application says counts more; and IPv4 is not concerned.
    let now = wire.now();
    let own = wire.datagram(a, "[::]:7");
    let mut options = wire[a].options(own).unwrap();
    options.ip.hop_limit = Some(99);
    wire[a].set_options(own, options).unwrap();
    wire[a].send_to(now, own, b"x", Some("[fd00::2]:9".parse().unwrap())).unwrap();
    wire.record.clear();
    wire.settle();
    assert_eq!(wire.sent_by(a).map(|sent| sent.bytes[21]).collect::<Vec<_>>(), [99]);
    let own = wire.datagram(a, "0.0.0.0:8");
    wire[a].send_to(now, own, b"x", Some("10.0.0.2:9".parse().unwrap())).unwrap();
    wire.record.clear();
    wire.settle();
    assert_eq!(wire.sent_by(a).last().unwrap().bytes[22], 64);
    // Who listens to nobody any more is as before.
    let now = wire.now();
    wire[a].stop_discovery(now, ETH);
    assert_eq!(hops(&mut wire, a, b), [64]);
}

/// The times between questions for somebody who is not there, in milliseconds.
fn gaps(wire: &mut Wire, a: Host, to: &str) -> Vec<u64> {
    wire.record.clear();
    let now = wire.now();
    let socket = wire.open(a, Kind::Datagram, to.parse().unwrap());
    wire[a].send_to(now, socket, b"x", Some(to.parse().unwrap())).unwrap();
    wire.run(200 * SECOND);
    let asked = |sent: &&Sent| kind(sent) == Some(135) || sent.bytes[12..14] == [8, 6];
    let times: Vec<_> = wire.sent_by(a).filter(asked).map(|sent| sent.at).collect();
    times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis() as u64).collect()
}

#[test]
fn answers_are_waited_for_as_long_as_routers_say_rfc_4861_6_3_4() {
    let mut wire = Wire::new();
    let a = listening(&mut wire, 1);
    assert_eq!(gaps(&mut wire, a, "[fd00::99]:9"), [1000, 1000]);
    hear(&mut wire, a, 0, 3000);
    assert_eq!(gaps(&mut wire, a, "[fd00::99]:9"), [3000, 3000]);
    hear(&mut wire, a, 0, 0);
    assert_eq!(gaps(&mut wire, a, "[fd00::99]:9"), [3000, 3000], "unspecified");
    assert_eq!(gaps(&mut wire, a, "10.0.0.99:9"), [1000, 1000], "nobody says anything of ARP");
    // Whatever somebody on the link says, it is no flood, and not for ever.
    hear(&mut wire, a, 0, 1);
    assert_eq!(gaps(&mut wire, a, "[fd00::99]:9"), [10, 10]);
    hear(&mut wire, a, 0, u32::MAX);
    assert_eq!(gaps(&mut wire, a, "[fd00::99]:9"), [60_000, 60_000]);
}

#[test]
fn a_test_of_an_address_waits_as_long_rfc_4862_5_1() {
    let mut wire = Wire::new();
    let a = listening(&mut wire, 1);
    hear(&mut wire, a, 0, 5000);
    let now = wire.now();
    wire[a].set_testing(now, ETH, Testing::Strict);
    wire.run(Duration::from_millis(5000));
    assert!(wire[a].is_testing());
    wire.run(Duration::from_millis(1100));
    assert!(!wire[a].is_testing());
}

fn learned(wire: &Wire, host: Host) -> (usize, usize) {
    let shown = wire[host].snapshot(wire.now());
    let addresses =
        shown.addresses.iter().filter(|own| own.cidr.address().to_string().starts_with("2001:db8:"));
    (addresses.count(), shown.routes.iter().filter(|route| route.gateway.is_some()).count())
}

#[test]
fn a_router_does_not_configure_itself_unless_told_to_rfc_4862_1() {
    let mut wire = Wire::new();
    let a = wire.host(1, Default::default(), &[]);
    wire[a].set_forwarding(true);
    let now = wire.now();
    wire[a].start_discovery(now, ETH, false);
    wire.record.clear();
    wire.run(10 * SECOND);
    // RFC 4861 section 6.2.8: nor does it ask anybody.
    assert!(wire.sent_by(a).all(|sent| kind(sent) != Some(133)), "{}", wire.show());
    hear(&mut wire, a, 17, 3000);
    assert_eq!((learned(&wire, a), wire[a].undiscovered()), ((0, 0), None));
    wire[a].learn_as_router(ETH, true);
    hear(&mut wire, a, 17, 3000);
    assert_eq!(learned(&wire, a), (1, 1));
}

#[test]
fn who_becomes_a_router_has_no_default_router_and_who_is_none_any_more_asks_for_one_rfc_4861_6_2_8() {
    let mut wire = Wire::new();
    let a = listening(&mut wire, 1);
    hear(&mut wire, a, 0, 0);
    assert_eq!(learned(&wire, a), (1, 1));
    wire[a].set_forwarding(true);
    assert_eq!(learned(&wire, a), (1, 0));
    wire.record.clear();
    wire.run(10 * SECOND);
    assert!(wire.sent_by(a).all(|sent| kind(sent) != Some(133)));
    wire[a].set_forwarding(false);
    wire.run(SECOND);
    assert_eq!(wire.sent_by(a).filter(|sent| kind(sent) == Some(133)).count(), 1);
    hear(&mut wire, a, 0, 0);
    assert_eq!(learned(&wire, a), (1, 1));
}
