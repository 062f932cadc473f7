//! A small ip(8) for a stack: `link`, `addr`, `route` and `neigh`, each with `show`, `add` and `del`, over an `AF_NETLINK`
//! socket, with the messages of the crate that Rust programs use for the kernel's.

mod change;
mod show;

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use clap::Parser;
use ioth::{AF_NETLINK, MSG_PEEK, MSG_TRUNC, NETLINK_ROUTE, SOCK_CLOEXEC, SOCK_RAW, Stack};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkPayload};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage as Message;

/// Runs commands of ip(8) on a new stack.
#[derive(Parser)]
struct Args {
    /// What the stack is joined to, such as `eth0:tap://tap0`.
    vnl: String,
    /// `link set eth0 down`, `addr add 10.0.0.2/24 dev eth0`, `route add 10.1.0.0/16 via 10.0.0.1`, `neigh show`, …
    commands: Vec<String>,
    /// Keep the stack until the program is ended.
    #[arg(long)]
    wait: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let stack = Stack::new(&args.vnl, "")?;
    let fd = ioth::msocket(&stack, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)?;
    for command in &args.commands {
        change::run(&fd, command).with_context(|| command.clone())?;
    }
    if args.wait {
        println!("ready");
        loop {
            std::thread::park();
        }
    }
    Ok(())
}

/// Sends a message and gives what comes back.
pub(crate) fn ask(fd: &OwnedFd, message: Message, flags: u16) -> Result<Vec<Message>> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags | if flags & NLM_F_DUMP == NLM_F_DUMP { 0 } else { NLM_F_ACK };
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    ioth::send(fd, &bytes, 0)?;
    let mut answers = Vec::new();
    loop {
        let mut bytes = vec![0; ioth::recv(fd, &mut [], MSG_PEEK | MSG_TRUNC)?];
        ioth::recv(fd, &mut bytes, 0)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let answer = NetlinkMessage::<Message>::deserialize(rest)?;
            rest = rest.get((answer.header.length as usize).next_multiple_of(4)..).unwrap_or_default();
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => answers.push(message),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io().into()),
                NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                _ => {}
            }
        }
    }
}
