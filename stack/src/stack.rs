//! The handle of a stack.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Config, InterfaceConfig};
use crate::driver::core::Shared;
use crate::driver::{Context, Message, Runtime};
use crate::engine::endpoint::EndpointId;
use crate::engine::snapshot::Snapshot;
use crate::engine::{Engine, InterfaceSettings};
use crate::error::Error;
use crate::link::capture::Capture;
use crate::link::{self, Link};
use crate::net::cidr::Cidr;
use crate::net::mac::Mac;
use crate::net::route::InterfaceId;
use crate::setup_error::SetupError;
use crate::tcp::isn::Secret;
use crate::vnl::Vnl;

/// How long a stack that nobody holds any more, or whose process exits, goes on sending.
const DEFAULT_LINGER: Duration = Duration::from_secs(5);

/// A TCP/IP stack. Clones are handles of the same stack.
///
/// The stack lives while there is a handle; afterwards what is queued is still sent, for a bounded time.
#[derive(Clone, Debug)]
pub struct Stack(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    nameservers: Vec<IpAddr>,
}

impl Stack {
    /// Starts to describe a stack.
    #[must_use]
    pub fn builder(runtime: &Arc<Runtime>) -> Builder {
        Builder {
            runtime: Arc::clone(runtime),
            name: None,
            interfaces: Vec::new(),
            config: Ok(Config::default()),
        }
    }

    /// Runs `f` under the stack's lock, sends what it caused and wakes whom it concerns. Never waits.
    pub fn run<R>(&self, f: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.0.shared.run(false, f)
    }

    /// The same, but takes in first what has arrived: for a call that would find nothing and does not wait.
    pub fn run_fresh<R>(&self, f: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.0.shared.run(true, f)
    }

    /// Calls `f` under the lock until it says `Some`, and in between waits for an event of the endpoint `id`,
    /// running the stack on this thread unless another caller does. `None` when the deadline has passed.
    pub fn wait<R>(
        &self,
        id: EndpointId,
        deadline: Option<Instant>,
        f: impl FnMut(&mut Context<'_>) -> Option<R>,
    ) -> Option<R> {
        self.0.shared.wait(id, deadline, f)
    }

    /// Sends what is queued, for at most `timeout`, then ends the stack: connections are reset, links are
    /// given back, every further call fails with [`Error::NetworkDown`].
    ///
    /// # Errors
    /// [`Error::TimedOut`] when not everything was acknowledged in time. The stack ends all the same.
    pub fn shutdown(&self, timeout: Duration) -> Result<(), Error> {
        let drained = self.0.shared.drain(timeout);
        self.0.shared.end();
        drained
    }

    /// Everything about the stack as it is now. Nothing is taken in, sent or woken for it: what has arrived at a link and
    /// was not taken in yet does not show.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.shared.snapshot()
    }

    /// The name given when the stack was made.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.shared.name()
    }

    /// Name servers of the configuration, in order.
    #[must_use]
    pub fn nameservers(&self) -> &[IpAddr] {
        &self.0.nameservers
    }

    /// A number that no other stack of the runtime has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.shared.id()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.runtime().tell(Message::Orphaned(Arc::clone(&self.shared)));
    }
}

/// Describes a stack that is to be made.
#[derive(Debug)]
pub struct Builder {
    runtime: Arc<Runtime>,
    name: Option<String>,
    interfaces: Vec<(Option<String>, String)>,
    config: Result<Config, SetupError>,
}

impl Builder {
    /// Names the stack, for messages.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Adds an interface on a link. A name in the VNL counts more than `name`; without either it is `vde0`,
    /// `vde1`, … by its position.
    #[must_use]
    pub fn interface(mut self, name: Option<&str>, vnl: &str) -> Self {
        self.interfaces.push((name.map(str::to_owned), vnl.to_owned()));
        self
    }

    /// Adds configuration, a string as `ip=10.0.0.2/24,gw=10.0.0.1`; see [`Config`].
    #[must_use]
    pub fn config(mut self, config: &str) -> Self {
        if let Ok(known) = &self.config {
            let joined = [known.to_string(), config.to_owned()].join(",");
            self.config = joined.parse();
        }
        self
    }

