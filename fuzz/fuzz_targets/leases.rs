//! Whatever servers of DHCP and DHCPv6 say, an engine that asks them goes on.
//!
//! ```text
//! scripts/fuzz leases
//! ```
//!
//! The body is that of the test `hostile_dhcp::what_the_fuzzer_of_leases_does` in `tests/sim`.
#![no_main]

#[path = "../../tests/sim/feed.rs"]
#[expect(dead_code, reason = "only how to make frames is needed of it")]
mod feed;
#[path = "../../tests/sim/lies.rs"]
mod lies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lies::run(data));
