//! What routers say of the link as a whole (RFC 4861 sections 6.3.2 and 6.3.4): hops, and the times of neighbour discovery.
//! And whether it is heard: routers configure themselves from nobody (RFC 4862 section 1), unless they were told to.

use std::net::IpAddr;
use std::time::Duration;

use super::advertisement::Advertisement;
use super::discovery::ALL_ROUTERS;
use crate::engine::Engine;
use crate::engine::output::Hop;
use crate::net::ip::DEFAULT_TTL;
use crate::net::neighbour::NeighbourTable;
use crate::net::route::InterfaceId;
use crate::time::Instant;

impl Engine {
    /// Whether an interface learns from routers while the stack forwards, too: `accept_ra` of Linux is 2 then, and 1 otherwise.
    pub fn learn_as_router(&mut self, interface: InterfaceId, learn: bool) {
        if let Some(own) = self.interfaces.get_mut(interface.0 as usize) {
            own.learns_as_router = learn;
        }
    }

    /// Whether what routers say on an interface counts now, if it listens to them.
    pub(super) fn learns(&self, interface: InterfaceId) -> bool {
        let own = self.interfaces.get(interface.0 as usize);
        own.is_some_and(|own| !self.forwarding || own.learns_as_router)
    }

    /// The hops of a packet about which nothing was said: what routers say for IPv6 (RFC 4861 section 6.3.4, CurHopLimit).
    pub(crate) fn usual_hops(&self, hop: Hop) -> u8 {
        let own = self.interfaces.get(hop.interface.0 as usize).filter(|_| hop.next.is_ipv6());
        own.and_then(|own| own.hop_limit).map_or(DEFAULT_TTL, Into::into)
    }

    pub(super) fn hear_parameters(&mut self, now: Instant, interface: InterfaceId, said: &Advertisement) {
        let draw = self.draw(now, IpAddr::V6(ALL_ROUTERS)) % 1000;
        let own = &mut self.interfaces[interface.0 as usize];
        if said.hop_limit.is_some() {
            own.hop_limit = said.hop_limit;
        }
        if let Some(reachable) = said.reachable {
            // Section 6.3.2: so many hosts do not ask for the same neighbour together.
            own.neighbours.set_reachable_time(reachable.mul_f64(0.5 + draw as f64 / 1000.0));
        }
        if let Some(time) = said.retransmission {
            own.neighbours.set_retransmission_time(time.clamp(SHORTEST, LONGEST));
        }
    }

    /// Everything is as it was before routers said anything.
    pub(super) fn forget_parameters(&mut self, interface: InterfaceId) {
        let Some(own) = self.interfaces.get_mut(interface.0 as usize) else { return };
        let fresh = NeighbourTable::new();
        own.hop_limit = None;
        own.neighbours.set_reachable_time(fresh.reachable_time());
        own.neighbours.set_retransmission_time(fresh.retransmission_time(IpAddr::V6(ALL_ROUTERS)));
    }
}

/// Between two questions for one neighbour, anybody on the link can say any time: as Linux, no flood; and nobody is
/// unreachable for hours before that is noticed.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60);
