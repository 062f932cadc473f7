//! Memory of the TCP rings: lazily committed, carved from large mappings, given back when freed.
//!
//! A ring costs address space when it is made and memory only as far as traffic has touched it. One
//! mapping serves many rings, because a process may have only `vm.max_map_count` mappings.
#![expect(unsafe_code, reason = "anonymous mappings and slices of them")]

use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// Address space reserved at a time, in bytes.
const ARENA: usize = 256 << 20;
/// The smallest block, in bytes: one page.
const SMALLEST: usize = 4096;
/// Sizes are powers of two from [`SMALLEST`] to `SMALLEST << (CLASSES - 1)` = 128 MiB.
const CLASSES: usize = 16;
/// Freed blocks of each size that keep their pages, so that short connections do not fault them in anew.
const KEEP_WARM: usize = 32;

/// The standard library's mutex: it is held across fork(2), and letting go of it in the child needs nothing but
/// itself.
static ARENAS: Mutex<Arenas> = Mutex::new(Arenas {
    next: 0,
    end: 0,
    warm: [const { Vec::new() }; CLASSES],
    cold: [const { Vec::new() }; CLASSES],
});

#[derive(Debug)]
struct Arenas {
    /// Unused part of the current mapping, as addresses.
    next: usize,
    end: usize,
    /// Freed blocks whose pages are still there.
    warm: [Vec<Block>; CLASSES],
    /// Freed blocks without pages.
    cold: [Vec<Block>; CLASSES],
}

/// Keeps the arenas as they are while it is held: across fork(2), so that the child finds them whole.
#[derive(Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "held, not used")] MutexGuard<'static, Arenas>);

/// Waits until nobody works on the arenas.
pub(crate) fn hold() -> Held {
    Held(lock())
}

fn lock() -> MutexGuard<'static, Arenas> {
    ARENAS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A block of `SMALLEST << class` bytes that nobody else has.
#[derive(Debug)]
struct Block {
    start: NonNull<u8>,
    class: usize,
}

// SAFETY: a block is plain memory with one owner; nothing about it belongs to a thread.
unsafe impl Send for Block {}

/// So many bytes of its own, zeroes at first or whatever stood there before.
#[derive(Debug)]
pub(crate) struct Memory {
    block: ManuallyDrop<Block>,
    len: usize,
}

impl Memory {
    /// Leases `len` bytes, 1 to 128 MiB.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        Ok(Self { block: ManuallyDrop::new(Block::take(len)?), len })
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is valid for reads of the class's size, which is at least `len`; the memory is initialised
        // (anonymous mappings read as zero); nobody else holds the block, and who writes has `self` exclusively.
        unsafe { slice::from_raw_parts(self.block.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, for writes, too: `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.block.start.as_ptr(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the block is taken here and only here; what borrowed it has ended with `self`.
        unsafe { ManuallyDrop::take(&mut self.block) }.give();
    }
}

impl Block {
    /// A block of at least `len` bytes.
    fn take(len: usize) -> io::Result<Self> {
        let class = len.div_ceil(SMALLEST).next_power_of_two().trailing_zeros() as usize;
        if len == 0 || class >= CLASSES {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        let mut arenas = lock();
        if let Some(block) = arenas.warm[class].pop().or_else(|| arenas.cold[class].pop()) {
            return Ok(block);
        }
        let size = SMALLEST << class;
        if arenas.end - arenas.next < size {
            arenas.next = reserve()?;
            arenas.end = arenas.next + ARENA;
        }
        let start = NonNull::new(std::ptr::with_exposed_provenance_mut(arenas.next))
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        arenas.next += size;
        Ok(Self { start, class })
    }

    /// Takes the block back.
    fn give(self) {
        let mut arenas = lock();
        if arenas.warm[self.class].len() < KEEP_WARM {
            arenas.warm[self.class].push(self);
            return;
        }
        // SAFETY: the range lies in one of our private anonymous mappings, page aligned, and nobody
        // reads it: its pages may be taken away and read as zero next time.
        let _ = unsafe { madvise(self.start.as_ptr().cast(), SMALLEST << self.class, Advice::LinuxDontNeed) };
        arenas.cold[self.class].push(self);
    }
}

/// Maps another arena and returns its address.
fn reserve() -> io::Result<usize> {
    // SAFETY: a null hint lets the kernel choose an unused range, so no existing mapping is touched.
    let start = unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            ARENA,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    }?;
    Ok(start.expose_provenance())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn rings_do_not_overlap_and_are_used_again() {
        let mut all: Vec<_> =
            (0..80u8).map(|i| (i, Memory::new(if i % 2 == 0 { 8192 } else { 4000 }).unwrap())).collect();
        for (i, memory) in &mut all {
            memory.fill(*i);
        }
        for (i, memory) in &all {
            assert!(memory.iter().all(|byte| byte == i));
        }
        let before = lock().next;
        drop(all);
        let again = Memory::new(8192).unwrap();
        assert_eq!(again.len(), 8192);
        assert!(lock().next >= before);
    }

    #[test]
    fn a_child_of_a_busy_process_finds_them_whole() {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop([Memory::new(4096), Memory::new(4096)]);
                }
            });
            let statuses: Vec<_> = (0..100).map(|_| child_that_takes_rings()).collect();
            done.store(true, Ordering::Relaxed);
            assert!(statuses.iter().all(|status| *status == 0), "{statuses:?}");
        });
    }

    /// The wait status of a child that leases rings, or is ended by a signal after 5 seconds.
    fn child_that_takes_rings() -> i32 {
        let held = hold();
        // SAFETY: the child uses nothing but the arenas, which are held, and its own memory, and ends by _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: alarm has no conditions.
            unsafe { libc::alarm(5) };
            drop(held);
            let rings = [Memory::new(4096), Memory::new(4096)];
            // SAFETY: _exit takes any status and does not return.
            unsafe { libc::_exit(i32::from(rings.iter().any(Result::is_err))) };
        }
        drop(held);
        let mut status = -1;
        // SAFETY: waitpid wants a pointer to an int to write, which lives across the call.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        status
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for len in [0, (128 << 20) + 1, usize::MAX] {
            let error = Memory::new(len).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
        }
    }
}
