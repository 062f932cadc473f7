//! What a behaviour did, line by line, and whether two worlds agree on it.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::world::{Family, Hosts, World};

/// One behaviour. It writes down what happens; an error is one of the test, not of the calls.
pub(crate) type Body = fn(&World) -> Result<()>;

/// How long a behaviour may take in one world.
const LIMIT: Duration = Duration::from_secs(15);

/// The lines of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Adds a line.
    pub(crate) fn add(&self, line: String) {
        self.0.lock().expect("nothing panics under it").push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("nothing panics under it").clone()
    }
}

/// Whether a behaviour may run beside others. One that forks may not: its child holds copies of all
/// descriptors, and so delays every end in the other behaviours and worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Together {
    /// It may.
    Yes,
    /// It may not.
    No,
}

/// Held for writing by what must be alone.
static ALONE: RwLock<()> = RwLock::new(());

/// Runs a behaviour in all worlds, with each family, and compares the transcripts.
pub(crate) fn compare(name: &str, together: Together, body: Body) -> Result<()> {
    let hosts = match Hosts::idle() {
        Some(hosts) => hosts,
        None => {
            // It starts processes, and between fork and exec they hold copies of all descriptors, too.
            let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
            Hosts::new()?
        }
    };
    let (_shared, _alone);
    match together {
        Together::Yes => _shared = ALONE.read().unwrap_or_else(PoisonError::into_inner),
        Together::No => _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner),
    }
    let mut report = String::new();
    for family in [Family::V4, Family::V6] {
        let worlds = hosts.worlds(family);
        let finished = run(name, together, body, &worlds)?;
        let lines: Vec<_> = worlds.iter().map(|(world, _)| world.log.lines()).collect();
        for (index, (world, oracle)) in worlds.iter().enumerate() {
            let broken = lines[index].last().is_some_and(|line| line.starts_with("BROKEN"));
            if finished[index] && !broken && !lines[index].is_empty() && lines[index] == lines[*oracle] {
                continue;
            }
            let state = if finished[index] { "differs" } else { "did not end" };
            let _ = writeln!(report, "{name}, {family:?}, {}: {state}", world.name);
            report += &difference(&lines[*oracle], &lines[index]);
        }
    }
    if !report.is_empty() {
        // The hosts are not given back: something may still be going on there.
        bail!("{report}");
    }
    hosts.give_back();
    Ok(())
}

/// Runs the body in each world, and says where it ended in time.
fn run(name: &str, together: Together, body: Body, worlds: &[(World, usize)]) -> Result<Vec<bool>> {
    let (done, ended) = mpsc::channel();
    let mut finished = vec![false; worlds.len()];
    let end = Instant::now() + LIMIT;
    for (index, (world, _)) in worlds.iter().enumerate() {
        let (world, done) = (world.clone(), done.clone());
        thread::Builder::new().name(format!("{name} {}", world.name)).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| body(&world)));
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => world.log.add(format!("BROKEN: {error:#}")),
                Err(_) => world.log.add("BROKEN: it panicked".to_owned()),
            }
            let _ = done.send(index);
        })?;
        if together == Together::No
            && let Ok(index) = ended.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            finished[index] = true;
        }
    }
    drop(done);
    while let Ok(index) = ended.recv_timeout(end.saturating_duration_since(Instant::now())) {
        finished[index] = true;
    }
    Ok(finished)
}

/// Both transcripts in one: `-` is what the kernel did, `+` what happened instead.
fn difference(kernel: &[String], ours: &[String]) -> String {
    let mut text = String::new();
    for index in 0..kernel.len().max(ours.len()) {
        match (kernel.get(index), ours.get(index)) {
            (Some(line), Some(same)) if line == same => drop(writeln!(text, "      {line}")),
            (of_kernel, of_ours) => {
                let _ = of_kernel.map(|line| writeln!(text, "    - {line}"));
                let _ = of_ours.map(|line| writeln!(text, "    + {line}"));
            }
        }
    }
    text
}

/// What can stand in a transcript, with addresses and ports replaced by what they are in the world.
pub(crate) trait Show {
    /// The text.
    fn show(&self, world: &World) -> String;
}

