//! Router advertisements, parsed: RFC 4861 section 4.2, RFC 4191 (preferences, routes), RFC 8106 (name servers).

use std::net::Ipv6Addr;
use std::num::NonZeroU8;
use std::time::Duration;

use crate::net::cidr::Cidr;
use crate::net::mac::Mac;

/// Type, code, checksum, hop limit, flags, router lifetime, reachable time, retransmission timer.
const HEADER_LEN: usize = 16;

/// Flags.
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// Options: RFC 4861 section 4.6, RFC 4191 section 2.3, RFC 8106 section 5.
const SOURCE_LINK_ADDRESS: u8 = 1;
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const ROUTE: u8 = 24;
const NAME_SERVERS: u8 = 25;
const SEARCH_LIST: u8 = 31;

/// How much a router or a route is to be preferred (RFC 4191 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Preference {
    Low,
    Medium,
    High,
}

/// How long something holds; `None` for ever.
pub(crate) type Lifetime = Option<Duration>;

/// A router advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advertisement {
    /// The hop limit of packets that leave the link, unless that is not said.
    pub(crate) hop_limit: Option<NonZeroU8>,
    /// There are addresses from DHCPv6, and the rest as well.
    pub(crate) managed: bool,
    /// There is the rest from DHCPv6.
    pub(crate) other: bool,
    pub(crate) preference: Preference,
    /// For how long the router takes what has no better route; zero: it does not.
    pub(crate) lifetime: Duration,
    /// How long a neighbour counts as reachable, unless that is not said.
    pub(crate) reachable: Option<Duration>,
    /// How long an answer of a neighbour is waited for, unless that is not said.
    pub(crate) retransmission: Option<Duration>,
    pub(crate) information: Vec<Information>,
}

/// An option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Information {
    Router(Mac),
    Prefix { prefix: Cidr, on_link: bool, autonomous: bool, valid: Lifetime, preferred: Lifetime },
    Mtu(u32),
    Route { destination: Cidr, preference: Preference, lifetime: Lifetime },
    Servers { servers: Vec<Ipv6Addr>, lifetime: Lifetime },
    Domains { domains: Vec<String>, lifetime: Lifetime },
}

impl Advertisement {
    /// Parses a message from its ICMPv6 header on. `None` if it is not valid (RFC 4861 section 6.1.2); options that make no
    /// sense are left out.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let &[_, code, _, _, hop_limit, flags, l0, l1, r0, r1, r2, r3, t0, t1, t2, t3] =
            message.first_chunk::<HEADER_LEN>()?;
        if code != 0 {
            return None;
        }
        let reachable = u32::from_be_bytes([r0, r1, r2, r3]);
        let retransmission = u32::from_be_bytes([t0, t1, t2, t3]);
        let mut information = Vec::new();
        let mut options = &message[HEADER_LEN..];
        while !options.is_empty() {
            let &[kind, words, ..] = options else { return None };
            let len = usize::from(words) * 8;
            // RFC 4861 section 4.6: an option of length 0 makes the whole packet invalid.
            if len == 0 || len > options.len() {
                return None;
            }
            information.extend(option(kind, &options[..len]));
            options = &options[len..];
        }
        Some(Self {
            // RFC 4861 section 4.2: zero is unspecified, here and below.
            hop_limit: NonZeroU8::new(hop_limit),
            managed: flags & MANAGED != 0,
            other: flags & OTHER != 0,
            preference: Preference::of_router(flags),
            lifetime: Duration::from_secs(u16::from_be_bytes([l0, l1]).into()),
            // Section 6.2.1 (AdvReachableTime): an hour at most.
            reachable: (1..=3_600_000).contains(&reachable).then(|| Duration::from_millis(reachable.into())),
            retransmission: (retransmission != 0).then(|| Duration::from_millis(retransmission.into())),
            information,
        })
    }
}

impl Preference {
    /// In the flags of an option, and of a router that has a lifetime.
    const fn parse(flags: u8) -> Option<Self> {
        match flags >> 3 & 3 {
            0b01 => Some(Self::High),
            0b00 => Some(Self::Medium),
            0b11 => Some(Self::Low),
            _ => None,
        }
    }

