//! One neighbour: what is known about it, and how evidence and time change that.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::{Evidence, Neighbour, State};
use crate::link::{Frame, HEADROOM};
use crate::net::Mac;
use crate::time::Instant;

/// One neighbour of the table.
#[derive(Debug)]
pub(super) struct Entry {
    /// Tells this entry from earlier ones of the same address.
    pub(super) serial: u64,
    /// When a frame was last sent to it; `None` if we never had any.
    pub(super) last_used: Option<Instant>,
    /// When [`expire`](Self::expire) has something to do.
    pub(super) deadline: Option<Instant>,
    pub(super) binding: Binding,
}

#[derive(Debug)]
pub(super) enum Binding {
    /// RFC 4861 section 7.3.2, INCOMPLETE: being resolved, after so many solicitations.
    Incomplete { solicitations: u8, waiting: Waiting },
    /// Its link-layer address is known.
    Known { mac: Mac, reachability: Reachability },
}

/// The states of RFC 4861 section 7.3.2 with a link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reachability {
    /// Set by the user; nothing changes it.
    Permanent,
    /// REACHABLE, and STALE once the reachable time after `confirmed` is over: nothing happens at that
    /// moment, so no timer is spent on it.
    Reachable {
        confirmed: Instant,
    },
    Stale,
    /// DELAY: used while stale; `deadline` says when it is probed.
    Delay,
    /// PROBE, after so many solicitations.
    Probe {
        solicitations: u8,
    },
}

/// What became of a neighbour whose deadline has come.
#[derive(Debug)]
pub(super) enum Expiry {
    /// Ask for it, at this address or at everybody's. The next deadline is set.
    Solicit(Option<Mac>),
    /// It does not answer. The frames waited for it.
    Failed(VecDeque<Frame>),
}

impl Entry {
    /// A neighbour that `frame` has to wait for, about to be solicited for the first time; the second is due `again`.
    pub(super) fn incomplete(serial: u64, again: Instant, now: Instant, frame: Frame) -> Self {
        let mut waiting = Waiting::default();
        waiting.push(frame);
        Self {
            serial,
            last_used: Some(now),
            deadline: Some(again),
            binding: Binding::Incomplete { solicitations: 1, waiting },
        }
    }

    /// A neighbour known by `mac` that we have not sent anything to yet.
    pub(super) const fn known(serial: u64, mac: Mac, reachability: Reachability) -> Self {
        Self { serial, last_used: None, deadline: None, binding: Binding::Known { mac, reachability } }
    }

    /// A message named `mac`. Gives the frames that waited for it.
    pub(super) fn hear(&mut self, now: Instant, mac: Mac, evidence: Evidence) -> Vec<Frame> {
        let (solicited, override_) = match evidence {
            Evidence::Reply { solicited, override_ } => (solicited, override_),
            // RFC 4861 section 7.2.3: a differing address is taken over, and is STALE.
            Evidence::Request => (false, true),
        };
        match &mut self.binding {
            // RFC 4861 section 7.2.5: the Override flag does not count here.
            Binding::Incomplete { waiting, .. } => {
                let frames = Vec::from(waiting.take());
                self.deadline = None;
                let reachability = if solicited {
                    Reachability::Reachable { confirmed: now }
                } else {
                    // RFC 4861 section 7.3.3: STALE, and sending the frames makes it DELAY.
                    self.deadline = Some(now + DELAY_FIRST_PROBE_TIME);
                    Reachability::Delay
                };
                self.binding = Binding::Known { mac, reachability };
                frames
            }
            Binding::Known { reachability: Reachability::Permanent, .. } => Vec::new(),
            Binding::Known { mac: known, reachability } => {
                let differs = *known != mac;
                if differs && !override_ {
                    // RFC 4861 section 7.2.5, I: doubt a reachable one, otherwise ignore.
                    if matches!(reachability, Reachability::Reachable { .. }) {
                        *reachability = Reachability::Stale;
                    }
                    return Vec::new();
                }
                // RFC 4861 section 7.2.5, II.
                *known = mac;
                if solicited {
                    *reachability = Reachability::Reachable { confirmed: now };
                    self.deadline = None;
                } else if differs {
                    *reachability = Reachability::Stale;
                    self.deadline = None;
                }
                Vec::new()
            }
        }
    }

    /// The deadline has come; the next one, if there is one, is `again`.
    pub(super) fn expire(&mut self, again: Instant) -> Expiry {
        self.deadline = None;
        let target = match &mut self.binding {
            Binding::Incomplete { solicitations, waiting } => {
                if *solicitations >= MAX_MULTICAST_SOLICIT {
                    return Expiry::Failed(waiting.take());
                }
                *solicitations += 1;
                None
            }
            Binding::Known { mac, reachability } => {
                *reachability = match *reachability {
                    Reachability::Delay => Reachability::Probe { solicitations: 1 },
                    Reachability::Probe { solicitations } if solicitations < MAX_UNICAST_SOLICIT => {
                        Reachability::Probe { solicitations: solicitations + 1 }
                    }
                    _ => return Expiry::Failed(VecDeque::new()),
                };
                Some(*mac)
            }
        };
        self.deadline = Some(again);
        Expiry::Solicit(target)
    }

