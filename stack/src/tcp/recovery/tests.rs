//! What the sender does about losses, by the clauses that say so.

#![expect(clippy::single_range_in_vec_init, reason = "one block is a list of blocks")]

use super::*;

const MSS: u64 = 1000;
const RTT: Duration = Duration::from_millis(20);

/// A sender with a round trip of 20 ms that has sent `segments`, a millisecond apart.
fn sent(segments: u64, selective: bool) -> (Recovery, Instant) {
    let start = Instant::from_millis(1000);
    let mut recovery = Recovery::new(CongestionControl::Cubic, 1, MSS, selective);
    recovery.handshake(start, RTT);
    let mut now = start;
    for number in 0..segments {
        now = start + Duration::from_millis(number);
        recovery.sent(now, 1 + number * MSS..1 + (number + 1) * MSS);
    }
    (recovery, now)
}

/// The peer has everything below `ack`, and those blocks.
fn hear(recovery: &mut Recovery, now: Instant, ack: u64, blocks: &[Range<u64>]) {
    recovery.heard(now, &Heard { ack, blocks, bare: true });
}

#[test]
fn a_segment_is_lost_when_later_ones_have_arrived_rfc_8985_6_2() {
    let (mut recovery, now) = sent(8, true);
    for arrived in 2..4 {
        hear(&mut recovery, now + RTT, 1, &[1001..1 + arrived * MSS]);
        assert_eq!(recovery.next_lost(), None, "{arrived}: it may be late");
    }
    hear(&mut recovery, now + RTT, 1, &[1001..4001]);
    assert_eq!(recovery.next_lost(), Some(1..1001));
    // PRR: the first repair leaves at once (RFC 9937 section 6.2).
    assert!(recovery.room() >= MSS);
    recovery.sent_again(now + RTT, 1..1001);
    assert_eq!((recovery.next_lost(), recovery.timeouts()), (None, 0));
}

#[test]
fn a_segment_is_lost_after_a_quarter_of_the_round_trip_rfc_8985_6_2() {
    let (mut recovery, now) = sent(2, true);
    hear(&mut recovery, now + RTT, 1, &[1001..2001]);
    assert_eq!(recovery.next_lost(), None);
    let due = recovery.poll_timeout().expect("a timer of reordering");
    assert!(due - (now + RTT) <= RTT / 4, "{:?}", due - (now + RTT));
    assert!(!recovery.handle_timeout(due));
    assert_eq!(recovery.next_lost(), Some(1..1001));
}

#[test]
fn a_repair_that_was_lost_is_repaired_rfc_8985_3_1() {
    let (mut recovery, now) = sent(10, true);
    hear(&mut recovery, now + RTT, 1, &[1001..6001]);
    recovery.sent_again(now + RTT, 1..1001);
    recovery.sent(now + RTT + Duration::from_millis(1), 10_001..11_001);
    // What left behind the repair has arrived.
    hear(&mut recovery, now + RTT * 2 + Duration::from_millis(1), 1, &[1001..11_001]);
    assert_eq!((recovery.next_lost(), recovery.timeouts()), (Some(1..1001), 0));
}

#[test]
fn a_silent_tail_is_probed_before_the_timeout_rfc_8985_7_3() {
    let (mut recovery, now) = sent(4, true);
    let due = recovery.poll_timeout().expect("a timer");
    assert!(due - now <= RTT * 2 + Duration::from_millis(2), "{:?}", due - now);
    assert!(!recovery.handle_timeout(due) && recovery.is_probe_due());
    assert_eq!(recovery.tail(), Some(3001..4001));
    recovery.sent_again(due, 3001..4001);
    assert!(!recovery.is_probe_due());
    // It shows what is missing in front of it.
    hear(&mut recovery, due + RTT, 1, &[3001..4001]);
    assert_eq!((recovery.next_lost(), recovery.timeouts()), (Some(1..3001), 0));
}

#[test]
fn a_timeout_sends_one_segment_and_backs_off_rfc_6298_5() {
    let (mut recovery, _) = sent(4, true);
    let mut pauses = Vec::new();
    let mut last = None;
    while pauses.len() < 3 {
        let due = recovery.poll_timeout().expect("a timer");
        if recovery.handle_timeout(due) {
            assert_eq!((recovery.room(), recovery.next_lost().map(|lost| lost.start)), (MSS, Some(1)));
            recovery.sent_again(due, 1..1001);
            pauses.extend(last.map(|last| due - last));
            last = Some(due);
        } else {
            recovery.no_probe();
        }
    }
    assert_eq!(pauses[1], pauses[0] * 2);
    assert_eq!(pauses[2], pauses[0] * 4);
}

#[test]
fn a_spurious_timeout_costs_nothing_rfc_5682_3() {
    let (mut recovery, _) = sent(8, true);
    let before = recovery.congestion.window();
    let due = loop {
        let due = recovery.poll_timeout().expect("a timer");
        if recovery.handle_timeout(due) {
            break due;
        }
        recovery.no_probe();
    };
    recovery.sent_again(due, 1..1001);
    // Everything had only been late.
    hear(&mut recovery, due + Duration::from_millis(1), 8001, &[]);
    assert!(recovery.congestion.window() >= before, "{}", recovery.congestion.window());
    assert_eq!(recovery.mode, Mode::Open);
}

#[test]
fn repairs_that_arrive_twice_are_taken_back_rfc_3708() {
    let (mut recovery, now) = sent(10, true);
    let before = recovery.congestion.window();
    hear(&mut recovery, now + RTT, 1, &[1001..6001]);
    recovery.sent_again(now + RTT, 1..1001);
    assert!(recovery.congestion.threshold() < before);
    // A round trip later, so that only the report tells.
    hear(&mut recovery, now + RTT * 2, 10_001, &[]);
    hear(&mut recovery, now + RTT * 2, 10_001, std::slice::from_ref(&(1..1001)));
    assert!(recovery.congestion.window() >= before, "{}", recovery.congestion.window());
}

#[test]
fn a_peer_that_says_no_more_is_counted_rfc_5681_3_2_rfc_6582() {
    let (mut recovery, now) = sent(8, false);
    for number in 0..3 {
        assert_eq!(recovery.next_lost(), None, "{number} duplicates");
        hear(&mut recovery, now + RTT, 1, &[]);
    }
    assert_eq!(recovery.next_lost(), Some(1..1001));
    recovery.sent_again(now + RTT, 1..1001);
    // A partial acknowledgement shows the next hole.
    hear(&mut recovery, now + RTT * 2, 2001, &[]);
    assert_eq!(recovery.next_lost(), Some(2001..3001));
}
