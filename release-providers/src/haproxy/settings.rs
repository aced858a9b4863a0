//! What a router is told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use release_core::model::Target;
use release_core::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::routing::{OPEN, check_name, slug};
use crate::{ErrorKind, ProviderError};

/// Where a HAProxy is, and what it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HaproxySettings {
    /// Its runtime API, a `stats socket` of `level admin`: the path of a Unix socket, or an address such as
    /// `127.0.0.1:9999`.
    pub socket: String,
    /// A directory of the router's own, which HAProxy can read: maps, servers, epochs.
    pub state: PathBuf,
    /// What is served.
    pub targets: Vec<HaproxyTarget>,
    /// How long one answer of the runtime API may take, in milliseconds (default 10 000).
    #[serde(default = "patience_ms")]
    pub patience_ms: u32,
}

/// One target in a HAProxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HaproxyTarget {
    /// Which.
    pub target: Target,
    /// Where its traffic goes in; only [`HaproxySettings::render`] needs it.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// The name of its frontend, with which those of its backends begin (default `environment:region:service`).
    #[serde(default)]
    pub name: Option<String>,
    /// How many versions may be there at once, those that are drained included (default 4, at least 2).
    #[serde(default = "versions")]
    pub versions: u16,
    /// How many instances one version may have (default 16).
    #[serde(default = "instances")]
    pub instances: u16,
}

const fn patience_ms() -> u32 {
    10_000
}

const fn versions() -> u16 {
    4
}

const fn instances() -> u16 {
    16
}

impl HaproxySettings {
    /// A HAProxy without targets.
    pub fn new(socket: impl Into<String>, state: impl Into<PathBuf>) -> Self {
        let (socket, state) = (socket.into(), state.into());
        Self { socket, state, targets: Vec::new(), patience_ms: patience_ms() }
    }

    /// Adds a target.
    #[must_use]
    pub fn target(mut self, target: HaproxyTarget) -> Self {
        self.targets.push(target);
        self
    }

    pub(super) fn patience(&self) -> Span {
        Span::millis(u64::from(self.patience_ms))
    }

    /// Where HAProxy reads the addresses of servers when it starts.
    pub(super) fn servers(&self) -> PathBuf {
        self.state.join("servers.state")
    }

    /// Refuses what no schema can see to be wrong.
    pub(super) fn check(&self) -> Result<(), ProviderError> {
        check_path("state", &self.state)?;
        if self.socket.starts_with('/') {
            check_path("socket", Path::new(&self.socket))?;
        } else if self.socket.parse::<SocketAddr>().is_err() {
            let text =
                "the socket is neither an absolute path nor an address such as 127.0.0.1:9999";
            return Err(invalid(text).with_context("socket", &self.socket));
        }
        for (n, one) in self.targets.iter().enumerate() {
            let say = |error: ProviderError| error.with_context("target", &one.target);
            check_name(&one.name(), ':').map_err(say)?;
            if !(2..=64).contains(&one.versions) || !(1..=1_000).contains(&one.instances) {
                let text = "a target has room for 2 to 64 versions of 1 to 1000 instances";
                return Err(say(invalid(text)));
            }
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

/// Paths stand in commands and in the configuration, where spaces and a few signs mean something.
fn check_path(what: &'static str, path: &Path) -> Result<(), ProviderError> {
    let text = path.to_str().unwrap_or_default();
    let fine = |c: char| c.is_ascii_alphanumeric() || "/-_.@:+".contains(c);
    if text.starts_with('/') && text.chars().all(fine) {
        return Ok(());
    }
    let text = "a path must be absolute, of letters, digits and `/-_.@:+`: it stands in commands";
    Err(invalid(text).with_context(what, path.display()))
}

impl HaproxyTarget {
    /// A target with the default names and limits.
    pub const fn new(target: Target) -> Self {
        let (versions, instances) = (versions(), instances());
        Self { target, listen: Vec::new(), name: None, versions, instances }
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
        self.name.clone().unwrap_or_else(|| slug(&self.target, ':'))
    }

    /// The backend of a slot.
    pub(super) fn backend(&self, slot: u16) -> String {
        format!("{}.{slot}", self.name())
    }

    /// The table of counts.
    pub(super) fn counts(&self) -> String {
        format!("{}.counts", self.name())
    }

    pub(super) fn map(&self, state: &Path) -> PathBuf {
        state.join(format!("{}.map", self.name()))
    }

    pub(super) fn rules(&self, state: &Path) -> PathBuf {
        state.join(format!("{}.rules", self.name()))
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = u16> + use<> {
        0..self.versions
    }
}
