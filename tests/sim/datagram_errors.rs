//! What ICMP says of datagrams, and who is told (RFC 1122 section 4.1.3.3, ip(7), udp(7)).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ioth_stack::{EndpointId, Error, ErrorReport, Family, IpOptions, Kind, MtuDiscovery, Options, Reporter};

use crate::wire::frames::{ipv4, ipv6};
use crate::wire::{Host, Wire};

/// Both families: own address, peer, a router.
const PLACES: [[&str; 3]; 2] = [
    ["10.0.0.1:1000", "10.0.0.2:2000", "10.0.0.254:0"],
    ["[fd00::1]:1000", "[fd00::2]:2000", "[fd00::254]:0"],
];

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Everything is queued, and packets on their way are not to be cut.
fn asking() -> Options {
    let ip = IpOptions { queue_errors: true, queue_errors_v6: true, ..IpOptions::default() };
    Options { ip, ..Options::default() }
}

/// A host that has sent a datagram from the first place to the second, which is gone without an answer.
fn sent(
    places: [&str; 3],
    options: Options,
    connected: bool,
    data: &[u8],
) -> (Wire, Host, EndpointId, Vec<u8>) {
    let (mut wire, a, b) = Wire::pair();
    let id = wire.datagram(a, places[0]);
    let _silent = wire.datagram(b, places[1]);
    wire[a].set_options(id, options).unwrap();
    let now = wire.now();
    if connected {
        wire[a].connect(now, id, address(places[1])).unwrap();
    }
    let _ = wire[a].send_to(now, id, data, Some(address(places[1]))).unwrap();
    wire.settle();
    let packet = wire.sent_by(a).last().unwrap().bytes[14..].to_vec();
    (wire, a, id, packet)
}

/// Somebody says something about a packet.
fn say(wire: &mut Wire, host: Host, from: &str, kind: [u8; 2], word: u32, packet: &[u8]) {
    let message = [&[kind[0], kind[1], 0, 0][..], &word.to_be_bytes(), packet].concat();
    let mac = wire.mac(host);
    let frame = match address(from).ip() {
        IpAddr::V4(from) => ipv4(mac, from, "10.0.0.1".parse().unwrap(), 1, &message),
        IpAddr::V6(from) => ipv6(mac, from, "fd00::1".parse().unwrap(), 58, 64, &message),
    };
    wire.inject_bytes(host, &frame);
}

/// Type and code of an error of each family: hard ones with their errno, then others.
const PORT: [[u8; 2]; 2] = [[3, 3], [1, 4]];
const HOST: [[u8; 2]; 2] = [[3, 1], [1, 3]];
const TIME: [[u8; 2]; 2] = [[11, 0], [3, 0]];
const FIELD: [[u8; 2]; 2] = [[12, 0], [4, 0]];

#[test]
fn only_a_peer_is_told_and_only_what_stays_udp_7() {
    for (family, places) in PLACES.into_iter().enumerate() {
        for (message, error, hard) in [
            (PORT[family], Error::ConnectionRefused, true),
            (FIELD[family], Error::Protocol, true),
            (HOST[family], Error::HostUnreachable, false),
            (TIME[family], Error::HostUnreachable, false),
        ] {
            for connected in [false, true] {
                let (mut wire, a, id, packet) = sent(places, Options::default(), connected, b"word");
                say(&mut wire, a, places[2], message, 0, &packet);
                let told = (connected && hard).then_some(error);
                assert_eq!(wire[a].take_error(id), told, "{message:?} {connected}");
                assert_eq!(wire[a].recv_error(id, &mut []), Err(Error::WouldBlock));
            }
        }
    }
}

#[test]
fn who_asks_is_told_everything_ip_7() {
    for (family, places) in PLACES.into_iter().enumerate() {
        for (message, error) in [
            (PORT[family], Error::ConnectionRefused),
            (FIELD[family], Error::Protocol),
            (HOST[family], Error::HostUnreachable),
            (TIME[family], Error::HostUnreachable),
        ] {
            for connected in [false, true] {
                let (mut wire, a, id, packet) = sent(places, asking(), connected, b"some data");
                say(&mut wire, a, places[2], message, 0, &packet);
                assert!(wire[a].readiness(id).error);
                let mut room = [0; 4];
                let received = wire[a].recv_error(id, &mut room).unwrap();
                let expected = ErrorReport {
                    error,
                    reporter: [Reporter::Icmp, Reporter::Icmp6][family],
                    kind: message[0],
                    code: message[1],
                    info: 0,
                    offender: Some(address(places[2])),
                    destination: address(places[1]),
                    at: wire.now(),
                    arrival: received.report.arrival,
                };
                let arrival = received.report.arrival.unwrap();
                assert_eq!(arrival.destination, address(places[0]).ip());
                assert_eq!(received.report, expected);
                assert_eq!((&room, received.copied, received.len), (b"some", 4, 9));
                // Whoever has taken it need not be told again.
                assert_eq!(wire[a].take_error(id), None);
            }
        }
    }
}

