//! ICMP: echo requests by a datagram socket, which needs no privilege, or by a raw one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use ioth::{AF_INET, AF_INET6, SOCK_DGRAM, Stack};
use ioth_examples::StackArg;
use libc::{IPPROTO_ICMP, IPPROTO_ICMPV6, SOCK_RAW};
use rustix::event::{PollFd, PollFlags, poll};

/// Sends echo requests and prints how long the answers took.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// How many requests
    #[arg(short, default_value_t = 4, value_name = "COUNT")]
    count: u16,
    /// Seconds from one request to the next
    #[arg(short, default_value_t = 1.0, value_name = "SECONDS")]
    interval: f64,
    /// Whom to ask
    address: IpAddr,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let stack = args.stack.open()?;
    let (socket, raw) = open(&stack, args.address)?;
    let interval = Duration::try_from_secs_f64(args.interval)?;
    let id = u16::try_from(std::process::id() & 0xffff)?;

    let mut times = Vec::new();
    for seq in 1..=args.count {
        let sent = Instant::now();
        ioth::sendto(&socket, &request(args.address, id, seq), 0, &SocketAddr::new(args.address, 0))?;
        // The last request is waited for as long as others would be, and for a second at least.
        let wait = if seq == args.count { interval.max(Duration::from_secs(1)) } else { interval };
        let mut answered = false;
        while let Some(left) = wait.checked_sub(sent.elapsed()) {
            if answered && seq == args.count {
                break;
            }
            if poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&left.try_into()?))? == 0 {
                break;
            }
            let mut buffer = [0; 65536];
            let (len, from) = ioth::recvfrom(&socket, &mut buffer, 0)?;
            if !answered && is_answer(&buffer[..len], raw, id, seq) {
                answered = true;
                let time = sent.elapsed().as_secs_f64() * 1e3;
                let from = from.map_or(args.address, |from| from.ip());
                println!("{len} bytes from {from}: seq={seq} time={time:.3} ms");
                times.push(time);
            }
        }
        if !answered {
            println!("no answer: seq={seq}");
        }
    }
    println!("{} sent, {} answered", args.count, times.len());
    ensure!(!times.is_empty(), "{} does not answer", args.address);
    times.sort_by(f64::total_cmp);
    println!(
        "rtt least/median/most {:.3}/{:.3}/{:.3} ms",
        times[0],
        times[times.len() / 2],
        times[times.len() - 1]
    );
    Ok(())
}

/// The socket, and whether it is raw. The kernel gives datagram sockets for ICMP to the groups of
/// net.ipv4.ping_group_range (icmp(7)) and raw ones to root.
fn open(stack: &Stack, address: IpAddr) -> anyhow::Result<(OwnedFd, bool)> {
    let (family, protocol) =
        if address.is_ipv4() { (AF_INET, IPPROTO_ICMP) } else { (AF_INET6, IPPROTO_ICMPV6) };
    match ioth::msocket(stack, family, SOCK_DGRAM, protocol) {
        Ok(socket) => Ok((socket, false)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let socket = ioth::msocket(stack, family, SOCK_RAW, protocol);
            let socket = socket.context("allow it with: sysctl net.ipv4.ping_group_range='0 2147483647'")?;
            Ok((socket, true))
        }
        Err(error) => Err(error).context("a socket for ICMP"),
    }
}

/// RFC 792, RFC 4443 (4.1): type, code, checksum, identifier, sequence number, data.
fn request(address: IpAddr, id: u16, seq: u16) -> Vec<u8> {
    let mut message = vec![if address.is_ipv4() { 8 } else { 128 }, 0, 0, 0];
    message.extend(id.to_be_bytes());
    message.extend(seq.to_be_bytes());
    message.extend(0..56);
    if address.is_ipv4() {
        let words = message.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum: u32 = words.sum();
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = !(sum + (sum >> 16)) as u16;
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    } // For ICMPv6 the stack does it: the checksum covers addresses too (RFC 3542, 3.1).
    message
}

/// A raw socket hears the answers to everybody, with the IPv4 header; a datagram socket its own, and has an
/// identifier from the stack.
fn is_answer(packet: &[u8], raw: bool, id: u16, seq: u16) -> bool {
    let header = match packet.first() {
        Some(first) if raw && first >> 4 == 4 => usize::from(first & 0xf) * 4,
        _ => 0,
    };
    match packet.get(header..header + 8) {
        Some([0 | 129, 0, _, _, id_high, id_low, rest @ ..]) => {
            rest == seq.to_be_bytes() && (!raw || [*id_high, *id_low] == id.to_be_bytes())
        }
        _ => false,
    }
}
