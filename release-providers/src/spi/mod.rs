//! The vendor-facing traits: one a capability, small and object-safe, without default bodies.
//!
//! Every side-effecting call is *submit and observe*: it is idempotent under
//! [`Context::key`](crate::Context), returns quickly, and progress comes from `observe`. So a
//! timeout, a restart of the orchestrator and a deploy of many hosts are one and the same case.
//!
//! All operations have one shape: `async fn operation(&self, cx: &Context, request: Request) -> Result<Answer,
//! ProviderError>`, where request and answer are plain data. That is why the same trait works in process, behind
//! [layers](crate::layer), recorded and replayed, and in a plugin of another process.
//!
//! | to… | implement |
//! |---|---|
//! | run instances | [`Deployer`] |
//! | distribute traffic | [`TrafficRouter`] |
//! | ask instances, measure versions | [`HealthProbe`], [`MetricsSource`] |
//! | keep, sign, verify, scan artifacts | [`ArtifactStore`], [`ArtifactSigner`], [`ArtifactVerifier`], [`Scanner`] |
//! | build and test | [`BuildRunner`], [`TestRunner`] |
//! | create infrastructure and find drift | [`Provisioner`] |
//! | read configuration, hand out secrets | [`ConfigSource`], [`SecretStore`] |
//! | lend test data, migrate data | [`DataSetStore`], [`Migrator`] |
//! | switch features | [`FlagStore`] |
//! | talk to the organisation | [`ChangeDesk`], [`ApprovalChannel`], [`IdentitySource`], [`IncidentSource`] |
//! | tell people and machines | [`Notifier`], [`Pager`], [`EventSink`] |
//! | tell the time by another clock | [`ClockSource`] |
//! | do anything else | [`CustomAction`] |
//!
//! The documentation of each operation has fixed headings: **Contract**, **Idempotency**, **Errors**,
//! **Cancellation**, **Conformance**. Where a heading is missing, this holds for all of them:
//!
//! - *Cancellation*: dropping the future leaves the wish either stored or not, and `observe` tells which. Nobody waits
//!   for a call whose `cx` was cancelled before, or whose deadline has passed: `Cancelled` or `Timeout`, with effect
//!   `NotApplied`.
//! - *Errors*: an error with effect `NotApplied` means that nothing was done, and that nothing will be. What cannot be
//!   reached is `Unavailable`, for all operations. How far away a deadline is changes no answer.
//! - *Conformance*: the suite of every trait has the cases of all: asked again, asked by many at once, dropped or
//!   cancelled half-way, asked of another instance, cancelled before, too late, out of reach, asked something wrong, looked at again and later, and
//!   no secret in anything that is said. What it checks besides stands at the trait.
//! - *Idempotency*: what only looks changes nothing, and may be asked again at any time. What acts does, where nothing else is said, one thing for one
//!   [key](crate::Context::key), also at once, late, and after a restart of the provider. A key means what it was used for
//!   first: another request under it does nothing, and is answered as the first was or with `Conflict`.

mod approval;
mod artifact;
mod build;
mod change_desk;
mod clock;
mod config;
mod custom;
mod data_set;
mod deploy;
mod event;
mod flag;
mod health;
mod identity;
mod incident;
mod job;
mod message;
mod metrics;
mod migrate;
mod notify;
mod page;
mod provision;
mod scan;
mod secrets;
mod sign;
mod test;
mod traffic;
mod verify;

pub use approval::{ApprovalAnswer, ApprovalAnswers, ApprovalChannel, ApprovalVote, AskApproval};
pub use artifact::{ArtifactContent, ArtifactStatus, ArtifactStore, PutArtifact};
pub use build::{BuildRunner, BuildStatus, StartBuild};
pub use change_desk::{
    ChangeDesk, ChangeKind, ChangeState, ChangeStatus, OpenChange, UpdateChange,
};
pub use clock::{ClockReading, ClockSource, ReadClock};
pub use config::{ConfigSnapshot, ConfigSource, ReadConfig};
pub use custom::{CustomAction, CustomOutput, CustomRequest, CustomStatus};
pub use data_set::{
    Access, Classification, DataSetLease, DataSetLeaseRef, DataSetStatus, DataSetStore,
    LeaseDataSet, ObserveDataSet,
};
pub use deploy::{ApplyRequest, Deployer, DeploymentPhase, DeploymentStatus, ObserveDeployment};
pub use event::{EventSink, EventsFound, FindEvents, PublishEvents, SinkEvent};
pub use flag::{FlagRef, FlagState, FlagStatus, FlagStore, KillFlag, SetFlag};
pub use health::{CheckHealth, HealthProbe, HealthReport, InstanceHealth};
pub use identity::{IdentitySource, ReadIdentities};
pub use incident::{Incident, IncidentSeverity, IncidentSource, Incidents, ListIncidents};
pub use job::{JobPhase, JobRef};
pub use metrics::{MeasureRequest, MetricsSource};
pub use migrate::{MigrationPhase, MigrationRef, MigrationStatus, Migrator};
pub use notify::{Notification, Notifier, Severity};
pub use page::{PagePhase, PageStatus, PageTeam, Pager};
pub use provision::{
    ApplyPlan, ChangeAction, DriftReport, DriftedField, PlanChange, ProvisionPlan, Provisioner,
    ResourceChange, WorkspaceRef, WorkspaceStatus,
};
pub use scan::{ScanKind, ScanReport, ScanStatus, Scanner, StartScan};
pub use secrets::{
    LeaseRef, LeaseSecret, LeaseStatus, ObserveSecret, RenewLease, RotateSecret, SecretLease,
    SecretRef, SecretStatus, SecretStore,
};
pub use sign::{ArtifactSigner, ObserveSignature, SignArtifact, Signature, SignatureStatus};
pub use test::{StartTests, TestCase, TestOutcome, TestRunner, TestStatus};
pub use traffic::{Flights, ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus};
pub use verify::{ArtifactVerifier, Attested, Verdict, Verification, VerifyArtifact};
