//! Ports: who has which, and which is free.
//!
//! The rules are those of Linux for `SO_REUSEADDR`. What a connection needs beyond them, that its four
//! addresses and ports are unique, the engine knows; it is asked.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use crate::error::Error;
use crate::net::route::InterfaceId;
use crate::tcp::isn::{Purpose, Secret};

/// The transports that have ports. Each has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo: the identifier is the port.
    Echo,
}

/// A local address and port of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The transport.
    pub protocol: Protocol,
    /// One address, `None` for all of the families that are set. An IPv4-mapped one is the IPv4 address.
    pub address: Option<IpAddr>,
    /// Without an address: whether it is for all IPv4 addresses.
    pub v4: bool,
    /// Without an address: whether it is for all IPv6 addresses. With both set it is dual-stack.
    pub v6: bool,
    /// The port; 0 asks for a free one.
    pub port: u16,
    /// `SO_REUSEADDR`.
    pub reuse: bool,
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// `SO_BINDTODEVICE`: those of different interfaces do not hear each other's packets, and may share a port.
    pub device: Option<InterfaceId>,
    /// `IP_LOCAL_PORT_RANGE`: the first and the last of the ports that it may have if it asks for any, each within the range
    /// of all; 0 for that of all.
    pub ports: (u16, u16),
}

/// Names one binding of one table. It is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingId(u64);

/// The ports of a stack.
#[derive(Debug)]
pub struct PortTable {
    owners: HashMap<BindingId, Owner>,
    ports: HashMap<(Protocol, u16), BTreeSet<BindingId>>,
    secret: Secret,
    range: RangeInclusive<u16>,
    /// RFC 6056 section 3.3.4: the counters `table[]` of the double-hash algorithm.
    counters: Box<[u16]>,
    bound: u64,
    next_id: u64,
}

#[derive(Debug)]
struct Owner {
    binding: Binding,
    listening: bool,
    /// Came with a connection, whose four addresses and ports are unique.
    connection: bool,
}

impl Binding {
    /// All addresses of both families.
    #[must_use]
    pub const fn dual(protocol: Protocol, port: u16) -> Self {
        Self {
            protocol,
            address: None,
            v4: true,
            v6: true,
            port,
            reuse: false,
            reuse_port: false,
            device: None,
            ports: (0, 0),
        }
    }

    /// One address or, if it is unspecified, all of its family.
    #[must_use]
    pub fn at(protocol: Protocol, local: SocketAddr) -> Self {
        let ip = local.ip().to_canonical();
        Self {
            protocol,
            address: (!ip.is_unspecified()).then_some(ip),
            v4: ip.is_ipv4(),
            v6: ip.is_ipv6(),
            port: local.port(),
            reuse: false,
            reuse_port: false,
            device: None,
            ports: (0, 0),
        }
    }

    /// The same with `SO_REUSEADDR` as given.
    #[must_use]
    pub const fn reuse(self, reuse: bool) -> Self {
        Self { reuse, ..self }
    }

    /// The same with `SO_REUSEPORT` as given.
    #[must_use]
    pub const fn reuse_port(self, reuse_port: bool) -> Self {
        Self { reuse_port, ..self }
    }

    /// The same on one interface.
    #[must_use]
    pub const fn on(self, device: Option<InterfaceId>) -> Self {
        Self { device, ..self }
    }

    /// The same with a range of ports of its own.
    #[must_use]
    pub const fn within(self, ports: (u16, u16)) -> Self {
        Self { ports, ..self }
    }

    /// The families it is for: of its address, if it has one.
    const fn families(&self) -> (bool, bool) {
        match self.address {
            Some(address) => (address.is_ipv4(), address.is_ipv6()),
            None => (self.v4, self.v6),
        }
    }

    /// Whether a packet to this port could be for both.
    fn overlaps(&self, other: &Self) -> bool {
        if let (Some(own), Some(their)) = (self.device, other.device)
            && own != their
        {
            return false;
        }
        match (self.address, other.address) {
            (Some(own), Some(their)) => own == their,
            _ => {
                let ((v4, v6), (other_v4, other_v6)) = (self.families(), other.families());
                v4 && other_v4 || v6 && other_v6
            }
        }
    }
}

