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
    /// What it needs; deployed before it and rolled back after it, unless the need says that it is its own turn first.
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

    /// Adds a dependency on a service that changes after this one, where both change.
    #[must_use]
    pub fn needs_before(mut self, service: ServiceId, version: VersionReq) -> Self {
        let dependency = Dependency { turn: Turn::Before, ..Dependency::new(service, version) };
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
    /// Which of the two goes first, where both change.
    #[serde(default, skip_serializing_if = "Turn::is_after")]
    pub turn: Turn,
}

impl Dependency {
    /// A need for what changes first, where both change.
    pub const fn new(service: ServiceId, version: VersionReq) -> Self {
        Self { service, version, turn: Turn::After }
    }
}

/// When what needs another service changes, where both change in one release.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Turn {
    /// After what it needs: the new version may need what only the new version of the other has.
    #[default]
    After,
    /// Before what it needs, where its version from before does not get along with the new version of the other. Its new version has to get
    /// along with the version of the other from before: a plan in which it does not is refused.
    Before,
}

impl Turn {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_after(&self) -> bool {
        *self == Self::After
    }
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
