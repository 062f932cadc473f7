//! Whatever routers advertise, a host that listens to them stays within bounds: the body of the fuzz target `routers`, and
//! of a seeded test.
//!
//! The bytes are a list of steps: advertisements whose lengths are right, so that what is in them is looked at, with
//! options of every kind, made from the bytes; and passing time.

use std::time::Duration;

use ioth_stack::link::Frame;
use ioth_stack::net::InterfaceId;
use ioth_stack::{Engine, Instant};

use super::feed::{Input, checksum, engine, introduction, packet};

const ETH: InterfaceId = InterfaceId::new(2);
/// More of each than this is no bound: two addresses for each of so many prefixes, and some that grow old.
const MOST_ADDRESSES: usize = 64;
const MOST_ROUTES: usize = 128;
const MOST_SERVERS: usize = 64;

/// Runs the steps in `data`. Panics if the engine does, or if it learns without end.
pub(crate) fn run(data: &[u8]) {
    let mut data = Input(data);
    let mut engine = engine();
    let mut now = Instant::from_millis(1000);
    engine.start_discovery(now, ETH, data.number() % 2 == 1);
    engine.handle_frame(now, ETH, Frame::from_slice(&introduction()));
    while let Some(step) = data.byte() {
        if step < 64 {
            // Up to a second, a minute, a day, or half a year.
            let unit = [4, 250, 360_000, 60_000_000][usize::from(step % 4)];
            now += Duration::from_millis(unit) * u32::from(data.number());
        } else {
            engine.handle_frame(now, ETH, Frame::from_slice(&advertisement(step, &mut data)));
        }
        settle(&mut engine, now);
        check(&engine, now);
    }
    // It still answers.
    engine.handle_frame(now, ETH, Frame::from_slice(&introduction()));
    settle(&mut engine, now);
    engine.handle_frame(now, ETH, Frame::from_slice(&packet(1, &[8, 0, 0, 0, 0x77, 0x77, 0, 1])));
    let mut answered = false;
    while let Some(transmit) = engine.poll_transmit(now) {
        answered |= transmit.frame.bytes().get(34..40).is_some_and(|bytes| bytes[4..] == [0x77; 2]);
    }
    assert!(answered, "no answer to an echo request");
}

/// Timers that are due, and what is to be sent.
fn settle(engine: &mut Engine, now: Instant) {
    for _ in 0..2 {
        if engine.poll_timeout().is_some_and(|at| at <= now) {
            engine.handle_timeout(now);
        }
        let mut count = 0;
        while let Some(transmit) = engine.poll_transmit(now) {
            count += 1;
            assert!(transmit.frame.len() <= 1514 && count < 1000, "it sends without end");
        }
        while engine.poll_event().is_some() {}
    }
    assert!(engine.poll_timeout().is_none_or(|at| at > now), "a timer that stays due");
}

fn check(engine: &Engine, now: Instant) {
    let shown = engine.snapshot(now);
    let (addresses, routes) = (shown.addresses.len(), shown.routes.len());
    assert!(addresses <= MOST_ADDRESSES, "{addresses} addresses");
    assert!(routes <= MOST_ROUTES, "{routes} routes");
    assert!(shown.neighbours.len() <= 1024);
    assert!(engine.learned_nameservers().len() <= MOST_SERVERS);
    assert!(engine.learned_domains().len() <= MOST_SERVERS);
    // What was configured is there still.
    let text = shown.to_string();
    assert!(text.contains("inet 10.0.0.1/24") && text.contains("inet6 fd00::1/64"), "{text}");
}

/// An advertisement of one of four routers.
fn advertisement(step: u8, data: &mut Input<'_>) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, data.number()];
    // Often none at all, and often for ever.
    message.extend([[0, 0], [0, data.number()], [0xff, 0xff], [7, 8]][usize::from(step % 4)]);
    message.extend([0, 0, data.number(), data.number(), 0, 0, 0, data.number()]);
    for _ in 0..step / 4 % 8 {
        message.extend(option(data));
    }
    let mut bytes = [&[0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60, 0, 0, 0][..]].concat();
    bytes.extend((message.len() as u16).to_be_bytes());
    bytes.extend([58, 255, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, step & 3]);
    bytes.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend(message);
    checksum::fix(&mut bytes);
    bytes
}

/// An option whose length is right.
fn option(data: &mut Input<'_>) -> Vec<u8> {
    let kind = data.number();
    let mut body = match kind % 8 {
        0 => [&[3, 0, 64][..], &[data.number() | 0xc0], &times(data), &times(data), &[0; 4], &prefix(data)]
            .concat(),
        1 => [&[3, 0, data.number(), data.number()], data.take(28)].concat(),
        2 => [&[24, 0, data.number() % 65, data.number()][..], &times(data), &prefix(data)[..8]].concat(),
        3 => [&[5, 0, 0, 0, 0][..], data.take(3)].concat(),
        4 => {
            let servers: Vec<u8> = (0..kind / 8 % 8).flat_map(|_| prefix(data)).collect();
            [&[25, 0, 0, 0][..], &times(data), &servers].concat()
        }
        5 => [&[31, 0, 0, 0][..], &times(data), &names(kind / 8, data)].concat(),
        6 => [&[1, 0], data.take(6)].concat(),
        _ => [&[kind, 0], data.take(usize::from(kind))].concat(),
    };
    body.resize(body.len().next_multiple_of(8).max(8), 0);
    // No advertisement is longer than a frame.
    body.truncate(160);
    body[1] = (body.len() / 8) as u8;
    body
}

/// A lifetime: none, short, of hours, for ever.
fn times(data: &mut Input<'_>) -> [u8; 4] {
    let number = data.number();
    match number % 4 {
        0 => [0; 4],
        1 => [0, 0, 0, number],
        2 => [0, 0, number, 0],
        _ => [0xff; 4],
    }
}

/// One of some thousand prefixes, with host bits in some.
fn prefix(data: &mut Input<'_>) -> [u8; 16] {
    let mut octets = [0x20, 1, 0xd, 0xb8, data.number(), data.number() & 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    octets[15] = data.number();
    // Multicast, link-local and what nobody has, now and then.
    match octets[15] {
        1 => octets[0] = 0xff,
        2 => octets[..2].copy_from_slice(&[0xfe, 0x80]),
        3 => octets[..4].fill(0),
        _ => {}
    }
    octets
}

/// Domain names, of labels that are letters but for the last.
fn names(count: u8, data: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count % 4 {
        for _ in 0..1 + data.number() % 4 {
            let len = 1 + data.number() % 8;
            bytes.push(len);
            bytes.extend((0..len).map(|_| b'a' + data.number() % 26));
        }
        bytes.push(0);
    }
    bytes.extend(data.take(usize::from(count % 8)));
    bytes
}
