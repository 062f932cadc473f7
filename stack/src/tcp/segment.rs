//! The TCP header (RFC 9293 section 3.1) as far as the engine itself looks into it.

use std::ops::Range;

/// Length of the header without options.
pub(crate) const HEADER_LEN: usize = 20;
/// Length of the header with all the options that it can have.
pub(crate) const MAX_HEADER_LEN: usize = 60;
/// Bytes of the timestamps option, aligned (RFC 7323 appendix A).
pub(crate) const TIMESTAMPS_LEN: usize = 12;
/// Offset of the checksum field.
pub(crate) const CHECKSUM: usize = 16;

/// Options (IANA numbers): RFC 9293 section 3.2, RFC 7323 section 2.2, RFC 2018 sections 2 and 3.
pub(crate) const MSS: u8 = 2;
pub(crate) const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const NOP: u8 = 1;

/// Flags, byte 13 of the header.
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;

pub(super) const FLAGS: usize = 13;

/// A parsed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) header_len: usize,
    pub(crate) payload_len: usize,
}

impl Segment {
    /// Parses `bytes`, header and payload; `None` if the header contradicts its length.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        if header_len < HEADER_LEN || header_len > bytes.len() {
            return None;
        }
        let half = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        Some(Self {
            source_port: half(0),
            destination_port: half(2),
            seq: word(4),
            ack: word(8),
            flags: fixed[FLAGS],
            window: half(14),
            urgent: half(18),
            header_len,
            payload_len: bytes.len() - header_len,
        })
    }

    /// Whether all of `flags` are set.
    pub(crate) const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Length in sequence space: payload, SYN and FIN.
    pub(crate) fn sequence_len(&self) -> u32 {
        let controls = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        u32::try_from(self.payload_len).unwrap_or(u32::MAX).wrapping_add(controls)
    }

    /// The sequence number behind the segment.
    pub(crate) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.sequence_len())
    }
}

/// A segment that arrived, in its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'a> {
    /// From the Ethernet header to the end of the packet.
    pub(crate) bytes: &'a [u8],
    /// Offset of the TCP header in them.
    pub(crate) tcp: usize,
    /// The header, parsed.
    pub(crate) seg: Segment,
}

impl Arrived<'_> {
    /// Its header alone, as of a segment without data and FIN, behind `front` bytes.
    pub(crate) fn header(&self, front: usize) -> Vec<u8> {
        let mut bytes = vec![0; front];
        bytes.extend_from_slice(&self.bytes[self.tcp..][..self.seg.header_len]);
        clear_flag(&mut bytes[front..], FIN);
        bytes
    }
}

/// What a peer says in its SYN about the connection to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Bytes of data that its segments may have (RFC 9293 section 3.7.1).
    pub(crate) mss: u16,
    /// How its windows are scaled, if they are (RFC 7323 section 2.2).
    pub(crate) shift: Option<u8>,
    /// Whether it acknowledges selectively (RFC 2018 section 2).
    pub(crate) selective: bool,
    /// Its clock, if it offers timestamps (RFC 7323 section 3.2).
    pub(crate) timestamp: Option<u32>,
}

impl Offer {
    /// Reads the options of a SYN at the front of `bytes`; `v6` says in what it came.
    pub(crate) fn parse(bytes: &[u8], seg: &Segment, v6: bool) -> Self {
        let number = |value: &[u8]| Some(u16::from_be_bytes(*value.first_chunk()?));
        // Linux takes 0 for nothing.
        let said = option(bytes, seg, MSS).and_then(number).filter(|mss| *mss > 0);
        let mss = said.unwrap_or_else(|| usual_mss(v6));
        let shift = match option(bytes, seg, WINDOW_SCALE) {
            // RFC 7323 section 2.3: a larger one counts as 14.
            Some(&[shift]) => Some(shift.min(14)),
            _ => None,
        };
        let timestamp = timestamp(bytes, seg);
        Self { mss, shift, selective: option(bytes, seg, SACK_PERMITTED).is_some(), timestamp }
    }
}

