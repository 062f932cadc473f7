//! Stacks as a program holds them, and the default stack of a thread.

use crate::close;
use crate::errno::fail;
use crate::fork;
use crate::namespace::Namespace;
use crate::resolver::Resolver;
use ioth_stack::Snapshot;
use rustix::io::Errno;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A TCP/IP stack: interfaces, addresses, routes and sockets of their own.
///
/// Cheap to clone; all clones are the same stack. It lives as long as one of them or one of its
/// sockets does; what was sent before then still goes out.
///
/// ```
/// let red = ioth::Stack::new("switch://stack-doc", "ip=10.0.0.1/24")?;
/// let blue = ioth::Stack::builder().interface("eth0", "switch://stack-doc").config("ip=10.0.0.2/24").build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Stack(Which);

#[derive(Clone)]
enum Which {
    Kernel,
    Namespace(Arc<Namespace>),
    Own(Arc<Home>),
}

impl Stack {
    /// Makes a stack with one interface on the network that `vnl` names, configured by `config`.
    ///
    /// `vnl` is a virtual network locator, `[ifname:]scheme://…`: `tap://tap0`, `switch://lab`. Two
    /// more name stacks of the kernel: `kernel:` the host's own, `netns:NAME` the one of a network
    /// namespace that `ip netns add NAME` made; both take no configuration. `config` is a list such
    /// as `ip=10.0.0.2/24,gw=10.0.0.1`.
    ///
    /// # Errors
    /// [`SetupError`] says what was tried, on what, and what to do about it.
    pub fn new(vnl: &str, config: &str) -> Result<Self, SetupError> {
        let (name, namespace) = match vnl.split_once(':') {
            Some(("netns", name)) => (name, true),
            Some(("kernel", "")) => ("", false),
            None if vnl == "kernel" => ("", false),
            _ => return Self::builder().interface("", vnl).config(config).build(),
        };
        if !config.trim().is_empty() {
            return Err(SetupError::Foreign { vnl: vnl.to_owned() });
        }
        if namespace {
            Ok(Self(Which::Namespace(Arc::new(Namespace::open(name)?))))
        } else {
            Ok(Self::kernel())
        }
    }

    /// Starts a stack with any number of interfaces.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The host's own stack: its sockets are the kernel's.
    #[must_use]
    pub const fn kernel() -> Self {
        Self(Which::Kernel)
    }

    /// Sends what is queued, for at most `timeout`, then ends the stack. Calls on its sockets fail
    /// with `ENETDOWN` from then on. Does nothing to a stack of the kernel.
    ///
    /// # Errors
    /// `ETIMEDOUT` when something was left unsent. The stack has ended all the same.
    pub fn shutdown(&self, timeout: Duration) -> io::Result<()> {
        match &self.0 {
            Which::Own(home) => Ok(home.reach()?.shutdown(timeout)?),
            Which::Kernel | Which::Namespace(_) => Ok(()),
        }
    }

