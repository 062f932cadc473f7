//! A snapshot as text, in the sections and columns of ip(8) and ss(8).

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{
    Address, Group, Interface, Neighbour, Origin, Route, Snapshot, Socket, Standing, State, Tcp, counters,
};
use crate::engine::calls::wildcard;
use crate::engine::endpoint::{Family, Framing, Kind};
use crate::engine::interface::is_link_local;
use crate::net::neighbour;
use crate::net::route::{InterfaceId, RouteKind};
use crate::packet::{ALL, LinkBinding};
use crate::tcp::recovery::CongestionControl;

impl Display for Snapshot {
    /// Every section stands under the command that shows it of the kernel.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "# ip -br link")?;
        self.interfaces.iter().try_for_each(|interface| link(f, interface))?;
        writeln!(f, "# ip -o address")?;
        self.addresses.iter().try_for_each(|known| address(f, self, known))?;
        let (v4, v6): (Vec<&Route>, Vec<&Route>) =
            self.routes.iter().partition(|route| route.destination.address().is_ipv4());
        for (command, mut routes) in [("ip route", v4), ("ip -6 route", v6)] {
            writeln!(f, "# {command}")?;
            routes.sort_by_key(|route| (route.destination.address(), route.destination.prefix_len()));
            routes.into_iter().try_for_each(|known| route(f, self, known))?;
        }
        writeln!(f, "# ip neighbour")?;
        self.neighbours.iter().try_for_each(|known| neighbour(f, self, known))?;
        writeln!(f, "# ip maddress")?;
        groups(f, self)?;
        writeln!(f, "# ss -tuain")?;
        sockets(f, self)?;
        writeln!(f, "# cat /proc/net/snmp")?;
        counters::print(f, self)
    }
}

fn link(f: &mut Formatter<'_>, interface: &Interface) -> fmt::Result {
    let Interface { name, mac, mtu, up, .. } = interface;
    let loopback = interface.is_loopback();
    let kind = if loopback { "LOOPBACK" } else { "BROADCAST,MULTICAST" };
    // The kernel does not say UP of loopback either.
    let (state, flags) = match (up, loopback) {
        (true, true) => ("UNKNOWN", ",UP,LOWER_UP"),
        (true, false) => ("UP", ",UP,LOWER_UP"),
        (false, _) => ("DOWN", ""),
    };
    let offload = if interface.offload { " offload" } else { "" };
    writeln!(f, "{name:<16} {state:<14} {mac} <{kind}{flags}> mtu {mtu}{offload}")
}

fn address(f: &mut Formatter<'_>, snapshot: &Snapshot, known: &Address) -> fmt::Result {
    let Address { interface, cidr, broadcast, origin, standing, preferred_for, valid_for } = known;
    let name = snapshot.interface_name(*interface);
    let family = if cidr.address().is_ipv4() { "inet" } else { "inet6" };
    write!(f, "{}: {name}    {family} {cidr}", interface.index())?;
    let scope = match cidr.address() {
        address if address.is_loopback() => "host",
        address if is_link_local(address) => "link",
        _ => "global",
    };
    if let Some(broadcast) = broadcast.filter(|_| scope != "host") {
        write!(f, " brd {broadcast}")?;
    }
    write!(f, " scope {scope}")?;
    let origin = match origin {
        Origin::Temporary => " temporary dynamic",
        Origin::Leased | Origin::Advertised => " dynamic",
        Origin::Configured | Origin::LinkLocal => "",
    };
    let standing = match standing {
        Standing::Tentative => " tentative",
        Standing::Optimistic => " optimistic",
        Standing::Deprecated => " deprecated",
        Standing::Duplicate => " dadfailed tentative",
        Standing::Preferred => "",
    };
    write!(f, "{origin}{standing} {name}")?;
    if let Some(valid) = valid_for {
        let preferred =
            preferred_for.map_or_else(|| "forever".to_owned(), |time| format!("{}sec", time.as_secs()));
        write!(f, " valid_lft {}sec preferred_lft {preferred}", valid.as_secs())?;
    }
    writeln!(f)
}

fn route(f: &mut Formatter<'_>, snapshot: &Snapshot, known: &Route) -> fmt::Result {
    let Route { destination, gateway, interface, source, metric, kind } = known;
    if *kind != RouteKind::Unicast {
        write!(f, "{kind} ")?;
    }
    if destination.prefix_len() == 0 {
        write!(f, "default")?;
    } else {
        write!(f, "{destination}")?;
    }
    if let Some(gateway) = gateway {
        write!(f, " via {gateway}")?;
    }
    let sent = *kind == RouteKind::Unicast;
    if sent {
        write!(f, " dev {}", snapshot.interface_name(*interface))?;
    }
    if sent && gateway.is_none() {
        write!(f, " scope link")?;
    }
    if let Some(source) = source.filter(|_| sent) {
        write!(f, " src {source}")?;
    }
    if *metric != 0 {
        write!(f, " metric {metric}")?;
    }
    writeln!(f)
}

fn groups(f: &mut Formatter<'_>, snapshot: &Snapshot) -> fmt::Result {
    for Interface { index, name, .. } in &snapshot.interfaces {
        writeln!(f, "{}:\t{name}", index.index())?;
        for Group { group, users, .. } in snapshot.groups.iter().filter(|known| known.interface == *index) {
            let family = if group.is_ipv4() { "inet " } else { "inet6" };
            write!(f, "\t{family} {group}")?;
            // As ip-maddress(8).
            if *users > 1 {
                write!(f, " users {users}")?;
            }
            writeln!(f)?;
        }
    }
    Ok(())
}

