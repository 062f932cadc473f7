//! The client of DHCPv6: addresses in one identity association (RFC 8415 section 18.2), or information alone.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::time::Duration;

use dhcproto::v6::{MessageType, Status};

use super::Lifetime;
use super::chance::Chance;
use super::message6::{Answer, Association, Given, Question};
use super::retransmission::{Repeated, Schedule};
use crate::net::mac::Mac;
use crate::time::Instant;

/// The client of one interface.
#[derive(Debug)]
pub(super) struct Client6 {
    mac: Mac,
    /// Names its identity association.
    id: u32,
    /// Whether it wants information only.
    pub(super) stateless: bool,
    host_name: Option<String>,
    chance: Chance,
    state: State,
    xid: [u8; 3],
    /// Said in the state, if anything is.
    message: Repeated,
    /// When a lease or information grows old.
    due: Option<Instant>,
    /// The best advertisement so far.
    best: Option<Answer>,
    lease: Option<Lease>,
    longest_solicit: Duration,
    longest_inform: Duration,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Soliciting,
    Requesting,
    Bound,
    Renewing,
    Rebinding,
    Declining,
    Releasing,
    Informing,
    Informed,
    Over,
}

#[derive(Debug)]
struct Lease {
    server: Vec<u8>,
    addresses: Vec<Ipv6Addr>,
    /// T1, T2, the end of the last address; `None`: never.
    renew: Option<Instant>,
    rebind: Option<Instant>,
    end: Option<Instant>,
}

/// What the engine is to do.
#[derive(Debug)]
pub(super) enum Action {
    /// Send a message to all servers.
    Send(Vec<u8>),
    /// Use these addresses, and no others any more.
    Acquired(Vec<Given>),
    /// Use these name servers and domains.
    Informed(Vec<Ipv6Addr>, Vec<String>),
}

impl Client6 {
    pub(super) fn new(now: Instant, mac: Mac, id: u32, stateless: bool, mut chance: Chance) -> Self {
        let (state, schedule) =
            if stateless { (State::Informing, INFORMATION) } else { (State::Soliciting, SOLICIT) };
        // Sections 18.2.1 and 18.2.6: hosts that start together do not ask together.
        let start = now + chance.up_to(MAX_DELAY);
        let mut client = Self {
            mac,
            id,
            stateless,
            host_name: None,
            chance,
            state,
            xid: [0; 3],
            message: Repeated::new(schedule, start),
            due: None,
            best: None,
            lease: None,
            longest_solicit: SOLICIT.longest,
            longest_inform: INFORMATION.longest,
            actions: VecDeque::new(),
        };
        client.change_transaction();
        client
    }

    pub(super) fn set_host_name(&mut self, name: Option<&str>) {
        self.host_name = name.map(str::to_owned);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let said = match self.state {
            State::Bound | State::Informed | State::Over => None,
            _ => Some(self.message.next),
        };
        said.into_iter().chain(self.due).min()
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether an answer is waited for.
    pub(super) const fn is_asking(&self) -> bool {
        !matches!(self.state, State::Bound | State::Informed | State::Over)
    }

    /// Parses an answer, if it is one.
    pub(super) fn parse(&self, bytes: &[u8]) -> Option<Answer> {
        Answer::parse(bytes, self.xid, self.mac, self.id).filter(|_| self.is_asking())
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|at| at <= now) {
            self.due = None;
            if self.state == State::Informed {
                self.ask(now, State::Informing, INFORMATION);
            } else {
                self.age(now);
            }
        }
        if !self.is_asking() || self.message.next > now {
            return;
        }
        if self.state == State::Soliciting
            && let Some(best) = self.best.take()
        {
            self.request(now, best);
            return;
        }
        self.say(now);
    }

    /// Takes in an answer of this transaction.
    pub(super) fn hear(&mut self, now: Instant, answer: Answer) {
        if let Some(longest) = answer.longest_solicit {
            self.longest_solicit = longest;
        }
        if let Some(longest) = answer.longest_inform {
            self.longest_inform = longest;
        }
        if matches!(self.state, State::Soliciting) {
            self.message.set_longest(self.longest_solicit);
        }
        match (self.state, answer.kind) {
            (State::Soliciting, MessageType::Advertise) => self.weigh(now, answer),
            // Section 18.2.1: it counts with the option only.
            (State::Soliciting, MessageType::Reply) if answer.rapid => self.accept(now, answer),
            (State::Requesting | State::Renewing, MessageType::Reply)
                if self.lease.as_ref().is_some_and(|lease| lease.server == answer.server) =>
            {
                self.accept(now, answer);
            }
            (State::Rebinding, MessageType::Reply) => self.accept(now, answer),
            // Section 18.2.10.3: whatever it says.
            (State::Declining, MessageType::Reply) => self.start_again(now),
            (State::Releasing, MessageType::Reply) => self.state = State::Over,
            (State::Informing, MessageType::Reply) if answer.status == Status::Success => {
                let refresh = answer.refresh.unwrap_or(Some(IRT_DEFAULT));
                self.due = refresh.map(|time| now + time.max(IRT_MINIMUM));
                self.state = State::Informed;
                self.actions.push_back(Action::Informed(answer.servers, answer.domains));
            }
            _ => {}
        }
    }

