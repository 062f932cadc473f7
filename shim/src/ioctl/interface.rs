//! Requests about an interface, netdevice(7): they go to the stack of the socket, whatever state the socket is in. The
//! argument is a `struct ifreq`: a name, and behind it what is asked for.

use super::{
    SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFDSTADDR, SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFMETRIC,
    SIOCGIFMTU, SIOCGIFNAME, SIOCGIFNETMASK, SIOCGIFTXQLEN, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFHWADDR,
    SIOCSIFMTU, SIOCSIFNAME, SIOCSIFNETMASK,
};
use crate::errno::fail;
use crate::interfaces::{ARPHRD_ETHER, ARPHRD_LOOPBACK, flags, is_loopback, mask};
use crate::sockaddr;
use crate::stack::{Home, Stack};
use ioth_stack::net::{Cidr, InterfaceId, Mac};
use ioth_stack::snapshot::Interface;
use ioth_stack::{Error, LinkChange, Snapshot};
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Bytes of a name in `struct ifreq`, and of the whole.
const NAME: usize = 16;
const REQUEST: usize = 40;
/// netdevice(7): the only flag that can be set here.
const IFF_UP: u16 = 1;

/// Answers a request. `has_addresses`: only sockets of IPv4 and packet sockets know of addresses.
pub(super) fn ask(
    home: &Arc<Home>,
    has_addresses: bool,
    request: u32,
    argument: &mut [u8],
) -> io::Result<i32> {
    let Some(argument) = argument.first_chunk_mut::<REQUEST>() else { return fail(Errno::INVAL) };
    let seen = home.reach()?.snapshot();
    if request == SIOCGIFNAME {
        let index = u32::from_ne_bytes(*argument[NAME..].first_chunk().unwrap_or(&[0; 4]));
        let known = seen.interfaces.iter().find(|known| known.index.index() == index);
        let name = known.map_or_else(|| fail(Errno::NODEV), |known| Ok(known.name.as_bytes()))?;
        argument[..NAME].fill(0);
        let len = name.len().min(NAME - 1);
        argument[..len].copy_from_slice(&name[..len]);
        return Ok(0);
    }
    // inet_ioctl knows them; sock_do_ioctl of others does not.
    if !has_addresses && (SIOCGIFADDR..=SIOCSIFNETMASK).contains(&request) {
        return fail(Errno::NOTTY);
    }
    let name = text(&argument[..NAME]);
    let known = seen.interfaces.iter().find(|known| known.name.as_bytes() == name);
    let known = known.map_or_else(|| fail(Errno::NODEV), Ok)?;
    let room = &mut argument[NAME..];
    let mut give = |bytes: &[u8]| room[..bytes.len()].copy_from_slice(bytes);
    match request {
        SIOCGIFFLAGS => give(&(flags(&seen, known.index) as u16).to_ne_bytes()),
        SIOCGIFINDEX => give(&known.index.index().to_ne_bytes()),
        SIOCGIFMTU => give(&i32::from(known.mtu).to_ne_bytes()),
        SIOCGIFMETRIC => give(&[0; 4]),
        SIOCGIFTXQLEN => give(&1000i32.to_ne_bytes()),
        SIOCGIFHWADDR => {
            give(&hardware(known).to_ne_bytes());
            room[2..8].copy_from_slice(&known.mac.octets());
        }
        SIOCGIFADDR | SIOCGIFDSTADDR | SIOCGIFBRDADDR | SIOCGIFNETMASK => {
            let cidr = first_v4(&seen, known.index).map_or_else(|| fail(Errno::ADDRNOTAVAIL), Ok)?;
            let shown = match request {
                SIOCGIFNETMASK => mask(&cidr),
                SIOCGIFBRDADDR => cidr.broadcast().map_or_else(|| IpAddr::from([0; 4]), IpAddr::V4),
                _ => cidr.address(),
            };
            give(&sockaddr::encode(&SocketAddr::new(shown, 0)));
        }
        SIOCSIFADDR | SIOCSIFNETMASK => {
            let stack = Stack::at(Arc::clone(home));
            return readdress(&stack, &known.name, first_v4(&seen, known.index), request, room);
        }
        SIOCSIFFLAGS | SIOCSIFMTU | SIOCSIFNAME | SIOCSIFHWADDR => {
            let change = changed(known, request, room)?;
            return match home.reach()?.change_link(known.index, &change) {
                Ok(()) => Ok(0),
                Err(Error::AddressInUse) => fail(Errno::EXIST),
                Err(error) => Err(error.into()),
            };
        }
        _ => return fail(Errno::OPNOTSUPP),
    }
    Ok(0)
}

