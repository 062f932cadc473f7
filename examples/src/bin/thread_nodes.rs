//! Internet of Threads, literally: every thread is a node with a stack and an address of its own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use ioth::Stack;
use ioth::net::{TcpListener, TcpStream, UdpSocket};
use ioth_examples::StackArg;
use rustix::event::{PollFd, PollFlags, poll};

const PORT: u16 = 7000;
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets every node talk to every other over TCP and UDP, and draws who reached whom.
#[derive(Parser)]
struct Args {
    /// The network; `{}` in it stands for the number of the node, as in tap://t{}
    #[arg(long, default_value = "switch://lab", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// How many nodes (2 to 100)
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=100))]
    nodes: u8,
}

/// Who reached a node over TCP and who over UDP, counted from 0.
struct Reached {
    tcp: Vec<u8>,
    udp: Vec<u8>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let barrier = Barrier::new(args.nodes.into());
    let columns: Vec<Reached> = thread::scope(|scope| {
        let node = |number| {
            scope.spawn({
                let (args, barrier) = (&args, &barrier);
                move || node(args, number, barrier)
            })
        };
        let threads: Vec<_> = (0..args.nodes).map(node).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<anyhow::Result<_>>()
    })?;

    println!("from \\ to  T: over TCP, U: over UDP");
    println!("     {}", (1..=args.nodes).map(|to| format!("{to:4}")).collect::<String>());
    let mut count = 0;
    for from in 0..args.nodes {
        print!("{:4} ", from + 1);
        for to in &columns {
            let (tcp, udp) = (to.tcp.contains(&from), to.udp.contains(&from));
            count += u32::from(tcp) + u32::from(udp);
            print!("  {}{}", if tcp { 'T' } else { '-' }, if udp { 'U' } else { '-' });
        }
        println!();
    }
    let all = 2 * u32::from(args.nodes) * u32::from(args.nodes);
    println!("{count} of {all} reached");
    ensure!(count == all, "not everybody reached everybody");
    Ok(())
}

/// What a node does, in step with the others: nobody calls before all listen, and nobody leaves before
/// all are done, because with a stack its node goes off the network.
fn node(args: &Args, number: u8, barrier: &Barrier) -> anyhow::Result<Reached> {
    let ready = prepare(args, number);
    barrier.wait();
    let reached = ready.and_then(|ready| talk(args, number, &ready));
    barrier.wait();
    reached.with_context(|| format!("node {}", number + 1))
}

/// Tells all nodes, itself too, its number, then hears who told it theirs.
fn talk(args: &Args, number: u8, (stack, listener, socket): &Node) -> io::Result<Reached> {
    let mut calls = Vec::new();
    for to in 0..args.nodes {
        let to = SocketAddr::new(address(args, to), PORT);
        // The backlog of the other takes the connection in, whatever its thread is doing.
        match TcpStream::connect_timeout(stack, &to, PATIENCE) {
            Ok(mut stream) => stream.write_all(&[number]).map(|()| calls.push(stream))?,
            Err(error) => eprintln!("node {} cannot reach {to}: {error}", number + 1),
        }
        socket.send_to(&[number], to)?;
    }
    let mut reached = Reached { tcp: Vec::new(), udp: Vec::new() };
    let mut from = [0];
    while reached.tcp.len() < args.nodes.into() && readable(listener)? {
        let (mut stream, _) = listener.accept()?;
        stream.read_exact(&mut from)?;
        reached.tcp.extend(from);
    }
    while reached.udp.len() < args.nodes.into() && readable(socket)? {
        socket.recv_from(&mut from)?;
        reached.udp.extend(from);
    }
    Ok(reached)
}

/// Waits with poll(2), to which sockets of any stack are descriptors like others.
fn readable(socket: &impl AsFd) -> io::Result<bool> {
    let timeout = PATIENCE.try_into().map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout))? > 0)
}

type Node = (Stack, TcpListener, UdpSocket);

fn prepare(args: &Args, number: u8) -> io::Result<Node> {
    let address = address(args, number);
    let vnl = args.stack.vnl.replace("{}", &(number + 1).to_string());
    let stack = if shared(args) {
        Stack::new(&vnl, &args.stack.config)?
    } else {
        Stack::new(&vnl, &format!("ip={address}/24,{}", args.stack.config))?
    };
    let listener = TcpListener::bind(&stack, (address, PORT))?;
    let socket = UdpSocket::bind(&stack, (address, PORT))?;
    Ok((stack, listener, socket))
}

/// On the kernel's stack, which all nodes share, each has an address of the loopback network.
fn address(args: &Args, number: u8) -> IpAddr {
    let net = if shared(args) { [127, 0, 0] } else { [10, 0, 0] };
    Ipv4Addr::new(net[0], net[1], net[2], 11 + number).into()
}

fn shared(args: &Args) -> bool {
    args.stack.vnl.starts_with("kernel") || args.stack.vnl.starts_with("netns:")
}
