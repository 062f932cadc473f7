//! What routers tell and the addresses made from it: RFC 4861 section 6.3, RFC 4862 section 5.5, RFC 4191, RFC 7217,
//! RFC 7559, RFC 8106, RFC 8981.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ioth_stack::link::Frame;
use ioth_stack::net::{InterfaceId, Testing};
use ioth_stack::snapshot::Snapshot;
use ioth_stack::{Error, Family, Kind, Origin, Secret, Standing};

use crate::wire::{Host, Port, Wire, frames};

const ETH: InterfaceId = InterfaceId::new(2);
const SECOND: Duration = Duration::from_secs(1);
const FOREVER: u32 = u32::MAX;

/// A router advertisement, in parts.
struct Said {
    flags: u8,
    lifetime: u16,
    options: Vec<u8>,
}

impl Said {
    fn router(lifetime: u16) -> Self {
        Self { flags: 0, lifetime, options: Vec::new() }
    }

    fn prefix(mut self, prefix: &str, flags: u8, valid: u32, preferred: u32) -> Self {
        let (address, len) = prefix.split_once('/').unwrap();
        self.options.extend([3, 4, len.parse().unwrap(), flags]);
        self.options.extend(valid.to_be_bytes());
        self.options.extend(preferred.to_be_bytes());
        self.options.extend([0; 4]);
        self.options.extend(address.parse::<Ipv6Addr>().unwrap().octets());
        self
    }

    fn option(mut self, bytes: &[u8]) -> Self {
        self.options.extend(bytes);
        self
    }

