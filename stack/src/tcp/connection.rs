//! One connection: smoltcp's control block with its guard, the sending side, and what became of it all. What the
//! application does with it is in `connection/application.rs`, how it begins in `handshake.rs`, what leaves it in
//! `transmit.rs`, what is said in place of smoltcp or of the peer in `interpreter.rs`.

mod application;
mod handshake;
mod interpreter;
mod transmit;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use self::handshake::Opening;
use super::adapter::{Adapter, Outbound, Panicked, Path, State, Tcb};
use super::delay::{ACK_DELAY, AckDelay, Arrival};
use super::guard::{Guard, Verdict};
use super::keepalive::{KeepAlive, Prober};
use super::received::Received;
use super::recovery::CongestionControl;
use super::retries::Retries;
use super::segment::{self, ACK, Arrived, FIN, RST, SYN, Segment, after};
use super::sender::{Manners, Sender};
use super::urgent::Mark;
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
    pub(crate) receive: usize,
    pub(crate) send: usize,
    pub(crate) manners: Manners,
    pub(crate) control: CongestionControl,
    pub(crate) max_segment: Option<u16>,
    pub(crate) keepalive: KeepAlive,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) quick_ack: bool,
    pub(crate) syn_retries: Option<Retries>,
    pub(crate) defer_accept: Retries,
    pub(crate) fin_timeout: Option<Duration>,
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
    /// The way to the peer, and the version of the routes it was looked up in.
    pub(crate) hop: Option<(Hop, u64)>,
    /// The endpoint's own address before connect gave it the one it has.
    pub(crate) bound_before: Option<(IpAddr, u16)>,
    /// When its progress is news to the neighbour table again.
    pub(crate) confirm_at: Instant,
    /// When the timer heap holds it.
    pub(crate) deadline: Option<Instant>,
    /// Whether it stands on the transmit list.
    pub(crate) listed: bool,
    /// Whether the application is gone and the engine finishes alone.
    pub(crate) orphan: bool,
    tcb: Tcb,
    guard: Guard,
    /// Sequence number behind the peer's FIN, once it was taken.
    fin: Option<u32>,
    /// Bytes of the peer that the application took, modulo 2^32.
    taken: u32,
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
    received: Received,
    urgent: Mark,
    /// What was said last in the handshake, while that goes on.
    opening: Option<Opening>,
    /// Nothing but new data asks for a transmission: what does not fill a super-frame may wait for more.
    only_data: bool,
}

impl Connection {
    /// An active open; the SYN leaves with the next [`outbound`](Self::outbound).
    pub(crate) fn connect(
        now: Instant,
        tuple: Tuple,
        path: Path,
        settings: Settings,
        isn: u32,
    ) -> io::Result<Self> {
        let mut connection = Self::new(now, tuple, path, settings, isn, Phase::Connecting)?;
        connection.patience = Some(connection.handshake_patience());
        connection.tcb.connect(now, isn, tuple.local_port, tuple.remote_port);
        connection.guard.connecting(isn);
        Ok(connection)
    }

    /// A passive open by the SYN that arrived.
    pub(crate) fn accept(
        now: Instant,
        tuple: Tuple,
        path: Path,
        settings: Settings,
        isn: u32,
        arrived: Arrived<'_>,
    ) -> io::Result<Option<Self>> {
        let Arrived { bytes, tcp, seg } = arrived;
        let mut connection = Self::new(now, tuple, path, settings, isn, Phase::Embryonic)?;
        connection.patience = Some(connection.handshake_patience());
        let passed = connection.guard.inbound(&mut bytes[tcp..], &seg, None, None) == Verdict::Pass
            && connection.tcb.accept(now, isn, tuple.local_port, bytes, tcp).is_ok()
            && connection.tcb.state() == State::SynReceived;
        Ok(passed.then_some(connection))
    }

    fn new(
        now: Instant,
        tuple: Tuple,
        path: Path,
        settings: Settings,
        isn: u32,
        phase: Phase,
    ) -> io::Result<Self> {
        let tcb = Tcb::new(path, settings.receive, settings.send)?;
        let Settings { manners, control, max_segment, .. } = settings;
        let mss = path.mss_within(max_segment);
        Ok(Self {
            tuple,
            listener: None,
            phase,
            error: None,
            hop: None,
            bound_before: None,
            confirm_at: Instant::ZERO,
            deadline: None,
            listed: false,
            orphan: false,
            guard: Guard::new(tcb.recv_capacity(), path.v6),
            tcb,
            fin: None,
            taken: 0,
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
            received: Received::default(),
            urgent: Mark::default(),
            opening: None,
            only_data: false,
        })
    }

