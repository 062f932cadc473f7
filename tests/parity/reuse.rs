//! A stream socket that is used again: after connect(2) with `AF_UNSPEC`, and after a connect that failed.

use anyhow::Result;
use ioth_tests::netns::Test;

use crate::calls::{IN, OUT, RDHUP, patient, recv, send};
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        taken_back,
        taken_back_with_something_unread,
        taken_back_before_anything,
        taken_back_while_it_connects,
        taken_back_and_bound,
        another_peer,
        bound_after_it_was_refused,
        connected_twice,
    ]
}

fn taken_back(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (ours, theirs) = w.pair_of(&listener)?;
    patient(&theirs)?;
    w.note("disconnect", ioth::disconnect(&ours));
    w.note("peer", ioth::getpeername(&ours));
    w.note("recv", recv(&ours, 10, 0));
    w.note("send", send(&ours, "x"));
    w.settle(&theirs, IN | RDHUP);
    w.note("they receive", recv(&theirs, 10, 0));
    w.note("connect", ioth::connect(&ours, &w.at()));
    let (theirs, _) = ioth::accept(&listener)?;
    patient(&theirs)?;
    w.note("send", send(&ours, "again"));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("answer", send(&theirs, "answer"));
    patient(&ours)?;
    w.note("recv", recv(&ours, 10, 0));
    Ok(())
}

fn taken_back_with_something_unread(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (ours, theirs) = w.pair_of(&listener)?;
    send(&theirs, "unread")?;
    w.settle(&ours, IN | OUT);
    w.note("disconnect", ioth::disconnect(&ours));
    w.note("connect", ioth::connect(&ours, &w.at()));
    let (theirs, _) = ioth::accept(&listener)?;
    patient(&ours)?;
    send(&theirs, "new")?;
    w.note("recv", recv(&ours, 10, 0));
    Ok(())
}

fn taken_back_before_anything(w: &World) -> Result<()> {
    let ours = w.stream()?;
    w.note("disconnect", ioth::disconnect(&ours));
    w.note("twice", ioth::disconnect(&ours));
    let _listener = w.listener()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    Ok(())
}

fn taken_back_while_it_connects(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let ours = w.stream()?;
    ioth::set_nonblocking(&ours, true)?;
    w.note("connect", ioth::connect(&ours, &w.nobody()));
    w.note("connect", ioth::connect(&ours, &w.nobody()));
    w.note("disconnect", ioth::disconnect(&ours));
    w.note("peer", ioth::getpeername(&ours));
    ioth::set_nonblocking(&ours, false)?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    let (theirs, _) = ioth::accept(&listener)?;
    patient(&theirs)?;
    w.note("send", send(&ours, "word"));
    w.note("recv", recv(&theirs, 10, 0));
    w.poll("room", &ours, OUT);
    Ok(())
}

fn taken_back_and_bound(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (ours, _theirs) = w.pair_of(&listener)?;
    w.note("disconnect", ioth::disconnect(&ours));
    w.note("bind", ioth::bind(&ours, &w.here()));
    w.note("connect", ioth::connect(&ours, &w.at()));
    Ok(())
}

fn another_peer(w: &World) -> Result<()> {
    let (listener, beside) = (w.listener()?, w.listener_beside()?);
    let mut other = w.at();
    other.set_port(ioth::getsockname(&beside)?.port());
    let (ours, _theirs) = w.pair_of(&listener)?;
    w.note("elsewhere", ioth::connect(&ours, &other));
    w.note("disconnect", ioth::disconnect(&ours));
    w.note("elsewhere", ioth::connect(&ours, &other));
    w.note("accept", ioth::accept(&beside).map(drop));
    w.note("the peer", ioth::getpeername(&ours)? == other);
    Ok(())
}

fn bound_after_it_was_refused(w: &World) -> Result<()> {
    let ours = w.stream()?;
    w.note("refused", ioth::connect(&ours, &w.at()));
    w.note("bind", ioth::bind(&ours, &w.here()));
    let _listener = w.listener()?;
    w.note("connect", ioth::connect(&ours, &w.at()));
    Ok(())
}

fn connected_twice(w: &World) -> Result<()> {
    let listener = w.listener()?;
    let (ours, _theirs) = w.pair_of(&listener)?;
    w.note("the same", ioth::connect(&ours, &w.at()));
    w.note("nobody", ioth::connect(&ours, &w.nobody()));
    w.note("the listener", ioth::connect(&listener, &w.at()));
    let ours = w.stream()?;
    w.note("refused", ioth::connect(&ours, &w.nowhere()));
    w.note("then not", ioth::connect(&ours, &w.at()));
    Ok(())
}
