//! What the stacks of one process share: the driver thread, the switches, the list of descriptors that a
//! forked child must not keep.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{ArcMutexGuard, Mutex, MutexGuard, RawMutex};
use rustix::event::epoll::{self, CreateFlags};
use rustix::event::{EventfdFlags, eventfd};

use super::core::Shared;
use super::driver;
use crate::engine::snapshot::Snapshot;
use crate::link::switch::Switches;
use crate::sys::{arena, process, signal};

/// What the stacks of one process share. Make one and keep it; it lives as long as the process.
#[derive(Debug)]
pub struct Runtime {
    /// The epoll over the epolls of all stacks.
    pub(super) outer: OwnedFd,
    /// Wakes the driver out of it.
    pub(super) kick: OwnedFd,
    pub(super) inbox: Mutex<Vec<Message>>,
    switches: Switches,
    stacks: Arc<Mutex<Vec<Weak<Shared>>>>,
    descriptors: Arc<Mutex<HashSet<RawFd>>>,
    next_id: AtomicU64,
    ended: Mutex<Ended>,
    /// Set in a forked child: nothing of this runtime works there.
    forked: AtomicBool,
    /// What the driver does when no stack is busy any more.
    pub(super) when_quiet: OnceLock<fn()>,
}

/// Something to be done on the driver's thread.
pub(crate) struct Job(pub(crate) Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// What others tell the driver.
#[derive(Debug)]
pub(crate) enum Message {
    /// Look after this stack every millisecond until it is quiet.
    Tick(Arc<Shared>),
    /// Nobody has a handle of this stack any more: finish it.
    Orphaned(Arc<Shared>),
    /// Do this, with no lock held.
    Do(Job),
}

/// What stacks were like when their last handle went.
#[derive(Debug, Default)]
struct Ended {
    limit: usize,
    snapshots: VecDeque<Snapshot>,
}

/// The descriptors to be closed in a forked child.
#[derive(Debug)]
pub(super) struct Descriptors<'a>(MutexGuard<'a, HashSet<RawFd>>);

impl Descriptors<'_> {
    pub(super) fn insert(&mut self, fd: BorrowedFd<'_>) {
        self.0.insert(fd.as_raw_fd());
    }

    pub(super) fn remove(&mut self, fd: BorrowedFd<'_>) {
        self.0.remove(&fd.as_raw_fd());
    }
}

impl Runtime {
    /// Makes a runtime and starts its driver thread.
    ///
    /// # Errors
    /// When the system gives no descriptor or no thread.
    pub fn new() -> io::Result<Arc<Self>> {
        let outer = epoll::create(CreateFlags::CLOEXEC)?;
        let kick = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let descriptors = HashSet::from([outer.as_raw_fd(), kick.as_raw_fd()]);
        let runtime = Arc::new(Self {
            outer,
            kick,
            inbox: Mutex::default(),
            switches: Switches::default(),
            stacks: Arc::default(),
            descriptors: Arc::new(Mutex::new(descriptors)),
            next_id: AtomicU64::new(1),
            ended: Mutex::default(),
            forked: AtomicBool::new(false),
            when_quiet: OnceLock::new(),
        });
        epoll::add(&runtime.outer, &runtime.kick, driver::KICK, epoll::EventFlags::IN)?;
        let driven = Arc::clone(&runtime);
        // Signals are for the threads of the program: one that comes to a thread that the program does not know of would be
        // lost to its sigwait(3). A new thread has the mask of the one that makes it.
        let before = signal::block(signal::ALL);
        let started = thread::Builder::new().name("ioth-driver".into()).spawn(move || driver::run(&driven));
        signal::set_mask(before);
        started?;
        Ok(runtime)
    }

    /// The in-process switches, by name.
    #[must_use]
    pub const fn switches(&self) -> &Switches {
        &self.switches
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn descriptors(&self) -> Descriptors<'_> {
        Descriptors(self.descriptors.lock())
    }

    pub(super) fn register(&self, stack: &Arc<Shared>) {
        let mut stacks = self.stacks.lock();
        stacks.retain(|known| known.strong_count() > 0);
        stacks.push(Arc::downgrade(stack));
    }

