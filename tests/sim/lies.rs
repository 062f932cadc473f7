//! Feeds the clients of DHCP of one engine with whatever bytes say: the body of the fuzz target `leases`, and of a seeded test.
//!
//! The bytes are a list of steps: answers to what the engine asked last, whose headers are right so that deep code is reached,
//! passing time, and a change of mind of the user. Whatever servers say, the engine's other interface goes on.

use std::net::IpAddr;
use std::time::Duration;

use ioth_stack::link::Frame;
use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::{Engine, Instant, InterfaceSettings, Secret};

use crate::feed::{Input, checksum};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SIDE_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ETH: InterfaceId = InterfaceId::new(2);
const SIDE: InterfaceId = InterfaceId::new(3);
/// Frames that the engine may send between two steps.
const MOST_FRAMES: usize = 1000;

/// Runs the steps in `data`. Panics if the engine does, or if it does not come to rest.
pub(crate) fn run(data: &[u8]) {
    let mut subject = Subject::new();
    let mut data = Input(data);
    while let Some(step) = data.byte() {
        subject.step(step, &mut data);
        subject.drain();
    }
    subject.end();
}

struct Subject {
    engine: Engine,
    now: Instant,
    /// The last question of each family, from its first byte on, and who asked.
    four: Vec<u8>,
    six: (Vec<u8>, [u8; 16]),
}

impl Subject {
    fn new() -> Self {
        let mut engine = Engine::new(Secret::from_seed(1));
        for (name, mac) in [("eth0", MAC), ("eth1", SIDE_MAC)] {
            let mac = Mac::new(mac);
            engine
                .add_interface(InterfaceSettings { name: name.to_owned(), mac, mtu: 1500, offload: false })
                .unwrap();
        }
        engine.add_address(SIDE, "192.168.0.1/24".parse().unwrap()).unwrap();
        let now = Instant::from_millis(1000);
        engine.start_dhcp4(now, ETH);
        engine.start_dhcp6(now, ETH, false);
        let mut subject = Self { engine, now, four: Vec::new(), six: (Vec::new(), [0; 16]) };
        subject.pass(Duration::from_secs(2));
        subject.drain();
        subject
    }

    fn step(&mut self, step: u8, data: &mut Input<'_>) {
        match step % 8 {
            // An answer of DHCP: of a kind, with an address, with options.
            0..=2 if !self.four.is_empty() => {
                let mut bytes = self.four[..240].to_vec();
                bytes[0] = 2;
                bytes[16..20].copy_from_slice(&[10, 9, 0, data.number()]);
                if step & 0x80 != 0 {
                    // What every answer has.
                    bytes.extend([53, 1, [2, 5, 6, 5][usize::from(step >> 5 & 3)], 54, 4, 10, 9, 0, 1]);
                    bytes.extend([51, 4, 0, 0, data.number() >> 4, data.number()]);
                }
                if step & 0x10 != 0 {
                    bytes[44..236].iter_mut().for_each(|byte| *byte = data.number());
                }
                let len = usize::from(data.number()) * usize::from(step % 8 + 1);
                bytes.extend(data.take(len));
                self.datagram4(&bytes);
            }
            // An answer of DHCPv6.
            3..=5 if !self.six.0.is_empty() => {
                let mut bytes = self.six.0[..4].to_vec();
                bytes[0] = [2, 7, 7, data.number()][usize::from(step >> 6)];
                if step & 0x20 != 0 {
                    bytes.extend([0, 1, 0, 10, 0, 3, 0, 1]);
                    bytes.extend(MAC);
                    bytes.extend([0, 2, 0, 4, 0, 3, 0, 1]);
                }
                if step & 0x10 != 0 {
                    // An association with an address, and what follows in it.
                    let inside = usize::from(data.number());
                    bytes.extend([0, 14, 0, 0, 0, 3]);
                    bytes.extend((40 + inside as u16).to_be_bytes());
                    bytes.extend([0, 0, 0, 1, 0, 0, 0, data.number(), 0, 0, 0, data.number()]);
                    bytes.extend([0, 5, 0, 24, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                    bytes.extend([data.number(), 0, 0, 0, data.number(), 0, 0, 0, data.number()]);
                }
                let len = usize::from(data.number()) * usize::from(step % 8);
                bytes.extend(data.take(len));
                self.datagram6(&bytes);
            }
            6 => self.pass(Duration::from_millis(10) * u32::from(data.number()).pow(2)),
            7 if step & 0x80 == 0 => {
                self.engine.stop_dhcp4(self.now, ETH);
                self.engine.start_dhcp4(self.now, ETH);
            }
            7 => {
                self.engine.stop_dhcp6(self.now, ETH);
                self.engine.start_dhcp6(self.now, ETH, step & 0x40 != 0);
            }
            _ => {}
        }
    }

    fn datagram4(&mut self, data: &[u8]) {
        let mut bytes = [&MAC, &SERVER_MAC, &[8, 0, 0x45, 0][..]].concat();
        bytes.extend((28 + data.len() as u16).to_be_bytes());
        bytes.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 9, 0, 1, 255, 255, 255, 255, 0, 67, 0, 68]);
        self.finish(bytes, data);
    }

