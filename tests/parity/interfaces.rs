//! What ioctl(2) of netdevice(7) changes about interfaces and routes: the same calls in a fresh namespace of the kernel and
//! on a stack, each with one interface and nothing else.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::{Result, ensure};
use ioth::{
    AF_INET, AF_INET6, AF_PACKET, LinkAddr, MSG_DONTWAIT, SIOCADDRT, SIOCDELRT, SIOCGIFADDR, SIOCGIFBRDADDR,
    SIOCGIFFLAGS, SIOCGIFINDEX, SIOCGIFMTU, SIOCGIFNETMASK, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFMTU,
    SIOCSIFNETMASK, SO_BINDTODEVICE, SO_ERROR, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW,
    SOCK_STREAM, SOL_SOCKET, Stack, any,
};
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("interfaces::addresses_and_sizes", |net| compare(net, addresses)),
        Test::new("interfaces::down_and_up", |net| compare(net, down_and_up)),
        Test::new("interfaces::sockets_while_it_is_down", |net| compare(net, sockets)),
        Test::new("interfaces::loopback_down", |net| compare(net, loopback)),
        Test::new("interfaces::routes_of_ipv4", |net| compare(net, routes_v4)),
        Test::new("interfaces::routes_of_ipv6", |net| compare(net, routes_v6)),
    ]
}

/// One side.
struct Side<'a> {
    make: &'a dyn Fn(i32, i32) -> std::io::Result<OwnedFd>,
    fd: OwnedFd,
    notes: Vec<String>,
}

/// Runs a body on the kernel and on a stack; both must have noted the same.
fn compare(net: &Net, body: fn(&mut Side<'_>) -> Result<()>) -> Result<()> {
    net.run("ip link set lo up && ip link add eth0 type veth peer name other && ip link set other up")?;
    // A test of the address would make the result depend on time.
    net.run("sysctl -qw net.ipv6.conf.eth0.accept_dad=0 && ip link set eth0 up")?;
    net.run("ip address add fd07::1/64 dev eth0")?;
    let stack = Stack::new("eth0:switch://interfaces-parity", "ip=fd07::1/64")?;
    let run = |make: &dyn Fn(i32, i32) -> std::io::Result<OwnedFd>| -> Result<Vec<String>> {
        let mut side = Side { make, fd: make(AF_INET, SOCK_DGRAM)?, notes: Vec::new() };
        body(&mut side)?;
        Ok(side.notes)
    };
    let open = |stack: &Stack, domain, kind| ioth::msocket(stack, domain, kind | SOCK_CLOEXEC, 0);
    let kernels = run(&|domain, kind| net.enter(|| open(&Stack::kernel(), domain, kind)))?;
    let ours = run(&|domain, kind| open(&stack, domain, kind))?;
    let differ = kernels.iter().zip(&ours).filter(|(kernel, own)| kernel != own);
    let differ: Vec<_> = differ.map(|(kernel, own)| format!("kernel: {kernel}\nours:   {own}")).collect();
    ensure!(differ.is_empty(), "{}", differ.join("\n"));
    ensure!(kernels.len() == ours.len(), "kernel {kernels:#?}\nours {ours:#?}");
    Ok(())
}

impl Side<'_> {
    fn note<T: std::fmt::Debug>(&mut self, what: &str, result: std::io::Result<T>) {
        let shown = match result {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("errno {:?}", error.raw_os_error()),
        };
        self.notes.push(format!("{what}: {shown}"));
    }

    /// What an interface is asked.
    fn ask(&mut self, what: &str, request: u32, name: &str) {
        let answer = self.call(request, name, &[]);
        // An address, a size or flags.
        let shown = answer.map(|value| value[..8].to_vec());
        self.note(what, shown);
    }

    fn call(&self, request: u32, name: &str, value: &[u8]) -> std::io::Result<[u8; 24]> {
        let mut argument = [0; 40];
        argument[..name.len()].copy_from_slice(name.as_bytes());
        argument[16..16 + value.len()].copy_from_slice(value);
        ioth::ioctl(&self.fd, request, &mut argument)?;
        Ok(*argument[16..].first_chunk().expect("24 bytes"))
    }

    fn set(&mut self, what: &str, request: u32, name: &str, value: &[u8]) {
        let done = self.call(request, name, value).map(|_| ());
        self.note(what, done);
    }

    fn set_address(&mut self, request: u32, address: [u8; 4]) {
        self.set(&format!("set {request:x} {address:?}"), request, "eth0", &v4(address));
    }

    fn flags(&mut self, what: &str, name: &str) {
        let known = (libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_LOOPBACK | libc::IFF_BROADCAST) as u16;
        let flags = self.call(SIOCGIFFLAGS, name, &[]);
        self.note(what, flags.map(|value| u16::from_ne_bytes([value[0], value[1]]) & known));
    }

    fn set_up(&mut self, name: &str, up: bool) {
        let flags = if up { libc::IFF_UP as u16 } else { 0 };
        self.set(&format!("{name} up {up}"), SIOCSIFFLAGS, name, &flags.to_ne_bytes());
    }

    /// Whether there is a way, and from which address.
    fn way(&mut self, to: &str) {
        let to: SocketAddr = to.parse().expect("an address");
        let domain = if to.is_ipv4() { AF_INET } else { AF_INET6 };
        let found = (self.make)(domain, SOCK_DGRAM)
            .and_then(|fd| ioth::connect(&fd, &to).and_then(|()| ioth::getsockname(&fd)));
        self.note(&format!("way to {to}"), found.map(|own| own.ip()));
    }

    fn bind(&mut self, address: &str) {
        let address: SocketAddr = address.parse().expect("an address");
        let domain = if address.is_ipv4() { AF_INET } else { AF_INET6 };
        let bound = (self.make)(domain, SOCK_DGRAM).and_then(|fd| ioth::bind(&fd, &address));
        self.note(&format!("bind to {address}"), bound);
    }

    /// A route of IPv4: flags of route(8), `metric` one more than it is.
    fn route(&mut self, request: u32, to: ([u8; 4], [u8; 4]), gateway: [u8; 4], flags: u16, metric: i16) {
        let mut entry = [0; 120];
        entry[8..24].copy_from_slice(&v4(to.0));
        entry[24..40].copy_from_slice(&v4(gateway));
        entry[40..56].copy_from_slice(&v4(to.1));
        entry[56..58].copy_from_slice(&flags.to_ne_bytes());
        entry[80..82].copy_from_slice(&metric.to_ne_bytes());
        let done = ioth::ioctl(&self.fd, request, &mut entry);
        self.note(&format!("route {request:x} {to:?} {gateway:?} {flags:x} {metric}"), done);
    }
}

