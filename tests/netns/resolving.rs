//! Names looked up at real servers: dnsmasq, unbound.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ioth::{AF_INET6, AI_CANONNAME, AI_V4MAPPED, GaiError, Hints, NI_NAMEREQD, SOCK_STREAM, Stack};
use ioth_tests::netns::{Net, Process, Test, need};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        addresses_and_names_both_ways,
        an_answer_that_was_cut_comes_over_tcp,
        a_dead_server_is_passed_by,
        search_domains_are_tried,
        getaddrinfo_and_getnameinfo_ask_the_server,
        what_is_known_is_not_asked_again,
        a_denial_counts_for_as_long_as_its_zone_says,
        a_link_local_server_of_an_advertisement_is_asked_on_its_link,
    ]
}

const RECORDS: &str = "--host-record=www.lab.example,10.9.0.80,2001:db8::80 --host-record=v4.lab.example,10.9.0.4 \
     --host-record=v6.lab.example,2001:db8::6 --cname=alias.lab.example,www.lab.example \
     --cname=alias2.lab.example,alias.lab.example --address=/missing.example/ --local=/lab.example/ --local-ttl=60 \
     --local=/example/ --host-record=short.other.example,10.9.0.7";

/// A dnsmasq on the kernel's side of the TAP, with a log of what it was asked.
fn server(home: &Net, more: &str) -> Result<Process> {
    need("dnsmasq", "dnsmasq-base")?;
    home.tap("t0", &["10.0.0.1/24", "fd00::1/64"])?;
    let process = home.start(&format!(
        "dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --no-poll --user=root --pid-file= \
         --bind-interfaces --listen-address=10.0.0.1 --log-queries --log-facility=- {RECORDS} {more}"
    ))?;
    process.wait_for_line("started")?;
    Ok(process)
}

fn stack(more: &str) -> Result<Stack> {
    Ok(Stack::new("tap://t0", &format!("ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1,{more}"))?)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("a literal")
}

fn addresses_and_names_both_ways(home: &Net) -> Result<()> {
    let _server = server(home, "")?;
    let stack = stack("dns=10.0.0.1")?;
    // There is no way to 2001:db8::80, so it comes last (RFC 6724 rule 1).
    let both = [ip("10.9.0.80"), ip("2001:db8::80")];
    for name in ["www.lab.example", "WWW.LAB.example.", "alias.lab.example", "alias2.lab.example"] {
        let found = stack.resolve(name)?;
        ensure!(found == both, "{name}: {found:?}");
    }
    ensure!(stack.resolve("v4.lab.example")? == [ip("10.9.0.4")]);
    ensure!(stack.resolve("v6.lab.example")? == [ip("2001:db8::6")]);
    stack.configure("gw=fd00::1")?;
    // Now there is one: IPv6 is preferred (rule 6), from an address with another label (rule 5) it is not.
    ensure!(stack.resolve("www.lab.example")? == both, "{:?}", stack.resolve("www.lab.example")?);
    stack.configure("ip=2001:db8:1::2/64,-ip=fd00::2/64,-gw=fd00::1,gw=2001:db8:1::1")?;
    let found = stack.resolve("www.lab.example")?;
    ensure!(found == [both[1], both[0]], "{found:?}");

    for address in both {
        let name = stack.reverse(address)?;
        ensure!(name == "www.lab.example", "{name}");
    }
    for name in ["no.lab.example", "missing.example"] {
        let error = stack.resolve(name).err().context("it was found")?;
        ensure!(error.kind() == ErrorKind::NotFound, "{error}");
        ensure!(error.to_string().contains("there is no such name"), "{error}");
    }
    Ok(())
}

