//! poll, select and epoll of the system on sockets, beside the library's calls.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use ioth::{MSG_DONTWAIT, SHUT_WR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM};
use ioth_tests::netns::Test;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

use crate::calls::{IN, NOTHING, OUT, fill, plain_read, plain_send, recv, send, swallow};
use crate::sys;
use crate::world::{MOMENT, SOON, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        poll_through_a_conversation,
        poll_of_what_the_library_left,
        poll_wakes_a_sleeper,
        poll_without_asking,
        select_through_a_conversation,
        epoll_by_level,
        epoll_by_edge,
        epoll_once,
        epoll_of_a_listener,
        epoll_of_a_connect,
        epoll_of_room,
        epoll_of_an_end,
        epoll_of_many,
    ]
}

/// An epoll set of descriptors, numbered from 0.
struct Epoll(OwnedFd);

impl Epoll {
    fn new(fds: &[(&OwnedFd, EventFlags)]) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, (fd, flags)) in fds.iter().enumerate() {
            epoll::add(&epoll, fd, EventData::new_u64(number as u64), *flags)?;
        }
        Ok(Self(epoll))
    }

    fn wait(&self, time: Duration) -> Result<Vec<(u64, EventFlags)>> {
        let mut events = Vec::with_capacity(64);
        let time = Timespec::try_from(time)?;
        epoll::wait(&self.0, rustix::buffer::spare_capacity(&mut events), Some(&time))?;
        let seen = |event: &Event| (event.data.u64(), event.flags);
        Ok(events.iter().map(seen).collect())
    }

    /// Waits for events, and a little more for those that come with them; shows them in order.
    fn show(&self, something: bool) -> Result<String> {
        let mut events = self.wait(if something { SOON } else { MOMENT })?;
        events.sort_by_key(|(number, _)| *number);
        let shown = |(number, flags): &(u64, EventFlags)| {
            let names: Vec<_> = flags.iter_names().map(|(name, _)| name).collect();
            format!("{number}: {}", names.join("|"))
        };
        Ok(events.iter().map(shown).collect::<Vec<_>>().join(", "))
    }
}

fn poll_through_a_conversation(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.poll("fresh", &theirs, OUT);
    send(&ours, "one")?;
    w.poll("one", &theirs, IN | OUT);
    plain_send(&ours, "two")?;
    w.settle(&theirs, IN);
    let mut all = String::new();
    while all.len() < 6 {
        let mut room = [0; 2];
        let got = ioth::recv(&theirs, &mut room, 0)?;
        all += &String::from_utf8_lossy(&room[..got]);
    }
    w.note("all", all);
    w.poll("taken", &theirs, OUT);
    ioth::close(ours)?;
    w.poll("closed", &theirs, IN | OUT | crate::calls::RDHUP);
    Ok(())
}

fn poll_of_what_the_library_left(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    for turn in 0..10 {
        send(&ours, "0123456789")?;
        w.settle(&theirs, IN);
        w.note("a part", recv(&theirs, 4, if turn % 2 == 0 { 0 } else { MSG_DONTWAIT }));
        w.poll("the rest", &theirs, IN | OUT);
        w.note("plain", plain_read(&theirs, 100));
        w.poll("nothing", &theirs, OUT);
    }
    Ok(())
}

fn poll_wakes_a_sleeper(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    std::thread::scope(|scope| -> Result<()> {
        for word in ["by the library", "plainly", "at the end"] {
            let sleeper = scope.spawn(|| w.settle(&theirs, IN));
            std::thread::sleep(MOMENT);
            match word {
                "plainly" => drop(plain_send(&ours, word)?),
                "by the library" => drop(send(&ours, word)?),
                _ => ioth::shutdown(&ours, SHUT_WR)?,
            }
            w.note("woken by", sleeper.join().expect("no panic"));
            w.note("recv", recv(&theirs, 20, 0));
        }
        Ok(())
    })
}

fn poll_without_asking(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "word")?;
    w.settle(&theirs, IN);
    let mut fds = [rustix::event::PollFd::new(&theirs, NOTHING)];
    let found = rustix::event::poll(&mut fds, Some(&Timespec::default()));
    w.note("nothing asked", found.map(|found| (found, fds[0].revents())));
    ioth::setsockopt(&ours, ioth::SOL_SOCKET, ioth::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0])?;
    ioth::close(ours)?;
    w.settle(&theirs, crate::calls::HUP);
    let mut fds = [rustix::event::PollFd::new(&theirs, NOTHING)];
    let found = rustix::event::poll(&mut fds, Some(&Timespec::default()));
    w.note("after a reset", found.map(|found| (found, fds[0].revents())));
    Ok(())
}

fn select_through_a_conversation(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let select = |fd: &OwnedFd, time| sys::select(fd, time).map(|seen| format!("{seen:?}"));
    w.note("fresh", select(&theirs, Duration::ZERO)?);
    send(&ours, "word")?;
    w.settle(&theirs, IN);
    w.note("a word", select(&theirs, SOON)?);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("taken", select(&theirs, Duration::ZERO)?);
    fill(&ours)?;
    w.note("full", select(&ours, MOMENT)?);
    ioth::shutdown(&theirs, SHUT_WR)?;
    w.settle(&ours, IN);
    // The kernel may have grown its buffer since: whether there is room is its own affair.
    w.note("the end", sys::select(&ours, SOON)?.0);
    Ok(())
}

