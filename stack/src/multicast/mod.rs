//! Multicast: who is a member of which group, and what routers and switches are told of it.

mod exchange;
pub(crate) mod filter;
mod host;
mod igmp;
mod membership;
pub(crate) mod mld;
mod record;
pub(crate) mod sending;
mod shown;

pub use self::filter::SourceChange;
pub(crate) use self::igmp::PROTOCOL as IGMP;
pub(crate) use self::membership::Multicast;
pub use self::membership::Via;
pub use self::sending::MulticastOptions;
