//! C programs on the C library. Each is compiled by `cc` and run three times: with the calls of the system, with those of
//! `ioth.h` on the kernel's stack, and with those on a stack of ours. What the first says, the others must say.

mod header;
mod manual;
mod own;
mod programs;

use std::process::ExitCode;

fn main() -> ExitCode {
    ioth_tests::netns::run([programs::tests(), header::tests(), own::tests(), manual::tests()].concat())
}
