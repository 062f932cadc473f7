//! Options about groups, of ip(7), ipv6(7) and RFC 3678: how datagrams go to them, and memberships. The structures are the
//! kernel's, as bytes.

use super::{IpNumber, Target, integer, show, sources};
use crate::errno::fail;
use crate::sockaddr;
use crate::sys::constants::{
    IP_ADD_MEMBERSHIP, IP_ADD_SOURCE_MEMBERSHIP, IP_BLOCK_SOURCE, IP_DROP_MEMBERSHIP,
    IP_DROP_SOURCE_MEMBERSHIP, IP_MULTICAST_ALL, IP_MULTICAST_IF, IP_MULTICAST_LOOP, IP_MULTICAST_TTL,
    IP_UNBLOCK_SOURCE, IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP, IPV6_MULTICAST_ALL, IPV6_MULTICAST_HOPS,
    IPV6_MULTICAST_IF, IPV6_MULTICAST_LOOP, MCAST_BLOCK_SOURCE, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP,
    MCAST_LEAVE_GROUP, MCAST_LEAVE_SOURCE_GROUP, MCAST_UNBLOCK_SOURCE,
};
use ioth_stack::net::InterfaceId;
use ioth_stack::{Context, EndpointId, Error, Kind, SourceChange, Via};
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an option of `IPPROTO_IP` shows; `None` for one that is not about groups.
pub(super) fn read_v4(target: &Target<'_>, name: i32) -> Option<i32> {
    let number = match name {
        IP_MULTICAST_TTL => IpNumber::GroupTtl,
        IP_MULTICAST_LOOP => IpNumber::GroupLoop,
        IP_MULTICAST_ALL => IpNumber::GroupAll,
        _ => return None,
    };
    Some(target.shared.settings.ip_number(number))
}

/// `IP_MULTICAST_IF`: the address.
pub(super) fn read_interface_v4(target: &Target<'_>, value: &mut [u8]) -> usize {
    show(value, &target.shared.settings.ip_number(IpNumber::GroupSource).to_ne_bytes())
}

/// What an option of `IPPROTO_IPV6` shows; `None` for one that is not about groups.
pub(super) fn read_v6(target: &Target<'_>, name: i32) -> Option<i32> {
    let number = match name {
        IPV6_MULTICAST_HOPS => IpNumber::GroupHops,
        IPV6_MULTICAST_LOOP => IpNumber::GroupLoopV6,
        IPV6_MULTICAST_ALL => IpNumber::GroupAllV6,
        IPV6_MULTICAST_IF => IpNumber::GroupInterfaceV6,
        _ => return None,
    };
    Some(target.shared.settings.ip_number(number))
}

/// Sets an option of `IPPROTO_IP`; `None` for one that is not about groups.
pub(super) fn write_v4(target: &Target<'_>, name: i32, value: &[u8]) -> Option<io::Result<()>> {
    Some(match name {
        IP_MULTICAST_TTL | IP_MULTICAST_LOOP | IP_MULTICAST_ALL => number_v4(target, name, value),
        IP_MULTICAST_IF => interface_v4(target, value),
        IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP => membership_v4(target, name, value),
        IP_ADD_SOURCE_MEMBERSHIP | IP_DROP_SOURCE_MEMBERSHIP | IP_BLOCK_SOURCE | IP_UNBLOCK_SOURCE => {
            source_v4(target, name, value)
        }
        _ => {
            return sources::write(target, name, value, false)
                .or_else(|| any_family(target, name, value, false));
        }
    })
}

/// Sets an option of `IPPROTO_IPV6`; `None` for one that is not about groups.
pub(super) fn write_v6(target: &Target<'_>, name: i32, value: &[u8]) -> Option<io::Result<()>> {
    Some(match name {
        IPV6_MULTICAST_HOPS | IPV6_MULTICAST_LOOP | IPV6_MULTICAST_ALL | IPV6_MULTICAST_IF => {
            number_v6(target, name, value)
        }
        IPV6_ADD_MEMBERSHIP | IPV6_DROP_MEMBERSHIP => membership_v6(target, name, value),
        _ => {
            return sources::write(target, name, value, true)
                .or_else(|| any_family(target, name, value, true));
        }
    })
}

