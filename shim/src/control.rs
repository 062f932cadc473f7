//! Control messages: what goes and comes beside the data of sendmsg(2) and recvmsg(2), as values and as the bytes of
//! cmsg(3).

use crate::sockaddr;
use crate::sys::constants::{
    IP_PKTINFO, IP_RECVERR, IP_TOS, IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IPV6_DONTFRAG,
    IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_RECVERR, IPV6_TCLASS, PACKET_AUXDATA, SO_RXQ_OVFL, SO_TIMESTAMP,
    SO_TIMESTAMPNS, SOL_PACKET, SOL_SOCKET, UDP_GRO, UDP_SEGMENT,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// `IP_TTL` of ip(7): the time to live. Received with `IP_RECVTTL`.
    Ttl(i32),
    /// `IP_TOS`: the type of service. Received with `IP_RECVTOS`.
    Tos(u8),
    /// `IP_PKTINFO`: addresses and the interface. Received with the option of that name.
    PacketInfo {
        /// The interface that it came by, or is to leave by; 0 for what the routes say.
        interface: u32,
        /// Received: the address of the stack that it concerns. To send: the address that it comes from.
        local: Ipv4Addr,
        /// Received: the destination in its header. Not looked at in what is sent.
        destination: Ipv4Addr,
    },
    /// `IPV6_HOPLIMIT` of ipv6(7). Received with `IPV6_RECVHOPLIMIT`. To send, -1 is what the socket has.
    HopLimit(i32),
    /// `IPV6_TCLASS`: the traffic class. Received with `IPV6_RECVTCLASS`. To send, -1 is 255, as on Linux.
    TrafficClass(i32),
    /// `IPV6_PKTINFO`: an address and the interface. Received with `IPV6_RECVPKTINFO`.
    PacketInfoV6 {
        /// The interface that it came by, or is to leave by; 0 for what the routes say.
        interface: u32,
        /// Received: its destination. To send: the address that it comes from.
        address: Ipv6Addr,
    },
    /// `IPV6_DONTFRAG`, to send: 1 for no fragments.
    DontFragment(i32),
    /// `UDP_SEGMENT` of udp(7), to send: bytes of each of the datagrams that the data is cut into; 0 for one datagram.
    DatagramSize(u16),
    /// `UDP_GRO` of udp(7): bytes of each of the datagrams that the data is made of; the last may be shorter. Received with the
    /// option of that name, and only where there are several.
    ReceivedSize(i32),
    /// `SO_TIMESTAMP` of socket(7): when it was received, in microseconds.
    Timestamp(SystemTime),
    /// `SO_TIMESTAMPNS`: the same, in nanoseconds.
    TimestampNanos(SystemTime),
    /// `SO_RXQ_OVFL`: how many datagrams the socket had dropped until then.
    Drops(u32),
    /// `IP_RECVERR`: what the network said of a datagram that was sent. Received with `MSG_ERRQUEUE`.
    Error(ExtendedError),
    /// `IPV6_RECVERR`: the same on an IPv6 socket.
    ErrorV6(ExtendedError),
    /// `PACKET_AUXDATA` of packet(7): what there is to say about a frame. Received with the option of that name.
    Auxiliary(Auxiliary),
    /// Any other. Descriptors that a kernel socket receives stand there as numbers, and are the caller's to close.
    Other {
        /// The level, as of an option.
        level: i32,
        /// The type.
        kind: i32,
        /// The data.
        data: Vec<u8>,
    },
}

/// What there is to say about a frame: `struct tpacket_auxdata` of packet(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auxiliary {
    /// Bits: `TP_STATUS_USER` (1), `TP_STATUS_CSUMNOTREADY` (8), `TP_STATUS_VLAN_VALID` (16),
    /// `TP_STATUS_VLAN_TPID_VALID` (64), `TP_STATUS_CSUM_VALID` (128), `TP_STATUS_GSO_TCP` (256).
    pub status: u32,
    /// Length of the frame.
    pub len: u32,
    /// How much of it a filter kept.
    pub received: u32,
    /// Where its link-layer header begins.
    pub link: u16,
    /// Where its network header begins.
    pub network: u16,
    /// The VLAN tag that was in it.
    pub tag: u16,
    /// The Ethernet type of that tag.
    pub tag_type: u16,
}

