//! What each key accepts, and that no string panics or changes on its way round.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Config {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The whole message of a string that does not parse.
fn error(text: &str) -> String {
    text.parse::<Config>().expect_err(text).to_string()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

#[test]
fn every_key_has_its_place() {
    let config = parse(
        "ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1,gw=fd00::1,mac=02:00:00:00:00:01,mtu=1500,dns=10.0.0.1,\
         dns=fd00::53,domain=example.org,domain=lan,resolve=ndots:2 timeout:500ms rotate,host=10.0.0.9 printer.lan printer,hosts=/etc/hosts,capture=/tmp/a=b.pcapng,impair=loss:1%,burst:3,delay:20ms,route=10.2.0.0/16@10.0.0.9,\
         route=fd01::/48,route=10.3.0.0/16@blackhole metric 7,route=10.4.0.0/16@eth1,forward=on,icmp_ratelimit=off,dad=strict,\
         neigh=10.0.0.9@02:00:00:00:00:09,dhcp,dhcp6=stateless,slaac,fqdn=red.example,identity=red,busy_poll=50us,wait=2s,linger=5s",
    );
    let expected = Config {
        interfaces: vec![InterfaceConfig {
            name: None,
            addresses: vec![cidr("10.0.0.2/24"), cidr("fd00::2/64")],
            mac: Some(Mac::new([2, 0, 0, 0, 0, 1])),
            mtu: Some(1500),
            dad: Some(Testing::Strict),
            dhcp: true,
            dhcp6: Some(Dhcp6::Stateless),
            auto: false,
            auto6: false,
            slaac: Some(Slaac::Stable),
            neighbours: vec![(ip("10.0.0.9"), Mac::new([2, 0, 0, 0, 0, 9]))],
            capture: Some("/tmp/a=b.pcapng".into()),
            impair: Some("loss:1%,burst:3,delay:20ms".parse().unwrap()),
        }],
        gateways: vec![ip("10.0.0.1"), ip("fd00::1")],
        routes: vec![
            RouteConfig { destination: cidr("10.2.0.0/16"), way: Way::Gateway(ip("10.0.0.9")), metric: 0 },
            RouteConfig { destination: cidr("fd01::/48"), way: Way::Link(None), metric: 0 },
            RouteConfig {
                destination: cidr("10.3.0.0/16"),
                way: Way::Nowhere(RouteKind::Blackhole),
                metric: 7,
            },
            RouteConfig { destination: cidr("10.4.0.0/16"), way: Way::Link(Some("eth1".into())), metric: 0 },
        ],
        forward: Some(true),
        icmp_ratelimit: Some(false),
        dns: vec![ip("10.0.0.1"), ip("fd00::53")],
        domains: vec!["example.org".to_owned(), "lan".to_owned()],
        resolve: Some(Resolve { ndots: 2, timeout: Duration::from_millis(500), attempts: 2, rotate: true }),
        hosts: vec![Host {
            address: ip("10.0.0.9"),
            names: vec!["printer.lan".to_owned(), "printer".to_owned()],
        }],
        hosts_file: Some("/etc/hosts".into()),
        fqdn: Some("red.example".into()),
        identity: Some("red".into()),
        busy_poll: Some(Duration::from_micros(50)),
        wait: Some(Duration::from_secs(2)),
        linger: Some(Duration::from_secs(5)),
    };
    assert_eq!(config, expected);
}

#[test]
fn nothing_is_a_configuration() {
    for empty in ["", " ", ",", " , ,"] {
        assert_eq!(parse(empty), Config::default());
    }
    assert_eq!(Config::default().to_string(), "");
}

#[test]
fn spaces_around_items_do_not_count() {
    assert_eq!(
        parse(" ip = 10.0.0.2/24 ,\n gw=10.0.0.1,, - gw , route = 10.2.0.0/16 @ 10.0.0.9,"),
        parse("ip=10.0.0.2/24,route=10.2.0.0/16@10.0.0.9")
    );
}

#[test]
fn the_last_single_value_counts_and_lists_collect_each_once() {
    let config = parse("mtu=1500,mtu=9000,ip=10.0.0.2/24,ip=10.0.0.3/24,ip=10.0.0.2/24");
    assert_eq!(config.interfaces[0].mtu, Some(9000));
    assert_eq!(config.interfaces[0].addresses, [cidr("10.0.0.2/24"), cidr("10.0.0.3/24")]);
    assert_eq!(parse("macaddr=02-00-00-00-00-01"), parse("mac=02:00:00:00:00:01"));
}

#[test]
fn impairments_have_commas_of_their_own() {
    let config = parse("impair = loss:1% , burst:3,ip=fd00::2/64");
    assert_eq!(config.to_string(), "ip=fd00::2/64,impair=loss:1%,burst:3");
    assert_eq!(parse(&format!("{config},-impair")), parse("ip=fd00::2/64"));
    assert!(error("ip=fd00::2/64,delay:1ms").contains("unknown key"));
    assert!(error("impair=loss:1%,lose:1%").contains("unknown key"));
    assert!(error("impair=loss:1").contains("loss:1: a percentage from 0% to 100% is wanted"));
}

#[test]
fn iface_says_whose_the_next_items_are() {
    let config = parse(
        "ip=10.0.0.2/24,iface=eth1,ip=10.1.0.2/24,mtu=9000,iface=eth2,gw=10.0.0.1,iface=eth1,ip=fd00::2/64",
    );
    let names: Vec<_> = config.interfaces.iter().map(|interface| interface.name.as_deref()).collect();
    assert_eq!(names, [None, Some("eth1"), Some("eth2")]);
    assert_eq!(config.interfaces[0].addresses, [cidr("10.0.0.2/24")]);
    assert_eq!(config.interfaces[1].addresses, [cidr("10.1.0.2/24"), cidr("fd00::2/64")]);
    assert_eq!((config.interfaces[0].mtu, config.interfaces[1].mtu), (None, Some(9000)));
    assert_eq!(config.gateways, [ip("10.0.0.1")]);
    // One without a name comes first only if something is said about it.
    assert_eq!(parse("iface=eth0,ip=10.0.0.2/24").interfaces.len(), 1);
    assert_eq!(parse("iface=eth0").interfaces[0].name.as_deref(), Some("eth0"));
}

#[test]
fn a_minus_undoes() {
    assert_eq!(parse("ip=10.0.0.2/24,ip=10.0.0.3/24,-ip=10.0.0.2/24"), parse("ip=10.0.0.3/24"));
    assert_eq!(parse("ip=10.0.0.2/24,ip=10.0.0.3/24,-ip,ip=10.0.0.4/24"), parse("ip=10.0.0.4/24"));
    assert_eq!(parse("mtu=1500,-mtu,linger=5s,-linger=5s,gw=10.0.0.1,-gw"), Config::default());
    assert_eq!(parse("-dns,-route,-domain,-busy_poll,-mac"), Config::default());
    // Of the selected interface only.
    assert_eq!(parse("ip=10.0.0.2/24,iface=a,ip=10.0.0.3/24,-ip"), parse("ip=10.0.0.2/24,iface=a"));
    assert_eq!(parse("iface=a,mtu=1500,iface=b,-iface=a,ip=10.0.0.2/24"), parse("ip=10.0.0.2/24,iface=b"));
    assert_eq!(parse("mtu=9000,iface=a,mtu=1500,iface=b,-iface"), parse("mtu=9000"));
}

#[test]
fn undoing_what_was_not_set_is_an_error() {
    for bad in [
        "-ip=10.0.0.2/24",
        "mtu=1500,-mtu=1400",
        "-linger=5s",
        "iface=a,-iface=b",
        "ip=10.0.0.2/24,-ip=10.0.0.2/25",
    ] {
        assert!(error(bad).ends_with("nothing to undo: it was not set before"), "{bad}");
    }
    assert!(error("-ip=10.0.0.2").contains("a prefix length is missing"));
}

#[test]
fn errors_name_the_key_and_the_value() {
    assert_eq!(
        error("gw=10.0.0.1,ip=10.0.0.2"),
        "bad configuration ip=10.0.0.2: a prefix length is missing, as in 10.0.0.2/24 or fd00::2/64"
    );
    assert_eq!(
        error("colour=blue"),
        "bad configuration colour=blue: unknown key; the keys are iface ip mac macaddr mtu dad auto auto4 auto6 dhcp dhcp4 \
         dhcpv4 dhcp6 dhcpv6 slaac neigh capture impair gw route forward icmp_ratelimit dns domain resolve host hosts fqdn identity busy_poll wait linger"
    );
    assert!(error("-x").starts_with("bad configuration -x=: unknown key"));
    assert!(error("IP=10.0.0.2/24").contains("unknown key"));
    assert!(error("=5").contains("unknown key"));
}

#[test]
fn keys_of_iothconf_that_are_not_built_say_so() {
    let keys = "rd rd6 eth stack vnl debug ifindex";
    for key in keys.split(' ') {
        for item in [key.to_owned(), format!("-{key}"), format!("{key}=1")] {
            assert!(error(&item).ends_with(": this version does not have it"), "{item}");
        }
    }
}

#[test]
fn bad_values_are_refused() {
    let bad = [
        ("ip", "10.0.0.2/33"),
        ("ip", "224.0.0.1/4"),
        ("ip", "0.0.0.0/0"),
        ("ip", "eth0/24"),
        ("gw", "10.0.0.1/24"),
        ("gw", "::"),
        ("dns", "ff02::fb"),
        ("dns", "255.255.255.255"),
        ("dns", "localhost"),
        ("mac", "02:00:00:00:00"),
        ("mac", "ff:ff:ff:ff:ff:ff"),
        ("mac", "00:00:00:00:00:00"),
        ("mtu", "67"),
        ("mtu", "65536"),
        ("mtu", "+1500"),
        ("mtu", "1500.0"),
        ("route", "10.2.0.1/16@10.0.0.9"),
        ("route", "10.2.0.0@10.0.0.9"),
        ("route", "10.2.0.0/16@"),
        ("forward", "yes"),
        ("route", "10.2.0.0/16@fd00::1"),
        ("route", "10.2.0.0/16@10.0.0.9@10.0.0.8"),
        ("route", "10.2.0.0/16@black hole"),
        ("route", "10.2.0.0/16@10.0.0.9 metric"),
        ("route", "10.2.0.0/16@10.0.0.9 metric -1"),
        ("route", "10.2.0.0/16 metric 4294967296"),
        ("dad", "on"),
        ("slaac", "on"),
        ("dhcp", "on"),
        ("dhcp6", "on"),
        ("fqdn", "a b"),
        ("neigh", "10.0.0.9"),
        ("neigh", "10.0.0.9@ff:ff:ff:ff:ff:ff"),
        ("neigh", "10.0.0.0/8@02:00:00:00:00:09"),
        ("wait", "10"),
        ("busy_poll", "50"),
        ("busy_poll", "us"),
        ("busy_poll", "-1us"),
        ("busy_poll", "0.5ms"),
        ("linger", "5m"),
        ("linger", "99999999999999999999s"),
        ("iface", "a/b"),
        ("iface", "a name"),
        ("iface", "0123456789abcdef"),
        ("domain", "a..b"),
        ("domain", "."),
        ("domain", "ex ample"),
        ("resolve", "ndots"),
        ("resolve", "ndots:16"),
        ("resolve", "ndots:+1"),
        ("resolve", "attempts:0"),
        ("resolve", "timeout:31s"),
        ("resolve", "timeout:5"),
        ("resolve", "edns0"),
        ("host", "10.0.0.9"),
        ("host", "printer 10.0.0.9"),
        ("host", "10.0.0.9 printer a..b"),
        ("capture", "a\0b"),
    ];
    for (key, value) in bad {
        let message = error(&format!("{key}={value}"));
        assert!(message.starts_with(&format!("bad configuration {key}={value}: ")), "{message}");
        assert!(!message.contains("unknown key"), "{message}");
    }
    for key in ["ip", "gw", "mac", "mtu", "dns", "domain", "iface", "capture", "route", "linger"] {
        for item in [key.to_owned(), format!("{key}="), format!("-{key}=")] {
            assert!(error(&item).ends_with("the value is missing"), "{item}");
        }
    }
    assert!(error("route=10.2.0.1/16").ends_with("is 10.2.0.0/16 meant?"));
}

#[test]
fn edges_of_ranges_are_inside() {
    assert_eq!(parse("mtu=68").interfaces[0].mtu, Some(68));
    assert_eq!(parse("mtu=65535").interfaces[0].mtu, Some(65535));
    assert_eq!(parse("linger=0s").linger, Some(Duration::ZERO));
    assert_eq!(parse("linger=1500 ms").linger, Some(Duration::from_millis(1500)));
    assert_eq!(parse("iface=0123456789abcde").interfaces[0].name.as_deref(), Some("0123456789abcde"));
    assert_eq!(parse("domain=example.org.").domains, ["example.org."]);
    assert_eq!(parse("route=0.0.0.0/0@10.0.0.1").routes.len(), 1);
}

/// Items that mostly parse.
fn item() -> impl Strategy<Value = String> {
    prop_oneof![
        (any::<IpAddr>(), 0u8..=40).prop_map(|(address, len)| format!("ip={address}/{len}")),
        any::<IpAddr>().prop_map(|address| format!("gw={address}")),
        any::<IpAddr>().prop_map(|address| format!("dns={address}")),
        (any::<std::net::Ipv4Addr>(), 0u8..=32, any::<std::net::Ipv4Addr>()).prop_map(|(to, len, via)| {
            format!("route={}@{via}", Cidr::new(to.into(), len).unwrap().network())
        }),
        (any::<std::net::Ipv6Addr>(), 0u8..=128)
            .prop_map(|(to, len)| format!("route={}", Cidr::new(to.into(), len).unwrap().network())),
        (any::<std::net::Ipv4Addr>(), 0u8..=32, "(blackhole|unreachable|prohibit|eth[01])", any::<u32>())
            .prop_map(|(to, len, way, metric)| {
                format!("route={}@{way} metric {metric}", Cidr::new(to.into(), len).unwrap().network())
            }),
        (any::<IpAddr>(), any::<[u8; 6]>())
            .prop_map(|(address, octets)| format!("neigh={address}@{}", Mac::new(octets))),
        "slaac(=temporary)?",
        "auto[46]?",
        "dhcp(4|v4)?",
        "dhcp(6|v6)(=stateless)?",
        "fqdn=[a-c.]{1,5}",
        "(off|optimistic|strict)".prop_map(|testing| format!("dad={testing}")),
        any::<[u8; 6]>().prop_map(|octets| format!("mac={}", Mac::new(octets))),
        any::<u16>().prop_map(|mtu| format!("mtu={mtu}")),
        "[a-z0-9.-]{1,10}".prop_map(|name| format!("domain={name}")),
        (0u8..=16, 0u64..40_000, 0u8..=6, "( rotate)?").prop_map(|(ndots, timeout, attempts, rotate)| {
            format!("resolve=ndots:{ndots} timeout:{timeout}ms attempts:{attempts}{rotate}")
        }),
        (any::<IpAddr>(), "( {1,2}[a-z0-9.-]{1,5}){0,3}")
            .prop_map(|(address, names)| format!("host={address} {names}")),
        "[abc]".prop_map(|name| format!("iface={name}")),
        "[^,]{1,10}".prop_map(|file| format!("capture={file}")),
        (any::<u64>(), "(ns|us|ms|s)").prop_map(|(count, unit)| format!("linger={count}{unit}")),
        (0u64..5_000, "(ns|us|ms|s)").prop_map(|(count, unit)| format!("busy_poll={count}{unit}")),
        "-(ip|gw|mac|mtu|dns|domain|iface|capture|route|forward|icmp_ratelimit|linger|dad|neigh|wait|slaac|dhcp|dhcp6|auto6?|fqdn|identity|resolve|hosts?)(=[abc])?",
    ]
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*", near in "(-?(ip|gw|mtu|route|linger|iface|capture|mac)=?[0-9a-z:./@,-]{0,12},){0,5}") {
        let _ = text.parse::<Config>();
        let _ = near.parse::<Config>();
    }

    #[test]
    fn a_printed_configuration_parses_to_the_same(items in prop::collection::vec(item(), 0..12)) {
        // Items that do not fit are left out one by one, so that the rest is tried nevertheless.
        let mut text = String::new();
        for item in items {
            let longer = format!("{text}{item},");
            if longer.parse::<Config>().is_ok() {
                text = longer;
            }
        }
        let config = parse(&text);
        let printed = config.to_string();
        prop_assert_eq!(parse(&printed), config, "{}", printed);
    }
}
