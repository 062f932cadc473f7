//! Stacks on TAPs with the kernel on the other side: what the project exists for.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ioth::Stack;
use ioth::net::{TcpListener, TcpStream, UdpSocket};
use ioth_tests::netns::{Net, Test, need};
use ioth_tests::pattern;

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        two_stacks_with_one_address_in_two_networks,
        the_kernel_pings_a_stack,
        bytes_arrive_in_order_both_ways,
        the_plain_tap_serves_after_offload_was_used,
        a_close_right_after_a_large_send_loses_nothing,
        udp_both_ways,
        long_datagrams_pass_a_path_with_a_smaller_mtu,
        a_new_stack_takes_the_place_of_an_old_one,
        a_stack_ends_while_another_is_under_load,
        shutdown_sends_what_is_queued,
        a_dead_neighbour_is_unreachable_and_delays_nobody,
        a_peer_that_vanishes_is_noticed,
        routes_lead_through_a_kernel_router,
        a_path_with_a_smaller_mtu_carries_everything,
    ]
}

const CONFIG: &str = "ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1";
const KERNEL: [&str; 2] = ["10.0.0.1/24", "fd00::1/64"];

/// A stack on a TAP `name` whose other side is the kernel of the network.
fn stack_on_tap(net: &Net, name: &str, options: &str) -> Result<Stack> {
    net.tap(name, &KERNEL)?;
    let stack = net.enter(|| Stack::new(&format!("tap://{name}{options}"), CONFIG))?;
    net.wait_for_carrier(name)?;
    Ok(stack)
}

/// Answers `count` HTTP requests with `body`.
fn serve(listener: &TcpListener, count: usize, body: &str) -> Result<()> {
    for stream in listener.incoming().take(count) {
        let mut stream = stream?;
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer)?;
            ensure!(read > 0, "the request ended early: {request:?}");
            request.extend_from_slice(&buffer[..read]);
        }
        write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    }
    Ok(())
}

/// Fetches `/` and gives the body.
fn fetch(stack: &Stack, address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(stack, address).with_context(|| format!("connect to {address}"))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer has a body")?;
    Ok(body.to_owned())
}

fn two_stacks_with_one_address_in_two_networks(_: &Net) -> Result<()> {
    need("curl", "curl")?;
    need("python3", "python3")?;
    let nets = [Net::new("red")?, Net::new("blue")?];
    let names = ["red", "blue"];
    let stacks = [stack_on_tap(&nets[0], "red", "")?, stack_on_tap(&nets[1], "blue", "")?];
    thread::scope(|scope| {
        let mut work = Vec::new();
        for ((net, stack), name) in nets.iter().zip(&stacks).zip(names) {
            for address in ["10.0.0.2:80", "[fd00::2]:80"] {
                let listener = TcpListener::bind(stack, address)?;
                work.push(scope.spawn(move || serve(&listener, 1, name)));
                work.push(scope.spawn(move || {
                    let answer = net.run(&format!("curl -sS --max-time 20 http://{address}/"))?;
                    ensure!(answer == name, "{name} answered curl {answer:?}");
                    Ok(())
                }));
            }
            work.push(scope.spawn(move || {
                let script = format!(
                    "d=$(mktemp -d) && cd $d && echo page of {name} > index.html && \
                     exec python3 -u -m http.server --bind :: 8000 2>&1"
                );
                let server = net.start(&script)?;
                server.wait_for_line("Serving HTTP")?;
                for address in ["10.0.0.1:8000", "[fd00::1]:8000"] {
                    let page = fetch(stack, address)?;
                    ensure!(page == format!("page of {name}\n"), "{name} got {page:?}");
                }
                Ok(())
            }));
        }
        work.into_iter().try_for_each(|work| work.join().expect("no panic"))
    })
}

fn the_kernel_pings_a_stack(net: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    let _stack = stack_on_tap(net, "red", "")?;
    for address in ["10.0.0.2", "fd00::2"] {
        for size in [1400, 8000, 65_507] {
            net.run(&format!("ping -c 3 -i 0.05 -W 5 -s {size} {address}"))?;
        }
    }
    Ok(())
}

const BULK: u64 = 24 << 20;

