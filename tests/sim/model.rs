//! Whatever two applications do, and whatever the wire does, a connection is two streams: what is delivered is a
//! prefix of what was sent, in the end all of it, nobody waits in vain, and nothing is left.
//!
//! The calls are drawn at random, and so is what becomes of each frame. The applications may not look again and
//! again: who was told to wait waits for an event.

mod app;

use std::time::Duration;

use ioth_stack::{Error, Kind, Options};
use proptest::prelude::*;

use self::app::App;
use crate::wire::frames::Tcp;
use crate::wire::{Dice, Fate, Port, Wire};

/// Within that, everything that somebody waits for happens on an honest wire: the longest interval of a timer is a
/// minute (RFC 6298 section 2.5).
const PATIENCE: Duration = Duration::from_secs(200);

#[derive(Clone, Debug)]
enum Call {
    Send(usize),
    Recv(usize),
    Shutdown,
    Close,
}

#[derive(Clone, Debug)]
enum Step {
    /// One of the two applications calls.
    Call(usize, Call),
    Pause(Duration),
}

/// How many frames in a thousand are lost, come twice, come late, and how late.
#[derive(Clone, Copy, Debug)]
struct Weather {
    seed: u64,
    lost: usize,
    twice: usize,
    late: usize,
    delay: Duration,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Both send so much more, shut down and receive all.
    Orderly(usize),
    /// One closes with data unread.
    Unread(usize),
}

#[derive(Clone, Debug)]
struct Case {
    v6: bool,
    offload: [bool; 2],
    /// Receive and send ring of either side.
    rings: [(usize, usize); 2],
    latency: Duration,
    weather: Weather,
    steps: Vec<Step>,
    ending: Ending,
}

