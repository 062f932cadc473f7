//! What a stack shows of itself, after known actions.

use std::net::SocketAddr;
use std::time::Duration;

use ioth_stack::net::{Cidr, InterfaceId, neighbour};
use ioth_stack::snapshot::{Snapshot, Socket, State};
use ioth_stack::{EndpointId, Family, Kind, Shutdown, Via};

use crate::wire::{Fate, Host, Port, Wire};

const ETH1: InterfaceId = InterfaceId::new(2);

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn show(wire: &Wire, host: Host) -> Snapshot {
    wire[host].snapshot(wire.now())
}

/// The socket of an endpoint.
fn socket(wire: &Wire, host: Host, id: EndpointId) -> Socket {
    show(wire, host).sockets.into_iter().find(|socket| socket.id == Some(id)).unwrap()
}

fn state(wire: &Wire, host: Host, id: EndpointId) -> State {
    socket(wire, host, id).state
}

fn send_datagram(wire: &mut Wire, from: Host, id: EndpointId, to: &str) {
    let now = wire.now();
    assert_eq!(wire[from].send_to(now, id, b"hello", Some(at(to))), Ok(5));
}

#[test]
fn interfaces_and_addresses() {
    let mut wire = Wire::new();
    let a = wire.host(1, Port { segment: 0, mtu: 9000, offload: true }, &["10.0.0.1/24"]);
    let second = wire.attach(a, Port::default(), &["10.1.0.1/16", "fd01::1/64"]);
    let shown = show(&wire, a);
    let links: Vec<_> = shown
        .interfaces
        .iter()
        .map(|link| (link.index.index(), link.name.as_str(), link.mac.to_string(), link.mtu, link.offload))
        .collect();
    let zeros = "00:00:00:00:00:00".to_owned();
    assert_eq!(
        links,
        [
            (1, "lo", zeros, 65_520, true),
            (2, "eth1", "02:00:00:00:01:01".to_owned(), 9000, true),
            (3, "eth2", "02:00:00:00:01:02".to_owned(), 1500, false),
        ]
    );
    assert!(shown.interfaces.iter().all(|link| link.up));
    let on = |interface| {
        let addresses = shown.addresses.iter().filter(move |known| known.interface == interface);
        addresses.map(|known| known.cidr.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(on(InterfaceId::LOOPBACK), ["127.0.0.1/8", "::1/128"]);
    assert_eq!(on(ETH1), ["fe80::ff:fe00:101/64", "10.0.0.1/24"]);
    assert_eq!(on(second), ["fe80::ff:fe00:102/64", "10.1.0.1/16", "fd01::1/64"]);

    wire[a].shut_down();
    assert!(show(&wire, a).interfaces.iter().all(|link| !link.up));
}

#[test]
fn routes_in_the_order_of_preference_with_the_source_they_give() {
    let (mut wire, a, _) = Wire::pair();
    let via = |gateway: &str| Some(gateway.parse().unwrap());
    wire[a].add_route("0.0.0.0/0".parse().unwrap(), via("10.0.0.254"), None, 0).unwrap();
    wire[a].add_address(ETH1, "10.5.0.1/24".parse().unwrap()).unwrap();
    wire[a].add_route("10.9.0.0/16".parse().unwrap(), via("10.5.0.253"), None, 7).unwrap();
    let shown = show(&wire, a);
    let v4: Vec<_> = shown.routes.iter().filter(|route| route.destination.address().is_ipv4()).collect();
    let told: Vec<_> = v4
        .iter()
        .map(|route| (route.destination.to_string(), route.gateway, route.source, route.metric))
        .collect();
    assert_eq!(
        told,
        [
            ("10.0.0.0/24".to_owned(), None, via("10.0.0.1"), 0),
            ("10.5.0.0/24".to_owned(), None, via("10.5.0.1"), 0),
            ("10.9.0.0/16".to_owned(), via("10.5.0.253"), via("10.5.0.1"), 7),
            ("0.0.0.0/0".to_owned(), via("10.0.0.254"), via("10.0.0.1"), 0),
        ]
    );
    assert!(v4.iter().all(|route| route.interface == ETH1));
    let of = |destination: &str| {
        let destination: Cidr = destination.parse().unwrap();
        shown.routes.iter().find(|route| route.destination == destination).unwrap().source
    };
    assert_eq!(of("fd00::/64"), via("fd00::1"));
    assert_eq!(of("fe80::/64"), via("fe80::ff:fe00:101"));
}

#[test]
fn neighbours_in_every_state_rfc_4861_7_3_2() {
    let (mut wire, a, b) = Wire::pair();
    let id = wire.datagram(a, "10.0.0.1:1");
    let _other = wire.datagram(b, "10.0.0.2:2");
    let neighbour = |wire: &Wire, address: &str| {
        let known = show(wire, a).neighbours.into_iter().find(|known| known.address == at(address).ip());
        known.map(|known| (known.state, known.mac.map(|mac| mac.octets()), known.waiting))
    };
    send_datagram(&mut wire, a, id, "10.0.0.2:2");
    send_datagram(&mut wire, a, id, "10.0.0.9:9");
    assert_eq!(neighbour(&wire, "10.0.0.2:2"), Some((neighbour::State::Incomplete, None, 1)));
    wire.settle();
    let mac = Some(wire.mac(b));
    assert_eq!(neighbour(&wire, "10.0.0.2:2"), Some((neighbour::State::Reachable, mac, 0)));
    assert_eq!(neighbour(&wire, "10.0.0.9:9"), Some((neighbour::State::Incomplete, None, 1)));
    assert!(show(&wire, a).neighbours.iter().all(|known| known.interface == ETH1));
    // Who was asked knows who asked.
    assert_eq!(show(&wire, b).neighbours[0].state, neighbour::State::Stale);

    wire.run(Duration::from_secs(30));
    assert_eq!(
        neighbour(&wire, "10.0.0.9:9"),
        Some((neighbour::State::Failed, None, 0)),
        "it does not answer"
    );
    assert_eq!(neighbour(&wire, "10.0.0.2:2"), Some((neighbour::State::Stale, mac, 0)));
    wire.weather = Box::new(|_| Fate::Lost);
    send_datagram(&mut wire, a, id, "10.0.0.2:2");
    assert_eq!(neighbour(&wire, "10.0.0.2:2"), Some((neighbour::State::Delay, mac, 0)));
    wire.run(Duration::from_secs(6));
    assert_eq!(neighbour(&wire, "10.0.0.2:2"), Some((neighbour::State::Probe, mac, 0)));
    wire.run(Duration::from_secs(3));
    assert_eq!(neighbour(&wire, "10.0.0.2:2"), Some((neighbour::State::Failed, None, 0)));
    // For a minute, or until it is asked for again.
    send_datagram(&mut wire, a, id, "10.0.0.2:2");
    assert_eq!(neighbour(&wire, "10.0.0.2:2"), Some((neighbour::State::Incomplete, None, 1)));
    wire.run(Duration::from_secs(64));
    assert_eq!(neighbour(&wire, "10.0.0.2:2"), None);
}

/// As ip-maddress(8).
#[test]
fn groups_and_how_many_are_members() {
    let mut wire = Wire::new();
    let a = wire.host(1, Port::default(), &["10.0.0.1/24", "fd00::3:4/64"]);
    let group = "224.0.0.251".parse().unwrap();
    let ids = [5353, 5354].map(|port| wire.datagram(a, &format!("0.0.0.0:{port}")));
    let now = wire.now();
    for id in ids {
        wire[a].join_group(now, id, group, Via::Interface(ETH1)).unwrap();
    }
    let groups = |wire: &Wire| -> Vec<String> {
        let shown = show(wire, a).groups.into_iter().filter(|known| known.interface == ETH1);
        shown.map(|known| format!("{} {}", known.group, known.users)).collect()
    };
    let own = ["ff02::1 1", "ff02::1:ff00:101 1", "ff02::1:ff03:4 1"];
    assert_eq!(groups(&wire), [&["224.0.0.1 1", "224.0.0.251 2"][..], &own].concat());
    assert!(
        show(&wire, a).to_string().contains("2:\teth1\n\tinet  224.0.0.1\n\tinet  224.0.0.251 users 2\n")
    );
    wire.close(a, ids[0]);
    wire.close(a, ids[1]);
    assert_eq!(groups(&wire), [&["224.0.0.1 1"][..], &own].concat());
}

#[test]
fn a_listener_shows_who_waits() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    let client = wire.connect(a, "10.0.0.2:80");
    wire.settle();
    // Another one, whose handshake does not come to its end.
    wire.weather =
        Box::new(
            |frame| if frame[12..14] == [8, 0] && frame[47] & 2 == 0 { Fate::Lost } else { Fate::Arrives },
        );
    let late = wire.connect(a, "10.0.0.2:80");
    wire.settle();
    let shown = socket(&wire, b, listener);
    let listening = shown.listening.unwrap();
    assert_eq!((shown.state, shown.local, shown.remote), (State::Listen, at("10.0.0.2:80"), None));
    assert_eq!((listening.accept_queue, listening.backlog, listening.handshakes), (1, 8, 1));
    let from = |id| wire[a].local_address(id).unwrap();
    let peers =
        |state| show(&wire, b).sockets_in(state).map(|socket| socket.remote.unwrap()).collect::<Vec<_>>();
    assert_eq!(peers(State::Established), [from(client)]);
    assert_eq!(peers(State::SynReceived), [from(late)]);

    let _ = wire.accept(b, listener);
    assert_eq!(socket(&wire, b, listener).listening.unwrap().accept_queue, 0);
}

#[test]
fn a_connection_shows_what_is_queued_and_its_path() {
    let (mut wire, a, b) = Wire::pair();
    wire.latency = Duration::from_millis(10);
    // The first one has to ask who is who.
    let _ = wire.connected(a, b, "10.0.0.2:79");
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    assert_eq!(wire.send(b, other, &[7; 3000]), Ok(3000));
    wire.run(Duration::from_millis(100));
    wire.weather = Box::new(|_| Fate::Lost);
    assert_eq!(wire.send(a, one, &[7; 100_000]), Ok(100_000));
    wire.settle();
    let shown = socket(&wire, a, one);
    assert_eq!((shown.kind, shown.family, shown.state), (Kind::Stream, Family::V4, State::Established));
    assert_eq!((shown.local.ip(), shown.remote), (at("10.0.0.1:0").ip(), Some(at("10.0.0.2:80"))));
    assert_eq!((shown.recv_queue, shown.send_queue), (3000, 100_000));
    let tcp = shown.tcp.unwrap();
    assert_eq!((tcp.segment_size, tcp.path_mtu), (1460, 1500));
    // RFC 6928: ten segments, all of them under way.
    assert_eq!((tcp.congestion_window, tcp.under_way), (14_600, 14_600));
    assert_eq!(tcp.shortest_round_trip, Some(Duration::from_millis(20)));
    assert_eq!(tcp.round_trip, Some(Duration::from_millis(20)));
    // RFC 6298 section 2: SRTT + 4 RTTVAR, with a variation of 200 ms at least.
    assert_eq!(tcp.retransmission_timeout, Duration::from_millis(220));
    // After a timeout: twice as long (section 5.5), and a window of one segment (RFC 5681 section 3.1).
    wire.run(Duration::from_millis(400));
    let tcp = socket(&wire, a, one).tcp.unwrap();
    assert_eq!((tcp.retransmission_timeout, tcp.congestion_window), (Duration::from_millis(440), 1460));

    let shown = socket(&wire, b, other);
    assert_eq!((shown.recv_queue, shown.send_queue), (0, 0));
}

#[test]
fn timestamps_show_and_take_their_room_rfc_7323() {
    let (mut wire, a, b) = Wire::pair();
    for (on, address) in [(false, "10.0.0.2:80"), (true, "10.0.0.2:81")] {
        wire[a].set_timestamps(on);
        wire[b].set_timestamps(true);
        let (one, _other) = wire.connected(a, b, address);
        let tcp = socket(&wire, a, one).tcp.unwrap();
        assert_eq!((tcp.timestamps, tcp.segment_size), if on { (true, 1448) } else { (false, 1460) });
        assert_eq!(show(&wire, a).to_string().contains("  ts cubic "), on);
    }
}

#[test]
fn a_datagram_socket_has_a_peer_or_none() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = (wire.datagram(a, "10.0.0.1:1"), wire.datagram(b, "[::]:2"));
    let shown = socket(&wire, b, other);
    assert_eq!((shown.kind, shown.family, shown.state), (Kind::Datagram, Family::V6, State::Closed));
    assert_eq!((shown.local, shown.remote, shown.v6_only), (at("[::]:2"), None, false));
    let now = wire.now();
    wire[a].connect(now, one, at("10.0.0.2:2")).unwrap();
    for _ in 0..3 {
        assert_eq!(wire.send(a, one, b"hello"), Ok(5));
    }
    wire.settle();
    let shown = socket(&wire, a, one);
    assert_eq!((shown.state, shown.remote), (State::Established, Some(at("10.0.0.2:2"))));
    assert_eq!(socket(&wire, b, other).recv_queue, 15);
    let _ = wire.received(b, other);
    assert_eq!(socket(&wire, b, other).recv_queue, 10);
}