    /// RFC 4191 section 2.2: what is reserved is medium.
    fn of_router(flags: u8) -> Self {
        Self::parse(flags).unwrap_or(Self::Medium)
    }
}

/// One option, `None` if it is not known or makes no sense.
fn option(kind: u8, bytes: &[u8]) -> Option<Information> {
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes)
    };
    match kind {
        SOURCE_LINK_ADDRESS => bytes.get(2..8)?.try_into().ok().map(|mac| Information::Router(Mac::new(mac))),
        PREFIX if bytes.len() == 32 => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[16..32]).ok()?);
            Some(Information::Prefix {
                prefix: prefix(address, bytes[2])?,
                on_link: bytes[3] & ON_LINK != 0,
                autonomous: bytes[3] & AUTONOMOUS != 0,
                valid: lifetime(word(4)?),
                preferred: lifetime(word(8)?),
            })
        }
        MTU if bytes.len() == 8 => word(4).map(Information::Mtu),
        ROUTE if bytes.len() <= 24 => {
            // RFC 4191 section 2.3: as much of the prefix as its length needs, or more.
            let mut octets = [0; 16];
            octets.get_mut(..bytes.len() - 8)?.copy_from_slice(&bytes[8..]);
            if usize::from(bytes[2]) > (bytes.len() - 8) * 8 {
                return None;
            }
            Some(Information::Route {
                destination: prefix(octets.into(), bytes[2])?,
                preference: Preference::parse(bytes[3])?,
                lifetime: lifetime(word(4)?),
            })
        }
        NAME_SERVERS if bytes.len() >= 24 && bytes.len() % 16 == 8 => {
            let servers = bytes[8..].chunks_exact(16).filter_map(|octets| octets.try_into().ok());
            let servers = servers.map(|octets: [u8; 16]| Ipv6Addr::from(octets));
            let servers = servers.filter(|address| !address.is_unspecified() && !address.is_multicast());
            Some(Information::Servers { servers: servers.collect(), lifetime: lifetime(word(4)?) })
        }
        SEARCH_LIST if bytes.len() >= 16 => {
            Some(Information::Domains { domains: domains(&bytes[8..])?, lifetime: lifetime(word(4)?) })
        }
        _ => None,
    }
}

/// A prefix without its host bits, `None` where no host can be.
fn prefix(address: Ipv6Addr, len: u8) -> Option<Cidr> {
    let prefix = Cidr::new(address.into(), len)?.network();
    (!address.is_multicast() && !address.is_unicast_link_local()).then_some(prefix)
}

/// RFC 4861 section 4.6.2: all ones stand for ever.
const fn lifetime(seconds: u32) -> Lifetime {
    if seconds == u32::MAX { None } else { Some(Duration::from_secs(seconds as u64)) }
}

