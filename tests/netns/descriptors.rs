//! Many descriptors, and none left: what calls say then is what the kernel says.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use ioth::{AF_INET, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM, Stack};
use ioth_tests::child::Child;
use ioth_tests::netns::{Net, Test};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        a_full_table_of_descriptors,
        a_full_table_with_connections_in_flight,
        a_full_table_in_a_worker,
        ten_thousand_sockets,
        a_thread_leaves_no_stack_behind,
    ]
}

/// How a listener is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Direct,
    /// Its connections are where a plain poll shows them.
    Polled,
    /// A child accepts.
    Worker,
}

/// Takes every number that a descriptor may have.
fn fill(any: &OwnedFd) -> Vec<OwnedFd> {
    std::iter::from_fn(|| rustix::io::fcntl_dupfd_cloexec(any, 0).ok()).collect()
}

fn name<T>(result: std::io::Result<T>) -> String {
    result.map_or_else(|error| format!("{:?}", Errno::from_io_error(&error)), |_| "done".to_owned())
}

/// Lets connections come while there is no descriptor for them.
fn full(stack: &Stack, how: Use, at: SocketAddr) -> Result<Vec<String>> {
    let listener = ioth::msocket(stack, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)?;
    ioth::bind(&listener, &at)?;
    ioth::listen(&listener, 16)?;
    let at = ioth::getsockname(&listener)?;
    let mut clients = Vec::new();
    for number in 0..6_u8 {
        let client = ioth::msocket(stack, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)?;
        ioth::connect(&client, &at)?;
        ioth::send(&client, &[b'0' + number], 0)?;
        clients.push(client);
    }
    if how != Use::Direct {
        poll(&mut [PollFd::new(&listener, PollFlags::IN)], None)?;
    }
    let accept = || -> Result<Vec<String>> {
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(200), ..before })?;
        let mut said = Vec::new();
        let mut all = fill(&listener);
        if how != Use::Worker {
            said.push(name(ioth::msocket(stack, AF_INET, SOCK_STREAM, 0)));
            said.push(name(ioth::msocket(stack, AF_INET, SOCK_DGRAM, 0)));
        }
        for _ in 0..3 {
            said.push(name(ioth::accept(&listener)));
            said.push(name(ioth::accept(&listener)));
            // A socket of ours takes two.
            all.truncate(all.len() - 2);
            let (theirs, _) = ioth::accept(&listener).context("with room")?;
            let mut word = [0];
            ioth::recv(&theirs, &mut word, 0)?;
            said.push(String::from_utf8_lossy(&word).into_owned());
            all.extend(fill(&listener));
            drop(theirs);
            all.extend(fill(&listener));
        }
        all.truncate(all.len() - 20);
        for _ in 0..3 {
            let (theirs, _) = ioth::accept(&listener).context("with room")?;
            let mut word = [0];
            ioth::recv(&theirs, &mut word, 0)?;
            said.push(String::from_utf8_lossy(&word).into_owned());
        }
        ioth::set_nonblocking(&listener, true)?;
        said.push(name(ioth::accept(&listener)));
        if how != Use::Worker {
            all.extend(fill(&listener));
            said.push(name(ioth::accept(&listener)));
        }
        setrlimit(Resource::Nofile, before)?;
        Ok(said)
    };
    if how != Use::Worker {
        return accept();
    }
    let (reader, writer) = rustix::pipe::pipe()?;
    let worker = Child::start(|| {
        let said = accept().unwrap_or_else(|error| vec![format!("{error:#}")]);
        rustix::io::write(&writer, said.join("\n").as_bytes()).is_ok()
    })?;
    ensure!(worker.wait()?);
    drop(writer);
    let mut said = vec![0; 4096];
    let len = rustix::io::read(&reader, &mut said)?;
    Ok(String::from_utf8_lossy(&said[..len]).lines().map(str::to_owned).collect())
}

fn compare(net: &Net, how: Use) -> Result<()> {
    net.run("ip link set lo up")?;
    // In a process of its own: the limit is the process's.
    let child = Child::start(|| {
        let both = || -> Result<()> {
            let at = "127.0.0.1:0".parse()?;
            let kernel = full(&Stack::kernel(), how, at).context("the kernel")?;
            let ours = full(&Stack::new("switch://lab", "ip=10.0.0.1/24")?, how, at).context("ours")?;
            ensure!(kernel == ours && kernel.len() > 9, "the kernel: {kernel:?}\n      ours: {ours:?}");
            Ok(())
        };
        both().inspect_err(|error| eprintln!("{error:#}")).is_ok()
    })?;
    ensure!(child.wait()?, "it differs");
    Ok(())
}

fn a_full_table_of_descriptors(net: &Net) -> Result<()> {
    compare(net, Use::Direct)
}

fn a_full_table_with_connections_in_flight(net: &Net) -> Result<()> {
    compare(net, Use::Polled)
}

fn a_full_table_in_a_worker(net: &Net) -> Result<()> {
    compare(net, Use::Worker)
}

fn ten_thousand_sockets(_: &Net) -> Result<()> {
    let child = Child::start(|| {
        let sockets = || -> Result<()> {
            const CONNECTIONS: usize = 4500;
            let limit = getrlimit(Resource::Nofile);
            // Where more is allowed, all that were asked for: two descriptors each.
            let wish = Rlimit { current: Some(30_000), maximum: Some(30_000) };
            let most = if setrlimit(Resource::Nofile, wish).is_ok() { 5000 } else { CONNECTIONS };
            if most == CONNECTIONS {
                setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
            }
            let red = Stack::new("switch://lab", "ip=10.0.0.1/24")?;
            let blue = Stack::new("switch://lab", "ip=10.0.0.2/24")?;
            let listener = ioth::net::TcpListener::bind(&red, "10.0.0.1:80")?;
            let mut pairs = Vec::new();
            for _ in 0..most {
                let ours = ioth::net::TcpStream::connect(&blue, "10.0.0.1:80")?;
                pairs.push((ours, listener.accept()?.0));
            }
            for (index, (ours, theirs)) in pairs.iter().enumerate() {
                let word = index.to_ne_bytes();
                ioth::send(ours, &word, 0)?;
                let mut heard = [0; 8];
                ioth::recv(theirs, &mut heard, ioth::MSG_WAITALL)?;
                ensure!(heard == word);
            }
            let open = std::fs::read_dir("/proc/self/fd")?.count();
            ensure!(open >= 4 * most, "{open} descriptors");
            Ok(())
        };
        sockets().inspect_err(|error| eprintln!("{error:#}")).is_ok()
    })?;
    ensure!(child.wait()?);
    Ok(())
}

fn a_thread_leaves_no_stack_behind(_: &Net) -> Result<()> {
    let alive = |name: &str| ioth::snapshots().iter().any(|stack| stack.name == name);
    let threads: Vec<_> = (0..16)
        .map(|number| {
            std::thread::spawn(move || -> Result<String> {
                let name = format!("of thread {number}");
                let config = format!("ip=10.0.0.{}/24", number + 1);
                let stack =
                    Stack::builder().name(&name).interface("", "switch://lab").config(&config).build()?;
                ioth::set_default_stack(&stack);
                ensure!(ioth::default_stack().name() == name);
                let fd = ioth::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)?;
                ioth::sendto(&fd, b"word", 0, &"10.0.0.1:9".parse()?)?;
                Ok(name)
            })
        })
        .collect();
    for thread in threads {
        let name = thread.join().expect("no panic")?;
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while alive(&name) {
            ensure!(std::time::Instant::now() < end, "the stack {name} outlives its thread");
            std::thread::yield_now();
        }
    }
    Ok(())
}
