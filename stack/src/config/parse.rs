//! From the string to the values.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Config, Dhcp6, Host, InterfaceConfig, RouteConfig, Slaac, Way};
use crate::link::impair::Impairments;
use crate::net::{Cidr, Mac, RouteKind, Testing};
use crate::setup_error::SetupError;

/// What is wrong with an item, without the item.
type Problem = String;

impl FromStr for Config {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        Self::default().with(text)
    }
}

impl Config {
    /// This configuration with what another string says, which starts at the interface without a name.
    pub(crate) fn with(&self, text: &str) -> Result<Self, SetupError> {
        let mut parser = Parser { config: self.clone(), interface: None };
        for item in items(text) {
            let (key, value) = match item.split_once('=') {
                Some((key, value)) => (key.trim_end(), Some(value.trim_start())),
                None => (item, None),
            };
            parser.item(key, value).map_err(|problem| SetupError::Config {
                key: key.to_owned(),
                value: value.unwrap_or_default().to_owned(),
                problem,
            })?;
        }
        Ok(parser.finish())
    }
}

/// The items, between commas. What follows an `impair=` and is of the form `loss:1%` belongs to it.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for piece in text.split(',') {
        let end = start + piece.len();
        match ranges.last_mut() {
            Some(last) if text[last.clone()].trim().starts_with("impair") && Impairments::is_item(piece) => {
                last.end = end;
            }
            _ => ranges.push(start..end),
        }
        start = end + 1;
    }
    ranges.into_iter().map(|range| text[range].trim()).filter(|item| !item.is_empty())
}

/// The configuration so far, and the interface that the next items belong to.
struct Parser {
    config: Config,
    /// `None`: the one without a name.
    interface: Option<String>,
}

/// Whether an item sets or undoes, and its value, if there is one.
#[derive(Clone, Copy)]
struct Item<'a> {
    undo: bool,
    value: Option<&'a str>,
}

impl Parser {
    fn item(&mut self, key: &str, value: Option<&str>) -> Result<(), Problem> {
        let (undo, key) = key.strip_prefix('-').map_or((false, key), |key| (true, key.trim_start()));
        let item = Item { undo, value };
        match key {
            "iface" => self.select(item),
            "ip" => item.collect(&mut self.interface().addresses, interface_address),
            "mac" | "macaddr" => item.set(&mut self.interface().mac, mac),
            "mtu" => item.set(&mut self.interface().mtu, mtu),
            "dad" => item.set(&mut self.interface().dad, testing),
            "auto" => item.switch(&mut self.interface().auto),
            "auto6" => item.switch(&mut self.interface().auto6),
            "dhcp" | "dhcp4" | "dhcpv4" | "auto4" => item.switch(&mut self.interface().dhcp),
            "dhcp6" | "dhcpv6" => item.set_or(&mut self.interface().dhcp6, Dhcp6::Stateful, dhcp6),
            "slaac" => item.set_or(&mut self.interface().slaac, Slaac::Stable, slaac),
            "neigh" => item.collect(&mut self.interface().neighbours, neighbour),
            "capture" => item.set(&mut self.interface().capture, file),
            "impair" => item.set(&mut self.interface().impair, str::parse),
            "gw" => item.collect(&mut self.config.gateways, host),
            "route" => item.collect(&mut self.config.routes, route),
            "forward" => item.set(&mut self.config.forward, on_off),
            "icmp_ratelimit" => item.set(&mut self.config.icmp_ratelimit, on_off),
            "dns" => item.collect(&mut self.config.dns, host),
            "domain" => item.collect(&mut self.config.domains, domain),
            "resolve" => item.set(&mut self.config.resolve, str::parse),
            "host" => item.collect(&mut self.config.hosts, |line| Host::parse(line, domain)),
            "hosts" => item.set(&mut self.config.hosts_file, file),
            "fqdn" => item.set(&mut self.config.fqdn, domain),
            "identity" => item.set(&mut self.config.identity, |text| Ok(text.to_owned())),
            "busy_poll" => item.set(&mut self.config.busy_poll, time),
            "wait" => item.set(&mut self.config.wait, time),
            "linger" => item.set(&mut self.config.linger, time),
            _ if NOT_YET.contains(&key) => Err("this version does not have it".to_owned()),
            _ => Err(format!("unknown key; the keys are {}", KEYS.join(" "))),
        }
    }

    /// `iface=`: selects an interface; undoing it forgets everything about that one, or about all that
    /// have a name, and selects the one without.
    fn select(&mut self, item: Item<'_>) -> Result<(), Problem> {
        let mut names = self.config.interfaces.iter().filter_map(|known| known.name.clone()).collect();
        item.collect(&mut names, interface_name)?;
        self.interface = None;
        if item.undo {
            self.config
                .interfaces
                .retain(|known| known.name.as_ref().is_none_or(|name| names.contains(name)));
        } else {
            self.interface = item.value.map(str::to_owned);
            // It is there even if nothing else is said about it.
            self.interface();
        }
        Ok(())
    }

