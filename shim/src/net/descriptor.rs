//! What the three types of this room have in common: a descriptor and what it is.

use crate::close::closed;
use crate::errno::fail;
use crate::option;
use crate::socket as bsd;
use crate::stack::Stack;
use crate::sys::constants::{AF_INET, AF_INET6, SOCK_CLOEXEC, SOL_SOCKET};
use crate::table::{self, Found};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// A descriptor of which is known what it is, so that calls need not look it up.
pub(super) struct Descriptor {
    // The order matters: the descriptor is closed first, then the engine looks.
    fd: OwnedFd,
    closer: Closer,
    /// What it is in a forked child.
    inherited: Found,
}

/// Has the engine look when the descriptor was closed.
struct Closer(Found);

impl Drop for Closer {
    fn drop(&mut self) {
        closed(&self.0);
    }
}

impl Descriptor {
    /// Makes a socket that can have this address.
    pub(super) fn new(stack: &Stack, address: &SocketAddr, kind: i32) -> io::Result<Self> {
        let domain = if address.is_ipv4() { AF_INET } else { AF_INET6 };
        Ok(Self::from(bsd::msocket(stack, domain, kind | SOCK_CLOEXEC, 0)?))
    }

    /// Sets an option that is an integer.
    pub(super) fn set(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        option::write(self.found(), self.fd(), level, name, &value.to_ne_bytes())
    }

    /// Sets a timeout option; a time of zero is refused, as std does.
    pub(super) fn set_timeout(&self, name: i32, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return fail(Errno::INVAL);
        }
        let timeout = timeout.map_or(Duration::ZERO, |timeout| timeout.max(Duration::from_micros(1)));
        let mut value = [0; 16];
        value[..8].copy_from_slice(&i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX).to_ne_bytes());
        value[8..].copy_from_slice(&i64::from(timeout.subsec_micros()).to_ne_bytes());
        option::write(self.found(), self.fd(), SOL_SOCKET, name, &value)
    }

    /// Reads an option that is an integer.
    pub(super) fn option(&self, level: i32, name: i32) -> io::Result<i32> {
        let mut value = [0; 4];
        option::read(self.found(), self.fd(), level, name, &mut value)?;
        Ok(i32::from_ne_bytes(value))
    }

    /// Reads a timeout option.
    pub(super) fn timeout(&self, name: i32) -> io::Result<Option<Duration>> {
        let mut value = [0; 16];
        option::read(self.found(), self.fd(), SOL_SOCKET, name, &mut value)?;
        let word = |at: usize| value[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let timeout = Duration::from_secs(word(0)) + Duration::from_micros(word(8));
        Ok((!timeout.is_zero()).then_some(timeout))
    }

    /// Another descriptor of the same socket, close-on-exec.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let fd = self.fd.try_clone()?;
        Ok(Self { fd, closer: Closer(self.closer.0.clone()), inherited: self.inherited.clone() })
    }

    /// What it is.
    pub(super) fn found(&self) -> &Found {
        match &self.closer.0 {
            Found::Ours(socket) if socket.shared.inherited() => &self.inherited,
            found => found,
        }
    }

    /// The stack that it is on, as far as the descriptor tells: a socket in a namespace is the kernel's.
    pub(super) fn stack(&self) -> Stack {
        match &self.closer.0 {
            Found::Ours(socket) => Stack::at(Arc::clone(&socket.home)),
            Found::Plain(_) | Found::Netlink(_) | Found::Kernel => Stack::kernel(),
        }
    }

    /// The descriptor.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The descriptor, given away.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// How it shows in debugging output, as std's types do.
    pub(super) fn debug(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let mut shown = f.debug_struct(name);
        if let Ok(address) = bsd::getsockname_found(self.found(), self.fd()) {
            shown.field("addr", &address);
        }
        if let Ok(peer) = bsd::getpeername_found(self.found(), self.fd()) {
            shown.field("peer", &peer);
        }
        shown.field("fd", &self.fd.as_raw_fd()).finish()
    }
}

impl From<OwnedFd> for Descriptor {
    fn from(fd: OwnedFd) -> Self {
        let found = table::find(fd.as_fd()).unwrap_or(Found::Kernel);
        let inherited = match &found {
            Found::Ours(socket) => Found::Plain(Arc::clone(&socket.shared)),
            found => found.clone(),
        };
        Self { fd, closer: Closer(found), inherited }
    }
}

/// Tries each address until one works; the last error if none does.
pub(super) fn each<T>(
    addresses: impl Iterator<Item = SocketAddr>,
    mut f: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses {
        match f(&address) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address was given")))
}
