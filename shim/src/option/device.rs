//! `SO_BINDTODEVICE` and `SO_BINDTOIFINDEX` of socket(7): the one interface that a socket uses.

use super::{Target, show, show_integer};
use crate::errno::fail;
use crate::sys::constants::SO_BINDTOIFINDEX;
use ioth_stack::net::InterfaceId;
use rustix::io::Errno;
use std::io;

/// `IFNAMSIZ`: bytes of a name with its end.
const NAME: usize = 16;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let device = target.ask(|engine, id| engine.options(id).ok()?.ip.device).flatten();
    if name == SO_BINDTOIFINDEX {
        return Ok(show_integer(value, device.map_or(0, number)));
    }
    let Some(device) = device else { return Ok(0) };
    if value.len() < NAME {
        return fail(Errno::INVAL);
    }
    let known = target.ask(|engine, _| engine.interface_name(device)).flatten();
    let mut name = known.map_or_else(|| fail(Errno::NODEV), Ok)?.into_bytes();
    name.push(0);
    Ok(show(value, &name))
}

/// The name, whose end may be missing; an empty one takes the binding away.
pub(super) fn write_name(target: &Target<'_>, value: &[u8]) -> io::Result<()> {
    let name = &value[..value.len().min(NAME - 1)];
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    if name.is_empty() {
        return bind(target, None);
    }
    let name = str::from_utf8(name).unwrap_or_default();
    let found = target.ask(|engine, _| engine.interface_by_name(name)).flatten();
    bind(target, Some(found.map_or_else(|| fail(Errno::NODEV), Ok)?))
}

pub(super) fn write_number(target: &Target<'_>, number: i32) -> io::Result<()> {
    match u32::try_from(number) {
        Err(_) => fail(Errno::INVAL),
        Ok(0) => bind(target, None),
        // As Linux: nobody looks whether there is one of that number.
        Ok(index) => bind(target, Some(InterfaceId::new(index))),
    }
}

fn bind(target: &Target<'_>, device: Option<InterfaceId>) -> io::Result<()> {
    target.tell(|options| options.ip.device = device)
}

fn number(device: InterfaceId) -> i32 {
    i32::try_from(device.index()).unwrap_or(i32::MAX)
}
