//! `SOL_SOCKET`, socket(7).

use super::{Flag, Target, device, integer, show, show_integer, stored};
use crate::connecting;
use crate::errno::fail;
use crate::state::{Phase, Shared};
use crate::sys::constants::{
    AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, SO_ACCEPTCONN,
    SO_ATTACH_FILTER, SO_BINDTODEVICE, SO_BINDTOIFINDEX, SO_BROADCAST, SO_COOKIE, SO_DETACH_FILTER,
    SO_DOMAIN, SO_DONTROUTE, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_OOBINLINE, SO_PASSCRED, SO_PASSSEC,
    SO_PEEK_OFF, SO_PEERCRED, SO_PROTOCOL, SO_RCVBUF, SO_RCVBUFFORCE, SO_RCVLOWAT, SO_RCVTIMEO, SO_REUSEADDR,
    SO_REUSEPORT, SO_RXQ_OVFL, SO_SNDBUF, SO_SNDBUFFORCE, SO_SNDTIMEO, SO_TIMESTAMP, SO_TIMESTAMPING,
    SO_TIMESTAMPNS, SO_TYPE, SO_ZEROCOPY, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_SOCKET,
};
use crate::{filter, packet};
use ioth_stack::{Error, Family, Framing, Kind};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The most that `SO_RCVBUF` and `SO_SNDBUF` take, in bytes; more is taken as this much. A socket
/// uses the memory only when the data is there.
pub const MAX_BUFFER: u32 = 4 * 1024 * 1024;

