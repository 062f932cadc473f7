//! A descriptor closed by one thread while another waits on it in a call, and its number used again: the call goes on
//! with the old socket, and whoever has the number now is left alone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread;

use anyhow::{Result, ensure};
use ioth::{MSG_WAITALL, POLLIN, SOL_SOCKET, pollfd};
use ioth_tests::netns::Test;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};

use crate::calls::{drain, fill, plain_recv, recv, send, set_timeout};
use crate::sys::number;
use crate::world::{MOMENT, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![alone:
        closed_while_it_receives,
        closed_while_it_receives_all,
        closed_while_it_receives_a_datagram,
        closed_while_it_sends,
        closed_plainly_while_it_sends,
        closed_while_it_accepts,
        closed_while_it_connects,
        closed_while_it_is_refused,
        closed_while_a_receiver_has_its_time,
        reset_after_it_was_closed,
        closed_while_it_polls,
        closed_while_one_of_two_receives,
        closed_under_two_numbers,
    ]
}

/// How the descriptor is closed.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By the library.
    Library,
    /// By the system.
    Plain,
    /// By dup2(2) of another over it.
    Over,
}

const WAYS: [Way; 3] = [Way::Library, Way::Plain, Way::Over];

/// Who has the number afterwards: one end of a pair with a word to receive in it, and the other end.
struct Successor {
    here: OwnedFd,
    there: OwnedFd,
}

impl Successor {
    /// Closes the descriptor and takes its number.
    fn of(fd: OwnedFd, way: Way) -> Result<Self> {
        let (end, there) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        send(&there, "not yours")?;
        let wanted = fd.as_raw_fd();
        let mut old = fd;
        match way {
            Way::Library => ioth::close(old)?,
            Way::Plain => drop(old),
            Way::Over => {
                rustix::io::dup2(&end, &mut old)?;
                return Ok(Self { here: old, there });
            }
        }
        let here = rustix::io::fcntl_dupfd_cloexec(&end, wanted)?;
        ensure!(here.as_raw_fd() == wanted, "somebody else took the number");
        Ok(Self { here, there })
    }

    /// Notes that nobody has touched it.
    fn note(&self, w: &World) {
        w.note(
            "the next one's room",
            crate::calls::OUT == w.settle(&self.here, crate::calls::OUT) & crate::calls::OUT,
        );
        w.note("the next one's recv", plain_recv(&self.here, 40, RecvFlags::DONTWAIT));
        w.note("what it said", plain_recv(&self.there, 40, RecvFlags::DONTWAIT));
    }
}

/// Runs a call on the number of `fd` in a thread, closes the descriptor under it, then does `after`.
fn under<T: Send>(
    w: &World,
    way: Way,
    fd: OwnedFd,
    call: impl FnOnce(BorrowedFd<'static>) -> T + Send,
    after: impl FnOnce() -> Result<()>,
) -> Result<T> {
    let at = number(&fd);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || call(at));
        thread::sleep(MOMENT);
        let next = Successor::of(fd, way)?;
        thread::sleep(MOMENT);
        after()?;
        let result = waiting.join().expect("no panic");
        next.note(w);
        Ok(result)
    })
}

fn closed_while_it_receives(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for way in WAYS {
        let (ours, theirs) = w.pair_of(&listener)?;
        let got = under(
            w,
            way,
            ours,
            |fd| recv(fd, 10, 0),
            || {
                w.note("send", send(&theirs, "word"));
                Ok(())
            },
        )?;
        w.note("recv", got);
        w.note("the peer's recv", recv(&theirs, 10, 0));
    }
    Ok(())
}

fn closed_while_it_receives_all(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for way in WAYS {
        let (ours, theirs) = w.pair_of(&listener)?;
        send(&ours, "first")?;
        let got = under(
            w,
            way,
            theirs,
            |fd| recv(fd, 10, MSG_WAITALL),
            || {
                w.note("send", send(&ours, "other"));
                Ok(())
            },
        )?;
        w.note("recv", got);
        w.note("the peer's recv", recv(&ours, 10, 0));
    }
    Ok(())
}

fn closed_while_it_receives_a_datagram(w: &World) -> Result<()> {
    for way in WAYS {
        let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
        let got = under(
            w,
            way,
            theirs,
            |fd| recv(fd, 10, 0),
            || {
                w.note("sendto", ioth::sendto(&ours, b"word", 0, &w.at()));
                Ok(())
            },
        )?;
        w.note("recv", got);
        // The address is free again.
        let again = w.datagram_server()?;
        w.note("sendto", ioth::sendto(&ours, b"again", 0, &w.at()));
        w.note("recv", recv(&again, 10, 0));
        ioth::close(again)?;
    }
    Ok(())
}

fn closed_while_it_sends(w: &World) -> Result<()> {
    under_a_sender(w, Way::Library)
}

fn closed_plainly_while_it_sends(w: &World) -> Result<()> {
    under_a_sender(w, Way::Plain)
}

