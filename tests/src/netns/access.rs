//! What the tests may do here, and what is missing.

use std::env;
use std::fs::{self, File};
use std::process::{Command, Stdio};

use rustix::process::{getgid, getuid};
use tun_tap::{Iface, Mode};

use super::sys;

/// Something this machine lacks: the test that returns it is ignored, with this message; in CI it fails.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(String);

impl Missing {
    /// `what` says what is missing and how to get it.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Requires the command `name` of the Debian package `package`.
///
/// # Errors
/// [`Missing`] when it is not installed.
pub fn need(name: &str, package: &str) -> Result<(), Missing> {
    // `command -v`, with the places where Debian keeps administrators' commands.
    let found = Command::new("sh")
        .args(["-c", "PATH=$PATH:/usr/sbin:/sbin; command -v \"$0\"", name])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if found {
        return Ok(());
    }
    Err(Missing(format!("the command {name} is missing: apt-get install {package}")))
}

/// True where a test that lacks something must fail.
pub(super) fn required() -> bool {
    let set = |name, value| env::var_os(name).is_some_and(|v| v == value);
    set("CI", "true") || set("IOTH_REQUIRE_NETNS", "1")
}

/// Moves the process, which must be single-threaded, to where it may make networks and TAPs.
pub(super) fn enter() -> Result<(), Missing> {
    let (uid, gid) = (getuid(), getgid());
    if sys::new_network().is_err() {
        sys::new_user_and_network().map_err(|error| refused(&error.into()))?;
        // user_namespaces(7): a group map may be written by an unprivileged process only once
        // setgroups(2) is given up.
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).map_err(|error| refused(&error))?;
        fs::write("/proc/self/setgroups", "deny").map_err(|error| refused(&error))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).map_err(|error| refused(&error))?;
    }
    need("ip", "iproute2")?;
    need("ss", "iproute2")?;
    need("setpriv", "util-linux")?;
    need("unshare", "util-linux")?;
    File::options().read(true).write(true).open("/dev/net/tun").map_err(|error| {
        Missing(format!(
            "cannot open /dev/net/tun: {error}; modprobe tun, and chmod 666 /dev/net/tun as udev does \
             (in a container: --device /dev/net/tun)"
        ))
    })?;
    Iface::without_packet_info("probe", Mode::Tap).map_err(|error| refused(&error))?;
    Ok(())
}

fn refused(error: &std::io::Error) -> Missing {
    Missing(format!(
        "no network namespaces or TAPs: {error}; run as root, or allow user namespaces \
         (sysctl user.max_user_namespaces; kernel.unprivileged_userns_clone=1 on Debian; \
         kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu; --privileged in a container)"
    ))
}
