//! The engine: one TCP/IP stack as a pure state machine. No I/O, no clock, no threads.
//!
//! What arrives goes in through [`Engine::handle_frame`], the passing of time through
//! [`Engine::handle_timeout`]; frames to send come out of [`Engine::poll_transmit`], endpoints whose state
//! changed out of [`Engine::poll_event`], and [`Engine::poll_timeout`] says when time matters next.

pub(crate) mod address;
mod anycast;
pub(crate) mod calls;
pub(crate) mod configuration;
pub(crate) mod counters;
mod destination;
pub(crate) mod endpoint;
pub mod error_queue;
mod forward;
mod fragments;
mod input;
pub(crate) mod interface;
pub mod ip_options;
mod link_state;
pub(crate) mod output;
pub(crate) mod report;
pub mod snapshot;
mod status;
pub(crate) mod super_frames;
mod timer;
mod transfer;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use slotmap::SlotMap;

use self::address::Address;
pub use self::counters::{Counters, IcmpCounters};
use self::endpoint::{EndpointId, Family, Kind, Options};
pub use self::interface::InterfaceSettings;
use self::interface::{Interface, LOOPBACK_MTU};
use self::ip_options::MtuDiscovery;
use self::timer::Timers;
use crate::datagram::Datagram;
use crate::error::Error;
use crate::link::Frame;
use crate::multicast::Multicast;
use crate::net::cidr::Cidr;
use crate::net::identification::Identifications;
use crate::net::mac::Mac;
use crate::net::neighbour::Action;
use crate::net::pmtu::PathMtus;
use crate::net::reassembly::{self, Reassembly};
use crate::net::redirect::Redirects;
use crate::net::route::{InterfaceId, RouteTable};
use crate::packet::Packets;
use crate::ports::{BindingId, PortTable};
use crate::tcp::adapter::Adapter;
use crate::tcp::connection::{Connection, Tuple};
use crate::tcp::isn::Secret;
use crate::tcp::listener::Listener;
use crate::tcp::time_wait::TimeWait;
use crate::time::Instant;

/// A frame on its way out.
#[derive(Debug)]
pub struct Transmit {
    /// The interface whose link carries it.
    pub interface: InterfaceId,
    /// The frame.
    pub frame: Frame,
}

/// One TCP/IP stack.
#[derive(Debug)]
pub struct Engine {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) routes: RouteTable,
    /// Changes whenever a route or an address does: cached hops are then looked up again.
    pub(crate) routes_version: u64,
    /// Endpoints that have an event when the configuration changes.
    watchers: Vec<EndpointId>,
    resolvers: configuration::Resolvers,
    /// What stable addresses follow from, if the user says so.
    pub(crate) identity: Option<Secret>,
    /// What DHCP servers are told as the name of the host.
    pub(crate) host_name: Option<String>,
    pub(crate) path_mtus: PathMtus,
    /// What was said of datagrams, which is forged more easily: of no account for connections.
    pub(crate) datagram_mtus: PathMtus,
    pub(crate) endpoints: SlotMap<EndpointId, Endpoint>,
    pub(crate) adapter: Adapter,
    pub(crate) connections: HashMap<Tuple, EndpointId>,
    pub(crate) listeners: HashMap<u16, Vec<EndpointId>>,
    pub(crate) time_wait: TimeWait,
    pub(crate) datagrams: HashMap<(u8, u16), Vec<EndpointId>>,
    /// Raw endpoints, by protocol.
    pub(crate) raw: HashMap<u8, Vec<EndpointId>>,
    /// Those that see frames.
    pub(crate) packets: Packets,
    pub(crate) ports: PortTable,
    pub(crate) secret: Secret,
    pub(crate) timers: Timers,
    /// Connections that may have something to send.
    pub(crate) transmit: VecDeque<EndpointId>,
    /// Frames for the links.
    pub(crate) out: VecDeque<Transmit>,
    /// Frames from this stack to itself.
    pub(crate) local: VecDeque<Frame>,
    pub(crate) events: VecDeque<EndpointId>,
    pub(crate) icmp_limit: crate::net::icmp_limit::Limits,
    /// Whether each host has few ICMP errors, too; see [`limit_icmp_errors`](Self::limit_icmp_errors).
    pub(crate) limits_icmp_by_host: bool,
    /// IPv4, IPv6.
    reassembly: [Reassembly; 2],
    identifications: Identifications,
    /// Whether packets for others are forwarded.
    pub(crate) forwarding: bool,
    pub(crate) redirects: Redirects,
    pub(crate) multicast: Multicast,
    pub(crate) counters: Counters,
    /// Whether TCP offers timestamps.
    pub(crate) timestamps: bool,
    /// Set when the stack was shut down: every call on an endpoint says so.
    pub(crate) down: bool,
}

