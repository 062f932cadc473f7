//! Urgent data (RFC 9293 section 3.8.5, RFC 6093): both sides mark a byte of their stream, the last urgent one. The
//! header says where it ends; the bytes themselves travel among the others, and whoever reads takes the marked one out
//! or leaves it in.

use super::segment::{Segment, URG, after};

/// The byte that the peer marked last, until it is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    at: Option<u32>,
}

impl Mark {
    /// Takes the urgent pointer of an acceptable segment in; `next` is the number that is expected next (RCV.NXT).
    /// As Linux: what has arrived is not marked any more, and a mark moves forward only.
    pub(crate) fn heard(&mut self, seg: &Segment, next: u32) {
        if !seg.has(URG) {
            return;
        }
        // It points behind the last urgent byte; 0 makes no sense and counts as 1.
        let at = seg.seq.wrapping_add(u32::from(seg.urgent.saturating_sub(1)));
        if !after(next, at) && self.at.is_none_or(|before| after(at, before)) {
            self.at = Some(at);
        }
    }

    /// How many bytes there are in front of the marked one from `first` on.
    pub(crate) fn distance(&self, first: u32) -> Option<usize> {
        Some(self.at?.wrapping_sub(first) as usize)
    }

    /// Notes that everything in front of `first` was taken.
    pub(crate) fn taken(&mut self, first: u32) {
        self.at.take_if(|at| after(first, *at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(seq: u32, urgent: u16) -> Segment {
        let mut bytes = [0; 20];
        bytes[4..8].copy_from_slice(&seq.to_be_bytes());
        bytes[12] = 5 << 4;
        bytes[13] = URG;
        bytes[18..].copy_from_slice(&urgent.to_be_bytes());
        Segment::parse(&bytes).expect("a header")
    }

    #[test]
    fn the_pointer_points_behind_the_byte_rfc_9293_3_1() {
        for (pointer, distance) in [(0, 0), (1, 0), (2, 1), (u16::MAX, 65_534)] {
            let mut mark = Mark::default();
            mark.heard(&segment(u32::MAX, pointer), u32::MAX);
            assert_eq!(mark.distance(u32::MAX), Some(distance));
        }
    }

    #[test]
    fn a_mark_moves_forward_only_and_goes_with_its_byte() {
        let mut mark = Mark::default();
        mark.heard(&segment(100, 10), 100);
        mark.heard(&segment(100, 5), 100);
        assert_eq!(mark.distance(100), Some(9));
        mark.heard(&segment(105, 30), 105);
        assert_eq!(mark.distance(105), Some(29));
        mark.taken(134);
        assert_eq!(mark.distance(134), Some(0));
        mark.taken(135);
        assert_eq!(mark.distance(135), None);
        // What was received before it is marked is not marked.
        mark.heard(&segment(100, 20), 135);
        assert_eq!(mark.distance(135), None);
    }
}
