//! Children that go on when the process with the stacks has ended: every call comes to an end, none hangs.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![a_child_outlives_the_stacks_of_its_parent]
}

const END: &str = "0";
const RESET: &str = "Connection reset by peer (os error 104)";
const PIPE: &str = "Broken pipe (os error 32)";
const DOWN: &str = "Network is down (os error 100)";

/// What the child may see: the parent may still be about to end when it sends.
const SEEN: [(&str, &[&str]); 9] = [
    ("recv", &["5"]),
    ("recv", &[END, RESET]),
    ("recv", &[END]),
    ("send", &["4", PIPE]),
    ("the peer's recv", &[END, RESET]),
    ("accept", &[RESET]),
    ("a datagram's recv", &[END]),
    ("sendto", &[PIPE]),
    ("socket", &[DOWN]),
];

fn a_child_outlives_the_stacks_of_its_parent(_: &Net) -> Result<()> {
    for how in ["return", "abort"] {
        for _ in 0..10 {
            // Its output ends with the child's.
            let output = Command::new(env!("CARGO_BIN_EXE_orphan")).arg(how).output()?;
            let text = String::from_utf8(output.stdout)?;
            ensure!(output.status.success() == (how == "return"), "{how}: {}", output.status);
            let mut lines = text.lines();
            for (call, allowed) in SEEN {
                let (shown, result) =
                    lines.next().and_then(|line| line.split_once(": ")).context("the child ended early")?;
                ensure!(shown == call && allowed.contains(&result), "{how}: {text}");
            }
            ensure!(lines.next().is_none(), "{how}: {text}");
        }
    }
    Ok(())
}
