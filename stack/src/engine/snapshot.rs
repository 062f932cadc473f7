//! A stack at one moment, as plain data: everything that `ip`, `ss` and `/proc/net/snmp` show of the kernel's.
//!
//! [`Engine::snapshot`] makes one and changes nothing. Its [`Display`](std::fmt::Display) prints it as those tools do.

mod counters;
mod print;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use super::address::{Origin, Standing};
use super::endpoint::{EndpointId, Family, Kind};
use super::interface::LOOPBACK;
pub use super::interface::Traffic;
use super::{Counters, Endpoint, Engine, Role};
use crate::net::cidr::Cidr;
use crate::net::mac::Mac;
use crate::net::neighbour;
use crate::net::route::{InterfaceId, RouteKind};
use crate::packet::LinkBinding;
use crate::tcp::recovery::CongestionControl;
use crate::time::Instant;

/// A stack at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Name of the stack; empty for an engine that is run without one.
    pub name: String,
    /// The moment, by the clock of the stack.
    pub at: Instant,
    /// Its interfaces, in the order of their indices; loopback is the first. As `ip -br link`.
    pub interfaces: Vec<Interface>,
    /// Their addresses, in the order in which they were given. As `ip address`.
    pub addresses: Vec<Address>,
    /// The routes, those that are preferred first (RFC 1812 section 5.2.4.3). As `ip route` and `ip -6 route`.
    pub routes: Vec<Route>,
    /// Who is known on the links, by interface and address. As `ip neighbour`.
    pub neighbours: Vec<Neighbour>,
    /// The groups of which somebody is a member, by interface and group. As `ip maddress`.
    pub groups: Vec<Group>,
    /// Sockets, connections that outlive theirs, and what is left of connections; by kind and addresses. As `ss -tuain`.
    pub sockets: Vec<Socket>,
    /// What was counted since the stack was made. As `/proc/net/snmp`.
    pub counters: Counters,
}

/// An interface, as ip-link(8) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// Its index; loopback has 0.
    pub index: InterfaceId,
    /// Its name.
    pub name: String,
    /// Its Ethernet address; zeros for loopback.
    pub mac: Mac,
    /// Largest IP packet in bytes that is not a super-frame.
    pub mtu: u16,
    /// Whether its link takes super-frames and unfinished checksums.
    pub offload: bool,
    /// False when its link is gone, it was set down or the stack was shut down.
    pub up: bool,
    /// False when it was set down.
    pub enabled: bool,
    /// What went over it.
    pub traffic: Traffic,
}

/// An address of an interface, as ip-address(8) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Address {
    /// The interface that has it.
    pub interface: InterfaceId,
    /// The address and the length of its prefix.
    pub cidr: Cidr,
    /// The broadcast address of its network (`brd`), if that has one.
    pub broadcast: Option<Ipv4Addr>,
    /// Who gave it.
    pub origin: Origin,
    /// What it may be used for.
    pub standing: Standing,
    /// How long it is preferred yet (`preferred_lft`), `None` for ever.
    pub preferred_for: Option<Duration>,
    /// How long it is valid yet (`valid_lft`), `None` for ever.
    pub valid_for: Option<Duration>,
}

/// A route, as ip-route(8) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// Where it leads.
    pub destination: Cidr,
    /// Who forwards; `None` for what is on the link.
    pub gateway: Option<IpAddr>,
    /// The interface that reaches it.
    pub interface: InterfaceId,
    /// The address that packets leave with unless their socket is bound to another (RFC 6724 section 5).
    pub source: Option<IpAddr>,
    /// Among prefixes of equal length, the lower is preferred.
    pub metric: u32,
    /// What becomes of packets.
    pub kind: RouteKind,
}

/// A neighbour, as ip-neighbour(8) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Neighbour {
    /// The interface whose link it is on.
    pub interface: InterfaceId,
    /// Its address.
    pub address: IpAddr,
    /// Its link-layer address, unless it is being asked for.
    pub mac: Option<Mac>,
    /// Its state by RFC 4861 section 7.3.2, for ARP, too. One that does not answer is shown (FAILED) for a minute.
    pub state: neighbour::State,
    /// Frames that wait for it.
    pub waiting: usize,
}

