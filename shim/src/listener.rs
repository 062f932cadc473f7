//! Listeners: accepted connections travel over the listener's pair as descriptors (`SCM_RIGHTS`), each
//! with one record that holds the peer's address. A few are in flight, so that poll shows them and a
//! forked child can take them; the backlog is the engine's.
//!
//! The pair is the stream pair that the socket was made with, so the descriptor stays the same one
//! and copies of it too: on a stream the kernel ends a read behind a message with descriptors, so a
//! record and its descriptor are taken whole, by one of several readers.
//!
//! A connection in flight has one byte of no meaning in its pair, which whoever takes it reads away.
//! When the listener is closed instead, that byte is left unread, so the connection is reset, as the
//! kernel resets those in a backlog.

use crate::address;
use crate::connecting;
use crate::errno::fail;
use crate::inside::{self, Inside};
use crate::join::join_accepted;
use crate::pair::{Pair, is_nonblocking};
use crate::state::{Phase, Shared};
use crate::sys::constants::{MSG_CMSG_CLOEXEC, SOCK_CLOEXEC, SOCK_NONBLOCK};
use crate::table::{self, Socket};
use crate::transfer::{attempt, would_block};
use ioth_stack::{Cause, Context, EndpointId, Kind, Pump, Waited};
use rustix::io::{Errno, FdFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recv, recvmsg, send, sendmsg, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Makes a socket listen.
pub(crate) fn listen(socket: &Socket, fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    let shared = &socket.shared;
    if shared.kind != Kind::Stream {
        return fail(Errno::OPNOTSUPP);
    }
    // As Linux: a negative one is a large one, and net.core.somaxconn bounds it.
    let backlog = usize::try_from(backlog).unwrap_or(SOMAXCONN).min(SOMAXCONN);
    socket.home.reach()?.run(|cx| {
        match shared.phase() {
            Phase::Fresh | Phase::Listening => {}
            _ => return fail(Errno::INVAL),
        }
        cx.engine.listen(socket.id, backlog)?;
        shared.set_names(cx.engine.local_address(socket.id).ok(), None);
        if let Some(end) = shared.engine_end() {
            // The least the kernel gives: room for a handful of connections in flight.
            sockopt::set_socket_send_buffer_size(&end, 0)?;
        }
        if shared.phase() == Phase::Fresh {
            // A listener is never writable.
            connecting::clog(fd)?;
        }
        shared.read_shut.store(false, Relaxed);
        shared.set_phase(Phase::Listening);
        Ok(())
    })
}

/// Default of net.core.somaxconn.
const SOMAXCONN: usize = 4096;

/// accept4(2) on a listener of ours.
pub(crate) fn accept(socket: &Socket, fd: BorrowedFd<'_>, flags: i32) -> io::Result<(OwnedFd, SocketAddr)> {
    let shared = &socket.shared;
    check(shared, flags)?;
    let stack = socket.home.reach()?;
    let found_nothing = |result: &Option<io::Result<_>>| result.as_ref().is_some_and(would_block);
    if let Some(result) = attempt(stack, found_nothing, |cx| step(cx, socket, fd, flags, false)) {
        return result;
    }
    let _inside = Inside::new(socket);
    shared.waiting.fetch_add(1, Relaxed);
    let result =
        stack.wait(socket.id, shared.settings.recv_deadline(), |cx| step(cx, socket, fd, flags, true));
    shared.waiting.fetch_sub(1, Relaxed);
    stack.run(|cx| cx.pump_later(socket.id));
    match result {
        Waited::Done(result) => result,
        Waited::TimedOut => fail(Errno::AGAIN),
        Waited::Interrupted => fail(Errno::INTR),
    }
}

/// accept4(2) where the engine is out of reach: takes what is in the pair.
pub(crate) fn accept_plain(
    shared: &Shared,
    fd: BorrowedFd<'_>,
    flags: i32,
) -> io::Result<(OwnedFd, SocketAddr)> {
    check(shared, flags)?;
    if shared.phase() != Phase::Listening {
        return fail(Errno::INVAL);
    }
    loop {
        // As Linux: the descriptor first, so that it is there however long the call waits.
        let room = Room::new(fd)?;
        recv(fd, &mut [0; 1][..], RecvFlags::PEEK)?;
        match take(room, fd, flags) {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_nonblocking(fd) => {}
            accepted => return accepted,
        }
    }
}

/// A number for a descriptor that is about to come. Without one the kernel would drop the descriptor in a message, and with
/// it the connection.
struct Room {
    _number: OwnedFd,
}

impl Room {
    fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { _number: rustix::io::fcntl_dupfd_cloexec(fd, 0)? })
    }
}

