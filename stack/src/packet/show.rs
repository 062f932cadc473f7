//! How packet endpoints see frames: a copy of each that comes, and for those that asked for all, of each that leaves.

use std::borrow::Cow;
use std::net::IpAddr;

use super::{ALL, Packets, framing};
use crate::engine::endpoint::{Arrival, EndpointId, Framing};
use crate::engine::interface::LOOPBACK;
use crate::engine::{Endpoint, Engine, Role, Transmit};
use crate::filter::Subject;
use crate::link::{Checksum, Frame};
use crate::net::ethernet;
use crate::net::mac::Mac;
use crate::net::route::InterfaceId;
use crate::time::Instant;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// How a frame passed: what `sockaddr_ll` and `struct tpacket_auxdata` of packet(7) tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its Ethernet type, or `ETH_P_802_3`, `ETH_P_802_2`.
    pub protocol: u16,
    /// Whose it was.
    pub kind: Passing,
    /// `ARPHRD_ETHER` or `ARPHRD_LOOPBACK`.
    pub hardware: u16,
    /// The station that sent it.
    pub station: Mac,
    /// What is known of its checksum and tag.
    pub status: Status,
    /// Its length, before a filter cut it.
    pub len: u32,
    /// Where its network header is, counted from what is received.
    pub network: u16,
    /// The tag that was in it (IEEE 802.1Q), and the Ethernet type that said so; it is taken out.
    pub vlan: Option<(u16, u16)>,
}

/// Whose a frame was: `sll_pkttype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// `PACKET_HOST`: for this stack.
    Host,
    /// `PACKET_BROADCAST`: for all.
    Broadcast,
    /// `PACKET_MULTICAST`: for a group.
    Multicast,
    /// `PACKET_OTHERHOST`: for somebody else.
    OtherHost,
    /// `PACKET_OUTGOING`: from this stack.
    Outgoing,
}

/// `tp_status` of `struct tpacket_auxdata`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `TP_STATUS_CSUMNOTREADY`: the checksum is still to be completed.
    pub checksum_missing: bool,
    /// `TP_STATUS_CSUM_VALID`: the link vouches for it.
    pub checksum_valid: bool,
    /// `TP_STATUS_GSO_TCP`: a super-frame.
    pub super_frame: bool,
}

impl Passing {
    /// The number of packet(7).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Host => 0,
            Self::Broadcast => 1,
            Self::Multicast => 2,
            Self::OtherHost => 3,
            Self::Outgoing => 4,
        }
    }
}

/// Ethernet types of tags (IEEE 802.1Q, 802.1ad).
const TAGS: [u16; 2] = [0x8100, 0x88a8];
/// Length of a tag.
const TAG_LEN: usize = 4;

impl Engine {
    /// Shows a frame to the endpoints that want to see it, but not to the one that sent it.
    pub(crate) fn show(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        frame: &Frame,
        way: Way,
        sender: Option<EndpointId>,
    ) {
        let Some(own) = self.interfaces.get(interface.0 as usize) else { return };
        let Some((bytes, passage)) = look(frame, interface, own.mac, way) else { return };
        // Nothing below opens or closes an endpoint.
        let ids = std::mem::take(&mut self.packets.endpoints);
        for id in ids.iter().filter(|id| Some(**id) != sender) {
            self.show_to(now, *id, interface, &bytes, passage);
        }
        self.packets.endpoints = ids;
    }

    fn show_to(
        &mut self,
        now: Instant,
        id: EndpointId,
        interface: InterfaceId,
        bytes: &[u8],
        mut passage: Passage,
    ) {
        let Some(Endpoint { role: Role::Datagram(datagram), options, kind, .. }) = self.endpoints.get_mut(id)
        else {
            return;
        };
        let Some(tap) = &mut datagram.tap else { return };
        let outgoing = passage.kind == Passing::Outgoing;
        // As Linux: one type is what is received; all is what passes.
        let wanted =
            tap.protocol == ALL || (tap.protocol != 0 && tap.protocol == passage.protocol && !outgoing);
        let here = tap.interface.is_none_or(|bound| bound == interface);
        if !wanted || !here || (outgoing && tap.ignores_outgoing) {
            return;
        }
        let start = match framing(*kind) {
            Framing::Frames => 0,
            Framing::Payloads => ethernet::HEADER_LEN,
        };
        let kept = datagram.filter.as_ref().map_or(u32::MAX, |filter| {
            filter.run(&Subject {
                frame: bytes,
                start,
                network: ethernet::HEADER_LEN,
                protocol: passage.protocol,
                kind: passage.kind.number(),
                hardware: passage.hardware,
                interface: interface.index(),
                vlan: passage.vlan,
            })
        });
        if kept == 0 {
            return;
        }
        let end = bytes.len().min(start.saturating_add(usize::try_from(kept).unwrap_or(usize::MAX)));
        passage.len = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
        passage.network = u16::try_from(ethernet::HEADER_LEN - start).unwrap_or(0);
        tap.statistics.packets = tap.statistics.packets.wrapping_add(1);
        let nowhere = crate::engine::calls::wildcard(crate::engine::endpoint::Family::V4);
        let arrival = Arrival {
            destination: nowhere.ip(),
            interface,
            ttl: 0,
            tos: 0,
            at: now,
            drops: 0,
            size: None,
            link: Some(passage),
        };
        if datagram.push(nowhere, arrival, &bytes[start..end], options.recv_buffer) {
            self.counters.packets_shown += 1;
            self.notify(id);
        } else {
            self.counters.packet_overflows += 1;
            if let Some(tap) = &mut datagram.tap {
                tap.statistics.drops = tap.statistics.drops.wrapping_add(1);
            }
        }
    }