fn an_answer_that_was_cut_comes_over_tcp(home: &Net) -> Result<()> {
    let many: Vec<_> = (0..150).map(|last| format!("--host-record=many.lab.example,10.8.0.{last}")).collect();
    let _server = server(home, &many.join(" "))?;
    let stack = stack("dns=10.0.0.1")?;
    let mut found = stack.resolve("many.lab.example")?;
    found.sort();
    let wanted: Vec<IpAddr> = (0..150).map(|last| [10, 8, 0, last].into()).collect();
    ensure!(found == wanted, "{found:?}");
    let sockets = stack.snapshot()?.sockets;
    let closed = sockets.iter().filter(|socket| socket.remote.is_some_and(|remote| remote.port() == 53));
    ensure!(closed.count() == 1, "{sockets:?}");
    Ok(())
}

fn a_dead_server_is_passed_by(home: &Net) -> Result<()> {
    let _server = server(home, "")?;
    // Nobody is at the first; at the second nobody listens, and it says so.
    home.run("ip address add 10.0.0.3/24 dev t0")?;
    let stack = stack("dns=10.0.0.9,dns=10.0.0.3,dns=10.0.0.1,resolve=timeout:1s")?;
    let start = Instant::now();
    ensure!(stack.resolve("v4.lab.example")? == [ip("10.9.0.4")]);
    ensure!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // From now on the others come first.
    let start = Instant::now();
    ensure!(stack.resolve("v6.lab.example")? == [ip("2001:db8::6")]);
    ensure!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());

    stack.configure("-dns=10.0.0.1,resolve=timeout:200ms attempts:3")?;
    let start = Instant::now();
    let error = stack.resolve("v4.lab.example").err().context("nobody can answer")?;
    ensure!(error.kind() == ErrorKind::TimedOut, "{error}");
    ensure!(error.to_string().contains("no answer from 10.0.0.9, 10.0.0.3"), "{error}");
    ensure!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    Ok(())
}

fn search_domains_are_tried(home: &Net) -> Result<()> {
    let server = server(home, "")?;
    let stack = stack("dns=10.0.0.1,domain=lab.example,domain=other.example")?;
    ensure!(stack.resolve("v4")? == [ip("10.9.0.4")]);
    ensure!(stack.resolve("short")? == [ip("10.9.0.7")]);
    ensure!(stack.resolve("v4.lab").is_err());
    ensure!(stack.resolve("v4.").is_err());
    // A dot makes it whole unless ndots says otherwise.
    stack.configure("resolve=ndots:2,-domain,domain=example")?;
    ensure!(stack.resolve("short.other")? == [ip("10.9.0.7")]);
    // A name that the configuration has is not asked for.
    stack.configure("host=10.9.0.99 v4.lab.example own")?;
    ensure!(stack.resolve("v4.lab.example")? == [ip("10.9.0.99")]);
    ensure!(stack.resolve("own")? == [ip("10.9.0.99")]);
    drop(server);
    Ok(())
}

