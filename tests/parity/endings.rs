//! How connections end: shutdown(2), close(2) and resets, seen from both sides.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use ioth::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, SHUT_RD, SHUT_RDWR, SHUT_WR, SO_LINGER, SOL_SOCKET};
use ioth_tests::netns::Test;
use ioth_tests::pattern;

use crate::calls::{
    ERR, HUP, IN, NOTHING, OUT, RDHUP, drain, fill, pending, plain_read, plain_send, recv, send,
};
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        shutdown_of_writing,
        shutdown_of_reading,
        shutdown_of_reading_with_data,
        shutdown_of_both,
        shutdown_twice,
        shutdown_from_both_sides,
        plain_shutdown_of_writing,
        plain_shutdown_of_both,
        half_closed_echo,
        half_closed_plain_echo,
        close_tells_the_end,
        close_after_send,
        close_after_a_large_send,
        dropped_after_a_large_send,
        close_with_something_unread,
        dropped_with_something_unread,
        close_with_something_unread_and_something_sent,
        close_with_linger_of_zero,
        close_waits_for_the_peer,
        close_waits_so_long_and_no_longer,
        close_then_the_peer_sends,
        close_then_the_peer_sends_plainly,
        reset_behind_the_end,
        reset_behind_the_end_and_a_word,
        reset_behind_the_end_read_plainly,
        reset_while_sending,
        reset_tells_so_error,
        data_before_a_reset,
        write_after_the_end,
        close_of_a_half_closed_connection,
    ]
}

fn reset(fd: OwnedFd) -> Result<()> {
    ioth::setsockopt(&fd, SOL_SOCKET, SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0])?;
    Ok(ioth::close(fd)?)
}

fn shutdown_of_writing(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "last")?;
    w.note("shutdown", ioth::shutdown(&ours, SHUT_WR));
    w.poll("its own poll", &ours, OUT);
    w.poll("the peer's", &theirs, IN | RDHUP);
    w.note("send", send(&ours, "x"));
    w.note("plain send", plain_send(&ours, "x"));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("the end", recv(&theirs, 10, 0));
    w.note("still the end", recv(&theirs, 10, 0));
    w.note("plainly", plain_read(&theirs, 10));
    w.poll("at the end", &theirs, IN | RDHUP);
    w.note("answer", send(&theirs, "answer"));
    w.note("recv", recv(&ours, 10, 0));
    w.note("nothing more", recv(&ours, 10, MSG_DONTWAIT));
    Ok(())
}

fn shutdown_of_reading(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("shutdown", ioth::shutdown(&ours, SHUT_RD));
    w.poll("its own poll", &ours, IN | RDHUP);
    w.poll("the peer's", &theirs, OUT);
    w.note("recv", recv(&ours, 10, 0));
    w.note("send", send(&ours, "out"));
    w.note("the peer receives", recv(&theirs, 10, 0));
    Ok(())
}

fn shutdown_of_reading_with_data(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&theirs, "early")?;
    w.settle(&ours, IN);
    w.note("shutdown", ioth::shutdown(&ours, SHUT_RD));
    w.note("recv", recv(&ours, 10, 0));
    w.note("end", recv(&ours, 10, 0));
    Ok(())
}

fn shutdown_of_both(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "last")?;
    w.note("shutdown", ioth::shutdown(&ours, SHUT_RDWR));
    w.poll("its own poll", &ours, HUP);
    w.poll("the peer's", &theirs, IN | RDHUP);
    w.note("recv", recv(&ours, 10, 0));
    w.note("send", send(&ours, "x"));
    w.note("the peer's recv", recv(&theirs, 10, 0));
    w.note("the peer's end", recv(&theirs, 10, 0));
    w.note("SO_ERROR", pending(&ours));
    Ok(())
}

fn shutdown_twice(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    for how in [SHUT_WR, SHUT_WR, SHUT_RD, SHUT_RD, 5] {
        w.note(&format!("shutdown {how}"), ioth::shutdown(&ours, how));
    }
    w.poll("both", &ours, HUP);
    w.note("the peer ends", ioth::shutdown(&theirs, SHUT_WR));
    w.poll("over", &theirs, HUP);
    Ok(())
}

