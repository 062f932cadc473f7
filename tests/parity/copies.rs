//! Copies of descriptors: dup, dup2 and fork.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Result, ensure};
use ioth::{MSG_DONTWAIT, SO_REUSEADDR, SOCK_CLOEXEC, SOL_SOCKET};
use ioth_tests::netns::Test;

use crate::calls::{ERR, HUP, IN, NOTHING, RDHUP, option, plain_read, plain_send, recv, send};
use crate::world::World;
use ioth_tests::child::Child;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = crate::behaviours![
        a_copy_is_the_same_socket,
        close_of_one_copy,
        close_of_the_last_copy,
        shutdown_through_a_copy,
        options_through_a_copy,
        a_copy_over_another_descriptor,
        a_copy_over_another_connection,
        a_copy_of_a_listener,
    ];
    tests.extend(crate::behaviours![alone:
        a_child_echoes,
        a_child_echoes_plainly,
        a_child_accepts,
        children_share_a_listener,
        the_end_comes_with_the_last_copy,
        the_childs_end_is_not_the_last,
        a_child_shuts_down,
        a_child_sees_a_reset,
        a_child_asks_for_names,
        a_child_uses_datagrams,
        parent_and_child_send,
    ]);
    tests
}

fn copy(fd: &OwnedFd) -> Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 0)?)
}

fn a_copy_is_the_same_socket(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let other = copy(&ours)?;
    w.note("send", send(&ours, "one "));
    w.note("through the copy", send(&other, "two "));
    w.note("plainly", plain_send(&other, "three"));
    w.note("recv", recv(&theirs, 13, ioth::MSG_WAITALL));
    send(&theirs, "answer")?;
    w.note("a part", recv(&other, 2, 0));
    w.note("the rest", recv(&ours, 10, 0));
    w.note("same names", ioth::getsockname(&ours)? == ioth::getsockname(&other)?);
    Ok(())
}

fn close_of_one_copy(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let other = copy(&ours)?;
    w.note("close", ioth::close(ours));
    w.poll("no end", &theirs, NOTHING);
    w.note("send", send(&other, "still here"));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("nothing more", recv(&theirs, 20, MSG_DONTWAIT));
    Ok(())
}

fn close_of_the_last_copy(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let (second, third) = (copy(&ours)?, copy(&ours)?);
    ioth::close(ours)?;
    drop(second);
    w.poll("no end", &theirs, NOTHING);
    ioth::close(third)?;
    w.poll("the end", &theirs, IN | RDHUP);
    Ok(())
}

fn shutdown_through_a_copy(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let other = copy(&ours)?;
    w.note("shutdown", ioth::shutdown(&other, ioth::SHUT_WR));
    w.note("send", send(&ours, "x"));
    w.poll("told", &theirs, IN | RDHUP);
    Ok(())
}

fn options_through_a_copy(w: &World) -> Result<()> {
    let fd = w.stream()?;
    let other = copy(&fd)?;
    ioth::setsockopt_int(&fd, SOL_SOCKET, SO_REUSEADDR, 1)?;
    w.note("option", option(&other, SOL_SOCKET, SO_REUSEADDR));
    ioth::set_nonblocking(&fd, true)?;
    let flags = rustix::fs::fcntl_getfl(&other)?;
    w.note("the flags are shared", flags.contains(rustix::fs::OFlags::NONBLOCK));
    Ok(())
}

