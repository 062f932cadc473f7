//! The Internet of Threads for C programs: `ioth.h`, with the names, arguments and meanings of libioth, mapped to the calls
//! of the crate `ioth`. Nothing is decided here but what C leaves open: pointers, lengths, errno.
//!
//! # Rooms
//!
//! | what | where |
//! |---|---|
//! | results and errno, no panic passes | `boundary.rs` |
//! | arguments that are pointers | `memory.rs` |
//! | `struct ioth *` and default stacks | `registry.rs` |
//! | making and ending stacks | `lifecycle.rs`, `variadic.rs` |
//! | sockets, their data, messages, descriptors | `socket.rs`, `data.rs`, `message.rs`, `control.rs`, `ioctl.rs` |
//! | waiting for several descriptors | `waiting.rs` |
//! | names of hosts | `names.rs`, `hostent.rs` |
//! | interfaces, addresses, routes | `config.rs`, `link.rs`, `address.rs`, `ifaddrs.rs`, `mac.rs`, over `netlink.rs` |
//! | the same calls as a plugin of libioth | `plugin.rs` |
//!
//! `ioth(7)` says what differs from libioth.
#![expect(unsafe_code, reason = "the boundary to C")]
#![warn(unsafe_op_in_unsafe_fn)]
// What C has to keep is the same everywhere, and `ioth.h` and its man pages say it: pointers are NULL where that means
// something, or good for what the call reads and writes.
#![allow(clippy::missing_safety_doc)]

pub mod address;
mod boundary;
pub mod config;
mod control;
pub mod data;
pub mod hostent;
pub mod ifaddrs;
pub mod ioctl;
pub mod lifecycle;
pub mod link;
pub mod mac;
mod memory;
pub mod message;
pub mod names;
pub mod netlink;
pub mod plugin;
pub mod registry;
pub mod socket;
pub mod variadic;
pub mod waiting;
