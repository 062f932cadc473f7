//! Groups on a bridge of Linux that snoops and asks: it sends only to members, so it has to be told of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ioth::Stack;
use ioth::net::UdpSocket;
use ioth_tests::netns::{Net, Test, need};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        only_members_get_what_is_sent_to_a_group,
        an_older_router_is_told_in_its_version,
        a_bridge_that_snoops_passes_solicitations,
    ]
}

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 1, 2, 3);
const PORT: u16 = 5000;
const SOON: Duration = Duration::from_secs(30);

/// Two stacks and the kernel on one bridge.
struct Scene {
    net: Net,
    far: Net,
    red: Stack,
    blue: Stack,
}

impl Scene {
    fn new(net: &Net, igmp: u8, mld: u8) -> Result<Self> {
        need("bridge", "iproute2")?;
        // Its answers are wanted soon: it takes half a second until it believes to know all members.
        net.run(&format!(
            "ip link add b0 type bridge mcast_snooping 1 mcast_igmp_version {igmp} mcast_mld_version {mld} \
             mcast_query_response_interval 50 mcast_stats_enabled 1"
        ))?;
        net.run("ip link set b0 up && ip address add fe80::b0/64 dev b0 nodad")?;
        let far = Net::new("far")?;
        Net::veth(net, ("near", &[]), &far, ("far", &["10.0.0.3/24", "fd00::3/64"]))?;
        far.run("ip route add 224.0.0.0/4 dev far")?;
        for name in ["red", "blue"] {
            net.tap(name, &[])?;
        }
        for name in ["red", "blue", "near"] {
            net.run(&format!("ip link set {name} master b0"))?;
        }
        let stack = |name: &str, last: u8| {
            net.enter(|| {
                Stack::new(&format!("tap://{name}"), &format!("ip=10.0.0.{last}/24,ip=fd00::{last}/64"))
            })
        };
        let (red, blue) = (stack("red", 1)?, stack("blue", 2)?);
        for name in ["red", "blue", "b0"] {
            net.wait_for_carrier(name)?;
        }
        net.run("ip link set b0 type bridge mcast_querier 1")?;
        Ok(Self { net: net.clone(), far, red, blue })
    }

    /// Waits until the bridge knows of a member.
    fn wait_for_member(&self, port: &str, group: IpAddr) -> Result<()> {
        let line = format!("port {port} grp {group} ");
        self.wait(&line, || Ok(self.net.run("bridge mdb show dev b0")?.contains(&line)))
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + SOON;
        while !done()? {
            ensure!(Instant::now() < end, "{what}: {}", self.net.run("bridge -d mdb show dev b0")?);
            thread::yield_now(); // each turn is a process or a datagram: nothing spins
        }
        Ok(())
    }

    /// Sends from the kernel to both groups until `red`, which is no member, is spared: the bridge floods at first.
    fn wait_for_snooping(&self, member: [&UdpSocket; 2]) -> Result<()> {
        let unheard = || Ok::<_, anyhow::Error>(self.red.snapshot()?.counters.not_for_us);
        self.wait("all is flooded", || {
            let before = unheard()?;
            for (group, member) in [IpAddr::from(GROUP), GROUP_V6.into()].into_iter().zip(member) {
                self.far.enter(|| {
                    let socket = std::net::UdpSocket::bind(any(group.is_ipv6(), 0))?;
                    socket.send_to(b"to members", SocketAddr::new(group, PORT))
                })?;
                hear(member, b"to members")?;
            }
            // What went to red before this has arrived with it.
            self.far.run("ping -c 1 -W 5 10.0.0.1")?;
            Ok(unheard()? == before)
        })
    }
}

fn any(v6: bool, port: u16) -> SocketAddr {
    if v6 { (Ipv6Addr::UNSPECIFIED, port).into() } else { (Ipv4Addr::UNSPECIFIED, port).into() }
}

/// Members of the two groups.
fn members(stack: &Stack) -> Result<[UdpSocket; 2]> {
    let v4 = UdpSocket::bind(stack, any(false, PORT))?;
    v4.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED)?;
    let v6 = v6_socket(stack)?;
    v6.join_multicast_v6(&GROUP_V6, 0)?;
    for socket in [&v4, &v6] {
        socket.set_read_timeout(Some(SOON))?;
    }
    Ok([v4, v6])
}

