//! sendmsg(2) and recvmsg(2): a datagram from several buffers into several, and what control messages say beside it.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;

use clap::Parser;
use ioth::{AF_INET, Control, IP_PKTINFO, IP_RECVTOS, IP_RECVTTL, IPPROTO_IP, SOCK_DGRAM};
use ioth_examples::StackArg;

/// A stack sends itself a datagram of a head and a body.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
}

fn main() -> anyhow::Result<()> {
    let stack = Args::parse().stack.open()?;
    let receiver = ioth::msocket(&stack, AF_INET, SOCK_DGRAM, 0)?;
    ioth::bind(&receiver, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
    for option in [IP_RECVTTL, IP_RECVTOS, IP_PKTINFO] {
        ioth::setsockopt_int(&receiver, IPPROTO_IP, option, 1)?;
    }

    let sender = ioth::msocket(&stack, AF_INET, SOCK_DGRAM, 0)?;
    let parts = [IoSlice::new(b"HEAD"), IoSlice::new(b"a body, "), IoSlice::new(b"in two parts")];
    let controls = [Control::Ttl(9), Control::Tos(0xb8)];
    let sent = ioth::sendmsg(&sender, &parts, &controls, 0, Some(&ioth::getsockname(&receiver)?))?;
    println!("{sent} bytes sent");

    let (mut head, mut body) = ([0; 4], [0; 100]);
    let mut room = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)];
    let message = ioth::recvmsg(&receiver, &mut room, 0)?;
    println!("head: {}", String::from_utf8_lossy(&head));
    println!("body: {}", String::from_utf8_lossy(&body[..message.len - head.len()]));
    for control in message.controls {
        match control {
            Control::Ttl(ttl) => println!("time to live: {ttl}"),
            Control::Tos(tos) => println!("type of service: {tos:#x}"),
            Control::PacketInfo { destination, .. } => println!("sent to {destination}"),
            _ => {}
        }
    }
    Ok(())
}
