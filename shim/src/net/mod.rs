//! The types of [`std::net`] on any stack: the same names and meanings, with the stack as the first
//! argument of what makes them. They work on kernel stacks too.
//!
//! Host names in addresses are looked up over the stack: [`ToAddresses`].

mod addresses;
mod descriptor;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;

pub use addresses::ToAddresses;
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;

/// What every type here can do because it is a descriptor.
macro_rules! any_socket {
    ($name:ident) => {
        impl $name {
            /// Another descriptor of the same socket.
            ///
            /// # Errors
            /// `EMFILE`.
            pub fn try_clone(&self) -> ::std::io::Result<Self> {
                Ok(Self(self.0.try_clone()?))
            }

            /// Its own address.
            ///
            /// # Errors
            /// None of ours; those of getsockname(2) on a kernel stack.
            pub fn local_addr(&self) -> ::std::io::Result<::std::net::SocketAddr> {
                $crate::socket::getsockname_found(self.0.found(), self.0.fd())
            }

            /// Makes calls that would wait fail with `EAGAIN` instead.
            ///
            /// # Errors
            /// Those of fcntl(2).
            pub fn set_nonblocking(&self, nonblocking: bool) -> ::std::io::Result<()> {
                $crate::socket::set_nonblocking(self.0.fd(), nonblocking)
            }

            /// Sets the time to live of what it sends over IPv4, `IP_TTL` of ip(7).
            ///
            /// # Errors
            /// `EINVAL` for 0 and for more than 255.
            pub fn set_ttl(&self, ttl: u32) -> ::std::io::Result<()> {
                self.0.set($crate::IPPROTO_IP, $crate::IP_TTL, ttl.cast_signed())
            }

            /// The time to live of what it sends over IPv4.
            ///
            /// # Errors
            /// Those of getsockopt(2).
            pub fn ttl(&self) -> ::std::io::Result<u32> {
                Ok(self.0.option($crate::IPPROTO_IP, $crate::IP_TTL)?.cast_unsigned())
            }

            /// Takes the pending error, `SO_ERROR` of socket(7).
            ///
            /// # Errors
            /// Those of getsockopt(2).
            pub fn take_error(&self) -> ::std::io::Result<Option<::std::io::Error>> {
                $crate::socket::take_error_found(self.0.found(), self.0.fd())
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.debug(f, stringify!($name))
            }
        }

        impl ::std::os::fd::AsFd for $name {
            fn as_fd(&self) -> ::std::os::fd::BorrowedFd<'_> {
                self.0.fd()
            }
        }

        impl ::std::os::fd::AsRawFd for $name {
            fn as_raw_fd(&self) -> ::std::os::fd::RawFd {
                ::std::os::fd::AsRawFd::as_raw_fd(&self.0.fd())
            }
        }

        impl ::std::os::fd::IntoRawFd for $name {
            fn into_raw_fd(self) -> ::std::os::fd::RawFd {
                ::std::os::fd::IntoRawFd::into_raw_fd(self.0.into_fd())
            }
        }

        impl From<$name> for ::std::os::fd::OwnedFd {
            fn from(socket: $name) -> Self {
                socket.0.into_fd()
            }
        }

        /// Takes a descriptor that a BSD call gave.
        impl From<::std::os::fd::OwnedFd> for $name {
            fn from(fd: ::std::os::fd::OwnedFd) -> Self {
                Self(super::descriptor::Descriptor::from(fd))
            }
        }
    };
}

/// What the types that carry data have: a peer and time limits.
macro_rules! data_socket {
    ($name:ident) => {
        impl $name {
            /// The address of the peer.
            ///
            /// # Errors
            /// `ENOTCONN`.
            pub fn peer_addr(&self) -> ::std::io::Result<::std::net::SocketAddr> {
                $crate::socket::getpeername_found(self.0.found(), self.0.fd())
            }

            /// How long receiving waits before it fails with `EAGAIN`; `None`: for ever.
            ///
            /// # Errors
            /// `EINVAL` for a time of zero.
            pub fn set_read_timeout(&self, timeout: Option<::std::time::Duration>) -> ::std::io::Result<()> {
                self.0.set_timeout($crate::SO_RCVTIMEO, timeout)
            }

            /// How long sending waits before it fails with `EAGAIN`; `None`: for ever.
            ///
            /// # Errors
            /// `EINVAL` for a time of zero.
            pub fn set_write_timeout(&self, timeout: Option<::std::time::Duration>) -> ::std::io::Result<()> {
                self.0.set_timeout($crate::SO_SNDTIMEO, timeout)
            }

            /// How long receiving waits.
            ///
            /// # Errors
            /// Those of getsockopt(2).
            pub fn read_timeout(&self) -> ::std::io::Result<Option<::std::time::Duration>> {
                self.0.timeout($crate::SO_RCVTIMEO)
            }

            /// How long sending waits.
            ///
            /// # Errors
            /// Those of getsockopt(2).
            pub fn write_timeout(&self) -> ::std::io::Result<Option<::std::time::Duration>> {
                self.0.timeout($crate::SO_SNDTIMEO)
            }
        }
    };
}

use {any_socket, data_socket};

#[cfg(test)]
mod tests;
