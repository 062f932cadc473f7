//! A peer attacks, frame by frame, while a bystander of the same stack moves its bytes, and so do two others.
//!
//! Each attack has the name under which it is known; what must hold whatever it does, [`siege`](crate::siege) says.
//!
//! Others have a test of their own: every combination of flags and ACK storms in `hostile`, SYN floods in `backlog`,
//! blind resets and injection in `guards` and `stalls`, half-open timeout, FIN-WAIT-2, the assassination of TIME-WAIT and
//! the challenge-ACK side channel in `states` and `tcp_close`, sequence numbers and ports in `prediction`.

use std::time::Duration;

use crate::siege::{Scene, attacks};
use crate::wire::frames::{ACK, FIN, RST, SYN, Tcp, URG};
use crate::wire::{Stranger, Wire};

#[test]
fn segments_that_are_hard_to_parse() {
    attacks(&[
        ("data offset below 5", |scene, round| {
            scene.says_raw(|tcp| tcp[12] = ((round % 5) << 4) as u8);
        }),
        ("data offset past the segment", |scene, round| {
            scene.says_raw(|tcp| tcp[12] = ((6 + round % 10) << 4) as u8);
        }),
        ("option length 0", |scene, round| {
            let option = [[2, 0, 5, 180], [3, 0, 7, 1], [5, 0, 0, 0], [8, 0, 1, 1], [253, 0, 0, 0]]
                [round as usize % 5];
            scene.says(|tcp| tcp.options = option.to_vec());
            scene.knocks(round, &option, &[]);
        }),
        ("option length 1", |scene, round| {
            let option = [[2, 1, 5, 180], [3, 1, 7, 1], [5, 1, 0, 0], [8, 1, 1, 1], [253, 1, 0, 0]]
                [round as usize % 5];
            scene.says(|tcp| tcp.options = option.to_vec());
            scene.knocks(round, &option, &[]);
        }),
        ("option overrun", |scene, round| {
            let option = [[2, 40, 5, 180], [3, 5, 7, 1], [5, 34, 0, 0], [1, 1, 1, 8], [253, 255, 0, 0]]
                [round as usize % 5];
            scene.says(|tcp| tcp.options = option.to_vec());
            scene.knocks(round, &option, &[]);
        }),
        ("MSS 0", |scene, round| scene.knocks(round, &[2, 4, 0, 0], &[])),
        ("MSS 1", |scene, round| scene.knocks(round, &[2, 4, 0, 1], &[])),
        ("window scale above 14", |scene, round| {
            scene.knocks(round, &[3, 3, 15 + (round % 241) as u8, 1], &[]);
        }),
        ("SACK empty", |scene, _| scene.says(|tcp| tcp.options = vec![1, 1, 5, 2])),
        ("SACK inverted", |scene, _| sack(scene, 1000, 10)),
        ("SACK huge", |scene, round| {
            sack(scene, 0, [0x7fff_ffff, 0x8000_0000, u32::MAX][round as usize % 3]);
        }),
        ("SACK of another time", |scene, round| sack(scene, round << 24, (round << 24) + 1000)),
        ("sequence numbers around 2^31", |scene, round| {
            let seq = (1000u32 + (1 << 31)).wrapping_sub(150).wrapping_add(round);
            scene.says(|tcp| *tcp = Tcp { seq, payload: vec![7; 100], flags: ACK | FIN, ..tcp.clone() });
        }),
        ("sequence numbers around 2^32", |scene, round| {
            let seq = 0u32.wrapping_sub(150).wrapping_add(round);
            scene.says(|tcp| *tcp = Tcp { seq, payload: vec![7; 100], ..tcp.clone() });
        }),
        ("urgent pointer 0", |scene, _| {
            scene.says_raw(|tcp| tcp[13] = ACK | URG);
        }),
        ("urgent pointer past the end (URGENT/11)", |scene, round| {
            scene.says_raw(|tcp| (tcp[13], tcp[18], tcp[19]) = (ACK | URG, 0xff, round as u8));
        }),
        ("SYN with data", |scene, round| scene.knocks(round, &[], &[7; 1000])),
    ]);
}

