//! Servers of several processes: who gets which connection, what dies with a worker, and workers that wait for many
//! descriptors at once.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use ioth::{FdSet, POLLIN, SHUT_WR, SOCK_CLOEXEC, pollfd};
use ioth_tests::child::Child;
use ioth_tests::netns::Test;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::calls::{drain, patient, recv, recv_exactly, send};
use crate::waiting::{Epoll, READ};
use crate::world::{SOON, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![alone:
        workers_share_the_load,
        a_killed_worker_takes_only_its_own,
        a_child_polls,
        a_child_selects,
        a_child_uses_an_epoll_of_the_parent,
        a_child_makes_an_epoll,
    ]
}

/// A worker: answers each connection with its number, keeps it until the client has said a word, and takes its leave.
fn worker(listener: &OwnedFd, number: u8) -> Result<Child> {
    Child::start(move || {
        loop {
            let Ok((theirs, _)) = ioth::accept4(listener, SOCK_CLOEXEC) else { return false };
            let _ = send(&theirs, [number]);
            let _ = recv(&theirs, 1, 0);
            let _ = send(&theirs, "bye");
        }
    })
}

fn workers(listener: &OwnedFd, count: u8) -> Result<Vec<Child>> {
    (0..count).map(|number| worker(listener, number)).collect()
}

fn client(w: &World) -> Result<OwnedFd> {
    let ours = w.stream()?;
    patient(&ours)?;
    ioth::connect(&ours, &w.at())?;
    Ok(ours)
}

/// The worker that answers, if it lives.
fn answer(ours: &OwnedFd) -> Option<u8> {
    recv_exactly(ours, 1).ok().map(|answer| answer[0])
}

/// Whether a worker, and no other, serves it to the end.
fn is_served(ours: &OwnedFd) -> bool {
    send(ours, "x").is_ok() && drain(ours).0 == b"bye"
}

fn workers_share_the_load(w: &World) -> Result<()> {
    const CLIENTS: usize = 4;
    const EACH: usize = 12;
    let listener = w.listener()?;
    let workers = workers(&listener, 4)?;
    let served = Mutex::new([0; 4]);
    let good = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    for _ in 0..EACH {
                        let ours = client(w)?;
                        let Some(number) = answer(&ours) else { anyhow::bail!("nobody answered") };
                        ensure!(is_served(&ours), "two had it");
                        served.lock().expect("no panic")[usize::from(number)] += 1;
                    }
                    Ok(())
                })
            })
            .collect();
        clients.into_iter().all(|client| client.join().expect("no panic").is_ok())
    });
    w.note("all were answered once", good);
    w.note("in all", served.into_inner()?.iter().sum::<usize>());
    // Who is busy takes none: four at a time are one for each.
    let held = (0..4).map(|_| client(w)).collect::<Result<Vec<_>>>()?;
    let mut numbers: Vec<_> = held.iter().map(|ours| answer(ours).map_or(-1, i32::from)).collect();
    numbers.sort_unstable();
    w.note("one for each", numbers);
    for worker in workers {
        worker.kill()?;
    }
    Ok(())
}

fn a_killed_worker_takes_only_its_own(w: &World) -> Result<()> {
    const CLIENTS: usize = 4;
    const EACH: usize = 12;
    let listener = w.listener()?;
    let mut workers = workers(&listener, 4)?;
    let held = (0..4).map(|_| client(w)).collect::<Result<Vec<_>>>()?;
    let numbers: Vec<_> = held.iter().map(answer).collect();
    workers.remove(0).kill()?;
    for (ours, number) in held.iter().zip(&numbers) {
        let good = is_served(ours);
        ensure!(good != (*number == Some(0)), "{number:?}: {good}");
    }
    // The others take what comes while one of them is killed, too.
    let lost = thread::scope(|scope| -> Result<usize> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Result<usize> {
                    let mut lost = 0;
                    for _ in 0..EACH {
                        let ours = client(w)?;
                        lost += usize::from(answer(&ours).is_none() || !is_served(&ours));
                    }
                    Ok(lost)
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(5));
        workers.remove(0).kill()?;
        clients.into_iter().map(|client| client.join().expect("no panic")).sum()
    })?;
    w.note("no more than one is lost", lost <= 1);
    for worker in workers {
        worker.kill()?;
    }
    Ok(())
}