/// A group that is heard on an interface, as ip-maddress(8) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Group {
    /// The interface on which it is heard.
    pub interface: InterfaceId,
    /// Its address.
    pub group: IpAddr,
    /// How many are members: endpoints, and the stack itself.
    pub users: usize,
}

/// A socket, or what is left of one, as ss(8) shows it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Socket {
    /// Its endpoint; `None` for a record of TIME-WAIT.
    pub id: Option<EndpointId>,
    /// Its kind.
    pub kind: Kind,
    /// Its family.
    pub family: Family,
    /// Whether IPv4 is left out of an IPv6 wildcard (`IPV6_V6ONLY`, ipv6(7)), which `ss` shows as `[::]` and otherwise as `*`.
    pub v6_only: bool,
    /// Its state.
    pub state: State,
    /// Its own address, as getsockname(2): the wildcard and port 0 where it has none.
    pub local: SocketAddr,
    /// The peer's address, if it has a peer.
    pub remote: Option<SocketAddr>,
    /// Bytes that wait in the engine for the application (`Recv-Q`). With a descriptor, those that are in its pair
    /// already do not count.
    pub recv_queue: usize,
    /// Bytes that the application sent and the peer has not acknowledged (`Send-Q`).
    pub send_queue: usize,
    /// For a listener, who waits.
    pub listening: Option<Listening>,
    /// For a packet socket, which frames it sees: packet(7).
    pub packet: Option<LinkBinding>,
    /// For a TCP connection, what it knows about its path.
    pub tcp: Option<Tcp>,
    /// For a record of TIME-WAIT, how long it stays yet (RFC 9293 section 3.6.1).
    pub expires_in: Option<Duration>,
}

/// The queues of a listener, listen(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listening {
    /// Connections to be accepted (`Recv-Q`). With a descriptor, those that are in its pair already do not count.
    pub accept_queue: usize,
    /// How many may wait; one more is let in, as on Linux (`Send-Q`).
    pub backlog: usize,
    /// Handshakes under way.
    pub handshakes: usize,
}

/// What a TCP connection knows about its path, as `ss -i` and `TCP_INFO` of tcp(7) show it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tcp {
    /// How it shares its path with others.
    pub congestion_control: CongestionControl,
    /// Bytes that may be under way (`cwnd`, which `ss` shows in segments; RFC 5681 section 2).
    pub congestion_window: usize,
    /// Bytes of data in a full segment (`mss`).
    pub segment_size: usize,
    /// Largest IP packet in bytes that fits the path, as far as that is known (`pmtu`).
    pub path_mtu: u16,
    /// The smoothed round trip (SRTT of RFC 6298), if one was measured.
    pub round_trip: Option<Duration>,
    /// Its variation (RTTVAR of RFC 6298).
    pub round_trip_variation: Option<Duration>,
    /// The shortest round trip of the last five minutes (`minrtt`).
    pub shortest_round_trip: Option<Duration>,
    /// How long an acknowledgement is waited for (`rto`; RFC 6298).
    pub retransmission_timeout: Duration,
    /// Whether every segment has a timestamp (`ts`; RFC 7323), which takes 12 bytes of it.
    pub timestamps: bool,
    /// Bytes that were sent and neither acknowledged nor taken for lost.
    pub under_way: usize,
    /// Bytes that the peer has acknowledged (`bytes_acked`).
    pub acknowledged: u64,
    /// Bytes that were sent, each counted once.
    pub sent: u64,
    /// Bytes that the application wrote and that were not sent yet (`notsent`).
    pub unsent: u64,
    /// Segments that were sent again (`retrans`).
    pub retransmissions: u64,
    /// Bytes that were sent again (`bytes_retrans`).
    pub retransmitted: u64,
    /// Timeouts in a row (`backoff`).
    pub timeouts: u32,
    /// Bytes that came in order, modulo 2^32 (`bytes_received`).
    pub received: u32,
    /// Bytes that the peer takes behind what it acknowledged (`snd_wnd`).
    pub send_window: u64,
    /// Bytes that may wait for the application here (`rcv_space`).
    pub receive_space: usize,
    /// Bytes of the congestion window at which slow start ends (`ssthresh`), once a loss has set it.
    pub slow_start_threshold: Option<u64>,
    /// Bytes that are taken for lost and not sent again yet.
    pub lost: u64,
    /// Bytes that the peer has behind a gap (RFC 2018).
    pub sacked: u64,
    /// Whether the peer acknowledges selectively (`sack`; RFC 2018).
    pub selective: bool,
    /// How the windows are scaled, the peer's and ours (`wscale`; RFC 7323), if they are.
    pub window_scales: Option<(u8, u8)>,
    /// Segments that came, and of them those with data (`segs_in`, `data_segs_in`; RFC 4898), modulo 2^32.
    pub segments_in: (u32, u32),
    /// Segments that left (`segs_out`, `data_segs_out`), modulo 2^32.
    pub segments_out: (u32, u32),
    /// Whether the application is gone and the stack finishes alone.
    pub orphan: bool,
}

