//! Datagrams, and poll(2) over a socket of any stack and the terminal: a chat between two.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use clap::Parser;
use ioth::{AF_INET, AF_INET6, SOCK_DGRAM};
use ioth_examples::StackArg;
use rustix::event::{PollFd, PollFlags, poll};

/// Sends each line to the peer and prints those of the peer; ends at the end of the input.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// Where to hear the peer; port 0 lets the stack choose one
    #[arg(long, default_value = "0.0.0.0:4000", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Whom to talk to; without it, whoever talks first
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer: Option<SocketAddr>,
}

fn main() -> anyhow::Result<()> {
    let Args { stack, listen, mut peer } = Args::parse();
    let stack = stack.open()?;
    let socket = ioth::msocket(&stack, if listen.is_ipv4() { AF_INET } else { AF_INET6 }, SOCK_DGRAM, 0)?;
    ioth::bind(&socket, &listen)?;
    println!("listening on {}", ioth::getsockname(&socket)?);

    let stdin = rustix::stdio::stdin();
    let mut buffer = [0; 65536];
    let mut typed = Vec::new();
    loop {
        let mut ready = [PollFd::new(&socket, PollFlags::IN), PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
        poll(&mut ready, None)?;
        let (from_network, from_terminal) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());

        if from_network {
            match ioth::recvfrom(&socket, &mut buffer, 0)? {
                (0, Some(from)) => println!("{from} has left"),
                (len, Some(from)) => {
                    peer.get_or_insert(from);
                    println!("{from}: {}", String::from_utf8_lossy(&buffer[..len]));
                }
                (_, None) => {}
            }
        }
        if from_terminal {
            let len = rustix::io::read(stdin, &mut buffer)?;
            typed.extend(&buffer[..len]);
            while let Some(end) = typed.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = typed.drain(..=end).collect();
                tell(&socket, &line[..end], peer)?;
            }
            if len == 0 {
                // A datagram may be empty: here it says goodbye.
                return Ok(tell(&socket, &[], peer)?);
            }
        }
        io::stdout().flush()?;
    }
}

fn tell(socket: &OwnedFd, line: &[u8], peer: Option<SocketAddr>) -> io::Result<()> {
    match peer {
        Some(peer) => _ = ioth::sendto(socket, line, 0, &peer)?,
        None => println!("nobody to talk to yet"),
    }
    Ok(())
}
