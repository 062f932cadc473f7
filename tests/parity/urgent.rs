//! Urgent data: `MSG_OOB`, the mark, `POLLPRI` and SIGURG, tcp(7).

use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ioth::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_WAITALL, SHUT_WR, SO_OOBINLINE, SOL_SOCKET};
use ioth_tests::netns::Test;
use ioth_tests::pattern;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::calls::{
    IN, NOTHING, OUT, RDHUP, drain, option, patient, plain_recv, plain_send, recv, recv_exactly, send,
    set_timeout,
};
use crate::sys::Urge;
use crate::world::{MOMENT, SOON, World};

/// Something urgent.
const PRI: PollFlags = PollFlags::PRI;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        a_byte_apart,
        a_byte_apart_plainly,
        a_mark_in_the_middle,
        the_byte_in_line,
        in_line_after_it_came,
        in_line_is_inherited,
        nothing_but_the_byte,
        two_marks,
        two_marks_far_apart,
        a_peek_at_it,
        nothing_urgent,
        no_room_for_it,
        nothing_sent_urgently,
        datagrams_are_not_urgent,
        a_receiver_that_waits,
        a_receiver_that_waits_for_all,
        a_receiver_with_a_timeout,
        the_end_behind_it,
        a_reset_behind_it,
        a_large_send_with_a_mark_at_its_end,
        many_marks_in_a_long_stream,
        a_signal,
        who_gets_the_signal,
        an_exception_for_select,
        the_other_way_in_the_meantime,
    ]
}

/// send(2) with `MSG_OOB` by the library.
fn send_urgent(fd: impl AsFd, data: impl AsRef<[u8]>) -> std::io::Result<usize> {
    ioth::send(fd, data.as_ref(), MSG_OOB | MSG_NOSIGNAL)
}

/// send(2) with `MSG_OOB` by the system.
fn plain_send_urgent(fd: impl AsFd, data: &str) -> Result<usize, Errno> {
    rustix::net::send(fd, data.as_bytes(), SendFlags::OOB | SendFlags::NOSIGNAL)
}

fn a_byte_apart(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("send", send(&ours, "ab"));
    w.note("send urgently", send_urgent(&ours, "cd!"));
    w.poll("it shows", &theirs, IN | OUT | PRI);
    w.note("at the mark", ioth::sockatmark(&theirs));
    w.note("recv stops in front of it", recv(&theirs, 100, MSG_WAITALL));
    w.note("at the mark", ioth::sockatmark(&theirs));
    w.note("the byte", recv(&theirs, 100, MSG_OOB));
    w.note("once only", recv(&theirs, 100, MSG_OOB));
    w.note("still at the mark", ioth::sockatmark(&theirs));
    w.note("nothing else", recv(&theirs, 100, MSG_DONTWAIT));
    w.note("send", send(&ours, "more"));
    w.note("recv", recv(&theirs, 100, 0));
    w.note("behind the mark", ioth::sockatmark(&theirs));
    w.poll("nothing is left", &theirs, NOTHING);
    w.note("answer", send(&theirs, "answer"));
    w.note("recv", recv(&ours, 100, 0));
    Ok(())
}

fn a_byte_apart_plainly(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("send", plain_send(&ours, "ab"));
    w.note("send urgently", plain_send_urgent(&ours, "cd!"));
    w.note("send", plain_send(&ours, "efg"));
    w.poll("it shows", &theirs, IN | OUT | PRI);
    w.note("the byte", plain_recv(&theirs, 100, RecvFlags::OOB));
    w.note("once only", plain_recv(&theirs, 100, RecvFlags::OOB));
    w.note("in front of it", recv_exactly(&theirs, 4)? == b"abcd");
    w.note("at the mark", crate::sys::sockatmark(&theirs));
    w.note("behind it", recv_exactly(&theirs, 3)? == b"efg");
    w.note("at the mark", crate::sys::sockatmark(&theirs));
    w.note("nothing else", plain_recv(&theirs, 100, RecvFlags::DONTWAIT));
    Ok(())
}

fn a_mark_in_the_middle(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "front")?;
    send_urgent(&ours, "!")?;
    send(&ours, "behind")?;
    w.settle(&theirs, PRI);
    thread::sleep(MOMENT);
    w.note("a part", recv(&theirs, 3, 0));
    w.note("up to the mark", recv(&theirs, 100, 0));
    w.note("at the mark", ioth::sockatmark(&theirs));
    // Nobody asked for the byte: it is skipped.
    w.note("behind it", recv(&theirs, 100, 0));
    w.note("at the mark", ioth::sockatmark(&theirs));
    w.note("the byte is gone", recv(&theirs, 100, MSG_OOB));
    Ok(())
}

