//! Bytes through a connection: flags, lengths, timeouts, and plain calls beside the library's.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use anyhow::Result;
use ioth::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_WAITALL, SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET};
use ioth_tests::netns::Test;
use ioth_tests::pattern;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::calls::{
    IN, NOTHING, OUT, drain, fill, plain_read, plain_recv, plain_send, recv, recv_exactly, send, set_timeout,
    swallow, text,
};
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        word_and_answer,
        peek,
        peek_of_more_and_less,
        wait_for_all,
        wait_for_all_with_a_timeout,
        wait_for_all_at_the_end,
        nothing_to_receive,
        nothing_sent_and_nothing_received,
        receive_with_a_timeout,
        send_with_a_timeout,
        timeouts_of_plain_calls,
        nonblocking_by_fcntl,
        full_and_then_room,
        full_by_plain_calls,
        plain_and_library_calls_mixed,
        vectors,
        a_large_send_waits_for_all,
        a_large_send_without_waiting,
        sendto_on_a_connection,
        recvfrom_on_a_connection,
        received_in_pieces,
        both_at_once,
    ]
}

fn word_and_answer(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    for turn in 0..20 {
        w.note("send", send(&ours, format!("word {turn}")));
        w.note("recv", recv(&theirs, 100, 0));
        w.note("answer", send(&theirs, format!("answer {turn}")));
        w.note("recv", recv(&ours, 100, 0));
    }
    Ok(())
}

fn peek(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "peeked")?;
    w.note("peek", recv(&theirs, 100, MSG_PEEK));
    w.note("peek again", recv(&theirs, 3, MSG_PEEK));
    w.note("plain peek", plain_after(w, &theirs, 100, RecvFlags::PEEK));
    w.note("peek after it", recv(&theirs, 100, MSG_PEEK));
    w.note("recv", recv(&theirs, 100, 0));
    w.note("peek at nothing", recv(&theirs, 100, MSG_PEEK | MSG_DONTWAIT));
    ioth::shutdown(&ours, ioth::SHUT_WR)?;
    w.note("peek at the end", recv(&theirs, 100, MSG_PEEK));
    w.note("the end", recv(&theirs, 100, 0));
    Ok(())
}

/// A plain receive once poll says that there is something.
fn plain_after(w: &World, fd: &std::os::fd::OwnedFd, len: usize, flags: RecvFlags) -> Result<String, Errno> {
    w.settle(fd, IN);
    plain_recv(fd, len, flags)
}

fn peek_of_more_and_less(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, pattern::stream(10_000))?;
    let mut room = vec![0; 10_000];
    let end = Instant::now() + crate::world::SOON;
    while ioth::recv(&theirs, &mut room, MSG_PEEK)? < 10_000 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    w.note("peek of all", room == pattern::stream(10_000));
    w.note("recv of a part", recv_exactly(&theirs, 4000)? == pattern::stream(4000));
    let peeked = ioth::recv(&theirs, &mut room, MSG_PEEK);
    w.note("peek of the rest", peeked);
    w.note("it is the rest", room[..6000] == pattern::stream(10_000)[4000..]);
    w.note("recv of the rest", recv_exactly(&theirs, 6000)? == pattern::stream(10_000)[4000..]);
    Ok(())
}

fn wait_for_all(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| recv(&theirs, 12, MSG_WAITALL));
        for piece in ["one ", "two ", "three"] {
            std::thread::sleep(Duration::from_millis(10));
            w.note("send", send(&ours, piece));
        }
        w.note("recv all", reader.join().expect("no panic"));
    });
    w.note("the rest", recv(&theirs, 10, 0));
    Ok(())
}

fn wait_for_all_with_a_timeout(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    set_timeout(&theirs, SO_RCVTIMEO, Duration::from_millis(60))?;
    send(&ours, "part")?;
    w.note("recv", recv(&theirs, 10, MSG_WAITALL));
    w.note("recv nothing", recv(&theirs, 10, MSG_WAITALL));
    send(&ours, "part")?;
    w.settle(&theirs, IN);
    w.note("without waiting", recv(&theirs, 10, MSG_WAITALL | MSG_DONTWAIT));
    Ok(())
}

fn wait_for_all_at_the_end(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "last")?;
    ioth::shutdown(&ours, ioth::SHUT_WR)?;
    w.note("recv", recv(&theirs, 10, MSG_WAITALL));
    w.note("end", recv(&theirs, 10, MSG_WAITALL));
    Ok(())
}

