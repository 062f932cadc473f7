//! `AF_NETLINK` sockets: the same requests to the kernel of a fresh namespace and to a stack. Compared are errnos, texts,
//! acknowledgements and what dumps and notifications say, as far as both can say it.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use ioth::{
    AF_NETLINK, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, NETLINK_ADD_MEMBERSHIP, NETLINK_CAP_ACK,
    NETLINK_DROP_MEMBERSHIP, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK, NETLINK_ROUTE, SO_DOMAIN, SO_PROTOCOL,
    SO_TYPE, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_NETLINK, SOL_SOCKET, SockAddr, Stack, any,
};
use ioth_tests::child::Child;
use ioth_tests::netns::{Net, Test};
use libc::{
    IFA_ADDRESS, IFA_CACHEINFO, IFA_LOCAL, IFLA_IFNAME, IFLA_MTU, NDA_DST, NDA_LLADDR, NLM_F_ACK,
    NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NUD_PERMANENT, RTA_DST, RTA_GATEWAY, RTA_OIF, RTA_PRIORITY, RTM_DELADDR, RTM_DELLINK,
    RTM_DELNEIGH, RTM_DELROUTE, RTM_GETADDR, RTM_GETLINK, RTM_GETNEIGH, RTM_GETROUTE, RTM_GETRULE,
    RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWROUTE, RTM_SETLINK, RTN_BLACKHOLE, RTN_PROHIBIT,
    RTN_UNICAST, RTN_UNREACHABLE, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK,
    RTNLGRP_NEIGH,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("netlink::sockets", |net| compare(net, sockets)),
        Test::new("netlink::requests_that_make_no_sense", |net| compare(net, nonsense)),
        Test::new("netlink::links", |net| compare(net, links)),
        Test::new("netlink::addresses", |net| compare(net, addresses)),
        Test::new("netlink::routes", |net| compare(net, routes)),
        Test::new("netlink::neighbours", |net| compare(net, neighbours)),
        Test::new("netlink::a_forked_child", |net| compare(net, children)),
        Test::new("netlink::notifications", |net| compare(net, notifications)),
    ]
}

/// One side: a netlink socket, and the index of `eth0` there.
struct Side<'a> {
    make: &'a dyn Fn(i32) -> std::io::Result<OwnedFd>,
    fd: OwnedFd,
    index: u32,
    notes: Vec<String>,
    sequence: u32,
}

