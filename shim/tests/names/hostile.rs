//! A name server that lies, against the resolver: nothing panics, nothing grows, nothing forged is believed, and an honest
//! question afterwards is answered at once.

use crate::messages::{A, ASKED, CNAME, a, asked, is_a, name, question_end, record, reply};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use ioth::Stack;
use ioth::net::{TcpListener, TcpStream, UdpSocket};

const HONEST: [u8; 4] = [10, 0, 0, 80];
const FORGED: [u8; 4] = [10, 6, 6, 6];

/// Who says something.
#[derive(Clone, Copy)]
enum From {
    Server,
    OtherPort,
    OtherAddress,
}

/// What is said to a question over UDP.
type Said = Vec<(From, Vec<u8>)>;

/// What is done with a connection that asks.
#[derive(Clone, Copy)]
enum Connection {
    Close,
    Silence,
    /// A byte now and then, for ever.
    Drip,
    /// A message shorter than its length says.
    Short,
    Answer(fn(&[u8]) -> Vec<u8>),
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// The honest answer is found behind the forged ones.
    Honest,
    Error,
    /// So many addresses.
    Many(usize),
}

struct Case {
    what: &'static str,
    udp: fn(&[u8]) -> Said,
    tcp: Connection,
    outcome: Outcome,
}

fn honest(question: &[u8]) -> (From, Vec<u8>) {
    // Only for addresses of IPv4.
    let records = if is_a(question) { vec![a(HONEST)] } else { Vec::new() };
    (From::Server, reply(question, &records))
}

fn server(message: Vec<u8>) -> Said {
    vec![(From::Server, message)]
}

/// One record, or the message, changed after it was made.
fn one(question: &[u8], record: Vec<u8>) -> Said {
    server(reply(question, &[record]))
}

fn forged_with(question: &[u8], change: fn(&mut Vec<u8>)) -> Said {
    let mut forged = reply(question, &[a(FORGED)]);
    change(&mut forged);
    vec![(From::Server, forged), honest(question)]
}

fn from_elsewhere(question: &[u8], from: From) -> Said {
    vec![(from, reply(question, &[a(FORGED)])), honest(question)]
}

fn cut(question: &[u8]) -> Said {
    let mut message = reply(question, &[]);
    message[2] |= 2;
    server(message)
}

fn length_lie(question: &[u8], len: u16) -> Said {
    let mut record = a(FORGED);
    record[10..12].copy_from_slice(&len.to_be_bytes());
    one(question, record)
}

fn counts(question: &[u8], at: usize) -> Said {
    let mut message = reply(question, &[a(FORGED)]);
    message[at..at + 2].copy_from_slice(&[0xff, 0xff]);
    server(message)
}

