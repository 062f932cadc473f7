//! Servers with ways of their own: slow, broken, old, or several.

use crate::messages::{ASKED, CNAME, SOA, a, asked, is_a, name, record, reply};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ioth::Stack;
use ioth::net::{TcpListener, TcpStream, UdpSocket};

/// What was asked, in order; over TCP with a mark.
type Log = Arc<Mutex<Vec<String>>>;

/// Answers one kind of question.
type Answer = fn(&[u8], usize) -> Option<Vec<u8>>;

/// Two stacks; on one of them servers.
struct World {
    ours: Stack,
    theirs: Stack,
}

impl World {
    fn new(switch: &str, config: &str) -> io::Result<Self> {
        let vnl = format!("switch://names-{switch}");
        let theirs = Stack::new(&vnl, "ip=10.0.0.53/24,ip=10.0.0.54/24,ip=fd00::53/64")?;
        let ours = Stack::new(&vnl, &format!("ip=10.0.0.1/24,ip=fd00::1/64,{config}"))?;
        Ok(Self { ours, theirs })
    }

    /// Has `answer` told every question, and how many came before it.
    fn serve(&self, address: &str, answer: Answer) -> io::Result<Log> {
        let log = Log::default();
        let address = SocketAddr::new(address.parse().expect("a literal"), 53);
        let socket = UdpSocket::bind(&self.theirs, address)?;
        let listener = TcpListener::bind(&self.theirs, address)?;
        let noted = {
            let log = Arc::clone(&log);
            move |question: &[u8], mark: &str| {
                let mut log = log.lock().expect("nobody panics with it");
                log.push(format!("{mark}{}", asked(question)));
                log.len() - 1
            }
        };
        let noted_over_tcp = noted.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((len, client)) = socket.recv_from(&mut buffer) {
                let question = &buffer[..len];
                if let Some(answer) = answer(question, noted(question, "")) {
                    let _ = socket.send_to(&answer, client);
                }
            }
        });
        thread::spawn(move || -> io::Result<()> {
            loop {
                let (mut stream, _) = listener.accept()?;
                let mut len = [0; 2];
                stream.read_exact(&mut len)?;
                let mut question = vec![0; u16::from_be_bytes(len).into()];
                stream.read_exact(&mut question)?;
                if let Some(answer) = answer(&question, noted_over_tcp(&question, "tcp ")) {
                    let len = u16::try_from(answer.len()).expect("it fits");
                    stream.write_all(&[&len.to_be_bytes()[..], &answer].concat())?;
                }
            }
        });
        Ok(log)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Its servers end with it.
        let _ = self.theirs.shutdown(Duration::ZERO);
    }
}

fn ip(last: u8) -> IpAddr {
    [10, 1, 0, last].into()
}

/// The address that a name has which begins with its last byte: `n7.example`.
fn numbered(question: &[u8], _: usize) -> Option<Vec<u8>> {
    let name = asked(question);
    let number = name.strip_prefix('n').and_then(|name| name.split('.').next()?.parse().ok());
    Some(reply(question, &if is_a(question) { vec![a([10, 1, 0, number?])] } else { vec![] }))
}

/// As a server that fails, with this code.
fn failing(question: &[u8], code: u8) -> Option<Vec<u8>> {
    let mut message = reply(question, &[]);
    message[3] |= code;
    Some(message)
}

fn logged(log: &Log) -> Vec<String> {
    log.lock().expect("nobody panics with it").clone()
}

#[test]
fn a_server_that_does_not_know_edns() -> io::Result<()> {
    let world = World::new("edns", "dns=10.0.0.53")?;
    let log = world.serve("10.0.0.53", |question, count| {
        if question[11] != 0 { failing(question, 1) } else { numbered(question, count) }
    })?;
    assert_eq!(world.ours.resolve("n7.example")?, [ip(7)]);
    assert_eq!(logged(&log).len(), 4, "each kind of address twice");
    Ok(())
}

#[test]
fn a_server_that_fails_is_passed_by() -> io::Result<()> {
    for code in [2, 4, 5] {
        let world = World::new(&format!("fails-{code}"), "dns=10.0.0.53,dns=10.0.0.54")?;
        world.serve(
            "10.0.0.53",
            match code {
                2 => |question, _| failing(question, 2),
                4 => |question, _| failing(question, 4),
                _ => |question, _| failing(question, 5),
            },
        )?;
        let other = world.serve("10.0.0.54", numbered)?;
        assert_eq!(world.ours.resolve("n7.example")?, [ip(7)]);
        world.ours.configure("-dns=10.0.0.54")?;
        let start = Instant::now();
        let error = world.ours.resolve("n8.example").unwrap_err();
        let wanted = if code == 2 { "cannot tell now" } else { "no proper answer" };
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(start.elapsed() < Duration::from_secs(1), "nobody waits for it");
        assert_eq!(logged(&other).len(), 2);
    }
    Ok(())
}

#[test]
fn a_question_that_was_lost_is_asked_again() -> io::Result<()> {
    let world = World::new("lost", "dns=10.0.0.53,resolve=timeout:100ms attempts:2")?;
    let log = world.serve(
        "10.0.0.53",
        |question, count| {
            if count < 2 { None } else { numbered(question, count) }
        },
    )?;
    assert_eq!(world.ours.resolve("n7.example")?, [ip(7)]);
    assert_eq!(logged(&log).len(), 4);
    Ok(())
}

