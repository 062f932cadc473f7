//! Addresses written as such: inet_aton(3), inet_pton(3), and IPv6 addresses with a scope.

use std::net::{IpAddr, Ipv4Addr};

/// An address that somebody wrote in place of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// The address.
    pub(super) address: IpAddr,
    /// What stands behind a `%`: the interface it is on, by name or number (RFC 4007 section 11).
    pub(super) zone: Option<String>,
}

/// Reads an address; `None` for anything else, which may be a name.
pub(super) fn parse(text: &str) -> Option<Literal> {
    if let Some(address) = v4(text) {
        return Some(Literal { address: address.into(), zone: None });
    }
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let address: std::net::Ipv6Addr = address.parse().ok()?;
    if zone.is_some_and(str::is_empty) {
        return None;
    }
    Some(Literal { address: address.into(), zone: zone.map(str::to_owned) })
}

/// inet_aton(3): one to four numbers, decimal, octal (`0…`) or hexadecimal (`0x…`), the last of which takes all the bytes
/// that are left.
fn v4(text: &str) -> Option<Ipv4Addr> {
    let parts = text.split('.').map(number).collect::<Option<Vec<_>>>()?;
    let (last, bytes) = parts.split_last()?;
    let left = 4usize.checked_sub(bytes.len()).filter(|left| *left > 0)?;
    let mut address = *last;
    if u64::from(address) >= 1 << (8 * left) {
        return None;
    }
    for (at, byte) in bytes.iter().enumerate() {
        address |= u32::from(u8::try_from(*byte).ok()?) << (24 - 8 * at);
    }
    Some(Ipv4Addr::from_bits(address))
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    // from_str_radix takes a sign too.
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dots_as_inet_aton_3() {
        let cases = [
            ("10.0.0.1", "10.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("10.1.258", "10.1.1.2"),
            ("0x7f000001", "127.0.0.1"),
            ("0177.0.0.01", "127.0.0.1"),
            ("4294967295", "255.255.255.255"),
            ("0", "0.0.0.0"),
        ];
        for (text, wanted) in cases {
            let address = parse(text).map(|literal| literal.address.to_string());
            assert_eq!(address.as_deref(), Some(wanted), "{text}");
        }
        for text in [
            "",
            ".",
            "1.2.3.4.5",
            "256.1",
            "1.256.1.1",
            "1.2.65536",
            "4294967296",
            "+1",
            "08",
            "1..2",
            "1.2.3.",
            "a",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn ipv6_with_a_zone_rfc_4007_11() {
        let literal = parse("fe80::1%eth0").unwrap();
        assert_eq!(
            (literal.address.to_string().as_str(), literal.zone.as_deref()),
            ("fe80::1", Some("eth0"))
        );
        assert_eq!(parse("2001:db8::1").unwrap().zone, None);
        assert_eq!(parse("fe80::1%"), None);
        assert_eq!(parse("10.0.0.1%eth0"), None);
    }
}
