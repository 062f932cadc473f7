//! sendmsg(2) and recvmsg(2): parts, and control messages both ways.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use ioth::{
    Control, IP_PKTINFO, IP_RECVTOS, IP_RECVTTL, IPPROTO_IP, IPPROTO_IPV6, IPV6_RECVHOPLIMIT,
    IPV6_RECVPKTINFO, IPV6_RECVTCLASS, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC,
    MSG_WAITALL, Message, SO_RXQ_OVFL, SO_TIMESTAMP, SO_TIMESTAMPNS, SOL_SOCKET,
};
use ioth_tests::netns::Test;

use crate::calls::{IN, option, patient, plain_read, recv, send, text};
use crate::transcript::{Show, named};
use crate::world::{Family, World};

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![
        parts_of_a_stream,
        parts_of_a_datagram,
        what_a_message_says,
        nothing_asked_nothing_told,
        headers_of_a_datagram,
        headers_through_the_pair,
        headers_beside_plain_calls,
        headers_after_connect,
        ipv4_on_an_ipv6_socket,
        of_one_datagram_only,
        strange_control_messages,
        the_source_of_a_datagram,
        a_broadcast,
        timestamps,
        drops,
        errors_of_messages,
        room_for_control_messages,
    ]
}

/// recvmsg(2) with room for so many bytes.
pub(crate) fn receive(fd: &OwnedFd, len: usize, flags: i32) -> io::Result<(String, Message)> {
    let mut room = vec![0; len];
    let message = ioth::recvmsg(fd, &mut [IoSliceMut::new(&mut room)], flags)?;
    Ok((text(&room[..message.len.min(len)]), message))
}

/// sendmsg(2) of one part.
pub(crate) fn transmit(
    fd: &OwnedFd,
    data: &[u8],
    controls: &[Control],
    to: Option<&SocketAddr>,
) -> io::Result<usize> {
    ioth::sendmsg(fd, &[IoSlice::new(data)], controls, MSG_NOSIGNAL, to)
}

impl Show for Message {
    fn show(&self, world: &World) -> String {
        let controls: Vec<_> = self.controls.iter().map(|control| control.show(world)).collect();
        let from = self.from.show(world);
        format!("{} from {from}, flags {:#x}, [{}]", self.len, self.flags, controls.join(", "))
    }
}

impl Show for Control {
    fn show(&self, world: &World) -> String {
        let place = |ip: IpAddr| SocketAddr::new(ip, 0).show(world);
        match self {
            // Interfaces have other numbers.
            Self::PacketInfo { local, destination, .. } => {
                format!("packet info {}, {}", place((*local).into()), place((*destination).into()))
            }
            Self::PacketInfoV6 { address, .. } => format!("packet info {}", place((*address).into())),
            Self::Timestamp(at) | Self::TimestampNanos(at) => {
                let age = SystemTime::now().duration_since(*at).unwrap_or_default();
                let name = if matches!(self, Self::Timestamp(_)) { "time" } else { "exact time" };
                format!("{name}, recent: {}", age < Duration::from_secs(20))
            }
            Self::Error(error) | Self::ErrorV6(error) => format!(
                "{}{}, origin {}, {}/{}, info {}, by {}",
                if matches!(self, Self::Error(_)) { "" } else { "v6 " },
                named(rustix::io::Errno::from_raw_os_error(error.errno)),
                error.origin,
                error.kind,
                error.code,
                error.info,
                error.offender.show(world)
            ),
            other => format!("{other:?}"),
        }
    }
}

/// A server that is told everything about datagrams, and a client.
fn pair(w: &World) -> Result<(OwnedFd, OwnedFd)> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    patient(&ours)?;
    ask(w, &theirs, 1)?;
    Ok((ours, theirs))
}

