//! From a descriptor to the stack that it belongs to.

use crate::errno::fail;
use crate::stack::Stack;
use crate::table::{self, Found};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;

impl Stack {
    /// The stack of a socket, `None` if it is the kernel's. A forked child finds the stack of its parent, which it cannot
    /// use.
    ///
    /// # Errors
    /// `EBADF`, `ENOTSOCK` for what is no socket, `ENETDOWN` if the stack is gone.
    ///
    /// ```
    /// let stack = ioth::Stack::new("switch://owner-doc", "")?;
    /// let fd = ioth::msocket(&stack, ioth::AF_INET, ioth::SOCK_DGRAM, 0)?;
    /// let found = ioth::Stack::of(&fd)?.expect("a stack of ours");
    /// assert_eq!(found.name(), stack.name());
    /// assert!(ioth::Stack::of(std::net::UdpSocket::bind("127.0.0.1:0")?)?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn of(fd: impl AsFd) -> io::Result<Option<Self>> {
        let home = match table::find(fd.as_fd())? {
            Found::Kernel => return Ok(None),
            Found::Ours(socket) => Some(socket.home.clone()),
            Found::Plain(shared) => table::home(shared.cookie),
            Found::Netlink(socket) => Some(socket.home()),
        };
        home.map_or_else(|| fail(Errno::NETDOWN), |home| Ok(Some(Self::at(home))))
    }
}
