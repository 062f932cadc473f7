//! A sniffer on a stack: what passes over its interfaces, as packet(7) shows it.

use anyhow::ensure;
use clap::Parser;
use ioth::{AF_PACKET, ETH_P_ALL, FilterInstruction, SOCK_CLOEXEC, SOCK_RAW, SockAddr, any};
use ioth_examples::StackArg;

/// Prints the frames that pass.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// How many
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    count: u64,
    /// Only those of this Ethernet type, as 0x0800
    #[arg(long, value_parser = |text: &str| u16::from_str_radix(text.trim_start_matches("0x"), 16))]
    ethertype: Option<u16>,
}

/// `PACKET_HOST` and so on.
const WAYS: [&str; 5] = ["in", "broadcast", "multicast", "other", "out"];

fn main() -> anyhow::Result<()> {
    let Args { stack, count, ethertype } = Args::parse();
    let stack = stack.open()?;
    let protocol = (ETH_P_ALL as u16).to_be();
    let fd = ioth::msocket(&stack, AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, protocol.into())?;
    if let Some(ethertype) = ethertype {
        // Load the type; if it is that one keep all, else nothing.
        let program =
            [(0x28, 0, 0, 12), (0x15, 0, 1, ethertype.into()), (0x06, 0, 0, u32::MAX), (0x06, 0, 0, 0)];
        ioth::attach_filter(&fd, &program.map(|(code, jt, jf, k)| FilterInstruction { code, jt, jf, k }))?;
    }
    println!("listening");
    let mut room = vec![0; 1 << 17];
    for _ in 0..count {
        let (len, from) = any::recvfrom(&fd, &mut room, 0)?;
        let Some(SockAddr::Link(from)) = from else { continue };
        ensure!(len >= 14, "a frame without a header");
        let station = |at: usize| {
            let octets: Vec<_> = room[at..at + 6].iter().map(|octet| format!("{octet:02x}")).collect();
            octets.join(":")
        };
        let way = WAYS.get(usize::from(from.kind)).unwrap_or(&"?");
        println!(
            "{way:<9} {} > {} type {:04x} interface {} length {len}",
            station(6),
            station(0),
            from.protocol,
            from.interface
        );
    }
    Ok(())
}
