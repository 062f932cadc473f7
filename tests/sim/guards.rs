//! What smoltcp would mishandle does not reach it. Each of these fails without its guard.

use std::net::Ipv4Addr;
use std::time::Duration;

use ioth_stack::{EndpointId, Error, Options};

use crate::wire::frames::{ACK, FIN, RST, SYN, Tcp};
use crate::wire::{Host, Stranger, Wire};

/// RFC 7323 section 2.2, shift count 7, and a NOP.
const WINDOW_SCALE: [u8; 4] = [3, 3, 7, 1];

/// A connection that a stranger has opened to host b, whose next bytes are 1000 and `ack`.
pub(crate) fn opened(recv_buffer: usize) -> (Wire, Host, Stranger, EndpointId, u32) {
    let (mut wire, _, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    wire[b].set_options(listener, Options { recv_buffer, recv_limit: 0, ..Options::default() }).unwrap();
    let stranger = Stranger::new(&mut wire, b, 5000, 80);
    let (id, next) = stranger.connects(&mut wire, listener, &WINDOW_SCALE, 65_535);
    (wire, b, stranger, id, next.ack)
}

/// The panic is the worst that may happen: it is contained, but the connection is lost.
fn nothing_happened(wire: &Wire, host: Host) {
    assert_eq!(wire[host].counters().contained_panics, 0);
}

#[test]
fn data_behind_the_window_of_the_syn_ack_rfc_7323_2_2() {
    let (mut wire, b, stranger, id, ack) = opened(512 * 1024);
    // The window was 65535, unscaled, and smoltcp takes it times 16.
    let data = Tcp { flags: ACK, seq: 1000, ack, window: 65_535, payload: vec![7; 1000], ..Tcp::default() };
    stranger.says(&mut wire, &Tcp { seq: 1000 + 600_000, ..data.clone() });
    stranger.says(&mut wire, &Tcp { seq: 1000 + 65_535 - 500, ..data.clone() });
    nothing_happened(&wire, b);
    stranger.says(&mut wire, &data);
    wire.settle();
    assert_eq!(wire.try_recv(b, id), Ok(vec![7; 1000]));
}

#[test]
fn the_same_when_the_syn_ack_is_sent_again() {
    let (mut wire, _, b) = Wire::pair();
    let _listener = wire.listen(b, "10.0.0.2:80", 8);
    let stranger = Stranger::new(&mut wire, b, 5000, 80);
    let ack = stranger.opens(&mut wire, &WINDOW_SCALE).seq.wrapping_add(1);
    let segment = Tcp { flags: ACK, seq: 1000, ack, window: 65_535, ..Tcp::default() };
    // Something in front of the window is answered, and with that the window is a scaled one.
    assert_eq!(stranger.asks(&mut wire, &Tcp { seq: 500, ..segment.clone() })[0].flags, ACK);
    wire.run(Duration::from_millis(1500));
    assert_eq!(wire.sent_by(b).filter_map(|sent| Tcp::parse(&sent.bytes)).last().unwrap().flags, SYN | ACK);
    stranger.says(&mut wire, &Tcp { seq: 1000 + 600_000, payload: vec![7; 1000], ..segment });
    nothing_happened(&wire, b);
}

#[test]
fn a_bare_syn_before_ours_has_left_rfc_9293_3_5() {
    let (mut wire, a, _) = Wire::pair();
    let mut stranger = Stranger::new(&mut wire, a, 80, 0);
    let id = wire.connect(a, "10.0.0.77:80");
    stranger.peer_port = wire[a].local_address(id).unwrap().port();
    stranger.says(&mut wire, &Tcp { flags: SYN, seq: 999, window: 1000, ..Tcp::default() });
    nothing_happened(&wire, a);
    let syn = stranger.hears(&mut wire).pop().unwrap();
    assert_eq!(syn.flags, SYN);
    let ack = syn.seq.wrapping_add(1);
    stranger.says(&mut wire, &Tcp { flags: SYN | ACK, seq: 999, ack, window: 1000, ..Tcp::default() });
    assert_eq!(wire.connect_result(a, id), Ok(()));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_rfc_9293_3_10_7_4() {
    let (mut wire, b, stranger, id, ack) = opened(4096);
    let segment = Tcp { flags: ACK, seq: 1000, ack, window: 1, ..Tcp::default() };
    // A window of 128 bytes, scaled.
    stranger.says(&mut wire, &segment);
    let data: Vec<u8> = (0..1000u32).map(|at| at as u8).collect();
    assert_eq!(wire.send(b, id, &data), Ok(1000));
    // So small a window is not used at once.
    wire.run(Duration::from_secs(2));
    let first =
        wire.sent_by(b).filter_map(|sent| Tcp::parse(&sent.bytes)).find(|tcp| !tcp.payload.is_empty());
    assert_eq!(first.unwrap().payload, data[..128]);
    stranger.says(&mut wire, &Tcp { ack: ack.wrapping_add(1000), ..segment.clone() });
    assert_eq!(wire[b].send_queue(id), 1000);
    let rest = stranger.asks(&mut wire, &Tcp { ack: ack.wrapping_add(128), window: 1000, ..segment });
    assert_eq!(rest[0].seq, ack.wrapping_add(128));
    let rest: Vec<u8> = rest.into_iter().flat_map(|segment| segment.payload).collect();
    assert!(rest.len() >= 536 && data[128..].starts_with(&rest));
}

#[test]
fn a_fin_behind_the_window_rfc_9293_3_10_7_4() {
    let (mut wire, b, stranger, id, ack) = opened(4096);
    let data: Vec<u8> = (0..5000u32).map(|at| at as u8).collect();
    let segment = Tcp { flags: ACK, seq: 1000, ack, window: 1000, ..Tcp::default() };
    // Something goes out first, so that the window is known.
    assert_eq!(wire.send(b, id, b"x"), Ok(1));
    wire.settle();
    stranger.says(&mut wire, &Tcp { flags: ACK | FIN, payload: data.clone(), ..segment.clone() });
    wire.settle();
    assert_eq!(wire.try_recv(b, id), Ok(data[..4096].to_vec()));
    assert_eq!(wire.try_recv(b, id), Err(Error::WouldBlock), "the stream is not at its end");
    let rest = Tcp { flags: ACK | FIN, seq: 1000 + 4096, payload: data[4096..].to_vec(), ..segment };
    wire.settle();
    stranger.says(&mut wire, &rest);
    assert_eq!(wire.try_recv(b, id), Ok(data[4096..].to_vec()));
    assert_eq!(wire.try_recv(b, id), Ok(vec![]));
}

#[test]
fn a_syn_to_many_rfc_9293_3_9_2_3() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "0.0.0.0:80", 8);
    let syn = Tcp { flags: SYN, seq: 1, window: 1000, ..Tcp::default() };
    let from = (Ipv4Addr::new(10, 0, 0, 1), 5000);
    let own = wire.mac(b);
    for (mac, to) in [
        ([0xff; 6], Ipv4Addr::new(10, 0, 0, 255)),
        (own, Ipv4Addr::new(10, 0, 0, 255)),
        ([0xff; 6], Ipv4Addr::new(10, 0, 0, 2)),
        ([0xff; 6], Ipv4Addr::BROADCAST),
        ([1, 0, 0x5e, 0, 0, 1], Ipv4Addr::new(224, 0, 0, 1)),
        (own, Ipv4Addr::new(224, 0, 0, 1)),
    ] {
        wire.inject_bytes(b, &syn.in_frame(mac, from, (to, 80)));
        wire.inject_bytes(b, &syn.in_frame(mac, from, (to, 81)));
    }
    wire.settle();
    assert!(wire.record.is_empty(), "{}", wire.show());
    let one = wire.connect(a, "10.0.0.2:80");
    let other = wire.accept(b, listener);
    assert!(wire.echoes([(a, one), (b, other)]));
}

