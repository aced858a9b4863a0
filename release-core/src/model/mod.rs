//! The nouns: plain data that people write and that everything else is computed from.
//!
//! `definition` ties them together, `file` reads them from YAML and TOML.

mod analysis;
mod artifact;
mod burn;
mod cusum;
mod definition;
mod environment;
#[cfg(feature = "files")]
mod file;
mod flag;
mod gate;
mod identity;
mod judge;
mod metric;
mod number;
mod objectives;
mod principal;
mod release;
mod request;
mod scope;
mod scorecard;
mod service;
mod signal;
mod strategy;
mod traffic;

pub use analysis::{Analysis, Undecided};
pub use artifact::{ArtifactError, ArtifactRef, Digest, Member, VersionSet};
pub use burn::{BurnRate, BurnWindows};
pub use cusum::Cusum;
pub use definition::{Definition, DefinitionBuilder, FORMAT, Stage, Unmeasured};
pub use environment::{Environment, Target, Tier};
#[cfg(feature = "files")]
pub use file::{FileError, FileErrorKind, FileFormat, Position};
#[cfg(feature = "files")]
pub(crate) use file::{any_yaml, yaml_stream};
pub use flag::{FlagChange, FlagMoment};
pub use gate::{Approval, Gate};
pub use identity::{Delegation, Identity, IdentitySnapshot, RoleGrant};
pub use judge::{Edition, Expected, Judge, Margin, Sequential, Threshold};
pub use metric::{Bound, Direction, Metric, Selector, Unit};
pub use number::{Finite, FiniteError};
pub use objectives::{Criterion, Objective, Objectives};
pub use principal::{Principal, PrincipalKind};
pub use release::{
    OnCancel, Priority, Release, RollForwardOnly, RollbackCriteria, RollbackScope, RollbackTrigger,
};
pub(crate) use request::only_problem;
pub use request::{HeaderMatch, RequestMatch, TextMatch};
pub use scope::{ChangeScope, Reach};
pub use scorecard::{Change, Effect, EffectMeasure, NoValue, ScoreMethod, Scorecard, Scored};
pub use service::{Dependency, Service};
pub use signal::{OnSignal, Signal, SignalKind, SignalResponse};
pub use strategy::{
    AntiAffinity, Background, BlueGreen, Canary, CanaryReady, CanaryScale, CanaryStep, Copies,
    Experiment, ExperimentTemplate, Hook, HookPoint, KeepNew, Metadata, NoSuchVersion, Other,
    Portion, PortionError, Rolling, Shadow, StepCall, Strategy, TemplateVersion,
};
pub use traffic::{
    Affinity, AffinityTo, HeaderRoute, HeaderRule, Mirror, SessionAffinity, TrafficRules,
};

pub use crate::ids::{
    ActivityId, AnalysisId, ArtifactName, BlockerId, BuildId, CalendarId, ChannelId, DeliverableId,
    EnvironmentId, GateId, HookId, HotfixId, IdError, IdProblem, ItemId, LimitId, ObjectiveId,
    PrincipalId, RegionId, ReleaseId, RoleId, RunId, SemaphoreId, ServiceId, SignOffId, SourceId,
    StepId, StopId, SuiteId, SyncPointId, TeamId, TopicId, TrackId, TrainId, WaiverId, WindowId,
};
pub use crate::time::{Span, SpanError, SpanProblem, Timestamp, TimestampError};
