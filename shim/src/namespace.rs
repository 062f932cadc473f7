//! Sockets of the kernel in another network namespace.

use crate::stack::SetupError;
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A network namespace with a name, as ip-netns(8) makes them.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    file: OwnedFd,
}

impl Namespace {
    /// Opens the namespace and sees whether it may be entered.
    pub(crate) fn open(name: &str) -> Result<Self, SetupError> {
        let path = format!("/run/netns/{name}");
        let refuse = |source| SetupError::Namespace { name: name.to_owned(), path: path.clone(), source };
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(refuse(io::ErrorKind::InvalidInput.into()));
        }
        let file = rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| refuse(errno.into()))?;
        let namespace = Self { name: name.to_owned(), file };
        match namespace.within(|| Ok(())) {
            Ok(()) => Ok(namespace),
            Err(source) => Err(SetupError::Enter { name: namespace.name, source }),
        }
    }

    /// Runs `f` in the namespace, on a thread of its own that ends afterwards. A socket stays in the
    /// namespace it was made in.
    pub(crate) fn within<T: Send>(&self, f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("ioth-netns".into()).spawn_scoped(scope, || {
                move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
                f()
            })?;
            thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
