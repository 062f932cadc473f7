//! The Internet checksum (RFC 1071) of transport headers over IPv4 and IPv6.

use std::net::IpAddr;

use smoltcp::wire::checksum;

/// Protocol numbers (IANA).
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP6: u8 = 58;

/// Folded sum of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1), not complemented.
pub(crate) fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> u16 {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => checksum::pseudo_header_v4(&src, &dst, protocol.into(), len),
        (IpAddr::V6(src), IpAddr::V6(dst)) => checksum::pseudo_header_v6(&src, &dst, protocol.into(), len),
        _ => 0,
    }
}

/// Whether `segment`, checksum field included, sums up to all ones.
pub(crate) fn verify(src: IpAddr, dst: IpAddr, protocol: u8, segment: &[u8]) -> bool {
    let pseudo = pseudo_header(src, dst, protocol, segment.len());
    checksum::combine(&[pseudo, checksum::data(segment)]) == 0xffff
}

/// Writes the complete checksum of `segment` into its field.
pub(crate) fn fill(src: IpAddr, dst: IpAddr, protocol: u8, segment: &mut [u8]) {
    let at = match protocol {
        TCP => 16,
        UDP => 6,
        _ => 2,
    };
    segment[at..at + 2].fill(0);
    let sum = checksum::data(segment);
    let sum = match protocol {
        // RFC 792: ICMP for IPv4 has no pseudo-header.
        ICMP => !sum,
        _ => !checksum::combine(&[pseudo_header(src, dst, protocol, segment.len()), sum]),
    };
    // RFC 768: zero means "no checksum" for UDP, so a zero sum is sent as all ones.
    let sum = if sum == 0 && protocol == UDP { 0xffff } else { sum };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Writes the complete checksum of `segment`, with a pseudo-header, at a place that is not the protocol's own.
pub(crate) fn fill_at(src: IpAddr, dst: IpAddr, protocol: u8, segment: &mut [u8], at: usize) {
    let Some(field) = segment.get_mut(at..at + 2) else { return };
    field.fill(0);
    let sum =
        !checksum::combine(&[pseudo_header(src, dst, protocol, segment.len()), checksum::data(segment)]);
    let sum = if sum == 0 && protocol == UDP { 0xffff } else { sum };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Writes the folded pseudo-header sum only; the link or the receiver completes or skips the rest.
pub(crate) fn fill_partial(src: IpAddr, dst: IpAddr, protocol: u8, segment: &mut [u8], offset: usize) {
    let sum = pseudo_header(src, dst, protocol, segment.len());
    segment[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The checksum `check` after one word of what it covers has changed (RFC 1624 section 3, equation 3).
pub(crate) fn update(check: u16, before: u16, after: u16) -> u16 {
    !checksum::combine(&[!check, !before, after])
}

/// The checksum of `data` alone, complemented, as IPv4 headers and ICMPv4 carry it.
pub(crate) fn of(data: &[u8]) -> u16 {
    !checksum::data(data)
}
