//! Processes that are there before the connections: each accepts on the same listener, and the stack, which runs in the
//! first process, gives every connection to one of them.

#[path = "fork_server/sys.rs"]
mod sys;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process;

use clap::Parser;
use ioth::net::{TcpListener, TcpStream};
use ioth_examples::StackArg;
use rustix::process::{WaitOptions, wait};

/// Sends back what it receives, with the number of the process in front.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// Where to listen; port 0 lets the stack choose one
    #[arg(long, default_value = "0.0.0.0:7777", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// How many processes
    #[arg(long, default_value_t = 4, value_name = "N")]
    workers: usize,
    /// Each ends after this many connections
    #[arg(long, default_value_t = usize::MAX, value_name = "N")]
    each: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let stack = args.stack.open()?;
    let listener = TcpListener::bind(&stack, args.listen)?;
    for _ in 0..args.workers {
        if sys::fork()?.is_none() {
            let result = listener.incoming().take(args.each).try_for_each(|connection| serve(&connection?));
            process::exit(i32::from(result.is_err()));
        }
    }
    println!("listening on {}", listener.local_addr()?);
    while let Ok(Some((child, status))) = wait(WaitOptions::empty()) {
        println!("worker {child} ended with {}", status.exit_status().unwrap_or(-1));
    }
    Ok(())
}

fn serve(connection: &TcpStream) -> io::Result<()> {
    let mut connection = connection;
    write!(connection, "{}: ", process::id())?;
    let mut buffer = [0; 4096];
    loop {
        match connection.read(&mut buffer)? {
            0 => return Ok(()),
            len => connection.write_all(&buffer[..len])?,
        }
    }
}
