//! The one file that names smoltcp's sockets.
//!
//! smoltcp serves as handshake and close machine and receive side of one connection at a time, and as byte ring: each
//! connection has a fresh `tcp::Socket` in a `SocketSet` of its own. Data that is sent does not pass through it: it
//! never hears of more than a SYN and a FIN of ours. To smoltcp every
//! connection runs between the same two IPv4 addresses, whatever its real ones: a segment is shown to
//! it behind a made-up IPv4 header, and what it emits gets the real header afterwards. So one code path
//! serves IPv4 and IPv6, super-frames included, and the stack's addresses are no concern of smoltcp's.

use std::io;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::storage::RingBuffer;
use smoltcp::time::{Duration as SmolDuration, Instant as SmolInstant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpListenEndpoint};

pub(crate) use smoltcp::socket::tcp::State;

use super::isn::smoltcp_seed;
use super::segment;
use crate::link::{Frame, MAX_SUPER_FRAME};
use crate::net::{checksum, ethernet, ip};
use crate::sys::arena::WithRings;
use crate::time::Instant;

/// The addresses that smoltcp believes in.
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// Room in front of the TCP header of a segment that is shown to smoltcp.
pub(crate) const FRONT: usize = ip::V4_HEADER_LEN;

/// Room for the TCP header and all its options, in bytes.
const MAX_TCP_HEADER: usize = 60;

/// Interfaces of smoltcp's kept at most: the network may speak of many path MTUs.
const MOST_INTERFACES: usize = 64;

/// How segments of a connection travel: one smoltcp interface serves all connections of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Largest IP packet, in bytes.
    pub(crate) mtu: u16,
    /// Whether super-frames may be sent.
    pub(crate) offload: bool,
    /// Whether the packets are IPv6.
    pub(crate) v6: bool,
}

impl Path {
    /// Length of the IP header.
    pub(crate) const fn header_len(self) -> usize {
        if self.v6 { ip::V6_HEADER_LEN } else { ip::V4_HEADER_LEN }
    }

    /// The MTU that gives smoltcp's IPv4 the segment size of the real header.
    fn shown_mtu(self) -> usize {
        let least = ip::V4_HEADER_LEN + MAX_TCP_HEADER + 1;
        (usize::from(self.mtu) + ip::V4_HEADER_LEN).saturating_sub(self.header_len()).max(least)
    }

    /// Payload of a full segment without options.
    pub(crate) fn mss(self) -> usize {
        self.shown_mtu() - ip::V4_HEADER_LEN - segment::HEADER_LEN
    }

    /// The same, where the application has set a limit.
    pub(crate) fn mss_within(self, limit: Option<u16>) -> usize {
        limit.map_or_else(|| self.mss(), |limit| self.mss().min(limit.into()))
    }

    /// Payload that fits a frame: of a super-frame, if there are any.
    pub(crate) fn frame_payload(self) -> usize {
        let headers = ethernet::HEADER_LEN + self.header_len() + segment::HEADER_LEN;
        if self.offload { (MAX_SUPER_FRAME - headers).max(self.mss()) } else { self.mss() }
    }

    fn capabilities(self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.shown_mtu();
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

/// A segment on its way out: room for Ethernet and IP headers, then the TCP segment.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) frame: Frame,
    /// Payload bytes of each segment if it is a super-frame.
    pub(crate) segment_size: Option<u16>,
    /// It was sent before.
    pub(crate) again: bool,
}

impl Outbound {
    /// An ordinary segment that was not sent before.
    pub(crate) const fn new(frame: Frame) -> Self {
        Self { frame, segment_size: None, again: false }
    }
}

/// smoltcp panicked while it worked on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

/// The smoltcp interfaces, one for each path in use.
#[derive(Debug, Default)]
pub(crate) struct Adapter {
    interfaces: Vec<(Path, BoxedInterface)>,
}

/// `Interface` has no `Debug`.
struct BoxedInterface(Box<Interface>);

impl std::fmt::Debug for BoxedInterface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interface")
    }
}

impl Adapter {
    fn interface(&mut self, path: Path, now: Instant) -> &mut Interface {
        let at = self.interfaces.iter().position(|(known, _)| *known == path).unwrap_or_else(|| {
            if self.interfaces.len() >= MOST_INTERFACES {
                // Nothing in them is missed.
                self.interfaces.clear();
            }
            self.interfaces.push((path, BoxedInterface(Box::new(new_interface(path, 0, now)))));
            self.interfaces.len() - 1
        });
        &mut self.interfaces[at].1.0
    }
}

/// An interface whose first random number is the one that `seed` gives.
fn new_interface(path: Path, seed: u64, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut interface = Interface::new(config, &mut Wire::new(path, None), smol_instant(now));
    interface.update_ip_addrs(|addresses| {
        // A fresh list has room for one.
        let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(LOCAL), 24));
    });
    interface
}

