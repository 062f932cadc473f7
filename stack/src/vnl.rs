//! Virtual network locators, which say what an interface is plugged into:
//! `[ifname:]scheme://target[?key=value[&key=value…]]`, as in VDE.
//!
//! | locator | plugged into | options |
//! |---|---|---|
//! | `tap://NAME` | a TAP device of the kernel | `offload=on\|off` (on), `create=on\|off` (off) |
//! | `switch://NAME` | a switch inside the process | `mtu=BYTES` (1500) |
//!
//! Each takes `vlan=42` as well, which makes it a port of that VLAN with tagged frames ([`Vlan`]; its capture shows them
//! without the tag), `capture=FILE`, which records its frames for Wireshark, and `impair=loss:1%,delay:20ms,…`, which
//! makes its path a bad one ([`Impairments`]). `%XX` stands for a byte in a value, so that `&` (`%26`)
//! and `%` (`%25`) can be written; in `impair` a `%` may also stand as it is.
//!
//! ```
//! use ioth_stack::vnl::{Target, Vnl};
//! let vnl: Vnl = "eth0:switch://lan?mtu=9000".parse()?;
//! assert_eq!(vnl.ifname.as_deref(), Some("eth0"));
//! assert_eq!(vnl.target, Target::Switch { name: "lan".into(), mtu: Some(9000) });
//! # Ok::<(), ioth_stack::SetupError>(())
//! ```

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;

use crate::link::impair::Impairments;
use crate::link::vlan::Vlan;
use crate::setup_error::SetupError;

/// A parsed locator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vnl {
    /// The name of the interface, if it was given.
    pub ifname: Option<String>,
    /// What the interface is plugged into.
    pub target: Target,
    /// The VLAN whose tag its frames have (1 to 4094); `None` for frames without a tag.
    pub vlan: Option<u16>,
    /// Where its frames are recorded.
    pub capture: Option<PathBuf>,
    /// What happens to its frames on the way.
    pub impair: Option<Impairments>,
}

/// What an interface is plugged into.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A TAP device of the kernel.
    Tap {
        /// The name of the device.
        name: String,
        /// Whether super-frames and partial checksums are used.
        offload: bool,
        /// Whether the device may be made when it does not exist.
        create: bool,
    },
    /// A switch inside the process.
    Switch {
        /// The name of the switch.
        name: String,
        /// The MTU of its ports, in bytes (68 to 65535); `None` for what the switch has.
        mtu: Option<u16>,
    },
}

impl FromStr for Vnl {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        parse(text).map_err(|problem| SetupError::Vnl { vnl: text.into(), problem })
    }
}

impl fmt::Display for Vnl {
    /// The shortest locator that parses to this value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ifname) = &self.ifname {
            write!(f, "{ifname}:")?;
        }
        let mut options = Vec::new();
        match &self.target {
            Target::Tap { name, offload, create } => {
                write!(f, "tap://{name}")?;
                if !offload {
                    options.push("offload=off".to_owned());
                }
                if *create {
                    options.push("create=on".to_owned());
                }
            }
            Target::Switch { name, mtu } => {
                write!(f, "switch://{name}")?;
                options.extend(mtu.map(|mtu| format!("mtu={mtu}")));
            }
        }
        options.extend(self.vlan.map(|vlan| format!("vlan={vlan}")));
        options.extend(
            self.capture.iter().map(|file| format!("capture={}", encode(file.as_os_str().as_bytes()))),
        );
        options.extend(
            self.impair.iter().map(|impair| format!("impair={}", encode(impair.to_string().as_bytes()))),
        );
        if options.is_empty() { Ok(()) } else { write!(f, "?{}", options.join("&")) }
    }
}

fn parse(text: &str) -> Result<Vnl, String> {
    let Some((before, after)) = text.split_once("://") else {
        return Err("it has no \"://\"; write tap://NAME or switch://NAME".into());
    };
    let (ifname, scheme) = match before.rsplit_once(':') {
        Some((ifname, scheme)) => (Some(check_ifname(ifname)?), scheme),
        None => (None, before),
    };
    let (name, query) = after.split_once('?').unwrap_or((after, ""));
    let mut options = Options::parse(query)?;
    let target = match scheme {
        "tap" => Target::Tap {
            name: check_ifname(name)?,
            offload: options.take("offload").map_or(Ok(true), |value| on_off("offload", &value))?,
            create: options.take("create").map_or(Ok(false), |value| on_off("create", &value))?,
        },
        "switch" => Target::Switch {
            name: check_switch_name(name)?,
            mtu: options.take("mtu").map(|value| mtu(&value)).transpose()?,
        },
        _ => return Err(format!("unknown scheme {scheme:?}; there are tap and switch")),
    };
    let vlan = options.take("vlan").map(|value| vlan(&value)).transpose()?;
    let capture = options.take("capture").map(capture_file).transpose()?;
    let impair = options.take("impair").map(|value| impairments(&value)).transpose()?;
    options.none_left(scheme)?;
    Ok(Vnl { ifname, target, vlan, capture, impair })
}