    /// Everything about the stack as it is now: interfaces, addresses, routes, neighbours, sockets, counters. Printed, it
    /// looks as `ip`, `ss` and `/proc/net/snmp` look. Nothing is taken in or sent for it.
    ///
    /// ```
    /// use ioth::{Stack, net::{TcpListener, TcpStream}, snapshot::State};
    ///
    /// let red = Stack::new("switch://snapshot-doc", "ip=10.0.0.1/24")?;
    /// let blue = Stack::new("switch://snapshot-doc", "ip=10.0.0.2/24")?;
    /// let listener = TcpListener::bind(&red, "10.0.0.1:7")?;
    /// let stream = TcpStream::connect(&blue, "10.0.0.1:7")?;
    ///
    /// let snapshot = blue.snapshot()?;
    /// let connection = snapshot.sockets_in(State::Established).next().unwrap();
    /// assert_eq!(connection.remote, Some(listener.local_addr()?));
    /// assert_eq!(snapshot.neighbours[0].address, listener.local_addr()?.ip());
    /// println!("{snapshot}");
    /// # drop(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a stack of the kernel: ip(8) and ss(8) show those. `ENETDOWN` in a forked child.
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        match &self.0 {
            Which::Own(home) => Ok(home.reach()?.snapshot()),
            Which::Kernel | Which::Namespace(_) => fail(Errno::OPNOTSUPP),
        }
    }

    /// Changes the configuration while the stack runs: `ip=10.0.0.3/24` adds an address, `-ip=10.0.0.2/24` removes it, the same
    /// for routes, neighbours and the rest of a configuration string. Either all of it happens or nothing. Connections stay;
    /// what uses an address that is gone goes on when it comes back in time.
    ///
    /// ```
    /// let stack = ioth::Stack::new("switch://configure-doc", "ip=10.0.0.1/24")?;
    /// stack.configure("ip=10.0.1.1/24, route=10.9.0.0/16@10.0.1.9 metric 5, route=192.0.2.0/24@blackhole")?;
    /// stack.configure("-ip=10.0.0.1/24")?;
    /// let error = stack.configure("gw=10.0.0.9").unwrap_err();
    /// assert!(error.to_string().contains("no interface reaches the gateway"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`SetupError`] says what could not be done, why, and what to do about it; for a stack of the kernel that ip(8)
    /// configures it.
    pub fn configure(&self, config: &str) -> Result<(), SetupError> {
        self.own()?.configure(config).map_err(Into::into)
    }

    /// Adds an interface while the stack runs, with a configuration that concerns it alone. Gives its name: the one in the
    /// VNL, or `name`, or one that was made up.
    ///
    /// ```
    /// let stack = ioth::Stack::new("switch://one-doc", "ip=10.0.0.1/24")?;
    /// assert_eq!(stack.add_interface("", "lan:switch://two-doc", "ip=10.1.0.1/24,mtu=1400")?, "lan");
    /// stack.remove_interface("lan")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`configure`](Self::configure), and when the link cannot be opened.
    pub fn add_interface(&self, name: &str, vnl: &str, config: &str) -> Result<String, SetupError> {
        let name = (!name.is_empty()).then_some(name);
        self.own()?.add_interface(name, vnl, config).map_err(Into::into)
    }

    /// Takes an interface from the stack, with its addresses and routes, and closes its link.
    ///
    /// # Errors
    /// As [`configure`](Self::configure), and where there is none of that name.
    pub fn remove_interface(&self, name: &str) -> Result<(), SetupError> {
        self.own()?.remove_interface(name).map_err(Into::into)
    }

    /// The stack behind the handle, to be configured.
    fn own(&self) -> Result<&ioth_stack::Stack, SetupError> {
        match &self.0 {
            Which::Own(home) => home.reach().map_err(SetupError::Runtime),
            Which::Kernel | Which::Namespace(_) => Err(SetupError::Foreign { vnl: self.name().to_owned() }),
        }
    }

    /// Its name: what the builder gave, or one that was made up; `kernel`, or that of the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Which::Kernel => "kernel",
            Which::Namespace(namespace) => namespace.name(),
            Which::Own(home) => home.stack.as_ref().map_or("", ioth_stack::Stack::name),
        }
    }

    /// The name servers that were configured (`dns=`) or learned; none for a stack of the kernel,
    /// whose resolver reads `/etc/resolv.conf`.
    #[must_use]
    pub fn nameservers(&self) -> Vec<IpAddr> {
        match &self.0 {
            Which::Own(home) => home.reach().map(ioth_stack::Stack::nameservers).unwrap_or_default(),
            Which::Kernel | Which::Namespace(_) => Vec::new(),
        }
    }

    /// The same as addresses to send to, at this port: a link-local one that was learned has its interface as its scope.
    #[must_use]
    pub fn nameserver_addresses(&self, port: u16) -> Vec<SocketAddr> {
        match &self.0 {
            Which::Own(home) => {
                home.reach().map(|stack| stack.nameserver_addresses(port)).unwrap_or_default()
            }
            Which::Kernel | Which::Namespace(_) => Vec::new(),
        }
    }

    /// The domains in which short names are looked up, configured (`domain=`) or learned; none for a stack of the kernel.
    #[must_use]
    pub fn search_domains(&self) -> Vec<String> {
        match &self.0 {
            Which::Own(home) => home.reach().map(ioth_stack::Stack::search_domains).unwrap_or_default(),
            Which::Kernel | Which::Namespace(_) => Vec::new(),
        }
    }

    /// Whether its sockets are plain sockets of the kernel.
    #[must_use]
    pub const fn is_kernel(&self) -> bool {
        !matches!(self.0, Which::Own(_))
    }

    /// How many of its sockets are open, here or in another process; 0 for a stack of the kernel, which does not say. One
    /// that was accepted counts, one that waits to be accepted does, too, with its listener.
    ///
    /// ```
    /// use ioth::{AF_INET, SOCK_STREAM, Stack, msocket};
    /// let stack = Stack::new("switch://open-doc", "")?;
    /// let fd = msocket(&stack, AF_INET, SOCK_STREAM, 0)?;
    /// assert_eq!(stack.open_sockets(), 1);
    /// drop(fd);
    /// assert_eq!(stack.open_sockets(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.home().map_or(0, close::open_sockets)
    }

    /// The stack of ours behind it, if there is one.
    pub(crate) const fn home(&self) -> Option<&Arc<Home>> {
        if let Which::Own(home) = &self.0 { Some(home) } else { None }
    }

    /// Another handle of a stack of ours.
    pub(crate) const fn at(home: Arc<Home>) -> Self {
        Self(Which::Own(home))
    }

    /// The network namespace its sockets are made in, if it is not the caller's.
    pub(crate) const fn namespace(&self) -> Option<&Arc<Namespace>> {
        if let Which::Namespace(namespace) = &self.0 { Some(namespace) } else { None }
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stack").field(&self.name()).finish()
    }
}

