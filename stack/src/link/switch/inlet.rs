//! The queue of one port: any thread pushes, its owner pops, and the owner is woken through an eventfd
//! only when it has said that it is about to sleep.
//!
//! No wake-up is lost. The owner stores `armed`, then looks at the queue; a sender pushes, then looks at
//! `armed`; between the two steps of each stands a sequentially consistent fence. One of the fences comes
//! first in the single order of all of them, so either the sender sees `armed` and writes the eventfd, or
//! the owner sees the frame and does not sleep.
//!
//! No wake-up stays behind. `armed` is taken back by exactly one swap, by a sender, who then owes one
//! write to the eventfd, or by the owner. The owner counts what is owed and reads the eventfd until as
//! much has arrived; a sender may be slow to write, so this can span several sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use crossbeam_channel::{Receiver, Sender};
use rustix::event::{EventfdFlags, eventfd};

use super::Frame;

/// Frames a port holds for its owner: about the default txqueuelen of a Linux TAP.
pub(super) const MAX_FRAMES: usize = 1024;

/// Bytes of frame buffers a port holds for its owner: about 120 super-frames.
const MAX_BYTES: usize = 8 << 20;

/// What a frame counts at least, in bytes: so the bytes bound the number, too.
const LEAST_COST: usize = MAX_BYTES / MAX_FRAMES;

/// Both ends of the queue of a new port.
pub(super) fn pair() -> io::Result<(Arc<Inlet>, Outlet)> {
    // A bounded channel of crossbeam has all its slots from the start, 80 KB for nothing in an idle stack; this one has some
    // when they are needed, and `bytes` is its bound.
    let (sender, receiver) = crossbeam_channel::unbounded();
    let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
    let inlet = Arc::new(Inlet {
        queue: sender,
        bytes: AtomicUsize::new(0),
        dropped: AtomicU64::new(0),
        armed: AtomicBool::new(false),
        wake,
    });
    let outlet = Outlet { queue: receiver, inlet: Arc::clone(&inlet), sleeping: false, owed: 0 };
    Ok((inlet, outlet))
}

/// Where frames for the port go in.
#[derive(Debug)]
pub(super) struct Inlet {
    queue: Sender<(Frame, usize)>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
    /// Whether the owner wants a write to `wake` for the next frame.
    armed: AtomicBool,
    wake: OwnedFd,
}

impl Inlet {
    /// Queues a frame, or drops it when there is no room.
    pub(super) fn push(&self, mut frame: Frame) {
        // The buffer, not the frame, is what occupies memory.
        let cost = frame.spare_mut().len().max(LEAST_COST);
        if self.bytes.fetch_add(cost, Ordering::Relaxed) + cost > MAX_BYTES
            || self.queue.try_send((frame, cost)).is_err()
        {
            self.bytes.fetch_sub(cost, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        fence(Ordering::SeqCst);
        if self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::AcqRel) {
            // Fails only if 2^64 - 2 writes were not read.
            let _ = rustix::io::retry_on_intr(|| rustix::io::write(&self.wake, &1_u64.to_ne_bytes()));
        }
    }

    /// Queues a copy of the frame, which is not made when there is no room.
    pub(super) fn push_copy(&self, frame: &Frame) {
        if self.bytes.load(Ordering::Relaxed) + LEAST_COST > MAX_BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.push(frame.duplicate());
        }
    }
}

/// Where the owner of the port takes frames out.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: Receiver<(Frame, usize)>,
    inlet: Arc<Inlet>,
    /// Whether `armed` was set by the last call of [`arm`](Self::arm) and not settled since.
    sleeping: bool,
    /// Writes to the eventfd that senders have done or are about to do, and that were not read.
    owed: u64,
}