    /// Takes a segment in. Returns the immediate answer and whether the application should look.
    pub(crate) fn inbound(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
        mut arrived: Arrived<'_>,
    ) -> Result<(Option<Outbound>, bool), Panicked> {
        if self.dead {
            return Ok((None, false));
        }
        let (next, una) = (self.expected(), self.una());
        let verdict = self.guard.inbound(&mut arrived.bytes[arrived.tcp..], &arrived.seg, next, una);
        match (verdict, next) {
            (Verdict::Pass, _) => {}
            (Verdict::Cut(len), _) => arrived.cut(len),
            // smoltcp answers a keep-alive once a second at most (RFC 5961 section 7).
            (Verdict::Challenge, Some(next)) => {
                let answer = self.hear(adapter, now, next.wrapping_sub(1), ACK)?;
                return Ok((answer, false));
            }
            (Verdict::Drop | Verdict::Challenge, _) => return Ok((None, false)),
        }
        if self.defers(&arrived.seg, next) {
            return Ok((None, false));
        }
        let behind = self.behind_fin(&arrived.seg);
        if behind > 0 {
            arrived.cut(behind);
        }
        let seg = arrived.seg;
        let before = self.standing();
        self.quiet_since = now;
        self.prober.heard(now);
        if self.established
            && seg.has(ACK)
            && seg.flags & (SYN | RST) == 0
            && self.guard.is_recent(&seg, next)
        {
            self.acknowledged(now, &arrived);
        }
        if self.una() != una {
            self.progress_at = now;
        }
        if let Some(next) = next
            && seg.flags & (SYN | RST) == 0
            && self.guard.is_recent(&seg, Some(next))
        {
            self.urgent.heard(&seg, next);
        }
        let answer = if self.concerns_sender_only(&seg, next) || (behind > 0 && seg.payload_len == 0) {
            None
        } else if let Some(edge) = self.keeps(&seg, next) {
            let data = &arrived.bytes[arrived.tcp + seg.header_len..][..seg.payload_len];
            self.received.keep(&seg, data, edge);
            Some(self.say_what_waits(adapter, now)?)
        } else {
            if let Some(next) = next {
                self.received.compare(&seg, next);
            }
            self.pass_on(adapter, now, arrived)?
        };
        if self.phase == Phase::Open && !self.orphan && self.is_flushed() {
            self.patience = None;
        }
        if self.blocked && self.send_room() > 0 {
            self.blocked = false;
        }
        Ok((answer, before != self.standing()))
    }

    /// Bytes of a segment that stand where the peer's FIN stands or behind it: nobody's (RFC 9293 section 3.10.7.4,
    /// seventh: ignore the segment text).
    fn behind_fin(&self, seg: &Segment) -> usize {
        let Some(fin) = self.fin.filter(|_| seg.payload_len > 0) else { return 0 };
        let over = seg.seq.wrapping_add(seg.payload_len as u32).wrapping_sub(fin.wrapping_sub(1)) as i32;
        usize::try_from(over).unwrap_or(0).min(seg.payload_len)
    }

    /// Tells the sending side what an acceptable segment acknowledges.
    fn acknowledged(&mut self, now: Instant, arrived: &Arrived<'_>) {
        let (blocks, count) = segment::blocks(&arrived.bytes[arrived.tcp..], &arrived.seg);
        let acknowledged = self.sender.heard(now, &arrived.seg, &blocks[..count]);
        self.tcb.acknowledged(acknowledged);
    }

    /// Whether a segment says nothing that smoltcp would have to know: an acknowledgement of data, without any.
    fn concerns_sender_only(&self, seg: &Segment, next: Option<u32>) -> bool {
        let bare = seg.payload_len == 0 && seg.flags & (SYN | FIN | RST) == 0;
        // It has to hear of its FIN, and to answer what asks for an answer.
        let sending = match self.tcb.state() {
            State::Established | State::CloseWait => true,
            State::FinWait1 | State::Closing | State::LastAck => !self.sender.is_finished(),
            _ => false,
        };
        bare && sending && self.established && next == Some(seg.seq)
    }

