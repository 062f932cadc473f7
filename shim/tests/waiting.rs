//! Where bytes are while the library's waits report them: in the ring for who receives through the library, in the pair
//! for everybody else.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ioth::{
    AF_INET, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLIN, EPOLLONESHOT, POLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK,
    SOCK_STREAM, Stack, epoll_event, pollfd,
};

/// A connection between two stacks, and the stacks.
fn connection(name: &str) -> (OwnedFd, OwnedFd, [Stack; 2]) {
    let red = Stack::new(&format!("switch://{name}"), "ip=10.0.0.1/24").expect("a stack");
    let blue = Stack::new(&format!("switch://{name}"), "ip=10.0.0.2/24").expect("a stack");
    let listener = ioth::msocket(&red, AF_INET, SOCK_STREAM, 0).expect("a socket");
    let at = "10.0.0.1:7".parse().expect("an address");
    ioth::bind(&listener, &at).expect("a free address");
    ioth::listen(&listener, 1).expect("a listener");
    let ours = ioth::msocket(&blue, AF_INET, SOCK_STREAM, 0).expect("a socket");
    ioth::connect(&ours, &at).expect("a connection");
    let (theirs, _) = ioth::accept4(&listener, SOCK_CLOEXEC | SOCK_NONBLOCK).expect("a connection");
    (ours, theirs, [red, blue])
}

/// Bytes in the pair, for plain calls.
fn in_pair(fd: &OwnedFd) -> u64 {
    rustix::io::ioctl_fionread(fd).expect("a socket")
}

fn receive(fd: &OwnedFd) -> usize {
    ioth::recv(fd, &mut [0; 100], 0).expect("something to receive")
}

fn epoll_of(fd: impl AsFd, events: i32) -> OwnedFd {
    let epoll = ioth::epoll_create1(EPOLL_CLOEXEC).expect("an epoll");
    let mut event = epoll_event { events: events.cast_unsigned(), u64: 7 };
    ioth::epoll_ctl(&epoll, EPOLL_CTL_ADD, fd, Some(&mut event)).expect("it is added");
    epoll
}

fn wait(epoll: &OwnedFd) -> usize {
    let mut events = [epoll_event { events: 0, u64: 0 }; 4];
    ioth::epoll_wait(epoll, &mut events, 5000).expect("no signal")
}

#[test]
fn what_an_epoll_reports_stays_in_the_ring_until_nobody_takes_it() {
    let (ours, theirs, _stacks) = connection("waiting-epoll");
    let epoll = epoll_of(&theirs, EPOLLIN);
    ioth::send(&ours, b"first", 0).expect("room");
    assert_eq!((wait(&epoll), receive(&theirs)), (1, 5));
    // From here on the reader is known.
    for _ in 0..20 {
        ioth::send(&ours, b"again", 0).expect("room");
        assert_eq!((wait(&epoll), in_pair(&theirs), receive(&theirs)), (1, 0, 5));
    }
    ioth::send(&ours, b"left", 0).expect("room");
    assert_eq!((wait(&epoll), in_pair(&theirs)), (1, 0));
    assert_eq!((wait(&epoll), in_pair(&theirs)), (1, 4));
    assert_eq!(receive(&theirs), 4);
    // It is a plain one now.
    ioth::send(&ours, b"plain", 0).expect("room");
    assert_eq!((wait(&epoll), in_pair(&theirs), receive(&theirs)), (1, 5, 5));
}

#[test]
fn what_a_poll_reports_stays_in_the_ring_until_nobody_takes_it() {
    let (ours, theirs, _stacks) = connection("waiting-poll");
    let poll = || {
        let mut fds = [pollfd { fd: theirs.as_raw_fd(), events: POLLIN, revents: 0 }];
        ioth::poll(&mut fds, 5000).expect("no signal")
    };
    ioth::send(&ours, b"first", 0).expect("room");
    assert_eq!((poll(), receive(&theirs)), (1, 5));
    for _ in 0..20 {
        ioth::send(&ours, b"again", 0).expect("room");
        assert_eq!((poll(), in_pair(&theirs), receive(&theirs)), (1, 0, 5));
    }
    ioth::send(&ours, b"left", 0).expect("room");
    assert_eq!((poll(), in_pair(&theirs)), (1, 0));
    assert_eq!((poll(), in_pair(&theirs)), (1, 4));
}

#[test]
fn what_must_be_told_once_goes_through_the_pair() {
    let (ours, theirs, _stacks) = connection("waiting-once");
    let epoll = epoll_of(&theirs, EPOLLIN | EPOLLONESHOT);
    for _ in 0..3 {
        ioth::send(&ours, b"once", 0).expect("room");
        assert_eq!((wait(&epoll), in_pair(&theirs), receive(&theirs)), (1, 4, 4));
        let mut event = epoll_event { events: (EPOLLIN | EPOLLONESHOT).cast_unsigned(), u64: 7 };
        ioth::epoll_ctl(&epoll, ioth::EPOLL_CTL_MOD, &theirs, Some(&mut event)).expect("it is there");
    }
}

#[test]
fn who_waits_by_a_plain_call_sees_it_too() {
    let (ours, theirs, _stacks) = connection("waiting-plain");
    let epoll = epoll_of(&theirs, EPOLLIN);
    for _ in 0..3 {
        ioth::send(&ours, b"word", 0).expect("room");
        assert_eq!((wait(&epoll), receive(&theirs)), (1, 4));
    }
    ioth::send(&ours, b"word", 0).expect("room");
    let mut fds = [rustix::event::PollFd::new(&theirs, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&limit)), Ok(1));
}
