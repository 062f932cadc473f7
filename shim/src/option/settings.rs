//! The options of a socket as getsockopt(2) shows them. What of it the engine must know is handed on
//! when it is set.

use super::stored;
use ioth_stack::{CongestionControl, Options, Retries};
use rustix::net::sockopt::{self, Timeout};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// An option that is on or off.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Flag {
    /// `SO_REUSEADDR`.
    ReuseAddress = 1,
    /// `SO_BROADCAST`.
    Broadcast = 2,
    /// `SO_KEEPALIVE`.
    KeepAlive = 4,
    /// `TCP_NODELAY`.
    NoDelay = 8,
    /// `IPV6_V6ONLY`.
    V6Only = 16,
    /// `TCP_CORK`.
    Cork = 32,
    /// `TCP_CONGESTION` is "reno", not "cubic".
    Reno = 64,
    /// `TCP_QUICKACK` as it was set; the engine knows what became of it.
    QuickAck = 128,
    /// `SO_OOBINLINE`.
    OobInline = 256,
    /// `SO_REUSEPORT`.
    ReusePort = 1 << 9,
    /// `SO_TIMESTAMP`.
    Timestamp = 1 << 10,
    /// `SO_TIMESTAMPNS`.
    TimestampNanos = 1 << 11,
    /// `SO_RXQ_OVFL`.
    Drops = 1 << 12,
    /// `IP_RECVTTL`.
    RecvTtl = 1 << 13,
    /// `IP_RECVTOS`.
    RecvTos = 1 << 14,
    /// `IP_PKTINFO`.
    PacketInfo = 1 << 15,
    /// `IPV6_RECVHOPLIMIT`.
    RecvHopLimit = 1 << 16,
    /// `IPV6_RECVTCLASS`.
    RecvTrafficClass = 1 << 17,
    /// `IPV6_RECVPKTINFO`.
    PacketInfoV6 = 1 << 18,
    /// `IP_RECVERR`.
    RecvErrors = 1 << 19,
    /// `IPV6_RECVERR`.
    RecvErrorsV6 = 1 << 20,
    /// `IPV6_DONTFRAG`.
    DontFragmentV6 = 1 << 21,
    /// `UDP_GRO`.
    WholeSuperFrames = 1 << 22,
    /// `PACKET_AUXDATA`.
    AuxData = 1 << 23,
    /// `PACKET_IGNORE_OUTGOING`.
    IgnoreOutgoing = 1 << 24,
    /// `UDP_CORK`.
    UdpCork = 1 << 25,
    /// `SO_DONTROUTE`.
    OnLink = 1 << 26,
}

/// Those that ask for control messages beside a datagram.
const ASK_FOR_CONTROLS: u32 = Flag::Timestamp as u32
    | Flag::TimestampNanos as u32
    | Flag::Drops as u32
    | Flag::RecvTtl as u32
    | Flag::RecvTos as u32
    | Flag::PacketInfo as u32
    | Flag::RecvHopLimit as u32
    | Flag::RecvTrafficClass as u32
    | Flag::PacketInfoV6 as u32
    | Flag::WholeSuperFrames as u32;

/// The options of one socket. Atomic, so that a forked child never finds a lock held.
#[derive(Debug)]
pub(crate) struct Settings {
    flags: AtomicU32,
    recv_timeout: AtomicU64,
    send_timeout: AtomicU64,
    recv_buffer: AtomicI32,
    send_buffer: AtomicI32,
    /// `SO_LINGER`: the seconds, and in the upper half whether it is on.
    linger: AtomicI64,
    /// `SO_TIMESTAMPING`.
    stamping: AtomicI32,
    /// The options of TCP that are numbers, by [`Number`].
    numbers: [AtomicI32; 9],
    /// Those of IP and UDP, by [`IpNumber`].
    ip_numbers: [AtomicI32; 15],
    /// Those that are in one list.
    stored: [AtomicI32; stored::COUNT],
}