fn call() -> impl Strategy<Value = Call> {
    let len = || prop_oneof![1..3000usize, 1..100_000usize];
    prop_oneof![
        30 => len().prop_map(Call::Send),
        30 => len().prop_map(Call::Recv),
        2 => Just(Call::Shutdown),
        1 => Just(Call::Close),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let micros = prop_oneof![4 => 0..1000u64, 4 => 0..50_000u64, 1 => 0..5_000_000u64];
    prop_oneof![
        2 => (0..2usize, call()).prop_map(|(who, call)| Step::Call(who, call)),
        1 => micros.prop_map(|micros| Step::Pause(Duration::from_micros(micros))),
    ]
}

fn ring() -> impl Strategy<Value = usize> {
    prop_oneof![Just(Options::LEAST_BUFFER), 4096..20_000usize, 65_534..65_538usize, Just(512 * 1024)]
}

fn weather() -> impl Strategy<Value = Weather> {
    let often = || prop_oneof![Just(0), 0..30usize, 0..200usize];
    let delay = prop_oneof![0..1000u64, 0..500_000u64];
    (any::<u64>(), often(), often(), often(), delay).prop_map(|(seed, lost, twice, late, delay)| Weather {
        seed,
        lost,
        twice,
        late,
        delay: Duration::from_micros(delay),
    })
}

fn case() -> impl Strategy<Value = Case> {
    let rings = [(ring(), ring()), (ring(), ring())];
    let latency = prop_oneof![Just(50u64), 50..100_000u64].prop_map(Duration::from_micros);
    let steps = prop::collection::vec(step(), 0..80);
    let ending =
        prop_oneof![(0..300_000usize).prop_map(Ending::Orderly), (0..2usize).prop_map(Ending::Unread)];
    (any::<bool>(), any::<[bool; 2]>(), rings, latency, weather(), steps, ending).prop_map(
        |(v6, offload, rings, latency, weather, steps, ending)| Case {
            v6,
            offload,
            rings,
            latency,
            weather,
            steps,
            ending,
        },
    )
}

impl Weather {
    /// What it does to frames. Neighbours are always found, and no more than two segments of one direction are
    /// lost one after another: a connection that hears nothing for a minute may be given up.
    fn blows(self) -> impl FnMut(&[u8]) -> Fate {
        let mut dice = Dice::new(self.seed);
        let mut lost_in_a_row = [0; 2];
        move |bytes: &[u8]| {
            if Tcp::parse(bytes).is_none() {
                return Fate::Arrives;
            }
            let in_a_row = &mut lost_in_a_row[usize::from(bytes[10] & 1)];
            let roll = dice.below(1000);
            if roll < self.lost && *in_a_row < 2 {
                *in_a_row += 1;
                return Fate::Lost;
            }
            *in_a_row = 0;
            match roll {
                roll if roll < self.lost + self.twice => Fate::Twice,
                roll if roll < self.lost + self.twice + self.late => {
                    Fate::Late(self.delay.mul_f64(dice.below(1000) as f64 / 1000.0))
                }
                _ => Fate::Arrives,
            }
        }
    }
}

/// The two applications, and what is between them.
struct Talk {
    wire: Wire,
    apps: [App; 2],
    listener: ioth_stack::EndpointId,
    server: &'static str,
    /// Somebody closed while something was on its way to it: the rest may be lost.
    torn: bool,
    /// How much both had sent when somebody closed in good order.
    closed_with: Option<[usize; 2]>,
}

impl Talk {
    fn new(case: &Case) -> Self {
        let port = |offload| Port { offload, ..Port::default() };
        let (mut wire, a, b) = Wire::pair_on(port(case.offload[0]), port(case.offload[1]));
        wire.latency = case.latency;
        wire.weather = Box::new(case.weather.blows());
        for (at, host) in [a, b].into_iter().enumerate() {
            wire[host].set_timestamps(case.weather.seed >> at & 1 == 0);
        }
        let options = |(recv_buffer, send_buffer)| Options { recv_buffer, send_buffer, ..Options::default() };
        let server = if case.v6 { "[fd00::2]:80" } else { "10.0.0.2:80" };
        let listener = wire.listen(b, server, 1);
        wire[b].set_options(listener, options(case.rings[1])).unwrap();
        let mut apps = [App::new(a, 0, 0x5a), App::new(b, 0x5a, 0)];
        let address = server.parse().unwrap();
        let id = wire.open(a, Kind::Stream, address);
        wire[a].set_options(id, options(case.rings[0])).unwrap();
        let now = wire.now();
        assert_eq!(wire[a].connect(now, id, address), Err(Error::InProgress));
        apps[0].opens(id);
        Self { wire, apps, listener, server, torn: false, closed_with: None }
    }

    /// Lets time pass until `done`; everybody hears their events.
    fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Wire, &mut [App; 2]) -> bool) -> bool {
        let Self { wire, apps, listener, .. } = self;
        wire.run_until(limit, |wire| {
            for app in apps.iter_mut() {
                let events: Vec<_> = std::iter::from_fn(|| wire[app.host].poll_event()).collect();
                if app.id.is_none() && !app.closed {
                    let waits = wire[app.host].readiness(*listener).readable;
                    assert!(!waits || events.contains(listener), "a connection without an event");
                    app.id = wire[app.host].accept(*listener).ok().map(|accepted| accepted.id);
                } else {
                    app.hear(wire, &events);
                }
            }
            done(wire, apps)
        })
    }

    fn step(&mut self, step: &Step) {
        let (who, call) = match step {
            Step::Pause(time) => {
                self.run_until(*time, |_, _| false);
                return;
            }
            Step::Call(who, call) => (*who, call),
        };
        // What happened until now is heard before the call, or its events would count for what comes later.
        self.run_until(Duration::ZERO, |_, _| false);
        let peer_sent = self.apps[1 - who].sent;
        let app = &mut self.apps[who];
        match call {
            Call::Send(len) => app.send(&mut self.wire, *len),
            Call::Recv(len) => {
                app.recv(&mut self.wire, *len, peer_sent);
            }
            Call::Shutdown => app.shutdown(&mut self.wire),
            Call::Close => self.close(who),
        }
    }

    fn close(&mut self, who: usize) {
        if self.apps[who].id.is_none() {
            return;
        }
        let sent = [self.apps[0].sent, self.apps[1].sent];
        let unread = self.apps[who].received < sent[1 - who];
        self.torn |= unread || self.apps[who].is_opening();
        self.closed_with = self.closed_with.or(Some(sent));
        self.apps[who].close(&mut self.wire);
    }

    /// Whether somebody closed and something may be lost by that.
    fn is_torn(&self) -> bool {
        // RFC 1122 section 4.2.2.13: what is sent to one who is gone resets the connection.
        let sent = [self.apps[0].sent, self.apps[1].sent];
        self.torn || self.closed_with.is_some_and(|then| then != sent)
    }

    /// Nobody may be told of a fault that did not happen.
    fn check(&self) {
        let torn = self.is_torn();
        for (app, peer) in [(&self.apps[0], &self.apps[1]), (&self.apps[1], &self.apps[0])] {
            if let Some(error) = app.failed {
                assert!(self.closed_with.is_some(), "{error} and nobody has closed");
                assert!(
                    torn || app.received == peer.sent,
                    "{error} after {} of {} bytes",
                    app.received,
                    peer.sent
                );
                assert_ne!(error, Error::TimedOut);
            }
        }
    }

    /// One closes with data unread: the other hears of it at once (RFC 2525 section 2.17).
    fn resets(&mut self, who: usize) {
        let other = 1 - who;
        if self.apps.iter().any(|app| app.id.is_none() || app.failed.is_some()) || self.apps[other].shut {
            return;
        }
        // Nothing is under way to the one who stays.
        let settled = self.run_until(PATIENCE, |wire, apps| {
            let (sent, shut) = (apps[who].sent, apps[who].shut);
            while apps[other].recv(wire, 65_536, sent) {}
            apps[other].received == sent && apps[other].at_end == shut
        });
        assert!(settled, "{} of {} bytes arrived", self.apps[other].received, self.apps[who].sent);
        let closer = (self.apps[who].host, self.apps[who].id.unwrap());
        let arrives = self.run_until(PATIENCE, |wire, apps| {
            if apps[other].sent == apps[who].received {
                apps[other].send(wire, 1000);
            }
            wire[closer.0].recv_queue(closer.1) > 0
        });
        assert!(arrives, "nothing arrives");
        self.close(who);
        let (host, id) = (self.apps[other].host, self.apps[other].id.unwrap());
        let told = self.run_until(Duration::from_secs(1), |wire, _| wire[host].readiness(id).write_closed);
        assert!(told, "no reset");
        let sent = self.apps[who].sent;
        while self.apps[other].recv(&mut self.wire, 65_536, sent) {}
        // Behind the end of the stream it is no error to a reader, as in Linux.
        assert_eq!(self.apps[other].failed.is_some(), !self.apps[who].shut);
    }

    /// Both go on by events alone, until nobody waits for the other any more.
    fn finish(&mut self, more: usize) {
        let (closed, torn) = (self.apps.iter().any(|app| app.closed), self.is_torn());
        for app in &mut self.apps {
            app.wants = if closed { 0 } else { more };
        }
        let done = self.run_until(PATIENCE, |wire, apps| {
            let sent = [apps[0].sent, apps[1].sent];
            apps[0].act(wire, sent[1]);
            apps[1].act(wire, sent[0]);
            // A reset is said once. Who missed it, or whose challenge was lost (RFC 5961 section 3.2), and has nothing
            // more to say waits for ever, as it would for a peer that has nothing to say (RFC 9293 section 3.5.1). The
            // server's side of what the client gave up at once there may never have been.
            let silent =
                |app: &App| torn && app.shut && app.id.is_none_or(|id| wire[app.host].has_delivered(id));
            apps.iter().all(|app| app.is_done() || silent(app) || (app.id.is_none() && closed))
        });
        assert!(done, "somebody waits: {:?}\n{}", self.apps, self.wire.show());
        self.check();
        let [client, server] = &self.apps;
        if !closed {
            assert_eq!((client.received, server.received), (server.sent, client.sent));
        }
    }

    /// Nothing is left: no connection, nothing to send, and in the end not even TIME-WAIT.
    fn leave(&mut self) {
        self.wire.close(self.apps[1].host, self.listener);
        let mut ports = Vec::new();
        for app in &mut self.apps {
            ports.extend(app.id.and_then(|id| Some((app.host, self.wire[app.host].local_address(id).ok()?))));
            app.close(&mut self.wire);
        }
        self.wire.run(PATIENCE);
        for app in &self.apps {
            let engine = &self.wire[app.host];
            assert!(!engine.has_orphans() && engine.is_flushed(), "{}", self.wire.show());
            assert_eq!(engine.counters().contained_panics, 0);
        }
        // RFC 9293 section 3.6.1, 60 s as in Linux. Only what is not there any more has given its port back.
        self.wire.run(Duration::from_secs(61));
        ports.push((self.apps[1].host, self.server.parse().unwrap()));
        for (host, address) in ports {
            let id = self.wire.open(host, Kind::Stream, address);
            assert_eq!(self.wire[host].bind(id, address), Ok(()), "{address}");
            self.wire.close(host, id);
        }
        self.wire.run(PATIENCE);
        for app in &self.apps {
            assert_eq!(self.wire[app.host].poll_timeout(), None, "a timer without a connection");
        }
    }
}

fn run(case: &Case) {
    let mut talk = Talk::new(case);
    for step in &case.steps {
        talk.step(step);
        talk.check();
    }
    // From now on the wire is honest; what is late is still to come.
    talk.wire.weather = Box::new(|_| Fate::Arrives);
    talk.wire.record.clear();
    let more = match case.ending {
        Ending::Orderly(more) => more,
        Ending::Unread(who) => {
            talk.resets(who);
            0
        }
    };
    talk.finish(more);
    talk.leave();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_over_any_wire(case in case()) {
        run(&case);
    }
}