impl Auxiliary {
    fn encode(&self) -> Vec<u8> {
        let words = [self.status, self.len, self.received].map(u32::to_ne_bytes);
        let halves = [self.link, self.network, self.tag, self.tag_type].map(u16::to_ne_bytes);
        [words.as_flattened(), halves.as_flattened()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Self {
            status: word(0)?,
            len: word(4)?,
            received: word(8)?,
            link: half(12)?,
            network: half(14)?,
            tag: half(16)?,
            tag_type: half(18)?,
        })
    }
}

/// What the network said of a datagram: `struct sock_extended_err` of ip(7) and the address of who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedError {
    /// The errno that it comes to.
    pub errno: i32,
    /// `SO_EE_ORIGIN_LOCAL`, `SO_EE_ORIGIN_ICMP` or `SO_EE_ORIGIN_ICMP6`.
    pub origin: u8,
    /// Type of the ICMP message.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// With `EMSGSIZE` the MTU.
    pub info: u32,
    /// Nothing yet.
    pub data: u32,
    /// Who said it; `None` for the stack itself.
    pub offender: Option<SocketAddr>,
}

impl Control {
    /// Reads the bytes of control messages in a row, cmsg(3), up to the first that is not whole.
    #[must_use]
    pub fn decode_all(bytes: &[u8]) -> Vec<Self> {
        decode_all(bytes)
    }

    /// Level, type and data, as a C program has them.
    #[must_use]
    pub fn encode(&self) -> (i32, i32, Vec<u8>) {
        let integer = |value: i32| value.to_ne_bytes().to_vec();
        match self {
            Self::Ttl(ttl) => (IPPROTO_IP, IP_TTL, integer(*ttl)),
            Self::Tos(tos) => (IPPROTO_IP, IP_TOS, vec![*tos]),
            Self::PacketInfo { interface, local, destination } => {
                let data = [interface.to_ne_bytes(), local.octets(), destination.octets()].concat();
                (IPPROTO_IP, IP_PKTINFO, data)
            }
            Self::HopLimit(limit) => (IPPROTO_IPV6, IPV6_HOPLIMIT, integer(*limit)),
            Self::TrafficClass(class) => (IPPROTO_IPV6, IPV6_TCLASS, integer(*class)),
            Self::PacketInfoV6 { interface, address } => {
                let data = [&address.octets()[..], &interface.to_ne_bytes()].concat();
                (IPPROTO_IPV6, IPV6_PKTINFO, data)
            }
            Self::DontFragment(on) => (IPPROTO_IPV6, IPV6_DONTFRAG, integer(*on)),
            Self::DatagramSize(size) => (IPPROTO_UDP, UDP_SEGMENT, size.to_ne_bytes().to_vec()),
            Self::ReceivedSize(size) => (IPPROTO_UDP, UDP_GRO, integer(*size)),
            Self::Timestamp(at) => (SOL_SOCKET, SO_TIMESTAMP, time(*at, Duration::from_micros(1))),
            Self::TimestampNanos(at) => (SOL_SOCKET, SO_TIMESTAMPNS, time(*at, Duration::from_nanos(1))),
            Self::Drops(count) => (SOL_SOCKET, SO_RXQ_OVFL, count.to_ne_bytes().to_vec()),
            Self::Error(error) => (IPPROTO_IP, IP_RECVERR, error.encode(sockaddr::V4_LEN)),
            Self::ErrorV6(error) => (IPPROTO_IPV6, IPV6_RECVERR, error.encode(sockaddr::V6_LEN)),
            Self::Auxiliary(auxiliary) => (SOL_PACKET, PACKET_AUXDATA, auxiliary.encode()),
            Self::Other { level, kind, data } => (*level, *kind, data.clone()),
        }
    }

