//! The engine's side of a stream socket: moves bytes between the pair and the rings, for plain calls
//! on the descriptor, and carries the ends of both directions across.

use crate::pair::{self, Given, Taken};
use crate::state::{Phase, Shared};
use crate::{connecting, inside, listener, table, urgent};
use ioth_stack::{Attachment, Cause, Context, EndpointId, Error, Pump, Shutdown};
use rustix::event::epoll::EventFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The attachment of a stream socket, connected or listening.
#[derive(Debug)]
pub(crate) struct Stream {
    shared: Arc<Shared>,
    end: Arc<OwnedFd>,
    /// The application will write nothing more, and nothing that it can: both or one.
    shut: bool,
    /// Nobody holds the application's end, or both directions are over.
    gone: bool,
    /// The end of what the application writes was handed to the engine.
    finished: bool,
    /// The end of the stream was handed to the application.
    told: bool,
    /// What plain calls wrote did not fit into the ring, or the turn was over; at first, what was written before.
    left: bool,
}

/// The most that one turn moves each way, so that one socket does not keep the stack.
const TURN: usize = 256 * 1024;

/// What is left in the pair after the engine took from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// Something: the ring is full.
    RingFull,
    /// Something: the turn is over.
    More,
}

impl Left {
    /// Whether another turn is asked for. When the ring is full its endpoint asks, but for the end of the
    /// process, which asks until nothing is left.
    const fn wants_more(self, cause: Cause) -> bool {
        match self {
            Self::Nothing => false,
            Self::RingFull => matches!(cause, Cause::Drain),
            Self::More => true,
        }
    }
}

/// Moves what the application wrote into the ring.
pub(crate) fn take_written(cx: &mut Context<'_>, id: EndpointId, end: BorrowedFd<'_>) -> Result<Left, Error> {
    let mut moved = 0;
    while moved < TURN {
        let new = pair::written(end);
        if new == 0 {
            return Ok(Left::Nothing);
        }
        let mut taken = Taken::default();
        let sent = cx.engine.send_with(cx.now, id, |room| {
            taken = pair::take(end, new, room);
            taken.len
        });
        match sent {
            Ok(0) | Err(Error::WouldBlock) => return Ok(Left::RingFull),
            Ok(sent) => moved += sent,
            Err(error) => return Err(error),
        }
        if taken.urgent {
            cx.engine.mark_urgent(id)?;
        }
    }
    Ok(Left::More)
}

impl Stream {
    /// The engine's side of a fresh socket or a connection.
    pub(crate) const fn new(shared: Arc<Shared>, end: Arc<OwnedFd>) -> Self {
        Self { shared, end, shut: false, gone: false, finished: false, told: false, left: true }
    }

    /// Notes what the application did with its end.
    fn note(&mut self, cause: Cause) {
        if let Cause::Descriptor(events) = cause {
            self.gone |= events.intersects(EventFlags::HUP | EventFlags::ERR);
            self.shut |= self.gone || events.contains(EventFlags::RDHUP);
        }
        // Whatever the cause: the events may be older than the question.
        if self.shared.look.swap(false, Relaxed) {
            let (shut, gone) = pair::ended(self.end.as_fd());
            self.shut |= shut;
            self.gone |= gone;
        }
    }

    /// Both directions of a connection, and their ends.
    fn connected(&mut self, id: EndpointId, cx: &mut Context<'_>, cause: Cause) -> Pump {
        let ready = cx.engine.readiness(id);
        // What plain calls write is an event of the descriptor, so for others there is nothing to ask the kernel.
        let quiet = matches!(cause, Cause::Endpoint | Cause::Tick) && !self.left && !self.shut;
        let left = if quiet && !ready.write_closed {
            Left::Nothing
        } else {
            self.outward(id, cx, ready.write_closed)
        };
        self.left = left != Left::Nothing;
        if self.gone && !inside::puts_off(&self.shared) {
            return self.hang_up(id, cx, left, cause);
        }
        // Once it is gone there is nobody but library calls.
        let (full, more) = if self.gone { (false, false) } else { self.inward(id, cx, cause) };
        let ready = cx.engine.readiness(id);
        let over = ready.read_closed && cx.engine.recv_queue(id) == 0;
        if ready.error && over {
            let error = cx.engine.take_error(id).unwrap_or(Error::ConnectionReset);
            if !ready.peer_finished {
                return self.fault(id, cx, error);
            }
            // Whoever reads finds the end of the stream, as on Linux; whoever sends or asks, the error.
            self.shared.error.store(error.errno(), Relaxed);
            return self.finish(id, cx);
        }
        if over && !self.told && !self.gone && self.shared.waiting.load(Relaxed) == 0 {
            pair::end_of_stream(self.end.as_fd());
            self.told = true;
        }
        if self.told && left == Left::Nothing && ready.write_closed {
            return self.finish(id, cx);
        }
        Pump { more: more || left.wants_more(cause), want_out: full, done: false }
    }

    /// From the application to the network.
    fn outward(&mut self, id: EndpointId, cx: &mut Context<'_>, closed: bool) -> Left {
        let end = self.end.as_fd();
        let left = if closed {
            pair::discard(end);
            Left::Nothing
        } else {
            take_written(cx, id, end).unwrap_or_else(|_| {
                pair::discard(end);
                Left::Nothing
            })
        };
        if self.shut && !self.gone && left == Left::Nothing && !self.finished {
            self.finished = true;
            // It fails only on a connection that is over already.
            let _ = cx.engine.shutdown(cx.now, id, Shutdown::Write);
        }
        left
    }

