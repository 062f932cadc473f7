//! Raw and packet sockets with the kernel on the other side of a TAP: what one makes the other sees.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ioth::{
    AF_INET, AF_INET6, AF_PACKET, ETH_P_ALL, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_RAW, LinkAddr,
    MSG_DONTWAIT, SO_RCVTIMEO, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET, SockAddr, Stack, any,
};
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        a_ping_of_the_kernel_is_heard,
        a_packet_by_hand_reaches_the_kernel,
        both_ends_of_a_tap_see_the_same,
    ]
}

const SOON: Duration = Duration::from_secs(20);

fn scene(net: &Net) -> Result<Stack> {
    net.tap("red", &["10.0.0.1/24", "fd00::1/64"])?;
    let stack = net.enter(|| Stack::new("tap://red", "ip=10.0.0.2/24,ip=fd00::2/64"))?;
    net.wait_for_carrier("red")?;
    Ok(stack)
}

fn raw(stack: &Stack, domain: i32, protocol: i32) -> Result<OwnedFd> {
    let fd = ioth::msocket(stack, domain, SOCK_RAW | SOCK_CLOEXEC, protocol)?;
    let seconds = SOON.as_secs().to_ne_bytes();
    ioth::setsockopt(&fd, SOL_SOCKET, SO_RCVTIMEO, &[seconds, [0; 8]].concat())?;
    Ok(fd)
}

fn a_ping_of_the_kernel_is_heard(net: &Net) -> Result<()> {
    let stack = scene(net)?;
    for (domain, protocol, header, kind, address, from) in [
        (AF_INET, IPPROTO_ICMP, 20, 8, "10.0.0.2", "10.0.0.1:0"),
        (AF_INET6, IPPROTO_ICMPV6, 0, 128, "fd00::2", "[fd00::1]:0"),
    ] {
        let fd = raw(&stack, domain, protocol)?;
        // The stack answers, too.
        net.run(&format!("ping -c 1 -W 5 -p 6e616d65 {address}"))?;
        let mut room = [0; 2000];
        loop {
            let (len, source) = ioth::recvfrom(&fd, &mut room, 0).context("no echo request")?;
            if room[header] == kind {
                ensure!(source == from.parse().ok(), "{source:?}");
                ensure!(room[..len].windows(8).any(|bytes| bytes == b"namename"), "{:?}", &room[..len]);
                break;
            }
        }
    }
    Ok(())
}

fn a_packet_by_hand_reaches_the_kernel(net: &Net) -> Result<()> {
    let stack = scene(net)?;
    let kernel = net.enter(|| raw(&Stack::kernel(), AF_INET, 253))?;
    let fd = raw(&stack, AF_INET, IPPROTO_RAW)?;
    let mut packet = vec![0x45, 0x20, 0, 0, 0, 0, 0, 0, 77, 253, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1];
    packet.extend(b"by hand");
    ensure!(ioth::sendto(&fd, &packet, 0, &"10.0.0.1:0".parse()?)? == packet.len());
    let mut room = [0; 100];
    let (len, from) = ioth::recvfrom(&kernel, &mut room, 0).context("the kernel heard nothing")?;
    ensure!(from == "10.0.0.2:0".parse().ok(), "{from:?}");
    ensure!((room[1], room[8], &room[20..len]) == (0x20, 77, &b"by hand"[..]), "{:?}", &room[..len]);
    Ok(())
}

/// Every frame that passes, with `true` for one to the kernel.
fn drain(fd: &OwnedFd, outgoing: u8, seen: &mut BTreeMap<(bool, Vec<u8>), u32>) -> Result<()> {
    let mut room = vec![0; 1 << 17];
    loop {
        match any::recvfrom(fd, &mut room, MSG_DONTWAIT) {
            Ok((len, Some(SockAddr::Link(from)))) => {
                let to_kernel = from.kind == outgoing;
                *seen.entry((to_kernel, room[..len].to_vec())).or_default() += 1;
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn both_ends_of_a_tap_see_the_same(net: &Net) -> Result<()> {
    const OUTGOING: u8 = 4;
    let stack = scene(net)?;
    let protocol = i32::from((ETH_P_ALL as u16).to_be());
    let ours = raw(&stack, AF_PACKET, protocol)?;
    let kernel = net.enter(|| raw(&Stack::kernel(), AF_PACKET, 0))?;
    let index: u32 = net.run("ip -o link show red | cut -d: -f1")?.trim().parse()?;
    let bound = LinkAddr { protocol: ETH_P_ALL as u16, interface: index, ..LinkAddr::default() };
    any::bind(&kernel, &bound.into())?;
    let (mut here, mut there) = (BTreeMap::new(), BTreeMap::new());
    // What passed before both listened.
    drain(&ours, OUTGOING, &mut here)?;
    drain(&kernel, 0, &mut there)?;
    here.clear();
    there.clear();
    net.run("ping -c 3 -i 0.2 -W 5 10.0.0.2 && ping -c 3 -i 0.2 -W 5 fd00::2 && ping -c 1 -s 4000 10.0.0.2")?;
    // All but what one of them sees a moment earlier: echo messages, which the ping has waited for.
    let echoes = |seen: &BTreeMap<(bool, Vec<u8>), u32>| -> BTreeMap<(bool, Vec<u8>), u32> {
        let is_one = |frame: &[u8]| match frame.get(12..14) {
            Some([8, 0]) => frame[23] == 1,
            Some([0x86, 0xdd]) => frame[20] == 58 && frame[54] >> 1 == 64,
            _ => false,
        };
        seen.iter()
            .filter(|((_, frame), _)| is_one(frame))
            .map(|(key, count)| (key.clone(), *count))
            .collect()
    };
    let end = Instant::now() + SOON;
    loop {
        drain(&ours, OUTGOING, &mut here)?;
        // What the stack sends the kernel receives, whoever it is for.
        let mut new = BTreeMap::new();
        drain(&kernel, OUTGOING, &mut new)?;
        for ((from_kernel, frame), count) in new {
            *there.entry((!from_kernel, frame)).or_default() += count;
        }
        let (one, other) = (echoes(&here), echoes(&there));
        if one == other && one.values().sum::<u32>() >= 18 {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{} and {} frames differ", one.len(), other.len());
        std::thread::yield_now();
    }
}
