//! When data leaves: windows, Nagle, the cork (RFC 9293 section 3.8).

use std::time::Duration;

use ioth_stack::{EndpointId, Error, Options, Shutdown};

use crate::wire::{Fate, Host, Port, Wire, frames::Tcp};

/// What a send ring holds.
const RING: usize = Options::DEFAULT_BUFFER;

/// Payload of a full super-frame: 44 segments.
const FULL: usize = 44 * 1460;

/// Payload lengths of what a host sent.
fn lengths(wire: &Wire, host: Host) -> Vec<usize> {
    let segments = wire.sent_by(host).filter_map(|sent| Tcp::parse(&sent.bytes));
    segments.map(|tcp| tcp.payload.len()).filter(|len| *len > 0).collect()
}

fn pair() -> (Wire, (Host, EndpointId), (Host, EndpointId)) {
    let (mut wire, a, b) = Wire::pair();
    wire.latency = Duration::from_millis(20);
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.run(Duration::from_secs(1));
    wire.record.clear();
    (wire, (a, one), (b, other))
}

#[test]
fn small_writes_are_gathered_rfc_9293_3_7_4() {
    let (mut wire, (a, one), _) = pair();
    for _ in 0..10 {
        assert_eq!(wire.send(a, one, b"x"), Ok(1));
        wire.run(Duration::from_millis(1));
    }
    wire.run(Duration::from_secs(1));
    assert_eq!(lengths(&wire, a), [1, 9]);
}

#[test]
fn with_nodelay_they_leave_at_once_tcp_7() {
    let (mut wire, (a, one), _) = pair();
    wire[a].set_options(one, Options { nodelay: true, ..Options::default() }).unwrap();
    for _ in 0..10 {
        assert_eq!(wire.send(a, one, b"x"), Ok(1));
        wire.run(Duration::from_millis(1));
    }
    assert_eq!(lengths(&wire, a), [1; 10]);
}

fn set(wire: &mut Wire, (host, id): (Host, EndpointId), change: impl FnOnce(&mut Options)) {
    let mut options = wire[host].options(id).unwrap();
    change(&mut options);
    wire[host].set_options(id, options).unwrap();
}

#[test]
fn a_cork_holds_part_of_a_segment_back_for_200_ms_tcp_7() {
    let (mut wire, one, _) = pair();
    set(&mut wire, one, |options| options.cork = true);
    let start = wire.now();
    assert_eq!(sent(&mut wire, one, 1000), []);
    assert_eq!(sent(&mut wire, one, 1000), [1460]);
    wire.run(Duration::from_millis(199));
    assert_eq!(lengths(&wire, one.0), [1460]);
    wire.run(Duration::from_millis(2));
    assert_eq!(lengths(&wire, one.0), [1460, 540]);
    assert_eq!(wire.sent_by(one.0).last().unwrap().at - start, Duration::from_millis(200));
}

#[test]
fn what_a_cork_holds_back_leaves_when_it_is_taken_out_tcp_7() {
    let (mut wire, one, _) = pair();
    set(&mut wire, one, |options| options.cork = true);
    assert_eq!(sent(&mut wire, one, 1000), []);
    set(&mut wire, one, |options| options.cork = false);
    wire.run(Duration::ZERO);
    assert_eq!(lengths(&wire, one.0), [1000]);
}

#[test]
fn what_a_cork_holds_back_leaves_with_the_end_tcp_7() {
    let (mut wire, one, _) = pair();
    set(&mut wire, one, |options| options.cork = true);
    assert_eq!(sent(&mut wire, one, 1000), []);
    let now = wire.now();
    wire[one.0].shutdown(now, one.1, Shutdown::Write).unwrap();
    wire.run(Duration::ZERO);
    assert_eq!(lengths(&wire, one.0), [1000]);
    let last = wire.sent_by(one.0).filter_map(|sent| Tcp::parse(&sent.bytes)).last().unwrap();
    assert_eq!(last.flags & 1, 1, "FIN");
}

