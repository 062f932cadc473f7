//! Forked children.
#![expect(unsafe_code, reason = "fork(2) has conditions that only the caller knows")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, ensure};

/// A forked child.
#[derive(Debug)]
pub struct Child(libc::pid_t);

impl Child {
    /// Forks. The child runs `body` and ends; it takes what it needs by reference, so that nothing is
    /// dropped in it.
    ///
    /// # Errors
    /// Those of fork(2).
    pub fn start(body: impl FnOnce() -> bool) -> Result<Self> {
        // SAFETY: the child of a process with threads runs code of this program and glibc's malloc,
        // which glibc makes usable after fork; it takes no lock another thread may hold, and ends by
        // _exit, so no destructor or exit handler of the parent's state runs.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let good = catch_unwind(AssertUnwindSafe(body)).unwrap_or(false);
            // SAFETY: it takes any status and does not return.
            unsafe { libc::_exit(i32::from(!good)) }
        }
        ensure!(pid > 0, "fork: {}", std::io::Error::last_os_error());
        Ok(Self(pid))
    }

    /// Waits for its end; whether it was good.
    ///
    /// # Errors
    /// Those of waitpid(2).
    pub fn wait(self) -> Result<bool> {
        let pid = rustix::process::Pid::from_raw(self.0);
        let status = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())?;
        Ok(status.is_some_and(|(_, status)| status.exit_status() == Some(0)))
    }
}
