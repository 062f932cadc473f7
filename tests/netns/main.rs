//! Tests in network namespaces of their own; [`ioth_tests::netns`] says how to add one.

mod advertisements;
mod configuration;
mod counters;
mod crowds;
mod dead_hosts;
mod descriptors;
mod floods;
mod groups;
mod harness;
mod leases;
mod net_script;
mod notifications;
mod orphans;
mod packets;
mod processes;
mod resolving;
mod routers;
mod set_up;
mod snapshots;
mod stacks;
mod udp_super_frames;
mod vlans;
mod waiting;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [
        configuration::tests(),
        counters::tests(),
        crowds::tests(),
        dead_hosts::tests(),
        descriptors::tests(),
        floods::tests(),
        groups::tests(),
        harness::tests(),
        leases::tests(),
        net_script::tests(),
        notifications::tests(),
        orphans::tests(),
        packets::tests(),
        processes::tests(),
        advertisements::tests(),
        resolving::tests(),
        routers::tests(),
        set_up::tests(),
        snapshots::tests(),
        stacks::tests(),
        udp_super_frames::tests(),
        vlans::tests(),
    ];
    ioth_tests::netns::run(tests.concat())
}
