//! What is joined to an endpoint from outside: the engine's side of a descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use std::collections::{HashMap, VecDeque};

use rustix::event::epoll::{self, EventData, EventFlags};
use slotmap::Key;

use super::runtime::{Job, Message, Runtime};
use super::watch::Watches;
use crate::engine::Engine;
use crate::engine::endpoint::EndpointId;
use crate::time::Instant;

/// Why an attachment is pumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its descriptor had these events.
    Descriptor(EventFlags),
    /// The endpoint changed, or [`Context::pump`] was called.
    Endpoint,
    /// [`Context::pump_later`] was called about a millisecond ago.
    Tick,
    /// The stack or the process ends: take everything that is still in the descriptor.
    Drain,
}

/// What an attachment says after it was pumped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pump {
    /// Not everything could be moved in this turn: pump again soon.
    pub more: bool,
    /// The descriptor was full: pump when it polls writable.
    pub want_out: bool,
    /// Nothing is left to do: drop the attachment, whose endpoint it has closed.
    pub done: bool,
}

/// The engine's side of a descriptor, for example one end of a socket pair.
pub trait Attachment: Send {
    /// The descriptor, in the stack's epoll with `EPOLLIN`, `EPOLLRDHUP` and `EPOLLET`.
    fn as_fd(&self) -> BorrowedFd<'_>;

    /// Moves bytes both ways as far as they go. Called under the stack's lock; must not block.
    fn pump(&mut self, id: EndpointId, context: &mut Context<'_>, cause: Cause) -> Pump;
}

/// What a closure or an attachment works on, under the stack's lock.
pub struct Context<'a> {
    /// The stack itself.
    pub engine: &'a mut Engine,
    /// The time of this call.
    pub now: Instant,
    /// Whether a call that now waits goes on after a handler with `SA_RESTART`: true at first, and not for one that
    /// has moved some of its bytes, signal(7).
    pub restarts: bool,
    pub(super) attachments: &'a mut Attachments,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// Joins a descriptor to an endpoint. One each: a second takes the place of the first.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn attach(&mut self, id: EndpointId, attachment: Box<dyn Attachment>) -> io::Result<()> {
        self.attachments.attach(id, attachment)
    }

    /// Pumps the attachment of an endpoint before the lock is released.
    pub fn pump(&mut self, id: EndpointId) {
        self.attachments.work.push_back((id, Cause::Endpoint));
    }

    /// Has the callers that wait for an endpoint look at it again, and its attachment pumped.
    pub fn wake(&mut self, id: EndpointId) {
        self.engine.notify(id);
    }

    /// Has the driver's thread do something soon, with no lock held: what an attachment cannot do under the stack's lock.
    pub fn later(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(runtime) = self.attachments.runtime.upgrade() {
            runtime.tell(Message::Do(Job(Box::new(job))));
        }
    }

    /// Pumps it with [`Cause::Tick`] at the driver's next tick, about a millisecond from now.
    pub fn pump_later(&mut self, id: EndpointId) {
        if let Some(slot) = self.attachments.slots.get_mut(&id)
            && !slot.deferred
        {
            slot.deferred = true;
            self.attachments.deferred.push(id);
        }
    }
}

/// The attachments of a stack, and which of them are to be pumped.
pub(super) struct Attachments {
    epoll: OwnedFd,
    runtime: std::sync::Weak<Runtime>,
    slots: HashMap<EndpointId, Slot>,
    pub(super) work: VecDeque<(EndpointId, Cause)>,
    pub(super) deferred: Vec<EndpointId>,
    /// Those that had more than their endpoint took when they were drained.
    pub(super) undrained: Vec<EndpointId>,
    /// Who waits for many endpoints at once.
    pub(super) watches: Watches,
}

struct Slot {
    /// Taken out while it is being pumped.
    attachment: Option<Box<dyn Attachment>>,
    want_out: bool,
    deferred: bool,
}

impl Attachments {
    /// `epoll` is a duplicate of the stack's own.
    pub(super) fn new(epoll: OwnedFd, runtime: std::sync::Weak<Runtime>) -> Self {
        Self {
            epoll,
            runtime,
            slots: HashMap::new(),
            work: VecDeque::new(),
            deferred: Vec::new(),
            undrained: Vec::new(),
            watches: Watches::default(),
        }
    }

    fn attach(&mut self, id: EndpointId, attachment: Box<dyn Attachment>) -> io::Result<()> {
        self.detach(id);
        let data = EventData::new_u64(id.data().as_ffi());
        epoll::add(&self.epoll, attachment.as_fd(), data, flags(false))?;
        if let Some(runtime) = self.runtime.upgrade() {
            runtime.descriptors().insert(attachment.as_fd());
        }
        self.slots.insert(id, Slot { attachment: Some(attachment), want_out: false, deferred: false });
        Ok(())
    }

    fn detach(&mut self, id: EndpointId) {
        if let Some(Slot { attachment: Some(attachment), .. }) = self.slots.remove(&id) {
            self.release(attachment);
        }
    }

    fn release(&self, attachment: Box<dyn Attachment>) {
        // The registration goes first: afterwards the number may be somebody else's.
        let _ = epoll::delete(&self.epoll, attachment.as_fd());
        if let Some(runtime) = self.runtime.upgrade() {
            runtime.descriptors().remove(attachment.as_fd());
        }
        drop(attachment);
    }

    pub(super) fn contains(&self, id: EndpointId) -> bool {
        self.slots.contains_key(&id)
    }

    pub(super) fn ids(&self) -> Vec<EndpointId> {
        self.slots.keys().copied().collect()
    }

    /// Puts what was deferred on the work list.
    pub(super) fn tick(&mut self) {
        for id in std::mem::take(&mut self.deferred) {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.deferred = false;
                self.work.push_back((id, Cause::Tick));
            }
        }
    }

    /// Pumps one attachment.
    pub(super) fn pump(&mut self, engine: &mut Engine, now: Instant, id: EndpointId, cause: Cause) {
        let Some(mut attachment) = self.slots.get_mut(&id).and_then(|slot| slot.attachment.take()) else {
            return;
        };
        let result =
            attachment.pump(id, &mut Context { engine, now, restarts: true, attachments: self }, cause);
        let Some(slot) = self.slots.get_mut(&id).filter(|_| !result.done) else {
            self.slots.remove(&id);
            self.release(attachment);
            self.watches.end(id);
            return;
        };
        if slot.want_out != result.want_out {
            slot.want_out = result.want_out;
            let data = EventData::new_u64(id.data().as_ffi());
            let _ = epoll::modify(&self.epoll, attachment.as_fd(), data, flags(result.want_out));
        }
        slot.attachment = Some(attachment);
        match cause {
            Cause::Drain if result.more => self.undrained.push(id),
            _ if result.more => self.work.push_back((id, Cause::Endpoint)),
            _ => {}
        }
    }
}

impl Drop for Attachments {
    fn drop(&mut self) {
        for id in self.ids() {
            self.detach(id);
        }
    }
}

fn flags(want_out: bool) -> EventFlags {
    let base = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
    if want_out { base | EventFlags::OUT } else { base }
}

/// So that `as_fd` of the epoll is at hand where only the attachments are.
impl AsFd for Attachments {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
