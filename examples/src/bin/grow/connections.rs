//! Idle connections: their memory, and what they cost a connection that is not idle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use ioth_stack::{EndpointId, Error, Family, Kind, Runtime, Stack};

use crate::memory;

#[derive(Parser)]
pub(crate) struct Connections {
    /// How many
    #[arg(default_value_t = 10_000)]
    count: usize,
    /// Send a byte each way over every one before it is idle
    #[arg(long)]
    used: bool,
    /// How long the busy connection is measured, before and afterwards
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// Connections that one port of the server has: fewer than there are ports to connect from.
const PER_PORT: usize = 20_000;
/// Connects under way at a time.
const BATCH: usize = 256;
/// Bytes of each send and receive of the busy connection.
const CHUNK: usize = 128 * 1024;

pub(crate) fn run(options: &Connections) -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let net = Net::new(&runtime)?;
    let busy = net.connect_all(9, 1)?;
    let time = Duration::try_from_secs_f64(options.seconds)?;
    let before = net.transfer(busy[0], time)?;
    let (resident, tables) = (memory::resident()?, memory::page_tables()?);
    let start = Instant::now();
    let mut idle = Vec::with_capacity(options.count);
    for port in 0.. {
        let count = PER_PORT.min(options.count - idle.len());
        if count == 0 {
            break;
        }
        idle.extend(net.connect_all(1000 + port, count)?);
    }
    let made = start.elapsed();
    if options.used {
        idle.iter().try_for_each(|ends| net.use_once(*ends))?;
    }
    let ends = 2 * options.count as u64;
    // Rings that are not used give their memory back after two seconds.
    thread::sleep(Duration::from_secs(if options.used { 4 } else { 0 }));
    let bytes = memory::resident()?.saturating_sub(resident) / ends;
    let table_bytes = memory::page_tables()?.saturating_sub(tables) / ends;
    let after = net.transfer(busy[0], time)?;
    println!(
        "{{\"connections\":{},\"bytes_each_end\":{bytes},\"page_table_bytes_each_end\":{table_bytes},\
         \"made_s\":{:.2},\"resident_mib\":{},\"gbits_before\":{:.2},\"gbits_after\":{:.2},\
         \"cpu_ns_per_kib_before\":{:.1},\"cpu_ns_per_kib_after\":{:.1}}}",
        options.count,
        made.as_secs_f64(),
        memory::resident()? >> 20,
        before.gbits(),
        after.gbits(),
        before.cpu_per_kib(),
        after.cpu_per_kib(),
    );
    Ok(())
}

/// What the busy connection did.
struct Transfer {
    bytes: u64,
    time: Duration,
    cpu: Duration,
}

impl Transfer {
    fn gbits(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.time.as_secs_f64() / 1e9
    }

    fn cpu_per_kib(&self) -> f64 {
        self.cpu.as_nanos() as f64 / (self.bytes as f64 / 1024.0)
    }
}

/// Two stacks on a switch.
struct Net {
    client: Stack,
    server: Stack,
}

impl Net {
    fn new(runtime: &Arc<Runtime>) -> anyhow::Result<Self> {
        let node = |config| Stack::builder(runtime).interface(None, "switch://grow").config(config).build();
        Ok(Self { client: node("ip=10.0.0.1/24")?, server: node("ip=10.0.0.2/24")? })
    }

