//! How many ICMP errors are sent, RFC 4443 section 2.4 (f), RFC 1812 section 4.3.2.8: a flood from one host silences none for
//! others.

use std::time::Duration;

use crate::wire::{Host, Sent, Wire};

const SECOND: Duration = Duration::from_secs(1);

/// Three hosts.
fn scene() -> (Wire, [Host; 3]) {
    let mut wire = Wire::new();
    let hosts = [1, 2, 3].map(|n| {
        let addresses = [format!("10.0.0.{n}/24"), format!("fd00::{n}/64")];
        wire.host(n, Default::default(), &addresses.each_ref().map(String::as_str))
    });
    (wire, hosts)
}

/// Says so many datagrams to a port of nobody, and gives how many times the first host said so.
fn errors(wire: &mut Wire, first: Host, from: Host, to: &str, count: usize) -> usize {
    let socket = wire.open(from, ioth_stack::Kind::Datagram, to.parse().unwrap());
    wire.record.clear();
    for _ in 0..count {
        let now = wire.now();
        // What the network said of one is told by the next.
        while wire[from].send_to(now, socket, b"x", Some(to.parse().unwrap())).is_err() {}
        wire.settle();
    }
    let unreachable = |sent: &&Sent| match sent.bytes[12] {
        8 => sent.bytes[23] == 1 && sent.bytes[34..36] == [3, 3],
        _ => sent.bytes[20] == 58 && sent.bytes[54..56] == [1, 4],
    };
    wire.sent_by(first).filter(unreachable).count()
}

#[test]
fn a_flood_from_one_host_silences_nothing_for_others_rfc_4443_2_4_f() {
    for to in ["10.0.0.1:9", "[fd00::1]:9"] {
        let (mut wire, [a, b, c]) = scene();
        // As on Linux (icmp_ratelimit): six at once, and one each second.
        assert_eq!(errors(&mut wire, a, b, to, 500), 6, "{to}");
        assert_eq!(errors(&mut wire, a, c, to, 5), 5, "{to}");
        assert_eq!((wire[a].counters().icmp_limited_host, wire[a].counters().icmp_limited), (494, 0));
        wire.run(3 * SECOND);
        assert_eq!(errors(&mut wire, a, b, to, 20), 3, "{to}");
    }
}
