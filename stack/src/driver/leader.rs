//! Callers that must wait: one of them leads and runs the stack on its own thread, the others follow.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use rustix::event::{Timespec, epoll};

use super::attachment::Context;
use super::core::{Core, EVENTS, Follower, Shared};
use super::runtime::Message;
use crate::engine::endpoint::EndpointId;

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

impl Shared {
    /// Calls `f` until it says `Some`, and waits for events of the endpoint in between. `None` when
    /// the deadline has passed.
    pub(crate) fn wait<R>(
        self: &Arc<Self>,
        id: EndpointId,
        deadline: Option<Instant>,
        mut f: impl FnMut(&mut Context<'_>) -> Option<R>,
    ) -> Option<R> {
        let mut core = self.core.lock();
        let mut leading = false;
        let result = loop {
            let now = self.now();
            (core.looked, core.looked_event) = (Some(id), false);
            let result = f(&mut core.context(now));
            core.settle(now);
            core.looked = None;
            if result.is_some() || deadline.is_some_and(|at| at <= Instant::now()) {
                break result;
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
                while !core.awaited_event && deadline.is_none_or(|at| Instant::now() < at) {
                    self.lead(&mut core, deadline);
                }
                core.awaited = None;
            } else {
                Self::follow(&mut core, id, deadline);
            }
        };
        if leading {
            self.step_down(&mut core);
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
            next.woken.store(true, Ordering::Relaxed);
            next.condition.notify_one();
        } else if let Some(next) = core.beside.last() {
            next.ring();
        }
        if core.long_led {
            core.long_led = false;
            self.runtime.tell(Message::Tick(Arc::clone(self)));
        }
    }

    /// One turn of a leader: sleeps until something happens, and deals with it.
    fn lead(&self, core: &mut MutexGuard<'_, Core>, deadline: Option<Instant>) {
        // Looking lets go of the lock: what is awaited may have come meanwhile.
        if core.attachments.work.is_empty() && !self.spin(core) && !core.awaited_event && core.arm_links() {
            let due = core.engine.poll_timeout().map(|at| self.clock(at));
            let wake = [due, deadline].into_iter().flatten().min();
            let started = Instant::now();
            let timeout = wake.map(|at| at.saturating_duration_since(started)).map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut events = [MaybeUninit::uninit(); EVENTS];
            core.asleep = true;
            let ready =
                MutexGuard::unlocked(core, || epoll::wait(&self.epoll, &mut events, timeout.as_ref()));
            core.asleep = false;
            if let Ok((ready, _)) = ready {
                core.note(ready);
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

    /// Waits until the endpoint has an event, or nobody leads any more.
    fn follow(core: &mut MutexGuard<'_, Core>, id: EndpointId, deadline: Option<Instant>) {
        let follower = Arc::new(Follower::default());
        core.followers.entry(id).or_default().push(Arc::clone(&follower));
        while core.led && !follower.woken.load(Ordering::Relaxed) {
            match deadline {
                Some(deadline) if follower.condition.wait_until(core, deadline).timed_out() => break,
                Some(_) => {}
                None => follower.condition.wait(core),
            }
        }
        if let Some(waiting) = core.followers.get_mut(&id) {
            waiting.retain(|other| !Arc::ptr_eq(other, &follower));
            if waiting.is_empty() {
                core.followers.remove(&id);
            }
        }
    }
}
