//! What arrived ahead of what is missing, and what arrived twice: the receiver's side of selective acknowledgements (RFC
//! 2018 section 4, RFC 2883).
//!
//! One overflow of a queue makes hundreds of gaps: what comes ahead of them waits here, in pieces.

use std::collections::VecDeque;

use super::segment::{Segment, after};

/// Bytes of data in a piece, so that moving them about costs little.
const MOST_IN_PIECE: usize = 32 * 1024;
/// Pieces that wait at most: the window bounds their bytes, this what holds them.
const MOST_PIECES: usize = 4096;
/// Blocks that fit a header without other options.
const MOST_BLOCKS: usize = 4;

/// Data without a gap.
#[derive(Debug)]
struct Piece {
    start: u32,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> u32 {
        self.start.wrapping_add(self.bytes.len() as u32)
    }
}

/// The data that waits for what is missing in front of it.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// In order, apart from each other or one behind the other.
    pieces: VecDeque<Piece>,
    /// Where the segments began that arrived last, the latest first.
    recent: [Option<u32>; MOST_BLOCKS],
    /// What arrived again, until it is reported.
    twice: Option<(u32, u32)>,
}

impl Received {
    /// Notes what of a segment has arrived before, where `next` is expected.
    pub(crate) fn compare(&mut self, seg: &Segment, next: u32) {
        let (start, end) = (seg.seq, seg.seq.wrapping_add(seg.payload_len as u32));
        if after(next, start) && after(end, start) {
            self.twice = Some((start, earliest(end, next)));
        }
    }

    /// Keeps the data of a segment that lies behind `next`, as far as it lies in front of `edge`.
    pub(crate) fn keep(&mut self, seg: &Segment, data: &[u8], edge: u32) {
        let end = earliest(seg.seq.wrapping_add(data.len() as u32), edge);
        let mut at = seg.seq;
        if !after(end, at) {
            return;
        }
        let mut index = self.index_of(at);
        let mut known = None;
        while after(end, at) {
            let next = self.pieces.get(index);
            // What is there already, and where the gap in front of it ends.
            if let Some(piece) = next
                && !after(piece.start, at)
            {
                let both = earliest(piece.end(), end);
                known = Some(known.map_or((at, both), |(from, _)| (from, both)));
                at = both;
                index += 1;
                continue;
            }
            let stop = next.map_or(end, |piece| earliest(piece.start, end));
            let from = at.wrapping_sub(seg.seq) as usize;
            let to = stop.wrapping_sub(seg.seq) as usize;
            if !self.insert(index, at, &data[from..to]) {
                return;
            }
            index = self.index_of(stop);
            at = stop;
        }
        // RFC 2883 section 4: what waits already is reported too.
        self.twice = known.or(self.twice);
        self.recent.rotate_right(1);
        self.recent[0] = Some(seg.seq);
    }

    /// Puts data into the gap in front of the piece with that number.
    fn insert(&mut self, index: usize, at: u32, data: &[u8]) -> bool {
        if let Some(before) = index.checked_sub(1).and_then(|index| self.pieces.get_mut(index))
            && before.end() == at
            && before.bytes.len() + data.len() <= MOST_IN_PIECE
        {
            before.bytes.extend_from_slice(data);
            return true;
        }
        if self.pieces.len() >= MOST_PIECES {
            return false;
        }
        self.pieces.insert(index, Piece { start: at, bytes: data.to_vec() });
        true
    }

    /// The first piece that ends behind `position`.
    fn index_of(&self, position: u32) -> usize {
        self.pieces.partition_point(|piece| !after(piece.end(), position))
    }

    /// Takes out what goes on at `next`.
    pub(crate) fn take(&mut self, next: u32) -> Option<Vec<u8>> {
        while let Some(first) = self.pieces.front()
            && !after(first.start, next)
        {
            let mut piece = self.pieces.pop_front()?;
            if after(piece.end(), next) {
                piece.bytes.drain(..next.wrapping_sub(piece.start) as usize);
                return Some(piece.bytes);
            }
        }
        None
    }

