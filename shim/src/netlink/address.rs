//! `RTM_GETADDR`, `RTM_NEWADDR`, `RTM_DELADDR`: addresses of interfaces, see rtnetlink(7).

use super::codec::{Attribute, Attributes, Writer, word};
use super::constants::{
    IFA_ADDRESS, IFA_BROADCAST, IFA_CACHEINFO, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_OPTIMISTIC,
    IFA_F_PERMANENT, IFA_F_STABLE_PRIVACY, IFA_F_TEMPORARY, IFA_F_TENTATIVE, IFA_FLAGS, IFA_LABEL, IFA_LOCAL,
    INFINITY, NLM_F_EXCL, NLM_F_REPLACE, RT_SCOPE_HOST, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE, RTM_NEWADDR, V4,
    V6,
};
use super::fault::Fault;
use super::request::Work;
use ioth_stack::net::Cidr;
use ioth_stack::snapshot::{Address, Interface, Origin, Snapshot, Standing};
use ioth_stack::{Assignment, Error};
use rustix::io::Errno;
use std::net::IpAddr;
use std::time::Duration;

/// Bytes of `struct ifaddrmsg`.
const FIXED: usize = 8;

/// All addresses of a family, or of both.
pub(super) fn dump(work: &Work<'_>) -> Vec<Vec<u8>> {
    let seen = work.seen();
    let family = work.family();
    let index = work.request.fixed::<FIXED>().map_or(0, |fixed| word(fixed, 4));
    let on_interface = |known: &&Address| !work.strict || index == 0 || known.interface.index() == index;
    let of = |wanted: u8| {
        let known = seen.addresses.iter().filter(move |known| family_of(known.cidr.address()) == wanted);
        known.filter(on_interface).map(|known| message(&seen, known, RTM_NEWADDR, work.to))
    };
    // As Linux: IPv4 first.
    [V4, V6].into_iter().filter(|wanted| matches!(family, 0) || family == *wanted).flat_map(of).collect()
}

/// One address, which Linux can give for IPv6 only.
pub(super) fn one(work: &Work<'_>) -> Result<Vec<u8>, Fault> {
    if work.family() != V6 {
        return Err(Fault::new(Errno::OPNOTSUPP));
    }
    let index = word(work.request.fixed::<FIXED>()?, 4);
    let attributes = work.request.attributes(FIXED);
    let wanted = address_in(attributes.find(IFA_LOCAL).or_else(|| attributes.find(IFA_ADDRESS)), V6)?;
    let wanted = wanted.ok_or(Fault::new(Errno::INVAL))?;
    let seen = work.seen();
    let found = seen
        .addresses
        .iter()
        .find(|known| known.cidr.address() == wanted && (index == 0 || known.interface.index() == index));
    Ok(message(&seen, found.ok_or(Fault::new(Errno::ADDRNOTAVAIL))?, RTM_NEWADDR, work.to))
}

/// What a request says of an address.
struct Said {
    family: u8,
    cidr: Cidr,
}

fn said(work: &Work<'_>, needs_local: bool) -> Result<Said, Fault> {
    let fixed = work.request.fixed::<FIXED>()?;
    let [family, prefix_len, ..] = *fixed;
    let attributes = work.request.attributes(FIXED);
    if !matches!(family, V4 | V6) {
        return Err(Fault::new(Errno::OPNOTSUPP));
    }
    let local = attributes.find(IFA_LOCAL);
    if family == V4 && needs_local && local.is_none() {
        return Err(Fault::because(Errno::INVAL, "ipv4: Local address is not supplied"));
    }
    let address = address_in(local.or_else(|| attributes.find(IFA_ADDRESS)), family)?;
    let address = address.ok_or(Fault::new(Errno::INVAL))?;
    if let Some(peer) = address_in(attributes.find(IFA_ADDRESS), family)?
        && peer != address
    {
        return Err(Fault::because(Errno::OPNOTSUPP, "An address with a peer is not supported"));
    }
    let cidr = Cidr::new(address, prefix_len);
    let cidr = cidr.ok_or(Fault::because(Errno::INVAL, "ipv4: Invalid prefix length"))?;
    Ok(Said { family, cidr })
}

/// Gives an interface an address, or changes the lifetimes of one.
pub(super) fn create(work: &Work<'_>) -> Result<(), Fault> {
    let Said { family, cidr } = said(work, true)?;
    let attributes = work.request.attributes(FIXED);
    let seen = work.seen();
    let interface = interface(work, &seen)?;
    let (preferred, valid) = lifetimes(attributes)?;
    if let Some(label) = attributes.text(IFA_LABEL)?
        && label != interface.name
    {
        return Err(Fault::because(
            Errno::OPNOTSUPP,
            "A label other than the name of the interface is not supported",
        ));
    }
    if let Some(broadcast) = address_in(attributes.find(IFA_BROADCAST), V4)?
        && !matches!((broadcast, cidr.broadcast()), (IpAddr::V4(said), Some(own)) if said == own)
    {
        return Err(Fault::because(
            Errno::OPNOTSUPP,
            "A broadcast address other than that of the network is not supported",
        ));
    }
    let known =
        |known: &&Address| known.interface == interface.index && known.cidr.address() == cidr.address();
    if let Some(known) = seen.addresses.iter().find(known) {
        if work.request.has(NLM_F_EXCL) || !work.request.has(NLM_F_REPLACE) || known.cidr != cidr {
            let text =
                if family == V4 { "ipv4: Address already assigned" } else { "address already assigned" };
            return Err(Fault::because(Errno::EXIST, text));
        }
        return Ok(work.stack.keep_address(interface.index, cidr, preferred, valid)?);
    }
    let assignment = Assignment { preferred, valid, ..Assignment::configured(cidr) };
    work.stack.give_address(interface.index, assignment).map_err(|error| match error {
        Error::AddressInUse => Fault::new(Errno::EXIST),
        Error::Invalid if family == V6 => Fault::new(Errno::ADDRNOTAVAIL),
        other => other.into(),
    })
}

