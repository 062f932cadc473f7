//! `IPPROTO_IPV6`, ipv6(7).

use super::{Flag, Target, integer, show_integer};
use crate::errno::fail;
use crate::sys::constants::IPV6_V6ONLY;
use rustix::io::Errno;
use std::io;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    match name {
        IPV6_V6ONLY => Ok(show_integer(value, i32::from(target.shared.settings.has(Flag::V6Only)))),
        _ => fail(Errno::NOPROTOOPT),
    }
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    match name {
        IPV6_V6ONLY => {
            let on = integer(value)? != 0;
            // Linux refuses it once the socket has a port.
            if target.shared.names().local.is_some_and(|local| local.port() != 0) {
                return fail(Errno::INVAL);
            }
            target.set(Flag::V6Only, on, |options| options.v6_only = on)
        }
        _ => fail(Errno::NOPROTOOPT),
    }
}
