//! The harness itself: what the other tests take for granted.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context, Result, ensure};
use etherparse::{NetSlice, SlicedPacket};
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        a_cable_joins_two_networks,
        a_tap_shows_what_the_kernel_sends,
        two_networks_have_the_same_names_and_addresses,
        threads_and_processes_stay_in_the_network_of_their_starter,
        a_process_is_killed_with_its_descendants,
        a_failing_command_tells_what_it_said,
    ]
}

fn a_cable_joins_two_networks(_: &Net) -> Result<()> {
    let (west, east) = (Net::new("west")?, Net::new("east")?);
    Net::veth(&west, ("w", &["10.0.0.1/24"]), &east, ("e", &["10.0.0.2/24"]))?;
    let echoed = echo_across(&west, &east, b"over the cable")?;
    ensure!(echoed == b"over the cable", "{echoed:?}");
    Ok(())
}

fn a_tap_shows_what_the_kernel_sends(net: &Net) -> Result<()> {
    net.tap("red", &["10.0.0.1/24", "fd00::1/64"])?;
    let tap = net.open_tap("red")?;
    net.wait_for_carrier("red")?;
    let socket = UdpSocket::bind("[::]:0")?;
    socket.send_to(b"who is it?", "[::ffff:10.0.0.2]:9")?;
    socket.send_to(b"who is it?", "[fd00::2]:9")?;

    // ARP (RFC 826) asks everyone; neighbour discovery (RFC 4861) the solicited-node group.
    let (mut arp, mut solicitation) = (false, false);
    let mut frame = [0; 1514];
    while !(arp && solicitation) {
        let length = tap.recv(&mut frame)?;
        match SlicedPacket::from_ethernet(&frame[..length])?.net {
            Some(NetSlice::Arp(request)) => {
                arp |= request.target_protocol_addr() == Ipv4Addr::new(10, 0, 0, 2).octets();
            }
            Some(NetSlice::Ipv6(packet)) => {
                let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 2);
                solicitation |= packet.header().destination_addr() == group;
            }
            _ => {}
        }
    }
    Ok(())
}

fn two_networks_have_the_same_names_and_addresses(_: &Net) -> Result<()> {
    let pairs = [Net::new("red")?, Net::new("blue")?].map(|net| (net, Net::new("far")));
    for (net, far) in &pairs {
        let far = far.as_ref().expect("it was made");
        Net::veth(net, ("eth0", &["10.0.0.1/24"]), far, ("eth0", &["10.0.0.2/24"]))?;
        net.tap("tap0", &["10.1.0.1/24"])?;
        net.open_tap("tap0")?;
    }
    for ((net, far), text) in pairs.iter().zip([b"red ", b"blue"]) {
        let echoed = echo_across(net, far.as_ref().expect("it was made"), text)?;
        ensure!(echoed == text, "{echoed:?}");
    }
    Ok(())
}

fn threads_and_processes_stay_in_the_network_of_their_starter(home: &Net) -> Result<()> {
    let other = Net::new("other")?;
    other.tap("mark", &[])?;
    let sees_mark = || std::process::Command::new("ip").args(["link", "show", "mark"]).output();
    ensure!(!sees_mark()?.status.success(), "the test is in its home network");
    let nested = other.enter(|| thread::spawn(sees_mark).join().expect("no panic"))?;
    ensure!(nested.status.success(), "a thread started inside is inside, and so is its process");
    ensure!(other.run("ip link show mark").is_ok() && home.run("ip link show mark").is_err());
    let kernel = other.kernel_thread(sees_mark).join().expect("no panic")?;
    ensure!(kernel.status.success());
    Ok(())
}

fn a_process_is_killed_with_its_descendants(net: &Net) -> Result<()> {
    let process = net.start("tail -f /dev/null & echo ready; wait")?;
    process.wait_for_line("ready")?;
    drop(process); // returns when `tail`, too, has closed its output
    let said = net.start("echo one; echo two >&2")?.wait()?;
    ensure!(said.contains("one") && said.contains("two"), "{said}");
    Ok(())
}

fn a_failing_command_tells_what_it_said(net: &Net) -> Result<()> {
    let error = net.run("echo to-out; echo to-err >&2; false").expect_err("false fails").to_string();
    ensure!(error.contains("to-out") && error.contains("to-err"), "{error}");
    Ok(())
}

/// Sends `text` over the kernel's TCP from `near` to an echo server on 10.0.0.2 in `far`.
fn echo_across(near: &Net, far: &Net, text: &[u8]) -> Result<Vec<u8>> {
    let listener = far.enter(|| TcpListener::bind("10.0.0.2:0"))?;
    let address = listener.local_addr()?;
    let server = far.kernel_thread(move || -> std::io::Result<()> {
        let (mut peer, _) = listener.accept()?;
        let mut text = Vec::new();
        peer.read_to_end(&mut text)?;
        peer.write_all(&text)
    });
    let mut stream = near.enter(|| TcpStream::connect(address)).context("connect")?;
    stream.write_all(text)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed)?;
    server.join().expect("no panic")?;
    Ok(echoed)
}
