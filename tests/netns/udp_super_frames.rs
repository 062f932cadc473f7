//! Super-frames of UDP between a stack and the kernel, over a TAP: `UDP_SEGMENT` and `UDP_GRO` on either side.
//!
//! That they travelled as super-frames the counters of frames say, of both ends.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use ioth::{AF_INET, AF_INET6, Control, IPPROTO_UDP, SOCK_DGRAM, SOL_SOCKET, Stack, UDP_GRO, UDP_SEGMENT};
use ioth_stack::link::Link;
use ioth_stack::link::tap::Tap;
use ioth_stack::{Engine, Family, InterfaceSettings, Kind, Secret};
use ioth_tests::netns::{Net, Test};
use ioth_tests::pattern;

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        whole_between_stack_and_kernel,
        cut_for_sockets_that_do_not_ask,
        cut_for_a_tap_without_offload,
        cut_for_a_tap_of_an_older_kernel,
        in_a_vlan_of_a_switch,
        over_an_impaired_link,
    ]
}

/// Data of one call, and of each datagram.
const LEN: usize = 60_000;
const SIZE: u16 = 1400;
/// How often it is sent.
const TIMES: usize = 8;

/// The addresses of a stack and of the kernel.
const ENDS: [[&str; 2]; 2] = [["10.0.0.2:5000", "10.0.0.1:5000"], ["[fd00::2]:5000", "[fd00::1]:5000"]];

fn scene(net: &Net, options: &str) -> Result<Stack> {
    net.tap("red", &["10.0.0.1/24", "fd00::1/64"])?;
    let stack = net.enter(|| Stack::new(&format!("tap://red{options}"), "ip=10.0.0.2/24,ip=fd00::2/64"))?;
    net.wait_for_carrier("red")?;
    Ok(stack)
}

/// Two sockets, one of the stack and one of its peer, mostly the kernel, connected to each other; `whole`: `UDP_GRO`.
fn pair((net, peer): (&Net, &Stack), stack: &Stack, ends: [&str; 2], whole: bool) -> Result<[OwnedFd; 2]> {
    let [own, theirs] = ends.map(|end| end.parse::<SocketAddr>().expect("an address"));
    let domain = if own.is_ipv4() { AF_INET } else { AF_INET6 };
    let ours = ioth::msocket(stack, domain, SOCK_DGRAM, 0)?;
    let kernel = net.enter(|| ioth::msocket(peer, domain, SOCK_DGRAM, 0))?;
    for (fd, here, there) in [(&ours, own, theirs), (&kernel, theirs, own)] {
        ioth::setsockopt_int(fd, SOL_SOCKET, ioth::SO_RCVBUF, 2 << 20)?;
        let limit = [10_i64.to_ne_bytes(), 0_i64.to_ne_bytes()].concat();
        ioth::setsockopt(fd, SOL_SOCKET, ioth::SO_RCVTIMEO, &limit)?;
        ioth::setsockopt_int(fd, IPPROTO_UDP, UDP_GRO, whole.into())?;
        ioth::bind(fd, &here)?;
        ioth::connect(fd, &there)?;
    }
    // So that they know each other.
    ioth::send(&ours, b"hello", 0)?;
    ensure!(receive(&kernel)?.0 == b"hello");
    Ok([ours, kernel])
}

/// One message, and the size beside it.
fn receive(fd: &OwnedFd) -> Result<(Vec<u8>, Option<i32>)> {
    let mut room = vec![0; 65_536];
    let message = ioth::recvmsg(fd, &mut [IoSliceMut::new(&mut room)], 0).context("recvmsg")?;
    room.truncate(message.len);
    let size = message.controls.iter().find_map(|control| match control {
        Control::ReceivedSize(size) => Some(*size),
        _ => None,
    });
    Ok((room, size))
}

/// Sends from one to the other, and takes messages of as many bytes until all has come; how many those were.
fn across(from: &OwnedFd, to: &OwnedFd) -> Result<Vec<(usize, Option<i32>)>> {
    let data = pattern::stream(LEN as u64);
    let mut messages = Vec::new();
    for time in 0..TIMES {
        // By the option, and by control message.
        let segment = if time % 2 == 0 { SIZE } else { 0 };
        ioth::setsockopt_int(from, IPPROTO_UDP, UDP_SEGMENT, segment.into())?;
        let own = [Control::DatagramSize(SIZE)];
        let controls = if time % 2 == 0 { &own[..0] } else { &own[..] };
        ensure!(ioth::sendmsg(from, &[IoSlice::new(&data)], controls, 0, None)? == LEN);
        let mut got = Vec::new();
        while got.len() < LEN {
            let (bytes, size) = receive(to)?;
            messages.push((bytes.len(), size));
            got.extend(bytes);
        }
        ensure!(got == data, "other bytes");
    }
    Ok(messages)
}

/// Frames that the stack has sent and received, those of other protocols among them.
fn frames(stack: &Stack) -> Result<u64> {
    let counters = stack.snapshot()?.counters;
    Ok(counters.frames_in + counters.frames_out)
}

