//! sendmsg(2) and recvmsg(2): data in several parts, with control messages beside it.

use crate::arrivals::How;
use crate::control::{self, Control, ExtendedError};
use crate::cork;
use crate::datagram;
use crate::errno::fail;
use crate::netlink;
use crate::option::Flag;
use crate::packet;
use crate::sockaddr::{self, SockAddr};
use crate::socket::{known_flags, known_recv_flags, recv_found, send_found};
use crate::state::Shared;
use crate::sys::constants::{
    IP_ORIGDSTADDR, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IPV6_ORIGDSTADDR, MSG_CMSG_CLOEXEC, MSG_ERRQUEUE,
    MSG_OOB, MSG_TRUNC, SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, SO_EE_ORIGIN_LOCAL, SO_TIMESTAMPING,
    SOL_SOCKET,
};
use crate::sys::message as raw;
use crate::table::{self, Found};
use ioth_stack::net::InterfaceId;
use ioth_stack::{Arrival, DatagramOptions, ErrorReport, Family, Kind, Reporter};
use rustix::io::Errno;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::SystemTime;

/// What recvmsg(2) gives besides the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Bytes that were received; with `MSG_TRUNC` in the call, the whole length of the datagram.
    pub len: usize,
    /// Where a datagram came from; with `MSG_ERRQUEUE`, where it was to go.
    pub from: Option<SocketAddr>,
    /// The control messages, in the order of Linux.
    pub controls: Vec<Control>,
    /// `MSG_TRUNC` when a datagram was cut, `MSG_ERRQUEUE`, `MSG_OOB`, and on kernel sockets whatever the kernel says.
    pub flags: i32,
}

/// Sends data from several parts, a datagram from all of them, with control messages, see sendmsg(2). `to` and `flags` as
/// for [`sendto`](crate::sendto()). TCP has no use for control messages.
///
/// # Errors
/// As [`send`](crate::send()) and [`sendto`](crate::sendto()); `EINVAL` for a control message that cannot be sent or is
/// out of range, or has a source of IPv6 that is no address of the stack (for IPv4 `ENETUNREACH`), `ENODEV` for an interface that does not exist, `EMSGSIZE` for what
/// does not fit and is not to be sent in fragments.
///
/// ```
/// use ioth::{AF_INET, Control, SOCK_DGRAM};
/// use std::io::{IoSlice, IoSliceMut};
///
/// let stack = ioth::Stack::new("switch://messages", "ip=10.0.0.1/24")?;
/// let fd = ioth::msocket(&stack, AF_INET, SOCK_DGRAM, 0)?;
/// ioth::bind(&fd, &"10.0.0.1:5000".parse().expect("an address"))?;
/// ioth::setsockopt_int(&fd, ioth::IPPROTO_IP, ioth::IP_RECVTTL, 1)?;
/// let parts = [IoSlice::new(b"to "), IoSlice::new(b"myself")];
/// ioth::sendmsg(&fd, &parts, &[Control::Ttl(3)], 0, Some(&ioth::getsockname(&fd)?))?;
/// let mut room = [0; 20];
/// let message = ioth::recvmsg(&fd, &mut [IoSliceMut::new(&mut room)], 0)?;
/// assert_eq!(&room[..message.len], b"to myself");
/// assert_eq!(message.controls, [Control::Ttl(3)]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sendmsg(
    fd: impl AsFd,
    parts: &[IoSlice<'_>],
    controls: &[Control],
    flags: i32,
    to: Option<&SocketAddr>,
) -> io::Result<usize> {
    let fd = fd.as_fd();
    send_parts(&table::find(fd)?, fd, parts, controls, flags, to)
}

pub(crate) fn send_parts(
    found: &Found,
    fd: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    controls: &[Control],
    flags: i32,
    to: Option<&SocketAddr>,
) -> io::Result<usize> {
    let shared = match found {
        Found::Kernel => {
            let name = to.map(sockaddr::encode).unwrap_or_default();
            return raw::send(fd, &name, parts, &control::encode_all(controls), flags);
        }
        Found::Netlink(socket) => {
            return netlink::calls::send(socket, fd, parts, flags, to.map(SockAddr::from).as_ref());
        }
        Found::Ours(socket) => &socket.shared,
        Found::Plain(shared) => shared,
    };
    if packet::is_one(shared) {
        let whole = parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>();
        return packet::transmit(found, fd, &whole, flags, to.map(SockAddr::from).as_ref());
    }
    if let [part] = parts
        && (controls.is_empty() || shared.kind == Kind::Stream)
    {
        return send_found(found, fd, part, flags, to);
    }
    let whole = parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>();
    if controls.is_empty() || shared.kind == Kind::Stream {
        return send_found(found, fd, &whole, flags, to);
    }
    let flags = known_flags(shared, flags)?;
    let Found::Ours(socket) = found else {
        // The pair has no place for them.
        return fail(Errno::OPNOTSUPP);
    };
    let Some(destination) = to.copied().or_else(|| shared.names().peer) else {
        return fail(Errno::DESTADDRREQ);
    };
    let own = options(controls, shared, destination.ip().to_canonical())?;
    cork::transmit(socket, fd, &whole, flags & !MSG_OOB, to, &own)
}

