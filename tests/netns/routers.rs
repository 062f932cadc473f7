//! Stacks that are routers, between hosts that are the kernel's.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use ioth::Stack;
use ioth_tests::netns::{Net, Test, need};
use ioth_tests::pattern;

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        kernels_ping_each_other_through_a_stack,
        bytes_pass_a_router_in_super_frames,
        links_without_offload_get_what_they_take,
        a_narrow_link_behind_the_router_is_found_out,
        the_traceroute_of_the_kernel_shows_a_stack,
        the_traceroute_of_the_kernel_shows_three_threads,
        the_kernel_is_told_of_a_shorter_way,
        a_router_may_become_a_host,
    ]
}

/// Host a is the kernel of `near`, host b that of `far`.
const NEAR: [&str; 2] = ["10.0.0.1/24", "fd00::1/64"];
const FAR: [&str; 2] = ["10.9.0.1/24", "fd09::1/64"];
const FAR_ADDRESSES: [&str; 2] = ["10.9.0.1", "fd09::1"];

/// Two kernels, each with a default route over the TAP of its network, and what `routers` make of the two TAPs between
/// them: the near one is `left`, the far one `right`.
fn between(near: &Net, routers: impl FnOnce() -> Result<Vec<Stack>>) -> Result<(Net, Vec<Stack>)> {
    let far = Net::new("far")?;
    near.tap("left", &NEAR)?;
    near.tap("right", &[])?;
    let stacks = routers()?;
    // A TAP may change its network while it is open.
    near.give("right", &far, &FAR)?;
    near.wait_for_carrier("left")?;
    far.wait_for_carrier("right")?;
    near.run("ip route add default via 10.0.0.2 && ip -6 route add default via fd00::2")?;
    far.run("ip route add default via 10.9.0.2 && ip -6 route add default via fd09::2")?;
    Ok((far, stacks))
}

/// One router, with options of its locators and more of a configuration.
fn router(near: &Net, left: &str, right: &str, config: &str) -> Result<(Net, Stack)> {
    let (far, mut stacks) = between(near, || {
        let stack = Stack::builder()
            .interface("left", &format!("tap://left{left}"))
            .interface("right", &format!("tap://right{right}"))
            .config("forward=on,ip=10.0.0.2/24,ip=fd00::2/64,iface=right,ip=10.9.0.2/24,ip=fd09::2/64")
            .config(config)
            .build()?;
        Ok(vec![stack])
    })?;
    Ok((far, stacks.remove(0)))
}

/// Sends a pattern each way between the two kernels, over both families.
fn bulk(near: &Net, far: &Net, len: u64) -> Result<()> {
    for (one, other) in [("10.0.0.1", "10.9.0.1"), ("fd00::1", "fd09::1")] {
        for ((to, address), from) in [((far, other), near), ((near, one), far)] {
            let address: IpAddr = address.parse()?;
            let listener = to.enter(|| std::net::TcpListener::bind(SocketAddr::new(address, 0)))?;
            let to = listener.local_addr()?;
            let sender = from.kernel_thread(move || {
                let mut stream = std::net::TcpStream::connect(to)?;
                pattern::send(&mut stream, len)
            });
            let received = pattern::check(&mut listener.accept()?.0)?;
            sender.join().expect("no panic")?;
            ensure!(received == len, "{received} of {len} arrived at {to}");
        }
    }
    Ok(())
}

fn kernels_ping_each_other_through_a_stack(near: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    let (_far, stack) = router(near, "", "", "")?;
    for address in FAR_ADDRESSES {
        // The last two come in fragments, which the router does not put together.
        for size in [56, 1400, 4000, 65_507] {
            near.run(&format!("ping -c 3 -i 0.05 -W 5 -s {size} {address}"))?;
        }
    }
    let counters = stack.snapshot()?.counters;
    ensure!(counters.reassembly_requests == 0 && counters.forwarded > 500, "{counters:?}");
    Ok(())
}

const BULK: u64 = 16 << 20;
/// Segments of [`bulk`], with an MTU of 1500.
const SEGMENTS: u64 = 4 * BULK / 1460;

fn bytes_pass_a_router_in_super_frames(near: &Net) -> Result<()> {
    let (far, stack) = router(near, "", "", "")?;
    bulk(near, &far, BULK)?;
    let counters = stack.snapshot()?.counters;
    ensure!(counters.forwarded < SEGMENTS / 4, "{} frames for {SEGMENTS} segments", counters.forwarded);
    Ok(())
}

fn links_without_offload_get_what_they_take(near: &Net) -> Result<()> {
    let (far, stack) = router(near, "", "?offload=off", "")?;
    bulk(near, &far, BULK / 2)?;
    let counters = stack.snapshot()?.counters;
    ensure!(counters.frames_out > SEGMENTS / 4, "{} frames for {SEGMENTS} segments", counters.frames_out);
    Ok(())
}

