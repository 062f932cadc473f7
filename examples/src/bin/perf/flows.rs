//! Some connections at once for a fixed time, which is the receiver's: what has arrived and been verified when
//! it is over counts, and not what lies in buffers or on the way. Then both sides hang up by reset.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Args, Parser};
use ioth::{SO_LINGER, SO_RCVBUF, SO_RCVTIMEO, SO_SNDBUF, SOL_SOCKET, Stack};

use crate::measure::{self, Report};
use crate::pattern::{self, LONGEST};
use crate::size;
use crate::socket;

/// How the connections come about.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Flows {
    #[command(flatten)]
    side: Side,
    /// How many connections
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    flows: usize,
    /// SO_RCVBUF and SO_SNDBUF; as the stack chooses, if not given
    #[arg(long, value_parser = size, value_name = "BYTES")]
    socket_buffer: Option<u64>,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct Side {
    /// Wait for the other side here
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The other side
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: Option<SocketAddr>,
}

impl Flows {
    /// All connections, established.
    pub(crate) fn open(&self, stack: &Stack) -> anyhow::Result<Vec<OwnedFd>> {
        let one = |address| -> anyhow::Result<OwnedFd> {
            let socket = socket::open(stack, address)?;
            self.tune(&socket)?;
            Ok(socket)
        };
        if let Some(server) = self.side.connect {
            return (0..self.flows).map(|_| socket::connect_with(one(server)?, server)).collect();
        }
        let Some(address) = self.side.listen else { bail!("one of --listen and --connect is needed") };
        let listener = socket::listen_with(one(address)?, address)?;
        println!("listening on {}", ioth::getsockname(&listener)?);
        let accept = |_| -> anyhow::Result<OwnedFd> {
            let (socket, _) = ioth::accept(&listener)?;
            self.tune(&socket)?;
            Ok(socket)
        };
        (0..self.flows).map(accept).collect()
    }

    fn tune(&self, socket: &OwnedFd) -> anyhow::Result<()> {
        if let Some(bytes) = self.socket_buffer {
            let bytes = i32::try_from(bytes)?;
            ioth::setsockopt_int(socket, SOL_SOCKET, SO_RCVBUF, bytes)?;
            ioth::setsockopt_int(socket, SOL_SOCKET, SO_SNDBUF, bytes)?;
        }
        // socket(7): on, for no time at all. What is under way at the end is not sent again to whoever
        // measures next.
        ioth::setsockopt(socket, SOL_SOCKET, SO_LINGER, [1_i32, 0].map(i32::to_ne_bytes).as_flattened())?;
        Ok(())
    }
}

/// Sends on every connection until the other side has hung up on all.
pub(crate) fn feed(sockets: Vec<OwnedFd>, buffer: usize) -> anyhow::Result<()> {
    on_each(sockets, |socket| {
        let mut sent = 0;
        loop {
            match ioth::send(socket, pattern::slice(sent, buffer), 0) {
                Ok(len) => sent += len as u64,
                Err(error) if hung_up(error.kind()) => return Ok(()),
                Err(error) => return Err(error).context("send"),
            }
        }
    })?;
    Ok(())
}

/// Receives on every connection for so long from the first byte on any of them, and says how much came on all.
pub(crate) fn drain(sockets: Vec<OwnedFd>, buffer: usize, time: Duration) -> anyhow::Result<Report> {
    let start = OnceLock::new();
    let over = || start.get().is_some_and(|start: &Instant| start.elapsed() >= time);
    let received = on_each(sockets, |socket| {
        // A path may be silent for longer than is measured.
        let look = [0, LOOK.as_micros() as libc::time_t];
        ioth::setsockopt(
            socket,
            SOL_SOCKET,
            SO_RCVTIMEO,
            look.map(libc::time_t::to_ne_bytes).as_flattened(),
        )?;
        let mut buffer = vec![0; buffer.min(LONGEST)];
        let (mut received, mut ok) = (0, true);
        while !over() {
            let len = match ioth::recv(socket, &mut buffer, 0) {
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error).context("receive"),
            };
            ensure!(len > 0, "the sender hung up");
            start.get_or_init(Instant::now);
            if over() {
                break;
            }
            ok &= pattern::verify(received, &buffer[..len]);
            received += len as u64;
        }
        Ok((received, ok))
    })?;
    let total = received.iter().map(|(bytes, _)| bytes).sum();
    Ok(measure::transfer(total, time, received.iter().all(|(_, ok)| *ok)))
}

/// Runs `f` with each socket on a thread of its own.
fn on_each<T: Send>(
    sockets: Vec<OwnedFd>,
    f: impl Fn(&OwnedFd) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let results: anyhow::Result<Vec<T>> = thread::scope(|scope| {
        let threads: Vec<_> = sockets.iter().map(|socket| scope.spawn(|| f(socket))).collect();
        let panicked = |_| anyhow::anyhow!("a thread panicked");
        threads.into_iter().map(|thread| thread.join().map_err(panicked)?).collect()
    });
    for socket in sockets {
        ioth::close(socket)?;
    }
    results
}

fn hung_up(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// How often a receiver that gets nothing looks whether the time is over.
const LOOK: Duration = Duration::from_millis(20);
