//! What the bits of ECN of a datagram are that came in fragments (RFC 3168 section 5.3): a router that marked one of them
//! marked it all.

/// Codepoints (RFC 3168 section 5).
const NOT_ECT: u8 = 0b00;
const CE: u8 = 0b11;

/// The codepoints that the fragments of a datagram came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Codepoints(u8);

impl Codepoints {
    pub(super) const fn new() -> Self {
        Self(0)
    }

    /// Notes that of a fragment whose header has this type of service or traffic class.
    pub(super) const fn note(&mut self, tos: u8) {
        self.0 |= 1 << (tos & 0b11);
    }

    /// What the whole is to be marked with besides the codepoint of its first fragment. `None`: it is to be dropped, because
    /// some of its fragments can carry a mark and some cannot. The RFC asks for that if one is marked, Linux in any case.
    pub(super) const fn mark(self) -> Option<u8> {
        let (plain, marked) = (self.0 & 1 << NOT_ECT != 0, self.0 & 1 << CE != 0);
        match (plain, self.0 & !(1 << NOT_ECT) != 0) {
            (true, true) => None,
            _ if marked => Some(CE),
            _ => Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_marks_all_and_what_cannot_be_is_dropped_rfc_3168_5_3() {
        let of = |seen: &[u8]| {
            let mut codepoints = Codepoints::new();
            seen.iter().for_each(|tos| codepoints.note(*tos));
            codepoints.mark()
        };
        assert_eq!([of(&[0xb8]), of(&[0, 0]), of(&[1, 2, 1]), of(&[2, 2])], [Some(0); 4]);
        assert_eq!([of(&[3]), of(&[2, 3]), of(&[1, 3, 3]), of(&[1, 2, 3])], [Some(CE); 4]);
        assert_eq!([of(&[0, 3]), of(&[0, 2]), of(&[1, 0]), of(&[0, 1, 2, 3])], [None; 4]);
    }
}
