//! Packet sockets: frames with the addresses of stations, packet(7).
//!
//! Receiving is that of datagram sockets; how a frame passed stands beside the pair, as how a datagram arrived does. Frames in
//! the pair are always bare: as on Linux, what is written there leaves by the interface that the socket is bound to.

use crate::arrivals::How;
use crate::control::{Auxiliary, Control};
use crate::datagram::{self, take_written};
use crate::errno::fail;
use crate::message::{self, Message};
use crate::pump::Left;
use crate::sockaddr::{LinkAddr, SockAddr};
use crate::state::{Phase, Shared};
use crate::sys::constants::{
    AF_PACKET, MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC, MSG_WAITALL,
    SOCK_DGRAM, SOCK_RAW,
};
use crate::table::{Found, Socket};
use ioth_stack::net::{InterfaceId, Mac};
use ioth_stack::packet::{FrameTo, LinkBinding, Passage};
use ioth_stack::{Framing, Kind};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// `ETH_ALEN`.
const STATION_LEN: u8 = 6;

/// The kind of socket for a type of socket(2).
pub(crate) fn kind(kind: i32) -> io::Result<Kind> {
    match kind {
        SOCK_RAW => Ok(Kind::Packet(Framing::Frames)),
        SOCK_DGRAM => Ok(Kind::Packet(Framing::Payloads)),
        11.. => fail(Errno::INVAL),
        _ => fail(Errno::SOCKTNOSUPPORT),
    }
}

/// Has a fresh socket receive what socket(2) was told: an Ethernet type in network byte order.
pub(crate) fn start(socket: &Socket, protocol: i32) -> io::Result<()> {
    let protocol = u16::from_be(protocol.cast_unsigned() as u16);
    Ok(socket.home.reach()?.run(|cx| cx.engine.bind_packet(socket.id, None, protocol))?)
}

/// bind(2).
pub(crate) fn bind(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    let SockAddr::Link(link) = address else { return fail(Errno::INVAL) };
    let interface = (link.interface != 0).then(|| InterfaceId::new(link.interface));
    Ok(socket.home.reach()?.run(|cx| cx.engine.bind_packet(socket.id, interface, link.protocol))?)
}

/// getsockname(2).
pub(crate) fn name(socket: &Socket) -> io::Result<SockAddr> {
    let bound = socket.home.reach()?.run(|cx| cx.engine.packet_binding(socket.id))?;
    let LinkBinding { interface, protocol, hardware, station } = bound;
    Ok(SockAddr::Link(LinkAddr {
        protocol,
        interface: interface.map_or(0, InterfaceId::index),
        hardware,
        kind: 0,
        len: station.map_or(0, |_| STATION_LEN),
        station: station.map_or([0; 8], padded),
    }))
}

/// Where a frame came from.
pub(crate) fn source(how: &How) -> Option<SockAddr> {
    let Passage { protocol, kind, hardware, station, .. } = how.arrival.link?;
    Some(SockAddr::Link(LinkAddr {
        protocol,
        interface: how.arrival.interface.index(),
        hardware,
        kind: kind.number(),
        len: STATION_LEN,
        station: padded(station),
    }))
}

/// `PACKET_AUXDATA`.
pub(crate) fn auxiliary(passage: &Passage, len: usize) -> Control {
    Control::Auxiliary(Auxiliary {
        status: status(passage),
        len: passage.len,
        received: u32::try_from(len).unwrap_or(u32::MAX),
        link: 0,
        network: passage.network,
        tag: passage.vlan.map_or(0, |(tag, _)| tag),
        tag_type: passage.vlan.map_or(0, |(_, kind)| kind),
    })
}

