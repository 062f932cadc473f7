//! Behaviours of sockets, each one body that runs in several worlds: between sockets of the kernel,
//! between ours and the kernel's, and between ours. What the kernel does decides.
//!
//! A behaviour writes down results, errnos and poll bits in their order ([`world::World::note`]); the
//! transcripts must be the kernel's ([`transcript`]). Where the table of differences in the crate's docs
//! names one, [`world::World::documented`] asks for exactly that.

mod calls;
mod closing;
mod connecting;
mod copies;
mod crowds;
mod datagram_sizes;
mod datagrams;
mod descriptors;
mod echoes;
mod endings;
mod epolls;
mod families;
mod flags;
mod icmp_errors;
mod interfaces;
mod ip_options;
mod listening;
mod messages;
mod mixes;
mod multicast;
mod netlink;
mod option_effects;
mod options;
mod packet;
mod packet_options;
mod processes;
mod raw;
mod raw_headers;
mod readiness;
mod reuse;
mod sharing;
mod signals;
mod sockets;
mod sources;
mod stored_options;
mod streams;
mod sys;
mod tcp_options;
mod threads;
mod transcript;
mod types;
mod urgent;
mod vectors;
mod waiting;
mod workers;
mod world;

use std::process::ExitCode;

/// Tests from behaviours: in all worlds at once, with both families of addresses.
macro_rules! behaviours {
    ($($body:path),* $(,)?) => {
        vec![$(ioth_tests::netns::Test::new(stringify!($body), |_| {
            crate::transcript::compare(stringify!($body), crate::transcript::Together::Yes, $body)
        }).without_network()),*]
    };
    (alone: $($body:path),* $(,)?) => {
        vec![$(ioth_tests::netns::Test::new(stringify!($body), |_| {
            crate::transcript::compare(stringify!($body), crate::transcript::Together::No, $body)
        }).without_network()),*]
    };
}
use behaviours;

fn main() -> ExitCode {
    let tests = [
        sockets::tests(),
        listening::tests(),
        connecting::tests(),
        streams::tests(),
        endings::tests(),
        options::tests(),
        processes::tests(),
        tcp_options::tests(),
        readiness::tests(),
        copies::tests(),
        families::tests(),
        datagrams::tests(),
        datagram_sizes::tests(),
        echoes::tests(),
        types::tests(),
        threads::tests(),
        mixes::tests(),
        urgent::tests(),
        messages::tests(),
        ip_options::tests(),
        icmp_errors::tests(),
        sharing::tests(),
        signals::tests(),
        multicast::tests(),
        sources::tests(),
        raw::tests(),
        raw_headers::tests(),
        packet::tests(),
        packet_options::tests(),
        flags::tests(),
        descriptors::tests(),
        reuse::tests(),
        vectors::tests(),
        stored_options::tests(),
        option_effects::tests(),
        waiting::tests(),
        epolls::tests(),
        closing::tests(),
        crowds::tests(),
        workers::tests(),
        netlink::tests(),
        interfaces::tests(),
    ];
    ioth_tests::netns::run_then(tests.concat(), world::Hosts::end)
}
