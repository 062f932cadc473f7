//! [`UdpSocket`].

use super::addresses::ToAddresses;
use super::descriptor::{Descriptor, each};
use crate::address;
use crate::option;
use crate::socket as bsd;
use crate::stack::Stack;
use crate::sys::constants::{
    IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MULTICAST_LOOP, IP_MULTICAST_TTL, IPPROTO_IP, IPPROTO_IPV6,
    IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP, IPV6_MULTICAST_LOOP, MSG_NOSIGNAL, MSG_PEEK, SO_BROADCAST,
    SOCK_DGRAM, SOL_SOCKET,
};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

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

    /// Makes it a member of an IPv4 group, on the interface that has an address, or that the routes say
    /// (`IP_ADD_MEMBERSHIP` of ip(7)).
    ///
    /// # Errors
    /// `EINVAL` (no group), `ENODEV` (no interface), `EADDRINUSE` (it is one already), `ENOBUFS` (of 20 groups).
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.set_bytes(IPPROTO_IP, IP_ADD_MEMBERSHIP, &[group.octets(), interface.octets()].concat())
    }

    /// Ends such a membership (`IP_DROP_MEMBERSHIP`).
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` (it is no member), `ENODEV`.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.set_bytes(IPPROTO_IP, IP_DROP_MEMBERSHIP, &[group.octets(), interface.octets()].concat())
    }

    /// Makes it a member of an IPv6 group, on an interface of the stack, or with 0 on the one that the routes say
    /// (`IPV6_ADD_MEMBERSHIP` of ipv6(7)).
    ///
    /// # Errors
    /// `EINVAL` (no group), `ENODEV` (no interface), `EADDRINUSE` (it is one already), `ENOMEM` (of 256 groups).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.set_bytes(
            IPPROTO_IPV6,
            IPV6_ADD_MEMBERSHIP,
            &[&group.octets()[..], &interface.to_ne_bytes()].concat(),
        )
    }

    /// Ends such a membership (`IPV6_DROP_MEMBERSHIP`).
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` (it is no member), `EINVAL` (no group).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.set_bytes(
            IPPROTO_IPV6,
            IPV6_DROP_MEMBERSHIP,
            &[&group.octets()[..], &interface.to_ne_bytes()].concat(),
        )
    }

    /// Sets how far datagrams to IPv4 groups go, in hops; 1 at first (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    /// `EINVAL` above 255.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.0.set(IPPROTO_IP, IP_MULTICAST_TTL, i32::try_from(ttl).unwrap_or(i32::MAX))
    }

    /// How far datagrams to IPv4 groups go.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        Ok(self.0.option(IPPROTO_IP, IP_MULTICAST_TTL)?.unsigned_abs())
    }

    /// Sets whether members on its own stack get what it sends to IPv4 groups; on at first (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.0.set(IPPROTO_IP, IP_MULTICAST_LOOP, on.into())
    }

    /// Whether members on its own stack get what it sends to IPv4 groups.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        Ok(self.0.option(IPPROTO_IP, IP_MULTICAST_LOOP)? != 0)
    }

    /// The same for IPv6 groups (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.0.set(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, on.into())
    }

    /// The same for IPv6 groups.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        Ok(self.0.option(IPPROTO_IPV6, IPV6_MULTICAST_LOOP)? != 0)
    }

    fn set_bytes(&self, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
        option::write(self.0.found(), self.0.fd(), level, name, value)
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
