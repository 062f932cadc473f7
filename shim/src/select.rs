//! select(2) and pselect(2) over any mix of descriptors.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use ioth_stack::Lead;
use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDNORM, sigset_t};
use rustix::io::Errno;

use crate::epoll;
use crate::errno::fail;
use crate::readiness::{self, Members};
use crate::stack::Home;
use crate::sys;
use crate::table::Found;
use crate::waiting::{self, Passing, Target};

/// A set of descriptors for [`select`]. Unlike libc's `fd_set` it is as large as its largest descriptor needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FdSet {
    words: Vec<u64>,
}

impl FdSet {
    /// An empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// `FD_SET`.
    pub fn insert(&mut self, fd: RawFd) {
        let Some((word, bit)) = place(fd) else { return };
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// `FD_CLR`.
    pub fn remove(&mut self, fd: RawFd) {
        if let Some((word, bit)) = place(fd)
            && let Some(word) = self.words.get_mut(word)
        {
            *word &= !bit;
        }
    }

    /// `FD_ISSET`.
    #[must_use]
    pub fn contains(&self, fd: RawFd) -> bool {
        has(&self.words, fd)
    }

    /// `FD_ZERO`.
    pub fn clear(&mut self) {
        self.words.clear();
    }
}

fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((fd / 64, 1 << (fd % 64)))
}

fn has(words: &[u64], fd: RawFd) -> bool {
    place(fd).is_some_and(|(word, bit)| words.get(word).is_some_and(|word| word & bit != 0))
}

/// Waits until a descriptor below `nfds` is readable, writable or exceptional, see select(2), and leaves in the sets those
/// that are: how many in all. Without a time limit it waits for ever. The limit is not changed.
///
/// # Errors
/// `EBADF` for a descriptor that is not open, `EINVAL` for a negative `nfds`, `EINTR` after a signal. The sets are left as
/// they were.
pub fn select(
    nfds: i32,
    read: Option<&mut FdSet>,
    write: Option<&mut FdSet>,
    except: Option<&mut FdSet>,
    timeout: Option<Duration>,
) -> io::Result<usize> {
    pselect(nfds, read, write, except, timeout, None)
}

/// The same with signals that are kept back while it waits, see pselect(2).
///
/// # Errors
/// As [`select`].
pub fn pselect(
    nfds: i32,
    read: Option<&mut FdSet>,
    write: Option<&mut FdSet>,
    except: Option<&mut FdSet>,
    timeout: Option<Duration>,
    mask: Option<&sigset_t>,
) -> io::Result<usize> {
    if nfds < 0 {
        return fail(Errno::INVAL);
    }
    let mut sets = [read, write, except];
    let asked = sets.each_ref().map(|set| set.as_ref().map(|set| set.words.clone()));
    // Above the largest descriptor there is nothing to ask for.
    let most = asked.iter().flatten().map(Vec::len).max().unwrap_or(0) * 64;
    let nfds = nfds.min(i32::try_from(most).unwrap_or(i32::MAX));
    let mut members = Members::default();
    for fd in 0..nfds {
        if asked.iter().flatten().any(|words| has(words, fd)) {
            match readiness::find(fd) {
                Found::Ours(socket) => members.add(fd.unsigned_abs() as usize, socket),
                Found::Plain(_) | Found::Netlink(_) => {}
                Found::Kernel => epoll::inside(fd, &mut members),
            }
        }
    }
    let shown = if members.homes.is_empty() {
        let mut shown = asked;
        shown.iter_mut().flatten().for_each(|words| cut(words, nfds));
        sys::wait::select(nfds, &mut shown, timeout, mask)?;
        shown
    } else {
        let mut call = Select {
            nfds,
            shown: asked.clone(),
            asked,
            members: &members,
            rings: Vec::new(),
            slept: false,
            passing: Passing::new()?,
            begun: 0,
        };
        let inbox = Arc::clone(&call.passing.inbox);
        let waited = waiting::wait(&mut call, &inbox, timeout, mask);
        call.passing.end(&members);
        waited?;
        call.shown
    };
    let mut count = 0;
    for (set, shown) in sets.iter_mut().zip(shown) {
        if let (Some(set), Some(shown)) = (set, shown) {
            count += shown.iter().map(|word| word.count_ones() as usize).sum::<usize>();
            set.words = shown;
        }
    }
    Ok(count)
}

