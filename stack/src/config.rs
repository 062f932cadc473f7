//! Configuration strings, as in iothconf: `ip=10.0.0.2/24,gw=10.0.0.1,dns=10.0.0.1`.
//!
//! Items are separated by commas, and spaces around them do not count. Of a key that has one value, the
//! last counts; the others collect their values. A leading `-` undoes: `-ip=10.0.0.2/24` that address,
//! `-ip` all of them.
//!
//! | key | value | |
//! |---|---|---|
//! | `iface` | name | the items from here on that concern an interface belong to that one |
//! | `ip` | address/prefix length | an address of the interface |
//! | `mac` (`macaddr`) | address | its Ethernet address |
//! | `mtu` | 68 to 65535 | its largest IP packet, in bytes |
//! | `dad` | `off`, `optimistic`, `strict` | whether its addresses are tested for duplicates, and used meanwhile: [`Testing`] |
//! | `dhcp` (`dhcp4`, `dhcpv4`) | nothing | a DHCP server gives it an address, routes, name servers |
//! | `dhcp6` (`dhcpv6`) | nothing, or `stateless` | a DHCPv6 server gives it addresses and name servers, or these alone: [`Dhcp6`] |
//! | `auto4` | nothing | as `dhcp` |
//! | `auto6` | nothing | as `slaac`, and `dhcp6` as far as routers say that there is a server |
//! | `auto` | nothing | both; the stack is ready when one family has an address |
//! | `slaac` | nothing, `temporary` or `router` | routers tell of prefixes, routes, name servers, MTU: [`Slaac`] |
//! | `neigh` | address@Ethernet address | a neighbour that is not asked for |
//! | `capture` | file | where its frames are recorded, for Wireshark |
//! | `impair` | `loss:1%,delay:20ms,…` | what happens to its frames on the way: [`Impairments`] |
//! | `gw` | address | a default route |
//! | `route` | network/prefix length@gateway | a route; see below |
//! | `forward` | `on` or `off` | whether the stack is a router: packets for others are sent on |
//! | `dns` | address | a name server |
//! | `domain` | name | a domain in which short names are looked up |
//! | `resolve` | `ndots:1 timeout:5s attempts:2 rotate` | how servers are asked, as options of resolv.conf(5): [`Resolve`] |
//! | `host` | address and names | a line of hosts(5): `10.0.0.9 printer.lab printer` |
//! | `hosts` | file | more of them, as `/etc/hosts` has them |
//! | `fqdn` | name | what DHCP servers are told as the name of the host |
//! | `identity` | text | what addresses by `slaac` follow from: the same text, the same addresses in every run |
//! | `busy_poll` | time | how long a waiting caller polls before it sleeps |
//! | `wait` | time | how long making a stack may take until its addresses are ready |
//! | `linger` | time | how long queued data may take to be sent when the stack is dropped |
//!
//! The way of a route is a gateway, or an interface whose link has the destinations (without `@`, that of the first), or what
//! becomes of packets that are not sent: `blackhole`, `unreachable`, `prohibit`. A metric may follow, and the lowest is
//! preferred: `route=10.0.0.0/8@10.9.0.1 metric 5`.
//!
//! Times have a unit: `50us`; the units are `ns`, `us`, `ms` and `s`.

mod parse;
mod resolve;
#[cfg(test)]
mod tests;

pub use resolve::{Host, Resolve};

pub(crate) use parse::time as parse_time;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::link::impair::Impairments;
use crate::net::{Cidr, Mac, RouteKind, Testing};

