//! Listeners: backlog, accept queue and what ends before it is accepted (listen(2)).

use std::time::Duration;

use ioth_stack::{Error, Shutdown};

use crate::wire::{Fate, Host, Stranger, Wire, frames::Tcp};

#[test]
fn connections_are_accepted_in_their_order() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 16);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(wire.connect(a, "10.0.0.2:80"));
        wire.settle();
    }
    assert!(wire[b].readiness(listener).readable);
    assert_eq!(wire[b].recv_queue(listener), 10);
    for client in clients {
        let accepted = wire[b].accept(listener).unwrap();
        assert_eq!(Ok(accepted.peer), wire[a].local_address(client));
    }
    assert_eq!(wire[b].accept(listener).err(), Some(Error::WouldBlock));
    assert!(!wire[b].readiness(listener).readable);
}

#[test]
fn a_full_backlog_drops_syns_and_they_come_again() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 2);
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let client = wire.connect(a, "10.0.0.2:80");
            wire.settle();
            client
        })
        .collect();
    let made = |wire: &mut Wire| clients.iter().filter(|id| wire[a].connect_result(**id).is_ok()).count();
    // As Linux: one more than the backlog.
    assert_eq!((made(&mut wire), wire[b].counters().listen_overflows), (3, 3));
    let mut accepted = 0;
    assert!(wire.run_until(Duration::from_secs(20), |wire| {
        accepted += usize::from(wire[b].accept(listener).is_ok());
        accepted == 6
    }));
    assert_eq!(made(&mut wire), 6);
}

/// All handshakes begin before one is over: those for whom there is no room wait, and lose nothing.
#[test]
fn a_full_queue_lets_no_handshake_end() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 2);
    wire.latency = Duration::from_millis(5);
    let clients: Vec<_> = (0..6).map(|_| wire.connect(a, "10.0.0.2:80")).collect();
    wire.run(Duration::from_millis(100));
    assert!(clients.iter().all(|id| wire[a].connect_result(*id).is_ok()));
    assert_eq!(wire[b].recv_queue(listener), 3);
    assert!(wire[b].counters().listen_overflows >= 3);
    for client in &clients {
        wire.send(a, *client, b"here").unwrap();
    }
    for _ in &clients {
        let server = wire.accept(b, listener);
        assert_eq!(wire.recv(b, server), Ok(b"here".to_vec()));
    }
    assert_eq!(wire[b].counters().tcp_resets_out, 0);
}

#[test]
fn a_thousand_at_once() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 1024);
    let clients: Vec<_> = (0..1000).map(|_| wire.connect(a, "10.0.0.2:80")).collect();
    // Only so many wait for the neighbour at first: the others' SYNs are sent again.
    wire.run(Duration::from_secs(10));
    assert_eq!(clients.iter().filter(|id| wire[a].connect_result(**id).is_ok()).count(), 1000);
    assert_eq!(std::iter::from_fn(|| wire[b].accept(listener).ok()).count(), 1000);
    assert_eq!(wire[b].counters().tcp_resets_out, 0);
}

#[test]
fn half_open_connections_are_bounded_and_given_up() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 16);
    let mac = wire.mac(b);
    for port in 1..=5000 {
        let syn = Tcp { flags: 2, seq: u32::from(port), window: 1000, ..Tcp::default() };
        let from = (std::net::Ipv4Addr::new(10, 0, 0, 77), port);
        wire.inject_bytes(b, &syn.in_frame(mac, from, (std::net::Ipv4Addr::new(10, 0, 0, 2), 80)));
    }
    // The others are answered with cookies, of which nothing is kept.
    let counters = wire[b].counters();
    assert_eq!((counters.listen_overflows, counters.syn_cookies_sent), (0, 5000 - 17));
    wire.run(Duration::from_secs(70));
    let client = wire.connect(a, "10.0.0.2:80");
    let server = wire.accept(b, listener);
    assert!(wire.echoes([(a, client), (b, server)]));
}

#[test]
fn a_reset_half_open_connection_gives_its_place_back_rfc_9293_3_10_7_4() {
    let (mut wire, a, b) = Wire::pair();
    let _listener = wire.listen(b, "10.0.0.2:80", 0);
    let ack_lost = |bytes: &[u8]| Tcp::parse(bytes).is_some_and(|tcp| tcp.flags == 0x10);
    wire.weather = Box::new(move |bytes| if ack_lost(bytes) { Fate::Lost } else { Fate::Arrives });
    let mut embryos: Vec<_> = (0..9).map(|_| wire.connect(a, "10.0.0.2:80")).collect();
    wire.settle();
    let _ = wire.connect(a, "10.0.0.2:80");
    wire.settle();
    assert_eq!(wire[b].counters().syn_cookies_sent, 1);
    let now = wire.now();
    wire[a].abort(now, embryos.pop().unwrap());
    wire.settle();
    let _ = wire.connect(a, "10.0.0.2:80");
    wire.settle();
    assert_eq!(wire[b].counters().syn_cookies_sent, 1, "there is room for a handshake");
}

/// Half-open attempts from as many addresses behind a router, who is the stranger.
fn flood(wire: &mut Wire, host: Host, count: u32) {
    let mac = wire.mac(host);
    for number in 0..count {
        let from = std::net::Ipv4Addr::from(0x0b00_0001 + number);
        let syn = Tcp { flags: 2, seq: number, window: 1000, ..Tcp::default() };
        let to = (std::net::Ipv4Addr::new(10, 0, 0, 2), 80);
        wire.inject_bytes(host, &syn.in_frame(mac, (from, 5000), to));
        if number % 1000 == 0 {
            wire.settle();
            wire.record.clear();
        }
    }
}

