//! A link whose frames carry the tag of one VLAN (IEEE 802.1Q-2018 clause 9): several networks on one wire.
//!
//! What leaves is tagged, what arrives without that tag is somebody else's. The tag is written into the headroom of a frame,
//! and counts against no MTU, as on Linux.

use std::io;
use std::os::fd::BorrowedFd;

use super::split::split;
use super::{Capabilities, Checksum, Frame, Link};

/// The tag protocol identifier of a customer's VLAN; that of a provider's (802.1ad) is another.
const TPID: [u8; 2] = [0x81, 0x00];
/// Behind both addresses of the Ethernet header.
const TAG_AT: usize = 12;
const TAG_LEN: u16 = 4;
/// The identifier in the tag; the bits above are priority and drop eligibility.
const IDENTIFIER: u16 = 0x0fff;
/// Frames of others skipped before the owner gets a turn.
const BATCH: usize = 64;

/// One VLAN of another link.
#[derive(Debug)]
pub struct Vlan {
    inner: Box<dyn Link>,
    identifier: u16,
}

impl Vlan {
    /// The identifiers that there are: 0 is none, and 4095 is reserved (table 9-2).
    pub const IDENTIFIERS: std::ops::RangeInclusive<u16> = 1..=4094;

    /// The VLAN of that number, one of [`IDENTIFIERS`](Self::IDENTIFIERS), on the wire of `inner`.
    #[must_use]
    pub fn new(inner: Box<dyn Link>, identifier: u16) -> Self {
        Self { inner, identifier: identifier & IDENTIFIER }
    }
}

/// The frame with that tag in it.
fn tag(mut frame: Frame, identifier: u16) -> Frame {
    if !frame.retreat(TAG_LEN.into()) {
        let mut copy = Frame::with_capacity(frame.len() + usize::from(TAG_LEN));
        copy.set_len(frame.len() + usize::from(TAG_LEN));
        copy.bytes_mut()[TAG_LEN.into()..].copy_from_slice(frame.bytes());
        (copy.checksum, copy.segmentation) = (frame.checksum, frame.segmentation);
        frame = copy;
    }
    let bytes = frame.bytes_mut();
    bytes.copy_within(usize::from(TAG_LEN)..usize::from(TAG_LEN) + TAG_AT, 0);
    bytes[TAG_AT..TAG_AT + 2].copy_from_slice(&TPID);
    // Priority 0.
    bytes[TAG_AT + 2..TAG_AT + 4].copy_from_slice(&identifier.to_be_bytes());
    shift(&mut frame, |at| at.checked_add(TAG_LEN)).unwrap_or_default();
    frame
}

/// The frame without its tag; `None` if it has not that one.
fn untag(mut frame: Frame, identifier: u16) -> Option<Frame> {
    if tag_of(&frame) != Some(identifier) {
        return None;
    }
    frame.bytes_mut().copy_within(..TAG_AT, TAG_LEN.into());
    frame.advance(TAG_LEN.into());
    shift(&mut frame, |at| at.checked_sub(TAG_LEN))?;
    Some(frame)
}

fn tag_of(frame: &Frame) -> Option<u16> {
    let &[t0, t1, i0, i1] = frame.bytes().get(TAG_AT..)?.first_chunk()?;
    ([t0, t1] == TPID).then_some(u16::from_be_bytes([i0, i1]) & IDENTIFIER)
}

/// The frames of a super-frame; each has the tag that it may have.
pub(super) fn split_tagged(frame: Frame) -> Vec<Frame> {
    let Some(identifier) = tag_of(&frame) else { return split(frame) };
    let pieces = untag(frame, identifier).map(split).unwrap_or_default();
    pieces.into_iter().map(|piece| tag(piece, identifier)).collect()
}

/// Moves what is said about places in a frame; `None` if one of them would not be in it.
fn shift(frame: &mut Frame, to: impl Fn(u16) -> Option<u16>) -> Option<()> {
    if let Checksum::Partial { start, .. } = &mut frame.checksum {
        *start = to(*start)?;
    }
    if let Some(segmentation) = &mut frame.segmentation {
        segmentation.header_len = to(segmentation.header_len)?;
    }
    Some(())
}

