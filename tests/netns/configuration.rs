//! Configuration of stacks that run, beside the kernel.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ioth::Stack;
use ioth::net::{TcpListener, TcpStream};
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        an_address_that_the_kernel_has_is_refused,
        a_strict_address_is_ready_when_the_stack_is,
        addresses_routes_and_interfaces_come_and_go,
        a_configuration_happens_as_a_whole_or_not_at_all,
    ]
}

fn an_address_that_the_kernel_has_is_refused(home: &Net) -> Result<()> {
    home.tap("t0", &["10.0.0.1/24", "fd00::1/64"])?;
    for address in ["10.0.0.1/24", "fd00::1/64"] {
        let made = Stack::new("tap://t0", &format!("ip={address},dad=strict"));
        let message = made.err().context("it was made")?.to_string();
        ensure!(
            message.contains(address) && message.contains("another station on the link has this address"),
            "{message}"
        );
    }
    Ok(())
}

fn a_strict_address_is_ready_when_the_stack_is(home: &Net) -> Result<()> {
    home.tap("t0", &["10.0.0.1/24", "fd00::1/64"])?;
    let listener = std::net::TcpListener::bind("10.0.0.1:0")?;
    let start = Instant::now();
    let stack = Stack::new("tap://t0", "ip=10.0.0.2/24,ip=fd00::2/64,dad=strict")?;
    // RFC 5227 section 2.1.1: two gaps of a second at least, and two seconds more.
    ensure!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
    TcpStream::connect(&stack, listener.local_addr()?)?;
    Ok(())
}

fn addresses_routes_and_interfaces_come_and_go(home: &Net) -> Result<()> {
    home.tap("t0", &["10.0.0.1/24"])?;
    home.tap("t1", &["10.1.0.1/24"])?;
    home.run("ip address add 192.0.2.1/32 dev lo")?;
    let stack = Stack::new("tap://t0", "ip=10.0.0.2/24")?;
    let own = TcpListener::bind(&stack, "0.0.0.0:7")?;
    let mut kept = std::net::TcpStream::connect("10.0.0.2:7")?;
    let (mut other, _) = own.accept()?;

    let far: std::net::SocketAddr = "192.0.2.1:9".parse()?;
    let listener = std::net::TcpListener::bind(far)?;
    let refused = TcpStream::connect(&stack, far).err().context("without a route")?;
    ensure!(refused.raw_os_error() == Some(libc::ENETUNREACH), "{refused}");
    stack.configure("ip=10.0.0.3/24,route=192.0.2.0/24@10.0.0.1")?;
    TcpStream::connect(&stack, far)?;
    std::net::TcpStream::connect("10.0.0.3:7")?;
    stack.configure("route=192.0.2.1/32@prohibit")?;
    let refused = TcpStream::connect(&stack, far).err().context("prohibited")?;
    ensure!(refused.raw_os_error() == Some(libc::EACCES), "{refused}");
    stack.configure("-route=192.0.2.1/32@prohibit,-ip=10.0.0.3/24")?;
    TcpStream::connect(&stack, far)?;
    drop(listener);

    ensure!(stack.add_interface("", "lan:tap://t1", "ip=10.1.0.2/24")? == "lan");
    std::net::TcpStream::connect("10.1.0.2:7")?;
    let shown = stack.snapshot()?.to_string();
    ensure!(shown.contains("inet 10.1.0.2/24") && !shown.contains("inet 10.0.0.3"), "{shown}");
    stack.remove_interface("lan")?;
    // The link is free again, and the name.
    ensure!(stack.add_interface("lan", "tap://t1", "ip=10.1.0.3/24")? == "lan");
    std::net::TcpStream::connect("10.1.0.3:7")?;

    // What was connected before any of this has not noticed.
    kept.write_all(b"still there?")?;
    let mut buffer = [0; 12];
    other.read_exact(&mut buffer)?;
    ensure!(&buffer == b"still there?");
    Ok(())
}

fn a_configuration_happens_as_a_whole_or_not_at_all(home: &Net) -> Result<()> {
    home.tap("t0", &["10.0.0.1/24"])?;
    let stack = Stack::new("tap://t0", "ip=10.0.0.2/24,gw=10.0.0.1")?;
    let before = stack.snapshot()?;
    for (config, why) in [
        ("-ip=10.0.0.2/24,ip=10.0.0.3/24,gw=10.7.0.1", "no interface reaches the gateway"),
        ("-gw,ip=10.0.0.9/24,mac=02:00:00:00:00:01", "counts only when"),
        ("ip=10.0.0.9/24,iface=eth7,ip=10.0.0.8/24", "no such interface; it has vde0"),
        ("ip=10.0.0.9/24,colour=blue", "unknown key"),
        ("-ip=10.0.0.7/24", "nothing to undo"),
        ("linger=1s", "counts only when"),
        ("ip=10.0.0.9/24,mtu=9000", "carries packets of 1500 bytes at most"),
    ] {
        let message = stack.configure(config).err().context("it was taken")?.to_string();
        ensure!(message.contains(why), "{config}: {message}");
        let after = stack.snapshot()?;
        ensure!(before.addresses.len() == after.addresses.len(), "{config}: {after}");
        ensure!(
            before
                .addresses
                .iter()
                .map(|known| known.cidr)
                .eq(after.addresses.iter().map(|known| known.cidr)),
            "{config}: {after}"
        );
        ensure!(before.routes == after.routes, "{config}: {after}");
    }
    Ok(())
}
