//! From state to state, and how long in each: RFC 9293 section 3.3.2, with the times of Linux, tcp(7).

use std::net::Ipv4Addr;
use std::time::Duration;

use ioth_stack::{EndpointId, Error, Instant, Shutdown};

use crate::guards::opened;
use crate::wire::frames::{ACK, FIN, PSH, RST, SYN, Tcp};
use crate::wire::{Host, Stranger, Wire};

/// A stranger that stays where it was: neighbours are asked again, and it says where it is.
fn wait(wire: &mut Wire, host: Host, time: Duration) {
    let step = Duration::from_secs(10);
    let mut left = time;
    while !left.is_zero() {
        wire.run(step.min(left) - Duration::from_millis(1));
        let record = std::mem::take(&mut wire.record);
        // Takes a millisecond.
        Stranger::new(wire, host, 0, 0);
        wire.record = record;
        left = left.saturating_sub(step);
    }
}

/// Seconds from `start` at which a host sent segments with these flags.
fn times(wire: &Wire, host: Host, start: Instant, flags: u8) -> Vec<u64> {
    let sent =
        wire.sent_by(host).filter(|sent| Tcp::parse(&sent.bytes).is_some_and(|tcp| tcp.flags == flags));
    sent.map(|sent| (sent.at - start).as_secs()).collect()
}

/// A connection that the engine has closed first and in good order, the stranger's FIN, and when that was said.
fn waiting_out() -> (Wire, Host, Stranger, Tcp) {
    let (mut wire, b, stranger, id, ack) = opened(4096);
    wire.close(b, id);
    let fin = stranger.hears(&mut wire).pop().unwrap();
    assert_eq!((fin.flags & !PSH, fin.seq), (FIN | ACK, ack));
    let fin = Tcp { flags: FIN | ACK, seq: 1000, ack: ack.wrapping_add(1), window: 500, ..Tcp::default() };
    let answer = stranger.asks(&mut wire, &fin).pop().unwrap();
    assert_eq!((answer.flags, answer.ack), (ACK, 1001));
    (wire, b, stranger, fin)
}

/// A connection whose closing the stranger has acknowledged, and its own FIN, which it has not said.
fn half_gone() -> (Wire, Host, Stranger, Tcp) {
    let (mut wire, b, stranger, id, ack) = opened(4096);
    wire.close(b, id);
    wire.settle();
    let fin = Tcp { flags: FIN | ACK, seq: 1000, ack: ack.wrapping_add(1), window: 500, ..Tcp::default() };
    stranger.says(&mut wire, &Tcp { flags: ACK, ..fin.clone() });
    (wire, b, stranger, fin)
}

/// The flags of the only answer.
fn answer(wire: &mut Wire, stranger: &Stranger, segment: &Tcp) -> u8 {
    let answers = stranger.asks(wire, segment);
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers[0].flags
}

/// A connect of host a to the stranger, who has heard its SYN.
fn opening() -> (Wire, Host, Stranger, EndpointId, Tcp) {
    let (mut wire, a, _) = Wire::pair();
    let mut stranger = Stranger::new(&mut wire, a, 80, 0);
    let id = wire.connect(a, "10.0.0.77:80");
    stranger.peer_port = wire[a].local_address(id).unwrap().port();
    let syn = stranger.hears(&mut wire).pop().unwrap();
    assert_eq!(syn.flags, SYN);
    (wire, a, stranger, id, syn)
}

