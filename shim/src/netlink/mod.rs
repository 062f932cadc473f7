//! `AF_NETLINK` sockets of `NETLINK_ROUTE` on a stack, netlink(7) and rtnetlink(7): programs look at interfaces,
//! addresses, routes and neighbours of the stack and change them, as `ip` does the kernel's.
//!
//! The descriptor is one end of a message pair; there is no protocol of the engine behind it. What a program writes, with
//! whatever call, is read from the other end and answered there with no lock held, so that a request may do what
//! [`Stack::configure`](crate::Stack::configure) may. A call of this crate answers it itself before it returns, as the
//! kernel does; a plain one, and those of a forked child, the driver's thread.
//!
//! | file | |
//! |---|---|
//! | `socket.rs` | a socket: port, groups, what waits to be received |
//! | `calls.rs`, `option.rs` | the calls on it |
//! | `attachment.rs` | the engine's end of the pair |
//! | `codec.rs`, `fault.rs` | messages and attributes as bytes; why a request is refused |
//! | `request.rs` | from a datagram to its answers |
//! | `link.rs`, `address.rs`, `route.rs`, `neighbour.rs`, `rule.rs` | what is asked, said and done about each |
//! | `notice.rs` | what the groups hear |
//!
//! # What differs from Linux
//!
//! | what | here |
//! |---|---|
//! | what was undone before anybody looked | is not notified |
//! | a neighbour that grows stale while time passes | is notified with the next change |
//! | plain recv(2) after an overflow | does not say `ENOBUFS`; the calls of this crate do |
//! | tables of routes | `main`, and `local`, which follows from the addresses |
//! | several next hops, metrics, source routes, routes by source | `EOPNOTSUPP` |
//! | protocol of a route | not kept: shown is `kernel` for what follows from an address, else `static` |
//! | labels, peers, broadcast addresses of one's own choice | `EOPNOTSUPP` |
//! | neighbours that are not permanent | can be looked at and removed, not set |
//! | kinds of links that can be added | `vde`, with the locator of [`Stack::new`](crate::Stack::new) as its data |
//! | privileges | none are needed |

mod address;
mod attachment;
pub(crate) mod calls;
mod codec;
mod constants;
mod fault;
mod link;
mod neighbour;
mod notice;
mod option;
mod request;
mod route;
mod rule;
mod socket;

pub(crate) use option::{read, write};
pub(crate) use socket::{Socket, open};

#[cfg(test)]
mod tests;
