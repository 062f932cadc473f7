//! The driver thread: looks after every stack of the process that no caller leads.
//!
//! A stack that is quiet is armed: its epoll lies in the driver's, and its next deadline in the driver's
//! heap. When a caller leads it or leaves something to be done, the stack ticks: the driver visits it
//! every millisecond until a visit finds nothing, and arms it again. So a library call costs no system
//! call for the driver's sake, and a thousand idle stacks cost no thread and no time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::mem::MaybeUninit;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::core::{Shared, Visit};
use super::runtime::{Message, Runtime, TICK};

/// Marks the eventfd that wakes the driver.
pub(super) const KICK: epoll::EventData = epoll::EventData::new_u64(0);
/// How often a stack is visited that one caller leads all the time.
const LONG_LEAD: Duration = Duration::from_millis(100);

/// A stack that ticks.
struct Ticking {
    stack: Arc<Shared>,
    next: Instant,
    /// When nobody has a handle of it any more: until when it may finish.
    orphan_until: Option<Instant>,
}

/// A stack the driver knows.
struct Known {
    stack: Weak<Shared>,
    /// Its entry in the heap that counts; others are outdated.
    deadline: Option<Instant>,
}

/// The deadlines of armed stacks.
#[derive(Default)]
struct Deadlines(BinaryHeap<Reverse<(Instant, u64)>>);

impl Deadlines {
    fn set(&mut self, id: u64, known: &mut Known, at: Option<Instant>) {
        if let Some(at) = at
            && known.deadline.is_none_or(|earlier| at < earlier)
        {
            known.deadline = Some(at);
            self.0.push(Reverse((at, id)));
        }
    }
}

/// Runs until the process ends.
pub(super) fn run(runtime: &Runtime) {
    let mut ticking: Vec<Ticking> = Vec::new();
    let mut deadlines = Deadlines::default();
    let mut stacks: HashMap<u64, Known> = HashMap::new();
    let mut events = [MaybeUninit::uninit(); 64];
    loop {
        let next_tick = ticking.iter().map(|ticking| ticking.next).min();
        let next_deadline = deadlines.0.peek().map(|Reverse((at, _))| *at);
        let timeout = [next_tick, next_deadline].into_iter().flatten().min().map(until);
        let Ok((ready, _)) = epoll::wait(&runtime.outer, &mut events, timeout.as_ref()) else { continue };
        for event in ready.iter() {
            let id = event.data.u64();
            if id == KICK.u64() {
                let _ = rustix::io::read(&runtime.kick, &mut [0; 8]);
            } else if let Some(stack) = stacks.get(&id).and_then(|known| known.stack.upgrade()) {
                visit_armed(&stack);
            }
        }
        // The inbox is not held while the messages are looked at: its lock is a leaf.
        let messages = std::mem::take(&mut *runtime.inbox.lock());
        for message in messages {
            let (stack, orphan_until) = match message {
                Message::Tick(stack) => (stack, None),
                Message::Orphaned(stack) => {
                    runtime.note_ended(&stack);
                    let until = Instant::now() + stack.linger();
                    (stack, Some(until))
                }
                Message::Do(job) => {
                    (job.0)();
                    continue;
                }
            };
            stacks.entry(stack.id).or_insert_with(|| Known { stack: Arc::downgrade(&stack), deadline: None });
            match ticking.iter_mut().find(|known| known.stack.id == stack.id) {
                Some(known) => {
                    known.orphan_until = known.orphan_until.or(orphan_until);
                    known.next = known.next.min(Instant::now() + TICK);
                }
                None => ticking.push(Ticking { stack, next: Instant::now() + TICK, orphan_until }),
            }
        }
        let busy = !ticking.is_empty();
        let now = Instant::now();
        while let Some(&Reverse((at, id))) = deadlines.0.peek()
            && at <= now
        {
            deadlines.0.pop();
            let Some(known) = stacks.get_mut(&id).filter(|known| known.deadline == Some(at)) else {
                continue;
            };
            known.deadline = None;
            match known.stack.upgrade().map(|stack| visit_armed(&stack)) {
                Some(Visit::Armed(at)) => deadlines.set(id, known, at),
                Some(_) => {}
                None => drop(stacks.remove(&id)),
            }
        }
        ticking.retain_mut(|entry| {
            if entry.next > now {
                return true;
            }
            let visit = entry.stack.visit(true);
            if let Some(until) = entry.orphan_until {
                entry.next = now + TICK;
                if entry.stack.is_finished() || now >= until {
                    entry.stack.end();
                    stacks.remove(&entry.stack.id);
                    return false;
                }
                return true;
            }
            match visit {
                Visit::Again => entry.next = now,
                Visit::Busy => entry.next = now + TICK,
                Visit::LongLed => entry.next = now + LONG_LEAD,
                Visit::Armed(deadline) => {
                    if let Some(known) = stacks.get_mut(&entry.stack.id) {
                        deadlines.set(entry.stack.id, known, deadline);
                    }
                    return false;
                }
            }
            true
        });
        if busy
            && ticking.is_empty()
            && let Some(job) = runtime.when_quiet.get()
        {
            job();
        }
    }
}

/// Visits a stack that was armed. One that stays busy ticks from then on, so that others get their turn.
fn visit_armed(stack: &Arc<Shared>) -> Visit {
    const VISITS: usize = 16;
    for _ in 0..VISITS {
        match stack.visit(false) {
            Visit::Again => {}
            visit => return visit,
        }
    }
    stack.start_ticking();
    Visit::Busy
}

/// The time until `at` as epoll_wait takes it.
fn until(at: Instant) -> Timespec {
    let left = at.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}