    /// Reads level, type and data, as a C program gives them.
    #[must_use]
    pub fn decode(level: i32, kind: i32, data: &[u8]) -> Self {
        Self::known(level, kind, data).unwrap_or_else(|| Self::Other { level, kind, data: data.to_vec() })
    }

    fn known(level: i32, kind: i32, data: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(*data.get(at..)?.first_chunk()?));
        let integer = || Some(word(0)?.cast_signed());
        let v4 = |at: usize| Some(Ipv4Addr::from(*data.get(at..)?.first_chunk::<4>()?));
        Some(match (level, kind) {
            (IPPROTO_IP, IP_TTL) => Self::Ttl(integer()?),
            // A byte or an integer, ip(7).
            (IPPROTO_IP, IP_TOS) => match (data.len(), integer()) {
                (_, Some(tos)) => Self::Tos(u8::try_from(tos).ok()?),
                (len, None) => Self::Tos(*data.first().filter(|_| len == 1)?),
            },
            (IPPROTO_IP, IP_PKTINFO) => {
                Self::PacketInfo { interface: word(0)?, local: v4(4)?, destination: v4(8)? }
            }
            (IPPROTO_IPV6, IPV6_HOPLIMIT) => Self::HopLimit(integer()?),
            (IPPROTO_IPV6, IPV6_TCLASS) => Self::TrafficClass(integer()?),
            (IPPROTO_IPV6, IPV6_PKTINFO) => {
                let octets: [u8; 16] = *data.first_chunk()?;
                Self::PacketInfoV6 { interface: word(16)?, address: octets.into() }
            }
            (IPPROTO_IPV6, IPV6_DONTFRAG) => Self::DontFragment(integer()?),
            (IPPROTO_UDP, UDP_SEGMENT) => {
                let bytes: [u8; 2] = data.try_into().ok()?;
                Self::DatagramSize(u16::from_ne_bytes(bytes))
            }
            (IPPROTO_UDP, UDP_GRO) => Self::ReceivedSize(integer()?),
            (SOL_SOCKET, SO_TIMESTAMP) => Self::Timestamp(time_of(data, Duration::from_micros(1))?),
            (SOL_SOCKET, SO_TIMESTAMPNS) => Self::TimestampNanos(time_of(data, Duration::from_nanos(1))?),
            (SOL_SOCKET, SO_RXQ_OVFL) => Self::Drops(word(0)?),
            (IPPROTO_IP, IP_RECVERR) => Self::Error(ExtendedError::decode(data)?),
            (IPPROTO_IPV6, IPV6_RECVERR) => Self::ErrorV6(ExtendedError::decode(data)?),
            (SOL_PACKET, PACKET_AUXDATA) => Self::Auxiliary(Auxiliary::decode(data)?),
            _ => return None,
        })
    }
}

impl ExtendedError {
    /// Length of `struct sock_extended_err`.
    const LEN: usize = 16;

    fn encode(&self, address_len: usize) -> Vec<u8> {
        let mut bytes = self.errno.cast_unsigned().to_ne_bytes().to_vec();
        bytes.extend([self.origin, self.kind, self.code, 0]);
        bytes.extend(self.info.to_ne_bytes());
        bytes.extend(self.data.to_ne_bytes());
        bytes.extend(self.offender.as_ref().map(sockaddr::encode).unwrap_or_default());
        bytes.resize(Self::LEN + address_len, 0);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let &[origin, kind, code, _] = bytes.get(4..)?.first_chunk()?;
        Some(Self {
            errno: word(0)?.cast_signed(),
            origin,
            kind,
            code,
            info: word(8)?,
            data: word(12)?,
            offender: sockaddr::decode(bytes.get(Self::LEN..)?),
        })
    }
}

/// A `struct timeval` or `struct timespec`.
fn time(at: SystemTime, unit: Duration) -> Vec<u8> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let rest = i64::from(since.subsec_nanos()) / i64::from(unit.subsec_nanos());
    [seconds.to_ne_bytes(), rest.to_ne_bytes()].concat()
}