impl PortTable {
    /// An empty table. `secret` hides which ports come next.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        // RFC 6056 section 3.3.4: the counters start at random values.
        let start = |index| secret.hash(Purpose::ConnectCounter, &[], index) as u16;
        Self {
            owners: HashMap::new(),
            ports: HashMap::new(),
            secret,
            range: EPHEMERAL,
            counters: (0..COUNTERS).map(start).collect(),
            bound: 0,
            next_id: 0,
        }
    }

    /// Sets the ports that are given to those who ask for any, as `net.ipv4.ip_local_port_range` does;
    /// 32768 to 60999 by default. Port 0 is left out.
    pub fn set_ephemeral_range(&mut self, range: RangeInclusive<u16>) {
        self.range = (*range.start()).max(1)..=*range.end();
    }

    /// Takes a port, or any free one for port 0 (`bind(2)`).
    ///
    /// # Errors
    /// - [`Error::AddressInUse`] when somebody else has an overlapping address on the port, unless both
    ///   have `SO_REUSEPORT`, or both have `SO_REUSEADDR` and, for TCP, the other is not listening; and when
    ///   no port is free.
    /// - [`Error::Invalid`] when it is for no address at all.
    pub fn bind(&mut self, binding: Binding) -> Result<BindingId, Error> {
        let mut binding = checked(binding)?;
        if binding.port != 0 {
            let free = self.owners_of(&binding).all(|owner| !owner.conflicts_with(&binding));
            return if free { Ok(self.insert(binding, false)) } else { Err(Error::AddressInUse) };
        }
        // RFC 6056 section 3.3.2, random, as a keyed hash of a counter. Here, unlike in connect, nothing
        // says who the peer will be, and a counter would let one guess the port of the next DNS query.
        self.bound += 1;
        let start = self.secret.hash(Purpose::BindPort, &[], self.bound);
        binding.port = scan(&self.range_of(&binding), start, |port| {
            // SO_REUSEADDR is for those who ask for a port by number, as in Linux.
            let candidate = Binding { port, ..binding };
            self.owners_of(&candidate).all(|owner| !owner.binding.overlaps(&candidate))
        })
        .ok_or(Error::AddressInUse)?;
        Ok(self.insert(binding, false))
    }

    /// Takes a port for a connection to `remote` from an endpoint that is not bound (`connect(2)`).
    /// The port in `binding` does not count. Connections to different peers may get the same port;
    /// `in_use` says of a port whether the connection from it exists already, or waits in TIME-WAIT.
    ///
    /// # Errors
    /// - [`Error::AddressNotAvailable`] when no port is left.
    /// - [`Error::Invalid`] when the binding has no address: the engine chose one by the route.
    pub fn connect(
        &mut self,
        binding: Binding,
        remote: SocketAddr,
        mut in_use: impl FnMut(u16) -> bool,
    ) -> Result<BindingId, Error> {
        let mut binding = checked(binding)?;
        let local = SocketAddr::new(binding.address.ok_or(Error::Invalid)?, 0);
        // RFC 6056 section 3.3.4, double-hash: ports to one peer follow each other, so that one is not
        // soon used again, and tell nothing about those to another.
        let offset = self.secret.hash(Purpose::ConnectPort, &[local, remote], 0);
        let index = self.secret.hash(Purpose::ConnectCounter, &[local, remote], 0) % COUNTERS;
        let counter = self.counters[index as usize];
        let start = (offset >> 1) + u64::from(counter);
        let mut tried = 0u16;
        let port = scan(&self.range_of(&binding), start, |port| {
            tried = tried.wrapping_add(1);
            let candidate = Binding { port, ..binding };
            let taken = |owner: &Owner| !owner.connection && owner.binding.overlaps(&candidate);
            !self.owners_of(&candidate).any(taken) && !in_use(port)
        });
        self.counters[index as usize] = counter.wrapping_add(tried);
        binding.port = port.ok_or(Error::AddressNotAvailable)?;
        Ok(self.insert(binding, true))
    }

    /// Takes the port of `listener` for a connection that it accepted at the address `local`. As in
    /// Linux, the port stays taken when the listener goes, until the connections are gone too.
    ///
    /// # Errors
    /// [`Error::BadEndpoint`] when there is no such binding.
    pub fn accept(&mut self, listener: BindingId, local: IpAddr) -> Result<BindingId, Error> {
        let owner = self.owners.get(&listener).ok_or(Error::BadEndpoint)?;
        let binding = Binding { address: Some(local.to_canonical()), ..owner.binding };
        Ok(self.insert(binding, true))
    }

    /// Lets nobody else listen there (`listen(2)`). Again for one that listens changes nothing.
    ///
    /// # Errors
    /// - [`Error::AddressInUse`] when somebody with an overlapping address listens on the port, unless both
    ///   have `SO_REUSEPORT`, or one of the two has no `SO_REUSEADDR` any more.
    /// - [`Error::BadEndpoint`] when there is no such binding.
    pub fn set_listening(&mut self, id: BindingId) -> Result<(), Error> {
        let owner = self.owners.get(&id).ok_or(Error::BadEndpoint)?;
        if owner.listening {
            return Ok(());
        }
        let binding = owner.binding;
        let others = self.ids_of(&binding).filter(|other| *other != id);
        if others.filter_map(|id| self.owners.get(&id)).any(|other| other.conflicts_with(&binding)) {
            return Err(Error::AddressInUse);
        }
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.listening = true;
        }
        Ok(())
    }

    /// It does not listen any more but keeps the port (`shutdown(2)` of a listener).
    pub fn clear_listening(&mut self, id: BindingId) {
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.listening = false;
        }
    }

    /// Changes `SO_REUSEADDR` of a bound endpoint. It counts from the next bind or listen on.
    pub fn set_reuse(&mut self, id: BindingId, reuse: bool) {
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.binding.reuse = reuse;
        }
    }

    /// The same for `SO_REUSEPORT`.
    pub fn set_reuse_port(&mut self, id: BindingId, reuse_port: bool) {
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.binding.reuse_port = reuse_port;
        }
    }

    /// The same for `SO_BINDTODEVICE`.
    pub fn set_device(&mut self, id: BindingId, device: Option<InterfaceId>) {
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.binding.device = device;
        }
    }

    /// Gives a port back. Nothing happens if that was done before.
    pub fn release(&mut self, id: BindingId) {
        let Some(owner) = self.owners.remove(&id) else { return };
        let key = (owner.binding.protocol, owner.binding.port);
        if let Some(ids) = self.ports.get_mut(&key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.ports.remove(&key);
            }
        }
    }

    /// What was bound, with the port that was chosen.
    #[must_use]
    pub fn binding(&self, id: BindingId) -> Option<&Binding> {
        self.owners.get(&id).map(|owner| &owner.binding)
    }

    /// The ports that it may get; as Linux (`inet_sk_get_local_port_range`), a bound of its own counts within those of all.
    fn range_of(&self, binding: &Binding) -> RangeInclusive<u16> {
        let (first, last) = binding.ports;
        let own = |bound: u16, usual: u16| if self.range.contains(&bound) { bound } else { usual };
        own(first, *self.range.start())..=own(last, *self.range.end())
    }

    fn insert(&mut self, binding: Binding, connection: bool) -> BindingId {
        self.next_id += 1;
        let id = BindingId(self.next_id);
        self.owners.insert(id, Owner { binding, listening: false, connection });
        self.ports.entry((binding.protocol, binding.port)).or_default().insert(id);
        id
    }

    fn ids_of(&self, binding: &Binding) -> impl Iterator<Item = BindingId> {
        self.ports.get(&(binding.protocol, binding.port)).into_iter().flatten().copied()
    }

    /// Those that have the same port of the same protocol, whatever their addresses.
    fn owners_of(&self, binding: &Binding) -> impl Iterator<Item = &Owner> {
        self.ids_of(binding).filter_map(|id| self.owners.get(&id))
    }
}