fn getaddrinfo_and_getnameinfo_ask_the_server(home: &Net) -> Result<()> {
    let _server = server(home, "")?;
    let stack = stack("dns=10.0.0.1,domain=lab.example")?;
    let hints = Hints { socktype: SOCK_STREAM, flags: AI_CANONNAME, ..Hints::default() };
    let found = ioth::getaddrinfo(&stack, Some("alias2"), Some("80"), &hints)?;
    ensure!(found.len() == 2 && found[0].address == "10.9.0.80:80".parse()?, "{found:?}");
    ensure!(found[0].canonical.as_deref() == Some("www.lab.example"), "{found:?}");

    let v6 = Hints { socktype: SOCK_STREAM, family: AF_INET6, ..Hints::default() };
    let none = ioth::getaddrinfo(&stack, Some("v4"), None, &v6).err().context("it has no IPv6 address")?;
    ensure!(matches!(none, GaiError::AddrFamily), "{none}");
    let mapped = Hints { flags: AI_V4MAPPED, ..v6 };
    let found = ioth::getaddrinfo(&stack, Some("v4"), None, &mapped)?;
    ensure!(found[0].address.ip() == ip("::ffff:10.9.0.4"), "{found:?}");
    let found = ioth::getaddrinfo(&stack, Some("www"), None, &mapped)?;
    ensure!(found.len() == 1 && found[0].address.ip() == ip("2001:db8::80"), "{found:?}");

    let name = ioth::getnameinfo(&stack, &"10.9.0.4:65001".parse()?, 0)?;
    ensure!(name == ("v4.lab.example".to_owned(), "65001".to_owned()), "{name:?}");
    let name = ioth::getnameinfo(&stack, &"10.9.0.80:65001".parse()?, ioth::NI_NOFQDN)?;
    ensure!(name.0 == "www", "{name:?}");
    let nobody = "10.9.0.250:1".parse()?;
    ensure!(ioth::getnameinfo(&stack, &nobody, 0)?.0 == "10.9.0.250");
    let error = ioth::getnameinfo(&stack, &nobody, NI_NAMEREQD).err().context("it has a name")?;
    ensure!(matches!(error, GaiError::NoName), "{error}");

    for (address, name) in [("10.9.0.4", "v4.lab.example"), ("2001:db8::80", "www.lab.example")] {
        let host = ioth::gethostbyaddr(&stack, ip(address))?;
        ensure!((&*host.name, &*host.addresses) == (name, &[ip(address)]), "{host:?}");
    }
    let error = ioth::gethostbyaddr(&stack, ip("10.9.0.250")).err().context("it has a name")?;
    ensure!(matches!(error, GaiError::NoName), "{error}");
    Ok(())
}

fn what_is_known_is_not_asked_again(home: &Net) -> Result<()> {
    let server = server(home, "")?;
    let stack = stack("dns=10.0.0.1,resolve=timeout:300ms attempts:1")?;
    ensure!(stack.resolve("v4.lab.example")?.len() == 1);
    drop(server);
    // Its time to live is a minute. Whether it has IPv6 addresses was not vouched for, and that is asked in vain.
    let found = stack.resolve("v4.lab.example")?;
    ensure!(found == [ip("10.9.0.4")], "{found:?}");
    ensure!(stack.resolve("v6.lab.example").is_err());
    Ok(())
}

/// An unbound beside the dnsmasq, with a zone of its own and a log of what it was asked.
fn unbound(home: &Net, label: &str) -> Result<(Process, PathBuf)> {
    need("unbound", "unbound")?;
    let path = std::env::temp_dir().join(format!("ioth-unbound-{}-{label}", std::process::id()));
    let log = path.with_extension("log");
    let (file, log_file) = (path.display(), log.display());
    std::fs::write(&log, "")?;
    let zone = "local-zone: \"unbound.example.\" static
  local-data: \"unbound.example. 300 IN SOA ns.unbound.example. root.unbound.example. 1 3600 600 86400 300\"
  local-data: \"www.unbound.example. 60 IN A 10.9.0.81\"
  local-data: \"www.unbound.example. 60 IN AAAA 2001:db8::81\"
  local-data: \"81.0.9.10.in-addr.arpa. 60 IN PTR www.unbound.example.\"";
    let config = format!(
        "server:\n  interface: 10.0.0.4\n  access-control: 0.0.0.0/0 allow\n  username: \"\"\n  chroot: \"\"\n  \
         directory: \"/\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"{log_file}\"\n  log-queries: yes\n  \
         do-daemonize: no\n  num-threads: 1\n  module-config: \"iterator\"\n  {zone}\nremote-control:\n  control-enable: no\n"
    );
    std::fs::write(&path, config)?;
    home.run("ip address add 10.0.0.4/24 dev t0")?;
    let process = home.start(&format!("unbound -d -c {file}"))?;
    let start = Instant::now();
    while !std::fs::read_to_string(&log)?.contains("start of service") {
        ensure!(start.elapsed() < Duration::from_secs(10), "{}", std::fs::read_to_string(&log)?);
        std::thread::yield_now();
    }
    std::fs::remove_file(&path)?;
    Ok((process, log))
}

