//! Options of a netlink socket: `SOL_NETLINK` of netlink(7), and those of socket(7) that mean something.

use super::constants::{
    NETLINK_ADD_MEMBERSHIP, NETLINK_CAP_ACK, NETLINK_DROP_MEMBERSHIP, NETLINK_EXT_ACK,
    NETLINK_GET_STRICT_CHK, NETLINK_LIST_MEMBERSHIPS, NETLINK_NO_ENOBUFS, NETLINK_ROUTE,
};
use super::socket::{Socket, State};
use crate::errno::fail;
use crate::sys::constants::{
    AF_NETLINK, SO_ACCEPTCONN, SO_DOMAIN, SO_ERROR, SO_PROTOCOL, SO_RCVBUF, SO_TYPE, SOL_SOCKET,
};
use crate::sys::option as raw;
use libc::{RTNLGRP_STATS, SO_RCVBUFFORCE, SO_SNDBUF, SOL_NETLINK};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The highest group (`RTNLGRP_MAX`).
const HIGHEST: u32 = RTNLGRP_STATS;

/// getsockopt(2).
pub(crate) fn read(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &mut [u8],
) -> io::Result<usize> {
    let number = match (level, name) {
        (SOL_SOCKET, SO_TYPE) => socket.kind,
        (SOL_SOCKET, SO_DOMAIN) => AF_NETLINK,
        (SOL_SOCKET, SO_PROTOCOL) => NETLINK_ROUTE,
        (SOL_SOCKET, SO_ACCEPTCONN) => 0,
        (SOL_SOCKET, SO_ERROR) => {
            let lost = std::mem::take(&mut socket.state()?.overrun);
            if lost { Errno::NOBUFS.raw_os_error() } else { 0 }
        }
        // What the other end may send is what this one may have waiting.
        (SOL_SOCKET, SO_RCVBUF) => return raw::read(socket.end().as_fd(), SOL_SOCKET, SO_SNDBUF, value),
        (SOL_SOCKET, _) => return raw::read(fd, level, name, value),
        (SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS) => return list(&*socket.state()?, value),
        (SOL_NETLINK, _) => {
            let mut state = socket.state()?;
            i32::from(*switch(&mut state, name)?)
        }
        _ => return fail(Errno::NOPROTOOPT),
    };
    if level == SOL_NETLINK && value.len() < 4 {
        return fail(Errno::INVAL);
    }
    let len = value.len().min(4);
    value[..len].copy_from_slice(&number.to_ne_bytes()[..len]);
    Ok(len)
}

/// setsockopt(2).
pub(crate) fn write(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &[u8],
) -> io::Result<()> {
    match (level, name) {
        (SOL_SOCKET, SO_RCVBUF | SO_RCVBUFFORCE) => {
            let name = if name == SO_RCVBUF { SO_SNDBUF } else { libc::SO_SNDBUFFORCE };
            return raw::write(socket.end().as_fd(), SOL_SOCKET, name, value);
        }
        (SOL_SOCKET, _) => return raw::write(fd, level, name, value),
        (SOL_NETLINK, _) => {}
        _ => return fail(Errno::NOPROTOOPT),
    }
    let Some(number) = value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)) else {
        return fail(Errno::INVAL);
    };
    match name {
        NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP => {
            if !(1..=HIGHEST).contains(&number) {
                return fail(Errno::INVAL);
            }
            socket.change_groups(|groups| {
                if name == NETLINK_ADD_MEMBERSHIP {
                    groups.insert(number);
                } else {
                    groups.remove(&number);
                }
            })
        }
        _ => {
            *switch(&mut *socket.state()?, name)? = number != 0;
            Ok(())
        }
    }
}

/// The options that are on or off.
fn switch(state: &mut State, name: i32) -> io::Result<&mut bool> {
    match name {
        NETLINK_EXT_ACK => Ok(&mut state.extended),
        NETLINK_CAP_ACK => Ok(&mut state.capped),
        NETLINK_GET_STRICT_CHK => Ok(&mut state.strict),
        NETLINK_NO_ENOBUFS => Ok(&mut state.silent),
        _ => Err(Errno::NOPROTOOPT.into()),
    }
}

/// The groups, a bit each in words of 32; says how many bytes all of them take.
fn list(state: &State, value: &mut [u8]) -> io::Result<usize> {
    let mut words = vec![0u32; (HIGHEST as usize).div_ceil(32)];
    for group in &state.groups {
        if let Some(word) = words.get_mut((*group as usize - 1) / 32) {
            *word |= 1 << ((group - 1) % 32);
        }
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let len = bytes.len().min(value.len() / 4 * 4);
    value[..len].copy_from_slice(&bytes[..len]);
    Ok(bytes.len())
}
