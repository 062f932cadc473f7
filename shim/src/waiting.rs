//! The one loop behind poll, select and epoll: runs the stacks of the sockets on the caller's thread, and sleeps, with no
//! lock held, on the caller's descriptors, the stacks and a bell for what other threads cause.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ioth_stack::{Inbox, Lead, Rest, Watch};
use libc::sigset_t;
use rustix::io::Errno;

use crate::fork;
use crate::readiness::{self, Members};
use crate::stack::Home;
use crate::sys;

/// What is waited for.
pub(crate) trait Target {
    /// Gives each stack a turn and looks at the rings. Says whether there is something to report.
    fn round(&mut self, leads: &mut [Lead]) -> bool;

    /// Asks the kernel, for so long at most, also for `beside` to be readable. Says whether there is something to
    /// report, from the rings or from the kernel.
    fn ask(
        &mut self,
        beside: &[RawFd],
        timeout: Option<Duration>,
        mask: Option<&sigset_t>,
    ) -> io::Result<bool>;

    /// Before a sleep: sees to it that events ring the bell. True if it has not been so before: then there is to be
    /// another round.
    fn keep_watch(&mut self, leads: &mut [Lead]) -> bool;

    /// The stacks, if they are others than when it was last asked.
    fn stacks(&mut self) -> Option<Vec<Arc<Home>>>;
}

/// When a wait of so many milliseconds ends; a negative number is for ever.
pub(crate) fn milliseconds(timeout: i32) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

/// Waits until there is something to report, or the time is over.
///
/// # Errors
/// Those of [`Target::ask`], `EINTR` among them.
pub(crate) fn wait(
    target: &mut impl Target,
    inbox: &Arc<Inbox>,
    timeout: Option<Duration>,
    mask: Option<&sigset_t>,
) -> io::Result<()> {
    let deadline = timeout.and_then(|time| Instant::now().checked_add(time));
    let patient = timeout != Some(Duration::ZERO);
    let mut leads = Vec::new();
    let mut beside = Vec::new();
    loop {
        if let Some(homes) = target.stacks() {
            // A stack that has ended needs nobody.
            leads = homes.iter().filter_map(|home| home.reach().ok()).map(Lead::new).collect();
        }
        if target.round(&mut leads) {
            match target.ask(&[], Some(Duration::ZERO), None) {
                Ok(false) => continue,
                // What is there is reported; the signal has been handled.
                Err(error) if error.raw_os_error() != Some(Errno::INTR.raw_os_error()) => return Err(error),
                Ok(true) | Err(_) => return Ok(()),
            }
        }
        let now = Instant::now();
        let over = !patient || deadline.is_some_and(|at| at <= now);
        if !over && target.keep_watch(&mut leads) {
            continue;
        }
        let mut until = deadline;
        let mut awake = over;
        beside.clear();
        if !over {
            for lead in &mut leads {
                match lead.rest(inbox) {
                    Rest::None => awake = true,
                    Rest::Until(at) => until = [until, at].into_iter().flatten().min(),
                }
                beside.extend(lead.as_fd().map(|fd| fd.as_raw_fd()));
            }
            beside.push(inbox.bell().as_raw_fd());
        }
        // Something that has come meanwhile is looked at in the next round.
        awake |= !inbox.doze() && !over;
        let time =
            if awake { Some(Duration::ZERO) } else { until.map(|at| at.saturating_duration_since(now)) };
        let asked = target.ask(&beside, time, mask);
        inbox.awake();
        if asked? || over {
            return Ok(());
        }
    }
}

/// A watch on sockets for the time of one call.
#[derive(Debug)]
pub(crate) struct Passing {
    /// Where it is noted.
    pub(crate) inbox: Arc<Inbox>,
    watch: Arc<Watch>,
    left: bool,
}

thread_local! {
    /// The inbox of this thread, and the generation it is of.
    static INBOX: RefCell<Option<(u32, Arc<Inbox>)>> = const { RefCell::new(None) };
}

impl Passing {
    /// A watch that is noted in the inbox of this thread.
    pub(crate) fn new() -> io::Result<Self> {
        let generation = fork::generation();
        // Taken out: a handler of a signal that waits, too, makes one of its own.
        let kept = INBOX.try_with(RefCell::take).ok().flatten();
        let inbox = match kept {
            Some((of, inbox)) if of == generation => inbox,
            _ => Inbox::new(&fork::runtime()?)?,
        };
        inbox.take(&mut Vec::new());
        let watch = Watch::new(&inbox, 0);
        Ok(Self { inbox, watch, left: false })
    }

    /// Leaves it at every socket, once.
    pub(crate) fn leave(&mut self, members: &Members, leads: &mut [Lead]) -> bool {
        if self.left {
            return false;
        }
        self.left = true;
        for (place, lead) in leads.iter_mut().enumerate() {
            lead.turn(|cx| {
                for (_, _, socket) in of_stack(members, place) {
                    cx.watch(socket.id, &self.watch);
                }
            });
        }
        true
    }

    /// Forgets what has been noted, and is told again.
    pub(crate) fn rearm(&self) {
        self.watch.rearm();
        self.inbox.take(&mut Vec::new());
    }

    /// Takes it back from every socket.
    pub(crate) fn end(self, members: &Members) {
        if self.left {
            for (place, home) in members.homes.iter().enumerate() {
                let Ok(stack) = home.reach() else { continue };
                stack.run(|cx| {
                    for (_, _, socket) in of_stack(members, place) {
                        cx.unwatch(socket.id, &self.watch);
                    }
                });
            }
        }
        let _ = INBOX.try_with(|kept| *kept.borrow_mut() = Some((fork::generation(), self.inbox)));
    }
}

/// The members on one of the stacks.
fn of_stack(
    members: &Members,
    place: usize,
) -> impl Iterator<Item = &(usize, usize, Arc<crate::table::Socket>)> {
    members.sockets.iter().filter(move |(_, home, _)| *home == place)
}

/// Whether a number that was a socket of ours when the call began is still that one. Like poll(2) of Linux, which looks at
/// the number anew whenever it wakes up.
pub(crate) fn is_still(members: &Members, number: usize, fd: RawFd) -> bool {
    // Sockets inside an epoll have the number of that.
    let at = members.sockets.partition_point(|(of, ..)| *of < number);
    match sys::wait::cookie(fd) {
        Ok(cookie) => members.sockets.get(at).is_some_and(|(.., socket)| socket.shared.cookie == cookie),
        Err(error) => error.raw_os_error() == Some(Errno::NOTSOCK.raw_os_error()),
    }
}

/// A round over sockets that are asked for in one call: the number and the bits of each that has some. `first`: the call
/// begins.
pub(crate) fn survey(
    members: &Members,
    leads: &mut [Lead],
    first: bool,
    mut wanted: impl FnMut(usize) -> i16,
    mut found: impl FnMut(usize, i16),
) {
    for (place, lead) in leads.iter_mut().enumerate() {
        lead.turn(|cx| {
            for (number, _, socket) in of_stack(members, place) {
                if first {
                    readiness::begin(cx, socket);
                }
                let bits = readiness::bits(cx, socket) & wanted(*number);
                if bits != 0 {
                    readiness::offer(socket, bits);
                    found(*number, bits);
                }
            }
        });
    }
}
