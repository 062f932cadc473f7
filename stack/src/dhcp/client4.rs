//! The client of DHCP: the states of RFC 2131 figure 5, without those of a host that remembers its address.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::MessageType;

use super::Lifetime;
use super::chance::Chance;
use super::message4::{Answer, Question, Terms};
use super::retransmission::backoff;
use crate::net::mac::Mac;
use crate::time::Instant;

/// The client of one interface.
#[derive(Debug)]
pub(super) struct Client4 {
    mac: Mac,
    mtu: u16,
    host_name: Option<String>,
    chance: Chance,
    state: State,
    xid: u32,
    /// When it began to look for an address.
    started: Instant,
    /// When a message with this `xid` was sent first, and how often one was.
    asked: Instant,
    count: u32,
    /// Refusals in a row.
    refused: u32,
    next: Option<Instant>,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
enum State {
    /// Nothing is asked yet.
    Init,
    Selecting,
    Requesting {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
    Bound(Lease),
    Renewing(Lease),
    Rebinding(Lease),
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    address: Ipv4Addr,
    server: Ipv4Addr,
    /// T1, T2 and the end; `None` if it has none.
    times: Option<(Instant, Instant, Instant)>,
}

/// What the engine is to do.
#[derive(Debug)]
pub(super) enum Action {
    /// Send a message to all servers, from the address if it can be used.
    Broadcast { message: Vec<u8>, from: Option<Ipv4Addr> },
    /// Send a message to one server.
    Unicast { message: Vec<u8>, from: Ipv4Addr, server: Ipv4Addr },
    /// Use this, for so long.
    Acquired { terms: Box<Terms>, valid: Lifetime },
    /// Use it no longer.
    Lost,
}

impl Client4 {
    /// RFC 2131 section 4.4.1 would let it wait for one to ten seconds, for the sake of networks whose hosts are all switched on
    /// at once; nobody does.
    pub(super) const fn new(now: Instant, mac: Mac, mtu: u16, chance: Chance) -> Self {
        Self {
            mac,
            mtu,
            host_name: None,
            chance,
            state: State::Init,
            xid: 0,
            started: now,
            asked: now,
            count: 0,
            refused: 0,
            next: Some(now),
            actions: VecDeque::new(),
        }
    }

    pub(super) fn set_host_name(&mut self, name: Option<&str>) {
        self.host_name = name.map(str::to_owned);
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The transaction that answers belong to, if any are waited for.
    pub(super) const fn transaction(&self) -> Option<u32> {
        match self.state {
            State::Init | State::Bound(_) => None,
            _ => Some(self.xid),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.next.is_none_or(|at| at > now) {
            return;
        }
        match self.state {
            State::Init => self.discover(now),
            State::Selecting => self.say(now, MessageType::Discover),
            // Section 3.1 step 5: for a minute, then everything anew.
            State::Requesting { .. } if self.count >= MOST_REQUESTS => self.discover(now),
            State::Requesting { .. } => self.say(now, MessageType::Request),
            State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease) => self.age(now, lease),
        }
    }

    /// Takes in an answer of this transaction.
    pub(super) fn hear(&mut self, now: Instant, answer: Answer) {
        let Answer { kind, server, terms } = answer;
        match (&self.state, kind, terms) {
            (State::Selecting, MessageType::Offer, Some(terms)) => {
                // Section 4.4.1: the request has the transaction identifier of the offer.
                let Some(address) = terms.address() else { return };
                self.state = State::Requesting { address, server };
                self.count = 0;
                self.asked = now;
                self.say(now, MessageType::Request);
            }
            (State::Requesting { address, server: chosen }, MessageType::Ack, Some(terms))
                if terms.address() == Some(*address) && server == *chosen =>
            {
                self.bind(now, server, terms);
            }
            (State::Requesting { server: chosen, .. }, MessageType::Nak, _) if server == *chosen => {
                self.start_again(now, false);
            }
            (State::Renewing(lease) | State::Rebinding(lease), MessageType::Ack, Some(terms))
                if terms.address() == Some(lease.address) =>
            {
                self.bind(now, server, terms);
            }
            (State::Renewing(lease), MessageType::Nak, _) if server == lease.server => {
                self.start_again(now, true);
            }
            (State::Rebinding(_), MessageType::Nak, _) => self.start_again(now, true),
            _ => {}
        }
    }

    /// Somebody else has the address (section 3.1 step 5, section 4.4.4).
    pub(super) fn decline(&mut self, now: Instant) {
        let (State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease)) = self.state else {
            return;
        };
        let message = self.farewell(now, MessageType::Decline, lease);
        self.actions.push_back(Action::Broadcast { message, from: None });
        self.actions.push_back(Action::Lost);
        self.state = State::Init;
        self.next = Some(now + AFTER_DECLINE);
    }