fn v4(address: [u8; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    bytes[4..8].copy_from_slice(&address);
    bytes
}

fn addresses(side: &mut Side<'_>) -> Result<()> {
    let show = |side: &mut Side<'_>| {
        side.ask("address", SIOCGIFADDR, "eth0");
        side.ask("mask", SIOCGIFNETMASK, "eth0");
    };
    show(side);
    side.set_address(SIOCSIFNETMASK, [255, 255, 0, 0]);
    side.set_address(SIOCSIFADDR, [10, 7, 0, 1]);
    show(side);
    side.way("10.200.0.1:9");
    side.set_address(SIOCSIFNETMASK, [255, 255, 255, 0]);
    show(side);
    side.way("10.200.0.1:9");
    side.way("10.7.0.9:9");
    side.set_address(SIOCSIFNETMASK, [255, 0, 255, 0]);
    side.set_address(SIOCSIFADDR, [172, 16, 0, 1]);
    show(side);
    side.way("10.7.0.9:9");
    side.set_address(SIOCSIFADDR, [192, 168, 9, 1]);
    show(side);
    side.ask("broadcast", SIOCGIFBRDADDR, "eth0");
    side.set_address(SIOCSIFADDR, [0, 0, 0, 0]);
    show(side);
    for mtu in [1400, 1280, 20, 1 << 20, -1] {
        side.set(&format!("size {mtu}"), SIOCSIFMTU, "eth0", &i32::to_ne_bytes(mtu));
        side.ask("size", SIOCGIFMTU, "eth0");
    }
    side.set("of nobody", SIOCSIFMTU, "eth9", &1400i32.to_ne_bytes());
    side.set("of nobody", SIOCSIFADDR, "eth9", &v4([10, 0, 0, 1]));
    let index = side.call(SIOCGIFINDEX, "lo", &[]);
    side.note("number of lo", index.map(|value| value[0]));
    Ok(())
}

