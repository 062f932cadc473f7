//! What a descriptor is to the system: its flags, its copies, its owner; and what a connection tells of itself.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;
use ioth::{AF_INET, AF_UNIX, IPPROTO_TCP, SOCK_DGRAM, SOCK_STREAM, TCP_INFO};
use ioth_tests::netns::Test;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};

use crate::calls::{patient, recv, recv_exactly, send};
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        status_flags,
        flags_of_a_descriptor,
        copies_by_dup2_and_dup3,
        a_copy_by_fcntl,
        pairs_of_the_system,
        what_a_connection_tells,
        states_of_a_connection,
    ]
}

fn shown(flags: OFlags) -> i32 {
    (flags & (OFlags::NONBLOCK | OFlags::APPEND | OFlags::RWMODE)).bits().cast_signed()
}

fn status_flags(w: &World) -> Result<()> {
    let (ours, _theirs) = w.pair()?;
    for fd in [&ours, &w.stream()?, &w.datagram(&w.client)?] {
        w.note("at first", fcntl_getfl(fd).map(shown));
        w.note("set", fcntl_setfl(fd, OFlags::NONBLOCK));
        w.note("shows", fcntl_getfl(fd).map(shown));
    }
    w.note("does not wait", recv(&ours, 10, 0));
    w.note("taken back", fcntl_setfl(&ours, OFlags::empty()));
    w.note("shows", fcntl_getfl(&ours).map(shown));
    Ok(())
}

fn flags_of_a_descriptor(w: &World) -> Result<()> {
    let fd = w.client.socket(w.domain(), SOCK_STREAM, 0)?;
    w.note("at first", fcntl_getfd(&fd).map(|flags| flags.contains(FdFlags::CLOEXEC)).unwrap_or(true));
    w.note("set", fcntl_setfd(&fd, FdFlags::CLOEXEC));
    w.note("shows", fcntl_getfd(&fd).map(|flags| flags.contains(FdFlags::CLOEXEC)).unwrap_or(false));
    Ok(())
}

fn copies_by_dup2_and_dup3(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    let mut second: OwnedFd = rustix::fs::memfd_create("parity", rustix::fs::MemfdFlags::CLOEXEC)?;
    w.note("dup2", rustix::io::dup2(&ours, &mut second));
    w.note("send", send(&second, "two"));
    let mut third: OwnedFd = rustix::fs::memfd_create("parity", rustix::fs::MemfdFlags::CLOEXEC)?;
    w.note("dup3", rustix::io::dup3(&ours, &mut third, rustix::io::DupFlags::CLOEXEC));
    ioth::close(ours)?;
    ioth::close(second)?;
    w.note("send", send(&third, "three"));
    w.note("recv", recv_exactly(&theirs, 8).is_ok());
    ioth::close(third)?;
    w.note("end", recv(&theirs, 10, 0));
    Ok(())
}

fn a_copy_by_fcntl(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    let copy = fcntl_dupfd_cloexec(ours.as_fd(), 100)?;
    w.note("high", std::os::fd::AsRawFd::as_raw_fd(&copy) >= 100);
    drop(ours);
    w.note("send", send(&copy, "word"));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("peer", ioth::getpeername(&copy));
    Ok(())
}

fn pairs_of_the_system(w: &World) -> Result<()> {
    let (one, other) = ioth::socketpair(AF_UNIX, SOCK_STREAM, 0)?;
    w.note("send", send(&one, "word"));
    w.note("recv", recv(&other, 10, 0));
    w.note("of the Internet", ioth::socketpair(AF_INET, SOCK_DGRAM, 0).map(drop));
    Ok(())
}

/// A field of four bytes of TCP_INFO.
fn field(fd: &OwnedFd, at: usize) -> std::io::Result<u32> {
    let mut info = [0; 232];
    ioth::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &mut info)?;
    Ok(u32::from_ne_bytes(*info[at..].first_chunk().expect("4 bytes")))
}

fn what_a_connection_tells(w: &World) -> Result<()> {
    /// Offsets in `struct tcp_info`.
    const UNACKED: usize = 24;
    const PMTU: usize = 60;
    const RTT: usize = 68;
    const BYTES_ACKED: usize = 120;
    const BYTES_RECEIVED: usize = 128;
    const NOTSENT: usize = 144;
    let (ours, theirs) = w.pair()?;
    send(&ours, [7; 10_000])?;
    recv_exactly(&theirs, 10_000)?;
    while field(&ours, UNACKED)? > 0 {
        std::thread::yield_now();
    }
    w.note("not sent", field(&ours, NOTSENT));
    w.note("acknowledged", field(&ours, BYTES_ACKED)? >= 10_000);
    w.note("received", field(&theirs, BYTES_RECEIVED));
    w.note("a round trip", field(&ours, RTT)? > 0);
    w.note("the path", field(&ours, PMTU)? >= 1500);
    Ok(())
}

fn states_of_a_connection(w: &World) -> Result<()> {
    let state = |fd: &OwnedFd| -> std::io::Result<i32> {
        let mut state = [0];
        ioth::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &mut state)?;
        Ok(state[0].into())
    };
    let listener = w.listener()?;
    w.note("fresh", state(&w.stream()?));
    w.note("listener", state(&listener));
    let (ours, theirs) = w.pair_of(&listener)?;
    w.note("connected", (state(&ours), state(&theirs)));
    ioth::shutdown(&ours, ioth::SHUT_WR)?;
    w.note("the end", recv(&theirs, 10, 0));
    w.note("it waits to close", state(&theirs));
    while state(&ours)? == 4 {
        std::thread::yield_now();
    }
    w.note("it has closed", state(&ours));
    Ok(())
}
