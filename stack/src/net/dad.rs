//! Duplicate address detection: whether somebody else on the link has an address of ours. RFC 5227 for IPv4, RFC 4862
//! section 5.4 for IPv6, much of RFC 4429 for addresses that are used while they are tested.

use std::net::IpAddr;
use std::time::Duration;

use super::cidr::Cidr;
use super::mac::Mac;
use super::route::InterfaceId;
use crate::engine::Engine;
use crate::engine::address::{Origin, Standing};
use crate::tcp::isn::Purpose;
use crate::time::Instant;

/// How the addresses of an interface are tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Testing {
    /// Not at all.
    #[default]
    Off,
    /// They are used while they are tested: IPv6 asks once (RFC 4429), IPv4 announces itself and hears of conflicts.
    Optimistic,
    /// They are used when they were tested: after one to two seconds (IPv6), five to nine (IPv4).
    Strict,
}

impl std::fmt::Display for Testing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::Optimistic => "optimistic",
            Self::Strict => "strict",
        })
    }
}

/// The test of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    step: Step,
    next: Instant,
    v4: bool,
    strict: bool,
    /// It has not begun.
    delayed: bool,
    /// Spreads the times, so that hosts that start together do not ask together.
    draw: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// So many questions are still to be asked.
    Probe(u8),
    /// All were asked.
    Wait,
    /// It is ours; that is still to be said so often.
    Announce(u8),
}

/// What is to be done for a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Probe,
    Announce,
    /// Nothing any more.
    Finish,
}

impl Test {
    pub(crate) fn new(now: Instant, testing: Testing, v4: bool, draw: u64) -> Self {
        let strict = testing == Testing::Strict;
        let step = match (v4, strict) {
            // Linux does not ask for IPv4 addresses, it announces them.
            (true, false) => Step::Announce(ANNOUNCE_NUM),
            (true, true) => Step::Probe(PROBE_NUM),
            (false, _) => Step::Probe(DUP_ADDR_DETECT_TRANSMITS),
        };
        // RFC 5227 section 2.1.1 (PROBE_WAIT), RFC 4862 section 5.4.2 (MAX_RTR_SOLICITATION_DELAY); RFC 4429 section 3.3:
        // an optimistic one asks at once.
        let delay = if strict { spread(draw, Duration::ZERO, PROBE_WAIT) } else { Duration::ZERO };
        Self { step, next: now + delay, v4, strict, delayed: !delay.is_zero(), draw }
    }

    pub(crate) const fn is_tentative(&self) -> bool {
        self.strict && matches!(self.step, Step::Probe(_) | Step::Wait)
    }

    pub(crate) const fn is_optimistic(&self) -> bool {
        !self.strict && matches!(self.step, Step::Probe(_) | Step::Wait)
    }

    /// Whether it has not begun, because it waits for a while first.
    pub(crate) const fn is_delayed(&self) -> bool {
        self.delayed
    }

    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// What is due at `now`, if anything is. `wait`: how long an answer of a neighbour is waited for.
    fn advance(&mut self, now: Instant, wait: Duration) -> Option<Task> {
        if now < self.next {
            return None;
        }
        self.delayed = false;
        match self.step {
            Step::Probe(left) => {
                let last = left <= 1;
                self.step = if last { Step::Wait } else { Step::Probe(left - 1) };
                self.draw = self.draw.rotate_left(21);
                self.next = now
                    + match (self.v4, last) {
                        (true, false) => spread(self.draw, PROBE_MIN, PROBE_MAX),
                        (true, true) => ANNOUNCE_WAIT,
                        // RFC 4862 section 5.1: RetransTimer.
                        (false, _) => wait,
                    };
                Some(Task::Probe)
            }
            // RFC 4861 section 7.2.6 for IPv6: neighbours may know the address elsewhere.
            Step::Wait => {
                self.step = Step::Announce(if self.v4 { ANNOUNCE_NUM - 1 } else { 0 });
                self.next = now + ANNOUNCE_INTERVAL;
                Some(Task::Announce)
            }
            Step::Announce(0) => Some(Task::Finish),
            Step::Announce(left) => {
                self.step = Step::Announce(left - 1);
                self.next = now + ANNOUNCE_INTERVAL;
                Some(Task::Announce)
            }
        }
    }
}

impl Engine {
    /// Sets how the addresses of an interface are tested, and tests those that it has. Off at first.
    pub fn set_testing(&mut self, now: Instant, interface: InterfaceId, testing: Testing) {
        let Some(index) = self.interfaces.get(interface.0 as usize).map(|_| interface.0 as usize) else {
            return;
        };
        self.interfaces[index].testing = testing;
        for at in 0..self.interfaces[index].addresses.len() {
            let ip = self.interfaces[index].addresses[at].ip();
            let test =
                (testing != Testing::Off).then(|| Test::new(now, testing, ip.is_ipv4(), self.draw(now, ip)));
            self.interfaces[index].addresses[at].test = test;
        }
        self.addresses_changed(now, interface);
        self.continue_tests(now);
    }