/// Smallest values that Linux shows: SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF.
const MIN_RECV: i32 = 2304;
const MIN_SEND: i32 = 4608;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let shared = target.shared;
    let settings = &shared.settings;
    let integer = match name {
        SO_ERROR => take_error(target),
        SO_TYPE => match shared.kind {
            Kind::Stream => SOCK_STREAM,
            Kind::Raw(_) | Kind::Packet(Framing::Frames) => SOCK_RAW,
            Kind::Datagram | Kind::Echo | Kind::Packet(Framing::Payloads) => SOCK_DGRAM,
        },
        SO_DOMAIN => {
            if packet::is_one(shared) {
                packet::DOMAIN
            } else if shared.family == Family::V4 {
                AF_INET
            } else {
                AF_INET6
            }
        }
        SO_PROTOCOL => protocol(shared),
        SO_ACCEPTCONN => i32::from(shared.phase() == Phase::Listening && !shared.read_shut.load(Relaxed)),
        SO_REUSEADDR => i32::from(settings.has(Flag::ReuseAddress)),
        SO_REUSEPORT => i32::from(settings.has(Flag::ReusePort)),
        SO_TIMESTAMP => i32::from(settings.has(Flag::Timestamp)),
        SO_TIMESTAMPNS => i32::from(settings.has(Flag::TimestampNanos)),
        SO_RXQ_OVFL => i32::from(settings.has(Flag::Drops)),
        SO_DONTROUTE => i32::from(settings.has(Flag::OnLink)),
        SO_BROADCAST => i32::from(settings.has(Flag::Broadcast)),
        SO_KEEPALIVE => i32::from(settings.has(Flag::KeepAlive)),
        SO_OOBINLINE => i32::from(settings.has(Flag::OobInline)),
        SO_RCVBUF => settings.recv_buffer(),
        SO_SNDBUF => settings.send_buffer(),
        SO_RCVTIMEO => return Ok(show(value, &timeval(settings.recv_timeout()))),
        SO_SNDTIMEO => return Ok(show(value, &timeval(settings.send_timeout()))),
        SO_LINGER => {
            let (on, seconds) = settings.shown_linger();
            return Ok(show(value, &[i32::from(on).to_ne_bytes(), seconds.to_ne_bytes()].concat()));
        }
        // SO_GET_FILTER has the same number.
        SO_ATTACH_FILTER => {
            let socket = target.socket.map_or_else(|| fail(Errno::NETDOWN), Ok)?;
            return filter::read(socket, value);
        }
        SO_COOKIE if value.len() < 8 => return fail(Errno::INVAL),
        SO_COOKIE => return Ok(show(value, &shared.cookie.to_ne_bytes())),
        SO_PEERCRED => return Ok(show(value, &NOBODY)),
        SO_PEEK_OFF | SO_PASSCRED | SO_PASSSEC => return fail(Errno::OPNOTSUPP),
        SO_BINDTODEVICE | SO_BINDTOIFINDEX => return device::read(target, name, value),
        SO_TIMESTAMPING => {
            let bytes = [settings.stamping().to_ne_bytes(), [0; 4]].concat();
            return Ok(show(value, &bytes));
        }
        _ => match stored::read(target, SOL_SOCKET, name) {
            Some(number) => number,
            None => return fail(Errno::NOPROTOOPT),
        },
    };
    Ok(show_integer(value, integer))
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    let settings = &target.shared.settings;
    // As Linux: this is a name, and comes first.
    if name == SO_BINDTODEVICE {
        return device::write_name(target, value);
    }
    // As Linux: a value shorter than an integer is refused before the name is looked at.
    let number = integer(value)?;
    let on = number != 0;
    match name {
        SO_ATTACH_FILTER | SO_DETACH_FILTER => match target.socket {
            Some(socket) if name == SO_ATTACH_FILTER => filter::attach_at(socket, value),
            Some(socket) => filter::detach(socket),
            None => fail(Errno::NETDOWN),
        },
        SO_REUSEADDR => target.set(Flag::ReuseAddress, on, |options| options.reuse_address = on),
        SO_REUSEPORT => target.set(Flag::ReusePort, on, |options| options.reuse_port = on),
        // As Linux: one takes the place of the other, and turning one off turns both off.
        SO_TIMESTAMP | SO_TIMESTAMPNS => {
            settings.set(Flag::Timestamp, on && name == SO_TIMESTAMP);
            settings.set(Flag::TimestampNanos, on && name == SO_TIMESTAMPNS);
            Ok(())
        }
        SO_RXQ_OVFL => {
            settings.set(Flag::Drops, on);
            Ok(())
        }
        SO_DONTROUTE => target.set(Flag::OnLink, on, |options| options.ip.on_link = on),
        SO_BROADCAST => target.set(Flag::Broadcast, on, |options| options.broadcast = on),
        SO_KEEPALIVE => target.set(Flag::KeepAlive, on, |options| options.keepalive.on = on),
        SO_OOBINLINE => {
            // The pair decides what becomes of the byte.
            sockopt::set_socket_oobinline(target.fd, on)?;
            settings.set(Flag::OobInline, on);
            Ok(())
        }
        SO_RCVBUF | SO_RCVBUFFORCE => {
            let (bytes, shown) = buffer(number, MIN_RECV);
            target.tell(|options| (options.recv_buffer, options.recv_limit) = (bytes, bytes))?;
            settings.set_recv_buffer(shown);
            Ok(())
        }
        SO_SNDBUF | SO_SNDBUFFORCE => {
            let (bytes, shown) = buffer(number, MIN_SEND);
            target.tell(|options| (options.send_buffer, options.send_limit) = (bytes, bytes))?;
            settings.set_send_buffer(shown);
            Ok(())
        }
        SO_RCVTIMEO => {
            let timeout = timeout(value)?;
            // For plain calls on the same descriptor.
            sockopt::set_socket_timeout(target.fd, Timeout::Recv, timeout)?;
            settings.set_recv_timeout(timeout);
            Ok(())
        }
        SO_SNDTIMEO => {
            let timeout = timeout(value)?;
            sockopt::set_socket_timeout(target.fd, Timeout::Send, timeout)?;
            settings.set_send_timeout(timeout);
            Ok(())
        }
        SO_LINGER => {
            let Some(seconds) = value.get(4..8) else { return fail(Errno::INVAL) };
            settings.set_linger(on, integer(seconds)?);
            Ok(())
        }
        SO_BINDTOIFINDEX => device::write_number(target, number),
        SO_TIMESTAMPING if number & !STAMPING != 0 => fail(Errno::INVAL),
        SO_TIMESTAMPING => {
            settings.set_stamping(number);
            Ok(())
        }
        SO_PEEK_OFF | SO_PASSCRED | SO_PASSSEC | SO_ZEROCOPY => fail(Errno::OPNOTSUPP),
        // What can only be read among them.
        _ => {
            stored::write(target, SOL_SOCKET, name, value).unwrap_or_else(|| fail(Errno::NOPROTOOPT))?;
            if name == SO_RCVLOWAT {
                // For plain calls on the same descriptor.
                let least = i32::try_from(settings.low_water()).unwrap_or(i32::MAX);
                crate::sys::option::write(target.fd, SOL_SOCKET, SO_RCVLOWAT, &least.to_ne_bytes())?;
            }
            Ok(())
        }
    }
}

/// The protocol of a socket, as the third argument of socket(2).
pub(super) const fn protocol(shared: &Shared) -> i32 {
    match (shared.kind, shared.family) {
        (Kind::Stream, _) => IPPROTO_TCP,
        (Kind::Datagram, _) => IPPROTO_UDP,
        (Kind::Echo, Family::V4) => IPPROTO_ICMP,
        (Kind::Echo, Family::V6) => IPPROTO_ICMPV6,
        (Kind::Raw(protocol), _) => protocol as i32,
        (Kind::Packet(_), _) => 0,
    }
}