fn neighbour(f: &mut Formatter<'_>, snapshot: &Snapshot, known: &Neighbour) -> fmt::Result {
    let Neighbour { interface, address, mac, state, waiting } = known;
    write!(f, "{address} dev {}", snapshot.interface_name(*interface))?;
    if let Some(mac) = mac {
        write!(f, " lladdr {mac}")?;
    }
    write!(f, " {state}")?;
    if *waiting > 0 {
        write!(f, " waiting {waiting}")?;
    }
    writeln!(f)
}

fn sockets(f: &mut Formatter<'_>, snapshot: &Snapshot) -> fmt::Result {
    let rows: Vec<[String; 6]> = snapshot.sockets.iter().map(|socket| row(snapshot, socket)).collect();
    let heads = ["Netid", "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"];
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].len()).fold(heads[column].len(), usize::max)
    });
    let mut line = |cells: [&str; 6]| {
        for (cell, width) in cells.iter().zip(widths) {
            write!(f, "{cell:<width$} ")?;
        }
        writeln!(f, "{}", cells[5])
    };
    line(heads)?;
    rows.iter().try_for_each(|row| line(row.each_ref().map(String::as_str)))
}

/// The columns of ss(8); what stands in a line of its own there is behind the peer's address.
fn row(snapshot: &Snapshot, socket: &Socket) -> [String; 6] {
    let kind = match socket.kind {
        Kind::Stream => "tcp",
        Kind::Datagram => "udp",
        Kind::Echo if socket.local.is_ipv4() => "icmp",
        Kind::Echo => "icmp6",
        Kind::Raw(_) => "raw",
        Kind::Packet(Framing::Frames) => "p_raw",
        Kind::Packet(Framing::Payloads) => "p_dgr",
    };
    // As ss: of a listener, who waits and how many may.
    let queues = match &socket.listening {
        Some(listening) => (listening.accept_queue, listening.backlog),
        None => (socket.recv_queue, socket.send_queue),
    };
    let both = socket.family == Family::V6 && !socket.v6_only;
    let shown = |address: SocketAddr| match with_port(snapshot, address) {
        text if both && address.ip() == Ipv6Addr::UNSPECIFIED => text.replace("[::]", "*"),
        text => text,
    };
    let mut last = shown(socket.remote.unwrap_or_else(|| wildcard(socket.family)));
    if let Some(tcp) = &socket.tcp {
        last.push_str("  ");
        last.push_str(&figures(tcp));
    }
    if let Some(listening) = socket.listening.filter(|listening| listening.handshakes > 0) {
        last.push_str(&format!("  handshakes:{}", listening.handshakes));
    }
    if let Some(expires_in) = socket.expires_in {
        last.push_str(&format!("  timer:(timewait,{}sec)", expires_in.as_secs()));
    }
    let local = match &socket.packet {
        Some(bound) => {
            last = "*".to_owned();
            link_name(snapshot, bound)
        }
        None => shown(socket.local),
    };
    [kind.to_owned(), socket.state.to_string(), queues.0.to_string(), queues.1.to_string(), local, last]
}

/// As `ss -0`: an Ethernet type and an interface, each `*` for all.
fn link_name(snapshot: &Snapshot, bound: &LinkBinding) -> String {
    let interface = bound.interface.map_or("*", |interface| snapshot.interface_name(interface));
    match bound.protocol {
        ALL => format!("*:{interface}"),
        protocol => format!("[{protocol:#x}]:{interface}"),
    }
}

/// Times in milliseconds and the window in segments, as `ss -i`.
fn figures(tcp: &Tcp) -> String {
    let control = match tcp.congestion_control {
        CongestionControl::Cubic => "cubic",
        CongestionControl::Reno => "reno",
    };
    let timestamps = if tcp.timestamps { "ts " } else { "" };
    let mut text = format!("{timestamps}{control} rto:{}", millis(tcp.retransmission_timeout));
    if let (Some(trip), Some(variation)) = (tcp.round_trip, tcp.round_trip_variation) {
        text.push_str(&format!(" rtt:{}/{}", millis(trip), millis(variation)));
    }
    let window = tcp.congestion_window / tcp.segment_size.max(1);
    text.push_str(&format!(" mss:{} pmtu:{} cwnd:{window}", tcp.segment_size, tcp.path_mtu));
    if tcp.under_way > 0 {
        text.push_str(&format!(" unacked:{}", tcp.under_way.div_ceil(tcp.segment_size.max(1))));
    }
    if let Some(shortest) = tcp.shortest_round_trip {
        text.push_str(&format!(" minrtt:{}", millis(shortest)));
    }
    if tcp.orphan {
        text.push_str(" orphan");
    }
    text
}

/// Milliseconds, to the microsecond.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// As `ss -n`: any port is `*`, and a scope is the name of its interface.
fn with_port(snapshot: &Snapshot, address: SocketAddr) -> String {
    let port = if address.port() == 0 { "*".to_owned() } else { address.port().to_string() };
    match (address, address.ip()) {
        (SocketAddr::V6(scoped), _) if scoped.scope_id() != 0 => {
            let name = snapshot.interface_name(InterfaceId::new(scoped.scope_id()));
            format!("[{}]%{name}:{port}", scoped.ip())
        }
        (_, IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        (_, IpAddr::V4(ip)) => format!("{ip}:{port}"),
    }
}

impl Display for State {
    /// The name that ss(8) prints.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "UNCONN",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECV",
            Self::Established => "ESTAB",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
        })
    }
}

impl Display for neighbour::State {
    /// The name that RFC 4861 and ip-neighbour(8) have for it.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Incomplete => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Permanent => "PERMANENT",
            Self::Failed => "FAILED",
        })
    }
}
