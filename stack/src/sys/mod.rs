//! Every unsafe line of the crate.

pub(crate) mod arena;
pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod tun;
