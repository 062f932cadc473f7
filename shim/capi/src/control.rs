//! Control messages in the memory of a C program, cmsg(3).

use crate::boundary::fail;
use crate::memory::{input, output};
use ioth::Control;
use std::ffi::c_void;
use std::io;

/// `CMSG_LEN(0)`: a length, a level, a type.
const HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGNMENT: usize = size_of::<usize>();

/// Reads them. As the kernel: without room for a header there is none, and one that says it is longer than what is there
/// is `EINVAL`.
pub(crate) unsafe fn read_all(control: *const c_void, len: usize) -> io::Result<Vec<Control>> {
    let mut controls = Vec::new();
    if len > i32::MAX as usize {
        // ____sys_sendmsg: INT_MAX.
        return fail(libc::ENOBUFS);
    }
    // SAFETY: the caller has so many bytes there.
    let mut rest = unsafe { input(control, len) }?;
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let len = header.first_chunk().map_or(0, |len| usize::from_ne_bytes(*len));
        let word = |at: usize| header[at..].first_chunk().map_or(0, |word| i32::from_ne_bytes(*word));
        let Some(data) = rest.get(HEADER..len) else { return fail(libc::EINVAL) };
        controls.push(Control::decode(word(ALIGNMENT), word(ALIGNMENT + 4), data));
        rest = rest.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]);
    }
    Ok(controls)
}

/// Writes as much of them as there is room for, and says how much it took and whether something is missing; as put_cmsg of
/// the kernel.
pub(crate) unsafe fn write_all(
    controls: &[Control],
    place: *mut c_void,
    room: usize,
) -> io::Result<(usize, bool)> {
    let room = if place.is_null() { 0 } else { room };
    let mut used = 0;
    for control in controls {
        let left = room - used;
        if left < HEADER {
            return Ok((used, true));
        }
        let (level, kind, data) = control.encode();
        let len = HEADER + data.len();
        let mut bytes = len.min(left).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        let shown = len.min(left);
        // SAFETY: `used + shown` is not beyond the room of the caller.
        unsafe { output(place.wrapping_byte_add(used), shown) }?.copy_from_slice(&bytes[..shown]);
        used += len.next_multiple_of(ALIGNMENT).min(left);
        if shown < len {
            return Ok((used, true));
        }
    }
    Ok((used, false))
}
