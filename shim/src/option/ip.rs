//! `IPPROTO_IP`, ip(7). An IPv6 socket has these, too: for IPv4 through mapped addresses.

use super::{Flag, IpNumber, Target, multicast, show, sources, stored};
use crate::errno::fail;
use crate::sys::constants::{
    IP_MTU, IP_MTU_DISCOVER, IP_MULTICAST_IF, IP_OPTIONS, IP_PKTINFO, IP_PROTOCOL, IP_RECVERR, IP_RECVTOS,
    IP_RECVTTL, IP_TOS, IP_TTL, IPPROTO_IP,
};
use ioth_stack::{Kind, MtuDiscovery};
use rustix::io::Errno;
use std::io;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    if let Some(done) = sources::read(target, name, value, false) {
        return done;
    }
    let settings = &target.shared.settings;
    let integer = match name {
        IP_TTL => match settings.ip_number(IpNumber::Ttl) {
            -1 => USUAL_TTL,
            set => set,
        },
        IP_TOS => settings.ip_number(IpNumber::Tos),
        IP_MTU_DISCOVER => settings.ip_number(IpNumber::Discovery),
        IP_MTU => target.path_mtu()?,
        // As Linux: of an endpoint with ports the local one, of a raw one the protocol.
        IP_PROTOCOL => number(target),
        // None are sent, and none are kept.
        IP_OPTIONS => return Ok(0),
        IP_MULTICAST_IF => return Ok(multicast::read_interface_v4(target, value)),
        _ => match multicast::read_v4(target, name) {
            Some(number) => number,
            None => match stored::read(target, IPPROTO_IP, name) {
                Some(number) => number,
                None => i32::from(settings.has(flag(name)?)),
            },
        },
    };
    // As Linux: who has no room for an integer gets a byte.
    if (1..4).contains(&value.len())
        && let Ok(byte) = u8::try_from(integer)
    {
        return Ok(show(value, &[byte]));
    }
    Ok(show(value, &integer.to_ne_bytes()))
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    if let Some(done) = multicast::write_v4(target, name, value) {
        return done;
    }
    if let Some(done) = stored::write(target, IPPROTO_IP, name, value) {
        return done;
    }
    // As Linux: a byte does for an integer, and nothing for 0.
    let number = match (value.first_chunk(), value.first()) {
        (Some(bytes), _) => i32::from_ne_bytes(*bytes),
        (None, first) => first.copied().unwrap_or(0).into(),
    };
    let settings = &target.shared.settings;
    match name {
        IP_OPTIONS => return if value.is_empty() { Ok(()) } else { fail(Errno::INVAL) },
        IP_TTL => {
            if value.is_empty() || !(number == -1 || (1..=255).contains(&number)) {
                return fail(Errno::INVAL);
            }
            target.tell(|options| options.ip.ttl = u8::try_from(number).ok())?;
            settings.set_ip_number(IpNumber::Ttl, number);
        }
        IP_TOS => {
            let tos = tos_of(target, number, settings.ip_number(IpNumber::Tos));
            target.tell(|options| options.ip.tos = tos)?;
            settings.set_ip_number(IpNumber::Tos, tos.into());
        }
        IP_MTU_DISCOVER => {
            let Some(discovery) = discovery(number) else { return fail(Errno::INVAL) };
            target.tell(|options| options.ip.discovery = discovery)?;
            settings.set_ip_number(IpNumber::Discovery, number);
        }
        _ => {
            let (flag, on) = (flag(name)?, number != 0);
            target.set(flag, on, |options| {
                if name == IP_RECVERR {
                    options.ip.queue_errors = on;
                }
            })?;
        }
    }
    Ok(())
}

/// What Linux keeps where an endpoint has its port.
fn number(target: &Target<'_>) -> i32 {
    match target.shared.kind {
        Kind::Raw(protocol) => protocol.into(),
        _ => target.shared.names().local.map_or(0, |local| local.port().into()),
    }
}

/// The option that is on or off.
fn flag(name: i32) -> io::Result<Flag> {
    match name {
        IP_RECVTTL => Ok(Flag::RecvTtl),
        IP_RECVTOS => Ok(Flag::RecvTos),
        IP_PKTINFO => Ok(Flag::PacketInfo),
        IP_RECVERR => Ok(Flag::RecvErrors),
        _ => fail(Errno::NOPROTOOPT),
    }
}

/// The field as it is set: its low byte, of which TCP keeps the bits of ECN to itself (RFC 3168 section 6.1).
pub(super) fn tos_of(target: &Target<'_>, asked: i32, before: i32) -> u8 {
    const ECN: i32 = 0b11;
    let kept = if target.shared.kind == Kind::Stream { ECN } else { 0 };
    ((asked & !kept | before & kept) & 0xff) as u8
}

/// `IP_PMTUDISC_DONT` to `IP_PMTUDISC_OMIT`, which are those of IPv6, too.
pub(super) const fn discovery(number: i32) -> Option<MtuDiscovery> {
    Some(match number {
        0 => MtuDiscovery::Never,
        1 => MtuDiscovery::Wanted,
        2 => MtuDiscovery::Always,
        3 => MtuDiscovery::Probe,
        4 => MtuDiscovery::Interface,
        5 => MtuDiscovery::Omit,
        _ => return None,
    })
}

/// What `IP_TTL` and `IPV6_UNICAST_HOPS` show where nothing was set: net.ipv4.ip_default_ttl.
pub(super) const USUAL_TTL: i32 = 64;
