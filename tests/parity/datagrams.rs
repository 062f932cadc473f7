//! UDP sockets.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use ioth::{
    MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, SHUT_RD, SHUT_RDWR, SHUT_WR, SO_BROADCAST,
    SO_RCVTIMEO, SOL_SOCKET,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, OUT, patient, pending, plain_read, plain_send, recv, send, set_timeout, text};
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        there_and_back,
        names_of_datagram_sockets,
        a_datagram_is_cut,
        peek_at_datagrams,
        empty_datagrams,
        sizes_of_datagrams,
        long_datagrams_by_plain_calls,
        several_long_datagrams,
        no_destination,
        connected,
        connected_hears_only_its_peer,
        connected_and_sendto,
        connected_again_and_disconnected,
        plain_calls_when_connected,
        a_closed_port,
        a_closed_port_by_so_error,
        a_closed_port_unconnected,
        no_datagram_to_receive,
        a_timeout,
        poll_of_datagrams,
        shutdown_of_datagrams,
        shutdown_wakes_nothing_unconnected,
        broadcast_needs_permission,
        strange_destinations,
        order_is_kept,
        nobody_listens,
        bound_to_one_address,
    ]
}

/// A client that knows the server as its peer, and the server.
fn pair(w: &World) -> Result<(OwnedFd, OwnedFd)> {
    let theirs = w.datagram_server()?;
    let ours = w.datagram(&w.client)?;
    ioth::connect(&ours, &w.at())?;
    patient(&ours)?;
    patient(&theirs)?;
    // While the kernel resolves a neighbour, what is sent last may overtake what waits for the answer.
    send(&ours, "are you there?")?;
    recv(&theirs, 20, 0)?;
    Ok((ours, theirs))
}

fn recvfrom(fd: &OwnedFd, len: usize, flags: i32) -> std::io::Result<(String, Option<SocketAddr>)> {
    let mut room = vec![0; len];
    let (got, from) = ioth::recvfrom(fd, &mut room, flags)?;
    Ok((text(&room[..got.min(len)]), from))
}

fn there_and_back(w: &World) -> Result<()> {
    let theirs = w.datagram_server()?;
    let ours = w.datagram(&w.client)?;
    patient(&ours)?;
    patient(&theirs)?;
    for turn in 0..5 {
        w.note("sendto", ioth::sendto(&ours, format!("turn {turn}").as_bytes(), 0, &w.at()));
        let (word, from) = recvfrom(&theirs, 100, 0)?;
        w.note("recvfrom", (word, from));
        let Some(from) = from else { continue };
        w.note("answer", ioth::sendto(&theirs, b"answer", 0, &from));
        w.note("recvfrom", recvfrom(&ours, 100, 0));
    }
    Ok(())
}

fn names_of_datagram_sockets(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    w.note("fresh", (ioth::getsockname(&ours), ioth::getpeername(&ours)));
    w.note("sendto", ioth::sendto(&ours, b"x", 0, &w.at()));
    let name = ioth::getsockname(&ours)?;
    w.note("bound by sending", (name.ip().is_unspecified(), name.port() != 0));
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("connected", (ioth::getsockname(&ours), ioth::getpeername(&ours)));
    w.note("the port stays", ioth::getsockname(&ours)?.port() == name.port());
    Ok(())
}

fn a_datagram_is_cut(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    for flags in [0, MSG_TRUNC, MSG_TRUNC | MSG_PEEK, 0, MSG_WAITALL] {
        if flags != 0 || !matches!(ioth::recv(&theirs, &mut [0; 1], MSG_DONTWAIT | MSG_PEEK), Ok(1)) {
            w.note("send", send(&ours, "0123456789"));
        }
        w.note(&format!("recv {flags:#x}"), recv(&theirs, 4, flags));
    }
    w.note("no rest", recv(&theirs, 10, MSG_DONTWAIT | MSG_PEEK).is_ok());
    Ok(())
}

fn peek_at_datagrams(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    send(&ours, "one")?;
    send(&ours, "two")?;
    w.note("peek", recvfrom(&theirs, 100, MSG_PEEK));
    w.note("peek", recvfrom(&theirs, 2, MSG_PEEK));
    w.note("recv", recvfrom(&theirs, 100, 0));
    w.note("recv", recvfrom(&theirs, 100, 0));
    w.note("nothing", recvfrom(&theirs, 100, MSG_PEEK | MSG_DONTWAIT));
    Ok(())
}