fn nothing_to_receive(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("recv", recv(&ours, 10, MSG_DONTWAIT));
    w.note("plain recv", plain_recv(&ours, 10, RecvFlags::DONTWAIT));
    w.note("peek", recv(&theirs, 10, MSG_DONTWAIT | MSG_PEEK));
    ioth::set_nonblocking(&theirs, true)?;
    w.note("read", ioth::read(&theirs, &mut [0; 1]));
    w.note("plain read", plain_read(&theirs, 1));
    w.poll("nothing", &theirs, OUT);
    Ok(())
}

fn nothing_sent_and_nothing_received(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("send nothing", send(&ours, ""));
    w.note("write nothing", ioth::write(&ours, b""));
    w.poll("nothing came", &theirs, NOTHING);
    w.note("recv", recv(&theirs, 10, MSG_DONTWAIT));
    send(&ours, "word")?;
    w.settle(&theirs, IN);
    w.note("recv into nothing", recv(&theirs, 0, 0));
    w.note("read into nothing", ioth::read(&theirs, &mut []));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("recv into nothing without waiting", recv(&theirs, 0, MSG_DONTWAIT));
    ioth::shutdown(&ours, ioth::SHUT_WR)?;
    w.settle(&theirs, IN);
    w.note("recv into nothing at the end", recv(&theirs, 0, 0));
    w.note("send nothing after the end", send(&ours, ""));
    Ok(())
}

fn receive_with_a_timeout(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    set_timeout(&theirs, SO_RCVTIMEO, Duration::from_millis(50))?;
    for _ in 0..2 {
        let began = Instant::now();
        w.note("nothing", recv(&theirs, 10, 0));
        w.note("it waited", began.elapsed() >= Duration::from_millis(45));
    }
    set_timeout(&theirs, SO_RCVTIMEO, crate::world::SOON)?;
    send(&ours, "word")?;
    w.note("recv", recv(&theirs, 10, 0));
    let began = Instant::now();
    w.note("MSG_DONTWAIT", recv(&theirs, 10, MSG_DONTWAIT));
    w.note("at once", began.elapsed() < Duration::from_secs(2));
    Ok(())
}