fn number_v4(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    // As Linux: a byte does for an integer.
    let number = match (value.first_chunk(), value.first()) {
        (Some(bytes), _) => i32::from_ne_bytes(*bytes),
        (None, Some(byte)) => (*byte).into(),
        (None, None) => return fail(Errno::INVAL),
    };
    let settings = &target.shared.settings;
    match name {
        IP_MULTICAST_TTL => {
            let number = if number == -1 { 1 } else { number };
            let Ok(ttl) = u8::try_from(number) else { return fail(Errno::INVAL) };
            if target.shared.kind == Kind::Stream {
                return fail(Errno::INVAL);
            }
            target.tell(|options| options.multicast.ttl = ttl)?;
            settings.set_ip_number(IpNumber::GroupTtl, number);
        }
        IP_MULTICAST_LOOP => {
            target.tell(|options| options.multicast.loops = number != 0)?;
            settings.set_ip_number(IpNumber::GroupLoop, (number != 0).into());
        }
        _ => {
            if !(0..=1).contains(&number) {
                return fail(Errno::INVAL);
            }
            target.tell(|options| options.multicast.all = number == 1)?;
            settings.set_ip_number(IpNumber::GroupAll, number);
        }
    }
    Ok(())
}

fn number_v6(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    let (settings, of_stream) = (&target.shared.settings, target.shared.kind == Kind::Stream);
    if of_stream && matches!(name, IPV6_MULTICAST_HOPS | IPV6_MULTICAST_IF) {
        return fail(Errno::NOPROTOOPT);
    }
    let number = integer(value)?;
    match name {
        IPV6_MULTICAST_HOPS => {
            let number = if number == -1 { 1 } else { number };
            let Ok(hops) = u8::try_from(number) else { return fail(Errno::INVAL) };
            target.tell(|options| options.multicast.hop_limit = hops)?;
            settings.set_ip_number(IpNumber::GroupHops, number);
        }
        IPV6_MULTICAST_LOOP => {
            if !(0..=1).contains(&number) {
                return fail(Errno::INVAL);
            }
            target.tell(|options| options.multicast.loops_v6 = number == 1)?;
            settings.set_ip_number(IpNumber::GroupLoopV6, number);
        }
        IPV6_MULTICAST_ALL => {
            target.tell(|options| options.multicast.all_v6 = number != 0)?;
            settings.set_ip_number(IpNumber::GroupAllV6, (number != 0).into());
        }
        _ => {
            let interface = u32::try_from(number).ok().filter(|number| *number != 0).map(InterfaceId::new);
            if number != 0 && !interface.is_some_and(|interface| exists(target, interface)) {
                return fail(Errno::NODEV);
            }
            target.tell(|options| options.multicast.interface_v6 = interface)?;
            settings.set_ip_number(IpNumber::GroupInterfaceV6, number);
        }
    }
    Ok(())
}

/// `IP_MULTICAST_IF`: an address, `struct ip_mreq` or `struct ip_mreqn`.
fn interface_v4(target: &Target<'_>, value: &[u8]) -> io::Result<()> {
    if target.shared.kind == Kind::Stream {
        return fail(Errno::INVAL);
    }
    let (address, index) = match value.len() {
        0..4 => return fail(Errno::INVAL),
        4..8 => (v4(value, 0), 0),
        8..12 => (v4(value, 4), 0),
        _ => (v4(value, 4), word(value, 8)),
    };
    let interface = match (index, address) {
        (0, Ipv4Addr::UNSPECIFIED) => None,
        (0, address) => {
            let found = target.ask(|engine, _| engine.interface_of(address.into())).flatten();
            Some(found.map_or_else(|| fail(Errno::ADDRNOTAVAIL), Ok)?)
        }
        (index, _) if exists(target, InterfaceId::new(index)) => Some(InterfaceId::new(index)),
        _ => return fail(Errno::ADDRNOTAVAIL),
    };
    target.tell(|options| {
        options.multicast.interface = interface;
        options.multicast.source = (!address.is_unspecified()).then_some(address);
    })?;
    let shown = i32::from_ne_bytes(address.octets());
    target.shared.settings.set_ip_number(IpNumber::GroupSource, shown);
    Ok(())
}

/// `struct ip_mreq` or `struct ip_mreqn`.
fn membership_v4(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    if target.shared.kind == Kind::Stream {
        return fail(Errno::PROTO);
    }
    if value.len() < 8 {
        return fail(Errno::INVAL);
    }
    let index = if value.len() < 12 { 0 } else { word(value, 8) };
    let (group, via) = (v4(value, 0).into(), via_v4(v4(value, 4), index));
    member(target, name == IP_ADD_MEMBERSHIP, group, via)
}

