//! The pair: two connected AF_UNIX sockets. One is the application's descriptor, the other the
//! engine's end. Here is how a pair is made, read by the engine, and ended.
//!
//! Each row was measured beside a kernel socket:
//!
//! | the engine does | the application sees |
//! |---|---|
//! | `shutdown(SHUT_WR)` | end of stream: `IN\|OUT\|RDHUP` |
//! | reads everything, closes | end of stream, `HUP`, `EPIPE` |
//! | closes with a byte unread | queued data, `ECONNRESET` once, end of stream; `ERR\|HUP` |
//!
//! For the last row the engine never takes the last byte the application wrote: it peeks at it, uses
//! it, and leaves it as the *sentinel*. A new pair gets one before the application can write. So
//! `FIONREAD` of the engine's end says one more than what is new.
//!
//! What is urgent keeps its mark on the way: the kernel has `MSG_OOB` on AF_UNIX streams, too. On the engine's end the
//! marked byte stays among the others (`SO_OOBINLINE`), and a read stops in front of it.
//!
//! Datagrams travel through a `SOCK_SEQPACKET` pair: unlike `SOCK_DGRAM`, its engine end is told when
//! the application closes.

use crate::sys::mark;
use ioth_stack::Kind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown, socketpair,
};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A new pair, both ends close-on-exec.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The application's descriptor.
    pub(crate) application: OwnedFd,
    /// The engine's end.
    pub(crate) engine: OwnedFd,
    /// Names the application's socket, whichever descriptor refers to it (`SO_COOKIE`).
    pub(crate) cookie: u64,
}

/// What is asked for as `SO_SNDBUF` of both ends. The kernel shows twice that, if `wmem_max` allows.
///
/// The byte left behind keeps its whole buffer charged, up to 37 KB, and `POLLOUT` needs a quarter of
/// the buffer free of charge: below 148 480 shown, writers stall. Every byte of room adds to what the
/// peer may send ahead of the application, so it is not more than the kernel's usual maximum either.
pub(crate) const ROOM: usize = 212_992;

impl Pair {
    /// Makes a pair for a socket of this kind.
    pub(crate) fn new(kind: Kind, nonblocking: bool) -> io::Result<Self> {
        let of = match kind {
            Kind::Stream => SocketType::STREAM,
            Kind::Datagram | Kind::Echo | Kind::Raw(_) | Kind::Packet(_) => SocketType::SEQPACKET,
        };
        // The engine's end never waits, so the flag may be set for both.
        let flags =
            if nonblocking { SocketFlags::CLOEXEC | SocketFlags::NONBLOCK } else { SocketFlags::CLOEXEC };
        let (application, engine) = socketpair(AddressFamily::UNIX, of, flags, None)?;
        sockopt::set_socket_send_buffer_size(&application, ROOM)?;
        if kind == Kind::Stream {
            sockopt::set_socket_send_buffer_size(&engine, ROOM)?;
            sockopt::set_socket_oobinline(&engine, true)?;
            send(&application, &[0], SendFlags::DONTWAIT)?;
        }
        let cookie = sockopt::socket_cookie(&application)?;
        Ok(Self { application, engine, cookie })
    }
}

/// How many bytes the application wrote and the engine did not use yet.
pub(crate) fn written(end: BorrowedFd<'_>) -> usize {
    let waiting = rustix::io::ioctl_fionread(end).unwrap_or(0);
    usize::try_from(waiting).unwrap_or(0).saturating_sub(1)
}

/// What the engine took from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// So many bytes.
    pub(crate) len: usize,
    /// The last of them is urgent.
    pub(crate) urgent: bool,
}

/// Reads up to `new` bytes, of which [`written`] said that they are there, behind the sentinel; the
/// last one becomes the new sentinel. Says how many bytes of `room` it filled.
pub(crate) fn take(end: BorrowedFd<'_>, new: usize, room: &mut [u8]) -> Taken {
    let want = new.min(room.len());
    if want == 0 {
        return Taken::default();
    }
    let mut sentinel = [0];
    let (body, _) = room.split_at_mut(want - 1);
    let mut parts = [IoSliceMut::new(&mut sentinel), IoSliceMut::new(body)];
    let Ok(read @ 1..) = rustix::io::readv(end, &mut parts) else { return Taken::default() };
    match recv(end, &mut room[read - 1..read], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 1)) => Taken { len: read, urgent: mark::is_next(end).unwrap_or(false) },
        _ => Taken { len: read - 1, urgent: false },
    }
}

/// Throws away what the application wrote, but for the sentinel.
pub(crate) fn discard(end: BorrowedFd<'_>) {
    let mut waste = [0; 16 * 1024];
    loop {
        let new = written(end);
        if new == 0 || take(end, new, &mut waste).len == 0 {
            return;
        }
    }
}

/// What came of giving bytes or a datagram to the application's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// So many bytes went in.
    Bytes(usize),
    /// The pair is full.
    Full,
    /// The application does not read any more.
    Shut,
}

/// Gives bytes to the application without waiting.
pub(crate) fn give(end: BorrowedFd<'_>, bytes: &[u8]) -> Given {
    give_with(end, bytes, SendFlags::empty())
}

/// The same for a stream; the byte at `mark` becomes urgent, and nothing behind it is given.
pub(crate) fn give_marked(end: BorrowedFd<'_>, bytes: &[u8], mark: Option<usize>) -> Given {
    match mark.and_then(|mark| bytes.get(..=mark)) {
        Some(marked) => give_with(end, marked, SendFlags::OOB),
        None => give(end, bytes),
    }
}

fn give_with(end: BorrowedFd<'_>, bytes: &[u8], flags: SendFlags) -> Given {
    match send(end, bytes, flags | SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(sent) => Given::Bytes(sent),
        Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM) => Given::Full,
        Err(_) => Given::Shut,
    }
}

/// Tells the application the end of the stream.
pub(crate) fn end_of_stream(end: BorrowedFd<'_>) {
    // It fails only when the application is gone, which needs no telling.
    let _ = shutdown(end, Shutdown::Write);
}

/// Reads everything with the sentinel, so that the close that follows is no reset.
pub(crate) fn forget_sentinel(end: BorrowedFd<'_>) {
    let mut waste = [0; 16 * 1024];
    while matches!(recv(end, &mut waste[..], RecvFlags::DONTWAIT), Ok((_, 1..))) {}
}

/// Whether the application closed or shut down: (nothing more will be written, nobody is left).
pub(crate) fn ended(end: BorrowedFd<'_>) -> (bool, bool) {
    let mut fds = [PollFd::new(&end, PollFlags::RDHUP)];
    if poll(&mut fds, Some(&Timespec::default())).is_err() {
        return (false, false);
    }
    let events = fds[0].revents();
    let gone = events.contains(PollFlags::HUP);
    (gone || events.contains(PollFlags::RDHUP), gone)
}

/// Whether the application left something unread when it closed. Asking forgets it.
pub(crate) fn left_unread(end: BorrowedFd<'_>) -> bool {
    matches!(sockopt::socket_error(end), Ok(Err(Errno::CONNRESET)))
}

/// Whether the descriptor's own flags say that calls on it do not wait.
pub(crate) fn is_nonblocking(fd: impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::NONBLOCK))
}

#[cfg(test)]
mod tests;
