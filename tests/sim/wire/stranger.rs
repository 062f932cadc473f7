//! A peer that says what the test wants.

use std::net::Ipv4Addr;

use ioth_stack::EndpointId;

use super::frames::{ACK, Tcp};
use super::{Host, Wire};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const MAC: [u8; 6] = [2, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa];

/// One end of a connection with an engine at 10.0.0.x, from 10.0.0.77.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stranger {
    host: Host,
    address: Ipv4Addr,
    /// Its port, and the engine's.
    pub(crate) port: u16,
    pub(crate) peer_port: u16,
}

impl Stranger {
    /// Introduces itself to `host`, so that its answers leave at once.
    pub(crate) fn new(wire: &mut Wire, host: Host, port: u16, peer_port: u16) -> Self {
        let address = Ipv4Addr::new(10, 0, 0, wire.mac(host)[4]);
        let mut arp = [&[0xff; 6][..], &MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &MAC].concat();
        arp.extend(ADDRESS.octets());
        arp.extend([0; 6]);
        arp.extend(address.octets());
        wire.inject_bytes(host, &arp);
        wire.settle();
        wire.record.clear();
        Self { host, address, port, peer_port }
    }

    /// Says a segment; ports are filled in.
    pub(crate) fn says(&self, wire: &mut Wire, segment: &Tcp) {
        let bytes = self.frame(wire, segment);
        wire.inject_bytes(self.host, &bytes);
    }

    /// The same, and gives what it is answered within a millisecond.
    pub(crate) fn asks(&self, wire: &mut Wire, segment: &Tcp) -> Vec<Tcp> {
        self.says(wire, segment);
        self.hears(wire)
    }

    /// What the engine says within a millisecond.
    pub(crate) fn hears(&self, wire: &mut Wire) -> Vec<Tcp> {
        wire.record.clear();
        wire.settle();
        let segments = wire.sent_by(self.host).filter_map(|sent| Tcp::parse(&sent.bytes));
        segments.filter(|tcp| (tcp.source, tcp.destination) == (self.peer_port, self.port)).collect()
    }

    /// Opens a connection to a listener with these options in its SYN; gives the engine's SYN-ACK.
    pub(crate) fn opens(&self, wire: &mut Wire, options: &[u8]) -> Tcp {
        let syn = Tcp { flags: 2, seq: 999, window: 65_535, options: options.to_vec(), ..Tcp::default() };
        self.asks(wire, &syn).pop().unwrap()
    }

    /// The same, and acknowledges it, offering such a window: the engine's end of the connection, and what its next segment
    /// is made from.
    pub(crate) fn connects(
        &self,
        wire: &mut Wire,
        listener: EndpointId,
        options: &[u8],
        window: u16,
    ) -> (EndpointId, Tcp) {
        let ack = self.opens(wire, options).seq.wrapping_add(1);
        let next = Tcp { flags: ACK, seq: 1000, ack, window, ..Tcp::default() };
        self.says(wire, &next);
        (wire.accept(self.host, listener), next)
    }

    pub(crate) fn frame(&self, wire: &Wire, segment: &Tcp) -> Vec<u8> {
        segment.in_frame(wire.mac(self.host), (ADDRESS, self.port), (self.address, self.peer_port))
    }
}
