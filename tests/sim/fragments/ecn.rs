//! Marks of congestion on fragments, RFC 3168 section 5.3.

use super::Scene;
use crate::feed::checksum::fold;

/// A datagram in three fragments with these codepoints, and how it arrives: with its codepoint, or not at all.
fn arrives(scene: &mut Scene, number: u32, codepoints: [u8; 3]) -> Option<u8> {
    let datagram = scene.datagram(2000, 7);
    let mut cut = scene.cut(number, &datagram, 800);
    for (frame, codepoint) in cut.iter_mut().zip(codepoints) {
        // With a class of service, which stays.
        let tos = 0xb8 | codepoint;
        if scene.v6() {
            frame[14..16].copy_from_slice(&[0x60 | tos >> 4, tos << 4]);
        } else {
            frame[15] = tos;
            frame[24..26].fill(0);
            let words =
                frame[14..34].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
            let check = !fold(words.sum());
            frame[24..26].copy_from_slice(&check.to_be_bytes());
        }
    }
    scene.inject(&cut);
    scene.wire.settle();
    let mut buffer = [0; 4000];
    let received = scene.wire[scene.host].recv_from(scene.id, &mut buffer, false).ok()?;
    assert_eq!(buffer[..received.copied], datagram[8..]);
    let tos = received.arrival?.tos;
    assert_eq!(tos & !3, 0xb8);
    Some(tos & 3)
}

#[test]
fn one_mark_marks_the_whole_and_what_cannot_carry_one_is_dropped_rfc_3168_5_3() {
    for mut scene in Scene::families() {
        let table = [
            ([0, 0, 0], Some(0)),
            ([2, 2, 2], Some(2)),
            ([1, 1, 1], Some(1)),
            ([2, 3, 2], Some(3)),
            ([1, 1, 3], Some(3)),
            ([3, 2, 1], Some(3)),
            ([0, 3, 0], None),
            ([3, 0, 3], None),
            // As Linux.
            ([2, 0, 2], None),
        ];
        for (number, (codepoints, expected)) in (0..).zip(table) {
            assert_eq!(arrives(&mut scene, number, codepoints), expected, "{codepoints:?}");
        }
        let counters = scene.wire[scene.host].counters();
        assert_eq!((counters.reassembly_oks, counters.reassembly_fails), (6, 3));
        scene.is_well();
    }
}