    fn frame(&self, router: &str, hop_limit: u8) -> Vec<u8> {
        let [l0, l1] = self.lifetime.to_be_bytes();
        let mut message = vec![134, 0, 0, 0, 64, self.flags, l0, l1, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend(&self.options);
        let group = "ff02::1".parse().unwrap();
        frames::ipv6([0x33, 0x33, 0, 0, 0, 1], router.parse().unwrap(), group, 58, hop_limit, &message)
    }
}

const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;
const BOTH: u8 = ON_LINK | AUTONOMOUS;

fn listening(temporary: bool) -> (Wire, Host) {
    let mut wire = Wire::new();
    let host = wire.host(1, Default::default(), &[]);
    let now = wire.now();
    wire[host].start_discovery(now, ETH, temporary);
    wire.settle();
    (wire, host)
}

fn hear(wire: &mut Wire, host: Host, said: &Said) {
    wire.inject_bytes(host, &said.frame("fe80::1", 255));
    wire.settle();
}

fn shown(wire: &Wire, host: Host) -> Snapshot {
    wire[host].snapshot(wire.now())
}

/// Global addresses with origin, standing and how long they are valid, in seconds.
fn made(wire: &Wire, host: Host) -> Vec<(Ipv6Addr, Origin, Standing, Option<u64>)> {
    let all = shown(wire, host).addresses;
    let global = all.iter().filter_map(|known| match known.cidr.address() {
        IpAddr::V6(ip) if known.interface == ETH && !ip.is_unicast_link_local() => {
            let valid = known.valid_for.map(|time| time.as_secs_f64().round() as u64);
            Some((ip, known.origin, known.standing, valid))
        }
        _ => None,
    });
    global.collect()
}

/// Routes of IPv6 but those of the user, as `destination@gateway metric`.
fn routes(wire: &Wire, host: Host) -> Vec<String> {
    let routes = shown(wire, host).routes;
    let learned = routes.iter().filter(|route| route.metric != 0);
    let text = |route: &ioth_stack::snapshot::Route| {
        let gateway = route.gateway.map_or_else(String::new, |gateway| format!("@{gateway}"));
        format!("{}{gateway} {}", route.destination, route.metric)
    };
    learned.map(text).collect()
}

#[test]
fn routers_are_asked_for_ever_more_seldom_rfc_7559_2() {
    let (mut wire, a) = listening(false);
    wire.run(200 * SECOND);
    let asked: Vec<_> = wire.sent_by(a).filter(|sent| sent.bytes[54] == 133).collect();
    let first = &asked[0].bytes;
    assert_eq!((&first[..6], first[21]), (&[0x33, 0x33, 0, 0, 0, 2][..], 255), "all routers, hop limit 255");
    let times: Vec<_> = asked.iter().map(|sent| sent.at).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (gap, wanted) in gaps.iter().zip([4.0, 8.0, 16.0, 32.0, 64.0]) {
        assert!((wanted * 0.9..=wanted * 1.1).contains(gap), "{gaps:?}");
    }
    // Until one has answered that takes what has no better route.
    hear(&mut wire, a, &Said::router(0));
    wire.record.clear();
    wire.run(200 * SECOND);
    assert!(!wire.record.is_empty());
    hear(&mut wire, a, &Said::router(1800));
    wire.record.clear();
    wire.run(1000 * SECOND);
    assert!(wire.record.is_empty());
}

#[test]
fn a_prefix_gives_an_address_and_a_route_rfc_4862_5_5_3_rfc_4861_6_3_4() {
    let (mut wire, a) = listening(false);
    hear(&mut wire, a, &Said::router(1800).prefix("2001:db8:1::/64", BOTH, 3600, 1800));
    let addresses = made(&wire, a);
    assert_eq!(addresses.len(), 1);
    assert_eq!(addresses[0].0.segments()[..4], [0x2001, 0xdb8, 1, 0]);
    assert_eq!(addresses[0].1, Origin::Advertised);
    assert_eq!((addresses[0].2, addresses[0].3), (Standing::Preferred, Some(3600)));
    assert_eq!(routes(&wire, a), ["2001:db8:1::/64 256", "::/0@fe80::1 1024"]);
    // The other half of the flags alone.
    let (mut wire, a) = listening(false);
    hear(&mut wire, a, &Said::router(0).prefix("2001:db8:1::/64", ON_LINK, 3600, 1800));
    assert_eq!((made(&wire, a).len(), routes(&wire, a)), (0, vec!["2001:db8:1::/64 256".to_owned()]));
    hear(&mut wire, a, &Said::router(0).prefix("2001:db8:2::/64", AUTONOMOUS, 3600, 1800));
    assert_eq!((made(&wire, a).len(), routes(&wire, a).len()), (1, 1));
    // A valid lifetime of zero takes the route back.
    hear(&mut wire, a, &Said::router(0).prefix("2001:db8:1::/64", ON_LINK, 0, 0));
    assert_eq!(routes(&wire, a).len(), 0);
}

#[test]
fn what_makes_no_sense_makes_no_address_rfc_4862_5_5_3() {
    let (mut wire, a) = listening(false);
    let nonsense = [
        ("fe80::/64", 3600, 1800),
        ("2001:db8::/63", 3600, 1800),
        ("2001:db8::/65", 3600, 1800),
        ("ff00::/64", 3600, 1800),
        ("2001:db8::/64", 1800, 3600),
        ("2001:db8::/64", 3600, FOREVER),
        ("2001:db8::/64", 0, 0),
    ];
    for (prefix, valid, preferred) in nonsense {
        hear(&mut wire, a, &Said::router(0).prefix(prefix, AUTONOMOUS, valid, preferred));
        assert_eq!(made(&wire, a), [], "{prefix} {valid} {preferred}");
    }
}

#[test]
fn who_is_not_on_the_link_is_not_believed_rfc_4861_6_1_2() {
    let (mut wire, a) = listening(false);
    let said = Said::router(1800).prefix("2001:db8::/64", BOTH, 3600, 1800);
    let malformed = wire[a].counters().malformed;
    for frame in [said.frame("fe80::1", 254), said.frame("2001:db8::1", 255)] {
        wire.inject_bytes(a, &frame);
        wire.settle();
    }
    let mut code = said.frame("fe80::1", 255);
    code[55] = 1;
    code[57] = code[57].wrapping_sub(1);
    wire.inject_bytes(a, &code);
    hear(&mut wire, a, &Said::router(1800).option(&[3, 0, 0, 0, 0, 0, 0, 0]));
    hear(&mut wire, a, &Said::router(1800).option(&[3, 9, 0, 0, 0, 0, 0, 0]));
    assert_eq!((made(&wire, a).len(), routes(&wire, a).len()), (0, 0));
    assert!(wire[a].counters().malformed >= malformed + 4);
    // Nor is anybody where nothing is to be learned.
    let mut wire = Wire::new();
    let a = wire.host(1, Default::default(), &[]);
    hear(&mut wire, a, &said);
    assert_eq!((made(&wire, a).len(), routes(&wire, a).len()), (0, 0));
}

#[test]
fn nobody_shortens_the_life_of_an_address_below_two_hours_rfc_4862_5_5_3_e() {
    let (mut wire, a) = listening(false);
    let mut say = |valid: u32| {
        hear(&mut wire, a, &Said::router(0).prefix("2001:db8::/64", AUTONOMOUS, valid, 0));
        made(&wire, a)[0].3
    };
    assert_eq!(say(10_000), Some(10_000));
    assert_eq!(say(20_000), Some(20_000), "1: longer");
    assert_eq!(say(8_000), Some(8_000), "1: more than two hours");
    assert_eq!(say(10), Some(7_200), "3: two hours");
    assert_eq!(say(10), Some(7_200), "2: no more than two hours are left");
    assert_eq!(say(7_300), Some(7_300));
    assert_eq!(say(FOREVER), None);
    assert_eq!(say(10), Some(7_200));
}

#[test]
fn an_address_grows_old_with_its_prefix_rfc_4862_5_5_4() {
    let (mut wire, a) = listening(false);
    hear(&mut wire, a, &Said::router(0).prefix("2001:db8::/64", BOTH, 100, 50));
    wire.run(51 * SECOND);
    assert_eq!(made(&wire, a)[0].2, Standing::Deprecated);
    hear(&mut wire, a, &Said::router(0).prefix("2001:db8::/64", BOTH, 100, 50));
    assert_eq!(made(&wire, a)[0].2, Standing::Preferred);
    wire.run(101 * SECOND);
    assert_eq!((made(&wire, a), routes(&wire, a).len()), (vec![], 0));
    // And comes back.
    hear(&mut wire, a, &Said::router(0).prefix("2001:db8::/64", BOTH, 100, 50));
    assert_eq!((made(&wire, a).len(), routes(&wire, a).len()), (1, 1));
}

#[test]
fn the_preferred_router_is_used_while_it_lasts_rfc_4191_3_1_rfc_4861_6_3_4() {
    let (mut wire, a) = listening(false);
    let say = |wire: &mut Wire, router: &str, flags: u8, lifetime: u16| {
        wire.inject_bytes(a, &Said { flags, lifetime, options: vec![] }.frame(router, 255));
        wire.settle();
    };
    say(&mut wire, "fe80::1", 0, 100);
    say(&mut wire, "fe80::2", 0x08, 50);
    say(&mut wire, "fe80::3", 0x18, 200);
    let all = ["::/0@fe80::2 1023", "::/0@fe80::1 1024", "::/0@fe80::3 1025"];
    assert_eq!(routes(&wire, a), all);
    wire.run(51 * SECOND);
    assert_eq!(routes(&wire, a), all[1..]);
    // A lifetime of zero: not any more.
    say(&mut wire, "fe80::1", 0, 0);
    assert_eq!(routes(&wire, a), all[2..]);
}

#[test]
fn a_router_that_does_not_answer_comes_last_rfc_4861_6_3_6() {
    let (mut wire, a) = listening(false);
    wire.inject_bytes(a, &Said::router(1800).prefix("2001:db8::/64", BOTH, 3600, 1800).frame("fe80::1", 255));
    wire.inject_bytes(a, &Said { flags: 0x18, ..Said::router(1800) }.frame("fe80::2", 255));
    wire.settle();
    let socket = wire[a].open(Kind::Datagram, Family::V6);
    let now = wire.now();
    wire[a].send_to(now, socket, b"x", Some("[2001:db8:9::1]:9".parse().unwrap())).unwrap();
    // Three questions, a second each (RFC 4861 section 10).
    wire.run(4 * SECOND);
    assert_eq!(routes(&wire, a)[1..], ["::/0@fe80::2 1025", "::/0@fe80::1 2048"]);
    wire.inject_bytes(a, &Said::router(1800).frame("fe80::1", 255));
    wire.settle();
    assert_eq!(routes(&wire, a)[1..], ["::/0@fe80::1 1024", "::/0@fe80::2 1025"]);
}

#[test]
fn routes_to_some_rfc_4191_3_1() {
    let (mut wire, a) = listening(false);
    let route = |preference: u8, lifetime: u8| {
        Said::router(0).option(&[24, 2, 48, preference, 0, 0, 0, lifetime, 0x20, 1, 0xd, 0xb8, 0, 7, 0, 0])
    };
    hear(&mut wire, a, &route(0x08, 100));
    assert_eq!(routes(&wire, a), ["2001:db8:7::/48@fe80::1 1023"]);
    hear(&mut wire, a, &route(0x18, 100));
    assert_eq!(routes(&wire, a), ["2001:db8:7::/48@fe80::1 1025"]);
    wire.run(101 * SECOND);
    assert_eq!(routes(&wire, a).len(), 0);
    hear(&mut wire, a, &route(0, 100));
    hear(&mut wire, a, &route(0, 0));
    assert_eq!(routes(&wire, a).len(), 0);
}

#[test]
fn the_mtu_of_ipv6_is_within_bounds_rfc_4861_6_3_4() {
    let (mut wire, a) = listening(false);
    let b = wire.host(2, Default::default(), &["fd00::2/64", "10.0.0.2/24"]);
    for address in ["fd00::1/64", "10.0.0.1/24"] {
        wire[a].add_address(ETH, address.parse().unwrap()).unwrap();
    }
    let longest = |wire: &mut Wire, to: &str| {
        wire.record.clear();
        let (x, y) = wire.connected(a, b, to);
        let now = wire.now();
        wire[a].send(now, x, &[7; 20_000]).unwrap();
        wire.settle();
        let _ = y;
        wire.sent_by(a).map(|sent| sent.bytes.len() - 14).max().unwrap()
    };
    for (mtu, port, expected) in
        [([0, 0, 0, 68], 81, 1500), ([0, 1, 0, 0], 82, 1500), ([0, 0, 5, 0x78], 83, 1400)]
    {
        let [m0, m1, m2, m3] = mtu;
        hear(&mut wire, a, &Said::router(0).option(&[5, 1, 0, 0, m0, m1, m2, m3]));
        assert_eq!(longest(&mut wire, &format!("[fd00::2]:{port}")), expected, "{mtu:?}");
    }
    assert_eq!(longest(&mut wire, "10.0.0.2:84"), 1500, "IPv4 has the link's");
}

#[test]
fn name_servers_and_search_domains_last_as_long_as_they_say_rfc_8106_5() {
    let (mut wire, a) = listening(false);
    let servers = |lifetime: u8| {
        let mut option = vec![25, 3, 0, 0, 0, 0, 0, lifetime];
        option.extend("fd00::53".parse::<Ipv6Addr>().unwrap().octets());
        option
    };
    let domains = b"\x1f\x02\0\0\0\0\0\x32\x03lan\0\0\0\0";
    hear(&mut wire, a, &Said::router(0).option(&servers(100)).option(domains));
    let known = |wire: &Wire| (wire[a].learned_nameservers(), wire[a].learned_domains());
    let server: IpAddr = "fd00::53".parse().unwrap();
    assert_eq!(known(&wire), (vec![server], vec!["lan".to_owned()]));
    wire.run(51 * SECOND);
    assert_eq!(known(&wire), (vec![server], vec![]));
    wire.run(50 * SECOND);
    assert_eq!(known(&wire), (vec![], vec![]));
    hear(&mut wire, a, &Said::router(0).option(&servers(100)));
    hear(&mut wire, a, &Said::router(0).option(&servers(0)));
    assert_eq!(known(&wire), (vec![], vec![]));
}

#[test]
fn a_link_local_name_server_has_the_interface_that_it_was_heard_on_rfc_8106_5_1_rfc_4007_6() {
    let (mut wire, a) = listening(false);
    let other = wire.attach(a, Port { segment: 1, ..Port::default() }, &[]);
    let far = wire.host(2, Port { segment: 1, ..Port::default() }, &[]);
    let now = wire.now();
    wire[a].start_discovery(now, other, false);
    let mut option = vec![25, 5, 0, 0, 0, 0, 0, 100];
    for server in ["fe80::ff:fe00:201", "fd00::53"] {
        option.extend(server.parse::<Ipv6Addr>().unwrap().octets());
    }
    let said = Said::router(0).option(&option);
    wire[a].handle_frame(now, other, Frame::from_slice(&said.frame("fe80::1", 255)));
    hear(&mut wire, a, &said);
    let known: Vec<_> = wire[a].learned_nameserver_addresses(53).iter().map(ToString::to_string).collect();
    assert_eq!(known, ["[fe80::ff:fe00:201%2]:53", "[fd00::53]:53", "[fe80::ff:fe00:201%3]:53"]);
    // Who is asked is asked there.
    let server = wire.datagram(far, "[::]:53");
    let socket = wire[a].open(Kind::Datagram, Family::V6);
    let address = wire[a].learned_nameserver_addresses(53)[2];
    let now = wire.now();
    wire[a].connect(now, socket, address).unwrap();
    wire.send(a, socket, b"question").unwrap();
    wire.settle();
    assert_eq!(wire.received(far, server), b"question");
}

#[test]
fn stable_addresses_follow_from_the_identity_rfc_7217_5() {
    let address = |seed: u64, identity: &str, prefix: &str| {
        let mut engine = ioth_stack::Engine::new(Secret::from_seed(seed));
        let mac = ioth_stack::net::Mac::new([2, 0, 0, 0, 0, seed as u8]);
        let settings = ioth_stack::InterfaceSettings { name: "eth0".into(), mac, mtu: 1500, offload: false };
        let id = engine.add_interface(settings).unwrap();
        engine.set_identity(identity);
        let now = ioth_stack::Instant::ZERO;
        engine.start_discovery(now, id, false);
        let frame = Said::router(0).prefix(prefix, AUTONOMOUS, 100, 50).frame("fe80::1", 255);
        engine.handle_frame(now, id, Frame::from_slice(&frame));
        engine.addresses(id)[1].address()
    };
    assert_eq!(address(1, "red", "2001:db8::/64"), address(2, "red", "2001:db8::/64"));
    assert_ne!(address(1, "red", "2001:db8::/64"), address(1, "blue", "2001:db8::/64"));
    assert_ne!(address(1, "", "2001:db8::/64"), address(2, "", "2001:db8::/64"), "without one, by chance");
    let low = |address: IpAddr| match address {
        IpAddr::V6(address) => address.to_bits() as u64,
        IpAddr::V4(_) => panic!("IPv4"),
    };
    let there = low(address(1, "red", "2001:db8:1::/64"));
    assert_ne!(low(address(1, "red", "2001:db8::/64")), there, "nor is one recognised on another network");
}

#[test]
fn an_address_that_somebody_has_is_replaced_three_times_rfc_7217_6() {
    let (mut wire, a) = listening(false);
    let now = wire.now();
    wire[a].set_testing(now, ETH, Testing::Strict);
    wire.run(5 * SECOND);
    hear(&mut wire, a, &Said::router(0).prefix("2001:db8::/64", AUTONOMOUS, 7000, 5000));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (address, _, standing, _) = made(&wire, a)[0];
        assert_eq!(standing, Standing::Tentative);
        assert!(!seen.contains(&address));
        seen.push(address);
        let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
        message.extend(address.octets());
        let group = "ff02::1".parse().unwrap();
        let frame =
            frames::ipv6([0x33, 0x33, 0, 0, 0, 1], "fe80::9".parse().unwrap(), group, 58, 255, &message);
        wire.inject_bytes(a, &frame);
        wire.settle();
    }
    assert_eq!((made(&wire, a).len(), made(&wire, a)[0].2), (1, Standing::Duplicate), "IDGEN_RETRIES");
}

