//! Single changes of a running stack, as ip(8) makes them. The configuration keeps in step: what is added here can be
//! removed by [`Stack::configure`], and the reverse.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::{Config, InterfaceConfig, RouteConfig, Way};
use crate::driver::Context;
use crate::engine::address::Assignment;
use crate::error::Error;
use crate::net::cidr::Cidr;
use crate::net::mac::Mac;
use crate::net::route::{InterfaceId, Route, RouteKind};
use crate::stack::Stack;

/// What is to be different about an interface; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// Another name.
    pub name: Option<String>,
    /// Another Ethernet address.
    pub mac: Option<Mac>,
    /// Another size of the largest packet, in bytes.
    pub mtu: Option<u16>,
    /// Up or down.
    pub up: Option<bool>,
}

impl Stack {
    /// Gives an interface an address. One that is valid for some time only is not part of the configuration.
    ///
    /// # Errors
    /// As [`Engine::assign`](crate::Engine::assign).
    pub fn give_address(&self, interface: InterfaceId, assignment: Assignment) -> Result<(), Error> {
        self.adjust(interface, |config, context| {
            context.engine.assign(context.now, interface, assignment)?;
            if assignment.valid.is_none()
                && let Some(settings) = config
                && !settings.addresses.contains(&assignment.cidr)
            {
                settings.addresses.push(assignment.cidr);
            }
            Ok(())
        })
    }

    /// Changes how long an address is preferred and valid; `None` for ever.
    ///
    /// # Errors
    /// [`Error::AddressNotAvailable`] if the interface does not have it.
    pub fn keep_address(
        &self,
        interface: InterfaceId,
        cidr: Cidr,
        preferred: Option<Duration>,
        valid: Option<Duration>,
    ) -> Result<(), Error> {
        self.run(|context| context.engine.set_lifetimes(context.now, interface, cidr, preferred, valid))
    }

    /// Takes an address from an interface.
    ///
    /// # Errors
    /// [`Error::AddressNotAvailable`] if the interface does not have it.
    pub fn take_address(&self, interface: InterfaceId, cidr: Cidr) -> Result<(), Error> {
        let mut config = self.0.config.lock();
        let place = self.run(|context| {
            if !context.engine.addresses(interface).contains(&cidr) {
                return Err(Error::AddressNotAvailable);
            }
            context.engine.remove_address(context.now, interface, cidr.address())?;
            Ok(place(context, interface))
        })?;
        each_of(&mut config, &place, |settings| {
            settings.addresses.retain(|known| *known != cidr);
        });
        Ok(())
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] if there is that very route.
    pub fn give_route(&self, route: Route) -> Result<(), Error> {
        let mut config = self.0.config.lock();
        let (name, _) = self.run(|context| {
            context.engine.add_exact_route(route)?;
            Ok::<_, Error>(place(context, route.interface))
        })?;
        let known = configured(&route, &name);
        let default = if is_default(&known) { route.gateway } else { None };
        if let Some(gateway) = default {
            if !config.gateways.contains(&gateway) {
                config.gateways.push(gateway);
            }
        } else if !config.routes.contains(&known) {
            config.routes.push(known);
        }
        Ok(())
    }

    /// Removes exactly this route.
    ///
    /// # Errors
    /// [`Error::NoSuchRoute`] if there is none.
    pub fn take_route(&self, route: &Route) -> Result<(), Error> {
        let mut config = self.0.config.lock();
        let (name, position) = self.run(|context| {
            context.engine.remove_exact_route(route)?;
            Ok::<_, Error>(place(context, route.interface))
        })?;
        forget_route(&mut config, &configured(route, &name), position == Some(0));
        Ok(())
    }

    /// Sets a neighbour that nothing from the network changes, in place of what is known of it.
    ///
    /// # Errors
    /// As [`Engine::add_neighbour`](crate::Engine::add_neighbour).
    pub fn give_neighbour(&self, interface: InterfaceId, address: IpAddr, mac: Mac) -> Result<(), Error> {
        self.adjust(interface, |config, context| {
            context.engine.add_neighbour(interface, address, mac)?;
            if let Some(settings) = config {
                settings.neighbours.retain(|(known, _)| *known != address);
                settings.neighbours.push((address, mac));
            }
            Ok(())
        })
    }

    /// Forgets a neighbour.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not known.
    pub fn take_neighbour(&self, interface: InterfaceId, address: IpAddr) -> Result<(), Error> {
        let mut config = self.0.config.lock();
        let place = self.run(|context| {
            context.engine.remove_neighbour(interface, address)?;
            Ok::<_, Error>(place(context, interface))
        })?;
        each_of(&mut config, &place, |settings| {
            settings.neighbours.retain(|(known, _)| *known != address);
        });
        Ok(())
    }