#[test]
fn with_a_cork_nodelay_sends_what_there_is_and_no_more_tcp_7() {
    let (mut wire, one, _) = pair();
    set(&mut wire, one, |options| options.cork = true);
    assert_eq!(sent(&mut wire, one, 1000), []);
    set(&mut wire, one, |options| options.nodelay = true);
    wire.run(Duration::ZERO);
    assert_eq!(lengths(&wire, one.0), [1000]);
    assert_eq!(sent(&mut wire, one, 1000), [1000]);
    set(&mut wire, one, |options| options.nodelay = true);
    wire.run(Duration::ZERO);
    assert_eq!(lengths(&wire, one.0), [1000, 1000]);
    set(&mut wire, one, |options| options.cork = false);
    assert_eq!(sent(&mut wire, one, 1), [1000, 1000, 1]);
}

#[test]
fn the_window_closes_and_opens_again_rfc_9293_3_8_6_1() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 1);
    wire[b]
        .set_options(listener, Options { recv_buffer: 10_000, recv_limit: 0, ..Options::default() })
        .unwrap();
    let one = wire.connect(a, "10.0.0.2:80");
    let other = wire.accept(b, listener);
    let data: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
    assert_eq!(wire.send(a, one, &data), Ok(200_000));
    let mut received = Vec::new();
    let mut zero_windows = 0;
    while received.len() < data.len() {
        // A slow reader.
        wire.run(Duration::from_secs(3));
        zero_windows +=
            wire.sent_by(b).filter_map(|sent| Tcp::parse(&sent.bytes)).filter(|tcp| tcp.window == 0).count();
        wire.record.clear();
        let before = wire.now();
        let more = wire.recv(b, other).unwrap();
        assert_eq!(wire.now(), before, "stalled after {} bytes", received.len());
        received.extend(more);
    }
    assert_eq!(received, data);
    assert!(zero_windows > 10);
}

#[test]
fn a_lost_window_update_is_asked_for_rfc_9293_3_8_6_1() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 1);
    wire[b]
        .set_options(listener, Options { recv_buffer: 10_000, recv_limit: 0, ..Options::default() })
        .unwrap();
    let one = wire.connect(a, "10.0.0.2:80");
    let other = wire.accept(b, listener);
    assert_eq!(wire.send(a, one, &[1; 30_000]), Ok(30_000));
    wire.run(Duration::from_secs(5));
    wire.weather = Box::new(|_| Fate::Lost);
    let mut got = wire.try_recv(b, other).unwrap().len();
    wire.settle();
    wire.weather = Box::new(|_| Fate::Arrives);
    while got < 30_000 {
        got += wire.recv(b, other).unwrap().len();
    }
}

#[test]
fn a_closed_window_is_no_reason_to_give_up_rfc_1122_4_2_2_17() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    let sent = wire.send(a, one, &vec![1; 512 * 1024]).unwrap();
    wire.run(Duration::from_secs(1));
    let sent = sent + wire.send(a, one, &[1; 1000]).unwrap();
    wire.run(Duration::from_secs(10_000));
    let mut got = 0;
    while got < sent {
        got += wire.recv(b, other).unwrap().len();
    }
}

#[test]
fn a_full_ring_takes_nothing_until_half_of_it_is_free() {
    let (mut wire, (a, one), (b, other)) = pair();
    assert_eq!(wire.send(a, one, &vec![1; 1 << 20]), Ok(RING));
    assert_eq!(wire.send(a, one, b"x"), Err(Error::WouldBlock));
    assert!(!wire[a].readiness(one).writable);
    assert!(wire.run_until(Duration::from_secs(10), |wire| {
        let _ = wire.try_recv(b, other);
        wire[a].readiness(one).writable
    }));
    assert!(wire[a].send_room(one) >= RING / 2);
}

#[test]
fn an_idle_connection_is_silent() {
    let (mut wire, (a, one), (b, other)) = pair();
    assert!(wire.echoes([(a, one), (b, other)]));
    wire.run(Duration::from_secs(60));
    wire.record.clear();
    wire.run(Duration::from_secs(100_000));
    assert!(wire.record.is_empty(), "{}", wire.show());
    assert_eq!((wire[a].poll_timeout(), wire[b].poll_timeout()), (None, None));
}