/// The options behind the `?` that nobody has taken yet.
struct Options(Vec<(String, Vec<u8>)>);

impl Options {
    fn parse(query: &str) -> Result<Self, String> {
        let mut options: Vec<(String, Vec<u8>)> = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let Some((key, value)) = option.split_once('=') else {
                return Err(format!("option {option:?} has no value"));
            };
            if options.iter().any(|(other, _)| other == key) {
                return Err(format!("option {key:?} is given twice"));
            }
            let value = match decode(value) {
                Some(value) => value,
                // A percentage, as it is written everywhere else.
                None if key == "impair" => value.as_bytes().to_vec(),
                None => return Err(format!("bad %XX in the value of {key:?}")),
            };
            options.push((key.into(), value));
        }
        Ok(Self(options))
    }

    fn take(&mut self, key: &str) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(other, _)| other == key)?;
        Some(self.0.swap_remove(at).1)
    }

    fn none_left(&self, scheme: &str) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(key, _)| Err(format!("{scheme} has no option {key:?}")))
    }
}

/// Whether this can be the name of an interface: what the kernel's `dev_valid_name` lets through, less
/// `%`, which makes it choose a number.
fn check_ifname(name: &str) -> Result<String, String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '%');
    match name {
        "" => Err("the interface name is empty".into()),
        "." | ".." => Err(format!("{name:?} cannot be an interface name")),
        _ if name.len() >= libc::IFNAMSIZ => Err(format!("interface name {name:?} is longer than 15 bytes")),
        _ if name.contains(bad) => {
            Err(format!("interface name {name:?} may not have spaces, control characters, '/', ':' or '%'"))
        }
        _ => Ok(name.into()),
    }
}

fn check_switch_name(name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err("the switch has no name".into());
    }
    if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("switch name {name:?} may not have spaces or control characters"));
    }
    Ok(name.into())
}

fn on_off(key: &str, value: &[u8]) -> Result<bool, String> {
    match value {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(format!("{key} is on or off, not {:?}", String::from_utf8_lossy(value))),
    }
}

fn mtu(value: &[u8]) -> Result<u16, String> {
    let text = String::from_utf8_lossy(value);
    let mtu = text.parse().ok().filter(|mtu| *mtu >= 68);
    mtu.ok_or_else(|| format!("mtu is a number of bytes from 68 to 65535, not {text:?}"))
}

fn vlan(value: &[u8]) -> Result<u16, String> {
    let text = String::from_utf8_lossy(value);
    let vlan = text.parse().ok().filter(|vlan| Vlan::IDENTIFIERS.contains(vlan));
    vlan.ok_or_else(|| format!("vlan is a number from 1 to 4094, not {text:?}"))
}

fn capture_file(value: Vec<u8>) -> Result<PathBuf, String> {
    if value.is_empty() || value.contains(&0) {
        return Err("capture needs the name of a file".into());
    }
    Ok(OsString::from_vec(value).into())
}

fn impairments(value: &[u8]) -> Result<Impairments, String> {
    String::from_utf8_lossy(value).parse().map_err(|problem| format!("impair: {problem}"))
}

