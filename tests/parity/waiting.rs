//! The library's own poll and select, over sockets and whatever else polls. Every behaviour runs on the kernel's
//! sockets, too, where the same calls are plain ones.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::Result;
use ioth::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, FdSet,
    MSG_DONTWAIT, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP, SHUT_WR, SOCK_CLOEXEC,
    SOCK_NONBLOCK, SOCK_STREAM, epoll_event, pollfd,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, fill, plain_read, plain_send, recv, send};
use crate::sys::Alarm;
use crate::world::{MOMENT, SOON, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        poll_of_a_conversation,
        poll_of_a_fresh_socket_and_of_none,
        poll_of_two_kinds,
        poll_of_many_thousand,
        poll_keeps_to_its_time,
        poll_is_woken,
        poll_of_words_alone,
        poll_of_a_connect,
        poll_of_who_waits,
        poll_of_ends,
        signals_interrupt_and_masks_hold,
        select_of_a_conversation,
        select_of_high_descriptors,
        select_refuses,
    ]
}

pub(crate) const ALL: u32 = (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI).cast_unsigned();
pub(crate) const READ: u32 = EPOLLIN.cast_unsigned();

/// An epoll of the library.
pub(crate) struct Epoll(pub(crate) OwnedFd);

impl Epoll {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(ioth::epoll_create1(EPOLL_CLOEXEC)?))
    }

    pub(crate) fn control(&self, operation: i32, fd: impl AsFd, events: u32, number: u64) -> io::Result<()> {
        ioth::epoll_ctl(&self.0, operation, fd, Some(&mut epoll_event { events, u64: number }))
    }

    pub(crate) fn add(&self, fd: impl AsFd, events: u32, number: u64) -> Result<()> {
        Ok(self.control(EPOLL_CTL_ADD, fd, events, number)?)
    }

    pub(crate) fn wait(&self, room: usize, time: Duration) -> Result<Vec<(u64, u32)>> {
        let mut events = vec![epoll_event { events: 0, u64: 0 }; room];
        let count = ioth::epoll_wait(&self.0, &mut events, i32::try_from(time.as_millis())?)?;
        Ok(events[..count].iter().map(|event| (event.u64, event.events)).collect())
    }

    /// What it shows: waits for something, and a little for what comes with it.
    pub(crate) fn show(&self, something: bool) -> Result<String> {
        let mut events = self.wait(64, if something { SOON } else { MOMENT })?;
        events.sort_unstable();
        Ok(events
            .iter()
            .map(|(number, bits)| format!("{number}:{}", named(*bits)))
            .collect::<Vec<_>>()
            .join(" "))
    }
}

pub(crate) fn named(bits: u32) -> String {
    let names = [
        (EPOLLIN, "IN"),
        (EPOLLPRI, "PRI"),
        (EPOLLOUT, "OUT"),
        (EPOLLERR, "ERR"),
        (EPOLLHUP, "HUP"),
        (EPOLLRDHUP, "RDHUP"),
    ];
    let known = names.iter().filter(|(bit, _)| bits & bit.cast_unsigned() != 0).map(|(_, name)| *name);
    known.collect::<Vec<_>>().join("|")
}

/// The library's poll of one descriptor, until it shows all of `wanted` or a moment for nothing.
pub(crate) fn polled(fd: impl AsFd, wanted: i16) -> Result<String> {
    let asked = POLLIN | POLLOUT | POLLRDHUP | POLLPRI;
    let end = Instant::now() + SOON;
    let mut fds = [pollfd { fd: fd.as_fd().as_raw_fd(), events: asked, revents: 0 }];
    loop {
        let count = ioth::poll(&mut fds, if wanted == 0 { 30 } else { 1 })?;
        anyhow::ensure!(count == usize::from(fds[0].revents != 0), "{count} for {:x}", fds[0].revents);
        if fds[0].revents & wanted == wanted || Instant::now() >= end {
            return Ok(bits(fds[0].revents));
        }
        fds[0].events = wanted;
        ioth::poll(&mut fds, 200)?;
        fds[0].events = asked;
    }
}

pub(crate) fn bits(revents: i16) -> String {
    let invalid = if revents & POLLNVAL == 0 { "" } else { "NVAL" };
    named(u32::from(revents.cast_unsigned()) & !POLLNVAL.cast_unsigned() as u32) + invalid
}

