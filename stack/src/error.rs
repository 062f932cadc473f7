//! What can go wrong with an endpoint, as one closed set, and the one table that maps it to errno.

use std::io;

/// Why a call on an endpoint failed. Each value is one errno of the BSD calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// `EAGAIN`: the call would have to wait.
    #[error("the operation would block")]
    WouldBlock,
    /// `EINPROGRESS`: the connection is being made.
    #[error("the connection is being made")]
    InProgress,
    /// `EALREADY`: an earlier connect is still going on.
    #[error("an earlier connect is still going on")]
    AlreadyInProgress,
    /// `EISCONN`: the endpoint has a peer already.
    #[error("the socket is connected already")]
    AlreadyConnected,
    /// `ENOTCONN`: the endpoint has no peer.
    #[error("the socket is not connected")]
    NotConnected,
    /// `EDESTADDRREQ`: a datagram without a destination.
    #[error("a destination address is required")]
    DestinationRequired,
    /// `EADDRINUSE`: somebody has that address and port.
    #[error("the address is in use")]
    AddressInUse,
    /// `EADDRNOTAVAIL`: the stack does not have that address, or has no port left.
    #[error("the stack does not have that address, or has no port left")]
    AddressNotAvailable,
    /// `EAFNOSUPPORT`: an address of the wrong family.
    #[error("the address family does not fit the socket")]
    AddressFamily,
    /// `EINVAL`: the call makes no sense in this state or with this argument.
    #[error("invalid argument or state")]
    Invalid,
    /// `EOPNOTSUPP`: this kind of endpoint has no such operation.
    #[error("this kind of socket has no such operation")]
    NotSupported,
    /// `EMSGSIZE`: the datagram does not fit.
    #[error("the message is too long")]
    MessageTooLong,
    /// `EPIPE`: sending was shut down, here or by a reset.
    #[error("sending was shut down")]
    BrokenPipe,
    /// `ECONNREFUSED`: the peer answered that nobody listens there.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// `ECONNRESET`: the peer reset the connection.
    #[error("the connection was reset by the peer")]
    ConnectionReset,
    /// `ECONNABORTED`: the connection ended by a local fault.
    #[error("the connection was aborted")]
    ConnectionAborted,
    /// `ETIMEDOUT`: the peer did not answer in time.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// `ENETUNREACH`: there is no route to the destination.
    #[error("there is no route to the destination")]
    NetworkUnreachable,
    /// `ESRCH`: there is no such route.
    #[error("there is no such route")]
    NoSuchRoute,
    /// `EHOSTUNREACH`: the next hop or the destination does not answer.
    #[error("the destination cannot be reached")]
    HostUnreachable,
    /// `ENOPROTOOPT`: the peer does not speak the protocol.
    #[error("the destination does not speak the protocol")]
    ProtocolUnreachable,
    /// `EHOSTDOWN`: a router does not know the destination.
    #[error("the destination is not known")]
    HostUnknown,
    /// `ENONET`: a router says that the sender is isolated.
    #[error("the sender is isolated from the network")]
    Isolated,
    /// `EPROTO`: the peer or a router did not understand a header.
    #[error("a header was not understood")]
    Protocol,
    /// `ENODEV`: there is no such interface.
    #[error("there is no such interface")]
    NoInterface,
    /// `ENXIO`: nothing says by which interface a frame is to leave.
    #[error("no such device or address")]
    NoSuchDevice,
    /// `ENETDOWN`: the stack was shut down.
    #[error("the stack was shut down")]
    NetworkDown,
    /// `EACCES`: broadcast without permission, or a route that prohibits it.
    #[error("permission denied")]
    AccessDenied,
    /// `ENOBUFS`: a queue or table of the stack is full.
    #[error("no buffer space")]
    NoBuffers,
    /// `ENOMEM`: the system gave no memory for the rings.
    #[error("out of memory")]
    OutOfMemory,
    /// `EBADF`: the endpoint does not exist (any more).
    #[error("no such endpoint")]
    BadEndpoint,
}

impl Error {
    /// The errno of the BSD calls for this error.
    #[must_use]
    pub const fn errno(self) -> i32 {
        match self {
            Self::WouldBlock => libc::EAGAIN,
            Self::InProgress => libc::EINPROGRESS,
            Self::AlreadyInProgress => libc::EALREADY,
            Self::AlreadyConnected => libc::EISCONN,
            Self::NotConnected => libc::ENOTCONN,
            Self::DestinationRequired => libc::EDESTADDRREQ,
            Self::AddressInUse => libc::EADDRINUSE,
            Self::AddressNotAvailable => libc::EADDRNOTAVAIL,
            Self::AddressFamily => libc::EAFNOSUPPORT,
            Self::Invalid => libc::EINVAL,
            Self::NotSupported => libc::EOPNOTSUPP,
            Self::MessageTooLong => libc::EMSGSIZE,
            Self::BrokenPipe => libc::EPIPE,
            Self::ConnectionRefused => libc::ECONNREFUSED,
            Self::ConnectionReset => libc::ECONNRESET,
            Self::ConnectionAborted => libc::ECONNABORTED,
            Self::TimedOut => libc::ETIMEDOUT,
            Self::NetworkUnreachable => libc::ENETUNREACH,
            Self::NoSuchRoute => libc::ESRCH,
            Self::HostUnreachable => libc::EHOSTUNREACH,
            Self::ProtocolUnreachable => libc::ENOPROTOOPT,
            Self::HostUnknown => libc::EHOSTDOWN,
            Self::Isolated => libc::ENONET,
            Self::Protocol => libc::EPROTO,
            Self::NoInterface => libc::ENODEV,
            Self::NoSuchDevice => libc::ENXIO,
            Self::NetworkDown => libc::ENETDOWN,
            Self::AccessDenied => libc::EACCES,
            Self::NoBuffers => libc::ENOBUFS,
            Self::OutOfMemory => libc::ENOMEM,
            Self::BadEndpoint => libc::EBADF,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::from_raw_os_error(error.errno())
    }
}
