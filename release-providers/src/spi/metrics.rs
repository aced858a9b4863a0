//! Measures versions.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{Digest, Metric, Target};
use release_core::port::Measurement;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{Context, Description, ProviderError};

/// Measures versions. It reports numbers; whether they are good is decided by pure code.
#[async_trait]
pub trait MetricsSource: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Measures one version in one target, once.
    ///
    /// # Contract
    /// Only samples of that version count. Missing samples, NaN, infinities, unreadable answers and
    /// samples of another version are [`Measurement::NoData`] with the reason, never a zero.
    ///
    /// # Errors
    /// `NotFound` for a target that the source does not know; `Unavailable` when it cannot look.
    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError>;
}

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MeasureRequest {
    /// Where.
    pub target: Target,
    /// Which content.
    pub digest: Digest,
    /// The version label that its samples carry.
    pub version: Version,
    /// What.
    pub metric: Metric,
}

impl MeasureRequest {
    /// Asks for `metric` of one version in `target`.
    pub const fn new(target: Target, digest: Digest, version: Version, metric: Metric) -> Self {
        Self { target, digest, version, metric }
    }
}
