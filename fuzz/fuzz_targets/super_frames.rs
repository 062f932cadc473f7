//! Whatever a TAP hands over, its header is refused or fits the frame, and what is cut from a super-frame is what was in it.
//!
//! ```text
//! scripts/fuzz super_frames
//! ```
//!
//! The body is that of the test `link::tap_input::tests::what_the_fuzzer_does` in the crate.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ioth_stack::link::tap_input::run(data));
