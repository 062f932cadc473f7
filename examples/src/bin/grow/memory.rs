//! What the process uses, as proc(5) says.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Resident memory, in bytes: `VmRSS` of /proc/self/status.
pub(crate) fn resident() -> anyhow::Result<u64> {
    Ok(1024 * field("VmRSS:")?)
}

/// Page tables, in bytes: `VmPTE`.
pub(crate) fn page_tables() -> anyhow::Result<u64> {
    Ok(1024 * field("VmPTE:")?)
}

/// Threads of this process.
pub(crate) fn threads() -> anyhow::Result<u64> {
    field("Threads:")
}

/// Descriptors of this process, but for the one that looks.
pub(crate) fn descriptors() -> anyhow::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count() - 1)
}

fn field(name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).context("a line of /proc/self/status")?;
    Ok(line.split_whitespace().next().context("a number")?.parse()?)
}

/// What this process has computed so far.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Allows as many descriptors as may be allowed.
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
