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
    if name == TCP_NODELAY {
        return Ok(show_integer(value, i32::from(settings.has(Flag::NoDelay))));
    }
    let (number, _) = number(name)?;
    Ok(show_integer(value, settings.number(number)))
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    // As Linux: a value shorter than an integer is refused before the name is looked at.
    let value = integer(value)?;
    let on = value != 0;
    if name == TCP_NODELAY {
        return target.set(Flag::NoDelay, on, |options| options.nodelay = on);
    }
    let (number, range) = number(name)?;
    if !range.contains(&value) {
        return fail(Errno::INVAL);
    }
    let amount = u64::from(value.unsigned_abs());
    target.tell(|options| match number {
        Number::KeepIdle => options.keepalive.idle = Duration::from_secs(amount),
        Number::KeepInterval => options.keepalive.interval = Duration::from_secs(amount),
        Number::KeepCount => options.keepalive.count = u8::try_from(value).unwrap_or(u8::MAX),
        Number::UserTimeout => options.user_timeout = on.then(|| Duration::from_millis(amount)),
    })?;
    target.shared.settings.set_number(number, value);
    Ok(())
}

/// The option that is a number, and what it may be.
fn number(name: i32) -> io::Result<(Number, RangeInclusive<i32>)> {
    match name {
        TCP_KEEPIDLE => Ok((Number::KeepIdle, 1..=MOST_SECONDS)),
        TCP_KEEPINTVL => Ok((Number::KeepInterval, 1..=MOST_SECONDS)),
        TCP_KEEPCNT => Ok((Number::KeepCount, 1..=MOST_COUNT)),
        TCP_USER_TIMEOUT => Ok((Number::UserTimeout, 0..=i32::MAX)),
        _ => fail(Errno::NOPROTOOPT),
    }
}

/// `MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL` and `MAX_TCP_KEEPCNT` of Linux.
const MOST_SECONDS: i32 = 32_767;
const MOST_COUNT: i32 = 127;
