//! ARP (RFC 826) for IPv4 over Ethernet.

use std::net::{IpAddr, Ipv4Addr};

use super::ethernet;
use super::mac::Mac;
use super::neighbour::Evidence;
use super::route::InterfaceId;
use crate::engine::Engine;
use crate::link::Frame;
use crate::time::Instant;

const LEN: usize = 28;
/// Hardware type Ethernet, protocol type IPv4, their address lengths.
const FIXED: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// A parsed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arp {
    operation: u16,
    sender_mac: Mac,
    sender: Ipv4Addr,
    target_mac: Mac,
    target: Ipv4Addr,
}

impl Arp {
    /// Parses the packet; `None` unless it is for IPv4 over Ethernet.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.first_chunk()?;
        if bytes[..6] != FIXED {
            return None;
        }
        let mac = |at: usize| {
            Mac::new([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4], bytes[at + 5]])
        };
        let ip = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        Some(Self {
            operation: u16::from_be_bytes([bytes[6], bytes[7]]),
            sender_mac: mac(8),
            sender: ip(14),
            target_mac: mac(18),
            target: ip(24),
        })
    }

    fn emit(&self) -> Frame {
        let mut frame = Frame::with_capacity(ethernet::HEADER_LEN + LEN);
        frame.set_len(ethernet::HEADER_LEN + LEN);
        let bytes = &mut frame.bytes_mut()[ethernet::HEADER_LEN..];
        bytes[..6].copy_from_slice(&FIXED);
        bytes[6..8].copy_from_slice(&self.operation.to_be_bytes());
        bytes[8..14].copy_from_slice(&self.sender_mac.octets());
        bytes[14..18].copy_from_slice(&self.sender.octets());
        bytes[18..24].copy_from_slice(&self.target_mac.octets());
        bytes[24..28].copy_from_slice(&self.target.octets());
        frame
    }
}

impl Engine {
    /// Takes in an ARP frame (RFC 826, "Packet Reception").
    pub(crate) fn handle_arp(&mut self, now: Instant, interface: InterfaceId, frame: &[u8]) {
        let Some(arp) = Arp::parse(&frame[ethernet::HEADER_LEN..]) else {
            self.counters.malformed += 1;
            return;
        };
        // RFC 5227 sections 2.1.1 and 2.4: somebody else uses our address, or asks for one that we want. Nothing is learned.
        let probe = arp.sender.is_unspecified() && arp.operation == REQUEST;
        let claimed = if probe { arp.target } else { arp.sender };
        if self.is_claimed(now, interface, claimed.into(), arp.sender_mac, probe) {
            return;
        }
        let own = &mut self.interfaces[interface.0 as usize];
        let for_us = own.has(arp.target.into());
        let evidence = match arp.operation {
            REPLY => Evidence::Reply { solicited: for_us, override_: true },
            REQUEST if for_us => Evidence::Request,
            // RFC 5227 section 3: an announcement of a neighbour we may know.
            REQUEST if arp.sender == arp.target => Evidence::Reply { solicited: false, override_: true },
            _ => return,
        };
        let mac = own.mac;
        // A probe (RFC 5227 section 1.1) has no sender to learn.
        if !arp.sender.is_unspecified() {
            let ready = own.neighbours.learn(now, arp.sender.into(), arp.sender_mac, evidence);
            for frame in ready {
                self.transmit_to(interface, arp.sender_mac, ethernet::IPV4, frame);
            }
        }
        if arp.operation == REQUEST && for_us {
            let reply = Arp {
                operation: REPLY,
                sender_mac: mac,
                sender: arp.target,
                target_mac: arp.sender_mac,
                target: arp.sender,
            };
            self.transmit_to(interface, arp.sender_mac, ethernet::ARP, reply.emit());
        }
    }

    /// Tells the networks which addresses are here, so that a neighbour that knew another station under one
    /// of them forgets it: an ARP announcement (RFC 5227 section 2.3), an unsolicited neighbour advertisement
    /// (RFC 4861 section 7.2.6). To be called when interfaces and addresses are set up.
    pub fn announce(&mut self, now: Instant) {
        for index in 1..self.interfaces.len() {
            let interface = InterfaceId::at(index);
            let addresses: Vec<_> = self.interfaces[index].usable().collect();
            for address in addresses {
                self.announce_address(now, interface, address);
            }
        }
    }

    /// The same for one address.
    pub(crate) fn announce_address(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) {
        match address {
            IpAddr::V4(ip) => self.ask(interface, ip, ip, Mac::BROADCAST),
            IpAddr::V6(ip) => self.advertise(now, interface, ip),
        }
    }

    /// Asks who has an address without saying who asks: a probe (RFC 5227 section 2.1.1).
    pub(crate) fn probe_v4(&mut self, interface: InterfaceId, ip: Ipv4Addr) {
        self.ask(interface, Ipv4Addr::UNSPECIFIED, ip, Mac::BROADCAST);
    }

    fn ask(&mut self, interface: InterfaceId, sender: Ipv4Addr, target: Ipv4Addr, to: Mac) {
        let sender_mac = self.interfaces[interface.0 as usize].mac;
        let target_mac = Mac::new([0; 6]);
        let request = Arp { operation: REQUEST, sender_mac, sender, target_mac, target };
        self.transmit_to(interface, to, ethernet::ARP, request.emit());
    }

    /// Asks who has `ip`: everybody, or `target` alone to see whether it is still there.
    pub(crate) fn solicit(&mut self, now: Instant, interface: InterfaceId, ip: IpAddr, target: Option<Mac>) {
        match ip {
            IpAddr::V4(ip) => {
                let own = &self.interfaces[interface.0 as usize];
                let Some(IpAddr::V4(sender)) = own.source_for(ip.into(), ip.into()) else { return };
                self.ask(interface, sender, ip, target.unwrap_or(Mac::BROADCAST));
            }
            IpAddr::V6(ip) => self.solicit_v6(now, interface, ip, target),
        }
    }
}