fn empty_datagrams(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    w.note("send nothing", send(&ours, ""));
    w.poll("something came", &theirs, IN);
    w.note("recv", recvfrom(&theirs, 100, 0));
    w.note("send", send(&ours, "word"));
    w.note("into nothing", recv(&theirs, 0, 0));
    w.note("it is gone", recv(&theirs, 10, MSG_DONTWAIT));
    w.note("write nothing", ioth::write(&ours, b""));
    w.note("then", send(&ours, "word"));
    std::thread::sleep(crate::world::MOMENT);
    let mut seen = recv(&theirs, 10, 0)?;
    if seen == "\"\"" {
        seen = recv(&theirs, 10, 0)?;
    }
    w.note("recv", seen);
    Ok(())
}

fn sizes_of_datagrams(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    let most = longest(w);
    for len in [1, 1000, 1400, 1473, 8000, 20_000, most] {
        let data = ioth_tests::pattern::stream(len as u64);
        w.note(&format!("send {len}"), send(&ours, &data));
        let mut room = vec![0; 70_000];
        let got = ioth::recv(&theirs, &mut room, 0)?;
        w.note("whole", room[..got] == data);
    }
    for len in [most + 1, 65_536, 100_000] {
        w.note(&format!("send {len}"), send(&ours, vec![0; len]));
    }
    Ok(())
}

/// The longest datagram, udp(7): a packet of 65 535 bytes with its headers, but for that of IPv6.
const fn longest(w: &World) -> usize {
    match w.family {
        Family::V4 => 65_507,
        Family::V6 => 65_527,
    }
}

fn long_datagrams_by_plain_calls(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    ioth::connect(&theirs, &ioth::getsockname(&ours)?)?;
    for len in [1473, 20_000, longest(w)] {
        let data = ioth_tests::pattern::stream(len as u64);
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            w.note(&format!("write {len}"), plain_send(from, &data));
            w.settle(to, IN);
            let mut room = vec![0; 70_000];
            let got = rustix::io::read(to, &mut room)?;
            w.note("whole", room[..got] == data);
        }
    }
    let beyond = longest(w) + 1;
    let row = "plain write(2) of a datagram longer than any packet";
    w.documented(row, &w.client, ("EMSGSIZE", &beyond.to_string()), plain_send(&ours, vec![7; beyond]));
    w.note("send", send(&ours, "next"));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn several_long_datagrams(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    let data: Vec<_> = [7000, 20_000, 3, 9000].map(ioth_tests::pattern::stream).into();
    for data in &data {
        w.note("send", send(&ours, data));
    }
    w.note("cut", recv(&theirs, 3, MSG_TRUNC).map(|got| got.contains("7000")));
    for data in &data[1..] {
        let mut room = vec![0; 70_000];
        let got = ioth::recv(&theirs, &mut room, 0)?;
        w.note("whole", room[..got] == *data);
    }
    Ok(())
}

fn no_destination(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    w.note("send", send(&ours, "x"));
    w.note("send nothing", send(&ours, ""));
    w.note("write", ioth::write(&ours, b"x"));
    let mut to = w.at();
    to.set_port(0);
    w.note("port 0", ioth::sendto(&ours, b"x", 0, &to));
    w.note("recv", recv(&ours, 10, MSG_DONTWAIT));
    w.note("shutdown", ioth::shutdown(&ours, SHUT_WR));
    Ok(())
}

fn connected(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    w.note("peer", ioth::getpeername(&ours));
    w.note("send", send(&ours, "word"));
    let (word, from) = recvfrom(&theirs, 10, 0)?;
    w.note("recvfrom", (word, from));
    w.note("its name", from == ioth::getsockname(&ours).ok());
    if let Some(from) = from {
        w.note("answer", ioth::sendto(&theirs, b"answer", 0, &from));
    }
    w.note("recvfrom", recvfrom(&ours, 10, 0));
    Ok(())
}

fn connected_hears_only_its_peer(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    let name = ioth::getsockname(&ours)?;
    let stranger = w.datagram(&w.server)?;
    ioth::bind(&stranger, &{
        let mut other = w.at();
        other.set_port(w.port + 1);
        other
    })?;
    w.note("a stranger", ioth::sendto(&stranger, b"stranger", 0, &name));
    w.note("the peer", ioth::sendto(&theirs, b"peer", 0, &name));
    w.note("recv", recvfrom(&ours, 100, 0));
    w.note("nothing more", recv(&ours, 100, MSG_DONTWAIT));
    Ok(())
}

