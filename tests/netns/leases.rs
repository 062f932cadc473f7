//! Stacks that get their addresses from real servers: dnsmasq, and the dhcpd of ISC, whose leases may be short.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ioth::Stack;
use ioth::net::TcpStream;
use ioth::snapshot::{Origin, Snapshot};
use ioth_tests::netns::{Net, Process, Test, need};

use crate::waiting::until;

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        dnsmasq_gives_everything_and_gets_it_back,
        a_process_that_ends_gives_back_what_it_was_lent,
        dnsmasq_gives_information_alone,
        auto_takes_what_there_is,
        a_lease_is_renewed_and_ends_with_its_server,
        a_lease_of_dhcpv6_is_renewed_rebound_and_ends,
        a_taken_address_is_declined,
        without_a_server_it_says_so,
    ]
}

/// A network with the kernel at 10.9.0.1 and fd09::1, and a TAP for each of two stacks.
pub(crate) fn network(home: &Net) -> Result<()> {
    home.run("ip link add br0 type bridge forward_delay 0 mcast_snooping 0 && ip link set br0 up")?;
    home.run("ip address add 10.9.0.1/24 dev br0 && ip address add fd09::1/64 dev br0 nodad")?;
    for tap in ["t0", "t1"] {
        home.tap(tap, &[])?;
        home.run(&format!("ip link set {tap} master br0"))?;
    }
    Ok(())
}

/// A file of one test, that goes with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    fn new(label: &str, text: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("ioth-leases-{}-{label}", std::process::id()));
        std::fs::write(&path, text)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let mut backup = self.0.clone().into_os_string();
        backup.push("~");
        let _ = std::fs::remove_file(backup);
    }
}

/// dnsmasq, and the file of its leases.
pub(crate) fn dnsmasq(home: &Net, label: &str, options: &str) -> Result<(Process, Scratch)> {
    need("dnsmasq", "dnsmasq-base")?;
    let leases = Scratch::new(label, "")?;
    let process = home.start(&format!(
        "dnsmasq --keep-in-foreground --log-facility=- --conf-file=/dev/null --user=root --pid-file= --port=0 \
         --log-dhcp --no-ping --interface=br0 --dhcp-leasefile={} {options}",
        leases.0.display()
    ))?;
    process.wait_for_line("]: DHCP")?;
    Ok((process, leases))
}

/// The dhcpd of ISC for one family.
struct Dhcpd {
    family: char,
    config: Scratch,
    leases: Scratch,
}

impl Dhcpd {
    fn new(label: &str, family: char, config: &str) -> Result<Self> {
        need("dhcpd", "isc-dhcp-server")?;
        let config = Scratch::new(&format!("{label}.conf"), config)?;
        Ok(Self { family, config, leases: Scratch::new(&format!("{label}.leases"), "")? })
    }

    /// Starts it, with the leases that it had.
    fn start(&self, home: &Net) -> Result<Process> {
        let process = home.start(&format!(
            "dhcpd -{} -f -d --no-pid -cf {} -lf {} br0",
            self.family,
            self.config.0.display(),
            self.leases.0.display()
        ))?;
        process.wait_for_line("Server starting service")?;
        Ok(process)
    }
}

fn leased(stack: &Stack) -> Result<Vec<IpAddr>> {
    let shown = stack.snapshot()?;
    let given = shown.addresses.iter().filter(|known| known.origin == Origin::Leased);
    Ok(given.map(|known| known.cidr.address()).collect())
}

fn has_lease(shown: &Snapshot) -> bool {
    shown.addresses.iter().any(|known| known.origin == Origin::Leased)
}

