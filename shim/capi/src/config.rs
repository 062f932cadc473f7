//! Configuration strings: those of iothconf, which say `stack=` and `vnl=`, too.

use crate::boundary::{call, fail};
use crate::lifecycle;
use crate::mac;
use crate::memory::required;
use crate::netlink;
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
    /// What it does not know of a stack that runs.
    ethernet: Vec<Ethernet>,
    /// What it asks for.
    mask: i32,
}

/// `eth`, `mac=`, `macaddr=`: an interface is up or down, and its address.
#[derive(Debug, PartialEq)]
struct Ethernet {
    /// `None` for the first.
    interface: Option<String>,
    mac: Option<String>,
    up: Option<bool>,
}

impl Parsed {
    /// `name_of`: the name of the interface with a number.
    fn new(config: &str, name_of: impl Fn(u32) -> Option<String>) -> io::Result<Self> {
        let mut parsed = Self::default();
        let (mut interface, mut host) = (None, None);
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
                    interface = Some(name);
                }
                // What routers say.
                "rd" | "rd6" => parsed.items.push(format!("{undo}slaac")),
                "eth" => {
                    let up = Some(undo.is_empty());
                    parsed.ethernet.push(Ethernet { interface: interface.clone(), mac: None, up });
                }
                "mac" | "macaddr" if undo.is_empty() => {
                    let mac = Some(value.to_owned());
                    parsed.ethernet.push(Ethernet { interface: interface.clone(), mac, up: None });
                }
                // libioth prints what it does. Here Stack::snapshot shows it.
                "debug" => {}
                _ => {
                    match bare {
                        "iface" => interface = Some(value.to_owned()),
                        "fqdn" if undo.is_empty() => host = Some(value.to_owned()),
                        _ => {}
                    }
                    parsed.items.push(item.to_owned());
                }
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
        // As in libioth: an interface without an address of its own has one that follows from the name of the host.
        let macs: Vec<_> = parsed.ethernet.iter().filter(|known| known.mac.is_some()).collect();
        let others: Vec<_> = macs.iter().map(|known| known.interface.clone()).collect();
        for known in &mut parsed.ethernet {
            if known.up == Some(true) && !others.contains(&known.interface) {
                known.mac = host.as_deref().map(station);
            }
        }
        Ok(parsed)
    }
}

/// An Ethernet address for the name of a host, always the same: a hash (FNV-1a) of it, administered locally.
fn station(host: &str) -> String {
    let hash = host.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, d, e, ..] = (hash ^ hash >> 40).to_le_bytes();
    format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}

/// Makes a stack from one string. See ioth_config(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioth_newstackc(config: *const c_char) -> *mut Ioth {
    call(|| {
        // SAFETY: the caller has a string there.
        let Parsed { stack, vnls, mut items, ethernet, .. } =
            Parsed::new(unsafe { required(config) }?, |_| None)?;
        let vnls: Vec<&str> = vnls.iter().map(String::as_str).collect();
        for Ethernet { interface, mac, up } in ethernet {
            if up == Some(false) {
                return fail(libc::EINVAL);
            }
            let Some(mac) = mac else { continue };
            match interface {
                // Before another is named.
                None => items.insert(0, format!("mac={mac}")),
                Some(name) => items.extend([format!("iface={name}"), format!("mac={mac}")]),
            }
        }
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
        let mut undo = Vec::new();
        let done = parsed
            .ethernet
            .iter()
            .try_for_each(|wanted| wanted.apply(&stack, &mut undo))
            .and_then(|()| Ok(stack.configure(&parsed.items.join(","))?));
        if done.is_err() {
            for (index, up, mac) in undo.iter().rev() {
                netlink::change(&stack, *index, Some(*up), &[(libc::IFLA_ADDRESS, mac)])?;
            }
        }
        done.map(|()| parsed.mask)
    })
}

impl Ethernet {
    /// Does it, and notes how it was.
    fn apply(&self, stack: &Stack, undo: &mut Vec<(u32, bool, [u8; 6])>) -> io::Result<()> {
        let mac = match &self.mac {
            None => None,
            Some(text) => Some(mac::parse(text).map_or_else(|| fail(libc::EINVAL), Ok)?),
        };
        let snapshot = stack.snapshot()?;
        // Loopback has the number 0, and is not configured.
        let mut links = snapshot.interfaces.iter().filter(|known| !known.is_loopback());
        let known = match &self.interface {
            None => links.next(),
            Some(name) => links.find(|known| known.name == *name),
        };
        let known = known.map_or_else(|| fail(libc::ENODEV), Ok)?;
        undo.push((known.index.index(), known.enabled, known.mac.octets()));
        let address = mac.as_ref().map(|mac| (libc::IFLA_ADDRESS, &mac[..]));
        netlink::change(stack, known.index.index(), self.up, address.as_slice())
    }
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

    #[test]
    fn an_ethernet_address_follows_from_the_name_of_the_host() {
        let of =
            |config: &str| parsed(config).ethernet.into_iter().map(|known| known.mac).collect::<Vec<_>>();
        assert_eq!(of("eth"), [None]);
        let named = of("fqdn=a.lab,eth");
        assert_eq!(named, of("eth,fqdn=a.lab"));
        assert_ne!(named, of("eth,fqdn=b.lab"));
        assert_eq!(named[0].as_deref().and_then(mac::parse).map(|octets| octets[0]), Some(2));
        assert_eq!(of("fqdn=a.lab,mac=02:00:00:00:00:01,eth"), [Some("02:00:00:00:00:01".to_owned()), None]);
        assert_eq!(parsed("-eth").ethernet[0].up, Some(false));
    }
}