/// Sends a pattern from a stack to the kernel of a network that listens at `address`.
fn kernel_receives(net: &Net, stack: &Stack, address: &str, len: u64) -> Result<()> {
    let listener = net.enter(|| std::net::TcpListener::bind(address))?;
    let to = listener.local_addr()?;
    let receiver = thread::spawn(move || pattern::check(&mut listener.accept()?.0));
    let mut stream = TcpStream::connect(stack, to)?;
    pattern::send(&mut stream, len)?;
    drop(stream);
    let received = receiver.join().expect("no panic")?;
    ensure!(received == len, "the kernel received {received} of {len}");
    Ok(())
}

/// Sends a pattern each way between a stack and the kernel of its network, over both families.
fn bulk_both_ways(net: &Net, stack: &Stack, len: u64) -> Result<()> {
    for (own, kernel) in [("10.0.0.2:0", "10.0.0.1:0"), ("[fd00::2]:0", "[fd00::1]:0")] {
        kernel_receives(net, stack, kernel, len)?;

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

fn bytes_arrive_in_order_both_ways(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net, "red", "")?;
    bulk_both_ways(net, &stack, BULK)
}

fn the_plain_tap_serves_after_offload_was_used(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net, "red", "")?;
    bulk_both_ways(net, &stack, 1 << 20)?;
    stack.shutdown(Duration::from_secs(5))?;
    drop(stack);
    let stack = net.enter(|| Stack::new("tap://red?offload=off", CONFIG))?;
    net.wait_for_carrier("red")?;
    bulk_both_ways(net, &stack, 4 << 20)
}

fn a_close_right_after_a_large_send_loses_nothing(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net, "red", "")?;
    let listener = net.enter(|| std::net::TcpListener::bind("10.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let receiver = thread::spawn(move || -> Result<Vec<u64>> {
        (0..20).map(|_| pattern::check(&mut listener.accept()?.0)).collect()
    });
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&stack, address)?;
        pattern::send(&mut stream, 700_000)?;
        drop(stream);
    }
    let lengths = receiver.join().expect("no panic")?;
    ensure!(lengths.iter().all(|len| *len == 700_000), "{lengths:?}");
    Ok(())
}

fn udp_both_ways(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net, "red", "")?;
    for (own, kernel) in [("10.0.0.2:0", "10.0.0.1:0"), ("[fd00::2]:0", "[fd00::1]:0")] {
        let ours = UdpSocket::bind(&stack, own)?;
        let theirs = net.enter(|| std::net::UdpSocket::bind(kernel))?;
        ours.set_read_timeout(Some(Duration::from_secs(10)))?;
        theirs.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut buffer = vec![0; 70_000];
        // The first resolves the neighbours; the last three come in fragments.
        for len in [0, 1, 64, 1400, 1473, 20_000, 65_507] {
            let sent = pattern::stream(len);
            ours.send_to(&sent, theirs.local_addr()?)?;
            let (received, from) = theirs.recv_from(&mut buffer)?;
            ensure!(buffer[..received] == sent && from == ours.local_addr()?, "{received} bytes from {from}");
            theirs.send_to(&sent, from)?;
            let (received, from) = ours.recv_from(&mut buffer)?;
            ensure!(
                buffer[..received] == sent && from == theirs.local_addr()?,
                "{received} bytes from {from}"
            );
        }
        ours.connect(theirs.local_addr()?)?;
        drop(theirs);
        ours.send(b"nobody is there")?;
        let error = ours.recv(&mut buffer).err().and_then(|error| error.raw_os_error());
        ensure!(error == Some(libc::ECONNREFUSED), "a closed port gave {error:?}");
    }
    Ok(())
}

