//! What people write: the whole of a release train in one value.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Analysis, Digest, Environment, FlagChange, Gate, Hook, Release, Service, Strategy};
use crate::ids::{AnalysisId, ChannelId, EnvironmentId, RegionId, TrainId};
use crate::time::Span;

/// The format of definition files that this version reads and writes.
pub const FORMAT: &str = "release/v1";

/// A release train: services, environments, the release, and the stages it goes through.
///
/// Nothing here is checked beyond its own form; [`crate::plan::plan`] checks the whole and reports
/// every fault at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The format, `release/v1`.
    pub format: String,
    /// The train's name.
    pub train: TrainId,
    /// What can be deployed.
    pub services: Vec<Service>,
    /// Where.
    pub environments: Vec<Environment>,
    /// How versions are judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub analyses: Vec<Analysis>,
    /// What shall be live.
    pub release: Release,
    /// Through which environments it goes, in order.
    pub stages: Vec<Stage>,
    /// Who is told when the run ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<ChannelId>,
}

/// One environment on the way, and how the versions get there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The environment.
    pub environment: EnvironmentId,
    /// What must hold before the stage begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// How each service is replaced.
    pub strategy: Strategy,
    /// Regions that go together, wave after wave. Empty: one region a wave, in the environment's
    /// order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Vec<RegionId>>,
    /// What must hold before each wave begins, in the order of the waves; the first of them besides what must hold before the stage. For
    /// example that the wave before has been watched for an hour, and that people who can help are at work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wave_gates: Vec<Vec<Gate>>,
    /// Stops the line: once so many regions have failed, no further one begins, and those that are on
    /// their way come to their end. A region that fails before that is taken back alone, and the others go
    /// on. How much is taken back with the last is what the release's criteria say: with `region`, healthy
    /// regions keep the new version. Left out, the first failure stops everything that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after_failed_regions: Option<u32>,
    /// What must be known of the new version before it gets any traffic, so that it can be watched from the first request
    /// on: each of them has to pass once it is ready. An analysis passes by data of that very version, in the number of its
    /// `min_samples`; no data, stale data and data of another version are inconclusive.
    ///
    /// That samples are of the version is what their source says, and nobody else knows. Each answer to a `query` counts as one sample,
    /// whatever it is made of, and a gate of the rollout that is asked by one says nothing of the version: where such an analysis alone
    /// is named here, no samples of the version are demanded. Name one with `min_samples` of counters that have the version's label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before_traffic: Vec<AnalysisId>,
    /// Why users may get a new version here of which nothing was measured before, where `before_traffic` names nothing: what is known
    /// then is that its instances are ready. In production, a planner refuses a stage that says neither. It is kept in the plan
    /// and in the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmeasured: Option<Unmeasured>,
    /// What is called outside at points of each rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// A service that goes back to a version from one of so many of the release's [recent](super::Release::recent) sets
    /// takes no steps and waits at none of the strategy's gates: started, ready, it gets all of the traffic at once. It is
    /// judged then by those of the release's criteria that look at one version. 0: all versions are new.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[doc(alias = "rollbackWindow")]
    pub rollback_window: u32,
    /// Feature flags that it changes, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<FlagChange>,
    /// How long one attempt at one step may take; at least a millisecond.
    #[serde(default = "minute")]
    pub step_timeout: Span,
    /// How often a step is tried before it counts as failed.
    #[serde(default = "three")]
    pub attempts: u32,
}

/// Somebody's word that users may get a version of which nothing was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unmeasured {
    /// Why: what there is instead, or why there is nothing.
    pub reason: String,
}

impl Unmeasured {
    /// For this reason.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

const fn minute() -> Span {
    Span::secs(60)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

const fn three() -> u32 {
    3
}

impl Stage {
    /// A stage without gates, one region a wave.
    pub const fn new(environment: EnvironmentId, strategy: Strategy) -> Self {
        Self {
            environment,
            gates: Vec::new(),
            strategy,
            waves: Vec::new(),
            wave_gates: Vec::new(),
            stop_after_failed_regions: None,
            before_traffic: Vec::new(),
            unmeasured: None,
            hooks: Vec::new(),
            rollback_window: 0,
            flags: Vec::new(),
            step_timeout: minute(),
            attempts: three(),
        }
    }

    /// Adds a gate.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gates.push(gate);
        self
    }

    /// Changes a flag, after those named before.
    #[must_use]
    pub fn flag(mut self, change: FlagChange) -> Self {
        self.flags.push(change);
        self
    }
}

impl Definition {
    /// Begins a definition in Rust.
    pub fn builder(train: TrainId, release: Release) -> DefinitionBuilder {
        DefinitionBuilder {
            definition: Self {
                format: String::new(),
                train,
                services: Vec::new(),
                environments: Vec::new(),
                analyses: Vec::new(),
                release,
                stages: Vec::new(),
                notify: Vec::new(),
            },
        }
    }

    /// The JSON Schema of the definition file, generated from these types.
    pub fn json_schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(Self).to_value();
        schema.sort_all_objects();
        schema
    }

    /// Identifies the definition by content. A run pins it.
    ///
    /// It is the digest of the definition's JSON, whose fields and maps have a fixed order.
    pub fn digest(&self) -> Digest {
        // INVARIANT: these types serialise without fail: string keys, no custom errors.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Builds a [`Definition`] in Rust.
#[derive(Debug, Clone)]
#[must_use]
pub struct DefinitionBuilder {
    definition: Definition,
}

impl DefinitionBuilder {
    /// Adds a service.
    pub fn service(mut self, service: Service) -> Self {
        self.definition.services.push(service);
        self
    }

    /// Adds an environment.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.definition.environments.push(environment);
        self
    }

    /// Adds an analysis.
    pub fn analysis(mut self, analysis: Analysis) -> Self {
        self.definition.analyses.push(analysis);
        self
    }

    /// Adds a stage after the others.
    pub fn stage(mut self, stage: Stage) -> Self {
        self.definition.stages.push(stage);
        self
    }

    /// Tells `channel` when the run ends.
    pub fn notify(mut self, channel: ChannelId) -> Self {
        self.definition.notify.push(channel);
        self
    }

    /// The definition, not yet checked as a whole.
    pub fn build(mut self) -> Definition {
        FORMAT.clone_into(&mut self.definition.format);
        self.definition
    }
}
