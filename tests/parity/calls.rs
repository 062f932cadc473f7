//! Calls as behaviours write them: results that can be shown, and the plain calls of the system.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ioth::{MSG_DONTWAIT, MSG_NOSIGNAL, SO_RCVTIMEO, SOL_SOCKET};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Readable, with room, as a connection with something to read shows.
pub(crate) const IN: PollFlags = PollFlags::IN;
/// Room to write.
pub(crate) const OUT: PollFlags = PollFlags::OUT;
/// The peer will send nothing more.
pub(crate) const RDHUP: PollFlags = PollFlags::RDHUP;
/// Both directions are over.
pub(crate) const HUP: PollFlags = PollFlags::HUP;
/// An error waits.
pub(crate) const ERR: PollFlags = PollFlags::ERR;
/// Nothing to wait for.
pub(crate) const NOTHING: PollFlags = PollFlags::empty();

/// Bytes as a transcript shows them: short ones as text, else their number.
pub(crate) fn text(bytes: &[u8]) -> String {
    if bytes.len() > 40 {
        return format!("{} bytes", bytes.len());
    }
    format!("{:?}", String::from_utf8_lossy(bytes))
}

/// recv(2) by the library, of at most `len` bytes.
pub(crate) fn recv(fd: impl AsFd, len: usize, flags: i32) -> io::Result<String> {
    let mut buffer = vec![0; len];
    let got = ioth::recv(fd, &mut buffer, flags)?;
    // MSG_TRUNC gives the length of the datagram, whatever was copied.
    let cut = if got > len { format!(" of {got}") } else { String::new() };
    Ok(text(&buffer[..got.min(len)]) + &cut)
}

/// send(2) by the library, without a signal.
pub(crate) fn send(fd: impl AsFd, data: impl AsRef<[u8]>) -> io::Result<usize> {
    ioth::send(fd, data.as_ref(), MSG_NOSIGNAL)
}

/// read(2) by the system.
pub(crate) fn plain_read(fd: impl AsFd, len: usize) -> Result<String, Errno> {
    let mut buffer = vec![0; len];
    rustix::io::read(fd, &mut buffer).map(|got| text(&buffer[..got]))
}

/// recv(2) by the system.
pub(crate) fn plain_recv(fd: impl AsFd, len: usize, flags: RecvFlags) -> Result<String, Errno> {
    let mut buffer = vec![0; len];
    rustix::net::recv(fd, &mut buffer[..], flags).map(|(_, got)| text(&buffer[..got.min(len)]))
}

/// send(2) by the system, without a signal.
pub(crate) fn plain_send(fd: impl AsFd, data: impl AsRef<[u8]>) -> Result<usize, Errno> {
    rustix::net::send(fd, data.as_ref(), SendFlags::NOSIGNAL)
}

/// Receives exactly `len` bytes by the library.
pub(crate) fn recv_exactly(fd: impl AsFd, len: usize) -> Result<Vec<u8>> {
    let (mut all, mut room) = (Vec::new(), vec![0; 65_536]);
    while all.len() < len {
        let wanted = room.len().min(len - all.len());
        let got = ioth::recv(&fd, &mut room[..wanted], 0).context("receive")?;
        anyhow::ensure!(got > 0, "the stream ended after {} of {len}", all.len());
        all.extend_from_slice(&room[..got]);
    }
    Ok(all)
}

/// Receives to the end by the library: all bytes, and how it ended.
pub(crate) fn drain(fd: impl AsFd) -> (Vec<u8>, io::Result<()>) {
    let (mut all, mut room) = (Vec::new(), vec![0; 65_536]);
    loop {
        match ioth::recv(&fd, &mut room, 0) {
            Ok(0) => return (all, Ok(())),
            Ok(got) => all.extend_from_slice(&room[..got]),
            Err(error) => return (all, Err(error)),
        }
    }
}

/// Sends without waiting until nothing is taken any more, by the library. The kernel's first probe of a window
/// that is closed comes after 200 ms at least, and later on a busy machine; it may take the last of what fits.
pub(crate) fn fill(fd: impl AsFd) -> Result<u64> {
    const STILL: Duration = Duration::from_millis(700);
    let data = [7; 50_000];
    let (mut sent, mut still) = (0, Instant::now());
    while still.elapsed() < STILL {
        match ioth::send(&fd, &data, MSG_DONTWAIT | MSG_NOSIGNAL) {
            Ok(taken) => {
                sent += taken as u64;
                still = Instant::now();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error).context("fill"),
        }
    }
    Ok(sent)
}

/// Receives `len` bytes without looking at them.
pub(crate) fn swallow(fd: impl AsFd, len: u64) -> Result<()> {
    let (mut left, mut room) = (len, vec![0; 65_536]);
    while left > 0 {
        let got = ioth::recv(&fd, &mut room, 0)?;
        anyhow::ensure!(got > 0, "the stream ended {left} too early");
        left = left.saturating_sub(got as u64);
    }
    Ok(())
}

/// The option's name is for both directions.
pub(crate) fn set_timeout(fd: impl AsFd, option: i32, timeout: Duration) -> io::Result<()> {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&(timeout.as_secs().cast_signed()).to_ne_bytes());
    value[8..].copy_from_slice(&i64::from(timeout.subsec_micros()).to_ne_bytes());
    ioth::setsockopt(fd, SOL_SOCKET, option, &value)
}

/// Has receiving give up in good time, for what must not hang.
pub(crate) fn patient(fd: &OwnedFd) -> Result<()> {
    Ok(set_timeout(fd, SO_RCVTIMEO, crate::world::SOON)?)
}

/// SO_ERROR, taken.
pub(crate) fn pending(fd: impl AsFd) -> io::Result<String> {
    let errno = ioth::getsockopt_int(fd, SOL_SOCKET, ioth::SO_ERROR)?;
    Ok(if errno == 0 { "0".to_owned() } else { crate::transcript::named(Errno::from_raw_os_error(errno)) })
}

/// What is asked for by number, getsockopt(2).
pub(crate) fn option(fd: impl AsFd, level: i32, name: i32) -> io::Result<i32> {
    ioth::getsockopt_int(fd, level, name)
}