/// One connection inside smoltcp (a transmission control block).
#[derive(Debug)]
pub(crate) struct Tcb {
    set: WithRings<Set>,
    path: Path,
}

#[derive(Debug)]
struct Set {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// What is to be sent or acknowledged.
    queue: RingBuffer<'static, u8>,
}

impl Set {
    fn new(receive: &'static mut [u8], send: &'static mut [u8]) -> Self {
        let nothing = tcp::SocketBuffer::new(Vec::new());
        let socket = tcp::Socket::new(tcp::SocketBuffer::new(receive), nothing);
        let mut sockets = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = sockets.add(socket);
        Self { sockets, handle, queue: RingBuffer::new(send) }
    }
}

impl Tcb {
    /// A closed connection with rings of the given sizes in bytes.
    pub(crate) fn new(path: Path, receive: usize, send: usize) -> io::Result<Self> {
        Ok(Self { set: WithRings::new(receive, send, Set::new)?, path })
    }

    /// How its segments travel.
    pub(crate) const fn path(&self) -> Path {
        self.path
    }

    /// Segments travel otherwise from now on.
    pub(crate) const fn set_path(&mut self, path: Path) {
        self.path = path;
    }

    fn socket(&self) -> &tcp::Socket<'static> {
        self.set.sockets.get(self.set.handle)
    }

    fn socket_mut(&mut self) -> &mut tcp::Socket<'static> {
        let handle = self.set.handle;
        self.set.sockets.get_mut(handle)
    }

    /// Starts an active open with the given initial sequence number. Ports are not 0.
    pub(crate) fn connect(&mut self, now: Instant, isn: u32, local_port: u16, remote_port: u16) {
        let mut interface = new_interface(self.path, smoltcp_seed(isn), now);
        let remote = IpEndpoint::new(IpAddress::Ipv4(REMOTE), remote_port);
        let local = IpListenEndpoint { addr: Some(IpAddress::Ipv4(LOCAL)), port: local_port };
        let connected = self.socket_mut().connect(interface.context(), remote, local);
        debug_assert!(connected.is_ok(), "a closed socket with proper ports connects");
    }

    /// Starts a passive open with the given initial sequence number: `bytes` is the SYN.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        isn: u32,
        local_port: u16,
        bytes: &mut [u8],
        tcp: usize,
    ) -> Result<(), Panicked> {
        let listening = self.socket_mut().listen(local_port);
        debug_assert!(listening.is_ok(), "a closed socket with a proper port listens");
        let mut interface = new_interface(self.path, smoltcp_seed(isn), now);
        self.ingress_on(&mut interface, now, bytes, tcp).map(drop)
    }

    /// Shows a segment to smoltcp; `tcp` is the offset of its header in `bytes`, at least [`FRONT`]. The bytes
    /// in front of it are overwritten. Returns the answer, if it has one at once.
    pub(crate) fn ingress(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
        bytes: &mut [u8],
        tcp: usize,
    ) -> Result<Option<Outbound>, Panicked> {
        self.ingress_on(adapter.interface(self.path, now), now, bytes, tcp)
    }

    fn ingress_on(
        &mut self,
        interface: &mut Interface,
        now: Instant,
        bytes: &mut [u8],
        tcp: usize,
    ) -> Result<Option<Outbound>, Panicked> {
        // A longer one does not fit smoltcp's header; the peer sends the cut rest, and its FIN, again.
        let end = bytes.len().min(tcp - FRONT + usize::from(u16::MAX));
        if end < bytes.len() {
            segment::clear_flag(&mut bytes[tcp..], segment::FIN);
        }
        let packet = &mut bytes[tcp - FRONT..end];
        ip::emit(packet, REMOTE.into(), LOCAL.into(), checksum::TCP, ip::DEFAULT_TTL);
        let mut wire = Wire::new(self.path, Some(packet));
        let sockets = &mut self.set.sockets;
        catch_unwind(AssertUnwindSafe(|| {
            interface.poll_ingress_single(smol_instant(now), &mut wire, sockets);
            wire.sent
        }))
        .map_err(|_| Panicked)
    }

    /// The next segment that smoltcp wants to send, if any.
    pub(crate) fn egress(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
    ) -> Result<Option<Outbound>, Panicked> {
        let interface = adapter.interface(self.path, now);
        let mut wire = Wire::new(self.path, None);
        let sockets = &mut self.set.sockets;
        catch_unwind(AssertUnwindSafe(|| {
            let changed = interface.poll_egress(smol_instant(now), &mut wire, sockets);
            debug_assert_eq!(changed == PollResult::SocketStateChanged, wire.sent.is_some());
            wire.sent
        }))
        .map_err(|_| Panicked)
    }

    /// When [`egress`](Self::egress) is due again; a time in the past means now.
    pub(crate) fn poll_at(&mut self, adapter: &mut Adapter, now: Instant) -> Option<Instant> {
        let interface = adapter.interface(self.path, now);
        let at = interface.poll_at(smol_instant(now), &self.set.sockets)?;
        Some(Instant::from_nanos(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000)))
    }

    pub(crate) fn state(&self) -> State {
        self.socket().state()
    }

    /// Whether smoltcp still has a peer: false once a reset has left or the connection is over.
    pub(crate) fn has_peer(&self) -> bool {
        self.socket().remote_endpoint().is_some()
    }

    /// Bytes received and not yet taken.
    pub(crate) fn recv_queue(&self) -> usize {
        self.socket().recv_queue()
    }

    /// Bytes that the send ring holds, and how many more it takes.
    pub(crate) fn send_capacity(&self) -> usize {
        self.set.queue.capacity()
    }

    pub(crate) fn send_room(&self) -> usize {
        self.set.queue.window()
    }

    pub(crate) fn recv_capacity(&self) -> usize {
        self.socket().recv_capacity()
    }

    /// Copies into the send ring; the count is 0 when it is full.
    pub(crate) fn send(&mut self, data: &[u8]) -> usize {
        self.set.queue.enqueue_slice(data)
    }

    /// Lets `f` fill a contiguous free part of the send ring.
    pub(crate) fn send_with(&mut self, f: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let take = |room: &mut [u8]| (f(room).min(room.len()), ());
        self.set.queue.enqueue_many_with(take).0
    }

    /// Copies out of the send ring what stands there behind `offset` bytes, and leaves it there.
    pub(crate) fn copy_queued(&mut self, offset: usize, buffer: &mut [u8]) {
        let copied = self.set.queue.read_allocated(offset, buffer);
        debug_assert_eq!(copied, buffer.len(), "what is to be sent is in the ring");
    }

    /// The peer has the first `len` bytes of the send ring.
    pub(crate) fn acknowledged(&mut self, len: usize) {
        let len = len.min(self.set.queue.len());
        self.set.queue.dequeue_allocated(len);
    }

    /// Copies out of the receive ring.
    pub(crate) fn recv(&mut self, buffer: &mut [u8]) -> usize {
        self.socket_mut().recv_slice(buffer).unwrap_or(0)
    }

    /// Copies out of the receive ring and leaves the bytes there.
    pub(crate) fn peek(&mut self, buffer: &mut [u8]) -> usize {
        self.socket_mut().peek_slice(buffer).unwrap_or(0)
    }

    /// Lets `f` take from the contiguous front of the receive ring.
    pub(crate) fn recv_with(&mut self, f: impl FnOnce(&[u8]) -> usize) -> usize {
        let take = |bytes: &mut [u8]| {
            let taken = f(bytes).min(bytes.len());
            (taken, taken)
        };
        self.socket_mut().recv(take).unwrap_or(0)
    }

    /// Sends FIN, at the next [`egress`](Self::egress).
    pub(crate) fn close(&mut self) {
        self.socket_mut().close();
    }

    /// Sends RST, at the next [`egress`](Self::egress).
    pub(crate) fn abort(&mut self) {
        self.socket_mut().abort();
    }

    /// How long an acknowledgement of the next segment may wait for company. No delay at all is zero, not
    /// `None`: with that, a wait that was begun earlier would go on.
    pub(crate) fn set_ack_delay(&mut self, delay: std::time::Duration) {
        self.socket_mut().set_ack_delay(Some(smol_duration(delay)));
    }
}