/// Sets all options that bring control messages, but the times.
pub(crate) fn ask(w: &World, fd: &OwnedFd, on: i32) -> Result<()> {
    let (level, names) = match w.family {
        Family::V4 => (IPPROTO_IP, [IP_RECVTTL, IP_RECVTOS, IP_PKTINFO]),
        Family::V6 => (IPPROTO_IPV6, [IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_RECVPKTINFO]),
    };
    for name in names {
        ioth::setsockopt_int(fd, level, name, on)?;
    }
    Ok(())
}

/// Control messages for the two numbers.
fn numbers(w: &World, ttl: i32, tos: u8) -> [Control; 2] {
    match w.family {
        Family::V4 => [Control::Ttl(ttl), Control::Tos(tos)],
        Family::V6 => [Control::HopLimit(ttl), Control::TrafficClass(tos.into())],
    }
}

fn parts_of_a_stream(w: &World) -> Result<()> {
    let (ours, theirs) = w.pair()?;
    let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two"), IoSlice::new(b" three")];
    w.note("sendmsg", ioth::sendmsg(&ours, &parts, &[], 0, None));
    let (mut a, mut b) = ([0; 5], [0; 8]);
    let message =
        ioth::recvmsg(&theirs, &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)], MSG_WAITALL)?;
    w.note("recvmsg", message);
    w.note("parts", (text(&a), text(&b)));
    w.note("no parts", ioth::sendmsg(&ours, &[], &[], 0, None));
    w.note("with a control message", transmit(&ours, b"more", &[Control::Ttl(0)], Some(&w.nowhere())));
    w.note("peek", receive(&theirs, 2, MSG_PEEK));
    w.note("recvmsg", receive(&theirs, 10, 0));
    w.note("nothing", receive(&theirs, 10, MSG_DONTWAIT));
    ioth::close(ours)?;
    w.note("end", receive(&theirs, 10, 0));
    Ok(())
}

fn parts_of_a_datagram(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    let parts = [IoSlice::new(b"one "), IoSlice::new(b"two")];
    w.note("sendmsg", ioth::sendmsg(&ours, &parts, &[], 0, Some(&w.at())));
    let (mut a, mut b, mut c) = ([0; 3], [0; 2], [0; 9]);
    let mut room = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b), IoSliceMut::new(&mut c)];
    w.note("recvmsg", ioth::recvmsg(&theirs, &mut room, 0));
    w.note("parts", (text(&a), (text(&b), text(&c[..2]))));
    w.note("nothing at all", ioth::sendmsg(&ours, &[], &[], 0, Some(&w.at())));
    w.note("recvmsg", receive(&theirs, 9, 0));
    w.note("another", ioth::sendmsg(&ours, &parts, &[], 0, Some(&w.at())));
    w.note("without room", ioth::recvmsg(&theirs, &mut [], 0));
    Ok(())
}

fn what_a_message_says(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    ask(w, &theirs, 0)?;
    for flags in [0, MSG_PEEK, MSG_TRUNC, MSG_TRUNC | MSG_PEEK] {
        w.note("sendmsg", transmit(&ours, b"0123456789", &[], Some(&w.at())));
        w.note(&format!("{flags:#x}"), receive(&theirs, 4, flags));
        if flags & MSG_PEEK != 0 {
            w.note("taken", receive(&theirs, 20, 0));
        }
    }
    Ok(())
}

fn nothing_asked_nothing_told(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    ask(w, &theirs, 0)?;
    w.note("sendmsg", transmit(&ours, b"word", &numbers(w, 3, 8), Some(&w.at())));
    w.note("recvmsg", receive(&theirs, 10, 0));
    Ok(())
}

fn headers_of_a_datagram(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    w.note("usual", transmit(&ours, b"usual", &[], Some(&w.at())));
    w.note("recvmsg", receive(&theirs, 10, 0));
    for (ttl, tos) in [(1, 0), (255, 0xb8), (2, 0xff), (64, 1)] {
        w.note("sendmsg", transmit(&ours, b"word", &numbers(w, ttl, tos), Some(&w.at())));
        w.note("peek", receive(&theirs, 10, MSG_PEEK));
        w.note("recvmsg", receive(&theirs, 10, 0));
    }
    // A long one has them in each fragment.
    w.note("long", transmit(&ours, &[7; 5000], &numbers(w, 9, 0x20), Some(&w.at())));
    w.note("recvmsg", receive(&theirs, 6000, 0));
    Ok(())
}

