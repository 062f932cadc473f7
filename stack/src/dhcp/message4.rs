//! The messages of DHCP (RFC 2131 section 2, options of RFC 2132): what the client says, and what of an answer is believed.
//!
//! Reading is guarded. `dhcproto` decodes the fixed header, and of the options those alone that are wanted, one by one, each
//! from its whole text: it does not know option overload, joins parts of an option only where they stand together, and some
//! options that are of no use here make it panic when they are too short. What makes no sense is left out, and an answer
//! without sensible terms is none.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dhcproto::v4::fqdn::{ClientFQDN, FqdnFlags};
use dhcproto::v4::{self, DhcpOption, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Encodable, Name};

use super::{Lifetime, MOST_ITEMS, domains, is_domain, lifetime};
use crate::net::cidr::Cidr;
use crate::net::mac::Mac;

/// Up to the magic cookie.
const FIXED_LEN: usize = 240;
/// More than any server says, and little to work on.
const MOST_LEN: usize = 4096;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Where options go on when these fields are lent to them (RFC 2132 section 9.3).
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const OVERLOAD: u8 = 52;
/// RFC 1542 section 2.1: what is shorter may be dropped on the way.
const LEAST_LEN: usize = 300;
/// The least that is taken for the MTU of an interface: what every host takes whole (RFC 791 section 3.1).
const LEAST_MTU: u16 = 576;

/// A message of the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) kind: MessageType,
    pub(super) xid: u32,
    /// Since the client began.
    pub(super) elapsed: Duration,
    pub(super) mac: Mac,
    /// The address that it has and can be reached at.
    pub(super) own: Option<Ipv4Addr>,
    /// The one that it speaks of.
    pub(super) requested: Option<Ipv4Addr>,
    pub(super) server: Option<Ipv4Addr>,
    pub(super) host_name: Option<&'a str>,
    /// The largest packet that it takes.
    pub(super) mtu: u16,
}

impl Question<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        // Not by its constructor, which draws a number that it does not use, from a generator of the thread: while the process
        // exits there is none. RFC 2131 section 2: op, htype, hlen, xid at 4, ciaddr at 12, chaddr at 28, the cookie.
        let mut header = [0; 240];
        header[..3].copy_from_slice(&[1, 1, 6]);
        header[4..8].copy_from_slice(&self.xid.to_be_bytes());
        header[12..16].copy_from_slice(&self.own.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        header[28..34].copy_from_slice(&self.mac.octets());
        header[236..].copy_from_slice(&[99, 130, 83, 99]);
        let Ok(mut message) = v4::Message::from_bytes(&header) else { return Vec::new() };
        message.set_secs(u16::try_from(self.elapsed.as_secs()).unwrap_or(u16::MAX));
        let options = message.opts_mut();
        let mut say = |option| drop(options.insert(option));
        say(DhcpOption::MessageType(self.kind));
        // RFC 2132 section 9.14, hardware type 1: the same in every message (RFC 2131 section 2).
        say(DhcpOption::ClientIdentifier([&[1][..], &self.mac.octets()].concat()));
        if let Some(address) = self.requested {
            say(DhcpOption::RequestedIpAddress(address));
        }
        if let Some(server) = self.server {
            say(DhcpOption::ServerIdentifier(server));
        }
        // RFC 2131 table 5: not in what takes back an address.
        if matches!(self.kind, MessageType::Discover | MessageType::Request) {
            say(DhcpOption::ParameterRequestList(WANTED.to_vec()));
            say(DhcpOption::MaxMessageSize(self.mtu.max(LEAST_MTU)));
            // RFC 4702 section 2.1: the server enters the name (S), which is in the form of RFC 1035 (E).
            if let Some(name) = self.host_name.and_then(|name| Name::from_ascii(name).ok()) {
                let flags = FqdnFlags::new(0b0101);
                let mut name = ClientFQDN::new(flags, name);
                // Section 2.2: what a client says there is zero.
                name.set_r1(0).set_r2(0);
                say(DhcpOption::ClientFQDN(name));
            }
        }
        let mut bytes = message.to_vec().unwrap_or_default();
        bytes.resize(bytes.len().max(LEAST_LEN), 0);
        bytes
    }
}

/// RFC 3442: classless routes in front of routers.
const WANTED: [OptionCode; 10] = [
    OptionCode::SubnetMask,
    OptionCode::BroadcastAddr,
    OptionCode::ClasslessStaticRoute,
    OptionCode::Router,
    OptionCode::DomainNameServer,
    OptionCode::DomainName,
    OptionCode::DomainSearch,
    OptionCode::InterfaceMtu,
    OptionCode::Renewal,
    OptionCode::Rebinding,
];

/// A message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: MessageType,
    pub(super) server: Ipv4Addr,
    /// `None` if they make no sense.
    pub(super) terms: Option<Terms>,
}

