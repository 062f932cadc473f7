//! What the records of a message say about a name: only those that the question leads to count, whatever else the server
//! has put beside them.

use super::question::Kind;
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use std::net::IpAddr;
use std::time::Duration;

/// What is known about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The name at the end of the aliases.
    pub(crate) canonical: Name,
    /// What it has.
    pub(crate) content: Content,
    /// How long this may be kept.
    pub(crate) ttl: Duration,
}

/// What a name has of what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Addresses, at least one.
    Addresses(Vec<IpAddr>),
    /// Names, at least one.
    Names(Vec<Name>),
    /// It exists, and has none.
    Nothing,
    /// There is no such name.
    NoName,
    /// It is an alias, and the server has not looked further: that is to be asked for anew.
    Alias,
}

/// As many aliases are followed, then it is a loop.
pub(super) const ALIASES: usize = 16;

/// What the records say about `name`; `None` when they lead in a circle.
pub(super) fn find(
    name: &Name,
    kind: Kind,
    exists: bool,
    answers: &[Record],
    authorities: &[Record],
) -> Option<Answer> {
    let mut canonical = name.to_lowercase();
    let mut ttl = u32::MAX;
    let mut aliases = 0;
    loop {
        let of_name = || answers.iter().filter(|record| is_of(record, &canonical));
        let wanted = || of_name().filter(|record| record.record_type() == kind.record_type());
        if let Some(least) = wanted().map(ttl_of).min() {
            let ttl = Duration::from_secs(ttl.min(least).into());
            let content = content(wanted().map(|record| &record.data), kind);
            return Some(Answer { canonical, content, ttl });
        }
        let alias = of_name().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((target.0.to_lowercase(), ttl_of(record))),
            _ => None,
        });
        let Some((target, least)) = alias else { break };
        aliases += 1;
        if aliases > ALIASES {
            return None;
        }
        ttl = ttl.min(least);
        canonical = target;
    }
    let denial = denial(&canonical, authorities);
    let content = match (exists, denial) {
        (false, _) => Content::NoName,
        (true, None) if aliases > 0 => Content::Alias,
        (true, _) => Content::Nothing,
    };
    // RFC 2308 section 5: what nobody with authority vouches for is not kept.
    let ttl = Duration::from_secs(denial.map_or(0, |denial| ttl.min(denial)).into());
    Some(Answer { canonical, content, ttl })
}

/// How long it may be kept that a name is not there, or has nothing: RFC 2308 section 3.
fn denial(name: &Name, authorities: &[Record]) -> Option<u32> {
    authorities.iter().find_map(|record| match &record.data {
        RData::SOA(zone) if record.dns_class == DNSClass::IN && record.name.zone_of(name) => {
            Some(zone.minimum.min(ttl_of(record)))
        }
        _ => None,
    })
}

fn is_of(record: &Record, name: &Name) -> bool {
    record.dns_class == DNSClass::IN && record.name == *name
}

/// RFC 2181 section 8: with the highest bit set, it is none.
const fn ttl_of(record: &Record) -> u32 {
    if record.ttl > i32::MAX.cast_unsigned() { 0 } else { record.ttl }
}

fn content<'a>(wanted: impl Iterator<Item = &'a RData>, kind: Kind) -> Content {
    if kind == Kind::Ptr {
        Content::Names(each_once(wanted.filter_map(|data| match data {
            RData::PTR(name) => Some(name.0.to_lowercase()),
            _ => None,
        })))
    } else {
        Content::Addresses(each_once(wanted.filter_map(|data| match data {
            RData::A(address) => Some(address.0.into()),
            RData::AAAA(address) => Some(address.0.into()),
            _ => None,
        })))
    }
}

fn each_once<T: PartialEq + Clone + std::hash::Hash + Eq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    all.filter(|one| seen.insert(one.clone())).collect()
}
