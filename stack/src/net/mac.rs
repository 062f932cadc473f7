//! Ethernet addresses.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::random::random_bytes;

/// An Ethernet (EUI-48) address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

/// A string that is not six groups of two hexadecimal digits between `:` or `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Ethernet address looks like 02:00:00:00:00:01")]
pub struct ParseMacError;

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`: every station.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The address with these octets, in the order of the wire.
    #[must_use]
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// A random, locally administered unicast address: 46 random bits, so that two stacks on one
    /// network do not share one in practice.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut octets: [u8; 6] = random_bytes()?;
        octets[0] = octets[0] & !GROUP | LOCAL;
        Ok(Self(octets))
    }

    /// The octets in the order of the wire.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether it names a group of stations; the broadcast address does.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & GROUP != 0
    }

    /// Whether it is locally administered, not assigned by a vendor.
    #[must_use]
    pub const fn is_local(self) -> bool {
        self.0[0] & LOCAL != 0
    }

    /// Whether one station can have it: neither a group nor all zeros.
    #[must_use]
    pub const fn is_unicast(self) -> bool {
        !self.is_multicast() && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl From<[u8; 6]> for Mac {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut groups = text.split(separator);
        for octet in &mut octets {
            let group = groups.next().ok_or(ParseMacError)?;
            // from_str_radix takes a sign.
            if group.len() != 2 || !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(ParseMacError);
            }
            *octet = u8::from_str_radix(group, 16).map_err(|_| ParseMacError)?;
        }
        if groups.next().is_some() {
            return Err(ParseMacError);
        }
        Ok(Self(octets))
    }
}

/// IEEE 802-2014, 8.2.2: the I/G bit, a group address.
const GROUP: u8 = 0x01;
/// IEEE 802-2014, 8.2.2: the U/L bit, locally administered.
const LOCAL: u8 = 0x02;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_both_separators_and_prints_colons() {
        let mac = Mac::new([0x02, 0, 0xab, 0xcd, 0xef, 0x01]);
        assert_eq!("02:00:ab:CD:ef:01".parse(), Ok(mac));
        assert_eq!("02-00-AB-cd-ef-01".parse(), Ok(mac));
        assert_eq!(mac.to_string(), "02:00:ab:cd:ef:01");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for bad in ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "02:00-00:00:00:01"] {
            assert_eq!(bad.parse::<Mac>(), Err(ParseMacError), "{bad}");
        }
        for bad in
            ["+2:00:00:00:00:01", "gg:00:00:00:00:01", "02:00:00:00:00:01 ", "020000000001", "é:é:é:é:é:é"]
        {
            assert_eq!(bad.parse::<Mac>(), Err(ParseMacError), "{bad}");
        }
    }

    #[test]
    fn classes_follow_the_first_octet() {
        assert!(Mac::BROADCAST.is_multicast() && !Mac::BROADCAST.is_unicast());
        assert!(Mac::new([0x33, 0x33, 0, 0, 0, 1]).is_multicast());
        assert!(Mac::new([0x02, 0, 0, 0, 0, 1]).is_local());
        assert!(!Mac::new([0x00, 0x16, 0x3e, 0, 0, 1]).is_local());
        assert!(Mac::new([0x00, 0x16, 0x3e, 0, 0, 1]).is_unicast());
        assert!(!Mac::new([0; 6]).is_unicast());
    }

    #[test]
    fn random_ones_are_local_unicast_and_differ() {
        let drawn: std::collections::HashSet<Mac> = (0..1000).map(|_| Mac::random().unwrap()).collect();
        assert_eq!(drawn.len(), 1000);
        assert!(drawn.iter().all(|mac| mac.is_local() && mac.is_unicast()));
    }

    proptest! {
        #[test]
        fn printed_ones_parse_back(octets: [u8; 6]) {
            let mac = Mac::new(octets);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Mac>();
        }
    }
}
