//! A connect that nobody waits for: the descriptor must not be writable until it is decided.
//!
//! The application's end gets the smallest `SO_SNDBUF` and is filled with bytes of no meaning: poll
//! shows nothing and send says `EAGAIN`, as on a connecting TCP socket. The engine keeps a copy of
//! that end, because `POLLOUT` comes back only when `SO_SNDBUF` is raised on it. Once established,
//! the filler is read but for one byte, the new sentinel, and the buffer is raised. Once refused, the
//! engine's end is closed, and the poll bits are the ones of a refused TCP socket.

use crate::pair;
use crate::state::{Phase, Shared};
use ioth_stack::{Context, EndpointId, Error};
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Fills the application's end, so that it is not writable.
pub(crate) fn fill(application: BorrowedFd<'_>, shared: &Shared) -> io::Result<()> {
    let spare = rustix::io::fcntl_dupfd_cloexec(application, 0)?;
    clog(application)?;
    *shared.spare.lock() = Some(spare);
    Ok(())
}

/// Makes the application's end unwritable.
pub(crate) fn clog(application: BorrowedFd<'_>) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(application, 0)?;
    // More than the buffer takes: how much goes in does not matter.
    let _ = send(application, &[0; 4096], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    Ok(())
}

/// Undoes [`fill`]: the descriptor becomes writable.
pub(crate) fn open(shared: &Shared) {
    if let Some(end) = shared.engine_end() {
        let mut waste = [0; 8192];
        let filler = pair::written(end.as_fd());
        if filler > 0 {
            let len = filler.min(waste.len());
            let _ = recv(&end, &mut waste[..len], RecvFlags::DONTWAIT);
        }
    }
    if let Some(spare) = shared.spare.lock().take() {
        // Raising it wakes writers. It cannot fail: the value is bounded, not refused.
        let _ = sockopt::set_socket_send_buffer_size(&spare, pair::ROOM);
    }
}

/// Sees what became of a connect that nobody waits for. `None`: it is not decided. An error is left
/// for the caller to report; the socket is then to be ended.
pub(crate) fn advance(cx: &mut Context<'_>, id: EndpointId, shared: &Shared) -> Option<Result<(), Error>> {
    match cx.engine.connect_result(id) {
        Err(Error::InProgress | Error::WouldBlock | Error::AlreadyInProgress) => None,
        Ok(()) => {
            shared.set_phase(Phase::Connected);
            shared.set_names(cx.engine.local_address(id).ok(), cx.engine.peer_address(id).ok());
            open(shared);
            Some(Ok(()))
        }
        Err(error) => {
            // The pump that follows closes the pair.
            shared.set_phase(Phase::Refused);
            Some(Err(error))
        }
    }
}