/// One of IPv6 only, since the other has the port, too.
fn v6_socket(stack: &Stack) -> Result<UdpSocket> {
    let fd = ioth::msocket(stack, ioth::AF_INET6, ioth::SOCK_DGRAM | ioth::SOCK_CLOEXEC, 0)?;
    ioth::setsockopt_int(&fd, ioth::IPPROTO_IPV6, ioth::IPV6_V6ONLY, 1)?;
    ioth::bind(&fd, &any(true, PORT))?;
    Ok(UdpSocket::from(fd))
}

fn hear(socket: &UdpSocket, data: &[u8]) -> Result<SocketAddr> {
    let mut buffer = [0; 100];
    let (len, from) = socket.recv_from(&mut buffer).context("nothing heard")?;
    ensure!(&buffer[..len] == data, "{len} bytes");
    Ok(from)
}

fn only_members_get_what_is_sent_to_a_group(net: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    let scene = Scene::new(net, 3, 2)?;
    let members = members(&scene.blue)?;
    scene.wait_for_member("blue", GROUP.into())?;
    scene.wait_for_member("blue", GROUP_V6.into())?;
    scene.wait_for_snooping([&members[0], &members[1]])?;
    // A member of the kernel hears a stack, and so does the other stack.
    let kernel = scene.far.enter(|| {
        let socket = std::net::UdpSocket::bind(any(false, PORT))?;
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::new(10, 0, 0, 3))?;
        socket.set_read_timeout(Some(SOON))?;
        std::io::Result::Ok(socket)
    })?;
    scene.wait_for_member("near", GROUP.into())?;
    let sender = UdpSocket::bind(&scene.red, "10.0.0.1:0")?;
    sender.send_to(b"from red", (GROUP, PORT))?;
    ensure!(hear(&members[0], b"from red")? == sender.local_addr()?);
    let mut buffer = [0; 100];
    let (len, from) = kernel.recv_from(&mut buffer)?;
    ensure!(&buffer[..len] == b"from red" && from == sender.local_addr()?);
    // Whoever is gone is taken from the list.
    drop(members);
    let line = format!("port blue grp {GROUP} ");
    scene.wait("it stays a member", || Ok(!scene.net.run("bridge mdb show dev b0")?.contains(&line)))
}

fn an_older_router_is_told_in_its_version(net: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    let scene = Scene::new(net, 2, 1)?;
    scene.wait("no question", || Ok(scene.blue.snapshot()?.counters.group_queries_in >= 2))?;
    let members = members(&scene.blue)?;
    scene.wait_for_member("blue", GROUP.into())?;
    scene.wait_for_member("blue", GROUP_V6.into())?;
    // The counts of messages from that port, by version.
    let shown = scene.net.run("ip link xstats type bridge_slave dev blue")?;
    let words: Vec<_> = shown.split_whitespace().collect();
    let received = |protocol: &str, version: &str| {
        let at = words.windows(2).position(|pair| pair == [protocol, "reports:"])?;
        let of_version = words[at..].iter().position(|word| *word == version)?;
        words.get(at + of_version + 1)?.parse::<u32>().ok()
    };
    let counts = [("IGMP", "v2"), ("MLD", "v1")].map(|(protocol, version)| received(protocol, version));
    ensure!(counts.iter().all(|count| count.is_some_and(|count| count > 0)), "{counts:?}: {shown}");
    ensure!(received("IGMP", "v3") == Some(0), "{shown}");
    scene.wait_for_snooping([&members[0], &members[1]])
}

fn a_bridge_that_snoops_passes_solicitations(net: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    let scene = Scene::new(net, 3, 2)?;
    let members = members(&scene.blue)?;
    let solicited = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 2);
    scene.wait_for_member("blue", solicited.into())?;
    scene.wait_for_snooping([&members[0], &members[1]])?;
    // Nobody has spoken with that address before.
    scene.far.run("ping -c 1 -W 10 fd00::2")?;
    Ok(())
}
