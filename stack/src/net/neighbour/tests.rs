//! The table in virtual time. Deadlines are reached by [`NeighbourTable::poll_timeout`] alone, as the
//! engine reaches them.

use super::entry::{WAITING_BYTES, WAITING_FRAMES};
use super::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
const MAC: Mac = Mac::new([2, 0, 0, 0, 0, 9]);
const OTHER: Mac = Mac::new([2, 0, 0, 0, 0, 0xee]);
const ANSWER: Evidence = Evidence::Reply { solicited: true, override_: true };
const GRATUITOUS: Evidence = Evidence::Reply { solicited: false, override_: true };

fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn frame(byte: u8) -> Frame {
    Frame::from_slice(&[byte; 60])
}

fn host(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

fn firsts(frames: &[Frame]) -> Vec<u8> {
    frames.iter().map(|frame| frame.bytes()[0]).collect()
}

fn queued(resolution: &Resolution) -> bool {
    matches!(resolution, Resolution::Queued { .. })
}

fn solicits(resolution: &Resolution) -> bool {
    matches!(resolution, Resolution::Queued { solicit: true })
}

/// Where a frame to `ip` would go.
fn send(table: &mut NeighbourTable, now: Instant, ip: IpAddr) -> Option<Mac> {
    match table.resolve(now, ip, frame(0)) {
        Resolution::Known { mac, .. } => Some(mac),
        Resolution::Queued { .. } => None,
    }
}

fn state(table: &NeighbourTable, now: Instant, ip: IpAddr) -> Option<State> {
    table.iter(now).find(|neighbour| neighbour.ip == ip).map(|neighbour| neighbour.state)
}

/// What a peer that never answers makes of the actions until `end`: when, for whom, and `*` for asking
/// all, an address for a probe, `!` and the waiting frames for failure.
fn run(table: &mut NeighbourTable, end: Instant) -> Vec<(u64, IpAddr, String)> {
    let mut log = Vec::new();
    while let Some(now) = table.poll_timeout().filter(|at| *at <= end) {
        table.handle_timeout(now);
        let before = log.len();
        while let Some(action) = table.poll_action() {
            let (ip, what) = match action {
                Action::Solicit { ip, target: None } => (ip, "*".to_owned()),
                Action::Solicit { ip, target: Some(mac) } => (ip, mac.to_string()),
                Action::Failed { ip, frames } => (ip, format!("!{:?}", firsts(&frames))),
            };
            log.push((now.as_nanos() / 1_000_000, ip, what));
        }
        assert!(log.len() > before, "woken at {now:?} for nothing");
    }
    log
}

/// A table with PEER reachable since `now`.
fn reachable(now: Instant) -> NeighbourTable {
    let mut table = NeighbourTable::new();
    assert!(solicits(&table.resolve(now, PEER, frame(0))));
    assert_eq!(table.learn(now, PEER, MAC, ANSWER).len(), 1);
    assert_eq!(state(&table, now, PEER), Some(State::Reachable));
    table
}

#[test]
fn resolution_hands_back_the_queue_in_order_rfc_4861_7_2_2() {
    let mut table = NeighbourTable::new();
    assert!(solicits(&table.resolve(ms(0), PEER, frame(1))));
    let second = table.resolve(ms(1), PEER, frame(2));
    assert!(queued(&second) && !solicits(&second));
    assert_eq!(table.poll_timeout(), Some(ms(1000)));
    assert_eq!(firsts(&table.learn(ms(2), PEER, MAC, ANSWER)), [1, 2]);
    assert_eq!(table.poll_timeout(), None);
    match table.resolve(ms(3), PEER, frame(3)) {
        Resolution::Known { mac, frame } => assert_eq!((mac, frame.bytes()[0]), (MAC, 3)),
        Resolution::Queued { .. } => panic!("resolved twice"),
    }
    assert!(table.poll_action().is_none());
}

#[test]
fn three_tries_a_second_apart_then_failed_rfc_4861_10() {
    let mut table = NeighbourTable::new();
    assert!(solicits(&table.resolve(ms(0), PEER, frame(1))));
    assert!(queued(&table.resolve(ms(2500), PEER, frame(2))));
    let expected = [(1000, "*"), (2000, "*"), (3000, "![1, 2]")];
    assert_eq!(run(&mut table, ms(60_000)), expected.map(|(at, what)| (at, PEER, what.to_owned())));
    // Shown for a minute.
    assert!(table.iter(ms(62_999)).all(|neighbour| neighbour.state == State::Failed));
    assert_eq!(table.iter(ms(63_000)).count(), 0);
    assert!(solicits(&table.resolve(ms(60_000), PEER, frame(3))));
}

#[test]
fn a_late_timeout_still_makes_three_tries() {
    let mut table = NeighbourTable::new();
    assert!(solicits(&table.resolve(ms(0), PEER, frame(1))));
    table.handle_timeout(ms(90_000));
    assert!(matches!(table.poll_action(), Some(Action::Solicit { target: None, .. })));
    assert!(table.poll_action().is_none());
    assert_eq!(table.poll_timeout(), Some(ms(91_000)));
}

#[test]
fn the_queue_drops_the_oldest_frame_rfc_4861_7_2_2() {
    let mut table = NeighbourTable::new();
    let count = u8::try_from(WAITING_FRAMES).unwrap() + 3;
    for byte in 0..count {
        assert!(queued(&table.resolve(ms(0), PEER, frame(byte))));
    }
    assert_eq!(table.dropped(), 3);
    assert_eq!(firsts(&table.learn(ms(1), PEER, MAC, ANSWER)), (3..count).collect::<Vec<_>>());
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let mut table = NeighbourTable::new();
    for byte in 0..10 {
        assert!(queued(&table.resolve(ms(0), PEER, Frame::from_slice(&[byte; 60_000]))));
    }
    let frames = table.learn(ms(1), PEER, MAC, ANSWER);
    assert!(frames.iter().map(Frame::len).sum::<usize>() <= WAITING_BYTES);
    assert_eq!(firsts(&frames), [7, 8, 9]);
    assert_eq!(table.dropped(), 7);
}

#[test]
fn what_waits_for_all_is_bounded_in_bytes() {
    let mut table = NeighbourTable::new();
    assert!(solicits(&table.resolve(ms(0), PEER, frame(5))));
    for _ in 0..50 {
        for number in 1000..1900 {
            assert!(queued(&table.resolve(ms(1), host(number), Frame::from_slice(&[1; 1500]))));
        }
        assert!(table.waiting <= WAITING_IN_ALL, "{} bytes", table.waiting);
    }
    let shown: usize = table.iter(ms(1)).map(|neighbour| neighbour.waiting).sum();
    assert_eq!(shown as u64 + table.dropped(), 1 + 50 * 900);
    assert!(shown * 2048 > WAITING_IN_ALL / 2, "{shown} frames");
    // Who has only one keeps it.
    assert_eq!(firsts(&table.learn(ms(2), PEER, MAC, ANSWER)), [5]);
    assert_eq!(run(&mut table, ms(10_000)).len(), 3 * 900);
    // Of those that failed some are shown.
    let (failed, others): (Vec<_>, Vec<_>) =
        table.iter(ms(10_000)).partition(|neighbour| neighbour.state == State::Failed);
    assert_eq!((table.waiting, others.len(), failed.len()), (0, 1, 64));
}

#[test]
fn one_dead_neighbour_delays_no_other() {
    let mut table = NeighbourTable::new();
    for number in 1..=10 {
        assert!(solicits(&table.resolve(ms(number.into()), host(number), frame(1))), "{number}");
    }
    for number in (1..=10).filter(|number| *number != 4) {
        let at = ms(100 + u64::from(number));
        assert_eq!(table.learn(at, host(number), MAC, ANSWER).len(), 1);
        assert_eq!(send(&mut table, at, host(number)), Some(MAC));
    }
    let log = run(&mut table, ms(20_000));
    assert_eq!(log.iter().map(|(at, ..)| *at).collect::<Vec<_>>(), [1004, 2004, 3004]);
    assert!(log.iter().all(|(_, ip, _)| *ip == host(4)));
}

#[test]
fn ten_dead_neighbours_keep_their_own_pace() {
    let mut table = NeighbourTable::new();
    for number in 0..10 {
        assert!(solicits(&table.resolve(ms(u64::from(number) * 50), host(number), frame(1))));
    }
    let log = run(&mut table, ms(60_000));
    for number in 0..10 {
        let start = u64::from(number) * 50;
        let own: Vec<u64> = log.iter().filter(|(_, ip, _)| *ip == host(number)).map(|(at, ..)| *at).collect();
        assert_eq!(own, [start + 1000, start + 2000, start + 3000]);
    }
}

#[test]
fn stale_is_used_then_probed_then_forgotten_rfc_4861_7_3_3() {
    let mut table = reachable(ms(0));
    assert_eq!(send(&mut table, ms(29_999), PEER), Some(MAC));
    assert_eq!(state(&table, ms(29_999), PEER), Some(State::Reachable));
    assert_eq!(state(&table, ms(30_000), PEER), Some(State::Stale));
    assert_eq!(table.poll_timeout(), None);
    assert_eq!(send(&mut table, ms(40_000), PEER), Some(MAC));
    assert_eq!(state(&table, ms(40_000), PEER), Some(State::Delay));
    // A second frame does not postpone the probe.
    assert_eq!(send(&mut table, ms(42_000), PEER), Some(MAC));
    let probe = MAC.to_string();
    let expected = [(45_000, &*probe), (46_000, &*probe), (47_000, &*probe), (48_000, "![]")];
    assert_eq!(run(&mut table, ms(99_000)), expected.map(|(at, what)| (at, PEER, what.to_owned())));
    assert!(solicits(&table.resolve(ms(99_000), PEER, frame(1))));
}

#[test]
fn an_answered_probe_is_reachable_again() {
    let mut table = reachable(ms(0));
    assert_eq!(send(&mut table, ms(40_000), PEER), Some(MAC));
    assert_eq!(run(&mut table, ms(45_000)).len(), 1);
    assert_eq!(state(&table, ms(45_000), PEER), Some(State::Probe));
    assert!(table.learn(ms(45_100), PEER, MAC, ANSWER).is_empty());
    assert_eq!(state(&table, ms(45_100), PEER), Some(State::Reachable));
    assert_eq!(run(&mut table, ms(99_000)), []);
}

#[test]
fn upper_layers_confirm_without_probes_rfc_4861_7_3_1() {
    let mut table = reachable(ms(0));
    for second in (1..120).step_by(4) {
        assert_eq!(send(&mut table, ms(second * 1000), PEER), Some(MAC));
        table.confirm(ms(second * 1000 + 1), PEER);
    }
    assert_eq!(run(&mut table, ms(120_000)), []);
    // Out of DELAY as well.
    assert_eq!(send(&mut table, ms(200_000), PEER), Some(MAC));
    assert_eq!(table.poll_timeout(), Some(ms(205_000)));
    table.confirm(ms(200_001), PEER);
    assert_eq!(table.poll_timeout(), None);
    // It says nothing about a neighbour without an address, or about an unknown one.
    assert!(solicits(&table.resolve(ms(200_002), host(3), frame(0))));
    table.confirm(ms(200_003), host(3));
    table.confirm(ms(200_003), host(4));
    assert_eq!(state(&table, ms(200_003), host(3)), Some(State::Incomplete));
    assert_eq!(state(&table, ms(200_003), host(4)), None);
}

/// RFC 4861 section 7.2.5 and appendix C, every row for a neighbour that has an address.
#[test]
fn advertisements_by_rfc_4861_7_2_5() {
    use State::{Reachable, Stale};
    let rows = [
        // state before, solicited, override, same address -> state, address after
        (Reachable, true, false, true, Reachable, MAC),
        (Reachable, true, true, true, Reachable, MAC),
        (Reachable, false, false, true, Reachable, MAC),
        (Reachable, false, true, true, Reachable, MAC),
        (Reachable, true, false, false, Stale, MAC),
        (Reachable, false, false, false, Stale, MAC),
        (Reachable, true, true, false, Reachable, OTHER),
        (Reachable, false, true, false, Stale, OTHER),
        (Stale, true, false, true, Reachable, MAC),
        (Stale, true, true, true, Reachable, MAC),
        (Stale, false, false, true, Stale, MAC),
        (Stale, false, true, true, Stale, MAC),
        (Stale, true, false, false, Stale, MAC),
        (Stale, false, false, false, Stale, MAC),
        (Stale, true, true, false, Reachable, OTHER),
        (Stale, false, true, false, Stale, OTHER),
    ];
    for row @ (before, solicited, override_, same, after, mac) in rows {
        let mut table = reachable(ms(0));
        let now = if before == Reachable { ms(10) } else { ms(50_000) };
        assert_eq!(state(&table, now, PEER), Some(before));
        let said = if same { MAC } else { OTHER };
        assert!(table.learn(now, PEER, said, Evidence::Reply { solicited, override_ }).is_empty());
        let neighbour = table.iter(now).next().unwrap();
        assert_eq!((neighbour.state, neighbour.mac), (after, Some(mac)), "{row:?}");
    }
}

#[test]
fn an_advertisement_moves_delay_and_probe_by_rfc_4861_7_2_5() {
    for wait in [40_000, 45_000] {
        let start = |evidence, mac| {
            let mut table = reachable(ms(0));
            assert_eq!(send(&mut table, ms(40_000), PEER), Some(MAC));
            run(&mut table, ms(wait));
            assert!(table.learn(ms(wait), PEER, mac, evidence).is_empty());
            (state(&table, ms(wait), PEER).unwrap(), table.poll_timeout().is_some())
        };
        let before = if wait == 40_000 { State::Delay } else { State::Probe };
        assert_eq!(start(GRATUITOUS, MAC), (before, true), "the same address unasked changes nothing");
        assert_eq!(start(Evidence::Reply { solicited: true, override_: false }, OTHER), (before, true));
        assert_eq!(start(GRATUITOUS, OTHER), (State::Stale, false));
        assert_eq!(start(Evidence::Request, OTHER), (State::Stale, false));
        assert_eq!(start(ANSWER, MAC), (State::Reachable, false));
    }
}

#[test]
fn an_unasked_answer_resolves_but_is_probed_rfc_4861_7_2_5() {
    for evidence in [GRATUITOUS, Evidence::Request, Evidence::Reply { solicited: false, override_: false }] {
        let mut table = NeighbourTable::new();
        assert!(solicits(&table.resolve(ms(0), PEER, frame(7))));
        assert_eq!(firsts(&table.learn(ms(100), PEER, MAC, evidence)), [7]);
        assert_eq!(state(&table, ms(100), PEER), Some(State::Delay));
        assert_eq!(run(&mut table, ms(5100)), [(5100, PEER, MAC.to_string())]);
    }
}

#[test]
fn who_may_create_and_who_may_update_rfc_826_rfc_4861_7_2_3() {
    let mut table = NeighbourTable::new();
    assert!(table.learn(ms(0), PEER, MAC, ANSWER).is_empty());
    assert!(table.learn(ms(0), PEER, MAC, GRATUITOUS).is_empty());
    assert_eq!(state(&table, ms(0), PEER), None, "replies nobody asked for create nothing");
    assert!(table.learn(ms(0), PEER, MAC, Evidence::Request).is_empty());
    assert_eq!(state(&table, ms(0), PEER), Some(State::Stale));
    assert!(table.learn(ms(1), PEER, OTHER, GRATUITOUS).is_empty());
    assert_eq!(send(&mut table, ms(2), PEER), Some(OTHER), "a known one may announce a new address");
    // A request with the address we know confirms nothing, and takes nothing away.
    let mut table = reachable(ms(0));
    assert!(table.learn(ms(1), PEER, MAC, Evidence::Request).is_empty());
    assert_eq!(state(&table, ms(1), PEER), Some(State::Reachable));
}

#[test]
fn addresses_no_station_can_have_are_not_learned() {
    let mut table = NeighbourTable::new();
    assert!(solicits(&table.resolve(ms(0), PEER, frame(1))));
    for mac in [Mac::BROADCAST, Mac::new([0; 6]), Mac::new([0x33, 0x33, 0, 0, 0, 1])] {
        assert!(table.learn(ms(1), PEER, mac, ANSWER).is_empty(), "{mac}");
        assert!(table.learn(ms(1), host(77), mac, Evidence::Request).is_empty());
    }
    for ip in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "::", "ff02::1", "::1"] {
        assert!(table.learn(ms(1), ip.parse().unwrap(), MAC, Evidence::Request).is_empty(), "{ip}");
    }
    assert_eq!(table.iter(ms(1)).count(), 1);
    assert_eq!(state(&table, ms(1), PEER), Some(State::Incomplete));
}

