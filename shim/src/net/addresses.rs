//! [`ToAddresses`]: what the types of this room take for an address.

use crate::resolver::{Hints, getaddrinfo};
use crate::stack::Stack;
use crate::sys::constants::{AI_NUMERICHOST, SOCK_STREAM};
use std::io;
use std::iter::Cloned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::slice;
use std::vec;

/// What has addresses: [`ToSocketAddrs`] for the same types, but names are looked up over the stack
/// ([`Stack::resolve`]) instead of over the host's.
///
/// ```
/// use ioth::Stack;
/// use ioth::net::{TcpListener, TcpStream};
///
/// let red = Stack::new("switch://addresses-doc", "ip=10.0.0.1/24")?;
/// let blue = Stack::new("switch://addresses-doc", "ip=10.0.0.2/24,host=10.0.0.1 red.lab")?;
/// let listener = TcpListener::bind(&red, "10.0.0.1:80")?;
/// TcpStream::connect(&blue, "red.lab:80")?;
/// TcpStream::connect(&blue, ("red.lab", 80))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToAddresses {
    /// The addresses, one after the other.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses; `stack` is called when a name is to be looked up.
    ///
    /// # Errors
    /// As [`Stack::resolve`]; [`InvalidInput`](io::ErrorKind::InvalidInput) for a text that is no address and port.
    fn to_addresses(&self, stack: impl FnOnce() -> Stack) -> io::Result<Self::Iter>;
}

/// What needs no stack.
macro_rules! given {
    ($($type:ty),*) => {$(
        impl ToAddresses for $type {
            type Iter = <Self as ToSocketAddrs>::Iter;

            fn to_addresses(&self, _: impl FnOnce() -> Stack) -> io::Result<Self::Iter> {
                self.to_socket_addrs()
            }
        }
    )*};
}

given!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl<'a> ToAddresses for &'a [SocketAddr] {
    type Iter = Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_addresses(&self, _: impl FnOnce() -> Stack) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToAddresses + ?Sized> ToAddresses for &T {
    type Iter = T::Iter;

    fn to_addresses(&self, stack: impl FnOnce() -> Stack) -> io::Result<Self::Iter> {
        (**self).to_addresses(stack)
    }
}

impl ToAddresses for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_addresses(&self, stack: impl FnOnce() -> Stack) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        if let Ok(address) = host.parse() {
            return Ok(vec![SocketAddr::new(address, port)].into_iter());
        }
        let stack = stack();
        // An address with a scope, or written in another way.
        let hints = Hints { flags: AI_NUMERICHOST, socktype: SOCK_STREAM, ..Hints::default() };
        let found: Vec<_> = match getaddrinfo(&stack, Some(host), None, &hints) {
            Ok(found) => found.into_iter().map(|info| info.address).collect(),
            Err(_) => stack.resolve(host)?.into_iter().map(|address| SocketAddr::new(address, 0)).collect(),
        };
        let with_port = |mut address: SocketAddr| {
            address.set_port(port);
            address
        };
        Ok(found.into_iter().map(with_port).collect::<Vec<_>>().into_iter())
    }
}

impl ToAddresses for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_addresses(&self, stack: impl FnOnce() -> Stack) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_addresses(stack)
    }
}

impl ToAddresses for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_addresses(&self, stack: impl FnOnce() -> Stack) -> io::Result<Self::Iter> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address].into_iter());
        }
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("{self}: HOST:PORT is wanted"));
        let (host, port) = self.rsplit_once(':').ok_or_else(invalid)?;
        (host, port.parse::<u16>().map_err(|_| invalid())?).to_addresses(stack)
    }
}

impl ToAddresses for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_addresses(&self, stack: impl FnOnce() -> Stack) -> io::Result<Self::Iter> {
        self.as_str().to_addresses(stack)
    }
}
