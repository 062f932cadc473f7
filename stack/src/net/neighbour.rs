//! Neighbours: link-layer addresses of the stations on one link, both families.
//!
//! The states are those of RFC 4861 section 7.3.2, for ARP (RFC 826, RFC 1122 section 2.3.2) too: an ARP
//! request is a solicitation, an ARP reply an advertisement. Every neighbour has its own timer and its
//! own queue, so that a dead one delays nobody else.
//!
//! Anybody on the link can claim to be any number of neighbours. Those that only claimed something
//! are kept apart from those we send to, and never displace one of them.

mod entry;
mod failed;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use self::entry::{Binding, DELAY_FIRST_PROBE_TIME, Entry, Expiry, RETRANS_TIMER, Reachability};
use self::failed::Failed;
use super::mac::Mac;
use crate::link::Frame;
use crate::time::Instant;

/// The neighbours of one interface.
#[derive(Debug)]
pub struct NeighbourTable {
    // The keys are chosen by peers: the keyed hash of the standard library.
    entries: HashMap<IpAddr, Entry>,
    /// Every deadline of an entry is here. What no entry has any more is skipped; it is never on top.
    timers: BinaryHeap<Reverse<(Instant, IpAddr)>>,
    /// Neighbours that were heard of but never used, by their serial, oldest first. What was used or
    /// removed since is skipped.
    unused: VecDeque<(IpAddr, u64)>,
    actions: VecDeque<Action>,
    limit: usize,
    permanent: usize,
    next_serial: u64,
    reachable_time: Duration,
    /// Of IPv6; routers say nothing of ARP.
    retransmission_time: Duration,
    failed: Failed,
    dropped: u64,
    /// Bytes of frame buffers that wait, for all neighbours together.
    waiting: usize,
    /// Whether there is something to tell those who watch.
    changed: bool,
}

/// What to do with a frame whose next hop was looked up.
#[derive(Debug)]
pub enum Resolution {
    /// Write the address into the frame and send it.
    Known {
        /// The next hop's address.
        mac: Mac,
        /// The frame that was passed in.
        frame: Frame,
    },
    /// The frame waits until the next hop has answered.
    Queued {
        /// Whether to send the first ARP request or neighbour solicitation now, to all.
        solicit: bool,
    },
}

/// The kind of message that named a link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A neighbour advertisement, or an ARP message that was not a request to us. It creates nothing.
    Reply {
        /// The Solicited flag; an ARP reply sent to our own hardware address.
        solicited: bool,
        /// The Override flag; true for ARP, gratuitous or not.
        override_: bool,
    },
    /// A neighbour solicitation with a source address or an ARP request, for one of our addresses. The
    /// sender will want an answer, so it is kept if there is room.
    Request,
}

/// What the table wants done.
#[derive(Debug)]
pub enum Action {
    /// Send an ARP request or a neighbour solicitation.
    Solicit {
        /// The neighbour in question.
        ip: IpAddr,
        /// `Some`: probe this address. `None`: ask all.
        target: Option<Mac>,
    },
    /// The neighbour does not answer and is forgotten. What waited for it is undeliverable.
    Failed {
        /// The neighbour in question.
        ip: IpAddr,
        /// What waited, oldest first; empty if it had answered earlier and was probed.
        frames: Vec<Frame>,
    },
}

/// The state of a neighbour, for display (RFC 4861 section 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Being resolved.
    Incomplete,
    /// Known to have been reachable lately.
    Reachable,
    /// Not known to be reachable, and not used since.
    Stale,
    /// Used while stale, soon to be probed.
    Delay,
    /// Being probed.
    Probe,
    /// Set by the user.
    Permanent,
    /// It did not answer, within the last minute; not of the RFC, but of ip-neighbour(8).
    Failed,
}

/// One neighbour, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub ip: IpAddr,
    /// Its link-layer address, unless it is being resolved.
    pub mac: Option<Mac>,
    /// Its state.
    pub state: State,
    /// Frames that wait for it.
    pub waiting: usize,
}

