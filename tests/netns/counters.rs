//! What a stack counts, beside what `/proc/net/snmp` of the kernel at the other end of the link says.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket as KernelSocket};
use std::thread;

use anyhow::{Context, Result, ensure};
use ioth::Stack;
use ioth::net::{TcpListener, TcpStream, UdpSocket};
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        both_ends_count_the_same,
        both_ends_count_connections_the_same,
        what_cannot_be_delivered_is_counted_as_by_the_kernel,
    ]
}

/// A value of a text in the layout of `/proc/net/snmp`: the column `name` of the group.
fn value(text: &str, group: &str, name: &str) -> Result<u64> {
    let mut lines = text.lines().filter(|line| line.split(':').next() == Some(group));
    let (names, values) = (lines.next(), lines.next());
    let (names, values) = names.zip(values).with_context(|| format!("no group {group} in\n{text}"))?;
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    let found = columns.find(|(column, _)| *column == name);
    Ok(found.with_context(|| format!("no {name} in {names}"))?.1.parse()?)
}

/// The counters of both ends, as text.
struct Counted {
    kernel: String,
    own: String,
}

impl Counted {
    fn now(net: &Net, stack: &Stack) -> Result<Self> {
        Ok(Self { kernel: net.run("cat /proc/net/snmp")?, own: stack.snapshot()?.to_string() })
    }

    /// By how much a counter of the kernel, and one of the stack, grew since.
    fn grown(&self, later: &Self, group: &str, kernel: &str, own: &str) -> Result<(u64, u64)> {
        let kernel = value(&later.kernel, group, kernel)? - value(&self.kernel, group, kernel)?;
        Ok((kernel, value(&later.own, group, own)? - value(&self.own, group, own)?))
    }
}

/// A stack with a link to the kernel on which nobody speaks IPv6, and both know each other.
fn scene(net: &Net) -> Result<Stack> {
    net.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")?;
    net.run("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000")?;
    net.tap("red", &["10.0.0.1/24"])?;
    let stack = net.enter(|| Stack::new("eth0:tap://red", "ip=10.0.0.2/24"))?;
    net.wait_for_carrier("red")?;
    net.run("ping -q -c 1 -W 10 10.0.0.2")?;
    Ok(stack)
}

/// Waits until a counter of the stack has grown by so much: what the kernel has sent has then been taken in.
fn await_counter(stack: &Stack, before: &Counted, group: &str, name: &str, by: u64) -> Result<()> {
    let wanted = value(&before.own, group, name)? + by;
    while value(&stack.snapshot()?.to_string(), group, name)? < wanted {
        thread::yield_now();
    }
    Ok(())
}

fn both_ends_count_the_same(net: &Net) -> Result<()> {
    let stack = scene(net)?;
    let kernel = net.enter(|| KernelSocket::bind("10.0.0.1:9000"))?;
    let own = UdpSocket::bind(&stack, "10.0.0.2:9000")?;
    let before = Counted::now(net, &stack)?;
    net.run("ping -q -c 5 -i 0.01 -W 10 10.0.0.2")?;
    let mut buffer = [0; 4000];
    for _ in 0..7 {
        kernel.send_to(&[7; 100], "10.0.0.2:9000")?;
        let (_, from) = own.recv_from(&mut buffer)?;
        // In three fragments: one datagram.
        own.send_to(&[7; 3000], from)?;
        ensure!(kernel.recv_from(&mut buffer)?.0 == 3000);
    }
    let after = Counted::now(net, &stack)?;
    // What the kernel sends arrives, and what arrives there was sent.
    for (group, theirs, ours, count) in [
        ("Ip", "OutRequests", "InReceives", 12),
        ("Ip", "OutRequests", "InDelivers", 12),
        ("Ip", "InDelivers", "OutRequests", 12),
        ("Ip", "ReasmOKs", "FragOKs", 7),
        ("Ip", "ReasmReqds", "FragCreates", 21),
        ("Icmp", "OutMsgs", "InMsgs", 5),
        ("Icmp", "OutEchos", "InEchos", 5),
        ("Icmp", "InMsgs", "OutMsgs", 5),
        ("Icmp", "InEchoReps", "OutEchoReps", 5),
        ("Udp", "OutDatagrams", "InDatagrams", 7),
        ("Udp", "InDatagrams", "OutDatagrams", 7),
        ("Ip", "InHdrErrors", "InHdrErrors", 0),
        ("Ip", "InAddrErrors", "InAddrErrors", 0),
        ("Icmp", "InErrors", "InErrors", 0),
        ("Udp", "InErrors", "InErrors", 0),
    ] {
        let grown = before.grown(&after, group, theirs, ours)?;
        ensure!(
            grown == (count, count),
            "{group}: {theirs} of the kernel and our {ours}: {grown:?}, not {count}"
        );
    }
    Ok(())
}

