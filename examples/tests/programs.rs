//! Every program on a TAP, with programs of the kernel as peers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ioth_tests::netns::{Net, need};

fn main() -> ExitCode {
    ioth_tests::netns::run(ioth_tests::tests![
        two_stacks_inside_the_process,
        nodes_that_are_threads,
        traceroute_through_three_threads,
        status_of_two_stacks,
        echo_server,
        fork_server_with_processes,
        fork_server_with_threads,
        prefork_on_both,
        inet_d_on_both,
        http_client_of_a_web_server,
        http_server_for_curl,
        udp_chat_of_two_peers,
        nonblock_with_a_keyboard,
        peers_find_each_other,
        dns_query_of_dnsmasq,
        ping_both_families,
        raw_ip_there_and_here,
        sniff_sees_a_ping,
        ip_configures_a_stack,
        epoll_server_on_two_stacks,
        tokio_echo,
        urgent_data_on_any_stack,
        messages_in_parts_on_any_stack,
        perf_verifies_what_arrives,
        perf_over_a_bad_path_between_namespaces,
        perf_hangs_up_when_the_time_is_over,
        a_namespace_of_the_kernel_is_a_stack_too,
    ])
}

/// The stack of a program on the TAP `red`.
const RED: &str = "tap://red,ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1";

/// The path of a program of this package.
macro_rules! program {
    ($name:literal) => {
        env!(concat!("CARGO_BIN_EXE_", $name))
    };
}

/// A network with a TAP `red` whose other side is the kernel.
fn with_red(net: &Net) -> Result<()> {
    net.tap("red", &["10.0.0.1/24", "fd00::1/64"])
}

/// Sends `text`, closes that direction, and reads what comes back.
fn converse(address: &str, text: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(text)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn two_stacks_inside_the_process(net: &Net) -> Result<()> {
    let out = net.run(&format!("{} --in-process", program!("two_stacks")))?;
    ensure!(
        out.matches("you are 10.0.0").count() == 4 && out.matches("you are fd00::").count() == 4,
        "{out}"
    );
    Ok(())
}

fn nodes_that_are_threads(net: &Net) -> Result<()> {
    let out = net.run(&format!("{} --nodes 6", program!("thread_nodes")))?;
    ensure!(out.contains("72 of 72 reached"), "{out}");
    Ok(())
}

fn traceroute_through_three_threads(net: &Net) -> Result<()> {
    let out = net.run(program!("traceroute"))?;
    let hops: Vec<&str> = out.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let v4 = ["to", "10.0.0.254", "10.0.1.254", "10.0.2.254", "10.0.3.2"];
    let v6 = ["to", "fd00::254", "fd00:0:0:1::254", "fd00:0:0:2::254", "fd00:0:0:3::2"];
    ensure!(hops == [v4, v6].concat(), "{out}");
    // The same program on the kernel, through the kernel.
    with_red(net)?;
    let out = net.run(&format!("{} 127.0.0.1", program!("traceroute")))?;
    ensure!(out.contains(" 1  127.0.0.1  "), "{out}");
    let out = net.run(&format!("{} --stack {RED} 10.0.0.1", program!("traceroute")))?;
    ensure!(out.contains(" 1  10.0.0.1  "), "{out}");
    Ok(())
}

fn status_of_two_stacks(net: &Net) -> Result<()> {
    let out = net.run(program!("status"))?;
    for said in ["--- red ---", "--- blue ---", "inet 10.0.0.2/24 brd 10.0.0.255", "LISTEN"] {
        ensure!(out.contains(said), "no {said} in\n{out}");
    }
    ensure!(out.matches(" ESTAB ").count() == 2, "{out}");
    Ok(())
}

fn echo_server(net: &Net) -> Result<()> {
    with_red(net)?;
    for address in ["10.0.0.2:7", "[fd00::2]:7"] {
        let server =
            net.start(&format!("{} --stack {RED} --listen '{address}' --once", program!("echo_server")))?;
        server.wait_for_line("listening on")?;
        ensure!(converse(address, b"over and out\n")? == "over and out\n");
        let out = server.wait()?;
        ensure!(out.contains("13 bytes"), "{out}");
    }
    Ok(())
}

fn fork_server(net: &Net, threads: &str) -> Result<()> {
    with_red(net)?;
    let server = net.start(&format!(
        "{} --stack {RED} --listen 10.0.0.2:7777 --count 4 {threads}",
        program!("fork_server")
    ))?;
    server.wait_for_line("listening on")?;
    let mut answers = Vec::new();
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..4).map(|_| scope.spawn(|| converse("10.0.0.2:7777", b"one\ntwo\n"))).collect();
        for client in clients {
            answers.push(client.join().expect("no panic")?);
        }
        anyhow::Ok(())
    })?;
    ensure!(answers.iter().all(|answer| answer.contains("one") && answer.contains("two")), "{answers:?}");
    server.wait()?;
    answers.sort();
    answers.dedup();
    ensure!(answers.len() == 4, "the same process or thread answered twice: {answers:?}");
    Ok(())
}