#[test]
fn a_flood_of_spoofed_senders_changes_nothing_for_real_neighbours() {
    let mut table = reachable(ms(0));
    let waiting = host(8);
    assert!(solicits(&table.resolve(ms(0), waiting, frame(5))));
    let permanent = host(7);
    assert!(table.add_static(permanent, MAC).is_empty());
    for number in 0..100_000 {
        assert!(table.learn(ms(1), host(1000 + number), OTHER, Evidence::Request).is_empty());
    }
    assert_eq!(table.iter(ms(1)).count(), LIMIT + 1);
    assert!(table.unused.len() <= 2 * LIMIT + SLACK);
    assert_eq!(table.poll_timeout(), Some(ms(1000)));
    assert_eq!(send(&mut table, ms(2), PEER), Some(MAC));
    assert_eq!(send(&mut table, ms(2), permanent), Some(MAC));
    assert_eq!(firsts(&table.learn(ms(2), waiting, MAC, ANSWER)), [5]);
    // The strangers made room for each other, and now make room for whom we need.
    assert!(solicits(&table.resolve(ms(3), host(10), frame(1))));
    assert_eq!(table.iter(ms(3)).count(), LIMIT + 1);
    assert_eq!(table.dropped(), 0);
}

#[test]
fn a_stranger_displaces_nobody_we_use() {
    let mut table = NeighbourTable::with_limit(2);
    for number in 1..=2 {
        assert!(solicits(&table.resolve(ms(0), host(number), frame(0))));
        assert_eq!(table.learn(ms(0), host(number), MAC, ANSWER).len(), 1);
    }
    assert!(table.learn(ms(90_000), PEER, OTHER, Evidence::Request).is_empty());
    assert_eq!(state(&table, ms(90_000), PEER), None);
    assert_eq!(send(&mut table, ms(90_000), host(1)), Some(MAC));
    assert_eq!(send(&mut table, ms(90_000), host(2)), Some(MAC));
}

