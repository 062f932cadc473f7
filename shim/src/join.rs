//! Joins an endpoint and a pair to a socket.

use crate::option::Settings;
use crate::pair::Pair;
use crate::stack::Home;
use crate::state::{Phase, Shared};
use crate::table::{self, Socket};
use crate::{datagram, pump};
use ioth_stack::{Attachment, Context, EndpointId, Family, Kind};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Gives the endpoint its descriptor. When it fails, the endpoint is as it was.
pub(crate) fn join(
    cx: &mut Context<'_>,
    home: &Arc<Home>,
    id: EndpointId,
    kind: Kind,
    family: Family,
    pair: Pair,
    nonblocking: bool,
) -> io::Result<(OwnedFd, Arc<Socket>)> {
    let end = Arc::new(pair.engine);
    let settings = Settings::new(&cx.engine.options(id)?);
    let shared = Arc::new(Shared::new(kind, family, pair.cookie, settings, Arc::clone(&end)));
    shared.nonblocking.store(nonblocking, Relaxed);
    shared.set_names(cx.engine.local_address(id).ok(), None);
    let attachment: Box<dyn Attachment> = match kind {
        Kind::Stream => Box::new(pump::Stream::new(Arc::clone(&shared), end)),
        Kind::Datagram | Kind::Echo | Kind::Raw(_) | Kind::Packet(_) => {
            Box::new(datagram::Datagram::new(Arc::clone(&shared), end))
        }
    };
    cx.attach(id, attachment)?;
    let socket = Arc::new(Socket { home: Arc::clone(home), id, shared });
    table::add(Arc::clone(&socket));
    Ok((pair.application, socket))
}

/// Gives an accepted connection its descriptor.
pub(crate) fn join_accepted(
    cx: &mut Context<'_>,
    home: &Arc<Home>,
    listener: &Shared,
    pair: Pair,
    nonblocking: bool,
    (id, peer): (EndpointId, SocketAddr),
) -> io::Result<(OwnedFd, Arc<Socket>)> {
    let joined = join(cx, home, id, Kind::Stream, listener.family, pair, nonblocking);
    match joined {
        Ok((fd, socket)) => {
            socket.shared.settings.inherit(&listener.settings);
            socket.shared.settings.apply(&fd)?;
            socket.shared.set_names(cx.engine.local_address(id).ok(), Some(peer));
            socket.shared.set_phase(Phase::Connected);
            // What arrived with the handshake.
            cx.pump_later(id);
            Ok((fd, socket))
        }
        Err(error) => {
            cx.engine.abort(cx.now, id);
            Err(error)
        }
    }
}