#[test]
fn what_is_reported_must_have_been_sent() {
    for (family, places) in PLACES.into_iter().enumerate() {
        let (mut wire, a, id, packet) = sent(places, asking(), true, b"word");
        let transport = if family == 0 { 20 } else { 40 };
        // Another port of ours, another port of the peer's, a packet that is cut short, nothing at all.
        for (at, len) in
            [(transport, packet.len()), (transport + 2, packet.len()), (0, transport + 3), (0, 0)]
        {
            let mut other = packet.clone();
            if at > 0 {
                other[at] ^= 1;
            }
            say(&mut wire, a, places[2], PORT[family], 0, &other[..len]);
            assert_eq!(wire[a].take_error(id), None, "{at} {len}");
        }
        assert_eq!(wire[a].recv_error(id, &mut []), Err(Error::WouldBlock));
    }
}

#[test]
fn errors_that_wait_are_bounded_and_in_order() {
    for (family, places) in PLACES.into_iter().enumerate() {
        let options = Options { recv_buffer: 4096, ..asking() };
        let (mut wire, a, id, packet) = sent(places, options, true, &[7; 200]);
        for code in 0..100 {
            let message = if family == 0 { [11, code] } else { [3, code] };
            say(&mut wire, a, places[2], message, 0, &packet);
        }
        let codes: Vec<u8> = std::iter::from_fn(|| wire[a].recv_error(id, &mut []).ok())
            .map(|error| error.report.code)
            .collect();
        // 4096 bytes have room for eight of 200 and what each costs besides, 256.
        assert_eq!(codes, (0..8).collect::<Vec<u8>>());
        assert_eq!(wire[a].take_error(id), None);
        // There is room again.
        say(&mut wire, a, places[2], PORT[family], 0, &packet);
        assert_eq!(
            wire[a].recv_error(id, &mut []).map(|error| error.report.error),
            Ok(Error::ConnectionRefused)
        );
    }
}

#[test]
fn the_next_error_pends_when_one_is_taken_ip_7() {
    let places = PLACES[0];
    let (mut wire, a, id, packet) = sent(places, asking(), true, b"word");
    say(&mut wire, a, places[2], PORT[0], 0, &packet);
    say(&mut wire, a, places[2], TIME[0], 0, &packet);
    assert_eq!(wire[a].take_error(id), Some(Error::HostUnreachable));
    assert!(wire[a].recv_error(id, &mut []).is_ok());
    assert_eq!(wire[a].take_error(id), Some(Error::HostUnreachable));
    assert!(wire[a].recv_error(id, &mut []).is_ok());
    assert_eq!(wire[a].take_error(id), None);
}

#[test]
fn who_does_not_ask_any_more_has_nothing_left() {
    let places = PLACES[0];
    let (mut wire, a, id, packet) = sent(places, asking(), true, b"word");
    say(&mut wire, a, places[2], PORT[0], 0, &packet);
    wire[a].set_options(id, Options::default()).unwrap();
    assert_eq!(wire[a].recv_error(id, &mut []), Err(Error::WouldBlock));
}

/// RFC 1191 section 6.1, RFC 8201 section 5.2: who sent it is told, with the MTU.
#[test]
fn what_was_too_long_for_its_path_is_told_and_the_next_one_fits() {
    for (family, places) in PLACES.into_iter().enumerate() {
        let (message, header) = if family == 0 { ([3, 4], 28) } else { ([2, 0], 48) };
        for discovery in [
            MtuDiscovery::Never,
            MtuDiscovery::Wanted,
            MtuDiscovery::Always,
            MtuDiscovery::Probe,
            MtuDiscovery::Interface,
            MtuDiscovery::Omit,
        ] {
            let mut options = asking();
            (options.ip.discovery, options.ip.discovery_v6) = (discovery, discovery);
            let (mut wire, a, id, packet) = sent(places, options, true, &[7; 1400]);
            assert_eq!(packet.len(), 1400 + header);
            if family == 0 {
                let whole =
                    matches!(discovery, MtuDiscovery::Wanted | MtuDiscovery::Always | MtuDiscovery::Probe);
                assert_eq!(packet[6] & 0x40 != 0, whole, "Don't Fragment, {discovery:?}");
                // RFC 6864 section 4.3: what may be cut has a number.
                assert_eq!(packet[4..6] == [0, 0], whole);
            }
            say(&mut wire, a, places[2], message, 1300, &packet);
            let told = match (discovery, family) {
                (MtuDiscovery::Never, 0) | (MtuDiscovery::Interface | MtuDiscovery::Omit, 1) => None,
                _ => Some(1300),
            };
            let error =
                wire[a].recv_error(id, &mut []).ok().map(|error| (error.report.error, error.report.info));
            assert_eq!(error, told.map(|mtu| (Error::MessageTooLong, mtu)), "{discovery:?} {family}");
            let _ = wire[a].take_error(id);
            // What is believed of the path counts for who heeds it.
            wire.record.clear();
            let result = wire.send(a, id, &[7; 1400]);
            wire.settle();
            let lengths: Vec<_> = wire.sent_by(a).map(|sent| sent.bytes.len() - 14).collect();
            match discovery {
                MtuDiscovery::Never | MtuDiscovery::Wanted => {
                    assert_eq!((result, lengths.len()), (Ok(1400), 2), "{discovery:?}");
                    assert!(lengths.iter().all(|len| *len <= 1300));
                }
                MtuDiscovery::Always => assert_eq!((result, lengths.len()), (Err(Error::MessageTooLong), 0)),
                MtuDiscovery::Probe | MtuDiscovery::Interface | MtuDiscovery::Omit => {
                    assert_eq!((result, lengths), (Ok(1400), vec![1400 + header]), "{discovery:?}");
                }
            }
            let now = wire.now();
            let known = if discovery.believes() { 1300 } else { 1500 };
            assert_eq!(wire[a].path_mtu(now, id), Ok(known), "{discovery:?}");
        }
    }
}