/// Blocks from and to these distances behind what was acknowledged.
fn sack(scene: &mut Scene, from: u32, to: u32) {
    scene.says(|tcp| {
        let edges = [from, to].map(|edge| tcp.ack.wrapping_add(edge).to_be_bytes()).concat();
        tcp.options = [&[1, 1, 5, 34][..], &edges.repeat(4)].concat();
    });
}

/// The victim's application has much to send to the attacker.
fn feed(scene: &mut Scene) {
    let _ = scene.wire.send(scene.victim, scene.id, &[7; 20_000]);
}

#[test]
fn peers_that_do_not_play_by_the_rules() {
    attacks(&[
        ("window shrink", |scene, round| {
            feed(scene);
            scene.says(|tcp| tcp.window = [500, 100, 1, 0][round as usize % 4]);
        }),
        ("RST in window", |scene, round| {
            scene.says(|tcp| *tcp = Tcp { seq: 1001 + round, flags: RST, ..tcp.clone() });
        }),
        ("RST outside", |scene, round| {
            scene.says(|tcp| *tcp = Tcp { seq: (round + 1) << 23, flags: RST, ..tcp.clone() });
        }),
        ("SYN in an established connection (RFC 5961)", |scene, round| {
            scene.says(|tcp| *tcp = Tcp { seq: 1000 + round, flags: SYN, ..tcp.clone() });
            scene.says(|tcp| *tcp = Tcp { seq: round << 23, flags: SYN | ACK, ..tcp.clone() });
        }),
        ("data with old ACK", |scene, round| {
            scene.says(|tcp| {
                *tcp = Tcp { ack: tcp.ack.wrapping_sub(round), seq: 2000, payload: vec![7], ..tcp.clone() }
            });
        }),
        ("data with future ACK", |scene, round| {
            let ahead = 1 << (round % 31);
            scene
                .says(|tcp| *tcp = Tcp { ack: tcp.ack.wrapping_add(ahead), payload: vec![7], ..tcp.clone() });
        }),
        ("blind injection", |scene, round| {
            let (seq, ack) = (round << 22, round.wrapping_mul(0x9e37_79b9));
            scene.says(|tcp| *tcp = Tcp { seq, ack, payload: vec![7; 100], ..tcp.clone() });
        }),
        ("SACK attack", |scene, round| {
            feed(scene);
            sack(scene, round * 97 % 15_000, round * 97 % 15_000 + 1);
        }),
        ("one-byte out-of-order segments", |scene, round| {
            for at in 0..50 {
                let seq = 1002 + (round * 50 + at) * 2;
                scene.says(|tcp| *tcp = Tcp { seq, payload: vec![7], ..tcp.clone() });
            }
        }),
        ("endless zero window", |scene, _| {
            feed(scene);
            scene.says(|tcp| tcp.window = 0);
        }),
        ("slow peers", |scene, round| {
            feed(scene);
            if round % 50 == 0 {
                scene.next.ack = scene.next.ack.wrapping_add(1);
                scene.says(|tcp| tcp.window = 1);
            }
        }),
        ("optimistic ACK", |scene, round| {
            feed(scene);
            let ahead = round * 1460;
            scene.says(|tcp| tcp.ack = tcp.ack.wrapping_add(ahead));
        }),
        ("ACK storm", |scene, round| {
            for _ in 0..50 {
                scene.says(|tcp| tcp.seq = tcp.seq.wrapping_sub(round));
            }
        }),
    ]);
}

#[test]
fn a_small_mss_does_not_make_many_segments_cve_2019_11479() {
    for said in [0, 1, 8, 47] {
        let (mut wire, _, b) = Wire::pair();
        let listener = wire.listen(b, "10.0.0.2:80", 8);
        let stranger = Stranger::new(&mut wire, b, 5000, 80);
        let (id, _) = stranger.connects(&mut wire, listener, &[2, 4, 0, said], 65_535);
        assert_eq!(wire.send(b, id, &[7; 1000]), Ok(1000));
        let heard = stranger.hears(&mut wire);
        let first = heard.first().unwrap().payload.len();
        assert!(first >= 48, "MSS {said}: {first} bytes in a segment");
    }
}

