//! `IPPROTO_TCP`, tcp(7).

use super::{Flag, Number, Target, integer, show_integer};
use crate::errno::fail;
use crate::sys::constants::{TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_NODELAY, TCP_USER_TIMEOUT};
use rustix::io::Errno;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let settings = &target.shared.settings;
    let number = match name {
        TCP_NODELAY => return Ok(show_integer(value, i32::from(settings.has(Flag::NoDelay)))),
        TCP_KEEPIDLE => Number::KeepIdle,
        TCP_KEEPINTVL => Number::KeepInterval,
        TCP_KEEPCNT => Number::KeepCount,
        TCP_USER_TIMEOUT => Number::UserTimeout,
        _ => return fail(Errno::NOPROTOOPT),
    };
    Ok(show_integer(value, settings.number(number)))
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    // As Linux: a value shorter than an integer is refused before the name is looked at.
    let value = integer(value)?;
    let on = value != 0;
    let seconds = Duration::from_secs(u64::try_from(value).unwrap_or(0));
    let (number, range): (_, RangeInclusive<i32>) = match name {
        TCP_NODELAY => return target.set(Flag::NoDelay, on, |options| options.nodelay = on),
        TCP_KEEPIDLE => (Number::KeepIdle, 1..=MOST_SECONDS),
        TCP_KEEPINTVL => (Number::KeepInterval, 1..=MOST_SECONDS),
        TCP_KEEPCNT => (Number::KeepCount, 1..=MOST_COUNT),
        TCP_USER_TIMEOUT => (Number::UserTimeout, 0..=i32::MAX),
        _ => return fail(Errno::NOPROTOOPT),
    };
    if !range.contains(&value) {
        return fail(Errno::INVAL);
    }
    target.tell(|options| match number {
        Number::KeepIdle => options.keepalive.idle = seconds,
        Number::KeepInterval => options.keepalive.interval = seconds,
        Number::KeepCount => options.keepalive.count = u8::try_from(value).unwrap_or(u8::MAX),
        Number::UserTimeout => {
            let millis = u64::try_from(value).unwrap_or(0);
            options.user_timeout = on.then(|| Duration::from_millis(millis));
        }
    })?;
    target.shared.settings.set_number(number, value);
    Ok(())
}

/// `MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL` and `MAX_TCP_KEEPCNT` of Linux.
const MOST_SECONDS: i32 = 32_767;
const MOST_COUNT: i32 = 127;
