//! Who conflicts with whom, here, is what `bind(2)` and `listen(2)` of Linux 6.18 answered to the same
//! calls on loopback addresses.

use std::collections::HashSet;

use super::*;

const USED: Error = Error::AddressInUse;

fn table() -> PortTable {
    PortTable::new(Secret::from_seed(1))
}

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn tcp(local: &str) -> Binding {
    Binding::at(Protocol::Tcp, end(local))
}

fn udp(local: &str) -> Binding {
    Binding::at(Protocol::Udp, end(local))
}

fn port(table: &PortTable, id: BindingId) -> u16 {
    table.binding(id).unwrap().port
}

#[test]
fn overlapping_addresses_conflict_as_in_linux() {
    let dual = Binding::dual(Protocol::Tcp, 80);
    let rows = [
        (tcp("10.0.0.1:80"), tcp("10.0.0.1:80"), true),
        (tcp("10.0.0.1:80"), tcp("10.0.0.2:80"), false),
        (tcp("10.0.0.1:80"), tcp("10.0.0.1:81"), false),
        (tcp("10.0.0.1:80"), udp("10.0.0.1:80"), false),
        (tcp("10.0.0.1:80"), tcp("0.0.0.0:80"), true),
        (tcp("10.0.0.1:80"), tcp("[::ffff:10.0.0.1]:80"), true),
        (tcp("[::]:80"), tcp("[fd00::1]:80"), true),
        // IPV6_V6ONLY keeps the families apart, without it an IPv6 wildcard is for both.
        (tcp("[::]:80"), tcp("0.0.0.0:80"), false),
        (tcp("[::]:80"), tcp("10.0.0.1:80"), false),
        (dual, tcp("0.0.0.0:80"), true),
        (dual, tcp("10.0.0.1:80"), true),
        (dual, tcp("[fd00::1]:80"), true),
        (dual, tcp("[::]:80"), true),
        (dual, dual, true),
    ];
    for (one, other, conflict) in rows {
        for (first, second) in [(one, other), (other, one)] {
            let mut table = table();
            table.bind(first).unwrap();
            assert_eq!(table.bind(second).err(), conflict.then_some(USED), "{first:?} {second:?}");
        }
    }
}

#[test]
fn a_shared_port_needs_both_and_may_have_listeners_socket_7() {
    let shared = |binding: Binding| binding.reuse_port(true);
    for bind in [tcp, udp] {
        for (one, other, conflict) in [
            (shared(bind("10.0.0.1:80")), shared(bind("10.0.0.1:80")), false),
            (shared(bind("10.0.0.1:80")), shared(bind("0.0.0.0:80")), false),
            (shared(bind("10.0.0.1:80")), bind("10.0.0.1:80"), true),
            (shared(bind("10.0.0.1:80")), bind("10.0.0.1:80").reuse(true), true),
        ] {
            for (first, second) in [(one, other), (other, one)] {
                let mut table = table();
                table.bind(first).unwrap();
                assert_eq!(table.bind(second).err(), conflict.then_some(USED), "{first:?} {second:?}");
            }
        }
    }
    let mut table = table();
    let ids: Vec<_> = (0..3).map(|_| table.bind(shared(tcp("0.0.0.0:80"))).unwrap()).collect();
    for id in &ids {
        assert_eq!(table.set_listening(*id), Ok(()));
    }
    assert_eq!(table.bind(tcp("0.0.0.0:80").reuse(true)).err(), Some(USED));
    // One that does not share any more cannot listen beside the others.
    table.clear_listening(ids[0]);
    table.set_reuse_port(ids[0], false);
    assert_eq!(table.set_listening(ids[0]), Err(USED));
}

#[test]
fn reuse_needs_both_and_no_listener() {
    for (one, other) in [(true, false), (false, true), (false, false)] {
        for wildcard in [tcp("0.0.0.0:80"), udp("0.0.0.0:80")] {
            let mut table = table();
            table.bind(wildcard.reuse(one)).unwrap();
            let specific = Binding { address: Some(end("10.0.0.1:80").ip()), ..wildcard };
            assert_eq!(table.bind(specific.reuse(other)), Err(USED));
        }
    }
    let mut table = table();
    let first = table.bind(tcp("10.0.0.1:80").reuse(true)).unwrap();
    let second = table.bind(tcp("0.0.0.0:80").reuse(true)).unwrap();
    assert_eq!(table.set_listening(first), Ok(()));
    assert_eq!(table.set_listening(first), Ok(()), "listen again only changes the backlog");
    assert_eq!(table.set_listening(second), Err(USED));
    assert_eq!(table.bind(tcp("10.0.0.1:80").reuse(true)), Err(USED));
    table.clear_listening(first);
    assert_eq!(table.set_listening(second), Ok(()));
}

