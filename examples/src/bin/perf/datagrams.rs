//! Datagrams as fast as they go, for a fixed time, which is the receiver's: what has come and been compared when it is
//! over counts, and not what was lost or is on the way. A TCP connection beside them says what is to be sent, and what came.
//!
//! Every datagram has the same bytes. With `--super` one call sends and receives as many as fit (`UDP_SEGMENT`, `UDP_GRO`).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use ioth::{
    AF_INET, AF_INET6, IPPROTO_UDP, SO_RCVTIMEO, SOCK_DGRAM, SOL_SOCKET, Stack, UDP_GRO, UDP_SEGMENT,
};

use crate::measure::{self, Report};
use crate::pattern;
use crate::socket;

/// What is sent.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Datagrams {
    /// The server
    server: SocketAddr,
    /// Bytes of each datagram
    #[arg(long, default_value_t = 1400, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1..))]
    size: u16,
    /// Many of them by one call
    #[arg(long = "super")]
    many: bool,
    /// How long
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// What client and server agree on.
#[derive(Clone, Copy, Debug)]
struct Order {
    /// Whether the server is the one that sends.
    inward: bool,
    size: u16,
    many: bool,
    time: Duration,
    /// The client's.
    port: u16,
}

impl Order {
    fn encode(self) -> anyhow::Result<[[u8; 8]; 5]> {
        let micros = u64::try_from(self.time.as_micros())?;
        let words = [self.inward.into(), self.size.into(), self.many.into(), micros, self.port.into()];
        Ok(words.map(u64::to_be_bytes))
    }

    fn decode(words: [[u8; 8]; 5]) -> anyhow::Result<Self> {
        let [inward, size, many, micros, port] = words.map(u64::from_be_bytes);
        let time = Duration::from_micros(micros);
        Ok(Self {
            inward: inward != 0,
            size: size.try_into()?,
            many: many != 0,
            time,
            port: port.try_into()?,
        })
    }
}

/// Sends to a [`serve`], or with `inward` receives from it.
pub(crate) fn run(stack: &Stack, what: &Datagrams, inward: bool) -> anyhow::Result<Report> {
    let control = socket::connect(stack, what.server)?;
    let socket = open(stack, what.server)?;
    ioth::connect(&socket, &what.server)?;
    let time = Duration::try_from_secs_f64(what.seconds)?;
    let port = ioth::getsockname(&socket)?.port();
    let order = Order { inward, size: what.size, many: what.many, time, port };
    socket::send_all(&control, order.encode()?.as_flattened())?;
    // The other side is ready, and the neighbours know each other.
    let mut answer = [[0; 8]; 2];
    ensure!(socket::recv_all(&control, &mut answer[0])?, "the server hung up");
    let (count, ok) = if inward {
        receive(&socket, &order)?
    } else {
        send(&socket, &order)?;
        ensure!(socket::recv_all(&control, answer.as_flattened_mut())?, "the server hung up");
        (u64::from_be_bytes(answer[0]), answer[1] != [0; 8])
    };
    Ok(measure::datagram_rate(count, usize::from(order.size), time, ok))
}

/// Serves one client after the other.
pub(crate) fn serve(stack: &Stack, address: SocketAddr) -> anyhow::Result<()> {
    let listener = socket::listen(stack, address)?;
    println!("listening on {}", ioth::getsockname(&listener)?);
    loop {
        let (control, peer) = ioth::accept(&listener)?;
        if let Err(error) = serve_one(stack, &control, peer) {
            eprintln!("{peer}: {error:#}");
        }
        ioth::close(control)?;
    }
}

fn serve_one(stack: &Stack, control: &OwnedFd, peer: SocketAddr) -> anyhow::Result<()> {
    let mut words = [[0; 8]; 5];
    ensure!(socket::recv_all(control, words.as_flattened_mut())?, "the client said nothing");
    let order = Order::decode(words)?;
    let socket = open(stack, peer)?;
    ioth::bind(&socket, &ioth::getsockname(control)?)?;
    ioth::connect(&socket, &SocketAddr::new(peer.ip(), order.port))?;
    if order.inward {
        socket::send_all(control, &[0; 8])?;
        send(&socket, &order)?;
    } else {
        prepare(&socket, &order)?;
        socket::send_all(control, &[0; 8])?;
        let (count, ok) = receive(&socket, &order)?;
        socket::send_all(control, [count, u64::from(ok)].map(u64::to_be_bytes).as_flattened())?;
    }
    ioth::close(socket)?;
    Ok(())
}

fn open(stack: &Stack, address: SocketAddr) -> anyhow::Result<OwnedFd> {
    let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
    Ok(ioth::msocket(stack, family, SOCK_DGRAM, 0)?)
}

/// Sends for a bit longer than is measured.
fn send(socket: &OwnedFd, order: &Order) -> anyhow::Result<()> {
    let size = usize::from(order.size);
    let mut data = pattern::slice(0, size).to_vec();
    if order.many {
        ioth::setsockopt_int(socket, IPPROTO_UDP, UDP_SEGMENT, order.size.into())?;
        data = data.repeat((MOST_BYTES / size).clamp(1, MOST));
    }
    let end = Instant::now() + order.time + SLACK;
    while Instant::now() < end {
        for _ in 0..BATCH {
            match ioth::send(socket, &data, 0) {
                Ok(_) => {}
                // The receiver has heard enough; a queue on the way is full.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => thread::yield_now(),
                Err(error) => return Err(error).context("send"),
            }
        }
    }
    Ok(())
}

/// Before anything comes.
fn prepare(socket: &OwnedFd, order: &Order) -> anyhow::Result<()> {
    let patience = [5, 0].map(libc::time_t::to_ne_bytes);
    ioth::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, patience.as_flattened())?;
    ioth::setsockopt_int(socket, IPPROTO_UDP, UDP_GRO, order.many.into())?;
    Ok(())
}

/// Receives for so long from the first datagram on: how many came, and whether they were right.
fn receive(socket: &OwnedFd, order: &Order) -> anyhow::Result<(u64, bool)> {
    prepare(socket, order)?;
    let size = usize::from(order.size);
    let expected = pattern::slice(0, size);
    let mut room = vec![0; if order.many { 65_536 } else { size + 1 }];
    let (mut count, mut ok) = (0, true);
    ioth::recv(socket, &mut room, 0).context("the first datagram")?;
    let end = Instant::now() + order.time;
    loop {
        for _ in 0..BATCH {
            let len = match ioth::recv(socket, &mut room, 0) {
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((count, ok)),
                Err(error) => return Err(error).context("receive"),
            };
            let datagrams = room[..len].chunks(size);
            count += datagrams.len() as u64;
            ok &= datagrams.into_iter().all(|datagram| datagram == expected);
        }
        if Instant::now() >= end {
            return Ok((count, ok));
        }
    }
}

/// Calls between two looks at the clock.
const BATCH: usize = 16;
/// How much longer than the receiver the sender goes on.
const SLACK: Duration = Duration::from_millis(100);
/// What one call sends at most.
const MOST_BYTES: usize = 65_000;
const MOST: usize = 64;