    /// The next frame for a link, shown to whom it is to be shown; frames of the stack to itself are shown both ways, and
    /// stay where they are.
    pub(crate) fn poll_shown(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(transmit) = self.packets.sent.pop_front() {
            if transmit.interface != LOOPBACK {
                return Some(transmit);
            }
            self.return_frame(now, &transmit.frame);
        }
        if let Some(transmit) = self.out.pop_front() {
            self.show(now, transmit.interface, &transmit.frame, Way::Out, None);
            return Some(transmit);
        }
        if let Some(mut frame) = self.local.pop_front() {
            let version = frame.bytes().get(ethernet::HEADER_LEN).map(|first| first >> 4);
            let ethertype = if version == Some(6) { ethernet::IPV6 } else { ethernet::IPV4 };
            let nobody = Mac::new([0; 6]);
            ethernet::Header { destination: nobody, source: nobody, ethertype }.emit(frame.bytes_mut());
            self.show(now, LOOPBACK, &frame, Way::Out, None);
            self.show(now, LOOPBACK, &frame, Way::In, None);
            self.local.push_front(frame);
        }
        None
    }
}

impl Engine {
    /// Takes in what a packet endpoint sent over the loopback interface: everybody sees it come, its sender, too.
    fn return_frame(&mut self, now: Instant, frame: &Frame) {
        self.show(now, LOOPBACK, frame, Way::In, None);
        let Some(header) = ethernet::Header::parse(frame.bytes()) else { return };
        // `eth_type_trans`: what is for another station is seen, not taken.
        let own = self.interfaces[LOOPBACK.place()].mac;
        let taken = header.destination == own || header.destination.is_multicast();
        // `ip_route_input_slow`: of the stack's own packets it is known where they go; one that only claims to be from here is
        // not believed.
        let forged = header.ethertype == ethernet::IPV4
            && [26, 30].into_iter().any(|at| {
                let address = frame.bytes().get(at..).and_then(<[u8]>::first_chunk::<4>);
                address.is_some_and(|octets| match (at, IpAddr::from(*octets)) {
                    (26, source) => self.is_local(source),
                    (_, destination) => destination.is_loopback(),
                })
            });
        if taken && !forged && matches!(header.ethertype, ethernet::IPV4 | ethernet::IPV6) {
            self.handle_local(now, frame);
        } else {
            self.counters.not_for_us += 1;
        }
    }
}

impl Packets {
    /// Has a frame leave that was shown already.
    pub(super) fn send(&mut self, transmit: Transmit) {
        self.sent.push_back(transmit);
    }
}

/// The bytes of a frame without its tag, and what there is to say about it. `None` for a runt.
fn look(frame: &Frame, interface: InterfaceId, own: Mac, way: Way) -> Option<(Cow<'_, [u8]>, Passage)> {
    let mut bytes = Cow::Borrowed(frame.bytes());
    let mut header = ethernet::Header::parse(&bytes)?;
    let mut vlan = None;
    // As Linux, which takes tags out of what comes before anybody sees it.
    if way == Way::In
        && TAGS.contains(&header.ethertype)
        && let Some(&[t0, t1, e0, e1]) = bytes.get(ethernet::HEADER_LEN..).and_then(<[u8]>::first_chunk)
    {
        vlan = Some((u16::from_be_bytes([t0, t1]), header.ethertype));
        let at = ethernet::HEADER_LEN - 2;
        header.ethertype = u16::from_be_bytes([e0, e1]);
        bytes = Cow::Owned([&bytes[..at], &bytes[at + TAG_LEN..]].concat());
    }
    let kind = match (way, header.destination) {
        (Way::Out, _) => Passing::Outgoing,
        (_, destination) if destination == own => Passing::Host,
        (_, Mac::BROADCAST) => Passing::Broadcast,
        (_, destination) if destination.is_multicast() => Passing::Multicast,
        _ => Passing::OtherHost,
    };
    let partial = matches!(frame.checksum, Checksum::Partial { .. });
    let status = Status {
        checksum_missing: partial,
        checksum_valid: way == Way::In && frame.checksum == Checksum::Verified,
        super_frame: frame.segmentation.is_some(),
    };
    let passage = Passage {
        protocol: protocol(header.ethertype, &bytes),
        kind,
        hardware: super::hardware(interface),
        station: header.source,
        status,
        len: 0,
        network: 0,
        vlan,
    };
    Some((bytes, passage))
}

/// What Linux says of the type (`eth_type_trans`): a number below 1536 is a length (IEEE 802.3).
fn protocol(ethertype: u16, bytes: &[u8]) -> u16 {
    const LEAST_TYPE: u16 = 1536;
    const NOVELL: u16 = 0x0001;
    const LLC: u16 = 0x0004;
    match bytes.get(ethernet::HEADER_LEN..ethernet::HEADER_LEN + 2) {
        _ if ethertype >= LEAST_TYPE => ethertype,
        Some([0xff, 0xff]) => NOVELL,
        _ => LLC,
    }
}
