//! Addresses made from the prefixes that routers advertise: stateless autoconfiguration (RFC 4862 section 5.5), stable
//! identifiers (RFC 7217) and temporary addresses (RFC 8981).

use std::net::Ipv6Addr;
use std::time::Duration;

use super::advertisement::Lifetime;
use super::identifier;
use crate::engine::Engine;
use crate::engine::address::{Assignment, Origin, Standing};
use crate::net::cidr::Cidr;
use crate::net::route::InterfaceId;
use crate::time::Instant;

/// The addresses that an interface has from prefixes.
#[derive(Debug)]
pub(crate) struct Addresses {
    temporary: bool,
    stable: Vec<Stable>,
    temporaries: Vec<Temporary>,
}

#[derive(Clone, Copy, Debug)]
struct Stable {
    prefix: Cidr,
    address: Ipv6Addr,
    /// How many were somebody else's.
    counter: u8,
    preferred_until: Option<Instant>,
    valid_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Temporary {
    prefix: Cidr,
    address: Ipv6Addr,
    /// When the next one is made.
    renew: Option<Instant>,
    valid_until: Instant,
    /// So many before it were somebody else's.
    tries: u8,
}

impl Stable {
    /// How long it is valid and preferred yet.
    fn left(&self, now: Instant) -> (Lifetime, Lifetime) {
        let left = |until: Option<Instant>| until.map(|until| until - now);
        (left(self.valid_until), left(self.preferred_until))
    }
}

impl Addresses {
    pub(super) const fn are_temporary(&self) -> bool {
        self.temporary
    }

    pub(super) const fn new(temporary: bool) -> Self {
        Self { temporary, stable: Vec::new(), temporaries: Vec::new() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Ipv6Addr> {
        let temporaries = self.temporaries.iter().map(|known| known.address);
        self.stable.iter().map(|known| known.address).chain(temporaries)
    }

    /// When [`Engine::renew_temporary`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let renewals = self.temporaries.iter().filter_map(|known| known.renew);
        let ends = self.stable.iter().filter_map(|known| known.valid_until);
        renewals.chain(ends).chain(self.temporaries.iter().map(|known| known.valid_until)).min()
    }
}

impl Engine {
    /// RFC 4862 section 5.5.3.
    pub(super) fn hear_prefix(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        addresses: &mut Addresses,
        prefix: Cidr,
        (valid, preferred): (Lifetime, Lifetime),
    ) {
        // (c), and (d) for what is not 64 bits long.
        if !no_longer(preferred, valid) || prefix.prefix_len() != 64 {
            return;
        }
        if let Some(at) = addresses.stable.iter().position(|known| known.prefix == prefix) {
            let known = &mut addresses.stable[at];
            let left = known.valid_until.map(|until| until - now);
            known.valid_until = within_two_hours(valid, left).map(|time| now + time);
            known.preferred_until = preferred.map(|time| now + time);
            self.assign_stable(now, interface, *known);
        } else if valid.is_none_or(|time| !time.is_zero()) && addresses.stable.len() < MOST_PREFIXES {
            let Some(address) = self.stable_address(interface, prefix, 0) else { return };
            let known = Stable {
                prefix,
                address,
                counter: 0,
                preferred_until: preferred.map(|time| now + time),
                valid_until: valid.map(|time| now + time),
            };
            addresses.stable.push(known);
            self.assign_stable(now, interface, known);
        } else {
            return;
        }
        if addresses.temporary {
            self.hear_temporary(now, interface, addresses, prefix, (valid, preferred));
        }
    }

    fn stable_address(&self, interface: InterfaceId, prefix: Cidr, counter: u8) -> Option<Ipv6Addr> {
        let name = &self.interfaces[interface.0 as usize].name;
        identifier::stable(self.identity.as_ref().unwrap_or(&self.secret), prefix, name, counter)
    }

    fn assign_stable(&mut self, now: Instant, interface: InterfaceId, known: Stable) {
        let Some(cidr) = Cidr::new(known.address.into(), 64) else { return };
        let (valid, preferred) = known.left(now);
        let _ = self.assign(
            now,
            interface,
            Assignment {
                cidr,
                origin: Origin::Advertised,
                preferred,
                valid,
                // Whether the prefix is on the link is said apart.
                on_link: false,
            },
        );
    }

    /// RFC 8981 section 3.4: temporary addresses live as long as the prefix, but no longer than they may.
    fn hear_temporary(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        addresses: &mut Addresses,
        prefix: Cidr,
        lifetimes: (Lifetime, Lifetime),
    ) {
        if !addresses.temporaries.iter().any(|known| known.prefix == prefix) {
            self.make_temporary(now, interface, addresses, prefix, lifetimes, 0);
        }
    }

