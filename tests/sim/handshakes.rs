//! Handshakes that take their time: `TCP_SYNCNT` and `TCP_DEFER_ACCEPT` of tcp(7), with the kernel as the oracle
//! (`syn_ack_recalc` and `tcp_check_req` of Linux).

use std::time::Duration;

use ioth_stack::{EndpointId, Error, Instant, Kind, Options, Retries};

use crate::wire::frames::{ACK, FIN, RST, SYN, Tcp};
use crate::wire::{Fate, Host, Stranger, Wire};

/// What a stranger meets that opens a connection to a listener with these options.
struct Opening {
    wire: Wire,
    b: Host,
    listener: EndpointId,
    stranger: Stranger,
    start: Instant,
    /// The acknowledgement of the SYN-ACK.
    ack: Tcp,
}

impl Opening {
    fn new(options: Options) -> Self {
        let (mut wire, _, b) = Wire::pair();
        let listener = wire.listen(b, "10.0.0.2:80", 8);
        wire[b].set_options(listener, options).unwrap();
        let stranger = Stranger::new(&mut wire, b, 5000, 80);
        let start = wire.now();
        let ack = stranger.opens(&mut wire, &[]).seq.wrapping_add(1);
        let ack = Tcp { flags: ACK, seq: 1000, ack, window: 65_535, ..Tcp::default() };
        Self { wire, b, listener, stranger, start, ack }
    }

    /// With `TCP_DEFER_ACCEPT` of so many seconds, and the bare acknowledgement said.
    fn deferred(seconds: i32) -> Self {
        let mut opening = Self::new(deferred(seconds));
        opening.stranger.says(&mut opening.wire, &opening.ack);
        opening
    }

    /// Waits; the stranger stays where it was: neighbours are asked again, and it says where it is.
    fn wait_until(&mut self, seconds: u64) {
        let end = self.start + Duration::from_secs(seconds) + Duration::from_millis(10);
        while self.wire.now() < end {
            let step = (end - self.wire.now()).min(Duration::from_secs(10));
            self.wire.run(step);
            let record = std::mem::take(&mut self.wire.record);
            Stranger::new(&mut self.wire, self.b, 0, 0);
            self.wire.record = record;
        }
    }

    /// Seconds at which the SYN-ACK was said.
    fn said(&self) -> Vec<u64> {
        times(&self.wire, self.b, self.start, SYN | ACK)
    }

    fn accept(&mut self) -> Result<EndpointId, Error> {
        self.wire[self.b].accept(self.listener).map(|accepted| accepted.id)
    }
}

/// Seconds from `start` at which a host said these flags.
fn times(wire: &Wire, host: Host, start: Instant, flags: u8) -> Vec<u64> {
    wire.sent_by(host)
        .filter(|sent| Tcp::parse(&sent.bytes).is_some_and(|tcp| tcp.flags == flags))
        .map(|sent| (sent.at - start).as_secs())
        .collect()
}

fn deferred(seconds: i32) -> Options {
    Options { defer_accept: Retries::lasting(seconds), ..Options::default() }
}

#[test]
fn a_deferred_connection_is_there_when_data_is_tcp_7() {
    let mut opening = Opening::deferred(5);
    opening.wait_until(2);
    assert_eq!(opening.accept(), Err(Error::WouldBlock));
    assert!(!opening.wire[opening.b].readiness(opening.listener).readable);
    opening.stranger.says(&mut opening.wire, &Tcp { payload: b"data".to_vec(), ..opening.ack.clone() });
    assert!(opening.wire[opening.b].readiness(opening.listener).readable);
    let id = opening.accept().unwrap();
    assert_eq!(opening.wire.recv(opening.b, id), Ok(b"data".to_vec()));
    assert_eq!(opening.said(), [0]);
    assert_eq!(opening.wire[opening.b].options(id).unwrap().defer_accept, Retries::default());
}

#[test]
fn data_with_the_first_acknowledgement_is_enough() {
    let mut opening = Opening::new(deferred(5));
    opening.stranger.says(&mut opening.wire, &Tcp { payload: b"data".to_vec(), ..opening.ack.clone() });
    let id = opening.accept().unwrap();
    assert_eq!(opening.wire.recv(opening.b, id), Ok(b"data".to_vec()));
}

#[test]
fn so_is_an_end_without_data() {
    let mut opening = Opening::deferred(5);
    opening.stranger.says(&mut opening.wire, &Tcp { flags: FIN | ACK, ..opening.ack.clone() });
    let id = opening.accept().unwrap();
    assert_eq!(opening.wire.recv(opening.b, id), Ok(vec![]));
}

#[test]
fn when_the_time_is_over_an_acknowledgement_is_enough() {
    // Rounded up to what retransmissions take: 1, 3, 7 … seconds.
    for (seconds, over) in [(1, 1), (2, 3), (5, 7), (30, 31), (64, 127), (200, 247)] {
        let mut opening = Opening::deferred(seconds);
        for _ in 0..3 {
            opening.wait_until(over - 1);
            opening.stranger.says(&mut opening.wire, &opening.ack);
        }
        assert_eq!((opening.said(), opening.accept()), (vec![0], Err(Error::WouldBlock)), "{seconds}");
        opening.wait_until(over);
        assert_eq!((opening.said(), opening.accept()), (vec![0, over], Err(Error::WouldBlock)), "{seconds}");
        opening.stranger.says(&mut opening.wire, &opening.ack);
        let id = opening.accept().unwrap();
        opening.stranger.says(&mut opening.wire, &Tcp { payload: b"late".to_vec(), ..opening.ack.clone() });
        assert_eq!(opening.wire.recv(opening.b, id), Ok(b"late".to_vec()), "{seconds}");
    }
}

