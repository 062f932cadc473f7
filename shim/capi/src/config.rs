//! Configuration strings: those of iothconf, which say `stack=` and `vnl=`, too.

use crate::boundary::{call, fail};
use crate::lifecycle;
use crate::memory::required;
use crate::registry::{self, Ioth};
use ioth::Stack;
use std::ffi::{CString, c_char};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

// What iothconf says that was configured.
const STATIC: i32 = 1;
const ETH: i32 = 2;
const DHCP: i32 = 4;
const DHCPV6: i32 = 8;
const RD: i32 = 16;

/// A string of iothconf, taken apart.
#[derive(Debug, Default, PartialEq)]
struct Parsed {
    stack: Option<String>,
    vnls: Vec<String>,
    /// What [`Stack::configure`] understands.
    items: Vec<String>,
    /// What it asks for.
    mask: i32,
}

impl Parsed {
    /// `name_of`: the name of the interface with a number.
    fn new(config: &str, name_of: impl Fn(u32) -> Option<String>) -> io::Result<Self> {
        let mut parsed = Self::default();
        for item in config.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (key, value) =
                item.split_once('=').map_or((item, ""), |(key, value)| (key.trim(), value.trim()));
            let (undo, bare) = key.strip_prefix('-').map_or(("", key), |bare| ("-", bare));
            match bare {
                "stack" => parsed.stack = Some(value.to_owned()),
                "vnl" => parsed.vnls.push(value.to_owned()),
                "ifindex" => {
                    let name = value.parse().ok().and_then(&name_of);
                    let name = name.map_or_else(|| fail(libc::ENODEV), Ok)?;
                    parsed.items.push(format!("iface={name}"));
                }
                // What routers say.
                "rd" | "rd6" => parsed.items.push(format!("{undo}slaac")),
                // libioth prints what it does. Here Stack::snapshot shows it.
                "debug" => {}
                _ => parsed.items.push(item.to_owned()),
            }
            parsed.mask |= match bare {
                "ip" | "gw" | "dns" | "domain" | "route" => STATIC,
                "eth" | "mac" | "macaddr" => ETH,
                "dhcp" | "dhcp4" | "dhcpv4" | "auto4" => DHCP,
                "dhcp6" | "dhcpv6" => DHCPV6,
                "rd" | "rd6" | "slaac" => RD,
                "auto6" => DHCPV6 | RD,
                "auto" => DHCP | DHCPV6 | RD,
                _ => 0,
            };
        }
        Ok(parsed)
    }
}

/// Makes a stack from one string. See ioth_config(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_newstackc(config: *const c_char) -> *mut Ioth {
    call(|| {
        // SAFETY: the caller has a string there.
        let Parsed { stack, vnls, items, .. } = Parsed::new(unsafe { required(config) }?, |_| None)?;
        let vnls: Vec<&str> = vnls.iter().map(String::as_str).collect();
        let items = items.join(",");
        match stack.as_deref() {
            None | Some("" | "kernel") if !items.is_empty() => fail(libc::EOPNOTSUPP),
            Some(stack) if !items.is_empty() => {
                let joint = if stack.contains(',') { "" } else { "," };
                lifecycle::make(Some(&format!("{stack}{joint}{items}")), &vnls)
            }
            stack => lifecycle::make(stack, &vnls),
        }
    })
}

/// Changes the configuration of a stack. See ioth_config(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_config(stack: *mut Ioth, config: *const c_char) -> i32 {
    call(|| {
        let stack = registry::find(stack)?;
        // SAFETY: the caller has a string there.
        let config = unsafe { required(config) }?;
        let snapshot = stack.snapshot()?;
        let name_of = |index: u32| {
            let known = snapshot
                .interfaces
                .iter()
                .find(|known| !known.is_loopback() && known.index.index() == index)?;
            Some(known.name.clone())
        };
        let parsed = Parsed::new(config, name_of)?;
        if parsed.stack.is_some() {
            return fail(libc::EINVAL);
        }
        for vnl in &parsed.vnls {
            stack.add_interface("", vnl, "")?;
        }
        stack.configure(&parsed.items.join(","))?;
        Ok(parsed.mask)
    })
}

/// What resolv.conf(5) would be, of the stack; to be given to free(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_resolvconf(stack: *mut Ioth, _config: *const c_char) -> *mut c_char {
    call(|| {
        let text = resolv_conf(&registry::find(stack)?);
        let text = CString::new(text).map_or_else(|_| fail(libc::EINVAL), Ok)?;
        // SAFETY: strdup takes a string.
        let copy = unsafe { libc::strdup(text.as_ptr()) };
        if copy.is_null() { fail(libc::ENOMEM) } else { Ok(copy) }
    })
}

fn resolv_conf(stack: &Stack) -> String {
    let mut text = String::new();
    let interfaces = stack.snapshot().map(|shown| shown.interfaces).unwrap_or_default();
    for server in stack.nameserver_addresses(53) {
        // resolv.conf(5), as glibc reads it: a scope is a name behind the address.
        let scope = match server {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                interfaces.iter().find(|own| own.index.index() == v6.scope_id())
            }
            _ => None,
        };
        let scope = scope.map_or_else(String::new, |own| format!("%{}", own.name));
        let _ = writeln!(text, "nameserver {}{scope}", server.ip());
    }
    let domains = stack.search_domains();
    if !domains.is_empty() {
        let _ = writeln!(text, "search {}", domains.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(config: &str) -> Parsed {
        Parsed::new(config, |index| (index == 2).then(|| "vde0".to_owned())).expect("a good string")
    }

    #[test]
    fn strings_of_iothconf_become_ours() {
        let all = parsed(
            "stack=smoltcp,vnl=switch://a, vnl=eth1:switch://b,ifindex=2,ip=10.0.0.1/24,rd,-dhcp,debug",
        );
        assert_eq!(all.stack.as_deref(), Some("smoltcp"));
        assert_eq!(all.vnls, ["switch://a", "eth1:switch://b"]);
        assert_eq!(all.items, ["iface=vde0", "ip=10.0.0.1/24", "slaac", "-dhcp"]);
        assert_eq!(all.mask, STATIC | RD | DHCP);
        assert!(Parsed::new("ifindex=3", |_| None).is_err());
    }
}