#[test]
fn temporary_addresses_change_and_are_sent_from_rfc_8981_3_4_3_5() {
    let (mut wire, a) = listening(true);
    let day = 86_400;
    let said = Said::router(1800).prefix("2001:db8::/64", BOTH, FOREVER, FOREVER);
    hear(&mut wire, a, &said);
    let temporaries = |wire: &Wire| {
        let all = made(wire, a);
        let temporary = all.into_iter().filter(|known| known.1 == Origin::Temporary);
        temporary.collect::<Vec<_>>()
    };
    let first = temporaries(&wire)[0];
    assert_eq!((first.2, first.3), (Standing::Preferred, Some(2 * day)), "TEMP_VALID_LIFETIME");
    let source = |wire: &mut Wire| {
        let id = wire.connect(a, "[2001:db8::99]:80");
        wire[a].local_address(id).unwrap().ip()
    };
    assert_eq!(source(&mut wire), IpAddr::from(first.0), "RFC 6724 rule 7");
    // The preferred lifetime is a day less up to 0.4 of it; five seconds before it is over there is another one.
    wire.run((day as u32 * 6 / 10 - 10) * SECOND);
    assert_eq!(temporaries(&wire).len(), 1);
    assert!(wire.run_until(day as u32 * SECOND, |wire| {
        let all = made(wire, a);
        all.iter().filter(|known| known.1 == Origin::Temporary).count() == 2
    }));
    let both = temporaries(&wire);
    assert_eq!(both[0].2, Standing::Preferred);
    wire.run(6 * SECOND);
    assert_eq!(temporaries(&wire)[0].2, Standing::Deprecated);
    assert_eq!(source(&mut wire), IpAddr::from(both[1].0));
    // In the long run there are never more than a few.
    wire.run(10 * day as u32 * SECOND);
    assert!((2..=4).contains(&temporaries(&wire).len()), "{:?}", temporaries(&wire));
    assert!(!temporaries(&wire).contains(&first));
}