    /// Whether the data of a segment has to wait for what is missing in front of it; the end of the window if so.
    fn keeps(&self, seg: &Segment, next: Option<u32>) -> Option<u32> {
        let (next, edge) = (next?, self.guard.edge()?);
        let ahead =
            self.established && self.fin.is_none() && seg.payload_len > 0 && seg.flags & (SYN | RST) == 0;
        (ahead && after(seg.seq, next) && after(edge, seg.seq)).then_some(edge)
    }

    /// Shows a segment to smoltcp and follows it. Returns its immediate answer.
    fn pass_on(
        &mut self,
        adapter: &mut Adapter,
        now: Instant,
        arrived: Arrived<'_>,
    ) -> Result<Option<Outbound>, Panicked> {
        let Arrived { bytes, tcp, seg } = arrived;
        let before = self.tcb.state();
        let at_once = self.acks.arrived(
            now,
            &Arrival {
                len: seg.payload_len,
                fin: seg.has(FIN),
                most: self.largest_segment(),
                window: self.tcb.recv_capacity() - self.tcb.recv_queue(),
                timeout: self.sender.timeout(),
            },
        );
        self.tcb.set_ack_delay(if at_once { Duration::ZERO } else { ACK_DELAY });
        if self.established && seg.has(ACK) {
            segment::set_ack(&mut bytes[tcp..], self.shown_ack());
        }
        let mut answer =
            self.tcb.ingress(adapter, now, bytes, tcp).map_err(|panicked| self.broke(panicked))?;
        let reset = seg.has(RST).then(|| reset_error(before));
        self.took(before, seg.end(), reset);
        if self.phase == Phase::Open && !self.established {
            self.open(now, &seg);
        }
        if self.received.has_gaps()
            && let Some(filled) = self.fill(adapter, now)?
        {
            answer = Some(filled);
        } else if let Some(answer) = &mut answer {
            self.label(answer);
            self.left(now, answer, true);
        }
        let next = self.expected();
        if let Some(at) = self.guard.take_early_fin(next)
            && self.fin.is_none()
        {
            let before = self.tcb.state();
            // What it answers is the acknowledgement that leaves with the next segment anyway.
            self.hear(adapter, now, at, FIN | ACK)?;
            self.took(before, at.wrapping_add(1), None);
        }
        Ok(answer)
    }

    /// Takes in what waited for the data that has just arrived, and acknowledges it at once (RFC 5681 section 4.2).
    fn fill(&mut self, adapter: &mut Adapter, now: Instant) -> Result<Option<Outbound>, Panicked> {
        let mut moved = false;
        // What was kept behind a FIN is nobody's.
        while self.fin.is_none()
            && let Some(next) = self.expected()
            && let Some((seq, mut bytes)) = self.received.take(next)
        {
            self.tcb.set_ack_delay(Duration::ZERO);
            self.show(adapter, now, &mut bytes, seq, ACK)?;
            moved = true;
            if self.expected() == Some(next) {
                // smoltcp did not take it.
                break;
            }
        }
        if moved { self.say_what_waits(adapter, now).map(Some) } else { Ok(None) }
    }

    /// Follows smoltcp after it took a segment in that ends at `end`; `reset` if it was one.
    fn took(&mut self, before: State, end: u32, reset: Option<Error>) {
        let state = self.tcb.state();
        if !heard_fin(before) && heard_fin(state) && state != State::Closed {
            self.fin = Some(end);
        }
        self.follow(before, reset);
    }

    /// The sequence number that is expected of the peer next (RCV.NXT), once it has shown the first.
    fn expected(&self) -> Option<u32> {
        let first = self.first_waiting()?;
        // Modulo 2^32, as sequence numbers are.
        let waiting = self.tcb.recv_queue() as u32;
        Some(self.fin.unwrap_or_else(|| first.wrapping_add(waiting)))
    }

    /// The sequence number of the first byte of the peer's that the application has not taken.
    fn first_waiting(&self) -> Option<u32> {
        Some(self.guard.irs()?.wrapping_add(1).wrapping_add(self.taken))
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
            received: self.tcb.recv_queue(),
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
        if self.tcb.recv_queue() > 0 || self.tcb.state() == State::SynSent {
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
        let unheard = self.orphan && self.phase != Phase::Over && self.tcb.recv_queue() > 0;
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
        self.fin.is_some() && self.fin == self.guard.acknowledged()
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
        (self.guard.sent(), self.fin.or_else(|| self.guard.acknowledged()))
    }

    #[cfg(test)]
    pub(crate) const fn disarm_guard(&mut self) {
        self.guard.disarm();
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
