//! The messages of DHCPv6 (RFC 8415 sections 8 and 21, RFC 3646): what the client says, and what of an answer is believed.
//!
//! Reading is guarded. Before `dhcproto` decodes a message, everything is taken out of it that is of no use here or is not as
//! long as it has to be: the crate trusts the lengths of some options (a status code of one byte makes it panic), and follows
//! options inside options as deep as they go, to the end of the stack of the thread.

use std::net::Ipv6Addr;
use std::time::Duration;

use dhcproto::v6::{
    DhcpOption, DhcpOptions, IAAddr, IANA, Message, MessageType, ORO, OptionCode, Status, UnknownOption,
};
use dhcproto::{Decodable, Encodable, Name};

use super::{Lifetime, MOST_ITEMS, domains, lifetime};
use crate::net::mac::Mac;

/// More than any server says, and little to work on.
const MOST_LEN: usize = 4096;
/// Type and transaction identifier (section 8).
const HEADER_LEN: usize = 4;
/// Sections 21.2 to 21.14, 21.23 to 21.25; RFC 3646.
const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const IA_NA: u16 = 3;
const IA_ADDRESS: u16 = 5;
const PREFERENCE: u16 = 7;
const STATUS: u16 = 13;
const RAPID_COMMIT: u16 = 14;
const NAME_SERVERS: u16 = 23;
const SEARCH_LIST: u16 = 24;
const REFRESH_TIME: u16 = 32;
const SOL_MAX_RT: u16 = 82;
const INF_MAX_RT: u16 = 83;

/// A message of the client.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    pub(super) kind: MessageType,
    pub(super) xid: [u8; 3],
    pub(super) mac: Mac,
    /// Hundredths of a second.
    pub(super) elapsed: u16,
    /// Identifier of the identity association, and the addresses spoken of; `None`: no addresses are wanted.
    pub(super) association: Option<(u32, &'a [Ipv6Addr])>,
    pub(super) server: Option<&'a [u8]>,
    pub(super) host_name: Option<&'a str>,
}

impl Question<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut options = DhcpOptions::new();
        options.insert(DhcpOption::ClientId(duid(self.mac)));
        if let Some(server) = self.server {
            options.insert(DhcpOption::ServerId(server.to_vec()));
        }
        options.insert(DhcpOption::ElapsedTime(self.elapsed));
        if let Some((id, addresses)) = self.association {
            let mut inside = DhcpOptions::new();
            for &addr in addresses {
                // Section 18.2: the lifetimes are the server's business.
                let address = IAAddr { addr, preferred_life: 0, valid_life: 0, opts: DhcpOptions::new() };
                inside.insert(DhcpOption::IAAddr(address));
            }
            options.insert(DhcpOption::IANA(IANA { id, t1: 0, t2: 0, opts: inside }));
        }
        if self.kind == MessageType::Solicit {
            options.insert(DhcpOption::RapidCommit);
        }
        // Table in section 21.7: not in what gives addresses back.
        if !matches!(self.kind, MessageType::Release | MessageType::Decline) {
            let mut wanted = vec![OptionCode::DomainNameServers, OptionCode::DomainSearchList];
            wanted.extend(if self.kind == MessageType::InformationRequest {
                vec![OptionCode::InformationRefreshTime, OptionCode::InfMaxRt]
            } else {
                vec![OptionCode::SolMaxRt]
            });
            options.insert(DhcpOption::ORO(ORO { opts: wanted }));
            // RFC 4704 section 4: the server enters the name (S).
            if let Some(name) = self.host_name.and_then(|name| Name::from_ascii(name).ok())
                && self.association.is_some()
            {
                let mut data = vec![1];
                data.extend(name.iter().flat_map(|label| [&[label.len() as u8], label].concat()));
                data.push(0);
                options.insert(DhcpOption::Unknown(UnknownOption::new(OptionCode::ClientFqdn, data)));
            }
        }
        // Not by its constructor; see `message4.rs`.
        let [x0, x1, x2] = self.xid;
        let Ok(mut message) = Message::from_bytes(&[self.kind.into(), x0, x1, x2]) else { return Vec::new() };
        message.set_opts(options);
        message.to_vec().unwrap_or_default()
    }
}

