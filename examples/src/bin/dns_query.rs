//! A protocol crate on top of both transports: a DNS question over UDP, over TCP when the answer is cut.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use ioth::Stack;
use ioth::net::{TcpStream, UdpSocket};
use ioth_examples::StackArg;

const PATIENCE: Duration = Duration::from_secs(2);

/// Asks a name server and prints its answers.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration (dns=ADDRESS names a server)
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// The name server; without it, the one the stack knows
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    server: Option<String>,
    /// Ask over TCP at once
    #[arg(long)]
    tcp: bool,
    /// What to look up
    name: Name,
    /// A, AAAA, MX, TXT, …
    #[arg(default_value = "A")]
    kind: RecordType,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let stack = args.stack.open()?;
    let server = server(&stack, args.server.as_deref())?;

    let mut name = args.name;
    name.set_fqdn(true); // As in a message: no search in domains.
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, args.kind));
    let mut answer = if args.tcp { None } else { Some(over_udp(&stack, server, &question)?) };
    if answer.as_ref().is_none_or(|answer| answer.metadata.truncation) {
        answer = Some(over_tcp(&stack, server, &question)?);
    }
    let answer = answer.context("no answer")?;

    for record in &answer.answers {
        println!("{record}");
    }
    ensure!(answer.metadata.response_code == ResponseCode::NoError, "{}", answer.metadata.response_code);
    ensure!(!answer.answers.is_empty(), "the name exists, without such records");
    Ok(())
}

fn server(stack: &Stack, given: Option<&str>) -> anyhow::Result<SocketAddr> {
    let address: IpAddr = match given {
        Some(text) => match text.parse() {
            Ok(server) => return Ok(server),
            Err(_) => text.parse().with_context(|| format!("{text} is no address"))?,
        },
        None if stack.is_kernel() => {
            let file = fs::read_to_string("/etc/resolv.conf")?;
            let mut servers =
                file.lines().filter_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok());
            servers.next().context("no nameserver in /etc/resolv.conf: name one with --server")?
        }
        None => {
            *stack.nameservers().first().context("the stack knows no name server: name one with --server")?
        }
    };
    Ok(SocketAddr::new(address, 53))
}

/// Asks up to three times: datagrams may be lost.
fn over_udp(stack: &Stack, server: SocketAddr, question: &Message) -> anyhow::Result<Message> {
    let socket = UdpSocket::bind(stack, if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(server)?; // From now on it hears that server only.
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 65536];
    for _ in 0..3 {
        socket.send(&question.to_vec()?)?;
        while let Ok(len) = socket.recv(&mut buffer) {
            match parse(&buffer[..len], question) {
                Ok(answer) => return Ok(answer),
                Err(error) => eprintln!("ignored: {error}"),
            }
        }
    }
    bail!("{server} does not answer")
}

/// Over TCP each message has its length before it (RFC 1035, 4.2.2).
fn over_tcp(stack: &Stack, server: SocketAddr, question: &Message) -> anyhow::Result<Message> {
    let mut stream = TcpStream::connect_timeout(stack, &server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let message = question.to_vec()?;
    stream.write_all(&[&u16::try_from(message.len())?.to_be_bytes()[..], &message].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut message)?;
    parse(&message, question)
}

/// An answer counts when it is one to our question.
fn parse(bytes: &[u8], question: &Message) -> anyhow::Result<Message> {
    let answer = Message::from_vec(bytes)?;
    ensure!(answer.metadata.id == question.metadata.id, "the answer to another question");
    ensure!(answer.queries == question.queries, "the answer repeats another question");
    Ok(answer)
}
