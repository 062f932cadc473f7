//! The worlds in which a behaviour is tried: two hosts each, of the kernel or of ours.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context, Result};
use ioth::{AF_INET, AF_INET6, SO_REUSEADDR, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, Stack};
use ioth_tests::netns::Net;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, OwnedFd};

use crate::transcript::{Log, Show};

/// A stack with an address of each family.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The stack.
    pub(crate) stack: Stack,
    /// Where the kernel's sockets are made.
    net: Option<Net>,
    v4: IpAddr,
    v6: IpAddr,
}

impl Host {
    fn new(stack: Stack, net: Option<&Net>, last: u8) -> Self {
        let v4 = IpAddr::from([10, 0, 0, last]);
        let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last.into()]);
        Self { stack, net: net.cloned(), v4, v6 }
    }

    /// Runs `f` where its sockets are made.
    pub(crate) fn within<T: Send>(&self, f: impl FnOnce(&Stack) -> T + Send) -> T {
        match &self.net {
            Some(net) => net.enter(|| f(&self.stack)),
            None => f(&self.stack),
        }
    }

    /// Makes a socket, see socket(2).
    pub(crate) fn socket(&self, domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
        self.within(|stack| ioth::msocket(stack, domain, kind, protocol))
    }

    /// Whether it is the same host as another.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.v4 == other.v4
    }

    /// Whether it is the kernel's.
    pub(crate) const fn is_kernel(&self) -> bool {
        self.net.is_some()
    }
}

/// Which family of addresses a behaviour is tried with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Where a behaviour runs: one family on two hosts, which may be the same one.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Which of the six it is.
    pub(crate) name: &'static str,
    /// The host that connects.
    pub(crate) client: Host,
    /// The host that listens.
    pub(crate) server: Host,
    /// The family.
    pub(crate) family: Family,
    /// A port that no other behaviour uses; the next one is free, too.
    pub(crate) port: u16,
    /// What happens.
    pub(crate) log: Log,
}

/// How long something that must happen may take on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// How long is waited to see that nothing happens.
pub(crate) const MOMENT: Duration = Duration::from_millis(30);

impl World {
    /// The domain of sockets here.
    pub(crate) const fn domain(&self) -> i32 {
        match self.family {
            Family::V4 => AF_INET,
            Family::V6 => AF_INET6,
        }
    }

    fn of(&self, host: &Host) -> IpAddr {
        match self.family {
            Family::V4 => host.v4,
            Family::V6 => host.v6,
        }
    }

    /// The server's address with the port of this behaviour.
    pub(crate) fn at(&self) -> SocketAddr {
        SocketAddr::new(self.of(&self.server), self.port)
    }

    /// The client's address with any port.
    pub(crate) fn here(&self) -> SocketAddr {
        SocketAddr::new(self.of(&self.client), 0)
    }

    /// The wildcard address with a port.
    pub(crate) fn any(&self, port: u16) -> SocketAddr {
        match self.family {
            Family::V4 => SocketAddr::from(([0; 4], port)),
            Family::V6 => SocketAddr::from(([0u16; 8], port)),
        }
    }

