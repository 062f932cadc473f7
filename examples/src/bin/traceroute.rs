//! Traceroute: packets with ever more hops, and who says that they had no more. Without an address it makes its own Internet:
//! each router is a thread with a stack of its own.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;
use ioth::{AF_INET, AF_INET6, Control, MSG_ERRQUEUE, SOCK_DGRAM, Stack};
use ioth_examples::StackArg;
use libc::{ECONNREFUSED, IP_RECVERR, IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPV6_RECVERR, IPV6_UNICAST_HOPS};

/// Prints the routers on the way to an address.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG", requires = "address")]
    stack: StackArg,
    /// The most hops
    #[arg(short, default_value_t = 30, value_name = "HOPS")]
    most: u8,
    /// How many routers are made when no address is given
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..200))]
    routers: u8,
    /// Where the way leads
    address: Option<IpAddr>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(address) = args.address {
        return trace(&args.stack.open()?, address, args.most);
    }
    let count = args.routers;
    // They route until the program ends.
    for number in 1..=count {
        let (ready, wait) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let router = router(number, count);
            let _ = ready.send(router.as_ref().map(|_| ()).map_err(ToString::to_string));
            if router.is_ok() {
                loop {
                    thread::park();
                }
            }
        });
        wait.recv()?.map_err(anyhow::Error::msg).with_context(|| format!("router {number}"))?;
    }
    let own = "ip=10.0.0.1/24,gw=10.0.0.254,ip=fd00::1/64,gw=fd00::254";
    let stack = Stack::new("switch://hop0", own)?;
    let far = format!(
        "ip=10.0.{count}.2/24,gw=10.0.{count}.1,ip=fd00:0:0:{count:x}::2/64,gw=fd00:0:0:{count:x}::1"
    );
    let _target = Stack::new(&format!("switch://hop{count}"), &far)?;
    for target in [format!("10.0.{count}.2"), format!("fd00:0:0:{count:x}::2")] {
        trace(&stack, target.parse()?, args.most)?;
    }
    Ok(())
}

/// The router between the networks `number - 1` and `number`.
fn router(number: u8, count: u8) -> anyhow::Result<Stack> {
    let near = number - 1;
    let mut config = format!(
        "forward=on,iface=near,ip=10.0.{near}.254/24,ip=fd00:0:0:{near:x}::254/64,\
         iface=far,ip=10.0.{number}.1/24,ip=fd00:0:0:{number:x}::1/64"
    );
    if number < count {
        config += &format!(",gw=10.0.{number}.254,gw=fd00:0:0:{number:x}::254");
    }
    for back in 0..near {
        config += &format!(
            ",route=10.0.{back}.0/24@10.0.{near}.1,route=fd00:0:0:{back:x}::/64@fd00:0:0:{near:x}::1"
        );
    }
    let stack = Stack::builder()
        .interface("near", &format!("switch://hop{near}"))
        .interface("far", &format!("switch://hop{number}"))
        .config(&config);
    Ok(stack.build()?)
}

/// UDP to ports that nobody listens on: the routers say that there was no hop left, the target that there is no such port.
fn trace(stack: &Stack, address: IpAddr, most: u8) -> anyhow::Result<()> {
    println!("traceroute to {address}");
    let (family, level, hops, errors) = match address {
        IpAddr::V4(_) => (AF_INET, IPPROTO_IP, IP_TTL, IP_RECVERR),
        IpAddr::V6(_) => (AF_INET6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_RECVERR),
    };
    for hop in 1..=most {
        let socket = ioth::msocket(stack, family, SOCK_DGRAM, 0)?;
        ioth::setsockopt_int(&socket, level, errors, 1)?;
        ioth::setsockopt_int(&socket, level, hops, hop.into())?;
        ioth::connect(&socket, &SocketAddr::new(address, FIRST_PORT + u16::from(hop)))?;
        let sent = Instant::now();
        ioth::send(&socket, b"who is there?", 0)?;
        match answer(&socket)? {
            Some((from, errno)) => {
                println!("{hop:>2}  {from}  {:.3} ms", sent.elapsed().as_secs_f64() * 1e3);
                if errno == ECONNREFUSED {
                    return Ok(());
                }
            }
            None => println!("{hop:>2}  *"),
        }
    }
    bail!("{address} is further away than {most} hops")
}

/// Who said something about what was sent, and the errno that it comes to.
fn answer(socket: &OwnedFd) -> io::Result<Option<(IpAddr, i32)>> {
    if !has_error(socket)? {
        return Ok(None);
    }
    let message = ioth::recvmsg(socket, &mut [IoSliceMut::new(&mut [0; 512])], MSG_ERRQUEUE)?;
    Ok(message.controls.iter().find_map(|control| match control {
        Control::Error(error) | Control::ErrorV6(error) => Some((error.offender?.ip(), error.errno)),
        _ => None,
    }))
}

/// Waits until a receive fails, which it does once the network has said something.
fn has_error(socket: impl AsFd) -> io::Result<bool> {
    let socket = socket.as_fd();
    // A struct timeval: seconds and microseconds.
    let bytes = [PATIENCE.to_ne_bytes(), 0i64.to_ne_bytes()].concat();
    ioth::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &bytes)?;
    match ioth::recv(socket, &mut [0; 512], 0) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(_) => Ok(true),
        Ok(_) => Ok(false),
    }
}

/// Seconds that are waited for an answer.
const PATIENCE: i64 = 1;
/// As every traceroute.
const FIRST_PORT: u16 = 33_433;