#[test]
fn a_table_full_of_those_we_answer_has_room_for_one_to_be_resolved() {
    let mut table = NeighbourTable::with_limit(8);
    for number in 0..8 {
        assert!(table.learn(ms(0), host(number), OTHER, Evidence::Request).is_empty());
        assert_eq!(send(&mut table, ms(number.into()), host(number)), Some(OTHER));
    }
    assert!(solicits(&table.resolve(ms(10), PEER, frame(5))));
    // One of another who is to be resolved, too, takes the place of somebody else.
    assert!(solicits(&table.resolve(ms(11), host(100), frame(6))));
    assert_eq!((state(&table, ms(11), host(0)), state(&table, ms(11), host(1))), (None, None));
    assert_eq!(firsts(&table.learn(ms(12), PEER, MAC, ANSWER)), [5]);
    // Two of eight are a quarter: with them the unresolved displace each other.
    for number in 101..200 {
        assert!(solicits(&table.resolve(ms(13), host(number), frame(7))));
    }
    let unresolved = table.iter(ms(13)).filter(|one| one.state == State::Incomplete).count();
    assert_eq!((unresolved, send(&mut table, ms(13), PEER)), (2, Some(MAC)));
}

#[test]
fn the_least_useful_goes_first() {
    let mut table = NeighbourTable::with_limit(4);
    assert!(table.add_static(host(100), MAC).is_empty());
    let meet = |table: &mut NeighbourTable, now, number| {
        assert!(solicits(&table.resolve(now, host(number), frame(0))));
        assert_eq!(table.learn(now, host(number), MAC, ANSWER).len(), 1);
    };
    meet(&mut table, ms(0), 1);
    meet(&mut table, ms(10), 2);
    meet(&mut table, ms(40_000), 3);
    assert!(table.learn(ms(40_000), host(4), MAC, Evidence::Request).is_empty());
    let present = |table: &NeighbourTable, now| {
        let mut known: Vec<u32> = (1..=100).filter(|n| state(table, now, host(*n)).is_some()).collect();
        known.sort_unstable();
        known
    };
    assert_eq!(present(&table, ms(40_000)), [1, 2, 3, 4, 100]);
    // Never used; then stale ones, least recently used first; then the oldest unresolved one.
    assert!(solicits(&table.resolve(ms(40_001), host(5), frame(0))));
    assert_eq!(present(&table, ms(40_001)), [1, 2, 3, 5, 100]);
    assert!(solicits(&table.resolve(ms(40_002), host(6), frame(0))));
    assert_eq!(present(&table, ms(40_002)), [2, 3, 5, 6, 100]);
    assert!(solicits(&table.resolve(ms(40_003), host(7), frame(0))));
    assert_eq!(present(&table, ms(40_003)), [3, 5, 6, 7, 100]);
    assert_eq!(table.dropped(), 0);
    assert!(solicits(&table.resolve(ms(40_004), host(8), frame(0))));
    assert_eq!(present(&table, ms(40_004)), [3, 6, 7, 8, 100]);
    assert_eq!(table.dropped(), 1, "the frame that waited for the displaced one");
    assert_eq!(table.poll_timeout(), Some(ms(41_002)), "its timer went with it");
}

