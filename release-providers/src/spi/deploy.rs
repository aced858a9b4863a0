//! Runs instances of artifacts in targets.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{AntiAffinity, ArtifactRef, Digest, Metadata, Target};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{Context, Description, ProviderError};

/// Runs instances of artifacts in targets. Several artifacts can run in one target side by side.
///
/// # Conformance
/// `conformance!(Deployer, sandbox)` of `release-testkit`: a wish is carried out once, whatever is lost, repeated or
/// raced; what runs is what is told; wrong content is never started.
#[async_trait]
pub trait Deployer: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Accepts the wish that exactly `request.replicas` instances of `request.artifact` run in
    /// `request.target`. Other artifacts in the target are not touched; 0 stops all instances.
    ///
    /// # Contract
    /// Returns once the wish is stored, not once it is fulfilled. Only content whose digest equals
    /// the artifact's is ever started. An instance that is stopped serves the requests it has begun.
    ///
    /// # Idempotency
    /// The wish is a desired state: the same wish again changes nothing that is already so, and
    /// never starts a second copy, also after a crash of the caller or of this provider. A wish that differs from the one
    /// before in what instances [carry](ApplyRequest::metadata) alone starts and stops none.
    ///
    /// # Errors
    /// `NotFound` for an unknown target or artifact, `Corrupt` for content that does not match its
    /// digest, `Invalid` for a wish beyond the declared limits, `Unsupported` for instances that are to stand
    /// [apart](ApplyRequest::apart), or to [carry](ApplyRequest::metadata) something, where that is not declared, `Fenced` for an epoch older than one
    /// that was seen of the same run (where `EpochFencing` is declared); all with effect
    /// `NotApplied`.
    ///
    /// # Cancellation
    /// Dropping the future leaves the wish either stored or not; `observe` tells which. Nobody waits
    /// for a call whose `cx` was cancelled before, or whose deadline has passed: `Cancelled` or
    /// `Timeout`, with effect `NotApplied`. One that is cancelled on its way ends soon, and says
    /// `Cancelled` unless it was done; with effect `NotApplied` only if nothing was done and nothing will be.
    ///
    /// # Conformance
    /// `apply_is_idempotent`, `observe_after_lost_answer`, `scale_down_keeps_others`,
    /// `wrong_digest_is_refused`, `unknown_artifact_is_not_found`, `concurrent_applies_converge`,
    /// `stale_writers_are_fenced`, `cancelled_call_is_refused`, `late_call_is_refused`,
    /// `what_is_done_stays_done`, `far_deadlines_change_nothing`,
    /// `out_of_reach_is_unavailable`, `secrets_stay_secret`; from V2 on `undeclared_wishes_are_refused`,
    /// `apart_is_taken_where_declared`, `carried_is_changed_without_a_restart`.
    async fn apply(&self, cx: &Context, request: ApplyRequest) -> Result<(), ProviderError>;

    /// Reports what runs.
    ///
    /// # Contract
    /// Tells what *is*, not what was wished: `digest` is that of the content that really runs.
    ///
    /// # Errors
    /// `NotFound` for a target that the provider does not know; `Unavailable` when it cannot look;
    /// `Cancelled` or `Timeout` for a call that nobody waits for.
    async fn observe(
        &self,
        cx: &Context,
        request: ObserveDeployment,
    ) -> Result<DeploymentStatus, ProviderError>;
}

/// A wish for instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ApplyRequest {
    /// Where.
    pub target: Target,
    /// Of what.
    pub artifact: ArtifactRef,
    /// The version that people call it by.
    pub version: Version,
    /// How many.
    pub replicas: u32,
    /// Whether those that are started keep away from machines on which other artifacts run in the target, for deployers that
    /// [declare](crate::DeployerAbilities::anti_affinity) that they can see to that; `None`: they stand where there is room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<AntiAffinity>,
    /// What all of them carry from then on, those that run already as well, in place of what an earlier wish said of that; empty: nothing.
    /// `None`: what they carry stays as it is. For deployers that [declare](crate::DeployerAbilities::metadata) that they can see to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

impl ApplyRequest {
    /// A wish for `replicas` instances.
    pub const fn new(
        target: Target,
        artifact: ArtifactRef,
        version: Version,
        replicas: u32,
    ) -> Self {
        Self { target, artifact, version, replicas, apart: None, metadata: None }
    }

    /// The same, where those that are started keep away from machines of others.
    #[must_use]
    pub const fn keeping(mut self, apart: Option<AntiAffinity>) -> Self {
        self.apart = apart;
        self
    }

    /// The same, where all of them carry something from then on.
    #[must_use]
    pub fn carrying(mut self, metadata: Option<Metadata>) -> Self {
        self.metadata = metadata;
        self
    }
}

/// Which deployment to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObserveDeployment {
    /// Where.
    pub target: Target,
    /// Which content.
    pub digest: Digest,
}

impl ObserveDeployment {
    /// Asks after `digest` in `target`.
    pub const fn new(target: Target, digest: Digest) -> Self {
        Self { target, digest }
    }
}

/// What runs of one artifact in one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeploymentStatus {
    /// Where it was looked.
    pub target: Target,
    /// The content that runs, or that was asked after when nothing runs.
    pub digest: Digest,
    /// The wish that is stored; `None` when there never was one.
    pub desired: Option<u32>,
    /// How many instances run.
    pub running: u32,
    /// How far it is.
    pub phase: DeploymentPhase,
}

impl DeploymentStatus {
    /// A status.
    pub const fn new(
        target: Target,
        digest: Digest,
        desired: Option<u32>,
        running: u32,
        phase: DeploymentPhase,
    ) -> Self {
        Self { target, digest, desired, running, phase }
    }
}

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeploymentPhase {
    /// As many run as wished, and nothing is being stopped.
    Settled,
    /// On the way.
    Progressing,
    /// It will not get there by itself.
    Failed {
        /// What is wrong: the exit status, the last lines of the log.
        reason: String,
    },
}