/// Makes a [`Stack`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    name: Option<String>,
    interfaces: Vec<(String, String)>,
    config: Vec<String>,
}

impl Builder {
    /// Gives the stack a name, for messages and tools.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds an interface `ifname` on the network that `vnl` names. An empty `ifname` takes the one in
    /// `vnl`, or the next of `vde0`, `vde1`, ….
    #[must_use]
    pub fn interface(mut self, ifname: &str, vnl: &str) -> Self {
        self.interfaces.push((ifname.to_owned(), vnl.to_owned()));
        self
    }

    /// Adds configuration, as the second argument of [`Stack::new`].
    #[must_use]
    pub fn config(mut self, config: &str) -> Self {
        self.config.push(config.to_owned());
        self
    }

    /// Makes the stack.
    ///
    /// # Errors
    /// [`SetupError`] says what was tried, on what, and what to do about it.
    pub fn build(self) -> Result<Stack, SetupError> {
        let runtime = fork::runtime().map_err(SetupError::Runtime)?;
        let mut builder = ioth_stack::Stack::builder(&runtime);
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        for (ifname, vnl) in &self.interfaces {
            if vnl.starts_with("kernel:") || vnl.starts_with("netns:") {
                return Err(SetupError::Foreign { vnl: vnl.clone() });
            }
            builder = builder.interface(Some(ifname.as_str()).filter(|name| !name.is_empty()), vnl);
        }
        for config in &self.config {
            builder = builder.config(config);
        }
        let stack = builder.build()?;
        let home = Home { stack: Some(stack), generation: fork::generation(), resolver: Box::default() };
        Ok(Stack(Which::Own(Arc::new(home))))
    }
}

