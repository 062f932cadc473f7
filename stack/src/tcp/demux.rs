//! Which connection or listener a segment belongs to, and what follows from what they answer.

use std::net::IpAddr;

use super::adapter::{Outbound, Path};
use super::census;
use super::connection::{Connection, Phase, Settings, Tuple};
use super::isn::Purpose;
use super::retries::Retries;
use super::segment::{self, ACK, Arrived, RST, SYN, Segment};
use super::time_wait::Reaction;
use crate::engine::endpoint::{EndpointId, Family, Kind, Options};
use crate::engine::output::{Hop, Outgoing};
use crate::engine::{Endpoint, Engine, Role};
use crate::error::Error;
use crate::link::{Checksum, Frame, SegmentKind, Segmentation};
use crate::net::ip::Packet;
use crate::net::route::InterfaceId;
use crate::net::{checksum, ethernet, ip};
use crate::time::Instant;

impl Engine {
    /// Takes in a TCP segment for one of our addresses.
    pub(crate) fn handle_tcp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &Frame,
    ) {
        self.counters.tcp_in += 1;
        let Some(seg) = Segment::parse(&frame.bytes()[packet.payload..packet.end]) else {
            self.counters.malformed += 1;
            self.counters.tcp_errors += 1;
            return;
        };
        if packet.source.is_unspecified() || seg.source_port == 0 || seg.destination_port == 0 {
            self.counters.malformed += 1;
            self.counters.tcp_errors += 1;
            return;
        }
        if !self.checksum_ok(packet, frame) {
            return;
        }
        let tuple = Tuple {
            local: packet.destination,
            local_port: seg.destination_port,
            remote: packet.source,
            remote_port: seg.source_port,
        };
        let arrived = Arrived { bytes: &frame.bytes()[..packet.end], tcp: packet.payload, seg };
        if let Some(&id) = self.connections.get(&tuple)
            && self.hears(id, interface, tuple.local)
        {
            let near = |options: &Options| options.ip.is_near(packet.source.is_ipv6(), packet.ttl);
            if self.endpoints.get(id).is_some_and(|endpoint| near(&endpoint.options)) {
                self.segment_for(now, id, arrived);
            }
            return;
        }
        let reaction = self.time_wait.inbound(&tuple, &seg);
        self.release_ports();
        match reaction {
            Some(Reaction::Ignore) => return,
            Some(Reaction::Acknowledge { seq, ack }) => {
                let hop = self.route_back(interface, tuple.remote);
                self.send_control(now, hop, tuple, seq, ack, ACK);
                return;
            }
            Some(Reaction::Reopen) | None => {}
        }
        if seg.has(SYN)
            && seg.flags & (ACK | RST) == 0
            && let Some(listener) = self.listener_for(&tuple, interface)
        {
            self.open_passively(now, interface, listener, tuple, arrived);
            return;
        }
        if seg.flags & (SYN | ACK | RST) == ACK
            && let Some(listener) = self.listener_for(&tuple, interface)
            && self.open_by_cookie(now, interface, listener, tuple, arrived)
        {
            return;
        }
        if !seg.has(RST) {
            self.refuse(now, interface, tuple, &seg);
        }
    }

    /// A segment of a connection.
    pub(super) fn segment_for(&mut self, now: Instant, id: EndpointId, arrived: Arrived<'_>) {
        if arrived.seg.flags & (SYN | ACK | RST) == ACK && self.has_to_wait(id) {
            self.counters.listen_overflows += 1;
            return;
        }
        let Some(Endpoint { role: Role::Connection(connection), .. }) = self.endpoints.get_mut(id) else {
            return;
        };
        let Ok((answer, changed)) = connection.inbound(&mut self.adapter, now, &arrived) else {
            self.contain(now, id);
            return;
        };
        // RFC 4861 section 7.3.1: progress of a connection shows that the neighbour is reachable.
        if changed
            && now >= connection.confirm_at
            && let Some((hop, _)) = connection.hop
        {
            connection.confirm_at = now + CONFIRM_INTERVAL;
            self.interfaces[hop.interface.place()].neighbours.confirm(now, hop.next);
        }
        if let Some(answer) = answer {
            self.send_segment(now, id, answer);
        }
        if changed {
            self.settle(now, id);
        }
        self.want_transmit(id);
    }

    /// Whether a connection would be established and there is no room for it in the accept queue. As Linux: its peer says
    /// again what it said, or answers the SYN-ACK again.
    fn has_to_wait(&self, id: EndpointId) -> bool {
        let embryonic = self.connection(id).filter(|connection| connection.phase == Phase::Embryonic);
        let listener = embryonic.and_then(|connection| self.endpoints.get(connection.listener?));
        matches!(listener, Some(Endpoint { role: Role::Listener(queue), .. }) if !queue.has_room())
    }

    /// Lets a connection send one segment. False when it has nothing more for now.
    pub(crate) fn transmit_from(&mut self, now: Instant, id: EndpointId) -> bool {
        let Some(Endpoint { role: Role::Connection(connection), .. }) = self.endpoints.get_mut(id) else {
            return false;
        };
        let Ok((out, changed)) = connection.outbound(&mut self.adapter, now) else {
            connection.listed = false;
            self.contain(now, id);
            return false;
        };
        self.counters.tcp_timeouts += connection.take_timeouts();
        if let Some(out) = out {
            self.counters.tcp_sent_again += u64::from(out.again);
            self.send_segment(now, id, out);
            if changed {
                self.settle(now, id);
            }
            return true;
        }
        connection.listed = false;
        let due = connection.poll_at(&mut self.adapter, now);
        // "Now" from a connection that has just said that it has nothing would never end.
        let due = due.map(|at| at.max(now + MIN_PAUSE));
        let mut stored = connection.deadline;
        self.timers.set(id, &mut stored, due);
        if let Some(connection) = self.connection_mut(id) {
            connection.deadline = stored;
        }
        if changed {
            self.settle(now, id);
        }
        false
    }

    /// smoltcp panicked while it worked on a connection, which is dead now: only its peer is still told.
    fn contain(&mut self, now: Instant, id: EndpointId) {
        self.counters.contained_panics += 1;
        if let Some(connection) = self.connection(id)
            && let (tuple, (Some(seq), ack)) = (connection.tuple, connection.ends())
        {
            let hop = connection.hop.map_or_else(|| self.route(tuple.remote, None), |(hop, _)| Ok(hop));
            self.counters.tcp_resets_out += 1;
            self.send_control(now, hop, tuple, seq, ack.unwrap_or(0), RST | ACK);
        }
        self.settle(now, id);
    }

    /// Follows a change of a connection: into the accept queue, into TIME-WAIT, or out of the tables.
    pub(crate) fn settle(&mut self, now: Instant, id: EndpointId) {
        let Some(connection) = self.connection_mut(id) else { return };
        if connection.reset_if_unheard() {
            self.want_transmit(id);
            return;
        }
        if let Some(Endpoint { role: Role::Connection(connection), .. }) = self.endpoints.get_mut(id) {
            census::take_stock(connection, &mut self.counters);
        }
        let Some(connection) = self.connection_mut(id) else { return };
        let (listener, phase, tuple) = (connection.listener, connection.phase, connection.tuple);
        let (gone, waiting_out) = (connection.is_gone(), connection.is_waiting_out());
        let (established, orphan, watched) =
            (connection.is_established(), connection.orphan, connection.watched);
        let hop = connection.hop;
        let (ends, acknowledged) = (connection.ends(), connection.has_acknowledged_fin());
        if let Some(listener) = listener
            && let Some(Endpoint { role: Role::Listener(queue), .. }) = self.endpoints.get_mut(listener)
        {
            if established {
                queue.established(id);
                self.notify(listener);
            } else if phase == Phase::Over {
                queue.failed(id);
            }
        }
        if !orphan || watched {
            self.notify(id);
        }
        if waiting_out && let (Some(seq), Some(ack)) = ends {
            let binding = self.endpoints.get_mut(id).and_then(|endpoint| endpoint.binding.take());
            self.forget(id);
            // The record may be made before the peer's FIN was acknowledged.
            if !acknowledged {
                let hop = hop.map_or_else(|| self.route(tuple.remote, None), |(hop, _)| Ok(hop));
                self.send_control(now, hop, tuple, seq, ack, ACK);
            }
            self.time_wait.insert(now, tuple, (seq, ack), binding);
            self.release_ports();
        } else if gone {
            // Its place in the tables is free again; the application may still ask what happened.
            if self.connections.get(&tuple) == Some(&id) {
                self.connections.remove(&tuple);
            }
            if orphan || (listener.is_some() && !established && !self.is_queued(listener, id)) {
                self.forget(id);
            }
        }
    }

    /// Whether a dead connection still waits in its listener's accept queue.
    fn is_queued(&self, listener: Option<EndpointId>, id: EndpointId) -> bool {
        let connection = self.connection(id);
        listener.is_some_and(|listener| self.endpoints.contains_key(listener))
            && connection.is_some_and(Connection::was_established)
    }

    /// Gives the ports of TIME-WAIT records back that have gone.
    pub(crate) fn release_ports(&mut self) {
        while let Some(binding) = self.time_wait.pop_released() {
            self.ports.release(binding);
        }
    }

    /// Removes a connection with all that belongs to it.
    pub(crate) fn forget(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.remove(id) {
            if let Role::Connection(connection) = &endpoint.role {
                if self.connections.get(&connection.tuple) == Some(&id) {
                    self.connections.remove(&connection.tuple);
                }
                if connection.watched && !endpoint.notified {
                    self.events.push_back(id);
                }
            }
            if let Some(binding) = endpoint.binding {
                self.ports.release(binding);
            }
        }
    }

    /// The listener that a SYN is for: one bound to the address before a wildcard, a wildcard of the
    /// packet's family before a dual-stack one.
    fn listener_for(&self, tuple: &Tuple, interface: InterfaceId) -> Option<EndpointId> {
        let rank = |id: &EndpointId| {
            let endpoint = self.endpoints.get(*id).filter(|_| self.hears(*id, interface, tuple.local))?;
            match endpoint.bound?.0 {
                address if address == tuple.local => Some(0),
                IpAddr::V4(address) if address.is_unspecified() && tuple.local.is_ipv4() => Some(1),
                IpAddr::V6(address) if address.is_unspecified() && tuple.local.is_ipv6() => Some(1),
                IpAddr::V6(address) if address.is_unspecified() && !endpoint.options.v6_only => Some(2),
                _ => None,
            }
        };
        let candidates = self.listeners.get(&tuple.local_port)?;
        let (best, first) =
            candidates.iter().filter_map(|id| Some((rank(id)?, *id))).min_by_key(|(rank, _)| *rank)?;
        if candidates.len() == 1 {
            return Some(first);
        }
        // Those that share a port (`SO_REUSEPORT`): a keyed hash of both ends says which.
        let group = || candidates.iter().filter(|id| rank(id) == Some(best));
        let ends = [tuple.local_address(), tuple.remote_address()];
        let hash = self.secret.hash(Purpose::Balance, &ends, 0);
        group().nth((hash % group().count() as u64) as usize).copied()
    }

    /// A SYN for a listener (RFC 9293 section 3.10.7.2).
    fn open_passively(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        listener: EndpointId,
        tuple: Tuple,
        arrived: Arrived<'_>,
    ) {
        let Some(Endpoint { role: Role::Listener(queue), options, family, .. }) =
            self.endpoints.get(listener)
        else {
            return;
        };
        // Linux drops it too: the peer sends its SYN again.
        if !queue.has_room() {
            self.counters.listen_overflows += 1;
            return;
        }
        let (options, family, may_start) = (*options, *family, queue.may_start());
        let Ok(hop) = self.route_back(interface, tuple.remote) else { return };
        if !may_start {
            if let Some(Endpoint { role: Role::Listener(queue), .. }) = self.endpoints.get_mut(listener) {
                queue.sent_cookie(now);
            }
            self.send_cookie(now, hop, tuple, &arrived, &options);
            return;
        }
        let isn = self.initial_sequence_number(now, &tuple);
        let path = self.path(now, &hop, tuple.remote);
        let opened = Connection::accept(now, tuple, path, self.settings(&options, &tuple), isn, &arrived);
        let Some(mut connection) = opened else { return };
        connection.hop = Some((hop, self.routes_version));
        let id = self.insert_connection(listener, family, options, connection);
        self.want_transmit(id);
    }

    /// Enters a connection that came in to a listener.
    pub(super) fn insert_connection(
        &mut self,
        listener: EndpointId,
        family: Family,
        options: Options,
        mut connection: Connection,
    ) -> EndpointId {
        let tuple = connection.tuple;
        connection.listener = Some(listener);
        let id = self.endpoints.insert(Endpoint {
            kind: Kind::Stream,
            family,
            // As Linux: this is the listener's alone.
            options: Options { defer_accept: Retries::default(), ..options },
            binding: None,
            bound: Some((tuple.local, tuple.local_port)),
            any_port: false,
            error: None,
            notified: false,
            role: Role::Connection(Box::new(connection)),
        });
        self.connections.insert(tuple, id);
        if let Some(Endpoint { role: Role::Listener(queue), .. }) = self.endpoints.get_mut(listener) {
            queue.started(id);
        }
        id
    }

    /// What a new connection takes from the options of its endpoint, and from the stack.
    pub(crate) fn settings(&self, options: &Options, tuple: &Tuple) -> Settings {
        let offset = || self.secret.timestamp_offset(tuple.local_address(), tuple.remote_address());
        Settings { timestamps: self.timestamps.then(offset), ..settings(options) }
    }

    /// RFC 6528.
    pub(crate) fn initial_sequence_number(&self, now: Instant, tuple: &Tuple) -> u32 {
        let remote = tuple.remote_address();
        self.secret.isn(now, tuple.local_address(), remote)
    }

    /// How segments travel to a destination over a hop.
    pub(crate) fn path(&self, now: Instant, hop: &Hop, destination: IpAddr) -> Path {
        let interface = &self.interfaces[hop.interface.0 as usize];
        let known = self.path_mtus.of(now, destination).unwrap_or(u16::MAX);
        let v6 = hop.next.is_ipv6();
        Path { mtu: interface.mtu_of(v6).min(known), offload: interface.offload, v6 }
    }

    /// Gives a segment its real headers and sends it.
    fn send_segment(&mut self, now: Instant, id: EndpointId, out: Outbound) {
        self.counters.tcp_out += 1;
        let version = self.routes_version;
        let Some(Endpoint { role: Role::Connection(connection), options, .. }) = self.endpoints.get(id)
        else {
            return;
        };
        let (tuple, said) = (connection.tuple, options.ip);
        let hop = match connection.hop {
            Some((hop, known)) if known == version => hop,
            stale => {
                // A route or an address changed: the way may be another, the link stays the best guess.
                let scope = stale.filter(|(hop, _)| is_scoped(hop.next)).map(|(hop, _)| hop.interface);
                let scope = said.device.or(scope);
                let Ok(hop) = self.route(tuple.remote, scope) else { return };
                // Nor is anything sent from an address that is not ours any more.
                if !self.is_local(tuple.local) {
                    return;
                }
                if let Some(connection) = self.connection_mut(id) {
                    connection.hop = Some((hop, version));
                }
                hop
            }
        };
        let marks = said.segment_marks(tuple.remote, self.usual_hops(hop));
        let Outbound { mut frame, segment_size, .. } = out;
        let offload = self.interfaces[hop.interface.0 as usize].offload;
        let header = ip::header_len(tuple.remote);
        let transport = ethernet::HEADER_LEN + header;
        let bytes = frame.bytes_mut();
        let doff = usize::from(bytes[transport + 12] >> 4) * 4;
        ip::emit(&mut bytes[ethernet::HEADER_LEN..], tuple.local, tuple.remote, checksum::TCP, marks.ttl);
        if marks.tos != 0 {
            marks.write(&mut bytes[ethernet::HEADER_LEN..], 0);
        }
        let segment = &mut bytes[transport..];
        self.counters.tcp_resets_out += u64::from(segment[segment::FLAGS] & RST != 0);
        if offload {
            checksum::fill_partial(tuple.local, tuple.remote, checksum::TCP, segment, segment::CHECKSUM);
            let [start, offset] = [transport, segment::CHECKSUM].map(|at| u16::try_from(at).unwrap_or(0));
            frame.checksum = Checksum::Partial { start, offset };
        } else {
            checksum::fill(tuple.local, tuple.remote, checksum::TCP, segment);
        }
        frame.segmentation = segment_size.map(|size| Segmentation {
            kind: if tuple.remote.is_ipv4() { SegmentKind::Tcp4 } else { SegmentKind::Tcp6 },
            size,
            header_len: u16::try_from(transport + doff).unwrap_or(0),
        });
        self.counters.ip_out += 1;
        self.transmit_packet(now, hop, frame);
    }

    /// Answers a segment for which there is no connection with a reset (RFC 9293 section 3.10.7.1).
    fn refuse(&mut self, now: Instant, interface: InterfaceId, tuple: Tuple, seg: &Segment) {
        self.counters.tcp_resets_out += 1;
        let hop = self.route_back(interface, tuple.remote);
        if seg.has(ACK) {
            self.send_control(now, hop, tuple, seg.ack, 0, RST);
        } else {
            self.send_control(now, hop, tuple, 0, seg.end(), RST | ACK);
        }
    }

    /// Sends a segment without data that belongs to no connection.
    fn send_control(
        &mut self,
        now: Instant,
        hop: Result<Hop, Error>,
        tuple: Tuple,
        seq: u32,
        ack: u32,
        flags: u8,
    ) {
        let Ok(hop) = hop else { return };
        let fill = |bytes: &mut [u8]| {
            segment::emit(bytes, tuple.local_port, tuple.remote_port, seq, ack, flags, 0);
        };
        let (source, destination, protocol) = (tuple.local, tuple.remote, checksum::TCP);
        let packet = Outgoing { hop, source, destination, protocol, ttl: self.usual_hops(hop) };
        self.send_packet(now, packet, segment::HEADER_LEN, fill);
    }

    /// The connection that sent a packet which the network reports back.
    pub(crate) fn connection_of_sent(
        &self,
        sent: &Packet,
        source: u16,
        destination: u16,
    ) -> Option<EndpointId> {
        let tuple = Tuple {
            local: sent.source,
            local_port: source,
            remote: sent.destination,
            remote_port: destination,
        };
        self.connections.get(&tuple).copied()
    }
}

/// A connection that says "now" without having anything to send is asked again after so long.
const MIN_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// How often a connection confirms its neighbour at most.
const CONFIRM_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

fn is_scoped(address: IpAddr) -> bool {
    crate::engine::interface::is_link_local(address)
}

/// What a connection takes from the options of its endpoint.
pub(crate) const fn settings(options: &Options) -> Settings {
    Settings {
        receive: (options.recv_buffer, options.recv_limit),
        send: (options.send_buffer, options.send_limit),
        manners: options.manners(),
        control: options.congestion_control,
        max_segment: options.max_segment,
        keepalive: options.keepalive,
        user_timeout: options.user_timeout,
        quick_ack: options.quick_ack,
        syn_retries: options.syn_retries,
        defer_accept: options.defer_accept,
        fin_timeout: options.fin_timeout,
        window_clamp: options.window_clamp,
        timestamps: None,
    }
}