#[test]
fn every_state_of_a_connection_rfc_9293_3_3_2() {
    let (mut wire, a, b) = Wire::pair();
    let fresh = wire.open(a, Kind::Stream, at("10.0.0.1:0"));
    assert_eq!(state(&wire, a, fresh), State::Closed);
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    assert_eq!(state(&wire, b, listener), State::Listen);
    let client = wire.connect(a, "10.0.0.2:80");
    assert_eq!(state(&wire, a, client), State::SynSent);
    let server = wire.accept(b, listener);
    assert_eq!((state(&wire, a, client), state(&wire, b, server)), (State::Established, State::Established));

    let now = wire.now();
    wire[a].shutdown(now, client, Shutdown::Write).unwrap();
    assert_eq!(state(&wire, a, client), State::FinWait1);
    wire.settle();
    assert_eq!((state(&wire, a, client), state(&wire, b, server)), (State::FinWait2, State::CloseWait));
    let now = wire.now();
    wire[b].shutdown(now, server, Shutdown::Write).unwrap();
    assert_eq!(state(&wire, b, server), State::LastAck);
    wire.settle();
    assert_eq!((state(&wire, a, client), state(&wire, b, server)), (State::TimeWait, State::Closed));

    // Both close at once.
    let (client, server) = wire.connected(a, b, "10.0.0.2:81");
    let now = wire.now();
    wire[a].shutdown(now, client, Shutdown::Write).unwrap();
    wire[b].shutdown(now, server, Shutdown::Write).unwrap();
    let mut seen = Vec::new();
    let _ = wire.run_until(Duration::from_millis(10), |wire| {
        seen.push(state(wire, a, client));
        false
    });
    seen.dedup();
    assert_eq!(seen, [State::FinWait1, State::Closing, State::TimeWait]);
}

