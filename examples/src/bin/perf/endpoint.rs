//! The client's side of the measurements by the endpoints of ioth_stack, without descriptors: what the others are to be
//! compared with.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ioth_examples::StackArg;
use ioth_stack::{Context, EndpointId, Error, Family, Kind, Runtime, Shutdown, Stack};

use crate::measure::{Limit, Report, rate, transfer};
use crate::pattern::{self, LONGEST};

/// A connection of a stack of its own.
pub(crate) struct Endpoint {
    stack: Stack,
    id: EndpointId,
}

impl Endpoint {
    /// Connects.
    pub(crate) fn connect(arg: &StackArg, server: SocketAddr) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let stack = Stack::builder(&runtime).interface(None, &arg.vnl).config(&arg.config).build()?;
        let family = if server.is_ipv4() { Family::V4 } else { Family::V6 };
        let id = stack.run(|cx| {
            let id = cx.engine.open(Kind::Stream, family);
            let _ = cx.engine.connect(cx.now, id, server);
            id
        });
        let endpoint = Self { stack, id };
        endpoint.wait(|cx| match cx.engine.connect_result(id) {
            Err(Error::InProgress) => Err(Error::WouldBlock),
            result => result,
        })?;
        Ok(endpoint)
    }

    fn wait<T>(&self, mut step: impl FnMut(&mut Context<'_>) -> Result<T, Error>) -> anyhow::Result<T> {
        let first = self.stack.run(&mut step);
        if !matches!(first, Err(Error::WouldBlock)) {
            return Ok(first?);
        }
        let result = self.stack.wait(self.id, None, |cx| match step(cx) {
            Err(Error::WouldBlock) => None,
            result => Some(result),
        });
        Ok(result.done().context("it waits for ever")??)
    }

    fn send(&self, mut data: &[u8]) -> anyhow::Result<()> {
        while !data.is_empty() {
            let sent = self.wait(|cx| cx.engine.send(cx.now, self.id, data))?;
            data = &data[sent..];
        }
        Ok(())
    }

    fn recv(&self, buffer: &mut [u8]) -> anyhow::Result<usize> {
        self.wait(|cx| cx.engine.recv(cx.now, self.id, buffer))
    }

    /// As `measure::bulk_out`.
    pub(crate) fn bulk_out(&self, limit: Limit) -> anyhow::Result<Report> {
        let (start, mut sent) = (Instant::now(), 0);
        while sent < limit.bytes && start.elapsed() < limit.time {
            let data = pattern::slice(sent, limit.buffer);
            self.send(data)?;
            sent += data.len() as u64;
        }
        self.stack.run(|cx| cx.engine.shutdown(cx.now, self.id, Shutdown::Write))?;
        let (mut verified, mut filled) = ([0; 8], 0);
        while filled < verified.len() {
            let len = self.recv(&mut verified[filled..])?;
            ensure!(len > 0, "the receiver hung up");
            filled += len;
        }
        let verified = u64::from_be_bytes(verified);
        Ok(transfer(verified, start.elapsed(), verified == sent))
    }

    /// As `measure::bulk_in`.
    pub(crate) fn bulk_in(&self, limit: Limit) -> anyhow::Result<Report> {
        let start = Instant::now();
        let order = [limit.bytes.to_be_bytes(), u64::try_from(limit.time.as_micros())?.to_be_bytes()];
        self.send(order.as_flattened())?;
        let mut buffer = vec![0; limit.buffer.min(LONGEST)];
        let (mut received, mut ok) = (0, true);
        loop {
            let len = self.recv(&mut buffer)?;
            if len == 0 {
                break;
            }
            ok &= pattern::verify(received, &buffer[..len]);
            received += len as u64;
        }
        let time = start.elapsed();
        self.send(&received.to_be_bytes())?;
        Ok(transfer(received, time, ok))
    }

    /// As `measure::round_trips`.
    pub(crate) fn round_trips(&self, time: Duration) -> anyhow::Result<Report> {
        self.stack.run(|cx| {
            let mut options = cx.engine.options(self.id)?;
            options.nodelay = true;
            cx.engine.set_options(self.id, options)
        })?;
        let (start, mut count, mut ok) = (Instant::now(), 0u64, true);
        while start.elapsed() < time {
            let (asked, mut answer) = ([count as u8], [0]);
            self.send(&asked)?;
            ensure!(self.recv(&mut answer)? == 1, "the server hung up");
            ok &= answer == asked;
            count += 1;
        }
        Ok(rate(count, start.elapsed(), ok))
    }
}
