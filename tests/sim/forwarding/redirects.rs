//! Redirects (RFC 792, RFC 1122 section 3.2.2.2, RFC 1812 section 5.2.7.2, RFC 4861 section 8): one network with two routers,
//! and what is behind the second.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ioth_stack::{EndpointId, Kind};

use super::chain::errors;
use crate::wire::{Host, Port, Wire, frames};

/// Host a knows router r only, router r knows that router s leads to host b.
struct Scene {
    wire: Wire,
    a: Host,
    r: Host,
    s: Host,
    b: Host,
    id: EndpointId,
    far: SocketAddr,
}

impl Scene {
    fn new(v6: bool) -> Self {
        let behind = Port { segment: 1, ..Port::default() };
        let mut wire = Wire::new();
        let a = wire.host(1, Port::default(), &["10.0.0.1/24", "fd00::1/64"]);
        let r = wire.host(2, Port::default(), &["10.0.0.2/24", "fd00::2/64"]);
        let s = wire.host(3, Port::default(), &["10.0.0.3/24", "fd00::3/64"]);
        wire.attach(s, behind, &["10.1.0.254/24", "fd00:1::254/64"]);
        let b = wire.host(4, behind, &["10.1.0.1/24", "fd00:1::1/64"]);
        let (to_r, to_s) = (link_local(&wire, r).to_string(), link_local(&wire, s).to_string());
        for (host, to, via) in [
            (a, "0.0.0.0/0", "10.0.0.2"),
            (a, "::/0", &to_r),
            (r, "10.1.0.0/24", "10.0.0.3"),
            (r, "fd00:1::/64", &to_s),
            (b, "0.0.0.0/0", "10.1.0.254"),
            (b, "::/0", "fd00:1::254"),
        ] {
            wire[host].add_route(to.parse().unwrap(), Some(via.parse().unwrap()), None, 0).unwrap();
        }
        for router in [r, s] {
            wire[router].set_forwarding(true);
        }
        let (own, far) = if v6 { ("[fd00::1]:9", "[fd00:1::1]:9") } else { ("10.0.0.1:9", "10.1.0.1:9") };
        let id = wire.datagram(a, own);
        Self { wire, a, r, s, b, id, far: far.parse().unwrap() }
    }

    /// Who gets the next datagram of host a.
    fn first_hop(&mut self) -> Vec<u8> {
        self.wire.record.clear();
        let (now, far) = (self.wire.now(), self.far);
        let _ = self.wire[self.a].send_to(now, self.id, b"data", Some(far)).unwrap();
        self.wire.settle();
        let mut sent = self.wire.sent_by(self.a).filter(|sent| sent.bytes.ends_with(b"data"));
        sent.next().unwrap().bytes[..6].to_vec()
    }

    fn redirects(&self) -> u64 {
        self.wire[self.r].counters().icmp_out.redirects
    }
}

