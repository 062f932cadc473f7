//! `RTM_GETLINK`, `RTM_NEWLINK`, `RTM_SETLINK`, `RTM_DELLINK`: interfaces, see rtnetlink(7) and netdevice(7).

use super::codec::{Attributes, Writer, word};
use super::constants::{
    ARPHRD_ETHER, ARPHRD_LOOPBACK, IF_OPER_DOWN, IF_OPER_UNKNOWN, IF_OPER_UP, IFF_BROADCAST, IFF_LOOPBACK,
    IFF_LOWER_UP, IFF_MULTICAST, IFF_RUNNING, IFF_UP, IFLA_ADDRESS, IFLA_BROADCAST, IFLA_CARRIER,
    IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO, IFLA_LINKMODE, IFLA_MTU, IFLA_OPERSTATE,
    IFLA_QDISC, IFLA_STATS, IFLA_STATS64, IFLA_TXQLEN, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, RTM_NEWLINK,
};
use super::fault::Fault;
use super::request::Work;
use ioth_stack::net::Mac;
use ioth_stack::snapshot::{Interface, Snapshot, Traffic};
use ioth_stack::{LinkChange, SetupError};
use rustix::io::Errno;

/// Bytes of `struct ifinfomsg`.
const FIXED: usize = 16;
/// The only kind of link that can be added here: one that a VNL names.
const KIND: &str = "vde";

/// All interfaces.
pub(super) fn dump(work: &Work<'_>) -> Vec<Vec<u8>> {
    work.seen().interfaces.iter().map(|interface| message(interface, RTM_NEWLINK, work.to)).collect()
}

/// One of them.
pub(super) fn one(work: &Work<'_>) -> Result<Vec<u8>, Fault> {
    let seen = work.seen();
    Ok(message(find(work, &seen)?.ok_or(Fault::new(Errno::NODEV))?, RTM_NEWLINK, work.to))
}

/// Changes an interface.
pub(super) fn set(work: &Work<'_>) -> Result<(), Fault> {
    let seen = work.seen();
    let known = find(work, &seen)?.ok_or(Fault::new(Errno::NODEV))?;
    change(work, known)
}

/// Adds an interface, or changes one that is there.
pub(super) fn create(work: &Work<'_>) -> Result<(), Fault> {
    let attributes = attributes(work);
    let index = word(work.request.fixed::<FIXED>()?, 4);
    let seen = work.seen();
    let info = attributes.within(IFLA_LINKINFO);
    let kind = info.text(IFLA_INFO_KIND)?;
    let known = if index != 0 || attributes.find(IFLA_IFNAME).is_some() { find(work, &seen)? } else { None };
    if let Some(known) = known {
        return if work.request.has(NLM_F_EXCL) {
            Err(Fault::new(Errno::EXIST))
        } else if work.request.has(NLM_F_REPLACE) {
            Err(Fault::new(Errno::OPNOTSUPP))
        } else {
            change(work, known)
        };
    }
    if !work.request.has(NLM_F_CREATE) {
        return Err(Fault::new(Errno::NODEV));
    }
    if kind != Some(KIND) {
        return Err(Fault::because(Errno::OPNOTSUPP, "Unknown device type"));
    }
    if index > i32::MAX.cast_unsigned() {
        return Err(Fault::because(Errno::INVAL, "ifindex can't be negative"));
    }
    // The locator is the only thing that a link is made from, whatever its attribute is called.
    let vnl = info.within(IFLA_INFO_DATA).each().find_map(|data| data.text().ok()).unwrap_or_default();
    let name = attributes.text(IFLA_IFNAME)?;
    let mut config = Vec::new();
    if let Some(mac) = station(attributes)? {
        config.push(format!("mac={mac}"));
    }
    if let Some(mtu) = mtu(attributes)? {
        config.push(format!("mtu={mtu}"));
    }
    let name = work.stack.add_interface(name, vnl, &config.join(",")).map_err(|error| refused(&error))?;
    // Linux makes interfaces that are down until they are set up; IFF_UP in the request says so at once.
    let flags = word(work.request.fixed::<FIXED>()?, 8).cast_signed();
    let id = work.stack.run(|cx| cx.engine.named(&name)).ok_or(Fault::new(Errno::NODEV))?;
    let change = LinkChange { up: Some(flags & IFF_UP != 0), ..LinkChange::default() };
    Ok(work.stack.change_link(id, &change)?)
}

/// Takes an interface away.
pub(super) fn delete(work: &Work<'_>) -> Result<(), Fault> {
    let seen = work.seen();
    let known = find(work, &seen)?.ok_or(Fault::new(Errno::NODEV))?;
    if known.is_loopback() {
        return Err(Fault::new(Errno::OPNOTSUPP));
    }
    work.stack.remove_interface(&known.name).map_err(|error| refused(&error))
}

/// Does what the attributes and flags of a request say to an interface that is there.
fn change(work: &Work<'_>, known: &Interface) -> Result<(), Fault> {
    let attributes = attributes(work);
    let fixed = work.request.fixed::<FIXED>()?;
    if let Some(kind) = attributes.within(IFLA_LINKINFO).text(IFLA_INFO_KIND)?
        && (kind != KIND || known.is_loopback())
    {
        return Err(Fault::new(Errno::OPNOTSUPP));
    }
    let name = attributes.text(IFLA_IFNAME)?.filter(|name| *name != known.name);
    if let Some(name) = name
        && !is_name(name)
    {
        return Err(Fault::new(Errno::INVAL));
    }
    // `rtnl_dev_get_flags`: without a mask the flags are meant as they are.
    let (flags, mask) = (word(fixed, 8).cast_signed(), word(fixed, 12).cast_signed());
    let up = match (flags, mask) {
        (0, 0) => None,
        (flags, 0) => Some(flags & IFF_UP != 0),
        (flags, mask) => (mask & IFF_UP != 0).then_some(flags & IFF_UP != 0),
    };
    let change = LinkChange {
        name: name.map(str::to_owned),
        mac: station(attributes)?,
        mtu: mtu(attributes)?,
        up: up.filter(|up| *up != known.enabled),
    };
    work.stack.change_link(known.index, &change).map_err(|error| match error {
        ioth_stack::Error::AddressInUse => Fault::new(Errno::EXIST),
        ioth_stack::Error::Invalid => Fault::because(Errno::INVAL, "mtu greater than device maximum"),
        other => other.into(),
    })
}

