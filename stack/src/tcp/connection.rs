//! One connection: smoltcp's control block with its guard, the sending and the receiving side, and what became of it all.
//! What the application does with it is in `connection/application.rs`, how it begins in `handshake.rs`, what arrives in
//! `receive.rs`, what leaves it in `transmit.rs`, what is said in place of smoltcp or of the peer in `interpreter.rs`,
//! what it shows of itself in `inspect.rs` and `traffic.rs`, when it gives memory back in `rest.rs`.

mod application;
mod handshake;
mod inspect;
mod interpreter;
mod receive;
mod rest;
mod traffic;
mod transmit;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use self::handshake::Opening;
use self::traffic::Traffic;
use super::adapter::{Adapter, FRONT, Outbound, Panicked, Path, State, Tcb};
use super::census::Stage;
use super::delay::AckDelay;
use super::guard::{Guard, Verdict};
use super::keepalive::{KeepAlive, Prober};
use super::receiver::Receiver;
use super::recovery::CongestionControl;
use super::retries::Retries;
use super::ring::Ring;
use super::segment::{ACK, Arrived, RST, SYN, after};
use super::sender::{Manners, Sender};
use super::timestamps::Timestamps;
use crate::engine::endpoint::EndpointId;
use crate::engine::output::Hop;
use crate::error::Error;
use crate::time::Instant;

/// R2 of RFC 1122 section 4.2.3.5, as `tcp_retries2` 15 of Linux, tcp(7).
const DATA_TIMEOUT: Duration = Duration::from_millis(924_600);
/// How long a peer may be silent when the application is gone: `tcp_fin_timeout`, tcp(7).
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take nothing of what is left then, with a closed window for example: about what the eight questions of
/// Linux take (`tcp_orphan_retries`, tcp(7)).
const STUCK_ORPHAN_TIMEOUT: Duration = Duration::from_secs(240);

/// What tells connections apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) local: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote: IpAddr,
    pub(crate) remote_port: u16,
}

impl Tuple {
    pub(crate) const fn local_address(&self) -> SocketAddr {
        SocketAddr::new(self.local, self.local_port)
    }

    pub(crate) const fn remote_address(&self) -> SocketAddr {
        SocketAddr::new(self.remote, self.remote_port)
    }
}

/// Where a connection stands for the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Active open under way.
    Connecting,
    /// Passive open under way.
    Embryonic,
    /// Established, or one direction closed.
    Open,
    /// Both directions are over.
    Over,
}

/// Sizes and switches of a connection that is being made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Bytes of the rings at first, and at most.
    pub(crate) receive: (usize, usize),
    pub(crate) send: (usize, usize),
    pub(crate) manners: Manners,
    pub(crate) control: CongestionControl,
    pub(crate) max_segment: Option<u16>,
    pub(crate) keepalive: KeepAlive,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) quick_ack: bool,
    pub(crate) syn_retries: Option<Retries>,
    pub(crate) defer_accept: Retries,
    pub(crate) fin_timeout: Option<Duration>,
    pub(crate) window_clamp: Option<usize>,
    /// What the timestamps begin with; `None` for no timestamps.
    pub(crate) timestamps: Option<u32>,
}

/// A TCP connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    /// The listener it came from, until it is accepted.
    pub(crate) listener: Option<EndpointId>,
    pub(crate) phase: Phase,
    /// What ended it, until somebody asks.
    pub(crate) error: Option<Error>,
    /// What the network said of it since there was progress: why it times out, if it does (RFC 1122 section 4.2.3.9).
    said: Option<Error>,
    /// The way to the peer, and the version of the routes it was looked up in.
    pub(crate) hop: Option<(Hop, u64)>,
    /// The endpoint's own address before connect gave it the one it has.
    pub(crate) bound_before: Option<(IpAddr, u16)>,
    /// When its progress is news to the neighbour table again.
    pub(crate) confirm_at: Instant,
    /// When the timer heap holds it.
    pub(crate) deadline: Option<Instant>,
    /// What was counted of it.
    pub(super) stage: Stage,
    /// Whether it stands on the transmit list.
    pub(crate) listed: bool,
    /// Whether the application is gone and the engine finishes alone.
    pub(crate) orphan: bool,
    /// Whether somebody waits for that.
    pub(crate) watched: bool,
    tcb: Tcb,
    guard: Guard,
    /// Nothing of it leaves any more and nothing is taken in.
    dead: bool,
    /// How long the peer may be silent, counted from `quiet_since`. smoltcp's own limit counts from the
    /// last segment of the peer, which may be long ago when the waiting starts.
    patience: Option<Duration>,
    quiet_since: Instant,
    /// When the peer acknowledged something new last, or the application went.
    progress_at: Instant,
    established: bool,
    read_shutdown: bool,
    write_shutdown: bool,
    /// A send found the ring full: it counts as full until half of it is free.
    blocked: bool,
    acks: AckDelay,
    settings: Settings,
    prober: Prober,
    sender: Sender,
    receiver: Receiver,
    stamps: Timestamps,
    /// What the sending side sends: what the application wrote and the peer has not acknowledged.
    outgoing: Ring,
    /// When to see whether the rings are used at all; see [`rest`].
    rests_at: Option<Instant>,
    /// When a segment that was out of place was answered last.
    challenged_at: Option<Instant>,
    /// What was said last in the handshake, while that goes on.
    opening: Option<Opening>,
    /// Nothing but new data asks for a transmission: what does not fill a super-frame may wait for more.
    only_data: bool,
    /// What came and what left.
    traffic: Traffic,
}