fn dnsmasq_gives_everything_and_gets_it_back(home: &Net) -> Result<()> {
    network(home)?;
    let (server, _leases) = dnsmasq(
        home,
        "all",
        "--dhcp-range=10.9.0.50,10.9.0.99,2m --dhcp-range=fd09::50,fd09::99,64,2m \
         --dhcp-option=option:dns-server,10.9.0.53 --dhcp-option=option6:dns-server,[fd09::53] \
         --dhcp-option=option:domain-search,lab.example,eng.lab.example \
         --dhcp-option=option6:domain-search,six.example --dhcp-option=option:mtu,1400 \
         --dhcp-option=option:classless-static-route,10.77.0.0/16,10.9.0.7,0.0.0.0/0,10.9.0.1",
    )?;
    let stack = Stack::new("eth0:tap://t0", "dhcp,dhcp6,fqdn=red.lab.example")?;
    // Each family's answer comes in its own time; both are there when the stack is.
    let given = leased(&stack)?;
    let four = given.iter().find(|address| address.is_ipv4()).context("no address of IPv4")?;
    let six = given.iter().find(|address| address.is_ipv6()).context("no address of IPv6")?;
    ensure!(four.to_string().starts_with("10.9.0.") && six.to_string().starts_with("fd09::"), "{given:?}");
    let shown = stack.snapshot()?;
    let gateway = |destination: &str| {
        let mut routes = shown.routes.iter().filter(|route| route.destination.to_string() == destination);
        routes.find_map(|route| route.gateway).map(|gateway| gateway.to_string())
    };
    ensure!(gateway("0.0.0.0/0").as_deref() == Some("10.9.0.1"), "{shown}");
    ensure!(gateway("10.77.0.0/16").as_deref() == Some("10.9.0.7"), "{shown}");
    ensure!(shown.interfaces.iter().any(|known| known.name == "eth0" && known.mtu == 1400), "{shown}");
    ensure!(stack.nameservers() == ["10.9.0.53".parse::<IpAddr>()?, "fd09::53".parse()?]);
    ensure!(stack.search_domains() == ["lab.example", "eng.lab.example", "six.example"]);

    // Beyond the router.
    home.run("ip address add 10.8.0.1/32 dev lo")?;
    let listener = home.enter(|| std::net::TcpListener::bind("10.8.0.1:0"))?;
    let stream = TcpStream::connect(&stack, listener.local_addr()?)?;
    ensure!(stream.local_addr()?.ip() == *four, "from {}", stream.local_addr()?);

    // Taken back while it runs, and when it ends.
    stack.configure("-dhcp")?;
    server.wait_for_line(&format!("DHCPRELEASE(br0) {four}"))?;
    ensure!(leased(&stack)? == [*six], "{}", stack.snapshot()?);
    drop((stream, stack));
    let released = server.wait_for_line("DHCPRELEASE(br0)")?;
    ensure!(!released.contains(&four.to_string()), "{released}");
    Ok(())
}

fn auto_takes_what_there_is(home: &Net) -> Result<()> {
    network(home)?;
    let (_server, _leases) = dnsmasq(
        home,
        "auto",
        "--enable-ra --dhcp-range=10.9.0.50,10.9.0.99,2m --dhcp-range=fd09::50,fd09::99,slaac,64,2m",
    )?;
    let stack = Stack::new("tap://t0", "auto")?;
    let of = |shown: &Snapshot, origin, v6| {
        let all = shown.addresses.iter().filter(|known| known.origin == origin);
        all.filter(|known| known.cidr.address().is_ipv6() == v6).count()
    };
    let lent = |shown: &Snapshot| {
        (
            of(shown, Origin::Advertised, true),
            of(shown, Origin::Leased, true),
            of(shown, Origin::Leased, false),
        )
    };
    // Ready as soon as one family is.
    ensure!(lent(&stack.snapshot()?) != (0, 0, 0), "{}", stack.snapshot()?);
    until(&stack, Duration::from_secs(20), "an address of each kind", |shown| lent(shown) == (1, 1, 1))?;
    // Where there is nobody, it says so.
    let other = Stack::new("switch://nobody", "auto,wait=1s");
    let message = other.err().context("it was made")?.to_string();
    ensure!(message.contains("within 1s"), "{message}");
    Ok(())
}

