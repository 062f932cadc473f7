//! One stack with its links, under one lock, and the turns in which it is run.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use slotmap::KeyData;

use super::attachment::{Attachments, Cause, Context};
use super::follower::Follower;
use super::runtime::{Message, Runtime};
use super::signals::{SIGNALS, Watch};
use super::watch::Inbox;
use crate::engine::Engine;
use crate::engine::endpoint::EndpointId;
use crate::engine::snapshot::Snapshot;
use crate::error::Error;
use crate::link::Link;
use crate::time::Instant;

/// Turns of ingress that a visit of the driver takes at most.
const VISIT_TURNS: usize = 64;
/// Bytes in super-frames that a visit of the driver takes from links for sockets that have no room for them. What is left
/// there costs no copy, and is there when the socket's owner comes.
const MOST_SPILLED: usize = 256 * 1024;
/// Pumps after which a turn ends, so that a caller's turn ends too.
const PUMPS_PER_TURN: usize = 256;
/// What the descriptor that wakes the leader is called in the stack's epoll: the number of the loopback
/// interface, which has no link.
const ROUSE: EventData = EventData::new_u64(0);
/// Descriptors asked for with one epoll_wait.
pub(super) const EVENTS: usize = 64;

/// A stack as the driver and its handles share it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) id: u64,
    name: String,
    pub(super) runtime: Arc<Runtime>,
    /// Holds the links and the attachments.
    pub(super) epoll: OwnedFd,
    pub(super) core: Mutex<Core>,
    /// Wakes the leader out of it. Edge-triggered, so nobody reads it.
    rouse: Arc<OwnedFd>,
    /// Set by the driver when it found the lock taken: whoever has it does what was due.
    missed: AtomicBool,
    started: std::time::Instant,
    linger: Duration,
}

/// What the lock protects.
pub(super) struct Core {
    pub(super) engine: Engine,
    pub(super) attachments: Attachments,
    /// By number of interface; `None` for loopback and for links that are gone.
    pub(super) links: Vec<Option<Box<dyn Link>>>,
    /// Whether a caller runs the stack.
    pub(super) led: bool,
    /// The endpoint that the leader waits for, and whether it had an event.
    pub(super) awaited: Option<EndpointId>,
    pub(super) awaited_event: bool,
    /// Whether the leader sleeps, so that somebody else's turn must wake it.
    pub(super) asleep: bool,
    rouse: Arc<OwnedFd>,
    /// The endpoint that a waiting call just looked at, and whether it had an event since: on the
    /// loopback interface, what the call sent may be answered before it starts to wait.
    pub(super) looked: Option<EndpointId>,
    pub(super) looked_event: bool,
    /// Callers that wait while another leads, by their endpoint.
    pub(super) followers: HashMap<EndpointId, Vec<Arc<Follower>>>,
    /// Callers that wait for many endpoints while another leads.
    pub(super) beside: Vec<Arc<Inbox>>,
    /// Whether the stack's epoll is armed in the driver's.
    pub(super) armed: bool,
    /// Whether the driver visits the stack every millisecond.
    pub(super) ticking: bool,
    /// Whether the driver visits it seldom, because one caller leads it all the time.
    pub(super) long_led: bool,
    /// Whether the stack was used since the driver's last visit.
    used: bool,
    /// Whether the last frames came one at a time.
    pub(super) lone: bool,
    /// Bytes in super-frames that found no room, wholly or in part, since a visit of the driver began.
    pub(super) spilled: usize,
    /// Whether a caller that waits for many at once led since the driver's last visit.
    pub(super) led_lately: bool,
    /// Visits in a row that found a leader.
    pub(super) led_visits: u32,
    /// The deadline that the driver knows.
    known_deadline: Option<Instant>,
    pub(super) spin: super::leader::Spin,
    /// What is known of the handlers of signals.
    pub(super) watch: Watch,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("led", &self.led).field("armed", &self.armed).finish_non_exhaustive()
    }
}

/// What a visit of the driver found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Visit {
    /// There is more to do: come again at once.
    Again,
    /// Something was going on: come again soon.
    Busy,
    /// A caller leads, and has for a while.
    LongLed,
    /// Nothing: the stack is armed, and due at this time.
    Armed(Option<std::time::Instant>),
}