/// `struct ip_mreq_source`.
fn source_v4(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    if value.len() != 12 {
        return fail(Errno::INVAL);
    }
    let change = match name {
        IP_ADD_SOURCE_MEMBERSHIP => SourceChange::Join,
        IP_DROP_SOURCE_MEMBERSHIP => SourceChange::Leave,
        IP_BLOCK_SOURCE => SourceChange::Block,
        _ => SourceChange::Unblock,
    };
    let (group, source) = (v4(value, 0).into(), v4(value, 8).into());
    source_of(target, group, via_v4(v4(value, 4), 0), source, change)
}

/// `struct ipv6_mreq`.
fn membership_v6(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    let Some(group) = value.first_chunk::<16>().filter(|_| value.len() >= 20) else {
        return fail(Errno::INVAL);
    };
    if target.shared.kind == Kind::Stream {
        return fail(Errno::PROTO);
    }
    let group = IpAddr::V6(Ipv6Addr::from(*group));
    member(target, name == IPV6_ADD_MEMBERSHIP, group, via(word(value, 16)))
}

/// `struct group_req` and `struct group_source_req`, which have addresses of either family.
fn any_family(target: &Target<'_>, name: i32, value: &[u8], v6: bool) -> Option<io::Result<()>> {
    let change = match name {
        MCAST_JOIN_GROUP | MCAST_LEAVE_GROUP => None,
        MCAST_JOIN_SOURCE_GROUP => Some(SourceChange::Join),
        MCAST_LEAVE_SOURCE_GROUP => Some(SourceChange::Leave),
        MCAST_BLOCK_SOURCE => Some(SourceChange::Block),
        MCAST_UNBLOCK_SOURCE => Some(SourceChange::Unblock),
        _ => return None,
    };
    let len = if change.is_some() { SOURCE + STORAGE_LEN } else { SOURCE };
    if value.len() < len {
        return Some(fail(Errno::INVAL));
    }
    let address = |at: usize| sockaddr::decode(&value[at..at + STORAGE_LEN]).map(|address| address.ip());
    let address = |at: usize| address(at).filter(|address| address.is_ipv6() == v6);
    let via = via(word(value, 0));
    Some(match change {
        None => match address(GROUP) {
            Some(group) => member(target, name == MCAST_JOIN_GROUP, group, via),
            None => fail(if v6 { Errno::ADDRNOTAVAIL } else { Errno::INVAL }),
        },
        Some(change) => match (address(GROUP), address(SOURCE)) {
            (Some(group), Some(source)) => source_of(target, group, via, source, change),
            _ => fail(Errno::ADDRNOTAVAIL),
        },
    })
}

fn member(target: &Target<'_>, joins: bool, group: IpAddr, via: Via) -> io::Result<()> {
    engine(target, |cx, id| {
        if joins {
            cx.engine.join_group(cx.now, id, group, via)
        } else {
            cx.engine.leave_group(cx.now, id, group, via)
        }
    })
}

fn source_of(
    target: &Target<'_>,
    group: IpAddr,
    via: Via,
    source: IpAddr,
    change: SourceChange,
) -> io::Result<()> {
    engine(target, |cx, id| cx.engine.change_source(cx.now, id, group, via, source, change))
}

/// Memberships are the engine's alone: where it is out of reach there are none.
pub(super) fn engine(
    target: &Target<'_>,
    call: impl FnOnce(&mut Context<'_>, EndpointId) -> Result<(), Error>,
) -> io::Result<()> {
    let Some(socket) = target.socket else { return fail(Errno::NETDOWN) };
    socket.home.reach()?.run(|cx| call(cx, socket.id))?;
    Ok(())
}

fn exists(target: &Target<'_>, interface: InterfaceId) -> bool {
    target.ask(|engine, _| engine.has_interface(interface)).unwrap_or(false)
}

/// The interface with that number, or what the routes say.
pub(super) const fn via(index: u32) -> Via {
    if index == 0 { Via::Routes } else { Via::Interface(InterfaceId::new(index)) }
}

/// The interface with that number; else the one with that address, or what the routes say.
pub(super) fn via_v4(address: Ipv4Addr, index: u32) -> Via {
    if index == 0 && !address.is_unspecified() { Via::Address(address) } else { via(index) }
}

pub(super) fn v4(value: &[u8], at: usize) -> Ipv4Addr {
    value[at..].first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |octets| Ipv4Addr::from(*octets))
}

pub(super) fn word(value: &[u8], at: usize) -> u32 {
    value[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// Length of a `sockaddr_storage`, and where they stand behind the number of the interface, which is padded.
pub(super) const STORAGE_LEN: usize = 128;
const GROUP: usize = 8;
const SOURCE: usize = GROUP + STORAGE_LEN;
