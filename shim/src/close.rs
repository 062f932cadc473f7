//! The end of a descriptor: close(2), which tells the engine at once and waits when `SO_LINGER` says so.

use crate::inside;
use crate::stack::Home;
use crate::state::Phase;
use crate::table::{self, Found, Socket};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Closes a descriptor, see close(2). What was sent still goes out; when it was the last copy, the end
/// of the connection leaves before this returns. Dropping an `OwnedFd` or a plain close does the same
/// a moment later.
///
/// # Errors
/// None today.
pub fn close(fd: OwnedFd) -> io::Result<()> {
    let found = table::find(fd.as_fd());
    match &found {
        Ok(Found::Ours(socket)) if !socket.shared.inherited() => inside::leave(socket, fd),
        _ => drop(fd),
    }
    if let Ok(found) = found {
        closed(&found);
    }
    Ok(())
}

/// Has the engine look whether the descriptor that was closed was the last one; if it was, and with `SO_LINGER`,
/// waits until what was sent has been acknowledged.
pub(crate) fn closed(found: &Found) {
    if let Found::Netlink(socket) = found {
        socket.look();
    }
    if let Found::Ours(socket) = found
        && !socket.shared.inherited()
        && let Ok(stack) = socket.home.reach()
    {
        socket.shared.look.store(true, Relaxed);
        stack.run(|cx| cx.pump(socket.id));
        if let Some(seconds @ 1..) = socket.shared.settings.linger()
            && socket.shared.hung_up.load(Relaxed)
        {
            linger(socket, stack, Duration::from_secs(seconds.unsigned_abs().into()));
        }
    }
}

/// How many sockets of a stack somebody holds: plain closes count at once.
pub(crate) fn open_sockets(home: &Arc<Home>) -> usize {
    let Ok(stack) = home.reach() else { return 0 };
    let held = |socket: &Arc<Socket>| {
        socket.shared.look.store(true, Relaxed);
        stack.run(|cx| cx.pump(socket.id));
        !socket.shared.hung_up.load(Relaxed)
    };
    // What a pump retires is not held any more, either.
    let held: Vec<_> = table::of(home).into_iter().filter(held).collect();
    held.iter().filter(|socket| table::live(socket.shared.cookie).is_some()).count()
}

/// Waits until the peer has acknowledged everything, or for so long.
fn linger(socket: &Socket, stack: &ioth_stack::Stack, time: Duration) {
    stack.run(|cx| cx.engine.watch(socket.id));
    let _ = stack.wait(socket.id, Some(Instant::now() + time), |cx| {
        let taken = socket.shared.phase() == Phase::Ended;
        (taken && cx.engine.has_delivered(socket.id)).then_some(())
    });
}
