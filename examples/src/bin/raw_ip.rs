//! An IP packet built by hand: the header is the program's own, but for what the stack fills in.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use clap::Parser;
use ioth::{AF_INET, IPPROTO_RAW, SOCK_CLOEXEC, SOCK_RAW};
use ioth_examples::StackArg;

/// Sends one packet of IPv4, and says what it looks like when it comes back: to an address of the stack's own it does.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// The protocol; 253 is for experiments (RFC 3692)
    #[arg(long, default_value_t = 253)]
    protocol: u8,
    /// Where to
    to: Ipv4Addr,
    /// What is in it
    text: String,
}

fn main() -> anyhow::Result<()> {
    let Args { stack, protocol, to, text } = Args::parse();
    let stack = stack.open()?;
    let listener = ioth::msocket(&stack, AF_INET, SOCK_RAW | SOCK_CLOEXEC, protocol.into())?;
    ioth::set_nonblocking(&listener, true)?;
    // IPPROTO_RAW is IP_HDRINCL, raw(7).
    let fd = ioth::msocket(&stack, AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)?;

    // Version and length, type of service; total length, identification, checksum and source are filled in.
    let mut packet = vec![0x45, 0x10, 0, 0, 0, 0, 0, 0, 9, protocol, 0, 0];
    packet.extend(Ipv4Addr::UNSPECIFIED.octets());
    packet.extend(to.octets());
    packet.extend(text.as_bytes());
    let sent = ioth::sendto(&fd, &packet, 0, &(IpAddr::V4(to), 0).into()).context("send the packet")?;
    println!("sent {sent} bytes to {to}");

    let mut room = [0; 65_535];
    match ioth::recvfrom(&listener, &mut room, 0) {
        Ok((len, from)) => {
            let from = from.map_or_else(String::new, |from| from.ip().to_string());
            let header = usize::from(room[0] & 0xf) * 4;
            let text = String::from_utf8_lossy(&room[header..len]);
            println!("heard {len} bytes from {from}, protocol {}, ttl {}: {text}", room[9], room[8]);
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