fn headers_through_the_pair(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    for (number, word) in (1..).zip(["one", "two", "three"]) {
        transmit(&ours, word.as_bytes(), &numbers(w, number, 0), Some(&w.at()))?;
    }
    // Poll brings them to the descriptor.
    w.poll("three", &theirs, IN | crate::calls::OUT);
    for _ in 0..3 {
        w.note("recvmsg", receive(&theirs, 10, 0));
    }
    Ok(())
}

fn headers_beside_plain_calls(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    ioth::connect(&ours, &w.at())?;
    ioth::connect(&theirs, &ioth::getsockname(&ours)?)?;
    for (number, word) in (1..).zip(["one", "twice", "", "three", "four"]) {
        transmit(&ours, word.as_bytes(), &numbers(w, number, 0), None)?;
    }
    w.poll("five", &theirs, IN | crate::calls::OUT);
    w.note("plain read", plain_read(&theirs, 10));
    w.note("recvmsg", receive(&theirs, 10, 0));
    w.note("plain read", plain_read(&theirs, 10));
    w.note("recv", recv(&theirs, 10, 0));
    w.note("recvmsg", receive(&theirs, 10, 0));
    Ok(())
}

fn headers_after_connect(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    let name = {
        transmit(&ours, b"bound", &[], Some(&w.at()))?;
        receive(&theirs, 10, 0)?.1.from
    };
    transmit(&ours, b"waits", &numbers(w, 5, 0), Some(&w.at()))?;
    w.settle(&theirs, IN);
    if let Some(name) = name {
        w.note("connect", ioth::connect(&theirs, &name));
    }
    w.note("recvmsg", receive(&theirs, 10, 0));
    Ok(())
}

fn ipv4_on_an_ipv6_socket(w: &World) -> Result<()> {
    let (four, six) = (w.with(Family::V4), w.with(Family::V6));
    let theirs = six.datagram(&w.server)?;
    ioth::bind(&theirs, &six.any(w.port))?;
    patient(&theirs)?;
    ask(&six, &theirs, 1)?;
    let ours = six.datagram(&w.client)?;
    let IpAddr::V4(v4) = four.at().ip() else { unreachable!("it is an IPv4 address") };
    let to = SocketAddr::new(v4.to_ipv6_mapped().into(), w.port);
    w.note("mapped", transmit(&ours, b"mapped", &numbers(&four, 7, 4), Some(&to)));
    w.note("recvmsg", receive(&theirs, 10, 0));
    ask(&four, &theirs, 1)?;
    w.note("both asked", transmit(&ours, b"mapped", &numbers(&four, 7, 4), Some(&to)));
    w.note("recvmsg", receive(&theirs, 10, 0));
    w.note("numbers of IPv6", transmit(&ours, b"mapped", &numbers(&six, 7, 4), Some(&to)));
    w.note("recvmsg", receive(&theirs, 10, 0));
    w.note("IPv6", transmit(&ours, b"six", &numbers(&six, 7, 4), Some(&six.at())));
    w.note("recvmsg", receive(&theirs, 10, 0));
    w.note("numbers of IPv4", transmit(&ours, b"six", &numbers(&four, 7, 4), Some(&six.at())));
    w.note("recvmsg", receive(&theirs, 10, 0));
    Ok(())
}

fn of_one_datagram_only(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    ioth::connect(&ours, &w.at())?;
    w.note("one", transmit(&ours, b"one", &numbers(w, 3, 8), None));
    w.note("the next", send(&ours, "next"));
    for _ in 0..2 {
        w.note("recvmsg", receive(&theirs, 10, 0));
    }
    Ok(())
}