fn check(shared: &Shared, flags: i32) -> io::Result<()> {
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return fail(Errno::INVAL);
    }
    if shared.kind != Kind::Stream { fail(Errno::OPNOTSUPP) } else { Ok(()) }
}

/// One try, under the lock; `None` means wait.
fn step(
    cx: &mut Context<'_>,
    socket: &Socket,
    fd: BorrowedFd<'_>,
    flags: i32,
    waited: bool,
) -> Option<io::Result<(OwnedFd, SocketAddr)>> {
    let shared = &socket.shared;
    if shared.phase() != Phase::Listening {
        return Some(fail(Errno::INVAL));
    }
    if shared.held.load(Relaxed) > 0 {
        let taken = inside::reach(shared, fd, waited, |fd| take(Room::new(fd)?, fd, flags));
        match taken {
            Ok(accepted) => {
                shared.took(1, false);
                if shared.received(true) {
                    cx.pump(socket.id);
                } else {
                    cx.pump_later(socket.id);
                }
                return Some(Ok(accepted));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => shared.took(0, true),
            Err(error) => return Some(Err(error)),
        }
    }
    let parked = shared.parked.lock().take();
    if let Some((fd, peer)) = parked {
        return Some(apply(fd, flags).map(|fd| (fd, peer)));
    }
    let ready = cx.engine.readiness(socket.id);
    if ready.error || ready.read_closed {
        return Some(Err(cx
            .engine
            .take_error(socket.id)
            .map_or_else(|| Errno::INVAL.into(), io::Error::from)));
    }
    if ready.readable {
        let accepted = accept_direct(cx, socket, flags).map(|(fd, peer, _)| (fd, peer));
        if !matches!(&accepted, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            if shared.received(!waited && shared.nonblocking.load(Relaxed)) {
                cx.pump(socket.id);
            } else {
                cx.pump_later(socket.id);
            }
            return Some(accepted);
        }
    }
    if waited {
        return None;
    }
    let nonblocking = is_nonblocking(fd);
    shared.nonblocking.store(nonblocking, Relaxed);
    // As Linux: without a descriptor left it fails before it waits.
    match Room::new(fd) {
        Err(error) => Some(Err(error)),
        Ok(_) => nonblocking.then(|| fail(Errno::AGAIN)),
    }
}

/// Takes a connection from the engine. The pair comes first: without descriptors left the connection
/// stays in the queue.
fn accept_direct(
    cx: &mut Context<'_>,
    socket: &Socket,
    flags: i32,
) -> io::Result<(OwnedFd, SocketAddr, Arc<Socket>)> {
    let nonblocking = flags & SOCK_NONBLOCK != 0;
    let pair = Pair::new(Kind::Stream, nonblocking)?;
    let accepted = cx.engine.accept(socket.id)?;
    let connection = (accepted.id, accepted.peer);
    let (fd, joined) = join_accepted(cx, &socket.home, &socket.shared, pair, nonblocking, connection)?;
    if flags & SOCK_CLOEXEC == 0 {
        rustix::io::fcntl_setfd(&fd, FdFlags::empty())?;
    }
    Ok((fd, accepted.peer, joined))
}

/// Takes a record and its descriptor from the pair, without waiting.
fn take(room: Room, fd: BorrowedFd<'_>, flags: i32) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut record = [0; address::LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let cloexec = if flags & SOCK_CLOEXEC == 0 {
        RecvFlags::empty()
    } else {
        RecvFlags::from_bits_retain(MSG_CMSG_CLOEXEC.cast_unsigned())
    };
    // The next descriptor of this process gets its number, unless another thread is faster.
    drop(room);
    let how = RecvFlags::DONTWAIT | cloexec;
    let message = recvmsg(fd, &mut [IoSliceMut::new(&mut record)], &mut control, how)?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    match (message.bytes, address::decode(&record), descriptor) {
        // The listener is shut down.
        (0, _, _) => fail(Errno::INVAL),
        (_, Some(peer), Some(descriptor)) => {
            unmark(&descriptor);
            if flags & SOCK_NONBLOCK != 0 {
                rustix::io::ioctl_fionbio(&descriptor, true)?;
            }
            Ok((descriptor, peer))
        }
        // Another thread took the number: that connection is lost, as after a crash.
        (_, _, None) => fail(Errno::MFILE),
        (_, None, _) => fail(Errno::INVAL),
    }
}