/// Runs a body on the kernel and on a stack; both must have noted the same.
fn compare(net: &Net, body: fn(&mut Side<'_>) -> Result<()>) -> Result<()> {
    net.run("ip link add eth0 type veth peer name other && ip link set eth0 up && ip link set other up")?;
    let stack = Stack::new("eth0:switch://netlink-parity", "")?;
    let run = |make: &dyn Fn(i32) -> std::io::Result<OwnedFd>| -> Result<Vec<String>> {
        let fd = make(SOCK_RAW)?;
        ioth::setsockopt_int(&fd, SOL_NETLINK, NETLINK_EXT_ACK, 1)?;
        let mut side = Side { make, fd, index: 0, notes: Vec::new(), sequence: 100 };
        let found = side.ask(RTM_GETLINK, 0, &link(0, 0, 0), &[text(IFLA_IFNAME, "eth0")])?;
        side.index = found.first().context("eth0")?.index;
        body(&mut side)?;
        Ok(side.notes)
    };
    let open = |stack: &Stack, kind| ioth::msocket(stack, AF_NETLINK, kind | SOCK_CLOEXEC, NETLINK_ROUTE);
    let kernels = run(&|kind| net.enter(|| open(&Stack::kernel(), kind)))?;
    let ours = run(&|kind| open(&stack, kind))?;
    let differ = kernels.iter().zip(&ours).enumerate().filter(|(_, (kernel, own))| kernel != own);
    let differ: Vec<_> =
        differ.map(|(at, (kernel, own))| format!("{at}\n kernel: {kernel}\n ours:   {own}")).collect();
    ensure!(differ.is_empty(), "{}", differ.join("\n"));
    ensure!(kernels.len() == ours.len(), "kernel {kernels:#?}\nours {ours:#?}");
    Ok(())
}

/// One message that came.
#[derive(Debug)]
struct Came {
    kind: u16,
    errno: i32,
    text: String,
    index: u32,
    fixed: Vec<u8>,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Came {
    fn attribute(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(known, _)| *known == kind).map(|(_, value)| &value[..])
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(value.len() + 4).expect("short").to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn text(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_ne_bytes())
}

fn ip(kind: u16, address: &str) -> Vec<u8> {
    match address.parse().expect("an address") {
        std::net::IpAddr::V4(address) => attribute(kind, &address.octets()),
        std::net::IpAddr::V6(address) => attribute(kind, &address.octets()),
    }
}

/// struct ifinfomsg.
fn link(index: u32, flags: u32, mask: u32) -> Vec<u8> {
    let words = [index, flags, mask].map(u32::to_ne_bytes).concat();
    [vec![0, 0, 0, 0], words].concat()
}

/// struct ifaddrmsg.
fn address(family: i32, prefix_len: u8, index: u32) -> Vec<u8> {
    [vec![family as u8, prefix_len, 0, 0], index.to_ne_bytes().to_vec()].concat()
}

/// struct rtmsg.
fn route(family: i32, prefix_len: u8, scope: u8, kind: u8) -> Vec<u8> {
    vec![family as u8, prefix_len, 0, 0, 254, 3, scope, kind, 0, 0, 0, 0]
}

/// struct ndmsg.
fn neighbour(family: i32, index: u32, state: u16) -> Vec<u8> {
    let mut fixed = vec![family as u8, 0, 0, 0];
    fixed.extend(index.to_ne_bytes());
    fixed.extend(state.to_ne_bytes());
    fixed.extend([0, 0]);
    fixed
}

fn message(kind: u16, flags: i32, sequence: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(16 + rest.len()).expect("short").to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags as u16).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(rest);
    bytes
}

/// The length of the fixed part of a message.
fn fixed_len(kind: u16) -> usize {
    match kind {
        RTM_NEWLINK | RTM_DELLINK => 16,
        RTM_NEWADDR | RTM_DELADDR => 8,
        _ => 12,
    }
}

fn attributes(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    while bytes.len() >= 4 {
        let len = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        all.push((u16::from_ne_bytes([bytes[2], bytes[3]]) & 0x3fff, bytes[4..len].to_vec()));
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

impl Side<'_> {
    fn note(&mut self, what: impl std::fmt::Display) {
        self.notes.push(what.to_string());
    }

    /// Receives one datagram, of which it asks the length first, as libioth does.
    fn receive(&self, flags: i32) -> Result<(Vec<u8>, Option<SockAddr>)> {
        let len = ioth::recv(&self.fd, &mut [], flags | MSG_PEEK | MSG_TRUNC)?;
        let mut bytes = vec![0; len];
        let (got, from) = any::recvfrom(&self.fd, &mut bytes, flags)?;
        ensure!(got == len, "{got} of {len}");
        Ok((bytes, from))
    }

    /// The messages of a datagram.
    fn take_apart(&self, mut bytes: &[u8]) -> Result<Vec<Came>> {
        let mut all = Vec::new();
        while bytes.len() >= 16 {
            let len = usize::try_from(word(bytes, 0))?;
            let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
            let flags = u16::from_ne_bytes([bytes[6], bytes[7]]);
            let body = &bytes[16..len];
            let mut came = Came {
                kind,
                errno: 0,
                text: String::new(),
                index: 0,
                fixed: Vec::new(),
                attributes: Vec::new(),
            };
            if i32::from(kind) == NLMSG_ERROR {
                came.errno = -(word(body, 0).cast_signed());
                let quoted = if flags & 0x100 == 0 { usize::try_from(word(body, 4))? } else { 16 };
                if flags & 0x200 != 0 {
                    let told = attributes(&body[4 + quoted.next_multiple_of(4)..]);
                    let text = told.iter().find(|(kind, _)| *kind == 1);
                    came.text =
                        text.map(|(_, text)| String::from_utf8_lossy(text).into()).unwrap_or_default();
                }
            } else if i32::from(kind) != NLMSG_DONE {
                let fixed = fixed_len(kind).min(body.len());
                came.fixed = body[..fixed].to_vec();
                came.index = if fixed >= 8 { word(body, 4) } else { 0 };
                came.attributes = attributes(&body[fixed..]);
            }
            all.push(came);
            bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(all)
    }

    /// Sends a request, and receives what answers it up to the acknowledgement or the end of the dump.
    fn ask(&mut self, kind: u16, flags: i32, fixed: &[u8], attributes: &[Vec<u8>]) -> Result<Vec<Came>> {
        self.sequence += 1;
        let rest = [fixed, &attributes.concat()].concat();
        let dump = flags & NLM_F_DUMP == NLM_F_DUMP && kind % 4 == 2;
        let flags = flags | NLM_F_REQUEST | if dump { 0 } else { NLM_F_ACK };
        ioth::send(&self.fd, &message(kind, flags, self.sequence, &rest), 0)?;
        let mut all = Vec::new();
        loop {
            let (bytes, from) = self.receive(MSG_DONTWAIT)?;
            ensure!(from == Some(SockAddr::Netlink { port: 0, groups: 0 }), "{from:?}");
            let SockAddr::Netlink { port, .. } = any::getsockname(&self.fd)? else { anyhow::bail!("a name") };
            ensure!((word(&bytes, 8), word(&bytes, 12)) == (self.sequence, port), "numbers");
            all.extend(self.take_apart(&bytes)?);
            let last = all.last().map_or(0, |came| i32::from(came.kind));
            if last == NLMSG_DONE || last == NLMSG_ERROR {
                return Ok(all);
            }
        }
    }

    /// Notes how a change was acknowledged, with the text if `say`.
    fn change(
        &mut self,
        what: &str,
        kind: u16,
        flags: i32,
        fixed: &[u8],
        attributes: &[Vec<u8>],
    ) -> Result<()> {
        let came = self.ask(kind, flags, fixed, attributes)?;
        let errno = came.last().map_or(-1, |came| came.errno);
        self.note(format!("{what}: {errno}"));
        Ok(())
    }
}

fn sockets(side: &mut Side<'_>) -> Result<()> {
    for kind in [SOCK_RAW, SOCK_DGRAM, SOCK_STREAM, 9] {
        let made = (side.make)(kind);
        side.note(format!("{kind} {:?}", made.as_ref().err().and_then(std::io::Error::raw_os_error)));
        let Ok(fd) = made else { continue };
        for name in [SO_TYPE, SO_DOMAIN, SO_PROTOCOL] {
            side.note(format!("{:?}", ioth::getsockopt_int(&fd, SOL_SOCKET, name).ok()));
        }
        side.note(format!("{:?} {:?}", any::getsockname(&fd)?, any::getpeername(&fd)?));
        let errno = |result: std::io::Result<()>| result.err().and_then(|error| error.raw_os_error());
        let nl = |port, groups| SockAddr::Netlink { port, groups };
        side.note(format!("{:?}", errno(any::bind(&fd, &SockAddr::Ip("1.2.3.4:5".parse()?)))));
        side.note(format!("{:?}", errno(any::bind(&fd, &nl(0, 0x11)))));
        let SockAddr::Netlink { port, groups } = any::getsockname(&fd)? else { anyhow::bail!("a name") };
        side.note(format!("{} {groups}", port != 0));
        side.note(format!("{:?}", errno(any::bind(&fd, &nl(port + 1, 0)))));
        side.note(format!("{:?}", errno(any::bind(&fd, &nl(port, 1)))));
        side.note(format!("{:?}", errno(any::bind(&(side.make)(kind)?, &nl(port, 0)))));
        side.note(format!("{:?}", errno(any::connect(&fd, &nl(0, 0)))));
        side.note(format!("{:?}", any::getpeername(&fd)?));
        side.note(format!("{:?}", errno(ioth::listen(&fd, 1))));
        side.note(format!("{:?}", errno(ioth::shutdown(&fd, 1))));
        side.note(format!("{:?}", errno(any::sendto(&fd, b"", 0, &nl(0, 0)).map(|_| ()))));
        side.note(format!("{:?}", errno(any::sendto(&fd, &[0; 16], 0, &nl(4_000_000_000, 0)).map(|_| ()))));
        side.note(format!("{:?}", errno(ioth::recv(&fd, &mut [0; 9], MSG_DONTWAIT).map(|_| ()))));
        for (name, value) in
            [(NETLINK_ADD_MEMBERSHIP, 0), (NETLINK_ADD_MEMBERSHIP, 7), (77, 1), (NETLINK_CAP_ACK, 1)]
        {
            side.note(format!("{:?}", errno(ioth::setsockopt_int(&fd, SOL_NETLINK, name, value))));
        }
        side.note(format!("{:?}", ioth::getsockopt_int(&fd, SOL_NETLINK, NETLINK_CAP_ACK).ok()));
        let mut list = [0; 8];
        ioth::getsockopt(&fd, SOL_NETLINK, libc::NETLINK_LIST_MEMBERSHIPS, &mut list)?;
        side.note(format!("{list:?}"));
        ioth::close(fd)?;
    }
    Ok(())
}

fn nonsense(side: &mut Side<'_>) -> Result<()> {
    let whole = message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, 1, &link(0, 0, 0));
    let mut cases = vec![
        whole[..15].to_vec(),
        whole[..16].to_vec(),
        message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, 2, &[]),
        message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, 3, &[0; 5]),
        message(RTM_GETADDR, NLM_F_ACK, 4, &[0; 8]),
        message(3, NLM_F_REQUEST | NLM_F_ACK, 5, &[]),
        message(9, NLM_F_REQUEST | NLM_F_ACK, 6, &[7; 40]),
        message(1000, NLM_F_REQUEST | NLM_F_ACK, 7, &[0; 40]),
        message(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK, 8, &[2]),
        message(RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK, 9, &[2, 24]),
        message(RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_ACK, 10, &[2, 24]),
    ];
    // Two in one datagram, and one that claims to be longer than it is.
    cases.push([whole.clone(), message(3, NLM_F_REQUEST | NLM_F_ACK, 11, &[])].concat());
    let mut long = whole.clone();
    long[0] += 4;
    cases.push(long);
    // An attribute that is longer than the message, one of no length, one too short for its type.
    for broken in [vec![200, 0, 3, 0], vec![0, 0, 3, 0], vec![6, 0, 4, 0, 1, 1, 0, 0]] {
        let rest = [link(side.index, 0, 0), broken].concat();
        cases.push(message(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 12, &rest));
    }
    for capped in [0, 1] {
        ioth::setsockopt_int(&side.fd, SOL_NETLINK, NETLINK_CAP_ACK, capped)?;
        for (at, case) in cases.iter().enumerate() {
            ioth::sendmsg(&side.fd, &[IoSlice::new(case)], &[], 0, None)?;
            side.note(format!("case {at}"));
            while let Ok((bytes, _)) = side.receive(MSG_DONTWAIT) {
                let (kind, flags) = (&bytes[4..6], u16::from_ne_bytes([bytes[6], bytes[7]]) & 0x100);
                let came = side.take_apart(&bytes)?;
                let errno = came[0].errno;
                side.note(format!("{kind:?} {flags} {errno} {}", word(&bytes, 8)));
            }
        }
    }
    Ok(())
}