/// What a server gives, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) cidr: Cidr,
    /// The broadcast address of the network, where it is not the last one (RFC 2132 section 5.3).
    pub(super) broadcast: Option<Ipv4Addr>,
    pub(super) lease: Lifetime,
    /// T1 and T2 as the server says.
    pub(super) renewal: Option<Duration>,
    pub(super) rebinding: Option<Duration>,
    /// Destinations, and gateways unless they are on the link.
    pub(super) routes: Vec<(Cidr, Option<IpAddr>)>,
    pub(super) servers: Vec<IpAddr>,
    pub(super) domains: Vec<String>,
    pub(super) mtu: Option<u16>,
}

impl Terms {
    pub(super) const fn address(&self) -> Option<Ipv4Addr> {
        match self.cidr.address() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }
}

/// Whether a datagram says that it is an answer to this client.
pub(super) fn is_answer(bytes: &[u8], xid: u32, mac: Mac) -> bool {
    (FIXED_LEN..=MOST_LEN).contains(&bytes.len())
        && bytes[0] == u8::from(Opcode::BootReply)
        && bytes[1..3] == [1, 6]
        && bytes[4..8] == xid.to_be_bytes()
        && bytes[28..34] == mac.octets()
        && bytes[236..240] == COOKIE
}

impl Answer {
    /// Parses a datagram for which [`is_answer`] is true.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = v4::Message::from_bytes(bytes.get(..FIXED_LEN)?).ok()?;
        let options = Options::of(bytes);
        let DhcpOption::MessageType(kind) = options.get(OptionCode::MessageType)? else { return None };
        let DhcpOption::ServerIdentifier(server) = options.get(OptionCode::ServerIdentifier)? else {
            return None;
        };
        // What nobody can send to is no server.
        is_station(server).then(|| Self { kind, server, terms: options.terms(header.yiaddr()) })
    }
}

/// The options of a message, each put together from its parts (RFC 3396 section 7).
#[derive(Debug, Default)]
struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    fn of(bytes: &[u8]) -> Self {
        let mut options = Self::default();
        options.collect(&bytes[FIXED_LEN..]);
        // RFC 2131 section 4.1: first `file`, then `sname`.
        let overload = options.0.get(&OVERLOAD).and_then(|value| value.first()).copied().unwrap_or(0);
        for (bit, field) in [(1, FILE), (2, SNAME)] {
            if overload & bit != 0 {
                options.collect(&bytes[field]);
            }
        }
        options
    }

    /// Takes in the options up to the end, or to what is longer than there is room for.
    fn collect(&mut self, bytes: &[u8]) {
        for option in v4::borrowed::DhcpOptionIterator::new(bytes) {
            self.0.entry(option.code().into()).or_default().extend(option.data());
        }
    }

    fn get(&self, code: OptionCode) -> Option<DhcpOption> {
        let value = self.0.get(&u8::from(code))?;
        let mut bytes = Vec::new();
        v4::encode_long_opt_bytes(code, value, &mut v4::Encoder::new(&mut bytes)).ok()?;
        DhcpOption::from_bytes(&bytes).ok()
    }

    fn seconds(&self, code: OptionCode) -> Option<u32> {
        match self.get(code)? {
            DhcpOption::AddressLeaseTime(seconds)
            | DhcpOption::Renewal(seconds)
            | DhcpOption::Rebinding(seconds) => Some(seconds),
            _ => None,
        }
    }

    fn terms(&self, address: Ipv4Addr) -> Option<Terms> {
        let cidr = self.cidr(address)?;
        let lease = self.seconds(OptionCode::AddressLeaseTime).filter(|seconds| *seconds > 0)?;
        let time = |code| self.seconds(code).map(|seconds| Duration::from_secs(seconds.into()));
        let servers = match self.get(OptionCode::DomainNameServer) {
            Some(DhcpOption::DomainNameServer(servers)) => servers,
            _ => Vec::new(),
        };
        let servers = servers.into_iter().filter(|server| is_station(*server)).map(IpAddr::V4);
        let mtu = match self.get(OptionCode::InterfaceMtu) {
            Some(DhcpOption::InterfaceMtu(mtu)) if mtu >= LEAST_MTU => Some(mtu),
            _ => None,
        };
        let broadcast = match self.get(OptionCode::BroadcastAddr) {
            // It is of this network, and no station's.
            Some(DhcpOption::BroadcastAddr(broadcast))
                if cidr.contains(broadcast.into()) && broadcast != address =>
            {
                Some(broadcast)
            }
            _ => None,
        };
        Some(Terms {
            cidr,
            broadcast,
            lease: lifetime(lease),
            renewal: time(OptionCode::Renewal),
            rebinding: time(OptionCode::Rebinding),
            routes: self.routes(address),
            servers: servers.take(MOST_ITEMS).collect(),
            domains: self.domains(),
            mtu,
        })
    }

    /// The address with its prefix; `None` if no host can have it.
    fn cidr(&self, address: Ipv4Addr) -> Option<Cidr> {
        let prefix_len = match self.get(OptionCode::SubnetMask) {
            Some(DhcpOption::SubnetMask(mask)) => {
                let bits = mask.to_bits();
                // Ones, then zeros; and not everything there is.
                if bits.leading_ones() + bits.trailing_zeros() != 32 || bits == 0 {
                    return None;
                }
                bits.leading_ones()
            }
            // The mask of its class (RFC 950 section 2.1).
            _ => match address.octets()[0] {
                0..=127 => 8,
                128..=191 => 16,
                _ => 24,
            },
        };
        let cidr = Cidr::new(address.into(), u8::try_from(prefix_len).ok()?)?;
        let is_network = prefix_len < 31 && cidr.network().address() == IpAddr::V4(address);
        let is_host = is_station(address) && !is_network && cidr.broadcast() != Some(address);
        is_host.then_some(cidr)
    }

    fn routes(&self, own: Ipv4Addr) -> Vec<(Cidr, Option<IpAddr>)> {
        let gateway = |gateway: Ipv4Addr| {
            // RFC 3442: gateway 0.0.0.0 is the link itself.
            if gateway.is_unspecified() {
                Some(None)
            } else {
                (is_station(gateway) && gateway != own).then_some(Some(IpAddr::V4(gateway)))
            }
        };
        if let Some(DhcpOption::ClasslessStaticRoute(routes)) = self.get(OptionCode::ClasslessStaticRoute) {
            // RFC 3442: then routers do not count.
            let routes = routes.into_iter().filter_map(|(destination, router)| {
                let destination = Cidr::new(destination.addr().into(), destination.prefix_len())?.network();
                let inside = destination.address();
                (!inside.is_multicast() && !inside.is_loopback()).then_some((destination, gateway(router)?))
            });
            return routes.take(MOST_ITEMS).collect();
        }
        let Some(DhcpOption::Router(routers)) = self.get(OptionCode::Router) else { return Vec::new() };
        let all = Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        // In the order of preference (RFC 2132 section 3.5): the first that can be one.
        let router = routers.into_iter().filter_map(gateway).flatten().next();
        all.zip(router).map(|(all, router)| (all, Some(router))).into_iter().collect()
    }

    /// The search list (RFC 3397), or else the domain.
    fn domains(&self) -> Vec<String> {
        if let Some(DhcpOption::DomainSearch(names)) = self.get(OptionCode::DomainSearch) {
            return domains(&names);
        }
        let Some(DhcpOption::DomainName(name)) = self.get(OptionCode::DomainName) else {
            return Vec::new();
        };
        // Some end it with a NUL (RFC 2132 section 2), some with a dot.
        let name = name.trim_end_matches('\0').trim_end_matches('.');
        Some(name.to_owned()).filter(|name| is_domain(name)).into_iter().collect()
    }
}

