//! What a library call and the engine's side of a socket know together.
//!
//! Everything here is written under the lock of the stack; that is what makes relaxed atomics enough,
//! and what makes the copy whole that a forked child gets.

use crate::arrivals::Arrivals;
use crate::cork::Cork;
use crate::option::Settings;
use ioth_stack::{Cause, Family, Kind};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicUsize, Ordering::Relaxed};

/// How far a socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Neither connected nor listening.
    Fresh,
    /// A connect is under way that nobody waits for; the pair is filled.
    Filled,
    /// A connect is under way that a blocked caller waits for.
    Awaited,
    /// Connected; for a datagram socket: it has a peer.
    Connected,
    /// Listening.
    Listening,
    /// A connect that nobody waited for failed; the engine is about to close its end.
    Refused,
    /// The engine closed its end; what is left is in the pair.
    Ended,
}

/// How the program waits for what arrives on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Waits {
    /// It did not, or by plain calls.
    Unknown,
    /// By the library's poll, select or epoll, which see what is in the ring.
    Library,
    /// By plain calls, whatever else it does: what arrives goes into the pair at once.
    Plain,
}

/// The shared state of one socket.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Stream or datagram.
    pub(crate) kind: Kind,
    /// Family it was made with.
    pub(crate) family: Family,
    /// `SO_COOKIE` of the application's end.
    pub(crate) cookie: u64,
    /// Which process made it; see [`crate::fork`].
    pub(crate) generation: u32,
    /// The options, as getsockopt(2) shows them.
    pub(crate) settings: Settings,
    /// Upper bound of the bytes (datagrams, connections) in the pair towards the application: grows
    /// by what the engine puts in, shrinks by what library calls take, 0 once one found it empty.
    pub(crate) held: AtomicUsize,
    /// Library calls that wait to receive; what arrives meanwhile stays where they take it from.
    pub(crate) waiting: AtomicUsize,
    /// Ticks for which what arrives stays for the next library call: the last receiver came through the
    /// library and waited, so the next one probably will too.
    pub(crate) direct: AtomicU8,
    /// Bytes in the ring were reported by a wait of the library, and no library call has received since.
    pub(crate) offered: AtomicBool,
    waits: AtomicU8,
    /// The descriptor's O_NONBLOCK as last seen. A hint: wrong, it costs a tick.
    pub(crate) nonblocking: AtomicBool,
    /// Error that the next call reports and `SO_ERROR` shows, as errno; 0 for none.
    pub(crate) error: AtomicI32,
    /// A connect that did not wait has not been asked for its result by another connect.
    pub(crate) uncollected: AtomicBool,
    /// The peer has marked something urgent: what it says goes through the pair, which keeps the mark.
    pub(crate) urgent: AtomicBool,
    /// Receiving was shut down through the library.
    pub(crate) read_shut: AtomicBool,
    /// Sending was shut down through the library.
    pub(crate) write_shut: AtomicBool,
    /// A descriptor was closed through the library: look whether it was the last one.
    pub(crate) look: AtomicBool,
    /// The engine has seen that nobody holds the application's end any more.
    pub(crate) hung_up: AtomicBool,
    /// Calls that wait, see [`crate::inside`].
    pub(crate) inside: AtomicUsize,
    /// A descriptor was closed meanwhile.
    pub(crate) closed_inside: AtomicBool,
    /// A copy of the application's end for calls that wait, once one was closed.
    pub(crate) kept: Mutex<Option<OwnedFd>>,
    /// The engine's end.
    pub(crate) end: Mutex<Option<Arc<OwnedFd>>>,
    /// Copy of the application's end while it is filled; see [`crate::connecting`].
    pub(crate) spare: Mutex<Option<OwnedFd>>,
    /// Accepted connection that did not fit into the listener's pair.
    pub(crate) parked: Mutex<Option<(OwnedFd, SocketAddr)>>,
    /// How the datagrams in the pair arrived, if that is asked for.
    pub(crate) arrivals: Arrivals,
    /// A datagram that is put together.
    pub(crate) cork: Cork,
    phase: AtomicU8,
    names: Mutex<Names>,
}

/// The two addresses of a socket as last seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names {
    /// Its own address.
    pub(crate) local: Option<SocketAddr>,
    /// Its peer's.
    pub(crate) peer: Option<SocketAddr>,
}