    /// Changes an interface, one thing after the other, until one cannot be done.
    ///
    /// # Errors
    /// [`Error::NoInterface`] where there is none; [`Error::Invalid`] for an MTU that it cannot have;
    /// [`Error::AddressInUse`] if another has the name.
    pub fn change_link(&self, interface: InterfaceId, change: &LinkChange) -> Result<(), Error> {
        let most = self.0.shared.link_mtu(interface);
        if change.mtu.is_some_and(|mtu| most.is_some_and(|most| mtu > most)) {
            return Err(Error::Invalid);
        }
        let mut config = self.0.config.lock();
        self.run(|context| {
            let place = place(context, interface);
            let (engine, now) = (&mut *context.engine, context.now);
            if let Some(mac) = change.mac {
                engine.set_mac(now, interface, mac)?;
                each_of(&mut config, &place, |settings| {
                    settings.mac = settings.mac.map(|_| mac);
                });
            }
            if let Some(mtu) = change.mtu {
                engine.set_mtu(interface, mtu)?;
                each_of(&mut config, &place, |settings| {
                    settings.mtu = settings.mtu.map(|_| mtu);
                });
            }
            if let Some(name) = &change.name {
                engine.rename(interface, name)?;
                for settings in &mut config.interfaces {
                    if settings.name.as_ref() == Some(&place.0) {
                        settings.name = Some(name.clone());
                    }
                }
                for route in &mut config.routes {
                    if route.way == Way::Link(Some(place.0.clone())) {
                        route.way = Way::Link(Some(name.clone()));
                    }
                }
            }
            let Some(up) = change.up else { return Ok(()) };
            let before = routes_of(context, interface);
            context.engine.set_enabled(now, interface, up)?;
            // What went with it is not configured any more.
            let (name, after) = (change.name.as_ref().unwrap_or(&place.0), routes_of(context, interface));
            for gone in before.iter().filter(|route| !after.contains(route)) {
                forget_route(&mut config, &configured(gone, name), place.1 == Some(0));
            }
            let held = context.engine.addresses(interface);
            each_of(&mut config, &(name.clone(), place.1), |settings| {
                settings.addresses.retain(|known| up || known.address().is_ipv4() || held.contains(known));
            });
            Ok(())
        })
    }

    /// Runs `f` on the settings of an interface, which are made if there are none; loopback has none.
    fn adjust<R>(
        &self,
        interface: InterfaceId,
        f: impl FnOnce(Option<&mut InterfaceConfig>, &mut Context<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut config = self.0.config.lock();
        self.run(|context| {
            let (name, Some(position)) = place(context, interface) else { return f(None, context) };
            let belongs = |settings: &InterfaceConfig| match &settings.name {
                None => position == 0,
                Some(known) => *known == name,
            };
            let at = config.interfaces.iter().position(belongs).unwrap_or_else(|| {
                // Without a name, the first is meant.
                let name = (position != 0).then(|| name.clone());
                config.interfaces.push(InterfaceConfig { name, ..InterfaceConfig::default() });
                config.interfaces.len() - 1
            });
            f(Some(&mut config.interfaces[at]), context)
        })
    }
}

/// The name of an interface, and its place among the others, as configurations count them.
fn place(context: &Context<'_>, interface: InterfaceId) -> (String, Option<usize>) {
    let name = context.engine.configured(context.now).interface_name(interface).to_owned();
    let position = context.engine.interface_names().iter().position(|known| *known == name);
    (name, position)
}

/// The routes of an interface.
fn routes_of(context: &Context<'_>, interface: InterfaceId) -> Vec<Route> {
    let seen = context.engine.configured(context.now);
    let own = seen.routes.into_iter().filter(|route| route.interface == interface);
    own.map(|route| Route {
        gateway: route.gateway,
        metric: route.metric,
        kind: route.kind,
        ..Route::on_link(route.destination, interface)
    })
    .collect()
}

/// Has the configuration not say such a route any more. `first`: it is of the interface that is meant without a name.
fn forget_route(config: &mut Config, gone: &RouteConfig, first: bool) {
    config.routes.retain(|known| {
        let unnamed = first && known.way == Way::Link(None) && matches!(gone.way, Way::Link(_));
        known.destination != gone.destination
            || known.metric != gone.metric
            || !(known.way == gone.way || unnamed)
    });
    if let Way::Gateway(gateway) = gone.way
        && is_default(gone)
    {
        config.gateways.retain(|known| *known != gateway);
    }
}

/// Does something to all settings of an interface.
fn each_of(config: &mut Config, place: &(String, Option<usize>), f: impl FnMut(&mut InterfaceConfig)) {
    let (name, position) = place;
    let belongs = |settings: &&mut InterfaceConfig| match &settings.name {
        None => *position == Some(0),
        Some(known) => known == name,
    };
    config.interfaces.iter_mut().filter(belongs).for_each(f);
}

/// What a configuration string says for such a route.
fn configured(route: &Route, name: &str) -> RouteConfig {
    let way = match (route.kind, route.gateway) {
        (RouteKind::Unicast, Some(gateway)) => Way::Gateway(gateway),
        (RouteKind::Unicast, None) => Way::Link(Some(name.to_owned())),
        (kind, _) => Way::Nowhere(kind),
    };
    RouteConfig { destination: route.destination.network(), way, metric: route.metric }
}

/// Whether `gw=` says it.
fn is_default(route: &RouteConfig) -> bool {
    route.destination.prefix_len() == 0 && route.metric == 0
}