#[test]
fn both_open_at_once_rfc_9293_figure_8() {
    let (mut wire, a, stranger, id, syn) = opening();
    let own = Tcp { flags: SYN, seq: 999, window: 65_535, ..Tcp::default() };
    let both = stranger.asks(&mut wire, &own).pop().unwrap();
    assert_eq!((both.flags, both.seq, both.ack), (SYN | ACK, syn.seq, 1000));
    assert!(wire[a].readiness(id).connecting);
    let ack = syn.seq.wrapping_add(1);
    stranger.says(&mut wire, &Tcp { flags: SYN | ACK, ack, ..own.clone() });
    let mut established = false;
    for _ in 0..3 {
        established |= wire[a].connect_result(id).is_ok();
        // A stranger that saw its SYN-ACK lost says it again; an acknowledgement is as good.
        stranger.says(&mut wire, &Tcp { flags: ACK, seq: 1000, ack, ..own.clone() });
        wire.settle();
    }
    assert!(established || wire[a].connect_result(id).is_ok());
    assert_eq!(wire.send(a, id, b"first"), Ok(5));
    let first = stranger.hears(&mut wire).pop().unwrap();
    assert_eq!((first.seq, first.ack, &first.payload[..]), (ack, 1000, &b"first"[..]));
    let answer = Tcp { flags: ACK, seq: 1000, ack: ack.wrapping_add(5), payload: b"last".to_vec(), ..own };
    stranger.says(&mut wire, &answer);
    assert_eq!(wire.recv(a, id), Ok(b"last".to_vec()));
}

#[test]
fn both_close_at_once_rfc_9293_figure_13() {
    let (mut wire, b, stranger, id, ack) = opened(4096);
    wire.close(b, id);
    let fin = stranger.hears(&mut wire).pop().unwrap();
    assert_eq!((fin.flags & !PSH, fin.seq), (FIN | ACK, ack));
    // The stranger's was under way: it acknowledges nothing of that.
    let own = Tcp { flags: FIN | ACK, seq: 1000, ack, window: 500, ..Tcp::default() };
    let answer = stranger.asks(&mut wire, &own).pop().unwrap();
    assert_eq!((answer.flags & !FIN, answer.ack), (ACK, 1001));
    assert!(wire[b].has_orphans(), "CLOSING");
    let last = Tcp { flags: ACK, seq: 1001, ack: ack.wrapping_add(1), ..own.clone() };
    assert!(stranger.asks(&mut wire, &last).is_empty());
    assert!(!wire[b].has_orphans());
    // TIME-WAIT acknowledges a repeated FIN.
    let again = stranger.asks(&mut wire, &Tcp { ack: last.ack, ..own }).pop().unwrap();
    assert_eq!((again.flags, again.seq, again.ack), (ACK, ack.wrapping_add(1), 1001));
}

#[test]
fn time_wait_is_60_seconds_long_rfc_9293_3_6_1() {
    let (mut wire, b, stranger, fin) = waiting_out();
    wait(&mut wire, b, Duration::from_secs(59));
    assert_eq!(answer(&mut wire, &stranger, &fin), ACK);
    let (mut wire, b, stranger, fin) = waiting_out();
    wait(&mut wire, b, Duration::from_secs(61));
    assert_eq!(answer(&mut wire, &stranger, &fin), RST);
}

#[test]
fn an_older_syn_does_not_open_a_connection_in_time_wait_rfc_9293_3_6_1() {
    let (mut wire, _, stranger, fin) = waiting_out();
    let syn = |seq| Tcp { flags: SYN, seq, window: 500, ..Tcp::default() };
    for old in [0, 999, 1000, 1001u32.wrapping_sub(1 << 31)] {
        let answer = stranger.asks(&mut wire, &syn(old)).pop().unwrap();
        assert_eq!((answer.flags, answer.seq, answer.ack), (ACK, fin.ack, 1001), "{old}");
    }
    assert_eq!(answer(&mut wire, &stranger, &syn(1002)), SYN | ACK);
}

#[test]
fn a_reset_with_the_right_number_does_not_end_time_wait_rfc_1337() {
    let (mut wire, _, stranger, fin) = waiting_out();
    for seq in [1000, 1001, 1002] {
        assert!(stranger.asks(&mut wire, &Tcp { flags: RST, seq, ..Tcp::default() }).is_empty());
    }
    assert_eq!(answer(&mut wire, &stranger, &fin), ACK);
}

