//! Waiting for what a stack shows of itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ioth::Stack;
use ioth::snapshot::Snapshot;

/// Waits for something that a snapshot shows.
pub(crate) fn until(
    stack: &Stack,
    limit: Duration,
    what: &str,
    done: impl Fn(&Snapshot) -> bool,
) -> Result<()> {
    let start = Instant::now();
    loop {
        let shown = stack.snapshot()?;
        if done(&shown) {
            return Ok(());
        }
        ensure!(start.elapsed() < limit, "{what} did not happen within {limit:?}:\n{shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
