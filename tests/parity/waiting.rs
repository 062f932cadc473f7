//! The library's own poll, select and epoll, over sockets and whatever else polls. Every behaviour runs on the kernel's
//! sockets, too, where the same calls are plain ones.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::Result;
use ioth::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP,
    EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, FdSet, MSG_DONTWAIT, POLLERR, POLLHUP, POLLIN,
    POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP, SHUT_WR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, epoll_event,
    pollfd,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, fill, plain_read, plain_send, recv, send};
use crate::sys::{self, Alarm};
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
        level_is_reported_again,
        plain_calls_find_what_was_reported,
        an_edge_is_reported_once,
        one_shot_is_reported_once,
        modify_arms_again,
        one_event_has_all_bits,
        events_are_limited_and_fair,
        two_epolls_have_the_same_socket,
        an_epoll_in_an_epoll,
        an_epoll_in_a_poll,
        a_copy_of_an_epoll,
        closing_takes_it_out,
        a_number_is_used_again,
        control_while_another_waits,
        sockets_and_other_descriptors,
        urgent_and_exclusive,
        an_echo_server,
        many_threads_on_one_epoll,
        control_refuses,
    ]
}

const ALL: u32 = (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI).cast_unsigned();
const READ: u32 = EPOLLIN.cast_unsigned();

/// An epoll of the library.
struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> Result<Self> {
        Ok(Self(ioth::epoll_create1(EPOLL_CLOEXEC)?))
    }

    fn control(&self, operation: i32, fd: impl AsFd, events: u32, number: u64) -> io::Result<()> {
        ioth::epoll_ctl(&self.0, operation, fd, Some(&mut epoll_event { events, u64: number }))
    }

    fn add(&self, fd: impl AsFd, events: u32, number: u64) -> Result<()> {
        Ok(self.control(EPOLL_CTL_ADD, fd, events, number)?)
    }

    fn wait(&self, room: usize, time: Duration) -> Result<Vec<(u64, u32)>> {
        let mut events = vec![epoll_event { events: 0, u64: 0 }; room];
        let count = ioth::epoll_wait(&self.0, &mut events, i32::try_from(time.as_millis())?)?;
        Ok(events[..count].iter().map(|event| (event.u64, event.events)).collect())
    }

    /// What it shows: waits for something, and a little for what comes with it.
    fn show(&self, something: bool) -> Result<String> {
        let mut events = self.wait(64, if something { SOON } else { MOMENT })?;
        events.sort_unstable();
        Ok(events
            .iter()
            .map(|(number, bits)| format!("{number}:{}", named(*bits)))
            .collect::<Vec<_>>()
            .join(" "))
    }
}