fn connected_and_sendto(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    let other = w.datagram(&w.server)?;
    let mut at = w.at();
    at.set_port(w.port + 1);
    ioth::bind(&other, &at)?;
    patient(&other)?;
    w.note("elsewhere", ioth::sendto(&ours, b"elsewhere", 0, &at));
    w.note("recv", recv(&other, 20, 0));
    w.note("to the peer", send(&ours, "peer"));
    w.note("recv", recv(&theirs, 20, 0));
    w.note("still its peer", ioth::getpeername(&ours));
    Ok(())
}

fn connected_again_and_disconnected(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    let mut at = w.at();
    at.set_port(w.port + 1);
    w.note("again", ioth::connect(&ours, &at));
    w.note("peer", ioth::getpeername(&ours));
    w.note("back", ioth::connect(&ours, &w.at()));
    w.note("send", send(&ours, "word"));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("disconnect", ioth::disconnect(&ours));
    w.note("peer", ioth::getpeername(&ours));
    w.note("send", send(&ours, "x"));
    w.note("sendto", ioth::sendto(&ours, b"sendto", 0, &w.at()));
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn plain_calls_when_connected(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    ioth::connect(&theirs, &ioth::getsockname(&ours)?)?;
    w.note("write", rustix::io::write(&ours, b"plain"));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("send", send(&ours, "library"));
    w.settle(&theirs, IN);
    w.note("read", plain_read(&theirs, 10));
    w.note("write", rustix::io::write(&theirs, b"back"));
    w.note("read", plain_read(&ours, 10));
    w.note("a long one", plain_send(&ours, [b'l'; 30]));
    w.note("cut", plain_read(&theirs, 3));
    w.note("and the next", send(&ours, "next"));
    w.note("read", plain_read(&theirs, 10));
    Ok(())
}

fn a_closed_port(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    ioth::connect(&ours, &w.at())?;
    patient(&ours)?;
    w.note("send", send(&ours, "nobody"));
    w.note("recv", recv(&ours, 10, 0));
    w.note("recv again", recv(&ours, 10, MSG_DONTWAIT));
    w.note("send", send(&ours, "nobody"));
    // The answer takes a moment: wait for it without taking it. Poll does not show it on ours: "ICMP
    // errors on a datagram socket".
    std::thread::sleep(4 * crate::world::MOMENT);
    w.note("send says it", send(&ours, "nobody"));
    Ok(())
}

fn a_closed_port_by_so_error(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    ioth::connect(&ours, &w.at())?;
    w.note("send", send(&ours, "nobody"));
    std::thread::sleep(4 * crate::world::MOMENT);
    w.note("SO_ERROR", pending(&ours));
    w.note("SO_ERROR again", pending(&ours));
    w.note("recv", recv(&ours, 10, MSG_DONTWAIT));
    Ok(())
}

fn a_closed_port_unconnected(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &w.at()));
    std::thread::sleep(4 * crate::world::MOMENT);
    w.note("SO_ERROR", pending(&ours));
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &w.at()));
    w.note("recv", recv(&ours, 10, MSG_DONTWAIT));
    Ok(())
}

fn no_datagram_to_receive(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    w.note("recv", recv(&ours, 10, MSG_DONTWAIT));
    ioth::set_nonblocking(&theirs, true)?;
    w.note("recvfrom", recvfrom(&theirs, 10, 0));
    w.note("plain read", plain_read(&theirs, 10));
    Ok(())
}

fn a_timeout(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    set_timeout(&theirs, SO_RCVTIMEO, Duration::from_millis(50))?;
    let began = std::time::Instant::now();
    w.note("nothing", recv(&theirs, 10, 0));
    w.note("it waited", began.elapsed() >= Duration::from_millis(45));
    set_timeout(&theirs, SO_RCVTIMEO, crate::world::SOON)?;
    send(&ours, "word")?;
    w.note("recv", recv(&theirs, 10, 0));
    Ok(())
}

