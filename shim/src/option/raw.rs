//! What raw sockets have: `SOL_RAW` and `IPPROTO_ICMPV6`, and at the levels of IP whose headers those are; raw(7), ipv6(7).

use super::{Target, integer, show, show_integer};
use crate::errno::fail;
use crate::sys::constants::{
    ICMP_FILTER, ICMP6_FILTER, IP_HDRINCL, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_IP, IPPROTO_IPV6,
    IPV6_CHECKSUM, IPV6_HDRINCL, SOL_RAW,
};
use ioth_stack::{Family, Kind, RawOptions};
use rustix::io::Errno;
use std::io;

/// getsockopt(2), if the option is one of these.
pub(super) fn read(
    target: &Target<'_>,
    level: i32,
    name: i32,
    value: &mut [u8],
) -> Option<io::Result<usize>> {
    let protocol = protocol(target)?;
    let v6 = target.shared.family == Family::V6;
    Some(match (level, name) {
        (SOL_RAW, ICMP_FILTER) if !v6 && protocol == IPPROTO_ICMP => {
            Ok(show(value, &options(target).icmp_filter.to_ne_bytes()))
        }
        (SOL_RAW, ICMP_FILTER) if !v6 => fail(Errno::OPNOTSUPP),
        (IPPROTO_ICMPV6, _) if v6 && protocol != IPPROTO_ICMPV6 => fail(Errno::OPNOTSUPP),
        (IPPROTO_ICMPV6, ICMP6_FILTER) if v6 => {
            let words = options(target).icmp6_filter.map(u32::to_ne_bytes);
            Ok(show(value, words.as_flattened()))
        }
        (SOL_RAW | IPPROTO_IPV6, IPV6_CHECKSUM) if v6 => {
            Ok(show_integer(value, options(target).checksum_at.map_or(-1, i32::from)))
        }
        (IPPROTO_IP, IP_HDRINCL) if !v6 => Ok(show_integer(value, options(target).header_included.into())),
        (SOL_RAW | IPPROTO_IPV6, IPV6_HDRINCL) if v6 => {
            Ok(show_integer(value, options(target).header_included.into()))
        }
        (SOL_RAW, _) => fail(Errno::NOPROTOOPT),
        // As Linux: nothing of IPv4 on those of IPv6.
        (IPPROTO_ICMPV6 | IPPROTO_IP, _) if v6 => fail(Errno::NOPROTOOPT),
        _ => return None,
    })
}

/// setsockopt(2), if the option is one of these.
pub(super) fn write(target: &Target<'_>, level: i32, name: i32, value: &[u8]) -> Option<io::Result<()>> {
    let protocol = protocol(target)?;
    let v6 = target.shared.family == Family::V6;
    Some(match (level, name) {
        (SOL_RAW, ICMP_FILTER) if !v6 && protocol == IPPROTO_ICMP => target.tell(|options| {
            let mut bytes = options.raw.icmp_filter.to_ne_bytes();
            overwrite(&mut bytes, value);
            options.raw.icmp_filter = u32::from_ne_bytes(bytes);
        }),
        (SOL_RAW, ICMP_FILTER) if !v6 => fail(Errno::OPNOTSUPP),
        (IPPROTO_ICMPV6, _) if v6 && protocol != IPPROTO_ICMPV6 => fail(Errno::OPNOTSUPP),
        (IPPROTO_ICMPV6, ICMP6_FILTER) if v6 => target.tell(|options| {
            let mut words = options.raw.icmp6_filter.map(u32::to_ne_bytes);
            overwrite(words.as_flattened_mut(), value);
            options.raw.icmp6_filter = words.map(u32::from_ne_bytes);
        }),
        (SOL_RAW | IPPROTO_IPV6, IPV6_CHECKSUM) if v6 => set_checksum(target, level, protocol, value),
        (IPPROTO_IP, IP_HDRINCL) if !v6 => {
            // As the other options of ip(7): a byte does for an integer.
            let on = value.first_chunk().map_or_else(
                || value.first().is_some_and(|byte| *byte != 0),
                |word| i32::from_ne_bytes(*word) != 0,
            );
            target.tell(|options| options.raw.header_included = on)
        }
        (SOL_RAW | IPPROTO_IPV6, IPV6_HDRINCL) if v6 => match integer(value) {
            Ok(number) => target.tell(|options| options.raw.header_included = number != 0),
            Err(error) => Err(error),
        },
        (SOL_RAW, _) => fail(Errno::NOPROTOOPT),
        // As Linux: nothing of IPv4 on those of IPv6.
        (IPPROTO_ICMPV6 | IPPROTO_IP, _) if v6 => fail(Errno::NOPROTOOPT),
        _ => return None,
    })
}

/// RFC 3542 section 3.1: at an even place, or -1 for nowhere; that of ICMPv6 cannot be chosen.
fn set_checksum(target: &Target<'_>, level: i32, protocol: i32, value: &[u8]) -> io::Result<()> {
    let number = integer(value)?;
    if (level == IPPROTO_IPV6 && protocol == IPPROTO_ICMPV6) || (number > 0 && number & 1 == 1) {
        return fail(Errno::INVAL);
    }
    // Beyond the longest packet is as good as its end: sending fails.
    let at = (number >= 0).then(|| u16::try_from(number).unwrap_or(u16::MAX - 1));
    target.tell(|options| options.raw.checksum_at = at)
}

/// The protocol, if it is a raw socket.
fn protocol(target: &Target<'_>) -> Option<i32> {
    match target.shared.kind {
        Kind::Raw(protocol) => Some(protocol.into()),
        _ => None,
    }
}

fn options(target: &Target<'_>) -> RawOptions {
    let known = target.ask(|engine, id| engine.options(id).ok());
    known.flatten().map_or_else(RawOptions::default, |options| options.raw)
}

/// As Linux: what is shorter than the filter leaves the rest of it as it is.
fn overwrite(kept: &mut [u8], value: &[u8]) {
    let len = kept.len().min(value.len());
    kept[..len].copy_from_slice(&value[..len]);
}
