//! Many threads on one socket, in both directions at once, and every kind of call that a shutdown wakes.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Mutex;
use std::thread;

use anyhow::{Result, ensure};
use ioth::{MSG_PEEK, MSG_WAITALL, POLLIN, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC, pollfd};
use ioth_tests::netns::Test;

use crate::calls::{drain, fill, patient, recv, recv_exactly, send};
use crate::waiting::{Epoll, READ};
use crate::world::{MOMENT, SOON, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        many_send_and_receive_at_once,
        many_send_datagrams_at_once,
        many_accept_at_once,
        shutdown_wakes_every_receiver,
        shutdown_wakes_every_sender,
        shutdown_wakes_a_datagram_receiver,
        shutdown_wakes_every_accepter,
        shutdown_wakes_who_waits_for_many,
    ]
}

/// How many there were of each byte.
type Counts = BTreeMap<u8, usize>;

/// Five threads send on each end while five receive there: the bytes of each thread, counted at the other end.
fn many_send_and_receive_at_once(w: &World) -> Result<()> {
    const THREADS: u8 = 5;
    const PIECES: usize = 60;
    let (ours, theirs) = w.pair()?;
    let counts = [Mutex::new(Counts::new()), Mutex::new(Counts::new())];
    thread::scope(|scope| {
        for (fd, counts, first) in [(&ours, &counts[0], 0), (&theirs, &counts[1], 100)] {
            let senders: Vec<_> = (0..THREADS)
                .map(|number| {
                    scope.spawn(move || {
                        for piece in 0..PIECES {
                            // Lengths of all kinds, each sender the same.
                            let _ = send(fd, vec![first + number; 1 + piece * 97]);
                        }
                    })
                })
                .collect();
            scope.spawn(move || {
                senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
                ioth::shutdown(fd, SHUT_WR)
            });
            for number in 0..THREADS {
                scope.spawn(move || {
                    let mut room = vec![0; 500 + usize::from(number) * 1001];
                    while let Ok(count @ 1..) = ioth::recv(fd, &mut room, 0) {
                        let mut counts = counts.lock().expect("no panic");
                        for byte in &room[..count] {
                            *counts.entry(*byte).or_default() += 1;
                        }
                    }
                });
            }
        }
    });
    for counts in counts {
        for (byte, count) in counts.into_inner()? {
            w.note("byte and count", (usize::from(byte), count));
        }
    }
    Ok(())
}

fn many_send_datagrams_at_once(w: &World) -> Result<()> {
    const THREADS: u8 = 4;
    const EACH: u8 = 50;
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    patient(&ours)?;
    let seen = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (ours, theirs, seen) = (&ours, &theirs, &seen);
            // As many are under way as there are threads: none is lost for want of room.
            scope.spawn(move || {
                for turn in 0..EACH {
                    let datagram = [[number, turn]; 200].concat();
                    if ioth::sendto(ours, &datagram, 0, &w.at()).is_err() || recv(ours, 10, 0).is_err() {
                        return;
                    }
                }
            });
            scope.spawn(move || {
                let mut room = [0; 1000];
                for _ in 0..EACH {
                    let Ok((len, Some(from))) = ioth::recvfrom(theirs, &mut room, 0) else { return };
                    let whole = len == 400 && room[..len].chunks(2).all(|pair| pair == &room[..2]);
                    seen.lock().expect("no panic").push((room[0], room[1], whole));
                    let _ = ioth::sendto(theirs, b"taken", 0, &from);
                }
            });
        }
    });
    let mut seen = seen.into_inner()?;
    seen.sort_unstable();
    seen.dedup();
    w.note("each once", seen.len());
    w.note("whole", seen.iter().all(|(.., whole)| *whole));
    Ok(())
}

fn many_accept_at_once(w: &World) -> Result<()> {
    const THREADS: usize = 6;
    const EACH: usize = 5;
    let listener = w.listener()?;
    let mut numbers = thread::scope(|scope| -> Result<Vec<u8>> {
        let accepters: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| -> Result<Vec<u8>> {
                    (0..EACH)
                        .map(|_| {
                            let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
                            let number = recv_exactly(&theirs, 1)?[0];
                            send(&theirs, [number])?;
                            Ok(number)
                        })
                        .collect()
                })
            })
            .collect();
        let clients: Vec<_> = (0..THREADS)
            .map(|client| {
                scope.spawn(move || -> Result<()> {
                    for turn in 0..EACH {
                        let number = u8::try_from(client * EACH + turn)?;
                        let ours = w.stream()?;
                        ioth::connect(&ours, &w.at())?;
                        send(&ours, [number])?;
                        ensure!(drain(&ours).0 == [number], "somebody else's answer");
                    }
                    Ok(())
                })
            })
            .collect();
        for client in clients {
            client.join().expect("no panic")?;
        }
        let numbers = accepters.into_iter().map(|accepter| accepter.join().expect("no panic"));
        Ok(numbers.collect::<Result<Vec<_>>>()?.concat())
    })?;
    numbers.sort_unstable();
    w.note("each once", numbers.into_iter().eq(0..u8::try_from(THREADS * EACH)?));
    Ok(())
}