impl Outlet {
    /// The next frame. The owner is awake from now on.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        self.disarm();
        if self.owed > 0 {
            self.collect();
        }
        let (frame, cost) = self.queue.try_recv().ok()?;
        self.inlet.bytes.fetch_sub(cost, Ordering::Relaxed);
        Some(frame)
    }

    /// Asks for a write to the eventfd when a frame comes. False if one is there already.
    pub(super) fn arm(&mut self) -> bool {
        self.disarm();
        if !self.queue.is_empty() {
            return false;
        }
        self.sleeping = true;
        self.inlet.armed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.queue.is_empty() {
            return true;
        }
        self.disarm();
        false
    }

    /// Whether there is no frame.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Frames that were dropped because there was no room.
    pub(super) fn dropped(&self) -> u64 {
        self.inlet.dropped.load(Ordering::Relaxed)
    }

    /// Polls readable after a frame has come to an armed port.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.inlet.wake.as_fd()
    }

    fn disarm(&mut self) {
        if std::mem::take(&mut self.sleeping) && !self.inlet.armed.swap(false, Ordering::AcqRel) {
            self.owed += 1;
        }
    }

    /// Reads the eventfd, which counts the writes since the last read.
    fn collect(&mut self) {
        let mut count = [0; 8];
        if rustix::io::retry_on_intr(|| rustix::io::read(&self.inlet.wake, &mut count)).is_ok() {
            self.owed = self.owed.saturating_sub(u64::from_ne_bytes(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn readable(outlet: &Outlet, timeout: Duration) -> bool {
        let timeout = timeout.try_into().expect("a short time");
        let mut fds = [PollFd::from_borrowed_fd(outlet.as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(&timeout)).expect("poll") == 1
    }

    #[test]
    fn the_eventfd_is_written_only_for_an_armed_owner() {
        let (inlet, mut outlet) = pair().expect("eventfd");
        inlet.push(Frame::from_slice(&[0; 60]));
        assert!(!readable(&outlet, Duration::ZERO));
        assert!(!outlet.arm(), "a frame waits");
        assert!(outlet.pop().is_some());
        assert!(outlet.arm());
        inlet.push(Frame::from_slice(&[0; 60]));
        inlet.push(Frame::from_slice(&[0; 60]));
        assert!(readable(&outlet, Duration::ZERO));
        assert!(outlet.pop().is_some());
        assert!(!readable(&outlet, Duration::ZERO), "one read settles it");
        assert!(outlet.pop().is_some() && outlet.pop().is_none());
        assert_eq!(outlet.owed, 0);
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (inlet, mut outlet) = pair().expect("eventfd");
        for _ in 0..MAX_FRAMES + 3 {
            inlet.push(Frame::from_slice(&[0; 60]));
        }
        inlet.push_copy(&Frame::from_slice(&[0; 60]));
        assert_eq!(outlet.dropped(), 4);
        while outlet.pop().is_some() {}
        assert_eq!(inlet.bytes.load(Ordering::Relaxed), 0);
        for _ in 0..MAX_FRAMES {
            inlet.push(Frame::from_slice(&[0; 9000]));
        }
        let held = std::iter::from_fn(|| outlet.pop()).count();
        assert!((100..=MAX_BYTES / 65_536).contains(&held), "{held} large buffers");
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        const FRAMES: usize = 40_000;
        const SENDERS: usize = 2;
        let (inlet, mut outlet) = pair().expect("eventfd");
        let progress = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    for sent in 0..FRAMES / SENDERS {
                        // Nearly empty always, so that the owner goes to sleep all the time.
                        while sent > progress.load(Ordering::Relaxed) + 4 {
                            std::thread::yield_now();
                        }
                        inlet.push(Frame::from_slice(&[0; 60]));
                    }
                });
            }
            let mut received = 0;
            while received < FRAMES {
                match outlet.pop() {
                    Some(_) => {
                        received += 1;
                        progress.store(received / SENDERS, Ordering::Relaxed);
                    }
                    None if outlet.arm() => {
                        assert!(readable(&outlet, Duration::from_secs(5)), "asleep with {received}");
                    }
                    None => {}
                }
            }
        });
        assert!(outlet.pop().is_none());
        assert_eq!(outlet.owed, 0);
        assert!(!readable(&outlet, Duration::ZERO));
        assert_eq!(outlet.dropped(), 0);
    }
}
