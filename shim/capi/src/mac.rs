//! Ethernet addresses as text: `80:01:02:03:04:05`.

use crate::boundary::{call, fail};
use crate::memory::{input, output, required};
use std::ffi::{c_char, c_void};

/// `MAC_ADDRSTRLEN`: with the zero behind it.
const TEXT: usize = 18;

/// Writes six bytes as text; gives the text, or NULL (`ENOSPC`) when there is no room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_ntomac(mac: *const c_void, text: *mut c_char, len: usize) -> *const c_char {
    call(|| {
        // SAFETY: the caller has six bytes there.
        let mac = unsafe { input(mac, 6) }?;
        if len < TEXT {
            return fail(libc::ENOSPC);
        }
        let shown: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        // SAFETY: the caller has room for so many bytes.
        let room = unsafe { output(text.cast(), TEXT) }?;
        room[..TEXT - 1].copy_from_slice(shown.join(":").as_bytes());
        room[TEXT - 1] = 0;
        Ok(text.cast_const())
    })
}

/// Reads it: 1, or 0 for what is no Ethernet address; as inet_pton(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_macton(text: *const c_char, mac: *mut c_void) -> i32 {
    call(|| {
        // SAFETY: the caller has a string there.
        let Some(octets) = parse(unsafe { required(text) }?) else { return Ok(0) };
        // SAFETY: the caller has room for six bytes.
        unsafe { output(mac, 6) }?.copy_from_slice(&octets);
        Ok(1)
    })
}

/// Six bytes, with one or two digits each.
pub(crate) fn parse(text: &str) -> Option<[u8; 6]> {
    let mut parts = text.split([':', '-']);
    let mut octets = [0; 6];
    for octet in &mut octets {
        let part = parts.next().filter(|part| matches!(part.len(), 1 | 2))?;
        // from_str_radix would take a sign.
        *octet = u8::from_str_radix(part, 16).ok().filter(|_| !part.starts_with('+'))?;
    }
    parts.next().is_none().then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_six_bytes_are_an_address() {
        assert_eq!(parse("80:01:2:03:04:fF"), Some([0x80, 1, 2, 3, 4, 255]));
        for bad in [
            "",
            "80:01:02:03:04",
            "80:01:02:03:04:05:06",
            "80:01:02:03:04:+5",
            "80:01:02:03:04:005",
            "g:0:0:0:0:0",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
