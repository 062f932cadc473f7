//! What a stack sends to itself stays inside (RFC 1122 section 3.2.1.3 (g)).

use std::time::Duration;

use crate::wire::Wire;

#[test]
fn own_addresses_stay_inside() {
    let (mut wire, a, _) = Wire::pair();
    for address in ["127.0.0.1:80", "127.9.9.9:81", "10.0.0.1:82", "[::1]:83", "[fd00::1]:84"] {
        let (one, other) = wire.connected(a, a, address);
        assert!(wire.echoes([(a, one), (a, other)]), "{address}");
        wire.close(a, one);
        wire.close(a, other);
    }
    wire.run(Duration::from_secs(100));
    assert!(wire.record.is_empty(), "{}", wire.show());
}

#[test]
fn megabytes_pass_and_every_call_ends() {
    let (mut wire, a, _) = Wire::pair();
    for address in ["127.0.0.1:80", "[::1]:80"] {
        let (one, other) = wire.connected(a, a, address);
        crate::tcp_bulk::both_ways(&mut wire, [(a, one), (a, other)], 4 << 20, Duration::from_secs(10));
        wire.close(a, one);
        wire.close(a, other);
    }
    assert!(wire.record.is_empty());
}

#[test]
fn nobody_outside_speaks_for_the_loopback_rfc_1122_3_2_1_3() {
    let (mut wire, _, b) = Wire::pair();
    let _listener = wire.listen(b, "0.0.0.0:80", 1);
    let mac = wire.mac(b);
    let ping = [8, 0, 0, 0, 0, 0, 0, 0];
    for (source, destination) in
        [("127.0.0.1", "10.0.0.2"), ("10.0.0.1", "127.0.0.1"), ("10.0.0.2", "10.0.0.2")]
    {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        wire.inject_bytes(b, &crate::wire::frames::ipv4(mac, source, destination, 1, &ping));
        // "Land": a SYN from the host to itself.
        let syn = crate::wire::frames::Tcp { flags: 2, ..Default::default() };
        wire.inject_bytes(b, &syn.in_frame(mac, (source, 80), (destination, 80)));
    }
    wire.settle();
    assert!(wire.record.is_empty());
    assert_eq!(wire[b].counters().not_for_us, 6);
}
