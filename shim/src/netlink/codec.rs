//! Messages of netlink(7) as bytes: taken apart without trusting a length, and put together.
//!
//! It is our own because the kernel's answers say at which byte of a request something was wrong, and because what
//! is not known is passed over there, where a parser of typed values refuses the whole.

use super::constants::{NLA_ALIGNTO, NLA_F_NESTED, NLA_TYPE_MASK, NLM_F_MULTI, NLMSG_DONE, NLMSG_HDRLEN};
use super::fault::Fault;
use rustix::io::Errno;

/// One message of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// `nlmsg_type`.
    pub(super) kind: u16,
    /// `nlmsg_flags`.
    pub(super) flags: u16,
    /// `nlmsg_seq`.
    pub(super) sequence: u32,
    /// All of it, the header in front.
    pub(super) whole: &'a [u8],
}

impl<'a> Request<'a> {
    /// Whether all of these flags are set.
    pub(super) const fn has(&self, flags: i32) -> bool {
        self.flags as i32 & flags == flags
    }

    /// What is behind the header.
    pub(super) fn payload(&self) -> &'a [u8] {
        self.whole.get(NLMSG_HDRLEN..).unwrap_or_default()
    }

    /// The fixed part of the payload, whose length the type gives; `EINVAL` if it is shorter.
    pub(super) fn fixed<const N: usize>(&self) -> Result<&'a [u8; N], Fault> {
        self.payload().first_chunk().ok_or(Fault::new(Errno::INVAL))
    }

    /// The attributes behind a fixed part of so many bytes.
    pub(super) fn attributes(&self, fixed: usize) -> Attributes<'a> {
        let start = NLMSG_HDRLEN + align(fixed);
        Attributes { bytes: self.whole.get(start..).unwrap_or_default(), start }
    }
}

/// The messages in a datagram. As in the kernel, the first with a length that cannot be ends it without a word.
pub(super) fn requests(mut rest: &[u8]) -> impl Iterator<Item = Request<'_>> {
    std::iter::from_fn(move || {
        let header: &[u8; NLMSG_HDRLEN] = rest.first_chunk()?;
        let len = usize::try_from(word(header, 0)).ok()?;
        let whole = rest.get(..len).filter(|whole| whole.len() >= NLMSG_HDRLEN)?;
        rest = rest.get(align(len)..).unwrap_or_default();
        Some(Request { kind: half(header, 4), flags: half(header, 6), sequence: word(header, 8), whole })
    })
}

/// Attributes in a row. Of a type that comes twice the last counts, as in the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attributes<'a> {
    bytes: &'a [u8],
    /// Where they begin in the message.
    start: usize,
}

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) kind: u16,
    pub(super) value: &'a [u8],
    /// Where it is in the message.
    pub(super) offset: usize,
}

impl<'a> Attributes<'a> {
    /// Each of them; what is behind the last that has a length that can be is not looked at.
    pub(super) fn each(self) -> impl Iterator<Item = Attribute<'a>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = self.bytes.get(at..)?;
            let header: &[u8; 4] = rest.first_chunk()?;
            let value = rest.get(4..usize::from(half(header, 0)))?;
            let offset = self.start + at;
            at += align(4 + value.len());
            Some(Attribute { kind: half(header, 2) & NLA_TYPE_MASK, value, offset })
        })
    }

    /// The one of a type.
    pub(super) fn find(self, kind: u16) -> Option<Attribute<'a>> {
        self.each().filter(|attribute| attribute.kind == kind).last()
    }

    /// The attributes in one.
    pub(super) fn within(self, kind: u16) -> Self {
        self.find(kind)
            .map_or_else(Self::default, |found| Self { bytes: found.value, start: found.offset + 4 })
    }

    /// An integer of four bytes; `ERANGE` if it is shorter.
    pub(super) fn integer(self, kind: u16) -> Result<Option<u32>, Fault> {
        let Some(found) = self.find(kind) else { return Ok(None) };
        Ok(Some(u32::from_ne_bytes(*found.value.first_chunk().ok_or_else(|| found.too_short())?)))
    }

    /// Text, which a zero may end.
    pub(super) fn text(self, kind: u16) -> Result<Option<&'a str>, Fault> {
        self.find(kind).map(Attribute::text).transpose()
    }
}

