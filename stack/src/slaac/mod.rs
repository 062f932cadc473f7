//! What routers tell hosts, and the addresses that hosts make from it: router discovery (RFC 4861 section 6.3), stateless
//! address autoconfiguration (RFC 4862).

pub(crate) mod advertisement;
pub(crate) mod discovery;
pub(crate) mod identifier;
mod parameters;
mod prefix;