impl Show for SocketAddr {
    fn show(&self, world: &World) -> String {
        let ip = self.ip();
        let canonical = ip.to_canonical();
        let is = |address: Self| address.ip().to_canonical() == canonical;
        let of = |family| (world.with(family).at(), world.with(family).here());
        let host = match (of(Family::V4), of(Family::V6)) {
            _ if ip.is_unspecified() => "any",
            ((server, _), _) | (_, (server, _)) if is(server) => "server",
            ((server, client), (server6, client6)) => {
                if is(server) || is(server6) {
                    "server"
                } else if is(client) || is(client6) {
                    "client"
                } else {
                    return self.to_string();
                }
            }
        };
        let mapped = if ip == canonical { "" } else { "mapped " };
        let family = if ip.is_ipv4() { "v4" } else { "v6" };
        match self.port() {
            0 => format!("{mapped}{family} {host}:0"),
            port if port == world.port => format!("{mapped}{family} {host}:port"),
            port if port == world.port + 1 => format!("{mapped}{family} {host}:port+1"),
            _ => format!("{mapped}{family} {host}:some"),
        }
    }
}

impl Show for Errno {
    fn show(&self, _: &World) -> String {
        named(*self)
    }
}

/// The constant's name.
pub(crate) fn named(errno: Errno) -> String {
    let found = NAMES.iter().find(|(known, _)| *known == errno);
    found.map_or_else(|| format!("errno {}", errno.raw_os_error()), |(_, name)| (*name).to_owned())
}

impl Show for io::Error {
    fn show(&self, world: &World) -> String {
        Errno::from_io_error(self).map_or_else(|| self.to_string(), |errno| errno.show(world))
    }
}

impl<T: Show, E: Show> Show for Result<T, E> {
    fn show(&self, world: &World) -> String {
        match self {
            Ok(value) => value.show(world),
            Err(error) => error.show(world),
        }
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self, world: &World) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), |value| value.show(world))
    }
}

impl<A: Show, B: Show> Show for (A, B) {
    fn show(&self, world: &World) -> String {
        format!("{}, {}", self.0.show(world), self.1.show(world))
    }
}

impl Show for OwnedFd {
    fn show(&self, _: &World) -> String {
        "a descriptor".to_owned()
    }
}

impl Show for PollFlags {
    fn show(&self, _: &World) -> String {
        let names: Vec<_> = self.iter_names().map(|(name, _)| name).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join("|") }
    }
}

impl Show for () {
    fn show(&self, _: &World) -> String {
        "done".to_owned()
    }
}

impl<const N: usize> Show for &[u8; N] {
    fn show(&self, _: &World) -> String {
        String::from_utf8_lossy(&self[..]).into_owned()
    }
}

macro_rules! shown_by_debug {
    ($($kind:ty),*) => {$(
        impl Show for $kind {
            fn show(&self, _: &World) -> String {
                format!("{self:?}")
            }
        }
    )*};
}

shown_by_debug!(bool, char, i32, u32, u64, usize, &str, String, Duration, Vec<i32>, Vec<usize>, Vec<bool>);

const NAMES: &[(Errno, &str)] = &[
    (Errno::ACCESS, "EACCES"),
    (Errno::ADDRINUSE, "EADDRINUSE"),
    (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
    (Errno::AGAIN, "EAGAIN"),
    (Errno::ALREADY, "EALREADY"),
    (Errno::BADF, "EBADF"),
    (Errno::CONNABORTED, "ECONNABORTED"),
    (Errno::CONNREFUSED, "ECONNREFUSED"),
    (Errno::CONNRESET, "ECONNRESET"),
    (Errno::DESTADDRREQ, "EDESTADDRREQ"),
    (Errno::DOM, "EDOM"),
    (Errno::FAULT, "EFAULT"),
    (Errno::HOSTUNREACH, "EHOSTUNREACH"),
    (Errno::INTR, "EINTR"),
    (Errno::INPROGRESS, "EINPROGRESS"),
    (Errno::INVAL, "EINVAL"),
    (Errno::ISCONN, "EISCONN"),
    (Errno::NOENT, "ENOENT"),
    (Errno::NODEV, "ENODEV"),
    (Errno::NOTTY, "ENOTTY"),
    (Errno::NXIO, "ENXIO"),
    (Errno::SPIPE, "ESPIPE"),
    (Errno::MSGSIZE, "EMSGSIZE"),
    (Errno::NETDOWN, "ENETDOWN"),
    (Errno::NETUNREACH, "ENETUNREACH"),
    (Errno::NOPROTOOPT, "ENOPROTOOPT"),
    (Errno::NOTCONN, "ENOTCONN"),
    (Errno::NOTSOCK, "ENOTSOCK"),
    (Errno::OPNOTSUPP, "EOPNOTSUPP"),
    (Errno::PERM, "EPERM"),
    (Errno::PIPE, "EPIPE"),
    (Errno::PROTONOSUPPORT, "EPROTONOSUPPORT"),
    (Errno::PROTOTYPE, "EPROTOTYPE"),
    (Errno::SOCKTNOSUPPORT, "ESOCKTNOSUPPORT"),
    (Errno::TIMEDOUT, "ETIMEDOUT"),
];
