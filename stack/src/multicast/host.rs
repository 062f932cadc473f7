//! What a host owes the routers of one link in one family: word of changes, said more than once since nobody confirms it, and
//! answers after a random delay. IGMP (RFC 3376 section 5, RFC 2236, RFC 1112) and MLD (RFC 3810 section 6, RFC 2710) differ
//! in nothing but their wire formats.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::filter::Filter;
use super::record::{Record, RecordKind};
use crate::time::Instant;

/// How well a router, or another host, knows the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// IGMPv1: nobody says that he leaves.
    Oldest,
    /// IGMPv2, MLDv1: one message for each group, without sources.
    Older,
    /// IGMPv3, MLDv2.
    Current,
}

/// A router asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) version: Version,
    /// Which group; `None` for all.
    pub(crate) group: Option<IpAddr>,
    /// Which sources of it; none for all.
    pub(crate) sources: Vec<IpAddr>,
    /// The longest delay of an answer.
    pub(crate) response: Duration,
    /// How often things are said that may be lost, if the router says so.
    pub(crate) robustness: Option<u8>,
    /// How often the router asks, if it says so.
    pub(crate) interval: Option<Duration>,
}

/// A host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// To routers that know sources.
    Records(Vec<Record>),
    /// To older ones and the other hosts: it is a member.
    Member(Version, IpAddr),
    /// To older ones: it is no member any more.
    Done(IpAddr),
}

/// Random delays: not longer than what is given, for something about a group.
pub(crate) trait Delays: Fn(IpAddr, Duration) -> Duration {}

impl<F: Fn(IpAddr, Duration) -> Duration> Delays for F {}

/// The state of an interface in one family.
#[derive(Debug)]
pub(crate) struct Host {
    groups: BTreeMap<IpAddr, Group>,
    robustness: u8,
    query_interval: Duration,
    /// Until when there may be a router that knows the oldest, or the older version only.
    oldest_until: Option<Instant>,
    older_until: Option<Instant>,
    /// When changes are reported next.
    changes_at: Option<Instant>,
    /// When a question about all groups is answered.
    answer_at: Option<Instant>,
}

#[derive(Debug)]
struct Group {
    filter: Filter,
    /// How often it is still said that the mode is another, and that a source is wanted or not.
    mode_left: u8,
    sources_left: BTreeMap<IpAddr, u8>,
    /// The answer to a question about it.
    answer: Option<Answer>,
    /// To older routers: how often membership is still said, and when.
    repeats: u8,
    repeat_at: Option<Instant>,
    /// Whether nobody said so later (RFC 2236 section 3).
    spoke_last: bool,
}

#[derive(Debug)]
struct Answer {
    at: Instant,
    /// Which sources were asked about; none for all.
    sources: BTreeSet<IpAddr>,
}

impl Host {
    pub(crate) const fn new() -> Self {
        Self {
            groups: BTreeMap::new(),
            robustness: ROBUSTNESS,
            query_interval: QUERY_INTERVAL,
            oldest_until: None,
            older_until: None,
            changes_at: None,
            answer_at: None,
        }
    }

    /// From now on the interface wants these sources of a group.
    pub(crate) fn set(&mut self, now: Instant, address: IpAddr, filter: Filter) {
        let version = self.version(now);
        if filter.is_nothing() && !self.groups.contains_key(&address) {
            return;
        }
        let group = self.groups.entry(address).or_insert_with(Group::new);
        if group.filter == filter {
            return;
        }
        if version == Version::Current {
            if group.filter.is_exclude() == filter.is_exclude() {
                let before = std::mem::replace(&mut group.filter, filter);
                for source in before.sources().symmetric_difference(group.filter.sources()) {
                    group.sources_left.insert(*source, self.robustness);
                }
            } else {
                group.filter = filter;
                group.mode_left = self.robustness;
                // A change of the mode says all of it.
                group.sources_left.clear();
            }
            self.changes_at = Some(now);
            return;
        }
        let joins = group.filter.is_nothing();
        group.filter = filter;
        if joins {
            group.repeats = self.robustness;
            group.repeat_at = Some(now);
        } else if group.filter.is_nothing() {
            // What is said about that is said at the next timeout.
            group.repeats = 0;
            group.repeat_at = Some(now);
            group.answer = None;
        }
    }

    /// What was wanted is not wanted any more, and nobody has been told of it.
    pub(crate) fn retract(&mut self, address: IpAddr) {
        self.groups.remove(&address);
        if self.groups.is_empty() {
            self.changes_at = None;
        }
    }

