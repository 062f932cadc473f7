//! The one file that names smoltcp's sockets.
//!
//! smoltcp serves as handshake and close machine of one connection at a time: each connection has a fresh `tcp::Socket` in
//! a `SocketSet` of its own. No data passes through it: it never hears of more than a SYN and a FIN of either side. To
//! smoltcp every connection runs between the same two IPv4 addresses, whatever its real ones: a segment is shown to it
//! behind a made-up IPv4 header, and what it emits gets the real header afterwards. So one code path serves IPv4 and
//! IPv6, and the stack's addresses are no concern of smoltcp's.

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpListenEndpoint};

pub(crate) use smoltcp::socket::tcp::State;

use super::isn::smoltcp_seed;
use super::segment;
use crate::link::{Frame, MAX_SUPER_FRAME};
use crate::net::{checksum, ethernet, ip};
use crate::time::Instant;

/// The addresses that smoltcp believes in.
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// Room in front of the TCP header of a segment that is shown to smoltcp.
pub(crate) const FRONT: usize = ip::V4_HEADER_LEN;

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
        let least = ip::V4_HEADER_LEN + segment::MAX_HEADER_LEN + 1;
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

/// The receive buffer of smoltcp's socket, in bytes: it is never filled, but without one no FIN is in its window.
const TOKEN_BUFFER: usize = 64;

/// One connection inside smoltcp (a transmission control block).
#[derive(Debug)]
pub(crate) struct Tcb {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    path: Path,
    #[cfg(test)]
    sabotaged: bool,
}

impl Tcb {
    /// A closed connection.
    pub(crate) fn new(path: Path) -> Self {
        let buffer = |len| tcp::SocketBuffer::new(vec![0; len]);
        let mut sockets = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = sockets.add(tcp::Socket::new(buffer(TOKEN_BUFFER), buffer(0)));
        Self {
            sockets,
            handle,
            path,
            #[cfg(test)]
            sabotaged: false,
        }
    }

    /// Has smoltcp panic at the next segment that it is shown.
    #[cfg(test)]
    pub(crate) const fn sabotage(&mut self) {
        self.sabotaged = true;
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
        self.sockets.get(self.handle)
    }

    fn socket_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Starts an active open with the given initial sequence number. Ports are not 0.
    pub(crate) fn connect(&mut self, now: Instant, isn: u32, local_port: u16, remote_port: u16) {
        let mut interface = new_interface(self.path, smoltcp_seed(isn), now);
        let remote = IpEndpoint::new(IpAddress::Ipv4(REMOTE), remote_port);
        let local = IpListenEndpoint { addr: Some(IpAddress::Ipv4(LOCAL)), port: local_port };
        let connected = self.socket_mut().connect(interface.context(), remote, local);
        debug_assert!(connected.is_ok(), "a closed socket with proper ports connects");
    }

    /// Starts a passive open with the given initial sequence number: `bytes` is the SYN, behind [`FRONT`] bytes.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        isn: u32,
        local_port: u16,
        bytes: &mut [u8],
    ) -> Result<(), Panicked> {
        let listening = self.socket_mut().listen(local_port);
        debug_assert!(listening.is_ok(), "a closed socket with a proper port listens");
        let mut interface = new_interface(self.path, smoltcp_seed(isn), now);
        self.ingress_on(&mut interface, now, bytes).map(drop)
    }

    /// Shows a segment to smoltcp, behind [`FRONT`] bytes, which are overwritten. Returns the answer, if it has one at
    /// once.
    pub(crate) fn ingress(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
        bytes: &mut [u8],
    ) -> Result<Option<Outbound>, Panicked> {
        self.ingress_on(adapter.interface(self.path, now), now, bytes)
    }

    fn ingress_on(
        &mut self,
        interface: &mut Interface,
        now: Instant,
        packet: &mut [u8],
    ) -> Result<Option<Outbound>, Panicked> {
        ip::emit(packet, REMOTE.into(), LOCAL.into(), checksum::TCP, ip::DEFAULT_TTL);
        let mut wire = Wire::new(self.path, Some(packet));
        let sockets = &mut self.sockets;
        catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            assert!(!self.sabotaged, "as the test wants it");
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
        let sockets = &mut self.sockets;
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
        let sockets = &self.sockets;
        let at = catch_unwind(AssertUnwindSafe(|| interface.poll_at(smol_instant(now), sockets)));
        // After a panic it is due: then it panics where that ends the connection.
        let at = at.unwrap_or_else(|_| Some(smol_instant(now)))?;
        Some(Instant::from_nanos(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000)))
    }

    pub(crate) fn state(&self) -> State {
        self.socket().state()
    }

    /// Whether smoltcp still has a peer: false once a reset has left or the connection is over.
    pub(crate) fn has_peer(&self) -> bool {
        self.socket().remote_endpoint().is_some()
    }

    /// Sends FIN, at the next [`egress`](Self::egress).
    pub(crate) fn close(&mut self) {
        self.socket_mut().close();
    }

    /// Sends RST, at the next [`egress`](Self::egress).
    pub(crate) fn abort(&mut self) {
        self.socket_mut().abort();
    }
}

fn smol_instant(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(i64::try_from(now.as_nanos() / 1000).unwrap_or(i64::MAX))
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
        // A SYN may get timestamps.
        let mut frame = Frame::with_capacity(front + len + segment::TIMESTAMPS_LEN);
        frame.set_len(front + len);
        let result = f(&mut frame.bytes_mut()[front..]);
        *self.sent = Some(Outbound::new(frame));
        result
    }
}