/// Bytes of data in a segment that hold if nothing is said (RFC 9293 section 3.7.1).
pub(crate) const fn usual_mss(v6: bool) -> u16 {
    if v6 { 1220 } else { 536 }
}

/// The selective acknowledgements in a header in front of `bytes` (RFC 2018 section 3), at most as many as there is room
/// for, in the order in which they stand. The count is how many there are.
pub(crate) fn blocks(bytes: &[u8], seg: &Segment) -> ([(u32, u32); 4], usize) {
    let mut blocks = [(0, 0); 4];
    let mut count = 0;
    if seg.header_len > HEADER_LEN
        && let Some(value) = option(bytes, seg, SACK)
    {
        for (at, block) in value.chunks_exact(8).take(blocks.len()).enumerate() {
            let word =
                |at: usize| u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
            blocks[at] = (word(0), word(4));
            count = at + 1;
        }
    }
    (blocks, count)
}

/// What a segment says of the time (TSval of RFC 7323 section 3.2).
pub(crate) fn timestamp(bytes: &[u8], seg: &Segment) -> Option<u32> {
    const ALIGNED: [u8; 4] = [NOP, NOP, TIMESTAMPS, 10];
    let options = bytes.get(HEADER_LEN..seg.header_len)?;
    let value = if options.starts_with(&ALIGNED) {
        options.get(4..12)?
    } else {
        option(bytes, seg, TIMESTAMPS).filter(|value| value.len() == 8)?
    };
    Some(u32::from_be_bytes(*value.first_chunk()?))
}

/// Adds timestamps to the header in front of `bytes`; there is room for them. They come first: behind the others there may
/// be the end of all options.
pub(crate) fn add_timestamps(bytes: &mut [u8], value: u32, echo: u32) {
    let end = add_options(bytes, TIMESTAMPS_LEN);
    bytes.copy_within(HEADER_LEN..end, HEADER_LEN + TIMESTAMPS_LEN);
    let option = &mut bytes[HEADER_LEN..HEADER_LEN + TIMESTAMPS_LEN];
    option[..4].copy_from_slice(&[NOP, NOP, TIMESTAMPS, 10]);
    option[4..8].copy_from_slice(&value.to_be_bytes());
    option[8..].copy_from_slice(&echo.to_be_bytes());
}

/// Makes a header longer by so many bytes of options, a multiple of four; says where they begin.
fn add_options(bytes: &mut [u8], len: usize) -> usize {
    let end = usize::from(bytes[12] >> 4) * 4;
    bytes[12] = (((end + len) / 4) << 4) as u8;
    end
}

/// The value of an option in the header in front of `bytes` (RFC 9293 section 3.1), if it is there and whole.
pub(crate) fn option<'a>(bytes: &'a [u8], seg: &Segment, wanted: u8) -> Option<&'a [u8]> {
    bytes.get(option_range(bytes, seg, wanted)?)
}

/// Where the value of an option stands.
fn option_range(bytes: &[u8], seg: &Segment, wanted: u8) -> Option<Range<usize>> {
    const END: u8 = 0;
    let options = bytes.get(..seg.header_len)?;
    let mut at = HEADER_LEN;
    while let Some(&kind) = options.get(at) {
        match kind {
            END => return None,
            NOP => at += 1,
            _ => {
                let len = usize::from(*options.get(at + 1)?);
                let value = at + 2..at + len;
                options.get(value.clone())?;
                if kind == wanted {
                    return Some(value);
                }
                at = value.end;
            }
        }
    }
    None
}

/// Makes a SYN in front of `bytes` offer a window of so many bytes, scaled by `shift` from then on if it speaks of scaling
/// (RFC 7323 section 2.2). The checksum is not adjusted.
pub(crate) fn set_offer(bytes: &mut [u8], seg: &Segment, window: u16, shift: u8) {
    if let Some(field) = bytes.get_mut(14..16) {
        field.copy_from_slice(&window.to_be_bytes());
    }
    if let Some(value) = option_range(bytes, seg, WINDOW_SCALE).and_then(|range| bytes[range].first_mut()) {
        *value = shift;
    }
}