#[test]
fn permanent_ones_are_changed_by_the_user_only() {
    let mut table = NeighbourTable::new();
    assert!(solicits(&table.resolve(ms(0), PEER, frame(1))));
    assert_eq!(firsts(&table.add_static(PEER, MAC)), [1]);
    assert_eq!(table.poll_timeout(), None);
    assert!(table.learn(ms(1), PEER, OTHER, ANSWER).is_empty());
    table.confirm(ms(1), PEER);
    assert_eq!(send(&mut table, ms(900_000), PEER), Some(MAC));
    assert_eq!(state(&table, ms(900_000), PEER), Some(State::Permanent));
    assert_eq!(table.poll_timeout(), None);
    assert!(table.add_static(PEER, OTHER).is_empty());
    assert_eq!(send(&mut table, ms(900_000), PEER), Some(OTHER));
    assert!(table.remove(PEER) && !table.remove(PEER));
    assert!(solicits(&table.resolve(ms(900_001), PEER, frame(1))));
}

#[test]
fn remove_drops_what_waits() {
    let mut table = NeighbourTable::new();
    assert!(solicits(&table.resolve(ms(0), PEER, frame(1))));
    assert!(table.remove(PEER));
    assert_eq!((table.dropped(), table.poll_timeout()), (1, None));
}

