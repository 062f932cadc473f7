//! sendmsg(2), recvmsg(2) and their plural forms: a header of pointers, and what it says afterwards.

use crate::boundary::{call, checked, fail, length};
use crate::control;
use crate::data::{system, with_inputs, with_outputs};
use crate::memory::{address, check, descriptor, read, write};
use ioth::any;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// sendmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_sendmsg(fd: i32, message: *const libc::msghdr, flags: i32) -> isize {
    call(|| {
        let fd = descriptor(fd)?;
        if !ioth::is_own(fd)? {
            // SAFETY: sendmsg checks all of it.
            return system(unsafe { libc::sendmsg(fd.as_raw_fd(), message, flags) });
        }
        // SAFETY: the caller has a message there.
        unsafe { send(fd, message, flags) }
    })
}

unsafe fn send(fd: BorrowedFd<'_>, message: *const libc::msghdr, flags: i32) -> io::Result<isize> {
    // SAFETY: the caller has a message there.
    let message = unsafe { read(message) }?;
    let name_len = name_room(&message)?;
    let to = match message.msg_name.is_null() || name_len == 0 {
        true => None,
        // SAFETY: the caller has an address of that length there.
        false => Some(unsafe { address(message.msg_name.cast(), name_len as libc::socklen_t) }?),
    };
    let send = |parts: &[IoSlice<'_>]| {
        // SAFETY: the caller has so many bytes of control messages there.
        let controls = unsafe { control::read_all(message.msg_control, message.msg_controllen) }?;
        any::sendmsg(fd, parts, &controls, flags, to.as_ref()).map(length)
    };
    // SAFETY: the caller has so many parts there, and bytes where they lead.
    unsafe { with_inputs(message.msg_iov, message.msg_iovlen, libc::EMSGSIZE, send) }
}

/// The length of a name: signed, and cut to the longest that there is, as copy_msghdr_from_user does.
fn name_room(message: &libc::msghdr) -> io::Result<usize> {
    match i32::try_from(message.msg_namelen) {
        Ok(len) => Ok((len.unsigned_abs() as usize).min(size_of::<libc::sockaddr_storage>())),
        Err(_) => fail(libc::EINVAL),
    }
}

/// recvmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_recvmsg(fd: i32, message: *mut libc::msghdr, flags: i32) -> isize {
    call(|| {
        let fd = descriptor(fd)?;
        if !ioth::is_own(fd)? {
            // SAFETY: recvmsg checks all of it.
            return system(unsafe { libc::recvmsg(fd.as_raw_fd(), message, flags) });
        }
        // SAFETY: the caller has a message there.
        unsafe { receive(fd, message, flags) }
    })
}

unsafe fn receive(fd: BorrowedFd<'_>, place: *mut libc::msghdr, flags: i32) -> io::Result<isize> {
    // SAFETY: the caller has a message there.
    let mut header = unsafe { read(place) }?;
    let room = name_room(&header)?;
    let receive = |parts: &mut [IoSliceMut<'_>]| any::recvmsg(fd, parts, flags);
    // SAFETY: the caller has so many parts there, and room where they lead.
    let (message, from) =
        unsafe { with_outputs(header.msg_iov, header.msg_iovlen, libc::EMSGSIZE, receive) }?;
    if !header.msg_name.is_null() {
        let bytes = from.map(|from| from.to_bytes()).unwrap_or_default();
        let shown = bytes.len().min(room);
        // SAFETY: the caller has room for a name of the length it said.
        unsafe { crate::memory::output(header.msg_name, shown) }?.copy_from_slice(&bytes[..shown]);
        header.msg_namelen = bytes.len() as libc::socklen_t;
    }
    // SAFETY: the caller has room for so many bytes of control messages.
    let (used, cut) =
        unsafe { control::write_all(&message.controls, header.msg_control, header.msg_controllen) }?;
    header.msg_controllen = used;
    header.msg_flags = message.flags | if cut { libc::MSG_CTRUNC } else { 0 };
    if flags & libc::MSG_CMSG_CLOEXEC != 0 {
        // As ____sys_recvmsg, which starts with it.
        header.msg_flags |= libc::MSG_CMSG_CLOEXEC;
    }
    // SAFETY: a message was read there.
    unsafe { write(place, header) }?;
    Ok(length(message.len))
}

/// sendmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_sendmmsg(fd: i32, messages: *mut libc::mmsghdr, count: u32, flags: i32) -> i32 {
    call(|| {
        let fd = descriptor(fd)?;
        if !ioth::is_own(fd)? {
            // SAFETY: sendmmsg checks all of it.
            return checked(unsafe { libc::sendmmsg(fd.as_raw_fd(), messages, count, flags as _) });
        }
        // SAFETY: the caller has so many messages there, each of which is one to send.
        let one = |message: *mut libc::msghdr| unsafe { send(fd, message, flags) };
        // SAFETY: the caller has so many messages there.
        unsafe { each(messages, count, one) }
    })
}

/// recvmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_recvmmsg(
    fd: i32,
    messages: *mut libc::mmsghdr,
    count: u32,
    flags: i32,
    timeout: *mut libc::timespec,
) -> i32 {
    call(|| {
        let fd = descriptor(fd)?;
        if !ioth::is_own(fd)? {
            // SAFETY: recvmmsg checks all of it.
            return checked(unsafe { libc::recvmmsg(fd.as_raw_fd(), messages, count, flags as _, timeout) });
        }
        // As the kernel: the time is looked at after each datagram, and does not end a wait for one.
        let deadline = match timeout.is_null() {
            true => None,
            // SAFETY: the caller has a time there.
            false => Some(Instant::now() + time(unsafe { read(timeout) }?)?),
        };
        if flags & libc::MSG_ERRQUEUE == 0 {
            // do_recvmmsg: an error that waits comes before what waits with it.
            match ioth::getsockopt_int(fd, libc::SOL_SOCKET, libc::SO_ERROR)? {
                0 => {}
                errno => return fail(errno),
            }
        }
        let (mut flags, wants_one) = (flags & !libc::MSG_WAITFORONE, flags & libc::MSG_WAITFORONE != 0);
        let mut over = false;
        let one = |message: *mut libc::msghdr| {
            if over {
                return fail(libc::EAGAIN);
            }
            // SAFETY: the caller has so many messages there, each of which is one to receive.
            let len = unsafe { receive(fd, message, flags) }?;
            if wants_one {
                flags |= libc::MSG_DONTWAIT;
            }
            // SAFETY: it was read and written there.
            let urgent = unsafe { read(message.cast_const()) }?.msg_flags & libc::MSG_OOB != 0;
            over = urgent || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            Ok(len)
        };
        // SAFETY: the caller has so many messages there.
        unsafe { each(messages, count, one) }
    })
}

fn time(time: libc::timespec) -> io::Result<Duration> {
    match (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        // No clock gets so far.
        (Ok(seconds), Ok(nanos @ ..1_000_000_000)) => Ok(Duration::new(seconds.min(1 << 31), nanos)),
        _ => fail(libc::EINVAL),
    }
}

/// Calls `f` for each message until one fails, and says for how many it did not; an error shows only at the first.
unsafe fn each(
    messages: *mut libc::mmsghdr,
    count: u32,
    mut f: impl FnMut(*mut libc::msghdr) -> io::Result<isize>,
) -> io::Result<i32> {
    // UIO_MAXIOV, see sendmmsg(2).
    for at in 0..count.min(1024) as usize {
        let place = messages.wrapping_add(at);
        let done = check(place, size_of::<libc::mmsghdr>()).and_then(|()| f(place.cast()));
        match done {
            Ok(len) => {
                let behind = place.wrapping_byte_add(std::mem::offset_of!(libc::mmsghdr, msg_len));
                // SAFETY: the caller has a message with a length there.
                unsafe { write(behind.cast(), len as u32) }?;
            }
            Err(error) if at == 0 => return Err(error),
            Err(_) => return Ok(at as i32),
        }
    }
    Ok(count.min(1024) as i32)
}
