//! SYN cookies (RFC 4987 section 3.6): when too many handshakes are under way, a SYN is answered without keeping
//! anything. What must be known again stands in the sequence number, and the acknowledgement of it opens the
//! connection.
//!
//! The number is a keyed hash of the addresses and ports, the peer's number, the time and the peer's segment
//! size, each of the last two out of a few: whoever did not hear it would have to guess one of 8 in 2^32. Window
//! scaling is not remembered, so such a connection has windows of 64 KiB.

use std::time::Duration;

use super::adapter::FRONT;
use super::connection::{Connection, Settings, Tuple};
use super::demux::settings;
use super::isn::{Purpose, Secret};
use super::retries::Retries;
use super::segment::{self, ACK, Arrived, MSS, SYN, Segment};
use crate::engine::endpoint::{EndpointId, Options};
use crate::engine::output::{Hop, Outgoing};
use crate::engine::{Endpoint, Engine, Role};
use crate::net::checksum;
use crate::net::route::InterfaceId;
use crate::time::Instant;

/// A cookie is good for the period that it was made in and the next.
const PERIOD: Duration = Duration::from_secs(64);
/// How long after one was sent acknowledgements are looked at for them.
pub(crate) const LIFETIME: Duration = Duration::from_secs(128);
/// Segment sizes that can be remembered; a peer's is the largest that is not more than it said. The first counts for
/// whoever says none (RFC 9293 section 3.7.1).
const SIZES: [u16; 4] = [536, 1220, 1440, 1460];

/// Length of a header with the MSS option.
const HEADER_LEN: usize = segment::HEADER_LEN + 4;

fn period(now: Instant) -> u64 {
    now.as_nanos() / u64::try_from(PERIOD.as_nanos()).unwrap_or(u64::MAX)
}

/// The cookie for a connection whose peer's SYN has the number `irs`.
fn cookie(secret: &Secret, tuple: &Tuple, irs: u32, period: u64, size: usize) -> u32 {
    let number = u64::from(irs) << 32 | (period << 2 & 0xffff_ffff) | size as u64;
    secret.hash(Purpose::Cookie, &[tuple.local_address(), tuple.remote_address()], number) as u32
}

/// The cookie for a SYN that arrives now.
fn make(secret: &Secret, tuple: &Tuple, now: Instant, syn: &Segment, mss: Option<u16>) -> u32 {
    let size = SIZES.iter().rposition(|size| mss.is_some_and(|mss| *size <= mss)).unwrap_or(0);
    cookie(secret, tuple, syn.seq, period(now), size)
}

/// The peer's segment size, if the acknowledgement is one of a cookie that is still good.
fn check(secret: &Secret, tuple: &Tuple, now: Instant, ack: &Segment) -> Option<u16> {
    let (irs, sent) = (ack.seq.wrapping_sub(1), ack.ack.wrapping_sub(1));
    let now = period(now);
    let good = |size: &usize| {
        [now, now.wrapping_sub(1)].iter().any(|period| cookie(secret, tuple, irs, *period, *size) == sent)
    };
    (0..SIZES.len()).find(good).map(|size| SIZES[size])
}

impl Engine {
    /// Answers a SYN for a listener without keeping anything of it.
    pub(crate) fn send_cookie(
        &mut self,
        now: Instant,
        hop: Hop,
        tuple: Tuple,
        arrived: &Arrived<'_>,
        options: &Options,
    ) {
        let Arrived { bytes, tcp, seg } = arrived;
        let mss = segment::option(&bytes[*tcp..], seg, MSS).and_then(|mss| mss.first_chunk().copied());
        let isn = make(&self.secret, &tuple, now, seg, mss.map(u16::from_be_bytes));
        let own = self.path(now, &hop, tuple.remote).mss_within(options.max_segment);
        let own = u16::try_from(own).unwrap_or(u16::MAX);
        let window = u16::try_from(options.recv_buffer).unwrap_or(u16::MAX);
        let ack = seg.seq.wrapping_add(1);
        self.counters.syn_cookies_sent += 1;
        let fill = |bytes: &mut [u8]| {
            segment::emit(bytes, tuple.local_port, tuple.remote_port, isn, ack, SYN | ACK, window);
            set_mss(bytes, own);
        };
        let usual = self.usual_hops(hop);
        let packet = Outgoing {
            hop,
            source: tuple.local,
            destination: tuple.remote,
            protocol: checksum::TCP,
            ttl: usual,
        };
        let marks = options.ip.segment_marks(tuple.remote, usual);
        self.send_marked(now, packet, marks, usize::MAX, HEADER_LEN, fill);
    }

