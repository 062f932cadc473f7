//! Programs of classic BPF: given to kernel sockets, and copied from where a C program has them.

#![allow(unsafe_code)]

use ioth_stack::filter::Instruction;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `SO_ATTACH_FILTER` on a kernel socket.
pub(crate) fn attach(fd: BorrowedFd<'_>, instructions: &[Instruction]) -> io::Result<()> {
    let Ok(len) = u16::try_from(instructions.len()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let mut filter: Vec<_> = instructions
        .iter()
        .map(|&Instruction { code, jt, jf, k }| libc::sock_filter { code, jt, jf, k })
        .collect();
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: setsockopt reads a sock_fprog, which is a local, for its size, and as many instructions as that says from where
    // it says: they are in a vector of that length that lives through the call. The descriptor is open while it is borrowed.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Copies bytes of this process from any address, as a system call does; `EFAULT` where there are none.
pub(crate) fn copy_from(address: usize, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0u8; len];
    if len == 0 {
        return Ok(bytes);
    }
    let own = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
    let theirs = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: len };
    let process = std::process::id().cast_signed();
    // SAFETY: process_vm_readv writes what the first iovec refers to, for its length: a vector that lives through the call.
    // What the second refers to the kernel looks at itself, and may be anything. Both are locals.
    let got = unsafe { libc::process_vm_readv(process, &raw const own, 1, &raw const theirs, 1, 0) };
    match usize::try_from(got) {
        Ok(got) if got == len => Ok(bytes),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_a_fault() {
        let bytes = [1u8, 2, 3];
        assert_eq!(copy_from(bytes.as_ptr().addr(), 3).expect("it is there"), bytes);
        for address in [0, 8, usize::MAX - 8] {
            let error = copy_from(address, 8).expect_err("nothing is there");
            assert_eq!(error.raw_os_error(), Some(libc::EFAULT), "{address}");
        }
    }
}