    /// Somebody else has an address of the lease (section 18.2.8).
    pub(super) fn decline(&mut self, now: Instant, address: Ipv6Addr) {
        let Some(lease) = &mut self.lease else { return };
        if !lease.addresses.contains(&address) || self.state == State::Declining {
            return;
        }
        // The others go, too: what comes next is another lease.
        lease.addresses = vec![address];
        self.due = None;
        self.actions.push_back(Action::Acquired(Vec::new()));
        self.ask(now, State::Declining, DECLINE);
        self.say(now);
    }

    /// Gives the addresses back (section 18.2.7), until the server has heard of it or was told often enough.
    pub(super) fn release(&mut self, now: Instant) {
        let had = matches!(self.state, State::Bound | State::Renewing | State::Rebinding);
        self.actions.push_back(Action::Acquired(Vec::new()));
        self.actions.push_back(Action::Informed(Vec::new(), Vec::new()));
        self.state = State::Over;
        self.due = None;
        if had && self.lease.is_some() {
            self.ask(now, State::Releasing, RELEASE);
            self.say(now);
        }
    }

    fn change_transaction(&mut self) {
        let [a, b, c, ..] = self.chance.draw().to_be_bytes();
        self.xid = [a, b, c];
    }

    /// Begins to say something, at once.
    fn ask(&mut self, now: Instant, state: State, schedule: Schedule) {
        self.state = state;
        self.change_transaction();
        self.message = Repeated::new(schedule, now);
        match state {
            State::Soliciting => self.message.set_longest(self.longest_solicit),
            State::Informing => self.message.set_longest(self.longest_inform),
            _ => {}
        }
    }

    fn start_again(&mut self, now: Instant) {
        self.lease = None;
        self.best = None;
        self.due = None;
        self.ask(now, State::Soliciting, SOLICIT);
        // A server that answers everything with an error is not asked without end.
        self.message.next = now + MAX_DELAY;
    }

    /// Says the message of the state, or gives up.
    fn say(&mut self, now: Instant) {
        if !self.message.say(now, &mut self.chance, self.state == State::Soliciting) {
            if self.state == State::Releasing {
                self.state = State::Over;
            } else {
                self.start_again(now);
            }
            return;
        }
        let elapsed = self.message.elapsed(now);
        let empty = Vec::new();
        let (addresses, server) =
            self.lease.as_ref().map_or((&empty, None), |lease| (&lease.addresses, Some(&lease.server[..])));
        let association = Some((self.id, &addresses[..]));
        let question = match self.state {
            State::Soliciting => self.question(MessageType::Solicit, Some((self.id, &[])), elapsed),
            State::Requesting => {
                Question { server, ..self.question(MessageType::Request, association, elapsed) }
            }
            State::Renewing => Question { server, ..self.question(MessageType::Renew, association, elapsed) },
            State::Rebinding => self.question(MessageType::Rebind, association, elapsed),
            State::Declining => {
                Question { server, ..self.question(MessageType::Decline, association, elapsed) }
            }
            State::Releasing => {
                Question { server, ..self.question(MessageType::Release, association, elapsed) }
            }
            State::Informing => self.question(MessageType::InformationRequest, None, elapsed),
            State::Bound | State::Informed | State::Over => return,
        };
        self.actions.push_back(Action::Send(question.encode()));
    }

