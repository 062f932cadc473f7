//! Whether somebody who sees sequence numbers and ports can tell the next ones (RFC 6528, RFC 6056).
//!
//! smoltcp draws its sequence numbers from a linear congruential generator and lets half of the state out. The attack
//! here gets the state back from a few of them. It is the measure for the numbers that leave an engine.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::{Engine, Family, Instant, InterfaceSettings, Kind, Secret};

use crate::wire::Dice;
use crate::wire::frames::Tcp;

/// Of smoltcp 0.14, `src/rand.rs`.
const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
const INCREMENT: u64 = 0x7590_ef39;

const SAMPLES: usize = 10_000;

/// The generator of smoltcp's.
struct Generator(u64);

impl Generator {
    const fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        (self.0 >> (29 - (self.0 >> 61))) as u32
    }
}

/// What the state may be above its lowest 29 bits when it gave `output`: its three highest bits say which 32 of the
/// others are seen, and as many as they say stay hidden between.
fn tops(output: u32) -> impl Iterator<Item = u64> {
    (0..8u32).flat_map(move |high| {
        let between = 0..1u64 << high;
        between.map(move |hidden| {
            u64::from(high) << 61 | hidden << (61 - high) | u64::from(output) << (29 - high)
        })
    })
}

/// The vectors (x, M x mod 2^64), reduced as Gauss does: with them the point next to another is found by rounding.
struct Lattice([(i128, i128); 2]);

impl Lattice {
    fn new() -> Self {
        // The first step by hand: squares of 2^64 do not fit.
        let (modulus, factor) = (1i128 << 64, i128::from(MULTIPLIER.cast_signed()));
        let times = modulus / factor;
        let (mut one, mut other) = ((1, factor), (-times, modulus - times * factor));
        let dot = |a: (i128, i128), b: (i128, i128)| a.0 * b.0 + a.1 * b.1;
        loop {
            if dot(one, one) > dot(other, other) {
                std::mem::swap(&mut one, &mut other);
            }
            let times = rounded(dot(one, other), dot(one, one));
            if times == 0 {
                return Self([one, other]);
            }
            other = (other.0 - times * one.0, other.1 - times * one.1);
        }
    }

    /// The one x below 2^29 with M x - `offset` below 2^29 modulo 2^64, if there is one.
    fn solve(&self, offset: u64) -> Option<u64> {
        let [a, b] = self.0;
        let middle = 1i128 << 28;
        let (x, y) = (middle, i128::from(offset) + middle);
        let volume = a.0 * b.1 - a.1 * b.0;
        let (m, n) = (rounded(x * b.1 - y * b.0, volume), rounded(a.0 * y - a.1 * x, volume));
        let (x, y) = (m * a.0 + n * b.0, m * a.1 + n * b.1 - i128::from(offset));
        let small = 0..1i128 << 29;
        (small.contains(&x) && small.contains(&y)).then_some(x as u64)
    }
}

/// The quotient, rounded to the nearest.
const fn rounded(number: i128, by: i128) -> i128 {
    let (number, by) = if by < 0 { (-number, -by) } else { (number, by) };
    (2 * number + by).div_euclid(2 * by)
}

/// The generator that gave these outputs, behind the last of them.
fn recover(lattice: &Lattice, outputs: &[u32]) -> Option<Generator> {
    tops(outputs[0]).find_map(|first| {
        tops(outputs[1]).find_map(|second| {
            let offset = second.wrapping_sub(first.wrapping_mul(MULTIPLIER)).wrapping_sub(INCREMENT);
            let mut generator = Generator(first.wrapping_add(lattice.solve(offset)?));
            outputs[1..].iter().all(|output| generator.next() == *output).then_some(generator)
        })
    })
}

