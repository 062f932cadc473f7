//! Super-frames and unfinished checksums between links that take them and links that do not.

use std::num::NonZeroU16;
use std::time::Duration;

use ioth_stack::{MtuDiscovery, Options};

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

/// Sends 20 datagrams of 1400 bytes by one call to host b and gives what it receives, and how many frames of UDP there were
/// in each of the four networks.
fn datagrams(
    offload: [bool; 4],
    mtu: [u16; 4],
    change: fn(&mut Options),
    far: &str,
) -> (Vec<usize>, [usize; 4]) {
    let Chain { mut wire, a, b, .. } =
        Chain::with(|segment| Port { offload: offload[segment], mtu: mtu[segment], ..Port::default() });
    let own = if far.starts_with('[') { "[fd00::1]:1000" } else { "10.0.0.1:1000" };
    let (x, y) = (wire.datagram(a, own), wire.datagram(b, far));
    let mut options = Options { datagram_size: NonZeroU16::new(1400), ..Options::default() };
    change(&mut options);
    wire[a].set_options(x, options).unwrap();
    let (now, data) = (wire.now(), [7; 28_000]);
    assert_eq!(wire[a].send_to(now, x, &data, Some(far.parse().unwrap())), Ok(data.len()));
    wire.run(Duration::from_secs(1));
    let received = std::iter::from_fn(|| wire.try_received(b, y)).map(|datagram| datagram.len()).collect();
    let udp = |bytes: &[u8]| bytes[12..14] != [8, 6] && (bytes[23] == 17 || bytes[20] == 17);
    let count =
        |segment| wire.record.iter().filter(|sent| sent.segment == segment && udp(&sent.bytes)).count();
    (received, [0, 1, 2, 3].map(count))
}

#[test]
fn datagrams_stay_together_as_far_as_links_take_them() {
    for far in ["10.3.0.1:80", "[fd00:3::1]:80"] {
        let (received, frames) = datagrams([true; 4], [1500; 4], |_| {}, far);
        assert_eq!((received, frames), (vec![1400; 20], [1; 4]));
        let (received, frames) = datagrams([true, true, false, true], [1500; 4], |_| {}, far);
        assert_eq!((received, frames), (vec![1400; 20], [1, 1, 20, 20]));
    }
}

#[test]
fn datagrams_count_against_the_mtu_one_by_one() {
    let (received, frames) = datagrams([true; 4], [1500, 1500, 1300, 1500], |_| {}, "10.3.0.1:80");
    // The second router refuses the whole.
    assert_eq!((received, frames), (vec![], [1, 1, 0, 0]));
    // What may be cut is.
    let never = |options: &mut Options| options.ip.discovery = MtuDiscovery::Never;
    let (received, frames) = datagrams([true; 4], [1500, 1500, 1300, 1500], never, "10.3.0.1:80");
    assert_eq!((received, frames), (vec![1400; 20], [1, 1, 40, 40]));
}
