//! Which epoll descriptors have sockets of stacks in them. The kernel gives an epoll no name; so the bell of its set is
//! registered in it, without events, as a mark: a set is the one of a descriptor if its mark is there. That holds for
//! duplicates, and for numbers that were closed and used again.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, LazyLock, PoisonError, RwLock, RwLockWriteGuard};

use ioth_stack::Inbox;
use libc::{EPOLL_CTL_ADD, EPOLL_CTL_MOD, epoll_event};

use super::set::Set;
use crate::{fork, sys};

/// By a number that the epoll has or had.
static SETS: LazyLock<RwLock<Sets>> = LazyLock::new(RwLock::default);

type Sets = HashMap<RawFd, Arc<Set>>;

/// The lock, while the process forks.
#[derive(Debug)]
pub(crate) struct Held(RwLockWriteGuard<'static, Sets>);

/// Takes the lock for a fork, so that the child finds it free.
pub(crate) fn hold() -> Held {
    Held(write())
}

impl Held {
    /// In the child: the sets are those of the parent.
    pub(crate) fn forget(mut self) {
        for (_, set) in self.0.drain() {
            std::mem::forget(set);
        }
    }
}

fn write() -> RwLockWriteGuard<'static, Sets> {
    SETS.write().unwrap_or_else(PoisonError::into_inner)
}

/// The set of an epoll, if it has one.
pub(super) fn find(epoll: RawFd) -> Option<Arc<Set>> {
    let sets = SETS.read().unwrap_or_else(PoisonError::into_inner);
    if sets.is_empty() {
        return None;
    }
    if let Some(set) = sets.get(&epoll)
        && is_marked(epoll, set)
    {
        return Some(Arc::clone(set));
    }
    // A duplicate: it is known by this number from now on.
    let set = Arc::clone(sets.values().find(|set| is_marked(epoll, set))?);
    drop(sets);
    write().insert(epoll, Arc::clone(&set));
    Some(set)
}

/// The set of an epoll; a new one if it has none. `None` for what is no epoll, and without descriptors left.
pub(super) fn find_or_make(epoll: RawFd) -> Option<Arc<Set>> {
    if let Some(set) = find(epoll) {
        return Some(set);
    }
    let mut sets = write();
    if let Some(set) = sets.get(&epoll)
        && is_marked(epoll, set)
    {
        return Some(Arc::clone(set));
    }
    let runtime = fork::runtime().ok()?;
    runtime.when_quiet(sweep);
    let inbox = Inbox::new(&runtime).ok()?;
    sys::wait::epoll_ctl(epoll, EPOLL_CTL_ADD, inbox.bell().as_raw_fd(), Some(&mut { MARK })).ok()?;
    let set = Arc::new(Set::new(inbox));
    let before = sets.insert(epoll, Arc::clone(&set));
    drop(sets);
    // What had the number before may let go of sockets.
    drop(before);
    Some(set)
}

/// Forgets the sets without sockets. Nothing tells when an epoll is closed, but an empty set is worth nothing: an epoll
/// that goes on gets a new one. (One that is inside another was known to be; it is again when the other is waited for
/// or told of it, and until then what its sockets have waits some ticks.)
fn sweep() {
    let mut sets = write();
    // Whoever got one from `find` is about to use it.
    let in_hand = |set: &Arc<Set>| {
        let known = sets.values().filter(|other| Arc::ptr_eq(other, set)).count();
        Arc::strong_count(set) > known
    };
    let empty: Vec<_> =
        sets.iter().filter(|(_, set)| !set.is_used() && !in_hand(set)).map(|(epoll, _)| *epoll).collect();
    let gone: Vec<_> = empty.iter().filter_map(|epoll| sets.remove(epoll)).collect();
    drop(sets);
    drop(gone);
}

/// The number is of a new epoll: whatever had it before is closed.
pub(super) fn renew(epoll: RawFd) {
    let mut sets = write();
    let before = sets.remove(&epoll);
    drop(sets);
    drop(before);
}

const MARK: epoll_event = epoll_event { events: 0, u64: 0 };

fn is_marked(epoll: RawFd, set: &Set) -> bool {
    let mark = set.inbox().bell().as_raw_fd();
    sys::wait::epoll_ctl(epoll, EPOLL_CTL_MOD, mark, Some(&mut { MARK })).is_ok()
}