#[test]
fn flapping_does_not_grow_the_timers() {
    let mut table = reachable(ms(0));
    // An earlier deadline stays on top and keeps the skipped ones beneath it.
    assert!(solicits(&table.resolve(ms(0), host(1), frame(0))));
    for round in 0..100_000u64 {
        let mac = if round % 2 == 0 { OTHER } else { MAC };
        assert!(table.learn(ms(1), PEER, mac, GRATUITOUS).is_empty());
        assert_eq!(send(&mut table, Instant::from_nanos(2_000_000 + round), PEER), Some(mac));
    }
    assert!(table.timers.len() <= 2 * 2 + SLACK);
    assert_eq!(table.poll_timeout(), Some(ms(1000)));
    assert!(table.remove(host(1)));
    assert_eq!(table.poll_timeout(), Some(Instant::from_nanos(5_002_000_000 + 99_999)));
}

#[test]
fn a_sender_that_we_answered_is_no_stranger_any_more() {
    let mut table = NeighbourTable::with_limit(2);
    assert!(table.learn(ms(0), host(1), MAC, Evidence::Request).is_empty());
    assert!(table.learn(ms(0), host(2), MAC, Evidence::Request).is_empty());
    assert_eq!(send(&mut table, ms(1), host(1)), Some(MAC));
    for number in 3..10 {
        assert!(table.learn(ms(2), host(number), OTHER, Evidence::Request).is_empty());
    }
    assert_eq!(state(&table, ms(2), host(1)), Some(State::Delay));
    assert_eq!(state(&table, ms(2), host(9)), Some(State::Stale));
}

#[test]
fn both_families_share_the_table() {
    let six: IpAddr = "fe80::9".parse().unwrap();
    let mut table = reachable(ms(0));
    assert!(solicits(&table.resolve(ms(0), six, frame(6))));
    assert_eq!(firsts(&table.learn(ms(1), six, OTHER, ANSWER)), [6]);
    assert_eq!(send(&mut table, ms(1), six), Some(OTHER));
    assert_eq!(send(&mut table, ms(1), PEER), Some(MAC));
}
