//! Links with a tag (802.1Q) and the kernel's VLAN device on the other side.

use std::time::Duration;

use anyhow::{Result, ensure};
use ioth::Stack;
use ioth::net::{TcpListener, TcpStream, UdpSocket};
use ioth_tests::netns::{Net, Test, need};
use ioth_tests::pattern;

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        streams_and_datagrams_pass_a_vlan_both_ways,
        a_vlan_without_offload,
        who_has_no_tag_is_not_heard,
        who_has_another_tag_is_not_heard,
        vlans_on_one_switch_do_not_meet,
    ]
}

const CONFIG: &str = "ip=10.0.0.2/24,ip=fd00::2/64";
const BULK: u64 = 24 << 20;

const KERNEL: [&str; 2] = ["10.0.0.1/24", "fd00::1/64"];

/// Stands in for the kernel's VLAN device where there is none.
const VLAN_DEVICE: &str = include_str!("vlan_device.py");

/// A stack in VLAN 42 of a TAP, whose other side is the kernel in VLAN `vlan`.
fn tagged(net: &Net, options: &str, vlan: u16) -> Result<Stack> {
    net.tap("red", &[])?;
    let stack = Stack::new(&format!("tap://red?vlan=42{options}"), CONFIG)?;
    net.wait_for_carrier("red")?;
    let addresses = |device: &str| {
        format!(
            "ip address add {} dev {device} && ip address add {} dev {device} nodad",
            KERNEL[0], KERNEL[1]
        )
    };
    let device = net.output(&format!("ip link add link red name red.tag type vlan id {vlan}"))?;
    if device.status.success() {
        net.run(&format!("ip link set red.tag up && {}", addresses("red.tag")))?;
        net.wait_for_carrier("red.tag")?;
    } else {
        need("python3", "python3")?;
        net.run(&format!("python3 - red {vlan} <<'TEXT'\n{VLAN_DEVICE}\nTEXT\n{}", addresses("red")))?;
    }
    Ok(stack)
}

fn bulk(net: &Net, stack: &Stack, len: u64) -> Result<()> {
    for (own, kernel) in [("10.0.0.2:0", "10.0.0.1:0"), ("[fd00::2]:0", "[fd00::1]:0")] {
        let listener = net.enter(|| std::net::TcpListener::bind(kernel))?;
        let to_kernel = listener.local_addr()?;
        let receiver = std::thread::spawn(move || pattern::check(&mut listener.accept()?.0));
        let mut stream = TcpStream::connect(stack, to_kernel)?;
        pattern::send(&mut stream, len)?;
        drop(stream);
        let received = receiver.join().expect("no panic")?;
        ensure!(received == len, "the kernel received {received} of {len}");

        let listener = TcpListener::bind(stack, own)?;
        let to_stack = listener.local_addr()?;
        let sender = net.kernel_thread(move || {
            let mut stream = std::net::TcpStream::connect(to_stack)?;
            pattern::send(&mut stream, len)
        });
        let received = pattern::check(&mut listener.accept()?.0)?;
        sender.join().expect("no panic")?;
        ensure!(received == len, "the stack received {received} of {len}");
    }
    Ok(())
}

fn datagrams(net: &Net, stack: &Stack) -> Result<()> {
    for (own, kernel) in [("10.0.0.2:0", "10.0.0.1:0"), ("[fd00::2]:0", "[fd00::1]:0")] {
        let ours = UdpSocket::bind(stack, own)?;
        let theirs = net.enter(|| std::net::UdpSocket::bind(kernel))?;
        ours.set_read_timeout(Some(Duration::from_secs(10)))?;
        theirs.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut buffer = vec![0; 10_000];
        // With an MTU of 1500 the tag comes on top.
        for len in [1, 1452, 1472, 9000] {
            let sent = pattern::stream(len);
            ours.send_to(&sent, theirs.local_addr()?)?;
            let (received, from) = theirs.recv_from(&mut buffer)?;
            ensure!(buffer[..received] == sent && from == ours.local_addr()?, "{received} bytes from {from}");
            theirs.send_to(&sent, from)?;
            let (received, _) = ours.recv_from(&mut buffer)?;
            ensure!(buffer[..received] == sent, "{received} bytes came back");
        }
    }
    Ok(())
}

fn streams_and_datagrams_pass_a_vlan_both_ways(net: &Net) -> Result<()> {
    let stack = tagged(net, "", 42)?;
    datagrams(net, &stack)?;
    bulk(net, &stack, BULK)?;
    let counters = stack.snapshot()?.counters;
    // In segments it would be ten times as many, each way.
    let segments = 2 * BULK / 1460;
    ensure!(counters.tcp_out < segments && counters.tcp_in < segments, "no super-frames: {counters:?}");
    Ok(())
}

fn a_vlan_without_offload(net: &Net) -> Result<()> {
    let stack = tagged(net, "&offload=off", 42)?;
    datagrams(net, &stack)?;
    bulk(net, &stack, 4 << 20)
}

/// Pings the stack without an answer, and without that it heard anything.
fn is_not_heard(net: &Net, stack: &Stack) -> Result<()> {
    need("ping", "iputils-ping")?;
    for address in ["10.0.0.2", "fd00::2"] {
        let ping = net.output(&format!("ping -c 3 -i 0.1 -W 1 {address}"))?;
        ensure!(!ping.status.success(), "{address} has answered");
    }
    let heard = stack.snapshot()?.counters.frames_in;
    ensure!(heard == 0, "{heard} frames were heard");
    Ok(())
}

fn who_has_no_tag_is_not_heard(net: &Net) -> Result<()> {
    net.tap("red", &KERNEL)?;
    let stack = Stack::new("tap://red?vlan=42", CONFIG)?;
    net.wait_for_carrier("red")?;
    is_not_heard(net, &stack)
}

fn who_has_another_tag_is_not_heard(net: &Net) -> Result<()> {
    let stack = tagged(net, "", 43)?;
    is_not_heard(net, &stack)
}

fn vlans_on_one_switch_do_not_meet(_: &Net) -> Result<()> {
    let make = |vlan: &str, config: &str| Stack::new(&format!("switch://trunk?vlan={vlan}"), config);
    let servers = [make("1", CONFIG)?, make("4094", CONFIG)?];
    let clients = [make("1", "ip=10.0.0.1/24")?, make("4094", "ip=10.0.0.1/24")?];
    for (server, client) in servers.iter().zip(&clients) {
        let listener = TcpListener::bind(server, "10.0.0.2:80")?;
        let mut stream = TcpStream::connect(client, "10.0.0.2:80")?;
        let sender = std::thread::spawn(move || pattern::send(&mut stream, 4 << 20));
        ensure!(pattern::check(&mut listener.accept()?.0)? == 4 << 20);
        sender.join().expect("no panic")?;
    }
    Ok(())
}
