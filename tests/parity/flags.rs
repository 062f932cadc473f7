//! The flags of send(2) and recv(2): those that have a meaning, and those that have none.

use std::io::{IoSlice, IoSliceMut};
use std::time::Duration;

use anyhow::Result;
use ioth::{
    IPPROTO_TCP, IPPROTO_UDP, MSG_CMSG_CLOEXEC, MSG_CONFIRM, MSG_DONTROUTE, MSG_DONTWAIT, MSG_EOR,
    MSG_FASTOPEN, MSG_MORE, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_PROBE, MSG_TRUNC, MSG_WAITALL, MSG_ZEROCOPY,
    SHUT_WR, SO_RCVTIMEO, TCP_NODELAY, UDP_CORK, UDP_SEGMENT,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, OUT, option, patient, recv, recv_exactly, send, set_timeout, text};
use crate::messages::receive;
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        every_flag_of_a_stream,
        every_flag_of_a_datagram,
        every_flag_of_an_echo,
        every_flag_of_a_receiver,
        thrown_away,
        thrown_away_in_parts,
        more_of_a_segment,
        a_datagram_in_parts,
        a_datagram_in_parts_to_others,
        a_datagram_in_parts_too_long,
        parts_without_a_destination,
        a_corked_datagram,
        a_corked_datagram_cut,
        a_probe,
        past_no_router,
        past_no_router_by_option,
        open_and_send,
        open_and_send_badly,
        parts_stay_as_they_were,
        what_recvmsg_says_of_flags,
        the_signal_of_a_broken_pipe,
        no_signal_of_a_datagram,
    ]
}

/// All bits that the kernel leaves to the caller, but for those that change what a call does here.
fn strange(beside: i32) -> impl Iterator<Item = i32> {
    // Bits of the kernel alone (MSG_SPLICE_PAGES and the like) are taken away before TCP sees them.
    let known = MSG_OOB | MSG_MORE | MSG_FASTOPEN | MSG_DONTWAIT | beside;
    (0..26).map(|bit| 1 << bit).filter(move |flag| flag & known == 0)
}

fn every_flag_of_a_stream(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    for flag in strange(0).chain([MSG_ZEROCOPY, MSG_EOR, MSG_CONFIRM, MSG_DONTROUTE, MSG_PROBE]) {
        w.note(&format!("send {flag:#x}"), ioth::send(&ours, b"word", flag | MSG_NOSIGNAL));
        w.note("recv", recv_exactly(&theirs, 4).map(|got| text(&got)).unwrap_or_default());
    }
    Ok(())
}

fn every_flag_of_a_datagram(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    for flag in strange(MSG_PROBE).chain([MSG_ZEROCOPY, MSG_OOB]) {
        let sent = ioth::sendto(&ours, b"word", flag | MSG_NOSIGNAL, &w.at());
        let arrives = sent.is_ok();
        w.note(&format!("send {flag:#x}"), sent);
        if arrives {
            w.note("recv", recv(&theirs, 10, 0));
        }
    }
    Ok(())
}

fn every_flag_of_an_echo(w: &World) -> Result<()> {
    let protocol = match w.family {
        crate::world::Family::V4 => ioth::IPPROTO_ICMP,
        crate::world::Family::V6 => ioth::IPPROTO_ICMPV6,
    };
    let fd = w.client.socket(w.domain(), ioth::SOCK_DGRAM | ioth::SOCK_CLOEXEC, protocol)?;
    patient(&fd)?;
    let request =
        if protocol == ioth::IPPROTO_ICMP { [8, 0, 0, 0, 0, 0, 0, 1] } else { [128, 0, 0, 0, 0, 0, 0, 1] };
    let mut to = w.at();
    to.set_port(0);
    for flag in strange(MSG_PROBE).chain([MSG_OOB]) {
        let sent = ioth::sendto(&fd, &request, flag, &to);
        let arrives = sent.is_ok();
        w.note(&format!("send {flag:#x}"), sent);
        if arrives {
            w.note("recv", ioth::recv(&fd, &mut [0; 20], 0));
        }
    }
    w.note("recv MSG_OOB", recv(&fd, 10, MSG_OOB | MSG_DONTWAIT));
    Ok(())
}