fn shutdown_from_both_sides(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("ours", ioth::shutdown(&ours, SHUT_WR));
    w.poll("told", &theirs, IN | RDHUP);
    w.note("theirs", ioth::shutdown(&theirs, SHUT_WR));
    for (name, fd) in [("ours", &ours), ("theirs", &theirs)] {
        w.poll(name, fd, IN | RDHUP | HUP);
        w.note("recv", recv(fd, 10, 0));
        w.note("send", send(fd, "x"));
        w.note("plain send", plain_send(fd, "x"));
        w.note("plain read", plain_read(fd, 10));
        w.note("SO_ERROR", pending(fd));
        w.note("shutdown once more", ioth::shutdown(fd, SHUT_WR));
        w.note("getpeername", ioth::getpeername(fd));
    }
    Ok(())
}

fn plain_shutdown_of_writing(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    plain_send(&ours, "last")?;
    w.note("shutdown", rustix::net::shutdown(&ours, rustix::net::Shutdown::Write));
    w.poll("its own poll", &ours, OUT);
    w.poll("the peer's", &theirs, IN | RDHUP);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("end", recv(&theirs, 10, 0));
    w.note("send", send(&ours, "x"));
    w.note("answer", plain_send(&theirs, "answer"));
    w.note("recv", plain_read(&ours, 10));
    Ok(())
}

fn plain_shutdown_of_both(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    plain_send(&ours, "last")?;
    // With nothing unread; "plain shutdown(2) of both directions" differs otherwise.
    w.note("shutdown", rustix::net::shutdown(&ours, rustix::net::Shutdown::Both));
    w.poll("its own poll", &ours, HUP);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("end", recv(&theirs, 10, 0));
    Ok(())
}

fn half_closed_echo(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let data = pattern::stream(200_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (all, _) = drain(&theirs);
            let _ = send(&theirs, &all);
            let _ = ioth::shutdown(&theirs, SHUT_WR);
        });
        w.note("send", send(&ours, &data));
        w.note("shutdown", ioth::shutdown(&ours, SHUT_WR));
        let (back, end) = drain(&ours);
        w.note("all came back", back == data);
        w.note("end", end);
    });
    Ok(())
}

fn half_closed_plain_echo(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut all, mut room) = (Vec::new(), [0; 1000]);
            while let Ok(got @ 1..) = rustix::io::read(&theirs, &mut room) {
                all.extend_from_slice(&room[..got]);
            }
            let _ = plain_send(&theirs, &all);
            drop(theirs);
        });
        w.note("send", plain_send(&ours, "echo"));
        w.note("shutdown", rustix::net::shutdown(&ours, rustix::net::Shutdown::Write));
        w.note("recv", plain_read(&ours, 10));
        w.note("end", plain_read(&ours, 10));
    });
    Ok(())
}

fn close_tells_the_end(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("close", ioth::close(ours));
    w.poll("the peer's poll", &theirs, IN | RDHUP);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("SO_ERROR", pending(&theirs));
    w.note("getpeername", ioth::getpeername(&theirs));
    Ok(())
}

fn close_after_send(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("send", send(&ours, "all of it"));
    w.note("close", ioth::close(ours));
    w.poll("the peer's poll", &theirs, IN | RDHUP);
    w.note("peek", recv(&theirs, 3, MSG_PEEK));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("end", recv(&theirs, 20, 0));
    Ok(())
}

fn close_after_a_large_send(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let data = pattern::stream(300_000);
    let sent = ioth::send(&ours, &data, MSG_DONTWAIT | MSG_NOSIGNAL)?;
    w.note("close", ioth::close(ours));
    let (received, end) = drain(&theirs);
    w.note("all of it", received == data[..sent]);
    w.note("end", end);
    Ok(())
}

fn dropped_after_a_large_send(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    ioth::set_nonblocking(&ours, true)?;
    let data = pattern::stream(500_000);
    let sent = plain_send(&ours, &data)?;
    drop(ours);
    let (received, end) = drain(&theirs);
    w.note("all of it", received == data[..sent]);
    w.note("end", end);
    Ok(())
}