fn a_narrow_link_behind_the_router_is_found_out(near: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    let (far, _stack) = router(near, "", "", "iface=right,mtu=1300")?;
    // Without having asked before: what the kernel knows of the path it says itself, and sends nothing.
    for (address, answer) in
        FAR_ADDRESSES.iter().zip(["Frag needed and DF set (mtu = 1300)", "Packet too big: mtu=1300"])
    {
        let output = near.output(&format!("ping -c 1 -W 5 -M do -s 1400 {address}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(!output.status.success() && said.contains(answer), "{said}");
    }
    near.run("ip route flush cache && ip -6 route flush cache")?;
    // What may be cut, is.
    near.run("ping -c 1 -W 5 -M dont -s 1400 10.9.0.1")?;
    bulk(near, &far, 4 << 20)
}

/// The addresses in the lines of a traceroute, in order.
fn traceroute(net: &Net, address: &str) -> Result<Vec<String>> {
    need("traceroute", "traceroute")?;
    let said = net.run(&format!("traceroute -n -q 1 -w 5 {address}"))?;
    let hops = said.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
    Ok(hops.map(str::to_owned).collect())
}

fn the_traceroute_of_the_kernel_shows_a_stack(near: &Net) -> Result<()> {
    let (_far, _stack) = router(near, "", "", "")?;
    for (address, router) in FAR_ADDRESSES.iter().zip(["10.0.0.2", "fd00::2"]) {
        let hops = traceroute(near, address)?;
        ensure!(hops == [router, address], "{hops:?}");
    }
    Ok(())
}

fn the_traceroute_of_the_kernel_shows_three_threads(near: &Net) -> Result<()> {
    let (far, _stacks) = between(near, || {
        // Each link n joins the routers n and n + 1.
        let links = ["tap://left", "switch://one", "switch://two", "tap://right"];
        let networks = [0, 1, 2, 9];
        let make = |n: usize| -> Result<Stack> {
            let (behind, ahead) = (networks[n], networks[n + 1]);
            let last = if n == 2 { 2 } else { 1 };
            let mut config = format!(
                "forward=on,iface=a,ip=10.{behind}.0.2/24,ip=fd0{behind}::2/64,\
                 iface=b,ip=10.{ahead}.0.{last}/24,ip=fd0{ahead}::{last}/64"
            );
            if n > 0 {
                config += &format!(",route=10.0.0.0/24@10.{behind}.0.1,route=fd00::/64@fd0{behind}::1");
            }
            if n < 2 {
                config += &format!(",gw=10.{ahead}.0.2,gw=fd0{ahead}::2");
            }
            Ok(Stack::builder()
                .interface("a", links[n])
                .interface("b", links[n + 1])
                .config(&config)
                .build()?)
        };
        std::thread::scope(|scope| {
            // A stack looks for its TAPs in the network of the thread that makes it.
            let threads = [0, 1, 2].map(|n| scope.spawn(move || near.enter(|| make(n))));
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        })
    })?;
    for (address, net) in FAR_ADDRESSES.iter().zip(["10.{}.0.2", "fd0{}::2"]) {
        let mut expected: Vec<String> = ["0", "1", "2"].map(|n| net.replace("{}", n)).into();
        expected.push((*address).to_owned());
        let hops = traceroute(near, address)?;
        ensure!(hops == expected, "{hops:?}");
    }
    bulk(near, &far, 4 << 20)
}

fn a_router_may_become_a_host(near: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    let (_far, stack) = router(near, "", "", "")?;
    let reach = || near.output("ping -c 1 -W 2 10.9.0.1 && ping -c 1 -W 2 fd09::1");
    ensure!(reach()?.status.success());
    stack.configure("forward=off")?;
    ensure!(!reach()?.status.success(), "it still forwards");
    // It is there, though.
    near.run("ping -c 1 -W 5 10.9.0.2")?;
    stack.configure("forward=on")?;
    ensure!(reach()?.status.success());
    Ok(())
}

/// Two stacks and the kernel on one bridge: the kernel knows the first, and what it wants is behind the second.
fn the_kernel_is_told_of_a_shorter_way(net: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    net.tap("one", &[])?;
    net.tap("two", &[])?;
    net.run("ip link add br0 type bridge && ip link set one master br0 && ip link set two master br0")?;
    net.run(
        "ip link set br0 up && ip address add 10.0.0.1/24 dev br0 && ip address add fd00::1/64 dev br0 nodad",
    )?;
    // Whatever the machine's own network is set to, which new ones take over.
    net.run(
        "sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=1 net.ipv4.conf.br0.accept_redirects=1 \
         net.ipv6.conf.br0.forwarding=0 net.ipv6.conf.br0.accept_redirects=1",
    )?;
    // fe80::ff:fe00:n are the addresses that these MACs make.
    let _one = Stack::new(
        "tap://one",
        "forward=on,mac=02:00:00:00:00:02,ip=10.0.0.2/24,ip=fd00::2/64,\
         route=10.9.0.0/24@10.0.0.3,route=fd09::/64@fe80::ff:fe00:3",
    )?;
    let _two = Stack::new(
        "tap://two",
        "forward=on,mac=02:00:00:00:00:03,ip=10.0.0.3/24,ip=fd00::3/64,ip=10.9.0.1/24,ip=fd09::1/64",
    )?;
    for tap in ["one", "two", "br0"] {
        net.wait_for_carrier(tap)?;
    }
    net.run("ip route add default via 10.0.0.2 && ip -6 route add default via fe80::ff:fe00:2 dev br0")?;
    for (address, near) in FAR_ADDRESSES.iter().zip(["10.0.0.3", "fe80::ff:fe00:3%br0"]) {
        // Linux takes a redirect only to somebody whose link-layer address it knows.
        net.run(&format!("ping -c 1 -W 5 {near} && ping -c 3 -i 0.1 -W 5 {address}"))?;
        let way = net.run(&format!("ip route get {address}"))?;
        let shorter = format!("via {}", near.trim_end_matches("%br0"));
        ensure!(way.contains(&shorter), "{way}");
    }
    Ok(())
}