    /// An address on the link that nobody has, with the port of this behaviour.
    pub(crate) fn nobody(&self) -> SocketAddr {
        match self.family {
            Family::V4 => SocketAddr::from(([10, 0, 0, 99], self.port)),
            Family::V6 => SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, 0x99], self.port)),
        }
    }

    /// An address without a route.
    pub(crate) fn nowhere(&self) -> SocketAddr {
        match self.family {
            Family::V4 => SocketAddr::from(([192, 0, 2, 1], self.port)),
            Family::V6 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], self.port)),
        }
    }

    /// The same world with another family.
    pub(crate) fn with(&self, family: Family) -> Self {
        Self { family, ..self.clone() }
    }

    /// A TCP socket of the client.
    pub(crate) fn stream(&self) -> Result<OwnedFd> {
        Ok(self.client.socket(self.domain(), SOCK_STREAM | SOCK_CLOEXEC, 0)?)
    }

    /// A UDP socket of `host`.
    pub(crate) fn datagram(&self, host: &Host) -> Result<OwnedFd> {
        Ok(host.socket(self.domain(), SOCK_DGRAM | SOCK_CLOEXEC, 0)?)
    }

    /// A UDP socket of the server at its address.
    pub(crate) fn datagram_server(&self) -> Result<OwnedFd> {
        let fd = self.datagram(&self.server)?;
        ioth::bind(&fd, &self.at()).context("bind the server")?;
        Ok(fd)
    }

    /// A listener of the server.
    pub(crate) fn listener(&self) -> Result<OwnedFd> {
        let fd = self.server.socket(self.domain(), SOCK_STREAM | SOCK_CLOEXEC, 0)?;
        ioth::setsockopt_int(&fd, SOL_SOCKET, SO_REUSEADDR, 1)?;
        ioth::bind(&fd, &self.at()).context("bind the listener")?;
        ioth::listen(&fd, 16).context("listen")?;
        Ok(fd)
    }

    /// Another listener of the server, on any port.
    pub(crate) fn listener_beside(&self) -> Result<OwnedFd> {
        let fd = self.server.socket(self.domain(), SOCK_STREAM | SOCK_CLOEXEC, 0)?;
        ioth::listen(&fd, 16).context("listen")?;
        Ok(fd)
    }

    /// A connection: the client's side, the server's.
    pub(crate) fn pair(&self) -> Result<(OwnedFd, OwnedFd)> {
        self.pair_of(&self.listener()?)
    }

    /// A connection through a listener.
    pub(crate) fn pair_of(&self, listener: &OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
        let ours = self.stream()?;
        ioth::connect(&ours, &self.at()).context("connect")?;
        let (theirs, _) = ioth::accept4(listener, SOCK_CLOEXEC).context("accept")?;
        Ok((ours, theirs))
    }

    /// Writes down what happened.
    #[expect(clippy::needless_pass_by_value, reason = "it is the result of the call that stands there")]
    pub(crate) fn note(&self, what: &str, value: impl Show) {
        self.log.add(format!("{what}: {}", value.show(self)));
    }

    #[expect(clippy::needless_pass_by_value, reason = "as above")]
    /// Writes down something that is documented to be different: `of_kernel` on the kernel's sockets,
    /// `of_ours` on ours. `row` names the place in the table of differences.
    pub(crate) fn documented(
        &self,
        row: &str,
        host: &Host,
        (of_kernel, of_ours): (&str, &str),
        value: impl Show,
    ) {
        let shown = value.show(self);
        let expected = if host.is_kernel() { of_kernel } else { of_ours };
        let verdict = if shown == expected { "as documented" } else { &*shown };
        self.log.add(format!("{row}: {verdict}"));
    }

    /// Waits until poll shows all of `wanted`, or a moment for nothing, then writes down what it shows.
    pub(crate) fn poll(&self, what: &str, fd: impl AsFd, wanted: PollFlags) {
        let shown = self.settle(fd, wanted);
        self.note(what, shown);
    }

    /// Waits until poll shows all of `wanted`, or a moment for nothing, and says what it shows then.
    pub(crate) fn settle(&self, fd: impl AsFd, wanted: PollFlags) -> PollFlags {
        let end = Instant::now() + SOON;
        while !wanted.is_empty() && !shown(&fd, wanted).contains(wanted) && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(if wanted.is_empty() { MOMENT } else { Duration::from_millis(5) });
        shown(&fd, PollFlags::empty())
    }
}

/// What poll shows at once; with something to wait for, after a short wait for it.
fn shown(fd: &impl AsFd, wanted: PollFlags) -> PollFlags {
    let asked = PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP | PollFlags::PRI;
    let asked = if wanted.is_empty() { asked } else { wanted };
    let mut fds = [PollFd::new(fd, asked)];
    let wait = if wanted.is_empty() { Duration::ZERO } else { Duration::from_millis(200) };
    let _ = poll(&mut fds, Timespec::try_from(wait).ok().as_ref());
    fds[0].revents()
}