    /// Gives the address back (section 4.4.6), before the client is dropped.
    pub(super) fn release(&mut self, now: Instant) {
        if let State::Bound(lease) | State::Renewing(lease) | State::Rebinding(lease) = self.state {
            let message = self.farewell(now, MessageType::Release, lease);
            self.actions.push_back(Action::Unicast { message, from: lease.address, server: lease.server });
            self.actions.push_back(Action::Lost);
        }
        self.state = State::Init;
        self.next = None;
    }

    fn discover(&mut self, now: Instant) {
        self.state = State::Selecting;
        self.started = now;
        self.ask_anew(now);
        self.say(now, MessageType::Discover);
    }

    fn ask_anew(&mut self, now: Instant) {
        self.xid = self.chance.draw() as u32;
        self.asked = now;
        self.count = 0;
    }

    /// Says a message of the state, for the first time or again.
    fn say(&mut self, now: Instant, kind: MessageType) {
        let (requested, server) = match self.state {
            State::Requesting { address, server } => (Some(address), Some(server)),
            _ => (None, None),
        };
        let message = self.question(now, kind, None, requested, server);
        self.actions.push_back(Action::Broadcast { message, from: None });
        self.next = Some(now + backoff(self.count, &mut self.chance));
        self.count += 1;
    }

    /// Renews, rebinds, or loses a lease, whatever is due (section 4.4.5).
    fn age(&mut self, now: Instant, lease: Lease) {
        let Some((_, rebind, end)) = lease.times else {
            self.next = None;
            return;
        };
        if now >= end {
            self.actions.push_back(Action::Lost);
            self.discover(now);
            return;
        }
        let own = lease.address;
        let until = if now >= rebind { end } else { rebind };
        let is_new = match (&self.state, now >= rebind) {
            (State::Renewing(_), false) | (State::Rebinding(_), true) => false,
            (_, rebinding) => {
                self.state = if rebinding { State::Rebinding(lease) } else { State::Renewing(lease) };
                true
            }
        };
        if is_new {
            self.started = now;
            self.ask_anew(now);
        }
        let message = self.question(now, MessageType::Request, Some(own), None, None);
        self.actions.push_back(if now >= rebind {
            Action::Broadcast { message, from: Some(own) }
        } else {
            Action::Unicast { message, from: own, server: lease.server }
        });
        // Half of the time that is left, but a minute at least.
        self.next = Some(until.min(now + ((until - now) / 2).max(LEAST_PAUSE)));
    }

    fn bind(&mut self, now: Instant, server: Ipv4Addr, terms: Terms) {
        let Some(address) = terms.address() else { return };
        // Section 4.4.1: from when it was asked for.
        let asked = self.asked;
        let times = terms.lease.map(|lease| {
            let rebind = terms.rebinding.filter(|time| *time < lease).unwrap_or(lease * 7 / 8);
            let renew =
                terms.renewal.filter(|time| *time < rebind).unwrap_or_else(|| (lease / 2).min(rebind));
            // Section 4.4.5: with some fuzz, so that those who were bound together do not ask together.
            let renew = renew - self.chance.up_to(renew / 20);
            (asked + renew, asked + rebind, asked + lease)
        });
        let valid = times.map(|(_, _, end)| end - now);
        if valid.is_some_and(|valid| valid.is_zero()) {
            return;
        }
        self.state = State::Bound(Lease { address, server, times });
        self.next = times.map(|(renew, ..)| renew);
        self.refused = 0;
        self.actions.push_back(Action::Acquired { terms: Box::new(terms), valid });
    }

    /// A server does not let it have the address (section 3.1 step 4): the next try is a little later each time.
    fn start_again(&mut self, now: Instant, had: bool) {
        if had {
            self.actions.push_back(Action::Lost);
        }
        self.state = State::Init;
        self.next = Some(now + LEAST_DELAY * (1 << self.refused.min(6)));
        self.refused += 1;
    }

    fn farewell(&mut self, now: Instant, kind: MessageType, lease: Lease) -> Vec<u8> {
        self.ask_anew(now);
        self.started = now;
        let address = Some(lease.address);
        // Table 5: who declines an address does not have it.
        let (own, requested) = if kind == MessageType::Release { (address, None) } else { (None, address) };
        self.question(now, kind, own, requested, Some(lease.server))
    }

    fn question(
        &self,
        now: Instant,
        kind: MessageType,
        own: Option<Ipv4Addr>,
        requested: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) -> Vec<u8> {
        let question = Question {
            kind,
            xid: self.xid,
            elapsed: now - self.started,
            mac: self.mac,
            own,
            requested,
            server,
            host_name: self.host_name.as_deref(),
            mtu: self.mtu,
        };
        question.encode()
    }
}

/// Four requests take a minute (RFC 2131 section 3.1 step 5).
const MOST_REQUESTS: u32 = 4;
/// RFC 2131 section 3.1 step 5: a minimum of ten seconds.
const AFTER_DECLINE: Duration = Duration::from_secs(10);
/// RFC 2131 section 4.4.5.
const LEAST_PAUSE: Duration = Duration::from_secs(60);
/// After a first refusal.
const LEAST_DELAY: Duration = Duration::from_secs(1);
