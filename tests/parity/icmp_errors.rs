//! What the network says of datagrams, udp(7), ip(7): errors that are told, and errors that are queued.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Result;
use ioth::{
    IP_PKTINFO, IP_RECVERR, IP_RECVTOS, IP_RECVTTL, IPPROTO_IP, IPPROTO_IPV6, IPV6_RECVERR,
    IPV6_RECVHOPLIMIT, IPV6_RECVPKTINFO, IPV6_RECVTCLASS, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_PEEK, SO_TIMESTAMP,
    SOL_SOCKET,
};
use ioth_tests::netns::Test;

use crate::calls::{patient, pending, recv, send};
use crate::messages::receive;
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        a_closed_port_is_queued,
        a_closed_port_is_queued_unconnected,
        a_closed_port_is_told_once,
        several_errors,
        the_queue_is_emptied_when_it_is_turned_off,
        the_option_comes_too_late,
        errors_of_a_mapped_address,
        an_error_wakes_a_receiver,
        errors_in_parts,
        the_time_of_an_error,
        what_stands_beside_an_error,
        a_stream_has_no_errors,
        poll_does_not_show_errors,
        nobody_answers_and_nobody_is_told,
        nobody_answers,
    ]
}

/// A socket that has errors queued.
fn asking(w: &World) -> Result<OwnedFd> {
    let fd = w.datagram(&w.client)?;
    patient(&fd)?;
    ask(w, &fd, 1)?;
    Ok(fd)
}

fn ask(w: &World, fd: &OwnedFd, on: i32) -> Result<()> {
    let (level, name) = match w.family {
        Family::V4 => (IPPROTO_IP, IP_RECVERR),
        Family::V6 => (IPPROTO_IPV6, IPV6_RECVERR),
    };
    Ok(ioth::setsockopt_int(fd, level, name, on)?)
}

/// The next error of the queue, once it is there: without poll, which does not show it on ours.
fn error(fd: &OwnedFd, len: usize) -> std::io::Result<(String, ioth::Message)> {
    let end = std::time::Instant::now() + crate::world::SOON;
    loop {
        match receive(fd, len, MSG_ERRQUEUE) {
            Err(error)
                if error.kind() == std::io::ErrorKind::WouldBlock && std::time::Instant::now() < end =>
            {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

fn beside(w: &World) -> SocketAddr {
    SocketAddr::new(w.at().ip(), w.port + 1)
}

fn a_closed_port_is_queued(w: &World) -> Result<()> {
    let ours = asking(w)?;
    ioth::connect(&ours, &w.at())?;
    w.note("send", send(&ours, "nobody"));
    w.note("recv", recv(&ours, 10, 0));
    w.note("recv again", recv(&ours, 10, MSG_DONTWAIT));
    w.note("SO_ERROR", pending(&ours));
    w.note("the error", error(&ours, 20));
    w.note("no other", receive(&ours, 20, MSG_ERRQUEUE));
    w.note("SO_ERROR", pending(&ours));
    Ok(())
}

fn a_closed_port_is_queued_unconnected(w: &World) -> Result<()> {
    let ours = asking(w)?;
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &w.at()));
    w.note("recv", recv(&ours, 10, 0));
    w.note("the error", error(&ours, 20));
    w.note("sendto", ioth::sendto(&ours, b"beside", 0, &beside(w)));
    // Taking the error takes what pends, too.
    w.note("the error", error(&ours, 20));
    w.note("SO_ERROR", pending(&ours));
    w.note("recv", recv(&ours, 10, MSG_DONTWAIT));
    Ok(())
}

fn a_closed_port_is_told_once(w: &World) -> Result<()> {
    let ours = asking(w)?;
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &w.at()));
    w.note("recv", recv(&ours, 10, 0));
    w.note("sendto", ioth::sendto(&ours, b"again", 0, &w.at()));
    w.note("recv", recv(&ours, 10, 0));
    for word in ["first", "second", "none"] {
        w.note(word, receive(&ours, 20, MSG_ERRQUEUE));
    }
    Ok(())
}

fn several_errors(w: &World) -> Result<()> {
    let ours = asking(w)?;
    for number in 0..3 {
        w.note("sendto", ioth::sendto(&ours, format!("number {number}").as_bytes(), 0, &w.at()));
        w.note("recv", recv(&ours, 10, 0));
    }
    for _ in 0..3 {
        w.note("the error", receive(&ours, 20, MSG_ERRQUEUE));
        w.note("what pends", pending(&ours));
    }
    w.note("no other", receive(&ours, 20, MSG_ERRQUEUE));
    Ok(())
}

fn the_queue_is_emptied_when_it_is_turned_off(w: &World) -> Result<()> {
    let ours = asking(w)?;
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &w.at()));
    w.note("recv", recv(&ours, 10, 0));
    ask(w, &ours, 0)?;
    ask(w, &ours, 1)?;
    w.note("the error", receive(&ours, 20, MSG_ERRQUEUE));
    Ok(())
}

fn the_option_comes_too_late(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    ioth::sendto(&ours, b"nobody", 0, &w.at())?;
    std::thread::sleep(4 * crate::world::MOMENT);
    ask(w, &ours, 1)?;
    w.note("the error", receive(&ours, 20, MSG_ERRQUEUE));
    w.note("SO_ERROR", pending(&ours));
    Ok(())
}

