//! Peer discovery by multicast: programs on a link find each other without knowing an address.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Parser;
use ioth::net::UdpSocket;
use ioth_examples::StackArg;

/// Says its name to a group every second, and prints who else does; ends once it has heard enough of them, and they of it.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// The group and the port
    #[arg(long, default_value = "239.9.9.9:4100", value_name = "GROUP:PORT")]
    group: SocketAddr,
    /// Its name, which no other has
    #[arg(long)]
    name: String,
    /// How many others to wait for
    #[arg(long, default_value_t = 1)]
    count: usize,
}

/// How often names are said.
const INTERVAL: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let Args { stack, group, name, count } = Args::parse();
    let stack = stack.open()?;
    let any = if group.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind(&stack, (any, group.port()))?;
    match group.ip() {
        IpAddr::V4(group) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?,
        IpAddr::V6(group) => socket.join_multicast_v6(&group, 0)?,
    }
    println!("{name} on {}", socket.local_addr()?);

    let mut peers = BTreeMap::new();
    let mut buffer = [0; 1500];
    while peers.len() < count {
        socket.send_to(name.as_bytes(), group)?;
        let next = Instant::now() + INTERVAL;
        while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            let (len, from) = match socket.recv_from(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                heard => heard?,
            };
            let heard = String::from_utf8_lossy(&buffer[..len]).into_owned();
            // Its own word comes back, too.
            if heard != name && peers.insert(heard.clone(), from).is_none() {
                println!("{heard} on {from}");
            }
        }
    }
    // Who was heard last has perhaps not heard this one yet.
    socket.send_to(name.as_bytes(), group)?;
    Ok(())
}
