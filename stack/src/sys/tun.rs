//! The ioctls of `/dev/net/tun` and of network devices, as safe functions.
//!
//! Constants and meanings: `linux/if_tun.h`, [netdevice(7)] and the kernel's `networking/tuntap`.
//!
//! [netdevice(7)]: https://man7.org/linux/man-pages/man7/netdevice.7.html
#![expect(unsafe_code, reason = "no safe crate has the TUN ioctls with a virtio-net header")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_short};

/// Bytes of an interface name with its terminating zero (`IFNAMSIZ`).
const NAME_SIZE: usize = libc::IFNAMSIZ;

/// Bytes of the union in `struct ifreq`.
const VALUE_SIZE: usize = size_of::<libc::ifreq>() - NAME_SIZE;

/// `struct ifreq`: a name and a union. The union is kept as bytes, aligned as the kernel's (it has
/// pointers in it), so that reading a member needs no `unsafe`.
#[repr(C)]
struct Request {
    name: [u8; NAME_SIZE],
    value: [u8; VALUE_SIZE],
    align: [libc::ifreq; 0],
}

impl Request {
    /// # Errors
    /// `ENAMETOOLONG` if the name and its terminating zero do not fit.
    fn new(name: &str) -> io::Result<Self> {
        if name.len() >= NAME_SIZE {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        let mut request = Self { name: [0; NAME_SIZE], value: [0; VALUE_SIZE], align: [] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        Ok(request)
    }
}

/// Attaches a descriptor of `/dev/net/tun` to the TAP of that name (`TUNSETIFF`), without packet
/// information and with a virtio-net header. The kernel makes the TAP if it does not exist.
///
/// # Errors
/// `EPERM`: neither the owner nor privileged. `EBUSY`: somebody is attached. `EINVAL`: another kind of
/// device.
pub(crate) fn attach_tap(fd: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    const FLAGS: c_short = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as c_short;
    let mut request = Request::new(name)?;
    request.value[..size_of::<c_short>()].copy_from_slice(&FLAGS.to_ne_bytes());
    // SAFETY: ioctl(2) wants an open descriptor, which `fd` is for its lifetime, and TUNSETIFF a pointer
    // to a `struct ifreq` to read and write: `Request` has its size and layout (checked below), is
    // initialised, and nobody else refers to it.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })
}

/// Says how long the header in front of each frame is, in bytes (`TUNSETVNETHDRSZ`).
pub(crate) fn set_header_len(fd: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let len = c_int::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: ioctl(2) wants an open descriptor, which `fd` is for its lifetime, and TUNSETVNETHDRSZ a
    // pointer to an int to read, which lives across the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) })
}

/// What the reader takes besides plain frames with complete checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offload {
    /// Nothing.
    None,
    /// Partial checksums and super-frames of TCP.
    Segments,
    /// Those of UDP, too. Since Linux 6.2, which takes them from us, too.
    SegmentsAndDatagrams,
}

/// Says what the reader takes (`TUNSETOFFLOAD`). The device remembers it after the descriptor is closed.
///
/// # Errors
/// `EINVAL`: the kernel does not know that.
pub(crate) fn set_offload(fd: BorrowedFd<'_>, offload: Offload) -> io::Result<()> {
    const SEGMENTS: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    let features = match offload {
        Offload::None => 0,
        Offload::Segments => SEGMENTS,
        // Neither without the other.
        Offload::SegmentsAndDatagrams => SEGMENTS | libc::TUN_F_USO4 | libc::TUN_F_USO6,
    };
    // SAFETY: ioctl(2) wants an open descriptor, which `fd` is for its lifetime; TUNSETOFFLOAD takes its
    // argument by value, an unsigned long.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(features)) })
}

/// The MTU of a device in the network namespace of the socket (`SIOCGIFMTU`), in bytes.
pub(crate) fn mtu(socket: BorrowedFd<'_>, name: &str) -> io::Result<c_int> {
    let [a, b, c, d, ..] = ask(socket, name, libc::SIOCGIFMTU as libc::Ioctl)?;
    Ok(c_int::from_ne_bytes([a, b, c, d]))
}

/// The flags of a device in the network namespace of the socket (`SIOCGIFFLAGS`): `IFF_UP` and so on.
pub(crate) fn flags(socket: BorrowedFd<'_>, name: &str) -> io::Result<c_int> {
    let [a, b, ..] = ask(socket, name, libc::SIOCGIFFLAGS as libc::Ioctl)?;
    Ok(c_short::from_ne_bytes([a, b]).into())
}

/// Asks about a device with one of the `SIOCGIF…` requests of netdevice(7); what it answers is in the union.
fn ask(socket: BorrowedFd<'_>, name: &str, what: libc::Ioctl) -> io::Result<[u8; VALUE_SIZE]> {
    let mut request = Request::new(name)?;
    // SAFETY: ioctl(2) wants an open descriptor, which `socket` is for its lifetime, and the SIOCGIF
    // requests a pointer to a `struct ifreq` to read and write: `Request` has its size and layout (checked
    // below), is initialised, and nobody else refers to it. The callers pass no other requests.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), what, &raw mut request) })?;
    Ok(request.value)
}

/// The descriptor of a plain TAP, which has no [`AsFd`](std::os::fd::AsFd) of its own.
pub(crate) fn descriptor(iface: &tun_tap::Iface) -> BorrowedFd<'_> {
    // SAFETY: borrow_raw wants a descriptor that stays open for the lifetime of the result and is not
    // -1: `iface` owns its descriptor, closes it only when dropped, and is borrowed for that lifetime.
    unsafe { BorrowedFd::borrow_raw(iface.as_raw_fd()) }
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const _: () = assert!(
    size_of::<Request>() == size_of::<libc::ifreq>() && align_of::<Request>() == align_of::<libc::ifreq>()
);