/// `tp_status`, `linux/if_packet.h`.
fn status(passage: &Passage) -> u32 {
    const USER: u32 = 1;
    const CHECKSUM_MISSING: u32 = 1 << 3;
    const TAGGED: u32 = 1 << 4 | 1 << 6;
    const CHECKSUM_VALID: u32 = 1 << 7;
    const SUPER_FRAME: u32 = 1 << 8;
    let when = |on: bool, bits: u32| if on { bits } else { 0 };
    USER | when(passage.status.checksum_missing, CHECKSUM_MISSING)
        | when(passage.status.checksum_valid, CHECKSUM_VALID)
        | when(passage.status.super_frame, SUPER_FRAME)
        | when(passage.vlan.is_some(), TAGGED)
}

/// recvmsg(2).
pub(crate) fn receive(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<(Message, Option<SockAddr>)> {
    refuse_recv_flags(flags)?;
    if flags & MSG_ERRQUEUE != 0 {
        return fail(Errno::AGAIN);
    }
    let taken = datagram::receive(socket, fd, buffer, flags)?;
    let from = taken.how.as_ref().and_then(source);
    let controls =
        taken.how.map_or_else(Vec::new, |how| message::controls_of(&socket.shared, &how, taken.len));
    let cut = if taken.len > buffer.len() { MSG_TRUNC } else { 0 };
    Ok((Message { len: taken.shown(buffer.len(), flags), from: None, controls, flags: cut }, from))
}

/// As Linux: other flags are no flags of packet sockets.
pub(crate) fn refuse_recv_flags(flags: i32) -> io::Result<()> {
    const KNOWN: i32 = MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC | MSG_ERRQUEUE;
    // These two say nothing here, and libraries set them.
    if flags & !(KNOWN | MSG_WAITALL | MSG_NOSIGNAL) == 0 { Ok(()) } else { fail(Errno::INVAL) }
}

/// sendto(2).
pub(crate) fn transmit(
    found: &Found,
    fd: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    to: Option<&SockAddr>,
) -> io::Result<usize> {
    let socket = match found {
        Found::Ours(socket) if socket.shared.phase() != Phase::Ended => socket,
        Found::Ours(socket) => return plain(&socket.shared, fd, data, flags, to),
        Found::Plain(shared) => return plain(shared, fd, data, flags, to),
        Found::Kernel | Found::Netlink(_) => return fail(Errno::NOTSOCK),
    };
    let to = to.map(frame_to).transpose()?;
    socket.home.reach()?.run(|cx| {
        // What plain calls wrote before goes first.
        if let Some(end) = socket.shared.engine_end() {
            let mut room = Vec::new();
            while rustix::io::ioctl_fionread(&end).unwrap_or(0) > 0
                && take_written(cx, socket.id, &socket.shared, end.as_fd(), &mut room, false) == Left::More
            {
            }
        }
        Ok(cx.engine.send_frame(cx.now, socket.id, data, to)?)
    })
}

/// The same on the pair, which has no place for addresses.
fn plain(
    shared: &Shared,
    fd: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    to: Option<&SockAddr>,
) -> io::Result<usize> {
    match to {
        None => datagram::transmit_plain(shared, fd, data, flags, None),
        Some(_) => fail(Errno::OPNOTSUPP),
    }
}

fn frame_to(address: &SockAddr) -> io::Result<FrameTo> {
    let SockAddr::Link(link) = address else {
        // As Linux, which looks at the length only: of another family it would take what stands there.
        return fail(Errno::INVAL);
    };
    let [s0, s1, s2, s3, s4, s5, ..] = link.station;
    Ok(FrameTo {
        interface: InterfaceId::new(link.interface),
        protocol: link.protocol,
        station: Mac::new([s0, s1, s2, s3, s4, s5]),
    })
}

fn padded(station: Mac) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&station.octets());
    bytes
}

/// Whether a socket is one of these.
pub(crate) const fn is_one(shared: &Shared) -> bool {
    matches!(shared.kind, Kind::Packet(_))
}

/// `SO_DOMAIN`.
pub(crate) const DOMAIN: i32 = AF_PACKET;
