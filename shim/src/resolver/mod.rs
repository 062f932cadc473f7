//! Name resolution over a stack: a stub resolver (RFC 1034 section 5.3.1) whose questions travel over the stack's own
//! sockets, to the name servers that the stack knows.
//!
//! | file | what it is for |
//! |---|---|
//! | `names.rs` | [`Stack::resolve`], [`Stack::reverse`] |
//! | `gai.rs`, `addrinfo.rs`, `nameinfo.rs`, `literal.rs`, `services.rs` | getaddrinfo(3) and getnameinfo(3) |
//! | `hostent.rs` | gethostbyname(3) and gethostbyaddr(3), by the two above |
//! | `search.rs`, `hosts.rs` | from a text to names; names that nobody is asked for |
//! | `servers.rs`, `cache.rs` | whom to ask first, and what is known already |
//! | `question.rs`, `answer.rs` | which message is the answer to a question, and what it says |
//! | `exchange.rs` | questions over UDP and TCP |
//!
//! Everything but `exchange.rs` is without I/O, and the lock of a [`Resolver`] is never held while something waits.

mod addrinfo;
mod answer;
mod cache;
mod exchange;
mod failure;
mod gai;
mod hostent;
mod hosts;
mod literal;
mod nameinfo;
mod names;
mod question;
mod search;
mod servers;
mod services;

pub use addrinfo::{AddrInfo, Hints, getaddrinfo};
pub use gai::GaiError;
pub use hostent::{HostEntry, gethostbyaddr, gethostbyname, gethostbyname2};
pub use nameinfo::getnameinfo;

use crate::stack::Stack;
use answer::{ALIASES, Answer, Content};
use cache::Cache;
use exchange::Lack;
use failure::Failure;
use hickory_proto::rr::Name;
use ioth_stack::Config;
use parking_lot::Mutex;
use question::{Kind, Question};
use servers::Servers;
use std::net::IpAddr;
use std::time::Instant;

/// The port of name servers (RFC 1035 section 4.2).
const PORT: u16 = 53;

/// What a stack remembers about names and servers; shared by its handles.
#[derive(Debug, Default)]
pub(crate) struct Resolver(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    cache: Cache,
    servers: Servers,
}

/// A look-up: the stack, what it remembers, and how it is configured.
struct Lookup<'a> {
    stack: &'a Stack,
    memory: &'a Mutex<Memory>,
    config: &'a Config,
}

impl Lookup<'_> {
    /// What a name has, of each kind; at least one is an answer that has something, or all say that there is nothing.
    fn ask(&self, name: &Name, kinds: &[Kind]) -> Result<Vec<Answer>, Failure> {
        let mut answers = Vec::new();
        let mut worst = None;
        for (kind, result) in kinds.iter().zip(self.ask_servers(name, kinds)) {
            match result.and_then(|answer| self.follow(answer, *kind)) {
                Ok(answer) => answers.push(answer),
                Err(failure) => worst = Some(failure),
            }
        }
        let has = |answer: &Answer| matches!(answer.content, Content::Addresses(_) | Content::Names(_));
        match worst {
            // The name does not exist, whatever it was to be asked for.
            Some(failure)
                if !answers.iter().any(|answer| has(answer) || answer.content == Content::NoName) =>
            {
                Err(failure)
            }
            _ => Ok(answers),
        }
    }

    /// Asks on where a server did not look behind an alias.
    fn follow(&self, mut answer: Answer, kind: Kind) -> Result<Answer, Failure> {
        for _ in 0..ALIASES {
            if answer.content != Content::Alias {
                return Ok(answer);
            }
            let mut next = self.ask_servers(&answer.canonical, &[kind]);
            answer = next.pop().ok_or(Failure::Never)??;
        }
        Err(Failure::Never)
    }

    /// Asks the servers in turn, for all kinds at once, until there is an answer for each, or no hope.
    fn ask_servers(&self, name: &Name, kinds: &[Kind]) -> Vec<Result<Answer, Failure>> {
        let settings = self.config.resolve.unwrap_or_default();
        let addresses = self.stack.nameserver_addresses(PORT);
        let (mut results, order) = {
            let mut memory = self.memory.lock();
            if memory.servers.update(&addresses) {
                // Another network may have other answers.
                memory.cache.clear();
            }
            let known = kinds.iter().map(|kind| memory.cache.answer(Instant::now(), name, *kind));
            let results: Vec<_> = known.map(|answer| answer.ok_or(Lack::Silent)).collect();
            (results, memory.servers.order(Instant::now(), settings.rotate))
        };
        // A server that has spoken is not asked again.
        let mut silent = order.clone();
        for _ in 0..settings.attempts {
            for server in std::mem::take(&mut silent) {
                let open: Vec<_> = (0..kinds.len()).filter(|&at| results[at].is_err()).collect();
                if open.is_empty() {
                    break;
                }
                let questions = open.iter().map(|&at| Question::new(name, kinds[at]));
                let answers = exchange::ask(self.stack, server, questions, settings.timeout);
                let mute = answers.iter().all(|answer| *answer == Err(Lack::Silent));
                if mute {
                    silent.push(server);
                }
                let mut memory = self.memory.lock();
                memory.servers.note(Instant::now(), server, !mute);
                for (at, answer) in open.into_iter().zip(answers) {
                    if let Ok(answer) = &answer {
                        memory.cache.keep(Instant::now(), name, kinds[at], answer);
                    }
                    results[at] = answer;
                }
            }
        }
        let failure = |lack| match lack {
            Lack::Silent if order.is_empty() => Failure::NoServer,
            Lack::Silent => Failure::Silent(order.clone()),
            Lack::Failed { later: true } => Failure::Later,
            Lack::Failed { later: false } => Failure::Never,
        };
        results.into_iter().map(|result| result.map_err(failure)).collect()
    }
}

/// What a look-up of addresses found.
#[derive(Debug)]
struct Found {
    canonical: String,
    addresses: Vec<IpAddr>,
}