/// What a configuration string says.
///
/// ```
/// use ioth_stack::config::Config;
///
/// let config: Config = "ip=10.0.0.2/24, gw=10.0.0.1, iface=eth1, ip=fd00::2/64".parse()?;
/// assert_eq!(config.interfaces.len(), 2);
/// assert_eq!(config.interfaces[1].name.as_deref(), Some("eth1"));
/// assert_eq!(config.to_string(), "ip=10.0.0.2/24,iface=eth1,ip=fd00::2/64,gw=10.0.0.1");
///
/// let error = "ip=10.0.0.2".parse::<Config>().unwrap_err();
/// assert!(error.to_string().starts_with("bad configuration ip=10.0.0.2: a prefix length is missing"));
/// # Ok::<(), ioth_stack::setup_error::SetupError>(())
/// ```
///
/// Display gives a string that parses to the same value, if this one came from a string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Interfaces in the order of their first mention. At most the first of them has no name.
    pub interfaces: Vec<InterfaceConfig>,
    /// Gateways of default routes.
    pub gateways: Vec<IpAddr>,
    /// Other routes.
    pub routes: Vec<RouteConfig>,
    /// Whether packets for others are sent on.
    pub forward: Option<bool>,
    /// Whether each host is sent few ICMP errors; on unless it is off.
    pub icmp_ratelimit: Option<bool>,
    /// Name servers, the preferred one first.
    pub dns: Vec<IpAddr>,
    /// Domains in which short names are looked up, in this order.
    pub domains: Vec<String>,
    /// How servers are asked.
    pub resolve: Option<Resolve>,
    /// Names that no server is asked for.
    pub hosts: Vec<Host>,
    /// A file with more of them, as hosts(5).
    pub hosts_file: Option<PathBuf>,
    /// What DHCP servers are told as the name of the host.
    pub fqdn: Option<String>,
    /// What addresses by `slaac` follow from.
    pub identity: Option<String>,
    /// How long a waiting caller polls before it sleeps; costs a core for that long.
    pub busy_poll: Option<Duration>,
    /// How long making a stack may take until its addresses are ready.
    pub wait: Option<Duration>,
    /// How long queued data may take to be sent when the stack is dropped.
    pub linger: Option<Duration>,
}

/// Which addresses an interface makes from the prefixes of routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slaac {
    /// One that stays (RFC 7217).
    Stable,
    /// Another one, too, that packets are sent from, and that changes every day (RFC 8981).
    Temporary,
    /// As [`Stable`](Self::Stable), also while the stack is a router (`forward=on`). Others let routers say nothing then, as
    /// Linux with `accept_ra=1` (RFC 4862 section 1: only hosts configure themselves).
    Router,
}

/// What an interface asks DHCPv6 servers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp6 {
    /// Addresses, name servers and search domains.
    Stateful,
    /// Name servers and search domains.
    Stateless,
}

/// What a configuration string says about one route.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteConfig {
    /// The destinations, without host bits.
    pub destination: Cidr,
    /// Where packets to them go.
    pub way: Way,
    /// Among routes to the same destinations, the lowest is preferred.
    pub metric: u32,
}

/// Where packets on a route go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// To a gateway of the same family.
    Gateway(IpAddr),
    /// To the link of the interface of that name; `None`: of the first.
    Link(Option<String>),
    /// Nowhere; never [`RouteKind::Unicast`].
    Nowhere(RouteKind),
}

