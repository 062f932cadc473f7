//! The counters as text, in the layout of `/proc/net/snmp` and `/proc/net/netstat`: a line of names, a line of values.

use std::fmt::{self, Formatter};

use super::{Snapshot, State};
use crate::engine::{Counters, IcmpCounters};

/// Prints them under the names of RFC 4022 (TCP), RFC 4113 (UDP) and of Linux, as far as these count the same. What the
/// stack counts otherwise has a name that Linux does not have, in a group that it does not have either.
pub(super) fn print(f: &mut Formatter<'_>, snapshot: &Snapshot) -> fmt::Result {
    // All of them, or this does not compile.
    let Counters {
        frames_in,
        frames_out,
        frames_lost,
        malformed,
        bad_checksum,
        not_for_us,
        address_conflicts,
        ip_in,
        address_errors,
        unknown_protocols,
        ip_delivered,
        ip_out,
        header_errors,
        forwarded,
        no_routes,
        out_no_routes,
        too_big,
        icmp_in,
        icmp_errors,
        icmp_bad_checksum,
        icmp_out,
        icmp_limited,
        icmp_limited_host,
        reassembly_requests,
        reassembly_oks,
        reassembly_fails,
        reassembly_timeouts,
        fragment_oks,
        fragment_fails,
        fragment_creates,
        group_queries_in,
        group_reports_out,
        tcp_active_opens,
        tcp_passive_opens,
        tcp_attempt_fails,
        tcp_established_resets,
        tcp_in,
        tcp_errors,
        tcp_bad_checksum,
        tcp_out,
        tcp_sent_again,
        tcp_timeouts,
        tcp_resets_out,
        listen_overflows,
        syn_cookies_sent,
        syn_cookies_received,
        contained_panics,
        udp_in,
        udp_out,
        udp_no_port,
        udp_errors,
        udp_bad_checksum,
        udp_overflows,
        raw_in,
        raw_overflows,
        packets_shown,
        packet_overflows,
    } = snapshot.counters;
    group(f, "Link", &[("InFrames", frames_in), ("OutFrames", frames_out), ("LostFrames", frames_lost)])?;
    let dropped = [
        ("Malformed", malformed),
        ("BadChecksum", bad_checksum),
        ("NotForUs", not_for_us),
        ("AddressConflicts", address_conflicts),
    ];
    group(f, "Dropped", &dropped)?;
    // RFC 4293, both families together.
    let ip = [
        ("InReceives", ip_in),
        ("InHdrErrors", header_errors),
        ("InAddrErrors", address_errors),
        ("ForwDatagrams", forwarded),
        ("InUnknownProtos", unknown_protocols),
        ("InDelivers", ip_delivered),
        ("OutRequests", ip_out),
        ("OutNoRoutes", out_no_routes),
        ("InNoRoutes", no_routes),
        ("InTooBigErrors", too_big),
        ("ReasmTimeout", reassembly_timeouts),
        ("ReasmReqds", reassembly_requests),
        ("ReasmOKs", reassembly_oks),
        ("ReasmFails", reassembly_fails),
        ("FragOKs", fragment_oks),
        ("FragFails", fragment_fails),
        ("FragCreates", fragment_creates),
    ];
    group(f, "Ip", &ip)?;
    let mut icmp =
        vec![("InMsgs", icmp_in.messages), ("InErrors", icmp_errors), ("InCsumErrors", icmp_bad_checksum)];
    icmp.extend(kinds(&IN, icmp_in));
    icmp.extend([
        ("OutMsgs", icmp_out.messages),
        ("OutRateLimitGlobal", icmp_limited),
        ("OutRateLimitHost", icmp_limited_host),
    ]);
    icmp.extend(kinds(&OUT, icmp_out));
    group(f, "Icmp", &icmp)?;
    group(f, "Groups", &[("InQueries", group_queries_in), ("OutReports", group_reports_out)])?;
    // RFC 4022: tcpCurrEstab counts ESTABLISHED and CLOSE-WAIT, tcpOutSegs not what was sent before.
    let open = [State::Established, State::CloseWait].map(|state| {
        let connections = snapshot.sockets_in(state).filter(|socket| socket.tcp.is_some());
        connections.count() as u64
    });
    let tcp = [
        ("ActiveOpens", tcp_active_opens),
        ("PassiveOpens", tcp_passive_opens),
        ("AttemptFails", tcp_attempt_fails),
        ("EstabResets", tcp_established_resets),
        ("CurrEstab", open.iter().sum()),
        ("InSegs", tcp_in),
        ("OutSegs", tcp_out.saturating_sub(tcp_sent_again)),
        ("RetransSegs", tcp_sent_again),
        ("InErrs", tcp_errors),
        ("OutRsts", tcp_resets_out),
        ("InCsumErrors", tcp_bad_checksum),
    ];
    group(f, "Tcp", &tcp)?;
    let extensions = [
        ("SyncookiesSent", syn_cookies_sent),
        ("SyncookiesRecv", syn_cookies_received),
        ("ListenOverflows", listen_overflows),
        ("TCPTimeouts", tcp_timeouts),
        ("ContainedPanics", contained_panics),
    ];
    group(f, "TcpExt", &extensions)?;
    let udp = [
        ("InDatagrams", udp_in),
        ("NoPorts", udp_no_port),
        // As Linux counts it: whatever was received and not delivered for another reason.
        ("InErrors", udp_errors + udp_overflows),
        ("OutDatagrams", udp_out),
        ("RcvbufErrors", udp_overflows),
        ("InCsumErrors", udp_bad_checksum),
    ];
    group(f, "Udp", &udp)?;
    group(f, "Raw", &[("InPackets", raw_in), ("RcvbufErrors", raw_overflows)])?;
    group(f, "Packet", &[("Frames", packets_shown), ("Drops", packet_overflows)])
}

