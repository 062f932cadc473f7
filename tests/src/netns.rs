//! The harness of tests that need networks of their own.
//!
//! [`run`] is the whole `main` of a test program: while it is single-threaded it enters a user
//! namespace (unless it may already make network namespaces), so that nothing needs root. Each test
//! then runs on a fresh thread in a fresh network namespace, its home [`Net`]: names and addresses
//! are free to choose, tests run in parallel, and nothing is left to clean up.
//!
//! ```text
//! pub(crate) fn tests() -> Vec<Test> {
//!     ioth_tests::tests![tap::the_kernel_answers_ping]
//! }
//!
//! fn the_kernel_answers_ping(net: &Net) -> anyhow::Result<()> {
//!     net.tap("red", &["10.0.0.1/24", "fd00::1/64"])?;
//!     let stack = Stack::new("tap://red", "ip=10.0.0.2/24")?;
//!     …
//! }
//! ```
//!
//! A test that hangs fails after its time limit; a test that fails shows its networks and its stacks. One that
//! cannot have what it needs ([`Missing`]) is ignored and says why, and fails where `CI=true` or
//! `IOTH_REQUIRE_NETNS=1` is set. When all tests have ended well and descriptors are left, the program fails.

mod access;
mod descriptors;
mod net;
mod process;
mod runner;
mod sys;

pub use access::{Missing, need};
pub use net::Net;
pub use process::Process;
pub use runner::{Test, run, run_then};
