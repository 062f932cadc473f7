//! [`TcpStream`].

use super::addresses::ToAddresses;
use super::descriptor::{Descriptor, each};
use crate::errno::fail;
use crate::socket as bsd;
use crate::stack::Stack;
use crate::sys::constants::{
    IPPROTO_TCP, MSG_NOSIGNAL, MSG_PEEK, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_STREAM, TCP_NODELAY,
};
use rustix::io::Errno;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// A TCP connection; [`std::net::TcpStream`] on any stack.
///
/// Closing one with data unread resets the connection, as Linux does.
pub struct TcpStream(pub(super) Descriptor);

super::any_socket!(TcpStream);
super::data_socket!(TcpStream);

impl TcpStream {
    /// Connects from `stack`, to the first of the addresses that it can connect to.
    ///
    /// # Errors
    /// As [`connect`](crate::connect()), and [`Stack::resolve`] for names.
    pub fn connect(stack: &Stack, address: impl ToAddresses) -> io::Result<Self> {
        each(address.to_addresses(|| stack.clone())?, |address| {
            let descriptor = Descriptor::new(stack, address, SOCK_STREAM)?;
            loop {
                match bsd::connect_found(descriptor.found(), descriptor.fd(), address) {
                    // It goes on meanwhile: asked again, it waits.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    connected => return connected.map(|()| Self(descriptor)),
                }
            }
        })
    }

    /// Connects from `stack`, or gives up after `timeout`.
    ///
    /// # Errors
    /// As [`connect`](crate::connect()); `ETIMEDOUT`; `EINVAL` for a time of zero.
    pub fn connect_timeout(stack: &Stack, address: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        let Some(deadline) = Instant::now().checked_add(timeout).filter(|_| !timeout.is_zero()) else {
            return fail(Errno::INVAL);
        };
        let descriptor = Descriptor::new(stack, address, SOCK_STREAM)?;
        bsd::connect_until(descriptor.found(), descriptor.fd(), address, deadline)?;
        Ok(Self(descriptor))
    }

    /// Receives and leaves what it received to be received again.
    ///
    /// # Errors
    /// As [`recv`](crate::recv).
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(bsd::recv_found(self.0.found(), self.0.fd(), buffer, MSG_PEEK)?.0)
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => SHUT_RD,
            Shutdown::Write => SHUT_WR,
            Shutdown::Both => SHUT_RDWR,
        };
        bsd::shutdown_found(self.0.found(), self.0.fd(), how)
    }

    /// Sends small pieces at once (`TCP_NODELAY` of tcp(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set(IPPROTO_TCP, TCP_NODELAY, nodelay.into())
    }

    /// Whether small pieces are sent at once.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.0.option(IPPROTO_TCP, TCP_NODELAY)? != 0)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(bsd::recv_found(self.0.found(), self.0.fd(), buffer, 0)?.0)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        bsd::send_found(self.0.found(), self.0.fd(), data, MSG_NOSIGNAL, None)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
