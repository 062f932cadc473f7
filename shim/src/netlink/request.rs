//! What a datagram of requests is answered: each message goes to the file of what it is about, and is acknowledged or
//! refused as Linux does (`netlink_rcv_skb`, `rtnetlink_rcv_msg`).

use super::codec::{Request, Writer, add_flags, requests};
use super::constants::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_MULTI, NLM_F_REQUEST, NLMSG_ERROR,
    NLMSG_HDRLEN, NLMSG_MIN_TYPE, NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS, RTM_DELADDR, RTM_DELLINK,
    RTM_DELNEIGH, RTM_DELROUTE, RTM_GETADDR, RTM_GETLINK, RTM_GETNEIGH, RTM_GETROUTE, RTM_GETRULE, RTM_MAX,
    RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWROUTE, RTM_SETLINK,
};
use super::fault::Fault;
use super::{address, link, neighbour, notice, route, rule};
use ioth_stack::{Snapshot, Stack};
use rustix::io::Errno;

/// How a socket wants its answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// The port they go to.
    pub(super) port: u32,
    /// `NETLINK_EXT_ACK`.
    pub(super) extended: bool,
    /// `NETLINK_CAP_ACK`.
    pub(super) capped: bool,
    /// `NETLINK_GET_STRICT_CHK`: dumps are filtered.
    pub(super) strict: bool,
}

/// What a request works on.
pub(super) struct Work<'a> {
    pub(super) stack: &'a Stack,
    pub(super) request: Request<'a>,
    /// Sequence number and port of what answers it.
    pub(super) to: (u32, u32),
    pub(super) strict: bool,
}

impl Work<'_> {
    /// The configuration as it is now.
    pub(super) fn seen(&self) -> Snapshot {
        self.stack.run(|cx| cx.engine.configured(cx.now))
    }

    /// The first byte of every fixed part.
    pub(super) fn family(&self) -> u8 {
        self.request.payload().first().copied().unwrap_or(0)
    }
}

/// A part of a dump is no longer than this, so that the usual 8 KiB of a reader take it.
const PART: usize = 8192;

/// Does what a datagram asks for, and gives the datagrams that answer it.
pub(super) fn answer(stack: &Stack, manner: Manner, datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for request in requests(datagram) {
        let to = (request.sequence, manner.port);
        if !request.has(NLM_F_REQUEST) || request.kind < NLMSG_MIN_TYPE {
            if request.has(NLM_F_ACK) {
                answers.push(acknowledge(&request, manner, None));
            }
            continue;
        }
        let work = Work { stack, request, to, strict: manner.strict };
        match notice::caused(to, || serve(&work)) {
            Ok(Answer::Dump(messages)) => answers.extend(parts(messages, to)),
            Ok(Answer::Messages(messages)) => {
                answers.extend(messages);
                if request.has(NLM_F_ACK) {
                    answers.push(acknowledge(&request, manner, None));
                }
            }
            Err(fault) => answers.push(acknowledge(&request, manner, Some(fault))),
        }
    }
    answers
}

/// What comes of one request.
enum Answer {
    /// A dump, which `NLMSG_DONE` ends and nothing else acknowledges.
    Dump(Vec<Vec<u8>>),
    /// Messages, an acknowledgement behind them if it is asked for.
    Messages(Vec<Vec<u8>>),
}

fn serve(work: &Work<'_>) -> Result<Answer, Fault> {
    let Request { kind, .. } = work.request;
    if kind > RTM_MAX {
        return Err(Fault::new(Errno::OPNOTSUPP));
    }
    // As Linux: without a family it is nothing.
    if work.request.payload().is_empty() {
        return Ok(Answer::Messages(Vec::new()));
    }
    // Any of the two bits of NLM_F_DUMP, on what asks.
    let dumps = kind % 4 == 2 && work.request.flags as i32 & NLM_F_DUMP != 0;
    if dumps {
        return Ok(Answer::Dump(match kind {
            RTM_GETLINK => link::dump(work),
            RTM_GETADDR => address::dump(work),
            RTM_GETROUTE => route::dump(work),
            RTM_GETNEIGH => neighbour::dump(work),
            RTM_GETRULE => rule::dump(work),
            _ => return Err(Fault::new(Errno::OPNOTSUPP)),
        }));
    }
    let done = match kind {
        RTM_GETLINK => return Ok(Answer::Messages(vec![link::one(work)?])),
        RTM_GETROUTE => return Ok(Answer::Messages(vec![route::one(work)?])),
        RTM_GETNEIGH => return Ok(Answer::Messages(vec![neighbour::one(work)?])),
        RTM_GETADDR => return Ok(Answer::Messages(vec![address::one(work)?])),
        RTM_NEWLINK => link::create(work),
        RTM_SETLINK => link::set(work),
        RTM_DELLINK => link::delete(work),
        RTM_NEWADDR => address::create(work),
        RTM_DELADDR => address::delete(work),
        RTM_NEWROUTE => route::create(work),
        RTM_DELROUTE => route::delete(work),
        RTM_NEWNEIGH => neighbour::create(work),
        RTM_DELNEIGH => neighbour::delete(work),
        _ => Err(Fault::new(Errno::OPNOTSUPP)),
    };
    done.map(|()| Answer::Messages(Vec::new()))
}

/// The datagrams of a dump.
fn parts(messages: Vec<Vec<u8>>, to: (u32, u32)) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for mut message in messages {
        add_flags(&mut message, NLM_F_MULTI);
        match parts.last_mut() {
            Some(part) if part.len() + message.len() <= PART => part.extend(message),
            _ => parts.push(message),
        }
    }
    parts.push(Writer::done(to));
    parts
}

/// `NLMSG_ERROR`, as `netlink_ack` of Linux makes it: the request is quoted, as far as that is wanted.
fn acknowledge(request: &Request<'_>, manner: Manner, fault: Option<Fault>) -> Vec<u8> {
    let quoted = fault.is_some() && !manner.capped;
    let told = fault.filter(|fault| manner.extended && (!fault.text.is_empty() || fault.offset.is_some()));
    let flags = if quoted { 0 } else { NLM_F_CAPPED } | if told.is_some() { NLM_F_ACK_TLVS } else { 0 };
    let mut writer = Writer::new(NLMSG_ERROR as u16, flags, (request.sequence, manner.port));
    let errno = fault.map_or(0, |fault| -fault.errno.raw_os_error());
    writer.put(&errno.to_ne_bytes());
    writer.put(if quoted { request.whole } else { &request.whole[..NLMSG_HDRLEN] });
    if let Some(fault) = told {
        if !fault.text.is_empty() {
            writer.text(NLMSGERR_ATTR_MSG, fault.text);
        }
        if let Some(offset) = fault.offset {
            writer.integer(NLMSGERR_ATTR_OFFS, u32::try_from(offset).unwrap_or(0));
        }
    }
    writer.finish()
}
