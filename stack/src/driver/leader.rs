//! Callers that must wait: one of them leads and runs the stack on its own thread, the others follow.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use rustix::event::Timespec;
use rustix::io::Errno;

use super::attachment::Context;
use super::core::{Core, EVENTS, Shared};
use super::follower::{Follower, Woke};
use super::runtime::Message;
use super::signals::Signals;
use crate::engine::endpoint::EndpointId;
use crate::sys::signal::{self, Set};

/// How long a leader looks at in-process links at most before it sleeps.
const MOST_SPIN: Duration = Duration::from_micros(50);
/// A sleep shorter than this would better have been a look.
const SHORT_SLEEP: Duration = Duration::from_micros(100);

/// How long to look at the links before sleeping. Looking at an in-process link costs no system call, and
/// pays when the answer is a few microseconds away; when it did not pay lately, it is left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spin {
    in_process: bool,
    busy_poll: Duration,
    adaptive: Duration,
}

impl Spin {
    /// `busy_poll` is what the user asked for; it counts for links that need system calls too.
    pub(super) const fn new(in_process: bool, busy_poll: Duration) -> Self {
        Self { in_process, busy_poll, adaptive: if in_process { MOST_SPIN } else { Duration::ZERO } }
    }

    fn budget(&self) -> Duration {
        self.adaptive.max(self.busy_poll)
    }

    /// It paid, or the sleep after it was short.
    fn more(&mut self) {
        if self.in_process {
            self.adaptive = (self.adaptive * 2).clamp(Duration::from_micros(10), MOST_SPIN);
        }
    }

