//! A listener: our own object, no socket of smoltcp's. A SYN with room in the backlog makes a connection.

use std::collections::{HashSet, VecDeque};

use super::cookie;
use crate::engine::endpoint::EndpointId;
use crate::time::Instant;

/// `SOMAXCONN` of Linux: what a larger backlog is cut to, listen(2).
pub(crate) const MOST: usize = 4096;

/// The connections that came in and were not accepted yet.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) backlog: usize,
    /// The three-way handshake is under way.
    embryonic: HashSet<EndpointId>,
    /// Established, in the order of their establishment: the accept queue.
    ready: VecDeque<EndpointId>,
    /// No cookie that was sent is good any more from then on.
    cookies_until: Instant,
}

impl Listener {
    pub(crate) fn new(backlog: usize) -> Self {
        Self { backlog: backlog.min(MOST), ..Self::default() }
    }

    /// The same with another backlog.
    pub(crate) fn with_backlog(self, backlog: usize) -> Self {
        Self { backlog: backlog.min(MOST), ..self }
    }

    /// Whether another connection may come: as Linux, the accept queue holds one more than the backlog.
    pub(crate) fn has_room(&self) -> bool {
        self.ready.len() <= self.backlog
    }

    /// Whether a SYN may begin another handshake; as many may be under way as connections may wait.
    pub(crate) fn may_start(&self) -> bool {
        self.embryonic.len() <= self.backlog.max(8)
    }

    /// A cookie was sent.
    pub(crate) fn sent_cookie(&mut self, now: Instant) {
        self.cookies_until = now + cookie::LIFETIME;
    }

    /// Whether an acknowledgement may be that of a cookie.
    pub(crate) fn expects_cookies(&self, now: Instant) -> bool {
        now < self.cookies_until
    }

    pub(crate) fn started(&mut self, id: EndpointId) {
        self.embryonic.insert(id);
    }

    pub(crate) fn established(&mut self, id: EndpointId) {
        if self.embryonic.remove(&id) {
            self.ready.push_back(id);
        }
    }

    /// The connection ended before it was accepted. One that was established stays, as the kernel keeps
    /// it: accept gives it out and the first receive tells what happened.
    pub(crate) fn failed(&mut self, id: EndpointId) {
        self.embryonic.remove(&id);
    }

    pub(crate) fn accept(&mut self) -> Option<EndpointId> {
        self.ready.pop_front()
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Handshakes under way.
    pub(crate) fn embryonic_len(&self) -> usize {
        self.embryonic.len()
    }

    /// All connections that were not accepted.
    pub(crate) fn drain(&mut self) -> Vec<EndpointId> {
        self.embryonic.drain().chain(self.ready.drain(..)).collect()
    }
}
