//! The resolver against name servers of ours, on another stack.

mod hostile;
mod messages;
mod servers;