/// The bytes of a name up to its zero.
fn text(name: &[u8]) -> Vec<u8> {
    name[..NAME - 1].split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn hardware(known: &Interface) -> u16 {
    if is_loopback(known.index) { ARPHRD_LOOPBACK } else { ARPHRD_ETHER }
}

/// What a request makes of an interface.
fn changed(known: &Interface, request: u32, value: &[u8]) -> io::Result<LinkChange> {
    let mut change = LinkChange::default();
    match request {
        SIOCSIFFLAGS => {
            let up = u16::from_ne_bytes(*value.first_chunk().unwrap_or(&[0; 2])) & IFF_UP != 0;
            change.up = Some(up).filter(|up| *up != known.enabled);
        }
        SIOCSIFMTU => {
            // The least that IPv4 works with is RFC 791's; eth_min_mtu.
            let mtu = i32::from_ne_bytes(*value.first_chunk().unwrap_or(&[0; 4]));
            let mtu = u16::try_from(mtu).ok().filter(|mtu| *mtu >= 68);
            change.mtu = Some(mtu.map_or_else(|| fail(Errno::INVAL), Ok)?);
        }
        SIOCSIFNAME => {
            let name = String::from_utf8(text(value)).map_or_else(|_| fail(Errno::INVAL), Ok)?;
            // What a configuration string cannot say is no name.
            let bad = |letter: char| letter.is_whitespace() || "/:,=".contains(letter);
            if name.is_empty() || name == "." || name == ".." || name.contains(bad) {
                return fail(Errno::INVAL);
            }
            change.name = Some(name).filter(|name| *name != known.name);
        }
        _ => {
            if value[..2] != hardware(known).to_ne_bytes() {
                return fail(Errno::INVAL);
            }
            change.mac = value[2..].first_chunk().map(|octets| Mac::new(*octets));
        }
    }
    Ok(change)
}

/// As on Linux, one address takes the place of the one before.
fn readdress(stack: &Stack, name: &str, before: Option<Cidr>, request: u32, value: &[u8]) -> io::Result<i32> {
    let configure = |what: String| {
        let whole = format!("iface={name},{what}");
        stack.configure(&whole).map(|()| 0).or_else(|_| fail(Errno::INVAL))
    };
    let Some(SocketAddr::V4(address)) = sockaddr::decode(value) else { return fail(Errno::INVAL) };
    let address = *address.ip();
    let next = if request == SIOCSIFADDR {
        let Some(prefix) = class(address) else { return fail(Errno::INVAL) };
        (!address.is_unspecified()).then(|| format!("{address}/{prefix}"))
    } else {
        let mask = u32::from(address);
        let before = before.map_or_else(|| fail(Errno::ADDRNOTAVAIL), Ok)?;
        if mask.leading_ones() + mask.trailing_zeros() != 32 {
            return fail(Errno::INVAL);
        }
        Some(format!("{}/{}", before.address(), mask.leading_ones()))
    };
    match (before, next) {
        (Some(before), Some(next)) if before.to_string() == next => Ok(0),
        (Some(before), Some(next)) => configure(format!("-ip={before},ip={next}")),
        (Some(before), None) => configure(format!("-ip={before}")),
        (None, Some(next)) => configure(format!("ip={next}")),
        (None, None) => Ok(0),
    }
}

/// How long the prefix of an address is as long as nobody says it: inet_abc_len of Linux. Groups have none.
const fn class(address: Ipv4Addr) -> Option<u8> {
    match address.octets()[0] {
        0 if address.is_unspecified() => Some(0),
        ..128 => Some(8),
        128..192 => Some(16),
        192..224 => Some(24),
        224..240 => None,
        240.. => Some(32),
    }
}

/// The first IPv4 address of an interface.
fn first_v4(seen: &Snapshot, index: InterfaceId) -> Option<Cidr> {
    let mut of = seen.addresses.iter().filter(|known| known.interface == index);
    of.find(|known| known.cidr.address().is_ipv4()).map(|known| known.cidr)
}
