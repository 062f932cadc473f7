//! C programs of which the system has no equal: they check what they see, and say `end`.

use anyhow::{Result, ensure};
use ioth_tests::c::Workshop;
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("own::stacks_and_configuration", stacks_and_configuration),
        Test::new("own::addresses_and_routes", addresses_and_routes),
        Test::new("own::a_plugin_of_libioth", a_plugin_of_libioth),
    ]
}

fn stacks_and_configuration(net: &Net) -> Result<()> {
    let workshop = Workshop::new("stacks")?;
    let program = workshop.compile(
        net,
        &crate::programs::path("stacks"),
        "stacks",
        &format!("-DIOTH {}", workshop.link()),
    )?;
    let said = net.run(&program)?;
    ensure!(said == "end\n", "{said}");
    Ok(())
}

fn a_plugin_of_libioth(net: &Net) -> Result<()> {
    let workshop = Workshop::new("plugin")?;
    let program = workshop.compile(net, &crate::programs::path("loader"), "loader", "")?;
    let said = net.run(&format!("{program} {}/ioth_smoltcp-r.so", workshop.path().display()))?;
    ensure!(said == "end\n", "{said}");
    Ok(())
}

/// On an interface of the kernel and on one of ours.
fn addresses_and_routes(net: &Net) -> Result<()> {
    let workshop = Workshop::new("routes")?;
    let flags = format!("-DIOTH {}", workshop.link());
    let program = workshop.compile(net, &crate::programs::path("routes"), "routes", &flags)?;
    net.tap("vde0", &[])?;
    let expected = net.run(&format!("IOTH_STACK= {program}"))?;
    let said = net.run(&format!("IOTH_STACK=smoltcp IOTH_VNL=switch://routes {program}"))?;
    ensure!(said == expected, "{}", crate::programs::differences("on a stack", &expected, &said));
    Ok(())
}
