//! Whatever a user writes, a string is refused with words or says the same when it is printed and read again.
//!
//! ```text
//! scripts/fuzz strings
//! ```
//!
//! The first byte chooses: a locator, a configuration, impairments, an address with its prefix length, a MAC. The others are
//! characters, or words that stand in such strings.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use ioth_stack::link::impair::Impairments;
use ioth_stack::net::{Cidr, Mac};
use ioth_stack::{Config, Vnl};

/// What the bytes from 128 on stand for.
const WORDS: [&str; 59] = [
    "tap://",
    "switch://",
    "offload=",
    "create=",
    "on",
    "off",
    "vlan=",
    "capture=",
    "impair=",
    "mtu=",
    "%25",
    "%26",
    "?",
    "&",
    "eth0",
    "iface=",
    "ip=",
    "mac=",
    "macaddr=",
    "dad=",
    "optimistic",
    "strict",
    "slaac",
    "slaac=temporary",
    "neigh=",
    "gw=",
    "route=",
    "@",
    "blackhole",
    "unreachable",
    "prohibit",
    " metric ",
    "forward=",
    "icmp_ratelimit=",
    "dns=",
    "domain=",
    "identity=",
    "busy_poll=",
    "wait=",
    "linger=",
    "loss:",
    "burst:",
    "delay:",
    "jitter:",
    "reorder:",
    "dup:",
    "corrupt:",
    "rate:",
    "queue:",
    "seed:",
    "%",
    "us",
    "ms",
    "mbit",
    "10.0.0.1",
    "/24",
    "fd00::1",
    "02:00:00:00:00:01",
    "\u{e9}",
];

fn text(data: &[u8]) -> String {
    let mut text = String::new();
    for byte in data {
        match byte {
            0..128 => text.push(char::from(*byte)),
            _ => text.push_str(WORDS[usize::from(byte - 128) % WORDS.len()]),
        }
    }
    text
}

fn check<T: FromStr<Err: Display> + Display + PartialEq + Debug>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            match printed.parse::<T>() {
                Ok(again) => assert_eq!(again, value, "{text:?} printed as {printed:?}"),
                Err(error) => panic!("{text:?} printed as {printed:?}: {error}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let text = &text(rest);
    match choice % 8 {
        0..2 => check::<Vnl>(text),
        2..5 => check::<Config>(text),
        5 => check::<Impairments>(text),
        6 => check::<Cidr>(text),
        _ => check::<Mac>(text),
    }
});
