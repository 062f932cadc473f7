//! What a stack says of a link and of its connections, beside what `ip` and `ss` of the kernel at the other end say.

use std::thread;

use anyhow::{Context, Result, ensure};
use ioth::Stack;
use ioth::net::TcpListener;
use ioth::snapshot::{Snapshot, State};
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        both_ends_of_a_link_say_the_same,
        a_connection_has_the_same_addresses_at_both_ends,
        a_link_that_is_gone_is_down,
        a_stack_is_remembered_after_its_end,
        a_stack_of_the_kernel_has_no_snapshot,
    ]
}

fn stack_on_tap(net: &Net) -> Result<Stack> {
    net.tap("red", &["10.0.0.1/24", "fd00::1/64"])?;
    let stack = net.enter(|| Stack::new("eth0:tap://red", "ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1"))?;
    net.wait_for_carrier("red")?;
    Ok(stack)
}

/// The word behind `key` in what a command said.
fn word_behind<'a>(text: &'a str, key: &str) -> Result<&'a str> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == key).and_then(|_| words.next()).with_context(|| format!("no {key} in {text}"))
}

/// The first line of a printed snapshot that begins with those words.
fn line(shown: &Snapshot, start: &str) -> Result<String> {
    let text = shown.to_string();
    let found = text.lines().find(|line| line.starts_with(start)).map(str::to_owned);
    found.with_context(|| format!("no line begins with {start:?} in\n{text}"))
}

/// A connection of the kernel to each address.
fn connect_all(net: &Net, stack: &Stack) -> Result<Vec<(std::net::TcpStream, ioth::net::TcpStream)>> {
    let connect = |address: &str| {
        let listener = TcpListener::bind(stack, address)?;
        let near = net.enter(|| std::net::TcpStream::connect(address))?;
        Ok((near, listener.accept()?.0))
    };
    ["10.0.0.2:80", "[fd00::2]:80"].into_iter().map(connect).collect()
}

fn both_ends_of_a_link_say_the_same(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net)?;
    let _connections = connect_all(net, &stack)?;
    let shown = stack.snapshot()?;
    let kernel_mac = net.run("ip link show dev red")?;
    let kernel_mac = word_behind(&kernel_mac, "link/ether")?;
    for (kernel, own) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
        // Whom the one has for a neighbour is what the other says of itself, in the same words.
        let neighbour = line(&shown, &format!("{kernel} dev eth0 "))?;
        ensure!(word_behind(&neighbour, "lladdr")? == kernel_mac, "{neighbour}, the kernel has {kernel_mac}");
        let asked = net.run(&format!("ip neighbour show {own} dev red"))?;
        let own_mac = shown.interfaces[1].mac.to_string();
        ensure!(word_behind(&asked, "lladdr")? == own_mac, "{asked}, the stack has {own_mac}");

        // The same network, from both sides.
        let family = if kernel.contains(':') { "inet6" } else { "inet" };
        let kernel_address = net.run(&format!("ip -o address show dev red to {kernel}"))?;
        let own_address = line(&shown, &format!("2: eth0    {family} {own}"))?;
        let strip = |address: &str| address.split_once('/').map(|(_, len)| len.to_owned());
        let lens = [&kernel_address, &own_address].map(|text| word_behind(text, family).map(strip));
        let [kernel_len, own_len] = lens;
        ensure!(kernel_len? == own_len?, "{own_address} and {kernel_address}");
    }
    let broadcast = word_behind(&line(&shown, "2: eth0    inet 10.0.0.2")?, "brd")?.to_owned();
    ensure!(broadcast == "10.0.0.255");
    // Theirs has `proto kernel`, and our address is another.
    let kernel_route = net.run("ip route show dev red to exact 10.0.0.0/24")?;
    let kernel_route = kernel_route.replace(" proto kernel", "").replace("10.0.0.1", "10.0.0.2");
    let own_route = line(&shown, "10.0.0.0/24 ")?.replace(" dev eth0", "");
    ensure!(own_route.trim_end() == kernel_route.trim_end(), "{own_route:?} and {kernel_route:?}");
    Ok(())
}

fn a_connection_has_the_same_addresses_at_both_ends(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net)?;
    let _connections = connect_all(net, &stack)?;
    let shown = stack.snapshot()?;
    let said = net.run("ss --no-header -tn state established")?;
    // Recv-Q, Send-Q, local and peer address: only these, where one state was asked for.
    let mut kernel = Vec::new();
    for row in said.lines() {
        let words: Vec<_> = row.split_whitespace().collect();
        let [_, _, local, peer, ..] = words[..] else { anyhow::bail!("ss said {said}") };
        kernel.push((peer.to_owned(), local.to_owned()));
    }
    kernel.sort();
    let text = shown.to_string();
    let rows = text.lines().filter(|row| row.starts_with("tcp ") && row.contains(" ESTAB "));
    let mut own: Vec<_> = rows
        .map(|row| {
            let words: Vec<_> = row.split_whitespace().collect();
            (words[4].to_owned(), words[5].to_owned())
        })
        .collect();
    own.sort();
    ensure!(own == kernel && own.len() == 2, "{own:?} and {kernel:?}");
    let counted = shown.sockets_in(State::Established).count();
    ensure!(counted == 2 && text.contains("CurrEstab"), "{text}");
    Ok(())
}

fn a_link_that_is_gone_is_down(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net)?;
    ensure!(line(&stack.snapshot()?, "eth0 ")?.contains(" UP "));
    net.run("ip link delete dev red")?;
    while stack.snapshot()?.interfaces[1].up {
        thread::yield_now();
    }
    ensure!(line(&stack.snapshot()?, "eth0 ")?.contains(" DOWN "));
    Ok(())
}

/// As the report of a failing test needs it.
fn a_stack_is_remembered_after_its_end(_: &Net) -> Result<()> {
    let named = |shown: &[Snapshot]| shown.iter().any(|shown| shown.name == "short-lived");
    let built =
        Stack::builder().name("short-lived").interface("eth0", "switch://short").config("ip=10.0.0.2/24");
    let stack = built.build()?;
    ensure!(named(&ioth::snapshots()) && !named(&ioth::ended_snapshots()));
    drop(stack);
    while !named(&ioth::ended_snapshots()) {
        thread::yield_now();
    }
    let ended = ioth::ended_snapshots();
    let shown = ended.iter().find(|shown| shown.name == "short-lived").context("it is there")?;
    ensure!(line(shown, "2: eth0    inet 10.0.0.2/24").is_ok(), "{shown}");
    while named(&ioth::snapshots()) {
        thread::yield_now();
    }
    Ok(())
}

fn a_stack_of_the_kernel_has_no_snapshot(_: &Net) -> Result<()> {
    let error = Stack::kernel().snapshot().err().context("it has none")?;
    ensure!(error.kind() == std::io::ErrorKind::Unsupported, "{error}");
    Ok(())
}
