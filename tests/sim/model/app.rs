//! An application with its end of a connection: what it did, what it waits for, and what it may see.

use ioth_stack::{EndpointId, Error, Readiness, Shutdown};

use crate::wire::{Host, Wire};

/// The bytes of the stream in direction `salt` from a position on: each depends on its position.
fn stream(salt: u8, position: usize, len: usize) -> Vec<u8> {
    let byte = |at: usize| (at ^ (at >> 8) ^ (at >> 16)) as u8 ^ salt;
    (position..position + len).map(byte).collect()
}

/// What became of a call that found nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The last such call, if any, did something.
    Not,
    /// It was told to wait, and nobody has said since that it may try again.
    Waits,
    /// Something has happened since.
    Told,
}

/// An application.
#[derive(Debug)]
pub(super) struct App {
    pub(super) host: Host,
    /// Its endpoint, from connect or accept until close.
    pub(super) id: Option<EndpointId>,
    salt: u8,
    /// How the other application's stream is salted.
    peer_salt: u8,
    pub(super) sent: usize,
    pub(super) received: usize,
    /// How much more it wants to send before it shuts down.
    pub(super) wants: usize,
    pub(super) shut: bool,
    pub(super) closed: bool,
    /// It has seen the end of the stream.
    pub(super) at_end: bool,
    /// The call that said how the connection ended.
    pub(super) failed: Option<Error>,
    opening: Wait,
    reading: Wait,
    writing: Wait,
}

impl App {
    pub(super) fn new(host: Host, salt: u8, peer_salt: u8) -> Self {
        Self {
            host,
            id: None,
            salt,
            peer_salt,
            sent: 0,
            received: 0,
            wants: 0,
            shut: false,
            closed: false,
            at_end: false,
            failed: None,
            opening: Wait::Not,
            reading: Wait::Not,
            writing: Wait::Not,
        }
    }

    /// It has called connect, which goes on.
    pub(super) const fn opens(&mut self, id: EndpointId) {
        (self.id, self.opening) = (Some(id), Wait::Waits);
    }

    /// Whether its connect still goes on, as far as it knows.
    pub(super) fn is_opening(&self) -> bool {
        self.opening != Wait::Not
    }

    /// Sends so much, or what fits.
    pub(super) fn send(&mut self, wire: &mut Wire, len: usize) {
        let Some(id) = self.id.filter(|_| !self.shut && len > 0) else { return };
        match wire.send(self.host, id, &stream(self.salt, self.sent, len)) {
            Ok(sent) => {
                assert!((1..=len).contains(&sent), "{sent} of {len} bytes");
                self.sent += sent;
                self.writing = Wait::Not;
                if sent % 5 == 0 {
                    // It is one of many all the same.
                    wire[self.host].mark_urgent(id).unwrap();
                }
            }
            Err(Error::WouldBlock) => self.writing = Wait::Waits,
            Err(error) => self.fails(error),
        }
    }

    /// Receives so much, or what there is, and looks whether it is what the other sent. False when there is
    /// nothing more for now.
    pub(super) fn recv(&mut self, wire: &mut Wire, len: usize, peer_sent: usize) -> bool {
        let Some(id) = self.id.filter(|_| !self.at_end) else { return false };
        let mut buffer = vec![0; len];
        let now = wire.now();
        match wire[self.host].recv(now, id, &mut buffer) {
            Ok(0) => {
                let whole = self.received == peer_sent || self.failed.is_some();
                assert!(whole, "the end after {} of {peer_sent} bytes", self.received);
                self.at_end = true;
                self.reading = Wait::Not;
                false
            }
            Ok(count) => {
                assert!(self.received + count <= peer_sent, "{count} bytes that nobody sent");
                let right = buffer[..count] == stream(self.peer_salt, self.received, count);
                assert!(right, "wrong bytes in {count} behind {}", self.received);
                self.received += count;
                self.reading = Wait::Not;
                true
            }
            Err(Error::WouldBlock) => {
                self.reading = Wait::Waits;
                false
            }
            Err(error) => {
                self.fails(error);
                false
            }
        }
    }

    fn fails(&mut self, error: Error) {
        // Sending into a connection that has ended says no more than that.
        if self.failed.is_none() || error != Error::BrokenPipe {
            self.failed = Some(error);
        }
        (self.reading, self.writing) = (Wait::Not, Wait::Not);
    }

    pub(super) fn shutdown(&mut self, wire: &mut Wire) {
        // While it connects, that would end the attempt.
        let Some(id) = self.id.filter(|_| !self.shut && !self.is_opening()) else { return };
        let now = wire.now();
        match wire[self.host].shutdown(now, id, Shutdown::Write) {
            Ok(()) => {}
            Err(error) => self.fails(error),
        }
        self.shut = true;
    }

    pub(super) fn close(&mut self, wire: &mut Wire) {
        let Some(id) = self.id.take() else { return };
        wire.close(self.host, id);
        self.closed = true;
        (self.opening, self.reading, self.writing) = (Wait::Not, Wait::Not, Wait::Not);
    }

    /// Takes note of the events of its engine, and of the state of its endpoint behind them: who was told to
    /// wait has to be told when that is over, and not only when asked again.
    pub(super) fn hear(&mut self, wire: &mut Wire, events: &[EndpointId]) {
        let Some(id) = self.id else { return };
        let ready = wire[self.host].readiness(id);
        let told = events.contains(&id);
        for (wait, over, what) in [
            (&mut self.opening, !ready.connecting, "connected"),
            (&mut self.reading, may_read(&ready), "readable"),
            (&mut self.writing, ready.writable || ready.write_closed, "writable"),
        ] {
            if *wait == Wait::Waits && over {
                assert!(told, "{:?}: {what} without an event: {ready:?}", self.host);
                *wait = Wait::Told;
            }
        }
        if self.opening == Wait::Told {
            self.opening = Wait::Not;
            if let Err(error) = wire[self.host].connect_result(id) {
                self.fails(error);
            }
        }
    }

    /// Does what it can, driven by events alone: receives all there is, sends what it wants to, and then shuts
    /// down.
    pub(super) fn act(&mut self, wire: &mut Wire, peer_sent: usize) {
        if self.id.is_none() || self.is_opening() {
            return;
        }
        while self.reading != Wait::Waits && self.recv(wire, 65_536, peer_sent) {}
        while self.wants > 0 && !self.shut && self.writing != Wait::Waits && self.failed.is_none() {
            let before = self.sent;
            self.send(wire, self.wants.min(100_000));
            self.wants -= self.sent - before;
        }
        if self.wants == 0 {
            self.shutdown(wire);
        }
    }

    /// Whether it waits for the other no longer.
    pub(super) const fn is_done(&self) -> bool {
        self.closed || (self.at_end && (self.shut || self.failed.is_some()))
    }
}

const fn may_read(ready: &Readiness) -> bool {
    ready.readable || ready.read_closed || ready.error
}
