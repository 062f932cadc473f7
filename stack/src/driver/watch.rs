//! Waiting for many endpoints of several stacks at once, as poll(2) and epoll(7) do.
//!
//! A [`Watch`] is left at an endpoint; when that has an event, the watch is noted in its [`Inbox`], and who sleeps is
//! woken by the inbox's bell, a descriptor. Who does not sleep costs no system call: the caller's own turn rings nothing.
//! A [`Lead`] runs a stack on the caller's thread in turns, and between them says what a sleep must also wait for. The
//! caller sleeps on all of that and its own descriptors, with no lock held.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};

use super::attachment::Context;
use super::core::{Core, Shared};
use super::runtime::Runtime;
use crate::engine::endpoint::EndpointId;
use crate::stack::Stack;

/// What is watched for has happened at these; and the bell for those who sleep.
#[derive(Debug)]
pub struct Inbox {
    bell: Arc<OwnedFd>,
    runtime: Arc<Runtime>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hits: Vec<u64>,
    /// Somebody asked for a look without a hit.
    called: bool,
    sleepers: usize,
    rung: bool,
}

impl Inbox {
    /// An empty one.
    ///
    /// # Errors
    /// Those of eventfd(2).
    pub fn new(runtime: &Arc<Runtime>) -> io::Result<Arc<Self>> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        runtime.descriptors().insert(bell.as_fd());
        Ok(Arc::new(Self { bell, runtime: Arc::clone(runtime), state: Mutex::default() }))
    }

    /// Polls readable when a sleeper is to look.
    #[must_use]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Takes the keys of the watches that had events, each once.
    pub fn take(&self, keys: &mut Vec<u64>) {
        keys.append(&mut self.state.lock().hits);
    }

    /// Has those who sleep look again.
    pub fn ring(&self) {
        let mut state = self.state.lock();
        state.called = true;
        self.wake(&mut state);
    }

    /// To be called before a sleep that the bell ends; [`awake`](Self::awake) must follow. False when there is something
    /// to look at: then the sleep is to be none.
    #[must_use]
    pub fn doze(&self) -> bool {
        let mut state = self.state.lock();
        state.sleepers += 1;
        state.hits.is_empty() && !std::mem::take(&mut state.called)
    }

    /// The sleep is over.
    pub fn awake(&self) {
        let mut state = self.state.lock();
        state.sleepers -= 1;
        if std::mem::take(&mut state.rung) {
            // Those who were woken, too, look for themselves.
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        }
    }

    fn wake(&self, state: &mut State) {
        if state.sleepers > 0 && !state.rung {
            state.rung = true;
            // It cannot fail: the counter is far from full.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if self.runtime.is_forked() {
            // It is closed here, and the number may be somebody else's.
            std::mem::forget(Arc::clone(&self.bell));
        } else {
            self.runtime.descriptors().remove(self.bell.as_fd());
        }
    }
}

/// Left at an endpoint to be told of its events.
#[derive(Debug)]
pub struct Watch {
    inbox: Arc<Inbox>,
    key: u64,
    noted: AtomicBool,
}

impl Watch {
    /// A watch whose events are noted in `inbox` under `key`.
    #[must_use]
    pub fn new(inbox: &Arc<Inbox>, key: u64) -> Arc<Self> {
        Arc::new(Self { inbox: Arc::clone(inbox), key, noted: AtomicBool::new(false) })
    }

    /// Whoever took its key and is going to look at the endpoint says so first: later events are noted again.
    pub fn rearm(&self) {
        self.noted.store(false, Relaxed);
    }

    /// Notes an event.
    pub fn hit(&self) {
        if !self.noted.swap(true, Relaxed) {
            let mut state = self.inbox.state.lock();
            state.hits.push(self.key);
            self.inbox.wake(&mut state);
        }
    }
}

/// The watches of a stack.
#[derive(Debug, Default)]
pub(super) struct Watches(HashMap<EndpointId, Vec<Arc<Watch>>>);

