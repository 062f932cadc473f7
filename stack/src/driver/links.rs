//! The links of a running stack: added and removed, and what they have is taken in.

use std::sync::Arc;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::core::{Core, Shared};
use crate::engine::InterfaceSettings;
use crate::error::Error;
use crate::link::Link;
use crate::net::route::InterfaceId;
use crate::time::Instant;

/// Frames taken from one link before what they caused is sent.
const INGRESS_BATCH: usize = 16;
/// A frame up to this length, in bytes, may be the whole of what there is.
const LONE_FRAME: usize = 2048;
impl Shared {
    /// Adds an interface with its link while the stack runs.
    pub(crate) fn add_interface(
        self: &Arc<Self>,
        settings: InterfaceSettings,
        mut link: Box<dyn Link>,
    ) -> Result<InterfaceId, Error> {
        let mut core = self.core.lock();
        let id = core.engine.add_interface(settings)?;
        let data = EventData::new_u64(id.0.into());
        if epoll::add(&self.epoll, link.as_fd(), data, EventFlags::IN).is_err() {
            let _ = core.engine.remove_interface(self.now(), id);
            core.links.push(None);
            return Err(Error::NoBuffers);
        }
        let mut descriptors = self.runtime.descriptors();
        link.descriptors().into_iter().for_each(|fd| descriptors.insert(fd));
        drop(descriptors);
        link.arm();
        core.links.push(Some(link));
        core.settle(self.now());
        self.leave(&mut core);
        Ok(id)
    }

    /// The largest packet that the link of an interface carries, in bytes.
    pub(crate) fn link_mtu(&self, id: InterfaceId) -> Option<u16> {
        let core = self.core.lock();
        let link = core.links.get(id.place())?.as_ref();
        link.map(|link| link.capabilities().mtu)
    }

    /// Takes an interface from the running stack and closes its link.
    pub(crate) fn remove_interface(self: &Arc<Self>, id: InterfaceId) {
        let mut core = self.core.lock();
        let now = self.now();
        core.engine.stop_dhcp4(now, id);
        core.engine.stop_dhcp6(now, id);
        // What is still to leave over it leaves.
        core.settle(self.now());
        let _ = core.engine.remove_interface(self.now(), id);
        if let Some(link) = core.links.get_mut(id.place()).and_then(Option::take) {
            let _ = epoll::delete(&self.epoll, link.as_fd());
            let mut descriptors = self.runtime.descriptors();
            link.descriptors().into_iter().for_each(|fd| descriptors.remove(fd));
        }
        core.settle(self.now());
        self.leave(&mut core);
    }
}

impl Core {
    /// Takes in up to a batch of frames from each link. Says whether there were any.
    pub(super) fn ingress(&mut self, now: Instant) -> bool {
        let mut any = false;
        for index in 0..self.links.len() {
            let Some(link) = &mut self.links[index] else { continue };
            let interface = InterfaceId::at(index);
            let mut taken = 0;
            for _ in 0..INGRESS_BATCH {
                match link.receive() {
                    Ok(Some(frame)) => {
                        any = true;
                        let len = frame.len();
                        let lone = self.lone && len <= LONE_FRAME;
                        let overflows = self.engine.counters().udp_overflows;
                        self.engine.handle_frame(now, interface, frame);
                        taken += 1;
                        // In an exchange of small messages the next look would find nothing.
                        if lone && self.engine.has_event() {
                            break;
                        }
                        // The next ones would find no room either, before somebody has received.
                        if len > LONE_FRAME && self.engine.counters().udp_overflows > overflows {
                            self.spilled += len;
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => {
                        // The device is gone; its descriptor would poll ready for ever.
                        let _ = epoll::delete(&self.attachments, link.as_fd());
                        self.engine.lose_link(interface);
                        break;
                    }
                }
            }
            if taken > 0 {
                self.lone = taken == 1;
            }
        }
        any
    }

    /// Whether an in-process link has something, without a system call.
    pub(super) fn links_pending(&self) -> bool {
        self.links.iter().flatten().any(|link| link.pending() == Some(true))
    }

    /// Arms every link for sleeping. False if one has something already.
    pub(super) fn arm_links(&mut self) -> bool {
        let mut quiet = true;
        for link in self.links.iter_mut().flatten() {
            quiet &= link.arm();
        }
        quiet
    }
}

#[cfg(test)]
mod tests;