    /// Whether something waits.
    pub(crate) fn has_gaps(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// What an acknowledgement says besides: what arrived twice, once, then what waits, the latest first.
    pub(crate) fn blocks(&mut self) -> ([(u32, u32); MOST_BLOCKS], usize) {
        let mut blocks = [(0, 0); MOST_BLOCKS];
        let mut count = 0;
        let twice = self.twice.take();
        if self.pieces.is_empty() {
            self.recent = [None; MOST_BLOCKS];
        }
        // RFC 2883 section 4: behind it comes the block around it.
        let around = twice.and_then(|(start, _)| self.range_at(start));
        let recent = self.recent.iter().flatten().filter_map(|start| self.range_at(*start));
        for block in twice.into_iter().chain(around).chain(recent) {
            if count < MOST_BLOCKS && (count == 0 || !blocks[..count].contains(&block)) {
                blocks[count] = block;
                count += 1;
            }
        }
        (blocks, count)
    }

    /// What waits around a position, without a gap.
    fn range_at(&self, position: u32) -> Option<(u32, u32)> {
        let index = self.index_of(position);
        let piece = self.pieces.get(index).filter(|piece| !after(piece.start, position))?;
        let (mut start, mut end) = (piece.start, piece.end());
        for before in self.pieces.range(..index).rev() {
            if before.end() != start {
                break;
            }
            start = before.start;
        }
        for next in self.pieces.range(index + 1..) {
            if next.start != end {
                break;
            }
            end = next.end();
        }
        Some((start, end))
    }
}

const fn earliest(one: u32, other: u32) -> u32 {
    if after(one, other) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: u32 = u32::MAX - 500;

    fn at(offset: u32) -> u32 {
        NEXT.wrapping_add(offset)
    }

    /// The byte at an offset from what is expected.
    const fn byte(offset: u32) -> u8 {
        (offset % 251) as u8
    }

    /// Takes in what stands that far behind what is expected.
    fn arrives(received: &mut Received, from: u32, to: u32) {
        let seg = Segment {
            source_port: 1,
            destination_port: 2,
            seq: at(from),
            ack: 0,
            flags: 16,
            window: 0,
            urgent: 0,
            header_len: 20,
            payload_len: to.wrapping_sub(from) as usize,
        };
        received.compare(&seg, NEXT);
        if after(seg.seq, NEXT) {
            let data: Vec<u8> = (from..to).map(byte).collect();
            received.keep(&seg, &data, at(60_000));
        }
    }

    fn says(received: &mut Received) -> Vec<(i32, i32)> {
        let (blocks, count) = received.blocks();
        let offset = |seq: u32| seq.wrapping_sub(NEXT) as i32;
        blocks[..count].iter().map(|&(left, right)| (offset(left), offset(right))).collect()
    }

    /// Takes everything out from an offset on, checks every byte, and says how far it went.
    fn drain(received: &mut Received, from: u32) -> u32 {
        let mut next = from;
        while let Some(bytes) = received.take(at(next)) {
            for (offset, found) in (next..).zip(&bytes) {
                assert_eq!(*found, byte(offset), "at {offset}");
            }
            next += bytes.len() as u32;
        }
        next
    }

    #[test]
    fn the_latest_block_comes_first_rfc_2018_4() {
        let mut received = Received::default();
        for (from, to) in [(1000, 2000), (3000, 4000), (5000, 6000), (2000, 2500), (7000, 8000), (9000, 9500)]
        {
            arrives(&mut received, from, to);
        }
        assert_eq!(says(&mut received), [(9000, 9500), (7000, 8000), (1000, 2500), (5000, 6000)]);
        assert_eq!(drain(&mut received, 1000), 2500);
        assert_eq!(says(&mut received), [(9000, 9500), (7000, 8000), (5000, 6000)]);
        assert_eq!(drain(&mut received, 9200), 9500);
        assert!(!received.has_gaps() && says(&mut received).is_empty());
    }

    #[test]
    fn what_arrives_twice_is_reported_once_rfc_2883_4() {
        let mut received = Received::default();
        // Below what is expected, and in part.
        for (to, reported) in [(0u32, 0), (100, 0)] {
            arrives(&mut received, 0u32.wrapping_sub(100), to);
            assert_eq!(says(&mut received), [(-100, reported)]);
            assert_eq!(says(&mut received), []);
        }
        // Among what waits: the block around it follows.
        arrives(&mut received, 1000, 3000);
        arrives(&mut received, 5000, 6000);
        arrives(&mut received, 2000, 2500);
        assert_eq!(says(&mut received), [(2000, 2500), (1000, 3000), (5000, 6000)]);
    }

    #[test]
    fn pieces_overlap_in_any_way_and_every_byte_is_kept_once() {
        let mut received = Received::default();
        for (from, to) in [(1000, 2000), (3000, 4000), (1500, 3500), (500, 4500), (100, 600), (1, 200)] {
            arrives(&mut received, from, to);
        }
        assert_eq!(says(&mut received)[1..], [(1, 4500)]);
        let held: usize = received.pieces.iter().map(|piece| piece.bytes.len()).sum();
        assert_eq!(held, 4499);
        assert_eq!(drain(&mut received, 1), 4500);
    }

    #[test]
    fn what_lies_behind_the_window_is_not_kept() {
        let mut received = Received::default();
        arrives(&mut received, 59_000, 61_000);
        arrives(&mut received, 70_000, 71_000);
        assert_eq!(says(&mut received), [(59_000, 60_000)]);
    }

    #[test]
    fn crumbs_do_not_take_more_memory_than_so_much() {
        let mut received = Received::default();
        for number in 1..30_000 {
            arrives(&mut received, number * 2, number * 2 + 1);
        }
        assert_eq!(received.pieces.len(), MOST_PIECES);
        // What goes on where a piece ends needs no other.
        arrives(&mut received, 3, 4);
        assert_eq!(drain(&mut received, 2), 5);
    }
}
