//! The runtime of the process, and what becomes of it at fork and at exit.
//!
//! A forked child keeps its descriptors. Its calls on sockets made before the fork are plain calls on
//! the pair, and the parent's engine goes on serving them, as long as the parent lives. The engine
//! itself is not copied: the child has a higher *generation*, in which the stacks of the parent are
//! out of reach (`ENETDOWN`), and may make stacks of its own.

use crate::epoll;
use crate::sys::process;
use crate::table::{self, Table};
use ioth_stack::Runtime;
use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockWriteGuard};

static RUNTIME: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// Whether the handler for the exit is there; a child inherits it. Guarded by the lock of the runtime.
static DRAINS_AT_EXIT: AtomicBool = AtomicBool::new(false);

/// The locks that a fork holds, so that the child finds what they guard whole.
struct Held {
    runtime: MutexGuard<'static, Option<Arc<Runtime>>>,
    table: RwLockWriteGuard<'static, Table>,
    epolls: epoll::Held,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// How many forks lie between the first process and this one.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

/// What the stacks of this process share; made when it is first asked for.
pub(crate) fn runtime() -> io::Result<Arc<Runtime>> {
    let mut slot = slot();
    if let Some(runtime) = slot.as_ref() {
        return Ok(Arc::clone(runtime));
    }
    if !DRAINS_AT_EXIT.load(Relaxed) {
        process::on_exit(at_exit)?;
        DRAINS_AT_EXIT.store(true, Relaxed);
    }
    let runtime = Runtime::new()?;
    *slot = Some(Arc::clone(&runtime));
    Ok(runtime)
}

/// The same, if anybody has asked for it.
pub(crate) fn known_runtime() -> Option<Arc<Runtime>> {
    slot().clone()
}

fn slot() -> MutexGuard<'static, Option<Arc<Runtime>>> {
    RUNTIME.lock().unwrap_or_else(PoisonError::into_inner)
}

// The order of locks is: epolls, runtime, stacks, table. Pumps use the table under the lock of a stack.
pub(crate) extern "C" fn before() {
    // A thread that forks while it ends has no place left to hold the locks: then none are taken.
    let _ = HELD.try_with(|held| {
        let epolls = epoll::hold();
        let runtime = slot();
        if let Some(runtime) = runtime.as_ref() {
            runtime.before_fork();
        }
        *held.borrow_mut() = Some(Held { runtime, table: table::write(), epolls });
    });
}

pub(crate) extern "C" fn in_parent() {
    let _ = HELD.try_with(|held| {
        let Some(Held { runtime, table, epolls }) = held.borrow_mut().take() else { return };
        drop((table, epolls));
        if let Some(runtime) = runtime.as_ref() {
            runtime.after_fork_in_parent();
        }
    });
}

pub(crate) extern "C" fn in_child() {
    GENERATION.fetch_add(1, Relaxed);
    let _ = HELD.try_with(|held| {
        let Some(Held { mut runtime, table, epolls }) = held.borrow_mut().take() else { return };
        drop(table);
        epolls.forget();
        if let Some(parents) = runtime.take() {
            parents.after_fork_in_child();
            // Its threads do not exist here, so nothing of it may be dropped.
            std::mem::forget(parents);
        }
    });
}

extern "C" fn at_exit() {
    // The lock is let go first: what is drained may run code that asks for the runtime.
    if let Some(runtime) = known_runtime() {
        runtime.drain_all();
    }
}
