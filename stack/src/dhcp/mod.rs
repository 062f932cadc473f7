//! Addresses and settings from servers: DHCP (RFC 2131, 2132) and DHCPv6 (RFC 8415).
//!
//! A client is a pure state machine: answers and the passing of time go in, messages to send and leases to use come out. The
//! engine carries these out (`lease4.rs`, `lease6.rs`).

mod chance;
mod client4;
mod client6;
mod lease4;
mod lease6;
mod message4;
mod message6;
mod retransmission;

use std::time::Duration;

pub(crate) use self::lease4::Leased4;
pub(crate) use self::lease6::Leased6;

use std::net::IpAddr;

use crate::engine::Engine;
use crate::net::route::InterfaceId;
use crate::time::Instant;

impl Engine {
    /// Gives back everything that servers lent, as before the end of the stack.
    pub fn release_leases(&mut self, now: Instant) {
        for index in 1..self.interfaces.len() {
            let interface = InterfaceId::at(index);
            self.stop_dhcp4(now, interface);
            self.stop_dhcp6(now, interface);
        }
    }

    /// The key that asked for a lease which is not there, its value, and what no server did.
    pub(crate) fn unleased(&self) -> Option<(&'static str, &'static str, String)> {
        if let Some(name) = self.unleased4() {
            return Some(("dhcp", "", format!("no DHCP server gave {name} an address that it can use")));
        }
        let (name, stateless) = self.unleased6()?;
        Some(if stateless {
            ("dhcp6", "stateless", format!("no DHCPv6 server answered {name}"))
        } else {
            ("dhcp6", "", format!("no DHCPv6 server gave {name} an address that it can use"))
        })
    }

    /// An address of an interface is somebody else's: if a server gave it, the server hears of that.
    pub(crate) fn decline(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) {
        match address {
            IpAddr::V4(_) => self.decline4(now, interface, address),
            IpAddr::V6(address) => self.decline6(now, interface, address),
        }
    }
}

/// How long something holds; `None` for ever.
type Lifetime = Option<Duration>;

/// All ones stand for ever, in both protocols (RFC 2131 section 3.3, RFC 8415 section 7.7).
const fn lifetime(seconds: u32) -> Lifetime {
    if seconds == u32::MAX { None } else { Some(Duration::from_secs(seconds as u64)) }
}

/// Whether a server may give this as a domain to look names up in: what goes into resolvers and files has to be a name.
fn is_domain(name: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_byte);
    // RFC 1035 section 2.3.4.
    name.len() <= 253 && name.split('.').all(is_label)
}

/// The names of a search list without their last dots; what is no name is left out.
fn domains(names: &[dhcproto::Name]) -> Vec<String> {
    let names = names.iter().take(MOST_ITEMS).map(|name| name.to_ascii().trim_end_matches('.').to_owned());
    names.filter(|name| is_domain(name)).collect()
}

/// Routes, name servers, domains, addresses that are believed at most.
const MOST_ITEMS: usize = 64;
