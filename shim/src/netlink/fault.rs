//! Why a request was refused: an errno, and where the kernel says more (`NETLINK_EXT_ACK` of netlink(7)), a sentence
//! and the place of the attribute in question.

use ioth_stack::Error;
use rustix::io::Errno;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) errno: Errno,
    /// Empty for none.
    pub(super) text: &'static str,
    /// Where in the message the attribute begins.
    pub(super) offset: Option<usize>,
}

impl Fault {
    pub(super) const fn new(errno: Errno) -> Self {
        Self { errno, text: "", offset: None }
    }

    pub(super) const fn because(errno: Errno, text: &'static str) -> Self {
        Self { errno, text, offset: None }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(Errno::from_raw_os_error(error.errno()))
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::new(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}