fn fork_server_with_processes(net: &Net) -> Result<()> {
    fork_server(net, "")
}

fn fork_server_with_threads(net: &Net) -> Result<()> {
    fork_server(net, "--threads")
}

fn prefork_on_both(net: &Net) -> Result<()> {
    with_red(net)?;
    for (stack, address) in [(RED, "10.0.0.2:7777"), ("kernel", "10.0.0.1:7777"), (RED, "[fd00::2]:7777")] {
        let server =
            net.start(&format!("{} --stack {stack} --listen '{address}' --each 5", program!("prefork")))?;
        server.wait_for_line("listening on")?;
        let mut answers = Vec::new();
        for number in 0..20 {
            let text = format!("number {number}");
            let answer = converse(address, text.as_bytes())?;
            ensure!(answer.ends_with(&text), "{answer}");
            answers.push(answer.split(':').next().map(str::to_owned));
        }
        server.wait()?;
        answers.sort();
        ensure!(answers.chunk_by(|a, b| a == b).all(|worker| worker.len() == 5), "{answers:?}");
    }
    Ok(())
}

fn inet_d_on_both(net: &Net) -> Result<()> {
    with_red(net)?;
    for (stack, address) in [(RED, "10.0.0.2:7777"), ("kernel", "10.0.0.1:7777"), (RED, "[fd00::2]:7777")] {
        let inet_d = format!("{} --stack {stack} --listen '{address}'", program!("inet_d"));
        let server = net.start(&format!("{inet_d} --count 3"))?;
        server.wait_for_line("listening on")?;
        for length in [1, 5000, 1_000_000] {
            let text = "x".repeat(length);
            thread::scope(|scope| -> Result<()> {
                // What cat sends back does not wait until all of it is sent.
                let mut stream = TcpStream::connect(address)?;
                let mut writer = stream.try_clone()?;
                let sent = scope.spawn(move || {
                    writer.write_all("x".repeat(length).as_bytes())?;
                    writer.shutdown(Shutdown::Write)
                });
                let mut answer = String::new();
                stream.read_to_string(&mut answer)?;
                sent.join().expect("no panic")?;
                ensure!(answer == text, "{} of {length} came back", answer.len());
                Ok(())
            })?;
        }
        server.wait()?;
        let server = net.start(&format!("{inet_d} --count 1 -- tr a-z A-Z"))?;
        server.wait_for_line("listening on")?;
        ensure!(converse(address, b"said")? == "SAID");
        server.wait()?;
    }
    Ok(())
}

fn http_client_of_a_web_server(net: &Net) -> Result<()> {
    need("python3", "python3")?;
    with_red(net)?;
    let server = net.start(
        "cd $(mktemp -d) && seq 100000 > numbers && exec python3 -u -m http.server --bind :: 8000 2>&1",
    )?;
    server.wait_for_line("Serving HTTP")?;
    for host in ["10.0.0.1", "[fd00::1]"] {
        let out =
            net.run(&format!("{} --stack {RED} 'http://{host}:8000/numbers'", program!("http_client")))?;
        ensure!(out.lines().count() == 100_000 && out.ends_with("100000\n"), "{} lines", out.lines().count());
    }
    Ok(())
}

