//! Many stacks in many threads, with nothing but switches between them.

use std::io::{Read, Write};
use std::sync::Barrier;
use std::thread;

use anyhow::{Context, Result, ensure};
use ioth::Stack;
use ioth::net::{TcpListener, TcpStream, UdpSocket};
use ioth_tests::netns::{Net, Test};
use ioth_tests::pattern;

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![a_hundred_threads_with_a_stack_each, threads_that_make_and_drop_stacks]
}

/// Each listens on its own stack, connects to the next one's, and both send a pattern; all at once.
fn a_hundred_threads_with_a_stack_each(_: &Net) -> Result<()> {
    const THREADS: usize = 100;
    const BYTES: u64 = 200_000;
    let (listening, done) = (Barrier::new(THREADS), Barrier::new(THREADS));
    let one = |number: usize| -> Result<()> {
        let set_up = || -> Result<_> {
            let stack = Stack::new("switch://crowd", &format!("ip=10.0.1.{number}/16"))?;
            let listener = TcpListener::bind(&stack, &format!("10.0.1.{number}:80") as &str)?;
            Ok((stack, listener))
        };
        let set_up = set_up();
        listening.wait();
        let talk = || -> Result<_> {
            let (stack, listener) = set_up?;
            let next = format!("10.0.1.{}:80", (number + 1) % THREADS);
            let mut out = TcpStream::connect(&stack, &*next).context("connect")?;
            thread::scope(|scope| {
                let sends = scope.spawn(move || {
                    pattern::send(&mut out, BYTES)?;
                    out.shutdown(std::net::Shutdown::Write)?;
                    let mut answer = String::new();
                    out.read_to_string(&mut answer)?;
                    anyhow::Ok(answer)
                });
                let (mut theirs, _) = listener.accept()?;
                let got = pattern::check(&mut theirs)?;
                write!(theirs, "{got}")?;
                drop(theirs);
                let answer = sends.join().expect("no panic")?;
                ensure!(got == BYTES && answer == BYTES.to_string(), "{got} here, {answer} there");
                Ok(stack)
            })
        };
        let talked = talk();
        // Nobody's stack goes while another may need it.
        done.wait();
        talked.map(drop)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || one(number))).collect();
        threads.into_iter().enumerate().try_for_each(|(number, thread)| {
            thread.join().expect("no panic").with_context(|| format!("thread {number}"))
        })
    })
}

/// The others' traffic goes on while stacks of their switch come and go, idle or with connections in every state.
fn threads_that_make_and_drop_stacks(_: &Net) -> Result<()> {
    const THREADS: u8 = 8;
    const ROUNDS: u8 = 15;
    let server = Stack::new("switch://guests", "ip=10.0.0.1/16")?;
    let listener = TcpListener::bind(&server, "10.0.0.1:80")?;
    let echo = UdpSocket::bind(&server, "10.0.0.1:7")?;
    let guest = |thread: u8| -> Result<()> {
        for round in 0..ROUNDS {
            let stack = Stack::new("switch://guests", &format!("ip=10.0.{}.{}/16", thread + 1, round + 1))?;
            let mut stream = TcpStream::connect(&stack, "10.0.0.1:80")?;
            stream.write_all(&[thread, round])?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer)?;
            ensure!(answer == [thread, round], "somebody else's answer");
            let datagrams = UdpSocket::bind(&stack, "0.0.0.0:0")?;
            datagrams.connect("10.0.0.1:7")?;
            datagrams.send(&answer)?;
            let own = match round % 3 {
                0 => Some(TcpListener::bind(&stack, "0.0.0.0:81")?),
                _ => None,
            };
            if round % 2 == 0 {
                // The stack outlives its handle as long as its sockets do.
                drop(stack);
                stream.write_all(b"!")?;
                stream.read_exact(&mut [0; 1])?;
            } else {
                drop(stream);
                drop(stack);
            }
            drop(own);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let accepts = scope.spawn(|| -> Result<()> {
            for stream in listener.incoming().take(usize::from(THREADS) * usize::from(ROUNDS)) {
                let mut stream = stream?;
                thread::spawn(move || {
                    let mut room = [0; 10];
                    while let Ok(len @ 1..) = stream.read(&mut room) {
                        let _ = stream.write_all(&room[..len]);
                    }
                });
            }
            Ok(())
        });
        let guests: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || guest(thread))).collect();
        for guest in guests {
            guest.join().expect("no panic")?;
        }
        let mut datagrams = 0;
        echo.set_nonblocking(true)?;
        while echo.recv_from(&mut [0; 10]).is_ok() {
            datagrams += 1;
        }
        ensure!(datagrams == usize::from(THREADS) * usize::from(ROUNDS), "{datagrams} datagrams");
        accepts.join().expect("no panic")
    })
}