fn named(bits: u32) -> String {
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
fn polled(fd: impl AsFd, wanted: i16) -> Result<String> {
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

fn bits(revents: i16) -> String {
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

fn level_is_reported_again(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    epoll.add(&theirs, READ, 5)?;
    w.note("nothing", epoll.show(false)?);
    for turn in 0..10 {
        send(&ours, format!("turn {turn}"))?;
        w.note("a word", epoll.show(true)?);
        w.note("a part", recv(&theirs, 3, 0));
        w.note("the rest", epoll.show(true)?);
        w.note("still", epoll.show(true)?);
        w.note("recv", recv(&theirs, 10, MSG_DONTWAIT));
        w.note("taken", epoll.show(false)?);
    }
    Ok(())
}

fn plain_calls_find_what_was_reported(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    epoll.add(&theirs, READ, 5)?;
    for turn in 0..6 {
        send(&ours, format!("turn {turn}"))?;
        w.note("a word", epoll.show(true)?);
        if turn % 2 == 0 {
            w.note("library", recv(&theirs, 10, 0));
        } else {
            w.note("plain", plain_read(&theirs, 10));
        }
        w.note("taken", epoll.show(false)?);
    }
    // Who waits by a plain call sees it, too.
    send(&ours, "word")?;
    w.poll("plain poll", &theirs, IN);
    w.note("library", recv(&theirs, 10, 0));
    Ok(())
}

fn an_edge_is_reported_once(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    epoll.add(&theirs, READ | EPOLLET.cast_unsigned(), 5)?;
    for turn in 0..8 {
        send(&ours, format!("turn {turn}"))?;
        w.note("an edge", epoll.show(true)?);
        w.note("recv", recv(&theirs, 100, 0));
        w.note("none left", recv(&theirs, 100, MSG_DONTWAIT));
        w.note("no edge", epoll.show(false)?);
    }
    Ok(())
}

fn one_shot_is_reported_once(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    let once = READ | EPOLLONESHOT.cast_unsigned();
    epoll.add(&theirs, once, 5)?;
    for turn in 0..5 {
        send(&ours, format!("turn {turn}"))?;
        // Of several that wait, one is told.
        let told = thread::scope(|scope| -> Result<usize> {
            let waiters: Vec<_> =
                (0..3).map(|_| scope.spawn(|| epoll.wait(4, Duration::from_millis(150)))).collect();
            let mut told = 0;
            for waiter in waiters {
                told += waiter.join().expect("no panic")?.len();
            }
            Ok(told)
        })?;
        w.note("told", told);
        send(&ours, "more")?;
        w.note("not twice", epoll.show(false)?);
        w.note("recv", ioth_all(&theirs, 10)?);
        w.note("modify", epoll.control(EPOLL_CTL_MOD, &theirs, once, 5));
        w.note("nothing", epoll.show(false)?);
    }
    Ok(())
}

/// Receives so many bytes.
fn ioth_all(fd: &OwnedFd, len: usize) -> Result<String> {
    Ok(crate::calls::text(&crate::calls::recv_exactly(fd, len)?))
}

fn modify_arms_again(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    let edge = READ | EPOLLET.cast_unsigned();
    epoll.add(&theirs, edge, 5)?;
    send(&ours, "word")?;
    w.note("an edge", epoll.show(true)?);
    w.note("recv", recv(&theirs, 10, 0));
    send(&ours, "next")?;
    w.note("an edge", epoll.show(true)?);
    for turn in 0..3 {
        w.note("modify", epoll.control(EPOLL_CTL_MOD, &theirs, edge, turn));
        w.note("again", epoll.show(true)?);
    }
    w.note("only writing", epoll.control(EPOLL_CTL_MOD, &theirs, EPOLLOUT.cast_unsigned(), 9));
    w.note("room", epoll.show(true)?);
    w.note("nothing asked", epoll.control(EPOLL_CTL_MOD, &theirs, 0, 9));
    w.note("nothing", epoll.show(false)?);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("reading", epoll.control(EPOLL_CTL_MOD, &theirs, READ, 9));
    w.note("nothing", epoll.show(false)?);
    Ok(())
}

fn one_event_has_all_bits(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    epoll.add(&theirs, ALL, 5)?;
    for _ in 0..3 {
        w.note("room", epoll.show(true)?);
        send(&ours, "word")?;
        w.settle(&theirs, IN);
        w.note("both", epoll.show(true)?);
        w.note("recv", recv(&theirs, 10, 0));
    }
    ioth::shutdown(&ours, SHUT_WR)?;
    w.settle(&theirs, crate::calls::RDHUP);
    w.note("end", epoll.show(true)?);
    ioth::shutdown(&theirs, SHUT_WR)?;
    w.settle(&theirs, crate::calls::HUP);
    w.note("both ends", epoll.show(true)?);
    Ok(())
}

fn events_are_limited_and_fair(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let pairs: Vec<_> = (0..6).map(|_| w.pair_of(&listener)).collect::<Result<_>>()?;
    let epoll = Epoll::new()?;
    for (number, (_, theirs)) in pairs.iter().enumerate() {
        epoll.add(theirs, READ, number as u64)?;
    }
    let (read_end, write_end) = rustix::pipe::pipe()?;
    epoll.add(&read_end, READ, 6)?;
    for _ in 0..2 {
        rustix::io::write(&write_end, b"x")?;
        for (ours, theirs) in &pairs {
            send(ours, "word")?;
            w.settle(theirs, IN);
        }
        for room in [1, 2, 3] {
            let mut seen = vec![false; 7];
            // All have their turn, whoever does not read.
            for _ in 0..42 {
                let events = epoll.wait(room, SOON)?;
                anyhow::ensure!(!events.is_empty() && events.len() <= room, "{} events", events.len());
                events.iter().for_each(|(number, _)| seen[*number as usize] = true);
            }
            w.note("seen", format!("{seen:?}"));
        }
        for (_, theirs) in &pairs {
            w.note("recv", recv(theirs, 10, 0));
        }
        rustix::io::read(&read_end, &mut [0; 8])?;
        w.note("nothing", epoll.show(false)?);
    }
    Ok(())
}

fn two_epolls_have_the_same_socket(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let (first, second) = (Epoll::new()?, Epoll::new()?);
    first.add(&theirs, READ, 1)?;
    second.add(&theirs, READ | EPOLLET.cast_unsigned(), 2)?;
    for _ in 0..5 {
        send(&ours, "word")?;
        w.note("first", first.show(true)?);
        w.note("second", second.show(true)?);
        w.note("recv", recv(&theirs, 10, 0));
        w.note("first", first.show(false)?);
        w.note("second", second.show(false)?);
    }
    w.note("out of one", ioth::epoll_ctl(&first.0, EPOLL_CTL_DEL, &theirs, None));
    send(&ours, "word")?;
    w.note("second", second.show(true)?);
    w.note("first", first.show(false)?);
    Ok(())
}

fn an_epoll_in_an_epoll(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let (inner, outer) = (Epoll::new()?, Epoll::new()?);
    inner.add(&theirs, READ, 1)?;
    for turn in 0..3 {
        // At first it is no secret of the library's.
        send(&ours, "word")?;
        w.note("inner", inner.show(true)?);
        w.note("recv", recv(&theirs, 10, 0));
        if turn == 0 {
            outer.add(&inner.0, READ, 2)?;
        }
        send(&ours, "word")?;
        w.note("outer", outer.show(true)?);
        w.note("inner", inner.show(true)?);
        w.note("recv", recv(&theirs, 10, 0));
        w.note("outer", outer.show(false)?);
    }
    w.note("a circle", inner.control(EPOLL_CTL_ADD, &outer.0, READ, 3));
    // One that gets its first socket inside.
    let late = Epoll::new()?;
    outer.add(&late.0, READ, 4)?;
    late.add(&ours, READ, 5)?;
    send(&theirs, "back")?;
    w.note("outer", outer.show(true)?);
    w.note("late", late.show(true)?);
    Ok(())
}

fn an_epoll_in_a_poll(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    epoll.add(&theirs, READ, 1)?;
    for _ in 0..3 {
        w.note("nothing", polled(&epoll.0, 0)?);
        send(&ours, "word")?;
        w.note("polled", polled(&epoll.0, POLLIN)?);
        w.note("epoll", epoll.show(true)?);
        w.note("recv", recv(&theirs, 10, 0));
    }
    Ok(())
}

fn a_copy_of_an_epoll(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    epoll.add(&theirs, READ, 1)?;
    let copy = Epoll(epoll.0.try_clone()?);
    for turn in 0..4 {
        send(&ours, "word")?;
        w.note("the copy", copy.show(true)?);
        w.note("the first", if turn < 2 { epoll.show(true)? } else { copy.show(true)? });
        w.note("recv", recv(&theirs, 10, 0));
        w.note("nothing", copy.show(false)?);
    }
    drop(epoll);
    w.note("modify", copy.control(EPOLL_CTL_MOD, &theirs, READ, 7));
    send(&ours, "word")?;
    w.note("alone", copy.show(true)?);
    w.note("out", ioth::epoll_ctl(&copy.0, EPOLL_CTL_DEL, &theirs, None));
    w.note("nothing", copy.show(false)?);
    Ok(())
}

fn closing_takes_it_out(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let epoll = Epoll::new()?;
    for plainly in [false, true] {
        let (ours, theirs) = w.pair_of(&listener)?;
        epoll.add(&theirs, READ, 1)?;
        send(&ours, "word")?;
        w.note("a word", epoll.show(true)?);
        w.note("recv", recv(&theirs, 10, 0));
        send(&ours, "word")?;
        w.note("a word", epoll.show(true)?);
        let copy = theirs.try_clone()?;
        if plainly {
            drop(theirs);
        } else {
            ioth::close(theirs)?;
        }
        // Whoever holds a copy keeps it in.
        w.note("a copy is left", epoll.show(true)?);
        if plainly {
            drop(copy);
        } else {
            ioth::close(copy)?;
        }
        w.note("closed", epoll.show(false)?);
    }
    Ok(())
}

fn a_number_is_used_again(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let epoll = Epoll::new()?;
    for turn in 0..4 {
        let (ours, theirs) = w.pair_of(&listener)?;
        let high = rustix::io::fcntl_dupfd_cloexec(&theirs, 700)?;
        drop(theirs);
        epoll.add(&high, READ, turn)?;
        send(&ours, "word")?;
        w.note("a word", epoll.show(true)?);
        w.note("recv", recv(&high, 10, 0));
        drop(high);
        w.note("closed", epoll.show(false)?);
    }
    // The same for epolls: the number of one is not its name.
    for turn in 0..4 {
        let (ours, theirs) = w.pair_of(&listener)?;
        let epoll = Epoll::new()?;
        epoll.add(&theirs, READ, turn)?;
        send(&ours, "word")?;
        w.note("a word", epoll.show(true)?);
        w.note("recv", recv(&theirs, 10, 0));
    }
    Ok(())
}

fn control_while_another_waits(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let epoll = Epoll::new()?;
    let (_quiet, quiet) = w.pair_of(&listener)?;
    for known in [false, true] {
        if known {
            epoll.add(&quiet, READ, 0)?;
        }
        let (ours, theirs) = w.pair_of(&listener)?;
        thread::scope(|scope| -> Result<()> {
            let waits = |what: &'static str, change: &dyn Fn() -> Result<()>| -> Result<()> {
                let waiter = scope.spawn(|| epoll.show(true));
                thread::sleep(MOMENT);
                change()?;
                w.note(what, waiter.join().expect("no panic")?);
                Ok(())
            };
            waits("added, then sent", &|| {
                epoll.add(&theirs, READ, 1)?;
                send(&ours, "word")?;
                Ok(())
            })?;
            w.note("recv", recv(&theirs, 10, 0));
            waits("sent", &|| {
                send(&ours, "word")?;
                Ok(())
            })?;
            w.note("out", ioth::epoll_ctl(&epoll.0, EPOLL_CTL_DEL, &theirs, None));
            waits("added with something", &|| epoll.add(&theirs, READ, 2))?;
            w.note("deaf", epoll.control(EPOLL_CTL_MOD, &theirs, 0, 3));
            waits("modified with something", &|| Ok(epoll.control(EPOLL_CTL_MOD, &theirs, READ, 3)?))?;
            w.note("recv", recv(&theirs, 10, 0));
            Ok(())
        })?;
        w.note("out", ioth::epoll_ctl(&epoll.0, EPOLL_CTL_DEL, &theirs, None));
    }
    Ok(())
}

fn sockets_and_other_descriptors(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    epoll.add(&theirs, READ, 1)?;
    let (read_end, write_end) = rustix::pipe::pipe()?;
    epoll.add(&read_end, READ, 2)?;
    let bell = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
    epoll.add(&bell, READ, 3)?;
    for _ in 0..3 {
        rustix::io::write(&write_end, b"x")?;
        w.note("a pipe", epoll.show(true)?);
        send(&ours, "word")?;
        w.settle(&theirs, IN);
        w.note("two", epoll.show(true)?);
        rustix::io::write(&bell, &1u64.to_ne_bytes())?;
        w.note("three", epoll.show(true)?);
        rustix::io::read(&read_end, &mut [0; 8])?;
        rustix::io::read(&bell, &mut [0; 8])?;
        w.note("recv", recv(&theirs, 10, 0));
        w.note("nothing", epoll.show(false)?);
    }
    Ok(())
}

fn urgent_and_exclusive(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    epoll.add(&theirs, READ | EPOLLEXCLUSIVE.cast_unsigned(), 1)?;
    for _ in 0..3 {
        send(&ours, "word")?;
        w.note("exclusive", epoll.show(true)?);
        w.note("recv", recv(&theirs, 10, 0));
        w.note("taken", epoll.show(false)?);
    }
    w.note("no change", epoll.control(EPOLL_CTL_MOD, &theirs, READ, 1));
    let second = Epoll::new()?;
    second.add(&theirs, EPOLLPRI.cast_unsigned(), 2)?;
    w.note("oob", ioth::send(&ours, b"!", ioth::MSG_OOB));
    w.note("urgent", second.show(true)?);
    Ok(())
}

fn an_echo_server(w: &World) -> Result<()> {
    let listener = w.listener()?;
    ioth::set_nonblocking(&listener, true)?;
    const CLIENTS: usize = 12;
    const WORDS: usize = 40;
    let done = thread::scope(|scope| -> Result<usize> {
        let server = scope.spawn(|| -> Result<usize> {
            let epoll = Epoll::new()?;
            epoll.add(&listener, READ, 0)?;
            let (mut connections, mut ended) = (Vec::new(), 0);
            while ended < CLIENTS {
                let events = epoll.wait(5, SOON)?;
                anyhow::ensure!(!events.is_empty(), "nothing for long; {ended} of {CLIENTS} have ended");
                for (number, _) in events {
                    if number == 0 {
                        while let Ok((fd, _)) = ioth::accept4(&listener, SOCK_CLOEXEC | SOCK_NONBLOCK) {
                            connections.push(Some(fd));
                            let fd = connections.last().and_then(Option::as_ref).expect("just put there");
                            epoll.add(fd, READ, connections.len() as u64)?;
                        }
                        continue;
                    }
                    let place = &mut connections[number as usize - 1];
                    let Some(fd) = place else { continue };
                    let mut buffer = [0; 64];
                    match ioth::recv(&*fd, &mut buffer, 0) {
                        Ok(0) => {
                            ended += 1;
                            ioth::close(place.take().expect("it is there"))?;
                        }
                        Ok(len) => drop(ioth::send(&*fd, &buffer[..len], 0)?),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Ok(ended)
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || -> Result<()> {
                    let fd = w.stream()?;
                    ioth::connect(&fd, &w.at())?;
                    for word in 0..WORDS {
                        let text = format!("{client} {word:04}");
                        send(&fd, &text)?;
                        anyhow::ensure!(crate::calls::recv_exactly(&fd, text.len())? == text.as_bytes());
                    }
                    Ok(ioth::close(fd)?)
                })
            })
            .collect();
        for client in clients {
            client.join().expect("no panic")?;
        }
        server.join().expect("no panic")
    })?;
    w.note("done", done);
    Ok(())
}

fn many_threads_on_one_epoll(w: &World) -> Result<()> {
    const THREADS: usize = 3;
    const SOCKETS: usize = 8;
    const BYTES: usize = 300;
    let listener = w.listener()?;
    let pairs: Vec<_> = (0..SOCKETS).map(|_| w.pair_of(&listener)).collect::<Result<_>>()?;
    let epoll = Epoll::new()?;
    for (number, (_, theirs)) in pairs.iter().enumerate() {
        ioth::set_nonblocking(theirs, true)?;
        let flags =
            READ | (if number % 2 == 0 { EPOLLONESHOT | EPOLLET } else { EPOLLONESHOT }).cast_unsigned();
        epoll.add(theirs, flags, number as u64)?;
    }
    let busy: Vec<_> = (0..SOCKETS).map(|_| std::sync::Mutex::new(0usize)).collect();
    let start = Barrier::new(THREADS + 1);
    let wrong = thread::scope(|scope| -> Result<usize> {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| -> Result<usize> {
                    start.wait();
                    let mut wrong = 0;
                    let end = Instant::now() + SOON;
                    while busy.iter().any(|count| count.try_lock().is_ok_and(|count| *count < BYTES))
                        && Instant::now() < end
                    {
                        for (number, _) in epoll.wait(3, Duration::from_millis(20))? {
                            // Nobody else may have been told of it.
                            let Ok(mut count) = busy[number as usize].try_lock() else {
                                wrong += 1;
                                continue;
                            };
                            let fd = &pairs[number as usize].1;
                            let mut buffer = [0; 64];
                            while let Ok(len @ 1..) = ioth::recv(fd, &mut buffer, 0) {
                                *count += len;
                            }
                            drop(count);
                            let edge = if number % 2 == 0 { EPOLLONESHOT | EPOLLET } else { EPOLLONESHOT };
                            epoll.control(EPOLL_CTL_MOD, fd, READ | edge.cast_unsigned(), number)?;
                        }
                    }
                    Ok(wrong)
                })
            })
            .collect();
        start.wait();
        for _ in 0..BYTES {
            for (ours, _) in &pairs {
                send(ours, "x")?;
            }
        }
        let mut wrong = 0;
        for worker in workers {
            wrong += worker.join().expect("no panic")?;
        }
        Ok(wrong)
    })?;
    w.note("told twice", wrong);
    let counts: Vec<_> = busy.iter().map(|count| *count.lock().expect("no panic")).collect();
    w.note("received", format!("{counts:?}"));
    Ok(())
}

fn control_refuses(w: &World) -> Result<()> {
    let (_ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    w.note("modify nothing", epoll.control(EPOLL_CTL_MOD, &theirs, READ, 1));
    w.note("delete nothing", ioth::epoll_ctl(&epoll.0, EPOLL_CTL_DEL, &theirs, None));
    w.note("add", epoll.control(EPOLL_CTL_ADD, &theirs, READ, 1));
    w.note("add twice", epoll.control(EPOLL_CTL_ADD, &theirs, READ, 1));
    let copy = theirs.try_clone()?;
    w.note("add a copy", epoll.control(EPOLL_CTL_ADD, &copy, READ, 2));
    w.note("what is it", epoll.control(77, &theirs, READ, 1));
    w.note(
        "no epoll",
        ioth::epoll_ctl(&theirs, EPOLL_CTL_ADD, &copy, Some(&mut epoll_event { events: READ, u64: 0 })),
    );
    w.note("itself", epoll.control(EPOLL_CTL_ADD, &epoll.0, READ, 3));
    w.note("not open", epoll.control(EPOLL_CTL_ADD, sys::never_open(), READ, 3));
    w.note("no room", ioth::epoll_wait(&epoll.0, &mut [], 0));
    let mut one = [epoll_event { events: 0, u64: 0 }];
    w.note("wait on a socket", ioth::epoll_wait(&theirs, &mut one, 0));
    w.note("another flag", ioth::epoll_create1(77).map(drop));
    Ok(())
}
