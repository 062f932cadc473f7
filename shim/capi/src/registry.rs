//! Which stacks there are under which `struct ioth *`, and which of them is the default. The pointers lead nowhere, and
//! none is used twice: what was deleted or made up is recognised.

use crate::boundary::fail;
use ioth::Stack;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{LazyLock, Once, PoisonError, RwLock, RwLockWriteGuard};

/// `struct ioth` of the header: nobody has one.
#[derive(Debug)]
#[repr(C)]
pub struct Ioth {
    _nothing: [u8; 0],
}

type Stacks = HashMap<usize, Stack>;

static STACKS: LazyLock<RwLock<Stacks>> = LazyLock::new(RwLock::default);
/// Where nothing is mapped, and steps as of something that is aligned.
static NEXT: AtomicUsize = AtomicUsize::new(STEP);
const STEP: usize = 64;
/// The default of threads that have none of their own; 0 is the kernel's.
static DEFAULT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static DEFAULT_HERE: Cell<usize> = const { Cell::new(0) };
    static HELD: RefCell<Option<RwLockWriteGuard<'static, Stacks>>> = const { RefCell::new(None) };
}

/// Takes a stack in.
pub(crate) fn add(stack: Stack) -> *mut Ioth {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers are functions of this library, which is never unloaded.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork)) };
    });
    let number = NEXT.fetch_add(STEP, Relaxed);
    locked().insert(number, stack);
    ptr::without_provenance_mut(number)
}

/// The stack behind a pointer; NULL is the kernel's.
pub(crate) fn find(stack: *const Ioth) -> io::Result<Stack> {
    at(stack.addr())
}

/// Forgets a stack; whose default it was gets the kernel's.
pub(crate) fn remove(stack: *const Ioth) {
    let number = stack.addr();
    let gone = locked().remove(&number);
    let _ = DEFAULT.compare_exchange(number, 0, Relaxed, Relaxed);
    // It ends with no lock held.
    drop(gone);
}

/// The default stack of this thread.
pub(crate) fn default_stack() -> io::Result<Stack> {
    at(default_number())
}

/// Its pointer.
pub(crate) fn default_pointer() -> *mut Ioth {
    ptr::without_provenance_mut(default_number())
}

/// Sets the default of all threads that have none of their own.
pub(crate) fn set_default(stack: *const Ioth) -> io::Result<()> {
    find(stack)?;
    DEFAULT.store(stack.addr(), Relaxed);
    Ok(())
}

/// Sets the default of this thread; NULL: the one of all.
pub(crate) fn set_default_here(stack: *const Ioth) -> io::Result<()> {
    find(stack)?;
    DEFAULT_HERE.set(stack.addr());
    Ok(())
}

fn default_number() -> usize {
    match DEFAULT_HERE.get() {
        0 => DEFAULT.load(Relaxed),
        own if known(own) => own,
        _ => DEFAULT.load(Relaxed),
    }
}

fn at(number: usize) -> io::Result<Stack> {
    if number == 0 {
        return Ok(Stack::kernel());
    }
    let stacks = STACKS.read().unwrap_or_else(PoisonError::into_inner);
    stacks.get(&number).map_or_else(|| fail(libc::EINVAL), |stack| Ok(stack.clone()))
}

fn known(number: usize) -> bool {
    STACKS.read().unwrap_or_else(PoisonError::into_inner).contains_key(&number)
}

fn locked() -> RwLockWriteGuard<'static, Stacks> {
    STACKS.write().unwrap_or_else(PoisonError::into_inner)
}

// No thread of the parent has the lock while the child is made, so that the child finds it free.
extern "C" fn before_fork() {
    let _ = HELD.try_with(|held| *held.borrow_mut() = Some(locked()));
}

extern "C" fn after_fork() {
    let _ = HELD.try_with(|held| held.borrow_mut().take());
}