    /// How the addresses of an interface are tested.
    #[must_use]
    pub fn testing(&self, interface: InterfaceId) -> Testing {
        self.interfaces.get(interface.0 as usize).map_or(Testing::Off, |known| known.testing)
    }

    /// An address that the user gave and another station has, if there is one.
    #[must_use]
    pub fn duplicate(&self) -> Option<Cidr> {
        let all = self.interfaces.iter().flat_map(|interface| &interface.addresses);
        let taken = all.filter(|address| address.duplicate && address.origin == Origin::Configured);
        taken.map(|address| address.cidr).next()
    }

    /// Whether an address of an interface may not be used yet.
    #[must_use]
    pub fn is_testing(&self) -> bool {
        let tested = self.interfaces.iter().flat_map(|interface| &interface.addresses);
        tested
            .into_iter()
            .any(|address| !address.duplicate && address.test.as_ref().is_some_and(Test::is_tentative))
    }

    /// Whether an address is used although it is still being tested.
    pub(crate) fn is_optimistic(&self, interface: InterfaceId, address: IpAddr) -> bool {
        self.standing(interface, address) == Some(Standing::Optimistic)
    }

    /// A number that nobody else can know, for the times of a test.
    pub(crate) fn draw(&self, now: Instant, address: IpAddr) -> u64 {
        self.secret.hash(Purpose::Delay, &[(address, 0).into()], now.as_nanos())
    }

    /// Does what is due for the tests of addresses.
    pub(crate) fn continue_tests(&mut self, now: Instant) {
        for index in 1..self.interfaces.len() {
            if self.interfaces[index].address_deadline.is_none_or(|at| at > now) {
                continue;
            }
            let interface = InterfaceId::at(index);
            for at in 0..self.interfaces[index].addresses.len() {
                let own = &mut self.interfaces[index];
                let address = &mut own.addresses[at];
                let ip = address.ip();
                let wait = own.neighbours.retransmission_time(ip);
                match address.test.as_mut().and_then(|test| test.advance(now, wait)) {
                    Some(Task::Probe) => {
                        // RFC 4862 section 5.4.2: who asks is a member of the group of those who are asked.
                        self.own_groups_changed(now, interface);
                        self.probe(now, interface, ip);
                    }
                    Some(Task::Announce) => self.announce_address(now, interface, ip),
                    Some(Task::Finish) => address.test = None,
                    None => {}
                }
            }
            self.addresses_changed(now, interface);
        }
    }

    /// Asks whether anybody has an address, without saying that we want it.
    fn probe(&mut self, now: Instant, interface: InterfaceId, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.probe_v4(interface, ip),
            IpAddr::V6(ip) => self.probe_v6(now, interface, ip),
        }
    }

    /// Somebody else on the link says that it has `ip`, or, as a `probe`, wants it. Says whether that is an address of
    /// the interface, so that nothing else is to be learned from the message.
    pub(crate) fn is_claimed(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        ip: IpAddr,
        claimer: Mac,
        probe: bool,
    ) -> bool {
        let Some(own) = self.interfaces.get_mut(interface.0 as usize) else { return false };
        let Some(address) = own.addresses.iter_mut().find(|address| address.ip() == ip) else { return false };
        // What we said ourselves, come back.
        if claimer == own.mac || address.duplicate {
            return true;
        }
        let under_test =
            address.test.as_ref().is_some_and(|test| test.is_tentative() || test.is_optimistic());
        if under_test {
            // RFC 4862 section 5.4.4, RFC 5227 section 2.1.1; whoever asks at the same time makes both give up.
            address.test = None;
            address.duplicate = true;
            self.counters.address_conflicts += 1;
            self.addresses_changed(now, interface);
            self.replace_duplicates(now, interface);
            self.decline(now, interface, ip);
            return true;
        }
        if probe {
            // The answer to it defends the address.
            return false;
        }
        self.counters.address_conflicts += 1;
        // RFC 5227 section 2.4: (b) defend it, but not against somebody who defends it, too; then (a) let go what was only
        // lent, and (c) keep what the user gave.
        let again = address.defended.is_some_and(|at| now < at + DEFEND_INTERVAL);
        if !again {
            address.defended = Some(now);
            if ip.is_ipv4() {
                self.announce_address(now, interface, ip);
            }
        } else if ip.is_ipv4() && address.origin == Origin::Leased {
            address.duplicate = true;
            self.addresses_changed(now, interface);
            self.decline(now, interface, ip);
        }
        true
    }
}

/// A time between two, by a number.
fn spread(draw: u64, least: Duration, most: Duration) -> Duration {
    let room = u64::try_from((most - least).as_nanos()).unwrap_or(u64::MAX);
    least + Duration::from_nanos(draw % room.max(1))
}

/// RFC 5227 section 1.1.
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_NUM: u8 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
const ANNOUNCE_NUM: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// RFC 4862 section 5.1.
const DUP_ADDR_DETECT_TRANSMITS: u8 = 1;
