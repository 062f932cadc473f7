//! From one configuration to the next while the stack runs: what is not in the new one goes, what is new comes.

use std::net::IpAddr;

use crate::builder;
use crate::config::{Config, Dhcp6, InterfaceConfig, RouteConfig, Slaac, Way};
use crate::driver::Context;
use crate::engine::Engine;
use crate::engine::address::Assignment;
use crate::error::Error;
use crate::net::cidr::Cidr;
use crate::net::dad::Testing;
use crate::net::route::RouteKind;
use crate::setup_error::SetupError;
use crate::stack::Stack;
use crate::vnl::Vnl;

/// What was just opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened<'a> {
    Everything,
    Interface(&'a str),
    Nothing,
}

impl Stack {
    /// Changes the configuration: `ip=10.0.0.3/24` adds an address, `-ip=10.0.0.2/24` removes it; see [`Config`]. Either all
    /// of it happens or nothing. Connections stay.
    ///
    /// # Errors
    /// [`SetupError`] says what could not be done, why, and what to do about it.
    pub fn configure(&self, config: &str) -> Result<(), SetupError> {
        let known = self.0.config.lock().clone();
        self.apply(known.with(config)?, Opened::Nothing)
    }

    /// Adds an interface on a link, as [`Builder::interface`](crate::Builder::interface), configured by a string that
    /// concerns it alone, such as `ip=10.1.0.2/24,mtu=1400`. Gives its name.
    ///
    /// # Errors
    /// [`SetupError`] says what could not be done, why, and what to do about it.
    pub fn add_interface(&self, name: Option<&str>, vnl: &str, config: &str) -> Result<String, SetupError> {
        let vnl: Vnl = vnl.parse()?;
        let count = self.run(|context| context.engine.interface_names().len());
        let name =
            vnl.ifname.clone().or_else(|| name.map(str::to_owned)).unwrap_or_else(|| format!("vde{count}"));
        let next = self.0.config.lock().with(&format!("iface={name},{config}"))?;
        let settings = next.of(usize::MAX, &name);
        let (interface, link) = builder::open(self.0.shared.runtime(), &name, vnl, &settings)?;
        self.0.shared.add_interface(interface, link).map_err(|error| SetupError::Config {
            key: "iface".into(),
            value: name.clone(),
            problem: error.to_string(),
        })?;
        match self.apply(next, Opened::Interface(&name)) {
            Ok(()) => Ok(name),
            Err(error) => {
                let _ = self.remove_interface(&name);
                Err(error)
            }
        }
    }

    /// Takes an interface from the stack, with its addresses and routes, and closes its link. Connections over it find
    /// another way or time out.
    ///
    /// # Errors
    /// [`SetupError::Config`] if there is none of that name.
    pub fn remove_interface(&self, name: &str) -> Result<(), SetupError> {
        let names = self.run(|context| context.engine.interface_names());
        let id = self.run(|context| context.engine.interface_by_name(name));
        let id = id
            .filter(|id| *id != crate::net::InterfaceId::LOOPBACK)
            .ok_or_else(|| no_interface(name, &names))?;
        let mut config = self.0.config.lock();
        self.0.shared.remove_interface(id);
        // Whatever else is said about it was said of this one, and its routes are gone with it.
        let first = names.first().is_some_and(|first| first == name);
        config.interfaces.retain(|known| match &known.name {
            Some(known) => known != name,
            None => !first,
        });
        config.routes.retain(|route| !matches!(&route.way, Way::Link(Some(link)) if link == name));
        Ok(())
    }

    /// Whether the links carry packets of that size.
    fn check_mtus(&self, config: &Config) -> Result<(), SetupError> {
        let names = self.run(|context| context.engine.interface_names());
        for (at, name) in names.iter().enumerate() {
            let id = self.run(|context| context.engine.interface_by_name(name));
            let most = id.and_then(|id| self.0.shared.link_mtu(id));
            let (Some(mtu), Some(most)) = (Merged::of(config, at, name).mtu, most) else { continue };
            if mtu > most {
                let why = format!("the link of {name} carries packets of {most} bytes at most");
                return Err(problem("mtu", &mtu, &why));
            }
        }
        Ok(())
    }

    /// Makes `next` the configuration. `opened`: what was opened with it, so that it has what cannot be changed later.
    pub(crate) fn apply(&self, next: Config, opened: Opened<'_>) -> Result<(), SetupError> {
        let mut known = self.0.config.lock();
        self.check_mtus(&next)?;
        let changed = self.run(|context| {
            let names = context.engine.interface_names();
            for settings in &next.interfaces {
                position_of(settings.name.as_deref(), &names)?;
            }
            refuse_fixed(&known, &next, &names, opened)?;
            let changed = change(context, &known, &next);
            if changed.is_err() {
                // Nothing of it, then. What was there before fits again.
                let _ = change(context, &next, &known);
            }
            changed
        });
        if changed.is_ok() {
            *known = next;
        }
        changed
    }
}

