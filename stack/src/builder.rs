//! How a stack is made: links are opened, interfaces get their settings, addresses and routes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::{Config, InterfaceConfig};
use crate::configure::{self, Opened};
use crate::driver::core::Shared;
use crate::driver::{Context, Runtime, Waited};
use crate::engine::{Engine, InterfaceSettings};
use crate::link::capture::Capture;
use crate::link::{self, Link};
use crate::net::mac::Mac;
use crate::setup_error::SetupError;
use crate::stack::{Handle, Stack};
use crate::tcp::isn::Secret;
use crate::vnl::Vnl;

/// How long a stack that nobody holds any more, or whose process exits, goes on sending.
const DEFAULT_LINGER: Duration = Duration::from_secs(5);
/// How long making a stack takes at most until its addresses are ready. Strict tests take nine seconds.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// The same where servers are asked, who have to answer before there is an address to test.
const DEFAULT_WAIT_DHCP: Duration = Duration::from_secs(30);

/// Describes a stack that is to be made.
#[derive(Debug)]
pub struct Builder {
    runtime: Arc<Runtime>,
    name: Option<String>,
    interfaces: Vec<(Option<String>, String)>,
    config: Result<Config, SetupError>,
}

impl Builder {
    pub(crate) fn new(runtime: &Arc<Runtime>) -> Self {
        let config = Ok(Config::default());
        Self { runtime: Arc::clone(runtime), name: None, interfaces: Vec::new(), config }
    }

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
            self.config = known.with(config);
        }
        self
    }

    /// Opens the links and starts the stack. Returns when its addresses are ready, `wait=` at the latest.
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
        let names: Vec<_> = vnls.iter().map(|(name, _)| name.clone()).collect();
        for settings in &config.interfaces {
            configure::position_of(settings.name.as_deref(), &names)?;
        }
        for (position, (name, vnl)) in vnls.into_iter().enumerate() {
            let settings = config.of(position, &name);
            let (interface, link) = open(&self.runtime, &name, vnl, &settings)?;
            engine.add_interface(interface).map_err(|_| SetupError::Config {
                key: "iface".into(),
                value: name,
                problem: "two interfaces have this name".into(),
            })?;
            links.push(Some(link));
        }
        let busy_poll = config.busy_poll.unwrap_or_default();
        let linger = config.linger.unwrap_or(DEFAULT_LINGER);
        let asks = config
            .interfaces
            .iter()
            .any(|settings| settings.dhcp || settings.auto || settings.dhcp6.is_some());
        let wait = config.wait.unwrap_or(if asks { DEFAULT_WAIT_DHCP } else { DEFAULT_WAIT });
        let shared = Shared::new(&self.runtime, self.name, engine, links, busy_poll, linger)
            .map_err(|error| system_error("descriptors for the stack", error))?;
        let stack = Stack(Arc::new(Handle { shared, config: Mutex::new(Config::default()) }));
        let ready = stack.apply(config, Opened::Everything).and_then(|()| stack.wait_until_ready(wait));
        if let Err(error) = ready {
            // The links are free for the next try.
            stack.0.shared.end();
            return Err(error);
        }
        Ok(stack)
    }
}

impl Stack {
    /// Waits until every address was tested and found good, and those that others give have come.
    pub(crate) fn wait_until_ready(&self, limit: Duration) -> Result<(), SetupError> {
        let deadline = Instant::now() + limit;
        if limit.is_zero() || self.run(|context| unready(context.engine).is_none()) {
            return self.check_duplicates();
        }
        // Whoever waits needs an endpoint that has the events.
        let watcher = self.run(|context| context.engine.open_watcher());
        let ready = |context: &mut Context<'_>| unready(context.engine).is_none().then_some(());
        let ready = loop {
            match self.wait(watcher, Some(deadline), ready) {
                Waited::Interrupted => {}
                waited => break waited.done(),
            }
        };
        let missing = self.run(|context| {
            context.engine.close(context.now, watcher);
            unready(context.engine)
        });
        self.check_duplicates()?;
        let (None, Some((key, value, problem))) = (ready, missing) else { return Ok(()) };
        let limit = crate::config::show_time(limit);
        let problem =
            format!("{problem} within {limit}; let it take longer with wait=, or not wait with wait=0s");
        Err(SetupError::Config { key: key.into(), value, problem })
    }

    fn check_duplicates(&self) -> Result<(), SetupError> {
        let taken = self.run(|context| context.engine.duplicate());
        taken.map_or(Ok(()), |cidr| {
            Err(SetupError::Config {
                key: "ip".into(),
                value: cidr.to_string(),
                problem: "another station on the link has this address; choose another".into(),
            })
        })
    }
}

/// What is still waited for: the key that asked for it, its value, and what did not happen.
fn unready(engine: &Engine) -> Option<(&'static str, String, String)> {
    if let Some((key, value, problem)) = engine.unleased() {
        return Some((key, value.to_owned(), problem));
    }
    if engine.is_testing() {
        return Some(("dad", "strict".to_owned(), "the addresses were not tested".to_owned()));
    }
    let name = engine.undiscovered()?;
    Some(("slaac", String::new(), format!("no router told {name} of a prefix")))
}

/// Opens the link of an interface.
pub(crate) fn open(
    runtime: &Runtime,
    name: &str,
    mut vnl: Vnl,
    settings: &[&InterfaceConfig],
) -> Result<(InterfaceSettings, Box<dyn Link>), SetupError> {
    if let Some(impairments) = settings.iter().find_map(|settings| settings.impair.as_ref()) {
        vnl.impair = Some(impairments.clone());
    }
    let mut link = link::open(&vnl, runtime.switches())?;
    if let Some(path) = settings.iter().find_map(|settings| settings.capture.as_ref()) {
        link = Box::new(Capture::create(link, path, name).map_err(|source| capture_error(path, source))?);
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
    let settings = InterfaceSettings { name: name.to_owned(), mac, mtu, offload: capabilities.offload };
    Ok((settings, link))
}

fn capture_error(path: &std::path::Path, source: std::io::Error) -> SetupError {
    SetupError::Link {
        what: format!("capture file {path:?}"),
        attempted: "write",
        source,
        advice: "name a file in a directory that exists and may be written to".into(),
    }
}

pub(crate) fn system_error(what: &str, source: std::io::Error) -> SetupError {
    SetupError::Link {
        what: what.into(),
        attempted: "get",
        source,
        advice: "raise the limits of the process (ulimit -n)".into(),
    }
}