/// An option of IP or UDP that is a number, as getsockopt(2) shows it, but for -1: what the system has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IpNumber {
    /// `IP_TTL`.
    Ttl,
    /// `IP_TOS`.
    Tos,
    /// `IP_MTU_DISCOVER`.
    Discovery,
    /// `IPV6_UNICAST_HOPS`.
    HopLimit,
    /// `IPV6_TCLASS`.
    TrafficClass,
    /// `IPV6_MTU_DISCOVER`.
    DiscoveryV6,
    /// `UDP_SEGMENT`; 0 for none.
    DatagramSize,
    /// `IP_MULTICAST_TTL`.
    GroupTtl,
    /// `IP_MULTICAST_LOOP`.
    GroupLoop,
    /// `IP_MULTICAST_ALL`.
    GroupAll,
    /// `IP_MULTICAST_IF`: the bytes of the address.
    GroupSource,
    /// `IPV6_MULTICAST_HOPS`.
    GroupHops,
    /// `IPV6_MULTICAST_LOOP`.
    GroupLoopV6,
    /// `IPV6_MULTICAST_ALL`.
    GroupAllV6,
    /// `IPV6_MULTICAST_IF`.
    GroupInterfaceV6,
}

/// An option of TCP that is a number, tcp(7).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    /// `TCP_KEEPIDLE`, in seconds.
    KeepIdle,
    /// `TCP_KEEPINTVL`, in seconds.
    KeepInterval,
    /// `TCP_KEEPCNT`.
    KeepCount,
    /// `TCP_USER_TIMEOUT`, in milliseconds; 0 for what the system has.
    UserTimeout,
    /// `TCP_MAXSEG` as it was set, in bytes; 0 for what fits.
    MaxSegment,
    /// `TCP_DEFER_ACCEPT`, in seconds.
    DeferAccept,
    /// `TCP_SYNCNT`.
    SynCount,
    /// `TCP_LINGER2`, in seconds; -1 for none.
    Linger2,
    /// `TCP_WINDOW_CLAMP`, in bytes; 0 for what there is room for.
    WindowClamp,
}

impl Settings {
    /// What a new endpoint has.
    pub(crate) fn new(options: &Options) -> Self {
        let shown = |bytes: usize| AtomicI32::new(i32::try_from(bytes).unwrap_or(i32::MAX));
        let settings = Self {
            flags: AtomicU32::new(0),
            recv_timeout: AtomicU64::new(0),
            send_timeout: AtomicU64::new(0),
            recv_buffer: shown(options.recv_buffer),
            send_buffer: shown(options.send_buffer),
            linger: AtomicI64::new(0),
            stamping: AtomicI32::new(0),
            numbers: Default::default(),
            // Nothing set, no differentiated service, IP_PMTUDISC_WANT; to groups one hop, and back to members here.
            ip_numbers: [-1, 0, 1, -1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0].map(AtomicI32::new),
            stored: stored::initial().map(AtomicI32::new),
        };
        settings.set(Flag::ReuseAddress, options.reuse_address);
        settings.set(Flag::Broadcast, options.broadcast);
        settings.set(Flag::NoDelay, options.nodelay);
        settings.set(Flag::V6Only, options.v6_only);
        settings.set(Flag::KeepAlive, options.keepalive.on);
        settings.set(Flag::Cork, options.cork);
        settings.set(Flag::Reno, options.congestion_control == CongestionControl::Reno);
        settings.set(Flag::QuickAck, options.quick_ack);
        let number = |amount: u128| i32::try_from(amount).unwrap_or(i32::MAX);
        settings.set_number(Number::KeepIdle, number(options.keepalive.idle.as_secs().into()));
        settings.set_number(Number::KeepInterval, number(options.keepalive.interval.as_secs().into()));
        settings.set_number(Number::KeepCount, options.keepalive.count.into());
        settings
            .set_number(Number::UserTimeout, number(options.user_timeout.map_or(0, |time| time.as_millis())));
        settings.set_number(Number::MaxSegment, options.max_segment.unwrap_or(0).into());
        settings.set_number(Number::DeferAccept, number(options.defer_accept.duration().as_secs().into()));
        settings.set_number(Number::SynCount, options.syn_retries.unwrap_or(Retries::SYN).count().into());
        let linger2 = options.fin_timeout.map_or(-1, |time| number(time.as_secs().into()));
        settings.set_number(Number::Linger2, linger2);
        let clamp = options.window_clamp.map_or(0, |clamp| number(clamp as u128));
        settings.set_number(Number::WindowClamp, clamp);
        settings
    }

