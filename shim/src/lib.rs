//! The Internet of Threads: BSD sockets on several TCP/IP stacks in one process, on real file
//! descriptors.
//!
//! A [`Stack`] is an Internet node inside the program. Two of them joined by a switch in memory:
//!
//! ```
//! use ioth::Stack;
//! use ioth::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! let red = Stack::new("switch://lab", "ip=10.0.0.1/24")?;
//! let blue = Stack::new("switch://lab", "ip=10.0.0.2/24")?;
//! let listener = TcpListener::bind(&red, "10.0.0.1:7")?;
//! let echo = std::thread::spawn(move || {
//!     let (mut stream, _) = listener.accept()?;
//!     let mut word = [0; 5];
//!     stream.read_exact(&mut word)?;
//!     stream.write_all(&word)
//! });
//! let mut stream = TcpStream::connect(&blue, "10.0.0.1:7")?;
//! stream.write_all(b"hello")?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer)?;
//! assert_eq!(answer, "hello");
//! echo.join().expect("the echo thread ended well")?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Rooms
//!
//! | what | where |
//! |---|---|
//! | stacks, and the default one of a thread | [`Stack`], [`set_default_stack`] |
//! | the BSD calls, on any descriptor | [`msocket`], [`bind`], [`recv`], … |
//! | the same calls with addresses of any family | [`any`], [`SockAddr`] |
//! | which packets a raw or packet socket receives | [`attach_filter`] |
//! | data with control messages beside it | [`sendmsg`], [`recvmsg`], [`recvmsg_into`], [`Control`] |
//! | waiting for any mix of descriptors | [`poll`](fn@poll), [`select`](fn@select), [`epoll_wait`], … |
//! | the types of [`std::net`] on any stack | [`net`] |
//! | several messages at once, and files | [`sendmmsg`], [`recvmmsg`], [`readv`], [`writev`], [`sendfile`] |
//! | interfaces, as the C library shows them | [`getifaddrs`], [`if_nametoindex`], [`ioctl()`] |
//! | names of hosts, looked up over the stack | [`Stack::resolve`], [`Stack::reverse`], [`getaddrinfo`], [`getnameinfo`], [`gethostbyname`] |
//! | `AF_NETLINK` sockets, with which programs configure a stack as `ip` does the kernel | [`msocket`], [`any`], the example `ip` |
//! | which socket options there are | [`option`] |
//! | what a stack looks like now, as `ip` and `ss` show the kernel's | [`Stack::snapshot`], [`snapshots`], [`ended_snapshots`] |
//!
//! A socket is a real descriptor: read, write, poll, select, epoll, dup, fork, exec, `SCM_RIGHTS` and
//! fdopen work on it, mixed with any other descriptor and with the calls of this crate. Behind it is a
//! pair of AF_UNIX sockets; the calls of this crate pass it by and use the stack directly, so they are
//! faster than plain ones.
//!
//! # What differs from the kernel's sockets
//!
//! The calls of this crate give the results and errnos of Linux, in the order of Linux. What does not:
//!
//! | what | here |
//! |---|---|
//! | plain accept(2), connect(2), bind(2), listen(2), getsockname(2), getpeername(2), getsockopt(2), setsockopt(2) | see the pair: use the calls of this crate |
//! | plain read(2) on a listener | takes and loses a connection that waits; TCP says `ENOTCONN` |
//! | what is said of poll(2) here | holds for the system's; [`poll`](fn@poll) of this crate shows `HUP` and `ERR` as TCP and UDP do |
//! | poll(2) on a fresh stream socket | `OUT`; TCP shows `OUT\|HUP` |
//! | plain write(2) before connect | waits and is sent once connected; TCP says `EPIPE` |
//! | `epoll_wait` by edge (`EPOLLET`), when not everything that was reported is read | the edge may be reported once more, some milliseconds later |
//! | plain recv(2) after a fault | always `ECONNRESET`; the calls of this crate and `SO_ERROR` say which |
//! | poll(2) after a reset behind the end of the stream | `IN\|OUT\|HUP\|RDHUP`; TCP shows `ERR`, too |
//! | plain send(2) after a reset | `EPIPE` at once; TCP says `ECONNRESET` first |
//! | plain read(2), write(2) on a datagram socket without peer | an address of 32 bytes is in front |
//! | plain write(2) of a datagram longer than any packet | is taken and lost; UDP says `EMSGSIZE` |
//! | ICMP errors on a datagram socket | only the calls of this crate report them; poll(2) does not show them (no `ERR`): nothing raises it on one end of a pair |
//! | sending to and joining a group without a route to it | goes over the first interface with an address of the family; Linux says `ENETUNREACH` and `ENODEV` for IPv4 |
//! | a member of a group of IPv6 on one interface | does not hear it on others; Linux forgets the interface once anybody there is a member |
//! | a forked child, memberships of groups | `ENETDOWN` |
//! | a forked child, `sendmsg` with control messages, `recvmsg` | `EOPNOTSUPP`; no control messages |
//! | control messages on TCP | none are received; those that are sent are not looked at, as on Linux |
//! | `IP_RECVERR`, `IP_MTU_DISCOVER` on TCP | are stored; what the network says of a connection shows when it times out |
//! | a raw socket of IPv6 and mapped addresses | `ENETUNREACH`; an IPv4 address is `EINVAL` |
//! | a raw socket with a protocol beyond 255 | `EPROTONOSUPPORT` |
//! | packet sockets, promiscuous or not | see whatever the link hands over; a switch sends a stack only what is for it |
//! | rings, fanout and other options of packet(7) | `ENOPROTOOPT` |
//! | `SO_ATTACH_FILTER` | raw and packet sockets only, `ENOPROTOOPT` on others; programs that load the payload's offset, random numbers or attributes of netlink are `EINVAL` |
//! | plain write(2) on a packet socket of what cannot be sent | is taken and lost; Linux says why not |
//! | a forked child, packet sockets | receives without addresses, and sends without them only |
//! | plain write(2) on a listener | waits; TCP says `EPIPE` |
//! | plain close(2) | takes effect a moment later: until then the address is in use; does not wait for `SO_LINGER` |
//! | close(2) while a connect that did not wait is undecided | it goes on until it is decided, and keeps its port |
//! | connect(2) with `AF_UNSPEC` on a stream socket that listens, or one of whose directions is over | `EOPNOTSUPP` |
//! | bind(2) of a stream socket to a broadcast or multicast address | `EADDRNOTAVAIL` |
//! | a segment that arrives for port 0 | is dropped; Linux answers with a reset |
//! | `socket(AF_INET, SOCK_PACKET)` | the obsolete type is refused |
//! | `SO_RCVBUF`, `SO_SNDBUF` beyond the limit | cut to 4 MiB, not to `rmem_max` and `wmem_max` |
//! | `SO_RCVBUF`, `SO_SNDBUF` of a connection that nobody has set | 512 KiB; a ring that has grown does not show, nor does it shrink |
//! | `TCP_CONGESTION` | "cubic", the default, and "reno"; `ENOENT` for any other, which Linux may have |
//! | `TCP_MAXSEG` of a connection | not bound to half the peer's window |
//! | a SYN without an answer | is sent again after 1, 2, 4 … s; Linux since 6.5 after 1 s at first, four times, and gives up as late |
//! | a connect that did not wait and was refused | make a new socket for another try |
//! | plain shutdown(2) of both directions with something unread | resets the connection |
//! | `MSG_FASTOPEN` | connects and sends, as with a server that gave no cookie yet |
//! | poll(2) with nothing but an urgent byte to receive | `IN\|OUT\|PRI`; TCP shows `OUT\|PRI` |
//! | `POLLPRI`, SIGURG | come with the urgent byte itself, behind what waits in front of it beyond some hundred KB; TCP knows of it earlier |
//! | a signal while a call waits for a lock of its stack, before it waits for the network | counts as one before the call |
//! | calls of this crate in a signal handler | may wait for a lock that the interrupted call holds; plain calls do not |
//! | plain ioctl(2) with `FIONREAD`, `SIOCOUTQ` | the pair alone; [`ioctl()`] of this crate counts right |
//! | what a socket bound to `lo` sends to an address of another interface of the stack | sockets bound to that interface hear it; Linux: those bound to `lo` |
//! | `SIOCADDRT`, `SIOCDELRT` with the name of an interface | `EOPNOTSUPP`: no pointer is followed |
//! | `SIOCADDRT` with `RTF_REJECT` on IPv6 | senders hear `EHOSTUNREACH`; Linux sends to its loopback interface |
//! | an interface that was down | asks DHCP servers anew once it is up |
//! | `SIOCSIFFLAGS` | flags other than `IFF_UP` are not kept |
//! | bytes in the pair | add up to some hundred KB to the window and to `SO_SNDBUF` for plain calls |
//! | descriptors | a socket takes two |
//! | a forked child, once the parent has ended | no call waits: streams end or are reset, `accept` says `ECONNRESET`; a datagram socket receives an empty datagram and sends with `EPIPE` |
//! | a forked child | goes on with its sockets through the parent's stack, while the parent lives; new sockets on it fail with `ENETDOWN`; the child may make stacks of its own |