fn time_of(bytes: &[u8], unit: Duration) -> Option<SystemTime> {
    let number = |at: usize| {
        let value = i64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?);
        u64::try_from(value).ok()
    };
    let since = Duration::from_secs(number(0)?) + unit * u32::try_from(number(8)?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// The bytes of control messages in a row, cmsg(3): each behind its header, and aligned.
pub(crate) fn encode_all(controls: &[Control]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for control in controls {
        let (level, kind, data) = control.encode();
        bytes.extend((HEADER_LEN + data.len()).to_ne_bytes());
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
    bytes
}

/// Reads them.
pub(crate) fn decode_all(mut bytes: &[u8]) -> Vec<Control> {
    let mut controls = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() {
        let (len, header) = header.split_at(ALIGNMENT);
        let len = len.first_chunk().map_or(0, |len| usize::from_ne_bytes(*len));
        let word = |at: usize| header[at..].first_chunk().map_or(0, |word| i32::from_ne_bytes(*word));
        let Some(data) = len.checked_sub(HEADER_LEN).and_then(|len| rest.get(..len)) else { break };
        controls.push(Control::decode(word(0), word(4), data));
        bytes = bytes.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]);
    }
    controls
}

/// `struct cmsghdr` of 64-bit Linux: a length, a level, a type.
pub(crate) const ALIGNMENT: usize = size_of::<usize>();
pub(crate) const HEADER_LEN: usize = ALIGNMENT + 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Control> {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        let error = ExtendedError {
            errno: 113,
            origin: 2,
            kind: 3,
            code: 1,
            info: 1400,
            data: 0,
            offender: "10.0.0.1:0".parse().ok(),
        };
        vec![
            Control::Ttl(64),
            Control::Tos(0xb8),
            Control::PacketInfo {
                interface: 3,
                local: Ipv4Addr::new(10, 0, 0, 1),
                destination: Ipv4Addr::BROADCAST,
            },
            Control::HopLimit(-1),
            Control::TrafficClass(1),
            Control::PacketInfoV6 { interface: 3, address: Ipv6Addr::LOCALHOST },
            Control::DontFragment(1),
            Control::DatagramSize(1200),
            Control::ReceivedSize(1200),
            Control::TimestampNanos(at),
            Control::Drops(7),
            Control::Error(error),
            Control::ErrorV6(ExtendedError { offender: "[fd00::1]:0".parse().ok(), ..error }),
            Control::ErrorV6(ExtendedError { offender: None, ..error }),
            Control::Auxiliary(Auxiliary {
                status: 65,
                len: 1500,
                received: 96,
                network: 14,
                tag: 5,
                tag_type: 0x8100,
                link: 0,
            }),
            Control::Other { level: 77, kind: 1, data: vec![1, 2, 3] },
        ]
    }

    #[test]
    fn they_survive_the_way_in_a_row() {
        let bytes = encode_all(&some());
        assert_eq!(decode_all(&bytes), some());
        // Whatever is cut off, nothing panics.
        for end in 0..bytes.len() {
            let kept = decode_all(&bytes[..end]);
            assert_eq!(kept, some()[..kept.len()]);
        }
        assert_eq!(decode_all(&bytes[..bytes.len() - 8]).len(), some().len() - 1);
    }

    #[test]
    fn they_lie_as_c_has_them() {
        let bytes = encode_all(&[Control::Ttl(64)]);
        assert_eq!(bytes.len(), 24);
        assert_eq!(bytes[..8], 20usize.to_ne_bytes());
        assert_eq!(bytes[8..20], [0i32, 2, 64].map(i32::to_ne_bytes).concat());
        let at = SystemTime::UNIX_EPOCH + Duration::new(5, 6_000);
        let (_, _, value) = Control::Timestamp(at).encode();
        assert_eq!(value, [5i64.to_ne_bytes(), 6i64.to_ne_bytes()].concat());
    }
}
