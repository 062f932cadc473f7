//! Options that are one number each, in one list: what it may be, what it is at first, and whom the engine has to tell.
//! Those without a teller are stored: set, they show what was set, and nothing else changes.

use super::{Target, integer};
use crate::errno::fail;
use crate::sys::constants::*;
use ioth_stack::net::InterfaceId;
use ioth_stack::{Kind, Options};
use rustix::io::Errno;
use std::io;

/// An option that is a number.
#[derive(Debug)]
pub(super) struct Stored {
    level: i32,
    name: i32,
    rule: Rule,
    initial: i32,
    of: Of,
    tell: Option<fn(&mut Options, i32)>,
}

/// What it may be set to, and how it shows.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// Anything; shows 0 or 1.
    Switch,
    /// 0 or 1.
    Strict,
    /// So much to so much.
    Within(i32, i32),
    /// Anything.
    Any,
    /// `SO_RCVLOWAT`: 0 is 1, and less is all there is.
    LowWater,
    /// A number that is 0 or the number of an interface, in network byte order.
    Interface,
    /// Two ports, the first not above the second; 0 for any.
    Ports,
    /// `IPV6_ADDR_PREFERENCES`: one of each group of flags at most.
    Preferences,
    /// As a switch that is never turned off again.
    Once,
    /// Anything, or 0 or 1, and shows 0.
    Ignored,
    StrictIgnored,
    /// Cannot be set: `ENOPROTOOPT`, or `EINVAL`.
    Shown,
    Invalid,
}

/// Which sockets have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    All,
    Datagrams,
    Raw,
}

const fn of_all(level: i32, name: i32, rule: Rule, initial: i32) -> Stored {
    Stored { level, name, rule, initial, of: Of::All, tell: None }
}

const fn told(level: i32, name: i32, rule: Rule, tell: fn(&mut Options, i32)) -> Stored {
    Stored { level, name, rule, initial: 0, of: Of::All, tell: Some(tell) }
}

/// How many there are.
pub(super) const COUNT: usize = ALL.len();