/// Sends both ways, in both families, and checks that messages are whole or cut, and about how many frames there were.
fn check(peer: (&Net, &Stack), stack: &Stack, whole: bool, in_super_frames: bool) -> Result<()> {
    for ends in ENDS {
        let [ours, kernel] = pair(peer, stack, ends, whole)?;
        for (from, to, name) in [(&ours, &kernel, "out"), (&kernel, &ours, "in")] {
            let before = frames(stack)?;
            let messages = across(from, to).with_context(|| format!("{name} at {ends:?}"))?;
            let count = frames(stack)? - before;
            if whole && in_super_frames {
                ensure!(messages == vec![(LEN, Some(SIZE.into())); TIMES], "{name}: {messages:?}");
            } else if !whole {
                let single = |(len, size): &(usize, Option<i32>)| *len <= usize::from(SIZE) && size.is_none();
                ensure!(messages.iter().all(single), "{name}: {messages:?}");
                ensure!(messages.len() == TIMES * LEN.div_ceil(SIZE.into()), "{name}: {}", messages.len());
            }
            // One each, and what neighbours have to say now and then; else dozens each.
            let few = count < 3 * TIMES as u64;
            ensure!(few == in_super_frames, "{name}: {count} frames");
        }
    }
    Ok(())
}

fn whole_between_stack_and_kernel(net: &Net) -> Result<()> {
    check((net, &Stack::kernel()), &scene(net, "")?, true, true)
}

fn cut_for_sockets_that_do_not_ask(net: &Net) -> Result<()> {
    check((net, &Stack::kernel()), &scene(net, "")?, false, true)
}

fn cut_for_a_tap_without_offload(net: &Net) -> Result<()> {
    let stack = scene(net, "?offload=off")?;
    check((net, &Stack::kernel()), &stack, false, false)?;
    check((net, &Stack::kernel()), &stack, true, false)
}

/// A TAP on which the flags of super-frames of UDP are not set, as before Linux 6.2: what leaves is cut in front of it, what
/// comes in the kernel cuts.
fn cut_for_a_tap_of_an_older_kernel(net: &Net) -> Result<()> {
    net.tap("red", &["10.0.0.1/24", "fd00::1/64"])?;
    let mut tap = net.enter(|| Tap::open_without_datagrams("red", false))?;
    net.wait_for_carrier("red")?;
    let mut engine = Engine::new(Secret::from_seed(1));
    let mac = ioth_stack::net::Mac::new([2, 0, 0, 0, 0, 2]);
    let settings =
        InterfaceSettings { name: "eth0".into(), mac, mtu: 1500, offload: tap.capabilities().offload };
    let eth = engine.add_interface(settings)?;
    let start = std::time::Instant::now();
    let now = || ioth_stack::Instant::from_nanos(1 + start.elapsed().as_nanos() as u64);
    let data = pattern::stream(LEN as u64);
    for (own, [here, there], family) in
        [("10.0.0.2/24", ENDS[0], Family::V4), ("fd00::2/64", ENDS[1], Family::V6)]
    {
        engine.add_address(eth, own.parse().context("an address")?)?;
        let kernel = net.enter(|| std::net::UdpSocket::bind(there))?;
        kernel.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        let id = engine.open(Kind::Datagram, family);
        engine.bind(id, here.parse()?)?;
        let mut options = engine.options(id)?;
        options.datagram_size = NonZeroU16::new(SIZE);
        options.recv_buffer = 1 << 20;
        engine.set_options(id, options)?;
        engine.send_to(now(), id, &data, Some(there.parse()?))?;
        // Both ways at once: neighbours find each other, and what was sent is taken in by the one and the other.
        let mut sent = 0;
        let mut back = Vec::new();
        let mut got = Vec::new();
        let mut room = vec![0; 65_536];
        kernel.set_nonblocking(true)?;
        while got.len() < LEN || back.len() < LEN {
            ensure!(start.elapsed().as_secs() < 20, "{} and {} bytes", got.len(), back.len());
            engine.handle_timeout(now());
            while let Some(transmit) = engine.poll_transmit(now()) {
                tap.transmit(transmit.frame)?;
            }
            while let Some(frame) = tap.receive()? {
                ensure!(frame.segmentation.is_none(), "a super-frame came in");
                engine.handle_frame(now(), eth, frame);
            }
            while let Ok((len, from)) = kernel.recv_from(&mut room) {
                ensure!(len <= SIZE.into(), "{len}");
                got.extend_from_slice(&room[..len]);
                // What is there goes back, once all has come.
                if got.len() == LEN && sent == 0 {
                    let fd = OwnedFd::from(kernel.try_clone()?);
                    sent = ioth::sendmsg(
                        &fd,
                        &[IoSlice::new(&got)],
                        &[Control::DatagramSize(SIZE)],
                        0,
                        Some(&from),
                    )?;
                }
            }
            while let Ok(received) = engine.recv_from(id, &mut room, false) {
                back.extend_from_slice(&room[..received.copied]);
            }
        }
        ensure!(got == data && back == data, "other bytes");
    }
    Ok(())
}

fn in_a_vlan_of_a_switch(net: &Net) -> Result<()> {
    let stacks = [2, 1].map(|last| {
        let config = format!("ip=10.0.0.{last}/24,ip=fd00::{last}/64");
        net.enter(|| Stack::new("switch://datagrams?vlan=42", &config))
    });
    let [stack, other] = stacks;
    check((net, &other?), &stack?, true, true)
}

fn over_an_impaired_link(net: &Net) -> Result<()> {
    let stack = scene(net, "?impair=delay:1ms")?;
    check((net, &Stack::kernel()), &stack, true, false)
}
