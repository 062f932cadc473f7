//! poll(2) and ppoll(2) over any mix of descriptors: sockets of any number of stacks, and everything else.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ioth_stack::Lead;
pub use libc::{
    POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDHUP, POLLRDNORM, POLLWRBAND,
    POLLWRNORM, pollfd, sigset_t,
};

use crate::epoll;
use crate::readiness::{self, Members};
use crate::stack::Home;
use crate::sys;
use crate::table::Found;
use crate::waiting::{self, Passing, Target};

/// Waits until one of the descriptors has what is asked for, see poll(2): how many have. `timeout` is in milliseconds;
/// a negative one waits for ever. While it waits it runs the stacks of the sockets among them.
///
/// # Errors
/// `EINTR` after a signal, `EINVAL` for more descriptors than the process may have.
///
/// ```
/// use ioth::{POLLIN, POLLOUT, pollfd};
/// use std::os::fd::AsRawFd;
///
/// let stack = ioth::Stack::new("switch://poll-doc", "ip=10.0.0.1/24")?;
/// let socket = ioth::msocket(&stack, ioth::AF_INET, ioth::SOCK_DGRAM, 0)?;
/// let mut fds = [pollfd { fd: socket.as_raw_fd(), events: POLLIN | POLLOUT, revents: 0 }];
/// assert_eq!(ioth::poll(&mut fds, -1)?, 1);
/// assert_eq!(fds[0].revents, POLLOUT);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn poll(fds: &mut [pollfd], timeout: i32) -> io::Result<usize> {
    ppoll(fds, waiting::milliseconds(timeout), None)
}

/// The same with a time limit of nanoseconds, and signals that are kept back while it waits, see ppoll(2).
///
/// # Errors
/// As [`poll`].
pub fn ppoll(fds: &mut [pollfd], timeout: Option<Duration>, mask: Option<&sigset_t>) -> io::Result<usize> {
    let mut members = Members::default();
    let mut ended = Vec::new();
    for (number, fd) in fds.iter().enumerate() {
        match readiness::find(fd.fd) {
            Found::Ours(socket) => members.add(number, socket),
            Found::Plain(shared) => ended.push((number, shared)),
            Found::Netlink(_) => {}
            Found::Kernel => epoll::inside(fd.fd, &mut members),
        }
    }
    let ready = if members.homes.is_empty() {
        sys::wait::poll(fds, timeout, mask)?
    } else {
        waited(fds, &members, timeout, mask)?
    };
    let mut more = 0;
    for (number, shared) in ended {
        // The pair has no error left to show once its end has been read.
        if shared.error.load(Relaxed) != 0 && !shared.inherited() {
            let fd = &mut fds[number];
            more += usize::from(fd.revents == 0);
            fd.revents |= POLLERR;
        }
    }
    Ok(ready + more)
}

fn waited(
    fds: &mut [pollfd],
    members: &Members,
    timeout: Option<Duration>,
    mask: Option<&sigset_t>,
) -> io::Result<usize> {
    let mut poll = Poll {
        asked: fds.len(),
        fds: fds.to_vec(),
        members,
        passing: Passing::new()?,
        rings: Vec::new(),
        slept: false,
        state: State::New,
    };
    let inbox = Arc::clone(&poll.passing.inbox);
    let waited = waiting::wait(&mut poll, &inbox, timeout, mask);
    poll.passing.end(members);
    waited?;
    fds.copy_from_slice(&poll.fds[..poll.asked]);
    Ok(fds.iter().filter(|fd| fd.revents != 0).count())
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Led,
    Looked,
}

struct Poll<'a> {
    /// How many the caller asks for; behind them may be others.
    asked: usize,
    fds: Vec<pollfd>,
    members: &'a Members,
    passing: Passing,
    /// What the rings say: number and bits.
    rings: Vec<(usize, i16)>,
    /// Since then a number may be another descriptor's.
    slept: bool,
    state: State,
}

impl Target for Poll<'_> {
    fn round(&mut self, leads: &mut [Lead]) -> bool {
        self.rings.clear();
        self.passing.rearm();
        let first = self.state == State::Led;
        self.state = State::Looked;
        let wanted = |number: usize| self.fds[number].events | POLLERR | POLLHUP;
        let found = |number, bits| self.rings.push((number, bits));
        waiting::survey(self.members, leads, first, wanted, found);
        if self.slept {
            self.rings.retain(|&(number, _)| waiting::is_still(self.members, number, self.fds[number].fd));
        }
        !self.rings.is_empty()
    }

    fn ask(
        &mut self,
        beside: &[RawFd],
        timeout: Option<Duration>,
        mask: Option<&sigset_t>,
    ) -> io::Result<bool> {
        self.slept |= !beside.is_empty();
        self.fds.truncate(self.asked);
        self.fds.extend(beside.iter().map(|&fd| pollfd { fd, events: POLLIN, revents: 0 }));
        let asked = sys::wait::poll(&mut self.fds, timeout, mask);
        if asked.is_err() {
            self.fds.iter_mut().for_each(|fd| fd.revents = 0);
        }
        for &(number, bits) in &self.rings {
            self.fds[number].revents |= bits;
        }
        asked?;
        Ok(self.fds[..self.asked].iter().any(|fd| fd.revents != 0))
    }

    fn keep_watch(&mut self, leads: &mut [Lead]) -> bool {
        self.passing.leave(self.members, leads)
    }

    fn stacks(&mut self) -> Option<Vec<Arc<Home>>> {
        (self.state == State::New).then(|| {
            self.state = State::Led;
            self.members.homes.clone()
        })
    }
}