#[test]
fn a_stream_goes_on_over_2_to_the_31_and_2_to_the_32_rfc_9293_3_4() {
    for edge in [1u32 << 31, 0] {
        let (mut wire, _, b) = Wire::pair();
        let listener = wire.listen(b, "10.0.0.2:80", 8);
        let stranger = Stranger::new(&mut wire, b, 5000, 80);
        let mut seq = edge.wrapping_sub(5000);
        let syn = Tcp { flags: SYN, seq, window: 65_535, ..Tcp::default() };
        let ack = stranger.asks(&mut wire, &syn).pop().unwrap().seq.wrapping_add(1);
        seq = seq.wrapping_add(1);
        let segment = Tcp { flags: ACK, seq, ack, window: 65_535, ..Tcp::default() };
        stranger.says(&mut wire, &segment);
        let id = wire.accept(b, listener);
        let data: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
        // The second of each two comes first.
        for pair in [1, 0, 3, 2, 5, 4, 7, 6, 9, 8] {
            let payload = data[pair * 1000..][..1000].to_vec();
            let seq = seq.wrapping_add(pair as u32 * 1000);
            stranger.says(&mut wire, &Tcp { seq, payload, ..segment.clone() });
        }
        assert_eq!(wire.recv(b, id), Ok(data));
    }
}

#[test]
fn data_in_a_syn_is_not_heard_twice_rfc_9293_3_10_7_2() {
    let (mut wire, _, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    let stranger = Stranger::new(&mut wire, b, 5000, 80);
    let syn = Tcp { flags: SYN, seq: 999, window: 500, payload: b"early".to_vec(), ..Tcp::default() };
    let answer = stranger.asks(&mut wire, &syn).pop().unwrap();
    // It may keep the data or have it sent again.
    assert!([1000, 1005].contains(&answer.ack), "{answer:?}");
    let ack = answer.seq.wrapping_add(1);
    let again =
        Tcp { flags: ACK, seq: 1000, ack, window: 500, payload: b"early late".to_vec(), ..Tcp::default() };
    stranger.says(&mut wire, &again);
    let id = wire.accept(b, listener);
    assert_eq!(wire.recv(b, id), Ok(b"early late".to_vec()));
}

#[test]
fn a_syn_ack_with_a_wrong_ack_is_reset_and_the_open_goes_on_rfc_9293_3_10_7_3() {
    let (mut wire, a, _) = Wire::pair();
    let mut stranger = Stranger::new(&mut wire, a, 80, 0);
    let id = wire.connect(a, "10.0.0.77:80");
    stranger.peer_port = wire[a].local_address(id).unwrap().port();
    let syn = stranger.hears(&mut wire).pop().unwrap();
    for wrong in [0, 2, 1000, 1 << 31] {
        let ack = syn.seq.wrapping_add(wrong);
        let forged = Tcp { flags: SYN | ACK, seq: 5, ack, window: 9, ..Tcp::default() };
        let answer = stranger.asks(&mut wire, &forged);
        assert!(answer.iter().all(|tcp| (tcp.flags & !ACK, tcp.seq) == (RST, ack)), "{answer:?}");
        assert!(wire[a].readiness(id).connecting);
    }
    let ack = syn.seq.wrapping_add(1);
    stranger.says(&mut wire, &Tcp { flags: SYN | ACK, seq: 999, ack, window: 9, ..Tcp::default() });
    assert_eq!(wire.connect_result(a, id), Ok(()));
}

#[test]
fn a_peer_that_never_opens_its_window_cannot_keep_an_orphan() {
    let mut scene = Scene::new();
    feed(&mut scene);
    scene.says(|tcp| tcp.window = 0);
    scene.wire.close(scene.victim, scene.id);
    // It answers every probe: it is there, and takes nothing.
    for _ in 0..1000 {
        scene.says(|tcp| tcp.window = 0);
        scene.wire.run(Duration::from_secs(1));
    }
    assert!(!scene.wire[scene.victim].has_orphans(), "Linux gives it up after tcp_orphan_retries, tcp(7)");
}
