//! How names are looked up: the options of resolv.conf(5), as `resolve=ndots:2 timeout:1s attempts:3 rotate`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::parse::time;
use super::show_time;

/// How a resolver asks; the names and defaults are those of resolv.conf(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolve {
    /// A name with so many dots is looked up as it is before it is in the search domains; 0 to 15.
    pub ndots: u8,
    /// How long a server may take to answer; 1 ms to 30 s.
    pub timeout: Duration,
    /// How often all servers are asked; 1 to 5.
    pub attempts: u8,
    /// Whether another server is asked first each time.
    pub rotate: bool,
}

impl Default for Resolve {
    fn default() -> Self {
        Self { ndots: 1, timeout: Duration::from_secs(5), attempts: 2, rotate: false }
    }
}

impl FromStr for Resolve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut resolve = Self::default();
        for option in text.split_whitespace() {
            match option.split_once(':') {
                Some(("ndots", count)) => resolve.ndots = within(count, 0, 15)?,
                Some(("attempts", count)) => resolve.attempts = within(count, 1, 5)?,
                Some(("timeout", limit)) => {
                    let limit = time(limit)?;
                    if !(Duration::from_millis(1)..=Duration::from_secs(30)).contains(&limit) {
                        return Err("a timeout is a time from 1ms to 30s".to_owned());
                    }
                    resolve.timeout = limit;
                }
                None if option == "rotate" => resolve.rotate = true,
                _ => return Err(format!("{option} is none of ndots:1 timeout:5s attempts:2 rotate")),
            }
        }
        Ok(resolve)
    }
}

impl fmt::Display for Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ndots, timeout, attempts, rotate } = *self;
        write!(f, "ndots:{ndots} timeout:{} attempts:{attempts}", show_time(timeout))?;
        if rotate { f.write_str(" rotate") } else { Ok(()) }
    }
}

/// An address and its names, as a line of hosts(5): `host=10.0.0.9 printer.lab printer`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// The address.
    pub address: IpAddr,
    /// Its names; the first is its own, the others are aliases.
    pub names: Vec<String>,
}

impl Host {
    /// From a line of hosts(5) without a comment; `name` says whether a word is a name.
    pub(super) fn parse(line: &str, name: impl Fn(&str) -> Result<String, String>) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let address = words.next().unwrap_or_default();
        let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
        let names = words.map(name).collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() {
            return Err("an address and its names are wanted, as 10.0.0.9 printer.lab printer".to_owned());
        }
        Ok(Self { address, names })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.address, self.names.join(" "))
    }
}

fn within(text: &str, least: u8, most: u8) -> Result<u8, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let count = text.parse().ok().filter(|count| digits && (least..=most).contains(count));
    count.ok_or_else(|| format!("{text} is no number from {least} to {most}"))
}
