//! The vendor-facing traits: one a capability, small and object-safe, without default bodies.
//!
//! Every side-effecting call is *submit and observe*: it is idempotent under
//! [`Context::key`](crate::Context), returns quickly, and progress comes from `observe`. So a
//! timeout, a restart of the orchestrator and a deploy of many hosts are one and the same case.

mod artifact;
mod custom;
mod deploy;
mod health;
mod identity;
mod metrics;
mod notify;
mod traffic;

pub use artifact::{ArtifactContent, ArtifactStatus, ArtifactStore, PutArtifact};
pub use custom::CustomAction;
pub use deploy::{ApplyRequest, Deployer, DeploymentPhase, DeploymentStatus, ObserveDeployment};
pub use health::{CheckHealth, HealthProbe, HealthReport, InstanceHealth};
pub use identity::IdentitySource;
pub use metrics::{MeasureRequest, MetricsSource};
pub use notify::{Notification, Notifier, Severity};
pub use traffic::{SetWeights, TrafficRouter, TrafficStatus};