fn poll_of_a_conversation(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("nothing", polled(&theirs, POLLOUT)?);
    for turn in 0..20 {
        w.note("send", send(&ours, format!("turn {turn}")));
        w.note("a word", polled(&theirs, POLLIN)?);
        w.note("a part", recv(&theirs, 4, if turn % 3 == 0 { MSG_DONTWAIT } else { 0 }));
        w.note("the rest", polled(&theirs, POLLIN)?);
        if turn % 5 == 4 {
            w.note("plain", plain_read(&theirs, 100));
        } else {
            w.note("library", recv(&theirs, 100, 0));
        }
        w.note("taken", polled(&theirs, POLLOUT)?);
        w.note("no more", recv(&theirs, 100, MSG_DONTWAIT));
    }
    w.note("end", ioth::shutdown(&ours, SHUT_WR));
    w.note("ended", polled(&theirs, POLLRDHUP)?);
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn poll_of_a_fresh_socket_and_of_none(w: &World) -> Result<()> {
    let fresh = w.stream()?;
    w.note("fresh", polled(&fresh, POLLHUP)?);
    let mut none =
        [pollfd { fd: -1, events: POLLIN, revents: 7 }, pollfd { fd: i32::MAX, events: 0, revents: 0 }];
    w.note(
        "none",
        ioth::poll(&mut none, 100)
            .map(|count| format!("{count} {} {}", bits(none[0].revents), bits(none[1].revents))),
    );
    let datagram = w.datagram(&w.client)?;
    w.note("a datagram socket", polled(&datagram, POLLOUT)?);
    // The set of no descriptors at all is a sleep.
    w.note("nothing at all", ioth::poll(&mut [], 1));
    Ok(())
}

fn poll_of_two_kinds(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let (read_end, write_end) = rustix::pipe::pipe()?;
    let here = w.datagram(&w.client)?;
    let fd = |fd: &OwnedFd| pollfd { fd: fd.as_raw_fd(), events: POLLIN, revents: 0 };
    let mut fds = [fd(&theirs), fd(&read_end), fd(&here), fd(&ours)];
    let mut show = |what: &str, time| {
        let count = ioth::poll(&mut fds, time);
        let all: Vec<_> = fds.iter().map(|fd| bits(fd.revents)).collect();
        w.note(what, count.map(|count| format!("{count}: {}", all.join(","))));
    };
    show("nothing", 20);
    rustix::io::write(&write_end, b"x")?;
    show("a pipe", 5000);
    send(&ours, "word")?;
    w.settle(&theirs, IN);
    show("both", 5000);
    rustix::io::read(&read_end, &mut [0; 8])?;
    show("the socket", 5000);
    w.note("recv", recv(&theirs, 10, 0));
    show("nothing", 20);
    // Both in the ring and in the pipe.
    send(&ours, "word")?;
    w.note("word", polled(&theirs, POLLIN)?);
    rustix::io::write(&write_end, b"x")?;
    show("both again", 5000);
    drop(write_end);
    show("a pipe without a writer", 5000);
    Ok(())
}

fn poll_of_many_thousand(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let (read_end, _write_end) = rustix::pipe::pipe()?;
    let quiet = pollfd { fd: read_end.as_raw_fd(), events: POLLIN, revents: 0 };
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
    let mut fds = vec![quiet; usize::try_from(limit.min(20_000))? - 24];
    for place in [0, 500, fds.len() - 1] {
        fds[place] = pollfd { fd: theirs.as_raw_fd(), ..quiet };
    }
    w.note("nothing", ioth::poll(&mut fds, 20));
    send(&ours, "word")?;
    w.note("ready", ioth::poll(&mut fds, 5000));
    w.note("which", [0, 500, fds.len() - 1].map(|place| bits(fds[place].revents)).join(" "));
    Ok(())
}

fn poll_keeps_to_its_time(w: &World) -> Result<()> {
    let (_ours, theirs) = w.pair()?;
    let mut fds = [pollfd { fd: theirs.as_raw_fd(), events: POLLIN, revents: 0 }];
    for time in [0, 1, 60] {
        let start = Instant::now();
        w.note("none", ioth::poll(&mut fds, time));
        let least = Duration::from_millis(time.unsigned_abs().into());
        w.note("not too early", start.elapsed() >= least);
        w.note("not too late", start.elapsed() < least + SOON);
    }
    let start = Instant::now();
    w.note("ppoll", ioth::ppoll(&mut fds, Some(Duration::from_micros(1500)), None));
    w.note("its time", start.elapsed() >= Duration::from_micros(1500));
    Ok(())
}

fn poll_is_woken(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    thread::scope(|scope| -> Result<()> {
        for word in ["by the library", "plainly", "at the end"] {
            let sleeper = scope.spawn(|| {
                let mut fds = [pollfd { fd: theirs.as_raw_fd(), events: POLLIN, revents: 0 }];
                ioth::poll(&mut fds, -1).map(|_| bits(fds[0].revents))
            });
            thread::sleep(MOMENT);
            match word {
                "plainly" => drop(plain_send(&ours, word)?),
                "by the library" => drop(send(&ours, word)?),
                _ => ioth::shutdown(&ours, SHUT_WR)?,
            }
            w.note("woken", sleeper.join().expect("no panic"));
            w.note("recv", recv(&theirs, 20, 0));
        }
        Ok(())
    })
}

fn poll_of_words_alone(w: &World) -> Result<()> {
    let server = w.datagram_server()?;
    let client = w.datagram(&w.client)?;
    ioth::connect(&client, &w.at())?;
    for turn in 0..10 {
        w.note("send", send(&client, format!("turn {turn}")));
        w.note("comes", polled(&server, POLLIN)?);
        w.note("recv", recv(&server, 20, 0));
        w.note("taken", polled(&server, POLLOUT)?);
    }
    Ok(())
}

fn poll_of_a_connect(w: &World) -> Result<()> {
    let open = || w.client.socket(w.domain(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    let refused = open()?;
    w.note("connect", ioth::connect(&refused, &w.at()));
    w.note("refused", polled(&refused, POLLERR)?);
    w.note("SO_ERROR", crate::calls::pending(&refused));
    let undecided = open()?;
    w.note("connect", ioth::connect(&undecided, &w.nobody()));
    w.note("undecided", polled(&undecided, 0)?);
    let listener = w.listener()?;
    let good = open()?;
    w.note("connect", ioth::connect(&good, &w.at()));
    w.note("good", polled(&good, POLLOUT)?);
    drop(listener);
    Ok(())
}

fn poll_of_who_waits(w: &World) -> Result<()> {
    let listener = w.listener()?;
    ioth::set_nonblocking(&listener, true)?;
    w.note("nobody", polled(&listener, 0)?);
    for _ in 0..6 {
        let ours = w.stream()?;
        ioth::connect(&ours, &w.at())?;
        w.note("one waits", polled(&listener, POLLIN)?);
        w.note("accept", ioth::accept4(&listener, SOCK_CLOEXEC));
        w.note("no more", ioth::accept4(&listener, SOCK_CLOEXEC));
        w.note("nobody", polled(&listener, 0)?);
    }
    Ok(())
}

fn poll_of_ends(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    // So that what follows stays in the ring.
    send(&ours, "word")?;
    w.note("word", polled(&theirs, POLLIN)?);
    w.note("recv", recv(&theirs, 10, 0));
    send(&ours, "last")?;
    ioth::shutdown(&ours, SHUT_WR)?;
    w.note("half", polled(&theirs, POLLIN | POLLRDHUP)?);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("recv", recv(&theirs, 10, 0));
    ioth::shutdown(&theirs, SHUT_WR)?;
    w.note("both", polled(&theirs, POLLHUP)?);
    w.note("there, too", polled(&ours, POLLHUP)?);

    let (ours, theirs) = w.pair()?;
    ioth::setsockopt(&ours, ioth::SOL_SOCKET, ioth::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0])?;
    ioth::close(ours)?;
    w.note("reset", polled(&theirs, POLLERR)?);
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn signals_interrupt_and_masks_hold(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let mut fds = [pollfd { fd: theirs.as_raw_fd(), events: POLLIN, revents: 0 }];
    let epoll = Epoll::new()?;
    epoll.add(&theirs, READ, 1)?;
    let mut events = [epoll_event { events: 0, u64: 0 }; 4];
    let alarm = Alarm::of_this_thread()?;
    let mut read = FdSet::new();
    read.insert(theirs.as_raw_fd());
    let nfds = theirs.as_raw_fd() + 1;

    w.note("poll", alarm.within(|| ioth::poll(&mut fds, 5000))?);
    w.note("epoll", alarm.within(|| ioth::epoll_wait(&epoll.0, &mut events, 5000))?);
    w.note("select", alarm.within(|| ioth::select(nfds, Some(&mut read.clone()), None, None, Some(SOON)))?);
    let mask = alarm.mask();
    let time = Some(Duration::from_millis(200));
    w.note("ppoll", alarm.within(|| ioth::ppoll(&mut fds, time, Some(&mask)))?);
    w.note("epoll_pwait", alarm.within(|| ioth::epoll_pwait(&epoll.0, &mut events, 200, Some(&mask)))?);
    w.note(
        "pselect",
        alarm.within(|| ioth::pselect(nfds, Some(&mut read.clone()), None, None, time, Some(&mask)))?,
    );
    // Kept back by the thread, let in by the mask: the signal comes during the call, and at no other time.
    let none = Alarm::nothing();
    w.note("let in", alarm.blocked(|| ioth::ppoll(&mut fds, Some(SOON), Some(&none)))?);
    w.note("let in", alarm.blocked(|| ioth::epoll_pwait(&epoll.0, &mut events, 5000, Some(&none)))?);
    w.note(
        "let in",
        alarm
            .blocked(|| ioth::pselect(nfds, Some(&mut read.clone()), None, None, Some(SOON), Some(&none)))?,
    );
    // And everything goes on.
    send(&ours, "word")?;
    w.note("still", epoll.show(true)?);
    Ok(())
}

fn select_of_a_conversation(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let select = |fd: &OwnedFd, time| -> Result<String> {
        let mut sets = [FdSet::new(), FdSet::new(), FdSet::new()];
        sets.iter_mut().for_each(|set| set.insert(fd.as_raw_fd()));
        let [read, write, except] = &mut sets;
        let count = ioth::select(fd.as_raw_fd() + 1, Some(read), Some(write), Some(except), Some(time))?;
        let shown = sets.map(|set| set.contains(fd.as_raw_fd()));
        Ok(format!("{count} {shown:?}"))
    };
    w.note("fresh", select(&w.stream()?, SOON)?);
    w.note("nothing", select(&theirs, Duration::ZERO)?);
    for _ in 0..5 {
        send(&ours, "word")?;
        w.settle(&theirs, IN);
        w.note("a word", select(&theirs, SOON)?);
        w.note("recv", recv(&theirs, 10, 0));
        w.note("taken", select(&theirs, Duration::ZERO)?);
    }
    fill(&ours)?;
    let mut write = FdSet::new();
    write.insert(ours.as_raw_fd());
    let full = ioth::select(ours.as_raw_fd() + 1, None, Some(&mut write), None, Some(MOMENT));
    w.note("full", full.map(|count| format!("{count} {}", write.contains(ours.as_raw_fd()))));
    Ok(())
}

fn select_of_high_descriptors(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let high = rustix::io::fcntl_dupfd_cloexec(&theirs, 3000)?;
    send(&ours, "word")?;
    let mut read = FdSet::new();
    read.insert(high.as_raw_fd());
    let count = ioth::select(high.as_raw_fd() + 1, Some(&mut read), None, None, Some(SOON));
    w.note("above FD_SETSIZE", count.map(|count| format!("{count} {}", read.contains(high.as_raw_fd()))));
    w.note("recv", recv(&high, 10, 0));
    let count = ioth::select(high.as_raw_fd() + 1, Some(&mut read), None, None, Some(MOMENT));
    w.note("nothing", count.map(|count| format!("{count} {}", read.contains(high.as_raw_fd()))));
    Ok(())
}

fn select_refuses(w: &World) -> Result<()> {
    let (_ours, theirs) = w.pair()?;
    let mut read = FdSet::new();
    w.note("negative", ioth::select(-1, Some(&mut read), None, None, Some(SOON)));
    read.insert(theirs.as_raw_fd());
    let copy = rustix::io::fcntl_dupfd_cloexec(&theirs, 600)?;
    read.insert(copy.as_raw_fd());
    let closed = copy.as_raw_fd();
    drop(copy);
    w.note("closed", ioth::select(closed + 1, Some(&mut read), None, None, Some(SOON)));
    w.note("as it was", read.contains(closed));
    w.note("below it", ioth::select(closed, Some(&mut read.clone()), None, None, Some(MOMENT)));
    Ok(())
}