    /// The selected interface.
    fn interface(&mut self) -> &mut InterfaceConfig {
        let interfaces = &mut self.config.interfaces;
        let index = interfaces.iter().position(|known| known.name == self.interface).unwrap_or_else(|| {
            let index = if self.interface.is_some() { interfaces.len() } else { 0 };
            interfaces.insert(index, InterfaceConfig { name: self.interface.clone(), ..Default::default() });
            index
        });
        &mut interfaces[index]
    }

    fn finish(mut self) -> Config {
        // Nothing is left of an interface without a name when all was undone.
        self.config.interfaces.retain(|interface| *interface != InterfaceConfig::default());
        self.config
    }
}

impl Item<'_> {
    /// A key that has one value.
    fn set<T: PartialEq>(
        self,
        slot: &mut Option<T>,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Result<(), Problem> {
        let value = self.parse(parse)?;
        if self.undo && value.is_some() && *slot != value {
            return Err(NOT_SET.to_owned());
        }
        *slot = if self.undo { None } else { value };
        Ok(())
    }

    /// A key that stands for a value when it has none.
    fn set_or<T: PartialEq>(
        self,
        slot: &mut Option<T>,
        alone: T,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Result<(), Problem> {
        if self.value.is_none() && !self.undo {
            *slot = Some(alone);
            return Ok(());
        }
        self.set(slot, parse)
    }

    /// A key without a value.
    fn switch(self, slot: &mut bool) -> Result<(), Problem> {
        if self.value.is_some() {
            return Err("it has no value".to_owned());
        }
        *slot = !self.undo;
        Ok(())
    }

    /// A key that collects its values, each once.
    fn collect<T: PartialEq>(
        self,
        list: &mut Vec<T>,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Result<(), Problem> {
        let Some(value) = self.parse(parse)? else {
            list.clear();
            return Ok(());
        };
        match (self.undo, list.iter().position(|known| *known == value)) {
            (false, Some(_)) => {}
            (false, None) => list.push(value),
            (true, Some(index)) => drop(list.remove(index)),
            (true, None) => return Err(NOT_SET.to_owned()),
        }
        Ok(())
    }

    /// The value; only undoing does without.
    fn parse<T>(self, parse: impl FnOnce(&str) -> Result<T, Problem>) -> Result<Option<T>, Problem> {
        match self.value {
            Some("") => Err("the value is missing".to_owned()),
            Some(value) => parse(value).map(Some),
            None if self.undo => Ok(None),
            None => Err("the value is missing".to_owned()),
        }
    }
}

fn on_off(value: &str) -> Result<bool, Problem> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off is wanted".to_owned()),
    }
}

fn interface_address(value: &str) -> Result<Cidr, Problem> {
    let cidr: Cidr = parse(value)?;
    if !is_host(cidr.address()) {
        return Err(NO_HOST.to_owned());
    }
    Ok(cidr)
}

fn host(value: &str) -> Result<IpAddr, Problem> {
    if value.contains('/') {
        return Err("an address without a prefix length is wanted".to_owned());
    }
    let address = parse(value)?;
    if is_host(address) { Ok(address) } else { Err(NO_HOST.to_owned()) }
}

fn is_host(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && address != IpAddr::from([255; 4])
}

fn route(value: &str) -> Result<RouteConfig, Problem> {
    let (value, metric) = match value.split_once(" metric ") {
        None => (value, 0),
        Some((value, metric)) => {
            let metric = number(metric.trim()).and_then(|metric| u32::try_from(metric).ok());
            (value.trim_end(), metric.ok_or("a metric is a number from 0 to 4294967295")?)
        }
    };
    let (destination, way) = match value.split_once('@') {
        Some((destination, way)) => (destination.trim_end(), self::way(way.trim_start())?),
        None => (value, Way::Link(None)),
    };
    let destination: Cidr = parse(destination)?;
    if destination != destination.network() {
        return Err(format!("there are bits behind the prefix; is {} meant?", destination.network()));
    }
    if matches!(way, Way::Gateway(gateway) if gateway.is_ipv4() != destination.address().is_ipv4()) {
        return Err("destination and gateway are of different families".to_owned());
    }
    Ok(RouteConfig { destination, way, metric })
}

