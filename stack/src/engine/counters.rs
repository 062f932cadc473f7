//! What a stack counts.

mod icmp;

pub use self::icmp::IcmpCounters;

/// Counters of a stack, each since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames received.
    pub frames_in: u64,
    /// Frames handed to links, super-frames counted once.
    pub frames_out: u64,
    /// Frames that a link refused.
    pub frames_lost: u64,
    /// Frames and packets that contradict themselves.
    pub malformed: u64,
    /// Packets with a wrong checksum.
    pub bad_checksum: u64,
    /// Packets for nobody here: foreign addresses, protocols not spoken.
    pub not_for_us: u64,
    /// Times that somebody else claimed an address of ours.
    pub address_conflicts: u64,
    /// Packets received, those with mistakes in them too, super-frames counted once (`InReceives` of RFC 4293).
    pub ip_in: u64,
    /// Packets whose destination is no address of ours, and that were not to be forwarded (`InAddrErrors`).
    pub address_errors: u64,
    /// Packets for us of a protocol that is not spoken here (`InUnknownProtos`).
    pub unknown_protocols: u64,
    /// Packets, or datagrams put together, handed to a protocol (`InDelivers`).
    pub ip_delivered: u64,
    /// Packets sent from here, super-frames counted once, and those that leave in fragments, too (`OutRequests`).
    pub ip_out: u64,
    /// IP headers that were wrong, and packets for others that had no hop left (`InHdrErrors` of RFC 4293).
    pub header_errors: u64,
    /// Packets forwarded, super-frames counted once (`ForwDatagrams` of Linux, `OutForwDatagrams` of RFC 4293).
    pub forwarded: u64,
    /// Packets for others to which no route led, or one that leads nowhere (`InNoRoutes`).
    pub no_routes: u64,
    /// Datagrams and connections from here to which no route led (`OutNoRoutes`).
    pub out_no_routes: u64,
    /// Packets for others that were too long for the next link (`Ip6InTooBigErrors` of Linux).
    pub too_big: u64,
    /// Messages of ICMP received.
    pub icmp_in: IcmpCounters,
    /// Messages of ICMP that were too short, or had a wrong checksum (`InErrors` of RFC 4293).
    pub icmp_errors: u64,
    /// Those that had a wrong checksum (`InCsumErrors` of Linux).
    pub icmp_bad_checksum: u64,
    /// Messages of ICMP sent.
    pub icmp_out: IcmpCounters,
    /// Errors that were not sent because there were too many (`OutRateLimitGlobal` of Linux).
    pub icmp_limited: u64,
    /// Those that one host had too many of (`OutRateLimitHost` of Linux).
    pub icmp_limited_host: u64,
    /// Fragments received (`ReasmReqds` of RFC 4293).
    pub reassembly_requests: u64,
    /// Datagrams put together from fragments (`ReasmOKs`).
    pub reassembly_oks: u64,
    /// Datagrams whose fragments were dropped: time, contradictions, or no room (`ReasmFails`).
    pub reassembly_fails: u64,
    /// Those whose time was over (`ReasmTimeout` of Linux).
    pub reassembly_timeouts: u64,
    /// Datagrams sent in fragments (`FragOKs`).
    pub fragment_oks: u64,
    /// Datagrams that were too long for that, too (`FragFails`).
    pub fragment_fails: u64,
    /// Fragments sent (`FragCreates`).
    pub fragment_creates: u64,
    /// Questions of routers about memberships of groups.
    pub group_queries_in: u64,
    /// Reports of such memberships sent.
    pub group_reports_out: u64,
    /// Connections that were asked for from here (`ActiveOpens` of RFC 4022).
    pub tcp_active_opens: u64,
    /// Connections that a peer asked for and that were established (`PassiveOpens`).
    pub tcp_passive_opens: u64,
    /// Handshakes that came to nothing (`AttemptFails`).
    pub tcp_attempt_fails: u64,
    /// Connections that ended without being closed in order (`EstabResets`).
    pub tcp_established_resets: u64,
    /// TCP segments received.
    pub tcp_in: u64,
    /// TCP segments that contradict themselves, or have a wrong checksum (`InErrs` of RFC 4022).
    pub tcp_errors: u64,
    /// Those that have a wrong checksum (`InCsumErrors` of Linux).
    pub tcp_bad_checksum: u64,
    /// TCP segments sent, super-frames counted once.
    pub tcp_out: u64,
    /// TCP segments sent again, super-frames counted once (`RetransSegs` of RFC 4022).
    pub tcp_sent_again: u64,
    /// Timeouts of data that was not acknowledged.
    pub tcp_timeouts: u64,
    /// Segments sent with the RST flag: of connections, or because there was none (`OutRsts`).
    pub tcp_resets_out: u64,
    /// SYNs dropped because a queue of connections to be accepted was full.
    pub listen_overflows: u64,
    /// SYNs answered with a cookie because too many handshakes were under way.
    pub syn_cookies_sent: u64,
    /// Acknowledgements of such cookies.
    pub syn_cookies_received: u64,
    /// Panics of the TCP implementation that were contained; each ended one connection.
    pub contained_panics: u64,
    /// Datagrams received by a socket.
    pub udp_in: u64,
    /// Datagrams sent.
    pub udp_out: u64,
    /// Datagrams for a port where nobody listens.
    pub udp_no_port: u64,
    /// Datagrams that contradict themselves, or have a wrong checksum.
    pub udp_errors: u64,
    /// Those that have a wrong checksum (`InCsumErrors` of Linux).
    pub udp_bad_checksum: u64,
    /// Datagrams dropped because the socket's queue was full.
    pub udp_overflows: u64,
    /// Packets received by raw sockets, once for each.
    pub raw_in: u64,
    /// Packets that a raw socket did not get because its queue was full.
    pub raw_overflows: u64,
    /// Frames that packet sockets saw, once for each.
    pub packets_shown: u64,
    /// Frames that a packet socket did not get because its queue was full.
    pub packet_overflows: u64,
}