impl Connection {
    /// An active open; the SYN leaves with the next [`outbound`](Self::outbound).
    pub(crate) fn connect(now: Instant, tuple: Tuple, path: Path, settings: Settings, isn: u32) -> Self {
        let mut connection = Self::new(now, tuple, path, settings, isn, Phase::Connecting);
        connection.patience = Some(connection.handshake_patience());
        connection.tcb.connect(now, isn, tuple.local_port, tuple.remote_port);
        connection.guard.connecting(isn);
        connection
    }

    /// A passive open by the SYN that arrived.
    pub(crate) fn accept(
        now: Instant,
        tuple: Tuple,
        path: Path,
        settings: Settings,
        isn: u32,
        arrived: &Arrived<'_>,
    ) -> Option<Self> {
        let mut connection = Self::new(now, tuple, path, settings, isn, Phase::Embryonic);
        connection.patience = Some(connection.handshake_patience());
        let mut bytes = arrived.header(FRONT);
        let passed = connection.guard.inbound(&arrived.bytes[arrived.tcp..], &arrived.seg, None, None)
            == Verdict::Pass
            && connection.tcb.accept(now, isn, tuple.local_port, &mut bytes).is_ok()
            && connection.tcb.state() == State::SynReceived;
        connection.agree(now);
        passed.then_some(connection)
    }

    fn new(now: Instant, tuple: Tuple, path: Path, settings: Settings, isn: u32, phase: Phase) -> Self {
        let mut receiver = Receiver::new(now, settings.receive.0, settings.receive.1);
        receiver.set_clamp(settings.window_clamp);
        let Settings { manners, control, max_segment, .. } = settings;
        let mss = path.mss_within(max_segment);
        Self {
            tuple,
            listener: None,
            phase,
            error: None,
            said: None,
            hop: None,
            bound_before: None,
            confirm_at: Instant::ZERO,
            deadline: None,
            stage: Stage::of(phase),
            listed: false,
            orphan: false,
            watched: false,
            guard: Guard::new(receiver.limit(), path.v6),
            tcb: Tcb::new(path),
            dead: false,
            patience: None,
            quiet_since: now,
            progress_at: now,
            established: false,
            read_shutdown: false,
            write_shutdown: false,
            blocked: false,
            acks: AckDelay::new(settings.quick_ack),
            settings,
            prober: Prober::new(now),
            sender: Sender::new(isn, mss, path.frame_payload(), manners, control),
            receiver,
            stamps: Timestamps::new(settings.timestamps),
            outgoing: Ring::new(settings.send.0),
            rests_at: None,
            challenged_at: None,
            opening: None,
            only_data: false,
            traffic: Traffic::default(),
        }
    }

