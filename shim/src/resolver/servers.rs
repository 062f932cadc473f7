//! Which server is asked first: those that answer, before those that were silent a moment ago.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What is known of the servers of a stack.
#[derive(Debug, Default)]
pub(super) struct Servers {
    all: Vec<Server>,
    turn: usize,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    silent_until: Option<Instant>,
}

/// So long a silent server is asked after the others.
const PENALTY: Duration = Duration::from_secs(30);
/// So many servers are asked at most: a network that tells of hundreds does not make a question last for hours.
const MOST: usize = 8;

impl Servers {
    /// Takes note of the servers there are. Says whether they are others than before.
    pub(super) fn update(&mut self, addresses: &[SocketAddr]) -> bool {
        let addresses = &addresses[..addresses.len().min(MOST)];
        let same = self.all.iter().map(|server| &server.address).eq(addresses);
        if !same {
            let fresh = |&address| Server { address, silent_until: None };
            self.all = addresses.iter().map(fresh).collect();
        }
        !same
    }

    /// The order in which to ask them now; with `rotate` another one is first each time.
    pub(super) fn order(&mut self, now: Instant, rotate: bool) -> Vec<SocketAddr> {
        let silent = |server: &&Server| server.silent_until.is_some_and(|until| now < until);
        let (last, mut first): (Vec<_>, Vec<_>) = self.all.iter().partition(silent);
        if rotate && !first.is_empty() {
            let turn = self.turn % first.len();
            first.rotate_left(turn);
            self.turn = self.turn.wrapping_add(1);
        }
        first.into_iter().chain(last).map(|server| server.address).collect()
    }

    /// Notes whether a server said anything at all.
    pub(super) fn note(&mut self, now: Instant, address: SocketAddr, spoke: bool) {
        if let Some(server) = self.all.iter_mut().find(|server| server.address == address) {
            server.silent_until = (!spoke).then(|| now + PENALTY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_silent_is_asked_last_for_a_while() {
        let addresses = [1, 2, 3].map(|last| SocketAddr::from(([10, 0, 0, last], 53)));
        let [one, two, three] = addresses;
        let (mut servers, now) = (Servers::default(), Instant::now());
        assert!(servers.update(&addresses));
        assert_eq!(servers.order(now, false), addresses);
        servers.note(now, one, false);
        assert_eq!(servers.order(now, false), [two, three, one]);
        assert!(!servers.update(&addresses));
        assert_eq!(servers.order(now + PENALTY, false), addresses);
        servers.note(now, one, true);
        assert_eq!(servers.order(now, false), addresses);
        servers.note(now, one, false);
        assert!(servers.update(&[one]), "others, of which nothing is known");
        assert_eq!(servers.order(now, false), [one]);
    }

    #[test]
    fn rotation_asks_each_first() {
        let addresses = [1, 2, 3].map(|last| SocketAddr::from(([10, 0, 0, last], 53)));
        let (mut servers, now) = (Servers::default(), Instant::now());
        servers.update(&addresses);
        servers.note(now, addresses[1], false);
        let firsts: Vec<_> = (0..4).map(|_| servers.order(now, true)[0]).collect();
        assert_eq!(firsts, [addresses[0], addresses[2], addresses[0], addresses[2]]);
        assert_eq!(servers.order(now, true)[2], addresses[1]);
    }
}
