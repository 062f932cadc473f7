//! `IP_MSFILTER` and `MCAST_MSFILTER` (RFC 3678 sections 4.1.3 and 5.1.3): all sources of a group at once, to set and to
//! read. Values are `struct ip_msfilter` and `struct group_filter` of the kernel, as bytes.

use super::multicast::{STORAGE_LEN, engine, v4, via, via_v4, word};
use super::{Target, show};
use crate::errno::fail;
use crate::sockaddr;
use crate::sys::constants::{IP_MSFILTER, MCAST_MSFILTER};
use ioth_stack::Via;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// `MCAST_EXCLUDE` and `MCAST_INCLUDE`: the mode says whether the sources are those that are not heard.
const EXCLUDE: u32 = 0;
const INCLUDE: u32 = 1;

/// Bytes in front of the sources of a `struct ip_msfilter`: group, interface, mode, count.
const FRONT_V4: usize = 16;
/// Bytes in front of those of a `struct group_filter`: the number of the interface, padded, group, mode, count.
const FRONT: usize = GROUP + STORAGE_LEN + 8;
const GROUP: usize = 8;

/// `igmp_max_msf` and `mld_max_msf` of Linux.
const MOST_V4: u32 = 10;
const MOST_V6: u32 = 64;

/// Sets it; `None` for another option.
pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8], v6: bool) -> Option<io::Result<()>> {
    match name {
        IP_MSFILTER if !v6 => Some(write_v4(target, value)),
        MCAST_MSFILTER => Some(write_any(target, value, v6)),
        _ => None,
    }
}

/// Reads it, where `value` says of which group; `None` for another option.
pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8], v6: bool) -> Option<io::Result<usize>> {
    match name {
        IP_MSFILTER if !v6 => Some(read_v4(target, value)),
        MCAST_MSFILTER => Some(read_any(target, value, v6)),
        _ => None,
    }
}

fn write_v4(target: &Target<'_>, value: &[u8]) -> io::Result<()> {
    if value.len() < FRONT_V4 {
        return fail(Errno::INVAL);
    }
    let (mode, count) = (word(value, 8), word(value, 12));
    if count > MOST_V4 {
        return fail(Errno::NOBUFS);
    }
    let Some(sources) = value[FRONT_V4..].get(..count as usize * 4) else { return fail(Errno::INVAL) };
    let sources = (0..sources.len()).step_by(4).map(|at| v4(sources, at).into()).collect();
    set(target, v4(value, 0).into(), via_v4(v4(value, 4), 0), mode, sources)
}

fn write_any(target: &Target<'_>, value: &[u8], v6: bool) -> io::Result<()> {
    if value.len() < FRONT {
        return fail(Errno::INVAL);
    }
    let (mode, count) = (word(value, FRONT - 8), word(value, FRONT - 4));
    if count > if v6 { MOST_V6 } else { MOST_V4 } {
        return fail(Errno::NOBUFS);
    }
    let Some(sources) = value[FRONT..].get(..count as usize * STORAGE_LEN) else {
        return fail(Errno::INVAL);
    };
    let address = |value: &[u8], at: usize| if v6 { octets_v6(value, at) } else { address(value, at) };
    let fits = |address: &IpAddr| address.is_ipv6() == v6;
    let Some(group) = address(value, GROUP).filter(fits) else { return fail(Errno::ADDRNOTAVAIL) };
    let sources = (0..sources.len()).step_by(STORAGE_LEN).map(|at| address(sources, at).filter(fits));
    let Some(sources) = sources.collect::<Option<BTreeSet<_>>>() else { return fail(Errno::ADDRNOTAVAIL) };
    set(target, group, via(word(value, 0)), mode, sources)
}

fn set(target: &Target<'_>, group: IpAddr, via: Via, mode: u32, sources: BTreeSet<IpAddr>) -> io::Result<()> {
    if !group.is_multicast() || !matches!(mode, EXCLUDE | INCLUDE) {
        return fail(Errno::INVAL);
    }
    engine(target, |cx, id| cx.engine.set_sources(cx.now, id, group, via, sources, mode == EXCLUDE))
}

fn read_v4(target: &Target<'_>, value: &mut [u8]) -> io::Result<usize> {
    if value.len() < FRONT_V4 {
        return fail(Errno::INVAL);
    }
    let (sources, mode) = known(target, v4(value, 0).into(), via_v4(v4(value, 4), 0))?;
    let room = (word(value, 12) as usize).min((value.len() - FRONT_V4) / 4);
    let bytes: Vec<u8> = sources.iter().take(room).flat_map(octets).collect();
    fill(value, 8, mode, sources.len());
    Ok(FRONT_V4 + show(&mut value[FRONT_V4..], &bytes))
}

fn read_any(target: &Target<'_>, value: &mut [u8], v6: bool) -> io::Result<usize> {
    if value.len() < FRONT {
        return fail(Errno::INVAL);
    }
    let Some(group) = address(value, GROUP).filter(|group| group.is_ipv6() == v6) else {
        return fail(if v6 { Errno::ADDRNOTAVAIL } else { Errno::INVAL });
    };
    let (sources, mode) = known(target, group, via(word(value, 0)))?;
    let room = (word(value, FRONT - 4) as usize).min((value.len() - FRONT) / STORAGE_LEN);
    fill(value, FRONT - 8, mode, sources.len());
    for (source, place) in sources.iter().take(room).zip(value[FRONT..].chunks_exact_mut(STORAGE_LEN)) {
        place.fill(0);
        show(place, &sockaddr::encode(&SocketAddr::new(*source, 0)));
    }
    Ok(FRONT + room.min(sources.len()) * STORAGE_LEN)
}

/// The sources of a group that the socket has said something of, and the mode.
fn known(target: &Target<'_>, group: IpAddr, via: Via) -> io::Result<(Vec<IpAddr>, u32)> {
    let Some(found) = target.ask(|engine, id| engine.sources(id, group, via)) else {
        return fail(Errno::NETDOWN);
    };
    let (sources, exclude) = found?;
    Ok((sources, if exclude { EXCLUDE } else { INCLUDE }))
}

/// Writes the mode and the count.
fn fill(value: &mut [u8], at: usize, mode: u32, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    show(&mut value[at..], &[mode.to_ne_bytes(), count.to_ne_bytes()].concat());
}

fn address(value: &[u8], at: usize) -> Option<IpAddr> {
    sockaddr::decode(value.get(at..at + STORAGE_LEN)?).map(|address| address.ip())
}

/// As Linux: at the level of IPv6 nobody looks at the family of what is to be set.
fn octets_v6(value: &[u8], at: usize) -> Option<IpAddr> {
    const OCTETS: usize = 8;
    Some(IpAddr::from(*value.get(at + OCTETS..)?.first_chunk::<16>()?))
}

fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