fn the_byte_in_line(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("option", option(&theirs, SOL_SOCKET, SO_OOBINLINE));
    w.note("in line", ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_OOBINLINE, 7));
    w.note("option", option(&theirs, SOL_SOCKET, SO_OOBINLINE));
    send(&ours, "front")?;
    send_urgent(&ours, "!")?;
    send(&ours, "behind")?;
    w.poll("it shows", &theirs, IN | OUT | PRI);
    thread::sleep(MOMENT);
    w.note("not apart", recv(&theirs, 100, MSG_OOB));
    w.note("up to the mark", recv(&theirs, 100, 0));
    w.note("at the mark", ioth::sockatmark(&theirs));
    w.note("with it", recv(&theirs, 100, 0));
    w.note("at the mark", ioth::sockatmark(&theirs));
    Ok(())
}

fn in_line_after_it_came(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send_urgent(&ours, "a!")?;
    w.settle(&theirs, IN | PRI);
    w.note("in line", ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_OOBINLINE, 1));
    w.note("recv", recv(&theirs, 100, 0));
    w.note("with it", recv(&theirs, 100, 0));
    w.note("apart again", ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_OOBINLINE, 0));
    w.note("nothing urgent", recv(&theirs, 100, MSG_OOB));
    Ok(())
}

fn in_line_is_inherited(w: &World) -> Result<()> {
    let listener = w.listener()?;
    ioth::setsockopt_int(&listener, SOL_SOCKET, SO_OOBINLINE, 1)?;
    let (ours, theirs) = w.pair_of(&listener)?;
    w.note("option", option(&theirs, SOL_SOCKET, SO_OOBINLINE));
    send_urgent(&ours, "!")?;
    patient(&theirs)?;
    w.note("recv", recv(&theirs, 100, 0));
    Ok(())
}

fn nothing_but_the_byte(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send_urgent(&ours, "!")?;
    let shown = w.settle(&theirs, PRI);
    w.documented("poll(2) with nothing but an urgent byte", &w.server, ("PRI|OUT", "IN|PRI|OUT"), shown);
    w.note("the byte", recv(&theirs, 1, MSG_OOB));
    w.note("nothing else", recv(&theirs, 1, MSG_DONTWAIT));
    w.poll("nothing", &theirs, NOTHING);
    Ok(())
}

fn two_marks(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send_urgent(&ours, "one!")?;
    w.settle(&theirs, PRI);
    send_urgent(&ours, "two?")?;
    // The second takes the place of the first.
    let end = Instant::now() + SOON;
    while recv(&theirs, 1, MSG_OOB | MSG_PEEK).ok().as_deref() != Some("\"?\"") && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
    w.note("the first is one of many", recv(&theirs, 100, 0));
    w.note("at the mark", ioth::sockatmark(&theirs));
    w.note("the second", recv(&theirs, 100, MSG_OOB));
    w.note("nothing else", recv(&theirs, 100, MSG_DONTWAIT));
    Ok(())
}

fn two_marks_far_apart(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    for (data, byte) in [("one", "1"), ("two", "2"), ("", "3"), ("four", "4")] {
        send(&ours, data)?;
        send_urgent(&ours, byte)?;
        w.settle(&theirs, PRI);
        w.note("the byte", recv(&theirs, 100, MSG_OOB));
        w.note("in front", recv(&theirs, 100, MSG_DONTWAIT));
        w.note("at the mark", ioth::sockatmark(&theirs));
    }
    Ok(())
}

fn a_peek_at_it(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send_urgent(&ours, "ab!")?;
    w.settle(&theirs, IN | PRI);
    w.note("peek at the byte", recv(&theirs, 100, MSG_OOB | MSG_PEEK));
    w.note("peek", recv(&theirs, 100, MSG_PEEK));
    w.note("the byte", recv(&theirs, 100, MSG_OOB));
    w.note("recv", recv(&theirs, 100, 0));
    Ok(())
}

