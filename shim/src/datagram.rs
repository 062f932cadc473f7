//! Datagram sockets: library calls go straight to the endpoint; for plain calls whole datagrams
//! travel through a message pair.
//!
//! Through the pair a datagram is bare while the socket has a peer, so that read(2) and write(2) work
//! as on a connected UDP socket. Without a peer each one follows an address of 32 bytes
//! ([`crate::address`]): its source when it is read, its destination when it is written. That is also
//! how library calls of a forked child pass addresses.

use crate::address;
use crate::arrivals::{How, wall_clock};
use crate::connect::fit;
use crate::errno::fail;
use crate::inside::{self, Inside};
use crate::packet;
use crate::pair::{self, Given};
use crate::plain::{recv_flags, send_flags};
use crate::pump::Left;
use crate::state::{Phase, Shared};
use crate::sys::constants::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC};
use crate::table::{self, Socket};
use crate::transfer::{Step, attempt, decision, leave, receive_with, wait, would_block};
use ioth_stack::link::MAX_SUPER_FRAME;
use ioth_stack::{
    Arrival, Attachment, Cause, Context, DatagramOptions, EndpointId, Error, Kind, Pump, ReceivedError,
};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, recv, recvmsg, send, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

/// What a receive gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Length of the datagram, of which so much was copied as there was room for.
    pub(crate) len: usize,
    /// Where it came from.
    pub(crate) from: Option<SocketAddr>,
    /// How it arrived, if that is asked for.
    pub(crate) how: Option<How>,
}

impl Taken {
    /// The length that a call with room for so many bytes returns.
    pub(crate) const fn shown(&self, room: usize, flags: i32) -> usize {
        if flags & MSG_TRUNC == 0 && self.len > room { room } else { self.len }
    }
}

/// The largest datagram or frame with its address in front.
const LARGEST: usize = MAX_SUPER_FRAME + address::LEN;

/// The most datagrams that one turn moves each way.
const TURN: usize = 64;