    /// The frames that wait.
    pub(super) fn into_frames(self) -> Vec<Frame> {
        match self.binding {
            Binding::Incomplete { waiting, .. } => Vec::from(waiting.frames),
            Binding::Known { .. } => Vec::new(),
        }
    }

    /// Its order when one has to go: 0 stale, 1 unresolved, 2 in use.
    pub(super) fn worth(&self, now: Instant, reachable_time: Duration) -> u8 {
        match &self.binding {
            Binding::Known { reachability, .. } if reachability.is_stale(now, reachable_time) => 0,
            Binding::Incomplete { .. } => 1,
            Binding::Known { .. } => 2,
        }
    }

    /// Bytes of the buffers that wait for it.
    pub(super) const fn waiting_bytes(&self) -> usize {
        match &self.binding {
            Binding::Incomplete { waiting, .. } => waiting.bytes(),
            Binding::Known { .. } => 0,
        }
    }

    /// Whether it is being resolved.
    pub(super) const fn is_unresolved(&self) -> bool {
        matches!(self.binding, Binding::Incomplete { .. })
    }

    /// What a user sees of it.
    pub(super) fn show(&self, ip: IpAddr, now: Instant, reachable_time: Duration) -> Neighbour {
        match &self.binding {
            Binding::Incomplete { waiting, .. } => {
                Neighbour { ip, mac: None, state: State::Incomplete, waiting: waiting.frames.len() }
            }
            Binding::Known { mac, reachability } => {
                let state = match reachability {
                    _ if reachability.is_stale(now, reachable_time) => State::Stale,
                    Reachability::Reachable { .. } => State::Reachable,
                    Reachability::Stale => State::Stale,
                    Reachability::Delay => State::Delay,
                    Reachability::Probe { .. } => State::Probe,
                    Reachability::Permanent => State::Permanent,
                };
                Neighbour { ip, mac: Some(*mac), state, waiting: 0 }
            }
        }
    }

    pub(super) const fn is_permanent(&self) -> bool {
        matches!(self.binding, Binding::Known { reachability: Reachability::Permanent, .. })
    }
}

impl Reachability {
    /// Whether it has been STALE for some time or is from `now` on.
    pub(super) fn is_stale(self, now: Instant, reachable_time: Duration) -> bool {
        match self {
            Self::Stale => true,
            Self::Reachable { confirmed } => now - confirmed >= reachable_time,
            Self::Permanent | Self::Delay | Self::Probe { .. } => false,
        }
    }
}

/// Frames that wait for a neighbour, oldest first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Waiting {
    /// Adds a frame and gives how many of the oldest had to go (RFC 4861 section 7.2.2: when the queue
    /// overflows, the new arrival replaces the oldest entry).
    pub(super) fn push(&mut self, mut frame: Frame) -> u64 {
        self.bytes += memory(&mut frame);
        self.frames.push_back(frame);
        let mut dropped = 0;
        while self.frames.len() > 1 && (self.frames.len() > WAITING_FRAMES || self.bytes > WAITING_BYTES) {
            if let Some(mut oldest) = self.frames.pop_front() {
                self.bytes -= memory(&mut oldest);
                dropped += 1;
            }
        }
        dropped
    }

    /// Drops the older half of the frames, one at least, and gives how many.
    pub(super) fn shed(&mut self) -> u64 {
        let half = self.frames.len().div_ceil(2);
        for mut frame in self.frames.drain(..half) {
            self.bytes -= memory(&mut frame);
        }
        half as u64
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self) -> VecDeque<Frame> {
        self.bytes = 0;
        std::mem::take(&mut self.frames)
    }
}

/// Bytes of memory that a frame holds: its whole buffer, not only what is in it.
fn memory(frame: &mut Frame) -> usize {
    HEADROOM + frame.spare_mut().len()
}

/// RFC 4861 section 10: time between two solicitations of one neighbour. RFC 1122 section 2.3.2.1
/// recommends at most one ARP request per second and destination.
pub(super) const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// RFC 4861 section 10: MAX_MULTICAST_SOLICIT.
const MAX_MULTICAST_SOLICIT: u8 = 3;
/// RFC 4861 section 10: MAX_UNICAST_SOLICIT.
const MAX_UNICAST_SOLICIT: u8 = 3;
/// RFC 4861 section 10: DELAY_FIRST_PROBE_TIME.
pub(super) const DELAY_FIRST_PROBE_TIME: Duration = Duration::from_secs(5);
/// Frames that may wait for one neighbour.
pub(super) const WAITING_FRAMES: usize = 64;
/// Bytes of frame buffers that may wait for one neighbour.
pub(super) const WAITING_BYTES: usize = 256 * 1024;