    /// Takes a segment in. Returns the immediate answer and whether the application should look.
    pub(crate) fn inbound(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
        arrived: &Arrived<'_>,
    ) -> Result<(Option<Outbound>, bool), Panicked> {
        if self.dead {
            return Ok((None, false));
        }
        let seg = arrived.seg;
        self.traffic.received.add(seg.payload_len, self.segment_size());
        let (next, una) = (self.expected(), self.una());
        match self.guard.inbound(&arrived.bytes[arrived.tcp..], &seg, next, una) {
            Verdict::Pass => {}
            Verdict::Challenge => return Ok((self.challenge(now), false)),
            Verdict::Drop => return Ok((None, false)),
        }
        if self.defers(&seg, next) {
            return Ok((None, false));
        }
        let before = self.standing();
        self.quiet_since = now;
        self.prober.heard(now);
        let answer = if !self.established {
            self.shake(adapter, now, arrived)?
        } else if seg.has(RST) {
            let before = self.tcb.state();
            self.hear(adapter, now, RST | ACK)?;
            self.follow(before, Some(reset_error(before)));
            None
        } else if seg.has(SYN) {
            self.challenge(now)
        } else {
            self.receive(adapter, now, arrived)?
        };
        if self.phase == Phase::Open && !self.orphan && self.is_flushed() {
            self.patience = None;
        }
        if self.blocked && self.send_room() > 0 {
            self.blocked = false;
        }
        Ok((answer, before != self.standing()))
    }

    /// Follows what the peer has offered in its SYN, once that is known.
    fn agree(&mut self, now: Instant) {
        if let Some(offer) = self.guard.offer() {
            self.stamps.agree(now, offer.timestamp);
        }
    }

    /// The sequence number that is expected of the peer next (RCV.NXT), once it has shown the first.
    fn expected(&self) -> Option<u32> {
        Some(self.receiver.next(self.first()?))
    }

    /// The sequence number of the peer's first byte.
    fn first(&self) -> Option<u32> {
        Some(self.guard.irs()?.wrapping_add(1))
    }

    /// Where the window ends that the peer knows of: until something was acknowledged that is what a SYN offers.
    fn edge(&self, next: u32) -> u32 {
        let first = || next.wrapping_add(self.receiver.first_window().into());
        self.guard.edge().unwrap_or_else(first)
    }

    /// The sequence number behind the peer's FIN, once that was taken.
    fn fin(&self) -> Option<u32> {
        self.expected().filter(|_| self.receiver.is_finished())
    }

    /// The sequence number that the peer is to acknowledge next (SND.UNA), once it has heard the first.
    fn una(&self) -> Option<u32> {
        match self.tcb.state() {
            State::SynSent | State::Listen | State::Closed => None,
            _ => Some(self.sender.una()),
        }
    }

    fn gives_up_at(&self) -> Option<Instant> {
        if self.orphan && self.tcb.state() == State::FinWait2 {
            // As Linux: what the peer says without ending its side does not make it longer.
            return Some(self.progress_at + self.settings.fin_timeout.unwrap_or(Duration::ZERO));
        }
        let silent = self.quiet_since + self.patience?;
        // Nor does an answer without progress keep what nobody waits for.
        Some(if self.orphan { silent.min(self.progress_at + STUCK_ORPHAN_TIMEOUT) } else { silent })
    }

    /// What the application may notice a change of.
    fn standing(&self) -> Standing {
        Standing {
            state: self.tcb.state(),
            has_peer: self.tcb.has_peer(),
            dead: self.dead,
            received: self.receiver.queue(),
            blocked: self.blocked,
        }
    }

    /// Draws the conclusions from a change of smoltcp's state.
    fn follow(&mut self, before: State, error_if_closed: Option<Error>) {
        let state = self.tcb.state();
        if state == before {
            return;
        }
        match (self.phase, state) {
            (Phase::Over, _) => {}
            (Phase::Connecting, State::SynSent | State::SynReceived) => {}
            (Phase::Embryonic, State::SynReceived) => {}
            // smoltcp goes back to LISTEN when a half-open connection is reset.
            (Phase::Embryonic, State::Closed | State::Listen) => self.phase = Phase::Over,
            (_, State::Closed) => {
                self.phase = Phase::Over;
                self.error = error_if_closed;
            }
            (Phase::Connecting | Phase::Embryonic, _) => {
                self.phase = Phase::Open;
                self.patience = self.orphan.then_some(ORPHAN_TIMEOUT);
            }
            (Phase::Open, _) => {}
        }
    }

    /// Ends the connection after smoltcp panicked: nothing of it is used again.
    fn broke(&mut self, panicked: Panicked) -> Panicked {
        self.phase = Phase::Over;
        self.error = Some(Error::ConnectionAborted);
        self.dead = true;
        panicked
    }