impl Link for Vlan {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&mut self) -> io::Result<Option<Frame>> {
        for _ in 0..BATCH {
            let Some(frame) = self.inner.receive()? else { break };
            if let Some(frame) = untag(frame, self.identifier) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn transmit(&mut self, frame: Frame) -> io::Result<()> {
        if frame.len() < TAG_AT + TPID.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.inner.transmit(tag(frame, self.identifier))
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.inner.descriptors()
    }

    fn pending(&self) -> Option<bool> {
        self.inner.pending()
    }

    fn arm(&mut self) -> bool {
        self.inner.arm()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::link::switch::{Switch, SwitchPort};
    use crate::link::{HEADROOM, SegmentKind, Segmentation};

    fn vlan(switch: &Arc<Switch>, identifier: u16) -> Vlan {
        Vlan::new(Box::new(switch.port().expect("a port")), identifier)
    }

    /// A frame to all that counts up.
    fn frame(len: usize) -> Frame {
        let mut frame = Frame::with_capacity(len);
        frame.set_len(len);
        frame.bytes_mut().iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
        frame.bytes_mut()[..6].fill(0xff);
        frame
    }

    fn taken(port: &mut SwitchPort) -> Frame {
        port.receive().expect("alive").expect("a frame")
    }

    #[test]
    fn what_leaves_is_tagged_and_what_arrives_is_as_it_was() {
        let switch = Switch::new("trunk");
        let (mut one, mut other, mut trunk) = (vlan(&switch, 42), vlan(&switch, 42), switch.port().unwrap());
        let mut sent = frame(3000);
        let checksum = Checksum::Partial { start: 34, offset: 16 };
        let segmentation = Segmentation { kind: SegmentKind::Tcp4, size: 1460, header_len: 54 };
        (sent.checksum, sent.segmentation) = (checksum, Some(segmentation));
        let bytes = sent.bytes().to_vec();
        one.transmit(sent).expect("sent");

        let tagged = taken(&mut trunk);
        assert_eq!(tagged.bytes()[..12], bytes[..12]);
        assert_eq!(tagged.bytes()[12..16], [0x81, 0, 0, 42]);
        assert_eq!(tagged.bytes()[16..], bytes[12..]);
        assert_eq!(tagged.checksum, Checksum::Partial { start: 38, offset: 16 });
        assert_eq!(tagged.segmentation, Some(Segmentation { header_len: 58, ..segmentation }));

        let untagged = other.receive().expect("alive").expect("a frame");
        assert_eq!(untagged.bytes(), bytes);
        assert_eq!((untagged.checksum, untagged.segmentation), (checksum, Some(segmentation)));
    }

    #[test]
    fn the_pieces_of_a_tagged_super_frame_are_tagged() {
        let datagrams = |tagged: bool| {
            let mut bytes = vec![0xff; 12];
            bytes.extend([
                8, 0, 0x45, 0, 0x0b, 0xd4, 0, 0, 0x40, 0, 64, 17, 0x1b, 0x17, 10, 0, 0, 1, 10, 0, 0, 2,
            ]);
            bytes.extend([0, 1, 0, 2, 0x0b, 0xc0, 0, 0]);
            bytes.resize(42 + 3000, 7);
            let mut frame = Frame::from_slice(&bytes);
            frame.checksum = Checksum::Partial { start: 34, offset: 6 };
            frame.segmentation = Some(Segmentation { kind: SegmentKind::Udp, size: 1000, header_len: 42 });
            split_tagged(if tagged { tag(frame, 42) } else { frame })
        };
        let (plain, tagged) = (datagrams(false), datagrams(true));
        assert_eq!((plain.len(), tagged.len()), (3, 3));
        for (tagged, plain) in tagged.into_iter().zip(plain) {
            assert_eq!(tagged.bytes()[12..16], [0x81, 0, 0, 42]);
            assert_eq!(untag(tagged, 42).expect("a tag").bytes(), plain.bytes());
        }
    }

    #[test]
    fn without_headroom_a_frame_is_copied() {
        let switch = Switch::new("trunk");
        let (mut one, mut trunk) = (vlan(&switch, 42), switch.port().unwrap());
        let mut sent = frame(60);
        let bytes = sent.bytes().to_vec();
        while sent.retreat(1) {}
        // What a link needs is left.
        assert!(HEADROOM >= 12 && sent.with_header_mut(12).len() == sent.len() + 12);
        let front = sent.len() - bytes.len();
        sent.bytes_mut().copy_within(front.., 0);
        sent.set_len(bytes.len());
        one.transmit(sent).expect("sent");
        assert_eq!(taken(&mut trunk).bytes()[16..], bytes[12..]);
    }

    #[test]
    fn only_frames_with_that_tag_are_taken() {
        let switch = Switch::new("trunk");
        let (mut trunk, mut own) = (switch.port().unwrap(), vlan(&switch, 42));
        for (tag, taken) in [
            ([0x81, 0, 0, 42], true),
            // Priority 7, drop eligible.
            ([0x81, 0, 0xf0, 42], true),
            ([0x81, 0, 0, 43], false),
            ([0x81, 0, 1, 42], false),
            // A priority alone.
            ([0x81, 0, 0xe0, 0], false),
            // A provider's.
            ([0x88, 0xa8, 0, 42], false),
            ([8, 0, 0, 42], false),
        ] {
            let mut sent = frame(60);
            sent.bytes_mut()[12..16].copy_from_slice(&tag);
            trunk.transmit(sent).expect("sent");
            assert_eq!(own.receive().expect("alive").is_some(), taken, "{tag:?}");
        }
        for len in [14, 15, 17] {
            trunk.transmit(frame(len)).expect("sent");
            assert!(own.receive().expect("alive").is_none());
        }
    }

    #[test]
    fn a_place_in_front_of_the_frame_is_none() {
        let switch = Switch::new("trunk");
        let (mut trunk, mut own) = (switch.port().unwrap(), vlan(&switch, 42));
        let mut sent = frame(60);
        sent.bytes_mut()[12..16].copy_from_slice(&[0x81, 0, 0, 42]);
        sent.checksum = Checksum::Partial { start: 3, offset: 16 };
        trunk.transmit(sent).expect("sent");
        assert!(own.receive().expect("alive").is_none());
    }

    #[test]
    fn frames_of_others_take_turns() {
        let switch = Switch::new("trunk");
        let (mut trunk, mut one, mut own) = (switch.port().unwrap(), vlan(&switch, 42), vlan(&switch, 42));
        (0..100).for_each(|_| trunk.transmit(frame(60)).expect("sent"));
        one.transmit(frame(60)).expect("sent");
        assert!(own.receive().expect("alive").is_none());
        assert!(!own.arm(), "there is more");
        assert!(own.receive().expect("alive").is_some());
    }
}
