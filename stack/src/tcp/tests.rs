//! A panic inside smoltcp ends one connection and nothing else.

use std::net::SocketAddr;

use super::segment::{HEADER_LEN, Segment};
use crate::link::{Checksum, Frame};
use crate::net::{InterfaceId, Mac, ethernet, ip};
use crate::{EndpointId, Engine, Error, Family, Instant, InterfaceSettings, Kind, Secret};

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

    // Data behind the window of the SYN-ACK, which the guard would not let through.
    b.connection_mut(victim.1).unwrap().disarm_guard();
    assert_eq!(a.send(now, victim.0, &[7; 1000]), Ok(1000));
    let mut frame: Frame = a.poll_transmit(now).unwrap().frame;
    let tcp = &mut frame.bytes_mut()[ethernet::HEADER_LEN + ip::V4_HEADER_LEN..];
    let seg = Segment::parse(tcp).unwrap();
    assert_eq!(seg.payload_len, tcp.len() - HEADER_LEN);
    tcp[4..8].copy_from_slice(&seg.seq.wrapping_add(600_000).to_be_bytes());
    frame.checksum = Checksum::Verified;
    b.handle_frame(now, ETH0, frame);

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