#[test]
fn time_wait_is_bounded() {
    // One connection more than records are kept, all at once: the first goes.
    let (mut wire, _, b) = Wire::pair();
    let listeners = [wire.listen(b, "10.0.0.2:80", 8), wire.listen(b, "10.0.0.2:81", 8)];
    let fin = Tcp { flags: FIN | ACK, seq: 1000, window: 500, ..Tcp::default() };
    let mut stranger = Stranger::new(&mut wire, b, 1, 80);
    let mut ends = Vec::new();
    for number in 0..65_537u32 {
        let side = usize::from(number >= 40_000);
        (stranger.port, stranger.peer_port) = ((number % 40_000) as u16 + 1, [80, 81][side]);
        // No time passes: what is to leave leaves at once.
        let says = |wire: &mut Wire, segment: &Tcp| {
            stranger.says(wire, segment);
            wire.record.clear();
            wire.run(Duration::ZERO);
            wire.record.last().and_then(|sent| Tcp::parse(&sent.bytes))
        };
        let syn = Tcp { flags: SYN, seq: 999, window: 500, ..Tcp::default() };
        let ack = says(&mut wire, &syn).unwrap().seq.wrapping_add(1);
        let _ = says(&mut wire, &Tcp { flags: ACK, ack, ..fin.clone() });
        let accepted = wire[b].accept(listeners[side]).unwrap().id;
        wire.close(b, accepted);
        wire.run(Duration::ZERO);
        let end = Tcp { ack: ack.wrapping_add(1), ..fin.clone() };
        assert_eq!(says(&mut wire, &end).unwrap().flags, ACK);
        ends.push((stranger, end));
    }
    let (first, end) = &ends[0];
    assert_eq!(answer(&mut wire, first, end), RST);
    for (stranger, end) in [&ends[1], &ends[65_536]] {
        assert_eq!(answer(&mut wire, stranger, end), ACK);
    }
}

#[test]
fn fin_wait_2_of_an_orphan_is_60_seconds_long_tcp_7() {
    let (mut wire, b, stranger, fin) = half_gone();
    wait(&mut wire, b, Duration::from_secs(59));
    assert_eq!(answer(&mut wire, &stranger, &fin), ACK);
    let (mut wire, b, stranger, fin) = half_gone();
    wait(&mut wire, b, Duration::from_secs(61));
    assert!(!wire[b].has_orphans());
    assert_eq!(answer(&mut wire, &stranger, &fin), RST);
}

#[test]
fn fin_wait_2_of_a_socket_has_no_end() {
    let (mut wire, b, stranger, id, ack) = opened(4096);
    let now = wire.now();
    wire[b].shutdown(now, id, Shutdown::Write).unwrap();
    wire.settle();
    let segment = Tcp { flags: ACK, seq: 1000, ack: ack.wrapping_add(1), window: 500, ..Tcp::default() };
    stranger.says(&mut wire, &segment);
    wait(&mut wire, b, Duration::from_secs(10_000));
    stranger.says(&mut wire, &Tcp { payload: b"still".to_vec(), ..segment });
    assert_eq!(wire.recv(b, id), Ok(b"still".to_vec()));
}

#[test]
fn a_syn_is_said_again_for_127_seconds_tcp_7() {
    let (mut wire, a, _, id, _) = opening();
    let start = wire.now();
    let over = |wire: &Wire| !wire[a].readiness(id).connecting;
    while !over(&wire) {
        wait(&mut wire, a, Duration::from_secs(1));
        assert!(wire.now() - start < Duration::from_secs(200));
    }
    // tcp_syn_retries 6, RFC 6298 section 5.5. Where the longest pause is a minute there is room for one more.
    let said = times(&wire, a, start, SYN);
    assert!(said.len() <= 8 && near(&said[..7], &[0, 1, 3, 7, 15, 31, 63]), "{said:?}");
    let took = (wire.now() - start).as_secs();
    assert!((126..=129).contains(&took), "{took}");
    assert_eq!(wire[a].connect_result(id), Err(Error::TimedOut));
}

