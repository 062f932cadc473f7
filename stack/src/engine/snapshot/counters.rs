//! The counters as text, in the layout of `/proc/net/snmp` and `/proc/net/netstat`: a line of names, a line of values.

use std::fmt::{self, Formatter};

use super::{Snapshot, State};
use crate::engine::Counters;

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
        header_errors,
        forwarded,
        no_routes,
        too_big,
        redirects_out,
        reassembly_requests,
        reassembly_oks,
        reassembly_fails,
        reassembly_timeouts,
        fragment_oks,
        fragment_fails,
        fragment_creates,
        group_queries_in,
        group_reports_out,
        tcp_in,
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
        udp_overflows,
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
        ("ForwDatagrams", forwarded),
        ("InHdrErrors", header_errors),
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
    group(f, "Icmp", &[("OutRedirects", redirects_out)])?;
    group(f, "Groups", &[("InQueries", group_queries_in), ("OutReports", group_reports_out)])?;
    // RFC 4022: tcpCurrEstab counts ESTABLISHED and CLOSE-WAIT, tcpOutSegs not what was sent before.
    let open = [State::Established, State::CloseWait].map(|state| {
        let connections = snapshot.sockets_in(state).filter(|socket| socket.tcp.is_some());
        connections.count() as u64
    });
    let tcp = [
        ("CurrEstab", open.iter().sum()),
        ("InSegs", tcp_in),
        ("OutSegs", tcp_out.saturating_sub(tcp_sent_again)),
        ("RetransSegs", tcp_sent_again),
        ("OutRsts", tcp_resets_out),
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
        ("OutDatagrams", udp_out),
        ("RcvbufErrors", udp_overflows),
    ];
    group(f, "Udp", &udp)
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