    /// Opens the links and starts the stack.
    ///
    /// # Errors
    /// [`SetupError`] says what could not be done, why, and what to do about it.
    pub fn build(self) -> Result<Stack, SetupError> {
        let config = self.config?;
        let secret = Secret::from_system().map_err(|error| system_error("random numbers", error))?;
        let mut engine = Engine::new(secret);
        // Interface 0 is loopback, which has no link.
        let mut links: Vec<Option<Box<dyn Link>>> = vec![None];
        let mut vnls = Vec::new();
        for (position, (name, text)) in self.interfaces.into_iter().enumerate() {
            let vnl: Vnl = text.parse()?;
            let name = vnl.ifname.clone().or(name).unwrap_or_else(|| format!("vde{position}"));
            vnls.push((name, vnl));
        }
        let settings_of = assign(&config, &vnls)?;
        for ((name, mut vnl), settings) in vnls.into_iter().zip(settings_of) {
            if let Some(impairments) = settings.iter().find_map(|settings| settings.impair.as_ref()) {
                vnl.impair = Some(impairments.clone());
            }
            let mut link = link::open(&vnl, self.runtime.switches())?;
            if let Some(path) = settings.iter().find_map(|settings| settings.capture.as_ref()) {
                link = Box::new(
                    Capture::create(link, path, &name).map_err(|source| capture_error(path, source))?,
                );
            }
            let capabilities = link.capabilities();
            let mtu = settings.iter().find_map(|settings| settings.mtu).unwrap_or(capabilities.mtu);
            if mtu > capabilities.mtu {
                return Err(SetupError::Config {
                    key: "mtu".into(),
                    value: mtu.to_string(),
                    problem: format!("the link {vnl} carries packets of {} bytes at most", capabilities.mtu),
                });
            }
            let mac = match settings.iter().find_map(|settings| settings.mac) {
                Some(mac) => mac,
                None => Mac::random().map_err(|error| system_error("random numbers", error))?,
            };
            let added = engine.add_interface(InterfaceSettings {
                name: name.clone(),
                mac,
                mtu,
                offload: capabilities.offload,
            });
            let id = added.map_err(|_| SetupError::Config {
                key: "iface".into(),
                value: name,
                problem: "two interfaces have this name".into(),
            })?;
            links.push(Some(link));
            for cidr in settings.iter().flat_map(|settings| &settings.addresses) {
                add_address(&mut engine, id, *cidr)?;
            }
        }
        for gateway in &config.gateways {
            let any = if gateway.is_ipv4() { IpAddr::V4([0; 4].into()) } else { IpAddr::V6([0; 16].into()) };
            let default = Cidr::new(any, 0).ok_or_else(|| bad_gateway("gw", gateway, "not an address"))?;
            engine
                .add_route(default, Some(*gateway), None, 0)
                .map_err(|error| bad_route("gw", gateway, error))?;
        }
        for (destination, gateway) in &config.routes {
            let first = (links.len() > 1).then(|| InterfaceId::new(1));
            let interface = if gateway.is_some() { None } else { first };
            engine
                .add_route(*destination, *gateway, interface, 0)
                .map_err(|error| bad_route("route", destination, error))?;
        }
        let busy_poll = config.busy_poll.unwrap_or_default();
        let linger = config.linger.unwrap_or(DEFAULT_LINGER);
        let shared = Shared::new(&self.runtime, self.name, engine, links, busy_poll, linger)
            .map_err(|error| system_error("descriptors for the stack", error))?;
        shared.run(false, |context| context.engine.announce(context.now));
        Ok(Stack(Arc::new(Handle { shared, nameservers: config.dns })))
    }
}

/// The settings of each interface, in order: those under its name, and for the first the nameless ones.
fn assign<'a>(
    config: &'a Config,
    vnls: &[(String, Vnl)],
) -> Result<Vec<Vec<&'a InterfaceConfig>>, SetupError> {
    let mut assigned = vec![Vec::new(); vnls.len()];
    for settings in &config.interfaces {
        let at = match &settings.name {
            None => (!vnls.is_empty()).then_some(0),
            Some(name) => vnls.iter().position(|(known, _)| known == name),
        };
        let names: Vec<_> = vnls.iter().map(|(name, _)| name.as_str()).collect();
        let at = at.ok_or_else(|| SetupError::Config {
            key: "iface".into(),
            value: settings.name.clone().unwrap_or_default(),
            problem: if names.is_empty() {
                "the stack has no interface; give it a VNL such as tap://tap0 or switch://lab".into()
            } else {
                format!("the stack has no such interface; it has {}", names.join(", "))
            },
        })?;
        assigned[at].push(settings);
    }
    Ok(assigned)
}

fn add_address(engine: &mut Engine, id: InterfaceId, cidr: Cidr) -> Result<(), SetupError> {
    engine.add_address(id, cidr).map_err(|error| SetupError::Config {
        key: "ip".into(),
        value: cidr.to_string(),
        problem: match error {
            Error::AddressInUse => "the interface has this address already".into(),
            _ => "not an address that an interface can have".into(),
        },
    })
}

fn bad_gateway(key: &str, value: &dyn ToString, problem: &str) -> SetupError {
    SetupError::Config { key: key.into(), value: value.to_string(), problem: problem.into() }
}

fn bad_route(key: &str, value: &dyn ToString, error: Error) -> SetupError {
    let problem = match error {
        Error::NetworkUnreachable => {
            "no interface reaches the gateway; give one an address on its network with ip="
        }
        Error::AddressInUse => "there is such a route already",
        _ => "the gateway is of another family than the destination",
    };
    bad_gateway(key, value, problem)
}

fn capture_error(path: &std::path::Path, source: std::io::Error) -> SetupError {
    SetupError::Link {
        what: format!("capture file {path:?}"),
        attempted: "write",
        source,
        advice: "name a file in a directory that exists and may be written to".into(),
    }
}

fn system_error(what: &str, source: std::io::Error) -> SetupError {
    SetupError::Link {
        what: what.into(),
        attempted: "get",
        source,
        advice: "raise the limits of the process (ulimit -n)".into(),
    }
}
