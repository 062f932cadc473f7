//! One program, three transcripts.

use anyhow::{Result, ensure};
use ioth_tests::c::Workshop;
use ioth_tests::netns::{Net, Test};

/// A test for each program.
macro_rules! programs {
    ($($name:ident),* $(,)?) => {
        $(fn $name(net: &Net) -> Result<()> {
            compare(net, stringify!($name))
        })*

        pub(crate) fn tests() -> Vec<Test> {
            vec![$(Test::new(concat!("programs::", stringify!($name)), $name)),*]
        }
    };
}

programs![
    stream,
    datagram,
    messages,
    many,
    options,
    errors,
    forking,
    threads,
    waiting,
    names,
    closing,
    urgent,
    nonblocking,
    family6,
    raw,
    packets,
    events,
    vectors,
    passing,
];

/// The source of a program.
pub(crate) fn path(name: &str) -> String {
    format!("{}/abi/c/{name}.c", env!("CARGO_MANIFEST_DIR"))
}

fn compare(net: &Net, name: &str) -> Result<()> {
    let workshop = Workshop::new(name)?;
    // They pass wrong arguments on purpose.
    let wrong = "-Wno-nonnull -Wno-stringop-overflow -Wno-stringop-overread";
    let plain = workshop.compile(net, &path(name), "plain", wrong)?;
    let linked =
        workshop.compile(net, &path(name), "linked", &format!("-DIOTH {wrong} {}", workshop.link()))?;
    let expected = net.run(&plain)?;
    // A network for each run: what a closed connection leaves behind holds its port.
    let another = Net::new("another")?;
    ensure!(expected.ends_with("end\n"), "on the system's calls:\n{expected}");
    for (world, stack) in [("on the kernel", ""), ("on a stack", "smoltcp")] {
        let said = another.output(&format!("IOTH_STACK={stack} {linked}"))?;
        let out = String::from_utf8_lossy(&said.stdout);
        let errors = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success() && out == expected, "{}{errors}", differences(world, &expected, &out));
    }
    Ok(())
}

/// The lines that differ.
pub(crate) fn differences(world: &str, expected: &str, said: &str) -> String {
    let mut report = format!("{world} (- is the system's):\n");
    let (mut expected, mut said) = (expected.lines(), said.lines());
    loop {
        match (expected.next(), said.next()) {
            (None, None) => return report,
            (a, b) if a == b => report += &format!("  {}\n", a.unwrap_or_default()),
            (a, b) => {
                report.extend(a.map(|line| format!("- {line}\n")));
                report.extend(b.map(|line| format!("+ {line}\n")));
            }
        }
    }
}