/// recvfrom(2) on a datagram socket of ours.
pub(crate) fn receive(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<Taken> {
    let (step, inside) =
        receive_with(socket, |cx, waited| receive_step(cx, socket, fd, buffer, flags, waited))?;
    match step {
        Step::Done(result) => result,
        Step::Plain | Step::Wait => {
            let shared = &socket.shared;
            inside::reach(shared, fd, inside.is_some(), |fd| receive_plain(shared, fd, buffer, flags))
        }
    }
}

fn receive_step(
    cx: &mut Context<'_>,
    socket: &Socket,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
    waited: bool,
) -> Step<Taken> {
    let shared = &*socket.shared;
    if shared.phase() == Phase::Ended {
        return Step::Plain;
    }
    let peek = flags & MSG_PEEK != 0;
    if shared.held.load(Relaxed) > 0 {
        let taken = inside::reach(shared, fd, waited, |fd| {
            let arrival = next_arrival(shared, fd, peek);
            Ok((receive_plain(shared, fd, buffer, flags | MSG_DONTWAIT)?, arrival))
        });
        match taken {
            Ok((taken, arrival)) => {
                if !peek {
                    shared.took(1, false);
                }
                leave(cx, socket, true, waited);
                let how = arrival.map(|arrival| How::new(cx, arrival));
                return Step::Done(Ok(Taken { how, ..taken }));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => shared.took(0, true),
            Err(error) => return Step::Done(Err(error)),
        }
    }
    match cx.engine.recv_from(socket.id, buffer, peek) {
        Ok(received) => {
            leave(cx, socket, false, waited);
            let arrival = received.arrival.filter(|_| asks(shared));
            let how = arrival.map(|arrival| How::new(cx, arrival));
            let from = Some(received.from).filter(|_| !packet::is_one(shared));
            Step::Done(Ok(Taken { len: received.len, from, how }))
        }
        // Whoever has waited once need not be asked again whether it waits.
        Err(Error::WouldBlock) if waited => Step::Wait,
        Err(Error::WouldBlock) => wait(shared, fd, flags),
        Err(error) => Step::Done(Err(error.into())),
    }
}

/// Whether it is to be known how datagrams arrived: of frames always, because that is where they came from.
fn asks(shared: &Shared) -> bool {
    packet::is_one(shared) || shared.settings.ask_for_controls()
}

/// Whether nothing stands in front of what is in the pair.
fn is_bare(shared: &Shared) -> bool {
    shared.phase() == Phase::Connected || packet::is_one(shared)
}

/// How the next datagram in the pair arrived, if that is asked for.
fn next_arrival(shared: &Shared, fd: BorrowedFd<'_>, peek: bool) -> Option<Arrival> {
    let asked = asks(shared);
    if !asked && shared.arrivals.is_empty() {
        return None;
    }
    let held = rustix::io::ioctl_fionread(fd).ok()?;
    shared.arrivals.next(usize::try_from(held).ok()?, peek).filter(|_| asked)
}

/// recvmsg(2) with `MSG_ERRQUEUE`: the error, and when it came.
pub(crate) fn receive_error(socket: &Socket, buffer: &mut [u8]) -> io::Result<(ReceivedError, SystemTime)> {
    attempt(socket.home.reach()?, would_block, |cx| {
        let received = cx.engine.recv_error(socket.id, buffer)?;
        Ok((received, wall_clock(cx, received.report.at)))
    })
}

/// recvfrom(2) on the pair.
pub(crate) fn receive_plain(
    shared: &Shared,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<Taken> {
    if let Some(error) = ended(shared) {
        return Err(error);
    }
    let how = recv_flags(flags) | RecvFlags::TRUNC;
    if is_bare(shared) {
        let (_, len) = recv(fd, buffer, how)?;
        return Ok(Taken { len, from: shared.names().peer, how: None });
    }
    let mut head = [0; address::LEN];
    let mut parts = [IoSliceMut::new(&mut head), IoSliceMut::new(buffer)];
    let message = recvmsg(fd, &mut parts, &mut RecvAncillaryBuffer::default(), how)?;
    let len = message.bytes.saturating_sub(address::LEN);
    Ok(Taken { len, from: address::decode(&head), how: None })
}

/// sendto(2) on a datagram socket of ours.
pub(crate) fn transmit(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    to: Option<&SocketAddr>,
    own: &DatagramOptions,
) -> io::Result<usize> {
    let shared = &*socket.shared;
    let stack = socket.home.reach()?;
    let to = to.map(|to| fit(socket, to)).transpose()?;
    let step = |cx: &mut Context<'_>, waited: bool| {
        // Whoever has waited once need not be asked again whether it waits.
        let wait = || if waited { Step::Wait } else { wait(shared, fd, flags) };
        let Some(end) = shared.engine_end().filter(|_| shared.phase() != Phase::Ended) else {
            return Step::Plain;
        };
        // What plain calls wrote before goes first.
        if rustix::io::ioctl_fionread(&end).unwrap_or(0) > 0
            && take_written(cx, socket.id, shared, end.as_fd(), &mut Vec::new(), false) != Left::Nothing
        {
            return wait();
        }
        match cx.engine.send_message(cx.now, socket.id, data, to, own) {
            Err(Error::WouldBlock) => wait(),
            Ok(sent) => {
                // The first datagram binds the socket.
                if shared.names().local.is_none_or(|local| local.port() == 0) {
                    shared.set_names(cx.engine.local_address(socket.id).ok(), shared.names().peer);
                }
                Step::Done(Ok(sent))
            }
            Err(error) => Step::Done(Err(io::Error::from(error))),
        }
    };
    let first = stack.run(|cx| step(cx, false));
    let late = matches!(first, Step::Wait);
    let _inside = late.then(|| Inside::new(socket));
    let step = match first {
        Step::Wait => {
            decision(stack.wait(socket.id, shared.settings.send_deadline(), |cx| match step(cx, true) {
                Step::Wait => None,
                step => Some(step),
            }))
        }
        step => step,
    };
    match step {
        Step::Done(result) => result,
        Step::Plain | Step::Wait => {
            inside::reach(shared, fd, late, |fd| transmit_plain(shared, fd, data, flags, to.as_ref()))
        }
    }
}

/// sendto(2) on the pair.
pub(crate) fn transmit_plain(
    shared: &Shared,
    fd: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    to: Option<&SocketAddr>,
) -> io::Result<usize> {
    if let Some(error) = ended(shared) {
        return Err(error);
    }
    let flags = send_flags(flags & MSG_DONTWAIT | MSG_NOSIGNAL);
    if packet::is_one(shared) {
        return Ok(send(fd, data, flags)?);
    }
    let names = shared.names();
    if data.len() > longest(shared, to.or(names.peer.as_ref())) {
        return fail(Errno::MSGSIZE);
    }
    if shared.phase() == Phase::Connected {
        // The pair has no place for another destination.
        return if to.is_none_or(|to| shared.names().peer == Some(*to)) {
            Ok(send(fd, data, flags)?)
        } else {
            fail(Errno::ISCONN)
        };
    }
    let Some(to) = to else { return fail(Errno::DESTADDRREQ) };
    let head = address::encode(to);
    let parts = [IoSlice::new(&head), IoSlice::new(data)];
    let sent = sendmsg(fd, &parts, &mut SendAncillaryBuffer::default(), flags)?;
    Ok(sent.saturating_sub(address::LEN))
}

/// The longest that fits a packet to that address, with the headers in front of it.
fn longest(shared: &Shared, to: Option<&SocketAddr>) -> usize {
    const UDP_HEADER: usize = 8;
    const V4_HEADER: usize = 20;
    let transport = if shared.kind == Kind::Datagram { UDP_HEADER } else { 0 };
    let network = if to.is_some_and(|to| to.ip().to_canonical().is_ipv6()) { 0 } else { V4_HEADER };
    usize::from(u16::MAX) - network - transport
}

/// Why calls fail once the stack has ended. Unlike the error of a connection it stays.
fn ended(shared: &Shared) -> Option<io::Error> {
    let errno = shared.error.load(Relaxed);
    (shared.phase() == Phase::Ended && errno != 0).then(|| io::Error::from_raw_os_error(errno))
}

/// connect(2) on a datagram socket of ours; `None` takes the peer away.
pub(crate) fn connect(socket: &Socket, fd: BorrowedFd<'_>, peer: Option<SocketAddr>) -> io::Result<()> {
    let shared = &*socket.shared;
    socket.home.reach()?.run(|cx| {
        if shared.phase() == Phase::Ended {
            return fail(Errno::NETDOWN);
        }
        match peer {
            Some(peer) => cx.engine.connect(cx.now, socket.id, peer)?,
            None => cx.engine.disconnect(socket.id)?,
        }
        let waiting = take_back(shared, fd);
        let local = cx.engine.local_address(socket.id).ok();
        shared.set_names(local, peer.and_then(|_| cx.engine.peer_address(socket.id).ok()));
        shared.set_phase(if peer.is_some() { Phase::Connected } else { Phase::Fresh });
        if let Some(end) = shared.engine_end() {
            for (data, from, arrival) in &waiting {
                if put(shared, end.as_fd(), data, from, *arrival) != Given::Full {
                    shared.put(1);
                }
            }
        }
        Ok(())
    })
}

/// Takes what waits in the pair, to be put back with or without addresses.
fn take_back(shared: &Shared, fd: BorrowedFd<'_>) -> Vec<(Vec<u8>, SocketAddr, Option<Arrival>)> {
    let mut waiting = Vec::new();
    if shared.held.load(Relaxed) > 0 {
        let mut room = vec![0; LARGEST];
        loop {
            let arrival = next_arrival(shared, fd, false);
            let Ok(taken) = receive_plain(shared, fd, &mut room, MSG_DONTWAIT) else { break };
            let data = room[..taken.len.min(room.len())].to_vec();
            waiting.push((data, taken.from.unwrap_or(address::NONE), arrival));
        }
    }
    shared.took(0, true);
    waiting
}

/// Puts one datagram into the pair.
fn put(
    shared: &Shared,
    end: BorrowedFd<'_>,
    data: &[u8],
    from: &SocketAddr,
    arrival: Option<Arrival>,
) -> Given {
    let given = if is_bare(shared) {
        pair::give(end, data)
    } else {
        let mut message = Vec::with_capacity(address::LEN + data.len());
        message.extend_from_slice(&address::encode(from));
        message.extend_from_slice(data);
        pair::give(end, &message)
    };
    if let (Given::Bytes(len), Some(arrival)) = (given, arrival)
        && (asks(shared) || !shared.arrivals.is_empty())
    {
        shared.arrivals.note(len, arrival);
    }
    given
}

/// Sends what the application wrote into the pair. `room` is for one datagram, `gone` tells that nobody
/// is left to write.
pub(crate) fn take_written(
    cx: &mut Context<'_>,
    id: EndpointId,
    shared: &Shared,
    end: BorrowedFd<'_>,
    room: &mut Vec<u8>,
    gone: bool,
) -> Left {
    for _ in 0..TURN {
        // Peeked at first: with no room in the endpoint it stays where it is.
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        if rustix::io::ioctl_fionread(end).unwrap_or(0) > 0 {
            room.resize(LARGEST, 0);
        }
        let Ok((_, len)) = recv(end, &mut room[..], look) else { return Left::Nothing };
        // At the end of what is written a read gives nothing, as an empty datagram does.
        if len == 0 && (gone || pair::ended(end).0) {
            return Left::Nothing;
        }
        let data = &room[..len.min(room.len())];
        let sent = if is_bare(shared) {
            cx.engine.send_to(cx.now, id, data, None)
        } else if let (Some(to), Some(data)) = (address::decode(data), data.get(address::LEN..)) {
            cx.engine.send_to(cx.now, id, data, Some(to))
        } else {
            // Written without a destination: nobody can be told.
            Ok(0)
        };
        if sent == Err(Error::WouldBlock) {
            return Left::RingFull;
        }
        let _ = recv(end, &mut [0; 1][..], RecvFlags::DONTWAIT);
    }
    Left::More
}

/// The engine's side of a datagram socket.
#[derive(Debug)]
pub(crate) struct Datagram {
    shared: Arc<Shared>,
    end: Arc<OwnedFd>,
    /// Made when the first plain call needs it.
    room: Vec<u8>,
    gone: bool,
}

impl Datagram {
    /// The engine's side of a fresh socket.
    pub(crate) const fn new(shared: Arc<Shared>, end: Arc<OwnedFd>) -> Self {
        Self { shared, end, room: Vec::new(), gone: false }
    }

    /// From the application to the network; whether the turn ended before the pair was empty.
    fn outward(&mut self, id: EndpointId, cx: &mut Context<'_>) -> bool {
        take_written(cx, id, &self.shared, self.end.as_fd(), &mut self.room, self.gone) == Left::More
    }

    /// From the network to the application: (the pair is full, the turn is over).
    fn inward(&mut self, id: EndpointId, cx: &mut Context<'_>, cause: Cause) -> (bool, bool) {
        if !cx.engine.readiness(id).readable || self.shared.waiting.load(Relaxed) > 0 {
            return (false, false);
        }
        if self.shared.stays_direct(cause) {
            cx.pump_later(id);
            return (false, false);
        }
        self.room.resize(LARGEST, 0);
        for _ in 0..TURN {
            let Ok(received) = cx.engine.recv_from(id, &mut self.room, true) else { return (false, false) };
            let data = &self.room[..received.copied];
            match put(&self.shared, self.end.as_fd(), data, &received.from, received.arrival) {
                Given::Full => return (true, false),
                Given::Bytes(_) => self.shared.put(1),
                Given::Shut => {}
            }
            let _ = cx.engine.recv_from(id, &mut [], false);
        }
        (false, true)
    }
}

impl Datagram {
    /// Gives up the endpoint and the engine's end.
    fn detach(&self, id: EndpointId, cx: &mut Context<'_>) -> Pump {
        cx.engine.close(cx.now, id);
        self.shared.set_phase(Phase::Ended);
        drop(self.shared.end.lock().take());
        table::retire(self.shared.cookie);
        Pump { more: false, want_out: false, done: true }
    }
}

impl Attachment for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    fn pump(&mut self, id: EndpointId, cx: &mut Context<'_>, cause: Cause) -> Pump {
        if let Cause::Descriptor(events) = cause {
            self.gone |= events.intersects(EventFlags::HUP | EventFlags::ERR);
        }
        // Whatever the cause: the events may be older than the question.
        if self.shared.look.swap(false, Relaxed) {
            self.gone |= pair::ended(self.end.as_fd()).1;
        }
        let more_out = self.outward(id, cx);
        let ready = cx.engine.readiness(id);
        if ready.error && ready.read_closed && ready.write_closed {
            // The stack has ended.
            let error = cx.engine.take_error(id).unwrap_or(Error::NetworkDown);
            self.shared.error.store(error.errno(), Relaxed);
            return self.detach(id, cx);
        }
        let (full, more_in) = if self.gone { (false, false) } else { self.inward(id, cx, cause) };
        if self.gone && !more_out && !inside::puts_off(&self.shared) {
            return self.detach(id, cx);
        }
        Pump { more: more_out || more_in, want_out: full, done: false }
    }
}