/// The interface that a request is about: by its index, or by its name. `EINVAL` if it says neither.
fn find<'a>(work: &Work<'_>, seen: &'a Snapshot) -> Result<Option<&'a Interface>, Fault> {
    let index = word(work.request.fixed::<FIXED>()?, 4);
    let name = attributes(work).text(IFLA_IFNAME)?;
    let wanted = |known: &&Interface| match (index, name) {
        (0, name) => Some(known.name.as_str()) == name,
        (index, _) => known.index.index() == index,
    };
    if index == 0 && name.is_none() {
        return Err(Fault::new(Errno::INVAL));
    }
    Ok(seen.interfaces.iter().find(wanted))
}

fn attributes<'a>(work: &Work<'a>) -> Attributes<'a> {
    work.request.attributes(FIXED)
}

fn station(attributes: Attributes<'_>) -> Result<Option<Mac>, Fault> {
    let Some(found) = attributes.find(IFLA_ADDRESS) else { return Ok(None) };
    let octets = found.value.first_chunk().ok_or(Fault::new(Errno::INVAL))?;
    Ok(Some(Mac::new(*octets)))
}

fn mtu(attributes: Attributes<'_>) -> Result<Option<u16>, Fault> {
    let Some(mtu) = attributes.integer(IFLA_MTU)? else { return Ok(None) };
    // The least that IPv4 works with is RFC 791's; eth_min_mtu.
    match u16::try_from(mtu) {
        Ok(68..) => Ok(u16::try_from(mtu).ok()),
        Ok(_) => Err(Fault::because(Errno::INVAL, "mtu less than device minimum")),
        Err(_) => Err(Fault::because(Errno::INVAL, "mtu greater than device maximum")),
    }
}

/// `dev_valid_name` of Linux, and what a configuration string can say.
fn is_name(name: &str) -> bool {
    let bad = |letter: char| letter.is_whitespace() || "/:,=".contains(letter);
    !name.is_empty() && name.len() < libc::IFNAMSIZ && name != "." && name != ".." && !name.contains(bad)
}

fn refused(error: &SetupError) -> Fault {
    Fault::new(Errno::from_raw_os_error(error.errno()))
}

/// What is said of an interface.
pub(super) fn message(interface: &Interface, kind: u16, to: (u32, u32)) -> Vec<u8> {
    let loopback = interface.is_loopback();
    let hardware = if loopback { ARPHRD_LOOPBACK } else { ARPHRD_ETHER };
    let mut flags = if loopback { IFF_LOOPBACK } else { IFF_BROADCAST | IFF_MULTICAST };
    if interface.enabled {
        flags |= IFF_UP;
    }
    if interface.up {
        flags |= IFF_RUNNING | IFF_LOWER_UP;
    }
    let mut fixed = Vec::with_capacity(FIXED);
    fixed.extend([0, 0]);
    fixed.extend(hardware.to_ne_bytes());
    fixed.extend(interface.index.index().to_ne_bytes());
    fixed.extend(flags.to_ne_bytes());
    fixed.extend([0; 4]);
    let mut writer = Writer::new(kind, 0, to);
    writer.put(&fixed);
    writer.text(IFLA_IFNAME, &interface.name);
    writer.integer(IFLA_TXQLEN, 1000);
    let state = match (loopback, interface.up) {
        (true, _) => IF_OPER_UNKNOWN,
        (false, true) => IF_OPER_UP,
        (false, false) => IF_OPER_DOWN,
    };
    writer.attribute(IFLA_OPERSTATE, &[state]);
    writer.attribute(IFLA_LINKMODE, &[0]);
    writer.integer(IFLA_MTU, interface.mtu.into());
    writer.attribute(IFLA_CARRIER, &[u8::from(interface.up)]);
    writer.text(IFLA_QDISC, "noqueue");
    writer.attribute(IFLA_ADDRESS, &interface.mac.octets());
    writer.attribute(IFLA_BROADCAST, &[if loopback { 0 } else { 0xff }; 6]);
    let figures = figures(interface.traffic);
    let wide: Vec<u8> = figures.iter().flat_map(|figure| figure.to_ne_bytes()).collect();
    let narrow: Vec<u8> = figures[..24].iter().flat_map(|figure| (*figure as u32).to_ne_bytes()).collect();
    writer.attribute(IFLA_STATS64, &wide);
    writer.attribute(IFLA_STATS, &narrow);
    if !loopback {
        writer.nested(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, KIND));
    }
    writer.finish()
}

/// `struct rtnl_link_stats64`: packets and bytes in and out; the rest is not counted per interface.
const fn figures(traffic: Traffic) -> [u64; 25] {
    let mut figures = [0; 25];
    figures[0] = traffic.frames_in;
    figures[1] = traffic.frames_out;
    figures[2] = traffic.bytes_in;
    figures[3] = traffic.bytes_out;
    figures
}
