//! Links: what carries frames between an interface and the rest of its network.

pub mod capture;
pub mod frame;
pub mod impair;
mod open;
mod pool;
pub(crate) mod split;
pub mod switch;
pub mod tap;
#[cfg(any(test, fuzzing))]
pub mod tap_input;
pub mod tap_plain;
mod tun_device;
pub mod vlan;
mod vnet_header;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

pub use frame::{Checksum, Frame, HEADROOM, MAX_DATAGRAMS, MAX_SUPER_FRAME, SegmentKind, Segmentation};
pub use open::open;

/// What a link can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Largest IP packet that is not a super-frame, in bytes (68 to 65535).
    pub mtu: u16,
    /// Whether super-frames and partial checksums may be handed to [`Link::transmit`]. If not, the
    /// engine cuts its own segments and completes every checksum.
    pub offload: bool,
}

/// Carries Ethernet frames, never blocks.
pub trait Link: Send + fmt::Debug {
    /// What the link can do; constant while it exists.
    fn capabilities(&self) -> Capabilities;

    /// The next frame that arrived, `None` if there is none now.
    ///
    /// # Errors
    /// When the link is gone (the device was deleted). Nothing is received on it any more.
    fn receive(&mut self) -> io::Result<Option<Frame>>;

    /// Sends a frame, or drops it as a wire would.
    ///
    /// # Errors
    /// When the frame could not be sent; it is lost and counted by the caller.
    fn transmit(&mut self, frame: Frame) -> io::Result<()>;

    /// A descriptor that polls readable when [`receive`](Self::receive) has something to give, provided
    /// [`arm`](Self::arm) said so.
    fn as_fd(&self) -> BorrowedFd<'_>;

    /// Every descriptor that it has: what a forked child must not keep.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.as_fd()]
    }

    /// A look without a system call: whether a frame waits. `None` when only the descriptor knows.
    fn pending(&self) -> Option<bool> {
        None
    }

    /// To be called before sleeping on [`as_fd`](Self::as_fd). False if a frame waits already, and
    /// sleeping would be wrong.
    fn arm(&mut self) -> bool {
        true
    }
}
