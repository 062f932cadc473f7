//! A netlink socket: its port and groups, and what waits to be received.

use super::attachment::Netlink;
use super::constants::NETLINK_ROUTE;
use super::notice;
use super::request::{self, Manner};
use crate::errno::fail;
use crate::pair::{self, Given, Pair};
use crate::stack::Home;
use crate::sys::constants::{SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW};
use crate::table;
use ioth_stack::{EndpointId, Kind, Snapshot};
use parking_lot::{Mutex, MutexGuard};
use rustix::io::{Errno, FdFlags};
use rustix::net::{RecvFlags, recv};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A netlink socket of a stack.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Its stack, which lives as long as its sockets.
    pub(super) home: Arc<Home>,
    /// Has an event when the configuration changes, and no other meaning.
    pub(super) id: EndpointId,
    /// `SO_COOKIE` of the application's end.
    pub(crate) cookie: u64,
    /// `SOCK_RAW` or `SOCK_DGRAM`, which are the same.
    pub(super) kind: i32,
    generation: u32,
    end: Arc<OwnedFd>,
    /// Held while requests are answered, in front of every other lock: one after the other.
    serial: Mutex<()>,
    /// A leaf.
    state: Mutex<State>,
}

/// What changes about it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Its port (`nl_pid`); 0 while it has none.
    pub(super) port: u32,
    /// Port and groups of connect(2).
    pub(super) peer: (u32, u32),
    pub(super) groups: BTreeSet<u32>,
    pub(super) extended: bool,
    pub(super) capped: bool,
    pub(super) strict: bool,
    /// `NETLINK_NO_ENOBUFS`.
    pub(super) silent: bool,
    /// Notifications were lost.
    pub(super) overrun: bool,
    /// Answers that the pair has no room for yet.
    queue: VecDeque<Vec<u8>>,
    /// What notifications have told of, while it is in a group.
    seen: Option<Snapshot>,
}

/// Bytes of answers that may wait; with more, requests wait.
const BACKLOG: usize = 1 << 20;
/// The longest datagram of requests.
const LONGEST: usize = 1 << 20;

/// Makes a socket, see netlink(7).
pub(crate) fn open(home: &Arc<Home>, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // sys/socket.h: the type is below the flags.
    const TYPES: i32 = 0xf;
    let flags = kind & !TYPES;
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return fail(Errno::INVAL);
    }
    let kind = kind & TYPES;
    if !matches!(kind, SOCK_RAW | SOCK_DGRAM) {
        return fail(Errno::SOCKTNOSUPPORT);
    }
    debug_assert_eq!(protocol, NETLINK_ROUTE);
    let stack = home.reach()?;
    let Pair { application, engine, cookie } = Pair::new(Kind::Datagram, flags & SOCK_NONBLOCK != 0)?;
    let end = Arc::new(engine);
    stack.run(|cx| {
        let id = cx.engine.open_watcher();
        let attachment = Box::new(Netlink { cookie, end: Arc::clone(&end) });
        cx.attach(id, attachment).inspect_err(|_| cx.engine.close(cx.now, id))?;
        table::add_netlink(Arc::new(Socket {
            home: Arc::clone(home),
            id,
            cookie,
            kind,
            generation: crate::fork::generation(),
            end,
            serial: Mutex::default(),
            state: Mutex::default(),
        }));
        Ok::<_, io::Error>(())
    })?;
    if flags & SOCK_CLOEXEC == 0 {
        rustix::io::fcntl_setfd(&application, FdFlags::empty())?;
    }
    Ok(application)
}

impl Socket {
    /// Its stack.
    pub(crate) fn home(&self) -> Arc<Home> {
        Arc::clone(&self.home)
    }

    /// Whether a parent process made it: then there are plain calls only.
    pub(super) fn inherited(&self) -> bool {
        self.generation != crate::fork::generation()
    }