/// Names as RFC 1035 section 3.1 has them, not compressed, with zeros behind them. `None` if that is not what they are.
fn domains(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut domains = Vec::new();
    let mut labels: Vec<&str> = Vec::new();
    while let Some((&len, rest)) = bytes.split_first() {
        if len == 0 {
            if !labels.is_empty() {
                domains.push(labels.join("."));
                labels.clear();
            }
            bytes = rest;
            continue;
        }
        let label = rest.get(..usize::from(len)).filter(|_| len <= 63)?;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        labels.push(std::str::from_utf8(label).ok().filter(|_| label.iter().all(is_name))?);
        if labels.iter().map(|label| label.len() + 1).sum::<usize>() > 254 {
            return None;
        }
        bytes = &rest[usize::from(len)..];
    }
    // A name that has no end is no name.
    labels.is_empty().then_some(domains)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(flags: u8, lifetime: u16, options: &[u8]) -> Vec<u8> {
        let [l0, l1] = lifetime.to_be_bytes();
        let mut message = vec![134, 0, 0, 0, 64, flags, l0, l1, 0, 0, 0x75, 0x30, 0, 0, 0, 0];
        message.extend(options);
        message
    }

    fn only(options: &[u8]) -> Option<Information> {
        Advertisement::parse(&message(0, 0, options)).unwrap().information.pop()
    }

    #[test]
    fn flags_and_times() {
        let parsed = Advertisement::parse(&message(0x80 | 0x08, 1800, &[])).unwrap();
        assert_eq!((parsed.managed, parsed.other, parsed.preference), (true, false, Preference::High));
        assert_eq!(parsed.lifetime, Duration::from_secs(1800));
        assert_eq!(parsed.reachable, Some(Duration::from_secs(30)));
        assert_eq!((parsed.hop_limit, parsed.retransmission), (NonZeroU8::new(64), None));
        // RFC 4191 section 2.2: 10 is reserved and means 00.
        let of = |flags| Advertisement::parse(&message(flags, 0, &[])).unwrap().preference;
        assert_eq!([of(0x18), of(0x10), of(0)], [Preference::Low, Preference::Medium, Preference::Medium]);
    }

    #[test]
    fn options_that_lie_rfc_4861_4_6() {
        assert_eq!(Advertisement::parse(&message(0, 0, &[3, 0, 0, 0, 0, 0, 0, 0])), None);
        assert_eq!(Advertisement::parse(&message(0, 0, &[3, 4, 0, 0, 0, 0, 0, 0])), None);
        assert_eq!(Advertisement::parse(&message(0, 0, &[3])), None);
        assert_eq!(Advertisement::parse(&message(0, 0, &[])[..15]), None);
        assert_eq!(only(&[5, 1, 0, 0, 0, 0, 5, 0]), Some(Information::Mtu(1280)));
        // One of an unknown kind is passed over (section 4.6).
        assert_eq!(only(&[99, 1, 0, 0, 0, 0, 5, 0]), None);
    }

    #[test]
    fn a_prefix() {
        let mut option = vec![3, 4, 64, 0xc0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x0e, 0x10, 0, 0, 0, 0];
        option.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        let expected = Information::Prefix {
            prefix: "2001:db8::/64".parse().unwrap(),
            on_link: true,
            autonomous: true,
            valid: None,
            preferred: Some(Duration::from_secs(3600)),
        };
        assert_eq!(only(&option), Some(expected));
        option[2] = 129;
        assert_eq!(only(&option), None);
        option[2] = 64;
        option[16..18].copy_from_slice(&[0xfe, 0x80]);
        assert_eq!(only(&option), None, "link-local (section 6.3.4)");
    }

    #[test]
    fn a_route_has_as_much_of_its_prefix_as_it_needs_rfc_4191_2_3() {
        let route = |option: &[u8]| match only(option) {
            Some(Information::Route { destination, preference, .. }) => {
                Some((destination.to_string(), preference))
            }
            _ => None,
        };
        assert_eq!(route(&[24, 1, 0, 0x08, 0, 0, 0, 9]), Some(("::/0".into(), Preference::High)));
        let half = [24, 2, 48, 0x18, 0, 0, 0, 9, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0];
        assert_eq!(route(&half), Some(("2001:db8:1::/48".into(), Preference::Low)));
        let short = [24, 2, 65, 0, 0, 0, 0, 9, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0];
        assert_eq!(route(&short), None);
        let reserved = [24, 2, 48, 0x10, 0, 0, 0, 9, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0];
        assert_eq!(route(&reserved), None, "a reserved preference");
    }

    #[test]
    fn search_domains_rfc_8106_5_2() {
        let domains = |names: &[u8]| {
            let mut option = vec![31, names.len().div_ceil(8) as u8 + 1, 0, 0, 0, 0, 0, 9];
            option.extend(names);
            option.resize(option.len().next_multiple_of(8), 0);
            match only(&option) {
                Some(Information::Domains { domains, .. }) => Some(domains),
                _ => None,
            }
        };
        assert_eq!(domains(b"\x03lan\0\x02ex\x03org\0"), Some(vec!["lan".into(), "ex.org".into()]));
        assert_eq!(domains(b"\x03lan\xc0\x00\x02e"), None, "a pointer");
        assert_eq!(domains(b"\x09lan\0\0\0\0"), None, "past the end");
        assert_eq!(domains(b"\x03a b\0\0\0\0"), None);
        assert_eq!(domains(b"\x03lan\x03lan"), None, "no end");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..40, words in 0u8..8) {
            let _ = Advertisement::parse(&bytes);
            let mut option = vec![kind, words];
            option.extend(&bytes);
            let _ = Advertisement::parse(&message(0, 0, &option));
        }
    }
}