impl<'a> Attribute<'a> {
    pub(super) fn text(self) -> Result<&'a str, Fault> {
        let text = self.value.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| self.wrong(Errno::INVAL, "Attribute is no text"))
    }

    /// What the kernel says of a value that does not fit its type.
    pub(super) const fn too_short(self) -> Fault {
        self.wrong(Errno::RANGE, "Attribute failed policy validation")
    }

    /// Something is wrong with it.
    pub(super) const fn wrong(self, errno: Errno, text: &'static str) -> Fault {
        Fault { errno, text, offset: Some(self.offset) }
    }
}

/// A message that is being made.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins one.
    pub(super) fn new(kind: u16, flags: i32, (sequence, port): (u32, u32)) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags as u16).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(port.to_ne_bytes());
        Self { bytes }
    }

    /// The end of a dump: no error.
    pub(super) fn done(to: (u32, u32)) -> Vec<u8> {
        let mut writer = Self::new(NLMSG_DONE as u16, NLM_F_MULTI, to);
        writer.put(&[0; 4]);
        writer.finish()
    }

    /// Bytes as they are.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.pad();
    }

    /// An attribute.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(4 + value.len()).unwrap_or(4);
        let value = value.get(..usize::from(len) - 4).unwrap_or_default();
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.put(value);
    }

    /// An attribute that is an integer of four bytes.
    pub(super) fn integer(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// An attribute that is text.
    pub(super) fn text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// An attribute with others in it.
    pub(super) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self { bytes: Vec::new() };
        fill(&mut inner);
        self.attribute(kind | NLA_F_NESTED, &inner.bytes);
    }

    /// The message, with its length.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(align(self.bytes.len()), 0);
    }
}

/// The flags of a message, changed: for one that becomes part of a dump.
pub(super) fn add_flags(message: &mut [u8], flags: i32) {
    if let Some(place) = message.get_mut(6..8) {
        let old = u16::from_ne_bytes([place[0], place[1]]);
        place.copy_from_slice(&(old | flags as u16).to_ne_bytes());
    }
}

/// The next multiple of four.
pub(super) const fn align(len: usize) -> usize {
    len.next_multiple_of(NLA_ALIGNTO)
}

pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new(20, 5, (7, 9));
        writer.put(&[2, 24, 0, 0, 1, 0, 0, 0]);
        writer.text(3, "eth0");
        writer.nested(4, |inner| inner.integer(1, 77));
        let bytes = writer.finish();
        let mut all = bytes.clone();
        all.extend(&bytes);
        let found: Vec<_> = requests(&all).collect();
        assert_eq!(found.len(), 2);
        let request = found[1];
        assert_eq!((request.kind, request.flags, request.sequence), (20, 5, 7));
        let attributes = request.attributes(8);
        assert_eq!(attributes.text(3).ok(), Some(Some("eth0")));
        assert_eq!(attributes.within(4).integer(1).ok(), Some(Some(77)));
        assert_eq!(attributes.find(4).map(|found| found.offset), Some(16 + 8 + 12));
    }

    #[test]
    fn lengths_that_cannot_be_end_it() {
        let mut bytes = Writer::new(20, 1, (1, 1)).finish();
        for len in [0, 15, 17, u32::MAX] {
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            assert_eq!(requests(&bytes).count(), 0, "{len}");
        }
        for len in [0u16, 3, 9] {
            let bytes = [&len.to_ne_bytes()[..], &[1, 0, 5, 5, 5, 5]].concat();
            assert_eq!(Attributes { bytes: &bytes, start: 0 }.each().count(), 0, "{len}");
        }
    }

    proptest! {
        /// Anything can be taken apart, and it ends.
        #[test]
        fn anything_is_taken_apart(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for request in requests(&bytes) {
                for attribute in request.attributes(8).each() {
                    let _ = request.attributes(8).within(attribute.kind).each().count();
                }
            }
        }
    }
}
