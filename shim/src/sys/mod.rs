//! What needs `libc` or `unsafe`: raw addresses, options, messages, the urgent mark, the host's resolver, handlers for fork and exit,
//! SIGPIPE, waiting by number. Everything else of the crate is safe code on rustix.

pub(crate) mod address;
pub(crate) mod constants;
pub(crate) mod interfaces;
pub(crate) mod ioctl;
pub(crate) mod mark;
pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod option;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod wait;