/// A handshake in which the SYN-ACK is said at these seconds, and which is given up, without a word, at that one.
fn is_given_up(begin: impl Fn() -> Opening, said: &[u64], over: u64) {
    let mut early = begin();
    early.wait_until(over - 1);
    let data = Tcp { payload: b"data".to_vec(), ..early.ack.clone() };
    early.stranger.says(&mut early.wire, &data);
    assert!(early.accept().is_ok(), "{over}");
    let mut late = begin();
    late.wait_until(over + 1);
    assert_eq!((late.said(), times(&late.wire, late.b, late.start, RST | ACK)), (said.to_vec(), vec![]));
    assert_eq!(late.stranger.asks(&mut late.wire, &data)[0].flags, RST, "{over}");
    assert_eq!(late.accept(), Err(Error::WouldBlock));
}

#[test]
fn who_does_not_acknowledge_is_asked_as_ever() {
    is_given_up(|| Opening::new(deferred(5)), &[0, 1, 3, 7, 15, 31], 63);
}

#[test]
fn who_says_nothing_more_is_given_up() {
    is_given_up(|| Opening::deferred(5), &[0, 7, 15, 31], 63);
    is_given_up(|| Opening::deferred(64), &[0, 127], 247);
}

#[test]
fn two_of_ours_defer() {
    // The client answers the second SYN-ACK, and never knew.
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    wire[b].set_options(listener, deferred(1)).unwrap();
    let start = wire.now();
    let one = wire.connect(a, "10.0.0.2:80");
    assert_eq!(wire.connect_result(a, one), Ok(()));
    let other = wire.accept(b, listener);
    let took = wire.now() - start;
    assert!((Duration::from_secs(1)..Duration::from_millis(1100)).contains(&took), "{took:?}");
    assert!(wire.echoes([(a, one), (b, other)]));
}

#[test]
fn a_cookie_defers_nothing() {
    let (mut wire, _, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 8);
    wire[b].set_options(listener, deferred(5)).unwrap();
    let mut last = None;
    for port in 0..20 {
        let stranger = Stranger::new(&mut wire, b, 5000 + port, 80);
        last = Some((stranger, stranger.opens(&mut wire, &[])));
    }
    let (stranger, syn_ack) = last.unwrap();
    assert!(wire[b].counters().syn_cookies_sent > 0);
    let ack = syn_ack.seq.wrapping_add(1);
    stranger.says(&mut wire, &Tcp { flags: ACK, seq: 1000, ack, window: 65_535, ..Tcp::default() });
    assert!(wire[b].accept(listener).is_ok());
}

#[test]
fn a_listener_says_its_syn_ack_as_often_as_it_is_told_tcp_7() {
    for (count, said, over) in [(1, vec![0, 1], 3), (3, vec![0, 1, 3, 7], 15)] {
        let options = Options { syn_retries: Some(Retries::new(count)), ..Options::default() };
        is_given_up(|| Opening::new(options), &said, over);
    }
}

#[test]
fn a_connect_says_its_syn_as_often_as_it_is_told_tcp_7() {
    let usual = vec![0, 1, 3, 7, 15, 31, 63];
    for (count, said, over) in [
        (None, usual.clone(), 127),
        (Some(1), vec![0, 1], 3),
        (Some(2), vec![0, 1, 3], 7),
        (Some(8), [usual, vec![127, 247]].concat(), 367),
    ] {
        let (mut wire, a, b) = Wire::pair();
        let _ = wire.connected(a, b, "10.0.0.2:80");
        wire.record.clear();
        // The neighbour is probed and lost as well: keep it out of this.
        wire.weather = Box::new(|bytes| if bytes[12..14] == [8, 6] { Fate::Arrives } else { Fate::Lost });
        let address = "10.0.0.2:81".parse().unwrap();
        let id = wire.open(a, Kind::Stream, address);
        let options = Options { syn_retries: count.map(Retries::new), ..Options::default() };
        wire[a].set_options(id, options).unwrap();
        let start = wire.now();
        assert_eq!(wire[a].connect(start, id, address), Err(Error::InProgress));
        wire.run(Duration::from_secs(over) - Duration::from_millis(100));
        assert_eq!(wire[a].connect_result(id), Err(Error::InProgress));
        wire.run(Duration::from_millis(200));
        assert_eq!(wire[a].connect_result(id), Err(Error::TimedOut));
        assert_eq!(times(&wire, a, start, SYN), said);
    }
}

#[test]
fn a_connect_under_way_is_told_too() {
    let (mut wire, a, b) = Wire::pair();
    let _ = wire.connected(a, b, "10.0.0.2:80");
    wire.weather = Box::new(|bytes| if bytes[12..14] == [8, 6] { Fate::Arrives } else { Fate::Lost });
    let id = wire.connect(a, "10.0.0.2:81");
    wire.run(Duration::from_millis(500));
    wire[a].set_options(id, Options { syn_retries: Some(Retries::new(1)), ..Options::default() }).unwrap();
    wire.run(Duration::from_secs(3));
    assert_eq!(wire[a].connect_result(id), Err(Error::TimedOut));
}