    /// Copies what an accepted connection has from its listener.
    pub(crate) fn inherit(&self, listener: &Self) {
        self.flags.store(listener.flags.load(Relaxed), Relaxed);
        self.recv_timeout.store(listener.recv_timeout.load(Relaxed), Relaxed);
        self.send_timeout.store(listener.send_timeout.load(Relaxed), Relaxed);
        self.recv_buffer.store(listener.recv_buffer.load(Relaxed), Relaxed);
        self.send_buffer.store(listener.send_buffer.load(Relaxed), Relaxed);
        self.linger.store(listener.linger.load(Relaxed), Relaxed);
        self.stamping.store(listener.stamping.load(Relaxed), Relaxed);
        let numbers = self.numbers.iter().chain(&self.ip_numbers);
        for (own, theirs) in numbers.zip(listener.numbers.iter().chain(&listener.ip_numbers)) {
            own.store(theirs.load(Relaxed), Relaxed);
        }
        for (own, theirs) in self.stored.iter().zip(&listener.stored) {
            own.store(theirs.load(Relaxed), Relaxed);
        }
        // As Linux: an accepted connection has the priority that its type of service says.
        self.set_stored(stored::PRIORITY, 0);
        // As Linux: this is the listener's alone.
        self.set_number(Number::DeferAccept, 0);
    }

    /// Gives the descriptor those that plain calls on it need, too.
    pub(crate) fn apply(&self, fd: &OwnedFd) -> io::Result<()> {
        if let Some(timeout) = self.recv_timeout() {
            sockopt::set_socket_timeout(fd, Timeout::Recv, Some(timeout))?;
        }
        if let Some(timeout) = self.send_timeout() {
            sockopt::set_socket_timeout(fd, Timeout::Send, Some(timeout))?;
        }
        if self.has(Flag::OobInline) {
            sockopt::set_socket_oobinline(fd, true)?;
        }
        Ok(())
    }

    /// Turns an option on or off.
    pub(crate) fn set(&self, flag: Flag, on: bool) {
        if on {
            self.flags.fetch_or(flag as u32, Relaxed);
        } else {
            self.flags.fetch_and(!(flag as u32), Relaxed);
        }
    }

    /// Sets `SO_RCVTIMEO`; `None` waits for ever.
    pub(crate) fn set_recv_timeout(&self, timeout: Option<Duration>) {
        self.recv_timeout.store(micros(timeout), Relaxed);
    }

    /// Sets `SO_SNDTIMEO`; `None` waits for ever.
    pub(crate) fn set_send_timeout(&self, timeout: Option<Duration>) {
        self.send_timeout.store(micros(timeout), Relaxed);
    }

    /// Sets what `SO_RCVBUF` shows.
    pub(crate) fn set_recv_buffer(&self, shown: i32) {
        self.recv_buffer.store(shown, Relaxed);
    }

    /// Sets what `SO_SNDBUF` shows.
    pub(crate) fn set_send_buffer(&self, shown: i32) {
        self.send_buffer.store(shown, Relaxed);
    }

    /// Sets `SO_LINGER`. As Linux: turned off, it keeps the seconds that it had.
    pub(crate) fn set_linger(&self, on: bool, seconds: i32) {
        let seconds = if on { seconds.max(0) } else { self.shown_linger().1 };
        self.linger.store(i64::from(on) << 32 | i64::from(seconds), Relaxed);
    }

    /// Sets `SO_TIMESTAMPING`.
    pub(crate) fn set_stamping(&self, flags: i32) {
        self.stamping.store(flags, Relaxed);
    }

    /// Sets an option of TCP that is a number.
    pub(crate) fn set_number(&self, number: Number, value: i32) {
        self.numbers[number as usize].store(value, Relaxed);
    }

    /// An option of TCP that is a number.
    pub(crate) fn number(&self, number: Number) -> i32 {
        self.numbers[number as usize].load(Relaxed)
    }