#[test]
fn a_forged_syn_ack_teaches_nothing_rfc_9293_3_10_7_3() {
    let (mut wire, a, _) = Wire::pair();
    let mut stranger = Stranger::new(&mut wire, a, 80, 0);
    let id = wire.connect(a, "10.0.0.77:80");
    stranger.peer_port = wire[a].local_address(id).unwrap().port();
    let syn = stranger.hears(&mut wire).pop().unwrap();
    let ack = syn.seq.wrapping_add(1);
    let forged =
        Tcp { flags: SYN | ACK, seq: 0x8000_0000, ack: ack.wrapping_add(7), window: 9, ..Tcp::default() };
    stranger.says(&mut wire, &forged);
    let right =
        Tcp { flags: SYN | ACK, seq: 999, ack, window: 9, options: WINDOW_SCALE.to_vec(), ..Tcp::default() };
    stranger.says(&mut wire, &right);
    // Before any acknowledgement has left, and with a FIN far behind the unscaled window afterwards.
    let data = Tcp { flags: ACK, seq: 1000, ack, window: 9, payload: vec![7; 60_000], ..Tcp::default() };
    stranger.says(&mut wire, &data);
    wire.settle();
    assert_eq!(wire[a].recv_queue(id), 60_000);
    stranger.says(&mut wire, &Tcp { flags: ACK | FIN, seq: 61_000, ..data });
    wire.settle();
    assert_eq!(wire[a].recv_queue(id), 120_000);
    assert!(wire[a].readiness(id).read_closed);
}