fn shutdown_wakes_every_receiver(w: &World) -> Result<()> {
    let (ours, _theirs) = w.pair()?;
    thread::scope(|scope| {
        let calls = [
            scope.spawn(|| recv(&ours, 10, 0)),
            scope.spawn(|| recv(&ours, 10, MSG_PEEK)),
            scope.spawn(|| recv(&ours, 10, MSG_WAITALL)),
            scope.spawn(|| {
                let (mut one, mut two) = ([0; 3], [0; 3]);
                let parts = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
                ioth::recvmsg(&ours, parts, 0).map(|message| message.len.to_string())
            }),
            scope
                .spawn(|| ioth::readv(&ours, &mut [IoSliceMut::new(&mut [0; 3])]).map(|len| len.to_string())),
        ];
        thread::sleep(MOMENT);
        w.note("shutdown", ioth::shutdown(&ours, SHUT_RD));
        for call in calls {
            w.note("a call", call.join().expect("no panic"));
        }
    });
    Ok(())
}

fn shutdown_wakes_every_sender(w: &World) -> Result<()> {
    let (ours, _theirs) = w.pair()?;
    fill(&ours)?;
    thread::scope(|scope| {
        let calls = [
            scope.spawn(|| send(&ours, "x")),
            scope.spawn(|| send(&ours, vec![0; 100_000])),
            scope.spawn(|| {
                let parts = &[std::io::IoSlice::new(b"one"), std::io::IoSlice::new(b"two")];
                ioth::sendmsg(&ours, parts, &[], ioth::MSG_NOSIGNAL, None)
            }),
        ];
        thread::sleep(MOMENT);
        w.note("shutdown", ioth::shutdown(&ours, SHUT_WR));
        for call in calls {
            w.note("a call", call.join().expect("no panic"));
        }
    });
    Ok(())
}

fn shutdown_wakes_a_datagram_receiver(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    ioth::connect(&fd, &w.at())?;
    thread::scope(|scope| {
        let calls = [scope.spawn(|| recv(&fd, 10, 0)), scope.spawn(|| recv(&fd, 10, MSG_PEEK))];
        thread::sleep(MOMENT);
        w.note("shutdown", ioth::shutdown(&fd, SHUT_RD));
        for call in calls {
            w.note("a call", call.join().expect("no panic"));
        }
    });
    Ok(())
}

fn shutdown_wakes_every_accepter(w: &World) -> Result<()> {
    let listener = w.listener()?;
    thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| ioth::accept(&listener))).collect();
        thread::sleep(MOMENT);
        w.note("shutdown", ioth::shutdown(&listener, SHUT_RDWR));
        for call in calls {
            w.note("accept", call.join().expect("no panic"));
        }
    });
    Ok(())
}

fn shutdown_wakes_who_waits_for_many(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (ours, _theirs) = w.pair_of(&listener)?;
    let (other, _peer) = w.pair_of(&listener)?;
    let epoll = Epoll::new()?;
    epoll.add(&ours, READ, 1)?;
    epoll.add(&other, READ, 2)?;
    let polled = |fds: [&OwnedFd; 2]| {
        let mut fds = fds.map(|fd| pollfd { fd: fd.as_raw_fd(), events: POLLIN, revents: 0 });
        ioth::poll(&mut fds, -1).map(|count| format!("{count}: {:#x} {:#x}", fds[0].revents, fds[1].revents))
    };
    thread::scope(|scope| -> Result<()> {
        let poll = scope.spawn(|| polled([&ours, &other]));
        let waits = scope.spawn(|| epoll.wait(4, SOON));
        let receives = scope.spawn(|| recv(&ours, 10, 0));
        thread::sleep(MOMENT);
        w.note("shutdown", ioth::shutdown(&ours, SHUT_RD));
        w.note("poll", poll.join().expect("no panic"));
        w.note("epoll_wait", format!("{:?}", waits.join().expect("no panic")?));
        w.note("recv", receives.join().expect("no panic"));
        Ok(())
    })
}