fn links(side: &mut Side<'_>) -> Result<()> {
    let index = side.index;
    for (name, number) in [("eth0", 0), ("", index), ("nobody", 0), ("", 999), ("", 0)] {
        let named = if name.is_empty() { vec![] } else { vec![text(IFLA_IFNAME, name)] };
        side.change(&format!("get {name}"), RTM_GETLINK, 0, &link(number, 0, 0), &named)?;
    }
    let show = |side: &mut Side<'_>| -> Result<()> {
        let found = side.ask(RTM_GETLINK, 0, &link(index, 0, 0), &[])?;
        let name =
            found[0].attribute(IFLA_IFNAME).map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let mtu = found[0].attribute(IFLA_MTU).map(|mtu| word(mtu, 0));
        let flags = word(&found[0].fixed, 8)
            & (libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_BROADCAST).cast_unsigned();
        let kind = u16::from_ne_bytes([found[0].fixed[2], found[0].fixed[3]]);
        side.note(format!("{name} {mtu:?} {flags:x} {kind}"));
        Ok(())
    };
    show(side)?;
    side.change("mtu 1400", RTM_SETLINK, 0, &link(index, 0, 0), &[number(IFLA_MTU, 1400)])?;
    side.change("mtu 20", RTM_SETLINK, 0, &link(index, 0, 0), &[number(IFLA_MTU, 20)])?;
    side.change("mtu much", RTM_SETLINK, 0, &link(index, 0, 0), &[number(IFLA_MTU, 1 << 20)])?;
    show(side)?;
    side.change("down", RTM_SETLINK, 0, &link(index, 0, 1), &[])?;
    show(side)?;
    side.change("rename", RTM_SETLINK, 0, &link(index, 0, 0), &[text(IFLA_IFNAME, "lan")])?;
    side.change("to lo", RTM_SETLINK, 0, &link(index, 0, 0), &[text(IFLA_IFNAME, "lo")])?;
    side.change("slash", RTM_SETLINK, 0, &link(index, 0, 0), &[text(IFLA_IFNAME, "a/b")])?;
    show(side)?;
    side.change("up", RTM_NEWLINK, 0, &link(index, 1, 1), &[])?;
    show(side)?;
    side.change("excl", RTM_NEWLINK, NLM_F_EXCL, &link(index, 1, 1), &[])?;
    side.change("nobody", RTM_SETLINK, 0, &link(999, 1, 1), &[])?;
    side.change("nameless", RTM_SETLINK, 0, &link(0, 1, 1), &[])?;
    side.change(
        "unknown kind",
        RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        &link(0, 0, 0),
        &[text(IFLA_IFNAME, "x9")],
    )?;
    side.change("delete nobody", RTM_DELLINK, 0, &link(0, 0, 0), &[text(IFLA_IFNAME, "nobody")])?;
    side.change("delete lo", RTM_DELLINK, 0, &link(0, 0, 0), &[text(IFLA_IFNAME, "lo")])?;
    let all = side.ask(RTM_GETLINK, NLM_F_DUMP, &link(0, 0, 0), &[])?;
    side.note(all.iter().any(|came| came.attribute(IFLA_IFNAME) == Some(b"lan\0")));
    side.note(all.last().map_or(0, |came| came.kind));
    side.change("delete", RTM_DELLINK, 0, &link(index, 0, 0), &[])?;
    side.change("delete again", RTM_DELLINK, 0, &link(index, 0, 0), &[])
}

