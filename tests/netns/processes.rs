//! Processes with stacks: how they end, what they cost while nothing happens, what they leave behind.

use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ioth::Stack;
use ioth::net::{TcpListener, TcpStream};
use ioth_tests::child::Child;
use ioth_tests::netns::{Net, Test};
use ioth_tests::pattern;

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        a_process_that_exits_loses_nothing,
        children_of_a_busy_process_make_stacks_of_their_own,
        copies_in_a_process_that_starts_keep_nothing_alive,
        idle_stacks_cost_no_thread_and_leave_nothing,
    ]
}

fn a_process_that_exits_loses_nothing(net: &Net) -> Result<()> {
    net.tap("red", &["10.0.0.1/24", "fd00::1/64"])?;
    let leaver = env!("CARGO_BIN_EXE_leaver");
    // More than the ring holds; less than the pair does; one byte.
    for (kernel, bytes) in [("10.0.0.1:0", 3_000_000), ("[fd00::1]:0", 400_000), ("10.0.0.1:0", 1)] {
        for how in ["library", "plain"] {
            let listener = std::net::TcpListener::bind(kernel)?;
            let peer = listener.local_addr()?;
            let receiver = thread::spawn(move || {
                let (mut stream, _) = listener.accept()?;
                // The process is gone, or about to, before anybody reads.
                thread::sleep(Duration::from_millis(100));
                pattern::check(&mut stream)
            });
            let config = "ip=10.0.0.2/24,ip=fd00::2/64,linger=20s";
            net.run(&format!("{leaver} tap://red {config} '{peer}' {bytes} {how}"))?;
            let received = receiver.join().expect("no panic")?;
            ensure!(received == bytes, "{received} of {bytes} arrived ({how})");
        }
    }
    Ok(())
}

/// Connects, sends and closes between two stacks on a switch.
fn exchange(red: &Stack, blue: &Stack, listener: &TcpListener) -> Result<()> {
    let mut stream = TcpStream::connect(blue, listener.local_addr()?)?;
    stream.write_all(b"word")?;
    drop(stream);
    let mut word = String::new();
    listener.accept()?.0.read_to_string(&mut word)?;
    ensure!(word == "word" && red.name() != blue.name());
    Ok(())
}

/// What threads of the parent do at the moment of the fork must not matter to a child.
fn children_of_a_busy_process_make_stacks_of_their_own(_: &Net) -> Result<()> {
    let two = |name: &str| -> Result<_> {
        let red = Stack::new(&format!("switch://{name}"), "ip=10.0.0.1/24")?;
        let blue = Stack::new(&format!("switch://{name}"), "ip=10.0.0.2/24")?;
        let listener = TcpListener::bind(&red, "10.0.0.1:80")?;
        Ok((red, blue, listener))
    };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let busy: Vec<_> = ["one", "two"]
            .map(|name| {
                scope.spawn(|| {
                    let (red, blue, listener) = two(name)?;
                    let mut exchanges = 0;
                    while !done.load(Relaxed) {
                        exchange(&red, &blue, &listener)?;
                        exchanges += 1;
                    }
                    anyhow::Ok(exchanges)
                })
            })
            .into();
        let children = || {
            for _ in 0..100 {
                let child = Child::start(|| {
                    two("one").and_then(|(red, blue, listener)| exchange(&red, &blue, &listener)).is_ok()
                })?;
                ensure!(child.wait()?, "a child failed");
            }
            Ok(())
        };
        let result = children();
        done.store(true, Relaxed);
        for busy in busy {
            ensure!(busy.join().expect("no panic")? > 0);
        }
        result
    })
}

/// Between fork and exec a new process holds copies of all descriptors, the engine's ends too.
fn copies_in_a_process_that_starts_keep_nothing_alive(_: &Net) -> Result<()> {
    let red = Stack::new("switch://lab", "ip=10.0.0.1/24")?;
    let blue = Stack::new("switch://lab", "ip=10.0.0.2/24")?;
    let listener = TcpListener::bind(&red, "10.0.0.1:80")?;
    let mut reset = TcpStream::connect(&blue, "10.0.0.1:80")?;
    // Its ring would grow.
    ioth::setsockopt_int(&reset, ioth::SOL_SOCKET, ioth::SO_RCVBUF, 512 * 1024)?;
    let mut peer = listener.accept()?.0;
    let mut ended = TcpStream::connect(&blue, "10.0.0.1:80")?;
    let _other = listener.accept()?.0;
    let _bystander = Child::bystander()?;

    // What cannot be delivered before the stack ends makes it a reset: more than blue has room for.
    peer.set_nonblocking(true)?;
    let mut taken = 0;
    while taken < 1_200_000 {
        taken += peer.write(&[7; 10_000]).unwrap_or(0);
    }
    ensure!(red.shutdown(Duration::from_millis(50)).is_err(), "all of it was delivered");
    let mut heard = Vec::new();
    let error = reset.read_to_end(&mut heard).err().and_then(|error| error.raw_os_error());
    ensure!(error == Some(libc::ECONNRESET), "{error:?} after {} bytes", heard.len());
    let error = reset.write(b"more").err().and_then(|error| error.raw_os_error());
    ensure!(error == Some(libc::EPIPE), "{error:?}");

    blue.shutdown(Duration::from_millis(100)).ok();
    let error = ended.write(b"more").err().and_then(|error| error.raw_os_error());
    ensure!(error.is_some(), "a stack that was shut down took data");
    ensure!(ended.read(&mut [0; 10])? == 0, "the error was told");
    Ok(())
}

fn descriptors() -> Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

/// Threads of the process that run stacks.
fn drivers() -> Result<usize> {
    let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task?.path().join("comm"));
    // A thread may end while they are counted.
    let names = fs::read_dir("/proc/self/task")?.filter_map(|task| name(task).ok());
    Ok(names.filter(|name| name.starts_with("ioth")).count())
}

fn idle_stacks_cost_no_thread_and_leave_nothing(_: &Net) -> Result<()> {
    const STACKS: usize = 100;
    let first = Stack::new("switch://lab", "ip=10.0.0.1/16")?;
    let listener = TcpListener::bind(&first, "10.0.0.1:80")?;
    let before = descriptors()?;
    let stacks = (0..STACKS)
        .map(|index| Stack::new("switch://lab", &format!("ip=10.0.1.{index}/16")).context("another stack"))
        .collect::<Result<Vec<_>>>()?;
    for stack in &stacks {
        TcpStream::connect(stack, "10.0.0.1:80")?;
        listener.accept()?;
    }
    ensure!(drivers()? == 1, "{} threads drive the stacks", drivers()?);
    ensure!(descriptors()? >= before + STACKS);
    drop(stacks);
    // The driver gives the links back when nothing is left to send. Other tests have descriptors too.
    let deadline = Instant::now() + Duration::from_secs(20);
    while descriptors()? >= before + STACKS / 2 {
        ensure!(Instant::now() < deadline, "{} descriptors, {before} before", descriptors()?);
        thread::yield_now();
    }
    Ok(())
}
