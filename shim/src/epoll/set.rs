//! The sockets of stacks in one epoll.
//!
//! A turn looks at those that had an event since the last one, and at those that were reported last: by level they are
//! reported as long as there is something. What the kernel reports for the same registration, known by its data, is
//! put into the same event.

mod wait;

pub(super) use self::wait::Wait;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Weak};

use ioth_stack::{Context, EndpointId, Inbox, Watch};
use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP, EPOLLONESHOT, EPOLLWAKEUP,
    epoll_event,
};
use parking_lot::Mutex;

use crate::readiness;
use crate::stack::Home;
use crate::state::Waits;
use crate::sys;
use crate::table::Socket;

/// The sockets of stacks in one epoll.
#[derive(Debug)]
pub(crate) struct Set {
    inbox: Arc<Inbox>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By key; the places of those that are gone are used again.
    items: Vec<Option<Item>>,
    free: Vec<usize>,
    /// The kernel knows a registration by number and file.
    by_fd: HashMap<(RawFd, u64), usize>,
    by_data: HashMap<u64, usize>,
    /// The stacks, and how many sockets here are theirs.
    homes: Vec<(Weak<Home>, usize)>,
    /// Sets whose epoll is registered in this one.
    inner: Vec<Weak<Set>>,
    /// Changes with the stacks.
    version: u64,
    /// To be looked at.
    hot: VecDeque<usize>,
    /// Reported last.
    reported: Vec<usize>,
    /// Everything below the limit was from the rings: now the kernel comes first.
    kernel_first: bool,
    /// Whether the epoll is inside another one, or was polled.
    exposed: bool,
    /// Counts turns, so that an item knows whether it has been reported in this one.
    turn: u64,
}

/// One registration.
#[derive(Debug)]
struct Item {
    socket: Weak<Socket>,
    home: Weak<Home>,
    id: EndpointId,
    fd: RawFd,
    cookie: u64,
    events: u32,
    data: u64,
    watch: Arc<Watch>,
    /// Whether the ring is looked at, or the kernel alone reports it.
    rings: bool,
    hot: bool,
    edge: bool,
    reported: bool,
    /// The turn in which it was reported from the ring, and the place of the event.
    slot: (u64, usize),
}

impl Set {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, state: Mutex::default() }
    }

    pub(super) const fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// Whether a socket that lives is in it, or in what is inside.
    pub(super) fn is_used(&self) -> bool {
        let state = self.state.lock();
        let inner: Vec<_> = state.inner.iter().filter_map(Weak::upgrade).collect();
        let used = state.items.iter().flatten().any(|item| item.socket.strong_count() > 0);
        drop(state);
        used || inner.iter().any(|set| set.is_used())
    }

    /// epoll_ctl(2) for a socket of a stack.
    pub(super) fn control(
        &self,
        epoll: RawFd,
        operation: i32,
        fd: RawFd,
        socket: &Arc<Socket>,
        event: Option<&mut epoll_event>,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        let asked = event.as_ref().map(|event| (event.events, event.u64));
        sys::wait::epoll_ctl(epoll, operation, fd, event)?;
        let known = state.by_fd.get(&(fd, socket.shared.cookie)).copied();
        match (operation, known, asked) {
            (EPOLL_CTL_DEL, Some(key), _) => state.remove(key),
            (EPOLL_CTL_DEL, None, _) | (_, _, None) => {}
            // One that the kernel has forgotten, as its last descriptor was closed.
            (EPOLL_CTL_ADD, Some(key), Some((events, data))) => {
                state.remove(key);
                state.add(&self.inbox, fd, socket, events, data);
            }
            (EPOLL_CTL_ADD, None, Some((events, data))) => {
                state.add(&self.inbox, fd, socket, events, data);
            }
            (_, Some(key), Some((events, data))) => state.modify(key, socket, events, data),
            (_, None, Some((events, data))) => state.add(&self.inbox, fd, socket, events, data),
        }
        drop(state);
        // Who sleeps has not looked at it, and may lack its stack.
        self.inbox.ring();
        Ok(())
    }

    /// The kernel shows to others what is ready in the epoll: everything goes through the pairs.
    pub(super) fn expose(&self) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.exposed, true) {
            return;
        }
        for item in state.items.iter_mut().flatten() {
            item.rings = false;
            if let Some(socket) = item.socket.upgrade() {
                leave_to_the_kernel(&socket);
            }
        }
    }

    /// An epoll that is registered in this one: its stacks are run, too.
    pub(super) fn adopt(&self, inner: &Arc<Self>) {
        let mut state = self.state.lock();
        state.inner.retain(|known| known.strong_count() > 0);
        if !state.inner.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(inner))) {
            state.inner.push(Arc::downgrade(inner));
        }
        state.version += 1;
        drop(state);
        self.inbox.ring();
    }

    /// The stacks of the sockets in it, and in what is inside.
    pub(super) fn homes(&self) -> Vec<Arc<Home>> {
        let mut homes = Vec::new();
        let state = self.state.lock();
        let inner: Vec<_> = state.inner.iter().filter_map(Weak::upgrade).collect();
        homes.extend(state.homes.iter().filter_map(|(home, _)| home.upgrade()));
        drop(state);
        // The kernel allows no circles, and five levels at most.
        for home in inner.iter().flat_map(|set| set.homes()) {
            if !homes.iter().any(|known| Arc::ptr_eq(known, &home)) {
                homes.push(home);
            }
        }
        homes
    }
}

/// What arrives goes into the pair at once.
fn leave_to_the_kernel(socket: &Socket) {
    match socket.home.reach() {
        Ok(stack) => stack.run(|cx| readiness::give_up(cx, socket)),
        Err(_) => socket.shared.set_waits(Waits::Plain),
    }
}

