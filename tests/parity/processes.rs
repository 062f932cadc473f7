//! Processes that are made at any moment: workers on one listener, children of children, many in a row, other programs.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use anyhow::{Context, Result, ensure};
use ioth::{SHUT_WR, SOCK_CLOEXEC};
use ioth_tests::child::Child;
use ioth_tests::netns::Test;
use ioth_tests::pattern;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::calls::{drain, recv, recv_exactly, send, text};
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![alone:
        four_workers_on_one_listener,
        a_worker_and_the_parent,
        a_child_of_a_child,
        forks_while_data_flows,
        programs_while_data_flows,
        a_program_that_inherits,
        a_program_that_is_handed_a_socket,
        messages_of_a_child,
    ]
}

fn copy(fd: &OwnedFd) -> Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 0)?)
}

fn four_workers_on_one_listener(w: &World) -> Result<()> {
    const EACH: usize = 10;
    let listener = w.listener()?;
    let workers = (0..4_u8)
        .map(|number| {
            let listener = &listener;
            Child::start(move || {
                (0..EACH).all(|_| {
                    let Ok((theirs, _)) = ioth::accept4(listener, SOCK_CLOEXEC) else { return false };
                    send(&theirs, [number]).is_ok()
                })
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut served = [0; 4];
    for _ in 0..4 * EACH {
        let client = w.stream()?;
        ioth::connect(&client, &w.at())?;
        served[usize::from(recv_exactly(&client, 1)?[0])] += 1;
        ensure!(drain(&client).0.is_empty(), "two workers had one connection");
    }
    w.note("each", served.to_vec());
    for worker in workers {
        w.note("good", worker.wait()?);
    }
    // The parent's own is as it was.
    let (ours, theirs) = w.pair_of(&listener)?;
    w.note("send", send(&ours, "word"));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn a_worker_and_the_parent(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let worker = Child::start(|| {
        (0..10).all(|_| ioth::accept4(&listener, SOCK_CLOEXEC).is_ok_and(|(fd, _)| send(&fd, "x").is_ok()))
    })?;
    let all = thread::scope(|scope| {
        let own = scope.spawn(|| {
            (0..10)
                .all(|_| ioth::accept4(&listener, SOCK_CLOEXEC).is_ok_and(|(fd, _)| send(&fd, "x").is_ok()))
        });
        for _ in 0..20 {
            let client = w.stream()?;
            ioth::connect(&client, &w.at())?;
            ensure!(drain(&client).0 == b"x");
        }
        Ok(own.join().expect("no panic"))
    })?;
    w.note("the parent", all);
    w.note("the worker", worker.wait()?);
    Ok(())
}

fn a_child_of_a_child(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let child = Child::start(|| {
        // It ends at once; its own child goes on.
        Child::start(|| {
            let Ok(word) = recv_exactly(&theirs, 4) else { return false };
            send(&theirs, word).is_ok()
        })
        .is_ok()
    })?;
    w.note("the child", child.wait()?);
    ioth::close(theirs)?;
    w.note("send", send(&ours, "word"));
    w.note("recv", recv(&ours, 10, 0));
    w.note("end", recv(&ours, 10, 0));
    Ok(())
}

/// Sends a stream from one end to the other, there and back, while something goes on; says whether all of it came.
fn while_data_flows(w: &World, act: impl FnOnce() -> Result<()>) -> Result<bool> {
    const PIECE: u64 = 300_000;
    let (ours, theirs) = w.pair()?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let flows = scope.spawn(|| {
            let piece = pattern::stream(PIECE);
            let mut good = true;
            loop {
                good &= thread::scope(|scope| {
                    let sent = scope.spawn(|| send(&ours, &piece).is_ok_and(|sent| sent == piece.len()));
                    recv_exactly(&theirs, piece.len()).is_ok_and(|got| got == piece)
                        && sent.join().expect("no panic")
                });
                good &= send(&theirs, "answer").is_ok() && recv_exactly(&ours, 6).is_ok();
                if done.load(Relaxed) || !good {
                    return good;
                }
            }
        });
        let result = act();
        done.store(true, Relaxed);
        let good = flows.join().expect("no panic");
        result.map(|()| good)
    })
}

fn forks_while_data_flows(w: &World) -> Result<()> {
    let listener = w.listener_beside()?;
    let at = ioth::getsockname(&listener)?;
    let mut to = w.at();
    to.set_port(at.port());
    let forks = || {
        for _ in 0..30 {
            let ours = w.stream()?;
            ioth::connect(&ours, &to)?;
            let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC)?;
            let child = Child::start(|| {
                let Ok(word) = recv_exactly(&theirs, 4) else { return false };
                send(&theirs, word).is_ok()
            })?;
            // Closed here, it is open there.
            ioth::close(theirs)?;
            send(&ours, "word")?;
            ensure!(drain(&ours).0 == b"word" && child.wait()?);
        }
        Ok(())
    };
    w.note("all of it came", while_data_flows(w, forks)?);
    Ok(())
}

fn programs_while_data_flows(w: &World) -> Result<()> {
    let programs = || {
        for _ in 0..20 {
            ensure!(Command::new("true").status()?.success());
        }
        Ok(())
    };
    w.note("all of it came", while_data_flows(w, programs)?);
    Ok(())
}

fn a_program_that_inherits(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let output = copy(&theirs)?;
    let mut cat = Command::new("cat").stdin(Stdio::from(theirs)).stdout(Stdio::from(output)).spawn()?;
    thread::scope(|scope| -> Result<()> {
        let (sent, ours) = (copy(&ours)?, &ours);
        scope.spawn(move || {
            let _ = send(&sent, pattern::stream(500_000));
            ioth::shutdown(&sent, SHUT_WR)
        });
        w.note("back", drain(ours).0 == pattern::stream(500_000));
        Ok(())
    })?;
    w.note("good", cat.wait()?.success());
    Ok(())
}

fn a_program_that_is_handed_a_socket(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let (here, there) = std::os::unix::net::UnixStream::pair()?;
    let mut program =
        Command::new(env!("CARGO_BIN_EXE_echoer")).stdin(Stdio::from(OwnedFd::from(there))).spawn()?;
    let rights = [theirs.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&rights));
    rustix::net::sendmsg(&here, &[IoSlice::new(b"!")], &mut control, SendFlags::empty())?;
    ioth::close(theirs)?;
    w.note("send", send(&ours, "word"));
    w.note("recv", recv(&ours, 10, 0));
    w.note("shutdown", ioth::shutdown(&ours, SHUT_WR));
    w.note("end", recv(&ours, 10, 0));
    w.note("good", program.wait().context("the program")?.success());
    Ok(())
}

/// sendmsg and recvmsg with several parts.
fn answer_in_parts(fd: &OwnedFd) -> std::io::Result<String> {
    let (mut one, mut two) = ([0; 3], [0; 7]);
    let message = ioth::recvmsg(fd, &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)], 0)?;
    let shown = format!("{} {} {}", message.len, text(&one), text(&two[..message.len.saturating_sub(3)]));
    let parts = [IoSlice::new(&one), IoSlice::new(b" and "), IoSlice::new(shown.as_bytes())];
    ioth::sendmsg(fd, &parts, &[], ioth::MSG_NOSIGNAL, message.from.as_ref())?;
    Ok(shown)
}

fn messages_of_a_child(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let child = Child::start(|| answer_in_parts(&theirs).is_ok())?;
    w.note("send", send(&ours, "message"));
    w.note("recv", recv(&ours, 40, 0));
    w.note("good", child.wait()?);
    let (one, two) = (w.datagram(&w.client)?, w.datagram_server()?);
    let child = Child::start(|| answer_in_parts(&two).is_ok())?;
    w.note("sendto", ioth::sendto(&one, b"datagram", 0, &w.at()));
    w.note("recv", recv(&one, 40, 0));
    w.note("good", child.wait()?);
    Ok(())
}