    /// Says again what the interface wants: what was said went unheard.
    pub(crate) fn restate(&mut self, now: Instant) {
        let version = self.version(now);
        for group in self.groups.values_mut().filter(|group| !group.filter.is_nothing()) {
            match (version, &group.filter) {
                (Version::Current, Filter::Exclude(_)) => group.mode_left = self.robustness,
                (Version::Current, Filter::Include(sources)) => {
                    group.sources_left.extend(sources.iter().map(|source| (*source, self.robustness)));
                }
                _ => {
                    group.repeats = self.robustness;
                    group.repeat_at = Some(now);
                }
            }
            if version == Version::Current {
                self.changes_at = Some(now);
            }
        }
    }

    /// A router asks (RFC 3376 section 5.2, RFC 3810 section 6.2).
    pub(crate) fn handle_query(&mut self, now: Instant, query: Query, delays: &impl Delays) {
        let before = self.version(now);
        // RFC 3376 section 8.12, RFC 3810 section 9.12.
        let absent = now + self.query_interval * u32::from(self.robustness) + query.response;
        match query.version {
            Version::Oldest => self.oldest_until = Some(absent),
            Version::Older => self.older_until = Some(absent),
            Version::Current => {
                self.robustness = query.robustness.unwrap_or(ROBUSTNESS);
                self.query_interval = query.interval.unwrap_or(QUERY_INTERVAL);
            }
        }
        let version = self.version(now);
        if version != before {
            self.forget_what_is_due();
        }
        if version != Version::Current {
            self.answer_each(now, &query, delays);
            return;
        }
        let Some(address) = query.group else {
            let at = now + delays(UNSPECIFIED, query.response);
            self.answer_at = Some(self.answer_at.map_or(at, |due| due.min(at)));
            return;
        };
        let at = now + delays(address, query.response);
        if self.answer_at.is_some_and(|due| due <= at) {
            return;
        }
        let Some(group) = self.groups.get_mut(&address).filter(|group| !group.filter.is_nothing()) else {
            return;
        };
        let mut sources: BTreeSet<_> = query.sources.into_iter().collect();
        let mut due = at;
        if let Some(pending) = group.answer.take() {
            due = due.min(pending.at);
            if pending.sources.is_empty() || sources.is_empty() {
                sources.clear();
            } else {
                sources.extend(pending.sources);
            }
        }
        // Who asks about many is told of all.
        if sources.len() > MOST_ASKED {
            sources.clear();
        }
        group.answer = Some(Answer { at: due, sources });
    }

    /// To a router of an older version every group is answered for alone (RFC 2236 section 3, RFC 2710 section 4).
    fn answer_each(&mut self, now: Instant, query: &Query, delays: &impl Delays) {
        for (address, group) in &mut self.groups {
            if query.group.is_some_and(|asked| asked != *address) || group.filter.is_nothing() {
                continue;
            }
            let at = now + delays(*address, query.response);
            let due = group.answer.as_ref().map_or(at, |pending| pending.at.min(at));
            group.answer = Some(Answer { at: due, sources: BTreeSet::new() });
        }
    }

    /// Another host says that it is a member: with older routers that is enough (RFC 2236 section 3).
    pub(crate) fn handle_member(&mut self, now: Instant, address: IpAddr) {
        if self.version(now) != Version::Current
            && let Some(group) = self.groups.get_mut(&address).filter(|group| !group.filter.is_nothing())
        {
            group.answer = None;
            group.repeats = 0;
            group.repeat_at = None;
            group.spoke_last = false;
        }
    }

    /// RFC 3376 section 7.2.1, RFC 3810 section 8.2.1: what was due in one version is not in another.
    fn forget_what_is_due(&mut self) {
        self.changes_at = None;
        self.answer_at = None;
        self.groups.retain(|_, group| !group.filter.is_nothing());
        for group in self.groups.values_mut() {
            *group = Group { filter: group.filter.clone(), ..Group::new() };
        }
    }