fn nothing_urgent(w: &World) -> Result<()> {
    let fresh = w.stream()?;
    w.note("fresh: recv", recv(&fresh, 1, MSG_OOB));
    w.note("fresh: send", send_urgent(&fresh, "!"));
    w.note("fresh: mark", ioth::sockatmark(&fresh));
    let listener = w.listener()?;
    w.note("listener: recv", recv(&listener, 1, MSG_OOB));
    w.note("listener: send", send_urgent(&listener, "!"));
    let (ours, theirs) = w.pair_of(&listener)?;
    w.note("recv", recv(&theirs, 1, MSG_OOB));
    w.note("mark", ioth::sockatmark(&theirs));
    send(&ours, "plain")?;
    w.settle(&theirs, IN);
    w.note("recv", recv(&theirs, 1, MSG_OOB));
    w.note("mark", ioth::sockatmark(&theirs));
    ioth::shutdown(&ours, SHUT_WR)?;
    w.settle(&theirs, RDHUP);
    w.note("recv", recv(&theirs, 1, MSG_OOB));
    w.note("send", send_urgent(&ours, "!"));
    w.note("the stream", drain(&theirs).0.len());
    w.note("recv", recv(&theirs, 1, MSG_OOB));
    Ok(())
}

fn no_room_for_it(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send_urgent(&ours, "ab!")?;
    w.settle(&theirs, IN | PRI);
    w.note("recv", recv(&theirs, 0, MSG_OOB));
    w.note("gone", recv(&theirs, 1, MSG_OOB));
    w.note("recv", recv(&theirs, 100, 0));
    Ok(())
}

fn nothing_sent_urgently(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("nothing", send_urgent(&ours, ""));
    send(&ours, "some")?;
    w.note("nothing behind it", send_urgent(&ours, ""));
    w.settle(&theirs, IN);
    w.note("recv", recv(&theirs, 10, 0));
    w.note("nothing urgent", recv(&theirs, 10, MSG_OOB));
    Ok(())
}

fn datagrams_are_not_urgent(w: &World) -> Result<()> {
    let server = w.datagram_server()?;
    let client = w.datagram(&w.client)?;
    ioth::connect(&client, &w.at())?;
    w.note("send", send_urgent(&client, "!"));
    w.note("send", send(&client, "word"));
    patient(&server)?;
    w.note("recv", recv(&server, 10, MSG_OOB));
    w.note("mark", ioth::sockatmark(&server));
    Ok(())
}

/// What a receiver that waits gets when something urgent comes first, and then something else.
fn while_waiting(w: &World, flags: i32) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    thread::scope(|scope| {
        let receiver = scope.spawn(|| recv(&theirs, 6, flags));
        thread::sleep(MOMENT);
        w.note("send urgently", send_urgent(&ours, "!"));
        thread::sleep(MOMENT);
        w.note("still waiting", !receiver.is_finished());
        // Who waits behind it has skipped it.
        w.note("the byte", recv(&theirs, 10, MSG_OOB));
        w.note("send", send(&ours, "behind"));
        w.note("received", receiver.join().expect("no panic"));
    });
    Ok(())
}

fn a_receiver_that_waits(w: &World) -> Result<()> {
    while_waiting(w, 0)
}

fn a_receiver_that_waits_for_all(w: &World) -> Result<()> {
    while_waiting(w, MSG_WAITALL)
}

fn a_receiver_with_a_timeout(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    set_timeout(&theirs, ioth::SO_RCVTIMEO, MOMENT)?;
    send_urgent(&ours, "!")?;
    w.settle(&theirs, PRI);
    let start = Instant::now();
    w.note("nothing but the byte", recv(&theirs, 6, 0));
    w.note("waited", start.elapsed() >= MOMENT);
    Ok(())
}

fn the_end_behind_it(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send_urgent(&ours, "last!")?;
    ioth::shutdown(&ours, SHUT_WR)?;
    w.poll("it shows", &theirs, IN | OUT | PRI | RDHUP);
    w.note("recv", recv(&theirs, 100, 0));
    w.note("the byte", recv(&theirs, 100, MSG_OOB));
    w.note("once only", recv(&theirs, 100, MSG_OOB));
    w.note("the end", recv(&theirs, 100, 0));
    w.note("nothing urgent", recv(&theirs, 100, MSG_OOB));
    w.note("answer", send_urgent(&theirs, "answer!"));
    w.settle(&ours, PRI);
    w.note("the byte", recv(&ours, 100, MSG_OOB));
    w.note("recv", recv(&ours, 100, 0));
    Ok(())
}

fn a_reset_behind_it(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send_urgent(&ours, "last!")?;
    w.settle(&theirs, PRI);
    ioth::setsockopt(&ours, SOL_SOCKET, ioth::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0])?;
    ioth::close(ours)?;
    w.settle(&theirs, crate::calls::HUP);
    w.note("recv", recv(&theirs, 1, MSG_DONTWAIT).is_ok());
    Ok(())
}

