//! Endpoints: what the stack has in place of a BSD socket, without a descriptor.

use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::ip_options::IpOptions;
use crate::multicast::MulticastOptions;
use crate::net::route::InterfaceId;
use crate::packet::Passage;
use crate::raw::RawOptions;
use crate::tcp::keepalive::KeepAlive;
use crate::tcp::recovery::CongestionControl;
use crate::tcp::retries::Retries;
use crate::tcp::sender::Manners;
use crate::time::Instant;

slotmap::new_key_type! {
    /// Names an endpoint of one stack. Never used again for another endpoint.
    pub struct EndpointId;
}

/// The kind of an endpoint, as the type argument of socket(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `SOCK_STREAM`: TCP.
    Stream,
    /// `SOCK_DGRAM`: UDP.
    Datagram,
    /// `SOCK_DGRAM` with `IPPROTO_ICMP` or `IPPROTO_ICMPV6`: echo requests out, echo replies in, icmp(7).
    Echo,
    /// `SOCK_RAW`: packets of IP with this protocol, raw(7).
    Raw(u8),
    /// `AF_PACKET`: frames of the links, packet(7).
    Packet(Framing),
}

/// What a packet endpoint sees of frames, packet(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `SOCK_RAW`: all of them.
    Frames,
    /// `SOCK_DGRAM`: what is behind their headers.
    Payloads,
}

/// The address family of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`; also speaks IPv4 through mapped addresses unless told otherwise.
    V6,
}

/// Which direction to shut down, as the second argument of shutdown(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// `SHUT_RD`.
    Read,
    /// `SHUT_WR`.
    Write,
    /// `SHUT_RDWR`.
    Both,
}

/// What an endpoint is ready for; the conditions of poll(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Data, a datagram or a connection to accept waits (`POLLIN` without the end of stream).
    pub readable: bool,
    /// A send would take at least one byte (`POLLOUT`).
    pub writable: bool,
    /// Nothing will arrive behind what waits: end of stream or a fault (`POLLRDHUP`).
    pub read_closed: bool,
    /// Sending is over: shut down here, or a fault.
    pub write_closed: bool,
    /// An error waits to be taken (`POLLERR`).
    pub error: bool,
    /// A connect is under way.
    pub connecting: bool,
    /// The peer's end of the stream has come: a receive behind what waits gives 0, whatever error came later.
    pub peer_finished: bool,
}

/// Switches and sizes of an endpoint; what setsockopt(2) changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `TCP_NODELAY`, tcp(7): small segments leave at once. While `cork` is set only those that were written before this
    /// was set.
    pub nodelay: bool,
    /// `TCP_CORK`, tcp(7): part of a segment waits for the rest, 200 ms at most, or until this is off again.
    pub cork: bool,
    /// `TCP_CONGESTION`, tcp(7): how the connection shares its path with others.
    pub congestion_control: CongestionControl,
    /// `TCP_MAXSEG`, tcp(7): bytes of data in a segment at most, 88 to 32767; announced to the peer. Fixed when the
    /// connection is made.
    pub max_segment: Option<u16>,
    /// `SO_REUSEADDR`, socket(7).
    pub reuse_address: bool,
    /// `SO_REUSEPORT`, socket(7): several endpoints share an address and a port; each peer is served by one of them.
    pub reuse_port: bool,
    /// `SO_BROADCAST`: datagrams may go to broadcast addresses.
    pub broadcast: bool,
    /// `IPV6_V6ONLY`: no IPv4 through mapped addresses.
    pub v6_only: bool,
    /// Bytes of the receive ring (stream, when the connection is made) or queue (datagram).
    pub recv_buffer: usize,
    /// Bytes of the send ring (stream, when the connection is made).
    pub send_buffer: usize,
    /// Bytes to which the receive ring of a stream grows by itself: to twice of what the application takes in a round trip.
    /// No more than `recv_buffer` for not at all.
    pub recv_limit: usize,
    /// Bytes to which the send ring of a stream grows by itself: to twice of what may be under way. No more than
    /// `send_buffer` for not at all.
    pub send_limit: usize,
    /// `SO_KEEPALIVE`, and how a silent peer is asked.
    pub keepalive: KeepAlive,
    /// `TCP_USER_TIMEOUT`: how long what was sent may go without an acknowledgement.
    pub user_timeout: Option<Duration>,
    /// `TCP_QUICKACK`, tcp(7): how a connection begins. While it lasts, see
    /// [`Engine::set_quick_ack`](crate::Engine::set_quick_ack).
    pub quick_ack: bool,
    /// `TCP_SYNCNT`, tcp(7): how often the SYN of a connect is sent again, and the SYN-ACKs of a listener, 127 times at
    /// most; `None` for [`Retries::SYN`] and [`Retries::SYN_ACK`].
    pub syn_retries: Option<Retries>,
    /// `TCP_DEFER_ACCEPT`, tcp(7): a connection comes into the accept queue of the listener when data has come, or when
    /// the SYN-ACK was sent again so often. None, the default, for at once.
    pub defer_accept: Retries,
    /// `TCP_LINGER2`, tcp(7): how long the peer's end is waited for when the application is gone and its own end was
    /// acknowledged; `None` for not at all: the connection is reset.
    pub fin_timeout: Option<Duration>,
    /// `TCP_WINDOW_CLAMP`, tcp(7): bytes of the window that is offered at most. What was offered stays.
    pub window_clamp: Option<usize>,
    /// `UDP_SEGMENT`, udp(7): what is sent is cut into datagrams of so many bytes; the last may be shorter. `None` for one
    /// datagram.
    pub datagram_size: Option<NonZeroU16>,
    /// `UDP_GRO`, udp(7): datagrams that arrive in one frame are received as one, which says how long each of them is.
    pub whole_super_frames: bool,
    /// What its IP headers say.
    pub ip: IpOptions,
    /// How datagrams go to groups and come from them.
    pub multicast: MulticastOptions,
    /// Those of raw endpoints.
    pub raw: RawOptions,
}