/// What `SO_PEERCRED` shows of a socket whose peer is no process here: `struct ucred` with pid 0, uid and gid -1.
const NOBODY: [u8; 12] = [0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];

/// The flags that `SO_TIMESTAMPING` has (`SOF_TIMESTAMPING_MASK` of `include/uapi/linux/net_tstamp.h`).
const STAMPING: i32 = (1 << 19) - 1;

/// Takes the pending error: what a connect came to, what ended the connection, what ICMP said.
fn take_error(target: &Target<'_>) -> i32 {
    let pending = |socket: &crate::table::Socket| {
        let stack = socket.home.reach().ok()?;
        stack.run(|cx| {
            if socket.shared.phase() == Phase::Filled {
                // The pump that follows sees what became of it and stores the error.
                if let Some(Err(error)) = connecting::advance(cx, socket.id, &socket.shared) {
                    cx.pump(socket.id);
                    return Some(error);
                }
                return None;
            }
            if socket.shared.kind == Kind::Stream && cx.engine.readiness(socket.id).error {
                let error = cx.engine.take_error(socket.id);
                cx.pump(socket.id);
                return error;
            }
            cx.engine.take_error(socket.id)
        })
    };
    let stored = target.shared.error.swap(0, Relaxed);
    if target.shared.phase() == Phase::Ended || target.socket.is_none() {
        // The pair's own error goes with it, or a recv would report it once more.
        let of_pair = match sockopt::socket_error(target.fd) {
            Ok(Err(errno)) => errno.raw_os_error(),
            _ => 0,
        };
        // A forked child does not see what the parent's engine stores.
        return if stored == 0 && target.shared.inherited() { of_pair } else { stored };
    }
    if stored != 0 {
        return stored;
    }
    let taken = target.socket.and_then(pending).map_or(0, Error::errno);
    if target.shared.phase() == Phase::Ended {
        let _ = sockopt::socket_error(target.fd);
    }
    taken
}

/// What a buffer of `asked` bytes becomes: bytes for the engine, and what getsockopt(2) shows. The
/// kernel takes the value as unsigned, bounds it and doubles it for its bookkeeping.
fn buffer(asked: i32, min: i32) -> (usize, i32) {
    let bytes = asked.cast_unsigned().min(MAX_BUFFER);
    let shown = i32::try_from(bytes * 2).unwrap_or(i32::MAX).max(min);
    (usize::try_from(shown / 2).unwrap_or(0), shown)
}

/// Reads a `struct timeval`; all zero means no limit, `EDOM` for microseconds out of range.
fn timeout(value: &[u8]) -> io::Result<Option<Duration>> {
    let (Some(seconds), Some(micros)) = (value.first_chunk(), value.get(8..).and_then(<[u8]>::first_chunk))
    else {
        return fail(Errno::INVAL);
    };
    let (seconds, micros) = (i64::from_ne_bytes(*seconds), i64::from_ne_bytes(*micros));
    let Some(micros) = u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000) else {
        return fail(Errno::DOM);
    };
    match u64::try_from(seconds) {
        Ok(0) if micros == 0 => Ok(None),
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds) + Duration::from_micros(micros.into()))),
        // A negative time is over at once.
        Err(_) => Ok(Some(Duration::from_micros(1))),
    }
}

/// Writes a `struct timeval`.
fn timeval(timeout: Option<Duration>) -> [u8; 16] {
    let timeout = timeout.unwrap_or_default();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX).to_ne_bytes());
    bytes[8..].copy_from_slice(&i64::from(timeout.subsec_micros()).to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_show_what_linux_shows() {
        assert_eq!(buffer(65_536, MIN_SEND), (65_536, 131_072));
        assert_eq!(buffer(0, MIN_RECV).1, 2304);
        assert_eq!(buffer(1, MIN_SEND).1, 4608);
        assert_eq!(buffer(-1, MIN_SEND).1, 8 * 1024 * 1024);
    }

    #[test]
    fn times_are_read_as_linux_reads_them() {
        let value = |seconds: i64, micros: i64| [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat();
        assert_eq!(timeout(&value(0, 0)).expect("no limit"), None);
        assert_eq!(timeout(&value(1, 500_000)).expect("a time"), Some(Duration::from_millis(1500)));
        assert_eq!(
            timeout(&value(0, 1_000_000)).expect_err("too many").raw_os_error(),
            Some(Errno::DOM.raw_os_error())
        );
        assert_eq!(
            timeout(&[0; 4]).expect_err("too short").raw_os_error(),
            Some(Errno::INVAL.raw_os_error())
        );
        assert_eq!(timeval(Some(Duration::from_millis(1500)))[..], value(1, 500_000)[..]);
    }
}