fn seen_as_reset(w: &World, theirs: &OwnedFd) {
    w.poll("the peer's poll", theirs, IN | ERR | HUP);
    w.note("recv", recv(theirs, 10, 0));
    w.note("recv again", recv(theirs, 10, 0));
    w.poll("poll again", theirs, HUP);
    w.note("SO_ERROR", pending(theirs));
    w.note("send", send(theirs, "x"));
    w.note("getpeername", ioth::getpeername(theirs));
    w.note("shutdown", ioth::shutdown(theirs, SHUT_WR));
}

fn close_with_something_unread(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&theirs, "unread")?;
    w.settle(&ours, IN);
    w.note("close", ioth::close(ours));
    seen_as_reset(w, &theirs);
    Ok(())
}

fn dropped_with_something_unread(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&theirs, "unread")?;
    w.settle(&ours, IN);
    w.note("a part", recv(&ours, 2, 0));
    drop(ours);
    seen_as_reset(w, &theirs);
    Ok(())
}

fn close_with_something_unread_and_something_sent(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "sent")?;
    w.settle(&theirs, IN);
    send(&theirs, "unread")?;
    w.settle(&ours, IN);
    w.note("close", ioth::close(ours));
    w.poll("the peer's poll", &theirs, IN | ERR | HUP);
    Ok(())
}

fn close_with_linger_of_zero(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    reset(ours)?;
    seen_as_reset(w, &theirs);
    Ok(())
}

/// Sends more than anybody has room for without waiting, closes with so many seconds of patience, and gives how long
/// that took. The peer reads to the end, beginning when it is told to.
fn linger_over_much(w: &World, seconds: i32, reading_begins: Duration) -> Result<Duration> {
    let (ours, theirs) = w.pair()?;
    let value = [i32::to_ne_bytes(1), i32::to_ne_bytes(seconds)].concat();
    ioth::setsockopt(&ours, SOL_SOCKET, SO_LINGER, &value)?;
    let sent = fill(&ours)?;
    std::thread::scope(|scope| -> Result<Duration> {
        let reader = scope.spawn(|| {
            std::thread::sleep(reading_begins);
            drain(&theirs)
        });
        let start = Instant::now();
        w.note("close", ioth::close(ours));
        let took = start.elapsed();
        let (read, end) = reader.join().expect("no panic");
        w.note("all arrives", read.len() as u64 == sent);
        w.note("end", end);
        Ok(took)
    })
}

fn close_waits_for_the_peer(w: &World) -> Result<()> {
    let took = linger_over_much(w, 10, Duration::from_millis(500))?;
    w.note("it waited", took > Duration::from_millis(400));
    w.note("not for ever", took < Duration::from_secs(8));
    Ok(())
}

fn close_waits_so_long_and_no_longer(w: &World) -> Result<()> {
    let took = linger_over_much(w, 1, Duration::from_millis(2500))?;
    w.note("it waited", took > Duration::from_millis(900));
    w.note("no longer", took < Duration::from_millis(2400));
    Ok(())
}

fn close_then_the_peer_sends(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("close", ioth::close(ours));
    w.poll("told", &theirs, IN | RDHUP);
    w.note("send", send(&theirs, "nobody reads"));
    poll_reset_behind_the_end(w, &theirs);
    w.note("send again", send(&theirs, "x"));
    w.note("and again", send(&theirs, "x"));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("SO_ERROR", pending(&theirs));
    Ok(())
}

fn close_then_the_peer_sends_plainly(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("close", ioth::close(ours));
    w.poll("told", &theirs, IN | RDHUP);
    w.note("send", plain_send(&theirs, "nobody reads"));
    poll_reset_behind_the_end(w, &theirs);
    // After a close, TCP says EPIPE, too.
    w.note("send again", plain_send(&theirs, "x"));
    Ok(())
}

/// The peer has closed, and answers what it is sent with a reset.
fn closed_and_reset(w: &World, word: &str) -> Result<OwnedFd> {
    let (ours, theirs) = w.pair()?;
    send(&ours, word)?;
    w.note("close", ioth::close(ours));
    w.settle(&theirs, RDHUP);
    w.note("send", send(&theirs, "nobody reads"));
    w.settle(&theirs, HUP);
    Ok(theirs)
}

