//! Packet endpoints: the frames of the links, packet(7).
//!
//! While there is none, a frame costs one branch each way (`Packets::are_used`). Queue and filter are those of datagram
//! endpoints; what is bound and asked for is here, how frames come and go in `show` and `send`.

mod send;
mod show;

use std::collections::VecDeque;

use crate::engine::endpoint::{EndpointId, Framing, Kind};
use crate::engine::{Engine, Role, Transmit};
use crate::error::Error;
use crate::filter::Program;
use crate::net::mac::Mac;
use crate::net::route::InterfaceId;

pub use self::send::FrameTo;
pub(crate) use self::show::Way;
pub use self::show::{Passage, Passing, Status};

/// `ETH_P_ALL`: frames of every type, and those that the stack sends.
pub const ALL: u16 = 3;
/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK`.
const ETHER: u16 = 1;
const LOOPBACK_HARDWARE: u16 = 772;

/// The packet endpoints of a stack.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    endpoints: Vec<EndpointId>,
    /// What they sent, which was shown to the others.
    sent: VecDeque<Transmit>,
}

impl Packets {
    /// Whether frames have to pass here.
    pub(crate) fn are_used(&self) -> bool {
        !self.endpoints.is_empty() || !self.sent.is_empty()
    }

    /// Whether nothing waits to be sent.
    pub(crate) fn are_flushed(&self) -> bool {
        self.sent.is_empty()
    }

    pub(crate) fn add(&mut self, id: EndpointId) {
        self.endpoints.push(id);
    }

    pub(crate) fn remove(&mut self, id: EndpointId) {
        self.endpoints.retain(|other| *other != id);
    }

    pub(crate) fn clear(&mut self) {
        self.endpoints.clear();
    }
}

/// Which frames an endpoint sees.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    interface: Option<InterfaceId>,
    protocol: u16,
    ignores_outgoing: bool,
    /// Each with the number of times that it was asked for.
    memberships: Vec<(LinkMembership, u32)>,
    statistics: Statistics,
}

/// What an endpoint is bound to: `sockaddr_ll` as getsockname(2) has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkBinding {
    /// The interface; `None` for all.
    pub interface: Option<InterfaceId>,
    /// The Ethernet type; 0 for none, 3 for all.
    pub protocol: u16,
    /// `ARPHRD_ETHER` and the like, of the interface.
    pub hardware: u16,
    /// Its station.
    pub station: Option<Mac>,
}

/// `PACKET_STATISTICS`: what was seen since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames, those that were dropped, too.
    pub packets: u32,
    /// Frames that there was no room for.
    pub drops: u32,
}

/// What an interface is to receive: `struct packet_mreq`. The links of a stack hand over whatever comes, so that it is only
/// remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkMembership {
    /// Index of the interface.
    pub interface: u32,
    /// `PACKET_MR_MULTICAST`, `PACKET_MR_PROMISC`, `PACKET_MR_ALLMULTI`.
    pub kind: u16,
    /// Bytes of the station's address.
    pub len: u16,
    /// The station.
    pub station: [u8; 8],
}

/// `PACKET_MR_MULTICAST` and `PACKET_MR_UNICAST`, whose addresses must have their whole length.
const OF_STATIONS: [u16; 2] = [0, 3];
const STATION_LEN: u16 = 6;

/// The kind of an interface.
fn hardware(interface: InterfaceId) -> u16 {
    if interface == InterfaceId::LOOPBACK { LOOPBACK_HARDWARE } else { ETHER }
}

impl Engine {
    /// Says which frames a packet endpoint sees, as bind(2): of one interface or of all, of one Ethernet type or
    /// of all and those that the stack sends ([`ALL`]); 0 leaves the type as it was, at first none.
    ///
    /// # Errors
    /// [`Error::NoInterface`], [`Error::NotSupported`] (no packet endpoint).
    pub fn bind_packet(
        &mut self,
        id: EndpointId,
        interface: Option<InterfaceId>,
        protocol: u16,
    ) -> Result<(), Error> {
        if interface.is_some_and(|interface| !self.has_interface(interface)) {
            return Err(Error::NoInterface);
        }
        let down = interface.is_some_and(|interface| !self.interfaces[interface.place()].is_running());
        let tap = self.tap_mut(id)?;
        tap.interface = interface;
        if protocol != 0 {
            tap.protocol = protocol;
        }
        if down {
            self.endpoint_mut(id)?.error = Some(Error::NetworkDown);
            self.notify(id);
        }
        Ok(())
    }

    /// Whoever sees one interface alone hears that it went down (`packet_notifier`).
    pub(crate) fn packets_down(&mut self, interface: InterfaceId) {
        let ids = self.packets.endpoints.clone();
        for id in ids {
            if self.tap(id).is_ok_and(|tap| tap.interface == Some(interface))
                && let Ok(endpoint) = self.endpoint_mut(id)
            {
                endpoint.error = Some(Error::NetworkDown);
                self.notify(id);
            }
        }
    }

    /// What it is bound to.
    ///
    /// # Errors
    /// [`Error::NotSupported`] (no packet endpoint).
    pub fn packet_binding(&self, id: EndpointId) -> Result<LinkBinding, Error> {
        let &Tap { interface, protocol, .. } = self.tap(id)?;
        let own = interface.and_then(|interface| self.interfaces.get(interface.0 as usize));
        Ok(LinkBinding {
            interface,
            protocol,
            hardware: own.and(interface).map_or(0, hardware),
            station: own.map(|own| own.mac),
        })
    }

    /// Asks an interface to receive more, or not to any longer: `PACKET_ADD_MEMBERSHIP`, `PACKET_DROP_MEMBERSHIP`.
    ///
    /// # Errors
    /// [`Error::NoInterface`], [`Error::Invalid`] (a station of another length), [`Error::NoBuffers`] (of 1024).
    pub fn change_link_membership(
        &mut self,
        id: EndpointId,
        wanted: LinkMembership,
        join: bool,
    ) -> Result<(), Error> {
        let known = self.has_interface(InterfaceId::new(wanted.interface));
        let tap = self.tap_mut(id)?;
        let at = tap.memberships.iter().position(|(held, _)| *held == wanted);
        if !join {
            // As Linux, which has nothing to say about one that was not asked for.
            let Some(at) = at else { return Ok(()) };
            tap.memberships[at].1 -= 1;
            if tap.memberships[at].1 == 0 {
                tap.memberships.remove(at);
            }
            return Ok(());
        }
        if !known {
            return Err(Error::NoInterface);
        }
        if wanted.len > STATION_LEN || (OF_STATIONS.contains(&wanted.kind) && wanted.len != STATION_LEN) {
            return Err(Error::Invalid);
        }
        match at {
            Some(at) => tap.memberships[at].1 += 1,
            None if tap.memberships.len() == MOST_MEMBERSHIPS => return Err(Error::NoBuffers),
            None => tap.memberships.push((wanted, 1)),
        }
        Ok(())
    }

    /// `PACKET_IGNORE_OUTGOING`: whether what the stack sends is left out.
    ///
    /// # Errors
    /// [`Error::NotSupported`] (no packet endpoint).
    pub fn ignore_outgoing(&mut self, id: EndpointId, ignore: bool) -> Result<(), Error> {
        self.tap_mut(id)?.ignores_outgoing = ignore;
        Ok(())
    }

    /// `PACKET_STATISTICS`, which begins anew.
    ///
    /// # Errors
    /// [`Error::NotSupported`] (no packet endpoint).
    pub fn take_statistics(&mut self, id: EndpointId) -> Result<Statistics, Error> {
        Ok(std::mem::take(&mut self.tap_mut(id)?.statistics))
    }

    /// Gives a raw or packet endpoint a program that says which packets it receives, or takes it away: `SO_ATTACH_FILTER` and
    /// `SO_DETACH_FILTER` of socket(7). Gives the one that it had.
    ///
    /// # Errors
    /// [`Error::NotSupported`] (another kind of endpoint).
    pub fn attach_filter(
        &mut self,
        id: EndpointId,
        program: Option<Program>,
    ) -> Result<Option<Program>, Error> {
        let endpoint = self.endpoint_mut(id)?;
        match &mut endpoint.role {
            Role::Datagram(datagram) if matches!(endpoint.kind, Kind::Raw(_) | Kind::Packet(_)) => {
                Ok(std::mem::replace(&mut datagram.filter, program))
            }
            _ => Err(Error::NotSupported),
        }
    }

    /// The program that says which packets an endpoint receives, if it has one.
    #[must_use]
    pub fn filter(&self, id: EndpointId) -> Option<&Program> {
        match &self.endpoint(id).ok()?.role {
            Role::Datagram(datagram) => datagram.filter.as_ref(),
            _ => None,
        }
    }

    fn tap(&self, id: EndpointId) -> Result<&Tap, Error> {
        match &self.endpoint(id)?.role {
            Role::Datagram(datagram) => datagram.tap.as_deref().ok_or(Error::NotSupported),
            _ => Err(Error::NotSupported),
        }
    }

    fn tap_mut(&mut self, id: EndpointId) -> Result<&mut Tap, Error> {
        match &mut self.endpoint_mut(id)?.role {
            Role::Datagram(datagram) => datagram.tap.as_deref_mut().ok_or(Error::NotSupported),
            _ => Err(Error::NotSupported),
        }
    }
}

/// What a kind sees of frames.
const fn framing(kind: Kind) -> Framing {
    match kind {
        Kind::Packet(framing) => framing,
        _ => Framing::Frames,
    }
}

/// So that nobody fills the memory with them.
const MOST_MEMBERSHIPS: usize = 1024;