fn poll_of_datagrams(w: &World) -> Result<()> {
    let fresh = w.datagram(&w.client)?;
    w.poll("fresh", &fresh, OUT);
    let (ours, theirs) = pair(w)?;
    w.poll("nothing", &theirs, OUT);
    send(&ours, "one")?;
    send(&ours, "two")?;
    w.poll("two", &theirs, IN | OUT);
    w.note("recv", recv(&theirs, 10, 0));
    w.poll("one", &theirs, IN | OUT);
    w.note("recv", recv(&theirs, 10, 0));
    w.poll("none", &theirs, OUT);
    Ok(())
}

fn shutdown_of_datagrams(w: &World) -> Result<()> {
    for how in [SHUT_RD, SHUT_WR, SHUT_RDWR] {
        let (ours, theirs) = pair(w)?;
        w.note(&format!("shutdown {how}"), ioth::shutdown(&ours, how));
        w.note("send", ioth::send(&ours, b"word", MSG_NOSIGNAL));
        let name = ioth::getsockname(&ours)?;
        w.note("to it", ioth::sendto(&theirs, b"to it", 0, &name));
        if how == SHUT_WR {
            w.note("recv", recv(&ours, 10, 0));
        } else {
            // What came before the end may still be there: the kernel gives it, and then the end.
            w.note("recv does not wait", recv(&ours, 10, 0).is_ok());
        }
        ioth::close(theirs)?;
    }
    Ok(())
}

fn shutdown_wakes_nothing_unconnected(w: &World) -> Result<()> {
    let theirs = w.datagram_server()?;
    for how in [SHUT_RD, SHUT_WR, 7] {
        w.note(&format!("shutdown {how}"), ioth::shutdown(&theirs, how));
    }
    Ok(())
}

fn broadcast_needs_permission(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    let to: SocketAddr = match w.family {
        Family::V4 => ([10, 0, 0, 255], w.port).into(),
        // There is none: a group stands in.
        Family::V6 => {
            return {
                w.note("no broadcast", 0);
                Ok(())
            };
        }
    };
    w.note("sendto", ioth::sendto(&ours, b"x", 0, &to));
    w.note("connect", ioth::connect(&ours, &to));
    ioth::setsockopt_int(&ours, SOL_SOCKET, SO_BROADCAST, 1)?;
    w.note("with permission", ioth::sendto(&ours, b"x", 0, &to));
    w.note("connect", ioth::connect(&ours, &to));
    let limited = w.datagram(&w.client)?;
    w.note("to all", ioth::sendto(&limited, b"x", 0, &([255, 255, 255, 255], w.port).into()).is_err());
    Ok(())
}

fn strange_destinations(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    w.note("nowhere", ioth::sendto(&ours, b"x", 0, &w.nowhere()));
    w.note("connect nowhere", ioth::connect(&ours, &w.nowhere()));
    let four = w.with(Family::V4);
    let six = w.with(Family::V6);
    w.note("IPv4 to IPv6", ioth::sendto(four.datagram(&w.client)?, b"x", 0, &six.at()));
    w.note("connect IPv4 to IPv6", ioth::connect(four.datagram(&w.client)?, &six.at()));
    Ok(())
}

fn order_is_kept(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    for number in 0..30 {
        let word = format!("{number}");
        if number % 3 == 0 {
            plain_send(&ours, &word)?
        } else {
            send(&ours, &word)?
        };
    }
    for _ in 0..30 {
        w.note("recv", recv(&theirs, 10, 0));
    }
    Ok(())
}

fn nobody_listens(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    w.note("to nobody", ioth::sendto(&ours, b"x", 0, &w.nobody()));
    w.note("again", ioth::sendto(&ours, b"x", 0, &w.nobody()));
    w.note("recv", recv(&ours, 10, MSG_DONTWAIT));
    w.note("to the server", ioth::sendto(&ours, b"x", 0, &w.at()));
    Ok(())
}

fn bound_to_one_address(w: &World) -> Result<()> {
    let (any, one) = (w.datagram(&w.server)?, w.datagram(&w.server)?);
    for fd in [&any, &one] {
        ioth::setsockopt_int(fd, SOL_SOCKET, ioth::SO_REUSEADDR, 1)?;
        patient(fd)?;
    }
    w.note("any", ioth::bind(&any, &w.any(w.port)));
    w.note("one", ioth::bind(&one, &w.at()));
    let ours = w.datagram(&w.client)?;
    w.note("sendto", ioth::sendto(&ours, b"for one", 0, &w.at()));
    w.note("recv", recv(&one, 10, 0));
    w.note("not for any", recv(&any, 10, MSG_DONTWAIT));
    Ok(())
}
