//! `SOL_PACKET`, packet(7).

use super::{Flag, Target, integer, show, show_integer, stored};
use crate::errno::fail;
use crate::sys::constants::{
    PACKET_ADD_MEMBERSHIP, PACKET_AUXDATA, PACKET_DROP_MEMBERSHIP, PACKET_IGNORE_OUTGOING, PACKET_STATISTICS,
    SOL_PACKET,
};
use ioth_stack::packet::LinkMembership;
use rustix::io::Errno;
use std::io;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let settings = &target.shared.settings;
    match name {
        PACKET_STATISTICS => {
            let taken = target.ask(|engine, id| engine.take_statistics(id));
            let taken = taken.transpose()?.unwrap_or_default();
            Ok(show(value, &[taken.packets.to_ne_bytes(), taken.drops.to_ne_bytes()].concat()))
        }
        PACKET_AUXDATA => Ok(show_integer(value, settings.has(Flag::AuxData).into())),
        PACKET_IGNORE_OUTGOING => Ok(show_integer(value, settings.has(Flag::IgnoreOutgoing).into())),
        _ => match stored::read(target, SOL_PACKET, name) {
            Some(number) => Ok(show_integer(value, number)),
            None => fail(Errno::NOPROTOOPT),
        },
    }
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    let settings = &target.shared.settings;
    match name {
        PACKET_ADD_MEMBERSHIP | PACKET_DROP_MEMBERSHIP => {
            let Some(wanted) = membership(value) else { return fail(Errno::INVAL) };
            let join = name == PACKET_ADD_MEMBERSHIP;
            let done = target.ask(|engine, id| engine.change_link_membership(id, wanted, join));
            Ok(done.unwrap_or(Ok(()))?)
        }
        PACKET_AUXDATA => {
            settings.set(Flag::AuxData, integer(value)? != 0);
            Ok(())
        }
        PACKET_IGNORE_OUTGOING => {
            let on = match integer(value)? {
                on @ (0 | 1) => on == 1,
                _ => return fail(Errno::INVAL),
            };
            target.ask(|engine, id| engine.ignore_outgoing(id, on)).transpose()?;
            settings.set(Flag::IgnoreOutgoing, on);
            Ok(())
        }
        _ => stored::write(target, SOL_PACKET, name, value).unwrap_or_else(|| fail(Errno::NOPROTOOPT)),
    }
}

/// A `struct packet_mreq`.
fn membership(value: &[u8]) -> Option<LinkMembership> {
    let half = |at: usize| Some(u16::from_ne_bytes(*value.get(at..)?.first_chunk()?));
    Some(LinkMembership {
        interface: u32::from_ne_bytes(*value.first_chunk()?),
        kind: half(4)?,
        len: half(6)?,
        station: *value.get(8..)?.first_chunk()?,
    })
}