    /// Opens the connection whose cookie a segment acknowledges; false if it is none.
    pub(crate) fn open_by_cookie(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        listener: EndpointId,
        tuple: Tuple,
        arrived: Arrived<'_>,
    ) -> bool {
        let Some(Endpoint { role: Role::Listener(queue), options, family, .. }) =
            self.endpoints.get(listener)
        else {
            return false;
        };
        if !queue.expects_cookies(now) {
            return false;
        }
        let (options, family, room) = (*options, *family, queue.has_room());
        let Some(mss) = check(&self.secret, &tuple, now, &arrived.seg) else { return false };
        self.counters.syn_cookies_received += 1;
        if !room {
            // As Linux: the peer sends its data again, which acknowledges the cookie once more.
            self.counters.listen_overflows += 1;
            return true;
        }
        let Ok(hop) = self.route_back(interface, tuple.remote) else { return true };
        // smoltcp hears the SYN again, and what it answers is what has left already.
        let mut syn = [0; FRONT + HEADER_LEN];
        let (irs, isn) = (arrived.seg.seq.wrapping_sub(1), arrived.seg.ack.wrapping_sub(1));
        let header = &mut syn[FRONT..];
        segment::emit(header, tuple.remote_port, tuple.local_port, irs, 0, SYN, arrived.seg.window);
        set_mss(header, mss);
        let Some(seg) = Segment::parse(header) else { return true };
        let again = Arrived { bytes: &syn, tcp: FRONT, seg };
        let opened = Connection::accept(
            now,
            tuple,
            self.path(now, &hop, tuple.remote),
            // As Linux: what a cookie opens is there at once.
            Settings { defer_accept: Retries::default(), ..settings(&options) },
            isn,
            &again,
        );
        let Some(mut connection) = opened else { return true };
        if connection.outbound(&mut self.adapter, now).is_err() {
            return true;
        }
        connection.hop = Some((hop, self.routes_version));
        let id = self.insert_connection(listener, family, options, connection);
        self.segment_for(now, id, arrived);
        true
    }
}

/// Adds the MSS option to a header without options.
fn set_mss(header: &mut [u8], mss: u16) {
    header[12] = 6 << 4;
    header[segment::HEADER_LEN..].copy_from_slice(&[MSS, 4, 0, 0]);
    header[segment::HEADER_LEN + 2..].copy_from_slice(&mss.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(port: u16) -> Tuple {
        let (local, remote) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        Tuple { local, local_port: 80, remote, remote_port: port }
    }

    fn segment(seq: u32, ack: u32) -> Segment {
        let mut bytes = [0; segment::HEADER_LEN];
        segment::emit(&mut bytes, 1, 2, seq, ack, 0, 0);
        Segment::parse(&bytes).unwrap()
    }

    /// What becomes of a SYN with this number and size after so many seconds.
    fn after(irs: u32, mss: Option<u16>, seconds: u64) -> Option<u16> {
        let secret = Secret::from_seed(1);
        let made = Instant::from_millis(1_000_000);
        let isn = make(&secret, &tuple(5000), made, &segment(irs, 0), mss);
        let ack = segment(irs.wrapping_add(1), isn.wrapping_add(1));
        check(&secret, &tuple(5000), made + Duration::from_secs(seconds), &ack)
    }

    #[test]
    fn the_segment_size_is_remembered_for_a_while() {
        for irs in [0, 1, 0x7fff_ffff, u32::MAX] {
            for (said, remembered) in [
                (None, 536),
                (Some(0), 536),
                (Some(600), 536),
                (Some(1220), 1220),
                (Some(1459), 1440),
                (Some(9000), 1460),
            ] {
                assert_eq!(after(irs, said, 0), Some(remembered), "{said:?}");
            }
        }
        assert_eq!(after(7, None, 63), Some(536));
        assert_eq!(after(7, None, 128), None);
    }

    #[test]
    fn nothing_else_is_a_cookie() {
        let secret = Secret::from_seed(1);
        let now = Instant::from_millis(1_000_000);
        let isn = make(&secret, &tuple(5000), now, &segment(7, 0), None);
        let good = segment(8, isn.wrapping_add(1));
        assert!(check(&secret, &tuple(5000), now, &good).is_some());
        assert!(check(&secret, &tuple(5001), now, &good).is_none());
        assert!(check(&Secret::from_seed(2), &tuple(5000), now, &good).is_none());
        assert!(check(&secret, &tuple(5000), now, &segment(9, good.ack)).is_none());
        let guesses =
            (0..1_000_000).filter(|ack| check(&secret, &tuple(5000), now, &segment(8, *ack)).is_some());
        assert!(guesses.count() <= 1);
    }
}
