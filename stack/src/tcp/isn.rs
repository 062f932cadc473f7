//! Initial sequence numbers by RFC 6528, and how to make smoltcp use them.

use std::fmt;
use std::hash::Hasher;
use std::io;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

use crate::random::random_bytes;
use crate::time::Instant;

/// 128 secret bits of one stack, the key of its hashes. Debug does not show it.
#[derive(Clone, Copy)]
pub struct Secret([u8; 16]);

/// What a hash is for, so that the hashes of one secret have nothing to do with each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    SequenceNumber,
    ConnectPort,
    ConnectCounter,
    BindPort,
    Seed,
    Cookie,
    Timestamp,
    Identification,
    Delay,
    StableIdentifier,
    TemporaryIdentifier,
    Balance,
    Dhcp,
}

impl Secret {
    /// A secret from the system's random bytes.
    ///
    /// # Errors
    /// When the system has none.
    pub fn from_system() -> io::Result<Self> {
        random_bytes().map(Self)
    }

    /// A secret that follows from `seed`, so that a simulation can be repeated. Not for use on a
    /// network: whoever guesses the seed knows every sequence number and port.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let half = |which: u8| Self([which; 16]).hash(Purpose::Seed, &[], seed);
        Self((u128::from(half(0)) << 64 | u128::from(half(1))).to_le_bytes())
    }

    /// RFC 6528 section 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey).
    ///
    /// Connections between the same two ends get numbers that grow by one every 4 microseconds, so that
    /// a new one is not mistaken for its predecessor; what the numbers of other ends are cannot be
    /// told from them.
    #[must_use]
    pub fn isn(&self, now: Instant, local: SocketAddr, remote: SocketAddr) -> u32 {
        let timer = now.as_nanos() / NANOS_PER_TICK;
        let hash = self.hash(Purpose::SequenceNumber, &[local, remote], 0);
        // Both wrap: sequence numbers are modulo 2^32.
        (timer as u32).wrapping_add(hash as u32)
    }

    /// What the timestamps of a connection begin with (RFC 7323 section 5.4): from one connection between two ends to the
    /// next they go on.
    pub(crate) fn timestamp_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        let ends = [SocketAddr::new(local.ip(), 0), SocketAddr::new(remote.ip(), 0)];
        self.hash(Purpose::Timestamp, &ends, 0) as u32
    }

    /// The secret that a text stands for. It is as hard to guess as the text.
    pub(crate) fn from_text(text: &str) -> Self {
        let half = |which: u8| Self([which; 16]).hash_bytes(Purpose::Seed, text.as_bytes());
        Self((u128::from(half(0)) << 64 | u128::from(half(1))).to_le_bytes())
    }

    /// SipHash-2-4 of the purpose and some bytes.
    pub(crate) fn hash_bytes(&self, purpose: Purpose, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&[purpose as u8]);
        hasher.write(bytes);
        hasher.finish()
    }

    /// SipHash-2-4 of the addresses, whose number follows from the purpose, and a number. An IPv4 address
    /// is its IPv4-mapped IPv6 address here.
    pub(crate) fn hash(&self, purpose: Purpose, ends: &[SocketAddr], number: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&[purpose as u8]);
        for end in ends {
            let address = match end.ip() {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            hasher.write(&address.octets());
            hasher.write(&end.port().to_be_bytes());
        }
        hasher.write(&number.to_le_bytes());
        hasher.finish()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The seed for an interface of smoltcp's whose first connection gets `isn` as its initial sequence number.
///
/// The generator is s' = M s + A modulo 2^64, and gives the 32 bits of s' above bit 29 - (s' >> 61). With
/// s' = isn << 29 the shift is 29, and s follows from s' because M is odd. A new interface draws numbers
/// for an IPv4 identification until one is not zero, so the seed lies one more step back, and the bits of
/// s' below the ISN are chosen such that the first draw is enough.
#[must_use]
pub const fn smoltcp_seed(isn: u32) -> u64 {
    let mut state = (isn as u64) << 29;
    loop {
        let before = step_back(state);
        let drawn = (before >> (29 - (before >> 61))) as u32;
        if (drawn ^ (drawn >> 16)) as u16 != 0 {
            return step_back(before);
        }
        state += 1;
    }
}

/// The state before `state`.
const fn step_back(state: u64) -> u64 {
    state.wrapping_sub(INCREMENT).wrapping_mul(INVERSE)
}

/// RFC 6528 section 3, RFC 9293 section 3.4.1: the timer M ticks every 4 microseconds.
const NANOS_PER_TICK: u64 = 4_000;

/// M and A of smoltcp 0.14 `src/rand.rs`.
const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
const INCREMENT: u64 = 0x7590_ef39;
const INVERSE: u64 = inverse(MULTIPLIER);

/// The inverse of an odd number modulo 2^64. It is its own inverse modulo 8, and every step of Newton's
/// doubles the right bits: 3, 6, 12, 24, 48, 96.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn end(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// What `Interface::new` and then a connection of smoltcp 0.14 make of a seed.
    fn first_isn(seed: u64) -> u32 {
        let mut state = seed;
        // `Rand::rand_u32`.
        let mut draw = || {
            state = state.wrapping_mul(0xbb2e_fcec_3c39_611d).wrapping_add(0x7590_ef39);
            (state >> (29 - (state >> 61))) as u32
        };
        // `Rand::rand_u16`.
        while draw_u16(draw()) == 0 {}
        draw()
    }

    fn draw_u16(drawn: u32) -> u16 {
        (drawn ^ (drawn >> 16)) as u16
    }

    #[test]
    fn the_clock_ticks_every_4_microseconds_rfc_6528_3() {
        let secret = Secret::from_seed(1);
        let (local, remote) = (end("10.0.0.1:80"), end("10.0.0.2:4000"));
        let at = |nanos| secret.isn(Instant::from_nanos(nanos), local, remote);
        assert_eq!(at(3_999), at(0));
        assert_eq!(at(4_000), at(0).wrapping_add(1));
        assert_eq!(at(60_000_000_000), at(0).wrapping_add(15_000_000));
        // Round after 2^32 ticks.
        assert_eq!(at(4_000 << 32), at(0));
    }

    #[test]
    fn every_part_of_the_four_tuple_and_the_secret_count_rfc_6528_3() {
        let isn = |seed, local, remote| Secret::from_seed(seed).isn(Instant::ZERO, end(local), end(remote));
        let numbers: HashSet<u32> = [
            isn(1, "10.0.0.1:80", "10.0.0.2:4000"),
            isn(2, "10.0.0.1:80", "10.0.0.2:4000"),
            isn(1, "10.0.0.3:80", "10.0.0.2:4000"),
            isn(1, "10.0.0.1:81", "10.0.0.2:4000"),
            isn(1, "10.0.0.1:80", "10.0.0.4:4000"),
            isn(1, "10.0.0.1:80", "10.0.0.2:4001"),
            isn(1, "10.0.0.2:4000", "10.0.0.1:80"),
            isn(1, "[fd00::1]:80", "[fd00::2]:4000"),
        ]
        .into();
        assert_eq!(numbers.len(), 8);
    }

    #[test]
    fn neighbouring_ports_get_unrelated_numbers() {
        let secret = Secret::from_seed(7);
        let numbers: Vec<u32> = (0..10_000)
            .map(|port| secret.isn(Instant::ZERO, end("10.0.0.1:80"), (end("10.0.0.2:0").ip(), port).into()))
            .collect();
        assert!(numbers.iter().collect::<HashSet<_>>().len() > 9_990);
        // Every one of 16 parts of the space has its share of the differences.
        let mut shares = [0; 16];
        for pair in numbers.windows(2) {
            shares[(pair[1].wrapping_sub(pair[0]) >> 28) as usize] += 1;
        }
        assert!(shares.iter().all(|share| (450..800).contains(share)), "{shares:?}");
    }

    #[test]
    fn hashes_for_other_purposes_differ() {
        let secret = Secret::from_seed(1);
        let ends = [end("10.0.0.1:80"), end("10.0.0.2:4000")];
        let isn = secret.hash(Purpose::SequenceNumber, &ends, 0);
        assert_ne!(isn, secret.hash(Purpose::ConnectPort, &ends, 0));
        assert_ne!(isn, secret.hash(Purpose::SequenceNumber, &ends, 1));
    }

    #[test]
    fn secrets_of_the_system_differ_and_stay_secret() {
        let (one, other) = (Secret::from_system().unwrap(), Secret::from_system().unwrap());
        assert_ne!(one.0, other.0);
        assert_eq!(format!("{one:?}"), "Secret(..)");
        assert_eq!(Secret::from_seed(5).0, Secret::from_seed(5).0);
        assert_ne!(Secret::from_seed(5).0, Secret::from_seed(6).0);
    }

    #[test]
    fn the_inverse_is_one() {
        assert_eq!(MULTIPLIER.wrapping_mul(INVERSE), 1);
        assert_eq!(inverse(1), 1);
        assert_eq!(inverse(3).wrapping_mul(3), 1);
    }

    #[test]
    fn the_seed_gives_the_extremes() {
        for isn in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, u32::MAX] {
            assert_eq!(first_isn(smoltcp_seed(isn)), isn);
        }
    }

    #[test]
    fn the_seed_gives_the_number_where_the_identification_is_drawn_twice() {
        // One in 65 536 has an identification of zero on the straight way.
        let twice = (0..1_000_000u32).find(|isn| {
            let before = step_back(u64::from(*isn) << 29);
            draw_u16((before >> (29 - (before >> 61))) as u32) == 0
        });
        let isn = twice.unwrap();
        assert_eq!(first_isn(smoltcp_seed(isn)), isn);
    }

    proptest! {
        #[test]
        fn the_seed_gives_the_number(isn: u32) {
            prop_assert_eq!(first_isn(smoltcp_seed(isn)), isn);
        }
    }
}