fn errors_of_a_mapped_address(w: &World) -> Result<()> {
    let (four, six) = (w.with(Family::V4), w.with(Family::V6));
    let ours = six.datagram(&w.client)?;
    patient(&ours)?;
    let std::net::IpAddr::V4(v4) = four.at().ip() else { unreachable!("it is an IPv4 address") };
    let to = SocketAddr::new(v4.to_ipv6_mapped().into(), w.port);
    ask(&six, &ours, 1)?;
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &to));
    std::thread::sleep(4 * crate::world::MOMENT);
    w.note("the option of IPv6", receive(&ours, 20, MSG_ERRQUEUE));
    ask(&four, &ours, 1)?;
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &to));
    w.note("recv", recv(&ours, 10, 0));
    w.note("the option of IPv4", error(&ours, 20));
    Ok(())
}

fn an_error_wakes_a_receiver(w: &World) -> Result<()> {
    let ours = asking(w)?;
    let other = rustix::io::dup(&ours)?;
    let waiting = std::thread::spawn(move || recv(&other, 10, 0));
    std::thread::sleep(crate::world::MOMENT);
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &w.at()));
    w.note("recv", waiting.join().expect("it does not panic"));
    w.note("the error", error(&ours, 20));
    Ok(())
}

fn errors_in_parts(w: &World) -> Result<()> {
    let ours = asking(w)?;
    for len in [0, 20, 400, 1000] {
        w.note(&format!("sendto {len}"), ioth::sendto(&ours, &vec![b'x'; len], 0, &w.at()));
        w.note("recv", recv(&ours, 10, 0));
        // An ICMP error quotes at most 576 bytes in all, an ICMPv6 error 1280.
        w.note("the error", receive(&ours, 5, MSG_ERRQUEUE));
        w.note("what is quoted", {
            let _ = ioth::sendto(&ours, &vec![b'x'; len], 0, &w.at());
            let _ = recv(&ours, 10, 0);
            error(&ours, 2000).map(|(text, message)| (text, message.len))
        });
    }
    w.note("by recvfrom", {
        let _ = ioth::sendto(&ours, b"nobody", 0, &w.at());
        let _ = recv(&ours, 10, 0);
        let mut room = [0; 4];
        let (len, from) = ioth::recvfrom(&ours, &mut room, MSG_ERRQUEUE | MSG_PEEK)?;
        (len, from)
    });
    w.note("a look takes it", receive(&ours, 10, MSG_ERRQUEUE));
    Ok(())
}

fn the_time_of_an_error(w: &World) -> Result<()> {
    let ours = asking(w)?;
    ioth::setsockopt_int(&ours, SOL_SOCKET, SO_TIMESTAMP, 1)?;
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &w.at()));
    w.note("recv", recv(&ours, 10, 0));
    w.note("the error", receive(&ours, 20, MSG_ERRQUEUE));
    Ok(())
}

fn what_stands_beside_an_error(w: &World) -> Result<()> {
    let ours = asking(w)?;
    let asked = match w.family {
        Family::V4 => [(IPPROTO_IP, IP_RECVTTL), (IPPROTO_IP, IP_RECVTOS), (IPPROTO_IP, IP_PKTINFO)],
        Family::V6 => [
            (IPPROTO_IPV6, IPV6_RECVHOPLIMIT),
            (IPPROTO_IPV6, IPV6_RECVTCLASS),
            (IPPROTO_IPV6, IPV6_RECVPKTINFO),
        ],
    };
    for (level, name) in asked {
        ioth::setsockopt_int(&ours, level, name, 1)?;
        w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &w.at()));
        w.note("the error", error(&ours, 20));
    }
    Ok(())
}

fn a_stream_has_no_errors(w: &World) -> Result<()> {
    let ours = w.stream()?;
    ask(w, &ours, 1)?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    w.note("the error", receive(&ours, 20, MSG_ERRQUEUE));
    let (ours, _theirs) = w.pair()?;
    w.note("by recv", recv(&ours, 10, MSG_ERRQUEUE));
    Ok(())
}

fn poll_does_not_show_errors(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    ioth::connect(&ours, &w.at())?;
    w.note("send", send(&ours, "nobody"));
    std::thread::sleep(4 * crate::world::MOMENT);
    let row = "ICMP errors on a datagram socket";
    w.documented(row, &w.client, ("OUT|ERR", "OUT"), w.settle(&ours, crate::calls::OUT));
    w.note("recv", recv(&ours, 10, 0));
    Ok(())
}

/// Long enough for a neighbour to be given up: three questions, a second apart.
fn until_given_up(fd: &OwnedFd) -> std::io::Result<String> {
    recv(fd, 10, 0)
}

fn nobody_answers_and_nobody_is_told(w: &World) -> Result<()> {
    let ours = w.datagram(&w.client)?;
    ioth::connect(&ours, &w.nobody())?;
    crate::calls::set_timeout(&ours, ioth::SO_RCVTIMEO, std::time::Duration::from_millis(4500))?;
    w.note("send", send(&ours, "nobody"));
    w.note("recv", until_given_up(&ours));
    Ok(())
}

fn nobody_answers(w: &World) -> Result<()> {
    let ours = asking(w)?;
    w.note("sendto", ioth::sendto(&ours, b"nobody", 0, &w.nobody()));
    w.note("recv", until_given_up(&ours));
    w.note(
        "the error",
        receive(&ours, 20, MSG_ERRQUEUE).map(|(text, message)| {
            // As far as its own address goes.
            let to = message.from == Some(w.nobody());
            (text, (to, message.controls.len()))
        }),
    );
    Ok(())
}