fn http_server_for_curl(net: &Net) -> Result<()> {
    need("curl", "curl")?;
    with_red(net)?;
    let server = net.start(&format!(
        "d=$(mktemp -d) && seq 200000 > $d/numbers && exec {} --stack {RED} --listen '[::]:80' --root $d --count 4",
        program!("http_server")
    ))?;
    server.wait_for_line("listening on")?;
    for host in ["10.0.0.2", "[fd00::2]"] {
        let out = net.run(&format!("curl -sS --max-time 20 http://{host}/numbers"))?;
        ensure!(out.lines().count() == 200_000, "{} lines", out.lines().count());
    }
    let out = net.run("curl -sS --max-time 20 --data 'said and done' http://10.0.0.2/echo")?;
    ensure!(out == "said and done", "{out}");
    let out = net.run(
        "curl -sS --max-time 20 --path-as-is -o /dev/null -w '%{http_code}' http://10.0.0.2/../../etc/passwd",
    )?;
    ensure!(["403", "404", "400"].contains(&out.as_str()), "{out}");
    server.wait()?;
    Ok(())
}

fn peers_find_each_other(net: &Net) -> Result<()> {
    with_red(net)?;
    for group in ["239.9.9.9:4100", "[ff15::9]:4100"] {
        // That of IPv4 leaves the kernel by a route.
        net.run("ip route replace 224.0.0.0/4 dev red")?;
        let start = |stack: &str, name: &str| {
            let arguments = ["--stack", stack, "--group", group, "--name", name, "--count", "1"];
            net.enter(|| Command::new(program!("peers")).args(arguments).stdout(Stdio::piped()).spawn())
        };
        let (ours, theirs) = (start(RED, "red")?, start("kernel", "blue")?);
        for (child, heard) in [(ours, "blue"), (theirs, "red")] {
            let output = child.wait_with_output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success() && text.contains(heard), "{group}: {text}");
        }
    }
    Ok(())
}

fn udp_chat_of_two_peers(net: &Net) -> Result<()> {
    with_red(net)?;
    let chat = |arguments: &str| {
        let arguments = arguments.split(' ');
        net.enter(|| {
            Command::new(program!("udp_chat"))
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        })
    };
    let mut ours = chat(&format!("--stack {RED} --listen 10.0.0.2:4000 --peer 10.0.0.1:4000"))?;
    let mut theirs = chat("--stack kernel --listen 10.0.0.1:4000 --peer 10.0.0.2:4000")?;
    let mut lines =
        [&mut ours, &mut theirs].map(|child| BufReader::new(child.stdout.take().expect("piped")).lines());
    for lines in &mut lines {
        ensure!(lines.next().context("a first line")??.starts_with("listening on"));
    }
    writeln!(ours.stdin.as_ref().expect("piped"), "hello, kernel")?;
    let heard = lines[1].next().context("the kernel's side heard something")??;
    ensure!(heard.contains("10.0.0.2") && heard.contains("hello, kernel"), "{heard}");
    writeln!(theirs.stdin.as_ref().expect("piped"), "hello, stack")?;
    let heard = lines[0].next().context("our side heard something")??;
    ensure!(heard.contains("10.0.0.1") && heard.contains("hello, stack"), "{heard}");
    for mut child in [ours, theirs] {
        drop(child.stdin.take());
        ensure!(child.wait()?.success());
    }
    Ok(())
}