impl Watches {
    pub(super) fn hit(&self, id: EndpointId) {
        if !self.0.is_empty() {
            self.0.get(&id).into_iter().flatten().for_each(|watch| watch.hit());
        }
    }

    /// Nothing more will happen at an endpoint.
    pub(super) fn end(&mut self, id: EndpointId) {
        self.0.remove(&id).into_iter().flatten().for_each(|watch| watch.hit());
    }
}

impl Context<'_> {
    /// Leaves a watch at an endpoint.
    pub fn watch(&mut self, id: EndpointId, watch: &Arc<Watch>) {
        self.attachments.watches.0.entry(id).or_default().push(Arc::clone(watch));
    }

    /// Takes it away.
    pub fn unwatch(&mut self, id: EndpointId, watch: &Arc<Watch>) {
        if let Some(watches) = self.attachments.watches.0.get_mut(&id) {
            watches.retain(|other| !Arc::ptr_eq(other, watch));
            if watches.is_empty() {
                self.attachments.watches.0.remove(&id);
            }
        }
    }
}

/// What a sleep must also wait for.
#[derive(Clone, Copy, Debug)]
pub enum Rest {
    /// Nothing: there is something to do.
    None,
    /// The time at which the stack has something to do.
    Until(Option<Instant>),
}

/// A caller that waits for more than one stack, and what it has of this one. Leads it if nobody else does.
#[derive(Debug)]
pub struct Lead {
    shared: Arc<Shared>,
    leading: bool,
    /// Whose bell rings when the lead is free.
    beside: Option<Arc<Inbox>>,
}

impl Lead {
    /// Begins to wait for this stack.
    #[must_use]
    pub fn new(stack: &Stack) -> Self {
        Self { shared: Arc::clone(&stack.0.shared), leading: false, beside: None }
    }

    /// Does what there is to do, without waiting, then calls `f`, and does what that caused.
    pub fn turn<R>(&mut self, f: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let shared = Arc::clone(&self.shared);
        let mut core = shared.core.lock();
        self.stand_up(&mut core);
        self.take(&mut core);
        // What came alone for one of many is seldom all there is.
        core.lone = false;
        shared.take_in(&mut core, 1);
        let now = shared.now();
        let result = f(&mut core.context(now));
        core.settle(now);
        shared.leave(&mut core);
        result
    }

    /// To be called before a sleep: what it must also wait for, beside [`as_fd`](Self::as_fd) and the bell of `inbox`.
    pub fn rest(&mut self, inbox: &Arc<Inbox>) -> Rest {
        let shared = Arc::clone(&self.shared);
        let mut core = shared.core.lock();
        self.take(&mut core);
        if !self.leading {
            if self.beside.is_none() {
                core.beside.push(Arc::clone(inbox));
                self.beside = Some(Arc::clone(inbox));
            }
            return Rest::Until(None);
        }
        if !core.attachments.work.is_empty() || !core.arm_links() {
            return Rest::None;
        }
        Rest::Until(core.engine.poll_timeout().map(|at| shared.clock(at)))
    }

    /// The stack's epoll, if it is on this caller to wait on it.
    #[must_use]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.leading.then(|| self.shared.epoll.as_fd())
    }

    fn take(&mut self, core: &mut Core) {
        if !self.leading && !core.led {
            self.leading = true;
            core.led = true;
            self.shared.take_from_driver(core);
        }
    }

    fn stand_up(&mut self, core: &mut Core) {
        if let Some(inbox) = self.beside.take() {
            // One of them: threads that wait with the same inbox stand there once each.
            if let Some(at) = core.beside.iter().position(|other| Arc::ptr_eq(other, &inbox)) {
                core.beside.swap_remove(at);
            }
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut core = shared.core.lock();
        self.stand_up(&mut core);
        if self.leading {
            shared.step_down(&mut core);
            core.led_lately = true;
        }
        shared.leave(&mut core);
    }
}