#[test]
fn data_in_front_of_a_fin_does_not_hide_the_close_rfc_9293_3_10_4() {
    let (mut wire, a, b) = Wire::pair();
    let (one, _other) = wire.connected(a, b, "10.0.0.2:80");
    // More than the window lets out.
    assert_eq!(wire.send(a, one, &[7; 200_000]), Ok(200_000));
    wire.close(a, one);
    let shown = socket(&wire, a, one);
    assert_eq!(shown.state, State::FinWait1);
    assert!(shown.tcp.unwrap().orphan && shown.send_queue > 0);
}

#[test]
fn what_is_left_of_a_connection_shows_for_a_minute_rfc_9293_3_6_1() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    let local = wire[a].local_address(one).unwrap();
    wire.close(a, one);
    wire.settle();
    wire.close(b, other);
    wire.settle();
    wire.run(Duration::from_secs(10));
    let shown = show(&wire, a);
    let [record] = shown.sockets.as_slice() else { panic!("{shown}") };
    assert_eq!((record.id, record.state), (None, State::TimeWait));
    assert_eq!((record.local, record.remote), (local, Some(at("10.0.0.2:80"))));
    let left = record.expires_in.unwrap();
    assert!((Duration::from_millis(49_900)..Duration::from_secs(50)).contains(&left), "{left:?}");
    wire.run(Duration::from_secs(50));
    assert_eq!(show(&wire, a).sockets, []);
    assert_eq!(show(&wire, b).sockets, []);
}