/// What a configuration string says about one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceConfig {
    /// Its name; `None` stands for the first interface of the stack, whatever its name.
    pub name: Option<String>,
    /// Its addresses, the preferred one first.
    pub addresses: Vec<Cidr>,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// Its largest IP packet, in bytes.
    pub mtu: Option<u16>,
    /// Whether its addresses are tested for duplicates.
    pub dad: Option<Testing>,
    /// Whether DHCP servers are asked for an address.
    pub dhcp: bool,
    /// Whether it is configured by whoever is there: DHCP, routers, DHCPv6 if they say so.
    pub auto: bool,
    /// The same for IPv6 alone.
    pub auto6: bool,
    /// What DHCPv6 servers are asked for.
    pub dhcp6: Option<Dhcp6>,
    /// Whether routers are asked for prefixes, routes and name servers.
    pub slaac: Option<Slaac>,
    /// Neighbours that are not asked for.
    pub neighbours: Vec<(IpAddr, Mac)>,
    /// Where its frames are recorded.
    pub capture: Option<PathBuf>,
    /// What happens to its frames on the way.
    pub impair: Option<Impairments>,
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items = Vec::new();
        for interface in &self.interfaces {
            interface.push_items(&mut items);
        }
        items.extend(self.gateways.iter().map(|gateway| format!("gw={gateway}")));
        items.extend(self.routes.iter().map(|route| format!("route={route}")));
        items.extend(self.forward.map(|on| format!("forward={}", if on { "on" } else { "off" })));
        items.extend(
            self.icmp_ratelimit.map(|on| format!("icmp_ratelimit={}", if on { "on" } else { "off" })),
        );
        items.extend(self.dns.iter().map(|server| format!("dns={server}")));
        items.extend(self.domains.iter().map(|domain| format!("domain={domain}")));
        items.extend(self.resolve.map(|resolve| format!("resolve={resolve}")));
        items.extend(self.hosts.iter().map(|host| format!("host={host}")));
        items.extend(self.hosts_file.as_ref().map(|file| format!("hosts={}", file.display())));
        items.extend(self.fqdn.as_ref().map(|name| format!("fqdn={name}")));
        items.extend(self.identity.as_ref().map(|text| format!("identity={text}")));
        items.extend(self.busy_poll.map(|time| format!("busy_poll={}", show_time(time))));
        items.extend(self.wait.map(|time| format!("wait={}", show_time(time))));
        items.extend(self.linger.map(|time| format!("linger={}", show_time(time))));
        f.write_str(&items.join(","))
    }
}

impl fmt::Display for RouteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, way, metric } = self;
        write!(f, "{destination}")?;
        match way {
            Way::Gateway(gateway) => write!(f, "@{gateway}")?,
            Way::Link(None) => {}
            Way::Link(Some(name)) => write!(f, "@{name}")?,
            Way::Nowhere(kind) => write!(f, "@{kind}")?,
        }
        if *metric == 0 { Ok(()) } else { write!(f, " metric {metric}") }
    }
}

impl InterfaceConfig {
    fn push_items(&self, items: &mut Vec<String>) {
        items.extend(self.name.as_ref().map(|name| format!("iface={name}")));
        items.extend(self.addresses.iter().map(|address| format!("ip={address}")));
        items.extend(self.mac.map(|mac| format!("mac={mac}")));
        items.extend(self.mtu.map(|mtu| format!("mtu={mtu}")));
        items.extend(self.dad.map(|testing| format!("dad={testing}")));
        items.extend(self.dhcp.then(|| "dhcp".to_owned()));
        items.extend(self.auto.then(|| "auto".to_owned()));
        items.extend(self.auto6.then(|| "auto6".to_owned()));
        items.extend(self.dhcp6.map(|wanted| match wanted {
            Dhcp6::Stateful => "dhcp6".to_owned(),
            Dhcp6::Stateless => "dhcp6=stateless".to_owned(),
        }));
        items.extend(self.slaac.map(|slaac| match slaac {
            Slaac::Stable => "slaac".to_owned(),
            Slaac::Temporary => "slaac=temporary".to_owned(),
            Slaac::Router => "slaac=router".to_owned(),
        }));
        items.extend(self.neighbours.iter().map(|(address, mac)| format!("neigh={address}@{mac}")));
        items.extend(self.impair.as_ref().map(|impairments| format!("impair={impairments}")));
        items.extend(self.capture.as_ref().map(|file| format!("capture={}", file.display())));
    }
}

/// A time in the largest unit of which it is a multiple.
pub(crate) fn show_time(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => format!("{}s", time.as_secs()),
        nanos if nanos % 1_000_000 == 0 => format!("{}ms", time.as_millis()),
        nanos if nanos % 1_000 == 0 => format!("{}us", time.as_micros()),
        _ => format!("{}ns", time.as_nanos()),
    }
}