fn addresses(side: &mut Side<'_>) -> Result<()> {
    let index = side.index;
    let both = |at: &str| vec![ip(IFA_LOCAL, at), ip(IFA_ADDRESS, at)];
    let new = NLM_F_CREATE | NLM_F_EXCL;
    for (family, at, len) in [(libc::AF_INET, "10.7.0.1", 24), (libc::AF_INET6, "fd07::1", 64)] {
        let fixed = address(family, len, index);
        side.change("add", RTM_NEWADDR, new, &fixed, &both(at))?;
        side.change("add again", RTM_NEWADDR, new, &fixed, &both(at))?;
        side.change("add without flags", RTM_NEWADDR, 0, &fixed, &both(at))?;
        side.change("to nobody", RTM_NEWADDR, new, &address(family, len, 999), &both(at))?;
        side.change("no address", RTM_NEWADDR, new, &fixed, &[])?;
        side.change("too long", RTM_NEWADDR, new, &address(family, 129, index), &both(&format!("{at}9")))?;
        side.change("short", RTM_NEWADDR, new, &fixed, &[attribute(IFA_LOCAL, &[1, 2])])?;
        // struct ifa_cacheinfo: for a while.
        let times = |preferred: u32, valid: u32| {
            attribute(IFA_CACHEINFO, &[preferred, valid, 0, 0].map(u32::to_ne_bytes).concat())
        };
        for (preferred, valid) in [(0, 0), (200, 100), (500, 1000)] {
            let said = [both(at), vec![times(preferred, valid)]].concat();
            side.change("lifetimes", RTM_NEWADDR, NLM_F_REPLACE, &fixed, &said)?;
        }
        let all = side.ask(RTM_GETADDR, NLM_F_DUMP, &address(family, 0, 0), &[])?;
        let came =
            all.iter().find(|came| came.attribute(IFA_ADDRESS) == Some(&ip(0, at)[4..])).context("it")?;
        let lifetimes = came.attribute(IFA_CACHEINFO).map(|info| (word(info, 0) > 490, word(info, 4) > 990));
        let shown = (came.fixed[0], came.fixed[1], came.fixed[2] & 0x80, came.fixed[3], lifetimes);
        let local = came.attribute(IFA_LOCAL).map(<[u8]>::to_vec);
        side.note(format!("{shown:?} {local:?} {:?}", all.last().map(|came| came.kind)));
        side.change("delete", RTM_DELADDR, 0, &fixed, &both(at))?;
        side.change("delete again", RTM_DELADDR, 0, &fixed, &both(at))?;
        side.change("from nobody", RTM_DELADDR, 0, &address(family, len, 999), &both(at))?;
    }
    side.change("other family", RTM_NEWADDR, new, &address(9, 24, index), &both("10.7.0.1"))?;
    // Only who checks strictly has a dump filtered.
    side.change("add", RTM_NEWADDR, new, &address(libc::AF_INET, 24, index), &both("10.7.0.1"))?;
    for strict in [0, 1] {
        ioth::setsockopt_int(&side.fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, strict)?;
        let all = side.ask(RTM_GETADDR, NLM_F_DUMP, &address(libc::AF_INET, 0, index), &[])?;
        let known: BTreeSet<_> = all.iter().map(|came| came.index == index || came.kind == 3).collect();
        side.note(format!("{strict} {known:?}"));
    }
    Ok(())
}