fn smol_instant(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(i64::try_from(now.as_nanos() / 1000).unwrap_or(i64::MAX))
}

fn smol_duration(duration: std::time::Duration) -> SmolDuration {
    SmolDuration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// A device with one packet to receive and room for one to send.
struct Wire<'a> {
    path: Path,
    received: Option<&'a mut [u8]>,
    sent: Option<Outbound>,
}

impl<'a> Wire<'a> {
    const fn new(path: Path, received: Option<&'a mut [u8]>) -> Self {
        Self { path, received, sent: None }
    }
}

impl Device for Wire<'_> {
    type RxToken<'t>
        = Rx<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Tx<'t>
    where
        Self: 't;

    fn receive(&mut self, _: SmolInstant) -> Option<(Rx<'_>, Tx<'_>)> {
        let packet = self.received.take()?;
        let tx = Tx { header_len: self.path.header_len(), sent: &mut self.sent };
        Some((Rx(packet), tx))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Tx<'_>> {
        Some(Tx { header_len: self.path.header_len(), sent: &mut self.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.path.capabilities()
    }
}

struct Rx<'a>(&'a [u8]);

impl RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Tx<'a> {
    header_len: usize,
    sent: &'a mut Option<Outbound>,
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        // smoltcp's header ends where the real one will end.
        let front = ethernet::HEADER_LEN + self.header_len - ip::V4_HEADER_LEN;
        let mut frame = Frame::with_capacity(front + len);
        frame.set_len(front + len);
        let result = f(&mut frame.bytes_mut()[front..]);
        *self.sent = Some(Outbound::new(frame));
        result
    }
}