fn strange_control_messages(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    let other = |level, kind, data: &[u8]| Control::Other { level, kind, data: data.to_vec() };
    let strange = [
        Control::Ttl(0),
        Control::Ttl(-1),
        Control::Ttl(256),
        Control::HopLimit(-1),
        Control::HopLimit(-2),
        Control::HopLimit(256),
        Control::TrafficClass(-1),
        Control::TrafficClass(-2),
        Control::TrafficClass(256),
        Control::DontFragment(1),
        Control::DontFragment(2),
        other(IPPROTO_IP, ioth::IP_TOS, &256i32.to_ne_bytes()),
        other(IPPROTO_IP, ioth::IP_TOS, &3i32.to_ne_bytes()),
        other(IPPROTO_IP, ioth::IP_TTL, &[1; 3]),
        other(IPPROTO_IP, 99, &[0; 4]),
        other(IPPROTO_IPV6, 199, &[0; 4]),
        other(SOL_SOCKET, 999, &[0; 4]),
        other(77, 1, &[0; 4]),
    ];
    for control in strange {
        let shown = format!("{control:?}");
        let sent = transmit(&ours, b"word", &[control], Some(&w.at()));
        if sent.is_ok() {
            w.note(&shown, receive(&theirs, 10, 0));
        } else {
            w.note(&shown, sent);
        }
    }
    w.note("no destination", transmit(&ours, b"word", &[Control::Ttl(0)], None));
    Ok(())
}

/// A control message that asks for a source.
fn source(ip: IpAddr, interface: u32) -> Control {
    match ip {
        IpAddr::V4(local) => Control::PacketInfo { interface, local, destination: [0; 4].into() },
        IpAddr::V6(address) => Control::PacketInfoV6 { interface, address },
    }
}

fn the_source_of_a_datagram(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    let to = Some(w.at());
    w.note("own", transmit(&ours, b"own", &[source(w.here().ip(), 0)], to.as_ref()));
    w.note("recvmsg", receive(&theirs, 10, 0));
    w.note("any", transmit(&ours, b"any", &[source(w.any(0).ip(), 0)], to.as_ref()));
    w.note("recvmsg", receive(&theirs, 10, 0));
    w.note("nobody's", transmit(&ours, b"x", &[source(w.nobody().ip(), 0)], to.as_ref()));
    w.note("no interface", transmit(&ours, b"x", &[source(w.any(0).ip(), 77)], to.as_ref()));
    Ok(())
}

fn a_broadcast(w: &World) -> Result<()> {
    if w.family == Family::V6 {
        w.note("there is none", 0);
        return Ok(());
    }
    let theirs = w.datagram(&w.server)?;
    ioth::bind(&theirs, &w.any(w.port))?;
    patient(&theirs)?;
    ask(w, &theirs, 1)?;
    let ours = w.datagram(&w.client)?;
    ioth::setsockopt_int(&ours, SOL_SOCKET, ioth::SO_BROADCAST, 1)?;
    if w.client.same_as(&w.server) {
        w.note("a host does not hear itself here", 0);
        return Ok(());
    }
    let all = SocketAddr::from(([10, 0, 0, 255], w.port));
    w.note("sendmsg", transmit(&ours, b"all", &[], Some(&all)));
    w.note("recvmsg", receive(&theirs, 10, 0));
    Ok(())
}

fn timestamps(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    ask(w, &theirs, 0)?;
    let shown = |fd: &OwnedFd| (option(fd, SOL_SOCKET, SO_TIMESTAMP), option(fd, SOL_SOCKET, SO_TIMESTAMPNS));
    w.note("at first", shown(&theirs));
    for (name, value) in
        [(SO_TIMESTAMP, 1), (SO_TIMESTAMPNS, 7), (SO_TIMESTAMP, 1), (SO_TIMESTAMPNS, 0), (SO_TIMESTAMPNS, 1)]
    {
        w.note(&format!("set {name} to {value}"), ioth::setsockopt_int(&theirs, SOL_SOCKET, name, value));
        w.note("shows", shown(&theirs));
        transmit(&ours, b"word", &[], Some(&w.at()))?;
        w.note("recvmsg", receive(&theirs, 10, 0));
    }
    ask(w, &theirs, 1)?;
    transmit(&ours, b"word", &[], Some(&w.at()))?;
    w.note("before the others", receive(&theirs, 10, 0));
    Ok(())
}