impl Options {
    /// Bytes of a ring or queue unless the application says otherwise.
    pub const DEFAULT_BUFFER: usize = 512 * 1024;
    /// Bytes to which a ring grows by itself unless the application says otherwise.
    pub const DEFAULT_LIMIT: usize = 4 << 20;
    /// The smallest ring or queue, in bytes.
    pub const LEAST_BUFFER: usize = 4096;
    /// The largest ring or queue, in bytes.
    pub const MOST_BUFFER: usize = 64 << 20;

    /// How long an end is waited for unless the application says otherwise: `tcp_fin_timeout` of Linux, tcp(7).
    pub const FIN_TIMEOUT: Duration = Duration::from_secs(60);
    /// What `TCP_MAXSEG` may be, in bytes.
    pub const MAX_SEGMENTS: RangeInclusive<u16> = 88..=32_767;

    pub(crate) const fn manners(&self) -> Manners {
        Manners { nodelay: self.nodelay, cork: self.cork }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodelay: false,
            cork: false,
            congestion_control: CongestionControl::Cubic,
            max_segment: None,
            reuse_address: false,
            reuse_port: false,
            broadcast: false,
            v6_only: false,
            recv_buffer: Self::DEFAULT_BUFFER,
            send_buffer: Self::DEFAULT_BUFFER,
            recv_limit: Self::DEFAULT_LIMIT,
            send_limit: Self::DEFAULT_LIMIT,
            keepalive: KeepAlive::default(),
            user_timeout: None,
            quick_ack: true,
            syn_retries: None,
            defer_accept: Retries::default(),
            fin_timeout: Some(Self::FIN_TIMEOUT),
            window_clamp: None,
            datagram_size: None,
            whole_super_frames: false,
            ip: IpOptions::default(),
            multicast: MulticastOptions::default(),
            raw: RawOptions::default(),
        }
    }
}

/// A connection taken from a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The connection.
    pub id: EndpointId,
    /// Address of the peer, in the family of the listener.
    pub peer: std::net::SocketAddr,
}

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes copied.
    pub copied: usize,
    /// Length of the datagram; more than `copied` when it was cut (`MSG_TRUNC`).
    pub len: usize,
    /// Where it came from, in the family of the endpoint.
    pub from: std::net::SocketAddr,
    /// How it arrived; `None` where nothing did: at the end that a shutdown made.
    pub arrival: Option<Arrival>,
}

/// How a datagram arrived: what control messages of recvmsg(2) tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The address that it was sent to (`IP_PKTINFO`, `IPV6_PKTINFO`): of this stack, of a group, or of all.
    pub destination: std::net::IpAddr,
    /// The interface that it came in by.
    pub interface: InterfaceId,
    /// Time to live, or hop limit, that was left (`IP_RECVTTL`, `IPV6_RECVHOPLIMIT`).
    pub ttl: u8,
    /// Type of service, or traffic class (`IP_RECVTOS`, `IPV6_RECVTCLASS`).
    pub tos: u8,
    /// When (`SO_TIMESTAMP`).
    pub at: Instant,
    /// How many datagrams the endpoint had dropped until then, because its queue was full (`SO_RXQ_OVFL`).
    pub drops: u32,
    /// Bytes of data in each of the datagrams that it is made of, but the last, which may be shorter (`UDP_GRO`); `None` for
    /// one datagram.
    pub size: Option<NonZeroU16>,
    /// How its frame passed, on packet endpoints.
    pub link: Option<Passage>,
}
