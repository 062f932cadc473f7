//! Whatever arrives, an engine with a listener, connections and a datagram endpoint goes on.
//!
//! ```text
//! scripts/fuzz frames
//! ```
//!
//! The body is that of the test `hostile::what_the_fuzzer_does` in `tests/sim`.
#![no_main]

#[path = "../../tests/sim/feed.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| feed::run(data));