impl Shared {
    pub(crate) fn new(
        runtime: &Arc<Runtime>,
        name: Option<String>,
        engine: Engine,
        links: Vec<Option<Box<dyn Link>>>,
        busy_poll: Duration,
        linger: Duration,
    ) -> io::Result<Arc<Self>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let second = rustix::io::fcntl_dupfd_cloexec(&epoll, 0)?;
        let rouse = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &rouse, ROUSE, EventFlags::IN | EventFlags::ET)?;
        {
            let mut descriptors = runtime.descriptors();
            descriptors.insert(std::os::fd::AsFd::as_fd(&epoll));
            descriptors.insert(std::os::fd::AsFd::as_fd(&second));
            descriptors.insert(std::os::fd::AsFd::as_fd(&rouse));
            for link in links.iter().flatten() {
                link.descriptors().into_iter().for_each(|fd| descriptors.insert(fd));
            }
        }
        for (index, link) in links.iter().enumerate() {
            if let Some(link) = link {
                epoll::add(&epoll, link.as_fd(), EventData::new_u64(index as u64), EventFlags::IN)?;
            }
        }
        let in_process = links.iter().flatten().any(|link| link.pending().is_some());
        let core = Core {
            engine,
            attachments: Attachments::new(second, Arc::downgrade(runtime)),
            links,
            led: false,
            awaited: None,
            awaited_event: false,
            asleep: false,
            rouse: Arc::clone(&rouse),
            looked: None,
            looked_event: false,
            followers: HashMap::new(),
            beside: Vec::new(),
            armed: false,
            ticking: true,
            long_led: false,
            used: false,
            lone: false,
            spilled: 0,
            led_lately: false,
            led_visits: 0,
            known_deadline: None,
            spin: super::leader::Spin::new(in_process, busy_poll),
            watch: Watch::default(),
        };
        let id = runtime.next_id();
        let shared = Arc::new(Self {
            id,
            name: name.unwrap_or_else(|| format!("stack{id}")),
            runtime: Arc::clone(runtime),
            epoll,
            core: Mutex::new(core),
            rouse,
            missed: AtomicBool::new(false),
            started: std::time::Instant::now(),
            linger,
        });
        epoll::add(&runtime.outer, &shared.epoll, EventData::new_u64(shared.id), EventFlags::empty())?;
        runtime.register(&shared);
        runtime.tell(Message::Tick(Arc::clone(&shared)));
        Ok(shared)
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    pub(super) fn now(&self) -> Instant {
        let nanos = self.started.elapsed().as_nanos();
        // The engine's clock does not start at zero: sequence numbers follow it.
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(super) fn clock(&self, at: Instant) -> std::time::Instant {
        self.started + Duration::from_nanos(at.as_nanos())
    }

    pub(super) const fn linger(&self) -> Duration {
        self.linger
    }

    /// Runs `f` and what follows from it. `fresh`: take in first what the links have.
    pub(crate) fn run<R>(self: &Arc<Self>, fresh: bool, f: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let mut core = self.core.lock();
        let now = self.now();
        if fresh {
            core.ingress(now);
            core.settle(now);
        }
        let result = f(&mut core.context(now));
        core.settle(now);
        self.leave(&mut core);
        result
    }

    /// The stack as it is: nothing is taken in or sent for it.
    pub(crate) fn snapshot(self: &Arc<Self>) -> Snapshot {
        let mut core = self.core.lock();
        let snapshot = core.engine.snapshot(self.now());
        // What the driver left to the holder of the lock.
        self.leave(&mut core);
        Snapshot { name: self.name.clone(), ..snapshot }
    }

    /// Sees to it that somebody does what the caller leaves undone.
    pub(super) fn leave(self: &Arc<Self>, core: &mut Core) {
        core.used = true;
        if self.missed.load(Ordering::Relaxed) {
            self.missed.store(false, Ordering::Relaxed);
            core.attachments.tick();
            // Whoever leads takes in what arrives.
            if core.led {
                core.settle(self.now());
            } else {
                self.catch_up(core);
            }
        }
        if core.long_led && !core.attachments.deferred.is_empty() {
            // The driver comes seldom now, and has not heard of this.
            core.long_led = false;
            self.runtime.tell(Message::Tick(Arc::clone(self)));
        }
        if core.ticking || core.led {
            return;
        }
        let due = core.engine.poll_timeout();
        let sooner = due.is_some_and(|at| core.known_deadline.is_none_or(|known| at < known));
        // Whoever took frames in may have taken the driver's wake-up with them.
        if !core.arm_links()
            || sooner
            || !core.attachments.work.is_empty()
            || !core.attachments.deferred.is_empty()
        {
            core.ticking = true;
            self.runtime.tell(Message::Tick(Arc::clone(self)));
        }
    }

    /// Takes the stack from the driver, for a caller that is going to wait.
    pub(super) fn take_from_driver(self: &Arc<Self>, core: &mut Core) {
        if core.armed {
            core.armed = false;
            let data = EventData::new_u64(self.id);
            let _ = epoll::modify(&self.runtime.outer, &self.epoll, data, EventFlags::empty());
        }
        if !core.ticking {
            core.ticking = true;
            self.runtime.tell(Message::Tick(Arc::clone(self)));
        }
    }

    /// Lets the driver visit the stack every millisecond until it is quiet.
    pub(super) fn start_ticking(self: &Arc<Self>) {
        self.core.lock().ticking = true;
        self.runtime.tell(Message::Tick(Arc::clone(self)));
    }

    /// A visit of the driver. `ticking`: it is one of the regular ones, which may arm the stack.
    pub(super) fn visit(self: &Arc<Self>, ticking: bool) -> Visit {
        let mut core = match self.core.try_lock() {
            Some(core) => core,
            // To wait for the lock would make its holder wake us at every unlock.
            None if ticking => {
                self.missed.store(true, Ordering::Relaxed);
                return Visit::Busy;
            }
            None => self.core.lock(),
        };
        if ticking {
            core.attachments.tick();
        }
        if core.led {
            core.led_visits += 1;
            // The leader may sleep past what other callers have started meanwhile.
            let now = self.now();
            let due = core.engine.poll_timeout().is_some_and(|at| at <= now);
            if due || !core.attachments.work.is_empty() {
                core.engine.handle_timeout(now);
                core.settle(now);
            }
            core.long_led = ticking && core.led_visits > 3 && core.attachments.deferred.is_empty();
            return if core.long_led { Visit::LongLed } else { Visit::Busy };
        }
        core.led_visits = 0;
        core.long_led = false;
        if std::mem::take(&mut core.led_lately) && ticking {
            // It deals with what it was told of, and will be back: frames are its to take in.
            let now = self.now();
            core.engine.handle_timeout(now);
            core.settle(now);
            return Visit::Busy;
        }
        if !self.catch_up(&mut core) || !core.arm_links() {
            let later = ticking && core.spilled > MOST_SPILLED;
            return if later { Visit::Busy } else { Visit::Again };
        }
        let deferred = !core.attachments.deferred.is_empty();
        if deferred && !core.ticking {
            // What this visit put off is due at a tick.
            core.ticking = true;
            self.runtime.tell(Message::Tick(Arc::clone(self)));
        }
        if core.ticking && (!ticking || std::mem::take(&mut core.used) || deferred) {
            return Visit::Busy;
        }
        if !core.armed {
            core.armed = true;
            let data = EventData::new_u64(self.id);
            let _ = epoll::modify(&self.runtime.outer, &self.epoll, data, EventFlags::IN);
        }
        core.ticking = false;
        core.known_deadline = core.engine.poll_timeout();
        Visit::Armed(core.known_deadline.map(|at| self.clock(at)))
    }

    /// Does everything there is to do now. Says whether it came to an end.
    fn catch_up(&self, core: &mut Core) -> bool {
        self.take_in(core, VISIT_TURNS)
    }

    /// The same for so many turns at most.
    pub(super) fn take_in(&self, core: &mut Core, turns: usize) -> bool {
        core.spilled = 0;
        for _ in 0..turns {
            let now = self.now();
            let mut busy = self.harvest(core);
            busy |= core.ingress(now);
            busy |= core.engine.poll_timeout().is_some_and(|at| at <= now);
            core.engine.handle_timeout(now);
            core.settle(now);
            if !busy && core.attachments.work.is_empty() {
                return true;
            }
            if core.spilled > MOST_SPILLED {
                break;
            }
        }
        false
    }

    /// Puts attachments whose descriptors have events on the work list. Says whether there were any.
    fn harvest(&self, core: &mut Core) -> bool {
        let mut events = [MaybeUninit::uninit(); EVENTS];
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok((ready, _)) => core.note(ready),
            Err(_) => false,
        }
    }

    /// Takes what applications left in their descriptors, closes every endpoint, and sends what is queued
    /// for at most `timeout`.
    pub(crate) fn drain(self: &Arc<Self>, timeout: Duration) -> Result<(), Error> {
        let drained = self.drain_until(std::time::Instant::now() + timeout);
        // What comes later is the driver's again.
        self.start_ticking();
        drained
    }

    /// Then gives back what servers lent, and waits until they have heard of it, as long as there is time left.
    fn drain_until(&self, until: std::time::Instant) -> Result<(), Error> {
        let mut to_drain = self.core.lock().attachments.ids();
        let (mut closed, mut flushed) = (false, false);
        loop {
            {
                let mut core = self.core.lock();
                let now = self.now();
                core.attachments.work.extend(to_drain.drain(..).map(|id| (id, Cause::Drain)));
                core.settle(now);
                self.catch_up(&mut core);
                // A full ring takes the rest when the peer has acknowledged some of it.
                to_drain = std::mem::take(&mut core.attachments.undrained);
                if to_drain.is_empty() && !closed {
                    closed = true;
                    core.engine.close_all(now);
                    self.catch_up(&mut core);
                }
                if closed && !flushed && core.engine.is_flushed() {
                    flushed = true;
                    core.engine.release_leases(now);
                    self.catch_up(&mut core);
                }
                if flushed && !core.engine.is_releasing() {
                    return Ok(());
                }
                core.arm_links();
            }
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() && flushed {
                return Ok(());
            }
            if left.is_zero() {
                let mut core = self.core.lock();
                core.engine.release_leases(self.now());
                core.settle(self.now());
                return Err(Error::TimedOut);
            }
            let mut events = [MaybeUninit::uninit(); EVENTS];
            // Another thread may take the events: look again soon.
            let nap = left.min(Duration::from_millis(2));
            let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: nap.subsec_nanos().into() };
            if let Ok((ready, _)) = epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
                self.core.lock().note(ready);
            }
        }
    }

    /// Whether nothing is left to send, and no lease to give back.
    pub(super) fn is_finished(&self) -> bool {
        let mut core = self.core.lock();
        if core.engine.has_orphans() {
            return false;
        }
        core.engine.release_leases(self.now());
        core.settle(self.now());
        !core.engine.is_releasing()
    }

    /// Ends the stack: resets what is left, and gives the links back.
    pub(crate) fn end(self: &Arc<Self>) {
        let mut core = self.core.lock();
        core.engine.release_leases(self.now());
        core.engine.shut_down();
        // However many sockets there are, each is told before the links go.
        self.catch_up(&mut core);
        let mut descriptors = self.runtime.descriptors();
        for link in core.links.iter_mut().filter_map(Option::take) {
            let _ = epoll::delete(&self.epoll, link.as_fd());
            link.descriptors().into_iter().for_each(|fd| descriptors.remove(fd));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.runtime.is_forked() {
            return;
        }
        let _ = epoll::delete(&self.runtime.outer, &self.epoll);
        let core = self.core.get_mut();
        core.watch.release(&self.epoll, &self.runtime);
        let mut descriptors = self.runtime.descriptors();
        descriptors.remove(std::os::fd::AsFd::as_fd(&self.epoll));
        descriptors.remove(std::os::fd::AsFd::as_fd(&core.attachments));
        descriptors.remove(std::os::fd::AsFd::as_fd(&self.rouse));
        for link in core.links.iter().flatten() {
            link.descriptors().into_iter().for_each(|fd| descriptors.remove(fd));
        }
    }
}