#[test]
fn udp_shares_a_port_if_both_want_to() {
    let mut table = table();
    table.bind(udp("0.0.0.0:5353").reuse(true)).unwrap();
    assert!(table.bind(udp("0.0.0.0:5353").reuse(true)).is_ok());
    assert_eq!(table.bind(udp("0.0.0.0:5353")), Err(USED));
}

#[test]
fn taking_reuse_back_counts_at_listen() {
    let mut table = table();
    let first = table.bind(tcp("0.0.0.0:80").reuse(true)).unwrap();
    let second = table.bind(tcp("0.0.0.0:80").reuse(true)).unwrap();
    table.set_reuse(first, false);
    assert_eq!(table.set_listening(second), Err(USED));
}

#[test]
fn release_frees_the_port_once() {
    let mut table = table();
    let first = table.bind(tcp("0.0.0.0:80")).unwrap();
    table.release(first);
    let second = table.bind(tcp("0.0.0.0:80")).unwrap();
    table.release(first);
    assert_eq!(table.bind(tcp("0.0.0.0:80")), Err(USED), "the second still has it");
    table.release(second);
    assert!(table.owners.is_empty() && table.ports.is_empty());
    assert_eq!(table.set_listening(first), Err(Error::BadEndpoint));
    assert_eq!(table.accept(first, end("10.0.0.1:0").ip()), Err(Error::BadEndpoint));
}

#[test]
fn accepted_connections_keep_the_port_of_their_listener() {
    for reuse in [false, true] {
        let mut table = table();
        let listener = table.bind(tcp("0.0.0.0:80").reuse(reuse)).unwrap();
        table.set_listening(listener).unwrap();
        let accepted: Vec<_> =
            (0..3).map(|_| table.accept(listener, end("10.0.0.1:0").ip()).unwrap()).collect();
        table.release(listener);
        assert_eq!(table.bind(tcp("0.0.0.0:80").reuse(false)), Err(USED));
        // A server that starts again needs SO_REUSEADDR, and its predecessor had it too.
        let again = table.bind(tcp("0.0.0.0:80").reuse(true));
        assert_eq!(again.is_ok(), reuse);
        if let Ok(again) = again {
            assert_eq!(table.set_listening(again), Ok(()));
            table.release(again);
        }
        for id in accepted {
            table.release(id);
        }
        assert!(table.bind(tcp("0.0.0.0:80")).is_ok());
    }
}

#[test]
fn port_zero_takes_each_port_of_the_range_once() {
    let mut table = table();
    table.set_ephemeral_range(40_000..=40_099);
    table.bind(tcp("0.0.0.0:40050").reuse(true)).unwrap();
    let given: HashSet<u16> = (0..99)
        .map(|_| table.bind(tcp("0.0.0.0:0").reuse(true)).unwrap())
        .collect::<Vec<_>>()
        .into_iter()
        .map(|id| port(&table, id))
        .collect();
    assert_eq!(given.len(), 99);
    assert!(given.iter().all(|port| (40_000..40_100).contains(port) && *port != 40_050));
    assert_eq!(table.bind(tcp("0.0.0.0:0").reuse(true)), Err(USED));
    assert!(table.bind(udp("0.0.0.0:0")).is_ok());
    assert!(table.bind(tcp("[::]:0")).is_ok());
}

#[test]
fn bound_ports_cannot_be_guessed_rfc_6056_3_3_2() {
    let mut table = table();
    let mut draw = || {
        let id = table.bind(udp("0.0.0.0:0")).unwrap();
        let port = port(&table, id);
        table.release(id);
        port
    };
    let ports: Vec<u16> = (0..10_000).map(|_| draw()).collect();
    assert!(ports.iter().all(|port| EPHEMERAL.contains(port)));
    let close = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 100).count();
    // 200 of 28 232 ports are that close: 71 of 10 000 by chance.
    assert!(close < 150, "{close} pairs follow each other");
    // Another secret gives other ports.
    let mut other = PortTable::new(Secret::from_seed(2));
    let other_id = other.bind(udp("0.0.0.0:0")).unwrap();
    assert_ne!(port(&other, other_id), ports[0]);
}