/// The handler of atexit gives leases back as the end of a stack does.
fn a_process_that_ends_gives_back_what_it_was_lent(home: &Net) -> Result<()> {
    network(home)?;
    let (server, _leases) =
        dnsmasq(home, "exit", "--dhcp-range=10.9.0.50,10.9.0.99,2m --dhcp-range=fd09::50,fd09::99,64,2m")?;
    let listener = home.enter(|| std::net::TcpListener::bind("10.9.0.1:80"))?;
    let leaver = env!("CARGO_BIN_EXE_leaver");
    let process = home.start(&format!("{leaver} tap://t0 dhcp,dhcp6 10.9.0.1:80 1000 library; echo left"))?;
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut listener.accept()?.0, &mut got)?;
    ensure!(got.len() == 1000);
    server.wait_for_line("DHCPRELEASE(br0) 10.9.0.")?;
    server.wait_for_line("DHCPRELEASE(br0) 00:03:")?;
    process.wait_for_line("left")?;
    Ok(())
}

fn dnsmasq_gives_information_alone(home: &Net) -> Result<()> {
    network(home)?;
    let (server, _leases) = dnsmasq(
        home,
        "information",
        "--dhcp-range=fd09::,static --dhcp-option=option6:dns-server,[fd09::53] \
         --dhcp-option=option6:domain-search,lab.example",
    )?;
    let stack = Stack::new("tap://t0", "dhcp6=stateless")?;
    server.wait_for_line("DHCPINFORMATION-REQUEST(br0)")?;
    ensure!(
        stack.nameservers() == ["fd09::53".parse::<IpAddr>()?] && stack.search_domains() == ["lab.example"]
    );
    ensure!(leased(&stack)?.is_empty());
    Ok(())
}

/// A lease of ten seconds.
const SHORT: &str = "
default-lease-time 10; max-lease-time 10; min-lease-time 10; authoritative; ping-check false;
subnet 10.9.0.0 netmask 255.255.255.0 { range 10.9.0.50 10.9.0.59; option routers 10.9.0.1; }
";

fn a_lease_is_renewed_and_ends_with_its_server(home: &Net) -> Result<()> {
    network(home)?;
    let dhcpd = Dhcpd::new("short", '4', SHORT)?;
    let server = dhcpd.start(home)?;
    let stack = Stack::new("tap://t0", "dhcp,dad=off")?;
    let start = Instant::now();
    let address = *leased(&stack)?.first().context("no address")?;
    // Somebody who has nothing to do with it.
    let other = Stack::new("tap://t1", "ip=10.9.0.2/24")?;
    let listener = home.enter(|| std::net::TcpListener::bind("10.9.0.1:0"))?;
    let bystander = TcpStream::connect(&other, listener.local_addr()?)?;
    let (mut echo, _) = listener.accept()?;

    server.wait_for_line("DHCPACK on")?;
    for _ in 0..2 {
        // A renewal names the address without a server behind it.
        server.wait_for_line(&format!("DHCPREQUEST for {address} from"))?;
    }
    server.wait_for_line("DHCPACK on")?;
    until(&stack, Duration::from_secs(15), "the end of the first lease", |_| {
        start.elapsed() > Duration::from_secs(11)
    })?;
    ensure!(leased(&stack)? == [address], "{}", stack.snapshot()?);

    // Without the server: until the end of the lease, no longer; and the other one does not notice.
    drop(server);
    let gone = Instant::now();
    until(&stack, Duration::from_secs(12), "the end of the lease", |shown| !has_lease(shown))?;
    ensure!(gone.elapsed() > Duration::from_secs(4), "it ended early: after {:?}", gone.elapsed());
    ensure!(!stack.snapshot()?.routes.iter().any(|route| route.gateway.is_some()));
    std::io::Write::write_all(&mut (&bystander), b"still here")?;
    let mut heard = [0; 10];
    std::io::Read::read_exact(&mut echo, &mut heard)?;
    ensure!(heard == *b"still here");

    // When it is back it has an address again.
    let server = dhcpd.start(home)?;
    until(&stack, Duration::from_secs(30), "another lease", has_lease)?;
    drop(stack);
    server.wait_for_line("DHCPRELEASE of 10.9.0.")?;
    Ok(())
}

