//! One Ethernet frame or super-frame, in a pooled buffer that is handed over, never copied.

use super::{pool, vnet_header};

/// Room in front of the Ethernet header of every frame, in bytes: enough for a virtio-net header and a VLAN tag.
pub const HEADROOM: usize = 16;

/// The longest super-frame, in bytes, counted from its Ethernet header. The kernel segments a longer
/// one in software when it leaves another device.
pub const MAX_SUPER_FRAME: usize = 65_536;

/// What the checksum field of the transport header holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// A full checksum that nobody has verified: what came from a wire.
    #[default]
    Unverified,
    /// The link vouches for the payload; the field holds a full checksum.
    Verified,
    /// The field holds the folded pseudo-header sum only, the link vouches for the payload, and
    /// whoever puts the frame on a wire completes it (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
    Partial {
        /// Where summing starts: offset of the transport header from the Ethernet header.
        start: u16,
        /// Offset of the checksum field within the transport header.
        offset: u16,
    },
}

/// The protocol of a super-frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over either: several datagrams, the length in whose header is that of all of them.
    Udp,
}

/// The most datagrams in one super-frame: `UDP_MAX_SEGMENTS` of Linux.
pub const MAX_DATAGRAMS: usize = 128;

/// How a super-frame is to be cut into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// The protocol inside.
    pub kind: SegmentKind,
    /// Payload bytes of each segment (the MSS); the last may be shorter.
    pub size: u16,
    /// Length of all headers, Ethernet to TCP or UDP.
    pub header_len: u16,
}

/// One Ethernet frame. Its buffer comes from a pool and goes back to it when the frame is dropped.
#[derive(Debug)]
pub struct Frame {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// State of the transport checksum.
    pub checksum: Checksum,
    /// `Some` makes it a super-frame.
    pub segmentation: Option<Segmentation>,
}

impl Frame {
    /// An empty frame with room for `len` bytes behind [`HEADROOM`].
    ///
    /// `len` is at most [`MAX_SUPER_FRAME`] plus some slack of the pool; more panics.
    #[must_use]
    pub fn with_capacity(len: usize) -> Self {
        Self {
            buffer: pool::take(HEADROOM + len),
            start: HEADROOM,
            end: HEADROOM,
            checksum: Checksum::Unverified,
            segmentation: None,
        }
    }

    /// A frame with the given bytes, Ethernet header first.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut frame = Self::with_capacity(bytes.len());
        frame.set_len(bytes.len());
        frame.bytes_mut().copy_from_slice(bytes);
        frame
    }

    /// The bytes, Ethernet header first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The bytes, Ethernet header first.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    /// Everything behind the headroom, to be filled before [`set_len`](Self::set_len).
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    /// Says how many bytes behind the headroom are the frame. More than the capacity is cut to it.
    pub fn set_len(&mut self, len: usize) {
        self.end = (self.start + len).min(self.buffer.len());
    }

    /// The last `len` bytes of the headroom followed by the frame: where a link writes its header.
    ///
    /// # Panics
    /// If `len` is more than [`HEADROOM`].
    pub fn with_header_mut(&mut self, len: usize) -> &mut [u8] {
        &mut self.buffer[self.start - len..self.end]
    }

    /// The last `len` bytes of the headroom followed by the whole capacity: where a link reads a
    /// header and a frame in one system call.
    ///
    /// # Panics
    /// If `len` is more than [`HEADROOM`].
    pub fn spare_with_header_mut(&mut self, len: usize) -> &mut [u8] {
        &mut self.buffer[self.start - len..]
    }

    /// Moves the start of the frame forward by `len` bytes (at most to its end).
    pub fn advance(&mut self, len: usize) {
        self.start = (self.start + len).min(self.end);
    }

    /// Moves the start of the frame back by `len` bytes, into the headroom. False, and nothing happens, if that leaves less
    /// than a virtio-net header needs.
    #[must_use]
    pub fn retreat(&mut self, len: usize) -> bool {
        let fits = self.start >= len + vnet_header::HEADER_LEN;
        if fits {
            self.start -= len;
        }
        fits
    }

    /// Length in bytes, from the Ethernet header.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// A copy in a buffer of its own.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let mut copy = Self::from_slice(self.bytes());
        copy.checksum = self.checksum;
        copy.segmentation = self.segmentation;
        copy
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        pool::give(std::mem::take(&mut self.buffer));
    }
}
