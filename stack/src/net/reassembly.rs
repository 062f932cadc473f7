//! Reassembly of datagrams from fragments (RFC 791 section 3.2, RFC 8200 section 4.5): pure, one for each family.
//!
//! What is kept is bounded three times: the number of datagrams, their cost in memory, and both for each source. A
//! source beyond its share loses its own oldest datagram. When all shares together are too much, whoever sends loses
//! its own oldest, too, and only who has nothing else there takes the place of the oldest of all: so a flood from one
//! source costs nobody else more than one datagram, and one from many has to pass all that is kept before it costs
//! what came lately.

mod ecn;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use self::ecn::Codepoints;
use super::checksum;
use super::extension::FRAGMENT_LEN;
use super::ip::{self, Packet, Part};
use super::route::InterfaceId;
use crate::link::Frame;
use crate::time::Instant;

/// What the fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    /// 0 for IPv6, where it may differ from fragment to fragment, and that of the first counts.
    protocol: u8,
    identification: u32,
    /// 0 unless the addresses mean something on that interface only (RFC 4007 section 6).
    scope: u32,
}

/// A fragment that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) packet: &'a Packet,
    pub(crate) part: Part,
    /// All of its frame.
    pub(crate) frame: &'a [u8],
    pub(crate) interface: InterfaceId,
    /// Whether it was for this host alone.
    pub(crate) to_one: bool,
}

/// What became of a fragment.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It waits for the others, or was there already.
    Kept,
    /// It contradicts the others: its datagram is forgotten.
    Failed,
    /// It was the last one.
    Whole(Box<Datagram>),
}

/// A datagram of which something has arrived.
#[derive(Debug)]
pub(crate) struct Datagram {
    key: Key,
    born: Instant,
    pub(crate) interface: InterfaceId,
    /// Whether every fragment was for this host alone.
    pub(crate) to_one: bool,
    /// The first fragment, and its frame up to its payload.
    first: Option<(Packet, Vec<u8>)>,
    /// By their offsets. They do not overlap.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// Bytes in `pieces`.
    arrived: usize,
    /// The furthest end of a piece.
    end: usize,
    /// Whether `end` is that of the datagram.
    last_arrived: bool,
    codepoints: Codepoints,
    cost: usize,
}

/// What one source has under way.
#[derive(Debug, Default)]
struct Share {
    serials: BTreeSet<u64>,
    cost: usize,
}

/// The datagrams of one family that are not whole yet.
#[derive(Debug)]
pub(crate) struct Reassembly {
    lifetime: Duration,
    /// By their age: a later datagram has a larger number.
    datagrams: BTreeMap<u64, Datagram>,
    serials: HashMap<Key, u64>,
    shares: HashMap<IpAddr, Share>,
    cost: usize,
    next_serial: u64,
    evicted: u64,
}