impl Owner {
    /// Whether a bind or listen of `binding`, on the same port, fails because of this one: Linux
    /// `inet_bind_conflict` and `inet_rcv_saddr_equal`.
    fn conflicts_with(&self, binding: &Binding) -> bool {
        // A UDP endpoint never listens.
        let shared = self.binding.reuse_port && binding.reuse_port;
        let reused = self.binding.reuse && binding.reuse && !self.listening;
        self.binding.overlaps(binding) && !(shared || reused)
    }
}

/// The binding in its canonical form.
fn checked(binding: Binding) -> Result<Binding, Error> {
    let address = binding.address.map(|address| address.to_canonical());
    match address {
        Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Err(Error::Invalid),
        None if !binding.v4 && !binding.v6 => Err(Error::Invalid),
        _ => Ok(Binding { address, ..binding }),
    }
}

/// The first port from `start` on, round the range once, that `free` takes.
fn scan(range: &RangeInclusive<u16>, start: u64, mut free: impl FnMut(u16) -> bool) -> Option<u16> {
    let count = range.len() as u64;
    (0..count).find_map(|step| {
        let port = range.start() + ((start % count + step) % count) as u16;
        free(port).then_some(port)
    })
}

/// As in Linux, `net.ipv4.ip_local_port_range`; within what RFC 6056 section 3.2 allows.
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;
/// RFC 6056 section 3.3.4: TABLE_LENGTH. The more, the fewer peers share a counter and see each other's
/// connections in it; a counter is two bytes.
const COUNTERS: u64 = 1024;