#[test]
fn connections_to_one_peer_count_up_and_tell_nothing_of_others_rfc_6056_3_3_4() {
    let mut table = table();
    let mut connect = |remote: &str| {
        let id = table.connect(tcp("10.0.0.1:0"), end(remote), |_| false).unwrap();
        port(&table, id)
    };
    let first = connect("10.0.0.2:80");
    let elsewhere: HashSet<u16> = (1..100).map(|n| connect(&format!("10.0.1.{n}:80"))).collect();
    assert!(elsewhere.len() > 90, "the offset depends on the peer");
    let next = connect("10.0.0.2:80");
    let wrapped = first == *EPHEMERAL.end() && next == *EPHEMERAL.start();
    assert!(next == first + 1 || wrapped, "{first} {next}");
}

#[test]
fn connections_share_ports_until_their_peer_has_them_all() {
    let mut table = table();
    table.set_ephemeral_range(40_000..=40_003);
    table.bind(tcp("0.0.0.0:40002")).unwrap();
    for peer in ["10.0.0.2:80", "10.0.0.3:80"] {
        let mut used = HashSet::new();
        for _ in 0..3 {
            let id = table.connect(tcp("10.0.0.1:0"), end(peer), |port| used.contains(&port)).unwrap();
            assert!(used.insert(port(&table, id)));
        }
        assert_eq!(used, HashSet::from([40_000, 40_001, 40_003]));
        let full = table.connect(tcp("10.0.0.1:0"), end(peer), |port| used.contains(&port));
        assert_eq!(full, Err(Error::AddressNotAvailable));
    }
    // A connection's port is taken for those who bind.
    assert_eq!(table.bind(tcp("0.0.0.0:40001")), Err(USED));
    assert_eq!(table.bind(tcp("0.0.0.0:0")), Err(USED));
    assert!(table.bind(tcp("10.0.0.9:40001")).is_ok());
}

#[test]
fn senseless_bindings_are_refused() {
    let mut table = table();
    let nothing = Binding { v4: false, v6: false, ..Binding::dual(Protocol::Tcp, 80) };
    assert_eq!(table.bind(nothing), Err(Error::Invalid));
    let unspecified = Binding { address: Some(end("0.0.0.0:0").ip()), ..Binding::dual(Protocol::Tcp, 80) };
    assert_eq!(table.bind(unspecified), Err(Error::Invalid));
    let any = table.connect(Binding::dual(Protocol::Tcp, 0), end("10.0.0.2:80"), |_| false);
    assert_eq!(any, Err(Error::Invalid));
}

#[test]
fn an_empty_range_has_no_port() {
    let mut table = table();
    table.set_ephemeral_range(0..=0);
    assert_eq!(table.bind(tcp("0.0.0.0:0")), Err(USED));
    let connect = table.connect(tcp("10.0.0.1:0"), end("10.0.0.2:80"), |_| false);
    assert_eq!(connect, Err(Error::AddressNotAvailable));
}

#[test]
fn those_of_two_interfaces_share_a_port_socket_7() {
    let on = |index| udp("0.0.0.0:53").on(Some(InterfaceId::new(index)));
    let mut table = table();
    table.bind(on(1)).unwrap();
    let other = table.bind(on(2)).unwrap();
    assert_eq!(table.bind(on(2)), Err(USED));
    assert_eq!(table.bind(udp("0.0.0.0:53")), Err(USED), "it is on both");
    table.set_device(other, Some(InterfaceId::new(3)));
    assert!(table.bind(on(2)).is_ok());
}

#[test]
fn a_range_of_its_own_counts_within_that_of_all() {
    let mut table = table();
    let within = |first, last| udp("10.0.0.1:0").within((first, last));
    let ids = [(); 2].map(|()| table.bind(within(40_000, 40_001)).unwrap());
    let ports: HashSet<_> = ids.iter().map(|id| port(&table, *id)).collect();
    assert_eq!(ports, HashSet::from([40_000, 40_001]));
    assert_eq!(table.bind(within(40_000, 40_001)), Err(USED));
    // As Linux: a bound that is out of range does not count, and 0 is none.
    for (range, expected) in [((5, 32_768), 32_768..=32_768), ((60_990, 0), 60_990..=60_999)] {
        let id = table.bind(within(range.0, range.1)).unwrap();
        assert!(expected.contains(&port(&table, id)), "{}", port(&table, id));
    }
}
