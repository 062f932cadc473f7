//! Both sides of each measurement, on one connection.
//!
//! A transfer ends with the end of the stream; then its receiver tells the sender how many bytes it has
//! verified, as a u64, and that answer is what stops the sender's clock.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ioth::{SHUT_WR, Stack};

use crate::pattern::{self, LONGEST};
use crate::socket::{connect, no_delay, recv_all, send_all};

/// When a measurement ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
    /// Bytes of each send and recv.
    pub(crate) buffer: usize,
}

/// What was measured, shown as a line of JSON.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Whether every byte was right.
    pub(crate) ok: bool,
    fields: Vec<(&'static str, f64)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (name, value) in &self.fields {
            // The shortest text that reads back as the same number.
            write!(f, "\"{name}\":{value},")?;
        }
        write!(f, "\"ok\":{}}}", self.ok)
    }
}

/// Sends to a [`sink`]. With `wait` off it closes right after the last send and knows nothing more.
pub(crate) fn bulk_out(
    stack: &Stack,
    server: SocketAddr,
    limit: Limit,
    wait: bool,
) -> anyhow::Result<Report> {
    let socket = connect(stack, server)?;
    let start = Instant::now();
    let sent = send_pattern(&socket, limit)?;
    if !wait {
        ioth::close(socket)?;
        return Ok(transfer(sent, start.elapsed(), true));
    }
    let verified = hear_verified(&socket)?;
    Ok(transfer(verified, start.elapsed(), verified == sent))
}

/// Receives from a [`source`].
pub(crate) fn bulk_in(stack: &Stack, server: SocketAddr, limit: Limit) -> anyhow::Result<Report> {
    let socket = connect(stack, server)?;
    let start = Instant::now();
    let order = [limit.bytes.to_be_bytes(), u64::try_from(limit.time.as_micros())?.to_be_bytes()];
    send_all(&socket, order.as_flattened())?;
    let (verified, ok) = receive_pattern(&socket, limit.buffer)?;
    let time = start.elapsed();
    // A source that does not wait for it is gone.
    let _ = send_all(&socket, &verified.to_be_bytes());
    Ok(transfer(verified, time, ok && (limit.bytes == u64::MAX || limit.bytes == verified)))
}

/// Serves [`bulk_out`].
pub(crate) fn sink(socket: &OwnedFd, buffer: usize) -> anyhow::Result<Report> {
    let start = Instant::now();
    let (verified, ok) = receive_pattern(socket, buffer)?;
    let report = transfer(verified, start.elapsed(), ok);
    // A sender that does not wait for it is gone.
    let _ = send_all(socket, &verified.to_be_bytes());
    Ok(report)
}

/// Serves [`bulk_in`]. With `wait` off it closes right after the last send.
pub(crate) fn source(socket: &OwnedFd, buffer: usize, wait: bool) -> anyhow::Result<Report> {
    let mut order = [[0; 8]; 2];
    ensure!(recv_all(socket, order.as_flattened_mut())?, "the client said nothing");
    let [bytes, micros] = order.map(u64::from_be_bytes);
    let limit = Limit { bytes, time: Duration::from_micros(micros), buffer };
    let start = Instant::now();
    let sent = send_pattern(socket, limit)?;
    if !wait {
        return Ok(transfer(sent, start.elapsed(), true));
    }
    let verified = hear_verified(socket)?;
    Ok(transfer(verified, start.elapsed(), verified == sent))
}

/// Serves [`round_trips`] and [`connections`].
pub(crate) fn echo(socket: &OwnedFd) -> anyhow::Result<Report> {
    no_delay(socket)?;
    let mut buffer = [0; 4096];
    let (start, mut total) = (Instant::now(), 0);
    loop {
        match ioth::recv(socket, &mut buffer, 0)? {
            0 => return Ok(transfer(total, start.elapsed(), true)),
            len => {
                send_all(socket, &buffer[..len])?;
                total += len as u64;
            }
        }
    }
}

/// Sends one byte and waits for it to come back, again and again.
pub(crate) fn round_trips(stack: &Stack, server: SocketAddr, limit: Limit) -> anyhow::Result<Report> {
    let socket = connect(stack, server)?;
    no_delay(&socket)?;
    repeat(limit.time, |number| {
        let asked = [number as u8];
        let mut answer = [0];
        send_all(&socket, &asked)?;
        ensure!(recv_all(&socket, &mut answer)?, "the server hung up");
        Ok(answer == asked)
    })
}