/// Receives into several parts, one after the other, with control messages, see recvmsg(2). Which of those come,
/// [`Control`] says. `flags` as for [`recv`](crate::recv()), and on datagram sockets `MSG_ERRQUEUE`: the oldest error that
/// `IP_RECVERR` has had queued, without waiting: what it quotes of the datagram is the data.
///
/// # Errors
/// As [`recv`](crate::recv()); `EAGAIN` when no error is queued.
pub fn recvmsg(fd: impl AsFd, parts: &mut [IoSliceMut<'_>], flags: i32) -> io::Result<Message> {
    let fd = fd.as_fd();
    receive_parts(&table::find(fd)?, fd, parts, flags)
}

pub(crate) fn receive_parts(
    found: &Found,
    fd: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
    flags: i32,
) -> io::Result<Message> {
    match found {
        Found::Kernel => return Ok(receive_from_kernel(fd, parts, flags)?.0),
        Found::Netlink(socket) => return Ok(netlink::calls::receive(socket, fd, parts, flags)?.0),
        Found::Ours(_) | Found::Plain(_) => {}
    }
    // tcp(7): nothing is copied of a stream that is thrown away.
    let dropped = flags & MSG_TRUNC != 0 && found.shared().is_some_and(|shared| shared.kind == Kind::Stream);
    receive_into(parts, dropped, |buffer| receive(found, fd, buffer, flags))
}

/// Receives into several parts with what receives into one. What stands in them behind what was received stays as it was;
/// with `dropped` all of it.
pub(crate) fn receive_into(
    parts: &mut [IoSliceMut<'_>],
    dropped: bool,
    receive: impl FnOnce(&mut [u8]) -> io::Result<Message>,
) -> io::Result<Message> {
    if let [part] = parts {
        return receive(part);
    }
    let mut whole = vec![0; parts.iter().map(|part| part.len()).sum()];
    let message = receive(&mut whole)?;
    let mut rest = &whole[..if dropped { 0 } else { message.len.min(whole.len()) }];
    for part in parts {
        let (front, behind) = rest.split_at(part.len().min(rest.len()));
        part[..front.len()].copy_from_slice(front);
        rest = behind;
    }
    Ok(message)
}

pub(crate) fn receive(
    found: &Found,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<Message> {
    let shared = match found {
        Found::Ours(socket) => &socket.shared,
        Found::Plain(shared) => shared,
        Found::Kernel | Found::Netlink(_) => {
            return receive_parts(found, fd, &mut [IoSliceMut::new(buffer)], flags);
        }
    };
    if shared.kind == Kind::Stream || matches!(found, Found::Plain(_)) {
        // Without room the length of a datagram tells whether it was cut.
        let cuts = if shared.kind == Kind::Stream { 0 } else { MSG_TRUNC };
        let (len, from) = recv_found(found, fd, buffer, flags | cuts)?;
        let cut = cuts != 0 && len > buffer.len();
        let shown = if flags & MSG_TRUNC == 0 { len.min(buffer.len()) } else { len };
        let urgent = if shared.kind == Kind::Stream { flags & MSG_OOB } else { 0 };
        let flags = urgent | flags & MSG_CMSG_CLOEXEC | if cut { MSG_TRUNC } else { 0 };
        return Ok(Message { len: shown, from, controls: Vec::new(), flags });
    }
    let Found::Ours(socket) = found else { return fail(Errno::OPNOTSUPP) };
    if packet::is_one(shared) {
        return packet::receive(socket, fd, buffer, flags).map(|(message, _)| message);
    }
    if flags & MSG_ERRQUEUE != 0 {
        let (received, at) = datagram::receive_error(socket, buffer)?;
        let cut = if received.copied < received.len { MSG_TRUNC } else { 0 };
        return Ok(Message {
            len: received.copied,
            from: Some(received.report.destination),
            controls: controls_of_error(shared, &received.report, at),
            flags: MSG_ERRQUEUE | flags & MSG_CMSG_CLOEXEC | cut,
        });
    }
    let flags = known_recv_flags(shared, flags)?;
    let taken = datagram::receive(socket, fd, buffer, flags & !MSG_OOB)?;
    let cut = taken.len > buffer.len();
    Ok(Message {
        len: taken.shown(buffer.len(), flags),
        from: taken.from,
        controls: taken.how.map_or_else(Vec::new, |how| controls_of(shared, &how, taken.len)),
        flags: flags & MSG_CMSG_CLOEXEC | if cut { MSG_TRUNC } else { 0 },
    })
}

/// The message, and its source of whatever family.
pub(crate) fn receive_from_kernel(
    fd: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
    flags: i32,
) -> io::Result<(Message, Option<SockAddr>)> {
    /// Bytes for control messages.
    const ROOM: usize = 4096;
    let mut controls = [0; ROOM];
    let mut name = None;
    let (mut message, used) = kernel(fd, parts, &mut controls, flags, &mut name)?;
    message.controls = control::decode_all(&controls[..used]);
    Ok((message, name))
}

/// The message without its control messages, which are in `controls`, and how many bytes of that they take.
pub(crate) fn receive_from_kernel_into(
    fd: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
    controls: &mut [u8],
    flags: i32,
) -> io::Result<(Message, usize)> {
    kernel(fd, parts, controls, flags, &mut None)
}

fn kernel(
    fd: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
    controls: &mut [u8],
    flags: i32,
    from: &mut Option<SockAddr>,
) -> io::Result<(Message, usize)> {
    let mut name = [0; sockaddr::ROOM];
    // In words, because that is how they are aligned.
    let mut words = vec![0u64; controls.len().div_ceil(size_of::<u64>())];
    let received = raw::receive(fd, &mut name, parts, &mut words, controls.len(), flags)?;
    let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
    controls.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    *from = SockAddr::written(&name, received.name);
    let message = Message {
        len: received.len,
        from: from.as_ref().and_then(SockAddr::ip),
        controls: Vec::new(),
        flags: received.flags,
    };
    Ok((message, received.controls.min(controls.len())))
}

/// What control messages say about a datagram to `destination`. As Linux, those of the other family are not looked at, but
/// for the source of what goes to a mapped address.
fn options(controls: &[Control], shared: &Shared, destination: IpAddr) -> io::Result<DatagramOptions> {
    let mut own = DatagramOptions::default();
    let to_v4 = destination.is_ipv4();
    let within = |value: i32, least: i32| match u8::try_from(value) {
        Ok(value) if i32::from(value) >= least => Ok(value),
        _ => fail(Errno::INVAL),
    };
    let interface = |index: u32| (index != 0).then(|| InterfaceId::new(index));
    for control in controls {
        // One that was made from bytes counts as what it is.
        let known = match control {
            Control::Other { level, kind, data } => &Control::decode(*level, *kind, data),
            known => known,
        };
        match *known {
            Control::Ttl(ttl) if to_v4 => own.ttl = Some(within(ttl, 1)?),
            Control::Tos(tos) if to_v4 => own.tos = Some(tos),
            Control::PacketInfo { interface: index, local, .. } if to_v4 => {
                own.source = (!local.is_unspecified()).then_some(local.into());
                own.interface = interface(index).or(own.interface);
            }
            Control::HopLimit(-1) if !to_v4 => own.ttl = None,
            Control::HopLimit(limit) if !to_v4 => own.ttl = Some(within(limit, 0)?),
            Control::TrafficClass(class) if !to_v4 => {
                // As Linux, which sends -1 as all ones, whatever RFC 3542 section 6.5 says.
                own.tos = Some(if class == -1 { u8::MAX } else { within(class, 0)? });
            }
            Control::DontFragment(on @ (0 | 1)) if !to_v4 => own.dont_fragment = Some(on == 1),
            Control::PacketInfoV6 { interface: index, address } if !to_v4 || shared.family == Family::V6 => {
                let source = IpAddr::V6(address).to_canonical();
                if !address.is_unspecified() && source.is_ipv4() != to_v4 {
                    return fail(Errno::INVAL);
                }
                own.source = (!address.is_unspecified()).then_some(source);
                own.interface = interface(index).or(own.interface);
            }
            Control::Ttl(_)
            | Control::Tos(_)
            | Control::PacketInfo { .. }
            | Control::HopLimit(_)
            | Control::TrafficClass(_)
            | Control::PacketInfoV6 { .. } => {}
            Control::DontFragment(_) if to_v4 => {}
            Control::DatagramSize(size) if shared.kind == Kind::Datagram => own.datagram_size = Some(size),
            Control::ReceivedSize(_) if shared.kind != Kind::Datagram => {}
            Control::Other { level: IPPROTO_UDP, .. } if shared.kind == Kind::Datagram => {
                return fail(Errno::INVAL);
            }
            Control::Other { level, .. } if !is_looked_at(level, to_v4) => {}
            _ => return fail(Errno::INVAL),
        }
    }
    Ok(own)
}

/// Whether control messages of this level mean something for a datagram of this family.
const fn is_looked_at(level: i32, to_v4: bool) -> bool {
    use crate::sys::constants::{IPPROTO_IP, IPPROTO_IPV6, SOL_SOCKET};
    match level {
        SOL_SOCKET => true,
        IPPROTO_IP => to_v4,
        IPPROTO_IPV6 => !to_v4,
        _ => false,
    }
}

/// The control messages beside a datagram, in the order of Linux.
pub(crate) fn controls_of(shared: &Shared, how: &How, len: usize) -> Vec<Control> {
    let has = |flag| shared.settings.has(flag);
    let How { arrival, at, local } = *how;
    let mut controls = stamps(shared, at);
    if shared.settings.stamps_received() {
        controls.push(stamping(at));
    }
    if has(Flag::Drops) && arrival.drops > 0 {
        controls.push(Control::Drops(arrival.drops));
    }
    if let Some(size) = arrival.size.filter(|_| has(Flag::WholeSuperFrames)) {
        controls.push(Control::ReceivedSize(size.get().into()));
    }
    if let Some(passage) = &arrival.link {
        if has(Flag::AuxData) {
            controls.push(packet::auxiliary(passage, len));
        }
        return controls;
    }
    controls.extend(headers(shared, &arrival, local));
    controls.extend(original_destination(shared, arrival.destination));
    controls
}

/// What the headers said of a packet that arrived; `local` is the address that it concerns, if it was to many.
fn headers(shared: &Shared, arrival: &Arrival, local: Option<Ipv4Addr>) -> Vec<Control> {
    let has = |flag| shared.settings.has(flag);
    let mut controls = Vec::new();
    let interface = arrival.interface.index();
    if shared.family == Family::V6 && has(Flag::PacketInfoV6) {
        let address = match arrival.destination {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        controls.push(Control::PacketInfoV6 { interface, address });
    }
    match arrival.destination {
        IpAddr::V4(destination) => {
            if has(Flag::PacketInfo) {
                controls.push(Control::PacketInfo {
                    interface,
                    local: local.unwrap_or(destination),
                    destination,
                });
            }
            if has(Flag::RecvTtl) {
                controls.push(Control::Ttl(arrival.ttl.into()));
            }
            if has(Flag::RecvTos) {
                controls.push(Control::Tos(arrival.tos));
            }
        }
        IpAddr::V6(_) => {
            if has(Flag::RecvHopLimit) {
                controls.push(Control::HopLimit(arrival.ttl.into()));
            }
            if has(Flag::RecvTrafficClass) {
                controls.push(Control::TrafficClass(arrival.tos.into()));
            }
        }
    }
    controls
}

/// `SCM_TIMESTAMPING` of socket(7): the time by software, none of what is older, none by hardware.
fn stamping(at: SystemTime) -> Control {
    let (_, _, mut data) = Control::TimestampNanos(at).encode();
    data.resize(3 * data.len(), 0);
    Control::Other { level: SOL_SOCKET, kind: SO_TIMESTAMPING, data }
}

/// `IP_ORIGDSTADDR` or `IPV6_ORIGDSTADDR`: where a datagram was sent to.
fn original_destination(shared: &Shared, destination: IpAddr) -> Option<Control> {
    if !shared.settings.original_destination(destination.is_ipv6()) {
        return None;
    }
    let port = shared.names().local.map_or(0, |local| local.port());
    let data = sockaddr::encode(&SocketAddr::new(destination, port));
    let (level, kind) =
        if destination.is_ipv6() { (IPPROTO_IPV6, IPV6_ORIGDSTADDR) } else { (IPPROTO_IP, IP_ORIGDSTADDR) };
    Some(Control::Other { level, kind, data })
}

fn stamps(shared: &Shared, at: SystemTime) -> Vec<Control> {
    if shared.settings.has(Flag::TimestampNanos) {
        vec![Control::TimestampNanos(at)]
    } else if shared.settings.has(Flag::Timestamp) {
        vec![Control::Timestamp(at)]
    } else {
        Vec::new()
    }
}

/// The control messages beside an error.
fn controls_of_error(shared: &Shared, report: &ErrorReport, at: SystemTime) -> Vec<Control> {
    let error = ExtendedError {
        errno: report.error.errno(),
        origin: match report.reporter {
            Reporter::Local => SO_EE_ORIGIN_LOCAL,
            Reporter::Icmp => SO_EE_ORIGIN_ICMP,
            Reporter::Icmp6 => SO_EE_ORIGIN_ICMP6,
        },
        kind: report.kind,
        code: report.code,
        info: report.info,
        data: 0,
        offender: report.offender,
    };
    let mut controls = stamps(shared, at);
    if let Some(arrival) = &report.arrival {
        // As Linux: the message concerns no address in particular.
        controls.extend(headers(shared, arrival, Some(Ipv4Addr::UNSPECIFIED)));
    }
    controls.push(match shared.family {
        Family::V4 => Control::Error(error),
        Family::V6 => Control::ErrorV6(error),
    });
    controls
}
