//! What a local platform is told: where it lives, what its services need, and its limits.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use release_core::model::{ServiceId, Span, Target};
use release_core::port::Clock;

/// What a [`LocalPlatform`](super::LocalPlatform) is told. Start with [`LocalConfig::new`] and set
/// the fields that differ.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalConfig {
    /// The directory that holds everything: artifacts, records, logs. Created when missing.
    pub root: PathBuf,
    /// The only source of time.
    pub clock: Arc<dyn Clock>,
    /// Fixed ports of targets' proxies. A target that is not named gets one from the operating
    /// system, and after a reopen the same again if it is still free.
    pub ports: BTreeMap<Target, u16>,
    /// What services need beyond the defaults.
    pub services: BTreeMap<ServiceId, ServiceConfig>,
    /// Most instances of one version in one target (default 64).
    pub max_replicas: u32,
    /// How long a stopping instance may finish the requests it has begun, and routers may take to hear of it (default 30 s).
    pub drain_timeout: Span,
    /// How long an instance may take from SIGTERM to its end before SIGKILL (default 5 s).
    pub stop_grace: Span,
    /// How long an instance that is not ready yet must live for its start to count as done
    /// (default 1 s). An instance that answers ready counts at once.
    pub start_watch: Span,
    /// How long one health check or scrape of an instance may take (default 2 s).
    pub probe_timeout: Span,
    /// How long the proxy waits for the head of an instance's response (default 60 s).
    pub upstream_timeout: Span,
    /// How long the proxy keeps an idle connection to an instance (default 5 s). Shorter than what
    /// services grant, so that a request seldom meets a connection that is just being closed.
    pub idle_timeout: Span,
    /// The pause before an instance that ran well and died is restarted; doubled each time
    /// (default 100 ms).
    pub restart_pause: Span,
    /// The longest such pause (default 30 s).
    pub restart_pause_limit: Span,
    /// Most connections that clients may hold to one target's proxy; more wait (default 1024).
    pub max_connections: usize,
}

impl LocalConfig {
    /// A platform under `root` that reads `clock`, with the default limits.
    pub fn new(root: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            root: root.into(),
            clock,
            ports: BTreeMap::new(),
            services: BTreeMap::new(),
            max_replicas: 64,
            drain_timeout: Span::secs(30),
            stop_grace: Span::secs(5),
            start_watch: Span::secs(1),
            probe_timeout: Span::secs(2),
            upstream_timeout: Span::secs(60),
            idle_timeout: Span::secs(5),
            restart_pause: Span::millis(100),
            restart_pause_limit: Span::secs(30),
            max_connections: 1024,
        }
    }

    /// Gives a target's proxy a fixed port.
    #[must_use]
    pub fn port(mut self, target: Target, port: u16) -> Self {
        self.ports.insert(target, port);
        self
    }

    /// Says what a service needs.
    #[must_use]
    pub fn service(mut self, service: ServiceId, config: ServiceConfig) -> Self {
        self.services.insert(service, config);
        self
    }
}

/// What one service's instances are started with, and how they are asked.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceConfig {
    /// Arguments.
    pub args: Vec<String>,
    /// Environment beside `PORT`, `SERVICE_NAME`, `RELEASE_INSTANCE` and `PATH`, which it cannot
    /// override (`PATH` it can). Values may be secrets: they are handed over and never written.
    pub env: BTreeMap<String, String>,
    /// The path that answers 2xx when the instance is ready.
    pub health_path: String,
    /// The path that answers in the Prometheus text format.
    pub metrics_path: String,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            args: Vec::new(),
            env: BTreeMap::new(),
            health_path: "/healthz".to_owned(),
            metrics_path: "/metrics".to_owned(),
        }
    }
}

impl ServiceConfig {
    /// No arguments, no further environment, `/healthz` and `/metrics`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }
}

/// Shows the names of the environment's variables, never their values.
impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("args", &self.args.len())
            .field("env", &self.env.keys())
            .field("health_path", &self.health_path)
            .field("metrics_path", &self.metrics_path)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_environment_are_never_shown() {
        let config = ServiceConfig::new().env("TOKEN", "hunter2").arg("--password=hunter2");
        let shown = format!("{config:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }
}
