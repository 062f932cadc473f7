//! What `scripts/install-c` installs: programs find it by pkg-config, shared and static, and its manual names everything.

use anyhow::{Context, Result, ensure};
use ioth_tests::c::{INCLUDE, Workshop, library};
use ioth_tests::netns::{Net, Test, need};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("installed::programs_are_linked_both_ways", programs_are_linked_both_ways),
        Test::new("installed::the_manual_names_every_call", the_manual_names_every_call),
    ]
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

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
    net.run(&format!(
        "{cc} $({pkg_config} --cflags ioth) {archive} $({pkg_config} --static --libs-only-l ioth | sed s/-lioth//) -pthread"
    ))?;
    let needed = net.run(&format!("readelf -d {folder}/two"))?;
    ensure!(!needed.contains("libioth"), "{needed}");
    ensure!(net.run(&run)?.ends_with("you are 10.0.0.2\n"));

    // The plugin, where libioth looks for it.
    let loader = workshop.compile(net, &crate::programs::path("loader"), "loader", "")?;
    ensure!(net.run(&format!("{loader} {folder}/prefix/lib/ioth/ioth_smoltcp-r.so"))? == "end\n");
    Ok(())
}

fn the_manual_names_every_call(net: &Net) -> Result<()> {
    let declared = crate::header::declared(net)?;
    let mut manual = String::new();
    for page in ["ioth_newstack.3", "ioth_msocket.3", "ioth_config.3"] {
        let text = std::fs::read_to_string(format!("{INCLUDE}/../man/{page}"))?;
        let (_, rest) = text.split_once(".SH NAME\n").context("it has a name")?;
        manual += rest.split_once(".SH SYNOPSIS").context("it has a synopsis")?.0;
    }
    let named: Vec<&str> = manual.split([',', '\n', ' ']).filter(|word| word.starts_with("ioth_")).collect();
    let missing: Vec<_> = declared.iter().filter(|name| !named.contains(&name.as_str())).collect();
    let unknown: Vec<_> = named.iter().filter(|name| !declared.contains(**name)).collect();
    ensure!(
        missing.is_empty() && unknown.is_empty(),
        "not in the manual: {missing:?}; not there: {unknown:?}"
    );
    Ok(())
}
