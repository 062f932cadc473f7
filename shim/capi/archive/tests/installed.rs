//! What `scripts/install-c` installs: programs find it by pkg-config, shared and static.

use anyhow::{Context, Result, ensure};
use ioth_tests::c::{Workshop, library};
use ioth_tests::netns::{Net, Test, need};
use std::collections::BTreeSet;
use std::process::ExitCode;

fn main() -> ExitCode {
    ioth_tests::netns::run(vec![Test::new("programs_are_linked_both_ways", programs_are_linked_both_ways)])
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

fn programs_are_linked_both_ways(net: &Net) -> Result<()> {
    need("pkg-config", "pkg-config")?;
    let workshop = Workshop::new("installed")?;
    let (library, folder) = (library()?, workshop.path().display());
    let built = library.parent().context("it is in a folder")?.display();
    net.run(&format!("{ROOT}/scripts/install-c --built {built} {folder}/prefix"))?;
    let pkg_config = format!("PKG_CONFIG_PATH={folder}/prefix/lib/pkgconfig pkg-config");
    let cc = format!("cc -std=gnu11 {ROOT}/examples/c/two_stacks.c -o {folder}/two");
    let run = format!("env -i LD_LIBRARY_PATH={folder}/prefix/lib {folder}/two");
    net.run(&format!("{cc} $({pkg_config} --cflags --libs ioth) -pthread"))?;
    let needed = net.run(&format!("readelf -d {folder}/two"))?;
    ensure!(needed.contains("[libioth.so.1]"), "{needed}");
    ensure!(net.run(&run)?.ends_with("you are 10.0.0.2\n"));

    let archive = format!("{folder}/prefix/lib/libioth.a");
    let exported = |of: &str, path: &str| {
        let symbols = net.run(&format!("nm {of} --defined-only --extern-only {path} 2>/dev/null"))?;
        let names = symbols.lines().filter_map(|line| line.rsplit(' ').next());
        let names = names.filter(|name| name.starts_with("ioth_") && !name.contains('.'));
        Ok::<BTreeSet<_>, anyhow::Error>(names.map(str::to_owned).collect())
    };
    let (shared, within) =
        (exported("-D", &format!("{folder}/prefix/lib/libioth.so"))?, exported("", &archive)?);
    ensure!(shared == within, "in one only: {:?}", shared.symmetric_difference(&within).collect::<Vec<_>>());
    net.run(&format!(
        "{cc} $({pkg_config} --cflags ioth) {archive} $({pkg_config} --static --libs-only-l ioth | sed s/-lioth//) -pthread"
    ))?;
    let needed = net.run(&format!("readelf -d {folder}/two"))?;
    ensure!(!needed.contains("libioth"), "{needed}");
    ensure!(net.run(&run)?.ends_with("you are 10.0.0.2\n"));

    // The plugin, where libioth looks for it.
    let loader = workshop.compile(net, &format!("{ROOT}/tests/abi/c/loader.c"), "loader", "")?;
    ensure!(net.run(&format!("{loader} {folder}/prefix/lib/ioth/ioth_smoltcp-r.so"))? == "end\n");
    Ok(())
}
