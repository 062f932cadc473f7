//! Several parts, several messages, files, and what ioctl(2) says of a socket.

use std::io::{IoSlice, IoSliceMut, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use ioth::{
    FIONBIO, FIONREAD, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_WAITFORONE, Receiving, SHUT_WR,
    SIOCATMARK, SIOCGIFADDR, SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFMTU, SIOCGIFNAME,
    SIOCGIFNETMASK, SIOCOUTQ, SIOCOUTQNSD, SO_RCVLOWAT, SOL_SOCKET, Sending,
};
use ioth_tests::netns::Test;
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create};
use rustix::pipe::{SpliceFlags, pipe, splice};

use crate::calls::{IN, NOTHING, OUT, patient, plain_read, recv, recv_exactly, send, set_timeout, text};
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        read_and_write_in_parts,
        parts_of_a_datagram_by_writev,
        parts_of_nothing,
        several_datagrams,
        several_datagrams_some_bad,
        several_messages_of_a_stream,
        several_wait_for_one,
        several_with_a_time,
        a_file_to_a_stream,
        a_file_from_its_middle,
        a_file_to_a_datagram,
        a_file_to_nobody,
        splice_from_a_socket,
        splice_to_a_socket,
        how_much_waits,
        how_long_the_next_is,
        how_much_is_under_way,
        queues_of_a_listener,
        nonblocking_by_ioctl,
        the_mark_by_ioctl,
        requests_without_meaning,
        an_interface_by_ioctl,
        interfaces_that_do_not_exist,
        interfaces_by_name,
        low_water,
        low_water_and_poll,
        low_water_and_the_end,
        bound_to_an_interface,
        the_number_of_the_loopback_interface,
        bound_to_no_interface,
        bound_elsewhere,
    ]
}

fn read_and_write_in_parts(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two three")];
    w.note("writev", ioth::writev(&ours, &parts));
    w.settle(&theirs, IN | OUT);
    let (mut a, mut b, mut c) = (*b"...", *b"....", *b"...........");
    let mut room = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b), IoSliceMut::new(&mut c)];
    w.note("readv", ioth::readv(&theirs, &mut room));
    w.note("parts", (text(&a), (text(&b), text(&c))));
    ioth::shutdown(&ours, SHUT_WR)?;
    w.note("end", ioth::readv(&theirs, &mut [IoSliceMut::new(&mut a)]));
    w.note("fresh", ioth::readv(w.stream()?, &mut [IoSliceMut::new(&mut a)]));
    Ok(())
}

fn parts_of_a_datagram_by_writev(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    w.note("nowhere", ioth::writev(&ours, &[IoSlice::new(b"x")]));
    ioth::connect(&ours, &w.at())?;
    w.note("writev", ioth::writev(&ours, &[IoSlice::new(b"one "), IoSlice::new(b"two")]));
    let (mut a, mut b) = (*b"...", *b"...");
    w.note("readv", ioth::readv(&theirs, &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]));
    w.note("parts", (text(&a), text(&b)));
    Ok(())
}

fn parts_of_nothing(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("writev", ioth::writev(&ours, &[]));
    w.note("readv", ioth::readv(&theirs, &mut []));
    w.note("empty", ioth::readv(&theirs, &mut [IoSliceMut::new(&mut [])]));
    Ok(())
}