/// DUID-LL (RFC 8415 section 11.4) of a station of Ethernet: the same in every run with the same address.
fn duid(mac: Mac) -> Vec<u8> {
    [&[0, 3, 0, 1][..], &mac.octets()].concat()
}

/// A message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: MessageType,
    pub(super) server: Vec<u8>,
    pub(super) preference: u8,
    pub(super) rapid: bool,
    /// Of the whole message, or else of the identity association.
    pub(super) status: Status,
    pub(super) association: Option<Association>,
    pub(super) servers: Vec<Ipv6Addr>,
    pub(super) domains: Vec<String>,
    pub(super) refresh: Option<Lifetime>,
    /// The longest waits that the server wants.
    pub(super) longest_solicit: Option<Duration>,
    pub(super) longest_inform: Option<Duration>,
}

/// The addresses that a server gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Association {
    pub(super) renewal: Lifetime,
    pub(super) rebinding: Lifetime,
    pub(super) addresses: Vec<Given>,
}

/// An address, and how long it is preferred and valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) address: Ipv6Addr,
    pub(super) preferred: Lifetime,
    pub(super) valid: Lifetime,
}

impl Answer {
    /// Parses a datagram; `None` if it is no answer to this client in this transaction (section 16), or makes no sense.
    pub(super) fn parse(bytes: &[u8], xid: [u8; 3], mac: Mac, id: u32) -> Option<Self> {
        let (header, options) = bytes.split_at_checked(HEADER_LEN).filter(|_| bytes.len() <= MOST_LEN)?;
        if header[1..] != xid {
            return None;
        }
        let sifted = [header, &sift(options, false)].concat();
        let message = Message::from_bytes(&sifted).ok()?;
        let kind = message.msg_type();
        let options = message.opts();
        let (DhcpOption::ClientId(client), DhcpOption::ServerId(server)) =
            (options.get(OptionCode::ClientId)?, options.get(OptionCode::ServerId)?)
        else {
            return None;
        };
        if !matches!(kind, MessageType::Advertise | MessageType::Reply) || *client != duid(mac) {
            return None;
        }
        let associations = options.get_all(OptionCode::IANA).unwrap_or_default();
        let mine = associations.iter().find_map(|option| match option {
            DhcpOption::IANA(association) if association.id == id => Some(association),
            _ => None,
        });
        let of_message = status(options);
        let of_mine = mine.map_or(Status::Success, |association| status(&association.opts));
        let servers = match options.get(OptionCode::DomainNameServers) {
            Some(DhcpOption::DomainNameServers(servers)) => &servers[..],
            _ => &[],
        };
        let servers = servers.iter().filter(|server| is_station(**server)).take(MOST_ITEMS);
        let names = match options.get(OptionCode::DomainSearchList) {
            Some(DhcpOption::DomainSearchList(names)) => domains(names),
            _ => Vec::new(),
        };
        Some(Self {
            kind,
            server: server.clone(),
            preference: match options.get(OptionCode::Preference) {
                Some(DhcpOption::Preference(preference)) => *preference,
                _ => 0,
            },
            rapid: options.get(OptionCode::RapidCommit).is_some(),
            status: if of_message == Status::Success { of_mine } else { of_message },
            association: mine.and_then(association),
            servers: servers.copied().collect(),
            domains: names,
            refresh: seconds(options, OptionCode::InformationRefreshTime).map(lifetime),
            longest_solicit: longest(options, OptionCode::SolMaxRt),
            longest_inform: longest(options, OptionCode::InfMaxRt),
        })
    }
}