/// The state of a socket: of TCP by RFC 9293 section 3.3.2; datagram sockets have two of them. Its
/// [`Display`](std::fmt::Display) is what ss(8) prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No connection yet, or none any more (CLOSED); a datagram socket without a peer. `UNCONN`.
    Closed,
    /// `LISTEN`.
    Listen,
    /// `SYN-SENT`.
    SynSent,
    /// SYN-RECEIVED, `SYN-RECV`.
    SynReceived,
    /// ESTABLISHED, `ESTAB`; a datagram socket with a peer.
    Established,
    /// `FIN-WAIT-1`.
    FinWait1,
    /// `FIN-WAIT-2`.
    FinWait2,
    /// `CLOSE-WAIT`.
    CloseWait,
    /// `CLOSING`.
    Closing,
    /// `LAST-ACK`.
    LastAck,
    /// `TIME-WAIT`.
    TimeWait,
}

impl Engine {
    /// The engine as it is at `now`. Takes time and memory for every socket, neighbour, route and address.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let mut sockets: Vec<_> = self
            .endpoints
            .iter()
            .filter(|(id, _)| !self.only_watches(*id))
            .map(|(id, endpoint)| self.socket(id, endpoint))
            .collect();
        sockets.extend(self.waiting_out(now));
        sockets.sort_by_key(|socket| (socket.kind != Kind::Echo, socket.kind == Kind::Stream, key(socket)));
        Snapshot { sockets, ..self.configured(now) }
    }

    /// The same without the sockets: interfaces, addresses, routes, neighbours.
    #[must_use]
    pub fn configured(&self, now: Instant) -> Snapshot {
        Snapshot {
            name: String::new(),
            at: now,
            interfaces: self.numbered().map(|(index, interface)| self.interface(index, interface)).collect(),
            addresses: self
                .numbered()
                .flat_map(|(index, known)| {
                    known.addresses.iter().map(move |address| Address {
                        interface: index,
                        cidr: address.cidr,
                        broadcast: address.broadcast(),
                        origin: address.origin,
                        standing: address.standing(),
                        preferred_for: address.preferred_until.map(|until| until - now),
                        valid_for: address.valid_until.map(|until| until - now),
                    })
                })
                .collect(),
            routes: self.shown_routes().collect(),
            neighbours: self.shown_neighbours(now),
            groups: self.numbered().flat_map(|(index, _)| self.shown_groups(index)).collect(),
            sockets: Vec::new(),
            counters: self.counters,
        }
    }

    fn numbered(&self) -> impl Iterator<Item = (InterfaceId, &super::Interface)> {
        (0..).map(InterfaceId).zip(&self.interfaces).filter(|(_, interface)| !interface.removed)
    }

    fn interface(&self, index: InterfaceId, known: &super::Interface) -> Interface {
        let super::Interface { name, mac, mtu, offload, enabled, traffic, .. } = known;
        let up = known.is_running() && !self.down;
        Interface {
            index,
            name: name.clone(),
            mac: *mac,
            mtu: *mtu,
            offload: *offload,
            up,
            enabled: *enabled,
            traffic: *traffic,
        }
    }

    fn shown_routes(&self) -> impl Iterator<Item = Route> {
        self.routes.iter().map(|route| {
            let &crate::net::Route { destination, gateway, interface, metric, kind } = route;
            let first = destination.address();
            let via = self.interfaces.get(interface.0 as usize);
            let source = via.and_then(|via| via.source_for(gateway.unwrap_or(first), first));
            Route { destination, gateway, interface, source, metric, kind }
        })
    }

    fn shown_neighbours(&self, now: Instant) -> Vec<Neighbour> {
        let on = |(index, interface): (_, &super::Interface)| {
            let shown = |known: neighbour::Neighbour| {
                let neighbour::Neighbour { ip: address, mac, state, waiting } = known;
                Neighbour { interface: index, address, mac, state, waiting }
            };
            interface.neighbours.iter(now).map(shown).collect::<Vec<_>>()
        };
        let mut neighbours: Vec<_> = self.numbered().flat_map(on).collect();
        neighbours.sort_by_key(|neighbour| (neighbour.interface, neighbour.address));
        neighbours
    }

    fn socket(&self, id: EndpointId, endpoint: &Endpoint) -> Socket {
        let &Endpoint { kind, family, .. } = endpoint;
        let local = self.local_address(id).unwrap_or_else(|_| super::calls::wildcard(family));
        let fresh = Socket {
            id: Some(id),
            kind,
            family,
            v6_only: family == Family::V6 && (endpoint.options.v6_only || kind == Kind::Echo),
            state: State::Closed,
            local,
            remote: None,
            recv_queue: 0,
            send_queue: 0,
            listening: None,
            packet: self.packet_binding(id).ok(),
            tcp: None,
            expires_in: None,
        };
        match &endpoint.role {
            Role::Fresh => fresh,
            Role::Listener(listener) => {
                let listening = Listening {
                    accept_queue: listener.ready_len(),
                    backlog: listener.backlog,
                    handshakes: listener.embryonic_len(),
                };
                Socket { state: State::Listen, listening: Some(listening), ..fresh }
            }
            Role::Connection(connection) => Socket {
                state: connection.shown_state(),
                remote: Some(self.present_scoped(family, id, connection.tuple.remote_address())),
                recv_queue: connection.recv_queue(),
                send_queue: connection.send_queue(),
                tcp: Some(connection.shown_figures()),
                ..fresh
            },
            Role::Datagram(datagram) => Socket {
                state: if datagram.peer.is_some() { State::Established } else { State::Closed },
                remote: self.peer_address(id).ok(),
                recv_queue: datagram.queued(),
                ..fresh
            },
        }
    }

    /// The connections that only keep their 4-tuples from being used again.
    fn waiting_out(&self, now: Instant) -> impl Iterator<Item = Socket> {
        self.time_wait.iter().map(move |(tuple, expires)| Socket {
            id: None,
            kind: Kind::Stream,
            family: if tuple.local.is_ipv4() { Family::V4 } else { Family::V6 },
            v6_only: tuple.local.is_ipv6(),
            state: State::TimeWait,
            local: tuple.local_address(),
            remote: Some(tuple.remote_address()),
            recv_queue: 0,
            send_queue: 0,
            listening: None,
            packet: None,
            tcp: None,
            expires_in: Some(expires - now),
        })
    }
}

impl Snapshot {
    /// The name of an interface; empty if there is none of that index.
    #[must_use]
    pub fn interface_name(&self, index: InterfaceId) -> &str {
        let known = self.interfaces.iter().find(|interface| interface.index == index);
        known.map_or("", |interface| &interface.name)
    }

    /// Sockets in a state.
    pub fn sockets_in(&self, state: State) -> impl Iterator<Item = &Socket> {
        self.sockets.iter().filter(move |socket| socket.state == state)
    }
}

impl Interface {
    /// Whether it is the loopback interface.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.index == LOOPBACK
    }
}

/// The order of sockets of one kind.
fn key(socket: &Socket) -> (SocketAddr, State, Option<SocketAddr>, Option<EndpointId>) {
    (socket.local, socket.state, socket.remote, socket.id)
}
