//! Calls on the descriptor itself: of kernel sockets, and of sockets of ours whose engine's end is
//! closed or is the parent process's. For the latter the errno is corrected: an AF_UNIX pair knows
//! only one way to fail.

use crate::errno::fail;
use crate::state::{Phase, Shared};
use crate::sys::constants::{MSG_DONTWAIT, MSG_NOSIGNAL, SHUT_RD, SHUT_WR};
use crate::sys::process::raise_broken_pipe;
use ioth_stack::Kind;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, sockopt};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::Relaxed;

/// recv(2) on the pair of a stream socket.
pub(crate) fn receive(
    shared: &Shared,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<usize> {
    unconnected(shared, Errno::NOTCONN)?;
    let over = is_known_over(shared);
    let flags = if over { flags | MSG_DONTWAIT } else { flags };
    match recv(fd, buffer, recv_flags(flags)) {
        Ok((_, len)) => Ok(len),
        Err(Errno::CONNRESET) => Err(pending(shared).unwrap_or_else(|| Errno::CONNRESET.into())),
        // All there was has been taken.
        Err(Errno::AGAIN) if over => pending(shared).map_or(Ok(0), Err),
        Err(errno) => Err(errno.into()),
    }
}

/// send(2) on the pair of a stream socket.
pub(crate) fn transmit(shared: &Shared, fd: BorrowedFd<'_>, data: &[u8], flags: i32) -> io::Result<usize> {
    let sent = unconnected(shared, Errno::PIPE).and_then(|()| {
        if is_known_over(shared) {
            return fail(Errno::PIPE);
        }
        Ok(send(fd, data, send_flags(flags | MSG_NOSIGNAL))?)
    });
    let result = sent.map_err(|error| {
        if error.raw_os_error() != Some(Errno::PIPE.raw_os_error()) {
            return error;
        }
        let Some(pending) = pending(shared) else { return error };
        // TCP reports an error once, to whoever asks first.
        let _ = sockopt::socket_error(fd);
        pending
    });
    signal_broken_pipe(result, flags)
}

/// Whether the engine of this process has closed its end, after it put everything into the pair that the
/// application is still to receive. The pair itself may not show it yet: a process that another thread is
/// starting holds copies of all descriptors until its exec.
fn is_known_over(shared: &Shared) -> bool {
    shared.phase() == Phase::Ended && !shared.inherited()
}

/// Raises SIGPIPE for `EPIPE`, unless the caller said `MSG_NOSIGNAL`.
pub(crate) fn signal_broken_pipe<T>(result: io::Result<T>, flags: i32) -> io::Result<T> {
    if let Err(error) = &result
        && error.raw_os_error() == Some(Errno::PIPE.raw_os_error())
        && flags & MSG_NOSIGNAL == 0
    {
        raise_broken_pipe();
    }
    result
}

/// Takes the error that waits to be reported.
pub(crate) fn pending(shared: &Shared) -> Option<io::Error> {
    match shared.error.swap(0, Relaxed) {
        0 => None,
        errno => Some(io::Error::from_raw_os_error(errno)),
    }
}

fn unconnected(shared: &Shared, errno: Errno) -> io::Result<()> {
    match shared.phase() {
        Phase::Fresh | Phase::Listening if shared.kind == Kind::Stream => Err(errno.into()),
        _ => Ok(()),
    }
}

/// Flags of recv(2) as rustix takes them.
pub(crate) const fn recv_flags(flags: i32) -> RecvFlags {
    RecvFlags::from_bits_retain(flags.cast_unsigned())
}

/// Flags of send(2) as rustix takes them.
pub(crate) const fn send_flags(flags: i32) -> SendFlags {
    SendFlags::from_bits_retain(flags.cast_unsigned())
}

/// Second argument of shutdown(2); `None` is `EINVAL`.
pub(crate) const fn how(how: i32) -> Option<Shutdown> {
    match how {
        SHUT_RD => Some(Shutdown::Read),
        SHUT_WR => Some(Shutdown::Write),
        crate::sys::constants::SHUT_RDWR => Some(Shutdown::Both),
        _ => None,
    }
}