    /// Ends an open attempt with what the network said about it.
    pub(crate) fn fail(&mut self, error: Error) {
        if self.phase == Phase::Connecting {
            self.abort(Some(error));
        }
    }

    /// The network says that the segment with this number did not arrive. RFC 1122 section 4.2.3.9: that ends an open that is
    /// under way; one that was made goes on, and should it time out, this is why. False for a number that is not under way.
    pub(crate) fn hear_of(&mut self, seq: u32, error: Error) -> bool {
        let Some(sent) = self.guard.sent() else { return false };
        // All that has left of an open that is under way is its SYN.
        let una = self.una().unwrap_or_else(|| sent.wrapping_sub(1));
        if after(una, seq) || after(seq, sent) {
            return false;
        }
        self.said = Some(error);
        self.fail(error);
        true
    }

    /// Ends everything at once; a reset leaves if there is a peer that knows of the connection.
    pub(crate) fn abort(&mut self, error: Option<Error>) {
        self.phase = Phase::Over;
        self.error = error;
        self.dead |= self.tcb.state() == State::SynSent;
        self.tcb.abort();
    }

    /// The application is gone (RFC 9293 section 3.10.4): FIN behind what is queued, RST if it left
    /// received data unread (RFC 2525 section 2.17).
    pub(crate) fn close(&mut self, now: Instant) {
        self.orphan = true;
        if self.receiver.queue() > 0 || self.tcb.state() == State::SynSent {
            self.abort(None);
            return;
        }
        (self.quiet_since, self.progress_at) = (now, now);
        self.patience = Some(ORPHAN_TIMEOUT);
        self.write_shutdown = true;
        self.read_shutdown = true;
        self.sender.finish();
    }

    /// Data that arrives behind an application that is gone resets the connection (RFC 1122 section
    /// 4.2.2.13). Says whether it did.
    pub(crate) fn reset_if_unheard(&mut self) -> bool {
        let unheard = self.orphan && self.phase != Phase::Over && self.receiver.queue() > 0;
        if unheard {
            self.abort(None);
        }
        unheard
    }

    /// From now on something is to be acknowledged, if nothing was before.
    fn wait_for_peer(&mut self, now: Instant, patience: Duration) {
        if self.patience.is_none() {
            self.quiet_since = now;
            self.patience = Some(patience);
        }
    }

    /// Whether nothing of it is needed any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.dead
            || match self.tcb.state() {
                State::Closed | State::Listen => !self.tcb.has_peer(),
                _ => false,
            }
    }

    /// Whether it only keeps its 4-tuple from being used again.
    pub(crate) fn is_waiting_out(&self) -> bool {
        self.orphan && self.tcb.state() == State::TimeWait
    }

    /// Whether an acknowledgement of the peer's FIN has left.
    pub(crate) fn has_acknowledged_fin(&self) -> bool {
        self.receiver.is_finished() && self.expected() == self.guard.acknowledged()
    }

    /// Whether everything the application sent, FIN included, was acknowledged.
    pub(crate) fn is_flushed(&self) -> bool {
        match self.tcb.state() {
            State::Closed | State::Listen => !self.tcb.has_peer(),
            State::FinWait2 | State::TimeWait => true,
            State::FinWait1 | State::Closing | State::LastAck => false,
            _ => !self.sender.is_unfinished(),
        }
    }

    /// Whether the handshake was ever completed.
    pub(crate) const fn was_established(&self) -> bool {
        self.established
    }

    pub(crate) fn is_established(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The end of what we sent, and of what the peer sent or what of it was acknowledged.
    pub(crate) fn ends(&self) -> (Option<u32>, Option<u32>) {
        (self.guard.sent(), self.fin().or_else(|| self.guard.acknowledged()))
    }

    #[cfg(test)]
    pub(crate) const fn sabotage(&mut self) {
        self.tcb.sabotage();
    }
}

/// See [`Connection::standing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    state: State,
    has_peer: bool,
    dead: bool,
    received: usize,
    /// Whether a sender that found the ring full still waits.
    blocked: bool,
}

/// Whether smoltcp has taken the peer's FIN in that state.
const fn heard_fin(state: State) -> bool {
    matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed)
}

/// The errno of a reset, by the state it hits, as Linux has it.
const fn reset_error(state: State) -> Error {
    match state {
        State::SynSent => Error::ConnectionRefused,
        State::CloseWait => Error::BrokenPipe,
        _ => Error::ConnectionReset,
    }
}