fn nonblock_with_a_keyboard(net: &Net) -> Result<()> {
    with_red(net)?;
    let listeners = net.enter(|| -> Result<_> {
        Ok([TcpListener::bind("10.0.0.1:7")?, TcpListener::bind("[fd00::1]:7")?])
    })?;
    for (stack, listener) in
        [RED, "kernel"].into_iter().flat_map(|stack| listeners.iter().map(move |listener| (stack, listener)))
    {
        let mut child = net.enter(|| {
            Command::new(program!("nonblock"))
                .args(["--stack", stack, &listener.local_addr()?.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        })?;
        let mut typed = child.stdin.take().context("piped")?;
        let mut said = BufReader::new(child.stdout.take().context("piped")?).lines();
        ensure!(said.next().context("a first line")??.starts_with("connecting to"));
        let (mut server, _) = listener.accept()?;
        server.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut heard = BufReader::new(server.try_clone()?).lines();
        for turn in 0..3 {
            writeln!(typed, "typed {turn}")?;
            ensure!(heard.next().context("typed")?? == format!("typed {turn}"));
            writeln!(server, "said {turn}")?;
            ensure!(said.next().context("said")?? == format!("said {turn}"));
        }
        // The end of the input is no end.
        drop(typed);
        writeln!(server, "last")?;
        ensure!(said.next().context("said")?? == "last");
        drop((server, heard));
        ensure!(child.wait()?.success());
    }
    Ok(())
}

fn dns_query_of_dnsmasq(net: &Net) -> Result<()> {
    need("dnsmasq", "dnsmasq-base")?;
    with_red(net)?;
    let long = "x".repeat(200);
    // The shell stays in front: dnsmasq sheds the signal that ends it with its parent. Not being a daemon, it
    // stays the user it is.
    let server = net.start(&format!(
        "dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts \
         --listen-address=10.0.0.1,fd00::1 --bind-interfaces \
         --host-record=lecture.test,192.0.2.7,2001:db8::7 $(seq -f '--txt-record=long.test,%g{long}' 20) 2>&1; exit"
    ))?;
    server.wait_for_line("started")?;
    let query = |arguments: &str| net.run(&format!("{} --stack {RED} {arguments}", program!("dns_query")));
    let out = query("--server 10.0.0.1 lecture.test")?;
    ensure!(out.contains("192.0.2.7"), "{out}");
    let out = query("--server fd00::1 lecture.test AAAA")?;
    ensure!(out.contains("2001:db8::7"), "{out}");
    let out = query("--server 10.0.0.1 --tcp lecture.test AAAA")?;
    ensure!(out.contains("2001:db8::7"), "{out}");
    // Too long for a datagram: asked again over TCP.
    let out = query("--server 10.0.0.1 long.test TXT")?;
    ensure!(out.matches("xxxx").count() >= 20, "{out}");
    ensure!(query("--server 10.0.0.1 nobody.test").is_err());
    Ok(())
}

fn ip_configures_a_stack(net: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    with_red(net)?;
    let commands = [
        "addr add 10.0.0.2/24 dev eth0",
        "addr add fd00::2/64 dev eth0",
        "addr add 10.5.0.1/24 dev eth0",
        "addr del 10.5.0.1/24 dev eth0",
        "route add default via 10.0.0.1",
        "route add 10.9.0.0/16 via 10.0.0.7 dev eth0",
        "route del 10.9.0.0/16",
        "neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0",
        "link set eth0 mtu 1400",
        "link show",
        "addr show",
        "route show",
        "neigh show",
    ];
    let commands: Vec<_> = commands.iter().map(|command| format!("'{command}'")).collect();
    let program = net.start(&format!("{} eth0:tap://red --wait {}", program!("ip"), commands.join(" ")))?;
    program.wait_for_line("2: UP eth0 mtu 1400")?;
    program.wait_for_line("2: 10.0.0.2/24")?;
    program.wait_for_line("Unicast /0 via Inet(10.0.0.1) dev 2")?;
    program.wait_for_line("2: Permanent Inet(10.0.0.9)")?;
    program.wait_for_line("ready")?;
    net.wait_for_carrier("red")?;
    net.run("ping -c 1 -W 5 10.0.0.2")?;
    net.run("ping -c 1 -W 5 fd00::2")?;
    Ok(())
}

fn ping_both_families(net: &Net) -> Result<()> {
    with_red(net)?;
    for address in ["10.0.0.1", "fd00::1", "10.0.0.2", "::1"] {
        let out = net.run(&format!("{} --stack {RED} -c 3 -i 0.5 {address}", program!("ping")))?;
        ensure!(out.contains("3 sent, 3 answered"), "{out}");
    }
    ensure!(net.run(&format!("{} --stack {RED} -c 1 10.0.0.9", program!("ping"))).is_err());
    Ok(())
}

fn raw_ip_there_and_here(net: &Net) -> Result<()> {
    with_red(net)?;
    for (stack, own) in [(RED, "10.0.0.2"), ("kernel", "10.0.0.1")] {
        let out = net.run(&format!("{} --stack {stack} {own} hello", program!("raw_ip")))?;
        ensure!(out.contains(&format!("heard 25 bytes from {own}, protocol 253, ttl 9: hello")), "{out}");
    }
    let out = net.run(&format!("{} --stack {RED} 10.0.0.1 hello", program!("raw_ip")))?;
    ensure!(out == "sent 25 bytes to 10.0.0.1\n", "{out}");
    Ok(())
}

fn sniff_sees_a_ping(net: &Net) -> Result<()> {
    with_red(net)?;
    for stack in [RED, "kernel"] {
        let arguments = ["--stack", stack, "--count", "2", "--ethertype", "0806"];
        let mut sniff =
            net.enter(|| Command::new(program!("sniff")).args(arguments).stdout(Stdio::piped()).spawn())?;
        let mut lines = BufReader::new(sniff.stdout.take().expect("piped")).lines();
        ensure!(lines.next().context("a line")??.contains("listening"));
        if stack == RED {
            net.run("ip neighbour flush dev red && ping -c 1 -W 3 10.0.0.2")?;
        } else {
            let _ = net.run(&format!("{} --stack {RED} -c 1 10.0.0.1", program!("ping")))?;
        }
        let seen: Vec<_> = lines.collect::<Result<_, _>>()?;
        ensure!(seen.len() == 2 && seen.iter().all(|line| line.contains("type 0806")), "{seen:?}");
        ensure!(sniff.wait()?.success());
    }
    Ok(())
}

fn epoll_server_on_two_stacks(_: &Net) -> Result<()> {
    let net = Net::new("both")?;
    net.tap("red", &["10.0.0.1/24"])?;
    net.tap("blue", &["10.9.0.1/24"])?;
    let mut server = net.enter(|| {
        Command::new(program!("epoll_server"))
            .args(["--stack", "tap://red,ip=10.0.0.2/24", "--stack", "tap://blue,ip=10.9.0.2/24"])
            .args(["--listen", "0.0.0.0:7"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    })?;
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        lines.next().context("a line for each stack")??;
    }
    thread::scope(|scope| {
        let clients: Vec<_> = (0..12)
            .map(|index| {
                let net = &net;
                scope.spawn(move || {
                    let address = if index % 2 == 0 { "10.0.0.2:7" } else { "10.9.0.2:7" };
                    let text = format!("client {index} ").repeat(5000);
                    let answer = net.enter(|| converse(address, text.as_bytes()))?;
                    ensure!(answer == text, "{} of {} bytes came back", answer.len(), text.len());
                    Ok(())
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().expect("no panic"))
    })?;
    writeln!(server.stdin.take().expect("piped"), "quit")?;
    ensure!(server.wait()?.success());
    Ok(())
}

fn tokio_echo(net: &Net) -> Result<()> {
    with_red(net)?;
    let server =
        net.start(&format!("{} --stack {RED} --listen '[::]:7' --count 8", program!("tokio_echo")))?;
    server.wait_for_line("listening on")?;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|index| {
                scope.spawn(move || {
                    let address = if index % 2 == 0 { "10.0.0.2:7" } else { "[fd00::2]:7" };
                    let text = format!("client {index} ").repeat(20_000);
                    ensure!(converse(address, text.as_bytes())? == text);
                    Ok(())
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().expect("no panic"))
    })?;
    server.wait()?;
    Ok(())
}

/// What a program prints, which is the same on the kernel's stack and on ours.
fn on_both(net: &Net, program: &str) -> Result<String> {
    with_red(net)?;
    net.run("ip link set lo up")?;
    let of_kernel = net.run(&format!("timeout 20 {program}"))?;
    let of_ours = net.run(&format!("timeout 20 {program} --stack {RED}"))?;
    ensure!(of_kernel == of_ours, "the kernel: {of_kernel}ours: {of_ours}");
    Ok(of_ours)
}

fn urgent_data_on_any_stack(net: &Net) -> Result<()> {
    let out = on_both(net, program!("oob"))?;
    ensure!(out == "SIGURG\nurgent: !\nin front of the mark: before\nbehind it: behind\n", "{out}");
    Ok(())
}

fn messages_in_parts_on_any_stack(net: &Net) -> Result<()> {
    let out = on_both(net, program!("scatter"))?;
    ensure!(out.contains("24 bytes sent\nhead: HEAD\nbody: a body, in two parts\n"), "{out}");
    ensure!(out.contains("time to live: 9") && out.contains("type of service: 0xb8"), "{out}");
    Ok(())
}

fn perf_verifies_what_arrives(net: &Net) -> Result<()> {
    with_red(net)?;
    let out = net.run(&format!("{} pair out --in-process --bytes 50M", program!("perf")))?;
    ensure!(out.contains("\"ok\":true"), "{out}");
    let server =
        net.start(&format!("{} --stack kernel echo --listen 10.0.0.1:5001 --once", program!("perf")))?;
    server.wait_for_line("listening on")?;
    let out = net.run(&format!("{} --stack {RED} rr --seconds 0.2 10.0.0.1:5001", program!("perf")))?;
    ensure!(out.contains("\"ok\":true"), "{out}");
    Ok(())
}

fn perf_over_a_bad_path_between_namespaces(net: &Net) -> Result<()> {
    let perf = program!("perf");
    let out = net.run(&format!(
        "exec unshare --mount sh -ec '
            mkdir -p /run/netns && mount -t tmpfs none /run/netns
            ip netns add other
            ip tuntap add near mode tap && ip address add 10.0.5.1/24 dev near && ip link set near up
            ip -n other tuntap add far mode tap
            ip -n other address add 10.0.5.2/24 dev far && ip -n other link set far up
            {perf} bridge tap://near netns:other,tap://far?impair=delay:20ms &
            bridge=$!
            until ping -c 1 -W 0.2 10.0.5.2; do :; done
            {perf} --stack netns:other drain --listen 10.0.5.2:5001 --flows 3 --seconds 0.3 &
            drain=$!
            until ip netns exec other ss -Hltn sport = :5001 | grep -q 5001; do :; done
            {perf} feed --connect 10.0.5.2:5001 --flows 3
            wait $drain
            kill $bridge'"
    ))?;
    ensure!(out.contains("\"seconds\":0.3,\"ok\":true"), "{out}");
    let times = out.lines().filter_map(|line| line.split_once("time=")?.1.split_once(' ')?.0.parse().ok());
    ensure!(times.min_by(f64::total_cmp).is_some_and(|millis| millis >= 40.0), "{out}");
    Ok(())
}

fn perf_hangs_up_when_the_time_is_over(net: &Net) -> Result<()> {
    with_red(net)?;
    let perf = program!("perf");
    for (kernel, ours) in [("drain --seconds 0.3", "feed"), ("feed", "drain --seconds 0.3")] {
        let server = net.start(&format!("{perf} {kernel} --listen 10.0.0.1:5001 --flows 3"))?;
        server.wait_for_line("listening on")?;
        let client = net.run(&format!(
            "{perf} --stack {RED} {ours} --connect 10.0.0.1:5001 --flows 3 --socket-buffer 1Mi"
        ))?;
        let out = client + &server.wait()?;
        ensure!(out.contains("\"seconds\":0.3,\"ok\":true") && !out.contains("\"bytes\":0,"), "{out}");
    }
    Ok(())
}

fn a_namespace_of_the_kernel_is_a_stack_too(net: &Net) -> Result<()> {
    // Named namespaces live in /run/netns, which a mount namespace of its own keeps apart.
    let perf = program!("perf");
    let out = net.run(&format!(
        "exec unshare --mount sh -ec '
            mkdir -p /run/netns && mount -t tmpfs none /run/netns
            ip netns add other && ip -n other link set lo up
            {perf} --stack netns:other echo --listen 127.0.0.1:5001 --once &
            until ip netns exec other ss -Hltn sport = :5001 | grep -q 5001; do :; done
            {perf} --stack netns:other rr --seconds 0.1 127.0.0.1:5001
            ! {perf} --stack kernel rr --seconds 0.1 127.0.0.1:5001 2>/dev/null
            wait'"
    ))?;
    ensure!(out.contains("\"ok\":true"), "{out}");
    Ok(())
}
