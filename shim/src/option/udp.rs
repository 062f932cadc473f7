//! `IPPROTO_UDP`, udp(7).

use super::{Flag, IpNumber, Target, integer, show_integer, stored};
use crate::cork;
use crate::errno::fail;
use crate::sys::constants::{IPPROTO_UDP, UDP_CORK, UDP_GRO, UDP_SEGMENT};
use rustix::io::Errno;
use std::io;
use std::num::NonZeroU16;

pub(super) fn read(target: &Target<'_>, name: i32, value: &mut [u8]) -> io::Result<usize> {
    match name {
        UDP_CORK => Ok(show_integer(value, target.shared.settings.has(Flag::UdpCork).into())),
        UDP_SEGMENT => Ok(show_integer(value, target.shared.settings.ip_number(IpNumber::DatagramSize))),
        UDP_GRO => Ok(show_integer(value, target.shared.settings.has(Flag::WholeSuperFrames).into())),
        _ => match stored::read(target, IPPROTO_UDP, name) {
            Some(number) => Ok(show_integer(value, number)),
            None => fail(Errno::NOPROTOOPT),
        },
    }
}

pub(super) fn write(target: &Target<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    // As Linux: a value shorter than an integer is refused before the name is looked at.
    let number = integer(value)?;
    match name {
        UDP_CORK => {
            target.shared.settings.set(Flag::UdpCork, number != 0);
            // As Linux: whatever becomes of it, the option is set.
            if number == 0
                && let Some(socket) = target.socket
            {
                let _ = cork::release(socket, target.fd);
            }
            Ok(())
        }
        UDP_SEGMENT => {
            let Ok(size) = u16::try_from(number) else { return fail(Errno::INVAL) };
            target.tell(|options| options.datagram_size = NonZeroU16::new(size))?;
            target.shared.settings.set_ip_number(IpNumber::DatagramSize, number);
            Ok(())
        }
        UDP_GRO => {
            let on = number != 0;
            target.set(Flag::WholeSuperFrames, on, |options| options.whole_super_frames = on)
        }
        _ => stored::write(target, IPPROTO_UDP, name, value).unwrap_or_else(|| fail(Errno::NOPROTOOPT)),
    }
}