/// Puts the byte into a connection that makes it a reset when nobody takes it.
fn mark(socket: &Socket) {
    if let Some(end) = socket.shared.engine_end() {
        // There is room: nothing else was put there yet.
        let _ = send(&end, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

/// Takes that byte.
fn unmark(fd: &OwnedFd) {
    // The byte comes before any error.
    let _ = recv(fd, &mut [0; 1][..], RecvFlags::DONTWAIT);
}

/// Gives a connection that was in flight the flags of accept4(2).
fn apply(fd: OwnedFd, flags: i32) -> io::Result<OwnedFd> {
    unmark(&fd);
    if flags & SOCK_NONBLOCK != 0 {
        rustix::io::ioctl_fionbio(&fd, true)?;
    }
    if flags & SOCK_CLOEXEC == 0 {
        rustix::io::fcntl_setfd(&fd, FdFlags::empty())?;
    }
    Ok(fd)
}

/// Puts a record and a descriptor into the pair; false when it is full.
fn put(end: BorrowedFd<'_>, fd: BorrowedFd<'_>, peer: &SocketAddr) -> bool {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let record = address::encode(peer);
    sendmsg(end, &[IoSlice::new(&record)], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok()
}

/// Puts accepted connections in flight, unless a library call waits for them.
pub(crate) fn pump(
    shared: &Shared,
    end: BorrowedFd<'_>,
    id: EndpointId,
    cx: &mut Context<'_>,
    cause: Cause,
) -> Pump {
    if shared.waiting.load(Relaxed) > 0 {
        return Pump::default();
    }
    if shared.stays_direct(cause) {
        cx.pump_later(id);
        return Pump::default();
    }
    let Some(socket) = table::live(shared.cookie) else { return Pump::default() };
    loop {
        let parked = shared.parked.lock().take();
        let (fd, peer) = match parked {
            Some(parked) => parked,
            None if !cx.engine.readiness(id).readable => return Pump::default(),
            None => match accept_direct(cx, &socket, SOCK_CLOEXEC) {
                Ok((fd, peer, accepted)) => {
                    mark(&accepted);
                    (fd, peer)
                }
                Err(error) => {
                    // Out of descriptors: it stays in the queue, and is tried again.
                    if error.kind() != io::ErrorKind::WouldBlock {
                        cx.pump_later(id);
                    }
                    return Pump::default();
                }
            },
        };
        if !put(end, fd.as_fd(), &peer) {
            *shared.parked.lock() = Some((fd, peer));
            // Full, or too many descriptors in flight: the tick covers the second.
            cx.pump_later(id);
            return Pump { more: false, want_out: true, done: false };
        }
        shared.put(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_travel_whole_and_a_few_at_a_time() {
        let pair = Pair::new(Kind::Stream, false).expect("descriptors");
        sockopt::set_socket_send_buffer_size(&pair.engine, 0).expect("open");
        let mut cookies = Vec::new();
        let mut port = 0;
        loop {
            let connection = Pair::new(Kind::Stream, false).expect("descriptors");
            port += 1;
            let peer = SocketAddr::from(([10, 0, 0, 2], port));
            if !put(pair.engine.as_fd(), connection.application.as_fd(), &peer) {
                break;
            }
            cookies.push((connection.cookie, peer));
        }
        assert!((2..=16).contains(&cookies.len()), "{} in flight", cookies.len());
        let copy = pair.application.try_clone().expect("descriptors");
        for (turn, (cookie, peer)) in cookies.into_iter().enumerate() {
            let from = if turn % 2 == 0 { &pair.application } else { &copy };
            let (fd, from) = take(Room::new(from.as_fd()).expect("descriptors"), from.as_fd(), SOCK_NONBLOCK)
                .expect("a connection");
            assert_eq!((sockopt::socket_cookie(&fd).expect("a socket"), from), (cookie, peer));
            assert!(is_nonblocking(&fd));
            assert_eq!(rustix::io::fcntl_getfd(&fd).expect("open"), FdFlags::empty());
        }
        let error = take(Room::new(copy.as_fd()).expect("descriptors"), copy.as_fd(), 0)
            .expect_err("nothing is left");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