fn every_flag_of_a_receiver(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    // What waits for nobody, or tells of errors, or shows what stays.
    let told = ioth::MSG_ERRQUEUE | MSG_PEEK | MSG_TRUNC | MSG_WAITALL;
    for flag in strange(told) {
        send(&ours, "word")?;
        w.note(&format!("recv {flag:#x}"), recv(&theirs, 4, flag));
    }
    let (theirs, ours) = (w.with(w.family).datagram(&w.server)?, w.datagram(&w.client)?);
    ioth::bind(&theirs, &std::net::SocketAddr::new(w.at().ip(), w.port + 1))?;
    patient(&theirs)?;
    ioth::connect(&ours, &std::net::SocketAddr::new(w.at().ip(), w.port + 1))?;
    for flag in strange(told).chain([MSG_OOB]) {
        send(&ours, "word")?;
        w.note(&format!("datagram {flag:#x}"), recv(&theirs, 4, flag));
    }
    Ok(())
}

fn thrown_away(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    send(&ours, "0123456789")?;
    w.settle(&theirs, IN | OUT);
    let mut room = *b"......";
    w.note("peek", ioth::recv(&theirs, &mut room, MSG_TRUNC | MSG_PEEK));
    w.note("room", text(&room));
    w.note("thrown away", ioth::recv(&theirs, &mut room, MSG_TRUNC));
    w.note("room", text(&room));
    w.note("the rest", recv(&theirs, 10, 0));
    w.note("nothing", recv(&theirs, 10, MSG_TRUNC | MSG_DONTWAIT));
    send(&ours, "more")?;
    send(&ours, "over")?;
    w.note("all of it", ioth::recv(&theirs, &mut [0; 8], MSG_TRUNC | MSG_WAITALL));
    ioth::shutdown(&ours, SHUT_WR)?;
    w.note("end", recv(&theirs, 10, MSG_TRUNC));
    Ok(())
}

fn thrown_away_in_parts(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    send(&ours, "0123456789")?;
    w.settle(&theirs, IN | OUT);
    let (mut a, mut b) = (*b"...", *b"....");
    let message = ioth::recvmsg(&theirs, &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)], MSG_TRUNC);
    w.note("recvmsg", message);
    w.note("parts", (text(&a), text(&b)));
    w.note("the rest", recv(&theirs, 10, 0));
    Ok(())
}

fn more_of_a_segment(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    ioth::setsockopt_int(&ours, IPPROTO_TCP, TCP_NODELAY, 1)?;
    set_timeout(&theirs, SO_RCVTIMEO, Duration::from_millis(60))?;
    w.note("part", ioth::send(&ours, b"one ", MSG_MORE | MSG_NOSIGNAL));
    w.note("nothing yet", recv(&theirs, 10, 0));
    w.note("part", ioth::send(&ours, b"two ", MSG_MORE | MSG_NOSIGNAL));
    w.note("rest", send(&ours, "three"));
    patient(&theirs)?;
    w.note("all", recv_exactly(&theirs, 13).map(|got| text(&got)).unwrap_or_default());
    w.note("waits", ioth::send(&ours, b"late", MSG_MORE | MSG_NOSIGNAL));
    w.note("at last", recv(&theirs, 10, 0));
    w.note("before the end", ioth::send(&ours, b"last", MSG_MORE | MSG_NOSIGNAL));
    ioth::shutdown(&ours, SHUT_WR)?;
    w.note("last", recv(&theirs, 10, 0));
    w.note("end", recv(&theirs, 10, 0));
    Ok(())
}

fn a_datagram_in_parts(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    ioth::connect(&ours, &w.at())?;
    w.note("one", ioth::send(&ours, b"one ", MSG_MORE));
    w.note("two", ioth::send(&ours, b"two ", MSG_MORE));
    w.note("nothing yet", recv(&theirs, 20, MSG_DONTWAIT));
    w.note("three", ioth::sendmsg(&ours, &[IoSlice::new(b"th"), IoSlice::new(b"ree")], &[], 0, None));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("one", ioth::send(&ours, b"alone", MSG_MORE));
    w.note("nothing", ioth::send(&ours, b"", 0));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("next", send(&ours, "next"));
    w.note("recv", recv(&theirs, 20, 0));
    Ok(())
}