fn sending<'a>(parts: &'a [IoSlice<'a>], to: Option<std::net::SocketAddr>) -> Sending<'a> {
    Sending { parts, controls: &[], to, sent: 0 }
}

/// Receives up to `count` messages, and shows them.
fn receive_several(w: &World, what: &str, fd: &OwnedFd, flags: i32, time: Option<Duration>, count: usize) {
    let mut rooms = vec![[0; 10]; count];
    let mut parts: Vec<_> = rooms.iter_mut().map(|room| [IoSliceMut::new(room)]).collect();
    let mut messages: Vec<_> =
        parts.iter_mut().map(|parts| Receiving { parts: &mut parts[..], message: None }).collect();
    w.note(what, ioth::recvmmsg(fd, &mut messages, flags, time));
    let lens: Vec<_> = messages.iter().flat_map(|room| &room.message).map(|message| message.len).collect();
    w.note("lengths", lens);
}

fn several_datagrams(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    let (one, two) = ([IoSlice::new(b"one")], [IoSlice::new(b"the "), IoSlice::new(b"second")]);
    let mut messages = [sending(&one, Some(w.at())), sending(&two, Some(w.at())), sending(&[], Some(w.at()))];
    w.note("sendmmsg", ioth::sendmmsg(&ours, &mut messages, 0));
    w.note("sent", messages.iter().map(|message| message.sent).collect::<Vec<_>>());
    receive_several(w, "three", &theirs, 0, None, 3);
    receive_several(w, "none", &theirs, MSG_DONTWAIT, None, 3);
    receive_several(w, "no room", &theirs, 0, None, 0);
    w.note("no messages", ioth::sendmmsg(&ours, &mut [], 0));
    Ok(())
}

fn several_datagrams_some_bad(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    let one = [IoSlice::new(b"one")];
    let mut messages =
        [sending(&one, Some(w.at())), sending(&one, Some(w.nowhere())), sending(&one, Some(w.at()))];
    w.note("the second is bad", ioth::sendmmsg(&ours, &mut messages, 0));
    w.note("the first is bad", ioth::sendmmsg(&ours, &mut messages[1..], 0));
    receive_several(w, "one", &theirs, MSG_WAITFORONE, None, 3);
    Ok(())
}

fn several_messages_of_a_stream(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    let (one, two) = ([IoSlice::new(b"0123456789")], [IoSlice::new(b"abcde")]);
    let mut messages = [sending(&one, None), sending(&two, None)];
    w.note("sendmmsg", ioth::sendmmsg(&ours, &mut messages, MSG_NOSIGNAL));
    ioth::shutdown(&ours, SHUT_WR)?;
    w.note("all", recv_exactly(&theirs, 15).map(|got| text(&got)).unwrap_or_default());
    receive_several(w, "ends", &theirs, 0, None, 2);
    w.note("broken", ioth::sendmmsg(&ours, &mut messages, MSG_NOSIGNAL));
    Ok(())
}

fn several_wait_for_one(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    ioth::connect(&ours, &w.at())?;
    for word in ["one", "two"] {
        send(&ours, word)?;
    }
    w.settle(&theirs, IN | OUT);
    receive_several(w, "two of four", &theirs, MSG_WAITFORONE, None, 4);
    set_timeout(&theirs, ioth::SO_RCVTIMEO, Duration::from_millis(20))?;
    receive_several(w, "none comes", &theirs, MSG_WAITFORONE, None, 4);
    Ok(())
}

fn several_with_a_time(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    ioth::connect(&ours, &w.at())?;
    for word in ["one", "two", "three"] {
        send(&ours, word)?;
    }
    // It is looked at after a message only.
    receive_several(w, "no time", &theirs, 0, Some(Duration::ZERO), 3);
    receive_several(w, "some", &theirs, 0, Some(Duration::from_secs(5)), 2);
    Ok(())
}

fn file(content: &[u8]) -> Result<OwnedFd> {
    let fd = memfd_create("parity", MemfdFlags::CLOEXEC)?;
    std::fs::File::from(fd.try_clone()?).write_all(content).context("fill the file")?;
    rustix::fs::seek(&fd, SeekFrom::Start(0))?;
    Ok(fd)
}

fn a_file_to_a_stream(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    let content: Vec<u8> = (0..700_000u32).map(|at| (at * 7 / 3) as u8).collect();
    let file = file(&content)?;
    let reader = std::thread::spawn(move || recv_exactly(&theirs, 700_000));
    w.note("all", ioth::sendfile(&ours, &file, None, 1_000_000));
    w.note("nothing left", ioth::sendfile(&ours, &file, None, 10));
    w.note("stands", rustix::fs::tell(&file));
    let got = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    w.note("the same", got == content);
    Ok(())
}

fn a_file_from_its_middle(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    let file = file(b"0123456789")?;
    let mut at = 4;
    w.note("some", ioth::sendfile(&ours, &file, Some(&mut at), 3));
    w.note("moved on", at);
    w.note("stands", rustix::fs::tell(&file));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("nothing", ioth::sendfile(&ours, &file, Some(&mut at), 0));
    let mut behind = 20;
    w.note("behind the end", ioth::sendfile(&ours, &file, Some(&mut behind), 3));
    Ok(())
}

fn a_file_to_a_datagram(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    ioth::connect(&ours, &w.at())?;
    w.note("sendfile", ioth::sendfile(&ours, file(b"content")?, None, 7));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn a_file_to_nobody(w: &World) -> Result<()> {
    let signal = crate::sys::Blocked::of(libc::SIGPIPE)?;
    let file = file(b"content")?;
    w.note("fresh", ioth::sendfile(w.stream()?, &file, None, 7));
    w.note("signal", signal.wait(Duration::ZERO)?);
    w.note("stands", rustix::fs::tell(&file));
    Ok(())
}

fn splice_from_a_socket(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    send(&ours, "spliced")?;
    w.settle(&theirs, IN | OUT);
    let (read, write) = pipe()?;
    w.note("splice", splice(&theirs, None, &write, None, 20, SpliceFlags::empty()));
    w.note("read", plain_read(&read, 20));
    send(&ours, "again")?;
    w.note("recv", recv(&theirs, 20, 0));
    Ok(())
}

fn splice_to_a_socket(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    send(&ours, "before ")?;
    let (read, write) = pipe()?;
    rustix::io::write(&write, b"spliced ")?;
    w.note("splice", splice(&read, None, &ours, None, 20, SpliceFlags::empty()));
    send(&ours, "behind")?;
    w.note("recv", recv_exactly(&theirs, 21).map(|got| text(&got)).unwrap_or_default());
    Ok(())
}

/// A number by ioctl(2).
fn number(fd: &OwnedFd, request: u32) -> std::io::Result<i32> {
    let mut value = [0xff; 4];
    ioth::ioctl(fd, request, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

fn how_much_waits(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("nothing", number(&theirs, FIONREAD));
    send(&ours, "0123456789")?;
    w.settle(&theirs, IN | OUT);
    w.note("ten", number(&theirs, FIONREAD));
    w.note("recv", recv(&theirs, 3, 0));
    w.note("seven", number(&theirs, FIONREAD));
    send(&ours, [7; 100_000])?;
    recv_exactly(&theirs, 50_007)?;
    while number(&theirs, FIONREAD)? < 50_000 {
        std::thread::yield_now();
    }
    w.note("half", number(&theirs, FIONREAD));
    recv_exactly(&theirs, 50_000)?;
    w.note("nothing", number(&theirs, FIONREAD));
    w.note("fresh", number(&w.stream()?, FIONREAD));
    Ok(())
}

fn how_long_the_next_is(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    ioth::connect(&ours, &w.at())?;
    w.note("nothing", number(&theirs, FIONREAD));
    send(&ours, "four")?;
    send(&ours, "second")?;
    w.settle(&theirs, IN | OUT);
    w.note("four", number(&theirs, FIONREAD));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("six", number(&theirs, FIONREAD));
    w.note("recv", recv(&theirs, 20, MSG_PEEK));
    w.note("six", number(&theirs, FIONREAD));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("nothing", number(&theirs, FIONREAD));
    Ok(())
}

fn how_much_is_under_way(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    w.note("nothing", number(&ours, SIOCOUTQ));
    send(&ours, "0123456789")?;
    recv_exactly(&theirs, 10)?;
    while number(&ours, SIOCOUTQ)? > 0 {
        std::thread::yield_now();
    }
    w.note("acknowledged", number(&ours, SIOCOUTQ));
    w.note("not sent", number(&ours, SIOCOUTQNSD));
    ioth::setsockopt_int(&ours, ioth::IPPROTO_TCP, ioth::TCP_CORK, 1)?;
    send(&ours, "part")?;
    w.note("corked", number(&ours, SIOCOUTQ));
    w.note("not sent", number(&ours, SIOCOUTQNSD));
    w.note("datagram", number(&w.datagram(&w.client)?, SIOCOUTQ));
    Ok(())
}

fn queues_of_a_listener(w: &World) -> Result<()> {
    let listener = w.listener()?;
    w.note("FIONREAD", number(&listener, FIONREAD));
    w.note("SIOCOUTQ", number(&listener, SIOCOUTQ));
    Ok(())
}

fn nonblocking_by_ioctl(w: &World) -> Result<()> {
    let (ours, _theirs) = w.pair()?;
    w.note("on", ioth::ioctl(&ours, FIONBIO, &mut 1i32.to_ne_bytes()));
    w.note("recv", recv(&ours, 10, 0));
    w.note("off", ioth::ioctl(&ours, FIONBIO, &mut [0; 4]));
    set_timeout(&ours, ioth::SO_RCVTIMEO, Duration::from_millis(20))?;
    let start = std::time::Instant::now();
    w.note("recv", recv(&ours, 10, 0));
    w.note("waited", start.elapsed() >= Duration::from_millis(15));
    Ok(())
}

fn the_mark_by_ioctl(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    ioth::send(&ours, b"ab!", MSG_OOB | MSG_NOSIGNAL)?;
    w.settle(&theirs, rustix::event::PollFlags::PRI | IN);
    w.note("not yet", number(&theirs, SIOCATMARK));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("there", number(&theirs, SIOCATMARK));
    w.note("datagram", number(&w.datagram(&w.client)?, SIOCATMARK));
    Ok(())
}

fn requests_without_meaning(w: &World) -> Result<()> {
    let (stream, datagram) = (w.stream()?, w.datagram(&w.client)?);
    for fd in [&stream, &datagram] {
        w.note("TIOCGWINSZ", ioth::ioctl(fd, 0x5413, &mut [0; 8]).is_err());
    }
    w.note("unsent of a datagram", number(&datagram, SIOCOUTQNSD));
    Ok(())
}

/// A request about an interface by its name.
fn asked(fd: &OwnedFd, request: u32, name: &str) -> std::io::Result<[u8; 24]> {
    let mut argument = [0; 40];
    argument[..name.len()].copy_from_slice(name.as_bytes());
    ioth::ioctl(fd, request, &mut argument)?;
    Ok(*argument[16..].first_chunk().expect("24 bytes"))
}

/// The name of the interface of the client that is not the loopback one.
fn name_of(w: &World) -> Result<String> {
    let names = w.client.within(ioth::if_nameindex)?;
    let link = names.into_iter().map(|(_, name)| name).find(|name| name != "lo");
    link.context("an interface")
}

fn an_interface_by_ioctl(w: &World) -> Result<()> {
    let (fd, name) = (w.datagram(&w.client)?, name_of(w)?);
    const KNOWN: u16 = (libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_BROADCAST | libc::IFF_MULTICAST) as u16;
    let flags = asked(&fd, SIOCGIFFLAGS, &name)
        .map(|value| i32::from(u16::from_ne_bytes([value[0], value[1]]) & KNOWN));
    w.note("flags", flags);
    let flags =
        asked(&fd, SIOCGIFFLAGS, "lo").map(|value| i32::from(u16::from_ne_bytes([value[0], value[1]])));
    w.note("of lo", flags.map(|flags| flags & libc::IFF_LOOPBACK));
    for (what, request) in [("address", SIOCGIFADDR), ("mask", SIOCGIFNETMASK)] {
        let value =
            asked(&fd, request, &name).map(|value| value[..8].iter().map(|byte| i32::from(*byte)).collect());
        // Both hosts have the same but for the last byte.
        let value = value.map(|mut bytes: Vec<i32>| {
            let last = bytes.pop().unwrap_or_default();
            (
                bytes,
                last == 0 || w.here().ip().is_ipv6() || w.here().to_string().contains(&format!(".{last}:")),
            )
        });
        w.note(what, value);
    }
    w.note(
        "MTU",
        asked(&fd, SIOCGIFMTU, &name)
            .map(|value| i32::from_ne_bytes([value[0], value[1], value[2], value[3]])),
    );
    w.note(
        "station",
        asked(&fd, SIOCGIFHWADDR, &name)
            .map(|value| value[..2].iter().map(|byte| i32::from(*byte)).collect::<Vec<_>>()),
    );
    let index = asked(&fd, SIOCGIFINDEX, &name)?;
    let mut argument = [0; 40];
    argument[16..20].copy_from_slice(&index[..4]);
    w.note("by its index", ioth::ioctl(&fd, SIOCGIFNAME, &mut argument));
    w.note("its name", argument.starts_with(name.as_bytes()));
    Ok(())
}

fn interfaces_that_do_not_exist(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    for request in [SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFINDEX] {
        w.note(&format!("{request:#x}"), asked(&fd, request, "none0").map(|_| ()));
    }
    let mut argument = [0; 40];
    argument[16..20].copy_from_slice(&7777u32.to_ne_bytes());
    w.note("by index", ioth::ioctl(&fd, SIOCGIFNAME, &mut argument));
    w.note("too short", ioth::ioctl(&fd, SIOCGIFMTU, &mut [0; 20]));
    Ok(())
}

fn interfaces_by_name(w: &World) -> Result<()> {
    let name = name_of(w)?;
    let index = w.client.within(|stack| ioth::if_nametoindex(stack, &name))?;
    w.note("and back", w.client.within(|stack| ioth::if_indextoname(stack, index))? == name);
    w.note("no such name", w.client.within(|stack| ioth::if_nametoindex(stack, "none0")));
    w.note("no such index", w.client.within(|stack| ioth::if_indextoname(stack, 7777)));
    let all = w.client.within(ioth::getifaddrs)?;
    let mut lines: Vec<_> = all
        .iter()
        .filter(|entry| entry.name == name)
        .filter_map(|entry| Some((entry.address.as_ref()?, entry)))
        .filter(|(address, _)| !matches!(address.ip(), Some(at) if at.ip().to_string().starts_with("fe80")))
        .map(|(address, entry)| {
            let ip =
                |part: &Option<ioth::SockAddr>| part.as_ref().and_then(ioth::SockAddr::ip).map(|at| at.ip());
            format!(
                "family {}, own {}, mask {:?}",
                address.family(),
                address.ip().is_none_or(|at| at.ip().to_string().len() == w.here().ip().to_string().len()
                    || at.ip().is_ipv4() != w.here().is_ipv4()),
                ip(&entry.netmask)
            )
        })
        .collect();
    lines.sort();
    lines.dedup();
    w.note("addresses", lines.join("; "));
    Ok(())
}

fn low_water(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    set_timeout(&theirs, ioth::SO_RCVTIMEO, Duration::from_millis(60))?;
    w.note("set", ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_RCVLOWAT, 8));
    send(&ours, "four")?;
    w.note("not enough", recv(&theirs, 20, 0));
    send(&ours, "1234")?;
    w.note("not enough", recv(&theirs, 20, 0));
    send(&ours, "5678")?;
    w.settle(&theirs, NOTHING);
    patient(&theirs)?;
    w.note("four more", send(&ours, "9abc"));
    w.note("enough", recv(&theirs, 8, 0));
    w.note("less is asked for", recv(&theirs, 2, 0));
    Ok(())
}

fn low_water_and_poll(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_RCVLOWAT, 8)?;
    send(&ours, "four")?;
    w.poll("not enough", &theirs, NOTHING);
    send(&ours, "more")?;
    w.poll("enough", &theirs, IN | OUT);
    w.note("recv", recv(&theirs, 20, 0));
    Ok(())
}

fn low_water_and_the_end(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    patient(&theirs)?;
    ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_RCVLOWAT, 8)?;
    send(&ours, "four")?;
    ioth::shutdown(&ours, SHUT_WR)?;
    w.note("what is there", recv(&theirs, 20, 0));
    w.note("end", recv(&theirs, 20, 0));
    Ok(())
}

fn bound_to_an_interface(w: &World) -> Result<()> {
    let name = name_of(w)?;
    let fd = w.datagram(&w.client)?;
    w.note("bind", ioth::setsockopt(&fd, SOL_SOCKET, ioth::SO_BINDTODEVICE, name.as_bytes()));
    let mut shown = [0; 16];
    let len = ioth::getsockopt(&fd, SOL_SOCKET, ioth::SO_BINDTODEVICE, &mut shown)?;
    w.note("its name", shown[..len].strip_suffix(&[0]) == Some(name.as_bytes()));
    let index = ioth::getsockopt_int(&fd, SOL_SOCKET, ioth::SO_BINDTOIFINDEX)?;
    w.note("its number", index as u32 == w.client.within(|stack| ioth::if_nametoindex(stack, &name))?);
    if w.client.same_as(&w.server) {
        return Ok(());
    }
    let theirs = w.datagram_server()?;
    patient(&theirs)?;
    patient(&fd)?;
    w.note("send", ioth::sendto(&fd, b"word", 0, &w.at()));
    let mut room = [0; 10];
    let (_, from) = ioth::recvfrom(&theirs, &mut room, 0)?;
    let from = from.context("a source")?;
    w.note("back", ioth::sendto(&theirs, b"answer", 0, &from));
    w.note("recv", recv(&fd, 10, 0));
    let (listener, stream) = (w.listener()?, w.stream()?);
    ioth::setsockopt(&stream, SOL_SOCKET, ioth::SO_BINDTODEVICE, name.as_bytes())?;
    w.note("connect", ioth::connect(&stream, &w.at()));
    w.note("accept", ioth::accept(&listener));
    w.note("let go", ioth::setsockopt(&fd, SOL_SOCKET, ioth::SO_BINDTODEVICE, b""));
    w.note("no name", ioth::getsockopt(&fd, SOL_SOCKET, ioth::SO_BINDTODEVICE, &mut shown));
    Ok(())
}

fn the_number_of_the_loopback_interface(w: &World) -> Result<()> {
    w.note("by name", w.client.within(|stack| ioth::if_nametoindex(stack, "lo")));
    w.note("by number", w.client.within(|stack| ioth::if_indextoname(stack, 1)));
    w.note("0 is none", w.client.within(|stack| ioth::if_indextoname(stack, 0)));
    let fd = w.datagram(&w.client)?;
    w.note("asked", asked(&fd, SIOCGIFINDEX, "lo").map(|value| i32::from(value[0])));
    w.note("bind", ioth::setsockopt(&fd, SOL_SOCKET, ioth::SO_BINDTODEVICE, b"lo"));
    w.note("bound to", ioth::getsockopt_int(&fd, SOL_SOCKET, ioth::SO_BINDTOIFINDEX));
    let by_number = w.datagram(&w.client)?;
    w.note("bind by number", ioth::setsockopt_int(&by_number, SOL_SOCKET, ioth::SO_BINDTOIFINDEX, 1));
    let mut shown = [0; 16];
    let len = ioth::getsockopt(&by_number, SOL_SOCKET, ioth::SO_BINDTODEVICE, &mut shown)?;
    w.note("its name", String::from_utf8_lossy(&shown[..len]).into_owned());
    // An address of IPv6 is reached over its own interface only, if one is named.
    if w.family == Family::V4 {
        ioth::bind(&fd, &std::net::SocketAddr::from(([127, 0, 0, 1], 0)))?;
        patient(&fd)?;
        let own = ioth::getsockname(&fd)?;
        w.note("send", ioth::sendto(&by_number, b"word", 0, &own));
        w.note("recv", recv(&fd, 10, 0));
    }
    Ok(())
}

fn bound_to_no_interface(w: &World) -> Result<()> {
    let fd = w.datagram(&w.client)?;
    w.note("no such name", ioth::setsockopt(&fd, SOL_SOCKET, ioth::SO_BINDTODEVICE, b"none0"));
    w.note("no such number", ioth::setsockopt_int(&fd, SOL_SOCKET, ioth::SO_BINDTOIFINDEX, 7777));
    w.note("negative", ioth::setsockopt_int(&fd, SOL_SOCKET, ioth::SO_BINDTOIFINDEX, -1));
    w.note("none", ioth::setsockopt_int(&fd, SOL_SOCKET, ioth::SO_BINDTOIFINDEX, 0));
    w.note("too short", ioth::setsockopt(&fd, SOL_SOCKET, ioth::SO_BINDTOIFINDEX, &[0; 2]));
    Ok(())
}

fn bound_elsewhere(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        w.note("a host hears itself there", 0);
        return Ok(());
    }
    let theirs = w.datagram(&w.server)?;
    ioth::setsockopt(&theirs, SOL_SOCKET, ioth::SO_BINDTODEVICE, b"lo")?;
    ioth::bind(&theirs, &w.any(w.port))?;
    set_timeout(&theirs, ioth::SO_RCVTIMEO, Duration::from_millis(60))?;
    let ours = w.datagram(&w.client)?;
    w.note("send", ioth::sendto(&ours, b"word", 0, &w.at()));
    w.note("not heard", recv(&theirs, 10, 0));
    Ok(())
}