/// All of them; by level, and within by name.
pub(super) const ALL: &[Stored] = &[
    of_all(SOL_SOCKET, SO_BSDCOMPAT, Rule::Ignored, 0),
    of_all(SOL_SOCKET, SO_BUSY_POLL, Rule::Within(0, i32::MAX), 0),
    of_all(SOL_SOCKET, SO_DEBUG, Rule::Switch, 0),
    of_all(SOL_SOCKET, SO_INCOMING_CPU, Rule::Any, -1),
    of_all(SOL_SOCKET, SO_INCOMING_NAPI_ID, Rule::Shown, 0),
    of_all(SOL_SOCKET, SO_LOCK_FILTER, Rule::Once, 0),
    of_all(SOL_SOCKET, SO_MARK, Rule::Any, 0),
    of_all(SOL_SOCKET, SO_MAX_PACING_RATE, Rule::Any, -1),
    of_all(SOL_SOCKET, SO_NOFCS, Rule::Switch, 0),
    told(SOL_SOCKET, SO_NO_CHECK, Rule::Switch, |options, on| options.ip.no_checksum = on != 0),
    of_all(SOL_SOCKET, SO_PREFER_BUSY_POLL, Rule::Switch, 0),
    of_all(SOL_SOCKET, SO_PRIORITY, Rule::Any, 0),
    of_all(SOL_SOCKET, SO_RCVLOWAT, Rule::LowWater, 1),
    of_all(SOL_SOCKET, SO_SELECT_ERR_QUEUE, Rule::Switch, 0),
    of_all(SOL_SOCKET, SO_SNDLOWAT, Rule::Shown, 1),
    of_all(SOL_SOCKET, SO_WIFI_STATUS, Rule::Switch, 0),
    told(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, Rule::Switch, |options, on| {
        options.ip.late_port = on != 0;
    }),
    of_all(IPPROTO_IP, IP_CHECKSUM, Rule::Switch, 0),
    told(IPPROTO_IP, IP_FREEBIND, Rule::Switch, |options, on| options.ip.free_bind = on != 0),
    of_all(IPPROTO_IP, IP_HDRINCL, Rule::Shown, 0),
    told(IPPROTO_IP, IP_LOCAL_PORT_RANGE, Rule::Ports, |options, both| {
        options.ip.local_ports = (both as u16, (both >> 16) as u16);
    }),
    told(IPPROTO_IP, IP_MINTTL, Rule::Within(0, 255), |options, least| {
        options.ip.least_ttl = u8::try_from(least).unwrap_or(0);
    }),
    Stored { of: Of::Raw, ..of_all(IPPROTO_IP, IP_NODEFRAG, Rule::Switch, 0) },
    of_all(IPPROTO_IP, IP_PROTOCOL, Rule::Shown, 0),
    of_all(IPPROTO_IP, IP_ROUTER_ALERT, Rule::Invalid, 0),
    of_all(IPPROTO_IP, IP_PASSSEC, Rule::Switch, 0),
    of_all(IPPROTO_IP, IP_RECVERR_RFC4884, Rule::Strict, 0),
    Stored { of: Of::Datagrams, ..of_all(IPPROTO_IP, IP_RECVFRAGSIZE, Rule::Switch, 0) },
    of_all(IPPROTO_IP, IP_RECVOPTS, Rule::Switch, 0),
    of_all(IPPROTO_IP, IP_RECVORIGDSTADDR, Rule::Switch, 0),
    of_all(IPPROTO_IP, IP_RETOPTS, Rule::Switch, 0),
    told(IPPROTO_IP, IP_TRANSPARENT, Rule::Switch, |options, on| options.ip.transparent = on != 0),
    told(IPPROTO_IP, IP_UNICAST_IF, Rule::Interface, |options, index| {
        options.ip.unicast_interface = interface(index);
    }),
    of_all(IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, Rule::Preferences, USUAL_PREFERENCES),
    of_all(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, Rule::Switch, 1),
    of_all(IPPROTO_IPV6, IPV6_FLOWINFO, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_FLOWINFO_SEND, Rule::Switch, 0),
    told(IPPROTO_IPV6, IPV6_FREEBIND, Rule::Switch, |options, on| options.ip.free_bind = on != 0),
    told(IPPROTO_IPV6, IPV6_MINHOPCOUNT, Rule::Within(0, 255), |options, least| {
        options.ip.least_hop_limit = u8::try_from(least).unwrap_or(0);
    }),
    of_all(IPPROTO_IPV6, IPV6_RECVDSTOPTS, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_2292DSTOPTS, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_RECVERR_RFC4884, Rule::Strict, 0),
    of_all(IPPROTO_IPV6, IPV6_RECVFRAGSIZE, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_RECVHOPOPTS, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_2292HOPOPTS, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_2292HOPLIMIT, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_2292PKTINFO, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_RECVPATHMTU, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_RECVRTHDR, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_2292RTHDR, Rule::Switch, 0),
    of_all(IPPROTO_IPV6, IPV6_ROUTER_ALERT, Rule::Shown, 0),
    told(IPPROTO_IPV6, IPV6_TRANSPARENT, Rule::Switch, |options, on| options.ip.transparent = on != 0),
    told(IPPROTO_IPV6, IPV6_UNICAST_IF, Rule::Interface, |options, index| {
        options.ip.unicast_interface = interface(index);
    }),
    of_all(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, Rule::Strict, 0),
    of_all(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, Rule::Strict, 0),
    of_all(IPPROTO_TCP, TCP_INQ, Rule::Strict, 0),
    of_all(IPPROTO_TCP, TCP_NOTSENT_LOWAT, Rule::Any, 0),
    of_all(IPPROTO_TCP, TCP_SAVE_SYN, Rule::Within(0, 2), 0),
    of_all(IPPROTO_TCP, TCP_THIN_DUPACK, Rule::StrictIgnored, 0),
    of_all(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, Rule::Strict, 0),
    of_all(IPPROTO_UDP, UDP_ENCAP, Rule::Shown, 0),
    told(IPPROTO_UDP, UDP_NO_CHECK6_RX, Rule::Switch, |options, on| {
        options.ip.hears_unsummed_v6 = on != 0;
    }),
    told(IPPROTO_UDP, UDP_NO_CHECK6_TX, Rule::Switch, |options, on| options.ip.no_checksum_v6 = on != 0),
    of_all(SOL_PACKET, PACKET_LOSS, Rule::Switch, 0),
    of_all(SOL_PACKET, PACKET_ORIGDEV, Rule::Switch, 0),
    of_all(SOL_PACKET, PACKET_QDISC_BYPASS, Rule::Switch, 0),
    of_all(SOL_PACKET, PACKET_TIMESTAMP, Rule::Any, 0),
];

/// Where `SO_RCVLOWAT` and what asks for original destinations stand: they are looked at in every receive.
pub(super) const LOW_WATER: usize = place(SOL_SOCKET, SO_RCVLOWAT);
pub(super) const LOCK_FILTER: usize = place(SOL_SOCKET, SO_LOCK_FILTER);
pub(super) const PRIORITY: usize = place(SOL_SOCKET, SO_PRIORITY);
pub(super) const ORIGINAL: usize = place(IPPROTO_IP, IP_RECVORIGDSTADDR);
pub(super) const ORIGINAL_V6: usize = place(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR);

const fn place(level: i32, name: i32) -> usize {
    let mut at = 0;
    while ALL[at].level != level || ALL[at].name != name {
        at += 1;
    }
    at
}

/// What getsockopt(2) shows; `None` for an option that is not among these.
pub(super) fn read(target: &Target<'_>, level: i32, name: i32) -> Option<i32> {
    let (at, _) = find(level, name)?;
    Some(target.shared.settings.stored(at))
}

