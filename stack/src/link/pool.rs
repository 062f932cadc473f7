//! Frame buffers, used again. Two sizes: one for frames of an ordinary MTU, one for super-frames.

use parking_lot::Mutex;

/// Bytes in a buffer for ordinary frames.
const SMALL: usize = 2048;
/// Bytes in a buffer for super-frames.
const LARGE: usize = 68 * 1024;
/// Buffers kept for later, of each size. What is beyond goes back to the allocator.
const KEEP_SMALL: usize = 4096;
const KEEP_LARGE: usize = 128;

static SMALL_POOL: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());
static LARGE_POOL: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// An initialised buffer of at least `len` bytes.
pub(super) fn take(len: usize) -> Box<[u8]> {
    assert!(len <= LARGE, "a frame of {len} bytes is longer than any super-frame");
    let (pool, size) = if len <= SMALL { (&SMALL_POOL, SMALL) } else { (&LARGE_POOL, LARGE) };
    // try_lock: a child forked while another thread held the lock must not wait for it for ever.
    let kept = pool.try_lock().and_then(|mut kept| kept.pop());
    kept.unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

/// Takes a buffer back.
pub(super) fn give(buffer: Box<[u8]>) {
    let (pool, keep) = match buffer.len() {
        SMALL => (&SMALL_POOL, KEEP_SMALL),
        LARGE => (&LARGE_POOL, KEEP_LARGE),
        _ => return,
    };
    if let Some(mut kept) = pool.try_lock()
        && kept.len() < keep
    {
        kept.push(buffer);
    }
}
