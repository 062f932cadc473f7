//! The extension headers of IPv6 (RFC 8200 section 4): walked over, one after the other, up to the upper layer or a
//! fragment.

use super::ip::{Part, V6_HEADER_LEN, V6_NEXT_HEADER};
use super::{checksum, ip};

/// Header numbers (IANA).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
pub(super) const FRAGMENT: u8 = 44;
/// Nothing follows (RFC 8200 section 4.7).
pub(crate) const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;

/// Length of the fragment header.
pub(crate) const FRAGMENT_LEN: usize = 8;
/// More headers than this in one packet are not honest traffic.
const MOST: usize = 8;

/// Codes of a parameter problem (RFC 4443 section 3.4, RFC 7112 section 6).
const ERRONEOUS_FIELD: u8 = 0;
const UNKNOWN_OPTION: u8 = 2;
const INCOMPLETE_CHAIN: u8 = 3;

/// What the sender is told by an ICMPv6 parameter problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: u8,
    /// Where the problem is, in bytes from the start of the packet.
    pub(crate) pointer: u32,
    /// Whether the sender is told of a packet to a group, too.
    pub(crate) of_groups: bool,
}

/// Why the headers were not walked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They contradict the packet, or there are too many.
    Header,
    /// An unknown option wants the packet to be discarded without a word.
    Option,
    Problem(Problem),
}

/// What stands behind the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) protocol: u8,
    /// Where `protocol` is named, in bytes from the start of the packet.
    pub(crate) named_at: usize,
    /// Where it starts, in bytes from the start of the packet.
    pub(crate) offset: usize,
    /// `Some` if it is a fragment of a datagram.
    pub(crate) part: Option<Part>,
    /// Whether there is the header of a fragment that is the whole (RFC 6946).
    pub(crate) atomic: bool,
}

/// Walks over the headers of `packet`, which starts at its IPv6 header and has all of it.
pub(crate) fn walk(packet: &[u8]) -> Result<Chain, Fault> {
    let mut chain = Chain {
        protocol: packet[V6_NEXT_HEADER],
        named_at: V6_NEXT_HEADER,
        offset: V6_HEADER_LEN,
        part: None,
        atomic: false,
    };
    for _ in 0..=MOST {
        let at = chain.offset;
        let len = match chain.protocol {
            // RFC 8200 section 4.1: behind the IPv6 header only. Elsewhere it is no known header.
            HOP_BY_HOP if at == V6_HEADER_LEN => options(packet, at)?,
            DESTINATION_OPTIONS => options(packet, at)?,
            ROUTING => routing(packet, at)?,
            FRAGMENT => {
                chain.part = fragment(packet, at, chain.named_at)?;
                chain.atomic |= chain.part.is_none();
                FRAGMENT_LEN
            }
            _ => return Ok(chain),
        };
        chain = Chain { protocol: packet[at], named_at: at, offset: at + len, ..chain };
        // What follows in a fragment is not its own: it may be the middle of anything.
        if chain.part.is_some() {
            return Ok(chain);
        }
    }
    Err(Fault::Header)
}

/// The header at `at`, whose second byte counts its words of eight bytes but for the first.
fn header(packet: &[u8], at: usize) -> Result<&[u8], Fault> {
    let len = packet.get(at + 1).ok_or(Fault::Header)?;
    packet.get(at..at + (usize::from(*len) + 1) * 8).ok_or(Fault::Header)
}

/// Hop-by-hop or destination options (RFC 8200 section 4.2): none is known but padding, and what becomes of the packet
/// the two high bits of an option say. Gives the length of the header.
fn options(packet: &[u8], at: usize) -> Result<usize, Fault> {
    let header = header(packet, at)?;
    let mut offset = 2;
    while let Some(&kind) = header.get(offset) {
        // Pad1 has no length.
        if kind == 0 {
            offset += 1;
            continue;
        }
        let len = header.get(offset + 1).ok_or(Fault::Header)?;
        let next = offset + 2 + usize::from(*len);
        if next > header.len() {
            return Err(Fault::Header);
        }
        match kind >> 6 {
            0 => {}
            1 => return Err(Fault::Option),
            bits => {
                let problem = problem(UNKNOWN_OPTION, at + offset);
                return Err(Fault::Problem(Problem { of_groups: bits == 2, ..problem }));
            }
        }
        offset = next;
    }
    Ok(header.len())
}