/// Takes an address from an interface.
pub(super) fn delete(work: &Work<'_>) -> Result<(), Fault> {
    let Said { family, cidr } = said(work, false)?;
    let seen = work.seen();
    let interface = interface(work, &seen)?;
    let known = |known: &&Address| known.interface == interface.index && known.cidr == cidr;
    if !seen.addresses.iter().any(|address| known(&address)) {
        let text = if family == V4 { "ipv4: Address not found" } else { "address not found" };
        return Err(Fault::because(Errno::ADDRNOTAVAIL, text));
    }
    Ok(work.stack.take_address(interface.index, cidr)?)
}

fn interface<'a>(work: &Work<'_>, seen: &'a Snapshot) -> Result<&'a Interface, Fault> {
    let index = word(work.request.fixed::<FIXED>()?, 4);
    let known = seen.interfaces.iter().find(|known| known.index.index() == index);
    let text = if work.family() == V4 { "ipv4: Device not found" } else { "Unable to find the interface" };
    known.ok_or_else(|| Fault::because(Errno::NODEV, text))
}

/// Preferred and valid lifetime; `None` for ever.
fn lifetimes(attributes: Attributes<'_>) -> Result<(Option<Duration>, Option<Duration>), Fault> {
    let Some(found) = attributes.find(IFA_CACHEINFO) else { return Ok((None, None)) };
    // struct ifa_cacheinfo.
    let info: &[u8; 16] = found.value.first_chunk().ok_or_else(|| found.too_short())?;
    let (preferred, valid) = (word(info, 0), word(info, 4));
    if valid == 0 {
        return Err(found.wrong(Errno::INVAL, "ipv4: valid lifetime invalid"));
    }
    if preferred > valid {
        return Err(found.wrong(Errno::INVAL, "ipv4: preferred lifetime invalid"));
    }
    let time = |seconds: u32| (seconds != INFINITY).then(|| Duration::from_secs(seconds.into()));
    Ok((time(preferred), time(valid)))
}

/// The address in an attribute of a family.
pub(super) fn address_in(found: Option<Attribute<'_>>, family: u8) -> Result<Option<IpAddr>, Fault> {
    let Some(found) = found else { return Ok(None) };
    let address = if family == V4 {
        found.value.first_chunk::<4>().map(|octets| IpAddr::from(*octets))
    } else {
        found.value.first_chunk::<16>().map(|octets| IpAddr::from(*octets))
    };
    Ok(Some(address.ok_or_else(|| found.too_short())?))
}

pub(super) const fn family_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { V4 } else { V6 }
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// What is said of an address.
pub(super) fn message(seen: &Snapshot, known: &Address, kind: u16, to: (u32, u32)) -> Vec<u8> {
    let address = known.cidr.address();
    let mut flags = match known.standing {
        Standing::Duplicate => IFA_F_TENTATIVE | IFA_F_DADFAILED,
        Standing::Tentative => IFA_F_TENTATIVE,
        Standing::Optimistic => IFA_F_OPTIMISTIC | IFA_F_TENTATIVE,
        Standing::Deprecated => IFA_F_DEPRECATED,
        _ => 0,
    };
    if known.valid_for.is_none() {
        flags |= IFA_F_PERMANENT;
    }
    match known.origin {
        Origin::Temporary => flags |= IFA_F_TEMPORARY,
        Origin::Advertised => flags |= IFA_F_STABLE_PRIVACY,
        _ => {}
    }
    let scope = match address {
        _ if address.is_loopback() => RT_SCOPE_HOST,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => RT_SCOPE_LINK,
        _ => RT_SCOPE_UNIVERSE,
    };
    let mut fixed = vec![family_of(address), known.cidr.prefix_len(), flags as u8, scope];
    fixed.extend(known.interface.index().to_ne_bytes());
    let mut writer = Writer::new(kind, 0, to);
    writer.put(&fixed);
    writer.attribute(IFA_ADDRESS, &octets(address));
    if address.is_ipv4() {
        writer.attribute(IFA_LOCAL, &octets(address));
        if let Some(broadcast) = known.cidr.broadcast().filter(|_| !address.is_loopback()) {
            writer.attribute(IFA_BROADCAST, &broadcast.octets());
        }
        writer.text(IFA_LABEL, seen.interface_name(known.interface));
    }
    writer.integer(IFA_FLAGS, flags);
    let seconds = |left: Option<Duration>| {
        // What is left of a second counts, so that nothing that is there shows as over.
        left.map_or(INFINITY, |left| u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(INFINITY - 1))
    };
    let mut info = Vec::with_capacity(16);
    info.extend(seconds(known.preferred_for).to_ne_bytes());
    info.extend(seconds(known.valid_for).to_ne_bytes());
    info.extend([0; 8]);
    writer.attribute(IFA_CACHEINFO, &info);
    writer.finish()
}
