//! What is deployed, and what it needs of others.

use schemars::JsonSchema;
use semver::VersionReq;
use serde::{Deserialize, Serialize};

use crate::ids::{SemaphoreId, ServiceId, TeamId};

/// A deployable, owned by a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub id: ServiceId,
    /// The team that answers for it.
    pub owner: TeamId,
    /// What it needs; deployed before it and rolled back after it, unless its version from before does not get
    /// along with what comes there: then it goes first itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// How many instances run in each target.
    #[serde(default = "one")]
    pub replicas: u32,
    /// What it shares with others, and not all may use at once: a limit of the platform that names the
    /// semaphore says how many may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub semaphores: Vec<SemaphoreId>,
    /// Where it stands what to do when a release of it goes wrong, for example an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
}

impl Service {
    /// A service with one instance a target and no dependencies.
    pub const fn new(id: ServiceId, owner: TeamId) -> Self {
        let semaphores = Vec::new();
        Self { id, owner, depends_on: Vec::new(), replicas: one(), semaphores, runbook: None }
    }

    /// Adds a dependency.
    #[must_use]
    pub fn needs(mut self, service: ServiceId, version: VersionReq) -> Self {
        self.depends_on.push(Dependency::new(service, version));
        self
    }

    /// Adds a dependency of which more is to be said.
    #[must_use]
    pub fn needing(mut self, dependency: Dependency) -> Self {
        self.depends_on.push(dependency);
        self
    }

    /// Names a semaphore.
    #[must_use]
    pub fn semaphore(mut self, semaphore: SemaphoreId) -> Self {
        self.semaphores.push(semaphore);
        self
    }

    /// Sets where it stands what to do when a release of it goes wrong.
    #[must_use]
    pub fn runbook(mut self, runbook: impl Into<String>) -> Self {
        self.runbook = Some(runbook.into());
        self
    }

    /// Sets how many instances run in each target.
    #[must_use]
    pub const fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }
}

/// A need for another service in a range of versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// The service that is needed.
    pub service: ServiceId,
    /// Versions that will do, in Cargo's notation, for example `^2.1`.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "range")]
    pub version: VersionReq,
    /// Versions with which the service's own version from before gets along, where that is another range. Where the other service's new
    /// version is not among them, and both change, this service goes first: then its new version has to get along with the other's version
    /// from before, and a plan in which it does not is refused.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_range")]
    pub previously: Option<VersionReq>,
}

impl Dependency {
    /// A need that all versions of the service have.
    pub const fn new(service: ServiceId, version: VersionReq) -> Self {
        Self { service, version, previously: None }
    }

    /// Sets with which versions the service's own version from before gets along.
    #[must_use]
    pub fn previously(mut self, version: VersionReq) -> Self {
        self.previously = Some(version);
        self
    }

    /// Which versions the service's own version from before needs.
    pub fn before(&self) -> &VersionReq {
        self.previously.as_ref().unwrap_or(&self.version)
    }
}

fn some_range<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<VersionReq>, D::Error> {
    #[derive(Deserialize)]
    struct Range(#[serde(deserialize_with = "range")] VersionReq);
    Ok(Option::deserialize(deserializer)?.map(|Range(version)| version))
}

fn range<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<VersionReq, D::Error> {
    let text = String::deserialize(deserializer)?;
    VersionReq::parse(&text).map_err(|error| {
        let text: String = text.chars().take(80).collect();
        serde::de::Error::custom(format!(
            "`{text}` is not a range of versions: {error}; write one as Cargo does, for example `^2.1` or `>=2.0, <3`"
        ))
    })
}

const fn one() -> u32 {
    1
}