    fn make_temporary(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        addresses: &mut Addresses,
        prefix: Cidr,
        (valid, preferred): (Lifetime, Lifetime),
        tries: u8,
    ) {
        let draw = self.draw(now, prefix.address());
        // Section 3.8: so that hosts do not all change together.
        let desync = Duration::from_secs(draw % MAX_DESYNC_FACTOR.as_secs());
        let most = TEMP_PREFERRED_LIFETIME - desync;
        let preferred = preferred.map_or(most, |time| time.min(most));
        let valid = valid.map_or(TEMP_VALID_LIFETIME, |time| time.min(TEMP_VALID_LIFETIME));
        if preferred <= REGEN_ADVANCE || addresses.temporaries.len() >= MOST_TEMPORARIES {
            return;
        }
        let number = draw ^ u64::from(tries).rotate_right(8);
        let Some(address) = identifier::temporary(&self.secret, prefix, number) else { return };
        let Some(cidr) = Cidr::new(address.into(), 64) else { return };
        let assignment = Assignment {
            cidr,
            origin: Origin::Temporary,
            preferred: Some(preferred),
            valid: Some(valid),
            on_link: false,
        };
        if self.assign(now, interface, assignment).is_ok() {
            let renew = Some(now + (preferred - REGEN_ADVANCE));
            let valid_until = now + valid;
            addresses.temporaries.push(Temporary { prefix, address, renew, valid_until, tries });
        }
    }

    /// Replaces temporary addresses that grow old, and forgets what is over.
    pub(super) fn renew_temporary(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        addresses: &mut Addresses,
    ) {
        addresses.stable.retain(|known| known.valid_until.is_none_or(|until| until > now));
        addresses.temporaries.retain(|known| known.valid_until > now);
        let due = |known: &Temporary| known.renew.is_some_and(|at| at <= now);
        while let Some(at) = addresses.temporaries.iter().position(due) {
            addresses.temporaries[at].renew = None;
            let prefix = addresses.temporaries[at].prefix;
            let Some(stable) = addresses.stable.iter().find(|known| known.prefix == prefix) else { continue };
            let lifetimes = stable.left(now);
            self.make_temporary(now, interface, addresses, prefix, lifetimes, 0);
        }
    }

    /// An address made from a prefix is somebody else's: another one (RFC 7217 section 6, RFC 8981 section 3.4).
    pub(crate) fn replace_duplicate(&mut self, now: Instant, interface: InterfaceId, address: Ipv6Addr) {
        let own = self.interfaces.get_mut(interface.0 as usize);
        let Some(mut discovery) = own.and_then(|own| own.discovery.take()) else { return };
        let addresses = &mut discovery.addresses;
        if let Some(known) = addresses.stable.iter_mut().find(|known| known.address == address)
            && known.counter < IDGEN_RETRIES
        {
            known.counter += 1;
            if let Some(next) = self.stable_address(interface, known.prefix, known.counter) {
                known.address = next;
                let known = *known;
                let _ = self.remove_address(now, interface, address.into());
                self.assign_stable(now, interface, known);
            }
        } else if let Some(at) = addresses.temporaries.iter().position(|known| known.address == address) {
            let known = addresses.temporaries.remove(at);
            let stable = addresses.stable.iter().find(|stable| stable.prefix == known.prefix).copied();
            let _ = self.remove_address(now, interface, address.into());
            if let Some(stable) = stable.filter(|_| known.tries < IDGEN_RETRIES) {
                let lifetimes = stable.left(now);
                self.make_temporary(now, interface, addresses, known.prefix, lifetimes, known.tries + 1);
            }
        }
        self.interfaces[interface.0 as usize].discovery = Some(discovery);
    }

    /// Replaces those among the addresses of an interface that were found to be somebody else's.
    pub(crate) fn replace_duplicates(&mut self, now: Instant, interface: InterfaceId) {
        let Some(own) = self.interfaces.get(interface.0 as usize) else { return };
        let made = |origin| matches!(origin, Origin::Advertised | Origin::Temporary);
        let taken = own
            .addresses
            .iter()
            .filter(|known| made(known.origin) && known.standing() == Standing::Duplicate);
        let taken: Vec<_> = taken.map(crate::engine::address::Address::ip).collect();
        for address in taken {
            if let std::net::IpAddr::V6(address) = address {
                self.replace_duplicate(now, interface, address);
            }
        }
    }
}

/// Whether the preferred lifetime is no longer than the valid one.
fn no_longer(preferred: Lifetime, valid: Lifetime) -> bool {
    match (preferred, valid) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(preferred), Some(valid)) => preferred <= valid,
    }
}

/// RFC 4862 section 5.5.3 (e): nobody shortens what is left to less than two hours by saying so.
fn within_two_hours(said: Lifetime, left: Lifetime) -> Lifetime {
    match (said, left) {
        (None, _) => None,
        (Some(said), _) if said > TWO_HOURS => Some(said),
        (Some(said), Some(left)) if said > left => Some(said),
        (Some(_), Some(left)) if left <= TWO_HOURS => Some(left),
        _ => Some(TWO_HOURS),
    }
}

const TWO_HOURS: Duration = Duration::from_secs(7200);
/// RFC 8981 section 3.8.
const TEMP_VALID_LIFETIME: Duration = Duration::from_secs(2 * 86_400);
const TEMP_PREFERRED_LIFETIME: Duration = Duration::from_secs(86_400);
const MAX_DESYNC_FACTOR: Duration = Duration::from_secs(34_560);
/// 2 + (TEMP_IDGEN_RETRIES x DupAddrDetectTransmits x RetransTimer / 1000) s.
const REGEN_ADVANCE: Duration = Duration::from_secs(5);
/// RFC 7217 section 6, RFC 8981 section 3.8 (TEMP_IDGEN_RETRIES).
const IDGEN_RETRIES: u8 = 3;
/// `max_addresses` of Linux.
const MOST_PREFIXES: usize = 16;
const MOST_TEMPORARIES: usize = 32;
