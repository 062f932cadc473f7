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

    /// Starts one that does nothing, and hears of nothing: as a process that is being started, before its exec,
    /// it holds copies of all descriptors. It ends when this is dropped as a [`Bystander`].
    ///
    /// # Errors
    /// Those of clone(2).
    pub fn bystander() -> Result<Bystander> {
        // SAFETY: clone with a signal and nothing else is fork(2) without its handlers; the child calls pause and
        // _exit only, which touch no memory of the parent's other threads.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(libc::SIGCHLD), 0, 0, 0, 0) };
        if pid == 0 {
            // SAFETY: pause has no conditions.
            unsafe { libc::pause() };
            // SAFETY: it takes any status and does not return.
            unsafe { libc::_exit(0) };
        }
        ensure!(pid > 0, "clone: {}", std::io::Error::last_os_error());
        Ok(Bystander(Self(libc::pid_t::try_from(pid)?)))
    }

    /// Kills it, and waits for its end.
    ///
    /// # Errors
    /// Those of waitpid(2).
    pub fn kill(self) -> Result<()> {
        // SAFETY: kill has no conditions; the process is a child that was not waited for, so the number is its.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        self.wait().map(drop)
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

/// See [`Child::bystander`].
#[derive(Debug)]
pub struct Bystander(Child);

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = Child(self.0.0).kill();
    }
}
