//! [`TcpListener`].

use super::TcpStream;
use super::addresses::ToAddresses;
use super::descriptor::{Descriptor, each};
use crate::socket as bsd;
use crate::stack::Stack;
use crate::sys::constants::{SO_REUSEADDR, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET};
use std::io;
use std::net::SocketAddr;

/// A TCP socket that listens; [`std::net::TcpListener`] on any stack.
pub struct TcpListener(pub(super) Descriptor);

super::any_socket!(TcpListener);

impl TcpListener {
    /// Listens on an address of `stack`, with `SO_REUSEADDR` and a backlog of 128, as std does.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL`.
    pub fn bind(stack: &Stack, address: impl ToAddresses) -> io::Result<Self> {
        each(address.to_addresses(|| stack.clone())?, |address| {
            let descriptor = Descriptor::new(stack, address, SOCK_STREAM)?;
            descriptor.set(SOL_SOCKET, SO_REUSEADDR, 1)?;
            bsd::bind_found(descriptor.found(), descriptor.fd(), address)?;
            bsd::listen_found(descriptor.found(), descriptor.fd(), 128)?;
            Ok(Self(descriptor))
        })
    }

    /// Waits for a connection and takes it, with the address of the peer.
    ///
    /// # Errors
    /// As [`accept4`](crate::accept4).
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            match bsd::accept_found(self.0.found(), self.0.fd(), SOCK_CLOEXEC) {
                // As the standard library.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                accepted => return accepted.map(|(fd, peer)| (TcpStream::from(fd), peer)),
            }
        }
    }

    /// The connections, one after the other, without end.
    #[must_use]
    pub const fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }
}

/// The connections of a [`TcpListener`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}