/// The ports and sequence numbers of connects of a stack with that secret to as many addresses.
fn samples(secret: Secret, count: usize) -> Vec<(u16, u32)> {
    let (own, peer) = ([2, 0, 0, 0, 0, 1], [2, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa]);
    let mut engine = Engine::new(secret);
    let name = "eth0".to_owned();
    let settings = InterfaceSettings { name, mac: Mac::new(own), mtu: 1500, offload: false };
    let id = engine.add_interface(settings).unwrap();
    engine.add_address(id, "10.0.0.1/24".parse().unwrap()).unwrap();
    engine.add_route("0.0.0.0/0".parse().unwrap(), Some("10.0.0.77".parse().unwrap()), None, 0).unwrap();
    let arp = [
        &[0xff; 6][..],
        &peer,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &peer,
        &[10, 0, 0, 77],
        &[0; 6],
        &[10, 0, 0, 1],
    ];
    let now = Instant::from_millis(1000);
    engine.handle_frame(now, InterfaceId::new(2), ioth_stack::link::Frame::from_slice(&arp.concat()));
    let mut syns = Vec::new();
    for number in 0..count as u32 {
        let id = engine.open(Kind::Stream, Family::V4);
        let to = SocketAddr::new(Ipv4Addr::from(0x0b00_0001 + number).into(), 80);
        let _ = engine.connect(now, id, to);
        while let Some(transmit) = engine.poll_transmit(now) {
            let tcp = Tcp::parse(transmit.frame.bytes()).filter(|tcp| tcp.flags == 2);
            syns.extend(tcp.map(|tcp| (tcp.source, tcp.seq)));
        }
        engine.abort(now, id);
    }
    assert_eq!(syns.len(), count);
    syns
}

#[test]
fn the_generator_of_smoltcp_is_recovered_from_four_numbers() {
    let lattice = Lattice::new();
    let mut dice = Dice::new(1);
    for _ in 0..50 {
        let mut generator = Generator(dice.next());
        let outputs: [u32; 4] = std::array::from_fn(|_| generator.next());
        let mut recovered = recover(&lattice, &outputs).expect("the attack works");
        for _ in 0..100 {
            assert_eq!(recovered.next(), generator.next());
        }
    }
}

#[test]
fn ten_thousand_sequence_numbers_do_not_tell_the_next_rfc_6528_3() {
    let lattice = Lattice::new();
    let numbers: Vec<u32> = samples(Secret::from_seed(1), SAMPLES).iter().map(|(_, seq)| *seq).collect();
    // What has become of a generator of smoltcp's would be recovered at any place.
    for run in numbers.windows(5).step_by(SAMPLES / 50) {
        let next = recover(&lattice, &run[..4]).map(|mut generator| generator.next());
        assert_ne!(next, Some(run[4]));
    }
    // Of 10 000 random numbers of 32 bits a dozen are there twice.
    assert!(numbers.iter().collect::<HashSet<_>>().len() > SAMPLES - 60);
    // Neither the numbers nor the steps between them prefer any part of the space.
    let steps = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    for set in [numbers.clone(), steps.collect()] {
        let mut shares = [0; 16];
        set.iter().for_each(|number| shares[(number >> 28) as usize] += 1);
        assert!(shares.iter().all(|share| (500..750).contains(share)), "{shares:?}");
        for bit in 0..32 {
            let ones = set.iter().filter(|number| *number >> bit & 1 == 1).count();
            assert!((4700..5300).contains(&ones), "bit {bit}: {ones}");
        }
    }
}

#[test]
fn ten_thousand_ports_do_not_tell_the_next_rfc_6056_3() {
    let ports: Vec<u16> = samples(Secret::from_seed(1), SAMPLES).iter().map(|(port, _)| *port).collect();
    // Each is for another peer: a step that is frequent would be a guess.
    let mut steps = std::collections::HashMap::<u16, usize>::new();
    for pair in ports.windows(2) {
        *steps.entry(pair[1].wrapping_sub(pair[0])).or_default() += 1;
    }
    let most = steps.values().max().unwrap();
    assert!(*most < 20, "one step {most} times");
    assert!(ports.iter().collect::<HashSet<_>>().len() > 7000);
}

#[test]
fn two_stacks_and_two_runs_never_start_alike() {
    // A run of a program has the secret of the system.
    let starts: Vec<_> = (0..20).map(|_| samples(Secret::from_system().unwrap(), 3)).collect();
    let numbers: HashSet<u32> = starts.iter().flatten().map(|(_, seq)| *seq).collect();
    assert_eq!(numbers.len(), 60);
    let ports: HashSet<u16> = starts.iter().flatten().map(|(port, _)| *port).collect();
    assert!(ports.len() > 50);
}