/// The hosts of all worlds. Each set is used by one behaviour at a time.
#[derive(Debug)]
pub(crate) struct Hosts {
    near: Host,
    far: Host,
    tapped: Host,
    tapping: Host,
    red: Host,
    blue: Host,
}

static IDLE: Mutex<Vec<Hosts>> = Mutex::new(Vec::new());
static MADE: AtomicUsize = AtomicUsize::new(0);
static PORT: AtomicU16 = AtomicU16::new(1024);

impl Hosts {
    /// Takes hosts that are idle, if there are.
    pub(crate) fn idle() -> Option<Self> {
        IDLE.lock().expect("nothing panics under it").pop()
    }

    /// Gives them back for the next behaviour.
    pub(crate) fn give_back(self) {
        IDLE.lock().expect("nothing panics under it").push(self);
    }

    /// Ends all that are idle.
    pub(crate) fn end() {
        IDLE.lock().expect("nothing panics under it").clear();
    }

    /// Makes some.
    pub(crate) fn new() -> Result<Self> {
        let (near, far, tapped) = (Net::new("near")?, Net::new("far")?, Net::new("tapped")?);
        tapped.tap("tap0", &["10.0.0.1/24", "fd00::1/64"])?;
        let configuration = "ip=10.0.0.2/24,ip=fd00::2/64,icmp_ratelimit=off";
        let tapping = tapped.enter(|| Stack::new("tap://tap0", configuration))?;
        Net::veth(
            &near,
            ("eth0", &["10.0.0.2/24", "fd00::2/64"]),
            &far,
            ("eth0", &["10.0.0.1/24", "fd00::1/64"]),
        )?;
        tapped.wait_for_carrier("tap0")?;
        for net in [&near, &tapped] {
            // Whose echo sockets the kernel allows: nobody's in a new namespace, icmp(7). Where /proc/sys
            // is read-only, only the behaviours of echo sockets and of TCP_MAXSEG fail.
            let _ = net.enter(|| std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0"));
        }
        for net in [&near, &far, &tapped] {
            // So that no error of many is kept back, icmp(7): what is limited are those of one behaviour after another.
            for limit in ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"] {
                let _ = net.enter(|| std::fs::write(format!("/proc/sys/net/{limit}"), "0"));
            }
        }
        let switch = format!("switch://parity-{}", MADE.fetch_add(1, Relaxed));
        let red = Stack::new(&switch, "ip=10.0.0.1/24,ip=fd00::1/64,icmp_ratelimit=off")?;
        let blue = Stack::new(&switch, configuration)?;
        Ok(Self {
            near: Host::new(Stack::kernel(), Some(&near), 2),
            far: Host::new(Stack::kernel(), Some(&far), 1),
            tapped: Host::new(Stack::kernel(), Some(&tapped), 1),
            tapping: Host::new(tapping, None, 2),
            red: Host::new(red, None, 1),
            blue: Host::new(blue, None, 2),
        })
    }

    /// The worlds, each with the place of the one whose transcript it must have.
    pub(crate) fn worlds(&self, family: Family) -> Vec<(World, usize)> {
        let world = |name, client: &Host, server: &Host| World {
            name,
            client: client.clone(),
            server: server.clone(),
            family,
            port: PORT.fetch_add(2, Relaxed),
            log: Log::default(),
        };
        vec![
            (world("the kernel to the kernel", &self.near, &self.far), 0),
            (world("the kernel to itself", &self.near, &self.near), 1),
            (world("ours to the kernel", &self.tapping, &self.tapped), 0),
            (world("the kernel to ours", &self.tapped, &self.tapping), 0),
            (world("ours to ours", &self.blue, &self.red), 0),
            (world("ours to itself", &self.blue, &self.blue), 1),
        ]
    }
}
