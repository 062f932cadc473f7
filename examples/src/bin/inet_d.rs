//! A small inetd(8): each connection becomes the standard input and output of a program, which knows nothing of stacks or
//! sockets. After its exec the program makes plain calls on the descriptor; the stack goes on running here.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use clap::Parser;
use ioth::net::{TcpListener, TcpStream};
use ioth_examples::StackArg;

/// Starts a program for each connection.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// Where to listen; port 0 lets the stack choose one
    #[arg(long, default_value = "0.0.0.0:7777", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// End after this many connections, when all are served
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// The program and its arguments
    #[arg(last = true, default_value = "cat")]
    program: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let stack = args.stack.open()?;
    let listener = TcpListener::bind(&stack, args.listen)?;
    println!("listening on {}", listener.local_addr()?);
    let mut children: Vec<Child> = Vec::new();
    for connection in listener.incoming().take(args.count.unwrap_or(usize::MAX)) {
        let connection = connection?;
        let peer = connection.peer_addr()?;
        children.push(serve(&args.program, connection)?);
        println!("{peer}: handed to a program");
        children.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
    }
    for mut child in children {
        child.wait()?;
    }
    Ok(())
}

fn serve(program: &[String], connection: TcpStream) -> std::io::Result<Child> {
    let input = OwnedFd::from(connection);
    let output = input.try_clone()?;
    // Both are the child's: nothing of the connection stays here.
    Command::new(&program[0])
        .args(&program[1..])
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .spawn()
}
