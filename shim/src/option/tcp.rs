//! `IPPROTO_TCP`, tcp(7).

use super::info;
use super::{Flag, Number, Target, integer, show, show_integer, stored};
use crate::errno::fail;
use crate::state::Phase;
use crate::sys::constants::{
    IPPROTO_TCP, TCP_CONGESTION, TCP_CORK, TCP_DEFER_ACCEPT, TCP_FASTOPEN, TCP_INFO, TCP_KEEPCNT,
    TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_LINGER2, TCP_MAXSEG, TCP_NODELAY, TCP_QUICKACK, TCP_SYNCNT,
    TCP_TIMESTAMP, TCP_ULP, TCP_USER_TIMEOUT, TCP_WINDOW_CLAMP,
};
use ioth_stack::{CongestionControl, Options, Retries};
use rustix::io::Errno;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let settings = &target.shared.settings;
    let integer = match name {
        TCP_NODELAY => i32::from(settings.has(Flag::NoDelay)),
        TCP_CORK => i32::from(settings.has(Flag::Cork)),
        TCP_QUICKACK => {
            let now = target.ask(|engine, id| engine.quick_ack(id));
            i32::from(now.unwrap_or_else(|| settings.has(Flag::QuickAck)))
        }
        TCP_MAXSEG => {
            let now = target.ask(|engine, id| engine.segment_size(id));
            let stored = Some(settings.number(Number::MaxSegment)).filter(|set| *set > 0);
            now.and_then(|size| i32::try_from(size).ok()).or(stored).unwrap_or(USUAL_SEGMENT)
        }
        TCP_CONGESTION => {
            let (name, _) = CONTROLS[usize::from(settings.has(Flag::Reno))];
            // As Linux: with zeros to the end of the longest name.
            let mut bytes = [0; MOST_NAME];
            bytes[..name.len()].copy_from_slice(name);
            return Ok(show(value, &bytes));
        }
        TCP_INFO => return Ok(show(value, &info::of(target))),
        TCP_WINDOW_CLAMP => match settings.number(Number::WindowClamp) {
            // Of a connection it is what there is room for.
            0 if target.shared.phase() != Phase::Fresh => settings.recv_buffer(),
            set => set,
        },
        TCP_TIMESTAMP => clock(),
        TCP_FASTOPEN => 0,
        // None is in use.
        TCP_ULP => return Ok(0),
        _ => match stored::read(target, IPPROTO_TCP, name) {
            Some(number) => number,
            None => settings.number(number(name)?.0),
        },
    };
    Ok(show_integer(value, integer))
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    // None is known, and a name comes before its length is looked at.
    if name == TCP_ULP {
        return fail(Errno::NOENT);
    }
    if name == TCP_CONGESTION {
        return choose_control(target, value);
    }
    // As Linux: a value shorter than an integer is refused before the name is looked at.
    integer(value)?;
    if let Some(done) = stored::write(target, IPPROTO_TCP, name, value) {
        return done;
    }
    let value = integer(value)?;
    let on = value != 0;
    match name {
        TCP_NODELAY => target.set(Flag::NoDelay, on, |options| options.nodelay = on),
        TCP_CORK => target.set(Flag::Cork, on, |options| options.cork = on),
        TCP_QUICKACK => {
            target.ask(|engine, id| {
                let leaves = engine.set_quick_ack(id, on)?;
                // As Linux: an even number is for the acknowledgement that waits, alone.
                if leaves && value & 1 == 0 { engine.set_quick_ack(id, false).map(drop) } else { Ok(()) }
            });
            target.shared.settings.set(Flag::QuickAck, on);
            Ok(())
        }
        _ => write_number(target, name, value),
    }
}

