//! An embeddable TCP/IP stack: the Internet node of a program, a thread or a test.
//!
//! This crate knows nothing of file descriptors as sockets; the crate `ioth` puts the BSD calls on real
//! descriptors around it. Use it directly to drive stacks in virtual time, or when no descriptor is wanted.
//!
//! Data flows one way: [`link`] → [`engine`] → endpoint → application.
//!
//! | room | what it is for |
//! |---|---|
//! | [`Stack`], `stack.rs` | the handle: made by a [`Builder`] from VNLs and configuration |
//! | [`vnl`], [`config`], [`setup_error`] | strings parsed into values; why that failed, and what to do |
//! | [`link`] | what carries frames: TAP, plain TAP, switch; capture and impairment around any of them |
//! | `driver` | who runs a stack: the caller inline, the blocked caller as leader, the driver thread |
//! | [`engine`] | the stack as a pure state machine; calls on endpoints, input, output, timers |
//! | `dhcp` | clients of DHCP and DHCPv6 |
//! | [`net`] | Ethernet, ARP, NDP, IP, ICMP, routes, neighbours |
//! | [`tcp`] | smoltcp's control block, sending with loss recovery, receiving, guards, listeners, numbers |
//! | `datagram.rs`, [`ports`] | UDP and ICMP echo; who has which port |
//! | `raw.rs`, [`packet`], [`filter`] | packets of a protocol; frames of the links; programs that choose among them |
//! | [`snapshot`] | everything about a stack as plain data, printed as `ip` and `ss` print it |
//! | `sys` | every unsafe line |
//!
//! # Example
//! Two stacks on one in-process network, without any privilege:
//! ```
//! use ioth_stack::{Error, Family, Kind, Runtime, Stack};
//!
//! let runtime = Runtime::new()?;
//! let node = |config| Stack::builder(&runtime).interface(None, "switch://lab").config(config).build();
//! let (red, blue) = (node("ip=10.0.0.1/24")?, node("ip=10.0.0.2/24")?);
//!
//! let listener = blue.run(|context| {
//!     let id = context.engine.open(Kind::Stream, Family::V4);
//!     context.engine.bind(id, "10.0.0.2:80".parse().unwrap())?;
//!     context.engine.listen(id, 1)?;
//!     Ok::<_, Error>(id)
//! })?;
//! let client = red.run(|context| {
//!     let id = context.engine.open(Kind::Stream, Family::V4);
//!     let started = context.engine.connect(context.now, id, "10.0.0.2:80".parse().unwrap());
//!     assert_eq!(started, Err(Error::InProgress));
//!     id
//! });
//! let connected = red.wait(client, None, |context| match context.engine.connect_result(client) {
//!     Err(Error::InProgress) => None,
//!     result => Some(result),
//! });
//! assert_eq!(connected.done(), Some(Ok(())));
//! let accepted = blue.wait(listener, None, |context| context.engine.accept(listener).ok());
//! assert_eq!(accepted.done().map(|accepted| accepted.peer.ip()), Some([10, 0, 0, 1].into()));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod adjust;
mod builder;
pub mod config;
mod configure;
mod datagram;
mod dhcp;
mod driver;
pub mod engine;
pub mod error;
pub mod filter;
pub mod link;
mod multicast;
pub mod net;
pub mod packet;
pub mod ports;
mod random;
mod raw;
pub mod setup_error;
mod slaac;
mod stack;
mod sys;
pub mod tcp;
pub mod time;
pub mod vnl;

pub use adjust::LinkChange;
pub use builder::Builder;
pub use config::Config;
pub use driver::{Attachment, Cause, Context, Inbox, Lead, Pump, Rest, Runtime, Waited, Watch};
pub use engine::address::{Assignment, Origin, Standing};
pub use engine::configuration::Teller;
pub use engine::endpoint::{
    Accepted, Arrival, EndpointId, Family, Framing, Kind, Options, Readiness, Received, Shutdown,
};
pub use engine::error_queue::{ErrorReport, ReceivedError, Reporter};
pub use engine::ip_options::{DatagramOptions, IpOptions, MtuDiscovery};
pub use engine::snapshot::{self, Snapshot};
pub use engine::{Counters, Engine, IcmpCounters, InterfaceSettings, Transmit};
pub use error::Error;
pub use multicast::{MulticastOptions, SourceChange, Via};
pub use raw::RawOptions;
pub use setup_error::SetupError;
pub use stack::Stack;
pub use tcp::isn::Secret;
pub use tcp::keepalive::KeepAlive;
pub use tcp::recovery::CongestionControl;
pub use tcp::retries::Retries;
pub use time::Instant;
pub use vnl::Vnl;