impl Core {
    pub(super) fn context(&mut self, now: Instant) -> Context<'_> {
        Context { engine: &mut self.engine, now, restarts: true, attachments: &mut self.attachments }
    }

    /// Notes events of the stack's epoll. Says whether there were any.
    pub(super) fn note(&mut self, events: &[Event]) -> bool {
        for event in events {
            let token = event.data.u64();
            // Interfaces have small numbers, keys of endpoints never do.
            if token >> 32 != 0 {
                let id = EndpointId::from(KeyData::from_ffi(token));
                self.attachments.work.push_back((id, Cause::Descriptor(event.flags)));
            }
            self.watch.told |= token == SIGNALS.u64();
        }
        !events.is_empty()
    }

    /// Sends what is to be sent, wakes whom events concern, pumps what is to be pumped.
    pub(super) fn settle(&mut self, now: Instant) {
        let mut pumps = 0;
        loop {
            while let Some(transmit) = self.engine.poll_transmit(now) {
                let link = self.links.get_mut(transmit.interface.place()).and_then(Option::as_mut);
                if link.is_none_or(|link| link.transmit(transmit.frame).is_err()) {
                    self.engine.count_lost();
                }
            }
            while let Some(id) = self.engine.poll_event() {
                self.wake(id);
                if self.attachments.contains(id) {
                    self.attachments.work.push_back((id, Cause::Endpoint));
                }
            }
            if pumps >= PUMPS_PER_TURN {
                return;
            }
            let Some((id, cause)) = self.attachments.work.pop_front() else { return };
            pumps += 1;
            self.attachments.pump(&mut self.engine, now, id, cause);
        }
    }

    /// Wakes the callers that wait for an endpoint.
    fn wake(&mut self, id: EndpointId) {
        if self.awaited == Some(id) {
            self.awaited_event = true;
            if std::mem::take(&mut self.asleep) {
                // It cannot fail: the counter is far from full.
                let _ = rustix::io::write(&self.rouse, &1u64.to_ne_bytes());
            }
        }
        if self.looked == Some(id) {
            self.looked_event = true;
        }
        self.attachments.watches.hit(id);
        if self.followers.is_empty() {
            return;
        }
        for follower in self.followers.get(&id).into_iter().flatten() {
            follower.wake();
        }
    }
}