impl State {
    fn add(&mut self, inbox: &Arc<Inbox>, fd: RawFd, socket: &Arc<Socket>, events: u32, data: u64) {
        let key = self.free.pop().unwrap_or_else(|| {
            self.items.push(None);
            self.items.len() - 1
        });
        let watch = Watch::new(inbox, key as u64);
        if let Ok(stack) = socket.home.reach() {
            stack.run(|cx| cx.watch(socket.id, &watch));
        }
        self.items[key] = Some(Item {
            socket: Arc::downgrade(socket),
            home: Arc::downgrade(&socket.home),
            id: socket.id,
            fd,
            cookie: socket.shared.cookie,
            events: 0,
            data,
            watch,
            rings: false,
            hot: false,
            edge: false,
            reported: false,
            slot: (0, 0),
        });
        self.by_fd.insert((fd, socket.shared.cookie), key);
        match self.homes.iter_mut().find(|(home, _)| std::ptr::eq(home.as_ptr(), Arc::as_ptr(&socket.home))) {
            Some((_, count)) => *count += 1,
            None => {
                self.homes.push((Arc::downgrade(&socket.home), 1));
                self.version += 1;
            }
        }
        self.modify(key, socket, events, data);
    }

    fn modify(&mut self, key: usize, socket: &Arc<Socket>, events: u32, data: u64) {
        const KERNELS: u32 = (EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP).cast_unsigned();
        let Some(item) = self.items[key].as_mut() else { return };
        if self.by_data.get(&item.data) == Some(&key) {
            self.by_data.remove(&item.data);
        }
        // Events with the same data cannot be told apart.
        let other = self.by_data.get(&data).copied();
        let rings = events & KERNELS == 0 && !self.exposed && other.is_none();
        (item.events, item.data, item.rings) = (events, data, rings);
        item.edge = true;
        if rings {
            self.by_data.insert(data, key);
            if socket.shared.waits() == Waits::Unknown {
                socket.shared.set_waits(Waits::Library);
            }
            self.heat(key);
        } else {
            leave_to_the_kernel(socket);
        }
        if let Some(other) = other.and_then(|other| self.items[other].as_mut()) {
            other.rings = false;
            if let Some(socket) = other.socket.upgrade() {
                leave_to_the_kernel(&socket);
            }
        }
    }

    fn remove(&mut self, key: usize) {
        let Some(item) = self.items[key].take() else { return };
        self.free.push(key);
        self.by_fd.remove(&(item.fd, item.cookie));
        if self.by_data.get(&item.data) == Some(&key) {
            self.by_data.remove(&item.data);
        }
        if let Some(home) = item.home.upgrade()
            && let Ok(stack) = home.reach()
        {
            stack.run(|cx| cx.unwatch(item.id, &item.watch));
        }
        if let Some(at) = self.homes.iter().position(|(home, _)| Weak::ptr_eq(home, &item.home)) {
            self.homes[at].1 -= 1;
            if self.homes[at].1 == 0 {
                self.homes.swap_remove(at);
                self.version += 1;
            }
        }
    }

    fn heat(&mut self, key: usize) {
        if let Some(Some(item)) = self.items.get_mut(key)
            && !std::mem::replace(&mut item.hot, true)
        {
            self.hot.push_back(key);
        }
    }

    /// Takes in which sockets had events; forgets those whose end has come.
    fn gather(&mut self, inbox: &Inbox, keys: &mut Vec<u64>, gone: &mut Vec<usize>) {
        inbox.take(keys);
        for key in keys.drain(..) {
            let key = usize::try_from(key).unwrap_or(usize::MAX);
            if let Some(Some(item)) = self.items.get_mut(key) {
                item.watch.rearm();
                item.edge = true;
                if item.socket.strong_count() == 0 {
                    gone.push(key);
                }
                self.heat(key);
            }
        }
    }

    /// Looks at the hot ones of one stack and puts what is ready into `events`.
    fn examine(
        &mut self,
        cx: &mut Context<'_>,
        home: &Arc<Home>,
        events: &mut [epoll_event],
        filled: &mut usize,
        gone: &mut Vec<usize>,
    ) {
        for _ in 0..self.hot.len() {
            let Some(key) = self.hot.pop_front() else { break };
            let Some(Some(item)) = self.items.get_mut(key) else { continue };
            if !std::ptr::eq(item.home.as_ptr(), Arc::as_ptr(home)) {
                self.hot.push_back(key);
                continue;
            }
            item.hot = false;
            let Some(socket) = item.socket.upgrade() else {
                gone.push(key);
                continue;
            };
            if !item.rings {
                continue;
            }
            if std::mem::take(&mut item.reported) {
                readiness::begin(cx, &socket);
            }
            let edge = std::mem::take(&mut item.edge);
            let asked = item.events | (EPOLLERR | EPOLLHUP).cast_unsigned();
            let bits = readiness::bits(cx, &socket);
            let shown = u32::from(bits.cast_unsigned()) & asked;
            if shown == 0 || (item.events & EPOLLET.cast_unsigned() != 0 && !edge) {
                continue;
            }
            let Some(event) = events.get_mut(*filled) else {
                (item.hot, item.edge) = (true, edge);
                self.hot.push_back(key);
                continue;
            };
            readiness::offer(&socket, bits & i16::try_from(shown).unwrap_or(i16::MAX));
            *event = epoll_event { events: shown, u64: item.data };
            item.slot = (self.turn, *filled);
            item.reported = true;
            self.reported.push(key);
            *filled += 1;
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for key in 0..self.items.len() {
            self.remove(key);
        }
    }
}
