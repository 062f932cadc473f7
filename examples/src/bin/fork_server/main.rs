//! A process for each connection, as servers have been written since 4.2BSD: the child serves it with plain
//! descriptors, and the stack goes on running in the parent. With `--threads`, a thread for each.

mod sys;

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process;
use std::thread;

use clap::Parser;
use ioth::net::{TcpListener, TcpStream};
use ioth_examples::StackArg;
use rustix::process::{WaitOptions, wait};

/// Answers each line with the line, and says which process or thread did it.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// Where to listen; port 0 lets the stack choose one
    #[arg(long, default_value = "0.0.0.0:7777", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A thread for each connection, not a process
    #[arg(long)]
    threads: bool,
    /// End after this many connections, when all are served
    #[arg(long, value_name = "N")]
    count: Option<usize>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let stack = args.stack.open()?;
    let listener = TcpListener::bind(&stack, args.listen)?;
    println!("listening on {}", listener.local_addr()?);
    if args.threads {
        serve_in_threads(&listener, args.count)
    } else {
        serve_in_children(listener, args.count)
    }
}

fn serve_in_children(listener: TcpListener, count: Option<usize>) -> anyhow::Result<()> {
    for served in 0.. {
        if count == Some(served) {
            break;
        }
        let (connection, peer) = listener.accept()?;
        if sys::fork()?.is_none() {
            drop(listener); // The child has no use for it.
            let result = serve(connection.into(), &format!("process {}", process::id()));
            process::exit(i32::from(result.is_err()));
        }
        println!("{peer}: handed to a child");
        drop(connection); // The child has its own; the connection ends when that one is closed too.
        while let Ok(Some((child, status))) = wait(WaitOptions::NOHANG) {
            reaped(child, status);
        }
    }
    while let Ok(Some((child, status))) = wait(WaitOptions::empty()) {
        reaped(child, status);
    }
    Ok(())
}

fn reaped(child: rustix::process::Pid, status: rustix::process::WaitStatus) {
    println!("child {child} ended with {}", status.exit_status().unwrap_or(-1));
}

fn serve_in_threads(listener: &TcpListener, count: Option<usize>) -> anyhow::Result<()> {
    thread::scope(|scope| {
        for number in 0.. {
            if count == Some(number) {
                break;
            }
            let (connection, peer) = listener.accept()?;
            println!("{peer}: handed to thread {number}");
            scope.spawn(move || serve(connection.into(), &format!("thread {number}")));
        }
        Ok(())
    })
}

fn serve(connection: OwnedFd, name: &str) -> io::Result<()> {
    let connection = TcpStream::from(connection);
    for line in BufReader::new(&connection).lines() {
        (&connection).write_all(format!("{name}: {}\n", line?).as_bytes())?;
    }
    Ok(())
}
