//! Datagrams that are put together from several calls: `MSG_MORE` of send(2) and `UDP_CORK` of udp(7). The first part says
//! where the datagram goes and what its headers are; the first call without the flag sends it.

use crate::datagram;
use crate::option::Flag;
use crate::state::Shared;
use crate::sys::constants::{MSG_DONTROUTE, MSG_MORE, MSG_PROBE};
use crate::table::Socket;
use ioth_stack::{DatagramOptions, Kind};
use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// The datagram of a socket that is not complete.
#[derive(Debug, Default)]
pub(crate) struct Cork(Mutex<Option<Pending>>);

#[derive(Debug)]
struct Pending {
    data: Vec<u8>,
    to: Option<SocketAddr>,
    own: DatagramOptions,
}

impl Cork {
    /// Takes it out. A forked child may find the lock held for ever: then there is none.
    fn take(&self) -> Option<Pending> {
        self.0.try_lock().and_then(|mut pending| pending.take())
    }

    fn keep(&self, pending: Pending) {
        if let Some(mut place) = self.0.try_lock() {
            *place = Some(pending);
        }
    }
}

/// sendto(2) on a datagram socket of ours.
pub(crate) fn transmit(
    socket: &Socket,
    fd: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    to: Option<&SocketAddr>,
    own: &DatagramOptions,
) -> io::Result<usize> {
    let own = DatagramOptions { on_link: flags & MSG_DONTROUTE != 0, ..*own };
    let probe = DatagramOptions { probe: true, ..own };
    if flags & MSG_PROBE != 0 {
        return datagram::transmit(socket, fd, data, flags, to, &probe);
    }
    through(&socket.shared, data, flags, (to, own), |data, to, own, complete| {
        let own = DatagramOptions { probe: !complete, ..*own };
        datagram::transmit(socket, fd, data, flags, to, &own)
    })
}

/// sendto(2) on the pair.
pub(crate) fn transmit_plain(
    shared: &Shared,
    fd: BorrowedFd<'_>,
    data: &[u8],
    flags: i32,
    to: Option<&SocketAddr>,
) -> io::Result<usize> {
    through(shared, data, flags, (to, DatagramOptions::default()), |data, to, _, complete| {
        if complete { datagram::transmit_plain(shared, fd, data, flags, to) } else { Ok(data.len()) }
    })
}

/// Sends what is there when `UDP_CORK` is turned off.
pub(crate) fn release(socket: &Socket, fd: BorrowedFd<'_>) -> io::Result<()> {
    let Some(pending) = socket.shared.cork.take() else { return Ok(()) };
    datagram::transmit(socket, fd, &pending.data, 0, pending.to.as_ref(), &pending.own).map(drop)
}

/// Adds `data` to what is there and has it sent, or looked at whether it could be, when more follows. As on Linux, what
/// cannot be sent is gone.
fn through(
    shared: &Shared,
    data: &[u8],
    flags: i32,
    (to, own): (Option<&SocketAddr>, DatagramOptions),
    mut send: impl FnMut(&[u8], Option<&SocketAddr>, &DatagramOptions, bool) -> io::Result<usize>,
) -> io::Result<usize> {
    let of_udp = shared.kind == Kind::Datagram;
    let more = of_udp && (flags & MSG_MORE != 0 || shared.settings.has(Flag::UdpCork));
    match shared.cork.take().filter(|_| of_udp) {
        None if !more => send(data, to, &own, true),
        None => {
            send(data, to, &own, false)?;
            shared.cork.keep(Pending { data: data.to_vec(), to: to.copied(), own });
            Ok(data.len())
        }
        Some(mut pending) => {
            pending.data.extend_from_slice(data);
            send(&pending.data, pending.to.as_ref(), &pending.own, !more)?;
            if more {
                shared.cork.keep(pending);
            }
            Ok(data.len())
        }
    }
}