impl Reassembly {
    /// `lifetime`: how long the fragments of a datagram are kept after the first that arrived.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            datagrams: BTreeMap::new(),
            serials: HashMap::new(),
            shares: HashMap::new(),
            cost: 0,
            next_serial: 0,
            evicted: 0,
        }
    }

    /// Takes in a fragment. With IPv6, [`check_fragment`](super::extension::check_fragment) has passed it.
    pub(crate) fn insert(&mut self, now: Instant, fragment: &Fragment<'_>) -> Outcome {
        let key = Key::of(fragment);
        let serial = match self.serials.get(&key) {
            Some(serial) => *serial,
            None => self.create(now, key, fragment.interface),
        };
        let Some(datagram) = self.datagrams.get_mut(&serial) else { return Outcome::Failed };
        let before = datagram.cost;
        let ok = datagram.add(fragment);
        let (grown, whole) = (datagram.cost - before, datagram.is_whole());
        self.cost += grown;
        let share = self.shares.entry(key.source).or_default();
        share.cost += grown;
        if !ok || whole {
            let datagram = self.remove(serial);
            return datagram
                .filter(|whole| ok && whole.fits())
                .map_or(Outcome::Failed, |whole| Outcome::Whole(Box::new(whole)));
        }
        self.make_room(key.source, serial);
        Outcome::Kept
    }

    /// The next datagram whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Datagram> {
        let serial = self.datagrams.first_key_value().map(|(serial, _)| *serial)?;
        (self.poll_timeout()? <= now).then(|| self.remove(serial)).flatten()
    }

    /// When [`expire`](Self::expire) has something.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.datagrams.first_key_value().map(|(_, oldest)| oldest.born + self.lifetime)
    }

    /// How many datagrams had to make room since the last question.
    pub(crate) const fn take_evicted(&mut self) -> u64 {
        std::mem::replace(&mut self.evicted, 0)
    }

    fn create(&mut self, now: Instant, key: Key, interface: InterfaceId) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.datagrams.insert(serial, Datagram::new(now, key, interface));
        self.serials.insert(key, serial);
        let share = self.shares.entry(key.source).or_default();
        share.serials.insert(serial);
        share.cost += DATAGRAM_COST;
        self.cost += DATAGRAM_COST;
        serial
    }

    fn remove(&mut self, serial: u64) -> Option<Datagram> {
        let datagram = self.datagrams.remove(&serial)?;
        self.serials.remove(&datagram.key);
        self.cost -= datagram.cost;
        if let Some(share) = self.shares.get_mut(&datagram.key.source) {
            share.cost -= datagram.cost;
            share.serials.remove(&serial);
            if share.serials.is_empty() {
                self.shares.remove(&datagram.key.source);
            }
        }
        Some(datagram)
    }

    /// Evicts until everything is within its bounds, after `source` sent a fragment of `serial`.
    fn make_room(&mut self, source: IpAddr, serial: u64) {
        while let Some(share) = self.shares.get(&source) {
            let crowded = self.cost > COST || self.datagrams.len() > DATAGRAMS;
            if !crowded && share.cost <= SOURCE_COST && share.serials.len() <= SOURCE_DATAGRAMS {
                return;
            }
            let own = share.serials.iter().find(|own| **own != serial);
            let Some(victim) = own.or_else(|| self.datagrams.keys().next()).copied() else { return };
            self.remove(victim);
            self.evicted += 1;
        }
    }
}

impl Key {
    fn of(fragment: &Fragment<'_>) -> Self {
        let Packet { source, destination, protocol, .. } = *fragment.packet;
        let (v6, scoped) = match source {
            IpAddr::V4(_) => (false, false),
            IpAddr::V6(source) => (true, source.is_unicast_link_local()),
        };
        Self {
            source,
            destination,
            protocol: if v6 { 0 } else { protocol },
            identification: fragment.part.identification,
            scope: if scoped { fragment.interface.index() } else { 0 },
        }
    }
}

impl Datagram {
    const fn new(now: Instant, key: Key, interface: InterfaceId) -> Self {
        Self {
            key,
            born: now,
            interface,
            to_one: true,
            first: None,
            pieces: BTreeMap::new(),
            arrived: 0,
            end: 0,
            last_arrived: false,
            codepoints: Codepoints::new(),
            cost: DATAGRAM_COST,
        }
    }

    /// Adds a fragment; false if it cannot be one of this datagram, as Linux has it.
    fn add(&mut self, fragment: &Fragment<'_>) -> bool {
        let Fragment { packet, part, frame, .. } = *fragment;
        let data = &frame[packet.payload..packet.end];
        // RFC 791 section 3.2: parts are counted in words of eight bytes. Linux cuts what is not.
        let data = if part.more { &data[..data.len() & !7] } else { data };
        let (start, end) = (usize::from(part.offset), usize::from(part.offset) + data.len());
        if data.is_empty() || counted(packet) + end > ip::MAX_LEN {
            return false;
        }
        // The last one decides where the datagram ends, and nothing may lie behind.
        let beyond = if part.more {
            self.last_arrived && end > self.end
        } else {
            end < self.end || (self.last_arrived && end != self.end)
        };
        if beyond {
            return false;
        }
        // RFC 5722 section 4, and IPv4 alike on Linux: what overlaps was made to deceive. What is there already,
        // byte by byte, came twice.
        if let Some((&at, piece)) = self.pieces.range(..end).next_back()
            && at + piece.len() > start
        {
            return at == start && piece == data;
        }
        self.to_one &= fragment.to_one;
        self.codepoints.note(ip::tos(frame));
        self.end = self.end.max(end);
        self.last_arrived |= !part.more;
        self.arrived += data.len();
        self.cost += PIECE_COST + data.len();
        self.pieces.insert(start, data.to_vec());
        if start == 0 {
            self.cost += packet.payload;
            self.first = Some((*packet, frame[..packet.payload].to_vec()));
        }
        true
    }

