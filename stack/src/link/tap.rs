//! A TAP of the kernel with super-frames: one system call moves up to 64 KiB, and checksums within the
//! machine are never computed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::vlan::split_tagged;
use super::vnet_header::{self, HEADER_LEN};
use super::{Capabilities, Frame, Link, MAX_SUPER_FRAME, SegmentKind, Segmentation, tun_device};
use crate::setup_error::SetupError;
use crate::sys;
use crate::sys::tun::Offload;

/// A TAP device with a virtio-net header in front of each frame.
///
/// Needs Linux 2.6.32 and, for an unprivileged caller, a persistent TAP that belongs to the user:
/// `ip tuntap add red mode tap user $USER`. Before Linux 6.2 datagrams of UDP go one by one.
#[derive(Debug)]
pub struct Tap {
    fd: OwnedFd,
    /// Where the next frame is read to. A short one is copied out of it, so that a queue of short frames
    /// does not hold buffers of 64 KiB.
    large: Option<Frame>,
    /// Whether the kernel takes super-frames of UDP.
    takes_datagrams: bool,
    mtu: u16,
}

impl Tap {
    /// Attaches to the TAP of that name in the network namespace of the calling thread. With `create`, a
    /// privileged caller gets a new one if there is none, which is gone when it is closed.
    ///
    /// # Errors
    /// `ENODEV` when there is none, `EPERM` when it belongs to another user, `EBUSY` when another program
    /// has it open, `EINVAL` when it is another kind of device, and what opening `/dev/net/tun` gives.
    pub fn open(name: &str, create: bool) -> Result<Self, SetupError> {
        Self::open_with(name, create, Offload::SegmentsAndDatagrams)
    }

    /// The same as a kernel before Linux 6.2 has it: without super-frames of UDP.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_without_datagrams(name: &str, create: bool) -> Result<Self, SetupError> {
        Self::open_with(name, create, Offload::Segments)
    }

    fn open_with(name: &str, create: bool, wanted: Offload) -> Result<Self, SetupError> {
        let fd = tun_device::control(name)?;
        tun_device::check_exists(name, create)?;
        sys::tun::attach_tap(fd.as_fd(), name).map_err(|source| tun_device::open_error(name, source))?;
        let takes_datagrams = sys::tun::set_header_len(fd.as_fd(), HEADER_LEN)
            .and_then(|()| match sys::tun::set_offload(fd.as_fd(), wanted) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    sys::tun::set_offload(fd.as_fd(), Offload::Segments).map(|()| false)
                }
                result => result.map(|()| wanted == Offload::SegmentsAndDatagrams),
            })
            .map_err(|source| SetupError::Link {
                what: format!("tap {name:?}"),
                attempted: "turn on offload of",
                source,
                advice: format!("open it without, as tap://{name}?offload=off"),
            })?;
        tun_device::await_carrier(name);
        Ok(Self { fd, large: None, takes_datagrams, mtu: tun_device::mtu(name)? })
    }

    /// Takes the `len` bytes that were read behind the headroom of `frame`; `None` to drop them.
    fn accept(&mut self, mut frame: Frame, read: usize) -> Option<Frame> {
        frame.set_len(read.saturating_sub(HEADER_LEN));
        let parsed = frame
            .with_header_mut(HEADER_LEN)
            .split_first_chunk::<HEADER_LEN>()
            .and_then(|(header, bytes)| vnet_header::parse(header, bytes));
        if read <= HEADER_LEN || parsed.is_none() {
            self.large = Some(frame);
            return None;
        }
        let (checksum, segmentation) = parsed?;
        if frame.len() <= SHORT {
            let short = Frame::from_slice(frame.bytes());
            self.large = Some(std::mem::replace(&mut frame, short));
        }
        frame.checksum = checksum;
        frame.segmentation = segmentation;
        Some(frame)
    }

    fn write(&self, mut frame: Frame) -> io::Result<()> {
        let (checksum, segmentation) = (frame.checksum, frame.segmentation);
        let bytes = frame.with_header_mut(HEADER_LEN);
        if let Some((header, _)) = bytes.split_first_chunk_mut::<HEADER_LEN>() {
            vnet_header::emit(header, checksum, segmentation);
        }
        // EIO: the device is down. The frame is lost, as on a wire that is unplugged.
        rustix::io::retry_on_intr(|| rustix::io::write(&self.fd, bytes))?;
        Ok(())
    }
}

impl Link for Tap {
    fn capabilities(&self) -> Capabilities {
        Capabilities { mtu: self.mtu, offload: true }
    }

    fn receive(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let mut frame = self.large.take().unwrap_or_else(|| Frame::with_capacity(MAX_SUPER_FRAME));
            match rustix::io::read(&self.fd, frame.spare_with_header_mut(HEADER_LEN)) {
                Ok(read) => {
                    if let Some(frame) = self.accept(frame, read) {
                        return Ok(Some(frame));
                    }
                }
                Err(errno) => {
                    self.large = Some(frame);
                    match errno {
                        Errno::INTR => {}
                        Errno::AGAIN => return Ok(None),
                        // EBADFD: the device was deleted.
                        errno => return Err(errno.into()),
                    }
                }
            }
        }
    }

    fn transmit(&mut self, frame: Frame) -> io::Result<()> {
        let several = matches!(frame.segmentation, Some(Segmentation { kind: SegmentKind::Udp, .. }));
        if several && !self.takes_datagrams {
            return split_tagged(frame).into_iter().try_for_each(|piece| self.write(piece));
        }
        self.write(frame)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Frames up to this length, in bytes, get a small buffer of their own: those of an ordinary MTU.
const SHORT: usize = 1800;