    /// From the network to the application: (the pair is full, the turn is over).
    fn inward(&self, id: EndpointId, cx: &mut Context<'_>, cause: Cause) -> (bool, bool) {
        if cx.engine.recv_queue(id) == 0 {
            return (false, false);
        }
        if !cx.engine.readiness(id).error && !urgent::is_marked(cx, id, &self.shared) {
            if self.shared.waiting.load(Relaxed) > 0 {
                return (false, false);
            }
            if self.shared.stays_direct(cause) {
                cx.pump_later(id);
                return (false, false);
            }
        }
        let end = self.end.as_fd();
        // SO_RCVLOWAT: poll shows nothing before there is so much.
        let (ready, least) = (cx.engine.readiness(id), self.shared.settings.low_water());
        if least > 1
            && !ready.read_closed
            && !ready.error
            && self.shared.held.load(Relaxed) + cx.engine.recv_queue(id) < least
        {
            return (false, false);
        }
        let mut moved = 0;
        while moved < TURN && cx.engine.recv_queue(id) > 0 {
            let mut given = Given::Full;
            let mark = cx.engine.urgent_mark(id);
            let taken = cx.engine.recv_with(cx.now, id, |bytes| {
                given = pair::give_marked(end, bytes, mark);
                match given {
                    Given::Bytes(count) => count,
                    Given::Full => 0,
                    // Nobody will read it: the application shut receiving down.
                    Given::Shut => bytes.len(),
                }
            });
            match (taken, given) {
                (Ok(taken), Given::Bytes(count)) => {
                    self.shared.put(count);
                    moved += taken;
                }
                (Ok(taken), Given::Shut) => moved += taken.max(1),
                (_, Given::Full) => return (true, false),
                (Err(_), _) => return (false, false),
            }
        }
        (false, cx.engine.recv_queue(id) > 0)
    }

    /// The application closed its last descriptor, or both directions are over.
    fn hang_up(&self, id: EndpointId, cx: &mut Context<'_>, left: Left, cause: Cause) -> Pump {
        self.shared.hung_up.store(true, Relaxed);
        let unread = pair::left_unread(self.end.as_fd());
        if unread || self.shared.settings.linger() == Some(0) {
            cx.engine.abort(cx.now, id);
            return self.detach();
        }
        let dropped = cx.engine.recv_queue(id) > 0 && !self.shared.read_shut.load(Relaxed);
        if left == Left::Nothing || dropped {
            // With something unread the engine makes it a reset.
            return self.finish(id, cx);
        }
        // What it wrote goes out first; the ring says when there is room.
        Pump { more: left.wants_more(cause), want_out: false, done: false }
    }

    /// The connection is over without an error.
    fn finish(&self, id: EndpointId, cx: &mut Context<'_>) -> Pump {
        if self.shared.read_shut.load(Relaxed) {
            while cx.engine.recv_queue(id) > 0
                && matches!(cx.engine.recv_with(cx.now, id, <[u8]>::len), Ok(1..))
            {}
        }
        pair::forget_sentinel(self.end.as_fd());
        cx.engine.close(cx.now, id);
        self.detach()
    }

    /// The connection is over by an error: the descriptor reports a reset, the library corrects it.
    fn fault(&self, id: EndpointId, cx: &mut Context<'_>, error: Error) -> Pump {
        self.shared.error.store(error.errno(), Relaxed);
        cx.engine.close(cx.now, id);
        self.detach()
    }

    /// Gives up the engine's end. Closing it with the sentinel in it makes a reset.
    fn detach(&self) -> Pump {
        self.shared.set_phase(Phase::Ended);
        drop(self.shared.spare.lock().take());
        drop(self.shared.parked.lock().take());
        drop(self.shared.end.lock().take());
        table::retire(self.shared.cookie);
        Pump { more: false, want_out: false, done: true }
    }
}

impl Attachment for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    fn pump(&mut self, id: EndpointId, cx: &mut Context<'_>, cause: Cause) -> Pump {
        self.note(cause);
        match self.shared.phase() {
            Phase::Connected => self.connected(id, cx, cause),
            Phase::Filled => match connecting::advance(cx, id, &self.shared) {
                None => Pump::default(),
                Some(Ok(())) => self.connected(id, cx, cause),
                Some(Err(error)) => self.fault(id, cx, error),
            },
            // Its error was taken by the call that found out.
            Phase::Refused | Phase::Ended => {
                pair::forget_sentinel(self.end.as_fd());
                cx.engine.close(cx.now, id);
                self.detach()
            }
            Phase::Listening if !self.gone => listener::pump(&self.shared, self.end.as_fd(), id, cx, cause),
            Phase::Fresh | Phase::Awaited | Phase::Listening => {
                let ready = cx.engine.readiness(id);
                if self.shared.phase() == Phase::Fresh && ready.error && !ready.connecting {
                    let error = cx.engine.take_error(id).unwrap_or(Error::NetworkDown);
                    return self.fault(id, cx, error);
                }
                if self.gone && !inside::puts_off(&self.shared) {
                    self.finish(id, cx)
                } else {
                    Pump::default()
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::Settings;
    use crate::pair::Pair;
    use ioth_stack::{Family, Kind, Options};

    #[test]
    fn a_close_is_seen_whatever_events_came_before_it() {
        let pair = Pair::new(Kind::Stream, false).expect("descriptors");
        let end = Arc::new(pair.engine);
        let settings = Settings::new(&Options::default());
        let shared = Shared::new(Kind::Stream, Family::V4, pair.cookie, settings, Arc::clone(&end));
        let mut stream = Stream::new(Arc::new(shared), end);
        stream.note(Cause::Descriptor(EventFlags::IN));
        assert!(!stream.gone);
        // The driver has collected an event; then the application closes and asks to look.
        drop(pair.application);
        stream.shared.look.store(true, Relaxed);
        stream.note(Cause::Descriptor(EventFlags::IN));
        assert!(stream.gone && stream.shut);
    }
}
