//! The library's own epoll, over sockets and whatever else polls: level, edge and one-shot, copies, nesting, threads.

use std::os::fd::OwnedFd;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::Result;
use ioth::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLOUT, EPOLLPRI,
    MSG_DONTWAIT, POLLIN, SHUT_WR, SOCK_CLOEXEC, SOCK_NONBLOCK, epoll_event,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, plain_read, recv, send};
use crate::sys;
use crate::waiting::{ALL, Epoll, READ, polled};
use crate::world::{MOMENT, SOON, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
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