/// Why a stack could not be made. Its text names what was tried and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// An interface or the configuration was refused.
    #[error(transparent)]
    Stack(#[from] ioth_stack::SetupError),
    /// The thread or the descriptors that stacks share could not be made.
    #[error("cannot start the driver of the stacks: {0}")]
    Runtime(#[source] io::Error),
    /// A stack of the kernel was to be configured, or to be an interface.
    #[error(
        "\"{vnl}\" is a stack of the kernel: it takes no configuration and is no interface; use Stack::new with an empty one"
    )]
    Foreign {
        /// The locator.
        vnl: String,
    },
    /// A network namespace could not be opened.
    #[error("cannot open the network namespace \"{name}\" ({path}): {source}; list them with: ip netns list")]
    Namespace {
        /// Its name.
        name: String,
        /// Where it was looked for.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A network namespace cannot be entered.
    #[error(
        "cannot enter the network namespace \"{name}\": {source}; it needs CAP_SYS_ADMIN, for example: sudo"
    )]
    Enter {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl SetupError {
    /// The errno of it: `EINVAL` for what cannot be parsed, else what the system answered, such as `EBUSY`,
    /// `EPERM` or `ENODEV`.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Stack(error) => error.errno(),
            Self::Runtime(source) | Self::Namespace { source, .. } | Self::Enter { source, .. } => {
                source.raw_os_error().unwrap_or(libc::EIO)
            }
            Self::Foreign { .. } => libc::EINVAL,
        }
    }
}

impl From<SetupError> for io::Error {
    /// Keeps the text; [`SetupError::errno`] is behind [`get_ref`](io::Error::get_ref).
    fn from(error: SetupError) -> Self {
        Self::new(Self::from_raw_os_error(error.errno()).kind(), error)
    }
}

/// A stack of ours and the process it runs in.
#[derive(Debug)]
pub(crate) struct Home {
    stack: Option<ioth_stack::Stack>,
    generation: u32,
    /// What it remembers about names.
    pub(crate) resolver: Box<Resolver>,
}

impl Home {
    /// The stack, in the process that made it; `ENETDOWN` in a forked child.
    pub(crate) fn reach(&self) -> io::Result<&ioth_stack::Stack> {
        match &self.stack {
            Some(stack) if self.generation == fork::generation() => Ok(stack),
            _ => fail(Errno::NETDOWN),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            // The stack is the parent's: nothing of it may be touched here.
            std::mem::forget(self.stack.take());
            // Another thread may have been changing it.
            std::mem::forget(std::mem::take(&mut self.resolver));
        }
    }
}

/// Snapshots of all stacks of this process that live, in the order in which they were made: for a look at a program that
/// does not do what it should. A stack whose last handle is gone is among them while it finishes its connections.
#[must_use]
pub fn snapshots() -> Vec<Snapshot> {
    fork::known_runtime().map(|runtime| runtime.snapshots()).unwrap_or_default()
}

/// From now on, keeps a snapshot of each of the last `count` stacks whose last handle and socket went: for tests, which
/// let go of their stacks before anybody hears that they failed.
///
/// # Errors
/// When the system gives no descriptor or no thread for what stacks share.
pub fn remember_ended(count: usize) -> io::Result<()> {
    fork::runtime()?.remember_ended(count);
    Ok(())
}

/// The snapshots that [`remember_ended`] has kept, the latest first.
#[must_use]
pub fn ended_snapshots() -> Vec<Snapshot> {
    fork::known_runtime().map(|runtime| runtime.ended()).unwrap_or_default()
}

thread_local! {
    static DEFAULT: RefCell<Stack> = const { RefCell::new(Stack::kernel()) };
}

/// Makes `stack` the default of this thread: what [`socket()`](crate::socket()) uses.
pub fn set_default_stack(stack: &Stack) {
    DEFAULT.set(stack.clone());
}

/// The default stack of this thread; the kernel's unless [`set_default_stack`] said otherwise.
#[must_use]
pub fn default_stack() -> Stack {
    DEFAULT.with_borrow(Clone::clone)
}
