//! Whatever routers advertise, a host that listens to them learns no more than it has room for.
//!
//! ```text
//! scripts/fuzz routers
//! ```
//!
//! The body is that of the test `hostile::what_the_fuzzer_of_routers_does` in `tests/sim`.
#![no_main]

#[path = "../../tests/sim/feed.rs"]
#[expect(dead_code, reason = "only how to make an engine and frames is needed of it")]
mod feed;
#[path = "../../tests/sim/routers.rs"]
mod routers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| routers::run(data));