fn a_copy_over_another_descriptor(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let (mut target, _writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::dup2(&ours, &mut target)?;
    w.note("send", send(&target, "through it"));
    w.note("recv", recv(&theirs, 20, 0));
    ioth::close(ours)?;
    w.poll("no end", &theirs, NOTHING);
    ioth::close(target)?;
    w.poll("the end", &theirs, IN | RDHUP);
    Ok(())
}

fn a_copy_over_another_connection(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (ours, theirs) = w.pair_of(&listener)?;
    let (mut second, peer) = w.pair_of(&listener)?;
    rustix::io::dup2(&ours, &mut second)?;
    w.poll("it closed the other", &peer, IN | RDHUP);
    w.note("send", send(&second, "the first"));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("the name", ioth::getsockname(&second)? == ioth::getsockname(&ours)?);
    Ok(())
}

fn a_copy_of_a_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let other = copy(&listener)?;
    ioth::close(listener)?;
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("accept", ioth::accept4(&other, SOCK_CLOEXEC));
    ioth::close(other)?;
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    Ok(())
}

fn a_child_echoes(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let child = Child::start(|| {
        let mut room = [0; 100];
        while let Ok(got @ 1..) = ioth::recv(&theirs, &mut room, 0) {
            if send(&theirs, &room[..got]).is_err() {
                return false;
            }
        }
        true
    })?;
    drop(theirs);
    for turn in 0..5 {
        w.note("send", send(&ours, format!("turn {turn}")));
        w.note("recv", recv(&ours, 100, 0));
    }
    w.note("shutdown", ioth::shutdown(&ours, ioth::SHUT_WR));
    // The child holds a copy of this end, too.
    w.note("good", child.wait()?);
    w.note("the end", recv(&ours, 100, 0));
    Ok(())
}

fn a_child_echoes_plainly(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let child = Child::start(|| {
        let mut room = [0; 100];
        while let Ok(got @ 1..) = rustix::io::read(&theirs, &mut room) {
            if rustix::io::write(&theirs, &room[..got]) != Ok(got) {
                return false;
            }
        }
        true
    })?;
    drop(theirs);
    for turn in 0..5 {
        w.note("send", plain_send(&ours, format!("turn {turn}")));
        w.note("recv", plain_read(&ours, 100));
    }
    w.note("shutdown", ioth::shutdown(&ours, ioth::SHUT_WR));
    w.note("good", child.wait()?);
    w.note("the end", recv(&ours, 100, 0));
    Ok(())
}

fn a_child_accepts(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let child = Child::start(|| {
        let Ok((theirs, _)) = ioth::accept4(&listener, SOCK_CLOEXEC) else { return false };
        let mut room = [0; 100];
        let Ok(got) = ioth::recv(&theirs, &mut room, 0) else { return false };
        send(&theirs, &room[..got]).is_ok() && ioth::close(theirs).is_ok()
    })?;
    let ours = w.stream()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("send", send(&ours, "for the child"));
    w.note("recv", recv(&ours, 100, 0));
    w.note("end", recv(&ours, 100, 0));
    w.note("good", child.wait()?);
    Ok(())
}

fn children_share_a_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let serve = || {
        (0..4).all(|_| {
            let Ok((theirs, _)) = ioth::accept4(&listener, SOCK_CLOEXEC) else { return false };
            send(&theirs, "served").is_ok()
        })
    };
    let children = [Child::start(serve)?, Child::start(serve)?];
    let clients: Vec<_> = (0..8).map(|_| w.stream()).collect::<Result<_>>()?;
    for client in &clients {
        ioth::connect(client, &w.at())?;
    }
    for client in &clients {
        w.note("recv", recv(client, 10, 0));
        w.note("end", recv(client, 10, 0));
    }
    for child in children {
        w.note("good", child.wait()?);
    }
    Ok(())
}

/// A child that holds its copies until it is told by the pipe.
fn holder() -> Result<(Child, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let child = Child::start(|| matches!(rustix::io::read(&reader, &mut [0; 1]), Ok(1)))?;
    Ok((child, writer))
}

fn the_end_comes_with_the_last_copy(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let (child, tell) = holder()?;
    w.note("close", ioth::close(ours));
    w.poll("no end", &theirs, NOTHING);
    rustix::io::write(&tell, b"x")?;
    w.note("good", child.wait()?);
    w.poll("the end", &theirs, IN | RDHUP);
    Ok(())
}