fn a_datagram_in_parts_to_others(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    w.note("one", ioth::sendto(&ours, b"one ", MSG_MORE, &w.at()));
    // The first part says where it goes.
    w.note("two", ioth::sendto(&ours, b"two", 0, &w.nobody()));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("one", ioth::sendto(&ours, b"three ", MSG_MORE, &w.at()));
    w.note("without", ioth::send(&ours, b"four", 0));
    w.note("recv", recv(&theirs, 20, 0));
    Ok(())
}

fn a_datagram_in_parts_too_long(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    ioth::connect(&ours, &w.at())?;
    w.note("half", ioth::send(&ours, &[7; 40_000], MSG_MORE));
    w.note("too much", ioth::send(&ours, &[7; 40_000], MSG_MORE));
    // Nothing of it is left.
    w.note("next", send(&ours, "next"));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("half", ioth::send(&ours, &[7; 3000], MSG_MORE));
    w.note("half", ioth::send(&ours, &[8; 3000], 0));
    w.note("recv", recv(&theirs, 9000, 0));
    Ok(())
}

fn parts_without_a_destination(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    w.note("nobody", ioth::send(&ours, b"x", MSG_MORE));
    w.note("nowhere", ioth::sendto(&ours, b"x", MSG_MORE, &w.nowhere()));
    w.note("to the server", ioth::sendto(&ours, b"word", 0, &w.at()));
    w.note("recv", recv(&theirs, 20, 0));
    Ok(())
}

fn a_corked_datagram(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    ioth::connect(&ours, &w.at())?;
    w.note("at first", option(&ours, IPPROTO_UDP, UDP_CORK));
    w.note("cork", ioth::setsockopt_int(&ours, IPPROTO_UDP, UDP_CORK, 7));
    w.note("shows", option(&ours, IPPROTO_UDP, UDP_CORK));
    w.note("one", send(&ours, "one "));
    w.note("two", send(&ours, "two"));
    w.note("nothing yet", recv(&theirs, 20, MSG_DONTWAIT));
    w.note("out", ioth::setsockopt_int(&ours, IPPROTO_UDP, UDP_CORK, 0));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("out again", ioth::setsockopt_int(&ours, IPPROTO_UDP, UDP_CORK, 0));
    w.note("next", send(&ours, "next"));
    w.note("recv", recv(&theirs, 20, 0));
    Ok(())
}

fn a_corked_datagram_cut(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    ioth::connect(&ours, &w.at())?;
    ioth::setsockopt_int(&ours, IPPROTO_UDP, UDP_SEGMENT, 4)?;
    w.note("one", ioth::send(&ours, b"012", MSG_MORE));
    w.note("two", send(&ours, "3456789"));
    for _ in 0..3 {
        w.note("recv", recv(&theirs, 20, 0));
    }
    Ok(())
}

fn a_probe(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    w.note("probe", ioth::sendto(&ours, b"probe", MSG_PROBE, &w.at()));
    w.note("nowhere", ioth::sendto(&ours, b"probe", MSG_PROBE, &w.nowhere()));
    w.note("confirm", ioth::sendto(&ours, b"", MSG_CONFIRM | MSG_PROBE, &w.at()));
    w.note("sent", ioth::sendto(&ours, b"sent", MSG_CONFIRM, &w.at()));
    w.note("recv", recv(&theirs, 20, 0));
    Ok(())
}

fn past_no_router(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    w.note("on the link", ioth::sendto(&ours, b"near", MSG_DONTROUTE, &w.at()));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("nowhere", ioth::sendto(&ours, b"far", MSG_DONTROUTE, &w.nowhere()));
    Ok(())
}

fn past_no_router_by_option(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    w.note("set", ioth::setsockopt_int(&ours, ioth::SOL_SOCKET, ioth::SO_DONTROUTE, 5));
    w.note("shows", option(&ours, ioth::SOL_SOCKET, ioth::SO_DONTROUTE));
    w.note("on the link", ioth::sendto(&ours, b"near", 0, &w.at()));
    w.note("recv", recv(&theirs, 20, 0));
    let stream = w.stream()?;
    let _listener = w.listener()?;
    ioth::setsockopt_int(&stream, ioth::SOL_SOCKET, ioth::SO_DONTROUTE, 1)?;
    w.note("connect", ioth::connect(&stream, &w.at()));
    Ok(())
}

