//! A lot of bytes each way, by calls chosen at random: of the library and plain ones, that wait and that
//! do not, from one thread and from two. Every byte tells its place.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ioth::{MSG_DONTWAIT, MSG_NOSIGNAL, SHUT_WR};
use ioth_tests::netns::Test;
use ioth_tests::pattern;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags};

use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        each_way_from_threads_of_their_own,
        each_way_at_once_from_one_thread_each,
        one_way_in_small_pieces,
    ]
}

/// How long a mix may take.
const DEADLINE: Duration = Duration::from_secs(12);

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }
}

/// Bytes to send or to check, and how far it is.
struct Side<'a> {
    fd: &'a OwnedFd,
    dice: Dice,
    at: u64,
    total: u64,
    largest: u64,
    /// Whether calls may wait.
    waits: bool,
    end: Instant,
}

impl<'a> Side<'a> {
    fn new(fd: &'a OwnedFd, seed: u64, total: u64, largest: u64, waits: bool) -> Self {
        Self { fd, dice: Dice(seed), at: 0, total, largest, waits, end: Instant::now() + DEADLINE }
    }

    /// One call that sends; false when there was no room.
    fn send(&mut self) -> Result<bool> {
        let len = (1 + self.dice.below(self.largest)).min(self.total - self.at);
        let data: Vec<u8> = (self.at..self.at + len).map(pattern::byte).collect();
        let wait = self.waits && self.dice.below(2) == 0;
        let (library, plain) = if wait {
            (MSG_NOSIGNAL, SendFlags::NOSIGNAL)
        } else {
            (MSG_NOSIGNAL | MSG_DONTWAIT, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        };
        let sent = match self.dice.below(3) {
            0 => rustix::net::send(self.fd, &data, plain).map_err(io::Error::from),
            _ => ioth::send(self.fd, &data, library),
        };
        self.count(sent, PollFlags::OUT)
    }

    /// One call that receives; false when there was nothing.
    fn receive(&mut self) -> Result<bool> {
        let len = (1 + self.dice.below(self.largest)).min(self.total - self.at);
        let mut room = vec![0; usize::try_from(len)?];
        let wait = self.waits && self.dice.below(2) == 0;
        let flags = if wait { 0 } else { MSG_DONTWAIT };
        let plain = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        let got = match self.dice.below(4) {
            0 => rustix::net::recv(self.fd, &mut room[..], plain).map(|(_, got)| got).map_err(Into::into),
            1 => ioth::recv(self.fd, &mut room, flags | ioth::MSG_WAITALL),
            _ => ioth::recv(self.fd, &mut room, flags),
        };
        if let Ok(0) = got {
            bail!("the stream ended at {} of {}", self.at, self.total);
        }
        if let Ok(got) = got {
            for (byte, place) in room[..got].iter().zip(self.at..) {
                ensure!(*byte == pattern::byte(place), "byte {place} of {} is wrong", self.total);
            }
        }
        self.count(got, PollFlags::IN)
    }

    fn count(&mut self, result: io::Result<usize>, wanted: PollFlags) -> Result<bool> {
        ensure!(Instant::now() < self.end, "{wanted:?} stalled at {} of {}", self.at, self.total);
        match result {
            Ok(count) => {
                self.at += count as u64;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).with_context(|| format!("{wanted:?} at {}", self.at)),
        }
    }

    fn is_over(&self) -> bool {
        self.at == self.total
    }

    fn send_all(mut self) -> Result<()> {
        while !self.is_over() {
            if !self.send()? {
                ready(self.fd, PollFlags::OUT, self.end)?;
            }
        }
        Ok(ioth::shutdown(self.fd, SHUT_WR)?)
    }

    fn receive_all(mut self) -> Result<()> {
        while !self.is_over() {
            if !self.receive()? {
                ready(self.fd, PollFlags::IN, self.end)?;
            }
        }
        let mut room = [0; 1];
        ensure!(ioth::recv(self.fd, &mut room, 0)? == 0, "there is more than was sent");
        Ok(())
    }
}

/// Waits until poll shows one of `wanted`.
fn ready(fd: impl AsFd, wanted: PollFlags, end: Instant) -> Result<PollFlags> {
    let mut fds = [PollFd::new(&fd, wanted)];
    let left = end.saturating_duration_since(Instant::now());
    let found = poll(&mut fds, Some(&Timespec::try_from(left)?))?;
    ensure!(found > 0, "poll never showed {wanted:?}");
    Ok(fds[0].revents())
}

fn each_way_from_threads_of_their_own(w: &World) -> Result<()> {
    const TOTAL: u64 = 5 << 20;
    let (ours, theirs) = w.pair()?;
    let seed = 1;
    thread::scope(|scope| {
        let work = [
            scope.spawn(|| Side::new(&ours, seed, TOTAL, 30_000, true).send_all()),
            scope.spawn(|| Side::new(&theirs, seed + 1, TOTAL, 60_000, true).send_all()),
            scope.spawn(|| Side::new(&ours, seed + 2, TOTAL, 50_000, true).receive_all()),
            scope.spawn(|| Side::new(&theirs, seed + 3, TOTAL, 20_000, true).receive_all()),
        ];
        for (number, work) in work.into_iter().enumerate() {
            let result = work.join().expect("no panic");
            w.note(
                &format!("side {number}"),
                result.map_or_else(|error| format!("{error:#}"), |()| "good".into()),
            );
        }
    });
    Ok(())
}

/// Sends and receives in one thread, without waiting but in poll.
fn both_ways(fd: &OwnedFd, seed: u64, total: u64) -> Result<()> {
    let mut out = Side::new(fd, seed, total, 40_000, false);
    let mut back = Side::new(fd, seed + 100, total, 40_000, false);
    while !out.is_over() || !back.is_over() {
        let mut wanted = PollFlags::empty();
        if !out.is_over() {
            wanted |= PollFlags::OUT;
        }
        if !back.is_over() {
            wanted |= PollFlags::IN;
        }
        let shown = ready(fd, wanted, out.end)?;
        if shown.contains(PollFlags::OUT) && !out.is_over() {
            out.send()?;
        }
        if shown.contains(PollFlags::IN) && !back.is_over() {
            back.receive()?;
        }
    }
    Ok(())
}

fn each_way_at_once_from_one_thread_each(w: &World) -> Result<()> {
    const TOTAL: u64 = 5 << 20;
    let (ours, theirs) = w.pair()?;
    thread::scope(|scope| {
        let work = [scope.spawn(|| both_ways(&ours, 7, TOTAL)), scope.spawn(|| both_ways(&theirs, 8, TOTAL))];
        for (number, work) in work.into_iter().enumerate() {
            let result = work.join().expect("no panic");
            w.note(
                &format!("side {number}"),
                result.map_or_else(|error| format!("{error:#}"), |()| "good".into()),
            );
        }
    });
    Ok(())
}

fn one_way_in_small_pieces(w: &World) -> Result<()> {
    const TOTAL: u64 = 300_000;
    let (ours, theirs) = w.pair()?;
    thread::scope(|scope| {
        let sender = scope.spawn(|| Side::new(&ours, 21, TOTAL, 200, true).send_all());
        let received = Side::new(&theirs, 22, TOTAL, 300, true).receive_all();
        w.note("received", received.map_or_else(|error| format!("{error:#}"), |()| "good".into()));
        let sent = sender.join().expect("no panic");
        w.note("sent", sent.map_or_else(|error| format!("{error:#}"), |()| "good".into()));
    });
    Ok(())
}