fn down_and_up(side: &mut Side<'_>) -> Result<()> {
    side.set_address(SIOCSIFADDR, [10, 7, 0, 1]);
    side.route(SIOCADDRT, ([0; 4], [0; 4]), [10, 7, 0, 9], 3, 0);
    let show = |side: &mut Side<'_>| {
        side.flags("flags", "eth0");
        side.ask("address", SIOCGIFADDR, "eth0");
        for to in ["10.7.0.9:9", "192.0.2.1:9", "10.7.0.1:9", "[fd07::9]:9", "[fd07::1]:9", "127.0.0.1:9"] {
            side.way(to);
        }
        side.bind("10.7.0.1:0");
        side.bind("[fd07::1]:0");
    };
    show(side);
    side.set_up("eth0", true);
    side.set_up("eth0", false);
    show(side);
    side.set_up("eth0", false);
    side.route(SIOCADDRT, ([192, 0, 2, 0], [255, 255, 255, 0]), [10, 7, 0, 9], 3, 0);
    side.set_address(SIOCSIFADDR, [10, 8, 0, 1]);
    side.way("10.8.0.9:9");
    side.set_up("eth0", true);
    show(side);
    side.way("10.8.0.9:9");
    side.set_up("eth9", true);
    Ok(())
}

fn sockets(side: &mut Side<'_>) -> Result<()> {
    side.set_address(SIOCSIFADDR, [10, 7, 0, 1]);
    let index = side.call(SIOCGIFINDEX, "eth0", &[])?;
    let interface = u32::from_ne_bytes(*index.first_chunk().expect("24 bytes"));
    let link = LinkAddr { protocol: 0x88b5, interface, ..LinkAddr::default() };
    let packet = (side.make)(AF_PACKET, SOCK_RAW)?;
    any::bind(&packet, &link.into())?;
    let frame = [[0xff; 6].as_slice(), &[2, 0, 0, 0, 0, 1, 0x88, 0xb5], &[0; 46]].concat();
    side.note("frame", ioth::send(&packet, &frame, 0));
    let connected = (side.make)(AF_INET, SOCK_DGRAM)?;
    ioth::connect(&connected, &"10.7.0.9:9".parse()?)?;
    let bound = (side.make)(AF_INET, SOCK_DGRAM)?;
    ioth::setsockopt(&bound, SOL_SOCKET, SO_BINDTODEVICE, b"eth0")?;
    ioth::setsockopt_int(&bound, SOL_SOCKET, ioth::SO_BROADCAST, 1)?;
    side.set_up("eth0", false);
    side.note("what happened", ioth::getsockopt_int(&packet, SOL_SOCKET, SO_ERROR));
    side.note("once", ioth::getsockopt_int(&packet, SOL_SOCKET, SO_ERROR));
    side.note("frame", ioth::send(&packet, &frame, 0));
    let late = (side.make)(AF_PACKET, SOCK_RAW)?;
    side.note("bind", any::bind(&late, &link.into()));
    side.note("what happened", ioth::getsockopt_int(&late, SOL_SOCKET, SO_ERROR));
    side.note("send", ioth::send(&connected, b"word", 0));
    for to in ["10.7.0.9:9", "255.255.255.255:9", "224.0.0.77:9", "10.7.0.1:9"] {
        side.note(&format!("to {to}"), ioth::sendto(&bound, b"word", 0, &to.parse()?));
    }
    for (domain, to) in [(AF_INET, "10.7.0.9:9"), (AF_INET6, "[fd07::9]:9"), (AF_INET, "10.7.0.1:9")] {
        let stream = (side.make)(domain, SOCK_STREAM)?;
        side.note(&format!("stream to {to}"), ioth::connect(&stream, &to.parse()?));
    }
    side.set_up("eth0", true);
    side.note("frame", ioth::send(&packet, &frame, 0));
    side.note("send", ioth::send(&connected, b"word", 0));
    for to in ["10.7.0.9:9", "255.255.255.255:9"] {
        side.note(&format!("to {to}"), ioth::sendto(&bound, b"word", 0, &to.parse()?));
    }
    Ok(())
}

fn loopback(side: &mut Side<'_>) -> Result<()> {
    side.flags("flags", "lo");
    let own = (side.make)(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK)?;
    ioth::bind(&own, &"127.0.0.1:0".parse()?)?;
    let at = ioth::getsockname(&own)?;
    side.note("send", ioth::sendto(&own, b"word", 0, &at));
    side.note("recv", ioth::recv(&own, &mut [0; 10], 0));
    side.set_up("lo", false);
    side.flags("flags", "lo");
    side.note("send", ioth::sendto(&own, b"word", 0, &at));
    side.note("recv", ioth::recv(&own, &mut [0; 10], MSG_DONTWAIT));
    side.set_up("lo", true);
    side.note("send", ioth::sendto(&own, b"word", 0, &at));
    side.note("recv", ioth::recv(&own, &mut [0; 10], 0));
    side.way("[::1]:9");
    Ok(())
}

