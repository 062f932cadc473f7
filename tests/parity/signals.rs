//! Signals while a call waits: signal(7), "Interruption of system calls and library functions by signal handlers".

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ioth::{MSG_WAITALL, SO_RCVTIMEO, SO_SNDTIMEO, SOCK_CLOEXEC, SOL_SOCKET};
use ioth_tests::netns::Test;
use std::os::fd::OwnedFd;

use crate::calls::{drain, fill, recv, send, text};
use crate::sys::{Target, Urge, handle};
use crate::world::{MOMENT, SOON, World};

/// The signal whose handler has `SA_RESTART`.
const RESTARTS: i32 = libc::SIGUSR1;
/// The one whose handler has not.
const ENDS: i32 = libc::SIGUSR2;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = crate::behaviours![
        a_receiver_is_interrupted,
        a_receiver_goes_on,
        a_receiver_with_a_time_limit,
        some_of_what_is_waited_for,
        a_sender_is_interrupted,
        a_sender_goes_on,
        a_sender_that_has_sent_some,
        a_sender_with_a_time_limit,
        an_accepter,
        a_connect_is_interrupted,
        a_connect_goes_on,
        a_connect_through_the_types,
        an_accept_through_the_types,
        datagrams_and_messages,
        both_kinds_of_handlers,
        those_who_follow,
        plain_calls,
        a_signal_for_arrivals,
    ];
    tests.extend(crate::behaviours![alone: an_accepter_of_a_busy_stack]);
    tests
}

/// A thread in a call.
#[derive(Clone, Copy)]
struct Caller<'a> {
    thread: Target,
    returned: &'a AtomicBool,
}

impl Caller<'_> {
    /// Sends a signal, and waits until the call waits again.
    fn signal(self, signal: i32) -> Result<()> {
        self.thread.signal(signal)?;
        self.thread.wait_until_asleep()
    }

    /// Ends the call by a signal. One may be in vain: where the thread sleeps because of a lock, it is still before
    /// the wait, and what it is told counts as told before the call.
    fn end(self, signal: i32) -> Result<()> {
        for _ in 0..3 {
            self.thread.signal(signal)?;
            let end = Instant::now() + SOON / 10;
            while Instant::now() < end {
                if self.returned.load(Relaxed) {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        bail!("the call goes on after the signal")
    }
}

/// Makes a call in a thread, and does something once it waits.
fn during<T: Send>(
    call: impl FnOnce() -> T + Send,
    meanwhile: impl FnOnce(Caller<'_>) -> Result<()>,
) -> Result<T> {
    let returned = AtomicBool::new(false);
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let waiting = scope.spawn(|| {
            let tell = tell;
            let _ = tell.send(Target::this_thread());
            let result = call();
            returned.store(true, Relaxed);
            result
        });
        let thread = told.recv()?;
        thread.wait_until_asleep()?;
        meanwhile(Caller { thread, returned: &returned })?;
        Ok(waiting.join().expect("no panic"))
    })
}

/// A time limit that no test reaches.
fn limit(fd: &OwnedFd, option: i32) -> Result<()> {
    Ok(ioth::setsockopt(fd, SOL_SOCKET, option, &[60_i64.to_ne_bytes(), [0; 8]].concat())?)
}

/// An address that nobody has and no other world asks for: a neighbour that is known not to be there answers at once.
fn silent(w: &World) -> SocketAddr {
    let mut address = w.nobody();
    let own = 100 + w.port / 2 % 100;
    address.set_ip(match address.ip() {
        IpAddr::V4(ip) => (ip.to_bits() & !0xff | u32::from(own)).to_be_bytes().into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !0xff | u128::from(own)).into(),
    });
    address
}

fn a_receiver_is_interrupted(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    let (ours, theirs) = w.pair()?;
    w.note("recv", during(|| recv(&ours, 10, 0), |call| call.end(ENDS))?);
    w.note("peek", during(|| recv(&ours, 10, ioth::MSG_PEEK), |call| call.end(ENDS))?);
    w.note("send", send(&theirs, "word"));
    w.note("recv", recv(&ours, 10, 0));
    Ok(())
}

