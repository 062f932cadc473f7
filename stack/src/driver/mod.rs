//! Who runs a stack: the caller inline, the blocked caller as leader, the driver thread for the rest.

mod attachment;
pub(crate) mod core;
#[expect(clippy::module_inception, reason = "the driver's own loop, beside the leader's")]
mod driver;
mod follower;
mod leader;
mod links;
mod runtime;
mod signals;
mod watch;

pub use attachment::{Attachment, Cause, Context, Pump};
pub use leader::Waited;
pub(crate) use runtime::Message;
pub use runtime::Runtime;
pub use watch::{Inbox, Lead, Rest, Watch};
