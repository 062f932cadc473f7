//! What a socket of ours shows in the library's poll, select and epoll beyond what its descriptor shows: bytes that wait
//! in the ring, where the next library call takes them from, and the bits that a pair cannot show.
//!
//! A socket whose reader waits and receives through the library keeps what arrives in the ring. When a wait reported
//! such bytes and nobody took them through the library before the next one, the reader is a plain one: from then on
//! they go through the pair.

use crate::state::{Phase, Waits};
use crate::sys::wait;
use crate::table::{self, Found, Socket};
use crate::urgent;
use ioth_stack::{Context, Kind};
use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a descriptor number is, for a wait. What is no socket is the kernel's, which says so itself.
pub(crate) fn find(fd: RawFd) -> Found {
    if fd < 0 {
        return Found::Kernel;
    }
    wait::cookie(fd).map_or(Found::Kernel, table::find_cookie)
}

/// The poll bits beside those of the descriptor.
pub(crate) fn bits(cx: &mut Context<'_>, socket: &Socket) -> i16 {
    let shared = &*socket.shared;
    match (shared.kind, shared.phase()) {
        (Kind::Stream, Phase::Fresh) => POLLOUT | POLLWRNORM | POLLHUP,
        (Kind::Stream, Phase::Listening) if shared.is_direct() => {
            let waits = cx.engine.readiness(socket.id).readable || shared.parked.lock().is_some();
            if waits { POLLIN | POLLRDNORM } else { 0 }
        }
        (Kind::Stream, Phase::Connected) if shared.is_direct() => {
            let ready = cx.engine.readiness(socket.id);
            if ready.error || urgent::is_marked(cx, socket.id, shared) {
                // The pair has bits for it.
                cx.pump(socket.id);
                return 0;
            }
            let mut bits = if ready.readable { POLLIN | POLLRDNORM } else { 0 };
            if ready.read_closed {
                bits |= POLLIN | POLLRDNORM | POLLRDHUP;
                bits |= if ready.write_closed { POLLHUP } else { 0 };
            }
            bits
        }
        (Kind::Datagram | Kind::Echo, Phase::Fresh | Phase::Connected) => {
            let ready = cx.engine.readiness(socket.id);
            let mut bits = if ready.error { POLLERR } else { 0 };
            if ready.readable && shared.is_direct() {
                bits |= POLLIN | POLLRDNORM;
            }
            bits
        }
        _ => 0,
    }
}

/// Notes that a wait reported these bits; whoever receives through the library takes the note away.
pub(crate) fn offer(socket: &Socket, bits: i16) {
    if bits & POLLIN != 0 && socket.shared.is_direct() {
        socket.shared.offered.store(true, Relaxed);
    }
}

/// A wait of the library begins. What the last one offered and nobody took goes into the pair.
pub(crate) fn begin(cx: &mut Context<'_>, socket: &Socket) {
    let shared = &*socket.shared;
    if shared.offered.swap(false, Relaxed) {
        give_up(cx, socket);
    } else if shared.waits() == Waits::Unknown {
        shared.set_waits(Waits::Library);
    }
}

/// From now on plain calls find everything in the pair at once.
pub(crate) fn give_up(cx: &mut Context<'_>, socket: &Socket) {
    socket.shared.set_waits(Waits::Plain);
    socket.shared.set_direct(false);
    cx.pump(socket.id);
}

/// The sockets of ours among descriptors, and their stacks.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Their stacks, each once.
    pub(crate) homes: Vec<Arc<crate::stack::Home>>,
    /// The caller's number of each, the place of its stack, the socket.
    pub(crate) sockets: Vec<(usize, usize, Arc<Socket>)>,
}

impl Members {
    /// Adds a socket under the caller's number.
    pub(crate) fn add(&mut self, number: usize, socket: Arc<Socket>) {
        if socket.home.reach().is_ok() {
            let home = self.home(&socket.home);
            self.sockets.push((number, home, socket));
        }
    }

    /// The place of a stack.
    pub(crate) fn home(&mut self, home: &Arc<crate::stack::Home>) -> usize {
        self.homes.iter().position(|known| Arc::ptr_eq(known, home)).unwrap_or_else(|| {
            self.homes.push(Arc::clone(home));
            self.homes.len() - 1
        })
    }
}
