//! Whether a frame is right, by somebody else's parser.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use ioth_stack::link::Frame;

use crate::feed::checksum;

const ETHERNET: usize = 14;

/// Panics unless the frame is proper: lengths, checksums, and the MTU where there are no super-frames.
pub(super) fn frame(frame: &Frame, mtu: u16, offload: bool) {
    let bytes = frame.bytes();
    assert!(offload || bytes.len() <= ETHERNET + usize::from(mtu), "{} bytes, MTU {mtu}", bytes.len());
    assert!(offload || super::is_complete(frame), "a partial checksum on a link without offload");
    assert!(offload || frame.segmentation.is_none(), "a super-frame on a link without offload");
    if frame.segmentation.is_none() {
        assert!(bytes.len() <= ETHERNET + usize::from(mtu), "{} bytes in one piece, MTU {mtu}", bytes.len());
    }
    let sliced = SlicedPacket::from_ethernet(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
    if let Some(NetSlice::Ipv4(ip)) = &sliced.net {
        let header = ip.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), bytes.len() - ETHERNET);
    }
    if super::is_complete(frame) {
        transport(&sliced);
    }
}

fn transport(sliced: &SlicedPacket<'_>) {
    match (&sliced.net, &sliced.transport) {
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let (source, destination) = (ip.header().source(), ip.header().destination());
            assert_eq!(Ok(tcp.checksum()), tcp.calc_checksum_ipv4(source, destination));
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let (source, destination) = (ip.header().source(), ip.header().destination());
            assert_eq!(Ok(tcp.checksum()), tcp.calc_checksum_ipv6(source, destination));
        }
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) => {
            let header = ip.header().to_header();
            let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap();
            assert_eq!(udp.checksum(), sum);
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Udp(udp))) => {
            let header = ip.header().to_header();
            let sum = udp.to_header().calc_checksum_ipv6(&header, udp.payload()).unwrap();
            assert_eq!(udp.checksum(), sum);
        }
        (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Icmpv4(icmp))) => {
            let sum = icmp.icmp_type().calc_checksum(icmp.payload());
            assert_eq!(icmp.checksum(), sum);
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(icmp))) => {
            assert!(icmp.is_checksum_valid(ip.header().source(), ip.header().destination()));
        }
        (Some(NetSlice::Arp(_)), None) => {}
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Igmp(_))) => {
            assert_eq!(checksum::sum(ip.payload().payload), 0xffff);
        }
        // Whoever puts it together checks the sum.
        (Some(NetSlice::Ipv4(ip)), None) if ip.is_payload_fragmented() => {}
        (Some(NetSlice::Ipv6(ip)), None) if ip.is_payload_fragmented() => {}
        other => panic!("an odd frame: {other:?}"),
    }
}

/// One line about a frame.
pub(super) fn show(bytes: &[u8]) -> String {
    let Ok(sliced) = SlicedPacket::from_ethernet(bytes) else { return format!("{bytes:02x?}") };
    match sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let flags = [
                (tcp.syn(), "SYN "),
                (tcp.fin(), "FIN "),
                (tcp.rst(), "RST "),
                (tcp.psh(), "PSH "),
                (tcp.ack(), "ACK "),
            ];
            let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
            let (seq, ack, window) = (tcp.sequence_number(), tcp.acknowledgment_number(), tcp.window_size());
            let (from, to, len) = (tcp.source_port(), tcp.destination_port(), tcp.payload().len());
            format!("TCP {from} > {to} {flags}seq {seq} ack {ack} win {window} len {len}")
        }
        Some(other) => format!("{other:?}"),
        None => format!("{:?}", sliced.net),
    }
}