/// A routing header (RFC 8200 section 4.4): of no known type, so that it is passed over at the end of its route only.
/// That holds for type 0, too (RFC 5095).
fn routing(packet: &[u8], at: usize) -> Result<usize, Fault> {
    const TYPE: usize = 2;
    const SEGMENTS_LEFT: usize = 3;
    let header = header(packet, at)?;
    if header[SEGMENTS_LEFT] > 0 {
        return Err(Fault::Problem(problem(ERRONEOUS_FIELD, at + TYPE)));
    }
    Ok(header.len())
}

/// A fragment header (RFC 8200 section 4.5). `None` for a datagram in one fragment, which stands for itself and has
/// nothing to do with others of that identification (RFC 6946).
fn fragment(packet: &[u8], at: usize, named_at: usize) -> Result<Option<Part>, Fault> {
    let Some(&[_, _, o0, o1, i0, i1, i2, i3]) = packet.get(at..).and_then(<[u8]>::first_chunk) else {
        return Err(Fault::Header);
    };
    let word = u16::from_be_bytes([o0, o1]);
    let part = Part {
        offset: word & !7,
        more: word & 1 != 0,
        identification: u32::from_be_bytes([i0, i1, i2, i3]),
        named_at: u16::try_from(named_at).map_err(|_| Fault::Header)?,
    };
    Ok((part.more || part.offset != 0).then_some(part))
}

/// What is wrong with a fragment for its own part (RFC 8200 section 4.5): `packet` starts at its IPv6 header, and its
/// payload at `payload`, behind the fragment header.
pub(crate) fn check_fragment(packet: &[u8], payload: usize, next: u8, part: Part) -> Result<(), Problem> {
    const PAYLOAD_LENGTH: usize = 4;
    const OFFSET: usize = 2;
    let len = packet.len() - payload;
    if part.more && !len.is_multiple_of(8) {
        return Err(problem(ERRONEOUS_FIELD, PAYLOAD_LENGTH));
    }
    let header = payload - FRAGMENT_LEN;
    if header - V6_HEADER_LEN + usize::from(part.offset) + len > ip::MAX_LEN {
        return Err(problem(ERRONEOUS_FIELD, header + OFFSET));
    }
    // Also RFC 7112 section 5: whoever filters packets must see the ports in the first fragment.
    if part.offset == 0 && !is_complete(&packet[payload..], next) {
        return Err(problem(INCOMPLETE_CHAIN, 0));
    }
    Ok(())
}

/// Whether all headers are there, up to that of the upper layer.
fn is_complete(payload: &[u8], next: u8) -> bool {
    let Some((protocol, offset)) = upper_layer(payload, next, 0) else { return false };
    let least = match protocol {
        checksum::TCP => 20,
        checksum::UDP | checksum::ICMP6 => 8,
        NO_NEXT_HEADER => 0,
        _ => 1,
    };
    offset + least <= payload.len()
}

/// The upper layer's number and where its header starts, passing over extension headers from `offset` on without
/// judging them. `None` if it is not there: cut off, or in another fragment.
pub(crate) fn upper_layer(packet: &[u8], mut protocol: u8, mut offset: usize) -> Option<(u8, usize)> {
    for _ in 0..=MOST {
        let len = match protocol {
            HOP_BY_HOP | DESTINATION_OPTIONS | ROUTING => header(packet, offset).ok()?.len(),
            FRAGMENT if fragment(packet, offset, 0).ok()?.is_some_and(|part| part.offset != 0) => {
                return None;
            }
            FRAGMENT => FRAGMENT_LEN,
            _ => return Some((protocol, offset)),
        };
        protocol = packet[offset];
        offset += len;
    }
    None
}