fn the_childs_end_is_not_the_last(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let child = Child::start(|| true)?;
    w.note("good", child.wait()?);
    w.poll("no end", &theirs, NOTHING);
    w.note("send", send(&ours, "still here"));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("close", ioth::close(ours));
    w.poll("the end", &theirs, IN | RDHUP);
    Ok(())
}

fn a_child_shuts_down(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let child = Child::start(|| ioth::shutdown(&ours, ioth::SHUT_WR).is_ok())?;
    w.note("good", child.wait()?);
    w.poll("told", &theirs, IN | RDHUP);
    w.note("send", send(&ours, "x"));
    w.note("answer", send(&theirs, "answer"));
    w.note("recv", recv(&ours, 10, 0));
    Ok(())
}

fn a_child_sees_a_reset(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    ioth::setsockopt(&ours, SOL_SOCKET, ioth::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0])?;
    ioth::close(ours)?;
    w.settle(&theirs, IN | ERR | HUP);
    let child = Child::start(|| {
        let first = ioth::recv(&theirs, &mut [0; 10], 0).map_err(|error| error.kind());
        first == Err(std::io::ErrorKind::ConnectionReset)
            && ioth::recv(&theirs, &mut [0; 10], 0).is_ok_and(|got| got == 0)
    })?;
    w.note("good", child.wait()?);
    Ok(())
}

fn a_child_asks_for_names(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (ours, theirs) = w.pair_of(&listener)?;
    let names = (ioth::getsockname(&theirs)?, ioth::getpeername(&theirs)?);
    let child = Child::start(|| {
        let same = ioth::getsockname(&theirs).ok() == Some(names.0)
            && ioth::getpeername(&theirs).ok() == Some(names.1);
        same && ioth::getsockname(&listener).is_ok_and(|name| name == names.0)
            && option(&listener, SOL_SOCKET, ioth::SO_ACCEPTCONN).is_ok_and(|on| on == 1)
            && option(&theirs, SOL_SOCKET, ioth::SO_TYPE).is_ok_and(|kind| kind == ioth::SOCK_STREAM)
    })?;
    w.note("good", child.wait()?);
    drop(ours);
    Ok(())
}

fn a_child_uses_datagrams(w: &World) -> Result<()> {
    let server = w.datagram_server()?;
    let child = Child::start(|| {
        let mut room = [0; 100];
        let Ok((got, Some(from))) = ioth::recvfrom(&server, &mut room, 0) else { return false };
        ioth::sendto(&server, &room[..got], 0, &from).is_ok_and(|sent| sent == got)
    })?;
    let ours = w.datagram(&w.client)?;
    crate::calls::patient(&ours)?;
    w.note("sendto", ioth::sendto(&ours, b"for the child", 0, &w.at()));
    w.note("recv", recv(&ours, 100, 0));
    w.note("good", child.wait()?);
    Ok(())
}

fn parent_and_child_send(w: &World) -> Result<()> {
    const EACH: usize = 200_000;
    let (ours, theirs) = w.pair()?;
    let write = |byte: u8| {
        let mut left = EACH;
        while left > 0 {
            match send(&ours, vec![byte; left.min(5000)]) {
                Ok(sent) => left -= sent,
                Err(_) => return false,
            }
        }
        true
    };
    let child = Child::start(|| write(b'c'))?;
    std::thread::scope(|scope| -> Result<()> {
        let parent = scope.spawn(|| write(b'p'));
        let all = crate::calls::recv_exactly(theirs.as_fd(), 2 * EACH)?;
        ensure!(parent.join().expect("no panic"), "the parent could not send");
        w.note("the child's", all.iter().filter(|byte| **byte == b'c').count());
        w.note("the parent's", all.iter().filter(|byte| **byte == b'p').count());
        Ok(())
    })?;
    w.note("good", child.wait()?);
    Ok(())
}
