//! What a router is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use release_core::model::{Digest, Target};
use release_core::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::routing::{OPEN, check_name, slug};
use crate::shares::Pool;
use crate::{ErrorKind, ProviderError};

/// What ends the names of clusters that get copies. No track has it in its name.
pub(super) const COPIES: &str = "~copies";

/// Where an Envoy is, and what it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EnvoySettings {
    /// Its admin interface.
    pub admin: SocketAddr,
    /// A directory of the router's own, which Envoy can read and watches.
    pub directory: PathBuf,
    /// What is served.
    pub targets: Vec<EnvoyTarget>,
    /// How long Envoy may take to answer, or to take over a file, in milliseconds (default 10 000).
    #[serde(default = "patience_ms")]
    pub patience_ms: u32,
}

/// One target in an Envoy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EnvoyTarget {
    /// Which.
    pub target: Target,
    /// Where its traffic goes in; only [`EnvoySettings::render`] needs it.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// The name of its table of routes, with which those of its clusters begin (default `environment@region@service`).
    #[serde(default)]
    pub name: Option<String>,
}

const fn patience_ms() -> u32 {
    10_000
}

impl EnvoySettings {
    /// An Envoy without targets.
    pub fn new(admin: SocketAddr, directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self { admin, directory, targets: Vec::new(), patience_ms: patience_ms() }
    }

    /// Adds a target.
    #[must_use]
    pub fn target(mut self, target: EnvoyTarget) -> Self {
        self.targets.push(target);
        self
    }

    pub(super) fn patience(&self) -> Span {
        Span::millis(u64::from(self.patience_ms))
    }

    /// The list of clusters of all targets.
    pub(super) fn clusters(&self) -> PathBuf {
        self.directory.join("clusters.json")
    }

    /// Refuses what no schema can see to be wrong.
    pub(super) fn check(&self) -> Result<(), ProviderError> {
        if !self.directory.is_absolute() || self.directory.to_str().is_none() {
            let text = "the directory must be an absolute path in UTF-8: Envoy is told of it";
            return Err(invalid(text).with_context("directory", self.directory.display()));
        }
        for (n, one) in self.targets.iter().enumerate() {
            let say = |error: ProviderError| error.with_context("target", &one.target);
            check_name(&one.name(), '@').map_err(say)?;
            let mut others = self.targets.iter().take(n);
            if others.any(|other| other.target == one.target || other.name() == one.name()) {
                return Err(say(invalid("a target, or a name, is there twice")));
            }
        }
        Ok(())
    }
}

fn invalid(text: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::Invalid, OPEN, text)
}

impl EnvoyTarget {
    /// A target with the default name.
    pub const fn new(target: Target) -> Self {
        Self { target, listen: Vec::new(), name: None }
    }

    /// Lets its traffic in at `address`.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.push(address);
        self
    }

    /// Gives it a name of its own in the configuration.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| slug(&self.target, '@'))
    }

    /// The cluster of instances that answer.
    pub(super) fn cluster(&self, pool: &Pool) -> String {
        format!("{}/{}", self.name(), pool.tag())
    }

    /// The cluster for copies of requests: the same instances, with limits of its own.
    pub(super) fn copies(&self, digest: Digest) -> String {
        format!("{}{COPIES}", self.cluster(&Pool::whole(digest)))
    }

    /// Whether a cluster is one of this target.
    pub(super) fn has(&self, cluster: &str) -> bool {
        self.pool(cluster).is_some()
    }

    /// Whose instances a cluster of this target is; also one for copies.
    pub(super) fn pool(&self, cluster: &str) -> Option<Pool> {
        let tag = cluster.strip_prefix(&self.name())?.strip_prefix('/')?;
        Pool::read(tag.strip_suffix(COPIES).unwrap_or(tag))
    }
}

/// The file of a cluster's addresses.
pub(super) fn addresses_file(cluster: &str) -> String {
    format!("{}.addresses.json", cluster.replace('/', "+"))
}

/// The file of a target's table of routes.
pub(super) fn routes_file(name: &str) -> String {
    format!("{name}.routes.json")
}
