//! C programs on stacks that are not like the others: of which the system has no equal, which check what they see, and
//! those about an interface, which is one of the kernel or one of ours.

use anyhow::{Result, ensure};
use ioth_tests::c::Workshop;
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("own::stacks_and_configuration", stacks_and_configuration),
        Test::new("own::addresses_and_routes", addresses_and_routes),
        Test::new("own::a_plugin_of_libioth", a_plugin_of_libioth),
        Test::new("own::the_host_is_hidden", the_host_is_hidden),
        Test::new("own::interfaces_by_ioctl", interfaces_by_ioctl),
        Test::new("own::interfaces_by_netlink", interfaces_by_netlink),
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

fn the_host_is_hidden(net: &Net) -> Result<()> {
    let workshop = Workshop::new("hidden")?;
    let flags = format!("-DIOTH {}", workshop.link());
    let program = workshop.compile(net, &crate::programs::path("hidden"), "hidden", &flags)?;
    net.tap("host0", &["10.9.0.1/24"])?;
    let stack = "IOTH_STACK=smoltcp,ip=10.0.0.1/24 IOTH_VNL=vde0:switch://hidden";
    let said = net.run(&format!("{stack} {program}"))?;
    ensure!(said == "end\n", "{said}");
    Ok(())
}

fn interfaces_by_ioctl(_: &Net) -> Result<()> {
    compare("interfaces")
}

fn interfaces_by_netlink(_: &Net) -> Result<()> {
    compare("netlink")
}

/// By the system's calls, and by those of the library on the kernel and on a stack, each on a new interface.
fn compare(name: &str) -> Result<()> {
    let workshop = Workshop::new(name)?;
    let source = crate::programs::path(name);
    let (first, second) = (Net::new("first")?, Net::new("second")?);
    for net in [&first, &second] {
        net.tap("vde0", &[])?;
    }
    let plain = workshop.compile(&first, &source, "plain", "-Wno-nonnull")?;
    let flags = format!("-DIOTH -Wno-nonnull {}", workshop.link());
    let linked = workshop.compile(&first, &source, "linked", &flags)?;
    let expected = first.run(&plain)?;
    for (world, stack) in [("on the kernel", ""), ("on a stack", "smoltcp IOTH_VNL=vde0:switch://interface")]
    {
        let said = second.run(&format!("IOTH_STACK={stack} {linked}"))?;
        ensure!(said == expected, "{}", crate::programs::differences(world, &expected, &said));
    }
    Ok(())
}
