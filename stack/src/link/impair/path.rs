//! One direction of an impaired path: which frames come out of it, and when. No clock, no I/O: the same frames
//! at the same times, with the same seed, have the same fate.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::Impairments;
use crate::link::{Checksum, Frame};
use crate::net::ethernet;
use crate::time::Instant;

/// One direction of a path.
#[derive(Debug)]
pub struct Path {
    settings: Impairments,
    /// Tells the two directions of one path apart.
    direction: u64,
    drawn: u64,
    /// In the order in which they come out.
    under_way: BTreeMap<(Instant, u64), Frame>,
    /// Bytes of the buffers in it.
    held: usize,
    serial: u64,
    /// A burst of losses is going on.
    in_burst: bool,
    /// When what was taken in so far has been transmitted.
    transmitted: Instant,
    /// When the last frame that keeps the order comes out.
    last: Instant,
    lost: u64,
}

impl Path {
    /// A path without frames; the two directions of one have different numbers.
    #[must_use]
    pub const fn new(settings: Impairments, direction: u64) -> Self {
        Self {
            settings,
            direction,
            drawn: 0,
            under_way: BTreeMap::new(),
            held: 0,
            serial: 0,
            in_burst: false,
            transmitted: Instant::ZERO,
            last: Instant::ZERO,
            lost: 0,
        }
    }

    /// Takes a frame in, an ordinary one: super-frames are split first.
    pub fn push(&mut self, now: Instant, mut frame: Frame) {
        let Some(sent) = self.transmit(now, frame.len()) else {
            self.lost += 1;
            return;
        };
        if self.is_lost() {
            self.lost += 1;
            return;
        }
        if self.happens(self.settings.corrupt) {
            self.corrupt(&mut frame);
        }
        let copy = self.happens(self.settings.duplicate).then(|| frame.duplicate());
        let at = self.arrival(sent);
        for frame in copy.into_iter().chain([frame]) {
            self.insert(at, frame);
        }
    }

    /// The next frame that has come out by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Frame> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        let mut frame = entry.remove();
        self.held -= frame.spare_mut().len();
        Some(frame)
    }

    /// When [`pop`](Self::pop) has something.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// Frames that were lost so far, in the queue and on the way.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// When a frame has been transmitted; `None` if the queue has no room for it.
    fn transmit(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.settings.rate else { return Some(now) };
        let waits = self.transmitted - now;
        let queued = waits.as_nanos() * u128::from(rate) / (8 * NANOS);
        if queued > 0 && queued + len as u128 > self.settings.queue as u128 {
            return None;
        }
        let takes = u64::try_from(8 * NANOS * len as u128 / u128::from(rate)).unwrap_or(u64::MAX);
        self.transmitted = self.transmitted.max(now) + Duration::from_nanos(takes);
        Some(self.transmitted)
    }

    /// The Gilbert model: in a burst every frame is lost, and a burst ends with each of its frames alike.
    fn is_lost(&mut self) -> bool {
        let Impairments { loss, burst, .. } = self.settings;
        if loss >= MILLION {
            return true;
        }
        self.in_burst = if self.in_burst {
            !self.draw().is_multiple_of(u64::from(burst))
        } else {
            // So that in the long run the share of frames in bursts is the loss.
            let begins =
                u64::from(loss) * u64::from(MILLION) / (u64::from(MILLION - loss) * u64::from(burst));
            self.happens(u32::try_from(begins).unwrap_or(u32::MAX))
        };
        self.in_burst
    }

    /// When a frame comes out that has been transmitted at `sent`.
    fn arrival(&mut self, sent: Instant) -> Instant {
        let Impairments { delay, jitter, reorder, .. } = self.settings;
        let spread = u64::try_from(2 * jitter.as_nanos()).unwrap_or(u64::MAX);
        let varied = delay + Duration::from_nanos(if spread == 0 { 0 } else { self.draw() % spread });
        let at = sent + varied.saturating_sub(jitter);
        if self.happens(reorder) {
            return at + (delay / 2).max(LEAST_OVERTAKING);
        }
        self.last = self.last.max(at);
        self.last
    }

    fn insert(&mut self, at: Instant, mut frame: Frame) {
        let memory = frame.spare_mut().len();
        if self.held + memory > MOST_HELD {
            self.lost += 1;
            return;
        }
        self.held += memory;
        self.serial += 1;
        self.under_way.insert((at, self.serial), frame);
    }

    /// Turns one bit behind the Ethernet header around. Nobody vouches for the frame any more.
    fn corrupt(&mut self, frame: &mut Frame) {
        let bit = self.draw() as usize;
        if let Some(payload) =
            frame.bytes_mut().get_mut(ethernet::HEADER_LEN..).filter(|payload| !payload.is_empty())
        {
            let at = bit / 8 % payload.len();
            payload[at] ^= 1 << (bit % 8);
        }
        frame.checksum = Checksum::Unverified;
    }

    /// Whether something happens that does in so many cases of a million.
    fn happens(&mut self, share: u32) -> bool {
        share > 0 && self.draw() % u64::from(MILLION) < u64::from(share)
    }

    /// The next random number: a hash of how many were drawn.
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let mut hasher = SipHasher13::new_with_keys(self.settings.seed, self.direction);
        hasher.write_u64(self.drawn);
        hasher.finish()
    }
}

