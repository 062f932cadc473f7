//! The switch as its ports see it.

use super::*;
use crate::link::{Checksum, SegmentKind, Segmentation};

const BROADCAST: Mac = [0xff; 6];

fn mac(last: u8) -> Mac {
    [2, 0, 0, 0, 0, last]
}

fn frame(to: Mac, from: Mac, payload: &[u8]) -> Frame {
    Frame::from_slice(&[&to, &from, &[0x88, 0xb5][..], payload].concat())
}

/// A switch with `N` ports whose stations, numbered from 0, it has learnt already.
fn learnt<const N: usize>() -> [SwitchPort; N] {
    let switch = Switch::new("lan");
    let mut ports = std::array::from_fn(|_| switch.port().expect("a port"));
    for (number, port) in (0..).zip(&mut ports) {
        port.transmit(frame(BROADCAST, mac(number), b"hello")).expect("sent");
    }
    for port in &mut ports {
        assert_eq!(drain(port), N - 1, "flooded to all others");
    }
    ports
}

fn drain(port: &mut SwitchPort) -> usize {
    std::iter::from_fn(|| port.receive().expect("never fails")).count()
}

#[test]
fn a_known_station_gets_its_frames_alone() {
    let [mut a, mut b, mut c] = learnt();
    assert_eq!(b.pending(), Some(false));
    a.transmit(frame(mac(1), mac(0), b"to b")).expect("sent");
    assert_eq!(b.pending(), Some(true));
    let got = b.receive().expect("never fails").expect("a frame");
    assert_eq!(&got.bytes()[14..], b"to b");
    assert_eq!((drain(&mut a), drain(&mut c)), (0, 0));
}

#[test]
fn strangers_and_groups_are_flooded_to_all_others() {
    let [mut a, mut b, mut c] = learnt();
    for to in [mac(77), BROADCAST, [1, 0, 0x5e, 0, 0, 1]] {
        a.transmit(frame(to, mac(0), b"all")).expect("sent");
        assert_eq!((drain(&mut a), drain(&mut b), drain(&mut c)), (0, 1, 1));
    }
}

#[test]
fn nothing_returns_to_the_port_it_came_from() {
    let [mut a, mut b] = learnt();
    a.transmit(frame(mac(0), mac(9), b"two behind one port")).expect("sent");
    a.transmit(frame(mac(9), mac(0), b"and back")).expect("sent");
    assert_eq!((drain(&mut a), drain(&mut b)), (0, 0));
}

#[test]
fn a_station_that_moves_is_found_again() {
    let [mut a, mut b, mut c] = learnt();
    c.transmit(frame(BROADCAST, mac(1), b"moved")).expect("sent");
    drain(&mut b);
    a.transmit(frame(mac(1), mac(0), b"where?")).expect("sent");
    assert_eq!((drain(&mut b), drain(&mut c)), (0, 1));
}

#[test]
fn an_unplugged_port_is_forgotten() {
    let [mut a, b, mut c] = learnt();
    let switch = Arc::clone(a.switch());
    assert_eq!(switch.ports(), 3);
    drop(b);
    assert_eq!(switch.ports(), 2);
    a.transmit(frame(mac(1), mac(0), b"anybody?")).expect("sent");
    assert_eq!(drain(&mut c), 1, "a stranger again");
    let mut next = switch.port().expect("a port");
    a.transmit(frame(mac(1), mac(0), b"anybody?")).expect("sent");
    assert_eq!(drain(&mut next), 1, "its number is used again, without its stations");
}

#[test]
fn super_frames_and_partial_checksums_pass_as_they_are() {
    let [mut a, mut b, mut c] = learnt();
    let checksum = Checksum::Partial { start: 34, offset: 16 };
    let segmentation = Some(Segmentation { kind: SegmentKind::Tcp4, size: 1460, header_len: 54 });
    for to in [mac(1), BROADCAST] {
        let mut sent = frame(to, mac(0), &[7; 60_000]);
        (sent.checksum, sent.segmentation) = (checksum, segmentation);
        a.transmit(sent).expect("sent");
        let got = b.receive().expect("never fails").expect("a frame");
        assert_eq!((got.len(), got.checksum, got.segmentation), (60_014, checksum, segmentation));
    }
    assert_eq!(drain(&mut c), 1);
}

#[test]
fn what_has_no_ethernet_header_is_counted_and_dropped() {
    let [mut a, mut b] = learnt();
    a.transmit(Frame::from_slice(&[0xff; 13])).expect("dropped");
    assert_eq!((drain(&mut b), a.switch().malformed()), (0, 1));
}

#[test]
fn a_full_port_does_not_hold_up_the_others() {
    let [mut a, b, mut c] = learnt();
    for _ in 0..inlet::MAX_FRAMES + 10 {
        a.transmit(frame(BROADCAST, mac(0), b"flood")).expect("sent");
        assert_eq!(drain(&mut c), 1);
    }
    assert_eq!((b.dropped(), c.dropped()), (10, 0));
}

#[test]
fn ports_of_one_switch_work_from_many_threads() {
    let mut ports: [SwitchPort; 4] = learnt();
    std::thread::scope(|scope| {
        for (number, port) in (0_u8..).zip(&mut ports) {
            scope.spawn(move || {
                for round in 0..2000_u16 {
                    let to = mac((number + 1) % 4);
                    port.transmit(frame(to, mac(number), &round.to_be_bytes())).expect("sent");
                    drain(port);
                }
            });
        }
    });
    for port in &mut ports {
        drain(port);
        assert_eq!(port.switch().malformed(), 0);
        assert_eq!(port.switch().ports(), 4);
    }
}
