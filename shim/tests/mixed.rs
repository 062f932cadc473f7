//! Library calls and plain kernel calls on the same descriptors, between two stacks of one process.

use ioth::net::{TcpListener, TcpStream, UdpSocket};
use ioth::{AF_INET, SO_ERROR, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, Stack};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

/// Two stacks, 10.0.0.1 and 10.0.0.2, on a switch of their own.
fn net(name: &str) -> (Stack, Stack) {
    let vnl = format!("switch://mixed-{name}");
    let stack = |config| Stack::new(&vnl, config).expect("a stack");
    (stack("ip=10.0.0.1/24"), stack("ip=10.0.0.2/24"))
}

/// A connection: the side of 10.0.0.2, then that of 10.0.0.1.
fn connection(red: &Stack, blue: &Stack) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(red, "10.0.0.1:7").expect("a free port");
    let ours = TcpStream::connect(blue, "10.0.0.1:7").expect("a listener");
    (ours, listener.accept().expect("a connection").0)
}

/// Waits for one of `events` and says what poll shows.
fn wait_for(fd: impl AsFd, events: PollFlags) -> PollFlags {
    let mut fds = [PollFd::new(&fd, events | PollFlags::RDHUP)];
    let timeout = Timespec::try_from(Duration::from_secs(5)).expect("short");
    poll(&mut fds, Some(&timeout)).expect("poll");
    fds[0].revents()
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn bytes_keep_their_order_across_both_paths() {
    let (red, blue) = net("order");
    let (ours, mut theirs) = connection(&red, &blue);
    const TOTAL: usize = 8 * 1024 * 1024;
    let writer = std::thread::spawn(move || {
        let mut at = 0;
        while at < TOTAL {
            let len = (at * 7919 % 30_000 + 1).min(TOTAL - at);
            let piece: Vec<u8> = (at..at + len).map(|place| (place % 251) as u8).collect();
            at += if at % 3 == 0 {
                rustix::io::write(&ours, &piece).expect("plain write")
            } else {
                ioth::send(&ours, &piece, 0).expect("library send")
            };
        }
    });
    let mut at = 0;
    let mut room = vec![0; 50_000];
    loop {
        let got = if at % 2 == 0 {
            rustix::io::read(&theirs, &mut room).expect("plain read")
        } else {
            theirs.read(&mut room).expect("library read")
        };
        if got == 0 {
            break;
        }
        for (place, byte) in room[..got].iter().enumerate() {
            assert_eq!(*byte, ((at + place) % 251) as u8, "at {}", at + place);
        }
        at += got;
    }
    assert_eq!(at, TOTAL);
    writer.join().expect("the writer ended well");
}

#[test]
fn poll_shows_what_the_library_would_give() {
    let (red, blue) = net("poll");
    let (mut ours, mut theirs) = connection(&red, &blue);
    assert_eq!(wait_for(&theirs, PollFlags::OUT), PollFlags::OUT);
    ours.write_all(b"word").expect("room");
    assert_eq!(wait_for(&theirs, PollFlags::IN), PollFlags::IN);
    assert_eq!(theirs.peek(&mut [0; 9]).expect("data"), 4);
    assert_eq!(theirs.read(&mut [0; 2]).expect("data"), 2);
    assert_eq!(wait_for(&theirs, PollFlags::IN), PollFlags::IN);
    assert_eq!(theirs.read(&mut [0; 9]).expect("data"), 2);
    ours.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(wait_for(&theirs, PollFlags::IN), PollFlags::IN | PollFlags::RDHUP);
    assert_eq!(theirs.read(&mut [0; 9]).expect("the end"), 0);
    theirs.write_all(b"late").expect("room");
    drop(theirs);
    let mut all = String::new();
    ours.read_to_string(&mut all).expect("the end");
    assert_eq!(all, "late");
}

#[test]
fn a_close_with_data_unread_is_a_reset() {
    let (red, blue) = net("reset");
    let (mut ours, theirs) = connection(&red, &blue);
    ours.write_all(b"unread").expect("room");
    wait_for(&theirs, PollFlags::IN);
    drop(theirs);
    assert!(wait_for(&ours, PollFlags::IN).contains(PollFlags::ERR | PollFlags::HUP));
    assert_eq!(errno(ours.read(&mut [0; 9])), Some(Errno::CONNRESET.raw_os_error()));
    assert_eq!(ours.read(&mut [0; 9]).expect("the end"), 0);
    assert_eq!(errno(ours.write(b"x")), Some(Errno::PIPE.raw_os_error()));
}

#[test]
fn a_connect_that_does_not_wait_shows_its_result_in_poll() {
    let (red, blue) = net("connect");
    let listener = TcpListener::bind(&red, "10.0.0.1:7").expect("a free port");
    let open = || ioth::msocket(&blue, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).expect("descriptors");
    let address = |port| SocketAddr::from(([10, 0, 0, 1], port));

    let fd = open();
    assert_eq!(errno(ioth::recv(&fd, &mut [0; 1], 0)), Some(Errno::NOTCONN.raw_os_error()));
    assert_eq!(errno(ioth::send(&fd, &[0], ioth::MSG_NOSIGNAL)), Some(Errno::PIPE.raw_os_error()));
    assert_eq!(errno(ioth::connect(&fd, &address(7))), Some(Errno::INPROGRESS.raw_os_error()));
    assert_eq!(wait_for(&fd, PollFlags::OUT), PollFlags::OUT);
    assert_eq!(ioth::getsockopt_int(&fd, SOL_SOCKET, SO_ERROR).expect("a socket"), 0);
    assert_eq!(ioth::getpeername(&fd).expect("connected"), address(7));
    let (mut theirs, peer) = listener.accept().expect("a connection");
    assert_eq!(peer, ioth::getsockname(&fd).expect("connected"));
    rustix::io::write(&fd, b"word").expect("room");
    theirs.read_exact(&mut [0; 4]).expect("data");

    let fd = open();
    assert_eq!(errno(ioth::connect(&fd, &address(8))), Some(Errno::INPROGRESS.raw_os_error()));
    let shown = wait_for(&fd, PollFlags::OUT);
    assert_eq!(shown, PollFlags::OUT | PollFlags::ERR | PollFlags::HUP | PollFlags::RDHUP);
    let refused = Errno::CONNREFUSED.raw_os_error();
    assert_eq!(ioth::getsockopt_int(&fd, SOL_SOCKET, SO_ERROR).expect("a socket"), refused);
    assert_eq!(ioth::getsockopt_int(&fd, SOL_SOCKET, SO_ERROR).expect("a socket"), 0);

    assert_eq!(errno(TcpStream::connect(&blue, address(8))), Some(refused));
}

#[test]
fn a_listener_polls_and_accepts() {
    let (red, blue) = net("accept");
    let listener = TcpListener::bind(&red, "10.0.0.1:7").expect("a free port");
    listener.set_nonblocking(true).expect("open");
    assert_eq!(errno(listener.accept()), Some(Errno::AGAIN.raw_os_error()));
    let ours: Vec<_> =
        (0..20).map(|_| TcpStream::connect(&blue, "10.0.0.1:7").expect("a listener")).collect();
    for _ in &ours {
        assert_eq!(wait_for(&listener, PollFlags::IN), PollFlags::IN);
        let (stream, peer) = listener.accept().expect("a connection");
        assert!(ours.iter().any(|ours| ours.local_addr().expect("connected") == peer));
        assert_eq!(stream.peer_addr().expect("connected"), peer);
    }
    assert_eq!(errno(listener.accept()), Some(Errno::AGAIN.raw_os_error()));
}

#[test]
fn datagrams_go_both_ways_and_show_in_poll() {
    let (red, blue) = net("udp");
    let server = UdpSocket::bind(&red, "10.0.0.1:53").expect("a free port");
    let client = UdpSocket::bind(&blue, "10.0.0.2:0").expect("a free port");
    client.connect("10.0.0.1:53").expect("a route");
    assert_eq!(rustix::io::write(&client, b"plain").expect("connected"), 5);
    assert_eq!(wait_for(&server, PollFlags::IN), PollFlags::IN);
    let mut room = [0; 9];
    let (len, from) = server.recv_from(&mut room).expect("a datagram");
    assert_eq!((&room[..len], from), (&b"plain"[..], client.local_addr().expect("bound")));
    server.send_to(b"answer", from).expect("a route");
    server.send_to(b"", from).expect("a route");
    assert_eq!(wait_for(&client, PollFlags::IN), PollFlags::IN);
    assert_eq!(rustix::io::read(&client, &mut room).expect("a datagram"), 6);
    assert_eq!(client.recv(&mut room).expect("a datagram"), 0);
    client.set_read_timeout(Some(Duration::from_millis(20))).expect("open");
    assert_eq!(errno(client.recv(&mut room)), Some(Errno::AGAIN.raw_os_error()));
    server.send_to(b"0123456789", from).expect("a route");
    wait_for(&client, PollFlags::IN);
    assert_eq!(ioth::recv(&client, &mut room[..2], ioth::MSG_TRUNC).expect("a datagram"), 10);
}

/// What has arrived is there for a call that does not wait, whoever runs the stack otherwise.
#[test]
fn a_call_that_does_not_wait_sees_what_has_arrived() {
    let (red, blue) = net("arrived");
    let (ours, theirs) = connection(&red, &blue);
    ours.set_nodelay(true).expect("an option");
    let (here, there) = (UdpSocket::bind(&blue, "10.0.0.2:9"), UdpSocket::bind(&red, "10.0.0.1:9"));
    let (here, there) = (here.expect("a free port"), there.expect("a free port"));
    let listener = TcpListener::bind(&red, "10.0.0.1:8").expect("a free port");
    listener.set_nonblocking(true).expect("a flag");
    for turn in 0..100u8 {
        // On a switch a frame has arrived when it was sent.
        ioth::send(&ours, &[turn], 0).expect("room");
        let mut byte = [0];
        assert_eq!(ioth::recv(&theirs, &mut byte, ioth::MSG_DONTWAIT).expect("it has arrived"), 1);
        assert_eq!(byte, [turn]);
        here.send_to(&[turn], "10.0.0.1:9").expect("room");
        assert_eq!(ioth::recv(&there, &mut byte, ioth::MSG_DONTWAIT).expect("it has arrived"), 1);
        let client = TcpStream::connect(&blue, "10.0.0.1:8").expect("a listener");
        let (_server, peer) = listener.accept().expect("it has arrived");
        assert_eq!(peer, client.local_addr().expect("connected"));
    }
}