    /// Sets an option of IP that is a number.
    pub(crate) fn set_ip_number(&self, number: IpNumber, value: i32) {
        self.ip_numbers[number as usize].store(value, Relaxed);
    }

    /// An option of IP that is a number.
    pub(crate) fn ip_number(&self, number: IpNumber) -> i32 {
        self.ip_numbers[number as usize].load(Relaxed)
    }

    /// Sets an option of the list.
    pub(crate) fn set_stored(&self, at: usize, value: i32) {
        self.stored[at].store(value, Relaxed);
    }

    /// An option of the list.
    pub(crate) fn stored(&self, at: usize) -> i32 {
        self.stored[at].load(Relaxed)
    }

    /// `SO_RCVLOWAT`: so many bytes of a stream are waited for.
    pub(crate) fn low_water(&self) -> usize {
        usize::try_from(self.stored(stored::LOW_WATER)).unwrap_or(1)
    }

    /// `SO_LOCK_FILTER`: the filter stays as it is.
    pub(crate) fn filter_is_locked(&self) -> bool {
        self.stored(stored::LOCK_FILTER) != 0
    }

    /// Whether anything asks for control messages beside a datagram.
    pub(crate) fn ask_for_controls(&self) -> bool {
        self.flags.load(Relaxed) & ASK_FOR_CONTROLS != 0
            || self.stamps_received()
            || self.original_destination(false)
            || self.original_destination(true)
    }

    /// Whether an option is on.
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.flags.load(Relaxed) & flag as u32 != 0
    }

    /// `SO_RCVTIMEO`.
    pub(crate) fn recv_timeout(&self) -> Option<Duration> {
        duration(self.recv_timeout.load(Relaxed))
    }

    /// `SO_SNDTIMEO`.
    pub(crate) fn send_timeout(&self) -> Option<Duration> {
        duration(self.send_timeout.load(Relaxed))
    }

    /// When a receiver that starts to wait now gives up.
    pub(crate) fn recv_deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.recv_timeout()?)
    }

    /// When a sender that starts to wait now gives up.
    pub(crate) fn send_deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.send_timeout()?)
    }

    /// What `SO_RCVBUF` shows.
    pub(crate) fn recv_buffer(&self) -> i32 {
        self.recv_buffer.load(Relaxed)
    }

    /// What `SO_SNDBUF` shows.
    pub(crate) fn send_buffer(&self) -> i32 {
        self.send_buffer.load(Relaxed)
    }

    /// `SO_LINGER` in seconds, if it is on.
    pub(crate) fn linger(&self) -> Option<i32> {
        Some(self.shown_linger()).filter(|(on, _)| *on).map(|(_, seconds)| seconds)
    }

    /// What `SO_LINGER` shows: whether it is on, and the seconds.
    pub(crate) fn shown_linger(&self) -> (bool, i32) {
        let both = self.linger.load(Relaxed);
        (both >> 32 != 0, (both & i64::from(i32::MAX)) as i32)
    }

    /// `SO_TIMESTAMPING`.
    pub(crate) fn stamping(&self) -> i32 {
        self.stamping.load(Relaxed)
    }

    /// Whether `SO_TIMESTAMPING` asks when datagrams were received: `SOF_TIMESTAMPING_RX_SOFTWARE` and
    /// `SOF_TIMESTAMPING_SOFTWARE`.
    pub(crate) fn stamps_received(&self) -> bool {
        const BOTH: i32 = 1 << 3 | 1 << 4;
        self.stamping() & BOTH == BOTH
    }

    /// Whether the address that a datagram was sent to is asked for: `IP_RECVORIGDSTADDR`, `IPV6_RECVORIGDSTADDR`.
    pub(crate) fn original_destination(&self, v6: bool) -> bool {
        self.stored(if v6 { stored::ORIGINAL_V6 } else { stored::ORIGINAL }) != 0
    }
}

/// 0 stands for no limit; a limit of nothing is the shortest there is.
fn micros(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX).max(1))
}

fn duration(micros: u64) -> Option<Duration> {
    (micros != 0).then(|| Duration::from_micros(micros))
}