#[test]
fn a_turn_of_the_engine_is_bounded() {
    // The application sends no more: what is in the ring and the window is all a turn may send.
    let (mut wire, (a, one), _) = pair();
    assert_eq!(wire.send(a, one, &vec![1; 1 << 20]), Ok(RING));
    let now = wire.now();
    let count = std::iter::from_fn(|| wire[a].poll_transmit(now)).count();
    assert!((1..=360).contains(&count), "{count}");
}

/// A pair whose links take super-frames, with a window that is open wide, and `count` of them under way.
fn pair_with_super_frames(count: usize) -> (Wire, (Host, EndpointId), (Host, EndpointId)) {
    let port = Port { mtu: 1500, offload: true, ..Port::default() };
    let (mut wire, a, b) = Wire::pair_on(port, port);
    wire.latency = Duration::from_millis(20);
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    // The congestion window opens with every acknowledgement, and closes in long silence.
    for _ in 0..10 {
        assert_eq!(wire.send(a, one, &[1; 4 * FULL]), Ok(4 * FULL));
        assert!(wire.run_until(Duration::from_secs(10), |wire| {
            let _ = wire.try_recv(b, other);
            wire[a].send_queue(one) == 0
        }));
    }
    wire.record.clear();
    if count > 0 {
        assert_eq!(sent(&mut wire, (a, one), count * FULL), vec![FULL; count]);
    }
    (wire, (a, one), (b, other))
}

/// Sends, and gives the lengths of what has left since the record began.
fn sent(wire: &mut Wire, (host, id): (Host, EndpointId), len: usize) -> Vec<usize> {
    assert_eq!(wire.send(host, id, &vec![1; len]), Ok(len));
    wire.run(Duration::ZERO);
    lengths(wire, host)
}

#[test]
fn part_of_a_super_frame_waits_for_the_rest() {
    let (mut wire, one, _) = pair_with_super_frames(2);
    assert_eq!(sent(&mut wire, one, FULL - 5000), [FULL, FULL]);
    assert_eq!(sent(&mut wire, one, 5000), [FULL, FULL, FULL]);
}

#[test]
fn part_of_a_super_frame_waits_a_millisecond_at_most() {
    let (mut wire, one, _) = pair_with_super_frames(2);
    let start = wire.now();
    assert_eq!(sent(&mut wire, one, 14_600), [FULL, FULL]);
    wire.run(Duration::from_millis(10));
    assert_eq!(lengths(&wire, one.0), [FULL, FULL, 14_600]);
    let last = wire.sent_by(one.0).last().unwrap().at;
    assert_eq!(last - start, Duration::from_millis(1));
}

#[test]
fn part_of_a_super_frame_does_not_wait_with_little_under_way() {
    let (mut wire, one, _) = pair_with_super_frames(0);
    assert_eq!(sent(&mut wire, one, 14_600), [14_600]);
    assert_eq!(sent(&mut wire, one, 1460), [14_600, 1460]);
}

#[test]
fn part_of_a_super_frame_does_not_wait_for_who_asks_for_no_delay() {
    let (mut wire, one, _) = pair_with_super_frames(2);
    wire[one.0].set_options(one.1, Options { nodelay: true, ..Options::default() }).unwrap();
    assert_eq!(sent(&mut wire, one, 14_600), [FULL, FULL, 14_600]);
}

#[test]
fn part_of_a_super_frame_does_not_wait_before_the_end() {
    let (mut wire, one, _) = pair_with_super_frames(2);
    assert_eq!(sent(&mut wire, one, 14_600), [FULL, FULL]);
    let now = wire.now();
    wire[one.0].shutdown(now, one.1, Shutdown::Write).unwrap();
    wire.run(Duration::ZERO);
    assert_eq!(lengths(&wire, one.0), [FULL, FULL, 14_600]);
}
