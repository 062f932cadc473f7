//! Timestamps (RFC 7323): offered, said and repeated, and what is of long ago.

use std::time::Duration;

use ioth_stack::EndpointId;

use crate::wire::frames::{ACK, FIN, RST, SYN, Tcp};
use crate::wire::{Fate, Host, Port, Stranger, Wire};

/// What a segment says, and repeats.
fn stamps(tcp: &Tcp) -> Option<(u32, u32)> {
    let at = tcp.options.windows(2).position(|pair| pair == [8, 10])?;
    let word = |at: usize| u32::from_be_bytes(tcp.options[at..at + 4].try_into().unwrap());
    Some((word(at + 2), word(at + 6)))
}

fn option(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat()
}

/// A connection between two engines that have them, from the first frame on.
fn connected(port: Port) -> (Wire, (Host, EndpointId), (Host, EndpointId)) {
    let (mut wire, a, b) = Wire::pair_on(port, port);
    wire[a].set_timestamps(true);
    wire[b].set_timestamps(true);
    wire.latency = Duration::from_millis(10);
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    (wire, (a, one), (b, other))
}

#[test]
fn every_segment_has_them_and_repeats_the_peers_rfc_7323_3_2() {
    for port in [Port::default(), Port { offload: true, ..Port::default() }] {
        let (mut wire, (a, one), (b, other)) = connected(port);
        assert_eq!(wire.send(a, one, &[7; 100_000]), Ok(100_000));
        let mut got = 0;
        assert!(wire.run_until(Duration::from_secs(5), |wire| {
            got += wire.try_recv(b, other).map_or(0, |data| data.len());
            got == 100_000
        }));
        assert_eq!(wire[a].segment_size(one), 1448);
        wire.close(a, one);
        wire.close(b, other);
        wire.run(Duration::from_secs(1));
        let mut clocks = [None, None];
        for sent in &wire.record {
            let Some(tcp) = Tcp::parse(&sent.bytes) else { continue };
            let (said, repeated) = stamps(&tcp).unwrap();
            let side = usize::from(sent.from == b);
            // The peer has said it before.
            assert!(
                tcp.flags == SYN || clocks[1 - side].is_some_and(|clock: u32| repeated <= clock),
                "{tcp:?}"
            );
            let millis = (sent.at.as_nanos() / 1_000_000) as u32;
            let offset = said.wrapping_sub(millis);
            clocks[side].get_or_insert(said);
            assert_eq!(said - clocks[side].unwrap(), offset.wrapping_add(millis) - clocks[side].unwrap());
            clocks[side] = Some(said);
            assert!(tcp.payload.is_empty() || tcp.payload.len() % 1448 == 0 || tcp.payload.len() < 66_000);
        }
        assert!(clocks.iter().all(Option::is_some));
    }
}

#[test]
fn one_side_alone_says_none_rfc_7323_2_2() {
    for which in 0..2 {
        let (mut wire, a, b) = Wire::pair();
        wire[[a, b][which]].set_timestamps(true);
        let (one, other) = wire.connected(a, b, "10.0.0.2:80");
        assert!(wire.echoes([(a, one), (b, other)]));
        for sent in &wire.record {
            let Some(tcp) = Tcp::parse(&sent.bytes) else { continue };
            assert_eq!(stamps(&tcp).is_some(), which == 0 && tcp.flags == SYN, "{tcp:?}");
        }
        assert_eq!(wire[a].segment_size(one), 1460);
    }
}

/// A connection with somebody who says what the test wants: the next segment in it, without options, and what the engine
/// says of the time.
fn stranger() -> (Wire, Stranger, Host, EndpointId, Tcp, u32) {
    let (mut wire, _, victim) = Wire::pair();
    wire[victim].set_timestamps(true);
    let listener = wire.listen(victim, "10.0.0.2:80", 8);
    let stranger = Stranger::new(&mut wire, victim, 5000, 80);
    let options = [&[2, 4, 5, 180, 1, 1, 4, 2][..], &option(1000, 0)].concat();
    let answer = stranger.opens(&mut wire, &options);
    let (clock, repeated) = stamps(&answer).unwrap();
    assert_eq!(repeated, 1000);
    let next =
        Tcp { flags: ACK, seq: 1000, ack: answer.seq.wrapping_add(1), window: 65_535, ..Tcp::default() };
    stranger.says(&mut wire, &Tcp { options: option(1001, clock), ..next.clone() });
    let id = wire.accept(victim, listener);
    (wire, stranger, victim, id, next, clock)
}