fn write_number(target: &Target<'_>, name: i32, value: i32) -> io::Result<()> {
    let (number, range) = number(name)?;
    let none = matches!(number, Number::MaxSegment) && value == 0;
    if matches!(number, Number::WindowClamp) && value == 0 && target.shared.phase() != Phase::Fresh {
        return fail(Errno::INVAL);
    }
    if !range.contains(&value) && !none {
        return fail(Errno::INVAL);
    }
    let seconds = |seconds: i32| Duration::from_secs(seconds.unsigned_abs().into());
    let small = u8::try_from(value).unwrap_or(u8::MAX);
    let deferred = Retries::lasting(value);
    let shown = match number {
        Number::DeferAccept => i32::try_from(deferred.duration().as_secs()).unwrap_or(i32::MAX),
        Number::Linger2 if value < 0 => -1,
        Number::Linger2 if value == 0 => i32::try_from(Options::FIN_TIMEOUT.as_secs()).unwrap_or(i32::MAX),
        Number::Linger2 => value.min(MOST_LINGER2),
        Number::WindowClamp if value != 0 => value.max(LEAST_CLAMP),
        _ => value,
    };
    target.tell(|options| match number {
        Number::KeepIdle => options.keepalive.idle = seconds(value),
        Number::KeepInterval => options.keepalive.interval = seconds(value),
        Number::KeepCount => options.keepalive.count = small,
        Number::UserTimeout => {
            let time = Duration::from_millis(value.unsigned_abs().into());
            options.user_timeout = (value != 0).then_some(time);
        }
        Number::MaxSegment => options.max_segment = u16::try_from(value).ok().filter(|size| *size > 0),
        Number::DeferAccept => options.defer_accept = deferred,
        Number::SynCount => options.syn_retries = Some(Retries::new(small)),
        Number::WindowClamp => options.window_clamp = usize::try_from(shown).ok().filter(|clamp| *clamp > 0),
        Number::Linger2 => options.fin_timeout = (shown >= 0).then(|| seconds(shown)),
    })?;
    target.shared.settings.set_number(number, shown);
    Ok(())
}

/// The option that is a number, and what it may be.
fn number(name: i32) -> io::Result<(Number, RangeInclusive<i32>)> {
    let any = i32::MIN..=i32::MAX;
    match name {
        TCP_KEEPIDLE => Ok((Number::KeepIdle, 1..=MOST_SECONDS)),
        TCP_KEEPINTVL => Ok((Number::KeepInterval, 1..=MOST_SECONDS)),
        TCP_KEEPCNT => Ok((Number::KeepCount, 1..=MOST_COUNT)),
        TCP_USER_TIMEOUT => Ok((Number::UserTimeout, 0..=i32::MAX)),
        TCP_MAXSEG => {
            let (least, most) = (*Options::MAX_SEGMENTS.start(), *Options::MAX_SEGMENTS.end());
            Ok((Number::MaxSegment, least.into()..=most.into()))
        }
        TCP_DEFER_ACCEPT => Ok((Number::DeferAccept, any)),
        TCP_SYNCNT => Ok((Number::SynCount, 1..=MOST_COUNT)),
        TCP_LINGER2 => Ok((Number::Linger2, any)),
        TCP_WINDOW_CLAMP => Ok((Number::WindowClamp, any)),
        _ => fail(Errno::NOPROTOOPT),
    }
}

/// `TCP_CONGESTION`: a name, which ends with the value, or with a zero before.
fn choose_control(target: &Target<'_>, value: &[u8]) -> io::Result<()> {
    if value.is_empty() {
        return fail(Errno::INVAL);
    }
    let value = &value[..value.len().min(MOST_NAME - 1)];
    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
    let Some((_, control)) = CONTROLS.into_iter().find(|(known, _)| *known == name) else {
        return fail(Errno::NOENT);
    };
    let reno = control == CongestionControl::Reno;
    target.set(Flag::Reno, reno, |options| options.congestion_control = control)
}

/// What `TCP_TIMESTAMP` shows: milliseconds, from anywhere.
fn clock() -> i32 {
    use rustix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec * 1000 + now.tv_nsec / 1_000_000) as i32
}

/// What `TCP_CONGESTION` may be; the first is the default.
const CONTROLS: [(&[u8], CongestionControl); 2] =
    [(b"cubic", CongestionControl::Cubic), (b"reno", CongestionControl::Reno)];

/// `MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`, `MAX_TCP_KEEPCNT` and `MAX_TCP_SYNCNT` of Linux.
const MOST_SECONDS: i32 = 32_767;
const MOST_COUNT: i32 = 127;
/// `TCP_MSS_DEFAULT` of Linux, in bytes.
const USUAL_SEGMENT: i32 = 536;
/// Half of `SOCK_MIN_RCVBUF` of Linux, in bytes.
const LEAST_CLAMP: i32 = 1152;
/// `TCP_FIN_TIMEOUT_MAX` of Linux, in seconds, and `TCP_CA_NAME_MAX`, in bytes.
const MOST_LINGER2: i32 = 120;
const MOST_NAME: usize = 16;