fn a_receiver_goes_on(w: &World) -> Result<()> {
    handle(RESTARTS, true)?;
    let (ours, theirs) = w.pair()?;
    let thrice = |call: Caller<'_>| {
        for _ in 0..3 {
            call.signal(RESTARTS)?;
        }
        w.note("send", send(&theirs, "word"));
        Ok(())
    };
    w.note("recv", during(|| recv(&ours, 10, 0), thrice)?);
    Ok(())
}

fn a_receiver_with_a_time_limit(w: &World) -> Result<()> {
    handle(RESTARTS, true)?;
    let (ours, _theirs) = w.pair()?;
    limit(&ours, SO_RCVTIMEO)?;
    w.note("recv", during(|| recv(&ours, 10, 0), |call| call.end(RESTARTS))?);
    Ok(())
}

fn some_of_what_is_waited_for(w: &World) -> Result<()> {
    handle(RESTARTS, true)?;
    let (ours, theirs) = w.pair()?;
    let some = |call: Caller<'_>| {
        w.note("send", send(&theirs, "so"));
        call.thread.wait_until_asleep()?;
        call.end(RESTARTS)
    };
    w.note("recv", during(|| recv(&ours, 10, MSG_WAITALL), some)?);
    Ok(())
}

fn a_sender_is_interrupted(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    let (ours, _theirs) = w.pair()?;
    fill(&ours)?;
    w.note("send", during(|| send(&ours, "more"), |call| call.end(ENDS))?);
    Ok(())
}

fn a_sender_goes_on(w: &World) -> Result<()> {
    handle(RESTARTS, true)?;
    let (ours, theirs) = w.pair()?;
    fill(&ours)?;
    thread::scope(|scope| {
        let sent = during(
            || send(&ours, "more"),
            |call| {
                call.signal(RESTARTS)?;
                scope.spawn(|| drain(&theirs));
                Ok(())
            },
        );
        w.note("send", sent?);
        w.note("shutdown", ioth::shutdown(&ours, ioth::SHUT_WR));
        Ok(())
    })
}

fn a_sender_that_has_sent_some(w: &World) -> Result<()> {
    handle(RESTARTS, true)?;
    let (ours, _theirs) = w.pair()?;
    let sent = during(|| send(&ours, vec![7; 64 << 20]), |call| call.end(RESTARTS))?;
    w.note("some", sent.is_ok_and(|sent| sent > 0 && sent < 64 << 20));
    Ok(())
}

fn a_sender_with_a_time_limit(w: &World) -> Result<()> {
    handle(RESTARTS, true)?;
    let (ours, _theirs) = w.pair()?;
    fill(&ours)?;
    limit(&ours, SO_SNDTIMEO)?;
    w.note("send", during(|| send(&ours, "more"), |call| call.end(RESTARTS))?);
    Ok(())
}

fn an_accepter(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    handle(RESTARTS, true)?;
    let listener = w.listener()?;
    let accept = || ioth::accept4(&listener, SOCK_CLOEXEC).map(|_| "a connection");
    w.note("ended", during(accept, |call| call.end(ENDS))?);
    let ours = w.stream()?;
    let goes_on = |call: Caller<'_>| {
        call.signal(RESTARTS)?;
        w.note("connect", ioth::connect(&ours, &w.at()));
        Ok(())
    };
    w.note("went on", during(accept, goes_on)?);
    limit(&listener, SO_RCVTIMEO)?;
    w.note("with a limit", during(accept, |call| call.end(RESTARTS))?);
    Ok(())
}

fn a_connect_is_interrupted(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    let ours = w.stream()?;
    w.note("connect", during(|| ioth::connect(&ours, &silent(w)), |call| call.end(ENDS))?);
    w.poll("meanwhile", &ours, crate::calls::NOTHING);
    w.note("again", during(|| ioth::connect(&ours, &silent(w)), |call| call.end(ENDS))?);
    w.note("to the end", ioth::connect(&ours, &silent(w)));
    Ok(())
}

