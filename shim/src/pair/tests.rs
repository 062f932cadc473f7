//! The mechanics of a pair beside a kernel TCP connection on the loopback interface.

use super::*;
use crate::option::Settings;
use crate::state::Shared;
use crate::table::{self, Found};
use ioth_stack::{Family, Options};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// A connection of the kernel: this side and the peer's.
fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let ours = TcpStream::connect(listener.local_addr().expect("bound")).expect("a listener");
    (ours, listener.accept().expect("a connection").0)
}

fn stream() -> (UnixStream, OwnedFd) {
    let pair = Pair::new(Kind::Stream, false).expect("descriptors");
    (UnixStream::from(pair.application), pair.engine)
}

/// What poll(2) shows, after the loopback interface had time.
fn bits(fd: impl AsFd) -> PollFlags {
    std::thread::sleep(Duration::from_millis(20));
    let mut fds = [PollFd::new(&fd, PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP)];
    poll(&mut fds, Some(&Timespec::default())).expect("poll");
    fds[0].revents()
}

/// Everything that receiving gives until the end: bytes, or an errno.
fn drain(mut stream: impl Read) -> Vec<Result<usize, Option<i32>>> {
    let mut all = Vec::new();
    loop {
        let got = stream.read(&mut [0; 64]).map_err(|error| error.raw_os_error());
        all.push(got);
        if got == Ok(0) {
            return all;
        }
    }
}

fn shared(pair: &Pair, end: OwnedFd) -> Shared {
    Shared::new(Kind::Stream, Family::V4, pair.cookie, Settings::new(&Options::default()), Arc::new(end))
}

#[test]
fn the_engine_leaves_one_byte_and_loses_none() {
    let (mut application, end) = stream();
    assert_eq!(written(end.as_fd()), 0);
    let mut room = [0; 4];
    let mut all = Vec::new();
    for piece in [&b"a"[..], b"bcdefg", b"hi"] {
        application.write_all(piece).expect("room");
        loop {
            let new = written(end.as_fd());
            let taken = take(end.as_fd(), new, &mut room).len;
            all.extend_from_slice(&room[..taken]);
            if new == 0 {
                break;
            }
        }
    }
    assert_eq!(all, b"abcdefghi");
    assert_eq!(rustix::io::ioctl_fionread(&end).expect("open"), 1);
}

#[test]
fn end_of_stream_looks_like_tcp() {
    let (ours, peer) = tcp();
    peer.shutdown(std::net::Shutdown::Write).expect("connected");
    let (application, end) = stream();
    end_of_stream(end.as_fd());
    assert_eq!(bits(&application), bits(&ours));
    assert_eq!(drain(&application), drain(&ours));
}

#[test]
fn both_ends_look_like_tcp() {
    let (ours, peer) = tcp();
    peer.shutdown(std::net::Shutdown::Write).expect("connected");
    ours.shutdown(std::net::Shutdown::Write).expect("connected");
    let (application, end) = stream();
    end_of_stream(end.as_fd());
    application.shutdown(std::net::Shutdown::Write).expect("connected");
    forget_sentinel(end.as_fd());
    drop(end);
    assert_eq!(bits(&application), bits(&ours));
    assert_eq!(drain(&application), drain(&ours));
}

#[test]
fn a_reset_looks_like_tcp() {
    let (mut ours, mut peer) = tcp();
    ours.write_all(b"unread").expect("room");
    peer.write_all(b"last words").expect("room");
    std::thread::sleep(Duration::from_millis(20));
    drop(peer);
    let (application, end) = stream();
    assert_eq!(give(end.as_fd(), b"last words"), Given::Bytes(10));
    drop(end);
    assert_eq!(bits(&application), bits(&ours));
    assert_eq!(drain(&application), drain(&ours));
}

