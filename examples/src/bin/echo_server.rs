//! The BSD calls: socket, bind, listen, accept, recv, send. What a client sends comes back to it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use clap::Parser;
use ioth::{AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET};
use ioth_examples::StackArg;

/// Sends back what it receives, one client after the other.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// Where to listen; port 0 lets the stack choose one
    #[arg(long, default_value = "0.0.0.0:7", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// End after the first client
    #[arg(long)]
    once: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let stack = args.stack.open()?;

    let family = if args.listen.is_ipv4() { AF_INET } else { AF_INET6 };
    let listener = ioth::msocket(&stack, family, SOCK_STREAM, 0)?;
    ioth::setsockopt_int(&listener, SOL_SOCKET, SO_REUSEADDR, 1)?;
    ioth::bind(&listener, &args.listen)?;
    ioth::listen(&listener, 16)?;
    println!("listening on {}", ioth::getsockname(&listener)?);

    loop {
        let (connection, peer) = ioth::accept(&listener)?;
        match echo(&connection) {
            Ok(bytes) => println!("{peer}: {bytes} bytes"),
            Err(error) => println!("{peer}: {error}"),
        }
        ioth::close(connection)?;
        if args.once {
            return Ok(());
        }
    }
}

/// Until the peer has nothing more to send.
fn echo(connection: &OwnedFd) -> std::io::Result<usize> {
    let mut buffer = [0; 64 * 1024];
    let mut total = 0;
    loop {
        let len = ioth::recv(connection, &mut buffer, 0)?;
        if len == 0 {
            return Ok(total);
        }
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            // A stream takes as much as it has room for.
            let sent = ioth::send(connection, rest, 0)?;
            rest = &rest[sent..];
        }
        total += len;
    }
}