#[test]
fn one_kind_of_address_is_enough() -> io::Result<()> {
    let world = World::new("half", "dns=10.0.0.53,resolve=timeout:100ms attempts:1")?;
    world.serve(
        "10.0.0.53",
        |question, count| if is_a(question) { numbered(question, count) } else { None },
    )?;
    assert_eq!(world.ours.resolve("n7.example")?, [ip(7)]);
    Ok(())
}

#[test]
fn a_server_that_changes_the_case_is_asked_over_tcp() -> io::Result<()> {
    let world = World::new("case", "dns=10.0.0.53")?;
    let log = world.serve("10.0.0.53", |question, count| {
        let mut lower = question.to_vec();
        lower[12..].make_ascii_lowercase();
        numbered(&lower, count)
    })?;
    // Long enough that some letter is a capital.
    let name = "n7.a-rather-long-name-for-a-host.example";
    assert_eq!(world.ours.resolve(name)?, [ip(7)]);
    assert!(logged(&log).contains(&format!("tcp {name}")), "{:?}", logged(&log));
    Ok(())
}

#[test]
fn an_alias_that_the_server_does_not_follow() -> io::Result<()> {
    let world = World::new("alias", "dns=10.0.0.53")?;
    world.serve("10.0.0.53", |question, count| {
        if asked(question).starts_with("alias") {
            return Some(reply(question, &[record(&ASKED, CNAME, &name("n7.example"))]));
        }
        numbered(question, count)
    })?;
    assert_eq!(world.ours.resolve("alias.example")?, [ip(7)]);
    Ok(())
}

#[test]
fn servers_take_turns() -> io::Result<()> {
    let world = World::new("turns", "dns=10.0.0.53,dns=fd00::53,dns=10.0.0.54,resolve=rotate")?;
    let logs = [
        world.serve("10.0.0.53", numbered)?,
        world.serve("10.0.0.54", numbered)?,
        world.serve("fd00::53", numbered)?,
    ];
    for number in 0..6 {
        assert_eq!(world.ours.resolve(&format!("n{number}.example"))?, [ip(number)]);
    }
    let counts = logs.map(|log| logged(&log).len());
    assert_eq!(counts, [4, 4, 4]);
    Ok(())
}

#[test]
fn threads_share_what_is_known() -> io::Result<()> {
    let world = World::new("threads", "dns=10.0.0.53")?;
    let log = world.serve("10.0.0.53", numbered)?;
    thread::scope(|scope| {
        let ask = || {
            for number in 0..100 {
                let found = world.ours.resolve(&format!("n{number}.example"));
                assert_eq!(found.expect("it is there"), [ip(number)]);
            }
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    let before = logged(&log).len();
    for number in 0..100 {
        assert_eq!(world.ours.resolve(&format!("N{number}.Example."))?, [ip(number)]);
    }
    let addresses_again = logged(&log).len() - before;
    // That there are no IPv6 addresses nobody vouched for, so that is asked each time.
    assert_eq!(addresses_again, 100);
    Ok(())
}

#[test]
fn that_there_is_none_is_known_until_the_servers_change() -> io::Result<()> {
    let world = World::new("denied", "dns=10.0.0.53")?;
    let log = world.serve("10.0.0.53", |question, _| {
        let numbers = [1u32, 2, 3, 4, 60].map(u32::to_be_bytes).concat();
        let zone =
            record(&name("example"), SOA, &[name("ns.example"), name("root.example"), numbers].concat());
        let mut message = failing(question, 3)?;
        message[9] = 1;
        message.extend(zone);
        Some(message)
    })?;
    world.serve("10.0.0.54", numbered)?;
    for _ in 0..3 {
        let error = world.ours.resolve("n7.example").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }
    // As it is, and once for each kind of address.
    assert_eq!(logged(&log), ["n7.example", "n7.example"]);
    world.ours.configure("-dns,dns=10.0.0.54")?;
    assert_eq!(world.ours.resolve("n7.example")?, [ip(7)]);
    Ok(())
}

#[test]
fn sockets_take_names() -> io::Result<()> {
    let world = World::new("sockets", "dns=10.0.0.53,domain=example")?;
    world.serve("10.0.0.53", |question, _| {
        let own = if is_a(question) { vec![a([10, 0, 0, 99]), a([10, 0, 0, 54])] } else { vec![] };
        Some(reply(question, &own))
    })?;
    let listener = TcpListener::bind(&world.theirs, "10.0.0.54:80")?;
    let peer = UdpSocket::bind(&world.theirs, "10.0.0.99:9");
    assert!(peer.is_err(), "nobody has the first address");
    world.theirs.configure("ip=10.0.0.99/24")?;
    // At the first address nobody listens.
    let stream = TcpStream::connect(&world.ours, "www:80")?;
    assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    TcpStream::connect(&world.ours, ("www.example".to_owned(), 80))?;
    let peer = UdpSocket::bind(&world.theirs, "10.0.0.99:9")?;
    let socket = UdpSocket::bind(&world.ours, "0.0.0.0:0")?;
    socket.send_to(b"word", "www:9")?;
    assert_eq!(peer.recv(&mut [0; 9])?, 4);
    socket.connect(("www", 9))?;
    assert_eq!(socket.peer_addr()?, peer.local_addr()?);
    let error = TcpStream::connect(&world.ours, "www").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    Ok(())
}