fn long_datagrams_pass_a_path_with_a_smaller_mtu(near: &Net) -> Result<()> {
    let far = Net::new("far")?;
    near.tap("red", &KERNEL)?;
    let (west, east) = (&["10.1.0.1/24", "fd01::1/64"], &["10.1.0.2/24", "fd01::2/64"]);
    Net::veth(near, ("west", west), &far, ("east", east))?;
    near.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
    near.run("ip link set west mtu 1300")?;
    far.run(
        "ip link set east mtu 1300; ip route add default via 10.1.0.1; ip -6 route add default via fd01::1",
    )?;
    let config = "ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1,gw=fd00::1";
    let stack = Stack::new("tap://red", config)?;
    near.wait_for_carrier("red")?;
    for (own, kernel) in [("10.0.0.2:0", "10.1.0.2:0"), ("[fd00::2]:0", "[fd01::2]:0")] {
        let ours = UdpSocket::bind(&stack, own)?;
        let theirs = far.enter(|| std::net::UdpSocket::bind(kernel))?;
        ours.set_read_timeout(Some(Duration::from_secs(10)))?;
        theirs.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut buffer = vec![0; 70_000];
        for len in [1400, 20_000] {
            let sent = pattern::stream(len);
            // The first is too long for the router, which says so; what follows is cut to fit.
            let mut arrived = None;
            for _ in 0..10 {
                ours.send_to(&sent, theirs.local_addr()?)?;
                arrived = theirs.recv_from(&mut buffer).ok();
                if arrived.is_some() {
                    break;
                }
            }
            let (received, from) =
                arrived.with_context(|| format!("{len} bytes to {kernel} never arrived"))?;
            ensure!(buffer[..received] == sent && from == ours.local_addr()?, "{received} bytes from {from}");
            theirs.send_to(&sent, from)?;
            let (received, _) = ours.recv_from(&mut buffer)?;
            ensure!(buffer[..received] == sent, "{received} bytes came back");
        }
    }
    Ok(())
}

fn a_new_stack_takes_the_place_of_an_old_one(_: &Net) -> Result<()> {
    let client = Stack::new("switch://lab", "ip=10.0.0.1/24,ip=fd00::1/64")?;
    // Each has a MAC of its own; the client still knows that of the one before.
    for round in 0..3 {
        let stack = Stack::new("switch://lab", CONFIG)?;
        for address in ["10.0.0.2:80", "[fd00::2]:80"] {
            let listener = TcpListener::bind(&stack, address)?;
            let stream = TcpStream::connect_timeout(&client, &address.parse()?, Duration::from_secs(2));
            stream.with_context(|| format!("connect to {address} in round {round}"))?;
            listener.accept()?;
        }
        stack.shutdown(Duration::from_secs(5)).ok();
    }
    Ok(())
}

fn a_stack_ends_while_another_is_under_load(_: &Net) -> Result<()> {
    let (busy, ending) = (Net::new("busy")?, Net::new("ending")?);
    let stack = stack_on_tap(&busy, "tap0", "")?;
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let result = bulk_both_ways(&busy, &stack, BULK);
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            result
        });
        let mut rounds = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) || rounds == 0 {
            let other = stack_on_tap(&ending, &format!("tap{rounds}"), "")?;
            let listener = ending.enter(|| std::net::TcpListener::bind("10.0.0.1:0"))?;
            let mut stream = TcpStream::connect(&other, listener.local_addr()?)?;
            stream.write_all(&[7; 100_000])?;
            if rounds % 2 == 0 {
                drop(stream);
            } else {
                // The stack is ended under the socket, which is told.
                other.shutdown(Duration::from_millis(50)).ok();
                ensure!(stream.write_all(&[7; 1 << 20]).is_err(), "a stack that has ended took data");
            }
            drop(other);
            ending.run(&format!("ip link del tap{rounds}"))?;
            rounds += 1;
        }
        load.join().expect("no panic")
    })
}

fn shutdown_sends_what_is_queued(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net, "red", "")?;
    let listener = net.enter(|| std::net::TcpListener::bind("10.0.0.1:0"))?;
    let mut stream = TcpStream::connect(&stack, listener.local_addr()?)?;
    let (mut accepted, _) = listener.accept()?;
    // As much as fits while the kernel's program does not read.
    stream.set_nonblocking(true)?;
    let mut queued = 0;
    loop {
        let bytes: Vec<u8> = (queued..queued + 10_000).map(pattern::byte).collect();
        match stream.write(&bytes) {
            Ok(written) => queued += written as u64,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => bail!(error),
        }
    }
    let receiver = thread::spawn(move || pattern::check(&mut accepted));
    stack.shutdown(Duration::from_secs(20))?;
    let received = receiver.join().expect("no panic")?;
    ensure!(received == queued, "{received} of {queued} arrived");
    let more = stream.write(b"more");
    ensure!(more.as_ref().is_err_and(|error| error.raw_os_error().is_some()), "after the end: {more:?}");
    Ok(())
}