/// What poll shows of it.
fn poll_reset_behind_the_end(w: &World, theirs: &OwnedFd) {
    w.documented(
        "poll(2) after a reset behind the end of the stream",
        &w.server,
        ("IN|OUT|ERR|HUP|RDHUP", "IN|OUT|HUP|RDHUP"),
        w.settle(theirs, HUP),
    );
}

fn reset_behind_the_end(w: &World) -> Result<()> {
    let theirs = closed_and_reset(w, "")?;
    w.note("recv", recv(&theirs, 10, 0));
    w.note("recv again", recv(&theirs, 10, 0));
    w.note("peek", recv(&theirs, 10, MSG_PEEK));
    poll_reset_behind_the_end(w, &theirs);
    w.note("send", send(&theirs, "x"));
    w.note("send again", send(&theirs, "x"));
    w.note("recv at last", recv(&theirs, 10, 0));
    w.note("SO_ERROR", pending(&theirs));
    Ok(())
}

fn reset_behind_the_end_and_a_word(w: &World) -> Result<()> {
    let theirs = closed_and_reset(w, "word")?;
    poll_reset_behind_the_end(w, &theirs);
    w.note("recv", recv(&theirs, 2, 0));
    w.note("recv the rest", recv(&theirs, 10, 0));
    w.note("recv the end", recv(&theirs, 10, 0));
    w.note("SO_ERROR", pending(&theirs));
    w.note("SO_ERROR again", pending(&theirs));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn reset_behind_the_end_read_plainly(w: &World) -> Result<()> {
    let theirs = closed_and_reset(w, "word")?;
    w.note("read", plain_read(&theirs, 10));
    w.note("read the end", plain_read(&theirs, 10));
    Ok(())
}

fn reset_while_sending(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    fill(&ours)?;
    std::thread::scope(|scope| -> Result<()> {
        let sender = scope.spawn(|| send(&ours, "blocked"));
        std::thread::sleep(crate::world::MOMENT);
        reset(theirs)?;
        w.note("send", sender.join().expect("no panic"));
        w.note("then", send(&ours, "x"));
        Ok(())
    })
}

fn reset_tells_so_error(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    reset(ours)?;
    w.poll("reset", &theirs, IN | ERR | HUP);
    w.note("SO_ERROR", pending(&theirs));
    w.note("SO_ERROR again", pending(&theirs));
    w.poll("taken", &theirs, HUP);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("send", send(&theirs, "x"));
    let (ours, theirs) = w.pair_of(&w.listener()?)?;
    reset(ours)?;
    w.poll("reset", &theirs, IN | ERR | HUP);
    w.note("first send", send(&theirs, "x"));
    w.note("second send", send(&theirs, "x"));
    w.note("SO_ERROR", pending(&theirs));
    Ok(())
}

fn data_before_a_reset(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "data")?;
    w.settle(&theirs, IN);
    reset(ours)?;
    w.poll("reset", &theirs, IN | ERR | HUP);
    w.note("SO_ERROR", pending(&theirs));
    w.poll("then", &theirs, HUP);
    Ok(())
}

fn write_after_the_end(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    ioth::shutdown(&ours, SHUT_WR)?;
    w.settle(&theirs, RDHUP);
    for turn in 0..5 {
        w.note("send", send(&theirs, format!("{turn}")));
    }
    w.note("recv", recv(&ours, 5, ioth::MSG_WAITALL));
    w.poll("nothing", &ours, NOTHING);
    w.note("close", ioth::close(theirs));
    w.poll("over", &ours, HUP);
    w.note("recv", recv(&ours, 5, 0));
    Ok(())
}

fn close_of_a_half_closed_connection(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    ioth::shutdown(&ours, SHUT_WR)?;
    w.settle(&theirs, RDHUP);
    w.note("close", ioth::close(ours));
    w.note("send", send(&theirs, "late"));
    poll_reset_behind_the_end(w, &theirs);
    w.note("close", ioth::close(theirs));
    Ok(())
}