mod address;
pub mod any;
mod arrivals;
mod bounded;
mod close;
mod connect;
mod connecting;
mod control;
mod cork;
mod datagram;
mod epoll;
mod errno;
mod filter;
mod fork;
mod inside;
mod interfaces;
mod ioctl;
mod join;
mod listener;
mod message;
mod namespace;
pub mod net;
mod netlink;
pub mod option;
mod owner;
mod packet;
mod pair;
mod plain;
mod poll;
mod pump;
mod readiness;
mod resolver;
mod select;
mod sockaddr;
mod socket;
mod stack;
mod state;
mod sys;
mod table;
mod transfer;
mod urgent;
mod vectors;
mod waiting;

pub use bounded::recvmsg_into;
pub use close::close;
pub use control::{Auxiliary, Control, ExtendedError};
pub use epoll::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP,
    EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLRDNORM, EPOLLWAKEUP, EPOLLWRNORM,
    epoll_create1, epoll_ctl, epoll_event, epoll_pwait, epoll_wait,
};
pub use filter::attach_filter;
pub use interfaces::{InterfaceAddress, getifaddrs, if_indextoname, if_nameindex, if_nametoindex};
pub use ioctl::{
    FIONBIO, FIONREAD, SIOCADDRT, SIOCATMARK, SIOCDELRT, SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFDSTADDR,
    SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFMETRIC, SIOCGIFMTU, SIOCGIFNAME, SIOCGIFNETMASK,
    SIOCGIFTXQLEN, SIOCOUTQ, SIOCOUTQNSD, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFHWADDR, SIOCSIFMTU, SIOCSIFNAME,
    SIOCSIFNETMASK, ioctl,
};
pub use ioth_stack::filter::Instruction as FilterInstruction;
pub use ioth_stack::snapshot;
pub use message::{Message, recvmsg, sendmsg};
pub use poll::{
    POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDHUP, POLLRDNORM, POLLWRBAND,
    POLLWRNORM, poll, pollfd, ppoll, sigset_t,
};
pub use resolver::{
    AddrInfo, GaiError, Hints, HostEntry, getaddrinfo, gethostbyaddr, gethostbyname, gethostbyname2,
    getnameinfo,
};
pub use select::{FdSet, pselect, select};
pub use sockaddr::{LinkAddr, SockAddr};
pub use socket::{
    accept, accept4, bind, connect, disconnect, getpeername, getsockname, getsockopt, getsockopt_int, is_own,
    listen, msocket, read, recv, recvfrom, send, sendto, set_nonblocking, setsockopt, setsockopt_int,
    shutdown, sockatmark, socket, socketpair, write,
};
pub use stack::{
    Builder, SetupError, Stack, default_stack, ended_snapshots, remember_ended, set_default_stack, snapshots,
};
pub use sys::constants::*;
pub use vectors::{Receiving, Sending, readv, recvmmsg, sendfile, sendmmsg, writev};

/// The programs in the README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
