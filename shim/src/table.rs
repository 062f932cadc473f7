//! Which descriptors are ours: a table from socket cookies to sockets.
//!
//! `SO_COOKIE` (socket(7)) is the same for every descriptor that refers to one socket, also after dup
//! and fork, never used twice, and costs one short system call that says `EBADF` and `ENOTSOCK` for
//! free. Not in the table means: a socket of the kernel.

use crate::netlink;
use crate::stack::Home;
use crate::state::Shared;
use ioth_stack::EndpointId;
use rustix::net::sockopt;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

/// A socket of a stack.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Its stack, which lives as long as its sockets.
    pub(crate) home: Arc<Home>,
    /// The endpoint behind it.
    pub(crate) id: EndpointId,
    /// What it shares with the engine's side.
    pub(crate) shared: Arc<Shared>,
}

/// What a descriptor is.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A socket of a stack.
    Ours(Arc<Socket>),
    /// A socket whose engine's end is closed, or is the parent process's: plain calls on the pair.
    Plain(Arc<Shared>),
    /// A netlink socket of a stack, of this process or its parent.
    Netlink(Arc<netlink::Socket>),
    /// Anything else.
    Kernel,
}

impl Found {
    /// What is known of it, if it is a socket of ours that has data.
    pub(crate) fn shared(&self) -> Option<&Shared> {
        match self {
            Self::Kernel | Self::Netlink(_) => None,
            Self::Ours(socket) => Some(&socket.shared),
            Self::Plain(shared) => Some(shared),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    live: HashMap<u64, Arc<Socket>>,
    netlink: HashMap<u64, Arc<netlink::Socket>>,
    ended: HashMap<u64, Ended>,
    order: VecDeque<u64>,
}

/// What is remembered of a socket whose engine's end is closed.
#[derive(Debug)]
struct Ended {
    shared: Arc<Shared>,
    /// It does not keep its stack.
    home: Weak<Home>,
}

/// How many ended sockets are remembered. Nothing tells when their last descriptor is closed.
const REMEMBERED: usize = 4096;

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(RwLock::default);

/// Adds a socket.
pub(crate) fn add(socket: Arc<Socket>) {
    write().live.insert(socket.shared.cookie, socket);
}

/// The engine's end of this socket is closed.
pub(crate) fn retire(cookie: u64) {
    let mut table = write();
    let Some(socket) = table.live.remove(&cookie) else { return };
    if table.order.len() == REMEMBERED
        && let Some(oldest) = table.order.pop_front()
    {
        table.ended.remove(&oldest);
    }
    table.order.push_back(cookie);
    let ended = Ended { shared: Arc::clone(&socket.shared), home: Arc::downgrade(&socket.home) };
    table.ended.insert(cookie, ended);
    drop(table);
    // `socket` may be the last to hold the stack: it goes with no lock of ours held.
}

/// Adds a netlink socket.
pub(crate) fn add_netlink(socket: Arc<netlink::Socket>) {
    write().netlink.insert(socket.cookie, socket);
}

/// The netlink socket with this cookie.
pub(crate) fn netlink(cookie: u64) -> Option<Arc<netlink::Socket>> {
    read().netlink.get(&cookie).cloned()
}

/// Runs `f` with the ports that netlink sockets of a stack have, while nobody else takes one.
pub(crate) fn with_netlink_ports<R>(home: &Arc<Home>, f: impl FnOnce(&[u32]) -> R) -> R {
    let table = write();
    let ports: Vec<_> = table.netlink.values().filter_map(|socket| socket.port_on(home)).collect();
    f(&ports)
}

/// Nobody has this netlink socket any more.
pub(crate) fn retire_netlink(cookie: u64) {
    let gone = write().netlink.remove(&cookie);
    // It may be the last to hold the stack: it goes without the lock.
    drop(gone);
}

/// Looks a descriptor up. Anything that is open and no socket of a stack is the kernel's.
pub(crate) fn find(fd: BorrowedFd<'_>) -> io::Result<Found> {
    Ok(find_cookie(sockopt::socket_cookie(fd)?))
}

/// Looks a socket up by its cookie.
pub(crate) fn find_cookie(cookie: u64) -> Found {
    let table = read();
    if let Some(socket) = table.live.get(&cookie) {
        return if socket.shared.inherited() {
            Found::Plain(Arc::clone(&socket.shared))
        } else {
            Found::Ours(Arc::clone(socket))
        };
    }
    if let Some(socket) = table.netlink.get(&cookie) {
        return Found::Netlink(Arc::clone(socket));
    }
    table.ended.get(&cookie).map_or(Found::Kernel, |ended| Found::Plain(Arc::clone(&ended.shared)))
}

/// The stack that the socket with this cookie is on, or was on while there is such a stack.
pub(crate) fn home(cookie: u64) -> Option<Arc<Home>> {
    let table = read();
    let live = table.live.get(&cookie).map(|socket| Arc::clone(&socket.home));
    live.or_else(|| table.netlink.get(&cookie).map(|socket| socket.home()))
        .or_else(|| table.ended.get(&cookie)?.home.upgrade())
}

/// The socket with this cookie, while the engine has its end.
pub(crate) fn live(cookie: u64) -> Option<Arc<Socket>> {
    read().live.get(&cookie).cloned()
}

/// The sockets of a stack whose engine's ends are open.
pub(crate) fn of(home: &Arc<Home>) -> Vec<Arc<Socket>> {
    read().live.values().filter(|socket| Arc::ptr_eq(&socket.home, home)).cloned().collect()
}

/// The table, locked; what fork needs too.
pub(crate) fn write() -> RwLockWriteGuard<'static, Table> {
    TABLE.write().unwrap_or_else(PoisonError::into_inner)
}

fn read() -> RwLockReadGuard<'static, Table> {
    TABLE.read().unwrap_or_else(PoisonError::into_inner)
}