#[test]
fn looking_changes_nothing() {
    let (mut wire, a, b) = Wire::pair();
    let (one, _other) = wire.connected(a, b, "10.0.0.2:80");
    assert_eq!(wire.send(a, one, b"hello"), Ok(5));
    let due = wire[a].poll_timeout();
    assert_eq!(show(&wire, a), show(&wire, a));
    assert_eq!(wire[a].poll_timeout(), due);
    assert_eq!(show(&wire, a).counters, *wire[a].counters());
    assert_eq!(show(&wire, a).at, wire.now());
}

/// `cargo insta accept`, or `INSTA_UPDATE=always`, takes a new text.
#[test]
fn it_prints_as_ip_and_ss_do() {
    let mut wire = Wire::new();
    let a = wire.host(1, Port { offload: true, ..Port::default() }, &["10.0.0.1/24", "fd00::1/64"]);
    let b = wire.host(2, Port::default(), &["10.0.0.2/24", "fd00::2/64"]);
    wire[a].add_route("0.0.0.0/0".parse().unwrap(), Some("10.0.0.254".parse().unwrap()), None, 0).unwrap();
    wire.latency = Duration::from_millis(10);
    let datagram = wire.datagram(a, "[::]:53");
    let _echo = wire.open(a, Kind::Echo, at("[::]:0"));
    let _listener = wire.listen(a, "[::]:80", 16);
    // A connection that waits to be accepted, by IPv4.
    let _waiting = wire.connect(b, "10.0.0.1:80");
    // Two that end, one for good.
    for end in [true, false] {
        let (one, other) = wire.connected(a, b, "10.0.0.2:22");
        wire.close(a, one);
        wire.run(Duration::from_millis(50));
        if end {
            wire.close(b, other);
            wire.run(Duration::from_millis(50));
        }
    }
    // One with bytes both ways that nobody takes, by link-local addresses.
    let listener = wire.listen(b, "[::]:7", 8);
    let peer = "[fe80::ff:fe00:201%2]:7".parse().unwrap();
    let one = wire[a].open(Kind::Stream, Family::V6);
    let now = wire.now();
    let _ = wire[a].connect(now, one, peer);
    let other = wire.accept(b, listener);
    assert_eq!(wire.send(b, other, &[7; 3000]), Ok(3000));
    wire.run(Duration::from_millis(100));
    let now = wire.now();
    let _ = wire[a].send_to(now, datagram, b"who?", Some(at("[fd00::9]:53"))).unwrap();
    wire.run(Duration::from_millis(500));
    wire.weather = Box::new(|_| Fate::Lost);
    assert_eq!(wire.send(a, one, &[7; 5000]), Ok(5000));
    wire.settle();
    insta::assert_snapshot!(show(&wire, a));
}
