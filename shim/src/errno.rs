//! Short ways to the `io::Error` of an errno.

use rustix::io::Errno;
use std::io;

/// The error of one errno.
pub(crate) fn errno(value: Errno) -> io::Error {
    value.into()
}

/// The failure of one errno.
pub(crate) fn fail<T>(value: Errno) -> io::Result<T> {
    Err(errno(value))
}