/// Sets it; `None` for an option that is not among these.
pub(super) fn write(target: &Target<'_>, level: i32, name: i32, value: &[u8]) -> Option<io::Result<()>> {
    let (at, stored) = find(level, name)?;
    Some(stored.set(target, at, value))
}

impl Stored {
    fn set(&self, target: &Target<'_>, at: usize, value: &[u8]) -> io::Result<()> {
        if self.of == Of::Datagrams && target.shared.kind == Kind::Stream {
            return fail(Errno::INVAL);
        }
        if self.of == Of::Raw && !matches!(target.shared.kind, Kind::Raw(_)) {
            return fail(Errno::NOPROTOOPT);
        }
        let number = match (self.level, value.first_chunk::<4>(), value.first()) {
            // As Linux: at the level of IPv4 a byte does for an integer, and nothing for 0, but for some.
            (IPPROTO_IP, None, None) if self.tell.is_some() && self.name != IP_BIND_ADDRESS_NO_PORT => {
                return fail(Errno::INVAL);
            }
            (IPPROTO_IP, None, first) => first.copied().unwrap_or(0).into(),
            (IPPROTO_IPV6, None, _) if matches!(self.name, IPV6_AUTOFLOWLABEL | IPV6_RECVFRAGSIZE) => 0,
            _ => integer(value)?,
        };
        let number = match self.rule {
            Rule::Switch => i32::from(number != 0),
            Rule::Once if number == 0 && target.shared.settings.stored(at) != 0 => return fail(Errno::PERM),
            Rule::Once => i32::from(number != 0),
            Rule::Ignored => 0,
            Rule::StrictIgnored if (0..=1).contains(&number) => 0,
            Rule::StrictIgnored => return fail(Errno::INVAL),
            Rule::Ports => {
                let (least, most) = (number & 0xffff, number >> 16 & 0xffff);
                if value.len() != 4 || (least > most && most != 0) {
                    return fail(Errno::INVAL);
                }
                number
            }
            Rule::Preferences => prefer(number)?,
            Rule::Invalid => return fail(Errno::INVAL),
            Rule::Strict if !(0..=1).contains(&number) => return fail(Errno::INVAL),
            Rule::Within(least, most) if !(least..=most).contains(&number) => return fail(Errno::INVAL),
            Rule::LowWater if number < 0 => i32::MAX,
            Rule::LowWater => number.max(1),
            Rule::Interface if value.len() < 4 => return fail(Errno::INVAL),
            Rule::Interface => {
                let known = interface(number).map(|id| target.ask(|engine, _| engine.has_interface(id)));
                if known == Some(Some(false)) {
                    return fail(Errno::ADDRNOTAVAIL);
                }
                number
            }
            Rule::Shown => return fail(Errno::NOPROTOOPT),
            Rule::Strict | Rule::Within(..) | Rule::Any => number,
        };
        if let Some(tell) = self.tell {
            target.tell(|options| tell(options, number))?;
        }
        target.shared.settings.set_stored(at, number);
        Ok(())
    }
}

/// RFC 5014 section 5: one flag of each kind at most. As on Linux, what is not said is as at first, and of
/// cryptographically generated addresses nothing is kept.
fn prefer(asked: i32) -> io::Result<i32> {
    let mut shown = 0;
    for (flags, usual) in [(TEMPORARY | PUBLIC | EITHER, EITHER), (HOME | CARE_OF, HOME)] {
        match asked & flags {
            0 => shown |= usual,
            one if one.count_ones() == 1 => shown |= one,
            _ => return fail(Errno::INVAL),
        }
    }
    if asked & (GENERATED | NOT_GENERATED) == GENERATED | NOT_GENERATED {
        return fail(Errno::INVAL);
    }
    Ok(shown)
}

/// `IPV6_PREFER_SRC_TMP`, `_PUBLIC`, `_PUBTMP_DEFAULT`, `_COA`, `_HOME`, `_CGA` and `_NONCGA` of `include/uapi/linux/in6.h`.
const TEMPORARY: i32 = 1;
const PUBLIC: i32 = 2;
const EITHER: i32 = 0x100;
const CARE_OF: i32 = 4;
const HOME: i32 = 0x400;
const GENERATED: i32 = 8;
const NOT_GENERATED: i32 = 0x800;
const USUAL_PREFERENCES: i32 = EITHER | HOME;

/// Where an option stands that is stored.
pub(super) fn find(level: i32, name: i32) -> Option<(usize, &'static Stored)> {
    ALL.iter().enumerate().find(|(_, stored)| (stored.level, stored.name) == (level, name))
}

/// What a new socket has.
pub(super) fn initial() -> [i32; COUNT] {
    std::array::from_fn(|at| ALL[at].initial)
}

/// The interface with this number in network byte order; 0 for none.
fn interface(number: i32) -> Option<InterfaceId> {
    let index = u32::from_be(number.cast_unsigned());
    (index != 0).then(|| InterfaceId::new(index))
}
