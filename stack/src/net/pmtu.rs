//! Path MTUs that the network told us (RFC 1191, RFC 8201), by destination.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Instant;

/// What is known of paths.
#[derive(Debug, Default)]
pub(crate) struct PathMtus {
    // The destinations are ours to choose, but many of them may be a peer's.
    known: HashMap<IpAddr, (u16, Instant)>,
}

impl PathMtus {
    /// Remembers the MTU of the path to `destination`, if that is less than what is known. When too many are known,
    /// all are forgotten: they are learnt again by the next packet that is too long.
    pub(crate) fn learn(&mut self, now: Instant, destination: IpAddr, mtu: u16) {
        if self.known.len() >= MOST && !self.known.contains_key(&destination) {
            self.known.clear();
        }
        let known = self.of(now, destination).unwrap_or(u16::MAX);
        self.known.insert(destination, (known.min(mtu), now + LIFETIME));
    }

    /// The MTU of the path to `destination`, if anybody has said something about it lately.
    pub(crate) fn of(&self, now: Instant, destination: IpAddr) -> Option<u16> {
        let (mtu, expires) = self.known.get(&destination)?;
        (now < *expires).then_some(*mtu)
    }
}

/// The MTU of a path on which a packet of `len` bytes was too long, and somebody said `said`. `None` for what no
/// honest router says.
pub(crate) fn of_report(said: u32, len: u16, v6: bool) -> Option<u16> {
    let said = u16::try_from(said).unwrap_or(u16::MAX);
    if v6 {
        // RFC 8201 section 4: a node must not reduce its estimate below the minimum link MTU.
        return (said >= LEAST_V6).then_some(said);
    }
    let mtu = match said {
        // RFC 1191 section 5: a router that does not know of this says 0, and the next plateau is tried.
        0 => *PLATEAUS.iter().find(|plateau| **plateau < len)?,
        said => said,
    };
    // As Linux, net.ipv4.route.min_pmtu: what claims less is believed so far.
    Some(mtu.max(LEAST_V4))
}

/// RFC 1191 section 6.3, RFC 8201 section 5.3: ten minutes, as net.ipv4.route.mtu_expires.
const LIFETIME: Duration = Duration::from_secs(600);
/// Destinations remembered.
const MOST: usize = 4096;
const LEAST_V4: u16 = 552;
/// RFC 8200 section 5.
const LEAST_V6: u16 = 1280;
/// RFC 1191 section 7.1.
const PLATEAUS: [u16; 9] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_counts_for_ten_minutes_rfc_1191_6_3() {
        let mut paths = PathMtus::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        paths.learn(at(0), one, 1400);
        paths.learn(at(1), one, 1450);
        assert_eq!((paths.of(at(600), one), paths.of(at(600), other)), (Some(1400), None));
        assert_eq!(paths.of(at(601), one), None);
        for number in 0..3 * MOST as u32 {
            paths.learn(at(2), std::net::Ipv4Addr::from(number).into(), 1000);
        }
        assert!(paths.known.len() <= MOST);
    }

    #[test]
    fn reports_are_taken_with_care() {
        for (said, len, v6, mtu) in [
            (1400, 1500, false, Some(1400)),
            (0, 1500, false, Some(1492)),
            (0, 1492, false, Some(1006)),
            (0, 200, false, None),
            (68, 1500, false, Some(552)),
            (1280, 1500, true, Some(1280)),
            (1279, 1500, true, None),
            (0, 1500, true, None),
            (u32::MAX, 1500, true, Some(0xffff)),
        ] {
            assert_eq!(of_report(said, len, v6), mtu, "{said} {len} {v6}");
        }
    }
}
