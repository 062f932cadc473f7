//! A network namespace as a value.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_tap::{Iface, Mode};

use super::process::{self, Process};
use super::sys;

/// A network namespace, alive as long as a clone of this handle, or a thread, process or socket in it.
///
/// Sockets and TAP descriptors belong to the namespace they were opened in and may be used from any
/// thread. Threads and processes belong to the namespace of the thread that started them.
#[derive(Clone, Debug)]
pub struct Net(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    namespace: OwnedFd,
}

/// The networks of one test, to be shown when it fails.
pub(super) type Register = Arc<Mutex<Vec<Net>>>;

thread_local! {
    /// The register of the test that runs on this thread.
    static REGISTER: RefCell<Option<Register>> = const { RefCell::new(None) };
}

/// Has the networks made by this thread written to `register`.
pub(super) fn register_in(register: Register) {
    REGISTER.set(Some(register));
}

impl Net {
    /// A new, empty network: only lo, up. `name` is for the report of a failing test.
    pub fn new(name: &str) -> Result<Self> {
        let namespace =
            thread::scope(|scope| scope.spawn(make).join().expect("making a namespace does not panic"))
                .with_context(|| format!("cannot make the network {name}"))?;
        let net = Self(Arc::new(Inner { name: name.to_owned(), namespace }));
        net.batch("link set dev lo up")?;
        REGISTER.with_borrow(|register| {
            if let Some(register) = register {
                register.lock().expect("no panic while registering").push(net.clone());
            }
        });
        Ok(net)
    }

    /// Makes a virtual Ethernet cable: `left` in the network `a`, `right` in the network `b`, with
    /// the kernel's addresses on them; frames pass once it returns.
    pub fn veth(a: &Self, left: (&str, &[&str]), b: &Self, right: (&str, &[&str])) -> Result<()> {
        let other = b.path();
        a.batch(&format!("link add dev {} type veth peer name {} netns {other}", left.0, right.0))?;
        a.up(left.0, left.1)?;
        b.up(right.0, right.1)?;
        a.wait_for_carrier(left.0)?;
        b.wait_for_carrier(right.0)
    }

    /// Makes the persistent TAP `name`, for a stack to open, with the kernel's addresses on its
    /// other side (`10.0.0.1/24`, `fd00::1/64`; usable at once).
    ///
    /// It has no carrier until it is opened, and the kernel drops what it sends until then: where
    /// the kernel speaks first, wait with [`Net::wait_for_carrier`].
    pub fn tap(&self, name: &str, kernel_addresses: &[&str]) -> Result<()> {
        self.batch(&format!("tuntap add dev {name} mode tap"))?;
        self.up(name, kernel_addresses)
    }

    /// Moves the device `name` to another network, where it gets these addresses and is up. A TAP stays open.
    pub fn give(&self, name: &str, to: &Self, addresses: &[&str]) -> Result<()> {
        self.batch(&format!("link set dev {name} netns {}", to.path()))?;
        to.up(name, addresses)
    }

    /// Opens the TAP `name` as a bare descriptor: one Ethernet frame per `recv` and `send`, no headers.
    pub fn open_tap(&self, name: &str) -> Result<Iface> {
        let tap = self.enter(|| Iface::without_packet_info(name, Mode::Tap));
        tap.with_context(|| format!("cannot open the TAP {name}"))
    }

    /// Waits until the kernel sends on the interface `name`, whose other end is open. That takes a
    /// moment, and what it has to send before is lost, to be repeated a second later: the carrier is
    /// noticed at once (LOWER_UP), but a work queue brings the interface up (state UP).
    pub fn wait_for_carrier(&self, name: &str) -> Result<()> {
        while !self.run(&format!("ip link show dev {name}"))?.contains("state UP") {
            thread::yield_now(); // each turn is a process: nothing spins
        }
        Ok(())
    }

    /// Runs `f` in this network, on a helper thread, and returns what it returns; its panics are the
    /// caller's. In its home network a test need not enter.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let joined = thread::scope(|scope| {
            let name = thread::current().name().unwrap_or(&self.0.name).to_owned();
            let helper = thread::Builder::new().name(name).spawn_scoped(scope, || {
                self.move_here();
                f()
            });
            helper.expect("a thread can be started").join()
        });
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Starts a thread in this network, for the kernel's side of a conversation: a server, say.
    pub fn kernel_thread<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let net = self.clone();
        thread::spawn(move || {
            net.move_here();
            f()
        })
    }

    /// Runs a shell command in this network and returns its standard output.
    ///
    /// # Errors
    /// With all of its output when it does not succeed; [`Net::output`] where failure is expected.
    pub fn run(&self, command: &str) -> Result<String> {
        let output = self.output(command)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("`{command}` in {}: {}\n{text}{errors}", self.0.name, output.status);
        }
        Ok(text)
    }

    /// Runs a shell command in this network to its end.
    pub fn output(&self, command: &str) -> Result<Output> {
        self.enter(|| process::shell(command).stdin(Stdio::null()).output())
            .with_context(|| format!("cannot start `{command}`"))
    }

    /// Starts a shell command in this network; it is killed when the [`Process`] is dropped.
    pub fn start(&self, command: &str) -> Result<Process> {
        Process::start(self, command)
    }

    /// What the kernel knows of this network, as a report.
    pub fn state(&self) -> String {
        let commands = ["ip address", "ip route", "ip -6 route", "ip neighbour", "ss -tuanp"];
        let mut report = format!("--- network {} ---\n", self.0.name);
        for command in commands {
            let _ = match self.run(command) {
                Ok(text) => writeln!(report, "# {command}\n{}", text.trim_end()),
                Err(error) => writeln!(report, "# {command}\n{error:#}"),
            };
        }
        report
    }

    /// Moves the calling thread into this network, for good.
    pub(super) fn move_here(&self) {
        move_into_link_name_space(self.0.namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("a namespace that this process made may be entered");
    }

    /// How ip(8) names this network: it takes a name with a slash for the path of a namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.namespace.as_raw_fd())
    }

    fn up(&self, device: &str, addresses: &[&str]) -> Result<()> {
        let mut batch = format!("link set dev {device} up");
        for address in addresses {
            // Duplicate address detection would make an IPv6 address usable only after a second.
            let nodad = if address.contains(':') { " nodad" } else { "" };
            let _ = write!(batch, "\naddress add {address} dev {device}{nodad}");
        }
        self.batch(&batch)
    }

    /// Runs lines of ip(8) in one process.
    fn batch(&self, lines: &str) -> Result<()> {
        let output = self.enter(|| {
            let mut ip = Command::new("ip")
                .args(["-batch", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            let mut input = ip.stdin.take().expect("it is piped");
            input.write_all(lines.as_bytes())?;
            drop(input);
            ip.wait_with_output()
        })?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("ip in {}: {}\n{lines}", self.0.name, errors.trim_end());
        }
        Ok(())
    }
}

/// Makes a namespace; the calling thread is in it afterwards.
fn make() -> std::io::Result<OwnedFd> {
    sys::new_network()?;
    for interfaces in ["all", "default"] {
        // No duplicate address detection for link-local addresses either. Some containers have a
        // read-only /proc/sys: there, only these addresses are late.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{interfaces}/accept_dad"), "0");
    }
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}
