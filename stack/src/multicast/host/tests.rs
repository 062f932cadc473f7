//! The state machine by itself, without delays that are drawn: an answer comes as late as it may.

use super::*;

const GROUP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(239, 1, 2, 3));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(239, 1, 2, 4));

fn late(_: IpAddr, most: Duration) -> Duration {
    most
}

fn source(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn sources(last: &[u8]) -> BTreeSet<IpAddr> {
    last.iter().copied().map(source).collect()
}

fn include(last: &[u8]) -> Filter {
    Filter::Include(sources(last))
}

fn exclude(last: &[u8]) -> Filter {
    Filter::Exclude(sources(last))
}

fn record(kind: RecordKind, last: &[u8]) -> Record {
    Record { kind, group: GROUP, sources: last.iter().copied().map(source).collect() }
}

fn query(group: Option<IpAddr>, last: &[u8], seconds: u64) -> Query {
    Query {
        version: Version::Current,
        group,
        sources: last.iter().copied().map(source).collect(),
        response: Duration::from_secs(seconds),
        robustness: None,
        interval: None,
    }
}

fn older(version: Version, group: Option<IpAddr>, seconds: u64) -> Query {
    Query { version, ..query(group, &[], seconds) }
}

/// A host with its clock.
struct Run {
    host: Host,
    now: Instant,
}

impl Run {
    fn new() -> Self {
        Self { host: Host::new(), now: Instant::from_millis(1000) }
    }

    fn set(&mut self, filter: Filter) {
        self.host.set(self.now, GROUP, filter);
    }

    fn ask(&mut self, query: Query) {
        self.host.handle_query(self.now, query, &late);
    }

    /// Goes to the next thing that is due, and says how many seconds that took and what was said.
    fn next(&mut self) -> Option<(u64, Vec<Said>)> {
        let at = self.host.poll_timeout()?;
        let waited = (at - self.now).as_secs();
        self.now = at;
        let said = self.host.handle_timeout(at, &late);
        assert!(self.host.poll_timeout().is_none_or(|again| again > at), "it stays due");
        Some((waited, said))
    }

    /// The next records.
    fn records(&mut self) -> Vec<Record> {
        match self.next().map(|(_, said)| said).as_deref() {
            Some([Said::Records(records)]) => records.clone(),
            None => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    /// Lets everything be said that is due by itself.
    fn rest(&mut self) {
        while self.next().is_some() {}
    }
}

#[test]
fn a_change_is_said_twice_rfc_3376_5_1() {
    let mut run = Run::new();
    run.set(Filter::EVERYTHING);
    let said = vec![Said::Records(vec![record(RecordKind::ToExclude, &[])])];
    assert_eq!(run.next(), Some((0, said.clone())));
    assert_eq!(run.next(), Some((1, said)));
    assert_eq!(run.next(), None);
    run.set(Filter::NOTHING);
    assert_eq!(run.records(), [record(RecordKind::ToInclude, &[])]);
    assert_eq!(run.records(), [record(RecordKind::ToInclude, &[])]);
    assert_eq!(run.next(), None);
    assert!(run.host.groups.is_empty());
}

#[test]
fn sources_have_counts_of_their_own_rfc_3376_5_1() {
    let mut run = Run::new();
    run.set(include(&[1]));
    assert_eq!(run.records(), [record(RecordKind::Allow, &[1])]);
    run.set(include(&[1, 2]));
    assert_eq!(run.records(), [record(RecordKind::Allow, &[1, 2])]);
    run.set(include(&[2]));
    let both = [record(RecordKind::Allow, &[2]), record(RecordKind::Block, &[1])];
    assert_eq!(run.records(), both);
    assert_eq!(run.records(), [record(RecordKind::Block, &[1])]);
    assert_eq!(run.next(), None);
}

#[test]
fn a_change_of_the_mode_says_all_rfc_3376_5_1() {
    let mut run = Run::new();
    run.set(include(&[1, 2]));
    run.set(exclude(&[3]));
    assert_eq!(run.records(), [record(RecordKind::ToExclude, &[3])]);
    // A change of the sources meanwhile is said with the mode, and afterwards for itself.
    run.set(exclude(&[3, 4]));
    assert_eq!(run.records(), [record(RecordKind::ToExclude, &[3, 4])]);
    assert_eq!(run.records(), [record(RecordKind::Block, &[4])]);
    assert_eq!(run.records(), [record(RecordKind::Block, &[4])]);
    assert_eq!(run.next(), None);
}

#[test]
fn a_router_says_how_often_rfc_3376_4_1_6() {
    let mut run = Run::new();
    run.ask(Query { robustness: Some(4), ..query(None, &[], 1) });
    run.rest();
    run.set(Filter::EVERYTHING);
    assert_eq!(std::iter::from_fn(|| run.next()).count(), 4);
}

#[test]
fn questions_about_all_groups_are_answered_once_rfc_3376_5_2() {
    let mut run = Run::new();
    run.set(exclude(&[9]));
    run.host.set(run.now, OTHER, include(&[1]));
    run.rest();
    run.ask(query(None, &[], 10));
    run.ask(query(None, &[], 5));
    run.ask(query(None, &[], 8));
    // What is due later than that is answered with it.
    run.ask(query(Some(GROUP), &[], 6));
    let (waited, said) = run.next().unwrap();
    let other = Record { group: OTHER, ..record(RecordKind::IsInclude, &[1]) };
    assert_eq!((waited, said), (5, vec![Said::Records(vec![record(RecordKind::IsExclude, &[9]), other])]));
    assert_eq!(run.next(), None);
}

#[test]
fn questions_about_sources_rfc_3376_5_2() {
    let answers = |filter: Filter, asked: &[u8]| {
        let mut run = Run::new();
        run.set(filter);
        run.rest();
        run.ask(query(Some(GROUP), asked, 1));
        match run.next()?.1.as_slice() {
            [] => None,
            [Said::Records(records)] => Some(records.clone()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(answers(include(&[1, 2]), &[]), Some(vec![record(RecordKind::IsInclude, &[1, 2])]));
    assert_eq!(answers(include(&[1, 2]), &[2, 3]), Some(vec![record(RecordKind::IsInclude, &[2])]));
    assert_eq!(answers(include(&[1, 2]), &[3]), None);
    assert_eq!(answers(exclude(&[1, 2]), &[2, 3]), Some(vec![record(RecordKind::IsInclude, &[3])]));
    assert_eq!(answers(exclude(&[1, 2]), &[2]), None);
    assert_eq!(answers(exclude(&[1, 2]), &[]), Some(vec![record(RecordKind::IsExclude, &[1, 2])]));
    // Not a member.
    assert_eq!(answers(Filter::NOTHING, &[]), None);
}

#[test]
fn questions_about_sources_add_up_rfc_3376_5_2() {
    let mut run = Run::new();
    run.set(Filter::EVERYTHING);
    run.rest();
    run.ask(query(Some(GROUP), &[1], 3));
    run.ask(query(Some(GROUP), &[2], 2));
    assert_eq!(run.next(), Some((2, vec![Said::Records(vec![record(RecordKind::IsInclude, &[1, 2])])])));
    run.ask(query(Some(GROUP), &[1], 3));
    run.ask(query(Some(GROUP), &[], 4));
    assert_eq!(run.next(), Some((3, vec![Said::Records(vec![record(RecordKind::IsExclude, &[])])])));
    assert_eq!(run.next(), None);
    // As many as anybody may make us remember.
    let many: Vec<u8> = (0..=MOST_ASKED as u8).collect();
    run.ask(query(Some(GROUP), &many, 1));
    assert_eq!(run.records(), [record(RecordKind::IsExclude, &[])]);
}

#[test]
fn an_older_router_hears_of_each_group_rfc_2236_3() {
    let mut run = Run::new();
    run.ask(older(Version::Older, None, 10));
    run.set(Filter::EVERYTHING);
    let member = vec![Said::Member(Version::Older, GROUP)];
    assert_eq!(run.next(), Some((0, member.clone())));
    assert_eq!(run.next(), Some((10, member.clone())));
    run.ask(older(Version::Older, None, 7));
    assert_eq!(run.next(), Some((7, member.clone())));
    run.ask(older(Version::Older, Some(OTHER), 7));
    assert_eq!(run.next(), None);
    // A timer that runs is only made shorter.
    run.ask(older(Version::Older, Some(GROUP), 2));
    run.ask(older(Version::Older, Some(GROUP), 5));
    assert_eq!(run.next(), Some((2, member)));
    run.set(Filter::NOTHING);
    assert_eq!(run.next(), Some((0, vec![Said::Done(GROUP)])));
    assert_eq!(run.next(), None);
}

#[test]
fn another_member_is_enough_for_an_older_router_rfc_2236_3() {
    let mut run = Run::new();
    run.ask(older(Version::Older, None, 10));
    run.set(Filter::EVERYTHING);
    run.rest();
    run.ask(older(Version::Older, None, 10));
    run.host.handle_member(run.now, GROUP);
    assert_eq!(run.next(), None);
    // Who did not speak last leaves without a word.
    run.set(Filter::NOTHING);
    assert_eq!(run.next(), Some((0, vec![])));
    // With routers that know sources nobody is quiet for another (RFC 3376 section 7.2.2).
    let mut run = Run::new();
    run.set(Filter::EVERYTHING);
    run.rest();
    run.ask(query(None, &[], 10));
    run.host.handle_member(run.now, GROUP);
    assert_eq!(run.records(), [record(RecordKind::IsExclude, &[])]);
}

#[test]
fn nobody_tells_the_oldest_routers_of_leaving_rfc_2236_6() {
    let mut run = Run::new();
    run.ask(older(Version::Oldest, None, 10));
    run.set(Filter::EVERYTHING);
    assert_eq!(run.next(), Some((0, vec![Said::Member(Version::Oldest, GROUP)])));
    run.rest();
    run.set(Filter::NOTHING);
    assert_eq!(run.next(), Some((0, vec![])));
}

#[test]
fn older_routers_are_reckoned_with_for_260_seconds_rfc_3376_8_12() {
    let mut run = Run::new();
    run.set(Filter::EVERYTHING);
    // What was due in the current version is not said any more (RFC 3376 section 7.2.1).
    run.ask(older(Version::Older, None, 10));
    assert_eq!(run.next(), Some((10, vec![Said::Member(Version::Older, GROUP)])));
    // Questions of the current version are answered in the older one.
    run.now += Duration::from_secs(240);
    run.ask(query(Some(GROUP), &[1], 1));
    assert_eq!(run.next(), Some((1, vec![Said::Member(Version::Older, GROUP)])));
    run.now += Duration::from_secs(9);
    assert_eq!(run.host.version(run.now), Version::Current);
    run.ask(query(None, &[], 1));
    assert_eq!(run.records(), [record(RecordKind::IsExclude, &[])]);
}

#[test]
fn what_went_unheard_is_said_again_rfc_3590_4() {
    let mut run = Run::new();
    run.set(Filter::EVERYTHING);
    run.host.set(run.now, OTHER, include(&[1]));
    run.rest();
    run.host.restate(run.now);
    let other = Record { group: OTHER, ..record(RecordKind::Allow, &[1]) };
    assert_eq!(run.records(), [record(RecordKind::ToExclude, &[]), other]);
}