const MILLION: u32 = 1_000_000;
const NANOS: u128 = 1_000_000_000;
/// A frame that is overtaken comes at least so much later.
const LEAST_OVERTAKING: Duration = Duration::from_millis(1);
/// Bytes of frame buffers under way at most: what a fast sender has on a long way.
const MOST_HELD: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn path(settings: &str) -> Path {
        Path::new(settings.parse().expect("good"), 0)
    }

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    /// Sends numbered frames of 1000 bytes, one every 100 microseconds; gives when which came out.
    fn through(path: &mut Path, count: u32) -> Vec<(Instant, u32)> {
        for number in 0..count {
            let mut frame = Frame::from_slice(&[0; 1000]);
            frame.bytes_mut()[..4].copy_from_slice(&number.to_be_bytes());
            path.push(at(u64::from(number) * 100), frame);
        }
        let mut out = Vec::new();
        while let Some(now) = path.next_at() {
            let before = now.as_nanos().checked_sub(1).map(Instant::from_nanos);
            assert!(before.is_none_or(|before| path.pop(before).is_none()), "not before its time");
            while let Some(frame) = path.pop(now) {
                out.push((now, u32::from_be_bytes(*frame.bytes().first_chunk().expect("whole"))));
            }
        }
        assert_eq!(path.held, 0);
        out
    }

    fn in_order(out: &[(Instant, u32)]) -> bool {
        out.is_sorted_by_key(|(_, number)| *number)
    }

    #[test]
    fn nothing_is_done_unless_asked_for() {
        let out = through(&mut path(""), 1000);
        assert!(
            out.iter()
                .zip(0..)
                .all(|((when, number), sent)| *number == sent && *when == at(u64::from(sent) * 100))
        );
        assert_eq!(out.len(), 1000);
    }

    #[test]
    fn losses_come_alone_or_in_bursts() {
        for (settings, runs) in [("loss:2%", 1900..2100), ("loss:2%,burst:4", 450..550)] {
            let mut path = path(settings);
            let out = through(&mut path, 100_000);
            assert!((1800..2200).contains(&path.lost()), "{settings}: {}", path.lost());
            assert_eq!(out.len() as u64 + path.lost(), 100_000);
            let bursts = out.windows(2).filter(|pair| pair[1].1 != pair[0].1 + 1).count();
            assert!(runs.contains(&bursts), "{settings}: {bursts}");
            assert!(in_order(&out));
        }
        assert_eq!(through(&mut path("loss:100%"), 100).len(), 0);
    }

    #[test]
    fn the_delay_varies_and_the_order_stays() {
        let out = through(&mut path("delay:20ms"), 100);
        assert!(out.iter().all(|(when, number)| *when == at(20_000 + u64::from(*number) * 100)));
        let out = through(&mut path("delay:20ms,jitter:2ms"), 10_000);
        let delays = out.iter().map(|(when, number)| *when - at(u64::from(*number) * 100));
        let (least, most) = (delays.clone().min().expect("some"), delays.max().expect("some"));
        assert!(least >= Duration::from_millis(18) && least < Duration::from_millis(20), "{least:?}");
        assert!(most <= Duration::from_millis(22) && most > Duration::from_millis(20), "{most:?}");
        assert!(in_order(&out));
    }

    #[test]
    fn frames_are_overtaken() {
        let out = through(&mut path("delay:20ms,reorder:2%"), 10_000);
        assert_eq!(out.len(), 10_000);
        let late = out.iter().filter(|(when, number)| *when == at(30_000 + u64::from(*number) * 100)).count();
        assert!((150..250).contains(&late), "{late}");
        assert!(!in_order(&out));
    }

    #[test]
    fn frames_come_twice() {
        let out = through(&mut path("dup:1%"), 10_000);
        let twice = out.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!((60..140).contains(&twice), "{twice}");
        assert_eq!(out.len(), 10_000 + twice);
    }

    #[test]
    fn one_bit_is_wrong() {
        let mut path = path("corrupt:10%");
        let mut wrong = 0;
        for _ in 0..1000 {
            let mut frame = Frame::from_slice(&[0; 100]);
            frame.checksum = Checksum::Verified;
            path.push(Instant::ZERO, frame);
            let frame = path.pop(Instant::ZERO).expect("it arrives");
            let bits: u32 = frame.bytes().iter().map(|byte| byte.count_ones()).sum();
            assert_eq!(frame.bytes()[..14], [0; 14]);
            assert_eq!((bits, bits == 1), (bits.min(1), frame.checksum == Checksum::Unverified));
            wrong += bits;
        }
        assert!((60..140).contains(&wrong), "{wrong}");
    }

    #[test]
    fn the_rate_spaces_frames_and_the_queue_is_bounded() {
        // 1000 bytes take 800 microseconds, and come every 100: 8 are queued and the rest is lost.
        let mut path = path("rate:10mbit,queue:8000,delay:1ms");
        let out = through(&mut path, 100);
        assert!(out.windows(2).all(|pair| pair[1].0 - pair[0].0 == Duration::from_micros(800)));
        assert_eq!(out[0].0, at(1800));
        let taken = 100 * 100 / 800 + 8;
        assert!((taken - 1..=taken + 1).contains(&out.len()), "{}", out.len());
    }

    #[test]
    fn a_frame_longer_than_the_queue_passes_alone() {
        assert_eq!(through(&mut path("rate:100mbit,queue:500"), 10).len(), 10);
    }

    #[test]
    fn fate_follows_from_the_seed() {
        let fate = |settings, direction| {
            let settings: Impairments =
                format!("loss:10%,jitter:5ms,delay:5ms,{settings}").parse().expect("good");
            through(&mut Path::new(settings, direction), 1000)
        };
        assert_eq!(fate("seed:1", 0), fate("seed:1", 0));
        assert_ne!(fate("seed:1", 0), fate("seed:2", 0));
        assert_ne!(fate("seed:1", 0), fate("seed:1", 1));
    }
}
