//! A call that waits on an epoll: what is in the rings and what the kernel has, in one list of events.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use ioth_stack::Lead;
use libc::{POLLIN, epoll_event, pollfd, sigset_t};

use super::Set;
use crate::stack::Home;
use crate::sys;
use crate::waiting::Target;

/// A call that waits.
#[derive(Debug)]
pub(in crate::epoll) struct Wait<'a> {
    set: &'a Arc<Set>,
    epoll: RawFd,
    events: &'a mut [epoll_event],
    filled: usize,
    /// The turn that filled them.
    turn: u64,
    version: Option<u64>,
    homes: Vec<Arc<Home>>,
    keys: Vec<u64>,
    fds: Vec<pollfd>,
}

impl<'a> Wait<'a> {
    pub(in crate::epoll) fn new(set: &'a Arc<Set>, epoll: RawFd, events: &'a mut [epoll_event]) -> Self {
        Self {
            set,
            epoll,
            events,
            filled: 0,
            turn: 0,
            version: None,
            homes: Vec::new(),
            keys: Vec::new(),
            fds: Vec::new(),
        }
    }

    pub(in crate::epoll) const fn count(&self) -> usize {
        self.filled
    }

    /// Fills what room is left with what the kernel has.
    fn collect(&mut self, mask: Option<&sigset_t>) -> io::Result<bool> {
        let mut state = self.set.state.lock();
        if self.filled == self.events.len() {
            state.kernel_first = true;
            return Ok(true);
        }
        let (ours, room) = self.events.split_at_mut(self.filled);
        let got = sys::wait::epoll_wait(self.epoll, room, 0, mask)?;
        let mut kept = 0;
        for place in 0..got {
            let event = room[place];
            let key = state.by_data.get(&{ event.u64 }).copied();
            if let Some(key) = key
                && let Some(item) = state.items[key].as_mut()
            {
                if item.slot.0 == self.turn && item.slot.1 < ours.len() {
                    ours[item.slot.1].events |= event.events;
                    continue;
                }
                if !std::mem::replace(&mut item.reported, true) {
                    state.reported.push(key);
                }
            }
            room[kept] = event;
            kept += 1;
        }
        self.filled += kept;
        Ok(self.filled > 0)
    }
}

impl Target for Wait<'_> {
    fn round(&mut self, leads: &mut [Lead]) -> bool {
        let mut state = self.set.state.lock();
        state.turn += 1;
        (self.turn, self.filled) = (state.turn, 0);
        for key in std::mem::take(&mut state.reported) {
            state.heat(key);
        }
        let kernel_first = std::mem::take(&mut state.kernel_first);
        let limit = self.events.len() - usize::from(kernel_first);
        let mut gone = Vec::new();
        state.gather(&self.set.inbox, &mut self.keys, &mut gone);
        for (lead, home) in leads.iter_mut().zip(&self.homes) {
            lead.turn(|cx| {
                state.gather(&self.set.inbox, &mut self.keys, &mut gone);
                state.examine(cx, home, &mut self.events[..limit], &mut self.filled, &mut gone);
            });
        }
        for key in gone {
            state.remove(key);
        }
        self.filled > 0 || kernel_first
    }

    fn ask(
        &mut self,
        beside: &[RawFd],
        timeout: Option<Duration>,
        mask: Option<&sigset_t>,
    ) -> io::Result<bool> {
        if beside.is_empty() {
            return self.collect(mask).or_else(|error| if self.filled > 0 { Ok(true) } else { Err(error) });
        }
        let fds = [self.epoll].into_iter().chain(beside.iter().copied());
        self.fds.clear();
        self.fds.extend(fds.map(|fd| pollfd { fd, events: POLLIN, revents: 0 }));
        sys::wait::poll(&mut self.fds, timeout, mask)?;
        if self.fds[0].revents == 0 { Ok(false) } else { self.collect(None) }
    }

    /// Watches are left as long as a socket is in the set.
    fn keep_watch(&mut self, _: &mut [Lead]) -> bool {
        false
    }

    fn stacks(&mut self) -> Option<Vec<Arc<Home>>> {
        let version = self.set.state.lock().version;
        if self.version == Some(version) {
            return None;
        }
        self.version = Some(version);
        self.homes = self.set.homes();
        self.homes.retain(|home| home.reach().is_ok());
        Some(self.homes.clone())
    }
}
