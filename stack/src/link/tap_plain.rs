//! A TAP of the kernel without offload, through the `tun-tap` crate: one frame per system call, every
//! checksum complete. For kernels that refuse the header, and to see what the header is worth.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::FdFlags;
use tun_tap::{Iface, Mode};

use super::{Capabilities, Frame, Link, tun_device};
use crate::setup_error::SetupError;
use crate::sys;

/// A TAP device that carries bare Ethernet frames.
#[derive(Debug)]
pub struct PlainTap {
    iface: Iface,
    mtu: u16,
}

impl PlainTap {
    /// Attaches to the TAP of that name, as [`Tap::open`](super::tap::Tap::open) does.
    ///
    /// # Errors
    /// Those of [`Tap::open`](super::tap::Tap::open).
    pub fn open(name: &str, create: bool) -> Result<Self, SetupError> {
        // Iface does not say which of its steps failed: try the first one alone.
        drop(tun_device::control(name)?);
        tun_device::check_exists(name, create)?;
        let open = || {
            let iface = Iface::without_packet_info(name, Mode::Tap)?;
            iface.set_non_blocking()?;
            let fd = sys::tun::descriptor(&iface);
            rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?;
            // A persistent TAP remembers the offload of its last owner, and would go on to hand out
            // super-frames and unfinished checksums, now without a word about them.
            sys::tun::set_offload(fd, sys::tun::Offload::None)?;
            Ok(iface)
        };
        let iface = open().map_err(|source| tun_device::open_error(name, source))?;
        tun_device::await_carrier(name);
        Ok(Self { iface, mtu: tun_device::mtu(name)? })
    }
}

impl Link for PlainTap {
    fn capabilities(&self) -> Capabilities {
        Capabilities { mtu: self.mtu, offload: false }
    }

    fn receive(&mut self) -> io::Result<Option<Frame>> {
        // Tags and a device whose MTU was raised later are the slack; what is longer is cut by the kernel.
        let mut frame = Frame::with_capacity(usize::from(self.mtu).min(MAX_READ - SLACK) + SLACK);
        loop {
            match self.iface.recv(frame.spare_mut()) {
                Ok(len) => {
                    frame.set_len(len);
                    return Ok(Some(frame));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // EBADFD: the device was deleted.
                Err(error) => return Err(error),
            }
        }
    }

    fn transmit(&mut self, frame: Frame) -> io::Result<()> {
        loop {
            match self.iface.send(frame.bytes()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // EIO: the device is down.
                sent => return sent.map(drop),
            }
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        sys::tun::descriptor(&self.iface)
    }
}

/// Bytes of a frame beyond the MTU: the Ethernet header and two tags, rounded up.
const SLACK: usize = 32;
/// The longest frame a device of the largest MTU can send, with slack.
const MAX_READ: usize = super::MAX_SUPER_FRAME;
