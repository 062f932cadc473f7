//! A router and packets of any kind: it does not panic, and what it sends fits its links.

use ioth_stack::link::{Checksum, Frame, SegmentKind, Segmentation};
use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::{Engine, Instant, InterfaceSettings, Secret};
use proptest::prelude::*;

use super::chain::packet;
use crate::feed::checksum;
use crate::wire::frames::{Tcp, fragment};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Of the second interface.
const MTU: usize = 600;

/// A router between 10.0.0.0/24, fd00::/64 and, with that offload, 10.1.0.0/24, fd00:1::/64, where somebody has asked for it.
fn router(offload: bool) -> Engine {
    let mut engine = Engine::new(Secret::from_seed(1));
    for (number, mtu) in [(0, 1500), (1, MTU as u16)] {
        let mac = Mac::new([2, 0, 0, 0, 0, number + 1]);
        let settings = InterfaceSettings { name: format!("eth{number}"), mac, mtu, offload };
        let id = engine.add_interface(settings).unwrap();
        for address in [format!("10.{number}.0.2/24"), format!("fd00:{number}::2/64")] {
            engine.add_address(id, address.parse().unwrap()).unwrap();
        }
        let peer = [2, 0xaa, 0, 0, 0, number];
        let mut arp = [&[0xff; 6][..], &peer, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &peer].concat();
        arp.extend([10, number, 0, 1, 0, 0, 0, 0, 0, 0, 10, number, 0, 2]);
        engine.handle_frame(Instant::ZERO, id, Frame::from_slice(&arp));
    }
    engine.set_forwarding(true);
    engine
}

/// A good packet for the other side.
fn good(kind: u8, data: &[u8]) -> Vec<u8> {
    let v4 = ([10, 0, 0, 1].into(), [10, 1, 0, 1].into());
    let v6 = ("fd00::1".parse().unwrap(), "fd00:1::1".parse().unwrap());
    let part =
        crate::wire::frames::Part { identification: 7, offset: 800, more: data.len().is_multiple_of(2) };
    let tcp = Tcp { flags: 16, payload: data.to_vec(), ..Tcp::default() };
    match kind % 6 {
        0 => packet(MAC, v4.0, v4.1, 9, data),
        1 => packet(MAC, v6.0, v6.1, 9, data),
        2 => fragment(MAC, v4, 17, part, data),
        3 => fragment(MAC, v6, 17, part, data),
        4 => tcp.in_frame(MAC, (v4.0, 9), (v4.1, 80)),
        _ => tcp.in_frame(MAC, (v6.0, 9), (v6.1, 80)),
    }
}

/// Corrects the checksum of an IPv4 header, wherever that ends.
fn fix_header(frame: &mut [u8]) {
    let end = 14 + usize::from(frame[14] & 15) * 4;
    if frame[14] >> 4 == 4 && (34..=frame.len()).contains(&end) {
        frame[24..26].fill(0);
        let sum = !checksum::sum(&frame[14..end]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
}

/// What the link may say about a frame, true or not.
fn said(size: u16, header_len: u16, start: u16) -> impl Strategy<Value = (Checksum, Option<Segmentation>)> {
    let segmentation = move |kind| Segmentation { kind, size, header_len };
    let checksum = prop_oneof![
        Just(Checksum::Unverified),
        Just(Checksum::Verified),
        Just(Checksum::Partial { start, offset: 16 }),
        Just(Checksum::Partial { start, offset: 6 }),
    ];
    let super_frame = prop_oneof![
        Just(None),
        Just(Some(segmentation(SegmentKind::Tcp4))),
        Just(Some(segmentation(SegmentKind::Tcp6))),
        Just(Some(segmentation(SegmentKind::Udp))),
    ];
    (checksum, super_frame)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn whatever_comes_what_leaves_fits(
        offload: bool,
        kind: u8,
        data in proptest::collection::vec(any::<u8>(), 0..2000),
        changes in proptest::collection::vec((14_usize..74, any::<u8>()), 0..3),
        cut in 0_usize..3000,
        (checksum, segmentation) in
            (prop_oneof![Just(0), Just(500), Just(1460), any::<u16>()], prop_oneof![Just(54), Just(74), any::<u16>()],
             prop_oneof![Just(34), Just(54), any::<u16>()]).prop_flat_map(|(a, b, c)| said(a, b, c)),
    ) {
        let mut engine = router(offload);
        let now = Instant::from_millis(1);
        while engine.poll_transmit(now).is_some() {}
        let mut bytes = good(kind, &data);
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        fix_header(&mut bytes);
        bytes.truncate(cut.max(15));
        let mut frame = Frame::from_slice(&bytes);
        (frame.checksum, frame.segmentation) = (checksum, segmentation);
        engine.handle_frame(now, InterfaceId::new(2), frame);
        let mut count = 0;
        while let Some(sent) = engine.poll_transmit(now) {
            count += 1;
            prop_assert!(count <= 2000);
            let frame = sent.frame;
            let mtu = if sent.interface.index() == 2 { 1500 } else { MTU };
            prop_assert!(frame.segmentation.is_some() || frame.len() <= 14 + mtu, "{} bytes", frame.len());
            let plain = !matches!(frame.checksum, Checksum::Partial { .. }) && frame.segmentation.is_none();
            prop_assert!(offload || plain);
            let bytes = frame.bytes();
            if bytes[12..14] == [8, 0] {
                let end = 14 + usize::from(bytes[14] & 15) * 4;
                prop_assert_eq!(checksum::sum(&bytes[14..end]), 0xffff);
            }
        }
        engine.handle_timeout(now + std::time::Duration::from_secs(100));
    }
}
