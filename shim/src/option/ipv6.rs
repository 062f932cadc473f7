//! `IPPROTO_IPV6`, ipv6(7).

use super::ip::{USUAL_TTL, discovery, tos_of};
use super::{Flag, IpNumber, Target, integer, multicast, show, show_integer, sources, stored};
use crate::errno::fail;
use crate::state::Phase;
use crate::sys::constants::{
    AF_INET, AF_INET6, IPPROTO_IPV6, IPV6_ADDRFORM, IPV6_CHECKSUM, IPV6_DONTFRAG, IPV6_MTU,
    IPV6_MTU_DISCOVER, IPV6_PATHMTU, IPV6_RECVERR, IPV6_RECVHOPLIMIT, IPV6_RECVPKTINFO, IPV6_RECVTCLASS,
    IPV6_TCLASS, IPV6_UNICAST_HOPS, IPV6_V6ONLY,
};
use rustix::io::Errno;
use std::io;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    if let Some(done) = sources::read(target, name, value, true) {
        return done;
    }
    let settings = &target.shared.settings;
    let integer = match name {
        IPV6_PATHMTU => return path_mtu(target, value),
        IPV6_UNICAST_HOPS => match settings.ip_number(IpNumber::HopLimit) {
            -1 => USUAL_TTL,
            set => set,
        },
        IPV6_TCLASS => settings.ip_number(IpNumber::TrafficClass),
        IPV6_MTU_DISCOVER => settings.ip_number(IpNumber::DiscoveryV6),
        IPV6_MTU => target.path_mtu()?,
        IPV6_ADDRFORM if target.shared.phase() == Phase::Connected => AF_INET6,
        IPV6_ADDRFORM => return fail(Errno::NOTCONN),
        _ => match multicast::read_v6(target, name) {
            Some(number) => number,
            None => match stored::read(target, IPPROTO_IPV6, name) {
                Some(number) => number,
                None => i32::from(settings.has(flag(name)?)),
            },
        },
    };
    Ok(show_integer(value, integer))
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    if let Some(done) = multicast::write_v6(target, name, value) {
        return done;
    }
    if let Some(done) = stored::write(target, IPPROTO_IPV6, name, value) {
        return done;
    }
    // As Linux: what raw sockets alone have is refused before its length is looked at.
    if name == IPV6_CHECKSUM {
        return fail(Errno::NOPROTOOPT);
    }
    let settings = &target.shared.settings;
    let number = integer(value)?;
    match name {
        IPV6_UNICAST_HOPS => {
            if !(-1..=255).contains(&number) {
                return fail(Errno::INVAL);
            }
            target.tell(|options| options.ip.hop_limit = u8::try_from(number).ok())?;
            settings.set_ip_number(IpNumber::HopLimit, number);
        }
        IPV6_TCLASS => {
            if !(-1..=255).contains(&number) {
                return fail(Errno::INVAL);
            }
            // RFC 3542 section 6.5: -1 is the default, 0.
            let class = tos_of(target, number.max(0), settings.ip_number(IpNumber::TrafficClass));
            target.tell(|options| options.ip.traffic_class = class)?;
            settings.set_ip_number(IpNumber::TrafficClass, class.into());
        }
        IPV6_MTU_DISCOVER => {
            let Some(discovery) = discovery(number) else { return fail(Errno::INVAL) };
            target.tell(|options| options.ip.discovery_v6 = discovery)?;
            settings.set_ip_number(IpNumber::DiscoveryV6, number);
        }
        IPV6_MTU => {
            if number != 0 && number < LEAST_MTU {
                return fail(Errno::INVAL);
            }
            let mtu = u16::try_from(number).ok().filter(|mtu| *mtu > 0);
            target.tell(|options| options.ip.mtu_v6 = mtu)?;
        }
        // A socket stays of the family that it was made with: no address fits another.
        IPV6_ADDRFORM if number != AF_INET => return fail(Errno::INVAL),
        IPV6_ADDRFORM if target.shared.phase() != Phase::Connected => return fail(Errno::NOTCONN),
        IPV6_ADDRFORM => return fail(Errno::ADDRNOTAVAIL),
        // Linux refuses it once the socket has a port.
        IPV6_V6ONLY if target.shared.names().local.is_some_and(|local| local.port() != 0) => {
            return fail(Errno::INVAL);
        }
        _ => {
            let (flag, on) = (flag(name)?, number != 0);
            target.set(flag, on, |options| match name {
                IPV6_V6ONLY => options.v6_only = on,
                IPV6_RECVERR => options.ip.queue_errors_v6 = on,
                IPV6_DONTFRAG => options.ip.dont_fragment_v6 = on,
                _ => {}
            })?;
        }
    }
    Ok(())
}

/// `IPV6_PATHMTU`: a `struct ip6_mtuinfo` (RFC 3542 section 11.4), as Linux gives it: without the address.
fn path_mtu(target: &Target<'_>, value: &mut [u8]) -> io::Result<usize> {
    const LEN: usize = 32;
    const MTU: usize = LEN - 4;
    if value.len() < LEN {
        return fail(Errno::INVAL);
    }
    let mut info = [0; LEN];
    info[MTU..].copy_from_slice(&target.path_mtu()?.to_ne_bytes());
    Ok(show(value, &info))
}

/// The option that is on or off.
fn flag(name: i32) -> io::Result<Flag> {
    match name {
        IPV6_V6ONLY => Ok(Flag::V6Only),
        IPV6_DONTFRAG => Ok(Flag::DontFragmentV6),
        IPV6_RECVERR => Ok(Flag::RecvErrorsV6),
        IPV6_RECVHOPLIMIT => Ok(Flag::RecvHopLimit),
        IPV6_RECVTCLASS => Ok(Flag::RecvTrafficClass),
        IPV6_RECVPKTINFO => Ok(Flag::PacketInfoV6),
        _ => fail(Errno::NOPROTOOPT),
    }
}

/// The smallest MTU of IPv6 (RFC 8200 section 5).
const LEAST_MTU: i32 = 1280;