fn problem(code: u8, pointer: usize) -> Problem {
    Problem { code, pointer: u32::try_from(pointer).unwrap_or(0), of_groups: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with these bytes behind the IPv6 header, whose first is named `first`.
    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; V6_HEADER_LEN];
        packet[V6_NEXT_HEADER] = first;
        packet.extend(rest);
        packet
    }

    fn walked(first: u8, rest: &[u8]) -> Result<(u8, usize, usize), Fault> {
        walk(&packet(first, rest)).map(|chain| (chain.protocol, chain.named_at, chain.offset))
    }

    #[test]
    fn headers_in_any_order_are_walked_over_rfc_8200_4_1() {
        let options = [17, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(walked(17, &[]), Ok((17, 6, 40)));
        assert_eq!(walked(HOP_BY_HOP, &options), Ok((17, 40, 48)));
        assert_eq!(walked(DESTINATION_OPTIONS, &options), Ok((17, 40, 48)));
        assert_eq!(walked(ROUTING, &[17, 0, 0, 0, 0, 0, 0, 0]), Ok((17, 40, 48)));
        let chain = [
            60, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 43, 0, 0, 0, 1, 2, 3, 4, 6, 0, 9, 0, 0, 0, 0, 0,
        ];
        assert_eq!(walked(HOP_BY_HOP, &chain), Ok((6, 64, 72)));
        // Behind another header it is unknown.
        assert_eq!(walked(DESTINATION_OPTIONS, &[0, 0, 1, 4, 0, 0, 0, 0]), Ok((HOP_BY_HOP, 40, 48)));
    }

    #[test]
    fn a_chain_has_an_end() {
        let link = [60, 0, 0, 0, 0, 0, 0, 0];
        let ends = |count: usize| {
            let mut chain = link.repeat(count);
            chain[(count - 1) * 8] = 17;
            walked(DESTINATION_OPTIONS, &chain).is_ok()
        };
        assert!(ends(MOST));
        assert!(!ends(MOST + 1));
    }

    #[test]
    fn lengths_that_lie() {
        for rest in [&[][..], &[17], &[17, 0, 0, 0], &[17, 1, 0, 0, 0, 0, 0, 0], &[17, 0, 1, 5, 0, 0, 0, 0]] {
            assert_eq!(walked(DESTINATION_OPTIONS, rest), Err(Fault::Header), "{rest:?}");
        }
        assert_eq!(walked(DESTINATION_OPTIONS, &[17, 0, 0, 0, 0, 0, 0, 1]), Err(Fault::Header));
        assert_eq!(walked(FRAGMENT, &[17, 0, 0, 1, 0, 0, 0]), Err(Fault::Header));
    }

    #[test]
    fn the_high_bits_of_an_option_decide_rfc_8200_4_2() {
        let of = |kind: u8| walked(HOP_BY_HOP, &[17, 0, 1, 0, kind, 2, 0, 0]);
        assert_eq!(of(0x3e), Ok((17, 40, 48)));
        assert_eq!(of(0x7e), Err(Fault::Option));
        let problem = Problem { code: 2, pointer: 44, of_groups: true };
        assert_eq!(of(0xbe), Err(Fault::Problem(problem)));
        assert_eq!(of(0xfe), Err(Fault::Problem(Problem { of_groups: false, ..problem })));
    }

    #[test]
    fn a_route_that_goes_on_is_refused_rfc_8200_4_4_rfc_5095() {
        for kind in [0, 2, 99] {
            let problem = Problem { code: 0, pointer: 42, of_groups: false };
            assert_eq!(walked(ROUTING, &[17, 0, kind, 1, 0, 0, 0, 0]), Err(Fault::Problem(problem)));
        }
    }
}