const SHORT6: &str = "
default-lease-time 20; preferred-lifetime 8;
option dhcp-renewal-time 3; option dhcp-rebinding-time 5; option dhcp6.name-servers fd09::53;
authoritative;
subnet6 fd09::/64 { range6 fd09::50 fd09::59; }
";

fn a_lease_of_dhcpv6_is_renewed_rebound_and_ends(home: &Net) -> Result<()> {
    network(home)?;
    let dhcpd = Dhcpd::new("short6", '6', SHORT6)?;
    let server = dhcpd.start(home)?;
    let stack = Stack::new("tap://t0", "dhcp6")?;
    let address = *leased(&stack)?.first().context("no address")?;
    ensure!(stack.nameservers() == ["fd09::53".parse::<IpAddr>()?]);
    server.wait_for_line("Renew message from")?;
    server.wait_for_line("Sending Reply")?;
    ensure!(leased(&stack)? == [address]);
    // Without the server it grows old, then ends.
    drop(server);
    until(&stack, Duration::from_secs(10), "the end of the preferred time", |shown| {
        shown.addresses.iter().any(|known| known.standing == ioth::snapshot::Standing::Deprecated)
    })?;
    // It is back in time to hear of it.
    let server = dhcpd.start(home)?;
    server.wait_for_line("Rebind message from")?;
    until(&stack, Duration::from_secs(5), "a lease that is preferred", |shown| {
        let mut given = shown.addresses.iter().filter(|known| known.origin == Origin::Leased);
        given.any(|known| known.standing == ioth::snapshot::Standing::Preferred)
    })?;
    drop(server);
    until(&stack, Duration::from_secs(22), "the end of the lease", |shown| !has_lease(shown))?;
    ensure!(stack.nameservers().is_empty());
    let server = dhcpd.start(home)?;
    until(&stack, Duration::from_secs(60), "another lease", has_lease)?;
    drop(stack);
    server.wait_for_line("Release message from")?;
    Ok(())
}

fn a_taken_address_is_declined(home: &Net) -> Result<()> {
    network(home)?;
    let neighbour = Net::new("neighbour")?;
    Net::veth(home, ("v0", &[]), &neighbour, ("v1", &["10.9.0.50/24"]))?;
    home.run("ip link set v0 master br0")?;
    let (server, _leases) = dnsmasq(
        home,
        "decline",
        "--dhcp-range=10.9.0.60,10.9.0.99,2m --dhcp-host=02:00:00:00:00:77,10.9.0.50",
    )?;
    let stack = Stack::new("tap://t0", "dhcp,mac=02:00:00:00:00:77")?;
    server.wait_for_line("DHCPDECLINE(br0) 10.9.0.50 02:00:00:00:00:77")?;
    let given = leased(&stack)?;
    ensure!(given.len() == 1 && given[0] != "10.9.0.50".parse::<IpAddr>()?, "{given:?}");
    // Ours never answered for it.
    let station = neighbour.run("ip neighbour")?;
    ensure!(!station.contains("10.9.0.50"), "{station}");
    Ok(())
}

fn without_a_server_it_says_so(home: &Net) -> Result<()> {
    network(home)?;
    for (asked, expected) in [
        ("dhcp", "no DHCP server gave eth0 an address that it can use within 1s"),
        ("dhcp6", "no DHCPv6 server gave eth0 an address that it can use within 1s"),
        ("dhcp6=stateless", "no DHCPv6 server answered eth0 within 1s"),
    ] {
        let made = Stack::new("eth0:tap://t0", &format!("{asked},wait=1s"));
        let message = made.err().context("it was made")?.to_string();
        ensure!(message.contains(expected) && message.contains("wait="), "{message}");
    }
    // Or it comes when there is one.
    let stack = Stack::new("eth0:tap://t1", "dhcp,wait=0s")?;
    ensure!(leased(&stack)?.is_empty());
    let (_server, _leases) = dnsmasq(home, "late", "--dhcp-range=10.9.0.50,10.9.0.99,2m")?;
    until(&stack, Duration::from_secs(40), "an address", has_lease)
}