/// Replaces each `%XX` by its byte (RFC 3986, 2.1).
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.as_bytes().split_at_checked(2)?;
        let [high, low] = digits else { return None };
        bytes.push(hex(*high)? << 4 | hex(*low)?);
        bytes.extend(rest);
    }
    Some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The opposite of [`decode`]: what is left alone are the unreserved characters of RFC 3986 and `/`.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(byte.into());
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tap(name: &str, offload: bool, create: bool) -> Vnl {
        Vnl {
            ifname: None,
            target: Target::Tap { name: name.into(), offload, create },
            vlan: None,
            capture: None,
            impair: None,
        }
    }

    fn switch(name: &str, mtu: Option<u16>) -> Vnl {
        Vnl {
            ifname: None,
            target: Target::Switch { name: name.into(), mtu },
            vlan: None,
            capture: None,
            impair: None,
        }
    }

    #[test]
    fn good_locators() {
        let named = Vnl { ifname: Some("eth0".into()), ..tap("red", true, false) };
        let tagged = Vnl { vlan: Some(42), ..switch("lan", Some(9000)) };
        let bad = Vnl { impair: Some("loss:1%,burst:3".parse().expect("good")), ..switch("lan", None) };
        let captured = Vnl { capture: Some("/tmp/a&b%c d.pcapng".into()), ..switch("lan", None) };
        for (text, vnl, canonical) in [
            ("tap://red", tap("red", true, false), "tap://red"),
            ("tap://red?", tap("red", true, false), "tap://red"),
            ("tap://red?offload=on&create=off", tap("red", true, false), "tap://red"),
            ("tap://red?create=on&offload=off", tap("red", false, true), "tap://red?offload=off&create=on"),
            ("tap://fifteen-bytes-x", tap("fifteen-bytes-x", true, false), "tap://fifteen-bytes-x"),
            ("eth0:tap://red", named, "eth0:tap://red"),
            ("switch://lan", switch("lan", None), "switch://lan"),
            ("switch://lan?vlan=42&mtu=9000", tagged, "switch://lan?mtu=9000&vlan=42"),
            ("switch://lan?mtu=9000", switch("lan", Some(9000)), "switch://lan?mtu=9000"),
            (
                "switch://lan?capture=/tmp/a%26b%25c%20d.pcapng",
                captured,
                "switch://lan?capture=/tmp/a%26b%25c%20d.pcapng",
            ),
            (
                "switch://lan?impair=loss:1%,burst:3",
                bad.clone(),
                "switch://lan?impair=loss%3A1%25%2Cburst%3A3",
            ),
            (
                "switch://lan?impair=loss%3A1%25%2Cburst%3A3",
                bad,
                "switch://lan?impair=loss%3A1%25%2Cburst%3A3",
            ),
        ] {
            assert_eq!(text.parse::<Vnl>().expect(text), vnl, "{text}");
            assert_eq!(vnl.to_string(), canonical);
        }
    }

    #[test]
    fn bad_locators_say_why() {
        for (text, problem) in [
            ("", "no \"://\""),
            ("tap:red", "no \"://\""),
            ("tap://", "name is empty"),
            ("tap://sixteen-bytes-xy", "longer than 15"),
            ("tap://a/b", "may not have"),
            ("tap://a b", "may not have"),
            ("tap://tap%d", "may not have"),
            ("tap://..", "cannot be"),
            (":tap://red", "name is empty"),
            ("a:b:tap://red", "may not have"),
            ("vlan://red", "unknown scheme \"vlan\""),
            ("TAP://red", "unknown scheme \"TAP\""),
            ("tap://red?mtu=1400", "no option \"mtu\""),
            ("tap://red?offload=yes", "on or off, not \"yes\""),
            ("tap://red?offload", "has no value"),
            ("tap://red?create=on&create=on", "twice"),
            ("switch://", "no name"),
            ("switch://l an", "may not have"),
            ("switch://lan?mtu=67", "68 to 65535"),
            ("switch://lan?mtu=65536", "68 to 65535"),
            ("switch://lan?mtu=", "68 to 65535"),
            ("switch://lan?vlan=0", "1 to 4094"),
            ("switch://lan?vlan=4095", "1 to 4094"),
            ("tap://red?vlan=red", "1 to 4094"),
            ("switch://lan?capture=", "name of a file"),
            ("switch://lan?capture=a%00", "name of a file"),
            ("switch://lan?capture=a%2", "bad %XX"),
            ("switch://lan?impair=lose:1%", "impair: lose:1%: there is no such item"),
            ("switch://lan?capture=a%+1", "bad %XX"),
            ("switch://lan?capture=%é", "bad %XX"),
        ] {
            let error = text.parse::<Vnl>().expect_err(text);
            assert!(error.to_string().contains(problem), "{text}: {error}");
            assert_eq!(error.errno(), libc::EINVAL);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_survives_a_round_trip(text in "([a-z]{1,3}:)?(tap|switch)://[ -~é]{0,40}") {
            if let Ok(vnl) = text.parse::<Vnl>() {
                prop_assert_eq!(vnl.to_string().parse::<Vnl>().expect("its own text"), vnl);
            }
        }

        #[test]
        fn any_file_name_can_be_written(file in proptest::collection::vec(1_u8.., 1..20)) {
            let vnl = Vnl { capture: Some(OsString::from_vec(file).into()), ..switch("lan", None) };
            prop_assert_eq!(vnl.to_string().parse::<Vnl>().expect("its own text"), vnl);
        }
    }
}
