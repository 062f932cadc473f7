//! What the benchmarks measure with: every byte verified, on any stack, the kernel's too; and a bad path to
//! measure over.

mod bridge;
mod datagrams;
mod echoes;
mod endpoint;
mod flows;
mod measure;
mod pattern;
mod socket;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use clap::{Parser, Subcommand, ValueEnum};
use datagrams::Datagrams;
use flows::Flows;
use ioth::Stack;
use ioth_examples::StackArg;
use measure::{Limit, Report};

/// Measures TCP, bulk transfers, round trips, connections, and datagrams of UDP. Each result is a line of JSON.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, global = true, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// Bytes of each send and recv, at most 256Ki
    #[arg(long, global = true, default_value = "128Ki", value_parser = size, value_name = "BYTES")]
    buffer: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve `out`: receive and verify
    Sink(Serve),
    /// Serve `in`: send what is asked for
    Source(Serve),
    /// Serve `rr` and `cps`: send everything back
    Echo(Serve),
    /// Send to a sink
    Out(Run),
    /// Receive from a source
    In(Run),
    /// Round trips of one byte with an echo server
    Rr(Run),
    /// Connections of one byte each way with an echo server
    Cps(Run),
    /// Both sides in this process, a thread each
    Pair(Pair),
    /// Send over some connections at once, until the receiver hangs up
    Feed(Flows),
    /// Receive over some connections at once, and hang up when the time is over
    Drain(Drain),
    /// Serve `datagrams-out` and `datagrams-in`
    Datagrams(Serve),
    /// Send datagrams to such a server, as fast as it goes
    DatagramsOut(Datagrams),
    /// Receive them from it
    DatagramsIn(Datagrams),
    /// Serve `load`: send everything back on many connections at once, with one epoll
    Echoes(echoes::Server),
    /// Requests on many connections at once
    Load(echoes::Client),
    /// Connect again and again to an echo server
    Connects(echoes::Connects),
    /// `out`, `in` or `rr` by the endpoints of ioth_stack, without descriptors
    Endpoint(Endpoint),
    /// Carry frames between two TAPs, one of them with `impair=`; ends when it is killed
    Bridge(Box<Bridge>),
}

#[derive(Parser)]
struct Serve {
    /// Where to listen; port 0 lets the stack choose one
    #[arg(long, default_value = "0.0.0.0:5001", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// End after the first client
    #[arg(long)]
    once: bool,
    /// A source closes right after its last send
    #[arg(long)]
    close_at_once: bool,
}

#[derive(Parser)]
struct Run {
    /// The server
    server: SocketAddr,
    #[command(flatten)]
    until: Until,
    /// Close right after the last send (`out`), without waiting for what the receiver says
    #[arg(long)]
    close_at_once: bool,
}

#[derive(Parser)]
struct Endpoint {
    what: What,
    #[command(flatten)]
    run: Run,
}

#[derive(Parser)]
struct Pair {
    what: What,
    #[command(flatten)]
    until: Until,
    /// Two stacks on a switch in this process, not the kernel's loopback
    #[arg(long)]
    in_process: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Out,
    In,
    Rr,
    Cps,
}

