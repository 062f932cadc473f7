//! connect(2), for both kinds of sockets of ours.

use crate::connecting;
use crate::datagram;
use crate::errno::fail;
use crate::inside::{self, Inside};
use crate::pair::{self, is_nonblocking};
use crate::plain;
use crate::state::Phase;
use crate::table::Socket;
use ioth_stack::{Context, Error, Family, Kind, Waited};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Whether and how long a connect waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// As the descriptor's flags and `SO_SNDTIMEO` say.
    OfDescriptor,
    /// Until then, whatever they say; then it fails with `ETIMEDOUT` and is given up.
    Until(Instant),
}

/// What one try came to: `None` means wait.
type Outcome = Option<io::Result<()>>;

/// Connects a socket.
pub(crate) fn connect(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    peer: &SocketAddr,
    patience: Patience,
) -> io::Result<()> {
    let peer = fit(socket, peer)?;
    if socket.shared.kind != Kind::Stream {
        return datagram::connect(socket, fd, Some(peer));
    }
    let stack = socket.home.reach()?;
    if let Some(result) = stack.run(|cx| begin(cx, socket, fd, peer, patience)) {
        return result;
    }
    let _inside = Inside::new(socket);
    let deadline = match patience {
        Patience::OfDescriptor => socket.shared.settings.send_deadline(),
        Patience::Until(deadline) => Some(deadline),
    };
    loop {
        let result = match (stack.wait(socket.id, deadline, |cx| look(cx, socket)), patience) {
            (Waited::Done(result), _) => return result,
            // Who gives it a time has it whole, as the standard library.
            (Waited::Interrupted, Patience::Until(_)) => continue,
            (Waited::Interrupted, _) => Errno::INTR,
            (Waited::TimedOut, _) => Errno::INPROGRESS,
        };
        return stack.run(|cx| give_up(cx, socket, fd, patience, result));
    }
}

/// Checks the family as Linux does; an IPv4 address for an IPv6 datagram socket becomes a mapped one.
pub(crate) fn fit(socket: &Socket, address: &SocketAddr) -> io::Result<SocketAddr> {
    let shared = &socket.shared;
    match (shared.family, address) {
        (Family::V4, SocketAddr::V4(_)) | (Family::V6, SocketAddr::V6(_)) => Ok(*address),
        (Family::V4, SocketAddr::V6(_)) => fail(Errno::AFNOSUPPORT),
        (Family::V6, SocketAddr::V4(v4)) => match shared.kind {
            Kind::Datagram => Ok(SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())),
            Kind::Echo => fail(Errno::AFNOSUPPORT),
            // Linux finds the address too short for the family.
            Kind::Stream | Kind::Raw(_) | Kind::Packet(_) => fail(Errno::INVAL),
        },
    }
}

fn begin(
    cx: &mut Context<'_>,
    socket: &Socket,
    fd: BorrowedFd<'_>,
    peer: SocketAddr,
    patience: Patience,
) -> Outcome {
    let shared = &socket.shared;
    let waits = || matches!(patience, Patience::Until(_)) || !is_nonblocking(fd);
    match shared.phase() {
        Phase::Connected if shared.uncollected.swap(false, Relaxed) => return Some(Ok(())),
        Phase::Connected | Phase::Listening => return Some(fail(Errno::ISCONN)),
        Phase::Refused | Phase::Ended => {
            let error = plain::pending(shared).unwrap_or_else(|| Errno::CONNABORTED.into());
            // The pair's own error goes with it: it is told once.
            let _ = sockopt::socket_error(fd);
            return Some(Err(error));
        }
        Phase::Filled => {
            return match connecting::advance(cx, socket.id, shared) {
                None if waits() => None,
                None => Some(fail(Errno::ALREADY)),
                Some(result) => {
                    shared.uncollected.store(false, Relaxed);
                    cx.pump(socket.id);
                    Some(result.map_err(Into::into))
                }
            };
        }
        Phase::Awaited => return if waits() { None } else { Some(fail(Errno::ALREADY)) },
        Phase::Fresh => {}
    }
    match cx.engine.connect(cx.now, socket.id, peer) {
        Ok(()) => {
            established(cx, socket);
            Some(Ok(()))
        }
        Err(Error::InProgress) => {
            shared.set_names(cx.engine.local_address(socket.id).ok(), Some(peer));
            if waits() {
                shared.set_phase(Phase::Awaited);
                return None;
            }
            Some(leave_filled(cx, socket, fd, Errno::INPROGRESS))
        }
        Err(error) => Some(Err(error.into())),
    }
}

