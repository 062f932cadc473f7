//! Whatever a TCP peer says, its connections and those of others behave.
//!
//! ```text
//! scripts/fuzz peer
//! ```
//!
//! The body is that of the test `hostile::what_the_fuzzer_of_peers_does` in `tests/sim`.
#![no_main]

#[path = "../../tests/sim/feed.rs"]
#[expect(dead_code, reason = "only how to make frames is needed of it")]
mod feed;
#[path = "../../tests/sim/peer.rs"]
mod peer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| peer::run(data));