fn routes(side: &mut Side<'_>) -> Result<()> {
    let index = side.index;
    let new = NLM_F_CREATE | NLM_F_EXCL;
    let worlds = [
        (libc::AF_INET, "10.7.0.1", 24u8, "10.7.0.9", "10.8.0.0", 16u8, "10.8.1.1"),
        (libc::AF_INET6, "fd07::1", 64, "fd07::9", "fd08::", 32, "fd08::1:1"),
    ];
    for (family, own, own_len, gateway, network, len, inside) in worlds {
        let fixed = route(family, len, 0, RTN_UNICAST);
        let via = |gateway: &str| vec![ip(RTA_DST, network), ip(RTA_GATEWAY, gateway)];
        side.change("unreachable gateway", RTM_NEWROUTE, new, &fixed, &via(gateway))?;
        let said = [ip(IFA_LOCAL, own), ip(IFA_ADDRESS, own)];
        let mut with = address(family, own_len, index);
        with[2] = 2; // IFA_F_NODAD
        side.change("address", RTM_NEWADDR, new, &with, &said)?;
        side.change("add", RTM_NEWROUTE, new, &fixed, &via(gateway))?;
        side.change("again", RTM_NEWROUTE, new, &fixed, &via(gateway))?;
        side.change(
            "change nobody",
            RTM_NEWROUTE,
            NLM_F_REPLACE,
            &fixed,
            &[ip(RTA_DST, own), ip(RTA_GATEWAY, gateway)].map(|said| said),
        )?;
        let other = [vec![number(RTA_PRIORITY, 77)], via(gateway)].concat();
        side.change("other metric", RTM_NEWROUTE, new, &fixed, &other)?;
        side.change("no device", RTM_NEWROUTE, new, &fixed, &[ip(RTA_DST, network)])?;
        let nobody = [ip(RTA_DST, network), number(RTA_OIF, 999)];
        side.change("device of nobody", RTM_NEWROUTE, new, &fixed, &nobody)?;
        side.change(
            "own gateway",
            RTM_NEWROUTE,
            new,
            &fixed,
            &[via(own), vec![number(RTA_PRIORITY, 5)]].concat(),
        )?;
        side.change("too long", RTM_NEWROUTE, new, &route(family, 200, 0, RTN_UNICAST), &via(gateway))?;
        let all = side.ask(RTM_GETROUTE, NLM_F_DUMP, &route(family, 0, 0, 0)[..], &[])?;
        let mut shown = Vec::new();
        for came in &all {
            if came.attribute(RTA_DST) == Some(&ip(0, network)[4..]) {
                let gateway = came.attribute(RTA_GATEWAY).map(<[u8]>::to_vec);
                let metric = came.attribute(RTA_PRIORITY).map(|metric| word(metric, 0));
                let way = came.attribute(RTA_OIF).map(|known| word(known, 0) == index);
                let head = (came.fixed[0], came.fixed[1], came.fixed[4], came.fixed[6], came.fixed[7]);
                shown.push(format!("{head:?} {gateway:?} {metric:?} {way:?}"));
            }
        }
        shown.sort();
        side.note(shown.join("\n"));
        let asked = [ip(RTA_DST, inside)];
        let got =
            side.ask(RTM_GETROUTE, 0, &route(family, ip(0, inside).len() as u8 * 8 - 32, 0, 0), &asked)?;
        let way = (
            got[0].kind,
            got[0].fixed[1],
            got[0].fixed[7],
            got[0].attribute(RTA_GATEWAY).map(<[u8]>::to_vec),
        );
        let source = got[0].attribute(libc::RTA_PREFSRC).map(<[u8]>::to_vec);
        side.note(format!("{way:?} {source:?}"));
        side.change("delete", RTM_DELROUTE, 0, &route(family, len, 255, 0), &other)?;
        side.change("delete", RTM_DELROUTE, 0, &route(family, len, 255, 0), &via(gateway))?;
        side.change("delete again", RTM_DELROUTE, 0, &route(family, len, 255, 0), &via(gateway))?;
        for kind in [RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT] {
            side.change("nowhere", RTM_NEWROUTE, new, &route(family, len, 0, kind), &[ip(RTA_DST, network)])?;
            side.change("get", RTM_GETROUTE, 0, &route(family, 0, 0, 0), &asked)?;
            side.change("gone", RTM_DELROUTE, 0, &route(family, len, 255, kind), &[ip(RTA_DST, network)])?;
        }
        side.change("get nothing", RTM_GETROUTE, 0, &route(family, 0, 0, 0), &asked)?;
        // Replaced, added to, and the default route.
        let default = route(family, 0, 0, RTN_UNICAST);
        let through = |last: &str| vec![ip(RTA_GATEWAY, &format!("{}{last}", own.trim_end_matches('1')))];
        side.change("default", RTM_NEWROUTE, new, &default, &through("9"))?;
        side.change("replace", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &default, &through("8"))?;
        side.change("append the same", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, &default, &through("8"))?;
        side.change("delete the old one", RTM_DELROUTE, 0, &route(family, 0, 255, 0), &through("9"))?;
        side.change("delete the new one", RTM_DELROUTE, 0, &route(family, 0, 255, 0), &through("8"))?;
    }
    let bits = [ip(RTA_DST, "10.8.0.1"), ip(RTA_GATEWAY, "10.7.0.9")];
    side.change("host bits", RTM_NEWROUTE, new, &route(libc::AF_INET, 16, 0, RTN_UNICAST), &bits)?;
    let rules = side.ask(RTM_GETRULE, NLM_F_DUMP, &[0; 12], &[])?;
    side.note(format!(
        "{:?}",
        rules
            .iter()
            .filter(|came| matches!(came.fixed.first(), Some(2 | 10)))
            .map(|came| came.fixed.clone())
            .collect::<Vec<_>>()
    ));
    Ok(())
}

