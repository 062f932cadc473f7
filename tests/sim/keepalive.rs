//! Silent peers: keep-alive and the user timeout (RFC 9293 section 3.8.4, RFC 5482, tcp(7)).

use std::time::Duration;

use ioth_stack::{EndpointId, Error, KeepAlive, Options};

use crate::wire::frames::Tcp;
use crate::wire::{Fate, Host, Wire};

fn pair() -> (Wire, (Host, EndpointId), (Host, EndpointId)) {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    assert!(wire.echoes([(a, one), (b, other)]));
    wire.run(Duration::from_secs(1));
    wire.record.clear();
    (wire, (a, one), (b, other))
}

const KEEPALIVE: KeepAlive =
    KeepAlive { on: true, idle: Duration::from_secs(10), interval: Duration::from_secs(3), count: 2 };

fn set(wire: &mut Wire, (host, id): (Host, EndpointId), change: impl FnOnce(&mut Options)) {
    let mut options = wire[host].options(id).unwrap();
    change(&mut options);
    wire[host].set_options(id, options).unwrap();
}

fn segments(wire: &Wire, host: Host) -> Vec<Tcp> {
    wire.sent_by(host).filter_map(|sent| Tcp::parse(&sent.bytes)).collect()
}

#[test]
fn a_peer_that_answers_is_asked_again_and_again_rfc_9293_3_8_4() {
    let (mut wire, one, other) = pair();
    set(&mut wire, one, |options| options.keepalive = KEEPALIVE);
    wire.run(Duration::from_secs(65));
    let (asked, answered) = (segments(&wire, one.0), segments(&wire, other.0));
    assert_eq!((asked.len(), answered.len()), (6, 6), "{}", wire.show());
    // One byte in front of what is next, and without data.
    assert!(asked.iter().all(|tcp| tcp.payload.is_empty() && tcp.seq.wrapping_add(1) == answered[0].ack));
    assert!(wire.echoes([one, other]));
}

#[test]
fn a_peer_that_is_gone_is_given_up_tcp_7() {
    let (mut wire, one, _) = pair();
    set(&mut wire, one, |options| options.keepalive = KEEPALIVE);
    wire.weather = Box::new(|_| Fate::Lost);
    // It was heard a second ago.
    wire.run(Duration::from_millis(14_900));
    assert_eq!(wire.try_recv(one.0, one.1), Err(Error::WouldBlock));
    wire.run(Duration::from_millis(200));
    assert_eq!(wire.try_recv(one.0, one.1), Err(Error::TimedOut));
    assert_eq!(wire.try_recv(one.0, one.1), Ok(vec![]));
}

#[test]
fn nobody_is_asked_unless_told_so_rfc_9293_3_8_4() {
    let (mut wire, one, other) = pair();
    wire.run(Duration::from_secs(100_000));
    assert!(segments(&wire, one.0).is_empty() && segments(&wire, other.0).is_empty());
}

#[test]
fn what_is_not_acknowledged_in_time_ends_the_connection_rfc_5482() {
    let (mut wire, one, _) = pair();
    set(&mut wire, one, |options| options.user_timeout = Some(Duration::from_secs(5)));
    wire.weather = Box::new(|_| Fate::Lost);
    assert_eq!(wire.send(one.0, one.1, b"lost"), Ok(4));
    wire.run(Duration::from_millis(4_900));
    assert_eq!(wire.try_recv(one.0, one.1), Err(Error::WouldBlock));
    wire.run(Duration::from_millis(200));
    assert_eq!(wire.try_recv(one.0, one.1), Err(Error::TimedOut));
}
