//! Stacks that learn from real routers: radvd.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ioth::Stack;
use ioth::net::{TcpListener, TcpStream};
use ioth::snapshot::{Origin, Snapshot};
use ioth_tests::netns::{Net, Process, Test, need};

use crate::waiting::until;

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        a_router_gives_everything_and_takes_it_back,
        an_identity_has_its_addresses,
        without_a_router_it_says_so,
    ]
}

/// A router whose prefix is valid for twelve seconds.
const CONFIG: &str = "
interface t0 {
    AdvSendAdvert on;
    MinRtrAdvInterval 3;
    MaxRtrAdvInterval 4;
    AdvDefaultLifetime 10;
    AdvDefaultPreference high;
    AdvLinkMTU 1400;
    prefix 2001:db8:1::/64 { AdvValidLifetime 12; AdvPreferredLifetime 6; };
    route 2001:db8:2::/48 { AdvRoutePreference low; AdvRouteLifetime 20; };
    RDNSS 2001:db8:1::53 { AdvRDNSSLifetime 10; };
    DNSSL lab.example { AdvDNSSLLifetime 10; };
};
";

/// A radvd that ends in peace when it is told to.
pub(crate) struct Router {
    process: Process,
    end: PathBuf,
}

impl Router {
    pub(crate) fn start(home: &Net, label: &str) -> Result<Self> {
        need("radvd", "radvd")?;
        home.tap("t0", &["2001:db8:1::1/64"])?;
        home.run("sysctl -q -w net.ipv6.conf.all.forwarding=1")?;
        home.run("ip address add 2001:db8:9::1/128 dev lo")?;
        let path = std::env::temp_dir().join(format!("ioth-radvd-{}-{label}", std::process::id()));
        std::fs::write(&path, CONFIG)?;
        let end = path.with_extension("end");
        let (file, fifo) = (path.display(), end.display());
        let process = home.start(&format!(
            "mkfifo {fifo}; radvd --nodaemon --config {file} --pidfile {file}.pid --logmethod stderr & \
             cat {fifo}; kill $!; wait; rm -f {file} {fifo} {file}.pid; echo ended"
        ))?;
        Ok(Self { process, end })
    }

    pub(crate) fn end(&self) -> Result<()> {
        std::fs::write(&self.end, "")?;
        self.process.wait_for_line("ended")?;
        Ok(())
    }
}

fn global(shown: &Snapshot, origin: Origin) -> Vec<IpAddr> {
    shown.addresses.iter().filter(|known| known.origin == origin).map(|known| known.cidr.address()).collect()
}

fn gateway(shown: &Snapshot, destination: &str) -> Option<u32> {
    let routes = shown.routes.iter().filter(|route| route.gateway.is_some());
    routes.filter(|route| route.destination.to_string() == destination).map(|route| route.metric).next()
}

fn a_router_gives_everything_and_takes_it_back(home: &Net) -> Result<()> {
    let radvd = Router::start(home, "all")?;
    let stack = Stack::new("tap://t0", "slaac=temporary,identity=red")?;
    let shown = stack.snapshot()?;
    let stable = *global(&shown, Origin::Advertised).first().context("no address")?;
    let temporary = *global(&shown, Origin::Temporary).first().context("no temporary address")?;
    ensure!(stable.to_string().starts_with("2001:db8:1:"), "{stable}");
    ensure!(gateway(&shown, "::/0") == Some(1023), "{shown}");
    ensure!(gateway(&shown, "2001:db8:2::/48") == Some(1025), "{shown}");
    ensure!(stack.nameservers() == ["2001:db8:1::53".parse::<IpAddr>()?], "{:?}", stack.nameservers());
    ensure!(stack.search_domains() == ["lab.example"], "{:?}", stack.search_domains());

    // Beyond the router, both ways; from the temporary address (RFC 6724 rule 7), in packets that fit.
    let listener = home.enter(|| std::net::TcpListener::bind("[2001:db8:9::1]:0"))?;
    let stream = TcpStream::connect(&stack, listener.local_addr()?)?;
    ensure!(stream.local_addr()?.ip() == temporary, "from {}", stream.local_addr()?);
    let mtu = stack.snapshot()?.sockets.iter().find_map(|socket| socket.tcp.as_ref().map(|tcp| tcp.path_mtu));
    ensure!(mtu == Some(1400), "{mtu:?}");
    let own = TcpListener::bind(&stack, "[::]:7")?;
    let _near = home.enter(|| std::net::TcpStream::connect(SocketAddr::new(stable, 7)))?;
    own.accept()?;

    // Renewed again and again it outlives its twelve seconds.
    std::thread::sleep(Duration::from_secs(13));
    ensure!(global(&stack.snapshot()?, Origin::Advertised) == [stable], "{}", stack.snapshot()?);

    // A router that ends says so: no default route at once; the rest when its time is over.
    radvd.end()?;
    until(&stack, Duration::from_secs(12), "the end of the route", |shown| gateway(shown, "::/0").is_none())?;
    until(&stack, Duration::from_secs(14), "the end of the address", |shown| {
        global(shown, Origin::Advertised).is_empty() && global(shown, Origin::Temporary).is_empty()
    })?;
    ensure!(stack.nameservers().is_empty() && stack.search_domains().is_empty());
    Ok(())
}

fn an_identity_has_its_addresses(home: &Net) -> Result<()> {
    let radvd = Router::start(home, "identity")?;
    let one = Stack::new("tap://t0", "slaac,identity=red")?;
    let address = global(&one.snapshot()?, Origin::Advertised);
    drop(one);
    // The same program with the same identity has the same address again; with another one another.
    let until_free = Instant::now();
    let again = loop {
        match Stack::new("tap://t0", "slaac,identity=red") {
            Ok(stack) => break stack,
            Err(error) => ensure!(until_free.elapsed() < Duration::from_secs(5), "{error}"),
        }
    };
    ensure!(global(&again.snapshot()?, Origin::Advertised) == address);
    again.configure("identity=blue,-slaac")?;
    again.configure("slaac")?;
    until(&again, Duration::from_secs(10), "another address", |shown| {
        let now = global(shown, Origin::Advertised);
        !now.is_empty() && now != address
    })?;
    radvd.end()
}

fn without_a_router_it_says_so(home: &Net) -> Result<()> {
    home.tap("t0", &[])?;
    let made = Stack::new("eth0:tap://t0", "slaac,wait=2s");
    let message = made.err().context("it was made")?.to_string();
    ensure!(message.contains("no router told eth0 of a prefix within 2s"), "{message}");
    // Or it comes when there is one.
    let stack = Stack::new("tap://t0", "slaac,wait=0s")?;
    ensure!(global(&stack.snapshot()?, Origin::Advertised).is_empty());
    Ok(())
}