/// Whether the connect is decided, for a caller that waits for it.
fn look(cx: &mut Context<'_>, socket: &Socket) -> Outcome {
    let shared = &socket.shared;
    match shared.phase() {
        Phase::Connected => Some(Ok(())),
        Phase::Filled => connecting::advance(cx, socket.id, shared).map(|result| {
            shared.uncollected.store(false, Relaxed);
            cx.pump(socket.id);
            result.map_err(Into::into)
        }),
        Phase::Awaited => match cx.engine.connect_result(socket.id) {
            Err(Error::InProgress | Error::WouldBlock | Error::AlreadyInProgress) => None,
            Ok(()) => {
                established(cx, socket);
                Some(Ok(()))
            }
            Err(error) => {
                shared.set_phase(Phase::Fresh);
                shared.set_names(None, None);
                Some(Err(error.into()))
            }
        },
        // Another thread was told why.
        Phase::Fresh => Some(fail(Errno::CONNABORTED)),
        Phase::Listening => Some(fail(Errno::ISCONN)),
        Phase::Refused | Phase::Ended => {
            Some(Err(plain::pending(shared).unwrap_or_else(|| Errno::CONNABORTED.into())))
        }
    }
}

/// The caller's patience is over before the connect is decided.
fn give_up(
    cx: &mut Context<'_>,
    socket: &Socket,
    fd: BorrowedFd<'_>,
    patience: Patience,
    result: Errno,
) -> io::Result<()> {
    if let Some(decided) = look(cx, socket) {
        return decided;
    }
    match patience {
        Patience::Until(_) => fail(Errno::TIMEDOUT),
        // As Linux: it goes on in the background.
        Patience::OfDescriptor if socket.shared.phase() == Phase::Awaited => {
            // Without a descriptor nobody is left to be told.
            inside::reach(&socket.shared, fd, true, |fd| leave_filled(cx, socket, fd, result)).map_err(
                |error| {
                    if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) {
                        result.into()
                    } else {
                        error
                    }
                },
            )
        }
        Patience::OfDescriptor if result == Errno::INTR => fail(Errno::INTR),
        Patience::OfDescriptor => fail(Errno::ALREADY),
    }
}

/// Resets the connection of a stream socket, or gives up making it. The descriptor stays, and so does what becomes of it:
/// its pair is emptied.
pub(crate) fn disconnect(socket: &Socket, fd: BorrowedFd<'_>) -> io::Result<()> {
    let shared = &socket.shared;
    socket.home.reach()?.run(|cx| {
        match shared.phase() {
            Phase::Fresh => return Ok(()),
            Phase::Filled => {
                cx.engine.disconnect_stream(cx.now, socket.id)?;
                connecting::open(shared);
            }
            Phase::Awaited => cx.engine.disconnect_stream(cx.now, socket.id)?,
            Phase::Connected => {
                let ready = cx.engine.readiness(socket.id);
                if ready.read_closed || ready.write_closed || ready.error || shared.write_shut.load(Relaxed) {
                    // What a pair has told of its end cannot be taken back.
                    return fail(Errno::OPNOTSUPP);
                }
                cx.engine.disconnect_stream(cx.now, socket.id)?;
                while recv(fd, &mut [0; 4096][..], RecvFlags::DONTWAIT).is_ok_and(|(_, got)| got > 0) {}
                if let Some(end) = shared.engine_end() {
                    pair::discard(end.as_fd());
                }
            }
            Phase::Listening | Phase::Refused | Phase::Ended => return fail(Errno::OPNOTSUPP),
        }
        shared.took(0, true);
        shared.urgent.store(false, Relaxed);
        shared.uncollected.store(false, Relaxed);
        // As Linux: whoever asks is told once that there was one.
        shared.error.store(Errno::CONNRESET.raw_os_error(), Relaxed);
        shared.set_names(cx.engine.local_address(socket.id).ok(), None);
        shared.set_phase(Phase::Fresh);
        Ok(())
    })
}

fn established(cx: &mut Context<'_>, socket: &Socket) {
    let shared = &socket.shared;
    shared.set_names(cx.engine.local_address(socket.id).ok(), cx.engine.peer_address(socket.id).ok());
    shared.set_phase(Phase::Connected);
    cx.pump_later(socket.id);
}

/// Leaves the connect to itself, and says so with `result`.
fn leave_filled(cx: &mut Context<'_>, socket: &Socket, fd: BorrowedFd<'_>, result: Errno) -> io::Result<()> {
    let shared = &socket.shared;
    connecting::fill(fd, shared)?;
    shared.set_phase(Phase::Filled);
    shared.uncollected.store(true, Relaxed);
    // It may be decided already: on the loopback interface, for one.
    cx.pump(socket.id);
    fail(result)
}