fn a_dead_neighbour_is_unreachable_and_delays_nobody(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net, "red", "")?;
    let listener = net.enter(|| std::net::TcpListener::bind("[::]:0"))?;
    let port = listener.local_addr()?.port();
    thread::scope(|scope| {
        let dead: Vec<_> = ["10.0.0.99:9", "[fd00::99]:9"]
            .map(|address| {
                let stack = &stack;
                scope.spawn(move || (Instant::now(), TcpStream::connect(stack, address), Instant::now()))
            })
            .into();
        for _ in 0..20 {
            TcpStream::connect(&stack, format!("10.0.0.1:{port}"))?;
            TcpStream::connect(&stack, format!("[fd00::1]:{port}"))?;
        }
        for attempt in dead {
            let (started, result, ended) = attempt.join().expect("no panic");
            let error = result.err().and_then(|error| error.raw_os_error());
            ensure!(error == Some(libc::EHOSTUNREACH), "a dead neighbour gave {error:?}");
            let took = ended - started;
            ensure!(took > Duration::from_secs(2) && took < Duration::from_secs(20), "it took {took:?}");
        }
        Ok(())
    })
}

fn a_peer_that_vanishes_is_noticed(net: &Net) -> Result<()> {
    let stack = stack_on_tap(net, "red", "")?;
    let listener = net.enter(|| std::net::TcpListener::bind("10.0.0.1:0"))?;
    let mut stream = TcpStream::connect(&stack, listener.local_addr()?)?;
    let (_accepted, _) = listener.accept()?;
    for (level, name, value) in [
        (ioth::SOL_SOCKET, ioth::SO_KEEPALIVE, 1),
        (ioth::IPPROTO_TCP, ioth::TCP_KEEPIDLE, 1),
        (ioth::IPPROTO_TCP, ioth::TCP_KEEPINTVL, 1),
        (ioth::IPPROTO_TCP, ioth::TCP_KEEPCNT, 2),
    ] {
        ioth::setsockopt_int(&stream, level, name, value)?;
    }
    // While the kernel answers, nothing happens.
    stream.set_read_timeout(Some(Duration::from_secs(4)))?;
    let error = stream.read(&mut [0; 10]).err().map(|error| error.kind());
    ensure!(error == Some(std::io::ErrorKind::WouldBlock), "{error:?}");
    net.run("ip link set red down")?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let error = stream.read(&mut [0; 10]).err().and_then(|error| error.raw_os_error());
    ensure!(error == Some(libc::ETIMEDOUT), "{error:?}");
    Ok(())
}

fn routes_lead_through_a_kernel_router(near: &Net) -> Result<()> {
    let far = Net::new("far")?;
    near.tap("red", &KERNEL)?;
    Net::veth(
        near,
        ("west", &["10.1.0.1/24", "10.2.0.1/24", "fd01::1/64"]),
        &far,
        ("east", &["10.1.0.2/24", "10.2.0.2/24", "fd01::2/64"]),
    )?;
    near.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
    far.run("ip route add default via 10.1.0.1 && ip -6 route add default via fd01::1")?;
    let config = "ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.77,gw=fd00::1,route=10.1.0.0/16@10.0.0.1";
    let stack = Stack::new("tap://red", config)?;
    near.wait_for_carrier("red")?;
    // The default route leads nowhere; the longer prefix counts.
    for address in ["10.1.0.2:0", "[fd01::2]:0"] {
        kernel_receives(&far, &stack, address, 1 << 20)?;
    }
    let error = TcpStream::connect(&stack, "10.2.0.2:9").err().and_then(|error| error.raw_os_error());
    ensure!(error == Some(libc::EHOSTUNREACH), "through the dead gateway: {error:?}");
    Ok(())
}

fn a_path_with_a_smaller_mtu_carries_everything(near: &Net) -> Result<()> {
    let far = Net::new("far")?;
    near.tap("red", &KERNEL)?;
    let (west, east) = (&["10.1.0.1/24", "fd01::1/64"], &["10.1.0.2/24", "fd01::2/64"]);
    Net::veth(near, ("west", west), &far, ("east", east))?;
    near.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
    near.run("ip link set west mtu 1300")?;
    far.run(
        "ip link set east mtu 1300; ip route add default via 10.1.0.1; ip -6 route add default via fd01::1",
    )?;
    for options in ["", "?offload=off"] {
        let stack = Stack::new(
            &format!("tap://red{options}"),
            "ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1,gw=fd00::1",
        )?;
        near.wait_for_carrier("red")?;
        for address in ["10.1.0.2:0", "[fd01::2]:0"] {
            kernel_receives(&far, &stack, address, 1 << 20)?;
        }
        stack.shutdown(Duration::from_secs(5))?;
    }
    Ok(())
}