fn a_connect_goes_on(w: &World) -> Result<()> {
    handle(RESTARTS, true)?;
    let ours = w.stream()?;
    w.note("connect", during(|| ioth::connect(&ours, &silent(w)), |call| call.signal(RESTARTS))?);
    let limited = w.stream()?;
    limit(&limited, SO_SNDTIMEO)?;
    w.note("limited", during(|| ioth::connect(&limited, &silent(w)), |call| call.end(RESTARTS))?);
    Ok(())
}

fn a_connect_through_the_types(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    let connect = || w.client.within(|stack| ioth::net::TcpStream::connect(stack, silent(w)).map(|_| ()));
    // Where the kernel's sockets are made by another thread, that one is not told.
    if w.client.is_kernel() {
        w.note("connect", connect());
    } else {
        w.note("connect", during(connect, |call| call.signal(ENDS))?);
    }
    Ok(())
}

fn an_accept_through_the_types(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    let listener = ioth::net::TcpListener::from(w.listener()?);
    let ours = w.stream()?;
    let goes_on = |call: Caller<'_>| {
        call.signal(ENDS)?;
        w.note("connect", ioth::connect(&ours, &w.at()));
        Ok(())
    };
    w.note("accept", during(|| listener.accept().map(|_| "a connection"), goes_on)?);
    Ok(())
}

fn datagrams_and_messages(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    handle(RESTARTS, true)?;
    let (ours, theirs) = (w.datagram(&w.client)?, w.datagram_server()?);
    let recvfrom = || {
        let mut room = [0; 10];
        ioth::recvfrom(&theirs, &mut room, 0).map(|(got, _)| text(&room[..got]))
    };
    let recvmsg = || {
        let mut room = [0; 10];
        let mut parts = [std::io::IoSliceMut::new(&mut room)];
        ioth::recvmsg(&theirs, &mut parts, 0).map(|_| "a message")
    };
    w.note("recvfrom", during(recvfrom, |call| call.end(ENDS))?);
    w.note("recvmsg", during(recvmsg, |call| call.end(ENDS))?);
    let goes_on = |call: Caller<'_>| {
        call.signal(RESTARTS)?;
        w.note("sendto", ioth::sendto(&ours, b"word", 0, &w.at()));
        Ok(())
    };
    w.note("recvfrom", during(recvfrom, goes_on)?);
    limit(&theirs, SO_RCVTIMEO)?;
    w.note("with a limit", during(recvfrom, |call| call.end(RESTARTS))?);
    Ok(())
}

fn both_kinds_of_handlers(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    handle(RESTARTS, true)?;
    let (ours, theirs) = w.pair()?;
    for _ in 0..3 {
        let ends = |call: Caller<'_>| {
            for _ in 0..3 {
                call.signal(RESTARTS)?;
            }
            call.end(ENDS)
        };
        w.note("recv", during(|| recv(&ours, 10, 0), ends)?);
        let goes_on = |call: Caller<'_>| {
            call.signal(RESTARTS)?;
            w.note("send", send(&theirs, "word"));
            Ok(())
        };
        w.note("recv", during(|| recv(&ours, 10, 0), goes_on)?);
    }
    let some = |call: Caller<'_>| {
        w.note("send", send(&theirs, "so"));
        call.thread.wait_until_asleep()?;
        call.end(RESTARTS)
    };
    w.note("recv", during(|| recv(&ours, 10, MSG_WAITALL), some)?);
    Ok(())
}

