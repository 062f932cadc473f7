//! Super-frames and unfinished checksums between links that take them and links that do not.

use std::time::Duration;

use super::chain::{Chain, errors};
use crate::wire::Port;

/// Sends 400 000 bytes each way and gives the longest frame in each of the four networks.
fn longest(offload: [bool; 4], mtu: [u16; 4], far: &str) -> [usize; 4] {
    let Chain { mut wire, a, b, .. } =
        Chain::with(|segment| Port { offload: offload[segment], mtu: mtu[segment], ..Port::default() });
    let (one, other) = wire.connected(a, b, far);
    for (from, id, to, peer) in [(a, one, b, other), (b, other, a, one)] {
        let data: Vec<u8> = (0..400_000).map(|at| (at % 251) as u8).collect();
        let mut sent = 0;
        let mut received = Vec::new();
        assert!(wire.run_until(Duration::from_secs(20), |wire| {
            sent += wire.send(from, id, &data[sent..]).unwrap_or(0);
            received.extend(wire.try_recv(to, peer).unwrap_or_default());
            received.len() == data.len()
        }));
        assert!(received == data);
    }
    [0, 1, 2, 3].map(|segment| {
        let on = wire.record.iter().filter(|sent| sent.segment == segment);
        on.map(|sent| sent.bytes.len()).max().unwrap()
    })
}

#[test]
fn super_frames_stay_whole_as_far_as_links_take_them() {
    for far in ["10.3.0.1:80", "[fd00:3::1]:80"] {
        let lengths = longest([true; 4], [1500; 4], far);
        assert!(lengths.iter().all(|len| *len > 20_000), "{lengths:?}");
        let lengths = longest([true, false, true, true], [1500; 4], far);
        assert!(lengths[0] > 20_000 && lengths[1] == 1514, "{lengths:?}");
    }
}

/// The segments count against the MTU of the next link, not the super-frame.
#[test]
fn a_smaller_mtu_behind_the_router_is_found_out() {
    for far in ["10.3.0.1:80", "[fd00:3::1]:80"] {
        let lengths = longest([true; 4], [1500, 1500, 1300, 1500], far);
        assert!(lengths[2] > 20_000, "{lengths:?}");
        assert_eq!(longest([true, true, false, true], [1500, 1500, 1300, 1500], far)[2], 1314);
    }
}

/// What a router says of a super-frame quotes one of its segments.
#[test]
fn what_is_quoted_is_what_a_wire_carries() {
    let Chain { mut wire, a, b, routers } = Chain::with(|segment| Port {
        offload: true,
        mtu: if segment == 1 { 1300 } else { 1500 },
        ..Port::default()
    });
    // The SYN says nothing of the path in between.
    let (one, _) = wire.connected(a, b, "10.3.0.1:80");
    wire.record.clear();
    assert_eq!(wire.send(a, one, &[7; 100_000]), Ok(100_000));
    wire.settle();
    let said = errors(&wire, routers[0]);
    assert!(!said.is_empty());
    for error in said {
        assert_eq!((error.kind, error.code, error.word), (3, 4, 1300));
        assert_eq!(error.quoted[2..4], 1500u16.to_be_bytes());
    }
}
