//! An Ethernet switch inside the process: it learns who is where, and frames are moved, never copied,
//! from port to port.
//!
//! Super-frames and unfinished checksums pass as they are: no wire needs them finished. A frame that
//! finds a full queue is dropped and counted, as in any switch.

mod inlet;
mod registry;
mod stations;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use rustix::time::{ClockId, clock_gettime};

use super::{Capabilities, Frame, Link};
use inlet::{Inlet, Outlet};
use stations::{Mac, Stations};

pub use registry::Switches;

/// The MTU of a switch nobody chose one for, in bytes.
pub const DEFAULT_MTU: u16 = 1500;

/// A learning switch. It lives as long as a port or another holder of its [`Arc`].
pub struct Switch {
    name: String,
    mtu: u16,
    /// Leaf lock: while it is held only the frame pool is locked, which waits for nobody.
    table: RwLock<Table>,
    malformed: AtomicU64,
}

/// Who is plugged in and who is behind whom.
#[derive(Default)]
struct Table {
    /// By port number; numbers are used again.
    ports: Vec<Option<Arc<Inlet>>>,
    stations: Stations,
}

impl Switch {
    /// A switch without ports, with the default MTU. The name is for people.
    #[must_use]
    pub fn new(name: &str) -> Arc<Self> {
        Self::with_mtu(name, DEFAULT_MTU)
    }

    /// A switch whose ports have an MTU of `mtu` bytes (68 to 65535).
    #[must_use]
    pub fn with_mtu(name: &str, mtu: u16) -> Arc<Self> {
        Arc::new(Self { name: name.into(), mtu, table: RwLock::default(), malformed: AtomicU64::new(0) })
    }

    /// A new port.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` when there is no descriptor left for it.
    pub fn port(self: &Arc<Self>) -> io::Result<SwitchPort> {
        let (inlet, outlet) = inlet::pair()?;
        let mut table = self.table.write();
        let free = table.ports.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            table.ports.push(None);
            table.ports.len() - 1
        });
        table.ports[number] = Some(inlet);
        Ok(SwitchPort { switch: Arc::clone(self), number, outlet })
    }

    /// The name it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The MTU of its ports, in bytes.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// How many ports there are.
    #[must_use]
    pub fn ports(&self) -> usize {
        self.table.read().ports.iter().flatten().count()
    }

    /// How many frames were too short to have an Ethernet header.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Sends a frame from one port to where it belongs, `now` being in seconds.
    fn forward(&self, from: usize, frame: Frame, now: u64) {
        let Some((to, source)) = addresses(&frame) else {
            self.malformed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let mut table = self.table.read();
        if !table.stations.knows(source, from, now) {
            drop(table);
            self.table.write().stations.learn(source, from, now);
            table = self.table.read();
        }
        match table.stations.port_of(to, now) {
            Some(port) if port == from => {}
            Some(port) => {
                if let Some(Some(inlet)) = table.ports.get(port) {
                    inlet.push(frame);
                }
            }
            None => {
                let others = table.ports.iter().enumerate().filter(|(port, _)| *port != from);
                let mut inlets = others.filter_map(|(_, inlet)| inlet.as_ref()).peekable();
                while let Some(inlet) = inlets.next() {
                    if inlets.peek().is_none() {
                        inlet.push(frame);
                        return;
                    }
                    inlet.push_copy(&frame);
                }
            }
        }
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").field("name", &self.name).field("mtu", &self.mtu).finish_non_exhaustive()
    }
}

/// One port of a [`Switch`]. Dropping it unplugs it, and the switch forgets who was behind it.
#[derive(Debug)]
pub struct SwitchPort {
    switch: Arc<Switch>,
    number: usize,
    outlet: Outlet,
}

impl SwitchPort {
    /// The switch it belongs to.
    #[must_use]
    pub fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }

    /// How many frames for this port found its queue full and were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.outlet.dropped()
    }
}

impl Link for SwitchPort {
    fn capabilities(&self) -> Capabilities {
        Capabilities { mtu: self.switch.mtu, offload: true }
    }

    fn receive(&mut self) -> io::Result<Option<Frame>> {
        Ok(self.outlet.pop())
    }

    fn transmit(&mut self, frame: Frame) -> io::Result<()> {
        self.switch.forward(self.number, frame, seconds());
        Ok(())
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outlet.as_fd()
    }

    fn pending(&self) -> Option<bool> {
        Some(!self.outlet.is_empty())
    }

    fn arm(&mut self) -> bool {
        self.outlet.arm()
    }
}

impl Drop for SwitchPort {
    fn drop(&mut self) {
        let mut table = self.switch.table.write();
        table.stations.forget(self.number);
        let inlet = table.ports[self.number].take();
        drop(table);
        drop(inlet);
    }
}

/// Destination and source address; `None` if there is no whole Ethernet header.
fn addresses(frame: &Frame) -> Option<(Mac, Mac)> {
    const ETHERNET: usize = 14;
    let header = frame.bytes().first_chunk::<ETHERNET>()?;
    let [to @ .., _, _, _, _, _, _, _, _] = *header;
    let [_, _, _, _, _, _, source @ .., _, _] = *header;
    Some((to, source))
}

/// The coarse clock, which costs a few nanoseconds: entries live for minutes.
fn seconds() -> u64 {
    u64::try_from(clock_gettime(ClockId::MonotonicCoarse).tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests;