fn epoll_by_level(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new(&[(&theirs, EventFlags::IN)])?;
    w.note("nothing", epoll.show(false)?);
    send(&ours, "word")?;
    w.note("a word", epoll.show(true)?);
    w.note("still", epoll.show(true)?);
    w.note("recv", recv(&theirs, 2, 0));
    w.note("the rest", epoll.show(true)?);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("taken", epoll.show(false)?);
    w.note("add twice", epoll::add(&epoll.0, &theirs, EventData::new_u64(0), EventFlags::IN));
    w.note("delete", epoll::delete(&epoll.0, &theirs));
    w.note("delete twice", epoll::delete(&epoll.0, &theirs));
    Ok(())
}

fn epoll_by_edge(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new(&[(&theirs, EventFlags::IN | EventFlags::ET)])?;
    for turn in 0..5 {
        w.note("sent", send(&ours, format!("turn {turn}")));
        w.note("an edge", epoll.show(true)?);
        w.settle(&theirs, IN);
        w.note("recv", recv(&theirs, 100, 0));
        w.note("again", recv(&theirs, 100, MSG_DONTWAIT));
        // Another edge for the same bytes does no harm; none for new ones would.
        epoll.wait(Duration::from_millis(5))?;
    }
    plain_send(&ours, "plain")?;
    w.note("an edge", epoll.show(true)?);
    w.settle(&theirs, IN);
    w.note("recv", plain_read(&theirs, 100));
    Ok(())
}

fn epoll_once(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let flags = EventFlags::IN | EventFlags::ONESHOT;
    let epoll = Epoll::new(&[(&theirs, flags)])?;
    send(&ours, "one")?;
    w.note("once", epoll.show(true)?);
    send(&ours, "two")?;
    w.note("not twice", epoll.show(false)?);
    epoll::modify(&epoll.0, &theirs, EventData::new_u64(0), flags)?;
    w.note("armed again", epoll.show(true)?);
    w.settle(&theirs, IN);
    w.note("recv", recv(&theirs, 6, ioth::MSG_WAITALL));
    epoll::modify(&epoll.0, &theirs, EventData::new_u64(0), flags)?;
    w.note("nothing", epoll.show(false)?);
    send(&ours, "three")?;
    w.note("once more", epoll.show(true)?);
    Ok(())
}

fn epoll_of_a_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    ioth::set_nonblocking(&listener, true)?;
    for flags in [EventFlags::IN, EventFlags::IN | EventFlags::ET] {
        let epoll = Epoll::new(&[(&listener, flags)])?;
        for _ in 0..3 {
            let ours = w.stream()?;
            ioth::connect(&ours, &w.at())?;
            w.note("one waits", epoll.show(true)?);
            w.settle(&listener, IN);
            w.note("accept", ioth::accept4(&listener, SOCK_CLOEXEC));
            w.note("no more", ioth::accept4(&listener, SOCK_CLOEXEC));
        }
    }
    Ok(())
}

fn epoll_of_a_connect(w: &World) -> Result<()> {
    let connect = |to: &std::net::SocketAddr| -> Result<_> {
        let fd = w.client.socket(w.domain(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)?;
        w.note("connect", ioth::connect(&fd, to));
        Ok(fd)
    };
    let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP;
    let refused = connect(&w.at())?;
    w.settle(&refused, OUT);
    w.note("refused", Epoll::new(&[(&refused, all)])?.show(true)?);
    let undecided = connect(&w.nobody())?;
    w.note("undecided", Epoll::new(&[(&undecided, all)])?.show(false)?);
    let _listener = w.listener()?;
    let good = connect(&w.at())?;
    w.note("good", Epoll::new(&[(&good, all)])?.show(true)?);
    w.note("SO_ERROR", crate::calls::pending(&good));
    Ok(())
}

fn epoll_of_room(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    for flags in [EventFlags::OUT, EventFlags::OUT | EventFlags::ET] {
        let filled = fill(&ours)?;
        let epoll = Epoll::new(&[(&ours, flags)])?;
        w.note("full", epoll.show(false)?);
        swallow(&theirs, filled)?;
        w.note("room", epoll.show(true)?);
        w.note("send", send(&ours, "word"));
        w.note("recv", recv(&theirs, 10, 0));
    }
    Ok(())
}

fn epoll_of_an_end(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP;
    ioth::shutdown(&ours, SHUT_WR)?;
    w.settle(&theirs, crate::calls::RDHUP);
    w.note("half", Epoll::new(&[(&theirs, all)])?.show(true)?);
    ioth::shutdown(&theirs, SHUT_WR)?;
    w.settle(&theirs, crate::calls::HUP);
    w.settle(&ours, crate::calls::HUP);
    w.note("both", Epoll::new(&[(&theirs, all), (&ours, all)])?.show(true)?);
    Ok(())
}

fn epoll_of_many(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let pairs: Vec<_> = (0..8).map(|_| w.pair_of(&listener)).collect::<Result<_>>()?;
    let fds: Vec<_> = pairs.iter().map(|(_, theirs)| (theirs, EventFlags::IN)).collect();
    let epoll = Epoll::new(&fds)?;
    for chosen in [&[0, 3, 7][..], &[1], &[2, 4, 5, 6]] {
        for number in chosen {
            let (ours, theirs) = &pairs[*number];
            send(ours, format!("{number}"))?;
            w.settle(theirs, IN);
        }
        w.note("readable", epoll.show(true)?);
        for number in chosen {
            w.note("recv", recv(&pairs[*number].1, 10, 0));
        }
    }
    Ok(())
}
