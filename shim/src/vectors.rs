//! The calls that move several parts or several messages, or a file: readv(2), writev(2), sendmmsg(2), recvmmsg(2),
//! sendfile(2). Each is what the calls for one part or message are in a row.

use crate::control::Control;
use crate::message::{Message, receive_parts, send_parts};
use crate::sys::constants::{MSG_DONTWAIT, MSG_ERRQUEUE, MSG_OOB, MSG_WAITFORONE};
use crate::table::{self, Found};
use rustix::fs::{self, SeekFrom};
use rustix::io::Errno;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// The most messages of one call: `UIO_MAXIOV` of Linux. What is beyond is not looked at.
const MOST_MESSAGES: usize = 1024;

/// Reads into several parts, one after the other, see readv(2); on what is no socket the plain call.
///
/// # Errors
/// As [`read`](crate::read()).
pub fn readv(fd: impl AsFd, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let fd = fd.as_fd();
    match of_stack(fd)? {
        None => Ok(rustix::io::readv(fd, parts)?),
        // As Linux: nothing is waited for.
        Some(_) if parts.iter().all(|part| part.is_empty()) => Ok(0),
        Some(found) => Ok(receive_parts(&found, fd, parts, 0)?.len),
    }
}

/// Writes several parts, of a datagram all in one, see writev(2); on what is no socket the plain call.
///
/// # Errors
/// As [`write`](crate::write()).
pub fn writev(fd: impl AsFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let fd = fd.as_fd();
    match of_stack(fd)? {
        None => Ok(rustix::io::writev(fd, parts)?),
        Some(_) if parts.iter().all(|part| part.is_empty()) => Ok(0),
        Some(found) => send_parts(&found, fd, parts, &[], 0, None),
    }
}

/// What the descriptor is, unless it is the kernel's.
fn of_stack(fd: BorrowedFd<'_>) -> io::Result<Option<Found>> {
    match table::find(fd) {
        Ok(Found::Kernel) => Ok(None),
        Ok(found) => Ok(Some(found)),
        Err(error) if error.raw_os_error() == Some(Errno::NOTSOCK.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A message that [`sendmmsg`] sends.
#[derive(Debug)]
pub struct Sending<'a> {
    /// The parts of its data.
    pub parts: &'a [IoSlice<'a>],
    /// Its control messages.
    pub controls: &'a [Control],
    /// Where it goes; `None` for the peer of the socket.
    pub to: Option<SocketAddr>,
    /// How many bytes were sent, once it was.
    pub sent: usize,
}

/// Sends several messages, see sendmmsg(2), and says how many; `flags` as for [`sendmsg`](crate::sendmsg()).
///
/// # Errors
/// As [`sendmsg`](crate::sendmsg()), if not even the first was sent. What ends a later one is not told.
pub fn sendmmsg(fd: impl AsFd, messages: &mut [Sending<'_>], flags: i32) -> io::Result<usize> {
    let fd = fd.as_fd();
    let found = table::find(fd)?;
    let mut count = 0;
    for message in messages.iter_mut().take(MOST_MESSAGES) {
        match send_parts(&found, fd, message.parts, message.controls, flags, message.to.as_ref()) {
            Ok(sent) => message.sent = sent,
            Err(error) if count == 0 => return Err(error),
            Err(_) => break,
        }
        count += 1;
    }
    Ok(count)
}

/// Room for a message that [`recvmmsg`] receives.
#[derive(Debug)]
pub struct Receiving<'a, 'b> {
    /// The parts for its data.
    pub parts: &'a mut [IoSliceMut<'b>],
    /// What else came, once it did.
    pub message: Option<Message>,
}

/// Receives several messages, see recvmmsg(2), and says how many. `flags` as for [`recvmsg`](crate::recvmsg()), and
/// `MSG_WAITFORONE`: behind the first nothing is waited for. `timeout`: after each message it is looked at whether so much
/// time has passed; as on Linux, a message that does not come is waited for all the same.
///
/// # Errors
/// As [`recvmsg`](crate::recvmsg()), if not even one was received. What ends a later one is not told.
pub fn recvmmsg(
    fd: impl AsFd,
    messages: &mut [Receiving<'_, '_>],
    flags: i32,
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let fd = fd.as_fd();
    let found = table::find(fd)?;
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    if flags & MSG_ERRQUEUE == 0
        && let Some(error) = crate::socket::take_error_found(&found, fd)?
    {
        return Err(error);
    }
    let mut flags_now = flags & !MSG_WAITFORONE;
    let mut count = 0;
    for room in messages.iter_mut().take(MOST_MESSAGES) {
        let message = match receive_parts(&found, fd, room.parts, flags_now) {
            Ok(message) => message,
            Err(error) if count == 0 => return Err(error),
            Err(_) => break,
        };
        count += 1;
        let urgent = message.flags & MSG_OOB != 0;
        room.message = Some(message);
        if flags & MSG_WAITFORONE != 0 {
            flags_now |= MSG_DONTWAIT;
        }
        if urgent || end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
    }
    Ok(count)
}

/// Sends up to `count` bytes of a file, from `offset`, which moves on, or else from where the file stands, see sendfile(2).
///
/// # Errors
/// As [`send`](crate::send()), `EINVAL` or `ESPIPE` for what cannot be read at a place.
pub fn sendfile(
    out: impl AsFd,
    file: impl AsFd,
    offset: Option<&mut u64>,
    count: usize,
) -> io::Result<usize> {
    /// The most that is read at once.
    const PIECE: usize = 256 * 1024;
    let (out, file) = (out.as_fd(), file.as_fd());
    let Some(found) = of_stack(out)? else { return Ok(fs::sendfile(out, file, offset, count)?) };
    let mut own;
    let moves_file = offset.is_none();
    let at = match offset {
        Some(offset) => offset,
        None => {
            own = fs::tell(file).map_err(|errno| if errno == Errno::SPIPE { Errno::INVAL } else { errno })?;
            &mut own
        }
    };
    let mut room = vec![0; count.min(PIECE)];
    let mut sent = 0;
    let result = loop {
        let wanted = room.len().min(count - sent);
        if wanted == 0 {
            break Ok(sent);
        }
        let got = match rustix::io::pread(file, &mut room[..wanted], *at) {
            Ok(0) => break Ok(sent),
            Ok(got) => got,
            Err(errno) => break Err(errno.into()),
        };
        match crate::socket::send_found(&found, out, &room[..got], 0, None) {
            Ok(taken) => {
                sent += taken;
                *at += taken as u64;
                if taken < got {
                    break Ok(sent);
                }
            }
            Err(error) => break Err(error),
        }
    };
    let reached = *at;
    if moves_file && sent > 0 {
        fs::seek(file, SeekFrom::Start(reached))?;
    }
    match result {
        Err(error) if sent == 0 => Err(error),
        _ => Ok(sent),
    }
}
