//! Frame buffers, used again. Three sizes: for frames without data, for frames of an ordinary MTU, for super-frames.

use parking_lot::Mutex;

/// Buffers of one size.
struct Pool {
    /// Bytes of each.
    size: usize,
    /// Buffers kept for later. What is beyond goes back to the allocator.
    keep: usize,
    kept: Mutex<Vec<Box<[u8]>>>,
}

impl Pool {
    const fn new(size: usize, keep: usize) -> Self {
        Self { size, keep, kept: Mutex::new(Vec::new()) }
    }
}

/// The longest buffer, in bytes.
const LARGE: usize = 68 * 1024;

static POOLS: [Pool; 3] = [Pool::new(256, 4096), Pool::new(2048, 4096), Pool::new(LARGE, 128)];

/// An initialised buffer of at least `len` bytes.
pub(super) fn take(len: usize) -> Box<[u8]> {
    assert!(len <= LARGE, "a frame of {len} bytes is longer than any super-frame");
    let [tiny, small, large] = &POOLS;
    let pool = match len {
        _ if len <= tiny.size => tiny,
        _ if len <= small.size => small,
        _ => large,
    };
    // try_lock: a child forked while another thread held the lock must not wait for it for ever.
    let kept = pool.kept.try_lock().and_then(|mut kept| kept.pop());
    kept.unwrap_or_else(|| vec![0; pool.size].into_boxed_slice())
}

/// Takes a buffer back.
pub(super) fn give(buffer: Box<[u8]>) {
    if let Some(pool) = POOLS.iter().find(|pool| buffer.len() == pool.size)
        && let Some(mut kept) = pool.kept.try_lock()
        && kept.len() < pool.keep
    {
        kept.push(buffer);
    }
}