    fn datagram6(&mut self, data: &[u8]) {
        let mut bytes = [&MAC, &SERVER_MAC, &[0x86, 0xdd, 0x60, 0, 0, 0][..]].concat();
        bytes.extend((8 + data.len() as u16).to_be_bytes());
        bytes.extend([17, 64, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        bytes.extend(self.six.1);
        bytes.extend([2, 35, 2, 34]);
        self.finish(bytes, data);
    }

    fn finish(&mut self, mut bytes: Vec<u8>, data: &[u8]) {
        bytes.extend((8 + data.len() as u16).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(data);
        checksum::fix(&mut bytes);
        self.engine.handle_frame(self.now, ETH, Frame::from_slice(&bytes));
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for count in 0.. {
            assert!(count < 10_000, "timers without end");
            self.drain();
            let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn drain(&mut self) {
        for count in 0.. {
            assert!(count < MOST_FRAMES, "the engine sends without end");
            let Some(transmit) = self.engine.poll_transmit(self.now) else { break };
            let bytes = transmit.frame.bytes();
            assert!(bytes.len() <= 1514, "{} bytes", bytes.len());
            if bytes[12..14] == [8, 0] && bytes[34..38] == [0, 68, 0, 67] {
                self.four = bytes[42..].to_vec();
            } else if bytes[12..14] == [0x86, 0xdd] && bytes[54..58] == [2, 34, 2, 35] {
                self.six = (bytes[62..].to_vec(), bytes[22..38].try_into().unwrap());
            }
        }
        let kept = self.engine.learned_nameservers().len() + self.engine.learned_domains().len();
        assert!(kept <= 256 && self.engine.addresses(ETH).len() <= 10);
    }

    /// Afterwards the other interface still answers.
    fn end(mut self) {
        let mut arp = [&[0xff; 6][..], &SERVER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &SERVER_MAC].concat();
        arp.extend([192, 168, 0, 9, 0, 0, 0, 0, 0, 0, 192, 168, 0, 1]);
        self.engine.handle_frame(self.now, SIDE, Frame::from_slice(&arp));
        let answered = std::iter::from_fn(|| self.engine.poll_transmit(self.now))
            .any(|sent| sent.interface == SIDE && sent.frame.bytes()[12..14] == [8, 6]);
        assert!(answered, "no answer to a question for our address");
        assert!(
            self.engine.addresses(SIDE).iter().any(|own| own.address() == IpAddr::from([192, 168, 0, 1]))
        );
        self.engine.release_leases(self.now);
        self.drain();
        self.pass(Duration::from_secs(86_400));
        assert!(self.engine.learned_nameservers().is_empty() && self.engine.learned_domains().is_empty());
    }
}
