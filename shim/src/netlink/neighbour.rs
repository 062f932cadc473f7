//! `RTM_GETNEIGH`, `RTM_NEWNEIGH`, `RTM_DELNEIGH`: neighbours, see rtnetlink(7). Those that are set are permanent; the
//! others are learned.

use super::address::{address_in, family_of, octets};
use super::codec::{Writer, half, word};
use super::constants::{
    NDA_CACHEINFO, NDA_DST, NDA_IFINDEX, NDA_LLADDR, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NUD_DELAY,
    NUD_FAILED, NUD_INCOMPLETE, NUD_PERMANENT, NUD_PROBE, NUD_REACHABLE, NUD_STALE, RTM_NEWNEIGH,
    RTN_UNICAST, V4, V6,
};
use super::fault::Fault;
use super::request::Work;
use ioth_stack::net::neighbour::State;
use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::snapshot::{Neighbour, Snapshot};
use rustix::io::Errno;
use std::net::IpAddr;

/// Bytes of `struct ndmsg`.
const FIXED: usize = 12;

/// All neighbours of a family, or of both; of one interface, if the request names it.
pub(super) fn dump(work: &Work<'_>) -> Vec<Vec<u8>> {
    let family = work.family();
    let interface = work.request.attributes(FIXED).integer(NDA_IFINDEX).ok().flatten().unwrap_or(0);
    let wanted = |known: &&Neighbour| {
        (family == 0 || family_of(known.address) == family)
            && (interface == 0 || known.interface.index() == interface)
    };
    let seen = work.seen();
    seen.neighbours.iter().filter(wanted).map(|known| message(known, RTM_NEWNEIGH, work.to)).collect()
}

/// What a request says of a neighbour.
struct Said {
    interface: InterfaceId,
    address: IpAddr,
}

fn said(work: &Work<'_>, seen: &Snapshot) -> Result<Said, Fault> {
    let fixed = work.request.fixed::<FIXED>()?;
    let found = work.request.attributes(FIXED).find(NDA_DST);
    let found = found.ok_or(Fault::because(Errno::INVAL, "Network address not specified"))?;
    let index = word(fixed, 4);
    if index != 0 && !seen.interfaces.iter().any(|known| known.index.index() == index) {
        return Err(Fault::new(Errno::NODEV));
    }
    if !matches!(fixed[0], V4 | V6) {
        return Err(Fault::new(Errno::AFNOSUPPORT));
    }
    let address = address_in(Some(found), fixed[0])
        .map_err(|_| Fault::because(Errno::INVAL, "Invalid network address"))?;
    let address = address.ok_or(Fault::new(Errno::INVAL))?;
    if index == 0 {
        return Err(Fault::because(Errno::INVAL, "Device not specified"));
    }
    Ok(Said { interface: InterfaceId::new(index), address })
}

fn find<'a>(seen: &'a Snapshot, said: &Said) -> Option<&'a Neighbour> {
    let wanted = |known: &&Neighbour| known.interface == said.interface && known.address == said.address;
    seen.neighbours.iter().find(wanted)
}

/// One neighbour.
pub(super) fn one(work: &Work<'_>) -> Result<Vec<u8>, Fault> {
    let seen = work.seen();
    let found = find(&seen, &said(work, &seen)?).ok_or(Fault::new(Errno::NOENT))?;
    Ok(message(found, RTM_NEWNEIGH, work.to))
}

/// Sets a neighbour.
pub(super) fn create(work: &Work<'_>) -> Result<(), Fault> {
    let seen = work.seen();
    let said = said(work, &seen)?;
    let known = find(&seen, &said);
    if known.is_none() && !work.request.has(NLM_F_CREATE) {
        return Err(Fault::new(Errno::NOENT));
    }
    if known.is_some() && work.request.has(NLM_F_EXCL) {
        return Err(Fault::new(Errno::EXIST));
    }
    if half(work.request.fixed::<FIXED>()?, 8) != NUD_PERMANENT {
        return Err(Fault::because(Errno::OPNOTSUPP, "Only permanent neighbours can be set"));
    }
    let station = work.request.attributes(FIXED).find(NDA_LLADDR);
    let station = station.ok_or(Fault::new(Errno::INVAL))?;
    let octets = station.value.first_chunk().ok_or(Fault::because(Errno::INVAL, "Invalid link address"))?;
    let mac = Mac::new(*octets);
    // As Linux: without NLM_F_REPLACE what is known is not overwritten.
    let keeps = !work.request.has(NLM_F_REPLACE)
        && known.is_some_and(|known| known.state == State::Permanent && known.mac != Some(mac));
    if keeps { Ok(()) } else { Ok(work.stack.give_neighbour(said.interface, said.address, mac)?) }
}

/// Forgets a neighbour.
pub(super) fn delete(work: &Work<'_>) -> Result<(), Fault> {
    let seen = work.seen();
    let said = said(work, &seen)?;
    if find(&seen, &said).is_none() {
        return Err(Fault::new(Errno::NOENT));
    }
    Ok(work.stack.take_neighbour(said.interface, said.address)?)
}

/// What is said of a neighbour.
pub(super) fn message(known: &Neighbour, kind: u16, to: (u32, u32)) -> Vec<u8> {
    let state = match known.state {
        State::Incomplete => NUD_INCOMPLETE,
        State::Reachable => NUD_REACHABLE,
        State::Stale => NUD_STALE,
        State::Delay => NUD_DELAY,
        State::Probe => NUD_PROBE,
        State::Permanent => NUD_PERMANENT,
        State::Failed => NUD_FAILED,
    };
    let mut fixed = vec![family_of(known.address), 0, 0, 0];
    fixed.extend(known.interface.index().to_ne_bytes());
    fixed.extend(state.to_ne_bytes());
    fixed.extend([0, RTN_UNICAST]);
    let mut writer = Writer::new(kind, 0, to);
    writer.put(&fixed);
    writer.attribute(NDA_DST, &octets(known.address));
    if let Some(mac) = known.mac {
        writer.attribute(NDA_LLADDR, &mac.octets());
    }
    // struct nda_cacheinfo: nothing of it is kept.
    writer.attribute(NDA_CACHEINFO, &[0; 16]);
    writer.finish()
}
