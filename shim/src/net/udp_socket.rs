//! [`UdpSocket`].

use super::addresses::ToAddresses;
use super::descriptor::{Descriptor, each};
use crate::address;
use crate::socket as bsd;
use crate::stack::Stack;
use crate::sys::constants::{MSG_NOSIGNAL, MSG_PEEK, SO_BROADCAST, SOCK_DGRAM, SOL_SOCKET};
use std::io;
use std::net::SocketAddr;

/// A UDP socket; [`std::net::UdpSocket`] on any stack.
pub struct UdpSocket(pub(super) Descriptor);

super::any_socket!(UdpSocket);
super::data_socket!(UdpSocket);

impl UdpSocket {
    /// Makes a socket with an address of `stack`.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL`.
    pub fn bind(stack: &Stack, address: impl ToAddresses) -> io::Result<Self> {
        each(address.to_addresses(|| stack.clone())?, |address| {
            let descriptor = Descriptor::new(stack, address, SOCK_DGRAM)?;
            bsd::bind_found(descriptor.found(), descriptor.fd(), address)?;
            Ok(Self(descriptor))
        })
    }

    /// Sets where [`send`](Self::send) sends to, and whom alone it receives from.
    ///
    /// # Errors
    /// As [`connect`](crate::connect()).
    pub fn connect(&self, address: impl ToAddresses) -> io::Result<()> {
        each(address.to_addresses(|| self.0.stack())?, |address| {
            bsd::connect_found(self.0.found(), self.0.fd(), address)
        })
    }

    /// Sends a datagram to the peer.
    ///
    /// # Errors
    /// As [`send`](crate::send).
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        bsd::send_found(self.0.found(), self.0.fd(), data, MSG_NOSIGNAL, None)
    }

    /// Sends a datagram to the first of the addresses.
    ///
    /// # Errors
    /// As [`sendto`](crate::sendto).
    pub fn send_to(&self, data: &[u8], address: impl ToAddresses) -> io::Result<usize> {
        let Some(to) = address.to_addresses(|| self.0.stack())?.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address was given"));
        };
        bsd::send_found(self.0.found(), self.0.fd(), data, MSG_NOSIGNAL, Some(&to))
    }

    /// Receives a datagram; what does not fit is lost.
    ///
    /// # Errors
    /// As [`recv`](crate::recv).
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(bsd::recv_found(self.0.found(), self.0.fd(), buffer, 0)?.0)
    }

    /// Receives a datagram and says where it came from; what does not fit is lost.
    ///
    /// # Errors
    /// As [`recvfrom`](crate::recvfrom).
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (len, from) = bsd::recv_found(self.0.found(), self.0.fd(), buffer, 0)?;
        Ok((len, from.unwrap_or(address::NONE)))
    }

    /// As [`recv`](Self::recv), and leaves the datagram to be received again.
    ///
    /// # Errors
    /// As [`recv`](crate::recv).
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(bsd::recv_found(self.0.found(), self.0.fd(), buffer, MSG_PEEK)?.0)
    }

    /// As [`recv_from`](Self::recv_from), and leaves the datagram to be received again.
    ///
    /// # Errors
    /// As [`recvfrom`](crate::recvfrom).
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (len, from) = bsd::recv_found(self.0.found(), self.0.fd(), buffer, MSG_PEEK)?;
        Ok((len, from.unwrap_or(address::NONE)))
    }

    /// Allows datagrams to broadcast addresses (`SO_BROADCAST` of socket(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.0.set(SOL_SOCKET, SO_BROADCAST, broadcast.into())
    }

    /// Whether datagrams to broadcast addresses are allowed.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(self.0.option(SOL_SOCKET, SO_BROADCAST)? != 0)
    }
}