    /// Makes connections to a port of the server: both ends of each.
    fn connect_all(&self, port: u16, count: usize) -> anyhow::Result<Vec<[EndpointId; 2]>> {
        let address = SocketAddr::from(([10, 0, 0, 2], port));
        let listener = self.server.run(|cx| {
            let id = cx.engine.open(Kind::Stream, Family::V4);
            cx.engine.bind(id, address)?;
            cx.engine.listen(id, BATCH + 1)?;
            Ok::<_, Error>(id)
        })?;
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let some: Vec<_> = (0..BATCH.min(count - all.len()))
                .map(|_| {
                    self.client.run(|cx| {
                        let id = cx.engine.open(Kind::Stream, Family::V4);
                        match cx.engine.connect(cx.now, id, address) {
                            Ok(()) | Err(Error::InProgress) => Ok(id),
                            Err(error) => Err(error),
                        }
                    })
                })
                .collect::<Result<_, _>>()?;
            let mut accepted = Vec::with_capacity(some.len());
            for _ in &some {
                let soon = Some(Instant::now() + Duration::from_secs(10));
                let one = self.server.wait(listener, soon, |cx| cx.engine.accept(listener).ok());
                accepted.push(one.done().context("a connection did not come in 10 s")?.id);
            }
            for (client, server) in some.into_iter().zip(accepted) {
                let soon = Some(Instant::now() + Duration::from_secs(10));
                let connected = self.client.wait(client, soon, |cx| match cx.engine.connect_result(client) {
                    Err(Error::InProgress) => None,
                    result => Some(result),
                });
                connected.done().context("a connect took more than 10 s")??;
                all.push([client, server]);
            }
        }
        self.server.run(|cx| cx.engine.close(cx.now, listener));
        Ok(all)
    }

    /// A byte there and one back. The ends of `connect_all` are in the order in which they were accepted, so the two of one
    /// entry need not belong together: everybody sends before anybody receives.
    fn use_once(&self, [client, server]: [EndpointId; 2]) -> anyhow::Result<()> {
        self.client.run(|cx| cx.engine.send(cx.now, client, b"?"))?;
        self.server.run(|cx| cx.engine.send(cx.now, server, b"!"))?;
        let soon = Some(Instant::now() + Duration::from_secs(10));
        let mut byte = [0];
        for (stack, end) in [(&self.client, client), (&self.server, server)] {
            let got = stack.wait(end, soon, |cx| match cx.engine.recv(cx.now, end, &mut byte) {
                Err(Error::WouldBlock) => None,
                result => Some(result),
            });
            got.done().context("a byte did not come in 10 s")??;
        }
        Ok(())
    }

    /// Sends from the client to the server, a thread each, and verifies every byte.
    fn transfer(&self, [client, server]: [EndpointId; 2], time: Duration) -> anyhow::Result<Transfer> {
        let pattern: Vec<u8> = (0..2 * CHUNK + 251).map(|i| (i % 251) as u8).collect();
        let (start, cpu) = (Instant::now(), memory::cpu_time());
        let (total, received) = thread::scope(|scope| {
            let receiver = scope.spawn(|| self.receive(server, &pattern));
            let mut sent = 0u64;
            while start.elapsed() < time {
                let at = (sent % 251) as usize;
                let chunk = &pattern[at..at + CHUNK];
                let more = self.client.wait(client, None, |cx| match cx.engine.send(cx.now, client, chunk) {
                    Err(Error::WouldBlock) => None,
                    result => Some(result),
                });
                sent += more.done().context("no deadline")?? as u64;
            }
            // The last byte is none of the pattern.
            let last = self.client.wait(client, None, |cx| match cx.engine.send(cx.now, client, &[255]) {
                Err(Error::WouldBlock) => None,
                result => Some(result),
            });
            last.done().context("no deadline")??;
            let received = receiver.join().map_err(|_| anyhow::anyhow!("the receiver failed"))??;
            anyhow::Ok((sent, received))
        })?;
        if total != received {
            bail!("{received} of {total} bytes arrived");
        }
        Ok(Transfer { bytes: total, time: start.elapsed(), cpu: memory::cpu_time() - cpu })
    }

    fn receive(&self, end: EndpointId, pattern: &[u8]) -> anyhow::Result<u64> {
        let (mut buffer, mut total) = (vec![0; CHUNK], 0u64);
        loop {
            let got = self.server.wait(end, None, |cx| match cx.engine.recv(cx.now, end, &mut buffer) {
                Err(Error::WouldBlock) => None,
                result => Some(result),
            });
            let mut got = got.done().context("no deadline")??;
            let last = got > 0 && buffer[got - 1] == 255;
            got -= usize::from(last);
            let at = (total % 251) as usize;
            if buffer[..got] != pattern[at..at + got] {
                bail!("not what was sent, behind {total} bytes");
            }
            total += got as u64;
            if last {
                return Ok(total);
            }
        }
    }
}