fn cases() -> Vec<Case> {
    let case = |what, outcome, udp| Case { what, udp, tcp: Connection::Close, outcome };
    let error = |what, udp| case(what, Outcome::Error, udp);
    let forged = |what, udp| case(what, Outcome::Honest, udp);
    let over_tcp = |what, tcp, outcome| Case { what, udp: cut, tcp, outcome };
    vec![
        error("a pointer to itself", |q| {
            let here = question_end(q) as u8;
            one(q, record(&[0xc0, here], A, &FORGED))
        }),
        error("a pointer in a circle", |q| {
            let here = question_end(q) as u8;
            one(q, record(&[1, b'a', 0xc0, here], A, &FORGED))
        }),
        error("a pointer ahead", |q| one(q, record(&[0xc0, 120], A, &[&FORGED[..], &[0; 90]].concat()))),
        error("a pointer outside", |q| one(q, record(&[0xff, 0xff], A, &FORGED))),
        error("a label of 64 bytes", |q| {
            one(q, record(&[&[64][..], &[b'a'; 64], &[0]].concat(), A, &FORGED))
        }),
        error("a name of 321 bytes", |q| {
            let owner = [[&[63][..], &[b'a'; 63]].concat().repeat(5), vec![0]].concat();
            one(q, record(&owner, A, &FORGED))
        }),
        error("a record of no bytes", |q| length_lie(q, 0)),
        error("a record of three bytes", |q| length_lie(q, 3)),
        error("a record of five bytes", |q| length_lie(q, 5)),
        error("a record of 65535 bytes", |q| length_lie(q, 65535)),
        forged("from another port", |q| from_elsewhere(q, From::OtherPort)),
        forged("from another address", |q| from_elsewhere(q, From::OtherAddress)),
        forged("another number", |q| forged_with(q, |message| message[0] ^= 1)),
        forged("another question", |q| forged_with(q, |message| message[14] = b'z')),
        forged("another type", |q| {
            forged_with(q, |message| {
                let end = question_end(message);
                message[end - 3] ^= 2;
            })
        }),
        forged("no answer at all", |q| forged_with(q, |message| message[2] &= 0x7f)),
        forged("two questions", |q| forged_with(q, |message| message[5] = 2)),
        forged("an empty datagram", |q| vec![(From::Server, Vec::new()), honest(q)]),
        forged("half a header", |q| vec![(From::Server, q[..7].to_vec()), honest(q)]),
        forged("zeros", |q| vec![(From::Server, vec![0; 1232]), honest(q)]),
        forged("ones", |q| vec![(From::Server, vec![0xff; 1232]), honest(q)]),
        forged("a record about somebody else", |q| {
            let other = record(&name("bank.example"), A, &FORGED);
            let own = if is_a(q) { a(HONEST) } else { other.clone() };
            server(reply(q, &[other, own]))
        }),
        error("an alias of itself", |q| one(q, record(&ASKED, CNAME, &ASKED))),
        error("aliases in a circle", |q| {
            let there = record(&ASKED, CNAME, &name("b.example"));
            server(reply(q, &[there, record(&name("b.example"), CNAME, &ASKED)]))
        }),
        error("no answers", |q| server(reply(q, &[]))),
        error("65535 answers announced", |q| counts(q, 6)),
        error("65535 authorities announced", |q| counts(q, 8)),
        error("65535 questions announced", |q| counts(q, 4)),
        over_tcp("cut, and nobody there over TCP", Connection::Close, Outcome::Error),
        over_tcp("cut, and silence over TCP", Connection::Silence, Outcome::Error),
        over_tcp("cut, and a byte now and then over TCP", Connection::Drip, Outcome::Error),
        over_tcp("cut, and half a message over TCP", Connection::Short, Outcome::Error),
        over_tcp("cut over TCP, too", Connection::Answer(|q| cut(q).remove(0).1), Outcome::Error),
        over_tcp(
            "another answer over TCP",
            Connection::Answer(|q| forged_with(q, |m| m[0] ^= 1).remove(0).1),
            Outcome::Error,
        ),
        over_tcp(
            "a thousand answers over TCP",
            Connection::Answer(|q| thousand(q, 1000)),
            Outcome::Many(1000),
        ),
        over_tcp("four thousand answers over TCP", Connection::Answer(|q| thousand(q, 4000)), Outcome::Error),
        // A guesser is not listened to for long: the question is asked over TCP.
        Case {
            what: "a flood of guesses",
            udp: |q| {
                let guess = |id: u16| {
                    let mut message = reply(q, &[a(FORGED)]);
                    message[..2].copy_from_slice(&(u16::from_be_bytes([q[0], q[1]]) ^ id).to_be_bytes());
                    (From::Server, message)
                };
                (1..500).map(guess).collect()
            },
            tcp: Connection::Answer(|q| honest(q).1),
            outcome: Outcome::Honest,
        },
        // Each answer is an alias that is to be asked for.
        error("aliases without end", |q| {
            let name = asked(q);
            let (count, rest) = match name.strip_prefix('x').and_then(|name| name.split_once('.')) {
                Some((count, rest)) => (count.parse().unwrap_or(0), rest),
                None => (0, name.as_str()),
            };
            one(q, record(&ASKED, CNAME, &self::name(&format!("x{}.{rest}", count + 1u32))))
        }),
    ]
}

fn thousand(question: &[u8], count: u16) -> Vec<u8> {
    let records: Vec<_> = (0..count).map(|at| a([10, 1, (at >> 8) as u8, at as u8])).collect();
    reply(question, if is_a(question) { &records } else { &[] })
}

/// The case that a question is for: its name is `N.hostile.example`, or something in front of it.
fn case_of(question: &[u8]) -> Option<usize> {
    let name = asked(question);
    let rest = name.strip_suffix(".hostile.example")?;
    rest.rsplit('.').next()?.parse().ok()
}

