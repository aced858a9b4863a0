//! Builds artifacts from sources.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use release_core::model::ArtifactRef;

use super::message::message;
use super::{JobPhase, JobRef};
use crate::{Context, Description, ProviderError};

/// Builds artifacts from one revision of a repository.
///
/// # Conformance
/// `conformance!(BuildRunner, sandbox)` of `release-testkit`: a build ends with its artifacts and stays as it ended,
/// also when it is cancelled or asked for again; an unused key is `Unknown`.
#[async_trait]
pub trait BuildRunner: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Accepts a build, and returns before it is done.
    ///
    /// # Contract
    /// Exactly `request.revision` is built, in a place that no other build changes.
    ///
    /// # Idempotency
    /// One key is one build, also after a crash of the caller or of this provider, and also once it is over: then it
    /// stays as it is.
    ///
    /// # Errors
    /// `NotFound` for an unknown repository, revision or recipe, `Invalid` for a request that makes no sense; all with
    /// effect `NotApplied`.
    ///
    /// # Cancellation
    /// Dropping the future leaves the build either accepted or not; [`observe`](Self::observe) tells which.
    async fn start(&self, cx: &Context, request: StartBuild) -> Result<(), ProviderError>;

    /// Tells how far a build is, and what it made.
    ///
    /// # Contract
    /// Artifacts are told once they are stored, and then always the same.
    ///
    /// # Errors
    /// `Unavailable` when it cannot look. A key that was never used is [`JobPhase::Unknown`], no error.
    async fn observe(&self, cx: &Context, request: JobRef) -> Result<BuildStatus, ProviderError>;

    /// Ends a build, if it is under way. What is over stays as it is.
    ///
    /// # Idempotency
    /// Cancelling again changes nothing.
    ///
    /// # Errors
    /// `NotFound` for a key that was never used; `Unavailable` when it cannot be reached.
    async fn cancel(&self, cx: &Context, request: JobRef) -> Result<(), ProviderError>;
}

message! {
    /// What to build.
    #[derive(Eq)]
    pub struct StartBuild {
        /// The repository, as the runner knows it, for example `ssh://git@host/shop/api`.
        pub repository: String,
        /// The revision, in full: a commit, never a branch.
        pub revision: String,
        /// Which of the repository's builds, for example `release`.
        pub recipe: String,
        optional {
            /// What the build is told besides. Never a secret: name a reference instead.
            pub parameters: BTreeMap<String, String>,
        }
    }
}

message! {
    /// A build as it is.
    #[derive(Eq)]
    pub struct BuildStatus {
        /// The key that it was started under.
        pub operation: String,
        /// How far it is.
        pub phase: JobPhase,
        optional {
            /// What it made; empty until it succeeded.
            pub artifacts: Vec<ArtifactRef>,
            /// Where its log can be read, as a URL.
            pub log: Option<String>,
        }
    }
}
