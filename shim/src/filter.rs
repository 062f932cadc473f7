//! `SO_ATTACH_FILTER` and `SO_DETACH_FILTER`, socket(7): which packets a raw or packet socket receives.

use crate::errno::fail;
use crate::sys::program;
use crate::table::{self, Found, Socket};
use ioth_stack::filter::{Instruction, Program};
use ioth_stack::{Error, Kind};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;

/// Bytes of a `struct sock_filter`.
pub(crate) const INSTRUCTION_LEN: usize = 8;

/// Has a socket receive only what a program of classic BPF keeps, and so much of it; as `SO_ATTACH_FILTER`, but with the
/// instructions themselves in place of their address. On sockets of ours: raw and packet sockets.
///
/// # Errors
/// `EINVAL` for a program that is longer than 4096 instructions, jumps backwards or out of it, or does not end;
/// `ENOPROTOOPT` for other sockets of ours.
pub fn attach_filter(fd: impl AsFd, instructions: &[Instruction]) -> io::Result<()> {
    let fd = fd.as_fd();
    match &table::find(fd)? {
        Found::Kernel => program::attach(fd, instructions),
        Found::Ours(socket) => attach(socket, instructions),
        Found::Plain(_) => fail(Errno::NETDOWN),
        Found::Netlink(_) => fail(Errno::NOPROTOOPT),
    }
}

fn attach(socket: &Socket, instructions: &[Instruction]) -> io::Result<()> {
    locked(socket)?;
    change(socket, Some(Program::new(instructions)?)).map(drop)
}

/// `SO_ATTACH_FILTER` with a `struct sock_fprog`: the number of instructions, and where they are.
pub(crate) fn attach_at(socket: &Socket, value: &[u8]) -> io::Result<()> {
    locked(socket)?;
    const LEN: usize = 16;
    let (&[c0, c1, ..], Some(&address)) = (value, value.get(8..).and_then(<[u8]>::first_chunk)) else {
        return fail(Errno::INVAL);
    };
    if value.len() != LEN {
        return fail(Errno::INVAL);
    }
    let count = usize::from(u16::from_ne_bytes([c0, c1]));
    let bytes = program::copy_from(usize::from_ne_bytes(address), count * INSTRUCTION_LEN)?;
    let instructions: Vec<_> = bytes
        .as_chunks::<INSTRUCTION_LEN>()
        .0
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| Instruction {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        })
        .collect();
    attach(socket, &instructions)
}

/// `SO_GET_FILTER`: how many instructions there are, and with room for them, what they are.
pub(crate) fn read(socket: &Socket, value: &mut [u8]) -> io::Result<usize> {
    let known = socket.home.reach()?.run(|cx| {
        let program = cx.engine.filter(socket.id)?;
        Some(program.instructions().to_vec())
    });
    let known = known.unwrap_or_default();
    let room = value.as_chunks_mut::<INSTRUCTION_LEN>().0;
    if !room.is_empty() && room.len() < known.len() {
        return fail(Errno::INVAL);
    }
    for (place, &Instruction { code, jt, jf, k }) in room.iter_mut().zip(&known) {
        let ([c0, c1], [k0, k1, k2, k3]) = (code.to_ne_bytes(), k.to_ne_bytes());
        *place = [c0, c1, jt, jf, k0, k1, k2, k3];
    }
    Ok(known.len())
}

/// `SO_DETACH_FILTER`.
pub(crate) fn detach(socket: &Socket) -> io::Result<()> {
    locked(socket)?;
    // As Linux, whatever the socket: there is none.
    let may_have_one = matches!(socket.shared.kind, Kind::Raw(_) | Kind::Packet(_));
    if may_have_one && change(socket, None)? { Ok(()) } else { fail(Errno::NOENT) }
}

/// `SO_LOCK_FILTER`: `EPERM`.
fn locked(socket: &Socket) -> io::Result<()> {
    if socket.shared.settings.filter_is_locked() { fail(Errno::PERM) } else { Ok(()) }
}

/// Puts another program in place; whether there was one.
fn change(socket: &Socket, program: Option<Program>) -> io::Result<bool> {
    if !matches!(socket.shared.kind, Kind::Raw(_) | Kind::Packet(_)) {
        return fail(Errno::NOPROTOOPT);
    }
    let before = socket.home.reach()?.run(|cx| cx.engine.attach_filter(socket.id, program));
    Ok(before.map_err(|error: Error| io::Error::from(error))?.is_some())
}
