//! Several threads on one socket, and on one stack.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use ioth::{MSG_WAITALL, SHUT_RD, SHUT_RDWR, SOCK_CLOEXEC};
use ioth_tests::netns::Test;
use ioth_tests::pattern;

use crate::calls::{drain, recv, recv_exactly, send};
use crate::world::{MOMENT, World};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = crate::behaviours![
        two_receive_on_one_socket,
        two_send_on_one_socket,
        shutdown_wakes_a_receiver,
        shutdown_of_both_wakes_a_receiver,
        shutdown_wakes_an_accepter,
        shutdown_wakes_a_sender,
        two_accept_on_one_listener,
        twenty_connections_at_once,
        a_receiver_and_a_sender,
        a_waiting_datagram_receiver,
        a_word_wakes_who_waits_long,
    ];
    tests.extend(crate::behaviours![alone: no_descriptor_is_left]);
    tests
}

fn two_receive_on_one_socket(w: &World) -> Result<()> {
    const TOTAL: usize = 400_000;
    let (ours, theirs) = w.pair()?;
    let got = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut room = [0; 3000];
                while let Ok(count @ 1..) = ioth::recv(&theirs, &mut room, 0) {
                    got.fetch_add(count, Relaxed);
                }
            });
        }
        w.note("send", send(&ours, vec![3; TOTAL]));
        w.note("shutdown", ioth::shutdown(&ours, ioth::SHUT_WR));
    });
    w.note("received", got.load(Relaxed));
    Ok(())
}

fn two_send_on_one_socket(w: &World) -> Result<()> {
    const EACH: usize = 300_000;
    let (ours, theirs) = w.pair()?;
    thread::scope(|scope| {
        let ours = &ours;
        for byte in [1, 2] {
            scope.spawn(move || {
                for _ in 0..EACH / 1000 {
                    let _ = send(ours, [byte; 1000]);
                }
            });
        }
        let all = recv_exactly(&theirs, 2 * EACH).unwrap_or_default();
        w.note("ones", all.iter().filter(|byte| **byte == 1).count());
        w.note("twos", all.iter().filter(|byte| **byte == 2).count());
    });
    Ok(())
}

fn shutdown_wakes_a_receiver(w: &World) -> Result<()> {
    let (ours, _theirs) = w.pair()?;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| recv(&ours, 10, 0));
        thread::sleep(MOMENT);
        w.note("shutdown", ioth::shutdown(&ours, SHUT_RD));
        w.note("recv", waiting.join().expect("no panic"));
    });
    Ok(())
}

fn shutdown_of_both_wakes_a_receiver(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| recv(&ours, 10, MSG_WAITALL));
        thread::sleep(MOMENT);
        w.note("shutdown", ioth::shutdown(&ours, SHUT_RDWR));
        w.note("recv", waiting.join().expect("no panic"));
        w.note("the peer's recv", recv(&theirs, 10, 0));
    });
    Ok(())
}

fn shutdown_wakes_an_accepter(w: &World) -> Result<()> {
    let listener = w.listener()?;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ioth::accept(&listener));
        thread::sleep(MOMENT);
        w.note("shutdown", ioth::shutdown(&listener, SHUT_RD));
        w.note("accept", waiting.join().expect("no panic"));
    });
    Ok(())
}

fn shutdown_wakes_a_sender(w: &World) -> Result<()> {
    let (ours, _theirs) = w.pair()?;
    crate::calls::fill(&ours)?;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| send(&ours, "x"));
        thread::sleep(MOMENT);
        w.note("shutdown", ioth::shutdown(&ours, SHUT_RDWR));
        w.note("send", waiting.join().expect("no panic"));
    });
    Ok(())
}

fn two_accept_on_one_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let clients: Vec<_> = (0..6).map(|_| w.stream()).collect::<Result<_>>()?;
    thread::scope(|scope| -> Result<()> {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..3 {
                    if let Ok((theirs, _)) = ioth::accept4(&listener, SOCK_CLOEXEC) {
                        let _ = send(&theirs, "served");
                    }
                }
            });
        }
        for client in &clients {
            w.note("connect", ioth::connect(client, &w.at()));
        }
        for client in &clients {
            w.note("recv", recv(client, 10, 0));
            w.note("end", recv(client, 10, 0));
        }
        Ok(())
    })
}

