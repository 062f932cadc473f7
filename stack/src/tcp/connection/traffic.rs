//! How many segments a connection has sent and received, as `TCP_INFO` of tcp(7) counts them: a super-frame counts as those
//! that it is cut into.

/// Segments of one direction, modulo 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// All of them.
    pub(crate) segments: u32,
    /// Those that have data.
    pub(crate) with_data: u32,
}

impl Count {
    /// Counts what has so many bytes of data, in segments of `mss`.
    pub(super) fn add(&mut self, data: usize, mss: usize) {
        let segments = u32::try_from(data.div_ceil(mss.max(1))).unwrap_or(u32::MAX);
        self.segments = self.segments.wrapping_add(segments.max(1));
        self.with_data = self.with_data.wrapping_add(segments);
    }
}

/// Segments of both directions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: Count,
    pub(super) sent: Count,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_super_frame_counts_as_its_segments() {
        let mut count = Count::default();
        count.add(0, 1460);
        assert_eq!(count, Count { segments: 1, with_data: 0 });
        count.add(1461, 1460);
        assert_eq!(count, Count { segments: 3, with_data: 2 });
    }
}
