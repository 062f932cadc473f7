//! A panic inside smoltcp ends one connection and nothing else.

use std::net::SocketAddr;

use crate::net::{InterfaceId, Mac};
use crate::{EndpointId, Engine, Error, Family, Instant, InterfaceSettings, Kind, Secret, Shutdown};

const ETH0: InterfaceId = InterfaceId::new(1);

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