    /// Gives what is to be said now.
    pub(crate) fn handle_timeout(&mut self, now: Instant, delays: &impl Delays) -> Vec<Said> {
        let mut said = Vec::new();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.changes_at) {
            let records = self.changes();
            let left =
                self.groups.values().any(|group| group.mode_left > 0 || !group.sources_left.is_empty());
            self.changes_at = left.then(|| now + delays(UNSPECIFIED, UNSOLICITED));
            said.push(Said::Records(records));
        }
        let mut records = Vec::new();
        let version = self.version(now);
        let all = due(self.answer_at);
        if all {
            self.answer_at = None;
        }
        for (address, group) in &mut self.groups {
            let answer = group.answer.take_if(|answer| all || answer.at <= now);
            if version == Version::Current && (all || answer.is_some()) && !group.filter.is_nothing() {
                let asked = answer.map(|answer| answer.sources).filter(|_| !all);
                records.extend(group.current(*address, &asked.unwrap_or_default()));
            } else if version != Version::Current && answer.is_some() {
                group.spoke_last = true;
                said.push(Said::Member(version, *address));
            }
            if due(group.repeat_at) {
                said.extend(group.repeat(now, version, *address, delays));
            }
        }
        if !records.is_empty() {
            said.push(Said::Records(records));
        }
        self.groups.retain(|_, group| {
            !group.filter.is_nothing() || group.mode_left > 0 || !group.sources_left.is_empty()
        });
        said
    }

    /// The records of one report of changes (RFC 3376 section 5.1, RFC 3810 section 6.1).
    fn changes(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for (address, group) in &mut self.groups {
            if group.mode_left > 0 {
                group.mode_left -= 1;
                let exclude = group.filter.is_exclude();
                let kind = if exclude { RecordKind::ToExclude } else { RecordKind::ToInclude };
                let sources = group.filter.sources().iter().copied().collect();
                records.push(Record { kind, group: *address, sources });
                continue;
            }
            let (wanted, unwanted): (Vec<_>, Vec<_>) =
                group.sources_left.keys().partition(|source| group.filter.admits(**source));
            for (kind, sources) in [(RecordKind::Allow, wanted), (RecordKind::Block, unwanted)] {
                if !sources.is_empty() {
                    records.push(Record { kind, group: *address, sources });
                }
            }
            group.sources_left.retain(|_, left| {
                *left -= 1;
                *left > 0
            });
        }
        records
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let groups = self.groups.values();
        let groups =
            groups.flat_map(|group| group.repeat_at.into_iter().chain(group.answer.as_ref().map(|it| it.at)));
        groups.chain(self.changes_at).chain(self.answer_at).min()
    }

    /// What the oldest router on the link understands.
    pub(crate) fn version(&self, now: Instant) -> Version {
        let present = |until: Option<Instant>| until.is_some_and(|until| until > now);
        if present(self.oldest_until) {
            Version::Oldest
        } else if present(self.older_until) {
            Version::Older
        } else {
            Version::Current
        }
    }
}

impl Group {
    const fn new() -> Self {
        Self {
            filter: Filter::NOTHING,
            mode_left: 0,
            sources_left: BTreeMap::new(),
            answer: None,
            repeats: 0,
            repeat_at: None,
            spoke_last: false,
        }
    }

    /// The answer to a question about these sources, or about all if there are none (RFC 3376 section 5.2).
    fn current(&self, group: IpAddr, asked: &BTreeSet<IpAddr>) -> Option<Record> {
        if asked.is_empty() {
            let exclude = self.filter.is_exclude();
            let kind = if exclude { RecordKind::IsExclude } else { RecordKind::IsInclude };
            return Some(Record { kind, group, sources: self.filter.sources().iter().copied().collect() });
        }
        let sources: Vec<_> = asked.iter().copied().filter(|source| self.filter.admits(*source)).collect();
        (!sources.is_empty()).then_some(Record { kind: RecordKind::IsInclude, group, sources })
    }

    /// What an older router is told of a change.
    fn repeat(
        &mut self,
        now: Instant,
        version: Version,
        address: IpAddr,
        delays: &impl Delays,
    ) -> Option<Said> {
        self.repeat_at = None;
        if self.filter.is_nothing() {
            // Who did not speak last is not the last member. The oldest do not know of leaving (RFC 2236 section 6).
            return (self.spoke_last && version != Version::Oldest).then_some(Said::Done(address));
        }
        self.repeats = self.repeats.saturating_sub(1);
        if self.repeats > 0 {
            self.repeat_at = Some(now + delays(address, OLDER_UNSOLICITED));
        }
        self.spoke_last = true;
        Some(Said::Member(version, address))
    }
}

/// What delays about all groups are drawn for.
const UNSPECIFIED: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
/// RFC 3376 section 8.1, RFC 3810 section 9.1.
const ROBUSTNESS: u8 = 2;
/// RFC 3376 section 8.2, RFC 3810 section 9.2.
const QUERY_INTERVAL: Duration = Duration::from_secs(125);
/// RFC 3376 section 8.11, RFC 3810 section 9.11.
const UNSOLICITED: Duration = Duration::from_secs(1);
/// RFC 2236 section 8.10, RFC 2710 section 7.10.
const OLDER_UNSOLICITED: Duration = Duration::from_secs(10);
/// The most sources of a group that are remembered from questions: forged ones cost no more than that.
const MOST_ASKED: usize = 64;

#[cfg(test)]
mod tests;