/// Goes from one configuration to another: first everything that goes, then everything that comes.
fn change(context: &mut Context<'_>, old: &Config, new: &Config) -> Result<(), SetupError> {
    let now = context.now;
    let engine = &mut *context.engine;
    let names = engine.interface_names();
    let pairs: Vec<_> = names
        .iter()
        .enumerate()
        .filter_map(|(at, name)| {
            Some((engine.interface_by_name(name)?, Merged::of(old, at, name), Merged::of(new, at, name)))
        })
        .collect();
    if new.forward != old.forward {
        engine.set_forwarding(new.forward.unwrap_or(false));
    }
    engine.limit_icmp_errors(new.icmp_ratelimit.unwrap_or(true));
    for gateway in gone(&old.gateways, &new.gateways) {
        let _ = engine.remove_route(default_route(*gateway)?, RouteKind::Unicast, Some(*gateway), Some(0));
    }
    for RouteConfig { destination, way, metric } in gone(&old.routes, &new.routes) {
        let (kind, gateway) = match way {
            Way::Gateway(gateway) => (RouteKind::Unicast, Some(*gateway)),
            Way::Link(_) => (RouteKind::Unicast, None),
            Way::Nowhere(kind) => (*kind, None),
        };
        let _ = engine.remove_route(*destination, kind, gateway, Some(*metric));
    }
    for (id, old, new) in &pairs {
        for (address, _) in gone(&old.neighbours, &new.neighbours) {
            let _ = engine.remove_neighbour(*id, *address);
        }
        for cidr in gone(&old.addresses, &new.addresses) {
            let _ = engine.remove_address(now, *id, cidr.address());
        }
    }
    if new.identity != old.identity {
        engine.set_identity(new.identity.as_deref().unwrap_or_default());
    }
    engine.set_host_name(new.fqdn.as_deref());
    for (id, old, new) in &pairs {
        if new.dhcp != old.dhcp {
            if new.dhcp {
                engine.start_dhcp4(now, *id);
            } else {
                engine.stop_dhcp4(now, *id);
            }
        }
        engine.follow_routers(*id, new.follows);
        if new.dhcp6 != old.dhcp6 || (old.follows && !new.follows) {
            match new.dhcp6 {
                Some(wanted) => engine.start_dhcp6(now, *id, wanted == Dhcp6::Stateless),
                None => engine.stop_dhcp6(now, *id),
            }
        }
        if new.slaac != old.slaac {
            engine.stop_discovery(now, *id);
            engine.learn_as_router(*id, new.slaac == Some(Slaac::Router));
            if let Some(slaac) = new.slaac {
                engine.start_discovery(now, *id, slaac == Slaac::Temporary);
            }
        }
        if new.mtu != old.mtu
            && let Some(mtu) = new.mtu
        {
            engine.set_mtu(*id, mtu).map_err(|error| problem("mtu", &mtu, &error.to_string()))?;
        }
        let testing = new.dad.unwrap_or(Testing::Optimistic);
        if engine.testing(*id) != testing {
            engine.set_testing(now, *id, testing);
        }
        for cidr in gone(&new.addresses, &old.addresses) {
            engine.assign(now, *id, Assignment::configured(*cidr)).map_err(|error| match error {
                Error::AddressInUse => problem("ip", cidr, "the interface has this address already"),
                _ => problem("ip", cidr, "not an address that an interface can have"),
            })?;
        }
        if testing == Testing::Off {
            new.addresses.iter().for_each(|cidr| engine.announce_address(now, *id, cidr.address()));
        }
        for (address, mac) in gone(&new.neighbours, &old.neighbours) {
            let value = format!("{address}@{mac}");
            engine
                .add_neighbour(*id, *address, *mac)
                .map_err(|_| problem("neigh", &value, "not an address that a neighbour can have"))?;
        }
    }
    for gateway in gone(&new.gateways, &old.gateways) {
        engine
            .add_route(default_route(*gateway)?, Some(*gateway), None, 0)
            .map_err(|error| bad_route("gw", gateway, error))?;
    }
    for route in gone(&new.routes, &old.routes) {
        add_route(engine, route, &names)?;
    }
    Ok(())
}

fn add_route(engine: &mut Engine, route: &RouteConfig, names: &[String]) -> Result<(), SetupError> {
    let RouteConfig { destination, way, metric } = route;
    let added = match way {
        Way::Gateway(gateway) => engine.add_route(*destination, Some(*gateway), None, *metric),
        Way::Link(name) => {
            let name = name.as_ref().or_else(|| names.first());
            let name = name.ok_or_else(|| problem("route", route, "the stack has no interface"))?;
            let id = engine.interface_by_name(name).ok_or_else(|| no_interface(name, names))?;
            engine.add_route(*destination, None, Some(id), *metric)
        }
        Way::Nowhere(kind) => engine.add_barrier(*destination, *kind, *metric),
    };
    added.map_err(|error| bad_route("route", route, error))
}

