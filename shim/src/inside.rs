//! Calls that wait inside a socket, while another thread closes the descriptor that they were given.
//!
//! To Linux a call holds the socket, not the number: it goes on, the socket is open until it returns, and a new
//! descriptor under the same number has nothing to do with it. Here a call that waits is counted, which costs no system
//! call. A close of the library leaves a copy of the descriptor to the calls; behind a plain one the engine's side does
//! not hang up before they have returned, and they take what there is from the rings. Whatever else a call does with its
//! descriptor after it waited, it does with that copy, or with a copy of its own that has the socket's cookie.

use crate::errno::fail;
use crate::state::Shared;
use crate::sys::wait;
use crate::table::Socket;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;

/// A call that waits.
pub(crate) struct Inside<'a>(&'a Socket);

impl<'a> Inside<'a> {
    /// From now on the socket stays open until this is dropped.
    pub(crate) fn new(socket: &'a Socket) -> Self {
        socket.shared.inside.fetch_add(1, SeqCst);
        Self(socket)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        if shared.inside.fetch_sub(1, SeqCst) == 1 && shared.closed_inside.swap(false, SeqCst) {
            drop(shared.kept.lock().take());
            look(self.0);
        }
    }
}

/// A descriptor of the socket is closed through the library: gives it to the calls that wait, if there are any.
pub(crate) fn leave(socket: &Socket, fd: OwnedFd) {
    let shared = &socket.shared;
    if shared.inside.load(SeqCst) == 0 {
        return;
    }
    // The number is free at once, as the caller expects.
    let Ok(copy) = fcntl_dupfd_cloexec(&fd, 0) else { return };
    drop(fd);
    let before = shared.kept.lock().replace(copy);
    drop(before);
    shared.closed_inside.store(true, SeqCst);
    if shared.inside.load(SeqCst) == 0 && shared.closed_inside.swap(false, SeqCst) {
        // The last of them has returned meanwhile.
        drop(shared.kept.lock().take());
    }
}

/// Whether the engine's side, which has seen that nobody holds the application's end any more, puts that off until calls
/// have returned.
pub(crate) fn puts_off(shared: &Shared) -> bool {
    // In this order, and the other way round when a call returns: one of the two sees the other.
    shared.closed_inside.store(true, SeqCst);
    if shared.inside.load(SeqCst) == 0 {
        return false;
    }
    // What was in the pair has gone with it.
    shared.took(0, true);
    true
}

/// Does something with the descriptor of a call. After it has waited (`late`) the number may be somebody else's.
///
/// # Errors
/// `EBADF` when no descriptor of the socket is known any more.
pub(crate) fn reach<T>(
    shared: &Shared,
    fd: BorrowedFd<'_>,
    late: bool,
    f: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    if !late {
        return f(fd);
    }
    let kept = shared.kept.lock().as_ref().map(|kept| fcntl_dupfd_cloexec(kept, 0));
    match kept {
        Some(copy) => f(copy?.as_fd()),
        // Asked twice: what is no socket of ours is not copied, and what was copied is looked at.
        None if is_of(shared, fd) => {
            let copy = fcntl_dupfd_cloexec(fd, 0)?;
            if is_of(shared, copy.as_fd()) { f(copy.as_fd()) } else { fail(Errno::BADF) }
        }
        None => fail(Errno::BADF),
    }
}

/// Whether the number is a descriptor of this socket.
pub(crate) fn is_of(shared: &Shared, fd: BorrowedFd<'_>) -> bool {
    wait::cookie(fd.as_raw_fd()).is_ok_and(|cookie| cookie == shared.cookie)
}

fn look(socket: &Socket) {
    if !socket.shared.inherited()
        && let Ok(stack) = socket.home.reach()
    {
        socket.shared.look.store(true, std::sync::atomic::Ordering::Relaxed);
        stack.run(|cx| cx.pump(socket.id));
    }
}
