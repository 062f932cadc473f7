//! `IPPROTO_TCP`, tcp(7).

use super::{Flag, Target, integer, show_integer};
use crate::errno::fail;
use crate::sys::constants::TCP_NODELAY;
use rustix::io::Errno;
use std::io;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    match name {
        TCP_NODELAY => Ok(show_integer(value, i32::from(target.shared.settings.has(Flag::NoDelay)))),
        _ => fail(Errno::NOPROTOOPT),
    }
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    match name {
        TCP_NODELAY => {
            let on = integer(value)? != 0;
            target.set(Flag::NoDelay, on, |options| options.nodelay = on)
        }
        _ => fail(Errno::NOPROTOOPT),
    }
}