/// The same four connections from the kernel to the stack, and from the stack to the kernel: closed in order, refused, reset
/// because data was left unread, and left open. Then both have been client and server of the same.
fn both_ends_count_connections_the_same(net: &Net) -> Result<()> {
    let stack = scene(net)?;
    let kernel = net.enter(|| std::net::TcpListener::bind("10.0.0.1:80"))?;
    let own = TcpListener::bind(&stack, "10.0.0.2:80")?;
    let before = Counted::now(net, &stack)?;
    let mut buffer = [0; 10];

    let mut client = TcpStream::connect(&stack, "10.0.0.1:80")?;
    let mut server = kernel.accept()?.0;
    client.shutdown(Shutdown::Write)?;
    ensure!(server.read(&mut buffer)? == 0);
    drop(server);
    ensure!(client.read(&mut buffer)? == 0);
    ensure!(TcpStream::connect(&stack, "10.0.0.1:81").is_err());
    let mut client = TcpStream::connect(&stack, "10.0.0.1:80")?;
    let server = kernel.accept()?.0;
    client.write_all(b"unread")?;
    ensure!(server.peek(&mut buffer)? > 0);
    drop(server);
    ensure!(client.read(&mut buffer).is_err());
    let _open = (TcpStream::connect(&stack, "10.0.0.1:80")?, kernel.accept()?);

    let connect = |to: &'static str| net.enter(|| std::net::TcpStream::connect(to));
    let mut client = connect("10.0.0.2:80")?;
    let mut server = own.accept()?.0;
    client.shutdown(Shutdown::Write)?;
    ensure!(server.read(&mut buffer)? == 0);
    drop(server);
    ensure!(client.read(&mut buffer)? == 0);
    ensure!(connect("10.0.0.2:81").is_err());
    let mut client = connect("10.0.0.2:80")?;
    let server = own.accept()?.0;
    client.write_all(b"unread")?;
    ensure!(server.peek(&mut buffer)? > 0);
    drop(server);
    ensure!(client.read(&mut buffer).is_err());
    let _also_open = (connect("10.0.0.2:80")?, own.accept()?);

    let wanted = [
        ("ActiveOpens", 4),
        ("PassiveOpens", 3),
        ("AttemptFails", 1),
        ("EstabResets", 2),
        ("CurrEstab", 2),
        ("RetransSegs", 0),
        ("InErrs", 0),
        ("OutRsts", 2),
    ];
    for (name, count) in wanted {
        let after = Counted::now(net, &stack)?;
        let grown = before.grown(&after, "Tcp", name, name)?;
        ensure!(grown == (count, count), "{name}: the kernel and we: {grown:?}, not {count}");
    }
    Ok(())
}

/// The same things are sent to the kernel at another address of its own, and to the stack, by a program that makes
/// packets: each counts what it does not like, under the same name.
fn what_cannot_be_delivered_is_counted_as_by_the_kernel(net: &Net) -> Result<()> {
    let stack = scene(net)?;
    let _own = UdpSocket::bind(&stack, "10.0.0.2:9000")?;
    // A second kernel, at the other end of a cable.
    let far = Net::new("far")?;
    far.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")?;
    Net::veth(net, ("west", &["10.1.0.1/24"]), &far, ("east", &["10.1.0.2/24"]))?;
    let _theirs = far.enter(|| KernelSocket::bind("10.1.0.2:9000"))?;
    net.run("ping -q -c 1 -W 10 10.1.0.2")?;
    // An address of nobody, on either link, that the other end is said to have.
    let own_mac = stack.snapshot()?.interfaces[1].mac;
    let link = far.run("ip link show dev east")?;
    let mut words = link.split_whitespace().skip_while(|word| *word != "link/ether");
    let far_mac = words.nth(1).context("it has a MAC")?;
    net.run(&format!("ip neighbour replace 10.0.0.77 lladdr {own_mac} dev red"))?;
    net.run(&format!("ip neighbour replace 10.1.0.77 lladdr {} dev west", far_mac))?;

    let before = Counted::now(&far, &stack)?;
    for network in ["10.0.0", "10.1.0"] {
        net.run(&format!("python3 -c '{}'", SENDER.replace('@', network)))?;
    }
    await_counter(&stack, &before, "Ip", "InReceives", 11)?;
    let wanted = value(&before.kernel, "Ip", "InReceives")? + 11;
    while value(&far.run("cat /proc/net/snmp")?, "Ip", "InReceives")? < wanted {
        thread::yield_now();
    }
    let after = Counted::now(&far, &stack)?;
    for (group, name, count) in [
        ("Ip", "InReceives", 11),
        ("Ip", "InAddrErrors", 2),
        ("Ip", "InUnknownProtos", 3),
        ("Icmp", "InErrors", 1),
        ("Icmp", "InCsumErrors", 1),
        ("Icmp", "OutDestUnreachs", 4),
        ("Udp", "NoPorts", 1),
        ("Udp", "InErrors", 3),
        ("Udp", "InCsumErrors", 2),
        ("Tcp", "InErrs", 1),
        ("Tcp", "InCsumErrors", 1),
    ] {
        let grown = before.grown(&after, group, name, name)?;
        ensure!(grown == (count, count), "{group} {name}: the kernel and we: {grown:?}, not {count}");
    }
    Ok(())
}

/// Eleven packets with something wrong: two to somebody else, three of a protocol of nobody, a broken echo request, one
/// datagram to a closed port, two with broken checksums, one that is shorter than it says, and a broken segment.
const SENDER: &str = r#"
import socket, struct
def send(protocol, payload, to="@.2"):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    s.sendto(payload, (to, 0))
def total(data):
    data += b"\0" * (len(data) % 2)
    t = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while t >> 16: t = (t & 0xffff) + (t >> 16)
    return t
for _ in range(2): send(253, b"x" * 8, "@.77")
for _ in range(3): send(253, b"x" * 8)
send(1, bytes([8, 0, 1, 2, 0, 1, 0, 1]))
send(17, struct.pack("!4H", 7, 1, 8, 0))
for _ in range(2): send(17, struct.pack("!4H", 7, 9000, 12, 1) + b"data")
send(17, struct.pack("!4H", 7, 9000, 100, 0))
send(6, struct.pack("!2H2I4H", 7, 80, 1, 1, 0x5002, 100, 1, 0))
"#;