fn drops(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    ask(w, &theirs, 0)?;
    w.note("shows", option(&theirs, SOL_SOCKET, SO_RXQ_OVFL));
    w.note("set", ioth::setsockopt_int(&theirs, SOL_SOCKET, SO_RXQ_OVFL, 1));
    w.note("shows", option(&theirs, SOL_SOCKET, SO_RXQ_OVFL));
    transmit(&ours, b"first", &[], Some(&w.at()))?;
    w.note("none yet", receive(&theirs, 10, 0));
    ioth::setsockopt_int(&theirs, SOL_SOCKET, ioth::SO_RCVBUF, 4096)?;
    // Much more than fits the queue and the pair, and less than a link would lose.
    for _ in 0..800 {
        transmit(&ours, &[7; 1000], &[], Some(&w.at()))?;
    }
    w.settle(&theirs, IN);
    // The last one finds room again, sooner or later.
    let mut told = None;
    while told.is_none() {
        while receive(&theirs, 1000, MSG_DONTWAIT).is_ok() {}
        transmit(&ours, b"last", &[], Some(&w.at()))?;
        while let Ok((word, message)) = receive(&theirs, 10, 0) {
            if word == "\"last\"" {
                told = Some(message);
                break;
            }
        }
    }
    w.note(
        "told",
        matches!(told.map(|message| message.controls).as_deref(), Some([Control::Drops(1..=800)])),
    );
    Ok(())
}

fn errors_of_messages(w: &World) -> Result<()> {
    let (ours, theirs) = pair(w)?;
    w.note("nothing", receive(&theirs, 10, MSG_DONTWAIT));
    w.note("no error", receive(&theirs, 10, MSG_ERRQUEUE));
    w.note("no error of a stream", receive(&w.pair_of(&w.listener()?)?.0, 10, MSG_ERRQUEUE));
    w.note("too long", ioth::sendmsg(&ours, &[IoSlice::new(&[0; 60_000]); 2], &[], 0, Some(&w.at())));
    w.note("flags", ioth::sendmsg(&ours, &[IoSlice::new(b"x")], &[], 0x40, Some(&w.at())).is_err());
    Ok(())
}

fn room_for_control_messages(w: &World) -> Result<()> {
    let (theirs, ours) = (w.datagram_server()?, w.datagram(&w.client)?);
    patient(&theirs)?;
    let asked = match w.family {
        Family::V4 => [(IPPROTO_IP, IP_RECVTTL), (IPPROTO_IP, IP_RECVTOS)],
        Family::V6 => [(IPPROTO_IPV6, IPV6_RECVHOPLIMIT), (IPPROTO_IPV6, IPV6_RECVTCLASS)],
    };
    for (level, name) in asked {
        ioth::setsockopt_int(&theirs, level, name, 1)?;
    }
    for room in [200, 48, 47, 44, 41, 40, 39, 24, 20, 18, 16, 15, 8, 0] {
        ioth::sendto(&ours, b"word", 0, &w.at())?;
        let (mut data, mut controls) = ([0; 10], vec![7; room]);
        let (message, used) =
            ioth::recvmsg_into(&theirs, &mut [IoSliceMut::new(&mut data)], &mut controls, 0)?;
        w.note(&format!("room for {room}"), message);
        w.note("used", used);
        // What stands between them is nobody's.
        let whole = Control::decode_all(&controls[..used]);
        w.note("whole", whole.iter().map(|control| control.show(w)).collect::<Vec<_>>().join(", ").as_str());
    }
    Ok(())
}