fn routes_v4(side: &mut Side<'_>) -> Result<()> {
    const UP: u16 = 1;
    const GATEWAY: u16 = 2;
    const HOST: u16 = 4;
    const REJECT: u16 = 0x200;
    side.set_address(SIOCSIFADDR, [10, 7, 0, 1]);
    side.set_address(SIOCSIFNETMASK, [255, 255, 255, 0]);
    let net = ([192, 0, 2, 0], [255, 255, 255, 0]);
    let via = [10, 7, 0, 9];
    side.route(SIOCDELRT, net, via, UP | GATEWAY, 0);
    side.route(SIOCADDRT, net, [172, 16, 0, 1], UP | GATEWAY, 0);
    side.route(SIOCADDRT, net, [0; 4], UP | GATEWAY, 0);
    side.route(SIOCADDRT, net, [0; 4], UP, 0);
    side.route(SIOCADDRT, ([192, 0, 2, 7], [255, 255, 255, 0]), via, UP | GATEWAY, 0);
    side.route(SIOCADDRT, ([192, 0, 2, 0], [255, 0, 255, 0]), via, UP | GATEWAY, 0);
    side.route(SIOCADDRT, net, via, UP | GATEWAY, 0);
    side.way("192.0.2.9:9");
    side.route(SIOCADDRT, net, via, UP | GATEWAY, 0);
    side.route(SIOCADDRT, net, via, UP | GATEWAY, 6);
    side.route(SIOCADDRT, ([192, 0, 2, 77], [0; 4]), [0; 4], UP | HOST | REJECT, 0);
    side.way("192.0.2.77:9");
    side.route(SIOCDELRT, ([192, 0, 2, 77], [0; 4]), [0; 4], UP | HOST | REJECT, 0);
    side.way("192.0.2.77:9");
    side.route(SIOCDELRT, net, [10, 7, 0, 8], UP | GATEWAY, 0);
    side.route(SIOCDELRT, net, via, UP | GATEWAY, 6);
    side.route(SIOCDELRT, net, via, UP | GATEWAY, 6);
    side.way("192.0.2.9:9");
    side.route(SIOCDELRT, net, via, UP | GATEWAY, 0);
    side.way("192.0.2.9:9");
    Ok(())
}

fn routes_v6(side: &mut Side<'_>) -> Result<()> {
    let index = side.call(SIOCGIFINDEX, "eth0", &[])?;
    let index: [u8; 4] = *index.first_chunk().expect("24 bytes");
    let six = (side.make)(AF_INET6, SOCK_DGRAM)?;
    let change = |side: &mut Side<'_>, request, to: &str, len: u16, via: &str, flags: u32, index: [u8; 4]| {
        let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").octets();
        let mut message = [0; 120];
        message[..16].copy_from_slice(&octets(to));
        message[32..48].copy_from_slice(&octets(via));
        message[52..54].copy_from_slice(&len.to_ne_bytes());
        message[72..76].copy_from_slice(&flags.to_ne_bytes());
        message[76..80].copy_from_slice(&index);
        let done = ioth::ioctl(&six, request, &mut message);
        side.note(&format!("{request:x} {to}/{len} via {via} {flags:x}"), done);
    };
    let none = [0; 4];
    change(side, SIOCDELRT, "fd09::", 64, "fd07::9", 3, index);
    change(side, SIOCADDRT, "fd09::", 64, "fd0a::9", 3, none);
    change(side, SIOCADDRT, "fd09::", 64, "fd07::9", 3, none);
    side.way("[fd09::5]:9");
    change(side, SIOCADDRT, "fd09::", 64, "fd07::9", 3, index);
    change(side, SIOCADDRT, "fd09::", 200, "fd07::9", 3, index);
    change(side, SIOCADDRT, "fd0b::", 64, "::", 1, index);
    side.way("[fd0b::5]:9");
    change(side, SIOCADDRT, "fd0c::", 64, "::", 1, 99u32.to_ne_bytes());
    change(side, SIOCADDRT, "fd0d::", 64, "::", 0x201, none);
    change(side, SIOCDELRT, "fd09::", 64, "fd07::9", 3, none);
    change(side, SIOCDELRT, "fd0b::", 64, "::", 1, index);
    side.way("[fd09::5]:9");
    Ok(())
}