    /// What changes about it, in the process that made it.
    pub(super) fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        self.home.reach()?;
        Ok(self.state.lock())
    }

    /// Port and peer, as far as a forked child can know: a thread of the parent may have held the lock.
    pub(super) fn names(&self) -> (u32, u32, (u32, u32)) {
        let state = if self.inherited() { self.state.try_lock() } else { Some(self.state.lock()) };
        state.map_or_else(Default::default, |state| (state.port, state.mask(), state.peer))
    }

    /// Gives it a port, if it has none: the process's number, or one that no process has.
    pub(super) fn bind_if_unbound(&self) -> io::Result<u32> {
        self.take_port(0)
    }

    /// Gives it a port that no other socket of the stack has, 0 for a free one; it keeps one that it has. Says which it
    /// has then.
    pub(super) fn take_port(&self, wanted: u32) -> io::Result<u32> {
        let known = self.state()?.port;
        if known != 0 {
            return Ok(known);
        }
        table::with_netlink_ports(&self.home, |taken| {
            let own = std::process::id();
            // As Linux, others lie where no process has its number.
            let others = (0..=u32::MAX - 4096).rev();
            let free = match wanted {
                0 => std::iter::once(own).chain(others).find(|port| !taken.contains(port)),
                wanted => Some(wanted).filter(|port| !taken.contains(port)),
            };
            let Some(free) = free else { return fail(Errno::ADDRINUSE) };
            let mut state = self.state()?;
            if state.port == 0 {
                state.port = free;
            }
            Ok(state.port)
        })
    }

    /// The port, if it is free to be looked at.
    pub(crate) fn port_on(&self, home: &Arc<Home>) -> Option<u32> {
        Arc::ptr_eq(&self.home, home).then(|| self.state.lock().port).filter(|port| *port != 0)
    }

    /// Answers what was written. No lock of ours may be held.
    pub(super) fn process(&self) {
        let Ok(stack) = self.home.reach() else { return };
        let _serial = self.serial.lock();
        while let Some(datagram) = self.take_request() {
            let Ok(port) = self.bind_if_unbound() else { return };
            let manner = {
                let state = self.state.lock();
                Manner { port, extended: state.extended, capped: state.capped, strict: state.strict }
            };
            let answers = request::answer(stack, manner, &datagram);
            self.state.lock().queue.extend(answers);
            self.flush();
        }
        // The rest of the answers leaves when there is room, and the end of the pair is noticed.
        stack.run(|cx| cx.pump(self.id));
    }

    /// Sees at once that a descriptor was closed, if it was the last one.
    pub(crate) fn look(&self) {
        if let Ok(stack) = self.home.reach() {
            stack.run(|cx| cx.pump(self.id));
        }
    }

    /// The next datagram of requests, unless too many answers wait.
    fn take_request(&self) -> Option<Vec<u8>> {
        if self.state.lock().waiting() >= BACKLOG {
            return None;
        }
        let end = self.end.as_fd();
        let waiting = usize::try_from(rustix::io::ioctl_fionread(end).ok()?).ok()?;
        if waiting == 0 {
            return None;
        }
        let mut datagram = vec![0; waiting.min(LONGEST)];
        let (_, len) = recv(end, &mut datagram[..], RecvFlags::DONTWAIT).ok()?;
        datagram.truncate(len);
        Some(datagram)
    }

    /// Whether something was written that is not answered yet.
    pub(super) fn has_request(&self) -> bool {
        rustix::io::ioctl_fionread(self.end.as_fd()).is_ok_and(|waiting| waiting > 0)
    }

    /// Puts answers into the pair as far as it has room. Says whether some are left.
    pub(super) fn flush(&self) -> bool {
        let mut state = self.state.lock();
        while let Some(first) = state.queue.front() {
            match pair::give(self.end.as_fd(), first) {
                Given::Bytes(_) => drop(state.queue.pop_front()),
                Given::Full => return true,
                Given::Shut => state.queue.clear(),
            }
        }
        false
    }

    /// Tells its groups what is new. What there is no room for is lost, which the next receive says.
    pub(super) fn notify(&self, look: impl FnOnce() -> Snapshot) {
        let mut state = self.state.lock();
        let Some(old) = &state.seen else { return };
        let new = look();
        let notices = notice::between(old, &new);
        state.seen = Some(new);
        // As Linux: who has no port hears nothing.
        let heard = |notice: &&notice::Notice| state.port != 0 && state.groups.contains(&notice.group);
        for notice in notices.iter().filter(heard).collect::<Vec<_>>() {
            let given = state.queue.is_empty()
                && matches!(pair::give(self.end.as_fd(), &notice.message), Given::Bytes(_));
            state.overrun |= !given && !state.silent;
        }
    }

    /// Joins and leaves groups. Whoever is in one hears of what changes from now on.
    pub(super) fn change_groups(&self, change: impl FnOnce(&mut BTreeSet<u32>)) -> io::Result<()> {
        let stack = self.home.reach()?;
        stack.run(|cx| {
            let mut state = self.state.lock();
            change(&mut state.groups);
            state.seen = match state.seen.take() {
                _ if state.groups.is_empty() => None,
                Some(seen) => Some(seen),
                None => Some(cx.engine.configured(cx.now)),
            };
        });
        Ok(())
    }

    /// The size of the receive buffer: how much of answers and notifications the pair holds.
    pub(super) fn end(&self) -> &OwnedFd {
        &self.end
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.queue.iter().map(Vec::len).sum()
    }

    /// The groups that bind(2) knows, a bit each.
    pub(super) fn mask(&self) -> u32 {
        self.groups.iter().filter(|group| **group <= 32).fold(0, |mask, group| mask | 1 << (group - 1))
    }
}