trait Believes {
    fn believes(self) -> bool;
}

impl Believes for MtuDiscovery {
    fn believes(self) -> bool {
        !matches!(self, Self::Interface | Self::Omit)
    }
}

#[test]
fn an_echo_endpoint_is_told_with_its_header_icmp_7() {
    for (family, [own, peer, router]) in PLACES.into_iter().enumerate() {
        let (mut wire, a, _) = Wire::pair();
        let id = wire[a].open(Kind::Echo, [Family::V4, Family::V6][family]);
        wire[a].set_options(id, asking()).unwrap();
        let request = [[8, 128][family], 0, 0, 0, 0, 0, 0, 1, b'd', b'a', b't', b'a'];
        let now = wire.now();
        let to = SocketAddr::new(address(peer).ip(), 0);
        let _ = wire[a].send_to(now, id, &request, Some(to)).unwrap();
        wire.settle();
        let packet = wire.sent_by(a).last().unwrap().bytes[14..].to_vec();
        say(&mut wire, a, router, TIME[family], 0, &packet);
        let mut room = [0; 20];
        let error = wire[a].recv_error(id, &mut room).unwrap();
        assert_eq!((error.report.error, error.report.destination), (Error::HostUnreachable, to));
        assert_eq!((error.len, room[0], &room[8..12]), (12, request[0], &b"data"[..]));
        let _ = own;
    }
}

/// RFC 1122 section 4.2.3.9: an established connection goes on; should it time out, this is why.
#[test]
fn a_connection_times_out_with_what_was_said_last_rfc_1122_4_2_3_9() {
    for said in [false, true] {
        let (mut wire, a, b) = Wire::pair();
        let (one, _) = wire.connected(a, b, "10.0.0.2:80");
        wire[a]
            .set_options(one, Options { user_timeout: Some(Duration::from_secs(5)), ..Options::default() })
            .unwrap();
        wire.weather = Box::new(|_| crate::wire::Fate::Lost);
        wire.record.clear();
        assert_eq!(wire.send(a, one, b"word"), Ok(4));
        wire.settle();
        let packet = wire.sent_by(a).last().unwrap().bytes[14..].to_vec();
        if said {
            say(&mut wire, a, "10.0.0.254:0", HOST[0], 0, &packet[..28]);
        }
        assert_eq!(wire[a].take_error(one), None);
        assert!(wire[a].readiness(one).writable);
        wire.run(Duration::from_secs(20));
        assert_eq!(
            wire[a].take_error(one),
            Some(if said { Error::HostUnreachable } else { Error::TimedOut })
        );
    }
}

/// RFC 5927 section 4.1: who reports a segment must know a number that is under way.
#[test]
fn a_forged_report_ends_no_open_rfc_5927_4_1() {
    for (forged, result) in [(0x100, Err(Error::InProgress)), (0, Err(Error::ProtocolUnreachable))] {
        let (mut wire, a, _) = Wire::pair();
        wire.weather = Box::new(|frame| match frame[12..14] {
            [8, 0] => crate::wire::Fate::Lost,
            _ => crate::wire::Fate::Arrives,
        });
        let id = wire.connect(a, "10.0.0.2:80");
        wire.settle();
        let mut packet = wire.sent_by(a).last().unwrap().bytes[14..42].to_vec();
        let seq = u32::from_be_bytes(packet[24..28].try_into().unwrap()).wrapping_add(forged);
        packet[24..28].copy_from_slice(&seq.to_be_bytes());
        say(&mut wire, a, "10.0.0.2:0", [3, 2], 0, &packet);
        assert_eq!(wire[a].connect_result(id), result);
    }
}