fn neighbours(side: &mut Side<'_>) -> Result<()> {
    let index = side.index;
    let new = NLM_F_CREATE | NLM_F_EXCL;
    for (family, at) in [(libc::AF_INET, "10.7.0.5"), (libc::AF_INET6, "fd07::5")] {
        let fixed = neighbour(family, index, NUD_PERMANENT);
        let said = [ip(NDA_DST, at), attribute(NDA_LLADDR, &[2, 0, 0, 0, 0, 5])];
        side.change("missing", RTM_NEWNEIGH, 0, &fixed, &said)?;
        side.change("add", RTM_NEWNEIGH, new, &fixed, &said)?;
        side.change("again", RTM_NEWNEIGH, new, &fixed, &said)?;
        let other = [ip(NDA_DST, at), attribute(NDA_LLADDR, &[2, 0, 0, 0, 0, 6])];
        side.change("replace", RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &fixed, &other)?;
        side.change("no address", RTM_NEWNEIGH, new, &fixed, &[])?;
        side.change("no device", RTM_NEWNEIGH, new, &neighbour(family, 0, NUD_PERMANENT), &said)?;
        side.change("nobody", RTM_NEWNEIGH, new, &neighbour(family, 999, NUD_PERMANENT), &said)?;
        let short = [ip(NDA_DST, at), attribute(NDA_LLADDR, &[2, 0])];
        side.change("short", RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &fixed, &short)?;
        let all = side.ask(RTM_GETNEIGH, NLM_F_DUMP, &neighbour(family, 0, 0), &[])?;
        for came in all.iter().filter(|came| came.attribute(NDA_DST) == Some(&ip(0, at)[4..])) {
            side.note(format!("{:?} {:?}", &came.fixed[8..10], came.attribute(NDA_LLADDR)));
        }
        side.change("get", RTM_GETNEIGH, 0, &neighbour(family, index, 0), &said[..1])?;
        side.change("delete", RTM_DELNEIGH, 0, &neighbour(family, index, 0), &said[..1])?;
    }
    Ok(())
}