/// Makes the segment size that a SYN in front of `bytes` announces `most` at most. The checksum is not adjusted.
pub(crate) fn limit_mss(bytes: &mut [u8], seg: &Segment, most: u16) {
    if let Some(value) = option_range(bytes, seg, MSS).and_then(|range| bytes[range].first_chunk_mut()) {
        *value = u16::from_be_bytes(*value).min(most).to_be_bytes();
    }
}

/// Whether `a` lies behind `b` in sequence space (RFC 9293 section 3.4).
pub(crate) const fn after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

/// How far `end` lies in front of `start` in sequence space; 0 if it lies behind.
pub(crate) const fn distance(start: u32, end: u32) -> usize {
    if after(end, start) { end.wrapping_sub(start) as usize } else { 0 }
}

/// Clears `flag` in the header in front of `bytes`. The checksum is not adjusted.
pub(crate) fn clear_flag(bytes: &mut [u8], flag: u8) {
    if let Some(flags) = bytes.get_mut(FLAGS) {
        *flags &= !flag;
    }
}

/// Changes what the header in front of `bytes` acknowledges. The checksum is not adjusted.
pub(crate) fn set_ack(bytes: &mut [u8], ack: u32) {
    if let Some(field) = bytes.get_mut(8..12) {
        field.copy_from_slice(&ack.to_be_bytes());
    }
}

/// Changes the sequence number in the header in front of `bytes`. The checksum is not adjusted.
pub(crate) fn set_seq(bytes: &mut [u8], seq: u32) {
    if let Some(field) = bytes.get_mut(4..8) {
        field.copy_from_slice(&seq.to_be_bytes());
    }
}

/// Gives the header in front of `bytes` an urgent pointer. The checksum is not adjusted.
pub(crate) fn set_urgent(bytes: &mut [u8], pointer: u16) {
    if let Some(fixed) = bytes.first_chunk_mut::<HEADER_LEN>() {
        fixed[FLAGS] |= URG;
        fixed[18..].copy_from_slice(&pointer.to_be_bytes());
    }
}

/// How many selective acknowledgements fit beside so many bytes of other options.
pub(crate) const fn blocks_beside(options: usize) -> usize {
    (MAX_HEADER_LEN - HEADER_LEN - options - 4) / 8
}

/// Bytes of the options that say so many selective acknowledgements (RFC 2018 section 3), aligned.
pub(crate) const fn sack_len(blocks: usize) -> usize {
    if blocks == 0 { 0 } else { 4 + 8 * blocks }
}

/// Adds selective acknowledgements to the header in front of `bytes`, behind the options that it has; there is room for
/// them.
pub(crate) fn add_sack(bytes: &mut [u8], blocks: &[(u32, u32)]) {
    let len = sack_len(blocks.len());
    if len == 0 {
        return;
    }
    let end = add_options(bytes, len);
    let options = &mut bytes[end..end + len];
    options[..4].copy_from_slice(&[NOP, NOP, SACK, len as u8 - 2]);
    for (option, (left, right)) in options[4..].chunks_exact_mut(8).zip(blocks) {
        option[..4].copy_from_slice(&left.to_be_bytes());
        option[4..].copy_from_slice(&right.to_be_bytes());
    }
}

/// Writes a header without options into the first [`HEADER_LEN`] bytes of `bytes`.
pub(crate) fn emit(
    bytes: &mut [u8],
    source: u16,
    destination: u16,
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
) {
    bytes[..2].copy_from_slice(&source.to_be_bytes());
    bytes[2..4].copy_from_slice(&destination.to_be_bytes());
    bytes[4..8].copy_from_slice(&seq.to_be_bytes());
    bytes[8..12].copy_from_slice(&ack.to_be_bytes());
    bytes[12] = 5 << 4;
    bytes[FLAGS] = flags;
    bytes[14..16].copy_from_slice(&window.to_be_bytes());
    bytes[16..20].fill(0);
}
