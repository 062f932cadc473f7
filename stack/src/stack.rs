//! The handle of a stack.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::builder::Builder;
use crate::config::Config;
use crate::driver::core::Shared;
use crate::driver::{Context, Message, Runtime, Waited};
use crate::engine::endpoint::EndpointId;
use crate::engine::snapshot::Snapshot;
use crate::error::Error;

/// A TCP/IP stack. Clones are handles of the same stack.
///
/// The stack lives while there is a handle; afterwards what is queued is still sent, for a bounded time.
#[derive(Clone, Debug)]
pub struct Stack(pub(crate) Arc<Handle>);

#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    /// What was configured, first and since.
    pub(crate) config: Mutex<Config>,
}

impl Stack {
    /// Starts to describe a stack.
    #[must_use]
    pub fn builder(runtime: &Arc<Runtime>) -> Builder {
        Builder::new(runtime)
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
    /// running the stack on this thread unless another caller does, or until the deadline has passed or a signal
    /// handler ran after which a blocked call of the kernel would end, too.
    pub fn wait<R>(
        &self,
        id: EndpointId,
        deadline: Option<Instant>,
        f: impl FnMut(&mut Context<'_>) -> Option<R>,
    ) -> Waited<R> {
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

    /// What was configured, first and since.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.config.lock().clone()
    }

    /// Name servers: those of the configuration, in order, then those that the network told of.
    #[must_use]
    pub fn nameservers(&self) -> Vec<IpAddr> {
        let mut servers = self.0.config.lock().dns.clone();
        let learned = self.run(|context| context.engine.learned_nameservers());
        servers.extend(learned);
        let mut seen = HashSet::new();
        servers.retain(|server| seen.insert(*server));
        servers
    }

    /// The same as addresses to send to, at this port: link-local ones that the network told of have the index of the
    /// interface that they were heard on as their scope.
    #[must_use]
    pub fn nameserver_addresses(&self, port: u16) -> Vec<SocketAddr> {
        let configured = self.0.config.lock().dns.clone();
        let learned = self.run(|context| context.engine.learned_nameserver_addresses(port));
        let configured = configured.into_iter().map(|server| SocketAddr::new(server, port));
        let mut servers: Vec<_> = configured.chain(learned).collect();
        let mut seen = HashSet::new();
        servers.retain(|server| seen.insert(*server));
        servers
    }

    /// Domains in which short names are looked up: those of the configuration, in order, then those that the network told
    /// of.
    #[must_use]
    pub fn search_domains(&self) -> Vec<String> {
        let mut domains = self.0.config.lock().domains.clone();
        let learned = self.run(|context| context.engine.learned_domains());
        domains.extend(learned);
        let mut seen = HashSet::new();
        domains.retain(|domain| seen.insert(domain.clone()));
        domains
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