#[derive(Parser)]
struct Drain {
    #[command(flatten)]
    flows: Flows,
    /// How long, from the first byte on
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

#[derive(Parser)]
struct Bridge {
    /// A TAP, and the network namespace that it is in if that is another one
    #[arg(value_name = "[netns:NAME,]VNL")]
    near: bridge::End,
    /// The other
    #[arg(value_name = "[netns:NAME,]VNL")]
    far: bridge::End,
}

#[derive(Parser)]
struct Until {
    /// How long
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How much, however long it takes: 10G is ten thousand million, 10Gi is 10 x 2^30
    #[arg(long, value_parser = size, conflicts_with = "seconds")]
    bytes: Option<u64>,
}

impl Until {
    fn limit(&self, buffer: u64) -> anyhow::Result<Limit> {
        let time = match self.bytes {
            Some(_) => Duration::from_secs(24 * 3600),
            None => Duration::try_from_secs_f64(self.seconds)?,
        };
        Ok(Limit { bytes: self.bytes.unwrap_or(u64::MAX), time, buffer: usize::try_from(buffer)? })
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    pattern::prepare();
    if let Command::Pair(pair) = &args.command {
        return finish(&run_pair(pair, args.buffer)?);
    }
    if let Command::Bridge(ends) = &args.command {
        return bridge::run(&ends.near, &ends.far);
    }
    if let Command::Endpoint(of) = &args.command {
        let endpoint = endpoint::Endpoint::connect(&args.stack, of.run.server)?;
        let limit = of.run.until.limit(args.buffer)?;
        return finish(&match of.what {
            What::Out => endpoint.bulk_out(limit)?,
            What::In => endpoint.bulk_in(limit)?,
            What::Rr => endpoint.round_trips(limit.time)?,
            What::Cps => anyhow::bail!("an endpoint is connected once"),
        });
    }
    let stack = args.stack.open()?;
    match args.command {
        Command::Sink(server) => serve(&stack, What::Out, &server, args.buffer),
        Command::Source(server) => serve(&stack, What::In, &server, args.buffer),
        Command::Echo(server) => serve(&stack, What::Rr, &server, args.buffer),
        Command::Out(run) => finish(&measure(&stack, What::Out, &run, args.buffer)?),
        Command::In(run) => finish(&measure(&stack, What::In, &run, args.buffer)?),
        Command::Rr(run) => finish(&measure(&stack, What::Rr, &run, args.buffer)?),
        Command::Cps(run) => finish(&measure(&stack, What::Cps, &run, args.buffer)?),
        Command::Datagrams(server) => datagrams::serve(&stack, server.listen),
        Command::DatagramsOut(what) => finish(&datagrams::run(&stack, &what, false)?),
        Command::DatagramsIn(what) => finish(&datagrams::run(&stack, &what, true)?),
        Command::Echoes(server) => echoes::serve(&stack, &server),
        Command::Load(client) => finish(&echoes::load(&stack, &client)?),
        Command::Feed(ends) => flows::feed(ends.open(&stack)?, usize::try_from(args.buffer)?),
        Command::Drain(Drain { flows: ends, seconds }) => {
            let time = Duration::try_from_secs_f64(seconds)?;
            finish(&flows::drain(ends.open(&stack)?, usize::try_from(args.buffer)?, time)?)
        }
        Command::Connects(client) => finish(&echoes::connects(&stack, &client)?),
        Command::Pair(_) | Command::Bridge(_) | Command::Endpoint(_) => unreachable!("above"),
    }
}

fn finish(report: &Report) -> anyhow::Result<()> {
    println!("{report}");
    ensure!(report.ok, "not every byte arrived as it was sent");
    Ok(())
}

fn measure(stack: &Stack, what: What, run: &Run, buffer: u64) -> anyhow::Result<Report> {
    let limit = run.until.limit(buffer)?;
    match what {
        What::Out => measure::bulk_out(stack, run.server, limit, !run.close_at_once),
        What::In => measure::bulk_in(stack, run.server, limit),
        What::Rr => measure::round_trips(stack, run.server, limit),
        What::Cps => measure::connections(stack, run.server, limit),
    }
}

/// One client after the other, each with a line of its own.
fn serve(stack: &Stack, what: What, server: &Serve, buffer: u64) -> anyhow::Result<()> {
    let listener = socket::listen(stack, server.listen)?;
    println!("listening on {}", ioth::getsockname(&listener)?);
    let buffer = usize::try_from(buffer)?;
    loop {
        let (socket, peer) = ioth::accept(&listener)?;
        let report = match what {
            What::Out => measure::sink(&socket, buffer),
            What::In => measure::source(&socket, buffer, !server.close_at_once),
            What::Rr | What::Cps => measure::echo(&socket),
        };
        ioth::close(socket)?;
        match report {
            Ok(report) if server.once => return finish(&report),
            Err(error) if server.once => return Err(error),
            // A line for each of thousands of connections would be measured too.
            Ok(_) if matches!(what, What::Rr) => {}
            Ok(report) => println!("{report}"),
            Err(error) => eprintln!("{peer}: {error}"),
        }
    }
}

fn run_pair(pair: &Pair, buffer: u64) -> anyhow::Result<Report> {
    let (near, far, address) = if pair.in_process {
        let near = Stack::new("switch://perf", "ip=10.0.0.1/24")?;
        (near, Stack::new("switch://perf", "ip=10.0.0.2/24")?, [10, 0, 0, 2])
    } else {
        (Stack::kernel(), Stack::kernel(), [127, 0, 0, 1])
    };
    let listener = socket::listen(&far, SocketAddr::from((address, 0)))?;
    let run = Run {
        server: ioth::getsockname(&listener)?,
        until: Until { seconds: pair.until.seconds, bytes: pair.until.bytes },
        close_at_once: false,
    };
    // The thread ends with the process: a listener has no end.
    let what = pair.what;
    let len = usize::try_from(buffer)?;
    thread::spawn(move || {
        loop {
            let (socket, _) = ioth::accept(&listener)?;
            match what {
                What::Out => measure::sink(&socket, len)?,
                What::In => measure::source(&socket, len, true)?,
                What::Rr | What::Cps => measure::echo(&socket)?,
            };
        }
        #[expect(unreachable_code, reason = "names the type of the error")]
        anyhow::Ok(())
    });
    measure(&near, what, &run, buffer)
}

/// A number of bytes: 1500, 64K (64 000), 64Ki (65 536), and so with M and G.
fn size(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[end..] {
        "" => 1,
        "K" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err("the units are K, M, G, Ki, Mi, Gi".into()),
    };
    let number: u64 = text[..end].parse().map_err(|_| "not a number of bytes")?;
    number.checked_mul(unit).filter(|size| *size > 0).ok_or_else(|| "out of range".into())
}
