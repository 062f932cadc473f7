//! Tests in network namespaces of their own; [`ioth_tests::netns`] says how to add one.

mod configuration;
mod floods;
mod harness;
mod net_script;
mod processes;
mod resolving;
mod routers;
mod set_up;
mod snapshots;
mod stacks;

use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = [
        configuration::tests(),
        floods::tests(),
        harness::tests(),
        net_script::tests(),
        processes::tests(),
        resolving::tests(),
        routers::tests(),
        set_up::tests(),
        snapshots::tests(),
        stacks::tests(),
    ];
    ioth_tests::netns::run(tests.concat())
}