impl Shared {
    /// The state of a new socket.
    pub(crate) fn new(
        kind: Kind,
        family: Family,
        cookie: u64,
        settings: Settings,
        end: Arc<OwnedFd>,
    ) -> Self {
        Self {
            kind,
            family,
            cookie,
            generation: crate::fork::generation(),
            settings,
            held: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            direct: AtomicU8::new(0),
            offered: AtomicBool::new(false),
            waits: AtomicU8::new(Waits::Unknown as u8),
            nonblocking: AtomicBool::new(false),
            error: AtomicI32::new(0),
            uncollected: AtomicBool::new(false),
            urgent: AtomicBool::new(false),
            read_shut: AtomicBool::new(false),
            write_shut: AtomicBool::new(false),
            look: AtomicBool::new(false),
            hung_up: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            closed_inside: AtomicBool::new(false),
            kept: Mutex::new(None),
            end: Mutex::new(Some(end)),
            spare: Mutex::new(None),
            parked: Mutex::new(None),
            arrivals: Arrivals::default(),
            cork: Cork::default(),
            phase: AtomicU8::new(Phase::Fresh as u8),
            names: Mutex::new(Names::default()),
        }
    }

    /// Notes how a library call received: whether the next one will probably come the same way.
    pub(crate) fn set_direct(&self, direct: bool) {
        // The first tick may come at once, so a whole one passes only by the second. Who waits for many at once comes
        // when it is done with the others.
        let ticks = if self.waits() == Waits::Library { 20 } else { 2 };
        self.direct.store(if direct { ticks } else { 0 }, Relaxed);
    }

    /// Whether what arrived stays where it is, for the library call that will probably come.
    pub(crate) fn stays_direct(&self, cause: Cause) -> bool {
        let left = self.direct.load(Relaxed);
        match cause {
            Cause::Tick if left > 0 => {
                self.direct.store(left - 1, Relaxed);
                if left == 1 && self.waits() == Waits::Library {
                    // Nobody came for it: somebody may wait by plain calls.
                    self.set_waits(Waits::Unknown);
                }
            }
            Cause::Drain => self.direct.store(0, Relaxed),
            _ => {}
        }
        self.direct.load(Relaxed) > 0
    }

    /// Whether what arrives stays in the ring at this time.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.load(Relaxed) > 0
    }

    /// How the program waits for what arrives.
    pub(crate) fn waits(&self) -> Waits {
        match self.waits.load(Relaxed) {
            1 => Waits::Library,
            2 => Waits::Plain,
            _ => Waits::Unknown,
        }
    }

    /// Notes how the program waits.
    pub(crate) fn set_waits(&self, waits: Waits) {
        self.waits.store(waits as u8, Relaxed);
    }

    /// Notes a library call that received, with `polled` telling that plain calls are likely to come for the rest; says
    /// whether the rest goes into the pair at once.
    pub(crate) fn received(&self, polled: bool) -> bool {
        self.offered.store(false, Relaxed);
        let polled = match self.waits() {
            Waits::Unknown => polled,
            Waits::Library => false,
            Waits::Plain => true,
        };
        self.set_direct(!polled);
        polled
    }

    /// Moves the socket on in its life.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Remembers the addresses, for the time after the endpoint and for forked children.
    pub(crate) fn set_names(&self, local: Option<SocketAddr>, peer: Option<SocketAddr>) {
        let mut names = self.names.lock();
        names.local = local.or(names.local);
        names.peer = peer;
    }

    /// Notes that the engine put `count` bytes (datagrams, connections) into the pair.
    pub(crate) fn put(&self, count: usize) {
        self.held.fetch_add(count, Relaxed);
    }

    /// Notes that a library call took `count` bytes out of the pair, and whether it found it empty.
    pub(crate) fn took(&self, count: usize, emptied: bool) {
        let left = if emptied { 0 } else { self.held.load(Relaxed).saturating_sub(count) };
        self.held.store(left, Relaxed);
    }

    /// How far the socket is.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            1 => Phase::Filled,
            2 => Phase::Awaited,
            3 => Phase::Connected,
            4 => Phase::Listening,
            5 => Phase::Refused,
            6 => Phase::Ended,
            _ => Phase::Fresh,
        }
    }

    /// The addresses as last seen.
    pub(crate) fn names(&self) -> Names {
        if self.inherited() {
            // A thread of the parent may have held the lock at the fork: here nobody lets go of it.
            return self.names.try_lock().map(|names| *names).unwrap_or_default();
        }
        *self.names.lock()
    }

    /// The engine's end, while it has one.
    pub(crate) fn engine_end(&self) -> Option<Arc<OwnedFd>> {
        self.end.lock().clone()
    }

    /// Whether the connection is over, and not just shut down on this side, which ends the pair, too.
    pub(crate) fn is_over(&self) -> bool {
        self.phase() == Phase::Ended && !(self.read_shut.load(Relaxed) && self.error.load(Relaxed) == 0)
    }

    /// Whether a parent process made it: its engine is out of reach then.
    pub(crate) fn inherited(&self) -> bool {
        self.generation != crate::fork::generation()
    }
}