/// What configuration strings say about one interface, under its name and, for the first, under none.
struct Merged {
    addresses: Vec<Cidr>,
    neighbours: Vec<(IpAddr, crate::net::Mac)>,
    mtu: Option<u16>,
    dad: Option<Testing>,
    dhcp: bool,
    /// Whether routers say whether DHCPv6 is asked.
    follows: bool,
    dhcp6: Option<Dhcp6>,
    slaac: Option<Slaac>,
}

impl Merged {
    fn of(config: &Config, position: usize, name: &str) -> Self {
        let all = config.of(position, name);
        let follows = all.iter().any(|settings| settings.auto || settings.auto6);
        Self {
            addresses: all.iter().flat_map(|settings| settings.addresses.iter().copied()).collect(),
            neighbours: all.iter().flat_map(|settings| settings.neighbours.iter().copied()).collect(),
            mtu: all.iter().find_map(|settings| settings.mtu),
            dad: all.iter().find_map(|settings| settings.dad),
            dhcp: all.iter().any(|settings| settings.dhcp || settings.auto),
            follows,
            dhcp6: all.iter().find_map(|settings| settings.dhcp6),
            slaac: all
                .iter()
                .find_map(|settings| settings.slaac)
                .or_else(|| follows.then_some(Slaac::Stable)),
        }
    }
}

impl Config {
    /// The settings of the interface of that name at that place: the first one has those without a name, too.
    pub(crate) fn of(&self, position: usize, name: &str) -> Vec<&InterfaceConfig> {
        let belongs = |settings: &&InterfaceConfig| match &settings.name {
            None => position == 0,
            Some(known) => known == name,
        };
        self.interfaces.iter().filter(belongs).collect()
    }
}

/// What is in `these` and not in `those`.
fn gone<'a, T: PartialEq>(these: &'a [T], those: &'a [T]) -> impl Iterator<Item = &'a T> {
    these.iter().filter(|item| !those.contains(item))
}

/// Refuses to change what a link has from its beginning.
fn refuse_fixed(old: &Config, new: &Config, names: &[String], opened: Opened<'_>) -> Result<(), SetupError> {
    if opened == Opened::Everything {
        return Ok(());
    }
    let fixed = |key: &str, value: &str| {
        Err(problem(key, &value, "it counts only when the stack or the interface is made"))
    };
    for (at, name) in names.iter().enumerate() {
        let of = |config: &Config| {
            let all: Vec<InterfaceConfig> = config.of(at, name).into_iter().cloned().collect();
            let mac = all.iter().find_map(|settings| settings.mac);
            let capture = all.iter().find_map(|settings| settings.capture.clone());
            (mac, capture, all.iter().find_map(|settings| settings.impair.clone()))
        };
        let (was, is) = (of(old), of(new));
        if opened == Opened::Interface(name) || was == is {
            continue;
        }
        let keys = [("mac", was.0 != is.0), ("capture", was.1 != is.1), ("impair", was.2 != is.2)];
        if let Some((key, _)) = keys.iter().find(|(_, changed)| *changed) {
            return fixed(key, name);
        }
    }
    for (key, changed) in
        [("busy_poll", old.busy_poll != new.busy_poll), ("linger", old.linger != new.linger)]
    {
        if changed {
            return fixed(key, "…");
        }
    }
    Ok(())
}

/// The place of the interface that settings belong to.
pub(crate) fn position_of(name: Option<&str>, names: &[String]) -> Result<usize, SetupError> {
    let at = match name {
        None => (!names.is_empty()).then_some(0),
        Some(name) => names.iter().position(|known| known == name),
    };
    at.ok_or_else(|| no_interface(name.unwrap_or_default(), names))
}

fn no_interface(name: &str, names: &[String]) -> SetupError {
    let hint = if names.is_empty() {
        "the stack has no interface; give it a VNL such as tap://tap0 or switch://lab".to_owned()
    } else {
        format!("the stack has no such interface; it has {}", names.join(", "))
    };
    problem("iface", &name, &hint)
}

fn default_route(gateway: IpAddr) -> Result<Cidr, SetupError> {
    let any = if gateway.is_ipv4() { IpAddr::V4([0; 4].into()) } else { IpAddr::V6([0; 16].into()) };
    Cidr::new(any, 0).ok_or_else(|| problem("gw", &gateway, "not an address"))
}

fn problem(key: &str, value: &dyn ToString, problem: &str) -> SetupError {
    SetupError::Config { key: key.into(), value: value.to_string(), problem: problem.into() }
}

fn bad_route(key: &str, value: &dyn ToString, error: Error) -> SetupError {
    let why = match error {
        Error::NetworkUnreachable => {
            "no interface reaches the gateway; give one an address on its network with ip="
        }
        Error::AddressInUse => "there is such a route already",
        _ => "the gateway is of another family than the destination",
    };
    problem(key, value, why)
}
