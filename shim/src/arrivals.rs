//! How the datagrams in a pair arrived. The pair carries their bytes only, so that stands beside it, and finds its datagram
//! by counting bytes: plain calls take datagrams without a word.

use ioth_stack::net::InterfaceId;
use ioth_stack::{Arrival, Context, Instant};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

/// How a datagram arrived, with what only the stack knows about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// What stood in its headers.
    pub(crate) arrival: Arrival,
    /// When.
    pub(crate) at: SystemTime,
    /// The IPv4 address of the stack that it concerns, if it was to many.
    pub(crate) local: Option<Ipv4Addr>,
}

impl How {
    pub(crate) fn new(cx: &Context<'_>, arrival: Arrival) -> Self {
        let own = || cx.engine.addresses(arrival.interface);
        let first = || {
            let known = own();
            if known.iter().any(|cidr| cidr.address() == arrival.destination) {
                return None;
            }
            known.iter().find_map(|cidr| match cidr.address() {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            })
        };
        let to_many = match arrival.destination {
            // What came over the loopback interface is for whoever has the address.
            IpAddr::V4(_) => arrival.interface != InterfaceId::LOOPBACK,
            IpAddr::V6(_) => false,
        };
        Self { arrival, at: wall_clock(cx, arrival.at), local: if to_many { first() } else { None } }
    }
}

/// The time of the system at an instant of the stack.
pub(crate) fn wall_clock(cx: &Context<'_>, at: Instant) -> SystemTime {
    SystemTime::now().checked_sub(cx.now - at).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// For the last datagrams in the pair, in order: how long they are there, and how they arrived.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<VecDeque<(usize, Arrival)>>);

/// More than a pair holds.
const MOST: usize = 1024;

impl Arrivals {
    /// A datagram went into the pair, where it takes so many bytes.
    pub(crate) fn note(&self, len: usize, arrival: Arrival) {
        let mut known = self.0.lock();
        if known.len() == MOST {
            known.pop_front();
        }
        known.push_back((len, arrival));
    }

    /// Whether nothing is known. While something is, those that follow must be noted, too, whoever asks.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// The next datagram is about to be taken, or looked at, from a pair that holds so many bytes.
    pub(crate) fn next(&self, held: usize, peek: bool) -> Option<Arrival> {
        let mut known = self.0.lock();
        let mut noted: usize = known.iter().map(|(len, _)| len).sum();
        // What plain calls took.
        while noted > held
            && let Some((len, _)) = known.pop_front()
        {
            noted -= len;
        }
        // What nobody asked about was in front.
        if noted < held {
            return None;
        }
        if peek {
            known.front().map(|(_, arrival)| *arrival)
        } else {
            known.pop_front().map(|(_, arrival)| arrival)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ioth_stack::Instant;

    #[test]
    fn who_takes_without_a_word_does_not_shift_the_others() {
        let arrival = |ttl| Arrival {
            destination: [10, 0, 0, 1].into(),
            interface: InterfaceId::new(2),
            ttl,
            tos: 0,
            at: Instant::ZERO,
            drops: 0,
            size: None,
            link: None,
        };
        let arrivals = Arrivals::default();
        let ttl = |held, peek| arrivals.next(held, peek).map(|arrival| arrival.ttl);
        // One of 100 bytes went in before anybody asked.
        for (len, number) in [(10, 1), (20, 2), (30, 3)] {
            arrivals.note(len, arrival(number));
        }
        assert_eq!(ttl(160, false), None);
        assert_eq!((ttl(60, true), ttl(60, false)), (Some(1), Some(1)));
        // The second was taken by a plain call.
        assert_eq!(ttl(30, false), Some(3));
        assert_eq!(ttl(0, false), None);
    }
}