fn open_and_send(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let ours = w.stream()?;
    w.note("send", ioth::sendto(&ours, b"hello", MSG_FASTOPEN | MSG_NOSIGNAL, &w.at()));
    let (theirs, _) = ioth::accept(&listener)?;
    patient(&theirs)?;
    w.note("recv", recv(&theirs, 20, 0));
    w.note("again", ioth::sendto(&ours, b"hello", MSG_FASTOPEN | MSG_NOSIGNAL, &w.at()));
    w.note("peer", ioth::getpeername(&ours));
    Ok(())
}

fn open_and_send_badly(w: &World) -> Result<()> {
    let ours = w.stream()?;
    w.note("to nobody", ioth::send(&ours, b"hello", MSG_FASTOPEN | MSG_NOSIGNAL));
    w.note("refused", ioth::sendto(&ours, b"hello", MSG_FASTOPEN | MSG_NOSIGNAL, &w.at()));
    w.note("nowhere", ioth::sendto(&w.stream()?, b"hello", MSG_FASTOPEN | MSG_NOSIGNAL, &w.nowhere()));
    Ok(())
}

fn parts_stay_as_they_were(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    send(&ours, "0123456")?;
    w.settle(&theirs, IN | OUT);
    let (mut a, mut b, mut c) = (*b"....", *b"....", *b"....");
    let mut room = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b), IoSliceMut::new(&mut c)];
    w.note("recvmsg", ioth::recvmsg(&theirs, &mut room, 0));
    w.note("parts", (text(&a), (text(&b), text(&c))));
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    ioth::sendto(&ours, b"01234", 0, &w.at())?;
    let (mut a, mut b, mut c) = (*b"....", *b"....", *b"....");
    let mut room = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b), IoSliceMut::new(&mut c)];
    w.note("recvmsg", ioth::recvmsg(&theirs, &mut room, MSG_TRUNC));
    w.note("parts", (text(&a), (text(&b), text(&c))));
    Ok(())
}

fn what_recvmsg_says_of_flags(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    for flags in [0, MSG_CMSG_CLOEXEC, MSG_PEEK, MSG_WAITALL, MSG_NOSIGNAL] {
        send(&ours, "word")?;
        w.note(&format!("stream {flags:#x}"), receive(&theirs, 4, flags));
        let _ = flags == MSG_PEEK && recv(&theirs, 4, 0).is_ok();
    }
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    for flags in [0, MSG_CMSG_CLOEXEC, MSG_CMSG_CLOEXEC | MSG_TRUNC] {
        ioth::sendto(&ours, b"word", 0, &w.at())?;
        w.note(&format!("datagram {flags:#x}"), receive(&theirs, 2, flags));
    }
    Ok(())
}

fn the_signal_of_a_broken_pipe(w: &World) -> Result<()> {
    let (ours, _theirs) = w.pair()?;
    ioth::shutdown(&ours, SHUT_WR)?;
    let signal = crate::sys::Blocked::of(libc::SIGPIPE)?;
    w.note("quietly", ioth::send(&ours, b"x", MSG_NOSIGNAL));
    w.note("signal", signal.wait(Duration::ZERO)?);
    w.note("aloud", ioth::send(&ours, b"x", 0));
    w.note("signal", signal.wait(Duration::from_secs(1))?);
    w.note("by parts", ioth::sendmsg(&ours, &[IoSlice::new(b"x"), IoSlice::new(b"y")], &[], 0, None));
    w.note("signal", signal.wait(Duration::from_secs(1))?);
    w.note("by write", ioth::write(&ours, b"x"));
    w.note("signal", signal.wait(Duration::from_secs(1))?);
    let fresh = w.stream()?;
    w.note("fresh", ioth::send(&fresh, b"x", 0));
    w.note("signal", signal.wait(Duration::from_secs(1))?);
    Ok(())
}

fn no_signal_of_a_datagram(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    ioth::connect(&ours, &w.at())?;
    ioth::shutdown(&ours, SHUT_WR)?;
    let signal = crate::sys::Blocked::of(libc::SIGPIPE)?;
    w.note("send", ioth::send(&ours, b"x", 0));
    w.note("signal", signal.wait(Duration::ZERO)?);
    Ok(())
}
