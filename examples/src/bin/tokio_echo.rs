//! An async runtime on the real descriptors: tokio waits for them as for any others.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix;

use clap::Parser;
use ioth::net::TcpListener;
use ioth::{SOCK_CLOEXEC, SOCK_NONBLOCK};
use ioth_examples::StackArg;
use tokio::io::{self, Interest};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// Sends back what it receives, with a task for each client.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// Where to listen; port 0 lets the stack choose one
    #[arg(long, default_value = "0.0.0.0:7", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// End after this many clients, when all are served
    #[arg(long, value_name = "N")]
    count: Option<usize>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let stack = args.stack.open()?;
    let listener = TcpListener::bind(&stack, args.listen)?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);

    // To tokio a socket of any stack is a descriptor to wait for, which is all that is asked of the type.
    let listener = waitable(listener.into())?;
    let mut tasks = JoinSet::new();
    for _ in 0..args.count.unwrap_or(usize::MAX) {
        let (fd, peer) = loop {
            listener.readable().await?;
            let accept = || ioth::accept4(&listener, SOCK_NONBLOCK | SOCK_CLOEXEC);
            match listener.try_io(Interest::READABLE, accept) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {} // Somebody was faster.
                result => break result?,
            }
        };
        // A connection is read and written as well: both are what the type does with a descriptor.
        let stream = waitable(fd)?;
        while tasks.try_join_next().is_some() {} // Those that have ended.
        tasks.spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            match io::copy(&mut reader, &mut writer).await {
                Ok(bytes) => println!("{peer}: {bytes} bytes"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
    }
    tasks.join_all().await;
    Ok(())
}

/// A connection of a stack of ours is a stream of AF_UNIX to the kernel; one of the kernel's own stack is
/// read, written and waited for in the same way.
fn waitable(fd: OwnedFd) -> io::Result<UnixStream> {
    UnixStream::from_std(unix::net::UnixStream::from(fd))
}