/// What an endpoint is besides its protocol's part.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) kind: Kind,
    pub(crate) family: Family,
    pub(crate) options: Options,
    pub(crate) binding: Option<BindingId>,
    /// The address of bind(2).
    pub(crate) bound: Option<(IpAddr, u16)>,
    /// Its port was not asked for: after a connect that failed it may be bound anew, as on Linux.
    pub(crate) any_port: bool,
    pub(crate) error: Option<Error>,
    /// Whether an event waits to be polled.
    pub(crate) notified: bool,
    pub(crate) role: Role,
}

impl Endpoint {
    /// Whether it has no mapped addresses: raw ones of IPv6 never have.
    pub(crate) const fn is_v6_only(&self) -> bool {
        self.options.v6_only || matches!(self.kind, Kind::Raw(_))
    }
}

/// The protocol's part of an endpoint.
#[derive(Debug)]
pub(crate) enum Role {
    /// A stream socket that neither listens nor connects.
    Fresh,
    Listener(Listener),
    Connection(Box<Connection>),
    Datagram(Box<Datagram>),
}

impl Engine {
    /// A stack with a loopback interface only. `secret` keys its sequence numbers and ports.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let loopback = [(IpAddr::from(Ipv4Addr::LOCALHOST), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
        let addresses = loopback.into_iter().filter_map(|(address, len)| Cidr::new(address, len));
        let loopback = Interface {
            addresses: addresses.map(Address::permanent).collect(),
            ..Interface::new(InterfaceSettings {
                name: "lo".to_owned(),
                mac: Mac::new([0; 6]),
                mtu: LOOPBACK_MTU,
                offload: true,
            })
        };
        Self {
            interfaces: vec![loopback],
            routes: RouteTable::new(),
            routes_version: 0,
            watchers: Vec::new(),
            resolvers: configuration::Resolvers::default(),
            identity: None,
            host_name: None,
            path_mtus: PathMtus::default(),
            datagram_mtus: PathMtus::default(),
            endpoints: SlotMap::default(),
            adapter: Adapter::default(),
            connections: HashMap::new(),
            listeners: HashMap::new(),
            time_wait: TimeWait::default(),
            datagrams: HashMap::new(),
            raw: HashMap::new(),
            packets: Packets::default(),
            ports: PortTable::new(secret),
            secret,
            timers: Timers::default(),
            transmit: VecDeque::new(),
            out: VecDeque::new(),
            local: VecDeque::new(),
            events: VecDeque::new(),
            icmp_limit: crate::net::icmp_limit::Limits::default(),
            limits_icmp_by_host: true,
            reassembly: [reassembly::LIFETIME_V4, reassembly::LIFETIME_V6].map(Reassembly::new),
            identifications: Identifications::default(),
            forwarding: false,
            redirects: Redirects::default(),
            multicast: Multicast::default(),
            counters: Counters::default(),
            timestamps: true,
            down: false,
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Lets time pass: timers of connections, neighbours and fragments that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, id)) = self.timers.pop_expired(now) {
            if let Some(connection) = self.connection_mut(id)
                && connection.deadline == Some(at)
            {
                connection.deadline = None;
                self.want_transmit(id);
            }
        }
        self.time_wait.handle_timeout(now);
        self.release_ports();
        self.expire_fragments(now);
        self.expire_addresses(now);
        self.continue_tests(now);
        self.continue_discovery(now);
        self.continue_multicast(now);
        self.continue_dhcp4(now);
        self.continue_dhcp6(now);
        for index in 0..self.interfaces.len() {
            if self.interfaces[index].neighbours.poll_timeout().is_some_and(|at| at <= now) {
                self.interfaces[index].neighbours.handle_timeout(now);
                self.act_on_neighbours(now, index);
            }
        }
    }

    /// Does what the neighbour table of an interface asks for.
    fn act_on_neighbours(&mut self, now: Instant, index: usize) {
        let id = InterfaceId::at(index);
        while let Some(action) = self.interfaces[index].neighbours.poll_action() {
            match action {
                Action::Solicit { ip, target } => self.solicit(now, id, ip, target),
                Action::Failed { ip, frames } => {
                    self.suspect_router(id, ip);
                    self.forget_redirects(ip);
                    for frame in frames {
                        self.give_up(now, frame);
                    }
                }
            }
        }
    }

    /// The next frame to send, `None` when there is nothing more for now.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        loop {
            if self.packets.are_used()
                && let Some(transmit) = self.poll_shown(now)
            {
                return Some(transmit);
            }
            if let Some(transmit) = self.out.pop_front() {
                return Some(transmit);
            }
            if let Some(frame) = self.local.pop_front() {
                self.handle_local(now, &frame);
                continue;
            }
            if let Some((interface, frame)) = self.multicast.looped.pop_front() {
                self.handle_looped(now, interface, &frame);
                continue;
            }
            let id = self.transmit.pop_front()?;
            if self.transmit_from(now, id) {
                self.transmit.push_back(id);
            }
        }
    }

    /// Whether connections that are made later offer timestamps (RFC 7323 section 3.2): `tcp_timestamps` of tcp(7), on unless
    /// this says otherwise. They take 12 bytes of each segment.
    pub const fn set_timestamps(&mut self, on: bool) {
        self.timestamps = on;
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, `None` if nothing depends on time.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let neighbours = self.interfaces.iter().filter_map(|interface| interface.neighbours.poll_timeout());
        let fragments = self.reassembly.iter().filter_map(Reassembly::poll_timeout);
        let addresses = self.interfaces.iter().filter_map(|interface| interface.address_deadline);
        let times = neighbours
            .chain(addresses)
            .chain(self.discovery_deadline())
            .chain(self.multicast.poll_timeout())
            .chain(self.dhcp4_deadline())
            .chain(self.dhcp6_deadline())
            .chain(fragments)
            .chain(self.timers.next());
        times.chain(self.time_wait.poll_timeout()).min()
    }

    /// The next endpoint whose readiness may have changed.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<EndpointId> {
        if !self.watchers.is_empty() {
            self.notice_neighbours();
        }
        let id = self.events.pop_front()?;
        if let Some(endpoint) = self.endpoints.get_mut(id) {
            endpoint.notified = false;
        }
        Some(id)
    }

    /// Whether [`poll_event`](Self::poll_event) has something.
    pub(crate) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// Notes that the readiness of an endpoint may have changed.
    pub(crate) fn notify(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id)
            && !endpoint.notified
        {
            endpoint.notified = true;
            self.events.push_back(id);
        }
    }

    /// Puts a connection on the transmit list.
    pub(crate) fn want_transmit(&mut self, id: EndpointId) {
        self.list(id, false);
    }

    /// The same, where nothing but new data is to be sent.
    pub(crate) fn want_transmit_data(&mut self, id: EndpointId) {
        self.list(id, true);
    }

    fn list(&mut self, id: EndpointId, only_data: bool) {
        if let Some(connection) = self.connection_mut(id) {
            let listed = connection.listed;
            connection.ask(only_data);
            if !listed {
                self.transmit.push_back(id);
            }
        }
    }

    pub(crate) fn connection_mut(&mut self, id: EndpointId) -> Option<&mut Connection> {
        match &mut self.endpoints.get_mut(id)?.role {
            Role::Connection(connection) => Some(connection),
            _ => None,
        }
    }

    pub(crate) fn connection(&self, id: EndpointId) -> Option<&Connection> {
        match &self.endpoints.get(id)?.role {
            Role::Connection(connection) => Some(connection),
            _ => None,
        }
    }

    /// Whether no connection has anything left to send or to have acknowledged, and no frame waits.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.out.is_empty()
            && self.packets.are_flushed()
            && self.local.is_empty()
            && self.multicast.looped.is_empty()
            && self.endpoints.values().all(|endpoint| match &endpoint.role {
                Role::Connection(connection) => connection.is_flushed(),
                _ => true,
            })
    }

    /// Whether the engine still finishes connections whose application is gone.
    #[must_use]
    pub fn has_orphans(&self) -> bool {
        self.endpoints.values().any(|endpoint| match &endpoint.role {
            Role::Connection(connection) => connection.orphan && !connection.is_flushed(),
            _ => false,
        })
    }

    /// Closes every connection and listener, as the end of the process that owns them does.
    pub fn close_all(&mut self, now: Instant) {
        let ids: Vec<_> = self.endpoints.keys().collect();
        for id in ids {
            if self.connection(id).is_none_or(|connection| !connection.orphan) {
                self.close(now, id);
            }
        }
    }

    /// Notes that a link did not take a frame.
    pub(crate) const fn count_lost(&mut self) {
        self.counters.frames_lost += 1;
    }

    /// Notes that the link of an interface is gone.
    pub(crate) fn lose_link(&mut self, interface: InterfaceId) {
        if let Some(interface) = self.interfaces.get_mut(interface.0 as usize) {
            interface.up = false;
        }
    }

    /// Ends the stack: connections are reset, and every further call on an endpoint fails with
    /// [`Error::NetworkDown`].
    pub fn shut_down(&mut self) {
        self.down = true;
        // Nobody hears new connections and datagrams any more.
        self.listeners.clear();
        self.datagrams.clear();
        self.raw.clear();
        self.packets.clear();
        let ids: Vec<_> = self.endpoints.keys().collect();
        for id in ids {
            if let Some(connection) = self.connection_mut(id) {
                connection.abort(Some(Error::NetworkDown));
                self.want_transmit(id);
            }
            self.notify(id);
        }
    }
}