/// A pair of the kernel's, made by the child.
fn fresh_pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Two rounds of one child: `wait` says which of two descriptors, an inherited socket and one of the kernel that the child
/// made, is readable.
fn child_waits(w: &World, wait: impl Fn([&OwnedFd; 2]) -> Option<[bool; 2]>) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let child = Child::start(|| {
        let Ok((here, there)) = fresh_pair() else { return false };
        let both = [&theirs, &here];
        // The parent says a word, the child itself another, then the parent says that it was all.
        wait(both) == Some([true, false])
            && recv(&theirs, 10, 0).is_ok_and(|word| word == "\"word\"")
            && send(&there, "x").is_ok()
            && wait(both) == Some([false, true])
            && recv(&here, 10, 0).is_ok()
            && send(&theirs, "done").is_ok()
            && wait(both) == Some([true, false])
            && recv(&theirs, 10, 0).is_ok_and(|end| end == "\"\"")
    })?;
    w.note("send", send(&ours, "word"));
    w.note("recv", recv(&ours, 10, 0));
    // The child has a copy: closing this one would not be the end.
    w.note("shutdown", ioth::shutdown(&ours, SHUT_WR));
    w.note("good", child.wait()?);
    Ok(())
}

fn a_child_polls(w: &World) -> Result<()> {
    child_waits(w, |both| {
        let mut fds = both.map(|fd| pollfd { fd: fd.as_raw_fd(), events: POLLIN, revents: 0 });
        ioth::poll(&mut fds, 5000).ok()?;
        Some(fds.map(|fd| fd.revents & POLLIN != 0))
    })
}

fn a_child_selects(w: &World) -> Result<()> {
    child_waits(w, |both| {
        let mut read = FdSet::default();
        both.iter().for_each(|fd| read.insert(fd.as_raw_fd()));
        let most = both.iter().map(|fd| fd.as_raw_fd()).max()?;
        ioth::select(most + 1, Some(&mut read), None, None, Some(SOON)).ok()?;
        Some(both.map(|fd| read.contains(fd.as_raw_fd())))
    })
}

fn a_child_makes_an_epoll(w: &World) -> Result<()> {
    child_waits(w, |both| {
        let epoll = Epoll::new().ok()?;
        epoll.add(both[0], READ, 0).ok()?;
        epoll.add(both[1], READ, 1).ok()?;
        let events = epoll.wait(4, SOON).ok()?;
        Some([0, 1].map(|number| events.iter().any(|event| event.0 == number)))
    })
}

fn a_child_uses_an_epoll_of_the_parent(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let epoll = Epoll::new()?;
    epoll.add(&theirs, READ, 7)?;
    let child = Child::start(|| {
        let Ok((here, there)) = fresh_pair() else { return false };
        let waits = || epoll.wait(4, SOON).unwrap_or_default();
        waits() == [(7, READ)]
            && recv(&theirs, 10, 0).is_ok_and(|word| word == "\"word\"")
            && epoll.add(&here, READ, 8).is_ok()
            && send(&there, "x").is_ok()
            && waits() == [(8, READ)]
            && recv(&here, 10, 0).is_ok()
            && send(&theirs, "done").is_ok()
    })?;
    w.note("send", send(&ours, "word"));
    w.note("recv", recv(&ours, 10, 0));
    w.note("good", child.wait()?);
    // It is the parent's as before.
    w.note("send", send(&ours, "more"));
    w.note("events", format!("{:?}", epoll.wait(4, SOON)?));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}
