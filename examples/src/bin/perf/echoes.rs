//! An echo server for many connections in one thread with one epoll, of the library or of the system, and a client that
//! keeps all its connections busy.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use ioth::{EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK, Stack, epoll_event};
use rustix::event::epoll;

use crate::measure::{Report, median, rate};
use crate::socket::{connect, listen, no_delay, open};

/// How the server waits, reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Calls {
    /// By the calls of the library
    Library,
    /// By those of the system, on the same descriptors
    Plain,
}

#[derive(Clone, Debug, Parser)]
pub(crate) struct Server {
    /// Where to listen
    #[arg(long, default_value = "0.0.0.0:5001", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Whose calls
    #[arg(long, default_value = "library")]
    calls: Calls,
}

#[derive(Clone, Debug, Parser)]
pub(crate) struct Client {
    /// The server
    server: SocketAddr,
    /// How many connections, each with one request under way
    #[arg(long, default_value_t = 64, value_name = "NUMBER")]
    connections: usize,
    /// How long
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// Bytes of a request.
const REQUEST: usize = 64;

/// Sends back what comes, until it is killed.
pub(crate) fn serve(stack: &Stack, server: &Server) -> anyhow::Result<()> {
    raise_limit()?;
    let plain = server.calls == Calls::Plain;
    let listener = listen(stack, server.listen)?;
    ioth::set_nonblocking(&listener, true)?;
    println!("listening on {}", ioth::getsockname(&listener)?);
    let set = ioth::epoll_create1(EPOLL_CLOEXEC)?;
    let mut connections: HashMap<RawFd, OwnedFd> = HashMap::new();
    watch(&set, &listener, plain)?;
    let mut events = [epoll_event { events: 0, u64: 0 }; 256];
    let mut seen = Vec::with_capacity(256);
    let mut buffer = [0; 4096];
    loop {
        let mut ready = Vec::with_capacity(256);
        if plain {
            seen.clear();
            epoll::wait(&set, rustix::buffer::spare_capacity(&mut seen), None)?;
            ready.extend(seen.iter().map(|event: &epoll::Event| event.data.u64()));
        } else {
            let count = ioth::epoll_wait(&set, &mut events, -1)?;
            ready.extend(events[..count].iter().map(|event| event.u64));
        }
        for number in ready {
            let fd = RawFd::try_from(number)?;
            let Some(connection) = connections.get(&fd) else {
                while let Ok((fd, _)) = ioth::accept4(&listener, SOCK_NONBLOCK | SOCK_CLOEXEC) {
                    // It fails on one that the client has reset.
                    let _ = no_delay(&fd);
                    watch(&set, &fd, plain)?;
                    connections.insert(fd.as_raw_fd(), fd);
                }
                continue;
            };
            let got = if plain {
                rustix::io::read(connection, &mut buffer).map_err(io::Error::from)
            } else {
                ioth::read(connection, &mut buffer)
            };
            match got {
                Ok(len @ 1..) if plain => _ = rustix::io::write(connection, &buffer[..len])?,
                Ok(len @ 1..) => _ = ioth::write(connection, &buffer[..len])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => drop(connections.remove(&fd)),
            }
        }
    }
}

fn watch(set: &OwnedFd, fd: &OwnedFd, plain: bool) -> io::Result<()> {
    let number = fd.as_raw_fd().unsigned_abs().into();
    if plain {
        return Ok(epoll::add(set, fd, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?);
    }
    let mut event = epoll_event { events: EPOLLIN.unsigned_abs(), u64: number };
    ioth::epoll_ctl(set, EPOLL_CTL_ADD, fd, Some(&mut event))
}

/// Keeps one request under way on each connection; on each the next byte differs.
pub(crate) fn load(stack: &Stack, client: &Client) -> anyhow::Result<Report> {
    raise_limit()?;
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = Vec::new();
    for number in 0..client.connections {
        let fd = connect(stack, client.server).with_context(|| format!("connection {number}"))?;
        no_delay(&fd)?;
        epoll::add(&set, &fd, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
        connections.push((fd, 0u8));
    }
    for (fd, _) in &connections {
        ioth::send(fd, &[0; REQUEST], 0)?;
    }
    let time = Duration::try_from_secs_f64(client.seconds)?;
    let (start, mut answers, mut ok) = (Instant::now(), 0u64, true);
    let mut seen = Vec::with_capacity(256);
    while start.elapsed() < time {
        seen.clear();
        epoll::wait(&set, rustix::buffer::spare_capacity(&mut seen), None)?;
        for event in &seen {
            let (fd, next) = &mut connections[usize::try_from(event.data.u64())?];
            let mut answer = [0; REQUEST];
            let len = ioth::recv(&*fd, &mut answer, 0)?;
            ensure!(len == REQUEST, "an answer of {len} bytes");
            ok &= answer == [*next; REQUEST];
            *next = next.wrapping_add(1);
            ioth::send(&*fd, &[*next; REQUEST], 0)?;
            answers += 1;
        }
    }
    Ok(rate(answers, start.elapsed(), ok))
}

#[derive(Clone, Debug, Parser)]
pub(crate) struct Connects {
    /// The server
    server: SocketAddr,
    /// How long
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Connects that wait, instead of those that do not and a poll
    #[arg(long)]
    wait: bool,
}

/// Connects again and again. Only what passes until a connection is there is counted; it ends by a reset, so that the
/// server's side keeps nothing of it.
pub(crate) fn connects(stack: &Stack, client: &Connects) -> anyhow::Result<Report> {
    let limit = Duration::try_from_secs_f64(client.seconds)?;
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < limit {
        let fd = open(stack, client.server)?;
        ioth::set_nonblocking(&fd, !client.wait)?;
        let before = Instant::now();
        match ioth::connect(&fd, &client.server) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                let mut fds = [ioth::pollfd { fd: fd.as_raw_fd(), events: ioth::POLLOUT, revents: 0 }];
                ioth::poll(&mut fds, -1)?;
                let error = ioth::getsockopt_int(&fd, ioth::SOL_SOCKET, ioth::SO_ERROR)?;
                ensure!(error == 0, "connect: {}", io::Error::from_raw_os_error(error));
            }
            result => result.context("connect")?,
        }
        times.push(before.elapsed());
        let reset = [1_i32, 0].map(i32::to_ne_bytes);
        ioth::setsockopt(&fd, ioth::SOL_SOCKET, ioth::SO_LINGER, reset.as_flattened())?;
        ioth::close(fd)?;
    }
    Ok(median(times))
}

/// Lets this process have as many descriptors as it may.
fn raise_limit() -> anyhow::Result<()> {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    Ok(rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?)
}