fn send_with_a_timeout(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let filled = fill(&ours)?;
    set_timeout(&ours, SO_SNDTIMEO, Duration::from_millis(50))?;
    let began = Instant::now();
    w.note("no room", send(&ours, "x"));
    w.note("it waited", began.elapsed() >= Duration::from_millis(45));
    swallow(&theirs, filled)?;
    w.note("room", send(&ours, "word"));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn timeouts_of_plain_calls(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    set_timeout(&theirs, SO_RCVTIMEO, Duration::from_millis(50))?;
    w.note("plain read", plain_read(&theirs, 10));
    set_timeout(&theirs, SO_RCVTIMEO, crate::world::SOON)?;
    send(&ours, "word")?;
    w.note("plain read", plain_read(&theirs, 10));
    let mut value = [0; 16];
    w.note("length", ioth::getsockopt(&theirs, SOL_SOCKET, SO_RCVTIMEO, &mut value));
    w.note("seconds", i64::from_ne_bytes(value[..8].try_into()?) == 5);
    Ok(())
}

fn nonblocking_by_fcntl(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let flags = rustix::fs::fcntl_getfl(&theirs)?;
    rustix::fs::fcntl_setfl(&theirs, flags | rustix::fs::OFlags::NONBLOCK)?;
    w.note("recv", recv(&theirs, 10, 0));
    w.note("plain read", plain_read(&theirs, 10));
    rustix::fs::fcntl_setfl(&theirs, flags)?;
    send(&ours, "word")?;
    w.note("waits again", recv(&theirs, 10, 0));
    Ok(())
}

fn full_and_then_room(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let filled = fill(&ours)?;
    w.note("a lot", filled > 100_000);
    w.poll("full", &ours, NOTHING);
    w.note("send", ioth::send(&ours, b"x", MSG_DONTWAIT | MSG_NOSIGNAL));
    w.note("plain send", rustix::net::send(&ours, b"x", rustix::net::SendFlags::DONTWAIT));
    swallow(&theirs, filled)?;
    w.poll("room", &ours, OUT);
    w.note("send", ioth::send(&ours, b"word", MSG_DONTWAIT | MSG_NOSIGNAL));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn full_by_plain_calls(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    ioth::set_nonblocking(&ours, true)?;
    let (mut sent, mut still) = (0, Instant::now());
    while still.elapsed() < Duration::from_millis(100) {
        match rustix::io::write(&ours, &[1; 10_000]) {
            Ok(count) => (sent, still) = (sent + count as u64, Instant::now()),
            Err(Errno::AGAIN) => std::thread::sleep(Duration::from_millis(2)),
            Err(errno) => return Err(errno.into()),
        }
    }
    w.note("a lot", sent > 100_000);
    w.poll("full", &ours, NOTHING);
    swallow(&theirs, sent)?;
    w.poll("room", &ours, OUT);
    w.note("write", rustix::io::write(&ours, b"word"));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn plain_and_library_calls_mixed(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    for turn in 0..30 {
        let word = format!("<{turn}>");
        let sent = if turn % 2 == 0 { plain_send(&ours, &word)? } else { send(&ours, &word)? };
        w.note("sent", sent);
        if turn % 3 == 0 {
            send(&ours, "+")?;
            plain_send(&ours, "-")?;
        }
    }
    let mut all = Vec::new();
    while all.len() < 30 + 80 + 20 {
        let mut room = [0; 7];
        let got = if all.len() % 2 == 0 {
            rustix::io::read(&theirs, &mut room)?
        } else {
            ioth::recv(&theirs, &mut room, 0)?
        };
        all.extend_from_slice(&room[..got]);
    }
    w.note("received", String::from_utf8_lossy(&all).into_owned());
    w.note("nothing is left", recv(&theirs, 10, MSG_DONTWAIT));
    Ok(())
}

fn vectors(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note(
        "writev",
        rustix::io::writev(&ours, &[IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")]),
    );
    w.note("recv", recv(&theirs, 20, MSG_PEEK));
    let (mut first, mut second) = ([0; 3], [0; 10]);
    w.settle(&theirs, IN);
    let parts = &mut [std::io::IoSliceMut::new(&mut first), std::io::IoSliceMut::new(&mut second)];
    w.note("readv", rustix::io::readv(&theirs, parts));
    w.note("first", &first);
    w.note("second", text(&second[..4]));
    Ok(())
}

fn a_large_send_waits_for_all(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let data = pattern::stream(6_000_000);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let sent = send(&ours, &data);
            ioth::shutdown(&ours, ioth::SHUT_WR).ok();
            sent
        });
        let (received, end) = drain(&theirs);
        w.note("sent", sender.join().expect("no panic"));
        w.note("received", received == data);
        w.note("end", end);
    });
    Ok(())
}

fn a_large_send_without_waiting(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let data = pattern::stream(30_000_000);
    let sent = ioth::send(&ours, &data, MSG_DONTWAIT | MSG_NOSIGNAL)?;
    w.note("a part", sent > 10_000 && sent < data.len());
    ioth::shutdown(&ours, ioth::SHUT_WR)?;
    let (received, end) = drain(&theirs);
    w.note("that part", received == data[..sent]);
    w.note("end", end);
    Ok(())
}

fn sendto_on_a_connection(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("sendto", ioth::sendto(&ours, b"word", MSG_NOSIGNAL, &w.nobody()));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn recvfrom_on_a_connection(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "word")?;
    let mut room = [0; 10];
    let (count, from) = ioth::recvfrom(&theirs, &mut room, 0)?;
    w.note("count", count);
    w.note("from", from);
    Ok(())
}

fn received_in_pieces(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "abcdefghij")?;
    w.settle(&theirs, IN);
    for len in [1, 2, 0, 3] {
        w.note("recv", recv(&theirs, len, 0));
        w.note("plain", plain_read(&theirs, 1));
        w.poll("more", &theirs, if len == 3 { OUT } else { IN | OUT });
    }
    w.note("last", recv(&theirs, 100, MSG_DONTWAIT));
    w.note("nothing", recv(&theirs, 100, MSG_DONTWAIT));
    w.poll("nothing", &theirs, OUT);
    Ok(())
}

fn both_at_once(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let data = pattern::stream(3_000_000);
    std::thread::scope(|scope| {
        for (name, to) in [("ours", &ours), ("theirs", &theirs)] {
            let data = &data;
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn_scoped(scope, move || send(to, data))
                .map(drop)
                .ok();
        }
        let other = scope.spawn(|| recv_exactly(&theirs, data.len()));
        let one = recv_exactly(&ours, data.len()).is_ok_and(|got| got == data);
        w.note("ours", one);
        w.note("theirs", other.join().expect("no panic").is_ok_and(|got| got == data));
    });
    Ok(())
}