/// A child asks by calls of the crate and by plain ones, and what it changes is changed in its parent's stack.
fn children(side: &mut Side<'_>) -> Result<()> {
    let said = [ip(IFA_LOCAL, "10.7.0.1"), ip(IFA_ADDRESS, "10.7.0.1")].concat();
    let fixed = address(libc::AF_INET, 24, side.index);
    let flags = NLM_F_REQUEST | NLM_F_ACK;
    let add =
        message(RTM_NEWADDR, flags | NLM_F_CREATE | NLM_F_EXCL, 9, &[fixed.clone(), said.clone()].concat());
    let fd = &side.fd;
    let child = Child::start(|| {
        let mut answers = Vec::new();
        for plain in [false, true] {
            let mut room = [0; 4096];
            let sent =
                if plain { rustix::io::write(fd, &add).is_ok() } else { ioth::send(fd, &add, 0).is_ok() };
            let len = if plain {
                rustix::io::read(fd, &mut room).unwrap_or(0)
            } else {
                any::recvfrom(fd, &mut room, 0).map_or(0, |(len, _)| len)
            };
            answers.push((sent, len >= 36, word(&room, 16).cast_signed()));
        }
        answers == [(true, true, 0), (true, true, -libc::EEXIST)]
    })?;
    ensure!(child.wait()?, "what the child heard");
    side.change("again", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &fixed, &[said])
}

