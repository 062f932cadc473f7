//! TCP: one smoltcp control block per connection for handshake and close, and around it what smoltcp does not do: sending,
//! loss recovery, receiving, and what guards it.

pub(crate) mod adapter;
mod census;
pub(crate) mod connection;
mod cookie;
mod delay;
pub(crate) mod demux;
mod guard;
pub mod isn;
pub mod keepalive;
pub(crate) mod listener;
mod received;
mod receiver;
pub mod recovery;
pub mod retries;
mod ring;
pub(crate) mod segment;
pub(crate) mod sender;
#[cfg(test)]
mod tests;
pub(crate) mod time_wait;
mod timestamps;
mod urgent;
