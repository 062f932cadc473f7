//! rtnetlink(7), for the kernel's stacks and for ours: one question, one answer, on a socket that is made for it.

use crate::boundary::{call, fail};
use crate::link::stack_at;
use crate::memory::{input, read};
use ioth::Stack;
use std::ffi::c_void;
use std::io;
use std::net::IpAddr;

/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h: what libc has under other types.
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;

/// A question, as far as it is written.
#[derive(Debug)]
pub(crate) struct Question {
    bytes: Vec<u8>,
}

impl Question {
    /// `fixed`: the structure behind the header.
    pub(crate) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).unwrap_or(0);
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(1u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(fixed);
        Self { bytes }
    }

    /// Adds an attribute.
    pub(crate) fn with(mut self, kind: u16, data: &[u8]) -> Self {
        self.bytes.extend(attribute(kind, data));
        self
    }

    /// Asks; gives what the answer has behind its header, nothing if it was a mere yes.
    pub(crate) fn ask(mut self, stack: &Stack) -> io::Result<Vec<u8>> {
        let len = u32::try_from(self.bytes.len()).map_or_else(|_| fail(libc::EMSGSIZE), Ok)?;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        exchange(stack, &self.bytes)
    }
}

/// Type, length and data, aligned to four bytes.
fn attribute(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(data.len() + 4).unwrap_or(u16::MAX).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn exchange(stack: &Stack, question: &[u8]) -> io::Result<Vec<u8>> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    let fd = ioth::msocket(stack, libc::AF_NETLINK, kind, libc::NETLINK_ROUTE)?;
    ioth::send(&fd, question, 0)?;
    let mut answer = vec![0; 1 << 16];
    let len = ioth::recv(&fd, &mut answer, 0)?;
    let answer = &answer[..len.min(answer.len())];
    let (Some(kind), Some(rest)) = (answer.get(4..6), answer.get(HEADER..)) else { return fail(libc::EIO) };
    if kind != (libc::NLMSG_ERROR as u16).to_ne_bytes() {
        return Ok(rest.to_vec());
    }
    // netlink(7): a negative errno, 0 for yes.
    match rest.first_chunk().map_or(-libc::EIO, |errno| i32::from_ne_bytes(*errno)) {
        0 => Ok(Vec::new()),
        errno => fail(-errno),
    }
}

/// Sends a netlink message to a stack and waits for what becomes of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_nldialog(stack: *mut c_void, message: *mut c_void) -> i32 {
    call(|| {
        let stack = stack_at(stack)?;
        // SAFETY: the caller has a message there, which begins with its length.
        let len = unsafe { read(message.cast::<u32>()) }? as usize;
        if len < HEADER {
            return fail(libc::EINVAL);
        }
        // SAFETY: it is as long as it says.
        let mut question = unsafe { input(message, len) }?.to_vec();
        // There is to be an answer, also if it is only a yes.
        let flags = u16::from_ne_bytes([question[6], question[7]]);
        let asks = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        question[6..8].copy_from_slice(&(flags | asks).to_ne_bytes());
        exchange(&stack, &question).map(|_| 0)
    })
}

/// `struct ifinfomsg`.
fn link(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    [index, flags, change].iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
    bytes
}

/// Index and Ethernet address of an interface, by its name or its index.
pub(crate) fn look(stack: &Stack, name: Option<&str>, index: u32) -> io::Result<(u32, Option<[u8; 6]>)> {
    let question = Question::new(libc::RTM_GETLINK, 0, &link(index, 0, 0));
    let answer = match name {
        Some(name) => question.with(libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat()),
        None => question,
    }
    .ask(stack)?;
    let index =
        answer.get(4..8).and_then(|word| word.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word));
    let mut rest = answer.get(16..).unwrap_or_default();
    while let Some((&[a, b, c, d], _)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let Some(data) = rest.get(4..len) else { break };
        if u16::from_ne_bytes([c, d]) == libc::IFLA_ADDRESS {
            return Ok((index, data.try_into().ok()));
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok((index, None))
}

/// Changes something about an interface.
pub(crate) fn change(
    stack: &Stack,
    index: u32,
    up: Option<bool>,
    attributes: &[(u16, &[u8])],
) -> io::Result<()> {
    let flag = libc::IFF_UP.cast_unsigned();
    let (flags, mask) = up.map_or((0, 0), |up| (if up { flag } else { 0 }, flag));
    let question = Question::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link(index, flags, mask));
    attributes.iter().fold(question, |question, (kind, data)| question.with(*kind, data)).ask(stack).map(drop)
}