fn link_local(wire: &Wire, host: Host) -> Ipv6Addr {
    let [a, b, c, d, e, f] = wire.mac(host);
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

#[test]
fn a_host_learns_of_the_shorter_way_and_the_packet_arrives_all_the_same() {
    for v6 in [false, true] {
        let mut scene = Scene::new(v6);
        assert_eq!(scene.first_hop(), scene.wire.mac(scene.r));
        assert!(scene.wire.sent_by(scene.s).any(|sent| sent.bytes.ends_with(b"data")), "it was forwarded");
        assert_eq!(scene.redirects(), 1);
        if !v6 {
            let said = errors(&scene.wire, scene.r);
            assert_eq!((said[0].kind, said[0].code, said[0].word), (5, 1, 0x0a00_0003));
        }
        assert_eq!(scene.first_hop(), scene.wire.mac(scene.s));
        // Nobody else is led there.
        scene.far = if v6 { "[2001:db8::1]:9" } else { "192.0.2.1:9" }.parse().unwrap();
        assert_eq!(scene.first_hop(), scene.wire.mac(scene.r));
    }
}

#[test]
fn connections_change_their_way_too() {
    for v6 in [false, true] {
        let mut scene = Scene::new(v6);
        let far = scene.far.to_string().replace(":9", ":80");
        let (id, other) = scene.wire.connected(scene.a, scene.b, &far);
        scene.wire.record.clear();
        assert_eq!(scene.wire.send(scene.a, id, b"data"), Ok(4));
        assert_eq!(scene.wire.recv(scene.b, other), Ok(b"data".to_vec()));
        let sent = scene.wire.sent_by(scene.a).find(|sent| sent.bytes.ends_with(b"data")).unwrap();
        assert_eq!(sent.bytes[..6], scene.wire.mac(scene.s));
    }
}

/// RFC 4861 section 8.2: the rate is limited, by a second for each destination and sender.
#[test]
fn who_does_not_listen_is_not_told_all_the_time() {
    for v6 in [false, true] {
        let mut scene = Scene::new(v6);
        // A router does not follow redirects.
        scene.wire[scene.a].set_forwarding(true);
        for _ in 0..20 {
            assert_eq!(scene.first_hop(), scene.wire.mac(scene.r));
        }
        assert_eq!(scene.redirects(), 1);
        scene.wire.run(Duration::from_secs(2));
        let _ = scene.first_hop();
        assert_eq!(scene.redirects(), 2);
    }
}

/// RFC 1122 section 3.3.1.4: the route counts again.
#[test]
fn a_router_that_was_told_of_and_dies_is_left() {
    for v6 in [false, true] {
        let mut scene = Scene::new(v6);
        let _ = scene.first_hop();
        assert_eq!(scene.first_hop(), scene.wire.mac(scene.s));
        let (dead, alive) = (scene.wire.mac(scene.s), scene.wire.mac(scene.r));
        scene.wire.weather = Box::new(move |frame| {
            // The other router says the same of it as before, and is not heard.
            let redirect = (frame[23], frame[34]) == (1, 5) || (frame[20] == 58 && frame[54] == 137);
            let lost = frame[..6] == dead || frame[6..12] == dead || redirect;
            if lost { crate::wire::Fate::Lost } else { crate::wire::Fate::Arrives }
        });
        // REACHABLE_TIME, a delay, three probes.
        scene.wire.run(Duration::from_secs(40));
        let _ = scene.first_hop();
        scene.wire.run(Duration::from_secs(10));
        assert_eq!(scene.first_hop(), alive);
    }
}

fn forged_v4(scene: &Scene, source: [u8; 4], to: [u8; 4], port: u16) -> Vec<u8> {
    let mut quoted = vec![0x45, 0, 0, 32, 0, 0, 0x40, 0, 63, 17, 0, 0, 10, 0, 0, 1, 10, 1, 0, 1, 0];
    quoted.extend([9, 0, port as u8, 0, 12, 0, 0]);
    let message = [&[5, 1, 0, 0][..], &to, &quoted].concat();
    frames::ipv4(scene.wire.mac(scene.a), source.into(), [10, 0, 0, 1].into(), 1, &message)
}

/// RFC 1122 section 3.2.2.2: from the first hop of that destination, and to somebody on that network.
#[test]
fn who_is_not_the_first_hop_is_not_believed() {
    let routers = [[10, 0, 0, 2], [10, 0, 0, 3]];
    for (source, to, port, believed) in [
        (routers[0], routers[1], 9, true),
        (routers[1], routers[1], 9, false),
        ([10, 0, 0, 77], routers[1], 9, false),
        (routers[0], [10, 1, 0, 254], 9, false),
        (routers[0], [10, 0, 0, 255], 9, false),
        (routers[0], [10, 0, 0, 1], 9, false),
        // A port that is not the peer's.
        (routers[0], routers[1], 10, false),
    ] {
        let mut scene = Scene::new(false);
        let (now, id, far) = (scene.wire.now(), scene.id, scene.far);
        scene.wire[scene.a].connect(now, id, far).unwrap();
        let frame = forged_v4(&scene, source, to, port);
        scene.wire.inject_bytes(scene.a, &frame);
        let expected = if believed { scene.s } else { scene.r };
        assert_eq!(scene.first_hop(), scene.wire.mac(expected), "{source:?} {to:?} {port}");
    }
}

/// What Linux believes a redirect about, besides connections and datagrams: echo requests, answers to such, raw sockets.
#[test]
fn whatever_a_host_sends_may_be_redirected_rfc_1122_3_2_2_2() {
    for v6 in [false, true] {
        let (echo, own) = if v6 { (128, "[fd00::1]:0") } else { (8, "10.0.0.1:0") };
        // Its own request, and then the answer to one from afar.
        for asks in [true, false] {
            let mut scene = Scene::new(v6);
            let (from, to) = if asks { (scene.a, scene.far) } else { (scene.b, own.parse().unwrap()) };
            let id = scene.wire.open(from, Kind::Echo, to);
            let now = scene.wire.now();
            scene.wire[from].send_to(now, id, &[echo, 0, 0, 0, 0, 0, 0, 1], Some(to)).unwrap();
            scene.wire.settle();
            assert_eq!(scene.redirects(), 1);
            assert_eq!(scene.first_hop(), scene.wire.mac(scene.s), "{v6} {asks}");
        }
    }
    // A question for the time (RFC 792), which only a raw socket asks.
    let mut scene = Scene::new(false);
    let (now, far) = (scene.wire.now(), SocketAddr::new(scene.far.ip(), 0));
    let id = scene.wire.open(scene.a, Kind::Raw(1), far);
    let question = [&[13, 0, 0xf2, 0xfd, 0, 1, 0, 1][..], &[0; 12]].concat();
    scene.wire[scene.a].send_to(now, id, &question, Some(far)).unwrap();
    scene.wire.settle();
    assert_eq!(scene.first_hop(), scene.wire.mac(scene.s));
    // One about an echo request that nobody has sent.
    let mut scene = Scene::new(false);
    let mut frame = forged_v4(&scene, [10, 0, 0, 2], [10, 0, 0, 3], 9);
    frame = {
        let mut message = frame[34..].to_vec();
        message[8 + 9] = 1;
        message[8 + 20..].copy_from_slice(&[8, 0, 0, 0, 0, 77, 0, 1]);
        message[2..4].fill(0);
        frames::ipv4(scene.wire.mac(scene.a), [10, 0, 0, 2].into(), [10, 0, 0, 1].into(), 1, &message)
    };
    scene.wire.inject_bytes(scene.a, &frame);
    assert_eq!(scene.first_hop(), scene.wire.mac(scene.r));
}

/// RFC 4861 section 8.1.
#[test]
fn a_redirect_of_ipv6_is_checked() {
    let scene = Scene::new(true);
    let (r, s) = (link_local(&scene.wire, scene.r), link_local(&scene.wire, scene.s));
    let far: Ipv6Addr = "fd00:1::1".parse().unwrap();
    let global: Ipv6Addr = "fd00::3".parse().unwrap();
    let group: Ipv6Addr = "ff05::1".parse().unwrap();
    for (source, hops, target, destination, option, believed) in [
        (r, 255, s, far, &[2, 1, 2, 0, 0, 0, 3, 1][..], true),
        (r, 255, s, far, &[], true),
        (r, 64, s, far, &[], false),
        (s, 255, s, far, &[], false),
        ("fd00::2".parse().unwrap(), 255, s, far, &[], false),
        (r, 255, global, far, &[], false),
        (r, 255, s, group, &[], false),
        (r, 255, s, far, &[2, 0, 2, 0, 0, 0, 3, 1], false),
    ] {
        let mut scene = Scene::new(true);
        let message =
            [&[137, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), &destination.octets(), option].concat();
        let own = "fd00::1".parse().unwrap();
        let frame = frames::ipv6(scene.wire.mac(scene.a), source, own, 58, hops, &message);
        scene.wire.inject_bytes(scene.a, &frame);
        let expected = if believed { scene.s } else { scene.r };
        assert_eq!(scene.first_hop(), scene.wire.mac(expected), "{source} {hops} {target} {option:?}");
    }
}

/// What it says has all that RFC 4861 section 4.5 asks for, as another parser sees it.
#[test]
fn a_redirect_of_ipv6_names_and_quotes() {
    let mut scene = Scene::new(true);
    // The router knows the better first hop.
    let _ = scene.first_hop();
    scene.wire[scene.a].set_forwarding(true);
    scene.wire.run(Duration::from_secs(2));
    let _ = scene.first_hop();
    let sent = scene.wire.sent_by(scene.r).find(|sent| sent.bytes[54] == 137).unwrap();
    let bytes = &sent.bytes;
    assert_eq!((bytes[21], &bytes[22..38]), (255, &link_local(&scene.wire, scene.r).octets()[..]));
    assert_eq!(bytes[62..78], link_local(&scene.wire, scene.s).octets());
    assert_eq!(IpAddr::from(<[u8; 16]>::try_from(&bytes[78..94]).unwrap()), scene.far.ip());
    assert_eq!(bytes[94..96], [2, 1]);
    assert_eq!(bytes[96..102], scene.wire.mac(scene.s));
    assert_eq!((bytes[102], usize::from(bytes[103]) * 8), (4, bytes.len() - 102));
    // The packet, without the bytes that do not fill a word.
    assert_eq!((bytes[110] >> 4, bytes.len() - 110), (6, 48));
}
