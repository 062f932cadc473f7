//! What the application knows of a connection with the peer, and which bytes it may get of it.

use ioth_stack::{EndpointId, Engine, Instant};

/// The byte that the peer has at a sequence number, and the one that the application has at a position.
const fn byte_at(number: u32) -> u8 {
    let mixed = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
    ((mixed ^ mixed >> 15).wrapping_mul(0x846c_a68b) >> 24) as u8
}

pub(super) fn bytes_at(number: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| byte_at(number.wrapping_add(at))).collect()
}

/// What the application knows of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: EndpointId,
    pub(super) sent: u32,
    received: u32,
    /// The end of the stream was seen.
    at_end: bool,
    /// Where the peer's stream may have begun: behind any of its SYNs.
    beginnings: Vec<u32>,
}

impl Stream {
    pub(super) const fn new(id: EndpointId) -> Self {
        Self { id, sent: 0, received: 0, at_end: false, beginnings: Vec::new() }
    }

    /// Receives, and looks whether the bytes are those that the peer has there, behind one of its SYNs.
    pub(super) fn recv(&mut self, engine: &mut Engine, now: Instant, len: usize, beginnings: &[u32]) {
        let mut buffer = vec![0; len.max(1)];
        let count = match engine.recv(now, self.id, &mut buffer) {
            Ok(0) => {
                self.at_end = true;
                return;
            }
            Ok(count) => count,
            Err(_) => return,
        };
        assert!(!self.at_end, "{count} bytes behind the end of the stream");
        if self.received == 0 {
            self.beginnings = beginnings.to_vec();
        }
        let (received, buffer) = (self.received, &buffer[..count]);
        self.beginnings.retain(|begin| buffer == bytes_at(begin.wrapping_add(received), count));
        assert!(!self.beginnings.is_empty(), "{count} bytes that the peer does not have behind {received}");
        self.received = received.wrapping_add(count as u32);
    }
}