    fn less(&mut self) {
        self.adaptive /= 2;
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Waited<R> {
    /// What was waited for is there.
    Done(R),
    /// The deadline has passed.
    TimedOut,
    /// A signal handler ran that ends a call that waits: one without `SA_RESTART`, any with a deadline or where
    /// [`Context::restarts`] says so.
    Interrupted,
}

impl<R> Waited<R> {
    /// What was waited for, if it is there.
    pub fn done(self) -> Option<R> {
        if let Self::Done(result) = self { Some(result) } else { None }
    }
}

impl Shared {
    /// Calls `f` until it says `Some`, and waits for events of the endpoint in between.
    pub(crate) fn wait<R>(
        self: &Arc<Self>,
        id: EndpointId,
        deadline: Option<Instant>,
        mut f: impl FnMut(&mut Context<'_>) -> Option<R>,
    ) -> Waited<R> {
        // It lets signals in again when the lock is free.
        let mut signals = Signals::default();
        let mut core = self.core.lock();
        let (mut leading, mut interrupted) = (false, false);
        let result = loop {
            let now = self.now();
            (core.looked, core.looked_event) = (Some(id), false);
            let mut context = core.context(now);
            let result = f(&mut context);
            let restarts = context.restarts && deadline.is_none();
            core.settle(now);
            core.looked = None;
            if let Some(result) = result {
                break Waited::Done(result);
            }
            if interrupted {
                break Waited::Interrupted;
            }
            if deadline.is_some_and(|at| at <= Instant::now()) {
                break Waited::TimedOut;
            }
            if !leading && !core.led {
                leading = true;
                core.led = true;
                self.take_from_driver(&mut core);
            }
            if core.looked_event {
                continue;
            }
            if leading {
                core.awaited = Some(id);
                core.awaited_event = false;
                while !core.awaited_event && !interrupted && deadline.is_none_or(|at| Instant::now() < at) {
                    interrupted = self.lead(&mut core, deadline, &mut signals, restarts);
                }
                core.awaited = None;
            } else {
                interrupted = Self::follow(&mut core, id, deadline, &mut signals, restarts);
            }
        };
        if leading {
            self.step_down(&mut core);
        } else if !core.led
            // Who was asked to lead has given up instead.
            && let Some(next) = core.followers.values().flatten().next()
        {
            next.wake_to_lead();
        }
        self.leave(&mut core);
        result
    }

    /// Gives up the lead.
    pub(super) fn step_down(self: &Arc<Self>, core: &mut Core) {
        core.led = false;
        // The next lead is not this one: many short ones are no long one.
        core.led_visits = 0;
        // Somebody must run the stack for those who still wait.
        if let Some(next) = core.followers.values().flatten().next() {
            next.wake_to_lead();
        } else if let Some(next) = core.beside.last() {
            next.ring();
        }
        if core.long_led {
            core.long_led = false;
            self.runtime.tell(Message::Tick(Arc::clone(self)));
        }
    }

    /// One turn of a leader: sleeps until something happens, and deals with it. Says whether a signal handler ran that
    /// ends the call; `restarts`: one with `SA_RESTART` does not.
    fn lead(
        &self,
        core: &mut MutexGuard<'_, Core>,
        deadline: Option<Instant>,
        signals: &mut Signals,
        restarts: bool,
    ) -> bool {
        let waiting = signals.turn(&mut core.watch);
        let mut interrupted = Self::let_in(core, waiting, signals, restarts);
        // Looking lets go of the lock: what is awaited may have come meanwhile.
        if !interrupted
            && core.attachments.work.is_empty()
            && !self.spin(core)
            && !core.awaited_event
            && core.arm_links()
        {
            let due = core.engine.poll_timeout().map(|at| self.clock(at));
            let wake = [due, deadline].into_iter().flatten().min();
            let started = Instant::now();
            let timeout = wake.map(|at| at.saturating_duration_since(started)).map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut events = [MaybeUninit::uninit(); EVENTS];
            let mask = signals.mask(&mut core.watch, started, &self.epoll, &self.runtime);
            core.asleep = true;
            let ready =
                MutexGuard::unlocked(core, || signal::wait(&self.epoll, &mut events, timeout.as_ref(), mask));
            core.asleep = false;
            match ready {
                Ok(ready) => drop(core.note(ready)),
                Err(errno) => interrupted = errno == Errno::INTR && signals.ends(&mut core.watch, restarts),
            }
            if started.elapsed() < SHORT_SLEEP {
                core.spin.more();
            }
        }
        let now = self.now();
        core.ingress(now);
        if core.engine.poll_timeout().is_some_and(|at| at <= now) {
            core.engine.handle_timeout(now);
        }
        core.settle(now);
        interrupted
    }

    /// Looks at the links for a while before sleeping. Says whether something came.
    fn spin(&self, core: &mut MutexGuard<'_, Core>) -> bool {
        let budget = core.spin.budget();
        if budget.is_zero() {
            return core.links_pending();
        }
        let until = Instant::now() + budget;
        loop {
            let busy_poll = !core.spin.busy_poll.is_zero();
            if core.links_pending() || (busy_poll && core.ingress(self.now())) {
                core.spin.more();
                return true;
            }
            if Instant::now() >= until {
                core.spin.less();
                return false;
            }
            // Others may want the lock, or the processor: whoever is to answer may share it with us.
            MutexGuard::unlocked(core, std::thread::yield_now);
        }
    }

    /// Waits until the endpoint has an event, or nobody leads any more. Says whether a signal handler ran that ends the
    /// call; `restarts`: one with `SA_RESTART` does not.
    fn follow(
        core: &mut MutexGuard<'_, Core>,
        id: EndpointId,
        deadline: Option<Instant>,
        signals: &mut Signals,
        restarts: bool,
    ) -> bool {
        let follower = Arc::new(Follower::default());
        core.followers.entry(id).or_default().push(Arc::clone(&follower));
        signals.guard(&mut core.watch, Instant::now());
        let waiting = signals.turn(&mut core.watch);
        let mut interrupted = Self::let_in(core, waiting, signals, restarts);
        while core.led
            && !follower.is_woken()
            && !interrupted
            && deadline.is_none_or(|at| Instant::now() < at)
        {
            match MutexGuard::unlocked(core, || follower.sleep(deadline, restarts, signals)) {
                Woke::Look => {}
                Woke::Waiting(set) => interrupted = Self::let_in(core, set, signals, restarts),
                Woke::Interrupted => interrupted = true,
            }
        }
        if let Some(waiting) = core.followers.get_mut(&id) {
            waiting.retain(|other| !Arc::ptr_eq(other, &follower));
            if waiting.is_empty() {
                core.followers.remove(&id);
            }
        }
        interrupted
    }

    /// Lets signals in that wait. Says whether the handlers end the call.
    fn let_in(core: &mut MutexGuard<'_, Core>, waiting: Set, signals: &Signals, restarts: bool) -> bool {
        if waiting.is_empty() {
            return false;
        }
        let ends = core.watch.end(waiting, restarts);
        MutexGuard::unlocked(core, || signals.let_in(waiting));
        ends
    }
}
