//! Several sockets on one port: SO_REUSEPORT, SO_REUSEADDR of socket(7).

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use anyhow::Result;
use ioth::{MSG_DONTWAIT, SO_REUSEADDR, SO_REUSEPORT, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};
use ioth_tests::netns::Test;

use crate::calls::{IN, patient, recv};
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        who_may_share,
        sharing_is_for_listeners_too,
        the_last_one_hears,
        each_peer_has_one_socket,
        peers_are_spread,
        connections_are_spread,
        one_that_is_connected_comes_first,
        ipv4_before_both,
    ]
}

fn socket(w: &World, kind: i32, [reuse, share]: [i32; 2]) -> Result<OwnedFd> {
    let fd = w.server.socket(w.domain(), kind | SOCK_CLOEXEC, 0)?;
    ioth::setsockopt_int(&fd, SOL_SOCKET, SO_REUSEADDR, reuse)?;
    ioth::setsockopt_int(&fd, SOL_SOCKET, SO_REUSEPORT, share)?;
    Ok(fd)
}

fn who_may_share(w: &World) -> Result<()> {
    const WAYS: [[i32; 2]; 4] = [[0, 0], [1, 0], [0, 1], [1, 1]];
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        for one in WAYS {
            for other in WAYS {
                for (first, second) in [(w.at(), w.at()), (w.any(w.port), w.at()), (w.at(), w.any(w.port))] {
                    let (a, b) = (socket(w, kind, one)?, socket(w, kind, other)?);
                    ioth::bind(&a, &first)?;
                    w.note(&format!("{kind} {one:?} {other:?}"), ioth::bind(&b, &second));
                    ioth::close(a)?;
                    ioth::close(b)?;
                }
            }
        }
    }
    Ok(())
}

fn sharing_is_for_listeners_too(w: &World) -> Result<()> {
    let all: Vec<_> = (0..3).map(|_| socket(w, SOCK_STREAM, [0, 1])).collect::<Result<_>>()?;
    for fd in &all {
        w.note("bind", ioth::bind(fd, &w.at()));
        w.note("listen", ioth::listen(fd, 5));
    }
    let late = socket(w, SOCK_STREAM, [1, 0])?;
    w.note("one that does not", ioth::bind(&late, &w.at()));
    w.note("shows", crate::calls::option(&all[0], SOL_SOCKET, SO_REUSEPORT));
    Ok(())
}

fn the_last_one_hears(w: &World) -> Result<()> {
    let all: Vec<_> = (0..3).map(|_| socket(w, SOCK_DGRAM, [1, 0])).collect::<Result<_>>()?;
    for fd in &all {
        w.note("bind", ioth::bind(fd, &w.at()));
    }
    let ours = w.datagram(&w.client)?;
    ioth::sendto(&ours, b"one", 0, &w.at())?;
    w.settle(&all[2], IN);
    for fd in &all {
        w.note("recv", recv(fd, 10, MSG_DONTWAIT));
    }
    Ok(())
}

/// Which of them has something, once one has.
fn taker(all: &[OwnedFd]) -> Result<usize> {
    let end = std::time::Instant::now() + crate::world::SOON;
    while std::time::Instant::now() < end {
        if let Some(index) = all.iter().position(|fd| recv(fd, 10, MSG_DONTWAIT).is_ok()) {
            return Ok(index);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    anyhow::bail!("nobody got it")
}

fn each_peer_has_one_socket(w: &World) -> Result<()> {
    let all: Vec<_> = (0..4).map(|_| socket(w, SOCK_DGRAM, [0, 1])).collect::<Result<_>>()?;
    for fd in &all {
        w.note("bind", ioth::bind(fd, &w.at()));
    }
    for _ in 0..5 {
        let ours = w.datagram(&w.client)?;
        let mut takers = Vec::new();
        for _ in 0..5 {
            ioth::sendto(&ours, b"word", 0, &w.at())?;
            takers.push(taker(&all)?);
        }
        takers.dedup();
        w.note("one taker", takers.len());
    }
    Ok(())
}

fn peers_are_spread(w: &World) -> Result<()> {
    let all: Vec<_> = (0..3).map(|_| socket(w, SOCK_DGRAM, [0, 1])).collect::<Result<_>>()?;
    for fd in &all {
        ioth::bind(fd, &w.any(w.port))?;
    }
    let mut counts = BTreeMap::new();
    for _ in 0..90 {
        let ours = w.datagram(&w.client)?;
        ioth::sendto(&ours, b"word", 0, &w.at())?;
        *counts.entry(taker(&all)?).or_insert(0) += 1;
    }
    // Thirty each are expected; less than eight would be one time in a million.
    w.note("all of them", counts.len());
    w.note("many each", counts.values().all(|count| *count >= 8));
    Ok(())
}

fn connections_are_spread(w: &World) -> Result<()> {
    let all: Vec<_> = (0..3).map(|_| socket(w, SOCK_STREAM, [0, 1])).collect::<Result<_>>()?;
    for fd in &all {
        ioth::bind(fd, &w.at())?;
        ioth::listen(fd, 100)?;
        ioth::set_nonblocking(fd, true)?;
    }
    let mut counts = BTreeMap::new();
    let mut kept = Vec::new();
    for _ in 0..60 {
        let ours = w.stream()?;
        ioth::connect(&ours, &w.at())?;
        let end = std::time::Instant::now() + crate::world::SOON;
        let found = loop {
            let found = all
                .iter()
                .enumerate()
                .find_map(|(index, fd)| Some((index, ioth::accept4(fd, SOCK_CLOEXEC).ok()?)));
            if found.is_some() || std::time::Instant::now() > end {
                break found;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        let Some((index, (theirs, _))) = found else { anyhow::bail!("nobody accepted it") };
        *counts.entry(index).or_insert(0) += 1;
        kept.push((ours, theirs));
    }
    w.note("all of them", counts.len());
    w.note("many each", counts.values().all(|count| *count >= 4));
    Ok(())
}

fn one_that_is_connected_comes_first(w: &World) -> Result<()> {
    let all: Vec<_> = (0..3).map(|_| socket(w, SOCK_DGRAM, [1, 1])).collect::<Result<_>>()?;
    let ours = w.datagram(&w.client)?;
    ioth::bind(&ours, &w.here())?;
    for fd in &all {
        patient(fd)?;
        ioth::bind(fd, &w.at())?;
    }
    w.note("connect", ioth::connect(&all[1], &ioth::getsockname(&ours)?));
    for _ in 0..3 {
        ioth::sendto(&ours, b"word", 0, &w.at())?;
        w.note("recv", recv(&all[1], 10, 0));
    }
    Ok(())
}

fn ipv4_before_both(w: &World) -> Result<()> {
    let (four, six) = (w.with(Family::V4), w.with(Family::V6));
    for turned in [false, true] {
        let sockets =
            || -> Result<_> { Ok((socket(&six, SOCK_DGRAM, [1, 0])?, socket(&four, SOCK_DGRAM, [1, 0])?)) };
        let (both, own) = sockets()?;
        let (any6, any4) = (six.any(w.port), four.any(w.port));
        let mut order = [(&both, any6), (&own, any4)];
        if turned {
            order.reverse();
        }
        for (fd, at) in order {
            w.note("bind", ioth::bind(fd, &at));
            patient(fd)?;
        }
        let ours = four.datagram(&w.client)?;
        w.note("sendto", ioth::sendto(&ours, b"word", 0, &four.at()));
        w.note("IPv4 alone", recv(&own, 10, 0));
        ioth::close(both)?;
        ioth::close(own)?;
    }
    Ok(())
}
