//! What cannot be seen from outside: a panic inside smoltcp ends one connection and nothing else; an idle connection has no
//! memory for data.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::{InterfaceId, Mac};
use crate::{EndpointId, Engine, Error, Family, Instant, InterfaceSettings, Kind, Secret, Shutdown};

const ETH0: InterfaceId = InterfaceId::new(2);

fn engine(number: u8) -> Engine {
    let mut engine = Engine::new(Secret::from_seed(number.into()));
    let mac = Mac::new([2, 0, 0, 0, 0, number]);
    let settings = InterfaceSettings { name: "eth0".to_owned(), mac, mtu: 1500, offload: false };
    let id = engine.add_interface(settings).unwrap();
    engine.add_address(id, format!("10.0.0.{number}/24").parse().unwrap()).unwrap();
    engine
}

/// Carries frames between two engines until both are silent.
fn carry(now: Instant, one: &mut Engine, other: &mut Engine) {
    loop {
        let frames: Vec<_> = std::iter::from_fn(|| one.poll_transmit(now)).collect();
        let back: Vec<_> = std::iter::from_fn(|| other.poll_transmit(now)).collect();
        if frames.is_empty() && back.is_empty() {
            return;
        }
        frames.into_iter().for_each(|transmit| other.handle_frame(now, ETH0, transmit.frame));
        back.into_iter().for_each(|transmit| one.handle_frame(now, ETH0, transmit.frame));
    }
}

fn connected(now: Instant, client: &mut Engine, server: &mut Engine, port: u16) -> (EndpointId, EndpointId) {
    let address = SocketAddr::from(([10, 0, 0, 2], port));
    let listener = server.open(Kind::Stream, Family::V4);
    server.bind(listener, address).unwrap();
    server.listen(listener, 1).unwrap();
    let id = client.open(Kind::Stream, Family::V4);
    assert_eq!(client.connect(now, id, address), Err(Error::InProgress));
    carry(now, client, server);
    (id, server.accept(listener).unwrap().id)
}

#[test]
fn a_panic_of_smoltcp_ends_one_connection_only() {
    let now = Instant::from_millis(1000);
    let (mut a, mut b) = (engine(1), engine(2));
    let bystander = connected(now, &mut a, &mut b, 80);
    let victim = connected(now, &mut a, &mut b, 81);

    // smoltcp has to see the end of a stream.
    b.connection_mut(victim.1).unwrap().sabotage();
    a.shutdown(now, victim.0, Shutdown::Write).unwrap();
    carry(now, &mut a, &mut b);

    assert_eq!(b.counters().contained_panics, 1);
    assert_eq!(b.recv(now, victim.1, &mut [0; 10]), Err(Error::ConnectionAborted));
    assert_eq!(b.recv(now, victim.1, &mut [0; 10]), Ok(0));
    assert_eq!(b.send(now, victim.1, b"x"), Err(Error::BrokenPipe));
    carry(now, &mut a, &mut b);
    assert_eq!(a.recv(now, victim.0, &mut [0; 10]), Err(Error::ConnectionReset));

    assert_eq!(a.send(now, bystander.0, b"still here"), Ok(10));
    carry(now, &mut a, &mut b);
    let mut buffer = [0; 16];
    assert_eq!(b.recv(now, bystander.1, &mut buffer), Ok(10));
    assert_eq!(b.counters().contained_panics, 1);
    // Its place is free again.
    b.close(now, victim.1);
    assert!(b.connection(victim.1).is_none());
    assert_eq!(b.connections.len(), 1);
}

#[test]
fn an_idle_connection_has_no_memory_for_data() {
    let start = Instant::from_millis(1000);
    let (mut a, mut b) = (engine(1), engine(2));
    let (one, other) = connected(start, &mut a, &mut b, 80);
    let rings = |a: &Engine, b: &Engine| {
        [(a, one), (b, other)].map(|(engine, id)| engine.connection(id).unwrap().rings_in_memory())
    };
    let settle = |now: Instant, a: &mut Engine, b: &mut Engine| {
        for at in [now, now + Duration::from_millis(1100), now + Duration::from_millis(2200)] {
            a.handle_timeout(at);
            b.handle_timeout(at);
            carry(at, a, b);
        }
        now + Duration::from_millis(2200)
    };
    assert_eq!(rings(&a, &b), [0, 0], "nothing was sent yet");

    assert_eq!(a.send(start, one, b"a word"), Ok(6));
    carry(start, &mut a, &mut b);
    assert_eq!(rings(&a, &b), [1, 1]);
    let now = settle(start, &mut a, &mut b);
    assert_eq!(rings(&a, &b), [0, 1], "the receiver has not taken it yet");

    assert_eq!(b.recv(now, other, &mut [0; 10]), Ok(6));
    carry(now, &mut a, &mut b);
    assert_eq!(rings(&a, &b), [0, 1], "it may go on at once");
    let now = settle(now, &mut a, &mut b);
    assert_eq!(rings(&a, &b), [0, 0]);
    for engine in [&a, &b] {
        assert!(
            engine.poll_timeout().is_none_or(|at| at > now + Duration::from_secs(2)),
            "nobody looks for nothing"
        );
    }

    assert_eq!(b.send(now, other, b"an answer"), Ok(9));
    carry(now, &mut a, &mut b);
    let mut buffer = [0; 10];
    assert_eq!((a.recv(now, one, &mut buffer), &buffer[..9]), (Ok(9), &b"an answer"[..]));
}
