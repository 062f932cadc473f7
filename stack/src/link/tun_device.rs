//! What both kinds of TAP share: `/dev/net/tun`, whether the device exists, its MTU, and what went wrong.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::setup_error::SetupError;
use crate::sys;

const CONTROL: &str = "/dev/net/tun";

/// Smallest MTU that carries IPv4 (RFC 791, 3.2).
const MIN_MTU: u16 = 68;

/// A fresh, unattached descriptor of the TUN driver, in the network namespace of the calling thread. It
/// does not block and does not survive exec.
///
/// # Errors
/// When there is no such device file, or it may not be opened.
pub(super) fn control(name: &str) -> Result<OwnedFd, SetupError> {
    rustix::fs::open(CONTROL, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).map_err(
        |errno| SetupError::Link {
            what: what(name),
            attempted: "open /dev/net/tun for",
            advice: match errno {
                rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => {
                    "let this user open it with: chmod 0666 /dev/net/tun".into()
                }
                _ => "load the driver with: modprobe tun (in a container, pass the device in: \
                      --device /dev/net/tun)"
                    .into(),
            },
            source: errno.into(),
        },
    )
}

/// Checks that the device exists in the network namespace of the calling thread, unless it may be made:
/// the kernel would make it for a privileged caller without a word.
///
/// # Errors
/// `ENODEV` when it does not.
pub(super) fn check_exists(name: &str, create: bool) -> Result<(), SetupError> {
    if create {
        return Ok(());
    }
    let index = any_socket().and_then(|socket| Ok(rustix::net::netdevice::name_to_index(&socket, name)?));
    index.map(drop).map_err(|source| open_error(name, source))
}

/// The MTU of the device, in bytes, as far as the IP protocols can use it.
pub(super) fn mtu(name: &str) -> Result<u16, SetupError> {
    let mtu = any_socket().and_then(|socket| sys::tun::mtu(socket.as_fd(), name));
    let mtu = mtu.map_err(|source| open_error(name, source))?;
    Ok(u16::try_from(mtu.max(0)).unwrap_or(u16::MAX).max(MIN_MTU))
}

/// Waits, for at most a tenth of a second, until the kernel sends on a device that was just attached to. Its
/// carrier comes with us, and until the kernel has dealt with that, usually within a millisecond, it drops
/// what it has to send: the answers to the first packets among it.
pub(super) fn await_carrier(name: &str) {
    let Ok(socket) = any_socket() else { return };
    for _ in 0..100 {
        let waits = |flags| flags & libc::IFF_UP != 0 && flags & libc::IFF_RUNNING == 0;
        if !sys::tun::flags(socket.as_fd(), name).is_ok_and(waits) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The error of attaching to the device.
pub(super) fn open_error(name: &str, source: io::Error) -> SetupError {
    let advice = match source.raw_os_error() {
        Some(libc::ENODEV) => {
            format!("create it with: ip tuntap add {name} mode tap user $USER (or ask for ?create=on)")
        }
        Some(libc::EPERM | libc::EACCES) => {
            format!("create it for this user with: ip tuntap add {name} mode tap user $USER")
        }
        Some(libc::EBUSY) => {
            format!("find it with: grep -ls 'iff:.{name}$' /proc/[0-9]*/fdinfo/*")
        }
        Some(libc::EINVAL) => {
            format!("it must be a TAP with one queue; see: ip -details link show {name}")
        }
        _ => format!("look at it with: ip -details link show {name}"),
    };
    SetupError::Link { what: what(name), attempted: "open", source, advice }
}

fn what(name: &str) -> String {
    format!("tap {name:?}")
}

/// A socket to ask about devices: any does ([netdevice(7)]).
///
/// [netdevice(7)]: https://man7.org/linux/man-pages/man7/netdevice.7.html
fn any_socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}
