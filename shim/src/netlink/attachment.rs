//! The engine's end of a netlink socket's pair.

use crate::pair;
use crate::table;
use ioth_stack::{Attachment, Cause, Context, EndpointId, Pump};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The engine's end.
#[derive(Debug)]
pub(super) struct Netlink {
    pub(super) cookie: u64,
    pub(super) end: Arc<OwnedFd>,
}

impl Attachment for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    fn pump(&mut self, id: EndpointId, cx: &mut Context<'_>, cause: Cause) -> Pump {
        let Some(socket) = table::netlink(self.cookie) else { return Pump { done: true, ..Pump::default() } };
        let asked = socket.has_request();
        let (_, gone) = pair::ended(self.end.as_fd());
        if gone && (!asked || cause == Cause::Drain) {
            cx.engine.close(cx.now, id);
            table::retire_netlink(self.cookie);
            return Pump { done: true, ..Pump::default() };
        }
        if cause == Cause::Endpoint {
            socket.notify(|| cx.engine.configured(cx.now));
        }
        let want_out = socket.flush();
        if asked && !want_out {
            // It needs locks that come before the stack's.
            cx.later(move || socket.process());
        }
        Pump { want_out, ..Pump::default() }
    }
}