/// Serves until the stack is shut down.
fn serve(stack: &Stack) -> std::io::Result<()> {
    let socket = UdpSocket::bind(stack, "10.0.0.53:53")?;
    let other_port = UdpSocket::bind(stack, "10.0.0.53:5353")?;
    let other_address = UdpSocket::bind(stack, "10.0.0.54:53")?;
    let listener = TcpListener::bind(stack, "10.0.0.53:53")?;
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(move || converse(stream));
        }
    });
    thread::spawn(move || {
        let cases = cases();
        let mut buffer = [0; 4096];
        while let Ok((len, client)) = socket.recv_from(&mut buffer) {
            let question = &buffer[..len];
            let said = match case_of(question).and_then(|at| cases.get(at)) {
                Some(case) => (case.udp)(question),
                None => vec![honest(question)],
            };
            for (from, message) in said {
                let from = match from {
                    From::Server => &socket,
                    From::OtherPort => &other_port,
                    From::OtherAddress => &other_address,
                };
                let _ = from.send_to(&message, client);
            }
        }
    });
    Ok(())
}

fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut question = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut question)?;
    let what = case_of(&question).and_then(|at| Some(cases().get(at)?.tcp)).unwrap_or(Connection::Close);
    match what {
        Connection::Close => Ok(()),
        Connection::Silence => stream.read(&mut len).map(drop),
        Connection::Drip => {
            stream.set_read_timeout(Some(Duration::from_millis(30)))?;
            stream.write_all(&[0xff, 0xff])?;
            // Until the other side closes.
            while stream.read(&mut len).is_err() {
                stream.write_all(&[0])?;
            }
            Ok(())
        }
        Connection::Short => {
            let message = honest(&question).1;
            stream.write_all(&[&[0xff, 0xff][..], &message].concat())
        }
        Connection::Answer(answer) => {
            let message = answer(&question);
            let len = u16::try_from(message.len()).expect("it fits");
            stream.write_all(&[&len.to_be_bytes()[..], &message].concat())
        }
    }
}

/// The most memory that the process has had, in KiB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_server_that_lies_is_survived() -> std::io::Result<()> {
    let theirs = Stack::new("switch://hostile-names", "ip=10.0.0.53/24,ip=10.0.0.54/24")?;
    let ours = Stack::new(
        "switch://hostile-names",
        "ip=10.0.0.1/24,dns=10.0.0.53,resolve=timeout:400ms attempts:1",
    )?;
    serve(&theirs)?;
    assert_eq!(ours.resolve("warm.example.")?, [IpAddr::from(HONEST)]);
    let before = most_memory();
    for (at, case) in cases().iter().enumerate() {
        let start = Instant::now();
        let found = ours.resolve(&format!("{at}.hostile.example."));
        let took = start.elapsed();
        match (&found, case.outcome) {
            (Ok(found), Outcome::Honest) => assert_eq!(*found, [IpAddr::from(HONEST)], "{}", case.what),
            (Ok(found), Outcome::Many(count)) => assert_eq!(found.len(), count, "{}", case.what),
            (Err(_), Outcome::Error) => {}
            _ => panic!("{}: {found:?}, not {:?}", case.what, case.outcome),
        }
        // One time for UDP, one for TCP, for each of two questions.
        assert!(took < Duration::from_secs(2), "{}: {took:?}", case.what);
        let start = Instant::now();
        let honest = ours.resolve(&format!("after-{at}.example."));
        assert_eq!(honest?, [IpAddr::from(HONEST)], "after {}", case.what);
        assert!(start.elapsed() < Duration::from_secs(1), "after {}: {:?}", case.what, start.elapsed());
        println!("{took:>12.1?} {:<40} {found:.60?}", case.what);
    }
    // Nothing that was slipped in has stayed.
    assert_eq!(ours.resolve("bank.example.")?, [IpAddr::from(HONEST)]);
    let grown = most_memory() - before;
    assert!(grown < 32 << 10, "{grown} KiB more");
    let address: SocketAddr = "10.0.0.53:53".parse().expect("a literal");
    assert!(
        ours.snapshot()?.sockets.iter().all(|socket| socket.id.is_none() || socket.remote != Some(address))
    );
    theirs.shutdown(Duration::from_secs(1))?;
    Ok(())
}
