//! Floods from the kernel's side of a TAP, in real time.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etherparse::PacketBuilder;
use ioth::Stack;
use ioth::net::{TcpListener, TcpStream};
use ioth_tests::netns::{Net, Test};
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![half_open_attempts_from_everywhere]
}

/// Attempts, each from an address of its own.
const ATTEMPTS: u32 = 100_000;
/// How many a second. Each costs the machine a packet each way; with many more it is the machine that is busy.
const PER_SECOND: u32 = 25_000;
/// IPPROTO_RAW, raw(7): the caller writes the IP header.
const RAW: u32 = 255;

/// Sends them.
fn flood(net: &Net, to: Ipv4Addr, port: u16) -> Result<()> {
    net.enter(|| {
        let protocol = RAW.try_into().map(Protocol::from_raw)?;
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(protocol))?;
        let start = Instant::now();
        for number in 0..ATTEMPTS {
            let from = Ipv4Addr::from(0x0b00_0000 + number * 7).octets();
            let mut packet = Vec::with_capacity(40);
            PacketBuilder::ipv4(from, to.octets(), 64)
                .tcp(1024 + (number % 60_000) as u16, port, number, 65_535)
                .syn()
                .write(&mut packet, &[])?;
            let address = std::net::SocketAddr::from((to, port));
            match rustix::net::sendto(&socket, &packet, SendFlags::empty(), &address) {
                Ok(_) | Err(rustix::io::Errno::NOBUFS) => {}
                Err(errno) => return Err(errno).context("send a SYN"),
            }
            let due = start + Duration::from_secs(1) * number / PER_SECOND;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(())
    })
}

/// Memory of this process, in bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}

/// Connects from the kernel, has a word echoed, and says how long that took.
fn honest_client(net: &Net) -> Result<Duration> {
    net.enter(|| {
        let start = Instant::now();
        let mut stream = std::net::TcpStream::connect("10.0.0.2:80").context("connect")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"word")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).context("the echo")?;
        ensure!(&answer == b"word", "{answer:?}");
        Ok(start.elapsed())
    })
}

/// Echoes a word for every connection.
fn echo(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        thread::spawn(move || {
            let mut word = [0; 4];
            let _ = stream.read_exact(&mut word).and_then(|()| stream.write_all(&word));
        });
    }
}

fn half_open_attempts_from_everywhere(net: &Net) -> Result<()> {
    net.tap("red", &["10.0.0.1/24"])?;
    let stack = net.enter(|| Stack::new("tap://red", "ip=10.0.0.2/24,gw=10.0.0.1"))?;
    net.wait_for_carrier("red")?;
    let listener = TcpListener::bind(&stack, "10.0.0.2:80")?;
    let listener = Arc::new(listener);
    let echoing = Arc::clone(&listener);
    let server = thread::spawn(move || echo(&echoing));
    let streams = TcpListener::bind(&stack, "10.0.0.2:81")?;

    let (arrived, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            net.enter(|| -> Result<()> {
                let mut stream = std::net::TcpStream::connect("10.0.0.2:81")?;
                while !done.load(Relaxed) {
                    stream.write_all(&[7; 65_536])?;
                }
                Ok(())
            })
        });
        let (mut stream, _): (TcpStream, _) = streams.accept()?;
        let count = &arrived;
        scope.spawn(move || {
            let mut buffer = vec![0; 1 << 17];
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                count.fetch_add(len as u64, Relaxed);
            }
        });
        let result = measure(net, &arrived);
        done.store(true, Relaxed);
        result
    });
    ioth::shutdown(&*listener, ioth::SHUT_RD)?;
    server.join().expect("no panic");
    result
}

fn measure(net: &Net, arrived: &AtomicU64) -> Result<()> {
    let rate = |time: Duration| {
        let (start, before) = (Instant::now(), arrived.load(Relaxed));
        thread::sleep(time);
        (arrived.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64()
    };
    ensure!(honest_client(net)? < Duration::from_secs(1), "before the flood");
    let second = Duration::from_secs(1);
    let (quiet, memory) = (rate(second), resident()?);
    let (flooded, slowest, clients) = thread::scope(|scope| {
        let attack = scope.spawn(|| flood(net, Ipv4Addr::new(10, 0, 0, 2), 80));
        let clients = scope.spawn(|| -> Result<Vec<Duration>> {
            let mut times = Vec::new();
            while !attack.is_finished() {
                times.push(honest_client(net)?);
            }
            attack.join().expect("no panic")?;
            Ok(times)
        });
        let flooded = rate(3 * second);
        let times = clients.join().expect("no panic")?;
        let slowest = times.iter().max().copied().context("nobody connected")?;
        anyhow::Ok((flooded, slowest, times.len()))
    })?;
    let grown = resident()?.saturating_sub(memory);
    println!(
        "established: {:.2} of its speed; {clients} honest clients, the slowest in {slowest:?}; {grown} bytes more",
        flooded / quiet
    );
    ensure!(slowest < Duration::from_secs(1), "a client connected in {slowest:?}");
    // Who sends the flood wants a processor, too.
    ensure!(flooded > quiet / 4.0, "{:.2} of its speed", flooded / quiet);
    // 129 connections of a listener with a backlog of 128, their rings touched nowhere, and the honest ones.
    ensure!(grown < 32 << 20, "{grown} bytes more");
    Ok(())
}