/// Whether a single station can have an address, and not this one alone.
fn is_station(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (1..224).contains(&first) && first != 127
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: Mac = Mac::new([2, 0, 0, 0, 0, 1]);

    /// An answer with these options behind the magic cookie.
    fn message(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; FIXED_LEN];
        bytes[..8].copy_from_slice(&[2, 1, 6, 0, 0, 0, 0, 7]);
        bytes[16..20].copy_from_slice(&[10, 0, 0, 5]);
        bytes[28..34].copy_from_slice(&MAC.octets());
        bytes[236..].copy_from_slice(&COOKIE);
        bytes.extend(options);
        bytes
    }

    #[test]
    fn parts_of_an_option_belong_together_wherever_they_are_rfc_3396_7() {
        let mut options = vec![53, 1, 5, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 0, 9];
        options.extend([6, 4, 10, 0, 0, 2, 1, 2, 255, 255, 6, 4, 10, 0, 0, 3, 1, 2, 255, 0, 255]);
        let terms = Answer::parse(&message(&options)).and_then(|answer| answer.terms).unwrap();
        assert_eq!(terms.servers.len(), 2);
        assert_eq!(terms.cidr.to_string(), "10.0.0.5/24");
    }

    #[test]
    fn a_question_is_not_an_answer() {
        let bytes = message(&[255]);
        assert!(is_answer(&bytes, 7, MAC) && !is_answer(&bytes, 8, MAC));
        assert!(!is_answer(&bytes[..FIXED_LEN - 1], 7, MAC));
        assert!(!is_answer(&message(&[0; MOST_LEN]), 7, MAC));
    }

    proptest! {
        #[test]
        fn nothing_panics(options in prop::collection::vec(any::<u8>(), 0..600), code: u8, short in 0u8..5) {
            let fixed = [53, 1, 5, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 0, 9];
            let _ = Answer::parse(&message(&options));
            let _ = Answer::parse(&message(&[&fixed, &[code, short][..], &options].concat()));
        }
    }
}