    fn is_whole(&self) -> bool {
        self.last_arrived && self.arrived == self.end
    }

    /// Whether its length can be written into the header that its first fragment has, and its codepoint of ECN.
    fn fits(&self) -> bool {
        self.codepoints.mark().is_some()
            && self.first.as_ref().is_some_and(|(packet, _)| counted(packet) + self.end <= ip::MAX_LEN)
    }

    /// The first fragment, in a frame, if it has arrived: what an error quotes.
    pub(crate) fn first(&self) -> Option<(Packet, Vec<u8>)> {
        let (packet, head) = self.first.as_ref()?;
        let frame = [&**head, self.pieces.get(&0)?].concat();
        // Without what was cut off to make whole words.
        Some((Packet { end: frame.len(), ..*packet }, frame))
    }

    /// The datagram in one frame, as if it had come so.
    pub(crate) fn into_frame(self) -> Option<Frame> {
        let (packet, mut head) = self.first?;
        let header = packet.header;
        let mark = self.codepoints.mark()?;
        if packet.source.is_ipv4() {
            head[header + 1] |= mark;
            let len = u16::try_from(head.len() - header + self.end).ok()?;
            head[header + 2..header + 4].copy_from_slice(&len.to_be_bytes());
            // Neither more fragments nor an offset.
            head[header + 6..header + 8].fill(0);
            head[header + 10..header + 12].fill(0);
            let sum = checksum::of(&head[header..]);
            head[header + 10..header + 12].copy_from_slice(&sum.to_be_bytes());
        } else {
            head[header + 1] |= mark << 4;
            // RFC 8200 section 4.5: without the fragment header, and what that names is named in front of it.
            head.truncate(head.len() - FRAGMENT_LEN);
            head[header + usize::from(packet.part?.named_at)] = packet.protocol;
            let len = u16::try_from(head.len() - header - ip::V6_HEADER_LEN + self.end).ok()?;
            head[header + 4..header + 6].copy_from_slice(&len.to_be_bytes());
        }
        let mut frame = Frame::with_capacity(head.len() + self.end);
        frame.set_len(head.len() + self.end);
        let (front, payload) = frame.bytes_mut().split_at_mut(head.len());
        front.copy_from_slice(&head);
        for (at, piece) in self.pieces {
            payload[at..at + piece.len()].copy_from_slice(&piece);
        }
        Some(frame)
    }
}

/// Bytes of the headers of a fragment that the length field of the datagram counts: IPv6 does not count its own.
const fn counted(packet: &Packet) -> usize {
    let headers = packet.payload - packet.header;
    if packet.source.is_ipv4() { headers } else { headers - ip::V6_HEADER_LEN - FRAGMENT_LEN }
}

/// `net.ipv4.ipfrag_time`; RFC 1122 section 3.3.2 has 60 to 120 s.
pub(crate) const LIFETIME_V4: Duration = Duration::from_secs(30);
/// `net.ipv6.ip6frag_time`, RFC 8200 section 4.5.
pub(crate) const LIFETIME_V6: Duration = Duration::from_secs(60);

/// What all datagrams may cost, in bytes: `ipfrag_high_thresh` of Linux.
const COST: usize = 4 << 20;
/// Those of one source. A whole datagram in the smallest pieces costs less.
const SOURCE_COST: usize = 1 << 20;
/// Datagrams at once.
const DATAGRAMS: usize = 1024;
/// Of one source.
const SOURCE_DATAGRAMS: usize = 64;
/// What a datagram and a piece cost besides their bytes.
const DATAGRAM_COST: usize = 512;
const PIECE_COST: usize = 96;

#[cfg(test)]
mod tests;
