//! Datagrams of UDP in super-frames: what one call sends is one frame where links take it, and what sockets receive does
//! not depend on it unless they ask (`UDP_SEGMENT` and `UDP_GRO` of udp(7)).

use std::net::SocketAddr;
use std::num::NonZeroU16;

use ioth_stack::link::{Checksum, Frame, SegmentKind, Segmentation};
use ioth_stack::{EndpointId, Error, Family, Kind, MtuDiscovery, Options, Via};

use crate::feed::checksum;
use crate::wire::{Host, Port, Wire, frames};

const SIZE: u16 = 1000;
const SUPER: Port = Port { segment: 0, mtu: 1500, offload: true };

/// Both ends of a flow in each family.
const ENDS: [[&str; 2]; 2] = [["10.0.0.1:1000", "10.0.0.2:2000"], ["[fd00::1]:1000", "[fd00::2]:2000"]];

/// Data that counts up.
fn data(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// An endpoint that sends in pieces of so many bytes.
fn sender(wire: &mut Wire, host: Host, address: &str, size: u16) -> EndpointId {
    let id = wire.datagram(host, address);
    change(wire, host, id, |options| options.datagram_size = NonZeroU16::new(size));
    id
}

/// An endpoint that receives what arrived in one frame as one.
fn receiver(wire: &mut Wire, host: Host, address: &str, whole: bool) -> EndpointId {
    let id = wire.datagram(host, address);
    change(wire, host, id, |options| options.whole_super_frames = whole);
    id
}

fn change(wire: &mut Wire, host: Host, id: EndpointId, change: impl FnOnce(&mut Options)) {
    let mut options = wire[host].options(id).unwrap();
    change(&mut options);
    wire[host].set_options(id, options).unwrap();
}

fn send(wire: &mut Wire, host: Host, id: EndpointId, data: &[u8], to: &str) -> Result<usize, Error> {
    let now = wire.now();
    let sent = wire[host].send_to(now, id, data, Some(to.parse().unwrap()));
    wire.settle();
    sent
}

/// Everything that waits: lengths, and the sizes beside them.
fn received(wire: &mut Wire, host: Host, id: EndpointId) -> (Vec<(usize, Option<u16>)>, Vec<u8>) {
    let (mut lengths, mut all, mut room) = (Vec::new(), Vec::new(), vec![0; 65_536]);
    while let Ok(received) = wire[host].recv_from(id, &mut room, false) {
        let size = received.arrival.and_then(|arrival| arrival.size).map(NonZeroU16::get);
        lengths.push((received.len, size));
        all.extend_from_slice(&room[..received.copied]);
    }
    (lengths, all)
}

fn one_by_one() -> Vec<(usize, Option<u16>)> {
    [[(1000, None); 5].as_slice(), &[(500, None)]].concat()
}

/// Frames of UDP that a host sent.
fn frames_of(wire: &Wire, host: Host) -> usize {
    wire.sent_by(host).filter(|sent| sent.bytes[23] == 17 || sent.bytes[20] == 17).count()
}

#[test]
fn one_frame_where_the_links_take_it() {
    for [own, peer] in ENDS {
        for whole in [false, true] {
            let (mut wire, a, b) = Wire::pair_on(SUPER, SUPER);
            let (x, y) = (sender(&mut wire, a, own, SIZE), receiver(&mut wire, b, peer, whole));
            assert_eq!(send(&mut wire, a, x, &data(5500), peer), Ok(5500));
            assert_eq!(frames_of(&wire, a), 1);
            let expected = if whole { vec![(5500, Some(SIZE))] } else { one_by_one() };
            // As Linux counts: what is received, and what is sent by one call.
            assert_eq!((wire[a].counters().udp_out, wire[b].counters().udp_in), (1, expected.len() as u64));
            assert_eq!(received(&mut wire, b, y), (expected, data(5500)));
        }
    }
}

#[test]
fn a_frame_each_where_a_link_does_not() {
    for [own, peer] in ENDS {
        for (near, far, frames) in [(Port::default(), SUPER, 6), (SUPER, Port::default(), 1)] {
            let (mut wire, a, b) = Wire::pair_on(near, far);
            let (x, y) = (sender(&mut wire, a, own, SIZE), receiver(&mut wire, b, peer, true));
            assert_eq!(send(&mut wire, a, x, &data(5500), peer), Ok(5500));
            assert_eq!(frames_of(&wire, a), frames);
            assert_eq!(received(&mut wire, b, y), (one_by_one(), data(5500)));
            assert_eq!(wire[a].counters().udp_out, 1);
        }
    }
}

#[test]
fn what_fits_one_datagram_is_one() {
    let (mut wire, a, b) = Wire::pair_on(SUPER, SUPER);
    let [own, peer] = ENDS[0];
    let (x, y) = (sender(&mut wire, a, own, SIZE), receiver(&mut wire, b, peer, true));
    for len in [0, 1, 1000] {
        assert_eq!(send(&mut wire, a, x, &data(len), peer), Ok(len));
        assert_eq!(received(&mut wire, b, y).0, [(len, None)]);
    }
}

/// The largest, and what is too much, as on Linux.
#[test]
fn as_much_as_a_packet_says() {
    for ([own, peer], most) in ENDS.into_iter().zip([65_507, 65_527]) {
        let (mut wire, a, b) = Wire::pair_on(SUPER, SUPER);
        let (x, y) = (sender(&mut wire, a, own, 1400), receiver(&mut wire, b, peer, true));
        assert_eq!(send(&mut wire, a, x, &data(most), peer), Ok(most));
        let (lengths, all) = received(&mut wire, b, y);
        assert_eq!(all, data(most));
        // One that no super-frame holds goes datagram by datagram.
        assert!(lengths == [(most, Some(1400))] || lengths.len() == most.div_ceil(1400));
        assert_eq!(send(&mut wire, a, x, &data(most + 1), peer), Err(Error::MessageTooLong));
        change(&mut wire, a, x, |options| options.datagram_size = NonZeroU16::new(10));
        assert_eq!(send(&mut wire, a, x, &data(1280), peer), Ok(1280));
        assert_eq!(send(&mut wire, a, x, &data(1281), peer), Err(Error::Invalid));
        change(&mut wire, a, x, |options| options.datagram_size = NonZeroU16::new(1473));
        assert_eq!(send(&mut wire, a, x, &data(2000), peer), Err(Error::MessageTooLong));
    }
}

#[test]
fn who_is_not_meant_gets_nothing_and_who_shares_gets_all() {
    let (mut wire, a, b) = Wire::pair_on(SUPER, SUPER);
    let x = sender(&mut wire, a, "10.0.0.1:1000", SIZE);
    let bind = |wire: &mut Wire, whole| {
        let id = wire[b].open(Kind::Datagram, Family::V4);
        let options = Options { reuse_address: true, whole_super_frames: whole, ..Options::default() };
        wire[b].set_options(id, options).unwrap();
        wire[b].bind(id, "0.0.0.0:2000".parse().unwrap()).unwrap();
        id
    };
    let (cut, whole, stranger) = (bind(&mut wire, false), bind(&mut wire, true), bind(&mut wire, true));
    let now = wire.now();
    wire[b].connect(now, stranger, "10.0.0.9:1000".parse().unwrap()).unwrap();
    change(&mut wire, a, x, |options| options.broadcast = true);
    assert_eq!(send(&mut wire, a, x, &data(5500), "10.0.0.255:2000"), Ok(5500));
    assert_eq!(received(&mut wire, b, cut), (one_by_one(), data(5500)));
    assert_eq!(received(&mut wire, b, whole), (vec![(5500, Some(SIZE))], data(5500)));
    assert_eq!(received(&mut wire, b, stranger).0, []);
}

#[test]
fn members_of_a_group_here_and_there() {
    for (group, own, any) in [("239.1.2.3", "10.0.0.1:0", "0.0.0.0"), ("ff15::123", "[fd00::1]:0", "::")] {
        for offload in [false, true] {
            let port = Port { offload, ..Port::default() };
            let (mut wire, a, b) = Wire::pair_on(port, port);
            let x = sender(&mut wire, a, own, SIZE);
            let members = [a, b].map(|host| {
                let address = SocketAddr::new(any.parse().unwrap(), 2000);
                let id = receiver(&mut wire, host, &address.to_string(), true);
                let now = wire.now();
                wire[host].join_group(now, id, group.parse().unwrap(), Via::Routes).unwrap();
                (host, id)
            });
            let to = SocketAddr::new(group.parse().unwrap(), 2000).to_string();
            assert_eq!(send(&mut wire, a, x, &data(5500), &to), Ok(5500));
            for (host, id) in members {
                let whole = offload || host == a;
                let expected = if whole { vec![(5500, Some(SIZE))] } else { one_by_one() };
                assert_eq!(received(&mut wire, host, id), (expected, data(5500)));
            }
        }
    }
}

#[test]
fn inside_the_stack() {
    for address in ["127.0.0.1:2000", "[::1]:2000", "10.0.0.1:2000", "[fd00::1]:2000"] {
        for whole in [false, true] {
            let (mut wire, a, _) = Wire::pair();
            let y = receiver(&mut wire, a, address, whole);
            let (own, _) = address.rsplit_once(':').unwrap();
            let x = sender(&mut wire, a, &format!("{own}:1000"), SIZE);
            assert_eq!(send(&mut wire, a, x, &data(5500), address), Ok(5500));
            let expected = if whole { vec![(5500, Some(SIZE))] } else { one_by_one() };
            assert_eq!(received(&mut wire, a, y), (expected, data(5500)));
        }
    }
}

#[test]
fn each_datagram_finds_room_or_is_dropped_and_counted() {
    let (mut wire, a, b) = Wire::pair_on(SUPER, SUPER);
    let [own, peer] = ENDS[0];
    let (x, y) = (sender(&mut wire, a, own, SIZE), receiver(&mut wire, b, peer, false));
    change(&mut wire, b, y, |options| options.recv_buffer = 4096);
    assert_eq!(send(&mut wire, a, x, &data(5500), peer), Ok(5500));
    assert_eq!((wire[b].counters().udp_in, wire[b].counters().udp_overflows), (3, 3));
    assert_eq!(received(&mut wire, b, y), (vec![(1000, None); 3], data(3000)));
    // The whole is one, there or not.
    change(&mut wire, b, y, |options| options.whole_super_frames = true);
    assert_eq!(send(&mut wire, a, x, &data(5500), peer), Ok(5500));
    assert_eq!((wire[b].counters().udp_in, wire[b].counters().udp_overflows), (3, 4));
    assert_eq!(send(&mut wire, a, x, &data(2500), peer), Ok(2500));
    assert_eq!(received(&mut wire, b, y), (vec![(2500, Some(SIZE))], data(2500)));
}

#[test]
fn nobody_there() {
    let (mut wire, a, _) = Wire::pair_on(SUPER, SUPER);
    let [own, peer] = ENDS[0];
    let x = sender(&mut wire, a, own, SIZE);
    let now = wire.now();
    wire[a].connect(now, x, peer.parse().unwrap()).unwrap();
    assert_eq!(wire.send(a, x, &data(5500)), Ok(5500));
    wire.settle();
    assert_eq!(wire.send(a, x, b"x"), Err(Error::ConnectionRefused));
}

/// RFC 6864 section 4.2: what may be cut on its way has a number that does not come again soon.
#[test]
fn datagrams_that_may_be_cut_have_numbers() {
    let (mut wire, a, b) = Wire::pair();
    let [own, peer] = ENDS[0];
    let x = sender(&mut wire, a, own, SIZE);
    let _ = receiver(&mut wire, b, peer, false);
    change(&mut wire, a, x, |options| options.ip.discovery = MtuDiscovery::Never);
    for _ in 0..2 {
        assert_eq!(send(&mut wire, a, x, &data(5500), peer), Ok(5500));
    }
    let number = |bytes: &[u8]| u16::from_be_bytes([bytes[18], bytes[19]]);
    let udp = wire.sent_by(a).filter(|sent| sent.bytes[12..14] == [8, 0]);
    let numbers: Vec<u16> = udp.map(|sent| number(&sent.bytes)).collect();
    assert_eq!(numbers.len(), 12);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{numbers:?}");
}

/// A super-frame from the stranger 10.0.0.2 to port 1000 of host a, in pieces of 1000 bytes.
fn thrown(wire: &Wire, to: Host) -> Frame {
    let mut udp = vec![0x07, 0xd0, 0x03, 0xe8, 0, 0, 0x12, 0x34];
    udp.extend(data(5500));
    udp[4..6].copy_from_slice(&5508u16.to_be_bytes());
    let bytes = frames::ipv4(wire.mac(to), [10, 0, 0, 2].into(), [10, 0, 0, 1].into(), 17, &udp);
    let mut frame = Frame::from_slice(&bytes);
    frame.checksum = Checksum::Partial { start: 34, offset: 6 };
    frame.segmentation = Some(Segmentation { kind: SegmentKind::Udp, size: SIZE, header_len: 42 });
    frame
}

/// What no honest link says of a frame: none of it arrives, and all of it is counted.
#[test]
fn what_contradicts_itself_is_dropped_and_counted() {
    let (mut wire, a, _) = Wire::pair_on(SUPER, SUPER);
    let y = receiver(&mut wire, a, "10.0.0.1:1000", false);
    let good = thrown(&wire, a);
    wire.inject(a, good);
    assert_eq!(received(&mut wire, a, y), (one_by_one(), data(5500)));
    let changes: [fn(&mut Frame); 6] = [
        |frame| frame.segmentation.as_mut().unwrap().size = 0,
        // More datagrams than anybody sends.
        |frame| frame.segmentation.as_mut().unwrap().size = 42,
        |frame| frame.segmentation.as_mut().unwrap().kind = SegmentKind::Tcp4,
        |frame| frame.segmentation.as_mut().unwrap().kind = SegmentKind::Tcp6,
        // Longer than the frame, and shorter than its header.
        |frame| frame.bytes_mut()[38..40].copy_from_slice(&5509u16.to_be_bytes()),
        |frame| frame.bytes_mut()[38..40].copy_from_slice(&7u16.to_be_bytes()),
    ];
    for (errors, change) in (1..).zip(changes) {
        let mut frame = thrown(&wire, a);
        change(&mut frame);
        wire.inject(a, frame);
        assert_eq!(received(&mut wire, a, y).0, []);
        assert_eq!(wire[a].counters().udp_errors, errors);
    }
    // Nobody vouches for this one.
    let mut frame = thrown(&wire, a);
    frame.checksum = Checksum::Unverified;
    frame.bytes_mut()[50] ^= 1;
    wire.inject(a, frame);
    assert_eq!(received(&mut wire, a, y).0, []);
    assert_eq!(wire[a].counters().udp_bad_checksum, 1);
    // What its header does not count is not data.
    let mut frame = thrown(&wire, a);
    frame.bytes_mut()[38..40].copy_from_slice(&1508u16.to_be_bytes());
    wire.inject(a, frame);
    assert_eq!(received(&mut wire, a, y), (vec![(1000, None), (500, None)], data(1500)));
}

/// A super-frame waits for its next hop as one.
#[test]
fn before_the_neighbour_is_known() {
    let (mut wire, a, b) = Wire::pair_on(SUPER, SUPER);
    let [own, peer] = ENDS[0];
    let (x, y) = (sender(&mut wire, a, own, 1400), receiver(&mut wire, b, peer, true));
    let now = wire.now();
    for _ in 0..2 {
        assert_eq!(wire[a].send_to(now, x, &data(60_000), Some(peer.parse().unwrap())), Ok(60_000));
    }
    wire.settle();
    assert_eq!(received(&mut wire, b, y).0, [(60_000, Some(1400)); 2]);
}

/// A link with offload completes the checksums of single datagrams, too.
#[test]
fn what_a_wire_carries_is_summed() {
    for [own, peer] in ENDS {
        let (mut wire, a, b) = Wire::pair_on(SUPER, Port::default());
        let (x, y) = (sender(&mut wire, a, own, 0), receiver(&mut wire, b, peer, false));
        assert_eq!(send(&mut wire, a, x, &data(700), peer), Ok(700));
        assert_eq!(received(&mut wire, b, y), (vec![(700, None)], data(700)));
        let sent = wire.sent_by(a).last().unwrap().bytes.clone();
        let transport = sent.len() - 708;
        // What left the engine has the sum of the addresses only.
        let pseudo = u16::from_be_bytes([sent[transport + 6], sent[transport + 7]]);
        let addresses = if transport == 34 { &sent[26..34] } else { &sent[22..54] };
        let expected = checksum::fold(u32::from(checksum::sum(addresses)) + 17 + 708);
        assert_eq!(pseudo, expected);
    }
}
