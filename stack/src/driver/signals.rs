//! Signals while a caller leads. epoll_wait(2) comes back from every handler, whether it has `SA_RESTART` or not, so
//! that is found out here, and none may run where it would not be noticed.
//!
//! A process without handlers pays nothing, nor does a wait that finds what it wants without a sleep. Otherwise signals
//! are blocked from the first sleep or the second turn of a call on. What comes before counts as if it had come before the call. From then on they are let in only
//! while it sleeps and, when it is too busy to, once in a millisecond. Where handlers of both kinds are installed, those
//! with `SA_RESTART` stay out of the sleep, too, and wake it by a descriptor (signalfd(2)): what interrupts it then is
//! one without.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::runtime::Runtime;
use crate::sys::signal::{self, Handlers, Set};

/// What the descriptor is called in the stack's epoll: no interface has this number.
pub(super) const SIGNALS: EventData = EventData::new_u64(u32::MAX as u64);
/// For how long what was found of the handlers is believed. A signal whose handler is newer may interrupt a call
/// that it should not, if there are handlers of both kinds.
const BELIEVED: Duration = Duration::from_millis(50);

/// How long signals wait at most for a call that is busy.
const LOOKS: Duration = Duration::from_millis(1);

/// What a stack knows of the handlers of its process.
#[derive(Debug, Default)]
pub(super) struct Watch {
    handlers: Handlers,
    looked: Option<Instant>,
    /// Tells of signals that are kept out of a sleep, and of which.
    descriptor: Option<(OwnedFd, Set)>,
    /// It has told of one.
    pub(super) told: bool,
}

impl Watch {
    fn handlers(&mut self, now: Instant) -> Handlers {
        if self.looked.is_none_or(|at| now.saturating_duration_since(at) > BELIEVED) {
            self.look();
        }
        self.handlers
    }

    fn look(&mut self) -> Handlers {
        self.handlers = signal::handlers();
        self.looked = Some(Instant::now());
        self.handlers
    }

    /// Has the epoll tell once when one of these signals waits. Says whether it will.
    fn arm(&mut self, epoll: &OwnedFd, runtime: &Runtime, set: Set) -> bool {
        let once = EventFlags::IN | EventFlags::ONESHOT;
        match &self.descriptor {
            Some((fd, of)) if *of == set => return epoll::modify(epoll, fd, SIGNALS, once).is_ok(),
            _ => self.release(epoll, runtime),
        }
        let Ok(fd) = signal::descriptor(set) else { return false };
        let added = epoll::add(epoll, &fd, SIGNALS, once).is_ok();
        runtime.descriptors().insert(fd.as_fd());
        self.descriptor = Some((fd, set));
        added
    }

    /// Whether a call ends after the handlers of these have run.
    pub(super) fn end(&mut self, set: Set, restarts: bool) -> bool {
        let handlers = self.look();
        let ending =
            if restarts { handlers.interrupting } else { handlers.interrupting.or(handlers.restarting) };
        !ending.and(set).is_empty()
    }

    /// Gives the descriptor back.
    pub(super) fn release(&mut self, epoll: &OwnedFd, runtime: &Runtime) {
        if let Some((fd, _)) = self.descriptor.take() {
            let _ = epoll::delete(epoll, &fd);
            runtime.descriptors().remove(fd.as_fd());
        }
    }
}

/// The signals of one waiting call.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// It has had a turn.
    begun: bool,
    /// Which ones the thread had blocked, since they all are.
    before: Option<Set>,
    /// When those were let in that wait.
    looked: Option<Instant>,
}

impl Signals {
    /// Begins a turn. From the second one on, gives the signals that wait to be let in, now and then.
    pub(super) fn turn(&mut self, watch: &mut Watch) -> Set {
        if std::mem::replace(&mut self.begun, true) {
            self.guard(watch, Instant::now());
        }
        let told = std::mem::take(&mut watch.told);
        if !told && self.looked.is_some_and(|at| at.elapsed() < LOOKS) {
            return Set::default();
        }
        self.waiting()
    }

    /// The signals that wait to be let in.
    pub(super) fn waiting(&mut self) -> Set {
        let Some(before) = self.before else { return Set::default() };
        self.looked = Some(Instant::now());
        signal::pending().and(signal::ALL).without(before)
    }

    /// Blocks them all if any has a handler.
    pub(super) fn guard(&mut self, watch: &mut Watch, now: Instant) {
        if watch.handlers(now) != Handlers::default() {
            self.block();
        }
    }

    /// Blocks them all, until the call ends or they are unblocked.
    pub(super) fn block(&mut self) {
        self.before.get_or_insert_with(|| signal::block(signal::ALL));
    }

    pub(super) const fn are_blocked(&self) -> bool {
        self.before.is_some()
    }

    /// Has the thread's own mask again.
    pub(super) fn unblock(&mut self) {
        if let Some(before) = self.before.take() {
            signal::set_mask(before);
        }
    }

    /// Lets these in. Nothing may be locked meanwhile: handlers run.
    pub(super) fn let_in(&self, set: Set) {
        if let Some(before) = self.before {
            signal::set_mask(before.or(signal::ALL.without(set)));
            signal::set_mask(before.or(signal::ALL));
        }
    }

    /// Prepares a sleep: gives the signals that are to be blocked during it, if not those that are.
    pub(super) fn mask(
        &mut self,
        watch: &mut Watch,
        now: Instant,
        epoll: &OwnedFd,
        runtime: &Runtime,
    ) -> Option<Set> {
        self.guard(watch, now);
        let before = self.before?;
        let Handlers { restarting, interrupting } = watch.handlers;
        let outside = if interrupting.is_empty() { Set::default() } else { restarting.without(before) };
        let told = !outside.is_empty() && watch.arm(epoll, runtime, outside);
        Some(if told { before.or(outside) } else { before })
    }

    /// A handler ran while it slept, or the process was stopped and goes on. Says whether the call ends; `restarts`: a
    /// handler with `SA_RESTART` does not end it.
    pub(super) fn ends(&self, watch: &mut Watch, restarts: bool) -> bool {
        let blocked = self.before.unwrap_or_else(|| signal::block(Set::default()));
        !restarts || !watch.look().interrupting.without(blocked).is_empty()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.unblock();
    }
}