fn twenty_connections_at_once(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let good = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                let Ok((theirs, _)) = ioth::accept4(&listener, SOCK_CLOEXEC) else { return };
                scope.spawn(move || {
                    let mut room = [0; 1000];
                    while let Ok(got @ 1..) = ioth::recv(&theirs, &mut room, 0) {
                        let _ = send(&theirs, &room[..got]);
                    }
                });
            }
        });
        for number in 0..20_u8 {
            let good = &good;
            scope.spawn(move || -> Result<()> {
                let ours = w.stream()?;
                ioth::connect(&ours, &w.at())?;
                for turn in 0..20 {
                    let word = vec![number.wrapping_add(turn); 1 + usize::from(turn) * 40];
                    send(&ours, &word)?;
                    ensure!(recv_exactly(&ours, word.len())? == word);
                }
                good.fetch_add(1, Relaxed);
                Ok(())
            });
        }
    });
    w.note("good", good.load(Relaxed));
    Ok(())
}

fn a_receiver_and_a_sender(w: &World) -> Result<()> {
    const TOTAL: u64 = 1_000_000;
    let (ours, theirs) = w.pair()?;
    thread::scope(|scope| {
        for (from, name) in [(&ours, "ours"), (&theirs, "theirs")] {
            scope.spawn(move || {
                let _ = send(from, pattern::stream(TOTAL));
                let _ = ioth::shutdown(from, ioth::SHUT_WR);
                name
            });
        }
        let other = scope.spawn(|| drain(&theirs).0 == pattern::stream(TOTAL));
        w.note("ours", drain(&ours).0 == pattern::stream(TOTAL));
        w.note("theirs", other.join().expect("no panic"));
    });
    Ok(())
}

fn a_waiting_datagram_receiver(w: &World) -> Result<()> {
    let theirs = w.datagram_server()?;
    let ours = w.datagram(&w.client)?;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| recv(&theirs, 10, 0));
        thread::sleep(MOMENT);
        w.note("sendto", ioth::sendto(&ours, b"word", 0, &w.at()));
        w.note("recv", waiting.join().expect("no panic"));
    });
    Ok(())
}

fn a_word_wakes_who_waits_long(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let pairs = [w.pair_of(&listener)?, w.pair_of(&listener)?, w.pair_of(&listener)?];
    thread::scope(|scope| {
        let waiting: Vec<_> =
            pairs.iter().map(|(_, theirs)| scope.spawn(move || recv(theirs, 10, 0))).collect();
        // Long enough for whoever runs a stack to have gone to sleep over it.
        thread::sleep(Duration::from_millis(300));
        for ((ours, _), waiting) in pairs.iter().zip(waiting) {
            w.note("send", send(ours, "word"));
            w.note("recv", waiting.join().expect("no panic"));
        }
    });
    Ok(())
}

/// How many descriptors the process has open.
fn open_descriptors() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

fn no_descriptor_is_left(w: &World) -> Result<()> {
    let round = || -> Result<()> {
        let listener = w.listener()?;
        for turn in 0..10 {
            let (ours, theirs) = w.pair_of(&listener)?;
            send(&ours, "word")?;
            match turn % 4 {
                0 => drop(recv(&theirs, 10, 0)),
                1 => ioth::close(theirs)?,
                2 => ioth::shutdown(&ours, SHUT_RDWR)?,
                _ => ioth::setsockopt(&ours, ioth::SOL_SOCKET, ioth::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0])?,
            }
        }
        let refused = w.stream()?;
        let mut to = w.at();
        to.set_port(w.port + 1);
        ensure!(ioth::connect(&refused, &to).is_err());
        let (one, two) = (w.datagram_server()?, w.datagram(&w.client)?);
        ioth::sendto(&two, b"x", 0, &w.at())?;
        // These at once: the next round wants the addresses.
        ioth::close(one)?;
        ioth::close(listener)?;
        Ok(())
    };
    round()?;
    let settled = |least: usize| -> Result<usize> {
        let end = std::time::Instant::now() + crate::world::SOON;
        let mut open = open_descriptors()?;
        while open > least && std::time::Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
            open = open_descriptors()?;
        }
        Ok(open)
    };
    // Another test may be about to start: it makes its networks, and then waits for this one.
    let mut before = open_descriptors()?;
    loop {
        thread::sleep(10 * MOMENT);
        let now = open_descriptors()?;
        if std::mem::replace(&mut before, now) == now {
            break;
        }
    }
    for _ in 0..3 {
        round()?;
    }
    let after = settled(before)?;
    w.note("more than before", after.saturating_sub(before));
    Ok(())
}