/// The options that are wanted here and are as long as they have to be, up to the first that is longer than there is room for.
fn sift(mut options: &[u8], inside: bool) -> Vec<u8> {
    let mut kept = Vec::new();
    while let Some((&[c0, c1, l0, l1], rest)) = options.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let Some((value, behind)) = rest.split_at_checked(len) else { break };
        options = behind;
        let value = match (u16::from_be_bytes([c0, c1]), inside) {
            // Section 11.1: 128 bytes and the type.
            (CLIENT_ID | SERVER_ID, false) if (3..=130).contains(&len) => value.to_vec(),
            (PREFERENCE, false) if len == 1 => value.to_vec(),
            (RAPID_COMMIT, false) if len == 0 => Vec::new(),
            (NAME_SERVERS, false) if len % 16 == 0 => value.to_vec(),
            (SEARCH_LIST, false) => value.to_vec(),
            (REFRESH_TIME | SOL_MAX_RT | INF_MAX_RT, false) if len == 4 => value.to_vec(),
            // Without the text, which may be anything.
            (STATUS, _) if len >= 2 => value[..2].to_vec(),
            (IA_NA, false) if len >= 12 => [&value[..12], &sift(&value[12..], true)].concat(),
            (IA_ADDRESS, true) if len >= 24 => value[..24].to_vec(),
            _ => continue,
        };
        // It is no longer than it was.
        kept.extend([c0, c1]);
        kept.extend((value.len() as u16).to_be_bytes());
        kept.extend(value);
    }
    kept
}

fn status(options: &DhcpOptions) -> Status {
    match options.get(OptionCode::StatusCode) {
        Some(DhcpOption::StatusCode(code)) => code.status,
        _ => Status::Success,
    }
}

/// A time that the crate does not decode.
fn seconds(options: &DhcpOptions, code: OptionCode) -> Option<u32> {
    let inside = |option: &DhcpOption| match option {
        DhcpOption::Unknown(option) if option.code() == code => option.data().try_into().ok(),
        _ => None,
    };
    options.iter().find_map(inside).map(u32::from_be_bytes)
}

/// Sections 21.24, 21.25: from a minute to a day, or it does not count.
fn longest(options: &DhcpOptions, code: OptionCode) -> Option<Duration> {
    let seconds = seconds(options, code)?;
    (60..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds.into()))
}

/// Section 21.4: `None` where T1 is later than T2.
fn association(option: &IANA) -> Option<Association> {
    let (t1, t2) = (option.t1, option.t2);
    if t1 > t2 && t2 > 0 {
        return None;
    }
    let mut addresses: Vec<Given> = Vec::new();
    for option in option.opts.iter() {
        let DhcpOption::IAAddr(IAAddr { addr, preferred_life, valid_life, .. }) = option else { continue };
        let known = addresses.iter().any(|known| known.address == *addr);
        // Section 21.6: an address that is preferred longer than it is valid does not count.
        if is_station(*addr) && !known && preferred_life <= valid_life && addresses.len() < MOST_ADDRESSES {
            let (preferred, valid) = (lifetime(*preferred_life), lifetime(*valid_life));
            addresses.push(Given { address: *addr, preferred, valid });
        }
    }
    Some(Association { renewal: lifetime(t1), rebinding: lifetime(t2), addresses })
}

/// Whether a station elsewhere or here can have an address.
const fn is_station(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && !address.is_loopback()
}

/// Of one server.
const MOST_ADDRESSES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_crate_would_choke_on_is_taken_out() {
        // A status of one byte, one with a text that is none, an option over the end.
        let options = [0, 13, 0, 1, 9, 0, 13, 0, 4, 0, 2, 0xff, 0xfe, 0, 23, 0, 99, 1];
        assert_eq!(sift(&options, false), [0, 13, 0, 2, 0, 2]);
        // An association inside an association.
        let inner = [&[0, 3, 0, 12][..], &[0; 12]].concat();
        let outer = [&[0, 3, 0, 28][..], &[0; 12], &inner].concat();
        assert_eq!(sift(&outer, false), [&[0, 3, 0, 12][..], &[0; 12]].concat());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), code in 0u8..100, len in 0u8..40) {
            let mac = Mac::new([2, 0, 0, 0, 0, 1]);
            let mut message = vec![7, 1, 2, 3, 0, 1, 0, 10];
            message.extend(duid(mac));
            message.extend([0, 2, 0, 4, 0, 3, 0, 1, 0, code, 0, len]);
            message.extend(&bytes);
            let _ = Answer::parse(&bytes, [1, 2, 3], mac, 1);
            let _ = Answer::parse(&message, [1, 2, 3], mac, 1);
        }
    }
}
