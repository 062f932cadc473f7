//! An allocator that counts, so that a test can see what an engine keeps.
#![expect(unsafe_code, reason = "an allocator is")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread has taken, less those that it has given back.
    static TAKEN: Cell<isize> = const { Cell::new(0) };
}

/// Bytes of the heap that this thread has, give or take what it shares with others: a test runs on one.
pub(crate) fn taken() -> isize {
    TAKEN.get()
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(before: usize, after: usize) {
    // No allocation is larger than isize::MAX (Layout). A thread that ends counts no more.
    let _ = TAKEN.try_with(|taken| taken.set(taken.get() + after as isize - before as isize));
}

// SAFETY: all is done by the system's allocator; counting neither allocates nor panics, for the number has no destructor
// and cannot overflow.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller keeps the conditions of this very call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: as above; the block is of that allocator.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}
