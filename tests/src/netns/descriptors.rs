//! No descriptor may be left when all tests of a program have ended well: neither of a socket nor of a stack, a link or a
//! network. What was open before the first test may stay; so may nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// What the driver needs to finish stacks whose last handle is gone: at most their `linger=`, and a little.
const LIMIT: Duration = Duration::from_secs(10);

/// The descriptors that are open, by number, and what they are.
#[derive(Debug)]
pub(super) struct Open(BTreeMap<String, String>);

impl Open {
    pub(super) fn now() -> io::Result<Self> {
        let mut open = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/fd")? {
            let entry = entry?;
            // The one that reads the folder is closed again when its target is asked for, at the latest then.
            if let Ok(target) = fs::read_link(entry.path()) {
                open.insert(entry.file_name().to_string_lossy().into_owned(), target.display().to_string());
            }
        }
        open.retain(|_, target| !target.ends_with("/fd"));
        Ok(Self(open))
    }

    /// Waits until nothing is open that was not before. What is, if it stays.
    pub(super) fn left(&self) -> io::Result<Vec<String>> {
        let end = Instant::now() + LIMIT;
        loop {
            let now = Self::now()?;
            let is_new = |(number, target): &(&String, &String)| self.0.get(*number) != Some(*target);
            let left: Vec<_> =
                now.0.iter().filter(is_new).map(|(number, target)| format!("{number} -> {target}")).collect();
            if left.is_empty() || Instant::now() > end {
                return Ok(left);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}