fn a_large_send_with_a_mark_at_its_end(w: &World) -> Result<()> {
    const TOTAL: u64 = 3_000_000;
    let (ours, theirs) = w.pair()?;
    // Whenever it waits for room, what is sent so far ends with a mark.
    ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_OOBINLINE, 1)?;
    let data = pattern::stream(TOTAL);
    thread::scope(|scope| {
        let sender = scope.spawn(|| send_urgent(&ours, &data));
        let (mut all, mut room) = (Vec::new(), vec![0; 100_000]);
        while (all.len() as u64) < TOTAL - 1 {
            let got = ioth::recv(&theirs, &mut room, 0)?;
            ensure!(got > 0, "the stream ended after {} bytes", all.len());
            all.extend_from_slice(&room[..got]);
        }
        w.note("sent", sender.join().expect("no panic"));
        w.note("all but the last", Some(&*all) == data.split_last().map(|(_, front)| front));
        Ok(())
    })?;
    w.settle(&theirs, PRI);
    w.note("at the mark", ioth::sockatmark(&theirs));
    let mut last = [0];
    w.note("the last", ioth::recv(&theirs, &mut last, 0));
    w.note("it is", data.ends_with(&last));
    Ok(())
}

/// In line nothing is lost, whatever was marked, by whomever it was sent.
fn many_marks_in_a_long_stream(w: &World) -> Result<()> {
    const PIECES: u64 = 200;
    let (ours, theirs) = w.pair()?;
    ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_OOBINLINE, 1)?;
    let data = pattern::stream(PIECES * 5_000);
    thread::scope(|scope| {
        let sender = scope.spawn(|| -> Result<()> {
            for (number, piece) in data.chunks(5_000).enumerate() {
                let mut left = piece;
                while !left.is_empty() {
                    let sent = match number % 4 {
                        0 => send_urgent(&ours, left)?,
                        1 => rustix::net::send(&ours, left, SendFlags::OOB)?,
                        2 => send(&ours, left)?,
                        _ => rustix::net::send(&ours, left, SendFlags::NOSIGNAL)?,
                    };
                    left = &left[sent..];
                }
            }
            Ok(ioth::shutdown(&ours, SHUT_WR)?)
        });
        let (all, end) = drain(&theirs);
        w.note("sent", sender.join().expect("no panic").map_err(|error| format!("{error:#}")));
        w.note("received", (all == data, end.is_ok()));
    });
    Ok(())
}

fn a_signal(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let urge = Urge::to_this_thread(&theirs)?;
    send(&ours, "nothing urgent")?;
    w.settle(&theirs, IN);
    w.note("no signal", urge.wait(Duration::ZERO)?);
    send_urgent(&ours, "!")?;
    w.note("a signal", urge.wait(SOON)?);
    w.note("one only", urge.wait(Duration::ZERO)?);
    send_urgent(&ours, "?")?;
    w.note("another", urge.wait(SOON)?);
    Ok(())
}

fn who_gets_the_signal(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("nobody", crate::sys::owner(&theirs));
    let urge = Urge::to_this_thread(&theirs)?;
    send_urgent(&ours, "!")?;
    w.note("a signal", urge.wait(SOON)?);
    w.note("in front of the byte", recv(&theirs, 1, MSG_OOB));
    Ok(())
}

fn an_exception_for_select(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("none", crate::sys::select_exception(&theirs, Duration::ZERO)?);
    send_urgent(&ours, "a!")?;
    w.note("one", crate::sys::select_exception(&theirs, SOON)?);
    w.note("the byte", recv(&theirs, 1, MSG_OOB));
    w.note("none", crate::sys::select_exception(&theirs, Duration::ZERO)?);
    Ok(())
}

fn the_other_way_in_the_meantime(w: &World) -> Result<()> {
    let (ours, theirs): (OwnedFd, OwnedFd) = w.pair()?;
    send_urgent(&ours, "!")?;
    send_urgent(&theirs, "?")?;
    w.settle(&ours, PRI);
    w.settle(&theirs, PRI);
    w.note("one", recv(&theirs, 1, MSG_OOB));
    w.note("other", recv(&ours, 1, MSG_OOB));
    for turn in 0..20 {
        w.note("send", send(&ours, format!("word {turn}")));
        w.note("recv", recv(&theirs, 100, 0));
        w.note("answer", send(&theirs, format!("answer {turn}")));
        w.note("recv", recv(&ours, 100, 0));
    }
    Ok(())
}