#[test]
fn an_application_that_leaves_data_is_noticed() {
    let (application, end) = stream();
    assert_eq!(ended(end.as_fd()), (false, false));
    assert_eq!(give(end.as_fd(), b"unread"), Given::Bytes(6));
    drop(application);
    assert_eq!(ended(end.as_fd()), (true, true));
    assert!(left_unread(end.as_fd()));
    let (mut application, end) = stream();
    application.write_all(b"read").expect("room");
    drop(application);
    assert_eq!(ended(end.as_fd()), (true, true));
    assert!(!left_unread(end.as_fd()));
    assert_eq!(take(end.as_fd(), written(end.as_fd()), &mut [0; 9]).len, 4);
}

#[test]
fn a_datagram_pair_tells_of_a_close() {
    let pair = Pair::new(Kind::Datagram, false).expect("descriptors");
    assert_eq!(ended(pair.engine.as_fd()), (false, false));
    drop(pair.application);
    assert_eq!(ended(pair.engine.as_fd()), (true, true));
}

#[test]
fn writers_never_stall_on_the_sentinel() {
    let (application, end) = stream();
    application.set_nonblocking(true).expect("open");
    let mut room = vec![0; 64 * 1024];
    for _ in 0..64 {
        while (&application).write(&[7; 32 * 1024]).is_ok() {}
        while take(end.as_fd(), written(end.as_fd()), &mut room).len > 0 {}
        assert!(bits_now(&application).contains(PollFlags::OUT));
    }
}

fn bits_now(fd: impl AsFd) -> PollFlags {
    let mut fds = [PollFd::new(&fd, PollFlags::IN | PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default())).expect("poll");
    fds[0].revents()
}

#[test]
fn a_connecting_descriptor_shows_nothing_then_opens() {
    let pair = Pair::new(Kind::Stream, true).expect("descriptors");
    let end = pair.engine.try_clone().expect("descriptors");
    let shared = shared(&pair, end);
    crate::connecting::fill(pair.application.as_fd(), &shared).expect("fresh");
    assert_eq!(bits_now(&pair.application), PollFlags::empty());
    assert_eq!(send(&pair.application, b"x", SendFlags::DONTWAIT), Err(Errno::AGAIN));
    crate::connecting::open(&shared);
    assert_eq!(bits_now(&pair.application), PollFlags::OUT);
    assert_eq!(rustix::io::ioctl_fionread(&pair.engine).expect("open"), 1);
    send(&pair.application, b"data", SendFlags::DONTWAIT).expect("room");
    let mut room = [0; 9];
    assert_eq!(take(pair.engine.as_fd(), written(pair.engine.as_fd()), &mut room).len, 4);
    assert_eq!(&room[..4], b"data");
}

#[test]
fn a_refused_descriptor_looks_like_tcp() {
    let free = TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound");
    let refused =
        crate::socket(crate::AF_INET, crate::SOCK_STREAM | crate::SOCK_NONBLOCK, 0).expect("descriptors");
    let error = crate::connect(&refused, &free).expect_err("it does not wait");
    assert_eq!(error.raw_os_error(), Some(Errno::INPROGRESS.raw_os_error()));
    let pair = Pair::new(Kind::Stream, true).expect("descriptors");
    let shared = shared(&pair, pair.engine.try_clone().expect("descriptors"));
    crate::connecting::fill(pair.application.as_fd(), &shared).expect("fresh");
    drop(shared);
    drop(pair.engine);
    assert_eq!(bits(&pair.application), bits(&refused));
}

#[test]
fn a_cookie_names_a_socket_whatever_its_descriptor() {
    let pair = Pair::new(Kind::Stream, false).expect("descriptors");
    let copy = pair.application.try_clone().expect("descriptors");
    assert_eq!(sockopt::socket_cookie(&copy).expect("a socket"), pair.cookie);
    assert_ne!(sockopt::socket_cookie(&pair.engine).expect("a socket"), pair.cookie);
    assert!(matches!(table::find(copy.as_fd()), Ok(Found::Kernel)));
    let file = std::fs::File::open("/dev/null").expect("a file");
    let error = table::find(file.as_fd()).expect_err("no socket");
    assert_eq!(error.raw_os_error(), Some(Errno::NOTSOCK.raw_os_error()));
}