#[test]
fn a_flood_of_advertisements_is_bounded() {
    let (mut wire, a) = listening(true);
    let b = wire.host(2, Default::default(), &["10.0.0.2/24"]);
    wire[a].add_address(ETH, "10.0.0.1/24".parse().unwrap()).unwrap();
    let (x, y) = wire.connected(a, b, "10.0.0.2:80");
    for number in 0..20_000u32 {
        let (high, low) = (number >> 16, number & 0xffff);
        let prefix = format!("2001:db8:{high:x}:{low:x}::/64");
        let said = Said::router(1800).prefix(&prefix, BOTH, FOREVER, FOREVER);
        let router = format!("fe80::{high:x}:{low:x}");
        let route = [24, 2, 48, 0, 0, 0, 0, 9, 0x20, 1, 0xd, 0xb8, (number >> 8) as u8, number as u8, 0, 0];
        wire.inject_bytes(a, &said.option(&route).frame(&router, 255));
        if number % 1000 == 0 {
            wire.settle();
        }
    }
    wire.settle();
    assert!(made(&wire, a).len() <= 16 + 32);
    assert!(routes(&wire, a).len() <= 16 + 64);
    assert!(wire.echoes([(a, x), (b, y)]), "a bystander goes on");
}

#[test]
fn routers_say_whether_dhcpv6_is_asked_rfc_4861_4_2() {
    // SOLICIT and INFORMATION-REQUEST (RFC 8415 section 7.3).
    for (flags, follow, asked) in
        [(0x80, true, Some(1)), (0x40, true, Some(11)), (0, true, None), (0x80, false, None)]
    {
        let (mut wire, a) = listening(false);
        wire[a].follow_routers(ETH, follow);
        hear(&mut wire, a, &Said { flags, ..Said::router(1800) });
        wire.record.clear();
        wire.run(5 * SECOND);
        let to_servers =
            wire.record.iter().find(|sent| sent.bytes.get(56..58) == Some(&547u16.to_be_bytes()));
        assert_eq!(to_servers.map(|sent| sent.bytes[62]), asked, "{flags:x} {follow}");
    }
}

#[test]
fn what_was_learned_is_forgotten() {
    let (mut wire, a) = listening(true);
    hear(&mut wire, a, &Said::router(1800).prefix("2001:db8::/64", BOTH, 3600, 1800));
    assert_eq!((made(&wire, a).len(), routes(&wire, a).len()), (2, 2));
    let now = wire.now();
    wire[a].stop_discovery(now, ETH);
    assert_eq!((made(&wire, a).len(), routes(&wire, a).len()), (0, 0));
    let socket = wire[a].open(Kind::Datagram, Family::V6);
    let to = Some("[2001:db8::1]:9".parse().unwrap());
    assert_eq!(wire[a].send_to(now, socket, b"x", to), Err(Error::NetworkUnreachable));
}