#[test]
fn what_is_of_long_ago_is_answered_and_not_taken_rfc_7323_5_3() {
    let (mut wire, stranger, victim, id, next, clock) = stranger();
    let says = |value, flags, data: &[u8]| Tcp {
        flags,
        options: option(value, clock),
        payload: data.to_vec(),
        ..next.clone()
    };
    let answers = stranger.asks(&mut wire, &says(999, ACK, b"old"));
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].ack, wire[victim].recv_queue(id)), (1000, 0));
    assert_eq!(stranger.asks(&mut wire, &says(999, ACK | FIN, b"")).len(), 1);
    assert!(!wire[victim].readiness(id).read_closed);
    // What has none is taken, as Linux takes it, and so is what is as old as the last.
    stranger.says(&mut wire, &Tcp { payload: b"a".to_vec(), ..next.clone() });
    stranger.says(&mut wire, &Tcp { seq: 1001, ..says(1001, ACK, b"b") });
    assert_eq!(wire.recv(victim, id), Ok(b"ab".to_vec()));
    // A reset needs none, nor does its age matter.
    stranger.says(&mut wire, &Tcp { seq: 1002, ..says(999, RST, b"") });
    assert!(wire[victim].readiness(id).error);
}

#[test]
fn what_came_ahead_of_a_gap_does_not_make_what_fills_it_old_rfc_7323_4_3() {
    let (mut wire, stranger, victim, id, next, clock) = stranger();
    let says = |value, seq, data: &[u8]| Tcp {
        seq,
        options: option(value, clock),
        payload: data.to_vec(),
        ..next.clone()
    };
    let answers = stranger.asks(&mut wire, &says(2000, 1003, b"def"));
    // The clock of the last segment in order is repeated, and the gap reported beside it.
    assert_eq!(stamps(&answers[0]).unwrap().1, 1001);
    assert_eq!(answers[0].options.len(), 24);
    let answers = stranger.asks(&mut wire, &says(1500, 1000, b"abc"));
    assert_eq!(stamps(&answers[0]).unwrap().1, 1500);
    assert_eq!(wire.recv(victim, id), Ok(b"abcdef".to_vec()));
}

#[test]
fn there_is_room_for_three_blocks_beside_them_rfc_2018_3() {
    let (mut wire, stranger, _, _, next, clock) = stranger();
    let mut last = None;
    for gap in 1..=5 {
        let says =
            Tcp { seq: 1000 + gap * 20, options: option(1001, clock), payload: vec![7; 10], ..next.clone() };
        last = stranger.asks(&mut wire, &says).pop();
    }
    let last = last.unwrap();
    assert_eq!(last.options.len(), 40);
    assert_eq!(stamps(&last).unwrap().1, 1001);
    assert_eq!(last.options[12..16], [1, 1, 5, 26]);
}

#[test]
fn a_retransmission_says_the_time_again() {
    let (mut wire, (a, one), (b, other)) = connected(Port::default());
    wire.record.clear();
    wire.weather = Box::new(|_| Fate::Lost);
    assert_eq!(wire.send(a, one, b"again"), Ok(5));
    wire.settle();
    wire.weather = Box::new(|_| Fate::Arrives);
    assert_eq!(wire.recv(b, other), Ok(b"again".to_vec()));
    let data =
        wire.sent_by(a).filter_map(|sent| Tcp::parse(&sent.bytes)).filter(|tcp| !tcp.payload.is_empty());
    let said: Vec<_> = data.map(|tcp| stamps(&tcp).unwrap().0).collect();
    assert!(said.len() > 1 && said.windows(2).all(|pair| pair[0] < pair[1]), "{said:?}");
}