fn way(value: &str) -> Result<Way, Problem> {
    let kinds = [RouteKind::Blackhole, RouteKind::Unreachable, RouteKind::Prohibit];
    if let Some(kind) = kinds.into_iter().find(|kind| kind.to_string() == value) {
        return Ok(Way::Nowhere(kind));
    }
    // No name of an interface has a colon, and none that anybody would give looks like an IPv4 address.
    let address =
        value.contains([':', '/']) || value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if address {
        host(value).map(Way::Gateway)
    } else {
        interface_name(value).map(|name| Way::Link(Some(name)))
    }
}

fn testing(value: &str) -> Result<Testing, Problem> {
    let all = [Testing::Off, Testing::Optimistic, Testing::Strict];
    let known = all.into_iter().find(|testing| testing.to_string() == value);
    known.ok_or_else(|| "off, optimistic or strict is wanted".to_owned())
}

fn dhcp6(value: &str) -> Result<Dhcp6, Problem> {
    if value == "stateless" { Ok(Dhcp6::Stateless) } else { Err("nothing or stateless is wanted".to_owned()) }
}

fn slaac(value: &str) -> Result<Slaac, Problem> {
    match value {
        "temporary" => Ok(Slaac::Temporary),
        "router" => Ok(Slaac::Router),
        _ => Err("nothing, temporary or router is wanted".to_owned()),
    }
}

fn neighbour(value: &str) -> Result<(IpAddr, Mac), Problem> {
    let (address, station) = value
        .split_once('@')
        .ok_or("an address@Ethernet address is wanted, as 10.0.0.9@02:00:00:00:00:09")?;
    Ok((host(address.trim_end())?, mac(station.trim_start())?))
}

fn mac(value: &str) -> Result<Mac, Problem> {
    let mac: Mac = parse(value)?;
    if mac.is_unicast() { Ok(mac) } else { Err("no station can have that address".to_owned()) }
}

fn mtu(value: &str) -> Result<u16, Problem> {
    // RFC 791 section 3.2: every module forwards 68 bytes without fragmenting.
    number(value)
        .and_then(|mtu| u16::try_from(mtu).ok())
        .filter(|mtu| *mtu >= 68)
        .ok_or_else(|| "a number from 68 to 65535 is wanted".to_owned())
}

fn file(value: &str) -> Result<PathBuf, Problem> {
    if value.contains('\0') { Err("a NUL in a file name".to_owned()) } else { Ok(value.into()) }
}

/// A name as Linux has them for interfaces: `dev_valid_name`.
fn interface_name(value: &str) -> Result<String, Problem> {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if value.len() > 15 || value.contains(bad) || value == "." || value == ".." {
        return Err("an interface name has up to 15 bytes, no space, / or :".to_owned());
    }
    Ok(value.to_owned())
}

fn domain(value: &str) -> Result<String, Problem> {
    // RFC 1035 section 2.3.4: labels of 63 bytes, 253 in all as text.
    let name = value.strip_suffix('.').unwrap_or(value);
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(byte);
    if name.len() > 253 || !name.split('.').all(label) {
        return Err("a domain name is labels of letters, digits and hyphens between dots".to_owned());
    }
    Ok(value.to_owned())
}

pub(crate) fn time(value: &str) -> Result<Duration, Problem> {
    let wanted = || "a time such as 50us is wanted; the units are ns us ms s".to_owned();
    let digits = value.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
    let (count, unit) = value.split_at(digits);
    let count = number(count).ok_or_else(wanted)?;
    match unit.trim_start() {
        "ns" => Ok(Duration::from_nanos(count)),
        "us" => Ok(Duration::from_micros(count)),
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        _ => Err(wanted()),
    }
}

/// Digits only: the standard library takes a sign too.
fn number(value: &str) -> Option<u64> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

fn parse<T: FromStr<Err: ToString>>(value: &str) -> Result<T, Problem> {
    value.parse().map_err(|error: T::Err| error.to_string())
}

/// The keys, as errors list them.
const KEYS: [&str; 32] = [
    "iface",
    "ip",
    "mac",
    "macaddr",
    "mtu",
    "dad",
    "auto",
    "auto4",
    "auto6",
    "dhcp",
    "dhcp4",
    "dhcpv4",
    "dhcp6",
    "dhcpv6",
    "slaac",
    "neigh",
    "capture",
    "impair",
    "gw",
    "route",
    "forward",
    "icmp_ratelimit",
    "dns",
    "domain",
    "resolve",
    "host",
    "hosts",
    "fqdn",
    "identity",
    "busy_poll",
    "wait",
    "linger",
];
/// Keys of iothconf that mean nothing here yet. An error is better than an interface without an address.
const NOT_YET: [&str; 7] = ["rd", "rd6", "eth", "stack", "vnl", "debug", "ifindex"];
const NOT_SET: &str = "nothing to undo: it was not set before";
const NO_HOST: &str = "no host can have that address";
