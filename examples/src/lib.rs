//! Small programs, one idea each. All but `status` take `--stack VNL,config` and so run on any stack, the kernel's too.
//!
//! | program | idea |
//! |---|---|
//! | `two_stacks` | one process on two networks, with the same address on both |
//! | `thread_nodes` | threads as nodes of an Internet |
//! | `echo_server` | the BSD calls |
//! | `fork_server` | connections handed to child processes |
//! | `http_client`, `http_server` | streams that read and write like the standard library's |
//! | `oob` | urgent data: its signal and its mark |
//! | `scatter` | messages of several parts, and control messages |
//! | `udp_chat` | datagrams, and poll(2) over a socket and the terminal |
//! | `nonblock` | one poll over a socket that never waits and the keyboard |
//! | `dns_query` | a protocol crate on top of both transports |
//! | `ping` | ICMP |
//! | `traceroute` | routers that are threads, and what they say about packets |
//! | `epoll_server` | one epoll(7) over two stacks and the terminal |
//! | `tokio_echo` | an async runtime on the real descriptors |
//! | `raw_ip` | an IP packet built by hand |
//! | `sniff` | what passes over the links of a stack |
//! | `status` | what a stack shows of itself, as `ip` and `ss` show the kernel's |
//! | `perf` | what the benchmarks measure with |
//!
//! Network locators: `kernel`, `netns:NAME` (the kernel's stack of a namespace), `tap://NAME`,
//! `switch://NAME` (inside the process).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use ioth::Stack;

/// An argument that names a stack: a network locator up to the first comma, then its configuration, as
/// in `tap://red,ip=10.0.0.2/24,gw=10.0.0.1`.
#[derive(Clone, Debug)]
pub struct StackArg {
    /// The network it is on.
    pub vnl: String,
    /// Addresses, routes and so on.
    pub config: String,
}

impl StackArg {
    /// Makes the stack.
    ///
    /// # Errors
    /// The text says what was tried and what to do.
    pub fn open(&self) -> anyhow::Result<Stack> {
        Ok(Stack::new(&self.vnl, &self.config)?)
    }
}

impl FromStr for StackArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (vnl, config) = text.split_once(',').unwrap_or((text, ""));
        Ok(Self { vnl: vnl.to_owned(), config: config.to_owned() })
    }
}

impl fmt::Display for StackArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.vnl)?;
        if self.config.is_empty() { Ok(()) } else { write!(f, ",{}", self.config) }
    }
}
