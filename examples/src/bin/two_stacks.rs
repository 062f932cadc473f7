//! One process on two networks at once, with the same addresses on both: a web server and a client on each.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use ioth::net::{TcpListener, TcpStream};
use ioth::{AF_INET, AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, Stack};
use ioth_examples::StackArg;
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const RED: &str = "tap://red,ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1";
const BLUE: &str = "tap://blue,ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1";
const NODES: &str = "ip=10.0.0.1/24,ip=fd00::1/64";

/// Serves HTTP on two stacks and fetches pages from both, to show which network answers what.
#[derive(Parser)]
struct Args {
    /// The stacks, red and then blue: a network locator, then its configuration
    #[arg(long, default_values = [RED, BLUE], value_name = "VNL,CONFIG")]
    stack: Vec<StackArg>,
    /// The network namespaces that hold the TAPs of red and of blue
    #[arg(long, value_name = "NAME")]
    netns: Vec<String>,
    /// Pages to fetch from both
    #[arg(long, value_name = "URL", default_values = ["http://10.0.0.1:8000/", "http://[fd00::1]:8000/"])]
    fetch: Vec<String>,
    /// The port to serve on
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// Go on serving for this long after the fetches
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    serve_for: f64,
    /// Needs no TAPs and no privilege: both networks, and a node on each that serves and fetches, are
    /// inside this process
    #[arg(long)]
    in_process: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let Ok([mut red, mut blue]) = <[StackArg; 2]>::try_from(args.stack) else {
        bail!("--stack is given twice, once for each network");
    };
    if args.in_process {
        red.vnl = "switch://red".into();
        blue.vnl = "switch://blue".into();
    }
    println!("one process, two stacks:\n  red  is {red}\n  blue is {blue}");
    let vnls = [("red", red.vnl.clone()), ("blue", blue.vnl.clone())];
    let mut namespaces = args.netns.iter().map(String::as_str);
    let red = ("red", build(&red, namespaces.next())?);
    let blue = ("blue", build(&blue, namespaces.next())?);
    for (network, stack) in [&red, &blue] {
        serve(stack, args.port, &format!("the process with two stacks, on {network}"))?;
    }
    // Without TAPs the other machines of the networks are stacks too.
    let mut nodes = Vec::new();
    if args.in_process {
        for (network, vnl) in vnls {
            let node = Stack::new(&vnl, NODES)?;
            serve(&node, 8000, &format!("the other node of {network}"))?;
            nodes.push((network, node));
        }
    }

    for (network, stack) in [&red, &blue] {
        for url in &args.fetch {
            println!("on {network:4} {url} is {}", fetch(stack, url)?);
        }
    }
    for (network, node) in &nodes {
        for host in ["10.0.0.2", "[fd00::2]"] {
            let url = format!("http://{host}:{}/", args.port);
            println!("on {network:4} {url} is {}", fetch(node, &url)?);
        }
    }
    println!("serving for {} s", args.serve_for);
    thread::sleep(Duration::from_secs_f64(args.serve_for));
    println!("answered {} requests", ANSWERED.load(Relaxed));
    Ok(())
}

/// A TAP belongs to a namespace, so it is opened by a thread that is inside. The stack works from anywhere.
fn build(stack: &StackArg, namespace: Option<&str>) -> anyhow::Result<Stack> {
    let Some(name) = namespace else { return stack.open() };
    let inside = || {
        let path = format!("/run/netns/{name}");
        let file = rustix::fs::open(&*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(path)?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        stack.open()
    };
    thread::scope(|scope| scope.spawn(inside).join().expect("no panic")).context("in the namespace")
}

static ANSWERED: AtomicUsize = AtomicUsize::new(0);

/// Answers every request over IPv4 and IPv6 with the same text, from threads of its own.
fn serve(stack: &Stack, port: u16, text: &str) -> anyhow::Result<()> {
    for (family, any) in [(AF_INET, "0.0.0.0"), (AF_INET6, "[::]")] {
        let listener = ioth::msocket(stack, family, SOCK_STREAM, 0)?;
        ioth::setsockopt_int(&listener, SOL_SOCKET, SO_REUSEADDR, 1)?;
        if family == AF_INET6 {
            ioth::setsockopt_int(&listener, IPPROTO_IPV6, IPV6_V6ONLY, 1)?;
        }
        ioth::bind(&listener, &format!("{any}:{port}").parse::<SocketAddr>()?)?;
        ioth::listen(&listener, 64)?;
        let (listener, text) = (TcpListener::from(listener), text.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                match answer(&stream, &text) {
                    Ok(()) => _ = ANSWERED.fetch_add(1, Relaxed),
                    Err(error) => eprintln!("a client of {text}: {error}"),
                }
            }
        });
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, text: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // The head of the request ends with an empty line.
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let text = format!("{text}: you are {}\n", stream.peer_addr()?.ip());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    stream.write_all((head + &text).as_bytes())
}

/// The first line of a page.
fn fetch(stack: &Stack, url: &str) -> anyhow::Result<String> {
    let rest = url.strip_prefix("http://").context("a URL begins with http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let server: SocketAddr =
        host.parse().or_else(|_| format!("{host}:80").parse()).context("needs an address")?;
    let stream =
        TcpStream::connect_timeout(stack, &server, Duration::from_secs(10)).context(url.to_owned())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    (&stream).write_all(format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes())?;
    let mut page = String::new();
    (&stream).read_to_string(&mut page).context(url.to_owned())?;
    let (head, body) = page.split_once("\r\n\r\n").context("not an HTTP answer")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "{url}: {head}");
    Ok(body.lines().next().unwrap_or_default().to_owned())
}
