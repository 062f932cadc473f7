//! recvmsg(2) with room for so many bytes of control messages, as C programs have it: what does not fit is cut, and
//! `MSG_CTRUNC` says so.

use crate::control::{self, Control};
use crate::message::{Message, receive_parts};
use crate::sys::constants::MSG_CTRUNC;
use crate::table::{self, Found};
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;

/// As [`recvmsg`](crate::recvmsg()), with the bytes of control messages, cmsg(3), in a room of the caller's: how many of it
/// are used is said beside the message, which has no `controls`. Where they do not fit, the last is cut, those behind it
/// are lost, and `MSG_CTRUNC` is among the flags. Read them with [`Control::decode_all`].
///
/// # Errors
/// As [`recvmsg`](crate::recvmsg()).
///
/// ```
/// use ioth::{AF_INET, Control, IP_RECVTTL, IPPROTO_IP, MSG_CTRUNC, SOCK_DGRAM};
/// use std::io::IoSliceMut;
///
/// let stack = ioth::Stack::new("switch://bounded", "ip=10.0.0.1/24")?;
/// let fd = ioth::msocket(&stack, AF_INET, SOCK_DGRAM, 0)?;
/// ioth::bind(&fd, &"10.0.0.1:5000".parse().expect("an address"))?;
/// ioth::setsockopt_int(&fd, IPPROTO_IP, IP_RECVTTL, 1)?;
/// for (room, flags) in [(24, 0), (8, MSG_CTRUNC)] {
///     ioth::sendto(&fd, b"word", 0, &ioth::getsockname(&fd)?)?;
///     let (mut data, mut controls) = ([0; 4], vec![0; room]);
///     let (message, used) = ioth::recvmsg_into(&fd, &mut [IoSliceMut::new(&mut data)], &mut controls, 0)?;
///     assert_eq!(message.flags, flags);
///     assert_eq!(Control::decode_all(&controls[..used]).len(), usize::from(flags == 0));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn recvmsg_into(
    fd: impl AsFd,
    parts: &mut [IoSliceMut<'_>],
    controls: &mut [u8],
    flags: i32,
) -> io::Result<(Message, usize)> {
    let fd = fd.as_fd();
    let found = table::find(fd)?;
    if matches!(found, Found::Kernel) {
        return crate::message::receive_from_kernel_into(fd, parts, controls, flags);
    }
    let mut message = receive_parts(&found, fd, parts, flags)?;
    let (used, cut) = fill(&std::mem::take(&mut message.controls), controls);
    message.flags |= if cut { MSG_CTRUNC } else { 0 };
    Ok((message, used))
}

/// Writes control messages one after the other, as `put_cmsg` of Linux; says how many bytes are used, and whether some did
/// not fit.
fn fill(controls: &[Control], room: &mut [u8]) -> (usize, bool) {
    let (mut used, mut cut) = (0, false);
    for control in controls {
        let (level, kind, data) = control.encode();
        let left = &mut room[used..];
        if left.len() < control::HEADER_LEN {
            return (used, true);
        }
        let len = (control::HEADER_LEN + data.len()).min(left.len());
        cut |= len < control::HEADER_LEN + data.len();
        left[..8].copy_from_slice(&len.to_ne_bytes());
        left[8..12].copy_from_slice(&level.to_ne_bytes());
        left[12..16].copy_from_slice(&kind.to_ne_bytes());
        left[control::HEADER_LEN..len].copy_from_slice(&data[..len - control::HEADER_LEN]);
        used += len.next_multiple_of(control::ALIGNMENT).min(left.len());
    }
    (used, cut)
}
