//! Between the links and the transports: addresses, routes, neighbours, and the protocols that serve them.

mod arp;
pub(crate) mod checksum;
pub mod cidr;
pub(crate) mod dad;
pub(crate) mod ethernet;
pub(crate) mod extension;
pub(crate) mod icmp;
pub(crate) mod icmp_error;
pub(crate) mod icmp_limit;
pub(crate) mod identification;
pub(crate) mod ip;
pub mod mac;
pub(crate) mod ndp;
pub mod neighbour;
pub(crate) mod pmtu;
pub(crate) mod reassembly;
pub(crate) mod redirect;
pub mod route;
pub(crate) mod source;
pub(crate) mod transit;

pub use cidr::Cidr;
pub use dad::Testing;
pub use mac::Mac;
pub use neighbour::NeighbourTable;
pub use route::{InterfaceId, Route, RouteKind, RouteTable};