/// RFC 2308 section 5: a denial without a SOA is not kept, because without one it may go round in circles for ever; one with a
/// SOA is kept for as long as that says.
fn a_denial_counts_for_as_long_as_its_zone_says(home: &Net) -> Result<()> {
    let dnsmasq = server(home, "")?;
    let (unbound, log) = unbound(home, "denial")?;
    let stack = stack("dns=10.0.0.4,resolve=timeout:300ms attempts:1")?;
    let found = stack.resolve("www.unbound.example")?;
    ensure!(found == [ip("10.9.0.81"), ip("2001:db8::81")], "{found:?}");
    ensure!(stack.reverse(ip("10.9.0.81"))? == "www.unbound.example");
    let missing = |name: &str| stack.resolve(name).err().context("it was found").map(|error| error.kind());
    // With a SOA: nobody is asked again.
    ensure!(missing("no.unbound.example")? == ErrorKind::NotFound);
    let asked = |name: &str| -> Result<usize> {
        Ok(std::fs::read_to_string(&log)?
            .lines()
            .filter(|line| line.to_ascii_lowercase().contains(name))
            .count())
    };
    // It writes down what it was asked, in the letters of the question, when it likes.
    let end = Instant::now() + Duration::from_secs(10);
    while asked("no.unbound.example")? == 0 && Instant::now() < end {
        std::thread::yield_now();
    }
    let before = asked("no.unbound.example")?;
    ensure!((1..=2).contains(&before), "{before}");
    ensure!(missing("no.unbound.example")? == ErrorKind::NotFound);
    ensure!(asked("no.unbound.example")? == before);
    drop(unbound);
    ensure!(missing("no.unbound.example")? == ErrorKind::NotFound, "it is still known");
    std::fs::remove_file(&log)?;
    // Without one: as soon as the server is gone nothing is known.
    stack.configure("-dns=10.0.0.4,dns=10.0.0.1")?;
    ensure!(missing("no.lab.example")? == ErrorKind::NotFound);
    drop(dnsmasq);
    ensure!(missing("no.lab.example")? == ErrorKind::TimedOut);
    Ok(())
}

/// RFC 8106 section 5.1: a router may name itself by its link-local address. The first interface of the stack has nobody.
fn a_link_local_server_of_an_advertisement_is_asked_on_its_link(home: &Net) -> Result<()> {
    need("dnsmasq", "dnsmasq-base")?;
    home.tap("t0", &["2001:db8:1::1/64"])?;
    home.tap("t1", &[])?;
    let process = home.start(&format!(
        "dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --no-poll --user=root --pid-file= \
         --interface=t0 --except-interface=lo --bind-dynamic --log-facility=- {RECORDS} --enable-ra \
         --dhcp-range=2001:db8:1::,ra-only,64 --dhcp-option=option6:dns-server,[fe80::] --dhcp-leasefile=/dev/null"
    ))?;
    process.wait_for_line("started")?;
    let stack = Stack::builder()
        .interface("near", "tap://t1")
        .interface("far", "tap://t0")
        .config("iface=far,slaac,resolve=timeout:5s")
        .build()?;
    let servers = stack.nameserver_addresses(53);
    let far = stack.snapshot()?.interfaces.iter().find(|own| own.name == "far").map(|own| own.index.index());
    let SocketAddr::V6(server) = *servers.first().context("no server")? else { bail!("{servers:?}") };
    ensure!(server.ip().is_unicast_link_local() && Some(server.scope_id()) == far, "{servers:?}");
    // It listens there once its system has tested the address.
    let end = Instant::now() + Duration::from_secs(10);
    let found = loop {
        match stack.resolve("v4.lab.example") {
            Err(_) if Instant::now() < end => std::thread::yield_now(),
            result => break result?,
        }
    };
    ensure!(found == [ip("10.9.0.4")]);
    Ok(())
}
