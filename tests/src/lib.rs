//! What the tests share; the tests themselves are beside it, one folder per level.
//!
//! | level | folder | needs |
//! |---|---|---|
//! | sim | `tests/sim` | nothing: engines on a virtual wire in virtual time |
//! | netns | `tests/netns` | namespaces: stacks against the kernel, see [`netns`] |
//! | abi | `tests/abi` | namespaces, a C compiler: C programs on the library [`c`] |
//! | parity | `tests/parity` | namespaces: one body on the kernel's sockets and on ours |

pub mod c;
pub mod child;
pub mod netns;
pub mod pattern;