#[test]
fn a_syn_ack_is_said_six_times_in_63_seconds_tcp_7() {
    let (mut wire, _, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    let stranger = Stranger::new(&mut wire, b, 5000, 80);
    let start = wire.now();
    let syn_ack = stranger.opens(&mut wire, &[]);
    wait(&mut wire, b, Duration::from_secs(200));
    let said = times(&wire, b, start, SYN | ACK);
    // tcp_synack_retries 5.
    assert!(near(&said, &[0, 1, 3, 7, 15, 31]), "{said:?}");
    let late = Tcp { flags: ACK, seq: 1000, ack: syn_ack.seq.wrapping_add(1), window: 1, ..Tcp::default() };
    assert_eq!(answer(&mut wire, &stranger, &late), RST);
    assert_eq!(wire[b].accept(listener).err(), Some(Error::WouldBlock));
}

/// A second more or less, for what a wire and a clock of seconds add.
fn near(times: &[u64], wanted: &[u64]) -> bool {
    times.len() == wanted.len() && times.iter().zip(wanted).all(|(one, other)| one.abs_diff(*other) <= 1)
}

#[test]
fn a_syn_from_many_or_from_ourselves_is_dropped_without_a_word_rfc_1122_4_2_3_10() {
    let (mut wire, _, b) = Wire::pair();
    let _listener = wire.listen(b, "0.0.0.0:80", 8);
    Stranger::new(&mut wire, b, 0, 0);
    let own = wire.mac(b);
    for from in
        ["10.0.0.255", "255.255.255.255", "224.0.0.1", "239.1.2.3", "10.0.0.2", "127.0.0.1", "0.0.0.0"]
    {
        let from: Ipv4Addr = from.parse().unwrap();
        for port in [80, 81] {
            let syn = Tcp { flags: SYN, seq: 1, window: 1000, ..Tcp::default() };
            wire.inject_bytes(b, &syn.in_frame(own, (from, 80), (Ipv4Addr::new(10, 0, 0, 2), port)));
        }
        wire.run(Duration::from_secs(5));
        assert!(wire.record.is_empty(), "{from}: {}", wire.show());
    }
}

#[test]
fn the_challenges_of_one_connection_say_nothing_of_another_rfc_5961_7() {
    // As many as the peer asks for by resets in the window, beside as many of another connection.
    let challenges = |beside: u32| {
        let (mut wire, _, b) = Wire::pair();
        let listener = wire.listen(b, "10.0.0.2:80", 8);
        let mut talks = Vec::new();
        for port in [5000, 5001] {
            let stranger = Stranger::new(&mut wire, b, port, 80);
            let (id, _) = stranger.connects(&mut wire, listener, &[], 500);
            talks.push((stranger, id));
        }
        wire.run(Duration::from_secs(5));
        let mut heard = 0;
        for round in 0..2000 {
            let reset = Tcp { flags: RST, seq: 1100, ..Tcp::default() };
            for _ in 0..beside {
                talks[1].0.says(&mut wire, &reset);
            }
            if round % 10 == 0 {
                heard += talks[0].0.asks(&mut wire, &reset).len();
            }
            wire.settle();
        }
        assert!(talks.iter().all(|(_, id)| wire[b].peer_address(*id).is_ok()));
        heard
    };
    let alone = challenges(0);
    // It is limited, or it would be an amplifier.
    assert!((1..=10).contains(&alone), "{alone}");
    assert_eq!(challenges(10), alone);
}

#[test]
fn fin_wait_2_held_for_ever() {
    let (mut wire, b, stranger, fin) = half_gone();
    // As in Linux, what the peer says without ending its side does not make it longer.
    for _ in 0..30 {
        wait(&mut wire, b, Duration::from_secs(10));
        let _ = stranger.asks(&mut wire, &Tcp { flags: ACK, ..fin.clone() });
    }
    assert_eq!(answer(&mut wire, &stranger, &fin), RST);
}