#[test]
fn a_segment_too_long_for_smoltcp_does_not_end_the_stream_early() {
    let (mut wire, _, b) = Wire::pair();
    let listener = wire.listen(b, "[fd00::2]:80", 8);
    let mac = wire.mac(b);
    let (from, to): (std::net::Ipv6Addr, std::net::Ipv6Addr) =
        ("fd00::77".parse().unwrap(), "fd00::2".parse().unwrap());
    let syn = Tcp { flags: SYN, seq: 999, window: 1000, options: WINDOW_SCALE.to_vec(), ..Tcp::default() };
    wire.inject_bytes(b, &syn.in_frame(mac, (from, 5000), (to, 80)));
    // Its SYN-ACK waits for the neighbour.
    let mut solicited = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
    solicited.extend(from.octets());
    solicited.extend([2, 1, 2, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa]);
    wire.settle();
    wire.inject_bytes(b, &crate::wire::frames::ipv6(mac, from, to, 58, 255, &solicited));
    wire.settle();
    let syn_ack = wire.sent_by(b).filter_map(|sent| Tcp::parse(&sent.bytes)).last().unwrap();
    let ack = syn_ack.seq.wrapping_add(1);
    let segment = Tcp { flags: ACK, seq: 1000, ack, window: 1000, payload: b"x".to_vec(), ..Tcp::default() };
    wire.inject_bytes(b, &segment.in_frame(mac, (from, 5000), (to, 80)));
    let id = wire.accept(b, listener);
    wire.run(Duration::from_millis(20));
    assert_eq!(wire.try_recv(b, id), Ok(b"x".to_vec()));
    // 65 535 bytes of TCP, which IPv4 cannot carry.
    let payload = vec![7; 65_515];
    let long = Tcp { flags: ACK | FIN, seq: 1001, payload, ..segment.clone() };
    wire.inject_bytes(b, &long.in_frame(mac, (from, 5000), (to, 80)));
    wire.settle();
    let mut got = 0;
    loop {
        match wire.try_recv(b, id) {
            Ok(data) if data.is_empty() => break,
            Ok(data) => got += data.len(),
            Err(Error::WouldBlock) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(got == 65_515 || !wire[b].readiness(id).read_closed, "cut after {got} bytes");
}

#[test]
fn a_blind_reset_is_challenged_rfc_5961_3_2() {
    let (mut wire, b, stranger, id, ack) = opened(512 * 1024);
    let segment = Tcp { flags: ACK, seq: 1000, ack, window: 65_535, payload: vec![7; 10], ..Tcp::default() };
    // Not acknowledged yet, but received: the next byte is 1010.
    stranger.says(&mut wire, &segment);
    for seq in [1011, 2000, 60_000] {
        let answer = stranger.asks(&mut wire, &Tcp { flags: RST, seq, ..Tcp::default() });
        assert!(wire[b].peer_address(id).is_ok(), "{seq}");
        assert!(answer.len() <= 1);
    }
    wire.run(Duration::from_secs(2));
    let answer = stranger.asks(&mut wire, &Tcp { flags: RST, seq: 1011, ..Tcp::default() });
    assert_eq!((answer[0].flags, answer[0].ack), (ACK, 1010));
    stranger.says(&mut wire, &Tcp { flags: RST, seq: 1010, ..Tcp::default() });
    assert_eq!(wire.try_recv(b, id), Ok(vec![7; 10]));
    assert_eq!(wire.try_recv(b, id), Err(Error::ConnectionReset));
}

#[test]
fn data_behind_the_fin_is_nobodys_rfc_9293_3_10_7_4() {
    // "CLOSE-WAIT STATE: This should not occur since a FIN has been received from the remote side. Ignore the
    // segment text."
    let (mut wire, b, stranger, id, ack) = opened(4096);
    let segment = Tcp { flags: ACK | FIN, seq: 1000, ack, window: 500, ..Tcp::default() };
    stranger.says(&mut wire, &segment);
    wire.settle();
    assert_eq!(wire.try_recv(b, id), Ok(vec![]));
    let behind = Tcp { flags: ACK, seq: 1001, payload: b"ghost".to_vec(), ..segment };
    stranger.says(&mut wire, &behind);
    wire.settle();
    assert_eq!(wire.try_recv(b, id), Ok(vec![]), "the stream is at its end");
    assert_eq!(wire[b].recv_queue(id), 0);
}

#[test]
fn data_over_the_fin_is_nobodys_rfc_9293_3_10_7_4() {
    let (mut wire, b, stranger, id, ack) = opened(4096);
    let segment =
        Tcp { flags: ACK | FIN, seq: 1000, ack, window: 500, payload: vec![7; 400], ..Tcp::default() };
    stranger.says(&mut wire, &segment);
    // The FIN stands at 1400: its number is not a byte.
    stranger
        .says(&mut wire, &Tcp { flags: ACK, payload: (0..1000u32).map(|at| at as u8).collect(), ..segment });
    wire.settle();
    assert_eq!(wire.try_recv(b, id), Ok(vec![7; 400]));
    assert_eq!(wire.try_recv(b, id), Ok(vec![]));
}