#[test]
fn a_flood_of_syns_keeps_nobody_out_rfc_4987_3_6() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 64);
    let client = wire.connect(a, "10.0.0.2:80");
    let server = wire.accept(b, listener);
    let router = Stranger::new(&mut wire, b, 5000, 80);
    let gateway = Some("10.0.0.77".parse().unwrap());
    wire[b].add_route("0.0.0.0/0".parse().unwrap(), gateway, None, 0).unwrap();
    flood(&mut wire, b, 100_000);
    assert_eq!(wire[b].counters().syn_cookies_sent, 100_000 - 65);

    // Who was there before is served, and so is who comes now: at once, with what they send first.
    assert!(wire.echoes([(a, client), (b, server)]));
    let options = [2, 4, 5, 180, 1, 3, 3, 7];
    let syn_ack = router.opens(&mut wire, &options);
    assert_eq!((syn_ack.flags, syn_ack.ack), (18, 1000));
    let ack = syn_ack.seq.wrapping_add(1);
    let hello = Tcp { flags: 16, seq: 1000, ack, window: 5000, payload: b"hello".to_vec(), ..Tcp::default() };
    // Somebody who has not seen the number is nobody.
    let forged = Tcp { ack: ack.wrapping_add(1), ..hello.clone() };
    assert_eq!(router.asks(&mut wire, &forged).pop().unwrap().flags, 4);
    router.says(&mut wire, &hello);
    let accepted = wire.accept(b, listener);
    assert_eq!(wire.try_recv(b, accepted), Ok(b"hello".to_vec()));
    assert_eq!(wire[b].counters().syn_cookies_received, 1);
    // It may send segments of the size that the other said, within a window that is not scaled.
    assert_eq!(wire.send(b, accepted, &[7; 6000]), Ok(6000));
    let heard = router.hears(&mut wire);
    assert!(heard.iter().any(|tcp| tcp.payload.len() == 1460), "{heard:?}");
    assert!(heard.iter().map(|tcp| tcp.payload.len()).sum::<usize>() <= 5000);
}

#[test]
fn a_cookie_is_good_for_two_minutes_and_while_there_is_a_listener() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 0);
    let router = Stranger::new(&mut wire, b, 6000, 80);
    wire[b].add_route("0.0.0.0/0".parse().unwrap(), Some("10.0.0.77".parse().unwrap()), None, 0).unwrap();
    let hello = |syn_ack: &Tcp| Tcp {
        flags: 16,
        seq: 1000,
        ack: syn_ack.seq.wrapping_add(1),
        window: 5000,
        ..Tcp::default()
    };
    flood(&mut wire, b, 20);
    let old = router.opens(&mut wire, &[]);
    wire.run(Duration::from_secs(60));
    flood(&mut wire, b, 20);
    wire.run(Duration::from_secs(80));
    // Nobody of the flood is left, and the router is to be found again.
    Stranger::new(&mut wire, b, 6000, 80);
    assert_eq!(router.asks(&mut wire, &hello(&old)).pop().unwrap().flags, 4, "too old");
    flood(&mut wire, b, 20);
    let young = router.opens(&mut wire, &[]);
    wire.close(b, listener);
    wire.settle();
    assert_eq!(router.asks(&mut wire, &hello(&young)).pop().unwrap().flags, 4, "nobody listens");
    let _ = wire.connect(a, "10.0.0.2:80");
}

#[test]
fn a_connection_that_ends_in_the_queue_is_accepted_and_says_so() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 4);
    let (reset, closed) = (wire.connect(a, "10.0.0.2:80"), wire.connect(a, "10.0.0.2:80"));
    wire.settle();
    assert_eq!(wire.send(a, closed, b"data"), Ok(4));
    wire.close(a, closed);
    let now = wire.now();
    wire[a].abort(now, reset);
    wire.settle();
    let (first, second) = (wire.accept(b, listener), wire.accept(b, listener));
    assert_eq!(wire.try_recv(b, first), Err(Error::ConnectionReset));
    assert_eq!(wire.try_recv(b, second), Ok(b"data".to_vec()));
    assert_eq!(wire.try_recv(b, second), Ok(vec![]));
}

#[test]
fn a_closed_listener_resets_what_it_did_not_give_out() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 4);
    let waiting = wire.connect(a, "10.0.0.2:80");
    wire.settle();
    assert_eq!(wire[a].connect_result(waiting), Ok(()));
    wire.close(b, listener);
    wire.settle();
    assert_eq!(wire.try_recv(a, waiting), Err(Error::ConnectionReset));
    let late = wire.connect(a, "10.0.0.2:80");
    assert_eq!(wire.connect_result(a, late), Err(Error::ConnectionRefused));
    assert!(!wire[b].has_orphans());
}

#[test]
fn shutting_a_listener_down_ends_the_listening() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 4);
    let now = wire.now();
    wire[b].shutdown(now, listener, Shutdown::Read).unwrap();
    assert_eq!(wire[b].accept(listener).err(), Some(Error::Invalid));
    let late = wire.connect(a, "10.0.0.2:80");
    assert_eq!(wire.connect_result(a, late), Err(Error::ConnectionRefused));
    // It kept its address and may listen again.
    wire[b].listen(listener, 4).unwrap();
    let _ = wire.connect(a, "10.0.0.2:80");
    let _ = wire.accept(b, listener);
}