    /// Tells the driver something, and wakes it.
    pub(crate) fn tell(&self, message: Message) {
        if self.is_forked() {
            // There is no driver here. What the message holds must not be dropped either.
            std::mem::forget(message);
            return;
        }
        self.inbox.lock().push(message);
        self.kick();
    }

    pub(super) fn kick(&self) {
        // It can only fail when the counter is full, and then the driver is awake anyway.
        let _ = rustix::io::write(&self.kick, &1u64.to_ne_bytes());
    }

    /// From now on the driver's thread calls `job` whenever no stack is busy any more: to tidy up what nobody says is
    /// over. The first one stays. No lock of the runtime or of a stack is held.
    pub fn when_quiet(&self, job: fn()) {
        let _ = self.when_quiet.set(job);
    }

    /// Whether this is a forked child, where nothing of the runtime works.
    #[must_use]
    pub fn is_forked(&self) -> bool {
        self.forked.load(Ordering::Relaxed)
    }

    /// To be called before fork(2), for pthread_atfork(3): holds the locks whose tables the child needs
    /// whole. One of the other two must follow.
    pub fn before_fork(&self) {
        let held = (self.stacks.lock_arc(), self.descriptors.lock_arc(), arena::hold());
        HELD.set(Some(held));
    }

    /// To be called after fork(2) in the parent.
    pub fn after_fork_in_parent(&self) {
        drop(HELD.take());
    }

    /// To be called after fork(2) in the child: closes what belongs to the parent's engine, and makes sure
    /// that nothing of it is ever dropped.
    pub fn after_fork_in_child(&self) {
        self.forked.store(true, Ordering::Relaxed);
        let Some((mut stacks, mut descriptors, arenas)) = HELD.take() else { return };
        for stack in stacks.drain(..) {
            std::mem::forget(stack.upgrade());
        }
        for fd in descriptors.drain() {
            process::close(fd);
        }
        // Nobody locks these two again, and others may have been waiting for them that do not exist here.
        std::mem::forget((stacks, descriptors));
        drop(arenas);
    }

    /// Snapshots of all stacks that live, in the order in which they were made; also of those that only finish what is
    /// left of their connections, because nobody has a handle any more.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        if self.is_forked() {
            return Vec::new();
        }
        let stacks: Vec<_> = self.stacks.lock().iter().filter_map(Weak::upgrade).collect();
        stacks.iter().map(Shared::snapshot).collect()
    }

    /// From now on, keeps a snapshot of each of the last `count` stacks whose last handle went; 0, as it is at first, for
    /// none.
    pub fn remember_ended(&self, count: usize) {
        let mut ended = self.ended.lock();
        ended.limit = count;
        ended.snapshots.truncate(count);
    }

    /// The snapshots that [`remember_ended`](Self::remember_ended) has kept, the latest first.
    #[must_use]
    pub fn ended(&self) -> Vec<Snapshot> {
        if self.is_forked() { Vec::new() } else { self.ended.lock().snapshots.iter().cloned().collect() }
    }

    /// Nobody has a handle of that stack any more.
    pub(super) fn note_ended(&self, stack: &Arc<Shared>) {
        if self.ended.lock().limit == 0 {
            return;
        }
        let snapshot = stack.snapshot();
        let mut ended = self.ended.lock();
        ended.snapshots.push_front(snapshot);
        let limit = ended.limit;
        ended.snapshots.truncate(limit);
    }

    /// To be called when the process exits: takes what applications left in their descriptors, closes every
    /// endpoint and sends what is queued, for at most each stack's linger.
    pub fn drain_all(&self) {
        if self.is_forked() {
            return;
        }
        let stacks: Vec<_> = self.stacks.lock().iter().filter_map(Weak::upgrade).collect();
        for stack in stacks {
            // Nobody waits for a peer that does not answer.
            let _ = stack.drain(stack.linger());
        }
    }
}

type HeldLocks =
    (ArcMutexGuard<RawMutex, Vec<Weak<Shared>>>, ArcMutexGuard<RawMutex, HashSet<RawFd>>, arena::Held);

thread_local! {
    /// The locks that this thread holds while it forks.
    static HELD: RefCell<Option<HeldLocks>> = const { RefCell::new(None) };
}

/// How often the driver looks after a stack that was just used.
pub(super) const TICK: Duration = Duration::from_millis(1);