fn those_who_follow(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    handle(RESTARTS, true)?;
    let listener = w.listener()?;
    let (first, far) = w.pair_of(&listener)?;
    let (second, peer) = w.pair_of(&listener)?;
    let (third, silent) = w.pair_of(&listener)?;
    limit(&third, SO_RCVTIMEO)?;
    // Whoever waits first runs the stack for the others.
    let led = |_: Caller<'_>| {
        w.note("ended", during(|| recv(&second, 10, 0), |call| call.end(ENDS))?);
        let goes_on = |call: Caller<'_>| {
            call.signal(RESTARTS)?;
            w.note("send", send(&peer, "word"));
            Ok(())
        };
        w.note("went on", during(|| recv(&second, 10, 0), goes_on)?);
        w.note("with a limit", during(|| recv(&third, 10, 0), |call| call.end(RESTARTS))?);
        let some = |call: Caller<'_>| {
            w.note("send", send(&peer, "so"));
            call.thread.wait_until_asleep()?;
            call.end(RESTARTS)
        };
        w.note("some", during(|| recv(&second, 10, MSG_WAITALL), some)?);
        w.note("send", send(&far, "for the first"));
        Ok(())
    };
    w.note("first", during(|| recv(&first, 20, 0), led)?);
    // One that leads goes, and one that follows goes on.
    let hand_over = |leader: Caller<'_>| {
        let follows = |_: Caller<'_>| {
            leader.end(ENDS)?;
            w.note("send", send(&silent, "for the other"));
            Ok(())
        };
        w.note("other", during(|| recv(&third, 20, 0), follows)?);
        Ok(())
    };
    w.note("leader", during(|| recv(&first, 20, 0), hand_over)?);
    Ok(())
}

fn plain_calls(w: &World) -> Result<()> {
    handle(ENDS, false)?;
    handle(RESTARTS, true)?;
    let (ours, theirs) = w.pair()?;
    let read = || crate::calls::plain_read(&ours, 10);
    w.note("read", during(read, |call| call.end(ENDS))?);
    let goes_on = |call: Caller<'_>| {
        call.signal(RESTARTS)?;
        w.note("send", send(&theirs, "word"));
        Ok(())
    };
    w.note("read", during(read, goes_on)?);
    Ok(())
}

fn an_accepter_of_a_busy_stack(w: &World) -> Result<()> {
    const TURNS: usize = 100;
    handle(ENDS, false)?;
    let listener = w.listener()?;
    let (ours, theirs) = w.pair_of(&listener)?;
    let (done, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| while ioth::recv(&theirs, &mut [0; 60_000], 0).is_ok_and(|got| got > 0) {});
        scope.spawn(|| {
            loop {
                if done.load(Relaxed) || send(&ours, [7; 60_000]).is_err() {
                    return ioth::shutdown(&ours, ioth::SHUT_RDWR);
                }
            }
        });
        let (tell, told) = mpsc::channel();
        let (listener, ended) = (&listener, &ended);
        let waiting = scope.spawn(move || {
            let _ = tell.send(Target::this_thread());
            while ended.load(Relaxed) < TURNS {
                let result = ioth::accept(listener).map(|_| ());
                if !result.is_err_and(|error| error.raw_os_error() == Some(libc::EINTR)) {
                    return false;
                }
                ended.fetch_add(1, Relaxed);
            }
            true
        });
        let target = told.recv()?;
        let mut signals = 0;
        while ended.load(Relaxed) < TURNS {
            // It sleeps and runs in turns: whether it is in the call already is not to be seen. One may come too early.
            thread::sleep(Duration::from_millis(2));
            if target.signal(ENDS).is_err() {
                break; // It has returned for the last time.
            }
            signals += 1;
        }
        w.note("each ended by a signal", waiting.join().expect("no panic"));
        w.note("most of them by the first", signals < 2 * TURNS);
        done.store(true, Relaxed);
        Ok(())
    })
}

fn a_signal_for_arrivals(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let urge = Urge::of_arrivals(&theirs, libc::SIGRTMIN() + 3)?;
    w.note("nothing", urge.wait(MOMENT)?);
    w.note("send", send(&ours, "word"));
    w.note("a stream", urge.wait(SOON)?);
    drop(urge);
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    let urge = Urge::of_arrivals(&theirs, libc::SIGRTMIN() + 3)?;
    w.note("sendto", ioth::sendto(&ours, b"word", 0, &w.at()));
    w.note("a datagram", urge.wait(SOON)?);
    Ok(())
}