struct Select<'a> {
    nfds: i32,
    asked: [Option<Vec<u64>>; 3],
    shown: [Option<Vec<u64>>; 3],
    members: &'a Members,
    rings: Vec<(usize, i16)>,
    /// Since then a number may be another descriptor's.
    slept: bool,
    passing: Passing,
    begun: u8,
}

impl Target for Select<'_> {
    fn round(&mut self, leads: &mut [Lead]) -> bool {
        self.rings.clear();
        self.passing.rearm();
        let first = self.begun == 1;
        self.begun = 2;
        let asked = &self.asked;
        let wanted = |number| {
            let fd = RawFd::try_from(number).unwrap_or(-1);
            let of =
                |set: usize, bits| if asked[set].as_ref().is_some_and(|set| has(set, fd)) { bits } else { 0 };
            of(0, READ) | of(1, WRITE) | of(2, POLLPRI)
        };
        let found = |number, bits| self.rings.push((number, bits));
        waiting::survey(self.members, leads, first, wanted, found);
        if self.slept {
            let fd = |number| RawFd::try_from(number).unwrap_or(-1);
            self.rings.retain(|&(number, _)| waiting::is_still(self.members, number, fd(number)));
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
        self.shown.clone_from(&self.asked);
        let mut most = self.nfds;
        for words in self.shown.iter_mut().flatten() {
            cut(words, self.nfds);
        }
        if !beside.is_empty() {
            let mut read = FdSet { words: self.shown[0].take().unwrap_or_default() };
            for &fd in beside {
                read.insert(fd);
                most = most.max(fd + 1);
            }
            self.shown[0] = Some(read.words);
        }
        sys::wait::select(most, &mut self.shown, timeout, mask)?;
        for words in self.shown.iter_mut().flatten() {
            cut(words, self.nfds);
        }
        // What is beside may be below `nfds`, too.
        for (shown, asked) in self.shown.iter_mut().zip(&self.asked) {
            match asked {
                None => *shown = None,
                Some(asked) => {
                    let Some(shown) = shown else { continue };
                    for (number, word) in shown.iter_mut().enumerate() {
                        *word &= asked.get(number).copied().unwrap_or(0);
                    }
                }
            }
        }
        for &(number, bits) in &self.rings {
            for (set, shows) in [READ, WRITE, POLLPRI].into_iter().enumerate() {
                let fd = RawFd::try_from(number).unwrap_or(-1);
                if bits & shows != 0
                    && self.asked[set].as_ref().is_some_and(|asked| has(asked, fd))
                    && let (Some(shown), Some((word, bit))) = (&mut self.shown[set], place(fd))
                {
                    shown[word] |= bit;
                }
            }
        }
        Ok(self.shown.iter().flatten().flatten().any(|word| *word != 0))
    }

    fn keep_watch(&mut self, leads: &mut [Lead]) -> bool {
        self.passing.leave(self.members, leads)
    }

    fn stacks(&mut self) -> Option<Vec<Arc<Home>>> {
        (self.begun == 0).then(|| {
            self.begun = 1;
            self.members.homes.clone()
        })
    }
}

/// Takes away what is not below `nfds`.
fn cut(words: &mut Vec<u64>, nfds: i32) {
    let nfds = nfds.unsigned_abs() as usize;
    words.resize(nfds.div_ceil(64), 0);
    if let (Some(last), rest @ 1..) = (words.last_mut(), nfds % 64) {
        *last &= (1 << rest) - 1;
    }
}

/// fs/select.c, `POLLIN_SET` and `POLLOUT_SET`.
const READ: i16 = POLLIN | POLLRDNORM | POLLHUP | POLLERR;
const WRITE: i16 = POLLOUT | POLLERR;
