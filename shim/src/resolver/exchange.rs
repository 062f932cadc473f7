//! Questions and answers over the stack's sockets: UDP, and TCP for what is cut or in doubt.
//!
//! Every exchange has a socket of its own, and so a random port of its own (RFC 5452 section 9.2). Everything in it ends at
//! the deadline, whatever the server sends.

use super::answer::Answer;
use super::question::{Carrier, Question, Verdict};
use crate::net::{TcpStream, UdpSocket};
use crate::stack::Stack;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Why a server gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Nothing came in time, or nothing could be sent.
    Silent,
    /// It cannot say; whether it may later.
    Failed {
        /// By its own account.
        later: bool,
    },
}

/// So many datagrams that are not the answer to a question are too many to go on: somebody is guessing.
const STRANGERS: u32 = 64;

/// A question and what has become of it.
struct Asked {
    question: Question,
    fate: Fate,
}

enum Fate {
    Open,
    OverTcp,
    Done(Result<Answer, Lack>),
}

/// Asks a server, all questions at once; the results are in their order.
pub(super) fn ask(
    stack: &Stack,
    server: SocketAddr,
    questions: impl Iterator<Item = Question>,
    timeout: Duration,
) -> Vec<Result<Answer, Lack>> {
    let mut asked: Vec<_> = questions.map(|question| Asked { question, fate: Fate::Open }).collect();
    // What went wrong on the way is the server's silence.
    let _ = over_udp(stack, server, &mut asked, Instant::now() + timeout);
    let over_tcp = |asked: Asked| match asked.fate {
        Fate::Done(result) => result,
        Fate::Open => Err(Lack::Silent),
        Fate::OverTcp => over_tcp(stack, server, &asked.question, timeout),
    };
    asked.into_iter().map(over_tcp).collect()
}

fn over_udp(stack: &Stack, server: SocketAddr, asked: &mut [Asked], deadline: Instant) -> io::Result<()> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Bound first: that port is random. From connect on the socket hears the server only.
    let socket = UdpSocket::bind(stack, SocketAddr::new(any, 0))?;
    socket.connect(server)?;
    for asked in &*asked {
        socket.send(&message(&asked.question)?)?;
    }
    let mut strangers = 0;
    let mut buffer = vec![0; 65536];
    while asked.iter().any(|asked| matches!(asked.fate, Fate::Open)) {
        socket.set_read_timeout(Some(until(deadline)?))?;
        let len = match socket.recv(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            received => received?,
        };
        let open = asked.iter_mut().filter(|asked| matches!(asked.fate, Fate::Open));
        let fits = open
            .map(|asked| (asked.question.judge(&buffer[..len], Carrier::Datagram), asked))
            .find(|(verdict, _)| !matches!(verdict, Verdict::Foreign));
        let Some((verdict, asked_for)) = fits else {
            strangers += 1;
            if strangers > STRANGERS {
                let open = asked.iter_mut().filter(|asked| matches!(asked.fate, Fate::Open));
                open.for_each(|asked| asked.fate = Fate::OverTcp);
            }
            continue;
        };
        match verdict {
            Verdict::Foreign => {}
            Verdict::OverTcp => asked_for.fate = Fate::OverTcp,
            Verdict::WithoutEdns => {
                asked_for.question = asked_for.question.without_edns();
                socket.send(&message(&asked_for.question)?)?;
            }
            Verdict::Failed { later } => asked_for.fate = Fate::Done(Err(Lack::Failed { later })),
            Verdict::Answer(answer) => asked_for.fate = Fate::Done(Ok(answer)),
        }
    }
    Ok(())
}

fn over_tcp(
    stack: &Stack,
    server: SocketAddr,
    question: &Question,
    timeout: Duration,
) -> Result<Answer, Lack> {
    let deadline = Instant::now() + timeout;
    let once = |question: &Question| {
        let answer = converse(stack, server, question, deadline).map_err(|_| Lack::Silent)?;
        Ok(question.judge(&answer, Carrier::Connection))
    };
    let mut verdict = once(question)?;
    if matches!(verdict, Verdict::WithoutEdns) {
        verdict = once(&question.without_edns())?;
    }
    match verdict {
        Verdict::Answer(answer) => Ok(answer),
        Verdict::Failed { later } => Err(Lack::Failed { later }),
        Verdict::Foreign | Verdict::OverTcp | Verdict::WithoutEdns => Err(Lack::Failed { later: false }),
    }
}

/// A message there and one back; in front of each stands its length (RFC 1035 section 4.2.2).
fn converse(
    stack: &Stack,
    server: SocketAddr,
    question: &Question,
    deadline: Instant,
) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(stack, &server, until(deadline)?)?;
    let message = message(question)?;
    let len = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.set_write_timeout(Some(until(deadline)?))?;
    // In one piece: there are servers that read no further (RFC 7766 section 8).
    stream.write_all(&[&len.to_be_bytes()[..], &message].concat())?;
    let mut len = [0; 2];
    read_exact(&mut stream, &mut len, deadline)?;
    let mut answer = vec![0; u16::from_be_bytes(len).into()];
    read_exact(&mut stream, &mut answer, deadline)?;
    Ok(answer)
}

/// Fills the buffer before the deadline, however slowly the bytes come.
fn read_exact(stream: &mut TcpStream, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(until(deadline)?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => buffer = &mut buffer[len..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The time that is left; an error when there is none.
fn until(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn message(question: &Question) -> io::Result<Vec<u8>> {
    question.to_message().map_err(io::Error::other)
}
