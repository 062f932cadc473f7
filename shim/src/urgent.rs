//! Urgent data of a stream: `MSG_OOB` and sockatmark(3).
//!
//! The pair carries it to the application as TCP would: an AF_UNIX stream has a mark, `POLLPRI` and SIGURG of its own
//! (Linux 5.15), so plain calls find them, too. Once the peer has marked a byte of a connection, everything that it says
//! goes through the pair: there receiving stops at the mark, and knows whether the byte behind it is to be skipped.

use crate::errno::fail;
use crate::plain;
use crate::state::{Phase, Shared};
use crate::sys::constants::{MSG_OOB, MSG_PEEK};
use crate::sys::mark;
use crate::table::Socket;
use ioth_stack::{Context, EndpointId};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::Relaxed;

/// Whether what the peer says goes through the pair: it has marked a byte.
pub(crate) fn is_marked(cx: &Context<'_>, id: EndpointId, shared: &Shared) -> bool {
    let marked = shared.urgent.load(Relaxed) || cx.engine.urgent_mark(id).is_some();
    if marked {
        shared.urgent.store(true, Relaxed);
    }
    marked
}

/// recv(2) with `MSG_OOB` on a stream socket of ours. As TCP it never waits.
pub(crate) fn receive(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<usize> {
    let shared = &socket.shared;
    match shared.phase() {
        Phase::Listening => return fail(Errno::NOTCONN),
        Phase::Fresh => return fail(Errno::INVAL),
        _ => {}
    }
    let announced = bring(socket)?;
    match receive_plain(shared, fd, buffer, flags) {
        // As Linux: it is known to come, and nobody waits for it.
        Err(error)
            if announced
                && error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
                && !sockopt::socket_oobinline(fd)? =>
        {
            fail(Errno::AGAIN)
        }
        result => result,
    }
}

/// The same on its pair alone.
pub(crate) fn receive_plain(
    shared: &Shared,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<usize> {
    let flags = MSG_OOB | flags & MSG_PEEK;
    if buffer.is_empty() {
        // As Linux: the byte is gone, whether there was room for it or not.
        return plain::receive(shared, fd, &mut [0], flags).map(|_| 0);
    }
    plain::receive(shared, fd, buffer, flags)
}

/// sockatmark(3) on a stream socket of ours.
pub(crate) fn at_mark(socket: &Socket, fd: BorrowedFd<'_>) -> io::Result<bool> {
    bring(socket)?;
    mark::is_next(fd)
}

/// Has what has arrived brought into the pair, if anything of it is urgent. Whether the last urgent byte is still to
/// come.
fn bring(socket: &Socket) -> io::Result<bool> {
    let stack = socket.home.reach()?;
    stack.run_fresh(|cx| {
        if socket.shared.phase() == Phase::Connected && is_marked(cx, socket.id, &socket.shared) {
            cx.pump(socket.id);
        }
    });
    Ok(stack.run(|cx| cx.engine.urgent_mark(socket.id).is_some()))
}
