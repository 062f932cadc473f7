//! One poll over a socket of any stack and the keyboard, and calls on the socket that never wait: a line to and fro.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use clap::Parser;
use ioth::{AF_INET, AF_INET6, POLLIN, POLLOUT, SO_ERROR, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, pollfd};
use ioth_examples::StackArg;

/// Sends what is typed to a server and prints what it says; ends when the server does.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// The server
    server: SocketAddr,
}

fn main() -> anyhow::Result<()> {
    let Args { stack, server } = Args::parse();
    let family = if server.is_ipv4() { AF_INET } else { AF_INET6 };
    let socket = ioth::msocket(&stack.open()?, family, SOCK_STREAM | SOCK_NONBLOCK, 0)?;
    match ioth::connect(&socket, &server) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error.into()),
        _ => println!("connecting to {server}"),
    }
    let stdin = rustix::stdio::stdin();
    let mut fds = [
        pollfd { fd: socket.as_raw_fd(), events: POLLOUT, revents: 0 },
        pollfd { fd: stdin.as_raw_fd(), events: POLLIN, revents: 0 },
    ];
    let mut typed = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        ioth::poll(&mut fds, -1)?;
        if fds[1].revents != 0 {
            let len = rustix::io::read(stdin, &mut buffer)?;
            typed.extend(&buffer[..len]);
            fds[1].fd = if len == 0 { -1 } else { fds[1].fd };
        }
        if fds[0].revents & !POLLIN != 0 {
            match ioth::getsockopt_int(&socket, SOL_SOCKET, SO_ERROR)? {
                0 => {}
                errno => return Err(io::Error::from_raw_os_error(errno).into()),
            }
        }
        if fds[0].revents & POLLIN != 0 {
            match ioth::read(&socket, &mut buffer)? {
                0 => return Ok(()),
                len => io::stdout().write_all(&buffer[..len])?,
            }
        }
        if fds[0].revents & POLLOUT != 0 && !typed.is_empty() {
            typed.drain(..ioth::write(&socket, &typed)?);
        }
        fds[0].events = if typed.is_empty() { POLLIN } else { POLLIN | POLLOUT };
    }
}