/// Makes an interface.
pub(crate) fn add(
    stack: &Stack,
    name: &str,
    index: u32,
    kind: &str,
    data: &[(u16, &[u8])],
) -> io::Result<u32> {
    let data: Vec<u8> = data.iter().flat_map(|(kind, data)| attribute(*kind, data)).collect();
    let info = [attribute(IFLA_INFO_KIND, kind.as_bytes()), attribute(IFLA_INFO_DATA, &data)].concat();
    let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    Question::new(libc::RTM_NEWLINK, flags, &link(index, 0, 0))
        .with(libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat())
        .with(libc::IFLA_LINKINFO, &info)
        .ask(stack)?;
    Ok(look(stack, Some(name), 0)?.0)
}

/// Takes an interface away.
pub(crate) fn remove(stack: &Stack, name: Option<&str>, index: u32) -> io::Result<()> {
    let question = Question::new(libc::RTM_DELLINK, libc::NLM_F_ACK, &link(index, 0, 0));
    match name {
        Some(name) => question.with(libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat()),
        None => question,
    }
    .ask(stack)
    .map(drop)
}

/// What becomes of an address or a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Remove,
}

impl Change {
    const fn flags(self) -> i32 {
        match self {
            Self::Add => libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            Self::Remove => libc::NLM_F_ACK,
        }
    }
}

/// Gives an interface an address, or takes it away.
pub(crate) fn address(
    stack: &Stack,
    change: Change,
    address: IpAddr,
    prefix: i32,
    index: u32,
) -> io::Result<()> {
    let kind = if change == Change::Add { libc::RTM_NEWADDR } else { libc::RTM_DELADDR };
    let (family, bytes) = plain(address);
    let mut fixed = vec![family, u8::try_from(prefix).unwrap_or(0), 0, 0];
    fixed.extend(index.to_ne_bytes());
    let question = Question::new(kind, change.flags(), &fixed);
    question.with(libc::IFA_LOCAL, &bytes).with(libc::IFA_ADDRESS, &bytes).ask(stack).map(drop)
}

/// Adds a route, or takes it away.
pub(crate) fn route(
    stack: &Stack,
    change: Change,
    destination: (IpAddr, i32),
    gateway: Option<IpAddr>,
    index: u32,
) -> io::Result<()> {
    let add = change == Change::Add;
    let kind = if add { libc::RTM_NEWROUTE } else { libc::RTM_DELROUTE };
    let (family, bytes) = plain(destination.0);
    let prefix = u8::try_from(destination.1).unwrap_or(0);
    // Who takes a route away does not say who added it, nor how far it is.
    let protocol = if add { libc::RTPROT_BOOT } else { libc::RTPROT_UNSPEC };
    let scope = match (add, gateway) {
        (false, _) => libc::RT_SCOPE_NOWHERE,
        (true, Some(_)) => libc::RT_SCOPE_UNIVERSE,
        (true, None) => libc::RT_SCOPE_LINK,
    };
    let fixed = [family, prefix, 0, 0, libc::RT_TABLE_MAIN, protocol, scope, libc::RTN_UNICAST, 0, 0, 0, 0];
    let mut question = Question::new(kind, change.flags(), &fixed);
    if prefix > 0 {
        question = question.with(libc::RTA_DST, &bytes);
    }
    if let Some(gateway) = gateway {
        question = question.with(libc::RTA_GATEWAY, &plain(gateway).1);
    }
    if index != 0 {
        question = question.with(libc::RTA_OIF, &index.to_ne_bytes());
    }
    question.ask(stack).map(drop)
}

/// Family and bytes of an address.
fn plain(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (libc::AF_INET as u8, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6 as u8, v6.octets().to_vec()),
    }
}