/// Connects, sends a byte, waits for it to come back, closes, again and again.
pub(crate) fn connections(stack: &Stack, server: SocketAddr, limit: Limit) -> anyhow::Result<Report> {
    repeat(limit.time, |number| {
        let socket = connect(stack, server)?;
        let asked = [number as u8];
        let mut answer = [0];
        send_all(&socket, &asked)?;
        ensure!(recv_all(&socket, &mut answer)?, "the server hung up");
        ioth::close(socket)?;
        Ok(answer == asked)
    })
}

fn repeat(time: Duration, mut once: impl FnMut(usize) -> anyhow::Result<bool>) -> anyhow::Result<Report> {
    let mut times = Vec::with_capacity(1 << 20);
    // The first finds the neighbour, and is not counted.
    let mut ok = once(0)?;
    let start = Instant::now();
    let mut before = start;
    while before - start < time || times.is_empty() {
        ok &= once(times.len())?;
        let now = Instant::now();
        times.push((now - before).as_secs_f64() * 1e6);
        before = now;
    }
    let per_s = times.len() as f64 / (before - start).as_secs_f64();
    times.sort_by(f64::total_cmp);
    let quantile = |part: usize| times[(times.len() - 1) * part / 100];
    let fields = vec![
        ("per_s", round(per_s)),
        ("p50_us", round(quantile(50))),
        ("p99_us", round(quantile(99))),
        ("count", times.len() as f64),
    ];
    Ok(Report { ok, fields })
}

fn send_pattern(socket: &OwnedFd, limit: Limit) -> io::Result<u64> {
    let start = Instant::now();
    let mut sent = 0;
    while sent < limit.bytes && start.elapsed() < limit.time {
        let len = limit.buffer.min(usize::try_from(limit.bytes - sent).unwrap_or(usize::MAX));
        sent += ioth::send(socket, pattern::slice(sent, len), 0)? as u64;
    }
    Ok(sent)
}

/// How many bytes came until the end of the stream, and whether all were right.
fn receive_pattern(socket: &OwnedFd, buffer: usize) -> io::Result<(u64, bool)> {
    let mut buffer = vec![0; buffer.min(LONGEST)];
    let (mut received, mut ok) = (0, true);
    loop {
        let len = ioth::recv(socket, &mut buffer, 0)?;
        if len == 0 {
            return Ok((received, ok));
        }
        ok &= pattern::verify(received, &buffer[..len]);
        received += len as u64;
    }
}

/// Ends the stream and waits for the verdict on it.
fn hear_verified(socket: &OwnedFd) -> anyhow::Result<u64> {
    ioth::shutdown(socket, SHUT_WR)?;
    let mut verified = [0; 8];
    ensure!(recv_all(socket, &mut verified).context("the receiver's answer")?, "the receiver hung up");
    Ok(u64::from_be_bytes(verified))
}

pub(crate) fn transfer(bytes: u64, time: Duration, ok: bool) -> Report {
    let seconds = time.as_secs_f64();
    let gbit_s = round(bytes as f64 * 8e-9 / seconds);
    Report { ok, fields: vec![("gbit_s", gbit_s), ("bytes", bytes as f64), ("seconds", round(seconds))] }
}

/// Datagrams of `size` bytes.
pub(crate) fn datagram_rate(count: u64, size: usize, time: Duration, ok: bool) -> Report {
    let per_s = count as f64 / time.as_secs_f64();
    let gbit_s = per_s * size as f64 * 8e-9;
    Report { ok, fields: vec![("per_s", round(per_s)), ("gbit_s", round(gbit_s)), ("count", count as f64)] }
}

/// So many of something in that time.
pub(crate) fn rate(count: u64, time: Duration, ok: bool) -> Report {
    let per_s = round(count as f64 / time.as_secs_f64());
    Report { ok, fields: vec![("per_s", per_s), ("count", count as f64)] }
}

/// The median of some times.
pub(crate) fn median(mut times: Vec<Duration>) -> Report {
    times.sort();
    let middle = times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64);
    Report { ok: true, fields: vec![("p50_us", round(middle * 1e6)), ("count", times.len() as f64)] }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