fn notifications(side: &mut Side<'_>) -> Result<()> {
    let index = side.index;
    let groups = [RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE];
    let changer = std::mem::replace(&mut side.fd, (side.make)(SOCK_RAW)?);
    let watcher = std::mem::replace(&mut side.fd, changer);
    for group in groups {
        ioth::setsockopt_int(&watcher, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, i32::try_from(group)?)?;
    }
    // As long as it has no port, it hears nothing.
    side.change("mtu", RTM_SETLINK, 0, &link(index, 0, 0), &[number(IFLA_MTU, 1450)])?;
    side.note(any::recvfrom(&watcher, &mut [0; 8192], MSG_DONTWAIT).is_err());
    any::bind(&watcher, &SockAddr::Netlink { port: 0, groups: 0x455 })?;
    let hear = |side: &mut Side<'_>| -> Result<()> {
        let mut kinds = BTreeSet::new();
        let mut bytes = [0; 8192];
        while let Ok((len, from)) = any::recvfrom(&watcher, &mut bytes, MSG_DONTWAIT) {
            // Which request was the cause.
            let SockAddr::Netlink { port, .. } = any::getsockname(&side.fd)? else { anyhow::bail!("a name") };
            let numbers = (word(&bytes, 8), word(&bytes, 12));
            let cause = (numbers.0 == side.sequence, numbers.0 == 0, numbers.1 == port, numbers.1 == 0);
            for came in side.take_apart(&bytes[..len])? {
                kinds.insert(format!("{} {from:?} {cause:?}", came.kind));
            }
        }
        side.note(format!("{kinds:?}"));
        Ok(())
    };
    let v4 = [ip(IFA_LOCAL, "10.7.0.1"), ip(IFA_ADDRESS, "10.7.0.1")];
    side.change("address", RTM_NEWADDR, NLM_F_CREATE, &address(libc::AF_INET, 24, index), &v4)?;
    hear(side)?;
    let nowhere = route(libc::AF_INET, 16, 0, RTN_BLACKHOLE);
    side.change("route", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &nowhere, &[ip(RTA_DST, "10.8.0.0")])?;
    hear(side)?;
    let dark = route(libc::AF_INET6, 32, 0, RTN_BLACKHOLE);
    side.change("route", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &dark, &[ip(RTA_DST, "fd08::")])?;
    hear(side)?;
    let said = [ip(NDA_DST, "10.7.0.5"), attribute(NDA_LLADDR, &[2, 0, 0, 0, 0, 5])];
    side.change(
        "neighbour",
        RTM_NEWNEIGH,
        NLM_F_CREATE,
        &neighbour(libc::AF_INET, index, NUD_PERMANENT),
        &said,
    )?;
    hear(side)?;
    side.change("mtu", RTM_SETLINK, 0, &link(index, 0, 0), &[number(IFLA_MTU, 1400)])?;
    hear(side)?;
    side.change("route", RTM_DELROUTE, 0, &nowhere, &[ip(RTA_DST, "10.8.0.0")])?;
    hear(side)?;
    // With its last address, Linux takes its neighbours from an interface.
    let neigh = i32::try_from(RTNLGRP_NEIGH)?;
    ioth::setsockopt_int(&watcher, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, neigh)?;
    side.change("address", RTM_DELADDR, 0, &address(libc::AF_INET, 24, index), &v4)?;
    hear(side)
}