    fn question<'a>(
        &'a self,
        kind: MessageType,
        association: Option<(u32, &'a [Ipv6Addr])>,
        elapsed: u16,
    ) -> Question<'a> {
        let host_name = self.host_name.as_deref();
        Question { kind, xid: self.xid, mac: self.mac, elapsed, association, server: None, host_name }
    }

    /// Section 18.2.9: the server with the highest preference is asked, after the first wait; one with 255 at once.
    fn weigh(&mut self, now: Instant, answer: Answer) {
        let gives = answer.association.as_ref().is_some_and(|association| !association.addresses.is_empty());
        if answer.status != Status::Success || !gives {
            return;
        }
        // Section 18.2.1: once it was waited long enough, the first is taken.
        if answer.preference == u8::MAX || self.message.count() > 1 {
            self.request(now, answer);
        } else if self.best.as_ref().is_none_or(|best| best.preference < answer.preference) {
            self.best = Some(answer);
        }
    }

    fn request(&mut self, now: Instant, answer: Answer) {
        let given = answer.association.map_or_else(Vec::new, |association| association.addresses);
        let addresses = given.iter().map(|given| given.address).collect();
        self.request_again(now, answer.server, addresses);
    }

    fn request_again(&mut self, now: Instant, server: Vec<u8>, addresses: Vec<Ipv6Addr>) {
        self.lease = Some(Lease { server, addresses, renew: None, rebind: None, end: None });
        self.best = None;
        self.ask(now, State::Requesting, REQUEST);
        self.say(now);
    }

    /// Section 18.2.10.1.
    fn accept(&mut self, now: Instant, answer: Answer) {
        match answer.status {
            Status::Success => {}
            // The server does not know the lease: it is asked for one.
            Status::NoBinding if self.state != State::Requesting => {
                let addresses = self.lease.take().map_or_else(Vec::new, |lease| lease.addresses);
                self.request_again(now, answer.server, addresses);
                return;
            }
            // Section 18.2.10: what it said and asked is said again, as if nothing had come.
            Status::UnspecFail => return,
            _ if matches!(self.state, State::Renewing | State::Rebinding) => return,
            _ => {
                self.start_again(now);
                return;
            }
        }
        let Some(Association { renewal, rebinding, addresses }) = answer.association else { return };
        // A lifetime of zero ends an address.
        let usable = |given: &Given| given.valid.is_none_or(|time| !time.is_zero());
        let addresses: Vec<Given> = addresses.into_iter().filter(usable).collect();
        if addresses.is_empty() {
            if self.state == State::Requesting {
                self.start_again(now);
            }
            return;
        }
        let end = longest(addresses.iter().map(|given| given.valid));
        let shortest = addresses.iter().filter_map(|given| given.preferred).min();
        // Section 14.2: zero leaves it to the client, for whom half and four fifths are recommended.
        let chosen = |said: Lifetime, tenths: u32| match said {
            Some(time) if time.is_zero() => shortest.map(|time| (time * tenths / 10).max(LEAST_TIME)),
            said => said,
        };
        let (renew, rebind) = (chosen(renewal, 5), chosen(rebinding, 8));
        self.lease = Some(Lease {
            server: answer.server,
            addresses: addresses.iter().map(|given| given.address).collect(),
            renew: renew.map(|time| now + time),
            rebind: rebind.map(|time| now + time),
            end: end.map(|time| now + time),
        });
        self.state = State::Bound;
        self.best = None;
        self.due = self
            .lease
            .as_ref()
            .and_then(|lease| [lease.renew, lease.rebind, lease.end].into_iter().flatten().min());
        self.actions.push_back(Action::Acquired(addresses));
        self.actions.push_back(Action::Informed(answer.servers, answer.domains));
    }

    /// A time of the lease has come.
    fn age(&mut self, now: Instant) {
        let Some(lease) = &self.lease else { return };
        let reached = |time: Option<Instant>| time.is_some_and(|at| at <= now);
        let (end, rebind) = (lease.end, lease.rebind);
        if reached(end) {
            self.actions.push_back(Action::Acquired(Vec::new()));
            self.actions.push_back(Action::Informed(Vec::new(), Vec::new()));
            self.start_again(now);
        } else if reached(rebind) {
            self.ask(now, State::Rebinding, REBIND);
            self.due = end;
        } else {
            self.ask(now, State::Renewing, RENEW);
            self.due = rebind.into_iter().chain(end).min();
        }
    }
}

/// The longest of some times, `None` if one is for ever.
fn longest(times: impl Iterator<Item = Lifetime>) -> Lifetime {
    times.reduce(|one, other| Some(one?.max(other?))).flatten()
}

const fn schedule(first: u64, longest: u64, most: u32) -> Schedule {
    Schedule { first: Duration::from_secs(first), longest: Duration::from_secs(longest), most }
}

/// RFC 8415 section 7.6.
const MAX_DELAY: Duration = Duration::from_secs(1);
const SOLICIT: Schedule = schedule(1, 3600, 0);
const REQUEST: Schedule = schedule(1, 30, 10);
const RENEW: Schedule = schedule(10, 600, 0);
const REBIND: Schedule = schedule(10, 600, 0);
const DECLINE: Schedule = schedule(1, 0, 4);
const RELEASE: Schedule = schedule(1, 0, 4);
const INFORMATION: Schedule = schedule(1, 3600, 0);
const IRT_DEFAULT: Duration = Duration::from_secs(86_400);
const IRT_MINIMUM: Duration = Duration::from_secs(600);
/// Section 14.2: however short a server makes lifetimes, it is not asked more often.
const LEAST_TIME: Duration = Duration::from_secs(1);
