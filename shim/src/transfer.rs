//! Bytes by library calls on a stream socket: directly between the caller's buffer and the rings.
//!
//! One rule keeps them in order with plain calls on the same descriptor. Receiving, what is in the
//! pair is older than what is in the ring; sending, what is in the ring is older than what is in the
//! pair; every move is made under the lock of the stack.
//!
//! Once the connection has an error, the pair alone says what there is: the engine's side moves what
//! is left into it and closes, and calls are plain calls with the errno corrected.

use crate::errno::fail;
use crate::inside::{self, Inside};
use crate::pair::is_nonblocking;
use crate::plain;
use crate::pump::{Left, take_written};
use crate::state::{Phase, Shared};
use crate::sys::constants::{MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_WAITALL};
use crate::table::Socket;
use crate::urgent;
use ioth_stack::{Context, Error, Stack, Waited};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, send};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;

/// What one try came to.
pub(crate) enum Step<T> {
    /// This is the result of the call.
    Done(io::Result<T>),
    /// Make a plain call on the pair.
    Plain,
    /// Wait for the endpoint and try again.
    Wait,
}

impl<T> Step<T> {
    fn would_block(&self) -> bool {
        matches!(self, Self::Done(result) if would_block(result))
    }
}

/// Whether a call that does not wait found nothing.
pub(crate) fn would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// The first try of a call. What found nothing and does not wait is tried once more, with what has arrived taken
/// in: a program whose calls never wait leaves that to nobody else.
pub(crate) fn attempt<R>(
    stack: &Stack,
    found_nothing: impl FnOnce(&R) -> bool,
    mut step: impl FnMut(&mut Context<'_>) -> R,
) -> R {
    let result = stack.run(&mut step);
    if found_nothing(&result) { stack.run_fresh(step) } else { result }
}

/// recv(2) on a stream socket of ours.
pub(crate) fn receive(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<usize> {
    let mut got = 0;
    let (step, inside) =
        receive_with(socket, |cx, waited| receive_step(cx, socket, fd, buffer, flags, &mut got, waited))?;
    match step {
        Step::Done(Err(_)) | Step::Plain | Step::Wait if got > 0 => Ok(got),
        Step::Done(result) => result,
        Step::Plain | Step::Wait => {
            let shared = &socket.shared;
            let late = inside.is_some();
            let result = inside::reach(shared, fd, late, |fd| plain::receive(shared, fd, buffer, flags));
            result.map_err(|error| without_pair(shared, error))
        }
    }
}

/// Tries to receive with `step`, which is told whether it waited before, and waits for the endpoint as long
/// as that says so: `EAGAIN` when `SO_RCVTIMEO` has passed, `EINTR` after a signal that ends it. After it waited, the
/// socket is held until the call is done.
pub(crate) fn receive_with<T>(
    socket: &Socket,
    mut step: impl FnMut(&mut Context<'_>, bool) -> Step<T>,
) -> io::Result<(Step<T>, Option<Inside<'_>>)> {
    let shared = &socket.shared;
    let stack = socket.home.reach()?;
    match attempt(stack, Step::would_block, |cx| step(cx, false)) {
        Step::Wait => {}
        step => return Ok((step, None)),
    }
    let inside = Inside::new(socket);
    shared.waiting.fetch_add(1, Relaxed);
    let decided = stack.wait(socket.id, shared.settings.recv_deadline(), |cx| match step(cx, true) {
        Step::Wait => None,
        step => {
            // Before the pumps that the step asked for run.
            shared.waiting.fetch_sub(1, Relaxed);
            Some(step)
        }
    });
    if !matches!(decided, Waited::Done(_)) {
        shared.waiting.fetch_sub(1, Relaxed);
        stack.run(|cx| cx.pump(socket.id));
    }
    Ok((decision(decided), Some(inside)))
}

/// What a wait came to: `EAGAIN` when the time is over, `EINTR` after a signal that ends it.
pub(crate) fn decision<T>(waited: Waited<Step<T>>) -> Step<T> {
    match waited {
        Waited::Done(step) => step,
        Waited::TimedOut => Step::Done(fail(Errno::AGAIN)),
        Waited::Interrupted => Step::Done(fail(Errno::INTR)),
    }
}

/// One try to receive, under the lock. `got` counts what earlier tries of the call put into `buffer`.
fn receive_step(
    cx: &mut Context<'_>,
    socket: &Socket,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
    got: &mut usize,
    waited: bool,
) -> Step<usize> {
    let shared = &*socket.shared;
    let id = socket.id;
    // Whoever has waited once need not be asked again whether it waits.
    let wait = |shared, fd, flags| if waited { Step::Wait } else { wait(shared, fd, flags) };
    match shared.phase() {
        Phase::Fresh | Phase::Listening => return Step::Done(none(shared, Errno::NOTCONN)),
        Phase::Filled | Phase::Awaited => return wait(shared, fd, flags),
        Phase::Refused | Phase::Ended => return Step::Plain,
        Phase::Connected => {}
    }
    if cx.engine.readiness(id).error {
        cx.pump(id);
        return Step::Plain;
    }
    if urgent::is_marked(cx, id, shared) {
        cx.pump(id);
        return Step::Plain;
    }
    if buffer.is_empty() {
        // As Linux: it waits for something to receive, and takes none of it.
        let ready = cx.engine.readiness(id);
        let some = ready.readable
            || ready.read_closed
            || inside::reach(shared, fd, waited, |fd| Ok(holds(shared, fd))).unwrap_or_default();
        return if some { Step::Done(Ok(0)) } else { wait(shared, fd, flags) };
    }
    let peek = flags & MSG_PEEK != 0;
    if peek {
        *got = 0;
    }
    let of_pair = shared.held.load(Relaxed) > 0;
    if of_pair {
        let room = &mut buffer[*got..];
        match inside::reach(shared, fd, waited, |fd| take_held(shared, fd, room, peek)) {
            Ok(count) => *got += count,
            Err(error) => return Step::Done(if *got > 0 { Ok(*got) } else { Err(error) }),
        }
    }
    let mut over = None;
    while *got < buffer.len() {
        let room = &mut buffer[*got..];
        let result = if peek { cx.engine.peek(id, room) } else { cx.engine.recv(cx.now, id, room) };
        match result {
            Ok(0) => over = Some(Ok(0)),
            Ok(count) => *got += count,
            Err(Error::WouldBlock) => {}
            Err(error) => over = Some(Err(io::Error::from(error))),
        }
        if !matches!(result, Ok(1..)) || peek {
            break;
        }
    }
    let wanted =
        if flags & MSG_WAITALL == 0 { shared.settings.low_water().min(buffer.len()) } else { buffer.len() };
    let enough = *got > 0 && *got >= wanted;
    if !enough && over.is_none() {
        cx.restarts = *got == 0;
        match wait(shared, fd, flags) {
            Step::Wait => return Step::Wait,
            step if *got == 0 => return step,
            _ => {}
        }
    }
    leave(cx, socket, of_pair, waited);
    Step::Done(match over {
        Some(result) if *got == 0 => result,
        _ => Ok(*got),
    })
}

/// There is no connection: what became of the one before, once, or `otherwise`.
fn none(shared: &Shared, otherwise: Errno) -> io::Result<usize> {
    Err(plain::pending(shared).unwrap_or_else(|| otherwise.into()))
}

/// Without a descriptor there is still the error of the connection.
fn without_pair(shared: &Shared, error: io::Error) -> io::Error {
    let none = error.raw_os_error() == Some(Errno::BADF.raw_os_error());
    if none { plain::pending(shared).unwrap_or(error) } else { error }
}

/// Whether the pair holds something to receive.
fn holds(shared: &Shared, fd: BorrowedFd<'_>) -> bool {
    shared.held.load(Relaxed) > 0 && rustix::io::ioctl_fionread(fd).is_ok_and(|count| count > 0)
}

/// Takes from the pair what the engine put there for plain readers.
fn take_held(shared: &Shared, fd: BorrowedFd<'_>, room: &mut [u8], peek: bool) -> io::Result<usize> {
    let how = if peek { RecvFlags::DONTWAIT | RecvFlags::PEEK } else { RecvFlags::DONTWAIT };
    let asked = room.len();
    match recv(fd, room, how) {
        Ok((_, count)) => {
            if !peek {
                shared.took(count, count < asked);
            }
            Ok(count)
        }
        Err(Errno::AGAIN) => {
            shared.took(0, true);
            Ok(0)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// What stays in the ring must show in poll: at once for a caller that does not wait or mixes with
/// plain calls, by the next tick for one that waits and will be back. Moving it always would halve
/// what such a caller gets.
pub(crate) fn leave(cx: &mut Context<'_>, socket: &Socket, of_pair: bool, waited: bool) {
    let shared = &socket.shared;
    let polled = shared.received(of_pair || (shared.nonblocking.load(Relaxed) && !waited));
    let ready = cx.engine.readiness(socket.id);
    if ready.readable || ready.read_closed {
        if polled {
            cx.pump(socket.id);
        } else {
            cx.pump_later(socket.id);
        }
    }
}

/// Whether the call waits or fails with `EAGAIN`. Only here the descriptor's flags are asked for.
pub(crate) fn wait<T>(shared: &Shared, fd: BorrowedFd<'_>, flags: i32) -> Step<T> {
    if flags & MSG_DONTWAIT == 0 {
        let nonblocking = is_nonblocking(fd);
        shared.nonblocking.store(nonblocking, Relaxed);
        if !nonblocking {
            return Step::Wait;
        }
    }
    Step::Done(fail(Errno::AGAIN))
}

/// send(2) on a stream socket of ours.
pub(crate) fn transmit(socket: &Socket, fd: BorrowedFd<'_>, data: &[u8], flags: i32) -> io::Result<usize> {
    let shared = &socket.shared;
    let stack = socket.home.reach()?;
    let mut sent = 0;
    let first =
        attempt(stack, Step::would_block, |cx| transmit_step(cx, socket, fd, data, flags, &mut sent, false));
    let late = matches!(first, Step::Wait);
    let _inside = late.then(|| Inside::new(socket));
    let step =
        match first {
            Step::Wait => decision(stack.wait(socket.id, shared.settings.send_deadline(), |cx| {
                match transmit_step(cx, socket, fd, data, flags, &mut sent, true) {
                    Step::Wait => None,
                    step => Some(step),
                }
            })),
            step => step,
        };
    match step {
        Step::Done(Err(_)) if sent > 0 => Ok(sent),
        Step::Done(result) => plain::signal_broken_pipe(result, flags),
        Step::Plain if sent > 0 => Ok(sent),
        Step::Plain | Step::Wait => {
            let result = inside::reach(shared, fd, late, |fd| plain::transmit(shared, fd, data, flags));
            result.map_err(|error| without_pair(shared, error))
        }
    }
}

/// One try to send, under the lock. `sent` counts what earlier tries of the call took from `data`.
fn transmit_step(
    cx: &mut Context<'_>,
    socket: &Socket,
    fd: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    sent: &mut usize,
    waited: bool,
) -> Step<usize> {
    let shared = &*socket.shared;
    let id = socket.id;
    // Whoever has waited once need not be asked again whether it waits.
    let wait = |shared, fd, flags| if waited { Step::Wait } else { wait(shared, fd, flags) };
    match shared.phase() {
        Phase::Fresh | Phase::Listening => return Step::Done(none(shared, Errno::PIPE)),
        Phase::Filled | Phase::Awaited => return wait(shared, fd, flags),
        Phase::Refused | Phase::Ended => return Step::Plain,
        Phase::Connected => {}
    }
    if cx.engine.readiness(id).error {
        cx.pump(id);
        return Step::Plain;
    }
    if shared.write_shut.load(Relaxed) || (data.is_empty() && cx.engine.readiness(id).write_closed) {
        return Step::Done(if *sent > 0 { Ok(*sent) } else { fail(Errno::PIPE) });
    }
    let Some(end) = shared.engine_end() else { return Step::Plain };
    // What plain calls wrote before goes first.
    let clear = match take_written(cx, id, end.as_fd()) {
        Ok(left) => left == Left::Nothing,
        Err(error) => return Step::Done(if *sent > 0 { Ok(*sent) } else { Err(error.into()) }),
    };
    if *sent < data.len() {
        // A connection that is over says so below.
        let _ = cx.engine.set_more(id, flags & MSG_MORE != 0);
    }
    while clear && *sent < data.len() {
        match cx.engine.send(cx.now, id, &data[*sent..]) {
            Ok(0) | Err(Error::WouldBlock) => break,
            Ok(count) => *sent += count,
            Err(error) => return Step::Done(if *sent > 0 { Ok(*sent) } else { Err(error.into()) }),
        }
        if flags & MSG_OOB != 0
            && let Err(error) = cx.engine.mark_urgent(id)
        {
            return Step::Done(Err(error.into()));
        }
    }
    if *sent == data.len() {
        return Step::Done(Ok(*sent));
    }
    cx.restarts = *sent == 0;
    match wait(shared, fd, flags) {
        Step::Wait => Step::Wait,
        // The rest goes into the pair, so that it is the pair being full that clears POLLOUT.
        _ => {
            match send(fd, &data[*sent..], plain::send_flags(flags | MSG_DONTWAIT | MSG_NOSIGNAL)) {
                Ok(count) => *sent += count,
                Err(errno) if *sent == 0 => return Step::Done(Err(errno.into())),
                Err(_) => {}
            }
            if !clear {
                cx.pump(id);
            }
            Step::Done(Ok(*sent))
        }
    }
}
