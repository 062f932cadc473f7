//! A link whose frames get lost, late, doubled, out of order or damaged: a bad path, on demand.
//!
//! Each direction is a [`Path`] of its own. What goes through is what a wire would carry: super-frames are
//! split, so that chance meets segments and not 64 KiB at a time, and checksums are complete.

mod path;
mod settings;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

pub use path::Path;
pub use settings::Impairments;

use super::split::split;
use super::{Capabilities, Frame, Link};
use crate::time::Instant;

/// Frames taken from the link within before the path is looked at.
const BATCH: usize = 64;

/// An impaired link around another.
#[derive(Debug)]
pub struct Impaired {
    inner: Box<dyn Link>,
    outward: Path,
    inward: Path,
    started: std::time::Instant,
    /// The link within and the timer.
    epoll: OwnedFd,
    /// Rings when the next frame is due.
    timer: OwnedFd,
    /// When it rings.
    set: Option<Instant>,
}

impl Impaired {
    /// Impairs `inner` in both directions.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` without two descriptors left.
    pub fn new(inner: Box<dyn Link>, settings: &Impairments) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, inner.as_fd(), EventData::new_u64(0), EventFlags::IN)?;
        epoll::add(&epoll, &timer, EventData::new_u64(1), EventFlags::IN)?;
        Ok(Self {
            inner,
            outward: Path::new(settings.clone(), 0),
            inward: Path::new(settings.clone(), 1),
            started: std::time::Instant::now(),
            epoll,
            timer,
            set: None,
        })
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// Sends what has come out of the path.
    fn forward(&mut self, now: Instant) -> io::Result<()> {
        while let Some(frame) = self.outward.pop(now) {
            self.inner.transmit(frame)?;
        }
        Ok(())
    }

    /// When a frame comes out of either direction.
    fn next(&self) -> Option<Instant> {
        self.outward.next_at().into_iter().chain(self.inward.next_at()).min()
    }
}

impl Link for Impaired {
    fn capabilities(&self) -> Capabilities {
        Capabilities { offload: false, ..self.inner.capabilities() }
    }

    fn receive(&mut self) -> io::Result<Option<Frame>> {
        let now = self.now();
        if self.set.take_if(|at| *at <= now).is_some() {
            // It has rung; the next one is set before the owner sleeps.
            let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        }
        for _ in 0..BATCH {
            let Some(frame) = self.inner.receive()? else { break };
            split(frame).into_iter().for_each(|frame| self.inward.push(now, frame));
        }
        // What the link within refuses is lost, as on any path.
        let _ = self.forward(now);
        Ok(self.inward.pop(now))
    }

    fn transmit(&mut self, frame: Frame) -> io::Result<()> {
        let now = self.now();
        split(frame).into_iter().for_each(|frame| self.outward.push(now, frame));
        self.forward(now)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut all = self.inner.descriptors();
        all.extend([self.epoll.as_fd(), self.timer.as_fd()]);
        all
    }

    fn arm(&mut self) -> bool {
        let now = self.now();
        let next = self.next();
        if next.is_some_and(|at| at <= now) {
            return false;
        }
        if let Some(at) = next
            && self.set != Some(at)
        {
            let left = at - now;
            let value = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
            if timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).is_err() {
                return false;
            }
            self.set = Some(at);
        }
        self.inner.arm()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::link::switch::Switch;

    fn waits(link: &Impaired, time: Duration) -> bool {
        let time = Timespec::try_from(time).expect("short");
        poll(&mut [PollFd::new(&link.as_fd(), PollFlags::IN)], Some(&time)).expect("poll") == 1
    }

    #[test]
    fn frames_are_late_both_ways_and_the_descriptor_tells() {
        let switch = Switch::new("lan");
        let settings = "delay:20ms".parse().expect("good");
        let mut near =
            Impaired::new(Box::new(switch.port().expect("a port")), &settings).expect("descriptors");
        let mut far = switch.port().expect("a port");
        assert!(near.arm() && !waits(&near, Duration::ZERO));

        let sent = std::time::Instant::now();
        far.transmit(Frame::from_slice(&[0xff; 60])).expect("sent");
        assert!(near.receive().expect("alive").is_none(), "it is under way");
        while near.arm() {
            assert!(waits(&near, Duration::from_secs(5)));
            if near.receive().expect("alive").is_some() {
                break;
            }
        }
        assert!(sent.elapsed() >= Duration::from_millis(20));

        let sent = std::time::Instant::now();
        near.transmit(Frame::from_slice(&[0xff; 60])).expect("sent");
        assert!(far.receive().expect("alive").is_none(), "it is under way");
        assert!(near.arm() && waits(&near, Duration::from_secs(5)));
        while far.receive().expect("alive").is_none() {
            assert!(near.receive().expect("alive").is_none());
        }
        assert!(sent.elapsed() >= Duration::from_millis(20));
        assert!(!near.capabilities().offload);
    }
}
