//! One epoll(7) over listeners and connections of two stacks and the terminal: the descriptors are real, so
//! plain system calls serve them all, and nothing in the loop knows which stack one is from.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use clap::Parser;
use ioth::net::TcpListener;
use ioth::{SOCK_CLOEXEC, SOCK_NONBLOCK};
use ioth_examples::StackArg;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

/// Sends back what it receives, to any number of clients on two stacks, until "quit" is typed.
#[derive(Parser)]
struct Args {
    /// One of the stacks, to be given for each: a network locator, then its configuration
    #[arg(long, required = true, value_name = "VNL,CONFIG")]
    stack: Vec<StackArg>,
    /// Where to listen, on every stack; port 0 lets each choose one
    #[arg(long, default_value = "0.0.0.0:7", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
}

struct Connection {
    fd: OwnedFd,
    /// What was received and could not be sent back yet.
    waiting: Vec<u8>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let watch = |fd: BorrowedFd<'_>| {
        let key = EventData::new_u64(fd.as_raw_fd().cast_unsigned().into());
        epoll::add(&epoll, fd, key, EventFlags::IN)
    };

    let mut listeners = HashMap::new();
    for arg in &args.stack {
        let listener = TcpListener::bind(&arg.open()?, args.listen)?;
        listener.set_nonblocking(true)?;
        println!("listening on {} of {}", listener.local_addr()?, arg.vnl);
        watch(listener.as_fd())?;
        listeners.insert(listener.as_raw_fd(), (listener, arg.vnl.clone()));
    }
    let stdin = rustix::stdio::stdin();
    match watch(stdin) {
        Err(Errno::PERM) => {} // A file, which epoll does not take: there is nobody to type.
        result => result?,
    }

    let mut connections = HashMap::new();
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let key = i32::try_from(event.data.u64())?;
            if let Some((listener, vnl)) = listeners.get(&key) {
                match ioth::accept4(listener, SOCK_NONBLOCK | SOCK_CLOEXEC) {
                    Ok((fd, peer)) => {
                        println!("{peer} on {vnl}");
                        watch(fd.as_fd())?;
                        connections.insert(fd.as_raw_fd(), Connection { fd, waiting: Vec::new() });
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => eprintln!("accept on {vnl}: {error}"),
                }
            } else if let Some(connection) = connections.get_mut(&key) {
                match connection.turn() {
                    Ok(Some(events)) => epoll::modify(&epoll, &connection.fd, event.data, events)?,
                    Ok(None) | Err(_) => drop(connections.remove(&key)), // Closing takes it out of the epoll.
                }
            } else if typed_quit(&mut [0; 1024])? {
                println!("{} clients are left", connections.len());
                return Ok(());
            }
        }
    }
}

impl Connection {
    /// Moves what can be moved: what to wait for next, `None` at the end.
    fn turn(&mut self) -> io::Result<Option<EventFlags>> {
        let mut buffer = [0; 16 * 1024];
        if self.waiting.is_empty() {
            match rustix::io::read(&self.fd, &mut buffer) {
                Ok(0) => return Ok(None),
                Ok(len) => self.waiting.extend(&buffer[..len]),
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        while !self.waiting.is_empty() {
            match rustix::io::write(&self.fd, &self.waiting) {
                Ok(len) => _ = self.waiting.drain(..len),
                // Who does not read what it gets is not read from either.
                Err(Errno::AGAIN) => return Ok(Some(EventFlags::OUT)),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Some(EventFlags::IN))
    }
}

fn typed_quit(buffer: &mut [u8]) -> io::Result<bool> {
    let len = rustix::io::read(rustix::stdio::stdin(), &mut *buffer)?;
    Ok(len == 0 || buffer[..len].trim_ascii() == b"quit")
}