impl NeighbourTable {
    /// An empty table for 1024 neighbours.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(LIMIT)
    }

    /// An empty table for `limit` neighbours (at least one), permanent ones not counted. A neighbour
    /// costs about 200 bytes, and up to 256 KiB of waiting frames while it is being resolved, of 16 MiB
    /// for all of them.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            entries: HashMap::new(),
            timers: BinaryHeap::new(),
            unused: VecDeque::new(),
            actions: VecDeque::new(),
            limit: limit.max(1),
            permanent: 0,
            next_serial: 0,
            reachable_time: REACHABLE_TIME,
            retransmission_time: RETRANS_TIMER,
            failed: Failed::default(),
            dropped: 0,
            waiting: 0,
            changed: false,
        }
    }

    /// Whether something is known otherwise than when this was asked last; that time passes is no change.
    pub(crate) const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.changed, false)
    }

    /// How long a neighbour counts as reachable after it was confirmed to be, 30 s by default. Whoever
    /// takes it from a router advertisement multiplies it with a random factor from 0.5 to 1.5 first
    /// (RFC 4861 section 6.3.2).
    pub const fn set_reachable_time(&mut self, reachable_time: Duration) {
        self.reachable_time = reachable_time;
    }

    /// How long an answer to a neighbour solicitation of IPv6 is waited for from now on, 1 s by default (RFC 4861 section
    /// 6.3.2, RetransTimer).
    pub const fn set_retransmission_time(&mut self, time: Duration) {
        self.retransmission_time = time;
    }

    /// How long a neighbour counts as reachable.
    #[must_use]
    pub const fn reachable_time(&self) -> Duration {
        self.reachable_time
    }

    /// How long an answer of `ip` is waited for.
    #[must_use]
    pub const fn retransmission_time(&self, ip: IpAddr) -> Duration {
        if ip.is_ipv6() { self.retransmission_time } else { RETRANS_TIMER }
    }

    /// Looks up the next hop `ip` for `frame`: one hash lookup if it is known.
    ///
    /// Of the frames that wait for one neighbour, the oldest go when there are more than 64, or more than
    /// 256 KiB of buffers; and of those that wait for whom most is waiting, when it is more than 16 MiB in
    /// all.
    #[must_use]
    pub fn resolve(&mut self, now: Instant, ip: IpAddr, frame: Frame) -> Resolution {
        let Some(entry) = self.entries.get_mut(&ip) else {
            self.make_room(now, true);
            let serial = self.serial();
            let entry = Entry::incomplete(serial, now + self.retransmission_time(ip), now, frame);
            self.waiting += entry.waiting_bytes();
            self.insert(ip, entry);
            self.shed();
            return Resolution::Queued { solicit: true };
        };
        entry.last_used = Some(now);
        match &mut entry.binding {
            Binding::Incomplete { waiting, .. } => {
                self.waiting -= waiting.bytes();
                self.dropped += waiting.push(frame);
                self.waiting += waiting.bytes();
                self.shed();
                Resolution::Queued { solicit: false }
            }
            Binding::Known { mac, reachability } => {
                let mac = *mac;
                if reachability.is_stale(now, self.reachable_time) {
                    *reachability = Reachability::Delay;
                    let deadline = now + DELAY_FIRST_PROBE_TIME;
                    entry.deadline = Some(deadline);
                    self.schedule(deadline, ip);
                }
                Resolution::Known { mac, frame }
            }
        }
    }

    /// A message said that `ip` is at `mac`. Gives the frames that waited for it, to be sent to `mac`.
    ///
    /// Follows RFC 4861 sections 7.2.3 and 7.2.5; [`Evidence`] says what the ARP messages are. A solicited
    /// advertisement without a link-layer address is for [`confirm`](Self::confirm). Addresses
    /// that no single station can have are ignored.
    #[must_use]
    pub fn learn(&mut self, now: Instant, ip: IpAddr, mac: Mac, evidence: Evidence) -> Vec<Frame> {
        if !mac.is_unicast() || !is_station(ip) {
            return Vec::new();
        }
        let Some(entry) = self.entries.get_mut(&ip) else {
            if evidence == Evidence::Request && self.make_room(now, false) {
                let serial = self.serial();
                self.unused.push_back((ip, serial));
                self.insert(ip, Entry::known(serial, mac, Reachability::Stale));
                self.bound_unused();
            }
            return Vec::new();
        };
        self.changed = true;
        let before = entry.deadline;
        self.waiting -= entry.waiting_bytes();
        let frames = entry.hear(now, mac, evidence);
        self.waiting += entry.waiting_bytes();
        let after = entry.deadline;
        if let Some(deadline) = after
            && before != after
        {
            self.schedule(deadline, ip);
        }
        self.prune();
        frames
    }

    /// An upper layer got an answer through `ip` (RFC 4861 section 7.3.1): cheap enough for every new
    /// acknowledgement.
    pub fn confirm(&mut self, now: Instant, ip: IpAddr) {
        let Some(entry) = self.entries.get_mut(&ip) else { return };
        let Binding::Known { reachability, .. } = &mut entry.binding else { return };
        if *reachability == Reachability::Permanent {
            return;
        }
        self.changed |= !matches!(*reachability, Reachability::Reachable { confirmed }
            if confirmed + self.reachable_time > now);
        *reachability = Reachability::Reachable { confirmed: now };
        if entry.deadline.take().is_some() {
            self.prune();
        }
    }

    /// Sets a neighbour that nothing from the network changes. Gives the frames that waited for it.
    #[must_use]
    pub fn add_static(&mut self, ip: IpAddr, mac: Mac) -> Vec<Frame> {
        let serial = self.serial();
        let old = self.take(ip);
        self.permanent += 1;
        self.insert(ip, Entry::known(serial, mac, Reachability::Permanent));
        old.map_or_else(Vec::new, Entry::into_frames)
    }

    /// Forgets a neighbour, with the frames that waited for it; false if it is not known.
    pub fn remove(&mut self, ip: IpAddr) -> bool {
        let Some(entry) = self.take(ip) else { return false };
        self.dropped += entry.into_frames().len() as u64;
        true
    }

    /// Forgets all neighbours, with the frames that waited for them.
    pub fn clear(&mut self) {
        let all: Vec<_> = self.entries.keys().copied().collect();
        for ip in all {
            self.remove(ip);
        }
    }

    /// Does what is due at `now`; [`poll_action`](Self::poll_action) then has it.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&Reverse((at, ip))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            let wait = self.retransmission_time(ip);
            let Some(entry) = self.entries.get_mut(&ip) else { continue };
            if entry.deadline != Some(at) {
                continue;
            }
            let waited = entry.waiting_bytes();
            match entry.expire(now + wait) {
                Expiry::Solicit(target) => {
                    if let Some(deadline) = entry.deadline {
                        self.schedule(deadline, ip);
                    }
                    self.changed = true;
                    self.actions.push_back(Action::Solicit { ip, target });
                }
                Expiry::Failed(frames) => {
                    self.changed = true;
                    self.entries.remove(&ip);
                    self.failed.note(now, ip);
                    self.waiting -= waited;
                    self.actions.push_back(Action::Failed { ip, frames: Vec::from(frames) });
                }
            }
        }
        self.prune();
    }

    /// The next thing to do, until there is none.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// The link-layer address of `ip`, if it is known.
    #[must_use]
    pub fn mac_of(&self, ip: IpAddr) -> Option<Mac> {
        match self.entries.get(&ip)?.binding {
            Binding::Known { mac, .. } => Some(mac),
            Binding::Incomplete { .. } => None,
        }
    }

    /// Frames that were dropped because too many waited or because their neighbour had to go.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The neighbours as they are at `now`, in no order.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = Neighbour> {
        let failed = |ip| Neighbour { ip, mac: None, state: State::Failed, waiting: 0 };
        let known = self.entries.iter().map(move |(&ip, entry)| entry.show(ip, now, self.reachable_time));
        known.chain(self.failed.iter(now).map(failed))
    }

    fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    fn insert(&mut self, ip: IpAddr, entry: Entry) {
        self.changed = true;
        let deadline = entry.deadline;
        self.failed.forget(ip);
        self.entries.insert(ip, entry);
        if let Some(deadline) = deadline {
            self.schedule(deadline, ip);
        }
    }

    fn take(&mut self, ip: IpAddr) -> Option<Entry> {
        let entry = self.entries.remove(&ip)?;
        self.changed = true;
        self.permanent -= usize::from(entry.is_permanent());
        self.waiting -= entry.waiting_bytes();
        self.prune();
        Some(entry)
    }

    /// Makes room for one more, false if it may not displace anybody. First go those that were never
    /// used, oldest first. One that we are about to use may then displace the least recently used stale
    /// one, or else the least recently used unresolved one, or else the least recently used. But a quarter
    /// of the table is left to the unresolved: where others fill it, one of them goes before the answer
    /// for a new one can be there.
    fn make_room(&mut self, now: Instant, about_to_use: bool) -> bool {
        if self.entries.len() - self.permanent < self.limit {
            return true;
        }
        while let Some((ip, serial)) = self.unused.pop_front() {
            if self.is_unused(ip, serial) {
                return self.remove(ip);
            }
        }
        if !about_to_use {
            return false;
        }
        let (reachable_time, most) = (self.reachable_time, self.limit / 4);
        let unresolved = self.entries.values().filter(|entry| entry.is_unresolved()).count();
        let worth = |entry: &Entry| match entry.worth(now, reachable_time) {
            1 if unresolved < most => 2,
            worth => worth,
        };
        let victim = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.is_permanent())
            .min_by_key(|(_, entry)| (worth(entry), entry.last_used))
            .map(|(ip, _)| *ip);
        victim.is_some_and(|ip| self.remove(ip))
    }

    /// Drops from the longest queues until what waits in all is within its limit: of each the older half,
    /// so that not every frame of a flood costs a look at all of them.
    fn shed(&mut self) {
        while self.waiting > WAITING_IN_ALL {
            let longest = self.entries.values_mut().max_by_key(|entry| entry.waiting_bytes());
            let Some(Binding::Incomplete { waiting, .. }) = longest.map(|entry| &mut entry.binding) else {
                return;
            };
            self.waiting -= waiting.bytes();
            self.dropped += waiting.shed();
            self.waiting += waiting.bytes();
        }
    }

    fn is_unused(&self, ip: IpAddr, serial: u64) -> bool {
        self.entries.get(&ip).is_some_and(|entry| entry.serial == serial && entry.last_used.is_none())
    }

    /// Adds to the timers, and throws away the skipped ones before they outnumber the others.
    fn schedule(&mut self, deadline: Instant, ip: IpAddr) {
        self.timers.push(Reverse((deadline, ip)));
        if self.timers.len() > 2 * self.entries.len() + SLACK {
            let deadlines =
                self.entries.iter().filter_map(|(ip, entry)| Some(Reverse((entry.deadline?, *ip))));
            self.timers = deadlines.collect();
        }
    }

    /// Keeps a timer on top that is not skipped, so that [`poll_timeout`](Self::poll_timeout) is exact.
    fn prune(&mut self) {
        while let Some(Reverse((at, ip))) = self.timers.peek()
            && self.entries.get(ip).is_none_or(|entry| entry.deadline != Some(*at))
        {
            self.timers.pop();
        }
    }

    fn bound_unused(&mut self) {
        if self.unused.len() > 2 * self.entries.len() + SLACK {
            let mut unused = std::mem::take(&mut self.unused);
            unused.retain(|&(ip, serial)| self.is_unused(ip, serial));
            self.unused = unused;
        }
    }
}

impl Default for NeighbourTable {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether one station can have that address. What else is not one, such as the broadcast address of a
/// prefix, is for the caller to know.
fn is_station(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback() && ip != Ipv4Addr::BROADCAST
}

/// Neighbours in a table, unless told otherwise.
const LIMIT: usize = 1024;
/// Bytes of frame buffers that may wait for all neighbours of a table together.
const WAITING_IN_ALL: usize = 16 << 20;
/// RFC 4861 section 10: REACHABLE_TIME.
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// Skipped items that a small table may have before they are thrown away.
const SLACK: usize = 64;
