//! `UDP_SEGMENT` on one side and `UDP_GRO` on the other: several datagrams by one call, sent and received.

use std::io;
use std::os::fd::OwnedFd;

use anyhow::Result;
use ioth::{
    Control, IPPROTO_UDP, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, Message, SO_TIMESTAMP, SOL_SOCKET, UDP_GRO,
    UDP_SEGMENT,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, OUT, option, patient, plain_read, recv, send};
use crate::messages::{receive, transmit};
use crate::world::{MOMENT, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        the_option,
        received_as_one,
        received_one_by_one,
        changed_while_they_wait,
        other_control_messages,
        through_the_pair,
        what_was_asked_for_is_not_sent,
    ]
}

/// A connected client that sends 1000 bytes in each datagram, and a server that takes them as one, connected, too.
fn pair(w: &World) -> Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = (w.datagram(&w.client)?, w.datagram_server()?);
    patient(&theirs)?;
    ioth::connect(&ours, &w.at())?;
    ioth::connect(&theirs, &ioth::getsockname(&ours)?)?;
    // Neighbours have asked for each other then.
    send(&ours, "first")?;
    receive(&theirs, 10, 0)?;
    ioth::setsockopt_int(&ours, IPPROTO_UDP, UDP_SEGMENT, 1000)?;
    ioth::setsockopt_int(&theirs, IPPROTO_UDP, UDP_GRO, 1)?;
    Ok((ours, theirs))
}

/// recvmsg(2) with room for so much, without the bytes.
fn message(fd: &OwnedFd, len: usize, flags: i32) -> io::Result<Message> {
    receive(fd, len, flags).map(|(_, message)| message)
}

fn data(len: usize) -> Vec<u8> {
    ioth_tests::pattern::stream(len as u64)
}

fn the_option(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    w.note("at first", option(&fd, IPPROTO_UDP, UDP_GRO));
    for value in [1, 7, 0, -1, 70_000] {
        w.note(&format!("set {value}"), ioth::setsockopt_int(&fd, IPPROTO_UDP, UDP_GRO, value));
        w.note("shows", option(&fd, IPPROTO_UDP, UDP_GRO));
    }
    w.note("too short", ioth::setsockopt(&fd, IPPROTO_UDP, UDP_GRO, &[1; 2]));
    w.note("on a stream", ioth::setsockopt_int(w.stream()?, IPPROTO_UDP, UDP_GRO, 1));
    w.note("of a stream", option(&w.stream()?, IPPROTO_UDP, UDP_GRO));
    Ok(())
}

fn received_as_one(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    for len in [0, 1, 1000, 1001, 2000, 5500, 60_000] {
        w.note(&format!("send {len}"), ioth::send(&ours, &data(len), 0));
        let mut room = vec![0; 65_536];
        let message = ioth::recvmsg(&theirs, &mut [io::IoSliceMut::new(&mut room)], 0)?;
        w.note("the same", room[..message.len] == data(len));
        w.note("recvmsg", message);
    }
    w.note("by control message", transmit(&ours, &data(5500), &[Control::DatagramSize(1200)], None));
    w.note("recvmsg", message(&theirs, 65_536, 0));
    w.note("cut", ioth::send(&ours, &data(5500), 0));
    w.note("recvmsg", message(&theirs, 1500, MSG_PEEK | MSG_TRUNC));
    w.note("recvmsg", message(&theirs, 1500, MSG_PEEK));
    w.note("recvmsg", message(&theirs, 1500, 0));
    w.note("no rest", message(&theirs, 1500, MSG_DONTWAIT));
    w.note("for recv", ioth::send(&ours, &data(5500), 0));
    w.note("recv", ioth::recv(&theirs, &mut [0; 6000], 0));
    Ok(())
}

/// What waits, within a moment: lengths.
fn lengths(w: &World, fd: &OwnedFd) -> Vec<usize> {
    w.settle(fd, IN);
    std::thread::sleep(MOMENT);
    std::iter::from_fn(|| message(fd, 65_536, MSG_DONTWAIT).ok()).map(|message| message.len).collect()
}

fn received_one_by_one(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    ioth::setsockopt_int(&theirs, IPPROTO_UDP, UDP_GRO, 0)?;
    for len in [5500, 60_000] {
        w.note("send", ioth::send(&ours, &data(len), 0));
        w.note("recvmsg", lengths(w, &theirs));
    }
    Ok(())
}

fn changed_while_they_wait(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    for now in [0, 1] {
        ioth::setsockopt_int(&theirs, IPPROTO_UDP, UDP_GRO, 1 - now)?;
        w.note("send", ioth::send(&ours, &data(2500), 0));
        w.settle(&theirs, IN);
        std::thread::sleep(MOMENT);
        ioth::setsockopt_int(&theirs, IPPROTO_UDP, UDP_GRO, now)?;
        while let Ok(message) = message(&theirs, 65_536, MSG_DONTWAIT) {
            w.note("recvmsg", message);
        }
    }
    Ok(())
}

fn other_control_messages(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    crate::messages::ask(w, &theirs, 1)?;
    ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_TIMESTAMP, 1)?;
    w.note("send", ioth::send(&ours, &data(2500), 0));
    w.note("in their order", message(&theirs, 65_536, 0));
    Ok(())
}

fn through_the_pair(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    for len in [2500, 1000, 5500, 3000] {
        ioth::send(&ours, &data(len), 0)?;
    }
    // Poll brings them to the descriptor.
    w.poll("four", &theirs, IN | OUT);
    w.note("plain read", plain_read(&theirs, 6000).map(|text| text.len()));
    w.note("recvmsg", message(&theirs, 6000, 0));
    w.note("recvmsg", message(&theirs, 6000, 0));
    w.note("recv", recv(&theirs, 6000, 0).map(|text| text.len()));
    w.note("plain write", rustix::io::write(&ours, &data(5500)).map_err(io::Error::from));
    w.note("recvmsg", message(&theirs, 6000, 0));
    Ok(())
}

fn what_was_asked_for_is_not_sent(w: &World) -> Result<()> {
    let (ours, _theirs) = pair(w)?;
    w.note("sendmsg", transmit(&ours, b"word", &[Control::ReceivedSize(1000)], None));
    Ok(())
}