fn under_a_sender(w: &World, way: Way) -> Result<()> {
    const MORE: usize = 3_000_000;
    let (ours, theirs) = w.pair()?;
    let before = fill(&ours)?;
    let mut all = Vec::new();
    let sent = under(
        w,
        way,
        ours,
        |fd| send(fd, vec![7; MORE]),
        || {
            let (bytes, end) = drain(&theirs);
            all = bytes;
            w.note("the end", end);
            Ok(())
        },
    )?;
    w.note("send", sent);
    let sevens = all.iter().filter(|byte| **byte == 7).count();
    w.note("all received", sevens as u64 == before + MORE as u64);
    Ok(())
}

fn closed_while_it_accepts(w: &World) -> Result<()> {
    for way in WAYS {
        let listener = w.listener()?;
        let client = w.stream()?;
        let accepted = under(
            w,
            way,
            listener,
            |fd| ioth::accept4(fd, ioth::SOCK_CLOEXEC),
            || {
                w.note("connect", ioth::connect(&client, &w.at()));
                Ok(())
            },
        )?;
        let theirs = accepted?.0;
        w.note("send", send(&theirs, "served"));
        w.note("recv", recv(&client, 10, 0));
        let late = w.stream()?;
        w.note("connect", ioth::connect(&late, &w.at()));
    }
    Ok(())
}

fn closed_while_it_connects(w: &World) -> Result<()> {
    for way in WAYS {
        let ours = w.stream()?;
        set_timeout(&ours, ioth::SO_SNDTIMEO, 4 * MOMENT)?;
        let result = under(w, way, ours, |fd| ioth::connect(fd, &w.nobody()), || Ok(()))?;
        w.note("connect", result);
    }
    Ok(())
}

/// A kind of call that fails at once must not fail on somebody else's descriptor either.
fn closed_while_it_is_refused(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for way in WAYS {
        let (ours, theirs) = w.pair_of(&listener)?;
        let got = under(
            w,
            way,
            ours,
            |fd| recv(fd, 10, 0),
            || {
                w.note("close", ioth::close(theirs));
                Ok(())
            },
        )?;
        w.note("recv", got);
    }
    Ok(())
}

fn closed_while_a_receiver_has_its_time(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for way in WAYS {
        let (ours, theirs) = w.pair_of(&listener)?;
        set_timeout(&ours, ioth::SO_RCVTIMEO, 4 * MOMENT)?;
        w.note("recv", under(w, way, ours, |fd| recv(fd, 10, 0), || Ok(()))?);
        w.note("the peer's recv", recv(&theirs, 10, 0));
    }
    Ok(())
}

fn reset_after_it_was_closed(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for way in WAYS {
        let (ours, theirs) = w.pair_of(&listener)?;
        ioth::setsockopt(&theirs, SOL_SOCKET, ioth::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0])?;
        let got = under(
            w,
            way,
            ours,
            |fd| recv(fd, 10, 0),
            || {
                w.note("close", ioth::close(theirs));
                Ok(())
            },
        )?;
        w.note("recv", got);
    }
    Ok(())
}

/// poll(2) looks at the number anew whenever it wakes up, and then sees who has it.
fn closed_while_it_polls(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for way in WAYS {
        let (ours, theirs) = w.pair_of(&listener)?;
        let poll = |fd: BorrowedFd<'static>| -> io::Result<String> {
            let mut fds = [pollfd { fd: fd.as_raw_fd(), events: POLLIN, revents: 0 }];
            let count = ioth::poll(&mut fds, 1000)?;
            Ok(format!("{count}: {:#x}", fds[0].revents))
        };
        let polled = under(w, way, ours, poll, || {
            w.note("send", send(&theirs, "word"));
            Ok(())
        })?;
        w.note("poll", polled);
    }
    Ok(())
}

fn closed_while_one_of_two_receives(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for way in WAYS {
        let (ours, theirs) = w.pair_of(&listener)?;
        let at = number(&ours);
        thread::scope(|scope| -> Result<()> {
            let other = scope.spawn(move || recv(at, 10, MSG_WAITALL));
            thread::sleep(MOMENT);
            let got = under(
                w,
                way,
                ours,
                |fd| recv(fd, 10, MSG_WAITALL),
                || {
                    w.note("send", send(&theirs, "0123456789"));
                    w.note("send", send(&theirs, "0123456789"));
                    Ok(())
                },
            )?;
            w.note("recv", got.map(|text| text.len()));
            w.note("recv", other.join().expect("no panic").map(|text| text.len()));
            Ok(())
        })?;
        w.note("the peer's recv", recv(&theirs, 10, 0));
    }
    Ok(())
}

fn closed_under_two_numbers(w: &World) -> Result<()> {
    let listener = w.listener()?;
    for way in WAYS {
        let (ours, theirs) = w.pair_of(&listener)?;
        let copy = rustix::io::fcntl_dupfd_cloexec(ours.as_fd(), 0)?;
        let got = under(
            w,
            way,
            ours,
            |fd| recv(fd, 10, 0),
            || {
                w.note("send", send(&theirs, "word"));
                Ok(())
            },
        )?;
        w.note("recv", got);
        w.note("the copy's send", send(&copy, "still"));
        w.note("the peer's recv", recv(&theirs, 10, 0));
        w.note("close", ioth::close(copy));
        w.note("the peer's recv", recv(&theirs, 10, 0));
    }
    Ok(())
}
