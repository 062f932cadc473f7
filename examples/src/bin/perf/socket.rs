//! Sockets as both sides of a measurement make them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Context;
use ioth::{AF_INET, AF_INET6, IPPROTO_TCP, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, Stack, TCP_NODELAY};

pub(crate) fn listen(stack: &Stack, address: SocketAddr) -> anyhow::Result<OwnedFd> {
    listen_with(open(stack, address)?, address)
}

pub(crate) fn listen_with(socket: OwnedFd, address: SocketAddr) -> anyhow::Result<OwnedFd> {
    ioth::setsockopt_int(&socket, SOL_SOCKET, SO_REUSEADDR, 1)?;
    ioth::bind(&socket, &address).with_context(|| format!("bind to {address}"))?;
    ioth::listen(&socket, 128)?;
    Ok(socket)
}

pub(crate) fn connect(stack: &Stack, server: SocketAddr) -> anyhow::Result<OwnedFd> {
    connect_with(open(stack, server)?, server)
}

pub(crate) fn connect_with(socket: OwnedFd, server: SocketAddr) -> anyhow::Result<OwnedFd> {
    ioth::connect(&socket, &server).with_context(|| format!("connect to {server}"))?;
    Ok(socket)
}

/// With the congestion control that ours has too, so that figures compare.
pub(crate) fn open(stack: &Stack, address: SocketAddr) -> anyhow::Result<OwnedFd> {
    let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
    let socket = ioth::msocket(stack, family, SOCK_STREAM, 0)?;
    if stack.is_kernel() {
        rustix::net::sockopt::set_tcp_congestion(&socket, "cubic").context("TCP_CONGESTION cubic")?;
    }
    Ok(socket)
}

pub(crate) fn no_delay(socket: &OwnedFd) -> io::Result<()> {
    ioth::setsockopt_int(socket, IPPROTO_TCP, TCP_NODELAY, 1)
}

pub(crate) fn send_all(socket: &OwnedFd, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let sent = ioth::send(socket, data, 0)?;
        data = &data[sent..];
    }
    Ok(())
}

/// Fills the buffer; false at the end of the stream.
pub(crate) fn recv_all(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match ioth::recv(socket, &mut buffer[filled..], 0)? {
            0 => return Ok(false),
            len => filled += len,
        }
    }
    Ok(true)
}
