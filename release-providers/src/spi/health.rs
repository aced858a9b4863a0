//! Asks instances whether they are ready.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{Digest, Target};
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Context, Description, ProviderError};

/// Asks instances whether they are ready to serve.
///
/// # Conformance
/// `conformance!(HealthProbe, sandbox)` of `release-testkit`: every instance is asked, anew each time, and the answer
/// is dated; a version that nobody runs has no instances.
#[async_trait]
pub trait HealthProbe: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Asks every instance of one version in a target, once.
    ///
    /// # Contract
    /// Each instance is asked anew; an old answer is never reused. An instance that does not answer
    /// is unready, not an error. A version that nobody runs has no instances. The report says when
    /// they were asked.
    ///
    /// # Errors
    /// `NotFound` for a target that the probe does not know; `Unavailable` when it cannot ask.
    async fn check(
        &self,
        cx: &Context,
        request: CheckHealth,
    ) -> Result<HealthReport, ProviderError>;
}

/// Which version to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckHealth {
    /// Where.
    pub target: Target,
    /// Which content.
    pub digest: Digest,
}

impl CheckHealth {
    /// Asks after `digest` in `target`.
    pub const fn new(target: Target, digest: Digest) -> Self {
        Self { target, digest }
    }
}

/// What the instances answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HealthReport {
    /// Where it was looked.
    pub target: Target,
    /// The version that was asked after.
    pub digest: Digest,
    /// One answer an instance.
    pub instances: Vec<InstanceHealth>,
    /// When they were asked.
    pub observed_at: Timestamp,
}

impl HealthReport {
    /// A report.
    pub const fn new(
        target: Target,
        digest: Digest,
        instances: Vec<InstanceHealth>,
        observed_at: Timestamp,
    ) -> Self {
        Self { target, digest, instances, observed_at }
    }
}

/// One instance's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceHealth {
    /// The instance, as its platform calls it.
    pub instance: String,
    /// Whether it is ready.
    pub ready: bool,
    /// What it said, one line.
    pub detail: String,
}

impl InstanceHealth {
    /// The answer of an instance.
    pub const fn new(instance: String, ready: bool, detail: String) -> Self {
        Self { instance, ready, detail }
    }
}