/// The kinds of ICMP, as Linux names them on their ways in and out.
const IN: [&str; 11] = [
    "InDestUnreachs",
    "InPktTooBigs",
    "InTimeExcds",
    "InParmProbs",
    "InRedirects",
    "InEchos",
    "InEchoReps",
    "InRouterSolicits",
    "InRouterAdvertisements",
    "InNeighborSolicits",
    "InNeighborAdvertisements",
];
const OUT: [&str; 11] = [
    "OutDestUnreachs",
    "OutPktTooBigs",
    "OutTimeExcds",
    "OutParmProbs",
    "OutRedirects",
    "OutEchos",
    "OutEchoReps",
    "OutRouterSolicits",
    "OutRouterAdvertisements",
    "OutNeighborSolicits",
    "OutNeighborAdvertisements",
];

/// The counters of those kinds under such names.
fn kinds<'a>(names: &[&'a str; 11], counters: IcmpCounters) -> impl Iterator<Item = (&'a str, u64)> {
    let IcmpCounters {
        messages: _,
        unreachable,
        too_big,
        time_exceeded,
        parameter_problems,
        redirects,
        echos,
        echo_replies,
        router_solicitations,
        router_advertisements,
        neighbour_solicitations,
        neighbour_advertisements,
    } = counters;
    let values = [
        unreachable,
        too_big,
        time_exceeded,
        parameter_problems,
        redirects,
        echos,
        echo_replies,
        router_solicitations,
        router_advertisements,
        neighbour_solicitations,
        neighbour_advertisements,
    ];
    std::iter::zip(*names, values)
}

/// Two lines whose columns stand under each other, unlike Linux's.
fn group(f: &mut Formatter<'_>, name: &str, counters: &[(&str, u64)]) -> fmt::Result {
    let width = |&(name, value): &(&str, u64)| name.len().max(value.to_string().len());
    write!(f, "{name}:")?;
    for counter in counters {
        write!(f, " {:>width$}", counter.0, width = width(counter))?;
    }
    write!(f, "\n{name}:")?;
    for counter in counters {
        write!(f, " {:>width$}", counter.1, width = width(counter))?;
    }
    writeln!(f)
}
